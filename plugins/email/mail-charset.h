/* Text in the charsets that mail programs use, as UTF-8. Bytes in, bytes out.
 *
 * Only names of a list are looked up: what a mail calls its charset never reaches iconv(), which
 * loads modules by name, some of which have had overflows and endless loops. */
#pragma once

#include <stddef.h>

/* Writes text of the named charset (NULL: us-ascii) as UTF-8, at most ret_size bytes, no NUL at the
 * end, cut at a character's end; bytes that are wrong become U+FFFD. What is in an unknown charset
 * is passed on as it is: an answer is likely to be ASCII in all of them. Returns the size. */
size_t mail_charset_convert(
                const char *charset, const char *data, size_t size, char *ret, size_t ret_size);
