#include "relay-stores.h"

int relay_stores_open(RelayStores *ret, const char *folder, const char **ret_reason) {
        _cleanup_(relay_stores_done) RelayStores stores = RELAY_STORES_NULL;
        int r;

        r = relay_database_open(&stores.database, folder, ret_reason);
        if (r == 0)
                r = mailbox_store_new(&stores.mailboxes, stores.database);
        if (r == 0)
                r = drop_store_new(&stores.drops, stores.database);
        if (r != 0)
                return r;
        *ret = stores;
        stores = RELAY_STORES_NULL;
        return 0;
}

void relay_stores_done(RelayStores *stores) {
        (void) drop_store_free(stores->drops);
        (void) mailbox_store_free(stores->mailboxes);
        (void) relay_database_free(stores->database);
        *stores = RELAY_STORES_NULL;
}

int relay_stores_sweep(const RelayStores *stores, int64_t now, unsigned limit, unsigned *ret) {
        unsigned n_mailboxes = 0, n_drops = 0;
        int r;

        r = relay_database_begin(stores->database);
        if (r < 0)
                return r;
        r = mailbox_store_sweep(stores->mailboxes, now, limit, &n_mailboxes);
        if (r == 0)
                r = drop_store_sweep(stores->drops, now, limit, &n_drops);
        if (r == 0)
                r = relay_database_commit(stores->database);
        if (r < 0) {
                relay_database_rollback(stores->database);
                return r;
        }
        *ret = n_mailboxes + n_drops;
        return 0;
}
