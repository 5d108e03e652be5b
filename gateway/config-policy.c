/* Policies: rules, which policy/ checks against the floor of their class, and the channels that can
 * carry them. */
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "config-internal.h"

static void read_policy_channels(const ConfigPlace *p, ConfigPolicy *policy) {
        RulesAuthentic best = RULES_AUTHENTIC_NONE;
        size_t n;
        const char **names = config_read_list(p, "channels", &n);

        policy->channels = config_reader_take(p->reader, n + 1, sizeof(*policy->channels));
        if (!names || !policy->channels)
                return;
        for (size_t i = 0; i < n; i++) {
                const ConfigChannel *channel = config_channel(p->reader->config, names[i]);

                if (!channel) {
                        config_problem(p, "channels", "there is no channel %s", names[i]);
                        continue;
                }
                policy->channels[policy->n_channels++] = channel;
                if (channel->authentic > best)
                        best = channel->authentic;
        }
        if (n == 0)
                config_problem(p, NULL, "channels is missing: nobody could be reached");
        else if (policy->n_channels == n && best < policy->rules.minimum_authentic)
                config_problem(p,
                                "channels",
                                "none of its channels knows senders better than %s, and it asks "
                                "for %s",
                                rules_authentic_name(best),
                                rules_authentic_name(policy->rules.minimum_authentic));
}

static void read_policy_factors(const ConfigPlace *p, Rules *rules) {
        size_t n;
        const char **names = config_read_list(p, "factors", &n);

        if (config_n_values(p, "factors") == 0)
                return;
        rules->factors = 0;
        for (size_t i = 0; names && i < n; i++) {
                Factor factor = factor_from_name(names[i]);

                if (factor && factor_is_available(factor))
                        rules->factors |= factor;
                else
                        config_problem(p,
                                        "factors",
                                        "%s is not a factor of this version, which has reply-code, "
                                        "cross-code, split, approve and fact",
                                        names[i]);
        }
}

/* Two keys that say of the link and of the sender what `factors` says in one list. They add to it,
 * and never take away: a policy that says both is refused. */
static void read_synonyms(const ConfigPlace *p, Rules *rules) {
        const char *delivery = config_read_text(p, "link_delivery", NULL);
        bool is_there = config_n_values(p, "approval") > 0;
        bool approval = config_read_flag(p, "approval", rules->factors & FACTOR_APPROVE);

        if (delivery && streq(delivery, "split"))
                rules->factors |= FACTOR_SPLIT;
        else if (delivery && !streq(delivery, "same"))
                config_problem(p, "link_delivery", "link_delivery must be same or split");
        else if (delivery && rules->factors & FACTOR_SPLIT)
                config_problem(p,
                                "link_delivery",
                                "link_delivery = same, and split is among the factors: leave one "
                                "of them out%s",
                                config_n_values(p, "factors") > 0
                                                ? ""
                                                : "; this class has split unless factors says "
                                                  "otherwise");
        if (is_there && approval)
                rules->factors |= FACTOR_APPROVE;
        else if (is_there && rules->factors & FACTOR_APPROVE)
                config_problem(p,
                                "approval",
                                "approval = no, and approve is among the factors: leave one of "
                                "them out%s",
                                config_n_values(p, "factors") > 0
                                                ? ""
                                                : "; this class has approve unless factors says "
                                                  "otherwise");
}

/* A number that nothing asks for misleads whoever reads it: they believe that a code is typed, or
 * that somebody approves. */
static void check_idle_keys(const ConfigPlace *p, const Rules *rules) {
        static const struct {
                const char *key;
                uint32_t factors; /* one of which gives it a meaning */
                const char *names;
        } keys[] = {
                { "code", FACTOR_REPLY_CODE | FACTOR_CROSS_CODE, "reply-code or cross-code" },
                { "reissues", FACTOR_REPLY_CODE | FACTOR_CROSS_CODE, "reply-code or cross-code" },
                { "attempts",
                                FACTOR_REPLY_CODE | FACTOR_CROSS_CODE | FACTOR_FACT,
                                "reply-code, cross-code or fact" },
                { "attempts_total",
                                FACTOR_REPLY_CODE | FACTOR_CROSS_CODE | FACTOR_FACT,
                                "reply-code, cross-code or fact" },
                { "code_lifetime", FACTOR_CROSS_CODE, "cross-code" },
                { "approval_lifetime", FACTOR_APPROVE, "approve" },
                { "fact_bits", FACTOR_FACT, "fact" },
        };

        for (size_t i = 0; i < N_ELEMENTS(keys); i++)
                if (config_n_values(p, keys[i].key) > 0 && !(rules->factors & keys[i].factors))
                        config_problem(p,
                                        keys[i].key,
                                        "%s means nothing here: %s is not among the factors",
                                        keys[i].key,
                                        keys[i].names);
}

/* The classes whose floor these factors reach: "hotel and home-limited". */
static void reached_classes(unsigned assurance, char *ret, size_t size) {
        const char *names[RULES_CLASS_MAX];
        size_t n = 0, used = 0;

        for (RulesClass class = 0; class < RULES_CLASS_MAX; class ++)
                if (rules_floor(class) <= assurance)
                        names[n++] = rules_class_name(class);
        ret[0] = 0;
        for (size_t i = 0; i < n && used < size; i++)
                used += (size_t) snprintf(ret + used,
                                size - used,
                                "%s%s",
                                i == 0       ? ""
                                : i + 1 == n ? " and "
                                             : ", ",
                                names[i]);
}

/* The code format with which the number of attempts would do, or NULL. */
static const char *long_enough_code(const Rules *rules) {
        char missed[RULES_PROBLEM_SIZE];
        Rules other = *rules;

        for (other.code = 0; other.code < CODE_FORMAT_MAX; other.code++)
                if (rules_check(&other, missed) == 0 || strncmp(missed, "code:", 5) != 0)
                        return code_format_name(other.code);
        return NULL;
}

/* The sentence of rules_check() begins with the name of a number; *ret_key is that of its key, and
 * the sentence follows with the key in its place. */
static void name_key(const char *missed, char ret_key[32], char ret[RULES_PROBLEM_SIZE]) {
        static const char *const keys[][2] = {
                { "minimum_authentic", "authentic" },
                { "code_ttl", "code_lifetime" },
                { "approval_ttl", "approval_lifetime" },
        };
        size_t n = strcspn(missed, ":");
        const char *key = NULL;

        for (size_t i = 0; i < N_ELEMENTS(keys); i++)
                if (strlen(keys[i][0]) == n && strncmp(missed, keys[i][0], n) == 0)
                        key = keys[i][1];
        (void) snprintf(ret_key, 32, "%.*s", key ? 31 : (int) n, key ? key : missed);
        (void) snprintf(ret, RULES_PROBLEM_SIZE, "%s%s", ret_key, missed + n);
}

/* What rules_check() missed, and what would do instead. */
static void policy_problem(const ConfigPlace *p, const Rules *rules, const char *missed) {
        const char *code = strncmp(missed, "code:", 5) == 0 ? long_enough_code(rules) : NULL;
        char classes[128], key[32], sentence[RULES_PROBLEM_SIZE];

        name_key(missed, key, sentence);
        missed = sentence;
        if (code)
                config_problem(p, key, "%s; code = %s is long enough", missed, code);
        else if (rules->factors != 0 && rules_assurance(rules) > 0 &&
                        rules_assurance(rules) < rules_required(rules)) {
                reached_classes(rules_assurance(rules), classes, sizeof(classes));
                config_problem(p, "factors", "%s; they are enough for classes %s", missed, classes);
        } else
                config_problem(p, key, "%s", missed);
}

/* "RAL-2", or "none" for who would rather have no policy than one below the floor. */
static void read_interim_floor(const ConfigPlace *p, Rules *rules) {
        const char *text = config_read_text(p, "interim_floor", NULL);

        if (!text)
                return;
        if (streq(text, "none"))
                rules->interim_floor = 0;
        else if (strlen(text) == 5 && strncmp(text, "RAL-", 4) == 0 && text[4] >= '0' &&
                        text[4] <= '4')
                rules->interim_floor = (unsigned) (text[4] - '0');
        else
                config_problem(p, "interim_floor", "interim_floor must be RAL-2 or none");
}

/* Two channels of one operator are one channel to whoever holds that operator's keys. */
static void check_two_operators(const ConfigPlace *p, const ConfigPolicy *policy) {
        if (!factor_needs_two_channels(policy->rules.factors) || policy->n_channels == 0)
                return;
        for (size_t i = 1; i < policy->n_channels; i++)
                if (!streq(policy->channels[i]->operator_class,
                                    policy->channels[0]->operator_class))
                        return;
        config_problem(p,
                        "channels",
                        "these factors need two channels of different operators, and all of these "
                        "are of the operator class %s",
                        policy->channels[0]->operator_class);
}

static void read_policy_rules(const ConfigPlace *p, Rules *rules) {
        const char *class = config_read_required(p, "class"), *text;
        char missed[RULES_PROBLEM_SIZE];
        bool was_bad = p->reader->bad;

        rules_default(RULES_HOTEL, rules);
        if (!class)
                return;
        rules->class = rules_class_from_name(class);
        if (rules->class == RULES_CLASS_MAX) {
                config_problem(p,
                                "class",
                                "class must be hotel, home-limited, home, car-unlock, car, access "
                                "or fleet");
                rules->class = RULES_HOTEL;
                return;
        }
        rules_default(rules->class, rules);
        p->reader->bad = false;
        read_policy_factors(p, rules);
        read_synonyms(p, rules);
        check_idle_keys(p, rules);
        text = config_read_text(p, "code", NULL);
        if (text) {
                CodeFormat format = code_format_from_name(text);

                if (format == CODE_FORMAT_MAX)
                        config_problem(p, "code", "code must be D9 or X8");
                else
                        rules->code = format;
        }
        rules->attempts = config_read_number(p, "attempts", 1, RULES_ATTEMPTS_MAX, rules->attempts);
        rules->attempts_total = config_read_number(
                        p, "attempts_total", 1, RULES_ATTEMPTS_TOTAL_MAX, rules->attempts_total);
        rules->reissues = config_read_number(p, "reissues", 0, RULES_REISSUES_MAX, rules->reissues);
        rules->fact_bits = config_read_number(
                        p, "fact_bits", 0, RULES_FACT_BITS_MAX, rules->fact_bits);
        rules->code_ttl = config_read_duration(p, "code_lifetime", rules->code_ttl);
        rules->approval_ttl = config_read_duration(p, "approval_lifetime", rules->approval_ttl);
        read_interim_floor(p, rules);
        rules->challenge_ttl = config_read_duration(p, "lifetime", rules->challenge_ttl);
        rules->mailbox_ttl = config_read_duration(p, "mailbox_ttl", rules->mailbox_ttl);
        text = config_read_text(p, "authentic", NULL);
        if (text) {
                RulesAuthentic minimum = rules_authentic_from_name(text);

                if (minimum == RULES_AUTHENTIC_MAX)
                        config_problem(p, "authentic", "authentic must be none, weak or strong");
                else
                        rules->minimum_authentic = minimum;
        }
        if (!p->reader->bad && rules_check(rules, missed) != 0)
                policy_problem(p, rules, missed);
        p->reader->bad = p->reader->bad || was_bad;
}

/* What the recipient is asked for, in the words that the templates have for it. */
static void read_fact(const ConfigPlace *p, ConfigPolicy *policy) {
        static const char *const kinds[] = { "booking", "surname", "plate", "employee", "other" };

        policy->fact = config_read_text(p, "fact", NULL);
        if (!(policy->rules.factors & FACTOR_FACT)) {
                if (policy->fact)
                        config_problem(p, "fact", "factors do not name fact");
                return;
        }
        if (!policy->fact)
                policy->fact = "other";
        for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
                if (streq(policy->fact, kinds[i]))
                        return;
        config_problem(p, "fact", "fact must be booking, surname, plate, employee or other");
}

static void read_policy_rights(const ConfigPlace *p, ConfigPolicy *policy) {
        const char *rights = config_read_text(p, "access_rights", NULL);

        policy->several = rights ? streq(rights, "RWD")
                                 : rules_takes_several_messages(policy->rules.class);
        if (rights && !streq(rights, "RWD") && !streq(rights, "RD"))
                config_problem(p,
                                "access_rights",
                                "access_rights must be RD, for one message, or RWD, for several in "
                                "both directions");
}

static bool is_language(const char *text) {
        return strlen(text) <= 35 && isalpha((unsigned char) text[0]);
}

static void read_languages(const ConfigPlace *p, ConfigPolicy *policy) {
        policy->language = config_read_text(p, "language", NULL);
        policy->languages = config_read_list(p, "languages", &policy->n_languages);
        if (policy->language && !is_language(policy->language))
                config_problem(p, "language", "language must be a tag such as en or de-AT");
        for (size_t i = 0; policy->languages && i < policy->n_languages; i++)
                if (!is_language(policy->languages[i]))
                        config_problem(p,
                                        "languages",
                                        "languages must be tags such as en or de-AT");
        if (!policy->languages || policy->n_languages == 0)
                return;
        if (policy->language)
                config_problem(p,
                                "language",
                                "languages says it as well, by its first: leave one of them out");
        policy->language = policy->languages[0];
}

const char *config_policy_locale(const ConfigPolicy *policy, const char *locale) {
        size_t n = locale ? strcspn(locale, "-_") : 0;

        for (size_t i = 0; locale && i < policy->n_languages; i++)
                if (strcspn(policy->languages[i], "-_") == n &&
                                strncasecmp(policy->languages[i], locale, n) == 0)
                        return locale;
        return policy->n_languages > 0 ? NULL : locale;
}

void config_read_policy(const ConfigPlace *p, ConfigPolicy *policy) {
        *policy = (ConfigPolicy){ .name = config_take_string(p->reader->config, p->title) };
        if (!policy->name)
                p->reader->error = -ENOMEM;
        read_policy_rules(p, &policy->rules);
        read_policy_rights(p, policy);
        read_policy_channels(p, policy);
        config_read_fallback(p, policy);
        check_two_operators(p, policy);
        read_fact(p, policy);
        read_languages(p, policy);
}
