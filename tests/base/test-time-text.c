/* RFC 3339 both ways, and the two clocks. */
#include "test.h"

#include <time.h>

#include "time-text.h"

static void times_are_written_in_utc(void **state) {
        static const struct {
                int64_t seconds;
                const char *text;
        } cases[] = {
                { 0, "1970-01-01T00:00:00Z" },
                { 951782400, "2000-02-29T00:00:00Z" },
                { 1795262400, "2026-11-21T12:00:00Z" },
                { 4102444799, "2099-12-31T23:59:59Z" },
                { 253402300799, "9999-12-31T23:59:59Z" },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char text[TIME_TEXT_SIZE];
                int64_t read = -1;

                time_text(cases[i].seconds, text);
                assert_string_equal(text, cases[i].text);
                assert_int_equal(time_from_text(text, &read), 0);
                assert_int_equal(read, cases[i].seconds);
        }
}

static void a_time_outside_the_four_digit_years_is_written_as_the_nearest(void **state) {
        char text[TIME_TEXT_SIZE];

        time_text(INT64_MAX, text);
        assert_string_equal(text, "9999-12-31T23:59:59Z");
        time_text(INT64_MIN, text);
        assert_string_equal(text, "1970-01-01T00:00:00Z");
}

static void every_form_of_rfc_3339_is_read(void **state) {
        static const struct {
                const char *text;
                int64_t seconds;
        } cases[] = {
                { "2026-11-21t12:00:00z", 1795262400 },
                { "2026-11-21T12:00:00.5Z", 1795262400 },
                { "2026-11-21T12:00:00.999999999999Z", 1795262400 },
                { "2026-11-21T13:00:00+01:00", 1795262400 },
                { "2026-11-21T13:00:00+0100", 1795262400 },
                { "2026-11-21T06:30:00-05:30", 1795262400 },
                { "2026-11-21T12:00:00-00:00", 1795262400 },
                { "2026-11-22T11:59:00+23:59", 1795262400 },
                { "2016-12-31T23:59:60Z", 1483228799 },
                { "2024-02-29T00:00:00Z", 1709164800 },
                { "1970-01-01T01:00:00+01:00", 0 },
                { "9999-12-31T22:59:59-01:00", 253402300799 },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                int64_t read = -1;

                if (time_from_text(cases[i].text, &read) != 0 || read != cases[i].seconds)
                        fail_msg("`%s` gave %lld", cases[i].text, (long long) read);
        }
}

static void what_is_nearly_a_time_is_refused(void **state) {
        static const char *const bad[] = {
                "",
                "2026-11-21",
                "2026-11-21T12:00Z",
                "2026-11-21T12:00:00",
                "2026-11-21 12:00:00Z",
                "2026-11-21T12:00:00ZZ",
                "2026-11-21T12:00:00Z ",
                " 2026-11-21T12:00:00Z",
                "2026-11-21T12:00:00.Z",
                "2026-11-21T12:00:00,5Z",
                "2026-11-21T12:00:00+1:00",
                "2026-11-21T12:00:00+",
                "2026-11-21T12:00:00+01",
                "2026-11-21T12:00:00+01:",
                "2026-11-21T12:00:00+24:00",
                "2026-11-21T12:00:00+01:60",
                "2026-11-21T12:00:00+01:000",
                "2026-02-29T00:00:00Z",
                "2026-04-31T00:00:00Z",
                "2026-00-01T00:00:00Z",
                "2026-13-01T00:00:00Z",
                "2026-11-00T00:00:00Z",
                "2026-11-32T00:00:00Z",
                "2026-11-21T24:00:00Z",
                "2026-11-21T12:60:00Z",
                "2026-11-21T12:00:61Z",
                "1969-12-31T23:59:59Z",
                "+026-11-21T12:00:00Z",
                "20261121T120000Z",
                "10000-01-01T00:00:00Z",
                "1970-01-01T00:59:59+01:00",
                "9999-12-31T23:00:00-01:00",
                "2026-11-2\xd9\xa1T12:00:00Z",
        };

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                int64_t read = 42;

                if (time_from_text(bad[i], &read) != -EBADMSG || read != 42)
                        fail_msg("`%s` was taken for a time", bad[i]);
        }
}

static void the_local_time_zone_changes_nothing(void **state) {
        char text[TIME_TEXT_SIZE];
        int64_t read;

        assert_int_equal(setenv("TZ", "America/New_York", 1), 0);
        tzset();
        time_text(1795262400, text);
        assert_string_equal(text, "2026-11-21T12:00:00Z");
        assert_int_equal(time_from_text("2026-07-01T12:00:00Z", &read), 0);
        assert_int_equal(read, 1782907200);
        assert_int_equal(unsetenv("TZ"), 0);
        tzset();
}

static void the_clocks_have_their_units(void **state) {
        int64_t wall = time_wall();
        uint64_t boot = time_boot();
        struct timespec ts;

        assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &ts), 0);
        assert_in_range(boot,
                        (uint64_t) ts.tv_sec * USEC_PER_SEC - 60 * USEC_PER_SEC,
                        (uint64_t) (ts.tv_sec + 1) * USEC_PER_SEC);
        assert_in_range(wall, time(NULL) - 60, time(NULL) + 1);
        assert_true(time_boot() >= boot);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(times_are_written_in_utc),
                cmocka_unit_test(a_time_outside_the_four_digit_years_is_written_as_the_nearest),
                cmocka_unit_test(every_form_of_rfc_3339_is_read),
                cmocka_unit_test(what_is_nearly_a_time_is_refused),
                cmocka_unit_test(the_local_time_zone_changes_nothing),
                cmocka_unit_test(the_clocks_have_their_units),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
