/* What every relay protocol writes into an HTTP request and reads from an answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"
#include "json-read.h"

enum {
        RELAY_RETRY_AFTER_MAX = 3600, /* seconds; a relay that asks for more gets this */
};

/* Adds a line, "Name: value". -ENOMEM. At most HTTP_HEADERS_MAX. */
__attribute__((format(printf, 2, 3))) int relay_http_add_header(
                HttpRequest *request, const char *format, ...);

/* Finds the next line of this name from *offset on; the value is trimmed and borrowed. */
bool relay_http_next_header(const HttpAnswer *answer,
                const char *name,
                size_t *offset,
                const char **ret,
                size_t *ret_size);

typedef enum RelayHttpEcho {
        RELAY_HTTP_ECHO_MISSING,
        RELAY_HTTP_ECHO_RIGHT,
        RELAY_HTTP_ECHO_WRONG, /* one of them, at least */
} RelayHttpEcho;

/* Whether the answer's lines of this name repeat the value, which is compared without case. */
RelayHttpEcho relay_http_echo(
                const HttpAnswer *answer, const char *name, const char *value, size_t size);

/* A word for what json_read() found, JSON_E_SYNTAX or JSON_E_DEPTH, in a body: "answer-not-json",
 * "answer-not-utf8", "answer-repeated-member", "answer-too-deep". */
const char *relay_http_json_reason(const JsonProblem *problem);

/* Retry-After in seconds or as an HTTP date (RFC 9110 section 10.2.3); 0 when absent or odd. */
unsigned relay_http_retry_after(const HttpAnswer *answer, int64_t now);

/* True for a status that another try may change: none at all, 408, 425, 429, 500, 502 to 504. */
bool relay_http_is_transient(int status);
