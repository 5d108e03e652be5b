/* What is asked about the gateway itself: its policies, channels, health, clock and dead letters.
 */
#include <errno.h>

#include "front.h"
#include "log.h"

static const char *const counter_names[_COUNTER_MAX] = {
        [COUNTER_SHARES_CREATED] = "shares_created",
        [COUNTER_SHARES_COMPLETED] = "shares_completed",
        [COUNTER_SHARES_LOCKED] = "shares_locked",
        [COUNTER_SHARES_ENDED_OTHERWISE] = "shares_ended_otherwise",
        [COUNTER_CODES_RIGHT] = "codes_right",
        [COUNTER_CODES_WRONG] = "codes_wrong",
        [COUNTER_CODES_MISTYPED] = "codes_mistyped",
        [COUNTER_REPLIES_UNBOUND] = "replies_unbound",
        [COUNTER_REPLIES_DROPPED] = "replies_dropped",
        [COUNTER_MAILBOXES_MADE] = "mailboxes_made",
        [COUNTER_MAILBOXES_ORPHANED] = "mailboxes_orphaned",
        [COUNTER_MESSAGES_SENT] = "messages_sent",
        [COUNTER_MESSAGES_RECEIVED] = "messages_received",
        [COUNTER_MESSAGES_ODD] = "messages_odd",
        [COUNTER_MESSAGES_POSTPONED] = "messages_postponed",
        [COUNTER_DEAD_LETTERS] = "dead_letters",
};

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
        return json_array_size(json_object_get(ask->body, "letters")) >= SHARE_LIMIT_LIST;
}

int front_letter_list(Ask *ask) {
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

int front_letter_replay(Ask *ask) {
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

int front_letter_drop(Ask *ask) {
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

int front_tenant_describe(Ask *ask) {
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
                        front_policies_json(ask));
        return ask->body ? 0 : -ENOMEM;
}

int front_channel_list(Ask *ask) {
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

int front_health(Ask *ask) {
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

int front_clock_accept(Ask *ask) {
        Gateway *g = ask->gateway;

        log_notice("An operator accepted the wall clock.");
        clock_accept(&g->clock, time_wall(), time_boot());
        g->time_stored = 0;
        ask->status = 200;
        ask->body = json_object();
        return ask->body ? store_time_put(g->store, gateway_now(g)) : -ENOMEM;
}
