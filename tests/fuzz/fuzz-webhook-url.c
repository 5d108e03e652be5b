/* Fuzzes the choice of addresses that the relay may notify: what is allowed must, for libcurl as
 * well, be https, on the host and port of its prefix, and below its folder. */
#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "webhook-url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void part_is(CURLU *url, CURLUPart part, const char *wanted, size_t length) {
        char *text = NULL;

        if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK ||
                        strncmp(text, wanted, length) != 0 || (!length && strcmp(text, wanted)))
                abort();
        curl_free(text);
}

static void has_no(CURLU *url, CURLUPart part) {
        char *text = NULL;

        if (curl_url_get(url, part, &text, 0) == CURLUE_OK)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const WebhookPrefixes prefixes = {
                .texts = { "https://hooks.example.org/a/", "https://hooks.example.org/a/b/" },
                .n = 2,
        };
        _cleanup_(freep) char *text = malloc(size + 1);
        CURLU *url;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = 0;
        (void) webhook_prefix_is_valid(text);
        if (!webhook_url_is_allowed(&prefixes, text))
                return 0;

        url = curl_url();
        /* As it will be sent; and as another reader might understand it. */
        for (unsigned i = 0; url && i < 2; i++) {
                if (curl_url_set(url, CURLUPART_URL, text, i ? CURLU_PATH_AS_IS : 0) != CURLUE_OK)
                        continue; /* then nothing is sent at all */
                part_is(url, CURLUPART_SCHEME, "https", 0);
                part_is(url, CURLUPART_HOST, "hooks.example.org", 0);
                part_is(url, CURLUPART_PORT, "443", 0);
                part_is(url, CURLUPART_PATH, "/a/", 3);
                has_no(url, CURLUPART_USER);
                has_no(url, CURLUPART_FRAGMENT);
        }
        curl_url_cleanup(url);
        return 0;
}
