/* Codes that a sender tells a recipient by another path, made to be spoken and typed:
 *
 *   D9  nine digits, the last a Damm check digit (H. M. Damm, 2004):           123-456-786
 *   X8  eight Crockford base32 symbols, the last a check symbol over GF(32)
 *       (x^5 + x^2 + 1, a = 2, the sum of a^i s_i over all symbols is zero):   7KQ4-XMPF
 *
 * The check finds every single wrong symbol and every swap of neighbours, so that a slip costs no
 * attempt. It adds no security: whoever guesses can compute it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum CodeFormat {
        CODE_D9,
        CODE_X8,
        CODE_FORMAT_MAX,
} CodeFormat;

typedef enum CodeError {
        CODE_E_FORM = 1,     /* not the symbols of one code, or another number of them */
        CODE_E_MISTYPED = 2, /* as many symbols as a code has, but the check symbol fails */
} CodeError;

enum {
        CODE_SIZE = 10, /* room for a canonical code of any format, and the final NUL */
        CODE_DISPLAY_SIZE = 12,
        CODE_KEY_SIZE = 32,
        CODE_VERIFIER_SIZE = 32,
};

/* Fills ret with size random bytes. */
typedef void (*CodeRandom)(void *ret, size_t size, void *userdata);

/* "D9", "X8"; NULL for a value outside the enumeration. The reverse gives CODE_FORMAT_MAX. */
const char *code_format_name(CodeFormat format);
CodeFormat code_format_from_name(const char *name);

/* Symbols in a code, the check symbol included. */
size_t code_length(CodeFormat format);

/* How many codes code_generate() can make: those that are all equal or that count up or down are
 * left out, as people guess them first. */
uint64_t code_space(CodeFormat format);

/* Makes a code in canonical form, each of code_space() equally likely. ret is the caller's to wipe.
 * -EIO: the random source repeats itself so much that it cannot be one. */
int code_generate(CodeFormat format, CodeRandom random, void *userdata, char ret[CODE_SIZE]);

/* Brings what a person typed to canonical form: case folded, full-width and other decimal digits
 * (Unicode Nd) folded to ASCII, spaces, dots, dashes and quotes of any kind left out; in X8 also
 * I and L to 1, O to 0. Text is size bytes of anything. 0: a code. CODE_E_MISTYPED: ret holds what
 * was read. CODE_E_FORM: ret is empty. */
int code_canonical(CodeFormat format, const char *text, size_t size, char ret[CODE_SIZE]);

/* True when a text in canonical form has the length, the symbols and the check symbol of the
 * format. */
bool code_check(CodeFormat format, const char *canonical);

/* The check symbol for the symbols before it; 0 when they are not code_length() - 1 symbols. */
char code_check_symbol(CodeFormat format, const char *symbols);

/* Groups a canonical code for people: 123-456-786, 7KQ4-XMPF. */
void code_display(CodeFormat format, const char *canonical, char ret[CODE_DISPLAY_SIZE]);

/* BLAKE2b-256(key, "vestibule code v1" || mode || share || canonical): what is stored in place of a
 * code. mode is the factor's name ("reply-code"), share the share's id as text ("shr_..."), whose
 * fixed length keeps the parts apart. */
void code_verifier(const uint8_t key[CODE_KEY_SIZE],
                const char *mode,
                const char *share,
                const char *canonical,
                uint8_t ret[CODE_VERIFIER_SIZE]);

/* Compares in constant time. */
bool code_verifier_equal(const uint8_t a[CODE_VERIFIER_SIZE], const uint8_t b[CODE_VERIFIER_SIZE]);

/* -log2 of the probability that so many distinct guesses meet a code: 25.0 for D9 and three. */
double code_guess_bits(CodeFormat format, unsigned attempts);
