/* The addresses of a host name, without holding up the loop: getaddrinfo() has no form that does
 * not block, so it runs in a thread of its own. That thread is never waited for: whoever has had
 * enough frees the lookup, and the thread, once resolv.conf's timeouts have ended it, frees what is
 * left. A literal address needs no thread. */
#pragma once

#include <netdb.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

typedef struct SmppLookup SmppLookup;

/* Called once, on the loop. The addresses are the callee's, for freeaddrinfo(); NULL: there are
 * none. The lookup may be freed in here. */
typedef void (*SmppLookupDone)(struct addrinfo *addresses, void *userdata);

/* Negative errno. */
int smpp_lookup_new(SmppLookup **ret,
                sd_event *event,
                const char *host,
                uint16_t port,
                SmppLookupDone done,
                void *userdata);

SmppLookup *smpp_lookup_free(SmppLookup *lookup);
DEFINE_CLEANUP(SmppLookup, smpp_lookup_free)
