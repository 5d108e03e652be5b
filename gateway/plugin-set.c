/* Links, connections and processes. A connection is a thing of its own because a link can have two
 * for a moment: one that is welcomed and one that is still saying hello. After every call into the
 * caller's code a connection may be gone; whoever goes on working with it looks it up again by its
 * serial number. */
#include "plugin-set.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "credential.h"
#include "frame.h"
#include "json-read.h"
#include "log.h"
#include "stream.h"
#include "time-text.h"

enum {
        PROTOCOL_VERSION = 1,
        SLOTS = STREAM_WINDOW_FRAMES,
        TABLE_SIZE = 2 * STREAM_WINDOW_FRAMES, /* a power of two */
        ABANDONED_MAX = SLOTS / 4,
        CAPABILITIES_MAX = 64,
        CHILD_FD = 3,
        EX_CONFIG_STATUS = 78,
        EX_EXEC_STATUS = 127,
};

#define HELLO_USEC (10 * USEC_PER_SEC)
#define HEALTHY_USEC (10 * USEC_PER_SEC)
#define DELAY_MIN_USEC (100 * USEC_PER_MSEC)
#define DELAY_MAX_USEC (30 * USEC_PER_SEC)
#define KILL_USEC (5 * USEC_PER_SEC)
#define STOP_USEC (1 * USEC_PER_SEC)
#define ACCEPT_PAUSE_USEC (1 * USEC_PER_SEC)
#define ACCURACY_USEC (5 * USEC_PER_MSEC)
#define ID_MAX (INT64_C(1) << 53)

enum { NO_SLOT = -1 };

/* A question of ours. Its id is generation * SLOTS + slot + 1, so that an id tells its slot, and
 * whether it was ever issued: its generation is below the slot's. */
typedef struct Question {
        PluginLinkAnswer on_answer; /* NULL: forgotten, or its deadline has passed */
        void *userdata;
        uint64_t deadline; /* CLOCK_BOOTTIME, 0: none */
        int64_t generation;
        size_t size;
        int previous, next; /* with a deadline: the list by deadline; free: the free list uses next
                             */
        bool open;
} Question;

/* A plugin's request that we have not answered. */
typedef struct Request {
        int64_t id; /* 0: an empty place */
        size_t size;
} Request;

typedef struct Connection {
        PluginLink *link;
        FrameStream *stream;
        sd_event_source *timer; /* for hello, then for the earliest deadline */
        uint64_t serial, armed, since;
        bool welcomed;
        char *version;
        json_t *capabilities;

        Question *questions; /* SLOTS */
        int free_slot, first, last;
        size_t n_asked, asked_bytes, n_abandoned;

        Request *requests; /* TABLE_SIZE, linear probing */
        uint64_t table_key;
        size_t n_requests, request_bytes;
} Connection;

struct PluginLink {
        PluginSet *set;
        const ConfigPlugin *config;
        void *userdata;
        Connection *up, *coming;

        int listen_fd;
        sd_event_source *accept;
        bool bound; /* config->socket is ours to remove */

        pid_t pid; /* 0: no process */
        sd_event_source *child, *timer;
        uint64_t delay;
        unsigned failures;
};

struct PluginSet {
        sd_event *event;
        PluginSetOps ops;
        void *userdata;
        PluginLink *links;
        size_t n_links;
        uint64_t last_serial;
};

static int on_link_timer(sd_event_source *source, uint64_t usec, void *userdata);

__attribute__((format(printf, 3, 4))) static void link_log(
                const PluginLink *link, int priority, const char *format, ...) {
        LogFields fields = {
                .channel = link->config->role == CONFIG_ROLE_CHANNEL ? link->config->name : NULL
        };
        char text[256];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        log_record(priority,
                        &fields,
                        "%s %s %s",
                        config_role_name(link->config->role),
                        link->config->name,
                        text);
}

/* Sets a timer of ours, making it the first time. */
static int timer_set(sd_event *event,
                sd_event_source **timer,
                uint64_t usec,
                sd_event_time_handler_t handler,
                void *userdata) {
        int r;

        if (!*timer)
                return sd_event_add_time(event,
                                timer,
                                CLOCK_BOOTTIME,
                                usec,
                                ACCURACY_USEC,
                                handler,
                                userdata);
        r = sd_event_source_set_time(*timer, usec);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
}

/* --- the plugin's requests ----------------------------------------------------------------------
 */

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

/* --- our questions ------------------------------------------------------------------------------
 */

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
        return timer_set(c->link->set->event, &c->timer, deadline, on_deadline, c);
}

/* --- connections --------------------------------------------------------------------------------
 */

static Connection *connection_free(Connection *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->timer);
        (void) frame_stream_free(c->stream);
        json_decref(c->capabilities);
        free(c->version);
        free(c->questions);
        free(c->requests);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(Connection, connection_free)

/* Tells every open question why it gets no answer. The connection is already out of its link. */
static void connection_fail_questions(Connection *c, int error) {
        for (int slot = 0; slot < SLOTS && c->questions; slot++) {
                Question *q = &c->questions[slot];

                if (q->open && q->on_answer)
                        TAKE_PTR(q->on_answer)(c->link, error, NULL, q->userdata);
        }
}

static void link_kill(PluginLink *link, int signal) {
        if (link->pid > 0)
                (void) kill(-link->pid, signal);
}

/* Its program should end with its connection; it is helped if it does not. */
static void link_expect_exit(PluginLink *link, bool orderly) {
        if (link->pid == 0)
                return;
        if (!orderly)
                link_kill(link, SIGTERM);
        (void) timer_set(link->set->event,
                        &link->timer,
                        time_boot() + KILL_USEC,
                        on_link_timer,
                        link);
}

/* Ends a connection. The caller does not touch it afterwards. */
static void connection_end(Connection *c, int error, const char *reason) {
        PluginLink *link = c->link;
        bool was_up = link->up == c;

        if (was_up)
                link->up = NULL;
        else
                link->coming = NULL;
        if (error == 0)
                link_log(link,
                                was_up ? LOG_NOTICE : LOG_WARNING,
                                "has disconnected%s",
                                was_up ? "" : " before it was welcomed");
        else
                link_log(link, LOG_WARNING, "loses its connection: %s", reason);
        if (was_up && time_boot() - c->since >= HEALTHY_USEC) {
                link->delay = DELAY_MIN_USEC;
                link->failures = 0;
        }
        c->stream = frame_stream_free(c->stream);
        if (was_up) {
                connection_fail_questions(c, -ECONNRESET);
                link->set->ops.on_down(link, link->set->userdata);
        }
        if (!link->up)
                link_expect_exit(link, error == 0);
        (void) connection_free(c);
}

static void on_stream_end(FrameStream *stream, int error, const char *reason, void *userdata) {
        (void) stream;
        connection_end(userdata, error, reason);
}

/* The connection of that number, if it is still the link's. */
static Connection *link_connection(PluginLink *link, uint64_t serial) {
        return link->up && link->up->serial == serial ? link->up : NULL;
}

static int on_hello_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        connection_end(userdata, -ETIMEDOUT, "it did not say hello");
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Connection *c = userdata;
        PluginLink *link = c->link;
        uint64_t serial = c->serial, now = time_boot();

        (void) source;
        (void) usec;
        while ((c = link_connection(link, serial)) && c->first != NO_SLOT &&
                        c->questions[c->first].deadline <= now) {
                Question *q = &c->questions[c->first];

                deadline_unlink(c, q);
                if (!q->on_answer)
                        continue;
                if (++c->n_abandoned >= ABANDONED_MAX) {
                        c->n_abandoned--;
                        connection_end(c, -ETIMEDOUT, "it does not answer");
                        return 0;
                }
                TAKE_PTR(q->on_answer)(link, -ETIMEDOUT, NULL, q->userdata);
        }
        if (c && c->first != NO_SLOT)
                return deadline_arm(c, c->questions[c->first].deadline);
        return 0;
}

/* --- frames -------------------------------------------------------------------------------------
 */

/* What answers a question; all else with an id asks one. */
static bool type_is_answer(const char *type) {
        static const char *const types[] = { "sent",
                "failed",
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

static void connection_answer(Connection *c, int64_t id, json_t *frame) {
        int slot = (int) ((id - 1) % SLOTS);
        int64_t generation = (id - 1) / SLOTS;
        Question *q = &c->questions[slot];
        PluginLinkAnswer on_answer;
        void *userdata;

        if (generation > q->generation || (generation == q->generation && !q->open)) {
                connection_end(c, -EPROTO, "it answered a question that was never asked");
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

static void connection_request(Connection *c, int64_t id, const char *type, json_t *frame) {
        size_t size = frame_stream_received_size(c->stream);
        PluginRequest request = { c->link, c->serial, id };
        PluginSet *set = c->link->set;
        int r;

        if (table_find(c, id)) {
                connection_end(c, -EPROTO, "it asked twice with one id");
                return;
        }
        if (c->n_requests >= STREAM_WINDOW_FRAMES ||
                        c->request_bytes + size > STREAM_WINDOW_BYTES) {
                connection_end(c, -EPROTO, "it asked more than its window holds");
                return;
        }
        table_add(c, id, size);
        r = set->ops.on_request(request, type, frame, set->userdata);
        if (r == PLUGIN_SET_E_UNSUPPORTED) {
                (void) plugin_link_answer(request, json_pack("{s:s}", "type", "unsupported"));
                return;
        }
        c = r < 0 ? link_connection(request.link, request.connection) : NULL;
        if (c)
                connection_end(c, -EPROTO, "it sent a frame that makes no sense");
}

static void connection_event(Connection *c, const char *type, json_t *frame) {
        PluginLink *link = c->link;
        uint64_t serial = c->serial;

        if (link->set->ops.on_event(link, type, frame, link->set->userdata) >= 0)
                return;
        c = link_connection(link, serial);
        if (c)
                connection_end(c, -EPROTO, "it told something that makes no sense");
}

/* --- handshake ----------------------------------------------------------------------------------
 */

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

static int connection_welcome(Connection *c, const Hello *hello) {
        c->questions = calloc(SLOTS, sizeof(*c->questions));
        c->requests = calloc(TABLE_SIZE, sizeof(*c->requests));
        c->version = strdup(hello->version);
        c->capabilities = hello->capabilities ? json_incref((json_t *) hello->capabilities)
                                              : json_array();
        if (!c->questions || !c->requests || !c->version || !c->capabilities)
                return -ENOMEM;
        for (int slot = 0; slot < SLOTS; slot++)
                c->questions[slot].next = slot + 1 < SLOTS ? slot + 1 : NO_SLOT;
        c->free_slot = 0;
        c->first = c->last = NO_SLOT;
        randombytes_buf(&c->table_key, sizeof(c->table_key));
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
        connection_end(c, -EPROTO, text);
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
                connection_end(c, -EPROTO, "its first frame was not hello");
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
        r = connection_welcome(c, &hello);
        if (r < 0) {
                connection_end(c, r, strerror(-r));
                return;
        }

        /* The old connection's questions fail before the new one can be asked them again. */
        link->coming = NULL;
        if (link->up)
                connection_end(link->up, -ECONNRESET, "a new connection replaces it");
        c->welcomed = true;
        link->up = c;
        link_log(link, LOG_INFO, "is connected");
        link->set->ops.on_up(link, link->set->userdata);
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
                connection_end(c, -EPROTO, "an id is not a whole number from 1 to 2^53");
                return 0;
        }
        if (type_is_answer(type))
                connection_answer(c, json_integer_value(id), frame);
        else
                connection_request(c, json_integer_value(id), type, frame);
        return 0;
}

/* Takes the descriptor over on success only. */
static int connection_new(PluginLink *link, int fd) {
        _cleanup_(connection_freep) Connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->link = link;
        c->serial = ++link->set->last_serial;
        r = timer_set(link->set->event, &c->timer, time_boot() + HELLO_USEC, on_hello_timer, c);
        if (r < 0)
                return r;
        r = frame_stream_new(&c->stream, link->set->event, fd, on_stream_frame, on_stream_end, c);
        if (r < 0)
                return r;
        if (link->coming)
                connection_end(link->coming,
                                -ECONNRESET,
                                "a new connection comes before it said hello");
        link->coming = TAKE_PTR(c);
        return 0;
}

/* --- sockets ------------------------------------------------------------------------------------
 */

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_(closep) int connection = -1;
        PluginLink *link = userdata;
        int r;

        (void) revents;
        connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (connection < 0) {
                if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
                        return 0;
                /* No descriptor is free: trying again at once would only burn the processor. */
                link_log(link, LOG_ERR, "cannot be let in: %s", strerror(errno));
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return timer_set(link->set->event,
                                &link->timer,
                                time_boot() + ACCEPT_PAUSE_USEC,
                                on_link_timer,
                                link);
        }
        r = connection_new(link, connection);
        if (r < 0)
                link_log(link, LOG_ERR, "cannot be let in: %s", strerror(-r));
        else
                (void) TAKE_FD(connection);
        return 0;
}

/* Takes the descriptor over on success only. */
static int link_listen(PluginLink *link, int fd) {
        int r, flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(link->set->event, &link->accept, fd, EPOLLIN, on_accept, link);
        if (r < 0)
                return r;
        link->listen_fd = fd;
        return 0;
}

/* Removes a socket file that nobody listens on any more. */
static int remove_stale(const struct sockaddr_un *address) {
        _cleanup_(closep) int fd = -1;
        struct stat st;

        if (lstat(address->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 ||
                        errno != ECONNREFUSED)
                return -EADDRINUSE;
        return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int link_bind(PluginLink *link) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(closep) int fd = -1;
        mode_t before;
        int r;

        if (strlen(link->config->socket) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, link->config->socket, strlen(link->config->socket) + 1);
        r = remove_stale(&address);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        before = umask(0177); /* mode 0600 from its first moment */
        r = bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(before);
        if (r < 0)
                return r;
        link->bound = true;
        if (listen(fd, SOMAXCONN) < 0)
                return -errno;
        r = link_listen(link, fd);
        if (r < 0)
                return r;
        (void) TAKE_FD(fd);
        return 0;
}

static PluginLink *find_by_socket(PluginSet *set, const char *name) {
        for (size_t i = 0; i < set->n_links; i++)
                if (streq(set->links[i].config->socket_name, name))
                        return &set->links[i];
        return NULL;
}

static int take_sockets(PluginSet *set) {
        char **names = NULL;
        int n, r = 0;

        n = sd_listen_fds_with_names(1, &names);
        for (int i = 0; i < n; i++) {
                PluginLink *link = find_by_socket(set, names[i]);
                int fd = SD_LISTEN_FDS_START + i;

                if (!link || link->listen_fd >= 0 ||
                                sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
                        log_warning("a socket from systemd, FileDescriptorName=%s, is no plugin's "
                                    "and is closed",
                                        names[i]);
                        (void) close(fd);
                } else if (r >= 0) {
                        r = link_listen(link, fd);
                }
        }
        for (int i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return n < 0 ? n : r;
}

/* --- processes ----------------------------------------------------------------------------------
 */

/* All that is prepared before fork(), as afterwards only async-signal-safe calls are allowed. */
typedef struct Spawn {
        char **argv;
        char path[4096 + 8], credentials[4096 + 32];
        char *environment[3];
        int socket, null;
        pid_t parent;
} Spawn;

static int spawn_prepare(Spawn *s, const ConfigPlugin *config) {
        const char *path = getenv("PATH"), *credentials = credential_directory();
        size_t n = 0, e = 0;

        while (config->exec[n])
                n++;
        s->argv = calloc(n + 5, sizeof(char *));
        if (!s->argv)
                return -ENOMEM;
        memcpy(s->argv, config->exec, n * sizeof(char *));
        s->argv[n] = (char *) "--gateway";
        s->argv[n + 1] = (char *) "fd:3";
        s->argv[n + 2] = (char *) "--name";
        s->argv[n + 3] = (char *) config->name;

        if (path && strlen(path) <= 4096) {
                (void) snprintf(s->path, sizeof(s->path), "PATH=%s", path);
                s->environment[e++] = s->path;
        }
        if (credentials) {
                int size = snprintf(s->credentials,
                                sizeof(s->credentials),
                                "CREDENTIALS_DIRECTORY=%s/%s",
                                credentials,
                                config->socket_name);

                if (size < 0 || (size_t) size >= sizeof(s->credentials))
                        return -ENAMETOOLONG;
                s->environment[e++] = s->credentials;
        }
        s->parent = getpid();
        return 0;
}

__attribute__((noreturn)) static void spawn_child(const Spawn *s) {
        static const char failed[] = "<3>vestibuled: a plugin's program cannot be executed\n";
        sigset_t none;

        if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != s->parent)
                _exit(EX_EXEC_STATUS);
        for (int n = 1; n < NSIG; n++)
                (void) signal(n, SIG_DFL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);

        if (dup2(s->null, 0) < 0 || dup2(2, 1) < 0 || dup2(s->socket, CHILD_FD) < 0)
                _exit(EX_EXEC_STATUS);
        if (close_range(CHILD_FD + 1, ~0u, 0) < 0)
                for (int fd = CHILD_FD + 1; fd < 65536; fd++)
                        (void) close(fd);
        (void) execve(s->argv[0], s->argv, (char **) s->environment);
        (void) !write(2, failed, sizeof(failed) - 1);
        _exit(EX_EXEC_STATUS);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata);

static int link_spawn(PluginLink *link) {
        _cleanup_(closep) int ours = -1, theirs = -1, moved = -1, null = -1;
        int pair[2], r;
        Spawn spawn = { 0 };
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        /* Away from 0 to 3, which the child overwrites. */
        moved = fcntl(theirs, F_DUPFD_CLOEXEC, CHILD_FD + 1);
        theirs = close_fd(theirs);
        theirs = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (moved < 0 || theirs < 0)
                return -errno;
        null = fcntl(theirs, F_DUPFD_CLOEXEC, CHILD_FD + 1);
        if (null < 0)
                return -errno;
        spawn.socket = moved;
        spawn.null = null;
        r = spawn_prepare(&spawn, link->config);
        if (r < 0) {
                free(spawn.argv);
                return r;
        }
        pid = fork();
        if (pid == 0)
                spawn_child(&spawn);
        r = pid < 0 ? -errno : 0;
        free(spawn.argv);
        if (r < 0)
                return r;
        (void) setpgid(pid, pid); /* whoever comes first; kill(-pid) must never miss */

        link->pid = pid;
        r = sd_event_add_child(link->set->event, &link->child, pid, WEXITED, on_child, link);
        if (r >= 0)
                r = connection_new(link, ours);
        if (r < 0) {
                link_kill(link, SIGKILL);
                if (!link->child) {
                        (void) waitpid(pid, NULL, 0);
                        link->pid = 0;
                        return r;
                }
                link_log(link, LOG_ERR, "cannot be connected: %s", strerror(-r));
                return 0; /* its end brings the next try */
        }
        (void) TAKE_FD(ours);
        return 0;
}

static void link_start_later(PluginLink *link) {
        int r;

        r = timer_set(link->set->event,
                        &link->timer,
                        time_boot() + link->delay,
                        on_link_timer,
                        link);
        if (r < 0)
                link_log(link, LOG_ERR, "cannot be started again: %s", strerror(-r));
        link->delay = link->delay * 2 > DELAY_MAX_USEC ? DELAY_MAX_USEC : link->delay * 2;
}

static void link_start(PluginLink *link) {
        int r;

        r = link_spawn(link);
        if (r >= 0)
                return;
        link->failures++;
        link_log(link, LOG_ERR, "cannot be started: %s", strerror(-r));
        link_start_later(link);
}

/* One timer for three things that exclude each other: an exec'd program that should have ended, one
 * to be started, and a listener that rests. */
static int on_link_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        PluginLink *link = userdata;

        (void) source;
        (void) usec;
        if (link->accept)
                (void) sd_event_source_set_enabled(link->accept, SD_EVENT_ON);
        else if (link->pid > 0)
                link_kill(link, SIGKILL);
        else {
                /* Somebody else may still hold the old program's end. */
                if (link->coming)
                        connection_end(link->coming, -ECONNRESET, "its program has ended");
                if (link->up)
                        connection_end(link->up, -ECONNRESET, "its program has ended");
                link_start(link);
        }
        return 0;
}

static void log_exit(const PluginLink *link, const siginfo_t *info) {
        const char *more = info->si_status == EX_CONFIG_STATUS
                                           ? ": it cannot work with its settings"
                           : info->si_status == EX_EXEC_STATUS ? ": it could not be executed"
                                                               : "";

        if (info->si_code != CLD_EXITED)
                link_log(link, LOG_WARNING, "was ended by signal %d", info->si_status);
        else if (info->si_status == 0)
                link_log(link, LOG_NOTICE, "has ended");
        else
                link_log(link, LOG_WARNING, "has ended with status %d%s", info->si_status, more);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata) {
        PluginLink *link = userdata;

        (void) source;
        log_exit(link, info);
        link_kill(link, SIGKILL); /* what it started; it is a zombie still, so the number is its own
                                   */
        link->pid = 0;
        link->child = sd_event_source_disable_unref(link->child);
        if (link->up && time_boot() - link->up->since >= HEALTHY_USEC) {
                link->delay = DELAY_MIN_USEC;
                link->failures = 0;
        }
        link->failures++;
        if (info->si_code == CLD_EXITED && info->si_status == EX_CONFIG_STATUS)
                link->delay = DELAY_MAX_USEC;
        if (link->failures == PLUGIN_SET_FAILURES_DOWN)
                link_log(link, LOG_ERR, "has failed %u times and counts as down", link->failures);
        link_start_later(link);
        return 0;
}

/* --- the set ------------------------------------------------------------------------------------
 */

int plugin_set_new(PluginSet **ret,
                sd_event *event,
                const Config *config,
                const PluginSetOps *ops,
                void *userdata) {
        _cleanup_(plugin_set_freep) PluginSet *set = NULL;
        sigset_t mask;

        set = calloc(1, sizeof(*set));
        if (!set)
                return -ENOMEM;
        set->links = calloc(config->n_plugins + 1, sizeof(*set->links));
        if (!set->links)
                return -ENOMEM;
        set->event = sd_event_ref(event);
        set->ops = *ops;
        set->userdata = userdata;
        set->n_links = config->n_plugins;
        for (size_t i = 0; i < set->n_links; i++)
                set->links[i] = (PluginLink){ .set = set,
                        .config = &config->plugins[i],
                        .listen_fd = -1,
                        .delay = DELAY_MIN_USEC };
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        *ret = TAKE_PTR(set);
        return 0;
}

int plugin_set_start(PluginSet *set) {
        int r;

        r = take_sockets(set);
        if (r < 0) {
                log_error("the sockets from systemd cannot be taken: %s", strerror(-r));
                return r;
        }
        for (size_t i = 0; i < set->n_links; i++) {
                PluginLink *link = &set->links[i];

                if (link->listen_fd >= 0)
                        continue;
                if (link->config->exec) {
                        link_start(link);
                } else if (link->config->socket) {
                        r = link_bind(link);
                        if (r < 0) {
                                link_log(link,
                                                LOG_ERR,
                                                "cannot listen on %s: %s",
                                                link->config->socket,
                                                strerror(-r));
                                return r;
                        }
                } else {
                        link_log(link,
                                        LOG_WARNING,
                                        "has no way in: enable vestibule-plugin@%s.socket, or set "
                                        "exec or socket",
                                        link->config->socket_name);
                }
        }
        return 0;
}

void plugin_set_reconfigure(PluginSet *set, const Config *config) {
        assert(config->n_plugins == set->n_links);
        for (size_t i = 0; i < set->n_links; i++) {
                PluginLink *link = &set->links[i];
                const ConfigPlugin *before = link->config;

                link->config = NULL;
                for (size_t k = 0; k < config->n_plugins; k++)
                        if (config->plugins[k].role == before->role &&
                                        streq(config->plugins[k].name, before->name))
                                link->config = &config->plugins[k];
                assert(link->config);
                if (!json_equal(before->settings, link->config->settings))
                        plugin_link_close(link, "its settings have changed");
        }
}

static void reap(pid_t pid, uint64_t until) {
        while (waitpid(pid, NULL, WNOHANG) == 0) {
                if (time_boot() >= until) {
                        (void) kill(-pid, SIGKILL);
                        (void) waitpid(pid, NULL, 0);
                        return;
                }
                (void) nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
        }
        (void) kill(-pid, SIGKILL);
}

PluginSet *plugin_set_free(PluginSet *set) {
        uint64_t until = time_boot() + STOP_USEC;

        if (!set)
                return NULL;
        for (size_t i = 0; i < set->n_links; i++) {
                PluginLink *link = &set->links[i];
                Connection *up = TAKE_PTR(link->up);

                link->accept = sd_event_source_disable_unref(link->accept);
                link->child = sd_event_source_disable_unref(link->child);
                link->timer = sd_event_source_disable_unref(link->timer);
                link->listen_fd = close_fd(link->listen_fd);
                if (link->bound)
                        (void) unlink(link->config->socket);
                if (up) {
                        (void) frame_stream_flush(up->stream);
                        up->stream = frame_stream_free(up->stream);
                        connection_fail_questions(up, -ECANCELED);
                        (void) connection_free(up);
                }
                link->coming = connection_free(link->coming);
                link_kill(link, SIGTERM);
        }
        for (size_t i = 0; i < set->n_links; i++)
                if (set->links[i].pid > 0)
                        reap(set->links[i].pid, until);
        free(set->links);
        sd_event_unref(set->event);
        free(set);
        return NULL;
}

size_t plugin_set_n_links(const PluginSet *set) {
        return set->n_links;
}

PluginLink *plugin_set_link(PluginSet *set, size_t i) {
        return i < set->n_links ? &set->links[i] : NULL;
}

PluginLink *plugin_set_find(PluginSet *set, ConfigRole role, const char *name) {
        for (size_t i = 0; i < set->n_links; i++)
                if (set->links[i].config->role == role && streq(set->links[i].config->name, name))
                        return &set->links[i];
        return NULL;
}

const ConfigPlugin *plugin_link_config(const PluginLink *link) {
        return link->config;
}

PluginLinkState plugin_link_state(const PluginLink *link) {
        if (link->up)
                return PLUGIN_LINK_UP;
        return link->failures >= PLUGIN_SET_FAILURES_DOWN ? PLUGIN_LINK_FAILED
                                                          : PLUGIN_LINK_WAITING;
}

bool plugin_link_has_capability(const PluginLink *link, const char *capability) {
        const json_t *item;
        size_t i;

        if (!link->up)
                return false;
        json_array_foreach(link->up->capabilities, i, item) {
                const char *text = json_string_value(item);

                if (streq(text + (text[0] == '!'), capability))
                        return true;
        }
        return false;
}

const char *plugin_link_version(const PluginLink *link) {
        return link->up ? link->up->version : NULL;
}

void plugin_link_set_userdata(PluginLink *link, void *userdata) {
        link->userdata = userdata;
}

void *plugin_link_userdata(const PluginLink *link) {
        return link->userdata;
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

void plugin_link_forget(PluginLink *link, int64_t id) {
        Connection *c = link->up;
        int slot = (int) ((id - 1) % SLOTS);

        if (!c || id < 1 || !c->questions[slot].open || question_id(c, slot) != id ||
                        !c->questions[slot].on_answer)
                return;
        deadline_unlink(c, &c->questions[slot]);
        c->questions[slot].on_answer = NULL;
        c->n_abandoned++;
}

int plugin_link_answer(PluginRequest request, json_t *frame) {
        Connection *c = link_connection(request.link, request.connection);
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
                connection_end(c, r, "it does not read its answers");
                return -ENOTCONN;
        }
        if (r < 0)
                return r == -EPIPE ? -ENOTCONN : r;
        table_remove(c, open);
        return 0;
}

void plugin_link_close(PluginLink *link, const char *reason) {
        if (link->up)
                connection_end(link->up, -EPROTO, reason);
}
