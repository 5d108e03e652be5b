/* The messages of a share as their tenant sees them: what the relay client sealed to this front is
 * opened here, and nowhere else outside the tenant. No I/O. */
#pragma once

#include <jansson.h>

#include "key-file.h"

/* Makes the body of GET /v1/shares/{share}/messages from that of the gateway's answer to
 * message.list: `box` and `encrypted` become `provisioning`, in the form in which tenants send it;
 * one that cannot be shown has `readable`: false and `reason`, a word that openapi.yaml explains.
 * `cursor` becomes the number of the last message in the list. keys: the front's, or NULL.
 * Returns the number of boxes that open and are of another share or number, which no honest gateway
 * hands out. -EPROTO: not the body of such an answer. -ENOMEM. The caller owns *ret. */
int api_messages_show(
                const json_t *body, const char *share, const RelayPrivateKeys *keys, json_t **ret);
