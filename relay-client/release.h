/* From the gateway's `create` frame to the relay's request: open the box, insist that it belongs to
 * this share, encrypt under the Secret of this generation. Pure: no connection exists yet, and a
 * frame that is refused here makes none. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "http.h"
#include "key-file.h"
#include "payload.h"
#include "text.h"

enum {
        RELEASE_E_REFUSED = 1, /* with a reason */

        RELEASE_SKEW_SECONDS = 60,
        RELEASE_EXPIRATION_MAX = 7 * 24 * 3600,
        RELEASE_SHARE_MAX = 64,
};

/* What is kept while the relay is asked. The Secret is not: it is derived again for the link. */
typedef struct Release {
        HttpRequest request;
        char claim[UUID_TEXT_SIZE], request_id[UUID_TEXT_SIZE];
        char share[RELEASE_SHARE_MAX + 1];
        uint64_t generation;
        char vertical;
        PayloadAlgorithm algorithm;
        const RelayPrivateKey *key; /* borrowed from the keys */
} Release;

/* Reads and checks a frame. RELEASE_E_REFUSED with *ret_reason, a static word such as "unknown-key"
 * or "envelope-differs". On success the caller calls release_done(). */
int release_read(const json_t *frame,
                const RelayPrivateKeys *keys,
                const char *base_url,
                PayloadAlgorithm algorithm,
                int64_t now,
                Release *ret,
                const char **ret_reason);

/* The share URL for the mailbox that the relay made; the caller wipes and frees *ret. */
int release_link(const Release *release, const char *mailbox, char **ret);

void release_done(Release *release);
