/* The client's checklist for Draft V, what is asked, and how: a test's name begins with the number
 * that it shows (CONFORMANCE.md). */
#include "conformance-case.h"

#include <errno.h>

#include "payload.h"
#include "secret.h"
#include "share-url.h"

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

int main(void) {
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
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
