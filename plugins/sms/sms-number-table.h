/* The world's numbers as data: country codes (ITU-T E.164, Operational Bulletin), the ranges in
 * them that are no person's telephone (international ones of E.164; national ones as the plans say
 * that their administrations file with ITU-T, E.129; compared with the metadata of libphonenumber
 * 9.0 of July 2026), and the zones of countries (tz database, zone.tab; zones that have kept the
 * same time since 2024 are one). sms-number.h is what others include. */
#pragma once

#include <stddef.h>

#include "sms-number.h"

typedef struct SmsPrefix {
        const char *digits;  /* without the plus */
        const char *country; /* ISO 3166-1 alpha-2; XK, AC and TA as CLDR has them */
} SmsPrefix;

/* A country whose numbers cannot be told from those of another. */
typedef struct SmsAlias {
        const char *country, *other;
} SmsAlias;

typedef struct SmsRefused {
        const char *digits;
        SmsRange range;
        size_t digits_min; /* shorter numbers that begin so are ordinary ones */
} SmsRefused;

typedef struct SmsCountryZones {
        const char *country;
        const char *zones; /* names with a space between them */
} SmsCountryZones;

extern const SmsPrefix sms_countries[];
extern const size_t sms_n_countries;

extern const SmsAlias sms_aliases[];
extern const size_t sms_n_aliases;

/* A national range counts unless a longer prefix of sms_countries says whose it is. */
extern const SmsRefused sms_refused[];
extern const size_t sms_n_refused;

extern const SmsCountryZones sms_zones[];
extern const size_t sms_n_zones;
