/* One HTTP request on its way through the relay: what libmicrohttpd hands over in pieces becomes a
 * task for the batch, and what the batch made of it becomes an answer. Knows requests and answers;
 * when to do which is the server's business (http-server.c). */
#pragma once

#include <microhttpd.h>
#include <systemd/sd-event.h>

#include "faults.h"
#include "rate-limit.h"
#include "relay-batch.h"
#include "request-log.h"

enum {
        HTTP_EXCHANGE_ECHO_SIZE = 65,

        HTTP_EXCHANGE_E_REFUSED = 1, /* a status is set, and nothing is to be executed */
};

/* What all exchanges share. */
typedef struct HttpExchangeRules {
        RequestLog *log;       /* borrowed */
        RateLimit *rate_limit; /* borrowed; NULL = none */
        size_t body_max;
        int64_t ttl_default, ttl_max;    /* seconds */
        bool legacy_headers;             /* also those of the draft's elder, sct-04 */
        const WebhookPrefixes *webhooks; /* borrowed */
        uint64_t n_violations;           /* requests with a Referer or a fragment; counted here */
} HttpExchangeRules;

typedef struct HttpExchange {
        RelayTask task; /* first: a task is cast back */
        HttpExchangeRules *rules;
        struct MHD_Connection *connection;
        void *owner; /* the server's, as are the last two members */
        char *target;
        uint64_t arrived_usec;

        bool head_is_read, is_waiting, is_logged;
        const char *operation;              /* NULL: not known */
        char echo[HTTP_EXCHANGE_ECHO_SIZE]; /* of the request id, as it came */
        const char *echo_name;              /* the header that it came in */

        char *body;
        size_t body_size, body_allocated;
        bool body_is_too_large;

        unsigned status; /* 0 = not decided yet */
        unsigned retry_after;
        char reason[160];
        const char *note;
        char note_text[64];

        Fault fault;
        struct HttpExchange *next_delayed;
        sd_event_source *delay;
} HttpExchange;

/* NULL: out of memory. Rules are borrowed. */
HttpExchange *http_exchange_new(
                HttpExchangeRules *rules, struct MHD_Connection *connection, const char *target);

/* Logs a request that nobody answered. Takes NULL, returns NULL. */
HttpExchange *http_exchange_free(HttpExchange *x);

/* Reads method and headers. Afterwards either a status is set, or the body is awaited. */
void http_exchange_read_head(HttpExchange *x, const char *method);

/* True when the declared body is so large that waiting for its end makes no sense. */
bool http_exchange_declares_too_much(HttpExchange *x);

/* Keeps a piece of the body. Negative errno: break the connection. */
int http_exchange_keep_body(HttpExchange *x, const char *data, size_t size);

/* When all is there: makes the task ready for the batch. 0: ready.
 * HTTP_EXCHANGE_E_REFUSED. Negative errno: break the connection. */
int http_exchange_prepare(HttpExchange *x);

/* When the batch is done: decides the status and logs. error: 0, or nothing is durable. */
void http_exchange_finish(HttpExchange *x, int error);

/* Sets a status and a sentence of our own, without a quote or a backslash. */
void http_exchange_refuse(HttpExchange *x, unsigned status, const char *reason);

/* Logs and answers without a batch: nothing was looked up, nothing changed. */
enum MHD_Result http_exchange_respond_refusal(HttpExchange *x);

/* Answers with what the batch made of it. */
enum MHD_Result http_exchange_respond(HttpExchange *x);
