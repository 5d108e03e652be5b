#include "utf8-filter.h"

#include <assert.h>
#include <string.h>

#include "text.h"

void utf8_filter_init(Utf8Filter *filter, char *ret, size_t ret_size) {
        assert(ret_size > 0);
        *filter = (Utf8Filter){ .room = ret_size - 1 };
        filter->text = ret;
}

static void add(Utf8Filter *filter, const char *text, size_t size) {
        if (filter->full || filter->room - filter->size < size) {
                filter->full = true;
                return;
        }
        memcpy(filter->text + filter->size, text, size);
        filter->size += size;
}

/* The bytes of the character at p, or 0 when there is none. */
static size_t character_size(const char *p, size_t size) {
        unsigned char c = (unsigned char) *p;
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

        return n <= size && text_is_utf8(p, n) ? n : 0;
}

static bool is_left_out(const char *p, size_t n) {
        unsigned char c = (unsigned char) *p;

        if (n == 1)
                return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
        if (n == 2)
                return c == 0xc2 && (unsigned char) p[1] < 0xa0;
        return n == 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0);
}

void utf8_filter_put(Utf8Filter *filter, const char *data, size_t size) {
        const char *p = data, *end = data + size;

        while (p < end && !filter->full) {
                size_t n = character_size(p, (size_t) (end - p));
                bool after_return = filter->return_seen;

                filter->return_seen = *p == '\r';
                if (n == 0)
                        add(filter, "\xef\xbf\xbd", 3);
                else if (*p == '\r')
                        add(filter, "\n", 1);
                else if (!(after_return && *p == '\n') && !is_left_out(p, n))
                        add(filter, p, n);
                p += n ? n : 1;
        }
}

bool utf8_filter_is_full(const Utf8Filter *filter) {
        return filter->full;
}

size_t utf8_filter_end(Utf8Filter *filter) {
        filter->text[filter->size] = '\0';
        return filter->size;
}

size_t utf8_encode(uint32_t character, char ret[4]) {
        if (character < 0x80) {
                ret[0] = (char) character;
                return 1;
        }
        if (character < 0x800) {
                ret[0] = (char) (0xc0 | character >> 6);
                ret[1] = (char) (0x80 | (character & 0x3f));
                return 2;
        }
        if (character < 0x10000) {
                ret[0] = (char) (0xe0 | character >> 12);
                ret[1] = (char) (0x80 | (character >> 6 & 0x3f));
                ret[2] = (char) (0x80 | (character & 0x3f));
                return 3;
        }
        ret[0] = (char) (0xf0 | character >> 18);
        ret[1] = (char) (0x80 | (character >> 12 & 0x3f));
        ret[2] = (char) (0x80 | (character >> 6 & 0x3f));
        ret[3] = (char) (0x80 | (character & 0x3f));
        return 4;
}
