/* What whole mails mean: answers, reports, and bombs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <stdlib.h>

#include "cleanup.h"
#include "mail-read.h"
#include "mail-write.h"

#define THREAD "thr_01j0000000000000000000000a"
#define OTHER_THREAD "thr_01j0000000000000000000000b"
#define MESSAGE "msg_01j0000000000000000000000c"
#define PASS "Authentication-Results: mx.hotel.test; dmarc=pass header.from=example.org\r\n"
#define FROM "From: Bob <bob@example.org>\r\n"

static const uint8_t key[MAIL_TOKEN_KEY_SIZE] = { 1 };
static const MailReadPlace place = {
        .token = { key, "keys", '+' },
        .domain = "hotel.test",
        .authserv_id = "mx.hotel.test",
};
static MailRead mail; /* large */

static int setup(void **state) {
        (void) state;
        mail_read_init();
        return 0;
}

/* An address of ours: of a thread, a return path, or a Message-ID. */
static const char *address(MailTokenKind kind, const char *id) {
        static char texts[4][128];
        static unsigned turn;
        char *text = texts[turn++ % 4], local[MAIL_TOKEN_LOCAL_MAX + 1];
        MailTokenPlace own = { key, "", '\0' };

        assert_int_equal(mail_token_make(kind == MAIL_TOKEN_NAME ? &own : &place.token,
                                         kind,
                                         id,
                                         local),
                        0);
        (void) snprintf(text, 128, "%s@hotel.test", local);
        return text;
}

static int read_with(const char *path, const char *recipient, const char *text) {
        MailReadEnvelope envelope = { path, recipient };

        return mail_read(&place, &envelope, text, strlen(text), &mail);
}

static void assert_text(const char *text, const char *expected) {
        int r = read_with("bob@example.org", "keys@hotel.test", text);

        if (r != 0 || mail.kind != MAIL_READ_REPLY || strcmp(mail.text, expected) != 0)
                fail_msg("%d \"%s\" instead of \"%s\": %s", r, mail.text, expected, text);
        assert_int_equal(mail.empty, expected[0] == '\0');
}

static void an_answer_has_all_its_parts(void **state) {
        char text[2048];

        (void) state;
        (void) snprintf(text,
                        sizeof(text),
                        PASS FROM "To: Hotel <%s>\r\nDate: Sun, 22 Nov 2026 15:00:00 +0100\r\n"
                                  "Message-ID: <1@example.org>\r\nIn-Reply-To: <%s>\r\nSubject: "
                                  "=?utf-8?q?Schl=C3=BCssel?=\r\n"
                                  "Content-Type: text/plain; charset=iso-8859-15\r\n"
                                  "Content-Transfer-Encoding: quoted-printable\r\n\r\n123-456-786 "
                                  "f=FCr mich=\r\n!\r\n\r\n> NO\r\n",
                        address(MAIL_TOKEN_REPLY, THREAD),
                        address(MAIL_TOKEN_NAME, MESSAGE));
        assert_int_equal(read_with(NULL, NULL, text), 0);
        assert_int_equal(mail.kind, MAIL_READ_REPLY);
        assert_string_equal(mail.from, "mailto:bob@example.org");
        assert_string_equal(mail.thread, THREAD);
        assert_string_equal(mail.quoted, MESSAGE);
        assert_string_equal(mail.their_id, "1@example.org");
        assert_string_equal(mail.text, "123-456-786 f\xc3\xbcr mich!");
        assert_int_equal(mail.date, 1795356000);
        assert_int_equal(mail.authentic, MAIL_AUTHENTIC_STRONG);
        assert_int_equal(mail.automatic, MAIL_AUTOMATIC_NO);
        assert_string_equal(mail.message, "");
}

static void a_token_counts_where_the_envelope_says_it(void **state) {
        char text[2048];

        (void) state;
        (void) snprintf(text,
                        sizeof(text),
                        FROM "To: %s\r\nCc: eve@evil.test\r\n\r\nYES\r\n",
                        address(MAIL_TOKEN_REPLY, THREAD));
        /* LMTP gave the recipient: what the header says is a stranger's. */
        assert_int_equal(read_with("b@e.test", address(MAIL_TOKEN_REPLY, OTHER_THREAD), text), 0);
        assert_string_equal(mail.thread, OTHER_THREAD);
        assert_int_equal(read_with("b@e.test", "keys@hotel.test", text), 0);
        assert_string_equal(mail.thread, "");
        /* A file has only its header; Delivered-To is our server's. */
        (void) snprintf(text,
                        sizeof(text),
                        "Delivered-To: <%s>\r\n" FROM "To: %s\r\n\r\nYES\r\n",
                        address(MAIL_TOKEN_REPLY, OTHER_THREAD),
                        address(MAIL_TOKEN_REPLY, THREAD));
        assert_int_equal(read_with(NULL, NULL, text), 0);
        assert_string_equal(mail.thread, OTHER_THREAD);
}

static void a_forged_token_names_nothing(void **state) {
        char text[2048], *token;

        (void) state;
        (void) snprintf(text,
                        sizeof(text),
                        FROM
                        "To: keys+r01j0000000000000000000000aaaaaaaaaaaaaaaaa@hotel.test\r\n"
                        "In-Reply-To: <m01j0000000000000000000000caaaaaaaaaaaaaaaa@hotel.test>\r\n"
                        "References: <%s.evil.test> <%s>\r\n\r\nYES\r\n",
                        address(MAIL_TOKEN_NAME, MESSAGE),
                        address(MAIL_TOKEN_REPLY, THREAD));
        assert_int_equal(read_with(NULL, NULL, text), 0);
        assert_string_equal(mail.thread, "");
        assert_string_equal(mail.quoted, "");
        (void) snprintf(text,
                        sizeof(text),
                        FROM "References: <x@y> <%s>\r\n <z@w>\r\n\r\nYES\r\n",
                        address(MAIL_TOKEN_NAME, MESSAGE));
        assert_int_equal(read_with(NULL, NULL, text), 0);
        assert_string_equal(mail.quoted, MESSAGE);
        token = strchr(strstr(text, "<m"), '@') - 1;
        *token = *token == 'a' ? 'b' : 'a';
        assert_int_equal(read_with(NULL, NULL, text), 0);
        assert_string_equal(mail.quoted, "");
}

static void the_text_is_found_in_every_structure(void **state) {
        (void) state;
        assert_text(FROM "\r\nYES\r\n", "YES");
        assert_text(FROM "\nYES\n", "YES");
        assert_text(FROM "Content-Type: text/plain; charset=utf-8; format=flowed; "
                         "delsp=yes\r\n\r\n123-4 \r\n56-786\r\n",
                        "123-456-786");
        assert_text(FROM "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
                         "base64\r\n\r\nPHA+SkE8L3A+\r\n",
                        "JA");
        assert_text(FROM "Content-Type: multipart/alternative; "
                         "boundary=b\r\n\r\n--b\r\n\r\nYES\r\n--b\r\n"
                         "Content-Type: text/html\r\n\r\n<p>NO\r\n--b--\r\n",
                        "YES");
        assert_text(FROM "Content-Type: multipart/alternative; "
                         "boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n \r\n--b\r\n"
                         "Content-Type: multipart/related; boundary=c\r\n\r\n--c\r\nContent-Type: "
                         "text/html\r\n\r\n<p>YES\r\n--c--\r\n--b--\r\n",
                        "YES");
        assert_text(FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
                         "text/html\r\n\r\n<p>YES\r\n--b\r\n"
                         "Content-Type: text/plain\r\n\r\nfooter of a list\r\n--b--\r\n",
                        "YES");
        assert_text(FROM "Content-Type: multipart/mixed; "
                         "boundary=b\r\n\r\n--b\r\nContent-Disposition: "
                         "attachment\r\n\r\nNO\r\n--b\r\n"
                         "Content-Type: text/plain\r\n\r\nYES\r\n--b--\r\n",
                        "YES");
        assert_text(FROM "Content-Type: multipart/signed; "
                         "boundary=b\r\n\r\n--b\r\n\r\nYES\r\n--b\r\n"
                         "Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
                        "YES");
        /* What is no alternative is another thing, such as what was attached. */
        assert_text(FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n \r\n--b\r\n"
                         "Content-Type: text/html\r\n\r\n<p>NO\r\n--b--\r\n",
                        "");
        /* A mail within a mail is somebody else's. */
        assert_text(FROM "Content-Type: message/rfc822\r\n\r\nFrom: x@y.z\r\n\r\nYES\r\n", "");
        assert_text(FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
                         "image/png\r\n\r\nx\r\n--b--\r\n",
                        "");
        assert_text(FROM "\r\n> YES\r\n", "");
}

static void encrypted_mail_is_said_to_be(void **state) {
        (void) state;
        assert_text(FROM
                        "Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\nContent-Type: "
                        "application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b--\r\n",
                        "");
        assert_true(mail.encrypted);
        assert_text(FROM "Content-Type: application/pkcs7-mime\r\n\r\nx\r\n", "");
        assert_true(mail.encrypted);
        assert_text(FROM "\r\nYES\r\n", "YES");
        assert_false(mail.encrypted);
}

static void broken_charsets_and_encodings_still_give_text(void **state) {
        (void) state;
        assert_text(FROM "Content-Type: text/plain; charset=x-unknown\r\n\r\nYES\r\n", "YES");
        assert_text(FROM "Content-Type: text/plain; charset=\"UTF-8//IGNORE\"\r\n\r\nYES\r\n",
                        "YES");
        assert_text(FROM "Content-Type: text/plain; charset=../../x\r\n\r\nYES\r\n", "YES");
        assert_text(FROM "Content-Type: text/plain; charset=utf-8\r\n\r\nJ\xc3\xa4\xff\r\n",
                        "J\xc3\xa4\xef\xbf\xbd");
        assert_text(FROM "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\nYES "
                         "\x1b$B\xff\xff\r\n\x1b(B!\r\n",
                        "YES \xef\xbf\xbd\xef\xbf\xbd\n!");
        assert_text(FROM "Content-Type: text/plain; charset=windows-1251\r\n\r\n\xc4\xe0\r\n",
                        "\xd0\x94\xd0\xb0");
        assert_text(FROM "Content-Transfer-Encoding: base64\r\n\r\n!!WUV!T===\r\n", "YES");
        assert_text(FROM "Content-Transfer-Encoding: quoted-printable\r\n\r\nYES=ZZ=4\r\n",
                        "YES=ZZ=4");
        assert_text(FROM "Content-Transfer-Encoding: x-none\r\n\r\nYES\r\n", "YES");
        assert_text(FROM "Content-Type: ;;;\r\n\r\nYES\r\n", "");
        assert_text(FROM "Content-Type: multipart/mixed\r\n\r\nYES\r\n", "");
}

#define REPORT(status)                                                                    \
        "Content-Type: multipart/report; report-type=delivery-status; boundary=q\r\n\r\n" \
        "--q\r\n\r\nSorry\r\n--q\r\nContent-Type: message/delivery-status\r\n\r\n"        \
        "Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\n" status "\r\n"

static void assert_report(const char *recipient,
                const char *text,
                const char *message,
                DsnAction action,
                DsnClass class) {
        assert_int_equal(read_with("", recipient, text), 0);
        assert_int_equal(mail.kind, MAIL_READ_REPORT);
        assert_string_equal(mail.message, message);
        assert_int_equal(mail.action, action);
        assert_int_equal(mail.class, class);
        assert_true(mail.automatic != MAIL_AUTOMATIC_NO);
        assert_string_equal(mail.text, "");
}

/* RFC 2231: in pieces, with a language and in percent; and as programs get it
 * wrong. */
static void parameters_may_be_continued_and_encoded(void **state) {
        (void) state;
        assert_text(FROM "Content-Type: text/plain; "
                         "charset*=us-ascii'en'iso-8859-1\r\n\r\nJ\xe4\r\n",
                        "J\xc3\xa4");
        assert_text(FROM "Content-Type: text/plain; charset*0=iso-; "
                         "charset*1=8859-1\r\n\r\nJ\xe4\r\n",
                        "J\xc3\xa4");
        assert_text(FROM "Content-Type: text/plain; charset*1=8859-1; "
                         "charset*0=iso-\r\n\r\nJ\xe4\r\n",
                        "J\xc3\xa4");
        assert_text(FROM "Content-Type: text/plain;\r\n charset*0*=''iso-;\r\n "
                         "charset*1*=%38859-1\r\n\r\nJ\xe4\r\n",
                        "J\xc3\xa4");
        assert_text(FROM
                        "Content-Type: multipart/mixed; boundary*0=\"a \";\r\n boundary*1=b\r\n\r\n"
                        "--a b\r\nContent-Type: text/plain\r\n\r\nYES\r\n"
                        "--a b\r\nContent-Disposition: attachment;\r\n "
                        "filename*0*=UTF-8'de'Schl%C3%BC;\r\n filename*1=ssel.txt\r\n\r\nNO\r\n"
                        "--a b--\r\n",
                        "YES");
        /* A piece is missing; percent without digits; a charset of nobody; no end of the quotes. */
        assert_text(FROM "Content-Type: text/plain; charset*0=utf-; charset*2=8\r\n\r\nYES\r\n",
                        "YES");
        assert_text(FROM "Content-Type: text/plain; charset*=''%zz%\r\n\r\nYES\r\n", "YES");
        assert_text(FROM "Content-Type: text/plain; charset*=x-none'x'%ff\r\n\r\nYES\r\n", "YES");
        assert_text(FROM "Content-Type: text/plain; name*0*=utf-8''\"a; "
                         "charset*=''utf-8\r\n\r\nYES\r\n",
                        "YES");
}

static void a_report_names_our_message_by_the_return_path(void **state) {
        const char *text = "From: MAILER-DAEMON@x.test\r\n" REPORT(
                        "Action: failed\r\nStatus: 5.1.1\r\n") "--q--\r\n";

        (void) state;
        assert_report(address(MAIL_TOKEN_BOUNCE, MESSAGE),
                        text,
                        MESSAGE,
                        DSN_ACTION_FAILED,
                        DSN_CLASS_PERMANENT);
        assert_string_equal(mail.status, "5.1.1");
        assert_report("keys@hotel.test", text, "", DSN_ACTION_FAILED, DSN_CLASS_PERMANENT);
}

/* xtext writes the plus sign as +2B; some servers show the brackets that libcurl adds. */
static void a_report_names_the_repetition_by_our_envelope_id_alone(void **state) {
        static const struct {
                const char *before, *after;
                int64_t repeat;
        } cases[] = {
                { "", "", 0 },
                { "", ".1", 1 },
                { "", ".999999999", 999999999 },
                { "+3C", ".2+3E", 2 },
                { "<", ">", 0 },
                { "", ".", -1 },
                { "", ".x", -1 },
                { "", ".-1", -1 },
                { "", ".9999999999999999999999", -1 },
                { "x", ".2", -1 },
                { "", "2", -1 },
        };
        char text[2048], id[MAIL_READ_ENVELOPE_ID_SIZE], written[2 * MAIL_READ_ENVELOPE_ID_SIZE];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                mail_read_envelope_id(address(MAIL_TOKEN_BOUNCE, MESSAGE), 0, id);
                assert_non_null(strchr(id, '+'));
                (void) snprintf(written,
                                sizeof(written),
                                "%.*s+2B%s",
                                (int) (strchr(id, '+') - id),
                                id,
                                strchr(id, '+') + 1);
                (void) snprintf(text,
                                sizeof(text),
                                "From: MAILER-DAEMON@x.test\r\n"
                                "Content-Type: multipart/report; boundary=q\r\n\r\n--q\r\n"
                                "Content-Type: message/delivery-status\r\n\r\n"
                                "Original-Envelope-Id: %s%s%s\r\n\r\n"
                                "Final-Recipient: rfc822; bob@example.org\r\n"
                                "Action: failed\r\nStatus: 4.4.7\r\n--q--\r\n",
                                cases[i].before,
                                written,
                                cases[i].after);
                print_message("# %s\n", cases[i].after);
                assert_report(address(MAIL_TOKEN_BOUNCE, MESSAGE),
                                text,
                                MESSAGE,
                                DSN_ACTION_FAILED,
                                DSN_CLASS_TEMPORARY);
                assert_int_equal(mail.repeat, cases[i].repeat);
                /* Without a token that proves the message it proves nothing. */
                assert_report("keys@hotel.test", text, "", DSN_ACTION_FAILED, DSN_CLASS_TEMPORARY);
                assert_int_equal(mail.repeat, -1);
        }
        mail_read_envelope_id("keys+token@hotel.test", 3, id);
        assert_string_equal(id, "keys+token.3");
        assert_int_equal(read_with("", NULL, FROM "\r\nYES\r\n"), 0);
        assert_int_equal(mail.repeat, -1);
}

static void a_report_names_our_message_by_its_header_alone(void **state) {
        static const char *const forms[] = {
                "--q\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <",
                "--q\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@b\r\nMessage-ID: <",
                "--q\r\nContent-Type: message/global-headers\r\n\r\nMessage-ID: <",
        };
        static const char delayed[] = "From: MAILER-DAEMON@x.test\r\n" REPORT(
                        "Action: delayed\r\nStatus: 4.0.0\r\n");
        char text[2048];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(forms); i++) {
                (void) snprintf(text,
                                sizeof(text),
                                "%s%s%s>\r\n\r\n--q--\r\n",
                                delayed,
                                forms[i],
                                address(MAIL_TOKEN_NAME, MESSAGE));
                assert_report("keys@hotel.test",
                                text,
                                MESSAGE,
                                DSN_ACTION_DELAYED,
                                DSN_CLASS_TEMPORARY);
        }
}

static void bounces_that_are_no_reports_are_unknown(void **state) {
        const char *qmail = "From: MAILER-DAEMON@q.test\r\n\r\nHi. This is the qmail-send program "
                            "at q.test.\r\n"
                            "I'm afraid I wasn't able to deliver your message\r\n";

        (void) state;
        assert_report(address(MAIL_TOKEN_BOUNCE, MESSAGE),
                        qmail,
                        MESSAGE,
                        DSN_ACTION_UNKNOWN,
                        DSN_CLASS_UNKNOWN);
        assert_report("keys@hotel.test", qmail, "", DSN_ACTION_UNKNOWN, DSN_CLASS_UNKNOWN);
        /* Whatever comes to a return path is no answer. */
        assert_int_equal(read_with("bob@example.org",
                                         address(MAIL_TOKEN_BOUNCE, MESSAGE),
                                         FROM "\r\nYES\r\n"),
                        0);
        assert_int_equal(mail.kind, MAIL_READ_REPORT);
        /* And a person who quotes a bounce is a person. */
        assert_int_equal(read_with("bob@example.org",
                                         "keys@hotel.test",
                                         FROM
                                         "\r\nYES\r\n> Hi. This is the qmail-send program at\r\n"),
                        0);
        assert_int_equal(mail.kind, MAIL_READ_REPLY);
}

static void automatic_answers_are_marked(void **state) {
        (void) state;
        assert_text("Auto-Submitted: auto-replied\r\n" FROM "\r\nI am away\r\n", "I am away");
        assert_int_equal(mail.automatic, MAIL_AUTOMATIC_AUTO_SUBMITTED);
        assert_int_equal(read_with("", "keys@hotel.test", FROM "\r\nI am away\r\n"), 0);
        assert_int_equal(mail.automatic, MAIL_AUTOMATIC_EMPTY_PATH);
}

static void an_unclear_sender_proves_nothing(void **state) {
        (void) state;
        assert_text(PASS FROM FROM "\r\nYES\r\n", "YES");
        assert_string_equal(mail.from, "");
        assert_int_equal(mail.authentic, MAIL_AUTHENTIC_NONE);
        assert_text(PASS "From: bob@example.org, eve@evil.test\r\n\r\nYES\r\n", "YES");
        assert_int_equal(mail.authentic, MAIL_AUTHENTIC_NONE);
        assert_text(FROM "\r\nYES\r\n", "YES");
        assert_int_equal(mail.authentic, MAIL_AUTHENTIC_WEAK);
        /* One in the body, or in a part's header, is none. */
        assert_text(FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" PASS
                         "\r\nYES\r\n--b--\r\n",
                        "YES");
        assert_int_equal(mail.authentic, MAIL_AUTHENTIC_WEAK);
}

static void the_identity_is_that_of_the_mail_and_its_thread(void **state) {
        const char *thread = address(MAIL_TOKEN_REPLY, THREAD),
                   *other = address(MAIL_TOKEN_REPLY, OTHER_THREAD);
        char first[MAIL_READ_ID_SIZE];

        (void) state;
#define IDENTITY(recipient, text) \
        (assert_int_equal(read_with("b@e.test", recipient, text), 0), mail.inbound)
        strcpy(first,
                        IDENTITY(thread,
                                        "Received: a\r\n" FROM
                                        "Message-ID: <1@e.test>\r\n\r\nYES\r\n"));
        assert_string_equal(first,
                        IDENTITY(thread,
                                        "Received: b\r\n" FROM
                                        "Message-ID: <1@e.test>\r\n\r\nYES\r\n"));
        assert_string_not_equal(
                        first, IDENTITY(other, FROM "Message-ID: <1@e.test>\r\n\r\nYES\r\n"));
        assert_string_not_equal(
                        first, IDENTITY(thread, FROM "Message-ID: <2@e.test>\r\n\r\nYES\r\n"));
        assert_string_not_equal(first,
                        IDENTITY(thread,
                                        "From: eve@evil.test\r\nMessage-ID: "
                                        "<1@e.test>\r\n\r\nYES\r\n"));

        strcpy(first, IDENTITY(thread, "Received: a\r\n" FROM "Date: x\r\n\r\nYES\r\n"));
        assert_string_equal(first, IDENTITY(thread, FROM "Date: x\r\n\r\nYES\r\n"));
        assert_string_not_equal(first, IDENTITY(thread, FROM "Date: y\r\n\r\nYES\r\n"));
        assert_string_not_equal(first, IDENTITY(thread, FROM "Date: x\r\n\r\nNO\r\n"));
}

static void assert_refused(const char *text, size_t size, int error) {
        MailReadEnvelope envelope = { 0 };
        int r = mail_read(&place, &envelope, text, size, &mail);

        if (r != error)
                fail_msg("%d instead of %s", r, mail_read_error_name(error));
        assert_string_equal(mail.inbound, "");
}

/* Fills a mail of the given size with a unit behind its start. */
static char *bomb(const char *start, const char *unit, size_t size) {
        char *text = malloc(size + 1);
        size_t n = strlen(start), step = strlen(unit);

        assert_non_null(text);
        memcpy(text, start, n);
        for (size_t i = 0; n + i < size; i++)
                text[n + i] = unit[i % step];
        text[size] = '\0';
        return text;
}

static void bombs_are_refused_before_they_are_parsed(void **state) {
        static const struct {
                const char *start, *unit;
                size_t size;
                int error;
        } cases[] = {
                { FROM "\r\n", "x\n", MAIL_READ_SIZE_MAX + 1, MAIL_READ_E_SIZE },
                { FROM, "A: b\r\n", 64 * 1024, MAIL_READ_E_LENGTH },
                { FROM "Subject: ", "=?utf-8?q?=41?= ", 64 * 1024, MAIL_READ_E_LENGTH },
                { FROM "Subject: x", "\r\n =?x?b?YQ==?=", 256 * 1024, MAIL_READ_E_LENGTH },
                { "no header\r\n", "x", 64, MAIL_READ_E_HEADER },
                { "\r\n", "x", 64, MAIL_READ_E_HEADER },
                { FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
                                "--b\r\n\r\n",
                                1024 * 1024,
                                MAIL_READ_E_PARTS },
                { FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
                                "--b\r\n\r\n",
                                4096,
                                MAIL_READ_E_PARTS },
                { FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
                                "a:\r\n",
                                1024 * 1024,
                                MAIL_READ_E_PARTS },
                { FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
                                "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
                                1024 * 1024,
                                MAIL_READ_E_DEPTH },
                { FROM "Content-Type: message/rfc822\r\n\r\n",
                                "Content-Type: message/rfc822\r\n\r\n",
                                1024 * 1024,
                                MAIL_READ_E_DEPTH },
                { FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
                       "text/plain",
                                "; a=b",
                                1024 * 1024,
                                MAIL_READ_E_LENGTH },
                { FROM "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
                       "text/plain",
                                ";\r\n a*0=b",
                                1024 * 1024,
                                MAIL_READ_E_LENGTH },
                { FROM "Content-Type: message/rfc822\r\n\r\nTo:",
                                "\r\n a:",
                                256 * 1024,
                                MAIL_READ_E_DEPTH },
                { FROM "Content-Type: message/rfc822\r\n\r\nTo:",
                                "a:",
                                256 * 1024,
                                MAIL_READ_E_DEPTH },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char *text = bomb(cases[i].start, cases[i].unit, cases[i].size);

                assert_refused(text, cases[i].size, cases[i].error);
                free(text);
        }
}

static void mail_that_is_nested_too_deep_is_refused(void **state) {
        char text[8192] = FROM "Content-Type: multipart/mixed; boundary=\"b0\"\r\n\r\n";

        (void) state;
        for (unsigned i = 0; i < MAIL_READ_DEPTH_MAX; i++)
                (void) sprintf(text + strlen(text),
                                "--b%u\r\nContent-Type: multipart/mixed; boundary=\"b%u\"\r\n\r\n",
                                i,
                                i + 1);
        assert_refused(text, strlen(text), MAIL_READ_E_DEPTH);
}

static void what_is_within_the_limits_costs_little(void **state) {
        static const struct {
                const char *start, *unit;
        } cases[] = {
                { FROM "\r\n", "On 1 @ x\r\n" },
                { FROM "Content-Type: text/html\r\n\r\n", "<div>" },
                { FROM "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n",
                                "\x1b$B\xff\x1b(B" },
                { FROM "Content-Type: text/plain; charset=utf-16\r\n\r\n", "\xd8" },
                { FROM "Content-Transfer-Encoding: base64\r\n\r\n", "QUJD\r\n" },
                { FROM "Content-Transfer-Encoding: x-uuencode\r\n\r\n", "begin 644 x\r\n" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char *text = bomb(cases[i].start, cases[i].unit, MAIL_READ_SIZE_MAX / 8);
                MailReadEnvelope envelope = { 0 };
                int r = mail_read(&place, &envelope, text, MAIL_READ_SIZE_MAX / 8, &mail);

                assert_true(r == 0 || r == MAIL_READ_E_LENGTH);
                free(text);
        }
}

static void what_we_write_is_read_back(void **state) {
        MailWrite out = { .token = place.token,
                .domain = "hotel.test",
                .name = "H\xc3\xb4tel",
                .to = "mailto:bob@example.org",
                .message = MESSAGE,
                .thread = THREAD,
                .language = "de",
                .subject = "Schl\xc3\xbcssel",
                .text = "Gr\xc3\xbc\xc3\x9f"
                        "e \xf0\x9f\x94\x91\n.\nFrom here",
                .time = 1795356000 };
        MailReadEnvelope envelope = { "keys@hotel.test", "bob@example.org" };
        MailDraft draft;

        (void) state;
        assert_int_equal(mail_write(&out, &draft), 0);
        assert_int_equal(mail_read(&place, &envelope, draft.data, draft.size, &mail), 0);
        assert_string_equal(mail.text, out.text);
        assert_string_equal(mail.from, "mailto:keys@hotel.test");
        assert_int_equal(mail.date, out.time);
        assert_int_equal(mail.automatic, MAIL_AUTOMATIC_AUTO_SUBMITTED);
        mail_draft_done(&draft);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_has_all_its_parts),
                cmocka_unit_test(a_token_counts_where_the_envelope_says_it),
                cmocka_unit_test(a_forged_token_names_nothing),
                cmocka_unit_test(the_text_is_found_in_every_structure),
                cmocka_unit_test(encrypted_mail_is_said_to_be),
                cmocka_unit_test(broken_charsets_and_encodings_still_give_text),
                cmocka_unit_test(parameters_may_be_continued_and_encoded),
                cmocka_unit_test(a_report_names_our_message_by_the_return_path),
                cmocka_unit_test(a_report_names_the_repetition_by_our_envelope_id_alone),
                cmocka_unit_test(a_report_names_our_message_by_its_header_alone),
                cmocka_unit_test(bounces_that_are_no_reports_are_unknown),
                cmocka_unit_test(automatic_answers_are_marked),
                cmocka_unit_test(an_unclear_sender_proves_nothing),
                cmocka_unit_test(the_identity_is_that_of_the_mail_and_its_thread),
                cmocka_unit_test(bombs_are_refused_before_they_are_parsed),
                cmocka_unit_test(mail_that_is_nested_too_deep_is_refused),
                cmocka_unit_test(what_is_within_the_limits_costs_little),
                cmocka_unit_test(what_we_write_is_read_back),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
