/* One line for each request and each accepted connection, for people and for tests:
 *
 *   time=2026-11-22T12:00:00.123Z boot=123456789 op=CreateMailbox status=200 request=<uuid>
 *   mailbox=<16 hex digits> ms=0.512
 *
 * time and boot (microseconds of CLOCK_BOOTTIME) are those of arrival. mailbox is the beginning of
 * BLAKE2b-256 over the id's lower-case text; for Draft R it is taken over the first 16 octets of
 * the location's own hash. Claims, ids, tokens, payloads and addresses have no field. Lines gather
 * in memory until they are flushed, which must happen before answers leave. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"
#include "relay-service.h"

typedef struct RequestLog RequestLog;

typedef struct RequestLogEntry {
        uint64_t arrived_usec;     /* CLOCK_BOOTTIME */
        const char *operation;     /* connection, malformed, or an operation's name */
        unsigned status;           /* 0 = none */
        const uint8_t *request_id; /* NULL = none */
        const uint8_t *mailbox;    /* RELAY_ID_SIZE octets; Draft R: the beginning of the location's
                                      hash; NULL = none */
        const char *note;          /* NULL or name=value of our own making */
        bool has_duration;
} RequestLogEntry;

/* path NULL: stderr. -ENOMEM, or why the file cannot be opened for appending. */
int request_log_new(RequestLog **ret, const char *path);

/* Flushes. Takes NULL, returns NULL. */
RequestLog *request_log_free(RequestLog *log);
DEFINE_CLEANUP(RequestLog, request_log_free)

void request_log_add(RequestLog *log, const RequestLogEntry *entry);
void request_log_flush(RequestLog *log);
