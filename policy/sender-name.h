/* Names under which tenants are shown to strangers: what may be in one, and when two are so alike
 * that a guest takes one for the other (design section 9; after UTS 39 sections 4 and 5, for the
 * letters that an SMS can carry).
 *
 * A name is of one script, Latin or Greek, since the SMS alphabet has no other; nothing in it may
 * look like an address, a number to call, a code or another script's letters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
        SENDER_NAME_SEPTETS = 24, /* each character that may be in one takes one */
        SENDER_NAME_PROBLEM_SIZE = 160,
        SENDER_NAME_SKELETON_SIZE = 2 * SENDER_NAME_SEPTETS + 1,
};

typedef enum SenderNameError {
        SENDER_NAME_E_UNFIT = 1, /* *ret_problem says why */
} SenderNameError;

/* Checks a name, which may be any bytes. ret_problem goes on after the name: "looks like a web
 * address". It holds nothing of the name but a character's number. SENDER_NAME_E_UNFIT. */
int sender_name_check(const char *name, char ret_problem[SENDER_NAME_PROBLEM_SIZE]);

/* How a dotted letter is read aloud or spelled without its dots. */
typedef enum SenderNameReading {
        SENDER_NAME_BARE,    /* ä is a */
        SENDER_NAME_SPELLED, /* ä is ae */
        SENDER_NAME_READING_MAX,
} SenderNameReading;

/* What a name comes down to for somebody who reads it in passing: without case, accents, spaces and
 * signs, and with one letter for all that look alike. Two names are alike if they have the same
 * skeleton in one of the readings. The name is one that sender_name_check() accepts. */
void sender_name_skeleton(
                const char *name, SenderNameReading reading, char ret[SENDER_NAME_SKELETON_SIZE]);

/* Whether a guest may take one for the other. Equal names are alike. */
bool sender_names_are_alike(const char *a, const char *b);
