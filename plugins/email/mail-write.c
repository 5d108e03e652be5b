#include "mail-write.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "address.h"
#include "cleanup.h"
#include "mail-header.h"
#include "text.h"

enum {
        LINE_MAX_SIZE = 76, /* RFC 2045 section 6.7, RFC 2047 section 2 */
        WORD_MAX = 50,  /* octets of an encoded word's text: its frame and the name fit a line */
        PLAIN_MAX = 60, /* octets of a value that is written as it is */
        LANGUAGE_MAX = 35,
        BOUNDARY_SIZE = 2 + 32 + 1,
};

static void closefilep(FILE **file) {
        if (*file)
                (void) fclose(*file);
}

/* Judging. */

/* lines: it may have several, as a body has. */
static bool has_control(const char *text, bool lines) {
        for (; *text; text++)
                if (((unsigned char) *text < 0x20 && !(lines && strchr("\n\t", *text))) ||
                                *text == 0x7f)
                        return true;
        return false;
}

static int check_text(const char *text, size_t max, bool lines) {
        if (strlen(text) > max)
                return MAIL_WRITE_E_LENGTH;
        if (has_control(text, lines))
                return MAIL_WRITE_E_CONTROL;
        if (!text_is_utf8(text, strlen(text)))
                return MAIL_WRITE_E_UTF8;
        return !lines && !text_is_one_line(text) ? MAIL_WRITE_E_CONTROL : 0;
}

bool mail_write_is_line(const char *text) {
        return check_text(text, MAIL_WRITE_HEADER_MAX, false) == 0;
}

static bool is_id(const char *prefix, const char *id) {
        uint8_t unused[16];

        return text_from_id(prefix, id, unused) == 0;
}

static bool is_language(const char *text) {
        size_t n = strlen(text);

        if (n < 2 || n > LANGUAGE_MAX)
                return false;
        for (; *text; text++)
                if (!isalnum((unsigned char) *text) && *text != '-')
                        return false;
        return true;
}

/* One of ours. */
static bool is_address(const char *local, const char *domain) {
        char uri[MAIL_WRITE_ADDRESS_SIZE + sizeof("mailto:")];

        if (strlen(local) > MAIL_TOKEN_LOCAL_MAX || strlen(domain) > MAIL_WRITE_DOMAIN_MAX ||
                        !text_is_ascii(local, strlen(local)))
                return false;
        (void) snprintf(uri, sizeof(uri), "mailto:%s@%s", local, domain);
        return address_is_canonical(uri);
}

static const char *sender_of(const MailWrite *mail) {
        return mail->sender ? mail->sender : mail->token.mailbox;
}

static const char *sender_domain_of(const MailWrite *mail) {
        return mail->sender_domain ? mail->sender_domain : mail->domain;
}

static int check(const MailWrite *mail) {
        int r = check_text(mail->subject, MAIL_WRITE_HEADER_MAX, false);

        if (r == 0 && mail->name)
                r = check_text(mail->name, MAIL_WRITE_HEADER_MAX, false);
        if (r == 0 && mail->link)
                r = check_text(mail->link, MAIL_WRITE_TEXT_MAX, false);
        if (r == 0)
                r = check_text(mail->text, MAIL_WRITE_TEXT_MAX, true);
        if (r != 0)
                return r;
        if (!is_address(sender_of(mail), sender_domain_of(mail)) ||
                        !is_address("x", mail->domain) || strncmp(mail->to, "mailto:", 7) != 0 ||
                        !address_is_canonical(mail->to))
                return MAIL_WRITE_E_ADDRESS;
        if (!is_id("msg_", mail->message) || (mail->thread && !is_id("thr_", mail->thread)) ||
                        (mail->first && !is_id("msg_", mail->first)) ||
                        (mail->language && !is_language(mail->language)) ||
                        (mail->their_id && !mail_message_id_is_valid(mail->their_id)))
                return MAIL_WRITE_E_ID;
        return 0;
}

/* Header. */

static bool is_plain(const char *text) {
        if (strlen(text) > PLAIN_MAX || strstr(text, "=?") || text[0] == ' ' || !text[0])
                return !text[0];
        for (; *text; text++)
                if ((unsigned char) *text >= 0x80)
                        return false;
        return true;
}

static size_t character_size(const char *p) {
        unsigned char c = (unsigned char) *p;

        return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* One character in the Q encoding with the few symbols that a phrase may have (RFC 2047 section 5,
 * rule 3). Returns its octets. */
static size_t encode_character(const char *p, size_t size, char ret[3 * 4 + 1]) {
        size_t n = 0;

        for (size_t i = 0; i < size; i++) {
                if (isalnum((unsigned char) p[i]))
                        ret[n++] = p[i];
                else if (p[i] == ' ')
                        ret[n++] = '_';
                else
                        n += (size_t) sprintf(ret + n, "=%02X", (unsigned char) p[i]);
        }
        ret[n] = '\0';
        return n;
}

/* The octets of a word and the space behind it. */
static size_t encoded_size(const char *text) {
        char encoded[3 * 4 + 1];
        size_t n = 0;
        bool space = false;

        for (size_t size; *text && !space && n <= WORD_MAX; text += size) {
                size = character_size(text);
                space = *text == ' ';
                n += encode_character(text, size, encoded);
        }
        return n;
}

/* Encoded words, each of whole characters and on a line of its own. They end between words where
 * they can, because some readers show a space where two of them meet. */
static void write_words(FILE *out, const char *text) {
        bool begins = true;
        size_t used = 0;

        (void) fputs("=?utf-8?q?", out);
        while (*text) {
                size_t size = character_size(text), whole = begins ? encoded_size(text) : 0, n;
                char encoded[3 * 4 + 1];

                n = encode_character(text, size, encoded);
                if (used + n > WORD_MAX || (used + whole > WORD_MAX && whole <= WORD_MAX)) {
                        (void) fputs("?=\r\n =?utf-8?q?", out);
                        used = 0;
                }
                (void) fputs(encoded, out);
                begins = *text == ' ';
                used += n;
                text += size;
        }
        (void) fputs("?=", out);
}

static void write_phrase(FILE *out, const char *name) {
        if (!is_plain(name)) {
                write_words(out, name);
                return;
        }
        (void) fputc('"', out);
        for (; *name; name++) {
                if (*name == '"' || *name == '\\')
                        (void) fputc('\\', out);
                (void) fputc(*name, out);
        }
        (void) fputc('"', out);
}

static void write_from(FILE *out, const MailWrite *mail) {
        (void) fputs("From: ", out);
        if (mail->name && mail->name[0]) {
                write_phrase(out, mail->name);
                (void) fputs("\r\n ", out);
        }
        (void) fprintf(out, "<%s@%s>\r\n", sender_of(mail), sender_domain_of(mail));
}

/* RFC 5322 section 3.3, in UTC; names that no locale changes. */
static void write_date(FILE *out, int64_t seconds) {
        static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
        static const char months[12][4] = {
                "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
        };
        time_t at = seconds < 0 ? 0 : seconds > INT64_C(253402300799) ? 253402300799 : seconds;
        struct tm tm;

        (void) gmtime_r(&at, &tm);
        (void) fprintf(out,
                        "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n",
                        days[tm.tm_wday],
                        tm.tm_mday,
                        months[tm.tm_mon],
                        tm.tm_year + 1900,
                        tm.tm_hour,
                        tm.tm_min,
                        tm.tm_sec);
}

/* Writes a token's address; the values were checked. */
static int token_address(const MailWrite *mail,
                bool whole,
                MailTokenKind kind,
                const char *id,
                char ret[MAIL_WRITE_ADDRESS_SIZE]) {
        MailTokenPlace place = mail->token;
        char local[MAIL_TOKEN_LOCAL_MAX + 1];

        if (whole)
                place.mailbox = "";
        if (mail_token_make(&place, kind, id, local) != 0)
                return MAIL_WRITE_E_ADDRESS;
        (void) snprintf(ret, MAIL_WRITE_ADDRESS_SIZE, "%s@%s", local, mail->domain);
        return 0;
}

static int write_threading(FILE *out, const MailWrite *mail) {
        char address[MAIL_WRITE_ADDRESS_SIZE];
        int r = token_address(mail, true, MAIL_TOKEN_NAME, mail->message, address);

        if (r != 0)
                return r;
        (void) fprintf(out, "Message-ID: <%s>\r\n", address);
        if (mail->first) {
                r = token_address(mail, true, MAIL_TOKEN_NAME, mail->first, address);
                if (r != 0)
                        return r;
        }
        if (mail->their_id)
                (void) fprintf(out, "In-Reply-To:\r\n <%s>\r\n", mail->their_id);
        else if (mail->first)
                (void) fprintf(out, "In-Reply-To:\r\n <%s>\r\n", address);
        if (mail->first)
                (void) fprintf(out, "References:\r\n <%s>\r\n", address);
        if (mail->their_id)
                (void) fprintf(out,
                                "%s <%s>\r\n",
                                mail->first ? "" : "References:\r\n",
                                mail->their_id);
        return 0;
}

static int write_header(FILE *out, const MailWrite *mail, const char *boundary) {
        char address[MAIL_WRITE_ADDRESS_SIZE];
        int r;

        write_date(out, mail->time);
        write_from(out, mail);
        if (mail->thread) {
                r = token_address(mail, false, MAIL_TOKEN_REPLY, mail->thread, address);
                if (r != 0)
                        return r;
                (void) fprintf(out, "Reply-To:\r\n <%s>\r\n", address);
        }
        (void) fprintf(out, "To:\r\n <%s>\r\n", mail->to + strlen("mailto:"));
        r = write_threading(out, mail);
        if (r != 0)
                return r;
        (void) fputs("Subject: ", out);
        if (is_plain(mail->subject))
                (void) fputs(mail->subject, out);
        else
                write_words(out, mail->subject);
        (void) fputs("\r\nAuto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n",
                        out);
        if (mail->language)
                (void) fprintf(out, "Content-Language: %s\r\n", mail->language);
        (void) fprintf(out,
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n",
                        boundary);
        return 0;
}

/* Bodies. */

typedef struct Printable {
        FILE *out;
        size_t column;
} Printable;

static void put_octet(Printable *body, char c, bool last_of_line) {
        bool plain = c > ' ' && c < 127 && c != '=';

        if ((c == ' ' || c == '\t') && !last_of_line)
                plain = true;
        if (body->column + (plain ? 1 : 3) > LINE_MAX_SIZE - 1) {
                (void) fputs("=\r\n", body->out);
                body->column = 0;
        }
        /* A dot alone would end the mail for a server that forgets to stuff it, and "From " is
         * changed by old mailboxes; here, because a soft line break begins a line as well. */
        if (body->column == 0 && (c == '.' || c == 'F'))
                plain = false;
        if (plain)
                (void) fputc(c, body->out);
        else
                (void) fprintf(body->out, "=%02X", (unsigned char) c);
        body->column += plain ? 1 : 3;
}

static void put(Printable *body, const char *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                if (text[i] == '\n') {
                        (void) fputs("\r\n", body->out);
                        body->column = 0;
                } else
                        put_octet(body, text[i], i + 1 == size || text[i + 1] == '\n');
        }
}

static void put_text(Printable *body, const char *text) {
        put(body, text, strlen(text));
}

static void put_escaped(Printable *body, const char *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                switch (text[i]) {
                case '&':
                        put_text(body, "&amp;");
                        break;
                case '<':
                        put_text(body, "&lt;");
                        break;
                case '>':
                        put_text(body, "&gt;");
                        break;
                case '"':
                        put_text(body, "&quot;");
                        break;
                case '\n':
                        put_text(body, "<br>\n");
                        break;
                default:
                        put_octet(body, text[i], false); /* markup follows */
                }
        }
}

/* Only a link of the web becomes one; anything else stays words. */
static bool is_link(const char *link) {
        return link && strncmp(link, "https://", 8) == 0 && !strpbrk(link, " \"<>");
}

static void put_html(Printable *body, const MailWrite *mail) {
        const char *p = mail->text, *link = is_link(mail->link) ? mail->link : NULL;

        put_text(body, "<!DOCTYPE html>\n<html");
        if (mail->language) {
                put_text(body, " lang=\"");
                put_text(body, mail->language);
                put_text(body, "\"");
        }
        put_text(body, "><head><meta charset=\"utf-8\"><title>");
        put_escaped(body, mail->subject, strlen(mail->subject));
        put_text(body, "</title></head>\n<body><p>");
        for (const char *found; link && (found = strstr(p, link)); p = found + strlen(link)) {
                put_escaped(body, p, (size_t) (found - p));
                put_text(body, "<a href=\"");
                put_escaped(body, link, strlen(link));
                put_text(body, "\">");
                put_escaped(body, link, strlen(link));
                put_text(body, "</a>");
        }
        put_escaped(body, p, strlen(p));
        put_text(body, "</p></body></html>");
}

static void begin_part(FILE *out, const char *boundary, const char *subtype) {
        (void) fprintf(out,
                        "--%s\r\nContent-Type: text/%s; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                        boundary,
                        subtype);
}

/* "=_" cannot stand in a quoted-printable body, so no text can hold the boundary. */
static void make_boundary(const char *message, char ret[BOUNDARY_SIZE]) {
        uint8_t hash[16];

        crypto_generichash(hash, sizeof(hash), (const uint8_t *) message, strlen(message), NULL, 0);
        ret[0] = '=';
        ret[1] = '_';
        text_hex(hash, sizeof(hash), ret + 2);
}

static int write_mail(FILE *out, const MailWrite *mail) {
        Printable plain = { out, 0 }, html = { out, 0 };
        char boundary[BOUNDARY_SIZE];
        int r;

        make_boundary(mail->message, boundary);
        r = write_header(out, mail, boundary);
        if (r != 0)
                return r;
        begin_part(out, boundary, "plain");
        put_text(&plain, mail->text);
        (void) fputs("\r\n", out);
        begin_part(out, boundary, "html");
        put_html(&html, mail);
        (void) fprintf(out, "\r\n--%s--\r\n", boundary);
        return ferror(out) ? -ENOMEM : 0;
}

int mail_write(const MailWrite *mail, MailDraft *ret) {
        _cleanup_(closefilep) FILE *out = NULL;
        int r = check(mail);

        *ret = (MailDraft){ 0 };
        if (r != 0)
                return r;
        r = token_address(mail, false, MAIL_TOKEN_BOUNCE, mail->message, ret->return_path);
        if (r != 0)
                return r;
        out = open_memstream(&ret->data, &ret->size);
        if (!out)
                return -ENOMEM;
        (void) __fsetlocking(out, FSETLOCKING_BYCALLER);
        r = write_mail(out, mail);
        if (fclose(TAKE_PTR(out)) != 0 && r == 0)
                r = -ENOMEM;
        if (r == 0)
                (void) snprintf(ret->recipient, sizeof(ret->recipient), "%s", mail->to + 7);
        else
                mail_draft_done(ret);
        return r;
}

void mail_draft_done(MailDraft *draft) {
        if (draft->data)
                sodium_memzero(draft->data, draft->size);
        free(draft->data);
        *draft = (MailDraft){ 0 };
}

const char *mail_write_error_name(int error) {
        static const char *const names[MAIL_WRITE_E_MAX] = {
                [MAIL_WRITE_E_CONTROL] = "control-character",
                [MAIL_WRITE_E_UTF8] = "not-utf-8",
                [MAIL_WRITE_E_LENGTH] = "too-long",
                [MAIL_WRITE_E_ADDRESS] = "no-address",
                [MAIL_WRITE_E_ID] = "no-id",
        };

        assert(error > 0 && error < MAIL_WRITE_E_MAX);
        return names[error];
}
