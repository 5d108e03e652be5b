/* Facts as people type them: any bytes come to capitals and digits or are refused, and come to the
 * same once more, taken apart beforehand, or with signs between them. The first byte says how long
 * a tag before the fact is. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uninorm.h>

#include "cleanup.h"
#include "fact.h"
#include "tag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void comes_to(const char *text, size_t size, const char *expected) {
        char normalised[FACT_SIZE];

        assert(fact_normalise(text, size, normalised) == 0);
        assert(strcmp(normalised, expected) == 0);
}

static void take_apart(const uint8_t *data, size_t size, const char *expected) {
        size_t n_plain;
        uint8_t *plain = u8_normalize(UNINORM_NFKD, data, size, NULL, &n_plain);

        if (plain && n_plain <= 8 * FACT_SIZE)
                comes_to((const char *) plain, n_plain, expected);
        free(plain);
}

static void leave_out_the_tag(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = strndup((const char *) data + 1, size - 1);
        char tag[TAG_SIZE] = "";
        const char *rest;

        if (!text || !tag_canonical(text, strnlen(text, data[0] % TAG_SIZE), tag))
                return;
        rest = fact_after_tag(text, tag);
        assert(rest >= text && rest <= text + strlen(text));
        assert(rest[0] || !text[0]);
        assert(fact_after_tag(text, "") == text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char normalised[FACT_SIZE], again[2 * FACT_SIZE];
        size_t n = 0;
        int r;

        if (size == 0)
                return 0;
        leave_out_the_tag(data, size);
        r = fact_normalise((const char *) data + 1, size - 1, normalised);
        assert(r == 0 || r == FACT_E_EMPTY || r == FACT_E_LONG || r == FACT_E_FORM);
        assert((r == 0) == (normalised[0] != 0));
        if (r != 0)
                return 0;
        assert(strlen(normalised) < FACT_SIZE);
        assert(strspn(normalised, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == strlen(normalised));
        comes_to(normalised, strlen(normalised), normalised);
        take_apart(data + 1, size - 1, normalised);
        for (const char *c = normalised; *c; c++) {
                again[n++] = '-';
                again[n++] = (char) (*c >= 'A' ? *c | 0x20 : *c);
        }
        comes_to(again, n, normalised);
        return 0;
}
