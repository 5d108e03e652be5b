#include "relay-options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "faults.h"
#include "listen.h"

enum {
        OPTION_HELP = 'h',
        OPTION_VERSION = 'V',
        OPTION_STATE = 256,
        OPTION_LISTEN,
        OPTION_PUBLIC_URL,
        OPTION_CERTIFICATE,
        OPTION_KEY,
        OPTION_LOG,
        OPTION_PORT_FILE,
        OPTION_IN_MEMORY,
        OPTION_EMPTY_CREATED,
        OPTION_FORBID_WITH_403,
        OPTION_TTL_DEFAULT,
        OPTION_TTL_MAX,
        OPTION_BODY_MAX,
        OPTION_SPACE,
        OPTION_CONNECTIONS,
        OPTION_PER_ADDRESS,
        OPTION_IDLE_TIMEOUT,
        OPTION_RATE,
        OPTION_LEGACY,
        OPTION_WEBHOOK_PREFIX,
        OPTION_WEBHOOK_CA,
        OPTION_WEBHOOK_PRIVATE,
        OPTION_FAULT,
};

#define SPACE_MAX (1ull << 50)

static const struct option long_options[] = {
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "state", required_argument, NULL, OPTION_STATE },
        { "listen", required_argument, NULL, OPTION_LISTEN },
        { "public-url", required_argument, NULL, OPTION_PUBLIC_URL },
        { "certificate", required_argument, NULL, OPTION_CERTIFICATE },
        { "key", required_argument, NULL, OPTION_KEY },
        { "log", required_argument, NULL, OPTION_LOG },
        { "port-file", required_argument, NULL, OPTION_PORT_FILE },
        { "in-memory", no_argument, NULL, OPTION_IN_MEMORY },
        { "empty-created", no_argument, NULL, OPTION_EMPTY_CREATED },
        { "forbid-with-403", no_argument, NULL, OPTION_FORBID_WITH_403 },
        { "ttl-default", required_argument, NULL, OPTION_TTL_DEFAULT },
        { "ttl-max", required_argument, NULL, OPTION_TTL_MAX },
        { "body-max", required_argument, NULL, OPTION_BODY_MAX },
        { "space", required_argument, NULL, OPTION_SPACE },
        { "connections", required_argument, NULL, OPTION_CONNECTIONS },
        { "connections-per-address", required_argument, NULL, OPTION_PER_ADDRESS },
        { "idle-timeout", required_argument, NULL, OPTION_IDLE_TIMEOUT },
        { "rate", required_argument, NULL, OPTION_RATE },
        { "legacy", required_argument, NULL, OPTION_LEGACY },
        { "webhook-prefix", required_argument, NULL, OPTION_WEBHOOK_PREFIX },
        { "webhook-ca", required_argument, NULL, OPTION_WEBHOOK_CA },
        { "webhook-allow-private", no_argument, NULL, OPTION_WEBHOOK_PRIVATE },
        { "fault", required_argument, NULL, OPTION_FAULT },
        { NULL, 0, NULL, 0 },
};

/* clang-format off */
static const char help[] =
        "Usage: vestibule-relay --state DIR --listen HOST:PORT --certificate FILE --key FILE\n"
        "\n"
        "A relay for digital credentials: keeps encrypted mailboxes until they are\n"
        "collected or expire (draft-vinokurov-tigress-http-00, and the messages of\n"
        "draft-rescorla-tigress-http-00). HTTPS only. See vestibule-relay(8).\n"
        "\n"
        "  --state DIR                 folder of the mailboxes; must exist\n"
        "  --in-memory                 keep nothing on disk\n"
        "  --listen HOST:PORT          numeric address; port 0 picks a free one; not needed\n"
        "                              when systemd passes a socket\n"
        "  --port-file FILE            write the port there once it is open\n"
        "  --public-url URL            https://host[:port] as clients see it; where it\n"
        "                              listens at first\n"
        "  --certificate FILE          certificate chain, PEM; a name without a slash is\n"
        "                              looked up in $CREDENTIALS_DIRECTORY\n"
        "  --key FILE                  its private key, PEM; likewise\n"
        "  --log FILE                  append a line per request there instead of stderr\n"
        "  --ttl-default SECONDS       life of a mailbox that asks for none, and of a\n"
        "                              message under /t/ (172800)\n"
        "  --ttl-max SECONDS           longest life (604800)\n"
        "  --body-max BYTES            largest request body (65536)\n"
        "  --space BYTES               to keep in all; 0 = any (1073741824)\n"
        "  --rate N                    requests per second and address; 0 = any (0)\n"
        "  --connections N             at once (4096)\n"
        "  --connections-per-address N at once from one address; 0 = any (128)\n"
        "  --idle-timeout SECONDS      close a connection without a request (60)\n"
        "  --webhook-prefix URL        notify https addresses below this one, which ends\n"
        "                              with a slash; may be repeated; none at first\n"
        "  --webhook-ca FILE           issuers to trust there, PEM, instead of the system's\n"
        "  --webhook-allow-private     also where such a name leads to a private address\n"
        "  --empty-created             answer a repeated CreateMailbox without the link\n"
        "  --forbid-with-403           answer 403 instead of 401 when the mailbox was made\n"
        "                              without the right\n"
        "  --legacy sct04              also take the header names of older drafts\n";
/* clang-format on */

static void print_help(void) {
        (void) fputs(help, stdout);
        if (faults_help())
                (void) printf("  --fault NAME=N              for tests of clients; may be "
                              "repeated:\n%s",
                                faults_help());
        (void) printf("  --help, --version\n");
}

__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...) {
        va_list ap;

        (void) fputs("vestibule-relay: ", stderr);
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputs("\n", stderr);
        return -EINVAL;
}

static int parse_number(
                const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *ret) {
        unsigned long n;
        char *end;

        errno = 0;
        n = strtoul(text, &end, 10);
        if (errno != 0 || text[0] < '0' || text[0] > '9' || *end || n < min || n > max)
                return complain("%s must be a number from %u to %u",
                                name,
                                (unsigned) min,
                                (unsigned) max);
        *ret = (uint32_t) n;
        return 0;
}

static int parse_space(const char *text, uint64_t *ret) {
        unsigned long long n;
        char *end;

        errno = 0;
        n = strtoull(text, &end, 10);
        if (errno != 0 || text[0] < '0' || text[0] > '9' || *end || n > SPACE_MAX)
                return complain("--space must be a number of bytes, up to 2^50");
        *ret = n;
        return 0;
}

static int add_webhook_prefix(WebhookPrefixes *prefixes, const char *text) {
        if (!webhook_prefix_is_valid(text))
                return complain("--webhook-prefix must be https://host[:port]/, perhaps with a "
                                "path, and "
                                "end with a slash");
        if (prefixes->n == N_ELEMENTS(prefixes->texts))
                return complain("--webhook-prefix may be given %d times", WEBHOOK_PREFIXES_MAX);
        prefixes->texts[prefixes->n++] = text;
        return 0;
}

static int parse_option(RelayOptions *o, int option, const char *value) {
        switch (option) {
        case OPTION_STATE:
                o->state = value;
                return 0;
        case OPTION_LISTEN:
                o->listen = value;
                return 0;
        case OPTION_PUBLIC_URL:
                o->public_url = value;
                return 0;
        case OPTION_CERTIFICATE:
                o->certificate = value;
                return 0;
        case OPTION_KEY:
                o->key = value;
                return 0;
        case OPTION_LOG:
                o->log = value;
                return 0;
        case OPTION_PORT_FILE:
                o->port_file = value;
                return 0;
        case OPTION_IN_MEMORY:
                o->in_memory = true;
                return 0;
        case OPTION_SPACE:
                return parse_space(value, &o->space);
        case OPTION_EMPTY_CREATED:
                o->empty_created = true;
                return 0;
        case OPTION_FORBID_WITH_403:
                o->forbid_with_403 = true;
                return 0;
        case OPTION_LEGACY:
                o->legacy_headers = streq(value, "sct04");
                return o->legacy_headers ? 0 : complain("--legacy knows sct04 only");
        case OPTION_WEBHOOK_PREFIX:
                return add_webhook_prefix(&o->webhooks, value);
        case OPTION_WEBHOOK_CA:
                o->webhook_ca = value;
                return 0;
        case OPTION_WEBHOOK_PRIVATE:
                o->webhook_private = true;
                return 0;
        case OPTION_TTL_DEFAULT:
                return parse_number("--ttl-default", value, 1, 366 * 86400, &o->ttl_default);
        case OPTION_TTL_MAX:
                return parse_number("--ttl-max", value, 1, 366 * 86400, &o->ttl_max);
        case OPTION_BODY_MAX:
                return parse_number("--body-max", value, 1024, 16 * 1024 * 1024, &o->body_max);
        case OPTION_CONNECTIONS:
                return parse_number("--connections", value, 1, 60000, &o->connections_max);
        case OPTION_PER_ADDRESS:
                return parse_number("--connections-per-address",
                                value,
                                0,
                                60000,
                                &o->connections_per_address);
        case OPTION_IDLE_TIMEOUT:
                return parse_number("--idle-timeout", value, 1, 3600, &o->idle_timeout);
        case OPTION_RATE:
                return parse_number("--rate", value, 0, 1000000, &o->rate);
        case OPTION_FAULT:
                if (!faults_help())
                        return complain("--fault is not part of this program");
                if (faults_add(value) < 0)
                        return complain("--fault %s is not known", value);
                return 0;
        default:
                return -EINVAL; /* getopt_long() has said why */
        }
}

static bool is_public_url(const char *url) {
        const char *host = url + strlen("https://");

        if (strncmp(url, "https://", strlen("https://")) != 0 || !*host || strlen(url) > 300)
                return false;
        for (const char *p = host; *p; p++)
                if (*p <= ' ' || *p > '~' || strchr("/?#@\"\\<>", *p))
                        return false;
        return true;
}

static int check(const RelayOptions *o) {
        struct stat st;

        if (!o->certificate || !o->key)
                return complain("--certificate and --key are needed: there is no plain HTTP");
        if (!o->state && !o->in_memory)
                return complain("one of --state and --in-memory is needed");
        if (o->state && o->in_memory)
                return complain("give one of --state and --in-memory, not both");
        if (o->state && stat(o->state, &st) < 0 && errno == ENOENT)
                return complain("there is no state folder %s: make it first", o->state);
        if (o->listen && !listen_is_numeric(o->listen))
                return complain("--listen takes a number such as 127.0.0.1:8443 or [::]:443, not a "
                                "name");
        if (o->public_url && !is_public_url(o->public_url))
                return complain("--public-url must be https://host[:port] without a path");
        if (o->ttl_default > o->ttl_max)
                return complain("--ttl-default must not be more than --ttl-max");
        return 0;
}

int relay_options_parse(RelayOptions *ret, int argc, char *argv[]) {
        RelayOptions o = {
                .ttl_default = 48 * 3600,
                .ttl_max = 7 * 86400,
                .body_max = 64 * 1024,
                .space = 1024 * 1024 * 1024,
                .connections_max = 4096,
                .connections_per_address = 128,
                .idle_timeout = 60,
        };
        int option, r;

        while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) >= 0) {
                if (option == OPTION_HELP) {
                        print_help();
                        return 1;
                }
                if (option == OPTION_VERSION) {
                        (void) printf("vestibule-relay %s\n", VESTIBULE_VERSION);
                        return 1;
                }
                r = parse_option(&o, option, optarg);
                if (r < 0)
                        return r;
        }
        if (optind < argc)
                return complain("%s was not expected", argv[optind]);
        r = check(&o);
        if (r < 0)
                return r;
        *ret = o;
        return 0;
}
