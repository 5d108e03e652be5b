#include "webhook-url.h"

#include <string.h>
#include <strings.h>

#include "cleanup.h"

static const char scheme[] = "https://";

/* Dot segments would be resolved on the way and leave the prefix. */
static bool has_dot_segment(const char *path) {
        for (const char *p = path; *p && *p != '?'; p++) {
                if (*p != '/')
                        continue;
                if (p[1] == '.' && (!p[2] || strchr("/?", p[2])))
                        return true;
                if (p[1] == '.' && p[2] == '.' && (!p[3] || strchr("/?", p[3])))
                        return true;
        }
        return false;
}

static bool is_plain(const char *url) {
        for (const char *p = url; *p; p++) {
                if (*p <= ' ' || *p > '~' || strchr("#@\\\"<>^`{|}", *p))
                        return false;
                if (strncasecmp(p, "%2e", 3) == 0 || strncasecmp(p, "%2f", 3) == 0 ||
                                strncasecmp(p, "%5c", 3) == 0)
                        return false;
        }
        return true;
}

static bool is_https(const char *url) {
        const char *host = url + sizeof(scheme) - 1;

        return strncmp(url, scheme, sizeof(scheme) - 1) == 0 && *host && !strchr("/?:", *host) &&
               strlen(url) <= WEBHOOK_URL_MAX && is_plain(url) && !has_dot_segment(host);
}

bool webhook_prefix_is_valid(const char *prefix) {
        return is_https(prefix) && prefix[strlen(prefix) - 1] == '/' && !strchr(prefix, '?');
}

bool webhook_url_is_allowed(const WebhookPrefixes *prefixes, const char *url) {
        if (!is_https(url))
                return false;
        for (size_t i = 0; i < prefixes->n; i++)
                if (strncmp(url, prefixes->texts[i], strlen(prefixes->texts[i])) == 0)
                        return true;
        return false;
}
