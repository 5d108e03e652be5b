/* A zone file of any bytes gives a sane offset and a printable abbreviation, or none. */
#include <assert.h>

#include "words.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const int64_t moments[] = { INT64_MIN, -1, 0, 1795521600, INT64_MAX };

        for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
                char abbreviation[8];
                int32_t offset;

                if (words_zone_offset(data, size, moments[i], &offset, abbreviation) != 0)
                        continue;
                assert(offset >= -26 * 3600 && offset <= 26 * 3600);
                assert(strlen(abbreviation) < sizeof(abbreviation));
        }
        return 0;
}
