/* Channel sections: which addresses they serve, what their senders are worth, and which keys belong
 * to them. */
#include <confuse.h>
#include <errno.h>

#include "config-internal.h"

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

/* What `driver` of an SMS channel may be, as bits. */
enum {
        DRIVER_SMPP = 1 << 0,
        DRIVER_KANNEL = 1 << 1,
        DRIVER_MODEM = 1 << 2,
        DRIVER_REST = 1 << 3,
        DRIVER_ALL = ~0,
};

static const struct {
        const char *name;
        int driver;
} drivers[] = {
        { "smpp", DRIVER_SMPP },
        { "kannel", DRIVER_KANNEL },
        { "modem", DRIVER_MODEM },
        { "rest", DRIVER_REST },
};

enum {
        LIMIT_PORT = 65535,
        LIMIT_RATE = 1000000,
        LIMIT_WINDOW = 1000,
        LIMIT_REQUESTS = 64,
        LIMIT_ENQUIRE = 3600,
        LIMIT_POLL = 86400,
        USUAL_SEGMENTS = 6,
        LIMIT_SEGMENTS = 255, /* TS 23.040 section 9.2.3.24.1: a count is one octet */
};

typedef struct ChannelKey {
        const char *scheme;
        int drivers;
        ConfigSetting setting;
} ChannelKey;

static const ChannelKey channel_keys[] = {
        { "xmpp", DRIVER_ALL, { "mode" } },
        { "xmpp", DRIVER_ALL, { "jid" } },
        { "xmpp", DRIVER_ALL, { "host" } },
        { "xmpp", DRIVER_ALL, { "port", .max = LIMIT_PORT } },
        { "xmpp", DRIVER_ALL, { "nick" } },
        { "xmpp", DRIVER_ALL, { "node" } },
        { "xmpp", DRIVER_ALL, { "resource" } },
        { "xmpp", DRIVER_ALL, { "contact", .list = true } },
        { "xmpp", DRIVER_ALL, { "ca_file" } },
        { "sms", DRIVER_ALL, { "driver" } },
        { "sms", DRIVER_ALL, { "sender" } },
        { "sms", DRIVER_ALL, { "countries", .list = true } },
        { "sms", DRIVER_ALL, { "per_minute", .max = LIMIT_RATE } },
        { "sms", DRIVER_ALL, { "burst", .max = LIMIT_RATE } },
        { "sms", DRIVER_ALL, { "segments", .max = LIMIT_SEGMENTS } },
        { "sms", DRIVER_ALL, { "quiet_hours", .may_be_empty = true } },
        { "sms", DRIVER_ALL, { "country_code" } },
        { "sms", DRIVER_SMPP, { "host" } },
        { "sms", DRIVER_SMPP, { "port", .max = LIMIT_PORT } },
        { "sms", DRIVER_SMPP, { "system_id" } },
        { "sms", DRIVER_SMPP, { "system_type" } },
        { "sms", DRIVER_SMPP, { "tls", .flag = true } },
        { "sms", DRIVER_SMPP, { "alphabet" } },
        { "sms", DRIVER_SMPP, { "one_is_gsm7", .flag = true } },
        { "sms", DRIVER_SMPP, { "packed", .flag = true } },
        { "sms", DRIVER_SMPP, { "enquire_seconds", .max = LIMIT_ENQUIRE } },
        { "sms", DRIVER_KANNEL | DRIVER_REST, { "url" } },
        { "sms", DRIVER_KANNEL, { "username" } },
        { "sms", DRIVER_REST, { "account" } },
        { "sms", DRIVER_KANNEL | DRIVER_REST, { "listen" } },
        { "sms", DRIVER_KANNEL | DRIVER_REST, { "callback_url" } },
        { "sms", DRIVER_REST, { "callback_repeats", .flag = true } },
        { "sms", DRIVER_SMPP, { "window", .max = LIMIT_WINDOW } },
        { "sms", DRIVER_KANNEL | DRIVER_REST, { "window", .max = LIMIT_REQUESTS } },
        { "sms", DRIVER_SMPP | DRIVER_REST, { "ca_file" } },
        { "sms", DRIVER_MODEM, { "modem" } },
        { "mailto", DRIVER_ALL, { "from" } },
        { "mailto", DRIVER_ALL, { "name" } },
        { "mailto", DRIVER_ALL, { "domain" } },
        { "mailto", DRIVER_ALL, { "mailbox", .may_be_empty = true } },
        { "mailto", DRIVER_ALL, { "separator" } },
        { "mailto", DRIVER_ALL, { "submit" } },
        { "mailto", DRIVER_ALL, { "starttls" } },
        { "mailto", DRIVER_ALL, { "username" } },
        { "mailto", DRIVER_ALL, { "receive", .list = true } },
        { "mailto", DRIVER_ALL, { "authserv_id" } },
        { "mailto", DRIVER_ALL, { "imap_username" } },
        { "mailto", DRIVER_ALL, { "poll_seconds", .max = LIMIT_POLL } },
        { "mailto", DRIVER_ALL, { "window", .max = LIMIT_WINDOW } },
        { "mailto", DRIVER_ALL, { "ca_file" } },
        { "echo", DRIVER_ALL, { "listen" } },
};

static bool is_written(const ConfigPlace *p, const char *key) {
        return config_n_values(p, key) > 0 && cfg_getnstr(p->cfg, key, 0)[0];
}

/* A key that other channels have would be ignored in silence. */
static void refuse_foreign_keys(
                const ConfigPlace *p, const char *scheme, const char *driver, int bits) {
        for (size_t i = 0; i < N_ELEMENTS(channel_keys); i++) {
                const char *key = channel_keys[i].setting.key;
                bool of_scheme = false, known = false, first = true;

                for (size_t k = 0; k < N_ELEMENTS(channel_keys); k++) {
                        const ChannelKey *other = &channel_keys[k];
                        bool here = streq(other->scheme, scheme);

                        if (!streq(other->setting.key, key))
                                continue;
                        first = first && k >= i;
                        of_scheme = of_scheme || here;
                        known = known || (here && other->drivers & bits);
                }
                if (!first || known || !is_written(p, key))
                        continue;
                if (of_scheme)
                        config_problem(p, key, "%s is no key of the driver %s", key, driver);
                else
                        config_problem(p,
                                        key,
                                        "%s is no key of a channel for %s: addresses",
                                        key,
                                        scheme);
        }
}

/* --- the section --------------------------------------------------------------------------------
 */

/* Gives the driver's bit; all bits where there is none, or one that nobody knows. */
static int read_driver(const ConfigPlace *p, const char *driver) {
        if (!driver)
                return DRIVER_ALL;
        for (size_t i = 0; i < N_ELEMENTS(drivers); i++)
                if (streq(driver, drivers[i].name))
                        return drivers[i].driver;
        config_problem(p, "driver", "driver must be smpp, kannel, modem or rest");
        return DRIVER_ALL;
}

/* A key of our own programs that came in by `settings`, past the checks of its form. */
static void refuse_hidden_keys(const ConfigPlace *p,
                const ConfigSetting *settings,
                size_t n,
                const ConfigPlugin *plugin) {
        for (size_t i = 0; i < n; i++)
                if (json_object_get(plugin->settings, settings[i].key) &&
                                config_n_values(p, settings[i].key) == 0)
                        config_problem(p,
                                        "settings",
                                        "settings hold %s, which belongs into the section itself",
                                        settings[i].key);
}

static void read_program(const ConfigPlace *p, const char *scheme, ConfigPlugin *plugin) {
        const char *driver = streq(scheme, "sms") && is_written(p, "driver")
                                             ? cfg_getnstr(p->cfg, "driver", 0)
                                             : NULL;
        ConfigSetting settings[N_ELEMENTS(channel_keys)];
        int bits = read_driver(p, driver);
        size_t n = 0;

        for (size_t i = 0; i < N_ELEMENTS(channel_keys); i++) {
                const ConfigSetting *setting = &channel_keys[i].setting;

                /* Without a driver a key with several limits has the first. */
                if (streq(channel_keys[i].scheme, scheme) && channel_keys[i].drivers & bits &&
                                (n == 0 || !streq(settings[n - 1].key, setting->key)))
                        settings[n++] = *setting;
        }
        config_read_plugin(p, CONFIG_ROLE_CHANNEL, settings, n, plugin);
        if (driver || is_written(p, "from"))
                refuse_hidden_keys(p, settings, n, plugin);
        refuse_foreign_keys(p, scheme, driver, bits);
        config_check_program(p, scheme, plugin);
}

/* config_read_plugin() has complained about a wrong one. */
static void read_segments(const ConfigPlace *p, ConfigChannel *channel) {
        const char *text = json_string_value(
                                   json_object_get(channel->plugin->settings, "segments")),
                   *place = config_scan_place(p->reader->scan, p->section, p->title, "segments");
        uint64_t segments;

        channel->segments = USUAL_SEGMENTS;
        if (text && config_number(text, LIMIT_SEGMENTS, &segments) == 0 && segments > 0)
                channel->segments = (unsigned) segments;
        channel->segments_place = config_take_string(p->reader->config, place ? place : p->title);
        if (!channel->segments_place)
                p->reader->error = -ENOMEM;
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
        read_program(p, scheme, plugin);
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
        channel->operator_class = config_read_text(p, "operator_class", scheme);
        channel->ours = streq(scheme, "sms")      ? is_written(p, "driver")
                        : streq(scheme, "mailto") ? is_written(p, "from")
                                                  : false;
        if (channel->ours && streq(scheme, "sms"))
                read_segments(p, channel);
        if (streq(scheme, "sms"))
                channel->price = config_read_money(p, "price");
        else if (is_written(p, "price"))
                config_problem(p,
                                "price",
                                "price is no key of a channel for %s: addresses",
                                scheme);
        channel->needs_tag = config_read_flag(p, "needs_tag", needs_tag);
        if (needs_tag && !channel->needs_tag)
                config_problem(p,
                                "needs_tag",
                                "answers on %s always need the tag: their sender is easily forged",
                                scheme);
}
