#include "payload.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

#include "cleanup.h"
#include "json-raw.h"
#include "text.h"

typedef struct Algorithm {
        const char *name, *legacy_name;
        size_t key_size;
        const EVP_CIPHER *(*cipher)(void);
} Algorithm;

static const Algorithm algorithms[_PAYLOAD_ALGORITHM_MAX] = {
        [PAYLOAD_AES_128_GCM] = { "AEAD_AES_128_GCM", "AES128", 16, EVP_aes_128_gcm },
        [PAYLOAD_AES_256_GCM] = { "AEAD_AES_256_GCM", "AES256", 32, EVP_aes_256_gcm },
};

static void context_freep(EVP_CIPHER_CTX **context) {
        EVP_CIPHER_CTX_free(*context);
}

int plaintext_new(Plaintext *ret, size_t size) {
        uint8_t *data = calloc(1, size + 1);

        if (!data)
                return -ENOMEM;
        *ret = (Plaintext){ data, size };
        return 0;
}

void plaintext_done(Plaintext *plaintext) {
        if (plaintext->data)
                sodium_memzero(plaintext->data, plaintext->size);
        free(plaintext->data);
        *plaintext = PLAINTEXT_NULL;
}

const char *payload_algorithm_name(PayloadAlgorithm algorithm) {
        return algorithms[algorithm].name;
}

size_t payload_key_size(PayloadAlgorithm algorithm) {
        return algorithms[algorithm].key_size;
}

int payload_algorithm_from_name(const char *name, bool legacy, PayloadAlgorithm *ret) {
        for (size_t i = 0; i < N_ELEMENTS(algorithms); i++)
                if (streq(name, algorithms[i].name) ||
                                (legacy && streq(name, algorithms[i].legacy_name))) {
                        *ret = (PayloadAlgorithm) i;
                        return 0;
                }
        return PAYLOAD_E_TYPE;
}

int payload_encrypt_with_iv(PayloadAlgorithm algorithm,
                const uint8_t *key,
                const uint8_t iv[PAYLOAD_IV_SIZE],
                const void *plaintext,
                size_t size,
                uint8_t *ret_digest,
                char **ret) {
        _cleanup_(context_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        const size_t blob_size = PAYLOAD_IV_SIZE + size + PAYLOAD_TAG_SIZE;
        _cleanup_(freep) uint8_t *blob = NULL;
        uint8_t *ciphertext;
        char *text;
        int n;

        if (size > INT32_MAX / 2)
                return -EMSGSIZE;
        blob = malloc(blob_size);
        if (!context || !blob)
                return -ENOMEM;
        memcpy(blob, iv, PAYLOAD_IV_SIZE);
        ciphertext = blob + PAYLOAD_IV_SIZE;

        if (EVP_EncryptInit_ex(context, algorithms[algorithm].cipher(), NULL, key, iv) != 1 ||
                        EVP_EncryptUpdate(context, ciphertext, &n, plaintext, (int) size) != 1 ||
                        EVP_EncryptFinal_ex(context, ciphertext + n, &n) != 1 ||
                        EVP_CIPHER_CTX_ctrl(context,
                                        EVP_CTRL_GCM_GET_TAG,
                                        PAYLOAD_TAG_SIZE,
                                        ciphertext + size) != 1)
                return -EIO;

        text = text_base64(blob, blob_size);
        if (!text)
                return -ENOMEM;
        if (ret_digest)
                payload_digest(blob, blob_size, ret_digest);
        *ret = text;
        return 0;
}

int payload_encrypt(PayloadAlgorithm algorithm,
                const uint8_t *key,
                const void *plaintext,
                size_t size,
                char **ret) {
        uint8_t iv[PAYLOAD_IV_SIZE];

        if (RAND_bytes(iv, sizeof(iv)) != 1)
                return -EIO;
        return payload_encrypt_with_iv(algorithm, key, iv, plaintext, size, NULL, ret);
}

int payload_decode(const char *data, uint8_t **ret, size_t *ret_size) {
        _cleanup_(freep) uint8_t *blob = NULL;
        size_t size;
        int r;

        r = text_from_base64(data, true, &blob, &size);
        if (r == -EBADMSG)
                return PAYLOAD_E_BASE64;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(blob);
        *ret_size = size;
        return 0;
}

void payload_digest(const void *blob, size_t size, uint8_t ret[PAYLOAD_DIGEST_SIZE]) {
        (void) SHA256(blob, size, ret); /* libsodium's does not use the processor's instructions */
}

static int open_blob(PayloadAlgorithm algorithm,
                const uint8_t *key,
                const uint8_t *blob,
                size_t size,
                Plaintext *ret) {
        _cleanup_(context_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        const uint8_t *ciphertext = blob + PAYLOAD_IV_SIZE;
        int n, r;

        if (!context)
                return -ENOMEM;
        r = plaintext_new(&plaintext, size);
        if (r < 0)
                return r;
        if (EVP_DecryptInit_ex(context, algorithms[algorithm].cipher(), NULL, key, blob) != 1 ||
                        EVP_DecryptUpdate(context, plaintext.data, &n, ciphertext, (int) size) !=
                                        1 ||
                        EVP_CIPHER_CTX_ctrl(context,
                                        EVP_CTRL_GCM_SET_TAG,
                                        PAYLOAD_TAG_SIZE,
                                        (void *) (ciphertext + size)) != 1)
                return -EIO;
        if (EVP_DecryptFinal_ex(context, plaintext.data + n, &n) != 1)
                return PAYLOAD_E_AUTH;

        *ret = plaintext;
        plaintext = PLAINTEXT_NULL;
        return 0;
}

int payload_decrypt_blob(PayloadAlgorithm algorithm,
                const uint8_t *key,
                const uint8_t *blob,
                size_t blob_size,
                Plaintext *ret) {
        if (blob_size < PAYLOAD_IV_SIZE + PAYLOAD_TAG_SIZE)
                return PAYLOAD_E_TOO_SHORT;
        if (blob_size > INT32_MAX / 2)
                return -EMSGSIZE;
        return open_blob(algorithm, key, blob, blob_size - PAYLOAD_IV_SIZE - PAYLOAD_TAG_SIZE, ret);
}

int payload_decrypt(const char *type,
                const char *data,
                bool legacy,
                const uint8_t *key,
                size_t key_size,
                Plaintext *ret) {
        _cleanup_(freep) uint8_t *blob = NULL;
        PayloadAlgorithm algorithm;
        size_t size;
        int r;

        r = payload_algorithm_from_name(type, legacy, &algorithm);
        if (r != 0)
                return r;
        if (key_size != algorithms[algorithm].key_size)
                return PAYLOAD_E_KEY_LENGTH;
        r = payload_decode(data, &blob, &size);
        if (r != 0)
                return r;
        return payload_decrypt_blob(algorithm, key, blob, size, ret);
}

bool payload_provisioning_is_valid(const json_t *provisioning) {
        return json_is_string(json_object_get(provisioning, "format")) &&
               json_is_object(json_object_get(provisioning, "content"));
}

int payload_provisioning_read(const void *plaintext, size_t size, json_t **ret) {
        json_auto_t *object = NULL;
        JsonProblem problem;
        int r;

        r = json_raw_read_kept(plaintext, size, PAYLOAD_DEPTH_MAX, "content", &object, &problem);
        if (r != 0)
                return r < 0 ? r : PAYLOAD_E_PROVISIONING;
        if (!payload_provisioning_is_valid(object))
                return PAYLOAD_E_PROVISIONING;

        *ret = TAKE_PTR(object);
        return 0;
}

const char *payload_error_name(PayloadError error) {
        switch (error) {
        case PAYLOAD_E_TYPE:
                return "unsupported-type";
        case PAYLOAD_E_KEY_LENGTH:
                return "key-length";
        case PAYLOAD_E_BASE64:
                return "base64";
        case PAYLOAD_E_TOO_SHORT:
                return "too-short";
        case PAYLOAD_E_AUTH:
                return "auth";
        case PAYLOAD_E_PROVISIONING:
                return "provisioning-info";
        }
        return "unknown";
}
