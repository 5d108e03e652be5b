/* From provisioning to what the gateway is told of it: sealed to the relay client's key, bound to
 * one share, or passed on where the tenant has sealed or is going to be asked. No I/O, no clock. */
#pragma once

#include <jansson.h>

#include "api-provisioning.h"
#include "envelope.h"
#include "relay-key.h"

/* Adds to the frame of share.create or message.add, by the form of provisioning:
 *   plain      sealed: {kid, box, nonce, recipients, class, not_after}
 *   encrypted  the same, and encrypted: true
 *   sealed     sealed: {kid, box, recipients, class}
 *   mint       mint: URL, recipients, class
 * Draws the nonce of binding. API_E_FAULT with the fault filled: no key to seal to at this time, or
 * the tenant's box names one that is not ours. -EMSGSIZE: too large for an envelope. -ENOMEM. */
int api_seal(const ApiProvisioning *provisioning,
                const RelayPublicKeys *keys,
                int64_t now,
                EnvelopeBinding *binding,
                json_t *frame,
                ApiFault *fault);
