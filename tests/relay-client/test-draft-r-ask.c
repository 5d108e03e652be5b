/* What one question to a relay of Draft R may ask for, and what each answer means. */
#include "draft-r-pair.h"

#include <stdio.h>

#include "draft-r-link.h"
#include "draft-r-transcript.h"
#include "secret.h"

static void what_is_not_there_yet_is_nothing_new(void **state) {
        (void) state;
        pair_invite();
        for (int i = 0; i < 3; i++) {
                assert_int_equal(pair_ask(&alice, RELAY_JOB_READ, NULL), RELAY_DONE);
                assert_string_equal(alice.content, "");
        }
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        pair_ask_until_done(&alice, RELAY_JOB_READ, NULL);
        assert_string_equal(alice.content, "two");
}

static void a_message_that_nobody_took_yet_stays(void **state) {
        (void) state;
        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        bob.content[0] = 0;
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, "");
        assert_int_equal(pair_ask(&bob, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_DONE);
        assert_int_equal(store_size(), 1);
        pair_ask_until_done(&alice, RELAY_JOB_READ, NULL);
        assert_string_equal(alice.content, "two");
}

static void the_sender_can_cancel_at_any_time(void **state) {
        (void) state;
        pair_invite();
        assert_int_equal(pair_ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_DONE);
        assert_int_equal(store_size(), 0);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_GONE);
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, "");
        pair_end();

        /* With an answer unread, and one that was read. */
        pair_setup(state);
        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        assert_int_equal(pair_ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_GONE);
        assert_int_equal(store_size(), 0);
        pair_end();

        pair_setup(state);
        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_hand_over(&bob, &alice, "two");
        assert_int_equal(store_size(), 1);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_GONE);
        assert_int_equal(store_size(), 0);
}

/* Its URL follows from who we are, whatever the settings have become since. */
static void a_share_of_one_message_needs_its_mailbox_only(void **state) {
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++)
                for (DraftRContextMode mode = 0; mode < _DRAFT_R_CONTEXT_MODE_MAX; mode++) {
                        RelayJobTask look, delete;

                        pair_end();
                        pair_begin(suite, mode);
                        pair_invite();
                        assert_string_equal(alice.mailbox, "https://drop.example/t/");
                        assert_int_equal(strncmp(alice.link, alice.mailbox, strlen(alice.mailbox)),
                                        0);
                        assert_int_equal(alice.link[strlen(alice.mailbox)], '#');
                        look = pair_task(&alice, RELAY_JOB_LOOK, NULL);
                        delete = pair_task(&alice, RELAY_JOB_DELETE, NULL);
                        look.state = delete.state = NULL;
                        look.mailbox = delete.mailbox = alice.mailbox;
                        assert_int_equal(pair_ask_task(&alice, &look), RELAY_DONE);
                        pair_assert_log(1, "GET", alice.first);
                        alice.terms.suite = DRAFT_R_AES_256_GCM_SHA384;
                        alice.terms.mode = !mode;
                        alice.terms.template = "https://drop.example/other/{tigress_location}";
                        assert_int_equal(pair_ask_task(&alice, &look), RELAY_DONE);

                        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
                        pair_ask_until_done(&bob, RELAY_JOB_ACKNOWLEDGE, NULL);
                        assert_int_equal(pair_ask_task(&alice, &look), RELAY_GONE);
                        assert_int_equal(pair_ask_task(&alice, &delete), RELAY_GONE);

                        alice.terms = bob.terms;
                        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
                        delete.mailbox = alice.mailbox;
                        alice.terms.suite = DRAFT_R_AES_128_GCM_SHA256;
                        alice.terms.mode = !mode;
                        assert_int_equal(pair_ask_task(&alice, &delete), RELAY_DONE);
                        assert_int_equal(store_size(), 0);
                }
        pair_end();
        (void) pair_setup(state);
}

static void a_mailbox_that_is_none_of_this_relay_is_not_asked(void **state) {
        static const char *const bad[] = {
                "http://drop.example/t/",
                "https://other.example/t/",
                "https://drop.example/t/#y",
                "https://drop.example/t/{x}",
                "https://user@drop.example/t/",
                "https://drop.example",
                "",
        };

        (void) state;
        pair_invite();
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                RelayJobTask look = pair_task(&alice, RELAY_JOB_LOOK, NULL);

                look.state = NULL;
                look.mailbox = bad[i];
                assert_int_equal(pair_ask_task(&alice, &look), RELAY_REFUSED);
                assert_string_equal(alice.reason, "bad-mailbox");
        }
        assert_int_equal(store.n_log, 1);
}

static void a_look_sees_whether_our_last_message_was_taken(void **state) {
        (void) state;
        pair_invite();
        assert_int_equal(pair_ask(&alice, RELAY_JOB_LOOK, NULL), RELAY_DONE);
        pair_assert_log(1, "GET", alice.first);
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_LOOK, NULL), RELAY_DONE);
        pair_ask_until_done(&bob, RELAY_JOB_ACKNOWLEDGE, NULL);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_LOOK, NULL), RELAY_GONE);

        pair_hand_over(&bob, &alice, "two"); /* our turn: there is nothing of ours to look for */
        store.n_log = 0;
        assert_int_equal(pair_ask(&alice, RELAY_JOB_LOOK, NULL), RELAY_DONE);
        assert_int_equal(store.n_log, 0);
}

static void a_message_of_another_number_is_neither_read_nor_written(void **state) {
        RelayJobTask task;

        (void) state;
        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        pair_ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        store.n_log = 0;
        task = pair_task(&alice, RELAY_JOB_READ, NULL);
        task.number = 3;
        assert_int_equal(pair_ask_task(&alice, &task), RELAY_REFUSED);
        assert_string_equal(alice.reason, "out-of-turn");
        assert_int_equal(store.n_log, 0);
        task.number = 1;
        assert_int_equal(pair_ask_task(&alice, &task), RELAY_DONE);
        assert_string_equal(alice.content, "two");

        store.n_log = 0;
        task = pair_task(&alice, RELAY_JOB_UPDATE, "three");
        task.number = 4;
        assert_int_equal(pair_ask_task(&alice, &task), RELAY_REFUSED);
        assert_string_equal(alice.reason, "out-of-turn");
        assert_int_equal(store.n_log, 0);
        task.number = 2;
        assert_int_equal(pair_ask_task(&alice, &task), RELAY_DONE);
}

/* Of the octets on the wire, so that both sides of a relay can say the same of them. */
static void what_was_put_and_got_has_a_digest(void **state) {
        const RelayProtocol *protocol = relay_protocol_find("draft-r");
        uint8_t digests[2][PAYLOAD_DIGEST_SIZE];
        Party *parties[2] = { &alice, &bob };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                _cleanup_(relay_job_freep) RelayJob *job = NULL;
                HttpRequest request = HTTP_REQUEST_NULL;
                HttpAnswer answer;
                RelayJobTask task = pair_task(parties[i],
                                i == 0 ? RELAY_JOB_CREATE : RELAY_JOB_READ,
                                i == 0 ? "one" : NULL);

                assert_int_equal(relay_job_begin(protocol,
                                                 &parties[i]->terms,
                                                 &task,
                                                 &job,
                                                 &request),
                                RELAY_SEND);
                answer = store_answer(&request);
                http_request_done(&request);
                assert_int_equal(relay_job_answer(job, &answer, NOW, &request), 0);
                assert_true(relay_job_result(job)->has_digest);
                memcpy(digests[i], relay_job_result(job)->digest, PAYLOAD_DIGEST_SIZE);
                if (i == 0) {
                        payload_digest(store.items[0].body, store.items[0].size, digests[1]);
                        assert_memory_equal(digests[0], digests[1], PAYLOAD_DIGEST_SIZE);
                        bob.link = strdup(relay_job_result(job)->link);
                }
        }
        assert_memory_equal(digests[0], digests[1], PAYLOAD_DIGEST_SIZE);
}

static void every_status_has_its_meaning(void **state) {
        static const struct {
                int status;
                RelayOutcome create, read;
        } cases[] = {
                /* clang-format off */
                { 200, RELAY_DONE, RELAY_REFUSED }, /* an empty message is none */
                { 201, RELAY_DONE, RELAY_REFUSED },
                { 202, RELAY_REFUSED, RELAY_REFUSED },
                { 204, RELAY_DONE, RELAY_REFUSED },
                { 206, RELAY_REFUSED, RELAY_REFUSED },
                { 301, RELAY_REFUSED, RELAY_REFUSED },
                { 307, RELAY_REFUSED, RELAY_REFUSED },
                { 400, RELAY_REFUSED, RELAY_REFUSED },
                { 401, RELAY_UNAUTHORISED, RELAY_UNAUTHORISED },
                { 403, RELAY_UNAUTHORISED, RELAY_UNAUTHORISED },
                { 404, RELAY_REFUSED, RELAY_DONE },
                { 405, RELAY_REFUSED, RELAY_REFUSED },
                { 408, RELAY_AGAIN, RELAY_AGAIN },
                { 410, RELAY_REFUSED, RELAY_GONE },
                { 413, RELAY_REFUSED, RELAY_REFUSED },
                { 425, RELAY_AGAIN, RELAY_AGAIN },
                { 429, RELAY_AGAIN, RELAY_AGAIN },
                { 500, RELAY_AGAIN, RELAY_AGAIN },
                { 501, RELAY_REFUSED, RELAY_REFUSED },
                { 502, RELAY_AGAIN, RELAY_AGAIN },
                { 503, RELAY_AGAIN, RELAY_AGAIN },
                { 504, RELAY_AGAIN, RELAY_AGAIN },
                { 507, RELAY_AGAIN, RELAY_AGAIN },
                /* clang-format on */
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                print_message("# %d\n", cases[i].status);
                store.status = cases[i].status;
                assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), cases[i].create);
                store.status = 0;
                pair_end();
                pair_setup(state);
                pair_invite();
                store.status = cases[i].status;
                assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), cases[i].read);
                assert_string_equal(bob.content, "");
                pair_end();
                pair_setup(state);
        }
}

static void retry_after_is_heard_and_bounded(void **state) {
        static const struct {
                const char *headers;
                unsigned seconds;
        } cases[] = {
                { "Retry-After: 17\r\n", 17 },
                { "X: y\r\nretry-after:  17 \r\n", 17 },
                { "Retry-After: 999999999999\r\n", 3600 },
                { "Retry-After: Sat, 21 Nov 2026 12:01:00 GMT\r\n", 60 },
                { "Retry-After: Sat, 21 Nov 2026 11:01:00 GMT\r\n", 0 },
                { "Retry-After: soon\r\n", 0 },
                { "", 0 },
        };

        (void) state;
        store.status = 429;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                store.headers = cases[i].headers;
                assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_AGAIN);
                assert_int_equal(alice.retry_after, cases[i].seconds);
        }
}

static void only_relays_that_are_allowed_are_asked(void **state) {
        static const char *const others[] = { "drop.example:8443", "other.example", NULL };

        (void) state;
        pair_invite();
        alice.terms.hosts = bob.terms.hosts = others;
        assert_int_equal(pair_ask(&bob, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_string_equal(bob.reason, "host-not-allowed");
        assert_int_equal(pair_ask(&alice, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_REFUSED);
        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_REFUSED);
        assert_string_equal(alice.reason, "host-not-allowed");
        assert_int_equal(store.n_log, 1);
}

static void a_state_of_another_run_or_key_is_refused(void **state) {
        RelayJobTask task;

        (void) state;
        pair_invite();
        task = pair_task(&alice, RELAY_JOB_READ, NULL);
        task.identity.generation++;
        assert_int_equal(pair_ask_task(&alice, &task), RELAY_REFUSED);
        assert_string_equal(alice.reason, "state");
        task = pair_task(&alice, RELAY_JOB_READ, NULL);
        task.identity.share = "shr_01jd8z0q3t5v7x9b1d3f5h7k9n";
        assert_int_equal(pair_ask_task(&alice, &task), RELAY_REFUSED);
        task = pair_task(&alice, RELAY_JOB_READ, NULL);
        task.identity.root = bob.root;
        assert_int_equal(pair_ask_task(&alice, &task), RELAY_REFUSED);
        assert_string_equal(alice.reason, "state");
        assert_int_equal(store.n_log, 1);
}

static void what_draft_r_has_not_is_refused_without_a_request(void **state) {
        _cleanup_(freep) char *large = malloc(DRAFT_R_MESSAGE_MAX + 2);

        (void) state;
        memset(large, 'x', DRAFT_R_MESSAGE_MAX + 1);
        large[DRAFT_R_MESSAGE_MAX + 1] = 0;
        assert_int_equal(pair_ask(&alice, RELAY_JOB_RELINQUISH, NULL), RELAY_REFUSED);
        assert_string_equal(alice.reason, "unsupported");
        assert_int_equal(pair_ask(&alice, RELAY_JOB_CREATE, large), RELAY_REFUSED);
        assert_string_equal(alice.reason, "too-large");
        assert_int_equal(pair_ask(&alice, RELAY_JOB_UPDATE, "x"), RELAY_REFUSED);
        assert_string_equal(alice.reason, "state");
        assert_int_equal(store.n_log, 0);
}

static void the_link_carries_the_run_and_only_in_its_fragment(void **state) {
        DraftRLink link;

        (void) state;
        pair_invite();
        assert_int_equal(strncmp(alice.link, "https://drop.example/t/#R1.1301.", 32), 0);
        assert_int_equal(draft_r_link_parse(alice.link, &link), 0);
        assert_string_equal(link.template, TEMPLATE);
        assert_int_equal(link.secret_size, 32);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(what_is_not_there_yet_is_nothing_new),
                TEST(a_message_that_nobody_took_yet_stays),
                TEST(the_sender_can_cancel_at_any_time),
                TEST(a_share_of_one_message_needs_its_mailbox_only),
                TEST(a_mailbox_that_is_none_of_this_relay_is_not_asked),
                TEST(a_look_sees_whether_our_last_message_was_taken),
                TEST(a_message_of_another_number_is_neither_read_nor_written),
                TEST(what_was_put_and_got_has_a_digest),
                TEST(every_status_has_its_meaning),
                TEST(retry_after_is_heard_and_bounded),
                TEST(only_relays_that_are_allowed_are_asked),
                TEST(a_state_of_another_run_or_key_is_refused),
                TEST(what_draft_r_has_not_is_refused_without_a_request),
                TEST(the_link_carries_the_run_and_only_in_its_fragment),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
