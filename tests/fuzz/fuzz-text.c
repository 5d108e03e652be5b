/* Text forms of bytes: what is read is written back to an equal text where one spelling exists. */
#include <assert.h>
#include <string.h>

#include "cleanup.h"
#include "text.h"
#include "token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip_base64(const char *text) {
        _cleanup_(freep) uint8_t *bytes = NULL, *again = NULL;
        _cleanup_(freep) char *written = NULL;
        size_t n = 0, n_again = 0;

        if (text_from_base64(text, true, &bytes, &n) != 0)
                return;
        assert(bytes[n] == 0);
        written = text_base64(bytes, n);
        assert(written);
        assert(text_from_base64(written, false, &again, &n_again) == 0);
        assert(n == n_again && memcmp(bytes, again, n) == 0);
}

/* The buffer is exactly as large as it is said to be, so that a byte too many is seen. */
static void check_word(const char *text, size_t size) {
        _cleanup_(freep) char *word = malloc(size), *again = malloc(size);

        if (!word || !again)
                return;
        text_word(text, word, size);
        assert(strlen(word) == strnlen(text, size - 1));
        assert(strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(word));
        text_word(word, again, size);
        assert(streq(word, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = malloc(size + 1);
        char id[ID_TEXT_SIZE], hex[33], token_id[TOKEN_ID_SIZE];
        uint8_t bytes[16], hash[TOKEN_HASH_SIZE];

        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = 0;

        (void) text_is_utf8(data, size);
        round_trip_base64(text);
        check_word(text, 1 + size / 2);
        check_word(text, size + 1);
        if (text_from_id("shr_", text, bytes) == 0) {
                text_id("shr_", bytes, id);
                assert(streq(id, text));
        }
        if (text_from_hex(text, bytes, sizeof(bytes)) == 0) {
                text_hex(bytes, sizeof(bytes), hex);
                assert(strcasecmp(hex, text) == 0);
        }
        assert(!text_is_uuid(text) || size >= UUID_TEXT_SIZE - 1);
        (void) token_parse(text, token_id, hash);
        (void) token_entry_is_valid(text);
        return 0;
}
