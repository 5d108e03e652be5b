/* Stored counters: whatever is read ages, is full where it was damaged, and is written as it was
 * read. The first byte chooses the kind. */
#include <assert.h>
#include <string.h>

#include "limit-rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1000000, LONG = 400 * 24 * 3600 };

static void check_kind(LimitKind kind, const uint8_t *data, size_t size) {
        uint8_t bytes[LIMITS_SIZE_MAX];
        LimitRecord record;
        int64_t wait;

        if (limits_read(&record, kind, data, size, NOW)) {
                assert(limits_write(&record, bytes) == size);
                assert(memcmp(bytes, data, size) == 0);
        } else
                assert(limits_wait(&record, 0, 100 * 1000 * 1000, 1, NOW) > 0);
        wait = limits_wait(&record, 0, 3, 1, NOW);
        assert(wait >= 0);
        (void) limits_age(&record, NOW);
        assert(!limits_age(&record, NOW));
        limits_add(&record, 0, 1, NOW);
        assert(limits_count(&record, 0, NOW) > 0);
        assert(limits_lock_wait(&record, NOW) >= 0 || kind != LIMIT_PAIR);
        if (kind == LIMIT_ROUTE)
                assert(limits_stop_wait(&record, NOW) <= LIMITS_STOP_SECONDS);
        if (kind == LIMIT_TENANT)
                assert(limits_pace_wait(&record, 60, 120, NOW) <= 61);
        if (kind == LIMIT_CHANNEL)
                (void) limits_usual_hour(&record, NOW);
        assert(limits_is_stale(&record, NOW + LONG));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size > 0)
                check_kind(1 + data[0] % (_LIMIT_KIND_MAX - 1), data + 1, size - 1);
        return 0;
}
