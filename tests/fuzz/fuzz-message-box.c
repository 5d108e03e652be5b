/* What a message box may hold when its sealer is hostile, and what may be taken for a box: what
 * opens is sealed and opened again as the same message. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdint.h>

#include "cleanup.h"
#include "message-box.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t seed[crypto_box_SEEDBYTES] = { 9 };
static const char share[] = "shr_01jdq0x7m9c2r4t6v8y0abcdef";

static char *seal(const uint8_t *data, size_t size, const uint8_t public[32]) {
        _cleanup_(freep) uint8_t *sealed = malloc(size + crypto_box_SEALBYTES);

        assert(crypto_box_seal(sealed, data, size, public) == 0);
        return text_base64(sealed, size + crypto_box_SEALBYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = strndup((const char *) data, size), *box = NULL,
                              *again = NULL;
        json_auto_t *message = NULL, *same = NULL, *none = NULL;
        uint8_t public[32], secret[32];
        int r;

        if (sodium_init() < 0)
                return 0;
        (void) crypto_box_seed_keypair(public, secret, seed);
        assert(message_box_open(text, public, secret, share, 1, &none) != 0 || none);
        box = seal(data, size, public);
        r = message_box_open(box, public, secret, share, 1, &message);
        assert((r == 0) == (message != NULL));
        if (r != 0)
                return 0;
        assert(message_box_seal(share, 1, message, public, &again) == 0);
        assert(message_box_open(again, public, secret, share, 1, &same) == 0);
        assert(json_equal(message, same));
        return 0;
}
