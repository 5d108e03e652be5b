#include "json-quick.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* --- reading --- */

enum { DIGITS_MAX = 18 /* of an integer that cannot overflow */ };

typedef struct Reader {
        const uint8_t *p, *end;
        unsigned depth; /* how much deeper it may go */
} Reader;

/* Bytes of a string that stand for themselves alone: no control, quote, backslash or UTF-8. */
static inline bool is_plain(uint8_t c) {
        return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static inline bool is_digit(uint8_t c) {
        return c >= '0' && c <= '9';
}

enum { LANES = 16 };

typedef uint8_t Lanes __attribute__((vector_size(LANES)));
typedef uint64_t Words __attribute__((vector_size(LANES)));

/* As many bytes as there are lanes, all of which stand for themselves; UTF-8 passes where it may.
 */
static inline bool are_plain(const uint8_t *p, bool with_utf8) {
        const uint8_t space = 0x20, quote = '"', backslash = '\\', top = with_utf8 ? 0 : 0x80;
        Lanes c, others;
        Words words;

        memcpy(&c, p, sizeof(c));
        others = (Lanes) (c < space) | (Lanes) (c == quote) | (Lanes) (c == backslash) | (c & top);
        words = (Words) others;
        return (words[0] | words[1]) == 0;
}

/* Behind the bytes that stand for themselves, and where UTF-8 begins unless it may be among them.
 */
static const uint8_t *skip_plain(const uint8_t *p, const uint8_t *end, bool with_utf8) {
        while (end - p >= LANES && are_plain(p, with_utf8))
                p += LANES;
        while (p < end && (is_plain(*p) || (with_utf8 && *p >= 0x80)))
                p++;
        return p;
}

static void skip_space(Reader *r) {
        while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
                r->p++;
}

static bool take(Reader *r, uint8_t c) {
        if (r->p == r->end || *r->p != c)
                return false;
        r->p++;
        return true;
}

/* The size of the UTF-8 sequence at p, RFC 3629; 0: there is none. */
static size_t utf8_size(const uint8_t *p, const uint8_t *end) {
        size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;

        if (*p < 0xc2 || *p > 0xf4 || (size_t) (end - p) < n)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
                        (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
                return 0;
        return n;
}

/* What follows a backslash; 0: jansson may know. */
static uint8_t unescaped(uint8_t c) {
        switch (c) {
        case '"':
        case '\\':
        case '/':
                return c;
        case 'b':
                return '\b';
        case 'f':
                return '\f';
        case 'n':
                return '\n';
        case 'r':
                return '\r';
        case 't':
                return '\t';
        default:
                return 0;
        }
}

/* From behind the opening quote to behind the closing one. *ret_escapes counts the backslashes that
 * are no part of the string. */
static bool scan_string(Reader *r, const uint8_t **ret, size_t *ret_size, size_t *ret_escapes) {
        *ret = r->p;
        *ret_escapes = 0;
        for (;;) {
                r->p = skip_plain(r->p, r->end, false);
                if (r->p == r->end || *r->p < 0x20)
                        return false;
                if (*r->p == '"')
                        break;
                if (*r->p == '\\') {
                        if (r->end - r->p < 2 || unescaped(r->p[1]) == 0)
                                return false;
                        r->p += 2;
                        ++*ret_escapes;
                } else {
                        size_t n = utf8_size(r->p, r->end);

                        if (n == 0)
                                return false;
                        r->p += n;
                }
        }
        *ret_size = (size_t) (r->p - *ret);
        r->p++;
        return true;
}

static json_t *unescaped_string(const uint8_t *text, size_t size, size_t escapes) {
        uint8_t *plain = malloc(size - escapes);
        json_t *string;
        size_t n = 0;

        if (!plain)
                return NULL;
        for (size_t i = 0; i < size; i++)
                plain[n++] = text[i] == '\\' ? unescaped(text[++i]) : text[i];
        string = json_stringn_nocheck((const char *) plain, n);
        sodium_memzero(plain, n);
        free(plain);
        return string;
}

static json_t *read_string(Reader *r) {
        const uint8_t *text;
        size_t size, escapes;

        if (!scan_string(r, &text, &size, &escapes))
                return NULL;
        return escapes > 0 ? unescaped_string(text, size, escapes)
                           : json_stringn_nocheck((const char *) text, size);
}

static json_t *read_integer(Reader *r) {
        bool negative = take(r, '-');
        const uint8_t *first = r->p;
        json_int_t value = 0;

        while (r->p < r->end && is_digit(*r->p)) {
                if (r->p - first == DIGITS_MAX)
                        return NULL;
                value = value * 10 + (*r->p++ - '0');
        }
        if (r->p == first || (*first == '0' && r->p - first > 1))
                return NULL;
        if (r->p < r->end && (*r->p == '.' || *r->p == 'e' || *r->p == 'E'))
                return NULL;
        return json_integer(negative ? -value : value);
}

static json_t *read_word(Reader *r) {
        static const struct {
                const char *text;
                json_t *(*value)(void);
        } words[] = { { "true", json_true }, { "false", json_false }, { "null", json_null } };

        for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
                size_t n = strlen(words[i].text);

                if ((size_t) (r->end - r->p) >= n && memcmp(r->p, words[i].text, n) == 0) {
                        r->p += n;
                        return words[i].value();
                }
        }
        return NULL;
}

static json_t *read_value(Reader *r);

static bool read_members(Reader *r, json_t *object) {
        size_t n = 0;

        skip_space(r);
        if (take(r, '}'))
                return true;
        do {
                const uint8_t *name;
                size_t size, escapes;
                json_t *value;

                skip_space(r);
                if (!take(r, '"') || !scan_string(r, &name, &size, &escapes) || escapes > 0)
                        return false;
                skip_space(r);
                if (!take(r, ':'))
                        return false;
                value = read_value(r);
                if (!value || json_object_setn_new_nocheck(
                                              object, (const char *) name, size, value) < 0)
                        return false;
                if (json_object_size(object) != ++n) /* a repeated member */
                        return false;
                skip_space(r);
        } while (take(r, ','));
        return take(r, '}');
}

static bool read_elements(Reader *r, json_t *array) {
        skip_space(r);
        if (take(r, ']'))
                return true;
        do {
                json_t *value = read_value(r);

                if (!value || json_array_append_new(array, value) < 0)
                        return false;
                skip_space(r);
        } while (take(r, ','));
        return take(r, ']');
}

/* An object or an array, from behind its opening bracket. */
static json_t *read_container(Reader *r, bool is_object) {
        json_t *container;

        if (r->depth == 0)
                return NULL;
        container = is_object ? json_object() : json_array();
        if (!container)
                return NULL;
        r->depth--;
        if (!(is_object ? read_members(r, container) : read_elements(r, container))) {
                json_decref(container);
                return NULL;
        }
        r->depth++;
        return container;
}

static json_t *read_value(Reader *r) {
        skip_space(r);
        if (take(r, '"'))
                return read_string(r);
        if (take(r, '{'))
                return read_container(r, true);
        if (take(r, '['))
                return read_container(r, false);
        if (r->p < r->end && (*r->p == '-' || is_digit(*r->p)))
                return read_integer(r);
        return read_word(r);
}

json_t *json_quick_read(const void *data, size_t size, unsigned max_depth) {
        Reader r = { .p = data, .depth = max_depth };
        json_t *value = NULL;

        if (size == 0)
                return NULL;
        r.end = r.p + size;
        skip_space(&r);
        if (take(&r, '{'))
                value = read_container(&r, true);
        else if (take(&r, '['))
                value = read_container(&r, false);
        if (!value)
                return NULL;
        skip_space(&r);
        if (r.p != r.end) {
                json_decref(value);
                return NULL;
        }
        return value;
}

/* --- what is written as it was read --- */

/* No text that was read has such names or strings, which are no UTF-8: nobody but us can make such
 * an object. jansson's own writer cuts the names short without a word, but refuses the string. */
static const char verbatim_name[] = "\xff", refused_name[] = "\xfe", refused[] = "\xff";

json_t *json_quick_verbatim(const char *text, size_t size) {
        json_t *object = json_object();

        if (json_object_set_new_nocheck(object, verbatim_name, json_stringn_nocheck(text, size)) <
                                        0 ||
                        json_object_set_new_nocheck(
                                        object, refused_name, json_string_nocheck(refused)) < 0) {
                json_decref(object);
                return NULL;
        }
        return object;
}

const char *json_quick_verbatim_text(const json_t *value, size_t *ret_size) {
        const json_t *text;

        if (json_object_size(value) != 2)
                return NULL;
        text = json_object_getn(value, verbatim_name, 1);
        if (!text)
                return NULL;
        *ret_size = json_string_length(text);
        return json_string_value(text);
}

/* --- writing --- */

typedef struct Writer {
        uint8_t *buffer;
        size_t room, size;
        unsigned depth;
        bool failed;
} Writer;

enum { WRITE_DEPTH_MAX = 64 };

static void write_bytes(Writer *w, const void *data, size_t size) {
        if (w->size < w->room) {
                size_t n = w->room - w->size;

                memcpy(w->buffer + w->size, data, size < n ? size : n);
        }
        w->size += size;
}

static void write_byte(Writer *w, char c) {
        if (w->size < w->room)
                w->buffer[w->size] = (uint8_t) c;
        w->size++;
}

static void write_escaped(Writer *w, uint8_t c) {
        static const char hex[] = "0123456789ABCDEF", named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
        char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
        size_t size = sizeof(text);

        for (const char *p = named; *p; p += 2)
                if ((uint8_t) *p == c) {
                        text[1] = p[1];
                        size = 2;
                }
        write_bytes(w, text, size);
}

static void write_string(Writer *w, const char *text, size_t size) {
        const uint8_t *p = (const uint8_t *) text, *end = p + size;

        write_byte(w, '"');
        while (p < end) {
                const uint8_t *first = p;

                p = skip_plain(p, end, true);
                write_bytes(w, first, (size_t) (p - first));
                if (p < end)
                        write_escaped(w, *p++);
        }
        write_byte(w, '"');
}

static void write_integer(Writer *w, json_int_t value) {
        char digits[24];
        size_t n = sizeof(digits);
        unsigned long long rest =
                        value < 0 ? 0 - (unsigned long long) value : (unsigned long long) value;

        do
                digits[--n] = (char) ('0' + rest % 10);
        while ((rest /= 10) > 0);
        if (value < 0)
                digits[--n] = '-';
        write_bytes(w, digits + n, sizeof(digits) - n);
}

static void write_real(Writer *w, const json_t *value) {
        char digits[64];
        size_t n = json_dumpb(value, digits, sizeof(digits), JSON_ENCODE_ANY);

        if (n == 0 || n > sizeof(digits))
                w->failed = true;
        else
                write_bytes(w, digits, n);
}

static void write_value(Writer *w, const json_t *value);

static void write_members(Writer *w, const json_t *object) {
        const char *separator = "";
        void *i = json_object_iter((json_t *) object);

        for (; i; i = json_object_iter_next((json_t *) object, i)) {
                write_bytes(w, separator, strlen(separator));
                write_string(w, json_object_iter_key(i), json_object_iter_key_len(i));
                write_byte(w, ':');
                write_value(w, json_object_iter_value(i));
                separator = ",";
        }
}

static void write_elements(Writer *w, const json_t *array) {
        for (size_t i = 0; i < json_array_size(array); i++) {
                if (i > 0)
                        write_byte(w, ',');
                write_value(w, json_array_get(array, i));
        }
}

static void write_container(Writer *w, const json_t *value) {
        bool is_object = json_is_object(value);
        size_t size;
        const char *text = is_object ? json_quick_verbatim_text(value, &size) : NULL;

        if (text) {
                write_bytes(w, text, size);
                return;
        }
        if (w->depth == WRITE_DEPTH_MAX) { /* perhaps in a circle, which jansson would see */
                w->failed = true;
                return;
        }
        w->depth++;
        write_byte(w, is_object ? '{' : '[');
        if (is_object)
                write_members(w, value);
        else
                write_elements(w, value);
        write_byte(w, is_object ? '}' : ']');
        w->depth--;
}

static void write_value(Writer *w, const json_t *value) {
        if (w->failed)
                return;
        switch (json_typeof(value)) {
        case JSON_OBJECT:
        case JSON_ARRAY:
                write_container(w, value);
                break;
        case JSON_STRING:
                write_string(w, json_string_value(value), json_string_length(value));
                break;
        case JSON_INTEGER:
                write_integer(w, json_integer_value(value));
                break;
        case JSON_TRUE:
                write_bytes(w, "true", 4);
                break;
        case JSON_FALSE:
                write_bytes(w, "false", 5);
                break;
        case JSON_NULL:
                write_bytes(w, "null", 4);
                break;
        case JSON_REAL:
                write_real(w, value);
                break;
        }
}

size_t json_quick_write(const json_t *value, void *buffer, size_t room) {
        Writer w = { .buffer = buffer, .room = room };

        if (!value)
                return 0;
        write_value(&w, value);
        return w.failed ? json_dumpb(value, buffer, room, JSON_COMPACT | JSON_ENCODE_ANY) : w.size;
}

size_t json_quick_write_text(const char *text, void *buffer, size_t room) {
        Writer w = { .buffer = buffer, .room = room };

        write_string(&w, text, strlen(text));
        return w.size;
}

char *json_quick_text(const json_t *value) {
        json_malloc_t allocate;
        size_t size;
        char *text;

        size = json_quick_write(value, NULL, 0);
        if (size == 0)
                return NULL;
        json_get_alloc_funcs(&allocate, NULL);
        text = allocate(size + 1);
        if (!text)
                return NULL;
        (void) json_quick_write(value, text, size);
        text[size] = 0;
        return text;
}
