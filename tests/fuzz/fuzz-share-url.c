/* Share URLs of strangers: what parses must rebuild to a link that parses to the same. */
#include <assert.h>
#include <stdint.h>

#include "cleanup.h"
#include "secret.h"
#include "share-url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = strndup((const char *) data, size), *redacted = NULL;
        _cleanup_(secret_free_stringp) char *built = NULL;
        char authority[SHARE_URL_AUTHORITY_SIZE];
        ShareUrl url, again;

        redacted = share_url_redacted(text);
        assert(redacted && (!strchr(text, '#') || strcmp(strchr(redacted, '#'), "#***") == 0));
        (void) share_url_authority(text, authority);
        if (share_url_parse(text, &url) != 0)
                return 0;

        /* Nothing that is sent to a relay carries the Secret. */
        assert(!strpbrk(url.api, "#?@ \r\n"));
        assert(share_url_is_allowed(&url, (const char *[]){ url.authority, NULL }));
        if (url.secret_size == 0)
                return 0;
        assert(share_url_build(url.api, url.vertical, url.secret, url.secret_size, &built) == 0);
        if (share_url_parse(built, &again) == SHARE_URL_E_LENGTH)
                return 0;
        assert(strcmp(url.authority, again.authority) == 0 &&
                        strcmp(url.mailbox, again.mailbox) == 0);
        assert(url.vertical == again.vertical && url.secret_size == again.secret_size);
        assert(memcmp(url.secret, again.secret, url.secret_size) == 0);
        return 0;
}
