/* What delivery reports say, what they do not, and what no person wrote. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "dsn.h"
#include "mail-automatic.h"

#define MESSAGE "Reporting-MTA: dns; mx.hotel.test\r\nOriginal-Envelope-Id: msg+5F01+2B\r\n\r\n"
#define RECIPIENT "Final-Recipient: rfc822; bob@Example.ORG\r\n"

static Dsn read_status(const char *text) {
        Dsn dsn = { 0 };

        assert_int_equal(dsn_read_status(text, strlen(text), &dsn), 0);
        return dsn;
}

static void assert_concluded(const char *text, DsnAction action, DsnClass class) {
        Dsn dsn = read_status(text);
        DsnAction got_action;
        DsnClass got_class;

        dsn_conclude(&dsn, &got_action, &got_class);
        if (got_action != action || got_class != class)
                fail_msg("%s %s: %s", dsn_action_name(got_action), dsn_class_name(got_class), text);
}

static void a_report_has_its_recipients_statuses_and_envelope(void **state) {
        Dsn dsn = read_status(MESSAGE RECIPIENT
                        "Original-Recipient: rfc822; b@a.test\r\nAction: Failed (x)\r\n"
                        "Status: 5.1.1 (no such user)\r\nDiagnostic-Code: smtp; 550\r\n "
                        "5.1.1\r\n\r\n" RECIPIENT
                        "Action: delayed\r\nStatus: 4.4.1\r\nWill-Retry-Until: x\r\n");

        (void) state;
        assert_string_equal(dsn.envelope, "msg_01+");
        assert_int_equal(dsn.n_recipients, 2);
        assert_int_equal(dsn.recipients[0].action, DSN_ACTION_FAILED);
        assert_int_equal(dsn.recipients[0].class, DSN_CLASS_PERMANENT);
        assert_string_equal(dsn.recipients[0].status, "5.1.1");
        assert_string_equal(dsn.recipients[0].address, "mailto:b@a.test");
        assert_int_equal(dsn.recipients[1].action, DSN_ACTION_DELAYED);
        assert_int_equal(dsn.recipients[1].class, DSN_CLASS_TEMPORARY);
        assert_string_equal(dsn.recipients[1].address, "mailto:bob@example.org");
}

static void the_worst_recipient_decides(void **state) {
        (void) state;
        assert_concluded(MESSAGE RECIPIENT "Action: failed\nStatus: 5.2.2\n",
                        DSN_ACTION_FAILED,
                        DSN_CLASS_PERMANENT);
        assert_concluded(MESSAGE RECIPIENT "Action: failed\nStatus: 4.4.7\n",
                        DSN_ACTION_FAILED,
                        DSN_CLASS_TEMPORARY);
        assert_concluded(MESSAGE RECIPIENT "Action: delivered\nStatus: 2.1.5\n\n" RECIPIENT
                                           "Action: failed\nStatus: 5.0.0\n",
                        DSN_ACTION_FAILED,
                        DSN_CLASS_PERMANENT);
        assert_concluded(MESSAGE RECIPIENT "Action: delivered\nStatus: 2.1.5\n\n" RECIPIENT
                                           "Action: delayed\nStatus: 4.0.0\n",
                        DSN_ACTION_DELAYED,
                        DSN_CLASS_TEMPORARY);
        assert_concluded(MESSAGE RECIPIENT "Action: relayed\nStatus: 2.0.0\n",
                        DSN_ACTION_RELAYED,
                        DSN_CLASS_SUCCESS);
}

static void success_is_never_guessed(void **state) {
        static const char *const fields[] = {
                "Action: delivered\n",
                "Action: delivered\nStatus: 5.1.1\n",
                "Action: delivered\nStatus: 2\n",
                "Action: delivered\nStatus: 2.0.0x\n",
                "Action: delivered\nStatus: 22.0.0\n",
                "Action: delivered\nStatus: 2.0.0\nStatus: 5.0.0\n",
                "Action: delivered\nAction: failed\nStatus: 2.0.0\n",
                "Action: deliveredish\nStatus: 2.0.0\n",
                "Action: ok\nStatus: 2.0.0\n",
                "Action:\nStatus: 2.0.0\n",
                "Action: failed\nStatus: 2.0.0\n",
                "Action: delayed\nStatus: 2.0.0\n",
        };
        char text[512];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(fields); i++) {
                DsnAction action;
                DsnClass class;
                Dsn dsn;

                (void) snprintf(text, sizeof(text), MESSAGE RECIPIENT "%s", fields[i]);
                dsn = read_status(text);
                dsn_conclude(&dsn, &action, &class);
                if (class == DSN_CLASS_SUCCESS || action >= DSN_ACTION_DELIVERED)
                        fail_msg("success: %s", fields[i]);
        }
}

static void a_report_without_recipients_is_none(void **state) {
        static const char *const texts[] = {
                "", MESSAGE, RECIPIENT, "\r\n", "no field", MESSAGE "no field\nAction: failed\n"
        };
        Dsn dsn = { 0 };
        DsnAction action;
        DsnClass class;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_int_equal(dsn_read_status(texts[i], strlen(texts[i]), &dsn), DSN_E_FORM);
        dsn_conclude(&dsn, &action, &class);
        assert_int_equal(action, DSN_ACTION_UNKNOWN);
        assert_int_equal(class, DSN_CLASS_UNKNOWN);
}

static void recipients_are_bounded(void **state) {
        char text[8192] = MESSAGE;
        Dsn dsn;

        (void) state;
        for (size_t i = 0; i < 60; i++)
                strcat(text, RECIPIENT "Action: failed\n\n");
        dsn = read_status(text);
        assert_int_equal(dsn.n_recipients, DSN_RECIPIENTS_MAX);
}

static void an_envelope_id_is_read_with_and_without_xtext(void **state) {
        static const struct {
                const char *written, *read;
        } ids[] = { { "keys+2Bb234.2", "keys+b234.2" },
                { "keys+b234.2", "keys+b234.2" }, /* as Postfix writes it */
                { "keys+3Db+2e", "keys=b+2e" },
                { "a+zz", "a+zz" },
                { "a+4", "a+4" },
                { "a+", "a+" },
                { "a+0Ab", "" },
                { "a\xff", "" } };
        char text[256];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(ids); i++) {
                Dsn dsn;

                (void) snprintf(text,
                                sizeof(text),
                                "Original-Envelope-Id: %s\n\nAction: failed\n",
                                ids[i].written);
                dsn = read_status(text);
                assert_string_equal(dsn.envelope, ids[i].read);
        }
}

static void the_returned_header_alone_names_the_message(void **state) {
        static const char *const broken[] = { "Message-ID: a@b\n",
                "Message-ID: <a\n",
                "Subject: x\n",
                "Message-ID: <a@b>\nMessage-ID: <c@d>\n",
                "Message-ID: <a b@c>\n",
                "" };
        const char *text = "Return-Path: <x@y>\r\nMESSAGE-ID:\r\n <m01j@hotel.test>\r\nbroken "
                           "line\r\n";
        Dsn dsn = { 0 };

        (void) state;
        assert_int_equal(dsn_read_returned(text, strlen(text), &dsn), 0);
        assert_string_equal(dsn.message_id, "m01j@hotel.test");
        for (size_t i = 0; i < N_ELEMENTS(broken); i++) {
                Dsn none = { 0 };

                assert_int_equal(dsn_read_returned(broken[i], strlen(broken[i]), &none), 0);
                assert_string_equal(none.message_id, "");
        }
}

static void servers_without_reports_are_known_by_their_words(void **state) {
        const char *qmail = "Hi. This is the qmail-send program at example.org.\nI'm afraid";
        const char *person = "Hi. I got your message, delivery was fine.";

        (void) state;
        assert_true(dsn_is_failure_text(qmail, strlen(qmail)));
        assert_false(dsn_is_failure_text(person, strlen(person)));
        assert_false(dsn_is_failure_text("", 0));
}

static void assert_automatic(const char *text, const char *path, MailAutomatic automatic) {
        MailHeader header;

        assert_int_equal(mail_header_split(text, strlen(text), &header), 0);
        if (mail_automatic(&header, path) != automatic)
                fail_msg("%s: %s", mail_automatic_name(mail_automatic(&header, path)), text);
        mail_header_done(&header);
}

static void machines_are_told_from_people(void **state) {
        (void) state;
        assert_automatic("From: bob@a.test\n", "bob@a.test", MAIL_AUTOMATIC_NO);
        assert_automatic("From: bob@a.test\nAuto-Submitted: no\n", NULL, MAIL_AUTOMATIC_NO);
        assert_automatic(
                        "From: bob@a.test\nAuto-Submitted: NO (x); a=b\n", NULL, MAIL_AUTOMATIC_NO);
        assert_automatic("From: bob@a.test\nReturn-Path: <bob@a.test>\n", NULL, MAIL_AUTOMATIC_NO);
        assert_automatic("From: bob@a.test\nPrecedence: first-class\n", NULL, MAIL_AUTOMATIC_NO);
        assert_automatic("From: bob@a.test\n", "", MAIL_AUTOMATIC_EMPTY_PATH);
        assert_automatic("Return-Path: <>\nFrom: bob@a.test\n", NULL, MAIL_AUTOMATIC_EMPTY_PATH);
        assert_automatic("auto-submitted: auto-replied\n", "x", MAIL_AUTOMATIC_AUTO_SUBMITTED);
        assert_automatic("Auto-Submitted:\n (no) auto-generated\n",
                        "x",
                        MAIL_AUTOMATIC_AUTO_SUBMITTED);
        assert_automatic("Auto-Submitted: no\nAuto-Submitted: yes\n",
                        "x",
                        MAIL_AUTOMATIC_AUTO_SUBMITTED);
        assert_automatic("Auto-Submitted: nonsense\n", "x", MAIL_AUTOMATIC_AUTO_SUBMITTED);
        assert_automatic("Precedence: Bulk\n", "x", MAIL_AUTOMATIC_PRECEDENCE);
        assert_automatic("Precedence: auto_reply\n", "x", MAIL_AUTOMATIC_PRECEDENCE);
        assert_automatic("List-Unsubscribe: <x>\n", "x", MAIL_AUTOMATIC_LIST);
        assert_automatic("X-Auto-Response-Suppress: All\n", "x", MAIL_AUTOMATIC_RESPONDER);
        assert_automatic("X-Autoreply: yes\n", "x", MAIL_AUTOMATIC_RESPONDER);
        assert_automatic("From: Mail <MAILER-DAEMON@a.test>\n", "x", MAIL_AUTOMATIC_DAEMON);
        assert_automatic("From: MAILER-DAEMON (Mail Delivery)\n", "x", MAIL_AUTOMATIC_DAEMON);
        assert_automatic("From: bob@a.test\n", "mailer-daemon@a.test", MAIL_AUTOMATIC_DAEMON);
        assert_automatic("Content-Type: multipart/report; x=y\n", "x", MAIL_AUTOMATIC_REPORT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_report_has_its_recipients_statuses_and_envelope),
                cmocka_unit_test(the_worst_recipient_decides),
                cmocka_unit_test(success_is_never_guessed),
                cmocka_unit_test(a_report_without_recipients_is_none),
                cmocka_unit_test(recipients_are_bounded),
                cmocka_unit_test(an_envelope_id_is_read_with_and_without_xtext),
                cmocka_unit_test(the_returned_header_alone_names_the_message),
                cmocka_unit_test(servers_without_reports_are_known_by_their_words),
                cmocka_unit_test(machines_are_told_from_people),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
