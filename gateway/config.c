/* From libconfuse's tree to a Config. All values are read as text here, so that a wrong one is
 * reported with our own words; all memory of a Config is in one chain and goes at once. */
#include "config.h"

#include <confuse.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <syslog.h>

#include "config-scan.h"
#include "config-store.h"

enum {
        FILE_SIZE_MAX = 16 * 1024 * 1024,
        SOCKET_PATH_MAX = 107,
        DURATION_MAX = 366 * 86400,
        DIGIT_RUN_MAX = 4,
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

static void *take(Config *config, size_t size) {
        ConfigChunk *chunk = calloc(1, sizeof(*chunk) + size);

        if (!chunk)
                return NULL;
        chunk->next = config->store->chunks;
        config->store->chunks = chunk;
        return chunk->data;
}

static char *take_string(Config *config, const char *text) {
        size_t size = strlen(text) + 1;
        char *copy = take(config, size);

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
        config->store = calloc(1, sizeof(*config->store));
        if (!config->store)
                return -ENOMEM;
        *ret = TAKE_PTR(config);
        return 0;
}

/* --- reading one value --------------------------------------------------------------------------
 */

typedef struct Reader {
        Config *config;
        ConfigScan *scan;
        cfg_t *root;
        FILE *problems;
        bool bad;
        int error;           /* negative errno: out of memory */
        char complaint[512]; /* libconfuse's last */
} Reader;

/* Where the reader is: one section. */
typedef struct Place {
        Reader *reader;
        const char *section, *title; /* title may be NULL */
        cfg_t *cfg;                  /* NULL: the section is absent */
} Place;

__attribute__((format(printf, 3, 4))) static void problem(
                const Place *p, const char *key, const char *format, ...) {
        const char *place = config_scan_place(p->reader->scan, p->section, p->title, key);
        va_list arguments;

        p->reader->bad = true;
        (void) fprintf(p->reader->problems,
                        "%s: %s%s%s: ",
                        place ? place : "configuration",
                        p->section,
                        p->title ? " " : "",
                        p->title ? p->title : "");
        va_start(arguments, format);
        (void) vfprintf(p->reader->problems, format, arguments);
        va_end(arguments);
        (void) fputc('\n', p->reader->problems);
}

static void *reader_take(Reader *reader, size_t n, size_t size) {
        void *memory = take(reader->config, n * size + 1);

        if (!memory)
                reader->error = -ENOMEM;
        return memory;
}

/* The values of a key; 0 when it is absent. */
static unsigned n_values(const Place *p, const char *key) {
        return p->cfg ? cfg_size(p->cfg, key) : 0;
}

/* The text of a key in the Config's memory, or fallback (which may be NULL). */
static const char *read_text(const Place *p, const char *key, const char *fallback) {
        const char *value = n_values(p, key) > 0 ? cfg_getstr(p->cfg, key) : NULL, *copy;

        if (!value)
                return fallback;
        if (!value[0]) {
                problem(p, key, "%s is empty", key);
                return fallback;
        }
        copy = take_string(p->reader->config, value);
        if (!copy)
                p->reader->error = -ENOMEM;
        return copy ? copy : fallback;
}

static const char *read_required(const Place *p, const char *key) {
        const char *text = read_text(p, key, NULL);

        if (!text && n_values(p, key) == 0)
                problem(p, NULL, "%s is missing", key);
        return text;
}

/* A list as a NULL-terminated array in the Config's memory, never NULL unless out of memory. */
static const char **read_list(const Place *p, const char *key, size_t *ret_n) {
        unsigned n = n_values(p, key);
        const char **list = reader_take(p->reader, n + 1, sizeof(char *));
        size_t used = 0;

        if (n == 0 && config_scan_has(p->reader->scan, p->section, p->title, key))
                problem(p, key, "%s holds nothing", key);
        for (unsigned i = 0; list && i < n; i++) {
                const char *value = cfg_getnstr(p->cfg, key, i);
                bool repeated = false;

                for (size_t k = 0; k < used; k++)
                        repeated = repeated || streq(list[k], value);
                if (!value[0])
                        problem(p, key, "%s holds an empty value", key);
                else if (repeated && !streq(key, "exec"))
                        problem(p, key, "%s holds \"%s\" twice", key, value);
                else if ((list[used] = take_string(p->reader->config, value)))
                        used++;
                else
                        p->reader->error = -ENOMEM;
        }
        *ret_n = used;
        return list;
}

static int number_from_text(const char *text, uint64_t max, uint64_t *ret) {
        char *end;

        errno = 0;
        if (!isdigit((unsigned char) text[0]))
                return -EINVAL;
        *ret = strtoull(text, &end, 10);
        return *end || errno || *ret > max ? -EINVAL : 0;
}

static unsigned read_number(
                const Place *p, const char *key, unsigned min, unsigned max, unsigned fallback) {
        const char *text = read_text(p, key, NULL);
        uint64_t value;

        if (!text)
                return fallback;
        if (number_from_text(text, max, &value) < 0 || value < min) {
                problem(p, key, "%s must be a whole number from %u to %u", key, min, max);
                return fallback;
        }
        return (unsigned) value;
}

/* 90s, 15m, 24h, 7d. */
static int64_t read_duration(const Place *p, const char *key, int64_t fallback) {
        static const struct {
                char unit;
                unsigned seconds;
        } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
        const char *text = read_text(p, key, NULL);
        char *end;
        uint64_t value;

        if (!text)
                return fallback;
        if (isdigit((unsigned char) text[0])) {
                value = strtoull(text, &end, 10);
                for (size_t i = 0; i < N_ELEMENTS(units); i++)
                        if (end[0] == units[i].unit && !end[1] && value > 0 &&
                                        value <= (uint64_t) DURATION_MAX / units[i].seconds)
                                return (int64_t) (value * units[i].seconds);
        }
        problem(p, key, "%s must be a time such as 90s, 15m, 24h or 7d", key);
        return fallback;
}

static bool read_flag(const Place *p, const char *key, bool fallback) {
        const char *text = read_text(p, key, NULL);

        if (!text)
                return fallback;
        if (streq(text, "yes") || streq(text, "true"))
                return true;
        if (!streq(text, "no") && !streq(text, "false"))
                problem(p, key, "%s must be yes or no", key);
        return false;
}

static bool is_url(const char *text, const char *scheme) {
        size_t size = strlen(scheme);

        if (strncmp(text, scheme, size) != 0 || !isalnum((unsigned char) text[size]))
                return false;
        for (; *text; text++)
                if (*text <= ' ' || *text >= 0x7f || strchr("\"<>\\^`{|}", *text))
                        return false;
        return true;
}

/* --- sections -----------------------------------------------------------------------------------
 */

static void read_gateway(Reader *reader) {
        static const char *const levels[] = {
                "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"
        };
        Place p = { reader,
                "gateway",
                NULL,
                cfg_size(reader->root, "gateway") ? cfg_getsec(reader->root, "gateway") : NULL };
        Config *config = reader->config;
        const char *level = read_text(&p, "log_level", "info"),
                   *store = read_text(&p, "store", "sqlite");

        config->state = read_text(&p, "state", "/var/lib/vestibule");
        config->public_url = read_text(&p, "public_url", NULL);
        config->root_credential = read_text(&p, "root_credential", "root.key");
        config->templates = read_text(&p, "templates", "/etc/vestibule/templates");

        if (config->state[0] != '/')
                problem(&p, "state", "state must be an absolute path");
        if (config->templates[0] != '/')
                problem(&p, "templates", "templates must be an absolute path");
        if (!streq(store, "sqlite"))
                problem(&p, "store", "store must be sqlite");
        if (config->public_url && !is_url(config->public_url, "https://"))
                problem(&p, "public_url", "public_url must be a URL that starts with https://");
        if (strchr(config->root_credential, '/') || config->root_credential[0] == '.')
                problem(&p,
                                "root_credential",
                                "root_credential must be the name of a credential, not a path");
        config->log_level = -1;
        for (size_t i = 3; i < N_ELEMENTS(levels); i++)
                if (streq(level, levels[i]))
                        config->log_level = (int) i;
        if (config->log_level < 0)
                problem(&p, "log_level", "log_level must be error, warning, notice, info or debug");
}

static void set_setting(Reader *reader, ConfigPlugin *plugin, const char *key, json_t *value) {
        if (!value || json_object_set_new(plugin->settings, key, value) < 0)
                reader->error = -ENOMEM;
}

static void read_setting(const Place *p, const Setting *setting, ConfigPlugin *plugin) {
        const char *text;
        uint64_t number;

        if (setting->list) {
                json_t *array = json_array();
                size_t n;
                const char **list = read_list(p, setting->key, &n);

                for (size_t i = 0; list && i < n; i++)
                        if (json_array_append_new(array, json_string(list[i])) < 0)
                                p->reader->error = -ENOMEM;
                set_setting(p->reader, plugin, setting->key, array);
                return;
        }
        text = read_text(p, setting->key, NULL);
        if (!text)
                return;
        if (setting->max && (number_from_text(text, setting->max, &number) < 0 || number == 0))
                problem(p,
                                setting->key,
                                "%s must be a whole number from 1 to %u",
                                setting->key,
                                setting->max);
        if (setting->flag)
                text = read_flag(p, setting->key, false) ? "yes" : "no";
        set_setting(p->reader, plugin, setting->key, json_string(text));
}

/* The free part: settings { key = value }. */
static void read_free_settings(const Place *p, ConfigPlugin *plugin) {
        cfg_t *free_settings =
                        cfg_size(p->cfg, "settings") > 0 ? cfg_getsec(p->cfg, "settings") : NULL;

        for (unsigned i = 0; free_settings && i < cfg_num(free_settings); i++) {
                cfg_opt_t *option = cfg_getnopt(free_settings, i);
                const char *key = cfg_opt_name(option), *value = cfg_opt_getstr(option);

                if (!value)
                        continue;
                if (json_object_get(plugin->settings, key))
                        problem(p, "settings", "settings repeat %s", key);
                else
                        set_setting(p->reader, plugin, key, json_string(value));
        }
}

/* What every section with a process has. scheme is of a channel, else NULL. */
static void read_plugin(const Place *p, ConfigRole role, const char *scheme, ConfigPlugin *plugin) {
        Config *config = p->reader->config;
        size_t n_exec;

        *plugin = (ConfigPlugin){ .role = role,
                .name = take_string(config, p->title),
                .socket = read_text(p, "socket", NULL),
                .settings = json_object() };
        plugin->exec = (char **) read_list(p, "exec", &n_exec);
        if (role == CONFIG_ROLE_RELAY) {
                char name[80];

                (void) snprintf(name, sizeof(name), "relay-%s", p->title);
                plugin->socket_name = take_string(config, name);
        } else {
                plugin->socket_name = plugin->name;
        }
        if (!plugin->name || !plugin->socket_name || !plugin->exec || !plugin->settings) {
                p->reader->error = -ENOMEM;
                return;
        }

        for (size_t i = 0; i < N_ELEMENTS(settings_known); i++) {
                const Setting *s = &settings_known[i];

                if (s->role != role || n_values(p, s->key) == 0)
                        continue;
                if (!s->scheme || streq(s->scheme, scheme))
                        read_setting(p, s, plugin);
        }
        /* A key that other channels have would be ignored in silence. */
        for (size_t i = 0; i < N_ELEMENTS(settings_known); i++) {
                const char *key = settings_known[i].key;

                if (settings_known[i].role == role && n_values(p, key) > 0 &&
                                !json_object_get(plugin->settings, key) &&
                                cfg_getnstr(p->cfg, key, 0)[0])
                        problem(p, key, "%s is no key of a channel for %s: addresses", key, scheme);
        }
        read_free_settings(p, plugin);

        if (n_exec == 0)
                plugin->exec = NULL;
        else if (plugin->exec[0][0] != '/')
                problem(p, "exec", "exec must start with the absolute path of a program");
        if (plugin->exec && plugin->socket)
                problem(p, "socket", "exec and socket exclude each other");
        if (plugin->socket &&
                        (plugin->socket[0] != '/' || strlen(plugin->socket) > SOCKET_PATH_MAX))
                problem(p,
                                "socket",
                                "socket must be an absolute path of at most %d bytes",
                                SOCKET_PATH_MAX);
}

static void read_front(const Place *p, ConfigPlugin *plugin, ConfigFront *front) {
        read_plugin(p, CONFIG_ROLE_FRONT, NULL, plugin);
        *front = (ConfigFront){ .plugin = plugin, .operators = streq(p->title, "operators") };
}

static void read_relay(const Place *p, ConfigPlugin *plugin, ConfigRelay *relay) {
        read_plugin(p, CONFIG_ROLE_RELAY, NULL, plugin);
        *relay = (ConfigRelay){ .plugin = plugin,
                .url = read_required(p, "url"),
                .protocol = read_text(p, "protocol", "draft-v") };
        if (relay->url && (!is_url(relay->url, "https://") || strpbrk(relay->url, "?#@")))
                problem(p,
                                "url",
                                "url must start with https:// and have no user, query or fragment");
        if (!streq(relay->protocol, "draft-v"))
                problem(p, "protocol", "protocol must be draft-v");
}

static void read_channel(const Place *p, ConfigPlugin *plugin, ConfigChannel *channel) {
        RulesAuthentic limit = RULES_AUTHENTIC_STRONG, usual = RULES_AUTHENTIC_WEAK;
        const char *scheme = read_text(p, "scheme", NULL),
                   *authentic = read_text(p, "authentic", NULL);
        bool needs_tag = false;

        for (size_t i = 0; i < N_ELEMENTS(schemes) && !scheme; i++)
                if (streq(p->title, schemes[i].channel))
                        scheme = schemes[i].scheme;
        if (!scheme) {
                problem(p,
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
                problem(p, "scheme", "scheme must be xmpp, sms, mailto or echo");
known:
        read_plugin(p, CONFIG_ROLE_CHANNEL, scheme, plugin);
        *channel = (ConfigChannel){
                .plugin = plugin, .name = plugin->name, .scheme = scheme, .authentic = usual
        };
        if (authentic) {
                channel->authentic = rules_authentic_from_name(authentic);
                if (channel->authentic == RULES_AUTHENTIC_MAX)
                        problem(p, "authentic", "authentic must be none, weak or strong");
                else if (channel->authentic > limit)
                        problem(p,
                                        "authentic",
                                        "a sender's address is never worth more than %s on %s",
                                        rules_authentic_name(limit),
                                        scheme);
        }
        channel->needs_tag = read_flag(p, "needs_tag", needs_tag);
        if (needs_tag && !channel->needs_tag)
                problem(p,
                                "needs_tag",
                                "answers on %s always need the tag: their sender is easily forged",
                                scheme);
}

static void read_policy_channels(const Place *p, ConfigPolicy *policy) {
        RulesAuthentic best = RULES_AUTHENTIC_NONE;
        size_t n;
        const char **names = read_list(p, "channels", &n);

        policy->channels = reader_take(p->reader, n + 1, sizeof(*policy->channels));
        if (!names || !policy->channels)
                return;
        for (size_t i = 0; i < n; i++) {
                const ConfigChannel *channel = config_channel(p->reader->config, names[i]);

                if (!channel) {
                        problem(p, "channels", "there is no channel %s", names[i]);
                        continue;
                }
                policy->channels[policy->n_channels++] = channel;
                if (channel->authentic > best)
                        best = channel->authentic;
        }
        if (n == 0)
                problem(p, NULL, "channels is missing: nobody could be reached");
        else if (policy->n_channels == n && best < policy->rules.minimum_authentic)
                problem(p,
                                "channels",
                                "none of its channels knows senders better than %s, and it asks "
                                "for %s",
                                rules_authentic_name(best),
                                rules_authentic_name(policy->rules.minimum_authentic));
}

static void read_policy_factors(const Place *p, Rules *rules) {
        size_t n;
        const char **names = read_list(p, "factors", &n);

        if (n_values(p, "factors") == 0)
                return;
        rules->factors = 0;
        for (size_t i = 0; names && i < n; i++) {
                RulesFactor factor = rules_factor_from_name(names[i]);

                if (factor)
                        rules->factors |= factor;
                else
                        problem(p,
                                        "factors",
                                        "%s is not a factor of this version, which has reply-code",
                                        names[i]);
        }
}

static void read_policy_rules(const Place *p, Rules *rules) {
        const char *class = read_required(p, "class"), *text;
        char missed[RULES_PROBLEM_SIZE];
        bool was_bad = p->reader->bad;

        rules_default(RULES_HOTEL, rules);
        if (!class)
                return;
        rules->class = rules_class_from_name(class);
        if (rules->class == RULES_CLASS_MAX) {
                problem(p,
                                "class",
                                "class must be hotel, home-limited, home, car-unlock, car, access "
                                "or fleet");
                rules->class = RULES_HOTEL;
                return;
        }
        rules_default(rules->class, rules);
        p->reader->bad = false;
        read_policy_factors(p, rules);
        text = read_text(p, "code", NULL);
        if (text) {
                CodeFormat format = code_format_from_name(text);

                if (format == CODE_FORMAT_MAX)
                        problem(p, "code", "code must be D9 or X8");
                else
                        rules->code = format;
        }
        rules->attempts = read_number(p, "attempts", 1, RULES_ATTEMPTS_MAX, rules->attempts);
        rules->attempts_total = read_number(
                        p, "attempts_total", 1, RULES_ATTEMPTS_TOTAL_MAX, rules->attempts_total);
        rules->challenge_ttl = read_duration(p, "lifetime", rules->challenge_ttl);
        rules->mailbox_ttl = read_duration(p, "mailbox_ttl", rules->mailbox_ttl);
        text = read_text(p, "authentic", NULL);
        if (text) {
                RulesAuthentic minimum = rules_authentic_from_name(text);

                if (minimum == RULES_AUTHENTIC_MAX)
                        problem(p, "authentic", "authentic must be none, weak or strong");
                else
                        rules->minimum_authentic = minimum;
        }
        if (!p->reader->bad && rules_check(rules, missed) != 0)
                problem(p, NULL, "%s", missed);
        p->reader->bad = p->reader->bad || was_bad;
}

static void read_policy(const Place *p, ConfigPolicy *policy) {
        *policy = (ConfigPolicy){ .name = take_string(p->reader->config, p->title),
                .language = read_text(p, "language", NULL) };
        if (!policy->name)
                p->reader->error = -ENOMEM;
        read_policy_rules(p, &policy->rules);
        read_policy_channels(p, policy);
        if (policy->language && (strlen(policy->language) > 35 ||
                                                !isalpha((unsigned char) policy->language[0])))
                problem(p, "language", "language must be a tag such as en or de-AT");
}

/* The character at *text, moved past it; the text is UTF-8, which the scan has checked. */
static unsigned next_character(const char **text) {
        const unsigned char *s = (const unsigned char *) *text;
        unsigned n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
        unsigned c = n == 1 ? s[0] : s[0] & (0x7fu >> n);

        for (unsigned i = 1; i < n; i++)
                c = c << 6 | (s[i] & 0x3fu);
        *text += n;
        return c;
}

/* Why a sender's name cannot be registered, or NULL. It is shown to strangers in an SMS: nothing in
 * it may look like an address, a number to call, a code or another script's letters. */
static const char *name_problem(const char *name) {
        static const char latin[] = "ÄÅÆÇÉÑÖØÜßàäåæèéìñòöøùü", greek[] = "ΓΔΘΛΞΠΣΦΨΩ",
                          letters[] = " &'+,-./()";
        bool has_latin = false, has_greek = false;
        unsigned previous = 0, septets = 0, digits = 0;

        for (const char *s = name, *start = name; *s; start = s) {
                unsigned c = next_character(&s);
                char symbol[5] = { 0 };

                memcpy(symbol, start, (size_t) (s - start));
                septets++;
                digits = c < 0x80 && isdigit((int) c) ? digits + 1 : 0;
                if (digits > DIGIT_RUN_MAX)
                        return "has more than four digits in a row";
                if (c < 0x80 ? isalpha((int) c) : strstr(latin, symbol) != NULL)
                        has_latin = true;
                else if (c >= 0x80 && strstr(greek, symbol))
                        has_greek = true;
                else if (!(c < 0x80 && (isdigit((int) c) || strchr(letters, (int) c))))
                        return "has a character that is not allowed; letters of the SMS alphabet, "
                               "digits, space "
                               "and & ' + , - . / ( ) are";
                if (c == ' ' && (previous == ' ' || previous == 0 || !*s))
                        return "has a space too many";
                if (previous == '.' && c != ' ' && c != '.' &&
                                (isalnum((int) (c & 0x7f)) || c >= 0x80))
                        return "looks like a web address";
                if (previous == '/' && c == '/')
                        return "looks like a web address";
                previous = c;
        }
        if (strncasecmp(name, "www", 3) == 0)
                return "looks like a web address";
        if (septets > CONFIG_NAME_SEPTETS)
                return "is longer than 24 characters";
        if (!has_latin && !has_greek)
                return "has no letter";
        return has_latin && has_greek ? "mixes Latin and Greek letters" : NULL;
}

static void read_tenant_names(const Place *p, ConfigTenant *tenant) {
        const char *name = read_required(p, "name"), **more;
        size_t n;

        more = read_list(p, "names", &n);
        tenant->names = reader_take(p->reader, n + 2, sizeof(char *));
        if (!more || !tenant->names || !name)
                return;
        tenant->names[tenant->n_names++] = name;
        for (size_t i = 0; i < n; i++)
                if (!streq(more[i], name))
                        tenant->names[tenant->n_names++] = more[i];
        for (size_t i = 0; i < tenant->n_names; i++) {
                const char *why = name_problem(tenant->names[i]);

                if (why)
                        problem(p,
                                        i == 0 ? "name" : "names",
                                        "the name \"%s\" %s",
                                        tenant->names[i],
                                        why);
        }
}

static void read_tenant_tokens(const Place *p, ConfigTenant *tenant) {
        size_t n;
        const char **entries = read_list(p, "token", &n);

        if (n == 0)
                problem(p, NULL, "token is missing; `vestibulectl token` makes one");
        if (n > CONFIG_TOKENS_PER_TENANT)
                problem(p, "token", "at most two tokens are live at a time");
        for (size_t i = 0; entries && i < n && i < CONFIG_TOKENS_PER_TENANT; i++) {
                if (token_entry_is_valid(entries[i]))
                        tenant->tokens[tenant->n_tokens++] = entries[i];
                else if (strncmp(entries[i], "vb_", 3) == 0)
                        problem(p,
                                        "token",
                                        "this is a token itself, which belongs to the tenant "
                                        "alone; write the entry "
                                        "that `vestibulectl token` prints beside it, and make a "
                                        "new token");
                else
                        problem(p, "token", "not an entry as `vestibulectl token` prints it");
        }
}

static void read_tenant_policies(const Place *p, ConfigTenant *tenant) {
        size_t n;
        const char **names = read_list(p, "policies", &n);

        tenant->policies = reader_take(p->reader, n + 1, sizeof(*tenant->policies));
        if (!names || !tenant->policies)
                return;
        if (n == 0)
                problem(p, NULL, "policies is missing: it could share nothing");
        for (size_t i = 0; i < n; i++) {
                const ConfigPolicy *policy = config_policy(p->reader->config, names[i]);

                if (policy)
                        tenant->policies[tenant->n_policies++] = policy;
                else
                        problem(p, "policies", "there is no policy %s", names[i]);
        }
}

static void read_tenant(const Place *p, ConfigTenant *tenant) {
        const char *relay = read_required(p, "relay");

        *tenant = (ConfigTenant){ .id = take_string(p->reader->config, p->title) };
        if (!tenant->id)
                p->reader->error = -ENOMEM;
        read_tenant_names(p, tenant);
        read_tenant_tokens(p, tenant);
        read_tenant_policies(p, tenant);
        if (relay) {
                tenant->relay = config_relay(p->reader->config, relay);
                if (!tenant->relay)
                        problem(p, "relay", "there is no relay %s", relay);
        }
        tenant->image_prefixes = read_list(p, "image_prefixes", &tenant->n_image_prefixes);
        for (size_t i = 0; tenant->image_prefixes && i < tenant->n_image_prefixes; i++) {
                const char *prefix = tenant->image_prefixes[i];

                /* Without the slash, https://hotel.example would match
                 * https://hotel.example.evil.com. */
                if (!is_url(prefix, "https://") || !strchr(prefix + 8, '/') ||
                                strpbrk(prefix, "?#@"))
                        problem(p,
                                        "image_prefixes",
                                        "\"%s\" must start with https:// and a host that ends with "
                                        "a slash",
                                        prefix);
        }
}

/* --- the whole ----------------------------------------------------------------------------------
 */

static Place section_place(Reader *reader, const char *section, unsigned i) {
        cfg_t *cfg = cfg_getnsec(reader->root, section, i);

        return (Place){ reader, section, cfg_title(cfg), cfg };
}

static void check_socket_names(Reader *reader) {
        const Config *config = reader->config;

        for (size_t i = 0; i < config->n_plugins; i++)
                for (size_t k = 0; k < i; k++) {
                        const ConfigPlugin *a = &config->plugins[k], *b = &config->plugins[i];
                        Place p = { reader, role_names[b->role], b->name, NULL };

                        if (streq(a->socket_name, b->socket_name))
                                problem(&p,
                                                NULL,
                                                "%s %s has the same socket name, %s; rename one of "
                                                "them",
                                                role_names[a->role],
                                                a->name,
                                                a->socket_name);
                }
}

static int token_by_id(const void *a, const void *b) {
        return strncmp(((const ConfigToken *) a)->entry,
                        ((const ConfigToken *) b)->entry,
                        TOKEN_ID_SIZE - 1);
}

static int tenant_by_id(const void *a, const void *b) {
        return strcmp((*(ConfigTenant *const *) a)->id, (*(ConfigTenant *const *) b)->id);
}

static int make_indexes(Reader *reader) {
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
        qsort(store->tenants, config->n_tenants, sizeof(*store->tenants), tenant_by_id);
        qsort(store->tokens, store->n_tokens, sizeof(*store->tokens), token_by_id);
        for (size_t i = 1; i < store->n_tokens; i++)
                if (token_by_id(&store->tokens[i - 1], &store->tokens[i]) == 0) {
                        Place p = { reader, "tenant", store->tokens[i].tenant->id, NULL };

                        problem(&p,
                                        "token",
                                        "the token %.8s is also tenant %s's",
                                        store->tokens[i].entry,
                                        store->tokens[i - 1].tenant->id);
                }
        return 0;
}

static int read_sections(Reader *reader) {
        Config *config = reader->config;
        unsigned n_fronts = cfg_size(reader->root, "front"),
                 n_relays = cfg_size(reader->root, "relay"),
                 n_channels = cfg_size(reader->root, "channel"),
                 n_policies = cfg_size(reader->root, "policy"),
                 n_tenants = cfg_size(reader->root, "tenant");

        config->plugins =
                        reader_take(reader, n_fronts + n_relays + n_channels, sizeof(ConfigPlugin));
        config->fronts = reader_take(reader, n_fronts, sizeof(ConfigFront));
        config->relays = reader_take(reader, n_relays, sizeof(ConfigRelay));
        config->channels = reader_take(reader, n_channels, sizeof(ConfigChannel));
        config->policies = reader_take(reader, n_policies, sizeof(ConfigPolicy));
        config->tenants = reader_take(reader, n_tenants, sizeof(ConfigTenant));
        if (reader->error < 0)
                return reader->error;

        read_gateway(reader);
        for (unsigned i = 0; i < n_fronts; i++) {
                Place p = section_place(reader, "front", i);
                read_front(&p,
                                &config->plugins[config->n_plugins++],
                                &config->fronts[config->n_fronts++]);
        }
        for (unsigned i = 0; i < n_relays; i++) {
                Place p = section_place(reader, "relay", i);
                read_relay(&p,
                                &config->plugins[config->n_plugins++],
                                &config->relays[config->n_relays++]);
        }
        for (unsigned i = 0; i < n_channels; i++) {
                Place p = section_place(reader, "channel", i);
                read_channel(&p,
                                &config->plugins[config->n_plugins++],
                                &config->channels[config->n_channels++]);
        }
        if (reader->error < 0)
                return reader->error;
        for (unsigned i = 0; i < n_policies; i++) {
                Place p = section_place(reader, "policy", i);
                read_policy(&p, &config->policies[config->n_policies++]);
        }
        if (reader->error < 0)
                return reader->error;
        for (unsigned i = 0; i < n_tenants; i++) {
                Place p = section_place(reader, "tenant", i);
                read_tenant(&p, &config->tenants[config->n_tenants++]);
        }
        if (reader->error < 0)
                return reader->error;
        check_socket_names(reader);
        return make_indexes(reader);
}

/* libconfuse gives its error function no word of ours, so the reader of the running parse is here.
 */
static Reader *parsing;
static const char *parsing_file;

/* libconfuse 3.3 complains about each key of a free section and accepts it; the complaint counts
 * only if the text is refused in the end. */
__attribute__((format(printf, 2, 0))) static void on_confuse_error(
                cfg_t *cfg, const char *format, va_list arguments) {
        char text[256];

        (void) vsnprintf(text, sizeof(text), format, arguments);
        (void) snprintf(parsing->complaint,
                        sizeof(parsing->complaint),
                        "%s:%d: %s\n",
                        parsing_file,
                        cfg ? cfg->line : 1,
                        text);
}

#define TEXT(name) CFG_STR((char *) (name), NULL, CFGF_NODEFAULT)
#define LIST(name) CFG_STR_LIST((char *) (name), NULL, CFGF_NODEFAULT)
#define PLUGIN_KEYS                   \
        LIST("exec"), TEXT("socket"), \
                        CFG_SEC((char *) "settings", no_keys, CFGF_KEYSTRVAL | CFGF_NODEFAULT)

static cfg_t *confuse_new(void) {
        cfg_opt_t no_keys[] = { CFG_END() };
        cfg_opt_t gateway[] = { TEXT("state"),
                TEXT("store"),
                TEXT("public_url"),
                TEXT("root_credential"),
                TEXT("templates"),
                TEXT("log_level"),
                CFG_END() };
        cfg_opt_t front[] = { PLUGIN_KEYS,
                LIST("listen"),
                TEXT("tls"),
                TEXT("port_file"),
                TEXT("connections"),
                TEXT("connections_per_address"),
                CFG_END() };
        cfg_opt_t relay[] = { PLUGIN_KEYS,
                TEXT("url"),
                TEXT("protocol"),
                LIST("allow_host"),
                TEXT("ca_file"),
                LIST("pinned_key"),
                TEXT("algorithm"),
                CFG_END() };
        cfg_opt_t channel[] = { PLUGIN_KEYS,
                TEXT("scheme"),
                TEXT("authentic"),
                TEXT("needs_tag"),
                TEXT("mode"),
                TEXT("jid"),
                TEXT("host"),
                TEXT("port"),
                TEXT("nick"),
                TEXT("node"),
                TEXT("resource"),
                LIST("contact"),
                TEXT("ca_file"),
                TEXT("listen"),
                CFG_END() };
        cfg_opt_t policy[] = { TEXT("class"),
                LIST("factors"),
                TEXT("code"),
                TEXT("attempts"),
                TEXT("attempts_total"),
                TEXT("lifetime"),
                TEXT("mailbox_ttl"),
                TEXT("authentic"),
                LIST("channels"),
                TEXT("language"),
                CFG_END() };
        cfg_opt_t tenant[] = { TEXT("name"),
                LIST("names"),
                LIST("token"),
                LIST("policies"),
                TEXT("relay"),
                LIST("image_prefixes"),
                CFG_END() };
        cfg_flag_t titled = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
        cfg_opt_t root[] = { CFG_SEC((char *) "gateway", gateway, CFGF_NODEFAULT),
                CFG_SEC((char *) "front", front, titled),
                CFG_SEC((char *) "relay", relay, titled),
                CFG_SEC((char *) "channel", channel, titled),
                CFG_SEC((char *) "policy", policy, titled),
                CFG_SEC((char *) "tenant", tenant, titled),
                CFG_END() };

        return cfg_init(root, CFGF_NONE);
}

static int reader_text(Reader *reader, const char *text, size_t size, const char *file) {
        _cleanup_(freep) char *plain = NULL;
        int r;

        r = config_scan_text(reader->scan, text, size, file, reader->problems, &plain);
        if (r < 0)
                return r;
        if (r == CONFIG_E_INVALID) {
                reader->bad = true;
                return 0;
        }
        parsing = reader;
        parsing_file = file;
        reader->complaint[0] = 0;
        if (cfg_parse_buf(reader->root, plain) != CFG_SUCCESS) {
                reader->bad = true;
                (void) fputs(reader->complaint, reader->problems);
                if (!reader->complaint[0])
                        (void) fprintf(reader->problems,
                                        "%s:%d: this is not understood\n",
                                        file,
                                        reader->root->line);
        }
        parsing = NULL;
        parsing_file = NULL;
        return 0;
}

static int read_whole(const char *path, char **ret, size_t *ret_size) {
        _cleanup_(closep) int fd = -1;
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        size_t size = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        if (st.st_size > FILE_SIZE_MAX)
                return -EFBIG;
        text = malloc((size_t) st.st_size + 1);
        if (!text)
                return -ENOMEM;
        while (size < (size_t) st.st_size) {
                ssize_t n = read(fd, text + size, (size_t) st.st_size - size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t) n;
        }
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

static int is_conf(const struct dirent *entry) {
        size_t size = strlen(entry->d_name);

        return size > 5 && entry->d_name[0] != '.' && streq(entry->d_name + size - 5, ".conf");
}

static int by_file_name(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int reader_file(Reader *reader, const char *path) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        int r;

        r = read_whole(path, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                reader->bad = true;
                (void) fprintf(reader->problems, "%s: cannot be read: %s\n", path, strerror(-r));
                return 0;
        }
        return reader_text(reader, text, size, path);
}

static int reader_folder(Reader *reader, const char *folder) {
        struct dirent **entries = NULL;
        int n, r = 0;

        n = scandir(folder, &entries, is_conf, by_file_name);
        if (n < 0) {
                if (errno == ENOENT || errno == ENOMEM)
                        return errno == ENOENT ? 0 : -ENOMEM;
                reader->bad = true;
                (void) fprintf(reader->problems,
                                "%s: cannot be read: %s\n",
                                folder,
                                strerror(errno));
                return 0;
        }
        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *path = NULL;

                if (r >= 0 && asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0) {
                        path = NULL;
                        r = -ENOMEM;
                }
                if (r >= 0)
                        r = reader_file(reader, path);
                free(entries[i]);
        }
        free(entries);
        return r;
}

/* Reads either the file at path and its folder, or the text. */
static int read_config(Reader *reader, const char *path, const char *text, const char *name) {
        _cleanup_(freep) char *folder = NULL;
        int r;

        r = config_scan_new(&reader->scan);
        if (r < 0)
                return r;
        r = config_new(&reader->config);
        if (r < 0)
                return r;
        reader->root = confuse_new();
        if (!reader->root)
                return -ENOMEM;
        (void) cfg_set_error_function(reader->root, on_confuse_error);

        if (text)
                r = reader_text(reader, text, strlen(text), name);
        else if (asprintf(&folder, "%s.d", path) < 0)
                return -ENOMEM;
        else
                r = reader_file(reader, path);
        if (r == 0 && !text)
                r = reader_folder(reader, folder);
        if (r < 0 || reader->bad)
                return r;
        r = read_sections(reader);
        if (r < 0 || reader->bad)
                return r;
        return config_store_fingerprint(reader->config);
}

static int config_read(const char *path,
                const char *text,
                const char *name,
                Config **ret,
                char **ret_problems) {
        _cleanup_(freep) char *problems = NULL;
        Reader reader = { 0 };
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
                        tenant_by_id);
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
                        token_by_id);
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

bool config_tenant_has_name(const ConfigTenant *tenant, const char *name) {
        for (size_t i = 0; i < tenant->n_names; i++)
                if (streq(tenant->names[i], name))
                        return true;
        return false;
}
