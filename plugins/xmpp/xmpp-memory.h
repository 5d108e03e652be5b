/* Memory for libstrophe that is wiped before it is given back: stanzas carry codes and links, and
 * the connection carries the password. */
#pragma once

#include <strophe.h>

/* For xmpp_ctx_new(); static. */
const xmpp_mem_t *xmpp_memory(void);
