/* What vestibule-receive tells people, always on standard error, and its exit status. A function of
 * the receive-*.h returns 0 to go on, or the exit status once it has said why. */
#pragma once

#include <stdbool.h>

typedef enum ReceiveStatus {
        RECEIVE_TROUBLE = 1,     /* of this machine */
        RECEIVE_USAGE = 2,       /* options, or no link */
        RECEIVE_CLAIMED = 3,     /* another device has it */
        RECEIVE_GONE = 4,        /* ended by the other side, or expired */
        RECEIVE_UNREADABLE = 5,  /* cannot be decrypted */
        RECEIVE_UNREACHABLE = 6, /* the relay, or it cannot be used now */
        RECEIVE_NOT_ALLOWED = 7, /* the relay */
        RECEIVE_REFUSED = 8,     /* by the relay */
        RECEIVE_NOT_DELETED = 9, /* received, but the mailbox is still there */
        RECEIVE_NO_MESSAGE = 10, /* waited in vain */
        RECEIVE_NO_ANSWER = 11,  /* the handler failed, or gave nothing that can be sent */
        RECEIVE_SHOWN = 100,     /* --help and --version: ends well */
} ReceiveStatus;

/* Says a sentence and returns the status. */
__attribute__((format(printf, 2, 3))) int receive_say(int status, const char *format, ...);

/* For a negative errno: says it, and returns RECEIVE_TROUBLE. */
int receive_say_errno(int error, const char *what);

/* What is said of a relay with which nothing can be done now: after its name, before the reason. */
const char *receive_trouble_words(bool reachable);

/* Takes away from a stranger's text what a terminal would act on: C0 and C1 controls. */
void receive_blunt(char *text);
