/* The octets of messages as text, in each alphabet, also when they are not well made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "sms-text.h"

#define U_REPLACEMENT "\xef\xbf\xbd"
#define OCTETS(kind, octets)                                \
        ((SmsOctets){ .alphabet = (kind),                   \
                        .data = (const uint8_t *) (octets), \
                        .size = sizeof(octets) - 1 })

static void assert_text(const SmsOctets *parts, size_t n, const char *text) {
        _cleanup_(freep) char *got = NULL;

        assert_int_equal(sms_text_read(parts, n, &got), 0);
        assert_string_equal(got, text);
}

static void each_alphabet_is_read(void **state) {
        (void) state;
        assert_text(&OCTETS(SMS_GSM7, "\x01 \x1b\x65"), 1, "\xc2\xa3 \xe2\x82\xac");
        assert_text(&OCTETS(SMS_UCS2, "\0Y\0\xe4\x20\xac\xd8\x3d\xdd\x11"),
                        1,
                        "Y\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91");
        assert_text(&OCTETS(SMS_LATIN1, "gr\xfc\xdf"), 1, "gr\xc3\xbc\xc3\x9f");
        assert_text(&OCTETS(SMS_ASCII, "YES\xfc"), 1, "YES" U_REPLACEMENT);
        assert_text(NULL, 0, "");
        assert_text(&OCTETS(SMS_UCS2, ""), 1, "");
}

static void what_is_no_character_is_replaced(void **state) {
        (void) state;
        assert_text(&OCTETS(SMS_UCS2, "\0Y\xd8\x3d\0Z"), 1, "Y" U_REPLACEMENT "Z");
        assert_text(&OCTETS(SMS_UCS2, "\xdd\x11\0Z"), 1, U_REPLACEMENT "Z");
        assert_text(&OCTETS(SMS_UCS2, "\xd8\x3d"), 1, U_REPLACEMENT);
        assert_text(&OCTETS(SMS_UCS2, "\0Y\0"), 1, "Y" U_REPLACEMENT);
        assert_text(&OCTETS(SMS_UCS2, "\0\0\0Y"), 1, U_REPLACEMENT "Y");
        assert_text(&OCTETS(SMS_LATIN1, "a\0b"), 1, "a" U_REPLACEMENT "b");
        assert_text(&OCTETS(SMS_UCS2, "\xfe\xff\0Y"), 1, "Y");
}

static void parts_are_joined_before_they_are_read(void **state) {
        const SmsOctets pair[] = { OCTETS(SMS_UCS2, "\0Y\xd8\x3d"),
                OCTETS(SMS_UCS2, "\xdd\x11\0Z") };
        const SmsOctets escape[] = { OCTETS(SMS_GSM7, "a\x1b"),
                OCTETS(SMS_GSM7,
                                "\x65"
                                "b") };

        (void) state;
        assert_text(pair, 2, "Y\xf0\x9f\x94\x91Z");
        assert_text(escape,
                        2,
                        "a\xe2\x82\xac"
                        "b");
}

static void a_message_may_change_its_alphabet_between_parts(void **state) {
        SmsOctets mixed[] = { OCTETS(SMS_GSM7, "a\x1b"),
                OCTETS(SMS_UCS2, "\x20\xac"),
                OCTETS(SMS_GSM7, "\x1bg"),
                OCTETS(SMS_GSM7, "\x1bg") };

        (void) state;
        mixed[3].single = GSM7_TURKISH;
        assert_text(mixed, 4, "a \xe2\x82\xacg\xc4\x9f");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_alphabet_is_read),
                cmocka_unit_test(what_is_no_character_is_replaced),
                cmocka_unit_test(parts_are_joined_before_they_are_read),
                cmocka_unit_test(a_message_may_change_its_alphabet_between_parts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
