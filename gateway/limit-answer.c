/* Wrong answers within a day: of an address, a recipient, a tenant, over a channel and in all; and
 * texts back to who answers. What is over the budget of a tenant is dropped before anything is
 * compared, so that it counts for nobody else (design section 8); what is too much for all of them
 * makes longer codes, and refuses nothing. */
#include <errno.h>

#include "gateway.h"
#include "log.h"

static int person_record(ShareContext *c, const char *address, LimitRecord **ret) {
        char person[ADDRESS_SIZE_MAX];

        address_fold(address, person);
        return limiter_get(c->gateway->limiter, LIMIT_PAIR, c->share.tenant, person, ret);
}

static uint32_t tenant_budget(const Gateway *g, const LimitRecord *tenant, bool soft) {
        int64_t now = limiter_now(g->limiter);

        return limits_wrong_of_tenant(
                        &g->config->limits, limits_count(tenant, LIMIT_TENANT_SHARES, now), soft);
}

int limit_check_answer(ShareContext *c, const char *from) {
        Gateway *g = c->gateway;
        int64_t now = limiter_now(g->limiter);
        LimitRecord *source, *tenant;
        int r;

        r = limiter_get(g->limiter, LIMIT_SOURCE, c->share.tenant, from, &source);
        if (r >= 0)
                r = limiter_get(g->limiter, LIMIT_TENANT, c->share.tenant, "", &tenant);
        if (r < 0)
                return r;
        if (limits_count(source, LIMIT_SOURCE_WRONG, now) <
                                        g->config->limits.number[LIMIT_WRONG_PER_SOURCE] &&
                        limits_count(tenant, LIMIT_TENANT_WRONG, now) <
                                        tenant_budget(g, tenant, false))
                return 0;
        gateway_count(g, COUNTER_REPLIES_DROPPED);
        return LIMIT_DROP;
}

/* One budget that a wrong answer is counted in, and who hears when it is used up. */
typedef struct Budget {
        LimitKind kind;
        const char *tenant, *whom; /* as the key */
        const char *masked;        /* as an operator sees it */
        int window;
        uint32_t soft, hard;
        const char *name; /* in the journal */
} Budget;

/* Once at each of the two, as the count passes it. */
static void tell(const ShareContext *c, const Budget *b, uint32_t count) {
        LogFields fields = { .tenant = c->share.tenant };

        if (b->kind == LIMIT_CHANNEL)
                fields = (LogFields){ .channel = b->whom };
        if (b->kind == LIMIT_FLEET)
                fields = (LogFields){ 0 };
        if (count == b->hard)
                audit_log_note(c->gateway->audit,
                                &(AuditNote){ .event = "limit_reached",
                                                .actor = AUDIT_ACTOR_GATEWAY,
                                                .word = b->name,
                                                .share = c->share.n,
                                                .number = -1 });
        if (count == b->hard)
                log_record(LOG_WARNING,
                                &fields,
                                "Wrong answers %s have reached their limit, %u within a day; "
                                "`vestibulectl limits show` tells until when.",
                                b->name,
                                count);
        else if (count == b->soft)
                log_record(LOG_NOTICE,
                                &fields,
                                "Wrong answers %s: %u within a day, of %u.",
                                b->name,
                                count,
                                b->hard);
}

static int count_wrong(ShareContext *c, const Budget *b) {
        Limiter *limiter = c->gateway->limiter;
        int64_t now = limiter_now(limiter);
        LimitRecord *record;
        uint32_t count;
        int r;

        r = limiter_get(limiter, b->kind, b->tenant, b->whom, &record);
        if (r < 0)
                return r;
        limiter_change(limiter, record);
        limits_add(record, b->window, 1, now);
        count = limits_count(record, b->window, now);
        tell(c, b, count);
        return count >= b->hard ? limiter_note(limiter, record, b->tenant, b->masked) : 0;
}

int limit_note_wrong(ShareContext *c, const char *channel, const char *from) {
        Gateway *g = c->gateway;
        const LimitRules *limits = &g->config->limits;
        char person[ADDRESS_SIZE_MAX], masked[ADDRESS_SIZE_MAX];
        const char *id = c->share.tenant;
        LimitRecord *tenant;
        int r;

        address_fold(from, person);
        address_masked(from, masked);
        r = limiter_get(g->limiter, LIMIT_TENANT, id, "", &tenant);
        if (r < 0)
                return r;

        /* clang-format off */
        const Budget budgets[] = {
                { LIMIT_SOURCE, id, from, masked, LIMIT_SOURCE_WRONG,
                  limits_soft(limits, LIMIT_WRONG_PER_SOURCE), limits->number[LIMIT_WRONG_PER_SOURCE],
                  "of one address" },
                { LIMIT_PAIR, id, person, masked, LIMIT_PAIR_WRONG,
                  limits_soft(limits, LIMIT_WRONG_PER_RECIPIENT), limits->number[LIMIT_WRONG_PER_RECIPIENT],
                  "of one recipient" },
                { LIMIT_TENANT, id, "", "", LIMIT_TENANT_WRONG,
                  tenant_budget(g, tenant, true), tenant_budget(g, tenant, false), "to one tenant" },
                { LIMIT_CHANNEL, "", channel, channel, LIMIT_CHANNEL_WRONG,
                  limits_soft(limits, LIMIT_WRONG_PER_CHANNEL), limits->number[LIMIT_WRONG_PER_CHANNEL],
                  "over one channel" },
                { LIMIT_FLEET, "", "", "", LIMIT_FLEET_WRONG,
                  limits_soft(limits, LIMIT_WRONG_IN_ALL), limits->number[LIMIT_WRONG_IN_ALL], "in all" },
        };
        /* clang-format on */

        for (size_t i = 0; i < N_ELEMENTS(budgets); i++) {
                r = count_wrong(c, &budgets[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int limit_take_text(ShareContext *c, const char *address) {
        Gateway *g = c->gateway;
        const uint32_t *number = g->config->limits.number;
        int64_t now = limiter_now(g->limiter);
        LimitRecord *pair;
        int r;

        r = person_record(c, address, &pair);
        if (r < 0)
                return r;
        if (limits_wait(pair, LIMIT_PAIR_ANSWERS_HOUR, number[LIMIT_ANSWERS_PER_HOUR], 1, now) >
                                        0 ||
                        limits_wait(pair,
                                        LIMIT_PAIR_ANSWERS_DAY,
                                        number[LIMIT_ANSWERS_PER_DAY],
                                        1,
                                        now) > 0)
                return LIMIT_DROP;
        limiter_change(g->limiter, pair);
        limits_add(pair, LIMIT_PAIR_ANSWERS_HOUR, 1, now);
        limits_add(pair, LIMIT_PAIR_ANSWERS_DAY, 1, now);
        return 0;
}

/* Whether so many have guessed that a code which is easy to say is too easy to guess. */
static int is_guessed(Gateway *g, LimitKind kind, const char *whom, int window, LimitNumber most) {
        LimitRecord *record;
        int r;

        r = limiter_get(g->limiter, kind, "", whom, &record);
        if (r < 0)
                return r;
        return limits_count(record, window, limiter_now(g->limiter)) >=
               g->config->limits.number[most];
}

int limit_code_format(Gateway *g, CodeFormat wanted, const json_t *steps, CodeFormat *ret) {
        int r;

        *ret = wanted;
        if (wanted != CODE_D9)
                return 0;
        r = is_guessed(g, LIMIT_FLEET, "", LIMIT_FLEET_WRONG, LIMIT_WRONG_IN_ALL);
        for (size_t i = 0; r == 0 && i < json_array_size(steps); i++)
                r = is_guessed(g,
                                LIMIT_CHANNEL,
                                json_string_value(json_array_get(json_array_get(steps, i), 1)),
                                LIMIT_CHANNEL_WRONG,
                                LIMIT_WRONG_PER_CHANNEL);
        if (r > 0)
                *ret = CODE_X8;
        return r < 0 ? r : 0;
}
