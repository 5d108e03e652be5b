/* The recipient's side of Draft R: the run is kept by the state file, sealed, and so is the message
 * between its deletion at the relay and the handler's answer. */
#include <errno.h>
#include <sodium.h>

#include "receive-transfer.h"
#include "receive-words.h"

/* One operation, with the run as it is. content: of an update, or NULL. */
static int
run_job(ReceiveTransfer *t, RelayJobOperation operation, const Plaintext *content, RelayJob **ret) {
        const ReceiveState *state = t->state;
        uint8_t root[RECEIVE_ROOT_SIZE];
        int r;

        receive_link_root(t->link, state->salt, root);
        r = receive_exchange_run(t->exchange,
                        &(RelayJobTask){
                                        .operation = operation,
                                        .identity = { .root = root,
                                                        .kid = "receive",
                                                        .share = state->subject },
                                        .link = t->link->text,
                                        .state = state->run,
                                        .state_size = state->run_size,
                                        .content = content ? content->data : NULL,
                                        .content_size = content ? content->size : 0,
                        },
                        ret);
        sodium_memzero(root, sizeof(root));
        return r;
}

/* What the state keeps: the message, or our answer to it. */
static int open_kept(ReceiveTransfer *t, Plaintext *ret) {
        uint8_t root[RECEIVE_ROOT_SIZE];
        int r;

        receive_link_root(t->link, t->state->salt, root);
        r = receive_state_open(t->state, root, ret);
        sodium_memzero(root, sizeof(root));
        if (r < 0)
                return receive_say_errno(r, "The message");
        if (r > 0)
                return receive_say(RECEIVE_TROUBLE,
                                "The state file was changed, and cannot be used any more.");
        return 0;
}

static int take_run(ReceiveState *state, const RelayResult *result) {
        uint8_t *run;

        if (!result->state)
                return 0;
        run = malloc(result->state_size);
        if (!run)
                return -ENOMEM;
        memcpy(run, result->state, result->state_size);
        free(state->run);
        state->run = run;
        state->run_size = result->state_size;
        return 0;
}

/* A run that was aborted is kept, so that nobody tries again with it. A race that was lost was lost
 * to somebody with the same link. */
static int explain(ReceiveTransfer *t, const RelayResult *result, ReceiveStep *ret) {
        int r;

        if (result->outcome != RELAY_REFUSED || !result->state)
                return receive_transfer_explain(t, result, ret);
        r = take_run(t->state, result);
        if (r < 0)
                return receive_say_errno(r, "The state");
        r = receive_transfer_store(t);
        if (r != 0)
                return r;
        if (streq(result->reason, "abort-race-lost"))
                return receive_transfer_claimed(t);
        return receive_say(RECEIVE_UNREADABLE,
                        "The message was changed on its way, or the link is not right (%s). The "
                        "transfer has ended; ask the sender for a new link.",
                        result->reason);
}

static int take_message(ReceiveTransfer *t, const RelayResult *result) {
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        int r;

        r = plaintext_new(&plaintext, result->content_size);
        if (r < 0)
                return receive_say_errno(r, "The message");
        if (result->content_size > 0)
                memcpy(plaintext.data, result->content, result->content_size);
        r = receive_transfer_take(t, &plaintext);
        if (r != 0)
                return r;
        r = take_run(t->state, result);
        return r < 0 ? receive_say_errno(r, "The message") : 0;
}

/* Of a run that was killed after it had kept the message. */
static int recall(ReceiveTransfer *t) {
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        int r;

        r = open_kept(t, &plaintext);
        return r == 0 ? receive_transfer_take(t, &plaintext) : r;
}

/* The first message was there before its link was: there is no waiting for it. */
static int look(ReceiveTransfer *t, ReceiveStep *ret) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        const RelayResult *result;
        int r;

        if (t->state->phase == RECEIVE_HANDLING) {
                *ret = RECEIVE_STEP_DONE;
                return recall(t);
        }
        r = run_job(t, RELAY_JOB_READ, NULL, &job);
        if (r < 0)
                return receive_say_errno(r, "Reading the message");
        result = relay_job_result(job);
        if (result->outcome != RELAY_DONE)
                return explain(t, result, ret);
        if (result->has_content) {
                *ret = RECEIVE_STEP_DONE;
                return take_message(t, result);
        }
        if (!t->state->run)
                return receive_say(RECEIVE_GONE,
                                "There is nothing at this link any more: it was collected, "
                                "withdrawn or has expired. If it was not you who collected it, "
                                "tell the sender at once, and ask for a new link.");
        *ret = RECEIVE_STEP_NOTHING;
        return 0;
}

/* With a file that keeps the message, the relay need not. A deletion that fails is made up for
 * before the answer is sent. */
static int acknowledge(ReceiveTransfer *t) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        const RelayResult *result;
        int r;

        r = run_job(t, RELAY_JOB_ACKNOWLEDGE, NULL, &job);
        if (r < 0)
                return receive_say_errno(r, "Deleting the message");
        result = relay_job_result(job);
        if (result->outcome != RELAY_DONE || !result->state)
                return 0;
        r = take_run(t->state, result);
        if (r < 0)
                return receive_say_errno(r, "The state");
        return receive_transfer_store(t);
}

static int seal(ReceiveTransfer *t, const void *content, size_t size) {
        uint8_t root[RECEIVE_ROOT_SIZE];
        int r;

        receive_link_root(t->link, t->state->salt, root);
        r = receive_state_seal(t->state, root, content, size);
        sodium_memzero(root, sizeof(root));
        return r < 0 ? receive_say_errno(r, "The message") : 0;
}

static int keep(ReceiveTransfer *t) {
        int r;

        if (!t->file)
                return 0;
        r = seal(t, t->message.data, t->message.size);
        if (r == 0)
                r = receive_transfer_store(t);
        return r == 0 ? acknowledge(t) : r;
}

static int answer(ReceiveTransfer *t, const void *content, size_t size) {
        receive_state_forget_content(t->state);
        return content ? seal(t, content, size) : 0;
}

static int send_answer(ReceiveTransfer *t, ReceiveStep *ret) {
        _cleanup_(plaintext_done) Plaintext content = PLAINTEXT_NULL;
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        const RelayResult *result;
        ReceiveState *state = t->state;
        int r;

        r = open_kept(t, &content);
        if (r != 0)
                return r;
        r = run_job(t, RELAY_JOB_UPDATE, &content, &job);
        if (r < 0)
                return receive_say_errno(r, "Answering");
        result = relay_job_result(job);
        if (result->outcome != RELAY_DONE)
                return explain(t, result, ret);
        r = take_run(state, result);
        if (r < 0)
                return receive_say_errno(r, "The state");
        receive_state_forget_content(state);
        state->number += 2;
        state->phase = RECEIVE_READING;
        *ret = RECEIVE_STEP_DONE;
        return 0;
}

static int end(ReceiveTransfer *t, RelayJob **ret) {
        return run_job(t, RELAY_JOB_DELETE, NULL, ret);
}

const ReceiveSide receive_draft_r = {
        .look = look,
        .keep = keep,
        .answer = answer,
        .send = send_answer,
        .end = end,
};
