/* The relay protocol of draft-vinokurov-tigress-http-00 ("Draft V"), pure: requests are built and
 * answers are read here, and nothing is sent. What an answer means for a client follows one table
 * for all operations; see draft-v.c. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "http.h"
#include "relay-http.h"

enum {
        DRAFT_V_BODY_MAX = 64 * 1024,    /* of a request */
        DRAFT_V_ANSWER_MAX = 256 * 1024, /* of an answer's body */
        DRAFT_V_DEPTH_MAX = 16,
        DRAFT_V_TITLE_MAX = 128,        /* characters */
        DRAFT_V_DESCRIPTION_MAX = 1024, /* characters */
        DRAFT_V_IMAGE_URL_MAX = 2048,   /* bytes */
        DRAFT_V_RETRY_AFTER_MAX = RELAY_RETRY_AFTER_MAX,
};

typedef enum DraftVOperation {
        DRAFT_V_CREATE,
        DRAFT_V_READ,
        DRAFT_V_UPDATE,
        DRAFT_V_DELETE,
        DRAFT_V_RELINQUISH,
        DRAFT_V_PREVIEW,
        _DRAFT_V_OPERATION_MAX,
} DraftVOperation;

typedef enum DraftVOutcome {
        DRAFT_V_DONE,
        DRAFT_V_AGAIN,        /* no usable answer: the same request with the same id, later */
        DRAFT_V_DUPLICATE,    /* Create was done before, and its URL is lost */
        DRAFT_V_REREAD,       /* the relay took a read for a repeated one: read with a fresh id */
        DRAFT_V_GONE,         /* deleted, expired, or never there */
        DRAFT_V_CLAIMED,      /* read: another device holds the mailbox */
        DRAFT_V_UNAUTHORISED, /* the relay refuses the claim */
        DRAFT_V_REFUSED,      /* permanent, and our or the relay's mistake */
} DraftVOutcome;

/* The versions that are spoken. They differ in the names of two headers only. */
typedef enum DraftVDialect {
        DRAFT_V_CURRENT, /* draft-vinokurov-tigress-http-00 */
        DRAFT_V_SCT04,   /* draft-secure-credential-transfer-04 */
        _DRAFT_V_DIALECT_MAX,
} DraftVDialect;

/* Who asks; borrowed. A preview needs no claim, and never carries one: it is public. */
typedef struct DraftVCaller {
        DraftVDialect dialect;
        const char *claim, *request_id; /* UUIDs */
        const char *attestation;        /* Create, Update: visible ASCII; NULL: none */
} DraftVCaller;

/* Where the relay shall tell that the mailbox changed: fresh for each mailbox, and nothing in it
 * that tells who its owner is. Both members or neither. */
typedef struct DraftVToken {
        const char *type; /* the push system */
        const char *data;
} DraftVToken;

/* What Create needs; borrowed. The displayInformation, which is title, description and image, can
 * be read by the relay and by everyone with the link. */
typedef struct DraftVCreate {
        const char *title, *description, *image_url;
        const char *payload_type, *payload_data;
        const char *access_rights; /* letters of "RWD" */
        int64_t expiration;        /* seconds since 1970 */
        DraftVToken token;
} DraftVCreate;

/* What Update needs; borrowed. */
typedef struct DraftVUpdate {
        const char *payload_type, *payload_data;
        DraftVToken token;
} DraftVUpdate;

typedef struct DraftVAnswer {
        DraftVOutcome outcome;
        char reason[32]; /* a word for operators; empty when done. Of what an answer's body says it
                          * tells apart "answer-not-json", "answer-not-utf8",
                          * "answer-repeated-member", "answer-too-deep", "answer-too-large",
                          * "answer-form" (JSON, but no answer to that), and of urlLink
                          * "link-not-https", "link-other-host" and "link-form" */
        unsigned retry_after;
        bool missing_echo; /* accepted, but the relay breaks the protocol */

        char *link;             /* Create: urlLink */
        bool push_is_supported; /* Create, Update */

        json_t *body;             /* Read, Preview: owns what follows */
        json_t *payload;          /* Read: {type, data} */
        const char *payload_type; /* borrowed from it */
        const char *payload_data;
        const char *title, *description, *image_url; /* NULL: absent */
        int64_t expiration;                          /* 0: absent */
} DraftVAnswer;

/* "sct04" for DRAFT_V_SCT04. False: no such version. */
bool draft_v_dialect_from_legacy(const char *name, DraftVDialect *ret);

/* Builds a request. base_url is the relay's https://HOST[:PORT], mailbox the whole URL of a
 * mailbox, of which query and fragment are never sent. The caller calls http_request_done().
 * -EMSGSIZE when the body would be too large. -EINVAL when a text is too long or no UTF-8, the
 * rights are others than letters of RWD, a token lacks one of its members, an attestation is no
 * header value, or a URL is not https. */
int draft_v_create(const char *base_url,
                const DraftVCaller *caller,
                const DraftVCreate *create,
                HttpRequest *ret);
int draft_v_update(const char *mailbox,
                const DraftVCaller *caller,
                const DraftVUpdate *update,
                HttpRequest *ret);

/* Read, Delete, Relinquish, and Preview. */
int draft_v_plain(DraftVOperation operation,
                const char *mailbox,
                const DraftVCaller *caller,
                HttpRequest *ret);

/* Reads an answer. hosts is the allow-list of share-url.h for urlLink; now is for Retry-After
 * dates. -ENOMEM, else 0 and the caller calls draft_v_answer_done(). */
int draft_v_read_answer(DraftVOperation operation,
                const char *request_id,
                const HttpAnswer *answer,
                const char *const *hosts,
                int64_t now,
                DraftVAnswer *ret);

void draft_v_answer_done(DraftVAnswer *answer);
