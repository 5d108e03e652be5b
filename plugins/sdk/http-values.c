#include "http-values.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "cleanup.h"

static int digit_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* Decodes [text, end) to out, which has room for as much and a NUL. False: not decodable. */
static bool decode(const char *text, const char *end, char *out, size_t *ret_size) {
        char *p = out;

        for (; text < end; text++) {
                if (*text == '%') {
                        int high = end - text > 2 ? digit_value(text[1]) : -1;
                        int low = end - text > 2 ? digit_value(text[2]) : -1;

                        if (high < 0 || low < 0)
                                return false;
                        *p++ = (char) (high << 4 | low);
                        text += 2;
                } else if (*text == '+')
                        *p++ = ' ';
                else
                        *p++ = *text;
        }
        *p = 0;
        *ret_size = (size_t) (p - out);
        return true;
}

/* Reads one "name=value". out has room for its bytes and two NULs, of which one stands for the "="
 * that may be missing. */
static bool value_read(const char *text, const char *end, char *out, HttpValue *ret) {
        const char *equals = memchr(text, '=', (size_t) (end - text));
        char *value;

        if (!decode(text, equals ? equals : end, out, &ret->name_size))
                return false;
        value = out + ret->name_size + 1;
        ret->name = out;
        ret->value = value;
        return decode(equals ? equals + 1 : end, end, value, &ret->size);
}

int http_values_read(const char *text, size_t size, HttpValues *ret) {
        const char *end = text + size, *next;
        char *out;

        *ret = (HttpValues){ 0 };
        if (size == 0)
                return 0;
        ret->buffer_size = size + (size_t) 2 * HTTP_VALUES_MAX;
        out = ret->buffer = malloc(ret->buffer_size);
        if (!out)
                return -ENOMEM;
        for (const char *p = text; p < end; p = next + 1) {
                HttpValue *value = &ret->values[ret->n];
                int r = 0;

                next = memchr(p, '&', (size_t) (end - p));
                if (!next)
                        next = end;
                if (next == p)
                        continue;
                if (ret->n == HTTP_VALUES_MAX)
                        r = HTTP_VALUES_E_MANY;
                else if (!value_read(p, next, out, value))
                        r = HTTP_VALUES_E_FORM;
                if (r > 0) {
                        http_values_done(ret);
                        return r;
                }
                out = (char *) value->value + value->size + 1;
                ret->n++;
        }
        return 0;
}

const HttpValue *http_values_find(const HttpValues *values, const char *name) {
        const HttpValue *found = NULL;
        size_t size = strlen(name);

        for (size_t i = 0; i < values->n; i++) {
                const HttpValue *value = &values->values[i];

                if (value->name_size != size || memcmp(value->name, name, size) != 0)
                        continue;
                if (found)
                        return NULL;
                found = value;
        }
        return found;
}

const char *http_values_text(const HttpValues *values, const char *name) {
        const HttpValue *value = http_values_find(values, name);

        return value && strlen(value->value) == value->size ? value->value : NULL;
}

void http_values_done(HttpValues *values) {
        if (values->buffer)
                sodium_memzero(values->buffer, values->buffer_size);
        free(values->buffer);
        *values = (HttpValues){ 0 };
}
