/* Addresses: a canonical form is canonical, holds nothing that a URI or a mail server reads
 * otherwise, and survives the way over XMPP's own form, or percent-encoding. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "cleanup.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 6068: every octet may be written as %XX, and it stays the same address. */
static void check_mailbox(const char *address) {
        const char *text = strchr(address, ':') + 1, *at = strrchr(text, '@'), *reason;
        char encoded[sizeof("mailto:") + 3 * 254], again[ADDRESS_SIZE_MAX];
        size_t n = strlen("mailto:");

        assert(at && at - text <= 64 && strlen(text) <= 254);
        assert(memchr(text, '@', strlen(text)) == at);
        assert(!strpbrk(text, "<>()[]\\,;:&`|!/"));
        memcpy(encoded, "mailto:", n + 1);
        for (; *text; text++)
                n += (size_t) sprintf(encoded + n, "%%%02x", (unsigned char) *text);
        assert(address_canonical(encoded, again, &reason) == 0);
        assert(streq(again, address));
}

static void check_canonical(const char *address) {
        char again[ADDRESS_SIZE_MAX], jid[ADDRESS_SIZE_MAX], scheme[16];
        const char *reason;

        assert(strlen(address) < ADDRESS_SIZE_MAX);
        assert(text_is_utf8(address, strlen(address)));
        assert(!strpbrk(address, "%?# \t\r\n\""));
        assert(address_is_canonical(address));
        address_scheme(address, scheme);
        assert(strncmp(address, scheme, strlen(scheme)) == 0 && scheme[0]);
        address_masked(address, again);
        assert(text_is_utf8(again, strlen(again)));
        address_fold(address, jid);
        address_fold(jid, again);
        assert(text_is_utf8(jid, strlen(jid)) && streq(again, jid));

        if (streq(scheme, "mailto"))
                check_mailbox(address);
        if (streq(scheme, "xmpp")) {
                assert(address_jid(address, jid) == 0);
                assert(!strchr(jid, '/'));
                assert(address_from_jid(jid, again, &reason) == 0);
                assert(streq(again, address));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char address[ADDRESS_SIZE_MAX];
        _cleanup_(freep) char *text = malloc(size + 1);
        const char *reason;
        int r;

        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = 0;

        r = address_canonical(text, address, &reason);
        assert((r == 0) == (address[0] != 0) && (r == 0) == (reason == NULL));
        if (r == 0)
                check_canonical(address);

        r = address_from_jid(text, address, &reason);
        assert((r == 0) == (address[0] != 0) && (r == 0) == (reason == NULL));
        if (r == 0)
                check_canonical(address);

        address_masked(text, address);
        address_fold(text, address);
        return 0;
}
