/* The bytes of the mail that leaves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "mail-write.h"

#define MESSAGE "msg_01j0000000000000000000000c"

static const uint8_t key[MAIL_TOKEN_KEY_SIZE] = { 1 };

static MailWrite example(void) {
        return (MailWrite){ .token = { key, "keys", '+' },
                .domain = "hotel.test",
                .name = "Hotel Adler",
                .to = "mailto:bob@example.org",
                .message = MESSAGE,
                .thread = "thr_01j0000000000000000000000a",
                .language = "en",
                .subject = "Your key",
                .text = "Hotel Adler shares a key.\nhttps://relay.test/m/1?v=a#b",
                .link = "https://relay.test/m/1?v=a#b",
                .time = 1795356000 };
}

static char *write_text(const MailWrite *mail) {
        MailDraft draft;
        char *text;

        assert_int_equal(mail_write(mail, &draft), 0);
        text = strdup(draft.data);
        assert_non_null(text);
        assert_int_equal(strlen(text), draft.size);
        mail_draft_done(&draft);
        return text;
}

/* Without the soft line breaks of quoted-printable. */
static void unbreak(char *text) {
        for (char *soft; (soft = strstr(text, "=\r\n"));)
                memmove(soft, soft + 3, strlen(soft + 3) + 1);
}

static void assert_has(const char *text, const char *part) {
        if (!strstr(text, part))
                fail_msg("no \"%s\" in\n%s", part, text);
}

static void a_mail_has_its_fields_and_both_bodies(void **state) {
        MailWrite mail = example();
        char *text = write_text(&mail);

        (void) state;
        assert_has(text,
                        "Date: Sun, 22 Nov 2026 14:00:00 +0000\r\n"
                        "From: \"Hotel Adler\"\r\n <keys@hotel.test>\r\n");
        assert_has(text, "\r\nReply-To:\r\n <keys+r01j0000000000000000000000a");
        assert_has(text, "\r\nTo:\r\n <bob@example.org>\r\n");
        assert_has(text, "\r\nMessage-ID: <m01j0000000000000000000000c");
        assert_has(text, "\r\nSubject: Your key\r\n");
        assert_has(text,
                        "\r\nAuto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n"
                        "Content-Language: en\r\nMIME-Version: 1.0\r\n");
        assert_has(text,
                        "\r\n\r\nHotel Adler shares a "
                        "key.\r\nhttps://relay.test/m/1?v=3Da#b\r\n--=_");
        assert_has(text, "<a href=3D\"https://relay.test/m/1?v=3Da#b\">");
        assert_true(strstr(text, "text/plain") < strstr(text, "text/html"));
        assert_null(strstr(text, "In-Reply-To"));
        assert_null(strstr(text, "<img"));
        free(text);
}

static void the_same_message_is_the_same_bytes(void **state) {
        MailWrite mail = example();
        char *first = write_text(&mail), *again = write_text(&mail), *other;

        (void) state;
        assert_string_equal(first, again);
        mail.message = "msg_01j0000000000000000000000d";
        other = write_text(&mail);
        assert_string_not_equal(first, other);
        free(first), free(again), free(other);
}

static void the_return_path_and_recipient_are_the_envelope(void **state) {
        MailWrite mail = example();
        MailDraft draft;
        char id[ID_TEXT_SIZE];
        MailTokenKind kind;

        (void) state;
        assert_int_equal(mail_write(&mail, &draft), 0);
        assert_string_equal(draft.recipient, "bob@example.org");
        assert_int_equal(mail_token_read(&mail.token,
                                         draft.return_path,
                                         (size_t) (strchr(draft.return_path, '@') -
                                                         draft.return_path),
                                         &kind,
                                         id),
                        0);
        assert_int_equal(kind, MAIL_TOKEN_BOUNCE);
        assert_string_equal(id, MESSAGE);
        assert_null(strstr(draft.data, draft.return_path));
        mail_draft_done(&draft);
}

static void a_conversation_is_threaded(void **state) {
        MailWrite mail = example();
        char *text;

        (void) state;
        mail.first = "msg_01j0000000000000000000000a";
        text = write_text(&mail);
        assert_has(text, "\r\nIn-Reply-To:\r\n <m01j0000000000000000000000a");
        assert_has(text, "\r\nReferences:\r\n <m01j0000000000000000000000a");
        free(text);
        mail.their_id = "1@example.org";
        text = write_text(&mail);
        assert_has(text,
                        "\r\nIn-Reply-To:\r\n <1@example.org>\r\nReferences:\r\n "
                        "<m01j0000000000000000000000a");
        assert_has(text, "@hotel.test>\r\n <1@example.org>\r\n");
        free(text);
        mail.first = NULL;
        text = write_text(&mail);
        assert_has(text, "\r\nReferences:\r\n <1@example.org>\r\nSubject");
        free(text);
}

static void names_and_subjects_are_encoded_words(void **state) {
        MailWrite mail = example();
        char *text;

        (void) state;
        mail.name = "H\xc3\xb4tel \"Zum\" <x@y>, Bob \xf0\x9f\x94\x91";
        mail.subject = "Schl\xc3\xbcssel f\xc3\xbcr Zimmer 12, und noch ein langer Rest, der auf "
                       "keine Zeile passt";
        text = write_text(&mail);
        assert_has(text,
                        "\r\nFrom: =?utf-8?q?H=C3=B4tel_=22Zum=22_=3Cx=40y=3E=2C_Bob_?=\r\n "
                        "=?utf-8?q?=F0=9F=94=91?=\r\n <keys@hotel.test>\r\n");
        assert_has(text,
                        "\r\nSubject: "
                        "=?utf-8?q?Schl=C3=BCssel_f=C3=BCr_Zimmer_12=2C_und_noch_ein_?=\r\n "
                        "=?utf-8?q?");
        free(text);
        mail.name = "Hotel \"A\\B\"";
        mail.subject = "=?utf-8?q?x?=";
        text = write_text(&mail);
        assert_has(text, "\r\nFrom: \"Hotel \\\"A\\\\B\\\"\"\r\n");
        assert_has(text, "\r\nSubject: =?utf-8?q?=3D=3Futf=2D8=3Fq=3Fx=3F=3D?=\r\n");
        free(text);
}

/* What people wrote stands in encoded words of RFC 2047 and in bodies. No parameter holds any of
 * it, so none needs RFC 2231. */
static void parameters_hold_nothing_that_people_wrote(void **state) {
        MailWrite mail = example();
        char *text, *rest, *line;
        unsigned n_parameters = 0;

        (void) state;
        mail.name = mail.subject = mail.text = "G\xc3\xa4stehaus \xf0\x9f\x94\x91; x=\"y\"";
        text = write_text(&mail);
        unbreak(text);
        for (line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
                if (strncmp(line, "Content-", 8) != 0 && strncmp(line, " boundary=", 10) != 0)
                        continue;
                for (const char *p = line; *p; p++)
                        assert_in_range(*p, ' ', '~');
                assert_null(strstr(line, "*="));
                assert_null(strstr(line, "stehaus"));
                n_parameters += strstr(line, "charset=utf-8") || strstr(line, "boundary=\"");
        }
        assert_int_equal(n_parameters, 3);
        free(text);
}

static void encoded_words_end_between_words(void **state) {
        MailWrite mail = example();
        char *text;

        (void) state;
        mail.subject = "Ihr digitaler Schlüssel für Zimmer 12 im Hôtel Adler ist da";
        text = write_text(&mail);
        assert_has(text,
                        "\r\nSubject: "
                        "=?utf-8?q?Ihr_digitaler_Schl=C3=BCssel_f=C3=BCr_Zimmer_12_?=\r\n "
                        "=?utf-8?q?im_H=C3=B4tel_Adler_ist_da?=\r\n");
        free(text);
}

static void no_line_is_longer_than_servers_carry(void **state) {
        static char body[60000], subject[MAIL_WRITE_HEADER_MAX + 1];
        MailWrite mail = example();
        char *text;

        (void) state;
        memset(body, 'x', sizeof(body) - 1);
        for (size_t i = 0; i + 5 < sizeof(body); i += 97)
                memcpy(body + i, "\xf0\x9f\x94\x91 ", 5);
        memset(subject, 's', sizeof(subject) - 1);
        mail.text = body;
        mail.subject = mail.name = subject;
        text = write_text(&mail);
        for (char *line = text, *end; (end = strstr(line, "\r\n")); line = end + 2)
                assert_true(end - line <= 78);
        for (char *p = text; *p; p++) {
                assert_true((unsigned char) *p < 0x80);
                assert_true(*p != '\n' || p[-1] == '\r');
                assert_true(*p != '\r' || p[1] == '\n');
        }
        free(text);
}

static void lines_that_servers_change_are_encoded(void **state) {
        MailWrite mail = example();
        char *text;

        (void) state;
        mail.text = ".\n..\nFrom me\nspace \ntab\t\n=_x\n";
        text = write_text(&mail);
        assert_has(text, "\r\n=2E\r\n=2E.\r\n=46rom me\r\nspace=20\r\ntab=09\r\n=3D_x\r\n");
        free(text);
}

/* What stands behind a soft line break begins a line too. */
static void lines_that_are_broken_begin_with_nothing_special(void **state) {
        char body[400];

        (void) state;
        for (size_t n = 0; n < 80; n++) {
                MailWrite mail = example();
                char *text, *content;

                memset(body, 'x', sizeof(body));
                memset(body + n, '.', 100);
                body[n + 100] = '\n';
                memset(body + 2 * n + 101, 'F', 100);
                body[2 * n + 201] = '\0';
                mail.text = body;
                text = write_text(&mail);
                content = strstr(text, "\r\n\r\n");
                assert_null(strstr(content, "\r\n."));
                assert_null(strstr(content, "\r\nF"));
                free(text);
        }
}

static void words_are_no_markup(void **state) {
        MailWrite mail = example();
        char *text;

        (void) state;
        mail.text = "<script>alert(1)</script> & \"x\"";
        mail.subject = "</title><b>";
        mail.link = "javascript:alert(1)";
        text = write_text(&mail);
        unbreak(text);
        assert_has(text, "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot;</p>");
        assert_has(text, "<title>&lt;/title&gt;&lt;b&gt;</title>");
        assert_null(strstr(text, "<a "));
        free(text);
}

/* Encoded, they are no line ends for any server; what decodes and shows them is another program. */
static void line_ends_and_directions_of_unicode_are_in_no_header(void **state) {
        static const char *const evil[] = { "x\xc2\x85To: eve@evil.test",
                "x\xe2\x80\xa8y",
                "x\xe2\x80\xa9y",
                "x\xc2\x9by",
                "x\xe2\x80\xaey",
                "x\xe2\x81\xa6y" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(evil); i++)
                for (unsigned member = 0; member < 3; member++) {
                        MailWrite mail = example();
                        const char **const members[] = { &mail.name, &mail.subject, &mail.link };
                        MailDraft draft;

                        *members[member] = evil[i];
                        if (mail_write(&mail, &draft) != MAIL_WRITE_E_CONTROL)
                                fail_msg("member %u took %zu", member, i);
                        assert_null(draft.data);
                        assert_false(mail_write_is_line(evil[i]));
                }
        assert_true(mail_write_is_line("\xd7\x9e\xd7\x9c\xd7\x95\xd7\x9f\xe2\x80\x8f 7"));
}

static void a_header_cannot_be_injected(void **state) {
        static const char *const evil[] = {
                "x\r\nBcc: eve@evil.test", "x\nBcc: y", "x\ry", "x\r\n\r\nbody", "x\x0b", "x\x7f"
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(evil); i++)
                for (unsigned member = 0; member < 11; member++) {
                        MailWrite mail = example();
                        const char **const members[] = { &mail.name,
                                &mail.subject,
                                &mail.to,
                                &mail.message,
                                &mail.thread,
                                &mail.first,
                                &mail.their_id,
                                &mail.language,
                                &mail.domain,
                                &mail.sender,
                                &mail.link };
                        MailDraft draft;
                        int r;

                        *members[member] = evil[i];
                        r = mail_write(&mail, &draft);
                        if (r <= 0)
                                fail_msg("member %u took %zu", member, i);
                        assert_null(draft.data);
                        assert_non_null(mail_write_error_name(r));
                }
}

static void values_that_no_mail_can_carry_are_refused(void **state) {
        static char text[MAIL_WRITE_TEXT_MAX + 2], name[MAIL_WRITE_HEADER_MAX + 2];
        MailDraft draft;
        MailWrite mail;

        (void) state;
        memset(text, 'x', sizeof(text) - 1);
        memset(name, 'x', sizeof(name) - 1);
#define ASSERT_REFUSED(member, value, error) \
        mail = example();                    \
        mail.member = value;                 \
        assert_int_equal(mail_write(&mail, &draft), error)
        ASSERT_REFUSED(text, text, MAIL_WRITE_E_LENGTH);
        ASSERT_REFUSED(name, name, MAIL_WRITE_E_LENGTH);
        ASSERT_REFUSED(subject, "\xff", MAIL_WRITE_E_UTF8);
        ASSERT_REFUSED(text, "\x1b[1m", MAIL_WRITE_E_CONTROL);
        ASSERT_REFUSED(text, "a\r\n.\r\nb", MAIL_WRITE_E_CONTROL);
        ASSERT_REFUSED(to, "xmpp:bob@example.org", MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(to,
                        "mailto:bo\xcc\x88"
                        "b@example.org", /* not in NFC */
                        MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(to, "mailto:\xc3\xb6\xc2\x85@example.org", MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(to, "mailto:\xc3\xb6\xe2\x80\xa8@example.org", MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(to, "mailto:\xc3\xb6> SIZE=<@example.org", MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(sender, "schl\xc3\xbcssel", MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(to,
                        "mailto:bob@b\xc3\xbc"
                        "cher.test",
                        MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(to, "mailto:a@b.test,c@d.test", MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(domain, "hotel.test>", MAIL_WRITE_E_ADDRESS);
        ASSERT_REFUSED(message, "msg_1", MAIL_WRITE_E_ID);
        ASSERT_REFUSED(thread, MESSAGE, MAIL_WRITE_E_ID);
        ASSERT_REFUSED(their_id, "a> <b", MAIL_WRITE_E_ID);
        ASSERT_REFUSED(language, "de;x", MAIL_WRITE_E_ID);
}

static void international_domains_are_a_labels(void **state) {
        MailWrite mail = example();
        char *text;

        (void) state;
        mail.to = "mailto:bob@xn--bcher-kva.test";
        mail.domain = "xn--htel-vqa.test";
        text = write_text(&mail);
        assert_has(text, "<bob@xn--bcher-kva.test>");
        assert_has(text, "@xn--htel-vqa.test>");
        free(text);
}

/* RFC 6532: and then nothing but that address needs it. */
static void an_address_in_utf8_stands_as_it_is_and_alone(void **state) {
        static const char address[] = "j\xc3\xbcrg@xn--bcher-kva.example";
        MailWrite mail = example();
        MailDraft draft;
        char *found;

        (void) state;
        mail.to = "mailto:j\xc3\xbcrg@xn--bcher-kva.example";
        mail.name = "H\xc3\xb4tel";
        mail.subject = "Schl\xc3\xbcssel";
        mail.text = "Sch\xc3\xb6n\n";
        assert_int_equal(mail_write(&mail, &draft), 0);
        assert_string_equal(draft.recipient, address);
        assert_has(draft.data, "\r\nTo:\r\n <j\xc3\xbcrg@xn--bcher-kva.example>\r\n");
        assert_has(draft.data, "\r\nFrom: =?utf-8?q?H=C3=B4tel?=\r\n <keys@hotel.test>\r\n");
        assert_has(draft.data, "\r\nSubject: =?utf-8?q?Schl=C3=BCssel?=\r\n");
        found = strstr(draft.data, address);
        assert_null(strstr(found + 1, address));
        memset(found, 'x', strlen(address));
        for (char *p = draft.data; *p; p++)
                assert_true((unsigned char) *p < 0x80);
        for (char *p = draft.return_path; *p; p++)
                assert_true((unsigned char) *p < 0x80);
        mail_draft_done(&draft);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_mail_has_its_fields_and_both_bodies),
                cmocka_unit_test(the_same_message_is_the_same_bytes),
                cmocka_unit_test(the_return_path_and_recipient_are_the_envelope),
                cmocka_unit_test(a_conversation_is_threaded),
                cmocka_unit_test(names_and_subjects_are_encoded_words),
                cmocka_unit_test(parameters_hold_nothing_that_people_wrote),
                cmocka_unit_test(encoded_words_end_between_words),
                cmocka_unit_test(no_line_is_longer_than_servers_carry),
                cmocka_unit_test(lines_that_servers_change_are_encoded),
                cmocka_unit_test(lines_that_are_broken_begin_with_nothing_special),
                cmocka_unit_test(words_are_no_markup),
                cmocka_unit_test(a_header_cannot_be_injected),
                cmocka_unit_test(values_that_no_mail_can_carry_are_refused),
                cmocka_unit_test(international_domains_are_a_labels),
                cmocka_unit_test(line_ends_and_directions_of_unicode_are_in_no_header),
                cmocka_unit_test(an_address_in_utf8_stands_as_it_is_and_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
