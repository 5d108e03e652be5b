/* The table. What decides its less obvious cells:
 *
 * - Ending is never harder than going on: NO, NOT ME, STOP, STOP ALL and CANCEL work in every state
 * that has an end before it.
 * - No state with a reachable mailbox is terminal. A share that ends from `releasing` or `released`
 *   goes to `withdrawing`, keeps the mailbox's URL and claim for the deletion, and loses everything
 *   else at once. That holds for `completed` too: ACKNOWLEDGED deletes the mailbox, and the share
 * is completed when it is gone.
 * - `releasing` knows no expiry by time of day: a mailbox may exist already.
 * - In `withdrawing` the first end stays. A later NO or CANCEL changes nothing; NOT ME and both
 * kinds of STOP still block, and NOT ME, TAKEN and "done" are told to the sender, who may have to
 * revoke. A link that was on its way is still recorded as sent. The relay's late answer to the
 * create tells the URL that has to be deleted. */
#include "lifecycle.h"

#include <stddef.h>
#include <string.h>

typedef struct LifecycleEdge {
        bool allowed;
        LifecycleState next;
        uint32_t effects;
} LifecycleEdge;

/* clang-format off */
#define STATE(name) LIFECYCLE_##name
#define EVENT(name) LIFECYCLE_EVENT_##name
#define DO(name)    LIFECYCLE_DO_##name

#define END    (DO(DROP_QUEUED) | DO(WIPE_ALL))
#define LEAVE  (DO(DROP_QUEUED) | DO(WIPE_CODE) | DO(WIPE_PAYLOAD) | DO(WIPE_LINK))
#define DELETE (LEAVE | DO(DELETE_MAILBOX))
#define TELL   DO(TELL_SENDER)
#define BLOCK  (DO(TELL_SENDER) | DO(BLOCK_PAIR))
#define QUIET  (DO(TELL_SENDER) | DO(BLOCK_ADDRESS))
#define SILENT (DO(TELL_SENDER) | DO(SUPPRESS_ADDRESS))

static const LifecycleEdge edges[LIFECYCLE_STATE_MAX][LIFECYCLE_EVENT_MAX] = {
        [STATE(PENDING)] = {
                [EVENT(INVITATION_TAKEN)]    = { true, STATE(INVITED),           DO(NOTHING) },
                [EVENT(RESEND_INVITATION)]   = { true, STATE(PENDING),           DO(SEND_INVITATION) },
                [EVENT(REISSUE)]             = { true, STATE(PENDING),           DO(DROP_CODE) },
                [EVENT(UNDELIVERABLE)]       = { true, STATE(FAILED),            END | TELL },
                [EVENT(EXPIRE)]              = { true, STATE(EXPIRED),           END | TELL },
                [EVENT(NO)]                  = { true, STATE(DECLINED),          END | TELL },
                [EVENT(NOT_ME)]              = { true, STATE(DISOWNED),          END | BLOCK },
                [EVENT(STOP)]                = { true, STATE(DECLINED),          END | QUIET },
                [EVENT(STOP_ALL)]            = { true, STATE(DECLINED),          END | SILENT },
                [EVENT(CANCEL)]              = { true, STATE(CANCELLED),         END },
        },
        [STATE(INVITED)] = {
                [EVENT(INVITATION_TAKEN)]    = { true, STATE(INVITED),           DO(NOTHING) },
                [EVENT(RESEND_INVITATION)]   = { true, STATE(INVITED),           DO(SEND_INVITATION) },
                [EVENT(UNDELIVERABLE)]       = { true, STATE(FAILED),            END | TELL },
                [EVENT(MISTYPED)]            = { true, STATE(INVITED),           DO(NOTHING) },
                [EVENT(FACT_MET)]            = { true, STATE(INVITED),           DO(NOTHING) },
                [EVENT(FACTOR_MET)]          = { true, STATE(INVITED),           DO(DROP_CODE) },
                [EVENT(READY)]               = { true, STATE(INVITED),           DO(DROP_CODE) | DO(SEND_CODE) },
                [EVENT(CODE_LAPSED)]         = { true, STATE(INVITED),           DO(DROP_CODE) },
                [EVENT(REISSUE)]             = { true, STATE(INVITED),           DO(DROP_CODE) },
                [EVENT(CODE_WRONG)]          = { true, STATE(INVITED),           DO(NOTHING) },
                [EVENT(CODE_WRONG_LAST)]     = { true, STATE(LOCKED),            END | TELL },
                [EVENT(CODE_RIGHT)]          = { true, STATE(CONFIRMED),         DO(DROP_QUEUED) | DO(WIPE_CODE) },
                [EVENT(EXPIRE)]              = { true, STATE(EXPIRED),           END | TELL },
                [EVENT(NO)]                  = { true, STATE(DECLINED),          END | TELL },
                [EVENT(NOT_ME)]              = { true, STATE(DISOWNED),          END | BLOCK },
                [EVENT(STOP)]                = { true, STATE(DECLINED),          END | QUIET },
                [EVENT(STOP_ALL)]            = { true, STATE(DECLINED),          END | SILENT },
                [EVENT(HELP)]                = { true, STATE(INVITED),           DO(NOTHING) },
                [EVENT(CANCEL)]              = { true, STATE(CANCELLED),         END },
        },
        [STATE(CONFIRMED)] = {
                [EVENT(ASK_APPROVAL)]        = { true, STATE(AWAITING_APPROVAL), TELL },
                [EVENT(RELEASE)]             = { true, STATE(RELEASING),         DO(CREATE_MAILBOX) },
                [EVENT(EXPIRE)]              = { true, STATE(EXPIRED),           END | TELL },
                [EVENT(NO)]                  = { true, STATE(DECLINED),          END | TELL },
                [EVENT(NOT_ME)]              = { true, STATE(DISOWNED),          END | BLOCK },
                [EVENT(STOP)]                = { true, STATE(DECLINED),          END | QUIET },
                [EVENT(STOP_ALL)]            = { true, STATE(DECLINED),          END | SILENT },
                [EVENT(CANCEL)]              = { true, STATE(CANCELLED),         END },
                [EVENT(POLICY_TIGHTENED)]    = { true, STATE(FAILED),            END | TELL },
        },
        [STATE(AWAITING_APPROVAL)] = {
                [EVENT(APPROVED)]            = { true, STATE(RELEASING),         DO(CREATE_MAILBOX) | DO(WIPE_CODE) },
                [EVENT(APPROVAL_WRONG)]      = { true, STATE(LOCKED),            END | TELL },
                [EVENT(DENIED)]              = { true, STATE(CANCELLED),         END },
                [EVENT(EXPIRE)]              = { true, STATE(EXPIRED),           END | TELL },
                [EVENT(NO)]                  = { true, STATE(DECLINED),          END | TELL },
                [EVENT(NOT_ME)]              = { true, STATE(DISOWNED),          END | BLOCK },
                [EVENT(STOP)]                = { true, STATE(DECLINED),          END | QUIET },
                [EVENT(STOP_ALL)]            = { true, STATE(DECLINED),          END | SILENT },
                [EVENT(CANCEL)]              = { true, STATE(CANCELLED),         END },
                [EVENT(POLICY_TIGHTENED)]    = { true, STATE(FAILED),            END | TELL },
        },
        [STATE(RELEASING)] = {
                [EVENT(GENERATION_LOST)]     = { true, STATE(RELEASING),         DO(NEXT_GENERATION) | DO(CREATE_MAILBOX) },
                [EVENT(NOT_ISSUED)]          = { true, STATE(FAILED),            END | TELL },
                [EVENT(RELAY_REFUSED)]       = { true, STATE(FAILED),            END | TELL },
                [EVENT(RELAY_UNREACHABLE)]   = { true, STATE(FAILED),            END | TELL },
                [EVENT(MAILBOX_MADE)]        = { true, STATE(RELEASED),          DO(SEND_LINK) | DO(WATCH_MAILBOX) | DO(WIPE_PAYLOAD) },
                [EVENT(NO)]                  = { true, STATE(WITHDRAWING),       LEAVE | TELL },
                [EVENT(NOT_ME)]              = { true, STATE(WITHDRAWING),       LEAVE | BLOCK },
                [EVENT(STOP)]                = { true, STATE(WITHDRAWING),       LEAVE | QUIET },
                [EVENT(STOP_ALL)]            = { true, STATE(WITHDRAWING),       LEAVE | SILENT },
                [EVENT(CANCEL)]              = { true, STATE(WITHDRAWING),       LEAVE },
                [EVENT(POLICY_TIGHTENED)]    = { true, STATE(WITHDRAWING),       LEAVE | TELL },
        },
        [STATE(RELEASED)] = {
                [EVENT(LINK_SENT)]           = { true, STATE(RELEASED),          DO(NOTHING) },
                [EVENT(LINK_UNDELIVERABLE)]  = { true, STATE(WITHDRAWING),       DELETE | TELL },
                [EVENT(RESEND_LINK)]         = { true, STATE(RELEASED),          DO(SEND_LINK) },
                [EVENT(ACKNOWLEDGED)]        = { true, STATE(RELEASED),          DELETE },
                [EVENT(MAILBOX_GONE)]        = { true, STATE(COMPLETED),         END },
                [EVENT(NOT_COLLECTED)]       = { true, STATE(EXPIRED),           END | TELL },
                [EVENT(NOT_FINISHED)]        = { true, STATE(EXPIRED),           END | TELL },
                [EVENT(OUTCOME_UNKNOWN)]     = { true, STATE(EXPIRED),           END | TELL },
                [EVENT(CLAIMED_ELSEWHERE)]   = { true, STATE(WITHDRAWING),       DELETE | TELL },
                [EVENT(TRANSFER_BROKEN)]     = { true, STATE(WITHDRAWING),       DELETE | TELL },
                [EVENT(NO)]                  = { true, STATE(WITHDRAWING),       DELETE | TELL },
                [EVENT(NOT_ME)]              = { true, STATE(WITHDRAWING),       DELETE | BLOCK },
                [EVENT(STOP)]                = { true, STATE(WITHDRAWING),       DELETE | QUIET },
                [EVENT(STOP_ALL)]            = { true, STATE(WITHDRAWING),       DELETE | SILENT },
                [EVENT(HELP)]                = { true, STATE(RELEASED),          DO(SEND_LINK) },
                [EVENT(CANCEL)]              = { true, STATE(WITHDRAWING),       DELETE },
                [EVENT(POLICY_TIGHTENED)]    = { true, STATE(WITHDRAWING),       DELETE | TELL },
        },
        [STATE(WITHDRAWING)] = {
                [EVENT(MAILBOX_MADE)]        = { true, STATE(WITHDRAWING),       DO(DELETE_MAILBOX) },
                [EVENT(LINK_SENT)]           = { true, STATE(WITHDRAWING),       DO(NOTHING) },
                [EVENT(ACKNOWLEDGED)]        = { true, STATE(WITHDRAWING),       TELL },
                [EVENT(CLAIMED_ELSEWHERE)]   = { true, STATE(WITHDRAWING),       TELL },
                [EVENT(NO)]                  = { true, STATE(WITHDRAWING),       DO(NOTHING) },
                [EVENT(NOT_ME)]              = { true, STATE(WITHDRAWING),       BLOCK },
                [EVENT(STOP)]                = { true, STATE(WITHDRAWING),       DO(BLOCK_ADDRESS) },
                [EVENT(STOP_ALL)]            = { true, STATE(WITHDRAWING),       DO(SUPPRESS_ADDRESS) },
                [EVENT(CANCEL)]              = { true, STATE(WITHDRAWING),       DO(NOTHING) },
                [EVENT(WITHDRAWN_DECLINED)]  = { true, STATE(DECLINED),          END },
                [EVENT(WITHDRAWN_DISOWNED)]  = { true, STATE(DISOWNED),          END },
                [EVENT(WITHDRAWN_CANCELLED)] = { true, STATE(CANCELLED),         END },
                [EVENT(WITHDRAWN_FAILED)]    = { true, STATE(FAILED),            END },
        },
        /* The other states are final: their rows stay empty, so every event is refused. */
};

static const char *const state_names[LIFECYCLE_STATE_MAX] = {
        [STATE(PENDING)]           = "pending",
        [STATE(INVITED)]           = "invited",
        [STATE(CONFIRMED)]         = "confirmed",
        [STATE(AWAITING_APPROVAL)] = "awaiting_approval",
        [STATE(RELEASING)]         = "releasing",
        [STATE(RELEASED)]          = "released",
        [STATE(WITHDRAWING)]       = "withdrawing",
        [STATE(COMPLETED)]         = "completed",
        [STATE(DECLINED)]          = "declined",
        [STATE(DISOWNED)]          = "disowned",
        [STATE(CANCELLED)]         = "cancelled",
        [STATE(EXPIRED)]           = "expired",
        [STATE(LOCKED)]            = "locked",
        [STATE(FAILED)]            = "failed",
};

static const char *const event_names[LIFECYCLE_EVENT_MAX] = {
        [EVENT(INVITATION_TAKEN)]    = "invitation_taken",
        [EVENT(RESEND_INVITATION)]   = "resend_invitation",
        [EVENT(UNDELIVERABLE)]       = "undeliverable",
        [EVENT(MISTYPED)]            = "mistyped",
        [EVENT(FACT_MET)]            = "fact_met",
        [EVENT(FACTOR_MET)]          = "factor_met",
        [EVENT(READY)]               = "ready",
        [EVENT(CODE_LAPSED)]         = "code_lapsed",
        [EVENT(REISSUE)]             = "reissue",
        [EVENT(CODE_WRONG)]          = "code_wrong",
        [EVENT(CODE_WRONG_LAST)]     = "code_wrong_last",
        [EVENT(CODE_RIGHT)]          = "code_right",
        [EVENT(EXPIRE)]              = "expire",
        [EVENT(ASK_APPROVAL)]        = "ask_approval",
        [EVENT(APPROVED)]            = "approved",
        [EVENT(DENIED)]              = "denied",
        [EVENT(APPROVAL_WRONG)]      = "approval_wrong",
        [EVENT(RELEASE)]             = "release",
        [EVENT(GENERATION_LOST)]     = "generation_lost",
        [EVENT(NOT_ISSUED)]          = "not_issued",
        [EVENT(RELAY_REFUSED)]       = "relay_refused",
        [EVENT(RELAY_UNREACHABLE)]   = "relay_unreachable",
        [EVENT(MAILBOX_MADE)]        = "mailbox_made",
        [EVENT(LINK_SENT)]           = "link_sent",
        [EVENT(LINK_UNDELIVERABLE)]  = "link_undeliverable",
        [EVENT(RESEND_LINK)]         = "resend_link",
        [EVENT(ACKNOWLEDGED)]        = "acknowledged",
        [EVENT(MAILBOX_GONE)]        = "mailbox_gone",
        [EVENT(NOT_COLLECTED)]       = "not_collected",
        [EVENT(NOT_FINISHED)]        = "not_finished",
        [EVENT(OUTCOME_UNKNOWN)]     = "outcome_unknown",
        [EVENT(CLAIMED_ELSEWHERE)]   = "claimed_elsewhere",
        [EVENT(TRANSFER_BROKEN)]     = "transfer_broken",
        [EVENT(NO)]                  = "no",
        [EVENT(NOT_ME)]              = "not_me",
        [EVENT(STOP)]                = "stop",
        [EVENT(STOP_ALL)]            = "stop_all",
        [EVENT(HELP)]                = "help",
        [EVENT(CANCEL)]              = "cancel",
        [EVENT(POLICY_TIGHTENED)]    = "policy_tightened",
        [EVENT(WITHDRAWN_DECLINED)]  = "withdrawn_declined",
        [EVENT(WITHDRAWN_DISOWNED)]  = "withdrawn_disowned",
        [EVENT(WITHDRAWN_CANCELLED)] = "withdrawn_cancelled",
        [EVENT(WITHDRAWN_FAILED)]    = "withdrawn_failed",
};

static const char *const cause_names[LIFECYCLE_CAUSE_MAX] = {
        [LIFECYCLE_CAUSE_NONE]              = "none",
        [LIFECYCLE_CAUSE_UNANSWERED]        = "unanswered",
        [LIFECYCLE_CAUSE_NOT_COLLECTED]     = "not_collected",
        [LIFECYCLE_CAUSE_NOT_APPROVED]      = "not_approved",
        [LIFECYCLE_CAUSE_UNDELIVERABLE]     = "undeliverable",
        [LIFECYCLE_CAUSE_RELAY_REFUSED]     = "relay_refused",
        [LIFECYCLE_CAUSE_RELAY_UNREACHABLE] = "relay_unreachable",
        [LIFECYCLE_CAUSE_CLAIMED_ELSEWHERE] = "claimed_elsewhere",
        [LIFECYCLE_CAUSE_POLICY_TIGHTENED]  = "policy_tightened",
        [LIFECYCLE_CAUSE_RESTORED]          = "restored",
        [LIFECYCLE_CAUSE_MAILBOX_GONE]      = "mailbox_gone",
        [LIFECYCLE_CAUSE_ACKNOWLEDGED]      = "acknowledged",
        [LIFECYCLE_CAUSE_NOT_ISSUED]        = "not_issued",
        [LIFECYCLE_CAUSE_TRANSFER_BROKEN]   = "transfer_broken",
        [LIFECYCLE_CAUSE_NOT_FINISHED]      = "not_finished",
        [LIFECYCLE_CAUSE_OUTCOME_UNKNOWN]   = "outcome_unknown",
};
/* clang-format on */

static bool is_state(LifecycleState state) {
        return (unsigned) state < LIFECYCLE_STATE_MAX;
}

int lifecycle_step(LifecycleState state,
                LifecycleEvent event,
                LifecycleState *ret_next,
                uint32_t *ret_effects) {
        const LifecycleEdge *edge;

        if (!is_state(state) || (unsigned) event >= LIFECYCLE_EVENT_MAX)
                return LIFECYCLE_E_NOT_ALLOWED;

        edge = &edges[state][event];
        if (!edge->allowed)
                return LIFECYCLE_E_NOT_ALLOWED;

        *ret_next = edge->next;
        *ret_effects = edge->effects;
        return 0;
}

bool lifecycle_is_terminal(LifecycleState state) {
        return is_state(state) && state >= LIFECYCLE_COMPLETED;
}

LifecycleMailbox lifecycle_mailbox(LifecycleState state) {
        switch (state) {
        case LIFECYCLE_RELEASING:
        case LIFECYCLE_WITHDRAWING:
                return LIFECYCLE_MAILBOX_AT_MOST_ONE;
        case LIFECYCLE_RELEASED:
                return LIFECYCLE_MAILBOX_ONE;
        default:
                return LIFECYCLE_MAILBOX_NONE;
        }
}

LifecycleState lifecycle_goal(LifecycleEvent event) {
        switch (event) {
        case LIFECYCLE_EVENT_NO:
        case LIFECYCLE_EVENT_STOP:
        case LIFECYCLE_EVENT_STOP_ALL:
                return LIFECYCLE_DECLINED;
        case LIFECYCLE_EVENT_NOT_ME:
                return LIFECYCLE_DISOWNED;
        case LIFECYCLE_EVENT_CANCEL:
                return LIFECYCLE_CANCELLED;
        case LIFECYCLE_EVENT_LINK_UNDELIVERABLE:
        case LIFECYCLE_EVENT_CLAIMED_ELSEWHERE:
        case LIFECYCLE_EVENT_TRANSFER_BROKEN:
        case LIFECYCLE_EVENT_POLICY_TIGHTENED:
                return LIFECYCLE_FAILED;
        default:
                return LIFECYCLE_STATE_MAX;
        }
}

LifecycleEvent lifecycle_withdrawn(LifecycleState goal) {
        switch (goal) {
        case LIFECYCLE_DECLINED:
                return LIFECYCLE_EVENT_WITHDRAWN_DECLINED;
        case LIFECYCLE_DISOWNED:
                return LIFECYCLE_EVENT_WITHDRAWN_DISOWNED;
        case LIFECYCLE_CANCELLED:
                return LIFECYCLE_EVENT_WITHDRAWN_CANCELLED;
        case LIFECYCLE_FAILED:
                return LIFECYCLE_EVENT_WITHDRAWN_FAILED;
        default:
                return LIFECYCLE_EVENT_MAX;
        }
}

LifecycleCause lifecycle_cause(LifecycleState from, LifecycleEvent event, LifecycleCause current) {
        if (from == LIFECYCLE_WITHDRAWING)
                return current; /* decided when it entered */

        switch (event) {
        case LIFECYCLE_EVENT_EXPIRE:
                return LIFECYCLE_CAUSE_UNANSWERED;
        case LIFECYCLE_EVENT_NOT_COLLECTED:
                return LIFECYCLE_CAUSE_NOT_COLLECTED;
        case LIFECYCLE_EVENT_NOT_FINISHED:
                return LIFECYCLE_CAUSE_NOT_FINISHED;
        case LIFECYCLE_EVENT_OUTCOME_UNKNOWN:
                return LIFECYCLE_CAUSE_OUTCOME_UNKNOWN;
        case LIFECYCLE_EVENT_DENIED:
                return LIFECYCLE_CAUSE_NOT_APPROVED;
        case LIFECYCLE_EVENT_UNDELIVERABLE:
        case LIFECYCLE_EVENT_LINK_UNDELIVERABLE:
                return LIFECYCLE_CAUSE_UNDELIVERABLE;
        case LIFECYCLE_EVENT_RELAY_REFUSED:
                return LIFECYCLE_CAUSE_RELAY_REFUSED;
        case LIFECYCLE_EVENT_RELAY_UNREACHABLE:
                return LIFECYCLE_CAUSE_RELAY_UNREACHABLE;
        case LIFECYCLE_EVENT_CLAIMED_ELSEWHERE:
                return LIFECYCLE_CAUSE_CLAIMED_ELSEWHERE;
        case LIFECYCLE_EVENT_NOT_ISSUED:
                return LIFECYCLE_CAUSE_NOT_ISSUED;
        case LIFECYCLE_EVENT_TRANSFER_BROKEN:
                return LIFECYCLE_CAUSE_TRANSFER_BROKEN;
        case LIFECYCLE_EVENT_POLICY_TIGHTENED:
                return LIFECYCLE_CAUSE_POLICY_TIGHTENED;
        case LIFECYCLE_EVENT_ACKNOWLEDGED:
                return LIFECYCLE_CAUSE_ACKNOWLEDGED;
        case LIFECYCLE_EVENT_MAILBOX_GONE:
                return current == LIFECYCLE_CAUSE_ACKNOWLEDGED ? current
                                                               : LIFECYCLE_CAUSE_MAILBOX_GONE;
        case LIFECYCLE_EVENT_CODE_WRONG_LAST:
        case LIFECYCLE_EVENT_APPROVAL_WRONG:
        case LIFECYCLE_EVENT_NO:
        case LIFECYCLE_EVENT_NOT_ME:
        case LIFECYCLE_EVENT_STOP:
        case LIFECYCLE_EVENT_STOP_ALL:
        case LIFECYCLE_EVENT_CANCEL:
                return LIFECYCLE_CAUSE_NONE; /* the state says it all */
        default:
                return current;
        }
}

static unsigned find_name(const char *const *names, unsigned n, const char *name) {
        for (unsigned i = 0; name && i < n; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        return n;
}

const char *lifecycle_state_name(LifecycleState state) {
        return is_state(state) ? state_names[state] : NULL;
}

const char *lifecycle_event_name(LifecycleEvent event) {
        return (unsigned) event < LIFECYCLE_EVENT_MAX ? event_names[event] : NULL;
}

const char *lifecycle_cause_name(LifecycleCause cause) {
        return (unsigned) cause < LIFECYCLE_CAUSE_MAX ? cause_names[cause] : NULL;
}

LifecycleState lifecycle_state_from_name(const char *name) {
        return (LifecycleState) find_name(state_names, LIFECYCLE_STATE_MAX, name);
}

LifecycleEvent lifecycle_event_from_name(const char *name) {
        return (LifecycleEvent) find_name(event_names, LIFECYCLE_EVENT_MAX, name);
}

LifecycleCause lifecycle_cause_from_name(const char *name) {
        return (LifecycleCause) find_name(cause_names, LIFECYCLE_CAUSE_MAX, name);
}
