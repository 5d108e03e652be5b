/* Text forms of bytes: base64 (RFC 4648 section 4), hexadecimal, UUIDs, and the base32 of our ids.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        UUID_TEXT_SIZE = 37,       /* with the final NUL */
        ID_TEXT_SIZE = 4 + 26 + 1, /* "shr_", 26 symbols, NUL */
};

/* Standard base64 with padding. The caller frees. NULL: out of memory. */
char *text_base64(const void *data, size_t size);

/* Reads standard base64, padded or not; also the URL-safe alphabet when url_safe is set.
 * -EBADMSG: not base64. The caller frees *ret (one NUL byte follows the content). */
int text_from_base64(const char *text, bool url_safe, uint8_t **ret, size_t *ret_size);

/* Reads exactly size bytes of standard base64, padded or not; no copy of them is left behind.
 * -EBADMSG: not base64, or of another size. -ENOMEM. ret is written only on success. */
int text_from_base64_exactly(const char *text, void *ret, size_t size);

/* Lower-case hexadecimal; ret has 2 * size + 1 bytes. */
void text_hex(const void *data, size_t size, char *ret);

/* Reads exactly size bytes of hexadecimal. -EBADMSG. */
int text_from_hex(const char *text, void *ret, size_t size);

/* Writes 16 bytes as a UUID after setting the version 4 and variant bits (RFC 9562 section 5.4). */
void text_uuid4(const uint8_t bytes[16], char ret[UUID_TEXT_SIZE]);

/* A fresh random version 4 UUID. */
void text_uuid4_random(char ret[UUID_TEXT_SIZE]);

/* True for 8-4-4-4-12 hexadecimal digits of any version. */
bool text_is_uuid(const char *text);

/* Writes prefix (four characters, such as "shr_") and 16 bytes as 26 lower-case Crockford base32
 * symbols, most significant first: ids sort as their bytes do. */
void text_id(const char prefix[4], const uint8_t bytes[16], char ret[ID_TEXT_SIZE]);

/* The reverse of text_id(). -EBADMSG: another prefix, length or symbol. */
int text_from_id(const char prefix[4], const char *text, uint8_t ret[16]);

/* True when none of size bytes has its highest bit set. */
bool text_is_ascii(const void *data, size_t size);

/* True when size bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool text_is_utf8(const void *data, size_t size);

/* True for well-formed UTF-8 with nothing that ends a line or turns one around for any program that
 * may show it: control characters, the separators of lines and paragraphs, and what embeds,
 * overrides or isolates a direction. The marks of direction that names in Hebrew or Arabic need
 * turn nothing but themselves. */
bool text_is_one_line(const char *text);

/* Copies a stranger's text as one plain word that may be shown and logged: every byte other than
 * a-z and 0-9 becomes a hyphen, and what does not fit is cut off. NULL is the empty text. ret has
 * size bytes, at least 1, and is always terminated; text may be ret itself. */
void text_word(const char *text, char *ret, size_t size);
