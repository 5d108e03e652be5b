/* What ModemManager says, as the channel has it: tables of its errors, states and times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "driver-modem-table.h"

#define MM "org.freedesktop.ModemManager1.Error."

static void assert_refusal(const char *error,
                const char *text,
                SmsSendOutcome outcome,
                const char *reason,
                unsigned retry_after) {
        ModemRefusal refusal;

        modem_refusal(error, text, &refusal);
        assert_int_equal(refusal.outcome, outcome);
        assert_string_equal(refusal.reason, reason);
        assert_int_equal(refusal.retry_after, retry_after);
}

static void an_error_is_taken_for_what_it_is(void **state) {
        (void) state;
        assert_refusal(MM "Message.MemoryFull", "", SMS_SEND_LATER, "memory-full", 60);
        assert_refusal(MM "MobileEquipment.MemoryFull", "", SMS_SEND_LATER, "memory-full", 60);
        assert_refusal(MM "Message.SimBusy", "", SMS_SEND_LATER, "modem-busy", 30);
        assert_refusal(MM "Message.NoNetwork", "", SMS_SEND_LATER, "no-network", 0);
        assert_refusal(MM "Core.WrongState", "", SMS_SEND_LATER, "modem-away", 0);
        assert_refusal(MM "Message.NetworkTimeout", "", SMS_SEND_FAILED, "network-timeout", 0);
        assert_refusal(MM "Message.SmscAddressUnknown", "", SMS_SEND_FAILED, "centre-unknown", 0);
        assert_refusal(MM "Core.Unauthorized", "", SMS_SEND_FAILED, "not-authorized", 0);
        assert_refusal(MM "Message.InvalidPduParameter",
                        "",
                        SMS_SEND_REFUSED,
                        "invalid-parameter",
                        0);
        assert_refusal(MM "MobileEquipment.DialStringInvalid",
                        NULL,
                        SMS_SEND_REFUSED,
                        "invalid-number",
                        0);
}

static void an_error_that_is_not_known_is_a_try_in_vain(void **state) {
        (void) state;
        assert_refusal(MM "Core.Failed", "Couldn't read", SMS_SEND_FAILED, "modem-error", 0);
        assert_refusal(MM "Message.NoSuchName", NULL, SMS_SEND_FAILED, "modem-error", 0);
        assert_refusal(MM, NULL, SMS_SEND_FAILED, "modem-error", 0);
        assert_refusal("", "", SMS_SEND_FAILED, "modem-error", 0);
        /* Of another service, with the end of a name that is known. */
        assert_refusal("org.example.Error.Message.MemoryFull",
                        NULL,
                        SMS_SEND_FAILED,
                        "modem-error",
                        0);
        assert_refusal("Message.MemoryFull", NULL, SMS_SEND_FAILED, "modem-error", 0);
}

static void a_service_that_is_away_is_no_try(void **state) {
        static const char *const names[] = {
                "ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected"
        };
        char name[64];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                (void) snprintf(name, sizeof(name), "org.freedesktop.DBus.Error.%s", names[i]);
                assert_refusal(name, NULL, SMS_SEND_LATER, "modem-manager-away", 0);
        }
        assert_refusal("org.freedesktop.DBus.Error.UnknownObject",
                        NULL,
                        SMS_SEND_LATER,
                        "modem-away",
                        0);
        assert_refusal("org.freedesktop.DBus.Error.Timeout",
                        NULL,
                        SMS_SEND_FAILED,
                        "modem-silent",
                        0);
}

static void the_network_s_cause_is_read_from_the_error_s_text(void **state) {
        static const char unknown[] = MM "Message.Unknown";

        (void) state;
        assert_refusal(unknown,
                        "Unknown message error: 1",
                        SMS_SEND_REFUSED,
                        "number-unassigned",
                        0);
        assert_refusal(unknown, "Unknown message error: 30", SMS_SEND_REFUSED, "number-unknown", 0);
        assert_refusal(unknown, "Unknown message error: 42", SMS_SEND_LATER, "congestion", 30);
        assert_refusal(unknown, "Unknown message error: 8", SMS_SEND_FAILED, "barred", 0);
        assert_refusal(unknown, "Unknown message error: 512", SMS_SEND_FAILED, "modem-error", 0);
        assert_refusal(unknown, "Unknown message error: 1 x", SMS_SEND_FAILED, "modem-error", 0);
        assert_refusal(unknown, "Unknown message error: 1000", SMS_SEND_FAILED, "modem-error", 0);
        assert_refusal(unknown, "Unknown message error: ", SMS_SEND_FAILED, "modem-error", 0);
        assert_refusal(unknown, "1", SMS_SEND_FAILED, "modem-error", 0);
        assert_refusal(unknown, NULL, SMS_SEND_FAILED, "modem-error", 0);
        /* Another error's text is not read. */
        assert_refusal(MM "Core.Failed",
                        "Unknown message error: 1",
                        SMS_SEND_FAILED,
                        "modem-error",
                        0);
}

static void a_modem_is_used_from_registered_on(void **state) {
        static const char *const reasons[] = { "modem-failed",
                "modem-starting",
                "modem-starting",
                "sim-locked",
                "modem-disabled",
                "modem-disabled",
                "modem-starting",
                "no-network",
                "no-network" };
        const char *reason;

        (void) state;
        for (int32_t modem = -1; modem < 8; modem++) {
                assert_false(modem_state_is_up(modem, &reason));
                assert_string_equal(reason, reasons[modem + 1]);
        }
        for (int32_t modem = 8; modem <= 11; modem++) {
                assert_true(modem_state_is_up(modem, &reason));
                assert_null(reason);
        }
        assert_false(modem_state_is_up(INT32_MIN, &reason));
}

static void only_whole_messages_that_came_in_are_received(void **state) {
        (void) state;
        assert_int_equal(modem_sms_kind(1, 3), MODEM_SMS_RECEIVED);
        assert_int_equal(modem_sms_kind(32, 3), MODEM_SMS_RECEIVED);
        assert_int_equal(modem_sms_kind(1, 2), MODEM_SMS_INCOMPLETE);
        assert_int_equal(modem_sms_kind(0, 2), MODEM_SMS_INCOMPLETE);
        assert_int_equal(modem_sms_kind(3, 3), MODEM_SMS_REPORT);
        assert_int_equal(modem_sms_kind(3, 0), MODEM_SMS_OTHER);
        assert_int_equal(modem_sms_kind(0, 3), MODEM_SMS_OTHER);
        assert_int_equal(modem_sms_kind(1, 0), MODEM_SMS_OTHER);
        assert_int_equal(modem_sms_kind(2, 3), MODEM_SMS_OTHER);
        assert_int_equal(modem_sms_kind(2, 0), MODEM_SMS_DRAFT);
        assert_int_equal(modem_sms_kind(2, 4), MODEM_SMS_DRAFT);
        assert_int_equal(modem_sms_kind(33, 0), MODEM_SMS_DRAFT);
        assert_int_equal(modem_sms_kind(2, 5), MODEM_SMS_SENT);
        /* What somebody has stored to send it some time. */
        assert_int_equal(modem_sms_kind(2, 1), MODEM_SMS_OTHER);
        assert_int_equal(modem_sms_kind(UINT32_MAX, UINT32_MAX), MODEM_SMS_OTHER);
}

static void delivered_is_only_what_a_telephone_has(void **state) {
        (void) state;
        for (uint32_t delivery = 0; delivery < 0x400; delivery++)
                if (modem_delivery(delivery) == SMPP_OUTCOME_DELIVERED)
                        assert_int_equal(delivery, 0);
        assert_int_equal(modem_delivery(0x00), SMPP_OUTCOME_DELIVERED);
        assert_int_equal(modem_delivery(0x01), SMPP_OUTCOME_ACCEPTED);
        assert_int_equal(modem_delivery(0x02), SMPP_OUTCOME_UNKNOWN);
        assert_int_equal(modem_delivery(0x20), SMPP_OUTCOME_ACCEPTED);
        assert_int_equal(modem_delivery(0x3f), SMPP_OUTCOME_ACCEPTED);
        assert_int_equal(modem_delivery(0x40), SMPP_OUTCOME_FAILED);
        assert_int_equal(modem_delivery(0x46), SMPP_OUTCOME_EXPIRED);
        assert_int_equal(modem_delivery(0x5f), SMPP_OUTCOME_FAILED);
        assert_int_equal(modem_delivery(0x65), SMPP_OUTCOME_FAILED);
        assert_int_equal(modem_delivery(0x80), SMPP_OUTCOME_UNKNOWN);
        assert_int_equal(modem_delivery(0x100), SMPP_OUTCOME_UNKNOWN);
        assert_int_equal(modem_delivery(0x200), SMPP_OUTCOME_FAILED);
        assert_int_equal(modem_delivery(0x300), SMPP_OUTCOME_ACCEPTED);
}

static void a_time_is_read_with_its_offset(void **state) {
        static const struct {
                const char *text;
                int64_t seconds;
        } times[] = {
                { "1970-01-01T00:00:00+00:00", 0 },
                { "2026-11-22T17:00:05", 1795366805 },
                { "2026-11-22T17:00:05Z", 1795366805 },
                { "2026-11-22T17:00:05+00", 1795366805 },
                { "2026-11-22T18:00:05+01:00", 1795366805 },
                { "2026-11-22T18:00:05+0100", 1795366805 },
                { "2026-11-22T13:15:05-03:45", 1795366805 },
                { "2024-02-29T23:59:59+00:00", 1709251199 },
        };
        int64_t seconds;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(times); i++) {
                assert_true(modem_time(times[i].text, &seconds));
                assert_int_equal(seconds, times[i].seconds);
        }
}

static void what_is_no_time_is_refused(void **state) {
        /* ModemManager prints whatever digits the centre sent. */
        static const char *const texts[] = { "",
                "2026",
                "2026-11-22",
                "2026-11-22 17:00:05",
                "2026-00-22T17:00:05+00:00",
                "2026-13-22T17:00:05+00:00",
                "2026-02-29T17:00:05+00:00",
                "2026-11-31T17:00:05+00:00",
                "2026-11-22T24:00:05+00:00",
                "2026-11-22T17:60:05+00:00",
                "2026-11-22T17:00:65+00:00",
                "2026-11-22T17:00:05+01:60",
                "2026-11-22T17:00:05+1",
                "2026-11-22T17:00:05+01:",
                "2026-11-22T17:00:05+01:0",
                "2026-11-22T17:00:05+01:000",
                "2026-11-22T17:00:05.5+01:00",
                "20:6-11-22T17:00:05",
                "-026-11-22T17:00:05" };
        int64_t seconds;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_false(modem_time(texts[i], &seconds));
}

/* What ModemManager 1.20 makes of a validity in minutes: the octet of TS 23.040 section
 * 9.2.3.12.1, and that one in minutes again. */
static int64_t minutes_at_the_centre(uint32_t minutes) {
        if (minutes <= 720)
                return ((minutes + (minutes % 5 ? 5 : 0)) / 5) * 5;
        if (minutes <= 1440)
                return 720 + ((minutes + (minutes % 30 ? 30 : 0) - 720) / 30) * 30;
        return ((minutes + (minutes % 1440 ? 1440 : 0)) / 1440) * 1440;
}

static void the_centre_delivers_nothing_too_late(void **state) {
        (void) state;
        for (int64_t minutes = 5; minutes <= 43200; minutes++) {
                uint32_t validity = modem_validity(minutes * 60 + 59);

                assert_true(minutes_at_the_centre(validity) <= minutes);
                assert_true(validity * 2 > minutes || validity > minutes - 5);
        }
        assert_int_equal(modem_validity(0), 5);
        assert_int_equal(modem_validity(-1000000), 5);
        assert_int_equal(modem_validity(INT64_MAX), 43200);
        assert_int_equal(modem_validity(3600), 60);
        assert_int_equal(modem_validity(3599), 55);
}

static void a_report_s_id_tells_references_and_recipients_apart_and_no_number(void **state) {
        char id[SMS_CARRIER_ID_SIZE], again[SMS_CARRIER_ID_SIZE], keys[2][SMPP_ID_SIZE];

        (void) state;
        modem_report_id(7, "+4915112345678", id);
        modem_report_id(7, "+4915112345678", again);
        assert_string_equal(id, again);
        assert_int_equal(strlen(id), strlen("r07-0000"));
        assert_null(strstr(id, "5678"));
        modem_report_id(8, "+4915112345678", again);
        assert_string_not_equal(id, again);
        modem_report_id(7, "+4915112345679", again);
        assert_string_not_equal(id, again);
        /* Nor does anybody read it as a number in another base. */
        assert_int_equal(smpp_id_keys(id, keys), 1);
        assert_string_equal(keys[0], id);
}

static void an_identity_is_any_or_of_a_modem(void **state) {
        (void) state;
        assert_true(modem_is_identity("any"));
        assert_true(modem_is_identity("350000000000017"));
        assert_true(modem_is_identity("35000000000001"));
        assert_true(modem_is_identity("A10000009296F2"));
        assert_false(modem_is_identity(""));
        assert_false(modem_is_identity("anyone"));
        assert_false(modem_is_identity("3500000000000"));
        assert_false(modem_is_identity("35000000000001777"));
        assert_false(modem_is_identity("35 000000000001"));
        assert_false(modem_is_identity("/org/freedesktop"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_error_is_taken_for_what_it_is),
                cmocka_unit_test(an_error_that_is_not_known_is_a_try_in_vain),
                cmocka_unit_test(a_service_that_is_away_is_no_try),
                cmocka_unit_test(the_network_s_cause_is_read_from_the_error_s_text),
                cmocka_unit_test(a_modem_is_used_from_registered_on),
                cmocka_unit_test(only_whole_messages_that_came_in_are_received),
                cmocka_unit_test(delivered_is_only_what_a_telephone_has),
                cmocka_unit_test(a_time_is_read_with_its_offset),
                cmocka_unit_test(what_is_no_time_is_refused),
                cmocka_unit_test(the_centre_delivers_nothing_too_late),
                cmocka_unit_test(a_report_s_id_tells_references_and_recipients_apart_and_no_number),
                cmocka_unit_test(an_identity_is_any_or_of_a_modem),
        };

        return cmocka_run_group_tests_name("sms-modem", tests, NULL, NULL);
}
