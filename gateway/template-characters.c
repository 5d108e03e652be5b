/* Which characters a text may hold, and which a phone knows. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unigbrk.h>

#include "template-internal.h"

unsigned template_next_character(const char **text) {
        const unsigned char *s = (const unsigned char *) *text;
        unsigned n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
        unsigned c = n == 1 ? s[0] : s[0] & (0x7fu >> n);

        for (unsigned i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80) { /* never past the end of a broken string */
                        *text += i;
                        return 0xfffd;
                }
                c = c << 6 | (s[i] & 0x3fu);
        }
        *text += n;
        return c;
}

bool template_character_is_harmful(unsigned c) {
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x00ad || c == 0x061c ||
               (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
               (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= 0xfffb);
}

/* Septets of a character in GSM 03.38 (3GPP TS 23.038 section 6.2.1), 2 for its extension table, 0
 * if it is in neither. */
static unsigned gsm7_septets(unsigned c) {
        static const uint16_t others[] = { 0xa1,
                0xa3,
                0xa4,
                0xa5,
                0xa7,
                0xbf,
                0xc4,
                0xc5,
                0xc6,
                0xc7,
                0xc9,
                0xd1,
                0xd6,
                0xd8,
                0xdc,
                0xdf,
                0xe0,
                0xe4,
                0xe5,
                0xe6,
                0xe8,
                0xe9,
                0xec,
                0xf1,
                0xf2,
                0xf6,
                0xf8,
                0xf9,
                0xfc,
                0x0393,
                0x0394,
                0x0398,
                0x039b,
                0x039e,
                0x03a0,
                0x03a3,
                0x03a6,
                0x03a8,
                0x03a9 };

        if (c == '\n' || c == '\r')
                return 1;
        if (c == 0x20ac || (c && c < 0x80 && strchr("^{}\\[~]|", (int) c)))
                return 2;
        if (c == '`')
                return 0;
        if (c >= 0x20 && c < 0x7f)
                return 1;
        for (size_t i = 0; i < N_ELEMENTS(others); i++)
                if (others[i] == c)
                        return 1;
        return 0;
}

/* Septets, or UTF-16 units. */
static unsigned units_of(unsigned c, bool is_gsm7) {
        return is_gsm7 ? gsm7_septets(c) : c > 0xffff ? 2 : 1;
}

/* The parts of a text that fits into no single message, of this many units each, as a cut falls
 * between grapheme clusters, or between the characters of one that no part holds. */
static unsigned cut_parts(const char *text, bool is_gsm7, unsigned units, unsigned room) {
        size_t size = strlen(text);
        _cleanup_(freep) char *breaks = malloc(size);
        const char *next = text, *end = text + size;
        unsigned parts = 1, used = 0;

        /* The most there can be: each two that follow one another hold more than one has room for.
         */
        if (!breaks)
                return 2 * units / (room + 1) + 1;
        u8_grapheme_breaks((const uint8_t *) text, size, breaks);
        while (next < end) {
                const char *cluster = next;
                unsigned needed = 0;

                do
                        needed += units_of(template_next_character(&next), is_gsm7);
                while (next < end && !breaks[next - text]);
                if (needed <= room) {
                        parts += used + needed > room;
                        used = used + needed > room ? needed : used + needed;
                        continue;
                }
                while (cluster < next) {
                        unsigned n = units_of(template_next_character(&cluster), is_gsm7);

                        parts += used + n > room;
                        used = used + n > room ? n : used + n;
                }
        }
        return parts;
}

unsigned template_sms_parts(const char *text, unsigned *ret_character) {
        unsigned septets = 0, units = 0, stranger = 0;
        const char *next = text;

        while (*next) {
                unsigned c = template_next_character(&next), n = gsm7_septets(c);

                if (n == 0 && stranger == 0)
                        stranger = c;
                septets += n;
                units += units_of(c, false);
        }
        *ret_character = stranger;
        if (stranger)
                return units <= 70 ? 1 : cut_parts(text, false, units, 66);
        return septets <= 160 ? 1 : cut_parts(text, true, septets, 152);
}
