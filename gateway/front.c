/* The way of one question of a tenant or operator: from the front's frame through its right and the
 * batch to its answer. */
#include "front.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "log.h"

enum {
        TENANT = FRONT_RIGHT_TENANT,
        OPERATOR = FRONT_RIGHT_OPERATOR,
        NOBODY = FRONT_RIGHT_NOBODY,
};

/* clang-format off */
static const FrontVerb verbs[] = {
        { "tenant.describe", TENANT,                     false, front_tenant_describe },
        { "share.create",    TENANT,                     true,  front_share_create },
        { "share.get",       TENANT | OPERATOR,          true,  front_share_get },
        { "share.list",      TENANT | OPERATOR,          true,  front_share_list },
        { "share.cancel",    TENANT | OPERATOR,          true,  front_share_cancel },
        { "share.resend",    TENANT,                     true,  front_share_resend },
        { "share.reissue",   TENANT,                     true,  front_share_reissue },
        { "share.approve",   TENANT,                     true,  front_share_approve },
        { "share.deny",      TENANT,                     true,  front_share_deny },
        { "share.expiry",    TENANT,                     true,  front_share_expiry },
        { "message.add",     TENANT,                     true,  front_message_add },
        { "message.list",    TENANT,                     true,  front_message_list },
        { "event.follow",    TENANT,                     true,  front_event_follow },
        { "channel.list",    TENANT | OPERATOR,          false, front_channel_list },
        { "policy.list",     TENANT | OPERATOR,          false, front_policy_list },
        { "letter.list",     OPERATOR,                   true,  front_letter_list },
        { "letter.replay",   OPERATOR,                   true,  front_letter_replay },
        { "letter.drop",     OPERATOR,                   true,  front_letter_drop },
        { "block.list",      OPERATOR,                   true,  front_block_list },
        { "block.lift",      OPERATOR,                   true,  front_block_lift },
        { "block.lift_address", OPERATOR,                true,  front_block_lift_address },
        { "limit.list",      OPERATOR,                   true,  front_limit_list },
        { "limit.show_address", OPERATOR,                true,  front_limit_show_address },
        { "limit.clear",     OPERATOR,                   true,  front_limit_clear },
        { "limit.clear_address", OPERATOR,               true,  front_limit_clear_address },
        { "audit.export",    OPERATOR,                   true,  front_audit_export },
        { "audit.key",       OPERATOR,                   true,  front_audit_key },
        { "audit.seed",      OPERATOR,                   true,  front_audit_seed },
        { "clock.accept",    OPERATOR,                   true,  front_clock_accept },
        { "health",          TENANT | OPERATOR | NOBODY, false, front_health },
};
/* clang-format on */

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

static void ask_link(Ask *ask) {
        Gateway *g = ask->gateway;

        ask->next = g->asks;
        if (ask->next)
                ask->next->previous = ask;
        g->asks = ask;
}

void ask_free(Ask *ask) {
        if (ask->next)
                ask->next->previous = ask->previous;
        if (ask->previous)
                ask->previous->next = ask->next;
        else
                ask->gateway->asks = ask->next;
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

void ask_answer(Ask *ask) {
        ask_send(ask);
        ask_free(ask);
}

static const ConfigFront *front_of(const Config *config, const ConfigPlugin *plugin) {
        for (size_t i = 0; i < config->n_fronts; i++)
                if (streq(config->fronts[i].plugin->name, plugin->name))
                        return &config->fronts[i];
        return NULL;
}

static bool admit(Ask *ask, const ConfigFront *front) {
        if (front_identify(ask, front) & ask->verb->rights)
                return true;
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
        return false;
}

/* Whether who asked may still ask it, by the configuration as it is now: a question waits for its
 * batch, and perhaps for a change. False: the answer is set. */
static bool may_still(Ask *ask) {
        Gateway *g = ask->gateway;
        const ConfigFront *front;

        if (ask->config == g->config)
                return true;
        config_unref(ask->config);
        ask->config = config_ref(g->config);
        ask->tenant = NULL;
        ask->operator= false;
        front = front_of(g->config, plugin_link_config(ask->request.link));
        assert(front); /* fronts come and go with a restart only */
        return admit(ask, front);
}

/* What an operator only looks at need not be told. */
static bool changes_something(const FrontVerb *verb) {
        static const char *const looks[] = {
                ".get", ".list", ".show", ".export", ".key", ".describe"
        };

        for (size_t i = 0; i < N_ELEMENTS(looks); i++) {
                size_t n = strlen(verb->type), tail = strlen(looks[i]);

                if (n > tail && streq(verb->type + n - tail, looks[i]))
                        return false;
        }
        return true;
}

static int ask_apply(void *context) {
        Ask *ask = context;
        int r;

        if (!may_still(ask))
                return 0;
        r = front_try_replay(ask);
        if (r != 0)
                return r < 0 ? r : 0;
        r = ask->verb->handle(ask);
        if (r >= 0 && ask->operator&& !ask->problem && changes_something(ask->verb))
                audit_log_note(ask->gateway->audit,
                                &(AuditNote){ .event = "operator",
                                                .actor = AUDIT_ACTOR_OPERATOR,
                                                .word = ask->verb->type,
                                                .number = -1 });
        return r;
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

static void ask_done(void *context, int result) {
        Ask *ask = context;

        if (result < 0)
                ask_failed(ask, result);
        else if ((ask->watch || ask->follow) && front_watch(ask))
                return;
        ask_answer(ask);
}

int front_submit(Ask *ask) {
        int r;

        r = engine_submit(ask->gateway->engine, ask_apply, ask_done, ask, 4096);
        if (r < 0) {
                ask_failed(ask, r);
                ask_answer(ask);
        }
        return 0;
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
        ask_link(ask);

        if (admit(ask, front)) {
                if (verb->stored)
                        return front_submit(ask);
                r = verb->handle(ask);
                if (r < 0)
                        ask_failed(ask, r);
        }
        ask_answer(ask);
        return 0;
}

/* Nobody reads the answer; it takes the question out of the front's window. */
void front_event(Gateway *g, PluginLink *link, const char *type, const json_t *frame) {
        const json_t *id = json_object_get(frame, "ask");

        if (!streq(type, "forget") || !json_is_integer(id))
                return;
        for (Ask *ask = g->asks; ask; ask = ask->next) {
                if (ask->request.link != link || ask->request.id != json_integer_value(id))
                        continue;
                ask->forgotten = true;
                watchers_forget(g, ask);
                return;
        }
}
