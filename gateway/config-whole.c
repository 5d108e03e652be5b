/* What sections say together: the gateway's own, then all others in the order in which they refer
 * to one another, and last what no two of them may share. */
#include <confuse.h>
#include <errno.h>
#include <grp.h>

#include "audit-log.h"
#include "config-internal.h"
#include "log.h"

enum { GROUP_BYTES_MAX = 4 * 1024 * 1024 };

enum { AUDIT_KEEP_MIN = 24 * 3600 };

static void read_gateway(ConfigReader *reader) {
        static const char *const levels[] = {
                "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"
        };
        ConfigPlace p = { reader,
                "gateway",
                NULL,
                cfg_size(reader->root, "gateway") ? cfg_getsec(reader->root, "gateway") : NULL };
        Config *config = reader->config;
        const char *level = config_read_text(&p, "log_level", "info"),
                   *store = config_read_text(&p, "store", "sqlite");

        config->state = config_read_text(&p, "state", "/var/lib/vestibule");
        config->public_url = config_read_text(&p, "public_url", NULL);
        config->root_credential = config_read_text(&p, "root_credential", "root.key");
        config->templates = config_read_text(&p, "templates", "/etc/vestibule/templates");
        config->time_zone = config_read_time_zone(&p);
        if (!config->time_zone)
                config->time_zone = config_machine_time_zone(config);
        if (!config->time_zone)
                reader->error = -ENOMEM;

        config->audit_keep = config_read_duration(&p, "audit_keep", AUDIT_LOG_KEEP);

        if (config->audit_keep < AUDIT_KEEP_MIN)
                config_problem(&p, "audit_keep", "audit_keep must be at least 1d");
        if (config->state[0] != '/')
                config_problem(&p, "state", "state must be an absolute path");
        if (config->templates[0] != '/')
                config_problem(&p, "templates", "templates must be an absolute path");
        if (!streq(store, "sqlite"))
                config_problem(&p, "store", "store must be sqlite");
        if (config->public_url && !config_is_url(config->public_url, "https://"))
                config_problem(&p,
                                "public_url",
                                "public_url must be a URL that starts with https://");
        if (strchr(config->root_credential, '/') || config->root_credential[0] == '.')
                config_problem(&p,
                                "root_credential",
                                "root_credential must be the name of a credential, not a path");
        config->log_level = -1;
        for (size_t i = 3; i < N_ELEMENTS(levels); i++)
                if (streq(level, levels[i]))
                        config->log_level = (int) i;
        if (config->log_level < 0)
                config_problem(&p,
                                "log_level",
                                "log_level must be error, warning, notice, info or debug");
}

static void read_limits(ConfigReader *reader) {
        ConfigPlace p = { reader,
                "limits",
                NULL,
                cfg_size(reader->root, "limits") ? cfg_getsec(reader->root, "limits") : NULL };

        config_read_limits(&p, &reader->config->limits);
}

static ConfigPlace section_place(ConfigReader *reader, const char *section, unsigned i) {
        cfg_t *cfg = cfg_getnsec(reader->root, section, i);

        return (ConfigPlace){ reader, section, cfg_title(cfg), cfg };
}

static void check_socket_names(ConfigReader *reader) {
        const Config *config = reader->config;

        for (size_t i = 0; i < config->n_plugins; i++)
                for (size_t k = 0; k < i; k++) {
                        const ConfigPlugin *a = &config->plugins[k], *b = &config->plugins[i];
                        ConfigPlace p = { reader, config_role_name(b->role), b->name, NULL };

                        if (streq(a->socket_name, b->socket_name))
                                config_problem(&p,
                                                NULL,
                                                "%s %s has the same socket name, %s; rename one of "
                                                "them",
                                                config_role_name(a->role),
                                                a->name,
                                                a->socket_name);
                }
}

static int make_indexes(ConfigReader *reader) {
        Config *config = reader->config;
        ConfigStore *store = config->store;

        store->tenants = calloc(config->n_tenants + 1, sizeof(*store->tenants));
        store->tokens = calloc(
                        config->n_tenants * CONFIG_TOKENS_PER_TENANT + 1, sizeof(*store->tokens));
        if (!store->tenants || !store->tokens)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_tenants; i++) {
                store->tenants[i] = &config->tenants[i];
                for (size_t k = 0; k < config->tenants[i].n_tokens; k++)
                        store->tokens[store->n_tokens++] =
                                        (ConfigToken){ config->tenants[i].tokens[k],
                                                &config->tenants[i] };
        }
        qsort(store->tenants, config->n_tenants, sizeof(*store->tenants), config_tenant_order);
        qsort(store->tokens, store->n_tokens, sizeof(*store->tokens), config_token_order);
        for (size_t i = 1; i < store->n_tokens; i++)
                if (config_token_order(&store->tokens[i - 1], &store->tokens[i]) == 0) {
                        ConfigPlace p = { reader, "tenant", store->tokens[i].tenant->id, NULL };

                        config_problem(&p,
                                        "token",
                                        "the token %.8s is also tenant %s's",
                                        store->tokens[i].entry,
                                        store->tokens[i - 1].tenant->id);
                }
        return 0;
}

int config_read_sections(ConfigReader *reader) {
        Config *config = reader->config;
        unsigned n_fronts = cfg_size(reader->root, "front"),
                 n_relays = cfg_size(reader->root, "relay"),
                 n_channels = cfg_size(reader->root, "channel"),
                 n_policies = cfg_size(reader->root, "policy"),
                 n_tenants = cfg_size(reader->root, "tenant");
        int r;

        config->plugins = config_reader_take(
                        reader, n_fronts + n_relays + n_channels, sizeof(ConfigPlugin));
        config->fronts = config_reader_take(reader, n_fronts, sizeof(ConfigFront));
        config->relays = config_reader_take(reader, n_relays, sizeof(ConfigRelay));
        config->channels = config_reader_take(reader, n_channels, sizeof(ConfigChannel));
        config->policies = config_reader_take(reader, n_policies, sizeof(ConfigPolicy));
        config->tenants = config_reader_take(reader, n_tenants, sizeof(ConfigTenant));
        if (reader->error < 0)
                return reader->error;

        read_gateway(reader);
        read_limits(reader);
        for (unsigned i = 0; i < n_fronts; i++) {
                ConfigPlace p = section_place(reader, "front", i);
                config_read_front(&p,
                                &config->plugins[config->n_plugins++],
                                &config->fronts[config->n_fronts++]);
        }
        for (unsigned i = 0; i < n_relays; i++) {
                ConfigPlace p = section_place(reader, "relay", i);
                config_read_relay(&p,
                                &config->plugins[config->n_plugins++],
                                &config->relays[config->n_relays++]);
        }
        for (unsigned i = 0; i < n_channels; i++) {
                ConfigPlace p = section_place(reader, "channel", i);
                config_read_channel(&p,
                                &config->plugins[config->n_plugins++],
                                &config->channels[config->n_channels++]);
        }
        if (reader->error < 0)
                return reader->error;
        for (unsigned i = 0; i < n_policies; i++) {
                ConfigPlace p = section_place(reader, "policy", i);
                config_read_policy(&p, &config->policies[config->n_policies++]);
        }
        if (reader->error < 0)
                return reader->error;
        for (unsigned i = 0; i < n_tenants; i++) {
                ConfigPlace p = section_place(reader, "tenant", i);
                config_read_tenant(&p, &config->tenants[config->n_tenants++]);
        }
        if (reader->error < 0)
                return reader->error;
        check_socket_names(reader);
        r = config_check_tenant_names(reader);
        return r < 0 ? r : make_indexes(reader);
}

/* The whole entry is asked for, and a directory's groups can have very many members. */
static int group_from_name(const char *name, gid_t *ret) {
        int r = ERANGE;

        for (size_t size = 4096; r == ERANGE && size <= GROUP_BYTES_MAX; size *= 4) {
                _cleanup_(freep) char *buffer = malloc(size);
                struct group group, *found;

                if (!buffer)
                        return -ENOMEM;
                do
                        r = getgrnam_r(name, &group, buffer, size, &found);
                while (r == EINTR);
                if (r == 0 && !found)
                        r = ENOENT;
                if (r == 0)
                        *ret = group.gr_gid;
        }
        return -r;
}

int config_find_operators(ConfigReader *reader, const char *group) {
        Config *config = reader->config;
        const char *place;
        bool wanted = false;
        int r;

        for (size_t i = 0; i < config->n_fronts; i++)
                wanted = wanted || config->fronts[i].operators;
        if (!wanted)
                return 0;
        r = group_from_name(group, &config->operator_group);
        if (r == -ENOMEM)
                return r;
        config->has_operator_group = r == 0;
        place = config_scan_place(reader->scan, "front", "operators", NULL);
        if (r < 0)
                log_warning("%s: front operators: %s %s%s%s, so root is the only operator; reload "
                            "when that has changed",
                                place ? place : "configuration",
                                r == -ENOENT ? "there is no group"
                                             : "the name service did not say "
                                               "who is in the group",
                                group,
                                r == -ENOENT ? "" : ": ",
                                r == -ENOENT ? "" : strerror(-r));
        return 0;
}
