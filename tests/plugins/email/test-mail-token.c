/* Local parts that find back, and those that do not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <ctype.h>

#include "cleanup.h"
#include "mail-token.h"

#define THREAD "thr_01j0000000000000000000000a"
#define MESSAGE "msg_7zzzzzzzzzzzzzzzzzzzzzzzzz"

static const uint8_t key[MAIL_TOKEN_KEY_SIZE] = { 1 }, other_key[MAIL_TOKEN_KEY_SIZE] = { 2 };
static const MailTokenPlace plus = { key, "keys", '+' }, own = { key, "", '\0' };

static int read_text(
                const MailTokenPlace *place, const char *local, MailTokenKind *kind, char *id) {
        return mail_token_read(place, local, strlen(local), kind, id);
}

static void a_token_names_its_thread_or_message(void **state) {
        static const MailTokenPlace *const places[] = { &plus, &own };
        static const struct {
                MailTokenKind kind;
                const char *id;
        } cases[] = { { MAIL_TOKEN_REPLY, THREAD },
                { MAIL_TOKEN_BOUNCE, MESSAGE },
                { MAIL_TOKEN_NAME, MESSAGE } };
        char local[MAIL_TOKEN_LOCAL_MAX + 1], id[ID_TEXT_SIZE];
        MailTokenKind kind;

        (void) state;
        for (size_t i = 0; i < 2 * N_ELEMENTS(cases); i++) {
                const MailTokenPlace *place = places[i % 2];

                assert_int_equal(mail_token_make(place, cases[i / 2].kind, cases[i / 2].id, local),
                                0);
                assert_int_equal(read_text(place, local, &kind, id), 0);
                assert_int_equal(kind, cases[i / 2].kind);
                assert_string_equal(id, cases[i / 2].id);
        }
}

static void the_bytes_are_the_same_for_ever(void **state) {
        char local[MAIL_TOKEN_LOCAL_MAX + 1];

        (void) state;
        assert_int_equal(mail_token_make(&plus, MAIL_TOKEN_REPLY, THREAD, local), 0);
        assert_string_equal(local, "keys+r01j0000000000000000000000anw6azvwkrb7zuk6t");
}

static void every_symbol_survives_mail_servers(void **state) {
        char local[MAIL_TOKEN_LOCAL_MAX + 1], mailbox[MAIL_TOKEN_MAILBOX_MAX + 2];
        MailTokenPlace place = { key, mailbox, '+' };

        (void) state;
        memset(mailbox, 'm', sizeof(mailbox));
        mailbox[MAIL_TOKEN_MAILBOX_MAX] = '\0';
        assert_int_equal(mail_token_make(&place, MAIL_TOKEN_BOUNCE, MESSAGE, local), 0);
        assert_int_equal(strlen(local), 64);
        for (const char *p = local + MAIL_TOKEN_MAILBOX_MAX + 1; *p; p++)
                assert_true(islower((unsigned char) *p) || isdigit((unsigned char) *p));

        mailbox[MAIL_TOKEN_MAILBOX_MAX] = 'm';
        mailbox[MAIL_TOKEN_MAILBOX_MAX + 1] = '\0';
        assert_int_equal(mail_token_make(&place, MAIL_TOKEN_BOUNCE, MESSAGE, local),
                        MAIL_TOKEN_E_MAILBOX);
        assert_int_equal(local[0], 0);
}

static void a_token_with_one_symbol_changed_is_refused(void **state) {
        char local[MAIL_TOKEN_LOCAL_MAX + 1], id[ID_TEXT_SIZE];
        MailTokenKind kind;
        size_t n;

        (void) state;
        assert_int_equal(mail_token_make(&plus, MAIL_TOKEN_REPLY, THREAD, local), 0);
        n = strlen(local);
        for (size_t i = 0; i < n; i++)
                for (const char *c = "abmr2z7+@."; *c; c++) {
                        char before = local[i];

                        if (*c == before)
                                continue;
                        local[i] = *c;
                        if (read_text(&plus, local, &kind, id) == 0)
                                fail_msg("%c at %zu", *c, i);
                        assert_int_equal(id[0], 0);
                        local[i] = before;
                }
        assert_int_equal(read_text(&plus, local, &kind, id), 0);
}

static void a_cut_folded_or_foreign_token_is_refused(void **state) {
        char local[MAIL_TOKEN_LOCAL_MAX + 2], id[ID_TEXT_SIZE];
        MailTokenPlace foreign = { other_key, "keys", '+' }, dash = { key, "keys", '-' };
        MailTokenKind kind;
        size_t n;

        (void) state;
        assert_int_equal(mail_token_make(&plus, MAIL_TOKEN_REPLY, THREAD, local), 0);
        n = strlen(local);
        assert_int_equal(read_text(&foreign, local, &kind, id), MAIL_TOKEN_E_WRONG);
        assert_int_equal(read_text(&dash, local, &kind, id), MAIL_TOKEN_E_NONE);
        assert_int_equal(read_text(&own, local, &kind, id), MAIL_TOKEN_E_NONE);
        for (size_t cut = 0; cut < n; cut++)
                assert_int_equal(mail_token_read(&plus, local, cut, &kind, id), MAIL_TOKEN_E_NONE);
        local[n] = 'a', local[n + 1] = '\0';
        assert_int_equal(read_text(&plus, local, &kind, id), MAIL_TOKEN_E_NONE);
        local[n] = '\0';
        for (size_t i = strlen("keys+"); i < n; i++)
                local[i] = (char) toupper((unsigned char) local[i]);
        assert_true(read_text(&plus, local, &kind, id) > 0);
        assert_int_equal(id[0], 0);
}

static void a_token_of_one_kind_is_none_of_another(void **state) {
        char local[MAIL_TOKEN_LOCAL_MAX + 1], id[ID_TEXT_SIZE];
        MailTokenKind kind;

        (void) state;
        assert_int_equal(mail_token_make(&own, MAIL_TOKEN_BOUNCE, MESSAGE, local), 0);
        local[0] = 'r';
        assert_int_equal(read_text(&own, local, &kind, id), MAIL_TOKEN_E_WRONG);
        local[0] = 'm';
        assert_int_equal(read_text(&own, local, &kind, id), MAIL_TOKEN_E_WRONG);
}

static void only_ids_of_the_kind_make_a_token(void **state) {
        static const char *const ids[] = { "",
                MESSAGE,
                "thr_",
                "thr_01j",
                THREAD "a",
                "thr_81j0000000000000000000000a",
                "thr_01J0000000000000000000000A",
                "thr_01j00000000000000000000\r\na" };
        char local[MAIL_TOKEN_LOCAL_MAX + 1];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(ids); i++)
                assert_int_equal(mail_token_make(&plus, MAIL_TOKEN_REPLY, ids[i], local),
                                MAIL_TOKEN_E_ID);
}

static void a_mailbox_that_mail_cannot_reach_is_refused(void **state) {
        static const char *const mailboxes[] = { ".a",
                "a.",
                "a..b",
                "a b",
                "a@b",
                "a+b",
                "-a",
                "a\r\n",
                "\xc3\xbc",
                "twentyonecharacters.." };
        MailTokenPlace place = { key, "", '\0' };

        (void) state;
        assert_int_equal(mail_token_check_place(&place), 0);
        place.mailbox = "keys";
        assert_int_equal(mail_token_check_place(&place), MAIL_TOKEN_E_MAILBOX);
        place.separator = '+';
        assert_int_equal(mail_token_check_place(&place), 0);
        for (size_t i = 0; i < N_ELEMENTS(mailboxes); i++) {
                place.mailbox = mailboxes[i];
                assert_int_equal(mail_token_check_place(&place), MAIL_TOKEN_E_MAILBOX);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_token_names_its_thread_or_message),
                cmocka_unit_test(the_bytes_are_the_same_for_ever),
                cmocka_unit_test(every_symbol_survives_mail_servers),
                cmocka_unit_test(a_token_with_one_symbol_changed_is_refused),
                cmocka_unit_test(a_cut_folded_or_foreign_token_is_refused),
                cmocka_unit_test(a_token_of_one_kind_is_none_of_another),
                cmocka_unit_test(only_ids_of_the_kind_make_a_token),
                cmocka_unit_test(a_mailbox_that_mail_cannot_reach_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
