/* The one place where a share's state changes. share_step() asks the table, stores what it says,
 * and performs the effects that are rows: what touches the outside is done later, by the outbox. */
#include <errno.h>
#include <sodium.h>

#include "gateway.h"
#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"
#include "log.h"

int share_context_load(ShareContext *c, Gateway *g, int64_t n) {
        int r;

        *c = (ShareContext){ .gateway = g, .now = gateway_now(g) };
        r = store_share_load(g->store, n, &c->share);
        if (r != 0)
                return r;
        if (!c->share.key)
                return 0;
        r = vault_key_unwrap(g->vault, n, c->share.key, &c->key);
        if (r != 0) {
                share_context_done(c);
                return r < 0 ? r : -EBADMSG;
        }
        c->has_key = true;
        return 0;
}

void share_context_done(ShareContext *c) {
        vault_key_done(&c->key);
        json_decref(c->details);
        share_done(&c->share);
        *c = (ShareContext){ 0 };
}

static int open_details(ShareContext *c, json_t **ret) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        _cleanup_(freep) uint8_t *sealed = NULL;
        JsonProblem problem;
        size_t size;
        int r;

        r = store_details_get(c->gateway->store, c->share.n, &sealed, &size);
        if (r != 0)
                return r;
        r = vault_open(c->gateway->vault,
                        &c->key,
                        c->share.n,
                        VAULT_FIELD_DETAILS,
                        0,
                        sealed,
                        size,
                        &plain);
        if (r == 0)
                r = json_read(plain.data, plain.size, 8, ret, &problem);
        return r > 0 ? -EBADMSG : r;
}

const json_t *share_details(ShareContext *c) {
        int r;

        if (c->details || !c->has_key)
                return c->details;
        r = open_details(c, &c->details);
        if (r < 0)
                c->error = r;
        return c->details;
}

int share_n_steps(ShareContext *c) {
        return (int) json_array_size(json_object_get(share_details(c), "steps"));
}

bool share_route(ShareContext *c,
                int step,
                const char **ret_address,
                const ConfigChannel **ret_channel) {
        const json_t *pair =
                        json_array_get(json_object_get(share_details(c), "steps"), (size_t) step);
        const char *address = json_string_value(json_array_get(pair, 0));
        const char *name = json_string_value(json_array_get(pair, 1));
        const ConfigChannel *channel = name ? config_channel(c->gateway->config, name) : NULL;

        if (step < 0 || !address || !channel)
                return false;
        *ret_address = address;
        *ret_channel = channel;
        return true;
}

static bool is_address_of(ShareContext *c, int step, const char *channel, const char *address) {
        const ConfigChannel *used;
        const char *to;

        return share_route(c, step, &to, &used) && streq(used->name, channel) && streq(to, address);
}

bool share_has_address(ShareContext *c, const char *channel, const char *address, int *ret_step) {
        for (int i = 0; i <= c->share.step; i++)
                if (is_address_of(c, i, channel, address)) {
                        *ret_step = i;
                        return true;
                }
        return false;
}

bool share_has_second_address(ShareContext *c, const char *channel, const char *address) {
        const Share *s = &c->share;
        int step;

        return !share_has_address(c, channel, address, &step) &&
               ((s->codes > 0 && is_address_of(c, s->code_step, channel, address)) ||
                               (s->rules.factors & FACTOR_SPLIT &&
                                               s->state >= LIFECYCLE_RELEASING &&
                                               is_address_of(c, s->key_step, channel, address)));
}

int share_know_address(ShareContext *c, const char *address) {
        Share *s = &c->share;
        uint8_t index[VAULT_INDEX_SIZE];

        vault_index_address(c->gateway->vault, address, index);
        for (int i = 0; i < s->n_addresses; i++)
                if (memcmp(s->addresses[i], index, sizeof(index)) == 0)
                        return 0;
        if (s->n_addresses == SHARE_ADDRESSES_MAX)
                return -EINVAL;
        memcpy(s->addresses[s->n_addresses++], index, sizeof(index));
        return store_address_put(c->gateway->store, index, s->n);
}

static bool policy_has_channel(const ConfigPolicy *policy, const ConfigChannel *channel) {
        for (size_t i = 0; i < policy->n_channels; i++)
                if (policy->channels[i] == channel)
                        return true;
        return false;
}

Rules share_rules_now(const ShareContext *c) {
        const ConfigPolicy *policy = config_policy(c->gateway->config, c->share.policy);

        return policy ? rules_stricter(&c->share.rules, &policy->rules) : c->share.rules;
}

bool share_meets_policy(ShareContext *c) {
        const ConfigPolicy *policy = config_policy(c->gateway->config, c->share.policy);
        const ConfigTenant *tenant = config_tenant(c->gateway->config, c->share.tenant);
        char problem[RULES_PROBLEM_SIZE];
        const ConfigChannel *channel;
        const char *address;

        return policy && tenant && config_tenant_may_use(tenant, policy) &&
               share_route(c, c->share.step, &address, &channel) &&
               policy_has_channel(policy, channel) &&
               (c->share.state < LIFECYCLE_RELEASING || challenge_halves_are_apart(c)) &&
               rules_tightened(&c->share.rules, &policy->rules, problem) == 0;
}

int share_put_content(ShareContext *c, const char *box) {
        Gateway *g = c->gateway;
        _cleanup_(json_wipe_freep) char *text = json_quick_text(c->details);
        _cleanup_(freep) uint8_t *details = NULL, *payload = NULL;
        size_t details_size, payload_size = 0;
        int r;

        if (!text)
                return -ENOMEM;
        r = vault_seal(g->vault,
                        &c->key,
                        c->share.n,
                        VAULT_FIELD_DETAILS,
                        0,
                        text,
                        strlen(text),
                        &details,
                        &details_size);
        if (r >= 0 && box)
                r = vault_seal(g->vault,
                                &c->key,
                                c->share.n,
                                VAULT_FIELD_PAYLOAD,
                                0,
                                box,
                                strlen(box),
                                &payload,
                                &payload_size);
        if (r < 0)
                return r;
        return store_content_put(
                        g->store, c->share.n, details, details_size, payload, payload_size);
}

/* Its mailbox stays with the relay that made it, whatever the tenant's relay is later. */
int share_queue_relay(ShareContext *c, OutboxKind kind, uint64_t delay_msec) {
        const ConfigTenant *tenant = config_tenant(c->gateway->config, c->share.tenant);
        OutboxRow row = { .share = c->share.n, .part = c->share.messages++, .kind = kind };
        int r;

        if (!c->share.relay && tenant) {
                c->share.relay = strdup(tenant->relay->plugin->socket_name);
                if (!c->share.relay)
                        return -ENOMEM;
        }
        if (!c->share.relay) /* the tenant is gone: the share ends when its mailbox would have */
                return 0;
        (void) snprintf(row.lane, sizeof(row.lane), "%s", c->share.relay);
        r = store_outbox_put(c->gateway->store, &row);
        if (r < 0)
                return r;
        return outbox_note(c->gateway->outbox, &row, delay_msec);
}

/* Content that the tenant issues only now has to be there before the mailbox. */
static int queue_create(ShareContext *c) {
        _cleanup_(freep) uint8_t *payload = NULL;
        size_t size;
        int r = 0;

        if (c->share.flags & SHARE_MINT)
                r = store_payload_get(c->gateway->store, c->share.n, &payload, &size);
        if (r < 0)
                return r;
        return share_queue_relay(c, r == STORE_E_NOT_FOUND ? OUTBOX_MINT : OUTBOX_CREATE, 0);
}

/* The messages go with the payload. A run of Draft R is deleted by its state. */
static int wipe_transfer(ShareContext *c, uint32_t effects) {
        Store *store = c->gateway->store;
        Transfer transfer;
        int r;

        if (!(c->share.flags & SHARE_SEVERAL))
                return 0;
        r = store_transfer_get(store, c->share.n, &transfer);
        if (r != 0)
                return r < 0 ? r : 0;
        r = store_transfer_remove(store, c->share.n);
        if (r >= 0 && transfer.state && effects & LIFECYCLE_DO_DELETE_MAILBOX) {
                transfer.polling = false;
                r = store_transfer_put(store, &transfer);
        }
        transfer_done(&transfer);
        return r;
}

/* A message that may never be sent, or not again. STORE_E_NOT_FOUND passes for success. */
static int remove_message(ShareContext *c, OutboxKind kind) {
        Store *store = c->gateway->store;
        int part, r;

        r = store_message_find(store, c->share.n, kind, &part);
        if (r == 0)
                r = store_message_remove(store, c->share.n, part);
        if (r >= 0 && kind == OUTBOX_CODE)
                r = store_outbox_remove(store, c->share.n, part);
        return r < 0 ? r : 0;
}

/* The code that is asked for at present, whoever made it, and what waits to be compared with it. */
static int drop_code(ShareContext *c) {
        Share *s = &c->share;

        share_drop(&s->code, VAULT_VERIFIER_SIZE);
        share_drop(&s->held, s->held_size);
        s->held_size = 0;
        s->held_due = 0;
        s->code_expires = 0;
        attempts_forget_wrong(&s->attempts);
        engine_note_wipe(c->gateway->engine);
        return s->codes > 0 ? remove_message(c, OUTBOX_CODE) : 0;
}

static int wipe(ShareContext *c, uint32_t effects) {
        Share *s = &c->share;
        Store *store = c->gateway->store;
        int r = 0;

        if (effects & (LIFECYCLE_DO_WIPE_CODE | LIFECYCLE_DO_DROP_CODE))
                r = drop_code(c);
        if (r >= 0 && effects & LIFECYCLE_DO_WIPE_CODE) {
                share_drop(&s->approval, VAULT_VERIFIER_SIZE);
                for (size_t i = 0; r >= 0 && i < s->idempotency_size; i += VAULT_INDEX_SIZE)
                        r = store_answer_wipe(store, s->idempotency + i);
        }
        if (r >= 0 && effects & LIFECYCLE_DO_WIPE_PAYLOAD)
                r = store_payload_wipe(store, s->n);
        if (r >= 0 && effects & LIFECYCLE_DO_WIPE_PAYLOAD)
                r = wipe_transfer(c, effects);
        if (r >= 0 && effects & LIFECYCLE_DO_WIPE_LINK)
                r = remove_message(c, OUTBOX_LINK);
        if (r >= 0 && effects & LIFECYCLE_DO_WIPE_LINK && s->rules.factors & FACTOR_SPLIT)
                r = remove_message(c, OUTBOX_KEY);
        if (effects & LIFECYCLE_DO_WIPE_MAILBOX)
                share_drop(&s->mailbox, s->mailbox_size);
        if (effects & LIFECYCLE_DO_WIPE_ALL)
                engine_note_wipe(c->gateway->engine);
        return r;
}

/* What every end has in common: nothing that could open anything is left. */
static int end(ShareContext *c) {
        Share *s = &c->share;
        Store *store = c->gateway->store;
        char id[ID_TEXT_SIZE];
        int r = 0;

        if (s->state == LIFECYCLE_LOCKED) /* by the addresses, which go now */
                r = limit_note_locked(c);
        if (r >= 0)
                r = store_outbox_remove_all(store, s->n, true);
        if (r >= 0)
                r = store_message_remove_all(store, s->n, true);
        if (r >= 0)
                r = store_content_remove(store, s->n);
        if (r >= 0 && s->flags & SHARE_SEVERAL)
                r = store_transfer_remove(store, s->n);
        for (int i = 0; r >= 0 && i < s->n_addresses; i++)
                if (!(s->flags & SHARE_SUPPRESSED))
                        r = store_address_end(store, s->addresses[i], s->n);
        if (r < 0)
                return r;
        share_drop(&s->key, VAULT_WRAPPED_SIZE);
        share_drop(&s->mailbox, s->mailbox_size);
        s->ended = c->now;
        share_note(s, c->now, TIMELINE_ENDED, (int) s->state, 0);
        gateway_count(c->gateway,
                        s->state == LIFECYCLE_COMPLETED ? COUNTER_SHARES_COMPLETED
                        : s->state == LIFECYCLE_LOCKED  ? COUNTER_SHARES_LOCKED
                                                        : COUNTER_SHARES_ENDED_OTHERWISE);
        vault_id(c->gateway->vault, VAULT_ID_SHARE, s->n, 0, id);
        log_record(LOG_INFO,
                        &(LogFields){ .share = id,
                                        .tenant = s->tenant,
                                        .state = lifecycle_state_name(s->state) },
                        "A share has ended as %s%s%s.",
                        lifecycle_state_name(s->state),
                        s->cause == LIFECYCLE_CAUSE_NONE ? "" : ": ",
                        s->cause == LIFECYCLE_CAUSE_NONE ? "" : lifecycle_cause_name(s->cause));
        return 0;
}

/* The sooner of two times, of which zero is none. */
static int64_t sooner(int64_t a, int64_t b) {
        return b > 0 && b < a ? b : a;
}

/* When the sweep must look at the share again. */
static int64_t due_time(const Share *s) {
        int64_t due;

        switch (s->state) {
        case LIFECYCLE_PENDING:
        case LIFECYCLE_INVITED:
                due = sooner(s->expires + 1, s->held_due); /* expires_at is the last moment */
                due = sooner(due, s->code_expires > 0 ? s->code_expires + 1 : 0);
                due = sooner(due, s->step_until);
                return sooner(due, s->flags & SHARE_PRETENDS ? s->due : 0);
        case LIFECYCLE_CONFIRMED:
                return s->expires + 1;
        case LIFECYCLE_AWAITING_APPROVAL:
                return s->approval_expires + 1;
        case LIFECYCLE_RELEASED:
                if (s->flags & SHARE_SEVERAL)
                        return s->mailbox_expires - GATEWAY_LAST_LOOK;
                return s->mailbox_expires;
        case LIFECYCLE_RELEASING: /* if the relay client never answers; a mailbox is dead by then */
        case LIFECYCLE_WITHDRAWING:
                return s->mailbox_expires;
        case LIFECYCLE_COMPLETED:
        case LIFECYCLE_DECLINED:
        case LIFECYCLE_DISOWNED:
        case LIFECYCLE_CANCELLED:
        case LIFECYCLE_EXPIRED:
        case LIFECYCLE_LOCKED:
        case LIFECYCLE_FAILED:
                return s->ended + (s->n_addresses ? GATEWAY_KEEP_ADDRESSES : GATEWAY_KEEP_FINISHED);
        case LIFECYCLE_STATE_MAX:
                break;
        }
        return 0;
}

void share_set_due(ShareContext *c) {
        c->share.due = due_time(&c->share);
        if (c->share.due > 0)
                sweep_note_due(c->gateway, c->share.due);
}

/* The steps that were written to: who answers at an early one takes the share back to it. */
static int last_step_used(const Share *s) {
        int last = s->step;

        for (int i = 0; i < s->n_timeline; i++)
                if (s->timeline[i].event == TIMELINE_FALLBACK && s->timeline[i].step > last)
                        last = s->timeline[i].step;
        return last;
}

/* STOP is about the address that wrote it, NOT ME about the person whom the tenant meant. */
static int block(ShareContext *c, uint32_t effects) {
        bool all = effects & LIFECYCLE_DO_SUPPRESS_ADDRESS;
        int n = share_n_steps(c), last = last_step_used(&c->share), r = 0;

        if (!(effects & LIFECYCLE_DO_BLOCK_PAIR))
                return c->from ? block_put(c->gateway,
                                                 all ? "" : c->share.tenant,
                                                 c->from,
                                                 all ? BLOCK_STOP_ALL : BLOCK_STOP,
                                                 GATEWAY_BLOCK_SECONDS)
                               : -EINVAL;
        for (int i = 0; r >= 0 && i < n; i++) {
                const ConfigChannel *channel;
                const char *address;

                if (i > last && !(c->share.codes > 0 && i == c->share.code_step))
                        continue;
                if (share_route(c, i, &address, &channel))
                        r = block_put(c->gateway,
                                        c->share.tenant,
                                        address,
                                        BLOCK_NOT_ME,
                                        GATEWAY_BLOCK_SECONDS);
        }
        return r;
}

static int perform(ShareContext *c, uint32_t effects) {
        Share *s = &c->share;
        int r = 0;

        /* Blocks need the addresses, which the end takes away. */
        if (effects & (LIFECYCLE_DO_BLOCK_PAIR | LIFECYCLE_DO_BLOCK_ADDRESS |
                                      LIFECYCLE_DO_SUPPRESS_ADDRESS))
                r = block(c, effects);
        if (r >= 0)
                r = wipe(c, effects);
        if (r >= 0 && effects & LIFECYCLE_DO_NEXT_GENERATION)
                s->generation++;
        if (r >= 0 && effects & LIFECYCLE_DO_CREATE_MAILBOX)
                r = queue_create(c);
        if (r >= 0 && effects & LIFECYCLE_DO_WATCH_MAILBOX && !(s->flags & SHARE_SEVERAL))
                r = share_queue_relay(c, OUTBOX_READ, 1000 * LIFECYCLE_POLL_FIRST_SECONDS);
        if (r >= 0 && effects & LIFECYCLE_DO_DELETE_MAILBOX && s->mailbox)
                r = share_queue_relay(c, OUTBOX_DELETE, 0);
        if (r >= 0 && lifecycle_is_terminal(s->state))
                r = end(c);
        return r < 0 ? r : 0;
}

bool share_may_step(const ShareContext *c, LifecycleEvent event) {
        LifecycleState next;
        uint32_t effects;

        return lifecycle_step(c->share.state, event, &next, &effects) == 0;
}

/* The timeline says it already; the record is for an operator who is asked about it. */
static void tell_sender(const ShareContext *c, LifecycleEvent event) {
        char id[ID_TEXT_SIZE];

        vault_id(c->gateway->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        log_record(LOG_NOTICE,
                        &(LogFields){ .share = id,
                                        .tenant = c->share.tenant,
                                        .state = lifecycle_state_name(c->share.state) },
                        "A tenant should look at a share: %s.",
                        lifecycle_event_name(event));
}

/* Whether the share goes to an end that makes its messages worthless. */
static bool is_given_up(LifecycleState from, LifecycleState next) {
        if (from == LIFECYCLE_WITHDRAWING || next == LIFECYCLE_COMPLETED)
                return false;
        return next == LIFECYCLE_WITHDRAWING || lifecycle_is_terminal(next);
}

int share_step(ShareContext *c, LifecycleEvent event) {
        Share *s = &c->share;
        LifecycleState from = s->state, next;
        bool creating = true;
        uint32_t effects;
        int r;

        r = lifecycle_step(from, event, &next, &effects);
        if (r != 0)
                return r;
        if (is_given_up(from, next)) {
                r = message_withdraw(c);
                if (r < 0)
                        return r;
        }
        if (effects & LIFECYCLE_DO_DROP_QUEUED) {
                r = store_outbox_drop(c->gateway->store, s->n, &creating);
                if (r < 0)
                        return r;
        }

        s->state = next;
        s->cause = lifecycle_cause(from, event, s->cause);
        if (next == LIFECYCLE_WITHDRAWING && from != LIFECYCLE_WITHDRAWING) {
                s->goal = lifecycle_goal(event);
                share_note(s, c->now, TIMELINE_WITHDRAWING, (int) s->goal, 0);
        }
        r = perform(c, effects);
        if (r < 0)
                return r;

        if (next != from)
                share_set_due(c);
        if (effects & LIFECYCLE_DO_TELL_SENDER)
                tell_sender(c, event);

        /* The call to the relay was not made yet and never will be. */
        if (from == LIFECYCLE_RELEASING && next == LIFECYCLE_WITHDRAWING && !creating)
                return share_step(c, lifecycle_withdrawn(s->goal));
        return 0;
}

int share_save(ShareContext *c) {
        int r;

        if (c->error < 0)
                return c->error;
        c->share.version++;
        r = store_share_update(c->gateway->store, &c->share);
        if (r < 0)
                return r;
        gateway_note_changed(c->gateway, c->share.n);
        return 0;
}
