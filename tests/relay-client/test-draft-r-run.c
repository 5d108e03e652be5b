/* A run of Draft R from its first message to its last, whatever is lost on the way. */
#include "draft-r-pair.h"

#include <stdio.h>

#include "draft-r-transcript.h"
#include "secret.h"

static void a_conversation_leaves_nothing_behind(void **state) {
        (void) state;
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++)
                for (DraftRContextMode mode = 0; mode < _DRAFT_R_CONTEXT_MODE_MAX; mode++) {
                        pair_begin(suite, mode);
                        pair_converse();
                        assert_int_equal(store_size(), 0);
                        pair_end();
                }
        pair_setup(state);
}

/* Every request lost, every answer lost, every state not stored: one after the other. */
static void r11_whatever_is_lost_the_conversation_ends_the_same(void **state) {
        size_t n = 0;

        (void) state;
        for (Fault fault = FAULT_LOST_REQUEST; fault < _FAULT_MAX; fault++)
                for (size_t at = 0;; at++) {
                        size_t reached;

                        pair_begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH);
                        store.fault = fault;
                        store.fault_at = at;
                        pair_converse();
                        assert_int_equal(store_size(), 0);
                        reached = fault == FAULT_CRASH ? store.n_operations : store.n_log;
                        pair_end();
                        n++;
                        if (reached <= at)
                                break;
                }
        print_message("# %zu faults\n", n);
        assert_true(n > 50);
        pair_setup(state);
}

static void r4_a_message_is_deleted_before_the_next_is_put(void **state) {
        (void) state;
        pair_invite();
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_int_equal(pair_ask(&bob, RELAY_JOB_UPDATE, "two"), RELAY_DONE);
        assert_int_equal(store.n_log, 4);
        pair_assert_log(0, "PUT", alice.first);
        pair_assert_log(1, "GET", alice.first);
        pair_assert_log(2, "DELETE", alice.first);
        assert_int_equal(strncmp(store.log[3], "PUT ", 4), 0);
        assert_string_not_equal(pair_url_in_log(3), alice.first);
}

static void r4_a_delete_that_fails_holds_the_next_message_back(void **state) {
        static const struct {
                int status;
                RelayOutcome outcome;
        } cases[] = {
                { 503, RELAY_AGAIN },
                { 405, RELAY_REFUSED },
                { 403, RELAY_UNAUTHORISED },
                { 302, RELAY_REFUSED },
        };

        (void) state;
        pair_invite();
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                store.status = cases[i].status;
                assert_int_equal(pair_ask(&bob, RELAY_JOB_UPDATE, "two"), cases[i].outcome);
                pair_assert_log(2 + i, "DELETE", alice.first);
                assert_int_equal(store.n_log, 3 + i);
        }
}

static void r11_a_read_ends_before_anything_is_deleted(void **state) {
        uint8_t *before;

        (void) state;
        pair_invite();
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_int_equal(store.n_log, 2);
        assert_int_equal(store_size(), 1);
        assert_non_null(bob.state);

        /* The process ends here, before the state was durable: all is as before. */
        before = TAKE_PTR(bob.state);
        free(before);
        bob.content[0] = 0;
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, "one");

        assert_int_equal(pair_ask(&bob, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_DONE);
        assert_int_equal(store_size(), 0);
        assert_int_equal(pair_ask(&bob, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_DONE);
        pair_assert_log(store.n_log - 1, "DELETE", alice.first);
        assert_int_equal(store.n_log, 4);
}

static void r11_a_repeated_put_carries_the_same_octets(void **state) {
        _cleanup_(freep) char *first = NULL;
        Item *item;
        size_t size;

        (void) state;
        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        item = store_find(alice.first);
        assert_non_null(item);
        first = TAKE_PTR(item->body);
        size = item->size;
        item_done(item);

        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        item = store_find(pair_url_in_log(0));
        assert_non_null(item);
        assert_int_equal(item->size, size);
        assert_memory_equal(item->body, first, size);
}

/* What the pair checks of each request, over a whole transfer at a relay that would set a cookie.
 */
static void r8_no_cookie_and_no_other_header_that_is_not_needed_is_sent(void **state) {
        (void) state;
        store.headers = "Set-Cookie: who=alice; Path=/\r\n";
        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_hand_over(&bob, &alice, "two");
        pair_hand_over(&alice, &bob, "three");
        store.headers = NULL;
        assert_true(store.n_log >= 8);
}

static void r9_an_own_message_that_lies_there_already_is_done(void **state) {
        (void) state;
        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        assert_int_equal(store.n_log, 3);
        pair_assert_log(1, "PUT", alice.first);
        pair_assert_log(2, "GET", alice.first);
        assert_non_null(alice.link);
}

static void r9_who_is_not_first_has_lost_the_race_for_good(void **state) {
        _cleanup_(freep) char *url = NULL;

        (void) state;
        pair_invite();
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_int_equal(pair_ask(&bob, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_DONE);
        store.fault = FAULT_LOST_REQUEST;
        store.fault_at = store.n_log;
        assert_int_equal(pair_ask(&bob, RELAY_JOB_UPDATE, "two"), RELAY_AGAIN);
        url = strdup(pair_url_in_log(store.n_log - 1));
        store_put(url, "somebody else's", 15);

        assert_int_equal(pair_ask(&bob, RELAY_JOB_UPDATE, "two"), RELAY_REFUSED);
        pair_assert_aborted(&bob, "abort-race-lost");
        assert_memory_equal(store_find(url)->body, "somebody else's", 15);
        assert_int_equal(pair_ask(&bob, RELAY_JOB_DELETE, NULL), RELAY_DONE);
        assert_int_equal(store_size(), 0);
}

static void r9_another_text_under_the_same_state_is_a_lost_race_too(void **state) {
        (void) state;
        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "One"), RELAY_REFUSED);
        assert_string_equal(alice.reason, "abort-race-lost");
}

/* The peer takes a message whose PUT we repeat, as its new state was not stored. */
static void a_repeated_put_may_come_after_the_answer(void **state) {
        (void) state;
        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_hand_over(&bob, &alice, "two");

        store.fault = FAULT_CRASH;
        store.fault_at = store.n_operations;
        assert_int_equal(pair_ask(&alice, RELAY_JOB_UPDATE, "three"), RELAY_AGAIN);
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        assert_string_equal(bob.content, "three");
        pair_ask_until_done(&bob, RELAY_JOB_UPDATE, "four");
        assert_int_equal(store_size(), 1);

        pair_ask_until_done(&alice, RELAY_JOB_UPDATE, "three");
        assert_int_equal(store_size(), 2);
        pair_ask_until_done(&alice, RELAY_JOB_READ, NULL);
        assert_string_equal(alice.content, "four");
        pair_ask_until_done(&alice, RELAY_JOB_ACKNOWLEDGE, NULL);
        assert_int_equal(store_size(), 0);
}

static void something_that_vanishes_between_put_and_get_is_tried_again(void **state) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        RelayJobTask task = pair_task(&alice, RELAY_JOB_CREATE, "one");
        HttpRequest request;

        (void) state;
        assert_int_equal(relay_job_begin(relay_protocol_find("draft-r"),
                                         &alice.terms,
                                         &task,
                                         &job,
                                         &request),
                        RELAY_SEND);
        http_request_done(&request);
        assert_int_equal(relay_job_answer(job, &(HttpAnswer){ .status = 412 }, NOW, &request),
                        RELAY_SEND);
        assert_string_equal(request.method, "GET");
        http_request_done(&request);
        assert_int_equal(relay_job_answer(job, &(HttpAnswer){ .status = 404 }, NOW, &request), 0);
        assert_int_equal(relay_job_result(job)->outcome, RELAY_AGAIN);
        assert_string_equal(relay_job_result(job)->reason, "vanished");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(a_conversation_leaves_nothing_behind),
                TEST(r11_whatever_is_lost_the_conversation_ends_the_same),
                TEST(r4_a_message_is_deleted_before_the_next_is_put),
                TEST(r4_a_delete_that_fails_holds_the_next_message_back),
                TEST(r11_a_read_ends_before_anything_is_deleted),
                TEST(r11_a_repeated_put_carries_the_same_octets),
                TEST(r8_no_cookie_and_no_other_header_that_is_not_needed_is_sent),
                TEST(r9_an_own_message_that_lies_there_already_is_done),
                TEST(r9_who_is_not_first_has_lost_the_race_for_good),
                TEST(r9_another_text_under_the_same_state_is_a_lost_race_too),
                TEST(a_repeated_put_may_come_after_the_answer),
                TEST(something_that_vanishes_between_put_and_get_is_tried_again),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
