#include "sms-number.h"

#include <assert.h>
#include <string.h>

#include "cleanup.h"
#include "sms-number-table.h"

enum {
        DIGITS_MIN = 7,
        DIGITS_MAX = 15,
        MINUTES_OF_DAY = 24 * 60,
        SECONDS_OF_DAY = 24 * 60 * 60,
        OFFSETS_MAX = 32, /* more than any country has zones, and all hours from -12 to +14 */
        TRIES_MAX = 256,
        ZONE_SIZE = 48,
};

static const char *const reasons[] = {
        [SMS_RANGE_PREMIUM] = "a premium-rate number",
        [SMS_RANGE_SHARED] = "a shared-cost or corporate number",
        [SMS_RANGE_PERSONAL] = "a personal number that forwards at a price of its own",
        [SMS_RANGE_PAGER] = "a pager",
        [SMS_RANGE_SATELLITE] = "a satellite telephone",
        [SMS_RANGE_UIFN] = "a universal freephone number",
        [SMS_RANGE_NETWORK] = "a number of an international network",
};

static bool starts_with(const char *digits, const char *prefix) {
        while (*prefix && *prefix == *digits)
                prefix++, digits++;
        return !*prefix;
}

/* Both tables are in the order of their digits: of one, where those with this first digit begin. */
static size_t first_country(char digit) {
        size_t from = 0, to = sms_n_countries;

        while (from < to) {
                size_t middle = (from + to) / 2;

                if (sms_countries[middle].digits[0] < digit)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from;
}

static size_t first_refused(char digit) {
        size_t from = 0, to = sms_n_refused;

        while (from < to) {
                size_t middle = (from + to) / 2;

                if (sms_refused[middle].digits[0] < digit)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from;
}

static const SmsPrefix *find_country(const char *digits) {
        const SmsPrefix *best = NULL;

        for (size_t i = first_country(digits[0]);
                        i < sms_n_countries && sms_countries[i].digits[0] == digits[0];
                        i++)
                if (starts_with(digits, sms_countries[i].digits))
                        best = &sms_countries[i]; /* the longer one comes later */
        return best;
}

static const SmsRefused *find_refused(const char *digits) {
        const SmsRefused *best = NULL;

        for (size_t i = first_refused(digits[0]);
                        i < sms_n_refused && sms_refused[i].digits[0] == digits[0];
                        i++)
                if (starts_with(digits, sms_refused[i].digits) &&
                                strlen(digits) >= sms_refused[i].digits_min)
                        best = &sms_refused[i];
        return best;
}

/* In every area code of +1 one exchange is for information at a price. */
static bool is_information(const char *digits) {
        return digits[0] == '1' && strlen(digits) == 11 && starts_with(digits + 4, "976");
}

static bool is_e164(const char *number) {
        size_t n = number[0] == '+' ? strspn(number + 1, "0123456789") : 0;

        return n >= DIGITS_MIN && n <= DIGITS_MAX && number[1 + n] == '\0' && number[1] != '0';
}

static int refuse(SmsNumberError error, const char *reason, SmsNumber *ret) {
        ret->reason = reason;
        return (int) error;
}

int sms_number_check(const char *number, const SmsCountries *allowed, SmsNumber *ret) {
        const SmsPrefix *country;
        const SmsRefused *refused;

        assert(number && ret);

        *ret = (SmsNumber){ .range = SMS_RANGE_PERSON };
        if (!is_e164(number))
                return refuse(SMS_NUMBER_E_FORM, "not a telephone number in E.164", ret);
        country = find_country(number + 1);
        refused = find_refused(number + 1);
        if (country)
                memcpy(ret->country, country->country, SMS_COUNTRY_SIZE);
        if (refused && (!country || strlen(refused->digits) >= strlen(country->digits))) {
                ret->range = refused->range;
                return refuse(SMS_NUMBER_E_RANGE, reasons[refused->range], ret);
        }
        if (is_information(number + 1)) {
                ret->range = SMS_RANGE_PREMIUM;
                return refuse(SMS_NUMBER_E_RANGE, reasons[SMS_RANGE_PREMIUM], ret);
        }
        if (!country)
                return refuse(SMS_NUMBER_E_UNKNOWN, "a number of no country that is known", ret);
        if (allowed && !sms_countries_has(allowed, ret->country))
                return refuse(SMS_NUMBER_E_COUNTRY, "of a country that is not allowed here", ret);
        return 0;
}

static bool is_country(const char *code) {
        for (size_t i = 0; i < sms_n_countries; i++)
                if (streq(sms_countries[i].country, code))
                        return true;
        return false;
}

static void replace_alias(char code[SMS_COUNTRY_SIZE]) {
        for (size_t i = 0; i < sms_n_aliases; i++)
                if (streq(sms_aliases[i].country, code)) {
                        memcpy(code, sms_aliases[i].other, SMS_COUNTRY_SIZE);
                        return;
                }
}

bool sms_countries_has(const SmsCountries *countries, const char *country) {
        assert(countries && country);

        for (size_t i = 0; i < countries->n; i++)
                if (streq(countries->codes[i], country))
                        return true;
        return false;
}

bool sms_countries_add(SmsCountries *countries, const char *text, char ret_bad[SMS_COUNTRY_SIZE]) {
        static const char separators[] = " ,\t\n";

        assert(countries && text && ret_bad);

        for (const char *p = text + strspn(text, separators); *p; p += strspn(p, separators)) {
                char code[SMS_COUNTRY_SIZE] = "";
                size_t n = strcspn(p, separators);

                memcpy(code, p, n < 2 ? n : 2);
                p += n;
                memcpy(ret_bad, code, SMS_COUNTRY_SIZE);
                replace_alias(code);
                if (n != 2 || !is_country(code))
                        return false;
                if (sms_countries_has(countries, code))
                        continue;
                if (countries->n == SMS_COUNTRIES_MAX)
                        return false;
                memcpy(countries->codes[countries->n++], code, SMS_COUNTRY_SIZE);
        }
        ret_bad[0] = '\0';
        return true;
}

static bool put_number(const char *country_code, const char *digits, char ret[SMS_NUMBER_SIZE]) {
        char number[SMS_NUMBER_SIZE] = "+";
        size_t n = strlen(country_code), m = strlen(digits);

        if (n + m > DIGITS_MAX)
                return false;
        memcpy(number + 1, country_code, n);
        memcpy(number + 1 + n, digits, m + 1);
        if (!is_e164(number))
                return false;
        memcpy(ret, number, sizeof(number));
        return true;
}

/* What is dialled before a national number and is no part of it: a 0, but for these. */
typedef struct Trunk {
        const char *country_code;
        const char *prefix;
        size_t digits; /* of a number with it; 0: any number begins so */
} Trunk;

static const char *without_trunk(const char *country_code, const char *digits) {
        static const Trunk others[] = {
                { "1", "1", 11 },
                { "225", "", 0 }, /* here a 0 belongs to the number */
                { "226", "", 0 },
                { "229", "", 0 },
                { "241", "", 0 },
                { "242", "", 0 },
                { "36", "06", 0 },
                { "375", "80", 11 },
                { "378", "", 0 },
                { "39", "", 0 },
                { "7", "8", 11 },
                { "992", "", 0 },
                { "993", "8", 9 },
        };
        Trunk trunk = { country_code, "0", 0 };

        for (size_t i = 0; i < N_ELEMENTS(others); i++)
                if (streq(others[i].country_code, country_code))
                        trunk = others[i];
        if (!starts_with(digits, trunk.prefix) ||
                        (trunk.digits != 0 && strlen(digits) != trunk.digits))
                return digits;
        return digits + strlen(trunk.prefix);
}

bool sms_number_from_carrier(const char *digits,
                unsigned type,
                const char *country_code,
                bool unknown_is_international,
                char ret[SMS_NUMBER_SIZE]) {
        assert(digits && ret);

        ret[0] = '\0';
        if (digits[0] == '+' && type <= 1)
                return put_number("", digits + 1, ret);
        if (type == 1)
                return put_number("", digits, ret);
        if (type == 0 && starts_with(digits, "00"))
                return put_number("", digits + 2, ret);
        if (type == 0 && unknown_is_international)
                return put_number("", digits, ret);
        if ((type == 0 || type == 2) && country_code)
                return put_number(country_code, without_trunk(country_code, digits), ret);
        return false;
}

static bool read_minute(const char *text, int *ret) {
        int hour, minute;

        for (int i = 0; i < 5; i++)
                if (i == 2 ? text[i] != ':' : (text[i] < '0' || text[i] > '9'))
                        return false;
        hour = (text[0] - '0') * 10 + text[1] - '0';
        minute = (text[3] - '0') * 10 + text[4] - '0';
        *ret = hour * 60 + minute;
        return minute < 60 && *ret <= MINUTES_OF_DAY;
}

bool sms_hours_read(const char *text, SmsHours *ret) {
        SmsHours hours;

        assert(text && ret);

        if (strlen(text) != 11 || text[5] != '-' || !read_minute(text, &hours.from) ||
                        !read_minute(text + 6, &hours.to))
                return false;
        hours.from %= MINUTES_OF_DAY;
        hours.to %= MINUTES_OF_DAY;
        if (hours.from == hours.to)
                return false;
        *ret = hours;
        return true;
}

/* A country as the offsets of its zones at one moment. */
typedef struct Places {
        int32_t offsets[OFFSETS_MAX];
        size_t n;
        bool known;
} Places;

static const char *zones_of(const char *country) {
        for (size_t i = 0; i < sms_n_zones; i++)
                if (streq(sms_zones[i].country, country))
                        return sms_zones[i].zones;
        return "";
}

static Places places_at(const char *country, int64_t moment, SmsZoneOffset offset, void *context) {
        Places places = { .known = true };

        for (const char *p = zones_of(country); *p && places.n < OFFSETS_MAX;) {
                char zone[ZONE_SIZE] = "";
                size_t n = strcspn(p, " ");

                assert(n < sizeof(zone));
                memcpy(zone, p, n);
                p += n + strspn(p + n, " ");
                if (offset(context, zone, moment, &places.offsets[places.n]))
                        places.n++;
                else
                        places.known = false;
        }
        if (places.n > 0 && places.known)
                return places;
        places = (Places){ .known = false };
        for (int32_t hour = -12; hour <= 14; hour++)
                places.offsets[places.n++] = hour * 3600;
        return places;
}

/* Seconds until the quiet hours end in a zone; 0 when they are not. */
static int64_t quiet_for(const SmsHours *hours, int64_t moment, int32_t offset) {
        int64_t second = (moment + offset) % SECONDS_OF_DAY;
        int64_t from = (int64_t) hours->from * 60, to = (int64_t) hours->to * 60;

        if (second < 0)
                second += SECONDS_OF_DAY;
        if (from < to)
                return second >= from && second < to ? to - second : 0;
        if (second >= from)
                return SECONDS_OF_DAY - second + to;
        return second < to ? to - second : 0;
}

/* In how many places it is quiet, and the longest that it stays so in one of them. */
static size_t count_quiet(
                const SmsHours *hours, int64_t moment, const Places *places, int64_t *ret_longest) {
        size_t n = 0;

        *ret_longest = 0;
        for (size_t i = 0; i < places->n; i++) {
                int64_t left = quiet_for(hours, moment, places->offsets[i]);

                if (left > 0)
                        n++;
                if (left > *ret_longest)
                        *ret_longest = left;
        }
        return n;
}

SmsQuiet sms_quiet(const char *country,
                const SmsHours *hours,
                int64_t now,
                SmsZoneOffset offset,
                void *context,
                int64_t *ret_until) {
        Places places;
        SmsQuiet quiet;
        int64_t moment = now, longest;
        size_t n;

        assert(country && hours && offset && ret_until);
        assert(now > -((int64_t) 1 << 40) && now < (int64_t) 1 << 40);

        places = places_at(country, now, offset, context);
        n = count_quiet(hours, now, &places, &longest);
        quiet = n == 0 ? SMS_QUIET_NO : n == places.n ? SMS_QUIET_CERTAINLY : SMS_QUIET_POSSIBLY;

        /* Where it is quiet longest, it ends; others may have fallen asleep meanwhile. */
        for (int i = 0; n > 0 && i < TRIES_MAX && moment - now < 7 * SECONDS_OF_DAY; i++) {
                moment += longest;
                places = places_at(country, moment, offset, context);
                n = count_quiet(hours, moment, &places, &longest);
        }
        *ret_until = n > 0 ? INT64_MAX : moment;
        return quiet;
}
