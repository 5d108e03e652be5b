/* Quiet hours, where clocks on walls go on evenly and where they jump. */
#include "quiet.h"

#include "../base/test.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 24 * HOUR };

/* userdata is the offset. */
static int32_t always(int64_t moment, void *userdata) {
        return *(const int32_t *) userdata;
}

/* One hour east of UTC, and from JUMP on two, or the other way round. */
#define JUMP (INT64_C(1000) * DAY + 1 * HOUR)
static int32_t forward(int64_t moment, void *userdata) {
        return moment < JUMP ? HOUR : 2 * HOUR;
}
static int32_t back(int64_t moment, void *userdata) {
        return moment < JUMP ? 2 * HOUR : HOUR;
}

static const int32_t utc = 0;
static const QuietZone at_utc = { always, (void *) &utc };
static const QuietHours night = { 21 * 60, 8 * 60 }, siesta = { 13 * 60, 15 * 60 + 30 },
                        none = { 0 };

static void times_of_the_day_are_read_strictly(void **state) {
        static const char *const bad[] = { "",
                "21-8",
                "21:00",
                "21:00-8:00",
                "21:00-08:00 ",
                "24:00-08:00",
                "21:60-08:00",
                "21:00-21:00",
                "21.00-08:00",
                "2a:00-08:00",
                "21:00 08:00",
                "-1:00-08:00" };
        QuietHours hours = { 1, 2 };

        assert_int_equal(quiet_read("21:00-08:00", &hours), 0);
        assert_int_equal(hours.from, 21 * 60);
        assert_int_equal(hours.until, 8 * 60);
        assert_int_equal(quiet_read("00:00-23:59", &hours), 0);
        assert_int_equal(hours.until, 23 * 60 + 59);
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(quiet_read(bad[i], &hours), QUIET_E_FORM);
        assert_int_equal(hours.until, 23 * 60 + 59);
}

static void the_first_minute_is_quiet_and_the_last_is_not(void **state) {
        static const struct {
                const QuietHours *hours;
                int64_t second;
                bool quiet;
        } table[] = {
                { &night, 21 * HOUR - 1, false },
                { &night, 21 * HOUR, true },
                { &night, DAY - 1, true },
                { &night, 0, true },
                { &night, 8 * HOUR - 1, true },
                { &night, 8 * HOUR, false },
                { &siesta, 13 * HOUR - 1, false },
                { &siesta, 13 * HOUR, true },
                { &siesta, 15 * HOUR + 30 * MINUTE, false },
                { &none, 0, false },
                { &none, 12 * HOUR, false },
        };

        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                const int64_t now = 500 * DAY + table[i].second;
                int32_t offset = 5 * HOUR + 45 * MINUTE; /* Nepal */
                QuietZone east = { always, &offset };

                assert_int_equal(quiet_is(table[i].hours, now, &at_utc), table[i].quiet);
                assert_int_equal(quiet_is(table[i].hours, now - offset, &east), table[i].quiet);
        }
}

static void what_waits_leaves_with_the_last_quiet_second(void **state) {
        const int64_t day = 500 * DAY;

        assert_int_equal(quiet_end(&night, day + 12 * HOUR, &at_utc), day + 12 * HOUR);
        assert_int_equal(quiet_end(&night, day + 22 * HOUR, &at_utc), day + DAY + 8 * HOUR);
        assert_int_equal(quiet_end(&night, day + 2 * HOUR, &at_utc), day + 8 * HOUR);
        assert_int_equal(quiet_end(&night, day + 8 * HOUR, &at_utc), day + 8 * HOUR);
        assert_int_equal(quiet_end(&none, day + 2 * HOUR, &at_utc), day + 2 * HOUR);
}

static void a_time_stands_still_while_it_is_quiet(void **state) {
        const int64_t day = 500 * DAY;

        assert_int_equal(quiet_after(&none, day, 7 * DAY, &at_utc), day + 7 * DAY);
        assert_int_equal(quiet_after(&night, day + 12 * HOUR, HOUR, &at_utc), day + 13 * HOUR);
        assert_int_equal(quiet_after(&night, day + 20 * HOUR, HOUR, &at_utc), day + 21 * HOUR);
        assert_int_equal(quiet_after(&night, day + 20 * HOUR, HOUR + 1, &at_utc),
                        day + DAY + 8 * HOUR + 1);
        assert_int_equal(quiet_after(&night, day + 22 * HOUR, HOUR, &at_utc), day + DAY + 9 * HOUR);
        /* Thirteen hours a day: forty hours are three days and an hour. */
        assert_int_equal(quiet_after(&night, day + 8 * HOUR, 40 * HOUR, &at_utc),
                        day + 3 * DAY + 9 * HOUR);
        assert_int_equal(quiet_after(&siesta, day + 12 * HOUR, 2 * HOUR, &at_utc),
                        day + 16 * HOUR + 30 * MINUTE);
}

static void clocks_that_jump_are_followed(void **state) {
        const QuietZone spring = { forward, NULL }, autumn = { back, NULL };
        const QuietHours gone = { 60, 2 * 60 + 30 }; /* until a time that spring leaves out */

        /* Eight o'clock is an hour sooner, or later, than it was the day before. */
        assert_int_equal(quiet_end(&night, JUMP - 3 * HOUR, &spring), JUMP + 5 * HOUR);
        assert_int_equal(quiet_end(&night, JUMP - 3 * HOUR, &autumn), JUMP + 6 * HOUR);
        assert_int_equal(quiet_after(&night, JUMP - 3 * HOUR, HOUR, &spring), JUMP + 6 * HOUR);
        assert_false(quiet_is(&gone, quiet_end(&gone, JUMP - HOUR / 2, &spring), &spring));
        for (int64_t moment = JUMP - DAY; moment < JUMP + DAY; moment += 17 * MINUTE)
                for (int i = 0; i < 2; i++) {
                        const QuietZone *zone = i ? &spring : &autumn;
                        int64_t end = quiet_end(&night, moment, zone);

                        assert_true(end >= moment && !quiet_is(&night, end, zone));
                        assert_true(end == moment || quiet_is(&night, end - 1, zone));
                        assert_true(quiet_after(&night, moment, HOUR, zone) >= moment + HOUR);
                }
}

static void times_before_the_first_day_and_zones_without_sense_end(void **state) {
        int32_t odd = -26 * HOUR;
        const QuietZone zone = { always, &odd };

        for (int64_t moment = -2 * DAY; moment < 2 * DAY; moment += HOUR)
                assert_false(quiet_is(&night, quiet_end(&night, moment, &zone), &zone));
        assert_true(quiet_after(&night, -DAY, 3 * DAY, &zone) > 2 * DAY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(times_of_the_day_are_read_strictly),
                cmocka_unit_test(the_first_minute_is_quiet_and_the_last_is_not),
                cmocka_unit_test(what_waits_leaves_with_the_last_quiet_second),
                cmocka_unit_test(a_time_stands_still_while_it_is_quiet),
                cmocka_unit_test(clocks_that_jump_are_followed),
                cmocka_unit_test(times_before_the_first_day_and_zones_without_sense_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
