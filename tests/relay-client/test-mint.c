/* Mint: what a tenant is asked, byte for byte; what counts as an answer; and that it is sealed to
 * us for one share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-wipe.h"
#include "mint.h"

#define SHARE "shr_01jd0000000000000000000000"
#define URL "https://pms.hotel.example:8443/mint/booking-4711?x=1"

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

static json_t *frame_with(const char *member, json_t *value) {
        EnvelopeBinding b = binding();
        json_t *frame = json_pack("{s:s, s:i, s:s, s:s, s:o, s:I}",
                        "type",
                        "mint",
                        "id",
                        1,
                        "share",
                        SHARE,
                        "url",
                        URL,
                        "envelope",
                        envelope_binding_write(&b),
                        "expiration",
                        (json_int_t) (NOW + 7200));

        if (member)
                assert_int_equal(json_object_set_new(frame, member, value), 0);
        return frame;
}

static void read_good(Mint *ret) {
        json_auto_t *frame = frame_with(NULL, NULL);
        const char *reason;

        assert_int_equal(mint_read(frame, NOW, ret, &reason), 0);
}

/* Takes the frame over; NULL: it was accepted. */
static const char *refusal(json_t *frame) {
        json_auto_t *owned = frame;
        const char *reason = NULL;
        Mint mint;
        int r = mint_read(owned, NOW, &mint, &reason);

        if (r == 0) {
                mint_done(&mint);
                return NULL;
        }
        assert_int_equal(r, MINT_E_REFUSED);
        return reason;
}

/* Made from RFC 9421 by another implementation (Python's cryptography), for the seed 00 01 … 1f. */
static void the_request_is_the_one_of_the_vector(void **state) {
        static const char *const headers[] = {
                "Content-Type: application/json",
                "Content-Digest: sha-256=:IS5bTzAw0FwfTMrmeCNU7WRrkl5UdKM/glaNp1zzYXQ=:",
                "Idempotency-Key: \"" SHARE "\"",
                ("Signature-Input: vestibule=(\"@method\" \"@target-uri\" \"content-type\" "
                 "\"content-digest\" \"idempotency-key\");created=1795262400;"
                 "keyid=\"40bca4eaf9d2b097\";alg=\"ed25519\";tag=\"vestibule-mint\""),
                ("Signature: vestibule=:Z5SVNr8IpfbQsRU/VvFcxItV1BLdo3olpjONs+VJuvKJTq/"
                 "ibttPFmvWYd35K1Rx6n5F5OMUiWMjk33ND9F1Cw==:"),
        };
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        _cleanup_(mint_done) Mint mint = { 0 };
        uint8_t seed[32];

        (void) state;
        for (size_t i = 0; i < sizeof(seed); i++)
                seed[i] = (uint8_t) i;
        read_good(&mint);
        assert_int_equal(mint_request(&mint, seed, NOW, &request), 0);
        assert_string_equal(request.method, "POST");
        assert_string_equal(request.url, URL);
        assert_int_equal(request.body_size, strlen(request.body));
        assert_string_equal(request.body, "{\"share\":\"" SHARE "\"}");
        assert_int_equal(request.n_headers, N_ELEMENTS(headers));
        for (size_t i = 0; i < N_ELEMENTS(headers); i++)
                assert_string_equal(request.headers[i], headers[i]);
}

static void the_signature_is_over_the_base_of_rfc_9421(void **state) {
        static const char base[] =
                        "\"@method\": POST\n"
                        "\"@target-uri\": " URL "\n"
                        "\"content-type\": application/json\n"
                        "\"content-digest\": "
                        "sha-256=:IS5bTzAw0FwfTMrmeCNU7WRrkl5UdKM/glaNp1zzYXQ=:\n"
                        "\"idempotency-key\": \"" SHARE "\"\n"
                        "\"@signature-params\": (\"@method\" \"@target-uri\" \"content-type\" "
                        "\"content-digest\" \"idempotency-key\");created=1795262400;"
                        "keyid=\"40bca4eaf9d2b097\";alg=\"ed25519\";tag=\"vestibule-mint\"";
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        _cleanup_(mint_done) Mint mint = { 0 };
        uint8_t seed[32], public[32], secret[64], *signature = NULL;
        char text[128];
        size_t size;

        (void) state;
        for (size_t i = 0; i < sizeof(seed); i++)
                seed[i] = (uint8_t) i;
        read_good(&mint);
        assert_int_equal(mint_request(&mint, seed, NOW, &request), 0);
        assert_int_equal(sscanf(request.headers[4], "Signature: vestibule=:%127[^:]:", text), 1);
        assert_int_equal(text_from_base64(text, false, &signature, &size), 0);
        assert_int_equal(size, 64);
        (void) crypto_sign_seed_keypair(public, secret, seed);
        assert_int_equal(crypto_sign_verify_detached(
                                         signature, (const uint8_t *) base, strlen(base), public),
                        0);
        free(signature);
}

static void a_repeated_request_differs_in_its_signature_alone(void **state) {
        _cleanup_(http_request_done) HttpRequest first = HTTP_REQUEST_NULL,
                                                 second = HTTP_REQUEST_NULL;
        _cleanup_(mint_done) Mint mint = { 0 };

        (void) state;
        read_good(&mint);
        assert_int_equal(mint_request(&mint, keys->signing_seed, NOW, &first), 0);
        assert_int_equal(mint_request(&mint, keys->signing_seed, NOW + 9, &second), 0);
        assert_string_equal(first.url, second.url);
        assert_string_equal(first.body, second.body);
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(first.headers[i], second.headers[i]);
        for (size_t i = 3; i < 5; i++)
                assert_string_not_equal(first.headers[i], second.headers[i]);
}

static void a_frame_that_must_not_be_asked_is_refused(void **state) {
        char url[SHARE_LIMIT_MINT + 2];

        (void) state;
        assert_null(refusal(frame_with(NULL, NULL)));
        assert_string_equal(refusal(json_object()), "bad-frame");
        assert_string_equal(refusal(frame_with("share", json_string("shr_1"))), "bad-frame");
        assert_string_equal(refusal(frame_with("share",
                                            json_string("shr_01jd000000000000000000000\""))),
                        "bad-frame");
        assert_string_equal(refusal(frame_with("envelope", json_object())), "bad-frame");
        assert_string_equal(
                        refusal(frame_with("url", json_string("http://a.example/"))), "bad-url");
        assert_string_equal(
                        refusal(frame_with("url", json_string("https://a.example"))), "bad-url");
        assert_string_equal(
                        refusal(frame_with("url", json_string("https://127.0.0.1/"))), "bad-url");
        assert_string_equal(
                        refusal(frame_with("url", json_string("https://u@a.example/"))), "bad-url");
        assert_string_equal(refusal(frame_with("expiration", json_integer(NOW))), "bad-expiration");

        memset(url, 'x', sizeof(url));
        memcpy(url, "https://a.example/", 18);
        url[SHARE_LIMIT_MINT] = 0;
        assert_null(refusal(frame_with("url", json_string(url))));
        url[SHARE_LIMIT_MINT] = 'x';
        url[SHARE_LIMIT_MINT + 1] = 0;
        assert_string_equal(refusal(frame_with("url", json_string(url))), "bad-url");
}

static void an_envelope_whose_time_has_passed_is_not_asked_for(void **state) {
        EnvelopeBinding b = binding();

        (void) state;
        b.not_after = NOW - 60;
        assert_null(refusal(frame_with("envelope", envelope_binding_write(&b))));
        b.not_after = NOW - 61;
        assert_string_equal(refusal(frame_with("envelope", envelope_binding_write(&b))),
                        "envelope-expired");
}

static MintAnswer read_body(const char *body, size_t size) {
        MintAnswer answer;

        assert_int_equal(mint_answer_read(&(HttpAnswer){ .status = 200,
                                                          .body = body,
                                                          .body_size = size },
                                         NOW,
                                         &answer),
                        0);
        return answer;
}

static void an_answer_of_format_and_content_is_issued(void **state) {
        static const char body[] = " {\"content\": {\"a\": [1, 2.5, null]}, \"format\": \"f\"}\n";
        MintAnswer answer = read_body(body, strlen(body));

        (void) state;
        assert_int_equal(answer.outcome, MINT_DONE);
        assert_string_equal(answer.reason, "");
        assert_string_equal(json_string_value(json_object_get(answer.provisioning, "format")), "f");
        mint_answer_done(&answer);
}

static void anything_else_ends_the_share(void **state) {
        static const struct {
                const char *body, *reason;
        } cases[] = {
                { "", "answer-not-json" },
                { "<html></html>", "answer-not-json" },
                { "{\"format\":\"f\",\"content\":{}}x", "answer-not-json" },
                { "{\"format\":\"f\",\"content\":{},\"format\":\"g\"}", "answer-repeated-member" },
                { "{\"format\":\"f\",\"content\":{\"a\":1,\"a\":1}}", "answer-repeated-member" },
                { "{\"format\":\"\xff\",\"content\":{}}", "answer-not-utf8" },
                { "null", "answer-not-json" },
                { "[]", "answer-form" },
                { "{}", "answer-form" },
                { "{\"format\":\"f\"}", "answer-form" },
                { "{\"content\":{}}", "answer-form" },
                { "{\"format\":\"\",\"content\":{}}", "answer-form" },
                { "{\"format\":1,\"content\":{}}", "answer-form" },
                { "{\"format\":\"f\",\"content\":[]}", "answer-form" },
                { "{\"format\":\"f\",\"content\":{},\"encrypted\":{}}", "answer-form" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                MintAnswer answer = read_body(cases[i].body, strlen(cases[i].body));

                assert_int_equal(answer.outcome, MINT_REFUSED);
                assert_string_equal(answer.reason, cases[i].reason);
                assert_null(answer.provisioning);
        }
}

static void an_answer_is_bounded_in_depth(void **state) {
        char body[256];
        MintAnswer answer;
        size_t n;

        (void) state;
        /* The object, `content`, and arrays for the rest. */
        for (size_t extra = 0; extra < 2; extra++) {
                const int arrays = (int) (MINT_DEPTH_MAX - 2 + extra);

                n = (size_t) snprintf(body,
                                sizeof(body),
                                "{\"format\":\"f\",\"content\":{\"a\":%.*s%.*s}}",
                                arrays,
                                "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                arrays,
                                "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
                answer = read_body(body, n);
                assert_int_equal(answer.outcome, extra ? MINT_REFUSED : MINT_DONE);
                assert_string_equal(answer.reason, extra ? "answer-too-deep" : "");
                mint_answer_done(&answer);
        }
}

static void what_was_issued_is_sealed_with_the_bytes_it_came_with(void **state) {
        static const char body[] = " { \"format\" : \"f\", \"content\":{ \"n\":[1.10,1E5,-0,1e400,"
                                   "123456789012345678901234567890],\n\"s\":\"\\u0000\\/\" } } ";
        static const char kept[] = "{\"format\":\"f\",\"content\":{ \"n\":[1.10,1E5,-0,1e400,"
                                   "123456789012345678901234567890],\n\"s\":\"\\u0000\\/\" }}";
        MintAnswer answer = read_body(body, strlen(body));
        _cleanup_(json_wipe_freep) char *text = json_quick_text(answer.provisioning);

        (void) state;
        assert_int_equal(answer.outcome, MINT_DONE);
        assert_string_equal(text, kept);
        mint_answer_done(&answer);
}

static void a_status_says_now_later_or_never(void **state) {
        static const struct {
                int status;
                MintOutcome outcome;
                const char *reason;
                unsigned retry_after;
        } cases[] = {
                { 403, MINT_REFUSED, "not-issued-403", 0 },
                { 409, MINT_REFUSED, "not-issued-409", 0 },
                { 410, MINT_REFUSED, "not-issued-410", 0 },
                { 301, MINT_REFUSED, "redirect-301", 0 },
                { 308, MINT_REFUSED, "redirect-308", 0 },
                { 201, MINT_REFUSED, "http-201", 0 },
                { 204, MINT_REFUSED, "http-204", 0 },
                { 401, MINT_REFUSED, "http-401", 0 },
                { 404, MINT_REFUSED, "http-404", 0 },
                { 429, MINT_AGAIN, "http-429", 17 },
                { 500, MINT_AGAIN, "http-500", 17 },
                { 503, MINT_AGAIN, "http-503", 17 },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                static const char headers[] = "retry-after: 17\r\n";
                static const char body[] = "{\"format\":\"f\",\"content\":{}}";
                MintAnswer answer;

                assert_int_equal(mint_answer_read(
                                                 &(HttpAnswer){
                                                                 .status = cases[i].status,
                                                                 .headers = headers,
                                                                 .headers_size = strlen(headers),
                                                                 .body = body,
                                                                 .body_size = strlen(body),
                                                 },
                                                 NOW,
                                                 &answer),
                                0);
                assert_int_equal(answer.outcome, cases[i].outcome);
                assert_string_equal(answer.reason, cases[i].reason);
                assert_int_equal(answer.retry_after, cases[i].retry_after);
                assert_null(answer.provisioning);
        }
}

static void no_answer_is_asked_for_again_unless_it_cannot_change(void **state) {
        static const struct {
                const char *failure;
                MintOutcome outcome;
        } cases[] = {
                { "timeout", MINT_AGAIN },
                { "tls-certificate", MINT_AGAIN },
                { "name-not-found", MINT_AGAIN },
                { "answer-too-large", MINT_REFUSED },
                { "address-not-public", MINT_REFUSED },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                MintAnswer answer;

                assert_int_equal(mint_answer_read(&(HttpAnswer){ .failure = cases[i].failure },
                                                 NOW,
                                                 &answer),
                                0);
                assert_int_equal(answer.outcome, cases[i].outcome);
                assert_string_equal(answer.reason, cases[i].failure);
        }
}

static void what_is_issued_opens_for_this_share_alone(void **state) {
        json_auto_t *provisioning = json_pack("{s:s, s:{s:s}}", "format", "f", "content", "k", "v");
        json_auto_t *opened = NULL;
        _cleanup_(freep) char *box = NULL;
        _cleanup_(mint_done) Mint mint = { 0 };
        EnvelopeBinding other = binding();
        const RelayPrivateKey *key;
        const char *kid;

        (void) state;
        read_good(&mint);
        assert_int_equal(mint_seal(&mint, provisioning, keys, NOW, &kid, &box), 0);
        assert_string_equal(kid, keys->keys[0].kid);
        key = relay_private_keys_find(keys, kid);
        other.nonce[15] ^= 1;
        assert_int_equal(envelope_open(box, key->public, key->secret, &other, &opened, NULL),
                        ENVELOPE_E_DIFFERS);
        assert_int_equal(envelope_open(box, key->public, key->secret, &mint.binding, &opened, NULL),
                        0);
        assert_true(json_equal(opened, provisioning));
}

static void nothing_is_sealed_to_a_key_whose_time_has_passed(void **state) {
        json_auto_t *provisioning = json_pack("{s:s, s:{}}", "format", "f", "content");
        _cleanup_(freep) char *box = NULL;
        _cleanup_(mint_done) Mint mint = { 0 };
        const char *kid;

        (void) state;
        read_good(&mint);
        assert_int_equal(mint_seal(&mint, provisioning, keys, NOW + 86400, &kid, &box), 0);
        freep(&box);
        box = NULL;
        assert_int_equal(
                        mint_seal(&mint, provisioning, keys, NOW + 86400 + 1, &kid, &box), -ENOKEY);
}

static int set_up(void **state) {
        (void) state;
        if (relay_private_keys_new(&keys) < 0)
                return -1;
        relay_private_keys_add(keys, NOW + 86400);
        return 0;
}

static int tear_down(void **state) {
        (void) state;
        keys = relay_private_keys_free(keys);
        return 0;
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_request_is_the_one_of_the_vector),
                cmocka_unit_test(the_signature_is_over_the_base_of_rfc_9421),
                cmocka_unit_test(a_repeated_request_differs_in_its_signature_alone),
                cmocka_unit_test(a_frame_that_must_not_be_asked_is_refused),
                cmocka_unit_test(an_envelope_whose_time_has_passed_is_not_asked_for),
                cmocka_unit_test(an_answer_of_format_and_content_is_issued),
                cmocka_unit_test(anything_else_ends_the_share),
                cmocka_unit_test(an_answer_is_bounded_in_depth),
                cmocka_unit_test(what_was_issued_is_sealed_with_the_bytes_it_came_with),
                cmocka_unit_test(a_status_says_now_later_or_never),
                cmocka_unit_test(no_answer_is_asked_for_again_unless_it_cannot_change),
                cmocka_unit_test(what_is_issued_opens_for_this_share_alone),
                cmocka_unit_test(nothing_is_sealed_to_a_key_whose_time_has_passed),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
