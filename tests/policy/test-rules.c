/* Floors of policies: what is refused, and that the refusal names the number. */
#include "rules.h"

#include "../base/test.h"

static void the_defaults_of_every_class_are_accepted(void **state) {
        for (RulesClass class = 0; class < RULES_CLASS_MAX; class ++) {
                char problem[RULES_PROBLEM_SIZE];
                Rules rules;

                rules_default(class, &rules);
                if (rules_check(&rules, problem) != 0)
                        fail_msg("%s: %s", rules_class_name(class), problem);
                assert_string_equal(problem, "");
                assert_true(rules_assurance(&rules) >= rules_required(&rules));
        }
}

/* security.md B.5, and design section 8 for what stands in until page-code exists. */
static void the_defaults_are_those_of_the_table(void **state) {
        static const struct {
                RulesClass class;
                uint32_t factors;
                unsigned floor, required, attempts_total, reissues;
                int mailbox_hours;
        } rows[] = {
                { RULES_HOTEL, FACTOR_REPLY_CODE, 1, 1, 9, 2, 12 },
                { RULES_HOME_LIMITED, FACTOR_REPLY_CODE, 1, 1, 9, 2, 12 },
                { RULES_HOME, FACTOR_SPLIT | FACTOR_APPROVE, 3, 2, 3, 0, 12 },
                { RULES_CAR_UNLOCK, FACTOR_SPLIT, 2, 2, 3, 0, 24 },
                { RULES_CAR, FACTOR_SPLIT | FACTOR_APPROVE, 3, 2, 3, 0, 24 },
                { RULES_ACCESS, FACTOR_CROSS_CODE, 2, 2, 6, 1, 6 },
                { RULES_FLEET, FACTOR_CROSS_CODE, 2, 2, 6, 1, 6 },
        };

        assert_int_equal(N_ELEMENTS(rows), RULES_CLASS_MAX);
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                Rules rules;

                rules_default(rows[i].class, &rules);
                assert_int_equal(rules.factors, rows[i].factors);
                assert_int_equal(rules_floor(rows[i].class), rows[i].floor);
                assert_int_equal(rules_required(&rules), rows[i].required);
                assert_int_equal(rules.attempts, 3);
                assert_int_equal(rules.attempts_total, rows[i].attempts_total);
                assert_int_equal(rules.reissues, rows[i].reissues);
                assert_int_equal(rules.mailbox_ttl, rows[i].mailbox_hours * 3600);
                assert_int_equal(rules.challenge_ttl, 24 * 3600);
                assert_int_equal(rules.code_ttl, 600);
                assert_int_equal(rules.interim_floor, rows[i].floor > 2 ? 2 : 0);
        }
}

static void a_reply_code_is_not_enough_for_what_asks_for_two_channels(void **state) {
        static const struct {
                RulesClass class;
                const char *says;
        } rows[] = {
                { RULES_HOME, "RAL-2" },
                { RULES_CAR, "RAL-2" },
                { RULES_CAR_UNLOCK, "RAL-2" },
                { RULES_ACCESS, "RAL-2" },
                { RULES_FLEET, "RAL-2" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                char problem[RULES_PROBLEM_SIZE];
                Rules rules;

                rules_default(rows[i].class, &rules);
                rules.factors = FACTOR_REPLY_CODE;
                assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR);
                assert_non_null(strstr(problem, rows[i].says));
                assert_non_null(strstr(problem, "reply-code reaches assurance level RAL-1"));
                assert_non_null(strstr(problem, rules_class_name(rows[i].class)));
        }
}

/* A class whose floor nothing reaches is accepted with its stand-in only, and that wants approve.
 */
static void the_interim_floor_is_for_classes_that_nothing_reaches(void **state) {
        char problem[RULES_PROBLEM_SIZE];
        Rules rules;

        rules_default(RULES_CAR, &rules);
        rules.interim_floor = 0;
        assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR);
        assert_non_null(strstr(problem, "RAL-3"));
        rules.interim_floor = 1;
        assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR);
        assert_non_null(strstr(problem, "must be RAL-2"));
        rules.interim_floor = 2;
        rules.factors = FACTOR_SPLIT;
        assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR);
        assert_non_null(strstr(problem, "approve"));
        rules.factors = FACTOR_CROSS_CODE | FACTOR_APPROVE;
        assert_int_equal(rules_check(&rules, problem), 0);

        rules_default(RULES_FLEET, &rules);
        rules.interim_floor = 2;
        assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR);
        assert_non_null(strstr(problem, "interim_floor"));
}

static void a_fact_counts_from_its_bits_on(void **state) {
        char problem[RULES_PROBLEM_SIZE];
        Rules rules;

        rules_default(RULES_HOTEL, &rules);
        rules.factors = FACTOR_FACT;
        rules.fact_bits = 25;
        assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR);
        assert_non_null(strstr(problem, "fact reaches assurance level RAL-0"));
        rules.fact_bits = 26; /* nine attempts take three of them */
        assert_int_equal(rules_check(&rules, problem), RULES_E_BELOW_FLOOR);
        assert_non_null(strstr(problem, "fact_bits"));
        rules.fact_bits = 27;
        assert_int_equal(rules_check(&rules, problem), 0);
        rules.factors |= FACTOR_REPLY_CODE;
        rules.fact_bits = 0;
        assert_int_equal(rules_check(&rules, problem), 0);
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
        REFUSED(rules.factors = 1 << FACTOR_N, "factors");
        REFUSED(rules.factors = FACTOR_PAGE_CODE, "page-code is not in this version");
        REFUSED(rules.factors = FACTOR_APPROVE, "approve reaches assurance level RAL-0");
        REFUSED(rules.factors = FACTOR_APPROVE | FACTOR_FACT, "approve and fact reach");
        REFUSED(rules.reissues = 3, "reissues: 3, must be at most 2");
        REFUSED(rules.code_ttl = 601, "code_ttl: 601 s, must be 60 s to 10 min");
        REFUSED(rules.code_ttl = 59, "code_ttl: 59 s");
        REFUSED(rules.approval_ttl = 0, "approval_ttl: 0 s");
        REFUSED(rules.approval_ttl = 601, "approval_ttl: 601 s");
        REFUSED(rules.fact_bits = 129, "fact_bits: 129");
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
                                        assert_true(rules_guess_bits_total(&rules) >=
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
        TIGHTENED((now.class = RULES_CAR, now.interim_floor = 2), "car asks for RAL-2");
        TIGHTENED(now.class = RULES_CLASS_MAX, "class");
        TIGHTENED(now.code = CODE_X8, "code");
        TIGHTENED(now.attempts_total = 3, "attempts_total");
        TIGHTENED(now.minimum_authentic = RULES_AUTHENTIC_STRONG, "minimum_authentic: strong");
}

static void a_share_goes_on_with_the_smaller_of_then_and_now(void **state) {
        Rules then, now, both;

        (void) state;
        rules_default(RULES_HOTEL, &then);
        now = then;
        now.attempts = 2;
        now.reissues = 1;
        now.mailbox_ttl = 300;
        now.code_ttl = 120;
        now.approval_ttl = 180;
        both = rules_stricter(&then, &now);
        assert_memory_equal(&both, &now, sizeof(both));
        both = rules_stricter(&now, &then);
        assert_memory_equal(&both, &now, sizeof(both));
        now.factors = FACTOR_SPLIT;
        now.attempts = now.reissues = 0;
        both = rules_stricter(&then, &now);
        assert_int_equal(both.attempts, then.attempts);
        assert_int_equal(both.reissues, then.reissues);
        assert_int_equal(both.code_ttl, 120);
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
        for (RulesAuthentic a = 0; a < RULES_AUTHENTIC_MAX; a++)
                assert_int_equal(rules_authentic_from_name(rules_authentic_name(a)), a);
        assert_int_equal(rules_authentic_from_name("very"), RULES_AUTHENTIC_MAX);
        assert_null(rules_authentic_name(RULES_AUTHENTIC_MAX));
        assert_int_equal(rules_floor(RULES_CLASS_MAX), 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_defaults_of_every_class_are_accepted),
                cmocka_unit_test(the_defaults_are_those_of_the_table),
                cmocka_unit_test(a_reply_code_is_not_enough_for_what_asks_for_two_channels),
                cmocka_unit_test(the_interim_floor_is_for_classes_that_nothing_reaches),
                cmocka_unit_test(a_fact_counts_from_its_bits_on),
                cmocka_unit_test(a_number_below_the_floor_is_refused_by_name),
                cmocka_unit_test(the_bounds_themselves_are_allowed),
                cmocka_unit_test(guessing_never_gets_easier_than_the_hard_bound),
                cmocka_unit_test(a_share_does_not_outlive_a_stricter_policy),
                cmocka_unit_test(a_share_goes_on_with_the_smaller_of_then_and_now),
                cmocka_unit_test(a_share_outlives_a_policy_that_asks_for_less),
                cmocka_unit_test(a_share_expires_between_a_minute_and_what_the_mailbox_leaves),
                cmocka_unit_test(names_and_verticals_are_those_of_the_api),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
