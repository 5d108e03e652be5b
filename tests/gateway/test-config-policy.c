/* Policies as they are written: what contradicts itself is refused at its line with what to do,
 * each number has its bounds, and nothing that is accepted is below what the design allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

#define PARTS                                                                                \
        "gateway { time_zone = UTC }  channel xmpp { jid = keys.example.org  host = ::1 }  " \
        "channel echo { exec = { /bin/true }  scheme = echo  authentic = weak }  "           \
        "channel twin { exec = { /bin/true }  scheme = echo  authentic = weak }\n"

/* The policy's name is on line 2, and its keys are on line 3 and after. */
static char *whole(const char *keys) {
        size_t size = strlen(PARTS) + strlen(keys) + 64;
        char *text = malloc(size);

        assert_non_null(text);
        (void) snprintf(text,
                        size,
                        PARTS "policy p {\n%s%s\n}\n",
                        strstr(keys, "channels") ? "" : "channels = { xmpp, echo } ",
                        keys);
        return text;
}

static Config *parse(const char *keys, char **ret_problems) {
        _cleanup_(freep) char *text = whole(keys);
        Config *config = NULL;
        int r;

        *ret_problems = NULL;
        r = config_parse(text, "test.conf", &config, ret_problems);
        assert_true(r == 0 || r == CONFIG_E_INVALID);
        assert_true((r == 0) == (config != NULL));
        return config;
}

static void expect_refused(const char *keys, int line, const char *words) {
        _cleanup_(freep) char *problems = NULL;
        _cleanup_(config_unrefp) Config *config = parse(keys, &problems);
        char place[32];
        const char *found;

        if (config)
                fail_msg("accepted: %s", keys);
        (void) snprintf(place, sizeof(place), "test.conf:%d: policy p: ", line);
        found = strstr(problems, words);
        if (!found)
                fail_msg("\"%s\" is not in: %s", words, problems);
        while (found > problems && found[-1] != '\n')
                found--;
        if (strncmp(found, place, strlen(place)) != 0)
                fail_msg("not at %s: %s", place, problems);
}

static Config *expect_accepted(const char *keys) {
        _cleanup_(freep) char *problems = NULL;
        Config *config = parse(keys, &problems);

        if (!config)
                fail_msg("%s: %s", keys, problems);
        return config;
}

static void what_contradicts_itself_is_refused_with_what_to_do(void **state) {
        static const struct {
                const char *keys;
                int line;
                const char *words;
        } cases[] = {
                { "class = hotel\nattempts = 5\nattempts_total = 4",
                                5,
                                "attempts_total: 4, must be 5 (attempts) to 9" },
                { "class = hotel\ncode_lifetime = 5m",
                                4,
                                "code_lifetime means nothing here: cross-code is not among" },
                { "class = hotel\napproval_lifetime = 5m", 4, "approve is not among the factors" },
                { "class = hotel\nfact_bits = 30", 4, "fact is not among the factors" },
                { "class = hotel\nfact = surname", 4, "factors do not name fact" },
                { "class = car-unlock\ncode = X8",
                                4,
                                "code means nothing here: reply-code or cross-code is not among" },
                { "class = car-unlock\nattempts = 3", 4, "attempts means nothing here" },
                { "class = car-unlock\nattempts_total = 3", 4, "attempts_total means nothing" },
                { "class = car-unlock\nreissues = 1", 4, "reissues means nothing here" },
                { "class = hotel factors = { fact } fact_bits = 40\nreissues = 1",
                                4,
                                "reissues means nothing here" },
                { "class = hotel\nfactors = { reply-code, split }\nlink_delivery = same",
                                5,
                                "link_delivery = same, and split is among the factors" },
                { "class = car\nlink_delivery = same", 4, "this class has split unless factors" },
                { "class = hotel\nfactors = { reply-code, approve }\napproval = no",
                                5,
                                "approval = no, and approve is among the factors" },
                { "class = home\napproval = no", 4, "this class has approve unless factors" },
                { "class = hotel\nlink_delivery = halves", 4, "must be same or split" },
                { "class = hotel\napproval = maybe", 4, "approval" },
                { "class = hotel\nfactors = { }", 4, "factors holds nothing" },
                { "class = hotel\nfactors = { reply-code, reply-code }", 4, "twice" },
                { "class = hotel\nfactors = { blood }",
                                4,
                                "blood is not a factor of this version" },
                { "class = hotel\nfactors = { page-code }",
                                4,
                                "page-code is not a factor of this version" },
                { "class = hotel\nfactors = { approve }",
                                4,
                                "RAL-0, class hotel asks for at least "
                                "RAL-1" },
                { "class = hotel\nfactors = { fact }", 4, "RAL-0" },
                { "class = hotel factors = { fact }\nfact_bits = 25", 3, "RAL-0" },
                { "class = access\nfactors = { reply-code }",
                                4,
                                "reaches assurance level RAL-1, class access asks for at least "
                                "RAL-2; they are enough for classes hotel and home-limited" },
                { "class = home\nfactors = { split }", 4, "below it for approve as well" },
                { "class = home\ninterim_floor = none", 2, "asks for at least RAL-3" },
                { "class = car\ninterim_floor = RAL-1", 4, "RAL-1, must be RAL-2" },
                { "class = car\ninterim_floor = 2", 4, "must be RAL-2 or none" },
                { "class = fleet\ninterim_floor = RAL-2", 4, "there is nothing to stand in for" },
                { "class = fleet\ncode = D9",
                                4,
                                "class fleet asks for at most 2^-32; code = X8 is long enough" },
                { "class = home-limited\ncode = D9",
                                4,
                                "class home-limited asks for at most 2^-31" },
                { "class = access\nchannels = { echo, twin }",
                                4,
                                "all of these are of the operator class echo" },
                { "class = access\nchannels = { xmpp }", 4, "two channels of different operators" },
                { "class = hotel\nchannels = { echo, echo }", 4, "channels holds \"echo\" twice" },
                { "class = hotel\nchannels = { echo, twin }\nauthentic = strong",
                                4,
                                "none of its channels knows senders better than weak" },
                { "class = hotel\nauthentic = none", 4, "authentic: must be weak or strong" },
                { "class = hotel\nmailbox_ttl = 24h\nlifetime = 43h",
                                5,
                                "together more than 66 h" },
                { "class = hotel\naccess_rights = RW", 4, "access_rights must be RD" },
                { "class = hotel\nlanguages = { }", 4, "languages holds nothing" },
                { "class = hotel\nlanguages = { en, 4 }", 4, "tags such as en or de-AT" },
                { "class = hotel\nlanguages = { en, de }\nlanguage = de",
                                5,
                                "leave one of them out" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                expect_refused(cases[i].keys, cases[i].line, cases[i].words);
}

static void each_number_has_its_bounds(void **state) {
        static const struct {
                const char *keys, *name;
                const char *least, *less, *most, *more; /* less may be NULL */
        } cases[] = {
                { "class = hotel", "attempts", "1", "0", "5", "6" },
                { "class = hotel", "attempts_total", "3", "2", "9", "10" },
                { "class = hotel", "reissues", "0", NULL, "2", "3" },
                { "class = access", "code_lifetime", "60s", "59s", "10m", "601s" },
                { "class = car", "approval_lifetime", "60s", "59s", "10m", "601s" },
                { "class = hotel", "lifetime", "60s", "59s", "54h", "55h" },
                { "class = hotel", "mailbox_ttl", "300s", "299s", "24h", "25h" },
                { "class = hotel factors = { fact, reply-code }",
                                "fact_bits",
                                "0",
                                NULL,
                                "128",
                                "129" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const char *values[] = {
                        cases[i].least, cases[i].most, cases[i].less, cases[i].more
                };

                for (size_t k = 0; k < N_ELEMENTS(values); k++) {
                        char keys[256];

                        if (!values[k])
                                continue;
                        (void) snprintf(keys,
                                        sizeof(keys),
                                        "%s\n%s = %s",
                                        cases[i].keys,
                                        cases[i].name,
                                        values[k]);
                        if (k < 2)
                                (void) config_unref(expect_accepted(keys));
                        else
                                expect_refused(keys, 4, cases[i].name);
                }
        }
}

static void the_two_words_for_split_and_approve_add_to_the_factors(void **state) {
        static const struct {
                const char *keys;
                uint32_t factors;
        } cases[] = {
                { "class = hotel link_delivery = split", FACTOR_REPLY_CODE | FACTOR_SPLIT },
                { "class = hotel link_delivery = same", FACTOR_REPLY_CODE },
                { "class = hotel approval = yes", FACTOR_REPLY_CODE | FACTOR_APPROVE },
                { "class = hotel approval = no", FACTOR_REPLY_CODE },
                { "class = car link_delivery = split approval = yes",
                                FACTOR_SPLIT | FACTOR_APPROVE },
                { "class = access factors = { cross-code } link_delivery = split approval = yes",
                                FACTOR_CROSS_CODE | FACTOR_SPLIT | FACTOR_APPROVE },
                { "class = access factors = { reply-code } link_delivery = split",
                                FACTOR_REPLY_CODE | FACTOR_SPLIT },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(config_unrefp) Config *config = expect_accepted(cases[i].keys);

                assert_int_equal(config->policies[0].rules.factors, cases[i].factors);
        }
}

static void only_languages_that_are_named_are_written(void **state) {
        _cleanup_(config_unrefp)
                        Config *some = expect_accepted("class = hotel languages = { de, en-GB }"),
                               *any = expect_accepted("class = hotel language = de");
        const ConfigPolicy *policy = &some->policies[0];

        (void) state;
        assert_string_equal(policy->language, "de");
        assert_string_equal(config_policy_locale(policy, "de-AT"), "de-AT");
        assert_string_equal(config_policy_locale(policy, "EN"), "EN");
        assert_null(config_policy_locale(policy, "fr"));
        assert_null(config_policy_locale(policy, "d"));
        assert_null(config_policy_locale(policy, "den"));
        assert_null(config_policy_locale(policy, NULL));
        assert_string_equal(config_policy_locale(&any->policies[0], "fr"), "fr");
        assert_memory_not_equal(some->policies[0].fingerprint,
                        any->policies[0].fingerprint,
                        CONFIG_FINGERPRINT_SIZE);
}

/* --- whatever is written -------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15;

static unsigned pick(unsigned n) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return (unsigned) (random_state % n);
}

/* Mostly near the bounds, and never of the right form alone. */
static void write_keys(FILE *file) {
        static const char *const numbers[] = {
                "attempts", "attempts_total", "reissues", "fact_bits"
        };
        static const char *const times[] = {
                "code_lifetime", "approval_lifetime", "lifetime", "mailbox_ttl"
        };
        static const char *const lengths[] = {
                "1s", "60s", "10m", "11m", "5h", "24h", "42h", "54h", "66h"
        };
        static const char *const floors[] = { "none", "RAL-1", "RAL-2", "RAL-3" };
        static const char *const channels[] = {
                "xmpp, echo", "xmpp", "echo, twin", "twin, xmpp", "echo"
        };
        bool some = false;

        (void) fprintf(file,
                        "class = %s channels = { %s }",
                        rules_class_name((RulesClass) pick(RULES_CLASS_MAX)),
                        channels[pick(N_ELEMENTS(channels))]);
        if (pick(3) > 0) {
                (void) fputs(" factors = { ", file);
                for (unsigned i = 0; i < FACTOR_N; i++)
                        if (pick(3) == 0 && (i < FACTOR_N - 1 || pick(9) == 0)) {
                                (void) fprintf(file,
                                                "%s%s",
                                                some ? ", " : "",
                                                factor_name((Factor) (1U << i)));
                                some = true;
                        }
                (void) fputs(some ? " }" : "reply-code }", file);
        }
        if (pick(3) == 0)
                (void) fprintf(file, " code = %s", pick(2) ? "D9" : "X8");
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
                if (pick(4) == 0)
                        (void) fprintf(file, " %s = %u", numbers[i], pick(i == 3 ? 130 : 11));
        for (size_t i = 0; i < N_ELEMENTS(times); i++)
                if (pick(4) == 0)
                        (void) fprintf(file,
                                        " %s = %s",
                                        times[i],
                                        lengths[pick(N_ELEMENTS(lengths))]);
        if (pick(4) == 0)
                (void) fprintf(file, " interim_floor = %s", floors[pick(N_ELEMENTS(floors))]);
        if (pick(5) == 0)
                (void) fprintf(file, " link_delivery = %s", pick(2) ? "same" : "split");
        if (pick(5) == 0)
                (void) fprintf(file, " approval = %s", pick(2) ? "yes" : "no");
}

static void check_is_safe(const ConfigPolicy *policy, const char *keys) {
        const Rules *rules = &policy->rules;
        bool apart = false;

        for (size_t i = 1; i < policy->n_channels; i++)
                apart = apart || strcmp(policy->channels[i]->operator_class,
                                                 policy->channels[0]->operator_class) != 0;
        if (rules_guess_bits_total(rules) < 20 || rules->attempts < 1 || rules->attempts > 5 ||
                        rules->attempts_total > 9 || rules->attempts > rules->attempts_total ||
                        rules->reissues > 2 || rules->code_ttl < 60 || rules->code_ttl > 600 ||
                        rules->approval_ttl > 600 || rules->mailbox_ttl > 24 * 3600 ||
                        rules->challenge_ttl + rules->mailbox_ttl > 66 * 3600 ||
                        rules_assurance(rules) < rules_required(rules) ||
                        (rules_assurance(rules) < rules_floor(rules->class) &&
                                        (rules_assurance(rules) < 2 ||
                                                        !(rules->factors & FACTOR_APPROVE))) ||
                        (rules->factors & (FACTOR_SPLIT | FACTOR_CROSS_CODE) && !apart) ||
                        rules->factors & FACTOR_PAGE_CODE)
                fail_msg("accepted: %s", keys);
}

static void nothing_that_is_accepted_is_below_the_bounds(void **state) {
        unsigned n_accepted = 0;

        (void) state;
        for (unsigned i = 0; i < 2000; i++) {
                _cleanup_(freep) char *keys = NULL, *problems = NULL;
                _cleanup_(config_unrefp) Config *config = NULL;
                size_t size;
                FILE *file = open_memstream(&keys, &size);

                assert_non_null(file);
                write_keys(file);
                assert_int_equal(fclose(file), 0);
                config = parse(keys, &problems);
                if (!config)
                        continue;
                n_accepted++;
                check_is_safe(&config->policies[0], keys);
        }
        assert_in_range(n_accepted, 50, 1950);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_contradicts_itself_is_refused_with_what_to_do),
                cmocka_unit_test(each_number_has_its_bounds),
                cmocka_unit_test(the_two_words_for_split_and_approve_add_to_the_factors),
                cmocka_unit_test(only_languages_that_are_named_are_written),
                cmocka_unit_test(nothing_that_is_accepted_is_below_the_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
