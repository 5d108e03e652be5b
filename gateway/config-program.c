/* What vestibule-sms and vestibule-email would refuse of their settings, and what they would take
 * though it can never work: found by `vestibuled --check` and at the start, with a line, and not
 * when a program ends in the night. tests/plugins/settings-agree.py holds both sides to the same
 * verdicts. */
#include <arpa/inet.h>
#include <confuse.h>
#include <ctype.h>
#include <strings.h>

#include "address.h"
#include "config-internal.h"
#include "country.h"
#include "text.h"

enum {
        SENDER_NAME_MAX = 11, /* TS 23.040 section 9.1.2.5 */
        SYSTEM_ID_MAX = 15,   /* SMPP 3.4 section 5.2.1, without the final NUL */
        SYSTEM_TYPE_MAX = 12, /* section 5.2.3 */
        RECEIVE_MAX = 8,
        SOCKET_PATH_MAX = 107,
        HOST_MAX = 255,
        SUBMIT_MAX = 511, /* with a slash and our domain, which libcurl wants there */
        MAIL_NAME_MAX = 256,
        MAILBOX_MAX = 20, /* leaves room for a token */
        IMAP_TEXT_MAX = 500,
};

/* A section and what its program will be given, which is more than the section's own keys. */
typedef struct Program {
        const ConfigPlace *place;
        const json_t *settings;
        const char *driver; /* "": of mail */
} Program;

static const char *setting(const Program *m, const char *key, const char *fallback) {
        const char *text = json_string_value(json_object_get(m->settings, key));

        return text ? text : fallback;
}

static bool is_said(const Program *m, const char *key) {
        return json_object_get(m->settings, key) || config_n_values(m->place, key) > 0;
}

static bool is_written(const ConfigPlace *p, const char *key) {
        return config_n_values(p, key) > 0 && cfg_getnstr(p->cfg, key, 0)[0];
}

static bool need(const Program *m, const char *key, const char *why) {
        if (is_said(m, key))
                return true;
        config_problem(m->place, NULL, "%s is missing%s%s", key, why ? ": " : "", why ? why : "");
        return false;
}

/* --- forms of one value --- */

static bool is_digits(const char *text, size_t min, size_t max) {
        size_t n = strspn(text, "0123456789");

        return !text[n] && n >= min && n <= max;
}

static bool is_name(const char *text) {
        bool has_letter = false;

        for (const char *c = text; *c; c++) {
                if (!isalnum((unsigned char) *c) && !strchr(" -_&.", *c))
                        return false;
                has_letter = has_letter || isalpha((unsigned char) *c);
        }
        return has_letter && strlen(text) <= SENDER_NAME_MAX && text[0] != ' ';
}

/* A number, a short code, or a name that cannot be answered. */
static bool is_sender(const char *text) {
        if (text[0] == '+')
                return text[1] != '0' && is_digits(text + 1, 7, 15);
        return is_digits(text, 3, 8) || is_name(text);
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

/* From 00:00 to 24:00 is from midnight to midnight, which is no time. */
static bool is_hours(const char *text) {
        const char *whole = "00:00-24:00", *none = "24:00-00:00";

        return strlen(text) == 11 && text[5] == '-' && is_minute(text) && is_minute(text + 6) &&
               strncmp(text, text + 6, 5) != 0 && !streq(text, whole) && !streq(text, none);
}

static bool is_country_code(const char *text) {
        return text[0] != '0' && is_digits(text, 1, 3);
}

static bool is_alphabet(const char *text) {
        return streq(text, "gsm7") || streq(text, "latin1") || streq(text, "ascii");
}

static bool is_flag(const char *text) {
        return streq(text, "yes") || streq(text, "no");
}

/* Whether text is a URL that begins with scheme and has a host, maybe one of IPv6. */
static bool is_url(const char *text, const char *scheme) {
        size_t size = strlen(scheme);

        if (strncmp(text, scheme, size) != 0 ||
                        (!isalnum((unsigned char) text[size]) && text[size] != '['))
                return false;
        for (; *text; text++)
                if (*text <= ' ' || *text >= 0x7f || strchr("\"<>\\^`{|}?#@", *text))
                        return false;
        return true;
}

/* Cuts the host of a URL out, and says whether what follows it is nothing, a path, or a port and
 * one of these. */
static bool url_host(const char *url, char ret[HOST_MAX + 1]) {
        const char *start = strstr(url, "://"), *end;
        uint64_t port;
        char digits[8];
        size_t size;

        ret[0] = 0;
        if (!start)
                return false;
        start += 3;
        size = start[0] == '[' ? strcspn(start, "]") + 1 : strcspn(start, ":/");
        if (size > HOST_MAX || size > strlen(start))
                return false;
        memcpy(ret, start, size);
        ret[size] = 0;
        start += size;
        if (*start != ':')
                return !*start || *start == '/';
        end = start + strcspn(start, "/");
        if ((size_t) (end - start) > sizeof(digits))
                return false;
        memcpy(digits, start + 1, (size_t) (end - start - 1));
        digits[end - start - 1] = 0;
        return config_number(digits, UINT16_MAX, &port) == 0 && port > 0;
}

static bool is_http_url(const char *text) {
        char host[HOST_MAX + 1];

        return (is_url(text, "http://") || is_url(text, "https://")) && url_host(text, host);
}

bool config_host_is_near(const char *host) {
        struct in_addr address;

        return streq(host, "localhost") || streq(host, "::1") ||
               (inet_pton(AF_INET, host, &address) == 1 &&
                               ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET);
}

static bool is_listen(const char *text) {
        char host[INET6_ADDRSTRLEN + 2];
        const char *colon = strrchr(text, ':');
        struct in6_addr six;
        struct in_addr four;
        uint64_t port;
        size_t size;

        if (!colon || config_number(colon + 1, UINT16_MAX, &port) < 0 ||
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
        size_t n = strspn(text, "0123456789ABCDEFabcdef");

        return streq(text, "any") || (!text[n] && n >= 14 && n <= 16);
}

/* One segment of a path, since it stands in one. */
static bool is_account(const char *text) {
        return text[0] != '.' && !text[strspn(text,
                                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                 "abcdefghijklmnopqrstuvwxyz0123456789-_.")];
}

bool config_cut_mail_address(const char *text,
                char ret_local[CONFIG_MAIL_LOCAL_MAX + 1],
                char ret_domain[CONFIG_MAIL_DOMAIN_MAX + 1]) {
        char uri[ADDRESS_SIZE_MAX], canonical[ADDRESS_SIZE_MAX];
        const char *reason, *local = canonical + strlen("mailto:"), *at;
        int n = snprintf(uri, sizeof(uri), "mailto:%s", text);

        ret_local[0] = ret_domain[0] = 0;
        if (n <= 0 || (size_t) n >= sizeof(uri) || address_canonical(uri, canonical, &reason) != 0)
                return false;
        at = strchr(local, '@');
        if (!at || at - local > CONFIG_MAIL_LOCAL_MAX || strlen(at + 1) > CONFIG_MAIL_DOMAIN_MAX)
                return false;
        memcpy(ret_local, local, (size_t) (at - local));
        ret_local[at - local] = 0;
        memcpy(ret_domain, at + 1, strlen(at + 1) + 1);
        return true;
}

static bool is_mail_address(const char *text) {
        char local[CONFIG_MAIL_LOCAL_MAX + 1], domain[CONFIG_MAIL_DOMAIN_MAX + 1];

        return config_cut_mail_address(text, local, domain);
}

static bool is_domain(const char *text) {
        char address[CONFIG_MAIL_DOMAIN_MAX + 3];
        int n = snprintf(address, sizeof(address), "x@%s", text);

        return !strchr(text, '@') && (size_t) n < sizeof(address) && is_mail_address(address);
}

static bool is_display_name(const char *text) {
        return text_is_one_line(text) && strlen(text) <= MAIL_NAME_MAX;
}

static bool is_separator(const char *text) {
        return text[0] && !text[1] && strchr("+-=_", text[0]);
}

/* Without a path, for which libcurl has a use of its own. */
static bool is_submit_url(const char *text) {
        char host[HOST_MAX + 1];
        const char *path;

        if ((!is_url(text, "smtp://") && !is_url(text, "smtps://")) || !url_host(text, host))
                return false;
        path = strchr(strstr(text, "://") + 3, '/');
        return !path || !path[1];
}

bool config_submit_is_near(const char *url) {
        char host[HOST_MAX + 1];

        return url_host(url, host) && (streq(host, "[::1]") || config_host_is_near(host));
}

static bool is_starttls(const char *text) {
        return streq(text, "required") || streq(text, "if-offered") || streq(text, "no");
}

/* A folder's name with %XX for what a URL cannot hold. */
static bool is_imap_folder(const char *path) {
        char folder[IMAP_TEXT_MAX + 1];
        size_t n = 0;

        while (*path) {
                unsigned byte = (unsigned char) *path;

                if (*path == '%' && isxdigit((unsigned char) path[1]) &&
                                isxdigit((unsigned char) path[2])) {
                        const char two[] = { path[1], path[2], 0 };

                        byte = (unsigned) strtoul(two, NULL, 16);
                        path += 2;
                }
                path++;
                if (byte < ' ' || n == IMAP_TEXT_MAX)
                        return false;
                folder[n++] = (char) byte;
        }
        return text_is_utf8(folder, n);
}

static bool is_imap_url(const char *text) {
        char host[HOST_MAX + 1];
        const char *path;

        if (!is_url(text, "imaps://") || !url_host(text, host))
                return false;
        path = strchr(strstr(text, "://") + 3, '/');
        return !path || is_imap_folder(path + 1);
}

static bool is_route(const char *text) {
        if (strncmp(text, "lmtp:/", 6) == 0)
                return strlen(text + 5) <= SOCKET_PATH_MAX;
        return strncmp(text, "maildir:/", 9) == 0 || is_imap_url(text);
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
                        "sender must be a number with its plus, or a short code of 3 to 8 digits, "
                        "which bring answers here" },
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
        { "sms", "tls", is_flag, "tls must be yes or no" },
        { "sms", "one_is_gsm7", is_flag, "one_is_gsm7 must be yes or no" },
        { "sms", "packed", is_flag, "packed must be yes or no" },
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
        { "sms", "callback_repeats", is_flag, "callback_repeats must be yes or no" },
        { "sms", "account", is_account, "account must be letters, digits, - _ and dots" },
        { "sms", "modem", is_modem, "modem must be any, or an IMEI" },
        { "mailto", "from", is_mail_address, "from must be one address, such as keys@example.org" },
        { "mailto", "domain", is_domain, "domain must be a domain, such as example.org" },
        { "mailto", "name", is_display_name, "name must be one plain line of at most 256 bytes" },
        { "mailto", "separator", is_separator, "separator must be one of + - = _" },
        { "mailto",
                        "submit",
                        is_submit_url,
                        "submit must be smtp://HOST[:PORT] or smtps://HOST[:PORT], without a user, "
                        "a path or a query" },
        { "mailto", "starttls", is_starttls, "starttls must be required, if-offered or no" },
        { "mailto",
                        "receive",
                        is_route,
                        "receive must hold places such as lmtp:/PATH, maildir:/PATH or "
                        "imaps://HOST/FOLDER" },
};

static void check_form(const Program *m, const Form *form) {
        const json_t *value = json_object_get(m->settings, form->key), *entry;
        const char *text = json_string_value(value);
        bool fits = !text || !text[0] || form->fits(text);
        size_t i;

        json_array_foreach(value, i, entry) fits = fits && form->fits(json_string_value(entry));
        if (!fits)
                config_problem(m->place, form->key, "%s", form->words);
}

static void check_forms(const Program *m, const char *scheme) {
        for (size_t i = 0; i < N_ELEMENTS(forms); i++)
                if (streq(forms[i].scheme, scheme))
                        check_form(m, &forms[i]);
}

static void check_length(const Program *m, const char *key, size_t max, const char *whose) {
        if (strlen(setting(m, key, "")) > max)
                config_problem(m->place,
                                key,
                                "%s is longer than %zu characters, which is what %s allows",
                                key,
                                max,
                                whose);
}

/* --- SMS --- */

static void check_countries(const Program *m) {
        const json_t *entry;
        size_t i;

        json_array_foreach(json_object_get(m->settings, "countries"), i, entry) {
                const char *code = json_string_value(entry), *meant = country_meant(code);

                if (!is_country(code) || country_is_known(code))
                        continue;
                if (meant)
                        config_problem(m->place,
                                        "countries",
                                        "there is no country %s in ISO 3166; %s is meant",
                                        code,
                                        meant);
                else
                        config_problem(m->place,
                                        "countries",
                                        "there is no country %s with telephones in ISO 3166",
                                        code);
        }
}

/* A modem shows the number of its own card, whatever is written. */
static void check_answerable(const Program *m) {
        const char *sender = setting(m, "sender", "");

        if (!streq(m->driver, "modem") && is_name(sender))
                config_problem(m->place,
                                "sender",
                                "nobody can answer a name, and answering with the code is how a "
                                "key is released: sender must be a number or a short code that "
                                "brings answers here");
}

static void check_smpp(const Program *m) {
        const char *host = setting(m, "host", "");

        (void) need(m, "host", NULL);
        check_length(m, "system_id", SYSTEM_ID_MAX, "SMPP");
        check_length(m, "system_type", SYSTEM_TYPE_MAX, "SMPP");
        if (host[0] && !config_host_is_near(host) && !is_said(m, "tls"))
                config_problem(m->place,
                                "host",
                                "host is another machine and tls is not said: tls = yes, or tls = "
                                "no where a tunnel protects the password and the texts");
}

bool config_url_is_plain_to_others(const char *url) {
        char host[HOST_MAX + 1];

        return strncmp(url, "http://", 7) == 0 && url_host(url, host) &&
               strcasecmp(host, "localhost") != 0 && !streq(host, "127.0.0.1") &&
               !streq(host, "[::1]");
}

/* Where the carrier calls us. */
static void check_callbacks(const Program *m) {
        const char *listen = setting(m, "listen", "");
        size_t size = strlen(listen);

        if (listen[0] && !is_listen(listen))
                config_problem(m->place,
                                "listen",
                                "listen must be an address and a port, such as 127.0.0.1:13200");
        else if (size > 2 && streq(listen + size - 2, ":0") && !is_said(m, "callback_url"))
                config_problem(m->place,
                                "listen",
                                "nobody can call port 0: answers would not come in");
}

static void check_kannel(const Program *m) {
        (void) need(m, "url", "that of Kannel's sendsms, http://127.0.0.1:13013/cgi-bin/sendsms");
        (void) need(m, "username", "that of Kannel's group sendsms-user");
        check_callbacks(m);
}

static void check_rest(const Program *m) {
        const char *url = setting(m, "url", "");

        (void) need(m, "url", "where the service takes messages");
        (void) need(m, "account", "the service's name for you");
        (void) need(m,
                        "callback_url",
                        "where the service reaches us, which its signatures are over");
        check_callbacks(m);
        if (is_http_url(url) && config_url_is_plain_to_others(url))
                config_problem(m->place,
                                "url",
                                "url must start with https://, unless the service is on this "
                                "machine: the token and all texts go there");
}

static void check_sms(const Program *m) {
        static const struct {
                const char *driver;
                void (*check)(const Program *m);
        } drivers[] = {
                { "smpp", check_smpp }, { "kannel", check_kannel }, { "rest", check_rest }
        };

        (void) need(m, "countries", "the countries that messages may go to, such as { DE, AT }");
        if (!streq(m->driver, "modem"))
                (void) need(m, "sender", "the number that answers come to");
        check_countries(m);
        check_answerable(m);
        for (size_t i = 0; i < N_ELEMENTS(drivers); i++)
                if (streq(drivers[i].driver, m->driver))
                        drivers[i].check(m);
}

/* --- mail --- */

static bool is_mailbox(const char *text) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789._-";
        size_t size = strlen(text);

        return size == 0 ||
               (size <= MAILBOX_MAX && strspn(text, allowed) == size && !strchr(".-", text[0]) &&
                               text[size - 1] != '.' && !strstr(text, ".."));
}

/* Answers come to MAILBOX+TOKEN@DOMAIN. */
static void check_our_addresses(const Program *m) {
        char local[CONFIG_MAIL_LOCAL_MAX + 1], domain[CONFIG_MAIL_DOMAIN_MAX + 1];
        const char *from = setting(m, "from", ""), *mailbox = setting(m, "mailbox", NULL);

        if (!from[0] || !config_cut_mail_address(from, local, domain))
                return;
        if (!text_is_ascii(local, strlen(local)))
                config_problem(m->place, "from", "what stands before the @ of from must be ASCII");
        else if (!mailbox && !is_mailbox(local))
                config_problem(m->place,
                                "from",
                                "answers would come to %s, and a mailbox is at most %d letters, "
                                "digits, \".\", \"_\" and \"-\", which leaves room for a token: "
                                "mailbox must name a shorter one",
                                local,
                                MAILBOX_MAX);
        if (mailbox && !is_mailbox(mailbox))
                config_problem(m->place,
                                "mailbox",
                                "mailbox must be at most %d letters, digits, \".\", \"_\" and "
                                "\"-\", or empty where the whole domain is for answers",
                                MAILBOX_MAX);
        if (strlen(setting(m, "submit", "")) + strlen(domain) >= SUBMIT_MAX)
                config_problem(m->place, "submit", "submit is too long");
}

static void check_submit(const Program *m) {
        const char *url = setting(m, "submit", "smtp://127.0.0.1:25"),
                   *starttls = setting(m, "starttls", "required");

        if (!is_submit_url(url) || config_submit_is_near(url) || strncmp(url, "smtps://", 8) == 0)
                return;
        if (is_said(m, "username") && is_starttls(starttls) && !streq(starttls, "required"))
                config_problem(m->place,
                                "starttls",
                                "with starttls = %s the password could go over the network in "
                                "clear: it must be required where there is a username",
                                starttls);
}

static void check_imap(const Program *m) {
        const json_t *list = json_object_get(m->settings, "receive"), *entry;
        const char *single = json_string_value(list);
        bool by_imap = single && strncmp(single, "imaps:", 6) == 0;
        size_t i;

        json_array_foreach(list, i, entry) by_imap =
                        by_imap || strncmp(json_string_value(entry), "imaps:", 6) == 0;
        if (!by_imap)
                return;
        (void) need(m, "imap_username", "receive names a mailbox that is read by IMAP");
        check_length(m, "imap_username", IMAP_TEXT_MAX, "this program");
}

static void check_mail(const Program *m) {
        (void) need(m, "from", "the address that people see");
        (void) need(m,
                        "receive",
                        "without a place such as lmtp:/run/vestibule-email/lmtp.sock, "
                        "maildir:/PATH or "
                        "imaps://HOST/FOLDER answers would not come in");
        if (config_n_values(m->place, "receive") > RECEIVE_MAX)
                config_problem(m->place,
                                "receive",
                                "receive holds more than %d places",
                                RECEIVE_MAX);
        check_our_addresses(m);
        check_submit(m);
        check_imap(m);
        if (is_written(m->place, "authentic") &&
                        streq(cfg_getnstr(m->place->cfg, "authentic", 0), "strong") &&
                        !is_said(m, "authserv_id"))
                config_problem(m->place,
                                "authentic",
                                "without authserv_id no answer is ever strong: it names the server "
                                "whose word on DMARC counts");
}

/* --- a section --- */

void config_check_program(const ConfigPlace *p, const char *scheme, const ConfigPlugin *plugin) {
        Program m = { .place = p, .settings = plugin->settings, .driver = "" };

        if (is_written(p, streq(scheme, "sms") ? "driver" : "from"))
                check_forms(&m, scheme);
        if (streq(scheme, "sms") && is_written(p, "driver")) {
                m.driver = cfg_getnstr(p->cfg, "driver", 0);
                check_sms(&m);
        } else if (streq(scheme, "sms") && (is_written(p, "sender") || is_written(p, "countries")))
                (void) need(&m, "driver", "smpp, kannel, modem or rest");
        if (streq(scheme, "mailto") && (is_written(p, "from") || is_written(p, "submit") ||
                                                       is_written(p, "receive")))
                check_mail(&m);
}
