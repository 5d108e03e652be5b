/* Facts as people type them, and the verifier that tenants compute as well. */
#include "fact.h"

#include <sodium.h>

#include "../base/test.h"

#define READS(text, expected)                                                        \
        do {                                                                         \
                char normalised[FACT_SIZE];                                          \
                assert_int_equal(fact_normalise(text, strlen(text), normalised), 0); \
                assert_string_equal(normalised, expected);                           \
        } while (0)

static void what_people_type_comes_to_one_form(void **state) {
        READS("4711", "4711");
        READS(" 47-11 ab. ", "4711AB");
        READS("M\u00fcller", "MULLER");
        READS("Mu\u0308ller", "MULLER");
        READS("O\u2019Brien", "OBRIEN");
        READS("Stra\u00dfe", "STRASSE");
        READS("\uff14\uff17\uff11\uff11", "4711"); /* full width */
        READS("\ufb01sh", "FISH");                 /* a ligature */
        READS("Nu\u00f1ez", "NUNEZ");
}

/* Signs that are letters put together, or small and raised: Python's unicodedata says the same. */
static void signs_are_taken_apart_before_their_letters_are_made_large(void **state) {
        static const char *const pairs[][2] = {
                { "N\u00ba 47", "NO47" },
                { "2\u1d43", "2A" },
                { "4 \u338f", "4KG" },
                { "\ufb01 \u24d0 \uff41", "FIAA" },
                { "\u017fo\u00df", "SOSS" },
        };
        char normalised[FACT_SIZE];

        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                assert_int_equal(fact_normalise(pairs[i][0], strlen(pairs[i][0]), normalised), 0);
                assert_string_equal(normalised, pairs[i][1]);
        }
}

static void what_has_nothing_in_it_is_refused(void **state) {
        char normalised[FACT_SIZE], longest[9 * FACT_SIZE];

        assert_int_equal(fact_normalise("", 0, normalised), FACT_E_EMPTY);
        assert_int_equal(fact_normalise(" -. ", 4, normalised), FACT_E_EMPTY);
        assert_int_equal(fact_normalise("\xff\xfe", 2, normalised), FACT_E_FORM);
        memset(longest, 'a', sizeof(longest));
        assert_int_equal(fact_normalise(longest, FACT_SIZE - 1, normalised), 0);
        assert_int_equal(strlen(normalised), FACT_SIZE - 1);
        assert_int_equal(fact_normalise(longest, FACT_SIZE, normalised), FACT_E_LONG);
        assert_string_equal(normalised, "");
        assert_int_equal(fact_normalise(longest, sizeof(longest), normalised), FACT_E_LONG);
}

/* Computed with Python's hashlib: blake2b(b"vestibule fact v1" + b"4711AB", key=bytes(range(32)),
 * digest_size=32). */
static void the_verifier_is_that_of_another_implementation(void **state) {
        static const char expected[] =
                        "7aec7b5fc09d1e82bebecf707ce61132fbce24be590b8c35a56dcb5ee119151b";
        uint8_t key[FACT_KEY_SIZE], verifier[FACT_VERIFIER_SIZE];
        char text[2 * FACT_VERIFIER_SIZE + 1];

        for (size_t i = 0; i < sizeof(key); i++)
                key[i] = (uint8_t) i;
        fact_verifier(key, "4711AB", verifier);
        sodium_bin2hex(text, sizeof(text), verifier, sizeof(verifier));
        assert_string_equal(text, expected);
}

static void a_tag_before_the_fact_is_left_out(void **state) {
        assert_string_equal(fact_after_tag("7KQ4 4711", "7KQ4"), "4711");
        assert_string_equal(fact_after_tag("#7kq4: 4711", "7KQ4"), "4711");
        assert_string_equal(fact_after_tag("7KQ4", "7KQ4"), "7KQ4");
        assert_string_equal(fact_after_tag("7KQ5 4711", "7KQ4"), "7KQ5 4711");
        assert_string_equal(fact_after_tag("4711", ""), "4711");
        assert_string_equal(fact_after_tag("", "7KQ4"), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_people_type_comes_to_one_form),
                cmocka_unit_test(signs_are_taken_apart_before_their_letters_are_made_large),
                cmocka_unit_test(what_has_nothing_in_it_is_refused),
                cmocka_unit_test(the_verifier_is_that_of_another_implementation),
                cmocka_unit_test(a_tag_before_the_fact_is_left_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
