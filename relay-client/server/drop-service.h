/* One request of Draft R applied to the store: 201, 200, 204; 404 when nothing is there, 412
 * when something is there already, and 507 when no room is left. No HTTP and no sockets here; the
 * caller owns the transaction and must not send an answer before the commit. */
#pragma once

#include "drop-store.h"
#include "relay-answer.h"

/* Applies one request at the time now and fills *ret, which must be RELAY_ANSWER_NULL. Negative
 * errno of the store: the caller rolls back and answers nobody. */
int drop_service_apply(DropStore *store, const DropRequest *request, int64_t now, RelayAnswer *ret);
