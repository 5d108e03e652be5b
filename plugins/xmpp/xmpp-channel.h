/* The channel: what the gateway asks becomes stanzas, what arrives becomes frames, and neither side
 * is told more than is true.
 *
 * `sent` is answered when the server has taken a message over (xmpp-stream.h), or when the
 * recipient's receipt came first. If the stream ends before, the answer is `failed`, not permanent,
 * and the gateway sends the message again under the same id. A person's reply is kept in memory
 * until the gateway has made it durable, and only then the sender gets the receipt that they asked
 * for (XEP-0184); a sender who gets none, because this program or the gateway died, repeats the
 * message, which is then the same `inbound`. */
#pragma once

#include "plugin.h"

/* Its callbacks are those of PluginOps. */
int xmpp_channel_start(Plugin *plugin, const json_t *settings, void **ret_state);
int xmpp_channel_request(
                Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame);
void xmpp_channel_stop(Plugin *plugin, void *state);
