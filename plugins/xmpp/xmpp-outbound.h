/* Stanzas for what the gateway wants to say. Values in, a stanza out; no I/O. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <strophe.h>

#include "address.h"

typedef struct XmppOutbound {
        const char *message; /* the stable id: the stanza's id and its origin-id (XEP-0359) */
        const char *kind;    /* of PROTOCOL.md */
        const char *to;      /* canonical URI */
        const char *text, *subject, *thread, *link, *language; /* all but text may be NULL */
        const json_t *buttons;                                 /* or NULL */
        int64_t expires;                                       /* 0: never */
} XmppOutbound;

typedef enum XmppOutboundError {
        XMPP_OUTBOUND_E_FRAME = 1, /* a member of the `send` frame is missing or has a wrong type */
        XMPP_OUTBOUND_E_ADDRESS = 2, /* not an address that a stanza may go to */
} XmppOutboundError;

/* Reads a `send` frame; the strings are borrowed from it. XMPP_OUTBOUND_E_FRAME. */
int xmpp_outbound_read(const json_t *frame, XmppOutbound *ret);

/* Makes the message stanza, from our JID and under our nickname (or NULL). Characters that XML
 * cannot carry become U+FFFD, because one of them would end the stream for everybody.
 * XMPP_OUTBOUND_E_ADDRESS. -ENOMEM. */
int xmpp_outbound_message(xmpp_ctx_t *context,
                const XmppOutbound *message,
                const char *from,
                const char *nick,
                xmpp_stanza_t **ret);

/* Makes the retraction (XEP-0424) of a message that went to this JID. -ENOMEM. */
int xmpp_outbound_retraction(xmpp_ctx_t *context,
                const char *message,
                const char *from,
                const char *to,
                xmpp_stanza_t **ret);

/* Makes the delivery receipt (XEP-0184) for somebody's message id. -ENOMEM. */
int xmpp_outbound_receipt(xmpp_ctx_t *context,
                const char *id,
                const char *from,
                const char *to,
                xmpp_stanza_t **ret);

/* Appends <name xmlns='ns'>text</name>; ns and text may be NULL. Returns the child, which belongs
 * to its parent, or NULL when memory ran out. */
xmpp_stanza_t *xmpp_outbound_child(
                xmpp_stanza_t *parent, const char *name, const char *ns, const char *text);
