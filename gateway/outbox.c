#include "outbox.h"

#include <errno.h>
#include <sodium.h>

#include "log.h"
#include "time-text.h"

typedef enum ItemState {
        ITEM_NOTED,   /* its row is not durable yet */
        ITEM_READY,   /* in its lane's queue */
        ITEM_CLAIMED, /* its frame is made in the open transaction */
        ITEM_ASKED,   /* the plugin has it */
        ITEM_SETTLING,
        ITEM_WAITING, /* in the heap */
} ItemState;

typedef struct Item Item;
typedef struct Lane Lane;

struct Item {
        OutboxItem public; /* first: callers hold pointers to it */
        Outbox *outbox;
        ItemState state;
        Lane *lane;
        Item *next;       /* in the lane's queue or the batch's list */
        Item *next_fresh; /* among those whose rows are not durable yet */
        Item *older;      /* in the list of all items */
        Item *newer;
        json_t *frame;   /* while claimed */
        uint64_t delay;  /* before the first try, milliseconds */
        uint64_t due;    /* while waiting */
        size_t position; /* in the heap */
        bool dropped;    /* its row was never written */
};

typedef struct Queue {
        Item *first, **last;
} Queue;

struct Lane {
        Lane *next;
        char *name;
        PluginLink *link;
        Queue ready;
        bool stopped; /* a full window or a lost connection: nothing is claimed until that changes
                       */
        bool down;    /* the plugin is there, and says that its carrier is not */
        uint64_t put_off; /* until when its last invitation was; 0: it was not */
};

struct Outbox {
        OutboxOps ops;
        void *userdata;
        Lane *lanes;
        Item *newest; /* of all items */
        size_t n_items;
        Item **heap;
        size_t n_heap, heap_allocated;
        sd_event_source *timer;

        Item *kept, *noted; /* rows of this batch: of commands that were kept, of the present one */
        Item *fresh;        /* handed to the queues before their batch is durable */
        Queue claimed;
};

/* --- queue, heap, list of all --- */

static void queue_init(Queue *q) {
        q->first = NULL;
        q->last = &q->first;
}

static void queue_push(Queue *q, Item *item) {
        item->next = NULL;
        *q->last = item;
        q->last = &item->next;
}

static Item *queue_pop(Queue *q) {
        Item *item = q->first;

        if (!item)
                return NULL;
        q->first = item->next;
        if (!q->first)
                q->last = &q->first;
        item->next = NULL;
        return item;
}

static void heap_set(Outbox *o, size_t i, Item *item) {
        o->heap[i] = item;
        item->position = i;
}

static void heap_up(Outbox *o, size_t i) {
        Item *item = o->heap[i];

        for (; i > 0 && o->heap[(i - 1) / 2]->due > item->due; i = (i - 1) / 2)
                heap_set(o, i, o->heap[(i - 1) / 2]);
        heap_set(o, i, item);
}

static void heap_down(Outbox *o, size_t i) {
        Item *item = o->heap[i];

        for (;;) {
                size_t child = 2 * i + 1;

                if (child >= o->n_heap)
                        break;
                if (child + 1 < o->n_heap && o->heap[child + 1]->due < o->heap[child]->due)
                        child++;
                if (o->heap[child]->due >= item->due)
                        break;
                heap_set(o, i, o->heap[child]);
                i = child;
        }
        heap_set(o, i, item);
}

/* Each item has its place from birth, so that none is ever without patience for want of memory. */
static int heap_reserve(Outbox *o, size_t n) {
        size_t allocated = o->heap_allocated ? o->heap_allocated * 2 : 64;
        Item **heap;

        if (n <= o->heap_allocated)
                return 0;
        heap = reallocarray(o->heap, allocated, sizeof(Item *));
        if (!heap)
                return -ENOMEM;
        o->heap = heap;
        o->heap_allocated = allocated;
        return 0;
}

static void heap_push(Outbox *o, Item *item) {
        heap_set(o, o->n_heap++, item);
        heap_up(o, o->n_heap - 1);
}

static void heap_remove(Outbox *o, Item *item) {
        size_t i = item->position;
        Item *moved = o->heap[--o->n_heap];

        if (moved == item)
                return;
        heap_set(o, i, moved);
        heap_up(o, i);
        heap_down(o, moved->position);
}

static void item_free(Outbox *o, Item *item) {
        for (Item **p = &o->fresh; *p; p = &(*p)->next_fresh)
                if (*p == item) {
                        *p = item->next_fresh;
                        break;
                }
        *(item->newer ? &item->newer->older : &o->newest) = item->older;
        if (item->older)
                item->older->newer = item->newer;
        o->n_items--;
        json_decref(item->frame);
        free(item);
}

static int item_new(Outbox *o, const OutboxRow *row, Item **ret) {
        Lane *lane = o->lanes;
        Item *item;

        while (lane && !streq(lane->name, row->lane))
                lane = lane->next;
        if (!lane)
                return -ENXIO;
        item = heap_reserve(o, o->n_items + 1) < 0 ? NULL : calloc(1, sizeof(*item));
        if (!item)
                return -ENOMEM;
        item->public = (OutboxItem){
                .share = row->share,
                .part = row->part,
                .kind = row->kind,
                .lane = lane->name,
                .since = row->since,
        };
        item->outbox = o;
        item->lane = lane;
        item->older = o->newest;
        if (o->newest)
                o->newest->newer = item;
        o->newest = item;
        o->n_items++;

        *ret = item;
        return 0;
}

/* --- becoming ready --- */

static bool lane_is_open(const Lane *lane) {
        return !lane->stopped && !lane->down;
}

static void item_ready(Outbox *o, Item *item) {
        item->state = ITEM_READY;
        queue_push(&item->lane->ready, item);
        if (lane_is_open(item->lane))
                o->ops.kick(o->userdata);
}

static void timer_arm(Outbox *o) {
        if (o->n_heap == 0) {
                (void) sd_event_source_set_enabled(o->timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(o->timer, o->heap[0]->due);
        (void) sd_event_source_set_enabled(o->timer, SD_EVENT_ONESHOT);
}

static bool is_poll(const Item *item) {
        return item->public.kind == OUTBOX_POLL;
}

static bool is_look(const Item *item) {
        return is_poll(item) || item->public.kind == OUTBOX_READ;
}

/* Polls that became due while nobody could be asked must not all come at once. */
static uint64_t spread_msec(const Item *item) {
        return transfer_first_poll_msec(time_wall() - item->public.since, randombytes_random());
}

static uint64_t on_grid(uint64_t due, uint64_t msec) {
        uint64_t grid = USEC_PER_MSEC *
                        (msec < OUTBOX_POLL_COARSE_FROM_MSEC
                                                        ? (uint64_t) OUTBOX_POLL_GRID_MSEC
                                                        : (uint64_t) OUTBOX_POLL_COARSE_GRID_MSEC);

        return due + grid - due % grid;
}

static void item_wait(Outbox *o, Item *item, uint64_t msec) {
        if (is_look(item) && msec < TRANSFER_POLL_MIN_MSEC)
                msec = TRANSFER_POLL_MIN_MSEC;
        item->due = time_boot() + msec * USEC_PER_MSEC;
        if (is_poll(item))
                item->due = on_grid(item->due, msec);
        if (msec == 0) {
                item_ready(o, item);
                return;
        }
        item->state = ITEM_WAITING;
        heap_push(o, item);
        if (item->position == 0)
                timer_arm(o);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Outbox *o = userdata;
        uint64_t now = time_boot();

        (void) source;
        (void) usec;
        while (o->n_heap > 0 && o->heap[0]->due <= now) {
                Item *item = o->heap[0];

                heap_remove(o, item);
                item_ready(o, item);
        }
        timer_arm(o);
        return 0;
}

uint64_t outbox_backoff_msec(unsigned tries, uint32_t random) {
        uint64_t delay = OUTBOX_RETRY_FIRST_MSEC;

        for (unsigned i = 1; i < tries && delay < OUTBOX_RETRY_LAST_MSEC; i++)
                delay *= 2;
        if (delay > OUTBOX_RETRY_LAST_MSEC)
                delay = OUTBOX_RETRY_LAST_MSEC;
        return delay * 4 / 5 + delay * 2 / 5 * (random % 1024) / 1024;
}

/* --- a batch --- */

int outbox_note(Outbox *o, const OutboxRow *row, uint64_t delay_msec) {
        Item *item;
        int r;

        r = item_new(o, row, &item);
        if (r < 0)
                return r;
        item->delay = delay_msec;
        item->next = o->noted;
        o->noted = item;
        return 0;
}

static void list_free(Outbox *o, Item **list) {
        while (*list) {
                Item *item = *list;

                *list = item->next;
                item_free(o, item);
        }
}

void outbox_keep(Outbox *o) {
        while (o->noted) {
                Item *item = o->noted;

                o->noted = item->next;
                item->next = o->kept;
                o->kept = item;
        }
}

void outbox_forget(Outbox *o) {
        list_free(o, &o->noted);
}

int outbox_load(Outbox *o, const OutboxRow *row, uint64_t delay_msec) {
        Item *item;
        int r;

        r = item_new(o, row, &item);
        if (r < 0)
                return r;
        item_wait(o, item, delay_msec);
        return 0;
}

static void claim_one(Outbox *o, Item *item) {
        int r;

        r = o->ops.claim(&item->public, &item->frame, o->userdata);
        if (r == OUTBOX_VERDICT_DONE) {
                item_free(o, item);
                return;
        }
        if (r == OUTBOX_VERDICT_LATER) {
                item_wait(o,
                                item,
                                item->public.wait > 0 ? item->public.wait
                                                      : OUTBOX_RETRY_FIRST_MSEC);
                return;
        }
        if (r != 0) {
                item->public.tries++;
                item_wait(o, item, outbox_backoff_msec(item->public.tries, randombytes_random()));
                return;
        }
        item->state = ITEM_CLAIMED;
        queue_push(&o->claimed, item);
}

/* Rows of this very batch become ready: their transaction is the one that claims them. */
static void ready_kept(Outbox *o) {
        Item *oldest_first = NULL;

        while (o->kept) {
                Item *item = o->kept;

                o->kept = item->next;
                item->next = oldest_first;
                oldest_first = item;
        }
        while (oldest_first) {
                Item *item = oldest_first;

                oldest_first = item->next;
                item->next_fresh = o->fresh;
                o->fresh = item;
                if (item->delay > 0 || is_look(item)) {
                        item_wait(o, item, item->delay);
                        continue;
                }
                item->state = ITEM_READY;
                queue_push(&item->lane->ready, item);
        }
}

void outbox_claim(Outbox *o) {
        ready_kept(o);
        for (Lane *lane = o->lanes; lane; lane = lane->next) {
                unsigned n = 0;

                while (lane_is_open(lane) && lane->ready.first && n++ < OUTBOX_CLAIMS_PER_BATCH)
                        claim_one(o, queue_pop(&lane->ready));
        }
        ready_kept(o); /* what the claims themselves queued goes with the next batch */
}

static void on_answer(PluginLink *link, int error, json_t *answer, void *userdata) {
        Item *item = userdata;
        Outbox *o = item->outbox;

        (void) link;
        if (error == -ECANCELED) /* the set is being freed, and the outbox after it */
                return;
        if (item->lane->stopped && plugin_link_may_ask(item->lane->link))
                outbox_link_changed(o, item->lane->link);
        if (error != 0) { /* nobody knows whether it was done: the same again, with the same
                             identity */
                item_wait(o,
                                item,
                                is_poll(item)         ? spread_msec(item)
                                : error == -ETIMEDOUT ? OUTBOX_RETRY_FIRST_MSEC
                                                      : 0);
                return;
        }
        item->state = ITEM_SETTLING;
        item->public.tries++;
        o->ops.answered(&item->public, answer, o->userdata);
}

void outbox_committed(Outbox *o) {
        Item *item;

        o->fresh = NULL; /* durable now */

        while ((item = queue_pop(&o->claimed))) {
                int r;

                item->state = ITEM_ASKED;
                r = plugin_link_ask(item->lane->link,
                                TAKE_PTR(item->frame),
                                OUTBOX_ANSWER_SECONDS * USEC_PER_SEC,
                                on_answer,
                                item,
                                NULL);
                if (r == -ENOBUFS || r == -ENOTCONN) {
                        item->lane->stopped = true;
                        item_ready(o, item);
                } else if (r < 0) {
                        log_error("A message for %s could not be handed over: %s.",
                                        item->lane->name,
                                        strerror(-r));
                        item->public.tries++;
                        item_wait(o,
                                        item,
                                        outbox_backoff_msec(
                                                        item->public.tries, randombytes_random()));
                }
        }
        for (Lane *lane = o->lanes; lane; lane = lane->next)
                if (lane_is_open(lane) && lane->ready.first) {
                        o->ops.kick(o->userdata);
                        break;
                }
}

/* Takes the items whose rows were never written out of a queue, and frees them. */
static void queue_drop(Outbox *o, Queue *q) {
        Queue all = *q;
        Item *item;

        if (!all.first)
                return;
        queue_init(q);
        while ((item = queue_pop(&all)))
                if (item->dropped)
                        item_free(o, item);
                else
                        queue_push(q, item);
}

/* Rows that the batch wrote do not exist, and their numbers will be given to others: their items
 * must go, wherever they are. The others are as they were. */
void outbox_failed(Outbox *o) {
        Item *item;

        list_free(o, &o->kept);
        list_free(o, &o->noted);
        while ((item = o->fresh)) {
                o->fresh = item->next_fresh;
                item->dropped = true;
                if (item->state == ITEM_WAITING) {
                        heap_remove(o, item);
                        item_free(o, item);
                }
        }
        for (Lane *lane = o->lanes; lane; lane = lane->next)
                queue_drop(o, &lane->ready);
        queue_drop(o, &o->claimed);
        while ((item = queue_pop(&o->claimed))) {
                json_decref(item->frame);
                item->frame = NULL;
                item_wait(o, item, OUTBOX_RETRY_FIRST_MSEC);
        }
}

void outbox_settle(Outbox *o, OutboxItem *public, OutboxVerdict verdict, uint64_t retry_msec) {
        Item *item = (Item *) public;
        uint64_t backoff;

        if (verdict == OUTBOX_VERDICT_LATER && item->public.tries > 0)
                item->public.tries--;
        if (item->public.kind == OUTBOX_INVITATION)
                item->lane->put_off = verdict == OUTBOX_VERDICT_LATER
                                                      ? time_boot() + retry_msec * USEC_PER_MSEC
                                                      : 0;
        backoff = outbox_backoff_msec(public->tries, randombytes_random());
        if (verdict == OUTBOX_VERDICT_DONE)
                item_free(o, item);
        else if (is_look(item) && retry_msec > 0)
                item_wait(o, item, retry_msec); /* a poll has a pace of its own */
        else
                item_wait(o, item, retry_msec > backoff ? retry_msec : backoff);
}

/* --- lanes --- */

int outbox_add_lane(Outbox *o, const char *name, PluginLink *link) {
        Lane *lane = calloc(1, sizeof(*lane));

        if (!lane)
                return -ENOMEM;
        lane->name = strdup(name);
        if (!lane->name) {
                free(lane);
                return -ENOMEM;
        }
        lane->link = link;
        lane->stopped = true;
        queue_init(&lane->ready);
        lane->next = o->lanes;
        o->lanes = lane;
        return 0;
}

static void spread_polls(Outbox *o, Lane *lane) {
        Queue all = lane->ready;
        Item *item;

        if (!all.first)
                return;
        queue_init(&lane->ready);
        while ((item = queue_pop(&all)))
                if (is_poll(item))
                        item_wait(o, item, spread_msec(item));
                else
                        queue_push(&lane->ready, item);
}

bool outbox_lane_flows(const Outbox *o, const char *name) {
        for (const Lane *lane = o->lanes; lane; lane = lane->next)
                if (streq(lane->name, name))
                        return lane_is_open(lane) && lane->put_off <= time_boot();
        return false;
}

void outbox_carrier_changed(Outbox *o, PluginLink *link, bool up) {
        for (Lane *lane = o->lanes; lane; lane = lane->next) {
                if (lane->link != link)
                        continue;
                lane->down = !up;
                if (up)
                        spread_polls(o, lane);
        }
        outbox_link_changed(o, link);
}

void outbox_link_changed(Outbox *o, PluginLink *link) {
        for (Lane *lane = o->lanes; lane; lane = lane->next) {
                if (lane->link != link)
                        continue;
                lane->stopped = !plugin_link_may_ask(link);
                if (lane_is_open(lane) && lane->ready.first)
                        o->ops.kick(o->userdata);
        }
}

int outbox_new(Outbox **ret, sd_event *event, const OutboxOps *ops, void *userdata) {
        _cleanup_(outbox_freep) Outbox *o = NULL;
        int r;

        o = calloc(1, sizeof(*o));
        if (!o)
                return -ENOMEM;
        o->ops = *ops;
        o->userdata = userdata;
        queue_init(&o->claimed);
        r = sd_event_add_time(event, &o->timer, CLOCK_BOOTTIME, UINT64_MAX, 1000, on_timer, o);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(o->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(o);
        return 0;
}

Outbox *outbox_free(Outbox *o) {
        if (!o)
                return NULL;
        while (o->newest)
                item_free(o, o->newest);
        while (o->lanes) {
                Lane *lane = o->lanes;

                o->lanes = lane->next;
                free(lane->name);
                free(lane);
        }
        sd_event_source_disable_unref(o->timer);
        free(o->heap);
        free(o);
        return NULL;
}

size_t outbox_size(const Outbox *o) {
        return o->n_items;
}
