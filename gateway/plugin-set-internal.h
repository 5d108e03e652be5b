/* What the parts of plugin-set.h share with one another and with nobody else.
 *
 *   plugin-set.c             the set: sockets, start, reload, end
 *   plugin-set-process.c     started programs: how they begin, end and begin again
 *   plugin-set-connection.c  one connection: hello, frames, end
 *   plugin-set-window.c      one connection's questions and requests, with windows and deadlines
 *
 * A connection is a thing of its own because a link can have two for a moment: one that is welcomed
 * and one that is still saying hello. After every call into the caller's code a connection may be
 * gone; whoever goes on working with it looks it up again by its serial number. */
#pragma once

#include "plugin-set.h"

#include <sys/types.h>

#include "stream.h"
#include "time-text.h"

enum {
        SLOTS = STREAM_WINDOW_FRAMES,
        TABLE_SIZE = 2 * STREAM_WINDOW_FRAMES, /* a power of two */
        NO_SLOT = -1,
};

#define HEALTHY_USEC (10 * USEC_PER_SEC) /* of connection, and earlier failures are forgotten */
#define DELAY_MIN_USEC (100 * USEC_PER_MSEC)

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
        bool withdraws; /* a capability of its hello */

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

/* --- plugin-set.c --- */

/* A record about the link, which the text continues: "channel xmpp " … */
__attribute__((format(printf, 3, 4))) void plugin_link_log(
                const PluginLink *link, int priority, const char *format, ...);

/* Sets a timer of ours, making it the first time. usec is CLOCK_BOOTTIME. */
int plugin_link_set_timer(sd_event *event,
                sd_event_source **timer,
                uint64_t usec,
                sd_event_time_handler_t handler,
                void *userdata);

/* --- plugin-set-process.c --- */

/* Starts the link's program, now or, when that fails, later. */
void plugin_link_start(PluginLink *link);

/* Signals the program and all that it started; nothing when there is none. */
void plugin_link_kill(PluginLink *link, int signal);

/* Its program should end with its connection; it is helped if it does not. */
void plugin_link_expect_exit(PluginLink *link, bool orderly);

/* Waits for the end of a program that got SIGTERM, until that time (CLOCK_BOOTTIME), then kills. */
void plugin_link_reap(pid_t pid, uint64_t until);

/* One timer for three things that exclude each other: an exec'd program that should have ended, one
 * to be started, and a listener that rests. */
int plugin_link_on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* --- plugin-set-connection.c --- */

/* A connection that has to say hello. Takes the descriptor over on success only. */
int plugin_connection_new(PluginLink *link, int fd);
Connection *plugin_connection_free(Connection *c);
DEFINE_CLEANUP(Connection, plugin_connection_free)

/* Ends a connection; error 0 when the peer has closed it. The caller does not touch it afterwards.
 */
void plugin_connection_end(Connection *c, int error, const char *reason);

/* The connection of that number, if it is still the link's. */
Connection *plugin_link_connection(PluginLink *link, uint64_t serial);

/* --- plugin-set-window.c --- */

/* Makes the empty windows of a connection that is being welcomed. -ENOMEM. */
int plugin_connection_open_windows(Connection *c);

/* Tells every open question why it gets no answer. The connection is already out of its link. */
void plugin_connection_fail_questions(Connection *c, int error);

/* A frame with an id came: one that answers a question, or one that asks. Either may end the
 * connection. */
bool plugin_type_is_answer(const char *type);
void plugin_connection_take_answer(Connection *c, int64_t id, json_t *frame);
void plugin_connection_take_request(Connection *c, int64_t id, const char *type, json_t *frame);
