/* The database and the two stores in it, opened, swept and closed together. */
#pragma once

#include "drop-store.h"
#include "mailbox-store.h"

typedef struct RelayStores {
        RelayDatabase *database;
        MailboxStore *mailboxes;
        DropStore *drops;
} RelayStores;

#define RELAY_STORES_NULL ((RelayStores){ .database = NULL })

/* Errors are those of relay_database_open(); on an error nothing is left open. */
int relay_stores_open(RelayStores *ret, const char *folder, const char **ret_reason);
void relay_stores_done(RelayStores *stores);

/* Deletes what expired at or before now, at most limit of each kind, in a transaction of its own.
 * *ret is how many rows went; the cost is theirs, however much is kept. */
int relay_stores_sweep(const RelayStores *stores, int64_t now, unsigned limit, unsigned *ret);
