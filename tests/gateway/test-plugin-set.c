/* Links on real sockets: handshake, misbehaviour, replacement, reload, and the sockets themselves.
 */
#include "test-plugin-set-side.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static void hello_is_answered_with_welcome_and_the_settings(void **state) {
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        assert_int_equal(plugin_link_state(s->link), PLUGIN_LINK_WAITING);
        assert_false(plugin_link_may_ask(s->link));
        assert_int_equal(side_ask(s, 0, NULL), -ENOTCONN);
        peer_new(s, &peer);
        peer_send(&peer, peer_hello("channel", "echo", 0, 7, "reply"));
        RUN_UNTIL(s, json_array_size(peer.frames) == 1);
        assert_string_equal(peer_type(&peer, 0), "welcome");
        assert_string_equal(
                        json_string_value(json_object_get(
                                        json_object_get(json_array_get(peer.frames, 0), "settings"),
                                        "colour")),
                        "red");
        assert_true(plugin_link_is_up(s->link));
        assert_ptr_equal(plugin_set_find(s->set, CONFIG_ROLE_CHANNEL, "echo"), s->link);
        assert_null(plugin_set_find(s->set, CONFIG_ROLE_RELAY, "echo"));
        peer_free(&peer);
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(plugin_link_state(s->link), PLUGIN_LINK_WAITING);
        side_free(s);
}

static void a_hello_that_does_not_fit_is_refused_and_the_connection_ends(void **state) {
        json_t *cases[] = {
                peer_hello("relay", "echo", 1, 1, "reply"),
                peer_hello("channel", "xmpp", 1, 1, "reply"),
                peer_hello("channel", "echo", 2, 3, "reply"),
                peer_hello("channel", "echo", 0, 0, "reply"),
                peer_hello("channel", "echo", 1, 1, "!telepathy"),
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
                int fd = peer_connect(s->path);

                assert_int_equal(send(fd, cases[i].bytes, cases[i].size, 0), cases[i].size);
                side_settle(s);
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
        assert_int_equal(side_ask(s, 0, NULL), 0);
        peer_send(&old, frame_of("reply", 1));
        RUN_UNTIL(s, s->n_requests == 1);
        peer_welcome(s, &new);
        RUN_UNTIL(s, old.ended);
        assert_int_equal(s->n_resets, 1);
        assert_int_equal(s->n_down, 1);
        assert_int_equal(s->n_up, 2);
        assert_int_equal(plugin_link_answer(s->request, frame_of("ack", 0)), -ENOTCONN);
        assert_true(plugin_link_is_up(s->link));
        assert_int_equal(side_ask(s, 0, NULL), 0);
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
        fd = peer_connect(s->path);
        side_settle(s);
        assert_true(plugin_link_is_up(s->link));
        (void) close(fd);
        side_settle(s);
        assert_int_equal(s->n_down, 0);
        peer_free(&up);
        side_free(s);
}

static void closing_twice_is_closing_once(void **state) {
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

/* More frames lie in the buffer behind the one whose callback closes, and a callback may fail as
 * well. */
static void closing_from_inside_a_callback_is_safe(void **state) {
        static const char *const types[] = { "reply", "status", "sent" };
        Side *s = side_new(NULL);
        Peer peer;

        (void) state;
        for (unsigned i = 0; i < 2 * N_ELEMENTS(types); i++) {
                const char *type = types[i / 2];
                int64_t id = 0;

                peer_welcome(s, &peer);
                s->n_requests = s->n_events = s->n_answers = 0;
                s->return_request = s->return_event = i % 2 ? -EPROTO : 0;
                if (streq(type, "sent")) {
                        assert_int_equal(side_ask(s, PATIENCE, &id), 0);
                        assert_int_equal(side_ask(s, PATIENCE, NULL), 0);
                } else if (streq(type, "reply"))
                        id = 1;
                s->close_inside = true;
                peer_send(&peer, frame_of(type, id));
                peer_send(&peer, frame_of("status", 0));
                RUN_UNTIL(s, peer.ended);
                assert_int_equal(s->n_down, i + 1);
                assert_int_equal(s->n_requests + s->n_events + s->n_answers,
                                streq(type, "sent") ? 2 : 1); /* the other question was told */
                s->close_inside = false;
                peer_free(&peer);
        }
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
        assert_int_equal(plugin_set_new(&second, s->event, s->config, &side_ops, s), 0);
        assert_int_equal(plugin_set_start(second), -EADDRINUSE);
        second = plugin_set_free(second);

        (void) snprintf(path, sizeof(path), "%s", s->path);
        s->set = plugin_set_free(s->set);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        (void) close(fd); /* its file stays */
        assert_int_equal(plugin_set_new(&s->set, s->event, s->config, &side_ops, s), 0);
        assert_int_equal(plugin_set_start(s->set), 0);
        side_free(s);
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
                assert_int_equal(plugin_set_new(&s.set, s.event, s.config, &side_ops, &s), 0);
                s.link = plugin_set_link(s.set, 0);
                assert_int_equal(plugin_set_start(s.set), 0);
                assert_null(getenv("LISTEN_FDS"));
                assert_int_equal(fcntl(3, F_GETFD), -1); /* the stranger's is closed */
                (void) snprintf(s.path, sizeof(s.path), "%s", path);
                peer_new(&s, &peer);
                peer_send(&peer, peer_hello("relay", "main", 1, 1, "reply"));
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
                cmocka_unit_test(
                                unknown_requests_are_answered_and_senseless_frames_end_the_connection),
                cmocka_unit_test(broken_frames_end_the_connection_and_nothing_else),
                cmocka_unit_test(a_new_connection_replaces_the_old_one),
                cmocka_unit_test(a_connection_without_hello_does_not_disturb_the_one_that_is_up),
                cmocka_unit_test(closing_twice_is_closing_once),
                cmocka_unit_test(closing_from_inside_a_callback_is_safe),
                cmocka_unit_test(changed_settings_bring_the_plugin_back),
                cmocka_unit_test(a_stale_socket_is_replaced_and_a_live_one_is_not),
                cmocka_unit_test(sockets_of_systemd_are_taken_by_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
