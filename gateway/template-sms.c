/* What the texts are as SMS: how many parts each needs with the longest values that can come, which
 * is what an operator pays for and what `segments` of a channel has to allow. */
#include <errno.h>

#include "rules.h"
#include "template-internal.h"
#include "words.h"

typedef struct Longest {
        char left[WORDS_SIZE], tries[WORDS_SIZE];
        TemplateValues values;
} Longest;

/* The longest word whose key starts with prefix. */
static const char *longest_word(const TemplateLocale *locale, const char *prefix) {
        const char *longest = "";

        for (size_t i = 0; i < locale->n_words; i++)
                if (strncmp(locale->words[i].key, prefix, strlen(prefix)) == 0 &&
                                strlen(locale->words[i].one) > strlen(longest))
                        longest = locale->words[i].one;
        return longest;
}

/* Of each day of a year, in a zone whose name has four letters in summer. */
static void longest_left(
                const TemplateSet *set, const TemplateLocale *locale, char ret[WORDS_SIZE]) {
        static const int64_t start = 1790000000, day = 86400, before = INT64_C(66) * 3600;
        char text[WORDS_SIZE];

        ret[0] = 0;
        for (int64_t then = start; then < start + 366 * day; then += day) {
                words_left(set, locale->name, then - before, then, "Europe/Berlin", text);
                if (strlen(text) > strlen(ret))
                        memcpy(ret, text, sizeof(text));
        }
}

static void longest_values(const TemplateSet *set, const TemplateLocale *locale, Longest *ret) {
        *ret = (Longest){ 0 };
        longest_left(set, locale, ret->left);
        words_tries(set, locale->name, RULES_ATTEMPTS_MAX, ret->tries);
        for (TemplateValue v = 0; v < _TEMPLATE_VALUE_MAX; v++)
                ret->values.value[v] = template_values_known[v].longest;
        ret->values.value[TEMPLATE_VALUE_KIND] = longest_word(locale, "kind-");
        ret->values.value[TEMPLATE_VALUE_CODE] = longest_word(locale, "code-");
        ret->values.value[TEMPLATE_VALUE_FACT] = longest_word(locale, "fact-");
        ret->values.value[TEMPLATE_VALUE_LEFT] = ret->left;
        ret->values.value[TEMPLATE_VALUE_TRIES] = ret->tries;
}

/* The parts of a text; 0 when it cannot be rendered. */
static unsigned parts_of(const TemplateSet *set,
                const TemplateLocale *locale,
                TemplateMessage m,
                const TemplateValues *values,
                unsigned *ret_stranger) {
        _cleanup_(freep) char *subject = NULL, *text = NULL;

        if (template_render(set, locale->name, "sms", m, values, &subject, &text) != 0)
                return 0;
        return template_sms_parts(text, ret_stranger);
}

static void write_name(const TemplateLocale *locale, TemplateMessage m, FILE *file) {
        const char *end = "";

        for (size_t i = 0; i < TEMPLATE_N_SCHEMES; i++)
                if (streq(template_schemes[i], "sms") && locale->variants[i][m])
                        end = ".sms";
        (void) fprintf(file, "%s/%s%s", locale->name, template_rules[m].name, end);
}

void template_set_hints(const TemplateSet *set, FILE *file) {
        (void) fputs("SMS parts that a text needs with the longest names and times; each part "
                     "costs "
                     "a message, and\ntexts that are not listed need one\n",
                        file);
        for (size_t i = 0; i < set->n_locales; i++) {
                const TemplateLocale *locale = &set->locales[i];
                Longest longest;

                longest_values(set, locale, &longest);
                for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++) {
                        unsigned stranger = 0,
                                 parts = parts_of(set, locale, m, &longest.values, &stranger);

                        if (parts < 2 && !stranger)
                                continue;
                        (void) fputs("  ", file);
                        write_name(locale, m, file);
                        (void) fprintf(file, ": %u part%s", parts, parts == 1 ? "" : "s");
                        if (stranger)
                                (void) fprintf(file,
                                                ", because U+%04X is not in the SMS alphabet, "
                                                "which more than doubles its length",
                                                stranger);
                        (void) fputc('\n', file);
                }
        }
}

int template_set_longer(const TemplateSet *set, unsigned parts_max, char **ret) {
        _cleanup_(freep) char *found = NULL;
        size_t size;
        FILE *file = open_memstream(&found, &size);
        const char *comma = "";

        if (!file)
                return -ENOMEM;
        for (size_t i = 0; i < set->n_locales; i++) {
                const TemplateLocale *locale = &set->locales[i];
                Longest longest;

                longest_values(set, locale, &longest);
                for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++) {
                        unsigned stranger,
                                        parts = parts_of(
                                                        set, locale, m, &longest.values, &stranger);

                        if (parts <= parts_max)
                                continue;
                        (void) fputs(comma, file);
                        write_name(locale, m, file);
                        (void) fprintf(file, " %u", parts);
                        comma = ", ";
                }
        }
        if (fclose(file) != 0)
                return -ENOMEM;
        *ret = *comma ? TAKE_PTR(found) : NULL;
        return 0;
}
