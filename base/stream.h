/* A connected Unix socket that carries frames, on an sd-event loop. Used by both ends of the plugin
 * protocol. Writes gather during a turn of the loop and leave together at its end. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

enum {
        STREAM_WINDOW_FRAMES = 1024,
        STREAM_WINDOW_BYTES = 1024 * 1024,
        STREAM_FRAMES_PER_DISPATCH = 64,
        STREAM_QUEUE_BYTES = 16 * 1024 * 1024, /* 512 answers of the largest list */
};

typedef struct FrameStream FrameStream;

/* Called with each frame; the frame is borrowed. A negative return ends the stream as broken. */
typedef int (*FrameStreamFrame)(FrameStream *stream, json_t *frame, void *userdata);

/* Called once when the stream has ended: the peer closed it (error 0), broke the protocol (-EPROTO)
 * or the socket failed. reason is a sentence for the log. The callee may free the stream. */
typedef void (*FrameStreamEnd)(FrameStream *stream, int error, const char *reason, void *userdata);

/* Takes the descriptor over on success only. Negative errno. */
int frame_stream_new(FrameStream **ret,
                sd_event *event,
                int fd,
                FrameStreamFrame on_frame,
                FrameStreamEnd on_end,
                void *userdata);

/* Queues a frame; the caller keeps the object. -ENOBUFS: the peer does not read and
 * STREAM_QUEUE_BYTES are queued. -EMSGSIZE: too large for a frame. -EPIPE: the stream has ended.
 * The window of unanswered requests is the caller's to keep. */
int frame_stream_send(FrameStream *stream, const json_t *frame);

/* The same, and takes the object over, also on failure. */
int frame_stream_send_new(FrameStream *stream, json_t *frame);

/* Stops or resumes reading: back-pressure for a peer that sends faster than it may. */
void frame_stream_set_reading(FrameStream *stream, bool reading);

/* Writes what is queued now, as far as the socket takes it. For use before exit. */
int frame_stream_flush(FrameStream *stream);

/* Bytes queued and not yet written. */
size_t frame_stream_queued(const FrameStream *stream);

/* Bytes of the frame that on_frame is called with, and of the frame that was queued last, both
 * without the four bytes of length. For counting windows. */
size_t frame_stream_received_size(const FrameStream *stream);
size_t frame_stream_sent_size(const FrameStream *stream);

/* Closes and frees, without calling on_end. Takes NULL, returns NULL. Safe inside a callback. */
FrameStream *frame_stream_free(FrameStream *stream);
DEFINE_CLEANUP(FrameStream, frame_stream_free)
