/* Which addresses the relay may be asked to notify. A stranger names them, so that only those below
 * a prefix of the operator's count, byte for byte, and nothing in them may mean another place than
 * it seems to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The type of a notificationToken whose tokenData is such an address. */
#define WEBHOOK_TOKEN_TYPE "org.vestibule.webhook"

enum {
        WEBHOOK_PREFIXES_MAX = 16,
        WEBHOOK_URL_MAX = 512,
};

typedef struct WebhookPrefixes {
        const char *texts[WEBHOOK_PREFIXES_MAX]; /* borrowed */
        size_t n;                                /* 0 = nobody is notified */
} WebhookPrefixes;

/* https://host[:port]/ and perhaps more, with a slash at the end, so that neither host nor folder
 * can be continued. */
bool webhook_prefix_is_valid(const char *prefix);

/* Printable ASCII below one of the prefixes: no user, fragment, backslash, dot segment or encoded
 * dot or slash. */
bool webhook_url_is_allowed(const WebhookPrefixes *prefixes, const char *url);
