#include "text.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

static const char base32_symbols[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* Base64 without tables and without branches on what is read or written, like libsodium's, so that
 * its time tells nothing; but a block of symbols at once, one in each lane of a vector. */
enum {
        BLOCK_SYMBOLS = 16,
        BLOCK_BYTES = 12,
};

typedef uint8_t Lanes __attribute__((vector_size(BLOCK_SYMBOLS)));
typedef uint64_t Words __attribute__((vector_size(BLOCK_SYMBOLS)));

/* All ones in each lane whose symbol is one from first to last. */
static inline Lanes lanes_between(Lanes c, uint8_t first, uint8_t last) {
        return (Lanes) (c >= first) & (Lanes) (c <= last);
}

/* Six bytes become eight of six bits each, in the order of memory, and back. */
static inline uint64_t word_split(const uint8_t bytes[6]) {
        uint32_t four;
        uint16_t two;
        uint64_t x;

        memcpy(&four, bytes, sizeof(four));
        memcpy(&two, bytes + sizeof(four), sizeof(two));
        x = (uint64_t) be32toh(four) << 16 | be16toh(two);
        x = x >> 24 | (x & UINT64_C(0xffffff)) << 32;
        x = (x >> 12 & UINT64_C(0x00000fff00000fff)) | (x & UINT64_C(0x00000fff00000fff)) << 16;
        x = (x >> 6 & UINT64_C(0x003f003f003f003f)) | (x & UINT64_C(0x003f003f003f003f)) << 8;
        return htole64(x);
}

static inline void word_join(uint64_t x, uint8_t ret[6]) {
        x = le64toh(x);
        x = (x & UINT64_C(0x003f003f003f003f)) << 6 | (x >> 8 & UINT64_C(0x003f003f003f003f));
        x = (x & UINT64_C(0x00000fff00000fff)) << 12 | (x >> 16 & UINT64_C(0x00000fff00000fff));
        x = htobe64(x << 40 | x >> 32 << 16);
        memcpy(ret, &x, 6);
}

static void block_write(const uint8_t bytes[BLOCK_BYTES], char *ret) {
        /* How far a symbol is from its value: in A-Z, and how much more from a, 0, + and / on. */
        const uint8_t upper = 'A', lower = 'a' - 'A' - 26, digit = (uint8_t) ('0' - 'a' - 26),
                      symbol_62 = (uint8_t) ('+' - '0' - 10), symbol_63 = '/' - '+' - 1;
        const uint8_t last_upper = 25, last_lower = 51, last_digit = 61, value_62 = 62;
        Lanes v = (Lanes) (Words){ word_split(bytes), word_split(bytes + BLOCK_BYTES / 2) };

        v += upper + ((Lanes) (v > last_upper) & lower) + ((Lanes) (v > last_lower) & digit) +
             ((Lanes) (v > last_digit) & symbol_62) + ((Lanes) (v > value_62) & symbol_63);
        memcpy(ret, &v, sizeof(v));
}

/* True when all are symbols. Two symbols differ from alphabet to alphabet. */
static bool block_read(const char *text, uint8_t symbol_62, uint8_t symbol_63, uint8_t *ret) {
        /* All values are more by one until the end, so that zero is no symbol. */
        const uint8_t upper = 'A' - 1, lower = 'a' - 27, digit = (uint8_t) ('0' - 53),
                      value_62 = 63, value_63 = 64, one = 1;
        Lanes c, v;
        Words words;

        memcpy(&c, text, sizeof(c));
        v = (lanes_between(c, 'A', 'Z') & (c - upper)) +
            (lanes_between(c, 'a', 'z') & (c - lower)) +
            (lanes_between(c, '0', '9') & (c - digit)) + ((Lanes) (c == symbol_62) & value_62) +
            ((Lanes) (c == symbol_63) & value_63) - one;
        words = (Words) v;
        word_join(words[0], ret);
        word_join(words[1], ret + BLOCK_BYTES / 2);
        return ((words[0] | words[1]) & UINT64_C(0x8080808080808080)) == 0;
}

char *text_base64(const void *data, size_t size) {
        const uint8_t *bytes = data;
        size_t length = (size + 2) / 3 * 4, n = 0, written = 0;
        char *text = malloc(length + 1), last[BLOCK_SYMBOLS];
        uint8_t rest[BLOCK_BYTES] = { 0 };

        if (!text)
                return NULL;
        for (; size - n >= BLOCK_BYTES; n += BLOCK_BYTES, written += BLOCK_SYMBOLS)
                block_write(bytes + n, text + written);
        if (size > n)
                memcpy(rest, bytes + n, size - n);
        block_write(rest, last);
        memcpy(text + written, last, length - written);
        for (size_t i = 0; i < (3 - size % 3) % 3; i++)
                text[length - 1 - i] = '=';
        text[length] = 0;
        sodium_memzero(rest, sizeof(rest));
        sodium_memzero(last, sizeof(last));
        return text;
}

/* The number of symbols before the padding, which is whole or not there. SIZE_MAX: no base64. */
static size_t count_symbols(const char *text) {
        size_t length = strlen(text), n = length;

        while (n > 0 && text[n - 1] == '=')
                n--;
        return n % 4 == 1 || (length > n && (length % 4 != 0 || length - n > 2)) ? SIZE_MAX : n;
}

int text_from_base64(const char *text, bool url_safe, uint8_t **ret, size_t *ret_size) {
        bool is_url = url_safe && strpbrk(text, "-_");
        uint8_t symbol_62 = is_url ? '-' : '+', symbol_63 = is_url ? '_' : '/';
        size_t n_symbols = count_symbols(text), size, n = 0, written = 0;
        char rest[BLOCK_SYMBOLS];
        uint8_t last[BLOCK_BYTES], *data;
        bool good;

        if (n_symbols == SIZE_MAX)
                return -EBADMSG;
        size = n_symbols / 4 * 3 + (n_symbols % 4 > 0 ? n_symbols % 4 - 1 : 0);
        data = malloc(size + 1);
        if (!data)
                return -ENOMEM;

        for (good = true; good && n_symbols - n >= BLOCK_SYMBOLS; n += BLOCK_SYMBOLS) {
                good = block_read(text + n, symbol_62, symbol_63, data + written);
                written += BLOCK_BYTES;
        }
        if (good) {
                memset(rest, 'A', sizeof(rest));
                memcpy(rest, text + n, n_symbols - n);
                good = block_read(rest, symbol_62, symbol_63, last);
                memcpy(data + written, last, size - written);
                /* The bits of the last symbol that belong to no byte must be zero. */
                good = good && (n_symbols % 4 == 0 || last[size - written] == 0);
                sodium_memzero(rest, sizeof(rest));
                sodium_memzero(last, sizeof(last));
        }
        if (!good) {
                sodium_memzero(data, size);
                free(data);
                return -EBADMSG;
        }
        data[size] = 0;
        *ret = data;
        *ret_size = size;
        return 0;
}

int text_from_base64_exactly(const char *text, void *ret, size_t size) {
        uint8_t *data;
        size_t n;
        int r;

        r = text_from_base64(text, false, &data, &n);
        if (r < 0)
                return r;
        if (n == size)
                memcpy(ret, data, size);
        sodium_memzero(data, n);
        free(data);
        return n == size ? 0 : -EBADMSG;
}

void text_hex(const void *data, size_t size, char *ret) {
        (void) sodium_bin2hex(ret, 2 * size + 1, data, size);
}

int text_from_hex(const char *text, void *ret, size_t size) {
        size_t n;

        if (strlen(text) != 2 * size ||
                        sodium_hex2bin(ret, size, text, 2 * size, NULL, &n, NULL) < 0 || n != size)
                return -EBADMSG;
        return 0;
}

void text_uuid4(const uint8_t bytes[16], char ret[UUID_TEXT_SIZE]) {
        uint8_t b[16];
        char hex[33];

        memcpy(b, bytes, sizeof(b));
        b[6] = (uint8_t) ((b[6] & 0x0f) | 0x40);
        b[8] = (uint8_t) ((b[8] & 0x3f) | 0x80);
        text_hex(b, sizeof(b), hex);
        (void) snprintf(ret,
                        UUID_TEXT_SIZE,
                        "%.8s-%.4s-%.4s-%.4s-%.12s",
                        hex,
                        hex + 8,
                        hex + 12,
                        hex + 16,
                        hex + 20);
}

void text_uuid4_random(char ret[UUID_TEXT_SIZE]) {
        uint8_t bytes[16];

        randombytes_buf(bytes, sizeof(bytes));
        text_uuid4(bytes, ret);
}

bool text_is_uuid(const char *text) {
        if (strlen(text) != UUID_TEXT_SIZE - 1)
                return false;

        for (size_t i = 0; i < UUID_TEXT_SIZE - 1; i++) {
                if (i == 8 || i == 13 || i == 18 || i == 23) {
                        if (text[i] != '-')
                                return false;
                } else if (!strchr("0123456789abcdefABCDEF", text[i]))
                        return false;
        }
        return true;
}

void text_id(const char prefix[4], const uint8_t bytes[16], char ret[ID_TEXT_SIZE]) {
        unsigned buffer = 0, bits = 2; /* 128 bits are 130 less two leading zeros */
        size_t n = 4;

        memcpy(ret, prefix, 4);
        for (size_t i = 0; i < 16; i++) {
                buffer = buffer << 8 | bytes[i];
                bits += 8;
                while (bits >= 5) {
                        bits -= 5;
                        ret[n++] = base32_symbols[buffer >> bits & 31];
                }
                buffer &= (1u << bits) - 1;
        }
        ret[n] = 0;
}

int text_from_id(const char prefix[4], const char *text, uint8_t ret[16]) {
        unsigned buffer = 0, bits = 0;
        size_t n = 0;

        if (strlen(text) != ID_TEXT_SIZE - 1 || memcmp(text, prefix, 4) != 0)
                return -EBADMSG;

        for (size_t i = 4; i < ID_TEXT_SIZE - 1; i++) {
                const char *symbol = strchr(base32_symbols, text[i]);

                if (!symbol)
                        return -EBADMSG;
                if (i == 4) { /* the two leading zeros */
                        if (symbol - base32_symbols > 7)
                                return -EBADMSG;
                        bits = 3;
                        buffer = (unsigned) (symbol - base32_symbols);
                        continue;
                }
                buffer = buffer << 5 | (unsigned) (symbol - base32_symbols);
                bits += 5;
                if (bits >= 8) {
                        bits -= 8;
                        ret[n++] = (uint8_t) (buffer >> bits);
                        buffer &= (1u << bits) - 1;
                }
        }
        return 0;
}

/* Returns the length of the sequence that starts at p, 0 when it is malformed. */
static size_t utf8_sequence(const uint8_t *p, size_t size) {
        size_t n;
        uint32_t c;

        if (p[0] < 0x80)
                return 1;
        if (p[0] >= 0xc2 && p[0] <= 0xdf)
                n = 2, c = p[0] & 0x1f;
        else if ((p[0] & 0xf0) == 0xe0)
                n = 3, c = p[0] & 0x0f;
        else if (p[0] >= 0xf0 && p[0] <= 0xf4)
                n = 4, c = p[0] & 0x07;
        else
                return 0;
        if (size < n)
                return 0;

        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (n == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff)))
                return 0;
        if (n == 4 && (c < 0x10000 || c > 0x10ffff))
                return 0;
        return n;
}

/* Eight bytes at once: most texts are nothing else. */
static bool is_ascii(const uint8_t *p) {
        uint64_t word;

        memcpy(&word, p, sizeof(word));
        return (word & UINT64_C(0x8080808080808080)) == 0;
}

bool text_is_ascii(const void *data, size_t size) {
        const uint8_t *p = data;

        for (; size > 0; p++, size--)
                if (*p >= 0x80)
                        return false;
        return true;
}

bool text_is_utf8(const void *data, size_t size) {
        const uint8_t *p = data;

        while (size > 0) {
                size_t n = size >= 8 && is_ascii(p) ? 8 : utf8_sequence(p, size);

                if (n == 0)
                        return false;
                p += n;
                size -= n;
        }
        return true;
}

bool text_is_one_line(const char *text) {
        const uint8_t *p = (const uint8_t *) text;
        ucs4_t c;

        if (!text_is_utf8(text, strlen(text)))
                return false;
        while ((p = u8_next(&c, p)))
                if (uc_is_general_category_withtable(c,
                                    UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Zl |
                                                    UC_CATEGORY_MASK_Zp) ||
                                (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
                        return false;
        return true;
}

void text_word(const char *text, char *ret, size_t size) {
        size_t n = 0;

        for (; text && text[n] && n + 1 < size; n++) {
                char c = text[n];

                ret[n] = (char) ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-');
        }
        ret[n] = 0;
}
