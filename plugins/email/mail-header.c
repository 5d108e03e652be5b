#include "mail-header.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

enum {
        SPEC_MAX = 320, /* bytes of an addr-spec before it is canonical: 64, "@", 255 */
};

static bool is_space(char c) {
        return c == ' ' || c == '\t';
}

static bool is_control(char c) {
        return (unsigned char) c < 0x20 || c == 0x7f;
}

/* The bytes of the line at p with its end, and without it. */
static size_t line_size(const char *p, const char *end, size_t *ret_content) {
        const char *feed = memchr(p, '\n', (size_t) (end - p));
        size_t n = (size_t) ((feed ? feed : end) - p);

        *ret_content = n > 0 && feed && p[n - 1] == '\r' ? n - 1 : n;
        return feed ? n + 1 : n;
}

static bool line_has_control(const char *p, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (is_control(p[i]) && p[i] != '\t')
                        return true;
        return false;
}

/* ftext (RFC 5322 section 3.6.8), then perhaps space, then the colon. */
static bool read_name(const char *p, size_t size, MailField *ret) {
        size_t n = 0, colon;

        while (n < size && p[n] > 32 && p[n] < 127 && p[n] != ':')
                n++;
        for (colon = n; colon < size && is_space(p[colon]);)
                colon++;
        if (n == 0 || colon == size || p[colon] != ':')
                return false;
        *ret = (MailField){ .name = p,
                .name_size = n,
                .value = p + colon + 1,
                .value_size = size - colon - 1,
                .spaced = colon > n };
        return true;
}

static int append(MailHeader *header, const MailField *field) {
        size_t n = header->n_fields;
        MailField *fields;

        if (n >= MAIL_HEADER_FIELDS_MAX)
                return MAIL_HEADER_E_LIMIT;
        if ((n & (n - 1)) == 0) { /* doubled at each power of two */
                fields = realloc(header->fields, (n ? 2 * n : 1) * sizeof(*fields));
                if (!fields)
                        return -ENOMEM;
                header->fields = fields;
        }
        header->fields[header->n_fields++] = *field;
        return 0;
}

/* Adds a line of the header, which is a field or goes on with the last one. */
static int take_line(MailHeader *header, const char *p, size_t size) {
        MailField field, *last = header->n_fields ? &header->fields[header->n_fields - 1] : NULL;

        if (line_has_control(p, size))
                return MAIL_HEADER_E_FORM;
        if (is_space(p[0])) {
                if (!last)
                        return MAIL_HEADER_E_FORM;
                last->value_size = (size_t) (p + size - last->value);
                return p + size - last->name > MAIL_HEADER_FIELD_MAX ? MAIL_HEADER_E_LIMIT : 0;
        }
        if (!read_name(p, size, &field))
                return MAIL_HEADER_E_FORM;
        return size > MAIL_HEADER_FIELD_MAX ? MAIL_HEADER_E_LIMIT : append(header, &field);
}

int mail_header_split(const char *data, size_t size, MailHeader *ret) {
        const char *p = size > 0 ? data : "", *end = p + size;
        int r = 0;

        *ret = MAIL_HEADER_NULL;
        data = p;
        while (p < end && r == 0) {
                size_t content, n = line_size(p, end, &content);

                if (content == 0) {
                        p += n;
                        break;
                }
                r = p + n - data > MAIL_HEADER_SIZE_MAX ? MAIL_HEADER_E_LIMIT
                                                        : take_line(ret, p, content);
                if (r == 0)
                        p += n;
        }
        if (r < 0)
                mail_header_done(ret);
        else
                ret->size = (size_t) (p - data);
        return r;
}

void mail_header_done(MailHeader *header) {
        free(header->fields);
        *header = MAIL_HEADER_NULL;
}

bool mail_field_is(const MailField *field, const char *name) {
        return strlen(name) == field->name_size &&
               strncasecmp(field->name, name, field->name_size) == 0;
}

const MailField *mail_header_find(const MailHeader *header, const char *name) {
        for (size_t i = 0; i < header->n_fields; i++)
                if (mail_field_is(&header->fields[i], name))
                        return &header->fields[i];
        return NULL;
}

size_t mail_header_count(const MailHeader *header, const char *name) {
        size_t n = 0;

        for (size_t i = 0; i < header->n_fields; i++)
                n += mail_field_is(&header->fields[i], name);
        return n;
}

bool mail_field_starts_with(const MailField *field, const char *word) {
        MailCursor cursor = { field->value, field->value + field->value_size };
        size_t size = strlen(word);

        if (!mail_skip_comments(&cursor) || (size_t) (cursor.end - cursor.p) < size ||
                        strncasecmp(cursor.p, word, size) != 0)
                return false;
        cursor.p += size;
        return cursor.p == cursor.end || strchr(" \t\r\n;,(", *cursor.p) != NULL;
}

/* The cursor stands on the opening parenthesis. */
static bool skip_comment(MailCursor *cursor) {
        unsigned depth = 0;

        while (cursor->p < cursor->end) {
                char c = *cursor->p++;

                if (c == '\\') {
                        if (cursor->p == cursor->end || is_control(*cursor->p))
                                return false;
                        cursor->p++;
                } else if (c == '(') {
                        if (++depth > MAIL_HEADER_COMMENT_DEPTH_MAX)
                                return false;
                } else if (c == ')') {
                        if (--depth == 0)
                                return true;
                } else if (is_control(c) && c != '\t' && c != '\r' && c != '\n')
                        return false;
        }
        return false;
}

bool mail_skip_comments(MailCursor *cursor) {
        while (cursor->p < cursor->end) {
                char c = *cursor->p;

                if (is_space(c) || c == '\r' || c == '\n')
                        cursor->p++;
                else if (c == '(') {
                        if (!skip_comment(cursor))
                                return false;
                } else
                        return !is_control(c);
        }
        return true;
}

bool mail_read_quoted(MailCursor *cursor, char *ret, size_t ret_size) {
        size_t n = 0;

        assert(cursor->p < cursor->end && *cursor->p == '"');
        for (cursor->p++; cursor->p < cursor->end; cursor->p++) {
                char c = *cursor->p;

                if (c == '"') {
                        cursor->p++;
                        ret[n] = '\0';
                        return true;
                }
                if (c == '\r' || c == '\n') /* a fold: the space after it stays */
                        continue;
                if (c == '\\') {
                        if (++cursor->p == cursor->end)
                                return false;
                        c = *cursor->p;
                }
                if ((is_control(c) && c != '\t') || n + 1 >= ret_size)
                        return false;
                ret[n++] = c;
        }
        return false;
}

bool mail_message_id_is_valid(const char *id) {
        size_t n = strlen(id);

        if (n == 0 || n >= MAIL_HEADER_ID_SIZE)
                return false;
        for (; *id; id++)
                if (*id <= ' ' || *id >= 127 || strchr("<>()\"\\,;:[]", *id))
                        return false;
        return true;
}

bool mail_message_id_read(const MailField *field, char ret[MAIL_HEADER_ID_SIZE]) {
        MailCursor cursor = { field->value, field->value + field->value_size };
        size_t n = 0;

        ret[0] = '\0';
        if (!mail_skip_comments(&cursor) || cursor.p == cursor.end || *cursor.p++ != '<')
                return false;
        while (cursor.p < cursor.end && *cursor.p != '>' && n < MAIL_HEADER_ID_SIZE - 1)
                ret[n++] = *cursor.p++;
        ret[n] = '\0';
        if (cursor.p < cursor.end && *cursor.p == '>' && mail_message_id_is_valid(ret))
                return true;
        ret[0] = '\0';
        return false;
}

/* Letters beyond ASCII can be written in more ways than one. Servers may tell such mailboxes apart,
 * and then the mail that another one may send would be the recipient's. */
static bool has_local_part(const char *uri, const char *spec, size_t size) {
        const char *local = uri + strlen("mailto:"), *at = strrchr(local, '@');
        size_t n = at ? (size_t) (at - local) : 0;

        return n > 0 && n < size && memcmp(local, spec, n) == 0 && spec[n] == '@';
}

int mail_address_from_spec(const char *spec, size_t size, char ret[ADDRESS_SIZE_MAX]) {
        char uri[sizeof("mailto:") + 3 * (size_t) SPEC_MAX];
        size_t n = strlen("mailto:");
        const char *reason;
        int r;

        ret[0] = '\0';
        if (size > SPEC_MAX || memchr(spec, '\0', size))
                return MAIL_ADDRESS_E_FORM;
        memcpy(uri, "mailto:", n);
        for (size_t i = 0; i < size; i++) {
                uri[n++] = spec[i];
                if (spec[i] == '%') { /* what looks like %XX here is not */
                        uri[n++] = '2';
                        uri[n++] = '5';
                }
        }
        uri[n] = '\0';
        r = address_canonical(uri, ret, &reason);
        if (r == 0 && !has_local_part(ret, spec, size)) {
                ret[0] = '\0';
                r = MAIL_ADDRESS_E_FORM;
        }
        return r > 0 ? MAIL_ADDRESS_E_FORM : r;
}

static bool is_atom(char c) {
        return (unsigned char) c > 32 && c != 127 && !strchr("()<>[]:;@\\,\".", c);
}

static void skip_dot_atom(MailCursor *cursor) {
        while (cursor->p < cursor->end && (is_atom(*cursor->p) || *cursor->p == '.'))
                cursor->p++;
}

/* Reads local@domain as one stretch; comments and space inside it are obsolete, and nobody is
 * bound to an address with a quoted local part or a domain literal. */
static bool skip_spec(MailCursor *cursor) {
        skip_dot_atom(cursor);
        if (cursor->p == cursor->end || *cursor->p != '@')
                return false;
        cursor->p++;
        skip_dot_atom(cursor);
        return true;
}

/* Goes over a display name to the "<". False: there is none, or no display name may look so. */
static bool skip_phrase(MailCursor *cursor) {
        char unused[MAIL_HEADER_FIELD_MAX];

        for (;;) {
                if (!mail_skip_comments(cursor) || cursor->p == cursor->end)
                        return false;
                if (*cursor->p == '<')
                        return true;
                if (*cursor->p == '"') {
                        if (!mail_read_quoted(cursor, unused, sizeof(unused)))
                                return false;
                } else if (is_atom(*cursor->p) || *cursor->p == '.')
                        cursor->p++;
                else
                        return false;
        }
}

int mail_address_read(const char *value, size_t size, char ret[ADDRESS_SIZE_MAX]) {
        MailCursor cursor = { value, value + size }, bare;
        const char *start, *end;
        bool angle;

        ret[0] = '\0';
        if (!mail_skip_comments(&cursor))
                return MAIL_ADDRESS_E_FORM;
        bare = cursor;
        angle = !skip_spec(&bare);
        if (angle) {
                if (!skip_phrase(&cursor))
                        return MAIL_ADDRESS_E_FORM;
                cursor.p++;
                if (!mail_skip_comments(&cursor))
                        return MAIL_ADDRESS_E_FORM;
        }
        start = cursor.p;
        if (!skip_spec(&cursor))
                return MAIL_ADDRESS_E_FORM;
        end = cursor.p;
        if (!mail_skip_comments(&cursor))
                return MAIL_ADDRESS_E_FORM;
        if (angle && (cursor.p == cursor.end || *cursor.p++ != '>' || !mail_skip_comments(&cursor)))
                return MAIL_ADDRESS_E_FORM;
        if (cursor.p != cursor.end)
                return MAIL_ADDRESS_E_FORM;
        return mail_address_from_spec(start, (size_t) (end - start), ret);
}
