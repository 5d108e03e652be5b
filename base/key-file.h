/* The private keys of a program that opens what others sealed to it: the relay client's file
 * relay-key, which opens the payloads of every share, and the front's file front-key, which opens
 * what recipients answered. Both are JSON
 * {"v": 1, "signing_seed", "keys": [{"kid", "secret", "not_after"}]}, newest key first. Also what
 * the relay client derives from its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "relay-key.h"
#include "secret.h"

enum {
        RELAY_KEY_IV_SIZE = 12, /* of AES-GCM */
};

typedef struct RelayPrivateKey {
        char kid[RELAY_KEY_ID_SIZE];
        uint8_t secret[RELAY_KEY_SIZE]; /* X25519 */
        uint8_t public[RELAY_KEY_SIZE];
        int64_t not_after;
} RelayPrivateKey;

/* In guarded memory; made and freed by the functions below only. */
typedef struct RelayPrivateKeys {
        RelayPrivateKey keys[RELAY_KEYS_MAX];
        size_t n_keys;
        uint8_t signing_seed[32]; /* Ed25519 */
} RelayPrivateKeys;

/* Reads a file's content. -EBADMSG: not of the form above, or a kid that is not its key's. */
int relay_private_keys_read(const Secret *content, RelayPrivateKeys **ret);

/* An empty set with a fresh signing seed. */
int relay_private_keys_new(RelayPrivateKeys **ret);

/* Puts a fresh key in front, and keeps at most one older one. */
void relay_private_keys_add(RelayPrivateKeys *keys, int64_t not_after);

/* The contents of the private and of the public file (relay-key.h). The caller calls secret_done().
 */
int relay_private_keys_write(const RelayPrivateKeys *keys, Secret *ret);
int relay_private_keys_write_public(const RelayPrivateKeys *keys, Secret *ret);

const RelayPrivateKey *relay_private_keys_find(const RelayPrivateKeys *keys, const char *kid);

/* The Secret of a mailbox, for this generation of this share: the same whenever it is asked for,
 * and unknowable without the private key. size is 16 or 32; the two sizes are independent of each
 * other. */
void relay_private_key_derive(const RelayPrivateKey *key,
                const char *share,
                uint64_t generation,
                uint8_t *ret,
                size_t size);

/* The IV of one message under that Secret: 96 bits of keyed BLAKE2b over share, generation, the
 * message's number and the whole plaintext. Derived and not drawn, so that a request that is
 * repeated after a crash carries the same octets, and the digest of what we wrote is known whatever
 * answer got lost. It is as sound as a random one: without the private key it looks random; another
 * plaintext, number, share or generation has another IV, so that two plaintexts never meet under
 * one; equal plaintexts of two numbers look different. */
void relay_private_key_derive_iv(const RelayPrivateKey *key,
                const char *share,
                uint64_t generation,
                uint64_t number,
                const void *plaintext,
                size_t size,
                uint8_t ret[RELAY_KEY_IV_SIZE]);

/* True when this plaintext under this IV is a message of ours with a number less than `below`: only
 * we can have made it, and whoever shows it shows our own. */
bool relay_private_key_is_own_iv(const RelayPrivateKey *key,
                const char *share,
                uint64_t generation,
                uint64_t below,
                const void *plaintext,
                size_t size,
                const uint8_t iv[RELAY_KEY_IV_SIZE]);

/* Wipes and frees; takes NULL, returns NULL. */
RelayPrivateKeys *relay_private_keys_free(RelayPrivateKeys *keys);
DEFINE_CLEANUP(RelayPrivateKeys, relay_private_keys_free)
