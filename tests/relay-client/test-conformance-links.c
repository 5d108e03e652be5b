/* The client's checklist for Draft V, links, and which relays are asked: a test's name begins with
 * the number that it shows (CONFORMANCE.md). */
#include "conformance-case.h"

#include "payload.h"
#include "secret.h"
#include "share-url.h"

/* Create by way of relay.h, answered with this link. *ret_link is the share URL; NULL: refused. */
static RelayOutcome create_answered(const char *link, uint8_t first, char **ret_link) {
        static const RelayTerms terms = { .hosts = hosts, .url = "https://relay.example" };
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        char body[512];
        uint8_t secret[16];
        HttpAnswer answer = { .status = 200, .headers = ECHOED };
        const RelayResult *result;

        memset(secret, first, sizeof(secret));
        (void) snprintf(body, sizeof(body), "{\"urlLink\":\"%s\"}", link);
        answer.headers_size = strlen(answer.headers);
        answer.body = body;
        answer.body_size = strlen(body);
        assert_int_equal(relay_job_begin(relay_protocol_find("draft-v"),
                                         &terms,
                                         &(RelayJobTask){
                                                         .operation = RELAY_JOB_CREATE,
                                                         .claim = CLAIM,
                                                         .request_id = REQUEST,
                                                         .payload_type = create.payload_type,
                                                         .payload_data = create.payload_data,
                                                         .title = create.title,
                                                         .description = create.description,
                                                         .image_url = create.image_url,
                                                         .access_rights = create.access_rights,
                                                         .expiration = create.expiration,
                                                         .vertical = 'c',
                                                         .secret = secret,
                                                         .secret_size = sizeof(secret),
                                         },
                                         &job,
                                         &request),
                        RELAY_SEND);
        http_request_done(&request);
        assert_int_equal(relay_job_answer(job, &answer, NOW, &request), 0);
        result = relay_job_result(job);
        *ret_link = result->link ? strdup(result->link) : NULL;
        return result->outcome;
}

static void c18_a_link_begins_with_what_the_relay_gave(void **state) {
        /* Odd, but its own: another spelling might be another mailbox to it. */
        static const char *const links[] = {
                MAILBOX,
                "https://RELAY.example:443/v1/m/3F0C1A52-6f0b-4a6e-9c1d-0B1F5F1F2A77",
                "HTTPS://relay.EXAMPLE/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77",
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(links); i++) {
                _cleanup_(secret_free_stringp) char *link = NULL;

                assert_int_equal(create_answered(links[i], 0xfb, &link), RELAY_DONE);
                assert_memory_equal(link, links[i], strlen(links[i]));
                assert_string_equal(link + strlen(links[i]), "?v=c#+/v7+/v7+/v7+/v7+/v7+w==");
        }
}

static void c19_the_secret_is_the_fragment_and_nothing_else(void **state) {
        _cleanup_(secret_free_stringp) char *link = NULL;
        const char *fragment;

        (void) state;
        assert_int_equal(create_answered(MAILBOX, 'K', &link), RELAY_DONE);
        fragment = strchr(link, '#');
        assert_non_null(fragment);
        assert_string_equal(fragment + 1, "S0tLS0tLS0tLS0tLS0tLSw==");
        assert_true(strstr(link, "S0tLS0tL") == fragment + 1);
        assert_null(strstr(link, "KKKK"));
        assert_null(strstr(link, "4b4b4b4b"));
}

static void c20_no_request_carries_a_fragment(void **state) {
        static const char *const forms[] = { "#", SECRET_TEXT, "hXlr6aRC", "85796be9", "?" };
        _cleanup_(share_url_done) ShareUrl url;

        (void) state;
        assert_int_equal(share_url_parse(MAILBOX "?v=c#" SECRET_TEXT, &url), 0);
        for (int operation = DRAFT_V_CREATE + 1; operation < _DRAFT_V_OPERATION_MAX; operation++) {
                const char *const links[] = {
                        MAILBOX "?v=c#" SECRET_TEXT, MAILBOX "#" SECRET_TEXT, url.api
                };

                for (size_t i = 0; i < N_ELEMENTS(links); i++) {
                        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
                        _cleanup_(freep) char *octets = NULL;

                        assert_int_equal(build((DraftVOperation) operation,
                                                         links[i],
                                                         DRAFT_V_CURRENT,
                                                         &request),
                                        0);
                        assert_string_equal(request.url, MAILBOX);
                        octets = octets_of(&request);
                        for (size_t j = 0; j < N_ELEMENTS(forms); j++)
                                assert_null(strstr(octets, forms[j]));
                }
        }
}

static void c21_no_vertical_is_general_access(void **state) {
        static const struct {
                const char *query;
                char vertical;
        } cases[] = {
                { "", 'a' },
                { "?", 'a' },
                { "?x=c", 'a' },
                { "?v=", 'a' },
                { "?v=a", 'a' },
                { "?v=h", 'h' },
                { "?v=c", 'c' },
                { "?v=z", 'a' },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char text[256];
                ShareUrl url;

                (void) snprintf(text,
                                sizeof(text),
                                "%s%s#%s",
                                MAILBOX,
                                cases[i].query,
                                SECRET_TEXT);
                assert_int_equal(share_url_parse(text, &url), 0);
                assert_int_equal(url.vertical, cases[i].vertical);
                share_url_done(&url);
        }
}

static void c22_only_a_relay_that_was_named_is_asked(void **state) {
        static const char *const foreign[] = {
                "https://evil.example/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77",
                "https://relay.example.evil/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77",
                "https://relay.example:444/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77",
                "https://relay.example@evil.example/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77",
        };
        static const RelayJobOperation operations[] = {
                RELAY_JOB_READ, RELAY_JOB_UPDATE, RELAY_JOB_DELETE, RELAY_JOB_RELINQUISH
        };
        static const RelayTerms terms = { .hosts = hosts, .url = "https://relay.example" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(foreign); i++) {
                _cleanup_(secret_free_stringp) char *link = NULL;

                assert_int_equal(create_answered(foreign[i], 1, &link), RELAY_REFUSED);
                assert_null(link);
                for (size_t j = 0; j < N_ELEMENTS(operations); j++) {
                        _cleanup_(relay_job_freep) RelayJob *job = NULL;
                        HttpRequest request = HTTP_REQUEST_NULL;

                        assert_int_equal(relay_job_begin(relay_protocol_find("draft-v"),
                                                         &terms,
                                                         &(RelayJobTask){
                                                                         .operation = operations[j],
                                                                         .mailbox = foreign[i],
                                                                         .claim = CLAIM,
                                                                         .request_id = REQUEST,
                                                                         .payload_type = "t",
                                                                         .payload_data = "d",
                                                         },
                                                         &job,
                                                         &request),
                                        0);
                        assert_int_equal(relay_job_result(job)->outcome, RELAY_REFUSED);
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(c18_a_link_begins_with_what_the_relay_gave),
                cmocka_unit_test(c19_the_secret_is_the_fragment_and_nothing_else),
                cmocka_unit_test(c20_no_request_carries_a_fragment),
                cmocka_unit_test(c21_no_vertical_is_general_access),
                cmocka_unit_test(c22_only_a_relay_that_was_named_is_asked),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
