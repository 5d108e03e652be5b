/* A relay says that a mailbox is not there: whether it was collected or ran out is told by the
 * gateway's clock. On a whole gateway whose plugins never connect. */
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
        sd_event *event;
        Gateway *gateway;
} World;

static void write_file(const char *path, const void *data, size_t size) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
        assert_int_equal(close(fd), 0);
}

static int setup(void **state) {
        static const uint8_t root[32] = { 7 };
        World *w = calloc(1, sizeof(*w));
        char text[2048], path[128];

        strcpy(w->directory, "/tmp/test-mailbox-gone.XXXXXX");
        assert_non_null(mkdtemp(w->directory));
        (void) snprintf(path, sizeof(path), "%s/root.key", w->directory);
        write_file(path, root, sizeof(root));
        (void) snprintf(text, sizeof(text), CONFIG, w->directory);
        (void) snprintf(path, sizeof(path), "%s/vestibule.conf", w->directory);
        write_file(path, text, strlen(text));
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", w->directory, 1), 0);
        assert_int_equal(setenv("VESTIBULE_TEMPLATES", TEST_TEMPLATES, 1), 0);
        assert_true(sd_event_new(&w->event) >= 0);
        assert_int_equal(gateway_new(&w->gateway, w->event, path), 0);
        log_set_max_priority(-1);
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

/* A share whose mailbox is made, and ends so many seconds from now. */
static void insert(Gateway *g, int64_t n, bool link_left, int64_t left) {
        Share share = { .n = n,
                .tenant = (char *) "adler",
                .policy = (char *) "hotel",
                .state = LIFECYCLE_RELEASED,
                .goal = LIFECYCLE_STATE_MAX,
                .flags = link_left ? SHARE_LINK_LEFT : 0,
                .created = 1,
                .expires = gateway_now(g) + 100000,
                .mailbox_expires = gateway_now(g) + left,
                .due = gateway_now(g) + 100000 };

        rules_default(RULES_HOTEL, &share.rules);
        attempts_init(&share.attempts, 3, 9);
        assert_int_equal(store_share_insert(g->store, &share), 0);
}

static LifecycleState state_after_404(Gateway *g, int64_t n) {
        LifecycleState found;
        ShareContext c;

        assert_int_equal(store_begin(g->store), 0);
        assert_int_equal(share_context_load(&c, g, n), 0);
        assert_true(relay_mailbox_gone(&c) >= 0);
        found = c.share.state;
        share_context_done(&c);
        assert_int_equal(store_commit(g->store), 0);
        return found;
}

static void c31_the_clock_tells_a_collected_mailbox_from_one_that_ran_out(void **state) {
        static const struct {
                bool link_left;
                int64_t left;
                LifecycleState state;
        } cases[] = {
                { true, 3600, LIFECYCLE_COMPLETED },
                { true, 90, LIFECYCLE_COMPLETED },
                { true, 30, LIFECYCLE_EXPIRED }, /* the relay's clock may be ahead */
                { true, 0, LIFECYCLE_EXPIRED },
                { true, -3600, LIFECYCLE_EXPIRED },
                { false, 3600, LIFECYCLE_EXPIRED }, /* nobody had the link to collect it with */
        };
        World *w = *state;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                print_message("# %lld s before its end\n", (long long) cases[i].left);
                insert(w->gateway, (int64_t) i + 1, cases[i].link_left, cases[i].left);
                assert_int_equal(state_after_404(w->gateway, (int64_t) i + 1), cases[i].state);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                                c31_the_clock_tells_a_collected_mailbox_from_one_that_ran_out,
                                setup,
                                teardown),
        };

        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
