/* The words of an IMAP response (RFC 3501 section 9): atoms, numbers, strings, lists. A response is
 * read whole, with its literals where they stand; nothing is copied, and nothing is read beyond its
 * end. No I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ImapReader {
        const char *p, *end;
} ImapReader;

/* Where a response ends, as its octets come in. Starts as zeroes. */
typedef struct ImapFrame {
        size_t scanned;  /* octets that were looked at */
        size_t line;     /* where the present line begins */
        size_t text;     /* octets outside of literals */
        size_t literals; /* and inside, announced so far */
} ImapFrame;

typedef enum ImapFrameState {
        IMAP_FRAME_PART,    /* it goes on */
        IMAP_FRAME_WHOLE,   /* it ends at ret_size, its CRLF included */
        IMAP_FRAME_TEXT,    /* too long outside of literals, or its lines are none */
        IMAP_FRAME_LITERAL, /* its literals are too large */
} ImapFrameState;

/* Looks on for the end of a response that data begins with. */
ImapFrameState imap_frame_scan(ImapFrame *frame,
                const char *data,
                size_t size,
                size_t literals_max,
                size_t *ret_size);

void imap_reader_init(ImapReader *reader, const char *data, size_t size);

/* One character that must stand here. */
bool imap_read_char(ImapReader *reader, char c);

/* An atom, as long as it goes, and what stands in its brackets: "FETCH", "\Seen", "BODY[]". */
bool imap_read_atom(ImapReader *reader, const char **ret, size_t *ret_size);

/* The same, and it is that one, in whatever case. On false nothing was read. */
bool imap_read_word(ImapReader *reader, const char *word);

bool imap_atom_is(const char *atom, size_t size, const char *word);

/* A number that fits. Zero is one. On false nothing was read. */
bool imap_read_number(ImapReader *reader, uint64_t max, uint64_t *ret);

/* A literal or a quoted string, as it stands, or NIL: *ret is NULL. *ret_quoted: it may hold
 * backslashes, each before the octet that is meant. */
bool imap_read_nstring(ImapReader *reader, const char **ret, size_t *ret_size, bool *ret_quoted);

/* One value of any kind, lists within lists up to depth_max. */
bool imap_skip_value(ImapReader *reader, unsigned depth_max);
