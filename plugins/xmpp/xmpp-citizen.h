/* What every good entity of an XMPP network answers: who we are (XEP-0030, 0092, 0054, 0115, 0157),
 * that we are there (XEP-0199, presence), and an error to every question that we do not understand.
 * A stanza in, stanzas out; no I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <strophe.h>

typedef struct XmppCitizen {
        const char *jid;    /* what we are called: a bare JID, or our full JID as a client */
        const char *domain; /* a component's whole domain is ours; NULL for a client */
        const char *nick;   /* or NULL */
        const char *const *contact; /* XEP-0157: URIs, NULL-terminated; or NULL */
} XmppCitizen;

enum {
        XMPP_CITIZEN_ANSWERS_MAX = 2,
        XMPP_CITIZEN_VERIFICATION_SIZE = 64, /* of XEP-0115, with the final NUL */
};

/* Answers an iq or presence stanza: writes up to XMPP_CITIZEN_ANSWERS_MAX stanzas, which the caller
 * releases, and how many. Nothing is answered to results, errors and answers. -ENOMEM. */
int xmpp_citizen_answer(xmpp_ctx_t *context,
                const XmppCitizen *self,
                xmpp_stanza_t *stanza,
                xmpp_stanza_t *ret[XMPP_CITIZEN_ANSWERS_MAX],
                size_t *ret_n);

/* Our presence: available, with the nickname and XEP-0115. `to` may be NULL. NULL: out of memory.
 */
xmpp_stanza_t *xmpp_citizen_presence(xmpp_ctx_t *context, const XmppCitizen *self, const char *to);

/* An error of type `cancel` or `modify` that answers a stanza; text may be NULL. NULL: out of
 * memory, or the stanza has no sender. */
xmpp_stanza_t *xmpp_citizen_error(
                xmpp_stanza_t *stanza, const char *type, const char *condition, const char *text);
