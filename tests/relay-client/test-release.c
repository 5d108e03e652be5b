/* The release: an envelope opens for the one share it was sealed for, and for nothing else; and
 * what is written for a share is the same octets whenever it is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>

#include "address.h"
#include "cleanup.h"
#include "envelope.h"
#include "json-quick.h"
#include "json-read.h"
#include "release.h"
#include "text.h"

#define SHARE "shr_01jd0000000000000000000000"

enum { NOW = 1795262400 };

static RelayPrivateKeys *keys;
static RelayPublicKeys front_keys;
static ReleaseTerms terms;

static EnvelopeBinding binding(void) {
        return (EnvelopeBinding){
                .tenant = "adler",
                .credential_class = "hotel",
                .nonce = { 1, 2, 3 },
                .recipients = { 4, 5, 6 },
                .not_after = NOW + 3600,
        };
}

/* Of a further message: bound to the share itself. */
static EnvelopeBinding message_binding(void) {
        static const char *const share[] = { SHARE };
        EnvelopeBinding b = binding();

        b.credential_class = "message";
        address_list_hash(share, 1, b.recipients);
        return b;
}

static json_t *provisioning(void) {
        return json_pack("{s:s, s:{s:s}}", "format", "f", "content", "token", "t\xc3\xb6ken");
}

static json_t *encrypted_of(const char *type, const char *data) {
        return json_pack("{s:{s:s, s:s}}", "encrypted", "type", type, "data", data);
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
                        SHARE,
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

/* The same frame, asking for an update. */
static json_t *update_of(json_t *frame, int number) {
        json_auto_t *known = json_string("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");

        assert_int_equal(json_object_set_new(frame, "type", json_string("update")), 0);
        assert_int_equal(json_object_set_new(frame, "number", json_integer(number)), 0);
        assert_int_equal(json_object_set(frame, "known", known), 0);
        assert_int_equal(json_object_set(frame, "message_kid", json_object_get(frame, "kid")), 0);
        assert_int_equal(json_object_set_new(frame,
                                         "mailbox",
                                         json_string("https://relay.example/v1/m/"
                                                     "3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77")),
                        0);
        return frame;
}

static json_t *update_good(int number) {
        json_auto_t *content = provisioning();
        EnvelopeBinding b = message_binding();

        return update_of(frame_of(&b, &b, content), number);
}

/* NULL: it was accepted, and the caller ends *ret. */
static const char *try(const json_t *object, Release *ret) {
        const bool is_update =
                        strcmp(json_string_value(json_object_get(object, "type")), "update") == 0;
        const char *reason = NULL;
        RelayFrame frame;
        int r;

        r = relay_frame_read(is_update ? RELAY_FRAME_UPDATE : RELAY_FRAME_CREATE,
                        object,
                        true,
                        NOW,
                        &frame,
                        &reason);
        if (r == 0) {
                r = release_read(&frame, &terms, NOW, ret, &reason);
                relay_frame_done(&frame);
        }
        assert_true(r >= 0);
        return r == 0 ? NULL : reason;
}

/* Takes the frame over; NULL: it was accepted. */
static const char *refusal(json_t *frame) {
        json_auto_t *owned = frame;
        const char *reason;
        Release release;

        reason = try(owned, &release);
        if (!reason)
                release_done(&release);
        return reason;
}

/* Takes the frame over, which must be accepted. */
static Release accepted(json_t *frame) {
        json_auto_t *owned = frame;
        Release release;

        assert_null(try(owned, &release));
        return release;
}

static void what_is_released_opens_with_the_secret_of_the_link(void **state) {
        static const PayloadAlgorithm algorithms[] = { PAYLOAD_AES_128_GCM, PAYLOAD_AES_256_GCM };
        static const char expected[] =
                        "{\"format\":\"f\",\"content\":{\"token\":\"t\xc3\xb6ken\"}}";
        json_auto_t *object = frame_good();

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(algorithms); i++) {
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                uint8_t secret[PAYLOAD_KEY_MAX];
                const char *reason;
                RelayFrame frame;
                Release release;

                terms.algorithm = algorithms[i];
                assert_int_equal(relay_frame_read(RELAY_FRAME_CREATE,
                                                 object,
                                                 true,
                                                 NOW,
                                                 &frame,
                                                 &reason),
                                0);
                assert_int_equal(release_read(&frame, &terms, NOW, &release, &reason), 0);
                release_secret(&frame, &terms, &release, secret);
                assert_int_equal(payload_decrypt(release.payload_type,
                                                 release.payload_data,
                                                 false,
                                                 secret,
                                                 payload_key_size(algorithms[i]),
                                                 &plaintext),
                                0);
                assert_string_equal(plaintext.data, expected);
                relay_frame_done(&frame);
                release_done(&release);
        }
        terms.algorithm = PAYLOAD_AES_128_GCM;
}

static void a_repeat_means_the_same_octets_and_digest(void **state) {
        Release releases[] = { accepted(frame_good()), accepted(frame_good()) };
        _cleanup_(freep) uint8_t *blob = NULL;
        uint8_t digest[32];
        size_t size;

        (void) state;
        assert_string_equal(releases[0].payload_data, releases[1].payload_data);
        assert_memory_equal(releases[0].digest, releases[1].digest, 32);
        assert_int_equal(payload_decode(releases[0].payload_data, &blob, &size), 0);
        (void) crypto_hash_sha256(digest, blob, size);
        assert_memory_equal(releases[0].digest, digest, 32);
        release_done(&releases[0]);
        release_done(&releases[1]);
}

static void equal_messages_of_other_numbers_and_generations_look_different(void **state) {
        json_t *frames[] = { frame_good(), frame_good(), update_good(2), update_good(4) };
        Release releases[N_ELEMENTS(frames)];

        (void) state;
        assert_int_equal(json_object_set_new(frames[1], "generation", json_integer(1)), 0);
        for (size_t i = 0; i < N_ELEMENTS(frames); i++)
                releases[i] = accepted(frames[i]);
        for (size_t i = 0; i < N_ELEMENTS(frames); i++)
                for (size_t j = 0; j < i; j++)
                        assert_memory_not_equal(releases[i].payload_data,
                                        releases[j].payload_data,
                                        PAYLOAD_IV_SIZE);
        for (size_t i = 0; i < N_ELEMENTS(frames); i++)
                release_done(&releases[i]);
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

static void a_box_that_does_not_open_is_refused_by_name(void **state) {
        json_auto_t *good = frame_good();
        char *box = json_dumps(good, 0); /* any text that is no box */

        (void) state;
        assert_string_equal(refusal(with("kid", json_string("0123456789abcdef"))), "unknown-key");
        assert_string_equal(refusal(with("box", json_string("AAAA"))), "envelope-box");
        assert_string_equal(refusal(with("box", json_string("no base64"))), "envelope-box");
        assert_string_equal(refusal(with("box", json_string(box))), "envelope-box");
        free(box);
}

/* The tenant sealed it alone: nobody else knows its nonce and time. */
static json_t *foreign_of(json_t *frame) {
        json_t *envelope = json_object_get(frame, "envelope");

        assert_int_equal(json_object_del(envelope, "nonce"), 0);
        assert_int_equal(json_object_del(envelope, "not_after"), 0);
        return frame;
}

static void a_tenants_own_box_is_compared_in_what_is_known(void **state) {
        json_auto_t *content = provisioning();
        EnvelopeBinding sealed = binding(), shown[4];
        json_t *half;

        (void) state;
        sealed.not_after = NOW + 7200; /* the mailbox's end */
        for (size_t i = 0; i < N_ELEMENTS(shown); i++)
                shown[i] = sealed;
        shown[0].tenant = "adlers";
        shown[1].credential_class = "car";
        shown[2].recipients[31] ^= 1;
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(refusal(foreign_of(frame_of(&sealed, &shown[i], content))),
                                "envelope-differs");
        assert_null(refusal(foreign_of(frame_of(&sealed, &shown[3], content))));

        half = frame_of(&sealed, &sealed, content);
        assert_int_equal(json_object_del(json_object_get(half, "envelope"), "nonce"), 0);
        assert_string_equal(refusal(half), "bad-frame");
        half = frame_of(&sealed, &sealed, content);
        assert_int_equal(json_object_del(json_object_get(half, "envelope"), "not_after"), 0);
        assert_string_equal(refusal(half), "bad-frame");
}

static void a_tenants_own_box_must_last_as_long_as_the_mailbox_and_not_for_ever(void **state) {
        json_auto_t *content = provisioning();
        EnvelopeBinding b = binding();

        (void) state;
        b.not_after = NOW + 7199;
        assert_string_equal(refusal(foreign_of(frame_of(&b, &b, content))), "envelope-expired");
        b.not_after = NOW + RELEASE_FOREIGN_SECONDS;
        assert_null(refusal(foreign_of(frame_of(&b, &b, content))));
        b.not_after = NOW + RELEASE_FOREIGN_SECONDS + 1;
        assert_string_equal(refusal(foreign_of(frame_of(&b, &b, content))), "envelope-too-long");

        b = message_binding();
        b.not_after = NOW;
        assert_null(refusal(update_of(foreign_of(frame_of(&b, &b, content)), 2)));
        b.not_after = NOW - 1;
        assert_string_equal(refusal(update_of(foreign_of(frame_of(&b, &b, content)), 2)),
                        "envelope-expired");
}

static void a_box_for_a_new_mailbox_and_one_for_a_message_do_not_pass_for_each_other(void **state) {
        json_auto_t *content = provisioning();
        EnvelopeBinding created = binding(), message = message_binding(), other = message;
        json_t *of_other_share = update_good(2);

        (void) state;
        assert_null(refusal(update_good(2)));
        assert_string_equal(refusal(frame_of(&message, &message, content)), "envelope-differs");
        assert_string_equal(refusal(foreign_of(frame_of(&message, &message, content))),
                        "envelope-differs");
        assert_string_equal(refusal(update_of(frame_of(&created, &created, content), 2)),
                        "envelope-differs");
        other.recipients[0] ^= 1;
        assert_string_equal(refusal(update_of(frame_of(&other, &other, content), 2)),
                        "envelope-differs");
        assert_int_equal(json_object_set_new(of_other_share,
                                         "share",
                                         json_string("shr_01jd0000000000000000000001")),
                        0);
        assert_string_equal(refusal(of_other_share), "envelope-differs");
}

/* A message may be sealed to the newer of two keys, and is encrypted under the Secret of the older.
 */
static void a_message_opens_with_its_own_key_and_is_written_with_the_mailboxs(void **state) {
        Release before = accepted(update_good(2)), after;
        json_t *frame = update_good(2);

        (void) state;
        relay_private_keys_add(keys, NOW + 86400);
        assert_int_equal(json_object_set_new(frame, "message_kid", json_string(keys->keys[0].kid)),
                        0);
        assert_string_equal(refusal(json_deep_copy(frame)), "envelope-box");
        {
                json_auto_t *content = provisioning();
                EnvelopeBinding b = message_binding();
                _cleanup_(freep) char *box = NULL;

                assert_int_equal(envelope_seal(&b, content, keys->keys[0].public, &box), 0);
                assert_int_equal(json_object_set_new(frame, "box", json_string(box)), 0);
        }
        after = accepted(frame);
        assert_string_equal(before.payload_data, after.payload_data);
        release_done(&before);
        release_done(&after);
}

static json_t *encrypted_frame(const char *type, const char *data, bool announced) {
        json_auto_t *content = encrypted_of(type, data);
        EnvelopeBinding b = binding();
        json_t *frame = frame_of(&b, &b, content);

        if (announced)
                assert_int_equal(json_object_set_new(frame, "encrypted", json_true()), 0);
        return frame;
}

static void what_the_tenant_encrypted_is_passed_on_unopened(void **state) {
        /* URL-safe and unpadded is taken, and standard is given (conformance C-25). */
        static const char lenient[] = "_-7dzLuqmYh3ZlVEMyIRAP_u3cy7qpmId2ZVRDMiEQA";
        static const char standard[] = "/+7dzLuqmYh3ZlVEMyIRAP/u3cy7qpmId2ZVRDMiEQA=";
        Release release = accepted(encrypted_frame("AEAD_AES_256_GCM", lenient, true));
        _cleanup_(freep) uint8_t *blob = NULL;
        uint8_t digest[32];
        size_t size;

        (void) state;
        assert_string_equal(release.payload_type, "AEAD_AES_256_GCM");
        assert_string_equal(release.payload_data, standard);
        assert_int_equal(text_from_base64(standard, false, &blob, &size), 0);
        (void) crypto_hash_sha256(digest, blob, size);
        assert_memory_equal(release.digest, digest, 32);
        release_done(&release);
}

static void what_is_encrypted_is_announced_and_nothing_else_is(void **state) {
        static const char data[] = "/+7dzLuqmYh3ZlVEMyIRAP/u3cy7qpmId2ZVRDMiEQA=";
        json_t *plain = frame_good(), *both;
        json_auto_t *content = encrypted_of("AEAD_AES_128_GCM", data);
        EnvelopeBinding b = binding();

        (void) state;
        assert_null(refusal(encrypted_frame("AEAD_AES_128_GCM", data, true)));
        assert_string_equal(
                        refusal(encrypted_frame("AEAD_AES_128_GCM", data, false)), "envelope-form");
        assert_int_equal(json_object_set_new(plain, "encrypted", json_true()), 0);
        assert_string_equal(refusal(plain), "envelope-form");
        assert_int_equal(json_object_set_new(content, "format", json_string("f")), 0);
        both = frame_of(&b, &b, content);
        assert_int_equal(json_object_set_new(both, "encrypted", json_true()), 0);
        assert_string_equal(refusal(both), "envelope-form");

        assert_string_equal(refusal(encrypted_frame("AES128", data, true)), "bad-provisioning");
        assert_string_equal(refusal(encrypted_frame("AEAD_AES_128_GCM", "AAAA", true)),
                        "bad-provisioning");
        assert_string_equal(refusal(encrypted_frame("AEAD_AES_128_GCM", "no base64!", true)),
                        "bad-provisioning");
}

static json_t *answerable(json_t *frame) {
        assert_int_equal(json_object_set_new(frame, "rights", json_string("RWD")), 0);
        return frame;
}

static void a_mailbox_for_answers_needs_somebody_who_can_read_them(void **state) {
        static const char data[] = "/+7dzLuqmYh3ZlVEMyIRAP/u3cy7qpmId2ZVRDMiEQA=";

        (void) state;
        assert_null(refusal(answerable(frame_good())));
        front_keys.keys[0].not_after = NOW - 1;
        assert_string_equal(refusal(answerable(frame_good())), "no-front-key");
        front_keys.keys[0].not_after = NOW + 86400;
        terms.front_keys = NULL;
        assert_string_equal(refusal(answerable(frame_good())), "no-front-key");
        assert_null(refusal(frame_good()));
        assert_null(refusal(answerable(encrypted_frame("AEAD_AES_128_GCM", data, true))));
        terms.front_keys = &front_keys;
}

static void draft_r_is_given_the_content_as_it_is(void **state) {
        static const char data[] = "/+7dzLuqmYh3ZlVEMyIRAP/u3cy7qpmId2ZVRDMiEQA=";
        json_auto_t *expected = provisioning(), *content = NULL;
        JsonProblem problem;
        Release release;

        (void) state;
        terms.has_own_encryption = true;
        release = accepted(frame_good());
        assert_null(release.payload_data);
        assert_int_equal(json_read(release.content.data,
                                         release.content.size,
                                         4,
                                         &content,
                                         &problem),
                        0);
        assert_true(json_equal(content, expected));
        release_done(&release);
        assert_string_equal(
                        refusal(encrypted_frame("AEAD_AES_128_GCM", data, true)), "not-in-draft-r");
        terms.has_own_encryption = false;
}

/* A frame whose box holds this text as its provisioning. */
static json_t *frame_of_text(const char *text) {
        json_auto_t *content = json_quick_verbatim(text, strlen(text));
        EnvelopeBinding b = binding();

        return frame_of(&b, &b, content);
}

static void what_is_released_are_the_bytes_that_lay_in_the_box(void **state) {
        static const char text[] =
                        "{ \"more\":1e-999,\r\n\"content\" : {\"n\":[1.10,1E5,-0,1e400,"
                        "123456789012345678901234567890],\"s\":\"\\u0000\\/\" },\"format\":\"f\" }";
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        json_auto_t *object = frame_of_text(text);
        uint8_t secret[PAYLOAD_KEY_MAX];
        const char *reason;
        RelayFrame frame;
        Release release;

        (void) state;
        terms.has_own_encryption = true;
        release = accepted(json_incref(object));
        assert_int_equal(release.content.size, strlen(text));
        assert_memory_equal(release.content.data, text, strlen(text));
        release_done(&release);
        terms.has_own_encryption = false;

        assert_int_equal(relay_frame_read(RELAY_FRAME_CREATE, object, true, NOW, &frame, &reason),
                        0);
        assert_int_equal(release_read(&frame, &terms, NOW, &release, &reason), 0);
        release_secret(&frame, &terms, &release, secret);
        assert_int_equal(payload_decrypt(release.payload_type,
                                         release.payload_data,
                                         false,
                                         secret,
                                         payload_key_size(terms.algorithm),
                                         &plaintext),
                        0);
        assert_int_equal(plaintext.size, strlen(text));
        assert_memory_equal(plaintext.data, text, strlen(text));
        relay_frame_done(&frame);
        release_done(&release);
}

static void bytes_that_are_no_provisioning_are_not_released(void **state) {
        (void) state;
        assert_string_equal(refusal(frame_of_text("{\"format\":\"f\",\"content\":{\"n\":01}}")),
                        "envelope-form");
        assert_string_equal(refusal(frame_of_text("{\"format\":\"f\",\"content\":{\"n\":1e400,"
                                                  "\"n\":1}}")),
                        "envelope-form");
        assert_string_equal(refusal(frame_of_text("{\"format\":\"f\",\"content\":[1e400]}")),
                        "bad-provisioning");
        assert_string_equal(refusal(frame_of_text("{\"format\":1e400,\"content\":{}}")),
                        "bad-provisioning");
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
                cmocka_unit_test(what_is_released_opens_with_the_secret_of_the_link),
                cmocka_unit_test(what_is_released_are_the_bytes_that_lay_in_the_box),
                cmocka_unit_test(bytes_that_are_no_provisioning_are_not_released),
                cmocka_unit_test(a_repeat_means_the_same_octets_and_digest),
                cmocka_unit_test(equal_messages_of_other_numbers_and_generations_look_different),
                cmocka_unit_test(an_envelope_that_differs_in_any_member_is_refused),
                cmocka_unit_test(an_envelope_whose_time_has_passed_is_refused),
                cmocka_unit_test(content_that_no_wallet_would_take_is_refused),
                cmocka_unit_test(a_box_that_does_not_open_is_refused_by_name),
                cmocka_unit_test(a_tenants_own_box_is_compared_in_what_is_known),
                cmocka_unit_test(
                                a_tenants_own_box_must_last_as_long_as_the_mailbox_and_not_for_ever),
                cmocka_unit_test(
                                a_box_for_a_new_mailbox_and_one_for_a_message_do_not_pass_for_each_other),
                cmocka_unit_test(a_message_opens_with_its_own_key_and_is_written_with_the_mailboxs),
                cmocka_unit_test(what_the_tenant_encrypted_is_passed_on_unopened),
                cmocka_unit_test(what_is_encrypted_is_announced_and_nothing_else_is),
                cmocka_unit_test(a_mailbox_for_answers_needs_somebody_who_can_read_them),
                cmocka_unit_test(draft_r_is_given_the_content_as_it_is),
                cmocka_unit_test(a_box_for_another_key_does_not_open),
                cmocka_unit_test(an_envelope_with_other_members_is_refused),
                cmocka_unit_test(an_envelope_too_large_is_not_sealed),
        };
        int r;

        if (secret_init() < 0 || relay_private_keys_new(&keys) < 0)
                return 99;
        relay_private_keys_add(keys, NOW + 86400);
        front_keys.n_keys = 1;
        front_keys.keys[0].not_after = NOW + 86400;
        terms = (ReleaseTerms){
                .keys = keys, .front_keys = &front_keys, .algorithm = PAYLOAD_AES_128_GCM
        };
        r = cmocka_run_group_tests(tests, NULL, NULL);
        (void) relay_private_keys_free(keys);
        return r;
}
