/* Payload encryption against known answers, and every way to be wrong under its own name. */
#include "vectors.h"

#include <sodium.h>

#include "cleanup.h"
#include "payload.h"
#include "secret.h"

enum { BYTES_MAX = 8192 };

/* v-aes128-4k gives its plaintext as a rule. */
static size_t plaintext_of(const json_t *vector, uint8_t ret[BYTES_MAX]) {
        static const char prefix[] =
                        "{\"format\":\"digitalwallet.generic.authorizationToken\",\"content\":"
                        "{\"pad\":\"";
        size_t n = sizeof(prefix) - 1;

        if (vector_text(vector, "plaintext_hex"))
                return vector_bytes(vector, "plaintext_hex", ret, BYTES_MAX);
        memcpy(ret, prefix, n);
        memset(ret + n, 'A', 4096);
        memcpy(ret + n + 4096, "\"}}", 3);
        return n + 4096 + 3;
}

static void assert_digest(const json_t *vector, const char *member, const void *data, size_t size) {
        uint8_t hash[crypto_hash_sha256_BYTES];
        char hex[2 * sizeof(hash) + 1];

        (void) crypto_hash_sha256(hash, data, size);
        text_hex(hash, sizeof(hash), hex);
        assert_string_equal(hex, vector_text(vector, member));
}

static void every_positive_vector_is_met_both_ways(void **state) {
        const json_t *vector;
        size_t i, n = 0;

        (void) state;
        json_array_foreach(json_object_get(vectors, "payload_positive"), i, vector) {
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                _cleanup_(freep) char *data = NULL;
                uint8_t key[32], iv[PAYLOAD_IV_SIZE], expected[BYTES_MAX];
                const char *type = vector_text(vector, "type");
                size_t key_size = vector_bytes(vector, "key_hex", key, sizeof(key));
                size_t size = plaintext_of(vector, expected);
                PayloadAlgorithm algorithm;

                (void) vector_begin(vector);
                (void) vector_bytes(vector, "iv_hex", iv, sizeof(iv));
                assert_int_equal(payload_algorithm_from_name(type, false, &algorithm), 0);
                assert_int_equal(payload_key_size(algorithm), key_size);
                assert_int_equal(payload_encrypt_with_iv(
                                                 algorithm, key, iv, expected, size, NULL, &data),
                                0);
                if (vector_text(vector, "data_b64"))
                        assert_string_equal(data, vector_text(vector, "data_b64"));
                else
                        assert_digest(vector, "data_b64_sha256_hex", data, strlen(data));

                assert_int_equal(payload_decrypt(type, data, false, key, key_size, &plaintext), 0);
                assert_int_equal(plaintext.size, size);
                assert_memory_equal(plaintext.data, expected, size);
                n++;
        }
        assert_int_equal(n, 7);
}

static void every_negative_vector_has_its_error(void **state) {
        const json_t *vector;
        size_t i, n = 0;

        (void) state;
        json_array_foreach(json_object_get(vectors, "payload_negative"), i, vector) {
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                json_auto_t *provisioning = NULL;
                uint8_t key[32];
                size_t key_size = vector_bytes(vector, "key_hex", key, sizeof(key));
                int r;

                (void) vector_begin(vector);
                r = payload_decrypt(vector_text(vector, "type"),
                                vector_text(vector, "data"),
                                false,
                                key,
                                key_size,
                                &plaintext);
                if (r == 0)
                        r = payload_provisioning_read(
                                        plaintext.data, plaintext.size, &provisioning);
                else
                        assert_null(plaintext.data);
                assert_true(r > 0);
                assert_string_equal(
                                payload_error_name((PayloadError) r), vector_text(vector, "error"));
                n++;
        }
        assert_int_equal(n, 14);
}

static void leniency_is_where_it_was_decided(void **state) {
        const json_t *list = json_object_get(vectors, "payload_lenient");

        (void) state;
        assert_int_equal(json_array_size(list), 3);
        for (size_t i = 0; i < 3; i++) {
                const json_t *vector = json_array_get(list, i);
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                const char *name = vector_begin(vector);
                uint8_t key[32], expected[BYTES_MAX];
                size_t key_size = vector_bytes(vector, "key_hex", key, sizeof(key));
                size_t size = vector_bytes(vector, "plaintext_hex", expected, sizeof(expected));
                bool legacy = strcmp(name, "legacy-type-AES128") == 0;
                int r;

                r = payload_decrypt(vector_text(vector, "type"),
                                vector_text(vector, "data"),
                                legacy,
                                key,
                                key_size,
                                &plaintext);
                if (strcmp(name, "data-with-line-breaks") == 0) {
                        assert_int_equal(r, PAYLOAD_E_BASE64);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_int_equal(plaintext.size, size);
                assert_memory_equal(plaintext.data, expected, size);
                if (legacy) {
                        _cleanup_(plaintext_done) Plaintext strict = PLAINTEXT_NULL;

                        assert_int_equal(payload_decrypt(vector_text(vector, "type"),
                                                         vector_text(vector, "data"),
                                                         false,
                                                         key,
                                                         key_size,
                                                         &strict),
                                        PAYLOAD_E_TYPE);
                }
        }
}

static void each_encryption_has_its_own_iv(void **state) {
        static const uint8_t key[16] = { 1 };
        char first[17] = "";

        (void) state;
        for (int i = 0; i < 100; i++) {
                _cleanup_(freep) char *data = NULL;

                assert_int_equal(payload_encrypt(PAYLOAD_AES_128_GCM, key, "x", 1, &data), 0);
                /* 16 symbols are the 12 bytes of the IV. */
                assert_true(strncmp(first, data, 16) != 0);
                memcpy(first, data, 16);
        }
}

static void provisioning_needs_format_and_content(void **state) {
        static const struct {
                const char *text;
                int r;
        } cases[] = {
                { "{\"format\":\"x\",\"content\":{}}", 0 },
                { "{\"format\":\"x\",\"content\":{},\"more\":[1]}", 0 },
                { "{\"format\":1,\"content\":{}}", PAYLOAD_E_PROVISIONING },
                { "{\"format\":\"x\",\"content\":\"y\"}", PAYLOAD_E_PROVISIONING },
                { "{\"format\":\"x\",\"format\":\"y\",\"content\":{}}", PAYLOAD_E_PROVISIONING },
                { "[]", PAYLOAD_E_PROVISIONING },
                { "", PAYLOAD_E_PROVISIONING },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                json_auto_t *object = NULL;

                assert_int_equal(payload_provisioning_read(
                                                 cases[i].text, strlen(cases[i].text), &object),
                                cases[i].r);
        }
}

int main(int argc, char **argv) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_positive_vector_is_met_both_ways),
                cmocka_unit_test(every_negative_vector_has_its_error),
                cmocka_unit_test(leniency_is_where_it_was_decided),
                cmocka_unit_test(each_encryption_has_its_own_iv),
                cmocka_unit_test(provisioning_needs_format_and_content),
        };

        if (secret_init() < 0 || vectors_load(argc, argv) != 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
