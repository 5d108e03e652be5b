/* The report of `vestibuled --check`, which is written for the person who has to answer for these
 * numbers, and what a configuration wants of this machine that is not there. */
#include <errno.h>
#include <unistd.h>

#include "config-internal.h"
#include "credential.h"
#include "policy-text.h"

/* --- channels --- */

static const char *setting(const ConfigPlugin *plugin, const char *name, const char *fallback) {
        const char *value = json_string_value(json_object_get(plugin->settings, name));

        return value ? value : fallback;
}

static void print_list(const ConfigPlugin *plugin, const char *name, FILE *file) {
        const json_t *list = json_object_get(plugin->settings, name), *entry;
        size_t i;

        if (json_is_string(list))
                (void) fprintf(file, " %s", json_string_value(list));
        json_array_foreach(list, i, entry)(void)
                        fprintf(file, "%s %s", i > 0 ? "," : "", json_string_value(entry));
}

static void print_carrier(const ConfigPlugin *plugin, const char *driver, FILE *file) {
        const char *host = setting(plugin, "host", ""), *url = setting(plugin, "url", "");
        bool tls = streq(setting(plugin, "tls", "no"), "yes");

        if (streq(driver, "smpp")) {
                (void) fprintf(file,
                                "smpp, %s port %s, %s TLS\n",
                                host,
                                setting(plugin, "port", "2775"),
                                tls ? "with" : "without");
                if (!tls && !config_host_is_near(host))
                        (void) fputs("             the password and all texts can be read on the "
                                     "way, unless a tunnel hides them\n",
                                        file);
        } else if (streq(driver, "modem"))
                (void) fprintf(file, "modem, %s\n", setting(plugin, "modem", "any"));
        else
                (void) fprintf(file, "%s, %s\n", driver, url);
        if (streq(driver, "kannel") && config_url_is_plain_to_others(url))
                (void) fputs("             the password and all texts can be read on the way to "
                             "it\n",
                                file);
}

static void print_sms(const ConfigChannel *channel, FILE *file) {
        const ConfigPlugin *plugin = channel->plugin;
        const char *driver = setting(plugin, "driver", NULL),
                   *hours = setting(plugin, "quiet_hours", "21:00-08:00"),
                   *sender = setting(plugin, "sender", "");

        if (!driver || channel->segments == 0)
                return;
        (void) fputs("  carrier    ", file);
        print_carrier(plugin, driver, file);
        (void) fprintf(file,
                        "  messages   from %s, to numbers of",
                        sender[0] ? sender : "the modem's number");
        print_list(plugin, "countries", file);
        (void) fprintf(file,
                        ", of at most %u parts\n  quiet      %s\n",
                        channel->segments,
                        hours[0] ? hours : "never: invitations may come at night");
        (void) fputs("  answers    weak: a sender's number is easily forged, so each needs the "
                     "tag\n",
                        file);
}

static void print_mail_answers(const ConfigChannel *channel, FILE *file) {
        const char *server = setting(channel->plugin, "authserv_id", NULL);

        if (channel->authentic == RULES_AUTHENTIC_STRONG)
                (void) fprintf(file,
                                "  answers    strong where %s says that DMARC passed, else weak\n",
                                server ? server : "the server");
        else if (channel->authentic == RULES_AUTHENTIC_NONE)
                (void) fputs("  answers    none: authentic = none is written here\n", file);
        else if (server)
                (void) fprintf(file,
                                "  answers    weak, though %s may say that DMARC passed: authentic "
                                "= "
                                "strong is not written here\n",
                                server);
        else
                (void) fputs("  answers    weak: without authserv_id nobody vouches for a sender\n",
                                file);
}

static void print_mail(const ConfigChannel *channel, FILE *file) {
        const ConfigPlugin *plugin = channel->plugin;
        const char *from = setting(plugin, "from", NULL),
                   *url = setting(plugin, "submit", "smtp://127.0.0.1:25"),
                   *user = setting(plugin, "username", NULL),
                   *mailbox = setting(plugin, "mailbox", NULL), *starttls;
        char local[CONFIG_MAIL_LOCAL_MAX + 1], domain[CONFIG_MAIL_DOMAIN_MAX + 1];
        bool is_near = config_submit_is_near(url);

        if (!from || !config_cut_mail_address(from, local, domain))
                return;
        starttls = setting(plugin, "starttls", is_near ? "if-offered" : "required");
        (void) fprintf(file, "  submits    from %s@%s to %s", local, domain, url);
        if (strncmp(url, "smtps://", 8) != 0)
                (void) fprintf(file, ", starttls %s", starttls);
        (void) fprintf(file, "%s%s\n", user ? ", as " : "", user ? user : "");
        if (strncmp(url, "smtps://", 8) != 0 && !is_near && !streq(starttls, "required"))
                (void) fputs("             mails and the links in them may be read on the way\n",
                                file);
        (void) fputs("  receives  ", file);
        print_list(plugin, "receive", file);
        (void) fputs(", for ", file);
        (void) fprintf(file,
                        "%s%sTOKEN@%s\n",
                        mailbox ? mailbox : local,
                        mailbox && !mailbox[0] ? "" : setting(plugin, "separator", "+"),
                        setting(plugin, "domain", domain));
        print_mail_answers(channel, file);
}

static void print_channel(const ConfigChannel *channel, FILE *file) {
        (void) fprintf(file, "channel %s: %s: addresses", channel->name, channel->scheme);
        if (channel->plugin->exec)
                (void) fprintf(file, ", by %s", channel->plugin->exec[0]);
        (void) fputc('\n', file);
        if (streq(channel->scheme, "sms"))
                print_sms(channel, file);
        if (streq(channel->scheme, "mailto"))
                print_mail(channel, file);
}

/* --- credentials --- */

/* "present", "missing", or nothing when we have no directory. folder may be NULL. */
static void print_presence(FILE *file, const char *folder, const char *name) {
        const char *directory = credential_directory();
        char path[4096];

        if (!directory)
                return;
        (void) snprintf(path,
                        sizeof(path),
                        "%s%s%s/%s",
                        directory,
                        folder ? "/" : "",
                        folder ? folder : "",
                        name);
        (void) fprintf(file, ": %s", access(path, F_OK) == 0 ? "present" : "missing");
}

/* Whether systemd would find it nowhere; false also where we may not look. */
static bool is_in_no_store(const char *search) {
        static const char *const stores[] = { "/etc", "/run", "/usr/lib" }, *const ends[] = { "",
                ".encrypted" };

        for (size_t i = 0; i < N_ELEMENTS(stores); i++)
                for (size_t k = 0; k < N_ELEMENTS(ends); k++) {
                        char path[256];

                        (void) snprintf(path,
                                        sizeof(path),
                                        "%s/credstore%s/%s",
                                        stores[i],
                                        ends[k],
                                        search);
                        if (access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
                                return false;
                }
        return true;
}

/* One credential of a plugin. The search name is what the unit's LoadCredential= looks for. */
static void print_credential(FILE *file,
                const ConfigPlugin *plugin,
                const char *unit,
                const char *name,
                const char *search) {
        if (plugin->exec) {
                (void) fprintf(file,
                                "  %s %s (exec)  %s, in $CREDENTIALS_DIRECTORY/%s",
                                config_role_name(plugin->role),
                                plugin->name,
                                name,
                                plugin->socket_name);
                print_presence(file, plugin->socket_name, name);
                (void) fputc('\n', file);
        } else {
                (void) fprintf(file,
                                "  %s@%s.service  %s, searched as %s%s\n",
                                unit,
                                plugin->name,
                                name,
                                search,
                                is_in_no_store(search) ? " (missing)" : "");
        }
}

/* Which secrets the programs of a scheme want, by a setting and how its value begins. */
static const struct {
        const char *scheme, *key, *begins, *unit, *name, *search;
} channel_credentials[] = {
        { "xmpp", "mode", "client", "vestibule-xmpp", "xmpp-password", "password" },
        { "xmpp", "mode", "component", "vestibule-xmpp", "xmpp-secret", "secret" },
        { "sms", "driver", "smpp", "vestibule-sms", "smpp-password", "smpp-password" },
        { "sms", "driver", "kannel", "vestibule-sms", "kannel-password", "kannel-password" },
        { "sms", "driver", "kannel", "vestibule-sms", "callback-path", "callback-path" },
        { "sms", "driver", "rest", "vestibule-sms", "rest-token", "rest-token" },
        { "mailto", "from", "", "vestibule-email", "mail-key", "mail-key" },
        { "mailto", "username", "", "vestibule-email", "submit-password", "submit-password" },
        { "mailto", "imap_username", "", "vestibule-email", "imap-password", "imap-password" },
};

static bool wants_credential(const ConfigChannel *channel, size_t i) {
        const char *start = channel_credentials[i].begins,
                   *value = setting(channel->plugin, channel_credentials[i].key, NULL);

        if (!streq(channel->scheme, "xmpp") && !channel->ours)
                return false;
        return streq(channel_credentials[i].scheme, channel->scheme) &&
               (value ? strncmp(value, start, strlen(start)) == 0 : streq(start, "component"));
}

static void print_channel_credentials(const ConfigChannel *channel, FILE *file) {
        const ConfigPlugin *plugin = channel->plugin;
        char search[160];

        for (size_t i = 0; i < N_ELEMENTS(channel_credentials); i++) {
                if (!wants_credential(channel, i))
                        continue;
                (void) snprintf(search,
                                sizeof(search),
                                "vestibule.%s.%s",
                                plugin->name,
                                channel_credentials[i].search);
                print_credential(file,
                                plugin,
                                channel_credentials[i].unit,
                                channel_credentials[i].name,
                                search);
        }
}

static void print_plugin_credentials(const Config *config, FILE *file) {
        char search[160];

        for (size_t i = 0; i < config->n_fronts; i++) {
                const ConfigPlugin *plugin = config->fronts[i].plugin;

                if (!config->fronts[i].operators) {
                        print_credential(file,
                                        plugin,
                                        "vestibule-api",
                                        "relay-key.pub",
                                        "vestibule.relay-key.pub");
                        (void) snprintf(search,
                                        sizeof(search),
                                        "vestibule.front-%s.key",
                                        plugin->name);
                        print_credential(file, plugin, "vestibule-api", "front-key", search);
                }
                if (!streq(setting(plugin, "tls", ""), "yes"))
                        continue;
                (void) snprintf(search,
                                sizeof(search),
                                "vestibule.api-certificate.%s",
                                plugin->name);
                print_credential(file, plugin, "vestibule-api", "api-certificate", search);
                (void) snprintf(search, sizeof(search), "vestibule.api-key.%s", plugin->name);
                print_credential(file, plugin, "vestibule-api", "api-key", search);
        }
        for (size_t i = 0; i < config->n_relays; i++) {
                const ConfigPlugin *plugin = config->relays[i].plugin;

                (void) snprintf(search, sizeof(search), "vestibule.%s.key", plugin->socket_name);
                print_credential(file, plugin, "vestibule-relay-client", "relay-key", search);
                print_credential(file,
                                plugin,
                                "vestibule-relay-client",
                                "front-key.pub",
                                "vestibule.front-key.pub");
        }
        for (size_t i = 0; i < config->n_channels; i++)
                print_channel_credentials(&config->channels[i], file);
}

void config_check_report(const Config *config, FILE *file) {
        for (size_t i = 0; i < config->n_policies; i++)
                policy_text_print(&config->policies[i], file);
        for (size_t i = 0; i < config->n_channels; i++)
                print_channel(&config->channels[i], file);
        for (size_t i = 0; i < config->n_tenants; i++) {
                const ConfigTenant *tenant = &config->tenants[i];

                (void) fprintf(file,
                                "tenant %s: shows \"%s\"; relay %s; policies",
                                tenant->id,
                                tenant->names[0],
                                tenant->relay->plugin->name);
                for (size_t k = 0; k < tenant->n_policies; k++)
                        (void) fprintf(file, " %s", tenant->policies[k]->name);
                (void) fprintf(file,
                                "; %zu of %d tokens\n",
                                tenant->n_tokens,
                                CONFIG_TOKENS_PER_TENANT);
        }
        config_report_limits(&config->limits, file);
        (void) fputs("credentials (systemd searches /etc/credstore, /run/credstore and "
                     "/usr/lib/credstore, or the path\n"
                     "in a drop-in's LoadCredential= or LoadCredentialEncrypted=)\n",
                        file);
        (void) fprintf(file,
                        "  vestibuled.service  %s, searched as vestibule.root.key",
                        config->root_credential);
        print_presence(file, NULL, config->root_credential);
        (void) fputc('\n', file);
        print_plugin_credentials(config, file);
        (void) fputs("  (front-key and front-key.pub are needed where a policy has access_rights = "
                     "RWD)\n",
                        file);
        if (config->n_tenants == 0)
                (void) fputs("note: there is no tenant, so nobody can start a share\n", file);
        if (config->n_fronts == 0)
                (void) fputs("note: there is no front, so nobody can reach the gateway\n", file);
}

/* --- this machine --- */

/* Whether a file has something of PEM, which certificates are in; true also where we may not read.
 */
static bool holds_pem(const char *path) {
        _cleanup_(freep) char *line = NULL;
        size_t size = 0;
        FILE *file = fopen(path, "re");
        bool found = !file;

        while (!found && getline(&line, &size, file) >= 0)
                found = strncmp(line, "-----BEGIN ", 11) == 0;
        if (file)
                (void) fclose(file);
        return found;
}

static void check_file(const ConfigChannel *channel, FILE *problems) {
        const ConfigPlugin *plugin = channel->plugin;
        const char *path = setting(plugin, "ca_file", NULL), *what = NULL;

        if (!path || (streq(setting(plugin, "driver", ""), "smpp") &&
                                     !streq(setting(plugin, "tls", "no"), "yes")))
                return;
        if (access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
                what = "there is no file";
        else if (!holds_pem(path))
                what = "there is no certificate in PEM in";
        if (what)
                (void) fprintf(problems,
                                "%s: channel %s: ca_file: %s %s\n",
                                plugin->place,
                                channel->name,
                                what,
                                path);
}

static void check_root_key(const Config *config, FILE *problems) {
        const char *directory = credential_directory(), *name = config->root_credential;
        char path[4096];

        if (!directory)
                return;
        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        if (access(path, F_OK) < 0)
                (void) fprintf(problems,
                                "gateway: the credential %s is missing: "
                                "$CREDENTIALS_DIRECTORY/%s\n",
                                name,
                                name);
}

static void check_credentials(const ConfigChannel *channel, FILE *problems) {
        const char *directory = credential_directory();
        const ConfigPlugin *plugin = channel->plugin;
        char path[4096];

        for (size_t i = 0; directory && plugin->exec && i < N_ELEMENTS(channel_credentials); i++) {
                const char *name = channel_credentials[i].name;

                if (!wants_credential(channel, i))
                        continue;
                (void) snprintf(path,
                                sizeof(path),
                                "%s/%s/%s",
                                directory,
                                plugin->socket_name,
                                name);
                if (access(path, F_OK) < 0)
                        (void) fprintf(problems,
                                        "%s: channel %s: the credential %s is missing: "
                                        "$CREDENTIALS_DIRECTORY/%s/%s\n",
                                        plugin->place,
                                        channel->name,
                                        name,
                                        plugin->socket_name,
                                        name);
        }
}

int config_check_machine(const Config *config, char **ret_problems) {
        _cleanup_(freep) char *problems = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&problems, &size);

        if (!file)
                return -ENOMEM;
        check_root_key(config, file);
        for (size_t i = 0; i < config->n_channels; i++) {
                const ConfigChannel *channel = &config->channels[i];

                if (channel->ours)
                        check_file(channel, file);
                check_credentials(channel, file);
        }
        if (fclose(file) != 0)
                return -ENOMEM;
        if (size == 0)
                return 0;
        *ret_problems = TAKE_PTR(problems);
        return CONFIG_E_INVALID;
}
