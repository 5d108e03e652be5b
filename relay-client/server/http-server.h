/* The relay's HTTPS side: libmicrohttpd (GnuTLS) driven by an sd-event loop through its one epoll
 * descriptor. Requests are parsed, suspended, gathered into a batch and answered after its commit.
 *
 * A client that is slow, or silent, on purpose keeps its place for a bounded time: 10 seconds
 * until its first request begins, 10 for the head of a request, 30 for the body and as many to take
 * the answer; and for large bodies a second more for each 64 KiB. */
#pragma once

#include <systemd/sd-event.h>

#include "rate-limit.h"
#include "relay-batch.h"
#include "request-log.h"
#include "webhook-queue.h"

typedef struct HttpServer HttpServer;

typedef struct HttpServerOptions {
        int listen_fd;           /* closed with the server, also when http_server_new() fails */
        const char *certificate; /* PEM, borrowed until http_server_new() returns */
        const char *key;
        size_t body_max;
        unsigned connections_max;
        unsigned connections_per_address;        /* 0 = any number */
        unsigned idle_timeout;                   /* seconds between two requests */
        int64_t ttl_default, ttl_max;            /* seconds */
        const RelayPolicy *policy;               /* borrowed while the server lives */
        RateLimit *rate_limit;                   /* borrowed; NULL = none */
        bool legacy_headers;                     /* also those of sct-04 */
        const WebhookPrefixes *webhook_prefixes; /* borrowed */
        WebhookQueue *webhook_queue;             /* borrowed; NULL = nobody is notified */
} HttpServerOptions;

/* Borrows event, log and what is in stores. -EIO: libmicrohttpd refused, most likely certificate or
 * key. On an error of the disk the server answers 503 and ends the loop with that error. */
int http_server_new(HttpServer **ret,
                sd_event *event,
                const HttpServerOptions *options,
                const RelayStores *stores,
                RequestLog *log);

/* Accepts nothing more, commits and answers what waits, closes. Takes NULL, returns NULL. */
HttpServer *http_server_free(HttpServer *server);
DEFINE_CLEANUP(HttpServer, http_server_free)

/* Requests seen, and those that carried a Referer or a fragment. */
uint64_t http_server_n_requests(const HttpServer *server);
uint64_t http_server_n_violations(const HttpServer *server);
