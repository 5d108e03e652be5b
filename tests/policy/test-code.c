/* Codes: the published vectors, and for the check symbols not samples but every slip of the kinds
 * that they promise to find. */
#include "code.h"

#include <sodium.h>

#include "../base/test.h"

typedef struct Source {
        const uint8_t *bytes;
        size_t size, used;
} Source;

/* Gives out bytes in order, from the start again at the end. */
static void from_bytes(void *ret, size_t size, void *userdata) {
        Source *source = userdata;

        for (size_t i = 0; i < size; i++)
                ((uint8_t *) ret)[i] = source->bytes[source->used++ % source->size];
}

static void from_system(void *ret, size_t size, void *userdata) {
        (void) userdata;
        randombytes_buf(ret, size);
}

static void the_published_vectors_hold(void **state) {
        static const struct {
                CodeFormat format;
                const char *symbols, *code;
        } vectors[] = {
                { CODE_X8, "7KQ4XMP", "7KQ4XMPF" },
                { CODE_X8, "0000001", "0000001J" },
                { CODE_X8, "ZZZZZZZ", "ZZZZZZZE" },
                { CODE_X8, "1234567", "1234567T" },
                { CODE_D9, "12345678", "123456786" },
                { CODE_D9, "98765432", "987654329" },
        };

        for (size_t i = 0; i < N_ELEMENTS(vectors); i++) {
                char code[CODE_SIZE] = { 0 };

                (void) snprintf(code,
                                sizeof(code),
                                "%s%c",
                                vectors[i].symbols,
                                code_check_symbol(vectors[i].format, vectors[i].symbols));
                assert_string_equal(code, vectors[i].code);
                assert_true(code_check(vectors[i].format, vectors[i].code));
        }
}

static void every_wrong_symbol_and_every_swap_of_neighbours_is_found(void **state) {
        for (CodeFormat format = 0; format < CODE_FORMAT_MAX; format++) {
                const char *symbols = format == CODE_D9 ? "0123456789"
                                                        : "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
                size_t n = code_length(format), n_slips = 0;

                for (unsigned round = 0; round < 2000; round++) {
                        char code[CODE_SIZE], slip[CODE_SIZE];

                        assert_int_equal(code_generate(format, from_system, NULL, code), 0);
                        for (size_t i = 0; i < n; i++)
                                for (const char *s = symbols; *s; s++) {
                                        memcpy(slip, code, sizeof(slip));
                                        slip[i] = *s;
                                        assert_int_equal(code_check(format, slip), *s == code[i]);
                                        n_slips += *s != code[i];
                                }
                        for (size_t i = 0; i + 1 < n; i++) {
                                memcpy(slip, code, sizeof(slip));
                                slip[i] = code[i + 1];
                                slip[i + 1] = code[i];
                                assert_int_equal(code_check(format, slip), code[i] == code[i + 1]);
                                n_slips += code[i] != code[i + 1];
                        }
                }
                assert_true(n_slips > 100000);
        }
}

/* Damm's check is a chain over pairs of interim digit and symbols, and the sum over GF(32) is
 * linear: these two loops are every case there is, not a sample of codes. */
static void no_pair_of_symbols_at_any_place_escapes_the_check(void **state) {
        for (CodeFormat format = 0; format < CODE_FORMAT_MAX; format++) {
                const char *symbols = format == CODE_D9 ? "0123456789"
                                                        : "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
                size_t n = code_length(format), n_symbols = strlen(symbols);

                for (size_t place = 0; place + 2 < n; place++)
                        for (size_t a = 0; a < n_symbols; a++)
                                for (size_t b = 0; b < n_symbols; b++)
                                        for (size_t lead = 0; lead < (format == CODE_D9 ? 10u : 1u);
                                                        lead++) {
                                                char code[CODE_SIZE] = { 0 }, other[CODE_SIZE];

                                                memset(code, symbols[0], n - 1);
                                                if (place > 0)
                                                        code[0] = symbols[lead];
                                                code[place] = symbols[a];
                                                code[place + 1] = symbols[b];
                                                memcpy(other, code, sizeof(other));
                                                other[place] = symbols[b];
                                                other[place + 1] = symbols[a];
                                                assert_int_equal(
                                                                code_check_symbol(format, code) ==
                                                                                code_check_symbol(
                                                                                                format,
                                                                                                other),
                                                                a == b);
                                        }
        }
}

static void what_people_type_becomes_canonical(void **state) {
        static const struct {
                CodeFormat format;
                const char *text, *code;
        } rows[] = {
                { CODE_D9, "123456786", "123456786" },
                { CODE_D9, "123-456-786", "123456786" },
                { CODE_D9, " 123 456 786\r\n", "123456786" },
                { CODE_D9, "123.456.786.", "123456786" },
                { CODE_D9,
                                "\"123\xe2\x80\x93"
                                "456\xe2\x80\x94"
                                "786\"",
                                "123456786" },
                { CODE_D9,
                                "\xe2\x80\x9e"
                                "123456786\xe2\x80\x9c",
                                "123456786" },
                { CODE_D9,
                                "\xc2\xab"
                                "123456786\xc2\xbb",
                                "123456786" },
                { CODE_D9,
                                "1 2\xc2\xa0"
                                "3\xe2\x80\x89"
                                "4 5 6 7 8 6",
                                "123456786" },
                { CODE_D9,
                                "\xe2\x80\x8b"
                                "123456786\xef\xbb\xbf",
                                "123456786" },
                { CODE_D9,
                                "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x93\xef\xbc\x94\xef\xbc\x95\xef"
                                "\xbc\x96"
                                "\xef\xbc\x97\xef\xbc\x98\xef\xbc\x96",
                                "123456786" },
                { CODE_D9,
                                "\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4\xd9\xa5\xd9\xa6\xd9\xa7\xd9\xa8"
                                "\xd9\xa6",
                                "123456786" },
                { CODE_D9,
                                "\xe0\xa5\xa7\xe0\xa5\xa8\xe0\xa5\xa9\xe0\xa5\xaa\xe0\xa5\xab\xe0"
                                "\xa5\xac"
                                "\xe0\xa5\xad\xe0\xa5\xae\xe0\xa5\xac",
                                "123456786" },
                { CODE_D9,
                                "1\xef\xb8\x8f\xe2\x83\xa3"
                                "23456786",
                                "123456786" },
                { CODE_X8, "7KQ4XMPF", "7KQ4XMPF" },
                { CODE_X8, "7kq4-xmpf", "7KQ4XMPF" },
                { CODE_X8, "7KQ4 XMPF.", "7KQ4XMPF" },
                { CODE_X8, "OoOoOoi j", "0000001J" },
                { CODE_X8, "000000lj", "0000001J" },
                { CODE_X8,
                                "\xef\xbc\x97\xef\xbc\xab\xef\xbd\x91"
                                "4xmpf",
                                "7KQ4XMPF" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                char code[CODE_SIZE];

                if (code_canonical(rows[i].format, rows[i].text, strlen(rows[i].text), code) != 0)
                        fail_msg("row %zu", i);
                assert_string_equal(code, rows[i].code);
        }
}

static void a_slip_is_told_apart_from_something_else(void **state) {
        char code[CODE_SIZE];

        assert_int_equal(code_canonical(CODE_D9, "123-456-789", 11, code), CODE_E_MISTYPED);
        assert_string_equal(code, "123456789");
        assert_int_equal(code_canonical(CODE_X8, "7KQ4-XMP9", 9, code), CODE_E_MISTYPED);
        assert_string_equal(code, "7KQ4XMP9");
}

static void what_is_no_code_is_refused_and_leaves_nothing(void **state) {
        static const struct {
                CodeFormat format;
                const char *text;
                size_t size;
        } rows[] = {
                { CODE_D9, "", 0 },
                { CODE_D9, "12345678", 8 },
                { CODE_D9, "1234567866", 10 },
                { CODE_D9, "12345678O", 9 },
                { CODE_D9, "+23456786", 9 },
                { CODE_D9, "123456786\0", 10 },
                { CODE_D9, "12345678\xff", 9 },
                { CODE_D9, "12345678\xe2\x80", 10 },
                { CODE_D9, "123,456,786", 11 },
                { CODE_X8, "7KQ4XMPU", 8 },
                { CODE_X8, "7KQ4XMP", 7 },
                { CODE_X8, "7KQ4XMP\xc3\xa4", 9 },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                char code[CODE_SIZE];

                memset(code, 'x', sizeof(code));
                if (code_canonical(rows[i].format, rows[i].text, rows[i].size, code) != CODE_E_FORM)
                        fail_msg("row %zu", i);
                for (size_t k = 0; k < sizeof(code); k++)
                        assert_int_equal(code[k], 0);
        }
}

static void a_check_wants_exactly_one_canonical_code(void **state) {
        assert_false(code_check(CODE_D9, ""));
        assert_false(code_check(CODE_D9, "12345678"));
        assert_false(code_check(CODE_D9, "1234567866"));
        assert_false(code_check(CODE_X8, "7kq4xmpf"));
        assert_false(code_check(CODE_X8, "7KQ4XMPI"));
        assert_int_equal(code_check_symbol(CODE_D9, "1234567"), 0);
        assert_int_equal(code_check_symbol(CODE_D9, "123456789"), 0);
        assert_int_equal(code_check_symbol(CODE_X8, "7KQ4XM-"), 0);
}

static void a_generated_code_is_canonical_and_checks(void **state) {
        for (CodeFormat format = 0; format < CODE_FORMAT_MAX; format++)
                for (unsigned i = 0; i < 10000; i++) {
                        char code[CODE_SIZE], shown[CODE_DISPLAY_SIZE], again[CODE_SIZE];

                        assert_int_equal(code_generate(format, from_system, NULL, code), 0);
                        assert_int_equal(strlen(code), code_length(format));
                        assert_true(code_check(format, code));
                        code_display(format, code, shown);
                        assert_int_equal(code_canonical(format, shown, strlen(shown), again), 0);
                        assert_string_equal(again, code);
                }
}

static void bytes_become_symbols_without_bias(void **state) {
        unsigned count[2][256] = { { 0 } };
        uint8_t all[256];
        Source source = { all, sizeof(all), 0 };

        for (unsigned i = 0; i < sizeof(all); i++)
                all[i] = (uint8_t) (i * 167); /* every byte once, in no order that counts */

        /* Rounds of every byte once: 7 and 8 symbols a code, so that both divide what is accepted.
         */
        for (unsigned i = 0; i < 7 * 256; i++) {
                char code[CODE_SIZE];

                assert_int_equal(code_generate(CODE_X8, from_bytes, &source, code), 0);
                for (size_t k = 0; k < 7; k++)
                        count[0][(uint8_t) code[k]]++;
        }
        for (unsigned i = 0; i < 32; i++)
                assert_int_equal(count[0][(uint8_t) "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[i]],
                                7 * 7 * 8);

        source.used = 0;
        for (unsigned i = 0; i < 8 * 250; i++) {
                char code[CODE_SIZE];

                assert_int_equal(code_generate(CODE_D9, from_bytes, &source, code), 0);
                for (size_t k = 0; k < 8; k++)
                        count[1][(uint8_t) code[k]]++;
        }
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(count[1]['0' + i], 8 * 8 * 25);
}

static void codes_that_people_guess_first_are_not_made(void **state) {
        static const uint8_t bytes[] = {
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7, /* all equal */
                1,
                2,
                3,
                4,
                5,
                6,
                7,
                8, /* up */
                5,
                6,
                7,
                8,
                9,
                0,
                1,
                2, /* up, around the end */
                9,
                8,
                7,
                6,
                5,
                4,
                3,
                2, /* down */
                2,
                1,
                0,
                9,
                8,
                7,
                6,
                5, /* down, around the end */
                255,
                250,
                1,
                2,
                3,
                4,
                5,
                6,
                7,
                9, /* two bytes drawn again */
        };
        Source source = { bytes, sizeof(bytes), 0 };
        char code[CODE_SIZE];

        assert_int_equal(code_generate(CODE_D9, from_bytes, &source, code), 0);
        assert_memory_equal(code, "12345679", 8);
        assert_int_equal(source.used, sizeof(bytes));
}

static void a_source_that_is_none_is_noticed(void **state) {
        static const uint8_t zero = 0, high = 255;
        Source zeros = { &zero, 1, 0 }, highs = { &high, 1, 0 };
        char code[CODE_SIZE];

        assert_int_equal(code_generate(CODE_D9, from_bytes, &zeros, code), -EIO);
        assert_int_equal(code[0], 0);
        assert_int_equal(code_generate(CODE_D9, from_bytes, &highs, code), -EIO);
        assert_int_equal(code_generate(CODE_X8, from_bytes, &zeros, code), -EIO);
}

static void a_code_is_shown_in_groups(void **state) {
        char shown[CODE_DISPLAY_SIZE];

        code_display(CODE_D9, "123456786", shown);
        assert_string_equal(shown, "123-456-786");
        code_display(CODE_X8, "7KQ4XMPF", shown);
        assert_string_equal(shown, "7KQ4-XMPF");
        code_display(CODE_D9, "", shown);
        assert_string_equal(shown, "");
}

static void a_verifier_is_the_keyed_hash_of_all_its_parts(void **state) {
        static const char whole[] = "vestibule code v1"
                                    "reply-code"
                                    "shr_01jd2m4v9x8c7b6n5a4s3d2f1g"
                                    "123456786";
        uint8_t key[CODE_KEY_SIZE], other_key[CODE_KEY_SIZE], want[32], v[32], w[32];

        memset(key, 7, sizeof(key));
        memset(other_key, 8, sizeof(other_key));
        assert_int_equal(crypto_generichash(
                                         want, 32, (const uint8_t *) whole, strlen(whole), key, 32),
                        0);
        code_verifier(key, "reply-code", "shr_01jd2m4v9x8c7b6n5a4s3d2f1g", "123456786", v);
        assert_memory_equal(v, want, 32);
        assert_true(code_verifier_equal(v, want));

        code_verifier(other_key, "reply-code", "shr_01jd2m4v9x8c7b6n5a4s3d2f1g", "123456786", w);
        assert_false(code_verifier_equal(v, w));
        code_verifier(key, "cross-code", "shr_01jd2m4v9x8c7b6n5a4s3d2f1g", "123456786", w);
        assert_false(code_verifier_equal(v, w));
        code_verifier(key, "reply-code", "shr_01jd2m4v9x8c7b6n5a4s3d2f1h", "123456786", w);
        assert_false(code_verifier_equal(v, w));
        code_verifier(key, "reply-code", "shr_01jd2m4v9x8c7b6n5a4s3d2f1g", "123456793", w);
        assert_false(code_verifier_equal(v, w));
        for (size_t i = 0; i < 32 * 8; i++) {
                memcpy(w, v, 32);
                w[i / 8] ^= (uint8_t) (1 << i % 8);
                assert_false(code_verifier_equal(v, w));
        }
}

static void guessing_is_as_hard_as_the_design_says(void **state) {
        static const struct {
                CodeFormat format;
                unsigned attempts;
                double bits;
        } rows[] = {
                { CODE_D9, 3, 25.0 },
                { CODE_D9, 5, 24.3 },
                { CODE_D9, 9, 23.4 },
                { CODE_X8, 3, 33.4 },
                { CODE_X8, 5, 32.7 },
                { CODE_X8, 9, 31.8 },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                double bits = code_guess_bits(rows[i].format, rows[i].attempts);

                assert_true(bits > rows[i].bits - 0.05 && bits < rows[i].bits + 0.05);
        }
        assert_int_equal(code_space(CODE_D9), 100000000 - 30);
        assert_int_equal(code_space(CODE_X8), (UINT64_C(1) << 35) - 96);
}

static void formats_have_names(void **state) {
        assert_int_equal(code_format_from_name("D9"), CODE_D9);
        assert_int_equal(code_format_from_name("X8"), CODE_X8);
        assert_int_equal(code_format_from_name("D6"), CODE_FORMAT_MAX);
        assert_int_equal(code_format_from_name(NULL), CODE_FORMAT_MAX);
        assert_null(code_format_name(CODE_FORMAT_MAX));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_published_vectors_hold),
                cmocka_unit_test(every_wrong_symbol_and_every_swap_of_neighbours_is_found),
                cmocka_unit_test(no_pair_of_symbols_at_any_place_escapes_the_check),
                cmocka_unit_test(what_people_type_becomes_canonical),
                cmocka_unit_test(a_slip_is_told_apart_from_something_else),
                cmocka_unit_test(what_is_no_code_is_refused_and_leaves_nothing),
                cmocka_unit_test(a_check_wants_exactly_one_canonical_code),
                cmocka_unit_test(a_generated_code_is_canonical_and_checks),
                cmocka_unit_test(bytes_become_symbols_without_bias),
                cmocka_unit_test(codes_that_people_guess_first_are_not_made),
                cmocka_unit_test(a_source_that_is_none_is_noticed),
                cmocka_unit_test(a_code_is_shown_in_groups),
                cmocka_unit_test(a_verifier_is_the_keyed_hash_of_all_its_parts),
                cmocka_unit_test(guessing_is_as_hard_as_the_design_says),
                cmocka_unit_test(formats_have_names),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
