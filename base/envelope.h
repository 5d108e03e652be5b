/* The sealed envelope (crypto_box_seal to the relay client's public key) that binds provisioning
 * content to one share: a box copied from anywhere opens in no other share. Whoever accepts the
 * content seals it at once; only the relay client opens it, when the share is confirmed.
 *
 * Inside the box is one JSON object, compact and in this order:
 * {"v":1,"tenant","nonce","recipients","class","not_after","provisioning"} */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "sealed-json.h"

enum {
        ENVELOPE_NONCE_SIZE = 16,
        ENVELOPE_RECIPIENTS_SIZE = 32,
        ENVELOPE_KEY_SIZE = SEALED_JSON_KEY_SIZE,
        ENVELOPE_CONTENT_MAX = SEALED_JSON_MAX, /* of the JSON object */
        ENVELOPE_DEPTH_MAX = 32,
};

typedef enum EnvelopeError {
        ENVELOPE_E_BOX = SEALED_JSON_E_BOX,
        ENVELOPE_E_FORM = SEALED_JSON_E_FORM, /* what is inside or read is not of the form above */
        ENVELOPE_E_DIFFERS = 3, /* it opens, but belongs to something else than expected */
} EnvelopeError;

/* What an envelope is bound to. The strings are borrowed. */
typedef struct EnvelopeBinding {
        const char *tenant;
        const char *credential_class;
        uint8_t nonce[ENVELOPE_NONCE_SIZE];
        uint8_t recipients[ENVELOPE_RECIPIENTS_SIZE]; /* address_list_hash() */
        int64_t not_after;                            /* seconds since 1970 */
} EnvelopeBinding;

/* Reads {tenant, nonce, recipients, class, not_after} of a frame; other members are ignored. The
 * strings of *ret are borrowed from the object. ENVELOPE_E_FORM. */
int envelope_binding_read(const json_t *object, EnvelopeBinding *ret);

/* The same for a box that its owner sealed alone, of which nobody else knows nonce and time:
 * {tenant, recipients, class}, and ENVELOPE_E_FORM if one of the others is there. */
int envelope_binding_read_foreign(const json_t *object, EnvelopeBinding *ret);

/* The reverse: a new object. NULL: out of memory. */
json_t *envelope_binding_write(const EnvelopeBinding *binding);

/* Seals provisioning (an object, which may hold what json_quick_verbatim() made) for the holder of
 * the secret key; *ret_box is base64, the caller's to free. -EMSGSIZE: larger than
 * ENVELOPE_CONTENT_MAX. -EINVAL: cannot be written as JSON. */
int envelope_seal(const EnvelopeBinding *binding,
                const json_t *provisioning,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                char **ret_box);

/* Opens a box and compares every member with what is expected. 0: *ret_provisioning is the
 * caller's, to be looked at; and so is *ret_kept, which is written with the very bytes that were in
 * the box, where numbers and strings may be such that no tree holds them (json-raw.h). ret_kept may
 * be NULL. ENVELOPE_E_BOX, ENVELOPE_E_FORM, ENVELOPE_E_DIFFERS. The plaintext is wiped; the values
 * are wiped when freed if json_wipe_install() was called. */
int envelope_open(const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                const EnvelopeBinding *expected,
                json_t **ret_provisioning,
                json_t **ret_kept);

/* The same for a box that its owner sealed alone: tenant, recipients and class are compared, and
 * *ret_not_after is the time that the box names; the caller decides whether that will do. */
int envelope_open_foreign(const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                const EnvelopeBinding *expected,
                int64_t *ret_not_after,
                json_t **ret_provisioning,
                json_t **ret_kept);
