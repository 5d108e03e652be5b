#include "http-reader.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"

enum {
        KEPT_SIZE = 8 * 1024,  /* larger buffers are not kept for the next answer */
        CHUNK_SIZE_DIGITS = 8, /* hexadecimal */
        LENGTH_DIGITS = 18,
};

/* --- buffers: not realloc(), because what it leaves behind cannot be wiped --- */

static void wipe_free(char *data, size_t size) {
        if (!data)
                return;
        sodium_memzero(data, size);
        free(data);
}

static int reserve(char **data, size_t used, size_t *allocated, size_t wanted) {
        size_t size = *allocated ? *allocated : 1024;
        char *grown;

        if (*allocated >= wanted)
                return 0;
        while (size < wanted)
                size *= 2;
        grown = malloc(size);
        if (!grown)
                return -ENOMEM;
        if (used > 0)
                memcpy(grown, *data, used);
        wipe_free(*data, used);
        *data = grown;
        *allocated = size;
        return 0;
}

static int keep_head(HttpReader *r, const char *data, size_t size) {
        int e;

        if (size > HTTP_READER_HEAD_MAX - r->head_size)
                return HTTP_READER_E_TOO_LARGE;
        e = reserve(&r->head, r->head_size, &r->head_allocated, r->head_size + size);
        if (e < 0)
                return e;
        memcpy(r->head + r->head_size, data, size);
        r->head_size += size;
        return 0;
}

static int keep_body(HttpReader *r, const char *data, size_t size) {
        int e;

        if (size > r->body_max - r->body_size)
                return HTTP_READER_E_TOO_LARGE;
        e = reserve(&r->body, r->body_size, &r->body_allocated, r->body_size + size);
        if (e < 0)
                return e;
        memcpy(r->body + r->body_size, data, size);
        r->body_size += size;
        return 0;
}

/* --- the head --- */

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* RFC 9110 section 5.6.2. */
static bool is_token(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                char c = text[i];

                if (!is_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
                                (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
                        return false;
        }
        return size > 0;
}

static int read_status_line(HttpReader *r, const char *line, size_t size) {
        if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
                        line[8] != ' ' || line[9] < '1' || line[9] > '5' || !is_digit(line[10]) ||
                        !is_digit(line[11]) || (size > 12 && line[12] != ' '))
                return HTTP_READER_E_BROKEN;
        r->http_1_0 = line[7] == '0';
        r->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
        return 0;
}

static bool is_word(const char *value, size_t size, const char *word) {
        return size == strlen(word) && strncasecmp(value, word, size) == 0;
}

static int read_length(HttpReader *r, const char *value, size_t size) {
        uint64_t length = 0;

        if (size == 0 || size > LENGTH_DIGITS)
                return HTTP_READER_E_BROKEN;
        for (size_t i = 0; i < size; i++) {
                if (!is_digit(value[i]))
                        return HTTP_READER_E_BROKEN;
                length = length * 10 + (uint64_t) (value[i] - '0');
        }
        if (r->has_length && length != r->left)
                return HTTP_READER_E_BROKEN;
        r->has_length = true;
        r->left = length;
        return 0;
}

/* A list of words between commas. */
static void read_connection(HttpReader *r, const char *value, size_t size) {
        while (size > 0) {
                const char *comma = memchr(value, ',', size);
                size_t all = comma ? (size_t) (comma - value) : size, n = all;
                const char *word = value;

                while (n > 0 && (*word == ' ' || *word == '\t'))
                        word++, n--;
                while (n > 0 && (word[n - 1] == ' ' || word[n - 1] == '\t'))
                        n--;
                if (is_word(word, n, "close"))
                        r->closes = true;
                value += all + (comma ? 1 : 0);
                size -= all + (comma ? 1 : 0);
        }
}

static int read_header_line(HttpReader *r, const char *line, size_t size) {
        const char *colon = memchr(line, ':', size), *value;
        size_t name_size = colon ? (size_t) (colon - line) : 0;

        if (!is_token(line, name_size))
                return HTTP_READER_E_BROKEN;
        value = colon + 1;
        size -= name_size + 1;
        while (size > 0 && (*value == ' ' || *value == '\t'))
                value++, size--;
        while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
                size--;

        if (is_word(line, name_size, "Content-Length"))
                return read_length(r, value, size);
        if (is_word(line, name_size, "Transfer-Encoding")) {
                if (r->is_chunked || !is_word(value, size, "chunked"))
                        return HTTP_READER_E_BROKEN;
                r->is_chunked = true;
        } else if (is_word(line, name_size, "Connection"))
                read_connection(r, value, size);
        return 0;
}

/* An interim answer is forgotten; its bytes still count. */
static int forget_interim(HttpReader *r) {
        if (r->status == 101)
                return HTTP_READER_E_BROKEN;
        r->head_begin = r->head_size;
        r->status = 0;
        r->closes = r->has_length = r->is_chunked = false;
        r->left = 0;
        return 0;
}

static int end_head(HttpReader *r) {
        if (r->status < 200)
                return forget_interim(r);
        if (r->is_chunked && (r->has_length || r->http_1_0))
                return HTTP_READER_E_BROKEN;
        if (r->is_head || r->status == 204 || r->status == 304)
                r->state = HTTP_READER_DONE;
        else if (r->is_chunked)
                r->state = HTTP_READER_CHUNK_SIZE;
        else if (r->has_length) {
                if (r->left > r->body_max)
                        return HTTP_READER_E_TOO_LARGE;
                r->state = r->left > 0 ? HTTP_READER_SIZED : HTTP_READER_DONE;
        } else {
                r->state = HTTP_READER_UNTIL_END;
                r->closes = true;
        }
        return 0;
}

/* --- lines --- */

static int read_chunk_size(HttpReader *r, const char *line, size_t size) {
        uint64_t value = 0;
        size_t n = 0;

        for (; n < size && n <= CHUNK_SIZE_DIGITS; n++) {
                char c = line[n], lower = (char) (c | 0x20);

                if (is_digit(c))
                        value = value << 4 | (uint64_t) (c - '0');
                else if (lower >= 'a' && lower <= 'f')
                        value = value << 4 | (uint64_t) (lower - 'a' + 10);
                else
                        break;
        }
        if (n == 0 || n > CHUNK_SIZE_DIGITS ||
                        (n < size && line[n] != ';' && line[n] != ' ' && line[n] != '\t'))
                return HTTP_READER_E_BROKEN;
        if (value > r->body_max - r->body_size)
                return HTTP_READER_E_TOO_LARGE;
        r->left = value;
        r->state = value > 0 ? HTTP_READER_CHUNK : HTTP_READER_TRAILER;
        return 0;
}

static int read_line(HttpReader *r, const char *line, size_t size) {
        if (memchr(line, 0, size) || memchr(line, '\r', size))
                return HTTP_READER_E_BROKEN;
        switch (r->state) {
        case HTTP_READER_HEAD:
                if (r->status == 0) {
                        int e = read_status_line(r, line, size);

                        r->head_begin = r->head_size; /* the status line is not shown */
                        return e;
                }
                return size == 0 ? end_head(r) : read_header_line(r, line, size);
        case HTTP_READER_CHUNK_SIZE:
                return read_chunk_size(r, line, size);
        case HTTP_READER_CHUNK_END:
                r->state = HTTP_READER_CHUNK_SIZE;
                return size == 0 ? 0 : HTTP_READER_E_BROKEN;
        case HTTP_READER_TRAILER:
                if (size == 0)
                        r->state = HTTP_READER_DONE;
                return 0;
        default:
                return HTTP_READER_E_BROKEN;
        }
}

/* Takes one line, or its beginning. The lines of a body's framing come after those of the head and
 * are taken off again, though their number is bounded by the same maximum. */
static int take_line(HttpReader *r, const char *data, size_t size, size_t *ret_used) {
        const char *end = memchr(data, '\n', size);
        bool in_head = r->state == HTTP_READER_HEAD;
        size_t line_size;
        int e;

        *ret_used = end ? (size_t) (end - data) + 1 : size;
        e = keep_head(r, data, *ret_used);
        if (e != 0 || !end)
                return e;
        line_size = r->head_size - r->line_begin - 1;
        if (line_size > 0 && r->head[r->line_begin + line_size - 1] == '\r')
                line_size--;
        e = read_line(r, r->head + r->line_begin, line_size);
        if (!in_head && r->state != HTTP_READER_TRAILER)
                r->head_size = r->line_begin;
        else if (in_head && e == 0 && r->state != HTTP_READER_HEAD)
                r->head_end = r->head_size;
        r->line_begin = r->head_size;
        return e;
}

/* --- the whole --- */

static int take_body(HttpReader *r, const char *data, size_t size, size_t *ret_used) {
        size_t n = r->state == HTTP_READER_UNTIL_END || size < r->left ? size : (size_t) r->left;
        int e;

        /* All that is announced, at once: it is bounded, and growing would copy. */
        if (r->state == HTTP_READER_SIZED && r->body_size == 0) {
                e = reserve(&r->body, 0, &r->body_allocated, (size_t) r->left);
                if (e < 0)
                        return e;
        }
        e = keep_body(r, data, n);
        if (e != 0)
                return e;
        *ret_used = n;
        if (r->state == HTTP_READER_UNTIL_END)
                return 0;
        r->left -= n;
        if (r->left == 0)
                r->state = r->state == HTTP_READER_SIZED ? HTTP_READER_DONE : HTTP_READER_CHUNK_END;
        return 0;
}

int http_reader_take(HttpReader *r, const char *data, size_t size, size_t *ret_used) {
        size_t used = 0;

        while (r->state != HTTP_READER_DONE && used < size) {
                bool is_body = r->state == HTTP_READER_SIZED || r->state == HTTP_READER_CHUNK ||
                               r->state == HTTP_READER_UNTIL_END;
                size_t n;
                int e;

                e = is_body ? take_body(r, data + used, size - used, &n)
                            : take_line(r, data + used, size - used, &n);
                if (e != 0)
                        return e;
                used += n;
        }
        *ret_used = used;
        return r->state == HTTP_READER_DONE ? 0 : HTTP_READER_E_MORE;
}

int http_reader_end(HttpReader *r) {
        if (r->state != HTTP_READER_UNTIL_END)
                return HTTP_READER_E_CUT;
        r->state = HTTP_READER_DONE;
        return 0;
}

HttpAnswer http_reader_answer(const HttpReader *r) {
        return (HttpAnswer){
                .status = r->status,
                .headers = r->head + r->head_begin,
                .headers_size = r->head_end - r->head_begin,
                .body = r->body,
                .body_size = r->body_size,
        };
}

bool http_reader_keeps(const HttpReader *r) {
        return !r->closes && !r->http_1_0;
}

bool http_reader_is_untouched(const HttpReader *r) {
        return r->head_size == 0;
}

static void empty(char **data, size_t used, size_t *allocated) {
        if (*allocated > KEPT_SIZE) {
                wipe_free(*data, used);
                *data = NULL;
                *allocated = 0;
        } else if (*data)
                sodium_memzero(*data, used);
}

void http_reader_reset(HttpReader *r) {
        empty(&r->head, r->head_size, &r->head_allocated);
        empty(&r->body, r->body_size, &r->body_allocated);
        *r = (HttpReader){
                .body_max = r->body_max,
                .head = r->head,
                .head_allocated = r->head_allocated,
                .body = r->body,
                .body_allocated = r->body_allocated,
        };
}

void http_reader_done(HttpReader *r) {
        wipe_free(r->head, r->head_allocated);
        wipe_free(r->body, r->body_allocated);
        *r = (HttpReader){ 0 };
}
