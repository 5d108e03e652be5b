/* A payload of a stranger, under a Secret that is known: the input is `type`, NUL, `data`; the same
 * bytes are also read as decrypted Provisioning Information, and encrypted and decrypted again. */
#include <assert.h>
#include <stdint.h>

#include "cleanup.h"
#include "payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decrypt(const char *type, const char *text) {
        static const uint8_t key[PAYLOAD_KEY_MAX] = { 0x85, 0x79, 0x6b, 0xe9 };
        static const size_t key_sizes[] = { 16, 32 };

        for (size_t i = 0; i < N_ELEMENTS(key_sizes); i++) {
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                int r = payload_decrypt(type, text, true, key, key_sizes[i], &plaintext);

                /* Nothing comes out unless the tag is right. */
                assert((r == 0) == (plaintext.data != NULL));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t key[PAYLOAD_KEY_MAX] = { 1 };
        _cleanup_(freep) char *text = strndup((const char *) data, size), *rest = NULL,
                              *encrypted = NULL;
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        json_auto_t *provisioning = NULL;
        size_t type_size = strlen(text);
        int r;

        rest = type_size < size ? strndup((const char *) data + type_size + 1, size - type_size - 1)
                                : strdup("");
        decrypt(text, rest);
        decrypt("AEAD_AES_128_GCM", text);

        r = payload_provisioning_read(data, size, &provisioning);
        assert(r != 0 || payload_provisioning_is_valid(provisioning));

        assert(payload_encrypt(PAYLOAD_AES_256_GCM, key, data, size, &encrypted) == 0);
        assert(payload_decrypt("AEAD_AES_256_GCM", encrypted, false, key, 32, &plaintext) == 0);
        assert(plaintext.size == size && memcmp(plaintext.data, data, size) == 0);
        return 0;
}
