#include "webhook-url.h"

#include "plain-url.h"

bool webhook_prefix_is_valid(const char *prefix) {
        return plain_url_is_prefix(prefix, WEBHOOK_URL_MAX);
}

bool webhook_url_is_allowed(const WebhookPrefixes *prefixes, const char *url) {
        if (!plain_url_is_https(url, WEBHOOK_URL_MAX))
                return false;
        for (size_t i = 0; i < prefixes->n; i++)
                if (plain_url_is_below(url, prefixes->texts[i]))
                        return true;
        return false;
}
