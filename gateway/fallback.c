/* The steps of a share: which address is invited, and when the next one is, because the carrier
 * refused, because nobody answered, or because it is night. policy/fallback.h decides; this writes
 * it down and sends.
 *
 * A recipient who wants nothing of a tenant is not written to, and the tenant is not told: to it,
 * the invitation was taken and never answered. So every step is gone through for them as for
 * others, at the same times and with the same events; only the message is missing. */
#include <errno.h>
#include <sodium.h>

#include "gateway.h"
#include "words.h"

enum {
        /* When a carrier is said to have taken what is never sent. */
        PRETEND_FIRST = 1,
        PRETEND_SPREAD = 3,
        PRETEND_AGAIN = 5, /* while what is really sent would wait */
        PRETEND_AGAIN_SPREAD = 10,
};

/* --- what is configured --- */

static int32_t offset_of(int64_t moment, void *userdata) {
        return words_offset(userdata, moment);
}

/* The recipient's zone, else the tenant's, else the gateway's. */
static QuietZone zone_of(ShareContext *c) {
        const Config *config = c->gateway->config;
        const ConfigTenant *tenant = config_tenant(config, c->share.tenant);
        const char *zone = json_string_value(json_object_get(share_details(c), "zone"));

        if (!zone && tenant)
                zone = tenant->time_zone;
        if (!zone)
                zone = config->time_zone;
        return (QuietZone){ offset_of, (void *) zone };
}

/* Of a policy that is gone, what is sure. */
static FallbackRules rules_of(ShareContext *c) {
        const ConfigPolicy *policy = config_policy(c->gateway->config, c->share.policy);

        return policy ? policy->fallback : fallback_default();
}

static int64_t timeout_of(const ConfigPolicy *policy, const ConfigChannel *channel) {
        for (size_t i = 0; policy && i < policy->n_channels; i++)
                if (policy->channels[i] == channel)
                        return policy->timeouts[i];
        return 0;
}

/* The steps as policy/fallback.h sees them. Returns how many there are. */
static size_t steps_of(ShareContext *c, FallbackStep ret[SHARE_ADDRESSES_MAX]) {
        const ConfigPolicy *policy = config_policy(c->gateway->config, c->share.policy);
        int n = share_n_steps(c);

        for (int i = 0; i < n && i < SHARE_ADDRESSES_MAX; i++) {
                const ConfigChannel *channel;
                const char *address;

                ret[i] = (FallbackStep){ 0 };
                if (!share_route(c, i, &address, &channel))
                        continue;
                ret[i].is_there = true;
                ret[i].authentic = channel->authentic;
                ret[i].timeout = timeout_of(policy, channel);
        }
        return (size_t) n;
}

/* The stricter of the minimum at creation and the present one. */
static RulesAuthentic minimum_of(ShareContext *c) {
        const ConfigPolicy *policy = config_policy(c->gateway->config, c->share.policy);
        RulesAuthentic then = c->share.rules.minimum_authentic;

        return policy && policy->rules.minimum_authentic > then ? policy->rules.minimum_authentic
                                                                : then;
}

/* --- sending, or seeming to --- */

/* Whether the present step has an invitation already, which is repeated with the same bytes. */
static int was_written(ShareContext *c) {
        _cleanup_(freep) uint8_t *body = NULL;
        OutboxKind kind;
        int r, part, step;
        size_t size;

        r = store_message_find(c->gateway->store, c->share.n, OUTBOX_INVITATION, &part);
        if (r == 0)
                r = store_message_get(
                                c->gateway->store, c->share.n, part, &kind, &step, &body, &size);
        return r < 0 ? r : r == 0 && step == c->share.step;
}

static void begin_to_pretend(ShareContext *c) {
        c->share.flags |= SHARE_PRETENDS;
        c->share.due = c->now + PRETEND_FIRST + randombytes_uniform(PRETEND_SPREAD);
}

static bool has_timeouts(const ConfigPolicy *policy) {
        for (size_t i = 0; policy && i < policy->n_channels; i++)
                if (policy->timeouts[i] > 0)
                        return true;
        return false;
}

/* Silence begins when the invitation is queued, and once more when a carrier takes it: one that is
 * away for longer than the step lasts is as silent as a person. */
static void begin_to_wait(ShareContext *c) {
        FallbackRules rules = rules_of(c);
        FallbackStep steps[SHARE_ADDRESSES_MAX];
        Share *s = &c->share;
        QuietZone zone;
        size_t n;

        if (s->flags & (SHARE_ANSWERED | SHARE_STEP_DECIDED))
                return;
        s->step_until = 0;
        if (!has_timeouts(config_policy(c->gateway->config, s->policy)))
                return;
        n = steps_of(c, steps);
        zone = zone_of(c);
        if ((size_t) s->step < n)
                s->step_until = fallback_until(&rules,
                                &steps[s->step],
                                fallback_next(steps, n, s->step, minimum_of(c)) != FALLBACK_NO_STEP,
                                c->now,
                                &zone);
}

/* True: it is night, and the invitation leaves in the morning. */
static bool wait_for_morning(ShareContext *c) {
        FallbackRules rules = rules_of(c);
        Share *s = &c->share;
        QuietZone zone;

        if (rules.quiet.from == rules.quiet.until)
                return false;
        zone = zone_of(c);
        if (!quiet_is(&rules.quiet, c->now, &zone))
                return false;
        if (!(s->flags & (SHARE_WAITS_FOR_MORNING | SHARE_STEP_DECIDED))) {
                share_note(s, c->now, TIMELINE_QUIET_HOURS, 0, s->step);
                s->flags |= SHARE_WAITS_FOR_MORNING;
                s->step_until = quiet_end(&rules.quiet, c->now, &zone);
        }
        return true;
}

int fallback_postpone(ShareContext *c) {
        int r;

        if (!wait_for_morning(c))
                return 0;
        share_set_due(c);
        r = share_save(c);
        return r < 0 ? r : FALLBACK_POSTPONED;
}

int fallback_invite(ShareContext *c) {
        const ConfigChannel *channel;
        const char *address;
        int r;

        if (wait_for_morning(c))
                return 0;
        if (!share_route(c, c->share.step, &address, &channel))
                return c->error < 0 ? c->error : -ESTALE;
        begin_to_wait(c);
        r = block_has(c->gateway, c->share.tenant, address);
        if (r < 0)
                return r;
        if (r == STORE_E_EXISTS || c->share.flags & SHARE_SUPPRESSED) {
                begin_to_pretend(c);
                return 0;
        }
        r = share_know_address(c, address);
        if (r >= 0)
                r = was_written(c);
        return r < 0 ? r : message_invite(c, r > 0);
}

/* --- from one step to the next --- */

/* Those that were left out on the way. */
static void note_skipped(ShareContext *c, int from, int to) {
        for (int i = from + 1; i < to; i++)
                share_note(&c->share, c->now, TIMELINE_STEP_SKIPPED, 0, i);
}

int fallback_begin(ShareContext *c) {
        FallbackStep steps[SHARE_ADDRESSES_MAX];
        size_t n = steps_of(c, steps);
        int first = fallback_next(steps, n, -1, minimum_of(c)), r;

        if (first == FALLBACK_NO_STEP)
                return c->error < 0 ? c->error : -EINVAL;
        note_skipped(c, -1, first);
        c->share.step = first;
        r = fallback_invite(c);
        if (r >= 0)
                share_set_due(c);
        return r;
}

/* A code of ours dies with the step that it was made for. */
static int leave_step(ShareContext *c) {
        Share *s = &c->share;
        OutboxRow row;
        int r, part;

        s->step_until = 0;
        s->flags &= ~(SHARE_PRETENDS | SHARE_WAITS_FOR_MORNING | SHARE_STEP_DECIDED |
                        SHARE_ANSWERED);
        /* What no carrier was asked to take must not come when somebody else has been asked. */
        r = store_message_find(c->gateway->store, s->n, OUTBOX_INVITATION, &part);
        if (r == 0)
                r = store_outbox_get(c->gateway->store, s->n, part, &row);
        if (r == 0 && row.attempts == 0)
                r = store_outbox_remove(c->gateway->store, s->n, part);
        if (r >= 0 && s->code_expires > 0 && share_may_step(c, LIFECYCLE_EVENT_CODE_LAPSED)) {
                share_note(s, c->now, TIMELINE_CODE_LAPSED, 0, s->code_step);
                r = share_step(c, LIFECYCLE_EVENT_CODE_LAPSED);
        }
        return r < 0 ? r : 0;
}

static int take_step(ShareContext *c, int next) {
        int r;

        note_skipped(c, c->share.step, next);
        r = leave_step(c);
        if (r < 0)
                return r;
        c->share.step = next;
        share_note(&c->share, c->now, TIMELINE_FALLBACK, 0, next);
        return fallback_invite(c);
}

/* The next step is wanted: now, or when the sender has been told, or in the morning. */
static int decide(ShareContext *c, const FallbackStep *steps, int next) {
        FallbackRules rules = rules_of(c);
        QuietZone zone = zone_of(c);
        Share *s = &c->share;
        FallbackPlan plan = fallback_plan(&rules, &steps[s->step], &steps[next], c->now, &zone);

        if (plan.at <= c->now)
                return take_step(c, next);
        if (plan.tell_first)
                share_note(s, c->now, TIMELINE_STEP_DOWN_PENDING, 0, next);
        if (plan.is_night)
                share_note(s, c->now, TIMELINE_QUIET_HOURS, 0, next);
        s->flags |= SHARE_STEP_DECIDED;
        s->flags &= ~SHARE_WAITS_FOR_MORNING;
        s->step_until = plan.at;
        return 0;
}

/* FALLBACK_NO_STEP: the share stays where it is. */
static int next_of(ShareContext *c, FallbackCause cause, FallbackStep steps[SHARE_ADDRESSES_MAX]) {
        size_t n = steps_of(c, steps);

        if (c->error < 0 || !(rules_of(c).on & cause) || (size_t) c->share.step >= n)
                return FALLBACK_NO_STEP;
        return fallback_next(steps, n, c->share.step, minimum_of(c));
}

/* An invitation that was delivered at an earlier step is still an open challenge. */
static bool is_open_elsewhere(const Share *s, int failed_step) {
        for (int i = 0; i < s->n_timeline; i++)
                if (s->timeline[i].event == TIMELINE_DELIVERED &&
                                s->timeline[i].step != failed_step)
                        return true;
        return false;
}

int fallback_failed(ShareContext *c, int failed_step) {
        FallbackStep steps[SHARE_ADDRESSES_MAX];
        Share *s = &c->share;
        int next, r;

        share_note(s, c->now, TIMELINE_NOT_DELIVERED, OUTBOX_INVITATION, failed_step);
        if (failed_step != s->step || s->flags & SHARE_STEP_DECIDED)
                return 0; /* the challenge is open elsewhere, or will be */
        next = next_of(c, FALLBACK_FAILED, steps);
        if (c->error < 0)
                return c->error;
        if (next != FALLBACK_NO_STEP) {
                r = decide(c, steps, next);
                if (r >= 0)
                        share_set_due(c);
                return r;
        }
        if (is_open_elsewhere(s, failed_step))
                return 0;
        return share_step(c, LIFECYCLE_EVENT_UNDELIVERABLE);
}

/* --- what happens meanwhile --- */

void fallback_taken(ShareContext *c, int step) {
        if (step != c->share.step || c->share.flags & SHARE_WAITS_FOR_MORNING)
                return;
        begin_to_wait(c);
        share_set_due(c);
}

int fallback_accepted(ShareContext *c, int step) {
        int r;

        if (!share_may_step(c, LIFECYCLE_EVENT_INVITATION_TAKEN))
                return 0;
        share_note(&c->share, c->now, TIMELINE_INVITATION_ACCEPTED, 0, step);
        r = share_step(c, LIFECYCLE_EVENT_INVITATION_TAKEN);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        fallback_taken(c, step);
        share_set_due(c);
        return share_save(c);
}

void fallback_answered(ShareContext *c) {
        Share *s = &c->share;

        if (s->state != LIFECYCLE_PENDING && s->state != LIFECYCLE_INVITED)
                return;
        if (!(s->flags & SHARE_WAITS_FOR_MORNING))
                s->step_until = 0;
        s->flags |= SHARE_ANSWERED;
        s->flags &= ~SHARE_STEP_DECIDED;
        share_set_due(c);
}

bool fallback_is_closed(ShareContext *c, const char *channel, const char *address) {
        int step;

        return rules_of(c).close && share_has_address(c, channel, address, &step) &&
               step < c->share.step;
}

/* When another's invitation would have been made: what there was before that was noted. */
static int64_t pretending_since(const ShareContext *c) {
        const Share *s = &c->share;

        return s->created + (s->n_timeline > 0 ? s->timeline[s->n_timeline - 1].at : 0);
}

/* The invitation is taken when another would be: while a carrier is away, or limits are reached,
 * all wait; and it counts as another does. */
static int pretend(ShareContext *c) {
        const ConfigChannel *channel;
        const char *address;
        int64_t wait = 0;
        int r = 0;

        if (share_route(c, c->share.step, &address, &channel)) {
                if (!outbox_lane_flows(c->gateway->outbox, channel->name))
                        wait = PRETEND_AGAIN + randombytes_uniform(PRETEND_AGAIN_SPREAD);
                else
                        r = limit_take_message(c,
                                        &(LimitMessage){ .kind = OUTBOX_INVITATION,
                                                        .address = address,
                                                        .channel = channel,
                                                        .made = pretending_since(c) },
                                        &wait);
        }
        if (r < 0)
                return r;
        if (wait > 0) {
                c->share.due = c->now + wait;
                share_set_due(c);
                return store_share_update(c->gateway->store, &c->share);
        }
        c->share.flags &= ~SHARE_PRETENDS;
        return fallback_accepted(c, c->share.step);
}

bool fallback_is_due(const ShareContext *c) {
        const Share *s = &c->share;

        if ((s->state != LIFECYCLE_PENDING && s->state != LIFECYCLE_INVITED) || c->now > s->expires)
                return false;
        return s->flags & SHARE_PRETENDS || (s->step_until > 0 && s->step_until <= c->now);
}

/* Nobody has answered in time. */
static int silence(ShareContext *c) {
        FallbackStep steps[SHARE_ADDRESSES_MAX];
        int next = next_of(c, FALLBACK_SILENCE, steps);

        if (next == FALLBACK_NO_STEP)
                return c->error;
        share_note(&c->share, c->now, TIMELINE_NO_ANSWER, 0, c->share.step);
        return decide(c, steps, next);
}

/* A step that was decided on is looked for again: the configuration may be another. */
static int go_on(ShareContext *c) {
        FallbackStep steps[SHARE_ADDRESSES_MAX];
        int next = next_of(c, FALLBACK_FAILED | FALLBACK_SILENCE, steps);

        if (next == FALLBACK_NO_STEP) {
                c->share.flags &= ~SHARE_STEP_DECIDED;
                return c->error;
        }
        return take_step(c, next);
}

int fallback_due(ShareContext *c) {
        Share *s = &c->share;
        int flags = s->flags, r;

        if (flags & SHARE_PRETENDS && (s->step_until == 0 || s->step_until > c->now))
                return pretend(c);
        s->step_until = 0;
        s->flags &= ~(SHARE_WAITS_FOR_MORNING | SHARE_STEP_DECIDED);
        if (flags & SHARE_WAITS_FOR_MORNING)
                r = fallback_invite(c);
        else if (flags & SHARE_STEP_DECIDED)
                r = go_on(c);
        else
                r = silence(c);
        if (r == -ESTALE && c->error == 0) /* its channel is configured no more */
                r = fallback_failed(c, s->step);
        if (r < 0)
                return r;
        share_set_due(c);
        return share_save(c);
}
