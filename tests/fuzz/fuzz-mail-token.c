/* Local parts of strangers. What is taken for a token of ours is exactly what we would write. */
#include <assert.h>
#include <string.h>

#include "mail-token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_with(const MailTokenPlace *place, const char *local, size_t size) {
        char id[ID_TEXT_SIZE], again[MAIL_TOKEN_LOCAL_MAX + 1];
        MailTokenKind kind;

        if (mail_token_read(place, local, size, &kind, id) != 0) {
                assert(id[0] == '\0');
                return;
        }
        assert(mail_token_make(place, kind, id, again) == 0);
        assert(strlen(again) == size && memcmp(again, local, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t key[MAIL_TOKEN_KEY_SIZE] = { 1 };
        MailTokenPlace plus = { key, "keys", '+' }, own = { key, "", '\0' };

        read_with(&plus, (const char *) data, size);
        read_with(&own, (const char *) data, size);
        return 0;
}
