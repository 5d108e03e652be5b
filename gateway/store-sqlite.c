/* store.h on SQLite: WAL, synchronous=FULL, one connection for the loop and one for the checkpoint.
 *
 * The schema follows what was measured: small share rows with their content elsewhere; a nullable
 * `due` with an index only over rows that have one, since an index on state would be rewritten at
 * each step; numbers that grow with time, so that inserts and sweeps stay local. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "log.h"

enum {
        SCHEMA_VERSION = 1,
        PAGE_SIZE = 8192,
        BUSY_MSEC = 10000,
        CHECKPOINT_PAGES = 1000, /* 8 MiB: the helper copies about this much at a time */
        RESTART_PAGES = 64 * 1024 * 1024 / PAGE_SIZE,
        SPILL_BYTES = 4 * 1024 * 1024,
};

typedef enum Statement {
        BEGIN,
        COMMIT,
        ROLLBACK,
        MARK,
        RELEASE,
        RETURN,
        SHARE_LOAD,
        SHARE_INSERT,
        SHARE_UPDATE,
        SHARE_REMOVE,
        SHARE_SPEND,
        SHARE_DUE,
        SHARE_NEXT_DUE,
        SHARE_LIST,
        SHARE_LIST_ALL,
        REFERENCE_PUT,
        REFERENCE_LIST,
        REFERENCE_REMOVE,
        CONTENT_PUT,
        DETAILS_GET,
        PAYLOAD_GET,
        PAYLOAD_WIPE,
        CONTENT_REMOVE,
        MESSAGE_PUT,
        MESSAGE_GET,
        MESSAGE_REMOVE,
        MESSAGE_REMOVE_ALL,
        MESSAGE_FIND,
        OUTBOX_PUT,
        OUTBOX_GET,
        OUTBOX_ATTEMPT,
        OUTBOX_REMOVE,
        OUTBOX_DROP,
        OUTBOX_CREATING,
        OUTBOX_REMOVE_ALL,
        OUTBOX_EACH,
        ADDRESS_PUT,
        ADDRESS_END,
        ADDRESS_REMOVE,
        ADDRESS_EACH,
        SEEN_HAS,
        SEEN_ADD,
        BLOCK_PUT,
        BLOCK_HAS,
        ANSWER_PUT,
        ANSWER_GET,
        ANSWER_WIPE,
        SWEEP_SEEN,
        SWEEP_BLOCK,
        SWEEP_ANSWER,
        TIME_PUT,
        _STATEMENT_MAX,
} Statement;

#define SHARE_COLUMNS                                                                              \
        "n, tenant, policy, state, goal, cause, version, due, created, expires, mailbox_expires, " \
        "ended, attempts_left, attempts_total_left, mistyped_left, not_before, generation, step, " \
        "messages, resends, answers, flags, rules, wrong, key, code, idempotency, reference, "     \
        "mailbox, addresses, timeline, repeats, relay"

/* clang-format off */
static const char *const sql[_STATEMENT_MAX] = {
        [BEGIN]              = "BEGIN IMMEDIATE",
        [COMMIT]             = "COMMIT",
        [ROLLBACK]           = "ROLLBACK",
        [MARK]               = "SAVEPOINT mark",
        [RELEASE]            = "RELEASE mark",
        [RETURN]             = "ROLLBACK TO mark",
        [SHARE_LOAD]         = "SELECT " SHARE_COLUMNS " FROM share WHERE n = ?1",
        [SHARE_INSERT]       = "INSERT INTO share (" SHARE_COLUMNS ") VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,"
                               "?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,?29,?30,?31,?32,?33)",
        [SHARE_UPDATE]       = "UPDATE share SET state=?4, goal=?5, cause=?6, version=?7, due=?8, expires=?10, "
                               "mailbox_expires=?11, ended=?12, attempts_left=?13, attempts_total_left=?14, "
                               "mistyped_left=?15, not_before=?16, generation=?17, step=?18, messages=?19, resends=?20, "
                               "answers=?21, flags=?22, rules=?23, wrong=?24, key=?25, code=?26, idempotency=?27, reference=?28, "
                               "mailbox=?29, addresses=?30, timeline=?31, repeats=?32, relay=?33 WHERE n = ?1",
        [SHARE_REMOVE]       = "DELETE FROM share WHERE n = ?1",
        [SHARE_SPEND]        = "UPDATE share SET attempts_left = max(attempts_left - 1, 0), "
                               "attempts_total_left = max(attempts_total_left - 1, 0) WHERE n = ?1",
        [SHARE_DUE]          = "SELECT n FROM share WHERE due IS NOT NULL AND due <= ?1 ORDER BY due LIMIT ?2",
        [SHARE_NEXT_DUE]     = "SELECT min(due) FROM share WHERE due IS NOT NULL",
        [SHARE_LIST]         = "SELECT n, state FROM share WHERE tenant = ?1 AND n < ?2 ORDER BY n DESC LIMIT ?3",
        [SHARE_LIST_ALL]     = "SELECT n, state FROM share WHERE n < ?2 ORDER BY n DESC LIMIT ?3",
        [REFERENCE_PUT]      = "INSERT OR IGNORE INTO reference VALUES (?1, ?2)",
        [REFERENCE_LIST]     = "SELECT share.n, share.state FROM reference JOIN share ON share.n = reference.n "
                               "WHERE reference.reference = ?1 AND reference.n < ?2 ORDER BY reference.n DESC LIMIT ?3",
        [REFERENCE_REMOVE]   = "DELETE FROM reference WHERE n = ?1",
        [CONTENT_PUT]        = "INSERT INTO content VALUES (?1, ?2, ?3) ON CONFLICT (n) DO UPDATE SET details = ?2, "
                               "payload = coalesce(?3, payload)",
        [DETAILS_GET]        = "SELECT details FROM content WHERE n = ?1",
        [PAYLOAD_GET]        = "SELECT payload FROM content WHERE n = ?1",
        [PAYLOAD_WIPE]       = "UPDATE content SET payload = NULL WHERE n = ?1",
        [CONTENT_REMOVE]     = "DELETE FROM content WHERE n = ?1",
        [MESSAGE_PUT]        = "INSERT OR REPLACE INTO message VALUES (?1, ?2, ?3, ?4, ?5)",
        [MESSAGE_GET]        = "SELECT kind, body, step FROM message WHERE share = ?1 AND part = ?2",
        [MESSAGE_REMOVE]     = "DELETE FROM message WHERE share = ?1 AND part = ?2",
        [MESSAGE_REMOVE_ALL] = "DELETE FROM message WHERE share = ?1 AND (kind <> 3 OR ?2 = 0)",
        [MESSAGE_FIND]       = "SELECT max(part) FROM message WHERE share = ?1 AND kind = ?2",
        [OUTBOX_PUT]         = "INSERT OR REPLACE INTO outbox VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [OUTBOX_GET]         = "SELECT share, part, kind, lane, attempts, dead, reason FROM outbox "
                               "WHERE share = ?1 AND part = ?2",
        [OUTBOX_ATTEMPT]     = "UPDATE outbox SET attempts = ?5, dead = ?6, reason = ?7 WHERE share = ?1 AND part = ?2",
        [OUTBOX_REMOVE]      = "DELETE FROM outbox WHERE share = ?1 AND part = ?2",
        [OUTBOX_DROP]        = "DELETE FROM outbox WHERE share = ?1 AND kind NOT IN (3, 6) AND "
                               "NOT (kind = 4 AND attempts > 0)",
        [OUTBOX_CREATING]    = "SELECT 1 FROM outbox WHERE share = ?1 AND kind = 4",
        [OUTBOX_REMOVE_ALL]  = "DELETE FROM outbox WHERE share = ?1 AND (kind <> 3 OR ?2 = 0)",
        [OUTBOX_EACH]        = "SELECT share, part, kind, lane, attempts, dead, reason FROM outbox WHERE dead = ?1 "
                               "ORDER BY share, part",
        [ADDRESS_PUT]        = "INSERT OR IGNORE INTO address VALUES (?1, 0, ?2)",
        [ADDRESS_END]        = "INSERT OR IGNORE INTO address VALUES (?1, 1, ?2)",
        [ADDRESS_REMOVE]     = "DELETE FROM address WHERE address = ?1 AND n = ?2",
        [ADDRESS_EACH]       = "SELECT n FROM address WHERE address = ?1 AND ended = ?3 ORDER BY n DESC LIMIT ?2",
        [SEEN_HAS]           = "SELECT 1 FROM seen WHERE key = ?1",
        [SEEN_ADD]           = "INSERT INTO seen VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        [BLOCK_PUT]          = "INSERT INTO block VALUES (?1, ?2) ON CONFLICT (pair) DO UPDATE SET "
                               "expires = max(expires, ?2)",
        [BLOCK_HAS]          = "SELECT 1 FROM block WHERE pair = ?1 AND expires > ?2",
        [ANSWER_PUT]         = "INSERT OR REPLACE INTO answer VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        [ANSWER_GET]         = "SELECT share, status, digest, answer FROM answer WHERE key = ?1 AND expires > ?2",
        [ANSWER_WIPE]        = "UPDATE answer SET answer = NULL WHERE key = ?1",
        [SWEEP_SEEN]         = "DELETE FROM seen WHERE key IN (SELECT key FROM seen WHERE expires <= ?1 LIMIT ?2)",
        [SWEEP_BLOCK]        = "DELETE FROM block WHERE pair IN (SELECT pair FROM block WHERE expires <= ?1 LIMIT ?2)",
        [SWEEP_ANSWER]       = "DELETE FROM answer WHERE key IN (SELECT key FROM answer WHERE expires <= ?1 LIMIT ?2)",
        [TIME_PUT]           = "INSERT OR REPLACE INTO meta VALUES ('time', ?1)",
};
/* clang-format on */

static const char schema[] =
                "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
                "CREATE TABLE share (n INTEGER PRIMARY KEY, tenant TEXT NOT NULL, policy TEXT NOT "
                "NULL,"
                " state TEXT NOT NULL, goal TEXT, cause TEXT NOT NULL, version INTEGER NOT NULL, "
                "due INTEGER,"
                " created INTEGER NOT NULL, expires INTEGER NOT NULL, mailbox_expires INTEGER, "
                "ended INTEGER,"
                " attempts_left INTEGER NOT NULL, attempts_total_left INTEGER NOT NULL,"
                " mistyped_left INTEGER NOT NULL, not_before INTEGER NOT NULL, generation INTEGER "
                "NOT NULL,"
                " step INTEGER NOT NULL, messages INTEGER NOT NULL, resends INTEGER NOT NULL,"
                " answers INTEGER NOT NULL, flags INTEGER NOT NULL, rules BLOB NOT NULL, wrong "
                "BLOB, key BLOB,"
                " code BLOB, idempotency BLOB, reference BLOB, mailbox BLOB, addresses BLOB, "
                "timeline BLOB, repeats INTEGER NOT NULL, relay TEXT);"
                "CREATE INDEX share_due ON share (due) WHERE due IS NOT NULL;"
                "CREATE INDEX share_tenant ON share (tenant, n);"
                "CREATE TABLE reference (reference BLOB, n INTEGER, PRIMARY KEY (reference, n)) "
                "WITHOUT ROWID;"
                "CREATE INDEX reference_share ON reference (n);"
                "CREATE TABLE content (n INTEGER PRIMARY KEY, details BLOB, payload BLOB);"
                "CREATE TABLE message (share INTEGER, part INTEGER, kind INTEGER NOT NULL, body "
                "BLOB,"
                " step INTEGER NOT NULL, PRIMARY KEY (share, part)) WITHOUT ROWID;"
                "CREATE TABLE outbox (share INTEGER, part INTEGER, kind INTEGER NOT NULL, lane "
                "TEXT NOT NULL,"
                " attempts INTEGER NOT NULL, dead INTEGER NOT NULL, reason TEXT,"
                " PRIMARY KEY (share, part)) WITHOUT ROWID;"
                "CREATE TABLE address (address BLOB, ended INTEGER, n INTEGER,"
                " PRIMARY KEY (address, ended, n)) WITHOUT ROWID;"
                "CREATE TABLE seen (key BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;"
                "CREATE INDEX seen_expires ON seen (expires);"
                "CREATE TABLE block (pair BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT "
                "ROWID;"
                "CREATE INDEX block_expires ON block (expires);"
                "CREATE TABLE answer (key BLOB PRIMARY KEY, share INTEGER, status INTEGER, digest "
                "BLOB, answer BLOB,"
                " expires INTEGER NOT NULL) WITHOUT ROWID;"
                "CREATE INDEX answer_expires ON answer (expires);"
                "PRAGMA user_version = 1;";

struct Store {
        sqlite3 *db;
        sqlite3_stmt *statements[_STATEMENT_MAX];
        int lock;
        int64_t last;
        int wal_pages, wal_seen;

        /* The checkpoint helper; `wanted` and `ending` are under the mutex. */
        sqlite3 *helper_db;
        pthread_t helper;
        pthread_mutex_t mutex;
        pthread_cond_t condition;
        bool has_helper, wanted, ending;
};

/* --- statements --- */

static int failed(Store *s, const char *what) {
        int code = sqlite3_errcode(s->db);

        log_error("The store could not %s: %s.", what, sqlite3_errmsg(s->db));
        switch (code & 0xff) {
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_BUSY:
                return -EBUSY;
        default:
                return -EIO;
        }
}

static sqlite3_stmt *statement(Store *s, Statement which) {
        sqlite3_stmt *stmt = s->statements[which];

        (void) sqlite3_reset(stmt);
        return stmt;
}

static void bind_blob(sqlite3_stmt *stmt, int i, const void *data, size_t size) {
        if (data)
                (void) sqlite3_bind_blob64(stmt, i, data, size, SQLITE_STATIC);
        else
                (void) sqlite3_bind_null(stmt, i);
}

static void bind_text(sqlite3_stmt *stmt, int i, const char *text) {
        (void) sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *stmt, int i, int64_t value) {
        (void) sqlite3_bind_int64(stmt, i, value);
}

/* Runs a statement that returns no row. */
static int run(Store *s, sqlite3_stmt *stmt) {
        int code = sqlite3_step(stmt);

        (void) sqlite3_reset(stmt);
        return code == SQLITE_DONE ? 0 : failed(s, "write");
}

/* Runs a statement whose one parameter is a number. */
static int run_numbered(Store *s, Statement which, int64_t n) {
        sqlite3_stmt *stmt = statement(s, which);

        bind_number(stmt, 1, n);
        return run(s, stmt);
}

/* Runs a statement whose two parameters are numbers. */
static int run_pair(Store *s, Statement which, int64_t a, int64_t b) {
        sqlite3_stmt *stmt = statement(s, which);

        bind_number(stmt, 1, a);
        bind_number(stmt, 2, b);
        return run(s, stmt);
}

/* Runs a statement whose first two parameters are a blind index and a number. */
static int run_indexed(
                Store *s, Statement which, const uint8_t index[VAULT_INDEX_SIZE], int64_t n) {
        sqlite3_stmt *stmt = statement(s, which);

        bind_blob(stmt, 1, index, VAULT_INDEX_SIZE);
        bind_number(stmt, 2, n);
        return run(s, stmt);
}

/* Copies a blob of the current row; NULL stays NULL. */
static int column_blob(sqlite3_stmt *stmt, int i, uint8_t **ret, size_t *ret_size) {
        const void *data = sqlite3_column_blob(stmt, i);
        size_t size = (size_t) sqlite3_column_bytes(stmt, i);

        *ret = NULL;
        *ret_size = 0;
        if (!data)
                return 0;
        *ret = malloc(size + 1);
        if (!*ret)
                return -ENOMEM;
        memcpy(*ret, data, size);
        (*ret)[size] = 0;
        *ret_size = size;
        return 0;
}

static int column_text(sqlite3_stmt *stmt, int i, char **ret) {
        const char *text = (const char *) sqlite3_column_text(stmt, i);

        *ret = strdup(text ? text : "");
        return *ret ? 0 : -ENOMEM;
}

static int column_int(sqlite3_stmt *stmt, int i) {
        return sqlite3_column_int(stmt, i);
}

/* --- shares --- */

void share_drop(uint8_t **blob, size_t size) {
        if (*blob) {
                sodium_memzero(*blob, size);
                free(*blob);
        }
        *blob = NULL;
}

void share_done(Share *share) {
        free(share->tenant);
        free(share->policy);
        free(share->relay);
        share_drop(&share->key, VAULT_WRAPPED_SIZE);
        share_drop(&share->code, VAULT_VERIFIER_SIZE);
        share_drop(&share->idempotency, VAULT_INDEX_SIZE);
        share_drop(&share->reference, share->reference_size);
        share_drop(&share->mailbox, share->mailbox_size);
        memset(share, 0, sizeof(*share));
}

void share_note(Share *share, int64_t now, TimelineEvent event, int detail, int step) {
        if (share->n_timeline == SHARE_TIMELINE_MAX) {
                size_t middle = SHARE_TIMELINE_MAX / 2;

                memmove(&share->timeline[middle],
                                &share->timeline[middle + 1],
                                (SHARE_TIMELINE_MAX - middle - 1) * sizeof(TimelineEntry));
                share->n_timeline--;
        }
        share->timeline[share->n_timeline++] = (TimelineEntry){
                .at = now > share->created ? (uint32_t) (now - share->created) : 0,
                .event = (uint8_t) event,
                .detail = (uint8_t) detail,
                .step = (uint8_t) step,
        };
}

const char *timeline_event_name(TimelineEvent event) {
        static const char *const names[_TIMELINE_MAX] = {
                [TIMELINE_CREATED] = "created",
                [TIMELINE_INVITATION_ACCEPTED] = "invitation_accepted",
                [TIMELINE_DELIVERED] = "delivered",
                [TIMELINE_READ] = "read",
                [TIMELINE_NOT_DELIVERED] = "not_delivered",
                [TIMELINE_MISTYPED] = "mistyped",
                [TIMELINE_WRONG] = "wrong",
                [TIMELINE_CONFIRMED] = "confirmed",
                [TIMELINE_RELEASING] = "releasing",
                [TIMELINE_RELEASED] = "released",
                [TIMELINE_LINK_ACCEPTED] = "link_accepted",
                [TIMELINE_GENERATION] = "generation",
                [TIMELINE_RESENT] = "resent",
                [TIMELINE_WITHDRAWING] = "withdrawing",
                [TIMELINE_ACKNOWLEDGED] = "acknowledged",
                [TIMELINE_ENDED] = "ended",
                [TIMELINE_FALLBACK] = "fallback",
                [TIMELINE_REFUSED] = "refused",
                [TIMELINE_DISOWNED] = "disowned",
                [TIMELINE_CANCEL_ASKED] = "cancel_asked",
        };

        return event > 0 && event < _TIMELINE_MAX && names[event] ? names[event] : "unknown";
}

/* A policy's numbers as a blob, so that a new one needs no new column. */
enum { RULES_NUMBERS = 8 };

static void rules_write(const Rules *rules, int64_t ret[RULES_NUMBERS]) {
        const int64_t numbers[RULES_NUMBERS] = { rules->class,
                rules->factors,
                rules->code,
                rules->attempts,
                rules->attempts_total,
                rules->challenge_ttl,
                rules->mailbox_ttl,
                rules->minimum_authentic };

        memcpy(ret, numbers, sizeof(numbers));
}

static void rules_read(const int64_t numbers[RULES_NUMBERS], Rules *ret) {
        *ret = (Rules){ .class = (RulesClass) numbers[0],
                .factors = (uint32_t) numbers[1],
                .code = (CodeFormat) numbers[2],
                .attempts = (unsigned) numbers[3],
                .attempts_total = (unsigned) numbers[4],
                .challenge_ttl = numbers[5],
                .mailbox_ttl = numbers[6],
                .minimum_authentic = (RulesAuthentic) numbers[7] };
}

/* rules is the caller's buffer: bound without a copy. */
static void share_bind(sqlite3_stmt *stmt, const Share *share, int64_t rules[RULES_NUMBERS]) {
        const int64_t numbers[] = { share->version,
                share->due,
                share->created,
                share->expires,
                share->mailbox_expires,
                share->ended,
                share->attempts.left,
                share->attempts.total_left,
                share->attempts.mistyped_left,
                share->attempts.not_before,
                share->generation,
                share->step,
                share->messages,
                share->resends,
                share->answers,
                share->flags };

        bind_number(stmt, 1, share->n);
        bind_text(stmt, 2, share->tenant);
        bind_text(stmt, 3, share->policy);
        bind_text(stmt, 4, lifecycle_state_name(share->state));
        bind_text(stmt, 5, lifecycle_state_name(share->goal));
        bind_text(stmt, 6, lifecycle_cause_name(share->cause));
        for (int i = 0; i < (int) N_ELEMENTS(numbers); i++)
                bind_number(stmt, 7 + i, numbers[i]);
        if (share->due == 0)
                (void) sqlite3_bind_null(stmt, 8);
        rules_write(&share->rules, rules);
        bind_blob(stmt, 23, rules, RULES_NUMBERS * sizeof(int64_t));
        bind_blob(stmt,
                        24,
                        share->attempts.n_wrong ? share->attempts.wrong : NULL,
                        (size_t) share->attempts.n_wrong * ATTEMPTS_TRACE_SIZE);
        bind_blob(stmt, 25, share->key, VAULT_WRAPPED_SIZE);
        bind_blob(stmt, 26, share->code, VAULT_VERIFIER_SIZE);
        bind_blob(stmt, 27, share->idempotency, VAULT_INDEX_SIZE);
        bind_blob(stmt, 28, share->reference, share->reference_size);
        bind_blob(stmt, 29, share->mailbox, share->mailbox_size);
        bind_blob(stmt,
                        30,
                        share->n_addresses ? share->addresses : NULL,
                        (size_t) share->n_addresses * VAULT_INDEX_SIZE);
        bind_blob(stmt, 31, share->timeline, (size_t) share->n_timeline * sizeof(TimelineEntry));
        bind_number(stmt, 32, share->repeats);
        bind_text(stmt, 33, share->relay);
}

/* Reads an array of fixed elements out of a blob column; returns how many there were, at most max.
 */
static int column_array(sqlite3_stmt *stmt, int i, void *ret, size_t element, int max) {
        const void *data = sqlite3_column_blob(stmt, i);
        int n = (int) ((size_t) sqlite3_column_bytes(stmt, i) / element);

        if (n > max)
                n = max;
        if (n > 0)
                memcpy(ret, data, (size_t) n * element);
        return n;
}

/* A blob that is absent or has exactly this size. */
static int column_fixed(sqlite3_stmt *stmt, int i, uint8_t **ret, size_t size) {
        size_t found;
        int r;

        r = column_blob(stmt, i, ret, &found);
        if (r < 0)
                return r;
        return *ret && found != size ? -EBADMSG : 0;
}

static void share_read_numbers(sqlite3_stmt *stmt, Share *share) {
        share->n = sqlite3_column_int64(stmt, 0);
        share->version = sqlite3_column_int64(stmt, 6);
        share->due = sqlite3_column_int64(stmt, 7);
        share->created = sqlite3_column_int64(stmt, 8);
        share->expires = sqlite3_column_int64(stmt, 9);
        share->mailbox_expires = sqlite3_column_int64(stmt, 10);
        share->ended = sqlite3_column_int64(stmt, 11);
        share->attempts.left = (uint8_t) column_int(stmt, 12);
        share->attempts.total_left = (uint8_t) column_int(stmt, 13);
        share->attempts.mistyped_left = (uint8_t) column_int(stmt, 14);
        share->attempts.not_before = sqlite3_column_int64(stmt, 15);
        share->generation = column_int(stmt, 16);
        share->step = column_int(stmt, 17);
        share->messages = column_int(stmt, 18);
        share->resends = column_int(stmt, 19);
        share->answers = column_int(stmt, 20);
        share->flags = column_int(stmt, 21);
        share->repeats = column_int(stmt, 31);
}

static int share_read_blobs(sqlite3_stmt *stmt, Share *share) {
        int64_t rules[RULES_NUMBERS];
        int r;

        if (column_array(stmt, 22, rules, sizeof(rules), 1) != 1)
                return -EBADMSG;
        rules_read(rules, &share->rules);
        share->attempts.n_wrong = (uint8_t) column_array(
                        stmt, 23, share->attempts.wrong, ATTEMPTS_TRACE_SIZE, ATTEMPTS_TOTAL_MAX);
        share->n_addresses = column_array(
                        stmt, 29, share->addresses, VAULT_INDEX_SIZE, SHARE_ADDRESSES_MAX);
        share->n_timeline = column_array(
                        stmt, 30, share->timeline, sizeof(TimelineEntry), SHARE_TIMELINE_MAX);

        r = column_text(stmt, 1, &share->tenant);
        if (r >= 0)
                r = column_text(stmt, 2, &share->policy);
        if (r >= 0 && sqlite3_column_type(stmt, 32) != SQLITE_NULL)
                r = column_text(stmt, 32, &share->relay);
        if (r >= 0)
                r = column_fixed(stmt, 24, &share->key, VAULT_WRAPPED_SIZE);
        if (r >= 0)
                r = column_fixed(stmt, 25, &share->code, VAULT_VERIFIER_SIZE);
        if (r >= 0)
                r = column_fixed(stmt, 26, &share->idempotency, VAULT_INDEX_SIZE);
        if (r >= 0)
                r = column_blob(stmt, 27, &share->reference, &share->reference_size);
        if (r >= 0)
                r = column_blob(stmt, 28, &share->mailbox, &share->mailbox_size);
        return r;
}

static int share_read(sqlite3_stmt *stmt, Share *share) {
        int r;

        memset(share, 0, sizeof(*share));
        share->state = lifecycle_state_from_name((const char *) sqlite3_column_text(stmt, 3));
        share->goal = lifecycle_state_from_name((const char *) sqlite3_column_text(stmt, 4));
        share->cause = lifecycle_cause_from_name((const char *) sqlite3_column_text(stmt, 5));
        if (share->state == LIFECYCLE_STATE_MAX || share->cause == LIFECYCLE_CAUSE_MAX)
                return -EBADMSG;
        share_read_numbers(stmt, share);
        r = share_read_blobs(stmt, share);
        if (r < 0)
                share_done(share);
        return r;
}

int store_share_load(Store *s, int64_t n, Share *ret) {
        sqlite3_stmt *stmt = statement(s, SHARE_LOAD);
        int r, code;

        bind_number(stmt, 1, n);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                r = share_read(stmt, ret);
        else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : failed(s, "read a share");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_share_insert(Store *s, const Share *share) {
        sqlite3_stmt *stmt = statement(s, SHARE_INSERT);
        int64_t rules[RULES_NUMBERS];
        int r;

        share_bind(stmt, share, rules);
        r = run(s, stmt);
        if (r >= 0 && share->n > s->last)
                s->last = share->n;
        return r;
}

int store_share_update(Store *s, const Share *share) {
        sqlite3_stmt *stmt = statement(s, SHARE_UPDATE);
        int64_t rules[RULES_NUMBERS];

        share_bind(stmt, share, rules);
        return run(s, stmt);
}

int store_share_spend(Store *s, int64_t n) {
        return run_numbered(s, SHARE_SPEND, n);
}

int store_share_remove(Store *s, const Share *share) {
        static const Statement numbered[] = { SHARE_REMOVE, REFERENCE_REMOVE, CONTENT_REMOVE };
        int r;

        for (int i = 0; i < share->n_addresses; i++) {
                r = store_address_remove(s, share->addresses[i], share->n);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < N_ELEMENTS(numbered); i++) {
                r = run_numbered(s, numbered[i], share->n);
                if (r < 0)
                        return r;
        }
        r = store_message_remove_all(s, share->n, false);
        if (r < 0)
                return r;
        return store_outbox_remove_all(s, share->n, false);
}

int64_t store_last(const Store *s) {
        return s->last;
}

/* Calls seen() for the first column of each row; a positive answer ends the walk. */
static int each_number(Store *s, sqlite3_stmt *stmt, StoreShareSeen seen, void *userdata) {
        int code, r = 0;

        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                if (code != SQLITE_ROW)
                        r = failed(s, "list");
                else
                        r = seen(sqlite3_column_int64(stmt, 0), userdata);
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

int store_due(Store *s, int64_t now, int limit, StoreShareSeen seen, void *userdata) {
        sqlite3_stmt *stmt = statement(s, SHARE_DUE);

        bind_number(stmt, 1, now);
        bind_number(stmt, 2, limit);
        return each_number(s, stmt, seen, userdata);
}

int64_t store_next_due(Store *s) {
        sqlite3_stmt *stmt = statement(s, SHARE_NEXT_DUE);
        int64_t due = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;

        (void) sqlite3_reset(stmt);
        return due;
}

static int each_listed(Store *s, sqlite3_stmt *stmt, StoreListSeen seen, void *userdata) {
        int code, r = 0;

        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                if (code != SQLITE_ROW)
                        r = failed(s, "list");
                else
                        r = seen(sqlite3_column_int64(stmt, 0),
                                        lifecycle_state_from_name((
                                                        const char *) sqlite3_column_text(stmt, 1)),
                                        userdata);
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

int store_list(Store *s,
                const char *tenant,
                int64_t before,
                int limit,
                StoreListSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = statement(s, tenant ? SHARE_LIST : SHARE_LIST_ALL);

        if (tenant)
                bind_text(stmt, 1, tenant);
        bind_number(stmt, 2, before);
        bind_number(stmt, 3, limit);
        return each_listed(s, stmt, seen, userdata);
}

int store_list_reference(Store *s,
                const uint8_t reference[VAULT_INDEX_SIZE],
                int64_t before,
                int limit,
                StoreListSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = statement(s, REFERENCE_LIST);

        bind_blob(stmt, 1, reference, VAULT_INDEX_SIZE);
        bind_number(stmt, 2, before);
        bind_number(stmt, 3, limit);
        return each_listed(s, stmt, seen, userdata);
}

int store_reference_put(Store *s, const uint8_t reference[VAULT_INDEX_SIZE], int64_t n) {
        return run_indexed(s, REFERENCE_PUT, reference, n);
}

/* --- content --- */

int store_content_put(Store *s,
                int64_t n,
                const uint8_t *details,
                size_t details_size,
                const uint8_t *payload,
                size_t payload_size) {
        sqlite3_stmt *stmt = statement(s, CONTENT_PUT);

        bind_number(stmt, 1, n);
        bind_blob(stmt, 2, details, details_size);
        bind_blob(stmt, 3, payload, payload_size);
        return run(s, stmt);
}

static int content_get(Store *s, Statement which, int64_t n, uint8_t **ret, size_t *ret_size) {
        sqlite3_stmt *stmt = statement(s, which);
        int code, r;

        bind_number(stmt, 1, n);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                r = column_blob(stmt, 0, ret, ret_size);
                if (r >= 0 && !*ret)
                        r = STORE_E_NOT_FOUND;
        } else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : failed(s, "read a share's content");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_details_get(Store *s, int64_t n, uint8_t **ret, size_t *ret_size) {
        return content_get(s, DETAILS_GET, n, ret, ret_size);
}

int store_payload_get(Store *s, int64_t n, uint8_t **ret, size_t *ret_size) {
        return content_get(s, PAYLOAD_GET, n, ret, ret_size);
}

int store_payload_wipe(Store *s, int64_t n) {
        return run_numbered(s, PAYLOAD_WIPE, n);
}

int store_content_remove(Store *s, int64_t n) {
        return run_numbered(s, CONTENT_REMOVE, n);
}

/* --- messages --- */

int store_message_put(Store *s,
                int64_t n,
                int part,
                OutboxKind kind,
                int step,
                const uint8_t *body,
                size_t size) {
        sqlite3_stmt *stmt = statement(s, MESSAGE_PUT);

        bind_number(stmt, 1, n);
        bind_number(stmt, 2, part);
        bind_number(stmt, 3, kind);
        bind_blob(stmt, 4, body, size);
        bind_number(stmt, 5, step);
        return run(s, stmt);
}

int store_message_get(Store *s,
                int64_t n,
                int part,
                OutboxKind *ret_kind,
                int *ret_step,
                uint8_t **ret,
                size_t *ret_size) {
        sqlite3_stmt *stmt = statement(s, MESSAGE_GET);
        int code, r;

        bind_number(stmt, 1, n);
        bind_number(stmt, 2, part);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                *ret_kind = (OutboxKind) column_int(stmt, 0);
                *ret_step = column_int(stmt, 2);
                r = column_blob(stmt, 1, ret, ret_size);
        } else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : failed(s, "read a message");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_message_remove(Store *s, int64_t n, int part) {
        return run_pair(s, MESSAGE_REMOVE, n, part);
}

int store_message_remove_all(Store *s, int64_t n, bool keep_notices) {
        return run_pair(s, MESSAGE_REMOVE_ALL, n, keep_notices);
}

int store_message_find(Store *s, int64_t n, OutboxKind kind, int *ret_part) {
        sqlite3_stmt *stmt = statement(s, MESSAGE_FIND);
        int code, r = STORE_E_NOT_FOUND;

        bind_number(stmt, 1, n);
        bind_number(stmt, 2, kind);
        code = sqlite3_step(stmt);
        if (code != SQLITE_ROW)
                r = failed(s, "find a message");
        else if (sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
                *ret_part = column_int(stmt, 0);
                r = 0;
        }
        (void) sqlite3_reset(stmt);
        return r;
}

/* --- outbox --- */

static void outbox_bind(sqlite3_stmt *stmt, const OutboxRow *row) {
        bind_number(stmt, 1, row->share);
        bind_number(stmt, 2, row->part);
        bind_number(stmt, 3, row->kind);
        bind_text(stmt, 4, row->lane);
        bind_number(stmt, 5, row->attempts);
        bind_number(stmt, 6, row->dead);
        bind_text(stmt, 7, row->reason);
}

static void outbox_read(sqlite3_stmt *stmt, OutboxRow *row) {
        const char *lane = (const char *) sqlite3_column_text(stmt, 3);
        const char *reason = (const char *) sqlite3_column_text(stmt, 6);

        *row = (OutboxRow){ .share = sqlite3_column_int64(stmt, 0),
                .part = column_int(stmt, 1),
                .kind = (OutboxKind) column_int(stmt, 2),
                .attempts = column_int(stmt, 4),
                .dead = column_int(stmt, 5) };
        (void) snprintf(row->lane, sizeof(row->lane), "%s", lane ? lane : "");
        (void) snprintf(row->reason, sizeof(row->reason), "%s", reason ? reason : "");
}

int store_outbox_put(Store *s, const OutboxRow *row) {
        sqlite3_stmt *stmt = statement(s, OUTBOX_PUT);

        outbox_bind(stmt, row);
        return run(s, stmt);
}

int store_outbox_get(Store *s, int64_t n, int part, OutboxRow *ret) {
        sqlite3_stmt *stmt = statement(s, OUTBOX_GET);
        int code, r = 0;

        bind_number(stmt, 1, n);
        bind_number(stmt, 2, part);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                outbox_read(stmt, ret);
        else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : failed(s, "read the outbox");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_outbox_attempt(Store *s, const OutboxRow *row) {
        sqlite3_stmt *stmt = statement(s, OUTBOX_ATTEMPT);

        outbox_bind(stmt, row);
        return run(s, stmt);
}

int store_outbox_remove(Store *s, int64_t n, int part) {
        return run_pair(s, OUTBOX_REMOVE, n, part);
}

int store_outbox_drop(Store *s, int64_t n, bool *ret_creating) {
        sqlite3_stmt *stmt;
        int code, r;

        r = run_numbered(s, OUTBOX_DROP, n);
        if (r < 0)
                return r;
        stmt = statement(s, OUTBOX_CREATING);
        bind_number(stmt, 1, n);
        code = sqlite3_step(stmt);
        (void) sqlite3_reset(stmt);
        *ret_creating = code == SQLITE_ROW;
        return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : failed(s, "read the outbox");
}

int store_outbox_remove_all(Store *s, int64_t n, bool keep_notices) {
        return run_pair(s, OUTBOX_REMOVE_ALL, n, keep_notices);
}

int store_outbox_each(Store *s, bool dead, StoreOutboxSeen seen, void *userdata) {
        sqlite3_stmt *stmt = statement(s, OUTBOX_EACH);
        int code, r = 0;

        bind_number(stmt, 1, dead);
        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                OutboxRow row;

                if (code != SQLITE_ROW) {
                        r = failed(s, "read the outbox");
                        break;
                }
                outbox_read(stmt, &row);
                r = seen(&row, userdata);
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

/* --- what must not be confused or repeated --- */

int store_address_put(Store *s, const uint8_t address[VAULT_INDEX_SIZE], int64_t n) {
        return run_indexed(s, ADDRESS_PUT, address, n);
}

int store_address_end(Store *s, const uint8_t address[VAULT_INDEX_SIZE], int64_t n) {
        int r;

        r = store_address_remove(s, address, n);
        return r < 0 ? r : run_indexed(s, ADDRESS_END, address, n);
}

int store_address_remove(Store *s, const uint8_t address[VAULT_INDEX_SIZE], int64_t n) {
        return run_indexed(s, ADDRESS_REMOVE, address, n);
}

int store_address_each(Store *s,
                const uint8_t address[VAULT_INDEX_SIZE],
                bool ended,
                int limit,
                StoreShareSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = statement(s, ADDRESS_EACH);

        bind_blob(stmt, 1, address, VAULT_INDEX_SIZE);
        bind_number(stmt, 2, limit);
        bind_number(stmt, 3, ended);
        return each_number(s, stmt, seen, userdata);
}

int store_seen_has(Store *s, const uint8_t key[VAULT_INDEX_SIZE]) {
        sqlite3_stmt *stmt = statement(s, SEEN_HAS);
        int code;

        bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        code = sqlite3_step(stmt);
        (void) sqlite3_reset(stmt);
        if (code == SQLITE_ROW)
                return STORE_E_EXISTS;
        return code == SQLITE_DONE ? 0 : failed(s, "look for what was seen");
}

int store_seen_add(Store *s, const uint8_t key[VAULT_INDEX_SIZE], int64_t expires) {
        int before = sqlite3_total_changes(s->db), r;

        r = run_indexed(s, SEEN_ADD, key, expires);
        if (r < 0)
                return r;
        return sqlite3_total_changes(s->db) == before ? STORE_E_EXISTS : 0;
}

int store_block_put(Store *s, const uint8_t pair[VAULT_INDEX_SIZE], int64_t expires) {
        return run_indexed(s, BLOCK_PUT, pair, expires);
}

int store_block_has(Store *s, const uint8_t pair[VAULT_INDEX_SIZE], int64_t now) {
        sqlite3_stmt *stmt = statement(s, BLOCK_HAS);
        int code;

        bind_blob(stmt, 1, pair, VAULT_INDEX_SIZE);
        bind_number(stmt, 2, now);
        code = sqlite3_step(stmt);
        (void) sqlite3_reset(stmt);
        if (code == SQLITE_ROW)
                return STORE_E_EXISTS;
        return code == SQLITE_DONE ? 0 : failed(s, "look for a block");
}

int store_answer_put(Store *s,
                const uint8_t key[VAULT_INDEX_SIZE],
                const StoreAnswer *answer,
                int64_t expires) {
        sqlite3_stmt *stmt = statement(s, ANSWER_PUT);

        bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        bind_number(stmt, 2, answer->share);
        bind_number(stmt, 3, answer->status);
        bind_blob(stmt, 4, answer->digest, sizeof(answer->digest));
        bind_blob(stmt, 5, answer->answer, answer->answer_size);
        bind_number(stmt, 6, expires);
        return run(s, stmt);
}

int store_answer_get(Store *s, const uint8_t key[VAULT_INDEX_SIZE], int64_t now, StoreAnswer *ret) {
        sqlite3_stmt *stmt = statement(s, ANSWER_GET);
        int code, r;

        bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        bind_number(stmt, 2, now);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                ret->share = sqlite3_column_int64(stmt, 0);
                ret->status = column_int(stmt, 1);
                (void) column_array(stmt, 2, ret->digest, sizeof(ret->digest), 1);
                r = column_blob(stmt, 3, &ret->answer, &ret->answer_size);
        } else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : failed(s, "read an answer");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_answer_wipe(Store *s, const uint8_t key[VAULT_INDEX_SIZE]) {
        sqlite3_stmt *stmt = statement(s, ANSWER_WIPE);

        bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        return run(s, stmt);
}

int store_sweep(Store *s, int64_t now, int limit) {
        static const Statement sweeps[] = { SWEEP_SEEN, SWEEP_BLOCK, SWEEP_ANSWER };
        int r;

        for (size_t i = 0; i < N_ELEMENTS(sweeps); i++) {
                r = run_pair(s, sweeps[i], now, limit);
                if (r < 0)
                        return r;
        }
        return 0;
}

int store_time_put(Store *s, int64_t now) {
        return run_numbered(s, TIME_PUT, now);
}

/* --- transactions and checkpoints --- */

int store_begin(Store *s) {
        return run(s, statement(s, BEGIN));
}

int store_commit(Store *s) {
        int r;

        r = run(s, statement(s, COMMIT));
        if (r < 0 && !sqlite3_get_autocommit(s->db))
                store_rollback(s);
        if (r >= 0 && s->wal_pages - s->wal_seen >= CHECKPOINT_PAGES) {
                s->wal_seen = s->wal_pages;
                (void) pthread_mutex_lock(&s->mutex);
                s->wanted = true;
                (void) pthread_cond_signal(&s->condition);
                (void) pthread_mutex_unlock(&s->mutex);
        }
        return r;
}

void store_rollback(Store *s) {
        if (!sqlite3_get_autocommit(s->db))
                (void) run(s, statement(s, ROLLBACK));
}

int store_mark(Store *s) {
        return run(s, statement(s, MARK));
}

int store_release(Store *s) {
        return run(s, statement(s, RELEASE));
}

int store_return(Store *s) {
        int r;

        r = run(s, statement(s, RETURN));
        if (r < 0)
                return r;
        return store_release(s);
}

bool store_needs_restart(const Store *s) {
        return s->wal_pages >= RESTART_PAGES;
}

int store_checkpoint(Store *s, bool truncate) {
        int code;

        /* The helper may be at it: then the loop does not wait, but comes again. */
        (void) sqlite3_busy_timeout(s->db, 0);
        code = sqlite3_wal_checkpoint_v2(s->db,
                        NULL,
                        truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART,
                        NULL,
                        NULL);
        (void) sqlite3_busy_timeout(s->db, BUSY_MSEC);
        if (code == SQLITE_BUSY)
                return -EBUSY;
        if (code != SQLITE_OK)
                return failed(s, "write its log back");
        s->wal_pages = s->wal_seen = 0;
        return 0;
}

static int on_wal(void *userdata, sqlite3 *db, const char *name, int pages) {
        Store *s = userdata;

        (void) db;
        (void) name;
        if (pages < s->wal_pages) /* the log was restarted: what was seen of it is gone */
                s->wal_seen = 0;
        s->wal_pages = pages;
        return SQLITE_OK;
}

static void *helper_run(void *userdata) {
        Store *s = userdata;

        (void) pthread_mutex_lock(&s->mutex);
        for (;;) {
                while (!s->wanted && !s->ending)
                        (void) pthread_cond_wait(&s->condition, &s->mutex);
                if (s->ending)
                        break;
                s->wanted = false;
                (void) pthread_mutex_unlock(&s->mutex);
                (void) sqlite3_wal_checkpoint_v2(
                                s->helper_db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
                (void) pthread_mutex_lock(&s->mutex);
        }
        (void) pthread_mutex_unlock(&s->mutex);
        return NULL;
}

/* --- opening and closing --- */

static int execute(Store *s, const char *text) {
        return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                        : failed(s, "be prepared");
}

/* The first number that a query gives; -1: none, or it failed. */
static int64_t query_number(Store *s, const char *text) {
        sqlite3_stmt *stmt = NULL;
        int64_t value = -1;

        if (sqlite3_prepare_v2(s->db, text, -1, &stmt, NULL) == SQLITE_OK &&
                        sqlite3_step(stmt) == SQLITE_ROW)
                value = sqlite3_column_int64(stmt, 0);
        (void) sqlite3_finalize(stmt);
        return value;
}

static int migrate(Store *s) {
        int64_t version = query_number(s, "PRAGMA user_version");
        int r;

        if (version == SCHEMA_VERSION)
                return 0;
        if (version < 0)
                return failed(s, "be read");
        if (version > SCHEMA_VERSION)
                return STORE_E_NEWER;

        r = execute(s, "BEGIN IMMEDIATE");
        if (r < 0)
                return r;
        r = execute(s, schema);
        if (r < 0)
                return r;
        return execute(s, "COMMIT");
}

static int prepare(Store *s) {
        for (int i = 0; i < _STATEMENT_MAX; i++)
                if (sqlite3_prepare_v3(s->db,
                                    sql[i],
                                    -1,
                                    SQLITE_PREPARE_PERSISTENT,
                                    &s->statements[i],
                                    NULL) != SQLITE_OK)
                        return failed(s, "be prepared");
        return 0;
}

/* Writes the key-check value into a new store, compares it in an old one. */
static int check_key(Store *s, const uint8_t check[VAULT_CHECK_SIZE]) {
        sqlite3_stmt *stmt = NULL;
        int r = 0;

        if (sqlite3_prepare_v2(s->db,
                            "SELECT value FROM meta WHERE name = 'check'",
                            -1,
                            &stmt,
                            NULL) != SQLITE_OK)
                return failed(s, "be read");
        if (sqlite3_step(stmt) == SQLITE_ROW) {
                if (sqlite3_column_bytes(stmt, 0) != VAULT_CHECK_SIZE ||
                                sodium_memcmp(sqlite3_column_blob(stmt, 0),
                                                check,
                                                VAULT_CHECK_SIZE) != 0)
                        r = STORE_E_OTHER_KEY;
                (void) sqlite3_finalize(stmt);
                return r;
        }
        (void) sqlite3_finalize(stmt);

        if (sqlite3_prepare_v2(s->db, "INSERT INTO meta VALUES ('check', ?1)", -1, &stmt, NULL) !=
                        SQLITE_OK)
                return failed(s, "be prepared");
        bind_blob(stmt, 1, check, VAULT_CHECK_SIZE);
        r = sqlite3_step(stmt) == SQLITE_DONE ? 0 : failed(s, "be prepared");
        (void) sqlite3_finalize(stmt);
        return r;
}

static int lock_directory(Store *s, const char *directory) {
        char path[4096];

        if ((size_t) snprintf(path, sizeof(path), "%s/lock", directory) >= sizeof(path))
                return -ENAMETOOLONG;
        s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (s->lock < 0)
                return -errno;
        if (flock(s->lock, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? STORE_E_IN_USE : -errno;
        return 0;
}

static int open_database(const char *directory, sqlite3 **ret) {
        char path[4096];

        if ((size_t) snprintf(path, sizeof(path), "%s/vestibule.sqlite", directory) >= sizeof(path))
                return -ENAMETOOLONG;
        if (sqlite3_open_v2(path,
                            ret,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK)
                return -EIO;
        (void) sqlite3_busy_timeout(*ret, BUSY_MSEC);
        return 0;
}

/* The helper takes no signals: they belong to the loop. */
static int start_thread(Store *s) {
        sigset_t all, before;
        int r;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&s->helper, NULL, helper_run, s);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;
        s->has_helper = true;
        return 0;
}

static int start_helper(Store *s, const char *directory) {
        int r;

        r = open_database(directory, &s->helper_db);
        if (r < 0)
                return r;
        if (sqlite3_exec(s->helper_db,
                            "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0",
                            NULL,
                            NULL,
                            NULL) != SQLITE_OK)
                return -EIO;
        return start_thread(s);
}

/* Each command is a savepoint, before which each page that it touches is set aside. In memory that
 * SQLite spills when there is much of it that is one piece; under temp_store=MEMORY it would be
 * pieces of 1 KiB, which cost a seventh of the gateway's time. Statistics cost a lock for each
 * piece. Refused, and not needed again, when SQLite runs already. */
static void configure_sqlite(void) {
        (void) sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, SPILL_BYTES);
        (void) sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int store_open(Store **ret,
                const char *directory,
                const uint8_t check[VAULT_CHECK_SIZE],
                int64_t *ret_time) {
        static const char settings[] =
                        "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                        "PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=ON;"
                        "PRAGMA cache_size=-65536;"
                        "PRAGMA trusted_schema=OFF";
        _cleanup_(store_closep) Store *s = NULL;
        mode_t mask;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->lock = -1;
        (void) pthread_mutex_init(&s->mutex, NULL);
        (void) pthread_cond_init(&s->condition, NULL);

        configure_sqlite();
        r = lock_directory(s, directory);
        if (r != 0)
                return r;
        mask = umask(0077);
        r = open_database(directory, &s->db);
        if (r >= 0)
                r = execute(s, settings);
        (void) umask(mask);
        if (r < 0)
                return r;
        r = migrate(s);
        if (r != 0)
                return r;
        r = check_key(s, check);
        if (r != 0)
                return r;
        r = prepare(s);
        if (r < 0)
                return r;
        (void) sqlite3_wal_hook(s->db, on_wal, s);
        s->last = query_number(s, "SELECT max(n) FROM share");
        if (s->last < 0)
                s->last = 0;
        *ret_time = query_number(s, "SELECT value FROM meta WHERE name = 'time'");
        if (*ret_time < 0)
                *ret_time = 0;
        r = start_helper(s, directory);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

Store *store_close(Store *s) {
        if (!s)
                return NULL;
        if (s->has_helper) {
                (void) pthread_mutex_lock(&s->mutex);
                s->ending = true;
                (void) pthread_cond_signal(&s->condition);
                (void) pthread_mutex_unlock(&s->mutex);
                (void) pthread_join(s->helper, NULL);
        }
        (void) sqlite3_close(s->helper_db);
        if (s->db) {
                store_rollback(s);
                for (int i = 0; i < _STATEMENT_MAX; i++)
                        (void) sqlite3_finalize(s->statements[i]);
                (void) sqlite3_close(s->db);
        }
        (void) pthread_mutex_destroy(&s->mutex);
        (void) pthread_cond_destroy(&s->condition);
        (void) close_fd(s->lock);
        free(s);
        return NULL;
}
