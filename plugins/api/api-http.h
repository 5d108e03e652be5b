/* The HTTP/1.1 server of the front: libmicrohttpd's epoll loop inside sd-event, with absolute
 * deadlines for slow clients, a cap on bodies, answers that may come later, and answers that go on.
 * It knows nothing of shares. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "secret.h"

typedef struct ApiServer ApiServer;
typedef struct ApiRequest ApiRequest;

enum { API_PEER_GROUPS_MAX = 1024 };

typedef struct ApiRequestView {
        const char *method;
        const char *path, *query; /* as they came: not decoded */
        const char *authorization, *content_type, *idempotency_key, *if_none_match,
                        *last_event_id; /* or NULL */
        bool repeated; /* a field that may come once came twice, or the body's length is ambiguous
                        */
        bool too_large;
        const uint8_t *body;
        size_t body_size;
        bool peer_known; /* a Unix connection: */
        uid_t uid;
        gid_t gid;
        pid_t pid;
        const gid_t *groups; /* beside gid, of a peer in at most API_PEER_GROUPS_MAX of them */
        size_t n_groups;
} ApiRequestView;

typedef struct ApiServerOps {
        /* A whole request came. Answer it now or later with api_request_answer(). */
        void (*request)(ApiRequest *request, const ApiRequestView *view, void *userdata);
        /* The client went away, or the answer was sent: forget the request. */
        void (*gone)(ApiRequest *request, void *userdata);
        /* All that was given to a stream is with the kernel: give it more, now or later. */
        void (*drained)(ApiRequest *request, void *userdata);
} ApiServerOps;

typedef struct ApiServerLimits {
        unsigned connections;             /* of each listener */
        unsigned connections_per_address; /* not counted on Unix sockets */
} ApiServerLimits;

int api_server_new(ApiServer **ret,
                sd_event *event,
                const ApiServerOps *ops,
                const ApiServerLimits *limits,
                void *userdata);

/* Serves a listening stream socket; takes it over on success. certificate and key are PEM text, or
 * both NULL for plain HTTP. */
int api_server_add(ApiServer *server, int fd, const Secret *certificate, const Secret *key);

/* Lets go of every request (calls gone), sends what is answered, and closes. Takes and returns
 * NULL. */
ApiServer *api_server_free(ApiServer *server);
DEFINE_CLEANUP(ApiServer, api_server_free)

void api_request_set_userdata(ApiRequest *request, void *userdata);
void *api_request_userdata(const ApiRequest *request);

/* True for GET and HEAD whose If-None-Match names this version. */
bool api_request_has_version(const ApiRequest *request, int64_t version);

/* Adds a header field to the coming answer; value is copied. */
void api_request_add_header(ApiRequest *request, const char *name, const char *value);

/* Calls gone early if the client disconnects before the answer. For answers that take long. */
void api_request_watch(ApiRequest *request);

/* Answers with JSON; takes the object over. content_type: "application/json" or the like. */
void api_request_answer_json(
                ApiRequest *request, unsigned status, const char *content_type, json_t *body);

/* Begins an answer of 200 that goes on until it is ended here, or the client goes away (gone). The
 * request is not forgotten before. A client that takes nothing for a minute, or whose network is
 * away for as long, is let go. -ENOMEM: the request was let go at once. */
int api_request_stream(ApiRequest *request, const char *content_type);

/* Gives the stream its next piece; takes the text over, which is freed with free(). Only after the
 * beginning, and after each drained, so that a slow client costs one piece of memory. */
void api_request_stream_write(ApiRequest *request, char *text);

/* Ends the stream after what was given; calls gone at once. */
void api_request_stream_end(ApiRequest *request);

/* Answers with text, which is copied; NULL for no body. */
void api_request_answer_text(
                ApiRequest *request, unsigned status, const char *content_type, const char *text);
