/* Inside http-client.h: what its parts share and nobody else sees. A transfer is one request; a
 * connection carries one after another; a host has connections, and transfers that wait for one;
 * the client has hosts and libcurl. */
#pragma once

#include "curl-loop.h"
#include "http-client.h"
#include "http-reader.h"

enum {
        HTTP_READ_SIZE = 16 * 1024, /* a TLS record's most */
};

typedef struct HttpHost HttpHost;

typedef struct HttpTransfer HttpTransfer;
struct HttpTransfer {
        HttpHost *host;
        HttpTransfer *next, *previous; /* in its host's waiting or the client's running list */
        char *out;                     /* the whole request */
        size_t out_size, sent;
        const char *echo_name; /* HttpRequest.echoed */
        const char *echo;      /* the value of that header in out */
        size_t echo_size;
        bool is_head, retried;
        bool answered;             /* as in HttpAnswer */
        uint64_t queued, deadline; /* of time_boot() */
        HttpDone done;
        void *userdata;
};

typedef struct HttpTransferList {
        HttpTransfer *first, *last;
        size_t n;
} HttpTransferList;

typedef struct HttpConnection HttpConnection;
struct HttpConnection {
        HttpHost *host;
        HttpConnection *next; /* of its host's, all or those that are idle */
        HttpConnection *next_idle;
        CURL *easy;
        sd_event_source *io;    /* NULL while it connects */
        HttpTransfer *transfer; /* NULL while it connects or is idle */
        HttpReader reader;
        uint64_t n_answers, idle_since;
        const char *useless;          /* why, of one that was of no use from its first moment */
        bool is_blocked;              /* the request does not fit into the socket */
        bool met_private, met_public; /* addresses, where only public ones are asked */
};

/* One "HOST[:PORT]" as one party asks it; gone when it has neither connections nor requests. */
struct HttpHost {
        HttpClient *client;
        HttpHost *next;
        char *authority, *party;
        HttpTransferList waiting;
        HttpConnection *connections, *idle;
        size_t n_connections, n_connecting;
};

struct HttpClient {
        sd_event *event;
        CurlLoop *loop;
        sd_event_source *timer, *serve;
        uint64_t timer_due; /* 0: the timer is off */
        char *ca_file, *pinned_keys, *user_agent;
        size_t answer_max;
        bool public_only, wipe_answers;
        HttpHost *hosts;
        HttpTransferList running; /* oldest deadline first, but for those that were sent twice */
        size_t n_connections;
        char scratch[HTTP_READ_SIZE];
};

/* --- http-transfer.c --- */

void http_transfer_list_append(HttpTransferList *list, HttpTransfer *transfer);
void http_transfer_list_prepend(HttpTransferList *list, HttpTransfer *transfer);
void http_transfer_list_remove(HttpTransferList *list, HttpTransfer *transfer);

/* Frees what is in it, without a call. */
void http_transfer_list_free(HttpTransferList *list);

/* 0: ret and ret_size are the authority, *ret_path what follows, without a fragment. -EINVAL. */
int http_transfer_split_url(const char *url,
                const char **ret,
                size_t *ret_size,
                const char **ret_path,
                size_t *ret_path_size);

/* The request's text, of which the caller is asked for nothing more. -EINVAL, -ENOMEM. */
int http_transfer_write(const HttpClient *c,
                const HttpRequest *request,
                const char *authority,
                const char *path,
                size_t path_size,
                HttpTransfer *transfer);

/* Tells the failure, and frees. The transfer is in no list any more. */
void http_transfer_fail(HttpTransfer *transfer, const char *failure);

/* Wipes and frees, without a call; takes NULL, returns NULL. */
HttpTransfer *http_transfer_free(HttpTransfer *transfer);
DEFINE_CLEANUP(HttpTransfer, http_transfer_free)

/* --- http-connection.c --- */

/* A handle as every connection of this client has it. -EINVAL: libcurl refuses a value. -ENOMEM. */
int http_connection_easy_new(const HttpClient *c, CURL **ret);

/* Begins to connect. -ENOMEM. */
int http_connection_open(HttpHost *host);

/* Sends what the socket takes of the transfer, and the rest later. False: the connection takes
 * nothing, and is for the caller to end. */
bool http_connection_write(HttpConnection *connection);

/* Whether a connection at rest may carry a request. */
bool http_connection_is_well(HttpConnection *connection);

/* Ends it with its transfer, if it has one, which is told so or is sent anew. */
void http_connection_fail(HttpConnection *connection, const char *failure);

/* Ends it; its transfer, if it has one, is the caller's. */
void http_connection_close(HttpConnection *connection);

/* --- http-pool.c --- */

/* Finds or makes one. -ENOMEM. */
int http_host_get(HttpClient *c,
                const char *authority,
                size_t size,
                const char *party,
                HttpHost **ret);
void http_host_free(HttpHost *host);

/* Gives free connections to those who wait, oldest first, opens new ones as far as it may, and
 * tells those who waited too long. The host is gone after this when nothing is left of it. */
void http_host_serve(HttpHost *host);

/* Takes the transfer over. Nobody is called from here. */
void http_pool_begin(HttpTransfer *transfer);

/* Serves all hosts, soon. */
void http_pool_serve_later(HttpClient *c);

/* Handlers of the client's timer and serve. */
int http_pool_on_timer(sd_event_source *source, uint64_t usec, void *userdata);
int http_pool_on_serve(sd_event_source *source, void *userdata);
