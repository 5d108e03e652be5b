/* Questions that wait until a share changes, or until its tenant has an event. */
#include <errno.h>

#include "front.h"

enum {
        WATCHERS_MAX = 10000,
        FULL_RETRY_SECONDS = 5,
};

struct Watcher {
        Watcher *next;
        Ask *ask;
        int64_t share;  /* or 0: waits for an event */
        uint64_t until; /* boot time */
};

static int compare_numbers(const void *a, const void *b) {
        int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

        return x < y ? -1 : x > y;
}

static bool was_changed(const Gateway *g, int64_t share) {
        return g->n_published > 0 &&
               bsearch(&share, g->published, g->n_published, sizeof(int64_t), compare_numbers);
}

static bool is_full(Ask *ask) {
        if (ask->gateway->n_watchers < WATCHERS_MAX)
                return false;
        ask->retry_after = FULL_RETRY_SECONDS;
        (void) ask_refuse(ask,
                        503,
                        "busy",
                        "Too many questions wait",
                        "The gateway has %d questions that wait. Ask again as Retry-After says.",
                        WATCHERS_MAX);
        return true;
}

/* What cannot be known is answered: the question then tells why. */
static bool has_event(const Ask *ask) {
        int64_t last;

        return store_event_last(ask->gateway->store, ask->tenant->id, &last) < 0 ||
               last > ask->after;
}

bool front_watch(Ask *ask) {
        Gateway *g = ask->gateway;
        Watcher *watcher;

        /* Whoever asked may have gone before the batch ran, and the batch that read the share, or
         * the events, may have changed that after it. An answer at once that says nothing new would
         * be asked for again at once. */
        if (ask->forgotten || (ask->follow ? has_event(ask) : was_changed(g, ask->watch)) ||
                        is_full(ask))
                return false;
        watcher = calloc(1, sizeof(*watcher));
        if (!watcher)
                return false;
        *watcher = (Watcher){ .next = g->watchers,
                .ask = ask,
                .share = ask->watch,
                .until = time_boot() + (uint64_t) ask->wait * USEC_PER_SEC };
        g->watchers = watcher;
        g->n_watchers++;
        return true;
}

static Ask *watcher_take(Gateway *g, Watcher **p) {
        Watcher *watcher = *p;
        Ask *ask = watcher->ask;

        *p = watcher->next;
        g->n_watchers--;
        free(watcher);
        return ask;
}

/* Asks again on behalf of a watcher, this time for an answer. */
static void watcher_wake(Gateway *g, Watcher **p) {
        Ask *ask = watcher_take(g, p);

        ask->watch = 0;
        ask->follow = false;
        (void) json_object_del(ask->frame, "wait");
        json_decref(ask->body);
        ask->body = NULL;
        (void) front_submit(ask);
}

void watchers_publish(Gateway *g) {
        int64_t *room = g->published;
        size_t allocated = g->published_allocated;
        bool events;

        g->published = g->changed;
        g->published_allocated = g->changed_allocated;
        g->n_published = g->n_changed_kept;
        g->changed = room;
        g->changed_allocated = allocated;
        g->n_changed = g->n_changed_kept = 0;
        events = store_event_written(g->store);
        if (g->n_published == 0 && !events)
                return;
        if (g->n_published > 0)
                qsort(g->published, g->n_published, sizeof(int64_t), compare_numbers);
        for (Watcher **p = &g->watchers; *p;) {
                if ((*p)->share ? was_changed(g, (*p)->share) : events && has_event((*p)->ask))
                        watcher_wake(g, p);
                else
                        p = &(*p)->next;
        }
}

void watchers_reload(Gateway *g) {
        while (g->watchers)
                watcher_wake(g, &g->watchers);
}

void watchers_forget(Gateway *g, const Ask *ask) {
        for (Watcher **p = &g->watchers; *p; p = &(*p)->next) {
                if ((*p)->ask == ask) {
                        ask_answer(watcher_take(g, p));
                        return;
                }
        }
}

void watchers_expire(Gateway *g) {
        uint64_t now = time_boot();

        for (Watcher **p = &g->watchers; *p;) {
                if ((*p)->until <= now)
                        watcher_wake(g, p);
                else
                        p = &(*p)->next;
        }
}

void watchers_drop_link(Gateway *g, PluginLink *link) {
        for (Watcher **p = &g->watchers; *p;) {
                if (link && (*p)->ask->request.link != link)
                        p = &(*p)->next;
                else
                        ask_free(watcher_take(g, p));
        }
}
