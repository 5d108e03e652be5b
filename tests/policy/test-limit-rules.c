/* No stretch of time holds more than a limit allows, however the calls come and the clock goes; and
 * what is full empties. */
#include "limit-rules.h"

#include "../base/test.h"

enum { START = 1000000, DAY = 24 * 3600 };

/* A generator of our own: the same numbers in every run. */
static uint32_t next_random(uint64_t *state) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t) (*state >> 33);
}

/* What a caller does: asks, and counts what is allowed. */
static bool take(LimitRecord *record, int window, uint32_t limit, int64_t now) {
        (void) limits_age(record, now);
        if (limits_wait(record, window, limit, 1, now) > 0)
                return false;
        limits_add(record, window, 1, now);
        return true;
}

static void the_limit_is_reached_and_not_passed(void **state) {
        LimitRecord record;

        limits_init(&record, LIMIT_PAIR);
        for (int i = 0; i < 3; i++)
                assert_true(take(&record, LIMIT_PAIR_SHARES_10MIN, 3, START + i));
        assert_false(take(&record, LIMIT_PAIR_SHARES_10MIN, 3, START + 3));
        assert_int_equal(limits_count(&record, LIMIT_PAIR_SHARES_10MIN, START + 3), 3);
}

static void what_waits_comes_at_the_time_that_was_said(void **state) {
        uint64_t seed = 7;

        for (int round = 0; round < 2000; round++) {
                LimitRecord record;
                int64_t now = START, wait;

                limits_init(&record, LIMIT_PAIR);
                for (int i = 0; i < 5; i++) {
                        limits_add(&record, LIMIT_PAIR_SHARES_HOUR, 1, now);
                        now += next_random(&seed) % 900;
                }
                wait = limits_wait(&record, LIMIT_PAIR_SHARES_HOUR, 5, 1, now);
                if (wait == 0)
                        continue;
                assert_true(limits_wait(&record, LIMIT_PAIR_SHARES_HOUR, 5, 1, now + wait - 1) > 0);
                assert_int_equal(limits_wait(&record, LIMIT_PAIR_SHARES_HOUR, 5, 1, now + wait), 0);
                assert_true(wait <= 3600 + 300);
        }
}

/* The edge of a window is where others let twice as many through. */
static void no_stretch_of_a_window_holds_more_than_the_limit(void **state) {
        static int64_t taken[200000];
        uint64_t seed = 11;
        LimitRecord record;
        int64_t now = START;
        size_t n = 0;

        limits_init(&record, LIMIT_PAIR);
        for (int i = 0; i < 200000; i++) {
                now += next_random(&seed) % 120;
                if (take(&record, LIMIT_PAIR_SHARES_10MIN, 3, now))
                        taken[n++] = now;
        }
        assert_true(n > 10000);
        for (size_t i = 3; i < n; i++)
                assert_true(taken[i] - taken[i - 3] >= 600);
}

/* Time only goes forward for whoever counts, but a record may come from a store whose time was
 * ahead, and be read and written again at any moment. */
static void jumps_and_restarts_refill_nothing(void **state) {
        uint8_t bytes[LIMITS_SIZE_MAX];
        uint64_t seed = 3;
        LimitRecord record;
        int64_t now = START * INT64_C(100);

        limits_init(&record, LIMIT_PAIR);
        for (int i = 0; i < 10; i++)
                assert_true(take(&record, LIMIT_PAIR_SHARES_DAY, 10, now));
        for (int i = 0; i < 1000; i++) {
                int64_t jump = (int64_t) (next_random(&seed) % 7200) - 7200;
                size_t size;

                now += jump; /* back, again and again */
                size = limits_write(&record, bytes);
                assert_true(limits_read(&record, LIMIT_PAIR, bytes, size, now));
                assert_false(take(&record, LIMIT_PAIR_SHARES_DAY, 10, now));
        }
        now += DAY + 3600;
        assert_true(take(&record, LIMIT_PAIR_SHARES_DAY, 10, now));
}

static void what_is_far_ahead_ages_all_the_same(void **state) {
        LimitRecord record;

        limits_init(&record, LIMIT_PAIR);
        for (int i = 0; i < 10; i++)
                limits_add(&record, LIMIT_PAIR_SHARES_DAY, 1, START + 400 * DAY);
        assert_true(limits_wait(&record, LIMIT_PAIR_SHARES_DAY, 10, 1, START) > 0);
        assert_true(limits_age(&record, START));
        assert_false(limits_age(&record, START));
        assert_int_equal(limits_count(&record, LIMIT_PAIR_SHARES_DAY, START), 10);
        assert_int_equal(limits_count(&record, LIMIT_PAIR_SHARES_DAY, START + DAY + 3600), 0);
}

static void a_record_is_read_as_it_was_written(void **state) {
        uint64_t seed = 5;

        for (LimitKind kind = 1; kind < _LIMIT_KIND_MAX; kind++) {
                uint8_t bytes[LIMITS_SIZE_MAX], again[LIMITS_SIZE_MAX];
                LimitRecord record, read;
                int64_t now = START;
                size_t size;

                limits_init(&record, kind);
                for (int i = 0; i < 300; i++) {
                        now += next_random(&seed) % 4000;
                        limits_add(&record, 0, next_random(&seed), now);
                }
                size = limits_write(&record, bytes);
                assert_true(size <= sizeof(bytes));
                assert_true(limits_read(&read, kind, bytes, size, now));
                assert_int_equal(limits_write(&read, again), size);
                assert_memory_equal(again, bytes, size);
                assert_int_equal(limits_count(&read, 0, now), limits_count(&record, 0, now));
                for (size_t i = 0; i < size; i++)
                        assert_false(limits_read(&read, kind, bytes, i, now));
        }
}

static void what_cannot_be_read_is_full_and_ages(void **state) {
        static const uint8_t bad[] = { 1, 0xff, 0xff, 0xff };
        LimitRecord record;

        assert_false(limits_read(&record, LIMIT_PAIR, bad, sizeof(bad), START));
        for (int window = 0; window < LIMITS_WINDOWS_MAX; window++) {
                assert_int_equal(limits_count(&record, window, START), UINT32_MAX);
                assert_true(limits_wait(&record, window, 100000000, 1, START) > 0);
                assert_int_equal(limits_count(&record, window, START + DAY + 3600), 0);
        }
        assert_true(limits_is_stale(&record, START + DAY + 3600));
}

static void counts_do_not_run_over(void **state) {
        LimitRecord record;

        limits_init(&record, LIMIT_FLEET);
        limits_add(&record, LIMIT_FLEET_WRONG, UINT32_MAX, START);
        limits_add(&record, LIMIT_FLEET_WRONG, 1, START);
        limits_add(&record, LIMIT_FLEET_WRONG, UINT32_MAX, START + 7200);
        assert_int_equal(limits_count(&record, LIMIT_FLEET_WRONG, START + 7200), UINT32_MAX);
        assert_true(limits_wait(&record, LIMIT_FLEET_WRONG, UINT32_MAX, 1, START + 7200) > 0);
}

static void a_burst_is_followed_by_the_pace(void **state) {
        int64_t now = START * INT64_C(1000000), wait;
        LimitRecord record;
        int n = 0;

        limits_init(&record, LIMIT_TENANT);
        while (limits_pace_take(&record, 60, 120, now, &wait))
                n++;
        assert_int_equal(n, 120);
        assert_int_equal(wait, 1);
        assert_int_equal(limits_pace_wait(&record, 60, 120, now), 1);
        for (int i = 0; i < 600; i++)
                n += limits_pace_take(&record, 60, 120, now + i * INT64_C(100000), &wait);
        assert_true(n >= 120 + 59 && n <= 120 + 60);
        record.number[0] = INT64_MAX; /* from a store that was ahead */
        assert_false(limits_pace_take(&record, 60, 120, now, &wait));
        assert_true(limits_pace_take(&record, 60, 120, now + 121 * INT64_C(1000000), &wait));
}

static void a_locked_share_keeps_the_next_waiting_and_a_second_one_longer(void **state) {
        LimitRecord record;

        limits_init(&record, LIMIT_PAIR);
        assert_int_equal(limits_lock_wait(&record, START), 0);
        limits_lock(&record, START);
        assert_int_equal(limits_lock_wait(&record, START), 15 * 60);
        assert_int_equal(limits_lock_wait(&record, START + 15 * 60), 0);
        limits_lock(&record, START + 20 * 60);
        assert_int_equal(limits_lock_wait(&record, START + 20 * 60), DAY);
        assert_int_equal(limits_lock_wait(&record, START + 20 * 60 + DAY), 0);
        assert_false(limits_is_stale(&record, START + 2 * DAY));
        assert_true(limits_is_stale(&record, START + 9 * DAY));
        limits_lock(&record, START + 30 * DAY);
        assert_int_equal(limits_lock_wait(&record, START + 30 * DAY), 15 * 60);
        assert_true(limits_age(&record, START)); /* and one that is ahead ends as well */
        assert_int_equal(limits_lock_wait(&record, START + 15 * 60), 0);
}

static void a_burst_that_nobody_had_time_to_answer_stops_nothing(void **state) {
        LimitRecord record;

        limits_init(&record, LIMIT_ROUTE);
        limits_add(&record, LIMIT_ROUTE_SENT, 100, START);
        assert_false(limits_is_unanswered(&record, 30, 10, START));
        assert_false(limits_is_unanswered(&record, 30, 10, START + 1799));
        assert_true(limits_is_unanswered(&record, 30, 10, START + 3600));
        limits_add(&record, LIMIT_ROUTE_ANSWERED, 9, START + 3600);
        assert_true(limits_is_unanswered(&record, 30, 10, START + 3600));
        limits_add(&record, LIMIT_ROUTE_ANSWERED, 1, START + 3600);
        assert_false(limits_is_unanswered(&record, 30, 10, START + 3600));
        assert_false(limits_is_unanswered(&record, 101, 100, START + 3600));
}

static void a_stop_lasts_a_day(void **state) {
        LimitRecord record;

        limits_init(&record, LIMIT_ROUTE);
        assert_int_equal(limits_stop_wait(&record, START), 0);
        limits_stop(&record, START);
        assert_int_equal(limits_stop_wait(&record, START), DAY);
        assert_int_equal(limits_stop_wait(&record, START + DAY), 0);
        assert_false(limits_is_stale(&record, START + DAY - 1));
        limits_stop(&record, START + 1000 * DAY);
        assert_true(limits_age(&record, START));
        assert_int_equal(limits_stop_wait(&record, START + DAY), 0);
}

static void a_usual_hour_is_the_middle_of_those_with_work(void **state) {
        LimitRecord record;

        limits_init(&record, LIMIT_CHANNEL);
        for (int i = 0; i < 20; i++)
                limits_add(&record, LIMIT_CHANNEL_SENT, 50, i * 3600);
        assert_int_equal(limits_usual_hour(&record, 20 * 3600), 0); /* too few to say */
        for (int i = 20; i < 40; i++)
                limits_add(&record, LIMIT_CHANNEL_SENT, i == 30 ? 100000 : 50, i * 3600);
        assert_int_equal(limits_usual_hour(&record, 40 * 3600), 50);
        assert_int_equal(limits_this_hour(&record, 39 * 3600), 50);
        assert_int_equal(limits_this_hour(&record, 40 * 3600), 0);
        assert_int_equal(limits_usual_hour(&record, 400 * 3600), 0);
}

static void a_country_code_has_one_to_three_digits(void **state) {
        static const struct {
                const char *number;
                size_t digits;
        } codes[] = { { "12125550100", 1 },
                { "74951234567", 1 },
                { "4915112345678", 2 },
                { "447700900123", 2 },
                { "33612345678", 2 },
                { "351912345678", 3 },
                { "420601123456", 3 },
                { "358401234567", 3 },
                { "9715012345678", 3 },
                { "8613012345678", 2 },
                { "85212345678", 3 },
                { "201001234567", 2 },
                { "2348012345678", 3 },
                { "61412345678", 2 },
                { "67012345678", 3 },
                { "8", 1 },
                { "", 0 } };

        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
                assert_int_equal(limits_country_digits(codes[i].number), codes[i].digits);
}

static void a_tenant_with_many_shares_may_have_more_wrong_answers(void **state) {
        LimitRules rules;

        limits_default(&rules);
        assert_int_equal(limits_wrong_of_tenant(&rules, 0, false), 100);
        assert_int_equal(limits_wrong_of_tenant(&rules, 500, false), 100);
        assert_int_equal(limits_wrong_of_tenant(&rules, 2000, false), 400);
        assert_int_equal(limits_wrong_of_tenant(&rules, 0, true), 20);
        assert_int_equal(limits_wrong_of_tenant(&rules, 2000, true), 100);
        assert_int_equal(limits_soft(&rules, LIMIT_WRONG_PER_RECIPIENT), 6);
        assert_int_equal(limits_soft(&rules, LIMIT_WRONG_PER_SOURCE), 10);
        assert_int_equal(limits_soft(&rules, LIMIT_WRONG_PER_CHANNEL), 500);
        assert_int_equal(limits_soft(&rules, LIMIT_WRONG_IN_ALL), 1000);
}

static void the_shipped_numbers_are_within_their_bounds(void **state) {
        char problem[LIMITS_PROBLEM_SIZE];
        LimitRules rules;

        limits_default(&rules);
        assert_int_equal(limits_check(&rules, problem), 0);
        for (int i = 0; i < _LIMIT_NUMBER_MAX; i++) {
                const LimitDescription *d = limits_describe((LimitNumber) i);

                assert_true(d->key && strchr(d->words, '#') == strrchr(d->words, '#') &&
                                strchr(d->words, '#'));
                assert_true(d->min <= d->usual && d->usual <= d->max);
                /* Without a pause there is a limit all the same; without a number there is none. */
                assert_true(d->min > 0 || i == LIMIT_RESEND_FIRST || i == LIMIT_RESEND_SECOND);
        }
        assert_null(limits_describe(_LIMIT_NUMBER_MAX));
        rules.number[LIMIT_SHARES_PER_RECIPIENT_HOUR] = 2;
        assert_int_equal(limits_check(&rules, problem), 1);
        assert_string_equal(problem,
                        "shares_per_recipient_10min = 3 is never reached, as "
                        "shares_per_recipient_hour is 2");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_limit_is_reached_and_not_passed),
                cmocka_unit_test(what_waits_comes_at_the_time_that_was_said),
                cmocka_unit_test(no_stretch_of_a_window_holds_more_than_the_limit),
                cmocka_unit_test(jumps_and_restarts_refill_nothing),
                cmocka_unit_test(what_is_far_ahead_ages_all_the_same),
                cmocka_unit_test(a_record_is_read_as_it_was_written),
                cmocka_unit_test(what_cannot_be_read_is_full_and_ages),
                cmocka_unit_test(counts_do_not_run_over),
                cmocka_unit_test(a_burst_is_followed_by_the_pace),
                cmocka_unit_test(a_locked_share_keeps_the_next_waiting_and_a_second_one_longer),
                cmocka_unit_test(a_burst_that_nobody_had_time_to_answer_stops_nothing),
                cmocka_unit_test(a_stop_lasts_a_day),
                cmocka_unit_test(a_usual_hour_is_the_middle_of_those_with_work),
                cmocka_unit_test(a_country_code_has_one_to_three_digits),
                cmocka_unit_test(a_tenant_with_many_shares_may_have_more_wrong_answers),
                cmocka_unit_test(the_shipped_numbers_are_within_their_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
