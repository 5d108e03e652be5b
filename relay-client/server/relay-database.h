/* The relay's SQLite file: opening, locking and upgrading it, transactions, and the write-ahead
 * log. What the tables hold is the business of mailbox-store.h and drop-store.h. One connection,
 * one transaction at a time: what a turn of the loop gathered is applied between begin and commit,
 * and nothing may be answered before commit returned 0.
 *
 * On disk: WAL, synchronous=FULL. Checkpoints are made by a helper thread with a connection of its
 * own, so that a commit costs one fdatasync; only a WAL that outgrows its bound makes commit wait.
 *
 * Errors of all functions: -ENOSPC: the disk is full, later calls may succeed. -EIO: the disk or
 * the file failed; what is durable is unknown, so the process should end. On any failure inside a
 * transaction the caller rolls back. */
#pragma once

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

typedef struct RelayDatabase RelayDatabase;

enum {
        RELAY_DATABASE_E_OTHER = 1,  /* the folder belongs to a newer version of this program */
        RELAY_DATABASE_E_NO_ROW = 2, /* a statement found nothing */
        RELAY_DATABASE_E_FULL = 3,   /* more would be kept than is allowed */
};

/* Opens or makes the database in a folder, which must exist, and locks it; NULL: in memory. -EBUSY:
 * another process holds it. RELAY_DATABASE_E_OTHER. Other negative errno: SQLite's own complaint is
 * in *ret_reason (static memory). */
int relay_database_open(RelayDatabase **ret, const char *folder, const char **ret_reason);

/* Commits nothing; joins the helper. All statements must be finalized before. Takes NULL, returns
 * NULL. */
RelayDatabase *relay_database_free(RelayDatabase *database);
DEFINE_CLEANUP(RelayDatabase, relay_database_free)

int relay_database_begin(RelayDatabase *database);
int relay_database_commit(RelayDatabase *database);
void relay_database_rollback(RelayDatabase *database);

/* For a quiet moment: empties the WAL, so that deleted payloads leave the disk. Does nothing when
 * nothing was committed since. */
int relay_database_settle(RelayDatabase *database);

/* What may be kept, in bytes of pages in use, those of indexes as well; 0, as at first: anything.
 */
void relay_database_limit_space(RelayDatabase *database, uint64_t bytes);

/* To be asked in a transaction before size bytes are written into new or longer rows.
 * RELAY_DATABASE_E_FULL: they must not be. What is deleted makes room for later transactions. */
int relay_database_take_room(RelayDatabase *database, size_t size);

/* Prepares n texts into statements[], which the caller finalizes. */
int relay_database_prepare(RelayDatabase *database,
                const char *const *texts,
                size_t n,
                sqlite3_stmt **statements);

/* Runs a statement that returns no row, or whose rows do not matter, and resets it. */
int relay_database_run(sqlite3_stmt *statement);

/* Runs a statement that returns at most one row. 0: the row is there, and the caller resets the
 * statement when it has read it. RELAY_DATABASE_E_NO_ROW: the statement is reset. */
int relay_database_run_row(sqlite3_stmt *statement);

/* A row whose bytes are given away stays until the next one is lent or the transaction ends. */
void relay_database_lend(RelayDatabase *database, sqlite3_stmt *statement);

/* Of the last insertion; rows that the last statement changed. */
int64_t relay_database_last_number(RelayDatabase *database);
unsigned relay_database_n_changes(RelayDatabase *database);

/* Binding: values stay with the caller until the statement was run. */
static inline void relay_database_bind_blob(
                sqlite3_stmt *statement, int n, const void *data, size_t size) {
        (void) sqlite3_bind_blob64(statement, n, data, size, SQLITE_STATIC);
}

static inline void relay_database_bind_text(sqlite3_stmt *statement, int n, const char *text) {
        (void) sqlite3_bind_text(statement, n, text, -1, SQLITE_STATIC);
}

static inline void relay_database_bind_number(sqlite3_stmt *statement, int n, int64_t number) {
        (void) sqlite3_bind_int64(statement, n, number);
}
