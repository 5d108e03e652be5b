/* What tenants send, from bytes to values: bodies, queries, header fields. Pure: no I/O, no clock.
 * Every function returns 0, API_E_FAULT with the fault filled, or -ENOMEM. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api-event.h"
#include "api-problem.h"
#include "api-provisioning.h"
#include "share-limits.h"
#include "token.h"

enum {
        API_BODY_MAX = 56 * 1024,
        API_DEPTH_MAX = 8,
        API_MEMBERS_MAX = 64, /* of any one object */
        API_KEY_MIN = 22,     /* 128 bits in base64 */
        API_KEY_MAX = 128,
};

typedef struct ApiShare {
        json_t *body; /* without provisioning, addresses and claims in canonical form; owned */
        ApiProvisioning provisioning;
        const char *policy;     /* borrowed from body */
        int64_t expires_at;     /* seconds, or 0 */
        uint8_t recipients[32]; /* address_list_hash() */
} ApiShare;

#define API_SHARE_NULL ((ApiShare){ NULL, API_PROVISIONING_NULL, NULL, 0, { 0 } })

/* Reads the body of POST /v1/shares. The caller calls api_share_done(). */
int api_share_read(const void *data, size_t size, ApiShare *ret, ApiFault *ret_fault);
void api_share_done(ApiShare *share);

/* Reads the body of POST /v1/shares/{share}/messages. The caller calls api_provisioning_done(). */
int api_message_read(const void *data, size_t size, ApiProvisioning *ret, ApiFault *ret_fault);

/* Reads the body of a POST that takes no members: nothing, or {}. */
int api_nothing_read(const void *data, size_t size, ApiFault *ret_fault);

enum {
        API_QUERY_AFTER = 1 << 0,
        API_QUERY_WAIT = 1 << 1,
        API_QUERY_STATE = 1 << 2,
        API_QUERY_REFERENCE = 1 << 3,
        API_QUERY_LIMIT = 1 << 4,
        API_QUERY_CURSOR = 1 << 5,
        API_QUERY_EVENT = 1 << 6, /* also `after`, but an event's id */
        API_QUERY_NAME = 1 << 7,
};

typedef struct ApiQuery {
        unsigned given; /* API_QUERY_* that were there */
        int64_t after, wait, limit;
        char state[33], reference[SHARE_LIMIT_REFERENCE + 1], cursor[513];
        char event[API_EVENT_ID_SIZE], name[SHARE_LIMIT_POLICY + 1];
} ApiQuery;

/* Reads what follows the question mark. allowed: API_QUERY_* of the route. */
int api_query_read(const char *query, unsigned allowed, ApiQuery *ret, ApiFault *ret_fault);

/* Reads Idempotency-Key: an RFC 8941 string, or the same without quotes. *ret is the text without
 * them. */
int api_idempotency_key_read(const char *header, char ret[API_KEY_MAX + 1], ApiFault *ret_fault);

/* Reads `Authorization: Bearer TOKEN`. */
int api_authorization_read(const char *header,
                char ret_id[TOKEN_ID_SIZE],
                uint8_t ret_hash[TOKEN_HASH_SIZE],
                ApiFault *ret_fault);

/* True for application/json, with charset=utf-8 or without parameters. */
bool api_content_type_is_json(const char *header);
