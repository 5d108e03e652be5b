/* How many requests one address may make: a token bucket for each, in a table of fixed size. Time
 * is an argument. What is kept is a keyed hash of the address, in memory only. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "cleanup.h"

typedef struct RateLimit RateLimit;

/* rate: requests per second and address, with a burst of two seconds' worth. -ENOMEM. */
int rate_limit_new(RateLimit **ret, unsigned rate);
RateLimit *rate_limit_free(RateLimit *limit);
DEFINE_CLEANUP(RateLimit, rate_limit_free)

/* 0: go on. Otherwise the seconds to wait, for Retry-After. An IPv6 address counts by its
 * first 64 bits, one that stands for an IPv4 address by that one. */
unsigned rate_limit_take(RateLimit *limit, const struct sockaddr *address, uint64_t now_usec);
