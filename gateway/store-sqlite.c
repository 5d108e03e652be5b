/* store.h on SQLite: WAL, synchronous=FULL, one connection for the loop and one for the checkpoint.
 * Here the store is opened and closed; store-sqlite-internal.h says where the rest is.
 *
 * The schema follows what was measured: small share rows with their content elsewhere; a nullable
 * `due` with an index only over rows that have one, since an index on state would be rewritten at
 * each step; numbers that grow with time, so that inserts and sweeps stay local. */
#include "store-sqlite-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "log.h"

enum {
        SCHEMA_VERSION = 7,
        SPILL_BYTES = 4 * 1024 * 1024,
};

/* What makes each version of the one before it; a new store runs them all. */
static const char *const schema[SCHEMA_VERSION] = {
        [0] = "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
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
              "PRAGMA user_version = 1;",
        [1] = "CREATE TABLE transfer (share INTEGER PRIMARY KEY, lane TEXT NOT NULL, progress "
              "INTEGER NOT NULL,"
              " count INTEGER NOT NULL, polls INTEGER NOT NULL, polling INTEGER NOT NULL, turn "
              "INTEGER NOT NULL, known BLOB,"
              " frame BLOB NOT NULL, state BLOB);"
              "CREATE TABLE transfer_message (share INTEGER, number INTEGER, sender INTEGER NOT "
              "NULL,"
              " state INTEGER NOT NULL, at INTEGER NOT NULL, digest BLOB, body BLOB,"
              " PRIMARY KEY (share, number)) WITHOUT ROWID;"
              "PRAGMA user_version = 2;",
        /* Rows of one tenant lie together and grow at the end; no other index, as each change of a
         * share writes here. */
        [2] = "CREATE TABLE event (tenant TEXT, sequence INTEGER, share INTEGER NOT NULL, version "
              "INTEGER NOT NULL,"
              " at INTEGER NOT NULL, event INTEGER NOT NULL, detail INTEGER NOT NULL, state "
              "TEXT NOT NULL,"
              " PRIMARY KEY (tenant, sequence)) WITHOUT ROWID;"
              "PRAGMA user_version = 3;",
        [3] = "ALTER TABLE block ADD COLUMN since INTEGER NOT NULL DEFAULT 0;"
              "ALTER TABLE block ADD COLUMN note BLOB;"
              "PRAGMA user_version = 4;",
        [4] = "ALTER TABLE share ADD COLUMN progress BLOB;"
              "ALTER TABLE share ADD COLUMN held BLOB;"
              "ALTER TABLE share ADD COLUMN approval BLOB;"
              "PRAGMA user_version = 5;",
        /* Few rows have a note: those of limits that were reached. */
        [5] = "CREATE TABLE counter (key BLOB PRIMARY KEY, value BLOB NOT NULL, note BLOB) WITHOUT "
              "ROWID;"
              "CREATE INDEX counter_noted ON counter (key) WHERE note IS NOT NULL;"
              "PRAGMA user_version = 6;",
        [6] = "CREATE TABLE audit (number INTEGER NOT NULL, checkpoint INTEGER NOT NULL, at "
              "INTEGER NOT "
              "NULL, text TEXT NOT NULL, before BLOB, hash BLOB, mac BLOB, PRIMARY KEY (number, "
              "checkpoint)) WITHOUT ROWID;"
              "CREATE TABLE audit_key (month INTEGER PRIMARY KEY, key BLOB NOT NULL);"
              "PRAGMA user_version = 7;",
};

static int execute(Store *s, const char *text) {
        return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK
                               ? 0
                               : sql_failed(s, "be prepared");
}

/* The one number that a query gives, zero if there is none. What cannot be read must not pass for
 * zero: numbers would be given out again, and time would go back. */
static int query_number(Store *s, const char *text, int64_t *ret) {
        sqlite3_stmt *stmt = NULL;
        int code, type, r = 0;

        *ret = 0;
        code = sqlite3_prepare_v2(s->db, text, -1, &stmt, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                type = sqlite3_column_type(stmt, 0);
                *ret = sqlite3_column_int64(stmt, 0);
                if (type != SQLITE_NULL && (type != SQLITE_INTEGER || *ret < 0)) {
                        log_error("The store holds a number that this program never wrote.");
                        r = -EBADMSG;
                }
        } else if (code != SQLITE_DONE)
                r = sql_failed(s, "be read");
        (void) sqlite3_finalize(stmt);
        return r;
}

static int migrate(Store *s) {
        int64_t version;
        int r;

        r = query_number(s, "PRAGMA user_version", &version);
        if (r < 0 || version == SCHEMA_VERSION)
                return r;
        if (version > SCHEMA_VERSION)
                return STORE_E_NEWER;

        r = execute(s, "BEGIN IMMEDIATE");
        for (int64_t i = version; r >= 0 && i < SCHEMA_VERSION; i++)
                r = execute(s, schema[i]);
        return r < 0 ? r : execute(s, "COMMIT");
}

/* Writes the key-check value into a new store, compares it in an old one. */
static int check_key(Store *s, const uint8_t check[VAULT_CHECK_SIZE]) {
        sqlite3_stmt *stmt = NULL;
        int code, r = 0;

        if (sqlite3_prepare_v2(s->db,
                            "SELECT value FROM meta WHERE name = 'check'",
                            -1,
                            &stmt,
                            NULL) != SQLITE_OK)
                return sql_failed(s, "be read");
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                if (sqlite3_column_bytes(stmt, 0) != VAULT_CHECK_SIZE ||
                                sodium_memcmp(sqlite3_column_blob(stmt, 0),
                                                check,
                                                VAULT_CHECK_SIZE) != 0)
                        r = STORE_E_OTHER_KEY;
        } else if (code != SQLITE_DONE)
                r = sql_failed(s, "be read");
        (void) sqlite3_finalize(stmt);
        if (code != SQLITE_DONE)
                return r;

        if (sqlite3_prepare_v2(s->db, "INSERT INTO meta VALUES ('check', ?1)", -1, &stmt, NULL) !=
                        SQLITE_OK)
                return sql_failed(s, "be prepared");
        sql_bind_blob(stmt, 1, check, VAULT_CHECK_SIZE);
        r = sqlite3_step(stmt) == SQLITE_DONE ? 0 : sql_failed(s, "be prepared");
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
        (void) sqlite3_busy_timeout(*ret, STORE_BUSY_MSEC);
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
        return store_helper_start(s);
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
                        "PRAGMA cache_size=-16384;"
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
        r = sql_prepare(s);
        if (r < 0)
                return r;
        r = query_number(s, "SELECT max(n) FROM share", &s->last);
        if (r >= 0)
                r = query_number(s, "SELECT value FROM meta WHERE name = 'time'", ret_time);
        if (r >= 0)
                r = start_helper(s, directory);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

Store *store_close(Store *s) {
        if (!s)
                return NULL;
        store_helper_end(s);
        (void) sqlite3_close(s->helper_db);
        if (s->db) {
                store_rollback(s);
                for (int i = 0; i < _SQL_MAX; i++)
                        (void) sqlite3_finalize(s->statements[i]);
                (void) sqlite3_close(s->db);
        }
        sql_events_free(s);
        (void) pthread_mutex_destroy(&s->mutex);
        (void) pthread_cond_destroy(&s->condition);
        (void) close_fd(s->lock);
        free(s);
        return NULL;
}
