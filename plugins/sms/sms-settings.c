#include "sms-settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "log.h"
#include "plugin.h"
#include "sms-zone.h"
#include "time-text.h"

enum {
        RATE_MAX = 1000000,
        NAME_MAX_LETTERS = 11, /* TS 23.040 section 9.1.2.5: ten octets of septets */
};

static int invalid(const char *name, const char *what) {
        log_error("setting %s: %s", name, what);
        return -EINVAL;
}

static int read_number(const json_t *settings, const char *name, uint32_t max, uint32_t *number) {
        const char *text = plugin_setting(settings, name, NULL);
        unsigned long value;
        char *end;

        if (!text || !text[0])
                return 0;
        errno = 0;
        value = strtoul(text, &end, 10);
        if (!isdigit((unsigned char) text[0]) || *end || errno != 0 || value < 1 || value > max) {
                log_error("setting %s: it is not a number from 1 to %u", name, max);
                return -EINVAL;
        }
        *number = (uint32_t) value;
        return 0;
}

static int read_driver(const json_t *settings, const SmsDriverOps *const *drivers, SmsSettings *s) {
        const char *name = plugin_setting(settings, "driver", NULL);

        if (!name)
                return invalid("driver", "it is missing");
        for (const SmsDriverOps *const *driver = drivers; *driver; driver++)
                if (streq((*driver)->name, name))
                        s->driver = *driver;
        return s->driver ? 0 : invalid("driver", "this program has no such driver");
}

static bool is_name(const char *text) {
        bool has_letter = false;

        for (const char *p = text; *p; p++) {
                if (!isalnum((unsigned char) *p) && !strchr(" .-_&", *p))
                        return false;
                has_letter = has_letter || isalpha((unsigned char) *p);
        }
        return has_letter && strlen(text) <= NAME_MAX_LETTERS;
}

static bool is_sender(const char *text) {
        size_t n = strspn(text[0] == '+' ? text + 1 : text, "0123456789");

        if (text[0] == '+')
                return n >= 7 && n <= 15 && text[1] != '0' && text[1 + n] == '\0';
        return is_name(text) || (n >= 3 && n <= 8 && text[n] == '\0');
}

static int read_sender(const json_t *settings, SmsSettings *s) {
        const char *sender = plugin_setting(settings, "sender", "");

        if (!sender[0])
                return streq(s->driver->name, "modem") ? 0 : invalid("sender", "it is missing");
        if (!is_sender(sender))
                return invalid("sender",
                                "it is no number with a plus, no short code, and no name of up to "
                                "11 letters and digits");
        (void) snprintf(s->sender, sizeof(s->sender), "%s", sender);
        return 0;
}

static int read_countries(const json_t *settings, SmsSettings *s) {
        const json_t *list = json_object_get(settings, "countries"), *entry;
        char bad[SMS_COUNTRY_SIZE] = "";
        bool good = true;
        size_t i;

        if (json_is_string(list))
                good = sms_countries_add(&s->countries, json_string_value(list), bad);
        json_array_foreach(list, i, entry) {
                const char *text = json_string_value(entry);

                good = good && text && sms_countries_add(&s->countries, text, bad);
        }
        if (!good)
                return invalid("countries", "an entry is no code of a country, such as DE");
        if (s->countries.n == 0)
                return invalid("countries",
                                "it is missing; messages go to the countries that it names");
        return 0;
}

/* Nobody in a country is ever invited if it may always be night there. */
static void warn_about_zones(const SmsSettings *s) {
        for (size_t i = 0; i < s->countries.n; i++) {
                int64_t until;

                (void) sms_quiet(s->countries.codes[i],
                                &s->quiet_hours,
                                time_wall(),
                                sms_zone_offset,
                                NULL,
                                &until);
                if (until == INT64_MAX)
                        log_warning("quiet_hours: when it is night in %s is not known, so nobody "
                                    "is invited there; is the package tzdata installed?",
                                        s->countries.codes[i]);
        }
}

static int read_quiet_hours(const json_t *settings, SmsSettings *s) {
        const char *text = plugin_setting(settings, "quiet_hours", SMS_SETTINGS_QUIET_HOURS);

        if (!text[0])
                return 0;
        if (!sms_hours_read(text, &s->quiet_hours))
                return invalid("quiet_hours", "it is not like 21:00-08:00");
        s->has_quiet_hours = true;
        warn_about_zones(s);
        return 0;
}

static int check_country_code(const json_t *settings) {
        const char *text = plugin_setting(settings, "country_code", "");
        size_t n = strspn(text, "0123456789");

        if (text[n] || n > 3 || text[0] == '0')
                return invalid("country_code", "it is not one to three digits, such as 49");
        return 0;
}

int sms_settings_read(
                const json_t *settings, const SmsDriverOps *const *drivers, SmsSettings *ret) {
        uint32_t segments = SMS_SETTINGS_SEGMENTS;
        int r;

        *ret = (SmsSettings){ .per_minute = SMS_SETTINGS_PER_MINUTE, .burst = SMS_SETTINGS_BURST };
        r = read_driver(settings, drivers, ret);
        if (r == 0)
                r = read_sender(settings, ret);
        if (r == 0)
                r = read_countries(settings, ret);
        if (r == 0)
                r = read_number(settings, "per_minute", RATE_MAX, &ret->per_minute);
        if (r == 0)
                r = read_number(settings, "burst", RATE_MAX, &ret->burst);
        if (r == 0)
                r = read_number(settings, "segments", SMS_SEGMENTS_MAX, &segments);
        ret->segments = segments;
        if (r == 0)
                r = check_country_code(settings);
        return r == 0 ? read_quiet_hours(settings, ret) : r;
}
