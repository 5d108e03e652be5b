/* Answers that get lost, for tests of clients. The installed program is linked with no-faults.c and
 * has no such option; vestibule-relay-faults is linked with faults.c and is never installed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "relay-request.h"

typedef enum FaultAction {
        FAULT_NONE,
        FAULT_REFUSE,       /* 503 with Retry-After, not executed */
        FAULT_DROP,         /* executed, then the connection is closed without an answer */
        FAULT_WRONG_ECHO,   /* executed, answered with another Mailbox-Request-ID */
        FAULT_MISSING_ECHO, /* executed, answered without one */
} FaultAction;

typedef struct Fault {
        FaultAction action;
        uint64_t delay_usec; /* between commit and answer */
} Fault;

/* The help text of the option, or NULL when there is none. */
const char *faults_help(void);

/* Reads one NAME=N. -EINVAL. */
int faults_add(const char *text);

/* The fault of the next request of this operation. */
Fault faults_next(RelayOperation operation);

/* Seconds that the clock is ahead of the wall clock. */
int64_t faults_clock_offset(void);
