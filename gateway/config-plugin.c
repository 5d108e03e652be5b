/* Sections with a process: what front, relay and channel have in common, and the first two. What
 * the gateway needs of them goes into the Config, and what the plugin needs goes into its settings.
 */
#include <confuse.h>
#include <errno.h>

#include "config-internal.h"

enum {
        SOCKET_PATH_MAX = 107,
        CONFIG_URL_MAX = 2048,
};

static const ConfigSetting front_settings[] = {
        { "listen", .list = true },
        { "tls", .flag = true },
        { "port_file" },
        { "connections", .max = 100000 },
        { "connections_per_address", .max = 100000 },
};

static const ConfigSetting relay_settings[] = {
        { "url" },
        { "protocol" },
        { "allow_host", .list = true },
        { "ca_file" },
        { "pinned_key", .list = true },
        { "algorithm" },
        { "template" },
        { "suite" },
        { "context" },
        { "legacy" },
        { "mint_ca_file" },
        { "mint_allow_private", .flag = true },
};

static void set_setting(
                ConfigReader *reader, ConfigPlugin *plugin, const char *key, json_t *value) {
        if (!value || json_object_set_new(plugin->settings, key, value) < 0)
                reader->error = -ENOMEM;
}

static void read_setting(const ConfigPlace *p, const ConfigSetting *setting, ConfigPlugin *plugin) {
        const char *text;
        uint64_t number;

        if (setting->list) {
                json_t *array = json_array();
                size_t n;
                const char **list = config_read_list(p, setting->key, &n);

                for (size_t i = 0; list && i < n; i++)
                        if (json_array_append_new(array, json_string(list[i])) < 0)
                                p->reader->error = -ENOMEM;
                set_setting(p->reader, plugin, setting->key, array);
                return;
        }
        text = setting->may_be_empty && !cfg_getstr(p->cfg, setting->key)[0]
                               ? ""
                               : config_read_text(p, setting->key, NULL);
        if (!text)
                return;
        if (setting->max && (config_number(text, setting->max, &number) < 0 || number == 0))
                config_problem(p,
                                setting->key,
                                "%s must be a whole number from 1 to %u",
                                setting->key,
                                setting->max);
        if (setting->flag)
                text = config_read_flag(p, setting->key, false) ? "yes" : "no";
        set_setting(p->reader, plugin, setting->key, json_string(text));
}

/* The free part: settings { key = value }. */
static void read_free_settings(const ConfigPlace *p, ConfigPlugin *plugin) {
        cfg_t *free_settings =
                        cfg_size(p->cfg, "settings") > 0 ? cfg_getsec(p->cfg, "settings") : NULL;

        for (unsigned i = 0; free_settings && i < cfg_num(free_settings); i++) {
                cfg_opt_t *option = cfg_getnopt(free_settings, i);
                const char *key = cfg_opt_name(option), *value = cfg_opt_getstr(option);

                if (!value)
                        continue;
                if (json_object_get(plugin->settings, key))
                        config_problem(p, "settings", "settings repeat %s", key);
                else
                        set_setting(p->reader, plugin, key, json_string(value));
        }
}

void config_read_plugin(const ConfigPlace *p,
                ConfigRole role,
                const ConfigSetting *settings,
                size_t n_settings,
                ConfigPlugin *plugin) {
        Config *config = p->reader->config;
        const char *place = config_scan_place(p->reader->scan, p->section, p->title, NULL);
        size_t n_exec;

        *plugin = (ConfigPlugin){ .role = role,
                .name = config_take_string(config, p->title),
                .place = config_take_string(config, place ? place : "configuration"),
                .socket = config_read_text(p, "socket", NULL),
                .settings = json_object() };
        plugin->exec = (char **) config_read_list(p, "exec", &n_exec);
        if (role == CONFIG_ROLE_RELAY) {
                char name[80];

                (void) snprintf(name, sizeof(name), "relay-%s", p->title);
                plugin->socket_name = config_take_string(config, name);
        } else {
                plugin->socket_name = plugin->name;
        }
        if (!plugin->name || !plugin->place || !plugin->socket_name || !plugin->exec ||
                        !plugin->settings) {
                p->reader->error = -ENOMEM;
                return;
        }

        for (size_t i = 0; i < n_settings; i++)
                if (config_n_values(p, settings[i].key) > 0)
                        read_setting(p, &settings[i], plugin);
        read_free_settings(p, plugin);

        if (n_exec == 0)
                plugin->exec = NULL;
        else if (plugin->exec[0][0] != '/')
                config_problem(p, "exec", "exec must start with the absolute path of a program");
        if (plugin->exec && plugin->socket)
                config_problem(p, "socket", "exec and socket exclude each other");
        if (plugin->socket &&
                        (plugin->socket[0] != '/' || strlen(plugin->socket) > SOCKET_PATH_MAX))
                config_problem(p,
                                "socket",
                                "socket must be an absolute path of at most %d bytes",
                                SOCKET_PATH_MAX);
}

void config_read_front(const ConfigPlace *p, ConfigPlugin *plugin, ConfigFront *front) {
        config_read_plugin(
                        p, CONFIG_ROLE_FRONT, front_settings, N_ELEMENTS(front_settings), plugin);
        *front = (ConfigFront){ .plugin = plugin, .operators = streq(p->title, "operators") };
}

/* Draft R: mailboxes are where a URI template says, whose one variable comes last. */
static const char *read_template(const ConfigPlace *p) {
        static const char variable[] = "{tigress_location}";
        const char *template = config_read_required(p, "template");
        size_t n = template ? strlen(template) : 0;
        char url[CONFIG_URL_MAX + 1];

        if (!template)
                return NULL;
        if (n <= sizeof(variable) - 1 || n - (sizeof(variable) - 1) > CONFIG_URL_MAX ||
                        !streq(template + n - (sizeof(variable) - 1), variable)) {
                config_problem(p, "template", "template must end with %s", variable);
                return NULL;
        }
        memcpy(url, template, n - (sizeof(variable) - 1));
        url[n - (sizeof(variable) - 1)] = 0;
        return config_take_string(p->reader->config, url);
}

void config_read_relay(const ConfigPlace *p, ConfigPlugin *plugin, ConfigRelay *relay) {
        const char *protocol = config_read_text(p, "protocol", "draft-v"), *key = "url";

        config_read_plugin(
                        p, CONFIG_ROLE_RELAY, relay_settings, N_ELEMENTS(relay_settings), plugin);
        if (streq(protocol, "draft-r"))
                key = "template";
        else if (!streq(protocol, "draft-v"))
                config_problem(p, "protocol", "protocol must be draft-v or draft-r");
        *relay = (ConfigRelay){ .plugin = plugin,
                .url = streq(key, "url") ? config_read_required(p, key) : read_template(p),
                .protocol = protocol };
        if (relay->url && (!config_is_url(relay->url, "https://") || strpbrk(relay->url, "?#@")))
                config_problem(p,
                                key,
                                "%s must start with https:// and have no user, query or fragment",
                                key);
}
