/* Draft V: what each answer means for each operation, and what a hostile relay may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>

#include "cleanup.h"
#include "draft-v-case.h"
#include "draft-v.h"
#include "secret.h"

#define LINK_BODY "{\"urlLink\":\"" MAILBOX "\",\"isPushNotificationSupported\":false}"
#define READ_BODY                                                                            \
        "{\"payload\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"AAAA\"},"                    \
        "\"displayInformation\":{\"title\":\"T\",\"description\":\"D\",\"imageURL\":\"I\"}," \
        "\"expiration\":\"2021-11-03T20:32:34+0000\"}"

static void answer_read(DraftVOperation operation,
                int status,
                const char *headers,
                const char *body,
                size_t body_size,
                DraftVAnswer *ret) {
        HttpAnswer answer = answer_of(status, headers, body, body_size);

        assert_int_equal(draft_v_read_answer(operation, REQUEST, &answer, hosts, NOW, ret), 0);
}

static DraftVOutcome outcome_of(
                DraftVOperation operation, int status, const char *headers, const char *body) {
        DraftVAnswer answer;
        DraftVOutcome outcome;

        answer_read(operation, status, headers, body, strlen(body), &answer);
        outcome = answer.outcome;
        draft_v_answer_done(&answer);
        return outcome;
}

static void every_status_has_its_meaning(void **state) {
        enum {
                D = DRAFT_V_DONE,
                A = DRAFT_V_AGAIN,
                DUP = DRAFT_V_DUPLICATE,
                RE = DRAFT_V_REREAD,
                G = DRAFT_V_GONE,
                CL = DRAFT_V_CLAIMED,
                U = DRAFT_V_UNAUTHORISED,
                R = DRAFT_V_REFUSED,
        };
        /* clang-format off */
        static const struct {
                int status;
                int outcomes[5]; /* create, read, update, delete, relinquish; without a body */
        } rows[] = {
                { 0,   { A,   A,  A, A, A } },
                { 200, { A,   A,  D, D, D } },
                { 201, { DUP, RE, D, D, D } },
                { 204, { A,   A,  D, D, D } },
                { 301, { R,   R,  R, R, R } },
                { 302, { R,   R,  R, R, R } },
                { 307, { R,   R,  R, R, R } },
                { 400, { R,   R,  R, R, R } },
                { 401, { U,   CL, U, U, U } },
                { 403, { U,   R,  R, R, U } },
                { 404, { R,   G,  G, G, G } },
                { 405, { R,   R,  R, R, R } },
                { 408, { A,   A,  A, A, A } },
                { 409, { R,   R,  R, R, R } },
                { 413, { R,   R,  R, R, R } },
                { 425, { A,   A,  A, A, A } },
                { 429, { A,   A,  A, A, A } },
                { 500, { A,   A,  A, A, A } },
                { 501, { R,   R,  R, R, R } },
                { 502, { A,   A,  A, A, A } },
                { 503, { A,   A,  A, A, A } },
                { 504, { A,   A,  A, A, A } },
        };
        /* clang-format on */
        static const DraftVOperation operations[] = {
                DRAFT_V_CREATE, DRAFT_V_READ, DRAFT_V_UPDATE, DRAFT_V_DELETE, DRAFT_V_RELINQUISH
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                for (size_t j = 0; j < N_ELEMENTS(operations); j++) {
                        print_message("# status %d, operation %zu\n", rows[i].status, j);
                        assert_int_equal(outcome_of(operations[j], rows[i].status, ECHOED, ""),
                                        rows[i].outcomes[j]);
                        /* A missing echo changes nothing, a wrong one everything. */
                        assert_int_equal(outcome_of(operations[j], rows[i].status, "", ""),
                                        rows[i].outcomes[j]);
                        assert_int_equal(outcome_of(operations[j],
                                                         rows[i].status,
                                                         "Mailbox-Request-ID: " CLAIM "\r\n",
                                                         ""),
                                        A);
                }
        assert_int_equal(outcome_of(DRAFT_V_PREVIEW, 200, "", "<html></html>"), D);
        assert_int_equal(outcome_of(DRAFT_V_PREVIEW, 404, "", ""), G);
}

static void bodies_decide_where_they_must(void **state) {
        static const struct {
                DraftVOperation operation;
                int status;
                const char *body;
                DraftVOutcome outcome;
        } cases[] = {
                { DRAFT_V_CREATE, 200, LINK_BODY, DRAFT_V_DONE },
                { DRAFT_V_CREATE, 201, LINK_BODY, DRAFT_V_DONE },
                { DRAFT_V_CREATE, 202, LINK_BODY, DRAFT_V_DONE },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":\"" MAILBOX "\"}", DRAFT_V_DONE },
                { DRAFT_V_CREATE, 201, "{}", DRAFT_V_DUPLICATE },
                { DRAFT_V_CREATE, 201, "not json", DRAFT_V_DUPLICATE },
                { DRAFT_V_CREATE, 200, "{}", DRAFT_V_AGAIN },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":7}", DRAFT_V_AGAIN },
                { DRAFT_V_CREATE, 200, "[]", DRAFT_V_AGAIN },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":\"https://rel", DRAFT_V_AGAIN },
                { DRAFT_V_CREATE, 200, LINK_BODY " x", DRAFT_V_AGAIN },
                { DRAFT_V_CREATE,
                                200,
                                "{\"urlLink\":\"" MAILBOX "\",\"urlLink\":\"" MAILBOX "\"}",
                                DRAFT_V_AGAIN },
                { DRAFT_V_CREATE,
                                200,
                                "{\"urlLink\":\"" MAILBOX "\",\"x\":\"\xff\"}",
                                DRAFT_V_AGAIN },
                { DRAFT_V_CREATE,
                                200,
                                "{\"urlLink\":\"" MAILBOX
                                "\",\"isPushNotificationSupported\":\"yes\"}",
                                DRAFT_V_AGAIN },
                { DRAFT_V_CREATE,
                                200,
                                "{\"urlLink\":\"http://relay.example/v1/m/"
                                "3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77\"}",
                                DRAFT_V_REFUSED },
                { DRAFT_V_CREATE,
                                200,
                                "{\"urlLink\":\"https://evil.example/v1/m/"
                                "3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77\"}",
                                DRAFT_V_REFUSED },
                { DRAFT_V_CREATE,
                                201,
                                "{\"urlLink\":\"https://relay.example@evil.example/v1/m/"
                                "3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77\"}",
                                DRAFT_V_REFUSED },
                { DRAFT_V_CREATE,
                                200,
                                "{\"urlLink\":\"" MAILBOX "#hXlr6aRC7KgJpOLTNZaLsw==\"}",
                                DRAFT_V_REFUSED },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":\"" MAILBOX "?v=c\"}", DRAFT_V_REFUSED },
                { DRAFT_V_CREATE,
                                200,
                                "{\"urlLink\":\"https://relay.example/v1/m/x\"}",
                                DRAFT_V_REFUSED },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":\"javascript:alert(1)\"}", DRAFT_V_REFUSED },
                { DRAFT_V_READ, 200, READ_BODY, DRAFT_V_DONE },
                { DRAFT_V_READ, 201, READ_BODY, DRAFT_V_DONE },
                { DRAFT_V_READ,
                                200,
                                "{\"payload\":{\"type\":\"t\",\"data\":\"d\"}}",
                                DRAFT_V_DONE },
                { DRAFT_V_READ,
                                200,
                                "{\"payload\":\"{\\\"type\\\":\\\"t\\\",\\\"data\\\":\\\"d\\\"}\"}",
                                DRAFT_V_DONE },
                { DRAFT_V_READ, 200, "{\"payload\":\"{\"}", DRAFT_V_AGAIN },
                { DRAFT_V_READ, 200, "{\"payload\":{\"type\":\"t\"}}", DRAFT_V_AGAIN },
                { DRAFT_V_READ, 200, "{\"payload\":{\"type\":\"t\",\"data\":1}}", DRAFT_V_AGAIN },
                { DRAFT_V_READ,
                                200,
                                "{\"payload\":{\"type\":\"t\",\"type\":\"u\",\"data\":\"d\"}}",
                                DRAFT_V_AGAIN },
                { DRAFT_V_READ,
                                200,
                                "{\"payload\":{\"type\":\"t\",\"data\":\"d\"},\"expiration\":"
                                "\"soon\"}",
                                DRAFT_V_AGAIN },
                { DRAFT_V_READ,
                                200,
                                "{\"payload\":{\"type\":\"t\",\"data\":\"d\"},"
                                "\"displayInformation\":{\"title\":1}}",
                                DRAFT_V_AGAIN },
                { DRAFT_V_READ,
                                200,
                                "{\"payload\":{\"type\":\"t\",\"data\":\"d\"},"
                                "\"displayInformation\":\"x\"}",
                                DRAFT_V_AGAIN },
                { DRAFT_V_READ, 200, "{}", DRAFT_V_AGAIN },
                { DRAFT_V_READ, 201, "{}", DRAFT_V_REREAD },
                { DRAFT_V_UPDATE, 200, "{\"isPushNotificationSupported\":true}", DRAFT_V_DONE },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                print_message("# %d %s\n", cases[i].status, cases[i].body);
                assert_int_equal(outcome_of(cases[i].operation,
                                                 cases[i].status,
                                                 ECHOED,
                                                 cases[i].body),
                                cases[i].outcome);
        }
}

static void what_cannot_be_used_has_a_name_of_its_own(void **state) {
#define LINK(text) "{\"urlLink\":\"" text "\"}"
#define PATH "/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77"
#define PAYLOAD "{\"payload\":{\"type\":\"t\",\"data\":\"d\"}"
#define DEEP "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"
        static const struct {
                DraftVOperation operation;
                int status;
                const char *body;
                DraftVOutcome outcome;
                const char *reason;
        } cases[] = {
                /* clang-format off */
                { DRAFT_V_CREATE, 200, "", DRAFT_V_AGAIN, "answer-not-json" },
                { DRAFT_V_CREATE, 200, "<html></html>", DRAFT_V_AGAIN, "answer-not-json" },
                { DRAFT_V_CREATE, 200, LINK_BODY " x", DRAFT_V_AGAIN, "answer-not-json" },
                { DRAFT_V_CREATE, 200, "[]", DRAFT_V_AGAIN, "answer-form" },
                { DRAFT_V_CREATE, 200, "{}", DRAFT_V_AGAIN, "answer-form" },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":7}", DRAFT_V_AGAIN, "answer-form" },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":\"" MAILBOX "\",\"isPushNotificationSupported\":1}", DRAFT_V_AGAIN, "answer-form" },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":\"" MAILBOX "\",\"x\":" DEEP "}", DRAFT_V_AGAIN, "answer-too-deep" },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":\"" MAILBOX "\",\"urlLink\":\"" MAILBOX "\"}", DRAFT_V_AGAIN, "answer-repeated-member" },
                { DRAFT_V_CREATE, 200, "{\"urlLink\":\"" MAILBOX "\",\"x\":\"\xc3\x28\"}", DRAFT_V_AGAIN, "answer-not-utf8" },
                { DRAFT_V_CREATE, 201, "", DRAFT_V_DUPLICATE, "duplicate" },
                { DRAFT_V_CREATE, 201, "{}", DRAFT_V_DUPLICATE, "duplicate" },
                { DRAFT_V_CREATE, 201, "{", DRAFT_V_DUPLICATE, "answer-not-json" },
                { DRAFT_V_CREATE, 201, DEEP "]", DRAFT_V_DUPLICATE, "answer-not-json" },
                { DRAFT_V_CREATE, 201, "[" DEEP "]", DRAFT_V_DUPLICATE, "answer-too-deep" },
                { DRAFT_V_CREATE, 200, LINK("http://relay.example" PATH), DRAFT_V_REFUSED, "link-not-https" },
                { DRAFT_V_CREATE, 200, LINK("javascript:alert(1)"), DRAFT_V_REFUSED, "link-not-https" },
                { DRAFT_V_CREATE, 200, LINK("https://evil.example" PATH), DRAFT_V_REFUSED, "link-other-host" },
                { DRAFT_V_CREATE, 201, LINK("https://evil.example" PATH), DRAFT_V_REFUSED, "link-other-host" },
                { DRAFT_V_CREATE, 200, LINK("https://relay.example:8443" PATH), DRAFT_V_REFUSED, "link-other-host" },
                { DRAFT_V_CREATE, 200, LINK("https://relay.example@evil.example" PATH), DRAFT_V_REFUSED, "link-form" },
                { DRAFT_V_CREATE, 200, LINK("https://relay.example/v1/m/x"), DRAFT_V_REFUSED, "link-form" },
                { DRAFT_V_CREATE, 200, LINK("https://relay.example" PATH "?v=c"), DRAFT_V_REFUSED, "link-form" },
                { DRAFT_V_CREATE, 200, LINK("https://relay.example" PATH "#AAAAAAAAAAAAAAAAAAAAAA=="), DRAFT_V_REFUSED, "link-form" },
                { DRAFT_V_READ, 200, "x", DRAFT_V_AGAIN, "answer-not-json" },
                { DRAFT_V_READ, 200, "{}", DRAFT_V_AGAIN, "answer-form" },
                { DRAFT_V_READ, 200, PAYLOAD ",\"expiration\":\"soon\"}", DRAFT_V_AGAIN, "answer-form" },
                { DRAFT_V_READ, 200, PAYLOAD ",\"x\":" DEEP "}", DRAFT_V_AGAIN, "answer-too-deep" },
                { DRAFT_V_READ, 200, PAYLOAD ",\"payload\":1}", DRAFT_V_AGAIN, "answer-repeated-member" },
                { DRAFT_V_READ, 200, PAYLOAD ",\"\xff\":1}", DRAFT_V_AGAIN, "answer-not-utf8" },
                { DRAFT_V_READ, 200, "{\"payload\":\"{\"}", DRAFT_V_AGAIN, "answer-not-json" },
                { DRAFT_V_READ, 200, "{\"payload\":\"[[[[[]]]]]\"}", DRAFT_V_AGAIN, "answer-too-deep" },
                { DRAFT_V_READ, 200, "{\"payload\":\"{\\\"a\\\":1,\\\"a\\\":1}\"}", DRAFT_V_AGAIN, "answer-repeated-member" },
                { DRAFT_V_READ, 201, "", DRAFT_V_REREAD, "repeated-read" },
                { DRAFT_V_READ, 201, "{", DRAFT_V_REREAD, "answer-not-json" },
                /* clang-format on */
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                DraftVAnswer answer;

                print_message("# %d %s\n", cases[i].status, cases[i].body);
                answer_read(cases[i].operation,
                                cases[i].status,
                                ECHOED,
                                cases[i].body,
                                strlen(cases[i].body),
                                &answer);
                assert_int_equal(answer.outcome, cases[i].outcome);
                assert_string_equal(answer.reason, cases[i].reason);
                assert_null(answer.link);
                assert_null(answer.body);
                draft_v_answer_done(&answer);
        }
#undef LINK
#undef PATH
#undef PAYLOAD
#undef DEEP
}

static void a_deep_or_large_answer_is_no_answer(void **state) {
        const size_t big = DRAFT_V_ANSWER_MAX + 1;
        char *body = malloc(big);
        DraftVAnswer answer;

        (void) state;
        memset(body, '[', big);
        answer_read(DRAFT_V_CREATE, 200, ECHOED, body, 100000, &answer);
        assert_int_equal(answer.outcome, DRAFT_V_AGAIN);
        assert_string_equal(answer.reason, "answer-too-deep");
        draft_v_answer_done(&answer);

        memset(body, ' ', big);
        memcpy(body, LINK_BODY, sizeof(LINK_BODY) - 1);
        answer_read(DRAFT_V_CREATE, 200, ECHOED, body, DRAFT_V_ANSWER_MAX, &answer);
        assert_int_equal(answer.outcome, DRAFT_V_DONE);
        draft_v_answer_done(&answer);
        answer_read(DRAFT_V_CREATE, 200, ECHOED, body, big, &answer);
        assert_int_equal(answer.outcome, DRAFT_V_AGAIN);
        assert_string_equal(answer.reason, "answer-too-large");
        draft_v_answer_done(&answer);
        free(body);
}

static void every_member_of_a_read_arrives(void **state) {
        DraftVAnswer answer;

        (void) state;
        answer_read(DRAFT_V_READ, 200, ECHOED, READ_BODY, strlen(READ_BODY), &answer);
        assert_string_equal(answer.payload_type, "AEAD_AES_128_GCM");
        assert_string_equal(answer.payload_data, "AAAA");
        assert_string_equal(answer.title, "T");
        assert_string_equal(answer.description, "D");
        assert_string_equal(answer.image_url, "I");
        assert_int_equal(answer.expiration, 1635971554);
        assert_false(answer.missing_echo);
        draft_v_answer_done(&answer);
}

static void an_echo_is_found_as_http_writes_it(void **state) {
        static const struct {
                const char *headers;
                bool right, missing;
        } cases[] = {
                { "mailbox-request-id:" REQUEST "\r\n", true, false },
                { "MAILBOX-REQUEST-ID: \t 00000000-0000-4000-8000-00000000000A \t\r\n",
                                true,
                                false },
                { "X: y\r\nMailbox-Request-ID: " REQUEST, true, false },
                { "X-Mailbox-Request-ID: " CLAIM "\r\n", true, true },
                { "Mailbox-Request-ID-Old: " CLAIM "\r\n", true, true },
                { "Mailbox-Request-ID: " REQUEST "\r\nMailbox-Request-ID: " CLAIM "\r\n",
                                false,
                                false },
                { "Mailbox-Request-ID:\r\n", false, false },
                { "Mailbox-Request-ID: " REQUEST "x\r\n", false, false },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                DraftVAnswer answer;

                answer_read(DRAFT_V_DELETE, 200, cases[i].headers, "", 0, &answer);
                assert_int_equal(answer.outcome, cases[i].right ? DRAFT_V_DONE : DRAFT_V_AGAIN);
                assert_int_equal(answer.missing_echo, cases[i].missing);
                draft_v_answer_done(&answer);
        }
}

static void retry_after_is_honoured_within_reason(void **state) {
        static const struct {
                const char *headers;
                unsigned seconds;
        } cases[] = {
                { "Retry-After: 7\r\n", 7 },
                { "retry-after:0\r\n", 0 },
                { "Retry-After: 99999999999999999999\r\n", DRAFT_V_RETRY_AFTER_MAX },
                { "Retry-After: 86400\r\n", DRAFT_V_RETRY_AFTER_MAX },
                { "Retry-After: -3\r\n", 0 },
                { "Retry-After: soon\r\n", 0 },
                { "Retry-After: Sat, 21 Nov 2026 12:01:30 GMT\r\n", 90 },
                { "Retry-After: Sat, 21 Nov 2026 11:00:00 GMT\r\n", 0 },
                { "", 0 },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                DraftVAnswer answer;

                answer_read(DRAFT_V_CREATE, 503, cases[i].headers, "", 0, &answer);
                assert_int_equal(answer.outcome, DRAFT_V_AGAIN);
                assert_int_equal(answer.retry_after, cases[i].seconds);
                assert_string_equal(answer.reason, "http-503");
                draft_v_answer_done(&answer);
        }
}

static const DraftVCaller caller = { .claim = CLAIM, .request_id = REQUEST };

static const DraftVCreate create = {
        .title = "Room key",
        .description = "Hotel \"Adler\"",
        .image_url = "https://hotel.example/key.png",
        .payload_type = "AEAD_AES_128_GCM",
        .payload_data = "AAAA",
        .access_rights = "RD",
        .expiration = NOW,
};

static void a_create_carries_what_the_draft_wants(void **state) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        static const char expected[] =
                        "{\"displayInformation\":{\"title\":\"Room key\",\"description\":\"Hotel "
                        "\\\"Adler\\\"\",\"imageURL\":\"https://hotel.example/key.png\"},"
                        "\"payload\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"AAAA\"},"
                        "\"mailboxConfiguration\":{\"accessRights\":\"RD\",\"expiration\":"
                        "\"2026-11-21T12:00:00Z\"}}";

        (void) state;
        assert_int_equal(draft_v_create("https://Relay.example:8443/", &caller, &create, &request),
                        0);
        assert_string_equal(request.method, "POST");
        assert_string_equal(request.url, "https://relay.example:8443/v1/m");
        assert_int_equal(request.n_headers, 3);
        assert_string_equal(request.headers[0], "Mailbox-Request-ID: " REQUEST);
        assert_string_equal(request.headers[1], "Mailbox-Device-Claim: " CLAIM);
        assert_string_equal(request.headers[2], "Content-Type: application/json");
        assert_int_equal(request.body_size, strlen(expected));
        assert_memory_equal(request.body, expected, strlen(expected));
}

static void a_create_that_no_relay_would_take_is_not_built(void **state) {
        HttpRequest request = HTTP_REQUEST_NULL;
        DraftVCreate bad = create;
        char big[70000];

        (void) state;
        memset(big, 'A', sizeof(big));
        big[sizeof(big) - 1] = 0;
        bad.payload_data = big;
        assert_int_equal(draft_v_create("https://relay.example", &caller, &bad, &request),
                        -EMSGSIZE);
        bad = create;
        big[DRAFT_V_TITLE_MAX + 1] = 0;
        bad.title = big;
        assert_int_equal(draft_v_create("https://relay.example", &caller, &bad, &request), -EINVAL);
        bad = create;
        bad.title = "\xff";
        assert_int_equal(draft_v_create("https://relay.example", &caller, &bad, &request), -EINVAL);
        bad = create;
        bad.payload_data = "AAAAAAAA\xff";
        assert_int_equal(draft_v_create("https://relay.example", &caller, &bad, &request), -EINVAL);
        bad = create;
        bad.access_rights = "RX";
        assert_int_equal(draft_v_create("https://relay.example", &caller, &bad, &request), -EINVAL);
        assert_int_equal(draft_v_create("http://relay.example", &caller, &create, &request),
                        -EINVAL);
        assert_null(request.url);
}

static void an_update_of_no_text_is_not_built(void **state) {
        HttpRequest request = HTTP_REQUEST_NULL;

        (void) state;
        assert_int_equal(draft_v_update(MAILBOX,
                                         &caller,
                                         &(DraftVUpdate){ .payload_type = "AEAD_AES_256_GCM",
                                                         .payload_data = "BBBBBBBB\xff" },
                                         &request),
                        -EINVAL);
}

static void the_other_operations_have_no_body(void **state) {
        static const struct {
                DraftVOperation operation;
                const char *method;
                size_t n_headers;
        } cases[] = {
                { DRAFT_V_READ, "POST", 2 },
                { DRAFT_V_DELETE, "DELETE", 2 },
                { DRAFT_V_RELINQUISH, "PATCH", 2 },
                { DRAFT_V_PREVIEW, "GET", 2 },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;

                assert_int_equal(draft_v_plain(cases[i].operation, MAILBOX, &caller, &request), 0);
                assert_string_equal(request.method, cases[i].method);
                assert_string_equal(request.url, MAILBOX);
                assert_int_equal(request.n_headers, cases[i].n_headers);
                assert_null(request.body);
        }
}

static void an_update_carries_a_payload(void **state) {
        static const char expected[] =
                        "{\"payload\":{\"type\":\"AEAD_AES_256_GCM\",\"data\":\"BBBB\"}}";
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;

        (void) state;
        assert_int_equal(draft_v_update(MAILBOX,
                                         &caller,
                                         &(DraftVUpdate){ .payload_type = "AEAD_AES_256_GCM",
                                                         .payload_data = "BBBB" },
                                         &request),
                        0);
        assert_string_equal(request.method, "PUT");
        assert_int_equal(request.n_headers, 3);
        assert_int_equal(request.body_size, strlen(expected));
        assert_memory_equal(request.body, expected, strlen(expected));
}

/* Draft sct-04 calls two headers otherwise, and the third is the same. */
static void an_older_relay_is_given_its_own_header_names(void **state) {
        static const DraftVOperation operations[] = {
                DRAFT_V_READ, DRAFT_V_DELETE, DRAFT_V_RELINQUISH
        };
        DraftVCaller old = { .claim = CLAIM, .request_id = REQUEST, .attestation = "a+b/c=" };
        HttpRequest request = HTTP_REQUEST_NULL;

        (void) state;
        assert_true(draft_v_dialect_from_legacy("sct04", &old.dialect));
        assert_int_equal(old.dialect, DRAFT_V_SCT04);
        assert_false(draft_v_dialect_from_legacy("sct03", &old.dialect));
        assert_false(draft_v_dialect_from_legacy("", &old.dialect));
        assert_int_equal(old.dialect, DRAFT_V_SCT04);

        for (size_t i = 0; i < N_ELEMENTS(operations); i++) {
                assert_int_equal(draft_v_plain(operations[i], MAILBOX, &old, &request), 0);
                assert_int_equal(request.n_headers, 2);
                assert_string_equal(request.headers[0], "Mailbox-Request-ID: " REQUEST);
                assert_string_equal(request.headers[1], "Device-Claim: " CLAIM);
                http_request_done(&request);
        }
        assert_int_equal(draft_v_create("https://relay.example", &old, &create, &request), 0);
        assert_string_equal(request.headers[1], "Device-Claim: " CLAIM);
        assert_string_equal(request.headers[2], "Device-Attestation: a+b/c=");
        http_request_done(&request);
}

static void an_attestation_goes_with_create_and_update_alone(void **state) {
        const DraftVCaller attested = {
                .claim = CLAIM, .request_id = REQUEST, .attestation = "a+b/c="
        };
        const DraftVUpdate update = { .payload_type = "t", .payload_data = "d" };
        HttpRequest request = HTTP_REQUEST_NULL;

        (void) state;
        assert_int_equal(draft_v_create("https://relay.example", &attested, &create, &request), 0);
        assert_string_equal(request.headers[2], "Mailbox-Device-Attestation: a+b/c=");
        http_request_done(&request);
        assert_int_equal(draft_v_update(MAILBOX, &attested, &update, &request), 0);
        assert_string_equal(request.headers[2], "Mailbox-Device-Attestation: a+b/c=");
        http_request_done(&request);
        for (int operation = 0; operation < _DRAFT_V_OPERATION_MAX; operation++) {
                if (operation == DRAFT_V_CREATE || operation == DRAFT_V_UPDATE)
                        continue;
                assert_int_equal(draft_v_plain((DraftVOperation) operation,
                                                 MAILBOX,
                                                 &attested,
                                                 &request),
                                0);
                for (size_t i = 0; i < request.n_headers; i++)
                        assert_null(strcasestr(request.headers[i], "attestation"));
                http_request_done(&request);
        }
}

static void nothing_that_a_caller_says_becomes_a_header_of_its_own(void **state) {
        static const DraftVCaller bad[] = {
                { .claim = CLAIM "\r\nX: y", .request_id = REQUEST },
                { .claim = "", .request_id = REQUEST },
                { .claim = CLAIM, .request_id = REQUEST "\n" },
                { .claim = CLAIM, .request_id = "x" },
                { .claim = CLAIM, .request_id = REQUEST, .attestation = "a\r\nX: y" },
                { .claim = CLAIM, .request_id = REQUEST, .attestation = "" },
                { .claim = CLAIM, .request_id = REQUEST, .attestation = "a b" },
                { .claim = CLAIM, .request_id = REQUEST, .attestation = "\xc3\xa9" },
        };
        HttpRequest request = HTTP_REQUEST_NULL;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                print_message("# case %zu\n", i);
                assert_int_equal(
                                draft_v_create("https://relay.example", &bad[i], &create, &request),
                                -EINVAL);
                assert_null(request.url);
        }
}

static void a_preview_says_what_the_link_is_for(void **state) {
        static const char page[] =
                        "<html prefix=\"og: https://ogp.me/ns#\"><head><title>x</title>"
                        "<meta property=\"og:title\" content=\"Hotel &amp; Pass\" />"
                        "<meta content='Some Hotel Pass' property='og:description'>"
                        "<meta property=\"og:image\" content=\"https://example.com/photo.jpg\" />"
                        "</head></html>";
        DraftVAnswer answer;

        (void) state;
        answer_read(DRAFT_V_PREVIEW, 200, "", page, strlen(page), &answer);
        assert_int_equal(answer.outcome, DRAFT_V_DONE);
        assert_true(answer.missing_echo);
        assert_string_equal(answer.title, "Hotel & Pass");
        assert_string_equal(answer.description, "Some Hotel Pass");
        assert_string_equal(answer.image_url, "https://example.com/photo.jpg");
        draft_v_answer_done(&answer);

        answer_read(DRAFT_V_PREVIEW, 200, ECHOED, "\xff\x00<", 3, &answer);
        assert_int_equal(answer.outcome, DRAFT_V_DONE);
        assert_null(answer.title);
        assert_null(answer.description);
        assert_null(answer.image_url);
        draft_v_answer_done(&answer);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_status_has_its_meaning),
                cmocka_unit_test(bodies_decide_where_they_must),
                cmocka_unit_test(what_cannot_be_used_has_a_name_of_its_own),
                cmocka_unit_test(a_deep_or_large_answer_is_no_answer),
                cmocka_unit_test(every_member_of_a_read_arrives),
                cmocka_unit_test(an_echo_is_found_as_http_writes_it),
                cmocka_unit_test(retry_after_is_honoured_within_reason),
                cmocka_unit_test(a_create_carries_what_the_draft_wants),
                cmocka_unit_test(a_create_that_no_relay_would_take_is_not_built),
                cmocka_unit_test(an_update_of_no_text_is_not_built),
                cmocka_unit_test(the_other_operations_have_no_body),
                cmocka_unit_test(an_update_carries_a_payload),
                cmocka_unit_test(an_older_relay_is_given_its_own_header_names),
                cmocka_unit_test(an_attestation_goes_with_create_and_update_alone),
                cmocka_unit_test(nothing_that_a_caller_says_becomes_a_header_of_its_own),
                cmocka_unit_test(a_preview_says_what_the_link_is_for),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
