/* The gateway's side and the peers that the tests of plugin-set.h use. */
#include "test-plugin-set-side.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

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
        if (s->close_inside)
                plugin_link_close(request.link, "the test says so");
        return s->return_request;
}

static int on_event(PluginLink *link, const char *type, json_t *frame, void *userdata) {
        Side *s = userdata;

        assert_ptr_equal(link, s->link);
        assert_non_null(type);
        assert_non_null(frame);
        s->n_events++;
        if (s->close_inside)
                plugin_link_close(link, "the test says so");
        return s->return_event;
}

const PluginSetOps side_ops = { on_up, on_down, on_request, on_event };

void side_on_answer(PluginLink *link, int error, json_t *answer, void *userdata) {
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
        if (s->close_inside)
                plugin_link_close(link, "the test says so");
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

void side_settle(Side *s) {
        for (int idle = 0; idle < 3;)
                idle = sd_event_run(s->event, 1000) > 0 ? 0 : idle + 1;
}

Side *side_new(const char *rest_of_channel) {
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
        assert_int_equal(plugin_set_new(&s->set, s->event, s->config, &side_ops, s), 0);
        s->link = plugin_set_link(s->set, 0);
        assert_int_equal(plugin_set_start(s->set), 0);
        return s;
}

void side_free(Side *s) {
        (void) plugin_set_free(s->set);
        (void) config_unref(s->config);
        sd_event_unref(s->event);
        json_decref(s->answer);
        assert_int_equal(rmdir(s->folder), 0); /* the socket is gone as well */
        free(s);
}

int peer_connect(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

void peer_new(Side *s, Peer *peer) {
        *peer = (Peer){ .frames = json_array() };
        assert_int_equal(frame_stream_new(&peer->stream,
                                         s->event,
                                         peer_connect(s->path),
                                         peer_frame,
                                         peer_end,
                                         peer),
                        0);
}

void peer_free(Peer *peer) {
        (void) frame_stream_free(peer->stream);
        json_decref(peer->frames);
}

void peer_send(Peer *peer, json_t *frame) {
        assert_int_equal(frame_stream_send_new(peer->stream, frame), 0);
}

const char *peer_type(const Peer *peer, size_t i) {
        const char *type =
                        json_string_value(json_object_get(json_array_get(peer->frames, i), "type"));

        return type ? type : "";
}

int64_t peer_id(const Peer *peer, size_t i) {
        return json_integer_value(json_object_get(json_array_get(peer->frames, i), "id"));
}

json_t *peer_hello(const char *role, const char *name, int low, int high, const char *capability) {
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

json_t *frame_of(const char *type, int64_t id) {
        return id ? json_pack("{s:s, s:I}", "type", type, "id", (json_int_t) id)
                  : json_pack("{s:s}", "type", type);
}

void peer_welcome(Side *s, Peer *peer) {
        unsigned before = s->n_up;

        peer_new(s, peer);
        peer_send(peer, peer_hello("channel", "echo", 1, 1, "receipt"));
        RUN_UNTIL(s, s->n_up > before && json_array_size(peer->frames) == 1);
        assert_string_equal(peer_type(peer, 0), "welcome");
        assert_int_equal(json_array_clear(peer->frames), 0);
}

int side_ask(Side *s, uint64_t deadline, int64_t *ret_id) {
        return plugin_link_ask(s->link, frame_of("send", 0), deadline, side_on_answer, s, ret_id);
}
