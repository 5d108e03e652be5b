/* Effects that leave the process: messages to channels, calls to the relay. Their rows are durable
 * and written with the state change that wants them; this keeps what is volatile about them: which
 * are ready, leased to a plugin, or waiting for another try, and when. After a restart every row is
 * ready.
 *
 * However a look at a relay comes to wait, it waits the two seconds of transfer.h at least.
 *
 * Rows are claimed inside a batch's transaction, where the caller looks again whether they may
 * still run, and handed to the plugin once that transaction is durable. */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "plugin-set.h"
#include "store.h"

enum {
        OUTBOX_CLAIMS_PER_BATCH = 256, /* for each lane */
        OUTBOX_RETRY_FIRST_MSEC = 1000,
        OUTBOX_RETRY_LAST_MSEC = 300 * 1000,
        OUTBOX_ANSWER_SECONDS = 60,

        /* Polls that are due in one step of a grid go out together. The grid of those that wait
         * long is coarse: a wake-up costs more than a poll. */
        OUTBOX_POLL_GRID_MSEC = 100,
        OUTBOX_POLL_COARSE_GRID_MSEC = 1000,
        OUTBOX_POLL_COARSE_FROM_MSEC = 20 * 1000,
};

typedef struct Outbox Outbox;

typedef struct OutboxItem {
        int64_t share;
        int part;
        OutboxKind kind;
        unsigned tries;   /* for the backoff; since the start of this process */
        uint8_t claimed;  /* of a look: answers `claimed` in a row, likewise */
        bool refused;     /* of a look: the last usable answer was a refusal, likewise */
        const char *lane; /* the lane's name */
        int64_t since;    /* OUTBOX_POLL: the last progress, seconds */
        bool counted;     /* of a message: for the limits, since the start of this process */
        uint64_t wait;    /* with OUTBOX_VERDICT_LATER of a claim: milliseconds */
} OutboxItem;

typedef enum OutboxVerdict {
        OUTBOX_VERDICT_DONE = 1,  /* the row is gone, or must not be tried again */
        OUTBOX_VERDICT_AGAIN = 2, /* try later */
        OUTBOX_VERDICT_LATER = 3, /* it was not tried: wait, and count no try */
} OutboxVerdict;

typedef struct OutboxOps {
        /* Inside the transaction: makes the frame, or returns OUTBOX_VERDICT_DONE if the row may
         * not run (any more), or OUTBOX_VERDICT_LATER to be asked again after item->wait. Negative
         * errno: left as it is, and claimed again after a backoff. */
        int (*claim)(OutboxItem *item, json_t **ret_frame, void *userdata);

        /* The plugin answered: the owner submits a command and calls outbox_settle() when that is
         * durable. The answer is borrowed. A lost connection or a deadline is not told: the row is
         * handed over again. */
        void (*answered)(OutboxItem *item, json_t *answer, void *userdata);

        /* A claim could not be handed over, or new work waits: let a batch run. */
        void (*kick)(void *userdata);
} OutboxOps;

int outbox_new(Outbox **ret, sd_event *event, const OutboxOps *ops, void *userdata);
Outbox *outbox_free(Outbox *outbox);
DEFINE_CLEANUP(Outbox, outbox_free)

/* Names a lane for a link. The lanes are named before any row is noted or loaded. */
int outbox_add_lane(Outbox *outbox, const char *name, PluginLink *link);

/* A link went down, or has room for questions again. */
void outbox_link_changed(Outbox *outbox, PluginLink *link);

/* The plugin says whether it reaches its carrier. While it does not, its rows wait and no try is
 * counted; a new connection starts with a carrier. */
void outbox_carrier_changed(Outbox *outbox, PluginLink *link, bool up);

/* Whether an invitation on this lane would leave now, as far as its channel has told of the last
 * one: not while it is away, or has put the last one off. */
bool outbox_lane_flows(const Outbox *outbox, const char *name);

/* Notes a row that this command wrote, to run after delay_msec; outbox_keep(), outbox_forget() and
 * the end of the batch decide whether it exists. -ENXIO: nobody named its lane. */
int outbox_note(Outbox *outbox, const OutboxRow *row, uint64_t delay_msec);
void outbox_keep(Outbox *outbox);
void outbox_forget(Outbox *outbox);

/* Adds a row that is durable already, at the start. delay_msec spreads them. -ENXIO: nobody named
 * its lane; the row stays in the store. */
int outbox_load(Outbox *outbox, const OutboxRow *row, uint64_t delay_msec);

/* The three moments of a batch. */
void outbox_claim(Outbox *outbox);
void outbox_committed(Outbox *outbox);
void outbox_failed(Outbox *outbox);

/* Ends an item's lease after answered(). retry_msec is the least to wait: the backoff of its tries
 * counts if it is longer, so that nobody can ask to be asked at once. For a poll it is the wait.
 * Frees the item on OUTBOX_VERDICT_DONE. */
void outbox_settle(Outbox *outbox, OutboxItem *item, OutboxVerdict verdict, uint64_t retry_msec);

/* Delay before try number `tries` (1 is the second try): doubling, with a jitter of a fifth. */
uint64_t outbox_backoff_msec(unsigned tries, uint32_t random);

size_t outbox_size(const Outbox *outbox);
