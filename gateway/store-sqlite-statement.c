/* Every statement that the store on SQLite ever runs, prepared once, and what all of its files
 * bind, run and read them with. */
#include "store-sqlite-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define SHARE_COLUMNS                                                                              \
        "n, tenant, policy, state, goal, cause, version, due, created, expires, mailbox_expires, " \
        "ended, attempts_left, attempts_total_left, mistyped_left, not_before, generation, step, " \
        "messages, resends, answers, flags, rules, wrong, key, code, idempotency, reference, "     \
        "mailbox, addresses, timeline, repeats, relay, progress, held, approval"

/* clang-format off */
static const char *const sql[_SQL_MAX] = {
        [SQL_BEGIN]              = "BEGIN IMMEDIATE",
        [SQL_COMMIT]             = "COMMIT",
        [SQL_ROLLBACK]           = "ROLLBACK",
        [SQL_MARK]               = "SAVEPOINT mark",
        [SQL_RELEASE]            = "RELEASE mark",
        [SQL_RETURN]             = "ROLLBACK TO mark",
        [SQL_SHARE_LOAD]         = "SELECT " SHARE_COLUMNS " FROM share WHERE n = ?1",
        [SQL_SHARE_INSERT]       = "INSERT INTO share (" SHARE_COLUMNS ") VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,"
                                   "?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,?29,?30,?31,?32,?33,?34,?35,?36)",
        [SQL_SHARE_UPDATE]       = "UPDATE share SET state=?4, goal=?5, cause=?6, version=?7, due=?8, expires=?10, "
                                   "mailbox_expires=?11, ended=?12, attempts_left=?13, attempts_total_left=?14, "
                                   "mistyped_left=?15, not_before=?16, generation=?17, step=?18, messages=?19, resends=?20, "
                                   "answers=?21, flags=?22, rules=?23, wrong=?24, key=?25, code=?26, idempotency=?27, reference=?28, "
                                   "mailbox=?29, addresses=?30, timeline=?31, repeats=?32, relay=?33, progress=?34, held=?35, "
                                   "approval=?36 WHERE n = ?1",
        [SQL_SHARE_REMOVE]       = "DELETE FROM share WHERE n = ?1",
        [SQL_SHARE_SPEND]        = "UPDATE share SET attempts_left = max(attempts_left - 1, 0), "
                                   "attempts_total_left = max(attempts_total_left - 1, 0), "
                                   "approval = CASE WHEN state = 'awaiting_approval' THEN NULL ELSE approval END WHERE n = ?1",
        [SQL_SHARE_POSTPONE]     = "UPDATE share SET due = ?2 WHERE n = ?1",
        [SQL_SHARE_DUE]          = "SELECT n FROM share WHERE due IS NOT NULL AND due <= ?1 ORDER BY due LIMIT ?2",
        [SQL_SHARE_NEXT_DUE]     = "SELECT min(due) FROM share WHERE due IS NOT NULL",
        [SQL_SHARE_LIST]         = "SELECT n, state FROM share WHERE tenant = ?1 AND n < ?2 ORDER BY n DESC LIMIT ?3",
        [SQL_SHARE_LIST_ALL]     = "SELECT n, state FROM share WHERE n < ?2 ORDER BY n DESC LIMIT ?3",
        [SQL_REFERENCE_PUT]      = "INSERT OR IGNORE INTO reference VALUES (?1, ?2)",
        [SQL_REFERENCE_LIST]     = "SELECT share.n, share.state FROM reference JOIN share ON share.n = reference.n "
                                   "WHERE reference.reference = ?1 AND reference.n < ?2 ORDER BY reference.n DESC LIMIT ?3",
        [SQL_REFERENCE_REMOVE]   = "DELETE FROM reference WHERE n = ?1",
        [SQL_CONTENT_PUT]        = "INSERT INTO content VALUES (?1, ?2, ?3) ON CONFLICT (n) DO UPDATE SET details = ?2, "
                                   "payload = coalesce(?3, payload)",
        [SQL_DETAILS_GET]        = "SELECT details FROM content WHERE n = ?1",
        [SQL_PAYLOAD_GET]        = "SELECT payload FROM content WHERE n = ?1",
        [SQL_PAYLOAD_WIPE]       = "UPDATE content SET payload = NULL WHERE n = ?1",
        [SQL_CONTENT_REMOVE]     = "DELETE FROM content WHERE n = ?1",
        [SQL_MESSAGE_PUT]        = "INSERT OR REPLACE INTO message VALUES (?1, ?2, ?3, ?4, ?5)",
        [SQL_MESSAGE_GET]        = "SELECT kind, body, step FROM message WHERE share = ?1 AND part = ?2",
        [SQL_MESSAGE_REMOVE]     = "DELETE FROM message WHERE share = ?1 AND part = ?2",
        [SQL_MESSAGE_REMOVE_ALL] = "DELETE FROM message WHERE share = ?1 AND (kind NOT IN (3, 11) OR ?2 = 0)",
        [SQL_MESSAGE_FIND]       = "SELECT max(part) FROM message WHERE share = ?1 AND kind = ?2",
        [SQL_OUTBOX_PUT]         = "INSERT OR REPLACE INTO outbox VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [SQL_OUTBOX_GET]         = "SELECT share, part, kind, lane, attempts, dead, reason FROM outbox "
                                   "WHERE share = ?1 AND part = ?2",
        [SQL_OUTBOX_ATTEMPT]     = "UPDATE outbox SET attempts = ?5, dead = ?6, reason = ?7 WHERE share = ?1 AND part = ?2",
        [SQL_OUTBOX_REMOVE]      = "DELETE FROM outbox WHERE share = ?1 AND part = ?2",
        [SQL_OUTBOX_DROP]        = "DELETE FROM outbox WHERE share = ?1 AND kind NOT IN (3, 6, 11) AND "
                                   "NOT (kind = 4 AND attempts > 0)",
        [SQL_OUTBOX_CREATING]    = "SELECT 1 FROM outbox WHERE share = ?1 AND kind = 4",
        [SQL_OUTBOX_REMOVE_ALL]  = "DELETE FROM outbox WHERE share = ?1 AND (kind NOT IN (3, 11) OR ?2 = 0)",
        [SQL_OUTBOX_EACH]        = "SELECT share, part, kind, lane, attempts, dead, reason FROM outbox WHERE dead = ?1 "
                                   "ORDER BY share, part",
        [SQL_TRANSFER_PUT]       = "INSERT OR REPLACE INTO transfer VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        [SQL_TRANSFER_GET]       = "SELECT share, lane, progress, count, polls, polling, turn, known, frame, state "
                                   "FROM transfer WHERE share = ?1",
        [SQL_TRANSFER_REMOVE]    = "DELETE FROM transfer WHERE share = ?1",
        [SQL_TRANSFER_EACH]      = "SELECT share, lane, progress, count, polls, polling, turn FROM transfer WHERE polling = 1",
        [SQL_TRANSFER_MESSAGE_PUT]  = "INSERT OR REPLACE INTO transfer_message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [SQL_TRANSFER_MESSAGE_NEXT] = "SELECT share, number, sender, state, at, digest, body FROM transfer_message "
                                      "WHERE share = ?1 AND number >= ?2 ORDER BY number LIMIT 1",
        [SQL_TRANSFER_MESSAGE_QUEUED] = "SELECT min(number) FROM transfer_message WHERE share = ?1 AND state = 1",
        [SQL_TRANSFER_MESSAGE_LAST] = "SELECT max(number) FROM transfer_message WHERE share = ?1 AND state IN (2, 3, 5)",
        [SQL_TRANSFER_MESSAGE_FIND] = "SELECT max(number) FROM transfer_message WHERE share = ?1 AND digest = ?2",
        [SQL_TRANSFER_MESSAGE_REMOVE] = "DELETE FROM transfer_message WHERE share = ?1",
        [SQL_ADDRESS_PUT]        = "INSERT OR IGNORE INTO address VALUES (?1, 0, ?2)",
        [SQL_ADDRESS_END]        = "INSERT OR IGNORE INTO address VALUES (?1, 1, ?2)",
        [SQL_ADDRESS_REMOVE]     = "DELETE FROM address WHERE address = ?1 AND n = ?2",
        [SQL_ADDRESS_EACH]       = "SELECT n FROM address WHERE address = ?1 AND ended = ?3 ORDER BY n DESC LIMIT ?2",
        [SQL_SEEN_HAS]           = "SELECT 1 FROM seen WHERE key = ?1",
        [SQL_SEEN_ADD]           = "INSERT INTO seen VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        [SQL_BLOCK_PUT]          = "INSERT INTO block (pair, expires, since, note) VALUES (?1, ?2, ?3, ?4) "
                                   "ON CONFLICT (pair) DO UPDATE SET expires = ?2, since = ?3, note = ?4 "
                                   "WHERE expires < ?2",
        [SQL_BLOCK_HAS]          = "SELECT 1 FROM block WHERE pair = ?1 AND expires > ?2",
        [SQL_BLOCK_REMOVE]       = "DELETE FROM block WHERE pair = ?1",
        [SQL_BLOCK_EACH]         = "SELECT pair, since, expires, note FROM block WHERE pair > ?1 AND expires > ?2 "
                                   "ORDER BY pair LIMIT ?3",
        [SQL_ANSWER_PUT]         = "INSERT OR REPLACE INTO answer VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        [SQL_ANSWER_GET]         = "SELECT share, status, digest, answer FROM answer WHERE key = ?1 AND expires > ?2",
        [SQL_ANSWER_WIPE]        = "UPDATE answer SET answer = NULL WHERE key = ?1",
        [SQL_SWEEP_SEEN]         = "DELETE FROM seen WHERE key IN (SELECT key FROM seen WHERE expires <= ?1 LIMIT ?2)",
        [SQL_SWEEP_BLOCK]        = "DELETE FROM block WHERE pair IN (SELECT pair FROM block WHERE expires <= ?1 LIMIT ?2)",
        [SQL_SWEEP_ANSWER]       = "DELETE FROM answer WHERE key IN (SELECT key FROM answer WHERE expires <= ?1 LIMIT ?2)",
        [SQL_EVENT_PUT]          = "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        [SQL_EVENT_FIRST]        = "SELECT min(sequence) FROM event WHERE tenant = ?1",
        [SQL_EVENT_LAST]         = "SELECT max(sequence) FROM event WHERE tenant = ?1",
        [SQL_EVENT_EACH]         = "SELECT sequence, share, version, at, event, detail, state FROM event "
                                   "WHERE tenant = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
        [SQL_EVENT_TENANT]       = "SELECT tenant FROM event WHERE tenant > ?1 ORDER BY tenant LIMIT 1",
        [SQL_EVENT_REMOVE]       = "DELETE FROM event WHERE tenant = ?1 AND sequence <= ?2",
        [SQL_AUDIT_PUT]          = "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [SQL_AUDIT_EACH]         = "SELECT number, checkpoint, at, text, before, hash, mac FROM audit WHERE number > ?1 "
                                   "ORDER BY number, checkpoint LIMIT ?2",
        [SQL_AUDIT_FIRST]        = "SELECT min(number) FROM audit",
        [SQL_AUDIT_LAST]         = "SELECT number, hash FROM audit WHERE checkpoint = 0 AND number = (SELECT max(number) FROM audit)",
        [SQL_AUDIT_BEFORE]       = "SELECT max(number) FROM (SELECT number, at FROM audit ORDER BY number LIMIT ?2) WHERE at < ?1",
        [SQL_AUDIT_REMOVE]       = "DELETE FROM audit WHERE number <= ?1",
        [SQL_AUDIT_KEY_PUT]      = "INSERT OR REPLACE INTO audit_key VALUES (?1, ?2)",
        [SQL_AUDIT_KEY_GET]      = "SELECT key FROM audit_key WHERE month = ?1",
        [SQL_AUDIT_KEY_REMOVE]   = "DELETE FROM audit_key WHERE month > 0 AND month < ?1",
        [SQL_TIME_PUT]           = "INSERT OR REPLACE INTO meta VALUES ('time', ?1)",
        [SQL_COUNTER_GET]        = "SELECT value, note IS NOT NULL FROM counter WHERE key = ?1",
        [SQL_COUNTER_UPDATE]     = "UPDATE counter SET value = ?2 WHERE key = ?1",
        [SQL_COUNTER_PUT]        = "INSERT INTO counter VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET value = ?2, "
                                   "note = coalesce(?3, note)",
        [SQL_COUNTER_EACH]       = "SELECT key, value, NULL FROM counter WHERE key > ?1 ORDER BY key LIMIT ?2",
        [SQL_COUNTER_NOTED]      = "SELECT key, value, note FROM counter WHERE note IS NOT NULL AND key > ?1 "
                                   "ORDER BY key LIMIT ?2",
        [SQL_COUNTER_REMOVE]     = "DELETE FROM counter WHERE key = ?1",
        [SQL_ELAPSED_GET]        = "SELECT value FROM meta WHERE name = 'elapsed'",
        [SQL_ELAPSED_PUT]        = "INSERT OR REPLACE INTO meta VALUES ('elapsed', ?1)",
};
/* clang-format on */

int sql_prepare(Store *s) {
        for (int i = 0; i < _SQL_MAX; i++)
                if (sqlite3_prepare_v3(s->db,
                                    sql[i],
                                    -1,
                                    SQLITE_PREPARE_PERSISTENT,
                                    &s->statements[i],
                                    NULL) != SQLITE_OK)
                        return sql_failed(s, "be prepared");
        return 0;
}

int sql_failed(Store *s, const char *what) {
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

sqlite3_stmt *sql_statement(Store *s, SqlStatement which) {
        sqlite3_stmt *stmt = s->statements[which];

        (void) sqlite3_reset(stmt);
        return stmt;
}

void sql_bind_blob(sqlite3_stmt *stmt, int i, const void *data, size_t size) {
        if (data)
                (void) sqlite3_bind_blob64(stmt, i, data, size, SQLITE_STATIC);
        else
                (void) sqlite3_bind_null(stmt, i);
}

void sql_bind_text(sqlite3_stmt *stmt, int i, const char *text) {
        (void) sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

void sql_bind_number(sqlite3_stmt *stmt, int i, int64_t value) {
        (void) sqlite3_bind_int64(stmt, i, value);
}

int sql_run(Store *s, sqlite3_stmt *stmt) {
        int code = sqlite3_step(stmt);

        (void) sqlite3_reset(stmt);
        return code == SQLITE_DONE ? 0 : sql_failed(s, "write");
}

int sql_run_numbered(Store *s, SqlStatement which, int64_t n) {
        sqlite3_stmt *stmt = sql_statement(s, which);

        sql_bind_number(stmt, 1, n);
        return sql_run(s, stmt);
}

int sql_run_pair(Store *s, SqlStatement which, int64_t a, int64_t b) {
        sqlite3_stmt *stmt = sql_statement(s, which);

        sql_bind_number(stmt, 1, a);
        sql_bind_number(stmt, 2, b);
        return sql_run(s, stmt);
}

int sql_run_indexed(
                Store *s, SqlStatement which, const uint8_t index[VAULT_INDEX_SIZE], int64_t n) {
        sqlite3_stmt *stmt = sql_statement(s, which);

        sql_bind_blob(stmt, 1, index, VAULT_INDEX_SIZE);
        sql_bind_number(stmt, 2, n);
        return sql_run(s, stmt);
}

int sql_column_blob(sqlite3_stmt *stmt, int i, uint8_t **ret, size_t *ret_size) {
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

int sql_column_text(sqlite3_stmt *stmt, int i, char **ret) {
        const char *text = (const char *) sqlite3_column_text(stmt, i);

        *ret = strdup(text ? text : "");
        return *ret ? 0 : -ENOMEM;
}

int sql_column_int(sqlite3_stmt *stmt, int i) {
        return sqlite3_column_int(stmt, i);
}

int sql_column_array(sqlite3_stmt *stmt, int i, void *ret, size_t element, int max) {
        const void *data = sqlite3_column_blob(stmt, i);
        int n = (int) ((size_t) sqlite3_column_bytes(stmt, i) / element);

        if (n > max)
                n = max;
        if (n > 0)
                memcpy(ret, data, (size_t) n * element);
        return n;
}

int sql_each_number(Store *s, sqlite3_stmt *stmt, StoreShareSeen seen, void *userdata) {
        int code, r = 0;

        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                if (code != SQLITE_ROW)
                        r = sql_failed(s, "list");
                else
                        r = seen(sqlite3_column_int64(stmt, 0), userdata);
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}
