/* The canonical form of a Config, its fingerprints, and what differs between two. */
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>

#include "config-internal.h"
#include "json-wipe.h"

/* --- canonical form -----------------------------------------------------------------------------
 */

static json_t *strings(const char *const *list, size_t n) {
        json_t *array = json_array();

        for (size_t i = 0; i < n; i++)
                (void) json_array_append_new(array, json_string(list[i]));
        return array;
}

static json_t *canonical_plugin(const ConfigPlugin *plugin) {
        json_t *exec = json_array();

        for (size_t i = 0; plugin->exec && plugin->exec[i]; i++)
                (void) json_array_append_new(exec, json_string(plugin->exec[i]));
        return json_pack("{s:o, s:s?, s:O}",
                        "exec",
                        exec,
                        "socket",
                        plugin->socket,
                        "settings",
                        plugin->settings);
}

static json_t *canonical_channel(const ConfigChannel *channel) {
        return json_pack("{s:o, s:s, s:s, s:i, s:b, s:I}",
                        "plugin",
                        canonical_plugin(channel->plugin),
                        "operator_class",
                        channel->operator_class,
                        "scheme",
                        channel->scheme,
                        "authentic",
                        (int) channel->authentic,
                        "needs_tag",
                        (int) channel->needs_tag,
                        "price",
                        (json_int_t) channel->price);
}

static json_t *canonical_fallback(const ConfigPolicy *policy) {
        const FallbackRules *rules = &policy->fallback;
        json_t *timeouts = json_array();

        for (size_t i = 0; i < policy->n_channels; i++)
                (void) json_array_append_new(
                                timeouts, json_integer((json_int_t) policy->timeouts[i]));
        return json_pack("{s:o, s:i, s:b, s:I, s:b, s:[i, i]}",
                        "timeouts",
                        timeouts,
                        "fall_back_on",
                        (int) rules->on,
                        "announced",
                        (int) rules->announced,
                        "announce",
                        (json_int_t) rules->announce,
                        "closed",
                        (int) rules->close,
                        "quiet_hours",
                        rules->quiet.from,
                        rules->quiet.until);
}

static json_t *canonical_policy(const ConfigPolicy *policy) {
        const Rules *rules = &policy->rules;
        json_t *channels = json_array();

        for (size_t i = 0; i < policy->n_channels; i++)
                (void) json_array_append_new(channels, json_string(policy->channels[i]->name));
        return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:i, s:i, s:I, s:I, s:i, s:o, "
                         "s:b, "
                         "s:s?, s:s?, s:o, s:o}",
                        "class",
                        (int) rules->class,
                        "factors",
                        (int) rules->factors,
                        "code",
                        (int) rules->code,
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
                        "fact_bits",
                        (int) rules->fact_bits,
                        "interim_floor",
                        (int) rules->interim_floor,
                        "lifetime",
                        (json_int_t) rules->challenge_ttl,
                        "mailbox_ttl",
                        (json_int_t) rules->mailbox_ttl,
                        "authentic",
                        (int) rules->minimum_authentic,
                        "channels",
                        channels,
                        "several",
                        (int) policy->several,
                        "fact",
                        policy->fact,
                        "language",
                        policy->language,
                        "languages",
                        strings(policy->languages, policy->n_languages),
                        "fallback",
                        canonical_fallback(policy));
}

static json_t *canonical_tenant(const ConfigTenant *tenant) {
        json_t *policies = json_array();

        for (size_t i = 0; i < tenant->n_policies; i++)
                (void) json_array_append_new(policies, json_string(tenant->policies[i]->name));
        return json_pack("{s:o, s:o, s:o, s:s, s:s?, s:o, s:o, s:o, s:I}",
                        "names",
                        strings(tenant->names, tenant->n_names),
                        "token",
                        strings(tenant->tokens, tenant->n_tokens),
                        "policies",
                        policies,
                        "relay",
                        tenant->relay->plugin->name,
                        "time_zone",
                        tenant->time_zone,
                        "image_prefixes",
                        strings(tenant->image_prefixes, tenant->n_image_prefixes),
                        "mint_prefixes",
                        strings(tenant->mint_prefixes, tenant->n_mint_prefixes),
                        "countries",
                        strings(tenant->countries, tenant->n_countries),
                        "spend_per_day",
                        (json_int_t) tenant->spend_per_day);
}

static json_t *canonical_limits(const LimitRules *limits) {
        json_t *numbers = json_object();

        for (int i = 0; i < _LIMIT_NUMBER_MAX; i++)
                if (json_object_set_new(numbers,
                                    limits_describe((LimitNumber) i)->key,
                                    json_integer(limits->number[i])) < 0) {
                        json_decref(numbers);
                        return NULL;
                }
        return numbers;
}

static json_t *canonical(const Config *config) {
        json_t *front = json_object(), *relay = json_object(), *channel = json_object(),
               *policy = json_object(), *tenant = json_object();
        int r = 0;

        for (size_t i = 0; i < config->n_fronts; i++)
                r |= json_object_set_new(front,
                                config->fronts[i].plugin->name,
                                json_pack("{s:o}",
                                                "plugin",
                                                canonical_plugin(config->fronts[i].plugin)));
        for (size_t i = 0; i < config->n_relays; i++)
                r |= json_object_set_new(relay,
                                config->relays[i].plugin->name,
                                json_pack("{s:o}",
                                                "plugin",
                                                canonical_plugin(config->relays[i].plugin)));
        for (size_t i = 0; i < config->n_channels; i++)
                r |= json_object_set_new(channel,
                                config->channels[i].name,
                                canonical_channel(&config->channels[i]));
        for (size_t i = 0; i < config->n_policies; i++)
                r |= json_object_set_new(policy,
                                config->policies[i].name,
                                canonical_policy(&config->policies[i]));
        for (size_t i = 0; i < config->n_tenants; i++)
                r |= json_object_set_new(tenant,
                                config->tenants[i].id,
                                canonical_tenant(&config->tenants[i]));
        if (r < 0) {
                json_decref(front);
                json_decref(relay);
                json_decref(channel);
                json_decref(policy);
                json_decref(tenant);
                return NULL;
        }
        return json_pack("{s:{s:s, s:s?, s:s, s:s, s:s?, s:I, s:i}, s:o, s:o, s:o, s:o, s:o, s:o}",
                        "gateway",
                        "state",
                        config->state,
                        "public_url",
                        config->public_url,
                        "root_credential",
                        config->root_credential,
                        "templates",
                        config->templates,
                        "time_zone",
                        config->time_zone,
                        "audit_keep",
                        (json_int_t) config->audit_keep,
                        "log_level",
                        config->log_level,
                        "front",
                        front,
                        "relay",
                        relay,
                        "channel",
                        channel,
                        "policy",
                        policy,
                        "tenant",
                        tenant,
                        "limits",
                        canonical_limits(&config->limits));
}

static int fingerprint(const json_t *value, uint8_t ret[CONFIG_FINGERPRINT_SIZE]) {
        _cleanup_(json_wipe_freep) char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);

        if (!text)
                return -ENOMEM;
        (void) crypto_generichash(ret,
                        CONFIG_FINGERPRINT_SIZE,
                        (const unsigned char *) text,
                        strlen(text),
                        NULL,
                        0);
        return 0;
}

int config_store_fingerprint(Config *config) {
        const json_t *policies;
        int r;

        config->store->canonical = canonical(config);
        if (!config->store->canonical)
                return -ENOMEM;
        policies = json_object_get(config->store->canonical, "policy");
        for (size_t i = 0; i < config->n_policies; i++) {
                r = fingerprint(json_object_get(policies, config->policies[i].name),
                                config->policies[i].fingerprint);
                if (r < 0)
                        return r;
        }
        return fingerprint(config->store->canonical, config->fingerprint);
}

/* --- difference ---------------------------------------------------------------------------------
 */

typedef struct Comparison {
        FILE *file;
        ConfigDifference *difference;
} Comparison;

__attribute__((format(printf, 3, 4))) static void differs(
                Comparison *c, bool restart, const char *format, ...) {
        va_list arguments;

        c->difference->any = true;
        c->difference->restart = c->difference->restart || restart;
        va_start(arguments, format);
        (void) vfprintf(c->file, format, arguments);
        va_end(arguments);
        (void) fputs(restart ? ": needs a restart\n" : "\n", c->file);
}

static void compare_gateway(Comparison *c, const json_t *before, const json_t *after) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *) before, key, value) {
                bool live = streq(key, "log_level") || streq(key, "audit_keep") ||
                            streq(key, "public_url") || streq(key, "time_zone");

                if (!json_equal(value, json_object_get(after, key)))
                        differs(c, !live, "gateway %s has changed", key);
        }
}

/* They are looked up whenever something is counted. */
static void compare_limits(Comparison *c, const json_t *before, const json_t *after) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *) before, key, value) {
                if (!json_equal(value, json_object_get(after, key)))
                        differs(c, false, "limits %s has changed", key);
        }
}

/* What a running gateway cannot follow: where the process of a plugin comes from, and what it
 * serves. */
static bool item_needs_restart(const json_t *before, const json_t *after) {
        const json_t *a = json_object_get(before, "plugin"), *b = json_object_get(after, "plugin");

        return !json_equal(json_object_get(a, "exec"), json_object_get(b, "exec")) ||
               !json_equal(json_object_get(a, "socket"), json_object_get(b, "socket")) ||
               (json_object_get(before, "scheme") &&
                               !json_equal(json_object_get(before, "scheme"),
                                               json_object_get(after, "scheme")));
}

static void compare_kind(
                Comparison *c, const char *kind, const json_t *before, const json_t *after) {
        bool process = !streq(kind, "policy") && !streq(kind, "tenant");
        const char *name;
        json_t *value;

        json_object_foreach((json_t *) before, name, value) {
                const json_t *now = json_object_get(after, name);

                if (!now)
                        differs(c, process, "%s %s is gone", kind, name);
                else if (!json_equal(value, now))
                        differs(c,
                                        process && item_needs_restart(value, now),
                                        "%s %s has changed",
                                        kind,
                                        name);
        }
        json_object_foreach((json_t *) after, name, value) if (!json_object_get(before, name))
                        differs(c, process, "%s %s is new", kind, name);
}

int config_difference(const Config *before, const Config *after, ConfigDifference *ret) {
        static const char *const kinds[] = { "front", "relay", "channel", "policy", "tenant" };
        const json_t *a = before->store->canonical, *b = after->store->canonical;
        Comparison comparison = { .difference = ret };
        size_t size;

        *ret = (ConfigDifference){ 0 };
        comparison.file = open_memstream(&ret->text, &size);
        if (!comparison.file)
                return -ENOMEM;
        compare_gateway(&comparison, json_object_get(a, "gateway"), json_object_get(b, "gateway"));
        compare_limits(&comparison, json_object_get(a, "limits"), json_object_get(b, "limits"));
        for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
                compare_kind(&comparison,
                                kinds[i],
                                json_object_get(a, kinds[i]),
                                json_object_get(b, kinds[i]));
        if (fclose(comparison.file) != 0) {
                config_difference_done(ret);
                return -ENOMEM;
        }
        return 0;
}

void config_difference_done(ConfigDifference *difference) {
        free(difference->text);
        *difference = (ConfigDifference){ 0 };
}
