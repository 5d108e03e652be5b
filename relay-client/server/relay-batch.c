#include "relay-batch.h"

#include <errno.h>

#include "faults.h"
#include "time-text.h"

enum {
        BATCH_TASKS_MAX = 512,
        BATCH_DISPATCHES_MAX = 64,
        BATCH_USEC_MAX = 2000,
        PRIORITY_RAISED = SD_EVENT_PRIORITY_IMPORTANT - 10,
};

struct RelayBatch {
        sd_event_source *source;
        RelayStores stores;
        const RelayPolicy *policy;
        RelayBatchDone done;
        void *userdata;

        RelayTask *first, **last;
        unsigned n_waiting, n_dispatches;
        uint64_t since_usec; /* the first waiting task's arrival */
        bool is_raised;
};

int64_t relay_batch_now(void) {
        return time_wall() + faults_clock_offset();
}

static void batch_raise(RelayBatch *batch) {
        if (batch->is_raised)
                return;
        batch->is_raised = true;
        (void) sd_event_source_set_priority(batch->source, PRIORITY_RAISED);
}

/* Takes at most a full batch off the front. */
static RelayTask *batch_take(RelayBatch *batch) {
        RelayTask *first = batch->first, **end = &batch->first;
        unsigned n = 0;

        while (*end && n < BATCH_TASKS_MAX) {
                end = &(*end)->next;
                n++;
        }
        batch->first = *end;
        *end = NULL;
        if (!batch->first)
                batch->last = &batch->first;
        if (n == 0)
                return NULL;
        batch->n_waiting -= n;
        return first;
}

static int task_apply(RelayBatch *batch, RelayTask *task, int64_t now) {
        now += task->clock_offset;
        return task->is_drop ? drop_service_apply(
                                               batch->stores.drops, &task->drop, now, &task->answer)
                             : relay_service_apply(batch->stores.mailboxes,
                                               batch->policy,
                                               &task->request,
                                               now,
                                               &task->answer);
}

static int batch_apply(RelayBatch *batch, RelayTask *tasks) {
        int64_t now = relay_batch_now();
        int r;

        r = relay_database_begin(batch->stores.database);
        for (RelayTask *t = tasks; t && r == 0; t = t->next) {
                r = task_apply(batch, t, now);
                if (r == 0 && t->is_twice) {
                        relay_answer_done(&t->answer);
                        r = task_apply(batch, t, now);
                }
        }
        if (r == 0)
                r = relay_database_commit(batch->stores.database);
        if (r != 0)
                relay_database_rollback(batch->stores.database);
        return r;
}

bool relay_batch_run(RelayBatch *batch) {
        RelayTask *tasks = batch_take(batch);
        int r;

        if (!tasks)
                return false;
        r = batch_apply(batch, tasks);
        for (RelayTask *t = tasks; t && r != 0; t = t->next)
                relay_answer_done(&t->answer);

        batch->n_dispatches = 0;
        batch->since_usec = time_boot();
        if (batch->is_raised && batch->n_waiting < BATCH_TASKS_MAX) {
                batch->is_raised = false;
                (void) sd_event_source_set_priority(batch->source, SD_EVENT_PRIORITY_IDLE);
        }
        (void) sd_event_source_set_enabled(
                        batch->source, batch->first ? SD_EVENT_ON : SD_EVENT_OFF);
        batch->done(tasks, r, batch->userdata);
        return true;
}

static int on_batch(sd_event_source *source, void *userdata) {
        (void) source;
        (void) relay_batch_run(userdata);
        return 0;
}

int relay_batch_new(RelayBatch **ret,
                sd_event *event,
                const RelayStores *stores,
                const RelayPolicy *policy,
                RelayBatchDone done,
                void *userdata) {
        _cleanup_(relay_batch_freep) RelayBatch *batch = calloc(1, sizeof(*batch));
        int r;

        if (!batch)
                return -ENOMEM;
        batch->stores = *stores;
        batch->policy = policy;
        batch->done = done;
        batch->userdata = userdata;
        batch->last = &batch->first;

        r = sd_event_add_defer(event, &batch->source, on_batch, batch);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(batch->source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(batch->source, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(batch);
        return 0;
}

RelayBatch *relay_batch_free(RelayBatch *batch) {
        if (!batch)
                return NULL;
        (void) sd_event_source_disable_unref(batch->source);
        free(batch);
        return NULL;
}

void relay_batch_add(RelayBatch *batch, RelayTask *task) {
        task->next = NULL;
        *batch->last = task;
        batch->last = &task->next;
        if (batch->n_waiting++ == 0) {
                batch->since_usec = time_boot();
                batch->n_dispatches = 0;
                (void) sd_event_source_set_enabled(batch->source, SD_EVENT_ON);
        }
        if (batch->n_waiting >= BATCH_TASKS_MAX)
                batch_raise(batch);
}

void relay_batch_dispatched(RelayBatch *batch) {
        if (batch->n_waiting == 0)
                return;
        if (++batch->n_dispatches >= BATCH_DISPATCHES_MAX ||
                        time_boot() - batch->since_usec >= BATCH_USEC_MAX)
                batch_raise(batch);
}
