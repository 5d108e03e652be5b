/* Share rows: small, of fixed columns, found by number, tenant, reference, or by when they are due.
 */
#include "store-sqlite-internal.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* A policy's numbers, and how far a share's challenge has come, each as a blob, so that a new one
 * needs no new column. A blob of an older version is shorter: what it lacks is its default. */
enum {
        RULES_NUMBERS_FIRST = 8, /* of the first version */
        RULES_NUMBERS = 13,
        PROGRESS_NUMBERS = 9,
};

typedef struct Numbers {
        int64_t rules[RULES_NUMBERS], progress[PROGRESS_NUMBERS];
} Numbers;

static void numbers_write(const Share *share, Numbers *ret) {
        const Rules *rules = &share->rules;

        *ret = (Numbers){
                .rules = { rules->class,
                                rules->factors,
                                rules->code,
                                rules->attempts,
                                rules->attempts_total,
                                rules->challenge_ttl,
                                rules->mailbox_ttl,
                                rules->minimum_authentic,
                                rules->reissues,
                                rules->code_ttl,
                                rules->approval_ttl,
                                rules->fact_bits,
                                rules->interim_floor },
                .progress = { share->met,
                                share->codes,
                                share->reissues,
                                share->code_step,
                                share->key_step,
                                share->code_expires,
                                share->approval_expires,
                                share->step_until,
                                share->held_due },
        };
}

void sql_policy_of(const Share *share, uint8_t ret[STORE_POLICY_SIZE]) {
        crypto_generichash_state state;
        Numbers numbers;

        numbers_write(share, &numbers);
        (void) crypto_generichash_init(&state, NULL, 0, STORE_POLICY_SIZE);
        (void) crypto_generichash_update(
                        &state, (const uint8_t *) share->policy, strlen(share->policy) + 1);
        (void) crypto_generichash_update(
                        &state, (const uint8_t *) numbers.rules, sizeof(numbers.rules));
        (void) crypto_generichash_final(&state, ret, STORE_POLICY_SIZE);
}

static void rules_read(const int64_t numbers[RULES_NUMBERS], int n, Rules *ret) {
        rules_default((RulesClass) numbers[0], ret);
        ret->class = (RulesClass) numbers[0];
        ret->factors = (uint32_t) numbers[1];
        ret->code = (CodeFormat) numbers[2];
        ret->attempts = (unsigned) numbers[3];
        ret->attempts_total = (unsigned) numbers[4];
        ret->challenge_ttl = numbers[5];
        ret->mailbox_ttl = numbers[6];
        ret->minimum_authentic = (RulesAuthentic) numbers[7];
        if (n < RULES_NUMBERS)
                return;
        ret->reissues = (unsigned) numbers[8];
        ret->code_ttl = numbers[9];
        ret->approval_ttl = numbers[10];
        ret->fact_bits = (unsigned) numbers[11];
        ret->interim_floor = (unsigned) numbers[12];
}

static void progress_read(const int64_t numbers[PROGRESS_NUMBERS], Share *ret) {
        ret->met = (uint32_t) numbers[0];
        ret->codes = (int) numbers[1];
        ret->reissues = (int) numbers[2];
        ret->code_step = (int) numbers[3];
        ret->key_step = (int) numbers[4];
        ret->code_expires = numbers[5];
        ret->approval_expires = numbers[6];
        ret->step_until = numbers[7];
        ret->held_due = numbers[8];
}

/* blobs is the caller's buffer: bound without a copy. */
static void share_bind(sqlite3_stmt *stmt, const Share *share, Numbers *blobs) {
        const int64_t numbers[] = { share->version,
                share->due,
                share->created,
                share->expires,
                share->mailbox_expires,
                share->ended,
                share->attempts.left,
                share->attempts.total_left,
                share->attempts.mistyped_left,
                share->attempts.not_before,
                share->generation,
                share->step,
                share->messages,
                share->resends,
                share->answers,
                share->flags };

        sql_bind_number(stmt, 1, share->n);
        sql_bind_text(stmt, 2, share->tenant);
        sql_bind_text(stmt, 3, share->policy);
        sql_bind_text(stmt, 4, lifecycle_state_name(share->state));
        sql_bind_text(stmt, 5, lifecycle_state_name(share->goal));
        sql_bind_text(stmt, 6, lifecycle_cause_name(share->cause));
        for (int i = 0; i < (int) N_ELEMENTS(numbers); i++)
                sql_bind_number(stmt, 7 + i, numbers[i]);
        if (share->due == 0)
                (void) sqlite3_bind_null(stmt, 8);
        numbers_write(share, blobs);
        sql_bind_blob(stmt, 23, blobs->rules, sizeof(blobs->rules));
        sql_bind_blob(stmt,
                        24,
                        share->attempts.n_wrong ? share->attempts.wrong : NULL,
                        (size_t) share->attempts.n_wrong * ATTEMPTS_TRACE_SIZE);
        sql_bind_blob(stmt, 25, share->key, VAULT_WRAPPED_SIZE);
        sql_bind_blob(stmt, 26, share->code, VAULT_VERIFIER_SIZE);
        sql_bind_blob(stmt, 27, share->idempotency, share->idempotency_size);
        sql_bind_blob(stmt, 28, share->reference, share->reference_size);
        sql_bind_blob(stmt, 29, share->mailbox, share->mailbox_size);
        sql_bind_blob(stmt,
                        30,
                        share->n_addresses ? share->addresses : NULL,
                        (size_t) share->n_addresses * VAULT_INDEX_SIZE);
        sql_bind_blob(stmt,
                        31,
                        share->timeline,
                        (size_t) share->n_timeline * sizeof(TimelineEntry));
        sql_bind_number(stmt, 32, share->repeats);
        sql_bind_text(stmt, 33, share->relay);
        sql_bind_blob(stmt, 34, blobs->progress, sizeof(blobs->progress));
        sql_bind_blob(stmt, 35, share->held, share->held_size);
        sql_bind_blob(stmt, 36, share->approval, VAULT_VERIFIER_SIZE);
}

/* A blob that is absent or has exactly this size. */
static int column_fixed(sqlite3_stmt *stmt, int i, uint8_t **ret, size_t size) {
        size_t found;
        int r;

        r = sql_column_blob(stmt, i, ret, &found);
        if (r < 0)
                return r;
        return *ret && found != size ? -EBADMSG : 0;
}

static void share_read_numbers(sqlite3_stmt *stmt, Share *share) {
        share->n = sqlite3_column_int64(stmt, 0);
        share->version = sqlite3_column_int64(stmt, 6);
        share->due = sqlite3_column_int64(stmt, 7);
        share->created = sqlite3_column_int64(stmt, 8);
        share->expires = sqlite3_column_int64(stmt, 9);
        share->mailbox_expires = sqlite3_column_int64(stmt, 10);
        share->ended = sqlite3_column_int64(stmt, 11);
        share->attempts.left = (uint8_t) sql_column_int(stmt, 12);
        share->attempts.total_left = (uint8_t) sql_column_int(stmt, 13);
        share->attempts.mistyped_left = (uint8_t) sql_column_int(stmt, 14);
        share->attempts.not_before = sqlite3_column_int64(stmt, 15);
        share->generation = sql_column_int(stmt, 16);
        share->step = sql_column_int(stmt, 17);
        share->messages = sql_column_int(stmt, 18);
        share->resends = sql_column_int(stmt, 19);
        share->answers = sql_column_int(stmt, 20);
        share->flags = sql_column_int(stmt, 21);
        share->repeats = sql_column_int(stmt, 31);
}

static int share_read_blobs(sqlite3_stmt *stmt, Share *share) {
        int64_t rules[RULES_NUMBERS] = { 0 }, progress[PROGRESS_NUMBERS] = { 0 };
        int r, n;

        n = sql_column_array(stmt, 22, rules, sizeof(rules[0]), RULES_NUMBERS);
        if (n < RULES_NUMBERS_FIRST)
                return -EBADMSG;
        rules_read(rules, n, &share->rules);
        (void) sql_column_array(stmt, 33, progress, sizeof(progress[0]), PROGRESS_NUMBERS);
        progress_read(progress, share);
        share->attempts.n_wrong = (uint8_t) sql_column_array(
                        stmt, 23, share->attempts.wrong, ATTEMPTS_TRACE_SIZE, ATTEMPTS_TOTAL_MAX);
        share->n_addresses = sql_column_array(
                        stmt, 29, share->addresses, VAULT_INDEX_SIZE, SHARE_ADDRESSES_MAX);
        share->n_timeline = sql_column_array(
                        stmt, 30, share->timeline, sizeof(TimelineEntry), SHARE_TIMELINE_MAX);

        r = sql_column_text(stmt, 1, &share->tenant);
        if (r >= 0)
                r = sql_column_text(stmt, 2, &share->policy);
        if (r >= 0 && sqlite3_column_type(stmt, 32) != SQLITE_NULL)
                r = sql_column_text(stmt, 32, &share->relay);
        if (r >= 0)
                r = column_fixed(stmt, 24, &share->key, VAULT_WRAPPED_SIZE);
        if (r >= 0)
                r = column_fixed(stmt, 25, &share->code, VAULT_VERIFIER_SIZE);
        if (r >= 0)
                r = sql_column_blob(stmt, 26, &share->idempotency, &share->idempotency_size);
        if (r >= 0 && share->idempotency_size % VAULT_INDEX_SIZE != 0)
                r = -EBADMSG;
        if (r >= 0)
                r = sql_column_blob(stmt, 27, &share->reference, &share->reference_size);
        if (r >= 0)
                r = sql_column_blob(stmt, 28, &share->mailbox, &share->mailbox_size);
        if (r >= 0)
                r = sql_column_blob(stmt, 34, &share->held, &share->held_size);
        if (r >= 0)
                r = column_fixed(stmt, 35, &share->approval, VAULT_VERIFIER_SIZE);
        return r;
}

static int share_read(sqlite3_stmt *stmt, Share *share) {
        int r;

        memset(share, 0, sizeof(*share));
        share->state = lifecycle_state_from_name((const char *) sqlite3_column_text(stmt, 3));
        share->goal = lifecycle_state_from_name((const char *) sqlite3_column_text(stmt, 4));
        share->cause = lifecycle_cause_from_name((const char *) sqlite3_column_text(stmt, 5));
        if (share->state == LIFECYCLE_STATE_MAX || share->cause == LIFECYCLE_CAUSE_MAX)
                return -EBADMSG;
        share_read_numbers(stmt, share);
        r = share_read_blobs(stmt, share);
        if (r < 0)
                share_done(share);
        return r;
}

int store_share_load(Store *s, int64_t n, Share *ret) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_SHARE_LOAD);
        int r, code;

        sql_bind_number(stmt, 1, n);
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW)
                r = share_read(stmt, ret);
        else
                r = code == SQLITE_DONE ? STORE_E_NOT_FOUND : sql_failed(s, "read a share");
        (void) sqlite3_reset(stmt);
        return r;
}

int store_share_insert(Store *s, Share *share) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_SHARE_INSERT);
        Numbers blobs;
        int r;

        share_bind(stmt, share, &blobs);
        r = sql_run(s, stmt);
        if (r < 0)
                return r;
        if (share->n > s->last)
                s->last = share->n;
        return sql_events_append(s, share);
}

int store_share_update(Store *s, Share *share) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_SHARE_UPDATE);
        Numbers blobs;
        int r;

        share_bind(stmt, share, &blobs);
        r = sql_run(s, stmt);
        return r < 0 ? r : sql_events_append(s, share);
}

int store_share_spend(Store *s, int64_t n) {
        return sql_run_numbered(s, SQL_SHARE_SPEND, n);
}

int store_share_postpone(Store *s, int64_t n, int64_t due) {
        return sql_run_pair(s, SQL_SHARE_POSTPONE, n, due);
}

int store_share_remove(Store *s, const Share *share) {
        static const SqlStatement numbered[] = {
                SQL_SHARE_REMOVE, SQL_REFERENCE_REMOVE, SQL_CONTENT_REMOVE
        };
        int r;

        for (int i = 0; i < share->n_addresses; i++) {
                r = store_address_remove(s, share->addresses[i], share->n);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < N_ELEMENTS(numbered); i++) {
                r = sql_run_numbered(s, numbered[i], share->n);
                if (r < 0)
                        return r;
        }
        r = store_message_remove_all(s, share->n, false);
        if (r >= 0)
                r = store_transfer_remove(s, share->n);
        if (r < 0)
                return r;
        return store_outbox_remove_all(s, share->n, false);
}

int64_t store_last(const Store *s) {
        return s->last;
}

int store_due(Store *s, int64_t now, int limit, StoreShareSeen seen, void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_SHARE_DUE);

        sql_bind_number(stmt, 1, now);
        sql_bind_number(stmt, 2, limit);
        return sql_each_number(s, stmt, seen, userdata);
}

int64_t store_next_due(Store *s) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_SHARE_NEXT_DUE);
        int64_t due = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;

        (void) sqlite3_reset(stmt);
        return due;
}

static int each_listed(Store *s, sqlite3_stmt *stmt, StoreListSeen seen, void *userdata) {
        int code, r = 0;

        while (r == 0 && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
                if (code != SQLITE_ROW)
                        r = sql_failed(s, "list");
                else
                        r = seen(sqlite3_column_int64(stmt, 0),
                                        lifecycle_state_from_name((
                                                        const char *) sqlite3_column_text(stmt, 1)),
                                        userdata);
        }
        (void) sqlite3_reset(stmt);
        return r < 0 ? r : 0;
}

int store_list(Store *s,
                const char *tenant,
                int64_t before,
                int limit,
                StoreListSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, tenant ? SQL_SHARE_LIST : SQL_SHARE_LIST_ALL);

        if (tenant)
                sql_bind_text(stmt, 1, tenant);
        sql_bind_number(stmt, 2, before);
        sql_bind_number(stmt, 3, limit);
        return each_listed(s, stmt, seen, userdata);
}

int store_list_reference(Store *s,
                const uint8_t reference[VAULT_INDEX_SIZE],
                int64_t before,
                int limit,
                StoreListSeen seen,
                void *userdata) {
        sqlite3_stmt *stmt = sql_statement(s, SQL_REFERENCE_LIST);

        sql_bind_blob(stmt, 1, reference, VAULT_INDEX_SIZE);
        sql_bind_number(stmt, 2, before);
        sql_bind_number(stmt, 3, limit);
        return each_listed(s, stmt, seen, userdata);
}

int store_reference_put(Store *s, const uint8_t reference[VAULT_INDEX_SIZE], int64_t n) {
        return sql_run_indexed(s, SQL_REFERENCE_PUT, reference, n);
}
