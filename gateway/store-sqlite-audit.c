/* The audit log's rows: written once, read in order, removed from the beginning when they are old;
 * and the keys that go with them. */
#include <errno.h>
#include <stdlib.h>

#include "store-sqlite-internal.h"

void store_observe(Store *s, const StoreObserver *observer, void *userdata) {
        s->observer = observer ? *observer : (StoreObserver){ 0 };
        s->observer_userdata = userdata;
}

int store_audit_put(Store *s, const StoreAudit *audit) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_AUDIT_PUT);
        bool is_record = !audit->is_checkpoint;

        sql_bind_number(stmt, 1, audit->number);
        sql_bind_number(stmt, 2, audit->is_checkpoint);
        sql_bind_number(stmt, 3, audit->at);
        sql_bind_text(stmt, 4, audit->text);
        sql_bind_blob(stmt, 5, is_record ? audit->before : NULL, sizeof(audit->before));
        sql_bind_blob(stmt, 6, is_record ? audit->hash : NULL, sizeof(audit->hash));
        sql_bind_blob(stmt, 7, is_record ? audit->mac : NULL, sizeof(audit->mac));
        return sql_run(s, stmt);
}

/* What is damaged comes out as zeros, which whoever checks the chain will find. */
static void read_blob(sqlite3_stmt *stmt, int i, uint8_t *ret, size_t size) {
        const void *blob = sqlite3_column_blob(stmt, i);

        memset(ret, 0, size);
        if (blob && (size_t) sqlite3_column_bytes(stmt, i) == size)
                memcpy(ret, blob, size);
}

int store_audit_each(Store *s, int64_t after, int limit, StoreAuditSeen seen, void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_AUDIT_EACH);
        int code, r = 0;

        sql_bind_number(stmt, 1, after);
        sql_bind_number(stmt, 2, limit);
        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                StoreAudit audit = { 0 };

                if (code != SQLITE_ROW) {
                        r = sql_failed(s, "list the audit log");
                        break;
                }
                audit.number = sqlite3_column_int64(stmt, 0);
                audit.is_checkpoint = sqlite3_column_int64(stmt, 1) != 0;
                audit.at = sqlite3_column_int64(stmt, 2);
                audit.text = (const char *) sqlite3_column_text(stmt, 3);
                read_blob(stmt, 4, audit.before, sizeof(audit.before));
                read_blob(stmt, 5, audit.hash, sizeof(audit.hash));
                read_blob(stmt, 6, audit.mac, sizeof(audit.mac));
                r = audit.text ? seen(&audit, userdata) : -EBADMSG;
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

static int one_number(Store *s, sqlite3_stmt *stmt, int64_t *ret, uint8_t *ret_hash) {
        int code = sqlite3_step(stmt), r = 0;

        *ret = 0;
        if (code == SQLITE_ROW) {
                *ret = sqlite3_column_int64(stmt, 0);
                if (ret_hash)
                        read_blob(stmt, 1, ret_hash, STORE_DIGEST_SIZE);
        } else if (code != SQLITE_DONE)
                r = sql_failed(s, "look into the audit log");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_audit_range(Store *s,
                int64_t *ret_first,
                int64_t *ret_last,
                uint8_t ret_hash[STORE_DIGEST_SIZE]) {
        int r;

        memset(ret_hash, 0, STORE_DIGEST_SIZE);
        r = one_number(s, sql_statement(s, SQL_AUDIT_FIRST), ret_first, NULL);
        return r < 0 ? r : one_number(s, sql_statement(s, SQL_AUDIT_LAST), ret_last, ret_hash);
}

int store_audit_before(Store *s, int64_t at, int limit, int64_t *ret_number) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_AUDIT_BEFORE);

        sql_bind_number(stmt, 1, at);
        sql_bind_number(stmt, 2, limit);
        return one_number(s, stmt, ret_number, NULL);
}

int store_audit_remove(Store *s, int64_t to) {
        return sql_run_numbered(s, SQL_AUDIT_REMOVE, to);
}

int store_audit_key_put(Store *s, int64_t month, const uint8_t *sealed, size_t size) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_AUDIT_KEY_PUT);

        sql_bind_number(stmt, 1, month);
        sql_bind_blob(stmt, 2, sealed, size);
        return sql_run(s, stmt);
}

int store_audit_key_get(Store *s, int64_t month, uint8_t **ret, size_t *ret_size) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_AUDIT_KEY_GET);
        int code, r;

        sql_bind_number(stmt, 1, month);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                r = sql_column_blob(stmt, 0, ret, ret_size);
        else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : sql_failed(s, "read a key");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_audit_key_remove(Store *s, int64_t before, bool *ret_any) {
        int r;

        r = sql_run_numbered(s, SQL_AUDIT_KEY_REMOVE, before);
        *ret_any = r >= 0 && sqlite3_changes(s->db) > 0;
        return r;
}
