/* Texts that reach a person: one file for each message and language, linted when they are loaded,
 * so that a text that cannot be sent is found at the start and not at night.
 *
 * A file is an optional header, one line `subject: …` and an empty line, then the text. `{name}`
 * stands for a value, `{{` and `}}` for a brace. Line feeds within a paragraph are kept. The file
 * `words` of a language holds `key = word` lines, with ` | ` between singular and plural.
 *
 * From tenants only registered names come in here; control characters are dropped from every value
 * all the same. No text but those of the link can hold a link, none but `code` a code, and each
 * names the sender or the tag, so that who gets it knows what it is about; `help-tag`, which is
 * about several, alone does not.
 *
 * NAME.SCHEME, such as `invitation.sms`, is another text of NAME for the channels of those
 * addresses. It need not exist, needs no subject (NAME's is its own then), and gives way to an
 * operator's own NAME. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cleanup.h"

typedef struct TemplateSet TemplateSet;

typedef enum TemplateMessage {
        TEMPLATE_INVITATION, /* needs sender, kind, tag, left, code */
        TEMPLATE_MISTYPED,   /* the check symbol is wrong; nothing was spent */
        TEMPLATE_WRONG,      /* a try was spent; needs tries */
        TEMPLATE_LOCKED,   /* the answer to the wrong code that was the last; later ones get OVER */
        TEMPLATE_LINK,     /* this, LINK_PART and LINK_ADDRESS alone have a link; repeats are the
                              same bytes */
        TEMPLATE_DECLINED, /* the answer to NO */
        TEMPLATE_DISOWNED, /* the answer to NOT ME */
        TEMPLATE_STOPPED,  /* the answer to STOP: no more from this sender */
        TEMPLATE_HELP,     /* the answer to HELP while the challenge is open */
        TEMPLATE_HELP_TAG, /* several shares are open: put the tag first */
        TEMPLATE_TAG_FIRST,        /* the sender could be anybody: put the tag first */
        TEMPLATE_STOP_CONFIRM,     /* likewise, and they wrote STOP: is it meant? */
        TEMPLATE_NOT_UNDERSTOOD,   /* bound, but neither a code nor a word */
        TEMPLATE_OVER,             /* after the end, whatever the end was */
        TEMPLATE_DONE,             /* the recipient said that the key has arrived */
        TEMPLATE_TAKEN,            /* the recipient said that somebody else has opened the link */
        TEMPLATE_TAKEN_LATE,       /* the same, when the mailbox has been emptied already */
        TEMPLATE_NOT_MADE,         /* confirmed, and then there was nothing to send */
        TEMPLATE_LINK_PART,        /* in place of TEMPLATE_LINK where the sender keeps the Secret */
        TEMPLATE_INVITATION_READY, /* we send the code, to another address: reply READY */
        TEMPLATE_INVITATION_YES,   /* no code, but two halves: reply YES */
        TEMPLATE_INVITATION_FACT,  /* reply with something that the sender knows of them */
        TEMPLATE_ASK_CODE,         /* a factor is met, and this is the next question: the code */
        TEMPLATE_ASK_READY,        /* likewise: READY */
        TEMPLATE_ASK_FACT,         /* likewise: the fact */
        TEMPLATE_CODE_SENT,        /* the answer to READY; {left} is the code's */
        TEMPLATE_CODE,             /* to the other address; the only one that holds a code */
        TEMPLATE_CODE_EXPIRED,     /* reply READY for a new one */
        TEMPLATE_NO_MORE_CODES,    /* likewise, and there is no new one */
        TEMPLATE_NEW_CODE,         /* the sender has made another; the old one is worth nothing */
        TEMPLATE_APPROVAL,         /* tell the sender this number */
        TEMPLATE_LINK_ADDRESS,     /* in two halves: the link without its Secret */
        TEMPLATE_LINK_KEY,         /* in two halves: the Secret, to be put behind the link */
        TEMPLATE_STOPPED_ALL,      /* the answer to STOP ALL */
        TEMPLATE_WRONG_SENT,       /* as TEMPLATE_WRONG, of a code that we sent */
        TEMPLATE_WRONG_FACT,       /* likewise, of a fact */
        TEMPLATE_MISTYPED_SENT,    /* as TEMPLATE_MISTYPED, of a code that we sent */
        TEMPLATE_ELSEWHERE,        /* a code of ours came back over the channel that it went to */
        _TEMPLATE_MESSAGE_MAX,
} TemplateMessage;

typedef enum TemplateValue {
        TEMPLATE_VALUE_SENDER, /* the tenant's registered name */
        TEMPLATE_VALUE_KIND,   /* words_kind() */
        TEMPLATE_VALUE_TAG,    /* four symbols */
        TEMPLATE_VALUE_LEFT,   /* words_left(): "for 23 hours", "until Tue 24 Nov, 13:00 CET" */
        TEMPLATE_VALUE_CODE,   /* words_code(): what the code looks like, never the code */
        TEMPLATE_VALUE_TRIES,  /* words_tries() */
        TEMPLATE_VALUE_LINK,   /* of LINK_ADDRESS: without what is LINK_KEY's */
        TEMPLATE_VALUE_FACT,   /* words_fact() */
        TEMPLATE_VALUE_SECRET, /* the code itself, as people read it: 123-456-786 */
        TEMPLATE_VALUE_NUMBER, /* that the sender types */
        TEMPLATE_VALUE_KEY,    /* the second half: what belongs behind the link, `#` included */
        _TEMPLATE_VALUE_MAX,
} TemplateValue;

typedef struct TemplateValues {
        const char *value[_TEMPLATE_VALUE_MAX]; /* borrowed; NULL for those that a message does not
                                                   use */
} TemplateValues;

typedef enum TemplateError {
        TEMPLATE_E_INVALID =
                        1,    /* the files are not fit to be used; the problems say file and line */
        TEMPLATE_E_VALUE = 2, /* a value that the text needs is NULL */
} TemplateError;

/* Loads and lints all languages. A file is taken from the first directory that has it, so the
 * operator's own folder comes first; directories that do not exist are skipped. TEMPLATE_E_INVALID:
 * *ret_problems holds lines of text, which the caller frees. There must be `en`. */
int template_set_load(const char *const *directories,
                size_t n_directories,
                TemplateSet **ret,
                char **ret_problems);

TemplateSet *template_set_free(TemplateSet *set);
DEFINE_CLEANUP(TemplateSet, template_set_free)

/* Where the texts are that came with the gateway: $VESTIBULE_TEMPLATES, or as it was built. */
const char *template_installed_directory(void);

/* "invitation"; NULL outside the enumeration. The reverse gives _TEMPLATE_MESSAGE_MAX for a text
 * that is no name. */
const char *template_message_name(TemplateMessage message);
TemplateMessage template_message_from_name(const char *name);

/* The names of the languages, in order; NULL after the last. */
const char *template_set_locale_name(const TemplateSet *set, size_t i);

/* How many messages each language has, and how many texts of all are for one kind of address. */
void template_set_count(const TemplateSet *set, size_t *ret_messages, size_t *ret_variants);

/* The language to use: of wanted (a BCP 47 tag, may be NULL) itself, then without its subtags, then
 * fallback likewise, then "en". Lives as long as the set. */
const char *template_locale(const TemplateSet *set, const char *wanted, const char *fallback);

/* Renders. Pure: the same values give the same bytes. locale is one that template_locale() gave,
 * scheme is of the address that it goes to ("sms"), or NULL for the text of all.
 * *ret_subject is NULL when the message has none. The caller frees both. TEMPLATE_E_VALUE, -ENOMEM.
 */
int template_render(const TemplateSet *set,
                const char *locale,
                const char *scheme,
                TemplateMessage message,
                const TemplateValues *values,
                char **ret_subject,
                char **ret_text);

/* The same with values that could be somebody's: a code for ten minutes, an invitation for a day
 * from now, a moment in words where zone is not NULL. scheme is not NULL. *ret_subject is what a
 * mail has, and NULL for other channels. The caller frees both. Errors as template_render(). */
int template_preview(const TemplateSet *set,
                const char *locale,
                const char *scheme,
                TemplateMessage message,
                int64_t now,
                const char *zone,
                char **ret_subject,
                char **ret_text);

/* What an operator may want to improve: texts that need more than one SMS with the longest values,
 * and the character that forces UCS-2. Never an error. */
void template_set_hints(const TemplateSet *set, FILE *file);

/* The texts that may need more SMS parts than parts_max: "en/link.sms 3, de/link.sms 3", which the
 * caller frees; NULL: there are none. -ENOMEM. */
int template_set_longer(const TemplateSet *set, unsigned parts_max, char **ret);

/* A word of the language's `words` file; plural selects the form after ` | `. Never NULL for the
 * keys that the lint requires. For gateway/words. */
const char *template_word(const TemplateSet *set, const char *locale, const char *key, bool plural);

/* Reads one template from bytes. TEMPLATE_E_INVALID with *ret_problem, a sentence that starts with
 * the line's number, which the caller frees. *ret is freed with template_free(). For lint and
 * fuzzing. */
typedef struct Template Template;
int template_parse(const char *text,
                size_t size,
                TemplateMessage message,
                Template **ret,
                char **ret_problem);
Template *template_free(Template *template);
DEFINE_CLEANUP(Template, template_free)

/* SMS parts that a text needs, those of a long one with a 16-bit reference as vestibule-sms cuts it
 * (3GPP TS 23.040 section 9.2.3.24.8; between grapheme clusters, UAX 29), and the first character
 * outside the GSM 03.38 alphabet (0 if none), which makes it UCS-2. The text must be UTF-8. */
unsigned template_sms_parts(const char *text, unsigned *ret_character);
