#include "vault.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>

/* Never renumber: each number is a key of stores that exist. */
typedef enum VaultPurpose {
        PURPOSE_CHECK = 1,
        PURPOSE_WRAP = 2,
        PURPOSE_OWN = 3,
        PURPOSE_ID = 4,
        PURPOSE_INDEX = 5,
        PURPOSE_CODE = 6,
        PURPOSE_CLAIM = 7,
        PURPOSE_ANSWER = 8,
        PURPOSE_EVENT = 9,
        _PURPOSE_MAX,
} VaultPurpose;

struct Vault {
        uint8_t keys[_PURPOSE_MAX][VAULT_KEY_SIZE];
};

static const char prefixes[_VAULT_ID_MAX][5] = {
        [VAULT_ID_SHARE] = "shr_",
        [VAULT_ID_MESSAGE] = "msg_",
        [VAULT_ID_THREAD] = "thr_",
};

int vault_new(Vault **ret, const Secret *root) {
        uint8_t key[VAULT_ROOT_SIZE];
        Vault *v;

        if (root->size == VAULT_ROOT_SIZE)
                memcpy(key, root->data, sizeof(key));
        else if ((root->size != 64 && !(root->size == 65 && root->data[64] == '\n')) ||
                        sodium_hex2bin(key,
                                        sizeof(key),
                                        (const char *) root->data,
                                        64,
                                        NULL,
                                        NULL,
                                        NULL) < 0) {
                sodium_memzero(key, sizeof(key));
                return -EBADMSG;
        }

        v = sodium_malloc(sizeof(*v));
        if (!v) {
                sodium_memzero(key, sizeof(key));
                return -ENOMEM;
        }
        memset(v, 0, sizeof(*v));
        for (unsigned i = 1; i < _PURPOSE_MAX; i++)
                (void) crypto_kdf_derive_from_key(v->keys[i], VAULT_KEY_SIZE, i, "vestibul", key);
        sodium_memzero(key, sizeof(key));

        *ret = v;
        return 0;
}

Vault *vault_free(Vault *v) {
        sodium_free(v);
        return NULL;
}

/* A keyed hash over parts that cannot run into one another: each is preceded by its length. */
typedef struct VaultHash {
        crypto_generichash_state state;
} VaultHash;

static void hash_init(VaultHash *h, const uint8_t *key, size_t size) {
        (void) crypto_generichash_init(&h->state, key, VAULT_KEY_SIZE, size);
}

static void hash_bytes(VaultHash *h, const void *data, size_t size) {
        uint8_t length[4] = { (uint8_t) (size >> 24),
                (uint8_t) (size >> 16),
                (uint8_t) (size >> 8),
                (uint8_t) size };

        (void) crypto_generichash_update(&h->state, length, sizeof(length));
        (void) crypto_generichash_update(&h->state, data, size);
}

static void hash_text(VaultHash *h, const char *text) {
        hash_bytes(h, text, strlen(text));
}

static void put64(uint8_t *p, int64_t value) {
        for (int i = 0; i < 8; i++)
                p[i] = (uint8_t) ((uint64_t) value >> (56 - 8 * i));
}

static void hash_number(VaultHash *h, int64_t value) {
        uint8_t bytes[8];

        put64(bytes, value);
        hash_bytes(h, bytes, sizeof(bytes));
}

static void hash_done(VaultHash *h, uint8_t *ret, size_t size) {
        (void) crypto_generichash_final(&h->state, ret, size);
        sodium_memzero(h, sizeof(*h));
}

void vault_check_value(const Vault *v, uint8_t ret[VAULT_CHECK_SIZE]) {
        VaultHash h;

        hash_init(&h, v->keys[PURPOSE_CHECK], VAULT_CHECK_SIZE);
        hash_text(&h, "vestibule key check v1");
        hash_done(&h, ret, VAULT_CHECK_SIZE);
}

static size_t associated_data(
                uint8_t *ad, const char *label, int64_t share, unsigned field, uint32_t version) {
        size_t n = strlen(label);

        memcpy(ad, label, n);
        put64(ad + n, share);
        put64(ad + n + 8, (int64_t) ((uint64_t) field << 32 | version));
        return n + 16;
}

static void seal(uint8_t *ret,
                const uint8_t key[VAULT_KEY_SIZE],
                const uint8_t *ad,
                size_t ad_size,
                const void *data,
                size_t size) {
        randombytes_buf(ret, 24);
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt(
                        ret + 24, NULL, data, size, ad, ad_size, NULL, ret, key);
}

static int unseal(uint8_t *ret,
                const uint8_t key[VAULT_KEY_SIZE],
                const uint8_t *ad,
                size_t ad_size,
                const uint8_t *sealed,
                size_t size) {
        if (size < VAULT_SEAL_OVERHEAD || crypto_aead_xchacha20poly1305_ietf_decrypt(ret,
                                                          NULL,
                                                          NULL,
                                                          sealed + 24,
                                                          size - 24,
                                                          ad,
                                                          ad_size,
                                                          sealed,
                                                          key) < 0)
                return VAULT_E_FORGED;
        return 0;
}

void vault_key_make(const Vault *v,
                int64_t share,
                VaultKey *ret_key,
                uint8_t ret_wrapped[VAULT_WRAPPED_SIZE]) {
        uint8_t ad[32];
        size_t n = associated_data(ad, "vb1 key ", share, 0, 0);

        randombytes_buf(ret_key->bytes, sizeof(ret_key->bytes));
        seal(ret_wrapped, v->keys[PURPOSE_WRAP], ad, n, ret_key->bytes, VAULT_KEY_SIZE);
}

int vault_key_unwrap(const Vault *v,
                int64_t share,
                const uint8_t wrapped[VAULT_WRAPPED_SIZE],
                VaultKey *ret) {
        uint8_t ad[32];
        size_t n = associated_data(ad, "vb1 key ", share, 0, 0);

        return unseal(ret->bytes, v->keys[PURPOSE_WRAP], ad, n, wrapped, VAULT_WRAPPED_SIZE);
}

void vault_key_done(VaultKey *key) {
        sodium_memzero(key, sizeof(*key));
}

int vault_seal(const Vault *v,
                const VaultKey *key,
                int64_t share,
                VaultField field,
                uint32_t version,
                const void *data,
                size_t size,
                uint8_t **ret,
                size_t *ret_size) {
        uint8_t ad[32], *sealed;
        size_t n = associated_data(ad, "vb1", share, field, version);

        sealed = malloc(size + VAULT_SEAL_OVERHEAD);
        if (!sealed)
                return -ENOMEM;
        seal(sealed, key ? key->bytes : v->keys[PURPOSE_OWN], ad, n, data, size);

        *ret = sealed;
        *ret_size = size + VAULT_SEAL_OVERHEAD;
        return 0;
}

int vault_open(const Vault *v,
                const VaultKey *key,
                int64_t share,
                VaultField field,
                uint32_t version,
                const void *sealed,
                size_t size,
                Secret *ret) {
        _cleanup_(secret_done) Secret secret = SECRET_NULL;
        uint8_t ad[32];
        size_t n = associated_data(ad, "vb1", share, field, version);
        int r;

        if (size < VAULT_SEAL_OVERHEAD)
                return VAULT_E_FORGED;
        r = secret_new(&secret, size - VAULT_SEAL_OVERHEAD);
        if (r < 0)
                return r;
        r = unseal(secret.data, key ? key->bytes : v->keys[PURPOSE_OWN], ad, n, sealed, size);
        if (r != 0)
                return r;

        *ret = secret;
        secret = SECRET_NULL;
        return 0;
}

/* 16 bytes: the number (8), for messages the part (2), and a tag in what is left. A thread is what
 * binds a reply to its share, so it gets the longer tag: one online guess in 2^64. */
static void id_bytes(const Vault *v, VaultId kind, int64_t n, uint16_t part, uint8_t ret[16]) {
        size_t size = kind == VAULT_ID_MESSAGE ? 10 : 8;
        uint8_t tag[16];
        VaultHash h;

        put64(ret, n);
        if (kind == VAULT_ID_MESSAGE) {
                ret[8] = (uint8_t) (part >> 8);
                ret[9] = (uint8_t) part;
        }
        hash_init(&h, v->keys[PURPOSE_ID], sizeof(tag));
        hash_text(&h, prefixes[kind]);
        hash_bytes(&h, ret, size);
        hash_done(&h, tag, sizeof(tag));
        memcpy(ret + size, tag, 16 - size);
}

void vault_id(const Vault *v, VaultId kind, int64_t n, uint16_t part, char ret[ID_TEXT_SIZE]) {
        uint8_t bytes[16];

        id_bytes(v, kind, n, part, bytes);
        text_id(prefixes[kind], bytes, ret);
}

int vault_id_read(const Vault *v,
                VaultId kind,
                const char *text,
                int64_t *ret_n,
                uint16_t *ret_part) {
        uint8_t bytes[16], expected[16];
        uint64_t n = 0;
        uint16_t part;

        if (text_from_id(prefixes[kind], text, bytes) < 0)
                return VAULT_E_FORGED;
        for (int i = 0; i < 8; i++)
                n = n << 8 | bytes[i];
        part = kind == VAULT_ID_MESSAGE ? (uint16_t) (bytes[8] << 8 | bytes[9]) : 0;
        id_bytes(v, kind, (int64_t) n, part, expected);
        if (sodium_memcmp(bytes, expected, sizeof(bytes)) != 0)
                return VAULT_E_FORGED;

        *ret_n = (int64_t) n;
        if (ret_part)
                *ret_part = part;
        return 0;
}

typedef struct VaultStream {
        const Vault *vault;
        int64_t share;
        int64_t counter;
} VaultStream;

/* Bytes that look random and are the same whenever they are asked for again. */
static void stream_read(void *ret, size_t size, void *userdata) {
        VaultStream *stream = userdata;
        uint8_t *p = ret;

        while (size > 0) {
                uint8_t block[32];
                size_t n = size < sizeof(block) ? size : sizeof(block);
                VaultHash h;

                hash_init(&h, stream->vault->keys[PURPOSE_ID], sizeof(block));
                hash_text(&h, "tag");
                hash_number(&h, stream->share);
                hash_number(&h, stream->counter++);
                hash_done(&h, block, sizeof(block));
                memcpy(p, block, n);
                p += n;
                size -= n;
        }
}

void vault_tag(const Vault *v, int64_t share, char ret[TAG_SIZE]) {
        VaultStream stream = { v, share, 0 };
        int r;

        r = tag_generate(stream_read, &stream, ret);
        assert(r >= 0); /* only a source that repeats itself fails */
}

uint32_t vault_event_tag(const Vault *v,
                const char *tenant,
                int64_t sequence,
                int64_t share,
                int64_t version,
                int64_t at,
                int event) {
        uint8_t tag[16];
        VaultHash h;

        hash_init(&h, v->keys[PURPOSE_EVENT], sizeof(tag));
        hash_text(&h, tenant);
        hash_number(&h, sequence);
        hash_number(&h, share);
        hash_number(&h, version);
        hash_number(&h, at);
        hash_number(&h, event);
        hash_done(&h, tag, sizeof(tag));
        return (uint32_t) tag[0] << 24 | (uint32_t) tag[1] << 16 | (uint32_t) tag[2] << 8 | tag[3];
}

/* One blind index over a label and texts, ended by NULL. */
static void index_of(const Vault *v, uint8_t ret[VAULT_INDEX_SIZE], const char *label, ...) {
        const char *text;
        VaultHash h;
        va_list ap;

        hash_init(&h, v->keys[PURPOSE_INDEX], VAULT_INDEX_SIZE);
        hash_text(&h, label);
        va_start(ap, label);
        while ((text = va_arg(ap, const char *)))
                hash_text(&h, text);
        va_end(ap);
        hash_done(&h, ret, VAULT_INDEX_SIZE);
}

void vault_index_address(const Vault *v, const char *address, uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "address", address, NULL);
}

void vault_index_reference(const Vault *v,
                const char *tenant,
                const char *reference,
                uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "reference", tenant, reference, NULL);
}

void vault_index_pair(const Vault *v,
                const char *tenant,
                const char *address,
                uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "pair", tenant, address, NULL);
}

void vault_index_nonce(const Vault *v,
                const char *tenant,
                const char *nonce,
                uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "nonce", tenant, nonce, NULL);
}

void vault_index_claim(const Vault *v, const char *claim, uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "claim", claim, NULL);
}

void vault_index_asked(const Vault *v,
                const char *about,
                const char *address,
                uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "asked", about, address, NULL);
}

void vault_index_limit(const Vault *v,
                const char *kind,
                const char *tenant,
                const char *whom,
                uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "limit", kind, tenant, whom, NULL);
}

void vault_index_inbound(const Vault *v,
                const char *channel,
                const char *from,
                const char *inbound,
                const char *text,
                uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "inbound", channel, from, inbound, text, NULL);
}

void vault_index_idempotency(const Vault *v,
                const char *tenant,
                const char *path,
                const char *key,
                uint8_t ret[VAULT_INDEX_SIZE]) {
        index_of(v, ret, "idempotency", tenant, path, key, NULL);
}

void vault_digest(const Vault *v, const char *digest, uint8_t ret[32]) {
        VaultHash h;

        hash_init(&h, v->keys[PURPOSE_INDEX], 32);
        hash_text(&h, "digest");
        hash_text(&h, digest);
        hash_done(&h, ret, 32);
}

void vault_key_of_answer(const Vault *v,
                const uint8_t index[VAULT_INDEX_SIZE],
                const char *key,
                VaultKey *ret) {
        VaultHash h;

        hash_init(&h, v->keys[PURPOSE_ANSWER], VAULT_KEY_SIZE);
        hash_bytes(&h, index, VAULT_INDEX_SIZE);
        hash_text(&h, key);
        hash_done(&h, ret->bytes, VAULT_KEY_SIZE);
}

const uint8_t *vault_code_key(const Vault *v) {
        return v->keys[PURPOSE_CODE];
}

static void claim_or_request(const Vault *v,
                int64_t share,
                unsigned generation,
                const char *operation,
                char ret[UUID_TEXT_SIZE]) {
        uint8_t bytes[16];
        VaultHash h;

        hash_init(&h, v->keys[PURPOSE_CLAIM], sizeof(bytes));
        hash_text(&h, operation);
        hash_number(&h, share);
        hash_number(&h, generation);
        hash_done(&h, bytes, sizeof(bytes));
        text_uuid4(bytes, ret);
        sodium_memzero(bytes, sizeof(bytes));
}

void vault_claim(const Vault *v, int64_t share, unsigned generation, char ret[UUID_TEXT_SIZE]) {
        claim_or_request(v, share, generation, "claim", ret);
}

void vault_request_id(const Vault *v,
                int64_t share,
                unsigned generation,
                const char *operation,
                char ret[UUID_TEXT_SIZE]) {
        claim_or_request(v, share, generation, operation, ret);
}
