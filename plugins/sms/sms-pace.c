#include "sms-pace.h"

#include <assert.h>
#include <string.h>

static const uint64_t usec_per_minute = UINT64_C(60000000);

void sms_pace_init(SmsPace *pace, uint32_t per_minute, uint32_t burst) {
        assert(pace);
        assert(per_minute >= 1 && burst >= 1);

        /* Rounded up: never faster than agreed. */
        pace->interval = (usec_per_minute + per_minute - 1) / per_minute;
        pace->slack = pace->interval * burst;
        pace->due = 0;
}

uint64_t sms_pace_take(SmsPace *pace, uint32_t n, uint64_t now) {
        uint64_t cost, due, ahead;

        assert(pace);

        cost = pace->interval * n;
        due = pace->due > now ? pace->due : now;
        ahead = due - now;
        /* A message in more parts than the bucket holds needs the whole bucket. */
        if (ahead + (cost < pace->slack ? cost : pace->slack) > pace->slack)
                return ahead + (cost < pace->slack ? cost : pace->slack) - pace->slack;
        pace->due = due + cost;
        return 0;
}

void sms_paces_init(SmsPaces *paces, uint32_t per_minute, uint32_t burst) {
        assert(paces);
        assert(per_minute >= 1 && burst >= 1);

        memset(paces, 0, sizeof(*paces));
        paces->per_minute = per_minute;
        paces->burst = burst;
}

SmsPace *sms_paces_of(SmsPaces *paces, const char *id) {
        assert(paces && id);

        for (size_t i = 0; i < paces->n; i++)
                if (strcmp(paces->ids[i].id, id) == 0)
                        return &paces->ids[i].pace;
        if (paces->n == SMS_PACES_MAX || strlen(id) >= SMS_PACE_ID_SIZE)
                return NULL;
        memcpy(paces->ids[paces->n].id, id, strlen(id) + 1);
        sms_pace_init(&paces->ids[paces->n].pace, paces->per_minute, paces->burst);
        return &paces->ids[paces->n++].pace;
}
