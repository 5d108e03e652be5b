/* Bytes that must not outlive their use: wiped when they leave scope, compared in constant time,
 * never formatted. They are on the ordinary heap: guard pages cost six system calls, and most of
 * these live for microseconds. Keys that stay are in sodium_malloc()'s memory, where they belong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

typedef struct Secret {
        uint8_t *data; /* one NUL byte follows the content, so that text may be read as a string */
        size_t size;
} Secret;

#define SECRET_NULL ((Secret){ NULL, 0 })

/* Allocates room for size zero bytes. -ENOMEM. */
int secret_new(Secret *ret, size_t size);

/* Copies size bytes. -ENOMEM. */
int secret_copy(Secret *ret, const void *data, size_t size);

/* Wipes and frees; leaves SECRET_NULL. */
void secret_done(Secret *secret);

/* Wipes a string of the heap and frees it; takes NULL. */
void secret_free_string(char *text);

static inline void secret_free_stringp(char **text) {
        secret_free_string(*text);
}

/* Calls sodium_init() and forbids core dumps of this process. Negative errno: no randomness. */
int secret_init(void);
