/* The gateway's `mint` from frame to frame: asks the tenant over HTTPS, at addresses of the public
 * internet only, and answers with the sealed envelope. Its connections are its own: none is shared
 * with the relay's. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "key-file.h"

enum {
        MINT_FETCH_MAX = 64,            /* under way at once; the next is answered `again` */
        MINT_FETCH_PER_TENANT_MAX = 16, /* so that one that is slow does not hold up the others */
};

typedef struct MintFetch MintFetch;

/* Called once for each mint_fetch_ask(), perhaps from inside it. Takes the frame over, `done`,
 * `again` or `refused`; NULL: out of memory. */
typedef void (*MintFetchAnswer)(int64_t id, json_t *frame, void *userdata);

typedef struct MintFetchOptions {
        const char *ca_file;          /* trusted issuers; NULL: those of the system */
        bool allow_private;           /* for tests: any address may be asked */
        const RelayPrivateKeys *keys; /* borrowed for as long as the object lives */
        MintFetchAnswer answer;
        void *userdata;
} MintFetchOptions;

/* Logs allow_private. -EINVAL: libcurl refuses a value. */
int mint_fetch_new(MintFetch **ret, sd_event *event, const MintFetchOptions *options);

/* A frame {share, url, envelope, expiration}, which is borrowed. */
void mint_fetch_ask(MintFetch *fetch, int64_t id, const json_t *frame);

/* What is under way is dropped without an answer. Takes NULL, returns NULL. */
MintFetch *mint_fetch_free(MintFetch *fetch);
DEFINE_CLEANUP(MintFetch, mint_fetch_free)
