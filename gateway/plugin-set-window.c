/* The two windows of a connection: our questions, with their deadlines, and the plugin's requests.
 */
#include "plugin-set-internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "frame.h"

enum { ABANDONED_MAX = SLOTS / 4 };

int plugin_connection_open_windows(Connection *c) {
        c->questions = calloc(SLOTS, sizeof(*c->questions));
        c->requests = calloc(TABLE_SIZE, sizeof(*c->requests));
        if (!c->questions || !c->requests)
                return -ENOMEM;
        for (int slot = 0; slot < SLOTS; slot++)
                c->questions[slot].next = slot + 1 < SLOTS ? slot + 1 : NO_SLOT;
        c->free_slot = 0;
        c->first = c->last = NO_SLOT;
        randombytes_buf(&c->table_key, sizeof(c->table_key));
        return 0;
}

/* --- the plugin's requests --- */

static size_t table_place(const Connection *c, int64_t id) {
        return (size_t) ((((uint64_t) id ^ c->table_key) * UINT64_C(0x9e3779b97f4a7c15)) >> 40) &
               (TABLE_SIZE - 1);
}

static Request *table_find(Connection *c, int64_t id) {
        size_t i = table_place(c, id);

        for (; c->requests[i].id != 0; i = (i + 1) & (TABLE_SIZE - 1))
                if (c->requests[i].id == id)
                        return &c->requests[i];
        return NULL;
}

/* There is always room: the window is half the table. */
static void table_add(Connection *c, int64_t id, size_t size) {
        size_t i = table_place(c, id);

        while (c->requests[i].id != 0)
                i = (i + 1) & (TABLE_SIZE - 1);
        c->requests[i] = (Request){ id, size };
        c->n_requests++;
        c->request_bytes += size;
}

/* Closes the gap, so that no later entry becomes unreachable. */
static void table_remove(Connection *c, Request *request) {
        size_t gap = (size_t) (request - c->requests);

        c->n_requests--;
        c->request_bytes -= request->size;
        for (size_t i = (gap + 1) & (TABLE_SIZE - 1); c->requests[i].id != 0;
                        i = (i + 1) & (TABLE_SIZE - 1)) {
                size_t home = table_place(c, c->requests[i].id);

                if (((i - home) & (TABLE_SIZE - 1)) >= ((i - gap) & (TABLE_SIZE - 1))) {
                        c->requests[gap] = c->requests[i];
                        gap = i;
                }
        }
        c->requests[gap] = (Request){ 0 };
}

void plugin_connection_take_request(Connection *c, int64_t id, const char *type, json_t *frame) {
        size_t size = frame_stream_received_size(c->stream);
        PluginRequest request = { c->link, c->serial, id };
        PluginSet *set = c->link->set;
        int r;

        if (table_find(c, id)) {
                plugin_connection_end(c, -EPROTO, "it asked twice with one id");
                return;
        }
        if (c->n_requests >= STREAM_WINDOW_FRAMES ||
                        c->request_bytes + size > STREAM_WINDOW_BYTES) {
                plugin_connection_end(c, -EPROTO, "it asked more than its window holds");
                return;
        }
        table_add(c, id, size);
        r = set->ops.on_request(request, type, frame, set->userdata);
        if (r == PLUGIN_SET_E_UNSUPPORTED) {
                (void) plugin_link_answer(request, json_pack("{s:s}", "type", "unsupported"));
                return;
        }
        c = r < 0 ? plugin_link_connection(request.link, request.connection) : NULL;
        if (c)
                plugin_connection_end(c, -EPROTO, "it sent a frame that makes no sense");
}

int plugin_link_answer(PluginRequest request, json_t *frame) {
        Connection *c = plugin_link_connection(request.link, request.connection);
        json_auto_t *owned = frame;
        Request *open;
        int r;

        if (!c)
                return -ENOTCONN;
        open = table_find(c, request.id);
        assert(open); /* a second answer to one request is our own mistake */
        if (!owned || json_object_set_new(owned, "id", json_integer(request.id)) < 0)
                return -ENOMEM;
        r = frame_stream_send(c->stream, owned);
        if (r == -ENOBUFS) {
                plugin_connection_end(c, r, "it does not read its answers");
                return -ENOTCONN;
        }
        if (r < 0)
                return r == -EPIPE ? -ENOTCONN : r;
        table_remove(c, open);
        return 0;
}

/* --- our questions --- */

static int64_t question_id(const Connection *c, int slot) {
        return c->questions[slot].generation * SLOTS + slot + 1;
}

static void deadline_unlink(Connection *c, Question *q) {
        if (q->deadline == 0)
                return;
        *(q->previous == NO_SLOT ? &c->first : &c->questions[q->previous].next) = q->next;
        *(q->next == NO_SLOT ? &c->last : &c->questions[q->next].previous) = q->previous;
        q->deadline = 0;
}

/* Deadlines mostly come in order, so the right place is found from the end at once. */
static void deadline_link(Connection *c, int slot, uint64_t deadline) {
        int after = c->last;
        Question *q = &c->questions[slot];

        while (after != NO_SLOT && c->questions[after].deadline > deadline)
                after = c->questions[after].previous;
        q->deadline = deadline;
        q->previous = after;
        q->next = after == NO_SLOT ? c->first : c->questions[after].next;
        *(after == NO_SLOT ? &c->first : &c->questions[after].next) = slot;
        *(q->next == NO_SLOT ? &c->last : &c->questions[q->next].previous) = slot;
}

/* Takes an answered question out of the window. */
static void question_close(Connection *c, int slot) {
        Question *q = &c->questions[slot];

        deadline_unlink(c, q);
        if (!q->on_answer)
                c->n_abandoned--;
        c->n_asked--;
        c->asked_bytes -= q->size;
        *q = (Question){ .generation = q->generation + 1, .next = c->free_slot };
        c->free_slot = slot;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata);

/* The timer is only moved forward; when it is early it is set again. */
static int deadline_arm(Connection *c, uint64_t deadline) {
        int enabled = SD_EVENT_OFF;

        if (c->timer)
                (void) sd_event_source_get_enabled(c->timer, &enabled);
        if (enabled != SD_EVENT_OFF && c->armed <= deadline)
                return 0;
        c->armed = deadline;
        return plugin_link_set_timer(c->link->set->event, &c->timer, deadline, on_deadline, c);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Connection *c = userdata;
        PluginLink *link = c->link;
        uint64_t serial = c->serial, now = time_boot();

        (void) source;
        (void) usec;
        while ((c = plugin_link_connection(link, serial)) && c->first != NO_SLOT &&
                        c->questions[c->first].deadline <= now) {
                Question *q = &c->questions[c->first];

                deadline_unlink(c, q);
                if (!q->on_answer)
                        continue;
                if (++c->n_abandoned >= ABANDONED_MAX) {
                        c->n_abandoned--;
                        plugin_connection_end(c, -ETIMEDOUT, "it does not answer");
                        return 0;
                }
                TAKE_PTR(q->on_answer)(link, -ETIMEDOUT, NULL, q->userdata);
        }
        if (c && c->first != NO_SLOT)
                return deadline_arm(c, c->questions[c->first].deadline);
        return 0;
}

/* The largest frame always fits what is left, so the size need not be known before. */
bool plugin_link_may_ask(const PluginLink *link) {
        return link->up && link->up->n_asked < SLOTS &&
               link->up->asked_bytes + FRAME_CONTENT_MAX <= STREAM_WINDOW_BYTES;
}

int plugin_link_ask(PluginLink *link,
                json_t *frame,
                uint64_t deadline,
                PluginLinkAnswer on_answer,
                void *userdata,
                int64_t *ret_id) {
        json_auto_t *owned = frame;
        Connection *c = link->up;
        Question *q;
        int slot, r;

        if (!c)
                return -ENOTCONN;
        if (!plugin_link_may_ask(link))
                return -ENOBUFS;
        slot = c->free_slot;
        q = &c->questions[slot];
        if (json_object_set_new(owned, "id", json_integer(question_id(c, slot))) < 0)
                return -ENOMEM;
        if (deadline > 0) {
                deadline += time_boot();
                r = deadline_arm(c, deadline);
                if (r < 0)
                        return r;
        }
        r = frame_stream_send(c->stream, owned);
        if (r < 0)
                return r == -EPIPE ? -ENOTCONN : r;

        c->free_slot = q->next;
        *q = (Question){ .on_answer = on_answer,
                .userdata = userdata,
                .generation = q->generation,
                .size = frame_stream_sent_size(c->stream),
                .open = true };
        c->n_asked++;
        c->asked_bytes += q->size;
        if (deadline > 0)
                deadline_link(c, slot, deadline);
        if (ret_id)
                *ret_id = question_id(c, slot);
        return 0;
}

/* What answers a question; all else with an id asks one. */
bool plugin_type_is_answer(const char *type) {
        static const char *const types[] = { "sent",
                "failed",
                "later",
                "done",
                "again",
                "gone",
                "refused",
                "withdrawn",
                "too-late",
                "duplicate",
                "claimed",
                "unauthorised",
                "drop",
                "unsupported",
                "ack",
                "answer" };

        for (size_t i = 0; i < N_ELEMENTS(types); i++)
                if (streq(type, types[i]))
                        return true;
        return false;
}

void plugin_connection_take_answer(Connection *c, int64_t id, json_t *frame) {
        int slot = (int) ((id - 1) % SLOTS);
        int64_t generation = (id - 1) / SLOTS;
        Question *q = &c->questions[slot];
        PluginLinkAnswer on_answer;
        void *userdata;

        if (generation > q->generation || (generation == q->generation && !q->open)) {
                plugin_connection_end(c, -EPROTO, "it answered a question that was never asked");
                return;
        }
        if (generation < q->generation)
                return; /* a second answer */
        on_answer = q->on_answer;
        userdata = q->userdata;
        question_close(c, slot);
        if (on_answer)
                on_answer(c->link, 0, frame, userdata);
}

void plugin_connection_fail_questions(Connection *c, int error) {
        for (int slot = 0; slot < SLOTS && c->questions; slot++) {
                Question *q = &c->questions[slot];

                if (q->open && q->on_answer)
                        TAKE_PTR(q->on_answer)(c->link, error, NULL, q->userdata);
        }
}
