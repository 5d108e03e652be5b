/* Delivery receipts in the forms that centres write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "smpp-receipt.h"

static const SmppReceiptTlvs none = { .state = -1 };

static SmppReceipt read_text(const char *text) {
        SmppReceipt receipt;

        assert_int_equal(smpp_receipt_read(text, strlen(text), &none, &receipt), 0);
        return receipt;
}

static void assert_receipt(
                const char *text, const char *id, SmppOutcome outcome, const char *error) {
        SmppReceipt receipt = read_text(text);

        assert_string_equal(receipt.id, id);
        assert_int_equal(receipt.outcome, outcome);
        assert_string_equal(receipt.error, error);
}

static void the_text_of_appendix_b_is_read(void **state) {
        (void) state;
        assert_receipt("id:0123456789 sub:001 dlvrd:001 submit date:2611221200 done "
                       "date:2611221201 "
                       "stat:DELIVRD err:000 text:Your key",
                        "0123456789",
                        SMPP_OUTCOME_DELIVERED,
                        "000");
        assert_receipt("id:7F3a sub:001 dlvrd:000 stat:UNDELIV err:0A1",
                        "7F3a",
                        SMPP_OUTCOME_FAILED,
                        "0A1");
}

static void variants_of_vendors_are_read(void **state) {
        (void) state;
        assert_receipt("ID: 42 Stat: Expired", "42", SMPP_OUTCOME_EXPIRED, "");
        assert_receipt("stat:REJECTD id:1 text:", "1", SMPP_OUTCOME_REJECTED, "");
        assert_receipt("id:1\r\nstat:ACCEPTD\r\n", "1", SMPP_OUTCOME_ACCEPTED, "");
        assert_receipt("id:1 stat:ENROUTE err:1", "1", SMPP_OUTCOME_ACCEPTED, "1");
        assert_receipt("id:1 stat:DELETED", "1", SMPP_OUTCOME_FAILED, "");
        assert_receipt("id:1 stat:WHATEVER", "1", SMPP_OUTCOME_UNKNOWN, "");
        assert_receipt("id:c9a0-11ee_x.5 stat:DELIVRD",
                        "c9a0-11ee_x.5",
                        SMPP_OUTCOME_DELIVERED,
                        "");
}

/* A person writes the text; a receipt repeats its beginning. */
static void nothing_in_the_messages_own_text_counts(void **state) {
        (void) state;
        assert_receipt("id:1 text:stat:DELIVRD id:2 err:7", "1", SMPP_OUTCOME_UNKNOWN, "");
        assert_receipt("id:1 stat:UNDELIV Text: stat:DELIVRD", "1", SMPP_OUTCOME_FAILED, "");
        assert_receipt("id:1 mystat:DELIVRD void:2", "1", SMPP_OUTCOME_UNKNOWN, "");
}

static void what_is_no_receipt_is_refused(void **state) {
        static char endless[5000];
        SmppReceipt receipt;

        (void) state;
        memset(endless, 'a', sizeof(endless));
        memcpy(endless, "id:", 3);
        assert_int_equal(smpp_receipt_read("YES", 3, &none, &receipt), SMPP_RECEIPT_E_FORM);
        assert_int_equal(smpp_receipt_read(NULL, 0, &none, &receipt), SMPP_RECEIPT_E_FORM);
        assert_int_equal(smpp_receipt_read("id:", 3, &none, &receipt), SMPP_RECEIPT_E_FORM);
        assert_int_equal(smpp_receipt_read("id:a\x01", 5, &none, &receipt), SMPP_RECEIPT_E_FORM);
        assert_int_equal(smpp_receipt_read(endless, sizeof(endless), &none, &receipt),
                        SMPP_RECEIPT_E_FORM);
}

static void parameters_count_before_the_text(void **state) {
        static const uint8_t error[] = { 3, 0x00, 0x22 };
        static const struct {
                int state;
                SmppOutcome outcome;
        } states[] = { { 1, SMPP_OUTCOME_ACCEPTED },
                { 2, SMPP_OUTCOME_DELIVERED },
                { 3, SMPP_OUTCOME_EXPIRED },
                { 4, SMPP_OUTCOME_FAILED },
                { 5, SMPP_OUTCOME_FAILED },
                { 6, SMPP_OUTCOME_ACCEPTED },
                { 7, SMPP_OUTCOME_UNKNOWN },
                { 8, SMPP_OUTCOME_REJECTED } };
        SmppReceiptTlvs tlvs = { .id = "beef", .error = error };
        SmppReceipt receipt;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(states); i++) {
                tlvs.state = states[i].state;
                assert_int_equal(smpp_receipt_read("id:1 stat:EXPIRED", 17, &tlvs, &receipt), 0);
                assert_string_equal(receipt.id, "beef");
                assert_int_equal(receipt.outcome, states[i].outcome);
                assert_string_equal(receipt.error, "3/0022");
                assert_int_equal(smpp_receipt_read(NULL, 0, &tlvs, &receipt), 0);
        }
        tlvs = (SmppReceiptTlvs){ .state = 2 }; /* of a message that it does not name */
        assert_int_equal(smpp_receipt_read(NULL, 0, &tlvs, &receipt), 0);
        assert_int_equal(receipt.outcome, SMPP_OUTCOME_DELIVERED);
        assert_string_equal(receipt.id, "");
        tlvs.state = 99; /* of no version: the text's word counts */
        assert_int_equal(smpp_receipt_read("stat:EXPIRED", 12, &tlvs, &receipt), 0);
        assert_int_equal(receipt.outcome, SMPP_OUTCOME_EXPIRED);
        assert_string_equal(smpp_outcome_name(receipt.outcome), "expired");
}

static bool have_a_key_in_common(const char *a, const char *b) {
        char x[2][SMPP_ID_SIZE], y[2][SMPP_ID_SIZE];
        unsigned n = smpp_id_keys(a, x), m = smpp_id_keys(b, y);

        for (unsigned i = 0; i < n; i++)
                for (unsigned j = 0; j < m; j++)
                        if (streq(x[i], y[j]))
                                return true;
        return false;
}

static void ids_are_the_same_in_all_their_forms(void **state) {
        static const struct {
                const char *a, *b;
                bool equal;
        } pairs[] = { { "7F3A", "7f3a", true },
                { "0007f3a", "7F3A", true },
                { "32570", "7f3a", true },
                { "0000032570", "00007F3A", true },
                { "7f3a", "32571", false },
                { "0", "00", true },
                { "0", "1", false },
                { "", "", false },
                { "id1", "ID1", true },
                { "id1", "id01", false },
                { "18446744073709551615", "ffffffffffffffff", true },
                { "18446744073709551616", "10000000000000000", false },
                { "c9a0-11ee", "C9A0-11EE", true } };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
                if (smpp_id_equal(pairs[i].a, pairs[i].b) != pairs[i].equal ||
                                smpp_id_equal(pairs[i].b, pairs[i].a) != pairs[i].equal)
                        fail_msg("%s and %s", pairs[i].a, pairs[i].b);
                if (have_a_key_in_common(pairs[i].a, pairs[i].b) != pairs[i].equal)
                        fail_msg("keys of %s and %s", pairs[i].a, pairs[i].b);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_text_of_appendix_b_is_read),
                cmocka_unit_test(variants_of_vendors_are_read),
                cmocka_unit_test(nothing_in_the_messages_own_text_counts),
                cmocka_unit_test(what_is_no_receipt_is_refused),
                cmocka_unit_test(parameters_count_before_the_text),
                cmocka_unit_test(ids_are_the_same_in_all_their_forms),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
