/* The client's checklist for Draft V, answers: a test's name begins with the number that it
 * shows (CONFORMANCE.md). */
#include "conformance-case.h"

#include "payload.h"
#include "secret.h"
#include "share-url.h"

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

int main(void) {
        static const struct CMUnitTest tests[] = {
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
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
