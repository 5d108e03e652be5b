/* URLs that somebody else names and that our machine is to ask: nothing but https, and nothing in
 * them that two readers could take for two places. A prefix of the operator's is then compared byte
 * for byte. Where a name leads is not known here: see public-address.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* "https://", a host and at most max bytes of printable ASCII: no user, fragment, backslash, dot
 * segment, or encoded dot, slash or backslash. */
bool plain_url_is_https(const char *url, size_t max);

/* True when such a URL goes on with a path or ends, and its host is a name in lower case (RFC 1123
 * section 2.1; A-labels), neither an address nor what some resolvers read as one ("127.1", "0x7f"),
 * and its port, if any, is written as RFC 3986 section 6.2.3 normalises it: no leading zero, not
 * 443. There is one spelling only, so that what is signed is what is asked. */
bool plain_url_has_name(const char *url);

/* A URL of the first kind that ends with a slash, has no query, and so can be continued neither in
 * its host nor in its folder. */
bool plain_url_is_prefix(const char *prefix, size_t max);

/* Of two that are plain: whether the URL begins with the prefix. */
bool plain_url_is_below(const char *url, const char *prefix);
