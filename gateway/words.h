/* Small words in messages to people: time left, a moment with its zone, the kind of key, tries. The
 * words of a language live in templates/<locale>/words, so that a new language needs no C. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "template.h"

enum {
        WORDS_SIZE = 96 /* enough for every result here, with the final NUL; longer ones are cut */
};

/* A duration in words, rounded down to one unit so that nobody is promised too much: "3 days" from
 * 72 h, "23 hours", "10 minutes", "1 minute" at least. */
void words_duration(
                const TemplateSet *set, const char *locale, int64_t seconds, char ret[WORDS_SIZE]);

/* A moment as a clock shows it where the recipient is: "Tue 24 Nov, 13:00 CET". zone is an IANA
 * name such as Europe/Berlin; NULL, unknown or unreadable zones give UTC, which the text then says.
 */
void words_moment(const TemplateSet *set,
                const char *locale,
                int64_t seconds,
                const char *zone,
                char ret[WORDS_SIZE]);

/* How long something is valid, to follow the word "valid": "until Tue 24 Nov, 13:00 CET" where the
 * recipient's zone is known, else "for 23 hours". */
void words_left(const TemplateSet *set,
                const char *locale,
                int64_t now,
                int64_t deadline,
                const char *zone,
                char ret[WORDS_SIZE]);

/* The offset from UTC at a moment, in seconds; 0 for a zone that words_moment() does not know. */
int32_t words_offset(const char *zone, int64_t seconds);

/* True for a well-formed name of a zone that this machine knows. */
bool words_zone_is_known(const char *zone);

/* "a room key" and "einen Zimmerschlüssel" for the class of a policy: with its article, as the
 * object of a sentence. */
const char *words_kind(const TemplateSet *set, const char *locale, const char *class_name);

/* "1 try", "2 tries". */
void words_tries(const TemplateSet *set, const char *locale, unsigned n, char ret[WORDS_SIZE]);

/* What the code looks like, as the object of a sentence, by its format's name (D9, X8): "the nine
 * digits". */
const char *words_code(const TemplateSet *set, const char *locale, const char *format);

/* What the recipient is asked for as a fact, as the object of a sentence: "your booking number".
 * name is one of "booking", "surname", "plate", "employee" and "other"; any other name, which an
 * older configuration may have left, is as "other". */
const char *words_fact(const TemplateSet *set, const char *locale, const char *name);

/* The offset from UTC and the abbreviation at a moment, from the bytes of a TZif file (RFC 8536).
 * -EBADMSG: not such a file. Pure. */
int words_zone_offset(const uint8_t *data,
                size_t size,
                int64_t seconds,
                int32_t *ret_offset,
                char ret_abbreviation[8]);
