/* Beside a recogniser of RFC 8259 that knows nothing of jansson: with the whole text as the value
 * that is kept, exactly what it recognises is read; with a member, nothing is read that it does not
 * recognise, all is read that json_read() reads, and what was kept is written as it came. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-raw.h"
#include "json-wipe.h"

enum {
        DEPTH_MAX = 16,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the recogniser --- */

typedef struct Text {
        const uint8_t *p, *end;
        unsigned depth;
} Text;

static int peek(const Text *t) {
        return t->p < t->end ? *t->p : -1;
}

static bool take(Text *t, int c) {
        if (peek(t) != c)
                return false;
        t->p++;
        return true;
}

static void space(Text *t) {
        while (peek(t) == ' ' || peek(t) == '\t' || peek(t) == '\n' || peek(t) == '\r')
                t->p++;
}

static bool digits(Text *t) {
        const uint8_t *first = t->p;

        while (peek(t) >= '0' && peek(t) <= '9')
                t->p++;
        return t->p > first;
}

static bool number(Text *t) {
        (void) take(t, '-');
        if (!take(t, '0') && !digits(t))
                return false;
        if (take(t, '.') && !digits(t))
                return false;
        if (take(t, 'e') || take(t, 'E')) {
                if (!take(t, '+'))
                        (void) take(t, '-');
                return digits(t);
        }
        return true;
}

static bool hex(Text *t, unsigned *ret) {
        *ret = 0;
        for (int i = 0; i < 4; i++) {
                int c = peek(t);

                if (c >= '0' && c <= '9')
                        c -= '0';
                else if ((c | 32) >= 'a' && (c | 32) <= 'f')
                        c = (c | 32) - 'a' + 10;
                else
                        return false;
                *ret = *ret * 16 + (unsigned) c;
                t->p++;
        }
        return true;
}

static bool escape(Text *t) {
        unsigned unit;
        int c = peek(t);

        t->p++;
        if (c > 0 && strchr("\"\\/bfnrt", c))
                return true;
        if (c != 'u' || !hex(t, &unit) || (unit >= 0xdc00 && unit <= 0xdfff))
                return false;
        if (unit < 0xd800 || unit > 0xdbff)
                return true;
        return take(t, '\\') && take(t, 'u') && hex(t, &unit) && unit >= 0xdc00 && unit <= 0xdfff;
}

static bool utf8(Text *t) {
        static const struct {
                uint8_t first, last;
                int more;
                uint32_t min;
        } kinds[] = { { 0x20, 0x7f, 0, 0x20 },
                { 0xc0, 0xdf, 1, 0x80 },
                { 0xe0, 0xef, 2, 0x800 },
                { 0xf0, 0xf7, 3, 0x10000 } };

        for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
                uint32_t c = *t->p;

                if (c < kinds[i].first || c > kinds[i].last)
                        continue;
                c &= kinds[i].more ? 0x3fu >> kinds[i].more : 0x7f;
                t->p++;
                for (int k = 0; k < kinds[i].more; k++) {
                        if (t->p == t->end || (*t->p & 0xc0) != 0x80)
                                return false;
                        c = c << 6 | (*t->p++ & 0x3fu);
                }
                return c >= kinds[i].min && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        }
        return false;
}

static bool string(Text *t) {
        if (!take(t, '"'))
                return false;
        while (!take(t, '"'))
                if (t->p == t->end || (take(t, '\\') ? t->p == t->end || !escape(t) : !utf8(t)))
                        return false;
        return true;
}

static bool word(Text *t, const char *text) {
        size_t n = strlen(text);

        if ((size_t) (t->end - t->p) < n || memcmp(t->p, text, n) != 0)
                return false;
        t->p += n;
        return true;
}

static bool value(Text *t);

static bool container(Text *t, bool is_object) {
        const char close = is_object ? '}' : ']';

        if (t->depth++ == DEPTH_MAX)
                return false;
        t->p++;
        space(t);
        if (!take(t, close)) {
                do {
                        space(t);
                        if (is_object) {
                                if (!string(t))
                                        return false;
                                space(t);
                                if (!take(t, ':'))
                                        return false;
                        }
                        if (!value(t))
                                return false;
                        space(t);
                } while (take(t, ','));
                if (!take(t, close))
                        return false;
        }
        t->depth--;
        return true;
}

static bool value(Text *t) {
        space(t);
        switch (peek(t)) {
        case '{':
                return container(t, true);
        case '[':
                return container(t, false);
        case '"':
                return string(t);
        case 't':
                return word(t, "true");
        case 'f':
                return word(t, "false");
        case 'n':
                return word(t, "null");
        default:
                return number(t);
        }
}

static bool is_json(const uint8_t *data, size_t size) {
        Text t = { data, data + size, 0 };

        space(&t);
        if (peek(&t) != '{' && peek(&t) != '[')
                return false;
        if (!value(&t))
                return false;
        space(&t);
        return t.p == t.end;
}

/* --- what is held against it --- */

static void check_whole(const uint8_t *data, size_t size) {
        JsonProblem problem = { 0 };
        json_auto_t *tree = NULL;
        JsonRaw raw;
        int r;

        r = json_raw_read(data, size, DEPTH_MAX, "", &tree, &raw, &problem);
        assert(r >= 0);
        if (r != 0 && problem.syntax == JSON_SYNTAX_REPEATED)
                return;
        assert((r == 0) == is_json(data, size));
        assert(r != 0 || (raw.size > 0 && is_json((const uint8_t *) raw.data, raw.size)));
}

static void check_written(const json_t *tree, const JsonRaw *raw, const char *path) {
        char *text = json_quick_text(tree);
        JsonProblem problem;
        json_t *again = NULL;
        JsonRaw same;

        assert(text);
        assert(json_raw_read(text, strlen(text), DEPTH_MAX, path, &again, &same, &problem) == 0);
        assert(same.size == raw->size && memcmp(same.data, raw->data, raw->size) == 0);
        json_decref(again);
        json_wipe_free(text);
}

static void check_member(const uint8_t *data, size_t size, const char *path) {
        json_t *tree = NULL, *plain = NULL, *kept = NULL;
        JsonProblem problem;
        JsonRaw raw;
        int r, p;

        r = json_raw_read(data, size, DEPTH_MAX, path, &tree, &raw, &problem);
        p = json_read(data, size, DEPTH_MAX, &plain, &problem);
        assert(r >= 0 && p >= 0);
        assert(r != 0 || is_json(data, size));
        assert(p != 0 || r == 0);
        if (r == 0 && raw.data) {
                assert(raw.size <= size && (const uint8_t *) raw.data >= data);
                assert(json_raw_read_kept(data, size, DEPTH_MAX, path, &kept, &problem) == 0);
                if (raw.data[0] == '{')
                        check_written(kept, &raw, path);
        }
        json_decref(tree);
        json_decref(plain);
        json_decref(kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        check_whole(data, size);
        check_member(data, size, "a");
        check_member(data, size, "a/b");
        check_member(data, size, "1/a");
        return 0;
}
