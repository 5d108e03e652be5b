/* What the octets of a text message say, by its alphabet. Octets in, UTF-8 out; no I/O. The parts
 * of a message are joined as octets before they are read, because there are senders that cut
 * between an escape and its character, or in the middle of a surrogate pair. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "gsm7.h"

typedef enum SmsAlphabet {
        SMS_GSM7,   /* septets, one in each octet */
        SMS_UCS2,   /* UTF-16, big endian */
        SMS_LATIN1, /* ISO 8859-1 */
        SMS_ASCII,  /* ANSI X3.4, called IA5 in SMPP */
} SmsAlphabet;

typedef struct SmsOctets {
        SmsAlphabet alphabet;
        Gsm7Language locking, single; /* of SMS_GSM7 */
        const uint8_t *data;          /* belongs to the caller */
        size_t size;
} SmsOctets;

/* Reads n runs of octets as one text; what follows each other in one alphabet is joined first.
 * Whatever a peer sent has a reading: what is no character is U+FFFD, a byte order mark is left
 * out. -ENOMEM. The caller frees *ret, well-formed UTF-8 without a NUL but the final one. */
int sms_text_read(const SmsOctets *parts, size_t n, char **ret);
