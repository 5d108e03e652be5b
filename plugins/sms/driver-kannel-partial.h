/* How far a long message had come when Kannel took no more of it. When the gateway asks for it
 * again, it goes on there: to begin anew would be to pay again for what Kannel has. This memory is
 * this process's; it holds no text and no number. */
#pragma once

#include <stdint.h>
#include <sys/queue.h>

#include "sms-driver.h"

enum { KANNEL_PARTIALS_MAX = 1024 }; /* of more, the oldest is forgotten */

typedef struct KannelPartials {
        TAILQ_HEAD(, KannelPartial) list; /* the oldest first */
        unsigned n;
} KannelPartials;

void kannel_partials_init(KannelPartials *partials);
void kannel_partials_done(KannelPartials *partials);

/* Kannel has the segments before this one. Without memory they will be sent again. */
void kannel_partials_keep(KannelPartials *partials, const SmsOutbound *outbound, unsigned segment);

/* The first segment that Kannel does not have, and forgets it. */
unsigned kannel_partials_take(KannelPartials *partials, const SmsOutbound *outbound);
