/* A policy in plain words, for the person who has to answer for it: what the recipient does, which
 * level that reaches, how likely a guess is, and who is stopped and who is not. `vestibuled
 * --check` prints it of a file, and `vestibulectl policy show` of a running gateway (design section
 * 6 and 8; security.md B.1, B.5). */
#pragma once

#include <stdio.h>

#include "config.h"

/* Prints the policy, a heading and indented lines of at most 100 columns. */
void policy_text_print(const ConfigPolicy *policy, FILE *file);

/* The same as a text that the caller frees; NULL: out of memory. */
char *policy_text(const ConfigPolicy *policy);

/* "split" or "same": whether the link goes over two channels in two halves. */
const char *policy_text_link_delivery(const ConfigPolicy *policy);

/* Whether the policy skips the channel at this place, since it knows senders too little. */
bool policy_text_skips(const ConfigPolicy *policy, size_t channel);
