/* The client's checklist for Draft V, as far as it speaks of requests, answers, links and payloads:
 * a test's name begins with the number that it shows (CONFORMANCE.md). What only a running program
 * can show is in test_conformance.py. */
#include "vectors.h"

#include <errno.h>
#include <sodium.h>

#include "cleanup.h"
#include "draft-v-case.h"
#include "draft-v.h"
#include "key-file.h"
#include "payload.h"
#include "relay.h"
#include "secret.h"
#include "share-url.h"

#define OTHER_REQUEST "00000000-0000-4000-8000-00000000000b"
#define SECRET_TEXT "hXlr6aRC7KgJpOLTNZaLsw=="
#define LINK_BODY "{\"urlLink\":\"" MAILBOX "\"}"
#define PAYLOAD "\"payload\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"AAAA\"}"
#define READ_BODY "{" PAYLOAD "}"

static const DraftVCreate create = {
        .title = "Room key",
        .description = "",
        .image_url = "",
        .payload_type = "AEAD_AES_128_GCM",
        .payload_data = "AAAA",
        .access_rights = "RD",
        .expiration = NOW,
};

static const DraftVUpdate update = { .payload_type = "AEAD_AES_128_GCM", .payload_data = "AAAA" };

/* Any operation, with the same values for all. */
static int
build(DraftVOperation operation, const char *url, DraftVDialect dialect, HttpRequest *ret) {
        const DraftVCaller caller = {
                .dialect = dialect,
                .claim = CLAIM,
                .request_id = REQUEST,
                .attestation = "attested",
        };

        switch (operation) {
        case DRAFT_V_CREATE:
                return draft_v_create(url, &caller, &create, ret);
        case DRAFT_V_UPDATE:
                return draft_v_update(url, &caller, &update, ret);
        default:
                return draft_v_plain(operation, url, &caller, ret);
        }
}

static const char *url_of(DraftVOperation operation) {
        return operation == DRAFT_V_CREATE ? "https://relay.example" : MAILBOX;
}

/* How many headers have this name, and in *ret the value of the last. */
static size_t headers_of(const HttpRequest *request, const char *name, const char **ret) {
        size_t n = 0;

        for (size_t i = 0; i < request->n_headers; i++) {
                const char *colon = strchr(request->headers[i], ':');

                assert_non_null(colon);
                if ((size_t) (colon - request->headers[i]) == strlen(name) &&
                                strncasecmp(request->headers[i], name, strlen(name)) == 0) {
                        *ret = colon + 2;
                        n++;
                }
        }
        return n;
}

static void assert_header(DraftVOperation operation,
                DraftVDialect dialect,
                const char *name,
                const char *expected) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        const char *value = NULL;

        print_message("# operation %d, %s\n", (int) operation, name);
        assert_int_equal(build(operation, url_of(operation), dialect, &request), 0);
        assert_int_equal(headers_of(&request, name, &value), expected ? 1 : 0);
        if (expected)
                assert_string_equal(value, expected);
}

/* Everything that would go out, one after another. */
static char *octets_of(const HttpRequest *request) {
        char *text;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        (void) fprintf(f, "%s %s\n", request->method, request->url);
        for (size_t i = 0; i < request->n_headers; i++)
                (void) fprintf(f, "%s\n", request->headers[i]);
        if (request->body)
                (void) fwrite(request->body, 1, request->body_size, f);
        (void) fclose(f);
        return text;
}

static json_t *body_of(const HttpRequest *request) {
        json_t *body = json_loadb(request->body, request->body_size, 0, NULL);

        assert_non_null(body);
        return body;
}

static json_t *create_body(const DraftVCreate *what) {
        static const DraftVCaller caller = { .claim = CLAIM, .request_id = REQUEST };
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;

        assert_int_equal(draft_v_create("https://relay.example", &caller, what, &request), 0);
        return body_of(&request);
}

static const char *text_at(const json_t *body, const char *object, const char *member) {
        return json_string_value(json_object_get(json_object_get(body, object), member));
}

static void read_answer_of(DraftVOperation operation,
                int status,
                const char *headers,
                const char *body,
                DraftVAnswer *ret) {
        HttpAnswer answer = answer_of(status, headers, body, strlen(body));

        assert_int_equal(draft_v_read_answer(operation, REQUEST, &answer, hosts, NOW, ret), 0);
}

static DraftVOutcome outcome_of(
                DraftVOperation operation, int status, const char *headers, const char *body) {
        _cleanup_(draft_v_answer_done) DraftVAnswer answer;

        read_answer_of(operation, status, headers, body, &answer);
        return answer.outcome;
}

static const char *good_body(DraftVOperation operation) {
        return operation == DRAFT_V_CREATE ? LINK_BODY
               : operation == DRAFT_V_READ ? READ_BODY
                                           : "{}";
}

static void c01_nothing_but_https_is_asked(void **state) {
        static const char *const schemes[] = {
                "http://", "ftp://", "//", "https:", "https:/", "HTTP://", "httpss://", ""
        };
        ShareUrl url;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(schemes); i++) {
                char relay[64], mailbox[128];

                (void) snprintf(relay, sizeof(relay), "%srelay.example", schemes[i]);
                (void) snprintf(mailbox, sizeof(mailbox), "%s%s", schemes[i], &MAILBOX[8]);
                for (int operation = 0; operation < _DRAFT_V_OPERATION_MAX; operation++) {
                        HttpRequest request = HTTP_REQUEST_NULL;

                        assert_int_equal(build((DraftVOperation) operation,
                                                         operation == DRAFT_V_CREATE ? relay
                                                                                     : mailbox,
                                                         DRAFT_V_CURRENT,
                                                         &request),
                                        -EINVAL);
                }
                assert_int_equal(share_url_parse(mailbox, &url), SHARE_URL_E_SCHEME);
                assert_false(share_url_is_link(mailbox, hosts));
        }
}

static void c03_every_change_names_its_request(void **state) {
        static const DraftVOperation operations[] = {
                DRAFT_V_CREATE, DRAFT_V_UPDATE, DRAFT_V_DELETE, DRAFT_V_RELINQUISH
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(operations); i++)
                for (int d = 0; d < _DRAFT_V_DIALECT_MAX; d++)
                        assert_header(operations[i],
                                        (DraftVDialect) d,
                                        "Mailbox-Request-ID",
                                        REQUEST);
}

static void c04_both_reads_name_their_request(void **state) {
        (void) state;
        assert_header(DRAFT_V_READ, DRAFT_V_CURRENT, "Mailbox-Request-ID", REQUEST);
        assert_header(DRAFT_V_PREVIEW, DRAFT_V_CURRENT, "Mailbox-Request-ID", REQUEST);
}

static void c05_a_retry_is_the_same_request_to_the_octet(void **state) {
        (void) state;
        for (int operation = 0; operation < _DRAFT_V_OPERATION_MAX; operation++) {
                char *texts[2];

                for (size_t i = 0; i < 2; i++) {
                        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;

                        assert_int_equal(build((DraftVOperation) operation,
                                                         url_of((DraftVOperation) operation),
                                                         DRAFT_V_CURRENT,
                                                         &request),
                                        0);
                        texts[i] = octets_of(&request);
                }
                assert_non_null(strstr(texts[0], REQUEST));
                assert_string_equal(texts[0], texts[1]);
                free(texts[0]);
                free(texts[1]);
        }
}

static void c06_an_answer_to_another_request_is_no_answer(void **state) {
        static const char *const headers[] = {
                "Mailbox-Request-ID: " OTHER_REQUEST "\r\n",
                ECHOED "Mailbox-Request-ID: " OTHER_REQUEST "\r\n",
                "Mailbox-Request-ID: " OTHER_REQUEST "\r\n" ECHOED,
                "mailbox-request-id:\r\n",
        };
        static const int statuses[] = { 200, 201, 400, 401, 404 };

        (void) state;
        for (int operation = 0; operation < _DRAFT_V_OPERATION_MAX; operation++)
                for (size_t i = 0; i < N_ELEMENTS(headers); i++)
                        for (size_t j = 0; j < N_ELEMENTS(statuses); j++) {
                                _cleanup_(draft_v_answer_done) DraftVAnswer answer;

                                read_answer_of((DraftVOperation) operation,
                                                statuses[j],
                                                headers[i],
                                                good_body((DraftVOperation) operation),
                                                &answer);
                                assert_int_equal(answer.outcome, DRAFT_V_AGAIN);
                                assert_string_equal(answer.reason, "wrong-echo");
                                assert_null(answer.link);
                                assert_null(answer.payload_data);
                        }
}

static void c07_all_but_the_preview_carry_the_claim(void **state) {
        static const DraftVOperation operations[] = {
                DRAFT_V_CREATE, DRAFT_V_UPDATE, DRAFT_V_READ, DRAFT_V_DELETE, DRAFT_V_RELINQUISH
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(operations); i++) {
                assert_header(operations[i], DRAFT_V_CURRENT, "Mailbox-Device-Claim", CLAIM);
                assert_header(operations[i], DRAFT_V_CURRENT, "Device-Claim", NULL);
                assert_header(operations[i], DRAFT_V_SCT04, "Device-Claim", CLAIM);
                assert_header(operations[i], DRAFT_V_SCT04, "Mailbox-Device-Claim", NULL);
        }
}

static void c08_a_preview_carries_no_claim(void **state) {
        (void) state;
        for (int d = 0; d < _DRAFT_V_DIALECT_MAX; d++) {
                _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
                _cleanup_(freep) char *octets = NULL;

                assert_int_equal(build(DRAFT_V_PREVIEW, MAILBOX, (DraftVDialect) d, &request), 0);
                assert_string_equal(request.method, "GET");
                octets = octets_of(&request);
                assert_null(strstr(octets, CLAIM));
                assert_null(strcasestr(octets, "claim"));
                assert_null(strcasestr(octets, "attest"));
        }
}

static void c13_a_create_has_every_member_that_is_required(void **state) {
        json_auto_t *body = create_body(&create);

        (void) state;
        assert_string_equal(text_at(body, "payload", "type"), "AEAD_AES_128_GCM");
        assert_string_equal(text_at(body, "payload", "data"), "AAAA");
        assert_string_equal(text_at(body, "displayInformation", "title"), "Room key");
        /* Empty, and there all the same. */
        assert_string_equal(text_at(body, "displayInformation", "description"), "");
        assert_string_equal(text_at(body, "displayInformation", "imageURL"), "");
}

static void c14_several_messages_ask_for_the_right_to_write(void **state) {
        static const char *const rights[] = { "RD", "RWD" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rights); i++) {
                json_auto_t *body = NULL;
                DraftVCreate what = create;

                what.access_rights = rights[i];
                body = create_body(&what);
                assert_string_equal(
                                text_at(body, "mailboxConfiguration", "accessRights"), rights[i]);
        }
}

static void c15_an_expiration_is_utc_to_the_second(void **state) {
        static const struct {
                int64_t seconds;
                const char *text;
        } cases[] = {
                { NOW, "2026-11-21T12:00:00Z" },
                { NOW + 1, "2026-11-21T12:00:01Z" },
                { 1709164799, "2024-02-28T23:59:59Z" },
                { 1709251199, "2024-02-29T23:59:59Z" },
                { 0, "1970-01-01T00:00:00Z" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                json_auto_t *body = NULL;
                DraftVCreate what = create;

                what.expiration = cases[i].seconds;
                body = create_body(&what);
                assert_string_equal(
                                text_at(body, "mailboxConfiguration", "expiration"), cases[i].text);
        }
}

static void c16_a_create_always_says_when_it_expires(void **state) {
        json_auto_t *body = create_body(&create);

        (void) state;
        assert_non_null(text_at(body, "mailboxConfiguration", "expiration"));
        assert_non_null(text_at(body, "mailboxConfiguration", "accessRights"));
}

static void c17_a_token_has_both_members_or_is_not_sent(void **state) {
        static const DraftVCaller caller = { .claim = CLAIM, .request_id = REQUEST };
        static const struct {
                DraftVToken token;
                int r;
        } cases[] = {
                { { NULL, NULL }, 0 },
                { { "org.example.webhook", "opaque" }, 0 },
                { { "org.example.webhook", NULL }, -EINVAL },
                { { NULL, "opaque" }, -EINVAL },
                { { "", "opaque" }, -EINVAL },
                { { "org.example.webhook", "" }, -EINVAL },
                { { "org.example.webhook", "\xff" }, -EINVAL },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                for (int is_update = 0; is_update < 2; is_update++) {
                        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
                        json_auto_t *body = NULL;
                        DraftVCreate created = create;
                        DraftVUpdate updated = update;
                        const json_t *token;
                        int r;

                        created.token = updated.token = cases[i].token;
                        r = is_update ? draft_v_update(MAILBOX, &caller, &updated, &request)
                                      : draft_v_create("https://relay.example",
                                                        &caller,
                                                        &created,
                                                        &request);
                        assert_int_equal(r, cases[i].r);
                        if (r < 0)
                                continue;
                        body = body_of(&request);
                        token = json_object_get(body, "notificationToken");
                        if (!cases[i].token.type) {
                                assert_null(token);
                                continue;
                        }
                        assert_int_equal(json_object_size(token), 2);
                        assert_string_equal(text_at(body, "notificationToken", "type"),
                                        cases[i].token.type);
                        assert_string_equal(text_at(body, "notificationToken", "tokenData"),
                                        cases[i].token.data);
                }
}

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

static void c23_both_algorithms_open_what_they_sealed(void **state) {
        static const char *const names[] = { "AEAD_AES_128_GCM", "AEAD_AES_256_GCM" };
        static const size_t sizes[] = { 16, 32 };
        uint8_t key[32];

        (void) state;
        memset(key, 7, sizeof(key));
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                _cleanup_(freep) char *data = NULL;
                PayloadAlgorithm algorithm;

                assert_int_equal(payload_algorithm_from_name(names[i], false, &algorithm), 0);
                assert_string_equal(payload_algorithm_name(algorithm), names[i]);
                assert_int_equal(payload_key_size(algorithm), sizes[i]);
                assert_int_equal(payload_encrypt(algorithm, key, "content", 7, &data), 0);
                assert_int_equal(payload_decrypt(names[i], data, false, key, sizes[i], &plaintext),
                                0);
                assert_int_equal(plaintext.size, 7);
                assert_memory_equal(plaintext.data, "content", 7);
        }
}

static void assert_iv_is_new(uint8_t seen[][RELAY_KEY_IV_SIZE], size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_memory_not_equal(seen[i], seen[n], RELAY_KEY_IV_SIZE);
}

/* A recipient draws it; ours is drawn from a keyed hash over all that makes a message another one,
 * so that one and the same message alone has the same. */
static void c24_no_two_messages_share_an_iv(void **state) {
        static const uint8_t key[16] = { 1 };
        static const struct {
                const char *share;
                uint64_t generation, number;
                const char *plaintext;
        } messages[] = {
                { "shr_a", 0, 0, "x" },
                { "shr_b", 0, 0, "x" },
                { "shr_a", 1, 0, "x" },
                { "shr_a", 0, 2, "x" },
                { "shr_a", 0, 0, "y" },
                { "shr_a", 0, 0, "xy" },
                { "shr_a", 0, 0, "" },
        };
        uint8_t seen[200][RELAY_KEY_IV_SIZE];
        RelayPrivateKey other, ours;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(seen); i++) {
                _cleanup_(freep) char *data = NULL;
                _cleanup_(freep) uint8_t *blob = NULL;
                size_t size;

                assert_int_equal(payload_encrypt(PAYLOAD_AES_128_GCM, key, "x", 1, &data), 0);
                assert_int_equal(text_from_base64(data, false, &blob, &size), 0);
                memcpy(seen[i], blob, RELAY_KEY_IV_SIZE);
                assert_iv_is_new(seen, i);
        }

        memset(&ours, 1, sizeof(ours));
        memset(&other, 2, sizeof(other));
        for (size_t i = 0; i <= N_ELEMENTS(messages); i++) {
                const size_t j = i % N_ELEMENTS(messages);

                relay_private_key_derive_iv(i == j ? &ours : &other,
                                messages[j].share,
                                messages[j].generation,
                                messages[j].number,
                                messages[j].plaintext,
                                strlen(messages[j].plaintext),
                                seen[i]);
                assert_iv_is_new(seen, i);
        }
}

/* The IV comes first, the tag last, the ciphertext is as long as the plaintext, and nothing else is
 * there. */
static void c25_a_payload_is_iv_ciphertext_and_tag_in_plain_base64(void **state) {
        const json_t *list = json_object_get(vectors, "payload_positive"), *vector;
        size_t i, n = 0;

        (void) state;
        json_array_foreach(list, i, vector) {
                _cleanup_(freep) char *data = NULL;
                _cleanup_(freep) uint8_t *blob = NULL;
                uint8_t key[32], iv[12], plaintext[512], expected[1024];
                size_t plaintext_size, expected_size, size;
                PayloadAlgorithm algorithm;

                if (!vector_text(vector, "plaintext_hex"))
                        continue; /* 4 KiB, of which test-payload.c knows the rule */
                (void) vector_begin(vector);
                (void) vector_bytes(vector, "key_hex", key, sizeof(key));
                (void) vector_bytes(vector, "iv_hex", iv, sizeof(iv));
                plaintext_size =
                                vector_bytes(vector, "plaintext_hex", plaintext, sizeof(plaintext));
                assert_int_equal(payload_algorithm_from_name(
                                                 vector_text(vector, "type"), false, &algorithm),
                                0);
                assert_int_equal(payload_encrypt_with_iv(algorithm,
                                                 key,
                                                 iv,
                                                 plaintext,
                                                 plaintext_size,
                                                 NULL,
                                                 &data),
                                0);
                assert_int_equal(strspn(data,
                                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
                                                 "xyz0123456789+/="),
                                strlen(data));
                assert_int_equal(strlen(data) % 4, 0);
                assert_int_equal(text_from_base64(data, false, &blob, &size), 0);
                assert_int_equal(size, 12 + plaintext_size + 16);
                assert_memory_equal(blob, iv, 12);
                expected_size = vector_bytes(vector, "blob_hex", expected, sizeof(expected));
                assert_int_equal(size, expected_size);
                assert_memory_equal(blob, expected, size);
                n++;
        }
        assert_int_equal(n, 6);
}

static void c26_each_way_to_be_wrong_has_its_own_name_and_no_plaintext(void **state) {
        static const uint8_t key[32] = { 1 };
        _cleanup_(freep) char *good = NULL, *changed = NULL;
        struct {
                const char *type, *data;
                size_t key_size;
                int r;
        } cases[] = {
                { "AEAD_CHACHA20_POLY1305", NULL, 16, PAYLOAD_E_TYPE },
                { "AES128", NULL, 16, PAYLOAD_E_TYPE },
                { "AEAD_AES_128_GCM", NULL, 32, PAYLOAD_E_KEY_LENGTH },
                { "AEAD_AES_256_GCM", NULL, 16, PAYLOAD_E_KEY_LENGTH },
                { "AEAD_AES_128_GCM", "?", 16, PAYLOAD_E_BASE64 },
                { "AEAD_AES_128_GCM", "AAAA AAAA", 16, PAYLOAD_E_BASE64 },
                { "AEAD_AES_128_GCM", "", 16, PAYLOAD_E_TOO_SHORT },
                { "AEAD_AES_128_GCM",
                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                16,
                                PAYLOAD_E_TOO_SHORT },
                { "AEAD_AES_128_GCM",
                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
                                16,
                                PAYLOAD_E_AUTH },
                { "AEAD_AES_128_GCM", "changed", 16, PAYLOAD_E_AUTH },
        };

        (void) state;
        assert_int_equal(payload_encrypt(PAYLOAD_AES_128_GCM, key, "content", 7, &good), 0);
        changed = strdup(good);
        changed[18] = changed[18] == 'A' ? 'B' : 'A';
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Plaintext plaintext = PLAINTEXT_NULL;
                const char *data = !cases[i].data                    ? good
                                   : streq(cases[i].data, "changed") ? changed
                                                                     : cases[i].data;

                print_message("# case %zu\n", i);
                assert_int_equal(payload_decrypt(cases[i].type,
                                                 data,
                                                 false,
                                                 key,
                                                 cases[i].key_size,
                                                 &plaintext),
                                cases[i].r);
                assert_null(plaintext.data);
        }
        for (int i = PAYLOAD_E_TYPE; i <= PAYLOAD_E_PROVISIONING; i++)
                for (int j = PAYLOAD_E_TYPE; j < i; j++)
                        assert_string_not_equal(payload_error_name((PayloadError) i),
                                        payload_error_name((PayloadError) j));
}

static void c27_what_is_carried_has_a_format_and_content(void **state) {
        static const struct {
                const char *text;
                int r;
        } cases[] = {
                { "{\"format\":\"x\",\"content\":{}}", 0 },
                { "{\"format\":\"x\",\"content\":{},\"unknown\":{\"a\":[]}}", 0 },
                { "{\"format\":\"x\"}", PAYLOAD_E_PROVISIONING },
                { "{\"content\":{}}", PAYLOAD_E_PROVISIONING },
                { "{\"format\":\"x\",\"content\":[]}", PAYLOAD_E_PROVISIONING },
                { "{\"format\":null,\"content\":{}}", PAYLOAD_E_PROVISIONING },
                { "\"x\"", PAYLOAD_E_PROVISIONING },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                json_auto_t *object = NULL;

                assert_int_equal(payload_provisioning_read(
                                                 cases[i].text, strlen(cases[i].text), &object),
                                cases[i].r);
                assert_true((object != NULL) == (cases[i].r == 0));
        }
}

static void c28_an_answer_to_a_repeated_request_counts(void **state) {
        static const DraftVOperation operations[] = {
                DRAFT_V_CREATE, DRAFT_V_READ, DRAFT_V_UPDATE, DRAFT_V_DELETE, DRAFT_V_RELINQUISH
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(operations); i++) {
                const char *body = good_body(operations[i]);

                assert_int_equal(outcome_of(operations[i], 200, ECHOED, body), DRAFT_V_DONE);
                assert_int_equal(outcome_of(operations[i], 201, ECHOED, body), DRAFT_V_DONE);
        }
        /* Without a body the mailbox's URL is lost, and a read is to be done anew. */
        assert_int_equal(outcome_of(DRAFT_V_CREATE, 201, ECHOED, ""), DRAFT_V_DUPLICATE);
        assert_int_equal(outcome_of(DRAFT_V_READ, 201, ECHOED, ""), DRAFT_V_REREAD);
        assert_int_equal(outcome_of(DRAFT_V_UPDATE, 201, ECHOED, ""), DRAFT_V_DONE);
        assert_int_equal(outcome_of(DRAFT_V_RELINQUISH, 201, ECHOED, ""), DRAFT_V_DONE);
}

/* Gone is what a delete wants. */
static void c29_a_mailbox_that_is_not_there_is_deleted(void **state) {
        (void) state;
        assert_int_equal(outcome_of(DRAFT_V_DELETE, 404, ECHOED, ""), DRAFT_V_GONE);
        assert_int_equal(outcome_of(DRAFT_V_DELETE, 200, ECHOED, ""), DRAFT_V_DONE);
}

static void c30_a_read_that_is_refused_says_that_another_has_it(void **state) {
        (void) state;
        assert_int_equal(outcome_of(DRAFT_V_READ, 401, ECHOED, ""), DRAFT_V_CLAIMED);
        for (int operation = 0; operation < _DRAFT_V_OPERATION_MAX; operation++)
                if (operation != DRAFT_V_READ)
                        assert_int_not_equal(
                                        outcome_of((DraftVOperation) operation, 401, ECHOED, ""),
                                        DRAFT_V_CLAIMED);
}

static void c31_a_mailbox_that_is_not_there_ends_the_transfer(void **state) {
        (void) state;
        assert_int_equal(outcome_of(DRAFT_V_READ, 404, ECHOED, ""), DRAFT_V_GONE);
        assert_int_equal(outcome_of(DRAFT_V_UPDATE, 404, ECHOED, ""), DRAFT_V_GONE);
}

static void c32_only_what_may_pass_is_tried_again(void **state) {
        static const int again[] = { 0, 408, 425, 429, 500, 502, 503, 504 };
        size_t n_again = 0;

        (void) state;
        for (int operation = 0; operation < _DRAFT_V_OPERATION_MAX; operation++) {
                n_again = 0;
                for (int status = 300; status < 600; status++)
                        if (outcome_of((DraftVOperation) operation, status, ECHOED, "") ==
                                        DRAFT_V_AGAIN)
                                n_again += status < 500;
                assert_int_equal(n_again, 3);
                for (size_t i = 0; i < N_ELEMENTS(again); i++) {
                        _cleanup_(draft_v_answer_done) DraftVAnswer answer;
                        unsigned retry_after = again[i] == 0 ? 0 : 17;

                        read_answer_of((DraftVOperation) operation,
                                        again[i],
                                        "Retry-After: 17\r\n",
                                        "",
                                        &answer);
                        assert_int_equal(answer.outcome, DRAFT_V_AGAIN);
                        assert_int_equal(answer.retry_after, retry_after);
                }
                assert_int_equal(outcome_of((DraftVOperation) operation, 501, ECHOED, ""),
                                DRAFT_V_REFUSED);
                assert_int_equal(outcome_of((DraftVOperation) operation, 505, ECHOED, ""),
                                DRAFT_V_REFUSED);
        }
}

static void c33_a_payload_is_an_object_or_a_text_of_one(void **state) {
        static const char *const bodies[] = {
                READ_BODY,
                "{\"payload\":\"{\\\"type\\\":\\\"AEAD_AES_128_GCM\\\",\\\"data\\\":\\\"AAAA\\\"}"
                "\"}",
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                _cleanup_(draft_v_answer_done) DraftVAnswer answer;

                read_answer_of(DRAFT_V_READ, 200, ECHOED, bodies[i], &answer);
                assert_int_equal(answer.outcome, DRAFT_V_DONE);
                assert_string_equal(answer.payload_type, "AEAD_AES_128_GCM");
                assert_string_equal(answer.payload_data, "AAAA");
        }
        assert_int_equal(outcome_of(DRAFT_V_READ, 200, ECHOED, "{\"payload\":\"AAAA\"}"),
                        DRAFT_V_AGAIN);
}

static void c34_a_relay_that_does_not_speak_of_push_has_none(void **state) {
        static const struct {
                DraftVOperation operation;
                const char *body;
                bool push;
        } cases[] = {
                { DRAFT_V_CREATE, LINK_BODY, false },
                { DRAFT_V_CREATE,
                                "{\"urlLink\":\"" MAILBOX
                                "\",\"isPushNotificationSupported\":true}",
                                true },
                { DRAFT_V_CREATE,
                                "{\"urlLink\":\"" MAILBOX
                                "\",\"isPushNotificationSupported\":false}",
                                false },
                { DRAFT_V_UPDATE, "", false },
                { DRAFT_V_UPDATE, "{}", false },
                { DRAFT_V_UPDATE, "{\"isPushNotificationSupported\":true}", true },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(draft_v_answer_done) DraftVAnswer answer;

                read_answer_of(cases[i].operation, 200, ECHOED, cases[i].body, &answer);
                assert_int_equal(answer.outcome, DRAFT_V_DONE);
                assert_int_equal(answer.push_is_supported, cases[i].push);
        }
}

static void c40_a_large_or_deep_answer_is_no_answer(void **state) {
        _cleanup_(freep) char *body = malloc(DRAFT_V_ANSWER_MAX + 2);
        size_t prefix;

        (void) state;
        /* As much as may be, and one more. */
        memset(body, ' ', DRAFT_V_ANSWER_MAX + 1);
        memcpy(body, READ_BODY, sizeof(READ_BODY) - 1);
        body[DRAFT_V_ANSWER_MAX] = 0;
        assert_int_equal(outcome_of(DRAFT_V_READ, 200, ECHOED, body), DRAFT_V_DONE);
        body[DRAFT_V_ANSWER_MAX] = ' ';
        body[DRAFT_V_ANSWER_MAX + 1] = 0;
        assert_int_equal(outcome_of(DRAFT_V_READ, 200, ECHOED, body), DRAFT_V_AGAIN);

        for (size_t depth = 1; depth <= 100000; depth *= 10) {
                prefix = (size_t) sprintf(body, "{%s,\"x\":", PAYLOAD);
                memset(body + prefix, '[', depth);
                memset(body + prefix + depth, ']', depth);
                (void) strcpy(body + prefix + 2 * depth, "}");
                assert_int_equal(outcome_of(DRAFT_V_READ, 200, ECHOED, body),
                                depth < DRAFT_V_DEPTH_MAX ? DRAFT_V_DONE : DRAFT_V_AGAIN);
        }
}

static void c43_a_mailbox_may_be_a_uuid_of_any_version(void **state) {
        (void) state;
        for (char version = '0'; version <= '9'; version++) {
                char text[128];
                ShareUrl url;

                (void) snprintf(text,
                                sizeof(text),
                                "https://relay.example/v1/m/2bba630e-519b-%c1ec-bf63-0242ac130002",
                                version);
                assert_int_equal(share_url_parse(text, &url), 0);
                assert_true(share_url_is_link(text, hosts));
        }
}

static void c44_a_member_that_comes_twice_or_is_no_text_is_refused(void **state) {
        static const char *const bodies[] = {
                "{" PAYLOAD "," PAYLOAD "}",
                "{\"payload\":{\"type\":\"t\",\"type\":\"t\",\"data\":\"d\"}}",
                "{\"payload\":{\"type\":\"t\",\"data\":\"d\",\"data\":\"d\"}}",
                "{\"payload\":{\"type\":\"t\",\"dat\\u0061\":\"d\",\"data\":\"e\"}}",
                "{\"payload\":\"{\\\"type\\\":\\\"t\\\",\\\"data\\\":\\\"d\\\",\\\"data\\\":"
                "\\\"d\\\"}\"}",
                "{\"payload\":{\"type\":\"t\",\"data\":\"\xff\"}}",
                "{\"payload\":{\"type\":\"t\",\"data\":\"\xed\xa0\x80\"}}",
                "{\"payload\":{\"type\":\"t\",\"data\":\"\xc0\x80\"}}",
                "{" PAYLOAD ",\"x\":\"\xfe\"}",
        };

        (void) state;
        assert_int_equal(outcome_of(DRAFT_V_READ, 200, ECHOED, READ_BODY), DRAFT_V_DONE);
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                print_message("# case %zu\n", i);
                assert_int_equal(outcome_of(DRAFT_V_READ, 200, ECHOED, bodies[i]), DRAFT_V_AGAIN);
        }
}

static DraftVOperation operation_of(const char *name) {
        static const struct {
                const char *name;
                DraftVOperation operation;
        } names[] = {
                { "CreateMailbox", DRAFT_V_CREATE },
                { "ReadSecureContentFromMailbox", DRAFT_V_READ },
                { "UpdateMailbox", DRAFT_V_UPDATE },
                { "DeleteMailbox", DRAFT_V_DELETE },
                { "RelinquishMailbox", DRAFT_V_RELINQUISH },
                { "ReadDisplayInformationFromMailbox", DRAFT_V_PREVIEW },
        };

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (streq(names[i].name, name))
                        return names[i].operation;
        fail_msg("an operation without a name: %s", name);
        return DRAFT_V_CREATE;
}

static json_t *payload_named(const char *name) {
        const json_t *vector;
        size_t i;

        json_array_foreach(json_object_get(vectors, "payload_positive"), i, vector) {
                if (streq(name, vector_text(vector, "name")))
                        return json_loads(vector_text(vector, "payload_json"), 0, NULL);
        }
        return NULL;
}

/* A step's body with its placeholders filled in: the payload vector that it names, and an
 * expiration that we know. NULL: there is none. */
static json_t *scenario_body(const json_t *step) {
        json_t *body = json_deep_copy(json_object_get(step, "json"));
        const char *name = text_at(body, "payload", "$payload");
        json_t *configuration = json_object_get(body, "mailboxConfiguration");

        if (name)
                assert_int_equal(json_object_set_new(body, "payload", payload_named(name)), 0);
        if (configuration)
                assert_int_equal(json_object_set_new(configuration,
                                                 "expiration",
                                                 json_string("2026-11-21T12:00:00Z")),
                                0);
        return body;
}

static DraftVToken token_of(const json_t *body) {
        return (DraftVToken){
                .type = text_at(body, "notificationToken", "type"),
                .data = text_at(body, "notificationToken", "tokenData"),
        };
}

static int build_step(const json_t *step, const json_t *body, HttpRequest *ret) {
        const json_t *headers = json_object_get(step, "headers");
        const char *id = vector_text(headers, "Mailbox-Request-ID");
        const DraftVOperation operation = operation_of(vector_text(step, "op"));
        const DraftVCaller caller = {
                .claim = vector_text(headers, "Mailbox-Device-Claim"),
                .request_id = id ? id : REQUEST,
        };

        if (operation == DRAFT_V_CREATE)
                return draft_v_create("https://relay.example",
                                &caller,
                                &(DraftVCreate){
                                                .title = text_at(body,
                                                                "displayInformation",
                                                                "title"),
                                                .description = text_at(body,
                                                                "displayInformation",
                                                                "description"),
                                                .image_url = text_at(body,
                                                                "displayInformation",
                                                                "imageURL"),
                                                .payload_type = text_at(body, "payload", "type"),
                                                .payload_data = text_at(body, "payload", "data"),
                                                .access_rights = text_at(body,
                                                                "mailboxConfiguration",
                                                                "accessRights"),
                                                .expiration = NOW,
                                                .token = token_of(body),
                                },
                                ret);
        if (operation == DRAFT_V_UPDATE)
                return draft_v_update(MAILBOX,
                                &caller,
                                &(DraftVUpdate){
                                                .payload_type = text_at(body, "payload", "type"),
                                                .payload_data = text_at(body, "payload", "data"),
                                                .token = token_of(body),
                                },
                                ret);
        return draft_v_plain(operation, MAILBOX, &caller, ret);
}

/* The others are there to see a relay refuse them. */
static bool step_is_ours(const json_t *step, const json_t *body) {
        const json_t *headers = json_object_get(step, "headers");

        switch (operation_of(vector_text(step, "op"))) {
        case DRAFT_V_PREVIEW:
                return true;
        case DRAFT_V_CREATE:
                return text_at(body, "displayInformation", "title") &&
                       text_at(body, "displayInformation", "imageURL") &&
                       text_at(body, "payload", "data") &&
                       text_at(body, "mailboxConfiguration", "accessRights");
        default:
                return json_object_get(headers, "Mailbox-Device-Claim") != NULL;
        }
}

static void assert_step(const json_t *step, const json_t *expected) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        const char *const url = streq(vector_text(step, "path"), "/v1/m")
                                                ? "https://relay.example/v1/m"
                                                : MAILBOX;
        json_auto_t *body = NULL;
        const char *name;
        const json_t *value;

        assert_int_equal(build_step(step, expected, &request), 0);
        assert_string_equal(request.method, vector_text(step, "method"));
        assert_string_equal(request.url, url);
        json_object_foreach((json_t *) json_object_get(step, "headers"), name, value) {
                const char *ours = NULL;

                assert_int_equal(headers_of(&request, name, &ours), 1);
                assert_string_equal(ours, json_string_value(value));
        }
        assert_true((expected != NULL) == (request.body != NULL));
        if (expected) {
                body = body_of(&request);
                assert_true(json_equal(body, expected));
        }
}

static void every_request_of_the_scenarios_is_built(void **state) {
        const json_t *scenarios =
                        json_object_get(json_object_get(vectors, "relay_scenarios"), "scenarios");
        const json_t *scenario, *step;
        size_t i, j, n_built = 0, n_foreign = 0;

        (void) state;
        json_array_foreach(scenarios, i, scenario) {
                (void) vector_begin(scenario);
                json_array_foreach(json_object_get(scenario, "steps"), j, step) {
                        json_auto_t *body = scenario_body(step);

                        if (!vector_text(step, "op"))
                                continue; /* the clock moves */
                        if (step_is_ours(step, body)) {
                                assert_step(step, body);
                                n_built++;
                        } else
                                n_foreign++;
                }
        }
        assert_int_equal(n_built, 66);
        assert_int_equal(n_foreign, 3);
}

int main(int argc, char **argv) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(c01_nothing_but_https_is_asked),
                cmocka_unit_test(c03_every_change_names_its_request),
                cmocka_unit_test(c04_both_reads_name_their_request),
                cmocka_unit_test(c05_a_retry_is_the_same_request_to_the_octet),
                cmocka_unit_test(c06_an_answer_to_another_request_is_no_answer),
                cmocka_unit_test(c07_all_but_the_preview_carry_the_claim),
                cmocka_unit_test(c08_a_preview_carries_no_claim),
                cmocka_unit_test(c13_a_create_has_every_member_that_is_required),
                cmocka_unit_test(c14_several_messages_ask_for_the_right_to_write),
                cmocka_unit_test(c15_an_expiration_is_utc_to_the_second),
                cmocka_unit_test(c16_a_create_always_says_when_it_expires),
                cmocka_unit_test(c17_a_token_has_both_members_or_is_not_sent),
                cmocka_unit_test(c18_a_link_begins_with_what_the_relay_gave),
                cmocka_unit_test(c19_the_secret_is_the_fragment_and_nothing_else),
                cmocka_unit_test(c20_no_request_carries_a_fragment),
                cmocka_unit_test(c21_no_vertical_is_general_access),
                cmocka_unit_test(c22_only_a_relay_that_was_named_is_asked),
                cmocka_unit_test(c23_both_algorithms_open_what_they_sealed),
                cmocka_unit_test(c24_no_two_messages_share_an_iv),
                cmocka_unit_test(c25_a_payload_is_iv_ciphertext_and_tag_in_plain_base64),
                cmocka_unit_test(c26_each_way_to_be_wrong_has_its_own_name_and_no_plaintext),
                cmocka_unit_test(c27_what_is_carried_has_a_format_and_content),
                cmocka_unit_test(c28_an_answer_to_a_repeated_request_counts),
                cmocka_unit_test(c29_a_mailbox_that_is_not_there_is_deleted),
                cmocka_unit_test(c30_a_read_that_is_refused_says_that_another_has_it),
                cmocka_unit_test(c31_a_mailbox_that_is_not_there_ends_the_transfer),
                cmocka_unit_test(c32_only_what_may_pass_is_tried_again),
                cmocka_unit_test(c33_a_payload_is_an_object_or_a_text_of_one),
                cmocka_unit_test(c34_a_relay_that_does_not_speak_of_push_has_none),
                cmocka_unit_test(c40_a_large_or_deep_answer_is_no_answer),
                cmocka_unit_test(c43_a_mailbox_may_be_a_uuid_of_any_version),
                cmocka_unit_test(c44_a_member_that_comes_twice_or_is_no_text_is_refused),
                cmocka_unit_test(every_request_of_the_scenarios_is_built),
        };

        if (secret_init() < 0 || vectors_load(argc, argv) != 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
