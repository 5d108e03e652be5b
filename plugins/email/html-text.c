#include "html-text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "utf8-filter.h"

enum {
        NAME_SIZE = 16,          /* of an element; a longer name is none that we know */
        VALUE_JUDGED_MAX = 1024, /* bytes of an attribute that are looked at */
        ENTITY_MAX = 10,
};

typedef enum ElementKind {
        ELEMENT_INLINE, /* all others */
        ELEMENT_BLOCK,
        ELEMENT_BREAK,
        ELEMENT_CELL,
        ELEMENT_QUOTE,
        ELEMENT_RAW,  /* its content is no markup: all to its end tag is left out */
        ELEMENT_SKIP, /* its content is markup that nobody reads */
} ElementKind;

static const struct {
        const char *name;
        ElementKind kind;
} elements[] = {
        { "address", ELEMENT_BLOCK },
        { "article", ELEMENT_BLOCK },
        { "blockquote", ELEMENT_QUOTE },
        { "body", ELEMENT_BLOCK },
        { "br", ELEMENT_BREAK },
        { "center", ELEMENT_BLOCK },
        { "dd", ELEMENT_BLOCK },
        { "div", ELEMENT_BLOCK },
        { "dl", ELEMENT_BLOCK },
        { "dt", ELEMENT_BLOCK },
        { "footer", ELEMENT_BLOCK },
        { "form", ELEMENT_BLOCK },
        { "h1", ELEMENT_BLOCK },
        { "h2", ELEMENT_BLOCK },
        { "h3", ELEMENT_BLOCK },
        { "h4", ELEMENT_BLOCK },
        { "h5", ELEMENT_BLOCK },
        { "h6", ELEMENT_BLOCK },
        { "head", ELEMENT_SKIP },
        { "header", ELEMENT_BLOCK },
        { "hr", ELEMENT_BREAK },
        { "iframe", ELEMENT_RAW },
        { "li", ELEMENT_BLOCK },
        { "main", ELEMENT_BLOCK },
        { "math", ELEMENT_SKIP },
        { "noembed", ELEMENT_RAW },
        { "noframes", ELEMENT_RAW },
        { "noscript", ELEMENT_SKIP },
        { "object", ELEMENT_SKIP },
        { "ol", ELEMENT_BLOCK },
        { "p", ELEMENT_BLOCK },
        { "pre", ELEMENT_BLOCK },
        { "script", ELEMENT_RAW },
        { "section", ELEMENT_BLOCK },
        { "style", ELEMENT_RAW },
        { "svg", ELEMENT_SKIP },
        { "table", ELEMENT_BLOCK },
        { "td", ELEMENT_CELL },
        { "template", ELEMENT_SKIP },
        { "textarea", ELEMENT_RAW },
        { "th", ELEMENT_CELL },
        { "title", ELEMENT_RAW },
        { "tr", ELEMENT_BLOCK },
        { "ul", ELEMENT_BLOCK },
        { "xmp", ELEMENT_RAW },
};

/* HTML 4's names for U+00A0 to U+00FF, in their order. */
static const char *const latin[96] = { "nbsp",
        "iexcl",
        "cent",
        "pound",
        "curren",
        "yen",
        "brvbar",
        "sect",
        "uml",
        "copy",
        "ordf",
        "laquo",
        "not",
        "shy",
        "reg",
        "macr",
        "deg",
        "plusmn",
        "sup2",
        "sup3",
        "acute",
        "micro",
        "para",
        "middot",
        "cedil",
        "sup1",
        "ordm",
        "raquo",
        "frac14",
        "frac12",
        "frac34",
        "iquest",
        "Agrave",
        "Aacute",
        "Acirc",
        "Atilde",
        "Auml",
        "Aring",
        "AElig",
        "Ccedil",
        "Egrave",
        "Eacute",
        "Ecirc",
        "Euml",
        "Igrave",
        "Iacute",
        "Icirc",
        "Iuml",
        "ETH",
        "Ntilde",
        "Ograve",
        "Oacute",
        "Ocirc",
        "Otilde",
        "Ouml",
        "times",
        "Oslash",
        "Ugrave",
        "Uacute",
        "Ucirc",
        "Uuml",
        "Yacute",
        "THORN",
        "szlig",
        "agrave",
        "aacute",
        "acirc",
        "atilde",
        "auml",
        "aring",
        "aelig",
        "ccedil",
        "egrave",
        "eacute",
        "ecirc",
        "euml",
        "igrave",
        "iacute",
        "icirc",
        "iuml",
        "eth",
        "ntilde",
        "ograve",
        "oacute",
        "ocirc",
        "otilde",
        "ouml",
        "divide",
        "oslash",
        "ugrave",
        "uacute",
        "ucirc",
        "uuml",
        "yacute",
        "thorn",
        "yuml" };

static const struct {
        const char *name;
        uint32_t character;
} named[] = {
        { "amp", '&' },
        { "lt", '<' },
        { "gt", '>' },
        { "quot", '"' },
        { "apos", '\'' },
        { "ndash", 0x2013 },
        { "mdash", 0x2014 },
        { "lsquo", 0x2018 },
        { "rsquo", 0x2019 },
        { "sbquo", 0x201a },
        { "ldquo", 0x201c },
        { "rdquo", 0x201d },
        { "bdquo", 0x201e },
        { "hellip", 0x2026 },
        { "bull", 0x2022 },
        { "euro", 0x20ac },
        { "trade", 0x2122 },
        { "lsaquo", 0x2039 },
        { "rsaquo", 0x203a },
        { "OElig", 0x152 },
        { "oelig", 0x153 },
        { "ensp", ' ' },
        { "emsp", ' ' },
        { "thinsp", ' ' },
        { "zwnj", 0 },
        { "zwj", 0x200d },
        { "lrm", 0 },
        { "rlm", 0 },
};

/* A tag as far as it matters. */
typedef struct Tag {
        char name[NAME_SIZE];
        bool end, empty;          /* </x>, <x/> */
        bool quote, tail, hidden; /* what its attributes say: tail, that all behind it is a
                                     quotation */
} Tag;

typedef struct Writer {
        const char *p, *end;
        Utf8Filter out;
        unsigned quotes;    /* blockquotes that are open */
        unsigned container; /* open elements of the kind that a marked container has; 0: none */
        char container_name[NAME_SIZE];
        unsigned hidden; /* the same for what is left out */
        char hidden_name[NAME_SIZE];
        bool line_begun, space, tail; /* tail: to the end all is a quotation */
} Writer;

static void put(Writer *writer, const char *text, size_t size) {
        utf8_filter_put(&writer->out, text, size);
}

static bool is_quoted(const Writer *writer) {
        return writer->quotes > 0 || writer->container > 0 || writer->tail;
}

static void put_text(Writer *writer, const char *text, size_t size) {
        if (!writer->line_begun && is_quoted(writer))
                put(writer, "> ", 2);
        else if (writer->line_begun && writer->space)
                put(writer, " ", 1);
        writer->line_begun = true;
        writer->space = false;
        put(writer, text, size);
}

/* Ends a line that has begun. */
static void end_line(Writer *writer) {
        if (writer->line_begun)
                put(writer, "\n", 1);
        writer->line_begun = writer->space = false;
}

static void break_line(Writer *writer) {
        if (writer->line_begun)
                end_line(writer);
        else
                put(writer, is_quoted(writer) ? ">\n" : "\n", is_quoted(writer) ? 2 : 1);
}

static void put_character(Writer *writer, uint32_t c) {
        char text[4];
        size_t n;

        if (c == ' ' || c == 0xa0 || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
                writer->space = true;
                return;
        }
        if (c < 0x20 || c == 0xad || c == 0x200b || c == 0xfeff) /* soft hyphen, zero widths */
                return;
        n = utf8_encode(c, text);
        put_text(writer, text, n);
}

static uint32_t entity_named(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(named); i++)
                if (streq(named[i].name, name))
                        return named[i].character;
        for (size_t i = 0; i < N_ELEMENTS(latin); i++)
                if (streq(latin[i], name))
                        return 0xa0 + (uint32_t) i;
        return UINT32_MAX;
}

static uint32_t entity_number(const char *text) {
        bool hexadecimal = text[0] == 'x' || text[0] == 'X';
        uint32_t c = 0;

        text += hexadecimal;
        if (!*text)
                return UINT32_MAX;
        for (; *text; text++) {
                if (!(hexadecimal ? isxdigit((unsigned char) *text)
                                  : isdigit((unsigned char) *text)))
                        return UINT32_MAX;
                c = c * (hexadecimal ? 16 : 10) +
                    (uint32_t) (isdigit((unsigned char) *text) ? *text - '0'
                                                               : (*text | 0x20) - 'a' + 10);
                if (c > 0x10ffff)
                        return 0xfffd;
        }
        return c >= 0xd800 && c <= 0xdfff ? 0xfffd : c;
}

/* The writer stands on "&". What is no reference that we know is text. */
static void read_entity(Writer *writer) {
        char name[ENTITY_MAX + 1];
        size_t n = 0;
        const char *p = writer->p + 1;
        uint32_t c;

        while (p < writer->end && n < ENTITY_MAX && (isalnum((unsigned char) *p) || *p == '#'))
                name[n++] = *p++;
        name[n] = '\0';
        c = name[0] == '#' ? entity_number(name + 1) : entity_named(name);
        if (p < writer->end && *p == ';')
                p++;
        else if (name[0] != '#' && c != '&' && c != 0xa0)
                c = UINT32_MAX;
        if (c == UINT32_MAX) {
                put_text(writer, "&", 1);
                writer->p++;
                return;
        }
        put_character(writer, c);
        writer->p = p;
}

static ElementKind kind_of(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(elements); i++)
                if (streq(elements[i].name, name))
                        return elements[i].kind;
        return ELEMENT_INLINE;
}

static bool contains(const char *text, size_t size, const char *part) {
        size_t n = strlen(part);

        for (size_t i = 0; i + n <= size; i++)
                if (strncasecmp(text + i, part, n) == 0)
                        return true;
        return false;
}

static bool contains_any(const char *value, size_t size, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (contains(value, size, names[i]))
                        return true;
        return false;
}

/* What class and id say. These names have been the same for many years, and a reply whose
 * container is another one still has its blockquote or its attribution. */
static void judge_name(Tag *tag, const char *value, size_t size) {
        static const char *const quotes[] = { "gmail_quote",
                "gmail_attr",
                "yahoo_quoted",
                "moz-cite-prefix",
                "protonmail_quote",
                "ms-outlook-mobile-reference-message" };
        static const char *const tails[] = {
                "appendonsend", "divrplyfwdmsg", "mail-editor-reference-message-container"
        };
        static const char *const signatures[] = {
                "gmail_signature", "moz-signature", "protonmail_signature_block"
        };

        tag->quote |= contains_any(value, size, quotes, N_ELEMENTS(quotes));
        tag->tail |= contains_any(value, size, tails, N_ELEMENTS(tails));
        tag->hidden |= contains_any(value, size, signatures, N_ELEMENTS(signatures));
}

static bool hides(const char *value, size_t size) {
        return contains(value, size, "display:none") || contains(value, size, "display: none") ||
               contains(value, size, "mso-hide:all");
}

static void judge_attribute(Tag *tag,
                const char *name,
                size_t name_size,
                const char *value,
                size_t value_size) {
        if (value_size > VALUE_JUDGED_MAX)
                value_size = VALUE_JUDGED_MAX;
        if ((name_size == 5 && strncasecmp(name, "class", 5) == 0) ||
                        (name_size == 2 && strncasecmp(name, "id", 2) == 0))
                judge_name(tag, value, value_size);
        else if (name_size == 5 && strncasecmp(name, "style", 5) == 0)
                tag->hidden |= hides(value, value_size);
        else if (name_size == 6 && strncasecmp(name, "hidden", 6) == 0)
                tag->hidden = true;
}

/* One attribute, with its value if it has one. */
static const char *read_attribute(const char *p, const char *end, Tag *tag) {
        const char *name = p, *value;
        size_t name_size;

        while (p < end && !isspace((unsigned char) *p) && !strchr("=>/", *p))
                p++;
        if (p == name)
                return p + 1; /* a stray "=" or NUL */
        name_size = (size_t) (p - name);
        while (p < end && isspace((unsigned char) *p))
                p++;
        if (p == end || *p != '=') {
                judge_attribute(tag, name, name_size, p, 0);
                return p;
        }
        for (p++; p < end && isspace((unsigned char) *p);)
                p++;
        value = p;
        if (p < end && (*p == '"' || *p == '\'')) {
                const char *close = memchr(p + 1, *p, (size_t) (end - p - 1));

                if (!close)
                        return end;
                judge_attribute(tag, name, name_size, p + 1, (size_t) (close - p - 1));
                return close + 1;
        }
        while (p < end && !isspace((unsigned char) *p) && *p != '>')
                p++;
        judge_attribute(tag, name, name_size, value, (size_t) (p - value));
        return p;
}

/* The writer stands on "<" before a letter or "/". Goes behind the tag's ">". False: it has no end,
 * and the rest of the mail is no text. */
static bool read_tag(Writer *writer, Tag *tag) {
        const char *p = writer->p + 1, *end = writer->end;
        size_t n = 0;

        *tag = (Tag){ .end = p < end && *p == '/' };
        p += tag->end;
        for (; p < end && !isspace((unsigned char) *p) && *p != '>' && *p != '/'; p++)
                if (n < NAME_SIZE - 1)
                        tag->name[n++] = (char) tolower((unsigned char) *p);
        while (p < end && *p != '>') {
                tag->empty = *p == '/';
                if (isspace((unsigned char) *p) || *p == '/')
                        p++;
                else
                        p = read_attribute(p, end, tag);
        }
        if (p >= end)
                return false;
        writer->p = p + 1;
        return true;
}

/* Goes to "</name", or to the end. */
static void skip_raw(Writer *writer, const char *name) {
        size_t n = strlen(name);

        for (;;) {
                const char *p = memchr(writer->p, '<', (size_t) (writer->end - writer->p));

                if (!p) {
                        writer->p = writer->end;
                        return;
                }
                writer->p = p + 1;
                if ((size_t) (writer->end - p) >= n + 2 && p[1] == '/' &&
                                strncasecmp(p + 2, name, n) == 0) {
                        writer->p = p;
                        return;
                }
        }
}

/* "<!--" … "-->", or "<!" and "<?" to the next ">". */
static void skip_comment(Writer *writer) {
        size_t left = (size_t) (writer->end - writer->p);
        const char *close;

        if (left >= 4 && memcmp(writer->p, "<!--", 4) == 0) {
                close = memmem(writer->p + 4, left - 4, "-->", 3);
                writer->p = close ? close + 3 : writer->end;
        } else {
                close = memchr(writer->p, '>', left);
                writer->p = close ? close + 1 : writer->end;
        }
}

/* Counts the elements that are open inside a marked one of the same name, to know its end. True
 * when the tag was that end. */
static bool count_open(unsigned *open, const char *name, const Tag *tag) {
        if (*open == 0 || !streq(name, tag->name) || tag->empty)
                return false;
        if (tag->end)
                return --*open == 0;
        ++*open;
        return false;
}

static bool has_content(const Tag *tag) {
        static const char *const without[] = { "area",
                "base",
                "br",
                "col",
                "embed",
                "hr",
                "img",
                "input",
                "link",
                "meta",
                "param",
                "source",
                "track",
                "wbr" };

        for (size_t i = 0; i < N_ELEMENTS(without); i++)
                if (streq(tag->name, without[i]))
                        return false;
        return !tag->empty;
}

static void begin_hidden(Writer *writer, const Tag *tag) {
        writer->hidden = 1;
        memcpy(writer->hidden_name, tag->name, NAME_SIZE);
}

static void begin_container(Writer *writer, const Tag *tag) {
        if (writer->container == 0) {
                end_line(writer);
                writer->container = 1;
                memcpy(writer->container_name, tag->name, NAME_SIZE);
        }
}

static void apply_quote(Writer *writer, const Tag *tag) {
        end_line(writer);
        if (!tag->end && !tag->empty)
                writer->quotes++;
        else if (tag->end && writer->quotes > 0)
                writer->quotes--;
}

static void apply_tag(Writer *writer, const Tag *tag) {
        ElementKind kind = kind_of(tag->name);

        if (writer->hidden > 0) {
                (void) count_open(&writer->hidden, writer->hidden_name, tag);
                return;
        }
        if (count_open(&writer->container, writer->container_name, tag))
                end_line(writer);

        if (kind == ELEMENT_RAW && !tag->end) {
                skip_raw(writer, tag->name);
                return;
        }
        if (!tag->end && has_content(tag) && (kind == ELEMENT_SKIP || tag->hidden)) {
                begin_hidden(writer, tag);
                return;
        }
        if (kind == ELEMENT_QUOTE)
                apply_quote(writer, tag);
        else if (kind == ELEMENT_BREAK)
                break_line(writer);
        else if (kind == ELEMENT_BLOCK)
                end_line(writer);
        else if (kind == ELEMENT_CELL)
                writer->space = true;

        if (tag->tail) /* Outlook: what it answers stands beside the marked element, not in it */
                writer->tail = true;
        else if (tag->quote && !tag->end && has_content(tag) && kind != ELEMENT_QUOTE &&
                        writer->container == 0)
                begin_container(writer, tag);
}

static bool is_tag_start(const Writer *writer) {
        const char *p = writer->p + 1;

        if (p < writer->end && *p == '/')
                p++;
        return p < writer->end && isalpha((unsigned char) *p);
}

static void read_markup(Writer *writer) {
        Tag tag;

        if (is_tag_start(writer)) {
                if (read_tag(writer, &tag))
                        apply_tag(writer, &tag);
                else
                        writer->p = writer->end;
        } else if (writer->p + 1 < writer->end && strchr("!?/", writer->p[1]) && writer->p[1])
                skip_comment(writer);
        else {
                if (writer->hidden == 0)
                        put_text(writer, "<", 1);
                writer->p++;
        }
}

/* Text to the next markup, reference or space. */
static void read_words(Writer *writer) {
        const char *start = writer->p;

        while (writer->p < writer->end && !strchr("<& \t\r\n\f", *writer->p))
                writer->p++;
        if (writer->p == start) {
                writer->space = true;
                writer->p++;
        } else if (writer->hidden == 0)
                put_text(writer, start, (size_t) (writer->p - start));
}

size_t html_text(const char *html, size_t size, char *ret, size_t ret_size) {
        Writer writer = { .p = html, .end = html + size };

        utf8_filter_init(&writer.out, ret, ret_size);
        while (writer.p < writer.end && !utf8_filter_is_full(&writer.out)) {
                if (*writer.p == '<')
                        read_markup(&writer);
                else if (*writer.p == '&' && writer.hidden == 0)
                        read_entity(&writer);
                else if (*writer.p == '&')
                        writer.p++;
                else
                        read_words(&writer);
        }
        return utf8_filter_end(&writer.out);
}
