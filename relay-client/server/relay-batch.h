/* Group commit on the loop: requests gather while the loop has I/O to do, then all of them are
 * applied in one transaction, which is committed once, and only then they are handed back to be
 * answered. There is no delay of our own: while one commit syncs, the next batch gathers by itself.
 *
 * sd-event never runs an idle source while another is pending, so a batch that is full (512
 * requests), or that 64 dispatches or 2 ms have passed by, is raised above all I/O. */
#pragma once

#include <systemd/sd-event.h>

#include "drop-service.h"
#include "relay-service.h"
#include "relay-stores.h"

typedef struct RelayTask RelayTask;

/* Embedded in what waits for the answer. */
struct RelayTask {
        bool is_drop;         /* drop counts, of Draft R; otherwise request, of Draft V */
        bool is_twice;        /* a fault: applied twice, as if the network had doubled it */
        int64_t clock_offset; /* a fault: seconds that this request comes later than it does */
        RelayRequest request;
        DropRequest drop;
        RelayAnswer answer; /* filled when the batch is done without an error */
        RelayTask *next;
};

typedef struct RelayBatch RelayBatch;

/* Called once for each batch with its tasks in the order of arrival. error: 0 when everything is
 * durable; otherwise nothing was done and nothing may be answered as done. */
typedef void (*RelayBatchDone)(RelayTask *tasks, int error, void *userdata);

/* Borrows what is in stores, and the policy. */
int relay_batch_new(RelayBatch **ret,
                sd_event *event,
                const RelayStores *stores,
                const RelayPolicy *policy,
                RelayBatchDone done,
                void *userdata);

/* Takes NULL, returns NULL. Tasks that wait are forgotten: call relay_batch_run() before. */
RelayBatch *relay_batch_free(RelayBatch *batch);
DEFINE_CLEANUP(RelayBatch, relay_batch_free)

/* The task stays where it is until done was called with it. */
void relay_batch_add(RelayBatch *batch, RelayTask *task);

/* To be called after each dispatch that may have added tasks. */
void relay_batch_dispatched(RelayBatch *batch);

/* Applies what waits, now; true when something waited. */
bool relay_batch_run(RelayBatch *batch);

/* Seconds since 1970, as the relay sees them. */
int64_t relay_batch_now(void);
