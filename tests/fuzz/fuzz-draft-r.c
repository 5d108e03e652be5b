/* What lies in a Draft R relay: the first octet names suite and expected id, the rest is taken as a
 * body, and once more as the plaintext of one, which only who holds the key could write. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "draft-r.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_plaintext(const uint8_t *data, size_t size, uint32_t id) {
        _cleanup_(plaintext_done) Plaintext again = PLAINTEXT_NULL;
        DraftRMessage message;
        int r;

        r = draft_r_plaintext_read(data, size, id, &message);
        if (r != 0) {
                assert(r == DRAFT_R_E_FORM || r == DRAFT_R_E_MESSAGE_ID || r == DRAFT_R_E_RANDOM);
                return;
        }
        assert(message.id == id);
        assert(id > 1 || message.random_size >= DRAFT_R_RANDOM_MIN);
        r = draft_r_plaintext_write(&message, &again);
        if (r == DRAFT_R_E_TOO_LARGE)
                return;
        assert(r == 0 && again.size == size && memcmp(again.data, data, size) == 0);
}

static void open_body(DraftRSuite suite, const uint8_t *data, size_t size) {
        static const uint8_t key[DRAFT_R_KEY_SIZE] = { 1 };
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        _cleanup_(freep) uint8_t *body = NULL;
        size_t body_size;
        int r;

        r = draft_r_body_open(suite, key, data, size, &plaintext);
        assert((r == 0) == (plaintext.data != NULL));
        assert(r == 0 || r == DRAFT_R_E_AUTH || r == DRAFT_R_E_TOO_SHORT ||
                        r == DRAFT_R_E_TOO_LARGE);
        if (r != 0)
                return;
        assert(draft_r_body_seal(suite,
                               key,
                               data,
                               plaintext.data,
                               plaintext.size,
                               &body,
                               &body_size) == 0);
        assert(body_size == size && memcmp(body, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size < 1)
                return 0;
        open_body((DraftRSuite) (data[0] % _DRAFT_R_SUITE_MAX), data + 1, size - 1);
        read_plaintext(data + 1, size - 1, data[0] / _DRAFT_R_SUITE_MAX);
        return 0;
}
