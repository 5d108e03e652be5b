/* Sections with a process: front, relay and channel. What the gateway needs of them goes into the
 * Config, and what the plugin needs goes into its settings. */
#include <confuse.h>
#include <errno.h>

#include "config-internal.h"

enum {
        SOCKET_PATH_MAX = 107,
        CONFIG_URL_MAX = 2048,
};

/* Keys of front, relay and channel sections that go to the plugin as settings. */
typedef struct Setting {
        const char *key;
        ConfigRole role;
        const char *scheme; /* of the channels that have it; NULL: not a channel's */
        bool list;
        unsigned max; /* a whole number from 1 to this; 0: no number */
        bool flag;    /* yes or no */
} Setting;

static const Setting settings_known[] = {
        { "listen", CONFIG_ROLE_FRONT, NULL, .list = true },
        { "tls", CONFIG_ROLE_FRONT, NULL, .flag = true },
        { "port_file", CONFIG_ROLE_FRONT, NULL },
        { "connections", CONFIG_ROLE_FRONT, NULL, .max = 100000 },
        { "connections_per_address", CONFIG_ROLE_FRONT, NULL, .max = 100000 },
        { "url", CONFIG_ROLE_RELAY, NULL },
        { "protocol", CONFIG_ROLE_RELAY, NULL },
        { "allow_host", CONFIG_ROLE_RELAY, NULL, .list = true },
        { "ca_file", CONFIG_ROLE_RELAY, NULL },
        { "pinned_key", CONFIG_ROLE_RELAY, NULL, .list = true },
        { "algorithm", CONFIG_ROLE_RELAY, NULL },
        { "template", CONFIG_ROLE_RELAY, NULL },
        { "suite", CONFIG_ROLE_RELAY, NULL },
        { "context", CONFIG_ROLE_RELAY, NULL },
        { "legacy", CONFIG_ROLE_RELAY, NULL },
        { "mint_ca_file", CONFIG_ROLE_RELAY, NULL },
        { "mint_allow_private", CONFIG_ROLE_RELAY, NULL, .flag = true },
        { "mode", CONFIG_ROLE_CHANNEL, "xmpp" },
        { "jid", CONFIG_ROLE_CHANNEL, "xmpp" },
        { "host", CONFIG_ROLE_CHANNEL, "xmpp" },
        { "port", CONFIG_ROLE_CHANNEL, "xmpp", .max = 65535 },
        { "nick", CONFIG_ROLE_CHANNEL, "xmpp" },
        { "node", CONFIG_ROLE_CHANNEL, "xmpp" },
        { "resource", CONFIG_ROLE_CHANNEL, "xmpp" },
        { "contact", CONFIG_ROLE_CHANNEL, "xmpp", .list = true },
        { "ca_file", CONFIG_ROLE_CHANNEL, "xmpp" },
        { "listen", CONFIG_ROLE_CHANNEL, "echo" },
};

static const struct {
        const char *scheme, *channel; /* the usual title of such a channel */
        RulesAuthentic authentic;     /* unless the configuration says less */
        RulesAuthentic limit;         /* no configuration says more */
        bool needs_tag;
} schemes[] = {
        { "xmpp", "xmpp", RULES_AUTHENTIC_STRONG, RULES_AUTHENTIC_STRONG, false },
        { "sms", "sms", RULES_AUTHENTIC_WEAK, RULES_AUTHENTIC_WEAK, true },
        { "mailto", "email", RULES_AUTHENTIC_WEAK, RULES_AUTHENTIC_STRONG, false },
        { "echo", "echo", RULES_AUTHENTIC_STRONG, RULES_AUTHENTIC_STRONG, false },
};

static void set_setting(
                ConfigReader *reader, ConfigPlugin *plugin, const char *key, json_t *value) {
        if (!value || json_object_set_new(plugin->settings, key, value) < 0)
                reader->error = -ENOMEM;
}

static void read_setting(const ConfigPlace *p, const Setting *setting, ConfigPlugin *plugin) {
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
        text = config_read_text(p, setting->key, NULL);
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

/* What every section with a process has. scheme is of a channel, else NULL. */
static void read_plugin(
                const ConfigPlace *p, ConfigRole role, const char *scheme, ConfigPlugin *plugin) {
        Config *config = p->reader->config;
        size_t n_exec;

        *plugin = (ConfigPlugin){ .role = role,
                .name = config_take_string(config, p->title),
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
        if (!plugin->name || !plugin->socket_name || !plugin->exec || !plugin->settings) {
                p->reader->error = -ENOMEM;
                return;
        }

        for (size_t i = 0; i < N_ELEMENTS(settings_known); i++) {
                const Setting *s = &settings_known[i];

                if (s->role != role || config_n_values(p, s->key) == 0)
                        continue;
                if (!s->scheme || streq(s->scheme, scheme))
                        read_setting(p, s, plugin);
        }
        /* A key that other channels have would be ignored in silence. */
        for (size_t i = 0; i < N_ELEMENTS(settings_known); i++) {
                const char *key = settings_known[i].key;

                if (settings_known[i].role == role && config_n_values(p, key) > 0 &&
                                !json_object_get(plugin->settings, key) &&
                                cfg_getnstr(p->cfg, key, 0)[0])
                        config_problem(p,
                                        key,
                                        "%s is no key of a channel for %s: addresses",
                                        key,
                                        scheme);
        }
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
        read_plugin(p, CONFIG_ROLE_FRONT, NULL, plugin);
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

        read_plugin(p, CONFIG_ROLE_RELAY, NULL, plugin);
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

void config_read_channel(const ConfigPlace *p, ConfigPlugin *plugin, ConfigChannel *channel) {
        RulesAuthentic limit = RULES_AUTHENTIC_STRONG, usual = RULES_AUTHENTIC_WEAK;
        const char *scheme = config_read_text(p, "scheme", NULL),
                   *authentic = config_read_text(p, "authentic", NULL);
        bool needs_tag = false;

        for (size_t i = 0; i < N_ELEMENTS(schemes) && !scheme; i++)
                if (streq(p->title, schemes[i].channel))
                        scheme = schemes[i].scheme;
        if (!scheme) {
                config_problem(p,
                                NULL,
                                "scheme is missing, which says what addresses it serves: xmpp, "
                                "sms, mailto or echo");
                scheme = "?";
        }
        for (size_t i = 0; i < N_ELEMENTS(schemes); i++)
                if (streq(scheme, schemes[i].scheme)) {
                        usual = schemes[i].authentic;
                        limit = schemes[i].limit;
                        needs_tag = schemes[i].needs_tag;
                        goto known;
                }
        if (scheme[0] != '?')
                config_problem(p, "scheme", "scheme must be xmpp, sms, mailto or echo");
known:
        read_plugin(p, CONFIG_ROLE_CHANNEL, scheme, plugin);
        *channel = (ConfigChannel){
                .plugin = plugin, .name = plugin->name, .scheme = scheme, .authentic = usual
        };
        if (authentic) {
                channel->authentic = rules_authentic_from_name(authentic);
                if (channel->authentic == RULES_AUTHENTIC_MAX)
                        config_problem(p, "authentic", "authentic must be none, weak or strong");
                else if (channel->authentic > limit)
                        config_problem(p,
                                        "authentic",
                                        "a sender's address is never worth more than %s on %s",
                                        rules_authentic_name(limit),
                                        scheme);
        }
        channel->needs_tag = config_read_flag(p, "needs_tag", needs_tag);
        if (needs_tag && !channel->needs_tag)
                config_problem(p,
                                "needs_tag",
                                "answers on %s always need the tag: their sender is easily forged",
                                scheme);
}
