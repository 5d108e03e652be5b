/* What survives: shares, their sealed content, messages, the outbox, and what must not happen
 * twice. The one interface to durable state; it speaks of shares and batches, not of SQL, and it
 * never sees a key: every blob arrives sealed or hashed.
 *
 * The caller opens a transaction with store_begin(), applies commands, each between store_mark()
 * and store_release() or store_return(), and ends it with store_commit(). Everything here is for
 * one thread; the WAL checkpoint runs on a helper thread with a connection of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attempts.h"
#include "cleanup.h"
#include "lifecycle.h"
#include "rules.h"
#include "transfer.h"
#include "vault.h"

enum {
        STORE_DIGEST_SIZE = 32,
        STORE_MAC_SIZE = 16,
        STORE_POLICY_SIZE = 16,
        SHARE_ADDRESSES_MAX = 5,
        SHARE_TIMELINE_MAX = 64, /* entries; beyond that share_note() says which give way */
        SHARE_NOTED_MAX = 16,    /* that one change of a share may append */
};

typedef enum StoreError {
        STORE_E_NOT_FOUND = 1,
        STORE_E_EXISTS = 2,
        STORE_E_OTHER_KEY = 3, /* written under another root key */
        STORE_E_IN_USE = 4,    /* another process has the state folder */
        STORE_E_NEWER = 5,     /* written by a later version */
} StoreError;

/* What happened, as the tenant sees it. Never renumber. */
typedef enum TimelineEvent {
        TIMELINE_CREATED = 1,
        TIMELINE_INVITATION_ACCEPTED = 2,
        TIMELINE_DELIVERED = 3,
        TIMELINE_READ = 4,
        TIMELINE_NOT_DELIVERED = 5,
        TIMELINE_MISTYPED = 6,
        TIMELINE_WRONG = 7,
        TIMELINE_CONFIRMED = 8,
        TIMELINE_RELEASING = 9,
        TIMELINE_RELEASED = 10,
        TIMELINE_LINK_ACCEPTED = 11,
        TIMELINE_GENERATION = 12,
        TIMELINE_RESENT = 13,
        TIMELINE_WITHDRAWING = 14,
        TIMELINE_ACKNOWLEDGED = 15,
        TIMELINE_ENDED = 16,
        TIMELINE_FALLBACK = 17,
        TIMELINE_REFUSED = 18, /* the recipient said NO */
        TIMELINE_DISOWNED = 19,
        TIMELINE_CANCEL_ASKED = 20,
        TIMELINE_ISSUED = 21,           /* the tenant gave the content, after the confirmation */
        TIMELINE_MESSAGE_SENT = 22,     /* a further message of the initiator is with the relay */
        TIMELINE_MESSAGE_RECEIVED = 23, /* the recipient wrote */
        TIMELINE_MESSAGE_REFUSED = 24,
        TIMELINE_MESSAGE_UNREADABLE = 25, /* somebody wrote what cannot be opened */
        TIMELINE_MESSAGE_REPEATED = 26,   /* the relay showed an old message again */
        TIMELINE_CLAIMED_ELSEWHERE = 27,  /* the recipient says that another device has it */
        TIMELINE_RELAY_CLAIMED = 28,      /* the relay says so, of our own claim */
        TIMELINE_RELAY_REFUSED = 29,      /* the relay lets us neither look nor delete */
        TIMELINE_WITHDRAWN = 30,          /* a carrier took a message back, undelivered */
        TIMELINE_FACTOR_MET = 31,         /* detail: its Factor */
        TIMELINE_CODE_SENT = 32,          /* a code of ours is queued; step: to which address */
        TIMELINE_CODE_LAPSED = 33,
        TIMELINE_REISSUED = 34, /* detail: tries for the new code */
        TIMELINE_APPROVAL_ASKED = 35,
        TIMELINE_APPROVED = 36,
        TIMELINE_NOT_APPROVED = 37,      /* denied, or the number was wrong */
        TIMELINE_STEP_DOWN_PENDING = 40, /* step: to a weaker channel, unless somebody answers */
        TIMELINE_NO_ANSWER = 41,         /* step: that was waited for in vain */
        TIMELINE_STEP_SKIPPED = 42,      /* step: whose channel is gone, or too weak */
        TIMELINE_QUIET_HOURS = 43,       /* step: whose invitation waits for the morning */
        TIMELINE_EXPIRY_CHANGED = 44,    /* the sender brought the last moment to confirm forward */
        _TIMELINE_MAX,
} TimelineEvent;

typedef struct TimelineEntry {
        uint32_t at;    /* seconds since the share was created */
        uint8_t event;  /* TimelineEvent */
        uint8_t detail; /* of the event: tries left, generation, a message's kind */
        uint8_t step;   /* the address concerned, by its place in the list */
        uint8_t zero;
} TimelineEntry;

typedef enum ShareFlag {
        SHARE_LINK_LEFT = 1 << 0, /* a copy of the link was handed to a carrier, or may have been */
        SHARE_ACKNOWLEDGED = 1 << 1, /* the recipient said so */
        SHARE_SUPPRESSED = 1 << 2,   /* of an older version: nothing is ever sent */
        SHARE_HELPED = 1 << 3,       /* HELP repeated the link once */
        SHARE_NOT_OURS = 1 << 4,     /* the relay refused us its mailbox when it was last asked */
        SHARE_SEVERAL = 1 << 5,      /* its mailbox carries messages in both directions */
        SHARE_ENCRYPTED = 1 << 6,    /* the tenant keeps the Secret */
        SHARE_MINT = 1 << 7,         /* its content is fetched from the tenant, once confirmed */
        SHARE_TAKEN = 1 << 8,        /* Draft R: our last message was taken in time */
        SHARE_LOOKED = 1 << 9,       /* Draft R: whether it was has been asked */
        SHARE_PRETENDS = 1 << 10,    /* the present step's address is blocked, and at `due` the
                                        invitation is said to be taken */
        SHARE_WAITS_FOR_MORNING = 1 << 11, /* until step_until, with the invitation */
        SHARE_STEP_DECIDED = 1 << 12,      /* at step_until the next step is taken */
        SHARE_ANSWERED = 1 << 13,          /* somebody has, in this step: silence does not end it */
} ShareFlag;

/* One row. Strings and blobs are owned; an absent blob is NULL. `noted` is what was appended to the
 * timeline since the row was last written. */
typedef struct Share {
        int64_t n;
        char *tenant, *policy;
        char *relay; /* the lane of its mailbox, once there may be one */
        LifecycleState state;
        LifecycleState goal; /* where `withdrawing` leads; LIFECYCLE_STATE_MAX: nowhere yet */
        LifecycleCause cause;
        int64_t version; /* grows with each change a tenant can see */
        int64_t due;     /* when the sweep must look, seconds; 0: never */
        int64_t created, expires, mailbox_expires, ended;
        Rules rules; /* the policy's at creation; mailbox_ttl, from the release on, the shorter of
                        then and now */
        Attempts attempts;
        int generation, step, messages, resends, answers, repeats, flags;
        uint32_t met;            /* Factor bits that the recipient has shown */
        int codes, reissues;     /* codes of ours that were sent; codes that the sender asked for */
        int code_step, key_step; /* where a code of ours went, and the Secret's half */
        int64_t code_expires;    /* of a code of ours; 0: none is open */
        int64_t approval_expires; /* in `awaiting_approval` */
        int64_t step_until;       /* when the present step of the fallback is left; 0: never */
        int64_t held_due;         /* when the held answer is to be judged; 0: there is none */
        uint8_t *held;            /* an answer that came too soon, sealed */
        size_t held_size;
        uint8_t *approval;    /* verifier of the number that the sender has to type */
        uint8_t *key;         /* VAULT_WRAPPED_SIZE */
        uint8_t *code;        /* VAULT_VERIFIER_SIZE */
        uint8_t *idempotency; /* of the kept answers that hold a code: VAULT_INDEX_SIZE each */
        size_t idempotency_size;
        uint8_t *reference; /* sealed */
        size_t reference_size;
        uint8_t *mailbox; /* its URL, sealed */
        size_t mailbox_size;
        uint8_t addresses[SHARE_ADDRESSES_MAX][VAULT_INDEX_SIZE];
        int n_addresses;
        TimelineEntry timeline[SHARE_TIMELINE_MAX], noted[SHARE_NOTED_MAX];
        int n_timeline, n_noted;
} Share;

void share_done(Share *share);

/* Wipes and drops one owned blob. */
void share_drop(uint8_t **blob, size_t size);

/* Notes a kept answer (StoreAnswer) that ends with the share. -ENOMEM. */
int share_add_answer(Share *share, const uint8_t index[VAULT_INDEX_SIZE]);

/* Appends to the timeline; a full one loses its oldest message of a transfer, or its middle entry.
 * Writing the row makes an event of each entry. */
void share_note(Share *share, int64_t now, TimelineEvent event, int detail, int step);

const char *timeline_event_name(TimelineEvent event);

typedef enum OutboxKind {
        OUTBOX_INVITATION = 1,
        OUTBOX_LINK = 2,
        OUTBOX_NOTICE = 3,
        OUTBOX_CREATE = 4,
        OUTBOX_READ = 5,
        OUTBOX_DELETE = 6,
        OUTBOX_UPDATE = 7,
        OUTBOX_MINT = 8,
        OUTBOX_ACKNOWLEDGE = 9,
        OUTBOX_WITHDRAW = 11, /* of an invitation or link that a carrier took */
        OUTBOX_POLL = 10,     /* not a row: a transfer's, whose part is Transfer.polls */
        OUTBOX_CODE = 12,     /* a code of ours, on another channel */
        OUTBOX_KEY = 13,      /* the Secret's half of a link */
} OutboxKind;

/* What is left to tell recipients and carriers when the share has ended. */
static inline bool outbox_outlives_share(OutboxKind kind) {
        return kind == OUTBOX_NOTICE || kind == OUTBOX_WITHDRAW;
}

typedef struct OutboxRow {
        int64_t share;
        int part; /* the message's or operation's number within its share */
        OutboxKind kind;
        char lane[64]; /* the link's name, such as "xmpp" or "relay-main" */
        int attempts;
        bool dead;
        char reason[64]; /* of the last failure */
        int64_t since;   /* OUTBOX_POLL: the last progress, seconds; not stored */
} OutboxRow;

/* A mailbox that carries several messages, while its share is `released`. One thing is asked of the
 * relay at a time: it is looked at (polling), or a queued message of ours is under way. frame and
 * state are sealed with the vault's own key, so that a look needs no other row; they are destroyed
 * with the row. */
typedef struct Transfer {
        int64_t share;
        char lane[64];
        int64_t progress; /* when it last went on, seconds */
        int count;        /* the number of the next message */
        int polls;        /* the part of the poll that counts; older ones end themselves */
        bool polling;
        TransferParty turn; /* who writes next; the recipient's while a message of ours is queued */
        bool has_known;
        uint8_t known[STORE_DIGEST_SIZE]; /* SHA-256 of what was last seen in the mailbox */
        uint8_t *frame;                   /* what each look says: a JSON object */
        size_t frame_size;
        uint8_t *state; /* Draft R: the relay client's own, sealed once more; or NULL */
        size_t state_size;
} Transfer;

void transfer_done(Transfer *transfer);

/* One message; the body is wiped once the relay has ours. */
typedef struct TransferMessage {
        int64_t share;
        int number; /* 0: what the mailbox was made with */
        TransferParty from;
        TransferState state;
        int64_t at;
        bool has_digest;
        uint8_t digest[STORE_DIGEST_SIZE]; /* SHA-256 of the blob at the relay */
        uint8_t *body;                     /* sealed with the share's key */
        size_t body_size;
} TransferMessage;

void transfer_message_done(TransferMessage *message);

typedef struct Store Store;

/* Opens or creates the store in a directory, takes its lock, migrates forward. StoreError. The
 * highest time stored goes to *ret_time, 0 for a new store. -EIO, -EBADMSG: it is damaged. */
int store_open(Store **ret,
                const char *directory,
                const uint8_t check[VAULT_CHECK_SIZE],
                int64_t *ret_time);
Store *store_close(Store *store);
DEFINE_CLEANUP(Store, store_close)

int store_begin(Store *store);
/* Ends the transaction; when it wrote anything this returns after the data is on the disk. On
 * failure nothing of the transaction remains and a new one may begin. */
int store_commit(Store *store);
void store_rollback(Store *store);
/* A command's savepoint; marks nest. */
int store_mark(Store *store);
int store_release(Store *store);
int store_return(Store *store);

/* WAL upkeep, to be called when nothing is in flight: above its limit, or with truncate after
 * something was wiped. Blocks for as long as a checkpoint takes. -EBUSY: the helper is at one; come
 * again. */
bool store_needs_restart(const Store *store);
int store_checkpoint(Store *store, bool truncate);

int store_share_load(Store *store, int64_t n, Share *ret);
/* Both also write an event for each entry that share_note() appended, once. -EOVERFLOW: those were
 * more than SHARE_NOTED_MAX. */
int store_share_insert(Store *store, Share *share);
int store_share_update(Store *store, Share *share);
int store_share_remove(Store *store, const Share *share);

/* Spends one attempt and nothing else: what must survive when everything else of a batch is lost.
 */
int store_share_spend(Store *store, int64_t n);

/* Moves the time at which the sweep must look, and nothing else: also for a row that cannot be
 * loaded. */
int store_share_postpone(Store *store, int64_t n, int64_t due);

/* The highest share number, 0 for none. */
int64_t store_last(const Store *store);

/* Shares that are due, soonest first, at most limit; the callback may not change the store. */
typedef int (*StoreShareSeen)(int64_t n, void *userdata);
int store_due(Store *store, int64_t now, int limit, StoreShareSeen seen, void *userdata);
/* The soonest due time, 0 for none. */
int64_t store_next_due(Store *store);

/* Shares of a tenant (NULL: of all), newest first, below the number `before`. */
typedef int (*StoreListSeen)(int64_t n, LifecycleState state, void *userdata);
int store_list(Store *store,
                const char *tenant,
                int64_t before,
                int limit,
                StoreListSeen seen,
                void *userdata);
int store_list_reference(Store *store,
                const uint8_t reference[VAULT_INDEX_SIZE],
                int64_t before,
                int limit,
                StoreListSeen seen,
                void *userdata);
int store_reference_put(Store *store, const uint8_t reference[VAULT_INDEX_SIZE], int64_t n);

/* Sealed details and payload. A NULL payload leaves what is there; store_payload_wipe() removes it.
 */
int store_content_put(Store *store,
                int64_t n,
                const uint8_t *details,
                size_t details_size,
                const uint8_t *payload,
                size_t payload_size);
int store_details_get(Store *store, int64_t n, uint8_t **ret, size_t *ret_size);
int store_payload_get(Store *store, int64_t n, uint8_t **ret, size_t *ret_size);
int store_payload_wipe(Store *store, int64_t n);
int store_content_remove(Store *store, int64_t n);

/* Rendered messages, sealed, for as long as they may be repeated; step says to which address. */
int store_message_put(Store *store,
                int64_t n,
                int part,
                OutboxKind kind,
                int step,
                const uint8_t *body,
                size_t size);
int store_message_get(Store *store,
                int64_t n,
                int part,
                OutboxKind *ret_kind,
                int *ret_step,
                uint8_t **ret,
                size_t *ret_size);
int store_message_remove(Store *store, int64_t n, int part);
/* Removes a share's messages; those that outlive it stay if keep_notices. */
int store_message_remove_all(Store *store, int64_t n, bool keep_notices);
/* The last message of that kind, STORE_E_NOT_FOUND. */
int store_message_find(Store *store, int64_t n, OutboxKind kind, int *ret_part);

int store_outbox_put(Store *store, const OutboxRow *row);
int store_outbox_get(Store *store, int64_t n, int part, OutboxRow *ret);
int store_outbox_attempt(Store *store, const OutboxRow *row); /* attempts, dead, reason */
int store_outbox_remove(Store *store, int64_t n, int part);
/* Removes a share's rows, other than those that outlive it, deletions, and a creation that the
 * relay client was given. *ret_creating: there was one, so a mailbox may exist. */
int store_outbox_drop(Store *store, int64_t n, bool *ret_creating);
/* Removes all of a share's rows; those that outlive it stay if keep_notices. */
int store_outbox_remove_all(Store *store, int64_t n, bool keep_notices);
typedef int (*StoreOutboxSeen)(const OutboxRow *row, void *userdata);
int store_outbox_each(Store *store, bool dead, StoreOutboxSeen seen, void *userdata);

/* --- events: what happened to the shares of a tenant, in one numbered stream for each --- */

/* An entry of a timeline, with what it made of its share. It needs no other row, and outlives the
 * share's. */
typedef struct StoreEvent {
        int64_t sequence; /* of the tenant: 1 and up without gaps, never given out again */
        int64_t share, version;
        int64_t at; /* seconds */
        TimelineEvent event;
        int detail;           /* as of the TimelineEntry */
        LifecycleState state; /* LIFECYCLE_STATE_MAX: one that this version does not know */
} StoreEvent;

/* The numbers of the first event that is still kept and of the last one; 0 and 0 when there was
 * none yet. */
int store_event_range(Store *store, const char *tenant, int64_t *ret_first, int64_t *ret_last);

/* The number of the last event alone, without looking into the store as a rule. */
int store_event_last(Store *store, const char *tenant, int64_t *ret_last);

/* Whether any event was written since this was last asked. */
bool store_event_written(Store *store);

/* A tenant's committed events above a number, in order, at most limit; the callback may not change
 * the store, and a positive answer ends the walk. */
typedef int (*StoreEventSeen)(const StoreEvent *event, void *userdata);
int store_event_each(Store *store,
                const char *tenant,
                int64_t after,
                int limit,
                StoreEventSeen seen,
                void *userdata);

/* Removes at most limit events that happened before `now - keep`, but never the last of a tenant,
 * since its number says where the next one goes on. *ret_more: there may be others to remove. */
int store_event_sweep(Store *store, int64_t now, int64_t keep, int limit, bool *ret_more);

/* --- the audit log: what happened, in a chain that gateway/audit.c makes --- */

/* Told of a transaction as it ends, by the one who writes the log. */
typedef struct StoreObserver {
        /* An event, as it is written; policy identifies the rules that its share began with. */
        int (*event)(const char *tenant,
                        const StoreEvent *event,
                        const uint8_t policy[STORE_POLICY_SIZE],
                        void *userdata);
        /* Everything else is written. A negative return of these two takes all of it back. */
        int (*end)(void *userdata);
        void (*committed)(void *userdata);
        void (*rolled_back)(void *userdata);
} StoreObserver;
void store_observe(Store *store, const StoreObserver *observer, void *userdata);

typedef struct StoreAudit {
        int64_t number;     /* 1 and up, without gaps */
        bool is_checkpoint; /* one that stands behind the record of that number */
        int64_t at;
        const char *text; /* a record's without its hashes, a checkpoint's whole */
        uint8_t before[STORE_DIGEST_SIZE], hash[STORE_DIGEST_SIZE], mac[STORE_MAC_SIZE];
} StoreAudit;

int store_audit_put(Store *store, const StoreAudit *audit);
/* In their order, from number `after` + 1 on, at most limit; a positive answer ends the walk. */
typedef int (*StoreAuditSeen)(const StoreAudit *audit, void *userdata);
int store_audit_each(Store *store, int64_t after, int limit, StoreAuditSeen seen, void *userdata);
/* The numbers of the first and last record, zero for none, and the last one's hash. */
int store_audit_range(Store *store,
                int64_t *ret_first,
                int64_t *ret_last,
                uint8_t ret_hash[STORE_DIGEST_SIZE]);
/* Of the first rows, at most limit, the last that is from before a time, zero for none; and removes
 * all up to a number. */
int store_audit_before(Store *store, int64_t at, int limit, int64_t *ret_number);
int store_audit_remove(Store *store, int64_t to);

/* Sealed keys of the log: of the present epoch (0), and of pseudonyms by month. STORE_E_NOT_FOUND.
 */
int store_audit_key_put(Store *store, int64_t month, const uint8_t *sealed, size_t size);
int store_audit_key_get(Store *store, int64_t month, uint8_t **ret, size_t *ret_size);
/* Of months before this one. *ret_any: there was one. */
int store_audit_key_remove(Store *store, int64_t before, bool *ret_any);

/* Transfers of several messages. */
int store_transfer_put(Store *store, const Transfer *transfer);
int store_transfer_get(Store *store, int64_t n, Transfer *ret);
/* Removes the transfer and its messages. */
int store_transfer_remove(Store *store, int64_t n);
typedef int (*StoreTransferSeen)(const Transfer *transfer, void *userdata);
/* Those that are polled: share, lane, polls and progress alone. */
int store_transfer_each(Store *store, StoreTransferSeen seen, void *userdata);

int store_transfer_message_put(Store *store, const TransferMessage *message);
int store_transfer_message_get(Store *store, int64_t n, int number, TransferMessage *ret);
/* The first whose number is at least this. STORE_E_NOT_FOUND. */
int store_transfer_message_next(Store *store, int64_t n, int number, TransferMessage *ret);
/* The message of ours that the relay does not have yet; there is one at most. STORE_E_NOT_FOUND. */
int store_transfer_message_queued(Store *store, int64_t n, int *ret_number);
/* The last message that was in the mailbox. STORE_E_NOT_FOUND. */
int store_transfer_message_last(Store *store, int64_t n, int *ret_number);
/* The last message of the share with this digest. STORE_E_NOT_FOUND. */
int store_transfer_message_find(
                Store *store, int64_t n, const uint8_t digest[STORE_DIGEST_SIZE], int *ret_number);

/* Which shares an address belongs to: those that have not ended, and apart from them those that
 * ended lately, so that old ones cannot hide a live one. */
int store_address_put(Store *store, const uint8_t address[VAULT_INDEX_SIZE], int64_t n);
int store_address_end(Store *store, const uint8_t address[VAULT_INDEX_SIZE], int64_t n);
int store_address_remove(Store *store, const uint8_t address[VAULT_INDEX_SIZE], int64_t n);
/* Newest first, at most limit; a positive answer of seen() ends the walk. */
int store_address_each(Store *store,
                const uint8_t address[VAULT_INDEX_SIZE],
                bool ended,
                int limit,
                StoreShareSeen seen,
                void *userdata);

/* What was seen once: inbound messages, nonces. */
int store_seen_has(Store *store, const uint8_t key[VAULT_INDEX_SIZE]);
/* STORE_E_EXISTS: it was seen before. */
int store_seen_add(Store *store, const uint8_t key[VAULT_INDEX_SIZE], int64_t expires);

/* Who wants nothing more from whom. */
typedef struct StoreBlock {
        uint8_t pair[VAULT_INDEX_SIZE];
        int64_t since, expires;
        uint8_t *note; /* sealed; NULL in one of an older version */
        size_t note_size;
} StoreBlock;
/* One that is there for longer stays as it is. */
int store_block_put(Store *store, const StoreBlock *block);
/* STORE_E_EXISTS: it is there, and has not expired. */
int store_block_has(Store *store, const uint8_t pair[VAULT_INDEX_SIZE], int64_t now);
/* STORE_E_NOT_FOUND. */
int store_block_remove(Store *store, const uint8_t pair[VAULT_INDEX_SIZE]);
/* Those that have not expired, in the order of their pairs, above one of them (NULL: from the
 * first), at most limit. What a block points to is the store's; a positive answer ends the walk. */
typedef int (*StoreBlockSeen)(const StoreBlock *block, void *userdata);
int store_block_each(Store *store,
                const uint8_t *after,
                int64_t now,
                int limit,
                StoreBlockSeen seen,
                void *userdata);

/* First answers to keyed requests; answer NULL once the share has ended. */
typedef struct StoreAnswer {
        int64_t share;
        int status;
        uint8_t digest[32];
        uint8_t *answer;
        size_t answer_size;
} StoreAnswer;
int store_answer_put(Store *store,
                const uint8_t key[VAULT_INDEX_SIZE],
                const StoreAnswer *answer,
                int64_t expires);
int store_answer_get(
                Store *store, const uint8_t key[VAULT_INDEX_SIZE], int64_t now, StoreAnswer *ret);
int store_answer_wipe(Store *store, const uint8_t key[VAULT_INDEX_SIZE]);

/* Removes at most limit rows of what was seen, blocked or answered and has expired. */
int store_sweep(Store *store, int64_t now, int limit);

/* --- what is counted for limits: each value is the caller's, under a blind index ---------------
 */

enum { STORE_COUNTER_MAX = 2048 };

/* Into ret, of STORE_COUNTER_MAX bytes. STORE_E_NOT_FOUND. */
int store_counter_get(Store *store,
                const uint8_t key[VAULT_INDEX_SIZE],
                uint8_t *ret,
                size_t *ret_size,
                bool *ret_noted);
/* A NULL note leaves what is there. */
int store_counter_put(Store *store,
                const uint8_t key[VAULT_INDEX_SIZE],
                const uint8_t *value,
                size_t size,
                const uint8_t *note,
                size_t note_size);
int store_counter_remove(Store *store, const uint8_t key[VAULT_INDEX_SIZE]);

typedef struct StoreCounter {
        uint8_t key[VAULT_INDEX_SIZE];
        const uint8_t *value,
                        *note; /* the store's; note NULL unless those with one were asked for */
        size_t size, note_size;
} StoreCounter;
/* In the order of their keys, above one of them (NULL: from the first), at most limit; noted: those
 * with a note alone. The callback may not change the store; a positive answer ends the walk. */
typedef int (*StoreCounterSeen)(const StoreCounter *counter, void *userdata);
int store_counter_each(Store *store,
                const uint8_t *after,
                bool noted,
                int limit,
                StoreCounterSeen seen,
                void *userdata);

/* How long the machine has run, for those: `seconds` at a moment that was `boot_seconds` after the
 * start `boot` of the machine. All zeros: never said. */
typedef struct StoreElapsed {
        uint8_t boot[16];
        int64_t boot_seconds, seconds;
} StoreElapsed;
int store_elapsed_get(Store *store, StoreElapsed *ret);
int store_elapsed_put(Store *store, const StoreElapsed *elapsed);

/* Remembers the gateway's time. */
int store_time_put(Store *store, int64_t now);
