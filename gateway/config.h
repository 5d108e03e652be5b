/* The configuration: libconfuse files in, one immutable value out, checked whole. Everything that
 * refers to something is resolved here, so that nobody looks up a name that may not exist. No
 * secret is in it: secrets are credentials (systemd.exec(5)), and `token` holds ids and verifiers.
 *
 * Every pointer in a Config belongs to it and is valid until config_unref(). Times are in seconds.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "cleanup.h"
#include "fallback.h"
#include "limit-rules.h"
#include "rules.h"
#include "token.h"

/* Whose members are operators, as root is. */
#define CONFIG_OPERATOR_GROUP "vestibule-operator"

enum {
        CONFIG_TOKENS_PER_TENANT = 2, /* two, for rotation */
        CONFIG_FINGERPRINT_SIZE = 32,
};

typedef enum ConfigError {
        CONFIG_E_INVALID = 1, /* the problems say file, line and sentence */
} ConfigError;

typedef enum ConfigRole {
        CONFIG_ROLE_FRONT,
        CONFIG_ROLE_RELAY,
        CONFIG_ROLE_CHANNEL,
        _CONFIG_ROLE_MAX,
} ConfigRole;

/* What a front, relay or channel section says about its process. */
typedef struct ConfigPlugin {
        ConfigRole role;
        const char *name;        /* the section's title, and the plugin's `name` in `hello` */
        const char *place;       /* "file:line" where the section starts */
        const char *socket_name; /* FileDescriptorName= of its socket unit, the file name under
                                  * /run/vestibule/plugin, and its folder of credentials under
                                  * `exec`: the title; for relays "relay-" and the title. Unique
                                  * among all plugins. */
        char **exec;             /* argv, NULL-terminated, or NULL */
        const char *socket;      /* a path for the gateway to bind, or NULL */
        json_t *settings;        /* what `welcome` carries: strings and arrays of strings */
} ConfigPlugin;

typedef struct ConfigFront {
        const ConfigPlugin *plugin;
        bool operators; /* only the front named `operators` may pass on operators' requests */
} ConfigFront;

typedef struct ConfigRelay {
        const ConfigPlugin *plugin;
        const char *url;      /* what the URL of each mailbox begins with */
        const char *protocol; /* "draft-v", "draft-r" */
} ConfigRelay;

typedef struct ConfigChannel {
        const ConfigPlugin *plugin;
        const char *name;
        const char *scheme;       /* of the addresses it serves: "xmpp", "sms", "mailto", "echo" */
        RulesAuthentic authentic; /* the most that it may claim */
        const char *operator_class; /* channels with the same one are not independent */
        bool needs_tag;    /* "the only open challenge" is not evidence enough here (SMS) */
        bool ours;         /* vestibule-sms or vestibule-email, whose settings are known */
        unsigned segments; /* of the longest SMS that vestibule-sms sends; 0: another program */
        const char *segments_place; /* "file:line" where that is said, or NULL */
        uint32_t price;             /* of one part of an SMS, in ten-thousandths; 0: nobody said */
} ConfigChannel;

typedef struct ConfigPolicy {
        const char *name;
        Rules rules;                    /* checked with rules_check() */
        const ConfigChannel **channels; /* in the order written */
        size_t n_channels;
        FallbackRules fallback;
        int64_t *timeouts;      /* of each channel; 0: it is not left in silence */
        const char *language;   /* for recipients whose language is not known, or NULL */
        const char **languages; /* the only ones that recipients are written to in; the first is
                                   `language`. None: any that there are texts in */
        size_t n_languages;
        const char *fact; /* which fact FACTOR_FACT asks for: "booking", "surname"; or NULL */
        bool several;     /* access_rights is RWD: both sides may write */
        uint8_t fingerprint[CONFIG_FINGERPRINT_SIZE]; /* changes with anything above */
} ConfigPolicy;

typedef struct ConfigTenant {
        const char *id;     /* the section's title */
        const char **names; /* registered sender names; the first is the default */
        size_t n_names;
        const char *tokens[CONFIG_TOKENS_PER_TENANT]; /* "id:verifier", for token_entry_matches() */
        size_t n_tokens;
        const ConfigPolicy **policies;
        size_t n_policies;
        const ConfigRelay *relay;
        const char *time_zone;       /* of recipients that name none, or NULL */
        const char **image_prefixes; /* https URLs that an image_url must start with */
        size_t n_image_prefixes;
        const char **mint_prefixes; /* https URLs that content may be fetched from */
        size_t n_mint_prefixes;
        const char **countries; /* what its recipients' numbers begin with, such as +49; none: any
                                   that a channel takes */
        size_t n_countries;
        uint32_t spend_per_day; /* on SMS, in ten-thousandths; 0: no cap */
} ConfigTenant;

typedef struct Config {
        unsigned n_ref;
        const char *state;           /* folder of the store */
        const char *public_url;      /* or NULL */
        const char *root_credential; /* the name of the credential that holds the root key */
        const char *templates;       /* the operator's folder of templates */
        const char *time_zone;       /* of recipients and tenants that name none */
        int64_t audit_keep;          /* seconds */
        int log_level;               /* a syslog priority */
        bool has_operator_group;     /* whether the next is known */
        gid_t operator_group;        /* CONFIG_OPERATOR_GROUP, as it was when this was loaded */

        LimitRules limits; /* checked with limits_check() */

        ConfigPlugin *plugins; /* all of the next three */
        ConfigFront *fronts;
        ConfigRelay *relays;
        ConfigChannel *channels;
        ConfigPolicy *policies;
        ConfigTenant *tenants;
        size_t n_plugins, n_fronts, n_relays, n_channels, n_policies, n_tenants;

        uint8_t fingerprint[CONFIG_FINGERPRINT_SIZE]; /* of all that has an effect */

        struct ConfigStore *store; /* memory and indexes, for config*.c */
} Config;

/* Reads a file and then PATH.d's *.conf in the order of their names (/etc/vestibule/vestibule.conf
 * and /etc/vestibule/vestibule.conf.d). CONFIG_E_INVALID: *ret_problems holds lines `file:line:
 * sentence`, which the caller frees. Negative errno: the file could not be read. With a front
 * `operators` it asks the name service for CONFIG_OPERATOR_GROUP, which nobody does later, and logs
 * a warning when there is none: then root alone is an operator. */
int config_load(const char *path, Config **ret, char **ret_problems);

/* The same for one text; name stands in the problems. For tests and fuzzing. */
int config_parse(const char *text, const char *name, Config **ret, char **ret_problems);

Config *config_ref(Config *config);
Config *config_unref(Config *config);
DEFINE_CLEANUP(Config, config_unref)

/* "front", "relay", "channel": also the plugin's `role` in `hello`. */
const char *config_role_name(ConfigRole role);

/* NULL when there is none of that name. */
const ConfigPolicy *config_policy(const Config *config, const char *name);
const ConfigTenant *config_tenant(const Config *config, const char *id);
const ConfigChannel *config_channel(const Config *config, const char *name);
const ConfigRelay *config_relay(const Config *config, const char *name);

/* The tenant that a token's id belongs to, and its entry. The caller compares the secret's hash
 * with token_entry_matches(). The id is not secret. */
const ConfigTenant *config_tenant_by_token(
                const Config *config, const char *token_id, const char **ret_entry);

/* The first channel of the policy that serves addresses of this scheme, or NULL. */
const ConfigChannel *config_policy_channel(const ConfigPolicy *policy, const char *scheme);
/* The language to ask the texts for, for a recipient of this locale, which may be NULL: the locale
 * itself where the policy has its language, else NULL, for `language`. */
const char *config_policy_locale(const ConfigPolicy *policy, const char *locale);
bool config_tenant_may_use(const ConfigTenant *tenant, const ConfigPolicy *policy);
/* Whether the tenant may write to this canonical sms URI's country. */
bool config_tenant_may_reach(const ConfigTenant *tenant, const char *uri);
bool config_tenant_has_name(const ConfigTenant *tenant, const char *name);

typedef struct ConfigDifference {
        bool any;     /* something that has an effect differs */
        bool restart; /* something differs that a running gateway cannot follow; nothing is applied
                         then */
        char *text;   /* lines for the operator: what changed and which of it needs a restart */
} ConfigDifference;

/* -ENOMEM. The caller calls config_difference_done(). */
int config_difference(const Config *before, const Config *after, ConfigDifference *ret);
void config_difference_done(ConfigDifference *difference);

/* What `vestibuled --check` prints: each effective policy with the probability of a guess, what it
 * stops and what not, in plain words; each channel, and what its answers are worth and why; the
 * credentials each unit needs and where they are searched; present or missing when this process has
 * a credentials directory, and missing where systemd's stores can be looked into. */
void config_check_report(const Config *config, FILE *file);

/* What is wanted of this machine and not there: files of channels; and when this process has a
 * credentials directory, the root key, and what the channels need that the gateway runs itself.
 * Another process may see others, so only `--check` asks. CONFIG_E_INVALID: as config_load(). */
int config_check_machine(const Config *config, char **ret_problems);
