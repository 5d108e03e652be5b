/* What time does to shares: invitations expire, mailboxes run out, what was kept for late answers
 * and for the record is removed. Deadlines are an index in the store, not timers: a sweep costs
 * what is due, not what exists. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "gateway.h"
#include "log.h"

enum {
        STUCK_SECONDS = 5 * 60, /* until a share that could not be swept is looked at again */
        PAUSE_SECONDS = 60,
        COUNTER_PAGES = 10, /* of those that are looked at in each pause */
};

typedef struct Page {
        Gateway *gateway;
        int64_t numbers[GATEWAY_SWEEP_PAGE];
        size_t n;
        bool more; /* events are left that have expired */
} Page;

static int page_add(int64_t n, void *userdata) {
        Page *page = userdata;

        page->numbers[page->n++] = n;
        return 0;
}

/* In Draft R a message that was taken and one that ran out are the same absence: whether ours was
 * taken has to be asked while it would be there still. */
static int look_before_the_end(ShareContext *c) {
        Share *s = &c->share;
        int r;

        s->flags |= SHARE_LOOKED;
        s->due = s->mailbox_expires;
        r = s->flags & SHARE_ACKNOWLEDGED ? 0 : transfer_may_be_taken(c);
        if (r > 0)
                r = share_queue_relay(c, OUTBOX_READ, 0);
        return r < 0 ? r : store_share_update(c->gateway->store, s);
}

/* The mailbox has run out, whatever the relay says. */
static int mailbox_end(ShareContext *c) {
        LifecycleEvent event = lifecycle_withdrawn(c->share.goal);
        int r = 0;

        if (c->share.state == LIFECYCLE_RELEASED)
                r = relay_end_event(c, &event);
        return r < 0 ? r : share_step(c, event);
}

/* What is left of an ended share goes in two steps: first the addresses, for late answers, and then
 * the row. */
static int forget(ShareContext *c) {
        Share *s = &c->share;
        int r;

        if (s->n_addresses == 0)
                return store_share_remove(c->gateway->store, s);
        for (int i = 0; i < s->n_addresses; i++) {
                r = store_address_remove(c->gateway->store, s->addresses[i], s->n);
                if (r < 0)
                        return r;
        }
        s->n_addresses = 0;
        r = store_outbox_remove_all(c->gateway->store, s->n, false);
        if (r >= 0)
                r = store_message_remove_all(c->gateway->store, s->n, false);
        if (r < 0)
                return r;
        s->due = s->ended + GATEWAY_KEEP_FINISHED;
        engine_note_wipe(c->gateway->engine);
        return store_share_update(c->gateway->store, s);
}

/* Its mailbox would have ended by now, which may be sooner than patience does. Who has confirmed is
 * told, and whose fault it was: the tenant's, who issued nothing, or the relay's. */
static int never_made(ShareContext *c) {
        _cleanup_(freep) uint8_t *payload = NULL;
        size_t size;
        int r, issued = 0;

        if (c->share.flags & SHARE_MINT)
                issued = store_payload_get(c->gateway->store, c->share.n, &payload, &size);
        if (issued < 0)
                return issued;
        r = message_not_made(c);
        if (r < 0)
                return r;
        return share_step(c,
                        issued == 0 ? LIFECYCLE_EVENT_RELAY_UNREACHABLE
                                    : LIFECYCLE_EVENT_NOT_ISSUED);
}

/* What is due of a challenge whose last moment has not come. */
static int challenge_due(ShareContext *c) {
        Share *s = &c->share;
        int r;

        if (s->held_due > 0 && s->held_due <= c->now)
                r = challenge_held(c);
        else if (s->code_expires > 0 && s->code_expires < c->now)
                r = challenge_code_lapsed(c, TEMPLATE_CODE_EXPIRED);
        else { /* it was postponed, or became due by a time that counts no more */
                share_set_due(c);
                return store_share_update(c->gateway->store, s);
        }
        if (r < 0)
                return r;
        if (s->state == LIFECYCLE_INVITED)
                share_set_due(c);
        return share_save(c);
}

static int become_due(ShareContext *c) {
        Share *s = &c->share;
        int r;

        if (fallback_is_due(c))
                return fallback_due(c);
        if (s->state == LIFECYCLE_RELEASED && s->flags & SHARE_SEVERAL &&
                        !(s->flags & SHARE_LOOKED) && c->now < s->mailbox_expires)
                return look_before_the_end(c);
        if ((s->state == LIFECYCLE_PENDING || s->state == LIFECYCLE_INVITED) &&
                        c->now <= s->expires)
                return challenge_due(c);
        switch (s->state) {
        case LIFECYCLE_PENDING:
        case LIFECYCLE_INVITED:
        case LIFECYCLE_CONFIRMED:
        case LIFECYCLE_AWAITING_APPROVAL:
                r = share_step(c, LIFECYCLE_EVENT_EXPIRE);
                break;
        case LIFECYCLE_RELEASED:
        case LIFECYCLE_WITHDRAWING:
                r = mailbox_end(c);
                break;
        case LIFECYCLE_RELEASING: /* nobody answered while a mailbox could have lived */
                r = never_made(c);
                break;
        case LIFECYCLE_COMPLETED:
        case LIFECYCLE_DECLINED:
        case LIFECYCLE_DISOWNED:
        case LIFECYCLE_CANCELLED:
        case LIFECYCLE_EXPIRED:
        case LIFECYCLE_LOCKED:
        case LIFECYCLE_FAILED:
                return forget(c);
        default:
                return -EINVAL;
        }
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        return share_save(c);
}

/* A page of shares that stay due would keep all others for ever. */
static int postpone(Gateway *g, int64_t n, int why) {
        char id[ID_TEXT_SIZE];

        vault_id(g->vault, VAULT_ID_SHARE, n, 0, id);
        log_record(LOG_ERR,
                        &(LogFields){ .share = id },
                        "A share that is due could not be ended, and is tried again in %d minutes: "
                        "%s.",
                        STUCK_SECONDS / 60,
                        strerror(-why));
        return store_share_postpone(g->store, n, gateway_now(g) + STUCK_SECONDS);
}

/* One share that cannot be swept must not keep the others: it is rolled back alone. */
static int sweep_one(Gateway *g, int64_t n) {
        ShareContext c;
        int r, swept;

        swept = share_context_load(&c, g, n);
        if (swept == 0) {
                swept = become_due(&c);
                share_context_done(&c);
        }
        if (swept < 0) {
                r = engine_drop(g->engine);
                if (r >= 0)
                        r = postpone(g, n, swept);
                if (r < 0)
                        return r;
        }
        return engine_keep(g->engine);
}

static int sweep_apply(void *context) {
        Page *page = context;
        Gateway *g = page->gateway;
        int64_t now = gateway_now(g);
        int r;

        page->n = 0;
        r = store_due(g->store, now, GATEWAY_SWEEP_PAGE, page_add, page);
        for (size_t i = 0; r >= 0 && i < page->n; i++)
                r = sweep_one(g, page->numbers[i]);
        if (r >= 0)
                r = store_sweep(g->store, now, GATEWAY_SWEEP_PAGE);
        if (r >= 0)
                r = store_event_sweep(g->store,
                                now,
                                GATEWAY_KEEP_EVENTS,
                                GATEWAY_SWEEP_PAGE,
                                &page->more);
        if (r >= 0)
                r = audit_log_sweep(g->audit, g->config->audit_keep);
        if (r >= 0 && now >= g->time_stored + PAUSE_SECONDS) {
                r = store_time_put(g->store, now);
                if (r >= 0)
                        r = limiter_put_time(g->limiter);
                for (int i = 0; r >= 0 && i < COUNTER_PAGES; i++)
                        r = limiter_sweep(g->limiter, GATEWAY_SWEEP_PAGE);
                g->time_stored = now;
        }
        return r;
}

static void arm(Gateway *g, int64_t due) {
        int64_t delay = due - gateway_now(g);

        (void) sd_event_source_set_time_relative(
                        g->sweep, delay > 0 ? (uint64_t) delay * USEC_PER_SEC : 0);
        (void) sd_event_source_set_enabled(g->sweep, SD_EVENT_ONESHOT);
}

/* The store is asked after the commit, as later commands of the batch may have become due sooner
 * than anything that the sweep saw. */
static void sweep_done(void *context, int result) {
        _cleanup_(freep) Page *page = context;
        Gateway *g = page->gateway;
        int64_t due, latest = gateway_now(g) + PAUSE_SECONDS;

        if (!g->sweep) /* the gateway is ending: its next start sweeps at once */
                return;
        if (result < 0) {
                log_error("The sweep failed, and is tried again in a minute: %s.",
                                strerror(-result));
                arm(g, latest);
                return;
        }
        due = page->more ? gateway_now(g) : store_next_due(g->store);
        /* At the latest then, to store the time, and as the clock may have been set forward. */
        arm(g, due > 0 && due < latest ? due : latest);
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata) {
        Gateway *g = userdata;
        Page *page = calloc(1, sizeof(*page));

        (void) source;
        (void) usec;
        if (!page) {
                arm(g, gateway_now(g) + 1);
                return 0;
        }
        page->gateway = g;
        if (engine_submit(g->engine, sweep_apply, sweep_done, page, 65536) < 0) {
                free(page);
                arm(g, gateway_now(g) + 1);
        }
        return 0;
}

void sweep_note_due(Gateway *g, int64_t due) {
        uint64_t at, now = time_boot();
        int64_t delay = due - gateway_now(g);

        if (!g->sweep || sd_event_source_get_time(g->sweep, &at) < 0)
                return;
        if (delay < 0)
                delay = 0;
        if (now + (uint64_t) delay * USEC_PER_SEC < at ||
                        sd_event_source_get_enabled(g->sweep, NULL) == 0)
                arm(g, due);
}

int sweep_start(Gateway *g) {
        return sd_event_add_time_relative(
                        g->event, &g->sweep, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_sweep, g);
}
