/* JSON whose author means one value of it to arrive byte for byte: what is shared is opaque to us,
 * and 1.10, 1e400 or \u0000, which jansson changes or refuses, are JSON all the same (RFC 8259).
 *
 * The value at `path` is found in the text. Path names members with '/' between them, and elements
 * of arrays by their number; "" is the whole text. All lengths are bytes. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "json-read.h"

/* The text of a value; borrowed from the text it was found in. */
typedef struct JsonRaw {
        const char *data;
        size_t size;
} JsonRaw;

#define JSON_RAW_NULL ((JsonRaw){ NULL, 0 })

/* Finds a value without white space around it. False: it is not there. Where the text is no JSON,
 * what is found is no promise. */
bool json_raw_find(const void *data, size_t size, const char *path, JsonRaw *ret);

/* json_read(), but the value at path may hold any number that RFC 8259 allows, and \u0000 in its
 * strings; everywhere else the rules are those of json_read(). *ret_raw is its text in data, or
 * JSON_RAW_NULL. What stands in *ret for such numbers and strings is nothing to be used: only
 * *ret_raw says it. 0: *ret is the caller's. JSON_E_SYNTAX, JSON_E_DEPTH. -ENOMEM. */
int json_raw_read(const void *data,
                size_t size,
                unsigned max_depth,
                const char *path,
                json_t **ret,
                JsonRaw *ret_raw,
                JsonProblem *ret_problem);

/* Puts a value that is written as raw's text (json_quick_verbatim()) at the path, if what is there
 * is an object; it still is one for all who ask. -ENOMEM. */
int json_raw_keep(json_t **tree, const char *path, const JsonRaw *raw);

/* json_raw_read() and json_raw_keep(): the tree is written again with that value's bytes. */
int json_raw_read_kept(const void *data,
                size_t size,
                unsigned max_depth,
                const char *path,
                json_t **ret,
                JsonProblem *ret_problem);
