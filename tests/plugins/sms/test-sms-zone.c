/* What clocks show elsewhere, by the machine's zone files. */
#include "../../base/test.h"

#include <time.h>

#include "sms-zone.h"

enum {
        WINTER = 1795262400, /* 2026-11-21 */
        SUMMER = 1782000000, /* 2026-06-21 */
};

static void assert_offset(const char *zone, int64_t moment, int32_t wanted) {
        int32_t offset;

        assert_true(sms_zone_offset(NULL, zone, moment, &offset));
        assert_int_equal(offset, wanted);
}

static void zones_have_their_offsets(void **state) {
        assert_offset("Europe/Berlin", WINTER, 3600);
        assert_offset("Europe/Berlin", SUMMER, 7200);
        assert_offset("America/New_York", WINTER, -5 * 3600);
        assert_offset("America/New_York", SUMMER, -4 * 3600);
        assert_offset("Asia/Kathmandu", WINTER, 5 * 3600 + 45 * 60);
        assert_offset("Pacific/Auckland", WINTER, 13 * 3600);
        assert_offset("America/Argentina/Buenos_Aires", SUMMER, -3 * 3600);
}

static void a_zone_that_is_none_is_not_known(void **state) {
        int32_t offset;

        assert_false(sms_zone_offset(NULL, "Europe/Entenhausen", WINTER, &offset));
        assert_false(sms_zone_offset(NULL,
                        "America/Argentina/Llanfairpwllgwyngyllgogerychwyrndrobwllllantysilio",
                        WINTER,
                        &offset));
}

static void our_own_clock_stays_at_utc(void **state) {
        time_t moment = WINTER;
        struct tm local;
        int32_t offset;

        assert_true(sms_zone_offset(NULL, "Asia/Tokyo", WINTER, &offset));
        assert_non_null(localtime_r(&moment, &local));
        assert_int_equal(local.tm_gmtoff, 0);
        assert_string_equal(getenv("TZ"), "UTC0");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(zones_have_their_offsets),
                cmocka_unit_test(a_zone_that_is_none_is_not_known),
                cmocka_unit_test(our_own_clock_stays_at_utc),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
