/* Addresses of people as the API writes them: one address per URI, without query, fragment,
 * authority, list or resource, in one canonical form, so that comparing is comparing bytes.
 *
 * xmpp: bare JID (RFC 7622: PRECIS UsernameCaseMapped local part, IDNA domain), sms: E.164,
 * mailto: addr-spec without quoted local part or comment, domain in A-labels, echo: [a-z0-9._-]+ */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
        ADDRESS_SIZE_MAX = 3078, /* "xmpp:" and the longest JID, with the final NUL */
};

typedef enum AddressError {
        ADDRESS_E_SCHEME = 1, /* not a URI scheme that we know */
        ADDRESS_E_FORM = 2,   /* not one plain address of its scheme; ret_reason says what is wrong */
} AddressError;

/* Writes the canonical form of a URI. Positive AddressError with *ret_reason (static memory). */
int address_canonical(const char *uri, char ret[ADDRESS_SIZE_MAX], const char **ret_reason);

/* The scheme's name with its colon cut off, of a canonical URI: "xmpp", "sms", "mailto", "echo". */
void address_scheme(const char *uri, char ret[16]);

/* What an operator may see of a canonical address: scheme, first symbol, and domain or last two
 * digits, such as xmpp:b***@example.org and sms:+49***78. */
void address_masked(const char *uri, char ret[ADDRESS_SIZE_MAX]);

/* BLAKE2b-256 over the canonical addresses in their order, each followed by a newline: the
 * `recipients` member of the sealed envelope. */
void address_list_hash(const char *const *uris, size_t n, uint8_t ret[32]);
