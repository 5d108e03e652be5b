/* The gateway's time cannot be set back, nor hurried by a clock that is wrong for less than ten
 * minutes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "time-text.h"

enum {
        WALL = 1795000000,
        DAY = 86400,
};

static const uint64_t boot = 1000 * USEC_PER_SEC;

static void it_starts_at_the_later_of_wall_and_store(void **state) {
        Clock c;

        (void) state;
        clock_start(&c, WALL, 0, boot);
        assert_int_equal(clock_now(&c, boot), WALL);
        clock_start(&c, WALL, WALL + 60, boot);
        assert_int_equal(clock_now(&c, boot), WALL + 60);
        assert_false(c.suspect);
        clock_start(&c, WALL, WALL - 60, boot);
        assert_int_equal(clock_now(&c, boot), WALL);
}

static void it_advances_with_the_boot_clock(void **state) {
        Clock c;

        (void) state;
        clock_start(&c, WALL, 0, boot);
        assert_int_equal(clock_now(&c, boot + 90 * USEC_PER_SEC), WALL + 90);
}

static void a_step_back_is_never_followed(void **state) {
        Clock c;

        (void) state;
        clock_start(&c, WALL, 0, boot);
        for (int64_t t = 1; t < 3 * DAY; t += 60)
                assert_int_equal(clock_observe(&c,
                                                 WALL - DAY + t,
                                                 boot + (uint64_t) t * USEC_PER_SEC),
                                CLOCK_NEWS_NONE);
        assert_int_equal(clock_now(&c, boot + DAY * USEC_PER_SEC), WALL + DAY);
}

static void a_step_forward_is_followed_after_ten_minutes_of_agreement(void **state) {
        Clock c;
        int64_t t;

        (void) state;
        clock_start(&c, WALL, 0, boot);
        assert_int_equal(clock_observe(&c, WALL + DAY + 1, boot + USEC_PER_SEC),
                        CLOCK_NEWS_STEP_SEEN);
        for (t = 2; t < CLOCK_AGREEMENT_SECONDS; t++) {
                assert_int_equal(clock_observe(&c,
                                                 WALL + DAY + t,
                                                 boot + (uint64_t) t * USEC_PER_SEC),
                                CLOCK_NEWS_NONE);
                assert_int_equal(clock_now(&c, boot + (uint64_t) t * USEC_PER_SEC), WALL + t);
        }
        assert_int_equal(clock_observe(&c,
                                         WALL + DAY + t + 1,
                                         boot + (uint64_t) (t + 1) * USEC_PER_SEC),
                        CLOCK_NEWS_FOLLOWED);
        assert_int_equal(clock_now(&c, boot + (uint64_t) (t + 1) * USEC_PER_SEC),
                        WALL + DAY + t + 1);
}

static void a_step_that_changes_or_goes_away_starts_anew(void **state) {
        Clock c;

        (void) state;
        clock_start(&c, WALL, 0, boot);
        assert_int_equal(clock_observe(&c, WALL + DAY, boot), CLOCK_NEWS_STEP_SEEN);
        assert_int_equal(clock_observe(&c, WALL + 2 * DAY, boot + 500 * USEC_PER_SEC),
                        CLOCK_NEWS_STEP_SEEN);
        assert_int_equal(clock_observe(&c, WALL + 2 * DAY + 300, boot + 800 * USEC_PER_SEC),
                        CLOCK_NEWS_NONE);
        assert_int_equal(clock_observe(&c, WALL + 900, boot + 900 * USEC_PER_SEC), CLOCK_NEWS_NONE);
        assert_int_equal(clock_observe(&c, WALL + DAY + 1700, boot + 1700 * USEC_PER_SEC),
                        CLOCK_NEWS_STEP_SEEN);
        assert_int_equal(clock_now(&c, boot + 1700 * USEC_PER_SEC), WALL + 1700);
}

static void small_drift_is_followed_at_once(void **state) {
        Clock c;

        (void) state;
        clock_start(&c, WALL, 0, boot);
        assert_int_equal(clock_observe(&c, WALL + 10, boot), CLOCK_NEWS_NONE);
        assert_int_equal(clock_now(&c, boot), WALL + 10);
}

static void many_small_steps_are_a_large_one(void **state) {
        Clock c;
        int64_t ahead = 0;

        (void) state;
        clock_start(&c, WALL, 0, boot);
        for (int64_t t = 1; t < 100; t++)
                (void) clock_observe(
                                &c, WALL + t + (ahead += 29), boot + (uint64_t) t * USEC_PER_SEC);
        assert_in_range(clock_now(&c, boot + 99 * USEC_PER_SEC),
                        WALL + 99,
                        WALL + 99 + CLOCK_STEP_SECONDS);
}

static void a_store_from_the_future_is_suspect_until_accepted(void **state) {
        Clock c;

        (void) state;
        clock_start(&c, WALL, WALL + CLOCK_AHEAD_SECONDS + 1, boot);
        assert_true(c.suspect);
        assert_int_equal(clock_now(&c, boot), WALL + CLOCK_AHEAD_SECONDS + 1);
        clock_accept(&c, WALL, boot);
        assert_false(c.suspect);
        assert_int_equal(clock_now(&c, boot), WALL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_starts_at_the_later_of_wall_and_store),
                cmocka_unit_test(it_advances_with_the_boot_clock),
                cmocka_unit_test(a_step_back_is_never_followed),
                cmocka_unit_test(a_step_forward_is_followed_after_ten_minutes_of_agreement),
                cmocka_unit_test(a_step_that_changes_or_goes_away_starts_anew),
                cmocka_unit_test(small_drift_is_followed_at_once),
                cmocka_unit_test(many_small_steps_are_a_large_one),
                cmocka_unit_test(a_store_from_the_future_is_suspect_until_accepted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
