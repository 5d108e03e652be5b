/* What the installed program is linked with: nothing ever goes wrong on purpose. */
#include <errno.h>

#include "faults.h"

const char *faults_help(void) {
        return NULL;
}

int faults_add(const char *text) {
        (void) text;
        return -EINVAL;
}

Fault faults_next(const char *operation, const uint8_t mailbox[RELAY_ID_SIZE]) {
        (void) operation;
        (void) mailbox;
        return (Fault){ .action = FAULT_NONE };
}

bool faults_break_connection(void) {
        return false;
}

void faults_answer(const Fault *fault, const RelayRequest *request, RelayAnswer *answer) {
        (void) fault;
        (void) request;
        (void) answer;
}

void faults_record(const void *data, size_t size) {
        (void) data;
        (void) size;
}

int64_t faults_clock_offset(void) {
        return 0;
}
