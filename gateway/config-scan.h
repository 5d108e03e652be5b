/* What libconfuse does not tell about a text in its syntax: on which line each section and key
 * stands, and whether one is there twice. Also keeps from libconfuse what it accepts and we do not
 * want (environment variables, unclosed strings, which would disturb the next file that is read).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cleanup.h"

typedef struct ConfigScan ConfigScan;

int config_scan_new(ConfigScan **ret);
ConfigScan *config_scan_free(ConfigScan *scan);
DEFINE_CLEANUP(ConfigScan, config_scan_free)

/* Scans one text, which adds to what was scanned before. Writes problems as lines `file:line:
 * sentence`. On success *ret is the text with blanks in place of comments (whose lines libconfuse
 * miscounts), which the caller frees. CONFIG_E_INVALID, -ENOMEM. */
int config_scan_text(ConfigScan *scan,
                const char *text,
                size_t size,
                const char *file,
                FILE *problems,
                char **ret);

/* Where a key stands; without a key, or if it is absent, where its section starts. section is
 * "gateway" or "policy"; title is NULL for sections without. The place is "file:line", valid as
 * long as the scan. */
const char *config_scan_place(
                const ConfigScan *scan, const char *section, const char *title, const char *key);

bool config_scan_has(
                const ConfigScan *scan, const char *section, const char *title, const char *key);
