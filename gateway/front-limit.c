/* What operators ask about limits: what is full, whose, masked, and until when; and that something
 * is emptied. */
#include <errno.h>

#include "front.h"
#include "log.h"

#define COUNTER_ID_PREFIX "cnt_"

enum { LIST_LIMIT_DEFAULT = 20 };

/* --- a counter as operators see it -------------------------------------------------------------
 */

/* What of a record has a number of the configuration for its limit. */
static const struct {
        LimitKind kind;
        int window;
        const char *name;
        LimitNumber limit;
} windows[] = {
        { LIMIT_PAIR, LIMIT_PAIR_SHARES_10MIN, "shares_10min", LIMIT_SHARES_PER_RECIPIENT_10MIN },
        { LIMIT_PAIR, LIMIT_PAIR_SHARES_HOUR, "shares_hour", LIMIT_SHARES_PER_RECIPIENT_HOUR },
        { LIMIT_PAIR, LIMIT_PAIR_SHARES_DAY, "shares_day", LIMIT_SHARES_PER_RECIPIENT_DAY },
        { LIMIT_PAIR, LIMIT_PAIR_WRONG, "wrong_day", LIMIT_WRONG_PER_RECIPIENT },
        { LIMIT_PAIR, LIMIT_PAIR_ANSWERS_HOUR, "answers_hour", LIMIT_ANSWERS_PER_HOUR },
        { LIMIT_PAIR, LIMIT_PAIR_ANSWERS_DAY, "answers_day", LIMIT_ANSWERS_PER_DAY },
        { LIMIT_TENANT, LIMIT_TENANT_SHARES, "shares_day", LIMIT_SHARES_PER_DAY },
        { LIMIT_TENANT, LIMIT_TENANT_WRONG, "wrong_day", LIMIT_WRONG_PER_TENANT },
        { LIMIT_TENANT, LIMIT_TENANT_SPENT, "spent_day", _LIMIT_NUMBER_MAX },
        { LIMIT_PERSON, LIMIT_PERSON_10MIN, "messages_10min", LIMIT_MESSAGES_PER_RECIPIENT_10MIN },
        { LIMIT_PERSON, LIMIT_PERSON_HOUR, "messages_hour", LIMIT_MESSAGES_PER_RECIPIENT_HOUR },
        { LIMIT_PERSON, LIMIT_PERSON_DAY, "messages_day", LIMIT_MESSAGES_PER_RECIPIENT_DAY },
        { LIMIT_ROUTE, LIMIT_ROUTE_HOUR, "messages_hour", LIMIT_MESSAGES_PER_PREFIX_HOUR },
        { LIMIT_ROUTE, LIMIT_ROUTE_SENT, "messages_day", LIMIT_MESSAGES_PER_PREFIX_DAY },
        { LIMIT_ROUTE, LIMIT_ROUTE_ANSWERED, "answered_day", _LIMIT_NUMBER_MAX },
        { LIMIT_DOMAIN, LIMIT_DOMAIN_HOUR, "messages_hour", LIMIT_MESSAGES_PER_DOMAIN_HOUR },
        { LIMIT_DOMAIN, LIMIT_DOMAIN_BOUNCED, "bounced_hour", _LIMIT_NUMBER_MAX },
        { LIMIT_CHANNEL, LIMIT_CHANNEL_WRONG, "wrong_day", LIMIT_WRONG_PER_CHANNEL },
        { LIMIT_FLEET, LIMIT_FLEET_WRONG, "wrong_day", LIMIT_WRONG_IN_ALL },
        { LIMIT_SOURCE, LIMIT_SOURCE_WRONG, "wrong_day", LIMIT_WRONG_PER_SOURCE },
};

/* The limit of a window; UINT32_MAX: it has none. The two kinds of routes differ in what they are
 * called, as nothing else of them is stored. */
static uint32_t limit_of(Gateway *g, size_t i, const LimiterNoted *noted, int64_t now) {
        const ConfigTenant *tenant = config_tenant(g->config, noted->tenant);
        const LimitRules *limits = &g->config->limits;

        if (windows[i].kind == LIMIT_TENANT && windows[i].window == LIMIT_TENANT_SPENT)
                return tenant && tenant->spend_per_day > 0 ? tenant->spend_per_day : UINT32_MAX;
        if (windows[i].kind == LIMIT_TENANT && windows[i].window == LIMIT_TENANT_WRONG)
                return limits_wrong_of_tenant(limits,
                                limits_count(&noted->record, LIMIT_TENANT_SHARES, now),
                                false);
        if (windows[i].kind == LIMIT_ROUTE && noted->masked[0] == '+')
                return windows[i].window == LIMIT_ROUTE_SENT
                                       ? limits->number[LIMIT_MESSAGES_PER_COUNTRY]
                                       : UINT32_MAX;
        /* What a tenant sent to neighbouring numbers, or a domain, only its breaker limits. */
        if (windows[i].limit == _LIMIT_NUMBER_MAX ||
                        ((windows[i].kind == LIMIT_ROUTE || windows[i].kind == LIMIT_DOMAIN) &&
                                        noted->tenant[0]))
                return UINT32_MAX;
        return limits->number[windows[i].limit];
}

static int note_full(json_t *full, const char *name, int64_t wait, int64_t *longest) {
        if (wait <= 0)
                return 0;
        if (wait > *longest)
                *longest = wait;
        return json_array_append_new(full, json_string(name)) < 0 ? -ENOMEM : 0;
}

/* {id, kind, tenant?, about?, counts, full, until?}. *ret_is_full: something of it is. */
static json_t *counter_json(Gateway *g, const LimiterNoted *noted, bool *ret_is_full) {
        const LimitRecord *record = &noted->record;
        int64_t now = limiter_now(g->limiter), longest = 0;
        json_auto_t *counts = json_object(), *full = json_array();
        char id[ID_TEXT_SIZE], until[TIME_TEXT_SIZE];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < N_ELEMENTS(windows); i++) {
                uint32_t limit;

                if (windows[i].kind != record->kind)
                        continue;
                limit = limit_of(g, i, noted, now);
                r = json_object_set_new(counts,
                                windows[i].name,
                                json_integer(limits_count(record, windows[i].window, now)));
                if (r >= 0 && limit < UINT32_MAX)
                        r = note_full(full,
                                        windows[i].name,
                                        limits_wait(record, windows[i].window, limit, 1, now),
                                        &longest);
        }
        if (r >= 0 && record->kind == LIMIT_PAIR)
                r = note_full(full, "locked", limits_lock_wait(record, now), &longest);
        if (r >= 0 && record->kind == LIMIT_ROUTE)
                r = note_full(full, "stopped", limits_stop_wait(record, now), &longest);
        if (r < 0)
                return NULL;
        *ret_is_full = longest > 0;
        text_id(COUNTER_ID_PREFIX, noted->key, id);
        time_text(gateway_now(g) + longest, until);
        return json_pack("{s:s, s:s, s:s*, s:s*, s:O, s:O, s:s*}",
                        "id",
                        id,
                        "kind",
                        limiter_kind_name(record->kind),
                        "tenant",
                        noted->tenant[0] ? noted->tenant : NULL,
                        "about",
                        noted->masked[0] ? noted->masked : NULL,
                        "counts",
                        counts,
                        "full",
                        full,
                        "until",
                        longest > 0 ? until : NULL);
}

/* --- the list ----------------------------------------------------------------------------------
 */

typedef struct ListWalk {
        Gateway *gateway;
        json_t *list;
        size_t seen;
        uint8_t last[VAULT_INDEX_SIZE];
} ListWalk;

static int add_counter(const LimiterNoted *noted, void *userdata) {
        ListWalk *walk = userdata;
        json_auto_t *counter = NULL;
        bool is_full;

        walk->seen++;
        memcpy(walk->last, noted->key, sizeof(walk->last));
        counter = counter_json(walk->gateway, noted, &is_full);
        if (!counter || (is_full && json_array_append(walk->list, counter) < 0))
                return -ENOMEM;
        return 0;
}

/* What was full and is not any more is passed over, so that a page may hold less than was asked. */
int front_limit_list(Ask *ask) {
        const char *cursor = json_string_value(json_object_get(ask->frame, "cursor"));
        json_int_t limit = json_integer_value(json_object_get(ask->frame, "limit"));
        size_t most = limit <= 0                 ? LIST_LIMIT_DEFAULT
                      : limit > SHARE_LIMIT_LIST ? SHARE_LIMIT_LIST
                                                 : (size_t) limit;
        json_auto_t *list = json_array();
        ListWalk walk = { .gateway = ask->gateway, .list = list };
        uint8_t after[VAULT_INDEX_SIZE];
        char next[ID_TEXT_SIZE];
        int r;

        if (cursor && text_from_id(COUNTER_ID_PREFIX, cursor, after) < 0)
                return ask_refuse(ask,
                                400,
                                "invalid-query",
                                "The query cannot be used",
                                "`cursor` must be one that a list gave.");
        if (!list)
                return -ENOMEM;
        r = limiter_each(ask->gateway->limiter,
                        cursor ? after : NULL,
                        (int) most,
                        add_counter,
                        &walk);
        if (r < 0)
                return r;
        text_id(COUNTER_ID_PREFIX, walk.last, next);
        ask->status = 200;
        ask->body = json_pack(
                        "{s:O, s:s*}", "limits", list, "cursor", walk.seen == most ? next : NULL);
        return ask->body ? 0 : -ENOMEM;
}

/* --- of one address ----------------------------------------------------------------------------
 */

/* What is done with each counter of an address. */
typedef struct AddressWalk {
        Ask *ask;
        char address[ADDRESS_SIZE_MAX], person[ADDRESS_SIZE_MAX];
        json_t *list; /* to show; NULL: to clear */
        int n;
} AddressWalk;

static int visit(AddressWalk *walk, LimitKind kind, const char *tenant, const char *whom) {
        Gateway *g = walk->ask->gateway;
        LimiterNoted noted = { 0 };
        char masked[ADDRESS_SIZE_MAX];
        LimitRecord *record;
        json_t *counter;
        bool is_full;
        int r;

        r = limiter_get(g->limiter, kind, tenant, whom, &record);
        if (r < 0 || limits_is_stale(record, limiter_now(g->limiter)))
                return r;
        walk->n++;
        if (!walk->list) {
                limiter_change(g->limiter, record);
                limits_init(record, kind);
                return 0;
        }
        limiter_key(g->limiter, kind, tenant, whom, noted.key);
        noted.record = *record;
        address_masked(whom, masked);
        (void) snprintf(noted.tenant, sizeof(noted.tenant), "%.127s", tenant);
        (void) snprintf(noted.masked, sizeof(noted.masked), "%.255s", masked);
        counter = counter_json(g, &noted, &is_full);
        return counter && json_array_append_new(walk->list, counter) >= 0 ? 0 : -ENOMEM;
}

/* Of one tenant; or what all of them together count, and then that of each. */
static int visit_all(AddressWalk *walk, const char *tenant) {
        const Config *config = walk->ask->config;
        int r = 0;

        if (!tenant)
                r = visit(walk, LIMIT_PERSON, "", walk->person);
        for (size_t i = 0; r >= 0 && i < config->n_tenants; i++) {
                const char *id = config->tenants[i].id;

                if (tenant && !streq(id, tenant))
                        continue;
                r = visit(walk, LIMIT_PAIR, id, walk->person);
                if (r >= 0)
                        r = visit(walk, LIMIT_SOURCE, id, walk->address);
        }
        return r;
}

static int no_such(Ask *ask, const char *detail) {
        return ask_refuse(ask, 404, "not-found", "No such counter", "%s", detail);
}

/* Positive: refused, and the answer is set. */
static int walk_address(Ask *ask, AddressWalk *walk) {
        const json_t *body = json_object_get(ask->frame, "body");
        const char *text = json_string_value(json_object_get(body, "address"));
        const char *tenant = json_string_value(json_object_get(body, "tenant"));
        const char *reason = "it must be a string";
        int r;

        r = text ? address_canonical(text, walk->address, &reason) : ADDRESS_E_FORM;
        if (r > 0) {
                (void) ask_refuse(ask,
                                422,
                                "invalid-address",
                                "The address cannot be used",
                                "`address`: %s.",
                                reason);
                return 1;
        }
        if (r == 0 && tenant && !config_tenant(ask->config, tenant)) {
                (void) no_such(ask, "There is no tenant of this name.");
                return 1;
        }
        address_fold(walk->address, walk->person);
        return r < 0 ? r : visit_all(walk, tenant);
}

int front_limit_show_address(Ask *ask) {
        json_auto_t *list = json_array();
        AddressWalk walk = { .ask = ask, .list = list };
        int r;

        r = list ? walk_address(ask, &walk) : -ENOMEM;
        if (r != 0)
                return r < 0 ? r : 0;
        ask->status = 200;
        ask->body = json_pack("{s:O}", "limits", list);
        return ask->body ? 0 : -ENOMEM;
}

/* For the journal it is enough that it happened: whose they are, nobody has to know there. */
static int cleared(Ask *ask, int n) {
        log_notice("An operator emptied %d counter%s of limits.", n, n == 1 ? "" : "s");
        ask->status = 200;
        ask->body = json_pack("{s:i}", "cleared", n);
        return ask->body ? 0 : -ENOMEM;
}

int front_limit_clear_address(Ask *ask) {
        AddressWalk walk = { .ask = ask };
        int r;

        r = walk_address(ask, &walk);
        if (r == 0 && walk.n == 0)
                return no_such(ask, "Nothing is counted of this address.");
        return r != 0 ? (r < 0 ? r : 0) : cleared(ask, walk.n);
}

int front_limit_clear(Ask *ask) {
        const char *id = json_string_value(json_object_get(ask->frame, "counter"));
        uint8_t key[VAULT_INDEX_SIZE];
        int r = STORE_E_NOT_FOUND;

        if (id && text_from_id(COUNTER_ID_PREFIX, id, key) == 0)
                r = limiter_clear(ask->gateway->limiter, key);
        if (r > 0)
                return no_such(ask, "There is no counter of this id.");
        return r < 0 ? r : cleared(ask, 1);
}
