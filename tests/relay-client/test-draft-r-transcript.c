/* A run of Draft R as octets: what is written is read, what is sealed opens for its owner only, and
 * what is drawn is drawn again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "cleanup.h"
#include "draft-r-link.h"
#include "draft-r-transcript.h"
#include "secret.h"

#define TEMPLATE "https://drop.example/t/{tigress_location}"
#define SHARE "shr_01jd8z0q3t5v7x9b1d3f5h7k9m"

static const uint8_t root[32] = { 1, 2, 3 }, secret[DRAFT_R_SECRET_MAX] = { 4, 5, 6 };

static DraftRIdentity identity(void) {
        return (DraftRIdentity){
                .root = root, .kid = "0123456789abcdef", .share = SHARE, .generation = 3
        };
}

static void begin(DraftRSuite suite, DraftRContextMode mode, DraftRTranscript *ret) {
        assert_int_equal(draft_r_transcript_begin(DRAFT_R_SENDER,
                                         TEMPLATE,
                                         suite,
                                         mode,
                                         secret,
                                         draft_r_suite_secret_size(suite),
                                         ret),
                        0);
}

static void write_and_read(const DraftRTranscript *transcript, DraftRTranscript *ret) {
        _cleanup_(secret_done) Secret octets = SECRET_NULL;

        assert_int_equal(draft_r_transcript_write(transcript, &octets), 0);
        assert_true(octets.size <= DRAFT_R_STATE_MAX);
        assert_int_equal(draft_r_transcript_read(octets.data, octets.size, ret), 0);
}

/* The context by OpenSSL, over the whole transcript at once. */
static void expect_slot(
                DraftRSuite suite, const uint8_t *transcript, size_t size, DraftRSlot *ret) {
        uint8_t hash[DRAFT_R_HASH_MAX];
        unsigned hash_size;

        assert_int_equal(EVP_Digest(transcript,
                                         size,
                                         hash,
                                         &hash_size,
                                         draft_r_suite_hash_size(suite) == 48 ? EVP_sha384()
                                                                              : EVP_sha256(),
                                         NULL),
                        1);
        assert_int_equal(draft_r_expand_label(suite,
                                         secret,
                                         draft_r_suite_secret_size(suite),
                                         "Location",
                                         hash,
                                         hash_size,
                                         ret->location),
                        0);
        assert_int_equal(draft_r_expand_label(suite,
                                         secret,
                                         draft_r_suite_secret_size(suite),
                                         "Key",
                                         hash,
                                         hash_size,
                                         ret->key),
                        0);
}

/* Every length of a message from 0 to more than two blocks, each a step further into the hash, and
 * after each step both the run and its copy by octets agree with a hash made at once. */
static void a_hash_that_goes_on_is_the_hash_of_everything(void **state) {
        static uint8_t all[64 * 1024];

        (void) state;
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++) {
                DraftRTranscript run, copy;
                size_t size = 0;

                begin(suite, DRAFT_R_CONTEXT_HASH, &run);
                for (size_t n = 0; n <= 300; n++) {
                        DraftRSlot expected, slot;

                        memset(all + size, (int) n, n);
                        draft_r_transcript_add(&run, all + size, n);
                        size += n;
                        expect_slot(suite, all, size, &expected);
                        assert_int_equal(draft_r_transcript_slot(&run, &slot), 0);
                        assert_memory_equal(&slot, &expected, sizeof(slot));
                        write_and_read(&run, &copy);
                        assert_int_equal(draft_r_transcript_slot(&copy, &slot), 0);
                        assert_memory_equal(&slot, &expected, sizeof(slot));
                        if (n % 3 == 0)
                                run = copy;
                }
        }
}

static void r3_a_literal_transcript_is_whole_up_to_255_octets(void **state) {
        uint8_t octets[DRAFT_R_CONTEXT_MAX], key[DRAFT_R_KEY_SIZE];
        DraftRTranscript run, copy;
        DraftRSlot slot;

        (void) state;
        memset(octets, 'x', sizeof(octets));
        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_RAW, &run);
        draft_r_transcript_add(&run, octets, 100);
        draft_r_transcript_add(&run, octets + 100, sizeof(octets) - 100);
        write_and_read(&run, &copy);
        assert_int_equal(draft_r_transcript_slot(&copy, &slot), 0);
        assert_int_equal(draft_r_expand_label(
                                         run.suite, secret, 32, "Key", octets, sizeof(octets), key),
                        0);
        assert_memory_equal(slot.key, key, sizeof(key));

        draft_r_transcript_add(&copy, octets, 1);
        write_and_read(&copy, &run);
        assert_int_equal(draft_r_transcript_slot(&copy, &slot), DRAFT_R_E_CONTEXT);
        assert_int_equal(draft_r_transcript_slot(&run, &slot), DRAFT_R_E_CONTEXT);
}

static void locations_and_keys_differ_from_message_to_message(void **state) {
        DraftRTranscript run;
        DraftRSlot first, second;

        (void) state;
        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH, &run);
        assert_int_equal(draft_r_transcript_slot(&run, &first), 0);
        draft_r_transcript_add(&run, "", 0);
        draft_r_transcript_add(&run, "x", 1);
        assert_int_equal(draft_r_transcript_slot(&run, &second), 0);
        assert_memory_not_equal(first.location, second.location, sizeof(first.location));
        assert_memory_not_equal(first.key, second.key, sizeof(first.key));
        assert_memory_not_equal(first.key, first.location, sizeof(first.key));
}

static void r5_turns_alternate_and_end(void **state) {
        DraftRTranscript run;

        (void) state;
        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH, &run);
        for (uint32_t id = 0; id < DRAFT_R_MESSAGES_MAX; id++) {
                assert_int_equal(draft_r_transcript_is_ours(&run), id % 2 == 0);
                assert_int_equal(draft_r_transcript_is_theirs(&run), id % 2 == 1);
                draft_r_transcript_add(&run, "x", 1);
        }
        assert_false(draft_r_transcript_is_ours(&run));
        assert_false(draft_r_transcript_is_theirs(&run));
}

static void r7_an_aborted_run_holds_no_secret_and_stays_aborted(void **state) {
        _cleanup_(secret_done) Secret octets = SECRET_NULL;
        DraftRTranscript run, copy;

        (void) state;
        for (DraftRContextMode mode = 0; mode < _DRAFT_R_CONTEXT_MODE_MAX; mode++) {
                begin(DRAFT_R_AES_256_GCM_SHA384, mode, &run);
                draft_r_transcript_add(&run, "plaintext", 9);
                run.has_sent = true;
                memset(run.sent, 7, sizeof(run.sent));
                draft_r_transcript_abort(&run);
                assert_null(memmem(&run, sizeof(run), secret, 3));
                assert_null(memmem(&run, sizeof(run), "plaintext", 9));
                assert_false(draft_r_transcript_is_ours(&run));
                assert_false(draft_r_transcript_is_theirs(&run));

                secret_done(&octets);
                assert_int_equal(draft_r_transcript_write(&run, &octets), 0);
                assert_null(memmem(octets.data, octets.size, secret, 3));
                assert_null(memmem(octets.data, octets.size, "plaintext", 9));
                assert_int_equal(draft_r_transcript_read(octets.data, octets.size, &copy), 0);
                assert_true(copy.aborted);
                assert_true(copy.has_sent);
                assert_memory_equal(copy.sent, run.sent, sizeof(copy.sent));
        }
}

static void payloads_of_the_past_are_not_kept(void **state) {
        _cleanup_(secret_done) Secret octets = SECRET_NULL;
        static uint8_t filler[256];
        DraftRTranscript run;

        (void) state;
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++) {
                begin(suite, DRAFT_R_CONTEXT_HASH, &run);
                draft_r_transcript_add(&run, "the key to the room", 19);
                draft_r_transcript_add(&run, filler, sizeof(filler));
                secret_done(&octets);
                assert_int_equal(draft_r_transcript_write(&run, &octets), 0);
                assert_null(memmem(octets.data, octets.size, "the key to the room", 19));
        }
}

static void only_what_was_written_is_read(void **state) {
        static const struct {
                size_t at;
                uint8_t value;
        } wrong[] = {
                { 0, 0 },    /* version */
                { 0, 2 },    /* a later one */
                { 1, 2 },    /* role */
                { 3, 0x04 }, /* suite */
                { 4, 2 },    /* mode */
                { 5, 8 },    /* a flag that is none */
                { 5, 1 },    /* aborted, and with R */
                { 5, 2 },    /* a location that is not there */
                { 6, 0xff }, /* more template than there can be */
                { 7, 1 },    /* less than there is */
                { 8, 'x' },  /* no https */
        };
        _cleanup_(secret_done) Secret octets = SECRET_NULL;
        DraftRTranscript run, copy;

        (void) state;
        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH, &run);
        draft_r_transcript_add(&run, "x", 1);
        assert_int_equal(draft_r_transcript_write(&run, &octets), 0);
        for (size_t size = 0; size < octets.size; size++)
                assert_int_equal(
                                draft_r_transcript_read(octets.data, size, &copy), DRAFT_R_E_STATE);
        assert_int_equal(draft_r_transcript_read(octets.data, octets.size + 1, &copy),
                        DRAFT_R_E_STATE);
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
                uint8_t right = octets.data[wrong[i].at];

                octets.data[wrong[i].at] = wrong[i].value;
                assert_int_equal(draft_r_transcript_read(octets.data, octets.size, &copy),
                                DRAFT_R_E_STATE);
                octets.data[wrong[i].at] = right;
        }
        assert_int_equal(draft_r_transcript_read(octets.data, octets.size, &copy), 0);
}

static void r11_a_sealed_run_opens_for_its_key_share_and_generation_only(void **state) {
        static const uint8_t other_root[32] = { 9 };
        DraftRIdentity right = identity(), wrong[4] = { right, right, right, right };
        _cleanup_(freep) uint8_t *sealed = NULL;
        DraftRTranscript run, copy;
        size_t size;

        (void) state;
        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH, &run);
        assert_int_equal(draft_r_transcript_seal(&run, &right, &sealed, &size), 0);
        assert_true(size <= DRAFT_R_SEALED_MAX);
        assert_null(memmem(sealed, size, secret, 3));
        assert_null(memmem(sealed, size, "drop", 4));
        assert_int_equal(draft_r_transcript_open(sealed, size, &right, &copy), 0);
        assert_memory_equal(&copy, &run, sizeof(run));

        wrong[0].root = other_root;
        wrong[1].kid = "0123456789abcdee";
        wrong[2].share = "shr_01jd8z0q3t5v7x9b1d3f5h7k9n";
        wrong[3].generation = 4;
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                assert_int_equal(draft_r_transcript_open(sealed, size, &wrong[i], &copy),
                                DRAFT_R_E_STATE);
        for (size_t i = 0; i < size; i++) {
                sealed[i] ^= 1;
                assert_int_equal(draft_r_transcript_open(sealed, size, &right, &copy),
                                DRAFT_R_E_STATE);
                sealed[i] ^= 1;
        }
        for (size_t i = 0; i < size; i++)
                assert_int_equal(
                                draft_r_transcript_open(sealed, i, &right, &copy), DRAFT_R_E_STATE);
}

static void two_seals_of_one_run_look_unrelated(void **state) {
        DraftRIdentity who = identity();
        _cleanup_(freep) uint8_t *first = NULL, *second = NULL;
        DraftRTranscript run;
        size_t size;

        (void) state;
        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH, &run);
        assert_int_equal(draft_r_transcript_seal(&run, &who, &first, &size), 0);
        assert_int_equal(draft_r_transcript_seal(&run, &who, &second, &size), 0);
        assert_memory_equal(first, second, DRAFT_R_SEALED_HEAD);
        assert_memory_not_equal(first + DRAFT_R_SEALED_HEAD, second + DRAFT_R_SEALED_HEAD, 24);
        assert_memory_not_equal(first + DRAFT_R_SEALED_HEAD + 24,
                        second + DRAFT_R_SEALED_HEAD + 24,
                        size - DRAFT_R_SEALED_HEAD - 24);
}

typedef struct Draw {
        uint8_t secret[DRAFT_R_SECRET_MAX], random[DRAFT_R_RANDOM_MIN], nonce[DRAFT_R_NONCE_MAX];
} Draw;

static Draw draw(const DraftRIdentity *who, uint32_t id, const char *content) {
        Draw drawn = { { 0 } };

        draft_r_derive_secret(who, DRAFT_R_AES_256_GCM_SHA384, drawn.secret);
        draft_r_derive_random(who, id, content, strlen(content), drawn.random);
        draft_r_derive_nonce(
                        who, DRAFT_R_AES_256_GCM_SHA384, id, content, strlen(content), drawn.nonce);
        return drawn;
}

static void r2_what_is_drawn_is_the_same_for_the_same_and_no_other_message(void **state) {
        static const uint8_t other_root[32] = { 9 };
        DraftRIdentity who = identity(), others[3] = { who, who, who };
        Draw first = draw(&who, 0, "x"), again = draw(&who, 0, "x"), other;

        (void) state;
        assert_memory_equal(&first, &again, sizeof(first));
        others[0].root = other_root;
        others[1].share = "shr_01jd8z0q3t5v7x9b1d3f5h7k9n";
        others[2].generation = 4;
        for (size_t i = 0; i < N_ELEMENTS(others); i++) {
                other = draw(&others[i], 0, "x");
                assert_memory_not_equal(first.secret, other.secret, sizeof(other.secret));
                assert_memory_not_equal(first.random, other.random, sizeof(other.random));
                assert_memory_not_equal(first.nonce, other.nonce, sizeof(other.nonce));
        }
        other = draw(&who, 2, "x");
        assert_memory_not_equal(first.random, other.random, sizeof(other.random));
        assert_memory_not_equal(first.nonce, other.nonce, sizeof(other.nonce));
        other = draw(&who, 0, "y");
        assert_memory_not_equal(first.random, other.random, sizeof(other.random));
        assert_memory_not_equal(first.nonce, other.nonce, sizeof(other.nonce));
        /* Purposes are apart as well. */
        assert_memory_not_equal(first.random, first.nonce, sizeof(first.random));
        assert_memory_not_equal(first.secret, first.nonce, sizeof(first.nonce));
}

static void a_link_says_where_how_and_with_what(void **state) {
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++) {
                _cleanup_(secret_free_stringp) char *link = NULL;
                DraftRLink read;

                assert_int_equal(draft_r_link_build(TEMPLATE,
                                                 suite,
                                                 secret,
                                                 draft_r_suite_secret_size(suite),
                                                 &link),
                                0);
                assert_int_equal(draft_r_link_parse(link, &read), 0);
                assert_string_equal(read.template, TEMPLATE);
                assert_int_equal(read.suite, suite);
                assert_int_equal(read.secret_size, draft_r_suite_secret_size(suite));
                assert_memory_equal(read.secret, secret, read.secret_size);
        }
        (void) state;
}

static void what_is_no_link_is_refused_by_name(void **state) {
#define R43 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        static const struct {
                const char *link;
                int r;
        } cases[] = {
                { "https://drop.example/t/#R1.1301." R43, 0 },
                { "https://drop.example/?at=#R1.1303." R43, 0 },
                { "http://drop.example/t/#R1.1301." R43, DRAFT_R_E_SCHEME },
                { "https://drop.example#R1.1301." R43, DRAFT_R_E_TEMPLATE },
                { "https://user@drop.example/t/#R1.1301." R43, DRAFT_R_E_TEMPLATE },
                { "https://drop.example/{tigress_location}#R1.1301." R43, DRAFT_R_E_TEMPLATE },
                { "https://drop.example/ #R1.1301." R43, DRAFT_R_E_TEMPLATE },
                { "https://drop.example/t/#R1.1304." R43, DRAFT_R_E_SUITE },
                { "https://drop.example/t/#R1.0000." R43, DRAFT_R_E_SUITE },
                { "https://drop.example/t/", DRAFT_R_E_LINK },
                { "https://drop.example/t/#", DRAFT_R_E_LINK },
                { "https://drop.example/t/#R2.1301." R43, DRAFT_R_E_LINK },
                { "https://drop.example/t/#hXlr6aRC7KgJpOLTNZaLsw==", DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.1301", DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.1301." R43 "=", DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.1301." R43 "#", DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.1301." R43 "?x", DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.13010." R43, DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.130A." R43, DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.1301.", DRAFT_R_E_SECRET },
                { "https://drop.example/t/#R1.1301.\xee\xee\xee\xee" R43, DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.1301.AAAA", DRAFT_R_E_SECRET },
                { "https://drop.example/t/#R1.1301." R43 R43 "A", DRAFT_R_E_LINK },
                { "https://drop.example/t/#R1.1301." R43 R43, 0 },
        };
#undef R43
        _cleanup_(freep) char *link = NULL;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                DraftRLink read = { .secret_size = 0 };

                print_message("# link %zu\n", i);
                assert_int_equal(draft_r_link_parse(cases[i].link, &read), cases[i].r);
                assert_int_equal(read.secret_size > 0, cases[i].r == 0);
        }
        assert_int_equal(draft_r_link_build("https://drop.example/{tigress_location}.bin",
                                         DRAFT_R_AES_128_GCM_SHA256,
                                         secret,
                                         32,
                                         &link),
                        DRAFT_R_E_TEMPLATE);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_hash_that_goes_on_is_the_hash_of_everything),
                cmocka_unit_test(r3_a_literal_transcript_is_whole_up_to_255_octets),
                cmocka_unit_test(locations_and_keys_differ_from_message_to_message),
                cmocka_unit_test(r5_turns_alternate_and_end),
                cmocka_unit_test(r7_an_aborted_run_holds_no_secret_and_stays_aborted),
                cmocka_unit_test(payloads_of_the_past_are_not_kept),
                cmocka_unit_test(only_what_was_written_is_read),
                cmocka_unit_test(r11_a_sealed_run_opens_for_its_key_share_and_generation_only),
                cmocka_unit_test(two_seals_of_one_run_look_unrelated),
                cmocka_unit_test(r2_what_is_drawn_is_the_same_for_the_same_and_no_other_message),
                cmocka_unit_test(a_link_says_where_how_and_with_what),
                cmocka_unit_test(what_is_no_link_is_refused_by_name),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
