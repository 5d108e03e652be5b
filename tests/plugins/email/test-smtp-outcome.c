/* What the replies of mail servers mean for a message, stage by stage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "smtp-outcome.h"

enum {
        OLD = 0x075801, /* 7.88.1 */
        NEW = 0x080f00, /* 8.15.0 */
};

/* What the server says, from its greeting on; "" is where the connection is ready for MAIL. */
static SmtpTrace follow(const char *const *lines) {
        SmtpTrace trace = { 0 };

        smtp_trace_begin(&trace, false);
        for (; *lines; lines++)
                if (**lines)
                        smtp_trace_reply(&trace, *lines, strlen(*lines));
                else
                        (void) smtp_trace_connected(&trace);
        return trace;
}

#define SESSION(...)              \
        (const char *const[]) {   \
                __VA_ARGS__, NULL \
        }
#define HELLO "220 mx.test", "250-mx.test\r\n", "250-DSN\r\n", "250 SIZE 1\r\n"
#define MAIL HELLO, "235 2.7.0 welcome\r\n", ""
#define RCPT MAIL, "250-2.1.0 this is\r\n", "250 2.1.0 fine\r\n"
#define DATA RCPT, "250 2.1.5 fine\r\n"
#define CONTENT DATA, "354 go on\r\n"

typedef struct Expected {
        const char *const *lines;
        CURLcode code;
        SmtpVerdict verdict;
        const char *reason;
        bool down, login, slow, without_dsn, crowded;
} Expected;

static void assert_outcomes(const Expected *expected, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const Expected *e = &expected[i];
                SmtpTrace trace = follow(e->lines);
                SmtpOutcome outcome;

                smtp_outcome(&trace, e->code, false, &outcome);
                if (outcome.verdict != e->verdict || strcmp(outcome.reason, e->reason) != 0 ||
                                outcome.down != e->down || outcome.login != e->login ||
                                outcome.slow != e->slow || outcome.crowded != e->crowded ||
                                outcome.without_dsn != e->without_dsn || outcome.once_more)
                        fail_msg("case %zu: verdict %d, %s, down %d, login %d, slow %d, "
                                 "crowded %d, without %d",
                                        i,
                                        (int) outcome.verdict,
                                        outcome.reason,
                                        outcome.down,
                                        outcome.login,
                                        outcome.slow,
                                        outcome.crowded,
                                        outcome.without_dsn);
        }
}

static void what_is_taken_is_sent(void **state) {
        const Expected expected[] = {
                { SESSION(CONTENT, "250 2.0.0 queued"), CURLE_OK, SMTP_VERDICT_SENT, "" },
                { SESSION(CONTENT, "251 queued"), CURLE_WEIRD_SERVER_REPLY, SMTP_VERDICT_SENT, "" },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

static void the_recipient_is_refused_for_ever(void **state) {
        const Expected expected[] = {
                { SESSION(RCPT, "550 5.1.1 <b@c>: who?\r\n"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_REFUSED,
                                "smtp-5-1-1" },
                { SESSION(RCPT, "550-5.7.26 a long", "550 5.7.26 story", "221 bye"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_REFUSED,
                                "smtp-5-7-26" },
                { SESSION(RCPT, "550 no\r\n"), CURLE_SEND_ERROR, SMTP_VERDICT_REFUSED, "smtp-550" },
                { SESSION(RCPT, "550 4.1.1 of another class"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_REFUSED,
                                "smtp-550" },
                { SESSION(RCPT, "550"), CURLE_SEND_ERROR, SMTP_VERDICT_REFUSED, "smtp-550" },
                { SESSION(CONTENT, "554 5.7.1 spam\r\n"),
                                CURLE_WEIRD_SERVER_REPLY,
                                SMTP_VERDICT_REFUSED,
                                "smtp-5-7-1" },
                { SESSION(MAIL, "552 5.3.4 too big"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_REFUSED,
                                "smtp-5-3-4" },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

static void what_a_server_says_of_us_is_not_held_against_the_recipient(void **state) {
        const Expected expected[] = {
                { SESSION(MAIL, "553 5.7.1 not owned by user"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_FAILED,
                                "smtp-5-7-1" },
                { SESSION(MAIL, "550 5.1.8 no such sender"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_FAILED,
                                "smtp-5-1-8" },
                { SESSION(MAIL, "530 5.7.0 must authenticate"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_LATER,
                                "not-authorized",
                                .down = true,
                                .login = true },
                { SESSION(HELLO, "535 5.7.8 wrong"),
                                CURLE_LOGIN_DENIED,
                                SMTP_VERDICT_LATER,
                                "not-authorized",
                                .down = true,
                                .login = true },
                { SESSION(HELLO, "334 x", "334 y", "535 no"),
                                CURLE_LOGIN_DENIED,
                                SMTP_VERDICT_LATER,
                                "not-authorized",
                                .down = true,
                                .login = true },
                { SESSION(HELLO, "454 4.7.0 the user base is away"),
                                CURLE_LOGIN_DENIED,
                                SMTP_VERDICT_LATER,
                                "smtp-4-7-0",
                                .down = true },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

static void throttling_and_greylisting_count_as_no_try(void **state) {
        const Expected expected[] = {
                { SESSION(RCPT, "450 4.2.0 greylisted"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_LATER,
                                "smtp-4-2-0" },
                { SESSION(RCPT, "451 4.7.1 try again"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_LATER,
                                "smtp-4-7-1" },
                { SESSION(RCPT, "451 later"), CURLE_SEND_ERROR, SMTP_VERDICT_LATER, "smtp-451" },
                { SESSION(RCPT, "452 4.3.1 no room"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_LATER,
                                "smtp-4-3-1",
                                .slow = true },
                { SESSION(RCPT, "452 4.5.3 too many"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_LATER,
                                "smtp-4-5-3",
                                .slow = true },
                { SESSION(RCPT, "421 4.1.1 going down"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_LATER,
                                "smtp-4-1-1",
                                .slow = true },
                { SESSION(MAIL, "451 4.3.0 later"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_LATER,
                                "smtp-4-3-0",
                                .slow = true },
                { SESSION(CONTENT, "451 4.3.0 the queue is full"),
                                CURLE_WEIRD_SERVER_REPLY,
                                SMTP_VERDICT_LATER,
                                "smtp-4-3-0",
                                .slow = true },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

static void what_is_only_the_recipients_counts_as_a_try(void **state) {
        const Expected expected[] = {
                { SESSION(RCPT, "452 4.2.2 the mailbox is full"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_FAILED,
                                "smtp-4-2-2" },
                { SESSION(RCPT, "450 4.1.2 no such domain for now"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_FAILED,
                                "smtp-4-1-2" },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

static void a_server_that_is_away_has_tried_nothing(void **state) {
        const Expected expected[] = {
                { SESSION("x"),
                                CURLE_COULDNT_CONNECT,
                                SMTP_VERDICT_LATER,
                                "connection-refused",
                                .down = true },
                { SESSION("x"),
                                CURLE_COULDNT_RESOLVE_HOST,
                                SMTP_VERDICT_LATER,
                                "host-not-found",
                                .down = true },
                { SESSION("220 x", "250 x", "220 x"),
                                CURLE_PEER_FAILED_VERIFICATION,
                                SMTP_VERDICT_LATER,
                                "certificate",
                                .down = true },
                { SESSION(HELLO),
                                CURLE_USE_SSL_FAILED,
                                SMTP_VERDICT_LATER,
                                "no-starttls",
                                .down = true },
                { SESSION("554 5.7.1 go away"),
                                CURLE_WEIRD_SERVER_REPLY,
                                SMTP_VERDICT_LATER,
                                "smtp-5-7-1",
                                .down = true },
                { SESSION("421 4.7.0 too many connections"),
                                CURLE_WEIRD_SERVER_REPLY,
                                SMTP_VERDICT_LATER,
                                "smtp-4-7-0",
                                .down = true,
                                .crowded = true },
                { SESSION(MAIL, "250 fine"),
                                CURLE_RECV_ERROR,
                                SMTP_VERDICT_LATER,
                                "connection-lost",
                                .down = true },
                { SESSION(RCPT),
                                CURLE_OPERATION_TIMEDOUT,
                                SMTP_VERDICT_LATER,
                                "timeout",
                                .down = true },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

/* Nobody knows whether it was taken: it was tried, and is repeated with the same bytes. */
static void a_session_that_breaks_after_the_content_was_a_try(void **state) {
        const Expected expected[] = {
                { SESSION(CONTENT), CURLE_RECV_ERROR, SMTP_VERDICT_FAILED, "connection-lost" },
                { SESSION(CONTENT), CURLE_OPERATION_TIMEDOUT, SMTP_VERDICT_FAILED, "timeout" },
                { SESSION(CONTENT), CURLE_SEND_ERROR, SMTP_VERDICT_FAILED, "connection-lost" },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

static void a_server_that_stumbles_over_rfc_3461_is_spared_it(void **state) {
        const Expected expected[] = {
                { SESSION(MAIL, "555 5.5.4 unsupported"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_FAILED,
                                "smtp-5-5-4",
                                .without_dsn = true },
                { SESSION(RCPT, "501 syntax"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_REFUSED,
                                "smtp-501",
                                .without_dsn = true },
                { SESSION(RCPT, "501 5.1.3 bad address"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_REFUSED,
                                "smtp-5-1-3" },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

static void a_connection_that_was_kept_and_had_ended_is_made_anew(void **state) {
        const struct {
                const char *const *lines;
                CURLcode code;
                bool reused, once_more;
        } cases[] = {
                { SESSION(""), CURLE_RECV_ERROR, true, true },
                { SESSION(""), CURLE_RECV_ERROR, false, false },
                { SESSION("", "421 4.4.2 idle"), CURLE_SEND_ERROR, true, true },
                { SESSION("", "421 4.4.2 idle"), CURLE_SEND_ERROR, false, false },
                { SESSION(RCPT, "421 4.4.2 x"), CURLE_SEND_ERROR, true, false },
                { SESSION(CONTENT), CURLE_RECV_ERROR, true, false },
                { SESSION(RCPT), CURLE_OPERATION_TIMEDOUT, true, false },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                SmtpTrace trace = follow(cases[i].lines);
                SmtpOutcome outcome;

                smtp_outcome(&trace, cases[i].code, cases[i].reused, &outcome);
                if (outcome.once_more != cases[i].once_more)
                        fail_msg("case %zu", i);
        }
}

static void the_last_greeting_says_what_is_offered(void **state) {
        SmtpTrace trace = follow(SESSION(HELLO));

        (void) state;
        assert_true(trace.offers_dsn);
        smtp_trace_begin(&trace, false);
        assert_true(trace.offers_dsn); /* the connection is the same */
        assert_false(follow(SESSION(HELLO, "220 x", "250 x")).offers_dsn);
        assert_false(follow(SESSION("220 x", "250-x", "250 DSNX")).offers_dsn);
        assert_false(follow(SESSION("220 x", "250 x", "", "250 DSN")).offers_dsn);
        assert_true(follow(SESSION("220 x", "250-x", "250 dsn\r\n")).offers_dsn);
}

static void utf8_is_offered_by_the_last_greeting_in_capitals(void **state) {
        (void) state;
        assert_true(follow(SESSION("220 x", "250-x", "250-SMTPUTF8\r\n", "250 DSN")).offers_utf8);
        assert_true(follow(SESSION("220 x", "250-x", "250 SMTPUTF8")).offers_utf8);
        assert_false(follow(SESSION("220 x", "250-x", "250 smtputf8")).offers_utf8);
        assert_false(follow(SESSION("220 x", "250-x", "250 SMTPUTF8X")).offers_utf8);
        assert_false(follow(SESSION("220 x", "250-x", "250 SMTPUTF")).offers_utf8);
        assert_false(follow(SESSION("220 x", "250-x", "550 SMTPUTF8")).offers_utf8);
        assert_false(follow(SESSION("220 x", "250 SMTPUTF8", "220 tls", "250 x")).offers_utf8);
        assert_true(follow(SESSION("220 x", "250 x", "220 tls", "250 SMTPUTF8")).offers_utf8);
        assert_false(follow(SESSION("220 x", "250 x", "", "250 SMTPUTF8")).offers_utf8);
}

/* What libcurl makes of it when the transfer is aborted. */
static SmtpOutcome outcome_of_utf8(SmtpTrace *trace, bool *ret_tried) {
        SmtpOutcome outcome;

        smtp_trace_begin(trace, true);
        *ret_tried = smtp_trace_connected(trace);
        smtp_outcome(trace, *ret_tried ? CURLE_OK : CURLE_ABORTED_BY_CALLBACK, true, &outcome);
        return outcome;
}

static void a_server_without_utf8_is_not_given_a_mail_that_needs_it(void **state) {
        SmtpTrace without = follow(SESSION(HELLO)), with = follow(SESSION("220 x", "250 SMTPUTF8"));
        SmtpOutcome outcome;
        bool tried;

        (void) state;
        outcome = outcome_of_utf8(&without, &tried);
        assert_false(tried);
        assert_int_equal(outcome.verdict, SMTP_VERDICT_REFUSED);
        assert_string_equal(outcome.reason, "smtputf8-not-offered");
        assert_false(outcome.down || outcome.slow || outcome.once_more || outcome.without_dsn);

        outcome = outcome_of_utf8(&with, &tried);
        assert_true(tried);
        assert_int_equal(outcome.verdict, SMTP_VERDICT_SENT);

        /* The next mail is judged for itself. */
        smtp_trace_begin(&without, false);
        assert_true(smtp_trace_connected(&without));
        smtp_outcome(&without, CURLE_OK, true, &outcome);
        assert_int_equal(outcome.verdict, SMTP_VERDICT_SENT);
}

static void a_server_that_refuses_utf8_refuses_the_recipient(void **state) {
        const Expected expected[] = {
                { SESSION(MAIL, "553 5.6.7 non-ASCII addresses not permitted"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_REFUSED,
                                "smtp-5-6-7" },
                { SESSION(RCPT, "550 5.6.7 SMTPUTF8 is required"),
                                CURLE_SEND_ERROR,
                                SMTP_VERDICT_REFUSED,
                                "smtp-5-6-7" },
                { SESSION(CONTENT, "554 5.6.9 cannot be transferred"),
                                CURLE_WEIRD_SERVER_REPLY,
                                SMTP_VERDICT_REFUSED,
                                "smtp-5-6-9" },
        };

        (void) state;
        assert_outcomes(expected, N_ELEMENTS(expected));
}

static void reports_about_an_address_in_utf8_are_asked_for_in_ascii(void **state) {
        char text[SMTP_COMMAND_SIZE];

        (void) state;
        assert_false(smtp_path_needs_utf8("b=o@xn--bcher-kva.example"));
        assert_true(smtp_path_needs_utf8("j\xc3\xbcrg@c"));
        smtp_write_recipient(OLD, false, "j\xc3\xbcrg@c", text);
        assert_string_equal(text, "<j\xc3\xbcrg@c>");
        smtp_write_recipient(OLD, true, "j\xc3\xbcrg+x=y@c", text);
        assert_string_equal(text,
                        "<j\xc3\xbcrg+x=y@c> NOTIFY=SUCCESS,FAILURE,DELAY "
                        "ORCPT=utf-8;<j\\x{FC}rg\\x{2B}x\\x{3D}y@c");
        smtp_write_recipient(NEW, true, "\xe7\x94\xa8\xf0\xa0\x80\x80@c", text);
        assert_string_equal(text,
                        "<\xe7\x94\xa8\xf0\xa0\x80\x80@c> NOTIFY=SUCCESS,FAILURE,DELAY "
                        "ORCPT=utf-8;\\x{7528}\\x{20000}@c");
}

static void reports_are_asked_for_in_words_that_both_libcurls_complete(void **state) {
        char text[SMTP_COMMAND_SIZE];

        (void) state;
        smtp_write_from(OLD, false, "a+b@c", "id", text);
        assert_string_equal(text, "<a+b@c>");
        smtp_write_from(OLD, true, "a+b@c", "i+d", text);
        assert_string_equal(text, "<a+b@c> RET=HDRS ENVID=<i+2Bd"); /* and ">" */
        smtp_write_from(NEW, true, "a+b@c", "i+d", text);
        assert_string_equal(text, "<a+b@c> RET=HDRS ENVID=i+2Bd");
        smtp_write_recipient(OLD, false, "b=o@c", text);
        assert_string_equal(text, "<b=o@c>");
        smtp_write_recipient(OLD, true, "b=o@c", text);
        assert_string_equal(text, "<b=o@c> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;<b+3Do@c");
        smtp_write_recipient(NEW, true, "b=o@c", text);
        assert_string_equal(text, "<b=o@c> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;b+3Do@c");
}

static void the_longest_address_is_whole(void **state) {
        char path[321], text[SMTP_COMMAND_SIZE];

        (void) state;
        memset(path, '+', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        smtp_write_recipient(NEW, true, path, text);
        assert_int_equal(strlen(strchr(text, ';') + 1), 3 * strlen(path));

        /* 64 octets that take six each, and 189 of a domain. */
        memcpy(path, "\xc3\xbc", 2);
        memset(path + 2, '+', 62);
        memset(path + 64, 'a', 190);
        path[64] = '@';
        path[254] = '\0';
        smtp_write_recipient(OLD, true, path, text);
        assert_int_equal(strlen(strchr(text, ';') + 1), 1 + 63 * 6 + 190);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_taken_is_sent),
                cmocka_unit_test(the_recipient_is_refused_for_ever),
                cmocka_unit_test(what_a_server_says_of_us_is_not_held_against_the_recipient),
                cmocka_unit_test(throttling_and_greylisting_count_as_no_try),
                cmocka_unit_test(what_is_only_the_recipients_counts_as_a_try),
                cmocka_unit_test(a_server_that_is_away_has_tried_nothing),
                cmocka_unit_test(a_session_that_breaks_after_the_content_was_a_try),
                cmocka_unit_test(a_server_that_stumbles_over_rfc_3461_is_spared_it),
                cmocka_unit_test(a_connection_that_was_kept_and_had_ended_is_made_anew),
                cmocka_unit_test(the_last_greeting_says_what_is_offered),
                cmocka_unit_test(reports_are_asked_for_in_words_that_both_libcurls_complete),
                cmocka_unit_test(the_longest_address_is_whole),
                cmocka_unit_test(utf8_is_offered_by_the_last_greeting_in_capitals),
                cmocka_unit_test(a_server_without_utf8_is_not_given_a_mail_that_needs_it),
                cmocka_unit_test(a_server_that_refuses_utf8_refuses_the_recipient),
                cmocka_unit_test(reports_about_an_address_in_utf8_are_asked_for_in_ascii),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
