#include "pending.h"

#include <assert.h>

static size_t home(int64_t id) {
        /* Fibonacci hashing spreads neighbours; the top 11 bits choose among 2,048 slots. */
        return (size_t) (((uint64_t) id * UINT64_C(0x9e3779b97f4a7c15)) >> 53);
}

static size_t next(size_t i) {
        return (i + 1) % PENDING_SLOTS;
}

bool pending_fits(const PendingTable *table, size_t size) {
        return table->n < PENDING_MAX && table->n_bytes + size <= PENDING_BYTES_MAX;
}

void pending_add(PendingTable *table, const Pending *entry) {
        size_t i = home(entry->id);

        assert(entry->id != 0);
        assert(table->n < PENDING_MAX);

        while (table->slots[i].id != 0) {
                assert(table->slots[i].id != entry->id);
                i = next(i);
        }
        table->slots[i] = *entry;
        table->n++;
        table->n_bytes += entry->size;
}

Pending *pending_find(PendingTable *table, int64_t id) {
        /* The table is at most half full, so a free slot ends every search. */
        for (size_t i = home(id); table->slots[i].id != 0; i = next(i))
                if (table->slots[i].id == id)
                        return &table->slots[i];
        return NULL;
}

bool pending_take(PendingTable *table, int64_t id, Pending *ret) {
        Pending *entry = pending_find(table, id);
        size_t hole, i;

        if (!entry)
                return false;
        *ret = *entry;
        table->n--;
        table->n_bytes -= entry->size;

        /* Close the gap: an entry moves back unless that would put it before its home. */
        hole = (size_t) (entry - table->slots);
        for (i = next(hole); table->slots[i].id != 0; i = next(i)) {
                size_t from_home = (i - home(table->slots[i].id)) % PENDING_SLOTS;
                size_t from_hole = (i - hole) % PENDING_SLOTS;

                if (from_home >= from_hole) {
                        table->slots[hole] = table->slots[i];
                        hole = i;
                }
        }
        table->slots[hole] = (Pending){ 0 };
        return true;
}
