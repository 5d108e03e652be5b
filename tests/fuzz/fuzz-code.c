/* Codes as people type them: what is read as a code is one, shows as itself, and is read from what
 * is shown; what is refused leaves nothing behind. */
#include <assert.h>
#include <string.h>

#include "code.h"
#include "tag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char tag[TAG_SIZE], tag_again[TAG_SIZE];

        for (CodeFormat format = 0; format < CODE_FORMAT_MAX; format++) {
                char code[CODE_SIZE], again[CODE_SIZE], shown[CODE_DISPLAY_SIZE];
                int r = code_canonical(format, (const char *) data, size, code);

                assert(r == 0 || r == CODE_E_FORM || r == CODE_E_MISTYPED);
                assert(strlen(code) == (r == CODE_E_FORM ? 0 : code_length(format)));
                if (r == CODE_E_FORM)
                        continue;
                assert(code_check(format, code) == (r == 0));
                code_display(format, code, shown);
                assert(code_canonical(format, shown, strlen(shown), again) == r);
                assert(strcmp(code, again) == 0);
        }

        if (tag_canonical((const char *) data, size, tag)) {
                assert(tag_canonical(tag, strlen(tag), tag_again));
                assert(strcmp(tag, tag_again) == 0);
        } else
                assert(tag[0] == 0);
        return 0;
}
