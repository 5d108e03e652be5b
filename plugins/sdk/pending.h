/* The requests of one direction that have no answer yet: a hash table of ids with their sizes, as
 * large as the protocol's window, so that it never grows and every step costs the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin.h"

enum {
        PENDING_MAX = 1024, /* requests, and */
        PENDING_BYTES_MAX = 1024 * 1024,
        PENDING_SLOTS = 2048, /* a power of two */
};

typedef struct Pending {
        int64_t id; /* 0: the slot is free */
        size_t size;
        uint64_t due;           /* CLOCK_BOOTTIME; 0: never */
        PluginAnswer on_answer; /* NULL: nobody waits for it any more */
        void *userdata;
} Pending;

typedef struct PendingTable {
        Pending slots[PENDING_SLOTS];
        size_t n, n_bytes;
} PendingTable;

/* True when a request of that size fits the window. */
bool pending_fits(const PendingTable *table, size_t size);

/* Adds a copy. The id must not be there, and there must be fewer than PENDING_MAX. */
void pending_add(PendingTable *table, const Pending *entry);

/* Valid until the next change. NULL: not there. */
Pending *pending_find(PendingTable *table, int64_t id);

/* Removes the entry and copies it to *ret. False: not there. */
bool pending_take(PendingTable *table, int64_t id, Pending *ret);
