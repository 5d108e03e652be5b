/* One request applied to the store: decision, effect, answer. No HTTP and no sockets here; the
 * caller owns the transaction around it and must not send an answer before the commit. */
#pragma once

#include "mailbox-store.h"
#include "mailbox.h"
#include "relay-request.h"

typedef struct RelayPolicy {
        const char *public_url; /* https://host[:port], no slash at the end; borrowed */
        bool repeat_created;    /* a duplicate Create is answered with the urlLink again */
        bool forbid_with_403;   /* a missing right is 403 instead of 401 */
} RelayPolicy;

typedef enum RelayPush {
        RELAY_PUSH_NONE,
        RELAY_PUSH_INITIATOR,
        RELAY_PUSH_RECIPIENT,
} RelayPush;

typedef struct RelayAnswer {
        unsigned status;
        bool is_html;
        char *body; /* owned; NULL = empty */
        size_t body_size;
        uint8_t mailbox[RELAY_ID_SIZE]; /* of the request, or the one that Create made */
        RelayPush push;                 /* who would have been told of an Update */
        uint64_t push_token;            /* the hash of that party's notification token */
} RelayAnswer;

#define RELAY_ANSWER_NULL ((RelayAnswer){ .status = 0 })

/* Applies one request at the time now (seconds since 1970) and fills *ret, which must be
 * RELAY_ANSWER_NULL. Negative errno of the store: the caller rolls back and answers nobody. */
int relay_service_apply(MailboxStore *store,
                const RelayPolicy *policy,
                const RelayRequest *request,
                int64_t now,
                RelayAnswer *ret);

/* Frees the body; leaves RELAY_ANSWER_NULL. */
void relay_answer_done(RelayAnswer *answer);
