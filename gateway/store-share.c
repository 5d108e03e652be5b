/* A share in memory, whatever store its row comes from: letting go of what it owns, and its
 * timeline; and what belongs to its transfer. */
#include "store.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void share_drop(uint8_t **blob, size_t size) {
        if (*blob) {
                sodium_memzero(*blob, size);
                free(*blob);
        }
        *blob = NULL;
}

void share_done(Share *share) {
        free(share->tenant);
        free(share->policy);
        free(share->relay);
        share_drop(&share->key, VAULT_WRAPPED_SIZE);
        share_drop(&share->code, VAULT_VERIFIER_SIZE);
        share_drop(&share->idempotency, share->idempotency_size);
        share_drop(&share->reference, share->reference_size);
        share_drop(&share->mailbox, share->mailbox_size);
        share_drop(&share->held, share->held_size);
        share_drop(&share->approval, VAULT_VERIFIER_SIZE);
        memset(share, 0, sizeof(*share));
}

int share_add_answer(Share *share, const uint8_t index[VAULT_INDEX_SIZE]) {
        uint8_t *grown = realloc(share->idempotency, share->idempotency_size + VAULT_INDEX_SIZE);

        if (!grown)
                return -ENOMEM;
        memcpy(grown + share->idempotency_size, index, VAULT_INDEX_SIZE);
        share->idempotency = grown;
        share->idempotency_size += VAULT_INDEX_SIZE;
        return 0;
}

void transfer_done(Transfer *transfer) {
        share_drop(&transfer->frame, transfer->frame_size);
        share_drop(&transfer->state, transfer->state_size);
        memset(transfer, 0, sizeof(*transfer));
}

void transfer_message_done(TransferMessage *message) {
        share_drop(&message->body, message->body_size);
        memset(message, 0, sizeof(*message));
}

/* Of a long transfer the oldest messages give way, which are listed elsewhere as well; else the
 * middle, so that the beginning and the end of the story stay. */
static size_t entry_to_drop(const Share *share) {
        for (size_t i = 0; i < SHARE_TIMELINE_MAX; i++) {
                TimelineEvent event = (TimelineEvent) share->timeline[i].event;

                if (event == TIMELINE_MESSAGE_SENT || event == TIMELINE_MESSAGE_RECEIVED)
                        return i;
        }
        return SHARE_TIMELINE_MAX / 2;
}

void share_note(Share *share, int64_t now, TimelineEvent event, int detail, int step) {
        if (share->n_timeline == SHARE_TIMELINE_MAX) {
                size_t i = entry_to_drop(share);

                memmove(&share->timeline[i],
                                &share->timeline[i + 1],
                                (SHARE_TIMELINE_MAX - i - 1) * sizeof(TimelineEntry));
                share->n_timeline--;
        }
        share->timeline[share->n_timeline] = (TimelineEntry){
                .at = now > share->created ? (uint32_t) (now - share->created) : 0,
                .event = (uint8_t) event,
                .detail = (uint8_t) detail,
                .step = (uint8_t) step,
        };
        /* Apart from the timeline, which the next entry may push this one out of. */
        if (share->n_noted < SHARE_NOTED_MAX)
                share->noted[share->n_noted] = share->timeline[share->n_timeline];
        share->n_noted++;
        share->n_timeline++;
}

const char *timeline_event_name(TimelineEvent event) {
        static const char *const names[_TIMELINE_MAX] = {
                [TIMELINE_CREATED] = "created",
                [TIMELINE_INVITATION_ACCEPTED] = "invitation_accepted",
                [TIMELINE_DELIVERED] = "delivered",
                [TIMELINE_READ] = "read",
                [TIMELINE_NOT_DELIVERED] = "not_delivered",
                [TIMELINE_MISTYPED] = "mistyped",
                [TIMELINE_WRONG] = "wrong",
                [TIMELINE_CONFIRMED] = "confirmed",
                [TIMELINE_RELEASING] = "releasing",
                [TIMELINE_RELEASED] = "released",
                [TIMELINE_LINK_ACCEPTED] = "link_accepted",
                [TIMELINE_GENERATION] = "generation",
                [TIMELINE_RESENT] = "resent",
                [TIMELINE_WITHDRAWING] = "withdrawing",
                [TIMELINE_ACKNOWLEDGED] = "acknowledged",
                [TIMELINE_ENDED] = "ended",
                [TIMELINE_FALLBACK] = "fallback",
                [TIMELINE_REFUSED] = "refused",
                [TIMELINE_DISOWNED] = "disowned",
                [TIMELINE_CANCEL_ASKED] = "cancel_asked",
                [TIMELINE_ISSUED] = "issued",
                [TIMELINE_MESSAGE_SENT] = "message_sent",
                [TIMELINE_MESSAGE_RECEIVED] = "message_received",
                [TIMELINE_MESSAGE_REFUSED] = "message_refused",
                [TIMELINE_MESSAGE_UNREADABLE] = "message_unreadable",
                [TIMELINE_MESSAGE_REPEATED] = "message_repeated",
                [TIMELINE_CLAIMED_ELSEWHERE] = "claimed_elsewhere",
                [TIMELINE_RELAY_CLAIMED] = "relay_claimed",
                [TIMELINE_RELAY_REFUSED] = "relay_refused",
                [TIMELINE_WITHDRAWN] = "withdrawn",
                [TIMELINE_FACTOR_MET] = "factor_met",
                [TIMELINE_CODE_SENT] = "code_sent",
                [TIMELINE_CODE_LAPSED] = "code_lapsed",
                [TIMELINE_REISSUED] = "reissued",
                [TIMELINE_APPROVAL_ASKED] = "approval_asked",
                [TIMELINE_APPROVED] = "approved",
                [TIMELINE_NOT_APPROVED] = "not_approved",
                [TIMELINE_STEP_DOWN_PENDING] = "step_down_pending",
                [TIMELINE_NO_ANSWER] = "no_answer",
                [TIMELINE_STEP_SKIPPED] = "step_skipped",
                [TIMELINE_QUIET_HOURS] = "quiet_hours",
                [TIMELINE_EXPIRY_CHANGED] = "expiry_changed",
        };

        return event > 0 && event < _TIMELINE_MAX && names[event] ? names[event] : "unknown";
}
