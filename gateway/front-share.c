/* What is asked about shares that exist: one of them, or a list. How one begins is in
 * share-create.c. */
#include <errno.h>
#include <sodium.h>

#include "front.h"
#include "json-quick.h"

enum {
        LIST_LIMIT_DEFAULT = 20,
        LIST_BYTES_MAX = 32 * 1024,
        LIST_SCAN_MAX = 1000, /* rows looked at for one answer */
};

/* --- one share --- */

int front_load_share(Ask *ask, ShareContext *ret) {
        const char *id = json_string_value(json_object_get(ask->frame, "share"));
        int64_t n;
        int r;

        if (!id || vault_id_read(ask->gateway->vault, VAULT_ID_SHARE, id, &n, NULL) != 0)
                r = STORE_E_NOT_FOUND;
        else
                r = share_context_load(ret, ask->gateway, n);
        if (r == 0 && ask->tenant && !streq(ret->share.tenant, ask->tenant->id)) {
                share_context_done(ret);
                r = STORE_E_NOT_FOUND;
        }
        if (r > 0)
                (void) ask_refuse(ask,
                                404,
                                "not-found",
                                "No such share",
                                "There is no share of this id here.");
        return r;
}

int front_answer_with_share(Ask *ask, ShareContext *c, int status) {
        ask->status = status;
        ask->body = share_json(c, ask->operator);
        return ask->body ? 0 : -ENOMEM;
}

int front_share_get(Ask *ask) {
        json_int_t after = json_integer_value(json_object_get(ask->frame, "after"));
        json_int_t wait = json_integer_value(json_object_get(ask->frame, "wait"));
        ShareContext c;
        int r;

        r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        if (wait > 0 && after >= c.share.version && !lifecycle_is_terminal(c.share.state)) {
                ask->watch = c.share.n;
                ask->wait = wait < SHARE_LIMIT_WAIT ? wait : SHARE_LIMIT_WAIT;
        }
        r = front_answer_with_share(ask, &c, 200);
        share_context_done(&c);
        return r;
}

int front_share_cancel(Ask *ask) {
        ShareContext c;
        int r;

        r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        if (c.share.state == LIFECYCLE_WITHDRAWING || c.share.state == LIFECYCLE_CANCELLED)
                r = 0; /* on its way out already, or out */
        else if (!share_may_step(&c, LIFECYCLE_EVENT_CANCEL)) {
                (void) ask_refuse(ask,
                                409,
                                "already-ended",
                                "The share has ended",
                                "It is %s; there is nothing left to cancel.",
                                lifecycle_state_name(c.share.state));
                share_context_done(&c);
                return 0;
        } else {
                share_note(&c.share, c.now, TIMELINE_CANCEL_ASKED, 0, 0);
                r = share_step(&c, LIFECYCLE_EVENT_CANCEL);
                if (r >= 0)
                        r = share_save(&c);
        }
        if (r >= 0)
                r = front_answer_with_share(
                                ask, &c, c.share.state == LIFECYCLE_WITHDRAWING ? 202 : 200);
        if (r >= 0)
                r = front_remember_answer(ask, NULL);
        share_context_done(&c);
        return r;
}

/* When what would be sent again was last sent, or set out to be. */
static int64_t last_sent(const Share *s, bool link) {
        int64_t last = s->created;

        for (int i = 0; i < s->n_timeline; i++) {
                TimelineEvent event = (TimelineEvent) s->timeline[i].event;

                if (event == TIMELINE_RESENT || event == TIMELINE_FALLBACK ||
                                (link && event == TIMELINE_RELEASED))
                        last = s->created + s->timeline[i].at;
        }
        return last;
}

/* How long the tenant has to wait, in seconds: who has just been written to has not looked yet. */
static int64_t resend_wait(const Ask *ask, const ShareContext *c, bool link) {
        const uint32_t *number = ask->config->limits.number;
        int64_t pause = number[c->share.resends == 0 ? LIMIT_RESEND_FIRST : LIMIT_RESEND_SECOND];

        return last_sent(&c->share, link) + pause - c->now;
}

static int resend(Ask *ask, ShareContext *c, bool link) {
        int r;

        c->share.resends++;
        share_note(&c->share,
                        c->now,
                        TIMELINE_RESENT,
                        link ? OUTBOX_LINK : OUTBOX_INVITATION,
                        c->share.step);
        r = share_step(c, link ? LIFECYCLE_EVENT_RESEND_LINK : LIFECYCLE_EVENT_RESEND_INVITATION);
        if (r == 0)
                r = link ? message_link(c, NULL, true) : fallback_invite(c);
        if (r == 0 && !link)
                share_set_due(c);
        if (r == 0)
                r = share_save(c);
        if (r == 0)
                r = front_answer_with_share(ask, c, 202);
        return r == 0 ? front_remember_answer(ask, NULL) : r;
}

int front_share_resend(Ask *ask) {
        ShareContext c;
        int64_t wait;
        bool link;
        int r;

        r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        link = c.share.state == LIFECYCLE_RELEASED && !(c.share.flags & SHARE_ACKNOWLEDGED);
        wait = resend_wait(ask, &c, link);
        if (!link && !share_may_step(&c, LIFECYCLE_EVENT_RESEND_INVITATION)) {
                r = ask_refuse(ask,
                                409,
                                "not-resendable",
                                "There is nothing to send again",
                                "The share is %s.",
                                lifecycle_state_name(c.share.state));
        } else if (c.share.resends >= GATEWAY_RESENDS_MAX) {
                r = ask_refuse(ask,
                                409,
                                "too-many-resends",
                                "It was sent again often enough",
                                "A share's messages are repeated at most %d times.",
                                GATEWAY_RESENDS_MAX);
        } else if (wait > 0) {
                ask->retry_after = (int) wait;
                r = ask_refuse(ask,
                                429,
                                "too-soon",
                                "It was sent a moment ago",
                                "Wait as Retry-After says; the recipient may not have looked yet.");
        } else
                r = resend(ask, &c, link);
        share_context_done(&c);
        return r > 0 ? -EINVAL : r;
}

static int refuse_expiry(Ask *ask, const char *problem, int64_t limit) {
        char text[TIME_TEXT_SIZE];

        time_text(limit, text);
        return ask_refuse(ask,
                        422,
                        "invalid-expiry",
                        "`expires_at` cannot be used",
                        "`expires_at` %s %s.",
                        problem,
                        text);
}

/* What has been sent says how long it was to last, and that cannot be taken back: so a share may
 * end sooner, which is the sender's right, and never later. What else waits for a time ends with
 * it. */
static int set_expiry(Ask *ask, ShareContext *c, int64_t expires) {
        Share *s = &c->share;

        if (expires > s->expires)
                return refuse_expiry(ask, "may only be brought forward; it is", s->expires);
        if (expires < c->now)
                return refuse_expiry(ask,
                                "is in the past; cancel the share to end it at once. Now it is",
                                c->now);
        if (expires < s->expires) {
                int r;

                s->expires = expires;
                if (s->code_expires > expires)
                        s->code_expires = expires;
                if (s->approval_expires > expires)
                        s->approval_expires = expires;
                if (s->due > expires + 1)
                        s->due = expires + 1;
                share_note(s, c->now, TIMELINE_EXPIRY_CHANGED, 0, 0);
                r = share_save(c);
                if (r < 0)
                        return r;
                sweep_note_due(ask->gateway, s->due);
        }
        return front_answer_with_share(ask, c, 200);
}

int front_share_expiry(Ask *ask) {
        const char *text = json_string_value(
                        json_object_get(json_object_get(ask->frame, "body"), "expires_at"));
        ShareContext c;
        int64_t expires;
        int r;

        r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        if (!text || time_from_text(text, &expires) < 0)
                r = ask_refuse(ask,
                                422,
                                "invalid-member",
                                "The request cannot be used",
                                "`expires_at` must be RFC 3339, such as 2026-11-24T12:00:00Z.");
        else if (!share_may_step(&c, LIFECYCLE_EVENT_EXPIRE))
                r = ask_refuse(ask,
                                409,
                                "too-late",
                                "Its time to confirm is over",
                                "The share is %s, and `expires_at` decides nothing any more.",
                                lifecycle_state_name(c.share.state));
        else
                r = set_expiry(ask, &c, expires);
        if (r >= 0 && !ask->problem)
                r = front_remember_answer(ask, NULL);
        share_context_done(&c);
        return r;
}

/* --- what the sender adds to the second factor --- */

static int refuse_reissue(Ask *ask, const ShareContext *c) {
        const Share *s = &c->share;
        Rules rules = share_rules_now(c);

        if (!share_may_step(c, LIFECYCLE_EVENT_REISSUE))
                return ask_refuse(ask,
                                409,
                                "not-reissuable",
                                "There is no code to replace",
                                "The share is %s.",
                                lifecycle_state_name(s->state));
        if (!challenge_has_codes(s))
                return ask_refuse(ask,
                                409,
                                "not-reissuable",
                                "There is no code to replace",
                                "This share asks for no code, or for none any more.");
        if ((unsigned) s->reissues >= rules.reissues || s->attempts.total_left == 0)
                return ask_refuse(ask,
                                409,
                                "too-many-reissues",
                                "No further code can be had",
                                "Its policy gives %u codes after the first, and %u tries in all, "
                                "of which %u are left. Make a new share.",
                                rules.reissues,
                                rules.attempts_total,
                                (unsigned) s->attempts.total_left);
        return 0;
}

int front_share_reissue(Ask *ask) {
        char code[CODE_SIZE] = "", display[CODE_DISPLAY_SIZE];
        ShareContext c;
        int r;

        r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        r = refuse_reissue(ask, &c);
        if (r == 0 && !ask->problem)
                r = challenge_reissue(&c, code);
        if (r == 0 && !ask->problem) {
                c.share.version++; /* as share_save() does, which comes after the answer is kept */
                r = front_answer_with_share(ask, &c, 200);
                c.share.version--;
        }
        if (r == 0 && !ask->problem && code[0]) {
                code_display(c.share.rules.code, code, display);
                if (json_object_set_new(ask->body, "code", json_string(display)) < 0)
                        r = -ENOMEM;
                sodium_memzero(display, sizeof(display));
        }
        sodium_memzero(code, sizeof(code));
        if (r == 0 && !ask->problem)
                r = front_remember_answer(ask, &c.share);
        if (r == 0 && !ask->problem)
                r = share_save(&c);
        share_context_done(&c);
        return r;
}

static int refuse_not_waiting(Ask *ask, const ShareContext *c) {
        return ask_refuse(ask,
                        409,
                        "not-awaiting-approval",
                        "Nothing waits for your yes",
                        "The share is %s.",
                        lifecycle_state_name(c->share.state));
}

/* A wrong number is not a refusal: the one try is spent, and the answer shows the share locked. */
int front_share_approve(Ask *ask) {
        const char *number = json_string_value(
                        json_object_get(json_object_get(ask->frame, "body"), "number"));
        ShareContext c;
        int r;

        r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        if (!share_may_step(&c, LIFECYCLE_EVENT_APPROVED) || c.now > c.share.approval_expires) {
                r = refuse_not_waiting(ask, &c);
                share_context_done(&c);
                return r;
        }
        r = challenge_approve(&c, number ? number : "");
        if (r == CHALLENGE_E_FORM)
                r = ask_refuse(ask,
                                422,
                                "invalid-member",
                                "The request cannot be used",
                                "`number` must be the six digits that the recipient reads out. "
                                "Nothing was used up.");
        else if (r == CHALLENGE_E_CLOCK)
                r = ask_refuse(ask,
                                503,
                                "clock-suspect",
                                "The gateway's clock is not trusted",
                                "An operator has to look at it first (vestibulectl clock accept). "
                                "Nothing was used up.");
        else if (r == 0) {
                r = share_save(&c);
                if (r == 0)
                        r = front_answer_with_share(ask, &c, 200);
                if (r == 0)
                        r = front_remember_answer(ask, NULL);
        }
        share_context_done(&c);
        return r;
}

int front_share_deny(Ask *ask) {
        ShareContext c;
        int r;

        r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        if (!share_may_step(&c, LIFECYCLE_EVENT_DENIED))
                r = refuse_not_waiting(ask, &c);
        else {
                r = challenge_not_approved(&c, LIFECYCLE_EVENT_DENIED);
                if (r == 0)
                        r = share_save(&c);
                if (r == 0)
                        r = front_answer_with_share(ask, &c, 200);
                if (r == 0)
                        r = front_remember_answer(ask, NULL);
        }
        share_context_done(&c);
        return r;
}

/* --- lists --- */

typedef struct ListWalk {
        LifecycleState state; /* LIFECYCLE_STATE_MAX: of any */
        size_t limit, n, n_seen;
        int64_t numbers[SHARE_LIMIT_LIST];
        int64_t last; /* the last one seen */
        bool more;
} ListWalk;

/* Looks at numbers and states alone, which is cheap; what is shown is loaded afterwards. */
static int walk_number(int64_t n, LifecycleState state, void *userdata) {
        ListWalk *walk = userdata;

        if (walk->n == walk->limit) {
                walk->more = true;
                return 1;
        }
        walk->n_seen++;
        walk->last = n;
        if (walk->state == LIFECYCLE_STATE_MAX || walk->state == state)
                walk->numbers[walk->n++] = n;
        return 0;
}

/* The cursor is the last share's id: opaque, and forged ones are refused. */
static int read_cursor(Ask *ask, int64_t *ret) {
        const char *cursor = json_string_value(json_object_get(ask->frame, "cursor"));

        *ret = INT64_MAX;
        if (!cursor || !*cursor)
                return 0;
        if (vault_id_read(ask->gateway->vault, VAULT_ID_SHARE, cursor, ret, NULL) == 0)
                return 0;
        (void) ask_refuse(ask,
                        400,
                        "invalid-query",
                        "The query cannot be used",
                        "`cursor` must be one that a list gave.");
        return 1;
}

/* Positive: refused. */
static int list_walk(Ask *ask, int64_t before, ListWalk *walk) {
        Gateway *g = ask->gateway;
        const char *reference = json_string_value(json_object_get(ask->frame, "reference"));
        uint8_t index[VAULT_INDEX_SIZE];
        int r;

        if (reference && !ask->tenant) {
                (void) ask_refuse(ask,
                                400,
                                "invalid-query",
                                "The query cannot be used",
                                "`reference` is a tenant's.");
                return 1;
        }
        if (reference) {
                vault_index_reference(g->vault, ask->tenant->id, reference, index);
                r = store_list_reference(g->store, index, before, LIST_SCAN_MAX, walk_number, walk);
        } else
                r = store_list(g->store,
                                ask->tenant ? ask->tenant->id : NULL,
                                before,
                                LIST_SCAN_MAX,
                                walk_number,
                                walk);
        if (walk->n_seen == LIST_SCAN_MAX)
                walk->more = true;
        return r;
}

/* Loads what fits an answer; what does not is on the next page. */
static int list_load(Ask *ask, ListWalk *walk, json_t *list) {
        size_t bytes = 0;

        for (size_t i = 0; i < walk->n; i++) {
                ShareContext c;
                json_t *share;
                int r;

                r = share_context_load(&c, ask->gateway, walk->numbers[i]);
                if (r != 0)
                        return r < 0 ? r : -ESTALE;
                share = share_json(&c, ask->operator);
                share_context_done(&c);
                if (!share)
                        return -ENOMEM;
                bytes += json_quick_write(share, NULL, 0) + 1;
                if (i > 0 && bytes > LIST_BYTES_MAX - 1024) {
                        json_decref(share);
                        walk->last = walk->numbers[i - 1];
                        walk->more = true;
                        return 0;
                }
                (void) json_array_append_new(list, share);
        }
        return 0;
}

int front_share_list(Ask *ask) {
        const char *state_name = json_string_value(json_object_get(ask->frame, "state"));
        json_int_t limit = json_integer_value(json_object_get(ask->frame, "limit"));
        ListWalk walk = { .state = lifecycle_state_from_name(state_name) };
        json_auto_t *list = json_array();
        char cursor[ID_TEXT_SIZE];
        int64_t before;
        int r;

        if (state_name && *state_name && walk.state == LIFECYCLE_STATE_MAX)
                return ask_refuse(ask,
                                400,
                                "invalid-query",
                                "The query cannot be used",
                                "`state` is not a state.");
        if (!list)
                return -ENOMEM;
        walk.limit = limit <= 0                 ? LIST_LIMIT_DEFAULT
                     : limit > SHARE_LIMIT_LIST ? SHARE_LIMIT_LIST
                                                : (size_t) limit;
        r = read_cursor(ask, &before);
        if (r == 0)
                r = list_walk(ask, before, &walk);
        if (r == 0)
                r = list_load(ask, &walk, list);
        if (r != 0)
                return r < 0 ? r : 0;
        if (walk.more)
                vault_id(ask->gateway->vault, VAULT_ID_SHARE, walk.last, 0, cursor);
        ask->status = 200;
        ask->body = json_pack("{s:O, s:s*}", "shares", list, "cursor", walk.more ? cursor : NULL);
        return ask->body ? 0 : -ENOMEM;
}
