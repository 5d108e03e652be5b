/* Draft R's messages, each at a location of its own, in the relay's database. A location is the
 * only key to its message, so that only its hash is kept. All functions but drop_store_new() belong
 * into a transaction of relay-database.h, whose errors they return. */
#pragma once

#include <stdint.h>

#include "drop-request.h"
#include "relay-database.h"

typedef struct DropStore DropStore;

enum {
        DROP_STORE_E_NONE = 1, /* nothing is there */
        DROP_STORE_E_FULL = 2, /* no room is left; nothing was changed */
};

typedef struct DropMessage {
        int64_t number;
        int64_t expiration; /* seconds since 1970 */
        const void *data;   /* borrowed until the next find or the end of the transaction */
        size_t size;
} DropMessage;

/* Borrows the database, and must be freed before it. */
int drop_store_new(DropStore **ret, RelayDatabase *database);
DropStore *drop_store_free(DropStore *store);
DEFINE_CLEANUP(DropStore, drop_store_free)

/* An expired message is found until it is swept: the caller compares the expiration.
 * DROP_STORE_E_NONE. */
int drop_store_find(DropStore *store, const uint8_t location[DROP_LOCATION_SIZE], DropMessage *ret);

/* Nothing may be at the location. DROP_STORE_E_FULL. */
int drop_store_insert(DropStore *store,
                const uint8_t location[DROP_LOCATION_SIZE],
                const void *data,
                size_t size,
                int64_t expiration);
int drop_store_delete(DropStore *store, int64_t number);

/* Deletes at most limit messages that expired at or before now. *ret is how many. The cost is that
 * of those which go. */
int drop_store_sweep(DropStore *store, int64_t now, unsigned limit, unsigned *ret);

/* As of mailbox-store.h. */
uint64_t drop_store_n_sweep_steps(const DropStore *store);
