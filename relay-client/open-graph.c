#include "open-graph.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "text.h"

/* What is left to be read. */
typedef struct Cursor {
        const char *at, *end;
} Cursor;

typedef struct Span {
        const char *at;
        size_t size;
} Span;

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_name(char c) {
        return !is_space(c) && c != '>' && c != '/' && c != '=' && c != '<';
}

static bool span_is(Span span, const char *text) {
        return span.size == strlen(text) && strncasecmp(span.at, text, span.size) == 0;
}

static void skip_spaces(Cursor *c) {
        while (c->at < c->end && is_space(*c->at))
                c->at++;
}

static Span take_name(Cursor *c) {
        Span name = { c->at, 0 };

        while (c->at < c->end && is_name(*c->at))
                c->at++;
        name.size = (size_t) (c->at - name.at);
        return name;
}

/* Moves behind the text, or to the end where it does not come. */
static void skip_past(Cursor *c, const char *text) {
        const char *found = memmem(c->at, (size_t) (c->end - c->at), text, strlen(text));

        c->at = found ? found + strlen(text) : c->end;
}

/* Quoted either way, or bare. */
static Span take_value(Cursor *c) {
        Span value;
        char quote = (char) (c->at < c->end ? *c->at : 0);

        if (quote == '"' || quote == '\'') {
                const char *close = memchr(c->at + 1, quote, (size_t) (c->end - c->at) - 1);

                value.at = c->at + 1;
                value.size = (size_t) ((close ? close : c->end) - value.at);
                c->at = close ? close + 1 : c->end;
                return value;
        }
        value.at = c->at;
        while (c->at < c->end && !is_space(*c->at) && *c->at != '>')
                c->at++;
        value.size = (size_t) (c->at - value.at);
        return value;
}

/* The next attribute of a tag. False: the tag ends, and with it its '>'. */
static bool take_attribute(Cursor *c, Span *ret_name, Span *ret_value) {
        for (;;) {
                skip_spaces(c);
                if (c->at >= c->end)
                        return false;
                if (*c->at == '>') {
                        c->at++;
                        return false;
                }
                *ret_name = take_name(c);
                if (ret_name->size > 0)
                        break;
                c->at++; /* a '/' or another stray sign */
        }
        *ret_value = (Span){ c->at, 0 };
        skip_spaces(c);
        if (c->at < c->end && *c->at == '=') {
                c->at++;
                skip_spaces(c);
                *ret_value = take_value(c);
        }
        return true;
}

static size_t write_utf8(uint32_t c, char ret[4]) {
        if (c < 0x80) {
                ret[0] = (char) c;
                return 1;
        }
        if (c < 0x800) {
                ret[0] = (char) (0xc0 | c >> 6);
                ret[1] = (char) (0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                ret[0] = (char) (0xe0 | c >> 12);
                ret[1] = (char) (0x80 | (c >> 6 & 0x3f));
                ret[2] = (char) (0x80 | (c & 0x3f));
                return 3;
        }
        ret[0] = (char) (0xf0 | c >> 18);
        ret[1] = (char) (0x80 | (c >> 12 & 0x3f));
        ret[2] = (char) (0x80 | (c >> 6 & 0x3f));
        ret[3] = (char) (0x80 | (c & 0x3f));
        return 4;
}

/* "#39" or "#x27". 0: no character that there is. */
static uint32_t character_of_number(Span text) {
        unsigned base = 10;
        uint32_t c = 0;

        if (text.size < 2 || text.at[0] != '#')
                return 0;
        text = (Span){ text.at + 1, text.size - 1 };
        if (*text.at == 'x' || *text.at == 'X') {
                base = 16;
                text = (Span){ text.at + 1, text.size - 1 };
        }
        for (size_t i = 0; i < text.size; i++) {
                char digit = text.at[i];
                unsigned value = digit >= '0' && digit <= '9'   ? (unsigned) (digit - '0')
                                 : digit >= 'a' && digit <= 'f' ? (unsigned) (digit - 'a' + 10)
                                 : digit >= 'A' && digit <= 'F' ? (unsigned) (digit - 'A' + 10)
                                                                : 16;

                c = c * base + value;
                if (value >= base || c > 0x10ffff)
                        return 0;
        }
        return c >= 0xd800 && c <= 0xdfff ? 0 : c;
}

/* The character that "NAME" of "&NAME;" stands for; 0: not known. */
static uint32_t character_of(Span name) {
        static const struct {
                const char *name;
                char c;
        } names[] = {
                { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' }
        };

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (span_is(name, names[i].name))
                        return (uint32_t) names[i].c;
        return character_of_number(name);
}

/* Every reference is longer than the character that it stands for, so that the text fits where it
 * was. What is no reference stays as it is. */
static size_t decode(Span raw, char *ret) {
        size_t n = 0;

        for (size_t i = 0; i < raw.size;) {
                const char *semicolon = NULL;
                uint32_t c = 0;

                if (raw.at[i] == '&')
                        semicolon = memchr(raw.at + i, ';', raw.size - i < 10 ? raw.size - i : 10);
                if (semicolon) {
                        const char *name = raw.at + i + 1;

                        c = character_of((Span){ name, (size_t) (semicolon - name) });
                }
                if (c == 0) {
                        ret[n++] = raw.at[i++];
                        continue;
                }
                n += write_utf8(c, ret + n);
                i = (size_t) (semicolon + 1 - raw.at);
        }
        return n;
}

/* Takes away what a terminal acts on: C0 with DEL, and C1 as UTF-8 writes it. */
static void blunt(char *text, size_t size) {
        uint8_t *p = (uint8_t *) text;

        for (size_t i = 0; i < size; i++) {
                if (p[i] < ' ' || p[i] == 0x7f)
                        p[i] = ' ';
                if (p[i] == 0xc2 && i + 1 < size && p[i + 1] <= 0x9f)
                        p[i] = p[i + 1] = ' ';
        }
}

/* The first one counts. */
static int keep(Span raw, char **ret) {
        _cleanup_(freep) char *text = NULL;
        size_t size;

        if (*ret || raw.size > OPEN_GRAPH_TEXT_MAX)
                return 0;
        text = malloc(raw.size + 1);
        if (!text)
                return -ENOMEM;
        size = decode(raw, text);
        text[size] = 0;
        if (!text_is_utf8(text, size))
                return 0;
        blunt(text, size);
        *ret = TAKE_PTR(text);
        return 0;
}

static int read_meta(Cursor *c, OpenGraph *graph) {
        Span name, value, property = { NULL, 0 }, content = { NULL, 0 };

        while (take_attribute(c, &name, &value)) {
                if (!property.at && span_is(name, "property"))
                        property = value;
                else if (!content.at && span_is(name, "content"))
                        content = value;
        }
        if (!content.at)
                return 0;
        if (span_is(property, "og:title"))
                return keep(content, &graph->title);
        if (span_is(property, "og:description"))
                return keep(content, &graph->description);
        if (span_is(property, "og:image"))
                return keep(content, &graph->image);
        return 0;
}

/* What stands in these is text and holds no tags: it ends with its own closing tag alone. */
static Span take_raw_text(Cursor *c, Span name) {
        Span text = { c->at, 0 };

        while (c->at < c->end) {
                const char *open = memmem(c->at, (size_t) (c->end - c->at), "</", 2);

                if (!open || (size_t) (c->end - open) < 2 + name.size) {
                        c->at = c->end;
                        break;
                }
                c->at = open + 2;
                if (strncasecmp(open + 2, name.at, name.size) == 0) {
                        text.size = (size_t) (open - text.at);
                        return text;
                }
        }
        text.size = (size_t) (c->end - text.at);
        return text;
}

static void skip_tag(Cursor *c) {
        Span name, value;

        while (take_attribute(c, &name, &value)) {
        }
}

/* Reads one tag, behind its '<'. *ret_head_ends: what matters cannot follow any more. */
static int read_tag(Cursor *c, OpenGraph *graph, char **title, bool *ret_head_ends) {
        Span name;

        if (c->end - c->at >= 3 && memcmp(c->at, "!--", 3) == 0) {
                skip_past(c, "-->");
                return 0;
        }
        if (c->at < c->end && *c->at == '/') {
                c->at++;
                name = take_name(c);
                *ret_head_ends = span_is(name, "head");
                skip_tag(c);
                return 0;
        }
        name = take_name(c);
        if (span_is(name, "body")) {
                *ret_head_ends = true;
                return 0;
        }
        if (span_is(name, "meta"))
                return read_meta(c, graph);
        skip_tag(c);
        if (span_is(name, "title"))
                return keep(take_raw_text(c, name), title);
        if (span_is(name, "script") || span_is(name, "style") || span_is(name, "noscript"))
                (void) take_raw_text(c, name);
        return 0;
}

int open_graph_read(const char *page, size_t size, OpenGraph *ret) {
        _cleanup_(open_graph_done) OpenGraph graph = OPEN_GRAPH_NULL;
        _cleanup_(freep) char *title = NULL;
        bool head_ends = false;
        Cursor c;

        if (size == 0)
                page = ""; /* an answer without a body has none to point to */
        c = (Cursor){ page, page + (size < OPEN_GRAPH_PAGE_MAX ? size : OPEN_GRAPH_PAGE_MAX) };

        while (!head_ends && c.at < c.end) {
                int r;

                skip_past(&c, "<");
                r = read_tag(&c, &graph, &title, &head_ends);
                if (r < 0)
                        return r;
        }
        if (!graph.title)
                graph.title = TAKE_PTR(title);

        *ret = graph;
        graph = OPEN_GRAPH_NULL;
        return 0;
}

void open_graph_done(OpenGraph *graph) {
        free(graph->title);
        free(graph->description);
        free(graph->image);
        *graph = OPEN_GRAPH_NULL;
}
