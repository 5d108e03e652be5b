/* What a Config says as a whole: its canonical form and fingerprints, what differs between two, and
 * the report of `vestibuled --check`, which is written for the person who has to answer for these
 * numbers. */
#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdarg.h>
#include <unistd.h>

#include "config-internal.h"
#include "credential.h"
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
        return json_pack("{s:o, s:s, s:i, s:b}",
                        "plugin",
                        canonical_plugin(channel->plugin),
                        "scheme",
                        channel->scheme,
                        "authentic",
                        (int) channel->authentic,
                        "needs_tag",
                        (int) channel->needs_tag);
}

static json_t *canonical_policy(const ConfigPolicy *policy) {
        const Rules *rules = &policy->rules;
        json_t *channels = json_array();

        for (size_t i = 0; i < policy->n_channels; i++)
                (void) json_array_append_new(channels, json_string(policy->channels[i]->name));
        return json_pack("{s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:i, s:o, s:b, s:s?}",
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
                        "language",
                        policy->language);
}

static json_t *canonical_tenant(const ConfigTenant *tenant) {
        json_t *policies = json_array();

        for (size_t i = 0; i < tenant->n_policies; i++)
                (void) json_array_append_new(policies, json_string(tenant->policies[i]->name));
        return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o}",
                        "names",
                        strings(tenant->names, tenant->n_names),
                        "token",
                        strings(tenant->tokens, tenant->n_tokens),
                        "policies",
                        policies,
                        "relay",
                        tenant->relay->plugin->name,
                        "image_prefixes",
                        strings(tenant->image_prefixes, tenant->n_image_prefixes),
                        "mint_prefixes",
                        strings(tenant->mint_prefixes, tenant->n_mint_prefixes));
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
        return json_pack("{s:{s:s, s:s?, s:s, s:s, s:i}, s:o, s:o, s:o, s:o, s:o}",
                        "gateway",
                        "state",
                        config->state,
                        "public_url",
                        config->public_url,
                        "root_credential",
                        config->root_credential,
                        "templates",
                        config->templates,
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
                        tenant);
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
                bool live = streq(key, "log_level") || streq(key, "public_url");

                if (!json_equal(value, json_object_get(after, key)))
                        differs(c, !live, "gateway %s has changed", key);
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

/* --- report -------------------------------------------------------------------------------------
 */

static void print_duration(FILE *file, int64_t seconds) {
        if (seconds % 86400 == 0 && seconds >= 3 * 86400)
                (void) fprintf(file, "%lld days", (long long) seconds / 86400);
        else if (seconds % 3600 == 0)
                (void) fprintf(file, "%lld h", (long long) seconds / 3600);
        else if (seconds % 60 == 0)
                (void) fprintf(file, "%lld min", (long long) seconds / 60);
        else
                (void) fprintf(file, "%lld s", (long long) seconds);
}

/* 33,333,333 */
static void print_grouped(FILE *file, double value) {
        char digits[40];
        int n = snprintf(digits, sizeof(digits), "%.0f", value);

        for (int i = 0; i < n; i++)
                (void) fprintf(file, "%s%c", i > 0 && (n - i) % 3 == 0 ? "," : "", digits[i]);
}

static void print_guess(FILE *file, double bits) {
        (void) fputs("1 in ", file);
        print_grouped(file, exp2(bits));
        (void) fprintf(file, " (2^-%.1f)", bits);
}

static void print_policy(const ConfigPolicy *policy, FILE *file) {
        const Rules *rules = &policy->rules;
        const char *code = code_format_name(rules->code);

        (void) fprintf(file,
                        "policy %s: class %s, RAL-%u (this class asks for RAL-%u)\n",
                        policy->name,
                        rules_class_name(rules->class),
                        rules_assurance(rules->factors),
                        rules_floor(rules->class));
        (void) fprintf(file,
                        "  recipient  replies with the %s code that the sender told them, within ",
                        code);
        print_duration(file, rules->challenge_ttl);
        (void) fprintf(file,
                        "\n  tries      %u for one code, %u over the share's whole life; a "
                        "mistyped code costs none\n",
                        rules->attempts,
                        rules->attempts_total);
        (void) fputs("  guessing   ", file);
        print_guess(file, code_guess_bits(rules->code, rules->attempts));
        (void) fputs(" for one code, ", file);
        print_guess(file, rules_guess_bits(rules));
        (void) fputs(" in all\n  mailbox    ", file);
        print_duration(file, rules->mailbox_ttl);
        (void) fprintf(file,
                        " from release\n  messages   %s\n  channels   ",
                        policy->several ? "several, in turn, to the recipient and back "
                                          "(access_rights = RWD)"
                                        : "one, to the recipient (access_rights = RD)");
        for (size_t i = 0; i < policy->n_channels; i++) {
                const ConfigChannel *channel = policy->channels[i];

                (void) fprintf(file,
                                "%s%s (%s%s)",
                                i > 0 ? ", " : "",
                                channel->name,
                                rules_authentic_name(channel->authentic),
                                channel->authentic < rules->minimum_authentic
                                                ? ", skipped: too weak"
                                                : "");
        }
        (void) fprintf(file,
                        "; senders must be %s at least\n"
                        "  stops      a wrong number or address, a recycled number, a forwarded or "
                        "leaked invitation,\n"
                        "             link previews and scanners, a thief at the lock screen, "
                        "whoever reads the archive\n"
                        "             later, a stolen database\n"
                        "  not        who controls the recipient's account or phone while the "
                        "share is open and also\n"
                        "             learns the code, or who receives the link in the recipient's "
                        "place; the operator\n"
                        "             of the recipient's channel, live; whoever the sender tells "
                        "the code to\n",
                        rules_authentic_name(rules->minimum_authentic));
}

/* "present", "missing", or nothing when we have no directory. folder may be NULL. */
static void print_presence(FILE *file, const char *folder, const char *name) {
        const char *directory = credential_directory();
        char path[4096];

        if (!directory)
                return;
        (void) snprintf(path,
                        sizeof(path),
                        "%s%s%s/%s",
                        directory,
                        folder ? "/" : "",
                        folder ? folder : "",
                        name);
        (void) fprintf(file, ": %s", access(path, F_OK) == 0 ? "present" : "missing");
}

/* One credential of a plugin. The search name is what the unit's LoadCredential= looks for. */
static void print_credential(FILE *file,
                const ConfigPlugin *plugin,
                const char *unit,
                const char *name,
                const char *search) {
        if (plugin->exec) {
                (void) fprintf(file,
                                "  %s %s (exec)  %s, in $CREDENTIALS_DIRECTORY/%s",
                                config_role_name(plugin->role),
                                plugin->name,
                                name,
                                plugin->socket_name);
                print_presence(file, plugin->socket_name, name);
                (void) fputc('\n', file);
        } else {
                (void) fprintf(file,
                                "  %s@%s.service  %s, searched as %s\n",
                                unit,
                                plugin->name,
                                name,
                                search);
        }
}

static const char *setting(const ConfigPlugin *plugin, const char *name) {
        const char *value = json_string_value(json_object_get(plugin->settings, name));

        return value ? value : "";
}

/* Which secrets the programs of a scheme want, by a setting and how its value begins. */
static const struct {
        const char *scheme, *key, *begins, *unit, *name, *search;
} channel_credentials[] = {
        { "xmpp", "mode", "client", "vestibule-xmpp", "xmpp-password", "password" },
        { "xmpp", "mode", "component", "vestibule-xmpp", "xmpp-secret", "secret" },
        { "sms", "driver", "smpp", "vestibule-sms", "smpp-password", "smpp-password" },
        { "sms", "driver", "kannel", "vestibule-sms", "kannel-password", "kannel-password" },
        { "sms", "driver", "kannel", "vestibule-sms", "callback-path", "callback-path" },
        { "sms", "driver", "rest", "vestibule-sms", "rest-token", "rest-token" },
        { "mailto", "from", "", "vestibule-email", "mail-key", "mail-key" },
        { "mailto", "username", "", "vestibule-email", "submit-password", "submit-password" },
        { "mailto", "imap_username", "", "vestibule-email", "imap-password", "imap-password" },
};

static void print_channel_credentials(const ConfigChannel *channel, FILE *file) {
        const ConfigPlugin *plugin = channel->plugin;
        char search[160];

        for (size_t i = 0; i < N_ELEMENTS(channel_credentials); i++) {
                const char *start = channel_credentials[i].begins;
                const char *value = json_string_value(
                                json_object_get(plugin->settings, channel_credentials[i].key));

                if (!streq(channel_credentials[i].scheme, channel->scheme))
                        continue;
                if (value ? strncmp(value, start, strlen(start)) != 0 : !streq(start, "component"))
                        continue;
                (void) snprintf(search,
                                sizeof(search),
                                "vestibule.%s.%s",
                                plugin->name,
                                channel_credentials[i].search);
                print_credential(file,
                                plugin,
                                channel_credentials[i].unit,
                                channel_credentials[i].name,
                                search);
        }
}

static void print_plugin_credentials(const Config *config, FILE *file) {
        char search[160];

        for (size_t i = 0; i < config->n_fronts; i++) {
                const ConfigPlugin *plugin = config->fronts[i].plugin;

                if (!config->fronts[i].operators) {
                        print_credential(file,
                                        plugin,
                                        "vestibule-api",
                                        "relay-key.pub",
                                        "vestibule.relay-key.pub");
                        (void) snprintf(search,
                                        sizeof(search),
                                        "vestibule.front-%s.key",
                                        plugin->name);
                        print_credential(file, plugin, "vestibule-api", "front-key", search);
                }
                if (!streq(setting(plugin, "tls"), "yes"))
                        continue;
                (void) snprintf(search,
                                sizeof(search),
                                "vestibule.api-certificate.%s",
                                plugin->name);
                print_credential(file, plugin, "vestibule-api", "api-certificate", search);
                (void) snprintf(search, sizeof(search), "vestibule.api-key.%s", plugin->name);
                print_credential(file, plugin, "vestibule-api", "api-key", search);
        }
        for (size_t i = 0; i < config->n_relays; i++) {
                const ConfigPlugin *plugin = config->relays[i].plugin;

                (void) snprintf(search, sizeof(search), "vestibule.%s.key", plugin->socket_name);
                print_credential(file, plugin, "vestibule-relay-client", "relay-key", search);
                print_credential(file,
                                plugin,
                                "vestibule-relay-client",
                                "front-key.pub",
                                "vestibule.front-key.pub");
        }
        for (size_t i = 0; i < config->n_channels; i++)
                print_channel_credentials(&config->channels[i], file);
}

void config_check_report(const Config *config, FILE *file) {
        for (size_t i = 0; i < config->n_policies; i++)
                print_policy(&config->policies[i], file);
        for (size_t i = 0; i < config->n_tenants; i++) {
                const ConfigTenant *tenant = &config->tenants[i];

                (void) fprintf(file,
                                "tenant %s: shows \"%s\"; relay %s; policies",
                                tenant->id,
                                tenant->names[0],
                                tenant->relay->plugin->name);
                for (size_t k = 0; k < tenant->n_policies; k++)
                        (void) fprintf(file, " %s", tenant->policies[k]->name);
                (void) fprintf(file,
                                "; %zu of %d tokens\n",
                                tenant->n_tokens,
                                CONFIG_TOKENS_PER_TENANT);
        }
        (void) fputs("credentials (systemd searches /etc/credstore, /run/credstore and "
                     "/usr/lib/credstore, or the path\n"
                     "in a drop-in's LoadCredential= or LoadCredentialEncrypted=)\n",
                        file);
        (void) fprintf(file,
                        "  vestibuled.service  %s, searched as vestibule.root.key",
                        config->root_credential);
        print_presence(file, NULL, config->root_credential);
        (void) fputc('\n', file);
        print_plugin_credentials(config, file);
        (void) fputs("  (front-key and front-key.pub are needed where a policy has access_rights = "
                     "RWD)\n",
                        file);
        if (config->n_tenants == 0)
                (void) fputs("note: there is no tenant, so nobody can start a share\n", file);
        if (config->n_fronts == 0)
                (void) fputs("note: there is no front, so nobody can reach the gateway\n", file);
}
