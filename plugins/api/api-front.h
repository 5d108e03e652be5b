/* What the front does with a request: find its route, read it, prove who asks, seal what is secret,
 * ask the gateway, and turn the answer into HTTP. It decides nothing about who may do what. */
#pragma once

#include "api-http.h"
#include "key-file.h"
#include "plugin.h"
#include "relay-key.h"

typedef struct ApiFront ApiFront;

extern const ApiServerOps api_front_ops;

/* keys: what to seal provisioning to; none for a front that starts no shares. Copied.
 * message_keys: what opens recipients' answers, taken over on success; or NULL. */
int api_front_new(ApiFront **ret,
                Plugin *plugin,
                const RelayPublicKeys *keys,
                RelayPrivateKeys *message_keys);

/* The server must be gone. Takes and returns NULL. */
ApiFront *api_front_free(ApiFront *front);
DEFINE_CLEANUP(ApiFront, api_front_free)
