/* A frame stream on a real loop against a raw socket: fairness, back-pressure, bounds, and owners
 * that go away at the worst moment. */
#include "test.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "frame.h"
#include "stream.h"

typedef struct Side {
        sd_event *event;
        FrameStream *stream;
        int peer; /* the other end, raw */
        unsigned n_frames, n_ends, stop_after, free_after;
        size_t last_size;
        int refuse, error;
        bool free_at_end;
} Side;

static int on_frame(FrameStream *stream, json_t *frame, void *userdata) {
        Side *s = userdata;

        assert_int_equal(json_integer_value(json_object_get(frame, "n")), s->n_frames);
        s->n_frames++;
        s->last_size = frame_stream_received_size(stream);
        if (s->n_frames == s->stop_after)
                frame_stream_set_reading(stream, false);
        if (s->n_frames == s->free_after)
                s->stream = frame_stream_free(stream);
        return s->refuse;
}

static void on_end(FrameStream *stream, int error, const char *reason, void *userdata) {
        Side *s = userdata;

        assert_non_null(reason);
        s->n_ends++;
        s->error = error;
        if (s->free_at_end)
                s->stream = frame_stream_free(stream);
}

static int setup(void **state) {
        Side *s = calloc(1, sizeof(*s));
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_true(sd_event_new(&s->event) >= 0);
        assert_int_equal(frame_stream_new(&s->stream, s->event, fds[0], on_frame, on_end, s), 0);
        s->peer = fds[1];
        *state = s;
        return 0;
}

static int teardown(void **state) {
        Side *s = *state;

        frame_stream_free(s->stream);
        sd_event_unref(s->event);
        s->peer = close_fd(s->peer);
        free(s);
        return 0;
}

/* Runs the loop until nothing is left to do. */
static void settle(Side *s) {
        while (sd_event_run(s->event, 0) > 0)
                ;
}

static void one_turn(Side *s) {
        assert_true(sd_event_run(s->event, 0) > 0);
}

static void peer_writes(Side *s, const void *data, size_t size) {
        assert_int_equal(send(s->peer, data, size, MSG_DONTWAIT | MSG_NOSIGNAL), size);
}

/* Numbered frames, in one write. */
static void peer_sends(Side *s, unsigned first, unsigned n) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;

        for (unsigned i = 0; i < n; i++) {
                json_auto_t *frame = json_pack("{s:s, s:i}", "type", "x", "n", (int) (first + i));

                assert_int_equal(frame_buffer_append(&buffer, frame), 0);
        }
        peer_writes(s, buffer.data + buffer.start, frame_buffer_size(&buffer));
}

static size_t peer_reads(Side *s, uint8_t *data, size_t size) {
        ssize_t n = recv(s->peer, data, size, MSG_DONTWAIT);

        return n < 0 ? 0 : (size_t) n;
}

static json_t *numbered(unsigned n) {
        return json_pack("{s:s, s:i}", "type", "x", "n", (int) n);
}

static json_t *large(void) {
        char *text = malloc(60001);
        json_t *frame;

        memset(text, 'a', 60000);
        text[60000] = 0;
        frame = json_pack("{s:s, s:s}", "type", "x", "s", text);
        free(text);
        return frame;
}

static void frames_arrive_in_order_and_know_their_size(void **state) {
        Side *s = *state;

        peer_sends(s, 0, 10);
        settle(s);
        assert_int_equal(s->n_frames, 10);
        assert_int_equal(s->last_size, strlen("{\"type\":\"x\",\"n\":9}"));
        assert_int_equal(s->n_ends, 0);
}

static void a_frame_may_arrive_byte_by_byte(void **state) {
        static const uint8_t bytes[] = "\0\0\0\022{\"type\":\"x\",\"n\":0}";
        Side *s = *state;

        for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
                assert_int_equal(s->n_frames, 0);
                peer_writes(s, bytes + i, 1);
                settle(s);
        }
        assert_int_equal(s->n_frames, 1);
}

static void a_loud_peer_gets_64_frames_a_turn(void **state) {
        Side *s = *state;

        peer_sends(s, 0, 200);
        one_turn(s);
        assert_int_equal(s->n_frames, STREAM_FRAMES_PER_DISPATCH);
        one_turn(s);
        assert_int_equal(s->n_frames, 2 * STREAM_FRAMES_PER_DISPATCH);
        settle(s);
        assert_int_equal(s->n_frames, 200);
}

static void writes_gather_until_the_end_of_the_turn(void **state) {
        Side *s = *state;
        uint8_t bytes[4096];
        size_t queued;

        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(frame_stream_send_new(s->stream, numbered(i)), 0);
                assert_int_equal(frame_stream_sent_size(s->stream), i < 10 ? 18 : 19);
        }
        queued = frame_stream_queued(s->stream);
        assert_int_equal(queued, 10 * (4 + 18) + 10 * (4 + 19));
        assert_int_equal(peer_reads(s, bytes, sizeof(bytes)), 0);
        settle(s);
        assert_int_equal(peer_reads(s, bytes, sizeof(bytes)), queued);
        assert_int_equal(frame_stream_queued(s->stream), 0);
}

static int answer_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Side *s = userdata;

        (void) fd;
        (void) revents;
        assert_int_equal(frame_stream_send_new(s->stream, numbered(0)), 0);
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static void what_is_ready_at_once_is_answered_in_one_write(void **state) {
        sd_event_source *sources[2];
        Side *s = *state;
        uint8_t bytes[4096];
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        for (unsigned i = 0; i < 2; i++)
                assert_true(sd_event_add_io(s->event,
                                            &sources[i],
                                            fds[i],
                                            EPOLLOUT,
                                            answer_on_io,
                                            s) >= 0);
        one_turn(s);
        one_turn(s);
        assert_int_equal(peer_reads(s, bytes, sizeof(bytes)), 0);
        one_turn(s);
        assert_int_equal(peer_reads(s, bytes, sizeof(bytes)), 2 * (4 + 18));
        for (unsigned i = 0; i < 2; i++) {
                sd_event_source_disable_unref(sources[i]);
                fds[i] = close_fd(fds[i]);
        }
}

static void a_stream_that_does_not_read_loses_nothing(void **state) {
        Side *s = *state;

        s->stop_after = 5;
        peer_sends(s, 0, 100);
        settle(s);
        assert_int_equal(s->n_frames, 5);
        peer_sends(s, 100, 100);
        settle(s);
        assert_int_equal(s->n_frames, 5);

        frame_stream_set_reading(s->stream, true);
        settle(s);
        assert_int_equal(s->n_frames, 200);
        assert_int_equal(s->n_ends, 0);
}

static void a_stream_stopped_at_the_turn_s_last_frame_stays_stopped(void **state) {
        Side *s = *state;

        s->stop_after = STREAM_FRAMES_PER_DISPATCH;
        peer_sends(s, 0, 100);
        settle(s);
        assert_int_equal(s->n_frames, STREAM_FRAMES_PER_DISPATCH);
        frame_stream_set_reading(s->stream, true);
        settle(s);
        assert_int_equal(s->n_frames, 100);
}

static void a_peer_that_reads_slowly_gets_everything(void **state) {
        Side *s = *state;
        static uint8_t bytes[65536];
        size_t expected = 0, got = 0;

        for (unsigned i = 0; i < 5000; i++) {
                assert_int_equal(frame_stream_send_new(s->stream, numbered(i)), 0);
                expected += 4 + frame_stream_sent_size(s->stream);
        }
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(frame_stream_send_new(s->stream, large()), 0);
                expected += 4 + frame_stream_sent_size(s->stream);
        }
        settle(s);
        assert_true(frame_stream_queued(s->stream) > 0);
        while (got < expected) {
                size_t n = peer_reads(s, bytes, 1000);

                settle(s);
                assert_true(n > 0);
                got += n;
        }
        assert_int_equal(got, expected);
        assert_int_equal(frame_stream_queued(s->stream), 0);
}

/* More than 1,024 in all, never many at once: the queue need not run empty in between. */
static void a_steady_peer_is_never_cut_off(void **state) {
        Side *s = *state;
        static uint8_t bytes[65536];

        while (frame_stream_queued(s->stream) < 500000) {
                assert_int_equal(frame_stream_send_new(s->stream, large()), 0);
                settle(s);
        }
        for (unsigned i = 0; i < 5000; i++) {
                assert_int_equal(frame_stream_send_new(s->stream, numbered(i)), 0);
                if (frame_stream_queued(s->stream) > 100000)
                        (void) peer_reads(s, bytes, 30);
                settle(s);
                assert_true(frame_stream_queued(s->stream) > 0);
        }
}

static void a_peer_that_never_reads_fills_its_queue_and_no_more(void **state) {
        Side *s = *state;
        int r = 0;

        for (unsigned i = 0; r == 0 && i < 1000; i++) {
                r = frame_stream_send_new(s->stream, large());
                settle(s);
        }
        assert_int_equal(r, -ENOBUFS);
        assert_in_range(frame_stream_queued(s->stream),
                        STREAM_QUEUE_BYTES,
                        STREAM_QUEUE_BYTES + FRAME_CONTENT_MAX);
        assert_int_equal(s->n_ends, 0);
}

static void a_frame_that_is_too_large_is_refused_and_nothing_else(void **state) {
        Side *s = *state;
        json_t *frame = large();

        json_object_set_new(frame, "again", json_incref(json_object_get(frame, "s")));
        assert_int_equal(frame_stream_send_new(s->stream, frame), -EMSGSIZE);
        assert_int_equal(frame_stream_send_new(s->stream, NULL), -ENOMEM);
        assert_int_equal(frame_stream_queued(s->stream), 0);
        assert_int_equal(frame_stream_send_new(s->stream, numbered(1)), 0);
}

static void a_peer_that_closes_ends_the_stream_once(void **state) {
        Side *s = *state;

        peer_sends(s, 0, 100);
        s->peer = close_fd(s->peer);
        settle(s);
        assert_int_equal(s->n_frames, 100);
        assert_int_equal(s->n_ends, 1);
        assert_int_equal(s->error, 0);
        assert_int_equal(frame_stream_send_new(s->stream, numbered(1)), -EPIPE);
        assert_int_equal(frame_stream_flush(s->stream), -EPIPE);
}

static void a_cut_frame_is_a_broken_one(void **state) {
        Side *s = *state;

        peer_writes(s, "\0\0\0\022{\"type", 10);
        s->peer = close_fd(s->peer);
        settle(s);
        assert_int_equal(s->n_ends, 1);
        assert_int_equal(s->error, -EPROTO);
}

static void a_broken_frame_ends_the_stream_after_the_good_ones(void **state) {
        Side *s = *state;

        peer_sends(s, 0, 3);
        peer_writes(s, "\0\0\0\0", 4);
        peer_writes(s, "\0\0\0\022{\"type\":\"x\",\"n\":3}", 22);
        settle(s);
        assert_int_equal(s->n_frames, 3);
        assert_int_equal(s->n_ends, 1);
        assert_int_equal(s->error, -EPROTO);
}

static void a_frame_that_the_owner_refuses_ends_the_stream(void **state) {
        Side *s = *state;

        s->refuse = -EPROTO;
        peer_sends(s, 0, 3);
        settle(s);
        assert_int_equal(s->n_frames, 1);
        assert_int_equal(s->n_ends, 1);
}

static void writing_to_a_closed_peer_ends_the_stream(void **state) {
        Side *s = *state;

        frame_stream_set_reading(s->stream, false);
        s->peer = close_fd(s->peer);
        assert_int_equal(frame_stream_send_new(s->stream, numbered(1)), 0);
        settle(s);
        assert_int_equal(s->n_ends, 1);
}

static void a_closed_peer_is_noticed_without_reading(void **state) {
        Side *s = *state;

        frame_stream_set_reading(s->stream, false);
        s->peer = close_fd(s->peer);
        settle(s);
        assert_int_equal(s->n_ends, 1);
}

static void a_stream_may_be_freed_by_its_own_frame(void **state) {
        Side *s = *state;

        s->free_after = 2;
        s->refuse = 0;
        peer_sends(s, 0, 100);
        settle(s);
        assert_int_equal(s->n_frames, 2);
        assert_int_equal(s->n_ends, 0);
        assert_null(s->stream);
        assert_int_equal(send(s->peer, "x", 1, MSG_NOSIGNAL), -1);
}

static void a_stream_freed_and_refused_at_once_ends_silently(void **state) {
        Side *s = *state;

        s->free_after = 1;
        s->refuse = -EPROTO;
        peer_sends(s, 0, 2);
        settle(s);
        assert_int_equal(s->n_ends, 0);
        assert_null(s->stream);
}

static void a_stream_may_be_freed_by_its_own_end(void **state) {
        Side *s = *state;

        s->free_at_end = true;
        peer_sends(s, 0, 1);
        peer_writes(s, "\0\0\0\0", 4);
        settle(s);
        assert_int_equal(s->n_ends, 1);
        assert_null(s->stream);
}

static void a_stream_may_be_freed_with_frames_in_both_queues(void **state) {
        Side *s = *state;

        peer_sends(s, 0, 200);
        one_turn(s);
        assert_int_equal(frame_stream_send_new(s->stream, large()), 0);
        s->stream = frame_stream_free(s->stream);
        settle(s);
        assert_int_equal(s->n_frames, STREAM_FRAMES_PER_DISPATCH);
}

int main(void) {
#define stream_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                stream_test(frames_arrive_in_order_and_know_their_size),
                stream_test(a_frame_may_arrive_byte_by_byte),
                stream_test(a_loud_peer_gets_64_frames_a_turn),
                stream_test(writes_gather_until_the_end_of_the_turn),
                stream_test(what_is_ready_at_once_is_answered_in_one_write),
                stream_test(a_stream_that_does_not_read_loses_nothing),
                stream_test(a_stream_stopped_at_the_turn_s_last_frame_stays_stopped),
                stream_test(a_peer_that_reads_slowly_gets_everything),
                stream_test(a_steady_peer_is_never_cut_off),
                stream_test(a_peer_that_never_reads_fills_its_queue_and_no_more),
                stream_test(a_frame_that_is_too_large_is_refused_and_nothing_else),
                stream_test(a_peer_that_closes_ends_the_stream_once),
                stream_test(a_cut_frame_is_a_broken_one),
                stream_test(a_broken_frame_ends_the_stream_after_the_good_ones),
                stream_test(a_frame_that_the_owner_refuses_ends_the_stream),
                stream_test(writing_to_a_closed_peer_ends_the_stream),
                stream_test(a_closed_peer_is_noticed_without_reading),
                stream_test(a_stream_may_be_freed_by_its_own_frame),
                stream_test(a_stream_freed_and_refused_at_once_ends_silently),
                stream_test(a_stream_may_be_freed_by_its_own_end),
                stream_test(a_stream_may_be_freed_with_frames_in_both_queues),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
