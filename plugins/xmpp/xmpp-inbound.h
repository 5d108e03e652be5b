/* What a message stanza means to the gateway. Bytes or a parsed stanza in, values out; no I/O.
 *
 * The sender's address is the whole of what a reply proves, so only the outer `from`, which our
 * server vouches for (RFC 6120 section 8.1.2.1), is read. A message that carries another one, in a
 * carbon (XEP-0280), a forward (XEP-0297) or an archive's result (XEP-0313), is ignored, whoever
 * sent it: we ask for none of these (CVE-2017-5589 and its kind). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <strophe.h>

#include "address.h"
#include "cleanup.h"

enum {
        XMPP_INBOUND_TEXT_MAX = 4096, /* bytes; what is beyond is cut off at a character's end */
        XMPP_INBOUND_ID_SIZE = 257,   /* with the final NUL */
};

typedef enum XmppInboundKind {
        XMPP_INBOUND_NOTHING,   /* of no use to the gateway */
        XMPP_INBOUND_REPLY,     /* a person wrote something */
        XMPP_INBOUND_DELIVERED, /* the device has our message */
        XMPP_INBOUND_READ,      /* the person has seen it */
        XMPP_INBOUND_BOUNCE,    /* it could not be delivered */
        XMPP_INBOUND_ENCRYPTED, /* a person wrote something that we cannot read (OMEMO, OpenPGP) */
} XmppInboundKind;

typedef struct XmppInbound {
        XmppInboundKind kind;
        char from[ADDRESS_SIZE_MAX];        /* canonical URI of the sender; empty for bounces */
        char message[XMPP_INBOUND_ID_SIZE]; /* ours, which a receipt, marker or bounce names */
        char inbound[XMPP_INBOUND_ID_SIZE]; /* of a reply: the same when the sender repeats it */
        char *thread, *quoted;              /* of a reply; NULL if it carried none */
        char *text;                         /* of a reply: at most XMPP_INBOUND_TEXT_MAX bytes */
        char *receipt;      /* the id that the sender wants a receipt for, or NULL */
        bool permanent;     /* of a bounce: this address will not work */
        const char *reason; /* of a bounce: the condition's name, static memory */
} XmppInbound;

/* Reads a stanza. Negative errno; XMPP_INBOUND_NOTHING is not an error. xmpp_inbound_done()
 * releases *ret on success. */
int xmpp_inbound_read(xmpp_stanza_t *stanza, XmppInbound *ret);

/* The same from the bytes of one stanza. -EBADMSG: not one well-formed element, or beyond the
 * limits of xmpp-guard.h. */
int xmpp_inbound_read_bytes(xmpp_ctx_t *context, const void *data, size_t size, XmppInbound *ret);

/* Wipes the text and frees. */
void xmpp_inbound_done(XmppInbound *inbound);
