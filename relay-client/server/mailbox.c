#include "mailbox.h"

typedef struct MailboxEdge {
        bool allowed;
        MailboxState next;
} MailboxEdge;

/* An empty cell is a refusal, so a forgotten edge fails closed. Create is asked in MAILBOX_NONE by
 * definition: its mailbox is a new one. */
/* clang-format off */
static const MailboxEdge edges[_MAILBOX_STATE_MAX][_MAILBOX_PARTY_MAX][_RELAY_OPERATION_MAX] = {
        [MAILBOX_NONE][MAILBOX_STRANGER][RELAY_CREATE]        = { true, MAILBOX_OPEN  },

        [MAILBOX_OPEN][MAILBOX_INITIATOR][RELAY_PREVIEW]      = { true, MAILBOX_OPEN  },
        [MAILBOX_OPEN][MAILBOX_INITIATOR][RELAY_READ]         = { true, MAILBOX_OPEN  },
        [MAILBOX_OPEN][MAILBOX_INITIATOR][RELAY_UPDATE]       = { true, MAILBOX_OPEN  },
        [MAILBOX_OPEN][MAILBOX_INITIATOR][RELAY_DELETE]       = { true, MAILBOX_NONE  },
        [MAILBOX_OPEN][MAILBOX_STRANGER][RELAY_PREVIEW]       = { true, MAILBOX_OPEN  },
        [MAILBOX_OPEN][MAILBOX_STRANGER][RELAY_READ]          = { true, MAILBOX_BOUND },

        [MAILBOX_BOUND][MAILBOX_INITIATOR][RELAY_PREVIEW]     = { true, MAILBOX_BOUND },
        [MAILBOX_BOUND][MAILBOX_INITIATOR][RELAY_READ]        = { true, MAILBOX_BOUND },
        [MAILBOX_BOUND][MAILBOX_INITIATOR][RELAY_UPDATE]      = { true, MAILBOX_BOUND },
        [MAILBOX_BOUND][MAILBOX_INITIATOR][RELAY_DELETE]      = { true, MAILBOX_NONE  },
        [MAILBOX_BOUND][MAILBOX_RECIPIENT][RELAY_PREVIEW]     = { true, MAILBOX_BOUND },
        [MAILBOX_BOUND][MAILBOX_RECIPIENT][RELAY_READ]        = { true, MAILBOX_BOUND },
        [MAILBOX_BOUND][MAILBOX_RECIPIENT][RELAY_UPDATE]      = { true, MAILBOX_BOUND },
        [MAILBOX_BOUND][MAILBOX_RECIPIENT][RELAY_DELETE]      = { true, MAILBOX_NONE  },
        [MAILBOX_BOUND][MAILBOX_RECIPIENT][RELAY_RELINQUISH]  = { true, MAILBOX_OPEN  },
        [MAILBOX_BOUND][MAILBOX_STRANGER][RELAY_PREVIEW]      = { true, MAILBOX_BOUND },
};

static const unsigned needed_rights[_RELAY_OPERATION_MAX] = {
        [RELAY_READ]   = RELAY_RIGHT_READ,
        [RELAY_UPDATE] = RELAY_RIGHT_WRITE,
        [RELAY_DELETE] = RELAY_RIGHT_DELETE,
};

/* Reads define no 201, and a repeated Delete finds nothing: 404. */
static const bool knows_duplicates[_RELAY_OPERATION_MAX] = {
        [RELAY_CREATE]     = true,
        [RELAY_UPDATE]     = true,
        [RELAY_RELINQUISH] = true,
};
/* clang-format on */

MailboxDecision mailbox_decide(const MailboxQuestion *q) {
        const MailboxEdge *edge = &edges[q->state][q->party][q->operation];
        unsigned needed = needed_rights[q->operation];

        if (q->state == MAILBOX_NONE && q->operation != RELAY_CREATE)
                return (MailboxDecision){ MAILBOX_GONE, q->state };
        /* Before the claim is looked at: who relinquished is no longer bound and must hear 201. */
        if (q->is_duplicate && knows_duplicates[q->operation])
                return (MailboxDecision){ MAILBOX_DUPLICATE, q->state };
        if (!edge->allowed)
                return (MailboxDecision){ MAILBOX_UNAUTHORISED, q->state };
        if ((q->rights & needed) != needed)
                return (MailboxDecision){ MAILBOX_NO_RIGHT, q->state };
        if (relay_operation_has_body(q->operation) && !q->body_is_valid)
                return (MailboxDecision){ MAILBOX_BAD_BODY, q->state };
        return (MailboxDecision){ MAILBOX_DONE, edge->next };
}
