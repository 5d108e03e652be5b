/* What tenants and operators ask. Who somebody is, and what they may, is decided here and nowhere
 * else: the front only passes on a token's id and hash, or the peer credentials of a Unix
 * connection. */
#include "front.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"
#include "log.h"

enum {
        WAIT_MAX_SECONDS = 60,
        WATCHERS_MAX = 10000,
        LIST_LIMIT_DEFAULT = 20,
        LIST_LIMIT_MAX = 100,
        LIST_BYTES_MAX = 32 * 1024,
        LIST_SCAN_MAX = 1000, /* rows looked at for one answer */
};

typedef enum FrontRight {
        RIGHT_TENANT = 1 << 0,
        RIGHT_OPERATOR = 1 << 1,
        RIGHT_NOBODY = 1 << 2,
} FrontRight;

typedef struct FrontVerb {
        const char *type;
        unsigned rights;
        bool stored; /* reads or writes the store: a command of a batch */
        int (*handle)(Ask *ask);
} FrontVerb;

static const char *const counter_names[_COUNTER_MAX] = {
        [COUNTER_SHARES_CREATED] = "shares_created",
        [COUNTER_SHARES_COMPLETED] = "shares_completed",
        [COUNTER_SHARES_LOCKED] = "shares_locked",
        [COUNTER_SHARES_ENDED_OTHERWISE] = "shares_ended_otherwise",
        [COUNTER_CODES_RIGHT] = "codes_right",
        [COUNTER_CODES_WRONG] = "codes_wrong",
        [COUNTER_CODES_MISTYPED] = "codes_mistyped",
        [COUNTER_REPLIES_UNBOUND] = "replies_unbound",
        [COUNTER_MAILBOXES_MADE] = "mailboxes_made",
        [COUNTER_MAILBOXES_ORPHANED] = "mailboxes_orphaned",
        [COUNTER_DEAD_LETTERS] = "dead_letters",
};

int ask_refuse(Ask *ask, int status, const char *name, const char *title, const char *detail, ...) {
        char text[512], type[96];
        va_list ap;

        va_start(ap, detail);
        (void) vsnprintf(text, sizeof(text), detail, ap);
        va_end(ap);
        (void) snprintf(type, sizeof(type), "urn:vestibule:problem:%s", name);
        ask->status = status;
        json_decref(ask->problem);
        ask->problem = json_pack("{s:s, s:s, s:i, s:s}",
                        "type",
                        type,
                        "title",
                        title,
                        "status",
                        status,
                        "detail",
                        text);
        return 0;
}

static void ask_free(Ask *ask) {
        json_decref(ask->frame);
        json_decref(ask->body);
        json_decref(ask->problem);
        config_unref(ask->config);
        free(ask);
}

static void ask_send(Ask *ask) {
        json_t *answer = json_pack("{s:s, s:i, s:O*, s:O*}",
                        "type",
                        "answer",
                        "status",
                        ask->status,
                        "body",
                        ask->problem ? NULL : ask->body,
                        "problem",
                        ask->problem);
        int r;

        if (answer && ask->replayed)
                (void) json_object_set_new(answer, "replayed", json_true());
        if (answer && ask->retry_after > 0)
                (void) json_object_set_new(answer, "retry_after", json_integer(ask->retry_after));
        r = plugin_link_answer(ask->request, answer);
        if (r == -EMSGSIZE || r == -ENOMEM)
                (void) plugin_link_answer(ask->request,
                                json_pack("{s:s, s:i, s:{s:s, s:s, s:i}}",
                                                "type",
                                                "answer",
                                                "status",
                                                500,
                                                "problem",
                                                "type",
                                                "urn:vestibule:problem:internal",
                                                "title",
                                                "The answer cannot be given",
                                                "status",
                                                500));
}

/* --- who asks --- */

static bool is_operator(const json_t *credential) {
        const json_t *number = json_object_get(credential, "uid");
        json_int_t uid = json_integer_value(number);
        gid_t groups[256];
        int n = N_ELEMENTS(groups);
        struct passwd *user;
        struct group *group;

        if (!json_is_integer(number) || uid < 0 || uid > UINT32_MAX)
                return false;
        if (uid == 0)
                return true;
        group = getgrnam("vestibule-operator");
        if (!group)
                return false;
        if (json_integer_value(json_object_get(credential, "gid")) == (json_int_t) group->gr_gid)
                return true;
        user = getpwuid((uid_t) uid);
        if (!user || getgrouplist(user->pw_name, user->pw_gid, groups, &n) < 0)
                return false;
        for (int i = 0; i < n; i++)
                if (groups[i] == group->gr_gid)
                        return true;
        return false;
}

static const ConfigTenant *tenant_of(const Config *config, const json_t *credential) {
        const char *id = json_string_value(json_object_get(credential, "token"));
        const char *hash_text = json_string_value(json_object_get(credential, "hash"));
        const ConfigTenant *tenant;
        const char *entry;
        uint8_t *hash = NULL;
        size_t size = 0;
        bool matches;

        if (!id || !hash_text || text_from_base64(hash_text, false, &hash, &size) < 0)
                return NULL;
        tenant = config_tenant_by_token(config, id, &entry);
        matches = tenant && size == TOKEN_HASH_SIZE && token_entry_matches(entry, id, hash);
        sodium_memzero(hash, size);
        free(hash);
        return matches ? tenant : NULL;
}

static unsigned identify(Ask *ask, const ConfigFront *front) {
        const json_t *credential = json_object_get(ask->frame, "credential");
        unsigned rights = RIGHT_NOBODY;

        ask->tenant = tenant_of(ask->config, credential);
        if (ask->tenant)
                rights |= RIGHT_TENANT;
        if (!ask->tenant && front->operators && is_operator(credential)) {
                ask->operator= true;
                rights |= RIGHT_OPERATOR;
        }
        return rights;
}

/* --- one share --- */

/* Loads the share that a request names. An id of another tenant is as unknown as one that never
 * was. */
static int load_share(Ask *ask, ShareContext *ret) {
        const char *id = json_string_value(json_object_get(ask->frame, "share"));
        int64_t n;
        int r;

        if (!id || vault_id_read(ask->gateway->vault, VAULT_ID_SHARE, id, &n, NULL) != 0)
                r = STORE_E_NOT_FOUND;
        else
                r = share_context_load(ret, ask->gateway, n);
        if (r == 0 && ask->tenant && !streq(ret->share.tenant, ask->tenant->id)) {
                share_context_done(ret);
                r = STORE_E_NOT_FOUND;
        }
        if (r > 0)
                (void) ask_refuse(ask,
                                404,
                                "not-found",
                                "No such share",
                                "There is no share of this id here.");
        return r;
}

static int answer_with_share(Ask *ask, ShareContext *c, int status) {
        ask->status = status;
        ask->body = share_json(c, ask->operator);
        return ask->body ? 0 : -ENOMEM;
}

struct Watcher {
        Watcher *next;
        Ask *ask;
        int64_t share;
        uint64_t until; /* boot time */
};

static int share_get(Ask *ask) {
        json_int_t after = json_integer_value(json_object_get(ask->frame, "after"));
        json_int_t wait = json_integer_value(json_object_get(ask->frame, "wait"));
        ShareContext c;
        int r;

        r = load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        if (wait > 0 && after >= c.share.version && !lifecycle_is_terminal(c.share.state)) {
                ask->watch = c.share.n;
                ask->wait = wait < WAIT_MAX_SECONDS ? wait : WAIT_MAX_SECONDS;
        }
        r = answer_with_share(ask, &c, 200);
        share_context_done(&c);
        return r;
}

static int share_cancel(Ask *ask) {
        ShareContext c;
        int r;

        r = load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        if (c.share.state == LIFECYCLE_WITHDRAWING || c.share.state == LIFECYCLE_CANCELLED)
                r = 0; /* on its way out already, or out */
        else if (!share_may_step(&c, LIFECYCLE_EVENT_CANCEL)) {
                (void) ask_refuse(ask,
                                409,
                                "already-ended",
                                "The share has ended",
                                "It is %s; there is nothing left to cancel.",
                                lifecycle_state_name(c.share.state));
                share_context_done(&c);
                return 0;
        } else {
                share_note(&c.share, c.now, TIMELINE_CANCEL_ASKED, 0, 0);
                r = share_step(&c, LIFECYCLE_EVENT_CANCEL);
                if (r >= 0)
                        r = share_save(&c);
        }
        if (r >= 0)
                r = answer_with_share(ask, &c, c.share.state == LIFECYCLE_WITHDRAWING ? 202 : 200);
        if (r >= 0)
                r = front_remember_answer(ask, NULL);
        share_context_done(&c);
        return r;
}

static int share_resend(Ask *ask) {
        ShareContext c;
        bool link;
        int r;

        r = load_share(ask, &c);
        if (r != 0)
                return r < 0 ? r : 0;
        link = c.share.state == LIFECYCLE_RELEASED && !(c.share.flags & SHARE_ACKNOWLEDGED);
        if (!link && !share_may_step(&c, LIFECYCLE_EVENT_RESEND_INVITATION)) {
                r = ask_refuse(ask,
                                409,
                                "not-resendable",
                                "There is nothing to send again",
                                "The share is %s.",
                                lifecycle_state_name(c.share.state));
        } else if (c.share.resends >= GATEWAY_RESENDS_MAX) {
                r = ask_refuse(ask,
                                409,
                                "too-many-resends",
                                "It was sent again often enough",
                                "A share's messages are repeated at most %d times.",
                                GATEWAY_RESENDS_MAX);
        } else {
                c.share.resends++;
                share_note(&c.share,
                                c.now,
                                TIMELINE_RESENT,
                                link ? OUTBOX_LINK : OUTBOX_INVITATION,
                                c.share.step);
                r = share_step(&c,
                                link ? LIFECYCLE_EVENT_RESEND_LINK
                                     : LIFECYCLE_EVENT_RESEND_INVITATION);
                if (r == 0 && !(c.share.flags & SHARE_SUPPRESSED))
                        r = link ? message_link(&c, NULL, true) : message_invite(&c, true);
                if (r == 0)
                        r = share_save(&c);
                if (r == 0)
                        r = answer_with_share(ask, &c, 202);
                if (r == 0)
                        r = front_remember_answer(ask, NULL);
        }
        share_context_done(&c);
        return r > 0 ? -EINVAL : r;
}

/* --- lists --- */

typedef struct ListWalk {
        LifecycleState state; /* LIFECYCLE_STATE_MAX: of any */
        size_t limit, n, n_seen;
        int64_t numbers[LIST_LIMIT_MAX];
        int64_t last; /* the last one seen */
        bool more;
} ListWalk;

/* Looks at numbers and states alone, which is cheap; what is shown is loaded afterwards. */
static int walk_number(int64_t n, LifecycleState state, void *userdata) {
        ListWalk *walk = userdata;

        if (walk->n == walk->limit) {
                walk->more = true;
                return 1;
        }
        walk->n_seen++;
        walk->last = n;
        if (walk->state == LIFECYCLE_STATE_MAX || walk->state == state)
                walk->numbers[walk->n++] = n;
        return 0;
}

/* The cursor is the last share's id: opaque, and forged ones are refused. */
static int read_cursor(Ask *ask, int64_t *ret) {
        const char *cursor = json_string_value(json_object_get(ask->frame, "cursor"));

        *ret = INT64_MAX;
        if (!cursor || !*cursor)
                return 0;
        if (vault_id_read(ask->gateway->vault, VAULT_ID_SHARE, cursor, ret, NULL) == 0)
                return 0;
        (void) ask_refuse(ask,
                        400,
                        "invalid-query",
                        "The query cannot be used",
                        "`cursor` must be one that a list gave.");
        return 1;
}

/* Positive: refused. */
static int list_walk(Ask *ask, int64_t before, ListWalk *walk) {
        Gateway *g = ask->gateway;
        const char *reference = json_string_value(json_object_get(ask->frame, "reference"));
        uint8_t index[VAULT_INDEX_SIZE];
        int r;

        if (reference && !ask->tenant) {
                (void) ask_refuse(ask,
                                400,
                                "invalid-query",
                                "The query cannot be used",
                                "`reference` is a tenant's.");
                return 1;
        }
        if (reference) {
                vault_index_reference(g->vault, ask->tenant->id, reference, index);
                r = store_list_reference(g->store, index, before, LIST_SCAN_MAX, walk_number, walk);
        } else
                r = store_list(g->store,
                                ask->tenant ? ask->tenant->id : NULL,
                                before,
                                LIST_SCAN_MAX,
                                walk_number,
                                walk);
        if (walk->n_seen == LIST_SCAN_MAX)
                walk->more = true;
        return r;
}

/* Loads what fits an answer; what does not is on the next page. */
static int list_load(Ask *ask, ListWalk *walk, json_t *list) {
        size_t bytes = 0;

        for (size_t i = 0; i < walk->n; i++) {
                ShareContext c;
                json_t *share;
                int r;

                r = share_context_load(&c, ask->gateway, walk->numbers[i]);
                if (r != 0)
                        return r < 0 ? r : -ESTALE;
                share = share_json(&c, ask->operator);
                share_context_done(&c);
                if (!share)
                        return -ENOMEM;
                bytes += json_quick_write(share, NULL, 0) + 1;
                if (i > 0 && bytes > LIST_BYTES_MAX - 1024) {
                        json_decref(share);
                        walk->last = walk->numbers[i - 1];
                        walk->more = true;
                        return 0;
                }
                (void) json_array_append_new(list, share);
        }
        return 0;
}

static int share_list(Ask *ask) {
        const char *state_name = json_string_value(json_object_get(ask->frame, "state"));
        json_int_t limit = json_integer_value(json_object_get(ask->frame, "limit"));
        ListWalk walk = { .state = lifecycle_state_from_name(state_name) };
        json_auto_t *list = json_array();
        char cursor[ID_TEXT_SIZE];
        int64_t before;
        int r;

        if (state_name && *state_name && walk.state == LIFECYCLE_STATE_MAX)
                return ask_refuse(ask,
                                400,
                                "invalid-query",
                                "The query cannot be used",
                                "`state` is not a state.");
        if (!list)
                return -ENOMEM;
        walk.limit = limit <= 0               ? LIST_LIMIT_DEFAULT
                     : limit > LIST_LIMIT_MAX ? LIST_LIMIT_MAX
                                              : (size_t) limit;
        r = read_cursor(ask, &before);
        if (r == 0)
                r = list_walk(ask, before, &walk);
        if (r == 0)
                r = list_load(ask, &walk, list);
        if (r != 0)
                return r < 0 ? r : 0;
        if (walk.more)
                vault_id(ask->gateway->vault, VAULT_ID_SHARE, walk.last, 0, cursor);
        ask->status = 200;
        ask->body = json_pack("{s:O, s:s*}", "shares", list, "cursor", walk.more ? cursor : NULL);
        return ask->body ? 0 : -ENOMEM;
}

/* --- dead letters --- */

static int add_letter(const OutboxRow *row, void *userdata) {
        Ask *ask = userdata;
        char share[ID_TEXT_SIZE], message[ID_TEXT_SIZE];

        vault_id(ask->gateway->vault, VAULT_ID_SHARE, row->share, 0, share);
        vault_id(ask->gateway->vault, VAULT_ID_MESSAGE, row->share, (uint16_t) row->part, message);
        (void) json_array_append_new(json_object_get(ask->body, "letters"),
                        json_pack("{s:s, s:s, s:s, s:i, s:s}",
                                        "message",
                                        message,
                                        "share",
                                        share,
                                        "channel",
                                        row->lane,
                                        "tries",
                                        row->attempts,
                                        "reason",
                                        row->reason));
        return json_array_size(json_object_get(ask->body, "letters")) >= LIST_LIMIT_MAX;
}

static int letter_list(Ask *ask) {
        ask->status = 200;
        ask->body = json_pack("{s:[]}", "letters");
        if (!ask->body)
                return -ENOMEM;
        return store_outbox_each(ask->gateway->store, true, add_letter, ask);
}

static int find_letter(Ask *ask, OutboxRow *ret) {
        const char *id = json_string_value(json_object_get(ask->frame, "message"));
        uint16_t part;
        int64_t n;
        int r = STORE_E_NOT_FOUND;

        if (id && vault_id_read(ask->gateway->vault, VAULT_ID_MESSAGE, id, &n, &part) == 0)
                r = store_outbox_get(ask->gateway->store, n, part, ret);
        if (r == 0 && !ret->dead)
                r = STORE_E_NOT_FOUND;
        if (r > 0)
                (void) ask_refuse(ask,
                                404,
                                "not-found",
                                "No such letter",
                                "There is no dead letter of this id.");
        return r;
}

static int letter_replay(Ask *ask) {
        Gateway *g = ask->gateway;
        OutboxRow row;
        int r;

        r = find_letter(ask, &row);
        if (r != 0)
                return r < 0 ? r : 0;
        row.dead = false;
        r = store_outbox_attempt(g->store, &row);
        if (r >= 0)
                r = outbox_note(g->outbox, &row, 0);
        ask->status = 202;
        ask->body = json_object();
        return r;
}

static int letter_drop(Ask *ask) {
        OutboxRow row;
        int r;

        r = find_letter(ask, &row);
        if (r != 0)
                return r < 0 ? r : 0;
        r = store_outbox_remove(ask->gateway->store, row.share, row.part);
        if (r >= 0 && row.kind == OUTBOX_NOTICE)
                r = store_message_remove(ask->gateway->store, row.share, row.part);
        ask->status = 200;
        ask->body = json_object();
        return r;
}

/* --- what needs no store --- */

static json_t *policy_json(const ConfigPolicy *policy) {
        char vertical[2] = { rules_vertical(policy->rules.class), 0 };

        return json_pack("{s:s, s:s, s:s, s:I, s:I}",
                        "name",
                        policy->name,
                        "class",
                        rules_class_name(policy->rules.class),
                        "vertical",
                        vertical,
                        "lifetime",
                        (json_int_t) policy->rules.challenge_ttl,
                        "mailbox_ttl",
                        (json_int_t) policy->rules.mailbox_ttl);
}

static json_t *policies_json(const Ask *ask) {
        json_t *list = json_array();

        if (ask->tenant)
                for (size_t i = 0; i < ask->tenant->n_policies; i++)
                        (void) json_array_append_new(list, policy_json(ask->tenant->policies[i]));
        else
                for (size_t i = 0; i < ask->config->n_policies; i++)
                        (void) json_array_append_new(list, policy_json(&ask->config->policies[i]));
        return list;
}

static int tenant_describe(Ask *ask) {
        json_t *prefixes = json_array();

        for (size_t i = 0; i < ask->tenant->n_image_prefixes; i++)
                (void) json_array_append_new(prefixes, json_string(ask->tenant->image_prefixes[i]));
        ask->status = 200;
        ask->body = json_pack("{s:s, s:o, s:o}",
                        "tenant",
                        ask->tenant->id,
                        "image_prefixes",
                        prefixes,
                        "policies",
                        policies_json(ask));
        return ask->body ? 0 : -ENOMEM;
}

static int policy_list(Ask *ask) {
        ask->status = 200;
        ask->body = json_pack("{s:o}", "policies", policies_json(ask));
        return ask->body ? 0 : -ENOMEM;
}

static int channel_list(Ask *ask) {
        json_t *list = json_array();

        for (size_t i = 0; i < ask->config->n_channels; i++) {
                const ConfigChannel *channel = &ask->config->channels[i];
                const char *detail;
                bool up = gateway_plugin_is_up(
                                ask->gateway, CONFIG_ROLE_CHANNEL, channel->name, &detail);

                (void) json_array_append_new(list,
                                json_pack("{s:s, s:s, s:s, s:s}",
                                                "name",
                                                channel->name,
                                                "scheme",
                                                channel->scheme,
                                                "state",
                                                up ? "up" : "down",
                                                "detail",
                                                ask->operator? detail : ""));
        }
        ask->status = 200;
        ask->body = json_pack("{s:o}", "channels", list);
        return ask->body ? 0 : -ENOMEM;
}

static void add_part(json_t *parts, bool *all_up, const char *name, bool up, const char *detail) {
        *all_up &= up;
        (void) json_array_append_new(parts,
                        json_pack("{s:s, s:b, s:s}", "name", name, "up", up, "detail", detail));
}

static int health(Ask *ask) {
        Gateway *g = ask->gateway;
        json_auto_t *counters = json_object();
        json_t *parts = json_array();
        bool all_up = true;

        add_part(parts,
                        &all_up,
                        "store",
                        !engine_is_stuck(g->engine),
                        engine_is_stuck(g->engine) ? "attempts could not be made durable" : "");
        add_part(parts,
                        &all_up,
                        "clock",
                        !g->clock.suspect,
                        g->clock.suspect ? "the store is ahead of the wall clock: see "
                                           "`vestibulectl clock accept`"
                                         : "");
        for (size_t i = 0; i < ask->config->n_plugins; i++) {
                const ConfigPlugin *plugin = &ask->config->plugins[i];
                const char *detail;
                bool up = gateway_plugin_is_up(g, plugin->role, plugin->name, &detail);

                add_part(parts, &all_up, plugin->socket_name, up, detail);
        }
        for (int i = 0; i < _COUNTER_MAX; i++)
                (void) json_object_set_new(counters,
                                counter_names[i],
                                json_integer((json_int_t) g->counters[i]));
        (void) json_object_set_new(counters,
                        "batches",
                        json_integer((json_int_t) engine_counters(g->engine)->batches));
        (void) json_object_set_new(counters,
                        "commands",
                        json_integer((json_int_t) engine_counters(g->engine)->commands));
        ask->status = 200;
        /* To anybody else the counters would tell what other people do. */
        ask->body = json_pack("{s:s, s:o, s:O*}",
                        "status",
                        all_up ? "up" : "down",
                        "parts",
                        parts,
                        "counters",
                        ask->operator? counters : NULL);
        return ask->body ? 0 : -ENOMEM;
}

static int clock_accept_verb(Ask *ask) {
        Gateway *g = ask->gateway;

        log_notice("An operator accepted the wall clock.");
        clock_accept(&g->clock, time_wall(), time_boot());
        g->time_stored = 0;
        ask->status = 200;
        ask->body = json_object();
        return ask->body ? store_time_put(g->store, gateway_now(g)) : -ENOMEM;
}

/* clang-format off */
static const FrontVerb verbs[] = {
        { "tenant.describe", RIGHT_TENANT,                                  false, tenant_describe },
        { "share.create",    RIGHT_TENANT,                                  true,  front_share_create },
        { "share.get",       RIGHT_TENANT | RIGHT_OPERATOR,                 true,  share_get },
        { "share.list",      RIGHT_TENANT | RIGHT_OPERATOR,                 true,  share_list },
        { "share.cancel",    RIGHT_TENANT | RIGHT_OPERATOR,                 true,  share_cancel },
        { "share.resend",    RIGHT_TENANT,                                  true,  share_resend },
        { "channel.list",    RIGHT_TENANT | RIGHT_OPERATOR,                 false, channel_list },
        { "policy.list",     RIGHT_TENANT | RIGHT_OPERATOR,                 false, policy_list },
        { "letter.list",     RIGHT_OPERATOR,                                true,  letter_list },
        { "letter.replay",   RIGHT_OPERATOR,                                true,  letter_replay },
        { "letter.drop",     RIGHT_OPERATOR,                                true,  letter_drop },
        { "clock.accept",    RIGHT_OPERATOR,                                true,  clock_accept_verb },
        { "health",          RIGHT_TENANT | RIGHT_OPERATOR | RIGHT_NOBODY,  false, health },
};
/* clang-format on */

/* --- Idempotency-Key --- */

typedef struct Idempotency {
        const char *key, *digest;
        uint8_t index[VAULT_INDEX_SIZE];
        uint8_t digest_index[32];
} Idempotency;

/* False: the request carries none. The scope is tenant, verb and share. */
static bool idempotency_of(const Ask *ask, Idempotency *ret) {
        const json_t *object = json_object_get(ask->frame, "idempotency");
        const char *share = json_string_value(json_object_get(ask->frame, "share"));
        char path[128];

        ret->key = json_string_value(json_object_get(object, "key"));
        ret->digest = json_string_value(json_object_get(object, "digest"));
        if (!ret->key || !ret->digest || !ask->tenant)
                return false;
        (void) snprintf(path, sizeof(path), "%s %.64s", ask->verb->type, share ? share : "");
        vault_index_idempotency(ask->gateway->vault, ask->tenant->id, path, ret->key, ret->index);
        vault_digest(ask->gateway->vault, ret->digest, ret->digest_index);
        return true;
}

int front_remember_answer(Ask *ask, Share *share) {
        Gateway *g = ask->gateway;
        StoreAnswer answer = { .share = share ? share->n : 0, .status = ask->status };
        _cleanup_(json_wipe_freep) char *text = NULL;
        _cleanup_(freep) uint8_t *sealed = NULL;
        Idempotency id;
        VaultKey key;
        int r;

        if (!idempotency_of(ask, &id))
                return 0;
        text = json_quick_text(ask->body);
        if (!text)
                return -ENOMEM;
        vault_key_of_answer(g->vault, id.index, id.key, &key);
        r = vault_seal(g->vault,
                        &key,
                        answer.share,
                        VAULT_FIELD_ANSWER,
                        0,
                        text,
                        strlen(text),
                        &sealed,
                        &answer.answer_size);
        vault_key_done(&key);
        if (r < 0)
                return r;
        answer.answer = sealed;
        memcpy(answer.digest, id.digest_index, sizeof(answer.digest));
        if (share) {
                share->idempotency = malloc(VAULT_INDEX_SIZE);
                if (!share->idempotency)
                        return -ENOMEM;
                memcpy(share->idempotency, id.index, VAULT_INDEX_SIZE);
        }
        return store_answer_put(g->store, id.index, &answer, gateway_now(g) + GATEWAY_KEEP_ANSWERS);
}

/* Repeats a kept answer; after its share's end, the share as it is now. */
static int replay(Ask *ask, const Idempotency *id, const StoreAnswer *kept) {
        Gateway *g = ask->gateway;
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        JsonProblem problem;
        VaultKey key;
        int r;

        ask->status = kept->status;
        ask->replayed = true;
        if (!kept->answer) {
                ShareContext c;

                r = share_context_load(&c, g, kept->share);
                if (r != 0)
                        return r < 0 ? r
                                     : ask_refuse(ask,
                                                       404,
                                                       "not-found",
                                                       "No such share",
                                                       "It was removed.");
                r = answer_with_share(ask, &c, kept->status);
                share_context_done(&c);
                return r;
        }
        vault_key_of_answer(g->vault, id->index, id->key, &key);
        r = vault_open(g->vault,
                        &key,
                        kept->share,
                        VAULT_FIELD_ANSWER,
                        0,
                        kept->answer,
                        kept->answer_size,
                        &plain);
        vault_key_done(&key);
        if (r == 0)
                r = json_read(plain.data, plain.size, 16, &ask->body, &problem);
        return r > 0 ? -EBADMSG : r;
}

/* Positive: the request was made before, and is answered. */
static int try_replay(Ask *ask) {
        StoreAnswer kept = { 0 };
        Idempotency id;
        int r;

        if (!idempotency_of(ask, &id))
                return 0;
        r = store_answer_get(ask->gateway->store, id.index, gateway_now(ask->gateway), &kept);
        if (r != 0)
                return r < 0 ? r : 0;
        if (sodium_memcmp(kept.digest, id.digest_index, sizeof(kept.digest)) != 0)
                r = ask_refuse(ask,
                                422,
                                "idempotency-key-reused",
                                "The Idempotency-Key was used for another request",
                                "Use a fresh key for each request, and the same key only to repeat "
                                "it.");
        else
                r = replay(ask, &id, &kept);
        share_drop(&kept.answer, kept.answer_size);
        return r < 0 ? r : 1;
}

/* --- the way of a request --- */

static int ask_apply(void *context) {
        Ask *ask = context;
        int r;

        r = try_replay(ask);
        if (r != 0)
                return r < 0 ? r : 0;
        return ask->verb->handle(ask);
}

static void ask_failed(Ask *ask, int error) {
        log_error("A request could not be carried out: %s.", strerror(-error));
        ask->retry_after = 1;
        (void) ask_refuse(ask,
                        503,
                        "busy",
                        "The gateway cannot do this now",
                        "Nothing was changed. Repeat the request with the same Idempotency-Key.");
}

static int compare_numbers(const void *a, const void *b) {
        int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

        return x < y ? -1 : x > y;
}

static bool was_changed(const Gateway *g, int64_t share) {
        return g->n_published > 0 &&
               bsearch(&share, g->published, g->n_published, sizeof(int64_t), compare_numbers);
}

/* Keeps the question until its share changes or its time is over. False: answer it now. */
static bool watch(Ask *ask) {
        Gateway *g = ask->gateway;
        Watcher *watcher;

        /* The batch that read the share may have changed it after that. */
        if (g->n_watchers >= WATCHERS_MAX || was_changed(g, ask->watch))
                return false;
        watcher = calloc(1, sizeof(*watcher));
        if (!watcher)
                return false;
        *watcher = (Watcher){ .next = g->watchers,
                .ask = ask,
                .share = ask->watch,
                .until = time_boot() + (uint64_t) ask->wait * USEC_PER_SEC };
        g->watchers = watcher;
        g->n_watchers++;
        return true;
}

static void ask_done(void *context, int result) {
        Ask *ask = context;

        if (result < 0)
                ask_failed(ask, result);
        else if (ask->watch && watch(ask))
                return;
        ask_send(ask);
        ask_free(ask);
}

static int submit(Ask *ask) {
        int r;

        r = engine_submit(ask->gateway->engine, ask_apply, ask_done, ask, 4096);
        if (r < 0) {
                ask_failed(ask, r);
                ask_send(ask);
                ask_free(ask);
        }
        return 0;
}

static const ConfigFront *front_of(const Config *config, const ConfigPlugin *plugin) {
        for (size_t i = 0; i < config->n_fronts; i++)
                if (streq(config->fronts[i].plugin->name, plugin->name))
                        return &config->fronts[i];
        return NULL;
}

int front_request(Gateway *g, PluginRequest request, const char *type, json_t *frame) {
        const ConfigFront *front = front_of(g->config, plugin_link_config(request.link));
        const FrontVerb *verb = NULL;
        Ask *ask;
        int r;

        for (size_t i = 0; i < N_ELEMENTS(verbs) && !verb; i++)
                if (streq(verbs[i].type, type))
                        verb = &verbs[i];
        if (!verb || !front)
                return PLUGIN_SET_E_UNSUPPORTED;
        ask = calloc(1, sizeof(*ask));
        if (!ask)
                return -ENOMEM;
        *ask = (Ask){ .gateway = g,
                .request = request,
                .frame = json_incref(frame),
                .config = config_ref(g->config),
                .verb = verb };

        if (!(identify(ask, front) & verb->rights)) {
                if (ask->tenant || ask->operator)
                        (void) ask_refuse(ask,
                                        403,
                                        "forbidden",
                                        "Not allowed",
                                        "%s may not do this.",
                                        ask->tenant ? "A tenant" : "An operator");
                else
                        (void) ask_refuse(ask,
                                        401,
                                        "unauthenticated",
                                        "No valid credentials",
                                        "Send `Authorization: Bearer` with a token of a tenant.");
        } else if (verb->stored)
                return submit(ask);
        else {
                r = verb->handle(ask);
                if (r < 0)
                        ask_failed(ask, r);
        }
        ask_send(ask);
        ask_free(ask);
        return 0;
}

/* --- watchers --- */

/* Asks again on behalf of a watcher, this time for an answer. */
static void watcher_wake(Gateway *g, Watcher **p) {
        Watcher *watcher = *p;
        Ask *ask = watcher->ask;

        *p = watcher->next;
        g->n_watchers--;
        free(watcher);
        ask->watch = 0;
        (void) json_object_del(ask->frame, "wait");
        json_decref(ask->body);
        ask->body = NULL;
        (void) submit(ask);
}

void watchers_publish(Gateway *g) {
        int64_t *room = g->published;
        size_t allocated = g->published_allocated;

        g->published = g->changed;
        g->published_allocated = g->changed_allocated;
        g->n_published = g->n_changed_kept;
        g->changed = room;
        g->changed_allocated = allocated;
        g->n_changed = g->n_changed_kept = 0;
        if (g->n_published == 0)
                return;
        qsort(g->published, g->n_published, sizeof(int64_t), compare_numbers);
        for (Watcher **p = &g->watchers; *p;) {
                if (was_changed(g, (*p)->share))
                        watcher_wake(g, p);
                else
                        p = &(*p)->next;
        }
}

void watchers_expire(Gateway *g) {
        uint64_t now = time_boot();

        for (Watcher **p = &g->watchers; *p;) {
                if ((*p)->until <= now)
                        watcher_wake(g, p);
                else
                        p = &(*p)->next;
        }
}

void watchers_drop_link(Gateway *g, PluginLink *link) {
        for (Watcher **p = &g->watchers; *p;) {
                Watcher *watcher = *p;

                if (link && watcher->ask->request.link != link) {
                        p = &watcher->next;
                        continue;
                }
                *p = watcher->next;
                g->n_watchers--;
                ask_free(watcher->ask);
                free(watcher);
        }
}
