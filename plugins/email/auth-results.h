/* What our own border mail server found out about a mail: Authentication-Results (RFC 8601, with
 * the U-labels of RFC 8616). Whole header in, verdict out; no I/O.
 *
 * Only one field counts: the topmost Authentication-Results of all, and only if its authserv-id is
 * the configured one. Servers add fields at the top, so whatever stands above ours came after it,
 * and if that is somebody else's Authentication-Results, the mail was somewhere that we do not
 * know.
 *
 * The rule for operators, without which none of this proves anything (RFC 8601 section 5): the
 * border server removes from what comes in every Authentication-Results with its own authserv-id,
 * also one that it cannot parse, and writes one for every mail, DMARC included; if several of its
 * programs write one each, the one that judges DMARC writes last. ARC (RFC 8617) is not read.
 *
 * Whatever is unsure fails closed: a field that does not follow the grammar to its end, a second
 * result for DMARC, a result about two domains. */
#pragma once

#include <stddef.h>

#include "mail-header.h"

typedef enum AuthResultsVerdict {
        AUTH_RESULTS_ABSENT,    /* no such field at all */
        AUTH_RESULTS_FOREIGN,   /* the topmost one is not ours */
        AUTH_RESULTS_MALFORMED, /* the topmost one breaks the grammar */
        AUTH_RESULTS_AMBIGUOUS, /* ours says more than one thing about DMARC */
        AUTH_RESULTS_NO_DMARC,  /* ours says nothing about DMARC */
        AUTH_RESULTS_NONE,      /* the domain has no policy, or the check could not be done */
        AUTH_RESULTS_FAIL,
        AUTH_RESULTS_PASS,
        AUTH_RESULTS_VERDICT_MAX,
} AuthResultsVerdict;

typedef enum MailAuthentic {
        MAIL_AUTHENTIC_NONE, /* it must be taken for forged */
        MAIL_AUTHENTIC_WEAK, /* nobody vouches for the sender; easily forged, but plausible */
        MAIL_AUTHENTIC_STRONG,
        MAIL_AUTHENTIC_MAX,
} MailAuthentic;

typedef struct AuthResults {
        AuthResultsVerdict verdict;
        char domain[256]; /* header.from with A-labels in lower case; empty if it was not said */
} AuthResults;

/* Reads what our server says. */
void auth_results_read(const MailHeader *header, const char *authserv_id, AuthResults *ret);

/* Reads the value of one Authentication-Results field. */
void auth_results_parse(const char *value, size_t size, const char *authserv_id, AuthResults *ret);

/* What the sender's address is worth. from is the canonical mailto: URI of the only address of the
 * only From, or empty when there was no such thing: then nothing is proved.
 *
 *   strong  DMARC passed for exactly the domain of that address
 *   weak    nothing is known: no field of ours, none about DMARC, or no policy
 *   none    DMARC failed, or what was said is broken, contradictory, or about another domain */
MailAuthentic auth_results_authentic(const AuthResults *results, const char *from);

/* "strong", "weak", "none": the words of PROTOCOL.md. */
const char *mail_authentic_name(MailAuthentic authentic);

/* A word for logs. */
const char *auth_results_verdict_name(AuthResultsVerdict verdict);
