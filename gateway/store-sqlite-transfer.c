/* Transfers of several messages: one small row for each, which is all that a look at its mailbox
 * reads, and the messages apart from it. */
#include "store-sqlite-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int store_transfer_put(Store *s, const Transfer *transfer) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_TRANSFER_PUT);

        sql_bind_number(stmt, 1, transfer->share);
        sql_bind_text(stmt, 2, transfer->lane);
        sql_bind_number(stmt, 3, transfer->progress);
        sql_bind_number(stmt, 4, transfer->count);
        sql_bind_number(stmt, 5, transfer->polls);
        sql_bind_number(stmt, 6, transfer->polling);
        sql_bind_number(stmt, 7, transfer->turn);
        sql_bind_blob(stmt, 8, transfer->has_known ? transfer->known : NULL, STORE_DIGEST_SIZE);
        sql_bind_blob(stmt, 9, transfer->frame, transfer->frame_size);
        sql_bind_blob(stmt, 10, transfer->state, transfer->state_size);
        return sql_run(s, stmt);
}

static void read_numbers(sqlite3_stmt *stmt, Transfer *ret) {
        const char *lane = (const char *) sqlite3_column_text(stmt, 1);

        *ret = (Transfer){ .share = sqlite3_column_int64(stmt, 0),
                .progress = sqlite3_column_int64(stmt, 2),
                .count = sql_column_int(stmt, 3),
                .polls = sql_column_int(stmt, 4),
                .polling = sql_column_int(stmt, 5),
                .turn = (TransferParty) sql_column_int(stmt, 6) };
        (void) snprintf(ret->lane, sizeof(ret->lane), "%s", lane ? lane : "");
}

static int read_transfer(sqlite3_stmt *stmt, Transfer *ret) {
        int r;

        read_numbers(stmt, ret);
        if (!transfer_party_name(ret->turn))
                return -EBADMSG;
        ret->has_known = sql_column_array(stmt, 7, ret->known, STORE_DIGEST_SIZE, 1) == 1;
        r = sql_column_blob(stmt, 8, &ret->frame, &ret->frame_size);
        if (r >= 0)
                r = sql_column_blob(stmt, 9, &ret->state, &ret->state_size);
        if (r < 0)
                transfer_done(ret);
        return r;
}

int store_transfer_get(Store *s, int64_t n, Transfer *ret) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_TRANSFER_GET);
        int code, r;

        sql_bind_number(stmt, 1, n);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                r = read_transfer(stmt, ret);
        else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : sql_failed(s, "read a transfer");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_transfer_remove(Store *s, int64_t n) {
        int r;

        r = sql_run_numbered(s, SQL_TRANSFER_MESSAGE_REMOVE, n);
        return r < 0 ? r : sql_run_numbered(s, SQL_TRANSFER_REMOVE, n);
}

int store_transfer_each(Store *s, StoreTransferSeen seen, void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_TRANSFER_EACH);
        int code, r = 0;

        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                Transfer transfer;

                if (code != SQLITE_ROW) {
                        r = sql_failed(s, "list the transfers");
                        break;
                }
                read_numbers(stmt, &transfer);
                r = seen(&transfer, userdata);
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

int store_transfer_message_put(Store *s, const TransferMessage *message) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_TRANSFER_MESSAGE_PUT);

        sql_bind_number(stmt, 1, message->share);
        sql_bind_number(stmt, 2, message->number);
        sql_bind_number(stmt, 3, message->from);
        sql_bind_number(stmt, 4, message->state);
        sql_bind_number(stmt, 5, message->at);
        sql_bind_blob(stmt, 6, message->has_digest ? message->digest : NULL, STORE_DIGEST_SIZE);
        sql_bind_blob(stmt, 7, message->body, message->body_size);
        return sql_run(s, stmt);
}

static int read_message(sqlite3_stmt *stmt, TransferMessage *ret) {
        *ret = (TransferMessage){ .share = sqlite3_column_int64(stmt, 0),
                .number = sql_column_int(stmt, 1),
                .from = (TransferParty) sql_column_int(stmt, 2),
                .state = (TransferState) sql_column_int(stmt, 3),
                .at = sqlite3_column_int64(stmt, 4) };
        if (!transfer_party_name(ret->from) || !transfer_state_name(ret->state))
                return -EBADMSG;
        ret->has_digest = sql_column_array(stmt, 5, ret->digest, STORE_DIGEST_SIZE, 1) == 1;
        return sql_column_blob(stmt, 6, &ret->body, &ret->body_size);
}

int store_transfer_message_next(Store *s, int64_t n, int number, TransferMessage *ret) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_TRANSFER_MESSAGE_NEXT);
        int code, r;

        sql_bind_number(stmt, 1, n);
        sql_bind_number(stmt, 2, number);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                r = read_message(stmt, ret);
        else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : sql_failed(s, "read a message");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_transfer_message_get(Store *s, int64_t n, int number, TransferMessage *ret) {
        int r;

        r = store_transfer_message_next(s, n, number, ret);
        if (r == 0 && ret->number != number) {
                transfer_message_done(ret);
                r = STORE_E_NOT_FOUND;
        }
        return r;
}

/* The one number that a statement over a share's messages gives, if there is one. */
static int find_number(Store *s, sqlite3_stmt *stmt, int *ret_number) {
        int code, r = STORE_E_NOT_FOUND;

        code = sqlite3_step(stmt);
        if (code != SQLITE_ROW)
                r = sql_failed(s, "find a message");
        else if (sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
                *ret_number = sql_column_int(stmt, 0);
                r = 0;
        }
        (void) sqlite3_reset(stmt);
        return r;
}

int store_transfer_message_queued(Store *s, int64_t n, int *ret_number) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_TRANSFER_MESSAGE_QUEUED);

        sql_bind_number(stmt, 1, n);
        return find_number(s, stmt, ret_number);
}

int store_transfer_message_last(Store *s, int64_t n, int *ret_number) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_TRANSFER_MESSAGE_LAST);

        sql_bind_number(stmt, 1, n);
        return find_number(s, stmt, ret_number);
}

int store_transfer_message_find(
                Store *s, int64_t n, const uint8_t digest[STORE_DIGEST_SIZE], int *ret_number) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_TRANSFER_MESSAGE_FIND);

        sql_bind_number(stmt, 1, n);
        sql_bind_blob(stmt, 2, digest, STORE_DIGEST_SIZE);
        return find_number(s, stmt, ret_number);
}
