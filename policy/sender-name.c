/* The letters are a table: what each is read as. Signs and spaces are not in it, so that nothing is
 * different for a dot more. */
#include "sender-name.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

#include "cleanup.h"

enum {
        DIGITS_IN_A_ROW_MAX = 4,
        DIGITS_TOGETHER_MAX = 6, /* with nothing but signs and spaces between them */
};

typedef struct Letter {
        ucs4_t character; /* capitals of Latin letters are not here, but for those in which they
                             differ from the small ones */
        const char *bare, *spelled;
} Letter;

/* Small l and capital I are one stroke in most typefaces, and i is the small I. */
static const Letter letters[] = {
        { 'i', "l", "l" },
        { '0', "o", "o" },
        { '1', "l", "l" },
        { '2', "z", "z" },
        { '5', "s", "s" },
        { '8', "b", "b" },
        { 0xc4, "a", "ae" }, /* Ä */
        { 0xc5, "a", "aa" }, /* Å */
        { 0xc6, "ae", "ae" },
        { 0xc7, "c", "c" },
        { 0xc9, "e", "e" },
        { 0xd1, "n", "n" },
        { 0xd6, "o", "oe" },
        { 0xd8, "o", "oe" }, /* Ø */
        { 0xdc, "u", "ue" },
        { 0xdf, "ss", "ss" },
        { 0xe0, "a", "a" },
        { 0xe4, "a", "ae" },
        { 0xe5, "a", "aa" },
        { 0xe6, "ae", "ae" },
        { 0xe8, "e", "e" },
        { 0xe9, "e", "e" },
        { 0xec, "l", "l" },
        { 0xf1, "n", "n" },
        { 0xf2, "o", "o" },
        { 0xf6, "o", "oe" },
        { 0xf8, "o", "oe" },
        { 0xf9, "u", "u" },
        { 0xfc, "u", "ue" },
        { 0x0393, "r", "r" }, /* Greek capitals, as a Latin reader takes them */
        { 0x0394, "a", "a" },
        { 0x0398, "o", "o" },
        { 0x039b, "a", "a" },
        { 0x039e, "e", "e" },
        { 0x03a0, "n", "n" },
        { 0x03a3, "e", "e" },
        { 0x03a6, "o", "o" },
        { 0x03a8, "w", "w" },
        { 0x03a9, "o", "o" },
};

/* Letters that look like one when they stand together, in the letters that the table gives. */
static const struct {
        const char *together, *one;
} pairs[] = { { "rn", "m" }, { "vv", "w" }, { "cl", "d" } };

static bool is_ascii_letter(ucs4_t c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(ucs4_t c) {
        return c >= '0' && c <= '9';
}

static bool is_sign(ucs4_t c) {
        return c != 0 && c < 0x80 && strchr(" &'+,-./()", (int) c) != NULL;
}

static const Letter *letter_find(ucs4_t c) {
        for (size_t i = 0; i < N_ELEMENTS(letters); i++)
                if (letters[i].character == c)
                        return &letters[i];
        return NULL;
}

typedef struct Looking {
        ucs4_t previous;
        unsigned characters, digits, together;
        bool has_latin, has_greek;
} Looking;

static int problem(char ret[SENDER_NAME_PROBLEM_SIZE], const char *text) {
        (void) snprintf(ret, SENDER_NAME_PROBLEM_SIZE, "%s", text);
        return SENDER_NAME_E_UNFIT;
}

static int problem_character(ucs4_t c, char ret[SENDER_NAME_PROBLEM_SIZE]) {
        const uc_script_t *script = uc_script(c);

        if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_L) && script &&
                        !streq(script->name, "Latin") && !streq(script->name, "Common"))
                (void) snprintf(ret,
                                SENDER_NAME_PROBLEM_SIZE,
                                "has U+%04X, a letter of the script %s that an SMS has no room for "
                                "and that may be taken for another",
                                c,
                                script->name);
        else
                (void) snprintf(ret,
                                SENDER_NAME_PROBLEM_SIZE,
                                "has U+%04X, a character that is not allowed; letters of the SMS "
                                "alphabet, digits, space and & ' + , - . / ( ) are",
                                c);
        return SENDER_NAME_E_UNFIT;
}

/* One character; next is what follows, 0 at the end. */
static int look(Looking *l, ucs4_t c, ucs4_t next, char ret[SENDER_NAME_PROBLEM_SIZE]) {
        if (is_ascii_letter(c) || (c >= 0x80 && c < 0x0370 && letter_find(c)))
                l->has_latin = true;
        else if (c >= 0x0370 && letter_find(c))
                l->has_greek = true;
        else if (!is_digit(c) && !is_sign(c))
                return problem_character(c, ret);

        l->characters++;
        l->digits = is_digit(c) ? l->digits + 1 : 0;
        l->together = is_digit(c) ? l->together + 1 : is_sign(c) ? l->together : 0;
        if (l->digits > DIGITS_IN_A_ROW_MAX)
                return problem(ret, "has more than four digits in a row");
        if (l->together > DIGITS_TOGETHER_MAX)
                return problem(ret, "has digits that look like a number to call, or a code");
        if (c == ' ' && (l->previous == ' ' || l->previous == 0 || next == 0))
                return problem(ret, "has a space too many");
        if ((l->previous == '.' && !is_sign(c)) || (l->previous == '/' && c == '/'))
                return problem(ret, "looks like a web address");
        l->previous = c;
        return 0;
}

int sender_name_check(const char *name, char ret_problem[SENDER_NAME_PROBLEM_SIZE]) {
        const uint8_t *s = (const uint8_t *) name;
        size_t size = strlen(name);
        Looking l = { 0 };

        ret_problem[0] = 0;
        if (u8_check(s, size))
                return problem(ret_problem, "is not UTF-8");
        if (size >= 3 && (name[0] | 0x20) == 'w' && (name[1] | 0x20) == 'w' &&
                        (name[2] | 0x20) == 'w')
                return problem(ret_problem, "looks like a web address");
        while (*s) {
                ucs4_t c, next = 0;
                int r;

                s = u8_next(&c, s);
                if (*s)
                        (void) u8_next(&next, s);
                r = look(&l, c, next, ret_problem);
                if (r != 0)
                        return r;
        }
        if (l.characters > SENDER_NAME_SEPTETS)
                return problem(ret_problem, "is longer than 24 characters");
        if (!l.has_latin && !l.has_greek)
                return problem(ret_problem, "has no letter");
        if (l.has_latin && l.has_greek)
                return problem(ret_problem, "mixes Latin and Greek letters");
        return 0;
}

/* Replaces each pair by the one that it looks like. */
static void join_pairs(char *text) {
        for (size_t i = 0; i < N_ELEMENTS(pairs); i++)
                for (char *found; (found = strstr(text, pairs[i].together));) {
                        *found = pairs[i].one[0];
                        memmove(found + 1, found + 2, strlen(found + 2) + 1);
                }
}

void sender_name_skeleton(
                const char *name, SenderNameReading reading, char ret[SENDER_NAME_SKELETON_SIZE]) {
        const uint8_t *s = (const uint8_t *) name;
        size_t n = 0;

        while (*s && n + 2 < SENDER_NAME_SKELETON_SIZE) {
                const Letter *letter;
                ucs4_t c;

                s = u8_next(&c, s);
                if (is_sign(c))
                        continue;
                if (is_ascii_letter(c))
                        c |= 0x20;
                letter = letter_find(c);
                if (letter) {
                        const char *text = reading == SENDER_NAME_SPELLED ? letter->spelled
                                                                          : letter->bare;

                        while (*text)
                                ret[n++] = *text++;
                } else if (c < 0x80)
                        ret[n++] = (char) c;
        }
        ret[n] = 0;
        join_pairs(ret);
}

bool sender_names_are_alike(const char *a, const char *b) {
        for (SenderNameReading r = 0; r < SENDER_NAME_READING_MAX; r++) {
                char one[SENDER_NAME_SKELETON_SIZE], other[SENDER_NAME_SKELETON_SIZE];

                sender_name_skeleton(a, r, one);
                sender_name_skeleton(b, r, other);
                if (streq(one, other))
                        return true;
        }
        return false;
}
