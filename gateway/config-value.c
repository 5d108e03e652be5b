/* One key of one section: what is written there, as a value or as a problem with its line. All
 * values are read as text here, so that a wrong one is reported with our own words. */
#include <confuse.h>
#include <ctype.h>
#include <errno.h>

#include "config-internal.h"

enum {
        DURATION_MAX = 366 * 86400,
        MONEY_PLACES = 4,
        MONEY_MAX = 100 * 1000 * 10000, /* fits what is counted */
};

void config_problem(const ConfigPlace *p, const char *key, const char *format, ...) {
        const char *place = config_scan_place(p->reader->scan, p->section, p->title, key);
        va_list arguments;

        p->reader->bad = true;
        (void) fprintf(p->reader->problems,
                        "%s: %s%s%s: ",
                        place ? place : "configuration",
                        p->section,
                        p->title ? " " : "",
                        p->title ? p->title : "");
        va_start(arguments, format);
        (void) vfprintf(p->reader->problems, format, arguments);
        va_end(arguments);
        (void) fputc('\n', p->reader->problems);
}

void *config_reader_take(ConfigReader *reader, size_t n, size_t size) {
        void *memory = config_take(reader->config, n * size + 1);

        if (!memory)
                reader->error = -ENOMEM;
        return memory;
}

/* The values of a key; 0 when it is absent. */
unsigned config_n_values(const ConfigPlace *p, const char *key) {
        return p->cfg ? cfg_size(p->cfg, key) : 0;
}

/* The text of a key in the Config's memory, or fallback (which may be NULL). */
const char *config_read_text(const ConfigPlace *p, const char *key, const char *fallback) {
        const char *value = config_n_values(p, key) > 0 ? cfg_getstr(p->cfg, key) : NULL, *copy;

        if (!value)
                return fallback;
        if (!value[0]) {
                config_problem(p, key, "%s is empty", key);
                return fallback;
        }
        copy = config_take_string(p->reader->config, value);
        if (!copy)
                p->reader->error = -ENOMEM;
        return copy ? copy : fallback;
}

const char *config_read_required(const ConfigPlace *p, const char *key) {
        const char *text = config_read_text(p, key, NULL);

        if (!text && config_n_values(p, key) == 0)
                config_problem(p, NULL, "%s is missing", key);
        return text;
}

/* A list as a NULL-terminated array in the Config's memory, never NULL unless out of memory. */
const char **config_read_list(const ConfigPlace *p, const char *key, size_t *ret_n) {
        unsigned n = config_n_values(p, key);
        const char **list = config_reader_take(p->reader, n + 1, sizeof(char *));
        size_t used = 0;

        if (n == 0 && config_scan_has(p->reader->scan, p->section, p->title, key))
                config_problem(p, key, "%s holds nothing", key);
        for (unsigned i = 0; list && i < n; i++) {
                const char *value = cfg_getnstr(p->cfg, key, i);
                bool repeated = false;

                for (size_t k = 0; k < used; k++)
                        repeated = repeated || streq(list[k], value);
                if (!value[0])
                        config_problem(p, key, "%s holds an empty value", key);
                else if (repeated && !streq(key, "exec"))
                        config_problem(p, key, "%s holds \"%s\" twice", key, value);
                else if ((list[used] = config_take_string(p->reader->config, value)))
                        used++;
                else
                        p->reader->error = -ENOMEM;
        }
        *ret_n = used;
        return list;
}

int config_number(const char *text, uint64_t max, uint64_t *ret) {
        char *end;

        errno = 0;
        if (!isdigit((unsigned char) text[0]))
                return -EINVAL;
        *ret = strtoull(text, &end, 10);
        return *end || errno || *ret > max ? -EINVAL : 0;
}

unsigned config_read_number(const ConfigPlace *p,
                const char *key,
                unsigned min,
                unsigned max,
                unsigned fallback) {
        const char *text = config_read_text(p, key, NULL);
        uint64_t value;

        if (!text)
                return fallback;
        if (config_number(text, max, &value) < 0 || value < min) {
                config_problem(p, key, "%s must be a whole number from %u to %u", key, min, max);
                return fallback;
        }
        return (unsigned) value;
}

int config_duration(const char *text, int64_t *ret) {
        static const struct {
                char unit;
                unsigned seconds;
        } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
        char *end;
        uint64_t value;

        if (!isdigit((unsigned char) text[0]))
                return -EINVAL;
        value = strtoull(text, &end, 10);
        for (size_t i = 0; i < N_ELEMENTS(units); i++)
                if (end[0] == units[i].unit && !end[1] && value > 0 &&
                                value <= (uint64_t) DURATION_MAX / units[i].seconds) {
                        *ret = (int64_t) (value * units[i].seconds);
                        return 0;
                }
        return -EINVAL;
}

int64_t config_read_duration(const ConfigPlace *p, const char *key, int64_t fallback) {
        const char *text = config_read_text(p, key, NULL);
        int64_t seconds;

        if (!text)
                return fallback;
        if (config_duration(text, &seconds) == 0)
                return seconds;
        config_problem(p, key, "%s must be a time such as 90s, 15m, 24h or 7d", key);
        return fallback;
}

uint32_t config_read_money(const ConfigPlace *p, const char *key) {
        const char *text = config_read_text(p, key, NULL);
        uint64_t value = 0;
        unsigned places = 0;
        bool point = false, digits = false;

        if (!text)
                return 0;
        for (const char *at = text; *at && places <= MONEY_PLACES && value <= MONEY_MAX; at++) {
                if (*at == '.' && !point && digits) {
                        point = true;
                        digits = false;
                        continue;
                }
                if (!isdigit((unsigned char) *at)) {
                        digits = false;
                        break;
                }
                digits = true;
                places += point;
                value = value * 10 + (uint64_t) (*at - '0');
        }
        for (unsigned i = places; i < MONEY_PLACES; i++)
                value *= 10;
        if (!digits || places > MONEY_PLACES || value == 0 || value > MONEY_MAX) {
                config_problem(p,
                                key,
                                "%s must be an amount above zero such as 0.075, with at most %d "
                                "places and up to %d",
                                key,
                                MONEY_PLACES,
                                MONEY_MAX / 10000);
                return 0;
        }
        return (uint32_t) value;
}

bool config_read_flag(const ConfigPlace *p, const char *key, bool fallback) {
        const char *text = config_read_text(p, key, NULL);

        if (!text)
                return fallback;
        if (streq(text, "yes") || streq(text, "true"))
                return true;
        if (!streq(text, "no") && !streq(text, "false"))
                config_problem(p, key, "%s must be yes or no", key);
        return false;
}

bool config_is_url(const char *text, const char *scheme) {
        size_t size = strlen(scheme);

        if (strncmp(text, scheme, size) != 0 || !isalnum((unsigned char) text[size]))
                return false;
        for (; *text; text++)
                if (*text <= ' ' || *text >= 0x7f || strchr("\"<>\\^`{|}", *text))
                        return false;
        return true;
}
