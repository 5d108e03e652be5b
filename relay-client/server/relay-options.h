/* The command line of vestibule-relay. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "webhook-url.h"

typedef struct RelayOptions {
        const char *state; /* NULL with in_memory */
        const char *listen;
        const char *public_url; /* NULL = https:// and where it listens */
        const char *certificate, *key;
        const char *log, *port_file;
        bool in_memory, empty_created, forbid_with_403, legacy_headers;
        WebhookPrefixes webhooks; /* none: nobody is notified */
        const char *webhook_ca;   /* NULL = the issuers of the system */
        bool webhook_private;
        uint32_t ttl_default, ttl_max;
        uint32_t body_max;
        uint64_t space; /* bytes to keep, 0 = any */
        uint32_t connections_max, connections_per_address, idle_timeout, rate;
} RelayOptions;

/* 0: go on. 1: --help or --version was answered on stdout. -EINVAL: said on stderr what is wrong.
 */
int relay_options_parse(RelayOptions *ret, int argc, char *argv[]);
