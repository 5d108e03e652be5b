/* The arguments of a URL's query or of a form that was posted (application/x-www-form-urlencoded,
 * WHATWG URL section 5.1): names and values, percent-decoded. Bytes in, values out; no I/O. Values
 * may hold any byte, NUL too: carriers send UTF-16 that way. */
#pragma once

#include <stddef.h>

enum { HTTP_VALUES_MAX = 128 };

typedef struct HttpValue {
        const char *name, *value; /* a NUL follows each */
        size_t name_size, size;
} HttpValue;

typedef struct HttpValues {
        char *buffer; /* what the values point into */
        size_t buffer_size;
        HttpValue values[HTTP_VALUES_MAX];
        size_t n;
} HttpValues;

typedef enum HttpValuesError {
        HTTP_VALUES_E_FORM = 1, /* a percent sign without two hexadecimal digits */
        HTTP_VALUES_E_MANY,     /* more than HTTP_VALUES_MAX */
} HttpValuesError;

/* Reads size bytes; the caller bounds them. On failure *ret is empty. -ENOMEM. */
int http_values_read(const char *text, size_t size, HttpValues *ret);

/* The one value of that name; NULL when there is none, or more than one. */
const HttpValue *http_values_find(const HttpValues *values, const char *name);

/* The same as text; NULL also when a NUL is in it. */
const char *http_values_text(const HttpValues *values, const char *name);

/* Wipes, frees, and leaves it empty. */
void http_values_done(HttpValues *values);
