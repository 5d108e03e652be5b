/* What a person meant by a text: a code, or one of a few words, in their language or in English.
 * Tolerant of case, width, accents, spaces, dashes, quotes, final punctuation, emoji and a "thank
 * you" at the end; strict about the words themselves, which must be the whole text: "don't stop" is
 * not STOP.
 *
 * The text is at most ANSWER_TEXT_MAX bytes of anything. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "code.h"
#include "tag.h"

enum { ANSWER_TEXT_MAX = 4096 };

typedef enum AnswerKind {
        ANSWER_EMPTY, /* nothing but spaces and punctuation */
        ANSWER_OTHER, /* not understood, longer than ANSWER_TEXT_MAX, not UTF-8 */
        ANSWER_CODE,  /* something of the form of a code: ask answer_code() with the share's format
                       */
        ANSWER_YES,
        ANSWER_NO,
        ANSWER_NOT_ME,
        ANSWER_STOP, /* the keywords that carriers prescribe, and their kin in other languages */
        ANSWER_STOP_ALL, /* about everybody, and not the sender alone */
        ANSWER_HELP,
        ANSWER_READY,
        ANSWER_DONE,
        ANSWER_TAKEN, /* another device has opened the link */
        ANSWER_KIND_MAX,
} AnswerKind;

/* Holds a code: the caller wipes with answer_done(). */
typedef struct Answer {
        AnswerKind kind;
        char tag[TAG_SIZE]; /* written before the rest, canonical; empty when there is none */
        struct {
                bool found;
                bool mistyped;
                char text[CODE_SIZE]; /* canonical */
        } code[CODE_FORMAT_MAX];      /* the share is not known yet, so each format is tried */
} Answer;

typedef enum AnswerError {
        ANSWER_E_MISTYPED = 1, /* as long as a code, but its check symbol fails */
        ANSWER_E_NO_CODE = 2,  /* no code of this format, or more than one */
} AnswerError;

/* Understands a text, or the value of a button. locale is the share's ("de", "de-AT", "en_GB",
 * NULL) and only puts its language first; every language that we speak is understood, because a
 * person may answer in another one than the tenant thought.
 *
 * A text is, in this order: a word; a tag and a word; a code; a tag and a code; a longer text, with
 * or without a tag, in which one stretch has the form of a code ("the code is 123-456-786,
 * thanks"). Stretches are joined by dashes, dots and quotes first, and by spaces if that finds
 * nothing. In D9 a stretch is nine digits with no other digit beside them; in X8 it is eight
 * symbols, or four and four, with a digit among them. One that stands next to any of + / @ = & is a
 * part of something else, such as a telephone number. Among several stretches the only one whose
 * check symbol is right counts; a single one whose check symbol is wrong was mistyped.
 *
 * A first word that has the form of a tag is the tag, unless it is a part of the code.
 *
 * Returns 0, whatever the text is; -ENOMEM, and *ret is ANSWER_OTHER. */
int answer_read(const void *text, size_t size, const char *locale, Answer *ret);

/* The code that was found for a format. 0: ret holds it. ANSWER_E_MISTYPED: ret holds it as well.
 * ANSWER_E_NO_CODE: ret is empty. */
int answer_code(const Answer *answer, CodeFormat format, char ret[CODE_SIZE]);

/* Wipes. */
void answer_done(Answer *answer);
