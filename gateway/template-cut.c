/* Cutting one text into pieces, and saying what is wrong with it. Which message may name which
 * value is a table. */
#include <ctype.h>
#include <errno.h>

#include "template-internal.h"
#include "text.h"

enum {
        TEXT_SIZE_MAX = 2048, /* a text over seven SMS is a mistake */
};

#define V(name) (1u << TEMPLATE_VALUE_##name)

static const unsigned not_for_subjects = V(LINK) | V(SECRET) | V(NUMBER) | V(KEY);

const char *const template_schemes[TEMPLATE_N_SCHEMES] = { "xmpp", "sms", "mailto" };

const TemplateRule template_rules[_TEMPLATE_MESSAGE_MAX] = {
        [TEMPLATE_INVITATION] = { "invitation",
                        V(SENDER) | V(KIND) | V(TAG) | V(LEFT) | V(CODE),
                        0,
                        true },
        [TEMPLATE_MISTYPED] = { "mistyped", 0, V(SENDER) | V(CODE) | V(TAG) | V(LEFT), false },
        [TEMPLATE_WRONG] = { "wrong", V(TRIES), V(SENDER) | V(CODE) | V(TAG) | V(LEFT), false },
        [TEMPLATE_LOCKED] = { "locked", 0, V(SENDER) | V(TAG), false },
        [TEMPLATE_LINK] = { "link", V(LINK) | V(SENDER) | V(TAG), V(KIND), true },
        [TEMPLATE_DECLINED] = { "declined", 0, V(SENDER) | V(TAG), false },
        [TEMPLATE_DISOWNED] = { "disowned", 0, V(SENDER) | V(TAG), false },
        [TEMPLATE_STOPPED] = { "stopped", V(SENDER), V(TAG), false },
        [TEMPLATE_HELP] = { "help", V(SENDER) | V(KIND) | V(TAG) | V(LEFT) | V(CODE), 0, false },
        [TEMPLATE_HELP_TAG] = { "help-tag", 0, 0, false },
        [TEMPLATE_TAG_FIRST] = { "tag-first", V(SENDER), 0, false },
        [TEMPLATE_STOP_CONFIRM] = { "stop-confirm", V(TAG), V(SENDER), false },
        [TEMPLATE_NOT_UNDERSTOOD] = { "not-understood",
                        V(CODE),
                        V(SENDER) | V(TAG) | V(LEFT),
                        false },
        [TEMPLATE_OVER] = { "over", V(TAG), V(SENDER), false },
        [TEMPLATE_DONE] = { "done", 0, V(SENDER) | V(TAG), false },
        [TEMPLATE_TAKEN] = { "taken", 0, V(SENDER) | V(TAG), false },
        [TEMPLATE_TAKEN_LATE] = { "taken-late", V(TAG), V(SENDER), false },
        [TEMPLATE_NOT_MADE] = { "not-made", 0, V(SENDER) | V(KIND) | V(TAG), false },
        [TEMPLATE_LINK_PART] = { "link-part", V(LINK) | V(SENDER) | V(TAG), V(KIND), true },
        [TEMPLATE_INVITATION_READY] = { "invitation-ready",
                        V(SENDER) | V(KIND) | V(TAG) | V(LEFT),
                        0,
                        true },
        [TEMPLATE_INVITATION_YES] = { "invitation-yes",
                        V(SENDER) | V(KIND) | V(TAG) | V(LEFT),
                        0,
                        true },
        [TEMPLATE_INVITATION_FACT] = { "invitation-fact",
                        V(SENDER) | V(KIND) | V(TAG) | V(LEFT) | V(FACT),
                        0,
                        true },
        [TEMPLATE_ASK_CODE] = { "ask-code",
                        V(CODE),
                        V(SENDER) | V(KIND) | V(TAG) | V(LEFT),
                        false },
        [TEMPLATE_ASK_READY] = { "ask-ready", 0, V(SENDER) | V(KIND) | V(TAG) | V(LEFT), false },
        [TEMPLATE_ASK_FACT] = { "ask-fact",
                        V(FACT),
                        V(SENDER) | V(KIND) | V(TAG) | V(LEFT),
                        false },
        [TEMPLATE_CODE_SENT] = { "code-sent", V(LEFT), V(SENDER) | V(KIND) | V(TAG), false },
        [TEMPLATE_CODE] = { "code", V(SECRET) | V(KIND) | V(SENDER) | V(TAG) | V(LEFT), 0, true },
        [TEMPLATE_CODE_EXPIRED] = { "code-expired", 0, V(SENDER) | V(KIND) | V(TAG), false },
        [TEMPLATE_NO_MORE_CODES] = { "no-more-codes", V(SENDER), V(KIND) | V(TAG), false },
        [TEMPLATE_NEW_CODE] = { "new-code",
                        V(SENDER),
                        V(KIND) | V(TAG) | V(CODE) | V(LEFT),
                        false },
        [TEMPLATE_APPROVAL] = { "approval",
                        V(NUMBER) | V(SENDER),
                        V(KIND) | V(TAG) | V(LEFT),
                        false },
        [TEMPLATE_LINK_ADDRESS] = { "link-address", V(LINK) | V(SENDER) | V(TAG), V(KIND), true },
        [TEMPLATE_LINK_KEY] = { "link-key", V(KEY) | V(TAG), V(SENDER) | V(KIND), true },
        [TEMPLATE_WRONG_SENT] = { "wrong-sent",
                        V(TRIES),
                        V(SENDER) | V(CODE) | V(TAG) | V(LEFT),
                        false },
        [TEMPLATE_WRONG_FACT] = { "wrong-fact",
                        V(TRIES) | V(FACT),
                        V(SENDER) | V(TAG) | V(LEFT),
                        false },
        [TEMPLATE_MISTYPED_SENT] = { "mistyped-sent",
                        0,
                        V(SENDER) | V(CODE) | V(TAG) | V(LEFT),
                        false },
        [TEMPLATE_ELSEWHERE] = { "elsewhere", V(TAG), V(SENDER), false },
        [TEMPLATE_STOPPED_ALL] = { "stopped-all", 0, V(SENDER) | V(TAG), false },
};

const TemplateValueKnown template_values_known[_TEMPLATE_VALUE_MAX] = {
        [TEMPLATE_VALUE_SENDER] = { "sender", "123456789012345678901234" },
        [TEMPLATE_VALUE_KIND] = { "kind", NULL },
        [TEMPLATE_VALUE_TAG] = { "tag", "7KQ4" },
        [TEMPLATE_VALUE_LEFT] = { "left", "until Wed 30 Sept, 13:00 CEST" },
        [TEMPLATE_VALUE_CODE] = { "code", NULL },
        [TEMPLATE_VALUE_TRIES] = { "tries", NULL },
        [TEMPLATE_VALUE_LINK] = { "link",
                        "https://relay.example.org/v1/m/0123456789012345678901234567890123456789"
                        "?v=a#01234567890123456789012345678901234567890123" },
        [TEMPLATE_VALUE_FACT] = { "fact", NULL },
        [TEMPLATE_VALUE_SECRET] = { "secret", "123-456-786" },
        [TEMPLATE_VALUE_NUMBER] = { "number", "123 456" },
        [TEMPLATE_VALUE_KEY] = { "key", "#01234567890123456789012345678901234567890123" },
};

static void pieces_done(TemplatePieces *pieces) {
        for (size_t i = 0; i < pieces->n; i++)
                free(pieces->piece[i].literal);
        free(pieces->piece);
        *pieces = (TemplatePieces){ 0 };
}

/* Takes the literal over. */
static int pieces_add(TemplatePieces *pieces, TemplateValue value, char *literal) {
        TemplatePiece *grown;

        grown = reallocarray(pieces->piece, pieces->n + 1, sizeof(*grown));
        if (!grown) {
                free(literal);
                return -ENOMEM;
        }
        pieces->piece = grown;
        grown[pieces->n++] = (TemplatePiece){ value, literal };
        return 0;
}

static TemplateValue value_from_name(const char *name, size_t size) {
        for (TemplateValue v = 0; v < _TEMPLATE_VALUE_MAX; v++)
                if (strlen(template_values_known[v].name) == size &&
                                memcmp(template_values_known[v].name, name, size) == 0)
                        return v;
        return _TEMPLATE_VALUE_MAX;
}

/* Reads `{name}` at *text, which is moved past it. */
static int cut_value(TemplateCutter *c, const char **text, const char *end, TemplatePieces *ret) {
        const char *name = *text + 1, *close = memchr(name, '}', (size_t) (end - name));
        TemplateValue value;

        if (!close) {
                template_problem(c->problems,
                                c->path,
                                c->line,
                                "{ without }; a brace itself is written {{");
                *text = end;
                return 0;
        }
        *text = close + 1;
        value = value_from_name(name, (size_t) (close - name));
        if (value == _TEMPLATE_VALUE_MAX) {
                size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-");

                template_problem(c->problems,
                                c->path,
                                c->line,
                                "there is no value of this name in braces%s%.*s%s",
                                n == (size_t) (close - name) ? ": {" : "",
                                n == (size_t) (close - name) ? (int) n : 0,
                                name,
                                n == (size_t) (close - name) ? "}" : "");
                return 0;
        }
        if (!((template_rules[c->message].required | template_rules[c->message].allowed) &
                            1u << value)) {
                template_problem(c->problems,
                                c->path,
                                c->line,
                                "{%s} is not allowed in this message",
                                template_values_known[value].name);
                return 0;
        }
        c->used |= 1u << value;
        return pieces_add(ret, value, NULL);
}

/* Cuts text into literals and values. */
static int cut_pieces(TemplateCutter *c, const char *text, const char *end, TemplatePieces *ret) {
        _cleanup_(freep) char *literal = NULL;
        size_t n = 0;
        int r;

        literal = malloc((text < end ? (size_t) (end - text) : 0) + 1);
        if (!literal)
                return -ENOMEM;

        while (text < end) {
                bool doubled = end - text >= 2 && text[0] == text[1];

                if (*text == '{' && !doubled) {
                        if (n > 0) {
                                r = pieces_add(ret, _TEMPLATE_VALUE_MAX, strndup(literal, n));
                                if (r < 0)
                                        return r;
                                n = 0;
                        }
                        r = cut_value(c, &text, end, ret);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (*text == '}' && !doubled)
                        template_problem(c->problems,
                                        c->path,
                                        c->line,
                                        "} without {; a brace itself is written }}");
                if ((*text == '{' || *text == '}') && doubled)
                        text++;
                if (*text == '\n')
                        c->line++;
                literal[n++] = *text++;
        }
        return n > 0 ? pieces_add(ret, _TEMPLATE_VALUE_MAX, strndup(literal, n)) : 0;
}

static bool contains_fold(const char *text, const char *end, const char *needle) {
        size_t size = strlen(needle);

        for (; (size_t) (end - text) >= size; text++)
                if (strncasecmp(text, needle, size) == 0)
                        return true;
        return false;
}

static void lint_characters(TemplateCutter *c, const char *text, const char *end) {
        unsigned line = 1;

        while (text < end) {
                unsigned character = template_next_character(&text);

                if (character == '\n')
                        line++;
                else if (template_character_is_harmful(character))
                        template_problem(c->problems,
                                        c->path,
                                        line,
                                        "the control or hidden character U+%04X",
                                        character);
        }
}

static void lint_values(TemplateCutter *c) {
        unsigned missing = template_rules[c->message].required & ~c->used;

        if (c->message != TEMPLATE_HELP_TAG && !((c->used | missing) & (V(SENDER) | V(TAG))))
                template_problem(c->problems,
                                c->path,
                                c->line,
                                "neither {sender} nor {tag} says what it is about");
        for (TemplateValue v = 0; v < _TEMPLATE_VALUE_MAX; v++)
                if (missing & 1u << v)
                        template_problem(c->problems,
                                        c->path,
                                        c->line,
                                        "{%s} is missing",
                                        template_values_known[v].name);
}

int template_cut(TemplateCutter *c, const char *text, const char *end, Template *ret) {
        static const char header[] = "subject:";
        unsigned in_subject;
        int r;

        if (!text_is_utf8(text, (size_t) (end - text)) || memchr(text, 0, (size_t) (end - text))) {
                template_problem(c->problems, c->path, 1, "the text is not UTF-8");
                return 0;
        }
        lint_characters(c, text, end);
        if (contains_fold(text, end, "://") || contains_fold(text, end, "www."))
                template_problem(c->problems,
                                c->path,
                                1,
                                "a web address in a text is not allowed; only {link} is");

        if ((size_t) (end - text) >= sizeof(header) - 1 &&
                        strncasecmp(text, header, sizeof(header) - 1) == 0) {
                const char *start = text + sizeof(header) - 1,
                           *stop = memchr(text, '\n', (size_t) (end - text));

                if (!stop)
                        stop = end;
                while (start < stop && *start == ' ')
                        start++;
                r = cut_pieces(c, start, stop, &ret->subject);
                if (r < 0)
                        return r;
                text = stop < end ? stop + 1 : end;
                c->line++;
                if (text < end && *text != '\n')
                        template_problem(c->problems,
                                        c->path,
                                        c->line,
                                        "an empty line belongs after the subject");
        }
        /* It is shown on a locked screen, and kept in more places than a text. */
        for (TemplateValue v = 0; v < _TEMPLATE_VALUE_MAX; v++)
                if (c->used & not_for_subjects & 1u << v)
                        template_problem(c->problems,
                                        c->path,
                                        1,
                                        "{%s} is not allowed in a subject",
                                        template_values_known[v].name);
        if (template_rules[c->message].subject_required && !c->variant && ret->subject.n == 0)
                template_problem(c->problems, c->path, 1, "this message needs a `subject: ` line");
        for (; text < end && *text == '\n'; text++)
                c->line++;
        while (end > text && isspace((unsigned char) end[-1]))
                end--;
        if (text == end)
                template_problem(c->problems, c->path, c->line, "there is no text");
        if (end - text > TEXT_SIZE_MAX)
                template_problem(c->problems,
                                c->path,
                                c->line,
                                "the text is longer than %d bytes",
                                TEXT_SIZE_MAX);

        /* A mail client that shows only the subject, or a phone that shows none, must not miss
         * anything. */
        in_subject = c->used;
        c->used = 0;
        r = cut_pieces(c, text, end, &ret->text);
        if (r < 0)
                return r;
        lint_values(c);
        c->used |= in_subject;
        return 0;
}

int template_parse(const char *text,
                size_t size,
                TemplateMessage message,
                Template **ret,
                char **ret_problem) {
        _cleanup_(template_problems_done) TemplateProblems problems = { 0 };
        _cleanup_(template_freep) Template *template = NULL;
        TemplateCutter cutter = { .message = message, .problems = &problems, .line = 1 };
        int r;

        r = template_problems_open(&problems);
        if (r < 0)
                return r;
        template = calloc(1, sizeof(*template));
        if (!template)
                return -ENOMEM;
        r = template_cut(&cutter, text, text + size, template);
        if (r < 0)
                return r;
        if (problems.any) {
                *ret_problem = template_problems_take(&problems);
                return *ret_problem ? TEMPLATE_E_INVALID : -ENOMEM;
        }
        *ret = TAKE_PTR(template);
        return 0;
}

Template *template_free(Template *template) {
        if (!template)
                return NULL;
        pieces_done(&template->subject);
        pieces_done(&template->text);
        free(template);
        return NULL;
}
