/* The inside of a Config, for the files config*.c only. */
#pragma once

#include "config.h"

typedef struct ConfigChunk {
        struct ConfigChunk *next;
        char data[] __attribute__((aligned(16)));
} ConfigChunk;

typedef struct ConfigToken {
        const char *entry;
        const ConfigTenant *tenant;
} ConfigToken;

typedef struct ConfigStore {
        ConfigChunk *chunks;    /* all strings and arrays */
        ConfigToken *tokens;    /* by id */
        ConfigTenant **tenants; /* by id */
        size_t n_tokens;
        json_t *canonical; /* all that has an effect, in one form: {"gateway": {…}, "channel":
                              {"xmpp": …}, …} */
} ConfigStore;

/* Makes the canonical form and from it the fingerprints. */
int config_store_fingerprint(Config *config);
