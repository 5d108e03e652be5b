/* Share URLs (Draft V): https://HOST/v1/m/MAILBOX?v=VERTICAL#SECRET. Strings in, values out; an
 * allow-list says which relays may be spoken to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

#define SHARE_URL_VERSION "v1"

enum {
        SHARE_URL_MAX = 2048,
        SHARE_URL_LINK_MAX = 512, /* of a relay's urlLink */
        SHARE_URL_HOST_MAX = 253,
        SHARE_URL_AUTHORITY_SIZE = SHARE_URL_HOST_MAX + 6 + 1, /* host, ":65535", NUL */
        SHARE_URL_SECRET_MAX = 32,
};

typedef enum ShareUrlError {
        SHARE_URL_E_LENGTH = 1,        /* empty, or longer than SHARE_URL_MAX */
        SHARE_URL_E_CHARACTER = 2,     /* a space, a control character or a byte above 0x7e */
        SHARE_URL_E_SCHEME = 3,        /* not https */
        SHARE_URL_E_USERINFO = 4,      /* a name or password before the host */
        SHARE_URL_E_HOST = 5,          /* no plain host name or address, or a bad port */
        SHARE_URL_E_PATH = 6,          /* not /vN/m/... */
        SHARE_URL_E_MAILBOX = 7,       /* the mailbox identifier is not a UUID */
        SHARE_URL_E_SECRET = 8,        /* the fragment is not base64 */
        SHARE_URL_E_SECRET_LENGTH = 9, /* not 16 or 32 bytes */
} ShareUrlError;

typedef struct ShareUrl {
        char host[SHARE_URL_HOST_MAX + 1]; /* lower case; an IPv6 address keeps its brackets */
        char authority[SHARE_URL_AUTHORITY_SIZE]; /* the host, and ":PORT" unless that is 443 */
        uint16_t port;
        char version[8]; /* "v1" */
        char mailbox[UUID_TEXT_SIZE];
        bool has_query, has_fragment;
        char vertical;       /* 'a' general access, 'h' home, 'c' car */
        bool vertical_known; /* false: the URL named another one, and 'a' stands for it */
        uint8_t secret[SHARE_URL_SECRET_MAX];
        size_t secret_size;          /* 0: the Secret travels apart */
        char api[SHARE_URL_MAX + 1]; /* for requests: without query and fragment */
} ShareUrl;

/* Positive ShareUrlError. On success the caller wipes *ret with share_url_done(); on an error
 * nothing secret is in it. */
int share_url_parse(const char *text, ShareUrl *ret);
void share_url_done(ShareUrl *url);

/* True when text is what a relay may give as urlLink, or a gateway as mailbox: a share URL of
 * version 1 without query and fragment, at most SHARE_URL_LINK_MAX bytes, of a host that is
 * allowed. */
bool share_url_is_link(const char *text, const char *const *hosts);

/* True when hosts, a NULL-terminated list of "HOST" and "HOST:PORT", names this URL's authority
 * exactly; an address such as 127.0.0.1:8443 is no exception and must be named. */
bool share_url_is_allowed(const ShareUrl *url, const char *const *hosts);

/* True for https:// in whatever case, and no other scheme. */
bool share_url_is_https(const char *text);

/* Reads a relay's base URL, https://HOST[:PORT] with at most a final slash. SHARE_URL_E_*. */
int share_url_authority(const char *url, char ret[SHARE_URL_AUTHORITY_SIZE]);

/* LINK?v=VERTICAL#SECRET, with the link as the relay gave it. *ret is the caller's to wipe and free
 * (secret_free_string). */
int share_url_build(const char *link,
                char vertical,
                const uint8_t *secret,
                size_t secret_size,
                char **ret);

/* "scheme-not-https", "userinfo", "mailbox-id", "secret-length" ... */
const char *share_url_error_name(ShareUrlError error);
