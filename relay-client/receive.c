/* vestibule-receive: the reference recipient. It opens a share URL as a wallet would: checks the
 * relay against an allow-list, keeps the fragment to itself, reads the mailbox under a claim of its
 * own, decrypts, prints what it got, and deletes the mailbox. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "curl-glue.h"
#include "draft-v.h"
#include "json-wipe.h"
#include "payload.h"
#include "secret.h"
#include "share-url.h"
#include "text.h"
#include "time-text.h"

enum {
        HOSTS_MAX = 16,
        TRIES_MAX = 4, /* at once, then after 1, 2 and 4 seconds */
};

typedef enum ExitStatus {
        EXIT_OK = 0,
        EXIT_TROUBLE = 1,
        EXIT_USAGE = 2,
        EXIT_CLAIMED = 3,
        EXIT_GONE = 4,
        EXIT_DECRYPTION = 5,
        EXIT_UNREACHABLE = 6,
        EXIT_NOT_ALLOWED = 7,
        EXIT_REFUSED = 8,
        EXIT_NOT_DELETED = 9,
} ExitStatus;

static const char help[] =
                "vestibule-receive [OPTIONS] URL|-\n\n"
                "Opens a share URL as a wallet would: reads the mailbox, decrypts, prints the\n"
                "provisioning information to standard output, and deletes the mailbox.\n\n"
                "Prefer - and give the URL on standard input: the arguments of a program are "
                "visible\n"
                "to every user of the machine, and the URL carries the Secret.\n\n"
                "  --allow HOST[:PORT]  a relay that may be asked; needed, may be repeated\n"
                "  --ca-file FILE       trusted issuers, instead of those of the system\n"
                "  --claim-file FILE    keep the claim there until the mailbox is deleted, so that "
                "a\n"
                "                       second run goes on where the first one broke off\n"
                "  --keep               do not delete the mailbox\n"
                "  --json               print one object: provisioning beside title, description,\n"
                "                       vertical, expiration and whether the mailbox was deleted\n"
                "  --quiet              say nothing on standard error when all is well\n"
                "  --help, --version\n\n"
                "Exit status: 0 received, 1 trouble of this machine, 2 usage or a bad URL, 3 "
                "another\n"
                "device has it, 4 gone (withdrawn, collected or expired), 5 cannot be decrypted, 6 "
                "the\n"
                "relay cannot be reached, 7 the relay is not allowed, 8 the relay refused, 9 "
                "received,\n"
                "but the mailbox could not be deleted.\n";

typedef struct Receiver {
        const char *hosts[HOSTS_MAX + 1];
        const char *ca_file, *claim_file;
        bool keep, json, quiet;

        char *text; /* the URL as given */
        ShareUrl url;
        char claim[UUID_TEXT_SIZE];
        bool claim_is_old;
        sd_event *event;
        HttpClient *http;
} Receiver;

__attribute__((format(printf, 2, 3))) static int say(ExitStatus status, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
        return (int) status;
}

static int read_stdin(char **ret) {
        char line[SHARE_URL_MAX + 2];
        size_t length;

        if (!fgets(line, sizeof(line), stdin))
                return say(EXIT_USAGE, "There is no URL on standard input.");
        length = strcspn(line, "\r\n");
        line[length] = 0;
        *ret = strdup(line);
        sodium_memzero(line, sizeof(line));
        return *ret ? 0 : say(EXIT_TROUBLE, "Out of memory.");
}

/* Returns an exit status, or -1 to go on. */
static int parse_arguments(int argc, char **argv, Receiver *receiver) {
        static const struct option options[] = {
                { "allow", required_argument, NULL, 'a' },
                { "ca-file", required_argument, NULL, 'c' },
                { "claim-file", required_argument, NULL, 'f' },
                { "keep", no_argument, NULL, 'k' },
                { "json", no_argument, NULL, 'j' },
                { "quiet", no_argument, NULL, 'q' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        size_t n_hosts = 0;
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'a':
                        if (n_hosts >= HOSTS_MAX)
                                return say(EXIT_USAGE,
                                                "--allow can be given %d times at most.",
                                                HOSTS_MAX);
                        receiver->hosts[n_hosts++] = optarg;
                        break;
                case 'c':
                        receiver->ca_file = optarg;
                        break;
                case 'f':
                        receiver->claim_file = optarg;
                        break;
                case 'k':
                        receiver->keep = true;
                        break;
                case 'j':
                        receiver->json = true;
                        break;
                case 'q':
                        receiver->quiet = true;
                        break;
                case 'h':
                        (void) fputs(help, stdout);
                        return EXIT_OK;
                case 'v':
                        (void) printf("vestibule-receive %s\n", VESTIBULE_VERSION);
                        return EXIT_OK;
                default:
                        return EXIT_USAGE;
                }

        if (argc - optind != 1)
                return say(EXIT_USAGE,
                                "Give one URL, or - to read it from standard input; see --help.");
        if (n_hosts == 0)
                return say(EXIT_USAGE,
                                "Say which relays may be asked, with --allow HOST: a link from a "
                                "stranger "
                                "must not choose.");
        if (!streq(argv[optind], "-")) {
                receiver->text = strdup(argv[optind]);
                return receiver->text ? -1 : say(EXIT_TROUBLE, "Out of memory.");
        }
        c = read_stdin(&receiver->text);
        return c == 0 ? -1 : c;
}

/* A host without a port stands for port 443 alone, which is easily overlooked. */
static int refuse_relay(const Receiver *receiver) {
        const ShareUrl *url = &receiver->url;

        for (size_t i = 0; receiver->hosts[i]; i++)
                if (strcasecmp(receiver->hosts[i], url->host) == 0)
                        return say(EXIT_NOT_ALLOWED,
                                        "The relay %s is not among those that are allowed: --allow "
                                        "%s means port 443; write --allow %s.",
                                        url->authority,
                                        url->host,
                                        url->authority);
        return say(EXIT_NOT_ALLOWED,
                        "The relay %s is not among those that are allowed.",
                        url->authority);
}

static int check_url(Receiver *receiver) {
        ShareUrl *url = &receiver->url;
        int r;

        r = share_url_parse(receiver->text, url);
        secret_free_string(TAKE_PTR(receiver->text));
        if (r < 0)
                return say(EXIT_TROUBLE, "%s.", strerror(-r));
        if (r > 0)
                return say(EXIT_USAGE,
                                "This is no share URL (%s).",
                                share_url_error_name((ShareUrlError) r));
        if (!share_url_is_allowed(url, receiver->hosts))
                return refuse_relay(receiver);
        if (!streq(url->version, "v1"))
                return say(EXIT_USAGE,
                                "This share URL speaks version %s; only v1 is known.",
                                url->version);
        if (url->secret_size == 0)
                return say(EXIT_USAGE,
                                "The link is not complete: the part after # is missing. Copy the "
                                "whole link, in quotes; if the Secret came apart from it, append "
                                "it after a #.");
        if (!url->vertical_known && !receiver->quiet)
                (void) say(0,
                                "The link names a kind of key that is not known; taking it as "
                                "general access.");
        return 0;
}

/* The file holds the mailbox and the claim, so that a claim is never used for another mailbox. */
static int load_claim(Receiver *receiver) {
        char line[2 * UUID_TEXT_SIZE + 2] = "";
        FILE *file = fopen(receiver->claim_file, "re");
        bool whole;

        if (!file)
                return errno == ENOENT ? 0 : -errno;
        whole = fgets(line, sizeof(line), file) != NULL && strlen(line) == 2 * UUID_TEXT_SIZE &&
                line[UUID_TEXT_SIZE - 1] == ' ' && line[2 * UUID_TEXT_SIZE - 1] == '\n';
        (void) fclose(file);
        if (!whole)
                return -EBADMSG;
        line[UUID_TEXT_SIZE - 1] = line[2 * UUID_TEXT_SIZE - 1] = 0;
        if (strcasecmp(line, receiver->url.mailbox) != 0 || !text_is_uuid(line + UUID_TEXT_SIZE))
                return -EBADMSG;
        memcpy(receiver->claim, line + UUID_TEXT_SIZE, UUID_TEXT_SIZE);
        receiver->claim_is_old = true;
        return 0;
}

static int store_claim(const Receiver *receiver) {
        _cleanup_(closep) int fd =
                        open(receiver->claim_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        if (dprintf(fd, "%s %s\n", receiver->url.mailbox, receiver->claim) < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

static int prepare_claim(Receiver *receiver) {
        int r;

        if (receiver->claim_file) {
                r = load_claim(receiver);
                if (r < 0)
                        return say(EXIT_TROUBLE,
                                        "The claim file %s: %s.",
                                        receiver->claim_file,
                                        r == -EBADMSG ? "it belongs to something else"
                                                      : strerror(-r));
        }
        if (receiver->claim_is_old)
                return 0;

        text_uuid4_random(receiver->claim);
        if (receiver->claim_file) {
                r = store_claim(receiver);
                if (r < 0)
                        return say(EXIT_TROUBLE,
                                        "The claim file %s: %s.",
                                        receiver->claim_file,
                                        strerror(-r));
        }
        return 0;
}

typedef struct Exchange {
        const Receiver *receiver;
        DraftVOperation operation;
        const char *request_id;
        DraftVAnswer *answer;
        int error;
} Exchange;

static void on_answer(const HttpAnswer *http, void *userdata) {
        Exchange *exchange = userdata;

        exchange->error = draft_v_read_answer(exchange->operation,
                        exchange->request_id,
                        http,
                        exchange->receiver->hosts,
                        time_wall(),
                        exchange->answer);
        (void) sd_event_exit(exchange->receiver->event, 0);
}

static int exchange_once(Receiver *receiver,
                DraftVOperation operation,
                const char *request_id,
                DraftVAnswer *ret) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        Exchange exchange = { receiver, operation, request_id, ret, 0 };
        int r;

        r = sd_event_new(&receiver->event);
        if (r >= 0)
                r = http_client_new(&receiver->http,
                                receiver->event,
                                &(HttpPolicy){
                                                .ca_file = receiver->ca_file,
                                                .user_agent = "vestibule",
                                                .answer_max = DRAFT_V_ANSWER_MAX,
                                });
        if (r >= 0)
                r = draft_v_plain(operation,
                                receiver->url.api,
                                &(DraftVCaller){
                                                .claim = receiver->claim,
                                                .request_id = request_id,
                                },
                                &request);
        if (r >= 0)
                r = http_client_send(receiver->http, &request, on_answer, &exchange);
        if (r >= 0)
                r = sd_event_loop(receiver->event);

        receiver->http = http_client_free(receiver->http);
        receiver->event = sd_event_unref(receiver->event);
        return r < 0 ? r : exchange.error;
}

/* Retries with the same id while there is no usable answer. */
static int exchange(Receiver *receiver, DraftVOperation operation, DraftVAnswer *ret) {
        char request_id[UUID_TEXT_SIZE];
        int r;

        text_uuid4_random(request_id);
        for (unsigned try = 1;; try++) {
                r = exchange_once(receiver, operation, request_id, ret);
                if (r < 0)
                        return r;
                if ((ret->outcome != DRAFT_V_AGAIN && ret->outcome != DRAFT_V_REREAD) ||
                                try == TRIES_MAX)
                        return 0;
                if (ret->outcome == DRAFT_V_REREAD)
                        text_uuid4_random(request_id);
                (void) sleep(ret->retry_after > 0 && ret->retry_after <= 10 ? ret->retry_after
                                                                            : 1u << (try - 1));
                draft_v_answer_done(ret);
        }
}

static int explain_read(const Receiver *receiver, const DraftVAnswer *answer) {
        switch (answer->outcome) {
        case DRAFT_V_CLAIMED:
                return say(EXIT_CLAIMED,
                                "Another device has opened this link before. If that was not you, "
                                "tell the sender "
                                "at once: the key may be in the wrong hands.");
        case DRAFT_V_GONE:
                return say(EXIT_GONE,
                                "The mailbox is gone: withdrawn, collected or expired. Ask the "
                                "sender for a "
                                "new link.");
        case DRAFT_V_AGAIN:
        case DRAFT_V_REREAD:
                if (streq(answer->reason, "tls-certificate"))
                        return say(EXIT_UNREACHABLE,
                                        "The relay's certificate is not trusted. If it is your own "
                                        "relay, name its issuer with --ca-file.");
                return say(EXIT_UNREACHABLE,
                                "The relay %s cannot be reached (%s). Nothing is lost: try again "
                                "later%s.",
                                receiver->url.authority,
                                answer->reason,
                                receiver->claim_file ? " with the same claim file" : "");
        default:
                return say(EXIT_REFUSED, "The relay refused (%s).", answer->reason);
        }
}

static int decrypt(const Receiver *receiver, const DraftVAnswer *answer, json_t **ret) {
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        int r;

        r = payload_decrypt(answer->payload_type,
                        answer->payload_data,
                        true,
                        receiver->url.secret,
                        receiver->url.secret_size,
                        &plaintext);
        if (r == 0)
                r = payload_provisioning_read(plaintext.data, plaintext.size, ret);
        if (r < 0)
                return say(EXIT_TROUBLE, "%s.", strerror(-r));
        if (r > 0)
                return say(EXIT_DECRYPTION,
                                "The content cannot be decrypted with this link (%s). The mailbox "
                                "is left as it is.",
                                payload_error_name((PayloadError) r));
        return 0;
}

static int print_json(const json_t *object) {
        _cleanup_(json_wipe_freep) char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

        if (!text || printf("%s\n", text) < 0 || fflush(stdout) != 0)
                return say(EXIT_TROUBLE,
                                "The content cannot be written: %s.",
                                strerror(text ? errno : ENOMEM));
        return 0;
}

static int print_received(const Receiver *receiver,
                const DraftVAnswer *answer,
                json_t *provisioning,
                bool deleted) {
        const char vertical[] = { receiver->url.vertical, 0 };
        char expiration[TIME_TEXT_SIZE] = "";
        json_auto_t *object = NULL;

        if (!receiver->json)
                return print_json(provisioning);
        if (answer->expiration > 0)
                time_text(answer->expiration, expiration);
        object = json_pack("{s:s?, s:s?, s:s, s:s?, s:b, s:O}",
                        "title",
                        answer->title,
                        "description",
                        answer->description,
                        "vertical",
                        vertical,
                        "expiration",
                        expiration[0] ? expiration : NULL,
                        "deleted",
                        (int) deleted,
                        "provisioning",
                        provisioning);
        return print_json(object);
}

static int delete_mailbox(Receiver *receiver) {
        _cleanup_(draft_v_answer_done) DraftVAnswer answer = { .outcome = DRAFT_V_AGAIN };
        int r;

        r = exchange(receiver, DRAFT_V_DELETE, &answer);
        if (r < 0)
                return say(EXIT_TROUBLE, "%s.", strerror(-r));
        if (answer.outcome != DRAFT_V_DONE && answer.outcome != DRAFT_V_GONE)
                return say(EXIT_NOT_DELETED,
                                "Received, but the mailbox could not be deleted (%s). It expires "
                                "by itself.",
                                answer.reason);
        return 0;
}

/* Takes away from a stranger's text what a terminal would act on: C0 and C1 controls. */
static void blunt(char *text) {
        for (uint8_t *p = (uint8_t *) text; *p; p++) {
                if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
                        p[0] = p[1] = '?';
                if (*p < ' ' || *p == 0x7f)
                        *p = '?';
        }
}

/* Without --json the content is printed before the mailbox goes: a lost print could not be
 * repeated. With
 * --json the object says whether it went, and a failed print leaves the claim file for a second
 * run. */
static int receive(Receiver *receiver) {
        _cleanup_(draft_v_answer_done) DraftVAnswer answer = { .outcome = DRAFT_V_AGAIN };
        json_auto_t *provisioning = NULL;
        int r, deletion = 0;

        r = exchange(receiver, DRAFT_V_READ, &answer);
        if (r < 0)
                return say(EXIT_TROUBLE, "%s.", strerror(-r));
        if (answer.outcome != DRAFT_V_DONE)
                return explain_read(receiver, &answer);
        r = decrypt(receiver, &answer, &provisioning);
        if (r != 0)
                return r;
        if (answer.title && !receiver->quiet) {
                blunt((char *) answer.title);
                (void) say(0, "Received: %s", answer.title);
        }

        if (!receiver->json) {
                r = print_received(receiver, &answer, provisioning, false);
                if (r != 0)
                        return r;
        }
        if (!receiver->keep)
                deletion = delete_mailbox(receiver);
        if (receiver->json) {
                r = print_received(
                                receiver, &answer, provisioning, !receiver->keep && deletion == 0);
                if (r != 0)
                        return r;
        }
        if (deletion == 0 && !receiver->keep && receiver->claim_file)
                (void) unlink(receiver->claim_file);
        return deletion;
}

static int run(int argc, char **argv, Receiver *receiver) {
        int r;

        r = parse_arguments(argc, argv, receiver);
        if (r >= 0)
                return r;
        r = check_url(receiver);
        if (r != 0)
                return r;
        r = prepare_claim(receiver);
        if (r != 0)
                return r;
        return receive(receiver);
}

int main(int argc, char **argv) {
        Receiver receiver = { .keep = false };
        int r;

        if (secret_init() < 0)
                return say(EXIT_TROUBLE, "There is no randomness.");
        json_wipe_install();
        r = run(argc, argv, &receiver);
        secret_free_string(receiver.text);
        share_url_done(&receiver.url);
        sodium_memzero(receiver.claim, sizeof(receiver.claim));
        return r;
}
