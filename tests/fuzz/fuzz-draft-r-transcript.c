/* A run of Draft R as octets: what is read writes the same again, and can be gone on with. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "draft-r-transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void go_on(DraftRTranscript *run) {
        _cleanup_(freep) char *url = NULL;
        DraftRSlot slot;
        int r;

        assert(!draft_r_transcript_is_ours(run) || !draft_r_transcript_is_theirs(run));
        if (run->aborted || run->next == DRAFT_R_MESSAGES_MAX)
                return;
        r = draft_r_transcript_slot(run, &slot);
        assert(r == 0 || (r == DRAFT_R_E_CONTEXT && run->mode == DRAFT_R_CONTEXT_RAW));
        if (r == 0)
                assert(draft_r_template_expand(run->template, slot.location, &url) == 0);
        draft_r_transcript_add(run, "0123456789", 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(secret_done) Secret again = SECRET_NULL;
        DraftRTranscript run;
        int r;

        r = draft_r_transcript_read(data, size, &run);
        assert(r == 0 || r == DRAFT_R_E_STATE);
        if (r != 0)
                return 0;
        assert(draft_r_transcript_write(&run, &again) == 0);
        assert(again.size == size && memcmp(again.data, data, size) == 0);
        go_on(&run);
        draft_r_transcript_done(&run);
        return 0;
}
