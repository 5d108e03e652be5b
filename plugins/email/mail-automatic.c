#include "mail-automatic.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static bool has_prefix(const MailHeader *header, const char *prefix) {
        size_t n = strlen(prefix);

        for (size_t i = 0; i < header->n_fields; i++)
                if (header->fields[i].name_size > n &&
                                strncasecmp(header->fields[i].name, prefix, n) == 0)
                        return true;
        return false;
}

static bool has_any(const MailHeader *header, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (mail_header_find(header, names[i]))
                        return true;
        return false;
}

static bool any_starts_with(const MailHeader *header,
                const char *name,
                const char *const *words,
                size_t n_words) {
        for (size_t i = 0; i < header->n_fields; i++)
                for (size_t j = 0; mail_field_is(&header->fields[i], name) && j < n_words; j++)
                        if (mail_field_starts_with(&header->fields[i], words[j]))
                                return true;
        return false;
}

/* Any value but "no": one that cannot be read was not written by a person's program either. */
static bool is_auto_submitted(const MailHeader *header) {
        for (size_t i = 0; i < header->n_fields; i++)
                if (mail_field_is(&header->fields[i], "Auto-Submitted") &&
                                !mail_field_starts_with(&header->fields[i], "no"))
                        return true;
        return false;
}

static bool is_empty_path(const MailHeader *header, const char *path) {
        const MailField *field = mail_header_find(header, "Return-Path");
        MailCursor cursor;

        if (path)
                return path[0] == '\0';
        if (!field)
                return false;
        cursor = (MailCursor){ field->value, field->value + field->value_size };
        return mail_skip_comments(&cursor) && cursor.end - cursor.p >= 2 &&
               memcmp(cursor.p, "<>", 2) == 0;
}

static bool is_daemon(const char *local, size_t size) {
        static const char *const names[] = {
                "mailer-daemon", "postmaster", "mailerdaemon", "mail-daemon"
        };

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (size >= strlen(names[i]) &&
                                strncasecmp(local, names[i], strlen(names[i])) == 0 &&
                                (size == strlen(names[i]) || local[strlen(names[i])] == '@'))
                        return true;
        return false;
}

static bool is_from_daemon(const MailHeader *header, const char *path) {
        const MailField *from = mail_header_find(header, "From");
        char uri[ADDRESS_SIZE_MAX];

        if (path && is_daemon(path, strlen(path)))
                return true;
        if (from && mail_address_read(from->value, from->value_size, uri) == 0)
                return is_daemon(uri + strlen("mailto:"), strlen(uri) - strlen("mailto:"));
        /* "MAILER-DAEMON (Mail Delivery System)", without a domain, is how some write it. */
        return from && (mail_field_starts_with(from, "mailer-daemon") ||
                                       mail_field_starts_with(from, "<mailer-daemon>"));
}

MailAutomatic mail_automatic(const MailHeader *header, const char *path) {
        static const char *const precedences[] = { "bulk", "junk", "list", "auto_reply" };
        static const char *const responders[] = { "X-Auto-Response-Suppress",
                "X-Autoreply",
                "X-Autorespond",
                "X-Autoresponder",
                "X-Autoreply-From",
                "X-Auto-Reply-From",
                "X-Failed-Recipients",
                "X-Mailing-List",
                "Feedback-ID" };
        static const char *const reports[] = { "multipart/report" };

        if (is_empty_path(header, path))
                return MAIL_AUTOMATIC_EMPTY_PATH;
        if (is_auto_submitted(header))
                return MAIL_AUTOMATIC_AUTO_SUBMITTED;
        if (any_starts_with(header, "Precedence", precedences, N_ELEMENTS(precedences)))
                return MAIL_AUTOMATIC_PRECEDENCE;
        if (has_prefix(header, "List-"))
                return MAIL_AUTOMATIC_LIST;
        if (has_any(header, responders, N_ELEMENTS(responders)))
                return MAIL_AUTOMATIC_RESPONDER;
        if (is_from_daemon(header, path))
                return MAIL_AUTOMATIC_DAEMON;
        if (any_starts_with(header, "Content-Type", reports, N_ELEMENTS(reports)))
                return MAIL_AUTOMATIC_REPORT;
        return MAIL_AUTOMATIC_NO;
}

const char *mail_automatic_name(MailAutomatic automatic) {
        static const char *const names[MAIL_AUTOMATIC_MAX] = { "",
                "empty-path",
                "auto-submitted",
                "precedence",
                "list",
                "responder",
                "daemon",
                "report" };

        assert(automatic < MAIL_AUTOMATIC_MAX);
        return names[automatic];
}
