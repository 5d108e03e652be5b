/* Messages on standard output, one JSON object a line, with nothing in it that a terminal would act
 * on. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "relay.h"

/* The provisioning information itself. 0, or the exit status of what was said. */
int receive_print(const json_t *provisioning);

/* An object around it. result: of the read, or NULL; vertical: of the link, or 0. */
int receive_print_with(
                json_t *provisioning, const RelayResult *result, char vertical, bool deleted);
