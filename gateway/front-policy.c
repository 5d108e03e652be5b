/* What tenants and operators ask about policies: their members for programs, and of one of them the
 * words that `vestibuled --check` has for it. */
#include <errno.h>
#include <stdio.h>

#include "front.h"
#include "policy-text.h"

typedef char LevelText[8]; /* "RAL-2" */

static const char *level_text(unsigned level, LevelText ret) {
        (void) snprintf(ret, sizeof(LevelText), "RAL-%u", level);
        return ret;
}

/* In lists, which a frame has to hold. */
static json_t *policy_json(const ConfigPolicy *policy) {
        char vertical[2] = { rules_vertical(policy->rules.class), 0 };
        LevelText assurance;

        return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}",
                        "name",
                        policy->name,
                        "class",
                        rules_class_name(policy->rules.class),
                        "vertical",
                        vertical,
                        "assurance",
                        level_text(rules_assurance(&policy->rules), assurance),
                        "lifetime",
                        (json_int_t) policy->rules.challenge_ttl,
                        "mailbox_ttl",
                        (json_int_t) policy->rules.mailbox_ttl,
                        "access_rights",
                        policy->several ? "RWD" : "RD");
}

static json_t *factors_json(uint32_t factors) {
        json_t *list = json_array();

        for (unsigned i = 0; i < FACTOR_N; i++)
                if (factors & 1U << i)
                        (void) json_array_append_new(
                                        list, json_string(factor_name((Factor) (1U << i))));
        return list;
}

static json_t *attackers_json(uint32_t factors, bool stopped) {
        json_t *list = json_array();

        for (FactorAttacker a = 0; a < FACTOR_ATTACKER_MAX; a++)
                if (factor_stops(factors, a) == stopped)
                        (void) json_array_append_new(list, json_string(factor_attacker_name(a)));
        return list;
}

static json_t *channels_json(const ConfigPolicy *policy) {
        json_t *list = json_array();

        for (size_t i = 0; i < policy->n_channels; i++) {
                const ConfigChannel *channel = policy->channels[i];

                (void) json_array_append_new(list,
                                json_pack("{s:s, s:s, s:s, s:s, s:b}",
                                                "name",
                                                channel->name,
                                                "scheme",
                                                channel->scheme,
                                                "operator_class",
                                                channel->operator_class,
                                                "authentic",
                                                rules_authentic_name(channel->authentic),
                                                "skipped",
                                                (int) policy_text_skips(policy, i)));
        }
        return list;
}

/* What a guesser is up against: of 2^-N, N. */
static json_t *guess_json(const Rules *rules) {
        return json_pack("{s:f, s:f}",
                        "code",
                        rules_guess_bits(rules, rules->attempts),
                        "total",
                        rules_guess_bits_total(rules));
}

static json_t *details_json(const ConfigPolicy *policy) {
        const Rules *rules = &policy->rules;
        LevelText floor;

        return json_pack("{s:o, s:s, s:i, s:i, s:i, s:I, s:I, s:s, s:o, s:o, s:s, s:b, s:o, s:o}",
                        "factors",
                        factors_json(rules->factors),
                        "code",
                        code_format_name(rules->code),
                        "attempts",
                        (int) rules->attempts,
                        "attempts_total",
                        (int) rules->attempts_total,
                        "reissues",
                        (int) rules->reissues,
                        "code_lifetime",
                        (json_int_t) rules->code_ttl,
                        "approval_lifetime",
                        (json_int_t) rules->approval_ttl,
                        "floor",
                        level_text(rules_floor(rules->class), floor),
                        "guess_bits",
                        guess_json(rules),
                        "channels",
                        channels_json(policy),
                        "link_delivery",
                        policy_text_link_delivery(policy),
                        "approval",
                        (int) ((rules->factors & FACTOR_APPROVE) != 0),
                        "stops",
                        attackers_json(rules->factors, true),
                        "does_not_stop",
                        attackers_json(rules->factors, false));
}

/* Of a policy that is asked for by its name. */
static json_t *full_json(const ConfigPolicy *policy) {
        json_auto_t *details = details_json(policy);
        json_t *body = policy_json(policy);

        if (details && body && json_object_update(body, details) == 0)
                return body;
        json_decref(body);
        return NULL;
}

json_t *front_policies_json(const Ask *ask) {
        size_t n = ask->tenant ? ask->tenant->n_policies : ask->config->n_policies;
        json_t *list = json_array();

        for (size_t i = 0; i < n; i++)
                (void) json_array_append_new(list,
                                policy_json(ask->tenant ? ask->tenant->policies[i]
                                                        : &ask->config->policies[i]));
        return list;
}

/* One that the tenant may not use is as unknown as one that nobody has. */
static int policy_of_name(Ask *ask, const char *name) {
        const ConfigPolicy *policy = config_policy(ask->config, name);
        _cleanup_(freep) char *text = NULL;
        json_t *body;

        if (!policy || (ask->tenant && !config_tenant_may_use(ask->tenant, policy)))
                return ask_refuse(ask,
                                404,
                                "not-found",
                                "No such policy",
                                "GET /v1/policies lists those that there are.");
        text = policy_text(policy);
        body = full_json(policy);
        if (!text || !body || json_object_set_new(body, "text", json_string(text)) < 0) {
                json_decref(body);
                return -ENOMEM;
        }
        ask->status = 200;
        ask->body = json_pack("{s:[o]}", "policies", body);
        return ask->body ? 0 : -ENOMEM;
}

int front_policy_list(Ask *ask) {
        const char *name = json_string_value(json_object_get(ask->frame, "name"));

        if (name)
                return policy_of_name(ask, name);
        ask->status = 200;
        ask->body = json_pack("{s:o}", "policies", front_policies_json(ask));
        return ask->body ? 0 : -ENOMEM;
}
