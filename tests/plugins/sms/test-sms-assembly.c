/* Parts put together: in any order, once, within bounds, and given up aloud. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "sms-assembly.h"

static const SmsAssemblyLimits limits = {
        .wholes = 4,
        .per_sender = 2,
        .parts = 70,
        .parts_of_sender = 64,
        .bytes = 1000,
        .timeout = 100,
        .patience = 20,
};

typedef struct Case {
        SmsAssembly *assembly;
        SmsWhole whole;
} Case;

static int setup(void **state) {
        static Case c;

        c = (Case){ 0 };
        *state = &c;
        return sodium_init() >= 0 && sms_assembly_new(&limits, &c.assembly) == 0 ? 0 : -1;
}

static int teardown(void **state) {
        Case *c = *state;

        sms_whole_done(&c->whole);
        (void) sms_assembly_free(c->assembly);
        return 0;
}

static SmsPart
part_of(const char *from, uint16_t reference, uint8_t part, uint8_t total, const char *text) {
        return (SmsPart){ .from = from,
                .to = "4930",
                .concat = { SMS_CONCAT_8, reference, total, part },
                .octets = { .alphabet = SMS_LATIN1,
                                .data = (const uint8_t *) text,
                                .size = strlen(text) },
                .token = part };
}

static int add(Case *c, SmsPart part, uint64_t now) {
        sms_whole_done(&c->whole);
        return sms_assembly_add(c->assembly, &part, now, &c->whole);
}

static void parts_make_a_whole_in_any_order(void **state) {
        Case *c = *state;

        assert_int_equal(add(c, part_of("491", 7, 3, 3, "c"), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 7, 1, 3, "a"), 1), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(sms_assembly_bytes(c->assembly), 2);
        assert_int_equal(add(c, part_of("491", 7, 2, 3, "b"), 2), 0);
        assert_string_equal(c->whole.text, "abc");
        assert_string_equal(c->whole.from, "491");
        assert_string_equal(c->whole.to, "4930");
        assert_int_equal(c->whole.n_tokens, 3);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(c->whole.tokens[i], i + 1);
        assert_int_equal(sms_assembly_count(c->assembly), 0);
        assert_int_equal(sms_assembly_bytes(c->assembly), 0);
}

static void a_message_in_one_part_is_whole_at_once(void **state) {
        Case *c = *state;
        SmsPart part = part_of("491", 0, 0, 0, "YES");

        part.concat.kind = SMS_CONCAT_NONE;
        assert_int_equal(add(c, part, 0), 0);
        assert_string_equal(c->whole.text, "YES");
        assert_int_equal(add(c, part_of("491", 1, 1, 1, "NO"), 0), 0);
        assert_string_equal(c->whole.text, "NO");
}

static void messages_of_different_keys_do_not_mix(void **state) {
        Case *c = *state;
        SmsPart wide = part_of("491", 7, 2, 2, "!"), other = wide;

        assert_int_equal(add(c, part_of("491", 7, 1, 2, "a"), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("492", 7, 2, 2, "x"), 0), SMS_ASSEMBLY_E_WAITING);
        wide.concat.kind = SMS_CONCAT_16;
        assert_int_equal(add(c, wide, 0), SMS_ASSEMBLY_E_WAITING);
        other.to = "4940";
        assert_int_equal(add(c, other, 0), SMS_ASSEMBLY_E_FULL); /* a third of this sender */
        assert_int_equal(add(c, part_of("492", 7, 2, 3, "y"), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 7, 2, 2, "b"), 0), 0);
        assert_string_equal(c->whole.text, "ab");
}

static void a_repeated_part_changes_nothing_but_its_token(void **state) {
        Case *c = *state;
        SmsPart again = part_of("491", 7, 1, 2, "a");

        assert_int_equal(add(c, part_of("491", 7, 1, 2, "a"), 0), SMS_ASSEMBLY_E_WAITING);
        again.token = 99;
        assert_int_equal(add(c, again, 50), SMS_ASSEMBLY_E_REPEATED);
        assert_int_equal(sms_assembly_due(c->assembly), 100);
        assert_int_equal(add(c, part_of("491", 7, 2, 2, "b"), 60), 0);
        assert_string_equal(c->whole.text, "ab");
        assert_int_equal(c->whole.tokens[0], 99);
}

/* A reference of eight bits comes again after 256 messages; the old part is of another message. */
static void a_contradicted_message_is_given_up_and_the_new_one_begins(void **state) {
        Case *c = *state;
        SmsWhole lost;

        assert_int_equal(add(c, part_of("491", 7, 1, 2, "old"), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 7, 1, 2, "new"), 1), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(sms_assembly_due(c->assembly), 0);
        assert_true(sms_assembly_give_up(c->assembly, 1, &lost));
        assert_null(lost.text);
        assert_int_equal(lost.n_tokens, 1);
        assert_int_equal(lost.total, 2);
        assert_string_equal(lost.from, "491");
        sms_whole_done(&lost);
        assert_false(sms_assembly_give_up(c->assembly, 1, &lost));
        assert_int_equal(add(c, part_of("491", 7, 2, 2, "er"), 2), 0);
        assert_string_equal(c->whole.text, "newer");
}

static void what_is_never_completed_is_given_up_after_the_timeout(void **state) {
        Case *c = *state;
        SmsWhole lost;

        assert_int_equal(sms_assembly_due(c->assembly), UINT64_MAX);
        assert_int_equal(add(c, part_of("491", 7, 1, 3, "a"), 10), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 7, 2, 3, "b"), 60), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(sms_assembly_due(c->assembly), 160);
        assert_false(sms_assembly_give_up(c->assembly, 159, &lost));
        assert_true(sms_assembly_give_up(c->assembly, 160, &lost));
        assert_int_equal(lost.n_tokens, 2);
        assert_int_equal(lost.total, 3);
        sms_whole_done(&lost);
        assert_int_equal(sms_assembly_bytes(c->assembly), 0);
        /* the late part does not find the others any more */
        assert_int_equal(add(c, part_of("491", 7, 3, 3, "c"), 161), SMS_ASSEMBLY_E_WAITING);
}

static void number_bytes_and_share_of_each_are_bounded(void **state) {
        Case *c = *state;
        char big[801], senders[4][8];

        memset(big, 'x', 800);
        big[800] = '\0';
        assert_int_equal(add(c, part_of("491", 1, 1, 2, big), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("492", 1, 1, 2, big), 0), SMS_ASSEMBLY_E_FULL);
        for (unsigned i = 0; i < 3; i++) {
                (void) snprintf(senders[i], sizeof(senders[i]), "50%u", i);
                assert_int_equal(add(c, part_of(senders[i], 1, 1, 2, "x"), 0),
                                SMS_ASSEMBLY_E_WAITING);
        }
        assert_int_equal(add(c, part_of("999", 1, 1, 2, "x"), 0), SMS_ASSEMBLY_E_FULL);
        assert_int_equal(sms_assembly_count(c->assembly), 4);
        /* Full or not, what is there can be completed, and whole messages pass. */
        assert_int_equal(add(c, part_of("999", 1, 1, 1, "x"), 0), 0);
        assert_int_equal(add(c, part_of("500", 1, 2, 2, "y"), 0), 0);
}

static void parts_beyond_the_limits_are_refused(void **state) {
        static char octets[SMS_PART_OCTETS_MAX + 2], name[SMS_PART_NAME_SIZE + 1];
        Case *c = *state;
        SmsPart part = part_of("491", 1, 1, 2, "x");

        memset(octets, 'x', SMS_PART_OCTETS_MAX + 1);
        memset(name, 'x', SMS_PART_NAME_SIZE);
        assert_int_equal(add(c, part_of("491", 1, 1, 2, octets), 0), SMS_ASSEMBLY_E_PART);
        assert_int_equal(add(c, part_of(name, 1, 1, 2, "x"), 0), SMS_ASSEMBLY_E_PART);
        assert_int_equal(add(c, part_of("491", 1, 0, 2, "x"), 0), SMS_ASSEMBLY_E_PART);
        assert_int_equal(add(c, part_of("491", 1, 3, 2, "x"), 0), SMS_ASSEMBLY_E_PART);
        part.id = name;
        assert_int_equal(add(c, part, 0), SMS_ASSEMBLY_E_PART);
        assert_int_equal(add(c, part_of("491", 1, 1, SMS_WHOLE_PARTS_MAX + 1, "x"), 0),
                        SMS_ASSEMBLY_E_PART);
        assert_int_equal(add(c, part_of("491", 1, 1, 2, ""), 0), SMS_ASSEMBLY_E_PART);
        assert_int_equal(sms_assembly_count(c->assembly), 0);
        assert_int_equal(add(c, part_of("491", 1, 1, 1, ""), 0), 0);
        assert_string_equal(c->whole.text, "");
}

static void parts_are_bounded_for_each_sender_and_for_all(void **state) {
        Case *c = *state;

        for (uint8_t i = 1; i < SMS_WHOLE_PARTS_MAX; i++)
                assert_int_equal(add(c, part_of("491", 1, i, SMS_WHOLE_PARTS_MAX, "x"), 0),
                                SMS_ASSEMBLY_E_WAITING);
        for (uint8_t i = 1; i <= 3; i++)
                assert_int_equal(add(c, part_of("491", 2, i, 9, "x"), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 2, 4, 9, "x"), 0), SMS_ASSEMBLY_E_FULL);
        for (uint8_t i = 1; i <= 6; i++)
                assert_int_equal(add(c, part_of("492", 2, i, 9, "x"), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("492", 2, 7, 9, "x"), 0), SMS_ASSEMBLY_E_FULL);
        assert_int_equal(add(c, part_of("493", 2, 1, 9, "x"), 0), SMS_ASSEMBLY_E_FULL);
}

static void expect_displaced(Case *c, uint64_t now, const char *from, size_t n_tokens) {
        SmsWhole lost;

        assert_int_equal(sms_assembly_due(c->assembly), 0);
        assert_true(sms_assembly_give_up(c->assembly, now, &lost));
        assert_true(lost.displaced);
        assert_string_equal(lost.from, from);
        assert_int_equal(lost.n_tokens, n_tokens);
        sms_whole_done(&lost);
        assert_false(sms_assembly_give_up(c->assembly, now, &lost));
}

/* Else whoever sends first parts only keeps all long messages out until the timeout. */
static void the_message_that_waited_longest_makes_room(void **state) {
        Case *c = *state;
        char sender[8];

        for (unsigned i = 0; i < 4; i++) {
                (void) snprintf(sender, sizeof(sender), "50%u", i);
                assert_int_equal(add(c, part_of(sender, 1, 1, 3, "x"), i), SMS_ASSEMBLY_E_WAITING);
        }
        assert_int_equal(add(c, part_of("500", 1, 2, 3, "x"), 10), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("999", 1, 1, 2, "a"), 20), SMS_ASSEMBLY_E_FULL);
        assert_int_equal(add(c, part_of("999", 1, 1, 2, "a"), 21), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(sms_assembly_bytes(c->assembly), 5);
        expect_displaced(c, 21, "501", 1);
        assert_int_equal(sms_assembly_count(c->assembly), 4);
        assert_int_equal(sms_assembly_bytes(c->assembly), 5);
        assert_int_equal(add(c, part_of("999", 1, 2, 2, "b"), 21), 0);
        assert_string_equal(c->whole.text, "ab");
}

static void a_sender_without_room_makes_it_of_his_own(void **state) {
        Case *c = *state;

        assert_int_equal(add(c, part_of("492", 1, 1, 2, "x"), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 1, 1, 2, "x"), 1), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 2, 1, 2, "x"), 2), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 3, 1, 2, "a"), 20), SMS_ASSEMBLY_E_FULL);
        assert_int_equal(add(c, part_of("491", 3, 1, 2, "a"), 30), SMS_ASSEMBLY_E_WAITING);
        expect_displaced(c, 30, "491", 1);
        /* What was displaced is as new. */
        assert_int_equal(add(c, part_of("491", 1, 2, 2, "x"), 31), SMS_ASSEMBLY_E_WAITING);
        expect_displaced(c, 31, "491", 1);
}

static void a_message_makes_no_room_for_itself(void **state) {
        Case *c = *state;
        char big[901];

        memset(big, 'x', 900);
        big[900] = '\0';
        assert_int_equal(add(c, part_of("491", 1, 1, 2, big), 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, part_of("491", 1, 2, 2, big), 50), SMS_ASSEMBLY_E_FULL);
        assert_int_equal(add(c, part_of("492", 1, 1, 2, big), 50), SMS_ASSEMBLY_E_WAITING);
        expect_displaced(c, 50, "491", 1);
        assert_int_equal(sms_assembly_bytes(c->assembly), 900);
}

/* Only one at a time is kept beyond the limit. */
static void what_was_displaced_is_taken_away_before_there_is_more_room(void **state) {
        Case *c = *state;
        SmsWhole lost;
        char sender[8];

        for (unsigned i = 0; i < 5; i++) {
                (void) snprintf(sender, sizeof(sender), "50%u", i);
                assert_int_equal(add(c, part_of(sender, 1, 1, 2, "x"), i < 4 ? 0 : 50),
                                SMS_ASSEMBLY_E_WAITING);
        }
        assert_int_equal(add(c, part_of("999", 1, 1, 2, "x"), 50), SMS_ASSEMBLY_E_FULL);
        assert_true(sms_assembly_give_up(c->assembly, 50, &lost));
        sms_whole_done(&lost);
        assert_int_equal(add(c, part_of("999", 1, 1, 2, "x"), 50), SMS_ASSEMBLY_E_WAITING);
}

static void identity_of(Case *c,
                const char *first,
                const char *id,
                bool backwards,
                char ret[SMS_WHOLE_ID_SIZE]) {
        SmsPart parts[2] = { part_of("491", 7, 1, 2, first), part_of("491", 7, 2, 2, "b") };

        parts[0].id = parts[1].id = id;
        assert_int_equal(add(c, parts[backwards], 0), SMS_ASSEMBLY_E_WAITING);
        assert_int_equal(add(c, parts[!backwards], 0), 0);
        memcpy(ret, c->whole.id, SMS_WHOLE_ID_SIZE);
}

static void the_same_parts_have_the_same_identity(void **state) {
        Case *c = *state;
        char a[SMS_WHOLE_ID_SIZE], b[SMS_WHOLE_ID_SIZE];

        identity_of(c, "a", NULL, false, a);
        assert_int_equal(strlen(a), 32);
        identity_of(c, "a", NULL, true, b);
        assert_string_equal(a, b);
        identity_of(c, "A", NULL, false, b);
        assert_string_not_equal(a, b);
        identity_of(c, "a", "carrier-1", false, b);
        assert_string_not_equal(a, b);
        /* The carrier's id counts alone: another one is another message of the same words. */
        identity_of(c, "a", "carrier-2", true, a);
        assert_string_not_equal(a, b);
        identity_of(c, "a", "carrier-1", true, a);
        assert_string_equal(a, b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
                TEST(parts_make_a_whole_in_any_order),
                TEST(a_message_in_one_part_is_whole_at_once),
                TEST(messages_of_different_keys_do_not_mix),
                TEST(a_repeated_part_changes_nothing_but_its_token),
                TEST(a_contradicted_message_is_given_up_and_the_new_one_begins),
                TEST(what_is_never_completed_is_given_up_after_the_timeout),
                TEST(number_bytes_and_share_of_each_are_bounded),
                TEST(parts_beyond_the_limits_are_refused),
                TEST(parts_are_bounded_for_each_sender_and_for_all),
                TEST(the_message_that_waited_longest_makes_room),
                TEST(a_sender_without_room_makes_it_of_his_own),
                TEST(a_message_makes_no_room_for_itself),
                TEST(what_was_displaced_is_taken_away_before_there_is_more_room),
                TEST(the_same_parts_have_the_same_identity),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
