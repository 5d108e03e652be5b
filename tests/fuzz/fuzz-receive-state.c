/* State files of vestibule-receive: what is read writes the same again, and has all that its phase
 * needs. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "receive-state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const ReceiveState *state) {
        _cleanup_(freep) char *text = NULL, *again = NULL;
        _cleanup_(receive_state_done) ReceiveState back;

        assert(state->phase < _RECEIVE_PHASE_MAX && state->number % 2 == 0);
        if (state->phase == RECEIVE_ANSWERING)
                assert(state->is_draft_r ? state->run && state->content
                                         : state->payload_type && state->payload_data);
        assert(receive_state_write(state, &text) == 0);
        assert(receive_state_read(text, strlen(text), &back) == 0);
        assert(receive_state_write(&back, &again) == 0);
        assert(streq(text, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ReceiveState state;

        if (receive_state_read(data, size, &state) == 0) {
                check(&state);
                receive_state_done(&state);
        }
        return 0;
}
