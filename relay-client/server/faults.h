/* A relay that misbehaves on purpose, for tests of clients. The installed program is linked with
 * no-faults.c and has no such option; vestibule-relay-faults is linked with faults.c and is never
 * installed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "relay-answer.h"
#include "relay-request.h"

typedef enum FaultAction {
        FAULT_NONE,

        /* Instead of executing: */
        FAULT_REFUSE,   /* 503 with Retry-After */
        FAULT_LIMIT,    /* 429 with Retry-After */
        FAULT_REDIRECT, /* 307 to /followed, where nothing is */

        /* While executing: */
        FAULT_TWICE,  /* the request is delivered twice, and the second answer is sent */
        FAULT_EXPIRE, /* the mailbox is gone from now on */

        /* After executing: */
        FAULT_DROP,           /* the connection is closed without an answer */
        FAULT_WRONG_ECHO,     /* another Mailbox-Request-ID */
        FAULT_MISSING_ECHO,   /* none */
        FAULT_TRUNCATE,       /* the body ends in the middle, and so does the connection */
        FAULT_OVERSIZE,       /* the body goes on for 4 MiB, of white space */
        FAULT_NOT_JSON,       /* 200 with HTML in its body */
        FAULT_PAYLOAD_STRING, /* the payload is a string that holds the object */
        FAULT_STALE,          /* an older payload of the other party, if there was one */
        FAULT_REFLECT,        /* the reader's own last payload, if there was one */
        FAULT_EMPTY_201,      /* 201 without a body */
} FaultAction;

typedef struct Fault {
        FaultAction action;
        uint64_t delay_usec;  /* between commit and answer */
        unsigned retry_after; /* seconds; of the refusals */
        int64_t clock_offset; /* seconds that this request comes later than it does */
} Fault;

/* The help text of the option, or NULL when there is none. */
const char *faults_help(void);

/* Reads one NAME=N. -EINVAL. */
int faults_add(const char *text);

/* The fault of the next request of this operation; mailbox: zeros for Create and Draft R. */
Fault faults_next(const char *operation, const uint8_t mailbox[RELAY_ID_SIZE]);

/* True: this connection is to be closed before its TLS handshake. */
bool faults_break_connection(void);

/* Called for each executed request of Draft V: takes note of what was stored, and falsifies the
 * answer as the fault says. */
void faults_answer(const Fault *fault, const RelayRequest *request, RelayAnswer *answer);

/* Given every header and every piece of a body as it came, for tests that search it. */
void faults_record(const void *data, size_t size);

/* Seconds that the clock is ahead of the wall clock. */
int64_t faults_clock_offset(void);
