#include "clock.h"

#include "time-text.h"

void clock_start(Clock *c, int64_t wall, int64_t stored, uint64_t boot) {
        *c = (Clock){ .base = stored > wall ? stored : wall,
                .base_boot = boot,
                .suspect = stored > wall + CLOCK_AHEAD_SECONDS };
}

int64_t clock_now(const Clock *c, uint64_t boot) {
        return c->base + (int64_t) ((boot - c->base_boot) / USEC_PER_SEC);
}

ClockNews clock_observe(Clock *c, int64_t wall, uint64_t boot) {
        int64_t ahead = wall - clock_now(c, boot);

        if (boot - c->drift_since >= CLOCK_AGREEMENT_SECONDS * USEC_PER_SEC) {
                c->drift_since = boot;
                c->drift = 0;
        }
        /* Behind, drift, or what rounding leaves; many small steps are a large one. */
        if (ahead + c->drift <= CLOCK_STEP_SECONDS) {
                if (ahead > 1) {
                        c->base += ahead;
                        c->drift += ahead;
                }
                c->step_since = 0;
                return CLOCK_NEWS_NONE;
        }
        if (c->step_since == 0 || ahead > c->step_offset + CLOCK_STEP_SECONDS ||
                        ahead < c->step_offset - CLOCK_STEP_SECONDS) {
                c->step_since = boot;
                c->step_offset = ahead;
                return CLOCK_NEWS_STEP_SEEN;
        }
        if (boot - c->step_since < CLOCK_AGREEMENT_SECONDS * USEC_PER_SEC)
                return CLOCK_NEWS_NONE;

        c->base += ahead;
        c->step_since = 0;
        return CLOCK_NEWS_FOLLOWED;
}

void clock_accept(Clock *c, int64_t wall, uint64_t boot) {
        *c = (Clock){ .base = wall, .base_boot = boot };
}
