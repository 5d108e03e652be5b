/* RFC 3339: a time that was read is written and read again to the same second. */
#include <assert.h>
#include <string.h>

#include "cleanup.h"
#include "time-text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = malloc(size + 1);
        char written[TIME_TEXT_SIZE];
        int64_t seconds, again;

        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = 0;
        if (time_from_text(text, &seconds) != 0)
                return 0;

        time_text(seconds, written);
        assert(time_from_text(written, &again) == 0);
        assert(again == seconds);
        return 0;
}
