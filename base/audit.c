/* The chain of the audit log. The verifier reads what anybody may have written: each line is taken
 * apart by JSON's rules, put together again in the one canonical form, and hashed. */
#include "audit.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "json-read.h"

static const char signature_label[] = "vestibule audit checkpoint v1";

/* --- the arithmetic ----------------------------------------------------------------------- */

void audit_hash(const uint8_t before[AUDIT_HASH_SIZE],
                const char *text,
                size_t size,
                uint8_t ret[AUDIT_HASH_SIZE]) {
        crypto_generichash_state state;

        (void) crypto_generichash_init(&state, NULL, 0, AUDIT_HASH_SIZE);
        (void) crypto_generichash_update(&state, before, AUDIT_HASH_SIZE);
        (void) crypto_generichash_update(&state, (const uint8_t *) text, size);
        (void) crypto_generichash_final(&state, ret, AUDIT_HASH_SIZE);
}

void audit_mac(const uint8_t key[AUDIT_KEY_SIZE],
                const uint8_t hash[AUDIT_HASH_SIZE],
                uint8_t ret[AUDIT_MAC_SIZE]) {
        (void) crypto_generichash(ret, AUDIT_MAC_SIZE, hash, AUDIT_HASH_SIZE, key, AUDIT_KEY_SIZE);
}

void audit_key_step(uint8_t key[AUDIT_KEY_SIZE]) {
        static const char label[] = "vestibule audit step";
        uint8_t next[AUDIT_KEY_SIZE];

        (void) crypto_generichash(next,
                        sizeof(next),
                        (const uint8_t *) label,
                        sizeof(label) - 1,
                        key,
                        AUDIT_KEY_SIZE);
        memcpy(key, next, sizeof(next));
        sodium_memzero(next, sizeof(next));
}

void audit_sign(const uint8_t secret[AUDIT_SECRET_SIZE],
                const char *text,
                size_t size,
                uint8_t ret[AUDIT_SIGNATURE_SIZE]) {
        crypto_sign_state state;

        (void) crypto_sign_init(&state);
        (void) crypto_sign_update(
                        &state, (const uint8_t *) signature_label, sizeof(signature_label) - 1);
        (void) crypto_sign_update(&state, (const uint8_t *) text, size);
        (void) crypto_sign_final_create(&state, ret, NULL, secret);
        sodium_memzero(&state, sizeof(state));
}

bool audit_is_signed(const uint8_t public[AUDIT_PUBLIC_SIZE],
                const char *text,
                size_t size,
                const uint8_t signature[AUDIT_SIGNATURE_SIZE]) {
        crypto_sign_state state;

        (void) crypto_sign_init(&state);
        (void) crypto_sign_update(
                        &state, (const uint8_t *) signature_label, sizeof(signature_label) - 1);
        (void) crypto_sign_update(&state, (const uint8_t *) text, size);
        return crypto_sign_final_verify(&state, signature, public) == 0;
}

bool audit_from_hex(const char *text, uint8_t *ret, size_t size) {
        size_t found;
        const char *end;

        return text && strlen(text) == 2 * size &&
               sodium_hex2bin(ret, size, text, strlen(text), NULL, &found, &end) == 0 &&
               found == size && *end == 0;
}

/* --- the lines ---------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int problem(
                int error, char ret[AUDIT_PROBLEM_SIZE], const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(ret, AUDIT_PROBLEM_SIZE, format, ap);
        va_end(ap);
        return error;
}

/* Takes a member of so many bytes in hexadecimal digits out of the object. */
static bool take_hex(json_t *object, const char *name, uint8_t *ret, size_t size) {
        bool found = audit_from_hex(json_string_value(json_object_get(object, name)), ret, size);

        return json_object_del(object, name) == 0 && found;
}

static bool number_of(const json_t *object, const char *name, int64_t *ret) {
        const json_t *value = json_object_get(object, name);

        *ret = json_integer_value(value);
        return json_is_integer(value) && *ret >= 0;
}

/* The one spelling that is hashed and signed. Zero: it does not fit, as no line of ours does. */
static size_t canonical(const json_t *object, char ret[AUDIT_LINE_MAX]) {
        size_t size = json_dumpb(object,
                        ret,
                        AUDIT_LINE_MAX,
                        JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII);

        return size <= AUDIT_LINE_MAX ? size : 0;
}

static int check_mac(AuditVerifier *v,
                int64_t number,
                int64_t epoch,
                const uint8_t mac[AUDIT_MAC_SIZE],
                char ret_problem[AUDIT_PROBLEM_SIZE]) {
        uint8_t expected[AUDIT_MAC_SIZE];

        if (!v->has_key || epoch < v->key_epoch)
                return 0;
        for (; v->key_epoch < epoch; v->key_epoch++)
                audit_key_step(v->key);
        audit_mac(v->key, v->hash, expected);
        if (sodium_memcmp(expected, mac, sizeof(expected)) != 0)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "record %" PRId64 " was not written by who had the key of epoch "
                                "%" PRId64,
                                number,
                                epoch);
        v->n_macs++;
        return 0;
}

/* Numbers, times and epochs only grow; epochs by one. */
static int
check_order(AuditVerifier *v, int64_t number, int64_t epoch, char ret_problem[AUDIT_PROBLEM_SIZE]) {
        if (v->last > 0 && number != v->last + 1)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "after record %" PRId64 " comes record %" PRId64
                                ": what was between them is missing, or they were put in another "
                                "order",
                                v->last,
                                number);
        if (v->last > 0 && epoch != v->epoch && epoch != v->epoch + 1)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "record %" PRId64 " is of epoch %" PRId64 ", the one before of "
                                "epoch %" PRId64,
                                number,
                                epoch,
                                v->epoch);
        if (number == 1 && epoch != 0)
                return problem(AUDIT_E_BROKEN, ret_problem, "record 1 is not of the first epoch");
        /* Or else whoever cannot sign would leave the checkpoints out. */
        if (v->last > 0 && epoch != v->epoch && v->signed_to != v->last)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "epoch %" PRId64 " ends with record %" PRId64
                                ", and its checkpoint is missing",
                                v->epoch,
                                v->last);
        return 0;
}

static int take_record(AuditVerifier *v, json_t *object, char ret_problem[AUDIT_PROBLEM_SIZE]) {
        uint8_t before[AUDIT_HASH_SIZE], hash[AUDIT_HASH_SIZE], mac[AUDIT_MAC_SIZE];
        const char *event = json_string_value(json_object_get(object, "event"));
        char text[AUDIT_LINE_MAX];
        int64_t number, epoch, time;
        size_t size;
        int r;

        if (!number_of(object, "seq", &number) || !number_of(object, "epoch", &epoch) ||
                        !number_of(object, "time", &time) || number == 0 || !event ||
                        epoch > v->epoch + 1 + (v->last == 0 ? INT32_MAX : 0))
                return problem(AUDIT_E_FORM,
                                ret_problem,
                                "the line after record %" PRId64 " is no record",
                                v->last);
        if (!take_hex(object, "previous", before, sizeof(before)) ||
                        !take_hex(object, "hash", hash, sizeof(hash)) ||
                        !take_hex(object, "mac", mac, sizeof(mac)))
                return problem(AUDIT_E_FORM,
                                ret_problem,
                                "record %" PRId64 " lacks its hashes",
                                number);
        r = check_order(v, number, epoch, ret_problem);
        if (r != 0)
                return r;
        if (v->last == 0) {
                v->first = number;
                v->first_time = time;
                if (number == 1 && !sodium_is_zero(before, sizeof(before)))
                        return problem(AUDIT_E_BROKEN,
                                        ret_problem,
                                        "record 1 follows something else");
                memcpy(v->hash, before, sizeof(before));
        }
        if (strcmp(event, "records_removed") == 0 && number_of(object, "number", &v->allowed_first))
                v->allowed_by = number;

        size = canonical(object, text);
        if (size > 0 && memcmp(before, v->hash, sizeof(before)) == 0)
                audit_hash(before, text, size, v->hash);
        if (memcmp(hash, v->hash, sizeof(hash)) != 0)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "record %" PRId64 " was changed, or the one before it was",
                                number);
        r = check_mac(v, number, epoch, mac, ret_problem);
        if (r != 0)
                return r;
        v->last = number;
        v->last_time = time;
        v->epoch = epoch;
        v->n_records++;
        if (!v->has_head || number != v->head)
                return 0;
        v->head_seen = true;
        if (memcmp(v->head_hash, v->hash, sizeof(v->hash)) == 0)
                return 0;
        return problem(AUDIT_E_BROKEN,
                        ret_problem,
                        "record %" PRId64 " is another than the one that was kept elsewhere: the "
                        "log was written anew",
                        number);
}

static int take_checkpoint(AuditVerifier *v, json_t *object, char ret_problem[AUDIT_PROBLEM_SIZE]) {
        uint8_t hash[AUDIT_HASH_SIZE], signature[AUDIT_SIGNATURE_SIZE];
        char text[AUDIT_LINE_MAX];
        int64_t number, epoch;
        size_t size;

        if (!number_of(object, "checkpoint", &number) || !number_of(object, "epoch", &epoch) ||
                        !audit_from_hex(json_string_value(json_object_get(object, "hash")),
                                        hash,
                                        sizeof(hash)) ||
                        !take_hex(object, "signature", signature, sizeof(signature)))
                return problem(AUDIT_E_FORM,
                                ret_problem,
                                "the line after record %" PRId64 " is no checkpoint",
                                v->last);
        if (number != v->last || memcmp(hash, v->hash, sizeof(hash)) != 0 || epoch != v->epoch)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "the checkpoint of record %" PRId64 " is not of the records before "
                                "it, which end with %" PRId64,
                                number,
                                v->last);
        size = canonical(object, text);
        if (v->has_public && !audit_is_signed(v->public, text, size, signature))
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "the checkpoint of record %" PRId64 " is not signed by this key",
                                number);
        v->n_checkpoints++;
        v->signed_to = number;
        return 0;
}

int audit_verifier_line(AuditVerifier *v,
                const char *line,
                size_t size,
                char ret_problem[AUDIT_PROBLEM_SIZE]) {
        json_auto_t *object = NULL;
        JsonProblem wrong;
        int r;

        ret_problem[0] = 0;
        r = size > AUDIT_LINE_MAX ? JSON_E_RANGE : json_read(line, size, 2, &object, &wrong);
        if (r < 0)
                return r;
        if (r > 0 || !json_is_object(object))
                return problem(AUDIT_E_FORM,
                                ret_problem,
                                "the line after record %" PRId64 " is not one of an audit log",
                                v->last);
        return json_object_get(object, "checkpoint") ? take_checkpoint(v, object, ret_problem)
                                                     : take_record(v, object, ret_problem);
}

int audit_verifier_end(AuditVerifier *v, char ret_problem[AUDIT_PROBLEM_SIZE]) {
        bool begins = v->first == 1 || v->allowed_first == v->first;

        ret_problem[0] = 0;
        if (v->n_records == 0)
                return problem(AUDIT_E_BROKEN, ret_problem, "there is no record");
        if (!begins)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "the log begins with record %" PRId64
                                ", and no record says that what was before it was removed in its "
                                "time",
                                v->first);
        if (v->first != 1 && v->allowed_by > v->signed_to)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "the log begins with record %" PRId64
                                ", and no signed record says that it may",
                                v->first);
        /* The first record of an epoch may still be to come. */
        if (v->epoch + 1 < v->present_epoch)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "the log ends with record %" PRId64 " in epoch %" PRId64
                                ", and the gateway is in epoch %" PRId64
                                ": its end was cut off, or written anew",
                                v->last,
                                v->epoch,
                                v->present_epoch);
        if (v->has_head && !v->head_seen)
                return problem(AUDIT_E_BROKEN,
                                ret_problem,
                                "the log ends with record %" PRId64 ", and record %" PRId64
                                " was kept elsewhere: its end was cut off",
                                v->last,
                                v->head);
        return 0;
}

void audit_verifier_done(AuditVerifier *v) {
        sodium_memzero(v->key, sizeof(v->key));
}
