/* Codes of countries as a configuration names them: ISO 3166-1 alpha-2, of those that have
 * telephone numbers; and XK, AC and TA, which have numbers and no code of their own there. */
#pragma once

#include <stdbool.h>

/* Two capital letters that are the code of a country. */
bool country_is_known(const char *code);

/* The code that is meant by one that is often written in its place, such as GB by UK; NULL: none.
 */
const char *country_meant(const char *code);
