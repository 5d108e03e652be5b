/* Any bytes as what a carrier calls a sender, as a list of countries, and as hours. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "cleanup.h"
#include "sms-number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool offset_of(void *context, const char *zone, int64_t seconds, int32_t *ret) {
        const uint8_t *octets = context;

        *ret = ((int32_t) octets[(size_t) zone[0] % 2] - 128) * 400 + (int32_t) (seconds % 7);
        return zone[1] != 'X';
}

static void check_number(const char *number) {
        char uri[32] = "sms:", canonical[ADDRESS_SIZE_MAX];
        const char *reason;
        SmsNumber told;
        int r = sms_number_check(number, NULL, &told);

        assert((r == 0) == (told.reason == NULL));
        assert(r != 0 || told.country[0]);
        if (r == SMS_NUMBER_E_FORM)
                return;
        assert(strlen(number) < SMS_NUMBER_SIZE);
        strcat(uri, number);
        assert(address_canonical(uri, canonical, &reason) == 0 && streq(uri, canonical));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = NULL;
        char number[SMS_NUMBER_SIZE], bad[SMS_COUNTRY_SIZE];
        SmsCountries countries = { .n = 0 };
        SmsHours hours;
        int64_t until;

        if (size < 3)
                return 0;
        text = strndup((const char *) data + 3, size - 3);
        assert(text);
        check_number(text);
        if (sms_number_from_carrier(
                            text, data[0] % 8, data[1] & 1 ? "49" : NULL, data[1] & 2, number))
                check_number(number);
        (void) sms_countries_add(&countries, text, bad);
        assert(countries.n <= SMS_COUNTRIES_MAX);
        if (sms_hours_read(text, &hours)) {
                static const char *const asked[] = { "DE", "US", "RU", "ZZ" };
                int64_t now = (int64_t) data[0] * 7919 * 86400 / 100 - 86400;
                SmsQuiet quiet = sms_quiet(
                                asked[data[2] % 4], &hours, now, offset_of, (void *) data, &until);

                assert(until >= now && (quiet == SMS_QUIET_NO) == (until == now));
        }
        return 0;
}
