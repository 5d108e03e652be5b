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

enum {
        REPLY_CANDIDATES_MAX = 16, /* opened for one answer */
        REPLY_NUMBERS_MAX = 5000,  /* looked at */

        /* For senders that could be anybody. What they ask for is done for a while and not again
         * soon, so that nobody can be kept from invitations, or be written to again and again, by
         * one who writes in their name. */
        REPLY_STOP_SECONDS = 24 * 3600,
        REPLY_STOP_AGAIN = 7 * 24 * 3600,
        REPLY_HINT_AGAIN = 24 * 3600,
};

/* What need not be recognised when it is repeated. */
enum {
        REPLY_UNBOUND = 1, /* it is about no share of ours */
        REPLY_DROPPED = 2, /* it is beyond a budget, and is not looked at */
};

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
        ChallengeFrom place; /* where it came from, for challenge.c */
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

/* The shares that an answer may be about, opened. Other tenants may have any number of shares with
 * the same person, so numbers are cheap to look at here, and only those that can matter are loaded.
 */
typedef struct Candidates {
        const Reply *reply;
        const Answer *answer;
        uint8_t index[VAULT_INDEX_SIZE]; /* of the sender's address */
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

/* An ended share knows its addresses by their blind indexes only. */
static bool address_matches(ShareContext *c, const Candidates *all) {
        int step;

        if (c->has_key)
                return share_has_address(c, all->reply->channel->name, all->reply->from, &step);
        for (int i = 0; i < c->share.n_addresses; i++)
                if (memcmp(c->share.addresses[i], all->index, VAULT_INDEX_SIZE) == 0)
                        return true;
        return false;
}

/* What went to a second address shows which share it is about, or the answer has to: it is never
 * taken for the only one that could be meant. */
static bool second_matches(ShareContext *c, const Candidates *all, bool shown, const char *tag) {
        return c->has_key && (shown || streq(tag, all->answer->tag)) &&
               share_has_second_address(c, all->reply->channel->name, all->reply->from);
}

static int candidates_add(Candidates *all, int64_t n, bool thread, bool quoted) {
        Gateway *g = all->reply->gateway;
        ShareContext *c = &all->contexts[all->n];
        int r;

        for (size_t i = 0; i < all->n; i++)
                if (all->contexts[i].share.n == n) {
                        all->descriptions[i].thread_matches |= thread;
                        all->descriptions[i].quoted_matches |= quoted;
                        return 0;
                }
        if (all->n == REPLY_CANDIDATES_MAX)
                return 0;
        r = share_context_load(c, g, n);
        if (r != 0)
                return r < 0 ? r : 0;
        if (c->share.flags & SHARE_SUPPRESSED) {
                share_context_done(c);
                return 0;
        }
        vault_tag(g->vault, n, all->tags[all->n]);
        all->descriptions[all->n] = (CorrelationCandidate){
                .state = c->share.state,
                .address_matches = address_matches(c, all) ||
                                   second_matches(c, all, thread || quoted, all->tags[all->n]),
                .thread_matches = thread,
                .quoted_matches = quoted,
                .tag = all->tags[all->n],
        };
        all->n++;
        return 0;
}

/* A written tag says which; without one, two open shares are as ambiguous as twenty. */
static int candidates_of_address(int64_t n, void *userdata) {
        Candidates *all = userdata;
        size_t n_open = 0;
        char tag[TAG_SIZE];
        int r;

        if (all->answer->tag[0]) {
                vault_tag(all->reply->gateway->vault, n, tag);
                return streq(tag, all->answer->tag) ? candidates_add(all, n, false, false) : 0;
        }
        r = candidates_add(all, n, false, false);
        if (r < 0)
                return r;
        for (size_t i = 0; i < all->n; i++)
                n_open += correlation_is_open(all->contexts[i].share.state, all->answer->kind) &&
                          all->descriptions[i].address_matches;
        return n_open >= 2 || all->n == REPLY_CANDIDATES_MAX;
}

static int candidates_find(Candidates *all) {
        const Reply *reply = all->reply;
        Gateway *g = reply->gateway;
        int64_t n;
        int r = 0;

        vault_index_address(g->vault, reply->from, all->index);
        if (reply->thread && vault_id_read(g->vault, VAULT_ID_THREAD, reply->thread, &n, NULL) == 0)
                r = candidates_add(all, n, true, false);
        if (r >= 0 && reply->quoted &&
                        vault_id_read(g->vault, VAULT_ID_MESSAGE, reply->quoted, &n, NULL) == 0)
                r = candidates_add(all, n, false, true);
        if (r >= 0)
                r = store_address_each(g->store,
                                all->index,
                                false,
                                REPLY_NUMBERS_MAX,
                                candidates_of_address,
                                all);
        if (r >= 0 && all->n == 0) /* about one that has ended, which gets the neutral text */
                r = store_address_each(g->store,
                                all->index,
                                true,
                                REPLY_NUMBERS_MAX,
                                candidates_of_address,
                                all);
        return r;
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

static int answer_help(ShareContext *c, const Reply *reply) {
        int r;

        if (c->share.state == LIFECYCLE_INVITED)
                return challenge_help(c, &reply->place);
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

/* Somebody else has opened the link. Where the mailbox has been emptied nothing can be taken back
 * here; the timeline tells the sender all the same. */
static int answer_taken(ShareContext *c, const Reply *reply) {
        char id[ID_TEXT_SIZE];

        if (share_may_step(c, LIFECYCLE_EVENT_CLAIMED_ELSEWHERE))
                return say_and_step(c,
                                reply,
                                TEMPLATE_TAKEN,
                                LIFECYCLE_EVENT_CLAIMED_ELSEWHERE,
                                TIMELINE_CLAIMED_ELSEWHERE);
        if (c->share.state != LIFECYCLE_COMPLETED)
                return say(c, reply, TEMPLATE_OVER);
        share_note(&c->share, c->now, TIMELINE_CLAIMED_ELSEWHERE, 0, c->share.step);
        vault_id(c->gateway->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        log_record(LOG_NOTICE,
                        &(LogFields){ .share = id, .tenant = c->share.tenant },
                        "A tenant should look at a share that is completed: its recipient says "
                        "that somebody else had it.");
        return say(c, reply, TEMPLATE_TAKEN_LATE);
}

static bool is_stop(AnswerKind kind) {
        return kind == ANSWER_STOP || kind == ANSWER_STOP_ALL;
}

/* The share has ended, and what is asked for is about those to come. */
static int stop_after_the_end(ShareContext *c, const Reply *reply, AnswerKind kind) {
        bool all = kind == ANSWER_STOP_ALL;
        int r;

        r = block_put(c->gateway,
                        all ? "" : c->share.tenant,
                        reply->from,
                        all ? BLOCK_STOP_ALL : BLOCK_STOP,
                        GATEWAY_BLOCK_SECONDS);
        return r < 0 ? r : say(c, reply, all ? TEMPLATE_STOPPED_ALL : TEMPLATE_STOPPED);
}

static int answer_bound(ShareContext *c, Reply *reply, const Answer *answer) {
        if (answer->kind == ANSWER_TAKEN && c->share.state >= LIFECYCLE_RELEASED)
                return answer_taken(c, reply);
        if (is_stop(answer->kind) && lifecycle_is_terminal(c->share.state))
                return stop_after_the_end(c, reply, answer->kind);
        if (lifecycle_is_terminal(c->share.state)) {
                audit_log_note(c->gateway->audit,
                                &(AuditNote){ .event = "late_answer",
                                                .actor = AUDIT_ACTOR_RECIPIENT,
                                                .share = c->share.n,
                                                .number = -1 });
                return say(c, reply, TEMPLATE_OVER);
        }

        switch (answer->kind) {
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
        case ANSWER_STOP_ALL:
                return say_and_step(c,
                                reply,
                                TEMPLATE_STOPPED_ALL,
                                LIFECYCLE_EVENT_STOP_ALL,
                                TIMELINE_REFUSED);
        case ANSWER_HELP:
                return answer_help(c, reply);
        case ANSWER_DONE:
                return answer_done_word(c, reply);
        case ANSWER_EMPTY:
                return 0;
        case ANSWER_TAKEN: /* of a link that was not sent yet */
        case ANSWER_CODE:
        case ANSWER_YES:
        case ANSWER_READY:
        case ANSWER_OTHER:
        case ANSWER_KIND_MAX:
                break;
        }
        return c->share.state == LIFECYCLE_INVITED ? challenge_answer(c, &reply->place, answer) : 0;
}

/* People answer faster than receipts travel, and after a crash receipts never come. */
static int ensure_invited(ShareContext *c) {
        int r;

        if (c->share.state != LIFECYCLE_PENDING)
                return 0;
        r = share_step(c, LIFECYCLE_EVENT_INVITATION_TAKEN);
        return r > 0 ? -EINVAL : r;
}

static bool ends_share(AnswerKind kind) {
        return kind == ANSWER_NO || kind == ANSWER_NOT_ME || is_stop(kind);
}

/* Another address has been asked meanwhile, and the policy wants that one's answer. Whoever wants
 * the share to end is heard all the same. */
static bool is_too_late(ShareContext *c, const Reply *reply, const Answer *answer) {
        return !ends_share(answer->kind) && c->share.state == LIFECYCLE_INVITED &&
               fallback_is_closed(c, reply->channel->name, reply->from);
}

/* What is compared with something that somebody could guess. */
static bool is_guess(const ShareContext *c, const Answer *answer) {
        return answer->kind == ANSWER_CODE ||
               (answer->kind == ANSWER_OTHER && c->share.rules.factors & FACTOR_FACT);
}

/* From where only a code of ours, or half of a link, has been. */
static int bound_second(ShareContext *c, Reply *reply, const Answer *answer) {
        int r;

        if (reply->authentic < c->share.rules.minimum_authentic)
                return 0;
        r = ends_share(answer->kind) ? answer_bound(c, reply, answer)
                                     : challenge_elsewhere(c, &reply->place, answer);
        return r < 0 ? r : share_save(c);
}

/* Its last moment to confirm is over, and the sweep has not been here yet. Who has confirmed waits
 * for the sender, whose time is another. */
static bool has_expired(const ShareContext *c) {
        return c->share.state == LIFECYCLE_INVITED && c->now > c->share.expires;
}

static int bound(ShareContext *c, Reply *reply, const Answer *answer) {
        int r;

        c->from = reply->from;
        if (c->has_key && share_has_second_address(c, reply->channel->name, reply->from))
                return bound_second(c, reply, answer);
        r = is_guess(c, answer) ? limit_check_answer(c, reply->from) : 0;
        if (r != 0)
                return r < 0 ? r : REPLY_DROPPED;
        if (!lifecycle_is_terminal(c->share.state)) {
                if (reply->authentic < c->share.rules.minimum_authentic)
                        return 0;
                r = ensure_invited(c);
                if (r < 0)
                        return r;
                if (has_expired(c)) {
                        r = share_step(c, LIFECYCLE_EVENT_EXPIRE);
                        if (r < 0)
                                return r;
                }
        }
        if (!(c->share.flags & SHARE_ANSWERED)) {
                r = limit_note_answered(c, reply->from);
                if (r < 0)
                        return r;
        }
        if (is_too_late(c, reply, answer))
                r = say(c, reply, TEMPLATE_OVER);
        else {
                fallback_answered(c);
                r = answer_bound(c, reply, answer);
        }
        if (r < 0)
                return r;
        return share_save(c);
}

/* In the name of the first that may still write: another's texts may be used up. */
static int ask_tag(Candidates *all, const Reply *reply) {
        for (size_t i = 0; i < all->n; i++) {
                ShareContext *c = &all->contexts[i];
                int answers = c->share.answers, r;

                if (!all->descriptions[i].address_matches || lifecycle_is_terminal(c->share.state))
                        continue;
                r = say(c, reply, TEMPLATE_HELP_TAG);
                if (r < 0 || c->share.answers > answers)
                        return r < 0 ? r : share_save(c);
        }
        return 0;
}

/* --- what is about no share, as far as anybody can prove --- */

/* A share that this address was written to about, and that is not over if there is one; NULL. */
static ShareContext *share_of_address(Candidates *all) {
        ShareContext *found = NULL;

        for (size_t i = 0; i < all->n; i++) {
                if (!all->descriptions[i].address_matches)
                        continue;
                if (correlation_is_open(all->descriptions[i].state, all->answer->kind))
                        return &all->contexts[i];
                found = found ? found : &all->contexts[i];
        }
        return found;
}

/* Asks the owner of the address, whoever wrote; once in so many seconds. */
static int ask_once(ShareContext *c,
                const Reply *reply,
                TemplateMessage message,
                const char *about,
                int64_t seconds) {
        Gateway *g = reply->gateway;
        uint8_t asked[VAULT_INDEX_SIZE];
        int r;

        vault_index_asked(g->vault, about, reply->from, asked);
        r = store_seen_add(g->store, asked, c->now + seconds);
        if (r != 0)
                return r;
        r = say(c, reply, message);
        if (r >= 0 && c->error < 0)
                r = c->error;
        /* No new version: the tenant has not been answered. */
        return r < 0 ? r : store_share_update(g->store, &c->share);
}

/* Somebody wrote STOP in the name of an address that we have written to, and did not show that they
 * had read it. For a day nothing new of this tenant is sent there; what makes it last is the same
 * word with the reference that the question carries, which only the owner of the address sees. No
 * share ends. */
static int unproven_stop(ShareContext *c, const Reply *reply) {
        Gateway *g = reply->gateway;
        int r;

        r = block_has(g, c->share.tenant, reply->from);
        if (r != 0) /* nothing is to be shortened */
                return r < 0 ? r : 0;
        r = ask_once(c, reply, TEMPLATE_STOP_CONFIRM, "stop", REPLY_STOP_AGAIN);
        if (r == 0)
                r = block_put(g, c->share.tenant, reply->from, BLOCK_UNPROVEN, REPLY_STOP_SECONDS);
        return r < 0 ? r : 0;
}

/* An answer that shows no reference of ours, or a wrong one, from an address that anybody could
 * write from. */
static int unproven(const Reply *reply, Candidates *all) {
        Answer without_tag = { .kind = all->answer->kind };
        ShareContext *c;
        int r;

        if (without_tag.kind == ANSWER_OTHER || without_tag.kind == ANSWER_EMPTY)
                return 0;
        candidates_done(all);
        all->answer = &without_tag;
        r = candidates_find(all);
        c = r < 0 ? NULL : share_of_address(all);
        if (c && is_stop(without_tag.kind))
                r = unproven_stop(c, reply);
        else if (c && correlation_is_open(c->share.state, without_tag.kind))
                r = ask_once(c, reply, TEMPLATE_TAG_FIRST, "tag", REPLY_HINT_AGAIN);
        all->answer = NULL;
        return r < 0 ? r : 0;
}

/* Who really sent it, and about no one share, wants no more invitations from anybody. It ends none.
 */
static int stop_for_all(const Reply *reply, Candidates *all) {
        Gateway *g = reply->gateway;
        ShareContext *c = share_of_address(all);
        int r;

        r = block_put(g, "", reply->from, BLOCK_STOP_ALL, GATEWAY_BLOCK_SECONDS);
        if (r < 0 || !c)
                return r;
        r = say(c, reply, TEMPLATE_STOPPED_ALL);
        return r < 0 ? r : store_share_update(g->store, &c->share);
}

static int unbound(const Reply *reply, Candidates *all, bool address_suffices) {
        int r = 0;

        if (is_stop(all->answer->kind) && reply->authentic == RULES_AUTHENTIC_STRONG)
                r = stop_for_all(reply, all);
        else if (!address_suffices)
                r = unproven(reply, all);
        return r < 0 ? r : REPLY_UNBOUND;
}

static int reply_evaluate(Reply *reply, Candidates *all) {
        const CorrelationEvidence evidence = {
                .kind = all->answer->kind,
                .tag = all->answer->tag,
                .address_suffices = !reply->channel->needs_tag &&
                                    reply->authentic == RULES_AUTHENTIC_STRONG,
        };
        size_t i;
        int r;

        r = candidates_find(all);
        if (r < 0)
                return r;
        switch (correlation_bind(&evidence, all->descriptions, all->n, &i)) {
        case CORRELATION_BOUND:
                return bound(&all->contexts[i], reply, all->answer);
        case CORRELATION_AMBIGUOUS:
                if (evidence.address_suffices && evidence.kind != ANSWER_STOP_ALL)
                        return ask_tag(all, reply);
                break;
        case CORRELATION_NONE:
                gateway_count(reply->gateway, COUNTER_REPLIES_UNBOUND);
                break;
        }
        return unbound(reply, all, evidence.address_suffices);
}

static int reply_apply(void *context) {
        Reply *reply = context;
        Gateway *g = reply->gateway;
        const char *text = reply->place.text;
        Candidates all = { .reply = reply };
        uint8_t seen[VAULT_INDEX_SIZE];
        Answer answer;
        int r;

        if (reply->automatic || reply->authentic == RULES_AUTHENTIC_NONE)
                return 0;
        vault_index_inbound(
                        g->vault, reply->channel->name, reply->from, reply->inbound, text, seen);
        r = store_seen_has(g->store, seen);
        if (r != 0)
                return r < 0 ? r : 0;

        r = answer_read(text, strlen(text), NULL, &answer);
        if (r < 0)
                return r;
        all.answer = &answer;
        r = reply_evaluate(reply, &all);
        if (r == 0)
                r = store_seen_add(g->store, seen, gateway_now(g) + GATEWAY_KEEP_SEEN);
        answer_done(&answer);
        candidates_done(&all);
        return r;
}

static void reply_done(void *context, int result) {
        Reply *reply = context;
        json_t *answer;

        if (!gateway_may_pass(result))
                answer = json_pack("{s:s}", "type", "ack");
        else
                answer = json_pack("{s:s, s:I}", "type", "again", "retry_after", (json_int_t) 1);
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
        char scheme[16] = "";
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
        if (r == 0) {
                address_scheme(reply->from, scheme);
                reply->authentic = rules_authentic_from_name(reply->authentic_name);
        }
        if (r != 0 || !reply->channel || reply->authentic == RULES_AUTHENTIC_MAX ||
                        !streq(scheme, reply->channel->scheme)) {
                log_record(LOG_WARNING,
                                &(LogFields){ .channel = plugin->name },
                                "A plugin handed in a reply that is not one.");
                reply_free(reply);
                return -EPROTO;
        }
        if (reply->authentic > reply->channel->authentic)
                reply->authentic = reply->channel->authentic;

        reply->place = (ChallengeFrom){
                .channel = reply->channel->name,
                .address = reply->from,
                .text = reply->button ? reply->button
                        : reply->text ? reply->text
                                      : "",
        };
        r = engine_submit(g->engine, reply_apply, reply_done, reply, 1024);
        if (r < 0)
                reply_free(reply);
        return r;
}
