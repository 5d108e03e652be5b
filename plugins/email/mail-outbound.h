/* The `send` frame of PROTOCOL.md as the values of a mail. Values in, values out; no I/O. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "mail-write.h"

typedef struct MailOutbound {
        const char *message, *kind, *to, *text;
        const char *subject, *thread, *link, *language, *first; /* or NULL */
        int64_t expires;                                        /* 0: never */
        int64_t made;   /* when the gateway made it; 0: it did not say */
        int64_t repeat; /* which of the repetitions that were wanted; 0: the first */
} MailOutbound;

typedef enum MailOutboundError {
        MAIL_OUTBOUND_E_FRAME = 1, /* a member is missing, or of a wrong type */
} MailOutboundError;

/* Reads the frame; the strings are borrowed from it. MAIL_OUTBOUND_E_FRAME. -ENOMEM. */
int mail_outbound_read(const json_t *frame, MailOutbound *ret);

/* Adds the message's values to ret, which has those of the sender. seen is when the message was
 * first asked for, for the Date of one whose making has no time. */
void mail_outbound_fill(const MailOutbound *message, int64_t seen, MailWrite *ret);
