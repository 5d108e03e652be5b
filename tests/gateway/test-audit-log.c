/* The audit log on a real store, in a time moved by hand: epochs, crashes, what is taken back, and
 * what goes when it is old. What comes out is given to the auditor's own code. */
#include "audit-log.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "scratch.h"
#include "test.h"

enum { BEGIN = 1795000000 };

typedef struct World {
        char directory[SCRATCH_SIZE];
        Store *store;
        Vault *vault;
        AuditLog *audit;
        int64_t now;
} World;

static const uint8_t config[32] = { 7 };

static void open_all(World *w) {
        uint8_t check[VAULT_CHECK_SIZE];
        int64_t stored;

        vault_check_value(w->vault, check);
        assert_int_equal(store_open(&w->store, w->directory, check, &stored), 0);
        assert_int_equal(audit_log_open(&w->audit, w->store, w->vault, config), 0);
        audit_log_set_time(w->audit, w->now);
}

static void close_all(World *w) {
        w->audit = audit_log_close(w->audit);
        w->store = store_close(w->store);
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));
        _cleanup_(secret_done) Secret root = SECRET_NULL;

        assert_non_null(w);
        assert_int_equal(secret_new(&root, 32), 0);
        memset(root.data, 0x33, 32);
        root.size = 32;
        assert_int_equal(vault_new(&w->vault, &root), 0);
        scratch_make("audit", w->directory);
        w->now = BEGIN;
        open_all(w);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        close_all(w);
        vault_free(w->vault);
        scratch_remove(w->directory);
        free(w);
        return 0;
}

static void go_on(World *w, int64_t seconds) {
        w->now += seconds;
        audit_log_set_time(w->audit, w->now);
}

static Share a_share(int64_t n) {
        Share s = { .n = n,
                .tenant = (char *) "adler",
                .policy = (char *) "hotel",
                .state = LIFECYCLE_INVITED,
                .goal = LIFECYCLE_STATE_MAX,
                .version = 1,
                .created = BEGIN };

        rules_default(RULES_HOTEL, &s.rules);
        attempts_init(&s.attempts, 3, 9);
        return s;
}

/* One transaction with a record of a share in it. */
static void write_one(World *w, int64_t n) {
        Share s = a_share(n);

        share_note(&s, w->now, TIMELINE_CREATED, 0, 0);
        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(store_share_insert(w->store, &s), 0);
        assert_int_equal(store_commit(w->store), 0);
}

/* A transaction that only looks whether the epoch is over. */
static void write_nothing(World *w) {
        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(store_commit(w->store), 0);
}

/* Exports all pages into the verifier. 0 or its problem. */
static int verify(World *w, AuditVerifier *v, char problem[AUDIT_PROBLEM_SIZE]) {
        json_auto_t *keys = audit_log_keys(w->audit, false);
        int64_t after = 0;

        assert_true(audit_from_hex(json_string_value(json_object_get(keys, "public")),
                        v->public,
                        sizeof(v->public)));
        v->has_public = true;
        for (;;) {
                json_auto_t *page = NULL;
                const json_t *lines;
                json_t *line;
                size_t i;

                assert_int_equal(audit_log_export(w->audit, after, &page), 0);
                lines = json_object_get(page, "lines");
                if (json_array_size(lines) == 0)
                        return audit_verifier_end(v, problem);
                json_array_foreach(lines, i, line) {
                        char text[AUDIT_LINE_MAX];
                        size_t size = json_dumpb(line, text, sizeof(text), JSON_COMPACT);
                        int r = audit_verifier_line(v, text, size, problem);

                        if (r != 0)
                                return r;
                }
                after = json_integer_value(json_object_get(page, "cursor"));
        }
}

static void expect_whole(World *w, int64_t n_records, int64_t n_checkpoints) {
        char problem[AUDIT_PROBLEM_SIZE];
        AuditVerifier v = { 0 };

        if (verify(w, &v, problem) != 0)
                fail_msg("%s", problem);
        assert_int_equal(v.n_records, n_records);
        assert_int_equal(v.n_checkpoints, n_checkpoints);
}

static void an_epoch_lasts_a_minute_from_its_first_record(void **state) {
        World *w = *state;

        write_one(w, 1);
        go_on(w, AUDIT_LOG_EPOCH_SECONDS - 1);
        write_one(w, 2);
        expect_whole(w, 2, 0);
        go_on(w, 1);
        write_nothing(w);
        expect_whole(w, 2, 1);
        go_on(w, 10 * AUDIT_LOG_EPOCH_SECONDS); /* nothing happens: nothing is written */
        write_nothing(w);
        expect_whole(w, 2, 1);
        write_one(w, 3);
        go_on(w, AUDIT_LOG_EPOCH_SECONDS);
        write_one(w, 4);
        expect_whole(w, 4, 2);
}

static void or_a_thousand_records(void **state) {
        World *w = *state;

        assert_int_equal(store_begin(w->store), 0);
        for (int64_t n = 1; n <= AUDIT_LOG_EPOCH_RECORDS; n++) {
                Share s = a_share(n);

                share_note(&s, w->now, TIMELINE_CREATED, 0, 0);
                assert_int_equal(store_share_insert(w->store, &s), 0);
        }
        assert_int_equal(store_commit(w->store), 0);
        expect_whole(w, AUDIT_LOG_EPOCH_RECORDS, 1);
}

static void what_is_taken_back_was_never_written(void **state) {
        World *w = *state;
        Share s = a_share(2);

        write_one(w, 1);
        share_note(&s, w->now, TIMELINE_CREATED, 0, 0);
        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(store_share_insert(w->store, &s), 0);
        audit_log_note(w->audit, &(AuditNote){ .event = "operator", .number = -1 });
        audit_log_keep(w->audit);
        store_rollback(w->store);
        go_on(w, AUDIT_LOG_EPOCH_SECONDS);
        write_one(w, 3);
        expect_whole(w, 2, 1);

        audit_log_note(w->audit, &(AuditNote){ .event = "operator", .number = -1 });
        audit_log_forget(w->audit);
        write_nothing(w);
        expect_whole(w, 2, 1);
}

static void it_goes_on_over_a_restart_with_the_same_keys(void **state) {
        World *w = *state;

        write_one(w, 1);
        go_on(w, AUDIT_LOG_EPOCH_SECONDS);
        write_nothing(w);
        for (int64_t n = 2; n < 6; n++) {
                close_all(w);
                open_all(w);
                write_nothing(w); /* there is a checkpoint at this record already */
                write_one(w, n);
        }
        go_on(w, AUDIT_LOG_EPOCH_SECONDS);
        write_nothing(w);
        close_all(w);
        open_all(w);
        expect_whole(w, 5, 2);
}

/* Every key that the store holds, opened with the root key as an intruder has it later. */
static bool store_holds(World *w, const uint8_t key[AUDIT_KEY_SIZE]) {
        for (int64_t month = 0; month <= BEGIN / (24 * 3600); month++) {
                _cleanup_(secret_done) Secret plain = SECRET_NULL;
                _cleanup_(freep) uint8_t *sealed = NULL;
                size_t size;

                if (store_audit_key_get(w->store, month, &sealed, &size) != 0)
                        continue;
                assert_int_equal(vault_open(w->vault,
                                                 NULL,
                                                 month,
                                                 VAULT_FIELD_AUDIT,
                                                 0,
                                                 sealed,
                                                 size,
                                                 &plain),
                                0);
                if (memmem(plain.data, plain.size, key, AUDIT_KEY_SIZE))
                        return true;
        }
        return false;
}

static void who_has_the_root_key_later_lacks_the_keys_of_what_was_before(void **state) {
        World *w = *state;
        json_auto_t *then = audit_log_keys(w->audit, true), *now = NULL;
        uint8_t key[AUDIT_KEY_SIZE], next[AUDIT_KEY_SIZE], present[AUDIT_KEY_SIZE];

        assert_true(audit_from_hex(
                        json_string_value(json_object_get(then, "key")), key, sizeof(key)));
        write_one(w, 1);
        assert_true(store_holds(w, key)); /* while its epoch lasts */
        go_on(w, AUDIT_LOG_EPOCH_SECONDS);
        write_nothing(w);
        assert_false(store_holds(w, key));

        /* The auditor, who has it, comes to the present one, and checks each record with it. */
        now = audit_log_keys(w->audit, true);
        assert_int_equal(json_integer_value(json_object_get(now, "epoch")), 1);
        assert_true(audit_from_hex(
                        json_string_value(json_object_get(now, "key")), present, sizeof(present)));
        memcpy(next, key, sizeof(next));
        audit_key_step(next);
        assert_memory_equal(next, present, sizeof(next));
        assert_true(store_holds(w, present));

        write_one(w, 2);
        AuditVerifier v = { .has_key = true };
        char problem[AUDIT_PROBLEM_SIZE];

        memcpy(v.key, key, sizeof(key));
        if (verify(w, &v, problem) != 0)
                fail_msg("%s", problem);
        assert_int_equal(v.n_macs, 2);
}

static void what_is_old_goes_and_the_log_says_so(void **state) {
        World *w = *state;
        char problem[AUDIT_PROBLEM_SIZE];
        AuditVerifier v = { 0 };

        for (int64_t n = 1; n <= 5; n++) {
                write_one(w, n);
                go_on(w, 1000);
        }
        assert_int_equal(store_begin(w->store), 0);
        assert_int_equal(audit_log_sweep(w->audit, 2500), 0);
        audit_log_keep(w->audit);
        assert_int_equal(store_commit(w->store), 0);
        go_on(w, AUDIT_LOG_EPOCH_SECONDS);
        write_nothing(w);
        if (verify(w, &v, problem) != 0)
                fail_msg("%s", problem);
        assert_true(v.first > 1 && v.allowed_first == v.first);
        assert_int_equal(v.last, 6);
}

static void pseudonyms_are_the_same_for_a_month_and_lose_their_key(void **state) {
        World *w = *state;
        json_auto_t *page = NULL;
        const char *pseudonyms[3];
        const json_t *lines;
        size_t n = 0, i;
        json_t *line;
        bool any;

        write_one(w, 1);
        audit_log_note(w->audit, &(AuditNote){ .event = "late_answer", .share = 1, .number = -1 });
        audit_log_keep(w->audit);
        write_nothing(w);
        go_on(w, AUDIT_LOG_KEEP_PSEUDONYMS + 31 * 24 * 3600);
        audit_log_note(w->audit, &(AuditNote){ .event = "late_answer", .share = 1, .number = -1 });
        audit_log_keep(w->audit);
        write_nothing(w);
        assert_int_equal(audit_log_export(w->audit, 0, &page), 0);
        lines = json_object_get(page, "lines");
        json_array_foreach(lines, i, line) {
                if (json_object_get(line, "share"))
                        pseudonyms[n++] = json_string_value(json_object_get(line, "share"));
        }
        assert_int_equal(n, 3);
        assert_string_equal(pseudonyms[0], pseudonyms[1]);
        assert_string_not_equal(pseudonyms[1], pseudonyms[2]);
        assert_int_equal(audit_log_sweep(w->audit, AUDIT_LOG_KEEP), 0);
        audit_log_forget(w->audit);
        assert_int_equal(store_audit_key_remove(w->store, INT64_MAX, &any), 0);
        assert_true(any); /* the present month's was still there */
        assert_int_equal(store_audit_key_remove(w->store, INT64_MAX, &any), 0);
        assert_false(any);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
                TEST(an_epoch_lasts_a_minute_from_its_first_record),
                TEST(or_a_thousand_records),
                TEST(what_is_taken_back_was_never_written),
                TEST(it_goes_on_over_a_restart_with_the_same_keys),
                TEST(who_has_the_root_key_later_lacks_the_keys_of_what_was_before),
                TEST(what_is_old_goes_and_the_log_says_so),
                TEST(pseudonyms_are_the_same_for_a_month_and_lose_their_key),
        };

        log_set_max_priority(LOG_ERR);
        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
