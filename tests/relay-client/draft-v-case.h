/* What tests of Draft V say and hear alike: one mailbox, one request, one moment, and a relay's
 * answer. cmocka and what it wants come before it. */
#pragma once

#include <string.h>

#include "http.h"

#define MAILBOX "https://relay.example/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77"
#define REQUEST "00000000-0000-4000-8000-00000000000a"
#define CLAIM "5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a01"
#define ECHOED "Mailbox-Request-ID: " REQUEST "\r\n"

enum {
        NOW = 1795262400, /* Sat, 21 Nov 2026 12:00:00 GMT */
};

static const char *const hosts[] = { "relay.example", NULL };

/* Status 0: no answer came in time. */
static inline HttpAnswer answer_of(
                int status, const char *headers, const char *body, size_t body_size) {
        return (HttpAnswer){
                .status = status,
                .failure = status == 0 ? "timeout" : NULL,
                .headers = headers,
                .headers_size = strlen(headers),
                .body = body,
                .body_size = body_size,
        };
}
