#include "drop-store.h"

#include <errno.h>

typedef enum Statement {
        STATEMENT_FIND,
        STATEMENT_INSERT,
        STATEMENT_DELETE,
        STATEMENT_SWEEP,
        _STATEMENT_MAX,
} Statement;

static const char *const statement_texts[_STATEMENT_MAX] = {
        [STATEMENT_FIND] = "SELECT number, expiration, message FROM \"drop\" WHERE location = ?1",
        [STATEMENT_INSERT] = "INSERT INTO \"drop\" (location, expiration, message)"
                             " VALUES (?1, ?2, ?3)",
        [STATEMENT_DELETE] = "DELETE FROM \"drop\" WHERE number = ?1",
        [STATEMENT_SWEEP] = "DELETE FROM \"drop\" WHERE number IN (SELECT number FROM \"drop\""
                            " WHERE expiration <= ?1 ORDER BY expiration LIMIT ?2)",
};

struct DropStore {
        RelayDatabase *database;
        sqlite3_stmt *statements[_STATEMENT_MAX];
};

int drop_store_new(DropStore **ret, RelayDatabase *database) {
        _cleanup_(drop_store_freep) DropStore *store = calloc(1, sizeof(*store));
        int r;

        if (!store)
                return -ENOMEM;
        store->database = database;
        r = relay_database_prepare(database, statement_texts, _STATEMENT_MAX, store->statements);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(store);
        return 0;
}

DropStore *drop_store_free(DropStore *store) {
        if (!store)
                return NULL;
        for (size_t i = 0; i < _STATEMENT_MAX; i++)
                (void) sqlite3_finalize(store->statements[i]);
        free(store);
        return NULL;
}

int drop_store_find(
                DropStore *store, const uint8_t location[DROP_LOCATION_SIZE], DropMessage *ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_FIND];
        int r;

        (void) sqlite3_reset(s);
        relay_database_bind_blob(s, 1, location, DROP_LOCATION_SIZE);
        relay_database_lend(store->database, s);
        r = relay_database_run_row(s);
        if (r != 0)
                return r == RELAY_DATABASE_E_NO_ROW ? DROP_STORE_E_NONE : r;

        *ret = (DropMessage){
                .number = sqlite3_column_int64(s, 0),
                .expiration = sqlite3_column_int64(s, 1),
                .data = sqlite3_column_blob(s, 2),
                .size = (size_t) sqlite3_column_bytes(s, 2),
        };
        return 0;
}

int drop_store_insert(DropStore *store,
                const uint8_t location[DROP_LOCATION_SIZE],
                const void *data,
                size_t size,
                int64_t expiration) {
        sqlite3_stmt *s = store->statements[STATEMENT_INSERT];
        int r;

        r = relay_database_take_room(store->database, size);
        if (r != 0)
                return r == RELAY_DATABASE_E_FULL ? DROP_STORE_E_FULL : r;
        relay_database_bind_blob(s, 1, location, DROP_LOCATION_SIZE);
        relay_database_bind_number(s, 2, expiration);
        relay_database_bind_blob(
                        s, 3, size > 0 ? data : "", size); /* an empty message is not NULL */
        return relay_database_run(s);
}

int drop_store_delete(DropStore *store, int64_t number) {
        sqlite3_stmt *s = store->statements[STATEMENT_DELETE];

        relay_database_bind_number(s, 1, number);
        return relay_database_run(s);
}

int drop_store_sweep(DropStore *store, int64_t now, unsigned limit, unsigned *ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_SWEEP];
        int r;

        relay_database_bind_number(s, 1, now);
        relay_database_bind_number(s, 2, limit);
        r = relay_database_run(s);
        if (r < 0)
                return r;
        *ret = relay_database_n_changes(store->database);
        return 0;
}

uint64_t drop_store_n_sweep_steps(const DropStore *store) {
        return (uint64_t) sqlite3_stmt_status(
                        store->statements[STATEMENT_SWEEP], SQLITE_STMTSTATUS_VM_STEP, 0);
}
