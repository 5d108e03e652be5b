/* The relay client at work: takes the gateway's requests, has each done at the relay as one job or
 * two (relay.h), and answers. It keeps no state between requests: claims, ids, boxes and states of
 * runs come with each of them. It connects to the relay for the first time when the first request
 * needs it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "cleanup.h"
#include "plugin.h"

typedef struct Client Client;

/* The settings of `welcome`. Logs what is wrong. The plugin is borrowed. Nothing connects yet. */
int client_new(Client **ret, Plugin *plugin, const json_t *settings);

/* As PluginOps.request. */
int client_request(Client *client, const char *type, int64_t id, const json_t *frame);

/* Requests that are under way are dropped without an answer. Takes NULL, returns NULL. */
Client *client_free(Client *client);
DEFINE_CLEANUP(Client, client_free)
