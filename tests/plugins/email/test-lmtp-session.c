/* Conversations over LMTP: what is answered, and which mails come out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lmtp-session.h"

#define HELLO "LHLO c.test\r\n"
#define MAIL "MAIL FROM:<a@b.test>\r\n"
#define TO(x) "RCPT TO:<" x "@h.test>\r\n"
#define SIZE_MAX_HERE 1000

typedef struct Run {
        LmtpSession *session;
        char said[16384], mails[65536]; /* answers; and mails, one behind another, each with "|" */
        size_t n_said, n_mails, n_mail_events;
        bool closed, hold;
} Run;

static void collect(Run *run) {
        const char *text;
        size_t size;

        lmtp_session_output(run->session, &text, &size);
        assert_true(run->n_said + size < sizeof(run->said));
        memcpy(run->said + run->n_said, text, size);
        run->said[run->n_said += size] = '\0';
        lmtp_session_written(run->session, size);
}

/* no@ is refused, later@ is not now; mails are taken, but for the recipients bad@ and wait@. */
static LmtpAnswer answer_for(const char *path) {
        if (strncmp(path, "no@", 3) == 0 || strncmp(path, "bad@", 4) == 0)
                return LMTP_ANSWER_REFUSED;
        return strncmp(path, "later@", 6) == 0 || strncmp(path, "wait@", 5) == 0
                               ? LMTP_ANSWER_LATER
                               : LMTP_ANSWER_TAKEN;
}

static void take_mail(Run *run, const LmtpEvent *event) {
        run->n_mail_events++;
        assert_true(run->n_mails + event->size + 1 < sizeof(run->mails));
        memcpy(run->mails + run->n_mails, event->data, event->size);
        run->n_mails += event->size;
        run->mails[run->n_mails++] = '|';
        run->mails[run->n_mails] = '\0';
        for (size_t n = event->n_recipients, i = n; i > 0; i--)
                lmtp_session_answer_mail(run->session, i - 1, answer_for(event->recipients[i - 1]));
}

static void serve(Run *run) {
        LmtpEvent event;

        for (;;) {
                assert_int_equal(lmtp_session_next(run->session, &event), 0);
                if (event.kind == LMTP_EVENT_RECIPIENT) {
                        LmtpAnswer answer = answer_for(event.recipient);

                        lmtp_session_answer_recipient(run->session,
                                        strncmp(event.recipient, "no@", 3) == 0 ||
                                                                        strncmp(event.recipient,
                                                                                        "later@",
                                                                                        6) == 0
                                                        ? answer
                                                        : LMTP_ANSWER_TAKEN);
                } else if (event.kind == LMTP_EVENT_MAIL && !run->hold)
                        take_mail(run, &event);
                else {
                        collect(run);
                        run->closed = event.kind == LMTP_EVENT_CLOSE;
                        return;
                }
        }
}

static void send_bytes(Run *run, const char *text, size_t size) {
        while (size > 0) {
                size_t n = lmtp_session_push(run->session, text, size);

                serve(run);
                if (n == 0)
                        return; /* it has ended */
                text += n;
                size -= n;
        }
}

static Run *begin(void) {
        static Run run;

        run = (Run){ 0 };
        assert_int_equal(lmtp_session_new("mx.hotel.test", SIZE_MAX_HERE, &run.session), 0);
        serve(&run);
        return &run;
}

static void end(Run *run) {
        run->session = lmtp_session_free(run->session);
}

/* The codes of all answers' last lines, such as "220 250 354". */
static const char *codes(const Run *run) {
        static char text[16384];
        size_t n = 0;

        text[0] = '\0';
        for (const char *p = run->said; *p; p = strstr(p, "\r\n") + 2)
                if (p[3] != '-')
                        n += (size_t) sprintf(text + n, "%s%.3s", n ? " " : "", p);
        return text;
}

static void assert_run(const char *text, const char *expected, const char *mails) {
        Run *run = begin();

        send_bytes(run, text, strlen(text));
        if (strcmp(codes(run), expected) != 0)
                fail_msg("\"%s\" instead of \"%s\": %s", codes(run), expected, text);
        assert_string_equal(run->mails, mails);
        end(run);
}

static void a_mail_is_answered_for_each_recipient(void **state) {
        Run *run = begin();
        const char *text = HELLO MAIL TO("x") TO("no") TO("later") TO("wait")
                        TO("bad") "DATA\r\nA: b\r\n\r\nc\r\n.\r\nQUIT\r\n";

        (void) state;
        send_bytes(run, text, strlen(text));
        assert_string_equal(codes(run), "220 250 250 250 550 451 250 250 354 250 451 550 221");
        assert_string_equal(run->mails, "A: b\r\n\r\nc\r\n|");
        assert_true(run->closed);
        assert_non_null(strstr(run->said,
                        "250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
                        "250-ENHANCEDSTATUSCODES\r\n250 SIZE 1000\r\n"));
        end(run);
}

static void it_matters_not_how_the_octets_are_cut(void **state) {
        const char *text = HELLO MAIL TO("x") "DATA\r\n..a\r\n.b\r\n.\r\n" MAIL TO("y")
                        TO("no") "DATA\r\n.\r\nQUIT\r\n";

        (void) state;
        for (size_t step = 1; step < 12; step++) {
                Run *run = begin();

                for (size_t at = 0; at < strlen(text); at += step)
                        send_bytes(run,
                                        text + at,
                                        strlen(text) - at < step ? strlen(text) - at : step);
                assert_string_equal(codes(run), "220 250 250 250 354 250 250 250 550 354 250 221");
                assert_string_equal(run->mails, ".a\r\nb\r\n||");
                end(run);
        }
}

static void a_mail_for_nobody_does_not_exist(void **state) {
        (void) state;
        assert_run(HELLO MAIL TO("no") "DATA\r\n", "220 250 250 550 503", "");
        /* The other side must not send it now; if it does, these are commands, and wrong ones. */
        assert_run(HELLO MAIL TO("no") "DATA\r\nX: y\r\n.\r\nRSET\r\n" MAIL,
                        "220 250 250 550 503 500 500 250 250",
                        "");
}

static void commands_in_a_wrong_order_are_503(void **state) {
        (void) state;
        assert_run(MAIL, "220 503", "");
        assert_run(TO("x"), "220 503", "");
        assert_run("DATA\r\n", "220 503", "");
        assert_run(HELLO TO("x"), "220 250 503", "");
        assert_run(HELLO "DATA\r\n", "220 250 503", "");
        assert_run(HELLO MAIL MAIL, "220 250 250 503", "");
        assert_run(HELLO MAIL "DATA\r\n", "220 250 250 503", "");
        assert_run(HELLO MAIL TO("x") "RSET\r\nDATA\r\n", "220 250 250 250 250 503", "");
        assert_run(HELLO MAIL TO("x") HELLO "DATA\r\n", "220 250 250 250 250 503", "");
        assert_run("EHLO x\r\nHELO x\r\nLHLO\r\nLHLO  \r\n", "220 500 500 501 501", "");
        assert_run("noop\r\nVRFY x\r\nBDAT 1 LAST\r\nSTARTTLS\r\n", "220 250 252 500 500", "");
        assert_run(HELLO "DATA x\r\nRSET x\r\n", "220 250 501 501", "");
}

static void paths_and_parameters_are_checked(void **state) {
        static const struct {
                const char *command, *code;
        } cases[] = {
                { "MAIL FROM:<>", "250" },
                { "mail from: <a@b.test> BODY=8BITMIME SIZE=1000", "250" },
                { "MAIL FROM:<\"a b>\"@c.test>", "250" },
                { "MAIL FROM:<\xc3\xbc@b.test> SMTPUTF8", "250" },
                { "MAIL FROM:<\xc3\xbc@b.test>", "553" },
                { "MAIL FROM:<\xff@b.test> SMTPUTF8", "553" },
                { "MAIL FROM:<a@b.test> SIZE=1001", "552" },
                { "MAIL FROM:<a@b.test> SIZE=99999999999999999999999", "501" },
                { "MAIL FROM:<a@b.test> SIZE=", "501" },
                { "MAIL FROM:<a@b.test> RET=HDRS", "555" },
                { "MAIL FROM:a@b.test", "501" },
                { "MAIL FROM:<a@b.test", "501" },
                { "MAIL FROM:<a@b.test>x", "501" },
                { "MAIL FROM:<@x:a@b.test>", "501" },
                { "MAIL FROM:<a b@c.test>", "501" },
                { "MAIL FROM:<a>", "501" },
                { "MAIL FROM:<<a@b>>", "501" },
                { "MAIL TO:<a@b>", "501" },
        };
        char text[256], expected[64];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                (void) snprintf(text, sizeof(text), HELLO "%s\r\n", cases[i].command);
                (void) snprintf(expected, sizeof(expected), "220 250 %s", cases[i].code);
                assert_run(text, expected, "");
        }
        assert_run(HELLO MAIL "RCPT TO:<>\r\nRCPT TO:<x@y> NOTIFY=NEVER\r\nRCPT TO:<x>\r\nRCPT "
                              "FROM:<x@y>\r\n"
                              "RCPT TO:<Postmaster>\r\nRCPT TO:<\xc3\xbc@y>\r\n",
                        "220 250 250 501 555 501 501 250 553",
                        "");
}

static void only_crlf_dot_crlf_ends_a_mail(void **state) {
        static const char *const ends[] = { "\n.\n",
                "\n.\r\n",
                "\r.\r",
                "\r.\r\n",
                "\r\n.\n",
                "\r\n.\r",
                "\n\r\n.\n",
                "\r\r\n.\r\r\n" };
        char text[512];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(ends); i++) {
                (void) snprintf(text,
                                sizeof(text),
                                HELLO MAIL TO("x") TO("y") "DATA\r\nA: b\r\n\r\nc%s" MAIL TO(
                                                "z") "DATA\r\nsmuggled\r\n.\r\nNOOP\r\n",
                                ends[i]);
                assert_run(text, "220 250 250 250 250 354 554 554 250", "");
        }
        assert_run(HELLO MAIL TO("x") "DATA\r\n.\r\n", "220 250 250 250 354 250", "|");
}

static void a_line_feed_alone_ends_no_command(void **state) {
        (void) state;
        assert_run("LHLO x\nMAIL FROM:<a@b.test>\r\nNOOP\r\n", "220 500 250", "");
        assert_run("NOOP\rNOOP\r\n", "220 500", "");
        assert_run("NOOP\n", "220", "");
}

static void a_mail_with_nul_or_too_long_lines_is_refused(void **state) {
        static char line[LMTP_LINE_MAX];
        Run *run = begin();
        const char *start = HELLO MAIL TO("x") "DATA\r\n";

        (void) state;
        send_bytes(run, start, strlen(start));
        send_bytes(run, "a\0b\r\n.\r\nNOOP\r\n", 14);
        assert_string_equal(codes(run), "220 250 250 250 354 554 250");
        assert_int_equal(run->n_mail_events, 0);
        end(run);

        memset(line, 'x', sizeof(line));
        run = begin();
        send_bytes(run, start, strlen(start));
        for (size_t i = 0; i < 20; i++)
                send_bytes(run, line, sizeof(line));
        send_bytes(run, "\r\n.\r\nNOOP\r\n", 11);
        assert_string_equal(codes(run), "220 250 250 250 354 554 250");
        end(run);
}

static void a_mail_beyond_the_size_is_refused_and_not_kept(void **state) {
        char text[2048] = HELLO MAIL TO("x") "DATA\r\n";
        size_t start = strlen(text);

        (void) state;
        memset(text + start, 'x', SIZE_MAX_HERE - 2);
        strcpy(text + start + SIZE_MAX_HERE - 2, "\r\n.\r\n");
        {
                Run *run = begin();

                send_bytes(run, text, strlen(text));
                assert_string_equal(codes(run), "220 250 250 250 354 250");
                assert_int_equal(run->n_mails, SIZE_MAX_HERE + 1);
                end(run);
        }
        strcpy(text + start + SIZE_MAX_HERE - 2, "x\r\n.\r\n");
        assert_run(text, "220 250 250 250 354 552", "");
}

static void a_command_that_is_too_long_is_one_mistake(void **state) {
        Run *run = begin();
        char line[3 * LMTP_COMMAND_MAX];

        (void) state;
        memset(line, 'x', sizeof(line));
        for (size_t i = 0; i < sizeof(line); i += 64)
                send_bytes(run, line + i, 64);
        send_bytes(run, "\r\nNOOP\r\n", 8);
        assert_string_equal(codes(run), "220 500 250");
        end(run);

        run = begin(); /* with its end in the same piece */
        memcpy(line + sizeof(line) - 2, "\r\n", 2);
        send_bytes(run, line, sizeof(line));
        send_bytes(run, "NOOP\r\n", 6);
        assert_string_equal(codes(run), "220 500 250");
        end(run);
}

static void abuse_ends_the_connection(void **state) {
        Run *run = begin();

        (void) state;
        for (size_t i = 0; i <= LMTP_MISTAKES_MAX; i++) {
                assert_false(run->closed);
                send_bytes(run, "X\r\n", 3);
        }
        assert_true(run->closed);
        assert_non_null(strstr(run->said, "421 4.7.0 Too many mistakes\r\n"));
        assert_int_equal(lmtp_session_push(run->session, "NOOP\r\n", 6), 0);
        end(run);

        run = begin();
        for (size_t i = 0; i < LMTP_IDLE_COMMANDS_MAX; i++)
                send_bytes(run, "NOOP\r\n", 6), run->n_said = 0;
        assert_false(run->closed);
        send_bytes(run, "NOOP\r\n", 6);
        assert_true(run->closed);
        end(run);
}

static void recipients_are_bounded(void **state) {
        Run *run = begin();
        const char *more = TO("x");

        (void) state;
        send_bytes(run, HELLO MAIL, strlen(HELLO MAIL));
        for (size_t i = 0; i < LMTP_RECIPIENTS_MAX; i++)
                send_bytes(run, more, strlen(more));
        assert_null(strstr(run->said, "452"));
        send_bytes(run, more, strlen(more));
        assert_non_null(strstr(run->said, "452 4.5.3"));
        run->n_said = 0;
        send_bytes(run, "DATA\r\nx\r\n.\r\n", 12);
        assert_int_equal(strlen(codes(run)), 3 + 4 * LMTP_RECIPIENTS_MAX);
        end(run);
}

static void nothing_is_read_while_a_decision_is_open(void **state) {
        Run *run = begin();
        const char *text = HELLO MAIL TO("x") "DATA\r\none\r\n.\r\n" MAIL TO(
                        "y") "DATA\r\ntwo\r\n.\r\n";
        LmtpEvent event;

        (void) state;
        run->hold = true;
        send_bytes(run, text, strlen(text));
        assert_string_equal(codes(run), "220 250 250 250 354");
        assert_int_equal(lmtp_session_next(run->session, &event), 0);
        assert_int_equal(event.kind, LMTP_EVENT_MAIL);
        assert_string_equal(event.path, "a@b.test");
        assert_memory_equal(event.data, "one\r\n", event.size);
        run->hold = false;
        serve(run);
        assert_string_equal(codes(run), "220 250 250 250 354 250 250 250 354 250");
        assert_string_equal(run->mails, "one\r\n|two\r\n|");
        end(run);
}

static void output_that_nobody_reads_stops_the_input(void **state) {
        LmtpSession *session = NULL;
        char flood[6 * 1024];
        LmtpEvent event;
        const char *text;
        size_t size = 0, pushed = 0;

        (void) state;
        for (size_t i = 0; i < sizeof(flood); i += 6)
                memcpy(flood + i, "NOOP\r\n", 6);
        assert_int_equal(lmtp_session_new("mx", SIZE_MAX_HERE, &session), 0);
        for (size_t i = 0; i < 100; i++) {
                pushed += lmtp_session_push(session, flood, sizeof(flood));
                assert_int_equal(lmtp_session_next(session, &event), 0);
        }
        lmtp_session_output(session, &text, &size);
        assert_true(size < 70 * 1024 && pushed < 2 * LMTP_INPUT_MAX);
        lmtp_session_free(session);
}

static void a_cut_connection_leaves_nothing(void **state) {
        const char *text = HELLO MAIL TO("x") "DATA\r\nhalf a mail\r\n.\r";

        (void) state;
        for (size_t n = 0; n <= strlen(text); n++) {
                Run *run = begin();

                send_bytes(run, text, n);
                assert_int_equal(run->n_mail_events, 0);
                end(run);
        }
}

static void the_caller_can_end_it_at_any_point(void **state) {
        const char *text = HELLO MAIL TO("x") "DATA\r\nhalf";
        Run *run = begin();

        (void) state;
        send_bytes(run, text, strlen(text));
        lmtp_session_end(run->session);
        serve(run);
        assert_true(run->closed);
        assert_string_equal(codes(run), "220 250 250 250 354 421");
        end(run);
}

static void a_host_that_is_no_word_is_refused(void **state) {
        static const char *const hosts[] = { "", "a b", "a\r\n250 x", "\xc3\xbc" };
        LmtpSession *session = NULL;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(hosts); i++)
                assert_int_equal(lmtp_session_new(hosts[i], 1, &session), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_mail_is_answered_for_each_recipient),
                cmocka_unit_test(it_matters_not_how_the_octets_are_cut),
                cmocka_unit_test(a_mail_for_nobody_does_not_exist),
                cmocka_unit_test(commands_in_a_wrong_order_are_503),
                cmocka_unit_test(paths_and_parameters_are_checked),
                cmocka_unit_test(only_crlf_dot_crlf_ends_a_mail),
                cmocka_unit_test(a_line_feed_alone_ends_no_command),
                cmocka_unit_test(a_mail_with_nul_or_too_long_lines_is_refused),
                cmocka_unit_test(a_mail_beyond_the_size_is_refused_and_not_kept),
                cmocka_unit_test(a_command_that_is_too_long_is_one_mistake),
                cmocka_unit_test(abuse_ends_the_connection),
                cmocka_unit_test(recipients_are_bounded),
                cmocka_unit_test(nothing_is_read_while_a_decision_is_open),
                cmocka_unit_test(output_that_nobody_reads_stops_the_input),
                cmocka_unit_test(a_cut_connection_leaves_nothing),
                cmocka_unit_test(the_caller_can_end_it_at_any_point),
                cmocka_unit_test(a_host_that_is_no_word_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
