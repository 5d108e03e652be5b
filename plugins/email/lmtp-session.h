/* One LMTP connection (RFC 2033) as a machine: octets in, answers and whole mails out. With
 * PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SIZE (RFC 1870), SMTPUTF8 (RFC 6531) and
 * ENHANCEDSTATUSCODES (RFC 2034). No I/O and no clock: the caller owns the socket, its timeouts,
 * and the decision about each recipient and each mail.
 *
 *     lmtp_session_push()    what the socket gave
 *     lmtp_session_next()    until LMTP_EVENT_NOTHING: what has to be decided
 *     lmtp_session_output()  what the socket gets
 *
 * While a decision is open nothing behind it is read, so that answers stay in order however much
 * was pipelined; the caller stops reading when lmtp_session_wants_input() says no.
 *
 * A mail ends at CRLF "." CRLF and nowhere else. A CR or LF alone ends nothing: it makes a command
 * wrong and a mail refused, because two servers that disagree about where a mail ends let one mail
 * smuggle another (RFC 5321 section 2.3.8). A mail for which no recipient was accepted does not
 * exist: DATA is answered 503. A connection that is cut inside a mail leaves nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cleanup.h"

enum {
        LMTP_COMMAND_MAX = 2048,            /* octets of a command with its CRLF */
        LMTP_LINE_MAX = 8192,               /* octets of a line of a mail with its CRLF */
        LMTP_INPUT_MAX = 64 * 1024,         /* octets that are kept unread */
        LMTP_PATH_SIZE = 321,               /* 64, "@", 255, NUL */
        LMTP_RECIPIENTS_MAX = 100,          /* of one mail (RFC 5321 section 4.5.3.1.8) */
        LMTP_MISTAKES_MAX = 20,             /* wrong commands of one connection */
        LMTP_IDLE_COMMANDS_MAX = 1000,      /* commands since the last mail was taken */
        LMTP_REFUSED_RECIPIENTS_MAX = 1000, /* of one connection, until it ends */
};

typedef enum LmtpEventKind {
        LMTP_EVENT_NOTHING,   /* more input is needed, or output has to go first */
        LMTP_EVENT_RECIPIENT, /* decide with lmtp_session_answer_recipient() */
        LMTP_EVENT_MAIL,      /* decide with lmtp_session_answer_mail() for each recipient */
        LMTP_EVENT_CLOSE,     /* close once the output has gone */
} LmtpEventKind;

typedef enum LmtpAnswer {
        LMTP_ANSWER_TAKEN,   /* 250 */
        LMTP_ANSWER_LATER,   /* 451: the other side keeps it and comes again */
        LMTP_ANSWER_REFUSED, /* 550: the other side tells the sender */
        LMTP_ANSWER_MAX,
} LmtpAnswer;

typedef struct LmtpEvent {
        LmtpEventKind kind;
        const char *recipient; /* of LMTP_EVENT_RECIPIENT: the path without brackets */
        /* Of LMTP_EVENT_MAIL; all borrowed until the last recipient is answered. */
        const char *path; /* MAIL FROM without brackets; "" for <> */
        const char *data; /* without the dots that were stuffed, lines end with CRLF */
        size_t size;
        char (*recipients)[LMTP_PATH_SIZE];
        size_t n_recipients;
} LmtpEvent;

typedef struct LmtpSession LmtpSession;

/* Starts a session with its greeting. host, our name for the greeting, must be one word; size_max
 * is of a mail in bytes. -EINVAL for another host; -ENOMEM. */
int lmtp_session_new(const char *host, size_t size_max, LmtpSession **ret);
LmtpSession *lmtp_session_free(LmtpSession *session);
DEFINE_CLEANUP(LmtpSession, lmtp_session_free)

/* True when lmtp_session_push() would take something. */
bool lmtp_session_wants_input(const LmtpSession *session);

/* How many octets lmtp_session_push() would take: what to ask the socket for. */
size_t lmtp_session_room(const LmtpSession *session);

/* Takes as much as there is room for, and returns how much that was. */
size_t lmtp_session_push(LmtpSession *session, const char *data, size_t size);

/* Octets of memory that the mail of this moment takes. */
size_t lmtp_session_held(const LmtpSession *session);

/* What has to be decided next; the same event until it is. -ENOMEM: close the connection. */
int lmtp_session_next(LmtpSession *session, LmtpEvent *ret);

/* Decides about the recipient of the event that is open. */
void lmtp_session_answer_recipient(LmtpSession *session, LmtpAnswer answer);

/* Decides about one recipient of the mail that is open, in any order, each once. */
void lmtp_session_answer_mail(LmtpSession *session, size_t recipient, LmtpAnswer answer);

/* Answers 421 and ends: timeouts, shutting down. Nothing open is taken. */
void lmtp_session_end(LmtpSession *session);

/* What is to be written: *ret_data is borrowed until the next call. */
void lmtp_session_output(const LmtpSession *session, const char **ret_data, size_t *ret_size);

/* Says how much of it has been. */
void lmtp_session_written(LmtpSession *session, size_t size);
