/* How fast each sender id may send: a carrier that is given more than it agreed to blocks the
 * number. A bucket of tokens for each id, kept as one moment (ITU-T I.371 annex A, the virtual
 * scheduling form of the leaky bucket). Time is an argument; no I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        SMS_PACES_MAX = 64, /* sender ids; they come from the configuration */
        SMS_PACE_ID_SIZE = 22,
};

typedef struct SmsPace {
        uint64_t interval; /* microseconds for each message */
        uint64_t slack;    /* how much may be used ahead of time */
        uint64_t due;      /* when the next message would be due if none were sent ahead */
} SmsPace;

typedef struct SmsPaces {
        struct {
                char id[SMS_PACE_ID_SIZE];
                SmsPace pace;
        } ids[SMS_PACES_MAX];
        size_t n;
        uint32_t per_minute, burst;
} SmsPaces;

/* per_minute messages in the long run and burst at once, both at least 1; the bucket is full. */
void sms_pace_init(SmsPace *pace, uint32_t per_minute, uint32_t burst);

/* Takes n tokens at a time in microseconds if they are there: 0. Otherwise takes none, and returns
 * the microseconds to wait, at least 1. More than a bucket holds is given when it is full, and paid
 * for afterwards. A clock that goes back gives nothing away. */
uint64_t sms_pace_take(SmsPace *pace, uint32_t n, uint64_t now);

/* Every id of a sender gets a bucket of this size when it is first seen. */
void sms_paces_init(SmsPaces *paces, uint32_t per_minute, uint32_t burst);

/* The bucket of a sender id; NULL when it is too long, or there are too many. */
SmsPace *sms_paces_of(SmsPaces *paces, const char *id);
