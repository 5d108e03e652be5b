#include "mail-read.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <gmime/gmime.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mail-charset.h"

enum {
        DATE_MAX = 128,
        CHARSET_INPUT_MAX = 4 * REPLY_TEXT_INPUT_MAX, /* more is never read of a text */
};

static void unrefp(void *p) {
        if (*(void **) p)
                g_object_unref(*(void **) p);
}

void mail_read_init(void) {
        g_mime_init();
}

/* Counting, before anything is built from the bytes. */

static bool looks_like_field(const char *line, size_t size) {
        for (size_t i = 0; i < size; i++) {
                if (line[i] == ':')
                        return i > 0;
                if (line[i] <= ' ' || line[i] == 127)
                        return false;
        }
        return false;
}

typedef struct Count {
        size_t boundaries, fields, multiparts;
        size_t field_size, field_colons; /* of the field, or line, with the folds so far */
} Count;

/* A multipart has to name its boundary, a message within a message its type. */
static size_t count_containers(const char *line, size_t size) {
        static const char *const words[] = { "boundary", "message" };
        size_t n = 0;

        for (size_t i = 0; i < size; i++)
                for (size_t j = 0; j < N_ELEMENTS(words); j++)
                        if ((line[i] | 0x20) == words[j][0] && size - i > strlen(words[j]) &&
                                        strncasecmp(line + i, words[j], strlen(words[j])) == 0 &&
                                        strchr("*=/ \t(", line[i + strlen(words[j])]))
                                n += line[i + strlen(words[j])] != ' ' || j == 0;
        return n;
}

/* GMime reads the addresses of a message within a message, and calls itself for a group in a group
 * as often as there are some: 50,000 colons end the process. */
static size_t count_colons(const char *line, size_t size) {
        size_t n = 0;

        for (size_t i = 0; i < size; i++)
                n += line[i] == ':';
        return n;
}

static int count_line(Count *count, const char *line, size_t size) {
        bool fold = size > 0 && (*line == ' ' || *line == '\t');

        count->field_size = fold ? count->field_size + size : size;
        count->field_colons = (fold ? count->field_colons : 0) + count_colons(line, size);
        count->boundaries += size >= 2 && line[0] == '-' && line[1] == '-';
        count->fields += !fold && looks_like_field(line, size);
        count->multiparts += count_containers(line, size);
        if (count->field_size > MAIL_READ_LINE_MAX)
                return MAIL_READ_E_LENGTH;
        if (count->boundaries > MAIL_READ_BOUNDARIES_MAX ||
                        count->fields > MAIL_READ_FIELD_LINES_MAX)
                return MAIL_READ_E_PARTS;
        return count->multiparts > MAIL_READ_MULTIPARTS_MAX ||
                                               count->field_colons > MAIL_READ_COLONS_MAX
                               ? MAIL_READ_E_DEPTH
                               : 0;
}

static int check_body(const char *data, size_t size) {
        const char *p = data, *end = data + size;
        Count count = { 0 };
        int r = 0;

        while (p < end && r == 0) {
                const char *feed = memchr(p, '\n', (size_t) (end - p));
                size_t n = (size_t) ((feed ? feed : end) - p);

                r = count_line(&count, p, n);
                p += n + 1;
        }
        return r;
}

/* The tokens. */

/* True for `<local>@<our domain>`, of which the local part begins at start. */
static bool is_ours(const MailReadPlace *place, const char *at, const char *end) {
        size_t n = strlen(place->domain);

        if ((size_t) (end - at) < n + 1 || strncasecmp(at + 1, place->domain, n) != 0)
                return false;
        return at + 1 + n == end || !(g_ascii_isalnum(at[1 + n]) || strchr("-.", at[1 + n]));
}

/* Finds a token of the kind in any address of ours in the text. A MAC decides, so it matters little
 * where the text has it. */
static bool find_token(const MailReadPlace *place,
                const MailTokenPlace *token,
                const char *text,
                size_t size,
                MailTokenKind kind,
                char ret[ID_TEXT_SIZE]) {
        const char *end = text + size, *at = text, *start;
        MailTokenKind found;

        ret[0] = '\0';
        while (at < end && (at = memchr(at, '@', (size_t) (end - at)))) {
                for (start = at; start > text && at - start < MAIL_TOKEN_LOCAL_MAX &&
                                 (g_ascii_isalnum(start[-1]) ||
                                                 (start[-1] && strchr("+-=_.", start[-1])));)
                        start--;
                if (is_ours(place, at, end) &&
                                mail_token_read(token, start, (size_t) (at - start), &found, ret) ==
                                                0 &&
                                found == kind)
                        return true;
                ret[0] = '\0';
                at++;
        }
        return false;
}

static void find_in_fields(const MailReadPlace *place,
                const MailTokenPlace *token,
                const MailHeader *header,
                const char *const *names,
                size_t n_names,
                MailTokenKind kind,
                char ret[ID_TEXT_SIZE]) {
        for (size_t j = 0; j < n_names; j++)
                for (size_t i = 0; i < header->n_fields; i++)
                        if (mail_field_is(&header->fields[i], names[j]) &&
                                        find_token(place,
                                                        token,
                                                        header->fields[i].value,
                                                        header->fields[i].value_size,
                                                        kind,
                                                        ret))
                                return;
}

static void find_recipient_token(const MailReadPlace *place,
                const MailReadEnvelope *envelope,
                const MailHeader *header,
                MailTokenKind kind,
                char ret[ID_TEXT_SIZE]) {
        static const char *const names[] = { "Delivered-To", "X-Original-To", "To", "Cc" };

        if (envelope->recipient)
                (void) find_token(place,
                                &place->token,
                                envelope->recipient,
                                strlen(envelope->recipient),
                                kind,
                                ret);
        else
                find_in_fields(place, &place->token, header, names, N_ELEMENTS(names), kind, ret);
}

/* Our Message-IDs carry their token alone. */
static MailTokenPlace name_place(const MailReadPlace *place) {
        return (MailTokenPlace){ .key = place->token.key, .mailbox = "" };
}

/* What the header says. */

static void digest_part(crypto_generichash_state *state, const void *data, size_t size) {
        uint64_t n = size;

        crypto_generichash_update(state, (const uint8_t *) &n, sizeof(n));
        if (size > 0)
                crypto_generichash_update(state, data, size);
}

static void digest_field(
                crypto_generichash_state *state, const MailHeader *header, const char *name) {
        const MailField *field = mail_header_find(header, name);

        digest_part(state, field ? field->value : "", field ? field->value_size : 0);
}

/* From the sender's Message-ID where there is one, else from what no server on the way changes.
 * With the thread, because one mail may go to two addresses of ours. */
static void identify(const MailHeader *header, const char *body, size_t body_size, MailRead *mail) {
        crypto_generichash_state state;
        uint8_t hash[(MAIL_READ_ID_SIZE - 1) / 2];

        crypto_generichash_init(&state, NULL, 0, sizeof(hash));
        digest_part(&state, mail->from, strlen(mail->from));
        digest_part(&state, mail->thread, strlen(mail->thread));
        digest_part(&state, mail->message, strlen(mail->message));
        if (mail_header_count(header, "Message-ID") == 1)
                digest_field(&state, header, "Message-ID");
        else {
                digest_field(&state, header, "From");
                digest_field(&state, header, "Date");
                digest_field(&state, header, "Subject");
                digest_part(&state, body, body_size);
        }
        crypto_generichash_final(&state, hash, sizeof(hash));
        text_hex(hash, sizeof(hash), mail->inbound);
}

static void read_date(const MailHeader *header, MailRead *mail) {
        const MailField *field = mail_header_find(header, "Date");
        char text[DATE_MAX + 1];
        GDateTime *date;

        if (!field || field->value_size > DATE_MAX)
                return;
        memcpy(text, field->value, field->value_size);
        text[field->value_size] = '\0';
        date = g_mime_utils_header_decode_date(text);
        if (!date)
                return;
        mail->date = g_date_time_to_unix(date);
        g_date_time_unref(date);
}

/* Exactly one From with exactly one address; everything else has no sender. */
static int read_sender(const MailReadPlace *place, const MailHeader *header, MailRead *mail) {
        const MailField *from = mail_header_find(header, "From");
        AuthResults results = { .verdict = AUTH_RESULTS_ABSENT };
        int r = 0;

        if (from && !from->spaced && mail_header_count(header, "From") == 1)
                r = mail_address_read(from->value, from->value_size, mail->from);
        if (r < 0)
                return r;
        if (place->authserv_id)
                auth_results_read(header, place->authserv_id, &results);
        mail->verdict = results.verdict;
        mail->authentic = auth_results_authentic(&results, mail->from);
        return 0;
}

static int read_header(const MailReadPlace *place,
                const MailReadEnvelope *envelope,
                const MailHeader *header,
                MailRead *mail) {
        static const char *const threading[] = { "In-Reply-To", "References" };
        const MailField *id = mail_header_find(header, "Message-ID");
        MailTokenPlace names = name_place(place);
        int r = read_sender(place, header, mail);

        if (r < 0)
                return r;
        if (id && mail_header_count(header, "Message-ID") == 1)
                (void) mail_message_id_read(id, mail->their_id);
        mail->automatic = mail_automatic(header, envelope->path);
        find_recipient_token(place, envelope, header, MAIL_TOKEN_REPLY, mail->thread);
        find_recipient_token(place, envelope, header, MAIL_TOKEN_BOUNCE, mail->message);
        find_in_fields(place,
                        &names,
                        header,
                        threading,
                        N_ELEMENTS(threading),
                        MAIL_TOKEN_NAME,
                        mail->quoted);
        read_date(header, mail);
        return 0;
}

/* The body. */

typedef struct Walk {
        const MailReadPlace *place;
        MailRead *mail;
        size_t n_parts;
        GMimeObject *plain, *html; /* borrowed from the tree */
        bool report;
        Dsn dsn;
} Walk;

/* Only what says how the body is made up, and the first of each: GMime has no say in the rest. */
static GMimeObject *parse(const MailHeader *header, const char *body, size_t size) {
        static const char *const names[] = {
                "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition"
        };
        _cleanup_(unrefp) GMimeStream *stream = g_mime_stream_mem_new();
        _cleanup_(unrefp) GMimeParser *parser = NULL;

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                const MailField *field = mail_header_find(header, names[i]);

                if (!field)
                        continue;
                (void) g_mime_stream_write_string(stream, names[i]);
                (void) g_mime_stream_write_string(stream, ":");
                (void) g_mime_stream_write(stream, field->value, field->value_size);
                (void) g_mime_stream_write_string(stream, "\r\n");
        }
        (void) g_mime_stream_write_string(stream, "\r\n");
        (void) g_mime_stream_write(stream, body, size);
        (void) g_mime_stream_reset(stream);
        parser = g_mime_parser_new_with_stream(stream);
        return g_mime_parser_construct_part(parser, NULL);
}

/* The content of a leaf without its transfer encoding, as bytes; decoding never makes it longer. */
static GByteArray *decode(GMimeObject *object) {
        GMimeDataWrapper *content =
                        GMIME_IS_PART(object) ? g_mime_part_get_content(GMIME_PART(object)) : NULL;
        _cleanup_(unrefp) GMimeStream *stream = g_mime_stream_mem_new();

        if (content)
                (void) g_mime_data_wrapper_write_to_stream(content, stream);
        g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
        return g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
}

static bool is_type(GMimeObject *object, const char *type, const char *subtype) {
        GMimeContentType *content_type = g_mime_object_get_content_type(object);

        return content_type && g_mime_content_type_is_type(content_type, type, subtype);
}

static bool parameter_is(GMimeObject *object, const char *name, const char *value) {
        const char *text = g_mime_object_get_content_type_parameter(object, name);

        return text && strcasecmp(text, value) == 0;
}

static int read_returned(Walk *walk, const char *data, size_t size) {
        MailTokenPlace names = name_place(walk->place);
        int r = dsn_read_returned(data, size, &walk->dsn);

        if (r < 0)
                return r;
        if (!walk->mail->message[0]) /* what the return path said counts more */
                (void) find_token(walk->place,
                                &names,
                                walk->dsn.message_id,
                                strlen(walk->dsn.message_id),
                                MAIL_TOKEN_NAME,
                                walk->mail->message);
        return 0;
}

/* The parts of a report other than its text. */
static int read_report_part(Walk *walk, GMimeObject *object) {
        GByteArray *bytes;
        int r = 0;

        if (GMIME_IS_MESSAGE_PART(object)) {
                GMimeMessage *message = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));
                char *header = message ? g_mime_object_get_headers(GMIME_OBJECT(message), NULL)
                                       : NULL;

                if (header)
                        r = read_returned(walk, header, strlen(header));
                g_free(header);
                return r;
        }
        bytes = decode(object);
        if (is_type(object, "message", "delivery-status") ||
                        is_type(object, "message", "global-delivery-status")) {
                walk->report = true;
                r = dsn_read_status((const char *) bytes->data, bytes->len, &walk->dsn);
        } else if (is_type(object, "text", "rfc822-headers") ||
                        is_type(object, "message", "global-headers"))
                r = read_returned(walk, (const char *) bytes->data, bytes->len);
        g_byte_array_unref(bytes);
        return r < 0 ? r : 0;
}

static bool is_attachment(GMimeObject *object) {
        const char *disposition = g_mime_object_get_disposition(object);

        return disposition && strcasecmp(disposition, "attachment") == 0;
}

/* The first text that is shown counts, and where it has an alternative, that one too. */
static void take_leaf(Walk *walk, GMimeObject *object, bool alternative) {
        bool any = walk->plain || walk->html;

        if (is_attachment(object))
                return;
        if (is_type(object, "text", "html")) {
                if (!walk->html && (!any || alternative))
                        walk->html = object;
        } else if (is_type(object, "text", "plain")) {
                if (!walk->plain && (!any || alternative))
                        walk->plain = object;
        } else if (is_type(object, "application", "pkcs7-mime") ||
                        is_type(object, "application", "x-pkcs7-mime"))
                walk->mail->encrypted = true;
}

/* Recursion ends at MAIL_READ_DEPTH_MAX. */
static int walk_object(Walk *walk, GMimeObject *object, bool alternative, size_t depth) {
        int r;

        if (depth > MAIL_READ_DEPTH_MAX)
                return MAIL_READ_E_DEPTH;
        if (++walk->n_parts > MAIL_READ_PARTS_MAX)
                return MAIL_READ_E_PARTS;
        if (!GMIME_IS_MULTIPART(object)) {
                r = read_report_part(walk, object);
                if (r == 0)
                        take_leaf(walk, object, alternative);
                return r;
        }
        walk->mail->encrypted |= is_type(object, "multipart", "encrypted");
        for (int i = 0, n = g_mime_multipart_get_count(GMIME_MULTIPART(object)); i < n; i++) {
                bool sibling = is_type(object, "multipart", "alternative") ||
                               (alternative && is_type(object, "multipart", "related"));

                r = walk_object(walk,
                                g_mime_multipart_get_part(GMIME_MULTIPART(object), i),
                                sibling,
                                depth + 1);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* The new text of one part. */
static int
read_text(GMimeObject *object, unsigned flags, char ret[REPLY_TEXT_MAX + 1], bool *ret_failure) {
        const char *charset = g_mime_object_get_content_type_parameter(object, "charset");
        GByteArray *bytes = decode(object);
        char *text = malloc(REPLY_TEXT_INPUT_MAX);
        size_t size = bytes->len < CHARSET_INPUT_MAX ? bytes->len : CHARSET_INPUT_MAX;
        int r = -ENOMEM;

        if (text) {
                if (parameter_is(object, "format", "flowed"))
                        flags |= REPLY_TEXT_FLOWED;
                if (parameter_is(object, "delsp", "yes"))
                        flags |= REPLY_TEXT_DELSP;
                size = mail_charset_convert(charset,
                                bytes->len ? (const char *) bytes->data : "",
                                size,
                                text,
                                REPLY_TEXT_INPUT_MAX);
                *ret_failure = dsn_is_failure_text(text, size);
                r = reply_text(text, size, flags, ret);
                sodium_memzero(text, REPLY_TEXT_INPUT_MAX);
        }
        free(text);
        g_byte_array_unref(bytes);
        return r;
}

/* The plain text, or the HTML when there is none or nothing new in it. */
static int read_words(Walk *walk, bool *ret_failure) {
        int r = REPLY_TEXT_E_EMPTY;

        *ret_failure = false;
        if (walk->plain)
                r = read_text(walk->plain, 0, walk->mail->text, ret_failure);
        if (r == REPLY_TEXT_E_EMPTY && walk->html)
                r = read_text(walk->html, REPLY_TEXT_HTML, walk->mail->text, ret_failure);
        walk->mail->empty = r == REPLY_TEXT_E_EMPTY;
        return r < 0 ? r : 0;
}

void mail_read_envelope_id(
                const char *return_path, int64_t repeat, char ret[MAIL_READ_ENVELOPE_ID_SIZE]) {
        int size = (int) strcspn(return_path, "@");

        if (repeat > 0)
                (void) snprintf(ret,
                                MAIL_READ_ENVELOPE_ID_SIZE,
                                "%.*s.%" PRId64,
                                size,
                                return_path,
                                repeat);
        else
                (void) snprintf(ret, MAIL_READ_ENVELOPE_ID_SIZE, "%.*s", size, return_path);
}

/* The reverse: the token must be that of the message. It may come back in angle brackets. */
static int64_t read_repeat(const MailReadPlace *place, const char *envelope, const char *message) {
        const char *text = envelope + (envelope[0] == '<');
        size_t size = strcspn(text, ">"), digits = 0;
        char id[ID_TEXT_SIZE];
        MailTokenKind kind;
        int64_t repeat = 0;

        while (digits < size && digits < 9 && isdigit((unsigned char) text[size - digits - 1]))
                digits++;
        if (digits > 0 && digits < size && text[size - digits - 1] == '.') {
                repeat = strtol(text + size - digits, NULL, 10);
                size -= digits + 1;
        }
        return mail_token_read(&place->token, text, size, &kind, id) == 0 &&
                                               kind == MAIL_TOKEN_BOUNCE && streq(id, message)
                               ? repeat
                               : -1;
}

/* A mail to a return path is a report, whatever it looks like: nobody answers there. */
static void conclude(Walk *walk, bool failure_text, bool to_return_path) {
        MailRead *mail = walk->mail;

        if (!walk->report && !to_return_path &&
                        !(failure_text && mail->automatic != MAIL_AUTOMATIC_NO)) {
                mail->message[0] = '\0';
                return;
        }
        mail->kind = MAIL_READ_REPORT;
        dsn_conclude(&walk->dsn, &mail->action, &mail->class);
        mail->repeat = read_repeat(walk->place, walk->dsn.envelope, mail->message);
        for (size_t i = 0; i < walk->dsn.n_recipients && !mail->status[0]; i++)
                if (walk->dsn.recipients[i].action == mail->action &&
                                walk->dsn.recipients[i].class == mail->class)
                        memcpy(mail->status, walk->dsn.recipients[i].status, sizeof(mail->status));
        sodium_memzero(mail->text, sizeof(mail->text));
        mail->empty = false;
}

static int read_body(const MailReadPlace *place,
                const MailHeader *header,
                const char *body,
                size_t size,
                MailRead *mail) {
        _cleanup_(unrefp) GMimeObject *object = parse(header, body, size);
        Walk walk = { .place = place, .mail = mail };
        bool to_return_path = mail->message[0] != '\0', failure = false;
        int r = 0;

        if (object)
                r = walk_object(&walk, object, false, 1);
        if (r == 0)
                r = read_words(&walk, &failure);
        if (r == 0)
                conclude(&walk, failure, to_return_path);
        sodium_memzero(&walk.dsn, sizeof(walk.dsn));
        return r;
}

static int read_mail(const MailReadPlace *place,
                const MailReadEnvelope *envelope,
                const char *data,
                size_t size,
                MailRead *mail) {
        _cleanup_(mail_header_donep) MailHeader header = MAIL_HEADER_NULL;
        int r = mail_header_split(data, size, &header);

        if (r < 0)
                return r;
        if (r > 0)
                return r == MAIL_HEADER_E_LIMIT ? MAIL_READ_E_LENGTH : MAIL_READ_E_HEADER;
        if (header.n_fields == 0)
                return MAIL_READ_E_HEADER;
        data += header.size;
        size -= header.size;
        r = check_body(data, size);
        if (r == 0)
                r = read_header(place, envelope, &header, mail);
        if (r == 0)
                r = read_body(place, &header, data, size, mail);
        if (r == 0)
                identify(&header, data, size, mail);
        return r;
}

int mail_read(const MailReadPlace *place,
                const MailReadEnvelope *envelope,
                const char *data,
                size_t size,
                MailRead *ret) {
        int r;

        *ret = (MailRead){ .repeat = -1 };
        r = size > MAIL_READ_SIZE_MAX ? MAIL_READ_E_SIZE
                                      : read_mail(place, envelope, data, size, ret);
        if (r != 0)
                mail_read_done(ret);
        return r;
}

void mail_read_done(MailRead *mail) {
        sodium_memzero(mail, sizeof(*mail));
}

const char *mail_read_error_name(int error) {
        static const char *const names[MAIL_READ_E_MAX] = {
                [MAIL_READ_E_SIZE] = "too-large",
                [MAIL_READ_E_HEADER] = "no-header",
                [MAIL_READ_E_LENGTH] = "too-long",
                [MAIL_READ_E_PARTS] = "too-many-parts",
                [MAIL_READ_E_DEPTH] = "too-deep",
        };

        assert(error > 0 && error < MAIL_READ_E_MAX);
        return names[error];
}
