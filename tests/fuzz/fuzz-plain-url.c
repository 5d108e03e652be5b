/* URLs of tenants: what may be asked is, for libcurl as well, https to the very host and port that
 * stand there, and goes out in the spelling that is signed. */
#include <assert.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "mint.h"
#include "plain-url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void has_no(CURLU *url, CURLUPart part) {
        char *text = NULL;

        assert(curl_url_get(url, part, &text, 0) != CURLUE_OK);
}

/* Puts the parts together as they will be sent. */
static void parts_are(CURLU *url, const char *text) {
        char *host = NULL, *port = NULL, *path = NULL, *query = NULL, *whole;

        assert(curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK);
        assert(curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK);
        (void) curl_url_get(url, CURLUPART_PORT, &port, 0);
        (void) curl_url_get(url, CURLUPART_QUERY, &query, 0);
        assert(asprintf(&whole,
                               "https://%s%s%s%s%s%s",
                               host,
                               port ? ":" : "",
                               port ? port : "",
                               path,
                               query ? "?" : "",
                               query ? query : "") > 0);
        /* An empty query is none for libcurl, which sends it all the same. */
        assert(strncmp(whole, text, strlen(whole)) == 0 &&
                        (streq(text + strlen(whole), "") || streq(text + strlen(whole), "?")));
        free(whole);
        curl_free(host);
        curl_free(port);
        curl_free(path);
        curl_free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = strndup((const char *) data, size);
        CURLU *url;

        assert(text);
        if (plain_url_is_prefix(text, SHARE_LIMIT_MINT))
                assert(plain_url_is_https(text, SHARE_LIMIT_MINT) &&
                                plain_url_is_below(text, text));
        if (!mint_url_is_valid(text))
                return 0;

        url = curl_url();
        assert(url && curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) == CURLUE_OK);
        parts_are(url, text);
        has_no(url, CURLUPART_USER);
        has_no(url, CURLUPART_PASSWORD);
        has_no(url, CURLUPART_FRAGMENT);
        curl_url_cleanup(url);

        /* As another reader might understand it: to the same place. */
        url = curl_url();
        assert(url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK);
        parts_are(url, text);
        curl_url_cleanup(url);
        return 0;
}
