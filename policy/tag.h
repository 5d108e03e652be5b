/* Share tags: four Crockford base32 symbols that every invitation shows, and that a person may
 * write before an answer to say which share it is about.
 *
 * A tag has at least one digit from 2 to 9 and one letter, so that neither a word ("code", "done",
 * "hier") nor a part of a number can be taken for one, whatever I, L and O are folded to. That
 * leaves 706,816 tags, 19.4 bits. */
#pragma once

#include <stddef.h>

#include "code.h"

enum {
        TAG_SIZE = 5 /* with the final NUL */
};

/* Makes a tag. -EIO: see code_generate(). */
int tag_generate(CodeRandom random, void *userdata, char ret[TAG_SIZE]);

/* Reads size bytes of ASCII, which must be four symbols and nothing else, in any case; I and L are
 * 1, O is 0. False: not a tag; ret is empty. */
bool tag_canonical(const char *text, size_t size, char ret[TAG_SIZE]);
