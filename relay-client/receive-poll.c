#include "receive-poll.h"

#include "time-text.h"

#define DELAY_MIN (2 * USEC_PER_SEC)
#define DELAY_MAX (60 * USEC_PER_SEC)

uint64_t receive_poll_next(ReceivePoll *poll, uint32_t random) {
        poll->delay = poll->delay == 0 ? DELAY_MIN : poll->delay * 3 / 2;
        if (poll->delay > DELAY_MAX)
                poll->delay = DELAY_MAX;
        return poll->delay * 4 / 5 + poll->delay * 2 / 5 * random / UINT32_MAX;
}
