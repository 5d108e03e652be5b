#include "engine.h"

#include <errno.h>

#include "log.h"
#include "time-text.h"

enum {
        PRIORITY_LAST = SD_EVENT_PRIORITY_IDLE,
        PRIORITY_FIRST = SD_EVENT_PRIORITY_IMPORTANT * 2,
};

typedef struct Command {
        EngineApply apply;
        EngineDone done;
        void *context;
        int result;
} Command;

typedef struct Batch {
        Command *commands;
        size_t n, allocated, size;
} Batch;

struct Engine {
        sd_event *event;
        Store *store;
        EngineHooks hooks;
        void *userdata;

        sd_event_source *source;   /* runs the batch */
        sd_event_source *deadline; /* makes it run */
        sd_event_source *truncate;
        Batch batch, running;
        bool armed, raised, awaited; /* awaited: the deadline is set */
        uint64_t first_turn;

        int64_t *spends; /* of the running batch, or those that could not be made durable */
        size_t n_spends, spends_allocated;
        bool stuck, wiped;
        EngineCounters counters;
};

static void engine_raise(Engine *e) {
        if (!e->raised)
                (void) sd_event_source_set_priority(e->source, PRIORITY_FIRST);
        e->raised = true;
}

static void engine_await(Engine *e) {
        if (e->awaited)
                return;
        e->awaited = true;
        /* Not relative: sd-event would count from the start of this turn, which may be long ago. */
        (void) sd_event_source_set_time(e->deadline, time_boot() + ENGINE_BATCH_USEC);
        (void) sd_event_source_set_enabled(e->deadline, SD_EVENT_ONESHOT);
}

static void engine_arm(Engine *e) {
        if (e->armed)
                return;
        e->armed = true;
        (void) sd_event_get_iteration(e->event, &e->first_turn);
        (void) sd_event_source_set_enabled(e->source, SD_EVENT_ONESHOT);
        engine_await(e);
}

/* Grows an array to hold one more; NULL: out of memory, and the old one is still there. */
static void *grown(void *array, size_t n, size_t *allocated, size_t element) {
        size_t wanted = *allocated ? *allocated * 2 : 64;

        if (n < *allocated)
                return array;
        array = reallocarray(array, wanted, element);
        if (array)
                *allocated = wanted;
        return array;
}

int engine_submit_unhurried(
                Engine *e, EngineApply apply, EngineDone done, void *context, size_t size) {
        Batch *b = &e->batch;
        Command *commands;

        commands = grown(b->commands, b->n, &b->allocated, sizeof(Command));
        if (!commands)
                return -ENOMEM;
        b->commands = commands;
        b->commands[b->n++] = (Command){ .apply = apply, .done = done, .context = context };
        b->size += size;

        engine_await(e);
        if (b->n >= ENGINE_BATCH_COMMANDS || b->size >= ENGINE_BATCH_BYTES) {
                engine_arm(e);
                engine_raise(e);
        }
        return 0;
}

int engine_submit(Engine *e, EngineApply apply, EngineDone done, void *context, size_t size) {
        uint64_t turn;
        int r;

        r = engine_submit_unhurried(e, apply, done, context, size);
        if (r < 0)
                return r;
        engine_arm(e);
        if (sd_event_get_iteration(e->event, &turn) >= 0 &&
                        turn - e->first_turn >= ENGINE_BATCH_TURNS)
                engine_raise(e);
        return 0;
}

void engine_kick(Engine *e) {
        engine_arm(e);
}

int engine_keep(Engine *e) {
        int r;

        r = store_release(e->store);
        if (r < 0)
                return r;
        e->hooks.keep(e->userdata);
        return store_mark(e->store);
}

int engine_drop(Engine *e) {
        int r;

        e->hooks.forget(e->userdata);
        r = store_return(e->store);
        if (r < 0)
                return r;
        return store_mark(e->store);
}

int engine_note_spend(Engine *e, int64_t share) {
        int64_t *spends;

        spends = grown(e->spends, e->n_spends, &e->spends_allocated, sizeof(int64_t));
        if (!spends)
                return -ENOMEM;
        e->spends = spends;
        e->spends[e->n_spends++] = share;
        return 0;
}

void engine_note_wipe(Engine *e) {
        e->wiped = true;
}

bool engine_is_stuck(const Engine *e) {
        return e->stuck;
}

const EngineCounters *engine_counters(const Engine *e) {
        return &e->counters;
}

static int apply_one(Engine *e, Command *c) {
        int r;

        r = store_mark(e->store);
        if (r < 0)
                return r;
        c->result = c->apply(c->context);
        if (c->result >= 0) {
                r = store_release(e->store);
                if (r >= 0)
                        e->hooks.keep(e->userdata);
                return r;
        }
        e->hooks.forget(e->userdata);
        return store_return(e->store);
}

/* All commands in one transaction. A negative return: nothing happened, except for the spends,
 * which the caller must still make durable. */
static int apply_all(Engine *e, Batch *b) {
        int r;

        r = store_begin(e->store);
        for (size_t i = 0; r >= 0 && i < b->n; i++)
                r = apply_one(e, &b->commands[i]);
        if (r >= 0) {
                e->hooks.before_commit(e->userdata);
                r = store_commit(e->store);
        }
        if (r < 0)
                store_rollback(e->store);
        return r;
}

/* Invariant 3: an attempt that was compared stays spent, even if the batch that compared it is
 * lost. */
static int commit_spends(Engine *e) {
        int r;

        r = store_begin(e->store);
        for (size_t i = 0; r >= 0 && i < e->n_spends; i++)
                r = store_share_spend(e->store, e->spends[i]);
        if (r >= 0)
                r = store_commit(e->store);
        if (r < 0) {
                store_rollback(e->store);
                return r;
        }
        e->n_spends = 0;
        return 0;
}

static void checkpoint(Engine *e) {
        if (e->wiped) {
                e->wiped = false;
                if (sd_event_source_get_enabled(e->truncate, NULL) == 0) {
                        (void) sd_event_source_set_time_relative(
                                        e->truncate, ENGINE_TRUNCATE_SECONDS * USEC_PER_SEC);
                        (void) sd_event_source_set_enabled(e->truncate, SD_EVENT_ONESHOT);
                }
        }
        if (store_needs_restart(e->store))
                (void) store_checkpoint(e->store, false);
}

void engine_run(Engine *e) {
        Batch batch = e->batch;
        int r = 0;

        e->batch = e->running; /* recycled room for what comes meanwhile */
        e->running = (Batch){ 0 };
        e->armed = e->awaited = false;
        if (e->raised)
                (void) sd_event_source_set_priority(e->source, PRIORITY_LAST);
        e->raised = false;
        (void) sd_event_source_set_enabled(e->source, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(e->deadline, SD_EVENT_OFF);

        if (e->stuck)
                r = commit_spends(e);
        if (r >= 0) {
                e->stuck = false;
                r = apply_all(e, &batch);
                if (r >= 0)
                        e->n_spends = 0;
                else if (e->n_spends > 0 && commit_spends(e) < 0)
                        e->stuck = true;
        }

        e->counters.batches++;
        e->counters.commands += batch.n;
        if (r < 0) {
                e->counters.failed_commits++;
                log_error("A batch of %zu commands was not committed: %s.", batch.n, strerror(-r));
                e->hooks.failed(e->userdata);
        } else
                e->hooks.committed(e->userdata);
        for (size_t i = 0; i < batch.n; i++)
                batch.commands[i].done(
                                batch.commands[i].context, r < 0 ? r : batch.commands[i].result);
        checkpoint(e);

        batch.n = batch.size = 0;
        e->running = batch;
}

static int on_batch(sd_event_source *source, void *userdata) {
        (void) source;
        engine_run(userdata);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Engine *e = userdata;

        (void) source;
        (void) usec;
        if (e->awaited) {
                engine_arm(e);
                engine_raise(e);
        }
        return 0;
}

static int on_truncate(sd_event_source *source, uint64_t usec, void *userdata) {
        Engine *e = userdata;

        (void) usec;
        if (store_checkpoint(e->store, true) < 0) { /* the helper is at it: very soon again */
                (void) sd_event_source_set_time_relative(source, USEC_PER_SEC);
                (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

int engine_new(Engine **ret,
                sd_event *event,
                Store *store,
                const EngineHooks *hooks,
                void *userdata) {
        _cleanup_(engine_freep) Engine *e = NULL;
        int r;

        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        e->event = sd_event_ref(event);
        e->store = store;
        e->hooks = *hooks;
        e->userdata = userdata;

        r = sd_event_add_defer(event, &e->source, on_batch, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(e->source, PRIORITY_LAST);
        if (r >= 0)
                r = sd_event_add_time(
                                event, &e->deadline, CLOCK_BOOTTIME, UINT64_MAX, 1, on_deadline, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->deadline, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(e->deadline, PRIORITY_FIRST);
        if (r >= 0)
                r = sd_event_add_time(
                                event, &e->truncate, CLOCK_BOOTTIME, UINT64_MAX, 0, on_truncate, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->truncate, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(e);
        return 0;
}

Engine *engine_free(Engine *e) {
        if (!e)
                return NULL;
        for (size_t i = 0; i < e->batch.n; i++)
                e->batch.commands[i].done(e->batch.commands[i].context, -ECANCELED);
        free(e->batch.commands);
        free(e->running.commands);
        free(e->spends);
        sd_event_source_disable_unref(e->source);
        sd_event_source_disable_unref(e->deadline);
        sd_event_source_disable_unref(e->truncate);
        sd_event_unref(e->event);
        free(e);
        return NULL;
}
