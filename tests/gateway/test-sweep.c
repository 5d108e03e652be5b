/* When the sweep comes, on a whole gateway whose plugins never connect: what is due is done, once,
 * also while the gateway ends and while others make more due. */
#include "test.h"

#include "log.h"
#include "world.h"

static int insert(Gateway *g, int64_t n, int64_t due) {
        Share share = world_share(n, LIFECYCLE_INVITED);

        share.expires = share.due = due;
        return store_share_insert(g->store, &share);
}

static LifecycleState state_of(const World *w, int64_t n) {
        LifecycleState found;
        Share share;

        assert_int_equal(store_share_load(w->gateway->store, n, &share), 0);
        found = share.state;
        share_done(&share);
        return found;
}

static int64_t due_of(const World *w, int64_t n) {
        Share share;
        int64_t due;

        assert_int_equal(store_share_load(w->gateway->store, n, &share), 0);
        due = share.due;
        share_done(&share);
        return due;
}

static bool is_armed(const World *w) {
        int enabled = SD_EVENT_OFF;

        assert_true(sd_event_source_get_enabled(w->gateway->sweep, &enabled) >= 0);
        return enabled != SD_EVENT_OFF;
}

/* Until the sweep's time has come: its command is in a batch that has not run yet. */
static void run_until_asked(World *w) {
        while (is_armed(w))
                assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
}

static void run_until_swept(World *w) {
        while (!is_armed(w))
                assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
}

static int64_t seconds_to_next(const World *w) {
        uint64_t at, now = time_boot();

        assert_true(sd_event_source_get_time(w->gateway->sweep, &at) >= 0);
        return at > now ? (int64_t) ((at - now) / USEC_PER_SEC) : 0;
}

static void a_sweep_that_waits_when_the_gateway_ends_is_done(void **state) {
        World *w = *state;

        assert_int_equal(insert(w->gateway, 1, 1), 0);
        assert_int_equal(gateway_start(w->gateway), 0);
        run_until_asked(w);
        assert_int_equal(state_of(w, 1), LIFECYCLE_INVITED);
        w->gateway = gateway_free(w->gateway);
        assert_int_equal(sd_event_run(w->event, 0), 0); /* nothing is left to run */
        world_open(w);
        assert_int_equal(state_of(w, 1), LIFECYCLE_EXPIRED);
}

/* A creation that nobody answered: ten minutes, or until the mailbox would have been dead. */
static void a_mailbox_that_was_never_made_is_given_up_when_it_would_have_ended(void **state) {
        World *w = *state;
        static const struct {
                int flags;
                LifecycleCause cause;
        } cases[] = {
                { SHARE_SEVERAL, LIFECYCLE_CAUSE_RELAY_UNREACHABLE },
                { SHARE_MINT, LIFECYCLE_CAUSE_NOT_ISSUED },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Share share = world_share((int64_t) i + 1, LIFECYCLE_RELEASING);

                share.flags = cases[i].flags;
                share.rules.mailbox_ttl = 300;
                share.expires = gateway_now(w->gateway) + 3600;
                share.mailbox_expires = share.due = gateway_now(w->gateway) - 1;
                assert_int_equal(store_share_insert(w->gateway->store, &share), 0);
        }
        assert_int_equal(gateway_start(w->gateway), 0);
        run_until_asked(w);
        run_until_swept(w);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Share found;

                assert_int_equal(store_share_load(w->gateway->store, (int64_t) i + 1, &found), 0);
                assert_int_equal(found.state, LIFECYCLE_FAILED);
                assert_int_equal(found.cause, cases[i].cause);
                share_done(&found);
        }
}

/* Whether the last message of a run was taken can be asked only while it would be there still. */
static void a_mailbox_for_several_messages_is_due_before_its_end_and_at_it(void **state) {
        World *w = *state;
        Share share = world_share(1, LIFECYCLE_RELEASED);
        int64_t end = gateway_now(w->gateway) + 100;

        share.flags = SHARE_SEVERAL;
        share.mailbox_expires = end;
        share.due = end - GATEWAY_LAST_LOOK;
        assert_int_equal(store_share_insert(w->gateway->store, &share), 0);
        assert_int_equal(gateway_start(w->gateway), 0);
        run_until_asked(w);
        run_until_swept(w);
        assert_int_equal(state_of(w, 1), LIFECYCLE_RELEASED);
        assert_int_equal(due_of(w, 1), end);
}

static void a_sweep_that_fails_while_the_gateway_ends_is_left_to_the_next_start(void **state) {
        World *w = *state;

        assert_int_equal(insert(w->gateway, 1, 1), 0);
        assert_int_equal(gateway_start(w->gateway), 0);
        run_until_asked(w);
        assert_int_equal(store_begin(w->gateway->store), 0); /* so that no batch can begin */
        w->gateway = gateway_free(w->gateway);
        world_open(w);
        assert_int_equal(state_of(w, 1), LIFECYCLE_INVITED);
        assert_int_equal(gateway_start(w->gateway), 0);
        assert_int_equal(seconds_to_next(w), 0);
        run_until_asked(w);
        run_until_swept(w);
        assert_int_equal(state_of(w, 1), LIFECYCLE_EXPIRED);
}

static int insert_one_more(void *context) {
        Gateway *g = context;
        int64_t due = gateway_now(g) + 20;
        int r;

        r = insert(g, 2, due);
        sweep_note_due(g, due);
        return r;
}

static void inserted(void *context, int result) {
        (void) context;
        assert_int_equal(result, 0);
}

static void what_becomes_due_in_the_batch_of_a_sweep_is_seen_to_in_time(void **state) {
        World *w = *state;

        assert_int_equal(gateway_start(w->gateway), 0);
        run_until_asked(w);
        assert_int_equal(
                        engine_submit(w->gateway->engine, insert_one_more, inserted, w->gateway, 1),
                        0);
        engine_run(w->gateway->engine);
        assert_int_equal(state_of(w, 2), LIFECYCLE_INVITED);
        assert_in_range(seconds_to_next(w), 0, 20);
}

static void with_nothing_due_the_sweep_comes_in_a_minute(void **state) {
        World *w = *state;

        assert_int_equal(gateway_start(w->gateway), 0);
        run_until_asked(w);
        run_until_swept(w);
        assert_in_range(seconds_to_next(w), 30, 60);
}

/* Events of long ago, as many as one sweep removes and one more, besides the last, which stays. */
static void expired_events_are_swept_at_once_and_in_pieces(void **state) {
        World *w = *state;
        Gateway *g = w->gateway;
        int64_t first, last;

        assert_int_equal(store_begin(g->store), 0);
        for (int64_t n = 1; n <= GATEWAY_SWEEP_PAGE + 2; n++) {
                Share share = world_share(n, LIFECYCLE_INVITED);

                share.due = gateway_now(g) + 3600;
                share_note(&share, 2, TIMELINE_CREATED, 0, 0);
                assert_int_equal(store_share_insert(g->store, &share), 0);
        }
        assert_int_equal(store_commit(g->store), 0);
        assert_int_equal(gateway_start(g), 0);

        run_until_asked(w);
        run_until_swept(w);
        assert_int_equal(store_event_range(g->store, "adler", &first, &last), 0);
        assert_int_equal(first, GATEWAY_SWEEP_PAGE + 1);
        assert_int_equal(seconds_to_next(w), 0);
        run_until_asked(w);
        run_until_swept(w);
        assert_int_equal(store_event_range(g->store, "adler", &first, &last), 0);
        assert_int_equal(first, GATEWAY_SWEEP_PAGE + 2);
        assert_int_equal(last, GATEWAY_SWEEP_PAGE + 2);
        assert_in_range(seconds_to_next(w), 30, 60);
}

static void a_page_of_shares_that_cannot_be_swept_is_postponed_and_the_next_swept_at_once(
                void **state) {
        World *w = *state;
        Gateway *g = w->gateway;
        int64_t now;

        assert_int_equal(store_begin(g->store), 0);
        for (int64_t n = 1; n <= GATEWAY_SWEEP_PAGE; n++) {
                Share share;

                /* Without a goal, `withdrawing` leads nowhere. */
                assert_int_equal(insert(g, n, 1), 0);
                assert_int_equal(store_share_load(g->store, n, &share), 0);
                share.state = LIFECYCLE_WITHDRAWING;
                assert_int_equal(store_share_update(g->store, &share), 0);
                share_done(&share);
        }
        assert_int_equal(insert(g, GATEWAY_SWEEP_PAGE + 1, 2), 0);
        assert_int_equal(store_commit(g->store), 0);
        assert_int_equal(gateway_start(g), 0);

        run_until_asked(w);
        run_until_swept(w);
        assert_int_equal(state_of(w, GATEWAY_SWEEP_PAGE + 1), LIFECYCLE_INVITED);
        assert_int_equal(seconds_to_next(w), 0);
        now = gateway_now(g);
        for (int64_t n = 1; n <= GATEWAY_SWEEP_PAGE; n++) {
                assert_int_equal(state_of(w, n), LIFECYCLE_WITHDRAWING);
                assert_in_range(due_of(w, n), now + 240, now + 360);
        }
        run_until_asked(w);
        run_until_swept(w);
        assert_int_equal(state_of(w, GATEWAY_SWEEP_PAGE + 1), LIFECYCLE_EXPIRED);
        assert_in_range(seconds_to_next(w), 30, 60);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                                a_mailbox_that_was_never_made_is_given_up_when_it_would_have_ended,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(
                                a_mailbox_for_several_messages_is_due_before_its_end_and_at_it,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(a_sweep_that_waits_when_the_gateway_ends_is_done,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(
                                a_sweep_that_fails_while_the_gateway_ends_is_left_to_the_next_start,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(
                                what_becomes_due_in_the_batch_of_a_sweep_is_seen_to_in_time,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(with_nothing_due_the_sweep_comes_in_a_minute,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(expired_events_are_swept_at_once_and_in_pieces,
                                world_setup,
                                world_teardown),
                cmocka_unit_test_setup_teardown(
                                a_page_of_shares_that_cannot_be_swept_is_postponed_and_the_next_swept_at_once,
                                world_setup,
                                world_teardown),
        };

        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
