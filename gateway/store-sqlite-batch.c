/* Transactions, their savepoints, and the log they leave: a helper thread with a connection of its
 * own copies the WAL back, so that the loop waits for a checkpoint only above the log's limit. */
#include "store-sqlite-internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>

enum {
        CHECKPOINT_PAGES =
                        150, /* so many the helper copies at a time; commits beside it are slow */
        RESTART_PAGES = 64 * 1024 * 1024 / STORE_PAGE_SIZE,
};

int store_begin(Store *s) {
        return sql_run(s, sql_statement(s, SQL_BEGIN));
}

int store_commit(Store *s) {
        int r;

        r = sql_events_write(s);
        if (r >= 0 && s->observer.end)
                r = s->observer.end(s->observer_userdata);
        if (r >= 0)
                r = sql_run(s, sql_statement(s, SQL_COMMIT));
        if (r < 0)
                store_rollback(s);
        else if (s->observer.committed)
                s->observer.committed(s->observer_userdata);
        s->n_marks = 0;
        /* At the log's limit the next checkpoint is the loop's, which a busy helper would refuse.
         */
        if (r >= 0 && s->wal_pages - s->wal_seen >= CHECKPOINT_PAGES && !store_needs_restart(s)) {
                s->wal_seen = s->wal_pages;
                (void) pthread_mutex_lock(&s->mutex);
                s->wanted = true;
                (void) pthread_cond_signal(&s->condition);
                (void) pthread_mutex_unlock(&s->mutex);
        }
        return r;
}

void store_rollback(Store *s) {
        sql_events_forget(s);
        if (!sqlite3_get_autocommit(s->db))
                (void) sql_run(s, sql_statement(s, SQL_ROLLBACK));
        if (s->observer.rolled_back)
                s->observer.rolled_back(s->observer_userdata);
}

int store_mark(Store *s) {
        int r;

        assert(s->n_marks < STORE_MARKS_MAX);
        r = sql_run(s, sql_statement(s, SQL_MARK));
        if (r >= 0)
                s->marks[s->n_marks++] = s->n_pending;
        return r;
}

int store_release(Store *s) {
        int r;

        assert(s->n_marks > 0);
        r = sql_run(s, sql_statement(s, SQL_RELEASE));
        if (r >= 0)
                s->n_marks--;
        return r;
}

int store_return(Store *s) {
        int r;

        r = sql_run(s, sql_statement(s, SQL_RETURN));
        if (r < 0)
                return r;
        assert(s->n_marks > 0);
        s->n_pending = s->marks[s->n_marks - 1];
        return store_release(s);
}

bool store_needs_restart(const Store *s) {
        return s->wal_pages >= RESTART_PAGES;
}

int store_checkpoint(Store *s, bool truncate) {
        int code;

        /* The helper may be at it: then the loop does not wait, but comes again. */
        (void) sqlite3_busy_timeout(s->db, 0);
        code = sqlite3_wal_checkpoint_v2(s->db,
                        NULL,
                        truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART,
                        NULL,
                        NULL);
        (void) sqlite3_busy_timeout(s->db, STORE_BUSY_MSEC);
        if (code == SQLITE_BUSY)
                return -EBUSY;
        if (code != SQLITE_OK)
                return sql_failed(s, "write its log back");
        s->wal_pages = s->wal_seen = 0;
        return 0;
}

static int on_wal(void *userdata, sqlite3 *db, const char *name, int pages) {
        Store *s = userdata;

        (void) db;
        (void) name;
        if (pages < s->wal_pages) /* the log was restarted: what was seen of it is gone */
                s->wal_seen = 0;
        s->wal_pages = pages;
        return SQLITE_OK;
}

static void *helper_run(void *userdata) {
        Store *s = userdata;

        (void) pthread_mutex_lock(&s->mutex);
        for (;;) {
                while (!s->wanted && !s->ending)
                        (void) pthread_cond_wait(&s->condition, &s->mutex);
                if (s->ending)
                        break;
                s->wanted = false;
                (void) pthread_mutex_unlock(&s->mutex);
                (void) sqlite3_wal_checkpoint_v2(
                                s->helper_db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
                (void) pthread_mutex_lock(&s->mutex);
        }
        (void) pthread_mutex_unlock(&s->mutex);
        return NULL;
}

/* The helper takes no signals: they belong to the loop. */
int store_helper_start(Store *s) {
        sigset_t all, before;
        int r;

        (void) sqlite3_wal_hook(s->db, on_wal, s);
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&s->helper, NULL, helper_run, s);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;
        s->has_helper = true;
        return 0;
}

void store_helper_end(Store *s) {
        if (!s->has_helper)
                return;
        (void) pthread_mutex_lock(&s->mutex);
        s->ending = true;
        (void) pthread_cond_signal(&s->condition);
        (void) pthread_mutex_unlock(&s->mutex);
        (void) pthread_join(s->helper, NULL);
        s->has_helper = false;
}
