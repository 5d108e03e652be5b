/* What happened to the shares of each tenant, as a stream that somebody can follow: one row for
 * each entry of a timeline, numbered by tenant, committed with the share's row.
 *
 * An append is on the way of every change of a share. So it waits in memory until the commit, apart
 * from what savepoints take back: in a savepoint of its own each would have to set the last page of
 * the table aside, which cost a twelfth of the gateway's time. Numbers are given out then, and have
 * no gaps. Where a tenant's end is remembered. */
#include "store-sqlite-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEP_TENANTS = 64 }; /* that one sweep looks at */

/* --- where numbers end --- */

/* Where in s->tails a tenant is, or would be. */
static size_t tail_place(const Store *s, const char *tenant, bool *ret_found) {
        size_t low = 0, high = s->n_tails;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(s->tails[middle].tenant, tenant);

                if (order == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        *ret_found = false;
        return low;
}

static int tail_insert(Store *s, size_t place, const char *tenant) {
        char *copy;

        if (s->n_tails == s->tails_allocated) {
                size_t allocated = s->tails_allocated ? s->tails_allocated * 2 : 16;
                EventTail *tails = reallocarray(s->tails, allocated, sizeof(EventTail));

                if (!tails)
                        return -ENOMEM;
                s->tails = tails;
                s->tails_allocated = allocated;
        }
        copy = strdup(tenant);
        if (!copy)
                return -ENOMEM;
        memmove(&s->tails[place + 1], &s->tails[place], (s->n_tails - place) * sizeof(EventTail));
        s->tails[place] = (EventTail){ .tenant = copy, .last = -1 };
        s->n_tails++;
        return 0;
}

/* The number that one of the two statements gives, zero for a tenant without events. */
static int read_number(Store *s, SqlStatement which, const char *tenant, int64_t *ret) {
        sqlite3_stmt *stmt = sql_statement(s, which);
        int r = 0;

        sql_bind_text(stmt, 1, tenant);
        if (sqlite3_step(stmt) == SQLITE_ROW)
                *ret = sqlite3_column_int64(stmt, 0);
        else
                r = sql_failed(s, "find an event");
        (void) sqlite3_reset(stmt);
        return r;
}

/* Borrowed until the next call. */
static int tail_find(Store *s, const char *tenant, EventTail **ret) {
        EventTail *tail;
        size_t place;
        bool found;
        int r;

        place = tail_place(s, tenant, &found);
        if (!found) {
                r = tail_insert(s, place, tenant);
                if (r < 0)
                        return r;
        }
        tail = &s->tails[place];
        if (tail->last < 0) {
                r = read_number(s, SQL_EVENT_LAST, tenant, &tail->last);
                if (r < 0)
                        return r;
        }
        *ret = tail;
        return 0;
}

void sql_events_free(Store *s) {
        for (size_t i = 0; i < s->n_tails; i++)
                free(s->tails[i].tenant);
        free(s->tails);
        free(s->pending);
        free(s->event_swept);
}

/* --- writing --- */

static int reserve(Store *s, size_t n) {
        size_t allocated = s->pending_allocated ? s->pending_allocated * 2 : 64;
        EventPending *pending;

        if (n <= s->pending_allocated)
                return 0;
        pending = reallocarray(s->pending, allocated, sizeof(EventPending));
        if (!pending)
                return -ENOMEM;
        s->pending = pending;
        s->pending_allocated = allocated;
        return 0;
}

int sql_events_append(Store *s, Share *share) {
        uint8_t policy[STORE_POLICY_SIZE] = { 0 };
        EventTail *tail;
        int r;

        if (share->n_noted == 0)
                return 0;
        if (share->n_noted > SHARE_NOTED_MAX)
                return -EOVERFLOW;
        r = tail_find(s, share->tenant, &tail);
        if (r >= 0)
                r = reserve(s, s->n_pending + (size_t) share->n_noted);
        if (r < 0)
                return r;
        if (s->observer.event)
                sql_policy_of(share, policy);
        for (int i = 0; i < share->n_noted; i++) {
                EventPending *pending = &s->pending[s->n_pending++];

                *pending = (EventPending){ .tenant = tail->tenant,
                        .event = { .share = share->n,
                                        .version = share->version,
                                        .at = share->created + share->noted[i].at,
                                        .event = (TimelineEvent) share->noted[i].event,
                                        .detail = share->noted[i].detail,
                                        .state = share->state } };
                memcpy(pending->policy, policy, sizeof(policy));
        }
        share->n_noted = 0;
        return sqlite3_get_autocommit(s->db) ? sql_events_write(s) : 0;
}

static int write_one(Store *s, const EventPending *pending) {
        const StoreEvent *event = &pending->event;
        sqlite3_stmt *stmt;
        EventTail *tail;
        int r;

        r = tail_find(s, pending->tenant, &tail);
        if (r < 0)
                return r;
        stmt = sql_statement(s, SQL_EVENT_PUT);
        sql_bind_text(stmt, 1, tail->tenant);
        sql_bind_number(stmt, 2, tail->last + 1);
        sql_bind_number(stmt, 3, event->share);
        sql_bind_number(stmt, 4, event->version);
        sql_bind_number(stmt, 5, event->at);
        sql_bind_number(stmt, 6, event->event);
        sql_bind_number(stmt, 7, event->detail);
        sql_bind_text(stmt, 8, lifecycle_state_name(event->state));
        r = sql_run(s, stmt);
        if (r < 0)
                return r;
        tail->last++;
        return s->observer.event ? s->observer.event(tail->tenant,
                                                   event,
                                                   pending->policy,
                                                   s->observer_userdata)
                                 : 0;
}

int sql_events_write(Store *s) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_pending; i++)
                r = write_one(s, &s->pending[i]);
        if (r >= 0 && s->n_pending > 0)
                s->event_written = true;
        s->n_pending = 0;
        return r;
}

void sql_events_forget(Store *s) {
        s->n_pending = s->n_marks = 0;
        for (size_t i = 0; i < s->n_tails; i++)
                s->tails[i].last = -1;
}

/* --- reading --- */

bool store_event_written(Store *s) {
        bool written = s->event_written;

        s->event_written = false;
        return written;
}

int store_event_last(Store *s, const char *tenant, int64_t *ret_last) {
        EventTail *tail;
        int r;

        r = tail_find(s, tenant, &tail);
        if (r >= 0)
                *ret_last = tail->last;
        return r;
}

int store_event_range(Store *s, const char *tenant, int64_t *ret_first, int64_t *ret_last) {
        int r;

        r = store_event_last(s, tenant, ret_last);
        return r < 0 ? r : read_number(s, SQL_EVENT_FIRST, tenant, ret_first);
}

static void read_event(sqlite3_stmt *stmt, StoreEvent *ret) {
        *ret = (StoreEvent){ .sequence = sqlite3_column_int64(stmt, 0),
                .share = sqlite3_column_int64(stmt, 1),
                .version = sqlite3_column_int64(stmt, 2),
                .at = sqlite3_column_int64(stmt, 3),
                .event = (TimelineEvent) sql_column_int(stmt, 4),
                .detail = sql_column_int(stmt, 5),
                .state = lifecycle_state_from_name((const char *) sqlite3_column_text(stmt, 6)) };
}

int store_event_each(Store *s,
                const char *tenant,
                int64_t after,
                int limit,
                StoreEventSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_EVENT_EACH);
        int code, r = 0;

        sql_bind_text(stmt, 1, tenant);
        sql_bind_number(stmt, 2, after);
        sql_bind_number(stmt, 3, limit);
        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                StoreEvent event;

                if (code != SQLITE_ROW) {
                        r = sql_failed(s, "list events");
                        break;
                }
                read_event(stmt, &event);
                r = seen(&event, userdata);
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

/* --- removing --- */

typedef struct Expired {
        int64_t from, to; /* what happened between these is still kept */
        int64_t last;     /* of the tenant */
        int64_t bound;    /* the last number to remove, or 0 */
        int n;
} Expired;

/* Times grow with the numbers, so the first that is young enough ends the walk. One from after now
 * is of a clock that was found wrong: with keep on both sides such rows do not stay for ever. */
static int see_expired(const StoreEvent *event, void *userdata) {
        Expired *expired = userdata;

        if (event->sequence == expired->last ||
                        (event->at > expired->from && event->at <= expired->to))
                return 1;
        expired->bound = event->sequence;
        expired->n++;
        return 0;
}

static int sweep_tenant(Store *s, const char *tenant, Expired *expired, int limit) {
        sqlite3_stmt *stmt;
        int r;

        r = store_event_last(s, tenant, &expired->last);
        if (r >= 0)
                r = store_event_each(s, tenant, 0, limit, see_expired, expired);
        if (r < 0 || expired->n == 0)
                return r;
        stmt = sql_statement(s, SQL_EVENT_REMOVE);
        sql_bind_text(stmt, 1, tenant);
        sql_bind_number(stmt, 2, expired->bound);
        return sql_run(s, stmt);
}

/* The next tenant with events after this one; NULL: there is none. */
static int next_tenant(Store *s, const char *after, char **ret) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_EVENT_TENANT);
        int code, r = 0;

        *ret = NULL;
        sql_bind_text(stmt, 1, after);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                r = sql_column_text(stmt, 0, ret);
        else if (code != SQLITE_DONE)
                r = sql_failed(s, "find a tenant's events");
        (void) sqlite3_reset(stmt);
        return r;
}

/* Goes on where the last sweep stopped, and round; with one tenant until its expired rows are gone.
 */
int store_event_sweep(Store *s, int64_t now, int64_t keep, int limit, bool *ret_more) {
        *ret_more = false;
        for (int i = 0; i < SWEEP_TENANTS; i++) {
                Expired expired = { .from = now - keep, .to = now + keep };
                _cleanup_(freep) char *tenant = NULL;
                int r;

                r = next_tenant(s, s->event_swept ? s->event_swept : "", &tenant);
                if (r < 0)
                        return r;
                if (tenant) {
                        r = sweep_tenant(s, tenant, &expired, limit);
                        if (r < 0)
                                return r;
                        limit -= expired.n;
                        *ret_more = limit == 0;
                        if (*ret_more)
                                return 0;
                }
                free(s->event_swept);
                s->event_swept = TAKE_PTR(tenant);
                if (!s->event_swept) /* all round; the next sweep begins anew */
                        return 0;
        }
        return 0;
}
