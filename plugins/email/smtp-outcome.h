/* What became of a mail in an SMTP session (RFC 5321), in the words of PROTOCOL.md: libcurl says
 * only that something failed, so the server's replies are followed here. Lines in, a verdict out;
 * no I/O, no clock.
 *
 * The stages decide: what a server says before RCPT is about us or itself, at RCPT about the
 * recipient, and after the content about this mail. Once the content is on its way, a session that
 * breaks leaves open whether the server has taken it. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

/* What is waited for. libcurl sends one command after the other's reply, for one recipient. */
typedef enum SmtpStage {
        SMTP_STAGE_CONNECT, /* the greeting, EHLO, STARTTLS, AUTH */
        SMTP_STAGE_MAIL,
        SMTP_STAGE_RECIPIENT,
        SMTP_STAGE_DATA, /* the command; the content waits for its 354 */
        SMTP_STAGE_CONTENT,
} SmtpStage;

/* A transfer as it goes. Zeroed at first; what is offered is the connection's and outlives
 * transfers. */
typedef struct SmtpTrace {
        SmtpStage stage;
        int code;         /* of the last reply in this stage; 0: none came yet */
        char status[12];  /* enhanced status (RFC 3463) of that reply, "5.1.1"; or empty */
        bool offers_dsn;  /* in its last EHLO (RFC 3461) */
        bool offers_utf8; /* likewise SMTPUTF8 (RFC 6531) */
        bool needs_utf8, lacks_utf8; /* of this transfer */
} SmtpTrace;

/* A transfer begins, perhaps with a new connection. needs_utf8: of a mail that only a server with
 * SMTPUTF8 may be given. */
void smtp_trace_begin(SmtpTrace *trace, bool needs_utf8);

/* There is a connection, and all is ready for MAIL. False: this mail must not be tried here.
 * libcurl knows what was offered as well, and says SMTPUTF8 with MAIL where it was and an address
 * needs it; where it was not, it would give the address in UTF-8 all the same. */
bool smtp_trace_connected(SmtpTrace *trace);

/* A line of the server; its end need not be there. */
void smtp_trace_reply(SmtpTrace *trace, const char *line, size_t size);

typedef enum SmtpVerdict {
        SMTP_VERDICT_SENT,
        SMTP_VERDICT_REFUSED, /* this mail, or this address, will not work */
        SMTP_VERDICT_FAILED,  /* it was tried; perhaps another time */
        SMTP_VERDICT_LATER,   /* it was not tried: the server, or the way to it, was not ready */
} SmtpVerdict;

enum { SMTP_REASON_SIZE = 24 };

typedef struct SmtpOutcome {
        SmtpVerdict verdict;
        bool down;        /* no other mail would fare better */
        bool login;       /* down, until somebody changes the credentials */
        bool slow;        /* the server asks us all to slow down */
        bool crowded;     /* it has no room for another connection now */
        bool without_dsn; /* it stumbled over what RFC 3461 adds to the commands */
        bool once_more;   /* a connection that was kept had ended: a fresh one may do at once */
        char reason[SMTP_REASON_SIZE]; /* a word for operators, "smtp-5-1-1"; "" when it was sent */
} SmtpOutcome;

/* The verdict on a transfer that has ended with this code. reused: on a connection that was kept
 * from an earlier one. */
void smtp_outcome(const SmtpTrace *trace, CURLcode code, bool reused, SmtpOutcome *ret);

enum { SMTP_COMMAND_SIZE = 2048 };

/* Whether a path needs SMTPUTF8: its domain has A-labels, so it is its local part that is not
 * ASCII. */
bool smtp_path_needs_utf8(const char *path);

/* Writes what goes into CURLOPT_MAIL_FROM and CURLOPT_MAIL_RCPT: the bare path, or, with dsn, the
 * path and what asks for reports (RFC 3461 sections 4.1 to 4.4). libcurl has an option for these
 * since 8.15.0 only, which is a suffix behind the brackets; an older one puts a ">" behind whatever
 * is there, and so the last parameter is one in whose value a pair of brackets may stand.
 * libcurl_version is version_num of curl_version_info(). Paths are plain addresses of at most 320
 * bytes. What asks for reports is ASCII even if the path is not (RFC 6533 section 3). */
void smtp_write_from(unsigned libcurl_version,
                bool dsn,
                const char *path,
                const char *envelope_id,
                char ret[SMTP_COMMAND_SIZE]);
void smtp_write_recipient(
                unsigned libcurl_version, bool dsn, const char *path, char ret[SMTP_COMMAND_SIZE]);
