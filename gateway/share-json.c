/* How a share looks to its tenant, and, masked, to an operator; and what happened to it. */

#include <inttypes.h>
#include <stdio.h>

#include "address.h"
#include "gateway.h"

static json_t *time_json(int64_t seconds) {
        char text[TIME_TEXT_SIZE];

        time_text(seconds, text);
        return json_string(text);
}

static json_t *recipient_json(ShareContext *c, bool masked) {
        const json_t *addresses = json_object_get(share_details(c), "addresses");
        json_t *list = json_array();
        char text[ADDRESS_SIZE_MAX];

        for (size_t i = 0; i < json_array_size(addresses); i++) {
                const char *address = json_string_value(json_array_get(addresses, i));

                if (masked)
                        address_masked(address, text);
                (void) json_array_append_new(list, json_string(masked ? text : address));
        }
        return json_pack("{s:o}", "addresses", list);
}

static const char *kind_word(int kind) {
        switch ((OutboxKind) kind) {
        case OUTBOX_LINK:
                return "link";
        case OUTBOX_KEY:
                return "key";
        case OUTBOX_CODE:
                return "code";
        default:
                return "invitation";
        }
}

/* What an entry says beyond its event, or NULL. */
static json_t *detail_json(TimelineEvent event, int detail) {
        switch (event) {
        case TIMELINE_WRONG:
                return json_sprintf("%d left", detail);
        case TIMELINE_DELIVERED:
        case TIMELINE_READ:
        case TIMELINE_NOT_DELIVERED:
        case TIMELINE_RESENT:
        case TIMELINE_WITHDRAWN:
                return json_string(kind_word(detail));
        case TIMELINE_RELEASED:
        case TIMELINE_GENERATION:
                return json_sprintf("generation %d", detail);
        case TIMELINE_MESSAGE_SENT:
        case TIMELINE_MESSAGE_RECEIVED:
        case TIMELINE_MESSAGE_REFUSED:
                return json_sprintf("message %d", detail);
        case TIMELINE_WITHDRAWING:
        case TIMELINE_ENDED:
                return json_string(lifecycle_state_name((LifecycleState) detail));
        case TIMELINE_FACTOR_MET:
                return json_string(factor_name((Factor) detail));
        case TIMELINE_CONFIRMED: /* older versions did not say */
                return detail > 0 ? json_sprintf("RAL-%d", detail) : NULL;
        case TIMELINE_REISSUED:
                return json_sprintf("%d left", detail);
        case TIMELINE_CODE_SENT:
        case TIMELINE_CODE_LAPSED:
        case TIMELINE_APPROVAL_ASKED:
        case TIMELINE_APPROVED:
        case TIMELINE_NOT_APPROVED:
        case TIMELINE_CREATED:
        case TIMELINE_INVITATION_ACCEPTED:
        case TIMELINE_MISTYPED:
        case TIMELINE_RELEASING:
        case TIMELINE_LINK_ACCEPTED:
        case TIMELINE_ACKNOWLEDGED:
        case TIMELINE_FALLBACK:
        case TIMELINE_REFUSED:
        case TIMELINE_DISOWNED:
        case TIMELINE_CANCEL_ASKED:
        case TIMELINE_ISSUED:
        case TIMELINE_MESSAGE_UNREADABLE:
        case TIMELINE_MESSAGE_REPEATED:
        case TIMELINE_CLAIMED_ELSEWHERE:
        case TIMELINE_RELAY_CLAIMED:
        case TIMELINE_RELAY_REFUSED:
        case TIMELINE_STEP_DOWN_PENDING:
        case TIMELINE_NO_ANSWER:
        case TIMELINE_STEP_SKIPPED:
        case TIMELINE_QUIET_HOURS:
        case TIMELINE_EXPIRY_CHANGED:
        case _TIMELINE_MAX:
                break;
        }
        return NULL;
}

static const char *fact_of(TimelineEvent event) {
        if (event == TIMELINE_INVITATION_ACCEPTED || event == TIMELINE_LINK_ACCEPTED)
                return "accepted";
        if (event == TIMELINE_DELIVERED || event == TIMELINE_READ)
                return "delivered";
        if (event == TIMELINE_NOT_DELIVERED)
                return "not_delivered";
        return NULL;
}

/* The channel of an entry about a step of the fallback; NULL for others, and once the share has
 * ended. */
static const char *step_channel(ShareContext *c, const TimelineEntry *entry) {
        const ConfigChannel *channel;
        const char *address;

        switch ((TimelineEvent) entry->event) {
        case TIMELINE_FALLBACK:
        case TIMELINE_STEP_DOWN_PENDING:
        case TIMELINE_NO_ANSWER:
        case TIMELINE_STEP_SKIPPED:
        case TIMELINE_QUIET_HOURS:
                return share_route(c, entry->step, &address, &channel) ? channel->name : NULL;
        default:
                return NULL;
        }
}

/* When the next address is written to, if that is certain: what waits, waits for this. */
static json_t *next_step_json(const Share *s) {
        bool waits = s->flags & (SHARE_STEP_DECIDED | SHARE_WAITS_FOR_MORNING);
        bool is_open = s->state == LIFECYCLE_PENDING || s->state == LIFECYCLE_INVITED;

        return waits && is_open ? time_json(s->step_until) : NULL;
}

static void timeline_json(ShareContext *c, json_t *timeline, json_t *delivery) {
        for (int i = 0; i < c->share.n_timeline; i++) {
                const TimelineEntry *entry = &c->share.timeline[i];
                int64_t at = c->share.created + entry->at;
                const char *fact = fact_of((TimelineEvent) entry->event);
                const ConfigChannel *channel;
                const char *address;

                (void) json_array_append_new(timeline,
                                json_pack("{s:o, s:s, s:o*, s:s*}",
                                                "at",
                                                time_json(at),
                                                "event",
                                                timeline_event_name((TimelineEvent) entry->event),
                                                "detail",
                                                detail_json((TimelineEvent) entry->event,
                                                                entry->detail),
                                                "channel",
                                                step_channel(c, entry)));
                if (fact && share_route(c, entry->step, &address, &channel))
                        (void) json_array_append_new(delivery,
                                        json_pack("{s:s, s:s, s:o}",
                                                        "channel",
                                                        channel->name,
                                                        "fact",
                                                        fact,
                                                        "at",
                                                        time_json(at)));
        }
}

static json_t *reference_json(ShareContext *c) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;

        if (!c->share.reference || vault_open(c->gateway->vault,
                                                   NULL,
                                                   c->share.n,
                                                   VAULT_FIELD_REFERENCE,
                                                   0,
                                                   c->share.reference,
                                                   c->share.reference_size,
                                                   &plain) != 0)
                return NULL;
        return json_stringn((const char *) plain.data, plain.size);
}

/* Why a message has not left yet, in a channel's own word: for operators. NULL: nothing waits, or
 * nobody said why. */
static json_t *waiting_json(ShareContext *c) {
        OutboxKind kind = c->share.state == LIFECYCLE_RELEASED ? OUTBOX_LINK : OUTBOX_INVITATION;
        OutboxRow row;
        int part;

        if (lifecycle_is_terminal(c->share.state) ||
                        store_message_find(c->gateway->store, c->share.n, kind, &part) != 0 ||
                        store_outbox_get(c->gateway->store, c->share.n, part, &row) != 0 ||
                        row.dead || !row.reason[0])
                return NULL;
        return json_pack("{s:s, s:s, s:s}",
                        "message",
                        kind_word((int) kind),
                        "channel",
                        row.lane,
                        "reason",
                        row.reason);
}

/* Who is to write next, while messages go both ways; else NULL. */
static const char *turn_of(ShareContext *c) {
        const Share *s = &c->share;

        if (!(s->flags & SHARE_SEVERAL) || s->state != LIFECYCLE_RELEASED ||
                        s->flags & SHARE_ACKNOWLEDGED)
                return NULL;
        return transfer_party_name(transfer_turn(c));
}

unsigned share_assurance(const Share *s) {
        uint32_t met = s->met;

        for (int i = 0; i < s->n_timeline; i++) /* versions before this did not note what was met */
                if (met == 0 && s->timeline[i].event == TIMELINE_CONFIRMED)
                        met = s->rules.factors;
        return factor_assurance(met, s->rules.fact_bits);
}

json_t *share_json(ShareContext *c, bool masked) {
        const Share *s = &c->share;
        json_t *timeline = json_array(), *delivery = json_array();
        char id[ID_TEXT_SIZE], tag[TAG_SIZE], assurance[16];

        (void) snprintf(assurance, sizeof(assurance), "RAL-%u", share_assurance(s));
        vault_id(c->gateway->vault, VAULT_ID_SHARE, s->n, 0, id);
        vault_tag(c->gateway->vault, s->n, tag);
        timeline_json(c, timeline, delivery);
        return json_pack("{s:s, s:s, s:s*, s:I, s:s, s:s, s:o, s:o, s:o*, s:i, s:s, s:o, s:o, s:o, "
                         "s:b, s:s*, s:o*, s:o*}",
                        "id",
                        id,
                        "state",
                        lifecycle_state_name(s->state),
                        "cause",
                        s->cause == LIFECYCLE_CAUSE_NONE ? NULL : lifecycle_cause_name(s->cause),
                        "version",
                        (json_int_t) s->version,
                        "policy",
                        s->policy,
                        "tag",
                        tag,
                        "created_at",
                        time_json(s->created),
                        "expires_at",
                        time_json(s->expires),
                        "reference",
                        masked ? NULL : reference_json(c),
                        "attempts_left",
                        (int) s->attempts.left,
                        "assurance",
                        assurance,
                        "recipient",
                        recipient_json(c, masked),
                        "delivery",
                        delivery,
                        "timeline",
                        timeline,
                        "link_left",
                        (s->flags & SHARE_LINK_LEFT) != 0,
                        "turn",
                        turn_of(c),
                        "waiting",
                        masked ? waiting_json(c) : NULL,
                        "next_step_at",
                        next_step_json(s));
}

void event_id(Gateway *g, const char *tenant, const StoreEvent *event, char ret[EVENT_ID_SIZE]) {
        (void) snprintf(ret,
                        EVENT_ID_SIZE,
                        "%" PRId64 "-%08" PRIx32,
                        event->sequence,
                        vault_event_tag(g->vault,
                                        tenant,
                                        event->sequence,
                                        event->share,
                                        event->version,
                                        event->at,
                                        (int) event->event));
}

json_t *event_json(Gateway *g, const char *tenant, const StoreEvent *event) {
        char share[ID_TEXT_SIZE], id[EVENT_ID_SIZE];

        vault_id(g->vault, VAULT_ID_SHARE, event->share, 0, share);
        event_id(g, tenant, event, id);
        return json_pack("{s:I, s:s, s:o, s:s, s:s*, s:I, s:o, s:o*}",
                        "sequence",
                        (json_int_t) event->sequence,
                        "id",
                        id,
                        "type",
                        json_sprintf("share.%s", timeline_event_name(event->event)),
                        "share",
                        share,
                        "state",
                        event->state == LIFECYCLE_STATE_MAX ? NULL
                                                            : lifecycle_state_name(event->state),
                        "version",
                        (json_int_t) event->version,
                        "at",
                        time_json(event->at),
                        "detail",
                        detail_json(event->event, event->detail));
}
