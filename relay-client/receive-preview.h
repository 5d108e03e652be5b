/* What the sender lets everybody see who has the link: title, description and picture. Looking
 * takes no hold on the mailbox, and the relay is told neither a claim nor the Secret. */
#pragma once

#include "receive-link.h"
#include "receive-options.h"

/* Prints {"title", "description", "imageURL"}, null where absent. 0, or the exit status of what was
 * said. */
int receive_preview(const ReceiveOptions *options, const ReceiveLink *link);
