/* When to look again for the other side's message: 2 seconds, half as long again each time up to a
 * minute, each time up to a fifth shorter or longer so that many who wait do not ask together.
 * Pure: randomness is an argument. */
#pragma once

#include <stdint.h>

/* Begins as zeros, and again with each progress. */
typedef struct ReceivePoll {
        uint64_t delay; /* microseconds; the one before, without its share of chance */
} ReceivePoll;

/* Microseconds until the next look; random is any number. */
uint64_t receive_poll_next(ReceivePoll *poll, uint32_t random);
