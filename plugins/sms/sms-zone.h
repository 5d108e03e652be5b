/* What the clocks of a place show, from the machine's zone files: when it is night there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Tells the seconds that a zone of the IANA database is ahead of UTC at a moment: an SmsZoneOffset,
 * whose context is not used. False: this machine does not know the zone. The process's own zone is
 * UTC from the first call on. One thread only. */
bool sms_zone_offset(void *context, const char *zone, int64_t seconds, int32_t *ret);
