#include "receive-transfer.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "json-raw.h"
#include "json-wipe.h"
#include "receive-command.h"
#include "receive-poll.h"
#include "receive-print.h"
#include "receive-words.h"
#include "time-text.h"

static const ReceiveSide *side_of(const ReceiveTransfer *t) {
        return t->state->is_draft_r ? &receive_draft_r : &receive_draft_v;
}

static void drop_message(ReceiveTransfer *t) {
        plaintext_done(&t->message);
        json_decref(t->provisioning);
        t->provisioning = NULL;
        t->read = relay_job_free(t->read);
}

void receive_transfer_done(ReceiveTransfer *t) {
        drop_message(t);
}

int receive_transfer_store(ReceiveTransfer *t) {
        _cleanup_(secret_free_stringp) char *text = NULL;
        int r;

        if (!t->file)
                return 0;
        r = receive_state_write(t->state, &text);
        if (r == 0)
                r = receive_file_store(t->file, text);
        return r < 0 ? receive_say_errno(r, t->options->state_file) : 0;
}

/* What is printed is what came, but for white space around it. */
static int keep_as_it_came(ReceiveTransfer *t, const Plaintext *plaintext) {
        JsonRaw raw;

        return json_raw_find(plaintext->data, plaintext->size, "", &raw)
                               ? json_raw_keep(&t->provisioning, "", &raw)
                               : -EINVAL;
}

int receive_transfer_take(ReceiveTransfer *t, Plaintext *plaintext) {
        int r;

        r = payload_provisioning_read(plaintext->data, plaintext->size, &t->provisioning);
        if (r < 0)
                return receive_say_errno(r, "The message");
        if (r > 0)
                return receive_transfer_unreadable(payload_error_name((PayloadError) r));
        r = keep_as_it_came(t, plaintext);
        if (r < 0)
                return receive_say_errno(r, "The message");
        t->message = *plaintext;
        *plaintext = PLAINTEXT_NULL;
        return 0;
}

int receive_transfer_unreadable(const char *reason) {
        return receive_say(RECEIVE_UNREADABLE,
                        "The content cannot be decrypted with this link (%s). The mailbox is left "
                        "as it is.",
                        reason);
}

int receive_transfer_claimed(ReceiveTransfer *t) {
        (void) t;
        return RECEIVE_CLAIMED; /* said by receive.c, which may have it reported */
}

static bool is_expired(const ReceiveTransfer *t) {
        return t->state->expiration > 0 && time_wall() >= t->state->expiration;
}

static int explain_gone(const ReceiveTransfer *t) {
        if (is_expired(t))
                return receive_say(RECEIVE_GONE,
                                "The mailbox has expired. Ask the sender for a new link.");
        if (t->state->number == 0 && t->state->phase == RECEIVE_READING)
                return receive_say(RECEIVE_GONE,
                                "There is nothing at this link any more: it was collected, "
                                "withdrawn or has expired. If it was not you who collected it, "
                                "tell the sender at once: answer TAKEN, and call.");
        return receive_say(RECEIVE_GONE,
                        "The sender has ended the transfer: the mailbox is gone before it "
                        "expired.");
}

static int explain_unauthorised(const ReceiveTransfer *t, const char *reason) {
        switch (t->state->phase) {
        case RECEIVE_ANSWERING:
                return receive_say(RECEIVE_REFUSED,
                                "The relay takes no answer from this device (%s): the sender "
                                "expects none, or another device holds the mailbox now.",
                                reason);
        case RECEIVE_GIVING_UP:
                return receive_say(RECEIVE_REFUSED,
                                "This device does not hold the mailbox (%s): it has not opened the "
                                "link, or was too late.",
                                reason);
        default:
                return receive_say(RECEIVE_REFUSED,
                                "The relay does not let this device read (%s): another one may "
                                "hold the mailbox now.",
                                reason);
        }
}

int receive_transfer_explain(ReceiveTransfer *t, const RelayResult *result, ReceiveStep *ret) {
        switch (result->outcome) {
        case RELAY_AGAIN:
                if (receive_exchange_is_untrusted(result))
                        return receive_say(RECEIVE_UNREACHABLE,
                                        "The relay's certificate is not trusted. If it is your own "
                                        "relay, name its issuer with --ca-file.");
                memcpy(t->reason, result->reason, sizeof(t->reason));
                t->reachable = result->reachable;
                t->retry_after = result->retry_after;
                *ret = RECEIVE_STEP_AGAIN;
                return 0;
        case RELAY_GONE:
                return explain_gone(t);
        case RELAY_CLAIMED:
        case RELAY_UNAUTHORISED:
                return explain_unauthorised(t, result->reason);
        case RELAY_DONE:
        case RELAY_DUPLICATE:
        case RELAY_REFUSED:
        case _RELAY_OUTCOME_MAX:
                break;
        }
        return receive_say(RECEIVE_REFUSED, "The relay refused (%s).", result->reason);
}

static const char *how_to_go_on(const ReceiveTransfer *t) {
        return t->file ? "Run the same command again to go on."
                       : "Without --state this device cannot go on.";
}

/* A request may have come through though its answer did not: then the relay knows a claim that
 * nobody keeps. */
static bool is_held_in_vain(const ReceiveTransfer *t) {
        static const char *const before[] = { "name-not-found", "no-connection", "tls" };

        if (t->file || t->state->is_draft_r)
                return false;
        for (size_t i = 0; i < N_ELEMENTS(before); i++)
                if (streq(t->reason, before[i]))
                        return false;
        return true;
}

static int give_up(const ReceiveTransfer *t, ReceiveStep step) {
        const char *trouble = receive_trouble_words(t->reachable);

        if (step != RECEIVE_STEP_AGAIN)
                return receive_say(RECEIVE_NO_MESSAGE,
                                "There is no new message yet. The mailbox is kept. %s",
                                how_to_go_on(t));
        if (t->retry_after > 0)
                return receive_say(RECEIVE_UNREACHABLE,
                                "The relay %s is busy (%s). Nothing is lost: try again in %u "
                                "second%s%s.",
                                t->link->authority,
                                t->reason,
                                t->retry_after,
                                t->retry_after == 1 ? "" : "s",
                                t->file ? " with the same state file" : "");
        if (is_held_in_vain(t))
                return receive_say(RECEIVE_UNREACHABLE,
                                "The relay %s %s (%s). It may have heard this device all the same: "
                                "if the next try is told that another one was first, it was this "
                                "one. With --state that does not happen.",
                                t->link->authority,
                                trouble,
                                t->reason);
        return receive_say(RECEIVE_UNREACHABLE,
                        "The relay %s %s (%s). Nothing is lost: try again later%s.",
                        t->link->authority,
                        trouble,
                        t->reason,
                        t->file ? " with the same state file" : "");
}

/* Each thing once: who waits for hours does not want to read it each minute. */
static void say_delay(ReceiveTransfer *t, ReceiveStep step) {
        if (step == RECEIVE_STEP_OLD && !t->said_old) {
                (void) receive_say(0,
                                "The relay shows a message that was there before; waiting for a "
                                "new one. If it goes on like this, the relay is out of order or "
                                "not honest.");
                t->said_old = true;
        }
        if (step == RECEIVE_STEP_AGAIN && !t->said_trouble) {
                (void) receive_say(0,
                                "The relay %s %s (%s); trying on.",
                                t->link->authority,
                                receive_trouble_words(t->reachable),
                                t->reason);
                t->said_trouble = true;
        }
}

/* Before anything was read there is a person who waits, and nothing is under way. */
static bool is_first_look(const ReceiveTransfer *t) {
        return t->state->phase == RECEIVE_READING && t->state->number == 0;
}

/* What is left of the patience for one message. */
static uint64_t time_left(const ReceiveTransfer *t, uint64_t end) {
        const uint64_t now = time_boot();
        uint64_t left = end > now ? end - now : 0;

        if (t->state->expiration > 0) {
                const int64_t seconds = t->state->expiration - time_wall();
                const uint64_t until = seconds > 0 ? (uint64_t) seconds * USEC_PER_SEC : 0;

                if (until < left)
                        left = until;
        }
        return left;
}

/* Repeats a step until it is done, as often as receive-poll.h says. The last look is at the very
 * end. */
static int repeat(ReceiveTransfer *t, int (*step)(ReceiveTransfer *, ReceiveStep *)) {
        const uint64_t end = time_boot() + (uint64_t) t->options->wait * USEC_PER_SEC;
        ReceivePoll poll = { 0 };

        for (;;) {
                ReceiveStep came_to = RECEIVE_STEP_NOTHING;
                uint64_t delay, left;
                int r;

                t->retry_after = 0;
                r = step(t, &came_to);
                if (r != 0 || came_to == RECEIVE_STEP_DONE)
                        return r;
                if (is_expired(t))
                        return explain_gone(t);
                left = time_left(t, end);
                if (left == 0 || (came_to == RECEIVE_STEP_AGAIN && is_first_look(t)))
                        return give_up(t, came_to);
                say_delay(t, came_to);
                delay = receive_poll_next(&poll, randombytes_random());
                if (delay < t->retry_after * USEC_PER_SEC)
                        delay = t->retry_after * USEC_PER_SEC;
                r = receive_exchange_pause(t->exchange, delay < left ? delay : left);
                if (r < 0)
                        return receive_say_errno(r, "Waiting");
        }
}

static void say_title(const ReceiveTransfer *t) {
        const RelayResult *result = t->read ? relay_job_result(t->read) : NULL;

        if (t->options->quiet || !result || !result->title || t->state->number > 0)
                return;
        receive_blunt((char *) result->title);
        (void) receive_say(0, "Received: %s", result->title);
}

/* Without a handler nothing of the message is kept: a second run reads it again. */
static int next_message(ReceiveTransfer *t) {
        int r;

        r = repeat(t, side_of(t)->look);
        if (r != 0)
                return r;
        say_title(t);
        t->said_old = t->said_trouble = false;
        t->state->phase = RECEIVE_HANDLING;
        return t->options->handler ? side_of(t)->keep(t) : 0;
}

static int explain_handler(const ReceiveTransfer *t, int error, int status) {
        const long long number = (long long) t->state->number;

        switch (error) {
        case RECEIVE_COMMAND_E_TIMEOUT:
                return receive_say(RECEIVE_NO_ANSWER,
                                "The handler took longer than %u second%s for message %lld, and "
                                "was ended. The mailbox is kept. %s",
                                t->options->handler_timeout,
                                t->options->handler_timeout == 1 ? "" : "s",
                                number,
                                how_to_go_on(t));
        case RECEIVE_COMMAND_E_TOO_LARGE:
                return receive_say(RECEIVE_NO_ANSWER,
                                "The handler answered message %lld with more than %d bytes. The "
                                "mailbox is kept. %s",
                                number,
                                RECEIVE_COMMAND_OUTPUT_MAX,
                                how_to_go_on(t));
        case RECEIVE_COMMAND_E_STATUS:
                return receive_say(RECEIVE_NO_ANSWER,
                                "The handler ended with status %d at message %lld. The mailbox is "
                                "kept. %s",
                                status,
                                number,
                                how_to_go_on(t));
        default:
                return receive_say_errno(error, "The handler");
        }
}

/* White space around an answer is none of it. */
static void trim(const Secret *output, const char **ret, size_t *ret_size) {
        const char *white = " \t\r\n", *begin = (const char *) output->data;
        size_t size = output->size;

        while (size > 0 && *begin && strchr(white, *begin))
                begin++, size--;
        while (size > 0 && begin[size - 1] && strchr(white, begin[size - 1]))
                size--;
        *ret = begin;
        *ret_size = size;
}

static int check_answer(const ReceiveTransfer *t, const char *answer, size_t size) {
        json_auto_t *object = NULL;
        JsonProblem problem;
        JsonRaw raw;
        int r;

        r = json_raw_read(answer, size, PAYLOAD_DEPTH_MAX, "content", &object, &raw, &problem);
        if (r < 0)
                return receive_say_errno(r, "The handler's answer");
        if (r > 0 || !payload_provisioning_is_valid(object))
                return receive_say(RECEIVE_NO_ANSWER,
                                "The handler's answer to message %lld cannot be sent: it must be "
                                "one JSON object with a string format and an object content%s%s. "
                                "The mailbox is kept. %s",
                                (long long) t->state->number,
                                r > 0 ? "; " : "",
                                r > 0 ? problem.text : "",
                                how_to_go_on(t));
        return 0;
}

/* An answer is sent next, and none ends the transfer. */
static int ask_handler(ReceiveTransfer *t) {
        _cleanup_(secret_done) Secret output = SECRET_NULL;
        const char *answer;
        size_t size;
        int r, status = 0;

        r = receive_command_run(
                        &(ReceiveCommand){
                                        .command = t->options->handler,
                                        .input = t->message.data,
                                        .input_size = t->message.size,
                                        .number = t->state->number,
                                        .timeout = t->options->handler_timeout,
                        },
                        &output,
                        &status);
        if (r != 0)
                return explain_handler(t, r, status);
        trim(&output, &answer, &size);
        r = size > 0 ? check_answer(t, answer, size) : 0;
        if (r == 0)
                r = side_of(t)->answer(t, size > 0 ? answer : NULL, size);
        if (r != 0)
                return r;
        t->state->phase = size > 0 ? RECEIVE_ANSWERING : RECEIVE_ENDING;
        drop_message(t);
        return receive_transfer_store(t);
}

static int send_answer(ReceiveTransfer *t) {
        const long long number = (long long) t->state->number;
        int r;

        r = repeat(t, side_of(t)->send);
        if (r != 0)
                return r;
        if (!t->options->quiet)
                (void) receive_say(0,
                                t->overtaken ? "Message %lld was not answered: the sender has "
                                               "written again."
                                             : "Message %lld is answered.",
                                number);
        return receive_transfer_store(t);
}

static int delete_mailbox(ReceiveTransfer *t) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        const RelayResult *result;
        int r;

        r = side_of(t)->end(t, &job);
        if (r < 0)
                return receive_say_errno(r, "Received, but deleting the mailbox");
        result = relay_job_result(job);
        if (result->outcome != RELAY_DONE && result->outcome != RELAY_GONE)
                return receive_say(RECEIVE_NOT_DELETED,
                                "Received, but the mailbox could not be deleted (%s). It expires "
                                "by itself.",
                                result->reason);
        return 0;
}

static int forget(ReceiveTransfer *t) {
        int r;

        if (!t->file)
                return 0;
        r = receive_file_remove(t->file);
        return r < 0 ? receive_say_errno(r, t->options->state_file) : 0;
}

static int end_transfer(ReceiveTransfer *t) {
        int r;

        if (t->options->keep)
                return 0;
        r = delete_mailbox(t);
        if (r != 0)
                return r;
        if (!t->options->quiet)
                (void) receive_say(0, "All was received, and the mailbox is deleted.");
        return forget(t);
}

static int print_message(const ReceiveTransfer *t, bool deleted) {
        if (!t->options->json)
                return receive_print(t->provisioning);
        return receive_print_with(t->provisioning,
                        t->read ? relay_job_result(t->read) : NULL,
                        (char) (t->state->is_draft_r ? 0 : t->link->url.vertical),
                        deleted);
}

/* Without --json the message is printed before the mailbox goes: a lost print could not be
 * repeated. With --json the object says whether it went. */
static int print_and_end(ReceiveTransfer *t) {
        int r, deletion = 0;

        if (!t->options->json || t->options->keep) {
                r = print_message(t, false);
                if (r != 0 || t->options->keep)
                        return r;
        }
        r = side_of(t)->answer(t, NULL, 0);
        if (r == 0 && !t->options->json) {
                t->state->phase = RECEIVE_ENDING;
                r = receive_transfer_store(t);
        }
        if (r != 0)
                return r;
        deletion = delete_mailbox(t);
        if (t->options->json) {
                r = print_message(t, deletion == 0);
                if (r != 0)
                        return r;
        }
        return deletion != 0 ? deletion : forget(t);
}

static int relinquish(ReceiveTransfer *t) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        ReceiveState *state = t->state;
        const RelayResult *result;
        ReceiveStep step = RECEIVE_STEP_DONE;
        int r;

        if (state->is_draft_r)
                return receive_say(RECEIVE_USAGE,
                                "A link of this kind cannot be given up: whoever has it can open "
                                "it until the first one has.");
        /* What may have been sent counts: it may have come through. */
        if (state->written.n > 0)
                return receive_say(RECEIVE_USAGE,
                                "This device has answered already; another one would take its "
                                "answer for the sender's message. Ask the sender to cancel and to "
                                "share again.");
        if (state->phase != RECEIVE_GIVING_UP) {
                state->phase = RECEIVE_GIVING_UP;
                text_uuid4_random(state->request_id);
                r = receive_transfer_store(t);
                if (r != 0)
                        return r;
        }
        r = receive_exchange_run(t->exchange,
                        &(RelayJobTask){
                                        .operation = RELAY_JOB_RELINQUISH,
                                        .mailbox = t->link->url.api,
                                        .claim = state->claim,
                                        .request_id = state->request_id,
                        },
                        &job);
        if (r < 0)
                return receive_say_errno(r, "Giving up the mailbox");
        result = relay_job_result(job);
        if (result->outcome != RELAY_DONE) {
                r = receive_transfer_explain(t, result, &step);
                return r != 0 ? r : give_up(t, step);
        }
        if (!t->options->quiet)
                (void) receive_say(0,
                                "This device has given up the mailbox. The next one that opens the "
                                "link gets it.");
        return forget(t);
}

static int proceed(ReceiveTransfer *t, bool *ret_ended) {
        switch (t->state->phase) {
        case RECEIVE_READING:
                return next_message(t);
        case RECEIVE_HANDLING:
                if (!t->provisioning)
                        return next_message(t);
                if (t->options->handler)
                        return ask_handler(t);
                *ret_ended = true;
                return print_and_end(t);
        case RECEIVE_ANSWERING:
                return send_answer(t);
        case RECEIVE_ENDING:
                *ret_ended = true;
                return end_transfer(t);
        case RECEIVE_GIVING_UP:
        case _RECEIVE_PHASE_MAX:
                break;
        }
        return receive_say(RECEIVE_USAGE,
                        "This device was giving up the mailbox: run it with --relinquish again.");
}

int receive_transfer_run(ReceiveTransfer *t) {
        bool ended = false;
        int r = 0;

        if (t->options->relinquish)
                r = relinquish(t);
        else
                while (r == 0 && !ended)
                        r = proceed(t, &ended);
        /* There is nothing to go on with. */
        if (r == RECEIVE_GONE && t->file)
                (void) receive_file_remove(t->file);
        return r;
}
