/* Whoever answers from another address than the share's is nobody here, whatever they quote: the
 * filter stands before every kind of evidence. */
#include "correlation.h"

#include <string.h>

enum {
        NOBODY = -1, /* no candidate */
        SEVERAL = -2,
};

bool correlation_is_open(LifecycleState state, AnswerKind kind) {
        bool challenged = state == LIFECYCLE_PENDING || state == LIFECYCLE_INVITED;

        switch (kind) {
        case ANSWER_CODE:
        case ANSWER_READY:
        case ANSWER_YES:
                return challenged;
        case ANSWER_DONE:
                return state == LIFECYCLE_RELEASED;
        case ANSWER_TAKEN: /* who was first may have emptied the mailbox already */
                return state == LIFECYCLE_RELEASED || state == LIFECYCLE_COMPLETED;
        case ANSWER_HELP:
        case ANSWER_OTHER:
        case ANSWER_EMPTY:
                return challenged || state == LIFECYCLE_RELEASED;
        case ANSWER_NO:
        case ANSWER_NOT_ME:
        case ANSWER_STOP:
        case ANSWER_STOP_ALL:
                return (unsigned) state < LIFECYCLE_STATE_MAX && state != LIFECYCLE_WITHDRAWING &&
                       !lifecycle_is_terminal(state);
        default:
                return false;
        }
}

static bool has_tag(const CorrelationEvidence *evidence) {
        return evidence->tag && evidence->tag[0] != 0;
}

static bool tag_matches(
                const CorrelationEvidence *evidence, const CorrelationCandidate *candidate) {
        return has_tag(evidence) && candidate->tag && strcmp(evidence->tag, candidate->tag) == 0;
}

static bool quoted_matches(
                const CorrelationEvidence *evidence, const CorrelationCandidate *candidate) {
        (void) evidence;
        return candidate->quoted_matches;
}

static bool thread_matches(
                const CorrelationEvidence *evidence, const CorrelationCandidate *candidate) {
        (void) evidence;
        return candidate->thread_matches;
}

static bool open_matches(
                const CorrelationEvidence *evidence, const CorrelationCandidate *candidate) {
        return correlation_is_open(candidate->state, evidence->kind);
}

typedef bool (*Matches)(const CorrelationEvidence *, const CorrelationCandidate *);

/* The one candidate at this address that matches; among several, the one that is open. */
static ptrdiff_t find(const CorrelationEvidence *evidence,
                const CorrelationCandidate *candidates,
                size_t n,
                Matches matches) {
        ptrdiff_t any = NOBODY, open = NOBODY;

        for (size_t i = 0; i < n; i++) {
                if (!candidates[i].address_matches || !matches(evidence, &candidates[i]))
                        continue;
                any = any == NOBODY ? (ptrdiff_t) i : SEVERAL;
                if (open_matches(evidence, &candidates[i]))
                        open = open == NOBODY ? (ptrdiff_t) i : SEVERAL;
        }
        return any == SEVERAL && open != NOBODY ? open : any;
}

/* People who write what is not understood are not asked for a tag: there is nothing it would help.
 */
static CorrelationOutcome ask(const CorrelationEvidence *evidence) {
        return evidence->kind == ANSWER_OTHER || evidence->kind == ANSWER_EMPTY
                               ? CORRELATION_NONE
                               : CORRELATION_AMBIGUOUS;
}

static CorrelationOutcome bind(
                ptrdiff_t index, const CorrelationEvidence *evidence, size_t *ret_index) {
        if (index == NOBODY)
                return CORRELATION_NONE;
        if (index == SEVERAL)
                return ask(evidence);
        *ret_index = (size_t) index;
        return CORRELATION_BOUND;
}

CorrelationOutcome correlation_bind(const CorrelationEvidence *evidence,
                const CorrelationCandidate *candidates,
                size_t n_candidates,
                size_t *ret_index) {
        ptrdiff_t quoted = find(evidence, candidates, n_candidates, quoted_matches);
        ptrdiff_t thread = find(evidence, candidates, n_candidates, thread_matches);
        ptrdiff_t tagged = find(evidence, candidates, n_candidates, tag_matches);
        ptrdiff_t alone = find(evidence, candidates, n_candidates, open_matches);

        if (quoted != NOBODY) {
                if (tagged != NOBODY && tagged != quoted)
                        return ask(evidence);
                return bind(quoted, evidence, ret_index);
        }
        if (tagged != NOBODY)
                return bind(tagged, evidence, ret_index);

        if (thread != NOBODY) {
                /* Programs keep a thread for as long as a conversation lasts, so that the thread of
                 * a share that ended may come with an answer to the next one. */
                if (thread != SEVERAL && !open_matches(evidence, &candidates[thread]) &&
                                alone != NOBODY)
                        return ask(evidence);
                return bind(thread, evidence, ret_index);
        }

        /* A tag that is no share's here was mistyped, or belongs to one long forgotten: it must not
         * spend the attempts of another. */
        if (alone != NOBODY && (has_tag(evidence) || !evidence->address_suffices))
                return ask(evidence);
        return bind(alone, evidence, ret_index);
}
