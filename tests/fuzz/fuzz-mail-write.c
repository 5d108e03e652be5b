/* Mails that leave, with whatever tenants and guests are called: recipient, name, subject, text and
 * link, each ended by a NUL. Nobody's words become a field, a part, an address or the end of a
 * mail, and only the recipient's address may stand there in UTF-8. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "mail-header.h"
#include "mail-write.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_VALUES = 5, LINE_MAX_OCTETS = 998 /* RFC 5322 section 2.1.1 */ };

static const uint8_t key[MAIL_TOKEN_KEY_SIZE] = { 1 };

static void check_lines(const char *data, size_t size) {
        size_t boundaries = 0;

        assert(strlen(data) == size);
        for (const char *line = data, *end; *line; line = end + 2) {
                end = strstr(line, "\r\n");
                assert(end && end - line <= LINE_MAX_OCTETS && *line != '.');
                assert(!memchr(line, '\n', (size_t) (end - line)) &&
                                !memchr(line, '\r', (size_t) (end - line)));
                boundaries += strncmp(line, "--=_", 4) == 0;
        }
        assert(boundaries == 3);
}

static void check_address(const MailField *field, const char *uri) {
        char address[ADDRESS_SIZE_MAX];

        assert(mail_address_read(field->value, field->value_size, address) == 0);
        assert(streq(address, uri));
}

static void check_header(const MailHeader *header, const char *to) {
        static const char *const names[] = { "Date",
                "From",
                "Reply-To",
                "To",
                "Message-ID",
                "Subject",
                "Auto-Submitted",
                "X-Auto-Response-Suppress",
                "MIME-Version",
                "Content-Type" };

        assert(header->n_fields == N_ELEMENTS(names));
        for (size_t i = 0; i < header->n_fields; i++) {
                const MailField *field = &header->fields[i];

                assert(mail_field_is(field, names[i]));
                assert(streq(names[i], "To") || text_is_ascii(field->value, field->value_size));
        }
        check_address(&header->fields[1], "mailto:keys@hotel.test");
        check_address(&header->fields[3], to);
}

static void check_draft(const MailDraft *draft, const char *to) {
        _cleanup_(mail_header_donep) MailHeader header = MAIL_HEADER_NULL;

        check_lines(draft->data, draft->size);
        assert(mail_header_split(draft->data, draft->size, &header) == 0);
        check_header(&header, to);
        assert(text_is_ascii(draft->data + header.size, draft->size - header.size));
        assert(text_is_ascii(draft->return_path, strlen(draft->return_path)));
        assert(streq(draft->recipient, to + strlen("mailto:")));
}

static void write_twice(const MailWrite *mail) {
        MailDraft draft, again;
        int r = mail_write(mail, &draft);

        assert(r >= 0 && r < MAIL_WRITE_E_MAX);
        if (r > 0) {
                assert(mail_write_error_name(r)[0] && !draft.data);
                return;
        }
        check_draft(&draft, mail->to);
        assert(mail_write(mail, &again) == 0);
        assert(draft.size == again.size && memcmp(draft.data, again.data, draft.size) == 0);
        mail_draft_done(&draft);
        mail_draft_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = calloc(1, size + 1);
        const char *values[N_VALUES], *p = text;

        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        for (size_t i = 0; i < N_VALUES; i++) {
                values[i] = p;
                if (p < text + size)
                        p += strlen(p);
                if (p < text + size)
                        p++;
        }
        write_twice(&(MailWrite){ .token = { key, "keys", '+' },
                        .domain = "hotel.test",
                        .to = values[0],
                        .name = values[1],
                        .message = "msg_01j0000000000000000000000c",
                        .thread = "thr_01j0000000000000000000000a",
                        .subject = values[2],
                        .text = values[3],
                        .link = values[4],
                        .time = 1795356000 });
        return 0;
}
