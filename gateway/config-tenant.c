/* Tenants: who may share what, and under which names strangers get to know them. */
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "config-internal.h"
#include "plain-url.h"
#include "share-limits.h"

enum { DIGIT_RUN_MAX = 4 };

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

static void read_tenant_names(const ConfigPlace *p, ConfigTenant *tenant) {
        const char *name = config_read_required(p, "name"), **more;
        size_t n;

        more = config_read_list(p, "names", &n);
        tenant->names = config_reader_take(p->reader, n + 2, sizeof(char *));
        if (!more || !tenant->names || !name)
                return;
        tenant->names[tenant->n_names++] = name;
        for (size_t i = 0; i < n; i++)
                if (!streq(more[i], name))
                        tenant->names[tenant->n_names++] = more[i];
        for (size_t i = 0; i < tenant->n_names; i++) {
                const char *why = name_problem(tenant->names[i]);

                if (why)
                        config_problem(p,
                                        i == 0 ? "name" : "names",
                                        "the name \"%s\" %s",
                                        tenant->names[i],
                                        why);
        }
}

static void read_tenant_tokens(const ConfigPlace *p, ConfigTenant *tenant) {
        size_t n;
        const char **entries = config_read_list(p, "token", &n);

        if (n == 0)
                config_problem(p, NULL, "token is missing; `vestibulectl token` makes one");
        if (n > CONFIG_TOKENS_PER_TENANT)
                config_problem(p, "token", "at most two tokens are live at a time");
        for (size_t i = 0; entries && i < n && i < CONFIG_TOKENS_PER_TENANT; i++) {
                if (token_entry_is_valid(entries[i]))
                        tenant->tokens[tenant->n_tokens++] = entries[i];
                else if (strncmp(entries[i], "vb_", 3) == 0)
                        config_problem(p,
                                        "token",
                                        "this is a token itself, which belongs to the tenant "
                                        "alone; write the entry "
                                        "that `vestibulectl token` prints beside it, and make a "
                                        "new token");
                else
                        config_problem(p,
                                        "token",
                                        "not an entry as `vestibulectl token` prints it; run "
                                        "`vestibulectl token --tenant %s` and paste its line here",
                                        p->title);
        }
}

static void read_tenant_policies(const ConfigPlace *p, ConfigTenant *tenant) {
        size_t n;
        const char **names = config_read_list(p, "policies", &n);

        tenant->policies = config_reader_take(p->reader, n + 1, sizeof(*tenant->policies));
        if (!names || !tenant->policies)
                return;
        if (n == 0)
                config_problem(p, NULL, "policies is missing: it could share nothing");
        for (size_t i = 0; i < n; i++) {
                const ConfigPolicy *policy = config_policy(p->reader->config, names[i]);

                if (policy)
                        tenant->policies[tenant->n_policies++] = policy;
                else
                        config_problem(p, "policies", "there is no policy %s", names[i]);
        }
}

static void read_image_prefixes(const ConfigPlace *p, ConfigTenant *tenant) {
        tenant->image_prefixes = config_read_list(p, "image_prefixes", &tenant->n_image_prefixes);
        for (size_t i = 0; tenant->image_prefixes && i < tenant->n_image_prefixes; i++) {
                const char *prefix = tenant->image_prefixes[i];

                /* Without the slash, https://hotel.example would match
                 * https://hotel.example.evil.com. */
                if (!config_is_url(prefix, "https://") || !strchr(prefix + 8, '/') ||
                                strpbrk(prefix, "?#@"))
                        config_problem(p,
                                        "image_prefixes",
                                        "\"%s\" must start with https:// and a host that ends with "
                                        "a slash",
                                        prefix);
        }
}

/* Unlike pictures, which recipients fetch, these are asked by our own relay client. */
static void read_mint_prefixes(const ConfigPlace *p, ConfigTenant *tenant) {
        tenant->mint_prefixes = config_read_list(p, "mint_prefixes", &tenant->n_mint_prefixes);
        for (size_t i = 0; tenant->mint_prefixes && i < tenant->n_mint_prefixes; i++) {
                const char *prefix = tenant->mint_prefixes[i];

                if (!plain_url_is_prefix(prefix, SHARE_LIMIT_MINT) || !plain_url_has_name(prefix))
                        config_problem(p,
                                        "mint_prefixes",
                                        "mint_prefixes: \"%s\" must be https://, a host by its "
                                        "name "
                                        "and a path that ends with a slash, without \"..\" or what "
                                        "stands for it",
                                        prefix);
        }
}

void config_read_tenant(const ConfigPlace *p, ConfigTenant *tenant) {
        const char *relay = config_read_required(p, "relay");

        *tenant = (ConfigTenant){ .id = config_take_string(p->reader->config, p->title) };
        if (!tenant->id)
                p->reader->error = -ENOMEM;
        read_tenant_names(p, tenant);
        read_tenant_tokens(p, tenant);
        read_tenant_policies(p, tenant);
        tenant->time_zone = config_read_time_zone(p);
        if (relay) {
                tenant->relay = config_relay(p->reader->config, relay);
                if (!tenant->relay)
                        config_problem(p, "relay", "there is no relay %s", relay);
        }
        read_image_prefixes(p, tenant);
        read_mint_prefixes(p, tenant);
}
