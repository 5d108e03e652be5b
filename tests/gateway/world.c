#include "world.h"

#include "test.h"

#include <stdio.h>

#include "log.h"

#define CONFIG                                                                      \
        "gateway { state = \"%s/state\"  log_level = error }\n"                     \
        "front tenants { listen = { \"127.0.0.1:8480\" } }\n"                       \
        "relay main { url = \"https://relay.example.org\" }\n"                      \
        "channel echo { listen = /run/echo }\n"                                     \
        "channel lamp { scheme = echo  listen = /run/lamp }\n"                      \
        "policy hotel { class = hotel  channels = { echo, lamp } }\n"               \
        "tenant adler { name = \"Hotel Adler\"\n"                                   \
        "  token = { \"abcdefgh:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" }\n" \
        "  policies = { hotel }  relay = main }\n"

void world_open(World *w) {
        char path[SCRATCH_SIZE + 32];

        (void) snprintf(path, sizeof(path), "%s/vestibule.conf", w->directory);
        assert_int_equal(gateway_new(&w->gateway, w->event, path), 0);
        log_set_max_priority(-1);
}

int world_setup(void **state) {
        static const uint8_t root[32] = { 7 };
        World *w = calloc(1, sizeof(*w));
        char text[2048];

        assert_non_null(w);
        scratch_make("gateway", w->directory);
        (void) snprintf(text, sizeof(text), CONFIG, w->directory);
        scratch_write(w->directory, "vestibule.conf", text, strlen(text));
        scratch_write(w->directory, "root.key", root, sizeof(root));
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", w->directory, 1), 0);
        assert_int_equal(setenv("VESTIBULE_TEMPLATES", TEST_TEMPLATES, 1), 0);
        assert_true(sd_event_new(&w->event) >= 0);
        world_open(w);
        *state = w;
        return 0;
}

int world_teardown(void **state) {
        World *w = *state;

        gateway_free(w->gateway);
        sd_event_unref(w->event);
        scratch_remove(w->directory);
        free(w);
        return 0;
}

Share world_share(int64_t n, LifecycleState state) {
        Share share = { .n = n,
                .tenant = (char *) "adler",
                .policy = (char *) "hotel",
                .state = state,
                .goal = LIFECYCLE_STATE_MAX,
                .created = 1 };

        rules_default(RULES_HOTEL, &share.rules);
        attempts_init(&share.attempts, 3, 9);
        return share;
}
