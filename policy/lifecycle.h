/* The life of a share as one table: state and event give the next state and the effects. Guards
 * choose the event, the table chooses the state, the caller performs the effects; an empty cell is
 * a refusal.
 *
 *   pending -> invited -> confirmed -> [awaiting_approval] -> releasing -> released -> completed
 *      declined, disowned, cancelled, expired, locked, failed  <-  withdrawing
 *
 * The same table is printed as the Promela model in tests/model/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Stored as names, never as numbers. */
typedef enum LifecycleState {
        LIFECYCLE_PENDING,           /* accepted and durable; the invitation is queued */
        LIFECYCLE_INVITED,           /* a carrier took the invitation; the challenge is open */
        LIFECYCLE_CONFIRMED,         /* the policy's factors are met */
        LIFECYCLE_AWAITING_APPROVAL, /* the policy also wants the sender's yes */
        LIFECYCLE_RELEASING,         /* CreateMailbox is under way */
        LIFECYCLE_RELEASED,          /* the mailbox exists; the link is queued or handed over */
        LIFECYCLE_WITHDRAWING,       /* ended, but a mailbox may still be reachable */
        LIFECYCLE_COMPLETED,         /* terminal from here on */
        LIFECYCLE_DECLINED,
        LIFECYCLE_DISOWNED,
        LIFECYCLE_CANCELLED,
        LIFECYCLE_EXPIRED,
        LIFECYCLE_LOCKED,
        LIFECYCLE_FAILED,
        LIFECYCLE_STATE_MAX,
} LifecycleState;

/* clang-format off */

/* Every share starts in LIFECYCLE_PENDING, with the effect LIFECYCLE_DO_SEND_INVITATION. */
typedef enum LifecycleEvent {
        /* invitation and challenge */
        LIFECYCLE_EVENT_INVITATION_TAKEN,   /* a carrier took it; emitted first for a bound reply, a delivery
                                               or a read that arrives in `pending` */
        LIFECYCLE_EVENT_RESEND_INVITATION,  /* the sender asked */
        LIFECYCLE_EVENT_UNDELIVERABLE,      /* no step of the fallback is left */
        LIFECYCLE_EVENT_MISTYPED,           /* a code whose check symbol fails */
        LIFECYCLE_EVENT_FACT_MET,           /* the tenant's fact; the next factor is asked for */
        LIFECYCLE_EVENT_FACTOR_MET,         /* a code that is not the last factor; the same */
        LIFECYCLE_EVENT_READY,              /* the recipient waits for a code of ours */
        LIFECYCLE_EVENT_CODE_LAPSED,        /* a code of ours ran out, or its step was left */
        LIFECYCLE_EVENT_REISSUE,            /* the sender asked for another code */
        LIFECYCLE_EVENT_CODE_WRONG,         /* wrong, and attempts are left */
        LIFECYCLE_EVENT_CODE_WRONG_LAST,    /* wrong, and none is left */
        LIFECYCLE_EVENT_CODE_RIGHT,         /* the last factor that the policy wants is met */
        LIFECYCLE_EVENT_EXPIRE,             /* `expires_at` has passed */

        /* release; emitted after CODE_RIGHT, in its transaction or in one of their own */
        LIFECYCLE_EVENT_ASK_APPROVAL,
        LIFECYCLE_EVENT_APPROVED,
        LIFECYCLE_EVENT_DENIED,
        LIFECYCLE_EVENT_APPROVAL_WRONG,     /* the one try at the number was spent on another */
        LIFECYCLE_EVENT_RELEASE,            /* claim, request id and generation go with the transaction */
        LIFECYCLE_EVENT_GENERATION_LOST,    /* the relay says duplicate, and a generation is left */
        LIFECYCLE_EVENT_NOT_ISSUED,         /* the tenant was asked for the content, and gave none */
        LIFECYCLE_EVENT_RELAY_REFUSED,      /* refused, unauthorised, or no generation left */
        LIFECYCLE_EVENT_RELAY_UNREACHABLE,  /* ten minutes without a usable answer, or no mailbox until its
                                               own end; not while a create is with the relay client, or a
                                               mailbox could come late */
        LIFECYCLE_EVENT_MAILBOX_MADE,       /* the relay told the URL; also in `withdrawing` */

        /* after release */
        LIFECYCLE_EVENT_LINK_SENT,          /* a carrier took the link: a copy has left */
        LIFECYCLE_EVENT_LINK_UNDELIVERABLE,
        LIFECYCLE_EVENT_RESEND_LINK,        /* the sender asked; not after ACKNOWLEDGED, which wipes it */
        LIFECYCLE_EVENT_ACKNOWLEDGED,       /* the recipient says it worked */
        LIFECYCLE_EVENT_MAILBOX_GONE,       /* gone before its expiry and not by us; after ACKNOWLEDGED also
                                               deleted by us or run out; Draft R also run out, when our
                                               last message had been taken */
        LIFECYCLE_EVENT_NOT_COLLECTED,      /* the mailbox ran out, and nobody acknowledged */
        LIFECYCLE_EVENT_NOT_FINISHED,       /* the same, after the recipient had written */
        LIFECYCLE_EVENT_OUTCOME_UNKNOWN,    /* the same, and the relay did not let us look any more */
        LIFECYCLE_EVENT_CLAIMED_ELSEWHERE,  /* the recipient's side reports it, or the relay twice */
        LIFECYCLE_EVENT_TRANSFER_BROKEN,    /* the relay's protocol ends the run of messages for good */

        /* at any time */
        LIFECYCLE_EVENT_NO,
        LIFECYCLE_EVENT_NOT_ME,
        LIFECYCLE_EVENT_STOP,               /* bound to this share; where it is refused because the share
                                               has ended, the caller blocks the address all the same */
        LIFECYCLE_EVENT_STOP_ALL,           /* the same, about every tenant */
        LIFECYCLE_EVENT_HELP,               /* in `released` once, within LIFECYCLE_HELP_LINK_SECONDS, and not
                                               after ACKNOWLEDGED */
        LIFECYCLE_EVENT_CANCEL,             /* by the sender or an operator */
        LIFECYCLE_EVENT_POLICY_TIGHTENED,   /* rules_tightened() on the way to a mailbox or a link */

        /* the end of `withdrawing`, chosen by lifecycle_withdrawn(): the mailbox was deleted, is gone or
         * ran out; or the create was never handed over, was refused, or its answer is lost for good, so
         * that nobody has a URL */
        LIFECYCLE_EVENT_WITHDRAWN_DECLINED,
        LIFECYCLE_EVENT_WITHDRAWN_DISOWNED,
        LIFECYCLE_EVENT_WITHDRAWN_CANCELLED,
        LIFECYCLE_EVENT_WITHDRAWN_FAILED,
        LIFECYCLE_EVENT_MAX,
} LifecycleEvent;

/* Written with the state change, in its transaction; those that touch the outside are executed after
 * the commit. DROP_QUEUED and NEXT_GENERATION come before the other effects of the same step. */
typedef enum LifecycleEffect {
        LIFECYCLE_DO_NOTHING          = 0,
        LIFECYCLE_DO_SEND_INVITATION  = 1 << 0,  /* queue it, or make it due again with the same bytes */
        LIFECYCLE_DO_CREATE_MAILBOX   = 1 << 1,  /* queue CreateMailbox of the current generation */
        LIFECYCLE_DO_NEXT_GENERATION  = 1 << 2,  /* a fresh generation, claim and request id */
        LIFECYCLE_DO_SEND_LINK        = 1 << 3,  /* queue it, or make it due again with the same bytes */
        LIFECYCLE_DO_WATCH_MAILBOX    = 1 << 4,  /* poll it with read: 2 s, doubling, at most 15 min */
        LIFECYCLE_DO_DELETE_MAILBOX   = 1 << 5,  /* queue DeleteMailbox; the URL is known */
        LIFECYCLE_DO_DROP_QUEUED      = 1 << 6,  /* drop every outbox row that no plugin was given, but
                                                    notices to the recipient */
        LIFECYCLE_DO_WIPE_CODE        = 1 << 7,  /* verifiers, wrong guesses, sealed code, held answer */
        LIFECYCLE_DO_WIPE_PAYLOAD     = 1 << 8,  /* the sealed box */
        LIFECYCLE_DO_WIPE_LINK        = 1 << 9,  /* the link with its Secret, and texts that hold it */
        LIFECYCLE_DO_WIPE_MAILBOX     = 1 << 10, /* mailbox URL, claim and request ids */
        LIFECYCLE_DO_TELL_SENDER      = 1 << 11, /* at once, beyond the timeline: they may have to act */
        LIFECYCLE_DO_BLOCK_PAIR       = 1 << 12, /* no more invitations of this tenant to any address that
                                                    the share has written to */
        LIFECYCLE_DO_SUPPRESS_ADDRESS = 1 << 13, /* no more invitations of anybody to the address that
                                                    wrote */
        LIFECYCLE_DO_BLOCK_ADDRESS    = 1 << 14, /* no more invitations of this tenant to the address that
                                                    wrote */
        LIFECYCLE_DO_SEND_CODE        = 1 << 15, /* make a code and queue it on the other channel */
        LIFECYCLE_DO_DROP_CODE        = 1 << 16, /* the present code alone: its verifier, its message
                                                    if it was ours, and an answer held for it */

        LIFECYCLE_DO_WIPE_ALL = LIFECYCLE_DO_WIPE_CODE | LIFECYCLE_DO_WIPE_PAYLOAD |
                                LIFECYCLE_DO_WIPE_LINK | LIFECYCLE_DO_WIPE_MAILBOX,
} LifecycleEffect;

/* clang-format on */

/* Why a share ended, or goes to end; ACKNOWLEDGED also in `released`, until its mailbox is gone. */
typedef enum LifecycleCause {
        LIFECYCLE_CAUSE_NONE,
        LIFECYCLE_CAUSE_UNANSWERED,
        LIFECYCLE_CAUSE_NOT_COLLECTED,
        LIFECYCLE_CAUSE_NOT_APPROVED,
        LIFECYCLE_CAUSE_UNDELIVERABLE,
        LIFECYCLE_CAUSE_RELAY_REFUSED,
        LIFECYCLE_CAUSE_RELAY_UNREACHABLE,
        LIFECYCLE_CAUSE_CLAIMED_ELSEWHERE,
        LIFECYCLE_CAUSE_POLICY_TIGHTENED,
        LIFECYCLE_CAUSE_RESTORED,
        LIFECYCLE_CAUSE_MAILBOX_GONE,
        LIFECYCLE_CAUSE_ACKNOWLEDGED,
        LIFECYCLE_CAUSE_NOT_ISSUED,
        LIFECYCLE_CAUSE_TRANSFER_BROKEN,
        LIFECYCLE_CAUSE_NOT_FINISHED,
        LIFECYCLE_CAUSE_OUTCOME_UNKNOWN,
        LIFECYCLE_CAUSE_MAX,
} LifecycleCause;

typedef enum LifecycleMailbox {
        LIFECYCLE_MAILBOX_NONE,
        LIFECYCLE_MAILBOX_AT_MOST_ONE,
        LIFECYCLE_MAILBOX_ONE,
} LifecycleMailbox;

typedef enum LifecycleError {
        LIFECYCLE_E_NOT_ALLOWED = 1, /* an empty cell; also for values outside the enumerations */
} LifecycleError;

enum {
        LIFECYCLE_GENERATIONS_MAX = 3,     /* 0, 1 and 2 */
        LIFECYCLE_RELAY_PATIENCE = 600,    /* seconds until RELAY_UNREACHABLE */
        LIFECYCLE_HELP_LINK_SECONDS = 900, /* after release, in which HELP repeats the link */
        LIFECYCLE_POLL_FIRST_SECONDS = 2,
        LIFECYCLE_POLL_LAST_SECONDS = 900,
};

/* One step. 0: *ret_next (maybe the same state) and *ret_effects (LifecycleEffect bits) are set.
 * LIFECYCLE_E_NOT_ALLOWED: the event means nothing here; both outputs are untouched. */
int lifecycle_step(LifecycleState state,
                LifecycleEvent event,
                LifecycleState *ret_next,
                uint32_t *ret_effects);

/* True when no event leaves the state. */
bool lifecycle_is_terminal(LifecycleState state);

/* Whether somebody could reach a mailbox of the share at the relay. */
LifecycleMailbox lifecycle_mailbox(LifecycleState state);

/* Where a share goes that this event sends to `withdrawing`: LIFECYCLE_DECLINED, _DISOWNED,
 * _CANCELLED or _FAILED. Stored when the step enters `withdrawing`; the first goal stays, whatever
 * comes after. LIFECYCLE_STATE_MAX for an event that never does. */
LifecycleState lifecycle_goal(LifecycleEvent event);

/* The event that ends `withdrawing` for a stored goal; LIFECYCLE_EVENT_MAX for any other state. */
LifecycleEvent lifecycle_withdrawn(LifecycleState goal);

/* The cause to store after an allowed step of this event from this state, given the one stored now.
 */
LifecycleCause lifecycle_cause(LifecycleState from, LifecycleEvent event, LifecycleCause current);

/* Names as the API and the store show them: "awaiting_approval", "invitation_taken",
 * "not_collected". LIFECYCLE_CAUSE_NONE is "none". NULL for a value outside the enumeration. */
const char *lifecycle_state_name(LifecycleState state);
const char *lifecycle_event_name(LifecycleEvent event);
const char *lifecycle_cause_name(LifecycleCause cause);

/* The reverse; the _MAX value for a text that is no name. NULL is no name. */
LifecycleState lifecycle_state_from_name(const char *name);
LifecycleEvent lifecycle_event_from_name(const char *name);
LifecycleCause lifecycle_cause_from_name(const char *name);
