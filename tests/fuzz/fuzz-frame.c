/* The frame codec, fed in pieces whose size the input chooses: what comes out whole must come out
 * of any cut, and what was read must be written and read again as the same value. */
#include <assert.h>
#include <errno.h>

#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(FrameBuffer *buffer, const uint8_t *data, size_t size) {
        uint8_t *room;

        assert(frame_buffer_reserve(buffer, size, &room) == 0);
        memcpy(room, data, size);
        frame_buffer_commit(buffer, size);
}

static void check_round_trip(const json_t *frame) {
        FrameBuffer buffer = FRAME_BUFFER_NULL;
        json_auto_t *again = NULL;
        const char *reason;
        int r;

        /* A control character is longer written than read, so a frame may not fit any more. */
        r = frame_buffer_append(&buffer, frame);
        assert(r == 0 || r == -EMSGSIZE);
        if (r == 0) {
                assert(frame_buffer_next(&buffer, &again, &reason) == 0);
                assert(json_equal(frame, again));
        }
        frame_buffer_done(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        FrameBuffer whole = FRAME_BUFFER_NULL, pieces = FRAME_BUFFER_NULL;
        size_t step, done = 0;
        int r;

        if (size < 1)
                return 0;
        step = data[0] ? data[0] : 256;
        data++, size--;
        feed(&whole, data, size);

        do {
                json_auto_t *frame = NULL;
                const char *reason;

                r = frame_buffer_next(&whole, &frame, &reason);
                for (;;) {
                        json_auto_t *same = NULL;
                        size_t n = size - done < step ? size - done : step;
                        int s = frame_buffer_next(&pieces, &same, &reason);

                        if (s == FRAME_E_MORE && n > 0) {
                                feed(&pieces, data + done, n);
                                done += n;
                                continue;
                        }
                        assert(r == s);
                        if (r == 0)
                                assert(json_equal(frame, same));
                        break;
                }
                if (r == 0)
                        check_round_trip(frame);
        } while (r == 0);

        frame_buffer_done(&whole);
        frame_buffer_done(&pieces);
        return 0;
}
