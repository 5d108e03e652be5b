/* Runs a command of the user's by the shell: bytes into its standard input, bytes from its standard
 * output, and nothing of ours beside them. Its environment is PATH, LANG and HOME, and
 * VESTIBULE_MESSAGE where there is a number; it has no descriptors but 0 to 2, of which 2 is ours.
 * It is ended when it takes too long, says too much, or when this process dies. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "secret.h"

enum {
        RECEIVE_COMMAND_OUTPUT_MAX = 32 * 1024,
        RECEIVE_COMMAND_GRACE = 5, /* seconds between SIGTERM and SIGKILL */
};

typedef enum ReceiveCommandError {
        RECEIVE_COMMAND_E_TIMEOUT = 1,
        RECEIVE_COMMAND_E_TOO_LARGE = 2, /* more output than RECEIVE_COMMAND_OUTPUT_MAX */
        RECEIVE_COMMAND_E_STATUS = 3,    /* it ended with a status other than 0, or by a signal */
} ReceiveCommandError;

typedef struct ReceiveCommand {
        const char *command;
        const void *input;
        size_t input_size;
        int64_t number;   /* VESTIBULE_MESSAGE; negative: none */
        unsigned timeout; /* seconds */
} ReceiveCommand;

/* 0: it ended with status 0, and *ret_output is what it wrote. With RECEIVE_COMMAND_E_STATUS,
 * *ret_status is its exit status, or 128 and its signal. */
int receive_command_run(const ReceiveCommand *command, Secret *ret_output, int *ret_status);
