/* The further messages of a transfer: what a tenant sends on, and what the recipient wrote. Both
 * pass sealed; the relay client opens the ones, and the front the others. */
#include <errno.h>
#include <string.h>

#include "address.h"
#include "envelope.h"
#include "front.h"
#include "json-quick.h"
#include "json-read.h"

enum {
        LIST_BYTES_MAX = 32 * 1024,
        LIST_LIMIT_DEFAULT = 20,
        JSON_DEPTH = 8,
};

static const char message_class[] = "message"; /* instead of a credential's class */

int front_note_sealed(Ask *ask, const json_t *sealed, int64_t not_after) {
        const char *nonce = json_string_value(json_object_get(sealed, "nonce"));
        const char *box = json_string_value(json_object_get(sealed, "box"));
        uint8_t index[VAULT_INDEX_SIZE];

        vault_index_nonce(ask->gateway->vault, ask->tenant->id, nonce ? nonce : box, index);
        if (!nonce)
                not_after = gateway_now(ask->gateway) + GATEWAY_KEEP_BOXES;
        return store_seen_add(ask->gateway->store, index, not_after);
}

/* --- sending --- */

typedef struct Addition {
        const char *kid, *box;
        const json_t *sealed;
        bool encrypted;
        const char *digest; /* of what is encrypted, or NULL */
        int64_t not_after;
} Addition;

static int read_addition(Ask *ask, Addition *ret) {
        static const JsonMember members[] = {
                { "kid", JSON_KIND_STRING, offsetof(Addition, kid), true, 1, 64 },
                { "box", JSON_KIND_STRING, offsetof(Addition, box), true, 1, 60000 },
        };
        JsonProblem problem;
        int r;

        *ret = (Addition){ .sealed = json_object_get(ask->frame, "sealed"),
                .encrypted = json_is_true(json_object_get(ask->frame, "encrypted")),
                .digest = json_string_value(json_object_get(ask->frame, "digest")) };
        r = json_read_members(ret->sealed, members, N_ELEMENTS(members), false, ret, &problem);
        if (r > 0)
                (void) ask_refuse(ask,
                                422,
                                "missing-member",
                                "The request cannot be used",
                                "`provisioning` is required.");
        return r;
}

/* Whether the share can take a message of this kind now, apart from whose turn it is. */
static int check_share(Ask *ask, const ShareContext *c, const Addition *addition) {
        const Share *s = &c->share;

        if (!(s->flags & SHARE_SEVERAL))
                (void) ask_refuse(ask,
                                409,
                                "one-message",
                                "This share carries one message",
                                "Its policy has access rights RD. A policy with `access_rights = "
                                "RWD` carries several.");
        else if (lifecycle_is_terminal(s->state) || s->state == LIFECYCLE_WITHDRAWING ||
                        s->flags & SHARE_ACKNOWLEDGED)
                (void) ask_refuse(ask,
                                409,
                                "already-ended",
                                "The share has ended",
                                "It is %s; nothing more can be sent.",
                                lifecycle_state_name(s->state));
        else if (s->state != LIFECYCLE_RELEASED)
                (void) ask_refuse(ask,
                                409,
                                "not-your-turn",
                                "The recipient has not answered yet",
                                "The share is %s. Wait for a message of the recipient.",
                                lifecycle_state_name(s->state));
        else if (addition->encrypted != !!(s->flags & SHARE_ENCRYPTED))
                (void) ask_refuse(ask,
                                422,
                                "wrong-kind",
                                "The content is of the wrong kind",
                                s->flags & SHARE_ENCRYPTED
                                                ? "You hold this share's Secret: send "
                                                  "`provisioning.encrypted`."
                                                : "We hold this share's Secret: send `format` and "
                                                  "`content`, or `sealed`.");
        else
                return 0;
        return 1;
}

/* The envelope of a further message is bound to the share's id in place of its recipients. */
static int read_binding(Ask *ask, const ShareContext *c, Addition *addition, json_t **ret) {
        bool is_tenants = !json_object_get(addition->sealed, "nonce");
        EnvelopeBinding ours = { .tenant = ask->tenant->id,
                .credential_class = message_class,
                .not_after = c->share.mailbox_expires },
                        theirs;
        json_auto_t *binding = NULL;
        char id[ID_TEXT_SIZE];
        const char *ids[] = { id };
        int r;

        vault_id(ask->gateway->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        address_list_hash(ids, 1, ours.recipients);
        binding = envelope_binding_write(&ours);
        if (!binding || json_object_update_existing(binding, (json_t *) addition->sealed) < 0 ||
                        json_object_set_new(binding, "tenant", json_string(ask->tenant->id)) < 0)
                return -ENOMEM;
        r = envelope_binding_read(binding, &theirs);
        if (r < 0)
                return r;
        if (r > 0 || memcmp(theirs.recipients, ours.recipients, sizeof(ours.recipients)) != 0 ||
                        !streq(theirs.credential_class, message_class) ||
                        theirs.not_after < ours.not_after) {
                (void) ask_refuse(ask,
                                409,
                                "stale-envelope",
                                "The content was sealed for something else",
                                "Seal it for this share, and until its mailbox ends.");
                return 1;
        }
        addition->not_after = theirs.not_after;
        if (is_tenants) {
                (void) json_object_del(binding, "nonce");
                (void) json_object_del(binding, "not_after");
        }
        *ret = TAKE_PTR(binding);
        return 0;
}

/* Whoever reads it knows a message by its octets, and takes these for one that was there before. */
static int check_repeated(Ask *ask, const ShareContext *c, const Addition *addition) {
        uint8_t digest[STORE_DIGEST_SIZE];
        int r, number;

        if (!addition->encrypted || !addition->digest ||
                        text_from_base64_exactly(addition->digest, digest, sizeof(digest)) != 0)
                return 0;
        r = store_transfer_message_find(ask->gateway->store, c->share.n, digest, &number);
        if (r != 0)
                return r == STORE_E_NOT_FOUND ? 0 : r;
        (void) ask_refuse(ask,
                        409,
                        "repeated-message",
                        "This message was there before",
                        "Its octets are those of message %d. Encrypt again, with a fresh IV.",
                        number);
        return 1;
}

static json_t *message_json(const TransferMessage *message) {
        char at[TIME_TEXT_SIZE];

        time_text(message->at, at);
        return json_pack("{s:i, s:s, s:s, s:s}",
                        "number",
                        message->number,
                        "from",
                        transfer_party_name(message->from),
                        "state",
                        transfer_state_name(message->state),
                        "at",
                        at);
}

static int add(Ask *ask, ShareContext *c, Addition *addition) {
        TransferMessage queued = {
                .from = TRANSFER_INITIATOR, .state = TRANSFER_QUEUED, .at = c->now
        };
        json_auto_t *binding = NULL, *body = NULL;
        int r;

        r = check_share(ask, c, addition);
        if (r == 0)
                r = check_repeated(ask, c, addition);
        if (r == 0)
                r = read_binding(ask, c, addition, &binding);
        if (r != 0)
                return r < 0 ? r : 0;
        body = json_pack("{s:O, s:s, s:s}",
                        "envelope",
                        binding,
                        "message_kid",
                        addition->kid,
                        "box",
                        addition->box);
        if (!body)
                return -ENOMEM;
        r = transfer_add(c, body, &queued.number);
        if (r == TRANSFER_E_NOT_YOUR_TURN)
                return ask_refuse(ask,
                                409,
                                "not-your-turn",
                                "It is the recipient's turn",
                                "The mailbox holds one message. Wait for the recipient's answer to "
                                "yours; a share can be cancelled at any time.");
        if (r < 0)
                return r;
        r = front_note_sealed(ask, addition->sealed, addition->not_after);
        if (r != 0)
                return r;
        r = share_save(c);
        ask->status = 202;
        ask->body = message_json(&queued);
        if (!ask->body)
                return -ENOMEM;
        return r < 0 ? r : front_remember_answer(ask, NULL);
}

int front_message_add(Ask *ask) {
        Addition addition;
        ShareContext c;
        int r;

        r = read_addition(ask, &addition);
        if (r == 0)
                r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        r = add(ask, &c, &addition);
        if (r == STORE_E_EXISTS) { /* nothing of this command may stay */
                r = engine_drop(ask->gateway->engine);
                (void) ask_refuse(ask,
                                409,
                                "stale-envelope",
                                "The content was used before",
                                "Seal it again.");
        }
        share_context_done(&c);
        return r;
}

/* --- listing --- */

/* Adds what the message carries, which the front opens, or the tenant; or why it was refused. */
static int add_body(ShareContext *c, const TransferMessage *message, json_t *object) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        json_auto_t *body = NULL;
        JsonProblem problem;
        int r;

        if (!message->body || message->state == TRANSFER_QUEUED)
                return 0;
        r = vault_open(c->gateway->vault,
                        &c->key,
                        c->share.n,
                        VAULT_FIELD_TRANSFER_MESSAGE,
                        (uint32_t) message->number,
                        message->body,
                        message->body_size,
                        &plain);
        if (r == 0)
                r = json_read(plain.data, plain.size, JSON_DEPTH, &body, &problem);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;
        if (json_object_get(body, "encrypted") || message->state == TRANSFER_REFUSED)
                return json_object_update(object, body);
        return json_object_set(object, "box", body);
}

static int list(Ask *ask, ShareContext *c, int first, size_t limit) {
        json_t *messages = json_object_get(ask->body, "messages");
        size_t bytes = 0;

        for (int number = first;; number++) {
                TransferMessage message;
                json_auto_t *object = NULL;
                int r;

                r = store_transfer_message_next(ask->gateway->store, c->share.n, number, &message);
                if (r != 0)
                        return r < 0 ? r : 0;
                number = message.number;
                object = message_json(&message);
                r = object ? add_body(c, &message, object) : -ENOMEM;
                transfer_message_done(&message);
                if (r < 0)
                        return r;
                bytes += json_quick_write(object, NULL, 0) + 1;
                if (json_array_size(messages) == limit ||
                                (json_array_size(messages) > 0 && bytes > LIST_BYTES_MAX))
                        return json_object_set_new(ask->body, "cursor", json_integer(number - 1));
                if (json_array_append(messages, object) < 0)
                        return -ENOMEM;
        }
}

int front_message_list(Ask *ask) {
        const json_t *after = json_object_get(ask->frame, "after");
        json_int_t limit = json_integer_value(json_object_get(ask->frame, "limit"));
        json_int_t first = after ? json_integer_value(after) + 1 : 0;
        ShareContext c;
        int r;

        r = front_load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        if (lifecycle_is_terminal(c.share.state) || c.share.state == LIFECYCLE_WITHDRAWING)
                r = ask_refuse(ask,
                                409,
                                "already-ended",
                                "The share has ended",
                                "It is %s, and its messages were wiped.",
                                lifecycle_state_name(c.share.state));
        else {
                ask->status = 200;
                ask->body = json_pack("{s:[]}", "messages");
                if (limit <= 0)
                        limit = LIST_LIMIT_DEFAULT;
                if (limit > SHARE_LIMIT_LIST)
                        limit = SHARE_LIMIT_LIST;
                r = ask->body ? list(ask,
                                                &c,
                                                first < 0           ? 0
                                                : first > INT32_MAX ? INT32_MAX
                                                                    : (int) first,
                                                (size_t) limit)
                              : -ENOMEM;
        }
        share_context_done(&c);
        return r;
}
