/* Links of Draft R, which arrive from strangers: what is read builds the same again, and leads to
 * no place that is not https. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "draft-r-link.h"
#include "secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, const DraftRLink *link) {
        static const uint8_t location[DRAFT_R_LOCATION_SIZE] = { 0xfb };
        _cleanup_(secret_free_stringp) char *again = NULL;
        _cleanup_(freep) char *url = NULL;
        char authority[SHARE_URL_AUTHORITY_SIZE];

        assert(link->secret_size >= DRAFT_R_SECRET_MIN && link->secret_size <= DRAFT_R_SECRET_MAX);
        assert(draft_r_template_check(link->template) == 0);
        draft_r_template_authority(link->template, authority);
        assert(draft_r_template_expand(link->template, location, &url) == 0);
        assert(strncmp(url, "https://", 8) == 0 && !strpbrk(url, "#{} \r\n"));
        assert(draft_r_link_build(link->template,
                               link->suite,
                               link->secret,
                               link->secret_size,
                               &again) == 0);
        assert(streq(again, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = malloc(size + 1);
        DraftRLink link;

        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = 0;
        if (draft_r_link_parse(text, &link) == 0)
                check(text, &link);
        (void) draft_r_template_check(text);
        return 0;
}
