/* What Kannel says, as values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "driver-kannel-message.h"

static HttpValues values;
static KannelInbound in;

static int read_inbound(const char *query, const char *country_code) {
        kannel_inbound_done(&in);
        http_values_done(&values);
        assert_int_equal(http_values_read(query, strlen(query), &values), 0);
        return kannel_inbound_read(&values, country_code, &in);
}

static int read_report(const char *query, KannelReport *ret) {
        http_values_done(&values);
        assert_int_equal(http_values_read(query, strlen(query), &values), 0);
        return kannel_report_read(&values, ret);
}

static void answers_of_sendsms_are_told_apart(void **state) {
        static const struct {
                int status;
                const char *body;
                SmsSendOutcome outcome;
                const char *reason;
                bool is_down;
        } cases[] = {
                { 202, "0: Accepted for delivery", SMS_SEND_TAKEN, NULL, false },
                { 202, "3: Queued for later delivery", SMS_SEND_TAKEN, NULL, false },
                { 403, "Authorization failed for sendsms", SMS_SEND_LATER, "login-refused", true },
                { 403, "Not routable. Do not try again.", SMS_SEND_REFUSED, "not-routable", false },
                { 503, "Temporal failure, try again later.", SMS_SEND_LATER, "queue-full", false },
                { 500, "Sending failed.", SMS_SEND_FAILED, "carrier-error", false },
                { 404, "Unknown request.", SMS_SEND_LATER, "url-not-found", true },
                { 400,
                                "Number(s) has/have been denied by white- and/or black-lists.",
                                SMS_SEND_REFUSED,
                                "number-denied",
                                false },
                { 400, "Missing receiver number, rejected", SMS_SEND_REFUSED, "refused", false },
                { 502, "", SMS_SEND_FAILED, "carrier-error", false },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                KannelVerdict verdict = kannel_verdict(cases[i].status, cases[i].body);

                assert_int_equal(verdict.outcome, cases[i].outcome);
                assert_int_equal(verdict.is_down, cases[i].is_down);
                if (cases[i].reason)
                        assert_string_equal(verdict.reason, cases[i].reason);
                else
                        assert_null(verdict.reason);
        }
}

static void a_probe_with_the_right_password_says_so(void **state) {
        (void) state;
        assert_true(kannel_verdict(400, "Missing receiver number, rejected").is_login);
        assert_false(kannel_verdict(403, "Authorization failed for sendsms").is_login);
        assert_false(kannel_verdict(500, "").is_login);
}

static void a_whole_text_is_its_utf_8(void **state) {
        (void) state;
        assert_int_equal(read_inbound("from=%2B4915112345678&to=123&text=Gr%C3%BC%C3%9Fe+1%2B1&"
                                      "coding=0&charset=UTF-8&udh=&id=abc-1&ts=1700000000",
                                         NULL),
                        0);
        assert_string_equal(in.from, "+4915112345678");
        assert_string_equal(in.to, "123");
        assert_string_equal(in.id, "abc-1");
        assert_string_equal(in.text,
                        "Gr\xc3\xbc\xc3\x9f"
                        "e 1+1");
        assert_int_equal(in.sent, 1700000000);
        assert_int_equal(in.concat.kind, SMS_CONCAT_NONE);
}

static void a_part_is_octets_in_utf_16_whatever_it_came_in(void **state) {
        (void) state;
        assert_int_equal(read_inbound("from=4915112345678&text=%E2%82%ACa&coding=0&"
                                      "udh=%05%00%03%07%02%01",
                                         NULL),
                        0);
        assert_null(in.text);
        assert_int_equal(in.concat.kind, SMS_CONCAT_8);
        assert_int_equal(in.concat.reference, 7);
        assert_int_equal(in.concat.total, 2);
        assert_int_equal(in.concat.part, 1);
        assert_int_equal(in.octets.alphabet, SMS_UCS2);
        assert_int_equal(in.octets.size, 4);
        assert_memory_equal(in.octets.data, "\x20\xac\0a", 4);
        assert_null(in.id);
        assert_int_equal(in.sent, 0);

        assert_int_equal(read_inbound("from=4915112345678&text=%D8%3D%DD%11&coding=2&"
                                      "udh=%06%08%04%01%02%03%03",
                                         NULL),
                        0);
        assert_int_equal(in.concat.kind, SMS_CONCAT_16);
        assert_int_equal(in.concat.reference, 0x0102);
        assert_int_equal(in.octets.alphabet, SMS_UCS2);
        assert_memory_equal(in.octets.data, "\xd8\x3d\xdd\x11", 4);
}

static void what_is_no_utf_8_is_latin_1(void **state) {
        (void) state;
        assert_int_equal(read_inbound("from=4915112345678&text=Stra%DFe&coding=0", NULL), 0);
        assert_null(in.text);
        assert_int_equal(in.octets.alphabet, SMS_LATIN1);
        assert_int_equal(in.octets.size, 6);
        assert_int_equal(read_inbound("from=4915112345678&text=abc&coding=1", NULL), 0);
        assert_int_equal(in.octets.alphabet, SMS_LATIN1);
        assert_int_equal(read_inbound("from=4915112345678&text=a%00b&coding=0", NULL), 0);
        assert_null(in.text);
        assert_int_equal(in.octets.size, 6);
}

static void senders_are_numbers_or_refused(void **state) {
        static const struct {
                const char *query, *country_code, *number;
        } cases[] = {
                { "from=%2B4915112345678&text=x&coding=0", NULL, "+4915112345678" },
                { "from=4915112345678&text=x&coding=0", NULL, "+4915112345678" },
                { "from=004915112345678&text=x&coding=0", NULL, "+4915112345678" },
                { "from=015112345678&text=x&coding=0", "49", "+4915112345678" },
                { "from=004315112345678&text=x&coding=0", "49", "+4315112345678" },
                { "from=4315112345678&text=x&coding=0", "49", "+4315112345678" },
                { "from=015112345678&text=x&coding=0", NULL, NULL },
                { "from=Adler&text=x&coding=0", "49", NULL },
                { "from=12345&text=x&coding=0", NULL, NULL },
                { "from=&text=x&coding=0", NULL, NULL },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                int r = read_inbound(cases[i].query, cases[i].country_code);

                if (!cases[i].number) {
                        assert_int_equal(r, KANNEL_E_SENDER);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_string_equal(in.from, cases[i].number);
        }
}

static void what_is_missing_or_cannot_be_is_refused(void **state) {
        static const char *const bad[] = {
                "text=x&coding=0",
                "from=4915112345678&coding=0",
                "from=4915112345678&text=x",
                "from=4915112345678&text=x&coding=",
                "from=4915112345678&text=x&coding=3",
                "from=4915112345678&text=x&coding=-1",
                "from=4915112345678&text=x&coding=0&coding=0",
                "from=4915112345678&text=x&coding=0&udh=%09%00%03",
        };
        static const char long_id[] = "from=4915112345678&text=x&coding=0&id="
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                      "aaaaaaaa";

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(read_inbound(bad[i], NULL), KANNEL_E_FORM);
        assert_int_equal(read_inbound(long_id, NULL), KANNEL_E_FORM);
        assert_int_equal(read_inbound("from=4915112345678&text=%01%06&coding=1&"
                                      "udh=%06%05%04%0B%84%23%F0",
                                         NULL),
                        KANNEL_E_BINARY);
}

static void reports_are_read(void **state) {
        static const struct {
                const char *query;
                SmppOutcome outcome;
                const char *error;
        } cases[] = {
                { "message=m&segment=2&type=1", SMPP_OUTCOME_DELIVERED, "" },
                { "message=m&segment=2&type=2", SMPP_OUTCOME_FAILED, "" },
                { "message=m&segment=2&type=4", SMPP_OUTCOME_ACCEPTED, "" },
                { "message=m&segment=2&type=8&text=ACK%2F", SMPP_OUTCOME_ACCEPTED, "" },
                { "message=m&segment=2&type=16&text=NACK%2Ffoo", SMPP_OUTCOME_REJECTED, "" },
                { "message=m&segment=2&type=32", SMPP_OUTCOME_UNKNOWN, "" },
                { "message=m&segment=2&type=2&text=id%3A7+stat%3AEXPIRED+err%3A027",
                                SMPP_OUTCOME_EXPIRED,
                                "027" },
                { "message=m&segment=2&type=2&text=id%3A7+stat%3AUNDELIV+err%3A001",
                                SMPP_OUTCOME_FAILED,
                                "001" },
                /* Whatever the text says, Kannel's own word comes first. */
                { "message=m&segment=2&type=2&text=id%3A7+stat%3ADELIVRD+err%3A000",
                                SMPP_OUTCOME_FAILED,
                                "000" },
        };
        static const char *const bad[] = { "",
                "message=m&segment=1",
                "message=m&type=1",
                "segment=1&type=1",
                "message=&segment=1&type=1",
                "message=m&segment=255&type=1",
                "message=m&segment=x&type=1",
                "message=m&segment=1&type=999" };
        KannelReport report;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                assert_int_equal(read_report(cases[i].query, &report), 0);
                assert_string_equal(report.message, "m");
                assert_int_equal(report.segment, 2);
                assert_int_equal(report.outcome, cases[i].outcome);
                assert_string_equal(report.error, cases[i].error);
                assert_int_equal(report.repeat, 0);
        }
        assert_int_equal(read_report("message=m&segment=0&repeat=7&type=1", &report), 0);
        assert_int_equal(report.repeat, 7);
        assert_int_equal(read_report("message=m&segment=0&repeat=x&type=1", &report), 0);
        assert_int_equal(report.repeat, 0);
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(read_report(bad[i], &report), KANNEL_E_FORM);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_of_sendsms_are_told_apart),
                cmocka_unit_test(a_probe_with_the_right_password_says_so),
                cmocka_unit_test(a_whole_text_is_its_utf_8),
                cmocka_unit_test(a_part_is_octets_in_utf_16_whatever_it_came_in),
                cmocka_unit_test(what_is_no_utf_8_is_latin_1),
                cmocka_unit_test(senders_are_numbers_or_refused),
                cmocka_unit_test(what_is_missing_or_cannot_be_is_refused),
                cmocka_unit_test(reports_are_read),
        };
        int failed = cmocka_run_group_tests(tests, NULL, NULL);

        kannel_inbound_done(&in);
        http_values_done(&values);
        return failed;
}
