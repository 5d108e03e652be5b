/* Which share a reply belongs to. */
#include "correlation.h"

#include "../base/test.h"

enum {
        THREAD = 1,
        QUOTED = 2,
        ELSEWHERE = 4, /* another address */
};

static CorrelationCandidate candidate(LifecycleState state, const char *tag, unsigned evidence) {
        return (CorrelationCandidate){
                .state = state,
                .address_matches = !(evidence & ELSEWHERE),
                .thread_matches = evidence & THREAD,
                .quoted_matches = evidence & QUOTED,
                .tag = tag,
        };
}

/* The bound index, -1 for none, -2 for ambiguous. */
static int bound(AnswerKind kind,
                const char *tag,
                bool suffices,
                const CorrelationCandidate *candidates,
                size_t n) {
        const CorrelationEvidence evidence = { kind, tag, suffices };
        size_t index = 77;

        switch (correlation_bind(&evidence, candidates, n, &index)) {
        case CORRELATION_BOUND:
                assert_true(index < n);
                return (int) index;
        case CORRELATION_NONE:
                assert_int_equal(index, 77);
                return -1;
        default:
                assert_int_equal(index, 77);
                return -2;
        }
}

static void an_answer_from_another_address_never_binds(void **state) {
        const CorrelationCandidate all[] = {
                candidate(LIFECYCLE_INVITED, "2AAA", ELSEWHERE | THREAD | QUOTED),
        };

        for (AnswerKind kind = 0; kind < ANSWER_KIND_MAX; kind++) {
                assert_int_equal(bound(kind, "2AAA", true, all, 1), -1);
                assert_int_equal(bound(kind, NULL, true, all, 1), -1);
                assert_int_equal(bound(kind, "2AAA", false, all, 1), -1);
        }
}

static void the_only_open_challenge_is_meant_where_the_channel_vouches(void **state) {
        const CorrelationCandidate one[] = { candidate(LIFECYCLE_CANCELLED, "2AAA", 0),
                candidate(LIFECYCLE_INVITED, "2AAA", 0) };

        assert_int_equal(bound(ANSWER_CODE, NULL, true, one, 2), 1);
        assert_int_equal(bound(ANSWER_CODE, "", true, one, 2), 1);
        assert_int_equal(bound(ANSWER_NO, NULL, true, one, 2), 1);
        assert_int_equal(bound(ANSWER_OTHER, NULL, true, one, 2), 1);
        assert_int_equal(bound(ANSWER_CODE, NULL, true, one, 1), -1);
        assert_int_equal(bound(ANSWER_CODE, NULL, true, NULL, 0), -1);
}

static void on_sms_a_code_without_a_tag_is_asked_for_one(void **state) {
        const CorrelationCandidate one[] = { candidate(LIFECYCLE_INVITED, "2AAA", 0) };

        assert_int_equal(bound(ANSWER_CODE, NULL, false, one, 1), -2);
        assert_int_equal(bound(ANSWER_NO, NULL, false, one, 1), -2);
        assert_int_equal(bound(ANSWER_OTHER, NULL, false, one, 1), -1);
        assert_int_equal(bound(ANSWER_CODE, "2AAA", false, one, 1), 0);
        assert_int_equal(bound(ANSWER_CODE, NULL, false, NULL, 0), -1);
}

static void among_several_open_challenges_nothing_is_guessed(void **state) {
        const CorrelationCandidate two[] = { candidate(LIFECYCLE_INVITED, "2AAA", 0),
                candidate(LIFECYCLE_INVITED, "3BBB", 0) };

        assert_int_equal(bound(ANSWER_CODE, NULL, true, two, 2), -2);
        assert_int_equal(bound(ANSWER_NO, NULL, true, two, 2), -2);
        assert_int_equal(bound(ANSWER_OTHER, NULL, true, two, 2), -1);
        assert_int_equal(bound(ANSWER_CODE, "2AAA", true, two, 2), 0);
        assert_int_equal(bound(ANSWER_CODE, "3BBB", true, two, 2), 1);
        assert_int_equal(bound(ANSWER_CODE, "4CCC", true, two, 2), -2);
}

static void a_tag_of_no_share_here_spends_nothing(void **state) {
        const CorrelationCandidate one[] = { candidate(LIFECYCLE_INVITED, "2AAA", 0) };
        const CorrelationCandidate ended[] = { candidate(LIFECYCLE_LOCKED, "2AAA", 0) };

        assert_int_equal(bound(ANSWER_CODE, "4CCC", true, one, 1), -2);
        assert_int_equal(bound(ANSWER_CODE, "4CCC", true, ended, 1), -1);
        assert_int_equal(bound(ANSWER_CODE, "2AAA", true, ended, 1), 0);
}

static void a_thread_or_a_quotation_says_which(void **state) {
        const CorrelationCandidate thread[] = { candidate(LIFECYCLE_INVITED, "2AAA", 0),
                candidate(LIFECYCLE_INVITED, "3BBB", THREAD) };
        const CorrelationCandidate quoted[] = { candidate(LIFECYCLE_INVITED, "2AAA", THREAD),
                candidate(LIFECYCLE_INVITED, "3BBB", QUOTED) };

        assert_int_equal(bound(ANSWER_CODE, NULL, true, thread, 2), 1);
        assert_int_equal(bound(ANSWER_CODE, NULL, false, thread, 2), 1);
        assert_int_equal(bound(ANSWER_OTHER, NULL, true, thread, 2), 1);
        assert_int_equal(bound(ANSWER_CODE, "3BBB", true, thread, 2), 1);
        assert_int_equal(bound(ANSWER_CODE, "9ZZZ", true, thread, 2),
                        1); /* a word that looked like one */
        assert_int_equal(bound(ANSWER_CODE, NULL, true, quoted, 2), 1);
}

static void a_written_tag_beats_a_thread_and_contradicts_a_quotation(void **state) {
        const CorrelationCandidate thread[] = { candidate(LIFECYCLE_INVITED, "2AAA", 0),
                candidate(LIFECYCLE_INVITED, "3BBB", THREAD) };
        const CorrelationCandidate quoted[] = { candidate(LIFECYCLE_INVITED, "2AAA", 0),
                candidate(LIFECYCLE_INVITED, "3BBB", QUOTED) };

        assert_int_equal(bound(ANSWER_CODE, "2AAA", true, thread, 2), 0);
        assert_int_equal(bound(ANSWER_CODE, "2AAA", true, quoted, 2), -2);
        assert_int_equal(bound(ANSWER_CODE, "3BBB", true, quoted, 2), 1);
}

static void the_thread_of_a_share_that_ended_is_not_taken_for_the_next_one(void **state) {
        const CorrelationCandidate next[] = { candidate(LIFECYCLE_INVITED, "2AAA", 0),
                candidate(LIFECYCLE_COMPLETED, "3BBB", THREAD) };

        assert_int_equal(bound(ANSWER_CODE, NULL, true, next, 2), -2);
        assert_int_equal(bound(ANSWER_CODE, "2AAA", true, next, 2), 0);
        /* Without another one that is open, it is a late answer to that share. */
        assert_int_equal(bound(ANSWER_CODE, NULL, true, next + 1, 1), 0);
}

static void one_tag_on_two_shares_means_the_open_one(void **state) {
        const CorrelationCandidate reused[] = { candidate(LIFECYCLE_EXPIRED, "2AAA", 0),
                candidate(LIFECYCLE_INVITED, "2AAA", 0) };
        const CorrelationCandidate twice[] = { candidate(LIFECYCLE_INVITED, "2AAA", 0),
                candidate(LIFECYCLE_INVITED, "2AAA", 0) };

        assert_int_equal(bound(ANSWER_CODE, "2AAA", true, reused, 2), 1);
        assert_int_equal(bound(ANSWER_CODE, "2AAA", true, twice, 2), -2);
}

static void what_an_answer_can_mean_depends_on_the_state(void **state) {
        const CorrelationCandidate both[] = { candidate(LIFECYCLE_RELEASED, "2AAA", 0),
                candidate(LIFECYCLE_INVITED, "2AAA", 0) };

        assert_int_equal(bound(ANSWER_DONE, NULL, true, both, 2), 0);
        assert_int_equal(bound(ANSWER_CODE, NULL, true, both, 2), 1);
        assert_int_equal(bound(ANSWER_NOT_ME, NULL, true, both, 2), -2);

        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++) {
                assert_int_equal(correlation_is_open(s, ANSWER_CODE),
                                s == LIFECYCLE_PENDING || s == LIFECYCLE_INVITED);
                assert_int_equal(correlation_is_open(s, ANSWER_DONE), s == LIFECYCLE_RELEASED);
                assert_int_equal(correlation_is_open(s, ANSWER_TAKEN),
                                s == LIFECYCLE_RELEASED || s == LIFECYCLE_COMPLETED);
                assert_int_equal(correlation_is_open(s, ANSWER_NO), s < LIFECYCLE_WITHDRAWING);
                assert_int_equal(correlation_is_open(s, ANSWER_STOP), s < LIFECYCLE_WITHDRAWING);
        }
        assert_false(correlation_is_open(LIFECYCLE_INVITED, ANSWER_KIND_MAX));
        assert_false(correlation_is_open(LIFECYCLE_STATE_MAX, ANSWER_NO));
        assert_false(correlation_is_open((LifecycleState) -1, ANSWER_NO));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_from_another_address_never_binds),
                cmocka_unit_test(the_only_open_challenge_is_meant_where_the_channel_vouches),
                cmocka_unit_test(on_sms_a_code_without_a_tag_is_asked_for_one),
                cmocka_unit_test(among_several_open_challenges_nothing_is_guessed),
                cmocka_unit_test(a_tag_of_no_share_here_spends_nothing),
                cmocka_unit_test(a_thread_or_a_quotation_says_which),
                cmocka_unit_test(a_written_tag_beats_a_thread_and_contradicts_a_quotation),
                cmocka_unit_test(the_thread_of_a_share_that_ended_is_not_taken_for_the_next_one),
                cmocka_unit_test(one_tag_on_two_shares_means_the_open_one),
                cmocka_unit_test(what_an_answer_can_mean_depends_on_the_state),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
