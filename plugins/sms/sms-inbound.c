#include "sms-inbound.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/queue.h>

#include "address.h"
#include "log.h"
#include "secret.h"
#include "text.h"
#include "time-text.h"

enum {
        INBOUND_ID_SIZE = 65,
        DIGEST_SIZE = 16,
        DIGEST_TEXT_SIZE = 2 * DIGEST_SIZE + 1,
        WHOLES_MAX = 512,
        WHOLES_OF_SENDER_MAX = 4,
        PARTS_OF_SENDER_MAX = 64,
        PARTS_BYTES_MAX = 512 * 1024,
        SETTLED_MAX = 4096, /* parts that are known to be of no more use */
};

/* A whole message that the gateway has not made durable. */
typedef struct Reply {
        TAILQ_ENTRY(Reply) entry;
        SmsReplies *replies;
        char inbound[INBOUND_ID_SIZE];
        char from[SMS_PART_NAME_SIZE + 4], to[SMS_PART_NAME_SIZE + 4]; /* URIs */
        char *text;
        uint64_t *tokens;
        size_t n_tokens;
        char (*returned)[DIGEST_TEXT_SIZE]; /* of its parts, those that were handed back before */
        size_t n_returned;
        int64_t request;
} Reply;

/* The parts of a message that left the assembly. */
typedef struct Parts {
        uint64_t tokens[SMS_WHOLE_PARTS_MAX]; /* that the driver waits for */
        size_t n_tokens;
        char returned[SMS_WHOLE_PARTS_MAX]
                     [DIGEST_TEXT_SIZE]; /* that the carrier will bring once more */
        size_t n_returned;
} Parts;

/* A part that the assembly has. Each has a number of its own there, by which it is found here: the
 * driver's token may have been settled before the message is whole. */
typedef struct Waiting {
        TAILQ_ENTRY(Waiting) entry; /* in the order of due */
        uint64_t number, token, due;
        bool handed_back;
        char digest[DIGEST_TEXT_SIZE];
        char place[DIGEST_TEXT_SIZE]; /* which part of which message it is, whatever its id */
} Waiting;

struct SmsReplies {
        Plugin *plugin;
        const char *sender;
        SmsSettle settle;
        void *userdata;
        SmsAssembly *assembly;
        sd_event_source *timer; /* off while nothing waits */
        TAILQ_HEAD(, Reply) replies;
        TAILQ_HEAD(, Waiting) waiting;
        size_t n_replies, n_waiting;
        uint64_t last_number;
        bool overflowed, displaced; /* said once */
        /* Parts that were handed back before their message was taken: the carrier brings them once
         * more. A ring. */
        char settled[SETTLED_MAX][DIGEST_TEXT_SIZE];
        size_t next_settled;
};

/* --- Identity --- */

static void digest_add(crypto_generichash_state *state, const void *data, size_t size) {
        uint64_t length = size;

        /* With its length, so that two fields are never read as one. */
        crypto_generichash_update(state, (const uint8_t *) &length, sizeof(length));
        crypto_generichash_update(state, data, size);
}

static void digest_write(crypto_generichash_state *state, char ret[DIGEST_TEXT_SIZE]) {
        uint8_t digest[DIGEST_SIZE];

        crypto_generichash_final(state, digest, sizeof(digest));
        text_hex(digest, sizeof(digest), ret);
}

static void digest_begin(crypto_generichash_state *state, const SmsInbound *in) {
        crypto_generichash_init(state, NULL, 0, DIGEST_SIZE);
        digest_add(state, in->from, strlen(in->from));
        digest_add(state, in->to, strlen(in->to));
        digest_add(state, &in->sent, sizeof(in->sent));
        digest_add(state, in->id ? in->id : "", in->id ? strlen(in->id) : 0);
}

/* Of a whole text: the carrier's own id where it is a plain one. */
static void text_identity(const SmsInbound *in, char ret[INBOUND_ID_SIZE]) {
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "._:-";
        crypto_generichash_state state;
        size_t n = in->id ? strspn(in->id, plain) : 0;

        if (n > 0 && n < INBOUND_ID_SIZE && in->id[n] == '\0') {
                memcpy(ret, in->id, n + 1);
                return;
        }
        digest_begin(&state, in);
        if (!in->id)
                digest_add(&state, in->text, strlen(in->text));
        digest_write(&state, ret);
}

static void part_digest(const SmsInbound *in, const SmsConcat *concat, char ret[DIGEST_TEXT_SIZE]) {
        uint8_t numbers[] = { (uint8_t) concat->kind,
                (uint8_t) (concat->reference >> 8),
                (uint8_t) concat->reference,
                concat->total,
                concat->part,
                (uint8_t) in->octets->alphabet,
                (uint8_t) in->octets->locking,
                (uint8_t) in->octets->single };
        crypto_generichash_state state;

        digest_begin(&state, in);
        digest_add(&state, numbers, sizeof(numbers));
        digest_add(&state, in->octets->data, in->octets->size);
        digest_write(&state, ret);
}

static void part_place(const SmsInbound *in, const SmsConcat *concat, char ret[DIGEST_TEXT_SIZE]) {
        unsigned numbers[] = { concat->kind, concat->reference, concat->total, concat->part };
        crypto_generichash_state state;

        crypto_generichash_init(&state, NULL, 0, DIGEST_SIZE);
        digest_add(&state, in->from, strlen(in->from));
        digest_add(&state, in->to, strlen(in->to));
        digest_add(&state, numbers, sizeof(numbers));
        digest_write(&state, ret);
}

static bool is_settled(const SmsReplies *r, const char *digest) {
        for (size_t i = 0; i < SETTLED_MAX; i++)
                if (streq(r->settled[i], digest))
                        return true;
        return false;
}

static void remember_settled(SmsReplies *r, const char *digest) {
        memcpy(r->settled[r->next_settled], digest, DIGEST_TEXT_SIZE);
        r->next_settled = (r->next_settled + 1) % SETTLED_MAX;
}

/* --- Replies --- */

static void reply_settle(Reply *reply, SmsSettlement settlement) {
        SmsReplies *r = reply->replies;

        TAILQ_REMOVE(&r->replies, reply, entry);
        r->n_replies--;
        if (reply->request != 0)
                plugin_forget(r->plugin, reply->request);
        for (size_t i = 0; i < reply->n_tokens; i++)
                r->settle(r->userdata, reply->tokens[i], settlement);
        for (size_t i = 0; i < reply->n_returned && settlement == SMS_SETTLED_TAKEN; i++)
                remember_settled(r, reply->returned[i]);
        secret_free_string(reply->text);
        free(reply->tokens);
        free(reply->returned);
        free(reply);
}

static void on_answer(Plugin *plugin, const json_t *answer, void *userdata) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        Reply *reply = userdata;

        (void) plugin;
        reply->request = 0;
        if (!type || streq(type, "again")) {
                reply_settle(reply, SMS_SETTLED_LATER);
                return;
        }
        if (!streq(type, "ack"))
                log_error("the gateway answered a reply with neither `ack` nor `again`");
        reply_settle(reply, SMS_SETTLED_TAKEN);
}

static json_t *reply_frame(const Reply *reply) {
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:b}",
                        "type",
                        "reply",
                        "inbound",
                        reply->inbound,
                        "from",
                        reply->from,
                        "to",
                        reply->to,
                        "text",
                        reply->text,
                        "received",
                        (json_int_t) time_wall(),
                        "authentic",
                        "weak",
                        "automatic",
                        false);
}

static bool reply_add_tokens(Reply *reply, const uint64_t *tokens, size_t n) {
        uint64_t *all = reallocarray(reply->tokens, reply->n_tokens + n, sizeof(*all));

        if (!all)
                return false;
        memcpy(all + reply->n_tokens, tokens, n * sizeof(*all));
        reply->tokens = all;
        reply->n_tokens += n;
        return true;
}

static bool reply_add_returned(Reply *reply, const Parts *parts) {
        size_t n = reply->n_returned + parts->n_returned;
        char(*all)[DIGEST_TEXT_SIZE];

        if (parts->n_returned == 0)
                return true;
        all = reallocarray(reply->returned, n, sizeof(*all));
        if (!all)
                return false;
        memcpy(all + reply->n_returned, parts->returned, parts->n_returned * sizeof(*all));
        reply->returned = all;
        reply->n_returned = n;
        return true;
}

/* The same message over another connection while the gateway thinks about it. True: its tokens are
 * settled with it. */
static bool join_reply(SmsReplies *r, const char *inbound, const char *text, const Parts *parts) {
        Reply *reply;

        TAILQ_FOREACH(reply, &r->replies, entry)
        if (streq(reply->inbound, inbound) && streq(reply->text, text))
                return reply_add_returned(reply, parts) &&
                       reply_add_tokens(reply, parts->tokens, parts->n_tokens);
        return false;
}

/* A part that was handed back and comes again while the gateway thinks about its message. */
static bool join_returned(SmsReplies *r, const char *digest, uint64_t token) {
        Reply *reply;

        TAILQ_FOREACH(reply, &r->replies, entry)
        for (size_t i = 0; i < reply->n_returned; i++)
                if (streq(reply->returned[i], digest))
                        return reply_add_tokens(reply, &token, 1);
        return false;
}

/* Takes text over. */
static Reply *reply_new(
                SmsReplies *r, const char *from, const char *to, char *text, const Parts *parts) {
        Reply *reply = calloc(1, sizeof(*reply));

        if (!reply || !reply_add_tokens(reply, parts->tokens, parts->n_tokens) ||
                        !reply_add_returned(reply, parts)) {
                secret_free_string(text);
                free(reply ? reply->tokens : NULL);
                free(reply);
                return NULL;
        }
        reply->replies = r;
        (void) snprintf(reply->from, sizeof(reply->from), "sms:%s", from);
        (void) snprintf(reply->to, sizeof(reply->to), "sms:%s", to);
        if (!address_is_canonical(reply->to)) /* a short code, or a number without its plus */
                (void) snprintf(reply->to, sizeof(reply->to), "sms:%s", r->sender);
        reply->text = text;
        TAILQ_INSERT_TAIL(&r->replies, reply, entry);
        r->n_replies++;
        return reply;
}

/* A character's first byte is no continuation byte. */
static void cut_text(char *text) {
        size_t n = strlen(text);

        if (n <= SMS_INBOUND_TEXT_MAX)
                return;
        for (n = SMS_INBOUND_TEXT_MAX; n > 0 && ((uint8_t) text[n] & 0xc0) == 0x80; n--)
                ;
        sodium_memzero(text + n, strlen(text + n));
        log_notice("a message of more than %d bytes came in and was cut off", SMS_INBOUND_TEXT_MAX);
}

static bool may_take(SmsReplies *r) {
        bool full = r->n_replies >= SMS_INBOUND_REPLIES_MAX || !plugin_may_ask(r->plugin);

        if (full && !r->overflowed)
                log_warning("too many replies wait for the gateway; the carrier keeps the others");
        r->overflowed = full;
        return !full;
}

static void offer_later(SmsReplies *r, const Parts *parts) {
        for (size_t i = 0; i < parts->n_tokens; i++)
                r->settle(r->userdata, parts->tokens[i], SMS_SETTLED_LATER);
}

/* Hands a text to the gateway, which settles its parts. Takes text over. */
static void offer(SmsReplies *r,
                const char *inbound,
                const char *from,
                const char *to,
                char *text,
                const Parts *parts) {
        _cleanup_(secret_free_stringp) char *owned = text;
        Reply *reply;

        cut_text(owned);
        if (join_reply(r, inbound, owned, parts))
                return;
        reply = may_take(r) ? reply_new(r, from, to, TAKE_PTR(owned), parts) : NULL;
        if (!reply) {
                offer_later(r, parts);
                return;
        }
        (void) snprintf(reply->inbound, sizeof(reply->inbound), "%s", inbound);
        if (plugin_ask(r->plugin,
                            reply_frame(reply),
                            PLUGIN_DEADLINE_SECONDS,
                            on_answer,
                            reply,
                            &reply->request) < 0) {
                reply->request = 0;
                reply_settle(reply, SMS_SETTLED_LATER);
        }
}

/* --- Parts --- */

static Waiting *waiting_find(SmsReplies *r, uint64_t number) {
        Waiting *waiting;

        TAILQ_FOREACH(waiting, &r->waiting, entry)
        if (waiting->number == number)
                return waiting;
        return NULL;
}

static void waiting_drop(SmsReplies *r, Waiting *waiting) {
        TAILQ_REMOVE(&r->waiting, waiting, entry);
        r->n_waiting--;
        free(waiting);
}

static void timer_set(SmsReplies *r) {
        const Waiting *waiting;
        uint64_t due = sms_assembly_due(r->assembly);

        TAILQ_FOREACH(waiting, &r->waiting, entry)
        if (!waiting->handed_back) {
                due = waiting->due < due ? waiting->due : due;
                break;
        }
        r->displaced = r->displaced && due != UINT64_MAX;
        (void) sd_event_source_set_time(r->timer, due);
        (void) sd_event_source_set_enabled(
                        r->timer, due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void take_out(SmsReplies *r, const SmsWhole *whole, Parts *ret) {
        ret->n_tokens = ret->n_returned = 0;
        for (size_t i = 0; i < whole->n_tokens; i++) {
                Waiting *waiting = waiting_find(r, whole->tokens[i]);

                if (!waiting)
                        continue;
                if (waiting->handed_back)
                        memcpy(ret->returned[ret->n_returned++], waiting->digest, DIGEST_TEXT_SIZE);
                else
                        ret->tokens[ret->n_tokens++] = waiting->token;
                waiting_drop(r, waiting);
        }
}

/* What made room was never asked for: the carrier brings it once more, and then it is as new. */
static void let_go(SmsReplies *r, const Parts *parts) {
        offer_later(r, parts);
        if (!r->displaced)
                log_notice("parts of too many messages wait for their others; the carrier keeps "
                           "the oldest");
        r->displaced = true;
}

static void end_unfinished(SmsReplies *r, const SmsWhole *whole, const Parts *parts) {
        log_notice("a message of %u parts was given up: %zu of them came",
                        whole->total,
                        whole->n_tokens);
        for (size_t i = 0; i < parts->n_tokens; i++)
                r->settle(r->userdata, parts->tokens[i], SMS_SETTLED_TAKEN);
        for (size_t i = 0; i < parts->n_returned; i++)
                remember_settled(r, parts->returned[i]);
}

static void give_up(SmsReplies *r, uint64_t now) {
        SmsWhole whole;
        Parts parts;

        while (sms_assembly_give_up(r->assembly, now, &whole)) {
                take_out(r, &whole, &parts);
                if (whole.displaced)
                        let_go(r, &parts);
                else
                        end_unfinished(r, &whole, &parts);
                sms_whole_done(&whole);
        }
}

void sms_replies_expire(SmsReplies *r, uint64_t now) {
        Waiting *waiting;

        give_up(r, now);
        TAILQ_FOREACH(waiting, &r->waiting, entry) {
                if (waiting->due > now)
                        break;
                if (waiting->handed_back)
                        continue;
                waiting->handed_back = true;
                r->settle(r->userdata, waiting->token, SMS_SETTLED_LATER);
        }
        timer_set(r);
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        (void) source;
        (void) due;
        sms_replies_expire(userdata, time_boot());
        return 0;
}

static Waiting *waiting_new(
                SmsReplies *r, const SmsInbound *in, const SmsConcat *concat, const char *digest) {
        Waiting *waiting = calloc(1, sizeof(*waiting));

        if (!waiting)
                return NULL;
        waiting->number = ++r->last_number;
        waiting->token = in->token;
        waiting->due = time_boot() + SMS_INBOUND_PART_SECONDS * USEC_PER_SEC;
        memcpy(waiting->digest, digest, sizeof(waiting->digest));
        part_place(in, concat, waiting->place);
        TAILQ_INSERT_TAIL(&r->waiting, waiting, entry);
        r->n_waiting++;
        return waiting;
}

/* The carrier repeats a part that is here: its former token is of no use to anybody. */
static void forget_former(SmsReplies *r, const Waiting *newest) {
        Waiting *waiting;

        TAILQ_FOREACH(waiting, &r->waiting, entry)
        if (waiting != newest && streq(waiting->place, newest->place)) {
                if (!waiting->handed_back)
                        r->settle(r->userdata, waiting->token, SMS_SETTLED_LATER);
                waiting_drop(r, waiting);
                return;
        }
}

static void offer_whole(SmsReplies *r, SmsWhole *whole, const Parts *parts) {
        if (whole->text[0]) {
                offer(r, whole->id, whole->from, whole->to, TAKE_PTR(whole->text), parts);
                return;
        }
        for (size_t i = 0; i < parts->n_tokens; i++)
                r->settle(r->userdata, parts->tokens[i], SMS_SETTLED_TAKEN);
}

/* Number is what the part is known by in the assembly. A positive SmsAssemblyError. */
static int assemble(SmsReplies *r,
                const SmsInbound *in,
                const SmsConcat *concat,
                const char *digest,
                uint64_t number,
                SmsWhole *ret) {
        SmsPart part = { .from = in->from,
                .to = in->to,
                .id = in->id || in->sent != 0 ? digest : NULL,
                .concat = *concat,
                .octets = *in->octets,
                .token = number };

        return sms_assembly_add(r->assembly, &part, time_boot(), ret);
}

/* A part beyond all limits would be beyond them tomorrow. */
static void refuse_part(SmsReplies *r, uint64_t token, int error) {
        if (error == SMS_ASSEMBLY_E_PART)
                log_notice("a part that no message can have came in, and is ignored");
        r->settle(r->userdata,
                        token,
                        error == SMS_ASSEMBLY_E_PART ? SMS_SETTLED_TAKEN : SMS_SETTLED_LATER);
}

/* It waits for no other, so that it needs no place among those that do. */
static void take_alone(
                SmsReplies *r, const SmsInbound *in, const SmsConcat *concat, const char *digest) {
        Parts parts = { .tokens = { in->token }, .n_tokens = 1 };
        SmsWhole whole;
        int result = assemble(r, in, concat, digest, 0, &whole);

        if (result == 0)
                offer_whole(r, &whole, &parts);
        else
                refuse_part(r, in->token, result);
        sms_whole_done(&whole);
}

static void take_one_of_several(
                SmsReplies *r, const SmsInbound *in, const SmsConcat *concat, const char *digest) {
        Waiting *waiting = waiting_new(r, in, concat, digest);
        SmsWhole whole;
        Parts parts;
        int result;

        if (!waiting) {
                r->settle(r->userdata, in->token, SMS_SETTLED_LATER);
                return;
        }
        result = assemble(r, in, concat, digest, waiting->number, &whole);
        if (result == 0) {
                take_out(r, &whole, &parts);
                offer_whole(r, &whole, &parts);
                sms_whole_done(&whole);
        } else if (result == SMS_ASSEMBLY_E_REPEATED) {
                forget_former(r, waiting);
        } else if (result != SMS_ASSEMBLY_E_WAITING) {
                waiting_drop(r, waiting);
                refuse_part(r, in->token, result);
        }
        give_up(r, time_boot());
        timer_set(r);
}

static void take_part(SmsReplies *r, const SmsInbound *in) {
        static const SmsConcat alone = { SMS_CONCAT_NONE, 0, 1, 1 };
        const SmsConcat *concat = in->concat ? in->concat : &alone;
        char digest[DIGEST_TEXT_SIZE];

        part_digest(in, concat, digest);
        if (concat->kind == SMS_CONCAT_NONE || concat->total == 1)
                take_alone(r, in, concat, digest);
        else if (is_settled(r, digest))
                r->settle(r->userdata, in->token, SMS_SETTLED_TAKEN);
        else if (!join_returned(r, digest, in->token))
                take_one_of_several(r, in, concat, digest);
}

static void take_text(SmsReplies *r, const SmsInbound *in) {
        Parts parts = { .tokens = { in->token }, .n_tokens = 1 };
        char inbound[INBOUND_ID_SIZE];
        char *text = strdup(in->text);

        if (!text) {
                offer_later(r, &parts);
                return;
        }
        text_identity(in, inbound);
        offer(r, inbound, in->from, in->to, text, &parts);
}

/* Nobody can be answered who has no number, and what we wrote ourselves is no answer. */
static bool is_from_person(const SmsReplies *r, const char *from) {
        char address[SMS_PART_NAME_SIZE + 4];

        if (strlen(from) >= SMS_PART_NAME_SIZE || streq(from, r->sender))
                return false;
        (void) snprintf(address, sizeof(address), "sms:%s", from);
        return address_is_canonical(address);
}

void sms_replies_take(SmsReplies *r, const SmsInbound *in) {
        bool of_use;

        assert(r && in && in->from && in->to);

        of_use = is_from_person(r, in->from) && strlen(in->to) < SMS_PART_NAME_SIZE &&
                 (in->text ? in->text[0] != '\0' && text_is_utf8(in->text, strlen(in->text))
                           : in->octets != NULL);
        if (!of_use)
                r->settle(r->userdata, in->token, SMS_SETTLED_TAKEN);
        else if (in->text)
                take_text(r, in);
        else
                take_part(r, in);
}

/* --- Life --- */

int sms_replies_new(SmsReplies **ret,
                Plugin *plugin,
                const char *sender,
                SmsSettle settle,
                void *userdata) {
        static const SmsAssemblyLimits limits = { .wholes = WHOLES_MAX,
                .per_sender = WHOLES_OF_SENDER_MAX,
                .parts = SMS_INBOUND_PARTS_MAX,
                .parts_of_sender = PARTS_OF_SENDER_MAX,
                .bytes = PARTS_BYTES_MAX,
                .timeout = SMS_INBOUND_WHOLE_SECONDS * USEC_PER_SEC,
                /* The carrier has all of its parts back by then. */
                .patience = SMS_INBOUND_PART_SECONDS * USEC_PER_SEC };
        _cleanup_(sms_replies_freep) SmsReplies *r = calloc(1, sizeof(*r));
        int result;

        if (!r)
                return -ENOMEM;
        TAILQ_INIT(&r->replies);
        TAILQ_INIT(&r->waiting);
        r->plugin = plugin;
        r->sender = sender;
        r->settle = settle;
        r->userdata = userdata;
        result = sms_assembly_new(&limits, &r->assembly);
        if (result < 0)
                return result;
        result = sd_event_add_time(plugin_event(plugin),
                        &r->timer,
                        CLOCK_BOOTTIME,
                        UINT64_MAX,
                        0,
                        on_timer,
                        r);
        if (result < 0)
                return result;
        (void) sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
        *ret = TAKE_PTR(r);
        return 0;
}

size_t sms_replies_count(const SmsReplies *r) {
        return r->n_replies;
}

size_t sms_replies_parts(const SmsReplies *r) {
        return r->n_waiting;
}

bool sms_replies_is_idle(const SmsReplies *r) {
        int enabled;

        return sd_event_source_get_enabled(r->timer, &enabled) == 0 && enabled == SD_EVENT_OFF;
}

SmsReplies *sms_replies_free(SmsReplies *r) {
        if (!r)
                return NULL;
        while (!TAILQ_EMPTY(&r->replies))
                reply_settle(TAILQ_FIRST(&r->replies), SMS_SETTLED_LATER);
        while (!TAILQ_EMPTY(&r->waiting)) {
                Waiting *waiting = TAILQ_FIRST(&r->waiting);

                if (!waiting->handed_back)
                        r->settle(r->userdata, waiting->token, SMS_SETTLED_LATER);
                waiting_drop(r, waiting);
        }
        sd_event_source_disable_unref(r->timer);
        (void) sms_assembly_free(r->assembly);
        free(r);
        return NULL;
}
