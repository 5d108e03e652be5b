/* What lies in a mailbox: nothing new, the recipient's message, our own again, or nothing that can
 * be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "cleanup.h"
#include "read-verdict.h"
#include "secret.h"
#include "text.h"

#define SHARE "shr_01jd0000000000000000000000"
#define CONTENT "{\"format\":\"f\",\"content\":{\"a\":1}}"

static RelayPrivateKey key = { .kid = "0123456789abcdef" };

static ReadQuestion question(void) {
        return (ReadQuestion){ .key = &key, .share = SHARE, .generation = 1, .expect = 3 };
}

static char *encrypted(const char *plaintext, const uint8_t *iv, uint8_t ret_digest[32]) {
        uint8_t secret[16];
        char *data;

        relay_private_key_derive(&key, SHARE, 1, secret, sizeof(secret));
        assert_int_equal(payload_encrypt_with_iv(PAYLOAD_AES_128_GCM,
                                         secret,
                                         iv,
                                         plaintext,
                                         strlen(plaintext),
                                         ret_digest,
                                         &data),
                        0);
        return data;
}

static char *of_recipient(const char *plaintext, uint8_t ret_digest[32]) {
        static const uint8_t iv[PAYLOAD_IV_SIZE] = { 7 };

        return encrypted(plaintext, iv, ret_digest);
}

static char *of_ours(uint64_t number, uint8_t ret_digest[32]) {
        uint8_t iv[PAYLOAD_IV_SIZE];

        relay_private_key_derive_iv(&key, SHARE, 1, number, CONTENT, strlen(CONTENT), iv);
        return encrypted(CONTENT, iv, ret_digest);
}

static ReadVerdict reach(const ReadQuestion *q, const char *type, const char *data) {
        ReadVerdict verdict;
        uint8_t digest[32];

        assert_int_equal(read_verdict_reach(q, type, data, &verdict), 0);
        assert_int_equal(read_verdict_digest(data, digest), 0);
        assert_memory_equal(verdict.digest, digest, sizeof(digest));
        assert_int_equal(verdict.kind == READ_UNREADABLE, verdict.word != NULL);
        return verdict;
}

static void what_is_known_is_nothing_new(void **state) {
        uint8_t digest[32];
        _cleanup_(freep) char *data = of_ours(2, digest);
        ReadQuestion q = question();

        (void) state;
        q.known = digest;
        assert_int_equal(reach(&q, "AEAD_AES_128_GCM", data).kind, READ_KNOWN);
        assert_int_equal(reach(&q, "whatever", data).kind, READ_KNOWN);
        q.encrypted = true;
        assert_int_equal(reach(&q, "AEAD_AES_128_GCM", data).kind, READ_KNOWN);
}

static void the_recipients_message_is_opened(void **state) {
        uint8_t digest[32], known[32] = { 1 };
        _cleanup_(freep) char *data = of_recipient(CONTENT, digest);
        ReadQuestion q = question();

        (void) state;
        for (int i = 0; i < 2; i++) {
                ReadVerdict verdict;

                q.known = i == 0 ? known : NULL;
                verdict = reach(&q, "AEAD_AES_128_GCM", data);
                assert_int_equal(verdict.kind, READ_MESSAGE);
                assert_memory_equal(verdict.digest, digest, sizeof(digest));
                assert_string_equal(
                                json_string_value(json_object_get(verdict.message, "format")), "f");
                read_verdict_done(&verdict);
                assert_null(verdict.message);
        }
}

static void a_message_of_ours_that_is_shown_again_is_no_answer(void **state) {
        static const uint64_t numbers[] = { 0, 2 };
        ReadQuestion q = question();

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
                uint8_t digest[32];
                _cleanup_(freep) char *data = of_ours(numbers[i], digest);
                ReadVerdict verdict = reach(&q, "AEAD_AES_128_GCM", data);

                assert_int_equal(verdict.kind, READ_OURS);
                assert_null(verdict.message);
        }
}

static void what_cannot_be_read_says_why(void **state) {
        _cleanup_(freep) char *good = of_recipient(CONTENT, NULL), *odd = of_recipient("{}", NULL),
                              *changed = of_recipient(CONTENT, NULL);
        const struct {
                const char *type, *data, *word;
        } cases[] = {
                { "AES128", good, "unsupported-type" },
                { "aead_aes_128_gcm", good, "unsupported-type" },
                { "AEAD_AES_256_GCM", good, "auth" },
                { "AEAD_AES_128_GCM", changed, "auth" },
                { "AEAD_AES_128_GCM", "no base64!", "base64" },
                { "AEAD_AES_128_GCM", "AAAA", "too-short" },
                { "AEAD_AES_128_GCM", "", "too-short" },
                { "AEAD_AES_128_GCM", odd, "provisioning-info" },
        };
        ReadQuestion q = question();

        (void) state;
        changed[20] = changed[20] == 'A' ? 'B' : 'A';
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                ReadVerdict verdict = reach(&q, cases[i].type, cases[i].data);

                assert_int_equal(verdict.kind, READ_UNREADABLE);
                assert_string_equal(verdict.word, cases[i].word);
                assert_null(verdict.message);
        }
        q.legacy = true;
        {
                ReadVerdict verdict = reach(&q, "AES128", good);

                assert_int_equal(verdict.kind, READ_MESSAGE);
                read_verdict_done(&verdict);
        }
}

static void a_message_of_another_share_or_generation_does_not_open(void **state) {
        _cleanup_(freep) char *data = of_recipient(CONTENT, NULL);
        ReadQuestion q = question();

        (void) state;
        q.generation = 2;
        assert_string_equal(reach(&q, "AEAD_AES_128_GCM", data).word, "auth");
        q = question();
        q.share = "shr_01jd0000000000000000000001";
        assert_string_equal(reach(&q, "AEAD_AES_128_GCM", data).word, "auth");
}

static char *zeros(size_t size) {
        _cleanup_(freep) uint8_t *bytes = calloc(1, size);

        return text_base64(bytes, size);
}

static void what_the_tenant_will_open_is_judged_by_its_form(void **state) {
        _cleanup_(freep) char *least = zeros(28), *less = zeros(27), *most = zeros(45000),
                              *more = zeros(45001);
        const ReadQuestion q = { .encrypted = true, .expect = 1 };

        (void) state;
        assert_int_equal(strlen(most), READ_ENCRYPTED_MAX);
        assert_int_equal(reach(&q, "AEAD_AES_128_GCM", least).kind, READ_MESSAGE);
        assert_int_equal(reach(&q, "AEAD_AES_256_GCM", most).kind, READ_MESSAGE);
        assert_string_equal(reach(&q, "AEAD_AES_128_GCM", less).word, "too-short");
        assert_string_equal(reach(&q, "AEAD_AES_128_GCM", more).word, "too-large");
        assert_string_equal(reach(&q, "x", least).word, "unsupported-type");
        assert_string_equal(reach(&q, "AEAD_AES_128_GCM", "!").word, "base64");
}

/* A relay may write base64 otherwise than we did, and it is still ours. */
static void the_digest_is_of_the_octets(void **state) {
        uint8_t padded[32], unpadded[32], octets[32], text[32];

        (void) state;
        assert_int_equal(read_verdict_digest("//79/A==", padded), 0);
        assert_int_equal(read_verdict_digest("__79_A", unpadded), 0);
        (void) crypto_hash_sha256(octets, (const uint8_t *) "\xff\xfe\xfd\xfc", 4);
        assert_memory_equal(padded, octets, 32);
        assert_memory_equal(unpadded, octets, 32);
        assert_int_equal(read_verdict_digest("no base64!", text), 0);
        (void) crypto_hash_sha256(octets, (const uint8_t *) "no base64!", 10);
        assert_memory_equal(text, octets, 32);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_known_is_nothing_new),
                cmocka_unit_test(the_recipients_message_is_opened),
                cmocka_unit_test(a_message_of_ours_that_is_shown_again_is_no_answer),
                cmocka_unit_test(what_cannot_be_read_says_why),
                cmocka_unit_test(a_message_of_another_share_or_generation_does_not_open),
                cmocka_unit_test(what_the_tenant_will_open_is_judged_by_its_form),
                cmocka_unit_test(the_digest_is_of_the_octets),
        };

        if (secret_init() < 0)
                return 99;
        memset(key.secret, 0x42, sizeof(key.secret));
        return cmocka_run_group_tests(tests, NULL, NULL);
}
