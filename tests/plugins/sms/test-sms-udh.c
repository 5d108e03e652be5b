/* User data headers, with the standard's rules for what is repeated, unknown or cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sms-udh.h"

#define READ(...) \
        read_header((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static SmsUdh read_header(const uint8_t *data, size_t size) {
        SmsUdh udh;

        assert_int_equal(sms_udh_read(data, size, &udh), 0);
        return udh;
}

static void assert_concat(
                SmsUdh udh, SmsConcatKind kind, uint16_t reference, uint8_t total, uint8_t part) {
        assert_int_equal(udh.concat.kind, kind);
        assert_int_equal(udh.concat.reference, reference);
        assert_int_equal(udh.concat.total, total);
        assert_int_equal(udh.concat.part, part);
}

static void both_widths_of_reference_are_read(void **state) {
        (void) state;
        assert_concat(READ(5, 0, 3, 0xcc, 2, 1, 'a'), SMS_CONCAT_8, 0xcc, 2, 1);
        assert_concat(READ(6, 8, 4, 0xab, 0xcd, 3, 3), SMS_CONCAT_16, 0xabcd, 3, 3);
        assert_int_equal(READ(5, 0, 3, 0xcc, 2, 1, 'a').size, 6);
        assert_int_equal(READ(0, 'a').size, 1);
        assert_concat(READ(0), SMS_CONCAT_NONE, 0, 0, 0);
}

static void of_what_is_repeated_the_last_one_counts(void **state) {
        SmsUdh udh = READ(21, 0, 3, 1, 2, 1, 8, 4, 9, 9, 4, 2, 4, 2, 1, 2, 5, 4, 0x23, 0xf4, 0, 0);

        (void) state;
        assert_concat(udh, SMS_CONCAT_16, 0x0909, 4, 2);
        assert_true(udh.has_ports);
        assert_int_equal(udh.to_port, 0x23f4);
        assert_concat(READ(11, 8, 4, 9, 9, 4, 2, 0, 3, 1, 2, 1), SMS_CONCAT_8, 1, 2, 1);
        assert_concat(READ(10, 0, 3, 1, 2, 1, 0, 3, 7, 2, 2), SMS_CONCAT_8, 7, 2, 2);
        assert_int_equal(READ(6, 0x24, 1, 1, 0x24, 1, 3).single, GSM7_PORTUGUESE);
}

static void what_cannot_be_is_ignored(void **state) {
        (void) state;
        assert_concat(READ(5, 0, 3, 1, 2, 0), SMS_CONCAT_NONE, 0, 0, 0);
        assert_concat(READ(5, 0, 3, 1, 2, 3), SMS_CONCAT_NONE, 0, 0, 0);
        assert_concat(READ(5, 0, 3, 1, 0, 0), SMS_CONCAT_NONE, 0, 0, 0);
        assert_concat(READ(4, 0, 2, 1, 2), SMS_CONCAT_NONE, 0, 0, 0); /* of the wrong length */
        /* an impossible one does not undo the possible one before it */
        assert_concat(READ(10, 0, 3, 1, 2, 1, 0, 3, 7, 2, 9), SMS_CONCAT_8, 1, 2, 1);
        assert_int_equal(READ(3, 0x24, 1, 14).single, GSM7_DEFAULT);
        assert_int_equal(READ(3, 0x25, 1, 255).locking, GSM7_DEFAULT);
        assert_concat(READ(9, 0x70, 2, 1, 1, 0, 3, 5, 2, 1), SMS_CONCAT_8, 5, 2, 1); /* unknown */
        assert_concat(READ(7, 0x70, 0, 0, 3, 5, 2, 1), SMS_CONCAT_8, 5, 2, 1);
}

/* TS 23.040: the whole header is ignored; the text still begins behind it. */
static void a_header_whose_elements_do_not_end_with_it_says_nothing(void **state) {
        SmsUdh udh = READ(8, 0, 3, 5, 2, 1, 0x24, 9, 1, 'x');

        (void) state;
        assert_concat(udh, SMS_CONCAT_NONE, 0, 0, 0);
        assert_int_equal(udh.size, 9);
        assert_concat(READ(6, 0, 3, 5, 2, 1, 0x24, 'x'), SMS_CONCAT_NONE, 0, 0, 0);
}

static void a_header_longer_than_the_message_is_refused(void **state) {
        SmsUdh udh;

        (void) state;
        assert_int_equal(sms_udh_read(NULL, 0, &udh), SMS_UDH_E_SHORT);
        assert_int_equal(sms_udh_read((const uint8_t[]){ 1 }, 1, &udh), SMS_UDH_E_SHORT);
        assert_int_equal(
                        sms_udh_read((const uint8_t[]){ 5, 0, 3, 1, 2 }, 5, &udh), SMS_UDH_E_SHORT);
        assert_int_equal(sms_udh_read((const uint8_t[]){ 255, 0, 3, 1, 2, 1 }, 6, &udh),
                        SMS_UDH_E_SHORT);
}

static void what_is_written_is_read_back(void **state) {
        static const SmsUdh headers[] = {
                { .concat = { SMS_CONCAT_8, 0xfe, 255, 255 }, .single = GSM7_URDU },
                { .concat = { SMS_CONCAT_16, 0xfffe, 2, 1 },
                                .has_ports = true,
                                .to_port = 9204,
                                .from_port = 1,
                                .locking = GSM7_TURKISH },
                { .size = 0 },
        };
        uint8_t octets[SMS_UDH_SIZE_MAX], ours[SMS_UDH_CONCAT_SIZE];

        (void) state;
        for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
                size_t size = sms_udh_write(&headers[i], octets);
                SmsUdh back = read_header(octets, size);

                assert_int_equal(back.size, size);
                assert_concat(back,
                                headers[i].concat.kind,
                                headers[i].concat.reference,
                                headers[i].concat.total,
                                headers[i].concat.part);
                assert_int_equal(back.has_ports, headers[i].has_ports);
                assert_int_equal(back.to_port, headers[i].to_port);
                assert_int_equal(back.from_port, headers[i].from_port);
                assert_int_equal(back.locking, headers[i].locking);
                assert_int_equal(back.single, headers[i].single);
        }
        sms_udh_write_concat(0x1234, 3, 2, ours);
        assert_memory_equal(ours, ((const uint8_t[]){ 6, 8, 4, 0x12, 0x34, 3, 2 }), sizeof(ours));
}

static void sar_parameters_are_the_same_value_of_another_kind(void **state) {
        SmsConcat concat;

        (void) state;
        assert_true(sms_concat_from_sar(0x1234, 3, 2, &concat));
        assert_int_equal(concat.kind, SMS_CONCAT_SAR);
        assert_int_equal(concat.reference, 0x1234);
        assert_false(sms_concat_from_sar(1, 3, 0, &concat));
        assert_false(sms_concat_from_sar(1, 3, 4, &concat));
        assert_false(sms_concat_from_sar(1, 256, 4, &concat));
        assert_false(sms_concat_from_sar(65536, 3, 1, &concat));
        assert_int_equal(concat.kind, SMS_CONCAT_NONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_widths_of_reference_are_read),
                cmocka_unit_test(of_what_is_repeated_the_last_one_counts),
                cmocka_unit_test(what_cannot_be_is_ignored),
                cmocka_unit_test(a_header_whose_elements_do_not_end_with_it_says_nothing),
                cmocka_unit_test(a_header_longer_than_the_message_is_refused),
                cmocka_unit_test(what_is_written_is_read_back),
                cmocka_unit_test(sar_parameters_are_the_same_value_of_another_kind),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
