/* OpenMetrics text (version 1.0.0) from what the gateway says of its health. Pure. */
#pragma once

#include <jansson.h>

#define API_METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* health: {status, parts: [{name, up}], counters: {name: integer}}; members may be missing. The
 * caller frees. NULL: out of memory. */
char *api_metrics_text(const json_t *health);
