/* The recipient's side of Draft V: one slot that both write, and a relay that may show what was in
 * it before. What was seen and written is told by its SHA-256. */
#include <errno.h>
#include <sodium.h>

#include "receive-transfer.h"
#include "receive-words.h"
#include "time-text.h"

/* What lies in the mailbox. */
typedef struct Blob {
        RelayJob *job;
        const RelayResult *result;
        ReceiveDigest digest;
} Blob;

static void blob_done(Blob *blob) {
        (void) relay_job_free(blob->job);
}

static int digest_of(const char *data, ReceiveDigest *ret) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        size_t size;
        int r;

        r = text_from_base64(data, true, &bytes, &size);
        if (r == 0)
                receive_digest(bytes, size, ret);
        return r;
}

static int explain_read(ReceiveTransfer *t, const RelayResult *result, ReceiveStep *ret) {
        if (result->outcome == RELAY_CLAIMED && t->state->accepted.n == 0)
                return receive_transfer_claimed(t);
        return receive_transfer_explain(t, result, ret);
}

/* STEP_DONE: *ret is what lies there. */
static int read_blob(ReceiveTransfer *t, Blob *ret, ReceiveStep *ret_step) {
        char request_id[UUID_TEXT_SIZE];
        int r;

        text_uuid4_random(request_id);
        r = receive_exchange_run(t->exchange,
                        &(RelayJobTask){
                                        .operation = RELAY_JOB_READ,
                                        .mailbox = t->link->url.api,
                                        .claim = t->state->claim,
                                        .request_id = request_id,
                        },
                        &ret->job);
        if (r < 0)
                return receive_say_errno(r, "Reading the mailbox");
        ret->result = relay_job_result(ret->job);
        if (ret->result->outcome != RELAY_DONE)
                return explain_read(t, ret->result, ret_step);
        if (ret->result->expiration > 0) {
                t->state->expiration = ret->result->expiration;
                /* A relay may be late with deleting, or not honest. */
                if (time_wall() >= t->state->expiration)
                        return explain_read(t, &(RelayResult){ .outcome = RELAY_GONE }, ret_step);
        }
        r = digest_of(ret->result->payload_data, &ret->digest);
        if (r == -EBADMSG)
                return receive_transfer_unreadable(payload_error_name(PAYLOAD_E_BASE64));
        if (r < 0)
                return receive_say_errno(r, "Reading the mailbox");
        *ret_step = RECEIVE_STEP_DONE;
        return 0;
}

/* The names of algorithms in the oldest drafts, whose relays the user has named so. */
static bool takes_legacy(const ReceiveTransfer *t) {
        return t->options->dialect == DRAFT_V_SCT04;
}

static int decrypt(ReceiveTransfer *t, const RelayResult *result) {
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        const ShareUrl *url = &t->link->url;
        int r;

        r = payload_decrypt(result->payload_type,
                        result->payload_data,
                        takes_legacy(t),
                        url->secret,
                        url->secret_size,
                        &plaintext);
        if (r < 0)
                return receive_say_errno(r, "The message");
        if (r > 0)
                return receive_transfer_unreadable(payload_error_name((PayloadError) r));
        return receive_transfer_take(t, &plaintext);
}

static int look(ReceiveTransfer *t, ReceiveStep *ret) {
        _cleanup_(blob_done) Blob blob = { .job = NULL };
        const ReceiveState *state = t->state;
        int r;

        r = read_blob(t, &blob, ret);
        if (r != 0 || *ret != RECEIVE_STEP_DONE)
                return r;
        if (receive_digests_has_last(&state->written, &blob.digest)) {
                *ret = RECEIVE_STEP_NOTHING;
                return 0;
        }
        if (receive_digests_has(&state->written, &blob.digest) ||
                        receive_digests_has(&state->accepted, &blob.digest)) {
                *ret = RECEIVE_STEP_OLD;
                return 0;
        }
        r = decrypt(t, blob.result);
        if (r != 0)
                return r;
        t->digest = blob.digest;
        t->read = TAKE_PTR(blob.job);
        return 0;
}

/* It stays in the mailbox until it is answered. */
static int keep(ReceiveTransfer *t) {
        (void) t;
        return 0;
}

/* Encrypts once and for all: what is sent again is these octets. */
static int set_payload(ReceiveTransfer *t, const void *content, size_t size) {
        const ShareUrl *url = &t->link->url;
        const PayloadAlgorithm algorithm = url->secret_size == payload_key_size(PAYLOAD_AES_128_GCM)
                                                           ? PAYLOAD_AES_128_GCM
                                                           : PAYLOAD_AES_256_GCM;
        _cleanup_(freep) char *type = strdup(payload_algorithm_name(algorithm)), *data = NULL;
        ReceiveState *state = t->state;
        ReceiveDigest digest;
        int r;

        if (!type)
                return -ENOMEM;
        r = payload_encrypt(algorithm, url->secret, content, size, &data);
        if (r == 0)
                r = digest_of(data, &digest);
        if (r == 0)
                r = receive_digests_add(&state->written, &digest);
        if (r < 0)
                return r;
        state->payload_type = TAKE_PTR(type);
        state->payload_data = TAKE_PTR(data);
        return 0;
}

static int answer(ReceiveTransfer *t, const void *content, size_t size) {
        ReceiveState *state = t->state;
        int r;

        r = receive_digests_add(&state->accepted, &t->digest);
        if (r == 0 && content)
                r = set_payload(t, content, size);
        if (r < 0)
                return receive_say_errno(r, "The answer");
        text_uuid4_random(state->request_id);
        return 0;
}

static int update(ReceiveTransfer *t, ReceiveStep *ret) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        ReceiveState *state = t->state;
        const RelayResult *result;
        int r;

        if (!state->sent) {
                state->sent = true;
                r = receive_transfer_store(t);
                if (r != 0)
                        return r;
        }
        r = receive_exchange_run(t->exchange,
                        &(RelayJobTask){
                                        .operation = RELAY_JOB_UPDATE,
                                        .mailbox = t->link->url.api,
                                        .claim = state->claim,
                                        .request_id = state->request_id,
                                        .payload_type = state->payload_type,
                                        .payload_data = state->payload_data,
                        },
                        &job);
        if (r < 0)
                return receive_say_errno(r, "Answering");
        result = relay_job_result(job);
        if (result->outcome != RELAY_DONE)
                return receive_transfer_explain(t, result, ret);
        *ret = RECEIVE_STEP_DONE;
        return 0;
}

static void go_on(ReceiveState *state) {
        free(state->payload_type);
        free(state->payload_data);
        state->payload_type = state->payload_data = NULL;
        state->request_id[0] = 0;
        state->sent = false;
        state->number += 2;
        state->phase = RECEIVE_READING;
}

/* Whether it is a message of who has the link; anybody can put other octets there. */
static int opens(const ReceiveTransfer *t, const RelayResult *result) {
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        const ShareUrl *url = &t->link->url;
        json_auto_t *provisioning = NULL;
        int r;

        r = payload_decrypt(result->payload_type,
                        result->payload_data,
                        takes_legacy(t),
                        url->secret,
                        url->secret_size,
                        &plaintext);
        if (r == 0)
                r = payload_provisioning_read(plaintext.data, plaintext.size, &provisioning);
        return r < 0 ? r : r == 0;
}

/* Neither ours nor what we answer. A message that was never there before: ours was sent and taken
 * before, or the other side did not wait for it; either way it is the next message. */
static int pass_over(ReceiveTransfer *t, const Blob *blob, ReceiveStep *ret) {
        const ReceiveState *state = t->state;
        int r;

        *ret = RECEIVE_STEP_OLD;
        if (receive_digests_has(&state->written, &blob->digest) ||
                        receive_digests_has(&state->accepted, &blob->digest))
                return 0;
        r = opens(t, blob->result);
        if (r < 0)
                return receive_say_errno(r, "The message");
        if (r > 0) {
                t->overtaken = !state->sent;
                *ret = RECEIVE_STEP_DONE;
        }
        return 0;
}

/* Nothing unread is written over: only what was answered may lie there. Ours lies there: it was
 * sent before. */
static int send_answer(ReceiveTransfer *t, ReceiveStep *ret) {
        _cleanup_(blob_done) Blob blob = { .job = NULL };
        ReceiveState *state = t->state;
        int r;

        t->overtaken = false;
        r = read_blob(t, &blob, ret);
        if (r != 0 || *ret != RECEIVE_STEP_DONE)
                return r;
        if (receive_digests_has_last(&state->accepted, &blob.digest))
                r = update(t, ret);
        else if (!receive_digests_has_last(&state->written, &blob.digest))
                r = pass_over(t, &blob, ret);
        if (r == 0 && *ret == RECEIVE_STEP_DONE)
                go_on(state);
        return r;
}

static int end(ReceiveTransfer *t, RelayJob **ret) {
        return receive_exchange_run(t->exchange,
                        &(RelayJobTask){
                                        .operation = RELAY_JOB_DELETE,
                                        .mailbox = t->link->url.api,
                                        .claim = t->state->claim,
                                        .request_id = t->state->request_id,
                        },
                        ret);
}

const ReceiveSide receive_draft_v = {
        .look = look,
        .keep = keep,
        .answer = answer,
        .send = send_answer,
        .end = end,
};
