/* What an SMS says, as the channel for SMS will cut it: every installed text of every language,
 * with the longest values that can come. The gateway itself counts with template_sms_parts() for
 * its hints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <dirent.h>
#include <string.h>

#include "code.h"
#include "rules.h"
#include "sms-segment.h"
#include "template.h"
#include "words.h"

static TemplateSet *load(void) {
        const char *directories[] = { TEST_TEMPLATES };
        _cleanup_(freep) char *problems = NULL;
        TemplateSet *set = NULL;

        if (template_set_load(directories, 1, &set, &problems) != 0)
                fail_msg("%s", problems ? problems : "?");
        return set;
}

/* The longest that words_left() says, over a year of moments and all durations. */
static void longest_left(const TemplateSet *set, const char *locale, char ret[WORDS_SIZE]) {
        char text[WORDS_SIZE];

        ret[0] = 0;
        for (int64_t then = 1790000000; then < 1790000000 + 366 * 86400; then += 40000)
                for (int zone = 0; zone < 2; zone++) {
                        words_left(set,
                                        locale,
                                        then - 66 * 3600,
                                        then,
                                        zone ? "Europe/Berlin" : NULL,
                                        text);
                        if (strlen(text) > strlen(ret))
                                memcpy(ret, text, sizeof(text));
                }
}

static const char *longer(const char *a, const char *b) {
        return strlen(b) > strlen(a) ? b : a;
}

typedef struct Longest {
        char left[WORDS_SIZE], tries[WORDS_SIZE];
        TemplateValues values;
} Longest;

static void longest_values(const TemplateSet *set, const char *locale, Longest *ret) {
        static const char *const facts[] = { "booking", "surname", "plate", "employee", "other" };
        const char *kind = "", *code = "", *fact = "";

        longest_left(set, locale, ret->left);
        words_tries(set, locale, RULES_ATTEMPTS_MAX, ret->tries);
        for (int c = 0; c < RULES_CLASS_MAX; c++)
                kind = longer(kind, words_kind(set, locale, rules_class_name((RulesClass) c)));
        for (int c = 0; c < CODE_FORMAT_MAX; c++)
                code = longer(code, words_code(set, locale, code_format_name((CodeFormat) c)));
        for (size_t i = 0; i < N_ELEMENTS(facts); i++)
                fact = longer(fact, words_fact(set, locale, facts[i]));
        ret->values = (TemplateValues){ 0 };
        ret->values.value[TEMPLATE_VALUE_SENDER] = "Hotel Adler am Marktplat"; /* 24 */
        ret->values.value[TEMPLATE_VALUE_KIND] = kind;
        ret->values.value[TEMPLATE_VALUE_TAG] = "7KQ4";
        ret->values.value[TEMPLATE_VALUE_LEFT] = ret->left;
        ret->values.value[TEMPLATE_VALUE_CODE] = code;
        ret->values.value[TEMPLATE_VALUE_TRIES] = ret->tries;
        ret->values.value[TEMPLATE_VALUE_LINK] =
                        "https://relay.example.org/v1/m/01234567-0123-0123-0123-012345678901?v=a#"
                        "01234567890123456789012345678901234567890123";
        ret->values.value[TEMPLATE_VALUE_FACT] = fact;
        ret->values.value[TEMPLATE_VALUE_SECRET] = "123-456-786";
        ret->values.value[TEMPLATE_VALUE_NUMBER] = "123 456";
        ret->values.value[TEMPLATE_VALUE_KEY] = "#01234567890123456789012345678901234567890123";
}

static unsigned segments_of(const TemplateSet *set,
                const char *locale,
                TemplateMessage message,
                const TemplateValues *values,
                char **ret_text) {
        _cleanup_(freep) char *subject = NULL;
        unsigned stranger;
        SmsPlan plan;

        assert_int_equal(template_render(set, locale, "sms", message, values, &subject, ret_text),
                        0);
        assert_int_equal(sms_plan(*ret_text, strlen(*ret_text), 10, &plan), 0);
        if (plan.alphabet != SMS_GSM7)
                fail_msg("%s: U+%04X in: %s", locale, plan.odd.character, *ret_text);
        assert_int_equal(template_sms_parts(*ret_text, &stranger), plan.n_segments);
        assert_int_equal(stranger, 0);
        return plan.n_segments;
}

/* What the gateway counts is what `segments` of a channel is held against: too few, and the text
 * would never go. Each unit is repeated after `a`s, so that cuts fall on every place of it. */
static void as_many_parts_are_counted_as_are_cut(void **state) {
        static const char *const units[] = { "a",
                "[",
                "€",
                "a[",
                "\r\n",
                "„",
                "😀",
                "e\xcc\x81",
                "👨‍👩‍👧‍👦",
                "🇩🇪",
                "한",
                "क्षि",
                "e\xcc\x81\xcc\x82\xcc\x83\xcc\x84\xcc\x85\xcc\x86\xcc\x87\xcc\x88" };
        char text[5000];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(units); i++)
                for (size_t before = 0; before < 12; before++) {
                        size_t n = before;

                        memset(text, 'a', before);
                        for (size_t k = 0; k < 170; k++) {
                                unsigned stranger, counted;
                                SmsPlan plan;

                                memcpy(text + n, units[i], strlen(units[i]) + 1);
                                n += strlen(units[i]);
                                counted = template_sms_parts(text, &stranger);
                                assert_int_equal(sms_plan(text, n, SMS_SEGMENTS_MAX, &plan), 0);
                                if (counted != plan.n_segments)
                                        fail_msg("%u, not %u: %s", counted, plan.n_segments, text);
                        }
                }
}

/* A cluster that no message holds is cut between its characters. */
static void a_cluster_longer_than_a_part_is_counted_as_it_is_cut(void **state) {
        char text[800] = "e";

        (void) state;
        for (size_t n = 1; n + 3 < sizeof(text); n += 2) {
                unsigned stranger;
                SmsPlan plan;

                memcpy(text + n, "\xcc\x81", 3);
                assert_int_equal(sms_plan(text, n + 2, SMS_SEGMENTS_MAX, &plan), 0);
                assert_int_equal(template_sms_parts(text, &stranger), plan.n_segments);
        }
}

static const char *const locales[] = { "en", "de", "fr", "es" };

static void every_text_fits_with_the_longest_values(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(locales); i++) {
                Longest longest;

                longest_values(set, locales[i], &longest);
                for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++) {
                        _cleanup_(freep) char *text = NULL;
                        bool has_link = m == TEMPLATE_LINK || m == TEMPLATE_LINK_PART ||
                                        m == TEMPLATE_LINK_ADDRESS;
                        unsigned n = segments_of(set, locales[i], m, &longest.values, &text);

                        if (n > (has_link ? 3u : 2u))
                                fail_msg("%s: %u messages: %s", locales[i], n, text);
                }
        }
}

/* On SMS nothing is heard without the reference, so that each text which asks for an answer shows
 * it in front of the answer. */
static void every_answer_that_is_asked_for_begins_with_the_reference(void **state) {
        static const struct {
                const char *locale;
                TemplateMessage message;
                const char *answers[4];
        } rows[] = {
                { "en", TEMPLATE_INVITATION, { "7KQ4 and the", "7KQ4 NO.", "7KQ4 NOT ME." } },
                { "en", TEMPLATE_INVITATION_READY, { "7KQ4 READY", "7KQ4 NO.", "7KQ4 NOT ME." } },
                { "en", TEMPLATE_INVITATION_YES, { "7KQ4 YES", "7KQ4 NO.", "7KQ4 NOT ME." } },
                { "en", TEMPLATE_INVITATION_FACT, { "7KQ4 and", "7KQ4 NO.", "7KQ4 NOT ME." } },
                { "en",
                                TEMPLATE_HELP,
                                { "7KQ4 and the", "7KQ4 NO.", "7KQ4 NOT ME.", "7KQ4 STOP" } },
                { "en", TEMPLATE_MISTYPED, { "7KQ4 and the code" } },
                { "en", TEMPLATE_WRONG_SENT, { "7KQ4 and the code" } },
                { "en", TEMPLATE_MISTYPED_SENT, { "7KQ4 and the code" } },
                { "en", TEMPLATE_WRONG_FACT, { "7KQ4 and" } },
                { "en", TEMPLATE_WRONG, { "7KQ4 and the code" } },
                { "en",
                                TEMPLATE_NOT_UNDERSTOOD,
                                { "7KQ4 and the", "7KQ4 NO", "7KQ4 STOP.", "7KQ4 HELP" } },
                { "en", TEMPLATE_LINK, { "7KQ4 DONE", "7KQ4 TAKEN" } },
                { "en", TEMPLATE_LINK_PART, { "7KQ4 DONE", "7KQ4 TAKEN" } },
                { "en", TEMPLATE_LINK_ADDRESS, { "7KQ4 DONE", "7KQ4 TAKEN" } },
                { "en", TEMPLATE_STOP_CONFIRM, { "7KQ4 STOP" } },
                { "en", TEMPLATE_STOPPED, { "7KQ4 STOP ALL" } },
                { "en", TEMPLATE_ASK_CODE, { "7KQ4 and the" } },
                { "en", TEMPLATE_ASK_READY, { "7KQ4 READY" } },
                { "en", TEMPLATE_ASK_FACT, { "7KQ4 and" } },
                { "en", TEMPLATE_CODE_SENT, { "7KQ4 and the code" } },
                { "en", TEMPLATE_CODE_EXPIRED, { "7KQ4 READY" } },
                { "en", TEMPLATE_NEW_CODE, { "7KQ4 and the new code" } },
                { "de", TEMPLATE_INVITATION, { "7KQ4 und", "7KQ4 NEIN.", "7KQ4 NICHT ICH." } },
                { "de",
                                TEMPLATE_INVITATION_READY,
                                { "7KQ4 BEREIT", "7KQ4 NEIN.", "7KQ4 NICHT ICH." } },
                { "de", TEMPLATE_INVITATION_YES, { "7KQ4 JA", "7KQ4 NEIN.", "7KQ4 NICHT ICH." } },
                { "de", TEMPLATE_INVITATION_FACT, { "7KQ4 und", "7KQ4 NEIN.", "7KQ4 NICHT ICH." } },
                { "de",
                                TEMPLATE_HELP,
                                { "7KQ4 und", "7KQ4 NEIN.", "7KQ4 NICHT ICH.", "7KQ4 STOP" } },
                { "de", TEMPLATE_MISTYPED, { "7KQ4 und dem Code" } },
                { "de", TEMPLATE_WRONG_SENT, { "7KQ4 und dem Code" } },
                { "de", TEMPLATE_MISTYPED_SENT, { "7KQ4 und dem Code" } },
                { "de", TEMPLATE_WRONG_FACT, { "7KQ4 und" } },
                { "de", TEMPLATE_WRONG, { "7KQ4 und dem Code" } },
                { "de",
                                TEMPLATE_NOT_UNDERSTOOD,
                                { "7KQ4 und", "7KQ4 NEIN", "7KQ4 STOP.", "7KQ4 HILFE" } },
                { "de", TEMPLATE_LINK, { "7KQ4 FERTIG", "7KQ4 VERGEBEN" } },
                { "de", TEMPLATE_LINK_PART, { "7KQ4 FERTIG", "7KQ4 VERGEBEN" } },
                { "de", TEMPLATE_LINK_ADDRESS, { "7KQ4 FERTIG", "7KQ4 VERGEBEN" } },
                { "de", TEMPLATE_STOP_CONFIRM, { "7KQ4 STOP" } },
                { "de", TEMPLATE_STOPPED, { "7KQ4 STOP ALLE" } },
                { "de", TEMPLATE_ASK_CODE, { "7KQ4 und" } },
                { "de", TEMPLATE_ASK_READY, { "7KQ4 BEREIT" } },
                { "de", TEMPLATE_ASK_FACT, { "7KQ4 und" } },
                { "de", TEMPLATE_CODE_SENT, { "7KQ4 und dem Code" } },
                { "de", TEMPLATE_CODE_EXPIRED, { "7KQ4 BEREIT" } },
                { "de", TEMPLATE_NEW_CODE, { "7KQ4 und dem neuen Code" } },
                { "fr", TEMPLATE_INVITATION, { "7KQ4 et les", "7KQ4 NON.", "7KQ4 PAS MOI." } },
                { "fr", TEMPLATE_INVITATION_READY, { "7KQ4 PRET", "7KQ4 NON.", "7KQ4 PAS MOI." } },
                { "fr", TEMPLATE_INVITATION_YES, { "7KQ4 OUI", "7KQ4 NON.", "7KQ4 PAS MOI." } },
                { "fr", TEMPLATE_INVITATION_FACT, { "7KQ4 et", "7KQ4 NON.", "7KQ4 PAS MOI." } },
                { "fr",
                                TEMPLATE_HELP,
                                { "7KQ4 et les", "7KQ4 NON.", "7KQ4 PAS MOI.", "7KQ4 STOP" } },
                { "fr", TEMPLATE_MISTYPED, { "7KQ4 et le code" } },
                { "fr", TEMPLATE_WRONG_SENT, { "7KQ4 et le code" } },
                { "fr", TEMPLATE_MISTYPED_SENT, { "7KQ4 et le code" } },
                { "fr", TEMPLATE_WRONG_FACT, { "7KQ4 et" } },
                { "fr", TEMPLATE_WRONG, { "7KQ4 et le code" } },
                { "fr",
                                TEMPLATE_NOT_UNDERSTOOD,
                                { "7KQ4 et les", "7KQ4 NON", "7KQ4 STOP.", "7KQ4 AIDE" } },
                { "fr", TEMPLATE_LINK, { "7KQ4 FAIT", "7KQ4 DEJA PRIS" } },
                { "fr", TEMPLATE_LINK_PART, { "7KQ4 FAIT", "7KQ4 DEJA PRIS" } },
                { "fr", TEMPLATE_LINK_ADDRESS, { "7KQ4 FAIT", "7KQ4 DEJA PRIS" } },
                { "fr", TEMPLATE_STOP_CONFIRM, { "7KQ4 STOP" } },
                { "fr", TEMPLATE_STOPPED, { "7KQ4 STOP TOUT" } },
                { "fr", TEMPLATE_ASK_CODE, { "7KQ4 et les" } },
                { "fr", TEMPLATE_ASK_READY, { "7KQ4 PRET" } },
                { "fr", TEMPLATE_ASK_FACT, { "7KQ4 et" } },
                { "fr", TEMPLATE_CODE_SENT, { "7KQ4 et le code" } },
                { "fr", TEMPLATE_CODE_EXPIRED, { "7KQ4 PRET" } },
                { "fr", TEMPLATE_NEW_CODE, { "7KQ4 et le nouveau code" } },
                { "es", TEMPLATE_INVITATION, { "7KQ4 y las", "7KQ4 NO.", "7KQ4 NO SOY YO." } },
                { "es",
                                TEMPLATE_INVITATION_READY,
                                { "7KQ4 LISTO", "7KQ4 NO.", "7KQ4 NO SOY YO." } },
                { "es", TEMPLATE_INVITATION_YES, { "7KQ4 SI", "7KQ4 NO.", "7KQ4 NO SOY YO." } },
                { "es", TEMPLATE_INVITATION_FACT, { "7KQ4 y", "7KQ4 NO.", "7KQ4 NO SOY YO." } },
                { "es",
                                TEMPLATE_HELP,
                                { "7KQ4 y las", "7KQ4 NO.", "7KQ4 NO SOY YO.", "7KQ4 BAJA" } },
                { "es", TEMPLATE_MISTYPED, { "7KQ4 y la clave" } },
                { "es", TEMPLATE_WRONG_SENT, { "7KQ4 y la clave" } },
                { "es", TEMPLATE_MISTYPED_SENT, { "7KQ4 y la clave" } },
                { "es", TEMPLATE_WRONG_FACT, { "7KQ4 y" } },
                { "es", TEMPLATE_WRONG, { "7KQ4 y la clave" } },
                { "es",
                                TEMPLATE_NOT_UNDERSTOOD,
                                { "7KQ4 y las", "7KQ4 NO", "7KQ4 BAJA.", "7KQ4 AYUDA" } },
                { "es", TEMPLATE_LINK, { "7KQ4 HECHO", "7KQ4 YA USADO" } },
                { "es", TEMPLATE_LINK_PART, { "7KQ4 HECHO", "7KQ4 YA USADO" } },
                { "es", TEMPLATE_LINK_ADDRESS, { "7KQ4 HECHO", "7KQ4 YA USADO" } },
                { "es", TEMPLATE_STOP_CONFIRM, { "7KQ4 BAJA" } },
                { "es", TEMPLATE_STOPPED, { "7KQ4 BAJA TODO" } },
                { "es", TEMPLATE_ASK_CODE, { "7KQ4 y las" } },
                { "es", TEMPLATE_ASK_READY, { "7KQ4 LISTO" } },
                { "es", TEMPLATE_ASK_FACT, { "7KQ4 y" } },
                { "es", TEMPLATE_CODE_SENT, { "7KQ4 y la clave" } },
                { "es", TEMPLATE_CODE_EXPIRED, { "7KQ4 LISTO" } },
                { "es", TEMPLATE_NEW_CODE, { "7KQ4 y la clave nueva" } },
        };
        _cleanup_(template_set_freep) TemplateSet *set = load();

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                _cleanup_(freep) char *text = NULL;
                Longest longest;

                longest_values(set, rows[i].locale, &longest);
                (void) segments_of(set, rows[i].locale, rows[i].message, &longest.values, &text);
                for (size_t k = 0; k < N_ELEMENTS(rows[i].answers) && rows[i].answers[k]; k++)
                        if (!strstr(text, rows[i].answers[k]))
                                fail_msg("%s is not in: %s", rows[i].answers[k], text);
        }
}

/* A language that is added is tested as well. */
static void no_language_is_forgotten_here(void **state) {
        DIR *dir = opendir(TEST_TEMPLATES);
        size_t n = 0;

        (void) state;
        assert_non_null(dir);
        for (struct dirent *entry; (entry = readdir(dir));)
                n += entry->d_name[0] != '.';
        assert_int_equal(closedir(dir), 0);
        assert_int_equal(n, N_ELEMENTS(locales));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_many_parts_are_counted_as_are_cut),
                cmocka_unit_test(a_cluster_longer_than_a_part_is_counted_as_it_is_cut),
                cmocka_unit_test(every_text_fits_with_the_longest_values),
                cmocka_unit_test(every_answer_that_is_asked_for_begins_with_the_reference),
                cmocka_unit_test(no_language_is_forgotten_here),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
