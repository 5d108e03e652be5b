/* That the gateway knows the countries that the channel knows: each has a list of its own, for the
 * channel's is a by-product of its table of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "cleanup.h"
#include "country.h"
#include "sms-number.h"

static void both_know_the_same_countries(void **state) {
        unsigned n = 0;

        (void) state;
        for (char a = 'A'; a <= 'Z'; a++)
                for (char b = 'A'; b <= 'Z'; b++) {
                        const char code[] = { a, b, 0 };
                        SmsCountries countries = { 0 };
                        char bad[SMS_COUNTRY_SIZE];
                        bool known = sms_countries_add(&countries, code, bad);

                        if (country_is_known(code) != known)
                                fail_msg("%s is known to one of the two only", code);
                        n += known;
                }
        assert_in_range(n, 240, 260);
}

static void what_is_no_code_is_unknown(void **state) {
        static const char *const codes[] = { "", "D", "DEU", "de", "D ", "4D", "Ä", "[E" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(codes); i++)
                assert_false(country_is_known(codes[i]));
}

static void a_wrong_code_that_is_often_written_is_known_for_what_is_meant(void **state) {
        (void) state;
        assert_string_equal(country_meant("UK"), "GB");
        assert_string_equal(country_meant("EL"), "GR");
        assert_null(country_meant("GB"));
        assert_null(country_meant("XX"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_know_the_same_countries),
                cmocka_unit_test(what_is_no_code_is_unknown),
                cmocka_unit_test(a_wrong_code_that_is_often_written_is_known_for_what_is_meant),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
