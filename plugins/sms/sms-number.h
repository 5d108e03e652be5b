/* What a telephone number says of where it is: its country, whether anybody pays too much for a
 * message to it, whether the operator sends there, and whether people sleep there. Values in,
 * values out; no I/O, no clock.
 *
 * A number whose country is not known, or whose range is no person's telephone, is refused: an
 * unknown range costs more often than it answers. +1 is told apart by area code; one that is not
 * known there counts as the United States', which open new ones every year. Which telephone a
 * number is ported to cannot be seen, and neither is where the mobile numbers are at home that some
 * lands share with a larger one: those of Åland count as Finland's, of Svalbard as Norway's, of the
 * Vatican as Italy's, of Western Sahara as Morocco's, of Christmas Island and the Cocos Islands as
 * Australia's, all of Saint Barthélemy's and Saint Martin's as Guadeloupe's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        SMS_NUMBER_SIZE = 17, /* a plus, fifteen digits, NUL */
        SMS_COUNTRY_SIZE = 3,
        SMS_COUNTRIES_MAX = 256,
};

typedef enum SmsNumberError {
        SMS_NUMBER_E_FORM = 1, /* not E.164 */
        SMS_NUMBER_E_UNKNOWN,  /* no country has such numbers */
        SMS_NUMBER_E_RANGE,    /* not a person's telephone */
        SMS_NUMBER_E_COUNTRY,  /* of a country that is not on the list */
} SmsNumberError;

typedef enum SmsRange {
        SMS_RANGE_PERSON,
        SMS_RANGE_PREMIUM,
        SMS_RANGE_SHARED, /* shared cost, corporate and the like */
        SMS_RANGE_PERSONAL,
        SMS_RANGE_PAGER,
        SMS_RANGE_SATELLITE,
        SMS_RANGE_UIFN,
        SMS_RANGE_NETWORK,
} SmsRange;

typedef struct SmsNumber {
        char country[SMS_COUNTRY_SIZE]; /* ISO 3166-1; empty for ranges that are of no country */
        SmsRange range;
        const char *reason; /* of a refusal, words for an operator in static memory; else NULL */
} SmsNumber;

/* The countries that the configuration names; none, to begin with. */
typedef struct SmsCountries {
        char codes[SMS_COUNTRIES_MAX][SMS_COUNTRY_SIZE];
        size_t n;
} SmsCountries;

/* Reads "DE AT, CH": codes of ISO 3166-1 with spaces or commas between them, adding to the list.
 * BL and MF stand for GP there, whose numbers they have.
 * False: *ret_bad (SMS_COUNTRY_SIZE bytes, cut off) is no country's code, or the list is full. */
bool sms_countries_add(SmsCountries *countries, const char *text, char ret_bad[SMS_COUNTRY_SIZE]);

bool sms_countries_has(const SmsCountries *countries, const char *country);

/* Says what a number in the form "+" and 7 to 15 digits is, and whether we send to it: 0, or an
 * SmsNumberError with ret->reason. A NULL list allows every country. */
int sms_number_check(const char *number, const SmsCountries *allowed, SmsNumber *ret);

/* What a carrier calls the sender of a message, as E.164. type is the type of number of TS 23.040
 * section 9.1.2.5 and SMPP section 5.2.5: 1 international, 2 national, 0 unknown; country_code are
 * the digits that national numbers lack, or NULL when they cannot be read; what people dial before
 * a national number, mostly a 0, is dropped then, and "00" in one of unknown type means
 * international. An unknown type without either counts as international when
 * unknown_is_international. False for names, short codes and everything else that cannot be
 * answered. */
bool sms_number_from_carrier(const char *digits,
                unsigned type,
                const char *country_code,
                bool unknown_is_international,
                char ret[SMS_NUMBER_SIZE]);

/* Hours of the day, in minutes after midnight; the end is not part of them. */
typedef struct SmsHours {
        int from, to;
} SmsHours;

/* Reads "21:00-08:00". False: another form, or no time at all between the two. */
bool sms_hours_read(const char *text, SmsHours *ret);

/* Tells the seconds that a zone is ahead of UTC at a moment. False: it does not know the zone. */
typedef bool (*SmsZoneOffset)(void *context, const char *zone, int64_t seconds, int32_t *ret);

typedef enum SmsQuiet {
        SMS_QUIET_NO,        /* nowhere in the country */
        SMS_QUIET_POSSIBLY,  /* in some of its zones, or it is not known where that is */
        SMS_QUIET_CERTAINLY, /* in all of them */
} SmsQuiet;

/* Whether a moment is within the quiet hours of a country, and *ret_until, the first moment from
 * which it is not in any of its zones; INT64_MAX when there is none within a week. In
 * a night in which clocks are put forward it is told as late as they are put. A country
 * without zones that the function knows is asked about as if it had all zones from UTC-12 to
 * UTC+14: then it is always possibly quiet until INT64_MAX, unless the hours are short. */
SmsQuiet sms_quiet(const char *country,
                const SmsHours *hours,
                int64_t now,
                SmsZoneOffset offset,
                void *context,
                int64_t *ret_until);
