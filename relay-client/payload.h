/* Provisioning Information under the Secret of a mailbox (Draft V: draft-vinokurov-tigress-http-00,
 * "Encryption of Provisioning Information"): base64 of IV[12], ciphertext, tag[16], by AES-GCM
 * without associated data. OpenSSL, because libsodium has no AES-128.
 *
 * A recipient's encryption draws a fresh random IV. Ours has one that key-file.h derives from what
 * is encrypted, so that a repeated request carries the same octets. What is compared, by both sides
 * of a mailbox, is the digest of the decoded octets: the relay can hand out anything that ever lay
 * there, and the AEAD does not tell. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        PAYLOAD_IV_SIZE = 12,
        PAYLOAD_TAG_SIZE = 16,
        PAYLOAD_KEY_MAX = 32,
        PAYLOAD_DIGEST_SIZE = 32, /* SHA-256 */
        PAYLOAD_DEPTH_MAX = 32,
};

typedef enum PayloadAlgorithm {
        PAYLOAD_AES_128_GCM,
        PAYLOAD_AES_256_GCM,
        _PAYLOAD_ALGORITHM_MAX,
} PayloadAlgorithm;

typedef enum PayloadError {
        PAYLOAD_E_TYPE = 1,         /* not one of the two mandatory types */
        PAYLOAD_E_KEY_LENGTH = 2,   /* the Secret's length does not fit the type */
        PAYLOAD_E_BASE64 = 3,       /* the data is not base64 */
        PAYLOAD_E_TOO_SHORT = 4,    /* no room for IV and tag */
        PAYLOAD_E_AUTH = 5,         /* changed, or encrypted under another Secret */
        PAYLOAD_E_PROVISIONING = 6, /* decrypted, but not an object with `format` and `content` */
} PayloadError;

/* Bytes of the heap that are wiped; one NUL follows the content. */
typedef struct Plaintext {
        uint8_t *data;
        size_t size;
} Plaintext;

#define PLAINTEXT_NULL ((Plaintext){ NULL, 0 })

/* Room for size bytes. -ENOMEM. */
int plaintext_new(Plaintext *ret, size_t size);
void plaintext_done(Plaintext *plaintext);

/* "AEAD_AES_128_GCM" or "AEAD_AES_256_GCM". */
const char *payload_algorithm_name(PayloadAlgorithm algorithm);
size_t payload_key_size(PayloadAlgorithm algorithm);

/* Compares strictly. With legacy, "AES128" and "AES256" of the first drafts are taken too.
 * PAYLOAD_E_TYPE. */
int payload_algorithm_from_name(const char *name, bool legacy, PayloadAlgorithm *ret);

/* Encrypts under a fresh IV. The key has payload_key_size() bytes. *ret is the caller's to free. */
int payload_encrypt(PayloadAlgorithm algorithm,
                const uint8_t *key,
                const void *plaintext,
                size_t size,
                char **ret);

/* The same under a given IV, which must never meet the key with another plaintext. ret_digest, of
 * PAYLOAD_DIGEST_SIZE bytes, may be NULL. */
int payload_encrypt_with_iv(PayloadAlgorithm algorithm,
                const uint8_t *key,
                const uint8_t iv[PAYLOAD_IV_SIZE],
                const void *plaintext,
                size_t size,
                uint8_t *ret_digest,
                char **ret);

/* Reads `data` without opening it; base64 may be URL-safe or unpadded, but not folded. The caller
 * frees *ret. PAYLOAD_E_BASE64. */
int payload_decode(const char *data, uint8_t **ret, size_t *ret_size);

/* SHA-256 of a payload's decoded octets. */
void payload_digest(const void *blob, size_t size, uint8_t ret[PAYLOAD_DIGEST_SIZE]);

/* Decrypts a payload's `type` and `data`, as payload_decode() reads it. Nothing is returned unless
 * the tag is right. Every PayloadError but the last. */
int payload_decrypt(const char *type,
                const char *data,
                bool legacy,
                const uint8_t *key,
                size_t key_size,
                Plaintext *ret);

/* The same for octets that payload_decode() returned. PAYLOAD_E_TOO_SHORT, PAYLOAD_E_AUTH. */
int payload_decrypt_blob(PayloadAlgorithm algorithm,
                const uint8_t *key,
                const uint8_t *blob,
                size_t blob_size,
                Plaintext *ret);

/* Reads decrypted Provisioning Information: a string `format` and an object `content`, which is
 * written with the bytes it came with (json-raw.h); what a format adds stays.
 * PAYLOAD_E_PROVISIONING. */
int payload_provisioning_read(const void *plaintext, size_t size, json_t **ret);

/* True when an object has the members that Provisioning Information needs. */
bool payload_provisioning_is_valid(const json_t *provisioning);

/* A name for an error: "auth", "too-short", "key-length", "unsupported-type", "base64",
 * "provisioning-info". */
const char *payload_error_name(PayloadError error);
