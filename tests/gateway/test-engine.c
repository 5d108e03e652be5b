/* Group commit: what was answered is durable, what failed was never answered, and an attempt that
 * was compared stays spent whatever happens to its batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "engine.h"
#include "log.h"
#include "scratch.h"
#include "time-text.h"

typedef struct World {
        char directory[SCRATCH_SIZE];
        sd_event *event;
        Store *store;
        Engine *engine;
        char log[32768]; /* what happened, in order, one word each */
        int ticks;
} World;

static const uint8_t check[VAULT_CHECK_SIZE] = { 1 };

static void note(World *w, const char *word) {
        assert_true(strlen(w->log) + strlen(word) + 2 < sizeof(w->log));
        strcat(w->log, word);
        strcat(w->log, " ");
}

static void hook_keep(void *userdata) {
        note(userdata, "keep");
}

static void hook_forget(void *userdata) {
        note(userdata, "forget");
}

static void hook_before(void *userdata) {
        note(userdata, "before");
}

static void hook_committed(void *userdata) {
        note(userdata, "committed");
}

static void hook_failed(void *userdata) {
        note(userdata, "failed");
}

static void open_world(World *w) {
        static const EngineHooks hooks = {
                hook_keep, hook_forget, hook_before, hook_committed, hook_failed
        };
        int64_t stored;

        assert_int_equal(store_open(&w->store, w->directory, check, &stored), 0);
        assert_true(sd_event_new(&w->event) >= 0);
        assert_true(engine_new(&w->engine, w->event, w->store, &hooks, w) >= 0);
        w->log[0] = 0;
}

static void close_world(World *w) {
        w->engine = engine_free(w->engine);
        w->store = store_close(w->store);
        w->event = sd_event_unref(w->event);
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        scratch_make("engine", w->directory);
        open_world(w);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        close_world(w);
        scratch_remove(w->directory);
        free(w);
        return 0;
}

typedef struct Work {
        World *world;
        int64_t n;
        int result; /* what apply returns */
        bool keep;  /* spends, keeps, and then fails or not */
        int seen;   /* what done was given */
        bool done;
} Work;

static Share share_of(int64_t n) {
        Share share = {
                .n = n, .tenant = (char *) "t", .policy = (char *) "p", .goal = LIFECYCLE_STATE_MAX
        };

        attempts_init(&share.attempts, 3, 3);
        return share;
}

static int insert(void *context) {
        Work *work = context;
        Share share = share_of(work->n);

        note(work->world, "apply");
        assert_int_equal(store_share_insert(work->world->store, &share), 0);
        return work->result;
}

/* What reply.c does with a guess: spend, keep, and then do the rest. */
static int spend(void *context) {
        Work *work = context;
        Share share;

        assert_int_equal(store_share_load(work->world->store, work->n, &share), 0);
        share.attempts.left--;
        share.attempts.total_left--;
        assert_int_equal(engine_note_spend(work->world->engine, work->n), 0);
        assert_int_equal(store_share_update(work->world->store, &share), 0);
        assert_int_equal(engine_keep(work->world->engine), 0);
        share.version = 99; /* the rest of the command */
        assert_int_equal(store_share_update(work->world->store, &share), 0);
        share_done(&share);
        return work->result;
}

/* What sweep.c does with shares of which one cannot be swept. */
static int insert_two_of_three(void *context) {
        Work *work = context;

        for (int64_t n = work->n; n < work->n + 3; n++) {
                Share share = share_of(n);

                assert_int_equal(store_share_insert(work->world->store, &share), 0);
                if (n == work->n + 1)
                        assert_int_equal(engine_drop(work->world->engine), 0);
                else
                        assert_int_equal(engine_keep(work->world->engine), 0);
        }
        return work->result;
}

static void finish(void *context, int result) {
        Work *work = context;

        note(work->world, result < 0 ? "error" : "done");
        work->seen = result;
        work->done = true;
}

static int exists(World *w, int64_t n) {
        Share share;
        int r = store_share_load(w->store, n, &share);

        if (r == 0)
                share_done(&share);
        return r == 0;
}

/* Turns of the loop until the batch has run; a turn may also only raise it. */
static void turn(World *w) {
        uint64_t before = engine_counters(w->engine)->batches;

        for (int i = 0; i < 100 && engine_counters(w->engine)->batches == before; i++)
                assert_true(sd_event_run(w->event, 0) >= 0);
        assert_int_equal(engine_counters(w->engine)->batches, before + 1);
}

static void commands_gather_and_continue_after_one_commit(void **state) {
        World *w = *state;
        Work a = { w, 1, 0 }, b = { w, 2, 0 };

        assert_int_equal(engine_submit(w->engine, insert, finish, &a, 10), 0);
        assert_int_equal(engine_submit(w->engine, insert, finish, &b, 10), 0);
        assert_string_equal(w->log, "");
        turn(w);
        assert_string_equal(w->log, "apply keep apply keep before committed done done ");
        assert_int_equal(engine_counters(w->engine)->batches, 1);
}

static void a_failing_command_is_rolled_back_alone(void **state) {
        World *w = *state;
        Work a = { w, 1, 0 }, b = { w, 2, -ENOENT }, c = { w, 3, 0 };

        (void) engine_submit(w->engine, insert, finish, &a, 10);
        (void) engine_submit(w->engine, insert, finish, &b, 10);
        (void) engine_submit(w->engine, insert, finish, &c, 10);
        turn(w);
        assert_int_equal(b.seen, -ENOENT);
        assert_int_equal(a.seen, 0);
        assert_true(exists(w, 1));
        assert_false(exists(w, 2));
        assert_true(exists(w, 3));
        assert_string_equal(w->log,
                        "apply keep apply forget apply keep before committed done error done ");
}

static void what_was_kept_survives_the_failure_of_the_rest(void **state) {
        World *w = *state;
        Work a = { w, 1, 0 }, guess = { w, 1, -EIO };
        Share share;

        (void) engine_submit(w->engine, insert, finish, &a, 10);
        turn(w);
        (void) engine_submit(w->engine, spend, finish, &guess, 10);
        turn(w);
        assert_int_equal(guess.seen, -EIO);
        assert_int_equal(store_share_load(w->store, 1, &share), 0);
        assert_int_equal(share.attempts.left, 2);
        assert_int_not_equal(share.version, 99);
        share_done(&share);
}

/* Writing fails as it does on a full disk. */
static void limit_files(rlim_t size) {
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = size;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_failing_commit_fails_every_continuation(void **state) {
        World *w = *state;
        Work a = { w, 1, 0 }, b = { w, 2, 0 };

        limit_files(0);
        (void) engine_submit(w->engine, insert, finish, &a, 10);
        (void) engine_submit(w->engine, insert, finish, &b, 10);
        turn(w);
        limit_files(RLIM_INFINITY);
        assert_true(a.seen < 0 && b.seen < 0);
        assert_non_null(strstr(w->log, "failed error error"));
        assert_null(strstr(w->log, "committed"));
        assert_false(exists(w, 1));

        a = (Work){ w, 1, 0 };
        (void) engine_submit(w->engine, insert, finish, &a, 10);
        turn(w);
        assert_int_equal(a.seen, 0);
        assert_true(exists(w, 1));
}

static void spends_of_a_lost_batch_are_committed_before_anything_else(void **state) {
        World *w = *state;
        Work a = { w, 1, 0 }, guess = { w, 1, 0 }, later = { w, 2, 0 };
        Share share;

        (void) engine_submit(w->engine, insert, finish, &a, 10);
        turn(w);
        limit_files(0);
        (void) engine_submit(w->engine, spend, finish, &guess, 10);
        turn(w);
        assert_true(guess.seen < 0);
        assert_true(engine_is_stuck(w->engine));

        /* Still impossible: nothing is evaluated. */
        w->log[0] = 0;
        (void) engine_submit(w->engine, insert, finish, &later, 10);
        turn(w);
        assert_true(later.seen < 0);
        assert_null(strstr(w->log, "apply"));

        limit_files(RLIM_INFINITY);
        (void) engine_submit(w->engine, insert, finish, &later, 10);
        turn(w);
        assert_int_equal(later.seen, 0);
        assert_false(engine_is_stuck(w->engine));
        assert_int_equal(store_share_load(w->store, 1, &share), 0);
        assert_int_equal(share.attempts.left, 2);
        assert_int_equal(share.attempts.total_left, 2);
        assert_int_not_equal(share.version, 99);
        share_done(&share);
}

static int busy(sd_event_source *source, void *userdata) {
        World *w = userdata;

        (void) source;
        w->ticks++;
        return 0;
}

static void what_a_command_drops_is_undone_and_its_rest_stays(void **state) {
        World *w = *state;
        Work work = { .world = w, .n = 1 };

        assert_int_equal(engine_submit(w->engine, insert_two_of_three, finish, &work, 1), 0);
        turn(w);
        assert_true(exists(w, 1) && !exists(w, 2) && exists(w, 3));
        assert_string_equal(w->log, "keep forget keep keep before committed done ");
}

/* A loop that always has input never gets to an idle source. */
static void a_busy_loop_cannot_starve_the_batch(void **state) {
        World *w = *state;
        Work a = { w, 1, 0 };
        sd_event_source *source = NULL;

        assert_true(sd_event_add_defer(w->event, &source, busy, w) >= 0);
        assert_true(sd_event_source_set_enabled(source, SD_EVENT_ON) >= 0);
        (void) engine_submit(w->engine, insert, finish, &a, 10);
        while (!a.done && w->ticks < 10000000)
                assert_true(sd_event_run(w->event, 0) >= 0);
        sd_event_source_disable_unref(source);
        assert_true(a.done);
        assert_true(w->ticks > 0);
}

static void a_full_batch_runs_before_all_else(void **state) {
        World *w = *state;
        static Work work[ENGINE_BATCH_COMMANDS];
        sd_event_source *source = NULL;

        assert_true(sd_event_add_defer(w->event, &source, busy, w) >= 0);
        assert_true(sd_event_source_set_enabled(source, SD_EVENT_ON) >= 0);
        for (int i = 0; i < ENGINE_BATCH_COMMANDS; i++) {
                work[i] = (Work){ w, i + 1, 0 };
                (void) engine_submit(w->engine, insert, finish, &work[i], 10);
        }
        turn(w);
        sd_event_source_disable_unref(source);
        assert_int_equal(w->ticks, 0);
        assert_true(work[ENGINE_BATCH_COMMANDS - 1].done);
}

static void what_nobody_waits_for_joins_the_next_batch(void **state) {
        World *w = *state;
        Work unhurried = { w, 1, 0 }, hurried = { w, 2, 0 };

        assert_int_equal(engine_submit_unhurried(w->engine, insert, finish, &unhurried, 10), 0);
        assert_true(sd_event_run(w->event, 0) >= 0);
        assert_false(unhurried.done);
        assert_int_equal(engine_submit(w->engine, insert, finish, &hurried, 10), 0);
        turn(w);
        assert_true(unhurried.done && hurried.done);
        assert_true(exists(w, 1));
}

static void what_nobody_waits_for_is_done_in_its_time_all_the_same(void **state) {
        World *w = *state;
        Work unhurried = { w, 1, 0 };
        uint64_t before = time_boot();

        assert_int_equal(engine_submit_unhurried(w->engine, insert, finish, &unhurried, 10), 0);
        while (!unhurried.done)
                assert_true(sd_event_run(w->event, USEC_PER_SEC) > 0);
        assert_true(time_boot() - before >= ENGINE_BATCH_USEC);
}

static void what_was_answered_is_there_after_reopening(void **state) {
        World *w = *state;
        Work a = { w, 1, 0 };

        (void) engine_submit(w->engine, insert, finish, &a, 10);
        turn(w);
        close_world(w);
        open_world(w);
        assert_true(exists(w, 1));
        assert_int_equal(store_last(w->store), 1);
}

static void commands_that_never_ran_are_told_so(void **state) {
        World *w = *state;
        Work a = { w, 1, 0 };

        (void) engine_submit(w->engine, insert, finish, &a, 10);
        w->engine = engine_free(w->engine);
        assert_int_equal(a.seen, -ECANCELED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                                commands_gather_and_continue_after_one_commit, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                what_nobody_waits_for_joins_the_next_batch, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                what_nobody_waits_for_is_done_in_its_time_all_the_same,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_failing_command_is_rolled_back_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                what_was_kept_survives_the_failure_of_the_rest, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_failing_commit_fails_every_continuation, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                spends_of_a_lost_batch_are_committed_before_anything_else,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                what_a_command_drops_is_undone_and_its_rest_stays, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_busy_loop_cannot_starve_the_batch, setup, teardown),
                cmocka_unit_test_setup_teardown(a_full_batch_runs_before_all_else, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                what_was_answered_is_there_after_reopening, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                commands_that_never_ran_are_told_so, setup, teardown),
        };

        (void) signal(SIGXFSZ, SIG_IGN);
        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
