/* The routes of the API in one table: method and path to what the gateway is asked. Pure. */
#pragma once

#include <stdbool.h>

#include "api-request.h"
#include "text.h"

typedef enum ApiRouteKind {
        API_ROUTE_ASK,      /* pass on to the gateway, pass its answer back */
        API_ROUTE_CREATE,   /* the same, after sealing the provisioning information */
        API_ROUTE_SEND,     /* the same, of a further message */
        API_ROUTE_MESSAGES, /* pass on, and open what recipients answered */
        API_ROUTE_EVENTS,   /* ask again and again, and pass on what comes as it comes */
        API_ROUTE_KEYS,     /* our own sealing keys, for those whom the gateway knows */
        API_ROUTE_ALIVE,
        API_ROUTE_READY,
        API_ROUTE_METRICS,
        API_ROUTE_OPENAPI,
} ApiRouteKind;

typedef struct ApiRoute {
        const char *method, *path; /* {share}, {message}, {block} and {counter} stand for an id */
        ApiRouteKind kind;
        const char *ask;    /* type of the gateway's request, or NULL */
        unsigned query;     /* API_QUERY_* that it understands */
        bool key_required;  /* Idempotency-Key must be there */
        bool shows_a_share; /* the answer has a version, thus an ETag */
} ApiRoute;

typedef enum ApiRouteError {
        API_ROUTE_E_NOT_FOUND = 1,
        API_ROUTE_E_METHOD = 2, /* ret_allow lists what is allowed */
} ApiRouteError;

enum { API_ALLOW_SIZE = 32 };

/* Finds the route of a path without query; HEAD counts as GET. *ret_id is the id in the path, or
 * "". */
int api_route_find(const char *method,
                const char *path,
                const ApiRoute **ret,
                char ret_id[ID_TEXT_SIZE],
                char ret_allow[API_ALLOW_SIZE]);
