/* Every cell of the lifecycle's table against a second one, written by hand from the design and not
 * from the first, and the properties that the table as a whole has to keep. */
#include "lifecycle.h"

#include <stdio.h>

#include "../base/test.h"

/* clang-format off */

/* Effects: I send the invitation, C create the mailbox, G next generation, L send the link, W watch and D
 * delete the mailbox, q drop what is queued, wipe c the code, p the payload, l the link, m the mailbox's
 * URL and claims, t tell the sender, b block the pair, a the address, s suppress the address. */
static const struct {
        const char *state, *event, *next, *effects;
} expected[] = {
        { "pending",           "invitation_taken",    "invited",           "" },
        { "pending",           "resend_invitation",   "pending",           "I" },
        { "pending",           "reissue",             "pending",           "k" },
        { "pending",           "undeliverable",       "failed",            "qcplmt" },
        { "pending",           "expire",              "expired",           "qcplmt" },
        { "pending",           "no",                  "declined",          "qcplmt" },
        { "pending",           "not_me",              "disowned",          "qcplmtb" },
        { "pending",           "stop",                "declined",          "qcplmta" },
        { "pending",           "stop_all",            "declined",          "qcplmts" },
        { "pending",           "cancel",              "cancelled",         "qcplm" },

        { "invited",           "invitation_taken",    "invited",           "" },
        { "invited",           "resend_invitation",   "invited",           "I" },
        { "invited",           "undeliverable",       "failed",            "qcplmt" },
        { "invited",           "mistyped",            "invited",           "" },
        { "invited",           "fact_met",            "invited",           "" },
        { "invited",           "factor_met",          "invited",           "k" },
        { "invited",           "ready",               "invited",           "Kk" },
        { "invited",           "code_lapsed",         "invited",           "k" },
        { "invited",           "reissue",             "invited",           "k" },
        { "invited",           "code_wrong",          "invited",           "" },
        { "invited",           "code_wrong_last",     "locked",            "qcplmt" },
        { "invited",           "code_right",          "confirmed",         "qc" },
        { "invited",           "expire",              "expired",           "qcplmt" },
        { "invited",           "no",                  "declined",          "qcplmt" },
        { "invited",           "not_me",              "disowned",          "qcplmtb" },
        { "invited",           "stop",                "declined",          "qcplmta" },
        { "invited",           "stop_all",            "declined",          "qcplmts" },
        { "invited",           "help",                "invited",           "" },
        { "invited",           "cancel",              "cancelled",         "qcplm" },

        { "confirmed",         "ask_approval",        "awaiting_approval", "t" },
        { "confirmed",         "release",             "releasing",         "C" },
        { "confirmed",         "expire",              "expired",           "qcplmt" },
        { "confirmed",         "no",                  "declined",          "qcplmt" },
        { "confirmed",         "not_me",              "disowned",          "qcplmtb" },
        { "confirmed",         "stop",                "declined",          "qcplmta" },
        { "confirmed",         "stop_all",            "declined",          "qcplmts" },
        { "confirmed",         "cancel",              "cancelled",         "qcplm" },
        { "confirmed",         "policy_tightened",    "failed",            "qcplmt" },

        { "awaiting_approval", "approved",            "releasing",         "Cc" },
        { "awaiting_approval", "approval_wrong",      "locked",            "qcplmt" },
        { "awaiting_approval", "denied",              "cancelled",         "qcplm" },
        { "awaiting_approval", "expire",              "expired",           "qcplmt" },
        { "awaiting_approval", "no",                  "declined",          "qcplmt" },
        { "awaiting_approval", "not_me",              "disowned",          "qcplmtb" },
        { "awaiting_approval", "stop",                "declined",          "qcplmta" },
        { "awaiting_approval", "stop_all",            "declined",          "qcplmts" },
        { "awaiting_approval", "cancel",              "cancelled",         "qcplm" },
        { "awaiting_approval", "policy_tightened",    "failed",            "qcplmt" },

        { "releasing",         "generation_lost",     "releasing",         "GC" },
        { "releasing",         "not_issued",          "failed",            "qcplmt" },
        { "releasing",         "relay_refused",       "failed",            "qcplmt" },
        { "releasing",         "relay_unreachable",   "failed",            "qcplmt" },
        { "releasing",         "mailbox_made",        "released",          "LWp" },
        { "releasing",         "no",                  "withdrawing",       "qcplt" },
        { "releasing",         "not_me",              "withdrawing",       "qcpltb" },
        { "releasing",         "stop",                "withdrawing",       "qcplta" },
        { "releasing",         "stop_all",            "withdrawing",       "qcplts" },
        { "releasing",         "cancel",              "withdrawing",       "qcpl" },
        { "releasing",         "policy_tightened",    "withdrawing",       "qcplt" },

        { "released",          "link_sent",           "released",          "" },
        { "released",          "link_undeliverable",  "withdrawing",       "Dqcplt" },
        { "released",          "resend_link",         "released",          "L" },
        { "released",          "acknowledged",        "released",          "Dqcpl" },
        { "released",          "mailbox_gone",        "completed",         "qcplm" },
        { "released",          "not_collected",       "expired",           "qcplmt" },
        { "released",          "not_finished",        "expired",           "qcplmt" },
        { "released",          "outcome_unknown",     "expired",           "qcplmt" },
        { "released",          "claimed_elsewhere",   "withdrawing",       "Dqcplt" },
        { "released",          "transfer_broken",     "withdrawing",       "Dqcplt" },
        { "released",          "no",                  "withdrawing",       "Dqcplt" },
        { "released",          "not_me",              "withdrawing",       "Dqcpltb" },
        { "released",          "stop",                "withdrawing",       "Dqcplta" },
        { "released",          "stop_all",            "withdrawing",       "Dqcplts" },
        { "released",          "help",                "released",          "L" },
        { "released",          "cancel",              "withdrawing",       "Dqcpl" },
        { "released",          "policy_tightened",    "withdrawing",       "Dqcplt" },

        { "withdrawing",       "mailbox_made",        "withdrawing",       "D" },
        { "withdrawing",       "link_sent",           "withdrawing",       "" },
        { "withdrawing",       "acknowledged",        "withdrawing",       "t" },
        { "withdrawing",       "claimed_elsewhere",   "withdrawing",       "t" },
        { "withdrawing",       "no",                  "withdrawing",       "" },
        { "withdrawing",       "not_me",              "withdrawing",       "tb" },
        { "withdrawing",       "stop",                "withdrawing",       "a" },
        { "withdrawing",       "stop_all",            "withdrawing",       "s" },
        { "withdrawing",       "cancel",              "withdrawing",       "" },
        { "withdrawing",       "withdrawn_declined",  "declined",          "qcplm" },
        { "withdrawing",       "withdrawn_disowned",  "disowned",          "qcplm" },
        { "withdrawing",       "withdrawn_cancelled", "cancelled",         "qcplm" },
        { "withdrawing",       "withdrawn_failed",    "failed",            "qcplm" },
};
/* clang-format on */

static uint32_t effects_from_letters(const char *letters) {
        static const char *const order = "ICGLWDqcplmtbsaKk";
        static const uint32_t effects[] = { LIFECYCLE_DO_SEND_INVITATION,
                LIFECYCLE_DO_CREATE_MAILBOX,
                LIFECYCLE_DO_NEXT_GENERATION,
                LIFECYCLE_DO_SEND_LINK,
                LIFECYCLE_DO_WATCH_MAILBOX,
                LIFECYCLE_DO_DELETE_MAILBOX,
                LIFECYCLE_DO_DROP_QUEUED,
                LIFECYCLE_DO_WIPE_CODE,
                LIFECYCLE_DO_WIPE_PAYLOAD,
                LIFECYCLE_DO_WIPE_LINK,
                LIFECYCLE_DO_WIPE_MAILBOX,
                LIFECYCLE_DO_TELL_SENDER,
                LIFECYCLE_DO_BLOCK_PAIR,
                LIFECYCLE_DO_SUPPRESS_ADDRESS,
                LIFECYCLE_DO_BLOCK_ADDRESS,
                LIFECYCLE_DO_SEND_CODE,
                LIFECYCLE_DO_DROP_CODE };
        uint32_t result = 0;

        for (; *letters; letters++) {
                assert_non_null(strchr(order, *letters));
                result |= effects[strchr(order, *letters) - order];
        }
        return result;
}

static void every_cell_is_what_the_design_says(void **state) {
        size_t n_allowed = 0;

        for (LifecycleState from = 0; from < LIFECYCLE_STATE_MAX; from++)
                for (LifecycleEvent event = 0; event < LIFECYCLE_EVENT_MAX; event++) {
                        LifecycleState next = LIFECYCLE_STATE_MAX;
                        uint32_t effects = 0xdeadbeef;
                        size_t row = 0;
                        int r = lifecycle_step(from, event, &next, &effects);

                        while (row < N_ELEMENTS(expected) &&
                                        !(streq(expected[row].state, lifecycle_state_name(from)) &&
                                                        streq(expected[row].event,
                                                                        lifecycle_event_name(
                                                                                        event))))
                                row++;
                        if (row == N_ELEMENTS(expected)) {
                                assert_int_equal(r, LIFECYCLE_E_NOT_ALLOWED);
                                assert_int_equal(next, LIFECYCLE_STATE_MAX);
                                assert_int_equal(effects, 0xdeadbeef);
                                continue;
                        }
                        n_allowed++;
                        if (r != 0)
                                fail_msg("%s, %s: refused",
                                                expected[row].state,
                                                expected[row].event);
                        assert_string_equal(lifecycle_state_name(next), expected[row].next);
                        if (effects != effects_from_letters(expected[row].effects))
                                fail_msg("%s, %s: effects %#x",
                                                expected[row].state,
                                                expected[row].event,
                                                effects);
                }
        assert_int_equal(n_allowed, N_ELEMENTS(expected));
}

static void values_outside_the_enumerations_are_refused(void **state) {
        static const int odd[] = {
                -1, LIFECYCLE_STATE_MAX, LIFECYCLE_EVENT_MAX, 1000, INT32_MAX, INT32_MIN
        };
        LifecycleState next = LIFECYCLE_LOCKED;
        uint32_t effects = 7;

        for (size_t i = 0; i < N_ELEMENTS(odd); i++) {
                assert_int_equal(lifecycle_step((LifecycleState) odd[i],
                                                 LIFECYCLE_EVENT_CANCEL,
                                                 &next,
                                                 &effects),
                                LIFECYCLE_E_NOT_ALLOWED);
                if (odd[i] != LIFECYCLE_STATE_MAX)
                        assert_int_equal(lifecycle_step(LIFECYCLE_PENDING,
                                                         (LifecycleEvent) odd[i],
                                                         &next,
                                                         &effects),
                                        LIFECYCLE_E_NOT_ALLOWED);
                assert_false(lifecycle_is_terminal((LifecycleState) odd[i]));
                assert_int_equal(
                                lifecycle_mailbox((LifecycleState) odd[i]), LIFECYCLE_MAILBOX_NONE);
        }
        assert_int_equal(next, LIFECYCLE_LOCKED);
        assert_int_equal(effects, 7);
        assert_null(lifecycle_state_name(LIFECYCLE_STATE_MAX));
        assert_null(lifecycle_event_name(LIFECYCLE_EVENT_MAX));
        assert_null(lifecycle_cause_name(LIFECYCLE_CAUSE_MAX));
}

static void a_share_that_ended_refuses_every_event(void **state) {
        size_t n_terminal = 0;

        for (LifecycleState from = 0; from < LIFECYCLE_STATE_MAX; from++) {
                bool stays = true;

                for (LifecycleEvent event = 0; event < LIFECYCLE_EVENT_MAX; event++) {
                        LifecycleState next;
                        uint32_t effects;

                        stays &= lifecycle_step(from, event, &next, &effects) != 0;
                }
                assert_int_equal(stays, lifecycle_is_terminal(from));
                n_terminal += stays;
        }
        assert_int_equal(n_terminal, 7);
}

/* States that can be reached from one, without the events of a set. */
static uint32_t reachable(LifecycleState from, uint64_t without) {
        uint32_t seen = 1u << from, before = 0;

        while (seen != before) {
                before = seen;
                for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                        for (LifecycleEvent e = 0; seen >> s & 1 && e < LIFECYCLE_EVENT_MAX; e++) {
                                LifecycleState next;
                                uint32_t effects;

                                if (!(without >> e & 1) &&
                                                lifecycle_step(s, e, &next, &effects) == 0)
                                        seen |= 1u << next;
                        }
        }
        return seen;
}

static void nothing_is_released_without_the_right_code(void **state) {
        uint32_t seen = reachable(LIFECYCLE_PENDING, UINT64_C(1) << LIFECYCLE_EVENT_CODE_RIGHT);

        assert_true(reachable(LIFECYCLE_PENDING, 0) >> LIFECYCLE_RELEASING & 1);
        assert_false(seen >> LIFECYCLE_CONFIRMED & 1);
        assert_false(seen >> LIFECYCLE_AWAITING_APPROVAL & 1);
        assert_false(seen >> LIFECYCLE_RELEASING & 1);
        assert_false(seen >> LIFECYCLE_RELEASED & 1);
        assert_false(seen >> LIFECYCLE_WITHDRAWING & 1);
        assert_false(seen >> LIFECYCLE_COMPLETED & 1);
}

static void only_the_right_code_confirms_and_only_while_invited(void **state) {
        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++) {
                        LifecycleState next;
                        uint32_t effects;

                        if (lifecycle_step(s, e, &next, &effects) != 0)
                                continue;
                        if (next == LIFECYCLE_CONFIRMED) {
                                assert_int_equal(s, LIFECYCLE_INVITED);
                                assert_int_equal(e, LIFECYCLE_EVENT_CODE_RIGHT);
                        }
                        if (next == LIFECYCLE_RELEASING && s != LIFECYCLE_RELEASING)
                                assert_true(s == LIFECYCLE_CONFIRMED ||
                                                s == LIFECYCLE_AWAITING_APPROVAL);
                }
}

static void no_share_expires_by_time_of_day_from_releasing_on(void **state) {
        for (LifecycleState s = LIFECYCLE_RELEASING; s < LIFECYCLE_STATE_MAX; s++) {
                LifecycleState next;
                uint32_t effects;

                assert_int_equal(lifecycle_step(s, LIFECYCLE_EVENT_EXPIRE, &next, &effects),
                                LIFECYCLE_E_NOT_ALLOWED);
        }
}

static void every_share_can_end(void **state) {
        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++) {
                uint32_t seen = reachable(s, 0), ends = 0;

                for (LifecycleState t = 0; t < LIFECYCLE_STATE_MAX; t++)
                        ends |= lifecycle_is_terminal(t) ? 1u << t : 0;
                assert_true(seen & ends);
        }
        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                assert_true(reachable(LIFECYCLE_PENDING, 0) >> s & 1);
}

static void the_end_wipes_everything_and_drops_what_is_queued(void **state) {
        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++) {
                        LifecycleState next;
                        uint32_t effects;

                        if (lifecycle_step(s, e, &next, &effects) != 0 ||
                                        !lifecycle_is_terminal(next))
                                continue;
                        assert_int_equal(effects & LIFECYCLE_DO_WIPE_ALL, LIFECYCLE_DO_WIPE_ALL);
                        assert_true(effects & LIFECYCLE_DO_DROP_QUEUED);
                        assert_false(effects &
                                        (LIFECYCLE_DO_SEND_LINK | LIFECYCLE_DO_SEND_INVITATION |
                                                        LIFECYCLE_DO_CREATE_MAILBOX));
                }
}

static void withdrawing_loses_everything_but_the_way_to_the_mailbox(void **state) {
        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++) {
                        LifecycleState next;
                        uint32_t effects;

                        if (s == LIFECYCLE_WITHDRAWING ||
                                        lifecycle_step(s, e, &next, &effects) != 0 ||
                                        next != LIFECYCLE_WITHDRAWING)
                                continue;
                        assert_int_equal(effects & LIFECYCLE_DO_WIPE_ALL,
                                        LIFECYCLE_DO_WIPE_ALL & ~LIFECYCLE_DO_WIPE_MAILBOX);
                        assert_true(effects & LIFECYCLE_DO_DROP_QUEUED);
                        assert_int_equal(!!(effects & LIFECYCLE_DO_DELETE_MAILBOX),
                                        s == LIFECYCLE_RELEASED);
                }
}

static void a_relay_or_a_link_is_touched_after_confirmation_only(void **state) {
        const uint32_t inner = LIFECYCLE_DO_CREATE_MAILBOX | LIFECYCLE_DO_NEXT_GENERATION |
                               LIFECYCLE_DO_SEND_LINK | LIFECYCLE_DO_WATCH_MAILBOX |
                               LIFECYCLE_DO_DELETE_MAILBOX;

        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++) {
                        LifecycleState next;
                        uint32_t effects;

                        if (lifecycle_step(s, e, &next, &effects) != 0)
                                continue;
                        if (effects & inner)
                                assert_true(s >= LIFECYCLE_CONFIRMED);
                        if (effects & LIFECYCLE_DO_CREATE_MAILBOX)
                                assert_int_equal(next, LIFECYCLE_RELEASING);
                        if (effects & LIFECYCLE_DO_SEND_LINK)
                                assert_int_equal(next, LIFECYCLE_RELEASED);
                        if (effects & LIFECYCLE_DO_SEND_INVITATION)
                                assert_true(next == LIFECYCLE_PENDING || next == LIFECYCLE_INVITED);
                }
}

static void no_state_with_a_reachable_mailbox_is_an_end(void **state) {
        static const LifecycleMailbox mailbox[LIFECYCLE_STATE_MAX] = {
                [LIFECYCLE_RELEASING] = LIFECYCLE_MAILBOX_AT_MOST_ONE,
                [LIFECYCLE_RELEASED] = LIFECYCLE_MAILBOX_ONE,
                [LIFECYCLE_WITHDRAWING] = LIFECYCLE_MAILBOX_AT_MOST_ONE,
        };

        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++) {
                assert_int_equal(lifecycle_mailbox(s), mailbox[s]);
                assert_false(lifecycle_is_terminal(s) &&
                                lifecycle_mailbox(s) != LIFECYCLE_MAILBOX_NONE);
        }
}

static void every_way_into_withdrawing_has_a_goal_and_a_way_out(void **state) {
        for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++) {
                bool enters = false;
                LifecycleState goal = lifecycle_goal(e), next;
                uint32_t effects;

                for (LifecycleState s = LIFECYCLE_RELEASING; s <= LIFECYCLE_RELEASED; s++)
                        enters |= lifecycle_step(s, e, &next, &effects) == 0 &&
                                  next == LIFECYCLE_WITHDRAWING;
                assert_int_equal(enters, goal != LIFECYCLE_STATE_MAX);
                if (!enters)
                        continue;
                assert_int_equal(lifecycle_step(LIFECYCLE_WITHDRAWING,
                                                 lifecycle_withdrawn(goal),
                                                 &next,
                                                 &effects),
                                0);
                assert_int_equal(next, goal);
                /* Before a mailbox can exist, the same event leads to the same end at once. */
                if (lifecycle_step(LIFECYCLE_CONFIRMED, e, &next, &effects) == 0)
                        assert_int_equal(next, goal);
        }
        assert_int_equal(lifecycle_withdrawn(LIFECYCLE_COMPLETED), LIFECYCLE_EVENT_MAX);
        assert_int_equal(lifecycle_withdrawn(LIFECYCLE_PENDING), LIFECYCLE_EVENT_MAX);
        assert_int_equal(lifecycle_goal(LIFECYCLE_EVENT_MAX), LIFECYCLE_STATE_MAX);
}

static void a_cause_tells_why_and_the_first_one_stays_while_withdrawing(void **state) {
        const LifecycleCause none = LIFECYCLE_CAUSE_NONE;

        assert_int_equal(lifecycle_cause(LIFECYCLE_INVITED, LIFECYCLE_EVENT_EXPIRE, none),
                        LIFECYCLE_CAUSE_UNANSWERED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED, LIFECYCLE_EVENT_NOT_COLLECTED, none),
                        LIFECYCLE_CAUSE_NOT_COLLECTED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED, LIFECYCLE_EVENT_NOT_FINISHED, none),
                        LIFECYCLE_CAUSE_NOT_FINISHED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED, LIFECYCLE_EVENT_OUTCOME_UNKNOWN, none),
                        LIFECYCLE_CAUSE_OUTCOME_UNKNOWN);
        assert_int_equal(lifecycle_cause(LIFECYCLE_AWAITING_APPROVAL, LIFECYCLE_EVENT_DENIED, none),
                        LIFECYCLE_CAUSE_NOT_APPROVED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_PENDING, LIFECYCLE_EVENT_UNDELIVERABLE, none),
                        LIFECYCLE_CAUSE_UNDELIVERABLE);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED,
                                         LIFECYCLE_EVENT_LINK_UNDELIVERABLE,
                                         none),
                        LIFECYCLE_CAUSE_UNDELIVERABLE);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASING, LIFECYCLE_EVENT_RELAY_REFUSED, none),
                        LIFECYCLE_CAUSE_RELAY_REFUSED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASING,
                                         LIFECYCLE_EVENT_RELAY_UNREACHABLE,
                                         none),
                        LIFECYCLE_CAUSE_RELAY_UNREACHABLE);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED,
                                         LIFECYCLE_EVENT_CLAIMED_ELSEWHERE,
                                         none),
                        LIFECYCLE_CAUSE_CLAIMED_ELSEWHERE);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASING, LIFECYCLE_EVENT_NOT_ISSUED, none),
                        LIFECYCLE_CAUSE_NOT_ISSUED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED, LIFECYCLE_EVENT_TRANSFER_BROKEN, none),
                        LIFECYCLE_CAUSE_TRANSFER_BROKEN);
        assert_int_equal(lifecycle_cause(LIFECYCLE_CONFIRMED,
                                         LIFECYCLE_EVENT_POLICY_TIGHTENED,
                                         none),
                        LIFECYCLE_CAUSE_POLICY_TIGHTENED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED, LIFECYCLE_EVENT_MAILBOX_GONE, none),
                        LIFECYCLE_CAUSE_MAILBOX_GONE);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED, LIFECYCLE_EVENT_ACKNOWLEDGED, none),
                        LIFECYCLE_CAUSE_ACKNOWLEDGED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED,
                                         LIFECYCLE_EVENT_MAILBOX_GONE,
                                         LIFECYCLE_CAUSE_ACKNOWLEDGED),
                        LIFECYCLE_CAUSE_ACKNOWLEDGED);
        assert_int_equal(lifecycle_cause(LIFECYCLE_RELEASED,
                                         LIFECYCLE_EVENT_CANCEL,
                                         LIFECYCLE_CAUSE_ACKNOWLEDGED),
                        LIFECYCLE_CAUSE_NONE);
        for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++)
                assert_int_equal(lifecycle_cause(LIFECYCLE_WITHDRAWING,
                                                 e,
                                                 LIFECYCLE_CAUSE_CLAIMED_ELSEWHERE),
                                LIFECYCLE_CAUSE_CLAIMED_ELSEWHERE);
}

static void names_lead_back_to_their_values(void **state) {
        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                assert_int_equal(lifecycle_state_from_name(lifecycle_state_name(s)), s);
        for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++)
                assert_int_equal(lifecycle_event_from_name(lifecycle_event_name(e)), e);
        for (LifecycleCause c = 0; c < LIFECYCLE_CAUSE_MAX; c++)
                assert_int_equal(lifecycle_cause_from_name(lifecycle_cause_name(c)), c);
        assert_int_equal(lifecycle_state_from_name("Pending"), LIFECYCLE_STATE_MAX);
        assert_int_equal(lifecycle_event_from_name(""), LIFECYCLE_EVENT_MAX);
        assert_int_equal(lifecycle_cause_from_name(NULL), LIFECYCLE_CAUSE_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_cell_is_what_the_design_says),
                cmocka_unit_test(values_outside_the_enumerations_are_refused),
                cmocka_unit_test(a_share_that_ended_refuses_every_event),
                cmocka_unit_test(nothing_is_released_without_the_right_code),
                cmocka_unit_test(only_the_right_code_confirms_and_only_while_invited),
                cmocka_unit_test(no_share_expires_by_time_of_day_from_releasing_on),
                cmocka_unit_test(every_share_can_end),
                cmocka_unit_test(the_end_wipes_everything_and_drops_what_is_queued),
                cmocka_unit_test(withdrawing_loses_everything_but_the_way_to_the_mailbox),
                cmocka_unit_test(a_relay_or_a_link_is_touched_after_confirmation_only),
                cmocka_unit_test(no_state_with_a_reachable_mailbox_is_an_end),
                cmocka_unit_test(every_way_into_withdrawing_has_a_goal_and_a_way_out),
                cmocka_unit_test(a_cause_tells_why_and_the_first_one_stays_while_withdrawing),
                cmocka_unit_test(names_lead_back_to_their_values),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
