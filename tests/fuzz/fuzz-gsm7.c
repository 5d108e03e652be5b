/* Octets as septets: in every pair of national tables they are UTF-8 of bounded length, and packing
 * and unpacking undo each other behind every header. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "gsm7.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_packing(const uint8_t *data, size_t size, unsigned fill_bits) {
        size_t n = gsm7_unpacked_count(size, fill_bits), packed_size;
        _cleanup_(freep) uint8_t *septets = malloc(n + 1), *packed = NULL, *again = malloc(n + 1);

        assert(septets && again);
        gsm7_unpack(data, n, fill_bits, septets);
        packed_size = gsm7_packed_size(n, fill_bits);
        assert(packed_size <= size + 1);
        packed = malloc(packed_size + 1);
        assert(packed);
        gsm7_pack(septets, n, fill_bits, packed);
        gsm7_unpack(packed, n, fill_bits, again);
        assert(memcmp(septets, again, n) == 0);
}

/* What we write is read as it was. */
static void check_text(const char *text) {
        size_t room = 2 * strlen(text), n, place;
        _cleanup_(freep) uint8_t *septets = malloc(room + 1);
        _cleanup_(freep) char *back = NULL;

        assert(septets);
        if (gsm7_encode(text, strlen(text), septets, room, &n, &place) != 0)
                return;
        assert(gsm7_decode(septets, n, GSM7_DEFAULT, GSM7_DEFAULT, &back) == 0);
        assert(strcmp(text, back) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = NULL, *own = NULL;

        if (size < 2)
                return 0;
        assert(gsm7_decode(data + 2,
                               size - 2,
                               data[0] % _GSM7_LANGUAGE_MAX,
                               data[1] % _GSM7_LANGUAGE_MAX,
                               &text) == 0);
        assert(strlen(text) <= 3 * (size - 2) && text_is_utf8(text, strlen(text)));
        check_packing(data + 2, size - 2, data[0] / 16 % 7);
        check_text(text);
        own = strndup((const char *) data + 2, size - 2);
        assert(own);
        check_text(own);
        return 0;
}
