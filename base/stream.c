#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "frame.h"

struct FrameStream {
        int fd;
        sd_event *event;
        sd_event_source *io, *flush;
        FrameStreamFrame on_frame;
        FrameStreamEnd on_end;
        void *userdata;
        FrameBuffer in, out;
        size_t received_size, sent_size;
        bool reading, want_write, ended;
        bool resume; /* whole frames are buffered and wait for the next turn */
        unsigned in_callback;
        bool free_later;
};

static void stream_release(FrameStream *s) {
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->flush);
        s->io = s->flush = NULL;
        sd_event_unref(s->event);
        s->fd = close_fd(s->fd);
        frame_buffer_done(&s->in);
        frame_buffer_done(&s->out);
        free(s);
}

static void stream_leave(FrameStream *s) {
        if (--s->in_callback == 0 && s->free_later)
                stream_release(s);
}

static void stream_end(FrameStream *s, int error, const char *reason) {
        if (s->ended)
                return;
        s->ended = true;
        (void) sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(s->flush, SD_EVENT_OFF);
        if (!s->free_later)
                s->on_end(s, error, reason, s->userdata);
}

static void stream_update_events(FrameStream *s) {
        uint32_t events = (s->reading ? EPOLLIN : 0u) | (s->want_write ? EPOLLOUT : 0u);

        if (!s->ended)
                (void) sd_event_source_set_io_events(s->io, events);
}

static int stream_write(FrameStream *s) {
        while (frame_buffer_size(&s->out) > 0) {
                ssize_t n = send(s->fd,
                                s->out.data + s->out.start,
                                frame_buffer_size(&s->out),
                                MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0)
                        return -errno;
                frame_buffer_consume(&s->out, (size_t) n);
        }
        if (s->want_write != (frame_buffer_size(&s->out) > 0)) {
                s->want_write = !s->want_write;
                stream_update_events(s);
        }
        return 0;
}

/* Hands out buffered frames, at most STREAM_FRAMES_PER_DISPATCH; the rest waits for the next turn,
 * so that one loud peer cannot hold the loop. */
static void stream_deliver(FrameStream *s) {
        s->resume = false;
        for (unsigned n = 0; s->reading && !s->ended && !s->free_later; n++) {
                size_t size = frame_buffer_size(&s->in);
                json_auto_t *frame = NULL;
                const char *reason;
                int r;

                if (n == STREAM_FRAMES_PER_DISPATCH) {
                        s->resume = true;
                        (void) sd_event_source_set_enabled(s->flush, SD_EVENT_ONESHOT);
                        return;
                }
                r = frame_buffer_next(&s->in, &frame, &reason);
                if (r == FRAME_E_MORE)
                        return;
                if (r == FRAME_E_BROKEN) {
                        stream_end(s, -EPROTO, reason);
                        return;
                }
                if (r < 0) {
                        stream_end(s, r, strerror(-r));
                        return;
                }
                s->received_size = size - frame_buffer_size(&s->in) - FRAME_HEADER_SIZE;
                r = s->on_frame(s, frame, s->userdata);
                if (r < 0) {
                        stream_end(s, r, "a frame could not be accepted");
                        return;
                }
        }
}

static void stream_read(FrameStream *s) {
        uint8_t *room;
        ssize_t n;
        int r;

        r = frame_buffer_reserve(&s->in, 64 * 1024, &room);
        if (r < 0) {
                stream_end(s, r, strerror(-r));
                return;
        }
        n = recv(s->fd, room, 64 * 1024, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0) {
                stream_end(s, -errno, strerror(errno));
                return;
        }
        if (n == 0) {
                bool cut = frame_buffer_size(&s->in) > 0;

                stream_end(s,
                                cut ? -EPROTO : 0,
                                cut ? "closed in the middle of a frame" : "closed by the peer");
                return;
        }
        frame_buffer_commit(&s->in, (size_t) n);
        stream_deliver(s);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        FrameStream *s = userdata;
        int r;

        (void) source;
        (void) fd;
        s->in_callback++;
        if (revents & EPOLLOUT) {
                r = stream_write(s);
                if (r < 0)
                        stream_end(s, r, strerror(-r));
        }
        if (!s->ended && s->reading && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !s->resume)
                stream_read(s);
        else if (!s->ended && !s->reading && (revents & (EPOLLHUP | EPOLLERR)))
                stream_end(s, 0, "closed by the peer");
        stream_leave(s);
        return 0;
}

static int on_flush(sd_event_source *source, void *userdata) {
        FrameStream *s = userdata;
        int r;

        (void) source;
        s->in_callback++;
        r = stream_write(s);
        if (r < 0)
                stream_end(s, r, strerror(-r));
        if (!s->ended && s->resume)
                stream_deliver(s);
        stream_leave(s);
        return 0;
}

/* After what is ready already, so that its frames go in the same write: a deferred source keeps the
 * place in the queue that it got when it was made, so the last one would always come first. */
static void stream_flush_later(FrameStream *s) {
        sd_event_source *flush;
        int enabled;

        if (s->want_write || (sd_event_source_get_enabled(s->flush, &enabled) >= 0 &&
                                             enabled != SD_EVENT_OFF))
                return;
        if (sd_event_add_defer(s->event, &flush, on_flush, s) < 0) {
                (void) sd_event_source_set_enabled(s->flush, SD_EVENT_ONESHOT);
                return;
        }
        sd_event_source_disable_unref(s->flush);
        s->flush = flush;
}

int frame_stream_new(FrameStream **ret,
                sd_event *event,
                int fd,
                FrameStreamFrame on_frame,
                FrameStreamEnd on_end,
                void *userdata) {
        _cleanup_(frame_stream_freep) FrameStream *s = NULL;
        int r, flags;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = (FrameStream){ .fd = -1,
                .on_frame = on_frame,
                .on_end = on_end,
                .userdata = userdata,
                .event = sd_event_ref(event),
                .reading = true };

        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(event, &s->io, fd, EPOLLIN, on_io, s);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &s->flush, on_flush, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->flush, SD_EVENT_OFF);
        if (r < 0)
                return r;

        s->fd = fd;
        *ret = TAKE_PTR(s);
        return 0;
}

int frame_stream_send(FrameStream *s, const json_t *frame) {
        size_t before;
        int r;

        if (s->ended)
                return -EPIPE;
        before = frame_buffer_size(&s->out);
        if (before >= STREAM_QUEUE_BYTES)
                return -ENOBUFS;

        r = frame_buffer_append(&s->out, frame);
        if (r < 0)
                return r;
        s->sent_size = frame_buffer_size(&s->out) - before - FRAME_HEADER_SIZE;
        stream_flush_later(s);
        return 0;
}

int frame_stream_send_new(FrameStream *s, json_t *frame) {
        json_auto_t *owned = frame;

        if (!owned)
                return -ENOMEM;
        return frame_stream_send(s, owned);
}

void frame_stream_set_reading(FrameStream *s, bool reading) {
        if (s->reading == reading || s->ended)
                return;
        s->reading = reading;
        stream_update_events(s);
        if (reading) {
                s->resume = true;
                (void) sd_event_source_set_enabled(s->flush, SD_EVENT_ONESHOT);
        }
}

int frame_stream_flush(FrameStream *s) {
        return s->ended ? -EPIPE : stream_write(s);
}

size_t frame_stream_queued(const FrameStream *s) {
        return frame_buffer_size(&s->out);
}

size_t frame_stream_received_size(const FrameStream *s) {
        return s->received_size;
}

size_t frame_stream_sent_size(const FrameStream *s) {
        return s->sent_size;
}

FrameStream *frame_stream_free(FrameStream *s) {
        if (!s)
                return NULL;
        if (s->in_callback > 0) {
                s->free_later = true;
                s->ended = true;
                (void) sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
                (void) sd_event_source_set_enabled(s->flush, SD_EVENT_OFF);
                return NULL;
        }
        stream_release(s);
        return NULL;
}
