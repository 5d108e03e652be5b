#include "sms-segment.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unigbrk.h>
#include <uniname.h>
#include <unistr.h>

#include "cleanup.h"
#include "sms-udh.h"

enum {
        GSM7_SINGLE = 160,
        GSM7_OF_SEVERAL = 152,
        UCS2_SINGLE = 70,
        UCS2_OF_SEVERAL = 66,
        CHARACTER_BYTES_MAX = 4,
};

/* The character at a byte of well-formed UTF-8. */
static ucs4_t character_at(const char *text, size_t size, size_t i, size_t *ret_bytes) {
        ucs4_t character;

        *ret_bytes = (size_t) u8_mbtouc_unsafe(&character, (const uint8_t *) text + i, size - i);
        return character;
}

static unsigned units_of(SmsAlphabet alphabet, ucs4_t character) {
        uint8_t septets[2];

        if (alphabet == SMS_GSM7)
                return gsm7_from_character(character, septets);
        return character > 0xffff ? 2 : 1;
}

/* Counts the units in either alphabet, and finds what is not GSM-7; true when the text is
 * well-formed and without NUL. */
static bool count_units(
                const char *text, size_t size, unsigned ret[static SMS_UCS2 + 1], SmsOdd *ret_odd) {
        unsigned line = 1, column = 1;

        ret[SMS_GSM7] = ret[SMS_UCS2] = 0;
        *ret_odd = (SmsOdd){ 0 };
        for (size_t i = 0; i < size;) {
                unsigned n_plain = (unsigned) gsm7_plain(text + i, size - i), septets;
                ucs4_t character;
                int bytes;

                ret[SMS_GSM7] += n_plain;
                ret[SMS_UCS2] += n_plain;
                column += n_plain;
                i += n_plain;
                if (i == size)
                        break;
                bytes = u8_mbtoucr(&character, (const uint8_t *) text + i, size - i);
                if (bytes <= 0 || character == 0)
                        return false;
                septets = units_of(SMS_GSM7, character);
                if (septets == 0 && ret_odd->n++ == 0) {
                        ret_odd->character = character;
                        ret_odd->byte = i;
                        ret_odd->line = line;
                        ret_odd->column = column;
                }
                ret[SMS_GSM7] += septets;
                ret[SMS_UCS2] += units_of(SMS_UCS2, character);
                column++;
                if (character == '\n') {
                        line++;
                        column = 1;
                }
                i += (size_t) bytes;
        }
        return true;
}

/* The units from start to end, or more than limit as soon as they are. */
static unsigned units_between(
                const SmsPlan *plan, const char *text, size_t start, size_t end, unsigned limit) {
        unsigned units = 0;

        for (size_t i = start, bytes; i < end && units <= limit; i += bytes)
                units += units_of(plan->alphabet, character_at(text, end, i, &bytes));
        return units;
}

static bool begin_segment(SmsPlan *plan, size_t at, unsigned segments_max) {
        if (plan->n_segments == segments_max)
                return false;
        plan->segments[plan->n_segments++] =
                        (SmsSegment){ .start = (uint32_t) at, .end = (uint32_t) at };
        return true;
}

/* Adds the bytes up to end, which may not be cut, to the last segment or to a new one. */
static bool add(SmsPlan *plan, size_t end, unsigned units, unsigned room, unsigned segments_max) {
        SmsSegment *last = &plan->segments[plan->n_segments - 1];

        if (units > room - last->units) {
                if (!begin_segment(plan, last->end, segments_max))
                        return false;
                last = &plan->segments[plan->n_segments - 1];
        }
        last->end = (uint32_t) end;
        last->units = (uint8_t) (last->units + units);
        plan->units += units;
        return true;
}

/* Adds a grapheme cluster whole, or by characters when no message could hold it. */
static bool add_cluster(SmsPlan *plan,
                const char *text,
                size_t start,
                size_t end,
                unsigned room,
                unsigned segments_max) {
        unsigned units = units_between(plan, text, start, end, room);

        if (units <= room)
                return add(plan, end, units, room, segments_max);
        for (size_t i = start, bytes; i < end; i += bytes) {
                ucs4_t character = character_at(text, end, i, &bytes);

                if (!add(plan, i + bytes, units_of(plan->alphabet, character), room, segments_max))
                        return false;
        }
        return true;
}

static int cut(const char *text, size_t size, unsigned room, unsigned segments_max, SmsPlan *plan) {
        _cleanup_(freep) char *breaks = malloc(size);

        if (!breaks)
                return -ENOMEM;
        u8_grapheme_breaks((const uint8_t *) text, size, breaks);
        (void) begin_segment(plan, 0, segments_max);
        for (size_t start = 0, end; start < size; start = end) {
                for (end = start + 1; end < size && !breaks[end]; end++)
                        ;
                if (!add_cluster(plan, text, start, end, room, segments_max))
                        return SMS_SEGMENT_E_LONG;
        }
        return 0;
}

int sms_plan(const char *text, size_t size, unsigned segments_max, SmsPlan *ret) {
        unsigned counts[SMS_UCS2 + 1], units, single;

        assert(text || size == 0);
        assert(segments_max >= 1 && segments_max <= SMS_SEGMENTS_MAX);
        assert(ret);

        memset(ret, 0, offsetof(SmsPlan, segments));
        /* No text of so many bytes fits; nothing is gained by looking at it. */
        if (size > (size_t) segments_max * GSM7_SINGLE * CHARACTER_BYTES_MAX)
                return SMS_SEGMENT_E_LONG;
        if (!count_units(text, size, counts, &ret->odd))
                return SMS_SEGMENT_E_TEXT;
        ret->alphabet = ret->odd.n > 0 ? SMS_UCS2 : SMS_GSM7;
        single = ret->alphabet == SMS_GSM7 ? GSM7_SINGLE : UCS2_SINGLE;

        units = counts[ret->alphabet];
        if (units <= single) {
                ret->n_segments = 1;
                ret->units = units;
                ret->segments[0] = (SmsSegment){ 0, (uint32_t) size, (uint8_t) units };
                return 0;
        }
        return cut(text,
                        size,
                        ret->alphabet == SMS_GSM7 ? GSM7_OF_SEVERAL : UCS2_OF_SEVERAL,
                        segments_max,
                        ret);
}

static size_t write_utf16(const char *text, size_t size, uint8_t *ret) {
        size_t n = 0;

        for (size_t i = 0, bytes; i < size; i += bytes) {
                ucs4_t character = character_at(text, size, i, &bytes);
                uint16_t units[2];
                int n_units = u16_uctomb(units, character, 2);

                for (int j = 0; j < n_units; j++) {
                        ret[n++] = (uint8_t) (units[j] >> 8);
                        ret[n++] = (uint8_t) units[j];
                }
        }
        return n;
}

size_t sms_segment_write(const SmsPlan *plan,
                const char *text,
                unsigned i,
                uint16_t reference,
                bool header,
                SmsForm form,
                uint8_t ret[SMS_SEGMENT_OCTETS_MAX]) {
        uint8_t septets[GSM7_SINGLE];
        const SmsSegment *segment;
        size_t n = 0, n_septets = 0, place;
        unsigned fill_bits;
        int r;

        assert(plan && i < plan->n_segments);
        assert(ret);

        segment = &plan->segments[i];
        if (header && plan->n_segments > 1) {
                sms_udh_write_concat(reference, plan->n_segments, (uint8_t) (i + 1), ret);
                n = SMS_UDH_CONCAT_SIZE;
        }
        if (plan->alphabet == SMS_UCS2)
                return n +
                       write_utf16(text + segment->start, segment->end - segment->start, ret + n);

        r = gsm7_encode(text + segment->start,
                        segment->end - segment->start,
                        septets,
                        sizeof(septets),
                        &n_septets,
                        &place);
        assert(r == 0); /* the plan was made of another text */
        if (form == SMS_UNPACKED) {
                memcpy(ret + n, septets, n_septets);
                n += n_septets;
        } else {
                fill_bits = gsm7_fill_bits(n);
                gsm7_pack(septets, n_septets, fill_bits, ret + n);
                n += gsm7_packed_size(n_septets, fill_bits);
        }
        explicit_bzero(septets, sizeof(septets));
        return n;
}

void sms_odd_text(const SmsOdd *odd, char ret[SMS_ODD_TEXT_SIZE]) {
        char name[UNINAME_MAX];

        assert(odd && ret);

        ret[0] = '\0';
        if (odd->n == 0)
                return;
        if (!unicode_character_name(odd->character, name))
                name[0] = '\0';
        (void) snprintf(ret,
                        SMS_ODD_TEXT_SIZE,
                        "U+%04X%s%.100s in line %u, column %u",
                        (unsigned) odd->character,
                        name[0] ? " " : "",
                        name,
                        odd->line,
                        odd->column);
}
