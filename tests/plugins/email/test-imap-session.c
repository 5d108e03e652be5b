/* Conversations over IMAP: what is asked, and what comes of the answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "imap-session.h"

#define GREETING "* OK ready\r\n"
#define LOGGED_IN \
        GREETING "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nv1 OK\r\n+ \r\nv2 OK [CAPABILITY x] in\r\n"
#define SELECTED                                                                                \
        LOGGED_IN "* FLAGS (\\Seen)\r\n* 3 EXISTS\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] ok\r\n" \
                  "* OK [UIDVALIDITY 77] ok\r\n* OK [UIDNEXT 9] ok\r\nv3 OK [READ-WRITE] in\r\n"

typedef struct Talk {
        ImapSession *session;
        ImapEvent event;
        char said[65536];
        size_t n;
} Talk;

static void start_as(Talk *talk, const char *user, const char *password, const char *folder) {
        ImapAccount account = {
                .user = user, .password = password, .folder = folder, .size_max = 1000
        };

        memset(talk, 0, sizeof(*talk));
        assert_int_equal(imap_session_new(&account, &talk->session), 0);
}

static void start(Talk *talk) {
        start_as(talk, "gw", "mailpw", "INBOX");
}

static void write_out(Talk *talk) {
        const char *data;
        size_t size;

        imap_session_output(talk->session, &data, &size);
        assert_true(talk->n + size < sizeof(talk->said));
        memcpy(talk->said + talk->n, data, size);
        talk->said[talk->n += size] = '\0';
        imap_session_written(talk->session, size);
        imap_session_output(talk->session, &data, &size);
        assert_int_equal(size, 0);
}

/* Goes on until something has happened that the caller is told. */
static ImapEventKind go_on(Talk *talk) {
        const char *data;
        size_t size;

        do {
                write_out(talk);
                imap_session_next(talk->session, &talk->event);
                imap_session_output(talk->session, &data, &size);
        } while (talk->event.kind == IMAP_EVENT_NOTHING && size > 0);
        return talk->event.kind;
}

static ImapEventKind hear_bytes(Talk *talk, const char *data, size_t size) {
        assert_int_equal(imap_session_push(talk->session, data, size), 0);
        return go_on(talk);
}

static ImapEventKind hear(Talk *talk, const char *text) {
        return hear_bytes(talk, text, strlen(text));
}

static void end(Talk *talk) {
        talk->session = imap_session_free(talk->session);
}

static void closes(Talk *talk, const char *text, const char *reason) {
        assert_int_equal(hear(talk, text), IMAP_EVENT_CLOSE);
        assert_string_equal(talk->event.reason, reason);
        end(talk);
}

static void it_logs_in_and_opens_the_folder(void **state) {
        Talk talk;

        (void) state;
        start(&talk);
        assert_int_equal(hear(&talk, SELECTED), IMAP_EVENT_READY);
        assert_int_equal(talk.event.validity, 77);
        assert_true(talk.event.keyword);
        assert_string_equal(talk.said,
                        "v1 CAPABILITY\r\nv2 AUTHENTICATE PLAIN\r\nAGd3AG1haWxwdw==\r\n"
                        "v3 SELECT \"INBOX\"\r\n");
        end(&talk);
}

static void without_sasl_it_logs_in_with_quoted_words(void **state) {
        Talk talk;

        (void) state;
        start_as(&talk, "a\"b", "c\\d", "x");
        (void) hear(&talk, GREETING "* CAPABILITY IMAP4rev1\r\nv1 OK\r\n");
        assert_string_equal(talk.said, "v1 CAPABILITY\r\nv2 LOGIN \"a\\\"b\" \"c\\\\d\"\r\n");
        end(&talk);

        start(&talk);
        closes(&talk,
                        GREETING "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nv1 OK\r\n",
                        "no-way-to-log-in");
        start_as(&talk, "gw", "\xc3\xbc", "x");
        closes(&talk, GREETING "* CAPABILITY IMAP4rev1\r\nv1 OK\r\n", "no-way-to-log-in");
}

static void a_folder_is_named_in_modified_utf_7(void **state) {
        static const struct {
                const char *folder, *quoted;
        } cases[] = {
                { "Antworten/Hotel", "\"Antworten/Hotel\"" },
                { "a&b", "\"a&-b\"" },
                { "a\"\\b", "\"a\\\"\\\\b\"" },
                { "Entw\xc3\xbcrfe", "\"Entw&APw-rfe\"" },
                { "\xe5\x8f\xb0\xe5\x8c\x97", "\"&U,BTFw-\"" }, /* RFC 3501 section 5.1.3 */
                { "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
                                "\"~peter/mail/&U,BTFw-/&ZeVnLIqe-\"" },
                { "\xf0\x9f\x98\x80x", "\"&2D3eAA-x\"" },
        };
        Talk talk;

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char expected[200];

                start_as(&talk, "u", "p", cases[i].folder);
                (void) hear(&talk, LOGGED_IN);
                (void) snprintf(expected, sizeof(expected), "v3 SELECT %s\r\n", cases[i].quoted);
                assert_non_null(strstr(talk.said, expected));
                end(&talk);
        }
}

static void names_that_no_command_can_carry_are_refused(void **state) {
        static const char *const folders[] = { "", "a\r\nb", "a\x01", "\xff", "\x7f" };
        char large[IMAP_NAME_MAX + 2];
        ImapSession *session = NULL;
        ImapAccount account = { .user = "u", .password = "p", .folder = large, .size_max = 10 };

        (void) state;
        memset(large, 'x', sizeof(large));
        large[sizeof(large) - 1] = '\0';
        assert_int_equal(imap_session_new(&account, &session), -EINVAL);
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
                account.folder = folders[i];
                assert_int_equal(imap_session_new(&account, &session), -EINVAL);
        }
        account = (ImapAccount){ .user = "", .password = "p", .folder = "f" };
        assert_int_equal(imap_session_new(&account, &session), -EINVAL);
}

static void where_no_keyword_is_kept_the_mark_is_seen(void **state) {
        Talk talk;

        (void) state;
        start(&talk);
        assert_int_equal(hear(&talk,
                                         LOGGED_IN "* OK [PERMANENTFLAGS (\\Deleted \\Seen)] x\r\n"
                                                   "* OK [UIDVALIDITY 1] x\r\nv3 OK in\r\n"),
                        IMAP_EVENT_READY);
        assert_false(talk.event.keyword);
        talk.n = 0;
        imap_session_search(talk.session, 5);
        assert_int_equal(hear(&talk, "* SEARCH\r\nv4 OK\r\n"), IMAP_EVENT_FOUND);
        imap_session_mark(talk.session, 7, true);
        assert_int_equal(hear(&talk, "v5 OK\r\n"), IMAP_EVENT_MARKED);
        assert_string_equal(talk.said,
                        "v4 UID SEARCH UID 5:* UNDELETED UNSEEN\r\n"
                        "v5 UID STORE 7 +FLAGS.SILENT (\\Seen \\Flagged)\r\n");
        end(&talk);
}

static void a_folder_that_cannot_be_marked_in_is_of_no_use(void **state) {
        Talk talk;

        (void) state;
        start(&talk);
        closes(&talk, LOGGED_IN "* OK [UIDVALIDITY 1] x\r\nv3 OK [READ-ONLY] in\r\n", "read-only");
        start(&talk);
        closes(&talk,
                        LOGGED_IN "* OK [PERMANENTFLAGS ()] x\r\n* OK [UIDVALIDITY 1] x\r\n"
                                  "v3 OK in\r\n",
                        "read-only");
        start(&talk);
        closes(&talk, LOGGED_IN "v3 OK in\r\n", "no-uidvalidity");
        start(&talk);
        closes(&talk, LOGGED_IN "v3 NO what?\r\n", "no-such-folder");
}

static void what_a_search_finds_is_sorted_and_each_once(void **state) {
        static const uint32_t expected[] = { 2, 7, 12, 4294967295U };
        Talk talk;

        (void) state;
        start(&talk);
        assert_int_equal(hear(&talk, SELECTED), IMAP_EVENT_READY);
        imap_session_search(talk.session, 0);
        assert_int_equal(hear(&talk,
                                         "* SEARCH 12 7\r\n* 4 EXISTS\r\n"
                                         "* SEARCH 7 2 0 4294967295\r\nv4 OK\r\n"),
                        IMAP_EVENT_FOUND);
        assert_int_equal(talk.event.n_uids, 4);
        assert_memory_equal(talk.event.uids, expected, sizeof(expected));
        imap_session_search(talk.session, 3);
        assert_int_equal(hear(&talk, "* SEARCH\r\nv5 OK\r\n"), IMAP_EVENT_FOUND);
        assert_int_equal(talk.event.n_uids, 0);
        imap_session_search(talk.session, 3);
        assert_int_equal(hear(&talk, "v6 NO later\r\n"), IMAP_EVENT_NO);
        assert_int_equal(talk.event.uid, 0);
        end(&talk);
}

static void of_any_number_that_a_search_finds_the_lowest_are_kept(void **state) {
        char line[64];
        Talk talk;

        (void) state;
        start(&talk);
        assert_int_equal(hear(&talk, SELECTED), IMAP_EVENT_READY);
        imap_session_search(talk.session, 0);
        for (unsigned uid = 100000; uid > 0; uid--) {
                (void) snprintf(line, sizeof(line), "* SEARCH %u %u\r\n", uid, 1 + uid % 5000);
                assert_int_equal(hear(&talk, line), IMAP_EVENT_NOTHING);
        }
        assert_int_equal(hear(&talk, "v4 OK\r\n"), IMAP_EVENT_FOUND);
        assert_int_equal(talk.event.n_uids, IMAP_FOUND_MAX);
        for (unsigned i = 0; i < IMAP_FOUND_MAX; i++)
                assert_int_equal(talk.event.uids[i], i + 1);
        end(&talk);
}

static void gets(const char *answer, const char *mail) {
        char *got;
        size_t size;
        Talk talk;

        start(&talk);
        assert_int_equal(hear(&talk, SELECTED), IMAP_EVENT_READY);
        imap_session_fetch(talk.session, 7);
        talk.n = 0;
        assert_int_equal(hear(&talk, "* 1 FETCH (UID 7 RFC822.SIZE 5)\r\nv4 OK\r\n"),
                        IMAP_EVENT_NOTHING);
        assert_string_equal(talk.said,
                        "v4 UID FETCH 7 (UID RFC822.SIZE)\r\nv5 UID FETCH 7 (UID BODY.PEEK[])\r\n");
        assert_int_equal(hear(&talk, answer), mail ? IMAP_EVENT_MAIL : IMAP_EVENT_ABSENT);
        assert_int_equal(talk.event.uid, 7);
        got = imap_session_take_mail(talk.session, &size);
        if (mail) {
                assert_int_equal(size, strlen(mail));
                assert_string_equal(got, mail);
        }
        free(got);
        assert_true(imap_session_is_idle(talk.session));
        end(&talk);
}

static void a_mail_is_as_long_as_was_announced_whatever_it_says(void **state) {
        (void) state;
        gets("* 1 FETCH (UID 7 BODY[] {5}\r\nhello)\r\nv5 OK\r\n", "hello");
        gets("* 1 FETCH (FLAGS (\\Seen $x) BODY[] {0}\r\n UID 7 MODSEQ (1 (2)))\r\nv5 OK\r\n", "");
        gets("* 1 fetch (uid 7 body[] \"a \\\"b\\\\\")\r\nv5 OK\r\n", "a \"b\\");
        gets("* 1 FETCH (UID 7 BODY[] NIL)\r\nv5 OK\r\n", NULL);
        gets("v5 OK gone\r\n", NULL);
        gets("* 2 FETCH (UID 8 BODY[] {5}\r\nwrong)\r\n* 2 EXPUNGE\r\nv5 OK\r\n", NULL);
        gets("* OK said {5}\r\n* 1 FETCH (UID 7 X \"{5}\" BODY[] {3}\r\nabc)\r\nv5 OK\r\n", "abc");
        /* What would end the answer, if lines counted. */
        gets("* 1 FETCH (UID 7 BODY[] {36}\r\n)\r\nv5 OK\r\n* BYE\r\n* 1 FETCH (UID 7 BO)\r\nv5 "
             "OK\r\n",
                        ")\r\nv5 OK\r\n* BYE\r\n* 1 FETCH (UID 7 BO");
}

static void what_is_too_large_is_not_fetched(void **state) {
        Talk talk;

        (void) state;
        start(&talk);
        assert_int_equal(hear(&talk, SELECTED), IMAP_EVENT_READY);
        imap_session_fetch(talk.session, 7);
        assert_int_equal(hear(&talk, "* 1 FETCH (RFC822.SIZE 1001 UID 7)\r\nv4 OK\r\n"),
                        IMAP_EVENT_LARGE);
        assert_int_equal(talk.event.uid, 7);
        assert_null(strstr(talk.said, "BODY"));
        imap_session_fetch(talk.session, 8);
        assert_int_equal(hear(&talk, "v5 OK nothing\r\n"), IMAP_EVENT_ABSENT);
        imap_session_fetch(talk.session, 9);
        assert_int_equal(hear(&talk, "v6 BAD x\r\n"), IMAP_EVENT_NO);
        assert_int_equal(talk.event.uid, 9);
        end(&talk);
}

static void a_server_that_lied_about_the_size_is_left_and_the_mail_named(void **state) {
        Talk talk;

        (void) state;
        start(&talk);
        assert_int_equal(hear(&talk, SELECTED), IMAP_EVENT_READY);
        imap_session_fetch(talk.session, 7);
        (void) hear(&talk, "* 1 FETCH (RFC822.SIZE 10 UID 7)\r\nv4 OK\r\n");
        assert_int_equal(hear(&talk, "* 1 FETCH (UID 7 BODY[] {900000}\r\n"), IMAP_EVENT_CLOSE);
        assert_string_equal(talk.event.reason, "too-large");
        assert_int_equal(talk.event.uid, 7);
        end(&talk);
}

static void a_broken_server_is_left(void **state) {
        static const struct {
                const char *text, *reason;
        } cases[] = {
                { "* BYE too many\r\n", "server-leaves" },
                { "hello\r\n", "bad-answer" },
                { "* hello\r\n", "bad-greeting" },
                { "v1 OK\r\n", "bad-answer" },
                { "\n", "bad-answer" },
                { GREETING "* CAPABILITY X\n", "bad-answer" },
                { GREETING "v2 OK\r\n", "bad-answer" },
                { GREETING "+ go\r\n", "bad-answer" },
                { GREETING "*OK\r\n", "bad-answer" },
                { GREETING "v1 MAYBE\r\n", "bad-answer" },
                { GREETING "* CAPABILITY AUTH=PLAIN\r\nv1 OK\r\nv2 NO\r\n", "not-logged-in" },
                { GREETING "* CAPABILITY AUTH=PLAIN\r\nv1 OK\r\n+\r\nv2 NO "
                           "[AUTHENTICATIONFAILED]\r\n",
                                "not-logged-in" },
                { LOGGED_IN "* 1 FETCH (UID 7 BODY[] {99999999999999999999999}\r\n", "bad-answer" },
                { LOGGED_IN "* 1 FETCH (UID 7 BODY[] {70000}\r\n", "too-large" },
                { LOGGED_IN "* 1 FETCH UID\r\n", "bad-answer" },
                { LOGGED_IN "* 1 FETCH (X ((((((((((((((((((y))))))))))))))))))\r\n",
                                "bad-answer" },
                { LOGGED_IN "* 1 FETCH (X \"y)\r\n", "bad-answer" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Talk talk;

                start(&talk);
                closes(&talk, cases[i].text, cases[i].reason);
        }
}

static void a_line_without_end_is_not_kept(void **state) {
        char *line = malloc(IMAP_TEXT_MAX + 10);
        Talk talk;

        (void) state;
        memset(line, '1', IMAP_TEXT_MAX + 10);
        memcpy(line, "* SEARCH ", 9);
        start(&talk);
        assert_int_equal(hear_bytes(&talk, line, IMAP_TEXT_MAX - 1), IMAP_EVENT_NOTHING);
        assert_int_equal(hear_bytes(&talk, line, 5), IMAP_EVENT_CLOSE);
        end(&talk);
        free(line);
}

/* A server may not make us say things by answering what was never asked. */
static void nothing_is_read_before_the_command_has_gone(void **state) {
        static const char text[] = SELECTED;
        ImapEvent event;
        Talk talk;

        (void) state;
        start(&talk);
        assert_int_equal(imap_session_push(talk.session, text, strlen(text)), 0);
        for (int i = 0; i < 10; i++) {
                imap_session_next(talk.session, &event);
                assert_int_equal(event.kind, IMAP_EVENT_NOTHING);
        }
        assert_int_equal(go_on(&talk), IMAP_EVENT_READY);
        end(&talk);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_logs_in_and_opens_the_folder),
                cmocka_unit_test(without_sasl_it_logs_in_with_quoted_words),
                cmocka_unit_test(a_folder_is_named_in_modified_utf_7),
                cmocka_unit_test(names_that_no_command_can_carry_are_refused),
                cmocka_unit_test(where_no_keyword_is_kept_the_mark_is_seen),
                cmocka_unit_test(a_folder_that_cannot_be_marked_in_is_of_no_use),
                cmocka_unit_test(what_a_search_finds_is_sorted_and_each_once),
                cmocka_unit_test(of_any_number_that_a_search_finds_the_lowest_are_kept),
                cmocka_unit_test(a_mail_is_as_long_as_was_announced_whatever_it_says),
                cmocka_unit_test(what_is_too_large_is_not_fetched),
                cmocka_unit_test(a_server_that_lied_about_the_size_is_left_and_the_mail_named),
                cmocka_unit_test(a_broken_server_is_left),
                cmocka_unit_test(a_line_without_end_is_not_kept),
                cmocka_unit_test(nothing_is_read_before_the_command_has_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
