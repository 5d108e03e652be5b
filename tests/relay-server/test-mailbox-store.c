/* What the store keeps, forgets, and refuses. Conformance tests kill the whole program; here a
 * store is left without a commit. */
#include "test.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "relay-stores.h"

static char folder[64];

static int make_folder(void **state) {
        (void) strcpy(folder, "/tmp/vestibule-store-XXXXXX");
        return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        return remove(path);
}

static int remove_folder(void **state) {
        return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static RelayStores stores;

static MailboxStore *open_store(void) {
        const char *reason;

        assert_int_equal(relay_stores_open(&stores, folder, &reason), 0);
        return stores.mailboxes;
}

static void add(MailboxStore *store, uint8_t n, int64_t expiration) {
        Mailbox mailbox = { .initiator = { n }, .rights = 7, .expiration = expiration };
        MailboxClaim claim = {
                .request_id = { n }, .has_mailbox = true, .mailbox = { n }, .expiration = expiration
        };
        uint8_t id[RELAY_ID_SIZE] = { n }, hash[RELAY_CLAIM_SIZE] = { n };

        assert_int_equal(mailbox_store_insert(store, id, &mailbox, NULL, "{\"d\":1}", "{\"p\":1}"),
                        0);
        assert_int_equal(mailbox_store_set_claim(store, hash, &claim, NULL), 0);
}

static int find(MailboxStore *store, uint8_t n, Mailbox *ret) {
        uint8_t id[RELAY_ID_SIZE] = { n };

        return mailbox_store_find(store, id, ret);
}

static int find_claim(MailboxStore *store, uint8_t n, MailboxClaim *ret) {
        uint8_t hash[RELAY_CLAIM_SIZE] = { n };

        return mailbox_store_find_claim(store, hash, ret);
}

static void what_is_committed_is_found_after_opening_again(void **state) {
        static const uint8_t location[DROP_LOCATION_SIZE] = { 1 };
        MailboxStore *store = open_store();
        MailboxContent content;
        MailboxClaim claim;
        DropMessage message;
        Mailbox mailbox;

        assert_int_equal(relay_database_begin(stores.database), 0);
        add(store, 1, 100);
        assert_int_equal(relay_database_commit(stores.database), 0);
        assert_int_equal(relay_database_begin(stores.database), 0);
        add(store, 2, 100);
        relay_database_rollback(stores.database);
        relay_stores_done(&stores);

        store = open_store();
        assert_int_equal(find(store, 1, &mailbox), 0);
        assert_false(mailbox.is_bound);
        assert_int_equal(mailbox.rights, 7);
        assert_int_equal(mailbox.expiration, 100);
        assert_int_equal(mailbox_store_read(store, mailbox.number, &content), 0);
        assert_memory_equal(content.payload, "{\"p\":1}", content.payload_size);
        assert_int_equal(find_claim(store, 1, &claim), 0);
        assert_true(claim.has_mailbox);
        assert_int_equal(find(store, 2, &mailbox), MAILBOX_STORE_E_NONE);
        assert_int_equal(find_claim(store, 2, &claim), MAILBOX_STORE_E_NONE);
        assert_int_equal(mailbox_store_read(store, 999, &content), MAILBOX_STORE_E_NONE);
        assert_int_equal(drop_store_find(stores.drops, location, &message), DROP_STORE_E_NONE);
        relay_stores_done(&stores);
}

static void parties_are_bound_and_released(void **state) {
        MailboxStore *store = open_store();
        Mailbox mailbox, again;

        assert_int_equal(relay_database_begin(stores.database), 0);
        add(store, 1, 100);
        assert_int_equal(find(store, 1, &mailbox), 0);
        mailbox.recipient[3] = 9;
        assert_int_equal(mailbox_store_set_recipient(store, mailbox.number, mailbox.recipient), 0);
        assert_int_equal(mailbox_store_set_token(store, mailbox.number, false, UINT64_MAX, "u"), 0);
        assert_int_equal(find(store, 1, &again), 0);
        assert_true(again.is_bound);
        assert_memory_equal(again.recipient, mailbox.recipient, sizeof(mailbox.recipient));
        assert_true(again.recipient_token == UINT64_MAX && again.recipient_has_webhook);
        assert_true(again.initiator_token == 0 && !again.initiator_has_webhook);
        assert_int_equal(mailbox_store_set_recipient(store, mailbox.number, NULL), 0);
        assert_int_equal(find(store, 1, &again), 0);
        assert_true(!again.is_bound && again.recipient_token == 0 && !again.recipient_has_webhook);
        assert_int_equal(relay_database_commit(stores.database), 0);
        relay_stores_done(&stores);
}

static void a_claim_keeps_the_mailbox_it_made_and_the_longest_life(void **state) {
        MailboxStore *store = open_store();
        MailboxClaim old, row = { .request_id = { 7 }, .expiration = 50 };
        uint8_t hash[RELAY_CLAIM_SIZE] = { 1 };

        assert_int_equal(relay_database_begin(stores.database), 0);
        add(store, 1, 100);
        assert_int_equal(find_claim(store, 1, &old), 0);
        assert_int_equal(mailbox_store_set_claim(store, hash, &row, &old), 0);
        assert_int_equal(find_claim(store, 1, &old), 0);
        assert_int_equal(old.request_id[0], 7);
        assert_int_equal(old.mailbox[0], 1);
        assert_int_equal(old.expiration, 100);
        row.expiration = 200;
        assert_int_equal(mailbox_store_set_claim(store, hash, &row, &old), 0);
        assert_int_equal(find_claim(store, 1, &old), 0);
        assert_int_equal(old.mailbox[0], 1);
        assert_int_equal(old.expiration, 200);
        assert_int_equal(relay_database_commit(stores.database), 0);
        relay_stores_done(&stores);
}

static void a_sweep_takes_what_expired_and_no_more_than_its_limit(void **state) {
        MailboxStore *store = open_store();
        Mailbox mailbox;
        unsigned n;

        assert_int_equal(relay_database_begin(stores.database), 0);
        for (uint8_t i = 1; i <= 5; i++)
                add(store, i, i * 10);
        assert_int_equal(relay_database_commit(stores.database), 0);

        assert_int_equal(relay_stores_sweep(&stores, 9, 100, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(relay_stores_sweep(&stores, 30, 2, &n), 0);
        assert_int_equal(n, 6); /* two each of mailbox, content, claim */
        assert_int_equal(find(store, 2, &mailbox), MAILBOX_STORE_E_NONE);
        assert_int_equal(find(store, 3, &mailbox), 0);
        assert_int_equal(relay_stores_sweep(&stores, 30, 2, &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(find(store, 4, &mailbox), 0);
        relay_stores_done(&stores);
}

static void a_read_row_does_not_keep_the_wal_in_use(void **state) {
        MailboxStore *store = open_store();
        MailboxContent content;
        char path[128];
        struct stat st;
        Mailbox mailbox;

        assert_int_equal(relay_database_begin(stores.database), 0);
        add(store, 1, 100);
        assert_int_equal(relay_database_commit(stores.database), 0);
        assert_int_equal(relay_database_begin(stores.database), 0);
        assert_int_equal(find(store, 1, &mailbox), 0);
        assert_int_equal(mailbox_store_read(store, mailbox.number, &content), 0);
        assert_int_equal(relay_database_commit(stores.database), 0);

        assert_int_equal(relay_database_settle(stores.database), 0);
        (void) snprintf(path, sizeof(path), "%s/relay.sqlite-wal", folder);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 0);
        relay_stores_done(&stores);
}

static void the_wal_stays_within_its_bound(void **state) {
        enum { ROWS = 2000, ROWS_PER_COMMIT = 20 };
        static char payload[60000];
        MailboxStore *store = open_store();
        char path[128];
        struct stat st;

        memset(payload, 'x', sizeof(payload) - 1);
        for (unsigned i = 0; i < ROWS; i++) {
                Mailbox mailbox = { .expiration = 1 };
                uint8_t id[RELAY_ID_SIZE];

                memset(id, 0, sizeof(id));
                memcpy(id, &i, sizeof(i));
                if (i % ROWS_PER_COMMIT == 0)
                        assert_int_equal(relay_database_begin(stores.database), 0);
                assert_int_equal(mailbox_store_insert(store, id, &mailbox, NULL, "", payload), 0);
                if (i % ROWS_PER_COMMIT == ROWS_PER_COMMIT - 1)
                        assert_int_equal(relay_database_commit(stores.database), 0);
        }
        (void) snprintf(path, sizeof(path), "%s/relay.sqlite-wal", folder);
        assert_int_equal(stat(path, &st), 0);
        assert_in_range(st.st_size, 1, 72 * 1024 * 1024);
        relay_stores_done(&stores);
}

static void a_folder_has_one_owner(void **state) {
        RelayStores second = RELAY_STORES_NULL;
        const char *reason;

        (void) open_store();
        assert_int_equal(relay_stores_open(&second, folder, &reason), -EBUSY);
        relay_stores_done(&stores);
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void) {
        static const struct CMUnitTest tests[] = {
                STORE_TEST(what_is_committed_is_found_after_opening_again),
                STORE_TEST(parties_are_bound_and_released),
                STORE_TEST(a_claim_keeps_the_mailbox_it_made_and_the_longest_life),
                STORE_TEST(a_sweep_takes_what_expired_and_no_more_than_its_limit),
                STORE_TEST(a_read_row_does_not_keep_the_wal_in_use),
                STORE_TEST(the_wal_stays_within_its_bound),
                STORE_TEST(a_folder_has_one_owner),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
