/* What time does to shares: invitations expire, mailboxes run out, what was kept for late answers
 * and for the record is removed. Deadlines are an index in the store, not timers: a sweep costs
 * what is due, not what exists. */
#include <errno.h>
#include <string.h>

#include "gateway.h"
#include "log.h"

typedef struct Page {
        Gateway *gateway;
        int64_t numbers[GATEWAY_SWEEP_PAGE];
        size_t n;
        int64_t next;
        bool stuck; /* a share could not be swept */
} Page;

static int page_add(int64_t n, void *userdata) {
        Page *page = userdata;

        page->numbers[page->n++] = n;
        return 0;
}

/* The mailbox has run out, whatever the relay says. */
static LifecycleEvent event_of_mailbox_end(const Share *s) {
        if (s->state == LIFECYCLE_WITHDRAWING)
                return lifecycle_withdrawn(s->goal);
        return s->flags & SHARE_ACKNOWLEDGED ? LIFECYCLE_EVENT_MAILBOX_GONE
                                             : LIFECYCLE_EVENT_NOT_COLLECTED;
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

/* The recipient wants nothing from this tenant, and the tenant is not told: to it, the invitation
 * was taken and never answered. */
static int pretend(ShareContext *c) {
        int r;

        share_note(&c->share, c->now, TIMELINE_INVITATION_ACCEPTED, 0, c->share.step);
        r = share_step(c, LIFECYCLE_EVENT_INVITATION_TAKEN);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        return share_save(c);
}

static int become_due(ShareContext *c) {
        Share *s = &c->share;
        int r;

        if (s->state == LIFECYCLE_PENDING && s->flags & SHARE_SUPPRESSED && c->now <= s->expires)
                return pretend(c);
        switch (s->state) {
        case LIFECYCLE_PENDING:
        case LIFECYCLE_INVITED:
        case LIFECYCLE_CONFIRMED:
        case LIFECYCLE_AWAITING_APPROVAL:
                r = share_step(c, LIFECYCLE_EVENT_EXPIRE);
                break;
        case LIFECYCLE_RELEASED:
        case LIFECYCLE_WITHDRAWING:
                r = share_step(c, event_of_mailbox_end(s));
                break;
        case LIFECYCLE_RELEASING: /* nobody answered while a mailbox could have lived */
                r = share_step(c, LIFECYCLE_EVENT_RELAY_UNREACHABLE);
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

/* One share that cannot be swept must not keep the others: it is rolled back alone. */
static int sweep_one(Page *page, int64_t n) {
        Gateway *g = page->gateway;
        ShareContext c;
        int r, swept;

        r = store_mark(g->store);
        if (r < 0)
                return r;
        swept = share_context_load(&c, g, n);
        if (swept == 0) {
                swept = become_due(&c);
                share_context_done(&c);
        }
        if (swept >= 0)
                return store_release(g->store);
        page->stuck = true;
        log_error("A share that is due could not be ended: %s.", strerror(-swept));
        return store_return(g->store);
}

static int sweep_apply(void *context) {
        Page *page = context;
        Gateway *g = page->gateway;
        int64_t now = gateway_now(g);
        int r;

        page->n = 0;
        r = store_due(g->store, now, GATEWAY_SWEEP_PAGE, page_add, page);
        for (size_t i = 0; r >= 0 && i < page->n; i++)
                r = sweep_one(page, page->numbers[i]);
        if (r >= 0)
                r = store_sweep(g->store, now, GATEWAY_SWEEP_PAGE);
        if (r >= 0 && now >= g->time_stored + 60) {
                r = store_time_put(g->store, now);
                g->time_stored = now;
        }
        page->next = store_next_due(g->store);
        return r;
}

static void arm(Gateway *g, int64_t due) {
        int64_t delay = due - gateway_now(g);

        if (!g->sweep) /* the gateway is ending */
                return;
        (void) sd_event_source_set_time_relative(
                        g->sweep, delay > 0 ? (uint64_t) delay * USEC_PER_SEC : 0);
        (void) sd_event_source_set_enabled(g->sweep, SD_EVENT_ONESHOT);
}

static void sweep_done(void *context, int result) {
        Page *page = context;
        Gateway *g = page->gateway;
        int64_t now = gateway_now(g);

        if (result < 0)
                log_error("The sweep failed, and is tried again in a minute: %s.",
                                strerror(-result));
        if (result < 0 || page->stuck || page->next == 0 || page->next > now + 60)
                arm(g, now + 60); /* also to store the time, and for a clock that is followed later
                                   */
        else
                arm(g, page->next);
        free(page);
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
