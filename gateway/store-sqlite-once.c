/* What must not be confused or repeated: whose an address is, what was seen, who is blocked, the
 * first answers to keyed requests, and how far time has come. */
#include "store-sqlite-internal.h"

int store_address_put(Store *s, const uint8_t address[VAULT_INDEX_SIZE], int64_t n) {
        return sql_run_indexed(s, SQL_ADDRESS_PUT, address, n);
}

int store_address_end(Store *s, const uint8_t address[VAULT_INDEX_SIZE], int64_t n) {
        int r;

        r = store_address_remove(s, address, n);
        return r < 0 ? r : sql_run_indexed(s, SQL_ADDRESS_END, address, n);
}

int store_address_remove(Store *s, const uint8_t address[VAULT_INDEX_SIZE], int64_t n) {
        return sql_run_indexed(s, SQL_ADDRESS_REMOVE, address, n);
}

int store_address_each(Store *s,
                const uint8_t address[VAULT_INDEX_SIZE],
                bool ended,
                int limit,
                StoreShareSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_ADDRESS_EACH);

        sql_bind_blob(stmt, 1, address, VAULT_INDEX_SIZE);
        sql_bind_number(stmt, 2, limit);
        sql_bind_number(stmt, 3, ended);
        return sql_each_number(s, stmt, seen, userdata);
}

int store_seen_has(Store *s, const uint8_t key[VAULT_INDEX_SIZE]) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_SEEN_HAS);
        int code;

        sql_bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        code = sqlite3_step(stmt);
        (void) sqlite3_reset(stmt);
        if (code == SQLITE_ROW)
                return STORE_E_EXISTS;
        return code == SQLITE_DONE ? 0 : sql_failed(s, "look for what was seen");
}

int store_seen_add(Store *s, const uint8_t key[VAULT_INDEX_SIZE], int64_t expires) {
        int before = sqlite3_total_changes(s->db), r;

        r = sql_run_indexed(s, SQL_SEEN_ADD, key, expires);
        if (r < 0)
                return r;
        return sqlite3_total_changes(s->db) == before ? STORE_E_EXISTS : 0;
}

int store_block_put(Store *s, const StoreBlock *block) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_BLOCK_PUT);

        sql_bind_blob(stmt, 1, block->pair, VAULT_INDEX_SIZE);
        sql_bind_number(stmt, 2, block->expires);
        sql_bind_number(stmt, 3, block->since);
        sql_bind_blob(stmt, 4, block->note, block->note_size);
        return sql_run(s, stmt);
}

int store_block_has(Store *s, const uint8_t pair[VAULT_INDEX_SIZE], int64_t now) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_BLOCK_HAS);
        int code;

        sql_bind_blob(stmt, 1, pair, VAULT_INDEX_SIZE);
        sql_bind_number(stmt, 2, now);
        code = sqlite3_step(stmt);
        (void) sqlite3_reset(stmt);
        if (code == SQLITE_ROW)
                return STORE_E_EXISTS;
        return code == SQLITE_DONE ? 0 : sql_failed(s, "look for a block");
}

int store_block_remove(Store *s, const uint8_t pair[VAULT_INDEX_SIZE]) {
        int before = sqlite3_total_changes(s->db), r;
        sqlite3_stmt *stmt = sql_statement(s, SQL_BLOCK_REMOVE);

        sql_bind_blob(stmt, 1, pair, VAULT_INDEX_SIZE);
        r = sql_run(s, stmt);
        if (r < 0)
                return r;
        return sqlite3_total_changes(s->db) == before ? STORE_E_NOT_FOUND : 0;
}

int store_block_each(Store *s,
                const uint8_t *after,
                int64_t now,
                int limit,
                StoreBlockSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_BLOCK_EACH);
        int code, r = 0;

        sql_bind_blob(stmt, 1, after ? (const void *) after : "", after ? VAULT_INDEX_SIZE : 0);
        sql_bind_number(stmt, 2, now);
        sql_bind_number(stmt, 3, limit);
        while (r == 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
                StoreBlock block = { .since = sqlite3_column_int64(stmt, 1),
                        .expires = sqlite3_column_int64(stmt, 2) };

                (void) sql_column_array(stmt, 0, block.pair, VAULT_INDEX_SIZE, 1);
                r = sql_column_blob(stmt, 3, &block.note, &block.note_size);
                if (r >= 0)
                        r = seen(&block, userdata);
                free(block.note);
        }
        if (r == 0 && code != SQLITE_DONE)
                r = sql_failed(s, "list blocks");
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

int store_answer_put(Store *s,
                const uint8_t key[VAULT_INDEX_SIZE],
                const StoreAnswer *answer,
                int64_t expires) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_ANSWER_PUT);

        sql_bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        sql_bind_number(stmt, 2, answer->share);
        sql_bind_number(stmt, 3, answer->status);
        sql_bind_blob(stmt, 4, answer->digest, sizeof(answer->digest));
        sql_bind_blob(stmt, 5, answer->answer, answer->answer_size);
        sql_bind_number(stmt, 6, expires);
        return sql_run(s, stmt);
}

int store_answer_get(Store *s, const uint8_t key[VAULT_INDEX_SIZE], int64_t now, StoreAnswer *ret) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_ANSWER_GET);
        int code, r;

        sql_bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        sql_bind_number(stmt, 2, now);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
                ret->share = sqlite3_column_int64(stmt, 0);
                ret->status = sql_column_int(stmt, 1);
                (void) sql_column_array(stmt, 2, ret->digest, sizeof(ret->digest), 1);
                r = sql_column_blob(stmt, 3, &ret->answer, &ret->answer_size);
        } else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : sql_failed(s, "read an answer");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_answer_wipe(Store *s, const uint8_t key[VAULT_INDEX_SIZE]) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_ANSWER_WIPE);

        sql_bind_blob(stmt, 1, key, VAULT_INDEX_SIZE);
        return sql_run(s, stmt);
}

int store_sweep(Store *s, int64_t now, int limit) {
        static const SqlStatement sweeps[] = { SQL_SWEEP_SEEN, SQL_SWEEP_BLOCK, SQL_SWEEP_ANSWER };
        int r;

        for (size_t i = 0; i < N_ELEMENTS(sweeps); i++) {
                r = sql_run_pair(s, sweeps[i], now, limit);
                if (r < 0)
                        return r;
        }
        return 0;
}

int store_time_put(Store *s, int64_t now) {
        return sql_run_numbered(s, SQL_TIME_PUT, now);
}
