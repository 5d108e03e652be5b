/* The channel: what the gateway asks becomes stanzas, what arrives becomes frames, and neither side
 * is told more than is true.
 *
 * `sent` is answered when the server has taken a message over (xmpp-stream.h), or when the
 * recipient's receipt came first. If the stream ends before, the answer is `failed`, not permanent,
 * and the gateway sends the message again under the same id. A server that dies takes with it what
 * it had taken over and not yet passed on. So when the stream ends, the gateway is told `failed`,
 * not permanent, of each message that was answered `sent` in the last 10 seconds and of which no
 * receipt, bounce or quotation has come, and sends it again in the same way. A person's reply is
 * kept in memory until the gateway has made it durable, and only then the sender gets the receipt
 * that they asked for (XEP-0184); a sender who gets none, because this program or the gateway died,
 * repeats the message, which is then the same `inbound`. */
#pragma once

/* The whole program, but for the patience of xmpp-stream.h; returns its exit status. */
int xmpp_channel_main(int argc, char **argv);
