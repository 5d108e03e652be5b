/* Counters between the store and who asks. Each is a row; in memory it has a copy of how it was
 * before the present command, which a rollback puts back. */
#include "limiter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"
#include "log.h"
#include "time-text.h"

enum {
        BUCKETS = 1024,
        ENTRIES_KEPT = 512, /* after a batch; what is not needed soon is in the store */
        FIRST_SECOND = 1,
};

typedef struct Entry {
        LimitRecord record; /* first: callers hold pointers to it */
        LimitRecord before; /* the present command's first change */
        struct Entry *next;
        struct Entry *next_touched;
        uint8_t key[VAULT_INDEX_SIZE];
        uint8_t *note; /* to be stored */
        size_t note_size;
        bool noted;
        bool touched, dirty, was_dirty;
} Entry;

struct Limiter {
        Store *store;
        const Vault *vault;
        StoreElapsed start;
        Entry *buckets[BUCKETS];
        Entry *touched; /* by the present command */
        size_t n_entries;
        bool has_dirty;
        uint8_t swept[VAULT_INDEX_SIZE]; /* where the last page ended */
        bool sweeping;
};

static const char *const kinds[_LIMIT_KIND_MAX] = {
        [LIMIT_PAIR] = "pair",
        [LIMIT_TENANT] = "tenant",
        [LIMIT_PERSON] = "recipient",
        [LIMIT_ROUTE] = "route",
        [LIMIT_DOMAIN] = "domain",
        [LIMIT_CHANNEL] = "channel",
        [LIMIT_FLEET] = "all",
        [LIMIT_SOURCE] = "source",
};

const char *limiter_kind_name(LimitKind kind) {
        return kind > 0 && kind < _LIMIT_KIND_MAX ? kinds[kind] : NULL;
}

static int64_t boot_seconds(void) {
        return (int64_t) (time_boot() / USEC_PER_SEC);
}

int64_t limiter_now(const Limiter *l) {
        return l->start.seconds + boot_seconds() - l->start.boot_seconds;
}

int64_t limiter_now_usec(const Limiter *l) {
        return (l->start.seconds - l->start.boot_seconds) * (int64_t) USEC_PER_SEC +
               (int64_t) time_boot();
}

/* In the same boot its clock has gone on; in another one nobody knows for how long the machine was
 * off, so that it does not count. */
static int start_time(Store *store, StoreElapsed *ret) {
        StoreElapsed stored;
        sd_id128_t boot;
        int64_t now = boot_seconds();
        int r;

        r = store_elapsed_get(store, &stored);
        if (r < 0)
                return r;
        *ret = (StoreElapsed){ .seconds = stored.seconds, .boot_seconds = now };
        if (ret->seconds < FIRST_SECOND)
                ret->seconds = FIRST_SECOND;
        if (sd_id128_get_boot(&boot) < 0)
                return 0;
        memcpy(ret->boot, boot.bytes, sizeof(ret->boot));
        if (memcmp(stored.boot, ret->boot, sizeof(stored.boot)) == 0 && now >= stored.boot_seconds)
                ret->seconds += now - stored.boot_seconds;
        return 0;
}

int limiter_put_time(Limiter *l) {
        StoreElapsed elapsed = l->start;

        elapsed.boot_seconds = boot_seconds();
        elapsed.seconds += elapsed.boot_seconds - l->start.boot_seconds;
        return store_elapsed_put(l->store, &elapsed);
}

int limiter_new(Limiter **ret, Store *store, const Vault *vault) {
        StoreElapsed start;
        Limiter *l;
        int r;

        r = start_time(store, &start);
        if (r < 0)
                return r;
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->store = store;
        l->vault = vault;
        l->start = start;
        *ret = l;
        return 0;
}

static void entry_free(Entry *e) {
        free(e->note);
        free(e);
}

static void drop_all(Limiter *l) {
        for (size_t i = 0; i < BUCKETS; i++)
                while (l->buckets[i]) {
                        Entry *e = l->buckets[i];

                        l->buckets[i] = e->next;
                        entry_free(e);
                }
        l->n_entries = 0;
        l->touched = NULL;
        l->has_dirty = false;
}

Limiter *limiter_free(Limiter *l) {
        if (!l)
                return NULL;
        drop_all(l);
        free(l);
        return NULL;
}

/* Keys are hashes already. */
static Entry **bucket_of(Limiter *l, const uint8_t key[VAULT_INDEX_SIZE]) {
        return &l->buckets[(key[VAULT_INDEX_SIZE - 2] | key[VAULT_INDEX_SIZE - 1] << 8) % BUCKETS];
}

static Entry *find(Limiter *l, const uint8_t key[VAULT_INDEX_SIZE]) {
        for (Entry *e = *bucket_of(l, key); e; e = e->next)
                if (memcmp(e->key, key, VAULT_INDEX_SIZE) == 0)
                        return e;
        return NULL;
}

/* The first byte is the kind, so that whoever has the row alone can read it. */
static bool read_value(
                LimitRecord *ret, LimitKind kind, const uint8_t *value, size_t size, int64_t now) {
        bool is_kind = size > 0 && value[0] == (uint8_t) kind;

        return limits_read(ret, kind, value + 1, is_kind ? size - 1 : 0, now);
}

static int load(Limiter *l, Entry *e, LimitKind kind) {
        uint8_t value[STORE_COUNTER_MAX];
        size_t size;
        int r;

        r = store_counter_get(l->store, e->key, value, &size, &e->noted);
        if (r < 0)
                return r;
        if (r == STORE_E_NOT_FOUND) {
                limits_init(&e->record, kind);
                return 0;
        }
        if (!read_value(&e->record, kind, value, size, limiter_now(l))) {
                log_error("A counter of the kind %s is damaged, and is taken for full.",
                                limiter_kind_name(kind));
                limiter_change(l, &e->record);
        }
        return 0;
}

static int
get_by_key(Limiter *l, LimitKind kind, const uint8_t key[VAULT_INDEX_SIZE], LimitRecord **ret) {
        Entry *e = find(l, key), **bucket = bucket_of(l, key);
        int64_t now = limiter_now(l);
        LimitRecord before;
        int r;

        if (!e) {
                e = calloc(1, sizeof(*e));
                if (!e)
                        return -ENOMEM;
                memcpy(e->key, key, VAULT_INDEX_SIZE);
                r = load(l, e, kind);
                if (r < 0) {
                        entry_free(e);
                        return r;
                }
                e->next = *bucket;
                *bucket = e;
                l->n_entries++;
        }
        before = e->record;
        if (limits_age(&e->record, now) && !e->dirty) {
                LimitRecord aged = e->record;

                e->record = before;
                limiter_change(l, &e->record);
                e->record = aged;
        }
        *ret = &e->record;
        return 0;
}

void limiter_key(const Limiter *l,
                LimitKind kind,
                const char *tenant,
                const char *whom,
                uint8_t ret[VAULT_INDEX_SIZE]) {
        vault_index_limit(l->vault, limiter_kind_name(kind), tenant, whom, ret);
        /* The few that nearly every batch changes are side by side, in one page of the store. */
        if (kind == LIMIT_TENANT || kind == LIMIT_CHANNEL || kind == LIMIT_FLEET)
                ret[0] = ret[1] = 0;
}

int limiter_get(Limiter *l,
                LimitKind kind,
                const char *tenant,
                const char *whom,
                LimitRecord **ret) {
        uint8_t key[VAULT_INDEX_SIZE];

        limiter_key(l, kind, tenant, whom, key);
        return get_by_key(l, kind, key, ret);
}

void limiter_change(Limiter *l, LimitRecord *record) {
        Entry *e = (Entry *) record;

        if (e->touched)
                return;
        e->touched = true;
        e->before = e->record;
        e->was_dirty = e->dirty;
        e->dirty = true;
        e->next_touched = l->touched;
        l->touched = e;
        l->has_dirty = true;
}

/* In place of a share's number in the associated data: a note opens beside its own key only. */
static int64_t number_of(const uint8_t key[VAULT_INDEX_SIZE]) {
        int64_t n;

        memcpy(&n, key, sizeof(n));
        return n;
}

int limiter_note(Limiter *l, LimitRecord *record, const char *tenant, const char *masked) {
        Entry *e = (Entry *) record;
        _cleanup_(json_wipe_freep) char *text = NULL;
        json_auto_t *note = NULL;
        int r;

        if (e->noted)
                return 0;
        note = json_pack("{s:s, s:s}", "tenant", tenant, "about", masked);
        text = note ? json_quick_text(note) : NULL;
        if (!text)
                return -ENOMEM;
        r = vault_seal(l->vault,
                        NULL,
                        number_of(e->key),
                        VAULT_FIELD_LIMIT,
                        0,
                        text,
                        strlen(text),
                        &e->note,
                        &e->note_size);
        if (r < 0)
                return r;
        limiter_change(l, record);
        e->noted = true;
        return 0;
}

void limiter_keep(Limiter *l) {
        for (Entry *e = l->touched; e; e = e->next_touched)
                e->touched = false;
        l->touched = NULL;
}

/* A note that was made stays: it says whom the counter is about, and that was true. */
void limiter_forget(Limiter *l) {
        for (Entry *e = l->touched; e; e = e->next_touched) {
                e->touched = false;
                e->record = e->before;
                e->dirty = e->was_dirty || e->note;
        }
        l->touched = NULL;
}

static int write_one(Limiter *l, Entry *e) {
        uint8_t value[1 + LIMITS_SIZE_MAX];
        int r;

        value[0] = (uint8_t) e->record.kind;
        r = store_counter_put(l->store,
                        e->key,
                        value,
                        1 + limits_write(&e->record, value + 1),
                        e->note,
                        e->note_size);
        if (r < 0)
                return r;
        free(e->note);
        e->note = NULL;
        e->note_size = 0;
        e->dirty = false;
        return 0;
}

int limiter_write(Limiter *l) {
        int r = 0;

        if (!l->has_dirty)
                return 0;
        limiter_keep(l);
        for (size_t i = 0; r >= 0 && i < BUCKETS; i++)
                for (Entry *e = l->buckets[i]; r >= 0 && e; e = e->next)
                        if (e->dirty)
                                r = write_one(l, e);
        if (r >= 0)
                l->has_dirty = false;
        return r;
}

void limiter_committed(Limiter *l) {
        if (l->n_entries > ENTRIES_KEPT && !l->has_dirty)
                drop_all(l);
}

/* What the store has is what counts. */
void limiter_failed(Limiter *l) {
        drop_all(l);
}

/* --- sweeping ----------------------------------------------------------------------------------
 */

enum { STALE_MAX = 512 }; /* thrown away at a time */

typedef struct Sweep {
        Limiter *limiter;
        uint8_t stale[STALE_MAX][VAULT_INDEX_SIZE];
        size_t n_stale, n_seen;
} Sweep;

static int sweep_seen(const StoreCounter *counter, void *userdata) {
        Sweep *sweep = userdata;
        Limiter *l = sweep->limiter;
        LimitKind kind = counter->size > 0 ? (LimitKind) counter->value[0] : 0;
        LimitRecord record;

        memcpy(l->swept, counter->key, sizeof(l->swept));
        sweep->n_seen++;
        if (find(l, counter->key))
                return 0;
        if (limiter_kind_name(kind) && (!read_value(&record,
                                                        kind,
                                                        counter->value,
                                                        counter->size,
                                                        limiter_now(l)) ||
                                                       !limits_is_stale(&record, limiter_now(l))))
                return 0;
        memcpy(sweep->stale[sweep->n_stale++], counter->key, VAULT_INDEX_SIZE);
        return sweep->n_stale == STALE_MAX;
}

int limiter_sweep(Limiter *l, int limit) {
        Sweep sweep = { .limiter = l };
        int r;

        r = store_counter_each(
                        l->store, l->sweeping ? l->swept : NULL, false, limit, sweep_seen, &sweep);
        for (size_t i = 0; r >= 0 && i < sweep.n_stale; i++)
                r = store_counter_remove(l->store, sweep.stale[i]);
        l->sweeping = sweep.n_seen > 0;
        return r;
}

/* --- for operators -----------------------------------------------------------------------------
 */

typedef struct Listing {
        Limiter *limiter;
        LimiterSeen seen;
        void *userdata;
} Listing;

static void read_note(const Limiter *l, const StoreCounter *counter, LimiterNoted *noted) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        json_auto_t *note = NULL;
        JsonProblem problem;
        const char *tenant, *about;

        if (vault_open(l->vault,
                            NULL,
                            number_of(counter->key),
                            VAULT_FIELD_LIMIT,
                            0,
                            counter->note,
                            counter->note_size,
                            &plain) == 0)
                (void) json_read(plain.data, plain.size, 2, &note, &problem);
        tenant = json_string_value(json_object_get(note, "tenant"));
        about = json_string_value(json_object_get(note, "about"));
        (void) snprintf(noted->tenant, sizeof(noted->tenant), "%s", tenant ? tenant : "");
        (void) snprintf(noted->masked, sizeof(noted->masked), "%s", about ? about : "");
}

static int list_seen(const StoreCounter *counter, void *userdata) {
        const Listing *listing = userdata;
        Limiter *l = listing->limiter;
        LimitKind kind = counter->size > 0 ? (LimitKind) counter->value[0] : 0;
        const Entry *e = find(l, counter->key);
        LimiterNoted noted;

        if (!limiter_kind_name(kind))
                return 0;
        memcpy(noted.key, counter->key, sizeof(noted.key));
        if (e)
                noted.record = e->record;
        else
                (void) read_value(
                                &noted.record, kind, counter->value, counter->size, limiter_now(l));
        read_note(l, counter, &noted);
        return listing->seen(&noted, listing->userdata);
}

int limiter_each(Limiter *l, const uint8_t *after, int limit, LimiterSeen seen, void *userdata) {
        Listing listing = { l, seen, userdata };

        return store_counter_each(l->store, after, true, limit, list_seen, &listing);
}

int limiter_clear(Limiter *l, const uint8_t key[VAULT_INDEX_SIZE]) {
        uint8_t value[STORE_COUNTER_MAX];
        LimitRecord *record;
        LimitKind kind;
        size_t size;
        bool noted;
        int r;

        r = store_counter_get(l->store, key, value, &size, &noted);
        if (r != 0)
                return r;
        kind = size > 0 ? (LimitKind) value[0] : 0;
        if (!limiter_kind_name(kind))
                return store_counter_remove(l->store, key);
        r = get_by_key(l, kind, key, &record);
        if (r < 0)
                return r;
        limiter_change(l, record);
        limits_init(record, kind);
        return 0;
}
