/* What the relay client is told once, at its start: the settings of its section and its
 * credentials, checked, so that what cannot work is said then and not when a share is confirmed. */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "http-client.h"
#include "mint-fetch.h"
#include "relay.h"
#include "release.h"
#include "secret.h"

enum {
        CLIENT_HOSTS_MAX = 16,
        CLIENT_PINS_MAX = 8,
};

typedef struct ClientSettings {
        const RelayProtocol *protocol;
        bool is_draft_r;
        RelayTerms terms;           /* borrows from what follows */
        ReleaseTerms release_terms; /* as well */

        char *url, *template;
        char *hosts[CLIENT_HOSTS_MAX + 1];
        Secret attestation;
        RelayPrivateKeys *keys;
        RelayPublicKeys *front_keys; /* NULL: recipients cannot answer */
} ClientSettings;

/* Logs what is wrong. -EINVAL, -ENOMEM, or what reading a credential came to. */
int client_settings_new(ClientSettings **ret, const json_t *settings);

/* The two ways to the outside that the settings allow: to the relay, and to tenants who mint. Both
 * log what is wrong. */
int client_settings_http(const json_t *settings, sd_event *event, HttpClient **ret);
int client_settings_mint(const json_t *settings,
                sd_event *event,
                const RelayPrivateKeys *keys,
                MintFetchAnswer answer,
                void *userdata,
                MintFetch **ret);

/* Wipes and frees; takes NULL, returns NULL. */
ClientSettings *client_settings_free(ClientSettings *settings);
DEFINE_CLEANUP(ClientSettings, client_settings_free)
