/* The stream of what happened to a tenant's shares, as far as somebody has read it: what came
 * after a number, at once or when there is something. */
#include <errno.h>

#include "front.h"

enum { NUMBER_MAX_BITS = 53 }; /* what a JSON number holds exactly everywhere */

/* An event takes less than 320 bytes as JSON, so that as many as a list gives stay below 32 KiB. */
typedef struct Page {
        Ask *ask;
        json_t *events; /* borrowed from the answer */
        int64_t cursor;
} Page;

static int add_event(const StoreEvent *event, void *userdata) {
        Page *page = userdata;

        if (json_array_append_new(page->events, event_json(page->ask->gateway, event)) < 0)
                return -ENOMEM;
        page->cursor = event->sequence;
        return 0;
}

/* What came before this event is not there any more, or what the reader has read never was, as in
 * a store that was restored: nothing is lost without a word. */
static int add_reset(Page *page) {
        return json_array_append_new(page->events,
                               json_pack("{s:I, s:s}",
                                               "sequence",
                                               (json_int_t) page->cursor,
                                               "type",
                                               "reset")) < 0
                               ? -ENOMEM
                               : 0;
}

static int read_page(Page *page, bool from_now_on, int limit) {
        Store *store = page->ask->gateway->store;
        const char *tenant = page->ask->tenant->id;
        int64_t first, last;
        int r;

        r = store_event_range(store, tenant, &first, &last);
        if (r < 0)
                return r;
        if (from_now_on)
                page->cursor = last;
        if (page->cursor > last || page->cursor + 1 < first) {
                page->cursor = page->cursor > last ? last : first - 1;
                r = add_reset(page);
                limit--;
        }
        if (r < 0 || page->cursor == last)
                return r;
        return store_event_each(store, tenant, page->cursor, limit, add_event, page);
}

static int limit_of(const json_t *credit) {
        json_int_t limit = json_integer_value(credit);

        return limit >= 1 && limit < SHARE_LIMIT_LIST ? (int) limit : SHARE_LIMIT_LIST;
}

int front_event_follow(Ask *ask) {
        const json_t *after = json_object_get(ask->frame, "after");
        json_int_t wait = json_integer_value(json_object_get(ask->frame, "wait"));
        Page page = { .ask = ask, .cursor = json_integer_value(after) };
        int r;

        if (after && (!json_is_integer(after) || page.cursor < 0 ||
                                     page.cursor >> NUMBER_MAX_BITS != 0))
                return ask_refuse(ask,
                                422,
                                "invalid-member",
                                "A member is not acceptable",
                                "`after` must be the number of an event.");
        ask->status = 200;
        ask->body = json_pack("{s:s, s:[]}", "tenant", ask->tenant->id, "events");
        page.events = json_object_get(ask->body, "events");
        if (!page.events)
                return -ENOMEM;
        r = read_page(&page, !after, limit_of(json_object_get(ask->frame, "credit")));
        /* Who waits is woken by a change after this one, not after the next time it is asked. */
        if (r >= 0 && json_object_set_new(ask->frame, "after", json_integer(page.cursor)) < 0)
                r = -ENOMEM;
        if (r >= 0 && json_object_set_new(ask->body, "cursor", json_integer(page.cursor)) < 0)
                r = -ENOMEM;
        if (r >= 0 && wait > 0 && json_array_size(page.events) == 0) {
                ask->follow = true;
                ask->after = page.cursor;
                ask->wait = wait < SHARE_LIMIT_WAIT ? wait : SHARE_LIMIT_WAIT;
        }
        return r;
}
