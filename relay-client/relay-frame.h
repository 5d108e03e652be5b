/* What the gateway asks of the relay client (plugins/PROTOCOL.md, role `relay`), read from its
 * frames: members, forms and bounds. Pure, and nothing is opened here. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload.h"

enum {
        RELAY_FRAME_E_REFUSED = 1, /* with a reason */

        RELAY_FRAME_EXPIRATION_MIN = 60, /* seconds from now: nobody opens a link in less */
        RELAY_FRAME_EXPIRATION_MAX = 7 * 24 * 3600,
        RELAY_FRAME_SHARE_MAX = 64,
        RELAY_FRAME_NUMBER_MAX = 65535, /* of a message; Draft R has no more */
};

typedef enum RelayFrameKind {
        RELAY_FRAME_CREATE,
        RELAY_FRAME_READ,
        RELAY_FRAME_UPDATE,
        RELAY_FRAME_DELETE,
        RELAY_FRAME_ACKNOWLEDGE,
        _RELAY_FRAME_KIND_MAX,
} RelayFrameKind;

/* What a kind has not is NULL or 0. Everything but state is borrowed from the frame. */
typedef struct RelayFrame {
        RelayFrameKind kind;
        const char *share, *kid; /* kid: of the key whose Secret and runs the share has */
        uint64_t generation;
        const char *claim, *request; /* UUIDs; Draft R has none */
        const char *mailbox;
        bool encrypted; /* the tenant keeps the Secret */
        bool has_known; /* read, update: digest of what lies there, as far as is known */
        uint8_t known[PAYLOAD_DIGEST_SIZE];
        uint8_t *state; /* Draft R */
        size_t state_size;

        /* Of the message that is written, or that may come; 0: the first, or a mere look. */
        uint64_t number;

        /* Create, update: what is written. */
        const char *box, *box_kid;
        const json_t *envelope;

        /* Create. */
        const char *rights, *title, *description, *image_url;
        int64_t expiration; /* seconds since 1970 */
        char vertical;
} RelayFrame;

/* "create" … False: no kind of this role. */
bool relay_frame_kind_from_type(const char *type, RelayFrameKind *ret);

/* Reads a frame. has_claims: the protocol knows them, and they must be there, as must what is known
 * of a mailbox that is written (Draft V). now is for the expiration. RELAY_FRAME_E_REFUSED with
 * *ret_reason, a static word: "bad-frame", "bad-display", "bad-expiration". -ENOMEM. On success the
 * caller calls relay_frame_done(). */
int relay_frame_read(RelayFrameKind kind,
                const json_t *object,
                bool has_claims,
                int64_t now,
                RelayFrame *ret,
                const char **ret_reason);

void relay_frame_done(RelayFrame *frame);
