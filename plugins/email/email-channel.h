/* The channel: what the gateway asks becomes mails, what arrives becomes frames, and neither side
 * is told more than is true. What routes call is in mail-route.h.
 *
 * `sent` is answered when the mail server has taken a mail over, for which it answers from then on.
 * The same message asked again while it is on its way is not sent twice: the newer question gets
 * the answer. One whose answer came so late that the gateway may have asked again is remembered for
 * a while, and then is `sent` without another mail; a message that the gateway asks for again after
 * that is one that somebody wants to be sent again, with the same bytes.
 *
 * A reply is settled with its route when the gateway has made it durable. A report about a mail of
 * ours is told as `failed` or `delivered` where a token proves which one it is about. */
#pragma once

#include "mail-submit.h"

/* The whole program; returns its exit status. */
int email_channel_main(int argc, char **argv, const MailSubmitPatience *patience);
