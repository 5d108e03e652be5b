/* The stream of what happened to a tenant's shares, as far as somebody has read it: what came
 * after a number, at once or when there is something. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "front.h"

enum {
        NUMBER_MAX_BITS = 53, /* what a JSON number holds exactly everywhere */
        TAG_DIGITS = 8,
};

/* An event takes less than 320 bytes as JSON, so that as many as a list gives stay below 32 KiB. */
typedef struct Page {
        Ask *ask;
        json_t *events; /* borrowed from the answer */
        int64_t cursor;
        char id[EVENT_ID_SIZE]; /* of what is at the cursor */
} Page;

static int note_event(const StoreEvent *event, void *userdata) {
        *(StoreEvent *) userdata = *event;
        return 0;
}

/* Sets the id of what is at the cursor: zero is before all events. */
static int find_id(Page *page) {
        Gateway *g = page->ask->gateway;
        const char *tenant = page->ask->tenant->id;
        StoreEvent event = { .sequence = -1 };
        int r;

        if (page->cursor == 0) {
                (void) snprintf(page->id, sizeof(page->id), "0");
                return 0;
        }
        r = store_event_each(g->store, tenant, page->cursor - 1, 1, note_event, &event);
        if (r < 0)
                return r;
        if (event.sequence != page->cursor)
                event = (StoreEvent){ .sequence = page->cursor };
        event_id(g, tenant, &event, page->id);
        return 0;
}

static int add_event(const StoreEvent *event, void *userdata) {
        Page *page = userdata;

        if (json_array_append_new(page->events,
                            event_json(page->ask->gateway, page->ask->tenant->id, event)) < 0)
                return -ENOMEM;
        page->cursor = event->sequence;
        return 0;
}

/* What came before this event is not there any more, or what the reader has read never was, as in
 * a store that was restored: nothing is lost without a word. */
static int add_reset(Page *page) {
        return json_array_append_new(page->events,
                               json_pack("{s:I, s:s, s:s}",
                                               "sequence",
                                               (json_int_t) page->cursor,
                                               "id",
                                               page->id,
                                               "type",
                                               "reset")) < 0
                               ? -ENOMEM
                               : 0;
}

/* Whether what the reader has read last, of which it told the id, is another event by now, as in a
 * store that was restored, or not there to be compared. */
static bool differs(const Page *page, const char *read) {
        return page->cursor > 0 && read && strchr(read, '-') && !streq(read, page->id);
}

/* Where a reader goes on to whom something is lost; -1: nothing is. */
static int64_t lost_until(const Page *page, const char *read, int64_t first, int64_t last) {
        if (page->cursor + 1 < first)
                return first - 1;
        if (page->cursor > last)
                return last;
        if (!differs(page, read))
                return -1;
        return page->cursor + 1 == first ? page->cursor : last;
}

static int read_page(Page *page, bool from_now_on, const char *read, int limit) {
        Store *store = page->ask->gateway->store;
        const char *tenant = page->ask->tenant->id;
        int64_t first, last, lost;
        int r;

        r = store_event_range(store, tenant, &first, &last);
        if (r < 0)
                return r;
        if (from_now_on)
                page->cursor = last;
        r = find_id(page);
        if (r < 0)
                return r;
        lost = lost_until(page, read, first, last);
        if (lost >= 0) {
                page->cursor = lost;
                r = find_id(page);
                if (r >= 0)
                        r = add_reset(page);
                limit--;
        }
        if (r < 0 || page->cursor == last)
                return r;
        r = store_event_each(store, tenant, page->cursor, limit, add_event, page);
        return r < 0 ? r : find_id(page);
}

static int limit_of(const json_t *credit) {
        json_int_t limit = json_integer_value(credit);

        return limit >= 1 && limit < SHARE_LIMIT_LIST ? (int) limit : SHARE_LIMIT_LIST;
}

/* A number, or the id that an event or a cursor had. */
static bool read_after(const json_t *after, int64_t *ret) {
        const char *text = json_string_value(after);
        char *end = NULL;

        *ret = text && text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10)
                                                        : json_integer_value(after);
        if (text ? !end || (end[0] && (end[0] != '-' || strlen(end + 1) != TAG_DIGITS))
                 : after && !json_is_integer(after))
                return false;
        return *ret >= 0 && *ret >> NUMBER_MAX_BITS == 0;
}

int front_event_follow(Ask *ask) {
        const json_t *after = json_object_get(ask->frame, "after");
        json_int_t wait = json_integer_value(json_object_get(ask->frame, "wait"));
        Page page = { .ask = ask };
        int r;

        if (!read_after(after, &page.cursor))
                return ask_refuse(ask,
                                422,
                                "invalid-member",
                                "A member is not acceptable",
                                "`after` must be the number or the id of an event.");
        ask->status = 200;
        ask->body = json_pack("{s:s, s:[]}", "tenant", ask->tenant->id, "events");
        page.events = json_object_get(ask->body, "events");
        if (!page.events)
                return -ENOMEM;
        r = read_page(&page,
                        !after,
                        json_string_value(after),
                        limit_of(json_object_get(ask->frame, "credit")));
        /* Who waits is woken by a change after this one, not after the next time it is asked. */
        if (r >= 0 && json_object_set_new(ask->frame, "after", json_string(page.id)) < 0)
                r = -ENOMEM;
        if (r >= 0 && json_object_set_new(ask->body, "cursor", json_string(page.id)) < 0)
                r = -ENOMEM;
        if (r >= 0 && wait > 0 && json_array_size(page.events) == 0) {
                ask->follow = true;
                ask->after = page.cursor;
                ask->wait = wait < SHARE_LIMIT_WAIT ? wait : SHARE_LIMIT_WAIT;
        }
        return r;
}
