/* One job of relay.h after another, each awaited, over one connection that is kept. */
#pragma once

#include "receive-link.h"
#include "receive-options.h"
#include "relay.h"

typedef struct ReceiveExchange ReceiveExchange;

/* For a link's protocol, and as the options say, whose hosts are borrowed. 0, or the exit status of
 * what was said. */
int receive_exchange_new(
                const ReceiveOptions *options, const ReceiveLink *link, ReceiveExchange **ret);

/* Runs an operation to its end, four times at most while there is no usable answer, with the same
 * ids, after 1, 2 and 4 seconds or when the relay says. 0: *ret has ended, and is the caller's. */
int receive_exchange_run(ReceiveExchange *exchange, const RelayJobTask *task, RelayJob **ret);

/* True for an outcome that comes of the relay's certificate: no other try changes it. */
bool receive_exchange_is_untrusted(const RelayResult *result);

/* Waits, and lets the relay close the connection meanwhile. */
int receive_exchange_pause(ReceiveExchange *exchange, uint64_t usec);

/* Takes NULL, returns NULL. */
ReceiveExchange *receive_exchange_free(ReceiveExchange *exchange);
DEFINE_CLEANUP(ReceiveExchange, receive_exchange_free)
