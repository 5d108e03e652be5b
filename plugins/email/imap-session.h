/* One IMAP connection (RFC 3501, IMAP4rev1) as a machine: octets of the server in, commands and
 * whole mails out. It logs in, opens one folder, looks for mails that bear no mark of ours, gets
 * them without changing them (BODY.PEEK), and marks them. No I/O and no clock: the caller owns the
 * connection, which is encrypted, and its timeouts.
 *
 *     imap_session_push()    what the socket gave
 *     imap_session_next()    until IMAP_EVENT_NOTHING
 *     imap_session_output()  what the socket gets
 *
 * One command is under way at a time. After IMAP_EVENT_READY, and after each event that ends a
 * command, the caller may begin another.
 *
 * The mark is the keyword $VestibuleTaken where the folder keeps new keywords, so that \Seen stays
 * what people made of it; elsewhere it is \Seen.
 *
 * Why this and not libcurl's IMAP: its own fetch marks mails as seen, and what it is told to send
 * in place of that it reads by lines, so that a line inside a stranger's mail can end the answer
 * that it stands in. Here a mail is as long as the server announced it to be. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

enum {
        IMAP_TEXT_MAX = 1024 * 1024, /* octets of one response outside of literals */
        IMAP_LITERALS_MAX = 65536,   /* and inside, but for the mail that was asked for */
        IMAP_DEPTH_MAX = 16,         /* of lists within lists */
        IMAP_NAME_MAX = 500,         /* octets of a user's name, a password, a folder */
        IMAP_FOUND_MAX = 1001,       /* UIDs of one search, however many a server names */
};

typedef struct ImapAccount {
        const char *user, *password;
        const char *folder; /* UTF-8 */
        size_t size_max;    /* of a mail in bytes: larger ones are never fetched */
} ImapAccount;

typedef enum ImapEventKind {
        IMAP_EVENT_NOTHING, /* more input is needed */
        IMAP_EVENT_READY,   /* the folder is open */
        IMAP_EVENT_FOUND,   /* what imap_session_search() found */
        IMAP_EVENT_MAIL,    /* of imap_session_fetch() */
        IMAP_EVENT_LARGE,   /* the same: it is too large */
        IMAP_EVENT_ABSENT,  /* the same: it is not there any more */
        IMAP_EVENT_MARKED,  /* of imap_session_mark() */
        IMAP_EVENT_NO,      /* the server did not do what it was asked */
        IMAP_EVENT_CLOSE,   /* it is over: close the connection */
        IMAP_EVENT_MAX,
} ImapEventKind;

typedef struct ImapEvent {
        ImapEventKind kind;
        uint32_t validity;    /* of READY: the folder's UIDVALIDITY */
        bool keyword;         /* of READY: the mark is the keyword */
        const uint32_t *uids; /* of FOUND: the lowest IMAP_FOUND_MAX, ascending, each once;
                               * borrowed until the next command */
        size_t n_uids;
        uint32_t uid;       /* of what concerns one mail; of CLOSE: the one that was larger than the
                             * server had said, or 0 */
        const char *reason; /* of CLOSE: a word for operators */
} ImapEvent;

typedef struct ImapSession ImapSession;

/* Copies the account. -EINVAL: a name that no command can carry. -ENOMEM. */
int imap_session_new(const ImapAccount *account, ImapSession **ret);

/* Wipes what was the account's. Takes NULL, returns NULL. */
ImapSession *imap_session_free(ImapSession *session);
DEFINE_CLEANUP(ImapSession, imap_session_free)

/* Takes all of it. -ENOMEM: close the connection. */
int imap_session_push(ImapSession *session, const char *data, size_t size);

/* What has happened. While there is output nothing is read: to be called again when it has gone. */
void imap_session_next(ImapSession *session, ImapEvent *ret);

/* Looks for mails that bear no mark, from that UID on. */
void imap_session_search(ImapSession *session, uint32_t first);

/* Gets one mail, after its size. */
void imap_session_fetch(ImapSession *session, uint32_t uid);

/* The mail of IMAP_EVENT_MAIL, which the caller frees; NULL when it was taken before. */
char *imap_session_take_mail(ImapSession *session, size_t *ret_size);

/* Marks a mail as taken, and, for people to find, with \Flagged when it was refused. */
void imap_session_mark(ImapSession *session, uint32_t uid, bool refused);

/* Takes leave, if no command is under way. */
void imap_session_logout(ImapSession *session);

/* True when a command may begin. */
bool imap_session_is_idle(const ImapSession *session);

/* What is to be written: *ret_data is borrowed until the next call. */
void imap_session_output(const ImapSession *session, const char **ret_data, size_t *ret_size);

/* Says how much of it has been; that is wiped. */
void imap_session_written(ImapSession *session, size_t size);
