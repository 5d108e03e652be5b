/* Channel sections: which addresses they serve and what their senders are worth, and the form of
 * what their programs want to know, so that a slip is found by `vestibuled --check` and not when a
 * program starts. */
#include <arpa/inet.h>
#include <confuse.h>
#include <ctype.h>
#include <errno.h>

#include "address.h"
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
        LIMIT_SECONDS = 3600,
        LIMIT_SEGMENTS = 255, /* TS 23.040 section 9.2.3.24.1: a count is one octet */
        SENDER_NAME_MAX = 11, /* TS 23.040 section 9.1.2.5 */
        RECEIVE_MAX = 8,
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
        { "sms", DRIVER_SMPP, { "enquire_seconds", .max = LIMIT_SECONDS } },
        { "sms", DRIVER_KANNEL | DRIVER_REST, { "url" } },
        { "sms", DRIVER_KANNEL, { "username" } },
        { "sms", DRIVER_REST, { "account" } },
        { "sms", DRIVER_KANNEL | DRIVER_REST, { "listen" } },
        { "sms", DRIVER_KANNEL | DRIVER_REST, { "callback_url" } },
        { "sms", DRIVER_SMPP | DRIVER_KANNEL | DRIVER_REST, { "window", .max = LIMIT_WINDOW } },
        { "sms", DRIVER_SMPP | DRIVER_REST, { "ca_file" } },
        { "sms", DRIVER_MODEM, { "modem" } },
        { "mailto", DRIVER_ALL, { "from" } },
        { "mailto", DRIVER_ALL, { "name" } },
        { "mailto", DRIVER_ALL, { "domain" } },
        { "mailto", DRIVER_ALL, { "mailbox" } },
        { "mailto", DRIVER_ALL, { "separator" } },
        { "mailto", DRIVER_ALL, { "submit" } },
        { "mailto", DRIVER_ALL, { "starttls" } },
        { "mailto", DRIVER_ALL, { "username" } },
        { "mailto", DRIVER_ALL, { "receive", .list = true } },
        { "mailto", DRIVER_ALL, { "authserv_id" } },
        { "mailto", DRIVER_ALL, { "imap_username" } },
        { "mailto", DRIVER_ALL, { "poll_seconds", .max = LIMIT_SECONDS } },
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

/* --- forms --------------------------------------------------------------------------------------
 */

static bool is_digits(const char *text, size_t min, size_t max) {
        size_t n = strspn(text, "0123456789");

        return !text[n] && n >= min && n <= max;
}

/* A number, a short code, or a name that cannot be answered. */
static bool is_sender(const char *text) {
        bool has_letter = false;

        if (text[0] == '+')
                return text[1] != '0' && is_digits(text + 1, 7, 15);
        if (is_digits(text, 3, 8))
                return true;
        for (const char *c = text; *c; c++) {
                if (!isalnum((unsigned char) *c) && !strchr(" -_&.", *c))
                        return false;
                has_letter = has_letter || isalpha((unsigned char) *c);
        }
        return has_letter && strlen(text) <= SENDER_NAME_MAX && text[0] != ' ';
}

static bool is_country(const char *text) {
        return isupper((unsigned char) text[0]) && isupper((unsigned char) text[1]) && !text[2];
}

static bool is_minute(const char *text) {
        unsigned hour, minute;

        if (!isdigit((unsigned char) text[0]) || !isdigit((unsigned char) text[1]) ||
                        text[2] != ':' || !isdigit((unsigned char) text[3]) ||
                        !isdigit((unsigned char) text[4]))
                return false;
        hour = (unsigned) ((text[0] - '0') * 10 + (text[1] - '0'));
        minute = (unsigned) ((text[3] - '0') * 10 + (text[4] - '0'));
        return hour * 60 + minute <= 24 * 60 && minute < 60;
}

static bool is_hours(const char *text) {
        return !text[0] || (strlen(text) == 11 && text[5] == '-' && is_minute(text) &&
                                           is_minute(text + 6) && strncmp(text, text + 6, 5) != 0);
}

static bool is_country_code(const char *text) {
        return text[0] != '0' && is_digits(text, 1, 3);
}

static bool is_alphabet(const char *text) {
        return streq(text, "gsm7") || streq(text, "latin1") || streq(text, "ascii");
}

static bool is_http_url(const char *text) {
        return (config_is_url(text, "http://") || config_is_url(text, "https://")) &&
               !strpbrk(text, "?#@");
}

static bool is_listen(const char *text) {
        char host[INET6_ADDRSTRLEN + 2];
        const char *colon = strrchr(text, ':');
        struct in6_addr six;
        struct in_addr four;
        uint64_t port;
        size_t size;

        if (!colon || config_number(colon + 1, LIMIT_PORT, &port) < 0 ||
                        (size_t) (colon - text) >= sizeof(host))
                return false;
        size = (size_t) (colon - text);
        memcpy(host, text, size);
        host[size] = 0;
        if (inet_pton(AF_INET, host, &four) == 1)
                return true;
        if (size < 2 || host[0] != '[' || host[size - 1] != ']')
                return false;
        host[size - 1] = 0;
        return inet_pton(AF_INET6, host + 1, &six) == 1;
}

static bool is_modem(const char *text) {
        return streq(text, "any") || is_digits(text, 14, 16);
}

static bool is_mail_address(const char *text) {
        char uri[ADDRESS_SIZE_MAX], canonical[ADDRESS_SIZE_MAX];
        const char *reason;
        int n = snprintf(uri, sizeof(uri), "mailto:%s", text);

        return n > 0 && (size_t) n < sizeof(uri) && address_canonical(uri, canonical, &reason) == 0;
}

static bool is_one_line(const char *text) {
        for (; *text; text++)
                if ((unsigned char) *text < ' ' || *text == 0x7f)
                        return false;
        return true;
}

static bool is_separator(const char *text) {
        return text[0] && !text[1] && strchr("+-=_", text[0]);
}

static bool is_submit_url(const char *text) {
        return (config_is_url(text, "smtp://") || config_is_url(text, "smtps://")) &&
               !strpbrk(text, "?#@");
}

static bool is_starttls(const char *text) {
        return streq(text, "required") || streq(text, "if-offered") || streq(text, "no");
}

static bool is_route(const char *text) {
        return strncmp(text, "lmtp:/", 6) == 0 || strncmp(text, "maildir:/", 9) == 0 ||
               (config_is_url(text, "imaps://") && !strpbrk(text, "?#@"));
}

typedef struct Form {
        const char *scheme, *key;
        bool (*fits)(const char *text);
        const char *words;
} Form;

static const Form forms[] = {
        { "sms",
                        "sender",
                        is_sender,
                        "sender must be a number with its plus, a short code of 3 to 8 digits, or "
                        "a name of up to 11 letters and digits" },
        { "sms",
                        "countries",
                        is_country,
                        "countries must hold codes of two capital letters, such as DE" },
        { "sms",
                        "quiet_hours",
                        is_hours,
                        "quiet_hours must be two times, such as \"21:00-08:00\", or empty" },
        { "sms",
                        "country_code",
                        is_country_code,
                        "country_code must be the digits that a number of the country begins with, "
                        "such as 49" },
        { "sms", "alphabet", is_alphabet, "alphabet must be gsm7, latin1 or ascii" },
        { "sms",
                        "url",
                        is_http_url,
                        "url must start with http:// or https:// and have no user, query or "
                        "fragment" },
        { "sms",
                        "callback_url",
                        is_http_url,
                        "callback_url must start with http:// or https:// and have no user, query "
                        "or fragment" },
        { "sms", "modem", is_modem, "modem must be any, or an IMEI" },
        { "mailto", "from", is_mail_address, "from must be one address, such as keys@example.org" },
        { "mailto", "name", is_one_line, "name must be one line" },
        { "mailto", "separator", is_separator, "separator must be one of + - = _" },
        { "mailto",
                        "submit",
                        is_submit_url,
                        "submit must start with smtp:// or smtps:// and have no user, query or "
                        "fragment" },
        { "mailto", "starttls", is_starttls, "starttls must be required, if-offered or no" },
        { "mailto",
                        "receive",
                        is_route,
                        "receive must hold places such as lmtp:/PATH, maildir:/PATH or "
                        "imaps://HOST/FOLDER" },
};

static void check_form(const ConfigPlace *p, const Form *form) {
        for (unsigned i = 0; i < config_n_values(p, form->key); i++) {
                const char *text = cfg_getnstr(p->cfg, form->key, i);

                if (text[0] && !form->fits(text)) {
                        config_problem(p, form->key, "%s", form->words);
                        return;
                }
        }
}

static void need(const ConfigPlace *p, const char *key) {
        if (config_n_values(p, key) == 0)
                config_problem(p, NULL, "%s is missing", key);
}

/* A section without any key of the channel's own may be of another program for these addresses. */
static void check_sms(const ConfigPlace *p, const char *driver, int bits) {
        if (!driver) {
                if (is_written(p, "sender") || is_written(p, "countries"))
                        need(p, "driver");
                return;
        }
        need(p, "countries");
        if (bits & (DRIVER_SMPP | DRIVER_KANNEL | DRIVER_REST))
                need(p, "sender");
        if (bits == DRIVER_SMPP)
                need(p, "host");
        if (bits == DRIVER_KANNEL || bits == DRIVER_REST)
                need(p, "url");
        if ((bits == DRIVER_KANNEL || bits == DRIVER_REST) && is_written(p, "listen") &&
                        !is_listen(cfg_getnstr(p->cfg, "listen", 0)))
                config_problem(p,
                                "listen",
                                "listen must be an address and a port, such as 127.0.0.1:13200");
}

static void check_mail(const ConfigPlace *p) {
        if (is_written(p, "submit") || is_written(p, "receive"))
                need(p, "from");
        if (config_n_values(p, "receive") > RECEIVE_MAX)
                config_problem(p, "receive", "receive holds more than %d places", RECEIVE_MAX);
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

static void read_program(const ConfigPlace *p, const char *scheme, ConfigPlugin *plugin) {
        const char *driver = streq(scheme, "sms") && is_written(p, "driver")
                                             ? cfg_getnstr(p->cfg, "driver", 0)
                                             : NULL;
        ConfigSetting settings[N_ELEMENTS(channel_keys)];
        int bits = read_driver(p, driver);
        size_t n = 0;

        for (size_t i = 0; i < N_ELEMENTS(channel_keys); i++)
                if (streq(channel_keys[i].scheme, scheme) && channel_keys[i].drivers & bits)
                        settings[n++] = channel_keys[i].setting;
        config_read_plugin(p, CONFIG_ROLE_CHANNEL, settings, n, plugin);
        refuse_foreign_keys(p, scheme, driver, bits);
        for (size_t i = 0; i < N_ELEMENTS(forms); i++)
                if (streq(forms[i].scheme, scheme))
                        check_form(p, &forms[i]);
        if (streq(scheme, "sms"))
                check_sms(p, driver, bits);
        if (streq(scheme, "mailto"))
                check_mail(p);
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
        channel->needs_tag = config_read_flag(p, "needs_tag", needs_tag);
        if (needs_tag && !channel->needs_tag)
                config_problem(p,
                                "needs_tag",
                                "answers on %s always need the tag: their sender is easily forged",
                                scheme);
}
