#include "plugin.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "frame.h"
#include "log.h"
#include "pending.h"
#include "plugin-run.h"
#include "stream.h"
#include "time-text.h"

#define ID_MAX (INT64_C(1) << 53)

struct Plugin {
        const PluginOps *ops;
        const char *name;
        sd_event *event;
        sd_event_source *timer;
        FrameStream *stream;
        json_t *settings; /* kept, because plugins borrow strings from it */
        void *state;
        bool welcomed, started, trace;
        int status;         /* -1 while it runs */
        int64_t last_id;    /* the last that we issued */
        size_t n_forgotten; /* of `asked`, nobody waits for these */
        uint64_t timer_due; /* 0: the timer is off */
        uint64_t welcome_due;
        PendingTable asked; /* our requests */
        PendingTable open;  /* the gateway's requests */
};

/* Types come from the peer: show only what cannot disturb a terminal or a log. */
static const char *printable_type(const char *type) {
        size_t n = strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789.-_");

        return n > 0 && n <= 32 && type[n] == 0 ? type : "?";
}

static void trace_frame(const Plugin *p, const char *direction, const json_t *frame, size_t size) {
        const json_t *id;

        if (!p->trace)
                return;
        id = json_object_get(frame, "id");
        log_info("%s %s id=%" PRId64 " size=%zu",
                        direction,
                        printable_type(json_string_value(json_object_get(frame, "type"))),
                        (int64_t) json_integer_value(id),
                        size);
}

void plugin_exit(Plugin *p, int status) {
        if (p->status >= 0)
                return;
        p->status = status;
        if (p->stream)
                frame_stream_set_reading(p->stream, false);
        (void) sd_event_exit(p->event, status);
}

/* The gateway broke the protocol. */
static int plugin_broken(Plugin *p, const char *reason) {
        if (p->status < 0)
                log_error("the gateway broke the protocol: %s", reason);
        plugin_exit(p, EX_PROTOCOL);
        return 0;
}

static void plugin_send(Plugin *p, json_t *frame) {
        json_auto_t *owned = frame;
        int r;

        if (!owned)
                r = -ENOMEM;
        else
                r = frame_stream_send(p->stream, owned);
        if (r >= 0) {
                trace_frame(p, ">", owned, frame_stream_sent_size(p->stream));
                return;
        }
        if (r == -EPIPE || p->status >= 0)
                return;
        log_error("a frame could not be sent: %s", strerror(-r));
        plugin_exit(p, EX_OSERR);
}

/* --- Deadlines: one timer, set to the earliest that was known when it was set. An answer does not
 * move it; when it comes early it finds the next. --- */

static void timer_set(Plugin *p, uint64_t due) {
        if (due == 0 || (p->timer_due != 0 && p->timer_due <= due))
                return;
        p->timer_due = due;
        (void) sd_event_source_set_time(p->timer, due);
        (void) sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void asked_give_up(Plugin *p, int64_t id) {
        Pending *entry = pending_find(&p->asked, id);
        PluginAnswer on_answer;
        void *userdata;

        if (!entry || !entry->on_answer)
                return;
        /* It stays in the window: the gateway, too, counts it until it has answered. */
        on_answer = entry->on_answer;
        userdata = entry->userdata;
        entry->on_answer = NULL;
        entry->due = 0;
        p->n_forgotten++;
        on_answer(p, NULL, userdata);
}

/* Gives up what is due; UINT64_MAX gives up all. Callbacks change the table, so ids come first. */
static void asked_expire(Plugin *p, uint64_t now) {
        int64_t ids[PENDING_MAX];
        size_t n = 0;

        for (size_t i = 0; i < PENDING_SLOTS; i++) {
                const Pending *entry = &p->asked.slots[i];

                if (entry->id != 0 && entry->on_answer &&
                                (now == UINT64_MAX || (entry->due != 0 && entry->due <= now)))
                        ids[n++] = entry->id;
        }
        for (size_t i = 0; i < n; i++)
                asked_give_up(p, ids[i]);
}

void plugin_expire(Plugin *p, uint64_t now) {
        p->timer_due = 0;
        if (!p->welcomed) {
                if (now >= p->welcome_due && p->status < 0) {
                        log_error("the gateway said neither `welcome` nor `refuse` in time");
                        plugin_exit(p, EX_TEMPFAIL);
                }
                timer_set(p, p->welcome_due);
                return;
        }

        asked_expire(p, now);
        if (p->n_forgotten == p->asked.n && !plugin_may_ask(p) && p->status < 0) {
                log_error("the gateway has stopped answering");
                plugin_exit(p, EX_TEMPFAIL);
        }
        for (size_t i = 0; i < PENDING_SLOTS; i++)
                timer_set(p, p->asked.slots[i].due);
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        (void) source;
        (void) due;
        plugin_expire(userdata, time_boot());
        return 0;
}

/* --- Frames --- */

static void handle_refuse(Plugin *p, const json_t *frame) {
        const char *reason = json_string_value(json_object_get(frame, "reason"));
        char text[200] = "no reason given";

        if (reason) {
                (void) snprintf(text, sizeof(text), "%s", reason);
                for (char *c = text; *c; c++)
                        if ((unsigned char) *c < ' ' || *c == 0x7f)
                                *c = ' ';
        }
        log_error("the gateway refused %s %s: %s", p->ops->role, p->name, text);
        plugin_exit(p, EX_TEMPFAIL);
}

static int handle_welcome(Plugin *p, const json_t *frame) {
        json_t *settings = json_object_get(frame, "settings");
        const json_t *protocol = json_object_get(frame, "protocol");
        int r;

        if (!json_is_integer(protocol) || json_integer_value(protocol) != 1)
                return plugin_broken(p, "it chose a protocol version that was not offered");
        if (settings && !json_is_object(settings))
                return plugin_broken(p, "`settings` is not an object");

        p->settings = settings ? json_incref(settings) : json_object();
        if (!p->settings)
                return -ENOMEM;
        p->welcomed = true;
        (void) sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        p->timer_due = 0;

        r = p->ops->start(p, p->settings, &p->state);
        if (r < 0) {
                plugin_exit(p, EX_CONFIG);
                return 0;
        }
        p->started = true;
        (void) sd_notifyf(false,
                        "READY=1\nSTATUS=%s %s: connected to the gateway",
                        p->ops->role,
                        p->name);
        return 0;
}

/* Both sides issue ids, so an answer is told from a request by its type. */
static bool is_answer(const char *type) {
        static const char *const types[] = { "ack",
                "again",
                "answer",
                "unsupported",
                "done",
                "sent",
                "failed",
                "later",
                "withdrawn",
                "too-late",
                "duplicate",
                "unauthorised",
                "refused",
                "gone",
                "claimed",
                "drop" };

        for (size_t i = 0; i < N_ELEMENTS(types); i++)
                if (streq(types[i], type))
                        return true;
        return false;
}

static int handle_answer(Plugin *p, int64_t id, const json_t *frame) {
        Pending entry;

        if (id > p->last_id)
                return plugin_broken(p, "an answer to an id that was never issued");
        if (!pending_take(&p->asked, id, &entry))
                return 0;
        if (entry.on_answer)
                entry.on_answer(p, frame, entry.userdata);
        else
                p->n_forgotten--;
        return 0;
}

static int handle_request(Plugin *p, const char *type, int64_t id, const json_t *frame) {
        Pending entry = { .id = id, .size = frame_stream_received_size(p->stream) };

        if (pending_find(&p->open, id))
                return plugin_broken(p, "an id was used twice");
        if (!pending_fits(&p->open, entry.size))
                return plugin_broken(p, "it exceeded the window");
        pending_add(&p->open, &entry);

        if (p->ops->request(p, p->state, type, id, frame) == PLUGIN_UNSUPPORTED)
                plugin_answer(p, id, json_pack("{s:s}", "type", "unsupported"));
        return 0;
}

static int on_frame(FrameStream *stream, json_t *frame, void *userdata) {
        Plugin *p = userdata;
        const char *type = json_string_value(json_object_get(frame, "type"));
        const json_t *member = json_object_get(frame, "id");
        int64_t id;

        trace_frame(p, "<", frame, frame_stream_received_size(stream));

        if (!p->welcomed) {
                if (streq(type, "welcome"))
                        return handle_welcome(p, frame);
                if (!streq(type, "refuse"))
                        return plugin_broken(
                                        p, "its first frame is neither `welcome` nor `refuse`");
                handle_refuse(p, frame);
                return 0;
        }

        if (!member)
                return 0; /* version 1 has no event from the gateway */
        id = json_integer_value(member);
        if (id < 1 || id > ID_MAX)
                return plugin_broken(p, "an `id` must be an integer from 1 to 2^53");
        return is_answer(type) ? handle_answer(p, id, frame) : handle_request(p, type, id, frame);
}

static void on_end(FrameStream *stream, int error, const char *reason, void *userdata) {
        Plugin *p = userdata;

        (void) stream;
        if (p->status >= 0)
                return;
        if (error == -EPROTO)
                (void) plugin_broken(p, reason);
        else
                log_notice("the connection to the gateway ended: %s", reason);
        plugin_exit(p, EX_OK);
}

/* --- What plugins call --- */

sd_event *plugin_event(Plugin *p) {
        return p->event;
}

const char *plugin_name(const Plugin *p) {
        return p->name;
}

const char *plugin_setting(const json_t *settings, const char *name, const char *fallback) {
        const char *value = json_string_value(json_object_get(settings, name));

        return value ? value : fallback;
}

void plugin_answer(Plugin *p, int64_t id, json_t *answer) {
        Pending entry;
        bool open = pending_take(&p->open, id, &entry);

        /* A second answer to one request, or an answer to none, is the plugin's mistake. */
        assert(open);
        (void) open;
        if (answer && json_object_set_new(answer, "id", json_integer(id)) < 0) {
                json_decref(answer);
                answer = NULL;
        }
        plugin_send(p, answer);
}

void plugin_tell(Plugin *p, json_t *event) {
        plugin_send(p, event);
}

void plugin_tell_status(Plugin *p, bool up, const char *reason) {
        (void) sd_notifyf(false,
                        "STATUS=%s %s: %s%s%s",
                        p->ops->role,
                        p->name,
                        up ? "up" : "down",
                        reason[0] ? ", " : "",
                        reason);
        plugin_send(p, json_pack("{s:s, s:b, s:s}", "type", "status", "up", up, "reason", reason));
}

bool plugin_may_ask(const Plugin *p) {
        return p->status < 0 && pending_fits(&p->asked, FRAME_HEADER_SIZE + FRAME_CONTENT_MAX);
}

int plugin_ask(Plugin *p,
                json_t *request,
                unsigned deadline,
                PluginAnswer on_answer,
                void *userdata,
                int64_t *ret_id) {
        json_auto_t *owned = request;
        Pending entry = { .id = p->last_id + 1, .on_answer = on_answer, .userdata = userdata };
        int r;

        assert(on_answer);

        if (!owned || json_object_set_new(owned, "id", json_integer(entry.id)) < 0)
                return -ENOMEM;
        if (p->status >= 0)
                return -EPIPE;
        /* The size is known for certain after encoding only; near the edge it is worth doing twice.
         * We count the length's four bytes as well, lest the gateway does. */
        if (!plugin_may_ask(p) &&
                        !pending_fits(&p->asked,
                                        FRAME_HEADER_SIZE +
                                                        json_dumpb(owned, NULL, 0, JSON_COMPACT)))
                return -ENOBUFS;

        r = frame_stream_send(p->stream, owned);
        if (r < 0)
                return r;
        entry.size = FRAME_HEADER_SIZE + frame_stream_sent_size(p->stream);
        trace_frame(p, ">", owned, frame_stream_sent_size(p->stream));
        if (deadline > 0)
                entry.due = time_boot() + deadline * USEC_PER_SEC;
        p->last_id = entry.id;
        pending_add(&p->asked, &entry);
        timer_set(p, entry.due);
        if (ret_id)
                *ret_id = entry.id;
        return 0;
}

void plugin_forget(Plugin *p, int64_t id) {
        Pending *entry = pending_find(&p->asked, id);

        if (!entry || !entry->on_answer)
                return;
        entry->on_answer = NULL;
        entry->due = 0;
        p->n_forgotten++;
}

/* --- Life --- */

static json_t *hello(const PluginOps *ops, const char *name) {
        json_auto_t *capabilities = json_array();

        for (const char *const *c = ops->capabilities; c && *c; c++)
                if (json_array_append_new(capabilities, json_string(*c)) < 0)
                        return NULL;
        return json_pack("{s:s, s:[i, i], s:s, s:s, s:s, s:O}",
                        "type",
                        "hello",
                        "protocol",
                        1,
                        1,
                        "role",
                        ops->role,
                        "name",
                        name,
                        "version",
                        VESTIBULE_VERSION,
                        "capabilities",
                        capabilities);
}

int plugin_new(Plugin **ret, sd_event *event, int fd, const PluginOps *ops, const char *name) {
        _cleanup_(plugin_freep) Plugin *p = NULL;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->ops = ops;
        p->name = name;
        p->status = -1;
        p->event = sd_event_ref(event);
        p->welcome_due = time_boot() + PLUGIN_WELCOME_SECONDS * USEC_PER_SEC;

        r = sd_event_add_time(event, &p->timer, CLOCK_BOOTTIME, p->welcome_due, 0, on_timer, p);
        if (r < 0)
                return r;
        p->timer_due = p->welcome_due;
        /* Last, because from here on the descriptor is the stream's. */
        r = frame_stream_new(&p->stream, event, fd, on_frame, on_end, p);
        if (r < 0)
                return r;
        plugin_send(p, hello(ops, name));

        *ret = TAKE_PTR(p);
        return 0;
}

void plugin_set_trace(Plugin *p, bool trace) {
        p->trace = trace;
}

int plugin_status(const Plugin *p) {
        return p->status;
}

Plugin *plugin_free(Plugin *p) {
        if (!p)
                return NULL;

        if (p->status < 0)
                p->status = EX_OK;
        asked_expire(p, UINT64_MAX);
        if (p->started && p->ops->stop)
                p->ops->stop(p, p->state);
        if (p->stream)
                (void) frame_stream_flush(p->stream);

        p->stream = frame_stream_free(p->stream);
        sd_event_source_disable_unref(p->timer);
        sd_event_unref(p->event);
        json_decref(p->settings);
        free(p);
        return NULL;
}
