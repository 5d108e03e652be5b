/* What is said to and by a carrier with a messaging API, as values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "driver-rest-message.h"

static HttpValues form;

static void read_form(const char *text) {
        http_values_done(&form);
        assert_int_equal(http_values_read(text, strlen(text), &form), 0);
}

/* The example of Twilio's page "Webhooks Security". */
static void the_documented_signature_is_made(void **state) {
        static const char url[] = "https://mycompany.com/myapp.php?foo=1&bar=2", token[] = "12345";
        static const char expected[] = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        char signature[REST_SIGNATURE_SIZE];

        (void) state;
        read_form("To=%2B18005551212&Digits=1234&CallSid=CA1234567890ABCDE&"
                  "From=%2B14158675309&Caller=%2B14158675309");
        rest_signature(token, 5, url, &form, signature);
        assert_string_equal(signature, expected);
        assert_true(rest_signature_is_good(expected, token, 5, url, &form));
        assert_false(rest_signature_is_good(expected, "12346", 5, url, &form));
        assert_false(rest_signature_is_good(
                        expected, token, 5, "https://mycompany.com/myapp.php", &form));
        assert_false(rest_signature_is_good("RSOYDt4T1cUTdK1PDd93/VVr8B8", token, 5, url, &form));
        assert_false(rest_signature_is_good("RSOYDt4T1cUTdK1PDd93/VVr8B9=", token, 5, url, &form));
        assert_false(rest_signature_is_good("", token, 5, url, &form));
        assert_false(rest_signature_is_good(NULL, token, 5, url, &form));
}

static void names_are_sorted_as_bytes(void **state) {
        char a[REST_SIGNATURE_SIZE], b[REST_SIGNATURE_SIZE];

        (void) state;
        read_form("b=2&B=1&a=4&ab=3");
        rest_signature("k", 1, "u", &form, a);
        read_form("ab=3&a=4&B=1&b=2");
        rest_signature("k", 1, "u", &form, b);
        assert_string_equal(a, b);
        read_form("ab=4&a=3&B=1&b=2");
        rest_signature("k", 1, "u", &form, b);
        assert_string_not_equal(a, b);
}

static void assert_form(const SmsOutbound *outbound, const char *expected) {
        _cleanup_(freep) char *text = NULL;
        size_t size;

        assert_int_equal(rest_form_write(outbound, "https://x/s?m=1", 1000, &text, &size), 0);
        assert_int_equal(size, strlen(expected));
        assert_memory_equal(text, expected, size);
}

static void a_message_is_a_form(void **state) {
        SmsOutbound outbound = {
                .to = "+49151", .from = "Hotel Adler", .text = "1+1=2 & 100%\n\xc3\xbc", .size = 15
        };

        (void) state;
        outbound.expires = 1090;
        assert_form(&outbound,
                        "To=%2B49151&From=Hotel%20Adler&Body=1%2B1%3D2%20%26%20100%25%0A%C3%BC&"
                        "StatusCallback=https%3A%2F%2Fx%2Fs%3Fm%3D1&ValidityPeriod=90");
        outbound.text = "";
        outbound.size = 0;
        outbound.expires = 0;
        assert_form(&outbound,
                        "To=%2B49151&From=Hotel%20Adler&Body=&"
                        "StatusCallback=https%3A%2F%2Fx%2Fs%3Fm%3D1");
        outbound.expires = 999;
        assert_form(&outbound,
                        "To=%2B49151&From=Hotel%20Adler&Body=&"
                        "StatusCallback=https%3A%2F%2Fx%2Fs%3Fm%3D1&ValidityPeriod=1");
        outbound.expires = INT64_C(1) << 40;
        assert_form(&outbound,
                        "To=%2B49151&From=Hotel%20Adler&Body=&"
                        "StatusCallback=https%3A%2F%2Fx%2Fs%3Fm%3D1&ValidityPeriod=36000");
}

static void answers_are_told_apart(void **state) {
        static const struct {
                int status;
                const char *body;
                SmsSendOutcome outcome;
                const char *reason;
                bool is_down, is_slower;
        } cases[] = {
                { 201,
                                "{\"sid\":\"SM1\",\"status\":\"queued\",\"error_code\":null}",
                                SMS_SEND_TAKEN,
                                "",
                                false,
                                false },
                { 200, "{\"sid\":\"SM1\"}", SMS_SEND_TAKEN, "", false, false },
                { 201,
                                "{\"sid\":\"SM1\",\"status\":\"failed\",\"error_code\":30006}",
                                SMS_SEND_REFUSED,
                                "refused-30006",
                                false,
                                false },
                { 201,
                                "{\"sid\":\"SM1\",\"status\":\"undelivered\"}",
                                SMS_SEND_REFUSED,
                                "refused",
                                false,
                                false },
                { 201, "", SMS_SEND_FAILED, "bad-answer", false, false },
                { 201, "{\"sid\":7}", SMS_SEND_FAILED, "bad-answer", false, false },
                { 201, "{\"sid\":\"\"}", SMS_SEND_FAILED, "bad-answer", false, false },
                { 201, "[]", SMS_SEND_FAILED, "bad-answer", false, false },
                { 400,
                                "{\"code\":21211,\"status\":400}",
                                SMS_SEND_REFUSED,
                                "refused-21211",
                                false,
                                false },
                { 400, "{\"code\":21610}", SMS_SEND_REFUSED, "refused-21610", false, false },
                { 400, "{\"code\":\"21610\"}", SMS_SEND_REFUSED, "refused", false, false },
                { 400, "{\"code\":-5}", SMS_SEND_REFUSED, "refused", false, false },
                { 400, "{\"code\":21606}", SMS_SEND_FAILED, "sender-refused-21606", false, false },
                { 401, "{\"code\":20003}", SMS_SEND_LATER, "login-refused-20003", true, false },
                { 403, "", SMS_SEND_LATER, "login-refused", true, false },
                { 404, "<html>", SMS_SEND_LATER, "account-not-found", true, false },
                { 429, "{\"code\":20429}", SMS_SEND_LATER, "throttled-20429", false, true },
                { 500, "", SMS_SEND_FAILED, "carrier-error-500", false, false },
                { 503, "", SMS_SEND_LATER, "carrier-busy", false, true },
                { 302, "", SMS_SEND_FAILED, "carrier-error-302", false, false },
        };
        RestVerdict verdict;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                rest_verdict(cases[i].status, cases[i].body, &verdict);
                assert_int_equal(verdict.outcome, cases[i].outcome);
                assert_string_equal(verdict.reason, cases[i].reason);
                assert_int_equal(verdict.is_down, cases[i].is_down);
                assert_int_equal(verdict.is_slower, cases[i].is_slower);
                assert_string_equal(verdict.id, cases[i].outcome == SMS_SEND_TAKEN ? "SM1" : "");
        }
}

static void only_a_canceled_message_is_taken_back(void **state) {
        (void) state;
        assert_true(rest_is_canceled(200, "{\"sid\":\"SM1\",\"status\":\"canceled\"}"));
        assert_false(rest_is_canceled(200, "{\"sid\":\"SM1\",\"status\":\"sent\"}"));
        assert_false(rest_is_canceled(400, "{\"status\":\"canceled\"}"));
        assert_false(rest_is_canceled(200, ""));
        assert_false(rest_is_canceled(0, ""));
}

static void callbacks_are_read(void **state) {
        RestCallback callback;

        (void) state;
        read_form("MessageSid=SM1&AccountSid=AC1&From=%2B49151&To=%2B4930&Body=Gr%C3%BC%C3%9Fe&"
                  "SmsStatus=received");
        assert_true(rest_callback_read(&form, &callback));
        assert_string_equal(callback.id, "SM1");
        assert_string_equal(callback.account, "AC1");
        assert_string_equal(callback.from, "+49151");
        assert_string_equal(callback.to, "+4930");
        assert_string_equal(callback.text,
                        "Gr\xc3\xbc\xc3\x9f"
                        "e");

        read_form("MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30005");
        assert_true(rest_callback_read(&form, &callback));
        assert_null(callback.text);
        assert_int_equal(callback.outcome, SMPP_OUTCOME_FAILED);
        assert_string_equal(callback.error, "30005");
        assert_string_equal(callback.account, "");
}

static void states_are_told_apart(void **state) {
        static const struct {
                const char *text;
                SmppOutcome outcome;
        } cases[] = {
                { "MessageSid=S&MessageStatus=queued", SMPP_OUTCOME_ACCEPTED },
                { "MessageSid=S&MessageStatus=sent", SMPP_OUTCOME_ACCEPTED },
                { "MessageSid=S&MessageStatus=delivered", SMPP_OUTCOME_DELIVERED },
                { "MessageSid=S&MessageStatus=read", SMPP_OUTCOME_DELIVERED },
                { "MessageSid=S&MessageStatus=failed", SMPP_OUTCOME_FAILED },
                { "MessageSid=S&MessageStatus=undelivered&ErrorCode=30036", SMPP_OUTCOME_EXPIRED },
                { "MessageSid=S&MessageStatus=canceled", SMPP_OUTCOME_REJECTED },
                { "MessageSid=S&MessageStatus=DELIVERED", SMPP_OUTCOME_UNKNOWN },
                { "MessageSid=S&MessageStatus=", SMPP_OUTCOME_UNKNOWN },
        };
        static const char *const bad[] = { "",
                "MessageStatus=sent",
                "MessageSid=&MessageStatus=sent",
                "MessageSid=S",
                "MessageSid=S&Body=%FF",
                "MessageSid=S&Body=a%00b",
                "MessageSid=S&MessageSid=S&Body=a",
                "MessageSid=S&Body=a&Body=a" };
        RestCallback callback;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                read_form(cases[i].text);
                assert_true(rest_callback_read(&form, &callback));
                assert_int_equal(callback.outcome, cases[i].outcome);
        }
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                read_form(bad[i]);
                assert_false(rest_callback_read(&form, &callback));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_documented_signature_is_made),
                cmocka_unit_test(names_are_sorted_as_bytes),
                cmocka_unit_test(a_message_is_a_form),
                cmocka_unit_test(answers_are_told_apart),
                cmocka_unit_test(only_a_canceled_message_is_taken_back),
                cmocka_unit_test(callbacks_are_read),
                cmocka_unit_test(states_are_told_apart),
        };
        int failed = cmocka_run_group_tests(tests, NULL, NULL);

        http_values_done(&form);
        return failed;
}
