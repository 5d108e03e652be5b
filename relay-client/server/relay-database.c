#include "relay-database.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

enum {
        PAGE_SIZE = 4096,
        WAL_PAGES_PASSIVE = 8 * 1024 * 1024 / PAGE_SIZE,
        WAL_PAGES_MAX = 64 * 1024 * 1024 / PAGE_SIZE,
        ROWS_SIZE = 1024, /* of what is kept beside a content, with its indexes; more than it is */
};

/* Element n takes a file of version n to version n + 1.
 *
 * Content lies apart, so that the rows which decisions read stay small. Claims outlive a deleted
 * mailbox until its expiration: a late repetition of its Create must not make a second one. Rows
 * are numbered as they come, so that only the lookups by random value touch random pages. Whatever
 * expires has an index by its expiration. */
static const char *const upgrades[] = {
        "CREATE TABLE mailbox (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
        " initiator BLOB NOT NULL, recipient BLOB, rights INTEGER NOT NULL,"
        " expiration INTEGER NOT NULL, initiator_token INTEGER NOT NULL,"
        " recipient_token INTEGER NOT NULL) STRICT;"
        "CREATE INDEX mailbox_expiration ON mailbox (expiration);"
        "CREATE TABLE content (number INTEGER PRIMARY KEY, display TEXT NOT NULL,"
        " payload TEXT NOT NULL) STRICT;"
        "CREATE TABLE claim (number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE,"
        " request BLOB NOT NULL, mailbox BLOB, expiration INTEGER NOT NULL) STRICT;"
        "CREATE INDEX claim_expiration ON claim (expiration);",

        /* The tokens' hashes become those that also depend on the mailbox; the old ones would link
         * mailboxes with a common token. */
        "ALTER TABLE mailbox ADD COLUMN initiator_webhook TEXT;"
        "ALTER TABLE mailbox ADD COLUMN recipient_webhook TEXT;"
        "UPDATE mailbox SET initiator_token = 0, recipient_token = 0;"
        "CREATE TABLE \"drop\" (number INTEGER PRIMARY KEY, location BLOB NOT NULL UNIQUE,"
        " expiration INTEGER NOT NULL, message BLOB NOT NULL) STRICT;"
        "CREATE INDEX drop_expiration ON \"drop\" (expiration);",
};

typedef enum Statement {
        STATEMENT_BEGIN,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_PAGES,
        STATEMENT_FREE_PAGES,
        _STATEMENT_MAX,
} Statement;

static const char *const statement_texts[_STATEMENT_MAX] = {
        /* Deferred: a batch that only reads takes no write lock and syncs nothing. */
        [STATEMENT_BEGIN] = "BEGIN",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_ROLLBACK] = "ROLLBACK",
        [STATEMENT_PAGES] = "PRAGMA page_count",
        [STATEMENT_FREE_PAGES] = "PRAGMA freelist_count",
};

struct RelayDatabase {
        sqlite3 *db;
        sqlite3_stmt *statements[_STATEMENT_MAX];
        sqlite3_stmt *lent; /* borrowed, NULL = none */
        int lock_fd;
        uint64_t space_max; /* 0 = any */
        uint64_t room;      /* counts when room_is_known: in this transaction */
        bool room_is_known;

        /* Only the loop's thread uses these. */
        int wal_pages, checkpoint_pages; /* now; when a checkpoint was last asked for */
        bool has_committed;              /* since the WAL was last emptied */

        pthread_t helper;
        bool has_helper;
        pthread_mutex_t mutex;
        pthread_cond_t wake, idle;
        bool checkpoint_wanted, is_checkpointing, stop; /* under mutex */
        char path[4096];
};

static int to_errno(int code) {
        switch (code & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        default:
                return -EIO;
        }
}

static int on_wal(void *userdata, sqlite3 *db, const char *name, int pages) {
        RelayDatabase *database = userdata;

        (void) db;
        (void) name;
        database->wal_pages = pages;
        database->has_committed = true;
        return SQLITE_OK;
}

static void *helper_main(void *userdata) {
        RelayDatabase *database = userdata;
        sqlite3 *db = NULL;

        if (sqlite3_open_v2(database->path,
                            &db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK) {
                (void) sqlite3_close(db);
                return NULL; /* the loop's own checkpoint at the WAL's bound still holds */
        }
        /* The first read makes the connection notice that there is a WAL to work on. */
        (void) sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA user_version", NULL, NULL, NULL);

        (void) pthread_mutex_lock(&database->mutex);
        while (!database->stop) {
                if (!database->checkpoint_wanted) {
                        (void) pthread_cond_wait(&database->wake, &database->mutex);
                        continue;
                }
                database->checkpoint_wanted = false;
                database->is_checkpointing = true;
                (void) pthread_mutex_unlock(&database->mutex);
                (void) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
                (void) pthread_mutex_lock(&database->mutex);
                database->is_checkpointing = false;
                (void) pthread_cond_signal(&database->idle);
        }
        (void) pthread_mutex_unlock(&database->mutex);

        (void) sqlite3_close(db);
        return NULL;
}

static int execute(RelayDatabase *database, const char *sql) {
        return to_errno(sqlite3_exec(database->db, sql, NULL, NULL, NULL));
}

static int lock_folder(RelayDatabase *database, const char *folder) {
        char path[sizeof(database->path)];

        if ((size_t) snprintf(path, sizeof(path), "%s/lock", folder) >= sizeof(path))
                return -ENAMETOOLONG;
        database->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (database->lock_fd < 0)
                return -errno;
        if (flock(database->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        return 0;
}

static int schema_version(RelayDatabase *database, int *ret) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = to_errno(sqlite3_prepare_v2(database->db, "PRAGMA user_version", -1, &statement, NULL));
        if (r == 0)
                r = to_errno(sqlite3_step(statement));
        if (r == 0)
                *ret = sqlite3_column_int(statement, 0);
        (void) sqlite3_finalize(statement);
        return r;
}

static int prepare_schema(RelayDatabase *database) {
        int version = 0, wanted = (int) N_ELEMENTS(upgrades), r;
        char pragma[64];

        r = schema_version(database, &version);
        if (r < 0)
                return r;
        if (version < 0 || version > wanted)
                return RELAY_DATABASE_E_OTHER;
        if (version == wanted)
                return 0;

        (void) snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", wanted);
        r = execute(database, "BEGIN IMMEDIATE");
        for (int i = version; r == 0 && i < wanted; i++)
                r = execute(database, upgrades[i]);
        if (r == 0)
                r = execute(database, pragma);
        return r == 0 ? execute(database, "COMMIT") : r;
}

static int configure(RelayDatabase *database, bool on_disk) {
        char pragma[64];
        int r;

        (void) snprintf(pragma, sizeof(pragma), "PRAGMA page_size = %d", PAGE_SIZE);
        r = execute(database, pragma);
        if (r == 0)
                /* FAST overwrites deleted rows where that costs no further write. */
                r = execute(database, "PRAGMA secure_delete = FAST; PRAGMA cache_size = -65536");
        if (r == 0 && on_disk)
                r = execute(database,
                                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                "PRAGMA wal_autocheckpoint = 0");
        if (r == 0)
                r = prepare_schema(database);
        if (r == 0)
                r = relay_database_prepare(
                                database, statement_texts, _STATEMENT_MAX, database->statements);
        return r;
}

static int start_helper(RelayDatabase *database) {
        int r;

        (void) sqlite3_wal_hook(database->db, on_wal, database);
        r = pthread_create(&database->helper, NULL, helper_main, database);
        if (r != 0)
                return -r;
        database->has_helper = true;
        return 0;
}

int relay_database_open(RelayDatabase **ret, const char *folder, const char **ret_reason) {
        _cleanup_(relay_database_freep) RelayDatabase *database = NULL;
        mode_t mask;
        int r;

        *ret_reason = "the state folder cannot be used";
        database = calloc(1, sizeof(*database));
        if (!database)
                return -ENOMEM;
        database->lock_fd = -1;
        (void) pthread_mutex_init(&database->mutex, NULL);
        (void) pthread_cond_init(&database->wake, NULL);
        (void) pthread_cond_init(&database->idle, NULL);

        if (folder) {
                r = lock_folder(database, folder);
                if (r < 0)
                        return r;
                if ((size_t) snprintf(database->path,
                                    sizeof(database->path),
                                    "%s/relay.sqlite",
                                    folder) >= sizeof(database->path))
                        return -ENAMETOOLONG;
        }

        mask = umask(0077);
        r = to_errno(sqlite3_open_v2(folder ? database->path : ":memory:",
                        &database->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL));
        if (r == 0) {
                /* the helper's checkpoint, at most */
                (void) sqlite3_busy_timeout(database->db, 5000);
                r = configure(database, folder != NULL);
        }
        (void) umask(mask);
        if (r == 0 && folder)
                r = start_helper(database);
        if (r != 0) {
                if (database->db)
                        *ret_reason = sqlite3_errstr(sqlite3_extended_errcode(database->db));
                return r;
        }

        *ret = TAKE_PTR(database);
        return 0;
}

RelayDatabase *relay_database_free(RelayDatabase *database) {
        if (!database)
                return NULL;

        if (database->has_helper) {
                (void) pthread_mutex_lock(&database->mutex);
                database->stop = true;
                (void) pthread_cond_signal(&database->wake);
                (void) pthread_mutex_unlock(&database->mutex);
                (void) pthread_join(database->helper, NULL);
        }
        for (size_t i = 0; i < _STATEMENT_MAX; i++)
                (void) sqlite3_finalize(database->statements[i]);
        (void) sqlite3_close(database->db);
        (void) close_fd(database->lock_fd);
        (void) pthread_cond_destroy(&database->wake);
        (void) pthread_cond_destroy(&database->idle);
        (void) pthread_mutex_destroy(&database->mutex);
        free(database);
        return NULL;
}

int relay_database_prepare(RelayDatabase *database,
                const char *const *texts,
                size_t n,
                sqlite3_stmt **statements) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = to_errno(sqlite3_prepare_v3(database->db,
                                texts[i],
                                -1,
                                SQLITE_PREPARE_PERSISTENT,
                                &statements[i],
                                NULL));
        return r;
}

int relay_database_run(sqlite3_stmt *statement) {
        int r;

        r = sqlite3_step(statement);
        (void) sqlite3_reset(statement);
        assert(r != SQLITE_ROW);
        return to_errno(r);
}

int relay_database_run_row(sqlite3_stmt *statement) {
        int r;

        r = sqlite3_step(statement);
        if (r == SQLITE_ROW)
                return 0;
        (void) sqlite3_reset(statement);
        return r == SQLITE_DONE ? RELAY_DATABASE_E_NO_ROW : to_errno(r);
}

/* A row still lent would keep its snapshot, and with it every page of the WAL, in use. */
static void return_row(RelayDatabase *database) {
        (void) sqlite3_reset(database->lent);
        database->lent = NULL;
}

void relay_database_lend(RelayDatabase *database, sqlite3_stmt *statement) {
        if (database->lent != statement)
                return_row(database);
        database->lent = statement;
}

int64_t relay_database_last_number(RelayDatabase *database) {
        return sqlite3_last_insert_rowid(database->db);
}

unsigned relay_database_n_changes(RelayDatabase *database) {
        return (unsigned) sqlite3_changes(database->db);
}

void relay_database_limit_space(RelayDatabase *database, uint64_t bytes) {
        database->space_max = bytes;
        database->room_is_known = false;
}

static int count_pages(RelayDatabase *database, Statement which, uint64_t *ret) {
        sqlite3_stmt *s = database->statements[which];
        int r = relay_database_run_row(s);

        if (r != 0)
                return r < 0 ? r : -EIO;
        *ret = (uint64_t) sqlite3_column_int64(s, 0);
        (void) sqlite3_reset(s);
        return 0;
}

/* SQLite keeps both counts in the file's first page, however much is stored. */
static int measure_room(RelayDatabase *database) {
        uint64_t n_pages, n_free, used;
        int r;

        r = count_pages(database, STATEMENT_PAGES, &n_pages);
        if (r == 0)
                r = count_pages(database, STATEMENT_FREE_PAGES, &n_free);
        if (r < 0)
                return r;
        used = (n_pages - n_free) * PAGE_SIZE;
        database->room = used < database->space_max ? database->space_max - used : 0;
        database->room_is_known = true;
        return 0;
}

int relay_database_take_room(RelayDatabase *database, size_t size) {
        int r;

        if (database->space_max == 0)
                return 0;
        if (!database->room_is_known) {
                r = measure_room(database);
                if (r < 0)
                        return r;
        }
        if (database->room < ROWS_SIZE + size)
                return RELAY_DATABASE_E_FULL;
        database->room -= ROWS_SIZE + size;
        return 0;
}

int relay_database_begin(RelayDatabase *database) {
        database->room_is_known = false;
        return relay_database_run(database->statements[STATEMENT_BEGIN]);
}

/* A second checkpoint beside the helper's is refused at once, whatever the busy timeout: SQLite
 * does not wait for that lock. Only this thread asks the helper, so that it stays idle afterwards.
 */
static void wait_for_helper(RelayDatabase *database) {
        (void) pthread_mutex_lock(&database->mutex);
        database->checkpoint_wanted = false;
        while (database->is_checkpointing)
                (void) pthread_cond_wait(&database->idle, &database->mutex);
        (void) pthread_mutex_unlock(&database->mutex);
}

/* Under constant load a PASSIVE checkpoint never catches up, so that the WAL would grow for ever:
 * at its bound this thread waits for one RESTART. */
static void bound_wal(RelayDatabase *database) {
        if (database->wal_pages < database->checkpoint_pages)
                database->checkpoint_pages = 0;
        if (database->wal_pages >= WAL_PAGES_MAX) {
                wait_for_helper(database);
                if (sqlite3_wal_checkpoint_v2(
                                    database->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL) ==
                                SQLITE_OK)
                        database->wal_pages = 0;
                return;
        }
        if (database->wal_pages - database->checkpoint_pages < WAL_PAGES_PASSIVE)
                return;
        database->checkpoint_pages = database->wal_pages;
        (void) pthread_mutex_lock(&database->mutex); /* which the helper holds for moments only */
        database->checkpoint_wanted = true;
        (void) pthread_cond_signal(&database->wake);
        (void) pthread_mutex_unlock(&database->mutex);
}

int relay_database_commit(RelayDatabase *database) {
        int r;

        return_row(database);
        r = relay_database_run(database->statements[STATEMENT_COMMIT]);
        if (r < 0)
                return r;
        if (database->has_helper)
                bound_wal(database);
        return 0;
}

void relay_database_rollback(RelayDatabase *database) {
        return_row(database);
        if (!sqlite3_get_autocommit(database->db)) /* SQLite may have rolled back by itself */
                (void) relay_database_run(database->statements[STATEMENT_ROLLBACK]);
}

int relay_database_settle(RelayDatabase *database) {
        int r;

        if (!database->has_helper || !database->has_committed)
                return 0;
        r = to_errno(sqlite3_wal_checkpoint_v2(
                        database->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
        if (r == 0) {
                database->has_committed = false;
                database->wal_pages = 0;
        }
        return r;
}
