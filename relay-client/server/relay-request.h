/* What a stranger's HTTP request means to the relay (draft-vinokurov-tigress-http-00, "Draft V"):
 * bytes in, values out, no I/O and no clock. An operation's head and its body are read apart,
 * because the head may be refused, found to be a duplicate, or not allowed, before its body counts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "preview.h"
#include "webhook-url.h"

enum {
        RELAY_ID_SIZE = 16, /* a UUID */
        RELAY_CLAIM_SIZE =
                        32, /* BLAKE2b-256 of a claim's 16 bytes: claims themselves are not kept */
        RELAY_TITLE_MAX = 128,
        RELAY_DESCRIPTION_MAX = 1024,
        RELAY_IMAGE_URL_MAX = 2048,
        RELAY_TOKEN_TYPE_MAX = 128,
        RELAY_TOKEN_DATA_MAX = 4096,
        RELAY_JSON_DEPTH_MAX = 8,
};

typedef enum RelayOperation {
        RELAY_CREATE,
        RELAY_UPDATE,
        RELAY_DELETE,
        RELAY_PREVIEW, /* ReadDisplayInformationFromMailbox */
        RELAY_READ,    /* ReadSecureContentFromMailbox */
        RELAY_RELINQUISH,
        _RELAY_OPERATION_MAX,
} RelayOperation;

enum { /* mailboxConfiguration.accessRights */
        RELAY_RIGHT_READ = 1,
        RELAY_RIGHT_WRITE = 2,
        RELAY_RIGHT_DELETE = 4,
};

typedef enum RelayRequestError {
        RELAY_REQUEST_E_PATH = 1,     /* nothing is there */
        RELAY_REQUEST_E_METHOD = 2,   /* something is there, but it does not know the method */
        RELAY_REQUEST_E_HEADER = 3,   /* a header is missing, repeated or malformed */
        RELAY_REQUEST_E_CLAIM = 4,    /* no Mailbox-Device-Claim */
        RELAY_REQUEST_E_FRAGMENT = 5, /* a '#' was sent: the Secret may have come with it */
        RELAY_REQUEST_E_REFERER = 6,  /* the same, in a Referer */
        RELAY_REQUEST_E_BODY = 7,     /* not JSON, a member missing or wrong, a limit exceeded */
} RelayRequestError;

/* The parts of a head as they came, borrowed; NULL = absent. */
typedef struct RelayHead {
        const char *method;
        const char *target; /* path and query, not decoded */
        const char *request_id;
        const char *claim;
        const char *content_type;
        const char *if_none_match; /* counts for Draft R */
        bool has_referer;
        bool repeats; /* one of the headers above came twice */
} RelayHead;

typedef struct RelayLimits {
        int64_t now;         /* seconds since 1970 */
        int64_t ttl_default; /* seconds, when the request names no expiration */
        int64_t ttl_max;     /* seconds */
        const WebhookPrefixes *webhooks;
} RelayLimits;

typedef struct RelayRequest {
        RelayOperation operation;
        uint8_t mailbox[RELAY_ID_SIZE]; /* zeros for Create */
        bool has_request_id;
        uint8_t request_id[RELAY_ID_SIZE];
        uint8_t claim[RELAY_CLAIM_SIZE]; /* zeros for the preview */
        PreviewLanguage language;        /* of the preview; of the head, English else */

        /* From the body of Create and Update. */
        bool body_is_valid;
        char *display; /* displayInformation as JSON text with the known members; Create only; owned
                        */
        char *payload; /* payload as JSON text; owned */
        unsigned rights;
        int64_t expiration; /* seconds since 1970 */
        uint64_t token;     /* a hash of the notification token, 0 = none */
        char *webhook; /* where to notify its owner: the token is one of ours; owned, or NULL */
} RelayRequest;

#define RELAY_REQUEST_NULL ((RelayRequest){ .operation = RELAY_CREATE })

/* The operation's name in the draft, such as CreateMailbox. */
const char *relay_operation_name(RelayOperation operation);

/* True for the operations that have a body to read: Create and Update. */
bool relay_operation_has_body(RelayOperation operation);

/* Reads 8-4-4-4-12 hexadecimal digits of either case, any version. -EBADMSG. */
int relay_id_parse(const char *text, uint8_t ret[RELAY_ID_SIZE]);

/* Writes 37 bytes: the lower-case text with its final NUL. */
void relay_id_text(const uint8_t id[RELAY_ID_SIZE], char ret[37]);

/* Refuses what may have brought the Secret: RELAY_REQUEST_E_FRAGMENT, RELAY_REQUEST_E_REFERER. To
 * be asked before anything else: a sender of secrets must hear of it on whatever path it does so.
 */
int relay_request_check_leaks(const RelayHead *head, const char **ret_reason);

/* Reads a head into *ret, which must be RELAY_REQUEST_NULL. 0, or a positive RelayRequestError with
 * a sentence in static memory. After RELAY_REQUEST_E_HEADER and later ones, ret->operation is set.
 */
int relay_request_parse_head(const RelayHead *head, RelayRequest *ret, const char **ret_reason);

/* Reads the body of Create or Update into a request whose head was read. RELAY_REQUEST_E_BODY with
 * a sentence that quotes nothing of the body but names of known members. -ENOMEM. */
int relay_request_parse_body(RelayRequest *request,
                const void *data,
                size_t size,
                const RelayLimits *limits,
                char ret_reason[160]);

/* Frees what it owns; leaves RELAY_REQUEST_NULL. */
void relay_request_done(RelayRequest *request);
