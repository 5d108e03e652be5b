/* The user data header of a text message (3GPP TS 23.040 section 9.2.3.24): which part of which
 * message this is, for which port, in which national tables. Octets in, values out; no I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gsm7.h"

enum {
        SMS_UDH_SIZE_MAX = 140,  /* a header fills a message at most */
        SMS_UDH_CONCAT_SIZE = 7, /* of the header that sms_udh_write_concat() writes */
};

/* Where the numbers of a concatenation come from. References of different kinds are different
 * references, so the kind belongs to what identifies a message. */
typedef enum SmsConcatKind {
        SMS_CONCAT_NONE,
        SMS_CONCAT_8,   /* information element 00 */
        SMS_CONCAT_16,  /* information element 08 */
        SMS_CONCAT_SAR, /* SMPP's sar_msg_ref_num, sar_total_segments, sar_segment_seqnum */
} SmsConcatKind;

typedef struct SmsConcat {
        SmsConcatKind kind;
        uint16_t reference;
        uint8_t total, part; /* 1 <= part <= total, unless the kind is none */
} SmsConcat;

typedef struct SmsUdh {
        size_t size; /* octets of the header, its length octet counted: the text begins there */
        SmsConcat concat;
        bool has_ports;
        uint16_t to_port, from_port;
        Gsm7Language locking, single;
} SmsUdh;

typedef enum SmsUdhError {
        SMS_UDH_E_SHORT = 1, /* the header says that it is longer than the message */
} SmsUdhError;

/* Reads the header at the beginning of a message's octets. What the standard says to ignore is
 * ignored: elements that are not known or of the wrong length, concatenations with a part of 0 or
 * beyond the total, languages that are not known, and the whole header when its elements do not end
 * where it ends. Of an element that is repeated, and of the two widths of reference and of port,
 * the last one counts. */
int sms_udh_read(const uint8_t *data, size_t size, SmsUdh *ret);

/* Writes a header, its length octet first; ret has SMS_UDH_SIZE_MAX octets. Returns its size. An
 * SMS_CONCAT_SAR is not written: it travels beside the message. 1 octet when there is nothing to
 * say. */
size_t sms_udh_write(const SmsUdh *udh, uint8_t ret[SMS_UDH_SIZE_MAX]);

/* The header that our own parts carry: one 16-bit concatenation. */
void sms_udh_write_concat(
                uint16_t reference, uint8_t total, uint8_t part, uint8_t ret[SMS_UDH_CONCAT_SIZE]);

/* The same value from SMPP's optional parameters. False, and none, when the numbers cannot be. */
bool sms_concat_from_sar(uint32_t reference, uint32_t total, uint32_t part, SmsConcat *ret);
