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
        EXCHANGE_ECHO_SIZE = 65,

        EXCHANGE_E_REFUSED = 1, /* a status is set, and nothing is to be executed */
};

/* What all exchanges share. */
typedef struct ExchangeRules {
        RequestLog *log;       /* borrowed */
        RateLimit *rate_limit; /* borrowed; NULL = none */
        size_t body_max;
        int64_t ttl_default, ttl_max;    /* seconds */
        bool legacy_headers;             /* also those of the draft's elder, sct-04 */
        const WebhookPrefixes *webhooks; /* borrowed */
        uint64_t n_violations;           /* requests with a Referer or a fragment; counted here */
} ExchangeRules;

typedef struct Exchange {
        RelayTask task; /* first: a task is cast back */
        ExchangeRules *rules;
        struct MHD_Connection *connection;
        void *owner; /* the server's, as are the last two members */
        char *target;
        uint64_t arrived_usec;

        bool head_is_read, is_waiting, is_logged;
        const char *operation;         /* NULL: not known */
        char echo[EXCHANGE_ECHO_SIZE]; /* of the request id, as it came */
        const char *echo_name;         /* the header that it came in */

        char *body;
        size_t body_size, body_allocated;
        bool body_is_too_large;

        unsigned status; /* 0 = not decided yet */
        unsigned retry_after;
        char reason[160];
        const char *note;
        char note_text[64];

        Fault fault;
        struct Exchange *next_delayed;
        sd_event_source *delay;
} Exchange;

/* NULL: out of memory. Rules are borrowed. */
Exchange *exchange_new(ExchangeRules *rules, struct MHD_Connection *connection, const char *target);

/* Logs a request that nobody answered. Takes NULL, returns NULL. */
Exchange *exchange_free(Exchange *x);

/* Reads method and headers. Afterwards either a status is set, or the body is awaited. */
void exchange_read_head(Exchange *x, const char *method);

/* True when the declared body is so large that waiting for its end makes no sense. */
bool exchange_declares_too_much(Exchange *x);

/* Keeps a piece of the body. Negative errno: break the connection. */
int exchange_keep_body(Exchange *x, const char *data, size_t size);

/* When all is there: makes the task ready for the batch. 0: ready.
 * EXCHANGE_E_REFUSED. Negative errno: break the connection. */
int exchange_prepare(Exchange *x);

/* When the batch is done: decides the status and logs. error: 0, or nothing is durable. */
void exchange_finish(Exchange *x, int error);

/* Sets a status and a sentence of our own, without a quote or a backslash. */
void exchange_refuse(Exchange *x, unsigned status, const char *reason);

/* Logs and answers without a batch: nothing was looked up, nothing changed. */
enum MHD_Result exchange_respond_refusal(Exchange *x);

/* Answers with what the batch made of it. */
enum MHD_Result exchange_respond(Exchange *x);
