/* What is counted for limits, in memory and in the store: a counter is read once and written with
 * the batch that changed it, once however often it changed, in the same transaction as what it
 * counts. A command that is rolled back takes back what it counted.
 *
 * Its time is how long the machine has run while this store was its own: the clock of the boot that
 * the store was last used in goes on over a restart of the gateway, and the time that a machine was
 * off does not count. No wall clock is in it (policy/limit-rules.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "limit-rules.h"
#include "store.h"
#include "vault.h"

typedef struct Limiter Limiter;

/* Both are borrowed, and outlive it. */
int limiter_new(Limiter **ret, Store *store, const Vault *vault);
Limiter *limiter_free(Limiter *limiter);
DEFINE_CLEANUP(Limiter, limiter_free)

/* How long the machine has run, in seconds. */
int64_t limiter_now(const Limiter *limiter);
int64_t limiter_now_usec(const Limiter *limiter);

/* The counters of a kind for a tenant ("" is all of them) and whom they are about ("": the tenant
 * itself), brought to the present. Borrowed until the command ends. */
int limiter_get(Limiter *limiter,
                LimitKind kind,
                const char *tenant,
                const char *whom,
                LimitRecord **ret);

/* Before a record is changed. */
void limiter_change(Limiter *limiter, LimitRecord *record);

/* Keeps whom a limit that was reached is about, for the operator: masked, and sealed. */
int limiter_note(Limiter *limiter, LimitRecord *record, const char *tenant, const char *masked);

/* The moments of a command and its batch. */
void limiter_keep(Limiter *limiter);
void limiter_forget(Limiter *limiter);
int limiter_write(Limiter *limiter);
void limiter_committed(Limiter *limiter);
void limiter_failed(Limiter *limiter);

/* Inside a command: remembers the time. */
int limiter_put_time(Limiter *limiter);

/* Inside a command: throws away what counts nothing any more, a page at each call. */
int limiter_sweep(Limiter *limiter, int limit);

/* What operators see: those that were noted, above a key, at most limit of them. */
typedef struct LimiterNoted {
        uint8_t key[VAULT_INDEX_SIZE];
        LimitRecord record;
        char tenant[128], masked[256];
} LimiterNoted;
typedef int (*LimiterSeen)(const LimiterNoted *noted, void *userdata);
int limiter_each(Limiter *limiter,
                const uint8_t *after,
                int limit,
                LimiterSeen seen,
                void *userdata);

/* Under which key a counter is stored. */
void limiter_key(const Limiter *limiter,
                LimitKind kind,
                const char *tenant,
                const char *whom,
                uint8_t ret[VAULT_INDEX_SIZE]);

/* Inside a command: empties a counter. STORE_E_NOT_FOUND. */
int limiter_clear(Limiter *limiter, const uint8_t key[VAULT_INDEX_SIZE]);
/* "pair", "tenant" and so on. */
const char *limiter_kind_name(LimitKind kind);
