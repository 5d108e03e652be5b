/* Accept-Language: any bytes name a language that the page has, and a German tag in front makes it
 * German unless something is liked better. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "preview.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = malloc(size + 4);

        if (!text)
                return 0;
        memcpy(text, "de,", 3);
        memcpy(text + 3, data, size);
        text[size + 3] = 0;
        assert(preview_language(text) == PREVIEW_GERMAN);
        assert(preview_language(text + 3) <= PREVIEW_GERMAN);
        return 0;
}
