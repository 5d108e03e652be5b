#include "text.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char base32_symbols[] = "0123456789abcdefghjkmnpqrstvwxyz";

char *text_base64(const void *data, size_t size) {
        size_t length = sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_ORIGINAL);
        char *text = malloc(length);

        if (!text)
                return NULL;
        return sodium_bin2base64(text, length, data, size, sodium_base64_VARIANT_ORIGINAL);
}

static bool is_ascii(const char *text) {
        for (; *text; text++)
                if ((uint8_t) *text > 0x7f)
                        return false;
        return true;
}

int text_from_base64(const char *text, bool url_safe, uint8_t **ret, size_t *ret_size) {
        static const int strict[] = { sodium_base64_VARIANT_ORIGINAL,
                sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
                sodium_base64_VARIANT_URLSAFE,
                sodium_base64_VARIANT_URLSAFE_NO_PADDING };
        size_t length = strlen(text);
        uint8_t *data;

        if (!is_ascii(text)) /* libsodium 1.0.18 takes some octets above 127 for symbols */
                return -EBADMSG;
        data = malloc(length + 1);
        if (!data)
                return -ENOMEM;

        for (size_t i = 0; i < (url_safe ? 4u : 2u); i++) {
                size_t size;

                if (sodium_base642bin(data, length, text, length, NULL, &size, NULL, strict[i]) < 0)
                        continue;
                data[size] = 0;
                *ret = data;
                *ret_size = size;
                return 0;
        }

        sodium_memzero(data, length);
        free(data);
        return -EBADMSG;
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

bool text_is_utf8(const void *data, size_t size) {
        const uint8_t *p = data;

        while (size > 0) {
                size_t n = utf8_sequence(p, size);

                if (n == 0)
                        return false;
                p += n;
                size -= n;
        }
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
