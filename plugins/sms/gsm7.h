/* The seven-bit alphabet of text messages (3GPP TS 23.038 section 6): UTF-8 to septets in the
 * default alphabet, septets to UTF-8 in any national one, and the packing of eight septets into
 * seven octets. No I/O.
 *
 * We write the default alphabet and its extension only, which every phone has; the national tables
 * are read, because phones in Turkey, Portugal and India write them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* National Language Identifiers, TS 23.038 section 6.2.1.2.4. */
typedef enum Gsm7Language {
        GSM7_DEFAULT,
        GSM7_TURKISH,
        GSM7_SPANISH,
        GSM7_PORTUGUESE,
        GSM7_BENGALI,
        GSM7_GUJARATI,
        GSM7_HINDI,
        GSM7_KANNADA,
        GSM7_MALAYALAM,
        GSM7_ORIYA,
        GSM7_PUNJABI,
        GSM7_TAMIL,
        GSM7_TELUGU,
        GSM7_URDU,
        _GSM7_LANGUAGE_MAX,
} Gsm7Language;

typedef enum Gsm7Error {
        GSM7_E_CHARACTER = 1, /* a character that the alphabet does not have */
        GSM7_E_TEXT,          /* not UTF-8, or with a NUL in it */
        GSM7_E_ROOM,          /* more septets than there is room for */
} Gsm7Error;

/* How many bytes at the beginning of size bytes of text are printable ASCII characters which the
 * default alphabet has at the same place: most of what is written. */
size_t gsm7_plain(const char *text, size_t size);

/* The septets of one character in the default alphabet: 1, or 2 with the escape; 0 when it is not
 * in it. */
unsigned gsm7_from_character(uint32_t character, uint8_t ret[2]);

/* Writes size bytes of UTF-8 as septets, one in each octet. Positive Gsm7Error, *ret_place then
 * being the byte where the offending character begins; *ret_n otherwise the number of septets. */
int gsm7_encode(const char *text,
                size_t size,
                uint8_t *ret,
                size_t room,
                size_t *ret_n,
                size_t *ret_place);

/* Reads n septets, one in each octet, as UTF-8. Never fails for what a peer sent: after an escape,
 * what the single shift table does not have is the locking table's character; an escape after an
 * escape, or at the end, is a space (TS 23.038 section 6.2.1.1), and so is a blank cell; an octet
 * above 127 is U+FFFD. -EINVAL: not a language. -ENOMEM. The caller frees *ret, which holds no NUL
 * but the final one. */
int gsm7_decode(const uint8_t *septets,
                size_t n,
                Gsm7Language locking,
                Gsm7Language single,
                char **ret);

/* The bits that stand between a user data header of so many octets (its length octet counted) and
 * the first septet, so that this begins on a septet's boundary (TS 23.040 section 9.2.3.24). */
unsigned gsm7_fill_bits(size_t header_octets);

/* The octets that n septets need behind fill_bits. */
size_t gsm7_packed_size(size_t n, unsigned fill_bits);

/* Packs n septets; ret has gsm7_packed_size() octets. Unused bits are zero. */
void gsm7_pack(const uint8_t *septets, size_t n, unsigned fill_bits, uint8_t *ret);

/* The septets that size octets can hold behind fill_bits. Of a message whose number of septets is
 * not told, the last one may be seven bits of padding, which read as "@". */
size_t gsm7_unpacked_count(size_t size, unsigned fill_bits);

/* Unpacks n septets, at most gsm7_unpacked_count(); ret has n octets. */
void gsm7_unpack(const uint8_t *octets, size_t n, unsigned fill_bits, uint8_t *ret);
