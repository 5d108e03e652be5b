/* Templates are cut into pieces once, when they are loaded, so that rendering is copying. All rules
 * about texts are tables here: which message may name which value, and which characters a phone
 * knows. */
#include "template.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include "text.h"

enum {
        TEXT_SIZE_MAX = 2048, /* a text over seven SMS is a mistake */
        FILE_SIZE_MAX = 16384,
        LOCALE_SIZE = 36,
};

typedef struct Piece {
        TemplateValue value; /* _TEMPLATE_VALUE_MAX: literal text */
        char *literal;
} Piece;

typedef struct Pieces {
        Piece *piece;
        size_t n;
} Pieces;

struct Template {
        Pieces subject, text;
};

typedef struct Word {
        char *key, *one, *many;
} Word;

typedef struct Locale {
        char name[LOCALE_SIZE];
        Template *messages[_TEMPLATE_MESSAGE_MAX];
        Word *words;
        size_t n_words;
} Locale;

struct TemplateSet {
        Locale *locales;
        size_t n_locales;
};

#define V(name) (1u << TEMPLATE_VALUE_##name)

static const struct {
        const char *name;
        unsigned required, allowed; /* V() bits; the required are allowed */
        bool subject_required;
} messages[_TEMPLATE_MESSAGE_MAX] = {
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
        [TEMPLATE_STOPPED] = { "stopped", 0, 0, false },
        [TEMPLATE_HELP] = { "help", V(SENDER) | V(KIND) | V(TAG) | V(LEFT) | V(CODE), 0, false },
        [TEMPLATE_HELP_TAG] = { "help-tag", 0, 0, false },
        [TEMPLATE_NOT_UNDERSTOOD] = { "not-understood",
                        V(CODE),
                        V(SENDER) | V(TAG) | V(LEFT),
                        false },
        [TEMPLATE_OVER] = { "over", 0, 0, false },
        [TEMPLATE_DONE] = { "done", 0, V(SENDER) | V(TAG), false },
        [TEMPLATE_TAKEN] = { "taken", 0, V(SENDER) | V(TAG), false },
        [TEMPLATE_TAKEN_LATE] = { "taken-late", 0, 0, false },
        [TEMPLATE_NOT_MADE] = { "not-made", 0, V(SENDER) | V(KIND) | V(TAG), false },
        [TEMPLATE_LINK_PART] = { "link-part", V(LINK) | V(SENDER) | V(TAG), V(KIND), true },
};

/* The longest value of each, for the estimate of SMS parts. */
static const struct {
        const char *name, *longest;
} values_known[_TEMPLATE_VALUE_MAX] = {
        [TEMPLATE_VALUE_SENDER] = { "sender", "123456789012345678901234" },
        [TEMPLATE_VALUE_KIND] = { "kind", NULL },
        [TEMPLATE_VALUE_TAG] = { "tag", "7KQ4" },
        [TEMPLATE_VALUE_LEFT] = { "left", "until Wed 30 Sept, 13:00 CEST" },
        [TEMPLATE_VALUE_CODE] = { "code", NULL },
        [TEMPLATE_VALUE_TRIES] = { "tries", NULL },
        [TEMPLATE_VALUE_LINK] = { "link",
                        "https://relay.example.org/v1/m/0123456789012345678901234567890123456789"
                        "?v=a#01234567890123456789012345678901234567890123" },
};

static const struct {
        const char *key;
        bool plural;      /* has two forms */
        int words;        /* how many words a list has, 0: it is no list */
        const char *hole; /* the {name} that must be in it, or NULL */
} words_required[] = {
        { "kind-hotel", false, 0, NULL },
        { "kind-home-limited", false, 0, NULL },
        { "kind-home", false, 0, NULL },
        { "kind-car-unlock", false, 0, NULL },
        { "kind-car", false, 0, NULL },
        { "kind-access", false, 0, NULL },
        { "kind-fleet", false, 0, NULL },
        { "code-D9", false, 0, NULL },
        { "code-X8", false, 0, NULL },
        { "answer-no", false, 0, NULL },
        { "answer-not-me", false, 0, NULL },
        { "minutes", true, 0, "{n}" },
        { "hours", true, 0, "{n}" },
        { "days", true, 0, "{n}" },
        { "tries", true, 0, "{n}" },
        { "left-duration", false, 0, "{left}" },
        { "left-moment", false, 0, "{moment}" },
        { "moment", false, 0, "{time}" },
        { "weekdays", false, 7, NULL },
        { "months", false, 12, NULL },
};

/* Problems gather as lines; the first word of each is where. */
typedef struct Problems {
        FILE *file;
        char *text;
        size_t size;
        bool any;
} Problems;

static int problems_open(Problems *p) {
        *p = (Problems){ 0 };
        p->file = open_memstream(&p->text, &p->size);
        return p->file ? 0 : -ENOMEM;
}

static void problems_done(Problems *p) {
        if (p->file)
                (void) fclose(p->file);
        free(p->text);
        *p = (Problems){ 0 };
}

/* Hands the text over. */
static char *problems_take(Problems *p) {
        if (fclose(TAKE_PTR(p->file)) != 0)
                return NULL;
        return TAKE_PTR(p->text);
}

__attribute__((format(printf, 4, 5))) static void problem(
                Problems *p, const char *path, unsigned line, const char *format, ...) {
        va_list arguments;

        p->any = true;
        if (path)
                (void) fprintf(p->file, "%s:%u: ", path, line);
        else
                (void) fprintf(p->file, "%u: ", line);
        va_start(arguments, format);
        (void) vfprintf(p->file, format, arguments);
        va_end(arguments);
        (void) fputc('\n', p->file);
}

/* The character at *text, which is moved past it. The text must be UTF-8. */
static unsigned next_character(const char **text) {
        const unsigned char *s = (const unsigned char *) *text;
        unsigned n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
        unsigned c = n == 1 ? s[0] : s[0] & (0x7fu >> n);

        for (unsigned i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80) { /* never past the end of a broken string */
                        *text += i;
                        return 0xfffd;
                }
                c = c << 6 | (s[i] & 0x3fu);
        }
        *text += n;
        return c;
}

/* Controls, and what turns the direction of a line or hides in it. */
static bool character_is_harmful(unsigned c) {
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x00ad || c == 0x061c ||
               (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
               (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= 0xfffb);
}

/* Septets of a character in GSM 03.38 (3GPP TS 23.038 section 6.2.1), 2 for its extension table, 0
 * if it is in neither. */
static unsigned gsm7_septets(unsigned c) {
        static const uint16_t others[] = { 0xa1,
                0xa3,
                0xa4,
                0xa5,
                0xa7,
                0xbf,
                0xc4,
                0xc5,
                0xc6,
                0xc7,
                0xc9,
                0xd1,
                0xd6,
                0xd8,
                0xdc,
                0xdf,
                0xe0,
                0xe4,
                0xe5,
                0xe6,
                0xe8,
                0xe9,
                0xec,
                0xf1,
                0xf2,
                0xf6,
                0xf8,
                0xf9,
                0xfc,
                0x0393,
                0x0394,
                0x0398,
                0x039b,
                0x039e,
                0x03a0,
                0x03a3,
                0x03a6,
                0x03a8,
                0x03a9 };

        if (c == '\n' || c == '\r')
                return 1;
        if (c == 0x20ac || (c && c < 0x80 && strchr("^{}\\[~]|", (int) c)))
                return 2;
        if (c == '`')
                return 0;
        if (c >= 0x20 && c < 0x7f)
                return 1;
        for (size_t i = 0; i < N_ELEMENTS(others); i++)
                if (others[i] == c)
                        return 1;
        return 0;
}

unsigned template_sms_parts(const char *text, unsigned *ret_character) {
        unsigned septets = 0, units = 0, stranger = 0;

        while (*text) {
                unsigned c = next_character(&text), n = gsm7_septets(c);

                if (n == 0 && stranger == 0)
                        stranger = c;
                septets += n;
                units += c > 0xffff ? 2 : 1;
        }
        *ret_character = stranger;
        if (stranger)
                return units <= 70 ? 1 : (units + 66) / 67;
        return septets <= 160 ? 1 : (septets + 152) / 153;
}

static void pieces_done(Pieces *pieces) {
        for (size_t i = 0; i < pieces->n; i++)
                free(pieces->piece[i].literal);
        free(pieces->piece);
        *pieces = (Pieces){ 0 };
}

/* Takes the literal over. */
static int pieces_add(Pieces *pieces, TemplateValue value, char *literal) {
        Piece *grown;

        grown = reallocarray(pieces->piece, pieces->n + 1, sizeof(*grown));
        if (!grown) {
                free(literal);
                return -ENOMEM;
        }
        pieces->piece = grown;
        grown[pieces->n++] = (Piece){ value, literal };
        return 0;
}

static TemplateValue value_from_name(const char *name, size_t size) {
        for (TemplateValue v = 0; v < _TEMPLATE_VALUE_MAX; v++)
                if (strlen(values_known[v].name) == size &&
                                memcmp(values_known[v].name, name, size) == 0)
                        return v;
        return _TEMPLATE_VALUE_MAX;
}

/* Where a text is being cut into pieces. */
typedef struct Cutter {
        TemplateMessage message;
        Problems *problems;
        const char *path;
        unsigned line;
        unsigned used; /* V() bits */
} Cutter;

/* Reads `{name}` at *text, which is moved past it. */
static int cut_value(Cutter *c, const char **text, const char *end, Pieces *ret) {
        const char *name = *text + 1, *close = memchr(name, '}', (size_t) (end - name));
        TemplateValue value;

        if (!close) {
                problem(c->problems, c->path, c->line, "{ without }; a brace itself is written {{");
                *text = end;
                return 0;
        }
        *text = close + 1;
        value = value_from_name(name, (size_t) (close - name));
        if (value == _TEMPLATE_VALUE_MAX) {
                problem(c->problems, c->path, c->line, "there is no value of this name in braces");
                return 0;
        }
        if (!((messages[c->message].required | messages[c->message].allowed) & 1u << value)) {
                problem(c->problems,
                                c->path,
                                c->line,
                                "{%s} is not allowed in this message",
                                values_known[value].name);
                return 0;
        }
        c->used |= 1u << value;
        return pieces_add(ret, value, NULL);
}

/* Cuts text into literals and values. */
static int cut_pieces(Cutter *c, const char *text, const char *end, Pieces *ret) {
        _cleanup_(freep) char *literal = NULL;
        size_t n = 0;
        int r;

        literal = malloc((size_t) (end - text) + 1);
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
                        problem(c->problems,
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

static void lint_characters(Cutter *c, const char *text, const char *end) {
        unsigned line = 1;

        while (text < end) {
                unsigned character = next_character(&text);

                if (character == '\n')
                        line++;
                else if (character_is_harmful(character))
                        problem(c->problems,
                                        c->path,
                                        line,
                                        "the control or hidden character U+%04X",
                                        character);
        }
}

static void lint_values(Cutter *c) {
        unsigned missing = messages[c->message].required & ~c->used;

        for (TemplateValue v = 0; v < _TEMPLATE_VALUE_MAX; v++)
                if (missing & 1u << v)
                        problem(c->problems,
                                        c->path,
                                        c->line,
                                        "{%s} is missing",
                                        values_known[v].name);
}

static int template_cut(Cutter *c, const char *text, const char *end, Template *ret) {
        static const char header[] = "subject:";
        unsigned in_subject;
        int r;

        if (!text_is_utf8(text, (size_t) (end - text)) || memchr(text, 0, (size_t) (end - text))) {
                problem(c->problems, c->path, 1, "the text is not UTF-8");
                return 0;
        }
        lint_characters(c, text, end);
        if (contains_fold(text, end, "://") || contains_fold(text, end, "www."))
                problem(c->problems,
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
                        problem(c->problems,
                                        c->path,
                                        c->line,
                                        "an empty line belongs after the subject");
        }
        if (c->used & V(LINK))
                problem(c->problems, c->path, 1, "{link} is not allowed in a subject");
        if (messages[c->message].subject_required && ret->subject.n == 0)
                problem(c->problems, c->path, 1, "this message needs a `subject: ` line");
        for (; text < end && *text == '\n'; text++)
                c->line++;
        while (end > text && isspace((unsigned char) end[-1]))
                end--;
        if (text == end)
                problem(c->problems, c->path, c->line, "there is no text");
        if (end - text > TEXT_SIZE_MAX)
                problem(c->problems,
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
        _cleanup_(problems_done) Problems problems = { 0 };
        _cleanup_(template_freep) Template *template = NULL;
        Cutter cutter = { .message = message, .problems = &problems, .line = 1 };
        int r;

        r = problems_open(&problems);
        if (r < 0)
                return r;
        template = calloc(1, sizeof(*template));
        if (!template)
                return -ENOMEM;
        r = template_cut(&cutter, text, text + size, template);
        if (r < 0)
                return r;
        if (problems.any) {
                *ret_problem = problems_take(&problems);
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

TemplateSet *template_set_free(TemplateSet *set) {
        if (!set)
                return NULL;
        for (size_t i = 0; i < set->n_locales; i++) {
                Locale *locale = &set->locales[i];

                for (size_t m = 0; m < _TEMPLATE_MESSAGE_MAX; m++)
                        (void) template_free(locale->messages[m]);
                for (size_t w = 0; w < locale->n_words; w++) {
                        free(locale->words[w].key);
                        free(locale->words[w].one);
                        free(locale->words[w].many);
                }
                free(locale->words);
        }
        free(set->locales);
        free(set);
        return NULL;
}

/* Finds the file in the first directory that has it. -ENOENT: none has. The caller frees. */
static int read_file(const char *const *directories,
                size_t n_directories,
                const char *locale,
                const char *name,
                char **ret_path,
                char **ret,
                size_t *ret_size) {
        _cleanup_(closep) int fd = -1;
        _cleanup_(freep) char *path = NULL, *text = NULL;
        ssize_t size;

        for (size_t i = 0; i < n_directories && fd < 0; i++) {
                free(TAKE_PTR(path));
                if (asprintf(&path, "%s/%s/%s", directories[i], locale, name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
                if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
                        break;
        }
        if (fd < 0) {
                *ret_path = TAKE_PTR(path);
                return -errno;
        }
        text = malloc(FILE_SIZE_MAX + 1);
        if (!text)
                return -ENOMEM;
        size = read(fd, text, FILE_SIZE_MAX + 1);
        *ret_path = TAKE_PTR(path);
        if (size < 0)
                return -errno;
        if (size > FILE_SIZE_MAX)
                return -E2BIG;
        *ret = TAKE_PTR(text);
        *ret_size = (size_t) size;
        return 0;
}

static Word *locale_word(const Locale *locale, const char *key) {
        for (size_t i = 0; i < locale->n_words; i++)
                if (streq(locale->words[i].key, key))
                        return &locale->words[i];
        return NULL;
}

static char *trimmed(const char *start, const char *end) {
        while (start < end && isspace((unsigned char) *start))
                start++;
        while (end > start && isspace((unsigned char) end[-1]))
                end--;
        return strndup(start, (size_t) (end - start));
}

/* Reads one `key = word | words` line. */
static int read_word(Locale *locale,
                const char *start,
                const char *end,
                const char *path,
                unsigned line,
                Problems *p) {
        const char *equals = memchr(start, '=', (size_t) (end - start)), *bar;
        _cleanup_(freep) char *key = NULL, *one = NULL, *many = NULL;
        Word *grown;

        if (!equals) {
                problem(p, path, line, "not of the form `key = word`");
                return 0;
        }
        bar = memchr(equals, '|', (size_t) (end - equals));
        key = trimmed(start, equals);
        one = trimmed(equals + 1, bar ? bar : end);
        many = bar ? trimmed(bar + 1, end) : NULL;
        grown = reallocarray(locale->words, locale->n_words + 1, sizeof(*grown));
        if (grown)
                locale->words = grown;
        if (!grown || !key || !one || (bar && !many))
                return -ENOMEM;
        if (locale_word(locale, key)) {
                problem(p, path, line, "this key is there twice");
                return 0;
        }
        grown[locale->n_words++] = (Word){ TAKE_PTR(key), TAKE_PTR(one), TAKE_PTR(many) };
        return 0;
}

static int count_words(const char *text) {
        int n = 0;

        for (bool in = false; *text; text++) {
                if (*text != ' ' && !in)
                        n++;
                in = *text != ' ';
        }
        return n;
}

static void lint_words(const Locale *locale, const char *path, Problems *p) {
        for (size_t i = 0; i < N_ELEMENTS(words_required); i++) {
                const char *key = words_required[i].key, *hole = words_required[i].hole;
                const Word *word = locale_word(locale, key);

                if (!word || !word->one[0])
                        problem(p, path, 1, "the word `%s` is missing", key);
                else if (words_required[i].plural != (word->many != NULL))
                        problem(p,
                                        path,
                                        1,
                                        "`%s` needs %s",
                                        key,
                                        word->many ? "one form only" : "two forms, with | between");
                else if (words_required[i].words &&
                                count_words(word->one) != words_required[i].words)
                        problem(p, path, 1, "`%s` needs %d words", key, words_required[i].words);
                else if (hole && (!strstr(word->one, hole) ||
                                                 (word->many && !strstr(word->many, hole))))
                        problem(p, path, 1, "`%s` needs %s", key, hole);
        }
}

static int load_words(
                Locale *locale, const char *const *directories, size_t n_directories, Problems *p) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        size_t size = 0;
        unsigned line = 0;
        int r;

        r = read_file(directories, n_directories, locale->name, "words", &path, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                problem(p, path, 0, "%s", strerror(-r));
                return 0;
        }
        if (!text_is_utf8(text, size) || memchr(text, 0, size)) {
                problem(p, path, 1, "the text is not UTF-8");
                return 0;
        }
        for (const char *s = text, *stop; s < text + size; s = stop + 1) {
                stop = memchr(s, '\n', (size_t) (text + size - s));
                if (!stop)
                        stop = text + size;
                line++;
                if (stop == s)
                        continue;
                r = read_word(locale, s, stop, path, line, p);
                if (r < 0)
                        return r;
        }
        lint_words(locale, path, p);
        return 0;
}

static int load_message(Locale *locale,
                TemplateMessage message,
                const char *const *directories,
                size_t n,
                Problems *p) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        _cleanup_(template_freep) Template *template = NULL;
        Cutter cutter = { .message = message, .problems = p, .line = 1 };
        size_t size = 0;
        int r;

        r = read_file(directories, n, locale->name, messages[message].name, &path, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                problem(p, path, 0, "%s", strerror(-r));
                return 0;
        }
        template = calloc(1, sizeof(*template));
        if (!template)
                return -ENOMEM;
        cutter.path = path;
        r = template_cut(&cutter, text, text + size, template);
        if (r < 0)
                return r;
        locale->messages[message] = TAKE_PTR(template);
        return 0;
}

static bool locale_name_is_valid(const char *name) {
        size_t size = strlen(name), language = strcspn(name, "-");

        return size < LOCALE_SIZE && language >= 2 && language <= 3 &&
               strspn(name, "abcdefghijklmnopqrstuvwxyz") >= language &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") ==
                               size;
}

static Locale *set_locale(const TemplateSet *set, const char *name) {
        for (size_t i = 0; i < set->n_locales; i++)
                if (strcasecmp(set->locales[i].name, name) == 0)
                        return &set->locales[i];
        return NULL;
}

/* Adds the names of the folders in a directory. */
static int find_locales(TemplateSet *set, const char *directory) {
        DIR *dir = opendir(directory);
        int r = 0;

        if (!dir)
                return errno == ENOENT ? 0 : -errno;
        for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
                Locale *grown;
                struct stat st;

                if (!locale_name_is_valid(entry->d_name) || set_locale(set, entry->d_name))
                        continue;
                if (fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 || !S_ISDIR(st.st_mode))
                        continue;
                grown = reallocarray(set->locales, set->n_locales + 1, sizeof(*grown));
                if (!grown) {
                        r = -ENOMEM;
                        continue;
                }
                set->locales = grown;
                grown[set->n_locales] = (Locale){ 0 };
                memcpy(grown[set->n_locales++].name, entry->d_name, strlen(entry->d_name) + 1);
        }
        (void) closedir(dir);
        return r;
}

static int by_name(const void *a, const void *b) {
        return strcmp(((const Locale *) a)->name, ((const Locale *) b)->name);
}

int template_set_load(const char *const *directories,
                size_t n_directories,
                TemplateSet **ret,
                char **ret_problems) {
        _cleanup_(template_set_freep) TemplateSet *set = NULL;
        _cleanup_(problems_done) Problems problems = { 0 };
        int r;

        r = problems_open(&problems);
        if (r < 0)
                return r;
        set = calloc(1, sizeof(*set));
        if (!set)
                return -ENOMEM;
        for (size_t i = 0; i < n_directories; i++) {
                r = find_locales(set, directories[i]);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        problem(&problems, directories[i], 0, "%s", strerror(-r));
        }
        if (set->n_locales > 0)
                qsort(set->locales, set->n_locales, sizeof(*set->locales), by_name);
        if (!set_locale(set, "en"))
                problem(&problems,
                                n_directories > 0 ? directories[n_directories - 1] : "templates",
                                0,
                                "there is no folder `en`");
        for (size_t i = 0; i < set->n_locales; i++) {
                r = load_words(&set->locales[i], directories, n_directories, &problems);
                for (TemplateMessage m = 0; r == 0 && m < _TEMPLATE_MESSAGE_MAX; m++)
                        r = load_message(
                                        &set->locales[i], m, directories, n_directories, &problems);
                if (r < 0)
                        return r;
        }
        if (problems.any) {
                *ret_problems = problems_take(&problems);
                return *ret_problems ? TEMPLATE_E_INVALID : -ENOMEM;
        }
        *ret = TAKE_PTR(set);
        return 0;
}

/* The locale of a tag, or of the tag without its subtags, or NULL. */
static const Locale *best_locale(const TemplateSet *set, const char *tag) {
        char name[LOCALE_SIZE];

        if (!tag || strlen(tag) >= sizeof(name))
                return NULL;
        (void) snprintf(name, sizeof(name), "%s", tag);
        for (char *c = name; *c; c++)
                if (*c == '_')
                        *c = '-';
        for (;;) {
                const Locale *locale = set_locale(set, name);
                char *dash = strrchr(name, '-');

                if (locale || !dash)
                        return locale;
                *dash = 0;
        }
}

const char *template_locale(const TemplateSet *set, const char *wanted, const char *fallback) {
        const Locale *locale = best_locale(set, wanted);

        if (!locale)
                locale = best_locale(set, fallback);
        return locale ? locale->name : set_locale(set, "en")->name;
}

const char *template_word(
                const TemplateSet *set, const char *locale, const char *key, bool plural) {
        const Locale *found = best_locale(set, locale);
        const Word *word = locale_word(found ? found : set_locale(set, "en"), key);

        if (!word)
                return NULL;
        return plural && word->many ? word->many : word->one;
}

/* Writes a value without what could break or turn a line. */
static void write_value(FILE *file, const char *value) {
        while (*value) {
                const char *start = value;
                unsigned c = next_character(&value);

                if (c == 0xfffd)
                        (void) fputc('?', file);
                else if (!character_is_harmful(c))
                        (void) fwrite(start, 1, (size_t) (value - start), file);
        }
}

/* At most: characters that do harm are left out or become shorter. */
static size_t rendered_size(const Pieces *pieces, const TemplateValues *values) {
        size_t size = 0;

        for (size_t i = 0; i < pieces->n; i++) {
                const Piece *piece = &pieces->piece[i];
                const char *text = piece->value == _TEMPLATE_VALUE_MAX
                                                   ? piece->literal
                                                   : values->value[piece->value];

                size += text ? strlen(text) : 0;
        }
        return size;
}

/* Into one buffer without another in between: one that grows leaves behind what it held, and that
 * may be a link. */
static int render_pieces(const Pieces *pieces, const TemplateValues *values, char **ret) {
        size_t size = rendered_size(pieces, values) + 1;
        _cleanup_(freep) char *text = calloc(1, size + 1);
        FILE *file;
        int r = 0;

        file = text ? fmemopen(text, size, "w") : NULL;
        if (!file)
                return -ENOMEM;
        (void) setvbuf(file, NULL, _IONBF, 0);
        for (size_t i = 0; i < pieces->n && r == 0; i++) {
                const Piece *piece = &pieces->piece[i];

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
                TemplateMessage message,
                const TemplateValues *values,
                char **ret_subject,
                char **ret_text) {
        const Locale *found = best_locale(set, locale);
        const Template *template = (found ? found : set_locale(set, "en"))->messages[message];
        _cleanup_(freep) char *subject = NULL;
        int r;

        if (template->subject.n > 0) {
                r = render_pieces(&template->subject, values, &subject);
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
static const char *longest_word(const Locale *locale, const char *prefix) {
        const char *longest = "";

        for (size_t i = 0; i < locale->n_words; i++)
                if (strncmp(locale->words[i].key, prefix, strlen(prefix)) == 0 &&
                                strlen(locale->words[i].one) > strlen(longest))
                        longest = locale->words[i].one;
        return longest;
}

void template_set_hints(const TemplateSet *set, FILE *file) {
        for (size_t i = 0; i < set->n_locales; i++) {
                const Locale *locale = &set->locales[i];
                TemplateValues values = { 0 };

                for (TemplateValue v = 0; v < _TEMPLATE_VALUE_MAX; v++)
                        values.value[v] = values_known[v].longest;
                values.value[TEMPLATE_VALUE_KIND] = longest_word(locale, "kind-");
                values.value[TEMPLATE_VALUE_CODE] = longest_word(locale, "code-");
                values.value[TEMPLATE_VALUE_TRIES] = longest_word(locale, "tries");

                for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++) {
                        _cleanup_(freep) char *subject = NULL, *text = NULL;
                        unsigned parts, stranger;

                        if (template_render(set, locale->name, m, &values, &subject, &text) != 0)
                                continue;
                        parts = template_sms_parts(text, &stranger);
                        if (stranger)
                                (void) fprintf(file,
                                                "%s/%s: U+%04X is not in the SMS alphabet and more "
                                                "than doubles its "
                                                "length: %u parts\n",
                                                locale->name,
                                                messages[m].name,
                                                stranger,
                                                parts);
                        else if (parts > 1)
                                (void) fprintf(file,
                                                "%s/%s: %u SMS parts at most\n",
                                                locale->name,
                                                messages[m].name,
                                                parts);
                }
        }
}
