/* Reads one answer of HTTP/1.1 or 1.0 from the bytes of a connection (RFC 9112), as they come.
 * Bytes in, values out; no I/O. Strict where two readers could disagree about where an answer ends:
 * what is not clearly one answer is none. */
#pragma once

#include <stdbool.h>

#include "http.h"

enum {
        HTTP_READER_HEAD_MAX = 16 * 1024, /* lines of head and trailer, interim answers included */
};

typedef enum HttpReaderError {
        HTTP_READER_E_MORE = 1,  /* it goes on */
        HTTP_READER_E_BROKEN,    /* not HTTP, or ambiguous */
        HTTP_READER_E_TOO_LARGE, /* head or body */
        HTTP_READER_E_CUT,       /* the connection ended too early */
} HttpReaderError;

typedef enum HttpReaderState {
        HTTP_READER_HEAD,
        HTTP_READER_SIZED,     /* a body of Content-Length */
        HTTP_READER_UNTIL_END, /* a body until the connection ends */
        HTTP_READER_CHUNK_SIZE,
        HTTP_READER_CHUNK,
        HTTP_READER_CHUNK_END,
        HTTP_READER_TRAILER,
        HTTP_READER_DONE,
} HttpReaderState;

/* Zeros and body_max are a reader at its beginning; http_reader_done() is needed after. */
typedef struct HttpReader {
        size_t body_max;
        bool is_head; /* the request was HEAD: no body follows, whatever the head says */

        HttpReaderState state;
        char *head, *body;
        size_t head_size, head_allocated;
        size_t head_begin, head_end; /* the header lines of the answer that counts */
        size_t line_begin, body_size, body_allocated;
        uint64_t left; /* of the body or the chunk */
        int status;
        bool http_1_0, closes, has_length, is_chunked;
} HttpReader;

/* Takes what came. 0: the answer is whole, *ret_used bytes belong to it. HTTP_READER_E_MORE: all of
 * the bytes were taken. Other HttpReaderErrors and -ENOMEM: the connection is of no use any more.
 */
int http_reader_take(HttpReader *reader, const char *data, size_t size, size_t *ret_used);

/* The connection ended in order. 0: that was the answer's end. HTTP_READER_E_CUT. */
int http_reader_end(HttpReader *reader);

/* The answer, borrowed from the reader. Only after 0. */
HttpAnswer http_reader_answer(const HttpReader *reader);

/* Whether the connection may carry another request. Only after 0. */
bool http_reader_keeps(const HttpReader *reader);

/* True when nothing has come yet. */
bool http_reader_is_untouched(const HttpReader *reader);

/* Wipes and begins anew with the same body_max, keeping small buffers for the next answer. */
void http_reader_reset(HttpReader *reader);

/* Wipes and frees. */
void http_reader_done(HttpReader *reader);
