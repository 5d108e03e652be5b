#include "client-answer.h"

#include <errno.h>
#include <stdio.h>

#include "log.h"
#include "message-box.h"
#include "read-verdict.h"
#include "text.h"

enum {
        NO_FRONT_KEY_RETRY = 60, /* seconds; somebody has to install one */
};

/* Sets a member, or makes an end of the frame: a frame that lacks one must not leave. */
static void set_text(json_t **frame, const char *name, const char *text) {
        if (*frame && json_object_set_new(*frame, name, json_string(text)) < 0) {
                json_decref(*frame);
                *frame = NULL;
        }
}

static void set_octets(json_t **frame, const char *name, const void *data, size_t size) {
        _cleanup_(freep) char *text = text_base64(data, size);

        if (text)
                set_text(frame, name, text);
        else {
                json_decref(*frame);
                *frame = NULL;
        }
}

static void set_digest(json_t **frame, const uint8_t digest[PAYLOAD_DIGEST_SIZE]) {
        set_octets(frame, "digest", digest, PAYLOAD_DIGEST_SIZE);
}

static void set_state(json_t **frame, const RelayResult *result) {
        if (result->state)
                set_octets(frame, "state", result->state, result->state_size);
}

static json_t *new_frame(const char *type) {
        return json_pack("{s:s}", "type", type);
}

json_t *client_answer_refused(const char *reason) {
        return json_pack("{s:s, s:s}", "type", "refused", "reason", reason);
}

json_t *client_answer_again(const char *reason, unsigned retry_after) {
        json_t *frame = json_pack("{s:s, s:s}", "type", "again", "reason", reason);

        if (frame && retry_after > 0)
                (void) json_object_set_new(frame, "retry_after", json_integer(retry_after));
        return frame;
}

json_t *client_answer_written(void) {
        return new_frame("done");
}

/* Draft R: it is known only once the run was gone on with, and told then. */
void client_answer_add_written(const ClientQuestion *question, json_t **frame) {
        if (question->frame->kind == RELAY_FRAME_UPDATE && question->release->payload_data)
                set_digest(frame, question->release->digest);
}

/* A share of one message needs no state: see relay.h. */
static json_t *done_create(const ClientQuestion *question, const RelayResult *result) {
        json_t *frame = json_pack("{s:s, s:s, s:s}",
                        "type",
                        "done",
                        "mailbox",
                        result->mailbox,
                        "link",
                        result->link);

        set_digest(&frame, result->has_digest ? result->digest : question->release->digest);
        if (strchr(question->frame->rights, 'W'))
                set_state(&frame, result);
        return frame;
}

static json_t *refused_for(
                const ClientQuestion *question, const RelayResult *result, const char *reason) {
        json_t *frame = client_answer_refused(reason);

        log_record(LOG_WARNING,
                        &(LogFields){ .share = question->frame->share },
                        "what the relay answered ends a share: %s",
                        reason);
        set_state(&frame, result);
        return frame;
}

/* Draft R: who wrote it has R, and no later message could take its place: the run ends. The state
 * says what is still to be deleted. */
static json_t *refused_message(
                const ClientQuestion *question, const RelayResult *result, const char *word) {
        char reason[RELAY_REASON_SIZE];

        (void) snprintf(reason, sizeof(reason), "abort-%s", word);
        return refused_for(question, result, reason);
}

static json_t *done_unreadable(const ClientQuestion *question,
                const uint8_t digest[PAYLOAD_DIGEST_SIZE],
                const char *word) {
        json_t *frame = json_pack("{s:s, s:s}", "type", "done", "unreadable", word);

        log_record(LOG_NOTICE,
                        &(LogFields){ .share = question->frame->share },
                        "what lies in a mailbox cannot be read: %s",
                        word);
        set_digest(&frame, digest);
        return frame;
}

static json_t *done_ours(const uint8_t digest[PAYLOAD_DIGEST_SIZE]) {
        json_t *frame = json_pack("{s:s, s:b}", "type", "done", "own", 1);

        set_digest(&frame, digest);
        return frame;
}

static json_t *done_message(const ClientQuestion *question,
                const RelayResult *result,
                const uint8_t digest[PAYLOAD_DIGEST_SIZE],
                const json_t *message,
                int64_t now) {
        const RelayPublicKeys *keys = question->settings->front_keys;
        const RelayPublicKey *key = keys ? relay_public_keys_current(keys, now) : NULL;
        _cleanup_(freep) char *box = NULL;
        json_t *frame;
        int r;

        if (!key) {
                log_error("what a recipient answered waits: there is no front-key.pub that is "
                          "still valid");
                return client_answer_again("no-front-key", NO_FRONT_KEY_RETRY);
        }
        r = message_box_seal(
                        question->frame->share, question->frame->number, message, key->key, &box);
        if (r == -EMSGSIZE && question->settings->is_draft_r)
                return refused_message(question, result, "too-large");
        if (r == -EMSGSIZE)
                return done_unreadable(question, digest, "too-large");
        if (r < 0)
                return NULL;
        frame = json_pack("{s:s, s:{s:s, s:s}}",
                        "type",
                        "done",
                        "message",
                        "kid",
                        key->kid,
                        "box",
                        box);
        set_digest(&frame, digest);
        set_state(&frame, result);
        return frame;
}

static json_t *done_encrypted(
                const RelayResult *result, const uint8_t digest[PAYLOAD_DIGEST_SIZE]) {
        json_t *frame = json_pack("{s:s, s:{s:{s:s, s:s}}}",
                        "type",
                        "done",
                        "message",
                        "encrypted",
                        "type",
                        result->payload_type,
                        "data",
                        result->payload_data);

        set_digest(&frame, digest);
        return frame;
}

/* Draft V: one slot, in which anything may lie. */
static json_t *done_read_slot(
                const ClientQuestion *question, const RelayResult *result, int64_t now) {
        const RelayFrame *frame = question->frame;
        _cleanup_(read_verdict_done) ReadVerdict verdict = { .kind = READ_KNOWN };
        const ReadQuestion asked = {
                .known = frame->has_known ? frame->known : NULL,
                .encrypted = frame->encrypted,
                .legacy = question->settings->terms.dialect != DRAFT_V_CURRENT,
                .key = question->key,
                .share = frame->share,
                .generation = frame->generation,
                .expect = frame->number,
        };

        if (read_verdict_reach(&asked, result->payload_type, result->payload_data, &verdict) < 0)
                return NULL;
        switch (verdict.kind) {
        case READ_KNOWN:
                break;
        case READ_OURS:
                return done_ours(verdict.digest);
        case READ_UNREADABLE:
                return done_unreadable(question, verdict.digest, verdict.word);
        case READ_MESSAGE:
                return frame->encrypted ? done_encrypted(result, verdict.digest)
                                        : done_message(question,
                                                          result,
                                                          verdict.digest,
                                                          verdict.message,
                                                          now);
        }
        return new_frame("done");
}

/* Draft R: what comes is the next message of the run, or nothing. */
static json_t *done_read_run(
                const ClientQuestion *question, const RelayResult *result, int64_t now) {
        json_auto_t *message = NULL;
        int r;

        if (!result->has_content)
                return new_frame("done");
        r = payload_provisioning_read(result->content, result->content_size, &message);
        if (r < 0)
                return NULL;
        if (r > 0)
                return refused_message(question, result, payload_error_name((PayloadError) r));
        return done_message(question, result, result->digest, message, now);
}

static json_t *done_read(const ClientQuestion *question, const RelayResult *result, int64_t now) {
        if (question->frame->number == 0)
                return new_frame("done");
        return question->settings->is_draft_r ? done_read_run(question, result, now)
                                              : done_read_slot(question, result, now);
}

static json_t *done_update(const RelayResult *result) {
        json_t *frame = new_frame("done");

        if (result->has_digest)
                set_digest(&frame, result->digest);
        set_state(&frame, result);
        return frame;
}

/* Nothing was left to delete: the state stays as it was. */
static json_t *done_acknowledge(const ClientQuestion *question, const RelayResult *result) {
        json_t *frame = new_frame("done");

        set_state(&frame, result);
        if (!result->state && question->frame->state)
                set_octets(&frame, "state", question->frame->state, question->frame->state_size);
        return frame;
}

static json_t *done(const ClientQuestion *question, const RelayResult *result, int64_t now) {
        switch (question->frame->kind) {
        case RELAY_FRAME_CREATE:
                return done_create(question, result);
        case RELAY_FRAME_READ:
                return done_read(question, result, now);
        case RELAY_FRAME_UPDATE:
                return done_update(result);
        case RELAY_FRAME_ACKNOWLEDGE:
                return done_acknowledge(question, result);
        case RELAY_FRAME_DELETE:
        case _RELAY_FRAME_KIND_MAX:
                break;
        }
        return new_frame("done");
}

json_t *client_answer(const ClientQuestion *question, const RelayResult *result, int64_t now) {
        switch (result->outcome) {
        case RELAY_DONE:
                return done(question, result, now);
        case RELAY_AGAIN:
                return client_answer_again(result->reason, result->retry_after);
        case RELAY_DUPLICATE:
                return new_frame("duplicate");
        case RELAY_GONE:
                return new_frame("gone");
        case RELAY_CLAIMED: /* of a read that comes before an update: the claim is not good */
                return new_frame(question->frame->kind == RELAY_FRAME_READ ? "claimed"
                                                                           : "unauthorised");
        case RELAY_UNAUTHORISED:
                return new_frame("unauthorised");
        case RELAY_REFUSED:
        case _RELAY_OUTCOME_MAX:
                break;
        }
        return refused_for(question, result, result->reason);
}
