/* The header of a mail as slices of its own bytes, and the two lexical rules that everything which
 * proves something is read by: comments (RFC 5322 section 3.2.2) and the one address of a From.
 *
 * Whoever decides what a mail proves must see the fields in their order and exactly as they came,
 * and must not guess: a header that is not one is refused, and From is one plain address or none.
 * Bytes in, values out; nothing is decoded (RFC 2047), because nothing that is read here may be. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "cleanup.h"

enum {
        MAIL_HEADER_SIZE_MAX = 128 * 1024, /* bytes of all fields */
        MAIL_HEADER_FIELD_MAX = 32 * 1024, /* bytes of one field with its folds */
        MAIL_HEADER_FIELDS_MAX = 512,
        MAIL_HEADER_COMMENT_DEPTH_MAX = 16,
        MAIL_HEADER_ID_SIZE = 251, /* of a Message-ID without <>, with the final NUL */
};

typedef struct MailField {
        const char *name, *value; /* borrowed; the value has its folds, not its last line's end */
        size_t name_size, value_size;
        bool spaced; /* white space before the colon (RFC 5322 section 4.5.8): seldom seen alive */
} MailField;

typedef struct MailHeader {
        MailField *fields;
        size_t n_fields;
        size_t size; /* bytes until the body, the empty line included */
} MailHeader;

#define MAIL_HEADER_NULL ((MailHeader){ NULL, 0, 0 })

typedef enum MailHeaderError {
        MAIL_HEADER_E_FORM = 1,  /* a line that is no field; the fields above it are there */
        MAIL_HEADER_E_LIMIT = 2, /* larger than the limits; the fields within them are there */
} MailHeaderError;

typedef enum MailAddressError {
        MAIL_ADDRESS_E_FORM = 1, /* not one plain mailbox; none, several, a group, or unsure */
} MailAddressError;

/* Splits what stands before the first empty line, or all when there is none. Lines end with CRLF or
 * LF. The slices point into data, which must outlive them. MAIL_HEADER_E_FORM, MAIL_HEADER_E_LIMIT.
 * -ENOMEM leaves *ret empty; otherwise mail_header_done() releases it. */
int mail_header_split(const char *data, size_t size, MailHeader *ret);

void mail_header_done(MailHeader *header);

/* True when the field has this name, in any case. */
bool mail_field_is(const MailField *field, const char *name);

/* The first field of that name, or NULL. */
const MailField *mail_header_find(const MailHeader *header, const char *name);

size_t mail_header_count(const MailHeader *header, const char *name);

/* True when the field's value, without comments and surrounding space, begins with the word, in any
 * case, and goes on with its end, space, or one of ; , ( */
bool mail_field_starts_with(const MailField *field, const char *word);

/* A place in a value. */
typedef struct MailCursor {
        const char *p, *end;
} MailCursor;

/* Goes over white space, folds and comments, nested to MAIL_HEADER_COMMENT_DEPTH_MAX. False: a
 * comment without end, too deep, or a control character. */
bool mail_skip_comments(MailCursor *cursor);

/* Reads a quoted string, on whose opening quote the cursor stands, without its quotes and
 * backslashes. False: without end, with a control character, or not below ret_size bytes. */
bool mail_read_quoted(MailCursor *cursor, char *ret, size_t ret_size);

/* Reads a Message-ID field's value, without its brackets. False: it is not one word of printable
 * ASCII without specials but "@" and ".", so that it can be quoted back as it is, and ret is empty.
 */
bool mail_message_id_read(const MailField *field, char ret[MAIL_HEADER_ID_SIZE]);

/* True for what mail_message_id_read() gives. */
bool mail_message_id_is_valid(const char *id);

/* Reads the one address of a From, To, or Sender value as its canonical mailto: URI. What stands
 * before its @ has to be in NFC (RFC 6532 section 3.1): written otherwise it is another mailbox.
 * MAIL_ADDRESS_E_FORM, with ret empty. -ENOMEM. */
int mail_address_read(const char *value, size_t size, char ret[ADDRESS_SIZE_MAX]);

/* Writes the canonical mailto: URI of a bare addr-spec, as in an SMTP path. As above. */
int mail_address_from_spec(const char *spec, size_t size, char ret[ADDRESS_SIZE_MAX]);

static inline void mail_header_donep(MailHeader *header) {
        mail_header_done(header);
}
