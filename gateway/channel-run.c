/* What channels report: whether a message was taken, delivered, read, or not. */
#include <errno.h>
#include <sodium.h>

#include "gateway.h"
#include "json-read.h"
#include "log.h"
#include "text.h"

enum {
        CHANNEL_TRIES_MAX = 40, /* with the backoff, about three hours of a carrier that says no */
        CHANNEL_RETRY_MAX = 3600,  /* seconds that a carrier may ask us to wait */
        CHANNEL_LATER_MAX = 86400, /* seconds that what was not tried may wait */
        CHANNEL_WITHDRAW_TRIES_MAX = 5,
};

/* A part of the link, whose copies matter. */
static bool is_link(OutboxKind kind) {
        return kind == OUTBOX_LINK || kind == OUTBOX_KEY;
}

static bool may_run(const Share *s, OutboxKind kind) {
        switch (kind) {
        case OUTBOX_INVITATION:
                return s->state == LIFECYCLE_PENDING || s->state == LIFECYCLE_INVITED;
        case OUTBOX_LINK:
        case OUTBOX_KEY:
                return s->state == LIFECYCLE_RELEASED;
        case OUTBOX_CODE:
                return s->state == LIFECYCLE_INVITED && s->code_expires > 0;
        case OUTBOX_NOTICE:
        case OUTBOX_WITHDRAW:
                return true;
        default: /* a relay's */
                return false;
        }
}

/* The row and, unless it may be repeated, its message. */
static int row_remove(ShareContext *c, const OutboxRow *row) {
        Store *store = c->gateway->store;
        int r;

        r = store_outbox_remove(store, row->share, row->part);
        if (r >= 0 && outbox_outlives_share(row->kind))
                r = store_message_remove(store, row->share, row->part);
        return r;
}

/* What is taken back has no end; whoever cannot take it back is not asked. */
static bool is_worth_sending(ShareContext *c, const OutboxRow *row, const json_t *frame) {
        PluginLink *link;

        if (row->kind != OUTBOX_WITHDRAW)
                return json_integer_value(json_object_get(frame, "expires")) >= c->now;
        link = plugin_set_find(c->gateway->plugins, CONFIG_ROLE_CHANNEL, row->lane);
        return link && plugin_link_withdraws(link);
}

/* An invitation that nobody was asked to take waits for the morning; the sweep queues it again. */
static int postpone(ShareContext *c, const OutboxRow *row) {
        int r;

        if (row->kind != OUTBOX_INVITATION || row->attempts > 0)
                return 0;
        r = fallback_postpone(c);
        if (r <= 0)
                return r;
        r = store_outbox_remove(c->gateway->store, row->share, row->part);
        return r < 0 ? r : FALLBACK_POSTPONED;
}

/* Whether it may leave now, as far as the limits go: a message that waits is claimed again. */
static int take_message(
                ShareContext *c, const OutboxRow *row, OutboxItem *item, const json_t *frame) {
        const LimitMessage message = {
                .kind = row->kind,
                .address = json_string_value(json_object_get(frame, "to")),
                .channel = config_channel(c->gateway->config, row->lane),
                .text = json_string_value(json_object_get(frame, "text")),
                .made = json_integer_value(json_object_get(frame, "made")),
                .repeated = json_integer_value(json_object_get(frame, "repeat")) > 0,
        };
        int64_t wait;
        int r;

        if (row->kind == OUTBOX_WITHDRAW || row->attempts > 0 || item->counted ||
                        !message.address || !message.channel)
                return 0;
        r = limit_take_message(c, &message, &wait);
        if (r == LIMIT_HOLD) {
                item->wait = (uint64_t) wait * 1000;
                return OUTBOX_VERDICT_LATER;
        }
        item->counted = r == 0;
        return r;
}

int channel_claim(ShareContext *c, OutboxRow *row, OutboxItem *item, json_t **ret) {
        int r;

        if (!may_run(&c->share, row->kind)) {
                r = row_remove(c, row);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        if (is_link(row->kind) && !share_meets_policy(c)) {
                r = share_step(c, LIFECYCLE_EVENT_POLICY_TIGHTENED);
                if (r >= 0)
                        r = share_save(c);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }

        r = postpone(c, row);
        if (r != 0)
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        r = message_frame(c->gateway, c->has_key ? &c->key : NULL, row->share, row->part, ret);
        if (r == STORE_E_NOT_FOUND) {
                r = row_remove(c, row);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        if (r < 0)
                return r;
        if (!is_worth_sending(c, row, *ret)) {
                json_decref(*ret);
                *ret = NULL;
                r = row_remove(c, row);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        r = take_message(c, row, item, *ret);
        if (r != 0) {
                json_decref(*ret);
                *ret = NULL;
                return r;
        }
        if (row->attempts == 0) { /* from now on a copy may have left */
                row->attempts = 1;
                r = store_outbox_attempt(c->gateway->store, row);
        }
        if (r >= 0 && is_link(row->kind) && !(c->share.flags & SHARE_LINK_LEFT)) {
                c->share.flags |= SHARE_LINK_LEFT;
                r = share_save(c);
        }
        return r;
}

static bool noted_already(const Share *s, TimelineEvent event, OutboxKind kind, int step) {
        for (int i = 0; i < s->n_timeline; i++)
                if (s->timeline[i].event == event && s->timeline[i].detail == (int) kind &&
                                s->timeline[i].step == step)
                        return true;
        return false;
}

/* The address that a message went to, by its place in the list; the present one if it is unknown.
 */
static int step_of_message(ShareContext *c, int part) {
        _cleanup_(freep) uint8_t *body = NULL;
        OutboxKind kind;
        size_t size;
        int step;

        return store_message_get(c->gateway->store, c->share.n, part, &kind, &step, &body, &size) ==
                                               0
                               ? step
                               : c->share.step;
}

static int message_sent(ShareContext *c, const OutboxRow *row) {
        Share *s = &c->share;
        int r;

        switch (row->kind) {
        case OUTBOX_INVITATION:
                return fallback_accepted(c, step_of_message(c, row->part));
        case OUTBOX_LINK:
        case OUTBOX_KEY:
                if (share_may_step(c, LIFECYCLE_EVENT_LINK_SENT)) {
                        share_note(s,
                                        c->now,
                                        TIMELINE_LINK_ACCEPTED,
                                        0,
                                        row->kind == OUTBOX_KEY ? s->key_step : s->step);
                        r = share_step(c, LIFECYCLE_EVENT_LINK_SENT);
                        return r < 0 ? r : share_save(c);
                }
                break;
        default:
                break;
        }
        return 0;
}

/* Whether anything would change: what is told again does nothing again. What has arrived may fail
 * to go further, as a mail does that somebody forwards: that is not our message's failure, and
 * others who see it could tell it. */
static bool may_be_refused(const ShareContext *c, OutboxKind kind, int step) {
        const Share *s = &c->share;

        if (noted_already(s, TIMELINE_DELIVERED, kind, step) ||
                        noted_already(s, TIMELINE_READ, kind, step))
                return false;
        if (is_link(kind))
                return share_may_step(c, LIFECYCLE_EVENT_LINK_UNDELIVERABLE);
        if (kind == OUTBOX_CODE)
                return may_run(s, kind) && step == s->code_step;
        return kind == OUTBOX_INVITATION &&
               (s->state == LIFECYCLE_PENDING || s->state == LIFECYCLE_INVITED) &&
               !noted_already(s, TIMELINE_NOT_DELIVERED, kind, step);
}

static int message_refused(ShareContext *c, OutboxKind kind, int step) {
        const ConfigChannel *channel;
        const char *address;
        int r;

        if (!may_be_refused(c, kind, step))
                return 0;
        r = share_route(c, step, &address, &channel) ? limit_note_bounced(c, address) : 0;
        if (r < 0)
                return r;
        if (kind == OUTBOX_INVITATION)
                r = fallback_failed(c, step);
        else if (kind == OUTBOX_CODE) { /* READY makes another, for an address that is left */
                share_note(&c->share, c->now, TIMELINE_NOT_DELIVERED, OUTBOX_CODE, step);
                r = challenge_code_lapsed(c, TEMPLATE_CODE_EXPIRED);
        } else {
                share_note(&c->share, c->now, TIMELINE_NOT_DELIVERED, (int) kind, step);
                r = share_step(c, LIFECYCLE_EVENT_LINK_UNDELIVERABLE);
        }
        return r < 0 ? r : share_save(c);
}

/* Bounded, and nobody is told when it comes to nothing: the share has ended all the same. */
static int withdraw_answered(
                ShareContext *c, OutboxRow *row, const json_t *answer, uint64_t *ret_retry) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        json_int_t retry_after = json_integer_value(json_object_get(answer, "retry_after"));
        json_auto_t *frame = NULL;
        int r;

        if (streq(type, "withdrawn")) {
                r = message_frame(c->gateway, NULL, row->share, row->part, &frame);
                if (r != 0)
                        return r < 0 ? r : OUTBOX_VERDICT_DONE;
                share_note(&c->share,
                                c->now,
                                TIMELINE_WITHDRAWN,
                                streq(json_string_value(json_object_get(frame, "kind")), "link")
                                                ? OUTBOX_LINK
                                                : OUTBOX_INVITATION,
                                step_of_message(c, row->part));
                r = row_remove(c, row);
                if (r >= 0)
                        r = share_save(c);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        if (streq(type, "too-late") || streq(type, "unsupported") ||
                        row->attempts >= CHANNEL_WITHDRAW_TRIES_MAX) {
                r = row_remove(c, row);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        row->attempts++;
        r = store_outbox_attempt(c->gateway->store, row);
        if (r < 0)
                return r;
        if (retry_after > CHANNEL_RETRY_MAX)
                retry_after = CHANNEL_RETRY_MAX;
        *ret_retry = retry_after > 0 ? (uint64_t) retry_after * 1000 : 0;
        return OUTBOX_VERDICT_AGAIN;
}

/* It was not tried: quiet hours, a carrier that is busy or away. No copy has left, and no try is
 * counted, so that no number of these makes a dead letter; the message's own end ends it. */
static int postponed(ShareContext *c, OutboxRow *row, json_int_t retry_after, uint64_t *ret_retry) {
        int r;

        if (row->attempts == 1)
                row->attempts = 0;
        r = store_outbox_attempt(c->gateway->store, row);
        if (r < 0)
                return r;
        gateway_count(c->gateway, COUNTER_MESSAGES_POSTPONED);
        if (retry_after < 1)
                retry_after = 1;
        if (retry_after > CHANNEL_LATER_MAX)
                retry_after = CHANNEL_LATER_MAX;
        *ret_retry = (uint64_t) retry_after * 1000;
        return OUTBOX_VERDICT_LATER;
}

int channel_answered(ShareContext *c, OutboxRow *row, const json_t *answer, uint64_t *ret_retry) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        const char *reason = json_string_value(json_object_get(answer, "reason"));
        json_int_t retry_after = json_integer_value(json_object_get(answer, "retry_after"));
        int r;

        if (row->kind == OUTBOX_WITHDRAW)
                return withdraw_answered(c, row, answer, ret_retry);
        if (streq(type, "sent")) {
                r = row_remove(c, row);
                if (r >= 0)
                        r = message_sent(c, row);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }
        text_word(reason ? reason : "no-reason", row->reason, sizeof(row->reason));
        if (streq(type, "later"))
                return postponed(c, row, retry_after, ret_retry);
        if (streq(type, "failed") && json_is_true(json_object_get(answer, "permanent"))) {
                int step = step_of_message(c, row->part);

                r = row_remove(c, row);
                if (r >= 0)
                        r = message_refused(c, row->kind, step);
                return r < 0 ? r : OUTBOX_VERDICT_DONE;
        }

        row->attempts++;
        row->dead = row->attempts >= CHANNEL_TRIES_MAX;
        r = store_outbox_attempt(c->gateway->store, row);
        if (r < 0)
                return r;
        if (row->dead) {
                gateway_count(c->gateway, COUNTER_DEAD_LETTERS);
                log_record(LOG_ERR,
                                &(LogFields){ .tenant = c->share.tenant, .channel = row->lane },
                                "A message was given up after %d tries (%s); `vestibulectl "
                                "letters list` shows it.",
                                row->attempts,
                                row->reason);
                return OUTBOX_VERDICT_DONE;
        }
        if (retry_after > CHANNEL_RETRY_MAX)
                retry_after = CHANNEL_RETRY_MAX;
        *ret_retry = retry_after > 0 ? (uint64_t) retry_after * 1000 : 0;
        return OUTBOX_VERDICT_AGAIN;
}

/* --- what becomes of a message: events, and reports, which are requests --- */

typedef struct ChannelNews {
        Gateway *gateway;
        PluginRequest request; /* of a report; without a link it is an event */
        char channel[64];
        int64_t share;
        uint16_t part;
        TimelineEvent event;
        bool again;     /* the carrier may have lost it: the same message once more */
        int64_t repeat; /* which repetition it is about; -1: unknown */
} ChannelNews;

enum { NEWS_TRUE = 1 };

/* Whether a report of loss asks for nothing: the repetition that it wants is made or under way. A
 * message that is asked of the channel at this moment is not waited for by anybody: the channel may
 * remember that its carrier took it, and then only the next repetition gets it there. -EAGAIN. */
static int loss_is_mended(ShareContext *c, const ChannelNews *news) {
        json_auto_t *frame = NULL;
        int64_t present;
        bool is_present;
        OutboxRow row;
        int r;

        if (!news->request.link)
                return 0;
        r = message_frame(c->gateway, c->has_key ? &c->key : NULL, news->share, news->part, &frame);
        if (r != 0)
                return r < 0 ? r : NEWS_TRUE;
        present = json_integer_value(json_object_get(frame, "repeat"));
        if (news->repeat >= 0 && news->repeat < present)
                return NEWS_TRUE;
        /* One that there has not been says nothing: strangers can write into reports. */
        is_present = news->repeat == present;
        r = store_outbox_get(c->gateway->store, news->share, news->part, &row);
        if (r < 0)
                return r;
        if (r == STORE_E_NOT_FOUND || row.dead)
                return 0;
        return is_present && row.attempts > 0 ? -EAGAIN : NEWS_TRUE;
}

/* Same identity, same bytes: a recipient that has it already recognises it. A carrier that loses it
 * again and again is one that does not deliver. */
static int repeat_lost(ShareContext *c, const ChannelNews *news, OutboxKind kind, int step) {
        int r;

        if (step != c->share.step || noted_already(&c->share, TIMELINE_DELIVERED, kind, step) ||
                        !may_run(&c->share, kind))
                return 0;
        r = loss_is_mended(c, news);
        if (r != 0)
                return r < 0 ? r : 0;
        if (c->share.repeats >= GATEWAY_REPEATS_MAX)
                return message_refused(c, kind, step);
        c->share.repeats++;
        r = message_repeat(c,
                        kind,
                        step,
                        outbox_backoff_msec((unsigned) c->share.repeats, randombytes_random()));
        if (r == -ESTALE) /* wiped meanwhile */
                return 0;
        return r < 0 ? r : share_save(c);
}

/* A channel may speak of its own messages only. */
static int news_take(ShareContext *c, const ChannelNews *news, OutboxKind kind, int step) {
        const ConfigChannel *channel;
        const char *address;
        int r;

        if (!share_route(c, step, &address, &channel) || !streq(channel->name, news->channel))
                return c->error;
        if (news->again)
                return repeat_lost(c, news, kind, step);
        if (news->event == TIMELINE_NOT_DELIVERED)
                return message_refused(c, kind, step);
        if (noted_already(&c->share, news->event, kind, step))
                return 0;
        if (c->share.state == LIFECYCLE_PENDING) {
                r = share_step(c, LIFECYCLE_EVENT_INVITATION_TAKEN);
                if (r < 0)
                        return r;
                fallback_taken(c, step);
        }
        share_note(&c->share, c->now, news->event, (int) kind, step);
        return share_save(c);
}

static int news_apply(void *context) {
        const ChannelNews *news = context;
        Store *store = news->gateway->store;
        _cleanup_(freep) uint8_t *body = NULL;
        ShareContext c;
        OutboxKind kind;
        size_t size;
        int r, step;

        r = store_message_get(store, news->share, news->part, &kind, &step, &body, &size);
        if (r != 0)
                return r < 0 ? r : 0; /* a notice, or the share has ended */
        r = share_context_load(&c, news->gateway, news->share);
        if (r != 0)
                return r < 0 ? r : 0;
        if (!lifecycle_is_terminal(c.share.state) && kind != OUTBOX_NOTICE)
                r = news_take(&c, news, kind, step);
        share_context_done(&c);
        return r;
}

static void answer_report(PluginRequest request, bool again) {
        json_t *answer = again ? json_pack("{s:s, s:i}", "type", "again", "retry_after", 1)
                               : json_pack("{s:s}", "type", "ack");

        (void) plugin_link_answer(request, answer);
}

/* An event that is lost costs a line in the timeline; who wanted more asks with a report. */
static void news_done(void *context, int result) {
        ChannelNews *news = context;

        if (news->request.link)
                answer_report(news->request, gateway_may_pass(result));
        if (result < 0 && result != -EAGAIN)
                log_record(LOG_ERR,
                                &(LogFields){ .channel = news->channel },
                                "What became of a message could not be stored: %s.",
                                strerror(-result));
        free(news);
}

/* STORE_E_NOT_FOUND: it is about no message of ours. */
static int news_submit(Gateway *g, const ChannelNews *said, const char *message) {
        ChannelNews *news = malloc(sizeof(*news));
        int r;

        if (!news)
                return -ENOMEM;
        *news = *said;
        news->gateway = g;
        r = vault_id_read(g->vault, VAULT_ID_MESSAGE, message, &news->share, &news->part) == 0
                            ? engine_submit(g->engine, news_apply, news_done, news, 256)
                            : STORE_E_NOT_FOUND;
        if (r != 0)
                free(news);
        return r;
}

static bool news_event(const char *name, TimelineEvent *ret) {
        static const struct {
                const char *name;
                TimelineEvent event;
        } events[] = {
                { "delivered", TIMELINE_DELIVERED },
                { "read", TIMELINE_READ },
                { "failed", TIMELINE_NOT_DELIVERED },
        };

        for (size_t i = 0; i < N_ELEMENTS(events); i++)
                if (streq(name, events[i].name)) {
                        *ret = events[i].event;
                        return true;
                }
        return false;
}

int channel_event(Gateway *g, PluginLink *link, const char *type, json_t *frame) {
        const char *message = json_string_value(json_object_get(frame, "message"));
        ChannelNews news = { .repeat = -1 };
        int r;

        if (!news_event(type, &news.event))
                return 0;
        if (!message)
                return -EPROTO;
        news.again = news.event == TIMELINE_NOT_DELIVERED &&
                     !json_is_true(json_object_get(frame, "permanent"));
        (void) snprintf(news.channel, sizeof(news.channel), "%s", plugin_link_config(link)->name);
        r = news_submit(g, &news, message);
        return r < 0 ? r : 0;
}

typedef struct Report {
        const char *message, *says, *reason;
        bool permanent;
        int64_t repeat;
} Report;

int channel_report(Gateway *g, PluginRequest request, const json_t *frame) {
        static const JsonMember members[] = {
                { "message", JSON_KIND_STRING, offsetof(Report, message), true, 1, 1024 },
                { "says", JSON_KIND_STRING, offsetof(Report, says), true, 1, 16 },
                { "permanent", JSON_KIND_BOOLEAN, offsetof(Report, permanent), false, 0, 0 },
                { "reason", JSON_KIND_STRING, offsetof(Report, reason), false, 0, 0 },
                { "repeat", JSON_KIND_INTEGER, offsetof(Report, repeat), false, 0, INT64_MAX },
        };
        const char *channel = plugin_link_config(request.link)->name;
        ChannelNews news = { .request = request };
        Report report = { .repeat = -1 };
        JsonProblem problem;
        int r;

        if (json_read_members(frame, members, N_ELEMENTS(members), false, &report, &problem) != 0 ||
                        !news_event(report.says, &news.event)) {
                log_record(LOG_WARNING,
                                &(LogFields){ .channel = channel },
                                "A plugin handed in a report that is not one.");
                return -EPROTO;
        }
        news.again = news.event == TIMELINE_NOT_DELIVERED && !report.permanent;
        news.repeat = report.repeat;
        (void) snprintf(news.channel, sizeof(news.channel), "%s", channel);
        r = news_submit(g, &news, report.message);
        if (r > 0)
                answer_report(request, false);
        return r < 0 ? r : 0;
}
