/* What our border server is believed, and when nobody is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth-results.h"

#define OURS "mx.hotel.test"
#define PASS "Authentication-Results: mx.hotel.test; dmarc=pass header.from=example.org\r\n"
#define FROM "From: Bob <bob@example.org>\r\n"

typedef struct Case {
        const char *header;
        AuthResultsVerdict verdict;
        MailAuthentic authentic;
} Case;

static void check(const Case *c) {
        MailHeader header;
        const MailField *from;
        AuthResults results;
        char uri[ADDRESS_SIZE_MAX] = "";

        assert_int_equal(mail_header_split(c->header, strlen(c->header), &header), 0);
        from = mail_header_find(&header, "From");
        if (from && mail_header_count(&header, "From") == 1)
                assert_true(mail_address_read(from->value, from->value_size, uri) >= 0);
        auth_results_read(&header, OURS, &results);
        if (results.verdict != c->verdict)
                fail_msg("%s instead of %s: %s",
                                auth_results_verdict_name(results.verdict),
                                auth_results_verdict_name(c->verdict),
                                c->header);
        if (auth_results_authentic(&results, uri) != c->authentic)
                fail_msg("%s instead of %s: %s",
                                mail_authentic_name(auth_results_authentic(&results, uri)),
                                mail_authentic_name(c->authentic),
                                c->header);
        mail_header_done(&header);
}

#define CHECK_ALL(cases)                               \
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) \
        check(&(cases)[i])

#define STRONG MAIL_AUTHENTIC_STRONG
#define WEAK MAIL_AUTHENTIC_WEAK
#define NONE MAIL_AUTHENTIC_NONE

static void a_pass_for_the_sender_s_own_domain_is_strong(void **state) {
        static const Case cases[] = {
                { PASS FROM, AUTH_RESULTS_PASS, STRONG },
                { "Received: by mx.hotel.test\r\nReturn-Path: <x@y.z>\r\n" PASS FROM,
                                AUTH_RESULTS_PASS,
                                STRONG },
                { "AUTHENTICATION-RESULTS: MX.Hotel.TEST; DMARC=PASS "
                  "header.From=Example.ORG\r\n" FROM,
                                AUTH_RESULTS_PASS,
                                STRONG },
                { "Authentication-Results: mx.hotel.test; dkim=pass header.d=x header.b=ab/c=;\r\n"
                  "\tspf=fail smtp.mailfrom=\"a; dmarc=fail\"@x.y;\r\n dmarc=pass (p=reject "
                  "dis=none)\r\n"
                  " header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_PASS,
                                STRONG },
                { "Authentication-Results: \"mx.hotel.test\" 1;dmarc/1=pass reason=\"a;b\" "
                  "header.from=bob@example.org policy.dmarc=none;\r\n" FROM,
                                AUTH_RESULTS_PASS,
                                STRONG },
                { "Authentication-Results: (a (b \\) ;) c) mx.hotel.test (x) ; (y) dmarc (z) = (q) "
                  "pass (dmarc=fail; ) header (1) . (2) from (3) = (4) example.org (5)\r\n" FROM,
                                AUTH_RESULTS_PASS,
                                STRONG },
        };

        (void) state;
        CHECK_ALL(cases);
}

static void a_forged_field_counts_in_no_position(void **state) {
        static const Case cases[] = {
                /* below ours, which says no, and above it, from somebody else */
                { "Authentication-Results: mx.hotel.test; dmarc=fail "
                  "header.from=example.org\r\n" PASS FROM,
                                AUTH_RESULTS_FAIL,
                                NONE },
                { "Authentication-Results: mx.hotel.test; none\r\n" PASS FROM,
                                AUTH_RESULTS_NO_DMARC,
                                WEAK },
                { "Authentication-Results: evil.test; dmarc=pass header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_FOREIGN,
                                WEAK },
                { "Authentication-Results: evil.test; none\r\n" PASS FROM,
                                AUTH_RESULTS_FOREIGN,
                                WEAK },
                { FROM "Authentication-Results: evil.test; x=y\r\n" PASS,
                                AUTH_RESULTS_FOREIGN,
                                WEAK },
                { "Authentication-Results: mx.hotel.test.evil.test; dmarc=pass "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_FOREIGN,
                                WEAK },
                { "Authentication-Results: evil.test (mx.hotel.test; dmarc=pass "
                  "header.from=example.org)\r\n" FROM,
                                AUTH_RESULTS_FOREIGN,
                                WEAK },
                { "Authentication-Results: \"mx.hotel.test; x\"; dmarc=pass "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_FOREIGN,
                                WEAK },
                { "Authentication-Results : mx.hotel.test; dmarc=pass "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_MALFORMED,
                                NONE },
                { "ARC-Authentication-Results: i=1; mx.hotel.test; dmarc=pass "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_ABSENT,
                                WEAK },
                { "X: Authentication-Results: mx.hotel.test; dmarc=pass "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_ABSENT,
                                WEAK },
        };

        (void) state;
        CHECK_ALL(cases);
}

static void what_a_sender_puts_into_comments_and_quotes_says_nothing(void **state) {
        static const Case cases[] = {
                { "Authentication-Results: mx.hotel.test; spf=pass (x; dmarc=pass "
                  "header.from=example.org) smtp.mailfrom=a@b.test\r\n" FROM,
                                AUTH_RESULTS_NO_DMARC,
                                WEAK },
                { "Authentication-Results: mx.hotel.test; spf=pass "
                  "smtp.mailfrom=\"x; dmarc=pass header.from=example.org; y\"@b.test\r\n" FROM,
                                AUTH_RESULTS_NO_DMARC,
                                WEAK },
                { "Authentication-Results: mx.hotel.test; spf=pass reason=\"\\\"; dmarc=pass "
                  "header.from=example.org\"\r\n" FROM,
                                AUTH_RESULTS_NO_DMARC,
                                WEAK },
                { "Authentication-Results: mx.hotel.test; dmarc=pass "
                  "(header.from=example.org)\r\n" FROM,
                                AUTH_RESULTS_PASS,
                                WEAK },
        };

        (void) state;
        CHECK_ALL(cases);
}

static void contradictions_and_repetitions_fail_closed(void **state) {
        static const Case cases[] = {
                { "Authentication-Results: mx.hotel.test; dmarc=fail; dmarc=pass "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_AMBIGUOUS,
                                NONE },
                { "Authentication-Results: mx.hotel.test; dmarc=pass header.from=example.org; "
                  "dmarc=pass header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_AMBIGUOUS,
                                NONE },
                { "Authentication-Results: mx.hotel.test; dmarc=fail header.from=example.org; "
                  "dmarc=pass header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_AMBIGUOUS,
                                NONE },
                { "Authentication-Results: mx.hotel.test; dmarc=pass header.from=evil.test "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_AMBIGUOUS,
                                NONE },
                { "Authentication-Results: mx.hotel.test; dmarc=pass "
                  "header.from=evil.test\r\n" FROM,
                                AUTH_RESULTS_PASS,
                                NONE },
                { "Authentication-Results: mx.hotel.test; dmarc=pass "
                  "header.from=sub.example.org\r\n" FROM,
                                AUTH_RESULTS_PASS,
                                NONE },
        };

        (void) state;
        CHECK_ALL(cases);
}

static void what_breaks_the_grammar_says_nothing(void **state) {
        static const char *const values[] = {
                "",
                ";",
                "mx.hotel.test; dmarc=pass header.from=example.org (",
                "mx.hotel.test; dmarc=pass header.from=example.org \"",
                "mx.hotel.test; dmarc=pass header.from=example.org )",
                "mx.hotel.test 2; dmarc=pass header.from=example.org",
                "mx.hotel.test 1 1; dmarc=pass header.from=example.org",
                "mx.hotel.test dmarc=pass header.from=example.org",
                "mx.hotel.test; dmarc=passheader.from=example.org;x",
                "mx.hotel.test; dmarc=pass header.from=example.org;;",
                "mx.hotel.test; none; dmarc=pass header.from=example.org",
                "mx.hotel.test; dmarc=pass action=none header.from=example.org",
                "mx.hotel.test; dmarc=pass header.from=example.org\"x\"",
                "mx.hotel.test; dmarc=pass reason=\"x\"header.from=example.org",
                "mx.hotel.test; dmarc=pass header.from=",
                "mx.hotel.test; dmarc=pass header.from=@",
                "mx.hotel.test; dmarc= header.from=example.org",
                "mx.hotel.test; =pass",
                "mx.hotel.test; dmarc=pass reason=a reason=b header.from=example.org",
                "mx.hotel.test; dmarc=pass header.from=ex\xff.org",
                "((((((((((((((((((x)))))))))))))))))) mx.hotel.test; dmarc=pass header.from=a.b",
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(values); i++) {
                AuthResults results;

                auth_results_parse(values[i], strlen(values[i]), OURS, &results);
                if (results.verdict != AUTH_RESULTS_MALFORMED || results.domain[0])
                        fail_msg("%s: %s", auth_results_verdict_name(results.verdict), values[i]);
        }
}

static void no_policy_is_weak_and_a_failure_is_final(void **state) {
        static const Case cases[] = {
                { FROM, AUTH_RESULTS_ABSENT, WEAK },
                { "Authentication-Results: mx.hotel.test\r\n" FROM, AUTH_RESULTS_NO_DMARC, WEAK },
                { "Authentication-Results: mx.hotel.test; dmarc=none "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_NONE,
                                WEAK },
                { "Authentication-Results: mx.hotel.test; dmarc=temperror "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_NONE,
                                WEAK },
                { "Authentication-Results: mx.hotel.test; dmarc=bestguesspass "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_NONE,
                                WEAK },
                { "Authentication-Results: mx.hotel.test; dmarc=fail "
                  "header.from=example.org\r\n" FROM,
                                AUTH_RESULTS_FAIL,
                                NONE },
                { "Authentication-Results: mx.hotel.test; spf=pass smtp.mailfrom=example.org; "
                  "dkim=pass header.d=example.org\r\n" FROM,
                                AUTH_RESULTS_NO_DMARC,
                                WEAK },
        };

        (void) state;
        CHECK_ALL(cases);
}

static void an_unclear_sender_is_nobody(void **state) {
        static const char *const senders[] = {
                "",
                FROM FROM,
                FROM "From: eve@evil.test\r\n",
                "From: bob@example.org, eve@evil.test\r\n",
                "From: bob@example.org <eve@evil.test>\r\n",
                "From: Friends: bob@example.org;\r\n",
                "From: <bob@example.org> <eve@evil.test>\r\n",
                "From: <bob@example.org\r\n",
                "From: \"bob\"@example.org\r\n",
                "From: bob@[127.0.0.1]\r\n",
                "From: <>\r\n",
                "From: bob\r\n",
                "From: <@a.test:bob@example.org>\r\n",
                "From: bob@example.org@evil.test\r\n",
                "From: bob@example.org (\r\n",
                "From: bo b@example.org\r\n",
                "From: =?utf-8?q?bob=40example.org?=\r\n",
                "From: b\xf6@example.org\r\n", /* Latin-1 */
                "From: bo\xe2\x80\x8b@example.org\r\n",
        };
        char header[512];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(senders); i++) {
                (void) snprintf(header, sizeof(header), PASS "%s", senders[i]);
                check(&(Case){ header, AUTH_RESULTS_PASS, NONE });
        }
}

static void a_plain_sender_is_found_in_every_dress(void **state) {
        static const char *const senders[] = {
                "From:bob@example.org\r\n",
                "From: <bob@example.org>\r\n",
                "from: \"Eve <eve@evil.test>\" <bob@Example.ORG>\r\n",
                "FROM: (eve@evil.test) bob@example.org (Eve, <eve@evil.test>)\r\n",
                "From: =?utf-8?q?B=C3=B6b?=\r\n (x)\r\n <bob@example.org>\r\n",
                "From: Böb Meier jr. <bob@example.org>\r\n",
                "From: böb@example.org\r\n",
        };
        char header[512];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(senders); i++) {
                (void) snprintf(header, sizeof(header), PASS "%s", senders[i]);
                check(&(Case){ header, AUTH_RESULTS_PASS, STRONG });
        }
}

static void domains_are_compared_as_a_labels(void **state) {
        static const Case cases[] = {
                { "Authentication-Results: mx.hotel.test; dmarc=pass "
                  "header.from=b\xc3\xbc"
                  "cher.test\r\nFrom: a@xn--bcher-kva.test\r\n",
                                AUTH_RESULTS_PASS,
                                STRONG },
                { "Authentication-Results: mx.hotel.test; dmarc=pass "
                  "header.from=XN--bcher-kva.test\r\nFrom: a@B\xc3\x9c"
                  "CHER.test\r\n",
                                AUTH_RESULTS_PASS,
                                STRONG },
                { "Authentication-Results: mx.hotel.test; dmarc=pass header.from=bucher.test\r\n"
                  "From: a@b\xc3\xbc"
                  "cher.test\r\n",
                                AUTH_RESULTS_PASS,
                                NONE },
        };
        AuthResults results;
        const char *text = "xn--bcher-kva.test; dmarc=pass header.from=a.test";

        (void) state;
        CHECK_ALL(cases);
        auth_results_parse(text,
                        strlen(text),
                        "b\xc3\xbc"
                        "cher.test",
                        &results);
        assert_int_equal(results.verdict, AUTH_RESULTS_PASS);
}

static void a_header_is_split_at_fields_and_nowhere_else(void **state) {
        const char *text = "A: 1\r\n 2\r\nb:\n\tx\nC : 3\r\n\r\nD: body\r\n";
        MailHeader header;

        (void) state;
        assert_int_equal(mail_header_split(text, strlen(text), &header), 0);
        assert_int_equal(header.n_fields, 3);
        assert_string_equal(text + header.size, "D: body\r\n");
        assert_memory_equal(header.fields[0].value, " 1\r\n 2", header.fields[0].value_size);
        assert_true(mail_field_is(&header.fields[1], "B") && header.fields[2].spaced);
        assert_null(mail_header_find(&header, "D"));
        mail_header_done(&header);
}

static void a_header_that_is_none_is_refused(void **state) {
        static const char *const texts[] = { " fold\r\n",
                "A: 1\r\nno field\r\n",
                "A: 1\r2\r\n",
                ": x\r\n",
                "A b: x\r\n",
                "A: \x01\r\n",
                "\xc3\xbc: x\r\n" };
        MailHeader header;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                assert_int_equal(mail_header_split(texts[i], strlen(texts[i]), &header),
                                MAIL_HEADER_E_FORM);
                mail_header_done(&header);
        }
        assert_int_equal(mail_header_split("A: \0\n", 5, &header), MAIL_HEADER_E_FORM);
        mail_header_done(&header);
}

static void a_header_beyond_its_limits_is_refused(void **state) {
        static char text[MAIL_HEADER_SIZE_MAX + 16];
        MailHeader header;
        size_t n = 0;

        (void) state;
        while (n < 3 * (MAIL_HEADER_FIELDS_MAX + 1))
                n += (size_t) sprintf(text + n, "a:\n");
        assert_int_equal(mail_header_split(text, n - 3, &header), 0);
        mail_header_done(&header);
        assert_int_equal(mail_header_split(text, n, &header), MAIL_HEADER_E_LIMIT);
        mail_header_done(&header);

        memset(text, 'x', sizeof(text));
        text[1] = ':';
        assert_int_equal(mail_header_split(text, MAIL_HEADER_FIELD_MAX, &header), 0);
        mail_header_done(&header);
        assert_int_equal(mail_header_split(text, MAIL_HEADER_FIELD_MAX + 1, &header),
                        MAIL_HEADER_E_LIMIT);
        mail_header_done(&header);
        for (size_t i = 3; i + 2 < sizeof(text); i += 2)
                memcpy(text + i, "\n ", 2);
        assert_int_equal(mail_header_split(text, sizeof(text), &header), MAIL_HEADER_E_LIMIT);
        mail_header_done(&header);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_pass_for_the_sender_s_own_domain_is_strong),
                cmocka_unit_test(a_forged_field_counts_in_no_position),
                cmocka_unit_test(what_a_sender_puts_into_comments_and_quotes_says_nothing),
                cmocka_unit_test(contradictions_and_repetitions_fail_closed),
                cmocka_unit_test(what_breaks_the_grammar_says_nothing),
                cmocka_unit_test(no_policy_is_weak_and_a_failure_is_final),
                cmocka_unit_test(an_unclear_sender_is_nobody),
                cmocka_unit_test(a_plain_sender_is_found_in_every_dress),
                cmocka_unit_test(domains_are_compared_as_a_labels),
                cmocka_unit_test(a_header_is_split_at_fields_and_nowhere_else),
                cmocka_unit_test(a_header_that_is_none_is_refused),
                cmocka_unit_test(a_header_beyond_its_limits_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
