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

/* Seals the object, written compactly with its members in their order, and what is kept in it
 * (json_quick_verbatim()) as it is. *ret_box is the caller's to
 * free; what was written is wiped. -EMSGSIZE: larger than SEALED_JSON_MAX. -EINVAL: cannot be
 * written as JSON, or a key that is none. -ENOMEM. */
int sealed_json_seal(const json_t *object,
                const uint8_t public_key[SEALED_JSON_KEY_SIZE],
                char **ret_box);

/* Opens a box; what is inside may be any JSON value, which is then the caller's. The value at path
 * is read as json_raw_read() does (json-raw.h); if it is an object, *ret_kept is the caller's as
 * well and is written with that value's bytes, and else it is NULL. SEALED_JSON_E_BOX,
 * SEALED_JSON_E_FORM, -ENOMEM. The plaintext is wiped; the values of *ret and *ret_kept are wiped
 * when freed if json_wipe_install() was called. */
int sealed_json_open(const char *box,
                const uint8_t public_key[SEALED_JSON_KEY_SIZE],
                const uint8_t secret_key[SEALED_JSON_KEY_SIZE],
                unsigned depth_max,
                const char *path,
                json_t **ret,
                json_t **ret_kept);
