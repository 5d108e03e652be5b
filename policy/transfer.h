/* A transfer of several messages through one mailbox: its parties, and when to look again. The
 * mailbox holds one message, which the next one overwrites, so that the two sides take turns; the
 * initiator writes first. Draft V, sections 1.9 to 1.12 of the relay's protocol. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum TransferParty {
        TRANSFER_INITIATOR = 1,
        TRANSFER_RECIPIENT = 2,
} TransferParty;

/* Stored; never renumber. */
typedef enum TransferState {
        TRANSFER_QUEUED = 1,   /* ours, and the relay does not have it for all we know */
        TRANSFER_ACCEPTED = 2, /* ours, and the relay has it */
        TRANSFER_RECEIVED = 3, /* the recipient's */
        TRANSFER_REFUSED = 4,  /* ours, and the relay will not have it */
        TRANSFER_REPLACED = 5, /* the recipient's, who wrote another before it was answered */
} TransferState;

/* The pace. Between two requests about one share that nobody caused there are at least two seconds:
 * a look at its mailbox comes no sooner after anything else that we asked its relay about it, and
 * neither does another try of a write. What a tenant or a recipient causes follows at once, and
 * is one operation however many requests it takes: creation, a first write, which looks before it
 * overwrites, the acknowledgement of what was read, deletion. Nothing that a relay says makes it
 * faster. */
enum {
        TRANSFER_POLL_MAX_SECONDS = 600,
        TRANSFER_POLL_MIN_SECONDS = 2,
        TRANSFER_POLL_MIN_MSEC = 1000 * TRANSFER_POLL_MIN_SECONDS,
};

/* How long to wait before the next look, in milliseconds, when the last progress was `age` seconds
 * ago: 2 s at first, half as much again each time up to a minute, and not less than a twentieth of
 * the age; at most ten minutes. A fifth of it is chance: never less than the interval, except that
 * at its upper end it is at most the ten minutes. */
uint64_t transfer_poll_msec(int64_t age, uint32_t random);

/* The same when the relay asks to be left alone for retry_after seconds: the longer of the two, and
 * at most the ten minutes. A number below zero asks for nothing. */
uint64_t transfer_poll_later_msec(int64_t age, int64_t retry_after, uint32_t random);

/* The same after a restart, which must not become a burst: anywhere in the interval, but not sooner
 * than two seconds. */
uint64_t transfer_first_poll_msec(int64_t age, uint32_t random);

/* "initiator", "recipient"; "queued" and so on. NULL for a value outside the enumeration. */
const char *transfer_party_name(TransferParty party);
const char *transfer_state_name(TransferState state);

/* Why a message of ours was refused, for who wrote it: the relay client's word where that is about
 * the message, "relay-refused" where it is about anything else. */
const char *transfer_refusal(const char *word);
