/* What a person wrote in a mail: the new text above the quotation, or, where they answered below or
 * inside it, what stands between the quoted lines. The gateway compares the whole text with a few
 * words, so everything that a mail program adds has to go: attributions, signatures, "Sent from my
 * phone", the headers that Outlook copies.
 *
 * Understood: ">" quoting; attributions of Gmail, Apple Mail, Thunderbird and their like in
 * English, German, French and Spanish (wrapped over up to four lines); "-----Original Message-----"
 * in any language; Outlook's From/Sent/To/Subject block in these languages; "-- " (RFC 3676 section
 * 4.3); and format=flowed. Bytes in, text out; time is linear in the size. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
        REPLY_TEXT_MAX = 4096,             /* bytes of the result */
        REPLY_TEXT_INPUT_MAX = 256 * 1024, /* bytes that are looked at; the rest is left out */
};

typedef enum ReplyTextFlags {
        REPLY_TEXT_HTML = 1 << 0,
        REPLY_TEXT_FLOWED = 1 << 1, /* format=flowed (RFC 3676) */
        REPLY_TEXT_DELSP = 1 << 2,  /* its DelSp=yes */
} ReplyTextFlags;

typedef enum ReplyTextError {
        REPLY_TEXT_E_EMPTY = 1, /* nothing new: only a quotation, a signature, or nothing at all */
} ReplyTextError;

/* Reads text that should be UTF-8. ret is well-formed, without control characters but line feeds
 * and tabs, without space at its ends, and cut at a character's end. REPLY_TEXT_E_EMPTY, with ret
 * empty. -ENOMEM. */
int reply_text(const char *text, size_t size, unsigned flags, char ret[REPLY_TEXT_MAX + 1]);
