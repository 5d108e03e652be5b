/* When the sweep comes, on a whole gateway whose plugins never connect: what is due is done, once,
 * also while the gateway ends and while others make more due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway.h"
#include "log.h"

#define CONFIG                                                                      \
        "gateway { state = \"%s/state\"  log_level = error }\n"                     \
        "front tenants { listen = { \"127.0.0.1:8480\" } }\n"                       \
        "relay main { url = \"https://relay.example.org\" }\n"                      \
        "channel echo { listen = /run/echo }\n"                                     \
        "policy hotel { class = hotel  channels = { echo } }\n"                     \
        "tenant adler { name = \"Hotel Adler\"\n"                                   \
        "  token = { \"abcdefgh:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" }\n" \
        "  policies = { hotel }  relay = main }\n"

typedef struct World {
        char directory[64];
        char config[128];
        sd_event *event;
        Gateway *gateway;
} World;

static void write_file(const World *w, const char *name, const void *data, size_t size) {
        char path[128];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", w->directory, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
        assert_int_equal(close(fd), 0);
}

static void open_gateway(World *w) {
        assert_int_equal(gateway_new(&w->gateway, w->event, w->config), 0);
        log_set_max_priority(-1);
}

static int setup(void **state) {
        static const uint8_t root[32] = { 7 };
        World *w = calloc(1, sizeof(*w));
        char text[2048];

        strcpy(w->directory, "/tmp/test-sweep.XXXXXX");
        assert_non_null(mkdtemp(w->directory));
        (void) snprintf(w->config, sizeof(w->config), "%s/vestibule.conf", w->directory);
        (void) snprintf(text, sizeof(text), CONFIG, w->directory);
        write_file(w, "vestibule.conf", text, strlen(text));
        write_file(w, "root.key", root, sizeof(root));
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", w->directory, 1), 0);
        assert_int_equal(setenv("VESTIBULE_TEMPLATES", TEST_TEMPLATES, 1), 0);
        assert_true(sd_event_new(&w->event) >= 0);
        open_gateway(w);
        *state = w;
        return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        return remove(path);
}

static int teardown(void **state) {
        World *w = *state;

        gateway_free(w->gateway);
        sd_event_unref(w->event);
        (void) nftw(w->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        free(w);
        return 0;
}

static int insert(Gateway *g, int64_t n, int64_t due) {
        Share share = { .n = n,
                .tenant = (char *) "adler",
                .policy = (char *) "hotel",
                .state = LIFECYCLE_INVITED,
                .goal = LIFECYCLE_STATE_MAX,
                .created = 1,
                .expires = due,
                .due = due };

        rules_default(RULES_HOTEL, &share.rules);
        attempts_init(&share.attempts, 3, 9);
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
        open_gateway(w);
        assert_int_equal(state_of(w, 1), LIFECYCLE_EXPIRED);
}

static void a_sweep_that_fails_while_the_gateway_ends_is_left_to_the_next_start(void **state) {
        World *w = *state;

        assert_int_equal(insert(w->gateway, 1, 1), 0);
        assert_int_equal(gateway_start(w->gateway), 0);
        run_until_asked(w);
        assert_int_equal(store_begin(w->gateway->store), 0); /* so that no batch can begin */
        w->gateway = gateway_free(w->gateway);
        open_gateway(w);
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
                                a_sweep_that_waits_when_the_gateway_ends_is_done, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_sweep_that_fails_while_the_gateway_ends_is_left_to_the_next_start,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                what_becomes_due_in_the_batch_of_a_sweep_is_seen_to_in_time,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                with_nothing_due_the_sweep_comes_in_a_minute, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_page_of_shares_that_cannot_be_swept_is_postponed_and_the_next_swept_at_once,
                                setup,
                                teardown),
        };

        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
