/* When the mailbox of a transfer is looked at. */
#include "transfer.h"

#include "../base/test.h"

/* The schedule of section 1.11 as it is written: 2 s, times 1.5, up to 60 s. */
static void a_young_transfer_is_looked_at_as_the_schedule_says(void **state) {
        double wait = 2, at = 0;

        while (at < 100) {
                uint64_t msec = transfer_poll_msec((int64_t) at, 0);

                assert_in_range(msec,
                                (uint64_t) (1000 * wait) - 500,
                                (uint64_t) (1000 * wait) + 500);
                at += wait;
                wait = wait * 1.5 < 60 ? wait * 1.5 : 60;
        }
}

static void an_old_one_waits_a_twentieth_of_its_age_and_ten_minutes_at_most(void **state) {
        assert_int_equal(transfer_poll_msec(1200, 0), 60000);
        assert_int_equal(transfer_poll_msec(3600, 0), 180000);
        assert_int_equal(transfer_poll_msec(12000, 0), 600000);
        assert_int_equal(transfer_poll_msec(66 * 3600, 0), 600000);
        assert_int_equal(transfer_poll_msec(INT64_MAX, 0), 600000);
}

static void chance_never_makes_it_sooner_than_the_interval_nor_later_than_ten_minutes(
                void **state) {
        for (int64_t age = -5; age < 20000; age += 7)
                for (uint32_t random = 0; random < 1024; random += 93) {
                        uint64_t interval = transfer_poll_msec(age, 0);
                        uint64_t msec = transfer_poll_msec(age, random);

                        assert_true(msec >= 2000);
                        assert_true(msec <= 600000);
                        assert_true(msec >= interval || msec >= 480000);
                        assert_true(msec <= interval + interval / 5);
                }
        assert_true(transfer_poll_msec(3600, 1023) > 210000); /* there is some */
}

static void a_relay_is_left_alone_as_long_as_it_asks_and_never_looked_at_sooner(void **state) {
        assert_int_equal(transfer_poll_later_msec(0, 30, 0), 30000);
        assert_int_equal(transfer_poll_later_msec(0, 1, 0), 2000);
        assert_int_equal(transfer_poll_later_msec(3600, 30, 0), 180000);
        assert_int_equal(transfer_poll_later_msec(0, 3600, 0), 600000);
        assert_int_equal(transfer_poll_later_msec(0, INT64_MAX, 0), 600000);
}

static void a_relay_that_asks_for_less_than_nothing_asks_for_nothing(void **state) {
        static const int64_t negative[] = { -1, -600, INT64_MIN };

        for (size_t i = 0; i < N_ELEMENTS(negative); i++) {
                assert_int_equal(transfer_poll_later_msec(0, negative[i], 0), 2000);
                assert_int_equal(transfer_poll_later_msec(3600, negative[i], 500),
                                transfer_poll_msec(3600, 500));
        }
}

static void a_restart_spreads_over_the_whole_interval(void **state) {
        size_t quarters[4] = { 0 };

        for (uint32_t random = 0; random < 65536; random += 16) {
                uint64_t msec = transfer_first_poll_msec(3600, random);

                assert_in_range(msec, 2000, 179999);
                quarters[msec / 45000]++;
        }
        for (size_t i = 0; i < 4; i++)
                assert_in_range(quarters[i], 950, 1100);
        assert_int_equal(transfer_first_poll_msec(0, 65535), 2000);
}

static void values_outside_have_no_name(void **state) {
        assert_string_equal(transfer_party_name(TRANSFER_INITIATOR), "initiator");
        assert_string_equal(transfer_party_name(TRANSFER_RECIPIENT), "recipient");
        assert_string_equal(transfer_state_name(TRANSFER_QUEUED), "queued");
        assert_string_equal(transfer_state_name(TRANSFER_ACCEPTED), "accepted");
        assert_string_equal(transfer_state_name(TRANSFER_RECEIVED), "received");
        assert_string_equal(transfer_state_name(TRANSFER_REFUSED), "refused");
        assert_string_equal(transfer_state_name(TRANSFER_REPLACED), "replaced");
        assert_null(transfer_party_name((TransferParty) 0));
        assert_null(transfer_state_name((TransferState) 0));
}

static void a_refusal_is_told_in_words_about_the_message_or_as_the_relays(void **state) {
        assert_string_equal(transfer_refusal("envelope-expired"), "envelope-expired");
        assert_string_equal(transfer_refusal("too-large"), "too-large");
        assert_string_equal(transfer_refusal("http-400"), "relay-refused");
        assert_string_equal(transfer_refusal("host-not-allowed"), "relay-refused");
        assert_string_equal(transfer_refusal(""), "relay-refused");
        assert_string_equal(transfer_refusal(NULL), "relay-refused");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_young_transfer_is_looked_at_as_the_schedule_says),
                cmocka_unit_test(an_old_one_waits_a_twentieth_of_its_age_and_ten_minutes_at_most),
                cmocka_unit_test(
                                chance_never_makes_it_sooner_than_the_interval_nor_later_than_ten_minutes),
                cmocka_unit_test(
                                a_relay_is_left_alone_as_long_as_it_asks_and_never_looked_at_sooner),
                cmocka_unit_test(a_relay_that_asks_for_less_than_nothing_asks_for_nothing),
                cmocka_unit_test(a_restart_spreads_over_the_whole_interval),
                cmocka_unit_test(a_refusal_is_told_in_words_about_the_message_or_as_the_relays),
                cmocka_unit_test(values_outside_have_no_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
