/* What a channel's answers do to a row of the outbox: which are counted, and that each kind of them
 * has an end. On a whole gateway whose plugins never connect. */
#include "test.h"

#include <stdio.h>

#include "log.h"
#include "world.h"

enum { SHARE = 7, PART = 0 };

static OutboxRow put_row(Gateway *g, OutboxKind kind) {
        OutboxRow row = { .share = SHARE, .part = PART, .kind = kind, .attempts = 1 };
        Share share = world_share(SHARE, LIFECYCLE_PENDING);

        (void) snprintf(row.lane, sizeof(row.lane), "echo");
        share.expires = share.due = gateway_now(g) + 1000;
        assert_int_equal(store_begin(g->store), 0);
        assert_int_equal(store_share_insert(g->store, &share), 0);
        assert_int_equal(store_outbox_put(g->store, &row), 0);
        assert_int_equal(store_commit(g->store), 0);
        return row;
}

/* One answer to the row as it is in the store. */
static int answered(Gateway *g, json_t *answer, uint64_t *ret_retry) {
        ShareContext c;
        OutboxRow row;
        int r;

        assert_int_equal(store_begin(g->store), 0);
        assert_int_equal(share_context_load(&c, g, SHARE), 0);
        assert_int_equal(store_outbox_get(g->store, SHARE, PART, &row), 0);
        *ret_retry = 0;
        r = channel_answered(&c, &row, answer, ret_retry);
        share_context_done(&c);
        assert_int_equal(store_commit(g->store), 0);
        json_decref(answer);
        return r;
}

static json_t *later(int seconds) {
        return json_pack("{s:s, s:s, s:i}",
                        "type",
                        "later",
                        "reason",
                        "quiet-hours",
                        "retry_after",
                        seconds);
}

static void no_number_of_postponements_makes_a_dead_letter(void **state) {
        World *w = *state;
        Gateway *g = w->gateway;
        uint64_t retry;
        OutboxRow row = put_row(g, OUTBOX_INVITATION);

        for (int i = 0; i < 1000; i++)
                assert_int_equal(answered(g, later(60), &retry), OUTBOX_VERDICT_LATER);
        assert_int_equal(retry, 60 * 1000);
        assert_int_equal(store_outbox_get(g->store, SHARE, PART, &row), 0);
        assert_int_equal(row.attempts, 0);
        assert_false(row.dead);
        assert_string_equal(row.reason, "quiet-hours");
}

/* A try that was made stays counted, and forty of them are the end. */
static void postponements_between_tries_hide_none_of_them(void **state) {
        World *w = *state;
        Gateway *g = w->gateway;
        uint64_t retry;
        OutboxRow row = put_row(g, OUTBOX_INVITATION);

        for (int i = 0; i < 39; i++) {
                assert_int_equal(store_outbox_get(g->store, SHARE, PART, &row), 0);
                assert_false(row.dead);
                (void) answered(g,
                                json_pack("{s:s, s:s}", "type", "failed", "reason", "no"),
                                &retry);
                (void) answered(g, later(1), &retry);
        }
        assert_int_equal(store_outbox_get(g->store, SHARE, PART, &row), 0);
        assert_int_equal(row.attempts, 40);
        assert_true(row.dead);
}

static void a_channel_says_how_long_within_a_day(void **state) {
        static const struct {
                int seconds;
                uint64_t retry;
        } cases[] = {
                { 1, 1000 }, { 86400, 86400000 }, { 86401, 86400000 }, { 0, 1000 }, { -5, 1000 }
        };
        World *w = *state;
        uint64_t retry;

        (void) put_row(w->gateway, OUTBOX_INVITATION);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                (void) answered(w->gateway, later(cases[i].seconds), &retry);
                assert_int_equal(retry, cases[i].retry);
        }
}

static void what_cannot_be_taken_back_is_given_up_soon(void **state) {
        World *w = *state;
        Gateway *g = w->gateway;
        OutboxRow row = put_row(g, OUTBOX_WITHDRAW);
        uint64_t retry;
        int n = 0;

        while (answered(g, json_pack("{s:s, s:s}", "type", "failed", "reason", "no"), &retry) ==
                        OUTBOX_VERDICT_AGAIN)
                assert_true(++n < 10);
        assert_int_equal(n, 4);
        assert_int_equal(store_outbox_get(g->store, SHARE, PART, &row), STORE_E_NOT_FOUND);
        assert_int_equal(g->counters[COUNTER_DEAD_LETTERS], 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(no_number_of_postponements_makes_a_dead_letter,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(postponements_between_tries_hide_none_of_them,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(
                                a_channel_says_how_long_within_a_day, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(what_cannot_be_taken_back_is_given_up_soon,
                                world_setup,
                                world_teardown),
        };

        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
