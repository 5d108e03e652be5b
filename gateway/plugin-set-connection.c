/* One connection: the handshake, what kind of frame comes, and the end. */
#include "plugin-set-internal.h"

#include <errno.h>

#include "json-read.h"
#include "log.h"

enum {
        PROTOCOL_VERSION = 1,
        CAPABILITIES_MAX = 64,
};

#define HELLO_USEC (10 * USEC_PER_SEC)
#define ID_MAX (INT64_C(1) << 53)

Connection *plugin_connection_free(Connection *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->timer);
        (void) frame_stream_free(c->stream);
        free(c->questions);
        free(c->requests);
        free(c);
        return NULL;
}

Connection *plugin_link_connection(PluginLink *link, uint64_t serial) {
        return link->up && link->up->serial == serial ? link->up : NULL;
}

void plugin_connection_end(Connection *c, int error, const char *reason) {
        PluginLink *link = c->link;
        bool was_up = link->up == c;

        if (was_up)
                link->up = NULL;
        else
                link->coming = NULL;
        if (error == 0)
                plugin_link_log(link,
                                was_up ? LOG_NOTICE : LOG_WARNING,
                                "has disconnected%s",
                                was_up ? "" : " before it was welcomed");
        else
                plugin_link_log(link, LOG_WARNING, "loses its connection: %s", reason);
        if (was_up && time_boot() - c->since >= HEALTHY_USEC) {
                link->delay = DELAY_MIN_USEC;
                link->failures = 0;
        }
        c->stream = frame_stream_free(c->stream);
        if (was_up) {
                plugin_connection_fail_questions(c, -ECONNRESET);
                link->set->ops.on_down(link, link->set->userdata);
        }
        if (!link->up)
                plugin_link_expect_exit(link, error == 0);
        (void) plugin_connection_free(c);
}

static void on_stream_end(FrameStream *stream, int error, const char *reason, void *userdata) {
        (void) stream;
        plugin_connection_end(userdata, error, reason);
}

static int on_hello_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        plugin_connection_end(userdata, -ETIMEDOUT, "it did not say hello");
        return 0;
}

bool plugin_link_withdraws(const PluginLink *link) {
        return link->up && link->up->withdraws;
}

void plugin_link_close(PluginLink *link, const char *reason) {
        if (link->up)
                plugin_connection_end(link->up, -EPROTO, reason);
}

/* --- handshake --- */

typedef struct Hello {
        const json_t *protocol, *capabilities;
        const char *role, *name, *version;
} Hello;

/* Capabilities that the gateway understands; those it does not may be there, unless they start with
 * `!`. */
static bool capability_is_known(const char *capability) {
        return streq(capability, "reply") || streq(capability, "receipt") ||
               streq(capability, "withdraw");
}

static bool hello_has(const Hello *hello, const char *capability) {
        const json_t *entry;
        size_t i;

        json_array_foreach((json_t *) hello->capabilities, i, entry) {
                const char *text = json_string_value(entry);

                if (streq(text[0] == '!' ? text + 1 : text, capability))
                        return true;
        }
        return false;
}

/* Why a hello is refused, or NULL. The sentence goes to the plugin, into a buffer of the caller's.
 */
static const char *hello_problem(
                const PluginLink *link, const Hello *hello, char *buffer, size_t size) {
        const ConfigPlugin *config = link->config;
        const json_t *low = json_array_get(hello->protocol, 0),
                     *high = json_array_get(hello->protocol, 1), *capability;
        size_t i;

        if (!streq(hello->role, config_role_name(config->role)) ||
                        !streq(hello->name, config->name)) {
                (void) snprintf(buffer,
                                size,
                                "this socket belongs to %s %s",
                                config_role_name(config->role),
                                config->name);
                return buffer;
        }
        if (!json_is_integer(low) || !json_is_integer(high) ||
                        json_integer_value(low) > PROTOCOL_VERSION ||
                        json_integer_value(high) < PROTOCOL_VERSION)
                return "this gateway speaks protocol 1";
        json_array_foreach((json_t *) hello->capabilities, i, capability) {
                const char *text = json_string_value(capability);

                if (!text)
                        return "capabilities are strings";
                if (text[0] == '!' && !capability_is_known(text + 1))
                        return "a capability that must be understood is not";
        }
        return NULL;
}

static int connection_welcome(Connection *c) {
        if (plugin_connection_open_windows(c) < 0)
                return -ENOMEM;
        c->since = time_boot();
        sd_event_source_disable_unref(c->timer);
        c->timer = NULL;
        return frame_stream_send_new(c->stream,
                        json_pack("{s:s, s:i, s:O}",
                                        "type",
                                        "welcome",
                                        "protocol",
                                        PROTOCOL_VERSION,
                                        "settings",
                                        c->link->config->settings));
}

static void connection_refuse(Connection *c, const char *reason) {
        char text[128];

        (void) frame_stream_send_new(
                        c->stream, json_pack("{s:s, s:s}", "type", "refuse", "reason", reason));
        (void) frame_stream_flush(c->stream);
        (void) snprintf(text, sizeof(text), "it was refused: %s", reason);
        plugin_connection_end(c, -EPROTO, text);
}

static void connection_hello(Connection *c, const char *type, const json_t *frame) {
        static const JsonMember members[] = {
                { "protocol", JSON_KIND_ARRAY, offsetof(Hello, protocol), true, 2, 2 },
                { "role", JSON_KIND_STRING, offsetof(Hello, role), true, 1, 64 },
                { "name", JSON_KIND_STRING, offsetof(Hello, name), true, 1, 64 },
                { "version", JSON_KIND_STRING, offsetof(Hello, version), true, 1, 64 },
                { "capabilities",
                                JSON_KIND_ARRAY,
                                offsetof(Hello, capabilities),
                                false,
                                0,
                                CAPABILITIES_MAX },
        };
        PluginLink *link = c->link;
        const char *reason;
        JsonProblem problem;
        Hello hello = { 0 };
        char buffer[128];
        int r;

        if (!streq(type, "hello")) {
                plugin_connection_end(c, -EPROTO, "its first frame was not hello");
                return;
        }
        if (json_read_members(frame, members, N_ELEMENTS(members), false, &hello, &problem) != 0) {
                connection_refuse(c, "hello is not as the protocol says");
                return;
        }
        reason = hello_problem(link, &hello, buffer, sizeof(buffer));
        if (reason) {
                connection_refuse(c, reason);
                return;
        }
        r = connection_welcome(c);
        if (r < 0) {
                plugin_connection_end(c, r, strerror(-r));
                return;
        }

        /* The old connection's questions fail before the new one can be asked them again. */
        link->coming = NULL;
        if (link->up)
                plugin_connection_end(link->up, -ECONNRESET, "a new connection replaces it");
        c->welcomed = true;
        c->withdraws = hello_has(&hello, "withdraw");
        link->up = c;
        plugin_link_log(link, LOG_INFO, "is connected");
        link->set->ops.on_up(link, link->set->userdata);
}

/* --- frames --- */

static void connection_event(Connection *c, const char *type, json_t *frame) {
        PluginLink *link = c->link;
        uint64_t serial = c->serial;

        if (link->set->ops.on_event(link, type, frame, link->set->userdata) >= 0)
                return;
        c = plugin_link_connection(link, serial);
        if (c)
                plugin_connection_end(c, -EPROTO, "it told something that makes no sense");
}

static int on_stream_frame(FrameStream *stream, json_t *frame, void *userdata) {
        Connection *c = userdata;
        const char *type = json_string_value(json_object_get(frame, "type"));
        const json_t *id = json_object_get(frame, "id");

        (void) stream;
        if (!c->welcomed) {
                connection_hello(c, type, frame);
                return 0;
        }
        if (!id) {
                connection_event(c, type, frame);
                return 0;
        }
        if (!json_is_integer(id) || json_integer_value(id) < 1 || json_integer_value(id) > ID_MAX) {
                plugin_connection_end(c, -EPROTO, "an id is not a whole number from 1 to 2^53");
                return 0;
        }
        if (plugin_type_is_answer(type))
                plugin_connection_take_answer(c, json_integer_value(id), frame);
        else
                plugin_connection_take_request(c, json_integer_value(id), type, frame);
        return 0;
}

int plugin_connection_new(PluginLink *link, int fd) {
        _cleanup_(plugin_connection_freep) Connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->link = link;
        c->serial = ++link->set->last_serial;
        r = plugin_link_set_timer(
                        link->set->event, &c->timer, time_boot() + HELLO_USEC, on_hello_timer, c);
        if (r < 0)
                return r;
        r = frame_stream_new(&c->stream, link->set->event, fd, on_stream_frame, on_stream_end, c);
        if (r < 0)
                return r;
        if (link->coming)
                plugin_connection_end(link->coming,
                                -ECONNRESET,
                                "a new connection comes before it said hello");
        link->coming = TAKE_PTR(c);
        return 0;
}
