/* What the store promises: rows come back as they were, what is removed is gone from the files, and
 * a folder is opened by one process, with one key, of a version that it knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "log.h"
#include "scratch.h"
#include "store-back.h"
#include "store.h"

typedef struct World {
        char directory[SCRATCH_SIZE];
        Store *store;
} World;

static const uint8_t check[VAULT_CHECK_SIZE] = { 1 };

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));
        int64_t stored = -1;

        scratch_make("store", w->directory);
        assert_int_equal(store_open(&w->store, w->directory, check, &stored), 0);
        assert_int_equal(stored, 0);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        store_close(w->store);
        scratch_remove(w->directory);
        free(w);
        return 0;
}

static uint8_t *filled(size_t size, uint8_t value) {
        uint8_t *p = malloc(size);

        memset(p, value, size);
        return p;
}

static void execute(const World *w, const char *text) {
        char path[128];
        sqlite3 *db;

        (void) snprintf(path, sizeof(path), "%s/vestibule.sqlite", w->directory);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static Share full_share(int64_t n) {
        Share s = { .n = n,
                .tenant = strdup("adler"),
                .policy = strdup("hotel"),
                .state = LIFECYCLE_INVITED,
                .goal = LIFECYCLE_CANCELLED,
                .cause = LIFECYCLE_CAUSE_RESTORED,
                .version = 4,
                .due = 100,
                .created = 5,
                .expires = 6,
                .mailbox_expires = 7,
                .ended = 8,
                .generation = 1,
                .step = 2,
                .messages = 3,
                .resends = 1,
                .answers = 2,
                .repeats = 4,
                .relay = strdup("relay-main"),
                .flags = SHARE_HELPED,
                .key = filled(VAULT_WRAPPED_SIZE, 'k'),
                .code = filled(VAULT_VERIFIER_SIZE, 'c'),
                .idempotency = filled(2 * VAULT_INDEX_SIZE, 'i'),
                .idempotency_size = 2 * VAULT_INDEX_SIZE,
                .reference = filled(9, 'r'),
                .reference_size = 9,
                .mailbox = filled(11, 'm'),
                .mailbox_size = 11,
                .n_addresses = 2 };

        rules_default(RULES_HOTEL, &s.rules);
        attempts_init(&s.attempts, 3, 9);
        s.attempts.n_wrong = 2;
        s.attempts.not_before = 77;
        memset(s.attempts.wrong, 'w', 2 * ATTEMPTS_TRACE_SIZE);
        memset(s.addresses, 'a', sizeof(s.addresses));
        share_note(&s, 9, TIMELINE_CREATED, 1, 2);
        share_note(&s, 10, TIMELINE_WRONG, 2, 0);
        return s;
}

static void a_share_comes_back_as_it_was(void **state) {
        World *w = *state;
        Share s = full_share(42), t;

        assert_int_equal(store_share_insert(w->store, &s), 0);
        assert_int_equal(store_share_load(w->store, 42, &t), 0);
        assert_string_equal(t.tenant, "adler");
        assert_string_equal(t.policy, "hotel");
        assert_int_equal(t.state, s.state);
        assert_int_equal(t.goal, s.goal);
        assert_int_equal(t.cause, s.cause);
        assert_int_equal(t.version, 4);
        assert_int_equal(t.due, 100);
        assert_int_equal(t.created, 5);
        assert_int_equal(t.expires, 6);
        assert_int_equal(t.mailbox_expires, 7);
        assert_int_equal(t.ended, 8);
        assert_int_equal(t.generation, 1);
        assert_int_equal(t.step, 2);
        assert_int_equal(t.messages, 3);
        assert_int_equal(t.resends, 1);
        assert_int_equal(t.answers, 2);
        assert_int_equal(t.repeats, 4);
        assert_string_equal(t.relay, "relay-main");
        assert_int_equal(t.flags, SHARE_HELPED);
        assert_memory_equal(&t.rules, &s.rules, sizeof(t.rules));
        assert_memory_equal(&t.attempts, &s.attempts, sizeof(t.attempts));
        assert_memory_equal(t.key, s.key, VAULT_WRAPPED_SIZE);
        assert_memory_equal(t.code, s.code, VAULT_VERIFIER_SIZE);
        assert_int_equal(t.idempotency_size, s.idempotency_size);
        assert_memory_equal(t.idempotency, s.idempotency, s.idempotency_size);
        assert_int_equal(t.reference_size, 9);
        assert_memory_equal(t.reference, s.reference, 9);
        assert_int_equal(t.mailbox_size, 11);
        assert_memory_equal(t.mailbox, s.mailbox, 11);
        assert_int_equal(t.n_addresses, 2);
        assert_int_equal(t.n_timeline, 2);
        assert_memory_equal(t.timeline, s.timeline, 2 * sizeof(TimelineEntry));
        share_done(&t);

        /* A change, and absence. */
        share_drop(&s.key, VAULT_WRAPPED_SIZE);
        s.state = LIFECYCLE_LOCKED;
        s.goal = LIFECYCLE_STATE_MAX;
        s.due = 0;
        s.attempts.n_wrong = 0;
        assert_int_equal(store_share_update(w->store, &s), 0);
        assert_int_equal(store_share_load(w->store, 42, &t), 0);
        assert_null(t.key);
        assert_int_equal(t.state, LIFECYCLE_LOCKED);
        assert_int_equal(t.goal, LIFECYCLE_STATE_MAX);
        assert_int_equal(t.attempts.n_wrong, 0);
        assert_int_equal(store_next_due(w->store), 0);
        share_done(&t);
        share_done(&s);
        assert_int_equal(store_share_load(w->store, 43, &t), STORE_E_NOT_FOUND);
}

static void spending_touches_nothing_but_the_attempts(void **state) {
        World *w = *state;
        Share s = full_share(1), t;

        assert_int_equal(store_share_insert(w->store, &s), 0);
        for (int i = 0; i < 4; i++)
                assert_int_equal(store_share_spend(w->store, 1), 0);
        assert_int_equal(store_share_load(w->store, 1, &t), 0);
        assert_int_equal(t.attempts.left, 0);
        assert_int_equal(t.attempts.total_left, 5);
        assert_int_equal(t.version, 4);
        share_done(&t);
        share_done(&s);
}

typedef struct Numbers {
        int64_t n[8];
        size_t count;
} Numbers;

static int collect(int64_t n, void *userdata) {
        Numbers *numbers = userdata;

        numbers->n[numbers->count++] = n;
        return 0;
}

static int collect_listed(int64_t n, LifecycleState state, void *userdata) {
        assert_int_equal(state, LIFECYCLE_INVITED);
        return collect(n, userdata);
}

static void due_shares_come_soonest_first_and_no_others(void **state) {
        World *w = *state;
        Numbers found = { 0 };

        for (int64_t n = 1; n <= 4; n++) {
                Share s = full_share(n);

                s.due = n == 3 ? 0 : 100 - n;
                assert_int_equal(store_share_insert(w->store, &s), 0);
                share_done(&s);
        }
        assert_int_equal(store_next_due(w->store), 96);
        assert_int_equal(store_due(w->store, 98, 10, collect, &found), 0);
        assert_int_equal(found.count, 2);
        assert_int_equal(found.n[0], 4);
        assert_int_equal(found.n[1], 2);
}

/* What the sweep does with a page of shares that it cannot end. */
static void a_postponed_share_makes_room_for_others_and_is_otherwise_the_same(void **state) {
        World *w = *state;
        Numbers found = { 0 };
        Share t;

        for (int64_t n = 1; n <= 3; n++) {
                Share s = full_share(n);

                assert_int_equal(store_share_insert(w->store, &s), 0);
                share_done(&s);
        }
        assert_int_equal(store_due(w->store, 100, 2, collect, &found), 0);
        assert_int_equal(found.count, 2);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(store_share_postpone(w->store, found.n[i], 400), 0);
        found.count = 0;
        assert_int_equal(store_due(w->store, 399, 2, collect, &found), 0);
        assert_int_equal(found.count, 1);
        assert_int_equal(found.n[0], 3);
        assert_int_equal(store_next_due(w->store), 100);
        assert_int_equal(store_share_remove(w->store, &(Share){ .n = 3 }), 0);
        assert_int_equal(store_next_due(w->store), 400);

        assert_int_equal(store_share_load(w->store, 1, &t), 0);
        assert_int_equal(t.due, 400);
        assert_int_equal(t.version, 4);
        assert_int_equal(t.expires, 6);
        assert_int_equal(t.state, LIFECYCLE_INVITED);
        assert_memory_equal(t.key, "kkkk", 4);
        share_done(&t);

        /* A row that cannot be read is the reason for all this. */
        execute(w, "UPDATE share SET rules = x'00', due = 1 WHERE n = 2");
        assert_int_equal(store_share_load(w->store, 2, &t), -EBADMSG);
        assert_int_equal(store_share_postpone(w->store, 2, 401), 0);
        found.count = 0;
        assert_int_equal(store_due(w->store, 401, 3, collect, &found), 0);
        assert_int_equal(found.count, 2);
        assert_int_equal(found.n[1], 2);
}

static void a_tenant_lists_its_own_newest_first(void **state) {
        World *w = *state;
        Numbers found = { 0 };

        for (int64_t n = 1; n <= 4; n++) {
                Share s = full_share(n);

                if (n == 2)
                        s.tenant[0] = 'o';
                assert_int_equal(store_share_insert(w->store, &s), 0);
                share_done(&s);
        }
        assert_int_equal(store_list(w->store, "adler", 4, 10, collect_listed, &found), 0);
        assert_int_equal(found.count, 2);
        assert_int_equal(found.n[0], 3);
        assert_int_equal(found.n[1], 1);
        found.count = 0;
        assert_int_equal(store_list(w->store, NULL, INT64_MAX, 10, collect_listed, &found), 0);
        assert_int_equal(found.count, 4);
}

static void messages_go_with_the_share_and_notices_stay(void **state) {
        World *w = *state;
        OutboxKind kind;
        uint8_t *body;
        size_t size;
        int part, step;

        assert_int_equal(store_message_put(w->store,
                                         1,
                                         0,
                                         OUTBOX_INVITATION,
                                         1,
                                         (const uint8_t *) "one",
                                         3),
                        0);
        assert_int_equal(
                        store_message_put(
                                        w->store, 1, 5, OUTBOX_LINK, 0, (const uint8_t *) "two", 3),
                        0);
        assert_int_equal(store_message_put(w->store,
                                         1,
                                         6,
                                         OUTBOX_NOTICE,
                                         1,
                                         (const uint8_t *) "three",
                                         5),
                        0);
        assert_int_equal(store_message_find(w->store, 1, OUTBOX_LINK, &part), 0);
        assert_int_equal(part, 5);
        assert_int_equal(store_message_remove_all(w->store, 1, true), 0);
        assert_int_equal(store_message_find(w->store, 1, OUTBOX_LINK, &part), STORE_E_NOT_FOUND);
        assert_int_equal(store_message_get(w->store, 1, 6, &kind, &step, &body, &size), 0);
        assert_int_equal(kind, OUTBOX_NOTICE);
        assert_int_equal(step, 1);
        assert_int_equal(size, 5);
        free(body);
        assert_int_equal(store_message_get(w->store, 1, 0, &kind, &step, &body, &size),
                        STORE_E_NOT_FOUND);
}

static void dropping_spares_what_a_plugin_may_have_done(void **state) {
        World *w = *state;
        OutboxRow row = { .share = 1, .lane = "echo" };
        bool creating;

        for (int part = 0; part < 6; part++) {
                row.part = part;
                row.kind = (OutboxKind) (OUTBOX_INVITATION + part);
                assert_int_equal(store_outbox_put(w->store, &row), 0);
        }
        row = (OutboxRow){
                .share = 1, .part = 9, .kind = OUTBOX_CREATE, .attempts = 1, .lane = "relay"
        };
        assert_int_equal(store_outbox_put(w->store, &row), 0);
        assert_int_equal(store_outbox_drop(w->store, 1, &creating), 0);
        assert_true(creating);
        for (int part = 0; part < 6; part++) {
                OutboxKind kind = (OutboxKind) (OUTBOX_INVITATION + part);

                assert_int_equal(store_outbox_get(w->store, 1, part, &row),
                                kind == OUTBOX_NOTICE || kind == OUTBOX_DELETE ? 0
                                                                               : STORE_E_NOT_FOUND);
        }
        assert_int_equal(store_outbox_get(w->store, 1, 9, &row), 0);
        assert_int_equal(store_outbox_remove(w->store, 1, 9), 0);
        assert_int_equal(store_outbox_drop(w->store, 1, &creating), 0);
        assert_false(creating);
}

static void the_outbox_keeps_only_notices_of_an_ended_share(void **state) {
        World *w = *state;
        OutboxRow row = { .share = 1, .lane = "echo" };

        for (int part = 0; part < 6; part++) {
                row.part = part;
                row.kind = (OutboxKind) (OUTBOX_INVITATION + part);
                assert_int_equal(store_outbox_put(w->store, &row), 0);
        }
        assert_int_equal(store_outbox_remove_all(w->store, 1, true), 0);
        for (int part = 0; part < 6; part++) {
                OutboxKind kind = (OutboxKind) (OUTBOX_INVITATION + part);

                assert_int_equal(store_outbox_get(w->store, 1, part, &row),
                                kind == OUTBOX_NOTICE ? 0 : STORE_E_NOT_FOUND);
        }
}

static void an_ended_share_does_not_hide_a_live_one(void **state) {
        World *w = *state;
        const uint8_t address[VAULT_INDEX_SIZE] = { 5 };
        Numbers found = { 0 };

        for (int64_t n = 1; n <= 3; n++)
                assert_int_equal(store_address_put(w->store, address, n), 0);
        assert_int_equal(store_address_end(w->store, address, 3), 0);
        assert_int_equal(store_address_each(w->store, address, false, 1, collect, &found), 0);
        assert_int_equal(found.count, 1);
        assert_int_equal(found.n[0], 2);
        found.count = 0;
        assert_int_equal(store_address_each(w->store, address, true, 9, collect, &found), 0);
        assert_int_equal(found.count, 1);
        assert_int_equal(found.n[0], 3);
        assert_int_equal(store_address_remove(w->store, address, 3), 0);
        found.count = 0;
        assert_int_equal(store_address_each(w->store, address, true, 9, collect, &found), 0);
        assert_int_equal(found.count, 0);
}

static void what_was_seen_is_seen_once_until_it_is_swept(void **state) {
        World *w = *state;
        const uint8_t key[VAULT_INDEX_SIZE] = { 9 };

        assert_int_equal(store_seen_has(w->store, key), 0);
        assert_int_equal(store_seen_add(w->store, key, 50), 0);
        assert_int_equal(store_seen_has(w->store, key), STORE_E_EXISTS);
        assert_int_equal(store_seen_add(w->store, key, 60), STORE_E_EXISTS);
        assert_int_equal(store_sweep(w->store, 49, 10), 0);
        assert_int_equal(store_seen_add(w->store, key, 60), STORE_E_EXISTS);
        assert_int_equal(store_sweep(w->store, 50, 10), 0);
        assert_int_equal(store_seen_add(w->store, key, 60), 0);
}

static void an_answer_is_kept_and_its_content_can_be_wiped(void **state) {
        World *w = *state;
        const uint8_t key[VAULT_INDEX_SIZE] = { 9 };
        uint8_t text[] = "answer";
        StoreAnswer a = { .share = 3,
                .status = 201,
                .digest = { 4 },
                .answer = text,
                .answer_size = 6 },
                    b = { 0 };

        assert_int_equal(store_answer_put(w->store, key, &a, 100), 0);
        assert_int_equal(store_answer_get(w->store, key, 100, &b), STORE_E_NOT_FOUND);
        assert_int_equal(store_answer_get(w->store, key, 99, &b), 0);
        assert_int_equal(b.status, 201);
        assert_int_equal(b.share, 3);
        assert_memory_equal(b.digest, a.digest, 32);
        assert_memory_equal(b.answer, "answer", 6);
        free(b.answer);
        assert_int_equal(store_answer_wipe(w->store, key), 0);
        assert_int_equal(store_answer_get(w->store, key, 99, &b), 0);
        assert_null(b.answer);
}

static void a_block_lasts_until_it_expires_and_is_never_shortened(void **state) {
        World *w = *state;
        StoreBlock block = { .pair = { 7 }, .since = 10, .expires = 100 };

        assert_int_equal(store_block_has(w->store, block.pair, 1), 0);
        assert_int_equal(store_block_put(w->store, &block), 0);
        block.expires = 50;
        assert_int_equal(store_block_put(w->store, &block), 0);
        assert_int_equal(store_block_has(w->store, block.pair, 99), STORE_E_EXISTS);
        assert_int_equal(store_block_has(w->store, block.pair, 100), 0);
}

typedef struct BlockList {
        size_t n;
        StoreBlock blocks[4];
        char notes[4][8];
} BlockList;

static int list_block(const StoreBlock *block, void *userdata) {
        BlockList *list = userdata;

        list->blocks[list->n] = *block;
        (void) snprintf(list->notes[list->n],
                        sizeof(list->notes[0]),
                        "%.*s",
                        (int) block->note_size,
                        block->note ? (const char *) block->note : "");
        return ++list->n == N_ELEMENTS(list->blocks);
}

static void blocks_are_listed_in_pages_and_lifted_once(void **state) {
        World *w = *state;
        static const char *const notes[] = { "one", "two", "three", "four" };
        BlockList list = { 0 };

        for (uint8_t i = 0; i < 4; i++) {
                const StoreBlock block = { .pair = { i + 1 },
                        .since = 10 + i,
                        .expires = 100 - 10 * i,
                        .note = (uint8_t *) notes[i],
                        .note_size = strlen(notes[i]) };

                assert_int_equal(store_block_put(w->store, &block), 0);
        }
        assert_int_equal(store_block_each(w->store, NULL, 75, 2, list_block, &list), 0);
        assert_int_equal(list.n, 2);
        assert_int_equal(list.blocks[1].pair[0], 2);
        assert_int_equal(list.blocks[1].since, 11);
        assert_int_equal(list.blocks[1].expires, 90);
        assert_string_equal(list.notes[1], "two");
        assert_int_equal(store_block_each(w->store, list.blocks[1].pair, 75, 2, list_block, &list),
                        0);
        assert_int_equal(list.n, 3); /* the fourth has expired */
        assert_string_equal(list.notes[2], "three");

        assert_int_equal(store_block_remove(w->store, list.blocks[0].pair), 0);
        assert_int_equal(store_block_remove(w->store, list.blocks[0].pair), STORE_E_NOT_FOUND);
        assert_int_equal(store_block_has(w->store, list.blocks[0].pair, 1), 0);
        assert_int_equal(store_block_has(w->store, list.blocks[1].pair, 1), STORE_E_EXISTS);
}

static void a_longer_block_brings_its_own_note_and_a_shorter_one_does_not(void **state) {
        World *w = *state;
        StoreBlock day = {
                .pair = { 1 }, .expires = 50, .note = (uint8_t *) "day", .note_size = 3
        };
        StoreBlock month = {
                .pair = { 1 }, .expires = 90, .note = (uint8_t *) "month", .note_size = 5
        };
        BlockList list = { 0 };

        assert_int_equal(store_block_put(w->store, &day), 0);
        assert_int_equal(store_block_put(w->store, &month), 0);
        assert_int_equal(store_block_put(w->store, &day), 0);
        assert_int_equal(store_block_each(w->store, NULL, 1, 9, list_block, &list), 0);
        assert_int_equal(list.n, 1);
        assert_string_equal(list.notes[0], "month");
        assert_int_equal(list.blocks[0].expires, 90);
}

static void a_block_of_the_third_version_stays_and_is_listed_without_a_note(void **state) {
        World *w = *state;
        const StoreBlock block = { .pair = { 1 }, .expires = 50 };
        BlockList list = { 0 };
        int64_t stored;

        assert_int_equal(store_block_put(w->store, &block), 0);
        w->store = store_close(w->store);
        execute(w, STORE_BACK_TO_3);
        assert_int_equal(store_open(&w->store, w->directory, check, &stored), 0);
        assert_int_equal(store_block_has(w->store, block.pair, 49), STORE_E_EXISTS);
        assert_int_equal(store_block_each(w->store, NULL, 49, 9, list_block, &list), 0);
        assert_int_equal(list.n, 1);
        assert_null(list.blocks[0].note);
        assert_int_equal(list.blocks[0].expires, 50);
}

static void a_mark_takes_back_what_came_after_it(void **state) {
        World *w = *state;
        const uint8_t a[VAULT_INDEX_SIZE] = { 1 }, b[VAULT_INDEX_SIZE] = { 2 };

        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(store_mark(w->store), 0);
        assert_int_equal(store_seen_add(w->store, a, 10), 0);
        assert_int_equal(store_mark(w->store), 0);
        assert_int_equal(store_seen_add(w->store, b, 10), 0);
        assert_int_equal(store_return(w->store), 0);
        assert_int_equal(store_release(w->store), 0);
        assert_int_equal(store_commit(w->store), 0);
        assert_int_equal(store_seen_add(w->store, a, 10), STORE_E_EXISTS);
        assert_int_equal(store_seen_add(w->store, b, 10), 0);
}

static bool file_holds(const char *directory, const char *name, const char *text) {
        char path[128];
        uint8_t *data = NULL;
        size_t size = 0;
        bool found;
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        file = fopen(path, "re");
        if (!file)
                return false;
        (void) fseek(file, 0, SEEK_END);
        size = (size_t) ftell(file);
        rewind(file);
        data = malloc(size + 1);
        assert_int_equal(fread(data, 1, size, file), size);
        (void) fclose(file);
        found = memmem(data, size, text, strlen(text)) != NULL;
        free(data);
        return found;
}

static void what_is_removed_leaves_the_files_after_a_truncating_checkpoint(void **state) {
        static const char marker[] = "a-payload-that-must-not-stay-anywhere";
        static uint8_t payload[60000]; /* so large that it gets pages of its own */
        World *w = *state;

        for (size_t i = 0; i + sizeof(marker) < sizeof(payload); i += sizeof(marker))
                memcpy(payload + i, marker, sizeof(marker));
        assert_int_equal(store_content_put(w->store, 1, NULL, 0, payload, sizeof(payload)), 0);
        assert_true(file_holds(w->directory, "vestibule.sqlite-wal", marker));
        assert_int_equal(store_checkpoint(w->store, true), 0);
        assert_true(file_holds(w->directory, "vestibule.sqlite", marker));
        assert_int_equal(store_payload_wipe(w->store, 1), 0);
        assert_int_equal(store_checkpoint(w->store, true), 0);
        assert_false(file_holds(w->directory, "vestibule.sqlite", marker));
        assert_false(file_holds(w->directory, "vestibule.sqlite-wal", marker));
}

static off_t size_of_log(const World *w) {
        char path[128];
        struct stat st;

        (void) snprintf(path, sizeof(path), "%s/vestibule.sqlite-wal", w->directory);
        return stat(path, &st) == 0 ? st.st_size : 0;
}

/* Without the pause it would grow as long as somebody writes. */
static void the_log_is_bounded_by_a_pause(void **state) {
        static uint8_t payload[500000];
        World *w = *state;
        int64_t n = 0;

        while (!store_needs_restart(w->store) && n < 1000) {
                assert_int_equal(store_begin(w->store), 0);
                assert_int_equal(
                                store_content_put(w->store, ++n, NULL, 0, payload, sizeof(payload)),
                                0);
                assert_int_equal(store_commit(w->store), 0);
        }
        assert_true(store_needs_restart(w->store));
        assert_in_range(size_of_log(w), 60 << 20, 70 << 20);
        while (store_checkpoint(w->store, false) == -EBUSY) /* the helper is at it */
                (void) sched_yield();
        assert_false(store_needs_restart(w->store));
        for (int i = 0; i < 20; i++)
                assert_int_equal(
                                store_content_put(w->store, ++n, NULL, 0, payload, sizeof(payload)),
                                0);
        assert_in_range(size_of_log(w), 60 << 20, 70 << 20);
        assert_int_equal(store_checkpoint(w->store, true), 0);
        assert_int_equal(size_of_log(w), 0);
}

static void one_process_one_key_one_version(void **state) {
        static const uint8_t other[VAULT_CHECK_SIZE] = { 2 };
        World *w = *state;
        Store *second = NULL;
        int64_t stored;

        assert_int_equal(store_open(&second, w->directory, check, &stored), STORE_E_IN_USE);
        assert_int_equal(store_time_put(w->store, 1234), 0);
        w->store = store_close(w->store);
        assert_int_equal(store_open(&second, w->directory, other, &stored), STORE_E_OTHER_KEY);
        assert_int_equal(store_open(&w->store, w->directory, check, &stored), 0);
        assert_int_equal(stored, 1234);

        w->store = store_close(w->store);
        execute(w, "PRAGMA user_version = 99");
        assert_int_equal(store_open(&second, w->directory, check, &stored), STORE_E_NEWER);
}

static Transfer a_transfer(int64_t n) {
        Transfer t = { .share = n,
                .progress = 1000 + n,
                .count = 1,
                .polls = 3,
                .polling = true,
                .turn = TRANSFER_INITIATOR,
                .has_known = true,
                .frame = filled(20, 0x51),
                .frame_size = 20 };

        strcpy(t.lane, "relay-main");
        memset(t.known, 0x52, sizeof(t.known));
        return t;
}

static int count_transfer(const Transfer *transfer, void *userdata) {
        int64_t *seen = userdata;

        assert_string_equal(transfer->lane, "relay-main");
        assert_int_equal(transfer->progress, 1000 + transfer->share);
        assert_int_equal(transfer->polls, 3);
        *seen = *seen * 10 + transfer->share;
        return 0;
}

static void a_transfer_and_its_messages_come_back_as_they_were(void **state) {
        World *w = *state;
        Transfer t = a_transfer(7), back;
        TransferMessage m = { .share = 7,
                .from = TRANSFER_INITIATOR,
                .state = TRANSFER_ACCEPTED,
                .at = 5,
                .has_digest = true,
                .body = filled(9, 0x53),
                .body_size = 9 },
                        other;
        int number = -1;

        memset(m.digest, 0x54, sizeof(m.digest));
        assert_int_equal(store_transfer_get(w->store, 7, &back), STORE_E_NOT_FOUND);
        assert_int_equal(store_transfer_put(w->store, &t), 0);
        assert_int_equal(store_transfer_get(w->store, 7, &back), 0);
        assert_int_equal(back.count, 1);
        assert_true(back.polling && back.has_known);
        assert_int_equal(back.turn, TRANSFER_INITIATOR);
        assert_memory_equal(back.known, t.known, sizeof(t.known));
        assert_int_equal(back.frame_size, 20);
        assert_memory_equal(back.frame, t.frame, 20);
        assert_null(back.state);
        transfer_done(&back);

        assert_int_equal(store_transfer_message_put(w->store, &m), 0);
        m.number = 2;
        m.from = TRANSFER_RECIPIENT;
        m.state = TRANSFER_RECEIVED;
        assert_int_equal(store_transfer_message_put(w->store, &m), 0);
        assert_int_equal(store_transfer_message_find(w->store, 7, m.digest, &number), 0);
        assert_int_equal(number, 2);
        assert_int_equal(store_transfer_message_find(w->store, 8, m.digest, &number),
                        STORE_E_NOT_FOUND);
        assert_int_equal(store_transfer_message_last(w->store, 7, &number), 0);
        assert_int_equal(number, 2);
        assert_int_equal(store_transfer_message_queued(w->store, 7, &number), STORE_E_NOT_FOUND);
        assert_int_equal(store_transfer_message_next(w->store, 7, 1, &other), 0);
        assert_int_equal(other.number, 2);
        assert_int_equal(other.from, TRANSFER_RECIPIENT);
        assert_memory_equal(other.body, m.body, 9);
        transfer_message_done(&other);
        assert_int_equal(store_transfer_message_get(w->store, 7, 1, &other), STORE_E_NOT_FOUND);
        assert_int_equal(store_transfer_message_next(w->store, 7, 3, &other), STORE_E_NOT_FOUND);
        m.number = 3;
        m.from = TRANSFER_INITIATOR;
        m.state = TRANSFER_QUEUED;
        assert_int_equal(store_transfer_message_put(w->store, &m), 0);
        assert_int_equal(store_transfer_message_queued(w->store, 7, &number), 0);
        assert_int_equal(number, 3);
        assert_int_equal(store_transfer_message_last(w->store, 7, &number), 0);
        assert_int_equal(number, 2);

        assert_int_equal(store_transfer_remove(w->store, 7), 0);
        assert_int_equal(store_transfer_get(w->store, 7, &back), STORE_E_NOT_FOUND);
        assert_int_equal(store_transfer_message_next(w->store, 7, 0, &other), STORE_E_NOT_FOUND);
        transfer_done(&t);
        transfer_message_done(&m);
}

static void only_transfers_that_are_polled_are_listed(void **state) {
        World *w = *state;
        int64_t seen = 0;

        for (int64_t n = 1; n <= 3; n++) {
                Transfer t = a_transfer(n);

                t.polling = n != 2;
                assert_int_equal(store_transfer_put(w->store, &t), 0);
                transfer_done(&t);
        }
        assert_int_equal(store_transfer_each(w->store, count_transfer, &seen), 0);
        assert_int_equal(seen, 13);
}

static void a_store_of_the_first_version_is_brought_forward_with_its_shares(void **state) {
        World *w = *state;
        Share s = full_share(3), back;
        Transfer t = a_transfer(3);
        int64_t stored;

        assert_int_equal(store_share_insert(w->store, &s), 0);
        w->store = store_close(w->store);
        execute(w, STORE_BACK_TO_1);
        assert_int_equal(store_open(&w->store, w->directory, check, &stored), 0);
        assert_int_equal(store_share_load(w->store, 3, &back), 0);
        assert_int_equal(store_transfer_put(w->store, &t), 0);
        share_done(&back);
        share_done(&s);
        transfer_done(&t);
}

static int take_number(void *userdata, int n, char **values, char **names) {
        (void) n;
        (void) names;
        *(long *) userdata = strtol(values[0], NULL, 10);
        return 0;
}

static FILE *open_table(const World *w, const char *table, long *ret_offset) {
        char path[128], query[128];
        long page = 0;
        sqlite3 *db;
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/vestibule.sqlite", w->directory);
        (void) snprintf(query,
                        sizeof(query),
                        "SELECT rootpage FROM sqlite_master WHERE name = '%s'",
                        table);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, query, take_number, &page, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_true(page > 1);
        file = fopen(path, "r+e");
        assert_non_null(file);
        *ret_offset = (page - 1) * 8192;
        return file;
}

/* Overwrites the first page of a table, as a bad disk does, or with row >= 0 the start of that row
 * of it alone. The places of the rows follow 8 bytes of header. */
static void damage(const World *w, const char *table, int row) {
        uint8_t bad[8192], place[2];
        size_t size = row < 0 ? sizeof(bad) : 4;
        long offset;
        FILE *file;

        memset(bad, 0xff, sizeof(bad));
        file = open_table(w, table, &offset);
        if (row >= 0) {
                assert_int_equal(fseek(file, offset + 8 + 2 * row, SEEK_SET), 0);
                assert_int_equal(fread(place, 1, 2, file), 2);
                offset += place[0] << 8 | place[1];
        }
        assert_int_equal(fseek(file, offset, SEEK_SET), 0);
        assert_int_equal(fwrite(bad, 1, size, file), size);
        assert_int_equal(fclose(file), 0);
}

static int opened(World *w) {
        int64_t stored;
        int r;

        r = store_open(&w->store, w->directory, check, &stored);
        w->store = store_close(w->store);
        return r;
}

/* Or numbers would be given out again, and time would go back. */
static void a_store_whose_numbers_cannot_be_read_is_not_opened(void **state) {
        World *w = *state;
        Share s = full_share(7);

        assert_int_equal(store_share_insert(w->store, &s), 0);
        share_done(&s);
        assert_int_equal(store_time_put(w->store, 1234), 0);
        w->store = store_close(w->store);
        assert_int_equal(opened(w), 0);

        execute(w, "UPDATE meta SET value = 'noon' WHERE name = 'time'");
        assert_int_equal(opened(w), -EBADMSG);
        execute(w, "UPDATE meta SET value = -1 WHERE name = 'time'");
        assert_int_equal(opened(w), -EBADMSG);
        execute(w, "UPDATE meta SET value = 1234 WHERE name = 'time'");
        assert_int_equal(opened(w), 0);

        damage(w, "meta", 1); /* after `check`, which can still be read */
        assert_int_equal(opened(w), -EIO);
}

static void a_store_whose_shares_cannot_be_read_is_not_opened(void **state) {
        World *w = *state;
        Share s = full_share(7);

        assert_int_equal(store_share_insert(w->store, &s), 0);
        share_done(&s);
        w->store = store_close(w->store);
        damage(w, "share", -1);
        assert_int_equal(opened(w), -EIO);
}

static void the_files_are_nobody_elses(void **state) {
        static const char *const names[] = {
                "vestibule.sqlite", "vestibule.sqlite-wal", "vestibule.sqlite-shm", "lock"
        };
        World *w = *state;

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                char path[128];
                struct stat st;

                (void) snprintf(path, sizeof(path), "%s/%s", w->directory, names[i]);
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_mode & 0077, 0);
        }
}

static void a_long_transfer_leaves_the_rest_of_the_timeline_alone(void **state) {
        Share s = { .created = 0 };
        int n_others = 0;

        (void) state;
        share_note(&s, 1, TIMELINE_CREATED, 0, 0);
        share_note(&s, 2, TIMELINE_RELEASED, 0, 0);
        for (int i = 0; i < 3 * SHARE_TIMELINE_MAX; i++)
                share_note(&s,
                                3 + i,
                                i % 2 ? TIMELINE_MESSAGE_SENT : TIMELINE_MESSAGE_RECEIVED,
                                0,
                                0);
        share_note(&s, 900, TIMELINE_ENDED, 0, 0);
        assert_int_equal(s.n_timeline, SHARE_TIMELINE_MAX);
        for (int i = 0; i < s.n_timeline; i++)
                n_others += s.timeline[i].event != TIMELINE_MESSAGE_SENT &&
                            s.timeline[i].event != TIMELINE_MESSAGE_RECEIVED;
        assert_int_equal(n_others, 3);
        assert_int_equal(s.timeline[1].event, TIMELINE_RELEASED);
        assert_int_equal(s.timeline[SHARE_TIMELINE_MAX - 2].at, 3 + 3 * SHARE_TIMELINE_MAX - 1);
}

static void a_full_timeline_loses_its_middle(void **state) {
        Share s = { .created = 0 };

        (void) state;
        for (int i = 0; i < SHARE_TIMELINE_MAX + 10; i++)
                share_note(&s, i, TIMELINE_MISTYPED, i, 0);
        assert_int_equal(s.n_timeline, SHARE_TIMELINE_MAX);
        assert_int_equal(s.timeline[0].at, 0);
        assert_int_equal(s.timeline[SHARE_TIMELINE_MAX - 1].at, SHARE_TIMELINE_MAX + 9);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_share_comes_back_as_it_was, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                spending_touches_nothing_but_the_attempts, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                due_shares_come_soonest_first_and_no_others, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_postponed_share_makes_room_for_others_and_is_otherwise_the_same,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_tenant_lists_its_own_newest_first, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                messages_go_with_the_share_and_notices_stay, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                dropping_spares_what_a_plugin_may_have_done, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                the_outbox_keeps_only_notices_of_an_ended_share, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                an_ended_share_does_not_hide_a_live_one, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                what_was_seen_is_seen_once_until_it_is_swept, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                an_answer_is_kept_and_its_content_can_be_wiped, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_block_lasts_until_it_expires_and_is_never_shortened,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                blocks_are_listed_in_pages_and_lifted_once, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_longer_block_brings_its_own_note_and_a_shorter_one_does_not,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_block_of_the_third_version_stays_and_is_listed_without_a_note,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_mark_takes_back_what_came_after_it, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                what_is_removed_leaves_the_files_after_a_truncating_checkpoint,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(the_log_is_bounded_by_a_pause, setup, teardown),
                cmocka_unit_test_setup_teardown(one_process_one_key_one_version, setup, teardown),
                cmocka_unit_test_setup_teardown(a_transfer_and_its_messages_come_back_as_they_were,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                only_transfers_that_are_polled_are_listed, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_store_of_the_first_version_is_brought_forward_with_its_shares,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(a_store_whose_numbers_cannot_be_read_is_not_opened,
                                setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_store_whose_shares_cannot_be_read_is_not_opened, setup, teardown),
                cmocka_unit_test_setup_teardown(the_files_are_nobody_elses, setup, teardown),
                cmocka_unit_test(a_full_timeline_loses_its_middle),
                cmocka_unit_test(a_long_transfer_leaves_the_rest_of_the_timeline_alone),
        };

        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
