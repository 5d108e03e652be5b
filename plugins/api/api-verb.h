/* The bodies of requests that are passed on as they are: a few plain members, or none. Pure. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "api-problem.h"

/* Reads the body of a POST that asks the gateway for `ask`. *ret is the object to pass on as
 * `body`, owned by the caller, or NULL for a request that takes no members: its body is nothing, or
 * {}. Addresses and times in it are well-formed; addresses are canonical. 0, API_E_FAULT, or
 * -ENOMEM. */
int api_verb_read(const char *ask, const void *data, size_t size, json_t **ret, ApiFault *fault);
