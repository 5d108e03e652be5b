/* A JSON object in a box that only the holder of one secret key opens (crypto_box_seal of
 * libsodium), in base64. What both kinds of box have in common: envelope.h, which the relay client
 * opens, and message-box.h, which the front opens; they say what is inside. */
#pragma once

#include <jansson.h>
#include <stdint.h>

enum {
        SEALED_JSON_KEY_SIZE = 32,   /* X25519 */
        SEALED_JSON_MAX = 40 * 1024, /* the JSON object; its box in base64 fits a frame */
};

typedef enum SealedJsonError {
        SEALED_JSON_E_BOX = 1,  /* not base64, too large, or it does not open with this key */
        SEALED_JSON_E_FORM = 2, /* what is inside is not JSON, or nested too deeply */
} SealedJsonError;

/* Seals the object, written compactly with its members in their order. *ret_box is the caller's to
 * free; what was written is wiped. -EMSGSIZE: larger than SEALED_JSON_MAX. -EINVAL: cannot be
 * written as JSON, or a key that is none. -ENOMEM. */
int sealed_json_seal(const json_t *object,
                const uint8_t public_key[SEALED_JSON_KEY_SIZE],
                char **ret_box);

/* Opens a box; what is inside may be any JSON value, which is then the caller's. SEALED_JSON_E_BOX,
 * SEALED_JSON_E_FORM, -ENOMEM. The plaintext is wiped; the values of *ret are wiped when freed if
 * json_wipe_install() was called. */
int sealed_json_open(const char *box,
                const uint8_t public_key[SEALED_JSON_KEY_SIZE],
                const uint8_t secret_key[SEALED_JSON_KEY_SIZE],
                unsigned depth_max,
                json_t **ret);
