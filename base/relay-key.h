/* Public keys, as `vestibule-relay-client --make-key` writes them to relay-key.pub, and
 * `vestibule-api --make-key` to front-key.pub:
 * {"keys": [{"kid", "key", "not_after", "signature"}], "signer"}. Who seals reads them from its own
 * credential. Two keys live during a rotation.
 *
 * A signature is Ed25519 over "vestibule relay key v1" NUL, kid, NUL, the 32 bytes of the key, and
 * not_after as eight big-endian bytes. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum {
        RELAY_KEY_ID_SIZE =
                        16 +
                        1, /* hexadecimal: 8 bytes of BLAKE2b-128 of the key, and the final NUL */
        RELAY_KEY_SIZE = 32,
        RELAY_KEY_SIGNATURE_SIZE = 64,
        RELAY_KEYS_MAX = 4,
};

typedef struct RelayPublicKey {
        char kid[RELAY_KEY_ID_SIZE];
        uint8_t key[RELAY_KEY_SIZE];                 /* X25519 */
        uint8_t signature[RELAY_KEY_SIGNATURE_SIZE]; /* Ed25519, by the signer */
        int64_t not_after;                           /* seal nothing to it after this second */
} RelayPublicKey;

typedef struct RelayPublicKeys {
        RelayPublicKey keys[RELAY_KEYS_MAX]; /* as in the file: the newest first */
        size_t n_keys;
        uint8_t signer[RELAY_KEY_SIZE]; /* Ed25519 */
} RelayPublicKeys;

/* The key's name, made from its bytes. */
void relay_key_id(const uint8_t key[RELAY_KEY_SIZE], char ret[RELAY_KEY_ID_SIZE]);

/* Signs kid, key and not_after with an Ed25519 secret key of 64 bytes. */
void relay_key_sign(RelayPublicKey *key, const uint8_t signing_key[64]);

/* Reads a file's content. -EBADMSG: not of the form above, a kid that is not its key's, or a wrong
 * signature. */
int relay_public_keys_read(const void *data, size_t size, RelayPublicKeys *ret);

/* The reverse: a new object. NULL: out of memory. */
json_t *relay_public_keys_write(const RelayPublicKeys *keys);

/* The key to seal to now: the first whose time has not passed. NULL: none. */
const RelayPublicKey *relay_public_keys_current(const RelayPublicKeys *keys, int64_t now);

/* The key of this name, or NULL. */
const RelayPublicKey *relay_public_keys_find(const RelayPublicKeys *keys, const char *kid);
