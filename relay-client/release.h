/* What the gateway's `create` and `update` frames want written, made ready for the relay: open the
 * box, insist that it belongs to this share, and encrypt under the Secret of this generation. Pure:
 * no connection exists yet, and a frame that is refused here makes none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "key-file.h"
#include "payload.h"
#include "relay-frame.h"

enum {
        RELEASE_E_REFUSED = RELAY_FRAME_E_REFUSED, /* with a reason */

        RELEASE_SKEW_SECONDS = 60,
        /* The gateway remembers a box that a tenant sealed alone for ten days: this and the longest
         * life of a share, so that none is opened twice. */
        RELEASE_FOREIGN_SECONDS = 7 * 24 * 3600,
};

/* Of the class of what is written into a mailbox that exists, where a created one has its policy's.
 */
#define RELEASE_MESSAGE_CLASS "message"

/* What holds for all releases of a relay; borrowed. */
typedef struct ReleaseTerms {
        const RelayPrivateKeys *keys;
        const RelayPublicKeys *front_keys; /* for what recipients answer; NULL: there are none */
        PayloadAlgorithm algorithm;
        bool has_own_encryption; /* Draft R: content is given as it is, and the Secret is its own */
} ReleaseTerms;

typedef struct Release {
        const RelayPrivateKey *key; /* of the Secret; borrowed from the keys */

        /* Draft V. */
        const char *payload_type; /* static */
        char *payload_data;
        uint8_t digest[PAYLOAD_DIGEST_SIZE];

        Plaintext content; /* Draft R: provisioning information */
} Release;

/* RELEASE_E_REFUSED with *ret_reason, a static word such as "unknown-key" or "envelope-differs".
 * On success the caller calls release_done(). */
int release_read(const RelayFrame *frame,
                const ReleaseTerms *terms,
                int64_t now,
                Release *ret,
                const char **ret_reason);

/* The Secret of the frame's share, of payload_key_size() bytes; the caller wipes it. */
void release_secret(const RelayFrame *frame,
                const ReleaseTerms *terms,
                const Release *release,
                uint8_t ret[PAYLOAD_KEY_MAX]);

/* Wipes and frees. */
void release_done(Release *release);
