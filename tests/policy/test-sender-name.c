/* Names of senders: what may be in one, and which are taken for one another. */
#include "sender-name.h"

#include "../base/test.h"

static void names_that_a_house_has_are_fit(void **state) {
        static const char *const names[] = { "Hotel Adler",
                "Müller & Söhne",
                "25hours Hotel",
                "St. Moritz",
                "ΩΣ Δ",
                "O'Hara",
                "Hotel 1900",
                "Haus 12-14 (Nord)" };
        char problem[SENDER_NAME_PROBLEM_SIZE];

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (sender_name_check(names[i], problem) != 0)
                        fail_msg("%s %s", names[i], problem);
        assert_string_equal(problem, "");
}

static void names_that_could_deceive_are_refused_with_the_reason(void **state) {
        static const struct {
                const char *name, *reason;
        } rows[] = {
                { "", "has no letter" },
                { "1234", "has no letter" },
                { "Hotel  Adler", "has a space too many" },
                { " Hotel", "has a space too many" },
                { "Hotel ", "has a space too many" },
                { "adler.example", "looks like a web address" },
                { "adler.1", "looks like a web address" },
                { "adler.Ü", "looks like a web address" },
                { "WWW adler", "looks like a web address" },
                { "a//b", "looks like a web address" },
                { "a@b", "has U+0040, a character" },
                { "call 0900123", "has more than four digits in a row" },
                { "call 0900 123 45", "a number to call" },
                { "(030) 90 18 20", "a number to call" },
                { "Hotel 123-456-786", "a number to call, or a code" },
                { "https:x", "has U+003A, a character" },
                { "Hotel Адлер", "has U+0410, a letter of the script Cyrillic" },
                { "Hоtel", "has U+043E, a letter of the script Cyrillic" },
                { "АДЛЕР", "has U+0410, a letter of the script Cyrillic" },
                { "Hotel ΑΒ", "has U+0391, a letter of the script Greek" },
                { "Ηotel", "has U+0397, a letter of the script Greek" },
                { "Hotel ア", "has U+30A2, a letter of the script Katakana" },
                { "Hotel Ωmega", "mixes Latin and Greek letters" },
                { "Hotel Adler am Marktplatz", "is longer than 24 characters" },
                { "Hotel\u202eAdler", "has U+202E, a character" },
                { "Hotel\u2067Adler", "has U+2067, a character" },
                { "Hotel\u200bAdler", "has U+200B, a character" },
                { "Hotel\u00adAdler", "has U+00AD, a character" },
                { "Hotel\u00a0Adler", "has U+00A0, a character" },
                { "Ａdler", "has U+FF21, a character" },
                { "Hotel_Adler", "has U+005F, a character" },
                { "{link}", "has U+007B, a character" },
                { "A\nB", "has U+000A, a character" },
                { "A\x7f", "has U+007F, a character" },
                { "H\u00f4tel", "has U+00F4, a character" },
                { "A\xcc\x81", "has U+0301, a character" },
                { "Hotel \xc3", "is not UTF-8" },
        };
        char problem[SENDER_NAME_PROBLEM_SIZE];

        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                if (sender_name_check(rows[i].name, problem) != SENDER_NAME_E_UNFIT ||
                                !strstr(problem, rows[i].reason))
                        fail_msg("%s: %s", rows[i].name, problem);
}

static void names_that_look_alike_are_found(void **state) {
        static const char *const alike[][2] = {
                { "Hotel Adler", "Hotel Adler" },
                { "Hotel Adler", "HOTEL ADLER" },
                { "Hotel Adler", "HoteI AdIer" }, /* capital I */
                { "Hotel Adler", "Hote1 Ad1er" },
                { "Hotel Adler", "H0tel Adler" },
                { "Hotel Adler", "Hòtel Adler" },
                { "Hotel Adler", "Hotel-Adler" },
                { "Hotel Adler", "Hotel Adler." },
                { "Hotel Adler", "HotelAdler" },
                { "Hotel Adler", "Hotel Acller" },
                { "Modern Inn", "Modem Inn" },
                { "Zur Warte", "Zur VVarte" },
                { "Hotel Jäger", "Hotel Jager" },
                { "Hotel Jäger", "Hotel Jaeger" },
                { "Straße 5", "Strasse S" },
                { "Købmand", "Koebmand" },
                { "Ærø", "Aero" },
                { "ΘΘ", "OO" },
                { "Ω", "O" },
                { "Bank 8", "Bank B" },
        };
        static const char *const different[][2] = {
                { "Hotel Adler", "Hotel Adele" },
                { "Hotel Adler", "Hotel Baer" },
                { "Hotel Adler", "Hostel Adler" },
                { "Hotel 12", "Hotel 13" },
                { "Hotel Jaeger", "Hotel Jager" }, /* two names of two people */
                { "Villa Rosa", "Villa Rose" },
                { "A", "B" },
        };

        for (size_t i = 0; i < N_ELEMENTS(alike); i++)
                if (!sender_names_are_alike(alike[i][0], alike[i][1]) ||
                                !sender_names_are_alike(alike[i][1], alike[i][0]))
                        fail_msg("%s is not like %s", alike[i][0], alike[i][1]);
        for (size_t i = 0; i < N_ELEMENTS(different); i++)
                if (sender_names_are_alike(different[i][0], different[i][1]))
                        fail_msg("%s is like %s", different[i][0], different[i][1]);
}

static void the_longest_skeleton_fits(void **state) {
        char name[64] = "", skeleton[SENDER_NAME_SKELETON_SIZE], problem[SENDER_NAME_PROBLEM_SIZE];

        for (int i = 0; i < SENDER_NAME_SEPTETS; i++)
                strcat(name, "ß");
        assert_int_equal(sender_name_check(name, problem), 0);
        sender_name_skeleton(name, SENDER_NAME_BARE, skeleton);
        assert_int_equal(strlen(skeleton), 2 * SENDER_NAME_SEPTETS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_that_a_house_has_are_fit),
                cmocka_unit_test(names_that_could_deceive_are_refused_with_the_reason),
                cmocka_unit_test(names_that_look_alike_are_found),
                cmocka_unit_test(the_longest_skeleton_fits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
