#include "mailbox-store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

enum {
        SCHEMA_VERSION = 1,
        PAGE_SIZE = 4096,
        WAL_PAGES_PASSIVE = 8 * 1024 * 1024 / PAGE_SIZE,
        WAL_PAGES_MAX = 64 * 1024 * 1024 / PAGE_SIZE,
};

/* Content lies apart, so that the rows which decisions read stay small. Claims outlive a deleted
 * mailbox until its expiration: a late repetition of its Create must not make a second one. Rows
 * are numbered as they come, so that only the two lookups by random value touch random pages. */
static const char schema[] =
                "CREATE TABLE mailbox (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
                " initiator BLOB NOT NULL, recipient BLOB, rights INTEGER NOT NULL,"
                " expiration INTEGER NOT NULL, initiator_token INTEGER NOT NULL,"
                " recipient_token INTEGER NOT NULL) STRICT;"
                "CREATE INDEX mailbox_expiration ON mailbox (expiration);"
                "CREATE TABLE content (number INTEGER PRIMARY KEY, display TEXT NOT NULL,"
                " payload TEXT NOT NULL) STRICT;"
                "CREATE TABLE claim (number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE,"
                " request BLOB NOT NULL, mailbox BLOB, expiration INTEGER NOT NULL) STRICT;"
                "CREATE INDEX claim_expiration ON claim (expiration);"
                "PRAGMA user_version = 1;";

typedef enum Statement {
        STATEMENT_BEGIN,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_FIND,
        STATEMENT_FIND_CLAIM,
        STATEMENT_READ,
        STATEMENT_INSERT_MAILBOX,
        STATEMENT_INSERT_CONTENT,
        STATEMENT_DELETE_MAILBOX,
        STATEMENT_DELETE_CONTENT,
        STATEMENT_SET_PARTIES,
        STATEMENT_SET_PAYLOAD,
        STATEMENT_INSERT_CLAIM,
        STATEMENT_SET_CLAIM_REQUEST,
        STATEMENT_SET_CLAIM,
        STATEMENT_SWEEP_CONTENT,
        STATEMENT_SWEEP_MAILBOX,
        STATEMENT_SWEEP_CLAIM,
        _STATEMENT_MAX,
} Statement;

#define EXPIRED(table, column) \
        "SELECT " column " FROM " table " WHERE expiration <= ?1 ORDER BY expiration LIMIT ?2"

static const char *const statement_texts[_STATEMENT_MAX] = {
        /* Deferred: a batch that only reads takes no write lock and syncs nothing. */
        [STATEMENT_BEGIN] = "BEGIN",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_ROLLBACK] = "ROLLBACK",
        [STATEMENT_FIND] =
                        "SELECT number, initiator, recipient, rights, expiration, initiator_token,"
                        " recipient_token FROM mailbox WHERE id = ?1",
        [STATEMENT_FIND_CLAIM] = "SELECT request, mailbox, expiration FROM claim WHERE hash = ?1",
        [STATEMENT_READ] = "SELECT display, payload FROM content WHERE number = ?1",
        [STATEMENT_INSERT_MAILBOX] =
                        "INSERT INTO mailbox (id, initiator, recipient, rights, expiration,"
                        " initiator_token, recipient_token) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [STATEMENT_INSERT_CONTENT] =
                        "INSERT INTO content (number, display, payload) VALUES (?1, ?2, ?3)",
        [STATEMENT_DELETE_MAILBOX] = "DELETE FROM mailbox WHERE number = ?1",
        [STATEMENT_DELETE_CONTENT] = "DELETE FROM content WHERE number = ?1",
        [STATEMENT_SET_PARTIES] = "UPDATE mailbox SET recipient = ?2, initiator_token = ?3,"
                                  " recipient_token = ?4 WHERE number = ?1",
        [STATEMENT_SET_PAYLOAD] = "UPDATE content SET payload = ?2 WHERE number = ?1",
        [STATEMENT_INSERT_CLAIM] = "INSERT INTO claim (hash, request, mailbox, expiration)"
                                   " VALUES (?1, ?2, ?3, ?4)",
        [STATEMENT_SET_CLAIM_REQUEST] = "UPDATE claim SET request = ?2 WHERE hash = ?1",
        [STATEMENT_SET_CLAIM] = "UPDATE claim SET request = ?2, mailbox = coalesce(?3, mailbox),"
                                " expiration = max(expiration, ?4) WHERE hash = ?1",
        [STATEMENT_SWEEP_CONTENT] =
                        "DELETE FROM content WHERE number IN (" EXPIRED("mailbox", "number") ")",
        [STATEMENT_SWEEP_MAILBOX] =
                        "DELETE FROM mailbox WHERE number IN (" EXPIRED("mailbox", "number") ")",
        [STATEMENT_SWEEP_CLAIM] =
                        "DELETE FROM claim WHERE number IN (" EXPIRED("claim", "number") ")",
};

struct MailboxStore {
        sqlite3 *db;
        sqlite3_stmt *statements[_STATEMENT_MAX];
        int lock_fd;

        /* Only the loop's thread uses these. */
        int wal_pages, checkpoint_pages; /* now; when a checkpoint was last asked for */
        bool has_committed;              /* since the WAL was last emptied */

        pthread_t helper;
        bool has_helper;
        pthread_mutex_t mutex;
        pthread_cond_t wake;
        bool checkpoint_wanted, stop; /* under mutex */
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
        MailboxStore *store = userdata;

        (void) db;
        (void) name;
        store->wal_pages = pages;
        store->has_committed = true;
        return SQLITE_OK;
}

static void *helper_main(void *userdata) {
        MailboxStore *store = userdata;
        sqlite3 *db = NULL;

        if (sqlite3_open_v2(store->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
                        SQLITE_OK) {
                (void) sqlite3_close(db);
                return NULL; /* the loop's own checkpoint at the WAL's bound still holds */
        }
        /* The first read makes the connection notice that there is a WAL to work on. */
        (void) sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA user_version", NULL, NULL, NULL);

        (void) pthread_mutex_lock(&store->mutex);
        while (!store->stop) {
                if (!store->checkpoint_wanted) {
                        (void) pthread_cond_wait(&store->wake, &store->mutex);
                        continue;
                }
                store->checkpoint_wanted = false;
                (void) pthread_mutex_unlock(&store->mutex);
                (void) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
                (void) pthread_mutex_lock(&store->mutex);
        }
        (void) pthread_mutex_unlock(&store->mutex);

        (void) sqlite3_close(db);
        return NULL;
}

static int execute(MailboxStore *store, const char *sql) {
        return to_errno(sqlite3_exec(store->db, sql, NULL, NULL, NULL));
}

static int lock_folder(MailboxStore *store, const char *folder) {
        char path[sizeof(store->path)];

        if ((size_t) snprintf(path, sizeof(path), "%s/lock", folder) >= sizeof(path))
                return -ENAMETOOLONG;
        store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (store->lock_fd < 0)
                return -errno;
        if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        return 0;
}

static int schema_version(MailboxStore *store, int *ret) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = to_errno(sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &statement, NULL));
        if (r == 0)
                r = to_errno(sqlite3_step(statement));
        if (r == 0)
                *ret = sqlite3_column_int(statement, 0);
        (void) sqlite3_finalize(statement);
        return r;
}

static int prepare_schema(MailboxStore *store) {
        int version = 0, r;

        r = schema_version(store, &version);
        if (r < 0)
                return r;
        if (version > SCHEMA_VERSION)
                return MAILBOX_STORE_E_OTHER;
        if (version == SCHEMA_VERSION)
                return 0;

        r = execute(store, "BEGIN IMMEDIATE");
        if (r < 0)
                return r;
        r = execute(store, schema);
        if (r < 0)
                return r;
        return execute(store, "COMMIT");
}

static int configure(MailboxStore *store, bool on_disk) {
        char pragma[64];
        int r;

        (void) snprintf(pragma, sizeof(pragma), "PRAGMA page_size = %d", PAGE_SIZE);
        r = execute(store, pragma);
        if (r == 0)
                /* FAST overwrites deleted rows where that costs no further write. */
                r = execute(store, "PRAGMA secure_delete = FAST; PRAGMA cache_size = -65536");
        if (r == 0 && on_disk)
                r = execute(store,
                                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                "PRAGMA wal_autocheckpoint = 0");
        if (r == 0)
                r = prepare_schema(store);
        for (size_t i = 0; r == 0 && i < _STATEMENT_MAX; i++)
                r = to_errno(sqlite3_prepare_v3(store->db,
                                statement_texts[i],
                                -1,
                                SQLITE_PREPARE_PERSISTENT,
                                &store->statements[i],
                                NULL));
        return r;
}

static int start_helper(MailboxStore *store) {
        int r;

        (void) sqlite3_wal_hook(store->db, on_wal, store);
        r = pthread_create(&store->helper, NULL, helper_main, store);
        if (r != 0)
                return -r;
        store->has_helper = true;
        return 0;
}

int mailbox_store_open(MailboxStore **ret, const char *folder, const char **ret_reason) {
        _cleanup_(mailbox_store_freep) MailboxStore *store = NULL;
        mode_t mask;
        int r;

        *ret_reason = "the state folder cannot be used";
        store = calloc(1, sizeof(*store));
        if (!store)
                return -ENOMEM;
        store->lock_fd = -1;
        (void) pthread_mutex_init(&store->mutex, NULL);
        (void) pthread_cond_init(&store->wake, NULL);

        if (folder) {
                r = lock_folder(store, folder);
                if (r < 0)
                        return r;
                if ((size_t) snprintf(
                                    store->path, sizeof(store->path), "%s/relay.sqlite", folder) >=
                                sizeof(store->path))
                        return -ENAMETOOLONG;
        }

        mask = umask(0077);
        r = to_errno(sqlite3_open_v2(folder ? store->path : ":memory:",
                        &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL));
        if (r == 0) {
                (void) sqlite3_busy_timeout(store->db, 5000); /* the helper's checkpoint, at most */
                r = configure(store, folder != NULL);
        }
        (void) umask(mask);
        if (r == 0 && folder)
                r = start_helper(store);
        if (r != 0) {
                if (store->db)
                        *ret_reason = sqlite3_errstr(sqlite3_extended_errcode(store->db));
                return r;
        }

        *ret = TAKE_PTR(store);
        return 0;
}

MailboxStore *mailbox_store_free(MailboxStore *store) {
        if (!store)
                return NULL;

        if (store->has_helper) {
                (void) pthread_mutex_lock(&store->mutex);
                store->stop = true;
                (void) pthread_cond_signal(&store->wake);
                (void) pthread_mutex_unlock(&store->mutex);
                (void) pthread_join(store->helper, NULL);
        }
        for (size_t i = 0; i < _STATEMENT_MAX; i++)
                (void) sqlite3_finalize(store->statements[i]);
        (void) sqlite3_close(store->db);
        (void) close_fd(store->lock_fd);
        (void) pthread_cond_destroy(&store->wake);
        (void) pthread_mutex_destroy(&store->mutex);
        free(store);
        return NULL;
}

/* Binding: values stay with the caller until run() has returned. */
static void bind_blob(sqlite3_stmt *statement, int n, const void *data, int size) {
        (void) sqlite3_bind_blob(statement, n, data, size, SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *statement, int n, const char *text) {
        (void) sqlite3_bind_text(statement, n, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *statement, int n, int64_t number) {
        (void) sqlite3_bind_int64(statement, n, number);
}

static int run(MailboxStore *store, Statement which) {
        sqlite3_stmt *statement = store->statements[which];
        int r;

        r = sqlite3_step(statement);
        (void) sqlite3_reset(statement);
        assert(r != SQLITE_ROW);
        return to_errno(r);
}

/* Steps to the only row; the caller resets. */
static int run_row(sqlite3_stmt *statement) {
        int r;

        r = sqlite3_step(statement);
        if (r == SQLITE_ROW)
                return 0;
        (void) sqlite3_reset(statement);
        return r == SQLITE_DONE ? MAILBOX_STORE_E_NONE : to_errno(r);
}

/* Our own file may have been damaged: a blob of another size is read as zeros, which match nothing.
 */
static void column_blob(sqlite3_stmt *statement, int n, uint8_t *ret, size_t size) {
        const void *data = sqlite3_column_blob(statement, n);

        if (data && (size_t) sqlite3_column_bytes(statement, n) == size)
                memcpy(ret, data, size);
        else
                memset(ret, 0, size);
}

int mailbox_store_begin(MailboxStore *store) {
        return run(store, STATEMENT_BEGIN);
}

/* Under constant load a PASSIVE checkpoint never catches up, so that the WAL would grow for ever:
 * at its bound this thread waits for one RESTART. */
static void bound_wal(MailboxStore *store) {
        if (store->wal_pages < store->checkpoint_pages)
                store->checkpoint_pages = 0;
        if (store->wal_pages >= WAL_PAGES_MAX) {
                if (sqlite3_wal_checkpoint_v2(
                                    store->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL) ==
                                SQLITE_OK)
                        store->wal_pages = 0;
                return;
        }
        if (store->wal_pages - store->checkpoint_pages < WAL_PAGES_PASSIVE)
                return;
        store->checkpoint_pages = store->wal_pages;
        (void) pthread_mutex_lock(&store->mutex); /* which the helper holds for moments only */
        store->checkpoint_wanted = true;
        (void) pthread_cond_signal(&store->wake);
        (void) pthread_mutex_unlock(&store->mutex);
}

/* A row still borrowed would keep its snapshot, and with it every page of the WAL, in use. */
static void return_row(MailboxStore *store) {
        (void) sqlite3_reset(store->statements[STATEMENT_READ]);
}

int mailbox_store_commit(MailboxStore *store) {
        int r;

        return_row(store);
        r = run(store, STATEMENT_COMMIT);
        if (r < 0)
                return r;
        if (store->has_helper)
                bound_wal(store);
        return 0;
}

void mailbox_store_rollback(MailboxStore *store) {
        return_row(store);
        if (!sqlite3_get_autocommit(store->db)) /* SQLite may have rolled back by itself */
                (void) run(store, STATEMENT_ROLLBACK);
}

int mailbox_store_find(MailboxStore *store, const uint8_t id[RELAY_ID_SIZE], Mailbox *ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_FIND];
        int r;

        bind_blob(s, 1, id, RELAY_ID_SIZE);
        r = run_row(s);
        if (r != 0)
                return r;

        *ret = (Mailbox){
                .number = sqlite3_column_int64(s, 0),
                .is_bound = sqlite3_column_type(s, 2) != SQLITE_NULL,
                .rights = (unsigned) sqlite3_column_int(s, 3),
                .expiration = sqlite3_column_int64(s, 4),
                .initiator_token = (uint64_t) sqlite3_column_int64(s, 5),
                .recipient_token = (uint64_t) sqlite3_column_int64(s, 6),
        };
        column_blob(s, 1, ret->initiator, sizeof(ret->initiator));
        column_blob(s, 2, ret->recipient, sizeof(ret->recipient));
        (void) sqlite3_reset(s);
        return 0;
}

int mailbox_store_find_claim(
                MailboxStore *store, const uint8_t claim[RELAY_CLAIM_SIZE], MailboxClaim *ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_FIND_CLAIM];
        int r;

        bind_blob(s, 1, claim, RELAY_CLAIM_SIZE);
        r = run_row(s);
        if (r != 0)
                return r;

        column_blob(s, 0, ret->request_id, sizeof(ret->request_id));
        ret->has_mailbox = sqlite3_column_type(s, 1) != SQLITE_NULL;
        column_blob(s, 1, ret->mailbox, sizeof(ret->mailbox));
        ret->expiration = sqlite3_column_int64(s, 2);
        (void) sqlite3_reset(s);
        return 0;
}

int mailbox_store_read(MailboxStore *store, int64_t number, MailboxContent *ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_READ];
        int r;

        return_row(store);
        bind_number(s, 1, number);
        r = run_row(s);
        if (r != 0)
                return r;

        ret->display = (const char *) sqlite3_column_text(s, 0);
        ret->display_size = (size_t) sqlite3_column_bytes(s, 0);
        ret->payload = (const char *) sqlite3_column_text(s, 1);
        ret->payload_size = (size_t) sqlite3_column_bytes(s, 1);
        return ret->display && ret->payload ? 0 : -ENOMEM;
}

static void bind_parties(sqlite3_stmt *s, int recipient, int tokens, const Mailbox *mailbox) {
        if (mailbox->is_bound)
                bind_blob(s, recipient, mailbox->recipient, sizeof(mailbox->recipient));
        else
                (void) sqlite3_bind_null(s, recipient);
        bind_number(s, tokens, (int64_t) mailbox->initiator_token);
        bind_number(s, tokens + 1, (int64_t) mailbox->recipient_token);
}

int mailbox_store_insert(MailboxStore *store,
                const uint8_t id[RELAY_ID_SIZE],
                const Mailbox *mailbox,
                const char *display,
                const char *payload) {
        sqlite3_stmt *s = store->statements[STATEMENT_INSERT_MAILBOX];
        int r;

        bind_blob(s, 1, id, RELAY_ID_SIZE);
        bind_blob(s, 2, mailbox->initiator, sizeof(mailbox->initiator));
        bind_number(s, 4, mailbox->rights);
        bind_number(s, 5, mailbox->expiration);
        bind_parties(s, 3, 6, mailbox);
        r = run(store, STATEMENT_INSERT_MAILBOX);
        if (r < 0)
                return r;

        s = store->statements[STATEMENT_INSERT_CONTENT];
        bind_number(s, 1, sqlite3_last_insert_rowid(store->db));
        bind_text(s, 2, display);
        bind_text(s, 3, payload);
        return run(store, STATEMENT_INSERT_CONTENT);
}

int mailbox_store_delete(MailboxStore *store, int64_t number) {
        int r;

        bind_number(store->statements[STATEMENT_DELETE_CONTENT], 1, number);
        r = run(store, STATEMENT_DELETE_CONTENT);
        if (r < 0)
                return r;
        bind_number(store->statements[STATEMENT_DELETE_MAILBOX], 1, number);
        return run(store, STATEMENT_DELETE_MAILBOX);
}

int mailbox_store_set_parties(MailboxStore *store, const Mailbox *mailbox) {
        sqlite3_stmt *s = store->statements[STATEMENT_SET_PARTIES];

        bind_number(s, 1, mailbox->number);
        bind_parties(s, 2, 3, mailbox);
        return run(store, STATEMENT_SET_PARTIES);
}

int mailbox_store_set_payload(MailboxStore *store, int64_t number, const char *payload) {
        sqlite3_stmt *s = store->statements[STATEMENT_SET_PAYLOAD];

        bind_number(s, 1, number);
        bind_text(s, 2, payload);
        return run(store, STATEMENT_SET_PAYLOAD);
}

int mailbox_store_set_claim(MailboxStore *store,
                const uint8_t claim[RELAY_CLAIM_SIZE],
                const MailboxClaim *row,
                const MailboxClaim *old) {
        Statement which = STATEMENT_INSERT_CLAIM;
        sqlite3_stmt *s;

        if (old) /* an update that leaves the expiration alone leaves its index alone, too */
                which = row->has_mailbox || row->expiration > old->expiration
                                        ? STATEMENT_SET_CLAIM
                                        : STATEMENT_SET_CLAIM_REQUEST;
        s = store->statements[which];
        bind_blob(s, 1, claim, RELAY_CLAIM_SIZE);
        bind_blob(s, 2, row->request_id, sizeof(row->request_id));
        if (which != STATEMENT_SET_CLAIM_REQUEST) {
                if (row->has_mailbox)
                        bind_blob(s, 3, row->mailbox, sizeof(row->mailbox));
                else
                        (void) sqlite3_bind_null(s, 3);
                bind_number(s, 4, row->expiration);
        }
        return run(store, which);
}

static int sweep(MailboxStore *store, int64_t now, unsigned limit, unsigned *ret) {
        static const Statement order[] = {
                STATEMENT_SWEEP_CONTENT, STATEMENT_SWEEP_MAILBOX, STATEMENT_SWEEP_CLAIM
        };
        unsigned n = 0;
        int r;

        for (size_t i = 0; i < N_ELEMENTS(order); i++) {
                bind_number(store->statements[order[i]], 1, now);
                bind_number(store->statements[order[i]], 2, limit);
                r = run(store, order[i]);
                if (r < 0)
                        return r;
                n += (unsigned) sqlite3_changes(store->db);
        }
        *ret = n;
        return mailbox_store_commit(store);
}

int mailbox_store_sweep(MailboxStore *store, int64_t now, unsigned limit, unsigned *ret) {
        int r;

        r = mailbox_store_begin(store);
        if (r < 0)
                return r;
        r = sweep(store, now, limit, ret);
        if (r < 0)
                mailbox_store_rollback(store);
        return r;
}

int mailbox_store_settle(MailboxStore *store) {
        int r;

        if (!store->has_helper || !store->has_committed)
                return 0;
        r = to_errno(sqlite3_wal_checkpoint_v2(
                        store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
        if (r == 0) {
                store->has_committed = false;
                store->wal_pages = 0;
        }
        return r;
}
