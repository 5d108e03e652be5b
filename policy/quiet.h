/* Hours of the day in which nobody is written to unasked, where the recipient is. Pure: the zone is
 * a function of the caller's. Moments are seconds since 1970-01-01 UTC. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Minutes since midnight, as a clock on the wall shows them: from the first, up to the second and
 * without it. Equal ones are no quiet hours. */
typedef struct QuietHours {
        int from, until;
} QuietHours;

/* The offset from UTC at a moment, in seconds, of a zone that userdata names. */
typedef int32_t (*QuietOffset)(int64_t moment, void *userdata);

typedef struct QuietZone {
        QuietOffset offset;
        void *userdata;
} QuietZone;

typedef enum QuietError {
        QUIET_E_FORM = 1, /* not like 21:00-08:00 */
} QuietError;

/* Reads "21:00-08:00": two times of the day that differ. */
int quiet_read(const char *text, QuietHours *ret);

bool quiet_is(const QuietHours *hours, int64_t moment, const QuietZone *zone);

/* The first moment from this one that is not quiet. */
int64_t quiet_end(const QuietHours *hours, int64_t moment, const QuietZone *zone);

/* When so many seconds have passed that were not quiet, a day for each of which at most 400. */
int64_t quiet_after(
                const QuietHours *hours, int64_t moment, int64_t seconds, const QuietZone *zone);
