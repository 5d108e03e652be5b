#include "frame.h"

#include <errno.h>
#include <sodium.h>

#include "json-quick.h"
#include "json-read.h"

int frame_buffer_reserve(FrameBuffer *buffer, size_t size, uint8_t **ret) {
        size_t used = frame_buffer_size(buffer);

        if (!buffer->data || buffer->allocated - buffer->end < size) {
                if (buffer->start > 0 && buffer->allocated >= used + size &&
                                buffer->start >= buffer->allocated / 2) {
                        memcpy(buffer->data, buffer->data + buffer->start, used);
                        sodium_memzero(buffer->data + buffer->start, used);
                } else {
                        size_t allocated = buffer->allocated ? buffer->allocated : 4096;
                        uint8_t *data;

                        while (allocated < used + size)
                                allocated *= 2;
                        /* Not realloc(): what it leaves behind cannot be wiped. */
                        data = malloc(allocated);
                        if (!data)
                                return -ENOMEM;
                        if (used > 0)
                                memcpy(data, buffer->data + buffer->start, used);
                        if (buffer->data) {
                                /* All of it: a dump that did not fit left its beginning past the
                                 * end. */
                                sodium_memzero(buffer->data, buffer->allocated);
                                free(buffer->data);
                        }
                        buffer->data = data;
                        buffer->allocated = allocated;
                }
                buffer->start = 0;
                buffer->end = used;
        }

        *ret = buffer->data + buffer->end;
        return 0;
}

void frame_buffer_commit(FrameBuffer *buffer, size_t size) {
        buffer->end += size;
}

static uint32_t read_length(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

int frame_buffer_next(FrameBuffer *buffer, json_t **ret, const char **ret_reason) {
        json_auto_t *frame = NULL;
        JsonProblem problem;
        const uint8_t *p;
        uint32_t length;
        int r;

        if (frame_buffer_size(buffer) < FRAME_HEADER_SIZE)
                return FRAME_E_MORE;

        p = buffer->data + buffer->start;
        length = read_length(p);
        if (length == 0 || length > FRAME_CONTENT_MAX) {
                *ret_reason = "a frame's length must be 1 to 65536";
                return FRAME_E_BROKEN;
        }
        if (frame_buffer_size(buffer) < FRAME_HEADER_SIZE + length)
                return FRAME_E_MORE;

        r = json_read(p + FRAME_HEADER_SIZE, length, FRAME_DEPTH_MAX, &frame, &problem);
        if (r < 0)
                return r;
        if (r > 0) {
                *ret_reason = "a frame must be one JSON object, at most 16 deep, without repeated "
                              "members";
                return FRAME_E_BROKEN;
        }
        if (!json_is_string(json_object_get(frame, "type"))) {
                *ret_reason = "a frame must have a string member `type`";
                return FRAME_E_BROKEN;
        }

        frame_buffer_consume(buffer, FRAME_HEADER_SIZE + length);
        *ret = TAKE_PTR(frame);
        return 0;
}

int frame_buffer_append(FrameBuffer *buffer, const json_t *content) {
        uint8_t *room;
        size_t size;
        int r;

        /* One try with what is there, a second with what is needed. */
        r = frame_buffer_reserve(buffer, FRAME_HEADER_SIZE + 1024, &room);
        if (r < 0)
                return r;
        size = json_quick_write(content,
                        room + FRAME_HEADER_SIZE,
                        buffer->allocated - buffer->end - FRAME_HEADER_SIZE);
        if (size == 0)
                return -EINVAL;
        if (size > FRAME_CONTENT_MAX)
                return -EMSGSIZE;
        if (size > buffer->allocated - buffer->end - FRAME_HEADER_SIZE) {
                r = frame_buffer_reserve(buffer, FRAME_HEADER_SIZE + size, &room);
                if (r < 0)
                        return r;
                (void) json_quick_write(content, room + FRAME_HEADER_SIZE, size);
        }

        room[0] = (uint8_t) (size >> 24);
        room[1] = (uint8_t) (size >> 16);
        room[2] = (uint8_t) (size >> 8);
        room[3] = (uint8_t) size;
        frame_buffer_commit(buffer, FRAME_HEADER_SIZE + size);
        return 0;
}

void frame_buffer_consume(FrameBuffer *buffer, size_t size) {
        sodium_memzero(buffer->data + buffer->start, size);
        buffer->start += size;
        if (buffer->start == buffer->end)
                buffer->start = buffer->end = 0;
}

void frame_buffer_done(FrameBuffer *buffer) {
        if (buffer->data) {
                sodium_memzero(buffer->data, buffer->allocated);
                free(buffer->data);
        }
        *buffer = FRAME_BUFFER_NULL;
}
