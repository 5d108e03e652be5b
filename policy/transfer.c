/* See transfer.h. The interval is a function of the age alone: with growth by half, an interval of
 * i seconds begins 2 (i - 2) seconds after the first, so nothing has to be counted or stored. */
#include "transfer.h"

#include <stddef.h>
#include <string.h>

enum {
        SCHEDULE_LAST_SECONDS = 60,
        AGE_DIVISOR = 20,
        CHANCE_DIVISOR = 5,
};

static uint64_t interval_msec(int64_t age) {
        const uint64_t max = 1000 * (uint64_t) TRANSFER_POLL_MAX_SECONDS;
        uint64_t seconds = age > 0 ? (uint64_t) age : 0, schedule, by_age;

        if (seconds > (uint64_t) AGE_DIVISOR * TRANSFER_POLL_MAX_SECONDS)
                return max;
        schedule = TRANSFER_POLL_MIN_MSEC + 500 * seconds;
        if (schedule > 1000 * (uint64_t) SCHEDULE_LAST_SECONDS)
                schedule = 1000 * (uint64_t) SCHEDULE_LAST_SECONDS;
        by_age = 1000 * seconds / AGE_DIVISOR;
        return by_age > schedule ? by_age : schedule;
}

uint64_t transfer_poll_msec(int64_t age, uint32_t random) {
        const uint64_t max = 1000 * (uint64_t) TRANSFER_POLL_MAX_SECONDS;
        uint64_t interval = interval_msec(age);
        uint64_t chance = interval / CHANCE_DIVISOR * (random % 1024) / 1024;

        return interval + chance <= max ? interval + chance : max - (interval + chance - max);
}

uint64_t transfer_poll_later_msec(int64_t age, int64_t retry_after, uint32_t random) {
        uint64_t pace = transfer_poll_msec(age, random), wanted;

        if (retry_after > TRANSFER_POLL_MAX_SECONDS)
                retry_after = TRANSFER_POLL_MAX_SECONDS;
        wanted = retry_after > 0 ? 1000 * (uint64_t) retry_after : 0;
        return wanted > pace ? wanted : pace;
}

uint64_t transfer_first_poll_msec(int64_t age, uint32_t random) {
        const uint64_t min = TRANSFER_POLL_MIN_MSEC;

        return min + (interval_msec(age) - min) * (random % 65536) / 65536;
}

const char *transfer_party_name(TransferParty party) {
        switch (party) {
        case TRANSFER_INITIATOR:
                return "initiator";
        case TRANSFER_RECIPIENT:
                return "recipient";
        }
        return NULL;
}

const char *transfer_state_name(TransferState state) {
        switch (state) {
        case TRANSFER_QUEUED:
                return "queued";
        case TRANSFER_ACCEPTED:
                return "accepted";
        case TRANSFER_RECEIVED:
                return "received";
        case TRANSFER_REFUSED:
                return "refused";
        case TRANSFER_REPLACED:
                return "replaced";
        }
        return NULL;
}

const char *transfer_refusal(const char *word) {
        static const char *const words[] = { "envelope-box",
                "envelope-form",
                "envelope-differs",
                "envelope-expired",
                "envelope-too-long",
                "bad-provisioning",
                "unknown-key",
                "too-large" };

        for (size_t i = 0; word && i < sizeof(words) / sizeof(words[0]); i++)
                if (strcmp(words[i], word) == 0)
                        return words[i];
        return "relay-refused";
}
