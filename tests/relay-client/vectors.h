/* The vectors of vectors.json, named on the command line, for tests that walk a list of them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "text.h"

static json_t *vectors;

static inline int vectors_load(int argc, char **argv) {
        vectors = argc == 2 ? json_load_file(argv[1], 0, NULL) : NULL;
        return vectors ? 0 : 1;
}

static inline const char *vector_text(const json_t *vector, const char *member) {
        return json_string_value(json_object_get(vector, member));
}

/* Says which vector comes, and returns its name. */
static inline const char *vector_begin(const json_t *vector) {
        const char *name = vector_text(vector, "name");

        if (!name)
                name = "without a name";
        print_message("# %s\n", name);
        return name;
}

/* Reads a hexadecimal member; returns its size. */
static inline size_t vector_bytes(
                const json_t *vector, const char *member, uint8_t *ret, size_t max) {
        const char *hex = vector_text(vector, member);
        size_t size = strlen(hex) / 2;

        assert_true(size <= max);
        assert_int_equal(text_from_hex(hex, ret, size), 0);
        return size;
}
