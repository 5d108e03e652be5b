/* What a recipient answered in a mailbox, on its way from the relay client, which alone decrypts
 * it, to the front, which alone shows it to the tenant: sealed (crypto_box_seal) to the front's
 * public key, and bound to its share and its number, so that the gateway keeps it, cannot read it,
 * and cannot hand it out as another one.
 *
 * Inside the box is one JSON object, compact and in this order:
 * {"v":1,"share","number","message":{"format","content"}} */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "sealed-json.h"

enum {
        MESSAGE_BOX_KEY_SIZE = SEALED_JSON_KEY_SIZE,
        MESSAGE_BOX_CONTENT_MAX = SEALED_JSON_MAX, /* of the JSON object */
        MESSAGE_BOX_SHARE_MAX = 64,
        MESSAGE_BOX_DEPTH_MAX = 33, /* one more than what a mailbox's content may have */
};

typedef enum MessageBoxError {
        MESSAGE_BOX_E_BOX = SEALED_JSON_E_BOX,
        MESSAGE_BOX_E_FORM = SEALED_JSON_E_FORM, /* what is inside is not of the form above */
        MESSAGE_BOX_E_DIFFERS = 3, /* it opens, but is of another share or has another number */
} MessageBoxError;

/* Seals `format` and `content` of the message, which must have them (payload.h), for the holder of
 * the secret key; other members stay behind. The content may be what json_quick_verbatim() made.
 * number is at most INT64_MAX. *ret_box is base64, the caller's to free. -EMSGSIZE: larger than
 * MESSAGE_BOX_CONTENT_MAX. -EINVAL: cannot be written as JSON, or a key that is none. */
int message_box_seal(const char *share,
                uint64_t number,
                const json_t *message,
                const uint8_t public_key[MESSAGE_BOX_KEY_SIZE],
                char **ret_box);

/* Opens a box and compares share and number with what is expected. 0: *ret_message is
 * {format, content} and the caller's; the content is written with the bytes that were in the box
 * (json_quick_verbatim()). MESSAGE_BOX_E_BOX, MESSAGE_BOX_E_FORM, MESSAGE_BOX_E_DIFFERS,
 * -ENOMEM. The plaintext is wiped; the values of *ret_message are wiped when freed if
 * json_wipe_install() was called. */
int message_box_open(const char *box,
                const uint8_t public_key[MESSAGE_BOX_KEY_SIZE],
                const uint8_t secret_key[MESSAGE_BOX_KEY_SIZE],
                const char *share,
                uint64_t number,
                json_t **ret_message);
