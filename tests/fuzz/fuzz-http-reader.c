/* Answers to HTTP requests as a hostile server writes them: the first byte says how the input is
 * cut into pieces, and whether the request was HEAD. However the bytes come, the outcome is the
 * same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "http-reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        BODY_MAX = 2000,
};

static int feed(HttpReader *reader, const char *data, size_t size, size_t piece, size_t *ret_used) {
        int r = HTTP_READER_E_MORE;

        *ret_used = 0;
        while (*ret_used < size && r == HTTP_READER_E_MORE) {
                size_t left = size - *ret_used, n = left < piece ? left : piece, used = 0;

                r = http_reader_take(reader, data + *ret_used, n, &used);
                assert(r > 0 || used <= n);
                *ret_used += r == HTTP_READER_E_MORE ? n : used;
        }
        return r == HTTP_READER_E_MORE ? http_reader_end(reader) : r;
}

static void check(const HttpReader *reader) {
        HttpAnswer answer = http_reader_answer(reader);

        assert(answer.status >= 200 && answer.status <= 599);
        assert(answer.headers_size <= HTTP_READER_HEAD_MAX && answer.body_size <= BODY_MAX);
        assert(!memchr(answer.headers, 0, answer.headers_size));
        assert(!reader->is_head || answer.body_size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        HttpReader whole = { .body_max = BODY_MAX }, pieces = { .body_max = BODY_MAX };
        size_t used, used_pieces;
        int r, r_pieces;

        if (size < 1)
                return 0;
        whole.is_head = pieces.is_head = data[0] & 0x80;
        r = feed(&whole, (const char *) data + 1, size - 1, size, &used);
        r_pieces = feed(&pieces,
                        (const char *) data + 1,
                        size - 1,
                        1 + (data[0] & 0x7f),
                        &used_pieces);
        assert(r == r_pieces);
        if (r == 0) {
                HttpAnswer a = http_reader_answer(&whole), b = http_reader_answer(&pieces);

                check(&whole);
                assert(used == used_pieces && a.status == b.status);
                assert(a.headers_size == b.headers_size && a.body_size == b.body_size);
                assert(memcmp(a.headers, b.headers, a.headers_size) == 0);
                assert(a.body_size == 0 || memcmp(a.body, b.body, a.body_size) == 0);
                assert(http_reader_keeps(&whole) == http_reader_keeps(&pieces));
        }
        http_reader_reset(&whole);
        assert(http_reader_is_untouched(&whole));
        http_reader_done(&whole);
        http_reader_done(&pieces);
        return 0;
}
