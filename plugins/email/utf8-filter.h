/* A bounded place for text of strangers: whatever bytes are put in, well-formed UTF-8 without
 * control characters comes out, and never more than there is room for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Utf8Filter {
        char *text;
        size_t size, room; /* room: without the final NUL */
        bool full;         /* something did not fit: nothing more is taken */
        bool return_seen;  /* the last byte was a carriage return */
} Utf8Filter;

/* ret has ret_size bytes, at least 1. */
void utf8_filter_init(Utf8Filter *filter, char *ret, size_t ret_size);

/* Adds bytes, whole characters of them at a time. A byte that is no UTF-8 becomes U+FFFD; CRLF and
 * CR become LF; other control characters but tab (to U+009F, and the line separators U+2028 and
 * U+2029 as well) are left out. */
void utf8_filter_put(Utf8Filter *filter, const char *data, size_t size);

bool utf8_filter_is_full(const Utf8Filter *filter);

/* Terminates the text and returns its size. */
size_t utf8_filter_end(Utf8Filter *filter);

/* Writes a scalar value other than a surrogate; returns the number of bytes. */
size_t utf8_encode(uint32_t character, char ret[4]);
