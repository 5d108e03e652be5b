/* What belongs to a share and does not live as long: sealed content, rendered messages, and the
 * outbox. Apart from the share's row, so that a step does not rewrite them. */
#include "store-sqlite-internal.h"

#include <stdio.h>

/* --- content --- */

int store_content_put(Store *s,
                int64_t n,
                const uint8_t *details,
                size_t details_size,
                const uint8_t *payload,
                size_t payload_size) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_CONTENT_PUT);

        sql_bind_number(stmt, 1, n);
        sql_bind_blob(stmt, 2, details, details_size);
        sql_bind_blob(stmt, 3, payload, payload_size);
        return sql_run(s, stmt);
}

static int content_get(Store *s, SqlStatement which, int64_t n, uint8_t **ret, size_t *ret_size) {
        sqlite3_stmt *stmt = sql_statement(s, which);
        int code, r;

        sql_bind_number(stmt, 1, n);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                r = sql_column_blob(stmt, 0, ret, ret_size);
                if (r >= 0 && !*ret)
                        r = STORE_E_NOT_FOUND;
        } else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND
                                        : sql_failed(s, "read a share's content");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_details_get(Store *s, int64_t n, uint8_t **ret, size_t *ret_size) {
        return content_get(s, SQL_DETAILS_GET, n, ret, ret_size);
}

int store_payload_get(Store *s, int64_t n, uint8_t **ret, size_t *ret_size) {
        return content_get(s, SQL_PAYLOAD_GET, n, ret, ret_size);
}

int store_payload_wipe(Store *s, int64_t n) {
        return sql_run_numbered(s, SQL_PAYLOAD_WIPE, n);
}

int store_content_remove(Store *s, int64_t n) {
        return sql_run_numbered(s, SQL_CONTENT_REMOVE, n);
}

/* --- messages --- */

int store_message_put(Store *s,
                int64_t n,
                int part,
                OutboxKind kind,
                int step,
                const uint8_t *body,
                size_t size) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_MESSAGE_PUT);

        sql_bind_number(stmt, 1, n);
        sql_bind_number(stmt, 2, part);
        sql_bind_number(stmt, 3, kind);
        sql_bind_blob(stmt, 4, body, size);
        sql_bind_number(stmt, 5, step);
        return sql_run(s, stmt);
}

int store_message_get(Store *s,
                int64_t n,
                int part,
                OutboxKind *ret_kind,
                int *ret_step,
                uint8_t **ret,
                size_t *ret_size) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_MESSAGE_GET);
        int code, r;

        sql_bind_number(stmt, 1, n);
        sql_bind_number(stmt, 2, part);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                *ret_kind = (OutboxKind) sql_column_int(stmt, 0);
                *ret_step = sql_column_int(stmt, 2);
                r = sql_column_blob(stmt, 1, ret, ret_size);
        } else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : sql_failed(s, "read a message");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_message_remove(Store *s, int64_t n, int part) {
        return sql_run_pair(s, SQL_MESSAGE_REMOVE, n, part);
}

int store_message_remove_all(Store *s, int64_t n, bool keep_notices) {
        return sql_run_pair(s, SQL_MESSAGE_REMOVE_ALL, n, keep_notices);
}

int store_message_find(Store *s, int64_t n, OutboxKind kind, int *ret_part) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_MESSAGE_FIND);
        int code, r = STORE_E_NOT_FOUND;

        sql_bind_number(stmt, 1, n);
        sql_bind_number(stmt, 2, kind);
        code = sqlite3_step(stmt);
        if (code != SQLITE_ROW)
                r = sql_failed(s, "find a message");
        else if (sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
                *ret_part = sql_column_int(stmt, 0);
                r = 0;
        }
        (void) sqlite3_reset(stmt);
        return r;
}

/* --- outbox --- */

static void outbox_bind(sqlite3_stmt *stmt, const OutboxRow *row) {
        sql_bind_number(stmt, 1, row->share);
        sql_bind_number(stmt, 2, row->part);
        sql_bind_number(stmt, 3, row->kind);
        sql_bind_text(stmt, 4, row->lane);
        sql_bind_number(stmt, 5, row->attempts);
        sql_bind_number(stmt, 6, row->dead);
        sql_bind_text(stmt, 7, row->reason);
}

static void outbox_read(sqlite3_stmt *stmt, OutboxRow *row) {
        const char *lane = (const char *) sqlite3_column_text(stmt, 3);
        const char *reason = (const char *) sqlite3_column_text(stmt, 6);

        *row = (OutboxRow){ .share = sqlite3_column_int64(stmt, 0),
                .part = sql_column_int(stmt, 1),
                .kind = (OutboxKind) sql_column_int(stmt, 2),
                .attempts = sql_column_int(stmt, 4),
                .dead = sql_column_int(stmt, 5) };
        (void) snprintf(row->lane, sizeof(row->lane), "%s", lane ? lane : "");
        (void) snprintf(row->reason, sizeof(row->reason), "%s", reason ? reason : "");
}

int store_outbox_put(Store *s, const OutboxRow *row) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_OUTBOX_PUT);

        outbox_bind(stmt, row);
        return sql_run(s, stmt);
}

int store_outbox_get(Store *s, int64_t n, int part, OutboxRow *ret) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_OUTBOX_GET);
        int code, r = 0;

        sql_bind_number(stmt, 1, n);
        sql_bind_number(stmt, 2, part);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                outbox_read(stmt, ret);
        else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : sql_failed(s, "read the outbox");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_outbox_attempt(Store *s, const OutboxRow *row) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_OUTBOX_ATTEMPT);

        outbox_bind(stmt, row);
        return sql_run(s, stmt);
}

int store_outbox_remove(Store *s, int64_t n, int part) {
        return sql_run_pair(s, SQL_OUTBOX_REMOVE, n, part);
}

int store_outbox_drop(Store *s, int64_t n, bool *ret_creating) {
        sqlite3_stmt *stmt;
        int code, r;

        r = sql_run_numbered(s, SQL_OUTBOX_DROP, n);
        if (r < 0)
                return r;
        stmt = sql_statement(s, SQL_OUTBOX_CREATING);
        sql_bind_number(stmt, 1, n);
        code = sqlite3_step(stmt);
        (void) sqlite3_reset(stmt);
        *ret_creating = code == SQLITE_ROW;
        return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : sql_failed(s, "read the outbox");
}

int store_outbox_remove_all(Store *s, int64_t n, bool keep_notices) {
        return sql_run_pair(s, SQL_OUTBOX_REMOVE_ALL, n, keep_notices);
}

int store_outbox_each(Store *s, bool dead, StoreOutboxSeen seen, void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_OUTBOX_EACH);
        int code, r = 0;

        sql_bind_number(stmt, 1, dead);
        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                OutboxRow row;

                if (code != SQLITE_ROW) {
                        r = sql_failed(s, "read the outbox");
                        break;
                }
                outbox_read(stmt, &row);
                r = seen(&row, userdata);
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}
