#include "gsm7.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "gsm7-table.h"

enum {
        ESCAPE = 0x1b,
        REPLACEMENT = 0xfffd,
        UTF8_OF_BMP = 3, /* bytes of the longest character of the tables */
};

static bool is_own_septet(uint32_t character) {
        return character < 128 && gsm7_locking[GSM7_DEFAULT][character] == character;
}

size_t gsm7_plain(const char *text, size_t size) {
        const uint8_t *p = (const uint8_t *) text;
        size_t n = 0;

        while (n < size && p[n] >= ' ' && is_own_septet(p[n]))
                n++;
        return n;
}

unsigned gsm7_from_character(uint32_t character, uint8_t ret[2]) {
        const Gsm7Single *extension = &gsm7_single[GSM7_DEFAULT];

        assert(ret);

        if (is_own_septet(character)) {
                ret[0] = (uint8_t) character;
                return 1;
        }
        if (character == 0)
                return 0;
        for (uint8_t i = 0; i < 128; i++)
                if (gsm7_locking[GSM7_DEFAULT][i] == character) {
                        ret[0] = i;
                        return 1;
                }
        for (size_t i = 0; i < extension->n; i++)
                if (extension->shifts[i].character == character) {
                        ret[0] = ESCAPE;
                        ret[1] = extension->shifts[i].septet;
                        return 2;
                }
        return 0;
}

int gsm7_encode(const char *text,
                size_t size,
                uint8_t *ret,
                size_t room,
                size_t *ret_n,
                size_t *ret_place) {
        size_t n = 0;

        assert(text || size == 0);
        assert(ret || room == 0);
        assert(ret_n && ret_place);

        for (size_t i = 0; i < size;) {
                size_t n_plain = gsm7_plain(text + i, size - i < room - n ? size - i : room - n);
                uint8_t septets[2];
                ucs4_t character;
                unsigned width;
                int bytes;

                if (n_plain > 0)
                        memcpy(ret + n, text + i, n_plain);
                n += n_plain;
                i += n_plain;
                if (i == size)
                        break;
                *ret_place = i;
                bytes = u8_mbtoucr(&character, (const uint8_t *) text + i, size - i);
                if (bytes <= 0 || character == 0)
                        return GSM7_E_TEXT;
                width = gsm7_from_character(character, septets);
                if (width == 0)
                        return GSM7_E_CHARACTER;
                if (room - n < width)
                        return GSM7_E_ROOM;
                for (unsigned j = 0; j < width; j++)
                        ret[n++] = septets[j];
                i += (size_t) bytes;
        }
        *ret_n = n;
        return 0;
}

static uint32_t of_locking(Gsm7Language locking, uint8_t septet) {
        uint16_t character;

        if (septet > 127)
                return REPLACEMENT;
        character = gsm7_locking[locking][septet];
        return character != 0 ? character : ' ';
}

static uint32_t after_escape(Gsm7Language locking, Gsm7Language single, uint8_t septet) {
        const Gsm7Single *table = &gsm7_single[single];

        for (size_t i = 0; i < table->n; i++)
                if (table->shifts[i].septet == septet)
                        return table->shifts[i].character;
        return of_locking(locking, septet);
}

int gsm7_decode(const uint8_t *septets,
                size_t n,
                Gsm7Language locking,
                Gsm7Language single,
                char **ret) {
        char *text;
        size_t size = 0;

        assert(septets || n == 0);
        assert(ret);

        if ((unsigned) locking >= _GSM7_LANGUAGE_MAX || (unsigned) single >= _GSM7_LANGUAGE_MAX)
                return -EINVAL;
        if (n > (SIZE_MAX - 1) / UTF8_OF_BMP)
                return -ENOMEM;
        text = malloc(n * UTF8_OF_BMP + 1);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                uint32_t character;

                if (septets[i] != ESCAPE)
                        character = of_locking(locking, septets[i]);
                else if (i + 1 == n)
                        character = ' ';
                else
                        character = after_escape(locking, single, septets[++i]);
                size += (size_t) u8_uctomb((uint8_t *) text + size, character, UTF8_OF_BMP);
        }
        text[size] = '\0';
        *ret = text;
        return 0;
}

unsigned gsm7_fill_bits(size_t header_octets) {
        return (unsigned) ((7 - header_octets * 8 % 7) % 7);
}

size_t gsm7_packed_size(size_t n, unsigned fill_bits) {
        return (n * 7 + fill_bits + 7) / 8;
}

void gsm7_pack(const uint8_t *septets, size_t n, unsigned fill_bits, uint8_t *ret) {
        uint32_t bits = 0;
        unsigned held = fill_bits;

        assert(fill_bits < 7);

        for (size_t i = 0; i < n; i++) {
                bits |= (uint32_t) (septets[i] & 0x7f) << held;
                for (held += 7; held >= 8; held -= 8) {
                        *ret++ = (uint8_t) bits;
                        bits >>= 8;
                }
        }
        if (held > 0)
                *ret = (uint8_t) bits;
}

size_t gsm7_unpacked_count(size_t size, unsigned fill_bits) {
        return size == 0 ? 0 : (size * 8 - fill_bits) / 7;
}

void gsm7_unpack(const uint8_t *octets, size_t n, unsigned fill_bits, uint8_t *ret) {
        for (size_t i = 0; i < n; i++) {
                size_t bit = fill_bits + i * 7;
                unsigned offset = (unsigned) (bit % 8);
                unsigned value = (unsigned) octets[bit / 8] >> offset;

                if (offset > 1)
                        value |= (unsigned) octets[bit / 8 + 1] << (8 - offset);
                ret[i] = (uint8_t) (value & 0x7f);
        }
}
