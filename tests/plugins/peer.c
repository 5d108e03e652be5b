#include "peer.h"

#include <sys/socket.h>
#include <sys/un.h>

void peer_pair(Peer *ret, sd_event *event, int *ret_fd) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        *ret = (Peer){ .event = event, .fd = fds[0] };
        *ret_fd = fds[1];
}

void peer_connect(Peer *ret, sd_event *event, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *ret = (Peer){ .event = event, .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
        assert_true(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path));
        assert_int_equal(connect(ret->fd, (struct sockaddr *) &address, sizeof(address)), 0);
        peer_settle(ret);
}

void peer_done(Peer *peer) {
        peer->fd = close_fd(peer->fd);
        frame_buffer_done(&peer->in);
}

void peer_settle(const Peer *peer) {
        if (sd_event_get_state(peer->event) == SD_EVENT_FINISHED)
                return;
        while (sd_event_run(peer->event, 0) > 0)
                if (sd_event_get_state(peer->event) == SD_EVENT_FINISHED)
                        return;
}

void peer_say_bytes(Peer *peer, const void *data, size_t size) {
        const uint8_t *p = data;

        /* A peer that has closed hears no more, which is for the test to find out. */
        while (size > 0) {
                ssize_t n = send(peer->fd, p, size, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno != EAGAIN)
                        break;
                if (n > 0)
                        p += n, size -= (size_t) n;
                else if (sd_event_run(peer->event, 0) <= 0)
                        fail_msg("the other end does not read");
        }
}

void peer_say(Peer *peer, json_t *frame) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
        json_auto_t *owned = frame;

        assert_non_null(owned);
        assert_int_equal(frame_buffer_append(&buffer, owned), 0);
        peer_say_bytes(peer, buffer.data + buffer.start, frame_buffer_size(&buffer));
}

void peer_say_content(Peer *peer, const char *content, size_t size) {
        uint8_t header[] = { (uint8_t) (size >> 24),
                (uint8_t) (size >> 16),
                (uint8_t) (size >> 8),
                (uint8_t) size };

        peer_say_bytes(peer, header, sizeof(header));
        peer_say_bytes(peer, content, size);
}

json_t *peer_hear(Peer *peer) {
        for (;;) {
                const char *reason;
                json_t *frame;
                uint8_t *room;
                ssize_t n;
                int r = frame_buffer_next(&peer->in, &frame, &reason);

                if (r == 0)
                        return frame;
                assert_int_equal(r, FRAME_E_MORE);
                if (peer->closed)
                        return NULL;

                peer_settle(peer);
                assert_int_equal(frame_buffer_reserve(&peer->in, 65536, &room), 0);
                n = recv(peer->fd, room, 65536, MSG_DONTWAIT);
                if (n < 0 && errno == EAGAIN)
                        return NULL;
                if (n <= 0)
                        peer->closed = true;
                else
                        frame_buffer_commit(&peer->in, (size_t) n);
        }
}

json_t *peer_hear_type(Peer *peer, const char *type) {
        json_t *frame = peer_hear(peer);

        if (!frame)
                fail_msg("heard nothing, not `%s`", type);
        assert_string_equal(frame_text(frame, "type"), type);
        return frame;
}

void peer_hears_nothing(Peer *peer) {
        json_t *frame = peer_hear(peer);

        if (frame)
                fail_msg("heard `%s`", frame_text(frame, "type"));
}

bool peer_is_closed(Peer *peer) {
        peer_hears_nothing(peer);
        return peer->closed;
}

const char *frame_text(const json_t *frame, const char *name) {
        const json_t *value = json_object_get(frame, name);

        if (!json_is_string(value))
                fail_msg("no text `%s`", name);
        return json_string_value(value);
}

int64_t frame_number(const json_t *frame, const char *name) {
        const json_t *value = json_object_get(frame, name);

        if (!json_is_integer(value))
                fail_msg("no number `%s`", name);
        return json_integer_value(value);
}
