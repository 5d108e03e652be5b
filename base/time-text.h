/* Clocks and their text. Two clocks only: the wall clock, in whole seconds, for what people and the
 * store see, and CLOCK_BOOTTIME, in microseconds, for delays, leases and windows. */
#pragma once

#include <stdint.h>

enum {
        TIME_TEXT_SIZE = 21 /* 2026-11-22T12:00:00Z and the final NUL */
};

#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)

/* Seconds since 1970-01-01 UTC. */
int64_t time_wall(void);

/* Microseconds since the machine booted, suspension included. */
uint64_t time_boot(void);

/* RFC 3339 in UTC with a Z. A time outside the years 1970 to 9999 is written as the nearest inside.
 */
void time_text(int64_t seconds, char ret[TIME_TEXT_SIZE]);

/* Reads RFC 3339 `YYYY-MM-DDThh:mm:ss[.fraction](Z|+hh:mm|-hh:mm|+hhmm)`; the fraction is dropped,
 * a leap second counts as the second before it. -EBADMSG: another form, or outside those years. */
int time_from_text(const char *text, int64_t *ret);
