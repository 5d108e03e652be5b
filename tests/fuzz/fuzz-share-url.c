/* Share URLs of strangers: what parses must rebuild to a link that parses to the same. */
#include <assert.h>
#include <stdint.h>

#include "cleanup.h"
#include "draft-v.h"
#include "secret.h"
#include "share-url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is taken for a mailbox, its fragment stays here. */
static void check_request(const char *text) {
        static const DraftVCaller caller = {
                .claim = "5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a01",
                .request_id = "00000000-0000-4000-8000-00000000000a",
        };
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;

        if (draft_v_plain(DRAFT_V_READ, text, &caller, &request) == 0)
                assert(share_url_is_https(request.url) && !strpbrk(request.url, "#?"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = strndup((const char *) data, size);
        _cleanup_(secret_free_stringp) char *built = NULL;
        char authority[SHARE_URL_AUTHORITY_SIZE];
        ShareUrl url, again;

        (void) share_url_authority(text, authority);
        check_request(text);
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
