/* Wires the parts: what a plugin says goes to the right handler, what a batch decided goes out. */
#include "gateway.h"

#include <errno.h>
#include <sodium.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "credential.h"
#include "log.h"
#include "text.h"

/* What is known of a connected plugin beyond its link. */
typedef struct PluginStatus {
        bool told, up;
        char reason[64];
} PluginStatus;

/* --- plugins --- */

static void status_reset(PluginLink *link) {
        PluginStatus *status = plugin_link_userdata(link);

        if (status)
                *status = (PluginStatus){ 0 };
}

bool gateway_plugin_is_up(Gateway *g, ConfigRole role, const char *name, const char **ret_detail) {
        PluginLink *link = plugin_set_find(g->plugins, role, name);
        const PluginStatus *status = link ? plugin_link_userdata(link) : NULL;

        if (!link || !plugin_link_is_up(link)) {
                *ret_detail = link && plugin_link_state(link) == PLUGIN_LINK_FAILED
                                              ? "its program fails again and again"
                                              : "not connected";
                return false;
        }
        if (status && status->told && !status->up) {
                *ret_detail = status->reason;
                return false;
        }
        *ret_detail = "";
        return true;
}

static void tell_status(Gateway *g) {
        size_t up = 0, n = plugin_set_n_links(g->plugins);

        for (size_t i = 0; i < n; i++)
                up += plugin_link_is_up(plugin_set_link(g->plugins, i));
        (void) sd_notifyf(0,
                        "STATUS=%zu of %zu plugins connected, %zu messages and calls under way.",
                        up,
                        n,
                        outbox_size(g->outbox));
}

static void on_up(PluginLink *link, void *userdata) {
        Gateway *g = userdata;

        status_reset(link);
        outbox_carrier_changed(g->outbox, link, true);
        tell_status(g);
}

static void on_down(PluginLink *link, void *userdata) {
        Gateway *g = userdata;

        status_reset(link);
        outbox_link_changed(g->outbox, link);
        watchers_drop_link(g, link);
        tell_status(g);
}

static int on_request(PluginRequest request, const char *type, json_t *frame, void *userdata) {
        Gateway *g = userdata;

        switch (plugin_link_config(request.link)->role) {
        case CONFIG_ROLE_FRONT:
                return front_request(g, request, type, frame);
        case CONFIG_ROLE_CHANNEL:
                if (streq(type, "reply"))
                        return reply_request(g, request, frame);
                return streq(type, "report") ? channel_report(g, request, frame)
                                             : PLUGIN_SET_E_UNSUPPORTED;
        case CONFIG_ROLE_RELAY:
        case _CONFIG_ROLE_MAX:
                break;
        }
        return PLUGIN_SET_E_UNSUPPORTED;
}

static int take_status(Gateway *gateway, PluginLink *link, const json_t *frame) {
        PluginStatus *status = plugin_link_userdata(link);
        const char *reason = json_string_value(json_object_get(frame, "reason"));
        bool up = json_is_true(json_object_get(frame, "up"));

        if (!status)
                return 0;
        text_word(reason, status->reason, sizeof(status->reason));
        if (!status->told || status->up != up)
                log_record(up ? LOG_INFO : LOG_WARNING,
                                &(LogFields){ .channel = plugin_link_config(link)->socket_name },
                                up ? "%s reaches its carrier."
                                   : "%s does not reach its carrier: %s.",
                                plugin_link_config(link)->socket_name,
                                status->reason);
        status->told = true;
        status->up = up;
        /* A relay client only learns by trying that its relay is back. */
        if (plugin_link_config(link)->role == CONFIG_ROLE_CHANNEL)
                outbox_carrier_changed(gateway->outbox, link, up);
        return 0;
}

static int on_event(PluginLink *link, const char *type, json_t *frame, void *userdata) {
        Gateway *g = userdata;
        ConfigRole role = plugin_link_config(link)->role;

        if (streq(type, "status") && role != CONFIG_ROLE_FRONT)
                return take_status(g, link, frame);
        if (role == CONFIG_ROLE_FRONT)
                front_event(g, link, type, frame);
        return role == CONFIG_ROLE_CHANNEL ? channel_event(g, link, type, frame) : 0;
}

/* --- outbox --- */

static void hook_keep(void *userdata) {
        Gateway *g = userdata;

        outbox_keep(g->outbox);
        limiter_keep(g->limiter);
        audit_log_keep(g->audit);
        g->n_changed_kept = g->n_changed;
}

static void hook_forget(void *userdata) {
        Gateway *g = userdata;

        outbox_forget(g->outbox);
        limiter_forget(g->limiter);
        audit_log_forget(g->audit);
        g->n_changed = g->n_changed_kept;
}

static bool is_for_relay(OutboxKind kind) {
        return kind != OUTBOX_INVITATION && kind != OUTBOX_LINK && kind != OUTBOX_KEY &&
               kind != OUTBOX_CODE && !outbox_outlives_share(kind);
}

/* A plugin must never be handed, nor answer, what is meant for another. */
static bool is_its_row(const OutboxItem *item, const OutboxRow *row) {
        return item->kind == row->kind && streq(item->lane, row->lane);
}

static int claim_row(Gateway *g, OutboxItem *item, json_t **ret) {
        ShareContext c;
        OutboxRow row;
        int r;

        r = store_outbox_get(g->store, item->share, item->part, &row);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        if (row.dead || !is_its_row(item, &row))
                return OUTBOX_VERDICT_DONE;
        r = share_context_load(&c, g, item->share);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        r = is_for_relay(row.kind) ? relay_claim(&c, &row, ret)
                                   : channel_claim(&c, &row, item, ret);
        share_context_done(&c);
        return r;
}

/* Claims write, so each is a savepoint of its own. */
static int on_claim(OutboxItem *item, json_t **ret_frame, void *userdata) {
        Gateway *g = userdata;
        int r, claimed;

        if (item->kind == OUTBOX_POLL) /* reads alone */
                return transfer_poll_claim(g, item, ret_frame);
        r = store_mark(g->store);
        if (r < 0)
                return r;
        claimed = claim_row(g, item, ret_frame);
        if (claimed >= 0) {
                hook_keep(g);
                r = store_release(g->store);
        } else {
                hook_forget(g);
                log_error("A message could not be prepared: %s.", strerror(-claimed));
                r = store_return(g->store);
        }
        return r < 0 ? r : claimed;
}

typedef struct Answered {
        Gateway *gateway;
        OutboxItem *item;
        json_t *answer;
        uint64_t retry;
} Answered;

static int poll_apply(Answered *answered) {
        ShareContext c;
        int r;

        r = share_context_load(&c, answered->gateway, answered->item->share);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        r = transfer_poll_answered(&c, answered->item, answered->answer, &answered->retry);
        share_context_done(&c);
        return r;
}

static int answered_apply(void *context) {
        Answered *answered = context;
        Gateway *g = answered->gateway;
        ShareContext c;
        OutboxRow row;
        int r;

        if (answered->item->kind == OUTBOX_POLL)
                return poll_apply(answered);
        r = store_outbox_get(g->store, answered->item->share, answered->item->part, &row);
        if (r == 0 && !is_its_row(answered->item, &row))
                r = STORE_E_NOT_FOUND;
        if (r == 0)
                r = share_context_load(&c, g, answered->item->share);
        if (r != 0) /* dropped while the plugin had it */
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        if (is_for_relay(row.kind))
                r = relay_answered(&c, &row, answered->item, answered->answer, &answered->retry);
        else
                r = channel_answered(&c, &row, answered->answer, &answered->retry);
        share_context_done(&c);
        return r;
}

static void answered_done(void *context, int result) {
        Answered *answered = context;

        if (result < 0 && result != -ECANCELED)
                log_error("An answer could not be stored, and is asked for again: %s.",
                                strerror(-result));
        outbox_settle(answered->gateway->outbox,
                        answered->item,
                        result > 0 ? (OutboxVerdict) result : OUTBOX_VERDICT_AGAIN,
                        result < 0 ? 0 : answered->retry);
        json_decref(answered->answer);
        free(answered);
}

static void on_answered(OutboxItem *item, json_t *answer, void *userdata) {
        Gateway *g = userdata;
        bool was_refused = item->refused;
        int (*submit)(Engine *, EngineApply, EngineDone, void *, size_t);
        Answered *answered;
        uint64_t retry;

        relay_note_look(item, answer);
        if (item->kind == OUTBOX_POLL && was_refused == item->refused &&
                        transfer_poll_is_quiet(g, item, answer, &retry)) {
                outbox_settle(g->outbox, item, OUTBOX_VERDICT_AGAIN, retry);
                return;
        }
        answered = calloc(1, sizeof(*answered));
        if (!answered) {
                outbox_settle(g->outbox, item, OUTBOX_VERDICT_AGAIN, 0);
                return;
        }
        *answered = (Answered){ .gateway = g, .item = item, .answer = json_incref(answer) };
        /* That a carrier took a message is for the record; a share goes on with the relay's. */
        submit = is_for_relay(item->kind) || item->kind == OUTBOX_POLL ? engine_submit
                                                                       : engine_submit_unhurried;
        if (submit(g->engine, answered_apply, answered_done, answered, 1024) < 0)
                answered_done(answered, -ENOMEM);
}

static void on_kick(void *userdata) {
        Gateway *g = userdata;

        if (g->engine)
                engine_kick(g->engine);
}

/* --- engine hooks --- */

static void hook_before_commit(void *userdata) {
        Gateway *g = userdata;

        audit_log_set_time(g->audit, gateway_now(g));
        outbox_claim(g->outbox);
        if (limiter_write(g->limiter) < 0)
                log_error("What was counted could not be written; it is still in memory.");
}

static void hook_committed(void *userdata) {
        Gateway *g = userdata;

        outbox_committed(g->outbox);
        limiter_committed(g->limiter);
        watchers_publish(g);
}

static void hook_failed(void *userdata) {
        Gateway *g = userdata;

        outbox_failed(g->outbox);
        limiter_failed(g->limiter);
        g->n_changed = g->n_changed_kept = 0;
}

/* For the watchers. Without memory one learns it when its wait is over. */
void gateway_note_changed(Gateway *g, int64_t share) {
        if (g->n_changed == g->changed_allocated) {
                size_t allocated = g->changed_allocated ? g->changed_allocated * 2 : 64;
                int64_t *changed = reallocarray(g->changed, allocated, sizeof(int64_t));

                if (!changed)
                        return;
                g->changed = changed;
                g->changed_allocated = allocated;
        }
        g->changed[g->n_changed++] = share;
}

bool gateway_may_pass(int error) {
        return error == -EAGAIN || error == -ENOMEM || error == -EIO || error == -ENOSPC ||
               error == -EBUSY || error == -ECANCELED;
}

void gateway_count(Gateway *g, GatewayCounter counter) {
        g->counters[counter]++;
}

/* --- start --- */

/* Problems are lines; a record is one. */
static void log_problems(const char *head, char *problems) {
        log_error("%s", head);
        for (char *line, *rest = problems; (line = strsep(&rest, "\n"));)
                if (*line)
                        log_error("  %s", line);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Gateway *g = userdata;

        (void) usec;
        switch (clock_observe(&g->clock, time_wall(), time_boot())) {
        case CLOCK_NEWS_STEP_SEEN:
                log_warning("The wall clock stepped forward; it is followed if it still says so in "
                            "ten minutes.");
                break;
        case CLOCK_NEWS_FOLLOWED:
                log_warning("The wall clock's step is followed now.");
                break;
        case CLOCK_NEWS_NONE:
                break;
        }
        watchers_expire(g);
        (void) sd_event_source_set_time_relative(source, USEC_PER_SEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* A text of more parts than its channel sends would be refused when it is needed. */
static int check_segments(const Config *config, const TemplateSet *templates, char **ret_problems) {
        for (size_t i = 0; i < config->n_channels; i++) {
                const ConfigChannel *channel = &config->channels[i];
                _cleanup_(freep) char *longer = NULL;
                int r;

                if (channel->segments == 0)
                        continue;
                r = template_set_longer(templates, channel->segments, &longer);
                if (r < 0)
                        return r;
                if (!longer)
                        continue;
                if (asprintf(ret_problems,
                                    "%s: channel %s: segments = %u is too few for texts that may "
                                    "need more: %s\n",
                                    channel->segments_place,
                                    channel->name,
                                    channel->segments,
                                    longer) < 0)
                        return -ENOMEM;
                return TEMPLATE_E_INVALID;
        }
        return 0;
}

int gateway_load_templates(const Config *config, TemplateSet **ret, char **ret_problems) {
        const char *directories[] = { config->templates, template_installed_directory() };
        _cleanup_(template_set_freep) TemplateSet *set = NULL;
        int r = template_set_load(directories, N_ELEMENTS(directories), &set, ret_problems);

        if (r == 0)
                r = check_segments(config, set, ret_problems);
        if (r == 0)
                *ret = TAKE_PTR(set);
        return r;
}

static int load_templates(const Config *config, TemplateSet **ret) {
        _cleanup_(freep) char *problems = NULL;
        int r;

        r = gateway_load_templates(config, ret, &problems);
        if (r > 0) {
                log_problems("The templates cannot be used:", problems);
                return -EINVAL;
        }
        return r;
}

static int open_vault(Gateway *g) {
        _cleanup_(secret_done) Secret root = SECRET_NULL;
        const char *name = g->config->root_credential;
        int r;

        r = credential_read(name, &root);
        if (r == -ENXIO || r == -ENOENT)
                log_error("There is no credential `%s`. Put 32 random bytes into "
                          "/etc/credstore/vestibule.%s, mode 0600, and start again.",
                                name,
                                name);
        else if (r == -EPERM)
                log_error("Others can read the root key, credential `%s`: chmod 600.", name);
        else if (r < 0)
                log_error("The root key, credential `%s`, cannot be read: %s.", name, strerror(-r));
        if (r < 0)
                return r;
        r = vault_new(&g->vault, &root);
        if (r < 0)
                log_error("The root key, credential `%s`, is not 32 bytes or 64 hexadecimal "
                          "digits.",
                                name);
        return r;
}

static int open_store(Gateway *g) {
        uint8_t check[VAULT_CHECK_SIZE];
        int64_t stored;
        int r;

        if (mkdir(g->config->state, 0700) < 0 && errno != EEXIST) {
                log_error("The state folder %s cannot be made: %s.",
                                g->config->state,
                                strerror(errno));
                return -errno;
        }
        vault_check_value(g->vault, check);
        r = store_open(&g->store, g->config->state, check, &stored);
        if (r == STORE_E_OTHER_KEY)
                log_error("The store in %s was written under another root key.", g->config->state);
        else if (r == STORE_E_IN_USE)
                log_error("Another vestibuled uses the store in %s.", g->config->state);
        else if (r == STORE_E_NEWER)
                log_error("The store in %s was written by a later version.", g->config->state);
        else if (r < 0)
                log_error("The store in %s cannot be opened: %s.", g->config->state, strerror(-r));
        if (r != 0)
                return r < 0 ? r : -EINVAL;

        clock_start(&g->clock, time_wall(), stored, time_boot());
        if (g->clock.suspect)
                log_error("The store is more than an hour ahead of the wall clock. Nothing is "
                          "confirmed until "
                          "`vestibulectl clock accept`.");
        return 0;
}

static int open_plugins(Gateway *g) {
        static const PluginSetOps ops = {
                .on_up = on_up, .on_down = on_down, .on_request = on_request, .on_event = on_event
        };
        static const OutboxOps outbox_ops = {
                .claim = on_claim, .answered = on_answered, .kick = on_kick
        };
        int r;

        r = outbox_new(&g->outbox, g->event, &outbox_ops, g);
        if (r >= 0)
                r = plugin_set_new(&g->plugins, g->event, g->config, &ops, g);
        if (r < 0)
                return r;
        for (size_t i = 0; i < plugin_set_n_links(g->plugins); i++) {
                PluginLink *link = plugin_set_link(g->plugins, i);
                const ConfigPlugin *plugin = plugin_link_config(link);
                PluginStatus *status = calloc(1, sizeof(*status));

                if (!status)
                        return -ENOMEM;
                plugin_link_set_userdata(link, status);
                if (plugin->role == CONFIG_ROLE_FRONT)
                        continue;
                r = outbox_add_lane(g->outbox, plugin->socket_name, link);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int load_row(const OutboxRow *row, void *userdata) {
        Gateway *g = userdata;
        /* Polls are spread, so that a restart is not a burst; all else goes at once. */
        uint64_t delay = row->kind == OUTBOX_READ
                                         ? TRANSFER_POLL_MIN_MSEC +
                                                           randombytes_uniform(
                                                                           TRANSFER_POLL_MIN_MSEC)
                                         : 0;
        int r;

        r = outbox_load(g->outbox, row, delay);
        if (r == -ENXIO) {
                log_warning("A message waits for %s, which is not configured any more.", row->lane);
                return 0;
        }
        return r;
}

/* Spread over their intervals, so that a restart is not a burst. */
static int load_poll(const Transfer *transfer, void *userdata) {
        Gateway *g = userdata;
        OutboxRow row;
        int r;

        transfer_poll_row(transfer, &row);
        r = outbox_load(g->outbox, &row, transfer_start_msec(g, transfer));
        return r == -ENXIO ? 0 : r;
}

static int open_audit(Gateway *g) {
        int r;

        r = audit_log_open(&g->audit, g->store, g->vault, g->config->fingerprint);
        if (r < 0) {
                log_error("The audit log cannot go on: %s.", strerror(-r));
                return r;
        }
        audit_log_set_time(g->audit, gateway_now(g));
        audit_log_note(g->audit,
                        &(AuditNote){ .event = "started",
                                        .actor = AUDIT_ACTOR_GATEWAY,
                                        .word = VESTIBULE_VERSION,
                                        .number = -1 });
        audit_log_keep(g->audit);
        return 0;
}

int gateway_new(Gateway **ret, sd_event *event, const char *config_path) {
        static const EngineHooks hooks = { .keep = hook_keep,
                .forget = hook_forget,
                .before_commit = hook_before_commit,
                .committed = hook_committed,
                .failed = hook_failed };
        _cleanup_(gateway_freep) Gateway *g = NULL;
        _cleanup_(freep) char *problems = NULL;
        int r;

        g = calloc(1, sizeof(*g));
        if (!g)
                return -ENOMEM;
        g->event = sd_event_ref(event);
        g->config_path = strdup(config_path);
        if (!g->config_path)
                return -ENOMEM;

        r = config_load(config_path, &g->config, &problems);
        if (r > 0) {
                log_problems("The configuration cannot be used; `vestibuled --check` says the "
                             "same:",
                                problems);
                return -EINVAL;
        }
        if (r < 0) {
                log_error("%s cannot be read: %s.", config_path, strerror(-r));
                return r;
        }
        log_set_max_priority(g->config->log_level);
        r = load_templates(g->config, &g->templates);
        if (r >= 0)
                r = open_vault(g);
        if (r >= 0)
                r = open_store(g);
        if (r >= 0)
                r = open_audit(g);
        if (r >= 0)
                r = limiter_new(&g->limiter, g->store, g->vault);
        if (r >= 0)
                r = open_plugins(g);
        if (r >= 0)
                r = engine_new(&g->engine, event, g->store, &hooks, g);
        if (r >= 0)
                r = store_outbox_each(g->store, false, load_row, g);
        if (r >= 0)
                r = store_transfer_each(g->store, load_poll, g);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(g);
        return 0;
}

int gateway_start(Gateway *g) {
        int r;

        r = plugin_set_start(g->plugins);
        if (r >= 0)
                r = sweep_start(g);
        if (r >= 0)
                r = sd_event_add_time_relative(g->event,
                                &g->tick,
                                CLOCK_BOOTTIME,
                                USEC_PER_SEC,
                                100 * USEC_PER_MSEC,
                                on_tick,
                                g);
        if (r >= 0)
                tell_status(g);
        return r;
}

/* From here on checkpoints name this configuration. */
static void note_configuration(Gateway *g) {
        audit_log_set_configuration(g->audit, g->config->fingerprint);
        audit_log_note(g->audit,
                        &(AuditNote){ .event = "configuration",
                                        .actor = AUDIT_ACTOR_OPERATOR,
                                        .number = -1 });
        audit_log_keep(g->audit);
        engine_kick(g->engine);
}

void gateway_reload(Gateway *g) {
        _cleanup_(config_unrefp) Config *config = NULL;
        _cleanup_(template_set_freep) TemplateSet *templates = NULL;
        _cleanup_(freep) char *problems = NULL;
        ConfigDifference difference = { 0 };
        int r;

        r = config_load(g->config_path, &config, &problems);
        if (r != 0) {
                if (r > 0)
                        log_problems("Nothing was reloaded, as the configuration cannot be used:",
                                        problems);
                else
                        log_error("Nothing was reloaded: %s.", strerror(-r));
                return;
        }
        if (config_difference(g->config, config, &difference) < 0)
                return;
        if (difference.restart)
                log_problems("Nothing was reloaded, as this needs a restart:", difference.text);
        else if (load_templates(config, &templates) < 0)
                log_error("Nothing was reloaded.");
        else {
                Config *old = g->config;

                g->config = TAKE_PTR(config);
                template_set_free(g->templates);
                g->templates = TAKE_PTR(templates);
                plugin_set_reconfigure(g->plugins, g->config);
                note_configuration(g);
                config_unref(old);
                watchers_reload(g);
                log_set_max_priority(g->config->log_level);
                log_notice("Reloaded. %s", difference.any ? difference.text : "Nothing differs.");
        }
        config_difference_done(&difference);
}

Gateway *gateway_free(Gateway *g) {
        if (!g)
                return NULL;
        g->sweep = sd_event_source_disable_unref(g->sweep);
        g->tick = sd_event_source_disable_unref(g->tick);
        if (g->engine)
                engine_run(g->engine);
        watchers_drop_link(g, NULL);
        engine_free(g->engine);
        g->engine = NULL;
        for (size_t i = 0; g->plugins && i < plugin_set_n_links(g->plugins); i++) {
                PluginLink *link = plugin_set_link(g->plugins, i);

                free(plugin_link_userdata(link)); /* on_down() is not called any more */
        }
        plugin_set_free(g->plugins);
        outbox_free(g->outbox);
        limiter_free(g->limiter);
        audit_log_close(g->audit);
        store_close(g->store);
        vault_free(g->vault);
        template_set_free(g->templates);
        config_unref(g->config);
        sd_event_unref(g->event);
        free(g->changed);
        free(g->published);
        free(g->config_path);
        free(g);
        return NULL;
}
