/* What the parts of template.h share: texts as they are cut, languages as they are loaded, and what
 * is wrong with either. */
#pragma once

#include "template.h"

enum {
        TEMPLATE_LOCALE_SIZE = 36,
        TEMPLATE_N_SCHEMES = 3, /* that may have texts of their own */
};

typedef struct TemplatePiece {
        TemplateValue value; /* _TEMPLATE_VALUE_MAX: literal text */
        char *literal;
} TemplatePiece;

typedef struct TemplatePieces {
        TemplatePiece *piece;
        size_t n;
} TemplatePieces;

struct Template {
        TemplatePieces subject, text;
};

typedef struct TemplateWord {
        char *key, *one, *many;
} TemplateWord;

typedef struct TemplateLocale {
        char name[TEMPLATE_LOCALE_SIZE];
        Template *messages[_TEMPLATE_MESSAGE_MAX];
        Template *variants[TEMPLATE_N_SCHEMES][_TEMPLATE_MESSAGE_MAX]; /* NULL: there is none */
        TemplateWord *words;
        size_t n_words;
} TemplateLocale;

struct TemplateSet {
        TemplateLocale *locales;
        size_t n_locales;
};

/* What a message must and may name: bits, 1 << TemplateValue; the required are allowed. */
typedef struct TemplateRule {
        const char *name; /* of the file */
        unsigned required, allowed;
        bool subject_required;
} TemplateRule;

/* The longest value of each, for the estimate of SMS parts. */
typedef struct TemplateValueKnown {
        const char *name, *longest;
} TemplateValueKnown;

extern const char *const template_schemes[TEMPLATE_N_SCHEMES];
extern const TemplateRule template_rules[_TEMPLATE_MESSAGE_MAX];
extern const TemplateValueKnown template_values_known[_TEMPLATE_VALUE_MAX];

/* Problems gather as lines; the first word of each is where. */
typedef struct TemplateProblems {
        FILE *file;
        char *text;
        size_t size;
        bool any;
} TemplateProblems;

/* -ENOMEM. */
int template_problems_open(TemplateProblems *problems);
void template_problems_done(TemplateProblems *problems);

/* Hands the text over. NULL: out of memory. */
char *template_problems_take(TemplateProblems *problems);

/* One line; path may be NULL. */
__attribute__((format(printf, 4, 5))) void template_problem(TemplateProblems *problems,
                const char *path,
                unsigned line,
                const char *format,
                ...);

/* The character at *text, which is moved past it. The text must be UTF-8. */
unsigned template_next_character(const char **text);

/* Controls, and what turns the direction of a line or hides in it. */
bool template_character_is_harmful(unsigned c);

/* Where a text is being cut into pieces. */
typedef struct TemplateCutter {
        TemplateMessage message;
        bool variant; /* of a scheme */
        TemplateProblems *problems;
        const char *path;
        unsigned line;
        unsigned used; /* bits, 1 << TemplateValue */
} TemplateCutter;

/* Cuts a file's text. 0 also where it is not fit to be used, which the problems say. -ENOMEM. */
int template_cut(TemplateCutter *cutter, const char *text, const char *end, Template *ret);

/* Borrowed; NULL: there is none. */
TemplateWord *template_locale_word(const TemplateLocale *locale, const char *key);
TemplateLocale *template_set_locale(const TemplateSet *set, const char *name);
