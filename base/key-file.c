#include "key-file.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "json-read.h"
#include "json-wipe.h"
#include "text.h"

enum {
        LIVE_KEYS = 2, /* what was sealed before a rotation is still to be opened */
};

static RelayPrivateKeys *keys_allocate(void) {
        RelayPrivateKeys *keys = sodium_malloc(sizeof(*keys));

        if (keys)
                sodium_memzero(keys, sizeof(*keys));
        return keys;
}

static int read_key(const json_t *object, RelayPrivateKey *ret) {
        struct {
                const char *kid, *secret;
                int64_t not_after;
        } members = { 0 };
        const JsonMember table[] = {
                { "kid", JSON_KIND_STRING, offsetof(__typeof__(members), kid), true, 16, 16 },
                { "secret", JSON_KIND_STRING, offsetof(__typeof__(members), secret), true, 43, 44 },
                { "not_after",
                                JSON_KIND_INTEGER,
                                offsetof(__typeof__(members), not_after),
                                true,
                                1,
                                INT64_MAX },
        };
        JsonProblem problem;
        int r;

        if (json_read_members(object, table, N_ELEMENTS(table), false, &members, &problem) != 0)
                return -EBADMSG;
        r = text_from_base64_exactly(members.secret, ret->secret, sizeof(ret->secret));
        if (r < 0)
                return r;
        ret->not_after = members.not_after;
        (void) crypto_scalarmult_base(ret->public, ret->secret);
        relay_key_id(ret->public, ret->kid);
        return streq(ret->kid, members.kid) ? 0 : -EBADMSG;
}

int relay_private_keys_read(const Secret *content, RelayPrivateKeys **ret) {
        _cleanup_(relay_private_keys_freep) RelayPrivateKeys *keys = keys_allocate();
        json_auto_t *object = NULL;
        const json_t *list;
        const char *seed;
        JsonProblem problem;
        int r;

        if (!keys)
                return -ENOMEM;
        r = json_read(content->data, content->size, 4, &object, &problem);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;
        seed = json_string_value(json_object_get(object, "signing_seed"));
        list = json_object_get(object, "keys");
        if (json_integer_value(json_object_get(object, "v")) != 1 || !seed ||
                        !json_is_array(list) || json_array_size(list) < 1 ||
                        json_array_size(list) > RELAY_KEYS_MAX)
                return -EBADMSG;
        r = text_from_base64_exactly(seed, keys->signing_seed, sizeof(keys->signing_seed));
        if (r < 0)
                return r;
        for (; keys->n_keys < json_array_size(list); keys->n_keys++) {
                r = read_key(json_array_get(list, keys->n_keys), &keys->keys[keys->n_keys]);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(keys);
        return 0;
}

int relay_private_keys_new(RelayPrivateKeys **ret) {
        RelayPrivateKeys *keys = keys_allocate();

        if (!keys)
                return -ENOMEM;
        randombytes_buf(keys->signing_seed, sizeof(keys->signing_seed));
        *ret = keys;
        return 0;
}

void relay_private_keys_add(RelayPrivateKeys *keys, int64_t not_after) {
        RelayPrivateKey *key = &keys->keys[0];

        memmove(&keys->keys[1], &keys->keys[0], (RELAY_KEYS_MAX - 1) * sizeof(keys->keys[0]));
        (void) crypto_box_keypair(key->public, key->secret);
        relay_key_id(key->public, key->kid);
        key->not_after = not_after;

        if (++keys->n_keys > LIVE_KEYS)
                keys->n_keys = LIVE_KEYS;
        sodium_memzero(&keys->keys[LIVE_KEYS],
                        (RELAY_KEYS_MAX - LIVE_KEYS) * sizeof(keys->keys[0]));
}

static json_t *write_key(const RelayPrivateKey *key) {
        _cleanup_(secret_free_stringp) char *secret = text_base64(key->secret, sizeof(key->secret));

        if (!secret)
                return NULL;
        return json_pack("{s:s, s:s, s:I}",
                        "kid",
                        key->kid,
                        "secret",
                        secret,
                        "not_after",
                        (json_int_t) key->not_after);
}

static int write_json(const json_t *object, Secret *ret) {
        _cleanup_(json_wipe_freep) char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
        size_t size;
        int r;

        if (!text)
                return -ENOMEM;
        size = strlen(text);
        r = secret_new(ret, size + 1);
        if (r < 0)
                return r;
        memcpy(ret->data, text, size);
        ret->data[size] = '\n';
        return 0;
}

int relay_private_keys_write(const RelayPrivateKeys *keys, Secret *ret) {
        _cleanup_(secret_free_stringp) char *seed =
                        text_base64(keys->signing_seed, sizeof(keys->signing_seed));
        json_auto_t *list = json_array(), *object = NULL;

        if (!seed || !list)
                return -ENOMEM;
        for (size_t i = 0; i < keys->n_keys; i++)
                if (json_array_append_new(list, write_key(&keys->keys[i])) < 0)
                        return -ENOMEM;
        object = json_pack("{s:i, s:s, s:O}", "v", 1, "signing_seed", seed, "keys", list);
        return write_json(object, ret);
}

int relay_private_keys_write_public(const RelayPrivateKeys *keys, Secret *ret) {
        RelayPublicKeys public = { .n_keys = keys->n_keys };
        uint8_t signing_key[crypto_sign_SECRETKEYBYTES];
        json_auto_t *object = NULL;

        (void) crypto_sign_seed_keypair(public.signer, signing_key, keys->signing_seed);
        for (size_t i = 0; i < keys->n_keys; i++) {
                RelayPublicKey *key = &public.keys[i];

                memcpy(key->kid, keys->keys[i].kid, sizeof(key->kid));
                memcpy(key->key, keys->keys[i].public, sizeof(key->key));
                key->not_after = keys->keys[i].not_after;
                relay_key_sign(key, signing_key);
        }
        sodium_memzero(signing_key, sizeof(signing_key));

        object = relay_public_keys_write(&public);
        return write_json(object, ret);
}

const RelayPrivateKey *relay_private_keys_find(const RelayPrivateKeys *keys, const char *kid) {
        for (size_t i = 0; i < keys->n_keys; i++)
                if (streq(keys->keys[i].kid, kid))
                        return &keys->keys[i];
        return NULL;
}

static void put_number(uint64_t number, uint8_t ret[8]) {
        for (int i = 0; i < 8; i++)
                ret[i] = (uint8_t) (number >> (56 - 8 * i));
}

/* A key of its own purpose, so that nothing else ever hashes under the X25519 secret itself. What
 * is hashed begins with the share and its NUL, and the generation; size is of the hash. */
static void begin_derivation(crypto_generichash_state *state,
                const RelayPrivateKey *key,
                const char purpose[crypto_kdf_CONTEXTBYTES],
                const char *share,
                uint64_t generation,
                size_t size) {
        uint8_t derived[crypto_generichash_KEYBYTES], number[8];

        (void) crypto_kdf_derive_from_key(derived, sizeof(derived), 1, purpose, key->secret);
        put_number(generation, number);
        (void) crypto_generichash_init(state, derived, sizeof(derived), size);
        (void) crypto_generichash_update(state, (const uint8_t *) share, strlen(share) + 1);
        (void) crypto_generichash_update(state, number, sizeof(number));
        sodium_memzero(derived, sizeof(derived));
}

void relay_private_key_derive(const RelayPrivateKey *key,
                const char *share,
                uint64_t generation,
                uint8_t *ret,
                size_t size) {
        crypto_generichash_state state;

        begin_derivation(&state, key, "vbsecret", share, generation, size);
        (void) crypto_generichash_final(&state, ret, size);
        sodium_memzero(&state, sizeof(state));
}

enum {
        IV_HASH_SIZE = crypto_generichash_BYTES_MIN, /* its first octets are the IV */
};

static void begin_iv(crypto_generichash_state *state,
                const RelayPrivateKey *key,
                const char *share,
                uint64_t generation,
                const void *plaintext,
                size_t size) {
        begin_derivation(state, key, "vbblobiv", share, generation, IV_HASH_SIZE);
        (void) crypto_generichash_update(state, plaintext, size);
}

/* The number comes last and has a fixed size, so that one hash of the plaintext serves them all. */
static void
end_iv(const crypto_generichash_state *begun, uint64_t number, uint8_t ret[RELAY_KEY_IV_SIZE]) {
        crypto_generichash_state state = *begun;
        uint8_t octets[8], hash[IV_HASH_SIZE];

        put_number(number, octets);
        (void) crypto_generichash_update(&state, octets, sizeof(octets));
        (void) crypto_generichash_final(&state, hash, sizeof(hash));
        memcpy(ret, hash, RELAY_KEY_IV_SIZE);
        sodium_memzero(&state, sizeof(state));
}

void relay_private_key_derive_iv(const RelayPrivateKey *key,
                const char *share,
                uint64_t generation,
                uint64_t number,
                const void *plaintext,
                size_t size,
                uint8_t ret[RELAY_KEY_IV_SIZE]) {
        crypto_generichash_state state;

        begin_iv(&state, key, share, generation, plaintext, size);
        end_iv(&state, number, ret);
        sodium_memzero(&state, sizeof(state));
}

bool relay_private_key_is_own_iv(const RelayPrivateKey *key,
                const char *share,
                uint64_t generation,
                uint64_t below,
                const void *plaintext,
                size_t size,
                const uint8_t iv[RELAY_KEY_IV_SIZE]) {
        crypto_generichash_state state;
        uint8_t own[RELAY_KEY_IV_SIZE];
        bool is_own = false;

        begin_iv(&state, key, share, generation, plaintext, size);
        for (uint64_t number = 0; number < below && !is_own; number++) {
                end_iv(&state, number, own);
                is_own = memcmp(own, iv, sizeof(own)) == 0; /* both are seen by everybody */
        }
        sodium_memzero(&state, sizeof(state));
        return is_own;
}

RelayPrivateKeys *relay_private_keys_free(RelayPrivateKeys *keys) {
        sodium_free(keys);
        return NULL;
}
