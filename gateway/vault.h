/* The only code that holds keys. From the root key it derives one key for each purpose (libsodium's
 * crypto_kdf), seals what the store keeps (XChaCha20-Poly1305, random nonces, associated
 * data that binds a ciphertext to its share, field and version), makes and recognises ids, and
 * lends the key that code verifiers are made with.
 *
 * Each share has a data key of its own, stored wrapped; destroying the wrapped key destroys its
 * fields. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "secret.h"
#include "tag.h"
#include "text.h"

enum {
        VAULT_ROOT_SIZE = 32,
        VAULT_CHECK_SIZE = 16,
        VAULT_KEY_SIZE = 32,
        VAULT_SEAL_OVERHEAD = 24 + 16,
        VAULT_WRAPPED_SIZE = VAULT_KEY_SIZE + VAULT_SEAL_OVERHEAD,
        VAULT_INDEX_SIZE = 16,
        VAULT_VERIFIER_SIZE = 32,
};

typedef enum VaultError {
        VAULT_E_FORGED = 1, /* a ciphertext or id that this vault did not make */
} VaultError;

/* What a sealed field is; part of its associated data. */
typedef enum VaultField {
        VAULT_FIELD_DETAILS = 1,
        VAULT_FIELD_PAYLOAD = 2,
        VAULT_FIELD_MAILBOX = 3,
        VAULT_FIELD_MESSAGE = 4,
        VAULT_FIELD_NOTICE = 5,
        VAULT_FIELD_REFERENCE = 6,
        VAULT_FIELD_ANSWER = 7,
        VAULT_FIELD_TRANSFER = 8,       /* what each look at a mailbox says */
        VAULT_FIELD_TRANSFER_STATE = 9, /* Draft R's, as the relay client gave it */
        VAULT_FIELD_TRANSFER_MESSAGE = 10,
        VAULT_FIELD_HELD = 13,  /* an answer that came too soon */
        VAULT_FIELD_AUDIT = 12, /* keys of the audit log */
        VAULT_FIELD_BLOCK = 11, /* what an operator may see of a block */
        VAULT_FIELD_LIMIT = 20, /* of a limit that was reached */
} VaultField;

/* What an id names; a different prefix in its text. */
typedef enum VaultId {
        VAULT_ID_SHARE,   /* shr_ */
        VAULT_ID_MESSAGE, /* msg_ */
        VAULT_ID_THREAD,  /* thr_ */
        _VAULT_ID_MAX,
} VaultId;

typedef struct Vault Vault;

typedef struct VaultKey {
        uint8_t bytes[VAULT_KEY_SIZE];
} VaultKey;

/* Reads a root key: 32 raw bytes, or 64 hexadecimal digits with or without a newline. Copies what
 * it needs. -EBADMSG: neither. */
int vault_new(Vault **ret, const Secret *root);
Vault *vault_free(Vault *vault);
DEFINE_CLEANUP(Vault, vault_free)

/* A value that tells whether a store was written under this root key. */
void vault_check_value(const Vault *vault, uint8_t ret[VAULT_CHECK_SIZE]);

/* Makes a share's data key and its wrapped form. */
void vault_key_make(const Vault *vault,
                int64_t share,
                VaultKey *ret_key,
                uint8_t ret_wrapped[VAULT_WRAPPED_SIZE]);

/* VAULT_E_FORGED. The caller wipes the key with vault_key_done(). */
int vault_key_unwrap(const Vault *vault,
                int64_t share,
                const uint8_t wrapped[VAULT_WRAPPED_SIZE],
                VaultKey *ret);
void vault_key_done(VaultKey *key);

/* Seals size bytes; *ret has size + VAULT_SEAL_OVERHEAD bytes, the caller frees. With key NULL the
 * vault's own key is used: for what must outlive the share's key. -ENOMEM. */
int vault_seal(const Vault *vault,
                const VaultKey *key,
                int64_t share,
                VaultField field,
                uint32_t version,
                const void *data,
                size_t size,
                uint8_t **ret,
                size_t *ret_size);

/* The reverse. VAULT_E_FORGED. The caller calls secret_done(). */
int vault_open(const Vault *vault,
                const VaultKey *key,
                int64_t share,
                VaultField field,
                uint32_t version,
                const void *sealed,
                size_t size,
                Secret *ret);

/* Ids are a number and a keyed tag over it: they sort by time, need no index, and cannot be
 * guessed. part tells things of one share apart, such as its messages: 0 to 65,535. */
void vault_id(const Vault *vault, VaultId kind, int64_t n, uint16_t part, char ret[ID_TEXT_SIZE]);

/* VAULT_E_FORGED. */
int vault_id_read(const Vault *vault,
                VaultId kind,
                const char *text,
                int64_t *ret_n,
                uint16_t *ret_part);

/* The tag that tells a person's shares apart (policy/tag.h); derived, so that it need not be
 * stored. */
void vault_tag(const Vault *vault, int64_t share, char ret[TAG_SIZE]);

/* Tells an event from another that got the same number, in a store that was restored. All zeros but
 * the tenant and the number: of an event that is not kept. */
uint32_t vault_event_tag(const Vault *vault,
                const char *tenant,
                int64_t sequence,
                int64_t share,
                int64_t version,
                int64_t at,
                int event);

/* Blind indexes: equal for equal input, and meaningless without the root key. tenant separates
 * tenants where they must not meet; "" in a pair stands for all of them. */
void vault_index_address(const Vault *vault, const char *address, uint8_t ret[VAULT_INDEX_SIZE]);
void vault_index_reference(const Vault *vault,
                const char *tenant,
                const char *reference,
                uint8_t ret[VAULT_INDEX_SIZE]);
void vault_index_pair(const Vault *vault,
                const char *tenant,
                const char *address,
                uint8_t ret[VAULT_INDEX_SIZE]);
void vault_index_nonce(const Vault *vault,
                const char *tenant,
                const char *nonce,
                uint8_t ret[VAULT_INDEX_SIZE]);
void vault_index_claim(const Vault *vault, const char *claim, uint8_t ret[VAULT_INDEX_SIZE]);
/* That the owner of an address was asked about something. */
void vault_index_asked(const Vault *vault,
                const char *about,
                const char *address,
                uint8_t ret[VAULT_INDEX_SIZE]);
/* Of what a limit counts: a kind's name, and whom it is about. */
void vault_index_limit(const Vault *vault,
                const char *kind,
                const char *tenant,
                const char *whom,
                uint8_t ret[VAULT_INDEX_SIZE]);
void vault_index_inbound(const Vault *vault,
                const char *channel,
                const char *from,
                const char *inbound,
                const char *text,
                uint8_t ret[VAULT_INDEX_SIZE]);
void vault_index_idempotency(const Vault *vault,
                const char *tenant,
                const char *path,
                const char *key,
                uint8_t ret[VAULT_INDEX_SIZE]);

/* A request's digest, keyed: the body may hold little entropy. */
void vault_digest(const Vault *vault, const char *digest, uint8_t ret[32]);

/* The key for a first answer, derived from the root key and the Idempotency-Key's own text: the
 * store alone, even with the root key, does not open it. */
void vault_key_of_answer(const Vault *vault,
                const uint8_t index[VAULT_INDEX_SIZE],
                const char *key,
                VaultKey *ret);

/* The pepper for code verifiers (policy/code.h). Borrowed, VAULT_KEY_SIZE bytes. */
const uint8_t *vault_code_key(const Vault *vault);

/* Claim and request id of a generation, version 4 UUIDs: the same after every crash. */
void vault_claim(const Vault *vault, int64_t share, unsigned generation, char ret[UUID_TEXT_SIZE]);
void vault_request_id(const Vault *vault,
                int64_t share,
                unsigned generation,
                const char *operation,
                char ret[UUID_TEXT_SIZE]);
