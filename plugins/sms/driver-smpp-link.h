/* A connection to an SMS centre: octets to whole PDUs, and PDUs to octets, over TCP or TLS, on the
 * loop, which it never holds up. What the PDUs say is the session's (driver-smpp.h).
 *
 * Memory is bounded: a centre that does not read what it is told is not read from any more, and one
 * whose PDU has an impossible length loses the connection. Time is bounded as well: SMPP_LINK_TRY
 * for each address, SMPP_LINK_OPEN for all of it, name and handshake included, and a slice of a
 * turn for what has come. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "smpp-pdu.h"

enum {
        SMPP_LINK_TRY_SECONDS = 5,
        SMPP_LINK_OPEN_SECONDS = 15,
        SMPP_LINK_QUEUE_MAX = 256 * 1024, /* octets; above, nothing is read */
};

typedef struct SmppLink SmppLink;

typedef struct SmppLinkConfig {
        const char *host; /* a name or a literal address; borrowed, as is the context */
        uint16_t port;
        SSL_CTX *tls; /* NULL: without */
} SmppLinkConfig;

/* Called from the loop only. `end` is the last one; reason is a word in static memory, and the link
 * may be freed in there, but not in the others. */
typedef struct SmppLinkOps {
        void (*open)(void *userdata);
        void (*pdu)(const uint8_t *octets, size_t size, void *userdata);
        void (*end)(const char *reason, void *userdata);
} SmppLinkOps;

/* Begins to connect. Negative errno. */
int smpp_link_new(SmppLink **ret,
                sd_event *event,
                const SmppLinkConfig *config,
                const SmppLinkOps *ops,
                void *userdata);

/* Queues a PDU, which leaves at the end of the turn; lost when the link has ended. */
void smpp_link_write(SmppLink *link, const SmppOctets *pdu);

/* Ends the link once what is queued was handed to the socket, as far as that takes it; `end` is
 * called in a later turn. The first reason counts. */
void smpp_link_end(SmppLink *link, const char *reason);

/* Writes what the socket takes now, and frees without calling `end`. Takes NULL. */
SmppLink *smpp_link_free(SmppLink *link);
DEFINE_CLEANUP(SmppLink, smpp_link_free)
