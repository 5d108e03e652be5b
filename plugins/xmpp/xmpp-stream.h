/* One XMPP stream, kept up: a component's (XEP-0114) or a client account's (RFC 6120 with TLS, SASL
 * and XEP-0198), on libstrophe and an sd-event loop, with reconnects and proof of what the server
 * has taken over.
 *
 * Stanzas are numbered as they are sent. The server has taken all up to a number when it says so by
 * stream management, or, where there is none, when a ping that was sent after them has come back
 * (XEP-0199): servers work through a stream in order. One ping covers all before it and one at most
 * is under way. A component pings its own address, through its server, which needs no knowledge of
 * the server's names.
 *
 * A stream that ends is not resumed: the connection object is made anew each time, because
 * libstrophe 0.12 miscounts after a resumption that failed. What was not taken when the stream
 * ended is in doubt, and its sender has to decide. One stream for each process: some of
 * libstrophe's callbacks carry no user data. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "secret.h"

typedef struct XmppStream XmppStream;

typedef struct XmppStreamConfig {
        bool component;
        const char *jid;        /* component: its domain; client: its bare JID */
        const char *resource;   /* client */
        const char *host;       /* NULL for a client: by DNS (blocking) */
        uint16_t port;          /* 0: the usual one */
        const char *ca_file;    /* client: trusted beside the system's; or NULL */
        const Secret *password; /* as text */
} XmppStreamConfig;

typedef struct XmppStreamOps {
        void (*up)(XmppStream *stream, void *userdata);

        /* Did not come up, or ended. reason is a word for operators, in static memory. */
        void (*down)(XmppStream *stream, const char *reason, void *userdata);

        /* The server has taken over every stanza up to this number. */
        void (*taken)(XmppStream *stream, uint64_t number, void *userdata);

        /* A message, presence or iq came; cut: beyond the limits of xmpp-guard.h, and incomplete.
         */
        void (*stanza)(XmppStream *stream, xmpp_stanza_t *stanza, bool cut, void *userdata);
} XmppStreamOps;

/* How long a stream waits for its server, in seconds. */
typedef struct XmppStreamPatience {
        unsigned connect; /* from the first packet to a stream that is up */
        unsigned answer;  /* for a ping or a stream-management answer */
        unsigned retry;   /* at most, between two attempts to connect */
} XmppStreamPatience;

/* For streams that are made from now on. Tests are built with a shorter one than people wait for;
 * no setting reaches it. */
void xmpp_stream_set_patience(XmppStreamPatience patience);

/* Starts to connect. The configuration's strings and ops must outlive the stream. -ENOTSUP: the
 * limits of xmpp-guard.h are not in force. Negative errno. */
int xmpp_stream_new(XmppStream **ret,
                sd_event *event,
                const XmppStreamConfig *config,
                const XmppStreamOps *ops,
                void *userdata);

/* Queues a stanza, which stays the caller's, and returns its number; 0 when the stream is not up.
 * With prove set, `taken` will tell when the server has it. */
uint64_t xmpp_stream_send(XmppStream *stream, xmpp_stanza_t *stanza, bool prove);

bool xmpp_stream_is_up(const XmppStream *stream);

/* Seconds until the next attempt to connect, at least 1. */
unsigned xmpp_stream_retry_after(const XmppStream *stream);

/* A client's full JID while the stream is up, a component's domain. Borrowed. */
const char *xmpp_stream_jid(const XmppStream *stream);

xmpp_ctx_t *xmpp_stream_context(const XmppStream *stream);

/* Ends the stream in order, without calling back, and frees. Takes NULL, returns NULL. */
XmppStream *xmpp_stream_free(XmppStream *stream);
DEFINE_CLEANUP(XmppStream, xmpp_stream_free)
