/* One request applied to the store: decision, effect, answer. No HTTP and no sockets here; the
 * caller owns the transaction around it and must not send an answer before the commit. */
#pragma once

#include "mailbox-store.h"
#include "mailbox.h"
#include "relay-answer.h"
#include "relay-request.h"

typedef struct RelayPolicy {
        const char *public_url; /* https://host[:port], no slash at the end; borrowed */
        bool empty_created;     /* a duplicate Create is answered without the urlLink */
        bool forbid_with_403;   /* a missing right is 403 instead of 401 */
} RelayPolicy;

/* Applies one request at the time now (seconds since 1970) and fills *ret, which must be
 * RELAY_ANSWER_NULL. Negative errno of the store: the caller rolls back and answers nobody. */
int relay_service_apply(MailboxStore *store,
                const RelayPolicy *policy,
                const RelayRequest *request,
                int64_t now,
                RelayAnswer *ret);
