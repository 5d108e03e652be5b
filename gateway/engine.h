/* Group commit on the event loop. Handlers validate and submit commands; a batch of them is applied
 * in one transaction, committed once, and only then their continuations run: answers, sends, relay
 * calls.
 *
 * No timer waits for more: while one commit syncs, the kernel queues the next requests. The batch
 * runs when the loop has nothing else to do; once it is full, or 64 turns or 2 ms after its first
 * command, it runs before all else, because an sd-event loop that always has input never gets to an
 * idle source. Only what nobody waits for has those 2 ms to find a batch that it can join. */
#pragma once

#include <systemd/sd-event.h>

#include "store.h"

enum {
        ENGINE_BATCH_COMMANDS = 512,
        ENGINE_BATCH_BYTES = 1024 * 1024,
        ENGINE_BATCH_TURNS = 64,
        ENGINE_BATCH_USEC = 2000,
        ENGINE_TRUNCATE_SECONDS = 45, /* after a wipe, the log is emptied within this time */
};

typedef struct Engine Engine;

/* Applies one command inside the transaction. A negative return rolls this command back, alone; a
 * positive one is passed to the continuation as it is. */
typedef int (*EngineApply)(void *context);

/* Runs after the commit with what apply returned, or with the commit's negative error, in which
 * case nothing of the batch happened. Owns the context. */
typedef void (*EngineDone)(void *context, int result);

typedef struct EngineHooks {
        /* The last command was kept, or rolled back: what it noted aside is kept or forgotten. */
        void (*keep)(void *userdata);
        void (*forget)(void *userdata);
        /* All commands were applied and the transaction is still open. */
        void (*before_commit)(void *userdata);
        /* The transaction is durable, or nothing of it happened. */
        void (*committed)(void *userdata);
        void (*failed)(void *userdata);
} EngineHooks;

int engine_new(Engine **ret,
                sd_event *event,
                Store *store,
                const EngineHooks *hooks,
                void *userdata);
/* Continuations of commands that were never applied get -ECANCELED. */
Engine *engine_free(Engine *engine);
DEFINE_CLEANUP(Engine, engine_free)

/* Adds a command; size is roughly what it will write. On failure (-ENOMEM) done is not called. */
int engine_submit(Engine *engine, EngineApply apply, EngineDone done, void *context, size_t size);

/* The same for what nobody waits for: alone it makes no batch before ENGINE_BATCH_USEC are over. */
int engine_submit_unhurried(
                Engine *engine, EngineApply apply, EngineDone done, void *context, size_t size);

/* Lets a batch run even if nobody submits anything: the hooks have work. */
void engine_kick(Engine *engine);

/* From inside apply: everything so far stays even if the rest of this command is rolled back. */
int engine_keep(Engine *engine);

/* From inside apply: everything since the last engine_keep(), or the beginning, is undone, and the
 * command goes on. */
int engine_drop(Engine *engine);

/* From inside apply: an attempt of this share was spent. If the batch cannot be committed, its
 * spends are committed alone before anything else is evaluated. */
int engine_note_spend(Engine *engine, int64_t share);

/* From inside apply: something was wiped, so the log must be emptied soon. */
void engine_note_wipe(Engine *engine);

/* True while spends could not be made durable: nothing is evaluated until they are. */
bool engine_is_stuck(const Engine *engine);

typedef struct EngineCounters {
        uint64_t batches, commands, failed_commits;
} EngineCounters;
const EngineCounters *engine_counters(const Engine *engine);

/* Applies what is there now. For shutting down, and for tests. */
void engine_run(Engine *engine);
