/* What the store promises of events: one for each entry of a timeline, numbered by tenant without
 * gaps and never twice, there if and only if the change of the share is. */
#include "test.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "scratch.h"
#include "store-back.h"
#include "store.h"

enum { KEEP = 1000 };

typedef struct World {
        char directory[SCRATCH_SIZE];
        Store *store;
} World;

static const uint8_t check[VAULT_CHECK_SIZE] = { 1 };

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));
        int64_t stored;

        scratch_make("event", w->directory);
        assert_int_equal(store_open(&w->store, w->directory, check, &stored), 0);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        store_close(w->store);
        scratch_remove(w->directory);
        free(w);
        return 0;
}

static void open_again(World *w) {
        int64_t stored;

        w->store = store_close(w->store);
        assert_int_equal(store_open(&w->store, w->directory, check, &stored), 0);
}

static Share a_share(const char *tenant, int64_t n) {
        Share s = { .n = n,
                .tenant = (char *) tenant,
                .policy = (char *) "hotel",
                .state = LIFECYCLE_INVITED,
                .goal = LIFECYCLE_STATE_MAX,
                .version = 1,
                .created = 100 };

        rules_default(RULES_HOTEL, &s.rules);
        attempts_init(&s.attempts, 3, 9);
        return s;
}

/* A share with one entry in its timeline. */
static void add(World *w, const char *tenant, int64_t n, int64_t now) {
        Share s = a_share(tenant, n);

        s.created = now;
        share_note(&s, now, TIMELINE_CREATED, 0, 0);
        assert_int_equal(store_share_insert(w->store, &s), 0);
}

typedef struct Seen {
        StoreEvent events[64];
        int n;
} Seen;

static int see(const StoreEvent *event, void *userdata) {
        Seen *seen = userdata;

        seen->events[seen->n++] = *event;
        return 0;
}

static Seen events(World *w, const char *tenant, int64_t after) {
        Seen seen = { .n = 0 };

        assert_int_equal(store_event_each(w->store, tenant, after, 64, see, &seen), 0);
        for (int i = 1; i < seen.n; i++)
                assert_int_equal(seen.events[i].sequence, seen.events[0].sequence + i);
        return seen;
}

static void assert_range(World *w, const char *tenant, int64_t first, int64_t last) {
        int64_t found_first, found_last, alone;

        assert_int_equal(store_event_range(w->store, tenant, &found_first, &found_last), 0);
        assert_int_equal(found_first, first);
        assert_int_equal(found_last, last);
        assert_int_equal(store_event_last(w->store, tenant, &alone), 0);
        assert_int_equal(alone, last);
}

static void each_entry_of_a_timeline_is_one_event_with_what_it_made_of_its_share(void **state) {
        World *w = *state;
        Share s = a_share("adler", 7), back;
        Seen seen;

        share_note(&s, 105, TIMELINE_CREATED, 0, 0);
        assert_int_equal(store_share_insert(w->store, &s), 0);
        s.version = 2;
        s.state = LIFECYCLE_FAILED;
        share_note(&s, 110, TIMELINE_WRONG, 2, 1);
        share_note(&s, 111, TIMELINE_ENDED, LIFECYCLE_FAILED, 0);
        assert_int_equal(store_share_update(w->store, &s), 0);
        assert_int_equal(store_share_update(w->store, &s), 0); /* nothing new */

        seen = events(w, "adler", 0);
        assert_int_equal(seen.n, 3);
        assert_int_equal(seen.events[0].sequence, 1);
        assert_int_equal(seen.events[0].event, TIMELINE_CREATED);
        assert_int_equal(seen.events[0].state, LIFECYCLE_INVITED);
        assert_int_equal(seen.events[0].version, 1);
        assert_int_equal(seen.events[0].at, 105);
        assert_int_equal(seen.events[1].share, 7);
        assert_int_equal(seen.events[1].event, TIMELINE_WRONG);
        assert_int_equal(seen.events[1].detail, 2);
        assert_int_equal(seen.events[2].state, LIFECYCLE_FAILED);
        assert_int_equal(seen.events[2].version, 2);
        assert_int_equal(seen.events[2].at, 111);
        assert_int_equal(events(w, "adler", 2).n, 1);
        assert_int_equal(events(w, "adler", 3).n, 0);

        /* An old entry is not told again when its share is next written. */
        assert_int_equal(store_share_load(w->store, 7, &back), 0);
        assert_int_equal(store_share_update(w->store, &back), 0);
        assert_int_equal(events(w, "adler", 3).n, 0);
        share_done(&back);
}

static void an_event_outlives_its_share_and_its_place_in_the_timeline(void **state) {
        World *w = *state;
        Share s = a_share("adler", 7);
        Seen seen;

        for (int i = 0; i < SHARE_TIMELINE_MAX + 3; i++) {
                share_note(&s, 100 + i, TIMELINE_MISTYPED, 0, 0);
                if (i == 0)
                        assert_int_equal(store_share_insert(w->store, &s), 0);
        }
        /* More than one change could ever add; none of them may be missing without a word. */
        assert_int_equal(store_share_update(w->store, &s), -EOVERFLOW);
        assert_int_equal(events(w, "adler", 0).n, 1);

        s.n_noted = 0;
        share_note(&s, 300, TIMELINE_MESSAGE_RECEIVED, 1, 0);
        share_note(&s, 301, TIMELINE_ENDED, 0, 0); /* pushes the message out */
        assert_int_equal(store_share_update(w->store, &s), 0);
        assert_int_equal(store_share_remove(w->store, &s), 0);
        seen = events(w, "adler", 1);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.events[0].event, TIMELINE_MESSAGE_RECEIVED);
        assert_int_equal(seen.events[1].event, TIMELINE_ENDED);
}

static void tenants_have_numbers_of_their_own_and_see_nothing_of_one_another(void **state) {
        World *w = *state;
        Seen seen;

        assert_range(w, "baer", 0, 0);
        add(w, "adler", 1, 10);
        add(w, "baer", 2, 20);
        add(w, "adler", 3, 30);
        add(w, "adle", 4, 40);
        assert_range(w, "adler", 1, 2);
        assert_range(w, "baer", 1, 1);
        assert_range(w, "adle", 1, 1);
        assert_range(w, "adlerhorst", 0, 0);
        seen = events(w, "adler", 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.events[0].share, 1);
        assert_int_equal(seen.events[1].share, 3);
        seen = events(w, "baer", 0);
        assert_int_equal(seen.n, 1);
        assert_int_equal(seen.events[0].share, 2);
}

static void what_a_mark_takes_back_leaves_neither_an_event_nor_a_gap(void **state) {
        World *w = *state;
        Seen seen;

        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(store_mark(w->store), 0);
        add(w, "adler", 1, 10);
        assert_int_equal(store_mark(w->store), 0);
        add(w, "adler", 2, 20);
        assert_int_equal(store_return(w->store), 0);
        add(w, "adler", 3, 30);
        assert_int_equal(store_release(w->store), 0);
        assert_int_equal(store_mark(w->store), 0);
        add(w, "adler", 4, 40);
        assert_int_equal(store_return(w->store), 0);
        assert_int_equal(events(w, "adler", 0).n, 0); /* nothing is committed yet */
        assert_int_equal(store_commit(w->store), 0);

        seen = events(w, "adler", 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.events[0].share, 1);
        assert_int_equal(seen.events[1].share, 3);
        assert_int_equal(seen.events[1].sequence, 2);
        open_again(w);
        assert_range(w, "adler", 1, 2);
}

static void a_transaction_that_is_lost_leaves_no_event(void **state) {
        World *w = *state;

        add(w, "adler", 1, 10);
        assert_true(store_event_written(w->store));
        assert_false(store_event_written(w->store));
        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(store_mark(w->store), 0);
        add(w, "adler", 2, 20);
        assert_int_equal(store_release(w->store), 0);
        store_rollback(w->store);
        assert_false(store_event_written(w->store));
        assert_range(w, "adler", 1, 1);

        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(store_commit(w->store), 0);
        assert_range(w, "adler", 1, 1);
        add(w, "adler", 3, 30);
        assert_int_equal(events(w, "adler", 1).events[0].share, 3);
}

static void execute(const World *w, const char *text) {
        char path[SCRATCH_SIZE + 32];
        sqlite3 *db;

        (void) snprintf(path, sizeof(path), "%s/vestibule.sqlite", w->directory);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_commit_that_fails_leaves_no_event_and_the_next_has_its_number(void **state) {
        World *w = *state;
        Seen seen;

        add(w, "adler", 1, 10);
        execute(w,
                        "CREATE TRIGGER no BEFORE INSERT ON event WHEN new.share = 3 BEGIN "
                        "SELECT raise(ABORT, 'no'); END");
        assert_int_equal(store_begin(w->store), 0);
        add(w, "adler", 2, 20);
        add(w, "adler", 3, 30);
        assert_true(store_commit(w->store) < 0);
        assert_range(w, "adler", 1, 1);

        add(w, "adler", 4, 40);
        seen = events(w, "adler", 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.events[1].share, 4);
        assert_int_equal(seen.events[1].sequence, 2);
}

static void sweep(World *w, int64_t now, int limit, bool expected) {
        bool more = !expected;

        assert_int_equal(store_event_sweep(w->store, now, KEEP, limit, &more), 0);
        assert_int_equal(more, expected);
}

static void expired_events_go_in_pieces_and_the_last_stays(void **state) {
        World *w = *state;

        for (int i = 0; i < 10; i++)
                add(w, "adler", 1 + i, 100 + i);
        add(w, "baer", 20, 100);
        add(w, "baer", 21, 104);
        add(w, "baer", 22, 900);

        sweep(w, 103 + KEEP, 3, true);
        assert_range(w, "adler", 4, 10);
        assert_range(w, "baer", 1, 3);
        sweep(w, 103 + KEEP, 3, false); /* goes on where it was, and with the next tenant */
        assert_range(w, "adler", 5, 10);
        assert_range(w, "baer", 2, 3);
        sweep(w, 103 + KEEP, 3, false);
        assert_range(w, "adler", 5, 10);

        sweep(w, 5000 + KEEP, 100, false);
        assert_range(w, "adler", 10, 10);
        assert_range(w, "baer", 3, 3);
        open_again(w);
        assert_range(w, "adler", 10, 10);
        add(w, "adler", 30, 6000);
        assert_range(w, "adler", 10, 11);
}

static void one_tenant_with_much_to_remove_does_not_keep_the_others(void **state) {
        World *w = *state;

        for (int i = 0; i < 5; i++)
                add(w, "adler", 1 + i, 100 + i);
        add(w, "zebra", 10, 100);
        add(w, "zebra", 11, 101);
        sweep(w, 200 + KEEP, 2, true);
        sweep(w, 200 + KEEP, 2, true);
        sweep(w, 200 + KEEP, 2, false);
        assert_range(w, "adler", 5, 5);
        assert_range(w, "zebra", 2, 2);
}

static void events_of_a_clock_that_was_wrong_do_not_stay_for_ever(void **state) {
        World *w = *state;

        add(w, "adler", 1, 1000000);
        add(w, "adler", 2, 50);
        add(w, "adler", 3, 51);
        sweep(w, 60, 100, false);
        assert_range(w, "adler", 2, 3);
}

static void a_store_of_the_second_version_is_brought_forward_and_has_events_from_then_on(
                void **state) {
        World *w = *state;
        Share s = a_share("adler", 7), back;

        share_note(&s, 105, TIMELINE_CREATED, 0, 0);
        assert_int_equal(store_share_insert(w->store, &s), 0);
        w->store = store_close(w->store);
        execute(w, STORE_BACK_TO_2);

        open_again(w);
        assert_range(w, "adler", 0, 0);
        assert_int_equal(store_share_load(w->store, 7, &back), 0);
        assert_int_equal(back.n_timeline, 1);
        assert_int_equal(back.n_noted, 0);
        share_note(&back, 106, TIMELINE_ENDED, 0, 0);
        assert_int_equal(store_share_update(w->store, &back), 0);
        assert_range(w, "adler", 1, 1);
        assert_int_equal(events(w, "adler", 0).events[0].event, TIMELINE_ENDED);
        share_done(&back);
        open_again(w);
        assert_range(w, "adler", 1, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                                each_entry_of_a_timeline_is_one_event_with_what_it_made_of_its_share,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                an_event_outlives_its_share_and_its_place_in_the_timeline,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                tenants_have_numbers_of_their_own_and_see_nothing_of_one_another,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                what_a_mark_takes_back_leaves_neither_an_event_nor_a_gap,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_transaction_that_is_lost_leaves_no_event, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_commit_that_fails_leaves_no_event_and_the_next_has_its_number,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                expired_events_go_in_pieces_and_the_last_stays, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                one_tenant_with_much_to_remove_does_not_keep_the_others,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                events_of_a_clock_that_was_wrong_do_not_stay_for_ever,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_store_of_the_second_version_is_brought_forward_and_has_events_from_then_on,
                                setup,
                                teardown),
        };

        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
