/* Templates are cut into pieces once, when they are loaded, so that rendering is copying. */
#include "template.h"

#include <errno.h>

#include "template-internal.h"

/* The locale of a tag, or of the tag without its subtags, or NULL. */
static const TemplateLocale *best_locale(const TemplateSet *set, const char *tag) {
        char name[TEMPLATE_LOCALE_SIZE];

        if (!tag || strlen(tag) >= sizeof(name))
                return NULL;
        (void) snprintf(name, sizeof(name), "%s", tag);
        for (char *c = name; *c; c++)
                if (*c == '_')
                        *c = '-';
        for (;;) {
                const TemplateLocale *locale = template_set_locale(set, name);
                char *dash = strrchr(name, '-');

                if (locale || !dash)
                        return locale;
                *dash = 0;
        }
}

const char *template_locale(const TemplateSet *set, const char *wanted, const char *fallback) {
        const TemplateLocale *locale = best_locale(set, wanted);

        if (!locale)
                locale = best_locale(set, fallback);
        return locale ? locale->name : template_set_locale(set, "en")->name;
}

const char *template_word(
                const TemplateSet *set, const char *locale, const char *key, bool plural) {
        const TemplateLocale *found = best_locale(set, locale);
        const TemplateWord *word =
                        template_locale_word(found ? found : template_set_locale(set, "en"), key);

        if (!word)
                return NULL;
        return plural && word->many ? word->many : word->one;
}

/* Writes a value without what could break or turn a line. */
static void write_value(FILE *file, const char *value) {
        while (*value) {
                const char *start = value;
                unsigned c = template_next_character(&value);

                if (c == 0xfffd)
                        (void) fputc('?', file);
                else if (!template_character_is_harmful(c))
                        (void) fwrite(start, 1, (size_t) (value - start), file);
        }
}

/* At most: characters that do harm are left out or become shorter. */
static size_t rendered_size(const TemplatePieces *pieces, const TemplateValues *values) {
        size_t size = 0;

        for (size_t i = 0; i < pieces->n; i++) {
                const TemplatePiece *piece = &pieces->piece[i];
                const char *text = piece->value == _TEMPLATE_VALUE_MAX
                                                   ? piece->literal
                                                   : values->value[piece->value];

                size += text ? strlen(text) : 0;
        }
        return size;
}

/* Into one buffer without another in between: one that grows leaves behind what it held, and that
 * may be a link. */
static int render_pieces(const TemplatePieces *pieces, const TemplateValues *values, char **ret) {
        size_t size = rendered_size(pieces, values) + 1;
        _cleanup_(freep) char *text = calloc(1, size + 1);
        FILE *file;
        int r = 0;

        file = text ? fmemopen(text, size, "w") : NULL;
        if (!file)
                return -ENOMEM;
        (void) setvbuf(file, NULL, _IONBF, 0);
        for (size_t i = 0; i < pieces->n && r == 0; i++) {
                const TemplatePiece *piece = &pieces->piece[i];

                if (piece->value == _TEMPLATE_VALUE_MAX)
                        (void) fputs(piece->literal, file);
                else if (values->value[piece->value])
                        write_value(file, values->value[piece->value]);
                else
                        r = TEMPLATE_E_VALUE;
        }
        if (fclose(file) != 0)
                return -ENOMEM;
        if (r == 0)
                *ret = TAKE_PTR(text);
        return r;
}

int template_render(const TemplateSet *set,
                const char *locale,
                const char *scheme,
                TemplateMessage message,
                const TemplateValues *values,
                char **ret_subject,
                char **ret_text) {
        const TemplateLocale *found = best_locale(set, locale);
        const TemplateLocale *language = found ? found : template_set_locale(set, "en");
        const Template *template = language->messages[message];
        const TemplatePieces *subject_pieces = &template->subject;
        _cleanup_(freep) char *subject = NULL;
        int r;

        for (size_t i = 0; scheme && i < TEMPLATE_N_SCHEMES; i++)
                if (streq(template_schemes[i], scheme) && language->variants[i][message])
                        template = language->variants[i][message];
        if (template->subject.n > 0)
                subject_pieces = &template->subject;
        if (subject_pieces->n > 0) {
                r = render_pieces(subject_pieces, values, &subject);
                if (r != 0)
                        return r;
        }
        r = render_pieces(&template->text, values, ret_text);
        if (r != 0)
                return r;
        *ret_subject = TAKE_PTR(subject);
        return 0;
}

/* The longest word whose key starts with prefix. */
static const char *longest_word(const TemplateLocale *locale, const char *prefix) {
        const char *longest = "";

        for (size_t i = 0; i < locale->n_words; i++)
                if (strncmp(locale->words[i].key, prefix, strlen(prefix)) == 0 &&
                                strlen(locale->words[i].one) > strlen(longest))
                        longest = locale->words[i].one;
        return longest;
}

/* As an SMS, with the longest values; nothing when it cannot be rendered. */
static void hint(const TemplateSet *set,
                const TemplateLocale *locale,
                TemplateMessage m,
                const TemplateValues *values,
                FILE *file) {
        _cleanup_(freep) char *subject = NULL, *text = NULL;
        const char *end = "";
        unsigned parts, stranger;

        if (template_render(set, locale->name, "sms", m, values, &subject, &text) != 0)
                return;
        for (size_t i = 0; i < TEMPLATE_N_SCHEMES; i++)
                if (streq(template_schemes[i], "sms") && locale->variants[i][m])
                        end = ".sms";
        parts = template_sms_parts(text, &stranger);
        if (stranger)
                (void) fprintf(file,
                                "%s/%s%s: U+%04X is not in the SMS alphabet and more than doubles "
                                "its length: %u parts\n",
                                locale->name,
                                template_rules[m].name,
                                end,
                                stranger,
                                parts);
        else if (parts > 1)
                (void) fprintf(file,
                                "%s/%s%s: %u SMS parts at most\n",
                                locale->name,
                                template_rules[m].name,
                                end,
                                parts);
}

void template_set_hints(const TemplateSet *set, FILE *file) {
        for (size_t i = 0; i < set->n_locales; i++) {
                const TemplateLocale *locale = &set->locales[i];
                TemplateValues values = { 0 };

                for (TemplateValue v = 0; v < _TEMPLATE_VALUE_MAX; v++)
                        values.value[v] = template_values_known[v].longest;
                values.value[TEMPLATE_VALUE_KIND] = longest_word(locale, "kind-");
                values.value[TEMPLATE_VALUE_CODE] = longest_word(locale, "code-");
                values.value[TEMPLATE_VALUE_TRIES] = longest_word(locale, "tries");

                for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++)
                        hint(set, locale, m, &values, file);
        }
}
