/* Keys: what is written is read, what was tampered with is not, and Secrets are the same tomorrow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>

#include "cleanup.h"
#include "key-file.h"
#include "text.h"

static void what_is_written_is_read(void **state) {
        _cleanup_(relay_private_keys_freep) RelayPrivateKeys *keys = NULL, *again = NULL;
        _cleanup_(secret_done) Secret content = SECRET_NULL;

        (void) state;
        assert_int_equal(relay_private_keys_new(&keys), 0);
        relay_private_keys_add(keys, 1000);
        relay_private_keys_add(keys, 2000);
        assert_int_equal(relay_private_keys_write(keys, &content), 0);
        assert_int_equal(relay_private_keys_read(&content, &again), 0);
        assert_int_equal(again->n_keys, 2);
        assert_memory_equal(keys, again, sizeof(*keys));
}

static void a_rotation_keeps_one_older_key(void **state) {
        _cleanup_(relay_private_keys_freep) RelayPrivateKeys *keys = NULL;
        char first[RELAY_KEY_ID_SIZE], second[RELAY_KEY_ID_SIZE];

        (void) state;
        assert_int_equal(relay_private_keys_new(&keys), 0);
        relay_private_keys_add(keys, 1000);
        memcpy(first, keys->keys[0].kid, sizeof(first));
        relay_private_keys_add(keys, 2000);
        memcpy(second, keys->keys[0].kid, sizeof(second));
        assert_non_null(relay_private_keys_find(keys, first));
        relay_private_keys_add(keys, 3000);
        assert_int_equal(keys->n_keys, 2);
        assert_non_null(relay_private_keys_find(keys, second));
        assert_null(relay_private_keys_find(keys, first));
        assert_true(sodium_is_zero((const uint8_t *) &keys->keys[2], 2 * sizeof(keys->keys[0])));
}

static void the_public_file_holds_nothing_secret_and_is_signed(void **state) {
        _cleanup_(relay_private_keys_freep) RelayPrivateKeys *keys = NULL;
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        RelayPublicKeys public;

        (void) state;
        assert_int_equal(relay_private_keys_new(&keys), 0);
        relay_private_keys_add(keys, 1000);
        relay_private_keys_add(keys, 2000);
        assert_int_equal(relay_private_keys_write_public(keys, &content), 0);
        assert_int_equal(relay_public_keys_read(content.data, content.size, &public), 0);
        assert_int_equal(public.n_keys, 2);
        for (size_t i = 0; i < 2; i++) {
                _cleanup_(freep) char *secret = text_base64(keys->keys[i].secret, RELAY_KEY_SIZE);

                assert_string_equal(public.keys[i].kid, keys->keys[i].kid);
                assert_memory_equal(public.keys[i].key, keys->keys[i].public, RELAY_KEY_SIZE);
                assert_null(strstr((const char *) content.data, secret));
        }
        assert_ptr_equal(relay_public_keys_current(&public, 1500), &public.keys[0]);
        assert_null(relay_public_keys_current(&public, 2001));
        assert_ptr_equal(relay_public_keys_find(&public, keys->keys[1].kid), &public.keys[1]);
        assert_null(relay_public_keys_find(&public, "0000000000000000"));
}

/* Every byte that means something: a changed one must be noticed. */
static void a_changed_public_file_is_refused(void **state) {
        _cleanup_(relay_private_keys_freep) RelayPrivateKeys *keys = NULL;
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        RelayPublicKeys public;
        size_t n_refused = 0, n_accepted = 0;

        (void) state;
        assert_int_equal(relay_private_keys_new(&keys), 0);
        relay_private_keys_add(keys, 1795262400);
        assert_int_equal(relay_private_keys_write_public(keys, &content), 0);
        for (size_t i = 0; i < content.size; i++) {
                uint8_t old = content.data[i];
                bool space = old == ' ' || old == '\n';

                content.data[i] = old == 'A' ? 'B' : old == '1' ? '2' : (uint8_t) (old ^ 1);
                if (relay_public_keys_read(content.data, content.size, &public) < 0)
                        n_refused++;
                else if (!space)
                        n_accepted++;
                content.data[i] = old;
        }
        assert_int_equal(n_accepted, 0);
        assert_true(n_refused > 250);
}

static void a_damaged_private_file_is_refused(void **state) {
        static const char *const cases[] = {
                "",
                "{}",
                "[]",
                "{\"v\":2,\"signing_seed\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
                "\"keys\":[]}",
                "{\"v\":1,\"signing_seed\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
                "\"keys\":[]}",
                "{\"v\":1,\"signing_seed\":\"AAAA\",\"keys\":[{}]}",
                "{\"v\":1,\"signing_seed\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
                "\"keys\":[{"
                "\"kid\":\"0000000000000000\",\"secret\":"
                "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
                "\"not_after\":1}]}",
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(relay_private_keys_freep) RelayPrivateKeys *keys = NULL;
                _cleanup_(secret_done) Secret content = SECRET_NULL;

                assert_int_equal(secret_copy(&content, cases[i], strlen(cases[i])), 0);
                assert_int_equal(relay_private_keys_read(&content, &keys), -EBADMSG);
                assert_null(keys);
        }
}

/* The same value in every release: a repeated create after an upgrade must mean the same Secret.
 * The expected bytes were computed apart, with Python's hashlib.blake2b. */
static void secrets_never_change(void **state) {
        RelayPrivateKey key = { .kid = "" };
        uint8_t secret[32];
        char hex[65];

        (void) state;
        memset(key.secret, 0x42, sizeof(key.secret));
        relay_private_key_derive(&key, "shr_01jd0000000000000000000000", 0, secret, 16);
        text_hex(secret, 16, hex);
        assert_string_equal(hex, "3d5ef384e17db104e1280c3c0e799f65");
        relay_private_key_derive(&key, "shr_01jd0000000000000000000000", 1, secret, 32);
        text_hex(secret, 32, hex);
        assert_string_equal(
                        hex, "2e3ba08cf309b97218db740af4d566bed9d5dabe43dd654673fe21ea71fe49ff");
}

static void secrets_of_other_shares_generations_and_keys_differ(void **state) {
        static const struct {
                uint8_t key;
                const char *share;
                uint64_t generation;
                size_t size;
        } cases[] = {
                { 1, "shr_a", 0, 16 },
                { 1, "shr_a", 1, 16 },
                { 1, "shr_a", 256, 16 },
                { 1, "shr_b", 0, 16 },
                { 2, "shr_a", 0, 16 },
                { 1, "shr_a", 0, 32 },
        };
        uint8_t secrets[N_ELEMENTS(cases)][32];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                RelayPrivateKey key = { .kid = "" };

                memset(key.secret, cases[i].key, sizeof(key.secret));
                relay_private_key_derive(&key,
                                cases[i].share,
                                cases[i].generation,
                                secrets[i],
                                cases[i].size);
                for (size_t j = 0; j < i; j++)
                        assert_memory_not_equal(secrets[i], secrets[j], 16);
        }
}

/* As with the secrets: a repeated update must carry the same octets. */
static void ivs_never_change(void **state) {
        RelayPrivateKey key = { .kid = "" };
        uint8_t iv[RELAY_KEY_IV_SIZE];
        char hex[25];

        (void) state;
        memset(key.secret, 0x42, sizeof(key.secret));
        relay_private_key_derive_iv(&key, "shr_01jd0000000000000000000000", 0, 0, "{}", 2, iv);
        text_hex(iv, sizeof(iv), hex);
        assert_string_equal(hex, "1f7b215028b0a38afad24f31");
        relay_private_key_derive_iv(&key, "shr_01jd0000000000000000000000", 1, 258, "plain", 5, iv);
        text_hex(iv, sizeof(iv), hex);
        assert_string_equal(hex, "a94e90160afc6773e397086f");
}

static void ivs_of_other_shares_generations_numbers_plaintexts_and_keys_differ(void **state) {
        static const struct {
                uint8_t key;
                const char *share;
                uint64_t generation, number;
                const char *plaintext;
        } cases[] = {
                /* clang-format off */
                { 1, "shr_a", 0, 0, "plain" },
                { 1, "shr_a", 0, 2, "plain" },
                { 1, "shr_a", 0, 256, "plain" },
                { 1, "shr_a", 1, 0, "plain" },
                { 1, "shr_b", 0, 0, "plain" },
                { 1, "shr_a", 0, 0, "plaim" },
                { 1, "shr_a", 0, 0, "" },
                { 2, "shr_a", 0, 0, "plain" },
                /* clang-format on */
        };
        uint8_t ivs[N_ELEMENTS(cases)][RELAY_KEY_IV_SIZE];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                RelayPrivateKey key = { .kid = "" };

                memset(key.secret, cases[i].key, sizeof(key.secret));
                relay_private_key_derive_iv(&key,
                                cases[i].share,
                                cases[i].generation,
                                cases[i].number,
                                cases[i].plaintext,
                                strlen(cases[i].plaintext),
                                ivs[i]);
                for (size_t j = 0; j < i; j++)
                        assert_memory_not_equal(ivs[i], ivs[j], sizeof(ivs[i]));
        }
}

static void our_own_message_is_known_by_its_iv(void **state) {
        static const char share[] = "shr_a";
        RelayPrivateKey key = { .kid = "" };
        uint8_t iv[RELAY_KEY_IV_SIZE];

        (void) state;
        relay_private_key_derive_iv(&key, share, 0, 4, "plain", 5, iv);
        assert_true(relay_private_key_is_own_iv(&key, share, 0, 5, "plain", 5, iv));
        assert_true(relay_private_key_is_own_iv(&key, share, 0, 65535, "plain", 5, iv));
        relay_private_key_derive_iv(&key, share, 0, 3, "plain", 5, iv);
        assert_true(relay_private_key_is_own_iv(&key, share, 0, 4, "plain", 5, iv));
        relay_private_key_derive_iv(&key, share, 0, 4, "plain", 5, iv);
        assert_false(relay_private_key_is_own_iv(&key, share, 0, 4, "plain", 5, iv));
        assert_false(relay_private_key_is_own_iv(&key, share, 0, 0, "plain", 5, iv));
        assert_false(relay_private_key_is_own_iv(&key, share, 1, 5, "plain", 5, iv));
        assert_false(relay_private_key_is_own_iv(&key, share, 0, 5, "plaim", 5, iv));
        iv[11] ^= 1;
        assert_false(relay_private_key_is_own_iv(&key, share, 0, 5, "plain", 5, iv));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_written_is_read),
                cmocka_unit_test(a_rotation_keeps_one_older_key),
                cmocka_unit_test(the_public_file_holds_nothing_secret_and_is_signed),
                cmocka_unit_test(a_changed_public_file_is_refused),
                cmocka_unit_test(a_damaged_private_file_is_refused),
                cmocka_unit_test(secrets_never_change),
                cmocka_unit_test(secrets_of_other_shares_generations_and_keys_differ),
                cmocka_unit_test(ivs_never_change),
                cmocka_unit_test(
                                ivs_of_other_shares_generations_numbers_plaintexts_and_keys_differ),
                cmocka_unit_test(our_own_message_is_known_by_its_iv),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
