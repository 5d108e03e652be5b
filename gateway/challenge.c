/* What a recipient has to show, and shows: the factors of a policy, asked for one after another.
 * Every comparison with a code or a fact happens here, in judge(), after its attempt is spent. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "answer.h"
#include "fact.h"
#include "gateway.h"
#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"

enum {
        CLOCK_SECONDS = 30, /* until a held answer is tried again while the clock is odd */
        NUMBER_SIZE = 7,    /* of approve: six digits and the final NUL */
};

static void random_bytes(void *ret, size_t size, void *userdata) {
        (void) userdata;
        randombytes_buf(ret, size);
}

static int say(ShareContext *c, const ChallengeFrom *from, TemplateMessage message) {
        return message_notice(c, message, from->channel, from->address);
}

/* Unasked, to the present address: who wants to hear nothing of the tenant hears nothing. */
static int tell(ShareContext *c, TemplateMessage message) {
        const ConfigChannel *channel;
        const char *address;
        int r;

        if (!share_route(c, c->share.step, &address, &channel))
                return c->error;
        r = block_has(c->gateway, c->share.tenant, address);
        if (r != 0)
                return r < 0 ? r : 0;
        return message_notice(c, message, channel->name, address);
}

/* --- verifiers ---------------------------------------------------------------------------- */

/* The mode is hashed with a code, so that a code of one factor is none of another. */
static void verifier_of(ShareContext *c,
                const char *mode,
                const char *canonical,
                uint8_t ret[CODE_VERIFIER_SIZE]) {
        char id[ID_TEXT_SIZE];

        vault_id(c->gateway->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        code_verifier(vault_code_key(c->gateway->vault), mode, id, canonical, ret);
}

static int keep_verifier(uint8_t **ret, const uint8_t verifier[CODE_VERIFIER_SIZE]) {
        if (!*ret)
                *ret = malloc(VAULT_VERIFIER_SIZE);
        if (!*ret)
                return -ENOMEM;
        memcpy(*ret, verifier, VAULT_VERIFIER_SIZE);
        return 0;
}

int challenge_make_code(ShareContext *c, Factor factor, char ret[CODE_SIZE]) {
        uint8_t verifier[CODE_VERIFIER_SIZE];
        int r;

        r = code_generate(c->share.rules.code, random_bytes, NULL, ret);
        if (r < 0)
                return r;
        verifier_of(c, factor_name(factor), ret, verifier);
        return keep_verifier(&c->share.code, verifier);
}

/* A fact's key and verifier, as the tenant gave them. False: it gave none, or they are damaged. */
static bool
fact_of(ShareContext *c, uint8_t ret_key[FACT_KEY_SIZE], uint8_t ret_verifier[FACT_VERIFIER_SIZE]) {
        const json_t *fact = json_object_get(share_details(c), "fact");

        return challenge_read_fact(fact, ret_key, ret_verifier);
}

bool challenge_read_fact(const json_t *fact,
                uint8_t ret_key[FACT_KEY_SIZE],
                uint8_t ret_verifier[FACT_VERIFIER_SIZE]) {
        const struct {
                const char *name;
                uint8_t *ret;
        } parts[] = { { "key", ret_key }, { "verifier", ret_verifier } };

        for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
                const char *text = json_string_value(json_object_get(fact, parts[i].name));
                size_t size;

                if (!text ||
                                sodium_base642bin(parts[i].ret,
                                                FACT_KEY_SIZE,
                                                text,
                                                strlen(text),
                                                NULL,
                                                &size,
                                                NULL,
                                                sodium_base64_VARIANT_ORIGINAL) != 0 ||
                                size != FACT_KEY_SIZE)
                        return false;
        }
        return true;
}

/* --- the other channel -------------------------------------------------------------------- */

/* Whether a channel is of another operator than a step's. A step whose channel is configured no
 * more is independent of nothing. */
static bool is_independent(ShareContext *c, int step, const char *channel) {
        const ConfigChannel *mine = config_channel(c->gateway->config, channel), *other;
        const char *address;

        return mine && share_route(c, step, &address, &other) &&
               !streq(mine->operator_class, other->operator_class);
}

static bool has_failed(const Share *s, OutboxKind kind, int step) {
        for (int i = 0; i < s->n_timeline; i++)
                if (s->timeline[i].event == TIMELINE_NOT_DELIVERED &&
                                s->timeline[i].detail == (int) kind && s->timeline[i].step == step)
                        return true;
        return false;
}

/* The first address on a channel of another operator whose owner hears from the tenant; where there
 * is none, the first one whose owner does not, and who will get nothing: that looks as if nobody
 * had answered, since a sender has not to learn of it. -ENOENT: there is none left. */
static int independent_step(ShareContext *c, OutboxKind kind, const char *channel) {
        int blocked = -ENOENT;

        for (int i = 0; i < share_n_steps(c); i++) {
                const ConfigChannel *other;
                const char *address;
                int r;

                if (!is_independent(c, i, channel) || has_failed(&c->share, kind, i) ||
                                !share_route(c, i, &address, &other))
                        continue;
                r = block_has(c->gateway, c->share.tenant, address);
                if (r <= 0)
                        return r < 0 ? r : i;
                if (blocked < 0)
                        blocked = i;
        }
        return c->error < 0 ? c->error : blocked;
}

bool challenge_halves_are_apart(ShareContext *c) {
        const ConfigChannel *channel;
        const char *address;

        return !(c->share.rules.factors & FACTOR_SPLIT) ||
               (share_route(c, c->share.step, &address, &channel) &&
                               is_independent(c, c->share.key_step, channel->name));
}

/* --- once everything is shown ------------------------------------------------------------- */

/* Towards the relay, by RELEASE or APPROVED, if the policy of today is met too. */
static int release(ShareContext *c, LifecycleEvent event) {
        const ConfigChannel *channel;
        const char *address;
        bool meets = true;
        int r;

        if (c->share.rules.factors & FACTOR_SPLIT) {
                r = share_route(c, c->share.step, &address, &channel)
                                    ? independent_step(c, OUTBOX_KEY, channel->name)
                                    : -ENOENT;
                if (r < 0 && r != -ENOENT)
                        return r;
                meets = r >= 0;
                c->share.key_step = r >= 0 ? r : 0;
        }
        meets = meets && share_meets_policy(c);
        c->share.rules.mailbox_ttl = share_rules_now(c).mailbox_ttl;
        c->share.mailbox_expires = c->now + c->share.rules.mailbox_ttl;
        if (meets)
                share_note(&c->share, c->now, TIMELINE_RELEASING, 0, 0);
        r = share_step(c, meets ? event : LIFECYCLE_EVENT_POLICY_TIGHTENED);
        return r > 0 ? -EINVAL : r;
}

/* A number that the recipient reads out, and the sender has one try at. */
static int ask_approval(ShareContext *c, const ChallengeFrom *from) {
        uint8_t verifier[CODE_VERIFIER_SIZE];
        char number[NUMBER_SIZE];
        int r;

        (void) snprintf(number,
                        sizeof(number),
                        "%06u",
                        randombytes_uniform(FACTOR_APPROVE_NUMBERS));
        verifier_of(c, factor_name(FACTOR_APPROVE), number, verifier);
        r = keep_verifier(&c->share.approval, verifier);
        if (r >= 0) {
                c->share.approval_expires = c->now + share_rules_now(c).approval_ttl;
                r = message_approval(c, number, from->channel, from->address);
        }
        sodium_memzero(number, sizeof(number));
        if (r < 0)
                return r;
        share_note(&c->share, c->now, TIMELINE_APPROVAL_ASKED, 0, c->share.step);
        r = share_step(c, LIFECYCLE_EVENT_ASK_APPROVAL);
        return r > 0 ? -EINVAL : r;
}

/* The address that confirmed is where the link goes. */
static int confirmed(ShareContext *c, const ChallengeFrom *from) {
        int r, step;

        if (share_has_address(c, from->channel, from->address, &step))
                c->share.step = step;
        share_note(&c->share,
                        c->now,
                        TIMELINE_CONFIRMED,
                        (int) share_assurance(&c->share),
                        c->share.step);
        r = share_step(c, LIFECYCLE_EVENT_CODE_RIGHT);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        if (!(c->share.rules.factors & FACTOR_APPROVE))
                return release(c, LIFECYCLE_EVENT_RELEASE);
        if (!share_meets_policy(c)) {
                r = share_step(c, LIFECYCLE_EVENT_POLICY_TIGHTENED);
                return r > 0 ? -EINVAL : r;
        }
        return ask_approval(c, from);
}

/* --- questions and answers ---------------------------------------------------------------- */

/* What to say to somebody who owes us this. A code of ours that is under way is asked for as any
 * other code is. */
static TemplateMessage question(const Share *s, Factor factor) {
        switch (factor) {
        case FACTOR_FACT:
                return TEMPLATE_INVITATION_FACT;
        case FACTOR_CROSS_CODE:
                return s->code_expires > 0 ? TEMPLATE_NOT_UNDERSTOOD : TEMPLATE_INVITATION_READY;
        case FACTOR_SPLIT:
                return TEMPLATE_INVITATION_YES;
        default:
                return TEMPLATE_NOT_UNDERSTOOD;
        }
}

TemplateMessage challenge_invitation(const Share *s) {
        switch (factor_next(s->rules.factors, s->met)) {
        case FACTOR_FACT:
                return TEMPLATE_INVITATION_FACT;
        case FACTOR_CROSS_CODE:
                return TEMPLATE_INVITATION_READY;
        case FACTOR_SPLIT:
                return TEMPLATE_INVITATION_YES;
        default:
                return TEMPLATE_INVITATION;
        }
}

int challenge_help(ShareContext *c, const ChallengeFrom *from) {
        Factor next = factor_next(c->share.rules.factors, c->share.met);

        return say(c, from, next == FACTOR_REPLY_CODE ? TEMPLATE_HELP : question(&c->share, next));
}

/* Whoever types a code of ours has read it where it went. */
static int note_code_came(ShareContext *c) {
        const ConfigChannel *channel;
        const char *address;

        return share_route(c, c->share.code_step, &address, &channel)
                               ? limit_note_answered(c, address)
                               : c->error;
}

/* Notes what was shown, and asks for the next or goes on. */
static int met(ShareContext *c, const ChallengeFrom *from, Factor factor) {
        Share *s = &c->share;
        Factor next;
        int r;

        s->met = factor_meet(s->rules.factors, s->met, factor);
        next = factor_next(s->rules.factors, s->met);
        if (factor == FACTOR_REPLY_CODE || factor == FACTOR_CROSS_CODE)
                gateway_count(c->gateway, COUNTER_CODES_RIGHT);
        r = factor == FACTOR_CROSS_CODE ? note_code_came(c) : 0;
        if (r < 0)
                return r;
        if (next == 0)
                return confirmed(c, from);
        share_note(s, c->now, TIMELINE_FACTOR_MET, (int) factor, s->step);
        r = say(c, from, next == FACTOR_REPLY_CODE ? TEMPLATE_ASK_CODE : TEMPLATE_ASK_READY);
        if (r < 0)
                return r;
        r = share_step(c,
                        factor == FACTOR_FACT ? LIFECYCLE_EVENT_FACT_MET
                                              : LIFECYCLE_EVENT_FACTOR_MET);
        return r > 0 ? -EINVAL : r;
}

static TemplateMessage wrong_text(Factor factor) {
        switch (factor) {
        case FACTOR_CROSS_CODE:
                return TEMPLATE_WRONG_SENT;
        case FACTOR_FACT:
                return TEMPLATE_WRONG_FACT;
        default:
                return TEMPLATE_WRONG;
        }
}

static int wrong(ShareContext *c, const ChallengeFrom *from, Factor factor, bool last) {
        int r;

        r = limit_note_wrong(c, from->channel, from->address);
        if (r < 0)
                return r;
        gateway_count(c->gateway, COUNTER_CODES_WRONG);
        share_note(&c->share, c->now, TIMELINE_WRONG, c->share.attempts.left, c->share.step);
        r = say(c, from, last ? TEMPLATE_LOCKED : wrong_text(factor));
        if (r < 0)
                return r;
        r = share_step(c, last ? LIFECYCLE_EVENT_CODE_WRONG_LAST : LIFECYCLE_EVENT_CODE_WRONG);
        return r > 0 ? -EINVAL : r;
}

/* --- answers that come too soon after a wrong one ----------------------------------------- */

/* Keeps the canonical candidate, sealed, until it may be judged; the newest replaces the one before
 * (security.md B.3: queue, do not drop). */
static int hold(ShareContext *c, const ChallengeFrom *from, Factor factor, const char *canonical) {
        Share *s = &c->share;
        json_auto_t *held = json_pack("{s:s, s:s, s:s, s:s}",
                        "factor",
                        factor_name(factor),
                        "answer",
                        canonical,
                        "channel",
                        from->channel,
                        "from",
                        from->address);
        _cleanup_(json_wipe_freep) char *text = held ? json_quick_text(held) : NULL;
        int r;

        if (!text)
                return -ENOMEM;
        share_drop(&s->held, s->held_size);
        r = vault_seal(c->gateway->vault,
                        &c->key,
                        s->n,
                        VAULT_FIELD_HELD,
                        0,
                        text,
                        strlen(text),
                        &s->held,
                        &s->held_size);
        if (r < 0)
                return r;
        s->held_due = s->attempts.not_before;
        share_set_due(c);
        return 0;
}

static void drop_held(ShareContext *c) {
        share_drop(&c->share.held, c->share.held_size);
        c->share.held_size = 0;
        c->share.held_due = 0;
        engine_note_wipe(c->gateway->engine);
}

/* --- the comparison ----------------------------------------------------------------------- */

/* Spends, makes the spend independent of everything that follows, and only then compares. */
static int judge(ShareContext *c,
                const ChallengeFrom *from,
                Factor factor,
                const char *canonical,
                const uint8_t guess[CODE_VERIFIER_SIZE],
                const uint8_t right[CODE_VERIFIER_SIZE]) {
        Gateway *g = c->gateway;
        AttemptsTicket ticket;
        AttemptsVerdict verdict;
        unsigned allowed;
        int r;

        r = limit_check_answer(c, from->address);
        if (r != 0)
                return r < 0 ? r : 0;
        if (g->clock.suspect) /* nothing is confirmed before the operator has looked */
                return -EAGAIN;
        allowed = share_rules_now(c).attempts;
        if (c->share.attempts.left > allowed)
                c->share.attempts.left = (uint8_t) allowed;
        r = attempts_spend(&c->share.attempts, guess, c->now, &ticket);
        switch (r) {
        case 0:
                break;
        case ATTEMPTS_E_EARLY:
                return hold(c, from, factor, canonical);
        case ATTEMPTS_E_REPEATED:
                return say(c, from, wrong_text(factor));
        case ATTEMPTS_E_NONE_LEFT: /* the batch with the last verdict was lost, its spend was not */
                return wrong(c, from, factor, true);
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

        verdict = attempts_judge(&c->share.attempts, &ticket, right, c->now);
        if (verdict == ATTEMPTS_RIGHT)
                return met(c, from, factor);
        return wrong(c, from, factor, verdict == ATTEMPTS_WRONG_LAST);
}

static int judge_code(
                ShareContext *c, const ChallengeFrom *from, Factor factor, const char *canonical) {
        uint8_t guess[CODE_VERIFIER_SIZE];
        int r;

        if (!c->share.code)
                return 0;
        verifier_of(c, factor_name(factor), canonical, guess);
        r = judge(c, from, factor, canonical, guess, c->share.code);
        sodium_memzero(guess, sizeof(guess));
        return r;
}

static int judge_fact(ShareContext *c, const ChallengeFrom *from, const char *normalised) {
        uint8_t key[FACT_KEY_SIZE], right[FACT_VERIFIER_SIZE], guess[FACT_VERIFIER_SIZE];
        int r;

        if (!fact_of(c, key, right))
                return c->error < 0 ? c->error : -EBADMSG;
        fact_verifier(key, normalised, guess);
        r = judge(c, from, FACTOR_FACT, normalised, guess, right);
        sodium_memzero(key, sizeof(key));
        sodium_memzero(guess, sizeof(guess));
        sodium_memzero(right, sizeof(right));
        return r;
}

static int mistyped(ShareContext *c, const ChallengeFrom *from, Factor factor) {
        int r;

        gateway_count(c->gateway, COUNTER_CODES_MISTYPED);
        if (attempts_mistyped(&c->share.attempts) != 0)
                return 0;
        r = say(c, from, factor == FACTOR_CROSS_CODE ? TEMPLATE_MISTYPED_SENT : TEMPLATE_MISTYPED);
        if (r < 0)
                return r;
        share_note(&c->share, c->now, TIMELINE_MISTYPED, 0, c->share.step);
        return share_step(c, LIFECYCLE_EVENT_MISTYPED);
}

static int answer_with_code(
                ShareContext *c, const ChallengeFrom *from, Factor factor, const Answer *answer) {
        char code[CODE_SIZE];
        int r;

        r = answer_code(answer, c->share.rules.code, code);
        if (r == 0)
                r = judge_code(c, from, factor, code);
        else if (r == ANSWER_E_MISTYPED)
                r = mistyped(c, from, factor);
        else
                r = say(c, from, TEMPLATE_NOT_UNDERSTOOD);
        sodium_memzero(code, sizeof(code));
        return r;
}

static int answer_with_fact(ShareContext *c, const ChallengeFrom *from, const Answer *answer) {
        const char *text = fact_after_tag(from->text, answer->tag);
        char normalised[FACT_SIZE];
        int r;

        r = fact_normalise(text, strlen(text), normalised);
        if (r < 0)
                return r;
        r = r == 0 ? judge_fact(c, from, normalised) : say(c, from, TEMPLATE_INVITATION_FACT);
        sodium_memzero(normalised, sizeof(normalised));
        return r;
}

/* --- codes of ours ------------------------------------------------------------------------ */

/* Who says READY while a code is open gets no other one: it is on its way, or lost with its
 * lifetime. */
static int ready(ShareContext *c, const ChallengeFrom *from) {
        Share *s = &c->share;
        char code[CODE_SIZE], display[CODE_DISPLAY_SIZE];
        int r, step;

        if (s->code_expires >= c->now)
                return say(c, from, TEMPLATE_CODE_SENT);
        step = independent_step(c, OUTBOX_CODE, from->channel);
        if (step < 0 && step != -ENOENT)
                return step;
        if (step < 0 || s->codes >= CHALLENGE_CODES_MAX || s->attempts.left == 0)
                return say(c, from, TEMPLATE_NO_MORE_CODES);

        r = share_step(c, LIFECYCLE_EVENT_READY);
        if (r == 0)
                r = challenge_make_code(c, FACTOR_CROSS_CODE, code);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        s->codes++;
        s->code_step = step;
        s->code_expires = c->now + share_rules_now(c).code_ttl;
        if (s->code_expires > s->expires)
                s->code_expires = s->expires;
        code_display(s->rules.code, code, display);
        r = message_code(c, display);
        sodium_memzero(code, sizeof(code));
        sodium_memzero(display, sizeof(display));
        if (r < 0)
                return r;
        share_note(s, c->now, TIMELINE_CODE_SENT, 0, step);
        share_set_due(c);
        return say(c, from, TEMPLATE_CODE_SENT);
}

/* Where a code of ours can be read it proves nothing, and is not compared. */
static int answer_with_our_code(ShareContext *c, const ChallengeFrom *from, const Answer *answer) {
        if (c->share.code_expires < c->now)
                return say(c,
                                from,
                                c->share.codes > 0 ? TEMPLATE_CODE_EXPIRED
                                                   : TEMPLATE_INVITATION_READY);
        if (!is_independent(c, c->share.code_step, from->channel))
                return say(c, from, TEMPLATE_ELSEWHERE);
        return answer_with_code(c, from, FACTOR_CROSS_CODE, answer);
}

int challenge_elsewhere(ShareContext *c, const ChallengeFrom *from, const Answer *answer) {
        bool awaits = c->share.state == LIFECYCLE_INVITED && c->share.code_expires >= c->now &&
                      factor_next(c->share.rules.factors, c->share.met) == FACTOR_CROSS_CODE;

        return awaits && answer->kind == ANSWER_CODE ? say(c, from, TEMPLATE_ELSEWHERE) : 0;
}

int challenge_code_lapsed(ShareContext *c, TemplateMessage message) {
        int r;

        share_note(&c->share, c->now, TIMELINE_CODE_LAPSED, 0, c->share.code_step);
        r = share_step(c, LIFECYCLE_EVENT_CODE_LAPSED);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        r = tell(c, message);
        share_set_due(c);
        return r;
}

int challenge_answer(ShareContext *c, const ChallengeFrom *from, const Answer *answer) {
        Factor next = factor_next(c->share.rules.factors, c->share.met);
        bool agrees = answer->kind == ANSWER_YES || answer->kind == ANSWER_READY;

        switch (next) {
        case FACTOR_FACT:
                if (answer->kind == ANSWER_CODE || answer->kind == ANSWER_OTHER)
                        return answer_with_fact(c, from, answer);
                break;
        case FACTOR_REPLY_CODE:
                if (answer->kind == ANSWER_CODE)
                        return answer_with_code(c, from, next, answer);
                break;
        case FACTOR_CROSS_CODE:
                if (agrees)
                        return ready(c, from);
                if (answer->kind == ANSWER_CODE)
                        return answer_with_our_code(c, from, answer);
                break;
        case FACTOR_SPLIT:
                if (agrees && c->gateway->clock.suspect)
                        return -EAGAIN;
                if (agrees)
                        return met(c, from, FACTOR_SPLIT);
                break;
        default:
                break;
        }
        return say(c, from, question(&c->share, next));
}

/* --- what waited -------------------------------------------------------------------------- */

/* Judges what was held, if it is still what is asked for. */
static int judge_held(ShareContext *c, const json_t *held) {
        Factor factor = factor_from_name(json_string_value(json_object_get(held, "factor")));
        const char *answer = json_string_value(json_object_get(held, "answer"));
        const ChallengeFrom from = {
                .channel = json_string_value(json_object_get(held, "channel")),
                .address = json_string_value(json_object_get(held, "from")),
        };

        if (!answer || !from.channel || !from.address ||
                        factor != factor_next(c->share.rules.factors, c->share.met))
                return 0;
        if (factor == FACTOR_FACT)
                return judge_fact(c, &from, answer);
        if (factor == FACTOR_CROSS_CODE &&
                        (c->share.code_expires < c->now || /* the gateway was away meanwhile */
                                        !is_independent(c, c->share.code_step, from.channel)))
                return 0;
        return judge_code(c, &from, factor, answer);
}

int challenge_held(ShareContext *c) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        json_auto_t *held = NULL;
        JsonProblem problem;
        int r;

        if (c->gateway->clock.suspect) {
                c->share.held_due = c->now + CLOCK_SECONDS;
                return 0;
        }
        r = vault_open(c->gateway->vault,
                        &c->key,
                        c->share.n,
                        VAULT_FIELD_HELD,
                        0,
                        c->share.held,
                        c->share.held_size,
                        &plain);
        drop_held(c);
        if (r == 0)
                r = json_read(plain.data, plain.size, 4, &held, &problem);
        if (r != 0) /* what cannot be read is no answer; the recipient may give it again */
                return r == -ENOMEM ? r : 0;
        return judge_held(c, held);
}

/* --- the sender --------------------------------------------------------------------------- */

bool challenge_has_codes(const Share *s) {
        return s->rules.factors & ~s->met & (FACTOR_REPLY_CODE | FACTOR_CROSS_CODE);
}

int challenge_reissue(ShareContext *c, char ret_code[CODE_SIZE]) {
        Share *s = &c->share;
        unsigned allowed = share_rules_now(c).attempts;
        unsigned tries = allowed < CHALLENGE_REISSUE_TRIES ? allowed : CHALLENGE_REISSUE_TRIES;
        int r;

        ret_code[0] = 0;
        r = share_step(c, LIFECYCLE_EVENT_REISSUE);
        if (r == 0)
                r = attempts_renew(&s->attempts, tries);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        s->reissues++;
        share_note(s, c->now, TIMELINE_REISSUED, s->attempts.left, s->step);
        if (s->rules.factors & ~s->met & FACTOR_REPLY_CODE)
                r = challenge_make_code(c, FACTOR_REPLY_CODE, ret_code);
        else
                s->codes = 0; /* the sender vouches that somebody is there: READY may be said anew
                               */
        if (r >= 0 && s->state == LIFECYCLE_INVITED && !(s->flags & SHARE_SUPPRESSED))
                r = tell(c, ret_code[0] ? TEMPLATE_NEW_CODE : challenge_invitation(s));
        share_set_due(c);
        return r;
}

/* What is left of a number as a person types it; false: it is not six digits. */
static bool read_number(const char *text, char ret[NUMBER_SIZE]) {
        size_t n = 0;

        for (; *text; text++) {
                if (*text == ' ' || *text == '-')
                        continue;
                if (*text < '0' || *text > '9' || n == NUMBER_SIZE - 1)
                        return false;
                ret[n++] = *text;
        }
        ret[n] = 0;
        return n == NUMBER_SIZE - 1;
}

/* The try is gone before it is compared, whatever becomes of the rest of the batch. */
static int take_approval(ShareContext *c, const char *number, bool *ret_right) {
        Gateway *g = c->gateway;
        uint8_t guess[CODE_VERIFIER_SIZE], right[CODE_VERIFIER_SIZE] = { 0 };
        bool is_there = c->share.approval;
        int r;

        if (is_there)
                memcpy(right, c->share.approval, sizeof(right));
        share_drop(&c->share.approval, VAULT_VERIFIER_SIZE);
        r = engine_note_spend(g->engine, c->share.n);
        if (r >= 0)
                r = store_share_update(g->store, &c->share);
        if (r >= 0)
                r = engine_keep(g->engine);
        verifier_of(c, factor_name(FACTOR_APPROVE), number, guess);
        *ret_right = r >= 0 && is_there && code_verifier_equal(guess, right);
        sodium_memzero(guess, sizeof(guess));
        sodium_memzero(right, sizeof(right));
        return r;
}

int challenge_approve(ShareContext *c, const char *text) {
        char number[NUMBER_SIZE];
        bool right = false;
        int r;

        if (!read_number(text, number))
                return CHALLENGE_E_FORM;
        if (c->gateway->clock.suspect)
                return CHALLENGE_E_CLOCK;
        r = take_approval(c, number, &right);
        sodium_memzero(number, sizeof(number));
        if (r < 0)
                return r;
        if (right) {
                c->share.met |= FACTOR_APPROVE;
                share_note(&c->share, c->now, TIMELINE_APPROVED, 0, c->share.step);
                return release(c, LIFECYCLE_EVENT_APPROVED);
        }
        return challenge_not_approved(c, LIFECYCLE_EVENT_APPROVAL_WRONG);
}

int challenge_not_approved(ShareContext *c, LifecycleEvent event) {
        const ConfigChannel *channel;
        const char *address;
        int r = 0;

        if (share_route(c, c->share.step, &address, &channel))
                r = message_notice(c, TEMPLATE_NOT_MADE, channel->name, address);
        if (r < 0)
                return r;
        share_note(&c->share, c->now, TIMELINE_NOT_APPROVED, 0, c->share.step);
        r = share_step(c, event);
        return r > 0 ? -EINVAL : r;
}
