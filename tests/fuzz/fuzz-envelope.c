/* What an envelope may hold when its sealer is hostile: the input is sealed as it is and opened;
 * then it is taken for a box, for the members of a frame, and for a file of public keys. */
#include <assert.h>
#include <sodium.h>
#include <stdint.h>

#include "cleanup.h"
#include "envelope.h"
#include "json-read.h"
#include "relay-key.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t seed[crypto_box_SEEDBYTES] = { 7 };

static void open_sealed(const uint8_t *data, size_t size, const EnvelopeBinding *expected) {
        _cleanup_(freep) uint8_t *sealed = malloc(size + crypto_box_SEALBYTES);
        _cleanup_(freep) char *box = NULL;
        json_auto_t *provisioning = NULL, *foreign = NULL;
        uint8_t public[32], secret[32];
        int64_t not_after = 0;
        int r, f;

        (void) crypto_box_seed_keypair(public, secret, seed);
        assert(crypto_box_seal(sealed, data, size, public) == 0);
        box = text_base64(sealed, size + crypto_box_SEALBYTES);
        r = envelope_open(box, public, secret, expected, &provisioning, NULL);
        assert((r == 0) == (provisioning != NULL));
        f = envelope_open_foreign(box, public, secret, expected, &not_after, &foreign, NULL);
        assert((f == 0) == (foreign != NULL));
        assert(r != 0 || (f == 0 && not_after == expected->not_after));
}

static void read_binding(const uint8_t *data, size_t size) {
        json_auto_t *object = NULL, *written = NULL;
        EnvelopeBinding binding, again;
        JsonProblem problem;

        if (json_read(data, size, ENVELOPE_DEPTH_MAX, &object, &problem) != 0)
                return;
        if (envelope_binding_read_foreign(object, &binding) == 0) {
                assert(envelope_binding_read(object, &again) == ENVELOPE_E_FORM);
                open_sealed(data, size, &binding);
        }
        if (envelope_binding_read(object, &binding) != 0)
                return;
        written = envelope_binding_write(&binding);
        assert(written && envelope_binding_read(written, &again) == 0);
        assert(strcmp(binding.tenant, again.tenant) == 0 && binding.not_after == again.not_after);
        assert(memcmp(binding.recipients, again.recipients, sizeof(binding.recipients)) == 0);
        open_sealed(data, size, &binding);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const EnvelopeBinding expected = { .tenant = "adler", .credential_class = "hotel" };
        _cleanup_(freep) char *text = strndup((const char *) data, size);
        json_auto_t *provisioning = NULL;
        uint8_t public[32], secret[32];
        RelayPublicKeys keys;

        if (sodium_init() < 0)
                return 0;
        (void) crypto_box_seed_keypair(public, secret, seed);
        open_sealed(data, size, &expected);
        read_binding(data, size);
        (void) envelope_open(text, public, secret, &expected, &provisioning, NULL);
        if (relay_public_keys_read(data, size, &keys) == 0)
                assert(keys.n_keys >= 1 && keys.n_keys <= RELAY_KEYS_MAX);
        return 0;
}
