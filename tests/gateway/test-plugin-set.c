/* Links on real sockets and processes: handshake, windows, deadlines, misbehaviour, restarts. A
 * peer is a frame stream on the same loop that keeps what it was sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "plugin-set.h"
#include "stream.h"
#include "time-text.h"

#define PATIENCE (20 * USEC_PER_SEC)

typedef struct Peer {
        FrameStream *stream;
        json_t *frames; /* what came, in order */
        bool ended;
} Peer;

/* A gateway with one link, and what its callbacks saw. */
typedef struct Side {
        sd_event *event;
        Config *config;
        PluginSet *set;
        PluginLink *link;
        char folder[64], path[96];
        unsigned n_up, n_down, n_requests, n_events, n_answers, n_resets, n_timeouts, n_canceled;
        json_t *answer; /* the last */
        PluginRequest request;
        int return_request, return_event;
        bool answer_at_once, down_before_reset;
} Side;

static void on_up(PluginLink *link, void *userdata) {
        Side *s = userdata;

        assert_true(plugin_link_is_up(link));
        s->n_up++;
}

static void on_down(PluginLink *link, void *userdata) {
        Side *s = userdata;

        assert_false(plugin_link_is_up(link));
        s->n_down++;
}

static int on_request(PluginRequest request, const char *type, json_t *frame, void *userdata) {
        Side *s = userdata;

        assert_non_null(type);
        assert_true(json_is_object(frame));
        s->n_requests++;
        s->request = request;
        if (s->answer_at_once)
                assert_int_equal(plugin_link_answer(request, json_pack("{s:s}", "type", "ack")), 0);
        return s->return_request;
}

static int on_event(PluginLink *link, const char *type, json_t *frame, void *userdata) {
        Side *s = userdata;

        assert_ptr_equal(link, s->link);
        assert_non_null(type);
        assert_non_null(frame);
        s->n_events++;
        return s->return_event;
}

static const PluginSetOps ops = { on_up, on_down, on_request, on_event };

static void on_answer(PluginLink *link, int error, json_t *answer, void *userdata) {
        Side *s = userdata;

        assert_ptr_equal(link, s->link);
        s->n_answers++;
        s->n_resets += error == -ECONNRESET;
        s->n_timeouts += error == -ETIMEDOUT;
        s->n_canceled += error == -ECANCELED;
        if (error == -ECONNRESET && s->n_down > 0)
                s->down_before_reset = true;
        assert_int_equal(answer != NULL, error == 0);
        json_decref(s->answer);
        s->answer = json_incref(answer);
}

static int peer_frame(FrameStream *stream, json_t *frame, void *userdata) {
        Peer *peer = userdata;

        (void) stream;
        return json_array_append(peer->frames, frame);
}

static void peer_end(FrameStream *stream, int error, const char *reason, void *userdata) {
        Peer *peer = userdata;

        (void) stream;
        (void) error;
        (void) reason;
        peer->ended = true;
}

/* Runs the loop until the condition holds. */
#define RUN_UNTIL(s, condition)                                            \
        do {                                                               \
                uint64_t run_end = time_boot() + PATIENCE;                 \
                while (!(condition)) {                                     \
                        assert_true(time_boot() < run_end);                \
                        assert_true(sd_event_run((s)->event, 10000) >= 0); \
                }                                                          \
        } while (0)

/* Runs the loop until nothing is left to do. */
static void settle(Side *s) {
        for (int idle = 0; idle < 3;)
                idle = sd_event_run(s->event, 1000) > 0 ? 0 : idle + 1;
}

static Side *side_new(const char *rest_of_channel) {
        Side *s = calloc(1, sizeof(*s));
        _cleanup_(freep) char *text = NULL, *problems = NULL;

        (void) snprintf(s->folder, sizeof(s->folder), "/tmp/test-plugin-set-XXXXXX");
        assert_non_null(mkdtemp(s->folder));
        (void) snprintf(s->path, sizeof(s->path), "%s/socket", s->folder);
        if (rest_of_channel)
                assert_true(asprintf(&text, "channel child { scheme = echo %s }", rest_of_channel) >
                                0);
        else
                assert_true(asprintf(&text,
                                            "channel echo { socket = \"%s\" settings { colour = "
                                            "red } }",
                                            s->path) > 0);
        if (config_parse(text, "test", &s->config, &problems) != 0)
                fail_msg("%s", problems);
        assert_true(sd_event_new(&s->event) >= 0);
        assert_int_equal(plugin_set_new(&s->set, s->event, s->config, &ops, s), 0);
        s->link = plugin_set_link(s->set, 0);
        assert_int_equal(plugin_set_start(s->set), 0);
        return s;
}

static void side_free(Side *s) {
        (void) plugin_set_free(s->set);
        (void) config_unref(s->config);
        sd_event_unref(s->event);
        json_decref(s->answer);
        assert_int_equal(rmdir(s->folder), 0); /* the socket is gone as well */
        free(s);
}

static int connect_to(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

static void peer_new(Side *s, Peer *peer) {
        *peer = (Peer){ .frames = json_array() };
        assert_int_equal(frame_stream_new(&peer->stream,
                                         s->event,
                                         connect_to(s->path),
                                         peer_frame,
                                         peer_end,
                                         peer),
                        0);
}

static void peer_free(Peer *peer) {
        (void) frame_stream_free(peer->stream);
        json_decref(peer->frames);
}

static void peer_send(Peer *peer, json_t *frame) {
        assert_int_equal(frame_stream_send_new(peer->stream, frame), 0);
}

static const char *peer_type(const Peer *peer, size_t i) {
        const char *type =
                        json_string_value(json_object_get(json_array_get(peer->frames, i), "type"));

        return type ? type : "";
}

static int64_t peer_id(const Peer *peer, size_t i) {
        return json_integer_value(json_object_get(json_array_get(peer->frames, i), "id"));
}

static json_t *hello(
                const char *role, const char *name, int low, int high, const char *capability) {
        return json_pack("{s:s, s:[i,i], s:s, s:s, s:s, s:[s]}",
                        "type",
                        "hello",
                        "protocol",
                        low,
                        high,
                        "role",
                        role,
                        "name",
                        name,
                        "version",
                        "9.8",
                        "capabilities",
                        capability);
}

static json_t *frame_of(const char *type, int64_t id) {
        return id ? json_pack("{s:s, s:I}", "type", type, "id", (json_int_t) id)
                  : json_pack("{s:s}", "type", type);
}

/* Connects and says hello. */
static void peer_welcome(Side *s, Peer *peer) {
        unsigned before = s->n_up;

        peer_new(s, peer);
        peer_send(peer, hello("channel", "echo", 1, 1, "receipt"));
        RUN_UNTIL(s, s->n_up > before && json_array_size(peer->frames) == 1);
        assert_string_equal(peer_type(peer, 0), "welcome");
        assert_int_equal(json_array_clear(peer->frames), 0);
}

static int ask(Side *s, uint64_t deadline, int64_t *ret_id) {
        return plugin_link_ask(s->link, frame_of("send", 0), deadline, on_answer, s, ret_id);
}

static void hello_is_answered_with_welcome_and_the_settings(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        assert_int_equal(plugin_link_state(s->link), PLUGIN_LINK_WAITING);
        assert_false(plugin_link_may_ask(s->link));
        assert_int_equal(ask(s, 0, NULL), -ENOTCONN);
        peer_new(s, &peer);
        peer_send(&peer, hello("channel", "echo", 0, 7, "reply"));
        RUN_UNTIL(s, json_array_size(peer.frames) == 1);
        assert_string_equal(peer_type(&peer, 0), "welcome");
        assert_string_equal(
                        json_string_value(json_object_get(
                                        json_object_get(json_array_get(peer.frames, 0), "settings"),
                                        "colour")),
                        "red");
        assert_true(plugin_link_is_up(s->link));
        assert_true(plugin_link_has_capability(s->link, "reply"));
        assert_false(plugin_link_has_capability(s->link, "receipt"));
        assert_string_equal(plugin_link_version(s->link), "9.8");
        assert_ptr_equal(plugin_set_find(s->set, CONFIG_ROLE_CHANNEL, "echo"), s->link);
        assert_null(plugin_set_find(s->set, CONFIG_ROLE_RELAY, "echo"));
        peer_free(&peer);
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(plugin_link_state(s->link), PLUGIN_LINK_WAITING);
        side_free(s);
}

static void a_hello_that_does_not_fit_is_refused_and_the_connection_ends(void **state) {
        json_t *cases[] = {
                hello("relay", "echo", 1, 1, "reply"),
                hello("channel", "xmpp", 1, 1, "reply"),
                hello("channel", "echo", 2, 3, "reply"),
                hello("channel", "echo", 0, 0, "reply"),
                hello("channel", "echo", 1, 1, "!telepathy"),
                json_pack("{s:s, s:s}", "type", "hello", "role", "channel"),
                json_pack("{s:s, s:[i], s:s, s:s, s:s}",
                                "type",
                                "hello",
                                "protocol",
                                1,
                                "role",
                                "channel",
                                "name",
                                "echo",
                                "version",
                                "1"),
                json_pack("{s:s, s:[i,i], s:s, s:s, s:s, s:[i]}",
                                "type",
                                "hello",
                                "protocol",
                                1,
                                1,
                                "role",
                                "channel",
                                "name",
                                "echo",
                                "version",
                                "1",
                                "capabilities",
                                5),
        };
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                assert_non_null(cases[i]);
                peer_new(s, &peer);
                peer_send(&peer, cases[i]);
                RUN_UNTIL(s, peer.ended);
                assert_int_equal(json_array_size(peer.frames), 1);
                assert_string_equal(peer_type(&peer, 0), "refuse");
                assert_non_null(json_string_value(
                                json_object_get(json_array_get(peer.frames, 0), "reason")));
                peer_free(&peer);
        }
        assert_int_equal(s->n_up, 0);
        peer_welcome(s, &peer);
        peer_free(&peer);
        side_free(s);
}

static void a_first_frame_that_is_not_hello_ends_the_connection(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_new(s, &peer);
        peer_send(&peer, frame_of("reply", 1));
        RUN_UNTIL(s, peer.ended);
        assert_int_equal(json_array_size(peer.frames), 0);
        assert_int_equal(s->n_requests, 0);
        peer_free(&peer);
        side_free(s);
}

static void a_question_gets_its_answer_once(void **state) {
        Side *s = side_new(NULL);
        int64_t first, second;
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        assert_int_equal(ask(s, PATIENCE, &first), 0);
        assert_int_equal(ask(s, 0, &second), 0);
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
        settle(s);
        assert_int_equal(s->n_answers, 2);
        assert_true(plugin_link_is_up(s->link));
        for (int i = 0; i < STREAM_WINDOW_FRAMES; i++) /* and it did not disturb the count */
                assert_int_equal(ask(s, PATIENCE, NULL), 0);
        assert_int_equal(ask(s, PATIENCE, NULL), -ENOBUFS);
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
                        assert_int_equal(ask(s, 0, &id), 0);
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
        assert_int_equal(ask(s, PATIENCE, &slow), 0);
        assert_int_equal(ask(s, 20 * USEC_PER_MSEC, &quick), 0);
        assert_int_equal(ask(s, 60 * USEC_PER_MSEC, &late), 0);
        RUN_UNTIL(s, s->n_timeouts == 2);
        assert_int_equal(s->n_answers, 2);
        peer_send(&peer, frame_of("sent", quick));
        peer_send(&peer, frame_of("sent", late));
        peer_send(&peer, frame_of("sent", slow));
        RUN_UNTIL(s, s->n_answers == 3);
        settle(s);
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
                assert_int_equal(ask(s, USEC_PER_MSEC, NULL), 0);
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(s->n_answers, STREAM_WINDOW_FRAMES / 4);
        peer_free(&peer);
        side_free(s);
}

static void a_forgotten_question_stays_silent(void **state) {
        Side *s = side_new(NULL);
        int64_t id;
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        assert_int_equal(ask(s, 20 * USEC_PER_MSEC, &id), 0);
        plugin_link_forget(s->link, id);
        plugin_link_forget(s->link, id);
        plugin_link_forget(s->link, 77);
        RUN_UNTIL(s, json_array_size(peer.frames) == 1);
        peer_send(&peer, frame_of("sent", id));
        settle(s);
        assert_int_equal(s->n_answers, 0);
        assert_true(plugin_link_is_up(s->link));
        peer_free(&peer);
        side_free(s);
}

static void our_window_closes_at_its_count_and_opens_with_an_answer(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        for (int i = 0; i < STREAM_WINDOW_FRAMES; i++)
                assert_int_equal(ask(s, PATIENCE, NULL), 0);
        assert_false(plugin_link_may_ask(s->link));
        assert_int_equal(ask(s, PATIENCE, NULL), -ENOBUFS);
        RUN_UNTIL(s, json_array_size(peer.frames) == STREAM_WINDOW_FRAMES);
        peer_send(&peer, frame_of("sent", peer_id(&peer, 500)));
        RUN_UNTIL(s, s->n_answers == 1);
        assert_int_equal(ask(s, PATIENCE, NULL), 0);
        assert_int_equal(ask(s, PATIENCE, NULL), -ENOBUFS);
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
                                                 on_answer,
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

static void unknown_requests_are_answered_and_senseless_frames_end_the_connection(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        s->return_request = PLUGIN_SET_E_UNSUPPORTED;
        peer_send(&peer, frame_of("dance", 5));
        RUN_UNTIL(s, json_array_size(peer.frames) == 1);
        assert_string_equal(peer_type(&peer, 0), "unsupported");
        assert_int_equal(peer_id(&peer, 0), 5);
        s->return_request = -EBADMSG;
        peer_send(&peer, frame_of("reply", 6));
        RUN_UNTIL(s, s->n_down == 1);
        peer_free(&peer);

        peer_welcome(s, &peer);
        peer_send(&peer, frame_of("status", 0));
        RUN_UNTIL(s, s->n_events == 1);
        s->return_event = -EBADMSG;
        peer_send(&peer, frame_of("status", 0));
        RUN_UNTIL(s, s->n_down == 2);
        peer_free(&peer);
        side_free(s);
}

static void broken_frames_end_the_connection_and_nothing_else(void **state) {
        static const struct {
                const char *bytes;
                size_t size;
        } cases[] = { { "\0\0\0\0", 4 },
                { "\0\1\0\1", 4 },
                { "\0\0\0\2{]", 6 },
                { "\0\0\0\2[]", 6 },
                { "\0\0\0\2{}", 6 },
                { "\0\0\0\1\xff", 5 } };
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char byte;
                int fd = connect_to(s->path);

                assert_int_equal(send(fd, cases[i].bytes, cases[i].size, 0), cases[i].size);
                settle(s);
                assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET);
                (void) close(fd);
        }
        peer_welcome(s, &peer);
        peer_free(&peer);
        side_free(s);
}

static void a_new_connection_replaces_the_old_one(void **state) {
        Side *s = side_new(NULL);
        Peer old, new;

        (void) state;
        peer_welcome(s, &old);
        assert_int_equal(ask(s, 0, NULL), 0);
        peer_send(&old, frame_of("reply", 1));
        RUN_UNTIL(s, s->n_requests == 1);
        peer_welcome(s, &new);
        RUN_UNTIL(s, old.ended);
        assert_int_equal(s->n_resets, 1);
        assert_int_equal(s->n_down, 1);
        assert_int_equal(s->n_up, 2);
        assert_int_equal(plugin_link_answer(s->request, frame_of("ack", 0)), -ENOTCONN);
        assert_true(plugin_link_is_up(s->link));
        assert_int_equal(ask(s, 0, NULL), 0);
        RUN_UNTIL(s, json_array_size(new.frames) == 1);
        peer_free(&old);
        peer_free(&new);
        side_free(s);
}

static void a_connection_without_hello_does_not_disturb_the_one_that_is_up(void **state) {
        Side *s = side_new(NULL);
        Peer up;
        int fd;

        (void) state;
        peer_welcome(s, &up);
        fd = connect_to(s->path);
        settle(s);
        assert_true(plugin_link_is_up(s->link));
        (void) close(fd);
        settle(s);
        assert_int_equal(s->n_down, 0);
        peer_free(&up);
        side_free(s);
}

static void closing_from_inside_a_callback_is_safe(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        plugin_link_close(s->link, "the test says so");
        plugin_link_close(s->link, "again");
        RUN_UNTIL(s, peer.ended);
        assert_int_equal(s->n_down, 1);
        peer_free(&peer);
        side_free(s);
}

static void questions_are_canceled_when_the_set_goes(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        assert_int_equal(ask(s, PATIENCE, NULL), 0);
        s->set = plugin_set_free(s->set);
        assert_int_equal(s->n_canceled, 1);
        RUN_UNTIL(s, peer.ended);
        assert_int_equal(json_array_size(peer.frames), 1); /* what was queued still left */
        peer_free(&peer);
        side_free(s);
}

static void changed_settings_bring_the_plugin_back(void **state) {
        Side *s = side_new(NULL);
        _cleanup_(freep) char *text = NULL, *problems = NULL;
        Config *before = s->config, *after = NULL;
        Peer peer;

        (void) state;
        peer_welcome(s, &peer);
        plugin_set_reconfigure(s->set, before);
        assert_true(plugin_link_is_up(s->link));
        assert_true(asprintf(&text,
                                    "channel echo { socket = \"%s\" settings { colour = blue } }",
                                    s->path) > 0);
        assert_int_equal(config_parse(text, "test", &after, &problems), 0);
        plugin_set_reconfigure(s->set, after);
        s->config = after;
        (void) config_unref(before);
        RUN_UNTIL(s, peer.ended);
        peer_free(&peer);
        peer_welcome(s, &peer);
        peer_free(&peer);
        side_free(s);
}

static void a_stale_socket_is_replaced_and_a_live_one_is_not(void **state) {
        Side *s = side_new(NULL);
        _cleanup_(plugin_set_freep) PluginSet *second = NULL;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char path[96];
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) state;
        assert_int_equal(plugin_set_new(&second, s->event, s->config, &ops, s), 0);
        assert_int_equal(plugin_set_start(second), -EADDRINUSE);
        second = plugin_set_free(second);

        (void) snprintf(path, sizeof(path), "%s", s->path);
        s->set = plugin_set_free(s->set);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        (void) close(fd); /* its file stays */
        assert_int_equal(plugin_set_new(&s->set, s->event, s->config, &ops, s), 0);
        assert_int_equal(plugin_set_start(s->set), 0);
        side_free(s);
}

/* --- processes ----------------------------------------------------------------------------------
 */

#define CHILD(mode) "exec = { " TEST_PYTHON ", \"" TEST_CHILD "\", " mode " }"

/* Asks the child to look around; its answer is in s->answer. */
static void look(Side *s) {
        unsigned before = s->n_answers;

        RUN_UNTIL(s, plugin_link_is_up(s->link));
        assert_int_equal(
                        plugin_link_ask(s->link, frame_of("look", 0), PATIENCE, on_answer, s, NULL),
                        0);
        RUN_UNTIL(s, s->n_answers > before);
        assert_non_null(s->answer);
}

static bool process_exists(pid_t pid) {
        return kill(pid, 0) == 0;
}

static void a_started_program_sees_nothing_of_ours(void **state) {
        Side *s;
        pid_t pid;
        int leak = open("/dev/zero", O_RDONLY); /* without close-on-exec */

        (void) state;
        assert_true(leak >= 0);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/creds", 1), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", "/run/notify", 1), 0);
        assert_int_equal(setenv("SECRET_OF_THE_GATEWAY", "x", 1), 0);
        s = side_new(CHILD("run"));
        look(s);
        assert_string_equal(json_string_value(json_object_get(s->answer, "credentials")),
                        "/run/creds/child");
        for (size_t i = 0; i < json_array_size(json_object_get(s->answer, "environment")); i++) {
                const char *name = json_string_value(
                                json_array_get(json_object_get(s->answer, "environment"), i));

                /* Python sets LC_CTYPE for itself. */
                if (strcmp(name, "PATH") != 0 && strcmp(name, "CREDENTIALS_DIRECTORY") != 0 &&
                                strcmp(name, "LC_CTYPE") != 0)
                        fail_msg("the child has %s", name);
        }
        assert_int_equal(json_array_size(json_object_get(s->answer, "descriptors")), 4);
        assert_int_equal(json_integer_value(json_array_get(
                                         json_object_get(s->answer, "descriptors"), 3)),
                        3);
        assert_string_equal(json_string_value(json_object_get(s->answer, "stdin")), "/dev/null");
        assert_int_equal(json_integer_value(json_object_get(s->answer, "blocked")), 0);
        pid = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        assert_int_equal(json_integer_value(json_object_get(s->answer, "group")), pid);
        assert_string_equal(json_string_value(json_array_get(
                                            json_object_get(s->answer, "arguments"), 1)),
                        "--gateway");
        side_free(s);
        assert_false(process_exists(pid));
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        (void) close(leak);
}

static void a_killed_program_comes_back_and_leaves_no_zombie(void **state) {
        Side *s = side_new(CHILD("run"));
        pid_t first, second;

        (void) state;
        look(s);
        first = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        assert_int_equal(ask(s, 0, NULL), 0);
        assert_int_equal(kill(first, SIGKILL), 0);
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(s->n_resets, 1);
        look(s);
        second = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        assert_true(first != second);
        assert_false(process_exists(first));
        assert_int_equal(s->n_up, 2);
        side_free(s);
        assert_false(process_exists(second));
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void a_program_whose_connection_was_cut_is_ended_and_started_again(void **state) {
        Side *s = side_new(CHILD("stay"));
        uint64_t start;
        pid_t first;

        (void) state;
        look(s);
        first = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        start = time_boot();
        plugin_link_close(s->link, "the test says so");
        RUN_UNTIL(s, s->n_up == 2);
        assert_true(time_boot() - start <
                        4 * USEC_PER_SEC); /* by SIGTERM; SIGKILL comes after five */
        assert_false(process_exists(first));
        side_free(s);
}

static void a_program_that_fails_and_fails_counts_as_down_and_is_tried_slower(void **state) {
        Side *s = side_new(CHILD("quit, 3"));
        uint64_t start = time_boot();

        (void) state;
        RUN_UNTIL(s, plugin_link_state(s->link) == PLUGIN_LINK_FAILED);
        assert_true(time_boot() - start >= 1500 * USEC_PER_MSEC); /* 0.1 + 0.2 + 0.4 + 0.8 */
        assert_int_equal(s->n_up, 0);
        side_free(s);
}

static void a_program_that_cannot_be_executed_is_no_error_of_the_start(void **state) {
        Side *s = side_new("exec = { /nonexistent/program }");

        (void) state;
        RUN_UNTIL(s, plugin_link_state(s->link) == PLUGIN_LINK_FAILED);
        side_free(s);
}

static void a_program_that_ignores_its_end_is_killed_when_the_set_goes(void **state) {
        Side *s = side_new(CHILD("deaf"));
        uint64_t start;
        pid_t pid;

        (void) state;
        look(s);
        pid = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        start = time_boot();
        side_free(s);
        assert_true(time_boot() - start < 5 * USEC_PER_SEC);
        assert_false(process_exists(pid));
}

static void a_program_ends_with_the_gateway_however_it_ends(void **state) {
        int pair[2];
        pid_t gateway, child = 0;
        uint64_t end;

        (void) state;
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        gateway = fork();
        if (gateway == 0) {
                Side *s = side_new(CHILD("stay"));

                look(s);
                child = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
                (void) rmdir(s->folder);
                _exit(write(pair[1], &child, sizeof(child)) == sizeof(child) && pause() ? 0 : 1);
        }
        (void) close(pair[1]);
        assert_int_equal(read(pair[0], &child, sizeof(child)), sizeof(child));
        (void) close(pair[0]);
        assert_true(process_exists(child));
        assert_int_equal(kill(gateway, SIGKILL), 0);
        assert_int_equal(waitpid(gateway, NULL, 0), gateway);
        for (end = time_boot() + PATIENCE; process_exists(child);) {
                char path[64], state_letter = 0;
                FILE *file;

                /* Whoever inherits it may not reap it here: a zombie has ended. */
                (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) child);
                file = fopen(path, "r");
                if (!file)
                        break;
                assert_true(fscanf(file, "%*d %*s %c", &state_letter) >= 0);
                (void) fclose(file);
                if (state_letter == 'Z')
                        break;
                assert_true(time_boot() < end);
                (void) usleep(2000);
        }
}

static void sockets_of_systemd_are_taken_by_name(void **state) {
        int status;
        pid_t pid;

        (void) state;
        pid = fork();
        if (pid == 0) { /* LISTEN_FDS begins at descriptor 3, which only a process of its own can
                           give up */
                char folder[] = "/tmp/test-plugin-set-XXXXXX", path[96], number[16];
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                _cleanup_(freep) char *problems = NULL;
                Side s = { 0 };
                Peer peer;
                int fd = socket(AF_UNIX, SOCK_STREAM, 0), i;

                assert_non_null(mkdtemp(folder));
                (void) snprintf(path, sizeof(path), "%s/main", folder);
                (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
                assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
                assert_int_equal(listen(fd, 5), 0);
                i = dup2(fd, 4);
                assert_int_equal(i, 4);
                assert_int_equal(dup2(fd, 3), 3);
                (void) snprintf(number, sizeof(number), "%d", (int) getpid());
                (void) setenv("LISTEN_PID", number, 1);
                (void) setenv("LISTEN_FDS", "2", 1);
                (void) setenv("LISTEN_FDNAMES", "stranger:relay-main", 1);

                assert_int_equal(config_parse("relay main { url = \"https://r.example\" }",
                                                 "t",
                                                 &s.config,
                                                 &problems),
                                0);
                assert_true(sd_event_new(&s.event) >= 0);
                assert_int_equal(plugin_set_new(&s.set, s.event, s.config, &ops, &s), 0);
                s.link = plugin_set_link(s.set, 0);
                assert_int_equal(plugin_set_start(s.set), 0);
                assert_null(getenv("LISTEN_FDS"));
                assert_int_equal(fcntl(3, F_GETFD), -1); /* the stranger's is closed */
                (void) snprintf(s.path, sizeof(s.path), "%s", path);
                peer_new(&s, &peer);
                peer_send(&peer, hello("relay", "main", 1, 1, "reply"));
                RUN_UNTIL(&s, s.n_up == 1);
                (void) unlink(path);
                (void) rmdir(folder);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hello_is_answered_with_welcome_and_the_settings),
                cmocka_unit_test(a_hello_that_does_not_fit_is_refused_and_the_connection_ends),
                cmocka_unit_test(a_first_frame_that_is_not_hello_ends_the_connection),
                cmocka_unit_test(a_question_gets_its_answer_once),
                cmocka_unit_test(an_answer_to_what_was_never_asked_ends_the_connection),
                cmocka_unit_test(ids_outside_their_range_end_the_connection),
                cmocka_unit_test(a_deadline_passes_alone_and_the_late_answer_is_ignored),
                cmocka_unit_test(
                                a_plugin_that_leaves_a_quarter_of_its_window_unanswered_is_cut_off),
                cmocka_unit_test(a_forgotten_question_stays_silent),
                cmocka_unit_test(our_window_closes_at_its_count_and_opens_with_an_answer),
                cmocka_unit_test(our_window_closes_at_its_bytes),
                cmocka_unit_test(a_plugin_that_floods_past_its_window_is_cut_off_and_may_come_back),
                cmocka_unit_test(a_plugin_that_exceeds_its_bytes_is_cut_off),
                cmocka_unit_test(answered_requests_leave_the_window_and_their_ids_are_free),
                cmocka_unit_test(a_full_window_of_requests_is_answered_in_any_order),
                cmocka_unit_test(one_id_twice_ends_the_connection),
                cmocka_unit_test(
                                unknown_requests_are_answered_and_senseless_frames_end_the_connection),
                cmocka_unit_test(broken_frames_end_the_connection_and_nothing_else),
                cmocka_unit_test(a_new_connection_replaces_the_old_one),
                cmocka_unit_test(a_connection_without_hello_does_not_disturb_the_one_that_is_up),
                cmocka_unit_test(closing_from_inside_a_callback_is_safe),
                cmocka_unit_test(questions_are_canceled_when_the_set_goes),
                cmocka_unit_test(changed_settings_bring_the_plugin_back),
                cmocka_unit_test(a_stale_socket_is_replaced_and_a_live_one_is_not),
                cmocka_unit_test(a_started_program_sees_nothing_of_ours),
                cmocka_unit_test(a_killed_program_comes_back_and_leaves_no_zombie),
                cmocka_unit_test(a_program_whose_connection_was_cut_is_ended_and_started_again),
                cmocka_unit_test(a_program_that_fails_and_fails_counts_as_down_and_is_tried_slower),
                cmocka_unit_test(a_program_that_cannot_be_executed_is_no_error_of_the_start),
                cmocka_unit_test(a_program_that_ignores_its_end_is_killed_when_the_set_goes),
                cmocka_unit_test(a_program_ends_with_the_gateway_however_it_ends),
                cmocka_unit_test(sockets_of_systemd_are_taken_by_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
