/* Texts and HTML of strangers; the first byte chooses how they are read. What comes out is bounded,
 * well-formed, trimmed, and not empty where it is said not to be. */
#include <assert.h>
#include <string.h>

#include "reply-text.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char text[REPLY_TEXT_MAX + 1];
        size_t n;
        int r;

        if (size == 0)
                return 0;
        r = reply_text((const char *) data + 1, size - 1, data[0] & 7, text);
        assert(r == 0 || r == REPLY_TEXT_E_EMPTY);
        n = strlen(text);
        assert(n <= REPLY_TEXT_MAX && text_is_utf8(text, n) && (n > 0) == (r == 0));
        for (size_t i = 0; i < n; i++)
                assert((unsigned char) text[i] >= 0x20 || text[i] == '\n' || text[i] == '\t');
        if (n > 0)
                assert(text[0] != ' ' && text[0] != '\n' && text[n - 1] != ' ' &&
                                text[n - 1] != '\n');
        return 0;
}
