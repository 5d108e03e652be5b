/* What recipients answer: from the bytes that a channel hands in to the one event that they mean
 * for the one share that they are about. A reply is acknowledged when its outcome is durable, and
 * not before. */
#include <errno.h>
#include <sodium.h>

#include "address.h"
#include "answer.h"
#include "correlation.h"
#include "gateway.h"
#include "json-read.h"
#include "log.h"

enum { REPLY_CANDIDATES_MAX = 16 };

typedef struct Reply {
        Gateway *gateway;
        PluginRequest request;
        json_t *frame;  /* keeps what the members point into */
        Config *config; /* keeps the channel */
        const ConfigChannel *channel;
        const char *inbound, *to, *thread, *quoted, *text, *button, *authentic_name;
        const char *from;
        int64_t received;
        bool automatic;
        RulesAuthentic authentic;
        int64_t retry_after; /* when it must come again */
} Reply;

static const JsonMember reply_members[] = {
        { "inbound", JSON_KIND_STRING, offsetof(Reply, inbound), true, 1, 256 },
        { "from", JSON_KIND_STRING, offsetof(Reply, from), true, 1, ADDRESS_SIZE_MAX - 1 },
        { "to", JSON_KIND_STRING, offsetof(Reply, to), false, 0, 4096 },
        { "thread", JSON_KIND_STRING, offsetof(Reply, thread), false, 0, 1024 },
        { "quoted", JSON_KIND_STRING, offsetof(Reply, quoted), false, 0, 1024 },
        { "text", JSON_KIND_STRING, offsetof(Reply, text), false, 0, ANSWER_TEXT_MAX },
        { "button", JSON_KIND_STRING, offsetof(Reply, button), false, 0, 256 },
        { "received", JSON_KIND_INTEGER, offsetof(Reply, received), true, 0, 0 },
        { "authentic", JSON_KIND_STRING, offsetof(Reply, authentic_name), true, 4, 6 },
        { "automatic", JSON_KIND_BOOLEAN, offsetof(Reply, automatic), false, 0, 0 },
};

static void reply_free(Reply *reply) {
        if (!reply)
                return;
        json_decref(reply->frame);
        config_unref(reply->config);
        free(reply);
}

/* --- the candidates --- */

typedef struct Candidates {
        Gateway *gateway;
        int64_t numbers[REPLY_CANDIDATES_MAX];
        ShareContext contexts[REPLY_CANDIDATES_MAX];
        char tags[REPLY_CANDIDATES_MAX][TAG_SIZE];
        CorrelationCandidate descriptions[REPLY_CANDIDATES_MAX];
        size_t n;
} Candidates;

static void candidates_done(Candidates *all) {
        for (size_t i = 0; i < all->n; i++)
                share_context_done(&all->contexts[i]);
        all->n = 0;
}

/* Adds a share unless it is there already. */
static int candidates_add(int64_t n, void *userdata) {
        Candidates *all = userdata;
        int r;

        for (size_t i = 0; i < all->n; i++)
                if (all->numbers[i] == n)
                        return 0;
        if (all->n == REPLY_CANDIDATES_MAX)
                return 0;
        r = share_context_load(&all->contexts[all->n], all->gateway, n);
        if (r == STORE_E_NOT_FOUND)
                return 0;
        if (r < 0)
                return r;
        all->numbers[all->n++] = n;
        return 0;
}

typedef struct NumberList {
        int64_t numbers[REPLY_CANDIDATES_MAX];
        size_t n;
} NumberList;

static int list_number(int64_t n, void *userdata) {
        NumberList *list = userdata;

        if (list->n < REPLY_CANDIDATES_MAX)
                list->numbers[list->n++] = n;
        return 0;
}

/* An ended share knows its addresses by their blind indexes only. */
static bool address_matches(
                ShareContext *c, const Reply *reply, const uint8_t index[VAULT_INDEX_SIZE]) {
        int step;

        if (c->has_key)
                return share_has_address(c, reply->channel->name, reply->from, &step);
        for (int i = 0; i < c->share.n_addresses; i++)
                if (memcmp(c->share.addresses[i], index, VAULT_INDEX_SIZE) == 0)
                        return true;
        return false;
}

static int candidates_find(Candidates *all, const Reply *reply) {
        Gateway *g = reply->gateway;
        uint8_t index[VAULT_INDEX_SIZE];
        NumberList list = { 0 };
        int64_t thread = 0, quoted = 0;
        int r;

        if (reply->thread &&
                        vault_id_read(g->vault, VAULT_ID_THREAD, reply->thread, &thread, NULL) == 0)
                list_number(thread, &list);
        if (reply->quoted &&
                        vault_id_read(g->vault, VAULT_ID_MESSAGE, reply->quoted, &quoted, NULL) ==
                                        0)
                list_number(quoted, &list);
        vault_index_address(g->vault, reply->from, index);
        r = store_address_each(g->store, index, REPLY_CANDIDATES_MAX, list_number, &list);
        for (size_t i = 0; r >= 0 && i < list.n; i++)
                r = candidates_add(list.numbers[i], all);
        if (r < 0)
                return r;

        for (size_t i = 0; i < all->n; i++) {
                vault_tag(g->vault, all->numbers[i], all->tags[i]);
                all->descriptions[i] = (CorrelationCandidate){
                        .state = all->contexts[i].share.state,
                        .address_matches = address_matches(&all->contexts[i], reply, index),
                        .thread_matches = reply->thread && all->numbers[i] == thread,
                        .quoted_matches = reply->quoted && all->numbers[i] == quoted,
                        .tag = all->tags[i],
                };
        }
        return 0;
}

/* --- what a bound answer does --- */

static int say(ShareContext *c, const Reply *reply, TemplateMessage message) {
        return message_notice(c, message, reply->channel->name, reply->from);
}

/* Says something and takes a step, in this order: the end of a share destroys what a text needs. */
static int say_and_step(ShareContext *c,
                const Reply *reply,
                TemplateMessage message,
                LifecycleEvent event,
                TimelineEvent note) {
        int r;

        if (!share_may_step(c, event))
                return 0;
        r = say(c, reply, message);
        if (r < 0)
                return r;
        share_note(&c->share, c->now, note, 0, c->share.step);
        return share_step(c, event);
}

static int release(ShareContext *c) {
        int r;

        c->share.mailbox_expires = c->now + c->share.rules.mailbox_ttl;
        share_note(&c->share, c->now, TIMELINE_RELEASING, 0, 0);
        r = share_step(c,
                        share_meets_policy(c) ? LIFECYCLE_EVENT_RELEASE
                                              : LIFECYCLE_EVENT_POLICY_TIGHTENED);
        return r > 0 ? -EINVAL : r;
}

/* The address that confirmed is where the link goes. */
static int confirmed(ShareContext *c, const Reply *reply) {
        int r, step;

        if (share_has_address(c, reply->channel->name, reply->from, &step))
                c->share.step = step;
        share_note(&c->share, c->now, TIMELINE_CONFIRMED, 0, c->share.step);
        r = share_step(c, LIFECYCLE_EVENT_CODE_RIGHT);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        gateway_count(c->gateway, COUNTER_CODES_RIGHT);
        return release(c);
}

static int wrong(ShareContext *c, const Reply *reply, bool last) {
        int r;

        gateway_count(c->gateway, COUNTER_CODES_WRONG);
        share_note(&c->share, c->now, TIMELINE_WRONG, c->share.attempts.left, c->share.step);
        r = say(c, reply, last ? TEMPLATE_LOCKED : TEMPLATE_WRONG);
        if (r < 0)
                return r;
        r = share_step(c, last ? LIFECYCLE_EVENT_CODE_WRONG_LAST : LIFECYCLE_EVENT_CODE_WRONG);
        return r > 0 ? -EINVAL : r;
}

static int mistyped(ShareContext *c, const Reply *reply) {
        gateway_count(c->gateway, COUNTER_CODES_MISTYPED);
        if (attempts_mistyped(&c->share.attempts) != 0)
                return 0;
        return say_and_step(
                        c, reply, TEMPLATE_MISTYPED, LIFECYCLE_EVENT_MISTYPED, TIMELINE_MISTYPED);
}

/* Spends, makes the spend independent of everything that follows, and only then compares. */
static int judge(ShareContext *c, Reply *reply, const char *code) {
        Gateway *g = c->gateway;
        uint8_t guess[CODE_VERIFIER_SIZE];
        char id[ID_TEXT_SIZE];
        AttemptsTicket ticket;
        AttemptsVerdict verdict;
        int r;

        vault_id(g->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        code_verifier(vault_code_key(g->vault), "reply-code", id, code, guess);
        r = attempts_spend(&c->share.attempts, guess, c->now, &ticket);
        sodium_memzero(guess, sizeof(guess));
        switch (r) {
        case 0:
                break;
        case ATTEMPTS_E_EARLY:
                reply->retry_after = c->share.attempts.not_before - c->now;
                return -EAGAIN;
        case ATTEMPTS_E_REPEATED:
                return say(c, reply, TEMPLATE_WRONG);
        default:
                return 0;
        }

        r = engine_note_spend(g->engine, c->share.n);
        if (r >= 0)
                r = store_share_update(g->store, &c->share);
        if (r >= 0)
                r = engine_keep(g->engine);
        if (r < 0)
                return r;

        verdict = attempts_judge(&c->share.attempts, &ticket, c->share.code, c->now);
        if (verdict == ATTEMPTS_RIGHT)
                return confirmed(c, reply);
        return wrong(c, reply, verdict == ATTEMPTS_WRONG_LAST);
}

static int answer_with_code(ShareContext *c, Reply *reply, const Answer *answer) {
        char code[CODE_SIZE];
        int r;

        if (c->share.state != LIFECYCLE_INVITED || !c->share.code)
                return 0;
        if (c->gateway->clock.suspect) { /* nothing is confirmed before the operator has looked */
                reply->retry_after = 30;
                return -EAGAIN;
        }
        r = answer_code(answer, c->share.rules.code, code);
        if (r == 0)
                r = judge(c, reply, code);
        else if (r == ANSWER_E_MISTYPED)
                r = mistyped(c, reply);
        else
                r = say(c, reply, TEMPLATE_NOT_UNDERSTOOD);
        sodium_memzero(code, sizeof(code));
        return r;
}

static int answer_help(ShareContext *c, const Reply *reply) {
        int r;

        if (c->share.state == LIFECYCLE_INVITED)
                return say(c, reply, TEMPLATE_HELP);
        if (c->share.state != LIFECYCLE_RELEASED ||
                        c->share.flags & (SHARE_HELPED | SHARE_ACKNOWLEDGED) ||
                        c->now > c->share.mailbox_expires - c->share.rules.mailbox_ttl +
                                                        LIFECYCLE_HELP_LINK_SECONDS)
                return 0;
        r = share_step(c, LIFECYCLE_EVENT_HELP);
        if (r != 0)
                return r < 0 ? r : 0;
        c->share.flags |= SHARE_HELPED;
        return message_link(c, NULL, true);
}

static int answer_done_word(ShareContext *c, const Reply *reply) {
        if (c->share.state != LIFECYCLE_RELEASED || c->share.flags & SHARE_ACKNOWLEDGED)
                return 0;
        c->share.flags |= SHARE_ACKNOWLEDGED;
        return say_and_step(c,
                        reply,
                        TEMPLATE_DONE,
                        LIFECYCLE_EVENT_ACKNOWLEDGED,
                        TIMELINE_ACKNOWLEDGED);
}

static int answer_bound(ShareContext *c, Reply *reply, const Answer *answer) {
        if (lifecycle_is_terminal(c->share.state))
                return say(c, reply, TEMPLATE_OVER);

        switch (answer->kind) {
        case ANSWER_CODE:
                return answer_with_code(c, reply, answer);
        case ANSWER_NO:
                return say_and_step(
                                c, reply, TEMPLATE_DECLINED, LIFECYCLE_EVENT_NO, TIMELINE_REFUSED);
        case ANSWER_NOT_ME:
                return say_and_step(c,
                                reply,
                                TEMPLATE_DISOWNED,
                                LIFECYCLE_EVENT_NOT_ME,
                                TIMELINE_DISOWNED);
        case ANSWER_STOP:
                return say_and_step(
                                c, reply, TEMPLATE_STOPPED, LIFECYCLE_EVENT_STOP, TIMELINE_REFUSED);
        case ANSWER_HELP:
                return answer_help(c, reply);
        case ANSWER_DONE:
                return answer_done_word(c, reply);
        case ANSWER_EMPTY:
                return 0;
        case ANSWER_YES:
        case ANSWER_READY:
        case ANSWER_OTHER:
        case ANSWER_KIND_MAX:
                break;
        }
        return c->share.state == LIFECYCLE_INVITED ? say(c, reply, TEMPLATE_NOT_UNDERSTOOD) : 0;
}

/* People answer faster than receipts travel, and after a crash receipts never come. */
static int ensure_invited(ShareContext *c) {
        int r;

        if (c->share.state != LIFECYCLE_PENDING)
                return 0;
        r = share_step(c, LIFECYCLE_EVENT_INVITATION_TAKEN);
        return r > 0 ? -EINVAL : r;
}

static int bound(ShareContext *c, Reply *reply, const Answer *answer) {
        int r;

        if (!lifecycle_is_terminal(c->share.state)) {
                if (reply->authentic < c->share.rules.minimum_authentic)
                        return 0;
                r = ensure_invited(c);
                if (r < 0)
                        return r;
                if (c->now > c->share.expires && share_may_step(c, LIFECYCLE_EVENT_EXPIRE)) {
                        r = share_step(c, LIFECYCLE_EVENT_EXPIRE);
                        if (r < 0)
                                return r;
                }
        }
        r = answer_bound(c, reply, answer);
        if (r < 0)
                return r;
        return share_save(c);
}

static int ask_tag(Candidates *all, const Reply *reply) {
        for (size_t i = 0; i < all->n; i++) {
                ShareContext *c = &all->contexts[i];
                int r;

                if (!all->descriptions[i].address_matches || lifecycle_is_terminal(c->share.state))
                        continue;
                r = say(c, reply, TEMPLATE_HELP_TAG);
                return r < 0 ? r : share_save(c);
        }
        return 0;
}

/* Belongs to no share, so it ends none; who really sent it wants no more invitations from anybody.
 * A sender that can be forged could block others this way, and is not heard. */
static int unbound_stop(const Reply *reply) {
        Gateway *g = reply->gateway;
        uint8_t anybody[VAULT_INDEX_SIZE];

        if (reply->authentic != RULES_AUTHENTIC_STRONG)
                return 0;
        vault_index_pair(g->vault, "", reply->from, anybody);
        return store_block_put(g->store, anybody, gateway_now(g) + GATEWAY_BLOCK_SECONDS);
}

static int reply_evaluate(Reply *reply, Candidates *all, const Answer *answer) {
        const CorrelationEvidence evidence = {
                .kind = answer->kind,
                .tag = answer->tag,
                .address_suffices = !reply->channel->needs_tag &&
                                    reply->authentic == RULES_AUTHENTIC_STRONG,
        };
        size_t i;
        int r;

        r = candidates_find(all, reply);
        if (r < 0)
                return r;
        switch (correlation_bind(&evidence, all->descriptions, all->n, &i)) {
        case CORRELATION_BOUND:
                return bound(&all->contexts[i], reply, answer);
        case CORRELATION_AMBIGUOUS:
                return ask_tag(all, reply);
        case CORRELATION_NONE:
                break;
        }
        gateway_count(reply->gateway, COUNTER_REPLIES_UNBOUND);
        return answer->kind == ANSWER_STOP ? unbound_stop(reply) : 0;
}

static int reply_apply(void *context) {
        Reply *reply = context;
        Gateway *g = reply->gateway;
        const char *text = reply->button ? reply->button : reply->text ? reply->text : "";
        Candidates all = { .gateway = g };
        uint8_t seen[VAULT_INDEX_SIZE];
        Answer answer;
        int r;

        vault_index_inbound(
                        g->vault, reply->channel->name, reply->from, reply->inbound, text, seen);
        r = store_seen_add(g->store, seen, gateway_now(g) + GATEWAY_KEEP_SEEN);
        if (r != 0)
                return r < 0 ? r : 0;
        if (reply->automatic || reply->authentic == RULES_AUTHENTIC_NONE)
                return 0;

        r = answer_read(text, strlen(text), NULL, &answer);
        if (r >= 0)
                r = reply_evaluate(reply, &all, &answer);
        answer_done(&answer);
        candidates_done(&all);
        return r;
}

static void reply_done(void *context, int result) {
        Reply *reply = context;
        json_t *answer;

        if (result >= 0)
                answer = json_pack("{s:s}", "type", "ack");
        else
                answer = json_pack("{s:s, s:I}",
                                "type",
                                "again",
                                "retry_after",
                                (json_int_t) (reply->retry_after > 0 ? reply->retry_after : 1));
        if (result < 0 && result != -EAGAIN)
                log_record(LOG_ERR,
                                &(LogFields){ .channel = reply->channel->name },
                                "A reply could not be taken: %s.",
                                strerror(-result));
        (void) plugin_link_answer(reply->request, answer);
        reply_free(reply);
}

int reply_request(Gateway *g, PluginRequest request, json_t *frame) {
        const ConfigPlugin *plugin = plugin_link_config(request.link);
        Reply *reply;
        JsonProblem problem;
        int r;

        reply = calloc(1, sizeof(*reply));
        if (!reply)
                return -ENOMEM;
        reply->gateway = g;
        reply->request = request;
        reply->frame = json_incref(frame);
        reply->config = config_ref(g->config);
        reply->channel = config_channel(reply->config, plugin->name);

        r = json_read_members(
                        frame, reply_members, N_ELEMENTS(reply_members), false, reply, &problem);
        if (r == 0 && reply->channel)
                r = address_is_canonical(reply->from) ? 0 : -EPROTO;
        if (r == 0)
                reply->authentic = rules_authentic_from_name(reply->authentic_name);
        if (r != 0 || !reply->channel || reply->authentic == RULES_AUTHENTIC_MAX) {
                log_record(LOG_WARNING,
                                &(LogFields){ .channel = plugin->name },
                                "A plugin handed in a reply that is not one.");
                reply_free(reply);
                return -EPROTO;
        }
        if (reply->authentic > reply->channel->authentic)
                reply->authentic = reply->channel->authentic;

        r = engine_submit(g->engine, reply_apply, reply_done, reply, 1024);
        if (r < 0)
                reply_free(reply);
        return r;
}
