/* A small HTTP/1.1 listener for plugins that others call back: a carrier with a message or a
 * report. libmicrohttpd's epoll loop inside sd-event, plain HTTP on an address of the operator's
 * choice, everything bounded, and answers that may come later. What is called and who may call is
 * the plugin's to decide. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

typedef struct HttpListen HttpListen;
typedef struct HttpCall HttpCall;

typedef struct HttpCallView {
        const char *method;
        const char *path, *query; /* as they came: not decoded */
        const char *body;         /* not terminated */
        size_t body_size;
} HttpCallView;

typedef struct HttpListenOps {
        /* A whole request came; what is too large, or has an ambiguous length, was refused before.
         * Answer it now or later with http_call_answer(). The view is borrowed until it is
         * answered. */
        void (*call)(HttpCall *call, const HttpCallView *view, void *userdata);
        /* It was not answered in time, so it was with 503, or the listener ends: forget it. Not
         * called for what was answered. */
        void (*gone)(HttpCall *call, void *userdata);
} HttpListenOps;

typedef struct HttpListenLimits {
        unsigned connections;     /* more wait for their turn */
        size_t body_max;          /* bytes */
        unsigned request_seconds; /* that a whole request may take, however it trickles */
        unsigned answer_seconds;  /* from the whole request to the plugin's answer */
} HttpListenLimits;

/* The request's line and header fields together; a longer one is answered with 431 or 414. */
enum { HTTP_LISTEN_HEADER_MAX = 48 * 1024 };

/* Listens on an address in the form of listen-socket.h, and logs a warning when it can be reached
 * from other machines, since nothing is encrypted. ops and userdata stay the caller's. -EINVAL:
 * another form of address. */
int http_listen_new(HttpListen **ret,
                sd_event *event,
                const char *address,
                const HttpListenOps *ops,
                const HttpListenLimits *limits,
                void *userdata);

/* Calls gone for every call that is not answered, and closes. Takes NULL, returns NULL. */
HttpListen *http_listen_free(HttpListen *listen);
DEFINE_CLEANUP(HttpListen, http_listen_free)

/* For what the plugin remembers of a call. */
void http_call_set_userdata(HttpCall *call, void *userdata);
void *http_call_userdata(const HttpCall *call);

/* The value of a header field; NULL when it is not there, or there more than once. Borrowed. */
const char *http_call_header(const HttpCall *call, const char *name);

/* Answers; once for each call, which is gone afterwards. text may be NULL for an empty body, and is
 * copied. */
void http_call_answer(HttpCall *call, unsigned status, const char *content_type, const char *text);
