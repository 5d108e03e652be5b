/* vestibulectl: the command line tool of tenants and operators. */
#include <curl/curl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <sysexits.h>

#include "ctl.h"
#include "json-wipe.h"
#include "secret.h"

enum {
        OPTION_HELP = 256,
        OPTION_VERSION,
        OPTION_JSON,
        OPTION_URL,
        OPTION_TOKEN_FILE,
        OPTION_TENANT, /* from here on, options of single commands */
        OPTION_STATE,
        OPTION_LIMIT,
        OPTION_AFTER,
        OPTION_SHARE,
        OPTION_SIGNER,
        OPTION_FOLLOW,
        OPTION_CHANNEL,
        OPTION_FOLDER,
        OPTION_KEY,
        OPTION_HEAD,
        OPTION_WITH_SEED,
        OPTION_REFERENCE,
        OPTION_POLICY,
        OPTION_TO,
        OPTION_NAME,
        OPTION_LOCALE,
        OPTION_TIME_ZONE,
        OPTION_TITLE,
        OPTION_DESCRIPTION,
        OPTION_IMAGE_URL,
        OPTION_FORMAT,
        OPTION_CONTENT_FILE,
        OPTION_EXPIRES_IN,
        OPTION_SENDER,
        OPTION_PROVISIONING_FILE,
        OPTION_CLAIM,
        OPTION_FACT_FILE,
};

#define ONLY(option) (1u << ((option) -OPTION_TENANT))
#define CREATE_OPTIONS (~0u << (OPTION_REFERENCE - OPTION_TENANT))

#define SEAL_OPTIONS                                                                        \
        (ONLY(OPTION_POLICY) | ONLY(OPTION_TO) | ONLY(OPTION_TENANT) | ONLY(OPTION_SHARE) | \
                        ONLY(OPTION_SIGNER))

#define TEMPLATE_OPTIONS \
        (ONLY(OPTION_LOCALE) | ONLY(OPTION_CHANNEL) | ONLY(OPTION_TIME_ZONE) | ONLY(OPTION_FOLDER))

typedef struct Command {
        const char *words; /* one or two */
        int n_arguments;
        bool may_name_a_file; /* after them */
        unsigned options;
        bool operators;
        int (*run)(const CtlOptions *options, char **arguments);
} Command;

/* clang-format off */
static const Command commands[] = {
        { "share create",   0, false, CREATE_OPTIONS,       false, ctl_share_create },
        { "share show",     1, false, 0,                    false, ctl_share_show },
        { "share list",     0, false, ONLY(OPTION_STATE) | ONLY(OPTION_LIMIT) | ONLY(OPTION_REFERENCE), false, ctl_share_list },
        { "share watch",    1, false, 0,                    false, ctl_share_watch },
        { "share cancel",   1, false, 0,                    false, ctl_share_cancel },
        { "share resend",   1, false, 0,                    false, ctl_share_resend },
        { "share reissue",  1, false, 0,                    false, ctl_share_reissue },
        { "share approve",  1, false, 0,                    false, ctl_share_approve },
        { "share deny",     1, false, 0,                    false, ctl_share_deny },
        { "share expiry",   1, false, ONLY(OPTION_EXPIRES_IN), false, ctl_share_expiry },
        { "message send",   1, true,  0,                    false, ctl_message_send },
        { "message list",   1, false, ONLY(OPTION_AFTER) | ONLY(OPTION_LIMIT), false, ctl_message_list },
        { "events",         0, false, ONLY(OPTION_AFTER) | ONLY(OPTION_FOLLOW), false, ctl_events },
        { "seal",           0, true,  SEAL_OPTIONS,         false, ctl_seal },
        { "channels",       0, false, 0,                    false, ctl_channels },
        { "policies",       0, false, 0,                    false, ctl_policies },
        { "policy show",    0, true,  0,                    false, ctl_policy_show },
        { "doctor",         0, false, 0,                    false, ctl_doctor },
        { "token",          0, false, ONLY(OPTION_TENANT),  false, ctl_token },
        { "letters list",   0, false, 0,                    true,  ctl_letters_list },
        { "letters replay", 1, false, 0,                    true,  ctl_letters_replay },
        { "letters drop",   1, false, 0,                    true,  ctl_letters_drop },
        { "blocks list",    0, false, ONLY(OPTION_LIMIT),   true,  ctl_blocks_list },
        { "blocks lift",    0, true,  ONLY(OPTION_TENANT),  true,  ctl_blocks_lift },
        { "limits show",    0, true,  ONLY(OPTION_TENANT),  true,  ctl_limits_show },
        { "limits clear",   0, true,  ONLY(OPTION_TENANT),  true,  ctl_limits_clear },
        { "template lint",  0, true,  0,                    false, ctl_template_lint },
        { "template preview", 0, true, TEMPLATE_OPTIONS,    false, ctl_template_preview },
        { "audit export",   0, false, ONLY(OPTION_AFTER),   true,  ctl_audit_export },
        { "audit verify",   0, true,  ONLY(OPTION_KEY) | ONLY(OPTION_HEAD) | ONLY(OPTION_WITH_SEED), true, ctl_audit_verify },
        { "audit key",      0, false, 0,                    true,  ctl_audit_key },
        { "audit seed",     0, false, 0,                    true,  ctl_audit_seed },
        { "clock accept",   0, false, 0,                    true,  ctl_clock_accept },
};
/* clang-format on */

/* clang-format off */
static const char help_text[] =
        "vestibulectl [OPTION...] COMMAND\n"
        "\n"
        "Shares credentials through the Vestibule gateway, and looks after it.\n"
        "\n"
        "For tenants:\n"
        "  share create      start a share; needs --policy --to --title and --format\n"
        "                    --content-file or --provisioning-file, may have --sender --name\n"
        "                    --locale --time-zone --description --image-url --reference\n"
        "                    --expires-in --claim --fact-file\n"
        "  share list        list shares [--state] [--reference] [--limit]\n"
        "  share show ID     show a share\n"
        "  share watch ID    show what happens until the share ends\n"
        "  share cancel ID   withdraw a share\n"
        "  share resend ID   send the invitation, or the same link, once more\n"
        "  share reissue ID  replace its code\n"
        "  share approve ID  type the number that the recipient reads out\n"
        "                    [standard input]\n"
        "  share deny ID     say no to a share that is awaiting approval\n"
        "  share expiry ID   let it end sooner; needs --expires-in\n"
        "  message send ID [FILE]  send the next message of a share in which both sides\n"
        "                    write: JSON as for --provisioning-file [standard input]\n"
        "  message list ID   show its messages [--after] [--limit]\n"
        "  events            show what happened to the shares in the last three days\n"
        "                    [--after], or what happens [--follow]\n"
        "  seal [FILE]       seal {\"format\", \"content\"} [standard input], so that only the\n"
        "                    relay client can open it, and print it as --provisioning-file\n"
        "                    takes it; needs --policy --to, or --share; may have --tenant\n"
        "                    --signer\n"
        "  channels          show the channels and whether each is up\n"
        "  policies          show the policies that a share may name\n"
        "  policy show [NAME]  say in plain words what one of them, or each, asks for, how\n"
        "                    likely a guess is, and whom it stops and whom not\n"
        "\n"
        "For operators:\n"
        "  doctor            look for what is wrong, and say what to do\n"
        "  token             make a tenant's token and its configuration line [--tenant]\n"
        "  letters list      list messages that were given up\n"
        "  letters replay ID try one again\n"
        "  letters drop ID   remove one\n"
        "  blocks list       list who wants nothing more from whom, masked [--limit]\n"
        "  blocks lift [ID]  lift one; or, of the address on standard input, those of\n"
        "                    --tenant, or all\n"
        "  limits show       list the limits that are reached, and until when; with - show\n"
        "                    what is counted of the address on standard input [--tenant]\n"
        "  limits clear ID   empty one; with - those of the address on standard input, of\n"
        "                    --tenant, or all\n"
        "  template lint [FOLDER]  check the texts that recipients get: those of\n"
        "                    /etc/vestibule/templates, or FOLDER, and the installed ones\n"
        "  template preview [MESSAGE]  show it, or all, as it arrives [--locale] [--channel]\n"
        "                    [--time-zone] [--folder]\n"
        "  audit export      print the audit log as JSON lines [--after]\n"
        "  audit verify [FILE]  tell whether it, or an export, is as it was written\n"
        "                    [--key] [--head] [--with-seed]\n"
        "  audit key         print the key that checkpoints are signed with\n"
        "  audit seed        print the present epoch's key, to be kept elsewhere\n"
        "  clock accept      go on although the store is ahead of the clock\n"
        "\n"
        "Options of share create:\n"
        "  --policy NAME     one of those that `vestibulectl policies` shows\n"
        "  --to ADDRESS      xmpp:bob@example.org, sms:+4915112345678 or\n"
        "                    mailto:bob@example.org; up to five, in order of preference\n"
        "  --title TEXT      what is shared, as the recipient's wallet shows it\n"
        "  --description T   more about it, likewise\n"
        "  --image-url URL   a picture of it; begins with one of your image_prefixes\n"
        "  --format NAME     what kind of content it is, as the recipient's wallet knows it:\n"
        "                    digitalwallet.generic.authorizationToken, for example\n"
        "  --content-file F  JSON with what is shared; - is standard input\n"
        "  --provisioning-file F  JSON with one of {\"format\", \"content\"}, {\"sealed\"},\n"
        "                    {\"encrypted\"} and {\"mint\"}; - is standard input\n"
        "  --claim UUID      the initiator's claim at the relay; up to three [random]\n"
        "  --fact-file FILE  what the recipient is asked for, such as a booking number, in\n"
        "                    its first line; only a verifier of it is sent\n"
        "  --sender NAME     who shares: one of your registered names [the first]\n"
        "  --name NAME       the recipient's name\n"
        "  --locale TAG      the recipient's language, such as de or en-GB\n"
        "  --time-zone ZONE  the recipient's, such as Europe/Berlin\n"
        "  --reference TEXT  yours, to find the share again, such as booking-4711\n"
        "  --expires-in TIME how long it may be confirmed: 90s, 15m, 2h, 1d\n"
        "                    [the policy's lifetime]\n"
        "\n"
        "Options of share list:\n"
        "  --state STATE     only shares in this state, such as invited or completed\n"
        "  --reference TEXT  only shares with exactly this reference\n"
        "  --limit N         at most so many, up to 100 [all]\n"
        "\n"
        "Options of message list:\n"
        "  --after N         only messages with a higher number\n"
        "  --limit N         at most so many, up to 100 [all]\n"
        "\n"
        "Options of events:\n"
        "  --after ID        only what happened after it [0; with --follow from now on]\n"
        "  --follow          go on, until interrupted\n"
        "\n"
        "Options of seal (--policy and --to as of share create, in the same order):\n"
        "  --share ID        seal a further message of this share\n"
        "  --tenant NAME     which tenant this is [what the API says of the token]\n"
        "  --signer KEY      base64, from the operator; refuse keys that another has signed\n"
        "\n"
        "Option of token:\n"
        "  --tenant NAME     the tenant's section in vestibule.conf\n"
        "\n"
        "Options of template preview:\n"
        "  --locale TAG      in this language [en]\n"
        "  --channel NAME    as it arrives on xmpp, email or sms [all]\n"
        "  --time-zone ZONE  with moments of this zone in place of durations\n"
        "  --folder FOLDER   with the texts of this one [/etc/vestibule/templates]\n"
        "\n"
        "Options of all commands:\n"
        "  --url URL         http://HOST:PORT, https://HOST or unix:/PATH\n"
        "                    [" CTL_URL "; operators' commands\n"
        "                    " CTL_OPERATOR_URL "]\n"
        "  --token-file FILE the token [$CREDENTIALS_DIRECTORY/token, then\n"
        "                    ~/.config/vestibule/token; over unix: none]\n"
        "  --json            print what the API answers\n"
        "  --help, --version\n"
        "\n"
        "Exit status: 0, or as in sysexits(3): 64 usage, 65 refused, 66 not found,\n"
        "69 no answer, 75 try again later, 77 not allowed.\n";
/* clang-format on */

static int help(void) {
        (void) fputs(help_text, stdout);
        return 0;
}

static const struct option long_options[] = {
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "json", no_argument, NULL, OPTION_JSON },
        { "url", required_argument, NULL, OPTION_URL },
        { "token-file", required_argument, NULL, OPTION_TOKEN_FILE },
        { "tenant", required_argument, NULL, OPTION_TENANT },
        { "state", required_argument, NULL, OPTION_STATE },
        { "limit", required_argument, NULL, OPTION_LIMIT },
        { "after", required_argument, NULL, OPTION_AFTER },
        { "share", required_argument, NULL, OPTION_SHARE },
        { "signer", required_argument, NULL, OPTION_SIGNER },
        { "follow", no_argument, NULL, OPTION_FOLLOW },
        { "channel", required_argument, NULL, OPTION_CHANNEL },
        { "folder", required_argument, NULL, OPTION_FOLDER },
        { "key", required_argument, NULL, OPTION_KEY },
        { "head", required_argument, NULL, OPTION_HEAD },
        { "with-seed", required_argument, NULL, OPTION_WITH_SEED },
        { "reference", required_argument, NULL, OPTION_REFERENCE },
        { "policy", required_argument, NULL, OPTION_POLICY },
        { "to", required_argument, NULL, OPTION_TO },
        { "name", required_argument, NULL, OPTION_NAME },
        { "locale", required_argument, NULL, OPTION_LOCALE },
        { "time-zone", required_argument, NULL, OPTION_TIME_ZONE },
        { "title", required_argument, NULL, OPTION_TITLE },
        { "description", required_argument, NULL, OPTION_DESCRIPTION },
        { "image-url", required_argument, NULL, OPTION_IMAGE_URL },
        { "format", required_argument, NULL, OPTION_FORMAT },
        { "content-file", required_argument, NULL, OPTION_CONTENT_FILE },
        { "expires-in", required_argument, NULL, OPTION_EXPIRES_IN },
        { "sender", required_argument, NULL, OPTION_SENDER },
        { "provisioning-file", required_argument, NULL, OPTION_PROVISIONING_FILE },
        { "claim", required_argument, NULL, OPTION_CLAIM },
        { "fact-file", required_argument, NULL, OPTION_FACT_FILE },
        { NULL, 0, NULL, 0 },
};

static const char **option_field(CtlOptions *o, int option) {
        switch (option) {
        case OPTION_URL:
                return &o->url;
        case OPTION_TOKEN_FILE:
                return &o->token_file;
        case OPTION_TENANT:
                return &o->tenant;
        case OPTION_STATE:
                return &o->state;
        case OPTION_LIMIT:
                return &o->limit;
        case OPTION_REFERENCE:
                return &o->reference;
        case OPTION_POLICY:
                return &o->policy;
        case OPTION_NAME:
                return &o->name;
        case OPTION_LOCALE:
                return &o->locale;
        case OPTION_TIME_ZONE:
                return &o->time_zone;
        case OPTION_TITLE:
                return &o->title;
        case OPTION_DESCRIPTION:
                return &o->description;
        case OPTION_IMAGE_URL:
                return &o->image_url;
        case OPTION_FORMAT:
                return &o->format;
        case OPTION_CONTENT_FILE:
                return &o->content_file;
        case OPTION_EXPIRES_IN:
                return &o->expires_in;
        case OPTION_SENDER:
                return &o->sender;
        case OPTION_CHANNEL:
                return &o->channel;
        case OPTION_FOLDER:
                return &o->folder;
        case OPTION_AFTER:
                return &o->after;
        case OPTION_SHARE:
                return &o->share;
        case OPTION_SIGNER:
                return &o->signer;
        case OPTION_PROVISIONING_FILE:
                return &o->provisioning_file;
        case OPTION_KEY:
                return &o->key;
        case OPTION_HEAD:
                return &o->head;
        case OPTION_WITH_SEED:
                return &o->with_seed;
        case OPTION_FACT_FILE:
                return &o->fact_file;
        default:
                return NULL;
        }
}

/* An option that may come several times. */
static int option_add(const char **list, size_t max, size_t *n, const char *name) {
        if (*n == max) {
                (void) fprintf(stderr, "vestibulectl: at most %zu times --%s\n", max, name);
                return EX_USAGE;
        }
        list[(*n)++] = optarg;
        return -1;
}

/* Returns -1 to go on, else an exit status. *ret_given: the options of single commands that were
 * there. */
static int options_read(int argc, char **argv, CtlOptions *ret, unsigned *ret_given) {
        int option, r = -1;

        while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
                const char **field = option_field(ret, option);

                if (option == OPTION_HELP)
                        return help();
                if (option == OPTION_VERSION) {
                        (void) puts("vestibulectl " VESTIBULE_VERSION);
                        return 0;
                }
                if (option == '?')
                        return EX_USAGE;
                if (option == OPTION_JSON)
                        ret->json = true;
                else if (option == OPTION_FOLLOW)
                        ret->follow = true;
                else if (option == OPTION_TO)
                        r = option_add(ret->to, N_ELEMENTS(ret->to), &ret->n_to, "to");
                else if (option == OPTION_CLAIM)
                        r = option_add(ret->claims,
                                        N_ELEMENTS(ret->claims),
                                        &ret->n_claims,
                                        "claim");
                else
                        *field = optarg;
                if (r >= 0)
                        return r;
                if (option >= OPTION_TENANT)
                        *ret_given |= ONLY(option);
        }
        return -1;
}

static const Command *command_find(int n, char **words, int *ret_used) {
        for (size_t i = 0; i < N_ELEMENTS(commands); i++) {
                const char *space = strchr(commands[i].words, ' ');
                size_t first = space ? (size_t) (space - commands[i].words)
                                     : strlen(commands[i].words);

                if (n < 1 || strlen(words[0]) != first ||
                                strncmp(words[0], commands[i].words, first) != 0)
                        continue;
                if (space && (n < 2 || !streq(words[1], space + 1)))
                        continue;
                *ret_used = space ? 2 : 1;
                return &commands[i];
        }
        return NULL;
}

int main(int argc, char **argv) {
        CtlOptions options = { 0 };
        unsigned given = 0;
        const Command *command;
        int r, used;

        (void) setlocale(LC_ALL, "");
        json_wipe_install();
        r = options_read(argc, argv, &options, &given);
        if (r >= 0)
                return r;
        if (optind < argc && streq(argv[optind], "help"))
                return help();
        command = command_find(argc - optind, argv + optind, &used);
        if (!command) {
                (void) fprintf(stderr,
                                "vestibulectl: no such command; vestibulectl --help lists them\n");
                return EX_USAGE;
        }
        if (argc - optind - used < command->n_arguments ||
                        argc - optind - used > command->n_arguments + command->may_name_a_file) {
                (void) fprintf(stderr,
                                "vestibulectl: %s takes %s%s\n",
                                command->words,
                                command->n_arguments ? "one id" : "no arguments",
                                command->may_name_a_file ? ", and perhaps a file or name" : "");
                return EX_USAGE;
        }
        if (given & ~command->options) {
                (void) fprintf(stderr,
                                "vestibulectl: %s does not take that option; see --help\n",
                                command->words);
                return EX_USAGE;
        }
        if (command->operators && !options.url)
                options.url = CTL_OPERATOR_URL;

        if (secret_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
                (void) fprintf(stderr, "vestibulectl: the system gives no randomness\n");
                return EX_OSERR;
        }
        r = command->run(&options, argv + optind + used);
        curl_global_cleanup();
        return r;
}
