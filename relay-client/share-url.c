#include "share-url.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "cleanup.h"
#include "secret.h"

static const char scheme[] = "https://";

static int check_characters(const char *text) {
        size_t length = strlen(text);

        if (length == 0 || length > SHARE_URL_MAX)
                return SHARE_URL_E_LENGTH;
        for (size_t i = 0; i < length; i++)
                if (text[i] <= ' ' || text[i] > '~' || text[i] == '\\')
                        return SHARE_URL_E_CHARACTER;
        return 0;
}

/* A port without leading zero, of at most five digits. */
static bool read_port(const char *text, size_t size, uint16_t *ret) {
        unsigned port = 0;

        if (size < 1 || size > 5 || text[0] == '0')
                return false;
        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                port = port * 10 + (unsigned) (text[i] - '0');
        }
        if (port > UINT16_MAX)
                return false;
        *ret = (uint16_t) port;
        return true;
}

static bool host_is_plain(const char *host, size_t size) {
        if (size < 1 || size > SHARE_URL_HOST_MAX)
                return false;
        if (host[0] == '[') {
                if (size < 4 || host[size - 1] != ']')
                        return false;
                for (size_t i = 1; i < size - 1; i++)
                        if (!isxdigit((unsigned char) host[i]) && host[i] != ':' && host[i] != '.')
                                return false;
                return true;
        }
        for (size_t i = 0; i < size; i++)
                if (!isalnum((unsigned char) host[i]) && host[i] != '-' && host[i] != '.')
                        return false;
        return host[0] != '.' && host[0] != '-';
}

/* Reads what stands between "//" and the next '/', '?', '#' or the end. */
static int read_authority(const char *text, size_t size, ShareUrl *url) {
        size_t host_size = size;
        const char *colon;

        if (memchr(text, '@', size))
                return SHARE_URL_E_USERINFO;
        url->port = 443;
        colon = memrchr(text, ':', size);
        if (colon && !memchr(colon, ']', (size_t) (text + size - colon))) {
                host_size = (size_t) (colon - text);
                if (!read_port(colon + 1, size - host_size - 1, &url->port))
                        return SHARE_URL_E_HOST;
        }
        if (!host_is_plain(text, host_size))
                return SHARE_URL_E_HOST;

        for (size_t i = 0; i < host_size; i++)
                url->host[i] = (char) tolower((unsigned char) text[i]);
        url->host[host_size] = 0;
        if (url->port == 443)
                (void) snprintf(url->authority, sizeof(url->authority), "%s", url->host);
        else
                (void) snprintf(url->authority,
                                sizeof(url->authority),
                                "%s:%u",
                                url->host,
                                (unsigned) url->port);
        return 0;
}

/* /vN/m/UUID */
static int read_path(const char *text, size_t size, ShareUrl *url) {
        size_t n = 2;

        while (n < size && text[n] >= '0' && text[n] <= '9')
                n++;
        if (size < 3 || text[0] != '/' || text[1] != 'v' || n == 2 || n > sizeof(url->version) ||
                        size < n + 3 || memcmp(text + n, "/m/", 3) != 0)
                return SHARE_URL_E_PATH;
        memcpy(url->version, text + 1, n - 1);
        url->version[n - 1] = 0;

        text += n + 3;
        size -= n + 3;
        if (size != UUID_TEXT_SIZE - 1)
                return SHARE_URL_E_MAILBOX;
        memcpy(url->mailbox, text, size);
        url->mailbox[size] = 0;
        return text_is_uuid(url->mailbox) ? 0 : SHARE_URL_E_MAILBOX;
}

/* The first `v` counts; keys that are not known are ignored. */
static void read_query(const char *text, size_t size, ShareUrl *url) {
        url->vertical = 'a';
        url->vertical_known = true;

        while (size > 0) {
                const char *end = memchr(text, '&', size);
                size_t length = end ? (size_t) (end - text) : size;

                if (length >= 2 && text[0] == 'v' && text[1] == '=') {
                        url->vertical_known = length == 3 && memchr("ahc", text[2], 3);
                        if (url->vertical_known)
                                url->vertical = text[2];
                        return;
                }
                text += length + (end ? 1 : 0);
                size -= length + (end ? 1 : 0);
        }
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* One layer of percent-encoding, which some messengers add; '+' stays what it is. */
static int percent_decode(const char *text, char *ret, size_t room) {
        size_t n = 0;

        for (const char *p = text; *p; p++) {
                if (n + 1 >= room)
                        return SHARE_URL_E_SECRET_LENGTH;
                if (*p == '%') {
                        int high = hex_value(p[1]), low = high < 0 ? -1 : hex_value(p[2]);

                        if (low < 0 || (high == 0 && low == 0))
                                return SHARE_URL_E_SECRET;
                        ret[n++] = (char) (high << 4 | low);
                        p += 2;
                } else
                        ret[n++] = *p;
        }
        ret[n] = 0;
        return 0;
}

static int read_secret(const char *fragment, ShareUrl *url) {
        char text[128];
        uint8_t *secret = NULL;
        size_t size = 0;
        int r;

        r = percent_decode(fragment, text, sizeof(text));
        if (r == 0) {
                r = text_from_base64(text, true, &secret, &size);
                if (r == -EBADMSG)
                        r = SHARE_URL_E_SECRET;
        }
        if (r == 0 && size != 16 && size != 32)
                r = SHARE_URL_E_SECRET_LENGTH;
        if (r == 0) {
                memcpy(url->secret, secret, size);
                url->secret_size = size;
        }

        sodium_memzero(text, sizeof(text));
        if (secret)
                sodium_memzero(secret, size);
        free(secret);
        return r;
}

bool share_url_is_https(const char *text) {
        return strncasecmp(text, scheme, sizeof(scheme) - 1) == 0;
}

int share_url_parse(const char *text, ShareUrl *ret) {
        const char *authority, *path, *query, *fragment;
        size_t path_size;
        int r;

        memset(ret, 0, sizeof(*ret));
        r = check_characters(text);
        if (r != 0)
                return r;
        if (!share_url_is_https(text))
                return SHARE_URL_E_SCHEME;

        authority = text + sizeof(scheme) - 1;
        path = authority + strcspn(authority, "/?#");
        r = read_authority(authority, (size_t) (path - authority), ret);
        if (r != 0)
                return r;

        path_size = strcspn(path, "?#");
        r = read_path(path, path_size, ret);
        if (r != 0)
                return r;

        query = path + path_size;
        fragment = query + strcspn(query, "#");
        ret->has_query = *query == '?';
        ret->has_fragment = *fragment == '#';
        read_query(query + ret->has_query, (size_t) (fragment - query) - ret->has_query, ret);
        if (ret->has_fragment && fragment[1]) {
                r = read_secret(fragment + 1, ret);
                if (r != 0)
                        return r;
        }
        (void) snprintf(ret->api, sizeof(ret->api), "%.*s", (int) (query - text), text);
        return 0;
}

void share_url_done(ShareUrl *url) {
        sodium_memzero(url, sizeof(*url));
}

bool share_url_is_allowed(const ShareUrl *url, const char *const *hosts) {
        for (size_t i = 0; hosts[i]; i++)
                if (strcasecmp(hosts[i], url->authority) == 0)
                        return true;
        return false;
}

bool share_url_is_link(const char *text, const char *const *hosts) {
        _cleanup_(share_url_done) ShareUrl url;

        return share_url_parse(text, &url) == 0 && strlen(text) <= SHARE_URL_LINK_MAX &&
               !url.has_query && !url.has_fragment && streq(url.version, SHARE_URL_VERSION) &&
               share_url_is_allowed(&url, hosts);
}

int share_url_authority(const char *url, char ret[SHARE_URL_AUTHORITY_SIZE]) {
        ShareUrl parsed = { 0 };
        const char *authority;
        size_t size;
        int r;

        r = check_characters(url);
        if (r != 0)
                return r;
        if (!share_url_is_https(url))
                return SHARE_URL_E_SCHEME;
        authority = url + sizeof(scheme) - 1;
        size = strcspn(authority, "/?#");
        if (authority[size] && !streq(authority + size, "/"))
                return SHARE_URL_E_PATH;
        r = read_authority(authority, size, &parsed);
        if (r != 0)
                return r;

        memcpy(ret, parsed.authority, SHARE_URL_AUTHORITY_SIZE);
        return 0;
}

int share_url_build(const char *link,
                char vertical,
                const uint8_t *secret,
                size_t secret_size,
                char **ret) {
        _cleanup_(secret_free_stringp) char *text = text_base64(secret, secret_size);
        size_t size;
        char *url;

        if (!text)
                return -ENOMEM;
        /* In one piece: a buffer that grows leaves what it held behind. */
        size = strlen(link) + strlen("?v=a#") + strlen(text) + 1;
        url = malloc(size);
        if (!url)
                return -ENOMEM;
        (void) snprintf(url, size, "%s?v=%c#%s", link, vertical, text);
        *ret = url;
        return 0;
}

const char *share_url_error_name(ShareUrlError error) {
        switch (error) {
        case SHARE_URL_E_LENGTH:
                return "length";
        case SHARE_URL_E_CHARACTER:
                return "character";
        case SHARE_URL_E_SCHEME:
                return "scheme-not-https";
        case SHARE_URL_E_USERINFO:
                return "userinfo";
        case SHARE_URL_E_HOST:
                return "host";
        case SHARE_URL_E_PATH:
                return "path";
        case SHARE_URL_E_MAILBOX:
                return "mailbox-id";
        case SHARE_URL_E_SECRET:
                return "secret";
        case SHARE_URL_E_SECRET_LENGTH:
                return "secret-length";
        }
        return "unknown";
}
