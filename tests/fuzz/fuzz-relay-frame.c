/* The gateway's frames to the relay client, of every kind and for both protocols. */
#include <assert.h>
#include <stdint.h>

#include "cleanup.h"
#include "frame.h"
#include "json-read.h"
#include "relay-frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(const RelayFrame *frame) {
        assert(frame->box && frame->box_kid && frame->kid && json_is_object(frame->envelope));
        assert((frame->kind == RELAY_FRAME_UPDATE) == (frame->number > 0));
        if (frame->kind == RELAY_FRAME_UPDATE)
                return;
        assert(frame->title && frame->description && frame->image_url && frame->rights);
        assert(frame->vertical && frame->expiration > 1795262400);
}

static void read_as(RelayFrameKind kind, const json_t *object, bool has_claims) {
        const char *reason = NULL;
        RelayFrame frame;
        int r;

        r = relay_frame_read(kind, object, has_claims, 1795262400, &frame, &reason);
        assert((r == RELAY_FRAME_E_REFUSED) == (reason != NULL));
        if (r != 0)
                return;
        assert(frame.kind == kind && frame.share[0] && (frame.number == 0 || frame.kid));
        assert(!has_claims || kind == RELAY_FRAME_ACKNOWLEDGE || frame.claim);
        if (kind == RELAY_FRAME_CREATE || kind == RELAY_FRAME_UPDATE)
                check_written(&frame);
        else
                assert(!frame.box && !frame.envelope);
        relay_frame_done(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_auto_t *object = NULL;
        JsonProblem problem;

        if (json_read(data, size, FRAME_DEPTH_MAX, &object, &problem) != 0)
                return 0;
        for (RelayFrameKind kind = 0; kind < _RELAY_FRAME_KIND_MAX; kind++) {
                read_as(kind, object, true);
                read_as(kind, object, false);
        }
        return 0;
}
