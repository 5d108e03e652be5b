/* How mail comes in, behind one small table: LMTP on a Unix socket, a Maildir, an IMAP mailbox. A
 * route moves whole mails and never looks into them; what a mail means, and what is done with it,
 * is the channel's (email-channel.h). A mail is taken off its route only when it is settled as
 * taken or refused, and comes again otherwise.
 *
 * Everything happens on one sd-event loop. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct MailRoute MailRoute;       /* each kind has its own */
typedef struct EmailChannel EmailChannel; /* who owns the route */

typedef enum MailSettlement {
        MAIL_SETTLED_TAKEN,   /* durable at the gateway, or of no use to anybody: never again */
        MAIL_SETTLED_LATER,   /* not now: hand it in again */
        MAIL_SETTLED_REFUSED, /* it can never be read, or is for nobody: where the route can, the
                               * sender is told */
} MailSettlement;

typedef struct MailArrival {
        MailRoute *route;
        uint64_t token;        /* of the route's, to settle it by */
        const char *path;      /* MAIL FROM without brackets, "" for <>; NULL: not known */
        const char *recipient; /* RCPT TO without brackets; NULL: not known */
        const char *data;      /* borrowed until it is settled */
        size_t size;
} MailArrival;

/* What a route begins with; borrowed, but for the event loop of which it takes a reference. */
typedef struct MailRouteStart {
        EmailChannel *channel;
        size_t number; /* which of the channel's routes it is: its name to email_channel_route() */
        sd_event *event;
        const char *place; /* an entry of `receive =` */
        const json_t *settings;
} MailRouteStart;

typedef struct MailRouteOps {
        const char *scheme; /* of the entry in `receive =`: "lmtp", "maildir", "imaps" */

        /* Opens the place ("lmtp:/run/…/lmtp.sock", "maildir:/var/mail/keys", "imaps://host/INBOX")
         * and begins; it may already tell how it is, and hands nothing in before this has returned.
         * A negative errno, after saying why in the log, ends the program with EX_CONFIG. */
        int (*new)(MailRoute **ret, const MailRouteStart *start);

        /* Settles an arrival; once for each. May be called from inside email_channel_arrival(). */
        void (*settle)(MailRoute *route, uint64_t token, MailSettlement settlement);

        /* The channel, which asked a route to wait by being busy, has room again. */
        void (*ready)(MailRoute *route);

        /* Ends it; arrivals that are not settled come again. Takes NULL, returns NULL. */
        MailRoute *(*free)(MailRoute *route);
} MailRouteOps;

extern const MailRouteOps mail_route_lmtp, mail_route_maildir, mail_route_imap;

/* --- what routes tell and ask --- */

/* A mail for one recipient. It is settled later, by token, and perhaps from inside this call. A
 * mail for several recipients arrives once for each. */
void email_channel_arrival(
                EmailChannel *channel, const MailRouteOps *ops, const MailArrival *arrival);

/* Whether mail to this address (a path without brackets) is ours: known before its content comes.
 * True also for return paths that nobody answers to. */
bool email_channel_is_ours(EmailChannel *channel, const char *recipient);

/* True when another arrival would have to wait: nothing needs to be read until ready(). */
bool email_channel_is_busy(EmailChannel *channel);

/* Whether the route of that number works; at each change. It does not until it has said so. The
 * channel is up while all do and mail can leave. */
void email_channel_route(EmailChannel *channel, size_t number, bool up, const char *reason);
