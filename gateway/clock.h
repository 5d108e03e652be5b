/* The gateway's time: what deadlines are compared with. It can neither be set back, which would
 * extend a deadline, nor be hurried by a wrong clock.
 *
 * At the start it is the later of the wall clock and the highest time stored; afterwards it
 * advances with CLOCK_BOOTTIME. The wall clock is followed forward at once by at most 30 s in ten
 * minutes; a larger step, or the sum of many, only after ten minutes of agreement; a backward step
 * never. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
        CLOCK_STEP_SECONDS = 30,
        CLOCK_AGREEMENT_SECONDS = 600,
        CLOCK_AHEAD_SECONDS = 3600,
};

typedef enum ClockNews {
        CLOCK_NEWS_NONE,
        CLOCK_NEWS_STEP_SEEN, /* the wall clock stepped forward: not followed yet */
        CLOCK_NEWS_FOLLOWED,  /* ten minutes later it still says so: followed */
} ClockNews;

typedef struct Clock {
        int64_t base;         /* the gateway's time, seconds, at base_boot */
        uint64_t base_boot;   /* microseconds of CLOCK_BOOTTIME */
        int64_t step_offset;  /* how far the wall clock is ahead, while that is watched */
        uint64_t step_since;  /* since when; 0: not */
        uint64_t drift_since; /* since when small steps are added up */
        int64_t drift;        /* their sum */
        bool suspect;         /* the store was more than an hour ahead at the start */
} Clock;

/* stored is the highest time in the store, 0 for none. */
void clock_start(Clock *clock, int64_t wall, int64_t stored, uint64_t boot);

/* The gateway's time in seconds. */
int64_t clock_now(const Clock *clock, uint64_t boot);

/* Compares with the wall clock; to be called about once a second. */
ClockNews clock_observe(Clock *clock, int64_t wall, uint64_t boot);

/* The operator says that the wall clock is right: adopts it, backwards too. */
void clock_accept(Clock *clock, int64_t wall, uint64_t boot);
