/* A run of Draft R in which somebody breaks the rules ends for good. */
#include "draft-r-pair.h"

#include "draft-r-transcript.h"
#include "secret.h"

/* The URL of the message that bob is about to answer with, and what he would write. */
static Item answer_of_bob(void) {
        Item item;

        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        assert_int_equal(store_size(), 1);
        for (size_t i = 0;; i++)
                if (store.items[i].url) {
                        item = store.items[i];
                        store.items[i] = (Item){ NULL };
                        return item;
                }
}

/* Alice finds these octets where bob's answer belongs. */
static void assert_aborts(const Item *right, const void *body, size_t size, const char *reason) {
        store_put(right->url, body, size);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_string_equal(alice.content, "");
        pair_assert_aborted(&alice, reason);

        /* The right message comes too late. */
        store_put(right->url, right->body, right->size);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_string_equal(alice.reason, "aborted");
        assert_int_equal(pair_ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_GONE);
        assert_int_equal(store_size(), 0);
}

static void r7_a_garbled_message_ends_the_run(void **state) {
        const size_t positions[] = { 0, 15, 16, 40, SIZE_MAX };

        for (size_t i = 0; i < N_ELEMENTS(positions); i++) {
                Item right = answer_of_bob();
                _cleanup_(freep) char *body = malloc(right.size);

                memcpy(body, right.body, right.size);
                body[positions[i] == SIZE_MAX ? right.size - 1 : positions[i]] ^= 1;
                assert_aborts(&right, body, right.size, "abort-auth");
                item_done(&right);
                pair_end();
                pair_setup(state);
        }
}

static void r7_a_message_of_another_size_ends_the_run(void **state) {
        _cleanup_(freep) char *large = calloc(1, DRAFT_R_BODY_MAX + 1);
        static const struct {
                int less;
                const char *reason;
        } cases[] = { { 1, "abort-auth" }, { 40, "abort-too-short" } };
        Item right;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                right = answer_of_bob();
                assert_aborts(&right,
                                right.body,
                                right.size - (size_t) cases[i].less,
                                cases[i].reason);
                item_done(&right);
                pair_end();
                pair_setup(state);
        }
        right = answer_of_bob();
        assert_aborts(&right, "", 0, "abort-too-short");
        item_done(&right);
        pair_end();
        pair_setup(state);
        right = answer_of_bob();
        assert_aborts(&right, large, DRAFT_R_BODY_MAX + 1, "abort-too-large");
        item_done(&right);
}

static void r7_a_reflected_message_ends_the_run(void **state) {
        _cleanup_(item_done) Item own = { NULL };
        Item right;

        (void) state;
        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        own = (Item){ strdup(alice.first), malloc(store.items[0].size), store.items[0].size };
        memcpy(own.body, store.items[0].body, own.size);
        item_done(&store.items[0]);

        right = answer_of_bob();
        assert_aborts(&right, own.body, own.size, "abort-auth");
        item_done(&right);
}

static void r7_a_stale_message_ends_the_run(void **state) {
        _cleanup_(item_done) Item stale = answer_of_bob();
        Item right;

        (void) state;
        store_put(stale.url, stale.body, stale.size);
        pair_ask_until_done(&alice, RELAY_JOB_READ, NULL);
        pair_hand_over(&alice, &bob, "three");
        pair_ask_until_done(&bob, RELAY_JOB_UPDATE, "four");
        assert_int_equal(store_size(), 1);
        for (size_t i = 0; i < ITEMS_MAX; i++)
                if (store.items[i].url) {
                        right = store.items[i];
                        store.items[i] = (Item){ NULL };
                }
        alice.content[0] = 0;
        assert_aborts(&right, stale.body, stale.size, "abort-auth");
        item_done(&right);
}

/* Who has the key and breaks the rules: bob, or whoever knows R and all that was said. */
static void seal_as_bob(const void *plaintext, size_t size, uint8_t **ret) {
        DraftRIdentity identity = pair_identity(&alice);
        uint8_t nonce[DRAFT_R_NONCE_MAX] = { 9 };
        DraftRTranscript run;
        DraftRSlot slot;
        size_t body_size;

        assert_int_equal(
                        draft_r_transcript_open(alice.state, alice.state_size, &identity, &run), 0);
        assert_int_equal(draft_r_transcript_slot(&run, &slot), 0);
        assert_int_equal(draft_r_body_seal(run.suite,
                                         slot.key,
                                         nonce,
                                         plaintext,
                                         size,
                                         ret,
                                         &body_size),
                        0);
        assert_int_equal(body_size, draft_r_suite_nonce_size(run.suite) + size + DRAFT_R_TAG_SIZE);
}

static void r5_r6_r7_a_rule_that_is_broken_ends_the_run(void **state) {
#define SIXTEEN "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20"
        static const struct {
                const char *plaintext;
                size_t size;
                const char *reason;
        } cases[] = {
                { "\20" SIXTEEN "\0\0\0\0\0\1x", 24, "abort-message-id" },
                { "\20" SIXTEEN "\0\2\0\0\0\1x", 24, "abort-message-id" },
                { "\20" SIXTEEN "\0\3\0\0\0\1x", 24, "abort-message-id" },
                { "\20" SIXTEEN "\1\1\0\0\0\1x", 24, "abort-message-id" },
                { "\17\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\0\1\0\0\0\1x", 23, "abort-random" },
                { "\0\0\1\0\0\0\1x", 8, "abort-random" },
                { "\20" SIXTEEN "\0\1\0\0\0\1xy", 25, "abort-form" },
                { "\20" SIXTEEN "\0\1\0\0\0\2x", 24, "abort-form" },
                { "", 0, "abort-form" },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Item right = answer_of_bob();
                _cleanup_(freep) uint8_t *body = NULL;

                seal_as_bob(cases[i].plaintext, cases[i].size, &body);
                assert_aborts(&right,
                                body,
                                draft_r_suite_nonce_size(alice.terms.suite) + cases[i].size +
                                                DRAFT_R_TAG_SIZE,
                                cases[i].reason);
                item_done(&right);
                pair_end();
                pair_setup(state);
        }

        /* The same way, with nothing broken. */
        {
                Item right = answer_of_bob();
                _cleanup_(freep) uint8_t *body = NULL;

                seal_as_bob("\20" SIXTEEN "\0\1\0\0\0\1x", 24, &body);
                store_put(right.url, body, 16 + 24 + DRAFT_R_TAG_SIZE);
                pair_ask_until_done(&alice, RELAY_JOB_READ, NULL);
                assert_string_equal(alice.content, "x");
                item_done(&right);
        }
#undef SIXTEEN
}

static void r5_who_has_no_turn_sends_nothing(void **state) {
        size_t n;

        (void) state;
        pair_invite();
        n = store.n_log;
        assert_int_equal(pair_ask(&alice, RELAY_JOB_UPDATE, "two"), RELAY_REFUSED);
        assert_string_equal(alice.reason, "out-of-turn");
        assert_int_equal(store.n_log, n);

        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        n = store.n_log;
        bob.content[0] = 0;
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, "");
        assert_int_equal(store.n_log, n);
}

static void r3_a_literal_context_that_is_full_ends_the_run(void **state) {
        char text[120];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        pair_end();
        pair_begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_RAW);
        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_hand_over(&bob, &alice, text);
        pair_ask_until_done(&alice, RELAY_JOB_UPDATE, text);
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, text);
        assert_int_equal(pair_ask(&bob, RELAY_JOB_UPDATE, "x"), RELAY_REFUSED);
        assert_string_equal(bob.reason, "context-too-long");
        (void) state;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(r7_a_garbled_message_ends_the_run),
                TEST(r7_a_message_of_another_size_ends_the_run),
                TEST(r7_a_reflected_message_ends_the_run),
                TEST(r7_a_stale_message_ends_the_run),
                TEST(r5_r6_r7_a_rule_that_is_broken_ends_the_run),
                TEST(r5_who_has_no_turn_sends_nothing),
                TEST(r3_a_literal_context_that_is_full_ends_the_run),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
