/* Where a number is, what is refused, and when it is night there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "sms-number-table.h"
#include "sms-number.h"

static void assert_country(const char *number, const char *country) {
        SmsNumber told;

        if (sms_number_check(number, NULL, &told) != 0 || !streq(told.country, country))
                fail_msg("%s is of %s: %s", number, told.country, told.reason);
}

static void assert_refused(const char *number, SmsNumberError error, SmsRange range) {
        SmsNumber told;
        int r = sms_number_check(number, NULL, &told);

        if (r != (int) error || told.range != range || !told.reason)
                fail_msg("%s: %d, range %d", number, r, (int) told.range);
}

static void the_longest_prefix_names_the_country(void **state) {
        static const char *const numbers[][2] = { { "+4915112345678", "DE" },
                { "+436641234567", "AT" },
                { "+41781234567", "CH" },
                { "+447400123456", "GB" },
                { "+447781123456", "GG" },
                { "+447797712345", "JE" },
                { "+447924123456", "IM" },
                { "+447624123456", "IM" },
                { "+33612345678", "FR" },
                { "+393123456789", "IT" },
                { "+390669812345", "VA" },
                { "+79123456789", "RU" },
                { "+77710009998", "KZ" },
                { "+76123456789", "KZ" },
                { "+12015550123", "US" },
                { "+15062345678", "CA" },
                { "+12425550123", "BS" },
                { "+17875550123", "PR" },
                { "+18765550123", "JM" },
                { "+16715550123", "GU" },
                { "+35841234567", "FI" },
                { "+354611123456", "IS" },
                { "+38344123456", "XK" },
                { "+262692123456", "RE" },
                { "+262639012345", "YT" },
                { "+5999181234", "CW" },
                { "+5993181234", "BQ" },
                { "+212650123456", "MA" },
                { "+61412345678", "AU" },
                { "+8613123456789", "CN" },
                { "+85251234567", "HK" },
                { "+4740612345", "NO" },
                { "+4791234567", "NO" } };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
                assert_country(numbers[i][0], numbers[i][1]);
}

static void international_ranges_that_are_no_country_are_refused(void **state) {
        (void) state;
        assert_refused("+80012345678", SMS_NUMBER_E_RANGE, SMS_RANGE_UIFN);
        assert_refused("+80812345678", SMS_NUMBER_E_RANGE, SMS_RANGE_SHARED);
        assert_refused("+870301234567", SMS_NUMBER_E_RANGE, SMS_RANGE_SATELLITE);
        assert_refused("+878101234567890", SMS_NUMBER_E_RANGE, SMS_RANGE_PERSONAL);
        assert_refused("+881612345678", SMS_NUMBER_E_RANGE, SMS_RANGE_SATELLITE);
        assert_refused("+8823421234", SMS_NUMBER_E_RANGE, SMS_RANGE_NETWORK);
        assert_refused("+883510012345", SMS_NUMBER_E_RANGE, SMS_RANGE_NETWORK);
        assert_refused("+979123456789", SMS_NUMBER_E_RANGE, SMS_RANGE_PREMIUM);
        assert_refused("+999123456789", SMS_NUMBER_E_UNKNOWN, SMS_RANGE_PERSON);
        assert_refused("+2101234567", SMS_NUMBER_E_UNKNOWN, SMS_RANGE_PERSON);
}

/* Examples of the metadata of libphonenumber 8.12.57. */
static void national_ranges_at_a_price_are_refused(void **state) {
        static const char *const premium[] = { "+499001234567",
                "+43900123456",
                "+41900123456",
                "+449012345678",
                "+33891123456",
                "+39892123",
                "+34803123456",
                "+351760123456",
                "+3290012345",
                "+31900123456",
                "+4590123456",
                "+4782012345",
                "+46900123456",
                "+358600123456",
                "+48701234567",
                "+420900123456",
                "+421900123456",
                "+3690123456",
                "+309091234567",
                "+353700123456",
                "+19002345678",
                "+385611234",
                "+40900123456" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(premium); i++) {
                SmsNumber told;
                int r = sms_number_check(premium[i], NULL, &told);

                if (r != SMS_NUMBER_E_RANGE)
                        fail_msg("%s: %d", premium[i], r);
        }
        /* In Dublin only the length tells an ordinary number from a premium one. */
        assert_refused("+3531520123456", SMS_NUMBER_E_RANGE, SMS_RANGE_PREMIUM);
        assert_refused("+3531850123456", SMS_NUMBER_E_RANGE, SMS_RANGE_SHARED);
        assert_country("+35315201234", "IE");
        assert_refused("+491801234567", SMS_NUMBER_E_RANGE, SMS_RANGE_SHARED);
        assert_refused("+447012345678", SMS_NUMBER_E_RANGE, SMS_RANGE_PERSONAL);
        assert_refused("+447640123456", SMS_NUMBER_E_RANGE, SMS_RANGE_PAGER);
        assert_refused("+15002345678", SMS_NUMBER_E_RANGE, SMS_RANGE_PERSONAL);
}

static void what_is_not_e164_is_refused(void **state) {
        static const char *const numbers[] = { "",
                "+",
                "4915112345678",
                "+49",
                "+123456",
                "+1234567890123456",
                "+0123456789",
                "+49 151 12345678",
                "+49151x2345678",
                "++4915112345678",
                "Hotel",
                "tel:+49" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
                assert_refused(numbers[i], SMS_NUMBER_E_FORM, SMS_RANGE_PERSON);
}

static void only_the_countries_of_the_list_are_sent_to(void **state) {
        SmsCountries countries = { .n = 0 };
        char bad[SMS_COUNTRY_SIZE];
        SmsNumber told;

        (void) state;
        assert_int_equal(sms_number_check("+4915112345678", &countries, &told),
                        SMS_NUMBER_E_COUNTRY);
        assert_string_equal(told.country, "DE");
        assert_string_equal(told.reason, "of a country that is not allowed here");
        assert_true(sms_countries_add(&countries, " DE AT,CH ,DE", bad));
        assert_int_equal(countries.n, 3);
        assert_int_equal(sms_number_check("+4915112345678", &countries, &told), 0);
        assert_int_equal(sms_number_check("+15417543010", &countries, &told), SMS_NUMBER_E_COUNTRY);
        assert_int_equal(sms_number_check("+499001234567", &countries, &told), SMS_NUMBER_E_RANGE);
        assert_false(sms_countries_add(&countries, "FR ZZ IT", bad));
        assert_string_equal(bad, "ZZ");
        assert_false(sms_countries_add(&countries, "de", bad));
        assert_false(sms_countries_add(&countries, "DEU", bad));
        assert_false(sms_countries_add(&countries, "D", bad));
        assert_string_equal(bad, "D");
        assert_true(sms_countries_add(&countries, "", bad));
        assert_int_equal(countries.n, 4); /* with FR, which stood before the mistake */
}

static void assert_sender(const char *digits,
                unsigned type,
                const char *code,
                bool international,
                const char *number) {
        char got[SMS_NUMBER_SIZE];

        assert_int_equal(sms_number_from_carrier(digits, type, code, international, got),
                        number != NULL);
        assert_string_equal(got, number ? number : "");
}

static void a_carriers_sender_becomes_e164_or_cannot_be_answered(void **state) {
        (void) state;
        assert_sender("4915112345678", 1, NULL, false, "+4915112345678");
        assert_sender("+4915112345678", 1, NULL, false, "+4915112345678");
        assert_sender("+4915112345678", 0, NULL, false, "+4915112345678");
        assert_sender("004915112345678", 0, NULL, false, "+4915112345678");
        assert_sender("015112345678", 2, "49", false, "+4915112345678");
        assert_sender("15112345678", 2, "49", false, "+4915112345678");
        assert_sender("015112345678", 0, "49", false, "+4915112345678");
        assert_sender("4915112345678", 0, NULL, true, "+4915112345678");
        assert_sender("4915112345678", 0, NULL, false, NULL);
        assert_sender("015112345678", 2, NULL, true, NULL);
        assert_sender("Hotel", 5, "49", true, NULL);
        assert_sender("49301234567", 5, "49", true, NULL);
        assert_sender("12345", 1, NULL, true, NULL);
        assert_sender("", 1, "49", true, NULL);
        assert_sender("491511234567890123456789", 1, NULL, true, NULL);
}

/* National prefixes by ITU-T's list of them (Operational Bulletin, Dialling Procedures). */
static void what_is_dialled_before_a_national_number_is_dropped_and_no_more(void **state) {
        static const struct {
                const char *digits, *code, *number;
        } senders[] = {
                { "07911123456", "44", "+447911123456" },
                { "0612345678", "33", "+33612345678" },
                { "3312345678", "39", "+393312345678" },
                { "0612345678", "39", "+390612345678" }, /* Rome: the 0 belongs to it */
                { "0549123456", "378", "+3780549123456" },
                { "0712345678", "225", "+2250712345678" }, /* and to all mobile numbers here */
                { "0195123456", "229", "+2290195123456" },
                { "061234567", "242", "+242061234567" },
                { "06031234", "241", "+24106031234" },
                { "01234567", "226", "+22601234567" },
                { "06201234567", "36", "+36201234567" },
                { "201234567", "36", "+36201234567" },
                { "612345678", "36", "+36612345678" },
                { "89161234567", "7", "+79161234567" },
                { "8121234567", "7", "+78121234567" }, /* Saint Petersburg */
                { "80291234567", "375", "+375291234567" },
                { "866123456", "993", "+99366123456" },
                { "12015550123", "1", "+12015550123" },
                { "2015550123", "1", "+12015550123" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(senders); i++)
                for (unsigned type = 0; type <= 2; type += 2)
                        assert_sender(senders[i].digits,
                                        type,
                                        senders[i].code,
                                        false,
                                        senders[i].number);
        assert_sender("001234567", 2, "992", false, "+992001234567");
}

static void hours_are_read_strictly(void **state) {
        static const char *const wrong[] = { "",
                "21-08",
                "21:00",
                "21:00-24:01",
                "21:60-08:00",
                "1:00-08:00",
                "21:00 08:00",
                "21:00-08:00 ",
                "08:00-08:00",
                "00:00-24:00",
                "aa:00-08:00" };
        SmsHours hours;

        (void) state;
        assert_true(sms_hours_read("21:00-08:30", &hours));
        assert_int_equal(hours.from, 1260);
        assert_int_equal(hours.to, 510);
        assert_true(sms_hours_read("20:00-24:00", &hours));
        assert_int_equal(hours.to, 0);
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_false(sms_hours_read(wrong[i], &hours));
}

#define HOUR INT64_C(3600)
#define NOON INT64_C(1795521600) /* 2026-11-24, 12:00 in UTC */

/* Winter, as the tz database has it; one zone changes its clock at NOON + 10 hours. */
static bool offset_of(void *context, const char *zone, int64_t seconds, int32_t *ret) {
        static const struct {
                const char *zone;
                int hours;
        } zones[] = { { "Europe/Berlin", 1 },
                { "Europe/London", 0 },
                { "America/New_York", -5 },
                { "America/Los_Angeles", -8 },
                { "Asia/Kolkata", 5 } };

        (void) context;
        for (size_t i = 0; i < N_ELEMENTS(zones); i++)
                if (streq(zone, zones[i].zone)) {
                        *ret = (int32_t) (zones[i].hours * HOUR);
                        if (streq(zone, "Europe/London") && seconds >= NOON + 10 * HOUR)
                                *ret -= (int32_t) HOUR;
                        return true;
                }
        return false;
}

/* The zones of the United States that matter: their eastern and western end. */
static bool any_offset_of(void *context, const char *zone, int64_t seconds, int32_t *ret) {
        if (!offset_of(context, zone, seconds, ret))
                *ret = (int32_t) (-7 * HOUR);
        return true;
}

static void assert_quiet(const char *country,
                SmsZoneOffset offset,
                int64_t now,
                SmsQuiet quiet,
                int64_t until) {
        SmsHours night;
        int64_t got;

        assert_true(sms_hours_read("21:00-08:00", &night));
        assert_int_equal(sms_quiet(country, &night, now, offset, NULL, &got), quiet);
        assert_int_equal(got, until);
}

static void quiet_hours_are_those_of_the_recipients_country(void **state) {
        (void) state;
        assert_quiet("DE", offset_of, NOON, SMS_QUIET_NO, NOON);
        assert_quiet("DE", offset_of, NOON + 8 * HOUR - 1, SMS_QUIET_NO, NOON + 8 * HOUR - 1);
        assert_quiet("DE", offset_of, NOON + 8 * HOUR, SMS_QUIET_CERTAINLY, NOON + 19 * HOUR);
        assert_quiet("DE", offset_of, NOON + 19 * HOUR - 1, SMS_QUIET_CERTAINLY, NOON + 19 * HOUR);
        assert_quiet("DE", offset_of, NOON + 19 * HOUR, SMS_QUIET_NO, NOON + 19 * HOUR);
}

static void a_country_of_many_zones_is_quiet_while_one_is(void **state) {
        (void) state;
        assert_quiet("US", any_offset_of, NOON + 8 * HOUR, SMS_QUIET_NO, NOON + 8 * HOUR);
        /* 22:00 in New York, 19:00 in Los Angeles: until 08:00 in the west. */
        assert_quiet("US", any_offset_of, NOON + 15 * HOUR, SMS_QUIET_POSSIBLY, NOON + 28 * HOUR);
        assert_quiet("US", any_offset_of, NOON + 19 * HOUR, SMS_QUIET_CERTAINLY, NOON + 28 * HOUR);
}

static void a_clock_that_changes_in_the_night_is_heeded(void **state) {
        (void) state;
        assert_quiet("GB", offset_of, NOON + 9 * HOUR, SMS_QUIET_CERTAINLY, NOON + 21 * HOUR);
}

static void where_nothing_is_known_it_is_possibly_night(void **state) {
        SmsHours hour;
        int64_t until;

        (void) state;
        assert_quiet("ZZ", offset_of, NOON, SMS_QUIET_POSSIBLY, INT64_MAX);
        assert_quiet("NZ", offset_of, NOON, SMS_QUIET_POSSIBLY, INT64_MAX);
        /* From -12 to +14 it is every hour of the day somewhere. */
        assert_true(sms_hours_read("03:00-03:30", &hour));
        assert_int_equal(sms_quiet("ZZ", &hour, NOON, offset_of, NULL, &until), SMS_QUIET_POSSIBLY);
        assert_int_equal(until, NOON + HOUR / 2);
}

static bool is_country(const char *country) {
        for (size_t i = 0; i < sms_n_zones; i++)
                if (streq(sms_zones[i].country, country) && sms_zones[i].zones[0])
                        return true;
        return false;
}

static void every_country_has_a_zone_and_no_prefix_stands_twice(void **state) {
        (void) state;
        for (size_t i = 0; i < sms_n_countries; i++) {
                assert_true(is_country(sms_countries[i].country));
                if (i > 0)
                        assert_true(strcmp(sms_countries[i - 1].digits, sms_countries[i].digits) <
                                        0);
        }
        for (size_t i = 1; i < sms_n_refused; i++)
                assert_true(strcmp(sms_refused[i - 1].digits, sms_refused[i].digits) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_longest_prefix_names_the_country),
                cmocka_unit_test(international_ranges_that_are_no_country_are_refused),
                cmocka_unit_test(national_ranges_at_a_price_are_refused),
                cmocka_unit_test(what_is_not_e164_is_refused),
                cmocka_unit_test(only_the_countries_of_the_list_are_sent_to),
                cmocka_unit_test(a_carriers_sender_becomes_e164_or_cannot_be_answered),
                cmocka_unit_test(what_is_dialled_before_a_national_number_is_dropped_and_no_more),
                cmocka_unit_test(hours_are_read_strictly),
                cmocka_unit_test(quiet_hours_are_those_of_the_recipients_country),
                cmocka_unit_test(a_country_of_many_zones_is_quiet_while_one_is),
                cmocka_unit_test(a_clock_that_changes_in_the_night_is_heeded),
                cmocka_unit_test(where_nothing_is_known_it_is_possibly_night),
                cmocka_unit_test(every_country_has_a_zone_and_no_prefix_stands_twice),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
