/* The table of modes: levels, what is asked for next, and who is stopped. */
#include "factor.h"

#include "../base/test.h"

static void names_are_those_of_the_configuration(void **state) {
        static const char *const names[FACTOR_N] = {
                "reply-code", "cross-code", "split", "approve", "fact", "page-code"
        };

        for (unsigned i = 0; i < FACTOR_N; i++) {
                assert_string_equal(factor_name((Factor) (1U << i)), names[i]);
                assert_int_equal(factor_from_name(names[i]), 1 << i);
                assert_int_equal(factor_is_available((Factor) (1U << i)),
                                strcmp(names[i], "page-code") != 0);
        }
        assert_null(factor_name(FACTOR_SPLIT | FACTOR_FACT));
        assert_null(factor_name((Factor) (1U << FACTOR_N)));
        assert_int_equal(factor_from_name("password"), 0);
        assert_int_equal(factor_from_name(NULL), 0);
        assert_false(factor_is_available((Factor) 0));
}

static void levels_are_those_of_the_design(void **state) {
        assert_int_equal(factor_assurance(0, 128), 0);
        assert_int_equal(factor_assurance(FACTOR_REPLY_CODE, 0), 1);
        assert_int_equal(factor_assurance(FACTOR_CROSS_CODE, 0), 2);
        assert_int_equal(factor_assurance(FACTOR_SPLIT, 0), 2);
        assert_int_equal(factor_assurance(FACTOR_REPLY_CODE | FACTOR_SPLIT, 0), 2);
        assert_int_equal(factor_assurance(FACTOR_APPROVE, 0), 0);
        assert_int_equal(factor_assurance(FACTOR_APPROVE | FACTOR_SPLIT, 0), 2);
        assert_int_equal(factor_assurance(FACTOR_FACT, FACTOR_FACT_BITS - 1), 0);
        assert_int_equal(factor_assurance(FACTOR_FACT, FACTOR_FACT_BITS), 1);
        assert_int_equal(factor_assurance(FACTOR_PAGE_CODE, 0), 3);
        assert_int_equal(factor_assurance(FACTOR_PAGE_CODE | FACTOR_APPROVE, 0), 4);
}

/* Whatever is wanted is asked for once, in one order, and comes to an end; approve is not asked of
 * the recipient. */
static void every_set_is_asked_for_to_its_end(void **state) {
        for (uint32_t wanted = 1; wanted < FACTOR_PAGE_CODE; wanted++) {
                uint32_t met = 0, asked = 0;
                Factor next;

                while ((next = factor_next(wanted, met)) != 0) {
                        assert_true(next & wanted && !(next & asked));
                        asked |= next;
                        met = factor_meet(wanted, met, next);
                        assert_true(met & next);
                }
                assert_int_equal(met, wanted & ~(uint32_t) FACTOR_APPROVE);
                assert_false(asked & FACTOR_APPROVE);
                if (wanted & (FACTOR_REPLY_CODE | FACTOR_CROSS_CODE | FACTOR_FACT))
                        assert_false(asked & FACTOR_SPLIT); /* the other answer said YES */
        }
        assert_int_equal(factor_next(FACTOR_ALL, 0), FACTOR_FACT);
        assert_int_equal(factor_meet(FACTOR_SPLIT, 0, FACTOR_REPLY_CODE), 0);
}

/* A higher level withstands at least one attacker more, and nothing less by adding a factor. */
static void adding_a_factor_never_lets_an_attacker_in(void **state) {
        for (uint32_t set = 0; set <= FACTOR_ALL; set++)
                for (unsigned i = 0; i < FACTOR_N; i++)
                        for (FactorAttacker a = 0; a < FACTOR_ATTACKER_MAX; a++)
                                if (factor_stops(set, a))
                                        assert_true(factor_stops(set | 1U << i, a));
        assert_false(factor_stops(FACTOR_ALL, FACTOR_ATTACKER_MAX));
}

static void the_cells_that_decide(void **state) {
        static const struct {
                FactorAttacker attacker;
                bool reply, cross, split;
        } rows[] = {
                { FACTOR_ATTACKER_WRONG_PERSON, true, true, true },
                { FACTOR_ATTACKER_SPOOFER, true, true, true },
                { FACTOR_ATTACKER_SCANNER, true, true, true },
                { FACTOR_ATTACKER_LATER_READER, true, true, true },
                { FACTOR_ATTACKER_CODE_LISTENER, true, true, true },
                { FACTOR_ATTACKER_FIRST_CHANNEL, false, false, true },
                { FACTOR_ATTACKER_SECOND_CHANNEL, true, true, true },
                { FACTOR_ATTACKER_RELAY, true, true, true },
                { FACTOR_ATTACKER_FIRST_CHANNEL_AND_RELAY, false, false, true },
                { FACTOR_ATTACKER_STORE, true, true, true },
                { FACTOR_ATTACKER_PHONE, true, false, false },
                { FACTOR_ATTACKER_BOTH_CHANNELS, false, false, false },
        };

        assert_int_equal(N_ELEMENTS(rows), FACTOR_ATTACKER_MAX);
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                assert_non_null(factor_attacker_name(rows[i].attacker));
                assert_non_null(factor_attacker_text(rows[i].attacker));
                assert_int_equal(factor_stops(FACTOR_REPLY_CODE, rows[i].attacker), rows[i].reply);
                assert_int_equal(factor_stops(FACTOR_CROSS_CODE, rows[i].attacker), rows[i].cross);
                assert_int_equal(factor_stops(FACTOR_SPLIT, rows[i].attacker), rows[i].split);
        }
        assert_null(factor_attacker_name(FACTOR_ATTACKER_MAX));
        assert_null(factor_attacker_text(FACTOR_ATTACKER_MAX));
        assert_true(factor_needs_two_channels(FACTOR_SPLIT | FACTOR_REPLY_CODE));
        assert_true(factor_needs_two_channels(FACTOR_CROSS_CODE));
        assert_false(factor_needs_two_channels(FACTOR_REPLY_CODE | FACTOR_APPROVE | FACTOR_FACT));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_are_those_of_the_configuration),
                cmocka_unit_test(levels_are_those_of_the_design),
                cmocka_unit_test(every_set_is_asked_for_to_its_end),
                cmocka_unit_test(adding_a_factor_never_lets_an_attacker_in),
                cmocka_unit_test(the_cells_that_decide),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
