/* The release: an envelope opens for the one share it was sealed for, and for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>

#include "cleanup.h"
#include "envelope.h"
#include "release.h"
#include "share-url.h"

#define MAILBOX "https://relay.example/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77"

enum { NOW = 1795262400 };

static RelayPrivateKeys *keys;

static EnvelopeBinding binding(void) {
        return (EnvelopeBinding){
                .tenant = "adler",
                .credential_class = "hotel",
                .nonce = { 1, 2, 3 },
                .recipients = { 4, 5, 6 },
                .not_after = NOW + 3600,
        };
}

static json_t *provisioning(void) {
        return json_pack("{s:s, s:{s:s}}", "format", "f", "content", "token", "t\xc3\xb6ken");
}

static json_t *
frame_of(const EnvelopeBinding *sealed, const EnvelopeBinding *shown, const json_t *content) {
        _cleanup_(freep) char *box = NULL;

        assert_int_equal(envelope_seal(sealed, content, keys->keys[0].public, &box), 0);
        return json_pack("{s:s, s:i, s:s, s:i, s:s, s:s, s:I, s:s, s:s, s:{s:s, s:s, s:s}, s:o, "
                         "s:s, s:s}",
                        "type",
                        "create",
                        "id",
                        1,
                        "share",
                        "shr_01jd0000000000000000000000",
                        "generation",
                        0,
                        "claim",
                        "5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a01",
                        "request",
                        "00000000-0000-4000-8000-00000000000a",
                        "expiration",
                        (json_int_t) (NOW + 7200),
                        "rights",
                        "RD",
                        "vertical",
                        "h",
                        "display",
                        "title",
                        "T",
                        "description",
                        "D",
                        "imageURL",
                        "https://x.example/i.png",
                        "envelope",
                        envelope_binding_write(shown),
                        "kid",
                        keys->keys[0].kid,
                        "box",
                        box);
}

static json_t *frame_good(void) {
        json_auto_t *content = provisioning();
        EnvelopeBinding b = binding();

        return frame_of(&b, &b, content);
}

/* Takes the frame over; NULL: it was accepted. */
static const char *refusal(json_t *frame) {
        json_auto_t *owned = frame;
        const char *reason = NULL;
        Release release;
        int r;

        r = release_read(owned,
                        keys,
                        "https://relay.example",
                        PAYLOAD_AES_128_GCM,
                        NOW,
                        &release,
                        &reason);
        assert_true(r >= 0);
        if (r == 0) {
                release_done(&release);
                return NULL;
        }
        return reason;
}

static void a_released_share_can_be_opened_by_its_link(void **state) {
        static const PayloadAlgorithm algorithms[] = { PAYLOAD_AES_128_GCM, PAYLOAD_AES_256_GCM };
        json_auto_t *frame = frame_good(), *expected = provisioning();

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(algorithms); i++) {
                _cleanup_(secret_free_stringp) char *link = NULL;
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                json_auto_t *body = NULL, *received = NULL;
                const json_t *payload;
                const char *reason;
                Release release;
                ShareUrl url;

                assert_int_equal(release_read(frame,
                                                 keys,
                                                 "https://relay.example",
                                                 algorithms[i],
                                                 NOW,
                                                 &release,
                                                 &reason),
                                0);
                assert_int_equal(release_link(&release, MAILBOX, &link), 0);
                assert_int_equal(share_url_parse(link, &url), 0);
                assert_int_equal(url.vertical, 'h');

                body = json_loadb(release.request.body, release.request.body_size, 0, NULL);
                payload = json_object_get(body, "payload");
                assert_int_equal(
                                payload_decrypt(json_string_value(json_object_get(payload, "type")),
                                                json_string_value(json_object_get(payload, "data")),
                                                false,
                                                url.secret,
                                                url.secret_size,
                                                &plaintext),
                                0);
                assert_int_equal(payload_provisioning_read(
                                                 plaintext.data, plaintext.size, &received),
                                0);
                assert_true(json_equal(received, expected));
                release_done(&release);
        }
}

static void a_repeat_means_the_same_secret_under_another_iv(void **state) {
        json_auto_t *frame = frame_good();
        _cleanup_(secret_free_stringp) char *first_link = NULL, *second_link = NULL;
        const char *reason;
        Release first, second;

        (void) state;
        assert_int_equal(release_read(frame,
                                         keys,
                                         "https://relay.example",
                                         PAYLOAD_AES_128_GCM,
                                         NOW,
                                         &first,
                                         &reason),
                        0);
        assert_int_equal(release_read(frame,
                                         keys,
                                         "https://relay.example",
                                         PAYLOAD_AES_128_GCM,
                                         NOW,
                                         &second,
                                         &reason),
                        0);
        assert_int_equal(release_link(&first, MAILBOX, &first_link), 0);
        assert_int_equal(release_link(&second, MAILBOX, &second_link), 0);
        assert_string_equal(first_link, second_link);
        assert_int_equal(first.request.body_size, second.request.body_size);
        assert_memory_not_equal(first.request.body, second.request.body, first.request.body_size);
        release_done(&first);
        release_done(&second);
}

static void an_envelope_that_differs_in_any_member_is_refused(void **state) {
        json_auto_t *content = provisioning();
        const EnvelopeBinding sealed = binding();
        EnvelopeBinding shown[6];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(shown); i++)
                shown[i] = sealed;
        shown[0].tenant = "adlers";
        shown[1].credential_class = "car";
        shown[2].nonce[15] ^= 1;
        shown[3].recipients[31] ^= 1;
        shown[4].not_after++;
        shown[5].tenant = "";
        for (size_t i = 0; i < 5; i++)
                assert_string_equal(
                                refusal(frame_of(&sealed, &shown[i], content)), "envelope-differs");
        assert_string_equal(refusal(frame_of(&sealed, &shown[5], content)), "bad-frame");
        assert_null(refusal(frame_of(&sealed, &sealed, content)));
}

static void an_envelope_whose_time_has_passed_is_refused(void **state) {
        json_auto_t *content = provisioning();
        EnvelopeBinding b = binding();

        (void) state;
        b.not_after = NOW - RELEASE_SKEW_SECONDS;
        assert_null(refusal(frame_of(&b, &b, content)));
        b.not_after--;
        assert_string_equal(refusal(frame_of(&b, &b, content)), "envelope-expired");
}

static void content_that_no_wallet_would_take_is_refused(void **state) {
        EnvelopeBinding b = binding();
        json_auto_t *empty = json_object(),
                    *odd = json_pack("{s:s, s:s}", "format", "f", "content", "x");

        (void) state;
        assert_string_equal(refusal(frame_of(&b, &b, empty)), "bad-provisioning");
        assert_string_equal(refusal(frame_of(&b, &b, odd)), "bad-provisioning");
}

static json_t *with(const char *member, json_t *value) {
        json_t *frame = frame_good();

        if (value)
                assert_int_equal(json_object_set_new(frame, member, value), 0);
        else
                assert_int_equal(json_object_del(frame, member), 0);
        return frame;
}

static void a_frame_that_is_not_right_is_refused_by_name(void **state) {
        static const char *const required[] = { "share",
                "generation",
                "claim",
                "request",
                "expiration",
                "rights",
                "vertical",
                "display",
                "envelope",
                "kid",
                "box" };
        json_auto_t *good = frame_good();
        char *box = json_dumps(good, 0); /* any text that is no box */

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(required); i++)
                assert_string_equal(refusal(with(required[i], NULL)), "bad-frame");
        assert_string_equal(refusal(with("kid", json_string("0123456789abcdef"))), "unknown-key");
        assert_string_equal(refusal(with("box", json_string("AAAA"))), "envelope-box");
        assert_string_equal(refusal(with("box", json_string("no base64"))), "envelope-box");
        assert_string_equal(refusal(with("box", json_string(box))), "envelope-box");
        assert_string_equal(
                        refusal(with("claim", json_string("not-a-uuid-not-a-uuid-not-a-uuid-not"))),
                        "bad-frame");
        assert_string_equal(refusal(with("vertical", json_string("x"))), "bad-frame");
        assert_string_equal(refusal(with("rights", json_string("RX"))), "bad-display");
        assert_string_equal(
                        refusal(with("display", json_pack("{s:s}", "title", ""))), "bad-display");
        assert_null(refusal(with("display", json_pack("{s:s}", "title", "x"))));
        assert_string_equal(refusal(with("expiration", json_integer(NOW))), "bad-expiration");
        assert_string_equal(
                        refusal(with("expiration", json_integer(NOW + RELEASE_EXPIRATION_MAX + 1))),
                        "bad-expiration");
        assert_string_equal(refusal(with("generation", json_integer(-1))), "bad-frame");
        free(box);
}

static void a_box_for_another_key_does_not_open(void **state) {
        json_auto_t *content = provisioning();
        uint8_t public[32], secret[32];
        EnvelopeBinding b = binding();
        json_t *frame = frame_good();
        char *box;

        (void) state;
        (void) crypto_box_keypair(public, secret);
        assert_int_equal(envelope_seal(&b, content, public, &box), 0);
        assert_int_equal(json_object_set_new(frame, "box", json_string(box)), 0);
        free(box);
        assert_string_equal(refusal(frame), "envelope-box");
}

/* What is sealed must be the envelope and nothing beside it. */
static void an_envelope_with_other_members_is_refused(void **state) {
        static const char *const texts[] = {
                "{}",
                "[]",
                "not json",
                "{\"v\":2,\"tenant\":\"adler\",\"nonce\":\"AQIDAAAAAAAAAAAAAAAAAA==\","
                "\"recipients\":\"BAUGAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"class\":"
                "\"hotel\",\"not_after\":1795266000,\"provisioning\":{}}",
                "{\"v\":1,\"tenant\":\"adler\",\"nonce\":\"AQIDAAAAAAAAAAAAAAAAAA==\","
                "\"recipients\":\"BAUGAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"class\":"
                "\"hotel\",\"not_after\":1795266000,\"provisioning\":{},\"only_if\":1}",
                "{\"v\":1,\"tenant\":\"adler\",\"nonce\":\"AQID\",\"recipients\":"
                "\"BAUGAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"class\":\"hotel\",\"not_"
                "after\":1795266000,\"provisioning\":{}}",
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                uint8_t sealed[1024];
                size_t size = strlen(texts[i]);
                char *box;

                (void) crypto_box_seal(
                                sealed, (const uint8_t *) texts[i], size, keys->keys[0].public);
                box = text_base64(sealed, size + crypto_box_SEALBYTES);
                assert_string_equal(refusal(with("box", json_string(box))), "envelope-form");
                free(box);
        }
}

static void an_envelope_too_large_is_not_sealed(void **state) {
        json_auto_t *content = NULL;
        EnvelopeBinding b = binding();
        char *text = malloc(ENVELOPE_CONTENT_MAX + 1), *box;

        (void) state;
        memset(text, 'A', ENVELOPE_CONTENT_MAX);
        text[ENVELOPE_CONTENT_MAX] = 0;
        content = json_pack("{s:s, s:{s:s}}", "format", "f", "content", "token", text);
        free(text);
        assert_int_equal(envelope_seal(&b, content, keys->keys[0].public, &box), -EMSGSIZE);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_released_share_can_be_opened_by_its_link),
                cmocka_unit_test(a_repeat_means_the_same_secret_under_another_iv),
                cmocka_unit_test(an_envelope_that_differs_in_any_member_is_refused),
                cmocka_unit_test(an_envelope_whose_time_has_passed_is_refused),
                cmocka_unit_test(content_that_no_wallet_would_take_is_refused),
                cmocka_unit_test(a_frame_that_is_not_right_is_refused_by_name),
                cmocka_unit_test(a_box_for_another_key_does_not_open),
                cmocka_unit_test(an_envelope_with_other_members_is_refused),
                cmocka_unit_test(an_envelope_too_large_is_not_sealed),
        };
        int r;

        if (secret_init() < 0 || relay_private_keys_new(&keys) < 0)
                return 99;
        relay_private_keys_add(keys, NOW + 86400);
        r = cmocka_run_group_tests(tests, NULL, NULL);
        (void) relay_private_keys_free(keys);
        return r;
}
