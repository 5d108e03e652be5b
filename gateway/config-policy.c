/* Policies: rules, which policy/ checks against the floor of their class, and the channels that can
 * carry them. */
#include <ctype.h>
#include <errno.h>

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
                RulesFactor factor = rules_factor_from_name(names[i]);

                if (factor)
                        rules->factors |= factor;
                else
                        config_problem(p,
                                        "factors",
                                        "%s is not a factor of this version, which has reply-code",
                                        names[i]);
        }
}

/* The classes whose floor these factors reach: "hotel and home-limited". */
static void reached_classes(uint32_t factors, char *ret, size_t size) {
        const char *names[RULES_CLASS_MAX];
        size_t n = 0, used = 0;

        for (RulesClass class = 0; class < RULES_CLASS_MAX; class ++)
                if (rules_floor(class) <= rules_assurance(factors))
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

/* What rules_check() missed, and what would do instead. */
static void policy_problem(const ConfigPlace *p, const Rules *rules, const char *missed) {
        static const char minimum[] = "minimum_"; /* the key is called authentic */
        const char *code = strncmp(missed, "code:", 5) == 0 ? long_enough_code(rules) : NULL;
        char classes[128];

        if (strncmp(missed, minimum, sizeof(minimum) - 1) == 0)
                missed += sizeof(minimum) - 1;

        if (code)
                config_problem(p, NULL, "%s; code = %s is long enough", missed, code);
        else if (rules->factors != 0 &&
                        rules_assurance(rules->factors) < rules_floor(rules->class)) {
                reached_classes(RULES_FACTOR_REPLY_CODE, classes, sizeof(classes));
                config_problem(p,
                                NULL,
                                "%s; this version reaches RAL-%u only: classes %s",
                                missed,
                                rules_assurance(RULES_FACTOR_REPLY_CODE),
                                classes);
        } else
                config_problem(p, NULL, "%s", missed);
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

void config_read_policy(const ConfigPlace *p, ConfigPolicy *policy) {
        *policy = (ConfigPolicy){ .name = config_take_string(p->reader->config, p->title),
                .language = config_read_text(p, "language", NULL) };
        if (!policy->name)
                p->reader->error = -ENOMEM;
        read_policy_rules(p, &policy->rules);
        read_policy_rights(p, policy);
        read_policy_channels(p, policy);
        if (policy->language && (strlen(policy->language) > 35 ||
                                                !isalpha((unsigned char) policy->language[0])))
                config_problem(p, "language", "language must be a tag such as en or de-AT");
}
