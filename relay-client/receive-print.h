/* Messages on standard output: a JSON object and a line feed. What was received is written with the
 * bytes it came with, but for what a terminal would act on, if standard output is one. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "relay.h"

/* The provisioning information itself. 0, or the exit status of what was said. */
int receive_print(const json_t *provisioning);

/* An object around it. result: of the read, or NULL; vertical: of the link, or 0. */
int receive_print_with(
                json_t *provisioning, const RelayResult *result, char vertical, bool deleted);
