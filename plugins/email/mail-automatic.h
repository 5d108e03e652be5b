/* Whether a machine wrote a mail: auto-replies, vacation notices, mailing lists, daemons. None of
 * these is an answer, and none may be answered (RFC 3834 section 2). Header in, verdict out. */
#pragma once

#include "mail-header.h"

typedef enum MailAutomatic {
        MAIL_AUTOMATIC_NO,
        MAIL_AUTOMATIC_EMPTY_PATH,     /* the return path is <> */
        MAIL_AUTOMATIC_AUTO_SUBMITTED, /* Auto-Submitted other than "no" (RFC 3834 section 5) */
        MAIL_AUTOMATIC_PRECEDENCE,     /* bulk, junk, list, auto_reply */
        MAIL_AUTOMATIC_LIST,           /* any List-… field (RFC 2369, RFC 2919) */
        MAIL_AUTOMATIC_RESPONDER,      /* X-Auto-Response-Suppress, X-Autoreply and their kin */
        MAIL_AUTOMATIC_DAEMON,         /* from mailer-daemon or postmaster */
        MAIL_AUTOMATIC_REPORT,         /* multipart/report (RFC 6522) */
        MAIL_AUTOMATIC_MAX,
} MailAutomatic;

/* path is what SMTP's MAIL FROM had between its brackets, or NULL when only the file is there: then
 * the topmost Return-Path counts, if there is one. */
MailAutomatic mail_automatic(const MailHeader *header, const char *path);

/* A word for logs; "" for MAIL_AUTOMATIC_NO. */
const char *mail_automatic_name(MailAutomatic automatic);
