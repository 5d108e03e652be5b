/* Share tags. The one rule beyond the alphabet, a digit from 2 to 9 and a letter, is checked when a
 * tag is made and when one is read, so that the two cannot drift apart. */
#include "tag.h"

#include <errno.h>
#include <string.h>

enum {
        DRAWS_MAX = 1024 /* a third of all draws is no tag */
};

static const char symbols[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Among what was typed, before O, I and L are folded: none of these digits is part of a word. */
static bool is_marked(const char *tag) {
        return strpbrk(tag, "23456789") && strpbrk(tag, "ABCDEFGHJKMNPQRSTVWXYZ");
}

int tag_generate(CodeRandom random, void *userdata, char ret[TAG_SIZE]) {
        for (unsigned i = 0; i < DRAWS_MAX; i++) {
                unsigned char bytes[TAG_SIZE - 1];

                random(bytes, sizeof(bytes), userdata);
                for (size_t k = 0; k < sizeof(bytes); k++)
                        ret[k] = symbols[bytes[k] & 31];
                ret[TAG_SIZE - 1] = 0;
                if (is_marked(ret))
                        return 0;
        }
        memset(ret, 0, TAG_SIZE);
        return -EIO;
}

bool tag_canonical(const char *text, size_t size, char ret[TAG_SIZE]) {
        memset(ret, 0, TAG_SIZE);
        if (size != TAG_SIZE - 1)
                return false;

        for (size_t i = 0; i < size; i++) {
                char c = text[i];

                if (c >= 'a' && c <= 'z')
                        c = (char) (c - 'a' + 'A');
                if (c == 'I' || c == 'L')
                        c = '1';
                else if (c == 'O')
                        c = '0';
                if (c == 0 || !strchr(symbols, c)) {
                        memset(ret, 0, TAG_SIZE);
                        return false;
                }
                ret[i] = c;
        }
        if (!is_marked(ret)) {
                memset(ret, 0, TAG_SIZE);
                return false;
        }
        return true;
}
