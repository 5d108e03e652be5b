/* Questions that the gateway may keep until something happens. They take room in the one window
 * that all tenants share, so each credential and all together have a bound, which counts a question
 * until it is answered, also when whoever asked it has gone. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin.h"

enum {
        API_WAITS_MAX = 512,            /* half of the protocol's window */
        API_WAITS_PER_CREDENTIAL = 128, /* a tenant has two tokens at most */
        API_WAIT_CREDENTIAL_SIZE = 16,
};

enum {
        API_WAIT_E_MANY = 1, /* of this credential */
};

typedef struct ApiWait ApiWait;

typedef struct ApiWaits {
        Plugin *plugin; /* borrowed */
        ApiWait *first;
        size_t n;
} ApiWaits;

/* Whether this credential, known by its hash, may wait once more. 0, API_WAIT_E_MANY, or -ENOBUFS:
 * all together are as many as there may be. */
int api_wait_may(const ApiWaits *waits, const uint8_t credential[API_WAIT_CREDENTIAL_SIZE]);

/* As plugin_ask(), within the bounds; takes the frame over. *ret_wait is for api_wait_forget() and
 * becomes NULL before on_answer is called, so it must live until then. API_WAIT_E_MANY. */
int api_wait_ask(ApiWaits *waits,
                json_t *frame,
                unsigned deadline,
                const uint8_t credential[API_WAIT_CREDENTIAL_SIZE],
                PluginAnswer on_answer,
                void *userdata,
                ApiWait **ret_wait);

/* on_answer will not be called, and the gateway is told that nobody waits any more. */
void api_wait_forget(ApiWait *wait);
