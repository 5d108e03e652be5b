/* HTTPS requests on an sd-event loop: many at once over few kept connections, nothing but https, no
 * redirect, no proxy, no cookie, and bounds on time and size. libcurl resolves names, connects,
 * speaks TLS and checks certificates; the few lines of HTTP/1.1 around a request are written here
 * and read by http-reader.h, because libcurl's own way through a request costs more than all else
 * that this program does for one. Nothing connects before the first request, and a connection
 * carries another one only when nothing on it can be taken for an answer to that: see
 * HttpRequest.echoed. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "http.h"

enum {
        HTTP_TIMEOUT_SECONDS = 20, /* from http_client_send() to the end of the answer */
        HTTP_CONNECTIONS_MAX = 64, /* in all */
        /* To one host, unless a request has waited for HTTP_PATIENCE_MSEC: a host that answers at
         * once needs no more of them, and each costs both sides a TLS handshake. */
        HTTP_CONNECTIONS_EAGER = 18,
        HTTP_PATIENCE_MSEC = 2000,
        HTTP_IDLE_SECONDS = 100, /* an older connection may have been forgotten on the way */
};

typedef struct HttpClient HttpClient;

typedef struct HttpPolicy {
        const char *ca_file;     /* trusted issuers; NULL: those of the system */
        const char *pinned_keys; /* "sha256//BASE64;sha256//…", of which one must match; NULL: any
                                  */
        const char *user_agent;
        size_t answer_max; /* bytes of an answer's body; a larger one is no answer */
        bool public_only;  /* a name that leads to no public address (public-address.h) is not
                            * asked */
        bool wipe_answers; /* what an answer's body was is not left behind in memory */
} HttpPolicy;

/* Called once for each request, never from inside http_client_send(). The answer is borrowed. */
typedef void (*HttpDone)(const HttpAnswer *answer, void *userdata);

/* Copies what the policy points to. -EINVAL: libcurl refuses one of its values. */
int http_client_new(HttpClient **ret, sd_event *event, const HttpPolicy *policy);

/* Sends a request and takes it over; on failure it stays the caller's. -EINVAL: the URL is not
 * https://HOST[:PORT] with perhaps a path and a query, or a header would break its line. */
int http_client_send(HttpClient *client, HttpRequest *request, HttpDone done, void *userdata);

/* Ends all connections; requests that are under way are dropped without a call. Must not be called
 * from an HttpDone. Takes NULL, returns NULL. */
HttpClient *http_client_free(HttpClient *client);
DEFINE_CLEANUP(HttpClient, http_client_free)
