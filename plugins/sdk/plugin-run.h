/* What plugin_main() does after it has a socket, in pieces that the tests call: a plugin on a loop
 * and a descriptor of theirs, with the clock as an argument. Plugins include plugin.h only. */
#pragma once

#include "cleanup.h"
#include "plugin.h"

enum { PLUGIN_WELCOME_SECONDS = 30 };

/* Says hello on the descriptor, which it takes over on success only. ops and name are borrowed. */
int plugin_new(Plugin **ret, sd_event *event, int fd, const PluginOps *ops, const char *name);

/* Prints type, id and size of each frame, never its content. */
void plugin_set_trace(Plugin *plugin, bool trace);

/* Does what is due at a time of CLOCK_BOOTTIME, in microseconds: gives up waiting for `welcome`,
 * and for answers. */
void plugin_expire(Plugin *plugin, uint64_t now);

/* The exit status, or -1 while the plugin runs. */
int plugin_status(const Plugin *plugin);

/* Gives up all questions, calls stop, writes what is queued, and frees. Takes NULL, returns NULL.
 */
Plugin *plugin_free(Plugin *plugin);
DEFINE_CLEANUP(Plugin, plugin_free)
