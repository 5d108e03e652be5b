/* Positions and repetitions in libconfuse syntax. Structure errors are left to libconfuse: here a
 * text that is badly nested only leads to fewer positions. */
#include "config-scan.h"

#include <ctype.h>
#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "text.h"

enum {
        DEPTH_MAX = 8,
        WORD_MAX = 64, /* of names; values may be longer */
        POSITION_MAX = 4 * WORD_MAX,
};

/* One section or key: "policy\001hotel\001class". */
typedef struct Position {
        char *name, *place;
} Position;

struct ConfigScan {
        void *root; /* tsearch() tree of Position */
};

typedef struct Token {
        enum {
                TOKEN_END,
                TOKEN_WORD,
                TOKEN_STRING,
                TOKEN_OPEN,
                TOKEN_CLOSE,
                TOKEN_EQUALS,
                TOKEN_COMMA
        } kind;
        char text[WORD_MAX]; /* of words and strings; cut */
        unsigned line;
} Token;

typedef struct Scanner {
        ConfigScan *scan;
        const char *file;
        FILE *problems;
        char *at, *end; /* the copy, in which comments are blanked */
        unsigned line;
        bool bad;
} Scanner;

__attribute__((format(printf, 3, 4))) static void problem(
                Scanner *s, unsigned line, const char *format, ...) {
        va_list arguments;

        s->bad = true;
        (void) fprintf(s->problems, "%s:%u: ", s->file, line);
        va_start(arguments, format);
        (void) vfprintf(s->problems, format, arguments);
        va_end(arguments);
        (void) fputc('\n', s->problems);
}

static int by_name(const void *a, const void *b) {
        return strcmp(((const Position *) a)->name, ((const Position *) b)->name);
}

static void position_free(void *p) {
        Position *position = p;

        free(position->name);
        free(position->place);
        free(position);
}

int config_scan_new(ConfigScan **ret) {
        ConfigScan *scan = calloc(1, sizeof(*scan));

        if (!scan)
                return -ENOMEM;
        *ret = scan;
        return 0;
}

ConfigScan *config_scan_free(ConfigScan *scan) {
        if (!scan)
                return NULL;
        tdestroy(scan->root, position_free);
        free(scan);
        return NULL;
}

static const char *find(const ConfigScan *scan, const char *name) {
        Position wanted = { .name = (char *) name };
        void *node = tfind(&wanted, &scan->root, by_name);

        return node ? (*(Position **) node)->place : NULL;
}

/* Remembers where name stands; a second time is a problem. what says it to people. */
static int remember(Scanner *s, const char *name, const char *what, unsigned line) {
        const char *before = find(s->scan, name);
        Position *position;

        if (before) {
                problem(s, line, "%s is there twice; first at %s", what, before);
                return 0;
        }
        position = calloc(1, sizeof(*position));
        if (!position)
                return -ENOMEM;
        position->name = strdup(name);
        if (asprintf(&position->place, "%s:%u", s->file, line) < 0)
                position->place = NULL;
        if (!position->name || !position->place || !tsearch(position, &s->scan->root, by_name)) {
                position_free(position);
                return -ENOMEM;
        }
        return 0;
}

static void blank(Scanner *s, char *to) {
        for (; s->at < to; s->at++) {
                if (*s->at == '\n')
                        s->line++;
                else
                        *s->at = ' ';
        }
}

/* Skips white space and comments. False: nothing follows. */
static bool skip(Scanner *s) {
        while (s->at < s->end) {
                char *stop;

                if (*s->at == '\n') {
                        s->line++;
                        s->at++;
                } else if (*s->at == ' ' || *s->at == '\t' || *s->at == '\r') {
                        *s->at++ = ' ';
                } else if (*s->at == '#' ||
                                (s->end - s->at >= 2 && s->at[0] == '/' && s->at[1] == '/')) {
                        stop = memchr(s->at, '\n', (size_t) (s->end - s->at));
                        blank(s, stop ? stop : s->end);
                } else if (s->end - s->at >= 2 && s->at[0] == '/' && s->at[1] == '*') {
                        stop = memmem(s->at + 2, (size_t) (s->end - s->at - 2), "*/", 2);
                        if (!stop)
                                problem(s, s->line, "this comment is not closed");
                        blank(s, stop ? stop + 2 : s->end);
                } else {
                        return true;
                }
        }
        return false;
}

static bool is_word_character(char c) {
        return c && !strchr(" \t\r\n#\"'={}()+,*$`\\", c);
}

static void read_string(Scanner *s, Token *ret) {
        char quote = *s->at++;
        size_t n = 0;

        ret->kind = TOKEN_STRING;
        for (; s->at < s->end && *s->at != quote; s->at++) {
                if (*s->at == '\n') {
                        problem(s, s->line, "this string is not closed");
                        return;
                }
                if ((unsigned char) *s->at < 0x20 || *s->at == 0x7f)
                        problem(s, s->line, "a control character in a string");
                if (*s->at == '$' && s->end - s->at >= 2 && s->at[1] == '{')
                        problem(s, s->line, "environment variables are not used here");
                if (*s->at == '\\' && s->end - s->at >= 2) {
                        s->at++;
                        if (*s->at != '\\' && *s->at != quote)
                                problem(s,
                                                s->line,
                                                "only \\\\ and \\%c are known after a backslash",
                                                quote);
                        if (*s->at == '\n')
                                return;
                }
                if (n < WORD_MAX - 1)
                        ret->text[n++] = *s->at;
        }
        if (s->at == s->end)
                problem(s, s->line, "this string is not closed");
        else
                s->at++;
}

static Token next_token(Scanner *s) {
        Token token = { .kind = TOKEN_END };
        size_t n = 0;

        while (skip(s)) {
                static const char single[] = "{}=,";
                const char *found = strchr(single, *s->at);

                token.line = s->line;
                if (found && *found) {
                        s->at++;
                        token.kind = found == single       ? TOKEN_OPEN
                                     : found == single + 1 ? TOKEN_CLOSE
                                     : found == single + 2 ? TOKEN_EQUALS
                                                           : TOKEN_COMMA;
                        return token;
                }
                if (*s->at == '"' || *s->at == '\'') {
                        read_string(s, &token);
                        return token;
                }
                if (is_word_character(*s->at)) {
                        token.kind = TOKEN_WORD;
                        for (; s->at < s->end && is_word_character(*s->at); s->at++)
                                if (n < WORD_MAX - 1)
                                        token.text[n++] = *s->at;
                        return token;
                }
                problem(s,
                                s->line,
                                "this character means nothing here; values with it need quotes");
                *s->at++ = ' ';
        }
        return token;
}

static bool is_name(const char *text) {
        size_t size = strlen(text);

        return size > 0 && size < WORD_MAX - 1 && isalnum((unsigned char) text[0]) &&
               strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                               size;
}

/* Walks over the tokens: `key = value`, `key = { list }`, `section [title] { … }`. prefix is the
 * name of the section that surrounds. */
static int scan_body(Scanner *s, const char *prefix, unsigned depth, unsigned opened) {
        int r;

        for (;;) {
                Token key = next_token(s), after;
                char name[DEPTH_MAX * (2 * WORD_MAX + 2)], what[2 * WORD_MAX + 2];
                bool in_list = false;

                if (key.kind == TOKEN_END && depth > 0) /* libconfuse would let it pass */
                        problem(s, opened, "this section is not closed");
                if (key.kind == TOKEN_END || (key.kind == TOKEN_CLOSE && depth > 0))
                        return 0;
                if (key.kind != TOKEN_WORD)
                        continue; /* libconfuse will say what it expected */
                if (!is_name(key.text)) {
                        problem(s, key.line, "not the name of a section or key");
                        continue;
                }
                after = next_token(s);
                (void) snprintf(what, sizeof(what), "%s", key.text);
                (void) snprintf(name, sizeof(name), "%s%s", prefix, key.text);
                if (after.kind == TOKEN_WORD || after.kind == TOKEN_STRING) {
                        (void) snprintf(what, sizeof(what), "%s %s", key.text, after.text);
                        (void) snprintf(name,
                                        sizeof(name),
                                        "%s%s\001%s",
                                        prefix,
                                        key.text,
                                        after.text);
                        if (!is_name(after.text))
                                problem(s,
                                                after.line,
                                                "a title is made of letters, digits, - and _");
                        after = next_token(s);
                }
                r = remember(s, name, what, key.line);
                if (r < 0)
                        return r;
                if (after.kind == TOKEN_OPEN) {
                        char inner[sizeof(name) + 1];

                        if (depth + 1 >= DEPTH_MAX) {
                                problem(s, after.line, "sections are nested too deeply");
                                return 0;
                        }
                        (void) snprintf(inner, sizeof(inner), "%s\002", name);
                        r = scan_body(s, inner, depth + 1, key.line);
                        if (r < 0)
                                return r;
                } else if (after.kind == TOKEN_EQUALS) {
                        after = next_token(s);
                        while (after.kind == TOKEN_OPEN || in_list) {
                                after = next_token(s);
                                in_list = after.kind != TOKEN_CLOSE && after.kind != TOKEN_END;
                        }
                }
        }
}

int config_scan_text(ConfigScan *scan,
                const char *text,
                size_t size,
                const char *file,
                FILE *problems,
                char **ret) {
        _cleanup_(freep) char *copy = NULL;
        Scanner scanner = { .scan = scan, .file = file, .problems = problems, .line = 1 };
        int r;

        if (!text_is_utf8(text, size) || memchr(text, 0, size)) {
                problem(&scanner, 1, "the file is not UTF-8 text");
                return CONFIG_E_INVALID;
        }
        copy = malloc(size + 1);
        if (!copy)
                return -ENOMEM;
        memcpy(copy, text, size);
        copy[size] = 0;
        scanner.at = copy;
        scanner.end = copy + size;
        r = scan_body(&scanner, "", 0, 1);
        if (r < 0)
                return r;
        if (scanner.bad)
                return CONFIG_E_INVALID;
        *ret = TAKE_PTR(copy);
        return 0;
}

static void position_name(
                const char *section, const char *title, const char *key, char ret[POSITION_MAX]) {
        (void) snprintf(ret,
                        POSITION_MAX,
                        "%s%s%s%s%s",
                        section,
                        title ? "\001" : "",
                        title ? title : "",
                        key ? "\002" : "",
                        key ? key : "");
}

bool config_scan_has(
                const ConfigScan *scan, const char *section, const char *title, const char *key) {
        char name[POSITION_MAX];

        position_name(section, title, key, name);
        return find(scan, name) != NULL;
}

const char *config_scan_place(
                const ConfigScan *scan, const char *section, const char *title, const char *key) {
        char name[POSITION_MAX];
        const char *place;

        position_name(section, title, key, name);
        place = find(scan, name);
        if (!place && key) {
                position_name(section, title, NULL, name);
                place = find(scan, name);
        }
        return place;
}
