/* What the parts of the store on SQLite share with one another and with nobody else.
 *
 *   store-sqlite.c            opening and closing: the folder's lock, settings, schema, key check
 *   store-sqlite-statement.c  every statement, prepared once, and how they are bound, run and read
 *   store-sqlite-batch.c      transactions, savepoints, the log and its checkpoints
 *   store-sqlite-share.c      the rows of shares, and lists of them
 *   store-sqlite-content.c    what belongs to a share: content, messages, outbox
 *   store-sqlite-transfer.c   messages in both directions through one mailbox
 *   store-sqlite-event.c      what happened, in one stream for each tenant
 *   store-sqlite-counter.c    what is counted for limits, and how long the machine has run
 *   store-sqlite-once.c       what must not be confused or repeated: addresses, answers, blocks
 *
 * store.h is the interface; functions named sql_… deal in statements and are for these files. */
#pragma once

#include "store.h"

#include <pthread.h>
#include <sqlite3.h>

enum {
        STORE_PAGE_SIZE = 8192, /* as store_open() sets it */
        STORE_BUSY_MSEC = 10000,
        STORE_MARKS_MAX = 8, /* that may be open at a time */
};

typedef enum SqlStatement {
        SQL_BEGIN,
        SQL_COMMIT,
        SQL_ROLLBACK,
        SQL_MARK,
        SQL_RELEASE,
        SQL_RETURN,
        SQL_SHARE_LOAD,
        SQL_SHARE_INSERT,
        SQL_SHARE_UPDATE,
        SQL_SHARE_REMOVE,
        SQL_SHARE_SPEND,
        SQL_SHARE_POSTPONE,
        SQL_SHARE_DUE,
        SQL_SHARE_NEXT_DUE,
        SQL_SHARE_LIST,
        SQL_SHARE_LIST_ALL,
        SQL_REFERENCE_PUT,
        SQL_REFERENCE_LIST,
        SQL_REFERENCE_REMOVE,
        SQL_CONTENT_PUT,
        SQL_DETAILS_GET,
        SQL_PAYLOAD_GET,
        SQL_PAYLOAD_WIPE,
        SQL_CONTENT_REMOVE,
        SQL_MESSAGE_PUT,
        SQL_MESSAGE_GET,
        SQL_MESSAGE_REMOVE,
        SQL_MESSAGE_REMOVE_ALL,
        SQL_MESSAGE_FIND,
        SQL_OUTBOX_PUT,
        SQL_OUTBOX_GET,
        SQL_OUTBOX_ATTEMPT,
        SQL_OUTBOX_REMOVE,
        SQL_OUTBOX_DROP,
        SQL_OUTBOX_CREATING,
        SQL_OUTBOX_REMOVE_ALL,
        SQL_OUTBOX_EACH,
        SQL_TRANSFER_PUT,
        SQL_TRANSFER_GET,
        SQL_TRANSFER_REMOVE,
        SQL_TRANSFER_EACH,
        SQL_TRANSFER_MESSAGE_PUT,
        SQL_TRANSFER_MESSAGE_NEXT,
        SQL_TRANSFER_MESSAGE_QUEUED,
        SQL_TRANSFER_MESSAGE_LAST,
        SQL_TRANSFER_MESSAGE_FIND,
        SQL_TRANSFER_MESSAGE_REMOVE,
        SQL_ADDRESS_PUT,
        SQL_ADDRESS_END,
        SQL_ADDRESS_REMOVE,
        SQL_ADDRESS_EACH,
        SQL_SEEN_HAS,
        SQL_SEEN_ADD,
        SQL_BLOCK_PUT,
        SQL_BLOCK_HAS,
        SQL_BLOCK_REMOVE,
        SQL_BLOCK_EACH,
        SQL_ANSWER_PUT,
        SQL_ANSWER_GET,
        SQL_ANSWER_WIPE,
        SQL_SWEEP_SEEN,
        SQL_SWEEP_BLOCK,
        SQL_SWEEP_ANSWER,
        SQL_EVENT_PUT,
        SQL_EVENT_FIRST,
        SQL_EVENT_LAST,
        SQL_EVENT_EACH,
        SQL_EVENT_TENANT,
        SQL_EVENT_REMOVE,
        SQL_AUDIT_PUT,
        SQL_AUDIT_EACH,
        SQL_AUDIT_FIRST,
        SQL_AUDIT_LAST,
        SQL_AUDIT_BEFORE,
        SQL_AUDIT_REMOVE,
        SQL_AUDIT_KEY_PUT,
        SQL_AUDIT_KEY_GET,
        SQL_AUDIT_KEY_REMOVE,
        SQL_TIME_PUT,
        SQL_COUNTER_GET,
        SQL_COUNTER_UPDATE,
        SQL_COUNTER_PUT,
        SQL_COUNTER_EACH,
        SQL_COUNTER_NOTED,
        SQL_COUNTER_REMOVE,
        SQL_ELAPSED_GET,
        SQL_ELAPSED_PUT,
        _SQL_MAX,
} SqlStatement;

/* Where a tenant's events end, so that an append need not look. */
typedef struct EventTail {
        char *tenant;
        int64_t last; /* below zero: it has to be looked up */
} EventTail;

/* An event that is written with the commit. */
typedef struct EventPending {
        const char *tenant; /* of an EventTail */
        StoreEvent event;   /* without its number */
        uint8_t policy[STORE_POLICY_SIZE];
} EventPending;

struct Store {
        sqlite3 *db;
        sqlite3_stmt *statements[_SQL_MAX];
        int lock;
        int64_t last;
        int wal_pages, wal_seen;

        EventTail *tails; /* by tenant */
        size_t n_tails, tails_allocated;
        EventPending *pending;
        size_t n_pending, pending_allocated;
        size_t marks[STORE_MARKS_MAX]; /* n_pending when each open savepoint was made */
        size_t n_marks;
        bool event_written;
        StoreObserver observer;
        void *observer_userdata;
        char *event_swept; /* the tenant whose events were swept last, or NULL */

        /* The checkpoint helper; `wanted` and `ending` are under the mutex. */
        sqlite3 *helper_db;
        pthread_t helper;
        pthread_mutex_t mutex;
        pthread_cond_t condition;
        bool has_helper, wanted, ending;
};

/* Records that SQLite's last call on the loop's connection failed, in "The store could not …".
 * Returns what it means as a negative errno. */
int sql_failed(Store *s, const char *what);

/* Prepares all statements; store_close() finalizes them. */
int sql_prepare(Store *s);

/* The statement, borrowed, reset and ready to be bound. */
sqlite3_stmt *sql_statement(Store *s, SqlStatement which);

/* Parameters count from 1. Blobs and texts are bound without a copy: they must live until the
 * statement has run. NULL binds NULL. */
void sql_bind_blob(sqlite3_stmt *stmt, int i, const void *data, size_t size);
void sql_bind_text(sqlite3_stmt *stmt, int i, const char *text);
void sql_bind_number(sqlite3_stmt *stmt, int i, int64_t value);

/* Runs a statement that returns no row. */
int sql_run(Store *s, sqlite3_stmt *stmt);
/* The same for one whose one parameter is a number, */
int sql_run_numbered(Store *s, SqlStatement which, int64_t n);
/* whose two parameters are numbers, */
int sql_run_pair(Store *s, SqlStatement which, int64_t a, int64_t b);
/* whose first two parameters are a blind index and a number. */
int sql_run_indexed(Store *s, SqlStatement which, const uint8_t index[VAULT_INDEX_SIZE], int64_t n);

/* Columns of the current row, from 0. What is copied is the caller's; a NULL blob stays NULL, a
 * NULL text becomes "". -ENOMEM. */
int sql_column_blob(sqlite3_stmt *stmt, int i, uint8_t **ret, size_t *ret_size);
int sql_column_text(sqlite3_stmt *stmt, int i, char **ret);
int sql_column_int(sqlite3_stmt *stmt, int i);
/* Reads an array of fixed elements out of a blob column; returns how many there were, at most max.
 */
int sql_column_array(sqlite3_stmt *stmt, int i, void *ret, size_t element, int max);

/* Identifies the rules that a share began with, and its policy's name. */
void sql_policy_of(const Share *share, uint8_t ret[STORE_POLICY_SIZE]);

/* Takes an event of each entry that was noted, and forgets those; written by sql_events_write(), or
 * at once outside a transaction. */
int sql_events_append(Store *s, Share *share);
/* Writes what was taken and is still wanted, before the commit. */
int sql_events_write(Store *s);
/* The whole transaction was taken back, whatever of it was written. */
void sql_events_forget(Store *s);
void sql_events_free(Store *s);

/* Calls seen() for the first column of each row; a positive answer ends the walk. */
int sql_each_number(Store *s, sqlite3_stmt *stmt, StoreShareSeen seen, void *userdata);

/* The checkpoint helper, on helper_db: from here on it copies the log back when a commit asks.
 * store_helper_end() returns when its thread has ended, or never ran. */
int store_helper_start(Store *s);
void store_helper_end(Store *s);
