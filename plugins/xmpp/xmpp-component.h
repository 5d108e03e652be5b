/* Component connections (XEP-0114) on a libstrophe that is too old for them.
 *
 * Before 0.14, xmpp_connect_component() leaves the connection's stream-management state NULL and
 * then dereferences it: after the handshake, on a wrong secret and on a refused connect. A client
 * connection allocates it, even one that fails at once; so one is made to fail, and its state moved
 * over. This module can go when Debian 12 does, and with it libstrophe 0.12. */
#pragma once

#include <strophe.h>

/* Call once for each new connection object, before xmpp_connect_component(). -ENOMEM. */
int xmpp_component_prepare(xmpp_ctx_t *context, xmpp_conn_t *connection);
