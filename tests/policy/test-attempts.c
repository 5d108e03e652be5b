/* Attempts only ever fall, and a verdict needs the ticket of a spend. */
#include "attempts.h"

#include "../base/test.h"

static void hash_of(uint8_t value, uint8_t ret[CODE_VERIFIER_SIZE]) {
        memset(ret, value, CODE_VERIFIER_SIZE);
}

/* Spends and judges a guess; fails when it cannot be spent. */
static AttemptsVerdict guess(Attempts *attempts, uint8_t value, uint8_t right, int64_t now) {
        uint8_t g[CODE_VERIFIER_SIZE], w[CODE_VERIFIER_SIZE];
        AttemptsTicket ticket;

        hash_of(value, g);
        hash_of(right, w);
        assert_int_equal(attempts_spend(attempts, g, now, &ticket), 0);
        return attempts_judge(attempts, &ticket, w, now);
}

static void a_wrong_answer_spends_one_attempt(void **state) {
        Attempts attempts;

        attempts_init(&attempts, 3, 9);
        assert_int_equal(guess(&attempts, 1, 9, 1000), ATTEMPTS_WRONG);
        assert_int_equal(attempts.left, 2);
        assert_int_equal(attempts.total_left, 8);
}

static void a_right_answer_spends_one_attempt_too(void **state) {
        Attempts attempts;

        attempts_init(&attempts, 3, 3);
        assert_int_equal(guess(&attempts, 9, 9, 1000), ATTEMPTS_RIGHT);
        assert_int_equal(attempts.left, 2);
        assert_int_equal(attempts.n_wrong, 0);
}

static void the_third_wrong_answer_is_the_last(void **state) {
        uint8_t g[CODE_VERIFIER_SIZE];
        AttemptsTicket ticket;
        Attempts attempts, before;

        attempts_init(&attempts, 3, 9);
        assert_int_equal(guess(&attempts, 1, 9, 1000), ATTEMPTS_WRONG);
        assert_int_equal(guess(&attempts, 2, 9, 2000), ATTEMPTS_WRONG);
        assert_int_equal(guess(&attempts, 3, 9, 3000), ATTEMPTS_WRONG_LAST);

        hash_of(9, g);
        before = attempts;
        assert_int_equal(attempts_spend(&attempts, g, 1000000, &ticket), ATTEMPTS_E_NONE_LEFT);
        assert_memory_equal(&attempts, &before, sizeof(attempts));
        assert_false(ticket.valid);
}

static void the_right_code_in_the_last_attempt_counts(void **state) {
        Attempts attempts;

        attempts_init(&attempts, 2, 2);
        assert_int_equal(guess(&attempts, 1, 9, 1000), ATTEMPTS_WRONG);
        assert_int_equal(guess(&attempts, 9, 9, 2000), ATTEMPTS_RIGHT);
        assert_int_equal(attempts.left, 0);
}

static void the_attempt_is_gone_before_anything_is_compared(void **state) {
        uint8_t g[CODE_VERIFIER_SIZE];
        AttemptsTicket ticket;
        Attempts attempts;

        attempts_init(&attempts, 3, 3);
        hash_of(9, g);
        assert_int_equal(attempts_spend(&attempts, g, 1000, &ticket), 0);
        assert_int_equal(attempts.left, 2); /* what a crash here leaves behind */
        assert_int_equal(attempts.total_left, 2);
}

static void a_ticket_is_good_for_one_verdict(void **state) {
        uint8_t g[CODE_VERIFIER_SIZE];
        AttemptsTicket ticket, none = { 0 }, forged = { .valid = false };
        Attempts attempts;

        attempts_init(&attempts, 3, 3);
        hash_of(9, g);
        assert_int_equal(attempts_spend(&attempts, g, 1000, &ticket), 0);
        assert_int_equal(attempts_judge(&attempts, &ticket, g, 1000), ATTEMPTS_RIGHT);
        assert_memory_equal(&ticket, &none, sizeof(ticket));
        assert_int_equal(attempts_judge(&attempts, &ticket, g, 1000), ATTEMPTS_WRONG);

        memcpy(forged.guess, g, sizeof(g));
        assert_int_equal(attempts_judge(&attempts, &forged, g, 1000), ATTEMPTS_WRONG);
        assert_int_equal(attempts.n_wrong, 0);
}

static void the_same_wrong_code_again_spends_nothing(void **state) {
        uint8_t g[CODE_VERIFIER_SIZE];
        AttemptsTicket ticket;
        Attempts attempts, before;

        attempts_init(&attempts, 3, 9);
        assert_int_equal(guess(&attempts, 1, 9, 1000), ATTEMPTS_WRONG);
        assert_int_equal(guess(&attempts, 2, 9, 2000), ATTEMPTS_WRONG);
        before = attempts;
        for (uint8_t value = 1; value <= 2; value++) {
                hash_of(value, g);
                assert_int_equal(attempts_spend(&attempts, g, 2000, &ticket), ATTEMPTS_E_REPEATED);
                assert_int_equal(attempts_spend(&attempts, g, 9000, &ticket), ATTEMPTS_E_REPEATED);
                assert_false(ticket.valid);
        }
        assert_memory_equal(&attempts, &before, sizeof(attempts));
}

static void after_a_wrong_answer_the_next_waits_longer_each_time(void **state) {
        static const int64_t delays[] = { 2, 8, 30, 30 };
        Attempts attempts;
        int64_t now = 1000;

        attempts_init(&attempts, 5, 9);
        for (uint8_t i = 0; i < N_ELEMENTS(delays); i++) {
                uint8_t g[CODE_VERIFIER_SIZE];
                AttemptsTicket ticket;
                unsigned left;

                assert_int_equal(guess(&attempts, (uint8_t) (i + 1), 99, now), ATTEMPTS_WRONG);
                assert_int_equal(attempts.not_before, now + delays[i]);
                left = attempts.left;
                hash_of(99, g);
                assert_int_equal(attempts_spend(&attempts, g, now + delays[i] - 1, &ticket),
                                ATTEMPTS_E_EARLY);
                assert_int_equal(attempts.left, left);
                now += delays[i];
        }
}

static void no_configuration_gets_past_the_hard_bounds(void **state) {
        Attempts attempts;

        attempts_init(&attempts, 100, 1000);
        assert_int_equal(attempts.left, 5);
        assert_int_equal(attempts.total_left, 9);
        attempts_init(&attempts, 3, 2);
        assert_int_equal(attempts.left, 2);
}

static void damaged_counts_do_not_reach_past_the_array(void **state) {
        Attempts attempts;

        attempts_init(&attempts, 5, 9);
        attempts.n_wrong = 255;
        assert_int_equal(guess(&attempts, 1, 9, 1000), ATTEMPTS_WRONG);
        assert_int_equal(attempts.left, 4);
}

static void ten_mistyped_answers_are_answered_and_none_costs_an_attempt(void **state) {
        Attempts attempts;

        attempts_init(&attempts, 3, 9);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(attempts_mistyped(&attempts), 0);
        assert_int_equal(attempts_mistyped(&attempts), ATTEMPTS_E_SILENT);
        assert_int_equal(attempts_mistyped(&attempts), ATTEMPTS_E_SILENT);
        assert_int_equal(attempts.left, 3);
        assert_int_equal(guess(&attempts, 9, 9, 1000), ATTEMPTS_RIGHT);
}

static void an_address_has_five_answers_an_hour_and_ten_a_day(void **state) {
        AttemptsBudget budget = { 0 };
        int64_t retry = 0;

        for (unsigned i = 0; i < 5; i++)
                assert_true(attempts_budget_take(&budget, 1000 + i, NULL));
        assert_false(attempts_budget_take(&budget, 1005, &retry));
        assert_int_equal(retry, 1000 + 3600);
        assert_false(attempts_budget_take(&budget, retry - 1, NULL));
        assert_true(attempts_budget_take(&budget, retry, NULL));
        for (unsigned i = 1; i < 5; i++)
                assert_true(attempts_budget_take(&budget, retry + 10 + i, NULL));
        assert_false(attempts_budget_take(&budget, 1000 + 3 * 3600, &retry));
        assert_int_equal(retry, 1000 + 24 * 3600);
        assert_true(attempts_budget_take(&budget, retry, NULL));
}

/* Random arrivals, and every window of an hour and a day counted by hand. */
static void no_window_ever_holds_more_than_the_budget(void **state) {
        AttemptsBudget budget = { 0 };
        int64_t taken[4096], now = 1;
        uint32_t random = 12345;
        size_t n = 0;

        for (unsigned i = 0; i < 40000 && n < N_ELEMENTS(taken); i++) {
                random = random * 1664525 + 1013904223;
                now += random >> 16 & 1023;
                if (attempts_budget_take(&budget, now, NULL))
                        taken[n++] = now;
        }
        assert_true(n > 500);
        for (size_t i = 0; i < n; i++) {
                if (i >= 5)
                        assert_true(taken[i] - taken[i - 5] >= 3600);
                if (i >= 10)
                        assert_true(taken[i] - taken[i - 10] >= 24 * 3600);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_wrong_answer_spends_one_attempt),
                cmocka_unit_test(a_right_answer_spends_one_attempt_too),
                cmocka_unit_test(the_third_wrong_answer_is_the_last),
                cmocka_unit_test(the_right_code_in_the_last_attempt_counts),
                cmocka_unit_test(the_attempt_is_gone_before_anything_is_compared),
                cmocka_unit_test(a_ticket_is_good_for_one_verdict),
                cmocka_unit_test(the_same_wrong_code_again_spends_nothing),
                cmocka_unit_test(after_a_wrong_answer_the_next_waits_longer_each_time),
                cmocka_unit_test(no_configuration_gets_past_the_hard_bounds),
                cmocka_unit_test(damaged_counts_do_not_reach_past_the_array),
                cmocka_unit_test(ten_mistyped_answers_are_answered_and_none_costs_an_attempt),
                cmocka_unit_test(an_address_has_five_answers_an_hour_and_ten_a_day),
                cmocka_unit_test(no_window_ever_holds_more_than_the_budget),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
