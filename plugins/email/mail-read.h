/* What a mail means to the gateway: an answer of a person, or a report about a mail of ours, with
 * what its sender's address is worth. The bytes of a mail and its SMTP envelope in, values out; no
 * I/O, no clock.
 *
 * What proves something (From, Authentication-Results, our tokens) is read from the header as it
 * came, by mail-header.h. GMime (3.2, kept up and fuzzed by its authors) gets only what says how
 * the body is made up, after its size, its lines, and whatever could become a part, a level or a
 * field have been counted: GMime itself has no limit but 1,024 levels. RFC 2047 is never decoded,
 * and charsets are converted here, from a list, because a stranger who names one loads a module of
 * the C library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "auth-results.h"
#include "dsn.h"
#include "mail-automatic.h"
#include "mail-token.h"
#include "reply-text.h"

enum {
        MAIL_READ_SIZE_MAX = 10 * 1024 * 1024,
        MAIL_READ_LINE_MAX = 256 * 1024,   /* bytes; a field with its folds counts as one line */
        MAIL_READ_MULTIPARTS_MAX = 64,     /* and messages within messages */
        MAIL_READ_BOUNDARIES_MAX = 5000,   /* lines that begin with "--" */
        MAIL_READ_FIELD_LINES_MAX = 20000, /* lines of the body that look like fields */
        MAIL_READ_COLONS_MAX = 1000,       /* of a field or line: groups within groups */
        MAIL_READ_DEPTH_MAX = 16,          /* of parts within parts */
        MAIL_READ_PARTS_MAX = 200,
        MAIL_READ_ID_SIZE = 65, /* hexadecimal digest, with the final NUL */
};

typedef enum MailReadError {
        MAIL_READ_E_SIZE = 1, /* larger than MAIL_READ_SIZE_MAX */
        MAIL_READ_E_HEADER,   /* its header is none */
        MAIL_READ_E_LENGTH,   /* its header, a field or a line is too long */
        MAIL_READ_E_PARTS,    /* too many parts, or what could be some */
        MAIL_READ_E_DEPTH,    /* parts within parts beyond the limit */
        MAIL_READ_E_MAX,
} MailReadError;

typedef enum MailReadKind {
        MAIL_READ_REPLY,
        MAIL_READ_REPORT, /* about a mail of ours, or of somebody's: see message */
        MAIL_READ_KIND_MAX,
} MailReadKind;

/* Who we are; borrowed. */
typedef struct MailReadPlace {
        MailTokenPlace token;
        const char *domain;      /* of our addresses and Message-IDs, in lower case, A-labels */
        const char *authserv_id; /* of the border server; NULL: nobody vouches for anybody */
} MailReadPlace;

/* What SMTP said about the mail; members are NULL where only the file is there. Without a
 * recipient, the token is looked for in Delivered-To, X-Original-To, To and Cc. */
typedef struct MailReadEnvelope {
        const char *path, *recipient;
} MailReadEnvelope;

typedef struct MailRead {
        MailReadKind kind;
        char from[ADDRESS_SIZE_MAX]; /* canonical; empty when From is not one plain address */
        char thread[ID_TEXT_SIZE];   /* that our reply address names; or empty */
        char quoted[ID_TEXT_SIZE];   /* our message, of In-Reply-To or References; or empty */
        char message[ID_TEXT_SIZE];  /* of a report: our message, which a token proves; or empty */
        char inbound[MAIL_READ_ID_SIZE];    /* the same whenever this mail is read again */
        char their_id[MAIL_HEADER_ID_SIZE]; /* their Message-ID, to be answered; or empty */
        int64_t date;                       /* of the Date field, a stranger's; 0: none */
        MailAuthentic authentic;
        AuthResultsVerdict verdict;
        MailAutomatic automatic;
        bool empty; /* of a reply: nothing stands above the quotation */
        bool encrypted;
        char text[REPLY_TEXT_MAX + 1]; /* of a reply */
        DsnAction action;              /* of a report */
        DsnClass class;
        char status[12]; /* of the recipient that decided, "5.1.1"; or empty */
        int64_t repeat;  /* of a report: which repetition of the message, as mail_read_envelope_id()
                          * named it; -1: it does not say */
} MailRead;

/* Once, before the first mail. */
void mail_read_init(void);

/* Reads a mail. MailReadError: it can never be read, and *ret is empty. -ENOMEM. mail_read_done()
 * wipes *ret. */
int mail_read(const MailReadPlace *place,
                const MailReadEnvelope *envelope,
                const char *data,
                size_t size,
                MailRead *ret);

void mail_read_done(MailRead *mail);

enum { MAIL_READ_ENVELOPE_ID_SIZE = MAIL_TOKEN_LOCAL_MAX + 21 };

/* The envelope id (RFC 3461 section 4.4) for a message with this return path, by which a report
 * tells its repetition. */
void mail_read_envelope_id(
                const char *return_path, int64_t repeat, char ret[MAIL_READ_ENVELOPE_ID_SIZE]);

/* A word for logs, such as "too-deep". */
const char *mail_read_error_name(int error);
