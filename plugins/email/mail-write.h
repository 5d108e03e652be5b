/* The mail that leaves: multipart/alternative with a complete plain text first and the same words
 * as simple HTML, without remote content or anything that tells who reads it. Values in, bytes out;
 * no I/O, no clock. The same values give the same bytes, so a message that is sent again is the
 * same message to every server and mailbox on the way; therefore plain code and not GMime, whose
 * folding and boundaries differ by version.
 *
 * Addresses are canonical, with A-labels; ours have ASCII local parts. A name with umlauts is an
 * encoded word (RFC 2047), which every server carries. So only a recipient whose local part is not
 * ASCII makes the mail one of RFC 6532, with that address in UTF-8 in its field To and nothing else
 * that is not ASCII; it may go only to a server that offers SMTPUTF8. Bodies are quoted-printable
 * with lines of at most 76 octets, and so is the header but for an address that is longer; none
 * comes near the 998 of RFC 5322 section 2.1.1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mail-token.h"

enum {
        MAIL_WRITE_HEADER_MAX = 256,     /* bytes of a name or a subject */
        MAIL_WRITE_TEXT_MAX = 64 * 1024, /* bytes */
        MAIL_WRITE_DOMAIN_MAX = 200,
        MAIL_WRITE_ADDRESS_SIZE = MAIL_TOKEN_LOCAL_MAX + 1 + MAIL_WRITE_DOMAIN_MAX + 1,
};

typedef enum MailWriteError {
        MAIL_WRITE_E_CONTROL = 1, /* CR, LF, or another character that controls, where none may */
        MAIL_WRITE_E_UTF8,        /* not UTF-8 */
        MAIL_WRITE_E_LENGTH,      /* longer than the limits above */
        MAIL_WRITE_E_ADDRESS,     /* not a canonical mailto: URI, not a domain, or ours not ASCII */
        MAIL_WRITE_E_ID,          /* not an id, or not a language */
        MAIL_WRITE_E_MAX,
} MailWriteError;

/* All borrowed; what may be NULL says so. */
typedef struct MailWrite {
        MailTokenPlace token;
        const char *domain;        /* of our addresses, A-labels in lower case */
        const char *sender;        /* local part of From; NULL: the token's mailbox */
        const char *sender_domain; /* of From; NULL: domain */
        const char *name;          /* of the sender as people read it; NULL: none */
        const char *to;            /* canonical mailto: URI */
        const char *message;  /* "msg_…": the Message-ID and the return path follow from it */
        const char *thread;   /* "thr_…": Reply-To follows from it; NULL: there is none */
        const char *first;    /* "msg_…" that began the conversation; NULL: this one does */
        const char *their_id; /* Message-ID that is answered, without <>; NULL: none */
        const char *language; /* such as "de"; NULL: not said */
        const char *subject, *text;
        const char *link; /* that text shows, to be a link in the HTML; NULL: none */
        int64_t time;     /* seconds, of Date: of the message's making, not of this attempt */
} MailWrite;

typedef struct MailDraft {
        char *data; /* lines end with CRLF; dots are not stuffed */
        size_t size;
        char return_path[MAIL_WRITE_ADDRESS_SIZE];
        char recipient[MAIL_WRITE_ADDRESS_SIZE + 64];
} MailDraft;

/* True for what may be a name or a subject: UTF-8 within the limit, with nothing that ends a line
 * or turns one around, be it in ASCII or in Unicode. */
bool mail_write_is_line(const char *text);

/* Makes the mail. MailWriteError, with *ret empty. -ENOMEM. mail_draft_done() wipes and frees. */
int mail_write(const MailWrite *mail, MailDraft *ret);

void mail_draft_done(MailDraft *draft);

/* A word for logs, such as "control-character". */
const char *mail_write_error_name(int error);
