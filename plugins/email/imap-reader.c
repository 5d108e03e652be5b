#include "imap-reader.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "imap-session.h"

/* --- frames --- */

/* What a line may end with: a status response ends in words for people, and "{5}" is two of them
 * there. */
static bool may_hold_literal(const char *data, size_t size) {
        static const char *const statuses[] = { "OK", "NO", "BAD", "BYE", "PREAUTH" };
        ImapReader reader;

        imap_reader_init(&reader, data, size);
        if (!imap_read_char(&reader, '*') || !imap_read_char(&reader, ' '))
                return false;
        for (size_t i = 0; i < N_ELEMENTS(statuses); i++)
                if (imap_read_word(&reader, statuses[i]))
                        return false;
        return true;
}

/* The size that "{123}" at the end of a line announces. False: it announces none. */
static bool read_announcement(const char *line, size_t size, uint64_t *ret) {
        uint64_t n = 0, place = 1;
        size_t i = size;

        if (i < 3 || line[--i] != '}')
                return false;
        for (; i > 0 && isdigit((unsigned char) line[i - 1]); i--) {
                if (place > UINT64_C(1000000000000))
                        return false;
                n += place * (uint64_t) (line[i - 1] - '0');
                place *= 10;
        }
        if (i == size - 1 || i == 0 || line[i - 1] != '{')
                return false;
        *ret = n;
        return true;
}

ImapFrameState imap_frame_scan(ImapFrame *frame,
                const char *data,
                size_t size,
                size_t literals_max,
                size_t *ret_size) {
        while (frame->scanned < size) {
                const char *found = memchr(data + frame->scanned, '\n', size - frame->scanned);
                size_t end = found ? (size_t) (found - data) : size;
                uint64_t literal;

                frame->text += end - frame->scanned;
                frame->scanned = end;
                if (frame->text > IMAP_TEXT_MAX)
                        return IMAP_FRAME_TEXT;
                if (!found)
                        break;
                if (end == frame->line || data[end - 1] != '\r')
                        return IMAP_FRAME_TEXT;
                frame->scanned++;
                if (!may_hold_literal(data, end - 1) || !read_announcement(data + frame->line,
                                                                        end - 1 - frame->line,
                                                                        &literal)) {
                        *ret_size = frame->scanned;
                        return IMAP_FRAME_WHOLE;
                }
                if (literal > literals_max || frame->literals + literal > literals_max)
                        return IMAP_FRAME_LITERAL;
                frame->literals += (size_t) literal;
                frame->scanned += (size_t) literal;
                frame->line = frame->scanned;
        }
        return IMAP_FRAME_PART;
}

/* --- words --- */

void imap_reader_init(ImapReader *reader, const char *data, size_t size) {
        reader->p = data;
        reader->end = data + size;
}

bool imap_read_char(ImapReader *reader, char c) {
        if (reader->p == reader->end || *reader->p != c)
                return false;
        reader->p++;
        return true;
}

static bool is_atom(char c) {
        return (unsigned char) c > ' ' && c != 0x7f && !strchr("(){\"", c);
}

bool imap_read_atom(ImapReader *reader, const char **ret, size_t *ret_size) {
        const char *p = reader->p;
        bool bracket = false;

        while (p < reader->end && *p != '\r' && *p != '\n' && (bracket || is_atom(*p))) {
                if (*p == '[')
                        bracket = true;
                else if (*p == ']' && !bracket)
                        break;
                else if (*p == ']')
                        bracket = false;
                p++;
        }
        if (p == reader->p || bracket)
                return false;
        *ret = reader->p;
        *ret_size = (size_t) (p - reader->p);
        reader->p = p;
        return true;
}

bool imap_atom_is(const char *atom, size_t size, const char *word) {
        return size == strlen(word) && strncasecmp(atom, word, size) == 0;
}

bool imap_read_word(ImapReader *reader, const char *word) {
        ImapReader before = *reader;
        const char *atom;
        size_t size;

        if (imap_read_atom(reader, &atom, &size) && imap_atom_is(atom, size, word))
                return true;
        *reader = before;
        return false;
}

bool imap_read_number(ImapReader *reader, uint64_t max, uint64_t *ret) {
        const char *p = reader->p;
        uint64_t n = 0;

        for (; p < reader->end && isdigit((unsigned char) *p); p++) {
                if (n > (UINT64_MAX - 9) / 10)
                        return false;
                n = n * 10 + (uint64_t) (*p - '0');
        }
        if (p == reader->p || n > max || (p < reader->end && is_atom(*p) && *p != ']' && *p != '}'))
                return false;
        reader->p = p;
        *ret = n;
        return true;
}

static bool read_quoted(ImapReader *reader, const char **ret, size_t *ret_size) {
        const char *p = reader->p + 1;

        for (; p < reader->end && *p != '"'; p++) {
                if (*p == '\r' || *p == '\n')
                        return false;
                if (*p == '\\' && ++p == reader->end)
                        return false;
        }
        if (p == reader->end)
                return false;
        *ret = reader->p + 1;
        *ret_size = (size_t) (p - *ret);
        reader->p = p + 1;
        return true;
}

static bool read_literal(ImapReader *reader, const char **ret, size_t *ret_size) {
        uint64_t size;

        reader->p++;
        if (!imap_read_number(reader, SIZE_MAX, &size) || !imap_read_char(reader, '}') ||
                        !imap_read_char(reader, '\r') || !imap_read_char(reader, '\n') ||
                        size > (uint64_t) (reader->end - reader->p))
                return false;
        *ret = reader->p;
        *ret_size = (size_t) size;
        reader->p += size;
        return true;
}

bool imap_read_nstring(ImapReader *reader, const char **ret, size_t *ret_size, bool *ret_quoted) {
        *ret = NULL;
        *ret_size = 0;
        *ret_quoted = false;
        if (reader->p == reader->end)
                return false;
        if (*reader->p == '{')
                return read_literal(reader, ret, ret_size);
        if (*reader->p == '"') {
                *ret_quoted = true;
                return read_quoted(reader, ret, ret_size);
        }
        return imap_read_word(reader, "NIL");
}

bool imap_skip_value(ImapReader *reader, unsigned depth_max) {
        unsigned depth = 0;
        const char *text;
        bool quoted;
        size_t size;

        do {
                while (imap_read_char(reader, ' '))
                        ;
                if (imap_read_char(reader, '(')) {
                        if (++depth > depth_max)
                                return false;
                } else if (imap_read_char(reader, ')')) {
                        if (depth-- == 0)
                                return false;
                } else if (!imap_read_nstring(reader, &text, &size, &quoted) &&
                                !imap_read_atom(reader, &text, &size))
                        return false;
        } while (depth > 0);
        return true;
}
