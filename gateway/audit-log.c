/* Writing the audit log. Within a transaction records go to the store one after another, and what
 * is known of the chain's end moves along; if the transaction is lost, it goes back. */
#include "audit-log.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "json-read.h"
#include "log.h"
#include "time-text.h"

enum {
        TEXT_SIZE = 1024,
        MONTH_SECONDS = 30 * 24 * 3600, /* of pseudonyms: thirty days each */
        PSEUDONYM_SIZE = 16,
};

/* All that a transaction changes. */
typedef struct Chain {
        int64_t last, epoch, n_epoch, epoch_began; /* n_epoch: records of this epoch */
        uint8_t hash[AUDIT_HASH_SIZE];
        uint8_t key[AUDIT_KEY_SIZE];
        int64_t month;
        uint8_t pseudonym_key[AUDIT_KEY_SIZE];
} Chain;

struct AuditLog {
        Store *store;
        const Vault *vault;
        Chain chain, committed;
        uint8_t public[AUDIT_PUBLIC_SIZE], secret[AUDIT_SECRET_SIZE];
        uint8_t config[32];
        int64_t now;
        AuditNote *notes;
        size_t n_notes, n_kept, allocated;
        bool lost;                                /* a note found no memory */
        char announced[2 * AUDIT_HASH_SIZE + 64]; /* for the journal, once it is durable */
};

/* What is sealed and kept: the signing key, and where the present epoch stands. */
typedef struct Kept {
        uint8_t secret[AUDIT_SECRET_SIZE], key[AUDIT_KEY_SIZE];
        int64_t epoch;
} Kept;

static const char *const actor_names[_AUDIT_ACTOR_MAX] = {
        [AUDIT_ACTOR_GATEWAY] = "gateway",
        [AUDIT_ACTOR_SENDER] = "sender",
        [AUDIT_ACTOR_RECIPIENT] = "recipient",
        [AUDIT_ACTOR_OPERATOR] = "operator",
        [AUDIT_ACTOR_CARRIER] = "carrier",
        [AUDIT_ACTOR_RELAY] = "relay",
};

/* --- keys --------------------------------------------------------------------------------- */

static int put_key(AuditLog *log, int64_t month, const void *key, size_t size) {
        _cleanup_(freep) uint8_t *sealed = NULL;
        size_t sealed_size;
        int r;

        r = vault_seal(log->vault,
                        NULL,
                        month,
                        VAULT_FIELD_AUDIT,
                        0,
                        key,
                        size,
                        &sealed,
                        &sealed_size);
        return r < 0 ? r : store_audit_key_put(log->store, month, sealed, sealed_size);
}

/* STORE_E_NOT_FOUND. */
static int get_key(AuditLog *log, int64_t month, void *ret, size_t size) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        _cleanup_(freep) uint8_t *sealed = NULL;
        size_t sealed_size;
        int r;

        r = store_audit_key_get(log->store, month, &sealed, &sealed_size);
        if (r != 0)
                return r;
        r = vault_open(log->vault, NULL, month, VAULT_FIELD_AUDIT, 0, sealed, sealed_size, &plain);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;
        if (plain.size != size)
                return -EBADMSG;
        memcpy(ret, plain.data, size);
        return 0;
}

/* Over the row of the epoch before: whose key is gone with the next emptying of the store's log. */
static int put_state(AuditLog *log) {
        Kept kept = { .epoch = log->chain.epoch };
        int r;

        memcpy(kept.secret, log->secret, sizeof(kept.secret));
        memcpy(kept.key, log->chain.key, sizeof(kept.key));
        r = put_key(log, 0, &kept, sizeof(kept));
        sodium_memzero(&kept, sizeof(kept));
        return r;
}

/* The key of this month's pseudonyms, made when it is first needed. */
static int month_key(AuditLog *log) {
        int64_t month = log->now / MONTH_SECONDS + 1;
        Chain *chain = &log->chain;
        int r;

        if (chain->month == month)
                return 0;
        r = get_key(log, month, chain->pseudonym_key, sizeof(chain->pseudonym_key));
        if (r == STORE_E_NOT_FOUND) {
                randombytes_buf(chain->pseudonym_key, sizeof(chain->pseudonym_key));
                r = put_key(log, month, chain->pseudonym_key, sizeof(chain->pseudonym_key));
        }
        if (r >= 0)
                chain->month = month;
        return r < 0 ? r : 0;
}

static int pseudonym(AuditLog *log,
                const char *what,
                const void *name,
                size_t size,
                char ret[2 * PSEUDONYM_SIZE + 1]) {
        uint8_t hash[PSEUDONYM_SIZE];
        crypto_generichash_state state;
        int r;

        r = month_key(log);
        if (r < 0)
                return r;
        (void) crypto_generichash_init(
                        &state, log->chain.pseudonym_key, AUDIT_KEY_SIZE, sizeof(hash));
        (void) crypto_generichash_update(&state, (const uint8_t *) what, strlen(what) + 1);
        (void) crypto_generichash_update(&state, name, size);
        (void) crypto_generichash_final(&state, hash, sizeof(hash));
        (void) sodium_bin2hex(ret, 2 * PSEUDONYM_SIZE + 1, hash, sizeof(hash));
        sodium_memzero(&state, sizeof(state));
        return 0;
}

/* --- records ------------------------------------------------------------------------------ */

/* What a record says, in words that need no escaping; NULL and negative numbers are left out. */
typedef struct Record {
        const char *event, *word, *state, *tenant;
        AuditActor actor;
        int64_t detail, number, share, assurance;
        const uint8_t *policy;
} Record;

typedef struct Text {
        char bytes[TEXT_SIZE];
        size_t n;
} Text;

__attribute__((format(printf, 2, 3))) static void add(Text *text, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(text->bytes + text->n, sizeof(text->bytes) - text->n, format, ap);
        va_end(ap);
        text->n += (size_t) n < sizeof(text->bytes) - text->n ? (size_t) n : 0;
}

/* Sorted by name, as base/audit.h wants it. */
static int write_text(AuditLog *log, const Record *record, Text *ret) {
        char share[2 * PSEUDONYM_SIZE + 1], tenant[2 * PSEUDONYM_SIZE + 1],
                        policy[2 * STORE_POLICY_SIZE + 1];
        int r = 0;

        ret->n = 0;
        add(ret, "{\"actor\":\"%s\"", actor_names[record->actor]);
        if (record->assurance >= 0)
                add(ret, ",\"assurance\":%" PRId64, record->assurance);
        if (record->detail >= 0)
                add(ret, ",\"detail\":%" PRId64, record->detail);
        add(ret, ",\"epoch\":%" PRId64 ",\"event\":\"%s\"", log->chain.epoch, record->event);
        if (record->number >= 0)
                add(ret, ",\"number\":%" PRId64, record->number);
        if (record->policy) {
                (void) sodium_bin2hex(policy, sizeof(policy), record->policy, STORE_POLICY_SIZE);
                add(ret, ",\"policy\":\"%s\"", policy);
        }
        add(ret, ",\"seq\":%" PRId64, log->chain.last + 1);
        if (record->share != 0) {
                r = pseudonym(log, "share", &record->share, sizeof(record->share), share);
                add(ret, ",\"share\":\"%s\"", share);
        }
        if (record->state)
                add(ret, ",\"state\":\"%s\"", record->state);
        if (r >= 0 && record->tenant) {
                r = pseudonym(log, "tenant", record->tenant, strlen(record->tenant), tenant);
                add(ret, ",\"tenant\":\"%s\"", tenant);
        }
        add(ret, ",\"time\":%" PRId64, log->now);
        if (record->word)
                add(ret, ",\"word\":\"%s\"", record->word);
        add(ret, "}");
        return r;
}

static int write_record(AuditLog *log, const Record *record) {
        Chain *chain = &log->chain;
        StoreAudit row = { .number = chain->last + 1, .at = log->now };
        Text text;
        int r;

        r = write_text(log, record, &text);
        if (r < 0)
                return r;
        row.text = text.bytes;
        memcpy(row.before, chain->hash, sizeof(row.before));
        audit_hash(chain->hash, text.bytes, text.n, row.hash);
        audit_mac(chain->key, row.hash, row.mac);
        r = store_audit_put(log->store, &row);
        if (r < 0)
                return r;
        memcpy(chain->hash, row.hash, sizeof(chain->hash));
        chain->last++;
        if (chain->n_epoch++ == 0)
                chain->epoch_began = log->now;
        return 0;
}

/* The recipient's are what they write and what is compared; the sender's what they ask for. */
static AuditActor actor_of(TimelineEvent event) {
        switch (event) {
        case TIMELINE_CREATED:
        case TIMELINE_RESENT:
        case TIMELINE_CANCEL_ASKED:
        case TIMELINE_REISSUED:
        case TIMELINE_APPROVED:
        case TIMELINE_NOT_APPROVED:
        case TIMELINE_EXPIRY_CHANGED:
        case TIMELINE_ISSUED:
                return AUDIT_ACTOR_SENDER;
        case TIMELINE_MISTYPED:
        case TIMELINE_WRONG:
        case TIMELINE_CONFIRMED:
        case TIMELINE_FACTOR_MET:
        case TIMELINE_REFUSED:
        case TIMELINE_DISOWNED:
        case TIMELINE_ACKNOWLEDGED:
        case TIMELINE_CLAIMED_ELSEWHERE:
        case TIMELINE_MESSAGE_RECEIVED:
        case TIMELINE_READ:
                return AUDIT_ACTOR_RECIPIENT;
        case TIMELINE_INVITATION_ACCEPTED:
        case TIMELINE_LINK_ACCEPTED:
        case TIMELINE_DELIVERED:
        case TIMELINE_NOT_DELIVERED:
        case TIMELINE_WITHDRAWN:
                return AUDIT_ACTOR_CARRIER;
        case TIMELINE_RELEASED:
        case TIMELINE_GENERATION:
        case TIMELINE_RELAY_CLAIMED:
        case TIMELINE_RELAY_REFUSED:
                return AUDIT_ACTOR_RELAY;
        default:
                return AUDIT_ACTOR_GATEWAY;
        }
}

static int on_event(const char *tenant,
                const StoreEvent *event,
                const uint8_t policy[STORE_POLICY_SIZE],
                void *userdata) {
        AuditLog *log = userdata;

        return write_record(log,
                        &(Record){ .event = timeline_event_name(event->event),
                                        .actor = actor_of(event->event),
                                        .detail = event->detail,
                                        .number = -1,
                                        .assurance = event->event == TIMELINE_CONFIRMED
                                                                     ? event->detail
                                                                     : -1,
                                        .share = event->share,
                                        .state = lifecycle_state_name(event->state),
                                        .tenant = tenant,
                                        .policy = policy });
}

static int write_note(AuditLog *log, const AuditNote *note) {
        return write_record(log,
                        &(Record){ .event = note->event,
                                        .word = note->word,
                                        .actor = note->actor,
                                        .detail = -1,
                                        .number = note->number,
                                        .assurance = -1,
                                        .share = note->share,
                                        .tenant = note->tenant });
}

/* --- epochs ------------------------------------------------------------------------------- */

static int write_checkpoint(AuditLog *log) {
        StoreAudit row = { .number = log->chain.last, .is_checkpoint = true, .at = log->now };
        char hash[2 * AUDIT_HASH_SIZE + 1], config[2 * sizeof(log->config) + 1],
                        signature[2 * AUDIT_SIGNATURE_SIZE + 1];
        uint8_t signed_by[AUDIT_SIGNATURE_SIZE];
        Text text = { .n = 0 };
        static const char head[] = "{\"build\":\"" VESTIBULE_VERSION "\",\"checkpoint\":";

        (void) sodium_bin2hex(hash, sizeof(hash), log->chain.hash, AUDIT_HASH_SIZE);
        (void) sodium_bin2hex(config, sizeof(config), log->config, sizeof(log->config));
        /* `signature` sorts between `hash` and `time`: signed without, stored with it. */
        for (int with = 0; with < 2; with++) {
                text.n = 0;
                add(&text,
                                "%s%" PRId64 ",\"config\":\"%s\",\"epoch\":%" PRId64
                                ",\"hash\":\"%s\"",
                                head,
                                log->chain.last,
                                config,
                                log->chain.epoch,
                                hash);
                if (with)
                        add(&text, ",\"signature\":\"%s\"", signature);
                add(&text, ",\"time\":%" PRId64 "}", log->now);
                if (!with) {
                        audit_sign(log->secret, text.bytes, text.n, signed_by);
                        (void) sodium_bin2hex(
                                        signature, sizeof(signature), signed_by, sizeof(signed_by));
                }
        }
        row.text = text.bytes;
        (void) snprintf(log->announced,
                        sizeof(log->announced),
                        "%" PRId64 ":%s",
                        log->chain.last,
                        hash);
        return store_audit_put(log->store, &row);
}

/* Ends the epoch: from here on nobody can write what was before it anew. */
static int step(AuditLog *log) {
        Chain *chain = &log->chain;
        int r;

        r = write_checkpoint(log);
        if (r < 0)
                return r;
        audit_key_step(chain->key);
        chain->epoch++;
        chain->n_epoch = 0;
        return put_state(log);
}

static int on_end(void *userdata) {
        AuditLog *log = userdata;
        int r = log->lost ? -ENOMEM : 0;

        for (size_t i = 0; r >= 0 && i < log->n_kept; i++)
                r = write_note(log, &log->notes[i]);
        if (r >= 0 && log->chain.n_epoch > 0 &&
                        (log->chain.n_epoch >= AUDIT_LOG_EPOCH_RECORDS ||
                                        log->now >= log->chain.epoch_began +
                                                                        AUDIT_LOG_EPOCH_SECONDS))
                r = step(log);
        return r;
}

static void on_committed(void *userdata) {
        AuditLog *log = userdata;

        log->committed = log->chain;
        log->n_notes = log->n_kept = 0;
        log->lost = false;
        if (log->announced[0]) /* where the journal goes elsewhere, this is out of our hands */
                log_record(LOG_INFO,
                                &(LogFields){ 0 },
                                "The audit log reaches to %s.",
                                log->announced);
        log->announced[0] = 0;
}

static void on_rolled_back(void *userdata) {
        AuditLog *log = userdata;

        log->chain = log->committed;
        log->n_notes = log->n_kept = 0;
        log->lost = false;
        log->announced[0] = 0;
}

/* --- for the gateway ---------------------------------------------------------------------- */

void audit_log_set_time(AuditLog *log, int64_t now) {
        log->now = now;
}

void audit_log_set_configuration(AuditLog *log, const uint8_t config[32]) {
        memcpy(log->config, config, sizeof(log->config));
}

void audit_log_note(AuditLog *log, const AuditNote *note) {
        if (log->n_notes == log->allocated) {
                size_t allocated = log->allocated ? 2 * log->allocated : 16;
                AuditNote *notes = reallocarray(log->notes, allocated, sizeof(AuditNote));

                if (!notes) {
                        log->lost = true;
                        return;
                }
                log->notes = notes;
                log->allocated = allocated;
        }
        log->notes[log->n_notes++] = *note;
}

void audit_log_keep(AuditLog *log) {
        log->n_kept = log->n_notes;
}

void audit_log_forget(AuditLog *log) {
        log->n_notes = log->n_kept;
}

int audit_log_sweep(AuditLog *log, int64_t keep) {
        int64_t to, month = (log->now - AUDIT_LOG_KEEP_PSEUDONYMS) / MONTH_SECONDS + 1;
        bool any;
        int r;

        r = store_audit_key_remove(log->store, month, &any);
        if (r >= 0)
                r = store_audit_before(log->store, log->now - keep, AUDIT_LOG_SWEEP, &to);
        if (r < 0 || to == 0)
                return r;
        r = store_audit_remove(log->store, to);
        if (r >= 0)
                audit_log_note(log,
                                &(AuditNote){ .event = "records_removed",
                                                .actor = AUDIT_ACTOR_GATEWAY,
                                                .number = to + 1 });
        return r;
}

static int begin(AuditLog *log) {
        Kept kept;
        int r;

        r = get_key(log, 0, &kept, sizeof(kept));
        if (r == STORE_E_NOT_FOUND) {
                (void) crypto_sign_keypair(log->public, log->secret);
                randombytes_buf(log->chain.key, sizeof(log->chain.key));
                return put_state(log);
        }
        if (r < 0)
                return r;
        memcpy(log->secret, kept.secret, sizeof(log->secret));
        memcpy(log->chain.key, kept.key, sizeof(log->chain.key));
        log->chain.epoch = kept.epoch;
        sodium_memzero(&kept, sizeof(kept));
        (void) crypto_sign_ed25519_sk_to_pk(log->public, log->secret);
        return 0;
}

int audit_log_open(AuditLog **ret, Store *store, const Vault *vault, const uint8_t config[32]) {
        static const StoreObserver observer = { on_event, on_end, on_committed, on_rolled_back };
        _cleanup_(audit_log_closep) AuditLog *log = calloc(1, sizeof(*log));
        int64_t first;
        int r;

        if (!log)
                return -ENOMEM;
        log->store = store;
        log->vault = vault;
        memcpy(log->config, config, sizeof(log->config));
        r = store_audit_range(store, &first, &log->chain.last, log->chain.hash);
        if (r >= 0)
                r = begin(log);
        if (r < 0)
                return r;
        log->committed = log->chain;
        store_observe(store, &observer, log);
        *ret = TAKE_PTR(log);
        return 0;
}

AuditLog *audit_log_close(AuditLog *log) {
        if (!log)
                return NULL;
        store_observe(log->store, NULL, NULL);
        free(log->notes);
        sodium_memzero(log, sizeof(*log));
        free(log);
        return NULL;
}

/* --- for auditors ------------------------------------------------------------------------- */

typedef struct Page {
        json_t *lines;
        int64_t numbers[AUDIT_LOG_PAGE];
        size_t n;
} Page;

static int add_hex(json_t *object, const char *name, const uint8_t *bytes, size_t size) {
        char text[AUDIT_HEX_MAX];

        (void) sodium_bin2hex(text, sizeof(text), bytes, size);
        return json_object_set_new(object, name, json_string(text)) < 0 ? -ENOMEM : 0;
}

static int add_line(const StoreAudit *audit, void *userdata) {
        Page *page = userdata;
        json_t *line = NULL;
        JsonProblem problem;
        int r;

        r = json_read(audit->text, strlen(audit->text), 2, &line, &problem);
        if (r > 0 || (r == 0 && !json_is_object(line))) { /* for the auditor to see */
                json_decref(line);
                line = json_object();
                r = 0;
        }
        if (r == 0 && !audit->is_checkpoint)
                r = add_hex(line, "previous", audit->before, sizeof(audit->before));
        if (r == 0 && !audit->is_checkpoint)
                r = add_hex(line, "hash", audit->hash, sizeof(audit->hash));
        if (r == 0 && !audit->is_checkpoint)
                r = add_hex(line, "mac", audit->mac, sizeof(audit->mac));
        if (r < 0) {
                json_decref(line);
                return r;
        }
        page->numbers[page->n++] = audit->number;
        return json_array_append_new(page->lines, line) < 0 ? -ENOMEM : 0;
}

/* A full page may end between a record and its checkpoint: so its last record is left to the next.
 */
int audit_log_export(AuditLog *log, int64_t after, json_t **ret) {
        Page page = { .lines = json_array() };
        int64_t cursor = after;
        int r;

        if (!page.lines)
                return -ENOMEM;
        r = store_audit_each(log->store, after, AUDIT_LOG_PAGE, add_line, &page);
        if (r >= 0 && page.n > 0) {
                cursor = page.numbers[page.n - 1];
                if (page.n == AUDIT_LOG_PAGE)
                        cursor--;
                while (page.numbers[page.n - 1] > cursor)
                        (void) json_array_remove(page.lines, --page.n);
        }
        *ret = r < 0 ? NULL
                     : json_pack("{s:O, s:I}", "lines", page.lines, "cursor", (json_int_t) cursor);
        json_decref(page.lines);
        if (r >= 0 && !*ret)
                r = -ENOMEM;
        return r < 0 ? r : 0;
}

json_t *audit_log_keys(AuditLog *log, bool with_key) {
        json_t *keys = json_pack("{s:I}", "epoch", (json_int_t) log->chain.epoch);

        if (keys && (add_hex(keys, "public", log->public, sizeof(log->public)) < 0 ||
                                    (with_key && add_hex(keys,
                                                                 "key",
                                                                 log->chain.key,
                                                                 sizeof(log->chain.key)) < 0))) {
                json_decref(keys);
                return NULL;
        }
        return keys;
}
