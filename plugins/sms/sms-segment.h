/* A text cut into messages before it is sent: in which alphabet, into how many parts, at which
 * cost, and which characters make it dear. Text in, values out; no I/O.
 *
 * The alphabet is GSM-7 when every character is in the default alphabet or its extension, else
 * UCS-2. Nothing is transliterated: the writer of a template is told which character costs, and
 * decides. A message holds 160 septets or 70 UTF-16 units; one of several, with the seven octets of
 * a 16-bit reference, 152 or 66 (3GPP TS 23.040 section 9.2.3.24.8). A cut falls between grapheme
 * clusters (UAX 29); a cluster that is longer than a message is cut between characters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sms-text.h"

enum {
        SMS_SEGMENTS_MAX = 255,
        SMS_SEGMENT_OCTETS_MAX = 7 + 152 + 1, /* a header with unpacked septets, or 160 of these */
        SMS_ODD_TEXT_SIZE = 192,
};

typedef enum SmsSegmentError {
        SMS_SEGMENT_E_TEXT = 1, /* not UTF-8, or with a NUL in it */
        SMS_SEGMENT_E_LONG,     /* more segments than the caller allows */
} SmsSegmentError;

/* The first character that is not in GSM-7. */
typedef struct SmsOdd {
        uint32_t character;
        size_t byte;           /* where it begins */
        unsigned line, column; /* from 1, in characters */
        size_t n;              /* how many such characters there are; 0: none, all is GSM-7 */
} SmsOdd;

typedef struct SmsSegment {
        uint32_t start, end; /* bytes of the text */
        uint8_t units;       /* septets or UTF-16 units */
} SmsSegment;

typedef struct SmsPlan {
        SmsAlphabet alphabet; /* SMS_GSM7 or SMS_UCS2 */
        uint8_t n_segments;   /* at least 1, and what is paid for */
        uint32_t units;       /* of all segments */
        SmsOdd odd;
        SmsSegment segments[SMS_SEGMENTS_MAX];
} SmsPlan;

typedef enum SmsForm {
        SMS_UNPACKED, /* a septet in each octet: what SMS centres want of SMPP */
        SMS_PACKED,   /* eight septets in seven octets: what a phone's own protocol wants */
} SmsForm;

/* Plans size bytes of text for at most segments_max messages (1 to SMS_SEGMENTS_MAX). Positive
 * SmsSegmentError; *ret then has its `odd` if the text could be read. -ENOMEM. */
int sms_plan(const char *text, size_t size, unsigned segments_max, SmsPlan *ret);

/* Writes the octets of segment i of the text that was planned, as they go into short_message.
 * header says whether a segment of several begins with the concatenation header; false is for
 * SMPP's SAR parameters. ret has SMS_SEGMENT_OCTETS_MAX octets. Returns their number. */
size_t sms_segment_write(const SmsPlan *plan,
                const char *text,
                unsigned i,
                uint16_t reference,
                bool header,
                SmsForm form,
                uint8_t ret[SMS_SEGMENT_OCTETS_MAX]);

/* What an operator reads: "U+201C LEFT DOUBLE QUOTATION MARK in line 1, column 13". Names the
 * character, never what stands around it. Empty when there is none. */
void sms_odd_text(const SmsOdd *odd, char ret[SMS_ODD_TEXT_SIZE]);
