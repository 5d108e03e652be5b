/* Every cell of the mailbox's table, and the order of its checks. */
#include "test.h"

#include "mailbox.h"

static MailboxQuestion question(MailboxState state, MailboxParty party, RelayOperation operation) {
        return (MailboxQuestion){
                .state = state,
                .party = party,
                .operation = operation,
                .rights = RELAY_RIGHT_READ | RELAY_RIGHT_WRITE | RELAY_RIGHT_DELETE,
                .body_is_valid = true,
        };
}

/* Written apart from the table, from the text of the draft. One letter for each operation in the
 * order Create, Update, Delete, Preview, Read, Relinquish: N, O, B = done and the next state is
 * none, open, bound; u = 401; g = 404. */
static void every_cell_is_as_the_draft_says(void **state) {
        static const char *const expected[_MAILBOX_STATE_MAX][_MAILBOX_PARTY_MAX] = {
                [MAILBOX_NONE] = { "uggggg", "uggggg", "Oggggg" },
                [MAILBOX_OPEN] = { "uONOOu", "uuuuuu", "uuuOBu" },
                [MAILBOX_BOUND] = { "uBNBBu", "uBNBBO", "uuuBuu" },
        };

        for (MailboxState s = MAILBOX_NONE; s < _MAILBOX_STATE_MAX; s++)
                for (MailboxParty p = MAILBOX_INITIATOR; p < _MAILBOX_PARTY_MAX; p++)
                        for (RelayOperation o = RELAY_CREATE; o < _RELAY_OPERATION_MAX; o++) {
                                MailboxQuestion q = question(s, p, o);
                                MailboxDecision d = mailbox_decide(&q);
                                char c = d.outcome == MAILBOX_DONE           ? "NOB"[d.next]
                                         : d.outcome == MAILBOX_UNAUTHORISED ? 'u'
                                         : d.outcome == MAILBOX_GONE         ? 'g'
                                                                             : '?';

                                if (c != expected[s][p][o])
                                        fail_msg("state %d party %d operation %d: %c", s, p, o, c);
                                if (d.outcome != MAILBOX_DONE)
                                        assert_int_equal(d.next, s);
                        }
}

static void only_create_update_and_relinquish_know_duplicates(void **state) {
        static const bool knows[_RELAY_OPERATION_MAX] = {
                [RELAY_CREATE] = true, [RELAY_UPDATE] = true, [RELAY_RELINQUISH] = true
        };

        for (RelayOperation o = RELAY_CREATE; o < _RELAY_OPERATION_MAX; o++) {
                MailboxQuestion q = question(MAILBOX_BOUND, MAILBOX_INITIATOR, o);

                q.is_duplicate = true;
                assert_int_equal(mailbox_decide(&q).outcome == MAILBOX_DUPLICATE, knows[o]);
        }
}

static void a_duplicate_comes_before_claim_right_and_body_and_after_existence(void **state) {
        MailboxQuestion q = question(MAILBOX_OPEN, MAILBOX_STRANGER, RELAY_UPDATE);

        q.is_duplicate = true;
        q.rights = 0;
        q.body_is_valid = false;
        assert_int_equal(mailbox_decide(&q).outcome, MAILBOX_DUPLICATE);
        q.state = MAILBOX_NONE;
        assert_int_equal(mailbox_decide(&q).outcome, MAILBOX_GONE);
}

static void the_claim_comes_before_the_right_and_the_right_before_the_body(void **state) {
        MailboxQuestion q = question(MAILBOX_OPEN, MAILBOX_STRANGER, RELAY_UPDATE);

        q.rights = RELAY_RIGHT_READ | RELAY_RIGHT_DELETE;
        q.body_is_valid = false;
        assert_int_equal(mailbox_decide(&q).outcome, MAILBOX_UNAUTHORISED);
        q.party = MAILBOX_INITIATOR;
        assert_int_equal(mailbox_decide(&q).outcome, MAILBOX_NO_RIGHT);
        q.rights |= RELAY_RIGHT_WRITE;
        assert_int_equal(mailbox_decide(&q).outcome, MAILBOX_BAD_BODY);
        q.body_is_valid = true;
        assert_int_equal(mailbox_decide(&q).outcome, MAILBOX_DONE);
}

static void a_read_without_the_right_binds_nobody(void **state) {
        MailboxQuestion q = question(MAILBOX_OPEN, MAILBOX_STRANGER, RELAY_READ);

        q.rights = RELAY_RIGHT_WRITE | RELAY_RIGHT_DELETE;
        assert_int_equal(mailbox_decide(&q).outcome, MAILBOX_NO_RIGHT);
        assert_int_equal(mailbox_decide(&q).next, MAILBOX_OPEN);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_cell_is_as_the_draft_says),
                cmocka_unit_test(only_create_update_and_relinquish_know_duplicates),
                cmocka_unit_test(a_duplicate_comes_before_claim_right_and_body_and_after_existence),
                cmocka_unit_test(the_claim_comes_before_the_right_and_the_right_before_the_body),
                cmocka_unit_test(a_read_without_the_right_binds_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
