/* What the channel section says to every driver alike, checked. What only one driver knows, that
 * driver reads. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sms-driver.h"
#include "sms-number.h"

enum {
        SMS_SETTINGS_SEGMENTS = 6,
        SMS_SETTINGS_PER_MINUTE = 60,
        SMS_SETTINGS_BURST = 10,
};

#define SMS_SETTINGS_QUIET_HOURS "21:00-08:00"

typedef struct SmsSettings {
        const SmsDriverOps *driver;
        char sender[SMS_SENDER_SIZE]; /* empty: the modem's own number */
        SmsCountries countries;
        uint32_t per_minute, burst;
        unsigned segments;
        bool has_quiet_hours;
        SmsHours quiet_hours;
} SmsSettings;

/* Reads the settings:
 *
 *   driver        the name of one of drivers, which is NULL-terminated
 *   sender        what messages come from: a number with its plus, a short code of 3 to 8 digits,
 *                 or a name of up to 11 letters, digits, spaces and .-_&; only the modem needs none
 *   countries     ISO 3166-1 codes of the countries that messages go to
 *   per_minute    segments, in the long run; 1 to 1,000,000, by default 60
 *   burst         segments at once; 1 to 1,000,000, by default 10
 *   segments      the longest message; 1 to 255, by default 6
 *   quiet_hours   in which nobody is invited, 21:00-08:00 unless told otherwise; empty: none
 *   country_code  digits; checked here, and read by the drivers
 *
 * Logs what is wrong: -EINVAL. */
int sms_settings_read(const json_t *settings, const SmsDriverOps *const *drivers, SmsSettings *ret);
