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
