/* The bucket of each sender id, by a clock that we move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sms-pace.h"

#define SECOND UINT64_C(1000000)

static void a_burst_is_given_and_then_the_rate(void **state) {
        uint64_t now = 5 * SECOND;
        SmsPace pace;

        (void) state;
        sms_pace_init(&pace, 60, 3);
        for (int i = 0; i < 3; i++)
                assert_int_equal(sms_pace_take(&pace, 1, now), 0);
        assert_int_equal(sms_pace_take(&pace, 1, now), SECOND);
        assert_int_equal(sms_pace_take(&pace, 1, now + SECOND - 1), 1);
        assert_int_equal(sms_pace_take(&pace, 1, now + SECOND), 0);
        assert_int_equal(sms_pace_take(&pace, 1, now + SECOND), SECOND);
        /* After a long rest the bucket is full, and not more than full. */
        for (int i = 0; i < 3; i++)
                assert_int_equal(sms_pace_take(&pace, 1, now + 3600 * SECOND), 0);
        assert_int_equal(sms_pace_take(&pace, 1, now + 3600 * SECOND), SECOND);
}

static void in_the_long_run_it_is_never_faster_than_agreed(void **state) {
        SmsPace pace;
        unsigned taken = 0;

        (void) state;
        sms_pace_init(&pace, 70, 5);
        for (uint64_t now = 0; now < 600 * SECOND; now += SECOND / 10)
                taken += sms_pace_take(&pace, 1, now) == 0;
        assert_true(taken <= 5 + 700);
        assert_true(taken >= 690);
}

static void a_message_of_many_parts_is_sent_and_paid_for(void **state) {
        SmsPace pace;

        (void) state;
        sms_pace_init(&pace, 60, 3);
        assert_int_equal(sms_pace_take(&pace, 10, 0), 0);
        assert_int_equal(sms_pace_take(&pace, 1, 0), 8 * SECOND);
        assert_int_equal(sms_pace_take(&pace, 1, 8 * SECOND), 0);
        assert_true(sms_pace_take(&pace, 10, 8 * SECOND) > 0);
}

static void a_clock_that_goes_back_gives_nothing_away(void **state) {
        SmsPace pace;

        (void) state;
        sms_pace_init(&pace, 60, 1);
        assert_int_equal(sms_pace_take(&pace, 1, 100 * SECOND), 0);
        assert_int_equal(sms_pace_take(&pace, 1, 50 * SECOND), 51 * SECOND);
}

static void each_sender_id_has_a_bucket_of_its_own(void **state) {
        static SmsPaces paces;
        char id[SMS_PACE_ID_SIZE + 1];

        (void) state;
        sms_paces_init(&paces, 60, 1);
        assert_int_equal(sms_pace_take(sms_paces_of(&paces, "Hotel"), 1, 0), 0);
        assert_int_equal(sms_pace_take(sms_paces_of(&paces, "Hotel"), 1, 0), SECOND);
        assert_int_equal(sms_pace_take(sms_paces_of(&paces, "491511"), 1, 0), 0);
        assert_null(sms_paces_of(&paces, "a name that is too long"));
        for (int i = 2; i < SMS_PACES_MAX; i++) {
                (void) snprintf(id, sizeof(id), "%d", i);
                assert_non_null(sms_paces_of(&paces, id));
        }
        assert_null(sms_paces_of(&paces, "one more"));
        assert_non_null(sms_paces_of(&paces, "Hotel"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_burst_is_given_and_then_the_rate),
                cmocka_unit_test(in_the_long_run_it_is_never_faster_than_agreed),
                cmocka_unit_test(a_message_of_many_parts_is_sent_and_paid_for),
                cmocka_unit_test(a_clock_that_goes_back_gives_nothing_away),
                cmocka_unit_test(each_sender_id_has_a_bucket_of_its_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
