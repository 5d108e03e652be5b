/* What a relay is asked, whatever its protocol: two implementations, Draft V (draft-v.h) and Draft
 * R (draft-r.h), in one table. Pure: no socket, and the clock is an argument.
 *
 * An operation is a job. It gives one HTTP request after another, is told each answer, and ends
 * with one outcome and its values. Until it has ended nothing is decided; after RELAY_AGAIN the
 * same operation with the same values may be tried again at any time.
 *
 * Draft V keeps all state in the mailbox, and what is carried is encrypted by whoever holds the
 * Secret: an operation is given and gives `type` and `data`.
 *
 * Draft R encrypts by itself and has a state, which the caller keeps, sealed, and gives with each
 * operation. Its order is: a read ends with content and new state, and nothing has been deleted.
 * The caller makes both durable. Only then is the message that was read deleted: by
 * RELAY_JOB_ACKNOWLEDGE, or else by the first requests of the next operation with the new state, so
 * that no message is ever written before the one that it answers is gone from the relay. With it
 * goes our own message of the turn before, should a repeated PUT have brought it back after the
 * peer took it. Create and update end with a new state too. What goes into them is durable before
 * they are asked, and their octets are a function of it alone (draft-r-transcript.h), so that they
 * can be repeated from the old state until the new one is durable. A caller has at most one job
 * under way for a state.
 *
 * What ends a run for good (a message that does not open, a race that is lost) is RELAY_REFUSED
 * with "abort-…" and the state of an aborted run, for which nothing but RELAY_JOB_DELETE is ever
 * sent. A read out of turn is done without content, and an update out of turn refused; both send
 * nothing.
 *
 * Draft R has no mailboxes. What stands for one is what all its messages' URLs begin with, which is
 * the link without its fragment. Without a state (a share of one message) it is looked whether that
 * message still lies there, and it is deleted, where the identity says: R follows from it. Which
 * suite and context the run has is then not known, should the settings have changed since, so that
 * only what lies nowhere is gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "draft-r-transcript.h"
#include "draft-v.h"
#include "http.h"

enum {
        RELAY_SEND = 1, /* a request is to be sent; the job is told its answer */
        RELAY_REASON_SIZE = 32,
};

typedef enum RelayJobOperation {
        RELAY_JOB_CREATE,
        RELAY_JOB_LOOK, /* whether what we wrote last is still there */
        RELAY_JOB_READ,
        RELAY_JOB_UPDATE,
        RELAY_JOB_DELETE,
        RELAY_JOB_RELINQUISH,  /* Draft R has none */
        RELAY_JOB_PREVIEW,     /* what anybody may see of a mailbox; Draft R has none */
        RELAY_JOB_ACKNOWLEDGE, /* Draft V needs none: done, and nothing is sent */
        _RELAY_JOB_OPERATION_MAX,
} RelayJobOperation;

typedef enum RelayOutcome {
        RELAY_DONE,
        RELAY_AGAIN,        /* the same again, later */
        RELAY_DUPLICATE,    /* Draft V: create was done before, and its URL is lost */
        RELAY_GONE,         /* taken, deleted or expired */
        RELAY_CLAIMED,      /* Draft V, read: another device holds the mailbox */
        RELAY_UNAUTHORISED, /* the relay refuses us */
        RELAY_REFUSED,      /* for good, with a reason */
        _RELAY_OUTCOME_MAX,
} RelayOutcome;

typedef struct RelayProtocol RelayProtocol;
typedef struct RelayJob RelayJob;

/* What holds for all jobs at a relay; borrowed for as long as they live. */
typedef struct RelayTerms {
        const char *const *hosts; /* the allow-list of share-url.h: nobody else is asked */
        const char *url;          /* Draft V: the relay's https://HOST[:PORT] */
        DraftVDialect dialect;    /* Draft V: the names of its headers */
        const char *attestation;  /* Draft V: as in draft-v.h; NULL: none */
        bool *echoes; /* Draft V: set once an answer had an echo; from then on one without is
                       * nobody's (RELAY_AGAIN, "missing-echo"). NULL: none is ever missed */
        const char *template; /* Draft R: of runs that begin; checked, its variable last */
        DraftRSuite suite;
        DraftRContextMode mode; /* of runs that begin, at both sides: a link does not say it */
} RelayTerms;

/* One operation; borrowed until relay_job_begin() returns, except identity.root, which is borrowed
 * for as long as the job lives. What an operation requires must not be NULL (a text may be "");
 * what it does not require it ignores.
 *
 * Draft V: all but acknowledge require request_id, all of those but preview claim, and all but
 * create and acknowledge mailbox. Create and update require payload_type and payload_data; create
 * also title, description, image_url, access_rights and expiration, and vertical for a link: with
 * the secret as its fragment, or without one.
 *
 * Draft R: relinquish and preview require nothing at all. All others require the whole identity,
 * create and update content (unless content_size is 0); look and delete a state or a mailbox, and
 * all others but create a state, for which a first read takes a link: without either they are
 * refused. */
typedef struct RelayJobTask {
        RelayJobOperation operation;
        const char *mailbox; /* all but create; Draft R: only where there is no state */

        /* Draft V. */
        const char *claim, *request_id;
        const char *payload_type, *payload_data;     /* create, update: encrypted */
        const char *title, *description, *image_url; /* create */
        const char *access_rights;                   /* create: letters of "RWD" */
        int64_t expiration;                          /* create: seconds since 1970 */
        char vertical;                               /* create: for the link; 0: no link */
        const uint8_t *secret;                       /* create: the link's fragment; NULL: none */
        size_t secret_size;

        /* Draft R. */
        DraftRIdentity identity;
        const void *content; /* create, update: as it is, to be encrypted */
        size_t content_size;
        const void *state; /* all but create, sealed */
        size_t state_size;
        const char *link; /* read: the recipient's first, instead of a state */
        uint32_t number;  /* read, update: of the message, which must be the next; 0: whichever is
                           */
} RelayJobTask;

/* How an operation ended. Everything is borrowed from the job. */
typedef struct RelayResult {
        RelayOutcome outcome;
        char reason[RELAY_REASON_SIZE]; /* a word for operators; empty when done */
        unsigned retry_after;           /* seconds; 0: as the caller likes */
        bool reachable;                 /* false: the last request had no answer at all */
        bool missing_echo;              /* Draft V: accepted, but the relay breaks the protocol */

        const char *mailbox;    /* create: for later operations; the link begins with it */
        const char *link;       /* create: secret; Draft V: NULL when there is no vertical */
        bool push_is_supported; /* create, update */

        const char *payload_type, *payload_data;     /* Draft V, read */
        const char *title, *description, *image_url; /* Draft V, read and preview */
        int64_t expiration;                          /* 0: not said */

        bool has_content; /* Draft R, read; false: nothing new */
        const uint8_t *content;
        size_t content_size;
        bool has_digest;                     /* Draft R, create, update, read with content */
        uint8_t digest[PAYLOAD_DIGEST_SIZE]; /* of the octets that lie or lay there */
        const uint8_t *state; /* to be made durable before anything else is asked; NULL: as it was
                               */
        size_t state_size;
} RelayResult;

/* "draft-v", "draft-r". NULL: no such protocol. */
const RelayProtocol *relay_protocol_find(const char *name);

/* Begins an operation. RELAY_SEND: *ret_request is to be sent, and the caller's to end; 0: the job
 * has ended already. Negative errno: there is no job. */
int relay_job_begin(const RelayProtocol *protocol,
                const RelayTerms *terms,
                const RelayJobTask *task,
                RelayJob **ret,
                HttpRequest *ret_request);

/* Tells the answer to the last request. RELAY_SEND, 0 as above. Negative errno: we could not, and
 * the job has ended with RELAY_AGAIN. now: seconds since 1970, for Retry-After dates. */
int relay_job_answer(
                RelayJob *job, const HttpAnswer *answer, int64_t now, HttpRequest *ret_request);

/* Of a job that has ended. */
const RelayResult *relay_job_result(const RelayJob *job);

/* Wipes and frees; takes NULL, returns NULL. */
RelayJob *relay_job_free(RelayJob *job);
DEFINE_CLEANUP(RelayJob, relay_job_free)
