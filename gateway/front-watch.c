/* Questions that wait until a share changes, or until its tenant has an event. */
#include <errno.h>

#include "front.h"

enum { WATCHERS_MAX = 10000 };

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

/* What cannot be known is answered: the question then tells why. */
static bool has_event(const Ask *ask) {
        int64_t last;

        return store_event_last(ask->gateway->store, ask->tenant->id, &last) < 0 ||
               last > ask->after;
}

bool front_watch(Ask *ask) {
        Gateway *g = ask->gateway;
        Watcher *watcher;

        /* The batch that read the share, or the events, may have changed that after it. */
        if (g->n_watchers >= WATCHERS_MAX ||
                        (ask->follow ? has_event(ask) : was_changed(g, ask->watch)))
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

/* Asks again on behalf of a watcher, this time for an answer. */
static void watcher_wake(Gateway *g, Watcher **p) {
        Watcher *watcher = *p;
        Ask *ask = watcher->ask;

        *p = watcher->next;
        g->n_watchers--;
        free(watcher);
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
        qsort(g->published, g->n_published, sizeof(int64_t), compare_numbers);
        for (Watcher **p = &g->watchers; *p;) {
                if ((*p)->share ? was_changed(g, (*p)->share) : events && has_event((*p)->ask))
                        watcher_wake(g, p);
                else
                        p = &(*p)->next;
        }
}

void watchers_reload(Gateway *g) {
        for (Watcher **p = &g->watchers; *p;) {
                if ((*p)->ask->follow)
                        watcher_wake(g, p);
                else
                        p = &(*p)->next;
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
                Watcher *watcher = *p;

                if (link && watcher->ask->request.link != link) {
                        p = &watcher->next;
                        continue;
                }
                *p = watcher->next;
                g->n_watchers--;
                ask_free(watcher->ask);
                free(watcher);
        }
}
