/* Which network addresses belong to the public internet, so that a stranger's URL leads to no
 * machine behind ours. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* True for global unicast IPv4 and IPv6, also inside the forms of IPv6 that carry IPv4: neither
 * loopback, private, link-local, shared, benchmarking, documentation, multicast nor reserved (the
 * IANA special-purpose registries of RFC 6890). */
bool public_address_is(const struct sockaddr *address);
