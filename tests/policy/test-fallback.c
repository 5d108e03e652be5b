/* Steps of the fallback: which comes next, when, and after what. */
#include "fallback.h"

#include "../base/test.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 24 * HOUR };

static int32_t utc(int64_t moment, void *userdata) {
        return 0;
}

static const QuietZone zone = { utc, NULL };
static const FallbackStep strong = { true, RULES_AUTHENTIC_STRONG, 900 },
                          weak = { true, RULES_AUTHENTIC_WEAK, 0 },
                          gone = { false, RULES_AUTHENTIC_STRONG, 900 };
static const int64_t noon = 500 * DAY + 12 * HOUR;

static void what_is_not_there_or_knows_senders_too_little_is_skipped(void **state) {
        const FallbackStep steps[] = { weak, gone, strong, weak };

        assert_int_equal(fallback_next(steps, 4, -1, RULES_AUTHENTIC_WEAK), 0);
        assert_int_equal(fallback_next(steps, 4, -1, RULES_AUTHENTIC_STRONG), 2);
        assert_int_equal(fallback_next(steps, 4, 0, RULES_AUTHENTIC_WEAK), 2);
        assert_int_equal(fallback_next(steps, 4, 2, RULES_AUTHENTIC_WEAK), 3);
        assert_int_equal(fallback_next(steps, 4, 2, RULES_AUTHENTIC_STRONG), FALLBACK_NO_STEP);
        assert_int_equal(fallback_next(steps, 4, 3, RULES_AUTHENTIC_WEAK), FALLBACK_NO_STEP);
        assert_int_equal(fallback_next(steps, 0, -1, RULES_AUTHENTIC_WEAK), FALLBACK_NO_STEP);
}

static void silence_ends_a_step_that_has_a_time_and_a_next(void **state) {
        FallbackRules rules = fallback_default();

        assert_int_equal(fallback_until(&rules, &strong, true, noon, &zone), noon + 900);
        assert_int_equal(fallback_until(&rules, &strong, false, noon, &zone), 0);
        assert_int_equal(fallback_until(&rules, &weak, true, noon, &zone), 0);
        rules.quiet = (QuietHours){ 12 * 60 + 10, 14 * 60 };
        assert_int_equal(fallback_until(&rules, &strong, true, noon, &zone),
                        noon + 900 + 110 * MINUTE);
        rules.on = FALLBACK_FAILED;
        assert_int_equal(fallback_until(&rules, &strong, true, noon, &zone), 0);
}

static void a_step_down_is_told_first_unless_the_policy_is_silent(void **state) {
        FallbackRules rules = fallback_default();
        FallbackPlan plan = fallback_plan(&rules, &strong, &weak, noon, &zone);

        assert_true(plan.tell_first && !plan.is_night);
        assert_int_equal(plan.at, noon + FALLBACK_ANNOUNCE_DEFAULT);
        plan = fallback_plan(&rules, &weak, &strong, noon, &zone);
        assert_false(plan.tell_first);
        assert_int_equal(plan.at, noon);
        plan = fallback_plan(&rules, &weak, &weak, noon, &zone);
        assert_false(plan.tell_first);
        rules.announced = false;
        plan = fallback_plan(&rules, &strong, &weak, noon, &zone);
        assert_false(plan.tell_first);
        assert_int_equal(plan.at, noon);
}

static void at_night_a_step_waits_for_the_morning(void **state) {
        FallbackRules rules = fallback_default();
        FallbackPlan plan;
        int64_t evening = 500 * DAY + 20 * HOUR + 57 * MINUTE;

        rules.announce = 5 * MINUTE;
        rules.quiet = (QuietHours){ 21 * 60, 8 * 60 };
        plan = fallback_plan(&rules, &weak, &strong, evening, &zone);
        assert_int_equal(plan.at, evening);
        assert_false(plan.is_night);
        plan = fallback_plan(&rules, &strong, &weak, evening, &zone); /* 21:02 is too late */
        assert_true(plan.is_night && plan.tell_first);
        assert_int_equal(plan.at, 501 * DAY + 8 * HOUR);
        plan = fallback_plan(&rules, &weak, &strong, evening + HOUR, &zone);
        assert_true(plan.is_night && !plan.tell_first);
        assert_int_equal(plan.at, 501 * DAY + 8 * HOUR);
}

static void causes_have_names_and_nothing_else_has(void **state) {
        assert_int_equal(fallback_cause_from_name("failed"), FALLBACK_FAILED);
        assert_int_equal(fallback_cause_from_name("silence"), FALLBACK_SILENCE);
        assert_int_equal(fallback_cause_from_name("both"), 0);
        assert_null(fallback_cause_name(FALLBACK_FAILED | FALLBACK_SILENCE));
        assert_null(fallback_cause_name(0));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_not_there_or_knows_senders_too_little_is_skipped),
                cmocka_unit_test(silence_ends_a_step_that_has_a_time_and_a_next),
                cmocka_unit_test(a_step_down_is_told_first_unless_the_policy_is_silent),
                cmocka_unit_test(at_night_a_step_waits_for_the_morning),
                cmocka_unit_test(causes_have_names_and_nothing_else_has),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
