/* The client's checklist for Draft V, payloads: a test's name begins with the number that it
 * shows (CONFORMANCE.md). */
#include "conformance-case.h"

#include "key-file.h"
#include "payload.h"
#include "secret.h"

static void c23_both_algorithms_open_what_they_sealed(void **state) {
        static const char *const names[] = { "AEAD_AES_128_GCM", "AEAD_AES_256_GCM" };
        static const size_t sizes[] = { 16, 32 };
        uint8_t key[32];

        (void) state;
        memset(key, 7, sizeof(key));
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                _cleanup_(freep) char *data = NULL;
                PayloadAlgorithm algorithm;

                assert_int_equal(payload_algorithm_from_name(names[i], false, &algorithm), 0);
                assert_string_equal(payload_algorithm_name(algorithm), names[i]);
                assert_int_equal(payload_key_size(algorithm), sizes[i]);
                assert_int_equal(payload_encrypt(algorithm, key, "content", 7, &data), 0);
                assert_int_equal(payload_decrypt(names[i], data, false, key, sizes[i], &plaintext),
                                0);
                assert_int_equal(plaintext.size, 7);
                assert_memory_equal(plaintext.data, "content", 7);
        }
}

static void assert_iv_is_new(uint8_t seen[][RELAY_KEY_IV_SIZE], size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_memory_not_equal(seen[i], seen[n], RELAY_KEY_IV_SIZE);
}

/* A recipient draws it; ours is drawn from a keyed hash over all that makes a message another one,
 * so that one and the same message alone has the same. */
static void c24_no_two_messages_share_an_iv(void **state) {
        static const uint8_t key[16] = { 1 };
        static const struct {
                const char *share;
                uint64_t generation, number;
                const char *plaintext;
        } messages[] = {
                { "shr_a", 0, 0, "x" },
                { "shr_b", 0, 0, "x" },
                { "shr_a", 1, 0, "x" },
                { "shr_a", 0, 2, "x" },
                { "shr_a", 0, 0, "y" },
                { "shr_a", 0, 0, "xy" },
                { "shr_a", 0, 0, "" },
        };
        uint8_t seen[200][RELAY_KEY_IV_SIZE];
        RelayPrivateKey other, ours;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(seen); i++) {
                _cleanup_(freep) char *data = NULL;
                _cleanup_(freep) uint8_t *blob = NULL;
                size_t size;

                assert_int_equal(payload_encrypt(PAYLOAD_AES_128_GCM, key, "x", 1, &data), 0);
                assert_int_equal(text_from_base64(data, false, &blob, &size), 0);
                memcpy(seen[i], blob, RELAY_KEY_IV_SIZE);
                assert_iv_is_new(seen, i);
        }

        memset(&ours, 1, sizeof(ours));
        memset(&other, 2, sizeof(other));
        for (size_t i = 0; i <= N_ELEMENTS(messages); i++) {
                const size_t j = i % N_ELEMENTS(messages);

                relay_private_key_derive_iv(i == j ? &ours : &other,
                                messages[j].share,
                                messages[j].generation,
                                messages[j].number,
                                messages[j].plaintext,
                                strlen(messages[j].plaintext),
                                seen[i]);
                assert_iv_is_new(seen, i);
        }
}

/* The IV comes first, the tag last, the ciphertext is as long as the plaintext, and nothing else is
 * there. */
static void c25_a_payload_is_iv_ciphertext_and_tag_in_plain_base64(void **state) {
        const json_t *list = json_object_get(vectors, "payload_positive"), *vector;
        size_t i, n = 0;

        (void) state;
        json_array_foreach(list, i, vector) {
                _cleanup_(freep) char *data = NULL;
                _cleanup_(freep) uint8_t *blob = NULL;
                uint8_t key[32], iv[12], plaintext[512], expected[1024];
                size_t plaintext_size, expected_size, size;
                PayloadAlgorithm algorithm;

                if (!vector_text(vector, "plaintext_hex"))
                        continue; /* 4 KiB, of which test-payload.c knows the rule */
                (void) vector_begin(vector);
                (void) vector_bytes(vector, "key_hex", key, sizeof(key));
                (void) vector_bytes(vector, "iv_hex", iv, sizeof(iv));
                plaintext_size =
                                vector_bytes(vector, "plaintext_hex", plaintext, sizeof(plaintext));
                assert_int_equal(payload_algorithm_from_name(
                                                 vector_text(vector, "type"), false, &algorithm),
                                0);
                assert_int_equal(payload_encrypt_with_iv(algorithm,
                                                 key,
                                                 iv,
                                                 plaintext,
                                                 plaintext_size,
                                                 NULL,
                                                 &data),
                                0);
                assert_int_equal(strspn(data,
                                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
                                                 "xyz0123456789+/="),
                                strlen(data));
                assert_int_equal(strlen(data) % 4, 0);
                assert_int_equal(text_from_base64(data, false, &blob, &size), 0);
                assert_int_equal(size, 12 + plaintext_size + 16);
                assert_memory_equal(blob, iv, 12);
                expected_size = vector_bytes(vector, "blob_hex", expected, sizeof(expected));
                assert_int_equal(size, expected_size);
                assert_memory_equal(blob, expected, size);
                n++;
        }
        assert_int_equal(n, 6);
}

static void c26_each_way_to_be_wrong_has_its_own_name_and_no_plaintext(void **state) {
        static const uint8_t key[32] = { 1 };
        _cleanup_(freep) char *good = NULL, *changed = NULL;
        struct {
                const char *type, *data;
                size_t key_size;
                int r;
        } cases[] = {
                { "AEAD_CHACHA20_POLY1305", NULL, 16, PAYLOAD_E_TYPE },
                { "AES128", NULL, 16, PAYLOAD_E_TYPE },
                { "AEAD_AES_128_GCM", NULL, 32, PAYLOAD_E_KEY_LENGTH },
                { "AEAD_AES_256_GCM", NULL, 16, PAYLOAD_E_KEY_LENGTH },
                { "AEAD_AES_128_GCM", "?", 16, PAYLOAD_E_BASE64 },
                { "AEAD_AES_128_GCM", "AAAA AAAA", 16, PAYLOAD_E_BASE64 },
                { "AEAD_AES_128_GCM", "", 16, PAYLOAD_E_TOO_SHORT },
                { "AEAD_AES_128_GCM",
                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                16,
                                PAYLOAD_E_TOO_SHORT },
                { "AEAD_AES_128_GCM",
                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
                                16,
                                PAYLOAD_E_AUTH },
                { "AEAD_AES_128_GCM", "changed", 16, PAYLOAD_E_AUTH },
        };

        (void) state;
        assert_int_equal(payload_encrypt(PAYLOAD_AES_128_GCM, key, "content", 7, &good), 0);
        changed = strdup(good);
        changed[18] = changed[18] == 'A' ? 'B' : 'A';
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Plaintext plaintext = PLAINTEXT_NULL;
                const char *data = !cases[i].data                    ? good
                                   : streq(cases[i].data, "changed") ? changed
                                                                     : cases[i].data;

                print_message("# case %zu\n", i);
                assert_int_equal(payload_decrypt(cases[i].type,
                                                 data,
                                                 false,
                                                 key,
                                                 cases[i].key_size,
                                                 &plaintext),
                                cases[i].r);
                assert_null(plaintext.data);
        }
        for (int i = PAYLOAD_E_TYPE; i <= PAYLOAD_E_PROVISIONING; i++)
                for (int j = PAYLOAD_E_TYPE; j < i; j++)
                        assert_string_not_equal(payload_error_name((PayloadError) i),
                                        payload_error_name((PayloadError) j));
}

static void c27_what_is_carried_has_a_format_and_content(void **state) {
        static const struct {
                const char *text;
                int r;
        } cases[] = {
                { "{\"format\":\"x\",\"content\":{}}", 0 },
                { "{\"format\":\"x\",\"content\":{},\"unknown\":{\"a\":[]}}", 0 },
                { "{\"format\":\"x\"}", PAYLOAD_E_PROVISIONING },
                { "{\"content\":{}}", PAYLOAD_E_PROVISIONING },
                { "{\"format\":\"x\",\"content\":[]}", PAYLOAD_E_PROVISIONING },
                { "{\"format\":null,\"content\":{}}", PAYLOAD_E_PROVISIONING },
                { "\"x\"", PAYLOAD_E_PROVISIONING },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                json_auto_t *object = NULL;

                assert_int_equal(payload_provisioning_read(
                                                 cases[i].text, strlen(cases[i].text), &object),
                                cases[i].r);
                assert_true((object != NULL) == (cases[i].r == 0));
        }
}

int main(int argc, char **argv) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(c23_both_algorithms_open_what_they_sealed),
                cmocka_unit_test(c24_no_two_messages_share_an_iv),
                cmocka_unit_test(c25_a_payload_is_iv_ciphertext_and_tag_in_plain_base64),
                cmocka_unit_test(c26_each_way_to_be_wrong_has_its_own_name_and_no_plaintext),
                cmocka_unit_test(c27_what_is_carried_has_a_format_and_content),
        };

        if (secret_init() < 0 || vectors_load(argc, argv) != 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
