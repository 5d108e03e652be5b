/* What a message says with values that could be somebody's, for those who write texts and those who
 * read them before anybody gets one. */
#include <errno.h>

#include "template-internal.h"
#include "words.h"

enum {
        CODE_SECONDS = 600,
        INVITATION_SECONDS = 24 * 3600,
        LATER_SECONDS = 23 * 3600, /* when most of the other questions are asked */
        SAMPLE_TRIES = 2,
};

#define SAMPLE_ADDRESS "https://relay.example.org/v1/m/3f0c1d52-8a74-4c2e-9d1b-6e5f7a8b9c0d?v=a"
#define SAMPLE_KEY "#Zk3rV1uQ8yT5wX2nB7mJ4hL9pC6sD0fG1aE8iO3uY5g"

static int64_t seconds_left(TemplateMessage message) {
        switch (message) {
        case TEMPLATE_CODE:
        case TEMPLATE_CODE_SENT:
        case TEMPLATE_APPROVAL:
                return CODE_SECONDS;
        case TEMPLATE_INVITATION:
        case TEMPLATE_INVITATION_READY:
        case TEMPLATE_INVITATION_YES:
        case TEMPLATE_INVITATION_FACT:
                return INVITATION_SECONDS;
        default:
                return LATER_SECONDS;
        }
}

const char *template_message_name(TemplateMessage message) {
        return (unsigned) message < _TEMPLATE_MESSAGE_MAX ? template_rules[message].name : NULL;
}

TemplateMessage template_message_from_name(const char *name) {
        for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++)
                if (streq(template_rules[m].name, name))
                        return m;
        return _TEMPLATE_MESSAGE_MAX;
}

/* A mail that has no subject goes on with the invitation's. */
static int answer_subject(const TemplateSet *set,
                const char *locale,
                const char *scheme,
                const TemplateValues *values,
                char **ret) {
        _cleanup_(freep) char *subject = NULL, *text = NULL;
        int r;

        r = template_render(set, locale, scheme, TEMPLATE_INVITATION, values, &subject, &text);
        if (r != 0 || !subject)
                return r;
        if (asprintf(ret, "Re: %s", subject) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

int template_preview(const TemplateSet *set,
                const char *locale,
                const char *scheme,
                TemplateMessage message,
                int64_t now,
                const char *zone,
                char **ret_subject,
                char **ret_text) {
        char left[WORDS_SIZE], tries[WORDS_SIZE];
        const TemplateValues values = {
                .value = {
                        [TEMPLATE_VALUE_SENDER] = "Hotel Adler",
                        [TEMPLATE_VALUE_KIND] = words_kind(set, locale, "hotel"),
                        [TEMPLATE_VALUE_TAG] = "7KQ4",
                        [TEMPLATE_VALUE_LEFT] = left,
                        [TEMPLATE_VALUE_CODE] = words_code(set, locale, "D9"),
                        [TEMPLATE_VALUE_TRIES] = tries,
                        [TEMPLATE_VALUE_LINK] = message == TEMPLATE_LINK
                                        ? SAMPLE_ADDRESS SAMPLE_KEY
                                        : SAMPLE_ADDRESS,
                        [TEMPLATE_VALUE_FACT] = words_fact(set, locale, "booking"),
                        [TEMPLATE_VALUE_SECRET] = "123-456-786",
                        [TEMPLATE_VALUE_NUMBER] = "471 108",
                        [TEMPLATE_VALUE_KEY] = SAMPLE_KEY,
                },
        };
        _cleanup_(freep) char *subject = NULL, *text = NULL;
        int r;

        words_left(set, locale, now, now + seconds_left(message), zone, left);
        words_tries(set, locale, SAMPLE_TRIES, tries);
        r = template_render(set, locale, scheme, message, &values, &subject, &text);
        if (r == 0 && !subject && streq(scheme, "mailto") && message != TEMPLATE_HELP_TAG)
                r = answer_subject(set, locale, scheme, &values, &subject);
        if (r != 0)
                return r;
        if (!streq(scheme, "mailto"))
                free(TAKE_PTR(subject));
        *ret_subject = TAKE_PTR(subject);
        *ret_text = TAKE_PTR(text);
        return 0;
}

const char *template_set_locale_name(const TemplateSet *set, size_t i) {
        return i < set->n_locales ? set->locales[i].name : NULL;
}

void template_set_count(const TemplateSet *set, size_t *ret_messages, size_t *ret_variants) {
        *ret_messages = _TEMPLATE_MESSAGE_MAX;
        *ret_variants = 0;
        for (size_t i = 0; i < set->n_locales; i++)
                for (size_t s = 0; s < TEMPLATE_N_SCHEMES; s++)
                        for (size_t m = 0; m < _TEMPLATE_MESSAGE_MAX; m++)
                                *ret_variants += set->locales[i].variants[s][m] != NULL;
}
