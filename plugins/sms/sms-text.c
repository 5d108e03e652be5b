#include "sms-text.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "cleanup.h"
#include "secret.h"

enum {
        REPLACEMENT = 0xfffd,
        BYTE_ORDER_MARK = 0xfeff,
        OCTETS_MAX = 1 << 24, /* far beyond 255 parts; keeps the sizes below from overflowing */
};

static bool is_joined(const SmsOctets *a, const SmsOctets *b) {
        return a->alphabet == b->alphabet &&
               (a->alphabet != SMS_GSM7 || (a->locking == b->locking && a->single == b->single));
}

static uint16_t unit_at(const uint8_t *data, size_t i) {
        return (uint16_t) (data[i] << 8 | data[i + 1]);
}

/* The character at *i, which moves behind it. */
static uint32_t next_utf16(const uint8_t *data, size_t size, size_t *i) {
        uint16_t high, low;

        if (size - *i < 2) {
                *i = size;
                return REPLACEMENT;
        }
        high = unit_at(data, *i);
        *i += 2;
        if (high < 0xd800 || high > 0xdfff)
                return high;
        if (high > 0xdbff || size - *i < 2)
                return REPLACEMENT;
        low = unit_at(data, *i);
        if (low < 0xdc00 || low > 0xdfff)
                return REPLACEMENT;
        *i += 2;
        return 0x10000 + ((uint32_t) (high - 0xd800) << 10) + (uint32_t) (low - 0xdc00);
}

static size_t put(uint32_t character, uint8_t *ret) {
        return (size_t) u8_uctomb(ret, character == 0 ? REPLACEMENT : character, 4);
}

static int read_utf16(const uint8_t *data, size_t size, char **ret) {
        char *text = malloc(size * 2 + 4); /* three bytes for every two octets */
        size_t n = 0;

        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < size;) {
                uint32_t character = next_utf16(data, size, &i);

                if (character != BYTE_ORDER_MARK)
                        n += put(character, (uint8_t *) text + n);
        }
        text[n] = '\0';
        *ret = text;
        return 0;
}

static int read_single(SmsAlphabet alphabet, const uint8_t *data, size_t size, char **ret) {
        uint8_t last = alphabet == SMS_ASCII ? 0x7f : 0xff;
        char *text = malloc(size * 3 + 4);
        size_t n = 0;

        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < size; i++)
                n += put(data[i] <= last ? data[i] : REPLACEMENT, (uint8_t *) text + n);
        text[n] = '\0';
        *ret = text;
        return 0;
}

static int read_run(const SmsOctets *kind, const uint8_t *data, size_t size, char **ret) {
        switch (kind->alphabet) {
        case SMS_GSM7:
                return gsm7_decode(data, size, kind->locking, kind->single, ret);
        case SMS_UCS2:
                return read_utf16(data, size, ret);
        case SMS_LATIN1:
        case SMS_ASCII:
                return read_single(kind->alphabet, data, size, ret);
        }
        return -EINVAL;
}

static int append(char **text, size_t *size, const char *more) {
        size_t n = strlen(more);
        char *grown = realloc(*text, *size + n + 1);

        if (!grown)
                return -ENOMEM;
        memcpy(grown + *size, more, n + 1);
        *text = grown;
        *size += n;
        return 0;
}

int sms_text_read(const SmsOctets *parts, size_t n, char **ret) {
        _cleanup_(secret_free_stringp) char *text = strdup("");
        _cleanup_(freep) uint8_t *joined = NULL;
        size_t total = 0, size = 0;
        int r = text ? 0 : -ENOMEM;

        assert(parts || n == 0);
        assert(ret);

        for (size_t i = 0; i < n; i++) {
                if (parts[i].size > OCTETS_MAX - total)
                        return -EMSGSIZE;
                total += parts[i].size;
        }
        joined = malloc(total + 1);
        if (!joined)
                return -ENOMEM;

        for (size_t i = 0, next; r == 0 && i < n; i = next) {
                _cleanup_(secret_free_stringp) char *run = NULL;
                size_t held = 0;

                for (next = i; next < n && is_joined(&parts[i], &parts[next]); next++)
                        if (parts[next].size > 0) {
                                memcpy(joined + held, parts[next].data, parts[next].size);
                                held += parts[next].size;
                        }
                r = read_run(&parts[i], joined, held, &run);
                if (r == 0)
                        r = append(&text, &size, run);
        }
        explicit_bzero(joined, total + 1);
        if (r == 0)
                *ret = TAKE_PTR(text);
        return r;
}
