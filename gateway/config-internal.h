/* The inside of a Config and of its reading, for the files config*.c only.
 *
 *   config.c         the value: made, kept, looked up    config-plugin.c   sections with a process
 *   config-text.c    the syntax: files and libconfuse    config-channel.c  channels
 *   config-scan.c    on which line what stands           config-policy.c   policies
 *   config-value.c   one key of one section              config-tenant.c   tenants
 *   config-program.c what a channel's program refuses    config-report.c   what --check prints
 *   config-limits.c  how much of everything is allowed
 *   config-whole.c   what sections say together          config-difference.c  two compared */
#pragma once

#include <stdarg.h>

#include "config-scan.h"
#include "config.h"

typedef struct cfg_t cfg_t; /* libconfuse's */

typedef struct ConfigChunk {
        struct ConfigChunk *next;
        char data[] __attribute__((aligned(16)));
} ConfigChunk;

typedef struct ConfigToken {
        const char *entry;
        const ConfigTenant *tenant;
} ConfigToken;

typedef struct ConfigStore {
        ConfigChunk *chunks;    /* all strings and arrays */
        ConfigToken *tokens;    /* by id */
        ConfigTenant **tenants; /* by id */
        size_t n_tokens;
        json_t *canonical; /* all that has an effect, in one form: {"gateway": {…}, "channel":
                              {"xmpp": …}, …} */
} ConfigStore;

/* Makes the canonical form and from it the fingerprints. */
int config_store_fingerprint(Config *config);

/* Memory that lives as long as the Config, zeroed. NULL: out of memory. */
void *config_take(Config *config, size_t size);
char *config_take_string(Config *config, const char *text);

/* The orders of the two indexes, for qsort() and bsearch(). */
int config_token_order(const void *a, const void *b);
int config_tenant_order(const void *a, const void *b);

/* --- reading ------------------------------------------------------------------------------------
 */

typedef struct ConfigReader {
        Config *config;
        ConfigScan *scan;
        cfg_t *root;
        FILE *problems;
        bool bad;
        int error;           /* negative errno: out of memory */
        char complaint[512]; /* libconfuse's last */
} ConfigReader;

/* Where the reader is: one section. */
typedef struct ConfigPlace {
        ConfigReader *reader;
        const char *section, *title; /* title may be NULL */
        cfg_t *cfg;                  /* NULL: the section is absent */
} ConfigPlace;

/* --- config-text.c: each leaves its complaints in reader->problems and sets reader->bad; negative
 * errno when it could not look. --- */

/* An empty tree of all that may be written. NULL: out of memory. */
cfg_t *config_reader_grammar(void);
int config_reader_text(ConfigReader *reader, const char *text, size_t size, const char *file);
int config_reader_file(ConfigReader *reader, const char *path);
/* The *.conf of a folder in the order of their names; no folder is no error. */
int config_reader_folder(ConfigReader *reader, const char *folder);

/* --- config-value.c: wrong values are told with config_problem() and give the fallback; out of
 * memory is kept in reader->error. --- */

/* A problem at a key, or at the start of the section when key is NULL. */
__attribute__((format(printf, 3, 4))) void config_problem(
                const ConfigPlace *p, const char *key, const char *format, ...);

/* n elements of this size. */
void *config_reader_take(ConfigReader *reader, size_t n, size_t size);

/* The values of a key; 0 when it is absent. */
unsigned config_n_values(const ConfigPlace *p, const char *key);
/* The text of a key in the Config's memory, or fallback (which may be NULL). */
const char *config_read_text(const ConfigPlace *p, const char *key, const char *fallback);
const char *config_read_required(const ConfigPlace *p, const char *key);
/* A list as a NULL-terminated array in the Config's memory, never NULL unless out of memory. */
const char **config_read_list(const ConfigPlace *p, const char *key, size_t *ret_n);
unsigned config_read_number(const ConfigPlace *p,
                const char *key,
                unsigned min,
                unsigned max,
                unsigned fallback);
/* 90s, 15m, 24h, 7d, in seconds. */
int64_t config_read_duration(const ConfigPlace *p, const char *key, int64_t fallback);
/* An amount of money such as 0.075, in ten-thousandths; 0 when it is absent. */
uint32_t config_read_money(const ConfigPlace *p, const char *key);
/* yes or no. */
bool config_read_flag(const ConfigPlace *p, const char *key, bool fallback);

/* Seconds of 90s, 15m, 24h or 7d, at most a year. -EINVAL: another form. */
int config_duration(const char *text, int64_t *ret);
/* -EINVAL: not a whole number up to max. */
int config_number(const char *text, uint64_t max, uint64_t *ret);
/* Whether text is a URL that starts with scheme, such as "https://". */
bool config_is_url(const char *text, const char *scheme);

/* A key that goes to the plugin as it is, once it has this form. */
typedef struct ConfigSetting {
        const char *key;
        bool list;
        unsigned max; /* a whole number from 1 to this; 0: no number */
        bool flag;    /* yes or no */
        bool may_be_empty;
} ConfigSetting;

/* What every section with a process has, and those of the settings that it names. */
void config_read_plugin(const ConfigPlace *p,
                ConfigRole role,
                const ConfigSetting *settings,
                size_t n_settings,
                ConfigPlugin *plugin);

/* --- one section each, into what the caller gives --- */

void config_read_limits(const ConfigPlace *p, LimitRules *limits);
/* The lines of `--check` about them. */
void config_report_limits(const LimitRules *limits, FILE *file);
void config_read_front(const ConfigPlace *p, ConfigPlugin *plugin, ConfigFront *front);
void config_read_relay(const ConfigPlace *p, ConfigPlugin *plugin, ConfigRelay *relay);
void config_read_channel(const ConfigPlace *p, ConfigPlugin *plugin, ConfigChannel *channel);
/* Of a policy whose rules and channels are read. */
void config_read_fallback(const ConfigPlace *p, ConfigPolicy *policy);
/* The key time_zone, which this machine has to know; or NULL. */
/* NULL: out of memory. */
const char *config_machine_time_zone(Config *config);
const char *config_read_time_zone(const ConfigPlace *p);
/* What the channel's program would refuse of its settings, or take though it can never work. Says
 * nothing of a section that has none of the keys of vestibule-sms or vestibule-email, whatever its
 * free `settings` hold: it may be of another program for these addresses. */
void config_check_program(const ConfigPlace *p, const char *scheme, const ConfigPlugin *plugin);

enum {
        CONFIG_MAIL_LOCAL_MAX = 64,   /* RFC 5321 section 4.5.3.1.1 */
        CONFIG_MAIL_DOMAIN_MAX = 200, /* leaves room for a token and a local part */
};

/* Cuts an address at its @ as vestibule-email does, after its %XX are read; the domain is its
 * A-labels. false: it is no address. */
bool config_cut_mail_address(const char *text,
                char ret_local[CONFIG_MAIL_LOCAL_MAX + 1],
                char ret_domain[CONFIG_MAIL_DOMAIN_MAX + 1]);

/* Whether the programs take a host for this machine: that of SMPP; that of `submit`, which is not
 * near when it is no URL; and that of Kannel or a REST service, to which texts then go in clear. */
bool config_host_is_near(const char *host);
bool config_submit_is_near(const char *url);
bool config_url_is_plain_to_others(const char *url);

void config_read_policy(const ConfigPlace *p, ConfigPolicy *policy);
void config_read_tenant(const ConfigPlace *p, ConfigTenant *tenant);
/* Names of different tenants that a guest could take for one another; once all tenants are read.
 * -ENOMEM. */
int config_check_tenant_names(ConfigReader *reader);

/* --- config-whole.c --- */

/* Looks up the group of operators, if there is a front for them. -ENOMEM. */
int config_find_operators(ConfigReader *reader, const char *group);

/* All sections of the tree, in the order in which they refer to one another. Negative errno. */
int config_read_sections(ConfigReader *reader);
