/* http-reader.h: where an answer ends, and what is none. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "http-reader.h"

enum {
        BODY_MAX = 100,
};

/* All of it, or byte by byte; then the connection ends. */
static int read_all(HttpReader *reader, const char *text, size_t piece, size_t *ret_used) {
        size_t size = strlen(text), used;
        int r = HTTP_READER_E_MORE;

        for (*ret_used = 0; *ret_used < size && r == HTTP_READER_E_MORE;) {
                size_t n = size - *ret_used < piece ? size - *ret_used : piece;

                r = http_reader_take(reader, text + *ret_used, n, &used);
                *ret_used += r == HTTP_READER_E_MORE ? n : r == 0 ? used : 0;
        }
        return r == HTTP_READER_E_MORE ? http_reader_end(reader) : r;
}

typedef struct Answer {
        const char *text;
        int status;
        const char *headers, *body;
        size_t n_left; /* bytes after it */
        bool keeps;
} Answer;

static void answers_end_where_they_say(void **state) {
        static const Answer answers[] = {
                { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                                200,
                                "Content-Length: 2\r\n\r\n",
                                "hi",
                                0,
                                true },
                { "HTTP/1.1 200 OK\r\nCONTENT-length:2 \r\n\r\nhihi",
                                200,
                                "CONTENT-length:2 \r\n\r\n",
                                "hi",
                                2,
                                true },
                { "HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
                                200,
                                NULL,
                                "hi",
                                0,
                                true },
                { "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", 404, NULL, "", 0, true },
                { "HTTP/1.1 204 No Content\r\n\r\nx", 204, "\r\n", "", 1, true },
                { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
                                304,
                                NULL,
                                "",
                                0,
                                true },
                { "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
                                200,
                                "Content-Length: 2\n\n",
                                "hi",
                                0,
                                true },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                  "Chunked\r\n\r\n2\r\nhi\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
                                200,
                                "Transfer-Encoding: Chunked\r\n\r\n",
                                "hi0123456789",
                                0,
                                true },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\nX: "
                  "y\r\n\r\nz",
                                200,
                                "Transfer-Encoding: chunked\r\n\r\n",
                                "!",
                                1,
                                true },
                { "HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, NULL, "until the end", 0, false },
                { "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
                                200,
                                NULL,
                                "hi",
                                0,
                                false },
                { "HTTP/1.1 200 OK\r\nConnection: x ,\tClose\r\nContent-Length: 0\r\n\r\n",
                                200,
                                NULL,
                                "",
                                0,
                                false },
                { "HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 201 "
                  "C\r\nContent-Length: 0\r\n\r\n",
                                201,
                                "Content-Length: 0\r\n\r\n",
                                "",
                                0,
                                true },
                { "HTTP/1.1 100 Continue\r\nConnection: close\r\nContent-Length: 9\r\n\r\nHTTP/1.1 "
                  "200 C\r\nContent-Length: 1\r\n\r\nx",
                                200,
                                NULL,
                                "x",
                                0,
                                true },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(answers); i++)
                for (size_t piece = 1; piece < 200; piece += 7) {
                        HttpReader reader = { .body_max = BODY_MAX };
                        size_t used;
                        HttpAnswer answer;

                        assert_int_equal(read_all(&reader, answers[i].text, piece, &used), 0);
                        answer = http_reader_answer(&reader);
                        assert_int_equal(answer.status, answers[i].status);
                        assert_int_equal(strlen(answers[i].text) - used, answers[i].n_left);
                        assert_int_equal(answer.body_size, strlen(answers[i].body));
                        if (answer.body_size > 0)
                                assert_memory_equal(answer.body, answers[i].body, answer.body_size);
                        if (answers[i].headers) {
                                assert_int_equal(answer.headers_size, strlen(answers[i].headers));
                                assert_memory_equal(answer.headers,
                                                answers[i].headers,
                                                answer.headers_size);
                        }
                        assert_int_equal(http_reader_keeps(&reader), answers[i].keeps);
                        http_reader_done(&reader);
                }
}

static void what_is_not_clearly_one_answer_is_none(void **state) {
        static const struct {
                const char *text;
                int error;
        } broken[] = {
                { "", HTTP_READER_E_CUT },
                { "HTTP/1.1 200 OK\r\n", HTTP_READER_E_CUT },
                { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", HTTP_READER_E_CUT },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
                                HTTP_READER_E_CUT },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", HTTP_READER_E_CUT },
                { "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", HTTP_READER_E_TOO_LARGE },
                { "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n",
                                HTTP_READER_E_TOO_LARGE },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n",
                                HTTP_READER_E_TOO_LARGE },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n64\r\n",
                                HTTP_READER_E_TOO_LARGE },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
                                HTTP_READER_E_TOO_LARGE },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n000000001\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhi", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n0\r\n\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                                HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n\r\nhi", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 101 Switching Protocols\r\n\r\n", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 099 X\r\n\r\n", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 600 X\r\n\r\n", HTTP_READER_E_BROKEN },
                { "HTTP/1.1 2000 X\r\n\r\n", HTTP_READER_E_BROKEN },
                { "HTTP/2 200\r\n\r\n", HTTP_READER_E_BROKEN },
                { "\r\nHTTP/1.1 200 OK\r\n\r\n", HTTP_READER_E_BROKEN },
                { "NONSENSE\r\n\r\n", HTTP_READER_E_BROKEN },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(broken); i++)
                for (size_t piece = 1; piece < 200; piece += 7) {
                        HttpReader reader = { .body_max = BODY_MAX };
                        size_t used;

                        if (read_all(&reader, broken[i].text, piece, &used) != broken[i].error)
                                fail_msg("%s", broken[i].text);
                        http_reader_done(&reader);
                }
}

static void a_head_is_bounded_however_it_comes(void **state) {
        static const char *const lines[] = { "X: y\r\n", "x", "HTTP/1.1 100 C\r\n\r\n" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(lines); i++) {
                HttpReader reader = { .body_max = BODY_MAX };
                int r = HTTP_READER_E_MORE;
                size_t used, n = 0;

                if (i == 0)
                        r = http_reader_take(&reader, "HTTP/1.1 200 OK\r\n", 17, &used);
                for (; r == HTTP_READER_E_MORE; n += strlen(lines[i]))
                        r = http_reader_take(&reader, lines[i], strlen(lines[i]), &used);
                assert_int_equal(r, HTTP_READER_E_TOO_LARGE);
                assert_true(n <= HTTP_READER_HEAD_MAX + strlen(lines[i]));
                http_reader_done(&reader);
        }
}

static void a_trailer_is_bounded_and_chunks_are_not_counted_as_head(void **state) {
        HttpReader reader = { .body_max = 100000 };
        int r;
        size_t used;

        (void) state;
        r = http_reader_take(&reader,
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                        47,
                        &used);
        for (size_t i = 0; i < 20000 && r == HTTP_READER_E_MORE; i++)
                r = http_reader_take(&reader, "1\r\nx\r\n", 6, &used);
        assert_int_equal(r, HTTP_READER_E_MORE);
        assert_int_equal(reader.body_size, 20000);
        r = http_reader_take(&reader, "0\r\n", 3, &used);
        for (size_t i = 0; i < HTTP_READER_HEAD_MAX && r == HTTP_READER_E_MORE; i++)
                r = http_reader_take(&reader, "X: y\r\n", 6, &used);
        assert_int_equal(r, HTTP_READER_E_TOO_LARGE);
        http_reader_done(&reader);
}

static void an_answer_to_head_has_no_body(void **state) {
        HttpReader reader = { .body_max = BODY_MAX, .is_head = true };
        size_t used;

        (void) state;
        assert_int_equal(read_all(&reader,
                                         "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
                                         100,
                                         &used),
                        0);
        assert_int_equal(http_reader_answer(&reader).body_size, 0);
        assert_true(http_reader_keeps(&reader));
        http_reader_done(&reader);
}

static void a_reader_starts_anew_and_leaves_nothing(void **state) {
        HttpReader reader = { .body_max = BODY_MAX, .is_head = true };
        size_t used;

        (void) state;
        for (int i = 0; i < 3; i++) {
                static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";

                reader.is_head = false;
                assert_true(http_reader_is_untouched(&reader));
                assert_int_equal(read_all(&reader, text, 10, &used), 0);
                assert_memory_equal(http_reader_answer(&reader).body, "secret", 6);
                http_reader_reset(&reader);
                assert_memory_equal(reader.body, "\0\0\0\0\0\0", 6);
                assert_null(memmem(reader.head, reader.head_allocated, "HTTP", 4));
        }
        http_reader_done(&reader);
        assert_null(reader.body);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_end_where_they_say),
                cmocka_unit_test(what_is_not_clearly_one_answer_is_none),
                cmocka_unit_test(a_head_is_bounded_however_it_comes),
                cmocka_unit_test(a_trailer_is_bounded_and_chunks_are_not_counted_as_head),
                cmocka_unit_test(an_answer_to_head_has_no_body),
                cmocka_unit_test(a_reader_starts_anew_and_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
