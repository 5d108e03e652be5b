/* Addresses of people as the API writes them: one address per URI, without query, fragment,
 * authority, list or resource, in one canonical form, so that comparing is comparing bytes.
 *
 *   xmpp    a bare JID with a local part (RFC 7622). The local part follows PRECIS
 *           UsernameCaseMapped (RFC 8265): width mapped, lower case, NFC, IdentifierClass, the bidi
 *           rule of RFC 5893; code points that RFC 8264 allows in context only are refused, except
 *           Arabic-Indic digits of one kind. XEP-0106 escapes stay as they are.
 *   sms     E.164: "+", 7 to 15 digits, no separators
 *   mailto  addr-spec (RFC 5321) of at most 254 bytes, its local part of at most 64: a dot-atom
 *           without quotes, comments, or symbols that mail servers route by. Its case is kept.
 *           What is not ASCII (RFC 6531) must be a letter, digit or mark of IdentifierClass as it
 *           is and in NFC, which is written; directions and digits as in xmpp
 *   echo    [a-z0-9._-]{1,64}
 *
 * Domains are lower-case A-labels in all of them (IDNA 2008, UTS 46 non-transitional);
 * address_jid() gives the form with U-labels that XMPP wants on the wire. %XX is decoded in xmpp
 * and mailto before anything is checked, and what it decodes to has to be allowed as it is: a
 * canonical form is plain UTF-8 and holds no "%", "?" or "#", so that it can be read again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        ADDRESS_SIZE_MAX = 3078, /* "xmpp:" and the longest JID, with the final NUL */
};

typedef enum AddressError {
        ADDRESS_E_SCHEME = 1, /* not a URI scheme that we know */
        ADDRESS_E_FORM = 2, /* not one plain address of its scheme; ret_reason says what is wrong */
} AddressError;

/* Writes the canonical form of a URI. Positive AddressError with *ret_reason (static memory).
 * -ENOMEM. On failure ret is empty. */
int address_canonical(const char *uri, char ret[ADDRESS_SIZE_MAX], const char **ret_reason);

/* True when a URI is in canonical form already: what a plugin says a sender is. */
bool address_is_canonical(const char *uri);

/* Writes the canonical URI of a JID as it stands in a stanza: the resource is cut off, and nothing
 * is percent-decoded, so that bob%40x is not read as another's address. Errors as
 * address_canonical(). */
int address_from_jid(const char *jid, char ret[ADDRESS_SIZE_MAX], const char **ret_reason);

/* The bare JID of a canonical xmpp URI with U-labels in its domain. -EINVAL: not such a URI. */
int address_jid(const char *uri, char ret[ADDRESS_SIZE_MAX]);

/* The scheme's name with its colon cut off, of a canonical URI: "xmpp", "sms", "mailto", "echo".
 * Empty for anything else. */
void address_scheme(const char *uri, char ret[16]);

/* What an operator may see of a canonical address: scheme, first symbol, and domain or last two
 * digits, such as xmpp:b***@example.org and sms:+49***78. */
void address_masked(const char *uri, char ret[ADDRESS_SIZE_MAX]);

/* The person behind a canonical address, for limits and blocks, as another canonical address: of a
 * mailbox without its sub-address (RFC 5233: bob+hotel@example.org is bob@example.org) and in lower
 * case, as nearly every mail server reads it. Never for binding or for sending. Other schemes stay
 * as they are. ret may not be uri. */
void address_fold(const char *uri, char ret[ADDRESS_SIZE_MAX]);

/* BLAKE2b-256 over the canonical addresses in their order, each followed by a newline: the
 * `recipients` member of the sealed envelope. */
void address_list_hash(const char *const *uris, size_t n, uint8_t ret[32]);
