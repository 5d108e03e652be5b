/* The audit log's chain: what was written is found to be so, and nothing else is. */
#include "audit.h"

#include <sodium.h>
#include <stdio.h>

#include "test.h"

enum { RECORDS = 12, EPOCH = 4, LINES = RECORDS + RECORDS / EPOCH };

typedef struct Log {
        char lines[LINES][AUDIT_LINE_MAX];
        size_t n;
        uint8_t public[AUDIT_PUBLIC_SIZE], first_key[AUDIT_KEY_SIZE], hash[AUDIT_HASH_SIZE];
} Log;

static void hex(const uint8_t *bytes, size_t size, char ret[AUDIT_HEX_MAX]) {
        (void) sodium_bin2hex(ret, AUDIT_HEX_MAX, bytes, size);
}

/* As the gateway writes, with checkpoints after every fourth record. first is the number of the
 * first record, after which one says that it may be. */
static void write_log(Log *log, int first, int time) {
        uint8_t secret[AUDIT_SECRET_SIZE], key[AUDIT_KEY_SIZE], mac[AUDIT_MAC_SIZE],
                        signature[AUDIT_SIGNATURE_SIZE], before[AUDIT_HASH_SIZE] = { 0 };
        char text[AUDIT_LINE_MAX], a[AUDIT_HEX_MAX], b[AUDIT_HEX_MAX], c[AUDIT_HEX_MAX];

        memset(log, 0, sizeof(*log));
        (void) crypto_sign_keypair(log->public, secret);
        randombytes_buf(key, sizeof(key));
        memcpy(log->first_key, key, sizeof(key));
        if (first > 1)
                randombytes_buf(before, sizeof(before));
        for (int i = 0; i < RECORDS; i++) {
                int n = snprintf(text,
                                sizeof(text),
                                "{\"actor\":\"gateway\",\"epoch\":%d,\"event\":\"%s\",\"number\":%"
                                "d,"
                                "\"seq\":%d,\"time\":%d}",
                                i / EPOCH,
                                i == 2 ? "records_removed" : "created",
                                first,
                                first + i,
                                time + i);

                audit_hash(before, text, (size_t) n, log->hash);
                audit_mac(key, log->hash, mac);
                hex(before, sizeof(before), a);
                hex(log->hash, sizeof(log->hash), b);
                hex(mac, sizeof(mac), c);
                (void) snprintf(log->lines[log->n++],
                                AUDIT_LINE_MAX,
                                "%.*s,\"previous\":\"%s\",\"hash\":\"%s\",\"mac\":\"%s\"}",
                                n - 1,
                                text,
                                a,
                                b,
                                c);
                memcpy(before, log->hash, sizeof(before));
                if (i % EPOCH != EPOCH - 1)
                        continue;
                n = snprintf(text,
                                sizeof(text),
                                "{\"checkpoint\":%d,\"epoch\":%d,\"hash\":\"%s\",\"time\":%d}",
                                first + i,
                                i / EPOCH,
                                b,
                                time + i);
                audit_sign(secret, text, (size_t) n, signature);
                hex(signature, sizeof(signature), c);
                (void) snprintf(log->lines[log->n++],
                                AUDIT_LINE_MAX,
                                "%.*s,\"signature\":\"%s\"}",
                                n - 1,
                                text,
                                c);
                audit_key_step(key);
        }
}

static AuditVerifier verifier(const Log *log, bool with_key) {
        AuditVerifier v = { .has_public = true, .has_key = with_key };

        memcpy(v.public, log->public, sizeof(v.public));
        memcpy(v.key, log->first_key, sizeof(v.key));
        return v;
}

/* 0 or the first problem. */
static int verify(AuditVerifier *v, const Log *log, char problem[AUDIT_PROBLEM_SIZE]) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < log->n; i++)
                r = audit_verifier_line(v, log->lines[i], strlen(log->lines[i]), problem);
        return r == 0 ? audit_verifier_end(v, problem) : r;
}

static void what_was_written_is_found_to_be_so(void **state) {
        char problem[AUDIT_PROBLEM_SIZE];
        AuditVerifier v;
        Log log;

        write_log(&log, 1, 1000);
        v = verifier(&log, true);
        v.has_head = true;
        v.head = RECORDS;
        memcpy(v.head_hash, log.hash, sizeof(v.head_hash));
        if (verify(&v, &log, problem) != 0)
                fail_msg("%s", problem);
        assert_int_equal(v.n_records, RECORDS);
        assert_int_equal(v.n_macs, RECORDS);
        assert_int_equal(v.n_checkpoints, 3);
        assert_int_equal(v.signed_to, RECORDS);
        audit_verifier_done(&v);
}

/* Other characters at every place of every line, with the public key alone. Spaces between members
 * say nothing and may be added: that is no other log. */
static void every_other_character_is_noticed(void **state) {
        static const char others[] = "0f1}\",:xA";
        char problem[AUDIT_PROBLEM_SIZE];
        Log log;

        write_log(&log, 1, 1000);
        for (size_t i = 0; i < log.n; i++)
                for (size_t k = 0; log.lines[i][k]; k++) {
                        const char *other = others;
                        char was = log.lines[i][k];
                        AuditVerifier v = verifier(&log, true);
                        int r;

                        while (*other == was)
                                other++;
                        log.lines[i][k] = *other;
                        r = verify(&v, &log, problem);
                        if (r == 0)
                                fail_msg("line %zu, character %zu: %s", i, k, log.lines[i]);
                        assert_true(r > 0 && problem[0]);
                        log.lines[i][k] = was;
                }
}

static void remove_line(Log *log, size_t i) {
        memmove(log->lines[i], log->lines[i + 1], (log->n - i - 1) * sizeof(log->lines[0]));
        log->n--;
}

static void a_line_that_is_missing_or_moved_is_noticed(void **state) {
        char problem[AUDIT_PROBLEM_SIZE];
        AuditVerifier v;
        Log log, other;

        write_log(&log, 1, 1000);
        for (size_t i = 0; i + 1 < log.n; i++) {
                other = log;
                remove_line(&other, i);
                v = verifier(&log, false);
                assert_int_equal(verify(&v, &other, problem), AUDIT_E_BROKEN);

                other = log;
                memcpy(other.lines[i], log.lines[i + 1], sizeof(other.lines[0]));
                memcpy(other.lines[i + 1], log.lines[i], sizeof(other.lines[0]));
                v = verifier(&log, false);
                assert_int_equal(verify(&v, &other, problem), AUDIT_E_BROKEN);
        }
}

static void a_cut_is_noticed_at_either_end(void **state) {
        char problem[AUDIT_PROBLEM_SIZE];
        AuditVerifier v;
        Log log, cut;

        write_log(&log, 1, 1000);
        cut = log;
        cut.n -= 5; /* back to a checkpoint */
        v = verifier(&log, true);
        assert_int_equal(verify(&v, &cut, problem), 0); /* by itself it looks whole */
        v = verifier(&log, true);
        v.has_head = true;
        v.head = RECORDS;
        memcpy(v.head_hash, log.hash, sizeof(v.head_hash));
        assert_int_equal(verify(&v, &cut, problem), AUDIT_E_BROKEN);
        assert_non_null(strstr(problem, "its end was cut off"));

        cut = log;
        for (int i = 0; i < 5; i++)
                remove_line(&cut, 0);
        v = verifier(&log, false);
        assert_int_equal(verify(&v, &cut, problem), AUDIT_E_BROKEN);
        assert_non_null(strstr(problem, "begins with record 5"));
}

/* Who can write to the store but not sign leaves the checkpoints out, and needs an epoch that never
 * ends. */
static void a_log_without_its_checkpoints_is_noticed(void **state) {
        char problem[AUDIT_PROBLEM_SIZE];
        AuditVerifier v;
        Log log;

        write_log(&log, 1, 1000);
        for (size_t i = log.n; i-- > 0;)
                if (strstr(log.lines[i], "checkpoint"))
                        remove_line(&log, i);
        assert_int_equal(log.n, RECORDS);
        v = verifier(&log, false);
        assert_int_equal(verify(&v, &log, problem), AUDIT_E_BROKEN);
        assert_non_null(strstr(problem, "its checkpoint is missing"));

        log.n = EPOCH;
        for (int present = 0; present <= 2; present++) {
                v = verifier(&log, false);
                v.present_epoch = present;
                assert_int_equal(verify(&v, &log, problem), present < 2 ? 0 : AUDIT_E_BROKEN);
        }
        assert_non_null(strstr(problem, "the gateway is in epoch 2"));
}

static void what_was_removed_in_its_time_is_said_by_a_signed_record(void **state) {
        char problem[AUDIT_PROBLEM_SIZE];
        AuditVerifier v;
        Log log, cut;

        write_log(&log, 7, 1000);
        v = verifier(&log, true);
        if (verify(&v, &log, problem) != 0)
                fail_msg("%s", problem);
        assert_int_equal(v.first, 7);
        cut = log;
        cut.n = 3; /* it says so, and nobody has signed */
        v = verifier(&log, true);
        assert_int_equal(verify(&v, &cut, problem), AUDIT_E_BROKEN);
        assert_non_null(strstr(problem, "no signed record"));
}

/* Who has everything but the keys of the past can make a chain of their own, and no more. */
static void a_log_that_is_written_anew_is_noticed(void **state) {
        char problem[AUDIT_PROBLEM_SIZE];
        Log log, forged;
        AuditVerifier v;

        write_log(&log, 1, 1000);
        write_log(&forged, 1, 2000);
        v = verifier(&log, false);
        assert_int_equal(verify(&v, &forged, problem), AUDIT_E_BROKEN);
        assert_non_null(strstr(problem, "not signed by this key"));
        v = verifier(&log, true);
        v.has_public = false;
        assert_int_equal(verify(&v, &forged, problem), AUDIT_E_BROKEN);
        assert_non_null(strstr(problem, "had the key of epoch 0"));
        v = verifier(&forged, false);
        v.has_head = true;
        v.head = RECORDS;
        memcpy(v.head_hash, log.hash, sizeof(v.head_hash));
        assert_int_equal(verify(&v, &forged, problem), AUDIT_E_BROKEN);
        assert_non_null(strstr(problem, "kept elsewhere"));
}

static void a_later_key_checks_what_comes_after_it(void **state) {
        char problem[AUDIT_PROBLEM_SIZE];
        AuditVerifier v;
        Log log;

        write_log(&log, 1, 1000);
        v = verifier(&log, true);
        v.key_epoch = 1;
        audit_key_step(v.key);
        if (verify(&v, &log, problem) != 0)
                fail_msg("%s", problem);
        assert_int_equal(v.n_macs, RECORDS - EPOCH);
}

static void what_is_no_line_is_refused(void **state) {
        static const char *const lines[] = { "",
                "{}",
                "[]",
                "{\"seq\":1}",
                "{\"seq\":0,\"epoch\":0,\"time\":0,\"event\":\"x\"}",
                "{\"seq\":1,\"epoch\":0,\"time\":0,\"event\":\"x\",\"hash\":\"00\"}",
                "{\"checkpoint\":1}",
                "{\"checkpoint\":-1,\"epoch\":0}",
                "nothing" };
        char problem[AUDIT_PROBLEM_SIZE];

        for (size_t i = 0; i < N_ELEMENTS(lines); i++) {
                AuditVerifier v = { 0 };

                assert_int_equal(audit_verifier_line(&v, lines[i], strlen(lines[i]), problem),
                                AUDIT_E_FORM);
                assert_true(problem[0]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_written_is_found_to_be_so),
                cmocka_unit_test(every_other_character_is_noticed),
                cmocka_unit_test(a_line_that_is_missing_or_moved_is_noticed),
                cmocka_unit_test(a_cut_is_noticed_at_either_end),
                cmocka_unit_test(a_log_without_its_checkpoints_is_noticed),
                cmocka_unit_test(what_was_removed_in_its_time_is_said_by_a_signed_record),
                cmocka_unit_test(a_log_that_is_written_anew_is_noticed),
                cmocka_unit_test(a_later_key_checks_what_comes_after_it),
                cmocka_unit_test(what_is_no_line_is_refused),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
