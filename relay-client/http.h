/* One HTTP exchange as values, so that the protocols (draft-v.h, draft-r.h) need no network and the
 * network (http-client.h) knows no protocol. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum {
        HTTP_HEADERS_MAX = 8,
};

typedef struct HttpRequest {
        const char *method; /* static */
        char *url;
        char *headers[HTTP_HEADERS_MAX]; /* "Name: value" */
        size_t n_headers;
        char *body; /* NULL: none, which for POST means an empty one */
        size_t body_size;
        const char *party; /* borrowed; its connections carry nobody else's requests. NULL: none */
        /* The name, static, of one of the headers, which an answer is to repeat. After an answer
         * that does not, nothing more is asked on its connection: what came there unasked could be
         * taken for the next answer. NULL: no answer says what it answers, nor needs to. */
        const char *echoed;
} HttpRequest;

#define HTTP_REQUEST_NULL ((HttpRequest){ .method = NULL })

/* All bytes are borrowed and need not end with a NUL. */
typedef struct HttpAnswer {
        int status;          /* 100 to 599; 0: there is no usable answer */
        const char *failure; /* why, when status is 0: a word of lower-case letters and '-', static
                              */
        bool answered;       /* when status is 0: somebody answered, though not as one should */
        const char *headers; /* the header lines of the last answer, without the status line */
        size_t headers_size;
        const char *body;
        size_t body_size;
} HttpAnswer;

static inline void http_request_done(HttpRequest *request) {
        free(request->url);
        for (size_t i = 0; i < request->n_headers; i++)
                free(request->headers[i]);
        free(request->body);
        *request = HTTP_REQUEST_NULL;
}
