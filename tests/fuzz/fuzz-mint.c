/* A tenant's answers to mint: the first octet chooses the status, the next the size of the headers,
 * and the rest is headers and body. Only a 200 issues, what it issues fits its envelope, and opens
 * to the same. */
#include <assert.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "json-quick.h"
#include "mint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal_and_open(const json_t *provisioning) {
        static uint8_t public[32], secret[32];
        static const uint8_t seed[32] = { 1 };
        static const EnvelopeBinding binding = {
                .tenant = "adler",
                .credential_class = "hotel",
                .not_after = 1795262400,
        };
        _cleanup_(freep) char *box = NULL;
        json_auto_t *opened = NULL, *kept = NULL;
        char *sealed = json_quick_text(provisioning), *text;

        assert(sodium_init() >= 0 && crypto_box_seed_keypair(public, secret, seed) == 0);
        assert(envelope_seal(&binding, provisioning, public, &box) == 0);
        assert(envelope_open(box, public, secret, &binding, &opened, &kept) == 0);
        text = json_quick_text(kept);
        assert(sealed && text && strcmp(sealed, text) == 0);
        free(sealed);
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const int statuses[] = { 200, 200, 200, 200, 0, 201, 302, 403, 404, 429, 503 };
        HttpAnswer http = { .failure = "timeout" };
        MintAnswer answer;

        if (size < 2)
                return 0;
        http.status = statuses[data[0] % N_ELEMENTS(statuses)];
        http.headers = (const char *) data + 2;
        http.headers_size = data[1] < size - 2 ? data[1] : size - 2;
        http.body = http.headers + http.headers_size;
        http.body_size = size - 2 - http.headers_size;
        if (http.body_size > MINT_ANSWER_MAX)
                return 0;

        assert(mint_answer_read(&http, 1795262400, &answer) == 0);
        assert((answer.outcome == MINT_DONE) == (answer.provisioning != NULL));
        assert((answer.outcome == MINT_DONE) == (answer.reason[0] == 0));
        assert(answer.outcome != MINT_DONE || http.status == 200);
        assert(answer.outcome == MINT_AGAIN || answer.retry_after == 0);
        if (answer.outcome == MINT_DONE)
                seal_and_open(answer.provisioning);
        mint_answer_done(&answer);
        return 0;
}
