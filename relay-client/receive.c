/* vestibule-receive: the reference recipient. It opens a link as a wallet would: checks the relay
 * against an allow-list, keeps the fragment to itself, reads the mailbox under a claim of its own,
 * decrypts, prints what it got or has it answered, and deletes the mailbox. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>

#include "json-wipe.h"
#include "receive-command.h"
#include "receive-preview.h"
#include "receive-transfer.h"
#include "receive-words.h"

/* What a recipient answers on the introduction channel; the gateway knows it in every language. */
static const char taken[] = "TAKEN\n";

static int explain_file(const char *path, int error) {
        switch (error) {
        case RECEIVE_FILE_E_BUSY:
                return receive_say(RECEIVE_TROUBLE,
                                "The state file %s: another run is using it.",
                                path);
        case RECEIVE_FILE_E_OPEN:
                return receive_say(RECEIVE_TROUBLE,
                                "The state file %s: other users can read or write it, or it is "
                                "not yours.",
                                path);
        case RECEIVE_FILE_E_KIND:
                return receive_say(
                                RECEIVE_TROUBLE, "The state file %s: it is no state file.", path);
        case -ENOENT:
                return receive_say(RECEIVE_USAGE,
                                "The state file %s does not exist: this device has not opened the "
                                "link, or has finished with it.",
                                path);
        default:
                return receive_say(
                                RECEIVE_TROUBLE, "The state file %s: %s.", path, strerror(-error));
        }
}

/* The file names its mailbox, so that a claim is never used for another one. */
static int load_state(const ReceiveOptions *options,
                const ReceiveLink *link,
                ReceiveFile *file,
                ReceiveState *ret) {
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        int r;

        r = receive_file_open(options->state_file,
                        !options->relinquish,
                        RECEIVE_STATE_TEXT_MAX,
                        file,
                        &content);
        if (r != 0)
                return explain_file(options->state_file, r);
        if (content.size == 0) {
                receive_state_begin(link, ret);
                return 0;
        }
        r = receive_state_read(content.data, content.size, ret);
        if (r < 0)
                return explain_file(options->state_file, r);
        if (r > 0)
                return explain_file(options->state_file, RECEIVE_FILE_E_KIND);
        if (ret->is_draft_r != link->is_draft_r || strcasecmp(ret->subject, link->subject) != 0)
                return receive_say(RECEIVE_TROUBLE,
                                "The state file %s belongs to another link.",
                                options->state_file);
        return 0;
}

static int transfer(const ReceiveOptions *options,
                const ReceiveLink *link,
                ReceiveState *state,
                ReceiveFile *file) {
        _cleanup_(receive_exchange_freep) ReceiveExchange *exchange = NULL;
        _cleanup_(receive_transfer_done) ReceiveTransfer t = {
                .options = options,
                .link = link,
                .state = state,
                .file = options->state_file ? file : NULL,
        };
        int r;

        r = receive_exchange_new(options, link, &exchange);
        if (r != 0)
                return r;
        t.exchange = exchange;
        /* The claim is durable before the relay hears of it. */
        r = receive_transfer_store(&t);
        return r == 0 ? receive_transfer_run(&t) : r;
}

static int open_link(const ReceiveOptions *options, const ReceiveLink *link) {
        _cleanup_(receive_state_done) ReceiveState state = { .phase = RECEIVE_READING };
        _cleanup_(receive_file_close) ReceiveFile file = RECEIVE_FILE_NULL;
        int r;

        if (options->state_file) {
                r = load_state(options, link, &file, &state);
                if (r != 0)
                        return r;
        } else
                receive_state_begin(link, &state);
        return transfer(options, link, &state, &file);
}

/* Another device has it. The person may know which; whoever sent the link has to. */
static int report(const ReceiveOptions *options) {
        _cleanup_(secret_done) Secret output = SECRET_NULL;
        int r = RECEIVE_COMMAND_E_STATUS, status = 0;

        if (options->report)
                r = receive_command_run(
                                &(ReceiveCommand){
                                                .command = options->report,
                                                .input = taken,
                                                .input_size = sizeof(taken) - 1,
                                                .number = -1,
                                                .timeout = options->handler_timeout,
                                },
                                &output,
                                &status);
        if (r == 0)
                return receive_say(RECEIVE_CLAIMED,
                                "Another device has opened this link before: the key may be in the "
                                "wrong hands. It was handed to the command of --report.");
        if (options->report)
                (void) receive_say(0, "The command of --report failed: the sender was not told.");
        return receive_say(RECEIVE_CLAIMED,
                        "Another device has opened this link before. If that was not you, the key "
                        "may be in the wrong hands: answer the message that brought the link with "
                        "TAKEN, and the sender can see it.");
}

static int run(int argc, char **argv) {
        _cleanup_(receive_options_done) ReceiveOptions options = { .link = NULL };
        _cleanup_(receive_link_done) ReceiveLink link = { .text = NULL };
        int r;

        r = receive_options_read(argc, argv, &options);
        if (r == 0)
                r = receive_link_read(options.link, options.hosts, &link);
        if (r == 0 && !options.preview)
                r = receive_link_require_secret(&link);
        receive_options_done(&options);
        if (r != 0)
                return r;
        if (!link.is_draft_r && !link.url.vertical_known && !options.quiet)
                (void) receive_say(0,
                                "The link names a kind of key that is not known; taking it as "
                                "general access.");
        r = options.preview ? receive_preview(&options, &link) : open_link(&options, &link);
        return r == RECEIVE_CLAIMED ? report(&options) : r;
}

/* A descriptor that is opened later must not become somebody's standard output. */
static int keep_standard_descriptors(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= 2);
        (void) close_fd(fd);
        return fd < 0 ? -errno : 0;
}

int main(int argc, char **argv) {
        int r;

        if (keep_standard_descriptors() < 0 || secret_init() < 0)
                return receive_say(RECEIVE_TROUBLE, "There is no randomness.");
        /* A pipe that nobody reads is an error to tell, not the end in the middle of a transfer. */
        (void) signal(SIGPIPE, SIG_IGN);
        /* Whoever started us may not care for its children; we do. */
        (void) signal(SIGCHLD, SIG_DFL);
        json_wipe_install();
        r = run(argc, argv);
        return r == RECEIVE_SHOWN ? 0 : r;
}
