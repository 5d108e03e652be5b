/* The outbox: rows run only once they are durable, each answer settles its row, and nothing is lost
 * when a plugin goes away or its window is full. The links are doubles: ask, may_ask, nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "outbox.h"
#include "time-text.h"

struct PluginLink {
        bool up;
        size_t window, n_asked;
        struct {
                PluginLinkAnswer on_answer;
                void *userdata;
                int64_t n;
        } asked[32];
};

int plugin_link_ask(PluginLink *link,
                json_t *frame,
                uint64_t deadline,
                PluginLinkAnswer on_answer,
                void *userdata,
                int64_t *ret_id) {
        int64_t n = json_integer_value(json_object_get(frame, "n"));

        (void) deadline;
        (void) ret_id;
        json_decref(frame);
        if (!link->up)
                return -ENOTCONN;
        if (link->n_asked >= link->window)
                return -ENOBUFS;
        link->asked[link->n_asked].on_answer = on_answer;
        link->asked[link->n_asked].userdata = userdata;
        link->asked[link->n_asked++].n = n;
        return 0;
}

bool plugin_link_may_ask(const PluginLink *link) {
        return link->up && link->n_asked < link->window;
}

typedef struct World {
        PluginLink link;
        sd_event *event;
        Outbox *outbox;
        int kicks, claims, refuse_claims;
        OutboxItem *settling;
        json_t *answer;
} World;

static int on_claim(OutboxItem *item, json_t **ret, void *userdata) {
        World *w = userdata;

        w->claims++;
        if (w->refuse_claims > 0) {
                w->refuse_claims--;
                return OUTBOX_VERDICT_DONE;
        }
        *ret = json_pack("{s:I}", "n", (json_int_t) item->share);
        return 0;
}

static void on_answered(OutboxItem *item, json_t *answer, void *userdata) {
        World *w = userdata;

        w->settling = item;
        w->answer = answer;
}

static void on_kick(void *userdata) {
        ((World *) userdata)->kicks++;
}

static int setup(void **state) {
        static const OutboxOps ops = { on_claim, on_answered, on_kick };
        World *w = calloc(1, sizeof(*w));

        w->link = (PluginLink){ .up = true, .window = 32 };
        assert_true(sd_event_new(&w->event) >= 0);
        assert_true(outbox_new(&w->outbox, w->event, &ops, w) >= 0);
        assert_int_equal(outbox_add_lane(w->outbox, "echo", &w->link), 0);
        outbox_link_changed(w->outbox, &w->link);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        outbox_free(w->outbox);
        sd_event_unref(w->event);
        free(w);
        return 0;
}

static OutboxRow row_of(int64_t n) {
        OutboxRow row = { .share = n, .kind = OUTBOX_NOTICE };

        (void) snprintf(row.lane, sizeof(row.lane), "echo");
        return row;
}

static void note_row(World *w, int64_t n) {
        OutboxRow row = row_of(n);

        assert_int_equal(outbox_note(w->outbox, &row, 0), 0);
}

static void batch(World *w) {
        outbox_claim(w->outbox);
        outbox_committed(w->outbox);
}

/* The plugin answers its oldest question. */
static void answer(World *w, int error) {
        PluginLinkAnswer on_answer = w->link.asked[0].on_answer;
        void *userdata = w->link.asked[0].userdata;
        json_t *frame = error ? NULL : json_object();

        memmove(w->link.asked, w->link.asked + 1, sizeof(w->link.asked) - sizeof(w->link.asked[0]));
        w->link.n_asked--;
        on_answer(&w->link, error, frame, userdata);
        json_decref(frame);
}

static void a_row_leaves_after_its_own_commit_in_order(void **state) {
        World *w = *state;

        for (int64_t n = 1; n <= 3; n++) {
                note_row(w, n);
                outbox_keep(w->outbox);
        }
        outbox_claim(w->outbox);
        assert_int_equal(w->link.n_asked, 0);
        outbox_committed(w->outbox);
        assert_int_equal(w->link.n_asked, 3);
        for (int i = 0; i < 3; i++)
                assert_int_equal(w->link.asked[i].n, i + 1);
}

static void a_row_of_a_command_that_was_rolled_back_does_not_exist(void **state) {
        World *w = *state;

        note_row(w, 1);
        outbox_forget(w->outbox);
        batch(w);
        assert_int_equal(w->link.n_asked, 0);
        assert_int_equal(outbox_size(w->outbox), 0);
}

static void a_failed_commit_hands_nothing_over_and_forgets_its_rows(void **state) {
        World *w = *state;
        OutboxRow row = row_of(9);

        /* One claimed, one on a stopped lane, one that waits: none of these rows exists. */
        w->link.window = 1;
        for (int64_t n = 1; n <= 3; n++) {
                note_row(w, n);
                outbox_keep(w->outbox);
        }
        assert_int_equal(outbox_note(w->outbox, &row, 1000), 0);
        outbox_keep(w->outbox);
        outbox_claim(w->outbox);
        outbox_failed(w->outbox);
        assert_int_equal(w->link.n_asked, 0);
        assert_int_equal(outbox_size(w->outbox), 0);
        outbox_carrier_changed(w->outbox, &w->link, false);
        note_row(w, 4);
        outbox_keep(w->outbox);
        outbox_claim(w->outbox);
        outbox_failed(w->outbox);
        assert_int_equal(outbox_size(w->outbox), 0);
}

static void a_failed_commit_keeps_what_was_durable(void **state) {
        World *w = *state;

        note_row(w, 1);
        outbox_keep(w->outbox);
        outbox_carrier_changed(w->outbox, &w->link, false);
        batch(w);
        outbox_carrier_changed(w->outbox, &w->link, true);
        outbox_claim(w->outbox);
        outbox_failed(w->outbox);
        assert_int_equal(outbox_size(w->outbox), 1);
}

static void rows_wait_while_the_carrier_is_out_of_reach(void **state) {
        World *w = *state;

        outbox_carrier_changed(w->outbox, &w->link, false);
        note_row(w, 1);
        outbox_keep(w->outbox);
        batch(w);
        assert_int_equal(w->claims, 0);
        w->kicks = 0;
        outbox_carrier_changed(w->outbox, &w->link, true);
        assert_true(w->kicks > 0);
        batch(w);
        assert_int_equal(w->link.n_asked, 1);
}

static void nobody_can_ask_to_be_asked_at_once(void **state) {
        World *w = *state;

        note_row(w, 1);
        outbox_keep(w->outbox);
        batch(w);
        answer(w, 0);
        outbox_settle(w->outbox, w->settling, OUTBOX_VERDICT_AGAIN, 1);
        batch(w);
        assert_int_equal(w->link.n_asked, 0);
        assert_int_equal(outbox_size(w->outbox), 1);
}

static void an_answer_settles_its_row(void **state) {
        World *w = *state;

        note_row(w, 1);
        outbox_keep(w->outbox);
        batch(w);
        answer(w, 0);
        assert_non_null(w->settling);
        assert_int_equal(w->settling->share, 1);
        assert_int_equal(w->settling->tries, 1);
        outbox_settle(w->outbox, w->settling, OUTBOX_VERDICT_DONE, 0);
        assert_int_equal(outbox_size(w->outbox), 0);
}

static void a_lost_connection_makes_the_row_due_again(void **state) {
        World *w = *state;

        note_row(w, 1);
        outbox_keep(w->outbox);
        batch(w);
        w->link.up = false;
        answer(w, -ECONNRESET);
        outbox_link_changed(w->outbox, &w->link);
        batch(w);
        assert_int_equal(w->link.n_asked, 0);
        w->link.up = true;
        outbox_link_changed(w->outbox, &w->link);
        batch(w);
        assert_int_equal(w->link.n_asked, 1);
        assert_null(w->settling);
}

static void a_full_window_stops_the_lane_and_an_answer_opens_it(void **state) {
        World *w = *state;

        w->link.window = 2;
        for (int64_t n = 1; n <= 5; n++) {
                note_row(w, n);
                outbox_keep(w->outbox);
        }
        batch(w);
        assert_int_equal(w->link.n_asked, 2);
        batch(w);
        assert_int_equal(w->link.n_asked, 2);
        for (int done = 0; done < 5; done++) {
                w->kicks = 0;
                answer(w, 0);
                outbox_settle(w->outbox, w->settling, OUTBOX_VERDICT_DONE, 0);
                if (outbox_size(w->outbox) > w->link.n_asked)
                        assert_true(w->kicks > 0);
                batch(w);
        }
        assert_int_equal(outbox_size(w->outbox), 0);
}

static void a_row_that_may_not_run_is_dropped(void **state) {
        World *w = *state;

        w->refuse_claims = 1;
        note_row(w, 1);
        outbox_keep(w->outbox);
        batch(w);
        assert_int_equal(w->link.n_asked, 0);
        assert_int_equal(outbox_size(w->outbox), 0);
}

static void a_row_waits_for_its_delay(void **state) {
        World *w = *state;
        OutboxRow row = row_of(1);

        assert_int_equal(outbox_load(w->outbox, &row, 3600 * 1000), 0);
        batch(w);
        assert_int_equal(w->link.n_asked, 0);
}

static void waiting_rows_become_ready_by_the_timer(void **state) {
        World *w = *state;

        for (int64_t n = 1; n <= 5; n++) {
                OutboxRow row = row_of(n);

                assert_int_equal(outbox_load(w->outbox, &row, (uint64_t) (6 - n) * 4), 0);
        }
        for (int i = 0; i < 1000 && w->link.n_asked < 5; i++) {
                assert_true(sd_event_run(w->event, 100000) >= 0);
                batch(w);
        }
        assert_int_equal(w->link.n_asked, 5);
        for (int i = 0; i < 5; i++)
                assert_int_equal(w->link.asked[i].n, 5 - i);
}

static OutboxRow look_of(int64_t n) {
        OutboxRow row = row_of(n);

        row.kind = n % 2 ? OUTBOX_READ : OUTBOX_POLL;
        row.since = time_wall();
        return row;
}

/* Runs until so many are asked; the time until the first of them. */
static uint64_t usec_until_asked(World *w, size_t n) {
        uint64_t begin = time_boot(), first = 0;

        for (int turns = 0; w->link.n_asked < n; turns++) {
                assert_in_range(turns, 0, 10000);
                assert_true(sd_event_run(w->event, USEC_PER_SEC) >= 0);
                batch(w);
                if (first == 0 && w->link.n_asked > 0)
                        first = time_boot() - begin;
        }
        return first;
}

static void a_look_waits_two_seconds_at_least_whatever_makes_it_wait(void **state) {
        static const int errors[] = { 0, 0, -ECONNRESET, -ETIMEDOUT };
        World *w = *state;
        OutboxRow row;

        for (int64_t n = 0; n < 8; n++) {
                row = look_of(n);
                assert_int_equal(outbox_load(w->outbox, &row, 0), 0);
        }
        assert_true(usec_until_asked(w, 8) >= 2 * USEC_PER_SEC);
        for (size_t i = 0; i < 8; i++) {
                answer(w, errors[i / 2]);
                if (errors[i / 2] == 0) /* a relay in a hurry; an answer that could not be stored */
                        outbox_settle(w->outbox, w->settling, OUTBOX_VERDICT_AGAIN, i < 2 ? 1 : 0);
        }
        row = look_of(8);
        assert_int_equal(outbox_note(w->outbox, &row, 0), 0);
        outbox_keep(w->outbox);
        assert_true(usec_until_asked(w, 9) >= 2 * USEC_PER_SEC);
}

static void a_lane_that_nobody_named_is_told(void **state) {
        World *w = *state;
        OutboxRow row = row_of(1);

        (void) snprintf(row.lane, sizeof(row.lane), "gone");
        assert_int_equal(outbox_load(w->outbox, &row, 0), -ENXIO);
}

static void the_backoff_doubles_up_to_its_end_with_jitter(void **state) {
        (void) state;
        for (unsigned tries = 1; tries < 40; tries++) {
                uint64_t low = outbox_backoff_msec(tries, 0),
                         high = outbox_backoff_msec(tries, 1023);
                uint64_t middle = OUTBOX_RETRY_FIRST_MSEC;

                for (unsigned i = 1; i < tries && middle < OUTBOX_RETRY_LAST_MSEC; i++)
                        middle *= 2;
                if (middle > OUTBOX_RETRY_LAST_MSEC)
                        middle = OUTBOX_RETRY_LAST_MSEC;
                assert_int_equal(low, middle * 4 / 5);
                assert_in_range(high, middle, middle * 6 / 5);
        }
}

/* A carrier that is throttled answers thousands of times: the next real failure is the first. */
static void what_was_not_tried_counts_as_no_try(void **state) {
        World *w = *state;

        note_row(w, 1);
        outbox_keep(w->outbox);
        for (int i = 0; i < 2; i++) { /* each takes a second */
                batch(w);
                assert_int_equal(w->link.n_asked, 1);
                answer(w, 0);
                assert_int_equal(w->settling->tries, 1);
                outbox_settle(w->outbox, w->settling, OUTBOX_VERDICT_LATER, 0);
                assert_int_equal(w->settling->tries, 0);
                while (w->kicks == 0)
                        assert_true(sd_event_run(w->event, UINT64_MAX) >= 0);
                w->kicks = 0;
        }
        batch(w);
        answer(w, 0);
        outbox_settle(w->outbox, w->settling, OUTBOX_VERDICT_AGAIN, 0);
        assert_int_equal(w->settling->tries, 1);
}

static void many_rows_are_found_and_dropped(void **state) {
        World *w = *state;

        for (int64_t n = 1; n <= 20000; n++) {
                OutboxRow row = row_of(n);

                assert_int_equal(outbox_load(w->outbox, &row, 1 + (uint64_t) (n * 7919 % 100)), 0);
        }
        assert_int_equal(outbox_size(w->outbox), 20000);
        w->refuse_claims = 20000;
        for (int i = 0; i < 2000 && outbox_size(w->outbox) > 0; i++) {
                assert_true(sd_event_run(w->event, 1000) >= 0);
                batch(w);
        }
        assert_int_equal(outbox_size(w->outbox), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                                a_row_leaves_after_its_own_commit_in_order, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_row_of_a_command_that_was_rolled_back_does_not_exist,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_failed_commit_hands_nothing_over_and_forgets_its_rows,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_failed_commit_keeps_what_was_durable, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                rows_wait_while_the_carrier_is_out_of_reach, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                nobody_can_ask_to_be_asked_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(an_answer_settles_its_row, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_lost_connection_makes_the_row_due_again, setup, teardown),
                cmocka_unit_test_setup_teardown(a_full_window_stops_the_lane_and_an_answer_opens_it,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(a_row_that_may_not_run_is_dropped, setup, teardown),
                cmocka_unit_test_setup_teardown(a_row_waits_for_its_delay, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                waiting_rows_become_ready_by_the_timer, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_look_waits_two_seconds_at_least_whatever_makes_it_wait,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                what_was_not_tried_counts_as_no_try, setup, teardown),
                cmocka_unit_test_setup_teardown(a_lane_that_nobody_named_is_told, setup, teardown),
                cmocka_unit_test(the_backoff_doubles_up_to_its_end_with_jitter),
                cmocka_unit_test_setup_teardown(many_rows_are_found_and_dropped, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
