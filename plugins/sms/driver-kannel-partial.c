#include "driver-kannel-partial.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

typedef struct KannelPartial {
        TAILQ_ENTRY(KannelPartial) entry;
        unsigned n_segments, segment;
        uint16_t reference;
        char message[];
} KannelPartial;

void kannel_partials_init(KannelPartials *partials) {
        TAILQ_INIT(&partials->list);
        partials->n = 0;
}

static void partial_free(KannelPartials *partials, KannelPartial *p) {
        TAILQ_REMOVE(&partials->list, p, entry);
        partials->n--;
        free(p);
}

void kannel_partials_done(KannelPartials *partials) {
        KannelPartial *p;

        while ((p = TAILQ_FIRST(&partials->list)))
                partial_free(partials, p);
}

static KannelPartial *find(const KannelPartials *partials, const char *message) {
        KannelPartial *p;

        TAILQ_FOREACH(p, &partials->list, entry)
        if (streq(p->message, message))
                return p;
        return NULL;
}

void kannel_partials_keep(KannelPartials *partials, const SmsOutbound *outbound, unsigned segment) {
        size_t size = strlen(outbound->message) + 1;
        KannelPartial *p = calloc(1, sizeof(*p) + size);

        if (!p)
                return;
        memcpy(p->message, outbound->message, size);
        p->n_segments = outbound->plan->n_segments;
        p->reference = outbound->reference;
        p->segment = segment;
        TAILQ_INSERT_TAIL(&partials->list, p, entry);
        if (++partials->n > KANNEL_PARTIALS_MAX)
                partial_free(partials, TAILQ_FIRST(&partials->list));
}

unsigned kannel_partials_take(KannelPartials *partials, const SmsOutbound *outbound) {
        KannelPartial *p = find(partials, outbound->message);
        unsigned segment = 0;

        if (!p)
                return 0;
        if (p->n_segments == outbound->plan->n_segments && p->reference == outbound->reference)
                segment = p->segment;
        partial_free(partials, p);
        return segment;
}
