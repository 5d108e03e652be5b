/* The syntax: files and folders into libconfuse's tree, and its grammar, which is all that may be
 * written. */
#include <confuse.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config-internal.h"

enum { FILE_SIZE_MAX = 16 * 1024 * 1024 };

/* libconfuse gives its error function no word of ours, so the reader of the running parse is here.
 */
static ConfigReader *parsing;
static const char *parsing_file;

/* libconfuse 3.3 complains about each key of a free section and accepts it; the complaint counts
 * only if the text is refused in the end. */
__attribute__((format(printf, 2, 0))) static void on_confuse_error(
                cfg_t *cfg, const char *format, va_list arguments) {
        static const char no_option[] = "no such option ";
        const char *name = NULL;
        char text[256];

        (void) vsnprintf(text, sizeof(text), format, arguments);
        /* Outside of all sections there is nothing but sections. */
        if (cfg == parsing->root && strncmp(text, no_option, sizeof(no_option) - 1) == 0)
                name = text + sizeof(no_option) - 1;
        (void) snprintf(parsing->complaint,
                        sizeof(parsing->complaint),
                        "%s:%d: %s%s\n",
                        parsing_file,
                        cfg ? cfg->line : 1,
                        name ? "no such section " : "",
                        name ? name : text);
}

#define TEXT(name) CFG_STR((char *) (name), NULL, CFGF_NODEFAULT)
#define LIST(name) CFG_STR_LIST((char *) (name), NULL, CFGF_NODEFAULT)
#define PLUGIN_KEYS                   \
        LIST("exec"), TEXT("socket"), \
                        CFG_SEC((char *) "settings", no_keys, CFGF_KEYSTRVAL | CFGF_NODEFAULT)

cfg_t *config_reader_grammar(void) {
        cfg_t *tree;
        cfg_opt_t no_keys[] = { CFG_END() };
        cfg_opt_t gateway[] = { TEXT("state"),
                TEXT("store"),
                TEXT("public_url"),
                TEXT("root_credential"),
                TEXT("templates"),
                TEXT("log_level"),
                TEXT("audit_keep"),
                TEXT("time_zone"),
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
                TEXT("template"),
                TEXT("suite"),
                TEXT("context"),
                TEXT("legacy"),
                TEXT("mint_ca_file"),
                TEXT("mint_allow_private"),
                TEXT("algorithm"),
                CFG_END() };
        cfg_opt_t channel[] = { PLUGIN_KEYS,
                TEXT("scheme"),
                TEXT("authentic"),
                TEXT("needs_tag"),
                TEXT("operator_class"),
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
                TEXT("driver"),
                TEXT("sender"),
                TEXT("price"),
                LIST("countries"),
                TEXT("per_minute"),
                TEXT("burst"),
                TEXT("segments"),
                TEXT("quiet_hours"),
                TEXT("country_code"),
                TEXT("system_id"),
                TEXT("system_type"),
                TEXT("window"),
                TEXT("tls"),
                TEXT("alphabet"),
                TEXT("one_is_gsm7"),
                TEXT("packed"),
                TEXT("enquire_seconds"),
                TEXT("url"),
                TEXT("username"),
                TEXT("account"),
                TEXT("callback_url"),
                TEXT("callback_repeats"),
                TEXT("modem"),
                TEXT("from"),
                TEXT("name"),
                TEXT("domain"),
                TEXT("mailbox"),
                TEXT("separator"),
                TEXT("submit"),
                TEXT("starttls"),
                LIST("receive"),
                TEXT("authserv_id"),
                TEXT("imap_username"),
                TEXT("poll_seconds"),
                CFG_END() };
        cfg_opt_t policy[] = { TEXT("class"),
                LIST("factors"),
                TEXT("code"),
                TEXT("attempts"),
                TEXT("attempts_total"),
                TEXT("reissues"),
                TEXT("code_lifetime"),
                TEXT("approval_lifetime"),
                TEXT("fact"),
                TEXT("fact_bits"),
                TEXT("interim_floor"),
                TEXT("lifetime"),
                TEXT("mailbox_ttl"),
                TEXT("authentic"),
                LIST("channels"),
                LIST("timeouts"),
                LIST("fall_back_on"),
                TEXT("fallback"),
                TEXT("announce"),
                TEXT("earlier_steps"),
                TEXT("quiet_hours"),
                TEXT("language"),
                LIST("languages"),
                TEXT("link_delivery"),
                TEXT("approval"),
                TEXT("access_rights"),
                CFG_END() };
        cfg_opt_t limits[] = { TEXT("shares_per_recipient_10min"),
                TEXT("shares_per_recipient_hour"),
                TEXT("shares_per_recipient_day"),
                TEXT("shares_per_minute"),
                TEXT("shares_burst"),
                TEXT("shares_per_day"),
                TEXT("wrong_per_recipient"),
                TEXT("wrong_per_source"),
                TEXT("wrong_per_tenant"),
                TEXT("wrong_per_tenant_percent"),
                TEXT("wrong_per_channel"),
                TEXT("wrong_in_all"),
                TEXT("messages_per_recipient_10min"),
                TEXT("messages_per_recipient_hour"),
                TEXT("messages_per_recipient_day"),
                TEXT("messages_per_prefix_hour"),
                TEXT("messages_per_prefix_day"),
                TEXT("messages_per_country"),
                TEXT("messages_per_domain_hour"),
                TEXT("surge_factor"),
                TEXT("surge_from"),
                TEXT("resend_first"),
                TEXT("resend_second"),
                TEXT("answers_per_hour"),
                TEXT("answers_per_day"),
                TEXT("prefix_breaker_sent"),
                TEXT("prefix_breaker_percent"),
                TEXT("country_breaker_sent"),
                TEXT("country_breaker_percent"),
                TEXT("domain_breaker_sent"),
                TEXT("domain_breaker_percent"),
                CFG_END() };
        cfg_opt_t tenant[] = { TEXT("name"),
                LIST("names"),
                LIST("token"),
                LIST("policies"),
                TEXT("relay"),
                TEXT("time_zone"),
                LIST("image_prefixes"),
                LIST("countries"),
                TEXT("spend_per_day"),
                LIST("mint_prefixes"),
                CFG_END() };
        cfg_flag_t titled = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
        cfg_opt_t root[] = { CFG_SEC((char *) "gateway", gateway, CFGF_NODEFAULT),
                CFG_SEC((char *) "front", front, titled),
                CFG_SEC((char *) "relay", relay, titled),
                CFG_SEC((char *) "channel", channel, titled),
                CFG_SEC((char *) "policy", policy, titled),
                CFG_SEC((char *) "limits", limits, CFGF_NODEFAULT),
                CFG_SEC((char *) "tenant", tenant, titled),
                CFG_END() };

        tree = cfg_init(root, CFGF_NONE);
        if (tree)
                (void) cfg_set_error_function(tree, on_confuse_error);
        return tree;
}

int config_reader_text(ConfigReader *reader, const char *text, size_t size, const char *file) {
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

int config_reader_file(ConfigReader *reader, const char *path) {
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
        return config_reader_text(reader, text, size, path);
}

int config_reader_folder(ConfigReader *reader, const char *folder) {
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
                        r = config_reader_file(reader, path);
                free(entries[i]);
        }
        free(entries);
        return r;
}
