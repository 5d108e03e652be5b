#include "plain-url.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char scheme[] = "https://";

enum {
        SCHEME_SIZE = sizeof(scheme) - 1,
        NAME_MAX_SIZE = 253,
        LABEL_MAX_SIZE = 63,
};

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

bool plain_url_is_https(const char *url, size_t max) {
        const char *host = url + SCHEME_SIZE;

        return strncmp(url, scheme, SCHEME_SIZE) == 0 && *host && !strchr("/?:", *host) &&
               strlen(url) <= max && is_plain(url) && !has_dot_segment(host);
}

static bool label_is_valid(const char *label, size_t size) {
        if (size < 1 || size > LABEL_MAX_SIZE || label[0] == '-' || label[size - 1] == '-')
                return false;
        for (size_t i = 0; i < size; i++)
                if (!islower((unsigned char) label[i]) && !isdigit((unsigned char) label[i]) &&
                                label[i] != '-')
                        return false;
        return true;
}

/* No top-level domain begins with a digit, and every spelling of an IPv4 address ends with a number
 * that does. */
static bool name_is_valid(const char *name, size_t size) {
        const char *label = name, *end = name + size;

        if (size > NAME_MAX_SIZE)
                return false;
        for (;;) {
                const char *dot = memchr(label, '.', (size_t) (end - label));
                size_t length = (size_t) ((dot ? dot : end) - label);

                if (!label_is_valid(label, length))
                        return false;
                if (!dot)
                        return !isdigit((unsigned char) label[0]);
                label = dot + 1;
        }
}

static bool port_is_valid(const char *port, size_t size) {
        unsigned number = 0;

        if (size < 1 || size > 5 || port[0] == '0')
                return false;
        for (size_t i = 0; i < size; i++) {
                if (!isdigit((unsigned char) port[i]))
                        return false;
                number = number * 10 + (unsigned) (port[i] - '0');
        }
        return number <= 65535 && number != 443;
}

bool plain_url_has_name(const char *url) {
        const char *name = url + SCHEME_SIZE;
        size_t size = strcspn(name, ":/?");

        if (name[size] == ':') {
                const char *port = name + size + 1;
                size_t port_size = strcspn(port, "/?");

                if (port[port_size] == '?' || !port_is_valid(port, port_size))
                        return false;
        } else if (name[size] == '?')
                return false;
        return name_is_valid(name, size);
}

bool plain_url_is_prefix(const char *prefix, size_t max) {
        return plain_url_is_https(prefix, max) && prefix[strlen(prefix) - 1] == '/' &&
               !strchr(prefix, '?');
}

bool plain_url_is_below(const char *url, const char *prefix) {
        return strncmp(url, prefix, strlen(prefix)) == 0;
}
