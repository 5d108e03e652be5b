/* What the drivers that ask their carrier by HTTP share (Kannel, a REST service): requests of at
 * most a window at a time over kept connections, whether the carrier is there, when to ask again,
 * and which callback belongs to which token. What is said to the carrier is the drivers'. */
#pragma once

#include <curl/curl.h>

#include "http-listen.h"
#include "sms-driver.h"

enum {
        HTTP_CARRIER_WINDOW_MAX = 64,
        HTTP_CARRIER_BODY_MAX = 8192,   /* of an answer; what is longer is cut off */
        HTTP_CARRIER_SECONDS = 30,      /* for a request and its answer */
        HTTP_CARRIER_PAUSE_SECONDS = 5, /* after "slower" without a time */
};

typedef struct HttpCarrier HttpCarrier;

typedef struct HttpCarrierAnswer {
        int status;           /* 100 to 599; 0: none came */
        const char *failure;  /* why, when status is 0: a word in static memory */
        bool was_sent;        /* of the request, at least in part: the carrier may have it */
        const char *body;     /* terminated; borrowed, until something is asked again */
        unsigned retry_after; /* seconds; 0: not said */
} HttpCarrierAnswer;

typedef void (*HttpCarrierDone)(const HttpCarrierAnswer *answer, void *userdata);

/* Asks the carrier whether it is there, by http_carrier_ask(), and tells what came of it by
 * http_carrier_up() or http_carrier_down(). */
typedef void (*HttpCarrierProbe)(void *userdata);

typedef struct HttpCarrierPolicy {
        const char *ca_file;             /* trusted issuers; NULL: those of the system */
        const char *username, *password; /* for basic authentication; or NULL */
        unsigned window;                 /* requests at a time, 1 to HTTP_CARRIER_WINDOW_MAX */
        HttpCarrierProbe probe;
        void *userdata;
} HttpCarrierPolicy;

/* Begins with a probe. Copies what the policy points to. -EINVAL: libcurl refuses a value. */
int http_carrier_new(HttpCarrier **ret,
                SmsChannel *channel,
                sd_event *event,
                const HttpCarrierPolicy *policy);

/* Drops what is under way, without a call. Not to be called from an HttpCarrierDone. */
HttpCarrier *http_carrier_free(HttpCarrier *carrier);
DEFINE_CLEANUP(HttpCarrier, http_carrier_free)

typedef struct HttpCarrierRequest {
        const char *url;
        struct curl_slist *headers; /* taken over and wiped, whatever happens */
        char *body;                 /* the same; NULL: GET */
        size_t size;
        bool beside; /* beside the window: a probe, or taking a message back */
} HttpCarrierRequest;

/* Asks, and sends it once: a request of which a part has left is not repeated over another
 * connection, since the carrier may have it and charge for it (RFC 9110 section 9.2.2). done is
 * called once, never from in here, and may ask again: its place is free by then.
 * -EAGAIN: the window is full, and sms_channel_ready() will be called. */
int http_carrier_ask(HttpCarrier *carrier,
                const HttpCarrierRequest *request,
                HttpCarrierDone done,
                void *userdata);

/* Appends "name: value"; false, and the list is freed and NULL, when memory ran out, or the value
 * would break its line. */
bool http_carrier_header(struct curl_slist **list, const char *name, const char *value);

/* Wipes and frees. */
void http_carrier_headers_free(struct curl_slist *list);

/* --- is it there --- */

void http_carrier_up(HttpCarrier *carrier);

/* It will be probed, later each time; that begins anew when it is up, but not before a message has
 * been answered once one was not: a probe may be answered where messages never are. reason is a
 * word. Returns the seconds until then. */
unsigned http_carrier_down(HttpCarrier *carrier, const char *reason);

/* It asks for patience of so many seconds; 0: as we like. Returns the seconds. */
unsigned http_carrier_pause(HttpCarrier *carrier, unsigned seconds);

/* True: it is away or asks for patience. The message's result is told soon, as later. */
bool http_carrier_puts_off(HttpCarrier *carrier, const SmsOutbound *outbound);

/* --- callbacks that are answered later --- */

/* The calls that wait for the channel, by tokens that are never used again. */
typedef struct CallTokens {
        struct CallToken *first;
        uint64_t last;
} CallTokens;

/* 0: no memory. */
uint64_t call_tokens_add(CallTokens *tokens, HttpCall *call);

/* The call that was added under it; NULL when it is gone. */
HttpCall *call_tokens_take(CallTokens *tokens, uint64_t token);

/* The call is gone. */
void call_tokens_forget(CallTokens *tokens, const HttpCall *call);

void call_tokens_done(CallTokens *tokens);

/* --- settings --- */

/* A number between min and max, or fallback where it is not set. False, after saying why in the
 * log. */
bool http_carrier_number(const json_t *settings,
                const char *name,
                unsigned fallback,
                unsigned min,
                unsigned max,
                unsigned *ret);

/* Plain HTTP to another machine, where what travels can be read and changed on the way. */
typedef enum HttpPlain {
        HTTP_PLAIN_TAKEN,  /* no secret travels there */
        HTTP_PLAIN_WARNED, /* a network of the operator's own may be meant */
        HTTP_PLAIN_REFUSED,
} HttpPlain;

/* True for "http://" or "https://", a host, and printable ASCII; logs otherwise. */
bool http_carrier_url_is_good(const char *name, const char *url, HttpPlain plain);
