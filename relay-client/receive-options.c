#include "receive-options.h"

#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "receive-words.h"
#include "secret.h"
#include "share-url.h"

static const char help[] =
                "vestibule-receive accept [OPTIONS] URL|-\n\n"
                "Opens a link as a wallet would: reads the mailbox, decrypts, prints the\n"
                "provisioning information to standard output, and deletes the mailbox. With a\n"
                "handler, goes on for as many messages as the handler answers. The word accept\n"
                "may be left out. See vestibule-receive(1).\n\n"
                "Prefer - and give the link on standard input: the arguments of a program are\n"
                "visible to every user of the machine, and the link carries the Secret.\n\n"
                "  --allow HOST[:PORT]  a relay that may be asked; needed, may be repeated\n"
                "  --ca-file FILE       trusted issuers, instead of those of the system\n"
                "  --state FILE         keep there what a second run needs to go on where the\n"
                "                       first one broke off; gone when the transfer has ended\n"
                "                       (--claim-file is the same)\n"
                "  --handler COMMAND    give each message to this command's standard input, and\n"
                "                       send what it answers; no answer: that was the last one\n"
                "  --handler-timeout SECONDS\n"
                "                       end the handler after so long (600)\n"
                "  --wait SECONDS       wait so long for each message (with a handler: until\n"
                "                       the mailbox expires; without: 0)\n"
                "  --report COMMAND     when another device was first, give this command the\n"
                "                       words that tell the sender; needs --state\n"
                "  --relinquish         give up this device's hold on the mailbox, so that\n"
                "                       another one can open the link; needs --state\n"
                "  --preview            print what anybody with the link may see, and open "
                "nothing\n"
                "  --keep               do not delete the mailbox\n"
                "  --json               print one object: provisioning beside title, description,\n"
                "                       vertical, expiration and whether the mailbox was deleted\n"
                "  --context hash|raw   how links of Draft R derive their keys (hash)\n"
                "  --legacy sct04       call headers what relays of that older draft call them\n"
                "  --quiet              say nothing on standard error when all is well\n"
                "  --help, --version\n\n"
                "Exit status: 0 received, 1 trouble of this machine, 2 usage or a bad link,\n"
                "3 another device has it, 4 gone (withdrawn, collected or expired), 5 cannot be\n"
                "decrypted, 6 the relay cannot be reached, 7 the relay is not allowed, 8 the "
                "relay\n"
                "refused, 9 received, but the mailbox could not be deleted, 10 no message came in\n"
                "time, 11 the handler gave no answer.\n";

typedef enum Option {
        OPTION_ALLOW = 1000,
        OPTION_CA_FILE,
        OPTION_STATE,
        OPTION_HANDLER,
        OPTION_HANDLER_TIMEOUT,
        OPTION_WAIT,
        OPTION_REPORT,
        OPTION_RELINQUISH,
        OPTION_PREVIEW,
        OPTION_KEEP,
        OPTION_JSON,
        OPTION_CONTEXT,
        OPTION_LEGACY,
        OPTION_QUIET,
        OPTION_VERSION,
        OPTION_HELP = 'h',
} Option;

static const struct option table[] = {
        { "allow", required_argument, NULL, OPTION_ALLOW },
        { "ca-file", required_argument, NULL, OPTION_CA_FILE },
        { "state", required_argument, NULL, OPTION_STATE },
        { "claim-file", required_argument, NULL, OPTION_STATE },
        { "handler", required_argument, NULL, OPTION_HANDLER },
        { "handler-timeout", required_argument, NULL, OPTION_HANDLER_TIMEOUT },
        { "wait", required_argument, NULL, OPTION_WAIT },
        { "report", required_argument, NULL, OPTION_REPORT },
        { "relinquish", no_argument, NULL, OPTION_RELINQUISH },
        { "preview", no_argument, NULL, OPTION_PREVIEW },
        { "keep", no_argument, NULL, OPTION_KEEP },
        { "json", no_argument, NULL, OPTION_JSON },
        { "context", required_argument, NULL, OPTION_CONTEXT },
        { "legacy", required_argument, NULL, OPTION_LEGACY },
        { "quiet", no_argument, NULL, OPTION_QUIET },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
};

static int read_stdin(char **ret) {
        char line[SHARE_URL_MAX + 2];
        size_t length;

        if (!fgets(line, sizeof(line), stdin))
                return receive_say(RECEIVE_USAGE, "There is no link on standard input.");
        length = strcspn(line, "\r\n");
        line[length] = 0;
        *ret = strdup(line);
        sodium_memzero(line, sizeof(line));
        return *ret ? 0 : receive_say_errno(-ENOMEM, "The link");
}

/* What stands in argv can be read in /proc for as long as the process lives. */
static int take_argument(char *argument, char **ret) {
        *ret = strdup(argument);
        if (!*ret)
                return receive_say_errno(-ENOMEM, "The link");
        sodium_memzero(argument, strlen(argument));
        return 0;
}

static int read_seconds(const char *name, int64_t min, int64_t *ret) {
        char *end;
        long long value;

        errno = 0;
        value = strtoll(optarg, &end, 10);
        if (errno != 0 || end == optarg || *end || value < min || value > RECEIVE_WAIT_MAX)
                return receive_say(RECEIVE_USAGE,
                                "%s takes a number of seconds from %lld to %d.",
                                name,
                                (long long) min,
                                RECEIVE_WAIT_MAX);
        *ret = value;
        return 0;
}

static int read_context(DraftRContextMode *ret) {
        if (streq(optarg, "hash"))
                *ret = DRAFT_R_CONTEXT_HASH;
        else if (streq(optarg, "raw"))
                *ret = DRAFT_R_CONTEXT_RAW;
        else
                return receive_say(RECEIVE_USAGE, "--context is hash or raw.");
        return 0;
}

static int add_host(ReceiveOptions *options) {
        for (size_t i = 0; i < RECEIVE_HOSTS_MAX; i++)
                if (!options->hosts[i]) {
                        options->hosts[i] = optarg;
                        return 0;
                }
        return receive_say(
                        RECEIVE_USAGE, "--allow can be given %d times at most.", RECEIVE_HOSTS_MAX);
}

static int read_option(int option, ReceiveOptions *options) {
        int64_t seconds = 0;
        int r;

        switch (option) {
        case OPTION_ALLOW:
                return add_host(options);
        case OPTION_CA_FILE:
                options->ca_file = optarg;
                return 0;
        case OPTION_STATE:
                options->state_file = optarg;
                return 0;
        case OPTION_HANDLER:
                options->handler = optarg;
                return 0;
        case OPTION_HANDLER_TIMEOUT:
                r = read_seconds("--handler-timeout", 1, &seconds);
                if (r == 0)
                        options->handler_timeout = (unsigned) seconds;
                return r;
        case OPTION_WAIT:
                return read_seconds("--wait", 0, &options->wait);
        case OPTION_REPORT:
                options->report = optarg;
                return 0;
        case OPTION_RELINQUISH:
                options->relinquish = true;
                return 0;
        case OPTION_PREVIEW:
                options->preview = true;
                return 0;
        case OPTION_KEEP:
                options->keep = true;
                return 0;
        case OPTION_JSON:
                options->json = true;
                return 0;
        case OPTION_CONTEXT:
                return read_context(&options->mode);
        case OPTION_LEGACY:
                return draft_v_dialect_from_legacy(optarg, &options->dialect)
                                       ? 0
                                       : receive_say(RECEIVE_USAGE, "--legacy is sct04.");
        case OPTION_QUIET:
                options->quiet = true;
                return 0;
        case OPTION_HELP:
                (void) fputs(help, stdout);
                return RECEIVE_SHOWN;
        case OPTION_VERSION:
                (void) printf("vestibule-receive %s\n", VESTIBULE_VERSION);
                return RECEIVE_SHOWN;
        default:
                return RECEIVE_USAGE;
        }
}

/* Options that together make no sense are mistakes, and silence about them would be another. */
static int check_options(const ReceiveOptions *options) {
        if (!options->hosts[0])
                return receive_say(RECEIVE_USAGE,
                                "Say which relays may be asked, with --allow HOST: a link from a "
                                "stranger must not choose.");
        if (options->json && options->handler)
                return receive_say(RECEIVE_USAGE,
                                "--json prints the message, and --handler takes it: give one of "
                                "them.");
        if (options->report && !options->state_file)
                return receive_say(RECEIVE_USAGE,
                                "--report needs --state: without it a second run of this device "
                                "looks like another device.");
        if (options->relinquish && !options->state_file)
                return receive_say(RECEIVE_USAGE,
                                "--relinquish needs the --state FILE of the run that opened the "
                                "link: only that device can give it up.");
        if (options->relinquish && (options->handler || options->json || options->keep))
                return receive_say(RECEIVE_USAGE,
                                "--relinquish reads nothing: --handler, --json and --keep do not "
                                "go with it.");
        if (options->preview && (options->relinquish || options->state_file || options->handler ||
                                                options->json || options->keep))
                return receive_say(RECEIVE_USAGE,
                                "--preview opens nothing: --relinquish, --state, --handler, --json "
                                "and --keep do not go with it.");
        if (options->ca_file && access(options->ca_file, R_OK) < 0)
                return receive_say(RECEIVE_USAGE,
                                "The file %s of --ca-file cannot be read: %s.",
                                options->ca_file,
                                strerror(errno));
        return 0;
}

int receive_options_read(int argc, char **argv, ReceiveOptions *ret) {
        int c, r;

        *ret = (ReceiveOptions){ .handler_timeout = RECEIVE_HANDLER_TIMEOUT, .wait = -1 };
        while ((c = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
                r = read_option(c, ret);
                if (r != 0)
                        return r;
        }
        if (optind < argc && streq(argv[optind], "accept"))
                optind++;
        if (argc - optind != 1)
                return receive_say(RECEIVE_USAGE,
                                "Give one link, or - to read it from standard input; see --help.");
        r = check_options(ret);
        if (r != 0)
                return r;
        if (ret->wait < 0)
                ret->wait = ret->handler ? RECEIVE_WAIT_MAX : 0;
        return streq(argv[optind], "-") ? read_stdin(&ret->link)
                                        : take_argument(argv[optind], &ret->link);
}

void receive_options_done(ReceiveOptions *options) {
        secret_free_string(options->link);
        options->link = NULL;
}
