/* How fast a centre takes messages, learnt from how it refuses them: unlimited until it says
 * ESME_RTHROTTLED or ESME_RMSGQFUL, then a rest and half the pace that there was, and a sixteenth
 * less waiting for each second in which it does not say it again. Values in, values out; time is an
 * argument, in microseconds of a clock that does not go back. No I/O.
 *
 * A window's worth of refusals comes back at once and means one thing: those within a second of
 * each other slow down once. */
#pragma once

#include <stdint.h>

typedef struct SmppThrottle {
        uint64_t interval; /* between two messages; 0: unlimited */
        uint64_t due;      /* when the next one may be sent */
        uint64_t gap;      /* between the last ones that were sent, smoothed */
        uint64_t last;     /* when the last one was sent; 0: none was */
        uint64_t cut_at, eased_at;
        unsigned cuts; /* since the centre last took something */
} SmppThrottle;

/* 0 when a message may be sent now, else the microseconds until it may. */
uint64_t smpp_throttle_wait(const SmppThrottle *throttle, uint64_t now);

/* One is sent. */
void smpp_throttle_sent(SmppThrottle *throttle, uint64_t now);

/* The centre has taken one. */
void smpp_throttle_taken(SmppThrottle *throttle);

/* The centre wants it slower. */
void smpp_throttle_slower(SmppThrottle *throttle, uint64_t now);
