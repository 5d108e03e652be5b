/* What the operator reads of a policy: each mode, its odds, and the attackers, who are those of
 * policy/factor.c and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>

#include "policy-text.h"

#define PARTS                                                                    \
        "gateway { time_zone = UTC }\n"                                          \
        "channel xmpp { jid = keys.example.org  host = localhost }\n"            \
        "channel echo { exec = { /bin/true }  scheme = echo  authentic = weak\n" \
        "  operator_class = carrier }\n"

static Config *parse_policy(const char *keys) {
        _cleanup_(freep) char *problems = NULL;
        char text[1024];
        Config *config = NULL;

        (void) snprintf(text,
                        sizeof(text),
                        PARTS "policy p { channels = { xmpp, echo }  %s }",
                        keys);
        if (config_parse(text, "test.conf", &config, &problems) != 0)
                fail_msg("%s", problems ? problems : keys);
        return config;
}

/* Of one space each, so that it does not matter where lines break. */
static char *words_of(const char *keys) {
        _cleanup_(config_unrefp) Config *config = parse_policy(keys);
        char *text = policy_text(&config->policies[0]);
        size_t n = 0;

        assert_non_null(text);
        for (const char *s = text; *s; s++)
                if (*s != ' ' && *s != '\n')
                        text[n++] = *s;
                else if (n > 0 && text[n - 1] != ' ')
                        text[n++] = ' ';
        text[n] = 0;
        return text;
}

static void each_mode_is_told_in_words(void **state) {
        static const struct {
                const char *keys, *words;
        } cases[] = {
                { "class = hotel", "policy p: class hotel, RAL-1 (this class asks for RAL-1)" },
                { "class = hotel", "recipient replies with the D9 code that the sender told them" },
                { "class = hotel", "tries 3 for one code, 9 over the share's whole life" },
                { "class = hotel", "another code twice" },
                { "class = hotel reissues = 1", "another code once" },
                { "class = hotel reissues = 0", "the sender gets no other code" },
                { "class = hotel",
                                "(2^-25.0) for one code, 1 in 11,111,108 (2^-23.4) in all link" },
                { "class = hotel", "approval none is asked of the sender" },
                { "class = hotel lifetime = 90m mailbox_ttl = 300s", "all within 90 min approval" },
                { "class = hotel lifetime = 90m mailbox_ttl = 300s", "works for 5 min from" },
                { "class = hotel",
                                "link same: whole, to the address that answered; works for 12 h" },
                { "class = hotel",
                                "xmpp (strong), echo (weak; operator carrier); senders must be "
                                "weak at least" },
                { "class = hotel authentic = strong", "echo (weak, skipped: too weak; operator" },
                { "class = hotel language = de", "; de for recipients whose language is another" },
                { "class = hotel", "languages each that there are texts in; en for" },
                { "class = hotel languages = { de, en }", "languages de, en; de for recipients" },
                { "class = hotel timeouts = { 1h }",
                                "fallback on failed and on silence, xmpp after "
                                "1 h; a step to a weaker channel" },
                { "class = hotel quiet_hours = \"21:00-08:00\"", "quiet 21:00 to 08:00 where" },
                { "class = access code_lifetime = 5m",
                                "recipient replies READY; then gets a code of ours (X8) over a "
                                "channel of another operator, valid for 5 min, and replies with it "
                                "where the invitation came; all within 24 h" },
                { "class = car-unlock", "recipient replies YES; all within 24 h" },
                { "class = car-unlock", "tries none: no code is typed" },
                { "class = car-unlock", "guessing nothing to guess (2^-128) link" },
                { "class = car-unlock",
                                "link split: to the address that answered, and its Secret" },
                { "class = car",
                                "policy p: class car, RAL-2 (this class asks for RAL-3) interim "
                                "below the intended floor RAL-3, accepted by interim_floor = "
                                "RAL-2; "
                                "too little for: who holds the recipient's unlocked phone; who "
                                "reads both channels at every moment recipient" },
                { "class = car approval_lifetime = 5m",
                                "reads out a number, and the sender types it, with one try, within "
                                "5 min" },
                { "class = car", "1 in 1,000,000 on top, for the number" },
                { "class = hotel factors = { fact, reply-code } fact = surname",
                                "answers with what the tenant knows of them (fact = surname); then "
                                "replies with the D9 code" },
                { "class = hotel factors = { fact, reply-code }",
                                "the fact is not counted: fact_bits says nothing of it" },
                { "class = hotel factors = { fact } fact_bits = 40", "for one question, 1 in" },
                { "class = access factors = { reply-code, split }",
                                "(2^-32.4) in all; and nothing to guess in the half of the link "
                                "(2^-128)" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(freep) char *text = words_of(cases[i].keys);

                if (!strstr(text, cases[i].words))
                        fail_msg("\"%s\" is not in: %s", cases[i].words, text);
        }
}

static void every_attacker_is_on_the_side_that_the_table_says(void **state) {
        static const struct {
                const char *keys;
                uint32_t factors;
        } cases[] = {
                { "class = hotel", FACTOR_REPLY_CODE },
                { "class = access", FACTOR_CROSS_CODE },
                { "class = car-unlock", FACTOR_SPLIT },
                { "class = home", FACTOR_SPLIT | FACTOR_APPROVE },
                { "class = fleet factors = { reply-code, split }",
                                FACTOR_REPLY_CODE | FACTOR_SPLIT },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(freep) char *text = words_of(cases[i].keys);
                const char *stops = strstr(text, " stops "), *not = strstr(text, " not who");

                assert_non_null(stops);
                assert_non_null(not );
                for (FactorAttacker a = 0; a < FACTOR_ATTACKER_MAX; a++) {
                        const char *found = strstr(stops, factor_attacker_text(a));

                        assert_non_null(found);
                        if (factor_stops(cases[i].factors, a) != (found < not ))
                                fail_msg("%s: %s", cases[i].keys, factor_attacker_text(a));
                }
        }
}

static void no_line_is_longer_than_a_terminal(void **state) {
        _cleanup_(config_unrefp) Config *config =
                        parse_policy("class = access  factors = { fact, reply-code, cross-code, "
                                     "split, approve }");
        _cleanup_(freep) char *text = policy_text(&config->policies[0]);

        (void) state;
        for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
                if (strcspn(line, "\n") > 100 || (line > text && strncmp(line, "  ", 2) != 0))
                        fail_msg("%s", line);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_mode_is_told_in_words),
                cmocka_unit_test(every_attacker_is_on_the_side_that_the_table_says),
                cmocka_unit_test(no_line_is_longer_than_a_terminal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
