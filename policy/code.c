/* Generating, reading and checking codes. Everything that depends on what a person typed is done
 * before a secret is touched; the only comparison with a secret is code_verifier_equal(). */
#include "code.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <string.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

enum {
        D9_LENGTH = 9,
        X8_LENGTH = 8,
        DRAWS_MAX = 4096, /* bytes; a sound source needs more with a probability below 2^-1000 */
};

static const char digits[] = "0123456789";
static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static const char *alphabet(CodeFormat format) {
        return format == CODE_D9 ? digits : crockford;
}

static unsigned alphabet_size(CodeFormat format) {
        return format == CODE_D9 ? 10 : 32;
}

const char *code_format_name(CodeFormat format) {
        switch (format) {
        case CODE_D9:
                return "D9";
        case CODE_X8:
                return "X8";
        default:
                return NULL;
        }
}

CodeFormat code_format_from_name(const char *name) {
        for (CodeFormat format = 0; name && format < CODE_FORMAT_MAX; format++)
                if (strcmp(code_format_name(format), name) == 0)
                        return format;
        return CODE_FORMAT_MAX;
}

size_t code_length(CodeFormat format) {
        return format == CODE_D9 ? D9_LENGTH : X8_LENGTH;
}

uint64_t code_space(CodeFormat format) {
        uint64_t space = 1, size = alphabet_size(format);

        for (size_t i = 0; i < code_length(format) - 1; i++)
                space *= size;
        return space - 3 * size; /* all equal, counting up, counting down, from each first symbol */
}

double code_guess_bits(CodeFormat format, unsigned attempts) {
        return log2((double) code_space(format)) - log2(attempts > 0 ? attempts : 1);
}

/* The value of a symbol, or -1. */
static int symbol_value(CodeFormat format, char symbol) {
        const char *found = symbol ? strchr(alphabet(format), symbol) : NULL;

        return found ? (int) (found - alphabet(format)) : -1;
}

/* Damm's quasigroup of order 10: weakly totally anti-symmetric, with zeros on the diagonal. */
static unsigned damm(const unsigned *values, size_t n) {
        static const uint8_t quasigroup[10][10] = {
                { 0, 3, 1, 7, 5, 9, 8, 6, 4, 2 },
                { 7, 0, 9, 2, 1, 5, 4, 8, 6, 3 },
                { 4, 2, 0, 6, 8, 7, 1, 3, 5, 9 },
                { 1, 7, 5, 0, 9, 8, 3, 4, 2, 6 },
                { 6, 1, 2, 3, 0, 4, 5, 9, 7, 8 },
                { 3, 6, 7, 4, 2, 0, 9, 5, 8, 1 },
                { 5, 8, 6, 9, 7, 2, 0, 1, 3, 4 },
                { 8, 9, 4, 5, 3, 6, 2, 0, 1, 7 },
                { 9, 4, 3, 8, 6, 1, 7, 2, 0, 5 },
                { 2, 5, 8, 1, 4, 3, 6, 7, 9, 0 },
        };
        unsigned interim = 0;

        for (size_t i = 0; i < n; i++)
                interim = quasigroup[interim][values[i]];
        return interim;
}

/* Multiplies by a = 2 in GF(32) with x^5 + x^2 + 1. */
static unsigned times_two(unsigned x) {
        x <<= 1;
        return x & 32 ? x ^ 37 : x;
}

/* The sum of a^i s_i, by Horner's rule from the last symbol. */
static unsigned weighted_sum(const unsigned *values, size_t n) {
        unsigned sum = 0;

        while (n > 0)
                sum = times_two(sum) ^ values[--n];
        return sum;
}

static bool read_values(CodeFormat format, const char *symbols, size_t n, unsigned *ret) {
        if (strnlen(symbols, n + 1) != n)
                return false;

        for (size_t i = 0; i < n; i++) {
                int value = symbol_value(format, symbols[i]);

                if (value < 0)
                        return false;
                ret[i] = (unsigned) value;
        }
        return true;
}

char code_check_symbol(CodeFormat format, const char *symbols) {
        unsigned values[CODE_SIZE];
        size_t n = code_length(format) - 1;

        if (!read_values(format, symbols, n, values))
                return 0;
        if (format == CODE_D9)
                return digits[damm(values, n)];

        for (values[n] = 0; weighted_sum(values, n + 1) != 0; values[n]++)
                ;
        return crockford[values[n]];
}

bool code_check(CodeFormat format, const char *canonical) {
        unsigned values[CODE_SIZE];
        size_t n = code_length(format);

        if (!read_values(format, canonical, n, values))
                return false;
        return format == CODE_D9 ? damm(values, n) == 0 : weighted_sum(values, n) == 0;
}

/* All equal, or each symbol one more or one less than the symbol before it, around the end. */
static bool is_guessed_first(const unsigned *values, size_t n, unsigned size) {
        unsigned step = (values[1] + size - values[0]) % size;

        if (step != 0 && step != 1 && step != size - 1)
                return false;
        for (size_t i = 1; i < n; i++)
                if ((values[i] + size - values[i - 1]) % size != step)
                        return false;
        return true;
}

/* Random symbols without bias: a byte that is no whole part of the alphabet is drawn again. */
static int draw(CodeFormat format, CodeRandom random, void *userdata, unsigned *ret) {
        unsigned size = alphabet_size(format), bound = 256 - 256 % size;
        size_t n = code_length(format) - 1, drawn = 0;

        do {
                for (size_t i = 0; i < n; drawn++) {
                        uint8_t byte;

                        if (drawn == DRAWS_MAX)
                                return -EIO;
                        random(&byte, 1, userdata);
                        if (byte < bound)
                                ret[i++] = byte % size;
                        sodium_memzero(&byte, 1);
                }
        } while (is_guessed_first(ret, n, size));
        return 0;
}

int code_generate(CodeFormat format, CodeRandom random, void *userdata, char ret[CODE_SIZE]) {
        unsigned values[CODE_SIZE];
        size_t n = code_length(format) - 1;
        int r;

        memset(ret, 0, CODE_SIZE);
        r = draw(format, random, userdata, values);
        if (r == 0) {
                for (size_t i = 0; i < n; i++)
                        ret[i] = alphabet(format)[values[i]];
                ret[n] = code_check_symbol(format, ret);
        }
        sodium_memzero(values, sizeof(values));
        return r;
}

/* What people put between symbols, and what their keyboards put there for them. */
static bool is_ignored(ucs4_t c) {
        static const uint32_t marks[] = { '\t',
                '\n',
                '\r',
                '"',
                '\'',
                '.',
                '`',
                0xb4,
                0x2032,
                0x2033,
                0x2043,
                0x2212,
                0x201a,
                0x201e };

        for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
                if (c == marks[i])
                        return true;
        return uc_is_general_category_withtable(c,
                               UC_CATEGORY_MASK_Z | UC_CATEGORY_MASK_Pd | UC_CATEGORY_MASK_Pi |
                                               UC_CATEGORY_MASK_Pf | UC_CATEGORY_MASK_Me) ||
               uc_is_property_default_ignorable_code_point(c);
}

/* A code point as one of the ASCII symbols that it stands for, or 0. */
static char fold(CodeFormat format, ucs4_t c) {
        if (c >= 0x80) {
                uint32_t mapped[UC_DECOMPOSITION_MAX_LENGTH];
                size_t n = UC_DECOMPOSITION_MAX_LENGTH;
                int value = uc_decimal_value(c);

                if (value >= 0)
                        return digits[value];
                if (u32_normalize(UNINORM_NFKC, &c, 1, mapped, &n) != mapped || n != 1 ||
                                mapped[0] >= 0x80)
                        return 0;
                c = mapped[0];
        }
        if (c >= 'a' && c <= 'z')
                c -= 'a' - 'A';
        if (format == CODE_X8 && (c == 'I' || c == 'L'))
                return '1';
        if (format == CODE_X8 && c == 'O')
                return '0';
        return (char) (symbol_value(format, (char) c) >= 0 ? c : 0);
}

int code_canonical(CodeFormat format, const char *text, size_t size, char ret[CODE_SIZE]) {
        const uint8_t *p = (const uint8_t *) text;
        size_t n = 0, length = code_length(format);

        memset(ret, 0, CODE_SIZE);
        while (size > 0) {
                ucs4_t c;
                int used = u8_mbtoucr(&c, p, size);
                char symbol;

                if (used <= 0)
                        goto refuse;
                p += used;
                size -= (size_t) used;
                if (is_ignored(c))
                        continue;
                symbol = fold(format, c);
                if (symbol == 0 || n == length)
                        goto refuse;
                ret[n++] = symbol;
        }
        if (n != length)
                goto refuse;
        return code_check(format, ret) ? 0 : CODE_E_MISTYPED;

refuse:
        sodium_memzero(ret, CODE_SIZE);
        return CODE_E_FORM;
}

void code_display(CodeFormat format, const char *canonical, char ret[CODE_DISPLAY_SIZE]) {
        size_t group = format == CODE_D9 ? 3 : 4, n = 0;

        for (size_t i = 0; i < code_length(format) && canonical[i]; i++) {
                if (i > 0 && i % group == 0)
                        ret[n++] = '-';
                ret[n++] = canonical[i];
        }
        ret[n] = 0;
}

void code_verifier(const uint8_t key[CODE_KEY_SIZE],
                const char *mode,
                const char *share,
                const char *canonical,
                uint8_t ret[CODE_VERIFIER_SIZE]) {
        const char *const parts[] = { "vestibule code v1", mode, share, canonical };
        crypto_generichash_state state;

        (void) crypto_generichash_init(&state, key, CODE_KEY_SIZE, CODE_VERIFIER_SIZE);
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
                (void) crypto_generichash_update(
                                &state, (const uint8_t *) parts[i], strlen(parts[i]));
        (void) crypto_generichash_final(&state, ret, CODE_VERIFIER_SIZE);
        sodium_memzero(&state, sizeof(state));
}

bool code_verifier_equal(const uint8_t a[CODE_VERIFIER_SIZE], const uint8_t b[CODE_VERIFIER_SIZE]) {
        return sodium_memcmp(a, b, CODE_VERIFIER_SIZE) == 0;
}
