/* From text to a Config, and what is found in one. All memory of a Config is in one chain and goes
 * at once. */
#include "config.h"

#include <confuse.h>
#include <errno.h>
#include <sodium.h>
#include <syslog.h>

#include "audit-log.h"
#include "config-internal.h"

static const char *const role_names[_CONFIG_ROLE_MAX] = {
        [CONFIG_ROLE_FRONT] = "front",
        [CONFIG_ROLE_RELAY] = "relay",
        [CONFIG_ROLE_CHANNEL] = "channel",
};

const char *config_role_name(ConfigRole role) {
        return role < _CONFIG_ROLE_MAX ? role_names[role] : NULL;
}

/* --- memory -------------------------------------------------------------------------------------
 */

void *config_take(Config *config, size_t size) {
        ConfigChunk *chunk = calloc(1, sizeof(*chunk) + size);

        if (!chunk)
                return NULL;
        chunk->next = config->store->chunks;
        config->store->chunks = chunk;
        return chunk->data;
}

char *config_take_string(Config *config, const char *text) {
        size_t size = strlen(text) + 1;
        char *copy = config_take(config, size);

        return copy ? memcpy(copy, text, size) : NULL;
}

Config *config_ref(Config *config) {
        config->n_ref++;
        return config;
}

Config *config_unref(Config *config) {
        if (!config || --config->n_ref > 0)
                return NULL;
        for (size_t i = 0; i < config->n_plugins; i++)
                json_decref(config->plugins[i].settings);
        if (config->store) {
                for (ConfigChunk *chunk; (chunk = config->store->chunks);) {
                        config->store->chunks = chunk->next;
                        free(chunk);
                }
                json_decref(config->store->canonical);
                free(config->store->tokens);
                free(config->store->tenants);
                free(config->store);
        }
        free(config);
        return NULL;
}

static int config_new(Config **ret) {
        _cleanup_(config_unrefp) Config *config = calloc(1, sizeof(*config));

        if (!config)
                return -ENOMEM;
        config->n_ref = 1;
        config->log_level = LOG_INFO;
        config->audit_keep = AUDIT_LOG_KEEP;
        config->store = calloc(1, sizeof(*config->store));
        if (!config->store)
                return -ENOMEM;
        *ret = TAKE_PTR(config);
        return 0;
}

/* --- making -------------------------------------------------------------------------------------
 */

/* Reads either the file at path and its folder, or the text. */
static int read_config(ConfigReader *reader, const char *path, const char *text, const char *name) {
        _cleanup_(freep) char *folder = NULL;
        int r;

        r = config_scan_new(&reader->scan);
        if (r < 0)
                return r;
        r = config_new(&reader->config);
        if (r < 0)
                return r;
        reader->root = config_reader_grammar();
        if (!reader->root)
                return -ENOMEM;

        if (text)
                r = config_reader_text(reader, text, strlen(text), name);
        else if (asprintf(&folder, "%s.d", path) < 0)
                return -ENOMEM;
        else
                r = config_reader_file(reader, path);
        if (r == 0 && !text)
                r = config_reader_folder(reader, folder);
        if (r < 0 || reader->bad)
                return r;
        r = config_read_sections(reader);
        if (r < 0 || reader->bad)
                return r;
        r = text ? 0 : config_find_operators(reader, CONFIG_OPERATOR_GROUP);
        return r < 0 ? r : config_store_fingerprint(reader->config);
}

static int config_read(const char *path,
                const char *text,
                const char *name,
                Config **ret,
                char **ret_problems) {
        _cleanup_(freep) char *problems = NULL;
        ConfigReader reader = { 0 };
        size_t size;
        int r;

        if (sodium_init() < 0)
                return -EIO;
        reader.problems = open_memstream(&problems, &size);
        if (!reader.problems)
                return -ENOMEM;
        r = read_config(&reader, path, text, name);
        if (fclose(reader.problems) != 0 && r == 0)
                r = -ENOMEM;
        if (r == 0 && reader.bad) {
                *ret_problems = TAKE_PTR(problems);
                r = CONFIG_E_INVALID;
        }
        if (r == 0)
                *ret = TAKE_PTR(reader.config);
        (void) config_unref(reader.config);
        (void) config_scan_free(reader.scan);
        if (reader.root)
                (void) cfg_free(reader.root);
        return r;
}

int config_load(const char *path, Config **ret, char **ret_problems) {
        return config_read(path, NULL, NULL, ret, ret_problems);
}

int config_parse(const char *text, const char *name, Config **ret, char **ret_problems) {
        return config_read(NULL, text, name, ret, ret_problems);
}

/* --- looking up ---------------------------------------------------------------------------------
 */

int config_token_order(const void *a, const void *b) {
        return strncmp(((const ConfigToken *) a)->entry,
                        ((const ConfigToken *) b)->entry,
                        TOKEN_ID_SIZE - 1);
}

int config_tenant_order(const void *a, const void *b) {
        return strcmp((*(ConfigTenant *const *) a)->id, (*(ConfigTenant *const *) b)->id);
}

const ConfigPolicy *config_policy(const Config *config, const char *name) {
        for (size_t i = 0; i < config->n_policies; i++)
                if (streq(config->policies[i].name, name))
                        return &config->policies[i];
        return NULL;
}

const ConfigTenant *config_tenant(const Config *config, const char *id) {
        ConfigTenant wanted = { .id = id }, *key = &wanted, **found;

        found = bsearch(&key,
                        config->store->tenants,
                        config->n_tenants,
                        sizeof(*found),
                        config_tenant_order);
        return found ? *found : NULL;
}

const ConfigChannel *config_channel(const Config *config, const char *name) {
        for (size_t i = 0; i < config->n_channels; i++)
                if (streq(config->channels[i].name, name))
                        return &config->channels[i];
        return NULL;
}

const ConfigRelay *config_relay(const Config *config, const char *name) {
        for (size_t i = 0; i < config->n_relays; i++)
                if (streq(config->relays[i].plugin->name, name))
                        return &config->relays[i];
        return NULL;
}

const ConfigTenant *config_tenant_by_token(
                const Config *config, const char *token_id, const char **ret_entry) {
        ConfigToken wanted = { .entry = token_id }, *found;

        if (strlen(token_id) != TOKEN_ID_SIZE - 1)
                return NULL;
        found = bsearch(&wanted,
                        config->store->tokens,
                        config->store->n_tokens,
                        sizeof(*found),
                        config_token_order);
        if (!found)
                return NULL;
        *ret_entry = found->entry;
        return found->tenant;
}

const ConfigChannel *config_policy_channel(const ConfigPolicy *policy, const char *scheme) {
        for (size_t i = 0; i < policy->n_channels; i++)
                if (streq(policy->channels[i]->scheme, scheme))
                        return policy->channels[i];
        return NULL;
}

bool config_tenant_may_use(const ConfigTenant *tenant, const ConfigPolicy *policy) {
        for (size_t i = 0; i < tenant->n_policies; i++)
                if (tenant->policies[i] == policy)
                        return true;
        return false;
}

bool config_tenant_may_reach(const ConfigTenant *tenant, const char *uri) {
        const char *number = strchr(uri, ':');

        for (size_t i = 0; number && i < tenant->n_countries; i++)
                if (strncmp(number + 1, tenant->countries[i], strlen(tenant->countries[i])) == 0)
                        return true;
        return tenant->n_countries == 0;
}

bool config_tenant_has_name(const ConfigTenant *tenant, const char *name) {
        for (size_t i = 0; i < tenant->n_names; i++)
                if (streq(tenant->names[i], name))
                        return true;
        return false;
}
