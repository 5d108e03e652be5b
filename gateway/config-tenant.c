/* Tenants: who may share what, and under which names strangers get to know them. */
#include <errno.h>
#include <stdlib.h>

#include "config-internal.h"
#include "plain-url.h"
#include "sender-name.h"
#include "share-limits.h"

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
                char why[SENDER_NAME_PROBLEM_SIZE];

                if (sender_name_check(tenant->names[i], why) != 0)
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

/* "+49", "+1876": what an E.164 number may begin with. */
static void read_countries(const ConfigPlace *p, ConfigTenant *tenant) {
        tenant->countries = config_read_list(p, "countries", &tenant->n_countries);
        for (size_t i = 0; tenant->countries && i < tenant->n_countries; i++) {
                const char *code = tenant->countries[i];
                size_t n = strspn(code + (code[0] == '+'), "0123456789");

                if (code[0] != '+' || code[1] == '0' || n < 1 || n > 7 || code[1 + n])
                        config_problem(p,
                                        "countries",
                                        "\"%s\" is not what a number begins with, such as +49",
                                        code);
        }
}

/* A cap that nobody can compare with anything would stop nothing. */
static void read_spend(const ConfigPlace *p, ConfigTenant *tenant) {
        tenant->spend_per_day = config_read_money(p, "spend_per_day");
        if (tenant->spend_per_day == 0)
                return;
        for (size_t i = 0; i < tenant->n_policies; i++)
                for (size_t k = 0; k < tenant->policies[i]->n_channels; k++) {
                        const ConfigChannel *channel = tenant->policies[i]->channels[k];

                        if (!streq(channel->scheme, "sms") || channel->price > 0)
                                continue;
                        config_problem(p,
                                        "spend_per_day",
                                        "spend_per_day caps nothing while channel %s, which "
                                        "policy %s uses, has no price",
                                        channel->name,
                                        tenant->policies[i]->name);
                        return;
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
        read_countries(p, tenant);
        read_spend(p, tenant);
}

typedef struct NameInUse {
        char skeleton[SENDER_NAME_SKELETON_SIZE];
        const ConfigTenant *tenant;
        const char *name;
} NameInUse;

static int name_order(const void *a, const void *b) {
        const NameInUse *one = a, *other = b;
        int r = strcmp(one->skeleton, other->skeleton);

        if (r == 0)
                r = strcmp(one->tenant->id, other->tenant->id);
        return r ? r : strcmp(one->name, other->name);
}

/* One that is alike has been told in another reading already. */
static bool was_told(const NameInUse *a, const NameInUse *b, SenderNameReading reading) {
        for (SenderNameReading r = 0; r < reading; r++) {
                char one[SENDER_NAME_SKELETON_SIZE], other[SENDER_NAME_SKELETON_SIZE];

                sender_name_skeleton(a->name, r, one);
                sender_name_skeleton(b->name, r, other);
                if (streq(one, other))
                        return true;
        }
        return false;
}

int config_check_tenant_names(ConfigReader *reader) {
        const Config *config = reader->config;
        _cleanup_(freep) NameInUse *names = NULL;
        size_t n = 0, room = 0;

        for (size_t i = 0; i < config->n_tenants; i++)
                room += config->tenants[i].n_names;
        names = calloc(room + 1, sizeof(*names));
        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_tenants; i++)
                for (size_t k = 0; k < config->tenants[i].n_names; k++) {
                        const char *name = config->tenants[i].names[k];
                        char why[SENDER_NAME_PROBLEM_SIZE];

                        if (sender_name_check(name, why) == 0) /* the others were told */
                                names[n++] = (NameInUse){ .tenant = &config->tenants[i],
                                        .name = name };
                }

        for (SenderNameReading reading = 0; reading < SENDER_NAME_READING_MAX; reading++) {
                for (size_t i = 0; i < n; i++)
                        sender_name_skeleton(names[i].name, reading, names[i].skeleton);
                qsort(names, n, sizeof(*names), name_order);
                for (size_t i = 1; i < n; i++) {
                        const NameInUse *a = &names[i - 1], *b = &names[i];
                        ConfigPlace p = { reader, "tenant", b->tenant->id, NULL };

                        /* The very same name is one house with two tenants, which the operator
                         * can see; one that only looks the same is what nobody sees. */
                        if (a->tenant == b->tenant || streq(a->name, b->name) ||
                                        !streq(a->skeleton, b->skeleton) || was_told(a, b, reading))
                                continue;
                        config_problem(&p,
                                        streq(b->name, b->tenant->names[0]) ? "name" : "names",
                                        "the name \"%s\" may be taken for \"%s\" of tenant %s",
                                        b->name,
                                        a->name,
                                        a->tenant->id);
                }
        }
        return 0;
}
