/* What a stranger's HTTP request for a message means (draft-rescorla-tigress-http-00, "Draft R"):
 * PUT, GET, DELETE and HEAD of /t/{location}; HEAD is taken as GET, and answered without the body.
 * Bytes in, values out, no I/O and no clock. There is no identity: whoever knows a location may do
 * everything there, and nobody may list locations. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "relay-request.h"

enum {
        DROP_LOCATION_SIZE = 32,      /* BLAKE2b-256 of the location's text */
        DROP_LOCATION_TEXT_MIN = 22,  /* base64url symbols: 128 bits, or it could be guessed */
        DROP_LOCATION_TEXT_MAX = 128, /* the draft's own have 43 */
};

typedef enum DropOperation {
        DROP_PUT,
        DROP_GET,
        DROP_DELETE,
        _DROP_OPERATION_MAX,
} DropOperation;

/* Beside RELAY_REQUEST_E_PATH, _METHOD, _HEADER, _FRAGMENT and _REFERER. */
enum {
        DROP_REQUEST_E_CONDITION = 100, /* a PUT without If-None-Match: it could overwrite */
};

typedef struct DropRequest {
        DropOperation operation;
        uint8_t location[DROP_LOCATION_SIZE];
        char *body; /* of PUT; owned; may be NULL when the size is 0 */
        size_t body_size;
        int64_t expiration; /* of what PUT stores, seconds since 1970 */
} DropRequest;

#define DROP_REQUEST_NULL ((DropRequest){ .operation = DROP_PUT })

/* DropPut, DropGet, DropDelete. */
const char *drop_operation_name(DropOperation operation);

/* True when the path belongs to Draft R, be it well formed or not. */
bool drop_request_is_meant(const char *target);

/* Reads a head into *ret, which must be DROP_REQUEST_NULL. 0, or a positive error with a sentence
 * in static memory. */
int drop_request_parse_head(const RelayHead *head, DropRequest *ret, const char **ret_reason);

/* Frees the body; leaves DROP_REQUEST_NULL. */
void drop_request_done(DropRequest *request);
