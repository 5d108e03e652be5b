/* A ready main() for plugins written in C: arguments, connection, handshake, frames, identities,
 * windows, watchdog. A plugin gives a table of callbacks and calls plugin_main().
 * The protocol is in ../PROTOCOL.md. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Plugin Plugin;

/* The answer to plugin_ask(): NULL when the connection ended or the deadline passed. Borrowed. */
typedef void (*PluginAnswer)(Plugin *plugin, const json_t *answer, void *userdata);

typedef struct PluginOps {
        const char *program;             /* "vestibule-xmpp" */
        const char *role;                /* "channel", "front", "relay", "sink" */
        const char *name;                /* default of --name, the section's title */
        const char *summary;             /* one line for --help */
        const char *const *capabilities; /* NULL-terminated */

        /* Settings came: prepare, and start working. A negative return ends the program with status
         * 78 (EX_CONFIG) after the callee has logged why. *ret_state is given to the other calls.
         */
        int (*start)(Plugin *plugin, const json_t *settings, void **ret_state);

        /* A request of the gateway: answer it now or later with plugin_answer(). Return 0, or
         * PLUGIN_UNSUPPORTED for a type that is not known. The frame is borrowed. */
        int (*request)(Plugin *plugin,
                        void *state,
                        const char *type,
                        int64_t id,
                        const json_t *frame);

        /* The program ends: release. May be NULL. */
        void (*stop)(Plugin *plugin, void *state);

        /* An option of this plugin's own on the command line, before the connection exists. Returns
         * an exit status to end with, or -1 to go on. May be NULL. Used by programs that have a
         * second duty, such as making keys. */
        int (*option)(int argc, char **argv);
        const char *option_help; /* lines for --help, or NULL */
} PluginOps;

enum {
        PLUGIN_UNSUPPORTED = 1,
        PLUGIN_DEADLINE_SECONDS = 30,
};

/* Runs the plugin until the gateway's connection, SIGTERM or SIGINT ends it; returns the exit
 * status of sysexits.h: 0 when the gateway went away or a signal came, so that a supervisor starts
 * it again at once; 75 (EX_TEMPFAIL) when the gateway refused, was not there, or has stopped
 * answering, and 76 (EX_PROTOCOL) when it broke the protocol, so that the supervisor waits first;
 * 64 (EX_USAGE), 71 (EX_OSERR) and 78 (EX_CONFIG) when somebody has to look. SIGPIPE is ignored,
 * libsodium is ready, and what jansson frees is wiped from the start: free the text of
 * json_dumps() with json_wipe_free() of json-wipe.h, never with free(). */
int plugin_main(int argc, char **argv, const PluginOps *ops);

sd_event *plugin_event(Plugin *plugin);

/* The section's title in the gateway's configuration. */
const char *plugin_name(const Plugin *plugin);

/* A string of the settings, or fallback when it is absent. Borrowed from the settings. */
const char *plugin_setting(const json_t *settings, const char *name, const char *fallback);

/* Answers a request of the gateway: sets `id` and sends; takes the object over. A failure to send
 * ends the connection, so there is nothing to check. */
void plugin_answer(Plugin *plugin, int64_t id, json_t *answer);

/* Tells the gateway an event. Takes the object over. */
void plugin_tell(Plugin *plugin, json_t *event);

/* Tells `status`. */
void plugin_tell_status(Plugin *plugin, bool up, const char *reason);

/* Asks the gateway: sets `id`, sends, and calls on_answer once, never from inside this call. Takes
 * the object over. deadline is in seconds, 0 for none. *ret_id may be NULL. -ENOBUFS: the window is
 * full; try again after an answer. -EMSGSIZE. -EPIPE: the plugin ends. On failure on_answer is not
 * called. */
int plugin_ask(Plugin *plugin,
                json_t *request,
                unsigned deadline,
                PluginAnswer on_answer,
                void *userdata,
                int64_t *ret_id);

/* Forgets a question: its answer will be ignored and on_answer not called. For askers that go away.
 * It stays in the window until the gateway has answered it, as does one whose deadline passed. */
void plugin_forget(Plugin *plugin, int64_t id);

/* True while another request fits the window. */
bool plugin_may_ask(const Plugin *plugin);

/* Ends the program in order with this exit status: after the current callback, all questions are
 * given up, `stop` is called, which may still answer and tell, and what is queued is written. */
void plugin_exit(Plugin *plugin, int status);
