#include "json-raw.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "json-quick.h"
#include "secret.h"

enum {
        INTEGER_MAX = 18, /* bytes of an integer that is surely taken as it is */
};

/* --- finding --- */

/* It walks over values without judging them: whoever reads the text does that. */
typedef struct Scanner {
        const char *p, *end;
} Scanner;

static void skip_space(Scanner *s) {
        while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
                s->p++;
}

static bool take(Scanner *s, char c) {
        skip_space(s);
        if (s->p == s->end || *s->p != c)
                return false;
        s->p++;
        return true;
}

/* From behind the opening quote to behind the closing one. */
static bool skip_string(Scanner *s) {
        const char *begin = s->p;

        for (;;) {
                const char *quote = memchr(s->p, '"', (size_t) (s->end - s->p)), *q = quote;

                if (!quote)
                        return false;
                while (q > begin && q[-1] == '\\')
                        q--;
                s->p = quote + 1;
                if ((quote - q) % 2 == 0)
                        return true;
        }
}

static bool skip_container(Scanner *s) {
        size_t depth = 0;

        while (s->p < s->end) {
                switch (*s->p++) {
                case '"':
                        if (!skip_string(s))
                                return false;
                        break;
                case '{':
                case '[':
                        depth++;
                        break;
                case '}':
                case ']':
                        if (--depth == 0)
                                return true;
                        break;
                default:
                        break;
                }
        }
        return false;
}

static bool skip_value(Scanner *s) {
        const char *begin;

        skip_space(s);
        if (s->p == s->end)
                return false;
        if (*s->p == '{' || *s->p == '[')
                return skip_container(s);
        if (*s->p == '"') {
                s->p++;
                return skip_string(s);
        }
        begin = s->p;
        while (s->p < s->end && *s->p && !strchr(",:{}[]\" \t\r\n", *s->p))
                s->p++;
        return s->p > begin;
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if ((c | 32) >= 'a' && (c | 32) <= 'f')
                return (c | 32) - 'a' + 10;
        return -1;
}

/* A character of ASCII as it stands in a string or escaped there; -1 for all others. */
static int next_character(Scanner *s) {
        static const char named[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
        int value = 0;

        if (*s->p != '\\')
                return (unsigned char) *s->p++;
        if (s->end - s->p < 2)
                return -1;
        for (const char *n = named; *n; n += 2)
                if (*n == s->p[1]) {
                        s->p += 2;
                        return n[1];
                }
        if (s->p[1] != 'u' || s->end - s->p < 6)
                return -1;
        for (size_t i = 2; i < 6; i++) {
                if (hex_value(s->p[i]) < 0)
                        return -1;
                value = value * 16 + hex_value(s->p[i]);
        }
        s->p += 6;
        return value < 0x80 ? value : -1;
}

/* Names in paths are our own, of ASCII. */
static bool is_name(const char *text, const char *end, const char *name, size_t size) {
        Scanner s = { text, end };

        for (size_t i = 0; i < size; i++)
                if (s.p >= s.end || next_character(&s) != name[i])
                        return false;
        return s.p == s.end;
}

/* To the value of a member, from behind the opening brace. */
static bool enter_member(Scanner *s, const char *name, size_t size) {
        do {
                const char *text;
                bool found;

                if (!take(s, '"'))
                        return false;
                text = s->p;
                if (!skip_string(s))
                        return false;
                found = is_name(text, s->p - 1, name, size);
                if (!take(s, ':'))
                        return false;
                if (found)
                        return true;
                if (!skip_value(s))
                        return false;
        } while (take(s, ','));
        return false;
}

static bool enter_element(Scanner *s, const char *number, size_t size) {
        size_t left = 0;

        for (size_t i = 0; i < size; i++) {
                if (number[i] < '0' || number[i] > '9' || left > SIZE_MAX / 10 - 1)
                        return false;
                left = left * 10 + (size_t) (number[i] - '0');
        }
        for (; left > 0; left--)
                if (!skip_value(s) || !take(s, ','))
                        return false;
        return true;
}

static bool enter(Scanner *s, const char *step, size_t size) {
        if (take(s, '{'))
                return enter_member(s, step, size);
        return take(s, '[') && enter_element(s, step, size);
}

bool json_raw_find(const void *data, size_t size, const char *path, JsonRaw *ret) {
        Scanner s = { data, (const char *) data + size };
        const char *begin;

        if (size == 0)
                return false;
        while (*path) {
                size_t n = strcspn(path, "/");

                if (!enter(&s, path, n))
                        return false;
                path += n + (path[n] == '/');
        }
        skip_space(&s);
        begin = s.p;
        if (!skip_value(&s))
                return false;
        *ret = (JsonRaw){ begin, (size_t) (s.p - begin) };
        return true;
}

/* --- reading --- */

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p, const char *end) {
        while (p < end && is_digit(*p))
                p++;
        return p;
}

/* RFC 8259, section 6. */
static bool is_number(const char *p, const char *end) {
        const char *first;

        if (p < end && *p == '-')
                p++;
        first = p;
        p = skip_digits(p, end);
        if (p == first || (*first == '0' && p - first > 1))
                return false;
        if (p < end && *p == '.') {
                first = ++p;
                p = skip_digits(p, end);
                if (p == first)
                        return false;
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                p++;
                if (p < end && (*p == '+' || *p == '-'))
                        p++;
                first = p;
                p = skip_digits(p, end);
                if (p == first)
                        return false;
        }
        return p == end;
}

static bool is_of_number(char c) {
        return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* A number that jansson might refuse becomes one that it takes, and nothing else does. Where
 * numbers and words stand together, which no JSON has, they still do. */
static char *replace_number(char *p, const char *end) {
        char *first = p;

        while (p < end && is_of_number(*p))
                p++;
        if (is_number(first, p) && (p - first > INTEGER_MAX || skip_digits(first + 1, p) != p)) {
                memset(first, ' ', (size_t) (p - first));
                *first = '0';
        }
        return p;
}

/* From behind the opening quote. The stand-in is a noncharacter: as good as nobody has a name with
 * it beside one with NUL, of which this would make the same. */
static char *replace_nuls(char *p, const char *end) {
        while (p < end && *p != '"') {
                if (*p != '\\') {
                        p++;
                        continue;
                }
                if (end - p >= 6 && memcmp(p, "\\u0000", 6) == 0)
                        memcpy(p + 2, "ffff", 4);
                p += end - p >= 2 ? 2 : 1;
        }
        return p < end ? p + 1 : p;
}

/* What is no JSON stays none, and the other way round; no byte moves. */
static void replace(char *p, const char *end) {
        while (p < end) {
                if (*p == '"')
                        p = replace_nuls(p + 1, end);
                else if (is_of_number(*p))
                        p = replace_number(p, end);
                else
                        p++;
        }
}

int json_raw_read(const void *data,
                size_t size,
                unsigned max_depth,
                const char *path,
                json_t **ret,
                JsonRaw *ret_raw,
                JsonProblem *ret_problem) {
        _cleanup_(secret_done) Secret copy = SECRET_NULL;
        JsonRaw raw = JSON_RAW_NULL;
        bool found = json_raw_find(data, size, path, &raw);
        int r;

        *ret_raw = raw;
        *ret = json_quick_read(data, size, max_depth);
        if (*ret)
                return 0;
        if (!found)
                return json_read(data, size, max_depth, ret, ret_problem);

        r = secret_copy(&copy, data, size);
        if (r < 0)
                return r;
        replace((char *) copy.data + (raw.data - (const char *) data),
                        (char *) copy.data + (raw.data - (const char *) data) + raw.size);
        return json_read(copy.data, copy.size, max_depth, ret, ret_problem);
}

/* --- keeping --- */

/* The object that has the path's last step, which is then *ret_name. */
static json_t *parent_of(json_t *tree, const char *path, const char **ret_name) {
        for (;;) {
                size_t n = strcspn(path, "/");

                if (!path[n]) {
                        *ret_name = path;
                        return tree;
                }
                tree = json_is_array(tree) ? json_array_get(tree, strtoul(path, NULL, 10))
                                           : json_object_getn(tree, path, n);
                path += n + 1;
        }
}

int json_raw_keep(json_t **tree, const char *path, const JsonRaw *raw) {
        const char *name;
        json_t *parent, *value;

        if (!*path) {
                if (!json_is_object(*tree))
                        return 0;
                value = json_quick_verbatim(raw->data, raw->size);
                if (!value)
                        return -ENOMEM;
                json_decref(*tree);
                *tree = value;
                return 0;
        }
        parent = parent_of(*tree, path, &name);
        if (!json_is_object(json_object_get(parent, name)))
                return 0;
        value = json_quick_verbatim(raw->data, raw->size);
        return !value || json_object_set_new(parent, name, value) < 0 ? -ENOMEM : 0;
}

int json_raw_read_kept(const void *data,
                size_t size,
                unsigned max_depth,
                const char *path,
                json_t **ret,
                JsonProblem *ret_problem) {
        json_auto_t *tree = NULL;
        JsonRaw raw;
        int r;

        r = json_raw_read(data, size, max_depth, path, &tree, &raw, ret_problem);
        if (r == 0 && raw.data)
                r = json_raw_keep(&tree, path, &raw);
        if (r == 0)
                *ret = TAKE_PTR(tree);
        return r;
}
