/* Mailboxes and the last request id of each claim, in SQLite. One connection, one transaction at a
 * time: what a turn of the loop gathered is applied between begin and commit, and nothing may be
 * answered before commit returned 0. Ids and hashes are blobs; times are seconds since 1970.
 *
 * On disk: WAL, synchronous=FULL. Checkpoints are made by a helper thread with a connection of its
 * own, so that a commit costs one fdatasync; only a WAL that outgrows its bound makes commit wait.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay-request.h"

typedef struct MailboxStore MailboxStore;

typedef enum MailboxStoreError {
        MAILBOX_STORE_E_NONE = 1,  /* no such row */
        MAILBOX_STORE_E_OTHER = 2, /* the state folder belongs to a newer version of this program */
} MailboxStoreError;

typedef struct Mailbox {
        int64_t number;
        uint8_t initiator[RELAY_CLAIM_SIZE];
        bool is_bound;
        uint8_t recipient[RELAY_CLAIM_SIZE]; /* counts when is_bound */
        unsigned rights;
        int64_t expiration;
        uint64_t initiator_token, recipient_token; /* hashes, 0 = none */
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

/* Opens or makes the store in a folder, which must exist, and locks it; NULL: in memory. -EBUSY:
 * another process holds it. MAILBOX_STORE_E_OTHER. Other negative errno: SQLite's own complaint is
 * in *ret_reason (static memory). */
int mailbox_store_open(MailboxStore **ret, const char *folder, const char **ret_reason);

/* Commits nothing; joins the helper. Takes NULL, returns NULL. */
MailboxStore *mailbox_store_free(MailboxStore *store);
DEFINE_CLEANUP(MailboxStore, mailbox_store_free)

/* All below: -ENOSPC: the disk is full, later calls may succeed. -EIO: the disk or the file failed;
 * what is durable is unknown, so the process should end. On any failure the caller rolls back. */
int mailbox_store_begin(MailboxStore *store);
int mailbox_store_commit(MailboxStore *store);
void mailbox_store_rollback(MailboxStore *store);

/* Expired rows are found until they are swept: the caller compares the expiration. */
int mailbox_store_find(MailboxStore *store, const uint8_t id[RELAY_ID_SIZE], Mailbox *ret);
int mailbox_store_find_claim(
                MailboxStore *store, const uint8_t claim[RELAY_CLAIM_SIZE], MailboxClaim *ret);
int mailbox_store_read(MailboxStore *store, int64_t number, MailboxContent *ret);

/* mailbox->number is ignored: the store chooses it. */
int mailbox_store_insert(MailboxStore *store,
                const uint8_t id[RELAY_ID_SIZE],
                const Mailbox *mailbox,
                const char *display,
                const char *payload);
int mailbox_store_delete(MailboxStore *store, int64_t number);

/* Writes is_bound, recipient and both tokens. */
int mailbox_store_set_parties(MailboxStore *store, const Mailbox *mailbox);
int mailbox_store_set_payload(MailboxStore *store, int64_t number, const char *payload);

/* Remembers a claim's row; old is what find_claim() found in this transaction, NULL = nothing.
 * Without has_mailbox the mailbox that the claim created before stays remembered. */
int mailbox_store_set_claim(MailboxStore *store,
                const uint8_t claim[RELAY_CLAIM_SIZE],
                const MailboxClaim *row,
                const MailboxClaim *old);

/* Deletes at most limit mailboxes and limit claims that expired at or before now, in a transaction
 * of its own. *ret is how many rows went. The cost is that of the rows that go. */
int mailbox_store_sweep(MailboxStore *store, int64_t now, unsigned limit, unsigned *ret);

/* For a quiet moment: empties the WAL, so that deleted payloads leave the disk. Does nothing when
 * nothing was committed since. */
int mailbox_store_settle(MailboxStore *store);
