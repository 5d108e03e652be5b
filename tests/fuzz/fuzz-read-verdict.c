/* What a relay may show in a mailbox: the input as `data` under each type, and as the plaintext of
 * somebody who has the Secret. */
#include <assert.h>
#include <sodium.h>
#include <stdint.h>

#include "cleanup.h"
#include "read-verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const RelayPrivateKey key = { .kid = "0123456789abcdef", .secret = { 7 } };

static void reach(const char *type, const char *data, bool encrypted) {
        const ReadQuestion question = {
                .encrypted = encrypted, .key = &key, .share = "shr_a", .expect = 3
        };
        uint8_t digest[PAYLOAD_DIGEST_SIZE];
        ReadQuestion again = question;
        ReadVerdict verdict;

        assert(read_verdict_reach(&question, type, data, &verdict) == 0);
        assert(read_verdict_digest(data, digest) == 0);
        assert(memcmp(digest, verdict.digest, sizeof(digest)) == 0);
        assert(verdict.kind != READ_KNOWN);
        assert((verdict.kind == READ_UNREADABLE) == (verdict.word != NULL));
        assert((verdict.kind == READ_MESSAGE && !encrypted) == (verdict.message != NULL));
        read_verdict_done(&verdict);

        again.known = digest;
        assert(read_verdict_reach(&again, type, data, &verdict) == 0);
        assert(verdict.kind == READ_KNOWN && !verdict.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t iv[PAYLOAD_IV_SIZE] = { 1 };
        _cleanup_(freep) char *text = strndup((const char *) data, size), *sealed = NULL;
        uint8_t secret[16];

        if (sodium_init() < 0)
                return 0;
        for (int encrypted = 0; encrypted < 2; encrypted++) {
                reach("AEAD_AES_128_GCM", text, encrypted);
                reach(text, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", encrypted);
        }
        relay_private_key_derive(&key, "shr_a", 0, secret, sizeof(secret));
        assert(payload_encrypt_with_iv(
                               PAYLOAD_AES_128_GCM, secret, iv, data, size, NULL, &sealed) == 0);
        reach("AEAD_AES_128_GCM", sealed, false);
        return 0;
}
