/* What a mailbox allows: state, party and operation in, decision out. No I/O, no clock. The order
 * of checks is that of D-21 in tests/relay-server/CONFORMANCE.md: exists, duplicate, authorised,
 * right, body, execute. Duplicate comes before authorised, since a repeated Relinquish arrives from
 * a claim that is no longer bound. */
#pragma once

#include <stdbool.h>

#include "relay-request.h"

typedef enum MailboxState {
        MAILBOX_NONE,  /* never made, deleted or expired: the three look alike */
        MAILBOX_OPEN,  /* the Initiator is bound, the Recipient's place is free */
        MAILBOX_BOUND, /* both are bound */
        _MAILBOX_STATE_MAX,
} MailboxState;

typedef enum MailboxParty {
        MAILBOX_INITIATOR,
        MAILBOX_RECIPIENT,
        MAILBOX_STRANGER, /* any other claim, or none */
        _MAILBOX_PARTY_MAX,
} MailboxParty;

typedef enum MailboxOutcome {
        MAILBOX_DONE,         /* 200 */
        MAILBOX_DUPLICATE,    /* 201: did this already, does nothing */
        MAILBOX_BAD_BODY,     /* 400 */
        MAILBOX_UNAUTHORISED, /* 401: the claim is not bound */
        MAILBOX_NO_RIGHT,     /* 401 or 403: the mailbox was made without this right */
        MAILBOX_GONE,         /* 404 */
} MailboxOutcome;

typedef struct MailboxQuestion {
        MailboxState state;
        MailboxParty party;
        RelayOperation operation;
        unsigned rights;    /* of the mailbox */
        bool is_duplicate;  /* the claim's last completed request had this id */
        bool body_is_valid; /* counts for Create and Update only */
} MailboxQuestion;

typedef struct MailboxDecision {
        MailboxOutcome outcome;
        MailboxState next; /* equals the state unless the outcome is MAILBOX_DONE */
} MailboxDecision;

MailboxDecision mailbox_decide(const MailboxQuestion *question);
