/* The audit log: what happened to shares and to the gateway, in a chain that nobody who comes later
 * can write anew (security.md C.5; base/audit.h). Written with the transaction of what it records,
 * and without anything that names a person: tenants and shares stand under pseudonyms, whose keys
 * are gone after AUDIT_LOG_KEEP_PSEUDONYMS.
 *
 * Records of shares are made from their timelines' entries by the store as it writes them; others
 * are noted by audit_log_note(). */
#pragma once

#include <jansson.h>

#include "audit.h"
#include "cleanup.h"
#include "store.h"
#include "vault.h"

enum {
        AUDIT_LOG_EPOCH_SECONDS = 60, /* from an epoch's first record to its checkpoint */
        AUDIT_LOG_EPOCH_RECORDS = 1000,
        AUDIT_LOG_KEEP = 365 * 24 * 3600,
        AUDIT_LOG_KEEP_PSEUDONYMS = 90 * 24 * 3600,
        AUDIT_LOG_SWEEP = 1000, /* records that one sweep removes */
        AUDIT_LOG_PAGE = 50,    /* lines of one answer */
};

/* Who did it, or whose answer it was. */
typedef enum AuditActor {
        AUDIT_ACTOR_GATEWAY,
        AUDIT_ACTOR_SENDER,
        AUDIT_ACTOR_RECIPIENT,
        AUDIT_ACTOR_OPERATOR,
        AUDIT_ACTOR_CARRIER,
        AUDIT_ACTOR_RELAY,
        _AUDIT_ACTOR_MAX,
} AuditActor;

/* What is no entry of a timeline. */
typedef struct AuditNote {
        const char *event; /* a word, kept by the caller for ever: "configuration", "late_answer" */
        AuditActor actor;
        const char *tenant; /* or NULL */
        int64_t share;      /* or 0 */
        const char *word;   /* what it was, such as an operator's verb; a constant, or NULL */
        int64_t number;     /* of the event; negative: none */
} AuditNote;

typedef struct AuditLog AuditLog;

/* Goes on with the store's log, or begins one. config identifies the configuration; now is the
 * gateway's time. */
int audit_log_open(AuditLog **ret, Store *store, const Vault *vault, const uint8_t config[32]);
AuditLog *audit_log_close(AuditLog *log);
DEFINE_CLEANUP(AuditLog, audit_log_close)

/* The time that records get from now on; called before each batch. */
void audit_log_set_time(AuditLog *log, int64_t now);
void audit_log_set_configuration(AuditLog *log, const uint8_t config[32]);

/* From inside a command: is written with the transaction, unless the command is taken back. A note
 * that there is no memory for makes the transaction fail. */
void audit_log_note(AuditLog *log, const AuditNote *note);
void audit_log_keep(AuditLog *log);
void audit_log_forget(AuditLog *log);

/* From inside a command: removes what is older than keep seconds, and keys of old pseudonyms. */
int audit_log_sweep(AuditLog *log, int64_t keep);

/* One page of the log from record `after` + 1 on: {lines: [object...], cursor}. A line is what
 * audit_verifier_line() takes. */
int audit_log_export(AuditLog *log, int64_t after, json_t **ret);

/* {public, epoch, key?}: what an auditor checks with; the present epoch's key only if asked for. */
json_t *audit_log_keys(AuditLog *log, bool with_key);
