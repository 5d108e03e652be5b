/* The relay's side of a share: making its mailbox, watching it, deleting it. Which generation is
 * asked for, and that only one URL can ever be learnt, is decided here; see lifecycle.c for the
 * states. */
#include <errno.h>
#include <string.h>

#include "gateway.h"
#include "log.h"

enum {
        RELAY_CLOCK_SKEW = 60, /* seconds */
        CLAIMED_LOOKS = 2,     /* answers `claimed` in a row until they are believed */
        RELAY_RETRY_MAX = 60,  /* seconds that a relay may ask us to wait */
};

/* --- frames --- */

int relay_open_mailbox(ShareContext *c, Secret *ret) {
        int r;

        if (!c->share.mailbox || !c->has_key)
                return STORE_E_NOT_FOUND;
        r = vault_open(c->gateway->vault,
                        &c->key,
                        c->share.n,
                        VAULT_FIELD_MAILBOX,
                        (uint32_t) c->share.generation,
                        c->share.mailbox,
                        c->share.mailbox_size,
                        ret);
        return r > 0 ? -EBADMSG : r;
}

/* The initiator's claim: of this generation, the tenant's own or ours. */
void relay_claim_of(ShareContext *c, char ret[UUID_TEXT_SIZE]) {
        const json_t *claims = json_object_get(share_details(c), "claims");
        const char *claim = json_string_value(json_array_get(claims, (size_t) c->share.generation));

        if (claim && text_is_uuid(claim))
                memcpy(ret, claim, UUID_TEXT_SIZE);
        else
                vault_claim(c->gateway->vault, c->share.n, (unsigned) c->share.generation, ret);
}

/* A claim is never used for a second mailbox. */
static int generations_max(ShareContext *c) {
        size_t claims = json_array_size(json_object_get(share_details(c), "claims"));

        return claims > 0 && claims < LIFECYCLE_GENERATIONS_MAX ? (int) claims
                                                                : LIFECYCLE_GENERATIONS_MAX;
}

static int create_frame(ShareContext *c, json_t **ret) {
        Gateway *g = c->gateway;
        const json_t *details = share_details(c);
        _cleanup_(freep) uint8_t *sealed = NULL;
        _cleanup_(secret_done) Secret box = SECRET_NULL;
        char id[ID_TEXT_SIZE], claim[UUID_TEXT_SIZE], request[UUID_TEXT_SIZE];
        char vertical[2] = { rules_vertical(c->share.rules.class), 0 };
        size_t size;
        int r;

        r = store_payload_get(g->store, c->share.n, &sealed, &size);
        if (r == 0)
                r = vault_open(g->vault,
                                &c->key,
                                c->share.n,
                                VAULT_FIELD_PAYLOAD,
                                0,
                                sealed,
                                size,
                                &box);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;
        vault_id(g->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        relay_claim_of(c, claim);
        vault_request_id(g->vault, c->share.n, (unsigned) c->share.generation, "create", request);

        *ret = json_pack("{s:s, s:s, s:i, s:s, s:s, s:I, s:s, s:s, s:O, s:O, s:O, s:s%}",
                        "type",
                        "create",
                        "share",
                        id,
                        "generation",
                        c->share.generation,
                        "claim",
                        claim,
                        "request",
                        request,
                        "expiration",
                        (json_int_t) c->share.mailbox_expires,
                        "rights",
                        c->share.flags & SHARE_SEVERAL ? "RWD" : "RD",
                        "vertical",
                        vertical,
                        "display",
                        json_object_get(details, "display"),
                        "envelope",
                        json_object_get(details, "envelope"),
                        "kid",
                        json_object_get(details, "kid"),
                        "box",
                        (const char *) box.data,
                        box.size);
        if (*ret && c->share.flags & SHARE_ENCRYPTED)
                (void) json_object_set_new(*ret, "encrypted", json_true());
        return *ret ? 0 : -ENOMEM;
}

static int mailbox_frame(ShareContext *c, const char *type, json_t **ret) {
        Gateway *g = c->gateway;
        _cleanup_(secret_done) Secret mailbox = SECRET_NULL;
        json_auto_t *frame = NULL;
        char id[ID_TEXT_SIZE], claim[UUID_TEXT_SIZE], request[UUID_TEXT_SIZE];
        int r;

        r = relay_open_mailbox(c, &mailbox);
        if (r != 0)
                return r < 0 ? r : -ESTALE;
        vault_id(g->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        relay_claim_of(c, claim);
        vault_request_id(g->vault, c->share.n, (unsigned) c->share.generation, type, request);
        frame = json_pack("{s:s, s:s, s:i, s:O*, s:s%, s:s, s:s*}",
                        "type",
                        type,
                        "share",
                        id,
                        "generation",
                        c->share.generation,
                        "kid",
                        json_object_get(share_details(c), "kid"),
                        "mailbox",
                        (const char *) mailbox.data,
                        mailbox.size,
                        "claim",
                        claim,
                        "request",
                        streq(type, "read") ? NULL : request); /* each look is one of its own */
        if (!frame)
                return -ENOMEM;
        r = transfer_add_state(c, frame);
        if (r >= 0)
                *ret = TAKE_PTR(frame);
        return r;
}

static bool may_run(const Share *s, OutboxKind kind) {
        switch (kind) {
        case OUTBOX_CREATE:
                return s->state == LIFECYCLE_RELEASING || s->state == LIFECYCLE_WITHDRAWING;
        case OUTBOX_MINT:
                return s->state == LIFECYCLE_RELEASING;
        case OUTBOX_READ:
        case OUTBOX_UPDATE:
        case OUTBOX_ACKNOWLEDGE:
                return s->state == LIFECYCLE_RELEASED && !(s->flags & SHARE_ACKNOWLEDGED);
        case OUTBOX_DELETE:
                return s->state == LIFECYCLE_RELEASED || s->state == LIFECYCLE_WITHDRAWING;
        case OUTBOX_INVITATION:
        case OUTBOX_LINK:
        case OUTBOX_NOTICE:
        case OUTBOX_WITHDRAW:
        case OUTBOX_POLL:
        case OUTBOX_CODE:
        case OUTBOX_KEY:
                break;
        }
        return false;
}

/* --- rows --- */

static int remove_row(ShareContext *c, const OutboxRow *row) {
        return store_outbox_remove(c->gateway->store, row->share, row->part);
}

/* Takes a step, saves, and says that the row is done. */
static int step_done(ShareContext *c, const OutboxRow *row, LifecycleEvent event) {
        int r;

        r = remove_row(c, row);
        if (r >= 0)
                r = share_step(c, event);
        if (r >= 0)
                r = share_save(c);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

/* The recipient has confirmed, and there is no link to send. */
static int not_released(ShareContext *c, const OutboxRow *row, LifecycleEvent event) {
        int r;

        r = message_not_made(c);
        return r < 0 ? r : step_done(c, row, event);
}

/* Ends a withdrawal whose mailbox is gone or never was. */
static int withdrawn(ShareContext *c, const OutboxRow *row) {
        return step_done(c, row, lifecycle_withdrawn(c->share.goal));
}

static int make_frame(ShareContext *c, OutboxRow *row, json_t **ret) {
        switch (row->kind) {
        case OUTBOX_CREATE:
                return create_frame(c, ret);
        case OUTBOX_MINT:
                return relay_mint_claim(c, ret);
        case OUTBOX_UPDATE:
                return transfer_update_claim(c, row, ret);
        case OUTBOX_ACKNOWLEDGE:
                return transfer_acknowledge_claim(c, ret);
        case OUTBOX_READ:
                return mailbox_frame(c, "read", ret);
        default:
                return mailbox_frame(c, "delete", ret);
        }
}

int relay_claim(ShareContext *c, OutboxRow *row, json_t **ret) {
        int r;

        if (!may_run(&c->share, row->kind)) {
                r = remove_row(c, row);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        /* A creation whose answer did not come before the share was withdrawn: nobody can ever
         * learn that URL, and asking again could only make a mailbox that nobody wants. */
        if (row->kind == OUTBOX_CREATE && c->share.state == LIFECYCLE_WITHDRAWING)
                return withdrawn(c, row);
        r = make_frame(c, row, ret);
        if (r != 0)
                return r;
        if (row->kind == OUTBOX_CREATE &&
                        row->attempts == 0) { /* from now on a mailbox may exist */
                row->attempts = 1;
                r = store_outbox_attempt(c->gateway->store, row);
                audit_log_note(c->gateway->audit,
                                &(AuditNote){ .event = "relay_call",
                                                .actor = AUDIT_ACTOR_GATEWAY,
                                                .tenant = NULL,
                                                .share = c->share.n,
                                                .number = c->share.generation });
        }
        return r;
}

/* --- answers --- */

static const ConfigRelay *relay_of(const ShareContext *c) {
        const Config *config = c->gateway->config;

        for (size_t i = 0; i < config->n_relays; i++)
                if (c->share.relay && streq(config->relays[i].plugin->socket_name, c->share.relay))
                        return &config->relays[i];
        return NULL;
}

/* The link will be shown to a person, so it must be the mailbox's own, at the relay that the
 * operator has named. In Draft R it says where the mailboxes are, and how to find them. */
static bool is_link_of(const ShareContext *c, const char *mailbox, const char *link) {
        const ConfigRelay *relay = relay_of(c);
        const char *url = relay ? relay->url : "", *start = mailbox;
        size_t n = strlen(url);

        if (!mailbox || !link || strlen(mailbox) > 2048 || strlen(link) > 4096 || n == 0 ||
                        strncmp(mailbox, url, n) != 0)
                return false;
        if (streq(relay->protocol, "draft-r"))
                start = url;
        else if (mailbox[n] != '/' && url[n - 1] != '/')
                return false;
        return strncmp(link, start, strlen(start)) == 0 && link[strlen(start)] &&
               strchr("?#", link[strlen(start)]);
}

static int mailbox_made(ShareContext *c, const OutboxRow *row, const json_t *answer) {
        Gateway *g = c->gateway;
        const char *mailbox = json_string_value(json_object_get(answer, "mailbox"));
        const char *link = json_string_value(json_object_get(answer, "link"));
        bool releasing = c->share.state == LIFECYCLE_RELEASING;
        int r;

        if (!is_link_of(c, mailbox, link)) {
                log_error("The relay client answered with a link that is not its relay's.");
                return releasing ? not_released(c, row, LIFECYCLE_EVENT_RELAY_REFUSED)
                                 : withdrawn(c, row);
        }
        share_drop(&c->share.mailbox, c->share.mailbox_size);
        r = vault_seal(g->vault,
                        &c->key,
                        c->share.n,
                        VAULT_FIELD_MAILBOX,
                        (uint32_t) c->share.generation,
                        mailbox,
                        strlen(mailbox),
                        &c->share.mailbox,
                        &c->share.mailbox_size);
        if (r >= 0)
                r = remove_row(c, row);
        if (r < 0)
                return r;
        gateway_count(g, COUNTER_MAILBOXES_MADE);
        if (releasing)
                share_note(&c->share, c->now, TIMELINE_RELEASED, c->share.generation, 0);
        r = share_step(c, LIFECYCLE_EVENT_MAILBOX_MADE);
        if (r == 0 && releasing && c->share.flags & SHARE_SEVERAL)
                r = transfer_begin(c, answer);
        if (r == 0 && releasing && !share_meets_policy(c))
                r = share_step(c, LIFECYCLE_EVENT_POLICY_TIGHTENED);
        else if (r == 0 && releasing)
                r = message_link(c, link, false);
        if (r >= 0)
                r = share_save(c);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

/* The URL of that mailbox is lost, to everybody: a fresh claim, and the orphan runs out by itself.
 */
static int generation_lost(ShareContext *c, const OutboxRow *row) {
        gateway_count(c->gateway, COUNTER_MAILBOXES_ORPHANED);
        if (c->share.state == LIFECYCLE_WITHDRAWING)
                return withdrawn(c, row);
        if (c->share.generation + 1 >= generations_max(c))
                return not_released(c, row, LIFECYCLE_EVENT_RELAY_REFUSED);
        share_note(&c->share, c->now, TIMELINE_GENERATION, c->share.generation + 1, 0);
        return step_done(c, row, LIFECYCLE_EVENT_GENERATION_LOST);
}

bool relay_patience_is_over(const ShareContext *c) {
        return c->now - (c->share.mailbox_expires - c->share.rules.mailbox_ttl) >=
               LIFECYCLE_RELAY_PATIENCE;
}

static int create_answered(ShareContext *c, const OutboxRow *row, const json_t *answer) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        const char *reason = json_string_value(json_object_get(answer, "reason"));

        if (streq(type, "done"))
                return mailbox_made(c, row, answer);
        if (streq(type, "duplicate"))
                return generation_lost(c, row);
        if (streq(type, "again")) {
                /* While an earlier call may still be under way, a mailbox could come late. */
                if (!relay_patience_is_over(c) || (reason && streq(reason, "claim-is-busy")))
                        return OUTBOX_VERDICT_AGAIN;
                if (c->share.state == LIFECYCLE_WITHDRAWING)
                        return withdrawn(c, row);
                return not_released(c, row, LIFECYCLE_EVENT_RELAY_UNREACHABLE);
        }
        if (c->share.state == LIFECYCLE_WITHDRAWING)
                return withdrawn(c, row);
        return not_released(c, row, LIFECYCLE_EVENT_RELAY_REFUSED);
}

/* The poll's own pace: 2 s, doubling, at most 15 minutes. */
static uint64_t poll_msec(unsigned tries) {
        uint64_t seconds = LIFECYCLE_POLL_FIRST_SECONDS;

        for (unsigned i = 1; i < tries && seconds < LIFECYCLE_POLL_LAST_SECONDS; i++)
                seconds *= 2;
        return 1000 *
               (seconds < LIFECYCLE_POLL_LAST_SECONDS ? seconds : LIFECYCLE_POLL_LAST_SECONDS);
}

/* A mailbox that went before its end, and whose link had left, was collected. Close to its end the
 * relay's clock may simply be ahead. */
static bool was_collected(const ShareContext *c) {
        if (c->share.flags & SHARE_ACKNOWLEDGED)
                return true;
        return c->share.flags & SHARE_LINK_LEFT &&
               c->now + RELAY_CLOCK_SKEW < c->share.mailbox_expires;
}

/* A refusal hides what happened, even after an answer of the recipient. */
int relay_end_event(ShareContext *c, LifecycleEvent *ret) {
        const Share *s = &c->share;
        int answered = 0;

        if (s->flags & SHARE_SEVERAL)
                answered = transfer_was_answered(c);
        if (answered < 0)
                return answered;
        *ret = s->flags & (SHARE_ACKNOWLEDGED | SHARE_TAKEN) ? LIFECYCLE_EVENT_MAILBOX_GONE
               : s->flags & SHARE_NOT_OURS                   ? LIFECYCLE_EVENT_OUTCOME_UNKNOWN
               : answered                                    ? LIFECYCLE_EVENT_NOT_FINISHED
                                                             : LIFECYCLE_EVENT_NOT_COLLECTED;
        return 0;
}

int relay_mailbox_gone(ShareContext *c) {
        LifecycleEvent event = LIFECYCLE_EVENT_MAILBOX_GONE;
        int r = 0;

        if (c->share.state == LIFECYCLE_WITHDRAWING)
                event = lifecycle_withdrawn(c->share.goal);
        else if (!was_collected(c))
                r = relay_end_event(c, &event);
        if (r == 0)
                r = share_step(c, event);
        if (r == 0)
                r = share_save(c);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

void relay_note_look(OutboxItem *item, const json_t *answer) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        bool claimed = type && streq(type, "claimed");

        if ((item->kind != OUTBOX_POLL && item->kind != OUTBOX_READ) || !type ||
                        streq(type, "again")) /* which says nothing */
                return;
        item->refused = !streq(type, "done") && !streq(type, "gone");
        if (!claimed)
                item->claimed = 0;
        else if (item->claimed < CLAIMED_LOOKS)
                item->claimed++;
}

/* 401 to who made the mailbox: two other claims hold it, or hold us for somebody else. One such
 * answer may be a slip, of a relay in the middle of an update or of one behind a balancer that has
 * not heard of the mailbox yet, and ends a good transfer for ever. The same answer to the next
 * look, under a request id of its own and after the usual pace, is no slip. */
int relay_mailbox_claimed(ShareContext *c, const OutboxItem *item) {
        int r;

        if (item->claimed < CLAIMED_LOOKS)
                return OUTBOX_VERDICT_AGAIN;
        share_note(&c->share, c->now, TIMELINE_RELAY_CLAIMED, 0, 0);
        r = share_step(c, LIFECYCLE_EVENT_CLAIMED_ELSEWHERE);
        if (r == 0)
                r = share_save(c);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

void relay_mailbox_seen(ShareContext *c) {
        c->share.flags &= ~SHARE_NOT_OURS;
}

static bool was_noted(const Share *share, TimelineEvent event) {
        for (int i = 0; i < share->n_timeline; i++)
                if (share->timeline[i].event == event)
                        return true;
        return false;
}

/* The relay refuses us a mailbox that it made for us: it has lost who made it, or the relay at that
 * address is another one now. That says nothing about the recipient, so the share goes on until the
 * mailbox's end; tenant and operator are told once. */
int relay_mailbox_refused(ShareContext *c, OutboxKind kind, const char *type, uint64_t *ret_retry) {
        Gateway *g = c->gateway;
        char id[ID_TEXT_SIZE];
        int r;

        if (kind == OUTBOX_READ) /* a deletion is tried again as soon as any other */
                *ret_retry = 1000 * (uint64_t) LIFECYCLE_POLL_LAST_SECONDS;
        if (c->share.flags & SHARE_NOT_OURS)
                return OUTBOX_VERDICT_AGAIN;
        c->share.flags |= SHARE_NOT_OURS;
        if (was_noted(&c->share, TIMELINE_RELAY_REFUSED)) {
                r = store_share_update(g->store, &c->share);
                return r < 0 ? r : OUTBOX_VERDICT_AGAIN;
        }
        share_note(&c->share, c->now, TIMELINE_RELAY_REFUSED, 0, 0);
        r = share_save(c);
        if (r < 0)
                return r;
        vault_id(g->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        log_record(LOG_WARNING,
                        &(LogFields){ .share = id, .tenant = c->share.tenant },
                        "The relay refuses us the mailbox of a share (%s). Whether it was "
                        "collected "
                        "cannot be known, and it cannot be deleted before its end.",
                        type);
        return OUTBOX_VERDICT_AGAIN;
}

static int mailbox_gone(ShareContext *c, const OutboxRow *row) {
        int r;

        r = remove_row(c, row);
        return r < 0 ? r : relay_mailbox_gone(c);
}

/* Draft R, of the one look shortly before the end: `gone` is our last message, and the recipient
 * may write all the same. Any other answer but `again` leaves it at what is known. */
static int last_look(ShareContext *c, const OutboxRow *row, const char *type) {
        int r;

        if (streq(type, "again"))
                return OUTBOX_VERDICT_AGAIN;
        r = remove_row(c, row);
        if (r >= 0 && streq(type, "gone") && c->now + RELAY_CLOCK_SKEW < c->share.mailbox_expires) {
                c->share.flags |= SHARE_TAKEN;
                r = store_share_update(c->gateway->store, &c->share);
        }
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

/* Whether the mailbox of a share of one message is there. */
static int look_answered(ShareContext *c,
                const OutboxRow *row,
                const OutboxItem *item,
                const char *type,
                uint64_t *ret_retry) {
        int r = OUTBOX_VERDICT_AGAIN;

        if (streq(type, "gone"))
                return mailbox_gone(c, row);
        if (streq(type, "unauthorised") || streq(type, "refused"))
                return relay_mailbox_refused(c, OUTBOX_READ, type, ret_retry);
        if (*ret_retry < poll_msec(item->tries)) /* whoever asks for less does not set the pace */
                *ret_retry = poll_msec(item->tries);
        if (streq(type, "claimed"))
                return relay_mailbox_claimed(c, item);
        if (streq(type, "done") && c->share.flags & SHARE_NOT_OURS) {
                relay_mailbox_seen(c);
                r = store_share_update(c->gateway->store, &c->share);
        }
        return r < 0 ? r : OUTBOX_VERDICT_AGAIN;
}

int relay_answered(ShareContext *c,
                OutboxRow *row,
                const OutboxItem *item,
                const json_t *answer,
                uint64_t *ret_retry) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        json_int_t retry_after = json_integer_value(json_object_get(answer, "retry_after"));
        int r;

        if (retry_after > RELAY_RETRY_MAX)
                retry_after = RELAY_RETRY_MAX;
        *ret_retry = retry_after > 0 ? (uint64_t) retry_after * 1000 : 0;
        if (!may_run(&c->share, row->kind)) {
                r = remove_row(c, row);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        if (row->kind == OUTBOX_CREATE)
                return create_answered(c, row, answer);
        if (row->kind == OUTBOX_MINT)
                return relay_mint_answered(c, row, answer);
        if (row->kind == OUTBOX_UPDATE)
                return transfer_update_answered(c, row, answer, ret_retry);
        if (row->kind == OUTBOX_ACKNOWLEDGE)
                return transfer_acknowledge_answered(c, row, answer);
        if (row->kind == OUTBOX_READ)
                return c->share.flags & SHARE_SEVERAL
                                       ? last_look(c, row, type)
                                       : look_answered(c, row, item, type, ret_retry);
        if (streq(type, "gone") || streq(type, "done"))
                return mailbox_gone(c, row);
        if (streq(type, "unauthorised") || streq(type, "refused"))
                return relay_mailbox_refused(c, row->kind, type, ret_retry);
        return OUTBOX_VERDICT_AGAIN; /* at the latest the mailbox's own end ends it: sweep.c */
}
