/* Draft V's mailboxes and the last request id of each claim, in the relay's database. Ids and
 * hashes are blobs; times are seconds since 1970. All functions but mailbox_store_new() belong into
 * a transaction of relay-database.h, whose errors they return. */
#pragma once

#include <stdbool.h>

#include "relay-database.h"
#include "relay-request.h"

typedef struct MailboxStore MailboxStore;

typedef enum MailboxStoreError {
        MAILBOX_STORE_E_NONE = 1, /* no such row */
        MAILBOX_STORE_E_FULL = 2, /* no room is left; nothing was changed */
} MailboxStoreError;

typedef struct Mailbox {
        int64_t number;
        uint8_t initiator[RELAY_CLAIM_SIZE];
        bool is_bound;
        uint8_t recipient[RELAY_CLAIM_SIZE]; /* counts when is_bound */
        unsigned rights;
        int64_t expiration;
        uint64_t initiator_token, recipient_token; /* hashes, 0 = none */
        bool initiator_has_webhook, recipient_has_webhook;
} Mailbox;

typedef struct MailboxClaim {
        uint8_t request_id[RELAY_ID_SIZE]; /* of the last completed Create, Update, Delete,
                                              Relinquish */
        bool has_mailbox;
        uint8_t mailbox[RELAY_ID_SIZE]; /* the last one that the claim created */
        int64_t expiration;             /* the row is forgotten with the last of its mailboxes */
} MailboxClaim;

/* Borrowed from the store until the next read or the end of the transaction. */
typedef struct MailboxContent {
        const char *display, *payload;
        size_t display_size, payload_size;
} MailboxContent;

/* Borrows the database, and must be freed before it. */
int mailbox_store_new(MailboxStore **ret, RelayDatabase *database);
MailboxStore *mailbox_store_free(MailboxStore *store);
DEFINE_CLEANUP(MailboxStore, mailbox_store_free)

/* Expired rows are found until they are swept: the caller compares the expiration.
 * MAILBOX_STORE_E_NONE. */
int mailbox_store_find(MailboxStore *store, const uint8_t id[RELAY_ID_SIZE], Mailbox *ret);
int mailbox_store_find_claim(
                MailboxStore *store, const uint8_t claim[RELAY_CLAIM_SIZE], MailboxClaim *ret);
int mailbox_store_read(MailboxStore *store, int64_t number, MailboxContent *ret);

/* Takes initiator, rights, expiration and initiator_token from mailbox, whose Recipient is nobody
 * yet. webhook: where the Initiator wants to be told of updates, or NULL. MAILBOX_STORE_E_FULL. */
int mailbox_store_insert(MailboxStore *store,
                const uint8_t id[RELAY_ID_SIZE],
                const Mailbox *mailbox,
                const char *webhook,
                const char *display,
                const char *payload);
int mailbox_store_delete(MailboxStore *store, int64_t number);

/* Binds a Recipient, or releases it with NULL; either way its place has no token any more. */
int mailbox_store_set_recipient(
                MailboxStore *store, int64_t number, const uint8_t recipient[RELAY_CLAIM_SIZE]);

/* token: a hash, 0 = none. webhook: NULL = none. */
int mailbox_store_set_token(MailboxStore *store,
                int64_t number,
                bool of_initiator,
                uint64_t token,
                const char *webhook);

/* *ret is the caller's to free; NULL: the party has none. MAILBOX_STORE_E_NONE: no such mailbox. */
int mailbox_store_read_webhook(MailboxStore *store, int64_t number, bool of_initiator, char **ret);

/* MAILBOX_STORE_E_FULL, also when it takes no more room than the one before. */
int mailbox_store_set_payload(MailboxStore *store, int64_t number, const char *payload);

/* Remembers a claim's row; old is what find_claim() found in this transaction, NULL = nothing.
 * Without has_mailbox the mailbox that the claim created before stays remembered. */
int mailbox_store_set_claim(MailboxStore *store,
                const uint8_t claim[RELAY_CLAIM_SIZE],
                const MailboxClaim *row,
                const MailboxClaim *old);

/* Deletes at most limit mailboxes and limit claims that expired at or before now. *ret is how many
 * rows went. The cost is that of the rows that go. */
int mailbox_store_sweep(MailboxStore *store, int64_t now, unsigned limit, unsigned *ret);

/* How many steps of SQLite's machine all sweeps took: tests see the cost by it, whatever the
 * machine. */
uint64_t mailbox_store_n_sweep_steps(const MailboxStore *store);
