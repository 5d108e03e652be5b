#include "driver-smpp-throttle.h"

#include <assert.h>

#include "time-text.h"

#define INTERVAL_MIN (5 * USEC_PER_MSEC) /* of a cut; eased below a fifth of it, there is none */
#define INTERVAL_MAX (30 * USEC_PER_SEC)
#define REST_MAX (60 * USEC_PER_SEC)

uint64_t smpp_throttle_wait(const SmppThrottle *throttle, uint64_t now) {
        assert(throttle);

        return throttle->due > now ? throttle->due - now : 0;
}

static void ease(SmppThrottle *throttle, uint64_t now) {
        while (throttle->interval > 0 && now >= throttle->eased_at + USEC_PER_SEC) {
                throttle->eased_at += USEC_PER_SEC;
                throttle->interval -= throttle->interval / 16;
                if (throttle->interval < INTERVAL_MIN / 5)
                        throttle->interval = 0;
        }
}

void smpp_throttle_sent(SmppThrottle *throttle, uint64_t now) {
        uint64_t gap = throttle->last != 0 ? now - throttle->last : USEC_PER_SEC;

        assert(throttle);

        if (gap > USEC_PER_SEC)
                gap = USEC_PER_SEC;
        throttle->gap = throttle->last != 0 ? throttle->gap - throttle->gap / 8 + gap / 8 : 0;
        throttle->last = now;
        ease(throttle, now);
        if (throttle->interval > 0)
                throttle->due = now + throttle->interval;
}

void smpp_throttle_taken(SmppThrottle *throttle) {
        assert(throttle);

        throttle->cuts = 0;
}

void smpp_throttle_slower(SmppThrottle *throttle, uint64_t now) {
        uint64_t rest = USEC_PER_SEC;

        assert(throttle);

        if (throttle->cut_at != 0 && now - throttle->cut_at < USEC_PER_SEC)
                return;
        ease(throttle, now);
        throttle->cut_at = throttle->eased_at = now;
        throttle->interval = 2 * (throttle->interval > throttle->gap ? throttle->interval
                                                                     : throttle->gap);
        if (throttle->interval < INTERVAL_MIN)
                throttle->interval = INTERVAL_MIN;
        if (throttle->interval > INTERVAL_MAX)
                throttle->interval = INTERVAL_MAX;
        for (unsigned i = 0; i < throttle->cuts && rest < REST_MAX; i++)
                rest *= 2;
        throttle->cuts++;
        throttle->due = now + (rest < REST_MAX ? rest : REST_MAX);
}
