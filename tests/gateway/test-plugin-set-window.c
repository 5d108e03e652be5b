/* Questions and requests of one connection: ids, windows, deadlines. */
#include "test-plugin-set-side.h"

#include <errno.h>

#include "frame.h"

static void a_question_gets_its_answer_once(void **state) {
        Side *s = side_new(NULL);
        int64_t first, second;
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        assert_int_equal(side_ask(s, PATIENCE, &first), 0);
        assert_int_equal(side_ask(s, 0, &second), 0);
        assert_true(first != second && first > 0);
        assert_int_equal(s->n_answers, 0);
        RUN_UNTIL(s, json_array_size(peer.frames) == 2);
        assert_int_equal(peer_id(&peer, 0), first);
        assert_int_equal(peer_id(&peer, 1), second);
        peer_send(&peer,
                        json_pack("{s:s, s:I, s:i}",
                                        "type",
                                        "sent",
                                        "id",
                                        (json_int_t) second,
                                        "n",
                                        2));
        RUN_UNTIL(s, s->n_answers == 1);
        assert_int_equal(json_integer_value(json_object_get(s->answer, "n")), 2);
        peer_send(&peer, frame_of("sent", second)); /* late, and ignored */
        peer_send(&peer, frame_of("failed", first));
        RUN_UNTIL(s, s->n_answers == 2);
        side_settle(s);
        assert_int_equal(s->n_answers, 2);
        assert_true(plugin_link_is_up(s->link));
        for (int i = 0; i < STREAM_WINDOW_FRAMES; i++) /* and it did not disturb the count */
                assert_int_equal(side_ask(s, PATIENCE, NULL), 0);
        assert_int_equal(side_ask(s, PATIENCE, NULL), -ENOBUFS);
        peer_free(&peer);
        side_free(s);
}

static void an_answer_to_what_was_never_asked_ends_the_connection(void **state) {
        static const int64_t strangers[] = { 1, 2, 1025, INT64_C(1) << 53 };
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(strangers); i++) {
                int64_t id = 0;

                peer_welcome(s, &peer);
                if (i == 1) { /* once used, the first slot's next number is still unknown */
                        assert_int_equal(side_ask(s, 0, &id), 0);
                        RUN_UNTIL(s, json_array_size(peer.frames) == 1);
                        assert_int_equal(id, 1);
                }
                peer_send(&peer, frame_of("sent", strangers[i]));
                RUN_UNTIL(s, peer.ended);
                assert_int_equal(s->n_down, i + 1);
                peer_free(&peer);
        }
        assert_int_equal(s->n_resets, 1);
        side_free(s);
}

static void ids_outside_their_range_end_the_connection(void **state) {
        json_t *cases[] = { json_integer(0),
                json_integer(-1),
                json_integer((INT64_C(1) << 53) + 1),
                json_string("1"),
                json_real(1.5),
                json_null() };
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                peer_welcome(s, &peer);
                peer_send(&peer, json_pack("{s:s, s:o}", "type", "reply", "id", cases[i]));
                RUN_UNTIL(s, peer.ended);
                peer_free(&peer);
        }
        assert_int_equal(s->n_requests, 0);
        side_free(s);
}

static void a_deadline_passes_alone_and_the_late_answer_is_ignored(void **state) {
        Side *s = side_new(NULL);
        int64_t slow, quick, late;
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        assert_int_equal(side_ask(s, PATIENCE, &slow), 0);
        assert_int_equal(side_ask(s, 20 * USEC_PER_MSEC, &quick), 0);
        assert_int_equal(side_ask(s, 60 * USEC_PER_MSEC, &late), 0);
        RUN_UNTIL(s, s->n_timeouts == 2);
        assert_int_equal(s->n_answers, 2);
        peer_send(&peer, frame_of("sent", quick));
        peer_send(&peer, frame_of("sent", late));
        peer_send(&peer, frame_of("sent", slow));
        RUN_UNTIL(s, s->n_answers == 3);
        side_settle(s);
        assert_int_equal(s->n_answers, 3);
        assert_true(plugin_link_is_up(s->link));
        peer_free(&peer);
        side_free(s);
}

static void a_plugin_that_leaves_a_quarter_of_its_window_unanswered_is_cut_off(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        for (int i = 0; i < STREAM_WINDOW_FRAMES / 4; i++)
                assert_int_equal(side_ask(s, USEC_PER_MSEC, NULL), 0);
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(s->n_answers, STREAM_WINDOW_FRAMES / 4);
        peer_free(&peer);
        side_free(s);
}

static void our_window_closes_at_its_count_and_opens_with_an_answer(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        for (int i = 0; i < STREAM_WINDOW_FRAMES; i++)
                assert_int_equal(side_ask(s, PATIENCE, NULL), 0);
        assert_false(plugin_link_may_ask(s->link));
        assert_int_equal(side_ask(s, PATIENCE, NULL), -ENOBUFS);
        RUN_UNTIL(s, json_array_size(peer.frames) == STREAM_WINDOW_FRAMES);
        peer_send(&peer, frame_of("sent", peer_id(&peer, 500)));
        RUN_UNTIL(s, s->n_answers == 1);
        assert_int_equal(side_ask(s, PATIENCE, NULL), 0);
        assert_int_equal(side_ask(s, PATIENCE, NULL), -ENOBUFS);
        peer_free(&peer);
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(s->n_resets, STREAM_WINDOW_FRAMES);
        assert_false(s->down_before_reset);
        side_free(s);
}

static void our_window_closes_at_its_bytes(void **state) {
        Side *s = side_new(NULL);
        char *big = calloc(1, 60001);
        Peer peer;
        int n = 0;

        (void) state;
        memset(big, 'x', 60000);
        peer_welcome(s, &peer);
        while (plugin_link_may_ask(s->link)) {
                assert_int_equal(plugin_link_ask(s->link,
                                                 json_pack("{s:s, s:s}",
                                                                 "type",
                                                                 "send",
                                                                 "text",
                                                                 big),
                                                 0,
                                                 side_on_answer,
                                                 s,
                                                 NULL),
                                0);
                n++;
        }
        assert_in_range(n, 16, STREAM_WINDOW_BYTES / 60000);
        free(big);
        peer_free(&peer);
        side_free(s);
}

static void a_plugin_that_floods_past_its_window_is_cut_off_and_may_come_back(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        for (int i = 1; i <= STREAM_WINDOW_FRAMES + 1; i++)
                peer_send(&peer, frame_of("reply", i));
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(s->n_requests, STREAM_WINDOW_FRAMES);
        assert_int_equal(plugin_link_answer(s->request, frame_of("ack", 0)), -ENOTCONN);
        peer_free(&peer);
        peer_welcome(s, &peer);
        peer_free(&peer);
        side_free(s);
}

static void a_plugin_that_exceeds_its_bytes_is_cut_off(void **state) {
        Side *s = side_new(NULL);
        char *big = calloc(1, 60001);
        Peer peer;

        (void) state;
        memset(big, 'x', 60000);
        peer_welcome(s, &peer);
        for (int i = 1; i <= STREAM_WINDOW_BYTES / 60000 + 1; i++)
                peer_send(&peer,
                                json_pack("{s:s, s:i, s:s}",
                                                "type",
                                                "reply",
                                                "id",
                                                i,
                                                "text",
                                                big));
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(s->n_requests, STREAM_WINDOW_BYTES / 60000);
        free(big);
        peer_free(&peer);
        side_free(s);
}

static void answered_requests_leave_the_window_and_their_ids_are_free(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        s->answer_at_once = true;
        peer_welcome(s, &peer);
        for (unsigned round = 0; round < 5; round++) {
                for (int i = 1; i <= STREAM_WINDOW_FRAMES; i++)
                        peer_send(&peer, frame_of("reply", i * 7919));
                RUN_UNTIL(s, json_array_size(peer.frames) == (round + 1) * STREAM_WINDOW_FRAMES);
        }
        assert_string_equal(peer_type(&peer, 3), "ack");
        assert_int_equal(peer_id(&peer, 3), 4 * 7919);
        assert_true(plugin_link_is_up(s->link));
        peer_free(&peer);
        side_free(s);
}

static void a_full_window_of_requests_is_answered_in_any_order(void **state) {
        Side *s = side_new(NULL);
        bool seen[STREAM_WINDOW_FRAMES] = { false };
        PluginRequest request;
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        for (int i = 0; i < STREAM_WINDOW_FRAMES; i++)
                peer_send(&peer, frame_of("reply", 1 + i * INT64_C(2048)));
        RUN_UNTIL(s, s->n_requests == STREAM_WINDOW_FRAMES);
        request = s->request;
        for (int i = 0; i < STREAM_WINDOW_FRAMES; i++) { /* 387 and 1,024 have no common divisor */
                request.id = 1 + (i * 387 % STREAM_WINDOW_FRAMES) * INT64_C(2048);
                assert_int_equal(plugin_link_answer(request, frame_of("ack", 0)), 0);
        }
        RUN_UNTIL(s, json_array_size(peer.frames) == STREAM_WINDOW_FRAMES);
        for (size_t i = 0; i < STREAM_WINDOW_FRAMES; i++) {
                bool *mark = &seen[(peer_id(&peer, i) - 1) / 2048];

                assert_false(*mark);
                *mark = true;
        }
        peer_free(&peer);
        side_free(s);
}

static void one_id_twice_ends_the_connection(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        peer_send(&peer, frame_of("reply", 5));
        peer_send(&peer, frame_of("reply", 5));
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(s->n_requests, 1);
        peer_free(&peer);
        side_free(s);
}

static void questions_are_canceled_when_the_set_goes(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        assert_int_equal(side_ask(s, PATIENCE, NULL), 0);
        s->set = plugin_set_free(s->set);
        assert_int_equal(s->n_canceled, 1);
        RUN_UNTIL(s, peer.ended);
        assert_int_equal(json_array_size(peer.frames), 1); /* what was queued still left */
        peer_free(&peer);
        side_free(s);
}

static void an_answer_too_large_for_a_frame_leaves_the_request_open(void **state) {
        Side *s = side_new(NULL);
        char *text = malloc(FRAME_CONTENT_MAX + 1);
        Peer peer;

        (void) state;
        assert_non_null(text);
        memset(text, 'x', FRAME_CONTENT_MAX);
        text[FRAME_CONTENT_MAX] = 0;
        peer_welcome(s, &peer);
        peer_send(&peer, frame_of("share.list", 7));
        RUN_UNTIL(s, s->n_requests == 1);
        for (int i = 0; i < 2; i++)
                assert_int_equal(plugin_link_answer(s->request,
                                                 json_pack("{s:s, s:s}",
                                                                 "type",
                                                                 "answer",
                                                                 "body",
                                                                 text)),
                                -EMSGSIZE);
        assert_int_equal(plugin_link_answer(s->request, json_pack("{s:s}", "type", "answer")), 0);
        RUN_UNTIL(s, json_array_size(peer.frames) == 1);
        assert_int_equal(peer_id(&peer, 0), 7);
        side_settle(s);
        assert_int_equal(json_array_size(peer.frames), 1);
        assert_true(plugin_link_is_up(s->link));
        peer_free(&peer);
        side_free(s);
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_question_gets_its_answer_once),
                cmocka_unit_test(an_answer_to_what_was_never_asked_ends_the_connection),
                cmocka_unit_test(ids_outside_their_range_end_the_connection),
                cmocka_unit_test(a_deadline_passes_alone_and_the_late_answer_is_ignored),
                cmocka_unit_test(
                                a_plugin_that_leaves_a_quarter_of_its_window_unanswered_is_cut_off),
                cmocka_unit_test(our_window_closes_at_its_count_and_opens_with_an_answer),
                cmocka_unit_test(our_window_closes_at_its_bytes),
                cmocka_unit_test(a_plugin_that_floods_past_its_window_is_cut_off_and_may_come_back),
                cmocka_unit_test(a_plugin_that_exceeds_its_bytes_is_cut_off),
                cmocka_unit_test(answered_requests_leave_the_window_and_their_ids_are_free),
                cmocka_unit_test(a_full_window_of_requests_is_answered_in_any_order),
                cmocka_unit_test(an_answer_too_large_for_a_frame_leaves_the_request_open),
                cmocka_unit_test(one_id_twice_ends_the_connection),
                cmocka_unit_test(questions_are_canceled_when_the_set_goes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
