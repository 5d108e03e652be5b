/* Messages in both directions through a share's one mailbox. While the share is `released` one
 * thing at a time is asked of the relay: either the mailbox is looked at again and again, or a
 * queued message of the initiator is being written.
 *
 * What a look means depends on the digest of what lies there. The digest known from the last look
 * or write means nothing new; one of an older message means that the relay shows an old one again,
 * or our own back to us, which is noted and changes nothing; any other is the recipient's next
 * message. The relay client opens it and seals it to the front: what passes here cannot be read. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "gateway.h"
#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"
#include "log.h"

enum {
        DETAIL_MAX = 255,  /* of a timeline entry */
        ODD_NOTES_MAX = 8, /* of each kind, for each share */
};

static int detail_of(int number) {
        return number < DETAIL_MAX ? number : DETAIL_MAX;
}

/* --- sealed texts --- */

static int seal_json(Gateway *g,
                const VaultKey *key,
                int64_t share,
                VaultField field,
                uint32_t version,
                const json_t *value,
                uint8_t **ret,
                size_t *ret_size) {
        _cleanup_(json_wipe_freep) char *text = json_quick_text(value);

        if (!text)
                return -ENOMEM;
        return vault_seal(g->vault, key, share, field, version, text, strlen(text), ret, ret_size);
}

static int open_json(Gateway *g,
                const VaultKey *key,
                int64_t share,
                VaultField field,
                uint32_t version,
                const uint8_t *sealed,
                size_t size,
                json_t **ret) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        JsonProblem problem;
        int r;

        r = vault_open(g->vault, key, share, field, version, sealed, size, &plain);
        if (r == 0)
                r = json_read(plain.data, plain.size, 8, ret, &problem);
        return r > 0 ? -EBADMSG : r;
}

static void set_state(Transfer *transfer, uint8_t *state, size_t size) {
        share_drop(&transfer->state, transfer->state_size);
        transfer->state = state;
        transfer->state_size = size;
}

/* Keeps the state that an answer brought, if it did. */
static int take_state(Gateway *g, Transfer *transfer, const json_t *answer) {
        const json_t *state = json_object_get(answer, "state");
        uint8_t *sealed;
        size_t size;
        int r;

        if (!json_is_string(state))
                return 0;
        r = vault_seal(g->vault,
                        NULL,
                        transfer->share,
                        VAULT_FIELD_TRANSFER_STATE,
                        0,
                        json_string_value(state),
                        json_string_length(state),
                        &sealed,
                        &size);
        if (r < 0)
                return r;
        set_state(transfer, sealed, size);
        return 0;
}

static int add_state(Gateway *g, const Transfer *transfer, json_t *frame) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        int r;

        if (!transfer->state)
                return 0;
        r = vault_open(g->vault,
                        NULL,
                        transfer->share,
                        VAULT_FIELD_TRANSFER_STATE,
                        0,
                        transfer->state,
                        transfer->state_size,
                        &plain);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;
        return json_object_set_new(frame,
                               "state",
                               json_stringn((const char *) plain.data, plain.size)) < 0
                               ? -ENOMEM
                               : 0;
}

int transfer_add_state(ShareContext *c, json_t *frame) {
        Transfer transfer;
        int r;

        r = store_transfer_get(c->gateway->store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : 0;
        r = add_state(c->gateway, &transfer, frame);
        transfer_done(&transfer);
        return r;
}

static bool read_digest(const json_t *answer, uint8_t ret[STORE_DIGEST_SIZE]) {
        const char *text = json_string_value(json_object_get(answer, "digest"));

        return text && text_from_base64_exactly(text, ret, STORE_DIGEST_SIZE) == 0;
}

static int add_known(const Transfer *transfer, json_t *frame) {
        _cleanup_(freep) char *text = NULL;

        if (!transfer->has_known)
                return 0;
        text = text_base64(transfer->known, STORE_DIGEST_SIZE);
        return text && json_object_set_new(frame, "known", json_string(text)) == 0 ? 0 : -ENOMEM;
}

/* --- the row --- */

void transfer_poll_row(const Transfer *transfer, OutboxRow *ret) {
        *ret = (OutboxRow){ .share = transfer->share,
                .part = transfer->polls,
                .kind = OUTBOX_POLL,
                .since = transfer->progress };
        memcpy(ret->lane, transfer->lane, sizeof(ret->lane));
}

uint64_t transfer_start_msec(const Gateway *g, const Transfer *transfer) {
        return transfer_first_poll_msec(gateway_now(g) - transfer->progress, randombytes_random());
}

/* From now on the mailbox is looked at. A poll that is still under way ends itself. */
static int start_polling(Gateway *g, Transfer *transfer, uint64_t delay_msec) {
        OutboxRow row;

        transfer->polling = true;
        transfer->polls++;
        transfer_poll_row(transfer, &row);
        return outbox_note(g->outbox, &row, delay_msec);
}

/* What each look says, apart from what it expects. */
static int make_frame(ShareContext *c, Transfer *transfer) {
        const json_t *kid = json_object_get(share_details(c), "kid");
        _cleanup_(secret_done) Secret mailbox = SECRET_NULL;
        json_auto_t *frame = NULL;
        char id[ID_TEXT_SIZE], claim[UUID_TEXT_SIZE];
        int r;

        r = relay_open_mailbox(c, &mailbox);
        if (r != 0)
                return r < 0 ? r : -ESTALE;
        vault_id(c->gateway->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        relay_claim_of(c, claim);
        frame = json_pack("{s:s, s:s, s:i, s:O, s:s%, s:s}",
                        "type",
                        "read",
                        "share",
                        id,
                        "generation",
                        c->share.generation,
                        "kid",
                        kid,
                        "mailbox",
                        (const char *) mailbox.data,
                        mailbox.size,
                        "claim",
                        claim);
        if (!frame)
                return kid ? -ENOMEM : -EBADMSG;
        if (c->share.flags & SHARE_ENCRYPTED &&
                        json_object_set_new(frame, "encrypted", json_true()) < 0)
                return -ENOMEM;
        return seal_json(c->gateway,
                        NULL,
                        c->share.n,
                        VAULT_FIELD_TRANSFER,
                        0,
                        frame,
                        &transfer->frame,
                        &transfer->frame_size);
}

static void know(Transfer *transfer, const uint8_t digest[STORE_DIGEST_SIZE]) {
        memcpy(transfer->known, digest, STORE_DIGEST_SIZE);
        transfer->has_known = true;
}

int transfer_begin(ShareContext *c, const json_t *answer) {
        Store *store = c->gateway->store;
        Transfer transfer = {
                .share = c->share.n, .progress = c->now, .count = 1, .turn = TRANSFER_RECIPIENT
        };
        TransferMessage first = { .share = c->share.n,
                .from = TRANSFER_INITIATOR,
                .state = TRANSFER_ACCEPTED,
                .at = c->now };
        int r;

        (void) snprintf(transfer.lane, sizeof(transfer.lane), "%s", c->share.relay);
        first.has_digest = read_digest(answer, first.digest);
        if (first.has_digest)
                know(&transfer, first.digest);
        r = make_frame(c, &transfer);
        if (r >= 0)
                r = take_state(c->gateway, &transfer, answer);
        if (r >= 0)
                r = start_polling(c->gateway, &transfer, transfer_poll_msec(0, 0));
        if (r >= 0)
                r = store_transfer_put(store, &transfer);
        if (r >= 0)
                r = store_transfer_message_put(store, &first);
        transfer_done(&transfer);
        return r;
}

/* --- looking --- */

int transfer_poll_claim(Gateway *g, const OutboxItem *item, json_t **ret) {
        json_auto_t *frame = NULL;
        Transfer transfer;
        int r;

        r = store_transfer_get(g->store, item->share, &transfer);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        if (!transfer.polling || transfer.polls != item->part || !streq(transfer.lane, item->lane))
                r = OUTBOX_VERDICT_DONE;
        else {
                r = open_json(g,
                                NULL,
                                transfer.share,
                                VAULT_FIELD_TRANSFER,
                                0,
                                transfer.frame,
                                transfer.frame_size,
                                &frame);
                if (r == 0)
                        r = add_known(&transfer, frame);
                if (r == 0)
                        r = add_state(g, &transfer, frame);
                if (r == 0 && json_object_set_new(frame, "expect", json_integer(transfer.count)) <
                                                0)
                        r = -ENOMEM;
        }
        transfer_done(&transfer);
        if (r == 0)
                *ret = TAKE_PTR(frame);
        return r;
}

static uint64_t next_look_msec(const Gateway *g, int64_t since) {
        return transfer_poll_msec(gateway_now(g) - since, randombytes_random());
}

bool transfer_poll_is_quiet(
                Gateway *g, const OutboxItem *item, const json_t *answer, uint64_t *ret_retry) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        json_int_t retry_after = json_integer_value(json_object_get(answer, "retry_after"));

        *ret_retry = next_look_msec(g, item->since);
        if (streq(type, "done"))
                return !json_object_get(answer, "digest") && !json_object_get(answer, "message") &&
                       !json_object_get(answer, "state");
        if (!streq(type, "again"))
                return false;
        *ret_retry = transfer_poll_later_msec(
                        gateway_now(g) - item->since, retry_after, randombytes_random());
        return true;
}

static int put_message(ShareContext *c, TransferMessage *message, const json_t *body) {
        int r = 0;

        if (body)
                r = seal_json(c->gateway,
                                &c->key,
                                c->share.n,
                                VAULT_FIELD_TRANSFER_MESSAGE,
                                (uint32_t) message->number,
                                body,
                                &message->body,
                                &message->body_size);
        if (r >= 0)
                r = store_transfer_message_put(c->gateway->store, message);
        transfer_message_done(message);
        return r;
}

/* What becomes of the queued message. Its body is needed no more; why it was refused, which may be
 * NULL, takes its place. */
static int settle_message(ShareContext *c,
                int number,
                TransferState state,
                const uint8_t *digest,
                const char *refusal) {
        json_auto_t *body = refusal ? json_pack("{s:s}", "reason", refusal) : NULL;
        TransferMessage message = { .share = c->share.n,
                .number = number,
                .from = TRANSFER_INITIATOR,
                .state = state,
                .at = c->now,
                .has_digest = digest != NULL };

        if (refusal && !body)
                return -ENOMEM;
        if (digest)
                memcpy(message.digest, digest, sizeof(message.digest));
        share_note(&c->share,
                        c->now,
                        state == TRANSFER_ACCEPTED ? TIMELINE_MESSAGE_SENT
                                                   : TIMELINE_MESSAGE_REFUSED,
                        detail_of(number),
                        0);
        return put_message(c, &message, body);
}

/* The relay has our message: it is the recipient's turn. Returns 1. */
static int accepted(ShareContext *c, Transfer *transfer, int number, const uint8_t *digest) {
        int r;

        transfer->turn = TRANSFER_RECIPIENT;
        transfer->progress = c->now;
        gateway_count(c->gateway, COUNTER_MESSAGES_SENT);
        r = settle_message(c, number, TRANSFER_ACCEPTED, digest, NULL);
        return r < 0 ? r : 1;
}

/* The mailbox holds one message: what was read there and not answered is another one's now. */
static int replace_unanswered(ShareContext *c, const Transfer *transfer) {
        Store *store = c->gateway->store;
        TransferMessage last;
        int r;

        r = store_transfer_message_get(store, c->share.n, transfer->count - 1, &last);
        if (r != 0)
                return r < 0 ? r : 0;
        if (last.state == TRANSFER_RECEIVED) {
                share_drop(&last.body, last.body_size);
                last.body_size = 0;
                last.state = TRANSFER_REPLACED;
                r = store_transfer_message_put(store, &last);
        }
        transfer_message_done(&last);
        return r;
}

/* The number of the message of ours that the relay does not have yet, or 0. */
static int queued_number(ShareContext *c, int *ret) {
        int r;

        *ret = 0;
        r = store_transfer_message_queued(c->gateway->store, c->share.n, ret);
        return r < 0 ? r : 0;
}

/* Only what was awaited is progress: who writes again and again does not set the pace. */
static int received(
                ShareContext *c, Transfer *transfer, const uint8_t *digest, const json_t *body) {
        TransferMessage message = { .share = c->share.n,
                .from = TRANSFER_RECIPIENT,
                .state = TRANSFER_RECEIVED,
                .at = c->now,
                .has_digest = digest != NULL };
        int r, queued;

        r = queued_number(c, &queued);
        if (r == 0 && (queued > 0 || transfer->turn == TRANSFER_INITIATOR))
                r = replace_unanswered(c, transfer);
        if (r < 0)
                return r;
        message.number = transfer->count++;
        if (digest) {
                memcpy(message.digest, digest, sizeof(message.digest));
                know(transfer, digest);
        }
        if (queued == 0 && transfer->turn == TRANSFER_RECIPIENT) {
                transfer->turn = TRANSFER_INITIATOR;
                transfer->progress = c->now;
        }
        gateway_count(c->gateway, COUNTER_MESSAGES_RECEIVED);
        share_note(&c->share, c->now, TIMELINE_MESSAGE_RECEIVED, detail_of(message.number), 0);
        return put_message(c, &message, body);
}

/* Something lies there that is no message. Who can write there could fill the journal with it. */
static void odd(ShareContext *c, TimelineEvent event) {
        char id[ID_TEXT_SIZE];
        int n = 0;

        gateway_count(c->gateway, COUNTER_MESSAGES_ODD);
        for (int i = 0; i < c->share.n_timeline; i++)
                n += c->share.timeline[i].event == event;
        if (n >= ODD_NOTES_MAX)
                return;
        share_note(&c->share, c->now, event, 0, 0);
        vault_id(c->gateway->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        log_record(LOG_WARNING,
                        &(LogFields){ .share = id, .tenant = c->share.tenant },
                        event == TIMELINE_MESSAGE_REPEATED
                                        ? "The relay shows an old message of a share as if it were "
                                          "new."
                                        : "What lies in the mailbox of a share cannot be opened: "
                                          "its writer does not have the Secret, or it was "
                                          "damaged.");
}

/* A blob that was there before. Positive: there is news all the same. */
static int seen_before(ShareContext *c, Transfer *transfer, int number, const uint8_t *digest) {
        Store *store = c->gateway->store;
        TransferMessage message;
        bool is_theirs = false;
        int r, queued, last;

        r = store_transfer_message_get(store, c->share.n, number, &message);
        if (r == 0) {
                is_theirs = message.from == TRANSFER_RECIPIENT;
                transfer_message_done(&message);
                r = store_transfer_message_last(store, c->share.n, &last);
        }
        if (r == 0)
                r = queued_number(c, &queued);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;

        know(transfer, digest);
        if (queued > 0 && number == queued) /* it had arrived, and that was not answered */
                return accepted(c, transfer, number, digest);
        if (number != last) {
                odd(c, TIMELINE_MESSAGE_REPEATED);
                return 1;
        }
        /* Read while ours was under way, and there still: it answers ours. */
        if (queued > 0 || transfer->turn == TRANSFER_INITIATOR || !is_theirs)
                return 0;
        transfer->turn = TRANSFER_INITIATOR;
        return 1;
}

/* What says how to read a blob lies beside it, and may be right the next time. */
static bool is_damaged_for_good(const json_t *answer) {
        const char *word = json_string_value(json_object_get(answer, "unreadable"));

        return word && !streq(word, "unsupported-type") && !streq(word, "key-length");
}

/* Positive: there is news, and the share is to be saved. */
static int judge(ShareContext *c, Transfer *transfer, const json_t *answer) {
        const json_t *body = json_object_get(answer, "message");
        uint8_t digest[STORE_DIGEST_SIZE];
        bool has_digest = read_digest(answer, digest);
        int r, number;

        if (has_digest) {
                r = store_transfer_message_find(c->gateway->store, c->share.n, digest, &number);
                if (r <= 0)
                        return r < 0 ? r : seen_before(c, transfer, number, digest);
        }
        if (json_is_object(body)) {
                r = received(c, transfer, has_digest ? digest : NULL, body);
                return r < 0 ? r : 1;
        }
        if (!has_digest)
                return 0;
        if (json_is_true(json_object_get(answer, "own"))) {
                know(transfer, digest);
                odd(c, TIMELINE_MESSAGE_REPEATED);
                return 1;
        }
        if (!json_object_get(answer, "unreadable"))
                return 0;
        if (is_damaged_for_good(answer))
                know(transfer, digest);
        odd(c, TIMELINE_MESSAGE_UNREADABLE);
        return 1;
}

/* After a look: on with the message that waits, or on looking. */
static int go_on(ShareContext *c, Transfer *transfer, uint64_t *ret_retry) {
        int r, queued;

        r = queued_number(c, &queued);
        if (r < 0)
                return r;
        if (queued == 0) {
                *ret_retry = next_look_msec(c->gateway, transfer->progress);
                return OUTBOX_VERDICT_AGAIN;
        }
        transfer->polling = false;
        r = share_queue_relay(c, OUTBOX_UPDATE, TRANSFER_POLL_MIN_MSEC);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

/* Draft R: what was read is deleted once it is durable here, and before anything else is asked. */
static int acknowledge(ShareContext *c, Transfer *transfer) {
        int r;

        transfer->polling = false;
        r = share_queue_relay(c, OUTBOX_ACKNOWLEDGE, 0);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

static int looked(ShareContext *c,
                const OutboxItem *item,
                Transfer *transfer,
                const json_t *answer,
                uint64_t *ret_retry) {
        int news, verdict, r;

        relay_mailbox_seen(c);
        news = judge(c, transfer, answer);
        r = news < 0 ? news : take_state(c->gateway, transfer, answer);
        if (r < 0)
                return r;
        if (json_object_get(answer, "state"))
                verdict = acknowledge(c, transfer);
        else
                verdict = go_on(c, transfer, ret_retry);
        if (verdict == OUTBOX_VERDICT_AGAIN && transfer->progress != item->since) {
                r = start_polling(c->gateway, transfer, *ret_retry); /* with its new age */
                verdict = r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        if (verdict < 0)
                return verdict;
        r = store_transfer_put(c->gateway->store, transfer);
        if (r >= 0 && news > 0)
                r = share_save(c);
        else if (r >= 0)
                r = store_share_update(c->gateway->store, &c->share);
        return r < 0 ? r : verdict;
}

/* The relay's protocol ends the run: a message that does not open, or a race that was lost. */
static int broken(ShareContext *c, Transfer *transfer, const json_t *answer) {
        int r;

        r = take_state(c->gateway, transfer, answer);
        if (r >= 0)
                r = store_transfer_put(c->gateway->store, transfer);
        if (r >= 0)
                r = share_step(c, LIFECYCLE_EVENT_TRANSFER_BROKEN);
        if (r == 0)
                r = share_save(c);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

static bool is_abort(const json_t *answer) {
        const char *reason = json_string_value(json_object_get(answer, "reason"));

        return reason && strncmp(reason, "abort", 5) == 0;
}

int transfer_poll_answered(ShareContext *c,
                const OutboxItem *item,
                const json_t *answer,
                uint64_t *ret_retry) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        Transfer transfer;
        int r;

        if (c->share.state != LIFECYCLE_RELEASED || c->share.flags & SHARE_ACKNOWLEDGED)
                return OUTBOX_VERDICT_DONE;
        r = store_transfer_get(c->gateway->store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        if (!transfer.polling || transfer.polls != item->part)
                r = OUTBOX_VERDICT_DONE;
        else if (streq(type, "done"))
                r = looked(c, item, &transfer, answer, ret_retry);
        else if (streq(type, "gone"))
                r = relay_mailbox_gone(c);
        else if (is_abort(answer))
                r = broken(c, &transfer, answer);
        else if (streq(type, "claimed")) {
                *ret_retry = next_look_msec(c->gateway, item->since);
                r = relay_mailbox_claimed(c, item);
        } else
                r = relay_mailbox_refused(c, OUTBOX_READ, type, ret_retry);
        transfer_done(&transfer);
        return r;
}

/* --- writing --- */

TransferParty transfer_turn(ShareContext *c) {
        TransferParty turn = TRANSFER_RECIPIENT;
        Transfer transfer;

        if (store_transfer_get(c->gateway->store, c->share.n, &transfer) == 0) {
                turn = transfer.turn;
                transfer_done(&transfer);
        }
        return turn;
}

int transfer_was_answered(ShareContext *c) {
        Transfer transfer;
        int r;

        r = store_transfer_get(c->gateway->store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : 0;
        r = transfer.count > 1; /* the initiator's second is an answer */
        transfer_done(&transfer);
        return r;
}

int transfer_may_be_taken(ShareContext *c) {
        Transfer transfer;
        int r;

        r = store_transfer_get(c->gateway->store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : 0;
        r = transfer.state && transfer.turn == TRANSFER_RECIPIENT;
        transfer_done(&transfer);
        return r;
}

int transfer_add(ShareContext *c, const json_t *body, int *ret_number) {
        Store *store = c->gateway->store;
        TransferMessage message = { .share = c->share.n,
                .from = TRANSFER_INITIATOR,
                .state = TRANSFER_QUEUED,
                .at = c->now };
        Transfer transfer;
        bool was_polling;
        int r;

        r = store_transfer_get(store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : TRANSFER_E_NOT_YOUR_TURN;
        was_polling = transfer.polling;
        if (transfer.turn != TRANSFER_INITIATOR)
                r = TRANSFER_E_NOT_YOUR_TURN;
        if (r == 0) {
                message.number = transfer.count++;
                *ret_number = message.number;
                transfer.turn = TRANSFER_RECIPIENT;
                transfer.polling = false;
                c->share.flags &= ~SHARE_TAKEN; /* which was about the one before */
                r = put_message(c, &message, body);
        }
        if (r == 0)
                r = store_transfer_put(store, &transfer);
        if (r == 0 && was_polling) /* else when the acknowledgement that is under way is done */
                r = share_queue_relay(c, OUTBOX_UPDATE, 0);
        transfer_done(&transfer);
        return r;
}

static int update_frame(ShareContext *c,
                const Transfer *transfer,
                const json_t *body,
                int number,
                json_t **ret) {
        Gateway *g = c->gateway;
        json_auto_t *frame = NULL;
        char request[UUID_TEXT_SIZE], operation[32];
        int r;

        r = open_json(g,
                        NULL,
                        c->share.n,
                        VAULT_FIELD_TRANSFER,
                        0,
                        transfer->frame,
                        transfer->frame_size,
                        &frame);
        if (r < 0)
                return r;
        (void) snprintf(operation, sizeof(operation), "update-%d", number);
        vault_request_id(g->vault, c->share.n, (unsigned) c->share.generation, operation, request);
        if (json_object_update((json_t *) frame, (json_t *) body) < 0 ||
                        json_object_set_new(frame, "type", json_string("update")) < 0 ||
                        json_object_set_new(frame, "request", json_string(request)) < 0 ||
                        json_object_set_new(frame, "number", json_integer(number)) < 0)
                return -ENOMEM;
        r = add_known(transfer, frame);
        if (r == 0)
                r = add_state(g, transfer, frame);
        if (r == 0)
                *ret = TAKE_PTR(frame);
        return r;
}

int transfer_update_claim(ShareContext *c, OutboxRow *row, json_t **ret) {
        Store *store = c->gateway->store;
        json_auto_t *body = NULL;
        TransferMessage message;
        Transfer transfer;
        int r, number;

        (void) row;
        r = store_transfer_get(store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        r = queued_number(c, &number);
        if (r >= 0 && number == 0)
                r = OUTBOX_VERDICT_DONE;
        if (r == 0)
                r = store_transfer_message_get(store, c->share.n, number, &message);
        if (r == 0) {
                r = open_json(c->gateway,
                                &c->key,
                                c->share.n,
                                VAULT_FIELD_TRANSFER_MESSAGE,
                                (uint32_t) number,
                                message.body,
                                message.body_size,
                                &body);
                transfer_message_done(&message);
        }
        if (r == 0)
                r = update_frame(c, &transfer, body, number, ret);
        transfer_done(&transfer);
        return r;
}

/* Ends the writing, whatever came of it, and looks again after a while. */
static int look_again(ShareContext *c, const OutboxRow *row, Transfer *transfer, uint64_t msec) {
        int r;

        r = store_outbox_remove(c->gateway->store, row->share, row->part);
        if (r >= 0)
                r = start_polling(c->gateway, transfer, msec);
        if (r >= 0)
                r = store_transfer_put(c->gateway->store, transfer);
        if (r >= 0)
                r = share_save(c);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

/* What lay there is not what was known, so it is looked at, and our message written after that
 * look. By then the relay may show again what was known: a look that knew it would have no news,
 * and nothing would go on. Not at once, or a relay that shows now this and now that sets the pace.
 */
static int unread(ShareContext *c, const OutboxRow *row, Transfer *transfer) {
        transfer->has_known = false;
        return look_again(c, row, transfer, next_look_msec(c->gateway, transfer->progress));
}

static int written(ShareContext *c,
                const OutboxRow *row,
                Transfer *transfer,
                int number,
                const json_t *answer) {
        uint8_t digest[STORE_DIGEST_SIZE];
        bool has_digest = read_digest(answer, digest);
        int r;

        if (has_digest)
                know(transfer, digest);
        r = take_state(c->gateway, transfer, answer);
        if (r >= 0)
                r = accepted(c, transfer, number, has_digest ? digest : NULL);
        return r < 0 ? r : look_again(c, row, transfer, transfer_poll_msec(0, 0));
}

/* What the relay may have of our message after all is recognised when it is shown. */
static int note_digest(ShareContext *c, int number, const json_t *answer) {
        Store *store = c->gateway->store;
        uint8_t digest[STORE_DIGEST_SIZE];
        TransferMessage message;
        int r;

        if (!read_digest(answer, digest))
                return 0;
        r = store_transfer_message_get(store, c->share.n, number, &message);
        if (r != 0)
                return r < 0 ? r : 0;
        if (!message.has_digest) {
                message.has_digest = true;
                memcpy(message.digest, digest, sizeof(message.digest));
                r = store_transfer_message_put(store, &message);
        }
        transfer_message_done(&message);
        return r;
}

/* It is the initiator's turn still, with another message. Whether the mailbox is ours still is for
 * the next look to say. */
static int not_written(ShareContext *c,
                const OutboxRow *row,
                Transfer *transfer,
                int number,
                const json_t *answer) {
        uint8_t digest[STORE_DIGEST_SIZE];
        bool has_digest = read_digest(answer, digest);
        int r;

        transfer->turn = TRANSFER_INITIATOR;
        r = settle_message(c,
                        number,
                        TRANSFER_REFUSED,
                        has_digest ? digest : NULL,
                        transfer_refusal(json_string_value(json_object_get(answer, "reason"))));
        return r < 0 ? r : look_again(c, row, transfer, transfer_poll_msec(0, 0));
}

static int update_answered(ShareContext *c,
                const OutboxRow *row,
                Transfer *transfer,
                const json_t *answer,
                uint64_t *ret_retry) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        const char *reason = json_string_value(json_object_get(answer, "reason"));
        int r, number;

        r = queued_number(c, &number);
        if (r < 0)
                return r;
        if (number == 0)
                return look_again(c, row, transfer, *ret_retry);
        if (streq(type, "done"))
                return written(c, row, transfer, number, answer);
        if (streq(type, "gone"))
                return relay_mailbox_gone(c);
        if (is_abort(answer))
                return broken(c, transfer, answer);
        if (!streq(type, "again"))
                return not_written(c, row, transfer, number, answer);
        r = note_digest(c, number, answer);
        if (r < 0)
                return r;
        if (*ret_retry < TRANSFER_POLL_MIN_MSEC)
                *ret_retry = TRANSFER_POLL_MIN_MSEC; /* another try begins with a look */
        return reason && streq(reason, "unread-message") ? unread(c, row, transfer)
                                                         : OUTBOX_VERDICT_AGAIN;
}

int transfer_update_answered(
                ShareContext *c, OutboxRow *row, const json_t *answer, uint64_t *ret_retry) {
        Transfer transfer;
        int r;

        r = store_transfer_get(c->gateway->store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        r = update_answered(c, row, &transfer, answer, ret_retry);
        transfer_done(&transfer);
        return r;
}

/* --- acknowledging --- */

int transfer_acknowledge_claim(ShareContext *c, json_t **ret) {
        json_auto_t *frame = NULL;
        Transfer transfer;
        int r;

        r = store_transfer_get(c->gateway->store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        r = open_json(c->gateway,
                        NULL,
                        c->share.n,
                        VAULT_FIELD_TRANSFER,
                        0,
                        transfer.frame,
                        transfer.frame_size,
                        &frame);
        if (r == 0)
                r = add_state(c->gateway, &transfer, frame);
        if (r == 0 && json_object_set_new(frame, "type", json_string("acknowledge")) < 0)
                r = -ENOMEM;
        transfer_done(&transfer);
        if (r == 0)
                *ret = TAKE_PTR(frame);
        return r;
}

static int acknowledged(ShareContext *c, Transfer *transfer, const json_t *answer) {
        uint64_t delay;
        int r;

        r = take_state(c->gateway, transfer, answer);
        if (r >= 0)
                r = go_on(c, transfer, &delay);
        if (r == OUTBOX_VERDICT_AGAIN)
                r = start_polling(c->gateway, transfer, delay);
        if (r >= 0)
                r = store_transfer_put(c->gateway->store, transfer);
        if (r >= 0)
                r = store_share_update(c->gateway->store, &c->share);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

int transfer_acknowledge_answered(ShareContext *c, OutboxRow *row, const json_t *answer) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        Transfer transfer;
        int r;

        if (streq(type, "again"))
                return OUTBOX_VERDICT_AGAIN;
        r = store_outbox_remove(c->gateway->store, row->share, row->part);
        if (r < 0)
                return r;
        r = store_transfer_get(c->gateway->store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        r = is_abort(answer) ? broken(c, &transfer, answer) : acknowledged(c, &transfer, answer);
        transfer_done(&transfer);
        return r;
}
