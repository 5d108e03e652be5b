/* A relay says that a mailbox is not there: whether it was collected or ran out is told by the
 * gateway's clock. On a whole gateway whose plugins never connect. */
#include "test.h"

#include "log.h"
#include "world.h"

/* A share whose mailbox is made, and ends so many seconds from now. */
static void insert(Gateway *g, int64_t n, bool link_left, int64_t left) {
        Share share = world_share(n, LIFECYCLE_RELEASED);

        share.flags = link_left ? SHARE_LINK_LEFT : 0;
        share.expires = share.due = gateway_now(g) + 100000;
        share.mailbox_expires = gateway_now(g) + left;
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
                                world_setup,
                                world_teardown),
        };

        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
