/* The gateway's plugins: one link for each front, relay and channel of the configuration, whether a
 * process is connected or not. Sockets, processes, handshake, windows and deadlines are handled
 * here; what the frames mean is the caller's. Knows nothing of shares.
 *
 * How a plugin gets here, in this order: a listening socket that systemd hands over under the
 * link's socket name (LISTEN_FDNAMES; `FileDescriptorName=` in the socket unit), `exec` (the plugin
 * is started on a socketpair), `socket` (the gateway binds the path itself, mode 0600).
 *
 * `exec` is an argument vector, to which `--gateway fd:3 --name TITLE` is added. No shell sees it.
 * The program has descriptors 0 to 3 only, stdin from /dev/null, a process group of its own, and of
 * the environment PATH and a CREDENTIALS_DIRECTORY that is the folder named by its socket name in
 * ours. It gets SIGTERM when the gateway's main thread ends, however it ends. When it ends it is
 * started again after 0.1 s, doubling to 30 s; ten seconds of connection reset that. With status 78
 * (EX_CONFIG) it is 30 s at once.
 *
 * A plugin that breaks the protocol loses its connection, which is logged once, and its process is
 * ended if it was started here. The loop must belong to the main thread. Source:
 * plugins/PROTOCOL.md. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "config.h"

typedef struct PluginSet PluginSet;
typedef struct PluginLink PluginLink;

enum {
        PLUGIN_SET_E_UNSUPPORTED = 1, /* on_request: the type is not known; it is answered so */

        PLUGIN_SET_FAILURES_DOWN =
                        5, /* starts in a row that failed, after which a link is FAILED */
};

typedef enum PluginLinkState {
        PLUGIN_LINK_WAITING, /* nothing is connected; one may come */
        PLUGIN_LINK_UP,      /* connected and welcomed */
        PLUGIN_LINK_FAILED,  /* its program fails again and again; it is still tried, every 30 s */
} PluginLinkState;

/* A request that a plugin asked: a value to keep until it is answered, however long that takes. */
typedef struct PluginRequest {
        PluginLink *link;
        uint64_t connection; /* the connection it came on: ids mean nothing on another */
        int64_t id;
} PluginRequest;

typedef struct PluginSetOps {
        /* The plugin was welcomed. Frames that it sent before come after this call. */
        void (*on_up)(PluginLink *link, void *userdata);

        /* The connection ended, for whatever reason; unanswered questions were already told. */
        void (*on_down)(PluginLink *link, void *userdata);

        /* The plugin asks. Return 0 and answer now or later with plugin_link_answer(), or
         * PLUGIN_SET_E_UNSUPPORTED, or a negative errno: the frame is beyond what this protocol
         * allows and the connection ends. The frame is borrowed; json_incref() it to keep it. */
        int (*on_request)(PluginRequest request, const char *type, json_t *frame, void *userdata);

        /* The plugin tells. A negative return ends the connection. The frame is borrowed. */
        int (*on_event)(PluginLink *link, const char *type, json_t *frame, void *userdata);
} PluginSetOps;

/* The answer to plugin_link_ask(). error 0: *answer is the plugin's frame, borrowed, of whatever
 * type, `unsupported` included. -ETIMEDOUT: no answer until the deadline. -ECONNRESET: the
 * connection ended. -ECANCELED: the set is being freed. In these cases answer is NULL. */
typedef void (*PluginLinkAnswer)(PluginLink *link, int error, json_t *answer, void *userdata);

/* Makes the links. Borrows config, which must outlive the set or be followed by
 * plugin_set_reconfigure(). Blocks SIGCHLD in the calling thread, which sd_event_add_child() wants.
 * Nothing is started yet. */
int plugin_set_new(PluginSet **ret,
                sd_event *event,
                const Config *config,
                const PluginSetOps *ops,
                void *userdata);

/* Takes the sockets of systemd, binds and starts. -EADDRINUSE and other errors of bind(), after
 * logging which link. A program that cannot be started is not an error here: it is tried again. */
int plugin_set_start(PluginSet *set);

/* Follows another configuration with the same plugins (ConfigDifference.restart is false): links
 * whose settings differ lose their connection, so that the plugin comes back and gets the new ones.
 */
void plugin_set_reconfigure(PluginSet *set, const Config *config);

/* Ends: connections are closed after what is queued was written as far as it goes, started programs
 * get SIGTERM and, a second later, SIGKILL; all are reaped. Blocks for at most about a second.
 * Open questions are told -ECANCELED; on_down is not called. The Config must still exist. */
PluginSet *plugin_set_free(PluginSet *set);
DEFINE_CLEANUP(PluginSet, plugin_set_free)

size_t plugin_set_n_links(const PluginSet *set);
PluginLink *plugin_set_link(PluginSet *set, size_t i);
PluginLink *plugin_set_find(PluginSet *set, ConfigRole role, const char *name);

const ConfigPlugin *plugin_link_config(const PluginLink *link);
PluginLinkState plugin_link_state(const PluginLink *link);
static inline bool plugin_link_is_up(const PluginLink *link) {
        return plugin_link_state(link) == PLUGIN_LINK_UP;
}

/* Whether a channel can ask its carrier to take a message back; false while it is not up. */
bool plugin_link_withdraws(const PluginLink *link);

/* One word of the caller's, such as its own structure for a channel. */
void plugin_link_set_userdata(PluginLink *link, void *userdata);
void *plugin_link_userdata(const PluginLink *link);

/* Asks the plugin: sets `id`, queues, and calls on_answer exactly once, never from inside this
 * call. Takes the frame over, also on failure. deadline is in microseconds from now, 0 for none.
 * -ENOTCONN: not up. -ENOBUFS: the window is full; on_answer of an earlier question is the moment
 * to try again. -EMSGSIZE: larger than a frame. *ret_id may be NULL. */
int plugin_link_ask(PluginLink *link,
                json_t *frame,
                uint64_t deadline,
                PluginLinkAnswer on_answer,
                void *userdata,
                int64_t *ret_id);

/* True while the link is up and another question of ordinary size fits its window. */
bool plugin_link_may_ask(const PluginLink *link);

/* Answers a plugin's request: sets `id` and queues. Takes the frame over, also on failure.
 * -ENOTCONN: the connection of that request is gone, which is nobody's mistake. -EMSGSIZE: the
 * answer is too large for a frame; the request is still open. */
int plugin_link_answer(PluginRequest request, json_t *frame);

/* Ends the connection because the plugin breaks what was agreed; reason is for the log and must not
 * quote the frame. Safe inside a callback. */
void plugin_link_close(PluginLink *link, const char *reason);
