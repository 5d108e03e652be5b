/* The audit log's chain, for who writes it and for who checks it (security.md C.5).
 *
 * A record is a JSON object of plain members; its canonical text has them sorted, without spaces.
 * The records are chained by
 *
 *   hash(i) = BLAKE2b-256(hash(i - 1) || text(i)), the one before the first is zero
 *   mac(i)  = BLAKE2b-128(key of the epoch, hash(i))
 *
 * so that anybody can check the chain, and nobody who comes later can make a record anew: the key
 * of an epoch is hashed into the next and then gone. Each epoch ends with a checkpoint, an object
 * of its own that says how far the chain goes, signed by Ed25519. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        AUDIT_HASH_SIZE = 32,
        AUDIT_MAC_SIZE = 16,
        AUDIT_KEY_SIZE = 32,
        AUDIT_SIGNATURE_SIZE = 64,
        AUDIT_PUBLIC_SIZE = 32,
        AUDIT_SECRET_SIZE = 64,
        AUDIT_HEX_MAX = 2 * AUDIT_SIGNATURE_SIZE + 1,
        AUDIT_LINE_MAX = 4096, /* of an exported line */
        AUDIT_PROBLEM_SIZE = 200,
};

void audit_hash(const uint8_t before[AUDIT_HASH_SIZE],
                const char *text,
                size_t size,
                uint8_t ret[AUDIT_HASH_SIZE]);
void audit_mac(const uint8_t key[AUDIT_KEY_SIZE],
                const uint8_t hash[AUDIT_HASH_SIZE],
                uint8_t ret[AUDIT_MAC_SIZE]);

/* Makes the next epoch's key in place of this one. */
void audit_key_step(uint8_t key[AUDIT_KEY_SIZE]);

/* Over "vestibule audit checkpoint v1" and the canonical text without the signature. */
void audit_sign(const uint8_t secret[AUDIT_SECRET_SIZE],
                const char *text,
                size_t size,
                uint8_t ret[AUDIT_SIGNATURE_SIZE]);
bool audit_is_signed(const uint8_t public[AUDIT_PUBLIC_SIZE],
                const char *text,
                size_t size,
                const uint8_t signature[AUDIT_SIGNATURE_SIZE]);

typedef enum AuditError {
        AUDIT_E_FORM = 1,   /* a line that is neither a record nor a checkpoint */
        AUDIT_E_BROKEN = 2, /* the chain is not what was written */
} AuditError;

/* What an auditor has: the lines of an export, one after another, and what was kept elsewhere. */
typedef struct AuditVerifier {
        /* given; all of it may be absent */
        bool has_public, has_key, has_head;
        uint8_t public[AUDIT_PUBLIC_SIZE];
        uint8_t key[AUDIT_KEY_SIZE]; /* of key_epoch: later records' macs are checked with it */
        int64_t key_epoch;
        int64_t head; /* a number that was kept elsewhere, with its hash */
        uint8_t head_hash[AUDIT_HASH_SIZE];
        int64_t present_epoch; /* in which the gateway was before the first line was asked for */

        /* found */
        int64_t n_records, n_checkpoints, n_macs;
        int64_t first, last, signed_to; /* numbers; 0 for none */
        int64_t first_time, last_time, epoch;
        int64_t allowed_first; /* what a record says the log begins with, after older ones were
                                  removed in their time */
        int64_t allowed_by;    /* that record */
        bool head_seen;
        uint8_t hash[AUDIT_HASH_SIZE];
} AuditVerifier;

/* Takes the next line, without its end. 0, AuditError with a sentence in ret_problem that names the
 * record, or -ENOMEM. After a problem the verifier is of no more use. */
int audit_verifier_line(AuditVerifier *v,
                const char *line,
                size_t size,
                char ret_problem[AUDIT_PROBLEM_SIZE]);

/* After the last line: whether the beginning and the end are there. */
int audit_verifier_end(AuditVerifier *v, char ret_problem[AUDIT_PROBLEM_SIZE]);

/* Wipes the key. */
void audit_verifier_done(AuditVerifier *v);

/* Hexadecimal digits of exactly so many bytes. */
bool audit_from_hex(const char *text, uint8_t *ret, size_t size);
