/* The arguments of vestibule-receive. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "draft-r.h"
#include "draft-v.h"

enum {
        RECEIVE_HOSTS_MAX = 16,
        RECEIVE_WAIT_MAX = 7 * 24 * 3600, /* seconds: no mailbox is older */
        RECEIVE_HANDLER_TIMEOUT = 600,    /* seconds */
};

/* Texts other than the link are borrowed from argv. */
typedef struct ReceiveOptions {
        const char *hosts[RECEIVE_HOSTS_MAX + 1]; /* ends with NULL */
        const char *ca_file, *state_file;         /* NULL: none */
        const char *handler, *report;             /* commands for the shell; NULL: none */
        unsigned handler_timeout;                 /* seconds */
        int64_t wait;                             /* seconds for each message */
        DraftRContextMode mode;                   /* of links of Draft R */
        DraftVDialect dialect;                    /* of relays of Draft V */
        bool keep, json, quiet, relinquish, preview;
        char *link; /* as it was given: secret */
} ReceiveOptions;

/* 0, RECEIVE_SHOWN, or the exit status of what was said. The link is read from standard input when
 * the argument is "-", and otherwise blotted out of argv. The caller calls receive_options_done()
 * in any case. */
int receive_options_read(int argc, char **argv, ReceiveOptions *ret);
void receive_options_done(ReceiveOptions *options);
