/* What the vault promises: what it sealed opens only in its place, and what it named it recognises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "vault.h"

static Vault *vault_of(uint8_t fill) {
        _cleanup_(secret_done) Secret root = SECRET_NULL;
        Vault *v = NULL;

        assert_int_equal(secret_new(&root, VAULT_ROOT_SIZE), 0);
        memset(root.data, fill, root.size);
        assert_int_equal(vault_new(&v, &root), 0);
        return v;
}

static void a_root_key_is_raw_or_hexadecimal(void **state) {
        static const char *const texts[] = {
                "0101010101010101010101010101010101010101010101010101010101010101",
                "0101010101010101010101010101010101010101010101010101010101010101\n",
        };
        _cleanup_(vault_freep) Vault *raw = vault_of(1);
        uint8_t expected[VAULT_CHECK_SIZE], check[VAULT_CHECK_SIZE];

        (void) state;
        vault_check_value(raw, expected);
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                _cleanup_(secret_done) Secret root = SECRET_NULL;
                _cleanup_(vault_freep) Vault *v = NULL;

                assert_int_equal(secret_copy(&root, texts[i], strlen(texts[i])), 0);
                assert_int_equal(vault_new(&v, &root), 0);
                vault_check_value(v, check);
                assert_memory_equal(check, expected, sizeof(check));
        }
}

static void another_text_is_no_root_key(void **state) {
        static const char *const texts[] = { "",
                "0",
                "01010101",
                "zz01010101010101010101010101010101010101010101010101010101010101" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                _cleanup_(secret_done) Secret root = SECRET_NULL;
                Vault *v = NULL;

                assert_int_equal(secret_copy(&root, texts[i], strlen(texts[i])), 0);
                assert_int_equal(vault_new(&v, &root), -EBADMSG);
        }
}

static void another_root_key_has_another_check_value(void **state) {
        _cleanup_(vault_freep) Vault *a = vault_of(1), *b = vault_of(2);
        uint8_t check_a[VAULT_CHECK_SIZE], check_b[VAULT_CHECK_SIZE];

        (void) state;
        vault_check_value(a, check_a);
        vault_check_value(b, check_b);
        assert_memory_not_equal(check_a, check_b, sizeof(check_a));
}

static void a_field_opens_only_in_its_place(void **state) {
        _cleanup_(vault_freep) Vault *v = vault_of(1), *other = vault_of(2);
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        uint8_t wrapped[VAULT_WRAPPED_SIZE], *sealed;
        VaultKey key, second;
        size_t size;

        (void) state;
        vault_key_make(v, 7, &key, wrapped);
        assert_int_equal(vault_key_unwrap(v, 7, wrapped, &second), 0);
        assert_memory_equal(&key, &second, sizeof(key));
        assert_int_equal(vault_key_unwrap(v, 8, wrapped, &second), VAULT_E_FORGED);
        assert_int_equal(vault_key_unwrap(other, 7, wrapped, &second), VAULT_E_FORGED);

        assert_int_equal(vault_seal(v, &key, 7, VAULT_FIELD_DETAILS, 3, "hello", 5, &sealed, &size),
                        0);
        assert_int_equal(size, 5 + VAULT_SEAL_OVERHEAD);
        assert_int_equal(vault_open(v, &key, 7, VAULT_FIELD_DETAILS, 3, sealed, size, &plain), 0);
        assert_int_equal(plain.size, 5);
        assert_string_equal((char *) plain.data, "hello");
        secret_done(&plain);

        assert_int_equal(vault_open(v, &key, 8, VAULT_FIELD_DETAILS, 3, sealed, size, &plain),
                        VAULT_E_FORGED);
        assert_int_equal(vault_open(v, &key, 7, VAULT_FIELD_PAYLOAD, 3, sealed, size, &plain),
                        VAULT_E_FORGED);
        assert_int_equal(vault_open(v, &key, 7, VAULT_FIELD_DETAILS, 4, sealed, size, &plain),
                        VAULT_E_FORGED);
        assert_int_equal(vault_open(v, NULL, 7, VAULT_FIELD_DETAILS, 3, sealed, size, &plain),
                        VAULT_E_FORGED);
        for (size_t i = 0; i < size; i++) {
                sealed[i] ^= 1;
                assert_int_equal(vault_open(v,
                                                 &key,
                                                 7,
                                                 VAULT_FIELD_DETAILS,
                                                 3,
                                                 sealed,
                                                 size,
                                                 &plain),
                                VAULT_E_FORGED);
                sealed[i] ^= 1;
                assert_int_equal(vault_open(v, &key, 7, VAULT_FIELD_DETAILS, 3, sealed, i, &plain),
                                VAULT_E_FORGED);
        }
        free(sealed);
}

static void an_id_is_recognised_and_a_forged_one_is_not(void **state) {
        static const int64_t numbers[] = { 0, 1, INT64_C(1) << 60, INT64_MAX };
        _cleanup_(vault_freep) Vault *v = vault_of(1), *other = vault_of(2);
        char text[ID_TEXT_SIZE];
        uint16_t part;
        int64_t n;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
                vault_id(v, VAULT_ID_MESSAGE, numbers[i], 513, text);
                assert_int_equal(vault_id_read(v, VAULT_ID_MESSAGE, text, &n, &part), 0);
                assert_int_equal(n, numbers[i]);
                assert_int_equal(part, 513);
                assert_int_equal(vault_id_read(other, VAULT_ID_MESSAGE, text, &n, &part),
                                VAULT_E_FORGED);
                assert_int_equal(
                                vault_id_read(v, VAULT_ID_THREAD, text, &n, &part), VAULT_E_FORGED);
                for (size_t j = 4; text[j]; j++) {
                        char kept = text[j];

                        text[j] = kept == '0' ? '1' : '0';
                        assert_int_equal(vault_id_read(v, VAULT_ID_MESSAGE, text, &n, &part),
                                        VAULT_E_FORGED);
                        text[j] = kept;
                }
        }
        assert_int_equal(vault_id_read(v, VAULT_ID_SHARE, "", &n, NULL), VAULT_E_FORGED);
        assert_int_equal(vault_id_read(v, VAULT_ID_SHARE, "shr_", &n, NULL), VAULT_E_FORGED);
}

static void an_id_of_one_kind_is_none_of_another(void **state) {
        _cleanup_(vault_freep) Vault *v = vault_of(1);
        char text[ID_TEXT_SIZE];
        int64_t n;

        (void) state;
        vault_id(v, VAULT_ID_SHARE, 5, 0, text);
        assert_int_equal(vault_id_read(v, VAULT_ID_SHARE, text, &n, NULL), 0);
        memcpy(text, "thr_", 4); /* what a tenant knows must not be what binds a reply */
        assert_int_equal(vault_id_read(v, VAULT_ID_THREAD, text, &n, NULL), VAULT_E_FORGED);
}

static void ids_sort_as_their_numbers(void **state) {
        _cleanup_(vault_freep) Vault *v = vault_of(1);
        char previous[ID_TEXT_SIZE], text[ID_TEXT_SIZE];

        (void) state;
        vault_id(v, VAULT_ID_SHARE, 1, 0, previous);
        for (int64_t n = 2; n < INT64_C(1) << 60; n *= 3) {
                vault_id(v, VAULT_ID_SHARE, n, 0, text);
                assert_true(strcmp(previous, text) < 0);
                strcpy(previous, text);
        }
}

static void claims_are_version_4_and_differ_by_share_generation_and_use(void **state) {
        _cleanup_(vault_freep) Vault *v = vault_of(1);
        char all[5][UUID_TEXT_SIZE], again[UUID_TEXT_SIZE];

        (void) state;
        vault_claim(v, 1, 0, all[0]);
        vault_claim(v, 1, 1, all[1]);
        vault_claim(v, 2, 0, all[2]);
        vault_request_id(v, 1, 0, "create", all[3]);
        vault_request_id(v, 1, 0, "delete", all[4]);
        vault_claim(v, 1, 0, again);
        assert_string_equal(all[0], again);
        for (int i = 0; i < 5; i++) {
                assert_true(text_is_uuid(all[i]));
                assert_int_equal(all[i][14], '4');
                assert_non_null(strchr("89ab", all[i][19]));
                for (int j = 0; j < i; j++)
                        assert_string_not_equal(all[i], all[j]);
        }
}

static void blind_indexes_do_not_run_together(void **state) {
        _cleanup_(vault_freep) Vault *v = vault_of(1);
        uint8_t a[VAULT_INDEX_SIZE], b[VAULT_INDEX_SIZE];

        (void) state;
        vault_index_pair(v, "ab", "c", a);
        vault_index_pair(v, "a", "bc", b);
        assert_memory_not_equal(a, b, sizeof(a));
        vault_index_reference(v, "ab", "c", b);
        assert_memory_not_equal(a, b, sizeof(a));
        vault_index_pair(v, "ab", "c", b);
        assert_memory_equal(a, b, sizeof(a));
}

static void a_tag_is_stable_and_well_formed(void **state) {
        _cleanup_(vault_freep) Vault *v = vault_of(1);
        char tag[TAG_SIZE], again[TAG_SIZE], canonical[TAG_SIZE];

        (void) state;
        for (int64_t n = 0; n < 1000; n++) {
                vault_tag(v, n, tag);
                vault_tag(v, n, again);
                assert_string_equal(tag, again);
                assert_true(tag_canonical(tag, 4, canonical));
                assert_string_equal(tag, canonical);
        }
}

static void an_answer_opens_only_with_the_key_that_asked(void **state) {
        _cleanup_(vault_freep) Vault *v = vault_of(1);
        uint8_t index[VAULT_INDEX_SIZE];
        VaultKey a, b;

        (void) state;
        vault_index_idempotency(v, "t", "p", "k", index);
        vault_key_of_answer(v, index, "k", &a);
        vault_key_of_answer(v, index, "l", &b);
        assert_memory_not_equal(&a, &b, sizeof(a));
        vault_key_of_answer(v, index, "k", &b);
        assert_memory_equal(&a, &b, sizeof(a));
}

static void an_events_tag_is_of_all_that_tells_it_from_others(void **state) {
        _cleanup_(vault_freep) Vault *v = vault_of(1), *other = vault_of(2);
        uint32_t tag = vault_event_tag(v, "adler", 1, 2, 3, 4, 5);

        (void) state;
        assert_int_equal(vault_event_tag(v, "adler", 1, 2, 3, 4, 5), tag);
        assert_int_not_equal(vault_event_tag(other, "adler", 1, 2, 3, 4, 5), tag);
        assert_int_not_equal(vault_event_tag(v, "baer", 1, 2, 3, 4, 5), tag);
        assert_int_not_equal(vault_event_tag(v, "adler", 9, 2, 3, 4, 5), tag);
        assert_int_not_equal(vault_event_tag(v, "adler", 1, 9, 3, 4, 5), tag);
        assert_int_not_equal(vault_event_tag(v, "adler", 1, 2, 9, 4, 5), tag);
        assert_int_not_equal(vault_event_tag(v, "adler", 1, 2, 3, 9, 5), tag);
        assert_int_not_equal(vault_event_tag(v, "adler", 1, 2, 3, 4, 9), tag);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_root_key_is_raw_or_hexadecimal),
                cmocka_unit_test(another_text_is_no_root_key),
                cmocka_unit_test(another_root_key_has_another_check_value),
                cmocka_unit_test(a_field_opens_only_in_its_place),
                cmocka_unit_test(an_id_is_recognised_and_a_forged_one_is_not),
                cmocka_unit_test(an_id_of_one_kind_is_none_of_another),
                cmocka_unit_test(ids_sort_as_their_numbers),
                cmocka_unit_test(claims_are_version_4_and_differ_by_share_generation_and_use),
                cmocka_unit_test(blind_indexes_do_not_run_together),
                cmocka_unit_test(a_tag_is_stable_and_well_formed),
                cmocka_unit_test(an_events_tag_is_of_all_that_tells_it_from_others),
                cmocka_unit_test(an_answer_opens_only_with_the_key_that_asked),
        };

        if (secret_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
