/* Which language the page of a link is in. */
#include "preview.h"

#include "../base/test.h"

static void the_language_is_the_one_that_is_liked_best(void **state) {
        static const struct {
                const char *accept;
                PreviewLanguage language;
        } rows[] = {
                { "de", PREVIEW_GERMAN },
                { "DE-at", PREVIEW_GERMAN },
                { "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", PREVIEW_GERMAN },
                { "en-GB,en;q=0.9,de;q=0.8", PREVIEW_ENGLISH },
                { "en;q=0.5 , de ; q=0.75", PREVIEW_GERMAN },
                { "fr,de;q=0.2", PREVIEW_GERMAN },
                { "fr, es;q=0.5", PREVIEW_ENGLISH },
                { "de,en", PREVIEW_GERMAN },
                { "en,de", PREVIEW_ENGLISH },
                { "*", PREVIEW_ENGLISH },
                { "de;q=0.5,*;q=0.6", PREVIEW_ENGLISH },
                { ",, de", PREVIEW_GERMAN },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                if (preview_language(rows[i].accept) != rows[i].language)
                        fail_msg("%s", rows[i].accept);
}

static void what_cannot_be_read_counts_for_nothing(void **state) {
        static const char *const values[] = { "",
                ",",
                "de;q=0",
                "de;q=0.000",
                "de;q=2",
                "de;q=1.001",
                "de;q=x",
                "de;q=",
                "de;",
                "de q=1",
                "de;q=1;a=b",
                "deu",
                "den",
                "x-de",
                "d",
                "de_AT" };

        assert_int_equal(preview_language(NULL), PREVIEW_ENGLISH);
        for (size_t i = 0; i < N_ELEMENTS(values); i++)
                if (preview_language(values[i]) != PREVIEW_ENGLISH)
                        fail_msg("%s", values[i]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_language_is_the_one_that_is_liked_best),
                cmocka_unit_test(what_cannot_be_read_counts_for_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
