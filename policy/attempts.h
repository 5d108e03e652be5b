/* Attempts at a code, as decisions without I/O. The shape forces the order that the design demands:
 * attempts_spend() takes one attempt away and gives a ticket, and only a ticket can be judged.
 *
 *   read the share's Attempts -> attempts_spend() -> store them, in a savepoint of their own
 *   -> attempts_judge() -> store them again with the verdict's lifecycle event, commit, then tell
 *
 * Nothing here ever gives an attempt back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "code.h"

enum {
        ATTEMPTS_TOTAL_MAX = 9,
        ATTEMPTS_MISTYPED_MAX = 10, /* answers "that was mistyped" per share; silence afterwards */
        ATTEMPTS_TRACE_SIZE = 16,
        ATTEMPTS_PER_HOUR = 5, /* answers of one address */
        ATTEMPTS_PER_DAY = 10,
};

/* Lives in the share's row, as it is. No pointers, no padding that matters. */
typedef struct Attempts {
        uint8_t left;       /* for the current code */
        uint8_t total_left; /* over the share's whole life */
        uint8_t mistyped_left;
        uint8_t n_wrong;    /* traces in use */
        int64_t not_before; /* no judgement earlier than this; seconds of the gateway's time */
        uint8_t wrong[ATTEMPTS_TOTAL_MAX][ATTEMPTS_TRACE_SIZE]; /* of keyed hashes of wrong codes */
} Attempts;

/* Made by attempts_spend(), used up by attempts_judge(). */
typedef struct AttemptsTicket {
        uint8_t guess[CODE_VERIFIER_SIZE];
        bool valid;
} AttemptsTicket;

typedef enum AttemptsError {
        ATTEMPTS_E_NONE_LEFT = 1, /* nothing is evaluated any more */
        ATTEMPTS_E_EARLY = 2,     /* hold the answer until not_before, then come again; nothing was
                                     spent */
        ATTEMPTS_E_REPEATED =
                        3, /* the same wrong code as before: still wrong, and nothing was spent */
        ATTEMPTS_E_SILENT = 4, /* the budget of mistyped answers is used up: do not answer */
} AttemptsError;

typedef enum AttemptsVerdict {
        ATTEMPTS_RIGHT,      /* LIFECYCLE_EVENT_CODE_RIGHT */
        ATTEMPTS_WRONG,      /* LIFECYCLE_EVENT_CODE_WRONG; left says how many remain */
        ATTEMPTS_WRONG_LAST, /* LIFECYCLE_EVENT_CODE_WRONG_LAST */
} AttemptsVerdict;

/* For a new share. Values above what the hard bounds allow are cut to them. */
void attempts_init(Attempts *ret, unsigned attempts, unsigned attempts_total);

/* For a further code of the same share: so many tries again, of those that are left in all. Nothing
 * is given back: total_left and not_before stay. ATTEMPTS_E_NONE_LEFT: nothing changed. */
int attempts_renew(Attempts *attempts, unsigned tries);

/* Another code is asked for from now on, and the tries that are left are for it: what was wrong for
 * the one before says nothing of this one. */
void attempts_forget_wrong(Attempts *attempts);

/* Takes one attempt for a guess, given as code_verifier() of what was typed; now is the gateway's
 * time in seconds. 0: *ret is a ticket, and the attempts must be stored before it is judged.
 * ATTEMPTS_E_NONE_LEFT, _EARLY, _REPEATED: no ticket, nothing changed. Does not look at the right
 * code. */
int attempts_spend(Attempts *attempts,
                const uint8_t guess[CODE_VERIFIER_SIZE],
                int64_t now,
                AttemptsTicket *ret);

/* Compares in constant time, wipes the ticket, and after a wrong guess remembers it and sets
 * not_before (2, 8, then 30 seconds). A ticket that was never issued or is used up is judged wrong.
 */
AttemptsVerdict attempts_judge(Attempts *attempts,
                AttemptsTicket *ticket,
                const uint8_t right[CODE_VERIFIER_SIZE],
                int64_t now);

/* Counts an answer whose check symbol failed; it costs no attempt. 0: say that it was mistyped.
 * ATTEMPTS_E_SILENT: nothing changed. */
int attempts_mistyped(Attempts *attempts);

/* Answers that one address has had evaluated: the exact times of the last ten, so that no hour has
 * more than five and no day more than ten. A zeroed one is fresh. Lives in the address's row. */
typedef struct AttemptsBudget {
        int64_t times[ATTEMPTS_PER_DAY]; /* oldest first, zero for none */
} AttemptsBudget;

/* Counts an answer if the budget allows it; false: the answer is not evaluated, and *ret_retry
 * (which may be NULL) says when one could be. now is at least 1 and never falls. */
bool attempts_budget_take(AttemptsBudget *budget, int64_t now, int64_t *ret_retry);
