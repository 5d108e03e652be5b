/* What a delivery report says about our message: message/delivery-status (RFC 3464) with the
 * envelope id that we gave (RFC 3461 section 4.4), the header of the message that came back, and
 * the texts of servers that write no reports. Bytes in, values out.
 *
 * Nothing is ever guessed as success: only an action that says delivered with a status 2.x is. What
 * a report does not say in the standard's words has the class unknown. Who a report is about is for
 * the caller to decide, by a token (mail-token.h); everything else in it is a stranger's claim. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "mail-header.h"

enum {
        DSN_RECIPIENTS_MAX = 16, /* of one report; ours go to one */
        DSN_ENVELOPE_SIZE = 101, /* RFC 3461 section 4.4: 100 characters */
        DSN_ADDRESS_SIZE = 264,  /* "mailto:" and 256 bytes, with the final NUL */
};

typedef enum DsnAction {
        DSN_ACTION_UNKNOWN,
        DSN_ACTION_FAILED,
        DSN_ACTION_DELAYED,
        DSN_ACTION_DELIVERED,
        DSN_ACTION_RELAYED,
        DSN_ACTION_EXPANDED,
        DSN_ACTION_MAX,
} DsnAction;

typedef enum DsnClass {
        DSN_CLASS_UNKNOWN,
        DSN_CLASS_SUCCESS,   /* 2.x */
        DSN_CLASS_TEMPORARY, /* 4.x */
        DSN_CLASS_PERMANENT, /* 5.x */
        DSN_CLASS_MAX,
} DsnClass;

typedef struct DsnRecipient {
        DsnAction action;
        DsnClass class;
        char status[12];                /* "5.1.1"; empty if there was none */
        char address[DSN_ADDRESS_SIZE]; /* canonical, of Original- or Final-Recipient; or empty */
} DsnRecipient;

typedef struct Dsn {
        char envelope[DSN_ENVELOPE_SIZE];     /* Original-Envelope-Id, without xtext; or empty */
        char message_id[MAIL_HEADER_ID_SIZE]; /* of the message that came back, without <>; or empty
                                               */
        DsnRecipient recipients[DSN_RECIPIENTS_MAX];
        size_t n_recipients;
} Dsn;

typedef enum DsnError {
        DSN_E_FORM = 1, /* no recipient with an action */
} DsnError;

/* Reads the content of a message/delivery-status part into *ret, which must be initialized to
 * zeros. DSN_E_FORM. -ENOMEM. */
int dsn_read_status(const char *data, size_t size, Dsn *ret);

/* Reads the returned message or its header (text/rfc822-headers): its Message-ID. -ENOMEM. */
int dsn_read_returned(const char *data, size_t size, Dsn *ret);

/* True when a text is what servers without RFC 3464 write about a failure: qmail's bounces, Exim's
 * plain ones, Exchange's. It proves nothing but that no person wrote it. */
bool dsn_is_failure_text(const char *text, size_t size);

/* The one word for a report about one message: the worst of its recipients. Success only if all of
 * them say so; DSN_ACTION_UNKNOWN when there is none. */
void dsn_conclude(const Dsn *dsn, DsnAction *ret_action, DsnClass *ret_class);

/* Words for logs and reasons. */
const char *dsn_action_name(DsnAction action);
const char *dsn_class_name(DsnClass class);
