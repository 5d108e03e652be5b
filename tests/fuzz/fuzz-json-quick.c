/* The quick reader and writer beside jansson: what the quick ones do, jansson would have done. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json-quick.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_write(const json_t *value, size_t room) {
        char *dumped = json_dumps(value, JSON_COMPACT), *written;
        size_t size;

        assert(dumped);
        size = json_quick_write(value, NULL, 0);
        assert(size == strlen(dumped));
        written = malloc(size + 1);
        assert(written);
        memset(written, 'x', size + 1);
        room = room < size ? room : size;
        assert(json_quick_write(value, written, room) == size);
        assert(memcmp(written, dumped, room) == 0 && written[room] == 'x');
        free(written);
        free(dumped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        unsigned depth = size > 0 ? data[0] % 20 : 0;
        json_t *quick, *slow;

        if (size < 1)
                return 0;
        slow = json_loadb((const char *) data + 1, size - 1, JSON_REJECT_DUPLICATES, NULL);
        quick = json_quick_read(data + 1, size - 1, depth);
        if (quick) {
                assert(slow && json_equal(quick, slow));
                check_write(quick, size / 2);
                check_write(quick, size * 8);
        }
        json_decref(quick);
        json_decref(slow);
        return 0;
}
