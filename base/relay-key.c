#include "relay-key.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "cleanup.h"
#include "json-read.h"
#include "text.h"

static const char signed_prefix[] = "vestibule relay key v1";

enum {
        SIGNED_SIZE = sizeof(signed_prefix) + RELAY_KEY_ID_SIZE + RELAY_KEY_SIZE + 8,
};

void relay_key_id(const uint8_t key[RELAY_KEY_SIZE], char ret[RELAY_KEY_ID_SIZE]) {
        uint8_t hash[crypto_generichash_BYTES_MIN];

        (void) crypto_generichash(hash, sizeof(hash), key, RELAY_KEY_SIZE, NULL, 0);
        text_hex(hash, (RELAY_KEY_ID_SIZE - 1) / 2, ret);
}

static void signed_bytes(const RelayPublicKey *key, uint8_t ret[SIGNED_SIZE]) {
        uint8_t *p = ret;

        memcpy(p, signed_prefix, sizeof(signed_prefix));
        p += sizeof(signed_prefix);
        memcpy(p, key->kid, RELAY_KEY_ID_SIZE);
        p += RELAY_KEY_ID_SIZE;
        memcpy(p, key->key, RELAY_KEY_SIZE);
        p += RELAY_KEY_SIZE;
        for (int i = 0; i < 8; i++)
                p[i] = (uint8_t) ((uint64_t) key->not_after >> (56 - 8 * i));
}

void relay_key_sign(RelayPublicKey *key, const uint8_t signing_key[64]) {
        uint8_t bytes[SIGNED_SIZE];

        signed_bytes(key, bytes);
        (void) crypto_sign_detached(key->signature, NULL, bytes, sizeof(bytes), signing_key);
}

static int read_key(
                const json_t *object, const uint8_t signer[RELAY_KEY_SIZE], RelayPublicKey *ret) {
        struct {
                const char *kid, *key, *signature;
                int64_t not_after;
        } members = { 0 };
        const JsonMember table[] = {
                { "kid", JSON_KIND_STRING, offsetof(__typeof__(members), kid), true, 16, 16 },
                { "key", JSON_KIND_STRING, offsetof(__typeof__(members), key), true, 43, 44 },
                { "signature",
                                JSON_KIND_STRING,
                                offsetof(__typeof__(members), signature),
                                true,
                                86,
                                88 },
                { "not_after",
                                JSON_KIND_INTEGER,
                                offsetof(__typeof__(members), not_after),
                                true,
                                1,
                                INT64_MAX },
        };
        char kid[RELAY_KEY_ID_SIZE];
        uint8_t bytes[SIGNED_SIZE];
        JsonProblem problem;
        int r;

        if (json_read_members(object, table, N_ELEMENTS(table), false, &members, &problem) != 0)
                return -EBADMSG;
        r = text_from_base64_exactly(members.key, ret->key, sizeof(ret->key));
        if (r < 0)
                return r;
        r = text_from_base64_exactly(members.signature, ret->signature, sizeof(ret->signature));
        if (r < 0)
                return r;
        ret->not_after = members.not_after;
        relay_key_id(ret->key, kid);
        if (!streq(kid, members.kid))
                return -EBADMSG;
        memcpy(ret->kid, kid, sizeof(kid));

        signed_bytes(ret, bytes);
        return crypto_sign_verify_detached(ret->signature, bytes, sizeof(bytes), signer) < 0
                               ? -EBADMSG
                               : 0;
}

int relay_public_keys_read(const void *data, size_t size, RelayPublicKeys *ret) {
        json_auto_t *object = NULL;
        RelayPublicKeys keys = { 0 };
        const char *signer;
        const json_t *list;
        JsonProblem problem;
        int r;

        r = json_read(data, size, 4, &object, &problem);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;
        signer = json_string_value(json_object_get(object, "signer"));
        list = json_object_get(object, "keys");
        if (!signer || !json_is_array(list) || json_array_size(list) < 1 ||
                        json_array_size(list) > RELAY_KEYS_MAX)
                return -EBADMSG;
        r = text_from_base64_exactly(signer, keys.signer, sizeof(keys.signer));
        if (r < 0)
                return r;

        for (keys.n_keys = 0; keys.n_keys < json_array_size(list); keys.n_keys++) {
                r = read_key(json_array_get(list, keys.n_keys),
                                keys.signer,
                                &keys.keys[keys.n_keys]);
                if (r < 0)
                        return r;
        }

        *ret = keys;
        return 0;
}

static json_t *write_key(const RelayPublicKey *key) {
        _cleanup_(freep) char *bytes = text_base64(key->key, sizeof(key->key));
        _cleanup_(freep) char *signature = text_base64(key->signature, sizeof(key->signature));

        if (!bytes || !signature)
                return NULL;
        return json_pack("{s:s, s:s, s:I, s:s}",
                        "kid",
                        key->kid,
                        "key",
                        bytes,
                        "not_after",
                        (json_int_t) key->not_after,
                        "signature",
                        signature);
}

json_t *relay_public_keys_write(const RelayPublicKeys *keys) {
        _cleanup_(freep) char *signer = text_base64(keys->signer, sizeof(keys->signer));
        json_auto_t *list = json_array();

        for (size_t i = 0; i < keys->n_keys; i++)
                if (json_array_append_new(list, write_key(&keys->keys[i])) < 0)
                        return NULL;
        if (!signer || !list)
                return NULL;
        return json_pack("{s:O, s:s}", "keys", list, "signer", signer);
}

const RelayPublicKey *relay_public_keys_current(const RelayPublicKeys *keys, int64_t now) {
        for (size_t i = 0; i < keys->n_keys; i++)
                if (keys->keys[i].not_after >= now)
                        return &keys->keys[i];
        return NULL;
}

const RelayPublicKey *relay_public_keys_find(const RelayPublicKeys *keys, const char *kid) {
        for (size_t i = 0; i < keys->n_keys; i++)
                if (streq(keys->keys[i].kid, kid))
                        return &keys->keys[i];
        return NULL;
}
