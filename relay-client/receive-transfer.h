/* A transfer from the recipient's side: read, handle, answer, and again, until there is nothing to
 * answer; then delete. What is about to be done is durable before it is done, so that a run that
 * was killed anywhere is gone on with by the next one: a message may be handled twice, but of each
 * number one answer is sent, and no other octets for it. */
#pragma once

#include <jansson.h>

#include "receive-exchange.h"
#include "receive-file.h"
#include "receive-link.h"
#include "receive-options.h"
#include "receive-state.h"

typedef struct ReceiveSide ReceiveSide;

/* Everything but the last group is borrowed. */
typedef struct ReceiveTransfer {
        const ReceiveOptions *options;
        const ReceiveLink *link;
        ReceiveState *state;
        ReceiveFile *file; /* NULL: nothing is kept */
        ReceiveExchange *exchange;

        Plaintext message; /* in hand while RECEIVE_HANDLING */
        json_t *provisioning;
        ReceiveDigest digest; /* Draft V: of its blob */
        RelayJob *read;       /* what brought it */

        char reason[RELAY_REASON_SIZE]; /* of a step that is to be tried again */
        bool reachable;                 /* the relay was; it has answered something */
        unsigned retry_after;
        bool said_trouble, said_old;
        bool overtaken; /* the other side wrote again before our answer was sent, which never is */
} ReceiveTransfer;

/* What a step came to. */
typedef enum ReceiveStep {
        RECEIVE_STEP_DONE,
        RECEIVE_STEP_NOTHING, /* the other side has not written yet */
        RECEIVE_STEP_OLD,     /* the relay shows something that was there before */
        RECEIVE_STEP_AGAIN,   /* the relay is of no use now: transfer->reason */
} ReceiveStep;

/* What differs between the protocols. Each returns 0 or an exit status. */
struct ReceiveSide {
        /* Looks for the next message. DONE: it is in hand. */
        int (*look)(ReceiveTransfer *transfer, ReceiveStep *ret);
        /* The message in hand is durable, if it has to be: the relay may forget it. */
        int (*keep)(ReceiveTransfer *transfer);
        /* Puts an answer into the state, or NULL for none. */
        int (*answer)(ReceiveTransfer *transfer, const void *content, size_t size);
        /* Sends what is in the state. DONE: the state goes on to the next message. */
        int (*send)(ReceiveTransfer *transfer, ReceiveStep *ret);
        /* Deletes the mailbox. */
        int (*end)(ReceiveTransfer *transfer, RelayJob **ret);
};

extern const ReceiveSide receive_draft_v, receive_draft_r;

/* Runs it until it has ended or cannot go on. 0, or the exit status of what was said. */
int receive_transfer_run(ReceiveTransfer *transfer);
void receive_transfer_done(ReceiveTransfer *transfer);

/* For the sides. */

/* Makes the state durable. */
int receive_transfer_store(ReceiveTransfer *transfer);

/* Takes a plaintext into hand; says when it is no provisioning information. */
int receive_transfer_take(ReceiveTransfer *transfer, Plaintext *plaintext);

/* Another device was first. */
int receive_transfer_claimed(ReceiveTransfer *transfer);

/* Cannot be decrypted. */
int receive_transfer_unreadable(const char *reason);

/* Says why an operation did not come to what it should; for AGAIN, *ret is set and nothing is said.
 */
int receive_transfer_explain(
                ReceiveTransfer *transfer, const RelayResult *result, ReceiveStep *ret);
