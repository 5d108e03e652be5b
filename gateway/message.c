/* Messages to recipients: rendered once from the templates, sealed, and sent with the same identity
 * and the same text however often they must be repeated. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "gateway.h"
#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"
#include "words.h"

enum {
        WITHDRAW_PARTS_MAX = 32, /* invitations and the link are among a share's first messages */
};

typedef struct MessagePlan {
        OutboxKind kind;
        TemplateMessage template;
        int step; /* the address, by its place in the list */
        const char *channel, *address;
        const char *link, *key, *secret, *number; /* what the text carries, or NULL */
        int64_t expires;
} MessagePlan;

static const char *kind_name(OutboxKind kind) {
        switch (kind) {
        case OUTBOX_INVITATION:
                return "invitation";
        case OUTBOX_LINK:
                return "link";
        case OUTBOX_KEY:
                return "key";
        case OUTBOX_CODE:
                return "code";
        default:
                return "notice";
        }
}

static const char *text_of(const json_t *object, const char *name) {
        return json_string_value(json_object_get(object, name));
}

/* The answers that the invitation names, as buttons for those who can show them. NULL: out of
 * memory. */
static json_t *buttons(const TemplateSet *set, const char *locale, TemplateMessage invitation) {
        static const char *const refusals[] = { "answer-no", "answer-not-me" };
        json_auto_t *list = json_array();
        const char *key = invitation == TEMPLATE_INVITATION_READY ? "answer-ready"
                          : invitation == TEMPLATE_INVITATION_YES ? "answer-yes"
                                                                  : NULL;

        for (size_t i = key ? 0 : 1; i <= N_ELEMENTS(refusals); i++) {
                const char *word =
                                template_word(set, locale, i == 0 ? key : refusals[i - 1], false);
                json_t *button = json_pack("{s:s, s:s}", "value", word, "label", word);

                if (json_array_append_new(list, button) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

/* Who writes, by a name that strangers know: what is said after the end no longer has the share's
 * own details. */
static const char *sender_of(const ShareContext *c, const json_t *details) {
        const char *sender = text_of(details, "sender");
        const ConfigTenant *tenant;

        if (sender)
                return sender;
        tenant = config_tenant(c->gateway->config, c->share.tenant);
        return tenant ? tenant->names[0] : c->share.tenant;
}

/* A mail has a subject, and one by which its conversation is known. What an ended share lacks makes
 * none. */
static int subject_of_notice(ShareContext *c,
                const char *locale,
                const char *scheme,
                const TemplateValues *values,
                char **ret) {
        _cleanup_(freep) char *subject = NULL, *text = NULL;
        int r;

        r = template_render(c->gateway->templates,
                        locale,
                        scheme,
                        TEMPLATE_INVITATION,
                        values,
                        &subject,
                        &text);
        if (r != 0)
                return r < 0 ? r : 0;
        if (subject && asprintf(ret, "Re: %s", subject) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* The invitation that a later message goes on with; empty where there is none. */
static int first_of(ShareContext *c, OutboxKind kind, char ret[ID_TEXT_SIZE]) {
        int r, part;

        ret[0] = '\0';
        if (kind == OUTBOX_INVITATION)
                return 0;
        r = store_message_find(c->gateway->store, c->share.n, OUTBOX_INVITATION, &part);
        if (r == 0)
                vault_id(c->gateway->vault, VAULT_ID_MESSAGE, c->share.n, (uint16_t) part, ret);
        return r < 0 ? r : 0;
}

/* A code and the Secret's half stand alone: nothing in them leads to the other conversation. */
static bool stands_alone(const MessagePlan *plan) {
        return plan->kind == OUTBOX_CODE || plan->kind == OUTBOX_KEY ||
               plan->template == TEMPLATE_HELP_TAG;
}

/* A message in its recipient's language; *ret_locale is borrowed from the templates. */
static int write_text(ShareContext *c,
                const MessagePlan *plan,
                const char *tag,
                const char **ret_locale,
                char **ret_subject,
                char **ret_text) {
        const TemplateSet *templates = c->gateway->templates;
        const json_t *details = share_details(c);
        const ConfigPolicy *policy = config_policy(c->gateway->config, c->share.policy);
        const char *locale = text_of(details, "locale");
        char left[WORDS_SIZE], tries[WORDS_SIZE], scheme[16] = "";
        TemplateValues values = { 0 };
        int r;

        if (policy)
                locale = config_policy_locale(policy, locale);
        locale = template_locale(templates, locale, policy ? policy->language : NULL);
        words_left(templates, locale, c->now, plan->expires, text_of(details, "zone"), left);
        words_tries(templates, locale, c->share.attempts.left, tries);
        values.value[TEMPLATE_VALUE_SENDER] = sender_of(c, details);
        values.value[TEMPLATE_VALUE_KIND] =
                        words_kind(templates, locale, rules_class_name(c->share.rules.class));
        values.value[TEMPLATE_VALUE_TAG] = tag;
        values.value[TEMPLATE_VALUE_LEFT] = left;
        values.value[TEMPLATE_VALUE_CODE] =
                        words_code(templates, locale, code_format_name(c->share.rules.code));
        values.value[TEMPLATE_VALUE_TRIES] = tries;
        values.value[TEMPLATE_VALUE_LINK] = plan->link;
        values.value[TEMPLATE_VALUE_KEY] = plan->key;
        values.value[TEMPLATE_VALUE_SECRET] = plan->secret;
        values.value[TEMPLATE_VALUE_NUMBER] = plan->number;
        values.value[TEMPLATE_VALUE_FACT] = words_fact(
                        templates, locale, policy && policy->fact ? policy->fact : "other");
        *ret_locale = locale;
        address_scheme(plan->address, scheme);
        r = template_render(
                        templates, locale, scheme, plan->template, &values, ret_subject, ret_text);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        return !*ret_subject && streq(scheme, "mailto") && plan->template != TEMPLATE_HELP_TAG
                               ? subject_of_notice(c, locale, scheme, &values, ret_subject)
                               : 0;
}

/* Writes a message and makes the frame that will carry it, without an id. */
static int render(ShareContext *c, const MessagePlan *plan, int part, json_t **ret) {
        Gateway *g = c->gateway;
        char message[ID_TEXT_SIZE], thread[ID_TEXT_SIZE], first[ID_TEXT_SIZE], tag[TAG_SIZE];
        _cleanup_(secret_free_stringp) char *text = NULL;
        _cleanup_(freep) char *subject = NULL;
        const char *locale;
        json_t *frame;
        int r;

        vault_tag(g->vault, c->share.n, tag);
        r = write_text(c, plan, tag, &locale, &subject, &text);
        if (r < 0)
                return r;
        vault_id(g->vault, VAULT_ID_MESSAGE, c->share.n, (uint16_t) part, message);
        vault_id(g->vault, VAULT_ID_THREAD, c->share.n, 0, thread);
        r = first_of(c, plan->kind, first);
        if (r < 0)
                return r;
        frame = json_pack(
                        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*, s:o*, s:o*, "
                        "s:I, s:I}",
                        "type",
                        "send",
                        "message",
                        message,
                        "kind",
                        kind_name(plan->kind),
                        "to",
                        plan->address,
                        "lang",
                        locale,
                        "text",
                        text,
                        "subject",
                        subject,
                        "thread",
                        stands_alone(plan) ? NULL : thread,
                        "tag",
                        plan->template == TEMPLATE_HELP_TAG ? NULL : tag,
                        "first",
                        stands_alone(plan) || !first[0] ? NULL : first,
                        "link",
                        plan->link,
                        "buttons",
                        plan->kind == OUTBOX_INVITATION
                                        ? buttons(g->templates, locale, plan->template)
                                        : NULL,
                        "unasked", /* whoever writes STOP in somebody's name wakes nobody with it */
                        plan->template == TEMPLATE_STOP_CONFIRM ? json_true() : NULL,
                        "made",
                        (json_int_t) c->now,
                        "expires",
                        (json_int_t) plan->expires);
        if (!frame)
                return -ENOMEM;
        *ret = frame;
        return 0;
}

/* What outlives the share is sealed under the vault's own key: the share's may be destroyed in this
 * very step. */
static VaultField field_of(OutboxKind kind) {
        return outbox_outlives_share(kind) ? VAULT_FIELD_NOTICE : VAULT_FIELD_MESSAGE;
}

static int keep(ShareContext *c, OutboxKind kind, int part, int step, const json_t *frame) {
        Gateway *g = c->gateway;
        _cleanup_(json_wipe_freep) char *plain = json_quick_text(frame);
        _cleanup_(freep) uint8_t *sealed = NULL;
        size_t size;
        int r;

        if (!plain)
                return -ENOMEM;
        r = vault_seal(g->vault,
                        outbox_outlives_share(kind) ? NULL : &c->key,
                        c->share.n,
                        field_of(kind),
                        (uint32_t) part,
                        plain,
                        strlen(plain),
                        &sealed,
                        &size);
        if (r < 0)
                return r;
        return store_message_put(g->store, c->share.n, part, kind, step, sealed, size);
}

static int keep_and_queue(ShareContext *c,
                OutboxKind kind,
                int part,
                int step,
                const char *channel,
                const json_t *frame) {
        Gateway *g = c->gateway;
        OutboxRow row = { .share = c->share.n, .part = part, .kind = kind };
        int r;

        r = keep(c, kind, part, step, frame);
        if (r < 0)
                return r;
        (void) snprintf(row.lane, sizeof(row.lane), "%s", channel);
        r = store_outbox_put(g->store, &row);
        if (r < 0)
                return r;
        return outbox_note(g->outbox, &row, 0);
}

static int send_new(ShareContext *c, const MessagePlan *plan) {
        json_auto_t *frame = NULL;
        int r, part = c->share.messages;

        if (part > UINT16_MAX ||
                        (plan->kind != OUTBOX_NOTICE && (!c->has_key || !share_details(c))))
                return -ESTALE;
        r = render(c, plan, part, &frame);
        if (r < 0)
                return r;
        c->share.messages++;
        return keep_and_queue(c, plan->kind, part, plan->step, plan->channel, frame);
}

static int open_message(Gateway *g,
                const VaultKey *key,
                int64_t share,
                int part,
                OutboxKind *ret_kind,
                int *ret_step,
                json_t **ret) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        _cleanup_(freep) uint8_t *sealed = NULL;
        JsonProblem problem;
        size_t size;
        int r;

        r = store_message_get(g->store, share, part, ret_kind, ret_step, &sealed, &size);
        if (r != 0)
                return r;
        if (!outbox_outlives_share(*ret_kind) && !key)
                return STORE_E_NOT_FOUND;
        r = vault_open(g->vault,
                        outbox_outlives_share(*ret_kind) ? NULL : key,
                        share,
                        field_of(*ret_kind),
                        (uint32_t) part,
                        sealed,
                        size,
                        &plain);
        if (r != 0)
                return r < 0 ? r : -EBADMSG;
        r = json_read(plain.data, plain.size, 8, ret, &problem);
        return r > 0 ? -EBADMSG : r;
}

/* A channel that knows that a carrier took the message must be able to tell this repetition, which
 * somebody wants, from a question that comes again because its answer was lost. */
static int count_repetition(ShareContext *c, int part) {
        json_auto_t *frame = NULL;
        json_int_t repeat;
        OutboxKind kind;
        int r, step;

        r = open_message(c->gateway,
                        c->has_key ? &c->key : NULL,
                        c->share.n,
                        part,
                        &kind,
                        &step,
                        &frame);
        if (r != 0)
                return r < 0 ? r : -ESTALE;
        repeat = json_integer_value(json_object_get(frame, "repeat"));
        if (json_object_set_new(frame, "repeat", json_integer(repeat + 1)) < 0)
                return -ENOMEM;
        return keep(c, kind, part, step, frame);
}

/* Makes a message that was sent before due again; one that was given up lives again. */
static int send_again(ShareContext *c, OutboxKind kind, const char *channel, uint64_t delay_msec) {
        Gateway *g = c->gateway;
        OutboxRow row = { .share = c->share.n, .kind = kind };
        bool was_given_up;
        int r, part;

        r = store_message_find(g->store, c->share.n, kind, &part);
        if (r != 0)
                return r < 0 ? r : -ESTALE;
        r = store_outbox_get(g->store, c->share.n, part, &row);
        if (r < 0 || (r == 0 && !row.dead))
                return r; /* it is still on its way */
        was_given_up = r == 0;
        r = count_repetition(c, part);
        if (r < 0)
                return r;
        row.part = part;
        row.dead = false;
        row.attempts = was_given_up ? 1 : 0;
        (void) snprintf(row.lane, sizeof(row.lane), "%s", channel);
        r = store_outbox_put(g->store, &row);
        if (r < 0)
                return r;
        return outbox_note(g->outbox, &row, delay_msec);
}

int message_repeat(ShareContext *c, OutboxKind kind, int step, uint64_t delay_msec) {
        const ConfigChannel *channel;
        const char *address;

        if (!share_route(c, step, &address, &channel))
                return -ESTALE;
        return send_again(c, kind, channel->name, delay_msec);
}

int message_invite(ShareContext *c, bool resend) {
        const ConfigChannel *channel;
        const char *address;

        if (!share_route(c, c->share.step, &address, &channel))
                return -ESTALE;
        if (resend)
                return send_again(c, OUTBOX_INVITATION, channel->name, 0);
        return send_new(c,
                        &(MessagePlan){ .kind = OUTBOX_INVITATION,
                                        .template = challenge_invitation(&c->share),
                                        .step = c->share.step,
                                        .channel = channel->name,
                                        .address = address,
                                        .expires = c->share.expires });
}

/* The link without what stands behind its #, and that alone: either opens nothing. */
static int send_halves(ShareContext *c, MessagePlan *plan) {
        const char *hash = strchr(plan->link, '#');
        _cleanup_(secret_free_stringp) char *url = NULL;
        const ConfigChannel *channel;
        MessagePlan key = { .kind = OUTBOX_KEY,
                .template = TEMPLATE_LINK_KEY,
                .step = c->share.key_step,
                .key = hash,
                .expires = plan->expires };
        int r;

        if (!hash || !share_route(c, key.step, &key.address, &channel))
                return -ESTALE;
        key.channel = channel->name;
        url = strndup(plan->link, (size_t) (hash - plan->link));
        if (!url)
                return -ENOMEM;
        plan->link = url;
        plan->template = TEMPLATE_LINK_ADDRESS;
        r = send_new(c, plan);
        if (r >= 0)
                r = block_has(c->gateway, c->share.tenant, key.address);
        if (r != 0)
                return r < 0 ? r : 0;
        r = share_know_address(c, key.address);
        return r < 0 ? r : send_new(c, &key);
}

static int send_link_again(ShareContext *c, const char *channel) {
        const ConfigChannel *other;
        const char *address;
        int r;

        r = send_again(c, OUTBOX_LINK, channel, 0);
        if (r < 0 || !(c->share.rules.factors & FACTOR_SPLIT))
                return r;
        if (!share_route(c, c->share.key_step, &address, &other))
                return -ESTALE;
        r = send_again(c, OUTBOX_KEY, other->name, 0);
        return r == -ESTALE ? 0 : r; /* it was never made, for one who wants nothing */
}

int message_link(ShareContext *c, const char *link, bool resend) {
        MessagePlan plan = { .kind = OUTBOX_LINK,
                .template = c->share.flags & SHARE_ENCRYPTED ? TEMPLATE_LINK_PART : TEMPLATE_LINK,
                .step = c->share.step,
                .link = link,
                .expires = c->share.mailbox_expires };
        const ConfigChannel *channel;

        /* The link goes only to the address whose answer confirmed: share.step is that one's. */
        if (!share_route(c, plan.step, &plan.address, &channel))
                return -ESTALE;
        plan.channel = channel->name;
        if (resend)
                return send_link_again(c, plan.channel);
        return c->share.rules.factors & FACTOR_SPLIT ? send_halves(c, &plan) : send_new(c, &plan);
}

int message_code(ShareContext *c, const char *display) {
        MessagePlan plan = { .kind = OUTBOX_CODE,
                .template = TEMPLATE_CODE,
                .step = c->share.code_step,
                .secret = display,
                .expires = c->share.code_expires };
        const ConfigChannel *channel;
        int r;

        if (!share_route(c, plan.step, &plan.address, &channel))
                return -ESTALE;
        plan.channel = channel->name;
        r = block_has(c->gateway, c->share.tenant, plan.address);
        if (r != 0)
                return r < 0 ? r : 0;
        r = share_know_address(c, plan.address);
        return r < 0 ? r : send_new(c, &plan);
}

/* The same for every notice: when it is not worth sending any more. */
static int64_t notice_expires(const ShareContext *c, TemplateMessage message) {
        if (message == TEMPLATE_CODE_SENT && c->share.code_expires > c->now)
                return c->share.code_expires;
        return c->share.expires > c->now ? c->share.expires : c->now + 3600;
}

int message_approval(
                ShareContext *c, const char *number, const char *channel, const char *address) {
        return send_new(c,
                        &(MessagePlan){ .kind = OUTBOX_NOTICE,
                                        .template = TEMPLATE_APPROVAL,
                                        .step = c->share.step,
                                        .channel = channel,
                                        .address = address,
                                        .number = number,
                                        .expires = c->share.approval_expires });
}

int message_notice(ShareContext *c,
                TemplateMessage message,
                const char *channel,
                const char *address) {
        int r;

        if (c->share.answers >= GATEWAY_ANSWERS_MAX)
                return 0;
        r = limit_take_text(c, address);
        if (r != 0)
                return r < 0 ? r : 0;
        c->share.answers++;
        return send_new(c,
                        &(MessagePlan){ .kind = OUTBOX_NOTICE,
                                        .template = message,
                                        .step = c->share.step,
                                        .channel = channel,
                                        .address = address,
                                        .expires = notice_expires(c, message) });
}

int message_not_made(ShareContext *c) {
        const ConfigChannel *channel;
        const char *address;

        if (!share_route(c, c->share.step, &address, &channel))
                return 0; /* its channel is configured no more */
        return message_notice(c, TEMPLATE_NOT_MADE, channel->name, address);
}

/* --- taking back --- */

/* Whether the timeline settles it: the recipient had the message, or could not have it. */
static bool is_settled(const Share *s, OutboxKind kind, int step) {
        for (int i = 0; i < s->n_timeline; i++) {
                const TimelineEntry *e = &s->timeline[i];

                if (e->step != step)
                        continue;
                switch ((TimelineEvent) e->event) {
                case TIMELINE_DELIVERED:
                case TIMELINE_READ:
                case TIMELINE_NOT_DELIVERED:
                        if (e->detail == (int) kind)
                                return true;
                        break;
                case TIMELINE_MISTYPED:
                case TIMELINE_WRONG:
                case TIMELINE_CONFIRMED:
                case TIMELINE_REFUSED:
                case TIMELINE_DISOWNED:
                        if (kind == OUTBOX_INVITATION)
                                return true;
                        break;
                case TIMELINE_ACKNOWLEDGED:
                case TIMELINE_CLAIMED_ELSEWHERE:
                        return true;
                default:
                        break;
                }
        }
        return false;
}

/* A channel that is away may be able to; it is looked at again when it is asked. */
static bool may_withdraw(Gateway *g, const char *channel) {
        PluginLink *link = plugin_set_find(g->plugins, CONFIG_ROLE_CHANNEL, channel);

        return link && (!plugin_link_is_up(link) || plugin_link_withdraws(link));
}

static bool anybody_may_withdraw(Gateway *g) {
        for (size_t i = 0; i < g->config->n_channels; i++)
                if (may_withdraw(g, g->config->channels[i].name))
                        return true;
        return false;
}

/* Whether a copy of the message may be with a carrier. */
static int may_have_left(ShareContext *c, int part) {
        OutboxRow row;
        int r;

        r = store_outbox_get(c->gateway->store, c->share.n, part, &row);
        if (r < 0)
                return r;
        return r == STORE_E_NOT_FOUND || (row.attempts > 0 && !row.dead);
}

static int withdraw_one(ShareContext *c, OutboxKind kind, int step, int part) {
        Gateway *g = c->gateway;
        json_auto_t *frame = NULL;
        const ConfigChannel *channel;
        const char *address;
        char message[ID_TEXT_SIZE];

        if (!share_route(c, step, &address, &channel) || !may_withdraw(g, channel->name) ||
                        c->share.messages > UINT16_MAX)
                return 0;
        vault_id(g->vault, VAULT_ID_MESSAGE, c->share.n, (uint16_t) part, message);
        frame = json_pack("{s:s, s:s, s:s, s:s}",
                        "type",
                        "withdraw",
                        "message",
                        message,
                        "kind",
                        kind_name(kind),
                        "to",
                        address);
        if (!frame)
                return -ENOMEM;
        return keep_and_queue(c, OUTBOX_WITHDRAW, c->share.messages++, step, channel->name, frame);
}

int message_withdraw(ShareContext *c) {
        int n = c->share.messages < WITHDRAW_PARTS_MAX ? c->share.messages : WITHDRAW_PARTS_MAX;
        int r = 0;

        if (!anybody_may_withdraw(c->gateway))
                return 0;
        for (int part = 0; r >= 0 && part < n; part++) {
                _cleanup_(freep) uint8_t *body = NULL;
                OutboxKind kind;
                size_t size;
                int step;

                r = store_message_get(
                                c->gateway->store, c->share.n, part, &kind, &step, &body, &size);
                if (r != 0 ||
                                (kind != OUTBOX_INVITATION && kind != OUTBOX_LINK &&
                                                kind != OUTBOX_KEY && kind != OUTBOX_CODE) ||
                                is_settled(&c->share, kind, step))
                        continue;
                r = may_have_left(c, part);
                if (r > 0)
                        r = withdraw_one(c, kind, step, part);
        }
        return r < 0 ? r : 0;
}

int message_frame(Gateway *g, const VaultKey *key, int64_t share, int part, json_t **ret) {
        OutboxKind kind;
        int step;

        return open_message(g, key, share, part, &kind, &step, ret);
}
