/* Which share a reply belongs to. An answer from another address than the share's never binds, and
 * a code is never tried against more than one share. Evidence, strongest first:
 *
 *   1. our unguessable thread or reply token, or the id of a message of ours that it quotes;
 *   2. the tag that the person wrote;
 *   3. the only share at (our account, that address) that such an answer can mean, where the
 * channel vouches for the address (never on SMS).
 *
 * A thread is set by a program, a tag by a person: where a thread alone says one share and a
 * written tag another, the tag holds. A quotation and a tag that contradict each other are
 * ambiguous. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "answer.h"
#include "lifecycle.h"

/* A share of this gateway that could be meant. The caller gives those of the address, and those
 * that a thread, quotation or tag points at. */
typedef struct CorrelationCandidate {
        LifecycleState state;
        bool address_matches; /* the canonical sender is exactly an address of the share, on this
                                 channel */
        bool thread_matches;
        bool quoted_matches;
        const char *tag; /* canonical */
} CorrelationCandidate;

typedef struct CorrelationEvidence {
        AnswerKind kind;
        const char *tag;       /* canonical, from answer_read(); NULL or empty when there is none */
        bool address_suffices; /* evidence 3 may be used: false for SMS */
} CorrelationEvidence;

typedef enum CorrelationOutcome {
        CORRELATION_NONE,      /* belongs to no share: no answer; counts against the connection */
        CORRELATION_BOUND,     /* *ret_index; the share may have ended, which its state tells */
        CORRELATION_AMBIGUOUS, /* nothing is compared or spent; ask to put the tag first */
} CorrelationOutcome;

/* Decides. *ret_index is set for CORRELATION_BOUND only. */
CorrelationOutcome correlation_bind(const CorrelationEvidence *evidence,
                const CorrelationCandidate *candidates,
                size_t n_candidates,
                size_t *ret_index);

/* True when an answer of this kind can change a share in this state: a code while the challenge is
 * open, "done" once the link is out, "no" until the share has ended. */
bool correlation_is_open(LifecycleState state, AnswerKind kind);
