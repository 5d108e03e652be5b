/* How fast we send to a centre that says "slower", by a clock that we move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver-smpp-throttle.h"

#define MSEC UINT64_C(1000)
#define SECOND UINT64_C(1000000)

/* Sends as fast as is allowed until a time, to a centre that takes all. */
static unsigned send_until(SmppThrottle *throttle, uint64_t *now, uint64_t end, uint64_t pause) {
        unsigned n = 0;

        for (; *now < end; *now += pause) {
                uint64_t wait = smpp_throttle_wait(throttle, *now);

                if (wait > 0) {
                        *now += wait - pause;
                        continue;
                }
                smpp_throttle_sent(throttle, *now);
                smpp_throttle_taken(throttle);
                n++;
        }
        return n;
}

static void until_the_centre_objects_there_is_no_limit(void **state) {
        SmppThrottle throttle = { 0 };
        uint64_t now = 5 * SECOND;

        (void) state;
        assert_int_equal(send_until(&throttle, &now, 6 * SECOND, 10), 100000);
}

static void a_refusal_means_a_rest_and_half_the_pace(void **state) {
        SmppThrottle throttle = { 0 };
        uint64_t now = 5 * SECOND;
        unsigned n;

        (void) state;
        (void) send_until(&throttle, &now, 6 * SECOND, 10 * MSEC); /* 100 a second */
        smpp_throttle_slower(&throttle, now);
        assert_int_equal(smpp_throttle_wait(&throttle, now), SECOND);
        now += SECOND;
        assert_int_equal(smpp_throttle_wait(&throttle, now), 0);
        n = send_until(&throttle, &now, now + SECOND, MSEC);
        assert_in_range(n, 45, 60);
}

static void a_window_of_refusals_is_one(void **state) {
        SmppThrottle one = { 0 }, many;
        uint64_t now = 5 * SECOND;

        (void) state;
        (void) send_until(&one, &now, 6 * SECOND, 10 * MSEC);
        many = one;
        smpp_throttle_slower(&one, now);
        for (unsigned i = 0; i < 10; i++)
                smpp_throttle_slower(&many, now + i * MSEC);
        assert_memory_equal(&one, &many, sizeof(one));
}

static void who_is_refused_again_rests_longer_but_not_for_ever(void **state) {
        SmppThrottle throttle = { 0 };
        uint64_t now = 5 * SECOND, wait = 0;

        (void) state;
        smpp_throttle_sent(&throttle, now);
        for (unsigned i = 0; i < 20; i++) {
                uint64_t before = wait;

                smpp_throttle_slower(&throttle, now);
                wait = smpp_throttle_wait(&throttle, now);
                assert_true(wait >= before && wait <= 60 * SECOND);
                now += wait;
                smpp_throttle_sent(&throttle, now);
                assert_true(smpp_throttle_wait(&throttle, now) <= 30 * SECOND);
        }
        assert_int_equal(wait, 60 * SECOND);
        smpp_throttle_taken(&throttle);
        smpp_throttle_slower(&throttle, now + 2 * SECOND);
        assert_int_equal(smpp_throttle_wait(&throttle, now + 2 * SECOND), SECOND);
}

static void the_pace_comes_back_slowly_and_wholly(void **state) {
        SmppThrottle throttle = { 0 };
        uint64_t now = 5 * SECOND;
        unsigned first, tenth = 0;

        (void) state;
        (void) send_until(&throttle, &now, 6 * SECOND, 10 * MSEC);
        smpp_throttle_slower(&throttle, now);
        now += SECOND;
        first = send_until(&throttle, &now, now + SECOND, MSEC);
        for (unsigned i = 0; i < 9; i++)
                tenth = send_until(&throttle, &now, now + SECOND, MSEC);
        assert_in_range(tenth, first + first / 3, 2 * first);
        /* Nothing is left of it after a quiet hour. */
        now += 3600 * SECOND;
        smpp_throttle_sent(&throttle, now);
        assert_int_equal(smpp_throttle_wait(&throttle, now), 0);
        assert_int_equal(throttle.interval, 0);
}

/* A centre that takes so many a second, and says so. */
static void a_centres_limit_is_found_and_most_of_it_used(void **state) {
        SmppThrottle throttle = { 0 };
        unsigned taken = 0, refused = 0, limit = 50, left = limit;
        uint64_t second = 0;

        (void) state;
        for (uint64_t now = 5 * SECOND; now < 125 * SECOND; now += 100) {
                if (now / SECOND != second) {
                        second = now / SECOND;
                        left = limit;
                }
                if (smpp_throttle_wait(&throttle, now) > 0)
                        continue;
                smpp_throttle_sent(&throttle, now);
                if (left > 0) {
                        left--;
                        taken++;
                        smpp_throttle_taken(&throttle);
                } else {
                        refused++;
                        smpp_throttle_slower(&throttle, now);
                }
        }
        assert_true(taken > 120 * limit / 2);
        assert_true(refused < 60);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(until_the_centre_objects_there_is_no_limit),
                cmocka_unit_test(a_refusal_means_a_rest_and_half_the_pace),
                cmocka_unit_test(a_window_of_refusals_is_one),
                cmocka_unit_test(who_is_refused_again_rests_longer_but_not_for_ever),
                cmocka_unit_test(the_pace_comes_back_slowly_and_wholly),
                cmocka_unit_test(a_centres_limit_is_found_and_most_of_it_used),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
