/* Floors of policies: what is refused, and that the refusal names the number. */
#include "rules.h"

#include "../base/test.h"

static void hotel_and_limited_home_meet_their_floor_with_a_replied_code(void **state) {
        static const RulesClass classes[] = { RULES_HOTEL, RULES_HOME_LIMITED };

        for (size_t i = 0; i < N_ELEMENTS(classes); i++) {
                char problem[RULES_PROBLEM_SIZE];
                Rules rules;

                rules_default(classes[i], &rules);
                if (rules_check(&rules, problem) != 0)
                        fail_msg("%s", problem);
                assert_string_equal(problem, "");
        }
}

static void every_other_class_is_refused_with_the_level_it_asks_for(void **state) {
        static const struct {
                RulesClass class;
                const char *says;
        } rows[] = {
                { RULES_HOME, "RAL-3" },
                { RULES_CAR, "RAL-3" },
                { RULES_CAR_UNLOCK, "RAL-2" },
                { RULES_ACCESS, "RAL-2" },
                { RULES_FLEET, "RAL-2" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                char problem[RULES_PROBLEM_SIZE];
                Rules rules;

                rules_default(rows[i].class, &rules);
                assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR);
                assert_non_null(strstr(problem, rows[i].says));
                assert_non_null(strstr(problem, "RAL-1"));
                assert_non_null(strstr(problem, rules_class_name(rows[i].class)));
        }
}

/* A change to the hotel's defaults that must be refused with a text. */
#define REFUSED(change, says)                                                        \
        do {                                                                         \
                char problem[RULES_PROBLEM_SIZE];                                    \
                Rules rules;                                                         \
                rules_default(RULES_HOTEL, &rules);                                  \
                change;                                                              \
                assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR); \
                if (!strstr(problem, says))                                          \
                        fail_msg("%s", problem);                                     \
        } while (0)

static void a_number_below_the_floor_is_refused_by_name(void **state) {
        REFUSED(rules.attempts = 0, "attempts: 0, must be 1 to 5");
        REFUSED(rules.attempts = 6, "attempts: 6, must be 1 to 5");
        REFUSED(rules.attempts_total = 2, "attempts_total: 2, must be 3 (attempts) to 9");
        REFUSED(rules.attempts_total = 10, "attempts_total: 10");
        REFUSED(rules.attempts_total = 0, "attempts_total: 0");
        REFUSED(rules.factors = 0, "factors");
        REFUSED(rules.factors = 3, "factors");
        REFUSED(rules.code = CODE_FORMAT_MAX, "code");
        REFUSED(rules.class = RULES_CLASS_MAX, "class");
        REFUSED(rules.minimum_authentic = RULES_AUTHENTIC_NONE, "minimum_authentic");
        REFUSED(rules.minimum_authentic = RULES_AUTHENTIC_MAX, "minimum_authentic");
        REFUSED(rules.mailbox_ttl = 299, "mailbox_ttl: 299 s");
        REFUSED(rules.mailbox_ttl = 24 * 3600 + 1, "mailbox_ttl");
        REFUSED(rules.mailbox_ttl = -1, "mailbox_ttl");
        REFUSED(rules.challenge_ttl = 59, "lifetime: 59 s");
        REFUSED(rules.challenge_ttl = INT64_MAX, "66 h");
        REFUSED(rules.challenge_ttl = 54 * 3600 + 1, "together more than 66 h");
        REFUSED((rules.class = RULES_HOME_LIMITED, rules.code = CODE_D9),
                        "2^-23.4, class home-limited asks for at most 2^-31");
}

static void the_bounds_themselves_are_allowed(void **state) {
        char problem[RULES_PROBLEM_SIZE];
        Rules rules;

        rules_default(RULES_HOTEL, &rules);
        rules.challenge_ttl = 54 * 3600; /* and 12 hours of mailbox */
        rules.attempts = 5;
        rules.attempts_total = 9;
        assert_int_equal(rules_check(&rules, problem), 0);
        rules.challenge_ttl = 60;
        rules.mailbox_ttl = 24 * 3600;
        rules.code = CODE_X8;
        rules.minimum_authentic = RULES_AUTHENTIC_STRONG;
        assert_int_equal(rules_check(&rules, problem), 0);
}

static void guessing_never_gets_easier_than_the_hard_bound(void **state) {
        char problem[RULES_PROBLEM_SIZE];

        for (RulesClass class = 0; class < RULES_CLASS_MAX; class ++)
                for (CodeFormat code = 0; code < CODE_FORMAT_MAX; code++)
                        for (unsigned total = 0; total < 20; total++)
                                for (unsigned attempts = 0; attempts < 20; attempts++) {
                                        Rules rules;

                                        rules_default(class, &rules);
                                        rules.code = code;
                                        rules.attempts = attempts;
                                        rules.attempts_total = total;
                                        if (rules_check(&rules, problem) != 0)
                                                continue;
                                        assert_true(rules_guess_bits(&rules) >=
                                                        RULES_GUESS_BITS_MIN);
                                        assert_true(attempts >= 1 && attempts <= 5 && total <= 9);
                                }
}

#define TIGHTENED(change, says)                                                             \
        do {                                                                                \
                char problem[RULES_PROBLEM_SIZE];                                           \
                Rules then, now;                                                            \
                rules_default(RULES_HOTEL, &then);                                          \
                now = then;                                                                 \
                change;                                                                     \
                assert_int_equal(rules_tightened(&then, &now, problem), RULES_E_TIGHTENED); \
                if (!strstr(problem, says))                                                 \
                        fail_msg("%s", problem);                                            \
        } while (0)

static void a_share_does_not_outlive_a_stricter_policy(void **state) {
        TIGHTENED(now.factors |= 2, "factors");
        TIGHTENED(now.class = RULES_CAR, "car asks for RAL-3");
        TIGHTENED(now.class = RULES_CLASS_MAX, "class");
        TIGHTENED(now.code = CODE_X8, "code");
        TIGHTENED(now.attempts_total = 3, "attempts_total");
        TIGHTENED(now.minimum_authentic = RULES_AUTHENTIC_STRONG, "minimum_authentic: strong");
}

static void a_share_outlives_a_policy_that_asks_for_less(void **state) {
        char problem[RULES_PROBLEM_SIZE];
        Rules then, now;

        rules_default(RULES_HOTEL, &then);
        assert_int_equal(rules_tightened(&then, &then, problem), 0);
        now = then;
        then.code = CODE_X8;
        then.minimum_authentic = RULES_AUTHENTIC_STRONG;
        now.attempts_total = 3;
        assert_int_equal(rules_tightened(&then, &now, problem),
                        0); /* X8 nine times beats D9 three times */
}

static void a_share_expires_between_a_minute_and_what_the_mailbox_leaves(void **state) {
        const int64_t now = 1795262400;
        char problem[RULES_PROBLEM_SIZE];
        Rules rules;

        rules_default(RULES_HOTEL, &rules);
        assert_int_equal(rules_check_expiry(&rules, now, now + 60, problem), 0);
        assert_int_equal(rules_check_expiry(&rules, now, now + 54 * 3600, problem), 0);
        assert_int_equal(rules_check_expiry(&rules, now, now + 54 * 3600 + 1, problem),
                        RULES_E_LIFETIME);
        assert_non_null(strstr(problem, "54 h 0 min"));
        assert_int_equal(rules_check_expiry(&rules, now, now + 59, problem), RULES_E_LIFETIME);
        assert_int_equal(rules_check_expiry(&rules, now, now, problem), RULES_E_LIFETIME);
        assert_int_equal(rules_check_expiry(&rules, now, now - 1, problem), RULES_E_LIFETIME);
        assert_int_equal(rules_check_expiry(&rules, now, INT64_MIN, problem), RULES_E_LIFETIME);
        assert_int_equal(rules_check_expiry(&rules, now, INT64_MAX, problem), RULES_E_LIFETIME);
        assert_int_equal(rules_check_expiry(&rules, -2, INT64_MAX, problem), RULES_E_LIFETIME);
}

static void names_and_verticals_are_those_of_the_api(void **state) {
        static const struct {
                RulesClass class;
                const char *name;
                char vertical;
        } rows[] = {
                { RULES_HOTEL, "hotel", 'a' },
                { RULES_HOME_LIMITED, "home-limited", 'h' },
                { RULES_HOME, "home", 'h' },
                { RULES_CAR_UNLOCK, "car-unlock", 'c' },
                { RULES_CAR, "car", 'c' },
                { RULES_ACCESS, "access", 'a' },
                { RULES_FLEET, "fleet", 'a' },
        };

        assert_int_equal(N_ELEMENTS(rows), RULES_CLASS_MAX);
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                assert_string_equal(rules_class_name(rows[i].class), rows[i].name);
                assert_int_equal(rules_class_from_name(rows[i].name), rows[i].class);
                assert_int_equal(rules_vertical(rows[i].class), rows[i].vertical);
        }
        assert_int_equal(rules_class_from_name("boat"), RULES_CLASS_MAX);
        assert_int_equal(rules_class_from_name(NULL), RULES_CLASS_MAX);
        assert_null(rules_class_name(RULES_CLASS_MAX));
        assert_int_equal(rules_factor_from_name("reply-code"), RULES_FACTOR_REPLY_CODE);
        assert_int_equal(rules_factor_from_name("split"), 0);
        for (RulesAuthentic a = 0; a < RULES_AUTHENTIC_MAX; a++)
                assert_int_equal(rules_authentic_from_name(rules_authentic_name(a)), a);
        assert_int_equal(rules_authentic_from_name("very"), RULES_AUTHENTIC_MAX);
        assert_null(rules_authentic_name(RULES_AUTHENTIC_MAX));
        assert_int_equal(rules_floor(RULES_CLASS_MAX), 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hotel_and_limited_home_meet_their_floor_with_a_replied_code),
                cmocka_unit_test(every_other_class_is_refused_with_the_level_it_asks_for),
                cmocka_unit_test(a_number_below_the_floor_is_refused_by_name),
                cmocka_unit_test(the_bounds_themselves_are_allowed),
                cmocka_unit_test(guessing_never_gets_easier_than_the_hard_bound),
                cmocka_unit_test(a_share_does_not_outlive_a_stricter_policy),
                cmocka_unit_test(a_share_outlives_a_policy_that_asks_for_less),
                cmocka_unit_test(a_share_expires_between_a_minute_and_what_the_mailbox_leaves),
                cmocka_unit_test(names_and_verticals_are_those_of_the_api),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
