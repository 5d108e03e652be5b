/* What is counted for limits. Values are written whole: how they are made up is not known here. */
#include <errno.h>
#include <string.h>

#include "store-sqlite-internal.h"

int store_counter_get(Store *s,
                const uint8_t key[VAULT_INDEX_SIZE],
                uint8_t *ret,
                size_t *ret_size,
                bool *ret_noted) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_COUNTER_GET);
        int code, r = STORE_E_NOT_FOUND;

        *ret_size = 0;
        *ret_noted = false;
        sql_bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                *ret_size = (size_t) sql_column_array(stmt, 0, ret, 1, STORE_COUNTER_MAX);
                *ret_noted = sql_column_int(stmt, 1) != 0;
                r = 0;
        } else if (code != SQLITE_DONE)
                r = sql_failed(s, "read a counter");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_counter_put(Store *s,
                const uint8_t key[VAULT_INDEX_SIZE],
                const uint8_t *value,
                size_t size,
                const uint8_t *note,
                size_t note_size) {
        sqlite3_stmt *stmt = sql_statement(s, note ? SQL_COUNTER_PUT : SQL_COUNTER_UPDATE);
        int r;

        /* To name the note would write its index, too, which is a page more at each commit. */
        sql_bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        sql_bind_blob(stmt, 2, value, size);
        if (!note) {
                r = sql_run(s, stmt);
                if (r < 0 || sqlite3_changes(s->db) > 0)
                        return r;
                stmt = sql_statement(s, SQL_COUNTER_PUT);
                sql_bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
                sql_bind_blob(stmt, 2, value, size);
        }
        sql_bind_blob(stmt, 3, note, note_size);
        return sql_run(s, stmt);
}

int store_counter_remove(Store *s, const uint8_t key[VAULT_INDEX_SIZE]) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_COUNTER_REMOVE);

        sql_bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        return sql_run(s, stmt);
}

int store_counter_each(Store *s,
                const uint8_t *after,
                bool noted,
                int limit,
                StoreCounterSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, noted ? SQL_COUNTER_NOTED : SQL_COUNTER_EACH);
        int code = SQLITE_DONE, r = 0;

        sql_bind_blob(stmt, 1, after ? (const void *) after : "", after ? VAULT_INDEX_SIZE : 0);
        sql_bind_number(stmt, 2, limit);
        while (r == 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
                StoreCounter counter = { .value = sqlite3_column_blob(stmt, 1),
                        .size = (size_t) sqlite3_column_bytes(stmt, 1),
                        .note = sqlite3_column_blob(stmt, 2),
                        .note_size = (size_t) sqlite3_column_bytes(stmt, 2) };

                (void) sql_column_array(stmt, 0, counter.key, VAULT_INDEX_SIZE, 1);
                r = seen(&counter, userdata);
        }
        if (r == 0 && code != SQLITE_DONE)
                r = sql_failed(s, "list counters");
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

/* The boot's id, and the two numbers. What is not that was never written here: time begins anew,
 * and what is ahead of it is moved to it. */
int store_elapsed_get(Store *s, StoreElapsed *ret) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_ELAPSED_GET);
        int code, r = 0;

        *ret = (StoreElapsed){ 0 };
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                if (sqlite3_column_bytes(stmt, 0) == sizeof(*ret))
                        memcpy(ret, sqlite3_column_blob(stmt, 0), sizeof(*ret));
        } else if (code != SQLITE_DONE)
                r = sql_failed(s, "be read");
        (void) sqlite3_reset(stmt);
        if (ret->seconds < 0 || ret->boot_seconds < 0)
                *ret = (StoreElapsed){ 0 };
        return r;
}

int store_elapsed_put(Store *s, const StoreElapsed *elapsed) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_ELAPSED_PUT);

        sql_bind_blob(stmt, 1, elapsed, sizeof(*elapsed));
        return sql_run(s, stmt);
}
