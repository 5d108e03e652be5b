/* Which messages wait. What a tenant's own messages have used up holds them for as long as it
 * takes; what all tenants together have, for 15 minutes at most, counted from when a message was
 * made, and then it leaves whatever the counters say (design section 8 "Tenants apart"). Among
 * those that wait, who has sent least goes first. A tenant sees neither: its share is on its way.
 *
 * Invitations and codes are what somebody else can make us send, so these are counted by whom they
 * go to; what an SMS costs is counted of all. */
#include <errno.h>
#include <stdio.h>

#include "gateway.h"
#include "log.h"

enum {
        LAST_DIGITS = 4,    /* that neighbouring numbers differ in */
        TURN_SECONDS = 2,   /* that each message of a tenant puts its next one behind others' */
        WAIT_MAX = 10 * 60, /* before what waits is looked at again, as limits may be cleared */
        RESERVED_PARTS = 2, /* of an invitation, and of a link */
};

/* Whom a message goes to, as far as counters are concerned; empty where there is none. */
typedef struct Target {
        char person[ADDRESS_SIZE_MAX], masked[ADDRESS_SIZE_MAX];
        char prefix[24], country[8]; /* of a number */
        const char *domain;          /* of a mailbox */
} Target;

typedef struct Sending {
        ShareContext *context;
        const LimitMessage *message;
        const LimitRules *limits;
        int64_t now;
        Target target;
        bool is_prompt, is_sms;
        uint32_t cost, cap;

        LimitRecord *tenant, *channel;
        LimitRecord *person, *domain, *own_domain; /* of prompts */
        LimitRecord *prefix, *own_prefix, *country;

        int64_t shared, own; /* seconds to wait */
        LimitRecord *full;   /* because of this one */
} Sending;

static uint32_t number(const Sending *s, LimitNumber which) {
        return s->limits->number[which];
}

/* --- whom it goes to ---------------------------------------------------------------------------
 */

static void target_of(const char *address, Target *ret) {
        const char *rest = strchr(address, ':');
        char scheme[16];

        *ret = (Target){ 0 };
        address_fold(address, ret->person);
        address_masked(address, ret->masked);
        address_scheme(address, scheme);
        if (!rest)
                return;
        rest++;
        if (streq(scheme, "sms") && strlen(rest) > LAST_DIGITS + 1) {
                (void) snprintf(ret->prefix,
                                sizeof(ret->prefix),
                                "%.*s",
                                (int) (strlen(rest) - LAST_DIGITS),
                                rest);
                (void) snprintf(ret->country,
                                sizeof(ret->country),
                                "%.*s",
                                (int) limits_country_digits(rest + 1) + 1,
                                rest);
        }
        if (streq(scheme, "mailto"))
                ret->domain = strrchr(ret->person, '@');
}

/* The first address of a share that gets SMS is what was reserved for. */
static bool is_reserved(const Sending *s) {
        const json_t *steps = json_object_get(share_details(s->context), "steps");

        if (s->message->repeated ||
                        (s->message->kind != OUTBOX_INVITATION && s->message->kind != OUTBOX_LINK))
                return false;
        for (size_t i = 0; i < json_array_size(steps); i++) {
                const char *to = json_string_value(json_array_get(json_array_get(steps, i), 0));

                if (to && strncmp(to, "sms:", 4) == 0)
                        return streq(to, s->message->address);
        }
        return false;
}

static uint32_t cost_of(const Sending *s) {
        unsigned parts, stranger;

        if (!s->is_sms || !s->message->text || s->message->channel->price == 0)
                return 0;
        parts = template_sms_parts(s->message->text, &stranger);
        /* Nothing is added for an invitation, as nothing is for one that is never sent. */
        if (is_reserved(s))
                parts = s->message->kind == OUTBOX_LINK && parts > RESERVED_PARTS
                                        ? parts - RESERVED_PARTS
                                        : 0;
        return parts * s->message->channel->price;
}

uint32_t limit_reserve(const Config *config, const json_t *steps) {
        for (size_t i = 0; i < json_array_size(steps); i++) {
                const json_t *step = json_array_get(steps, i);
                const char *to = json_string_value(json_array_get(step, 0));
                const ConfigChannel *channel =
                                config_channel(config, json_string_value(json_array_get(step, 1)));

                if (to && channel && strncmp(to, "sms:", 4) == 0)
                        return 2 * RESERVED_PARTS * channel->price;
        }
        return 0;
}

/* --- the counters ------------------------------------------------------------------------------
 */

static int get(Sending *s, LimitKind kind, bool own, const char *whom, LimitRecord **ret) {
        return limiter_get(s->context->gateway->limiter,
                        kind,
                        own ? s->context->share.tenant : "",
                        whom,
                        ret);
}

static int find(Sending *s) {
        const Target *t = &s->target;
        int r;

        r = get(s, LIMIT_TENANT, true, "", &s->tenant);
        if (r < 0 || !s->is_prompt)
                return r;
        r = get(s, LIMIT_CHANNEL, false, s->message->channel->name, &s->channel);
        if (r >= 0)
                r = get(s, LIMIT_PERSON, false, t->person, &s->person);
        if (r >= 0 && t->domain)
                r = get(s, LIMIT_DOMAIN, false, t->domain, &s->domain);
        if (r >= 0 && t->domain)
                r = get(s, LIMIT_DOMAIN, true, t->domain, &s->own_domain);
        if (r >= 0 && t->prefix[0])
                r = get(s, LIMIT_ROUTE, false, t->prefix, &s->prefix);
        if (r >= 0 && t->prefix[0])
                r = get(s, LIMIT_ROUTE, true, t->prefix, &s->own_prefix);
        if (r >= 0 && t->prefix[0])
                r = get(s, LIMIT_ROUTE, true, t->country, &s->country);
        return r;
}

static void hold(Sending *s, int64_t *wait, LimitRecord *record, int64_t seconds) {
        if (seconds <= *wait)
                return;
        *wait = seconds;
        s->full = record;
}

static void hold_window(
                Sending *s, int64_t *wait, LimitRecord *record, int window, LimitNumber limit) {
        if (record)
                hold(s, wait, record, limits_wait(record, window, number(s, limit), 1, s->now));
}

/* Stops SMS that nobody answers: somebody may be paid for each that we send. */
static void check_breaker(Sending *s, LimitRecord *record, LimitNumber sent, LimitNumber percent) {
        if (!record)
                return;
        if (limits_stop_wait(record, s->now) == 0 &&
                        limits_is_unanswered(record, number(s, sent), number(s, percent), s->now)) {
                limiter_change(s->context->gateway->limiter, record);
                limits_stop(record, s->now);
                audit_log_note(s->context->gateway->audit,
                                &(AuditNote){ .event = "breaker",
                                                .actor = AUDIT_ACTOR_GATEWAY,
                                                .word = record == s->country ? "country" : "prefix",
                                                .share = s->context->share.n,
                                                .number = -1 });
                log_record(LOG_WARNING,
                                &(LogFields){ .tenant = s->context->share.tenant,
                                                .channel = s->message->channel->name },
                                "SMS of a tenant to %s of %s wait for a day: of %u or more, fewer "
                                "than %u %% were answered; `vestibulectl limits show` has them.",
                                record == s->country ? "all numbers" : "neighbouring numbers",
                                s->target.country,
                                number(s, sent),
                                number(s, percent));
        }
        hold(s, &s->own, record, limits_stop_wait(record, s->now));
}

static bool is_bouncing(const Sending *s) {
        return s->own_domain && limits_is_bouncing(s->own_domain,
                                                number(s, LIMIT_DOMAIN_BREAKER_SENT),
                                                number(s, LIMIT_DOMAIN_BREAKER_PERCENT),
                                                s->now);
}

static void check_own(Sending *s) {
        if (is_bouncing(s))
                hold(s, &s->own, s->own_domain, WAIT_MAX);
        check_breaker(s, s->own_prefix, LIMIT_PREFIX_BREAKER_SENT, LIMIT_PREFIX_BREAKER_PERCENT);
        check_breaker(s, s->country, LIMIT_COUNTRY_BREAKER_SENT, LIMIT_COUNTRY_BREAKER_PERCENT);
        hold_window(s, &s->own, s->country, LIMIT_ROUTE_SENT, LIMIT_MESSAGES_PER_COUNTRY);
        if (s->cap > 0 && s->cost > 0)
                hold(s,
                                &s->own,
                                s->tenant,
                                limits_wait(s->tenant,
                                                LIMIT_TENANT_SPENT,
                                                s->cap,
                                                s->cost,
                                                s->now));
}

/* So many within this hour are too many for the channel; UINT32_MAX: nobody knows. */
static uint32_t surge_of(const Sending *s) {
        uint64_t usual = limits_usual_hour(s->channel, s->now);
        uint64_t most = usual * number(s, LIMIT_SURGE_FACTOR);

        if (usual == 0 || most > UINT32_MAX)
                return UINT32_MAX;
        return most > number(s, LIMIT_SURGE_FROM) ? (uint32_t) most : number(s, LIMIT_SURGE_FROM);
}

static void check_shared(Sending *s) {
        hold_window(s,
                        &s->shared,
                        s->person,
                        LIMIT_PERSON_10MIN,
                        LIMIT_MESSAGES_PER_RECIPIENT_10MIN);
        hold_window(s, &s->shared, s->person, LIMIT_PERSON_HOUR, LIMIT_MESSAGES_PER_RECIPIENT_HOUR);
        hold_window(s, &s->shared, s->person, LIMIT_PERSON_DAY, LIMIT_MESSAGES_PER_RECIPIENT_DAY);
        hold_window(s, &s->shared, s->prefix, LIMIT_ROUTE_HOUR, LIMIT_MESSAGES_PER_PREFIX_HOUR);
        hold_window(s, &s->shared, s->prefix, LIMIT_ROUTE_SENT, LIMIT_MESSAGES_PER_PREFIX_DAY);
        hold_window(s, &s->shared, s->domain, LIMIT_DOMAIN_HOUR, LIMIT_MESSAGES_PER_DOMAIN_HOUR);
        if (limits_this_hour(s->channel, s->now) >= surge_of(s))
                hold(s, &s->shared, s->channel, 3600 - s->now % 3600);
}

/* A tenant that has sent much to the same place lets others go first. */
static int64_t turn_of(const Sending *s) {
        if (s->own_prefix)
                return TURN_SECONDS *
                       (int64_t) limits_count(s->own_prefix, LIMIT_ROUTE_HOUR, s->now);
        if (s->own_domain)
                return TURN_SECONDS *
                       (int64_t) limits_count(s->own_domain, LIMIT_DOMAIN_HOUR, s->now);
        return 0;
}

static void add(Sending *s, LimitRecord *record, int window, uint32_t n) {
        if (!record || n == 0)
                return;
        limiter_change(s->context->gateway->limiter, record);
        limits_add(record, window, n, s->now);
}

static void count(Sending *s) {
        static const char surge[] = "A channel has sent %u messages within an hour, which is far "
                                    "more than usual; more of them wait for some minutes.";

        add(s, s->tenant, LIMIT_TENANT_SPENT, s->cost);
        add(s, s->person, LIMIT_PERSON_10MIN, 1);
        add(s, s->person, LIMIT_PERSON_HOUR, 1);
        add(s, s->person, LIMIT_PERSON_DAY, 1);
        add(s, s->domain, LIMIT_DOMAIN_HOUR, 1);
        add(s, s->own_domain, LIMIT_DOMAIN_HOUR, 1);
        add(s, s->prefix, LIMIT_ROUTE_HOUR, 1);
        add(s, s->prefix, LIMIT_ROUTE_SENT, 1);
        add(s, s->own_prefix, LIMIT_ROUTE_HOUR, 1);
        add(s, s->own_prefix, LIMIT_ROUTE_SENT, 1);
        add(s, s->country, LIMIT_ROUTE_SENT, 1);
        add(s, s->channel, LIMIT_CHANNEL_SENT, 1);
        if (s->channel && limits_this_hour(s->channel, s->now) == surge_of(s))
                log_record(LOG_WARNING,
                                &(LogFields){ .channel = s->message->channel->name },
                                surge,
                                surge_of(s));
}

/* What was reached is listed for operators, with whom it is about. */
static int note(Sending *s) {
        bool own = s->full == s->tenant || s->full == s->own_prefix || s->full == s->country ||
                   s->full == s->own_domain;
        const char *about = s->full == s->tenant    ? ""
                            : s->full == s->country ? s->target.country
                            : s->full == s->channel ? s->message->channel->name
                            : s->full == s->domain || s->full == s->own_domain
                                            ? s->target.domain + 1
                                            : s->target.masked;

        return s->full ? limiter_note(s->context->gateway->limiter,
                                         s->full,
                                         own ? s->context->share.tenant : "",
                                         about)
                       : 0;
}

int limit_take_message(ShareContext *c, const LimitMessage *message, int64_t *ret_wait) {
        const ConfigTenant *tenant = config_tenant(c->gateway->config, c->share.tenant);
        int64_t waited = c->now - message->made;
        Sending s = { .context = c,
                .message = message,
                .limits = &c->gateway->config->limits,
                .now = limiter_now(c->gateway->limiter),
                .is_prompt = message->kind == OUTBOX_INVITATION || message->kind == OUTBOX_CODE,
                .is_sms = streq(message->channel->scheme, "sms"),
                .cap = tenant ? tenant->spend_per_day : 0 };
        int r;

        target_of(message->address, &s.target);
        s.cost = cost_of(&s);
        if (!s.is_prompt && s.cost == 0)
                return 0;
        r = find(&s);
        if (r < 0)
                return r;
        check_own(&s);
        if (s.own == 0 && s.is_prompt && waited < LIMITS_DELAY_MAX)
                check_shared(&s);
        if (s.own == 0 && s.shared == 0) {
                count(&s);
                return 0;
        }
        r = note(&s);
        if (r < 0)
                return r;
        *ret_wait = s.own > 0 ? s.own : s.shared + turn_of(&s);
        if (*ret_wait > WAIT_MAX)
                *ret_wait = WAIT_MAX;
        if (s.own == 0 && *ret_wait > LIMITS_DELAY_MAX - waited)
                *ret_wait = waited < 0 ? LIMITS_DELAY_MAX : LIMITS_DELAY_MAX - waited;
        return LIMIT_HOLD;
}

int limit_note_bounced(ShareContext *c, const char *address) {
        Sending s = { .context = c,
                .limits = &c->gateway->config->limits,
                .now = limiter_now(c->gateway->limiter) };
        bool before;
        int r;

        target_of(address, &s.target);
        if (!s.target.domain)
                return 0;
        r = get(&s, LIMIT_DOMAIN, true, s.target.domain, &s.own_domain);
        if (r < 0)
                return r;
        before = is_bouncing(&s);
        add(&s, s.own_domain, LIMIT_DOMAIN_BOUNCED, 1);
        if (before || !is_bouncing(&s))
                return 0;
        audit_log_note(c->gateway->audit,
                        &(AuditNote){ .event = "breaker",
                                        .actor = AUDIT_ACTOR_GATEWAY,
                                        .word = "domain",
                                        .share = c->share.n,
                                        .number = -1 });
        log_record(LOG_WARNING,
                        &(LogFields){ .tenant = c->share.tenant },
                        "Mails of a tenant to %s wait: more than %u %% of those of the last hour "
                        "came back.",
                        s.target.domain + 1,
                        number(&s, LIMIT_DOMAIN_BREAKER_PERCENT));
        return 0;
}

int limit_note_answered(ShareContext *c, const char *address) {
        Sending s = { .context = c, .now = limiter_now(c->gateway->limiter) };
        LimitRecord *record;
        Target target;
        int r;

        target_of(address, &target);
        if (!target.prefix[0])
                return 0;
        r = get(&s, LIMIT_ROUTE, true, target.prefix, &record);
        if (r < 0)
                return r;
        add(&s, record, LIMIT_ROUTE_ANSWERED, 1);
        r = get(&s, LIMIT_ROUTE, true, target.country, &record);
        if (r >= 0)
                add(&s, record, LIMIT_ROUTE_ANSWERED, 1);
        return r < 0 ? r : 0;
}
