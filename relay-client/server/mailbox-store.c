#include "mailbox-store.h"

#include <errno.h>

typedef enum Statement {
        STATEMENT_FIND,
        STATEMENT_FIND_CLAIM,
        STATEMENT_READ,
        STATEMENT_INSERT_MAILBOX,
        STATEMENT_INSERT_CONTENT,
        STATEMENT_DELETE_MAILBOX,
        STATEMENT_DELETE_CONTENT,
        STATEMENT_SET_RECIPIENT,
        STATEMENT_SET_INITIATOR_TOKEN,
        STATEMENT_SET_RECIPIENT_TOKEN,
        STATEMENT_READ_WEBHOOK,
        STATEMENT_SET_PAYLOAD,
        STATEMENT_INSERT_CLAIM,
        STATEMENT_SET_CLAIM_REQUEST,
        STATEMENT_SET_CLAIM,
        STATEMENT_SWEEP_CONTENT,
        STATEMENT_SWEEP_MAILBOX,
        STATEMENT_SWEEP_CLAIM,
        _STATEMENT_MAX,
} Statement;

#define EXPIRED(table, column) \
        "SELECT " column " FROM " table " WHERE expiration <= ?1 ORDER BY expiration LIMIT ?2"

static const char *const statement_texts[_STATEMENT_MAX] = {
        [STATEMENT_FIND] =
                        "SELECT number, initiator, recipient, rights, expiration, initiator_token,"
                        " recipient_token, initiator_webhook IS NOT NULL,"
                        " recipient_webhook IS NOT NULL FROM mailbox WHERE id = ?1",
        [STATEMENT_FIND_CLAIM] = "SELECT request, mailbox, expiration FROM claim WHERE hash = ?1",
        [STATEMENT_READ] = "SELECT display, payload FROM content WHERE number = ?1",
        [STATEMENT_INSERT_MAILBOX] =
                        "INSERT INTO mailbox (id, initiator, rights, expiration, initiator_token,"
                        " initiator_webhook, recipient_token) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
        [STATEMENT_INSERT_CONTENT] =
                        "INSERT INTO content (number, display, payload) VALUES (?1, ?2, ?3)",
        [STATEMENT_DELETE_MAILBOX] = "DELETE FROM mailbox WHERE number = ?1",
        [STATEMENT_DELETE_CONTENT] = "DELETE FROM content WHERE number = ?1",
        /* Whoever comes or goes: the token of the one before is not theirs. */
        [STATEMENT_SET_RECIPIENT] = "UPDATE mailbox SET recipient = ?2, recipient_token = 0,"
                                    " recipient_webhook = NULL WHERE number = ?1",
        [STATEMENT_SET_INITIATOR_TOKEN] =
                        "UPDATE mailbox SET initiator_token = ?2, initiator_webhook = ?3"
                        " WHERE number = ?1",
        [STATEMENT_SET_RECIPIENT_TOKEN] =
                        "UPDATE mailbox SET recipient_token = ?2, recipient_webhook = ?3"
                        " WHERE number = ?1",
        [STATEMENT_READ_WEBHOOK] = "SELECT initiator_webhook, recipient_webhook FROM mailbox"
                                   " WHERE number = ?1",
        [STATEMENT_SET_PAYLOAD] = "UPDATE content SET payload = ?2 WHERE number = ?1",
        [STATEMENT_INSERT_CLAIM] = "INSERT INTO claim (hash, request, mailbox, expiration)"
                                   " VALUES (?1, ?2, ?3, ?4)",
        [STATEMENT_SET_CLAIM_REQUEST] = "UPDATE claim SET request = ?2 WHERE hash = ?1",
        [STATEMENT_SET_CLAIM] = "UPDATE claim SET request = ?2, mailbox = coalesce(?3, mailbox),"
                                " expiration = max(expiration, ?4) WHERE hash = ?1",
        [STATEMENT_SWEEP_CONTENT] =
                        "DELETE FROM content WHERE number IN (" EXPIRED("mailbox", "number") ")",
        [STATEMENT_SWEEP_MAILBOX] =
                        "DELETE FROM mailbox WHERE number IN (" EXPIRED("mailbox", "number") ")",
        [STATEMENT_SWEEP_CLAIM] =
                        "DELETE FROM claim WHERE number IN (" EXPIRED("claim", "number") ")",
};

/* Content first: it is found by the mailboxes that expired. */
static const Statement sweep_order[] = {
        STATEMENT_SWEEP_CONTENT,
        STATEMENT_SWEEP_MAILBOX,
        STATEMENT_SWEEP_CLAIM,
};

struct MailboxStore {
        RelayDatabase *database;
        sqlite3_stmt *statements[_STATEMENT_MAX];
};

int mailbox_store_new(MailboxStore **ret, RelayDatabase *database) {
        _cleanup_(mailbox_store_freep) MailboxStore *store = calloc(1, sizeof(*store));
        int r;

        if (!store)
                return -ENOMEM;
        store->database = database;
        r = relay_database_prepare(database, statement_texts, _STATEMENT_MAX, store->statements);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(store);
        return 0;
}

MailboxStore *mailbox_store_free(MailboxStore *store) {
        if (!store)
                return NULL;
        for (size_t i = 0; i < _STATEMENT_MAX; i++)
                (void) sqlite3_finalize(store->statements[i]);
        free(store);
        return NULL;
}

static int run(MailboxStore *store, Statement which) {
        return relay_database_run(store->statements[which]);
}

static int run_row(sqlite3_stmt *statement) {
        int r = relay_database_run_row(statement);

        return r == RELAY_DATABASE_E_NO_ROW ? MAILBOX_STORE_E_NONE : r;
}

static int take_room(MailboxStore *store, size_t size) {
        int r = relay_database_take_room(store->database, size);

        return r == RELAY_DATABASE_E_FULL ? MAILBOX_STORE_E_FULL : r;
}

/* Our own file may have been damaged: a blob of another size is read as zeros, which match nothing.
 */
static void column_blob(sqlite3_stmt *statement, int n, uint8_t *ret, size_t size) {
        const void *data = sqlite3_column_blob(statement, n);

        if (data && (size_t) sqlite3_column_bytes(statement, n) == size)
                memcpy(ret, data, size);
        else
                memset(ret, 0, size);
}

int mailbox_store_find(MailboxStore *store, const uint8_t id[RELAY_ID_SIZE], Mailbox *ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_FIND];
        int r;

        relay_database_bind_blob(s, 1, id, RELAY_ID_SIZE);
        r = run_row(s);
        if (r != 0)
                return r;

        *ret = (Mailbox){
                .number = sqlite3_column_int64(s, 0),
                .is_bound = sqlite3_column_type(s, 2) != SQLITE_NULL,
                .rights = (unsigned) sqlite3_column_int(s, 3),
                .expiration = sqlite3_column_int64(s, 4),
                .initiator_token = (uint64_t) sqlite3_column_int64(s, 5),
                .recipient_token = (uint64_t) sqlite3_column_int64(s, 6),
                .initiator_has_webhook = sqlite3_column_int(s, 7) != 0,
                .recipient_has_webhook = sqlite3_column_int(s, 8) != 0,
        };
        column_blob(s, 1, ret->initiator, sizeof(ret->initiator));
        column_blob(s, 2, ret->recipient, sizeof(ret->recipient));
        (void) sqlite3_reset(s);
        return 0;
}

int mailbox_store_find_claim(
                MailboxStore *store, const uint8_t claim[RELAY_CLAIM_SIZE], MailboxClaim *ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_FIND_CLAIM];
        int r;

        relay_database_bind_blob(s, 1, claim, RELAY_CLAIM_SIZE);
        r = run_row(s);
        if (r != 0)
                return r;

        column_blob(s, 0, ret->request_id, sizeof(ret->request_id));
        ret->has_mailbox = sqlite3_column_type(s, 1) != SQLITE_NULL;
        column_blob(s, 1, ret->mailbox, sizeof(ret->mailbox));
        ret->expiration = sqlite3_column_int64(s, 2);
        (void) sqlite3_reset(s);
        return 0;
}

int mailbox_store_read(MailboxStore *store, int64_t number, MailboxContent *ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_READ];
        int r;

        (void) sqlite3_reset(s);
        relay_database_bind_number(s, 1, number);
        relay_database_lend(store->database, s);
        r = run_row(s);
        if (r != 0)
                return r;

        ret->display = (const char *) sqlite3_column_text(s, 0);
        ret->display_size = (size_t) sqlite3_column_bytes(s, 0);
        ret->payload = (const char *) sqlite3_column_text(s, 1);
        ret->payload_size = (size_t) sqlite3_column_bytes(s, 1);
        return ret->display && ret->payload ? 0 : -ENOMEM;
}

static void bind_webhook(sqlite3_stmt *s, int n, const char *webhook) {
        if (webhook)
                relay_database_bind_text(s, n, webhook);
        else
                (void) sqlite3_bind_null(s, n);
}

int mailbox_store_insert(MailboxStore *store,
                const uint8_t id[RELAY_ID_SIZE],
                const Mailbox *mailbox,
                const char *webhook,
                const char *display,
                const char *payload) {
        sqlite3_stmt *s = store->statements[STATEMENT_INSERT_MAILBOX];
        int r;

        r = take_room(store, strlen(display) + strlen(payload));
        if (r != 0)
                return r;
        relay_database_bind_blob(s, 1, id, RELAY_ID_SIZE);
        relay_database_bind_blob(s, 2, mailbox->initiator, sizeof(mailbox->initiator));
        relay_database_bind_number(s, 3, mailbox->rights);
        relay_database_bind_number(s, 4, mailbox->expiration);
        relay_database_bind_number(s, 5, (int64_t) mailbox->initiator_token);
        bind_webhook(s, 6, webhook);
        r = run(store, STATEMENT_INSERT_MAILBOX);
        if (r < 0)
                return r;

        s = store->statements[STATEMENT_INSERT_CONTENT];
        relay_database_bind_number(s, 1, relay_database_last_number(store->database));
        relay_database_bind_text(s, 2, display);
        relay_database_bind_text(s, 3, payload);
        return run(store, STATEMENT_INSERT_CONTENT);
}

int mailbox_store_delete(MailboxStore *store, int64_t number) {
        int r;

        relay_database_bind_number(store->statements[STATEMENT_DELETE_CONTENT], 1, number);
        r = run(store, STATEMENT_DELETE_CONTENT);
        if (r < 0)
                return r;
        relay_database_bind_number(store->statements[STATEMENT_DELETE_MAILBOX], 1, number);
        return run(store, STATEMENT_DELETE_MAILBOX);
}

int mailbox_store_set_recipient(
                MailboxStore *store, int64_t number, const uint8_t recipient[RELAY_CLAIM_SIZE]) {
        sqlite3_stmt *s = store->statements[STATEMENT_SET_RECIPIENT];

        relay_database_bind_number(s, 1, number);
        if (recipient)
                relay_database_bind_blob(s, 2, recipient, RELAY_CLAIM_SIZE);
        else
                (void) sqlite3_bind_null(s, 2);
        return run(store, STATEMENT_SET_RECIPIENT);
}

int mailbox_store_set_token(MailboxStore *store,
                int64_t number,
                bool of_initiator,
                uint64_t token,
                const char *webhook) {
        Statement which = of_initiator ? STATEMENT_SET_INITIATOR_TOKEN
                                       : STATEMENT_SET_RECIPIENT_TOKEN;
        sqlite3_stmt *s = store->statements[which];

        relay_database_bind_number(s, 1, number);
        relay_database_bind_number(s, 2, (int64_t) token);
        bind_webhook(s, 3, webhook);
        return run(store, which);
}

int mailbox_store_read_webhook(MailboxStore *store, int64_t number, bool of_initiator, char **ret) {
        sqlite3_stmt *s = store->statements[STATEMENT_READ_WEBHOOK];
        const unsigned char *text;
        int r;

        relay_database_bind_number(s, 1, number);
        r = run_row(s);
        if (r != 0)
                return r;
        text = sqlite3_column_text(s, of_initiator ? 0 : 1);
        *ret = text ? strdup((const char *) text) : NULL;
        r = text && !*ret ? -ENOMEM : 0;
        (void) sqlite3_reset(s);
        return r;
}

int mailbox_store_set_payload(MailboxStore *store, int64_t number, const char *payload) {
        sqlite3_stmt *s = store->statements[STATEMENT_SET_PAYLOAD];
        int r;

        r = take_room(store, strlen(payload));
        if (r != 0)
                return r;
        relay_database_bind_number(s, 1, number);
        relay_database_bind_text(s, 2, payload);
        return run(store, STATEMENT_SET_PAYLOAD);
}

int mailbox_store_set_claim(MailboxStore *store,
                const uint8_t claim[RELAY_CLAIM_SIZE],
                const MailboxClaim *row,
                const MailboxClaim *old) {
        Statement which = STATEMENT_INSERT_CLAIM;
        sqlite3_stmt *s;

        if (old) /* an update that leaves the expiration alone leaves its index alone, too */
                which = row->has_mailbox || row->expiration > old->expiration
                                        ? STATEMENT_SET_CLAIM
                                        : STATEMENT_SET_CLAIM_REQUEST;
        s = store->statements[which];
        relay_database_bind_blob(s, 1, claim, RELAY_CLAIM_SIZE);
        relay_database_bind_blob(s, 2, row->request_id, sizeof(row->request_id));
        if (which != STATEMENT_SET_CLAIM_REQUEST) {
                if (row->has_mailbox)
                        relay_database_bind_blob(s, 3, row->mailbox, sizeof(row->mailbox));
                else
                        (void) sqlite3_bind_null(s, 3);
                relay_database_bind_number(s, 4, row->expiration);
        }
        return run(store, which);
}

int mailbox_store_sweep(MailboxStore *store, int64_t now, unsigned limit, unsigned *ret) {
        unsigned n = 0;
        int r;

        for (size_t i = 0; i < N_ELEMENTS(sweep_order); i++) {
                relay_database_bind_number(store->statements[sweep_order[i]], 1, now);
                relay_database_bind_number(store->statements[sweep_order[i]], 2, limit);
                r = run(store, sweep_order[i]);
                if (r < 0)
                        return r;
                n += relay_database_n_changes(store->database);
        }
        *ret = n;
        return 0;
}

uint64_t mailbox_store_n_sweep_steps(const MailboxStore *store) {
        uint64_t n = 0;

        for (size_t i = 0; i < N_ELEMENTS(sweep_order); i++)
                n += (uint64_t) sqlite3_stmt_status(
                                store->statements[sweep_order[i]], SQLITE_STMTSTATUS_VM_STEP, 0);
        return n;
}
