/* The frame codec of plugins/PROTOCOL.md: four bytes of big-endian length, 1 to 65,536, then that
 * many bytes, which are one JSON object with a string member `type`. Bytes in, values out; no I/O.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

enum {
        FRAME_HEADER_SIZE = 4,
        FRAME_CONTENT_MAX = 65536,
        FRAME_DEPTH_MAX = 16,
};

typedef enum FrameError {
        FRAME_E_MORE = 1,   /* the buffer holds no whole frame yet */
        FRAME_E_BROKEN = 2, /* length, UTF-8, JSON or `type` is wrong: the connection must end */
} FrameError;

typedef struct FrameBuffer {
        uint8_t *data;
        size_t start, end, allocated;
} FrameBuffer;

#define FRAME_BUFFER_NULL ((FrameBuffer){ NULL, 0, 0, 0 })

/* Makes room for size bytes and points *ret at it; frame_buffer_commit() tells how many came. */
int frame_buffer_reserve(FrameBuffer *buffer, size_t size, uint8_t **ret);
void frame_buffer_commit(FrameBuffer *buffer, size_t size);

static inline size_t frame_buffer_size(const FrameBuffer *buffer) {
        return buffer->end - buffer->start;
}

/* Takes the next frame out. 0: *ret is the caller's. FRAME_E_MORE, FRAME_E_BROKEN (with a reason in
 * static memory). The buffer is left as it was on both. */
int frame_buffer_next(FrameBuffer *buffer, json_t **ret, const char **ret_reason);

/* Appends one frame. The content must be an object. -EMSGSIZE: larger than a frame may be. */
int frame_buffer_append(FrameBuffer *buffer, const json_t *content);

/* Drops size bytes from the front, after they were written out. */
void frame_buffer_consume(FrameBuffer *buffer, size_t size);

/* Wipes and frees: frames may have carried codes and links. */
void frame_buffer_done(FrameBuffer *buffer);
