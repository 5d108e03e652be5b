/* Mail of people whose address is not ASCII (RFC 6532): who they are, and what looks like them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "mail-read.h"

#define MESSAGE "msg_01j0000000000000000000000c"
#define JURG "j\xc3\xbcrg"
#define YONGHU "\xe7\x94\xa8\xe6\x88\xb7"
#define LIZI "\xe4\xbe\x8b\xe5\xad\x90.\xe5\xb9\xbf\xe5\x91\x8a" /* a domain */
#define LIZI_ASCII "xn--fsqu00a.xn--4rr70v"

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

/* results: what the border server says; or NULL. */
static void read_text(const char *results, const char *from) {
        const MailReadEnvelope envelope = { "x@example.ch", "keys@hotel.test" };
        char text[4096];

        (void) snprintf(text,
                        sizeof(text),
                        "%s%s%sFrom: %s\r\n\r\nYES\r\n",
                        results ? "Authentication-Results: mx.hotel.test; " : "",
                        results ? results : "",
                        results ? "\r\n" : "",
                        from);
        assert_int_equal(mail_read(&place, &envelope, text, strlen(text), &mail), 0);
}

static void a_sender_is_whom_the_address_is_bound_to(void **state) {
        static const struct {
                const char *from, *canonical;
        } rows[] = {
                { "<" JURG "@example.ch>", "mailto:" JURG "@example.ch" },
                { JURG "@example.ch", "mailto:" JURG "@example.ch" },
                { JURG "@Example.CH", "mailto:" JURG "@example.ch" },
                { "J\xc3\xbcrg M\xc3\xbcller (priv\xc3\xa9) <" JURG "@example.ch>",
                                "mailto:" JURG "@example.ch" },
                { "=?utf-8?q?J=C3=BCrg?= <" JURG "@example.ch>", "mailto:" JURG "@example.ch" },
                { YONGHU " <" YONGHU "@" LIZI ">", "mailto:" YONGHU "@" LIZI_ASCII },
                { YONGHU "@" LIZI_ASCII, "mailto:" YONGHU "@" LIZI_ASCII },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                read_text(NULL, rows[i].from);
                assert_string_equal(mail.from, rows[i].canonical);
                assert_int_equal(mail.authentic, MAIL_AUTHENTIC_WEAK);
                assert_string_equal(mail.text, "YES");
                mail_read_done(&mail);
        }
}

/* Another, or nobody; never the one that the address looks like. */
static void who_only_looks_like_the_sender_is_not(void **state) {
        static const struct {
                const char *from, *canonical;
        } rows[] = {
                { "J\xc3\x9cRG@example.ch", "mailto:J\xc3\x9cRG@example.ch" },
                { "j\xd1\x8frg@example.ch", "mailto:j\xd1\x8frg@example.ch" },
                { "jurg@example.ch", "mailto:jurg@example.ch" },
                { "ju\xcc\x88rg@example.ch", "" }, /* u and a mark: another mailbox, it may be */
                { "j\xfcrg@example.ch", "" },      /* Latin-1 */
                { "j%C3%BCrg@example.ch", "" },
                { "=?utf-8?q?j=C3=BCrg?=@example.ch", "" },
                { "=?utf-8?q?j=C3=BCrg=40example=2Ech?=", "" },
                { "\"" JURG "\"@example.ch", "" },
                { "j\xc3\xbc\xe2\x80\x8brg@example.ch", "" }, /* zero width space */
                { "j\xc3\xbc\xe2\x80\xaerg@example.ch", "" }, /* override */
                { JURG "\xc2\x85@example.ch", "" },           /* U+0085 */
                { JURG "@example.ch\xe2\x80\xa8", "" },       /* U+2028 */
                { "\xef\xbd\x8a\xc3\xbcrg@example.ch", "" },  /* full-width j */
                { JURG "\xef\xbc\xa0"
                       "evil.test@example.ch",
                                "" }, /* full-width @ */
                { JURG "@example.ch, eve@evil.test", "" },
                { JURG "@example.ch <eve@evil.test>", "" },
                { "eve@evil.test <" JURG "@example.ch>", "" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                read_text(NULL, rows[i].from);
                if (strcmp(mail.from, rows[i].canonical) != 0)
                        fail_msg("%s is %s", rows[i].from, mail.from);
                assert_int_equal(mail.authentic,
                                rows[i].canonical[0] ? MAIL_AUTHENTIC_WEAK : MAIL_AUTHENTIC_NONE);
                mail_read_done(&mail);
        }
}

/* RFC 8616: the border server may write U-labels, or A-labels. */
static void the_border_server_vouches_for_the_domain_in_either_form(void **state) {
        static const struct {
                const char *said;
                MailAuthentic authentic;
        } rows[] = {
                { "dmarc=pass header.from=" LIZI, MAIL_AUTHENTIC_STRONG },
                { "dmarc=pass header.from=" LIZI_ASCII, MAIL_AUTHENTIC_STRONG },
                { "dmarc=pass header.from=" YONGHU "@" LIZI, MAIL_AUTHENTIC_STRONG },
                { "dmarc=pass header.from=example.ch", MAIL_AUTHENTIC_NONE },
                { "dmarc=pass header.from=\xe4\xbe\x8b\xe5\xad\x90.example", MAIL_AUTHENTIC_NONE },
                { "dmarc=pass header.from=\xe4\xbe\x8b\xe5", MAIL_AUTHENTIC_NONE }, /* cut off */
                { "dmarc=pass header.from=" LIZI "\xc2\x85", MAIL_AUTHENTIC_NONE },
                { "dmarc=fail header.from=" LIZI, MAIL_AUTHENTIC_NONE },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                read_text(rows[i].said, YONGHU "@" LIZI);
                assert_string_equal(mail.from, "mailto:" YONGHU "@" LIZI_ASCII);
                if (mail.authentic != rows[i].authentic)
                        fail_msg("%s: %s", rows[i].said, mail_authentic_name(mail.authentic));
                mail_read_done(&mail);
        }
}

/* RFC 6533, as Postfix writes it. */
static void a_report_about_an_address_in_utf8_is_read(void **state) {
        char local[MAIL_TOKEN_LOCAL_MAX + 1], recipient[128];
        MailReadEnvelope envelope = { "", recipient };
        static const char report[] =
                        "From: MAILER-DAEMON@mx.hotel.test\r\n"
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                        " boundary=\"b\"\r\n"
                        "Content-Transfer-Encoding: 8bit\r\n\r\n"
                        "--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: 8bit\r\n\r\n<" JURG "@example.ch>: no\r\n"
                        "--b\r\nContent-Type: message/global-delivery-status\r\n"
                        "Content-Transfer-Encoding: 8bit\r\n\r\n"
                        "Reporting-MTA: dns; mx.hotel.test\r\n\r\n"
                        "Final-Recipient: utf-8; " JURG "@example.ch\r\n"
                        "Original-Recipient: utf-8;" JURG "@example.ch\r\n"
                        "Action: failed\r\nStatus: 5.6.7\r\n"
                        "Diagnostic-Code: X-Postfix; SMTPUTF8 is required\r\n\r\n"
                        "--b\r\nContent-Type: message/global-headers\r\n"
                        "Content-Transfer-Encoding: 8bit\r\n\r\n"
                        "To: <" JURG "@example.ch>\r\n\r\n--b--\r\n";

        (void) state;
        assert_int_equal(mail_token_make(&place.token, MAIL_TOKEN_BOUNCE, MESSAGE, local), 0);
        (void) snprintf(recipient, sizeof(recipient), "%s@hotel.test", local);
        assert_int_equal(mail_read(&place, &envelope, report, strlen(report), &mail), 0);
        assert_int_equal(mail.kind, MAIL_READ_REPORT);
        assert_string_equal(mail.message, MESSAGE);
        assert_int_equal(mail.action, DSN_ACTION_FAILED);
        assert_int_equal(mail.class, DSN_CLASS_PERMANENT);
        assert_string_equal(mail.status, "5.6.7");
        mail_read_done(&mail);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_sender_is_whom_the_address_is_bound_to),
                cmocka_unit_test(who_only_looks_like_the_sender_is_not),
                cmocka_unit_test(the_border_server_vouches_for_the_domain_in_either_form),
                cmocka_unit_test(a_report_about_an_address_in_utf8_is_read),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
