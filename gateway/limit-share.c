/* How many shares a tenant may start. Every refusal here rests on what this very tenant did
 * (design section 8 "Tenants apart"): its own shares, and the answers to them. */
#include <errno.h>
#include <string.h>

#include "gateway.h"
#include "log.h"

enum { SAFE_ASSURANCE = 3 }; /* of policies that a tenant may use in safe mode */

/* Counters of a share that is asked for: the tenant's, and those of each person once, however many
 * addresses of theirs there are. */
typedef struct Taking {
        Gateway *gateway;
        const char *tenant;
        uint32_t cap, reserve; /* of what SMS cost; no cap: 0 */
        int64_t now;
        LimitRecord *record; /* of the tenant */
        LimitRecord *pairs[SHARE_ADDRESSES_MAX];
        char (*addresses)[ADDRESS_SIZE_MAX];
        size_t n_pairs;
        LimitReason reason;
        int64_t wait;
} Taking;

static int pair_of(Gateway *g, const char *tenant, const char *address, LimitRecord **ret) {
        char person[ADDRESS_SIZE_MAX];

        address_fold(address, person);
        return limiter_get(g->limiter, LIMIT_PAIR, tenant, person, ret);
}

static int find_pairs(Taking *t, size_t n_addresses) {
        for (size_t i = 0; i < n_addresses; i++) {
                LimitRecord *pair;
                bool known = false;
                int r;

                r = pair_of(t->gateway, t->tenant, t->addresses[i], &pair);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < t->n_pairs; k++)
                        known = known || t->pairs[k] == pair;
                if (!known)
                        t->pairs[t->n_pairs++] = pair;
        }
        return 0;
}

/* The longest wait of several decides, and its reason is the one that is told. */
static void hold(Taking *t, LimitReason reason, int64_t wait) {
        if (wait <= t->wait)
                return;
        t->wait = wait;
        t->reason = reason;
}

/* One more in a window of a record. */
static void
check(Taking *t, LimitReason reason, const LimitRecord *record, int window, uint32_t limit) {
        hold(t, reason, limits_wait(record, window, limit, 1, t->now));
}

static void check_pair(Taking *t, const LimitRecord *pair) {
        const uint32_t *number = t->gateway->config->limits.number;

        check(t,
                        LIMIT_REASON_RECIPIENT,
                        pair,
                        LIMIT_PAIR_SHARES_10MIN,
                        number[LIMIT_SHARES_PER_RECIPIENT_10MIN]);
        check(t,
                        LIMIT_REASON_RECIPIENT,
                        pair,
                        LIMIT_PAIR_SHARES_HOUR,
                        number[LIMIT_SHARES_PER_RECIPIENT_HOUR]);
        check(t,
                        LIMIT_REASON_RECIPIENT,
                        pair,
                        LIMIT_PAIR_SHARES_DAY,
                        number[LIMIT_SHARES_PER_RECIPIENT_DAY]);
        check(t, LIMIT_REASON_LOCKED, pair, LIMIT_PAIR_WRONG, number[LIMIT_WRONG_PER_RECIPIENT]);
        hold(t, LIMIT_REASON_LOCKED, limits_lock_wait(pair, t->now));
}

static void check_tenant(Taking *t, const Rules *rules) {
        const LimitRules *limits = &t->gateway->config->limits;
        uint32_t shares = limits_count(t->record, LIMIT_TENANT_SHARES, t->now);

        hold(t,
                        LIMIT_REASON_TENANT,
                        limits_pace_wait(t->record,
                                        limits->number[LIMIT_SHARES_PER_MINUTE],
                                        limits->number[LIMIT_SHARES_BURST],
                                        limiter_now_usec(t->gateway->limiter)));
        check(t,
                        LIMIT_REASON_TENANT,
                        t->record,
                        LIMIT_TENANT_SHARES,
                        limits->number[LIMIT_SHARES_PER_DAY]);
        if (t->cap > 0)
                hold(t,
                                LIMIT_REASON_SPEND,
                                limits_wait(t->record,
                                                LIMIT_TENANT_SPENT,
                                                t->cap,
                                                t->reserve,
                                                t->now));
        if (rules_assurance(rules) < SAFE_ASSURANCE)
                check(t,
                                LIMIT_REASON_SAFE_MODE,
                                t->record,
                                LIMIT_TENANT_WRONG,
                                limits_wrong_of_tenant(limits, shares, false));
}

/* For the operator's list of what is full. */
static int note(Taking *t) {
        char masked[ADDRESS_SIZE_MAX];
        int r = 0;

        if (t->reason != LIMIT_REASON_RECIPIENT && t->reason != LIMIT_REASON_LOCKED)
                return limiter_note(t->gateway->limiter, t->record, t->tenant, "");
        for (size_t i = 0; r >= 0 && i < t->n_pairs; i++) {
                address_masked(t->addresses[i], masked);
                r = limiter_note(t->gateway->limiter, t->pairs[i], t->tenant, masked);
        }
        return r;
}

static void count(Taking *t) {
        const LimitRules *limits = &t->gateway->config->limits;
        Limiter *limiter = t->gateway->limiter;
        int64_t wait;

        limiter_change(limiter, t->record);
        (void) limits_pace_take(t->record,
                        limits->number[LIMIT_SHARES_PER_MINUTE],
                        limits->number[LIMIT_SHARES_BURST],
                        limiter_now_usec(limiter),
                        &wait);
        limits_add(t->record, LIMIT_TENANT_SHARES, 1, t->now);
        limits_add(t->record, LIMIT_TENANT_SPENT, t->reserve, t->now);
        for (size_t i = 0; i < t->n_pairs; i++) {
                limiter_change(limiter, t->pairs[i]);
                limits_add(t->pairs[i], LIMIT_PAIR_SHARES_10MIN, 1, t->now);
                limits_add(t->pairs[i], LIMIT_PAIR_SHARES_HOUR, 1, t->now);
                limits_add(t->pairs[i], LIMIT_PAIR_SHARES_DAY, 1, t->now);
        }
}

int limit_take_share(Gateway *g,
                const ConfigTenant *tenant,
                const Rules *rules,
                const json_t *steps,
                char (*addresses)[ADDRESS_SIZE_MAX],
                size_t n_addresses,
                LimitReason *ret_reason,
                int64_t *ret_wait) {
        Taking t = { .gateway = g,
                .tenant = tenant->id,
                .cap = tenant->spend_per_day,
                .reserve = limit_reserve(g->config, steps),
                .now = limiter_now(g->limiter),
                .addresses = addresses };
        int r;

        r = limiter_get(g->limiter, LIMIT_TENANT, tenant->id, "", &t.record);
        if (r >= 0)
                r = find_pairs(&t, n_addresses);
        if (r < 0)
                return r;
        check_tenant(&t, rules);
        for (size_t i = 0; i < t.n_pairs; i++)
                check_pair(&t, t.pairs[i]);
        *ret_reason = t.reason;
        *ret_wait = t.wait;
        if (t.reason == LIMIT_REASON_NONE) {
                count(&t);
                return 0;
        }
        r = note(&t);
        return r < 0 ? r : 1;
}

int limit_note_locked(ShareContext *c) {
        const json_t *addresses = json_object_get(share_details(c), "addresses");
        Limiter *limiter = c->gateway->limiter;

        for (size_t i = 0; i < json_array_size(addresses); i++) {
                const char *address = json_string_value(json_array_get(addresses, i));
                LimitRecord *pair;
                int r;

                r = address ? pair_of(c->gateway, c->share.tenant, address, &pair) : 0;
                if (r < 0)
                        return r;
                if (!address)
                        continue;
                limiter_change(limiter, pair);
                limits_lock(pair, limiter_now(limiter));
        }
        return c->error;
}
