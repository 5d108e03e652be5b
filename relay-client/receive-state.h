/* How far a transfer has come, as a value and as the text of a state file: what a second run needs
 * to go on with identical bytes where the first one was killed. The text opens nothing by itself:
 * what is readable in it is ciphertext under the link's Secret, or sealed under a key that needs
 * the link (receive_link_root()). It holds the claim all the same, with which the mailbox can be
 * deleted. Pure: no file, no clock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "draft-r-transcript.h"
#include "receive-link.h"

enum {
        RECEIVE_DIGEST_SIZE = 32,
        RECEIVE_MESSAGES_MAX = 4096,          /* of one side */
        RECEIVE_STATE_TEXT_MAX = 1024 * 1024, /* bytes */
        RECEIVE_CONTENT_MAX = 256 * 1024,     /* bytes, sealed */
        RECEIVE_STATE_E_FORM = 1,             /* not the text of a state */
};

typedef enum ReceivePhase {
        RECEIVE_READING,   /* the other side's next message is awaited */
        RECEIVE_HANDLING,  /* it was read, and is to be handled */
        RECEIVE_ANSWERING, /* ours is to be sent, or was sent and we do not know */
        RECEIVE_ENDING,    /* all was received; the mailbox is to be deleted */
        RECEIVE_GIVING_UP, /* the mailbox is to be relinquished */
        _RECEIVE_PHASE_MAX,
} ReceivePhase;

/* SHA-256 of a blob. */
typedef struct ReceiveDigest {
        uint8_t bytes[RECEIVE_DIGEST_SIZE];
} ReceiveDigest;

typedef struct ReceiveDigests {
        ReceiveDigest *items; /* oldest first */
        size_t n;
} ReceiveDigests;

/* Ended with receive_state_done(). */
typedef struct ReceiveState {
        bool is_draft_r;
        char subject[RECEIVE_SUBJECT_SIZE]; /* of the link */
        ReceivePhase phase;
        int64_t number;     /* of the other side's message that is awaited or handled: 0, 2, … */
        int64_t expiration; /* seconds since 1970; 0: not known */

        /* Draft V. */
        char claim[UUID_TEXT_SIZE];
        char request_id[UUID_TEXT_SIZE];  /* of the request that changes something and may have been
                                             sent; empty: there is none */
        ReceiveDigests accepted, written; /* of the other side, and of ours, the one to be sent
                                             included */
        char *payload_type, *payload_data; /* ANSWERING: what is to be sent */
        bool sent;                         /* and may have been */

        /* Draft R. */
        uint8_t salt[RECEIVE_ROOT_SIZE];
        uint8_t *run; /* sealed (relay.h); NULL: before the first message */
        size_t run_size;
        uint8_t *content; /* sealed. HANDLING: the message; ANSWERING: what is to be sent */
        size_t content_size;
} ReceiveState;

/* Before anything has happened; draws claim and salt. */
void receive_state_begin(const ReceiveLink *link, ReceiveState *ret);
void receive_state_done(ReceiveState *state);

/* *ret is the caller's to free. -ENOMEM. */
int receive_state_write(const ReceiveState *state, char **ret);

/* RECEIVE_STATE_E_FORM; on an error nothing is left to end. */
int receive_state_read(const void *text, size_t size, ReceiveState *ret);

void receive_digest(const void *blob, size_t size, ReceiveDigest *ret);
bool receive_digests_has(const ReceiveDigests *digests, const ReceiveDigest *digest);
bool receive_digests_has_last(const ReceiveDigests *digests, const ReceiveDigest *digest);
/* -E2BIG: RECEIVE_MESSAGES_MAX. */
int receive_digests_add(ReceiveDigests *digests, const ReceiveDigest *digest);

/* Seals content under a root (receive_link_root()), or opens what was sealed; at most
 * RECEIVE_CONTENT_MAX. receive_state_open(): RECEIVE_STATE_E_FORM. */
int receive_state_seal(ReceiveState *state,
                const uint8_t root[RECEIVE_ROOT_SIZE],
                const void *content,
                size_t size);
int receive_state_open(
                const ReceiveState *state, const uint8_t root[RECEIVE_ROOT_SIZE], Plaintext *ret);
void receive_state_forget_content(ReceiveState *state);
