/* What clocks show elsewhere, by the machine's zone files, and when it is night there. */
#include "../../base/test.h"

#include <stdio.h>
#include <time.h>

#include "cleanup.h"
#include "sms-number-table.h"
#include "sms-number.h"
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

static int64_t at(const char *text) {
        struct tm day = { 0 };
        const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &day);

        assert_true(end && !*end);
        return (int64_t) timegm(&day);
}

/* A country of several zones is quiet from the evening in its east until the morning in its west.
 */
static void nights_are_those_of_all_zones_of_a_country(void **state) {
        static const struct {
                const char *country, *now;
                SmsQuiet quiet;
                const char *until; /* NULL: now */
        } nights[] = {
                { "US", "2026-01-15T01:59:59Z", SMS_QUIET_NO, NULL }, /* New York */
                { "US", "2026-01-15T02:00:00Z", SMS_QUIET_POSSIBLY, "2026-01-15T18:00:00Z" },
                { "US", "2026-01-15T10:00:00Z", SMS_QUIET_CERTAINLY, "2026-01-15T18:00:00Z" },
                { "US", "2026-01-15T17:59:59Z", SMS_QUIET_POSSIBLY, "2026-01-15T18:00:00Z" },
                { "US", "2026-01-15T18:00:00Z", SMS_QUIET_NO, NULL }, /* Honolulu */
                { "US", "2026-07-15T00:59:59Z", SMS_QUIET_NO, NULL },
                { "US", "2026-07-15T01:00:00Z", SMS_QUIET_POSSIBLY, "2026-07-15T18:00:00Z" },
                { "RU", "2026-01-15T08:59:59Z", SMS_QUIET_NO, NULL }, /* Kamchatka */
                { "RU", "2026-01-15T09:00:00Z", SMS_QUIET_POSSIBLY, "2026-01-16T06:00:00Z" },
                { "RU", "2026-01-15T06:00:00Z", SMS_QUIET_NO, NULL }, /* Kaliningrad */
                { "CA", "2026-01-15T00:29:59Z", SMS_QUIET_NO, NULL }, /* St. John's */
                { "CA", "2026-01-15T00:30:00Z", SMS_QUIET_POSSIBLY, "2026-01-15T16:00:00Z" },
                { "CA", "2026-07-14T23:30:00Z", SMS_QUIET_POSSIBLY, "2026-07-15T15:00:00Z" },
                { "AU", "2026-07-15T10:29:59Z", SMS_QUIET_NO, NULL }, /* Lord Howe */
                { "AU", "2026-07-15T10:30:00Z", SMS_QUIET_POSSIBLY, "2026-07-16T00:00:00Z" },
                { "AU", "2026-07-15T14:00:00Z", SMS_QUIET_CERTAINLY, "2026-07-16T00:00:00Z" },
                { "AU", "2026-01-15T09:59:59Z", SMS_QUIET_NO, NULL },
                { "AU", "2026-01-15T10:00:00Z", SMS_QUIET_POSSIBLY, "2026-01-16T00:00:00Z" },
                { "BR", "2026-06-15T22:59:59Z", SMS_QUIET_NO, NULL }, /* Noronha */
                { "BR", "2026-06-15T23:00:00Z", SMS_QUIET_POSSIBLY, "2026-06-16T13:00:00Z" },
                { "NZ", "2026-07-15T08:15:00Z", SMS_QUIET_POSSIBLY, "2026-07-15T20:00:00Z" },
                { "NZ", "2026-01-15T07:15:00Z", SMS_QUIET_POSSIBLY, "2026-01-15T19:00:00Z" },
                { "ID", "2026-06-15T12:00:00Z", SMS_QUIET_POSSIBLY, "2026-06-16T01:00:00Z" },
                { "ES", "2026-01-15T20:00:00Z", SMS_QUIET_POSSIBLY, "2026-01-16T08:00:00Z" },
                { "PT", "2026-01-15T21:00:00Z", SMS_QUIET_POSSIBLY, "2026-01-16T09:00:00Z" },
                { "KI", "2026-06-15T07:00:00Z", SMS_QUIET_POSSIBLY, "2026-06-15T20:00:00Z" },
                /* zones beside the full hour */
                { "IN", "2026-06-15T15:29:59Z", SMS_QUIET_NO, NULL },
                { "IN", "2026-06-15T15:30:00Z", SMS_QUIET_CERTAINLY, "2026-06-16T02:30:00Z" },
                { "NP", "2026-06-15T15:15:00Z", SMS_QUIET_CERTAINLY, "2026-06-16T02:15:00Z" },
                { "AF", "2026-06-15T16:30:00Z", SMS_QUIET_CERTAINLY, "2026-06-16T03:30:00Z" },
                /* nights in which the clocks are put back and forward */
                { "DE", "2026-10-24T19:00:00Z", SMS_QUIET_CERTAINLY, "2026-10-25T07:00:00Z" },
                { "DE", "2026-10-25T06:30:00Z", SMS_QUIET_CERTAINLY, "2026-10-25T07:00:00Z" },
                { "DE", "2026-03-28T20:00:00Z", SMS_QUIET_CERTAINLY, "2026-03-29T07:00:00Z" },
                { "DE", "2026-03-29T01:00:00Z", SMS_QUIET_CERTAINLY, "2026-03-29T06:00:00Z" },
                { "DE", "2026-03-29T06:00:00Z", SMS_QUIET_NO, NULL },
        };
        SmsHours hours;

        (void) state;
        assert_true(sms_hours_read("21:00-08:00", &hours));
        for (size_t i = 0; i < N_ELEMENTS(nights); i++) {
                int64_t until, now = at(nights[i].now);
                SmsQuiet quiet = sms_quiet(
                                nights[i].country, &hours, now, sms_zone_offset, NULL, &until);

                if (quiet != nights[i].quiet ||
                                until != (nights[i].until ? at(nights[i].until) : now))
                        fail_msg("%s at %s: %d, until %+lld s",
                                        nights[i].country,
                                        nights[i].now,
                                        (int) quiet,
                                        (long long) (until - now));
        }
}

static const char *zones_of(const char *country) {
        for (size_t i = 0; i < sms_n_zones; i++)
                if (streq(sms_zones[i].country, country))
                        return sms_zones[i].zones;
        return NULL;
}

static bool has_offset(const char *zones, int64_t moment, int32_t wanted) {
        while (*zones) {
                char zone[64] = "";
                size_t n = strcspn(zones, " ");
                int32_t offset;

                assert_true(n < sizeof(zone));
                memcpy(zone, zones, n);
                zones += n + strspn(zones + n, " ");
                if (sms_zone_offset(NULL, zone, moment, &offset) && offset == wanted)
                        return true;
        }
        return false;
}

static void check_zone(const char *country, const char *zone) {
        const char *zones = zones_of(country);
        int32_t offset;

        if (!zones)
                fail_msg("%s: its zones are not known", country);
        /* About one day in each month of two years. */
        for (int64_t moment = at("2024-01-15T12:00:00Z"); moment < at("2026-01-01T00:00:00Z");
                        moment += INT64_C(30) * 24 * 3600) {
                assert_true(sms_zone_offset(NULL, zone, moment, &offset));
                if (!has_offset(zones, moment, offset))
                        fail_msg("%s: no zone like %s", country, zone);
        }
}

/* Where nobody has a number, or has one of a larger land's: BL and MF of Guadeloupe's. */
static const char countries_without_numbers[] = "AQ BL GS MF PN TF UM";

/* By the tz database's own list of which zones a country has. */
static void no_zone_of_a_country_is_left_out(void **state) {
        FILE *list = fopen("/usr/share/zoneinfo/zone.tab", "re");
        char line[512];
        size_t n = 0;

        (void) state;
        assert_non_null(list);
        while (fgets(line, sizeof(line), list)) {
                char country[3], zone[64];

                if (line[0] == '#' || sscanf(line, "%2s %*s %63s", country, zone) != 2)
                        continue;
                if (strstr(countries_without_numbers, country))
                        continue;
                n++;
                check_zone(country, zone);
        }
        (void) fclose(list);
        assert_true(n > 300);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(zones_have_their_offsets),
                cmocka_unit_test(a_zone_that_is_none_is_not_known),
                cmocka_unit_test(our_own_clock_stays_at_utc),
                cmocka_unit_test(nights_are_those_of_all_zones_of_a_country),
                cmocka_unit_test(no_zone_of_a_country_is_left_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
