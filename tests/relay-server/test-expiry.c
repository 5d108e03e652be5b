/* What expires costs what expires, however much is kept. Counted in steps of SQLite's machine, so
 * that no clock and no load has a say. */
#include "test.h"

#include <stdio.h>

#include "relay-stores.h"

enum {
        KEPT_FEW = 200,
        KEPT_MANY = 20000,
        EXPIRING = 100,
        EXPIRATION = 1000, /* of those; the others live on */
};

static void add(const RelayStores *stores, uint32_t n, int64_t expiration) {
        Mailbox mailbox = { .rights = 7, .expiration = expiration };
        MailboxClaim claim = { .has_mailbox = true, .expiration = expiration };
        uint8_t hash[32] = { 0 };

        /* Spread, as random values are. */
        for (size_t i = 0; i < 4; i++)
                hash[i] = (uint8_t) ((n * 2654435761u) >> (24 - 8 * i));
        memcpy(mailbox.initiator, hash, sizeof(mailbox.initiator));
        assert_int_equal(mailbox_store_insert(stores->mailboxes, hash, &mailbox, NULL, "{}", "{}"),
                        0);
        assert_int_equal(mailbox_store_set_claim(stores->mailboxes, hash, &claim, NULL), 0);
        assert_int_equal(drop_store_insert(stores->drops, hash, "m", 1, expiration), 0);
}

static uint64_t steps(const RelayStores *stores) {
        return mailbox_store_n_sweep_steps(stores->mailboxes) +
               drop_store_n_sweep_steps(stores->drops);
}

/* Fills a store in memory, lets EXPIRING of each kind expire, and returns what that cost. */
static uint64_t cost(uint32_t kept, uint64_t *ret_idle) {
        RelayStores stores = RELAY_STORES_NULL;
        const char *reason;
        uint64_t n_steps;
        unsigned n;

        assert_int_equal(relay_stores_open(&stores, NULL, &reason), 0);
        assert_int_equal(relay_database_begin(stores.database), 0);
        for (uint32_t i = 0; i < kept; i++)
                add(&stores, i, i % (kept / EXPIRING) == 0 ? EXPIRATION : 2 * EXPIRATION + i);
        assert_int_equal(relay_database_commit(stores.database), 0);

        assert_int_equal(relay_stores_sweep(&stores, EXPIRATION - 1, 500, &n), 0);
        assert_int_equal(n, 0);
        *ret_idle = steps(&stores);
        assert_int_equal(relay_stores_sweep(&stores, EXPIRATION, 500, &n), 0);
        assert_int_equal(n, 4 * EXPIRING); /* mailboxes, contents, claims, messages */
        n_steps = steps(&stores) - *ret_idle;
        relay_stores_done(&stores);
        return n_steps;
}

static void a_sweep_costs_the_same_among_few_and_among_many(void **state) {
        uint64_t idle_few, idle_many, few = cost(KEPT_FEW, &idle_few),
                                      many = cost(KEPT_MANY, &idle_many);

        (void) fprintf(stderr,
                        "# %d expire among %d: %llu steps, among %d: %llu; nothing expires: %llu "
                        "and %llu\n",
                        EXPIRING,
                        KEPT_FEW,
                        (unsigned long long) few,
                        KEPT_MANY,
                        (unsigned long long) many,
                        (unsigned long long) idle_few,
                        (unsigned long long) idle_many);
        assert_true(few > EXPIRING);
        assert_true(many <= few + few / 10);
        assert_true(idle_many <= idle_few && idle_few < 200);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_sweep_costs_the_same_among_few_and_among_many),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
