/* Draft R: every published value recomputed, and every wrong octet refused by its name. */
#include "vectors.h"

#include <errno.h>
#include <stdio.h>

#include "cleanup.h"
#include "draft-r-transcript.h"
#include "draft-r.h"
#include "secret.h"

#define TEMPLATE "https://drop.example.net/t/{tigress_location}"

enum {
        BYTES_MAX = 4096,
};

static const uint8_t zero_key[DRAFT_R_KEY_SIZE];

static void assert_bytes(const json_t *vector, const char *member, const void *data, size_t size) {
        uint8_t expected[BYTES_MAX];

        assert_int_equal(vector_bytes(vector, member, expected, sizeof(expected)), size);
        assert_memory_equal(data, expected, size);
}

static DraftRSuite suite_of(const json_t *run) {
        static const char *const names[_DRAFT_R_SUITE_MAX] = {
                [DRAFT_R_AES_128_GCM_SHA256] = "TLS_AES_128_GCM_SHA256",
                [DRAFT_R_AES_256_GCM_SHA384] = "TLS_AES_256_GCM_SHA384",
                [DRAFT_R_CHACHA20_POLY1305_SHA256] = "TLS_CHACHA20_POLY1305_SHA256",
        };
        DraftRSuite suite;
        unsigned code;

        assert_int_equal(sscanf(vector_text(run, "suite_code"), "0x%x", &code), 1);
        assert_int_equal(draft_r_suite_from_code((uint16_t) code, &suite), 0);
        assert_string_equal(names[suite], vector_text(run, "suite"));
        assert_int_equal(draft_r_suite_code(suite), code);
        return suite;
}

static void begin_run(const json_t *run, DraftRTranscript *ret) {
        uint8_t secret[BYTES_MAX];
        size_t size = vector_bytes(run, "R_hex", secret, sizeof(secret));
        bool raw = strcmp(vector_text(run, "context_mode"), "raw") == 0;

        assert_int_equal(draft_r_transcript_begin(DRAFT_R_SENDER,
                                         vector_text(run, "uri_template"),
                                         suite_of(run),
                                         raw ? DRAFT_R_CONTEXT_RAW : DRAFT_R_CONTEXT_HASH,
                                         secret,
                                         size,
                                         ret),
                        0);
        assert_int_equal(size, draft_r_suite_secret_size(ret->suite));
}

static void check_labels(const json_t *message) {
        uint8_t context[BYTES_MAX], info[DRAFT_R_INFO_MAX];
        size_t context_size = vector_bytes(message, "context_hex", context, sizeof(context)), size;

        assert_int_equal(draft_r_label("Location", context, context_size, info, &size), 0);
        assert_bytes(message, "location_info_hex", info, size);
        assert_int_equal(draft_r_label("Key", context, context_size, info, &size), 0);
        assert_bytes(message, "key_info_hex", info, size);
}

static void check_slot(const json_t *message, const DraftRTranscript *transcript, DraftRSlot *ret) {
        _cleanup_(freep) char *url = NULL;

        assert_int_equal(transcript->size,
                        json_integer_value(json_object_get(message, "transcript_len")));
        assert_int_equal(draft_r_transcript_slot(transcript, ret), 0);
        assert_bytes(message, "U_hex", ret->location, sizeof(ret->location));
        assert_bytes(message, "K_hex", ret->key, sizeof(ret->key));
        assert_int_equal(draft_r_template_expand(transcript->template, ret->location, &url), 0);
        assert_string_equal(url, vector_text(message, "url"));
        assert_non_null(strstr(url, vector_text(message, "location_b64url")));
}

static void check_body(const json_t *message,
                const DraftRTranscript *transcript,
                const DraftRSlot *slot,
                const Plaintext *plaintext) {
        static const size_t key_sizes[_DRAFT_R_SUITE_MAX] = {
                [DRAFT_R_AES_128_GCM_SHA256] = 16,
                [DRAFT_R_AES_256_GCM_SHA384] = 32,
                [DRAFT_R_CHACHA20_POLY1305_SHA256] = 32,
        };
        _cleanup_(plaintext_done) Plaintext opened = PLAINTEXT_NULL;
        _cleanup_(freep) uint8_t *body = NULL;
        uint8_t nonce[BYTES_MAX];
        DraftRMessageKey key;
        size_t size;

        assert_int_equal(vector_bytes(message, "response_nonce_hex", nonce, sizeof(nonce)),
                        draft_r_suite_nonce_size(transcript->suite));
        assert_int_equal(draft_r_message_key(transcript->suite, slot->key, nonce, &key), 0);
        assert_bytes(message, "prk_hex", key.prk, draft_r_suite_hash_size(transcript->suite));
        assert_bytes(message, "aead_key_hex", key.key, key_sizes[transcript->suite]);
        assert_bytes(message, "aead_nonce_hex", key.nonce, sizeof(key.nonce));

        assert_int_equal(draft_r_body_seal(transcript->suite,
                                         slot->key,
                                         nonce,
                                         plaintext->data,
                                         plaintext->size,
                                         &body,
                                         &size),
                        0);
        assert_bytes(message, "http_body_hex", body, size);
        assert_int_equal(draft_r_body_open(transcript->suite, slot->key, body, size, &opened), 0);
        assert_int_equal(opened.size, plaintext->size);
        assert_memory_equal(opened.data, plaintext->data, opened.size);
}

static void check_message(const json_t *vector, DraftRTranscript *transcript) {
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        const char *text = vector_text(vector, "message_utf8");
        uint8_t random[BYTES_MAX];
        DraftRMessage message = {
                .random = random,
                .random_size = vector_bytes(vector, "random_hex", random, sizeof(random)),
                .id = (uint32_t) json_integer_value(json_object_get(vector, "message_id")),
                .message = (const uint8_t *) text,
                .message_size = strlen(text),
        };
        DraftRMessage read;
        DraftRSlot slot;

        check_labels(vector);
        check_slot(vector, transcript, &slot);
        assert_int_equal(transcript->next, message.id);
        assert_int_equal(draft_r_transcript_is_ours(transcript),
                        strcmp(vector_text(vector, "direction"), "sender->receiver") == 0);
        assert_int_not_equal(draft_r_transcript_is_ours(transcript),
                        draft_r_transcript_is_theirs(transcript));

        assert_int_equal(draft_r_plaintext_write(&message, &plaintext), 0);
        assert_bytes(vector, "plaintext_struct_hex", plaintext.data, plaintext.size);
        assert_int_equal(draft_r_plaintext_read(plaintext.data, plaintext.size, message.id, &read),
                        0);
        assert_int_equal(read.random_size, message.random_size);
        assert_int_equal(read.message_size, message.message_size);
        assert_memory_equal(read.message, text, read.message_size);

        check_body(vector, transcript, &slot, &plaintext);
        draft_r_transcript_add(transcript, plaintext.data, plaintext.size);
}

/* The same run, handed over as octets after each message. */
static void write_and_read(DraftRTranscript *transcript) {
        _cleanup_(secret_done) Secret first = SECRET_NULL;
        _cleanup_(secret_done) Secret second = SECRET_NULL;

        assert_int_equal(draft_r_transcript_write(transcript, &first), 0);
        draft_r_transcript_done(transcript);
        assert_int_equal(draft_r_transcript_read(first.data, first.size, transcript), 0);
        assert_int_equal(draft_r_transcript_write(transcript, &second), 0);
        assert_int_equal(first.size, second.size);
        assert_memory_equal(first.data, second.data, first.size);
}

static void walk_vectors(bool by_bytes) {
        const json_t *run, *message,
                        *runs = json_object_get(json_object_get(vectors, "draft_r"), "runs");
        size_t i, j, n_messages = 0, n_skipped = 0;

        json_array_foreach(runs, i, run) {
                DraftRTranscript transcript;

                print_message("# %s %s\n",
                                vector_text(run, "suite"),
                                vector_text(run, "context_mode"));
                begin_run(run, &transcript);
                json_array_foreach(json_object_get(run, "messages"), j, message) {
                        DraftRSlot slot;

                        if (json_object_get(message, "skipped")) {
                                assert_int_equal(transcript.mode, DRAFT_R_CONTEXT_RAW);
                                assert_int_equal(draft_r_transcript_slot(&transcript, &slot),
                                                DRAFT_R_E_CONTEXT);
                                n_skipped++;
                                continue;
                        }
                        check_message(message, &transcript);
                        if (by_bytes)
                                write_and_read(&transcript);
                        n_messages++;
                }
        }
        assert_int_equal(i, 6);
        assert_int_equal(n_messages, 21);
        assert_int_equal(n_skipped, 3);
}

static void r3_every_vector_is_recomputed_in_both_context_modes(void **state) {
        (void) state;
        walk_vectors(false);
}

static void r11_a_run_goes_on_from_its_octets(void **state) {
        (void) state;
        walk_vectors(true);
}

static void r3_a_literal_context_ends_at_255_octets(void **state) {
        static const uint8_t octets[256];
        uint8_t key[DRAFT_R_KEY_SIZE];

        (void) state;
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++) {
                assert_int_equal(draft_r_expand_label(suite, octets, 32, "Key", octets, 255, key),
                                0);
                assert_int_equal(draft_r_expand_label(suite, octets, 32, "Key", octets, 256, key),
                                DRAFT_R_E_CONTEXT);
        }
}

static void r1_a_template_is_https_with_exactly_one_location(void **state) {
        static const struct {
                const char *template;
                int r;
        } cases[] = {
                { TEMPLATE, 0 },
                { "https://drop.example.net:8443/{tigress_location}", 0 },
                { "https://drop.example.net/?at={tigress_location}&x=%2f", 0 },
                { "https://drop.example.net/a/{tigress_location}/b.bin", 0 },
                { "http://drop.example.net/{tigress_location}", DRAFT_R_E_SCHEME },
                { "ftp://drop.example.net/{tigress_location}", DRAFT_R_E_SCHEME },
                { "HTTPS//drop.example.net/{tigress_location}", DRAFT_R_E_SCHEME },
                { "", DRAFT_R_E_SCHEME },
                { "https://", DRAFT_R_E_TEMPLATE },
                { "https:///{tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/t/", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{tigress_location}/{tigress_location}",
                                DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{tigress_location}{other}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{other}/{tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{+tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{tigress_location,x}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{Tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://{tigress_location}.example.net/", DRAFT_R_E_TEMPLATE },
                { "https://{tigress_location}.example.net/{tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://user@drop.example.net/{tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net:0/{tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net?{tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/#{tigress_location}", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{tigress_location}#x", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{tigress_location} ", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{tigress_location}\r\nX: y", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{tigress_location}%", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/{tigress_location}%2", DRAFT_R_E_TEMPLATE },
                { "https://drop.example.net/\xc3\xa9/{tigress_location}", DRAFT_R_E_TEMPLATE },
        };
        char longest[DRAFT_R_TEMPLATE_MAX + 2];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                print_message("# template %zu\n", i);
                assert_int_equal(draft_r_template_check(cases[i].template), cases[i].r);
        }
        memset(longest, 'x', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = 0;
        memcpy(longest, TEMPLATE, strlen(TEMPLATE));
        assert_int_equal(strlen(longest), DRAFT_R_TEMPLATE_MAX + 1);
        assert_int_equal(draft_r_template_check(longest), DRAFT_R_E_TEMPLATE);
        longest[DRAFT_R_TEMPLATE_MAX] = 0;
        assert_int_equal(draft_r_template_check(longest), 0);
}

static void a_location_fills_its_place_in_the_template(void **state) {
        static const struct {
                const char *template, *url;
        } cases[] = {
                { "https://Drop.Example.net/a/{tigress_location}/b?c=d",
                                "https://Drop.Example.net/a/_____________________________________"
                                "_____8/b?c=d" },
                { "https://drop.example.net/?{tigress_location}",
                                "https://drop.example.net/"
                                "?__________________________________________"
                                "8" },
        };
        uint8_t location[DRAFT_R_LOCATION_SIZE];
        char authority[SHARE_URL_AUTHORITY_SIZE];

        (void) state;
        memset(location, 0xff, sizeof(location));
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(freep) char *url = NULL;

                assert_int_equal(draft_r_template_expand(cases[i].template, location, &url), 0);
                assert_string_equal(url, cases[i].url);
        }
        draft_r_template_authority("https://Drop.Example.net:8443/{tigress_location}", authority);
        assert_string_equal(authority, "drop.example.net:8443");
}

static void r2_r_has_at_least_256_bits(void **state) {
        static const uint8_t secret[DRAFT_R_SECRET_MAX + 1] = { 1 };
        static const struct {
                size_t size;
                int r;
        } cases[] = {
                { 0, DRAFT_R_E_SECRET },
                { 31, DRAFT_R_E_SECRET },
                { 32, 0 },
                { 48, 0 },
                { 64, 0 },
                { 65, DRAFT_R_E_SECRET },
        };
        DraftRTranscript transcript;
        uint8_t key[DRAFT_R_KEY_SIZE];

        (void) state;
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++) {
                assert_int_equal(draft_r_suite_secret_size(suite),
                                draft_r_suite_hash_size(suite) == 48 ? 48 : 32);
                for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                        assert_int_equal(draft_r_transcript_begin(DRAFT_R_SENDER,
                                                         TEMPLATE,
                                                         suite,
                                                         DRAFT_R_CONTEXT_HASH,
                                                         secret,
                                                         cases[i].size,
                                                         &transcript),
                                        cases[i].r);
                        assert_int_equal(draft_r_expand_label(suite,
                                                         secret,
                                                         cases[i].size,
                                                         "Key",
                                                         NULL,
                                                         0,
                                                         key),
                                        cases[i].r);
                }
        }
}

static void unknown_suites_are_refused(void **state) {
        static const uint16_t codes[] = { 0, 0x1300, 0x1304, 0x1305, 0x0113, 0xffff };
        DraftRSuite suite;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(codes); i++)
                assert_int_equal(draft_r_suite_from_code(codes[i], &suite), DRAFT_R_E_SUITE);
}

static void r7_every_changed_octet_of_a_body_is_an_error(void **state) {
        static const uint8_t nonce[DRAFT_R_NONCE_MAX] = { 7 };

        (void) state;
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++) {
                _cleanup_(freep) uint8_t *body = NULL;
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
                uint8_t other_key[DRAFT_R_KEY_SIZE] = { 1 };
                size_t size;

                assert_int_equal(draft_r_body_seal(suite, zero_key, nonce, "text", 4, &body, &size),
                                0);
                assert_int_equal(size, draft_r_suite_nonce_size(suite) + 4 + DRAFT_R_TAG_SIZE);
                for (size_t i = 0; i < size; i++) {
                        body[i] ^= 0x80;
                        assert_int_equal(draft_r_body_open(suite, zero_key, body, size, &plaintext),
                                        DRAFT_R_E_AUTH);
                        assert_null(plaintext.data);
                        body[i] ^= 0x80;
                }
                assert_int_equal(draft_r_body_open(suite, zero_key, body, size - 1, &plaintext),
                                DRAFT_R_E_AUTH);
                assert_int_equal(draft_r_body_open(suite, other_key, body, size, &plaintext),
                                DRAFT_R_E_AUTH);
                assert_int_equal(draft_r_body_open(suite, zero_key, body, size, &plaintext), 0);
                assert_memory_equal(plaintext.data, "text", 4);
        }
}

static void r7_sizes_of_a_body_are_bounded(void **state) {
        _cleanup_(freep) uint8_t *octets = calloc(1, DRAFT_R_BODY_MAX + 1), *body = NULL;
        size_t size;

        (void) state;
        assert_non_null(octets);
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++) {
                const size_t least = draft_r_suite_nonce_size(suite) + DRAFT_R_TAG_SIZE;
                _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;

                assert_int_equal(draft_r_body_open(suite, zero_key, octets, 0, &plaintext),
                                DRAFT_R_E_TOO_SHORT);
                assert_int_equal(draft_r_body_open(suite, zero_key, octets, least - 1, &plaintext),
                                DRAFT_R_E_TOO_SHORT);
                assert_int_equal(draft_r_body_open(suite, zero_key, octets, least, &plaintext),
                                DRAFT_R_E_AUTH);
                assert_int_equal(draft_r_body_open(suite,
                                                 zero_key,
                                                 octets,
                                                 DRAFT_R_BODY_MAX + 1,
                                                 &plaintext),
                                DRAFT_R_E_TOO_LARGE);
        }
        assert_int_equal(draft_r_body_seal(DRAFT_R_AES_128_GCM_SHA256,
                                         zero_key,
                                         zero_key,
                                         octets,
                                         DRAFT_R_BODY_MAX + 1,
                                         &body,
                                         &size),
                        DRAFT_R_E_TOO_LARGE);
}

static void r5_r6_a_plaintext_is_read_strictly(void **state) {
#define SIXTEEN "0102030405060708090a0b0c0d0e0f10"
        static const struct {
                const char *hex;
                uint32_t id;
                int r;
        } cases[] = {
                { "10" SIXTEEN "0000"
                  "00000001"
                  "78",
                                0,
                                0 },
                { "10" SIXTEEN "0000"
                  "00000000",
                                0,
                                0 },
                { "11" SIXTEEN "11"
                  "0001"
                  "00000001"
                  "78",
                                1,
                                0 },
                { "00"
                  "0002"
                  "00000001"
                  "78",
                                2,
                                0 },
                { "00"
                  "ffff"
                  "00000000",
                                65535,
                                0 },
                /* The other parity, an older and a newer message of the right one. */
                { "10" SIXTEEN "0001"
                  "00000000",
                                0,
                                DRAFT_R_E_MESSAGE_ID },
                { "10" SIXTEEN "0000"
                  "00000000",
                                1,
                                DRAFT_R_E_MESSAGE_ID },
                { "10" SIXTEEN "0001"
                  "00000000",
                                3,
                                DRAFT_R_E_MESSAGE_ID },
                { "00"
                  "0005"
                  "00000000",
                                3,
                                DRAFT_R_E_MESSAGE_ID },
                { "00"
                  "0100"
                  "00000000",
                                1,
                                DRAFT_R_E_MESSAGE_ID },
                /* Too little random. */
                { "00"
                  "0000"
                  "00000001"
                  "78",
                                0,
                                DRAFT_R_E_RANDOM },
                { "0f"
                  "0102030405060708090a0b0c0d0e0f"
                  "0000"
                  "00000000",
                                0,
                                DRAFT_R_E_RANDOM },
                { "0f"
                  "0102030405060708090a0b0c0d0e0f"
                  "0001"
                  "00000000",
                                1,
                                DRAFT_R_E_RANDOM },
                /* Too much and too little. */
                { "", 0, DRAFT_R_E_FORM },
                { "00", 2, DRAFT_R_E_FORM },
                { "00"
                  "0002"
                  "000000",
                                2,
                                DRAFT_R_E_FORM },
                { "00"
                  "0002"
                  "00000001",
                                2,
                                DRAFT_R_E_FORM },
                { "00"
                  "0002"
                  "00000001"
                  "7879",
                                2,
                                DRAFT_R_E_FORM },
                { "00"
                  "0002"
                  "00000000"
                  "00",
                                2,
                                DRAFT_R_E_FORM },
                { "00"
                  "0002"
                  "ffffffff"
                  "78",
                                2,
                                DRAFT_R_E_FORM },
                { "10" SIXTEEN "0000", 0, DRAFT_R_E_FORM },
                { "ff" SIXTEEN "0000"
                  "00000001"
                  "78",
                                0,
                                DRAFT_R_E_FORM },
        };
#undef SIXTEEN

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                size_t size = strlen(cases[i].hex) / 2;
                _cleanup_(freep) uint8_t *data = malloc(size + 1);
                DraftRMessage message;

                assert_int_equal(text_from_hex(cases[i].hex, data, size), 0);
                print_message("# %s\n", cases[i].hex);
                assert_int_equal(draft_r_plaintext_read(data, size, cases[i].id, &message),
                                cases[i].r);
        }
}

static void a_message_of_ours_is_bounded(void **state) {
        _cleanup_(freep) uint8_t *octets = calloc(1, DRAFT_R_MESSAGE_MAX + 1);
        DraftRMessage message = { .message = octets, .message_size = DRAFT_R_MESSAGE_MAX + 1 };
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;

        (void) state;
        assert_int_equal(draft_r_plaintext_write(&message, &plaintext), DRAFT_R_E_TOO_LARGE);
        message.message_size--;
        assert_int_equal(draft_r_plaintext_write(&message, &plaintext), 0);
        assert_int_equal(plaintext.size, 1 + 2 + 4 + DRAFT_R_MESSAGE_MAX);
}

int main(int argc, char **argv) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(r3_every_vector_is_recomputed_in_both_context_modes),
                cmocka_unit_test(r11_a_run_goes_on_from_its_octets),
                cmocka_unit_test(r3_a_literal_context_ends_at_255_octets),
                cmocka_unit_test(r1_a_template_is_https_with_exactly_one_location),
                cmocka_unit_test(a_location_fills_its_place_in_the_template),
                cmocka_unit_test(r2_r_has_at_least_256_bits),
                cmocka_unit_test(unknown_suites_are_refused),
                cmocka_unit_test(r7_every_changed_octet_of_a_body_is_an_error),
                cmocka_unit_test(r7_sizes_of_a_body_are_bounded),
                cmocka_unit_test(r5_r6_a_plaintext_is_read_strictly),
                cmocka_unit_test(a_message_of_ours_is_bounded),
        };

        if (secret_init() < 0 || vectors_load(argc, argv) != 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
