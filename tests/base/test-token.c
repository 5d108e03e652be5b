/* Tenants' tokens: what is mistyped, cut or foreign is told apart before anything is compared. */
#include "test.h"

#include <sodium.h>

#include "token.h"

static void a_fresh_token_is_read_back(void **state) {
        char token[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE];
        uint8_t hash[TOKEN_HASH_SIZE], expected[TOKEN_HASH_SIZE];

        token_make(token);
        assert_int_equal(strlen(token), TOKEN_TEXT_SIZE - 1);
        assert_int_equal(token_parse(token, id, hash), 0);
        assert_int_equal(strlen(id), 8);
        assert_memory_equal(id, token + 8, 8);
        assert_int_equal(crypto_generichash(expected,
                                         sizeof(expected),
                                         (const uint8_t *) token + 17,
                                         32,
                                         NULL,
                                         0),
                        0);
        assert_memory_equal(hash, expected, sizeof(hash));
}

static void two_fresh_tokens_differ(void **state) {
        char a[TOKEN_TEXT_SIZE], b[TOKEN_TEXT_SIZE];

        token_make(a);
        token_make(b);
        assert_memory_not_equal(a + 8, b + 8, 8);
        assert_memory_not_equal(a + 17, b + 17, 32);
}

static void no_symbol_of_a_token_can_be_changed(void **state) {
        char token[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE] = "before!";
        uint8_t hash[TOKEN_HASH_SIZE];

        token_make(token);
        for (size_t i = 0; i < TOKEN_TEXT_SIZE - 1; i++) {
                char kept = token[i];

                token[i] = kept == 'b' ? 'c' : 'b';
                if (token_parse(token, id, hash) != -EBADMSG)
                        fail_msg("symbol %zu was changed and the token taken", i);
                token[i] = kept;
        }
        assert_string_equal(id, "before!");
        assert_int_equal(token_parse(token, id, hash), 0);
}

static void a_token_cannot_be_cut_or_lengthened(void **state) {
        char token[TOKEN_TEXT_SIZE + 1] = { 0 }, id[TOKEN_ID_SIZE];
        uint8_t hash[TOKEN_HASH_SIZE];

        token_make(token);
        token[TOKEN_TEXT_SIZE - 1] = 'a';
        assert_int_equal(token_parse(token, id, hash), -EBADMSG);
        for (size_t n = TOKEN_TEXT_SIZE - 1; n-- > 0;) {
                token[n] = 0;
                assert_int_equal(token_parse(token, id, hash), -EBADMSG);
        }
}

static void an_entry_matches_its_token_alone(void **state) {
        char token[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE], entry[TOKEN_ENTRY_SIZE];
        uint8_t hash[TOKEN_HASH_SIZE];

        token_make(token);
        assert_int_equal(token_parse(token, id, hash), 0);
        token_entry(id, hash, entry);
        assert_true(token_entry_is_valid(entry));
        assert_true(token_entry_matches(entry, id, hash));
        for (size_t i = 0; i < TOKEN_HASH_SIZE; i++) {
                hash[i] ^= 1;
                assert_false(token_entry_matches(entry, id, hash));
                hash[i] ^= 1;
        }
        id[7] = (char) (id[7] == '0' ? '1' : '0');
        assert_false(token_entry_matches(entry, id, hash));
}

static void an_id_of_another_length_matches_nothing(void **state) {
        static const uint8_t hash[TOKEN_HASH_SIZE] = { 7 };
        char entry[TOKEN_ENTRY_SIZE];

        token_entry("a1b2c3d4", hash, entry);
        assert_true(token_entry_matches(entry, "a1b2c3d4", hash));
        assert_false(token_entry_matches(entry, "a1b2c3d45", hash));
        assert_false(token_entry_matches(entry, "a1b2c3d", hash));
        assert_false(token_entry_matches(entry, "", hash));
}

static void an_entry_shows_neither_secret_nor_its_hash(void **state) {
        char token[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE], entry[TOKEN_ENTRY_SIZE], plain[64];
        uint8_t hash[TOKEN_HASH_SIZE];

        token_make(token);
        assert_int_equal(token_parse(token, id, hash), 0);
        token_entry(id, hash, entry);
        assert_non_null(sodium_bin2base64(
                        plain, sizeof(plain), hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL));
        assert_null(strstr(entry, plain));
        token[49] = 0;
        assert_null(strstr(entry, token + 17));
}

static void the_entry_s_key_is_never_changed(void **state) {
        static const uint8_t hash[TOKEN_HASH_SIZE] = { 0 };
        char entry[TOKEN_ENTRY_SIZE];

        /* python3: base64(hashlib.blake2b(bytes(32), key=b"vestibule token verifier v1",
         * digest_size=32)) */
        token_entry("00000000", hash, entry);
        assert_string_equal(entry, "00000000:+r/cV/nEWyidduMXU/IYCzDQhz4yN4/S9IAehIYWNak=");
}

static void what_is_nearly_an_entry_is_refused(void **state) {
        static const char *const bad[] = {
                "",
                "a1b2c3d4",
                "a1b2c3d4:",
                "a1b2c3d4:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "a1b2c3d4:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
                "a1b2c3d4:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
                "a1b2c3d4:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "A1B2C3D4:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                "a1b2c3d4;AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                "a1b2c3d4:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-=",
                "a1b2c3d4:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
        };

        assert_true(token_entry_is_valid("a1b2c3d4:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                if (token_entry_is_valid(bad[i]))
                        fail_msg("`%s` was taken for an entry", bad[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_fresh_token_is_read_back),
                cmocka_unit_test(two_fresh_tokens_differ),
                cmocka_unit_test(no_symbol_of_a_token_can_be_changed),
                cmocka_unit_test(a_token_cannot_be_cut_or_lengthened),
                cmocka_unit_test(an_entry_matches_its_token_alone),
                cmocka_unit_test(an_id_of_another_length_matches_nothing),
                cmocka_unit_test(an_entry_shows_neither_secret_nor_its_hash),
                cmocka_unit_test(the_entry_s_key_is_never_changed),
                cmocka_unit_test(what_is_nearly_an_entry_is_refused),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
