#include "dsn.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static const char *const action_names[DSN_ACTION_MAX] = {
        [DSN_ACTION_UNKNOWN] = "unknown",
        [DSN_ACTION_FAILED] = "failed",
        [DSN_ACTION_DELAYED] = "delayed",
        [DSN_ACTION_DELIVERED] = "delivered",
        [DSN_ACTION_RELAYED] = "relayed",
        [DSN_ACTION_EXPANDED] = "expanded",
};

static MailCursor cursor_of(const MailField *field) {
        return (MailCursor){ field->value, field->value + field->value_size };
}

static DsnAction read_action(const MailField *field) {
        for (unsigned i = DSN_ACTION_FAILED; field && i < DSN_ACTION_MAX; i++)
                if (mail_field_starts_with(field, action_names[i]))
                        return (DsnAction) i;
        return DSN_ACTION_UNKNOWN;
}

static size_t read_digits(MailCursor *cursor, char *ret, size_t max) {
        size_t n = 0;

        while (cursor->p < cursor->end && isdigit((unsigned char) *cursor->p) && n < max)
                ret[n++] = *cursor->p++;
        return n;
}

/* status-code = DIGIT "." 1*3DIGIT "." 1*3DIGIT (RFC 3464 section 2.3.4), perhaps with a comment
 * behind it. */
static void read_status_code(const MailField *field, DsnRecipient *recipient) {
        char text[sizeof(recipient->status)];
        MailCursor cursor;
        size_t n, part;

        if (!field)
                return;
        cursor = cursor_of(field);
        if (!mail_skip_comments(&cursor) || read_digits(&cursor, text, 1) != 1 ||
                        !strchr("245", text[0]))
                return;
        n = 1;
        for (unsigned i = 0; i < 2; i++) {
                if (cursor.p == cursor.end || *cursor.p++ != '.')
                        return;
                text[n++] = '.';
                part = read_digits(&cursor, text + n, 3);
                if (part == 0)
                        return;
                n += part;
        }
        if (cursor.p < cursor.end && !strchr(" \t\r\n(", *cursor.p))
                return;
        memcpy(recipient->status, text, n);
        recipient->status[n] = '\0';
        recipient->class = text[0] == '2'   ? DSN_CLASS_SUCCESS
                           : text[0] == '4' ? DSN_CLASS_TEMPORARY
                                            : DSN_CLASS_PERMANENT;
}

/* address-type ";" address, of which only mail is of use. */
static int read_recipient(const MailField *field, char ret[DSN_ADDRESS_SIZE]) {
        char uri[ADDRESS_SIZE_MAX];
        MailCursor cursor;
        int r;

        if (!field || !mail_field_starts_with(field, "rfc822"))
                return 0;
        cursor = cursor_of(field);
        cursor.p = memchr(cursor.p, ';', field->value_size);
        if (!cursor.p)
                return 0;
        cursor.p++;
        r = mail_address_read(cursor.p, (size_t) (cursor.end - cursor.p), uri);
        if (r == 0 && strlen(uri) < DSN_ADDRESS_SIZE)
                memcpy(ret, uri, strlen(uri) + 1);
        return r < 0 ? r : 0;
}

static int hexadecimal(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What was given before it was written as xtext (RFC 3461 section 4.4); servers that leave it as
 * xtext are understood as well. What is no line of printable ASCII is nobody's of ours. */
static void read_envelope(const MailField *field, char ret[DSN_ENVELOPE_SIZE]) {
        MailCursor cursor;
        char text[DSN_ENVELOPE_SIZE];
        size_t n = 0;

        if (!field)
                return;
        cursor = cursor_of(field);
        if (!mail_skip_comments(&cursor))
                return;
        for (; cursor.p < cursor.end && !strchr(" \t\r\n(", *cursor.p); cursor.p++) {
                char c = *cursor.p;

                if (c < '!' || c > '~' || n + 1 >= sizeof(text))
                        return;
                if (c == '+' && cursor.end - cursor.p > 2) {
                        int high = hexadecimal(cursor.p[1]), low = hexadecimal(cursor.p[2]);

                        if (high >= 0 && low >= 0) {
                                c = (char) (high << 4 | low);
                                cursor.p += 2;
                        }
                        if (c < ' ' || c > '~')
                                return;
                }
                text[n++] = c;
        }
        memcpy(ret, text, n);
        ret[n] = '\0';
}

static int take_recipient(const MailHeader *group, Dsn *dsn) {
        const MailField *address = mail_header_find(group, "Original-Recipient");
        const MailField *action = mail_header_find(group, "Action");
        DsnRecipient *recipient = &dsn->recipients[dsn->n_recipients];

        if (!address)
                address = mail_header_find(group, "Final-Recipient");
        if (!action || dsn->n_recipients == DSN_RECIPIENTS_MAX)
                return 0;
        *recipient = (DsnRecipient){ .action = read_action(action) };
        dsn->n_recipients++;
        if (mail_header_count(group, "Action") > 1)
                recipient->action = DSN_ACTION_UNKNOWN;
        if (mail_header_count(group, "Status") == 1)
                read_status_code(mail_header_find(group, "Status"), recipient);
        return read_recipient(address, recipient->address);
}

/* Groups of fields between empty lines. The first is about the message; a report without it still
 * says what happened, so a group with an action is a recipient wherever it stands. */
int dsn_read_status(const char *data, size_t size, Dsn *ret) {
        for (size_t i = 0; size > 0 && i < (size_t) 2 * DSN_RECIPIENTS_MAX; i++) {
                _cleanup_(mail_header_donep) MailHeader group = MAIL_HEADER_NULL;
                int r = mail_header_split(data, size, &group);

                if (r < 0)
                        return r;
                if (r > 0 || group.size == 0)
                        break;
                data += group.size;
                size -= group.size;
                if (!ret->envelope[0])
                        read_envelope(mail_header_find(&group, "Original-Envelope-Id"),
                                        ret->envelope);
                r = take_recipient(&group, ret);
                if (r < 0)
                        return r;
        }
        return ret->n_recipients > 0 ? 0 : DSN_E_FORM;
}

int dsn_read_returned(const char *data, size_t size, Dsn *ret) {
        _cleanup_(mail_header_donep) MailHeader header = MAIL_HEADER_NULL;
        const MailField *field;
        int r = mail_header_split(data, size, &header);

        if (r < 0)
                return r;
        field = mail_header_find(&header, "Message-ID"); /* also above a line that is broken */
        if (field && mail_header_count(&header, "Message-ID") == 1)
                (void) mail_message_id_read(field, ret->message_id);
        return 0;
}

bool dsn_is_failure_text(const char *text, size_t size) {
        static const char *const signs[] = {
                "Hi. This is the qmail-send program at",
                "I'm afraid I wasn't able to deliver your message",
                "This message was created automatically by mail delivery software",
                "Delivery has failed to these recipients or groups",
                "Your message did not reach some or all of the intended recipients",
                "Your message couldn't be delivered",
                "could not be delivered to one or more recipients",
                "The following addresses had permanent fatal errors",
                "Delivery to the following recipient failed permanently",
                "Delivery to the following recipients failed",
                "Ihre Nachricht hat nicht alle Empfänger erreicht",
                "Fehler bei der Nachrichtenzustellung an folgende Empfänger",
        };

        if (size > 8192)
                size = 8192;
        for (size_t i = 0; i < N_ELEMENTS(signs); i++)
                if (memmem(text, size, signs[i], strlen(signs[i])))
                        return true;
        return false;
}

static bool says_success(const DsnRecipient *recipient) {
        return recipient->class == DSN_CLASS_SUCCESS &&
               (recipient->action == DSN_ACTION_DELIVERED ||
                               recipient->action == DSN_ACTION_RELAYED ||
                               recipient->action == DSN_ACTION_EXPANDED);
}

/* 3 failed, 2 unknown, 1 delayed, 0 success. */
static unsigned badness(const DsnRecipient *recipient) {
        if (recipient->action == DSN_ACTION_FAILED)
                return 3;
        if (says_success(recipient))
                return 0;
        return recipient->action == DSN_ACTION_DELAYED ? 1 : 2;
}

void dsn_conclude(const Dsn *dsn, DsnAction *ret_action, DsnClass *ret_class) {
        const DsnRecipient *worst = NULL;

        for (size_t i = 0; i < dsn->n_recipients; i++)
                if (!worst || badness(&dsn->recipients[i]) > badness(worst))
                        worst = &dsn->recipients[i];
        *ret_action = DSN_ACTION_UNKNOWN;
        *ret_class = DSN_CLASS_UNKNOWN;
        if (!worst || badness(worst) == 2)
                return;
        *ret_action = worst->action;
        /* A failure with a status of success, or a delay with anything but 4.x, contradicts itself.
         */
        if (worst->class == DSN_CLASS_SUCCESS && !says_success(worst))
                return;
        *ret_class = worst->class;
}

const char *dsn_action_name(DsnAction action) {
        assert(action < DSN_ACTION_MAX);
        return action_names[action];
}

const char *dsn_class_name(DsnClass class) {
        static const char *const names[DSN_CLASS_MAX] = {
                "unknown", "success", "temporary", "permanent"
        };

        assert(class < DSN_CLASS_MAX);
        return names[class];
}
