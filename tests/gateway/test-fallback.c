/* The steps of a share's fallback, by a clock that is moved by hand: on a whole gateway whose
 * plugins never connect. Sweeps and answers of carriers are played. */
#include "test.h"

#include <stdio.h>

#include "log.h"
#include "world.h"

enum { SHARE = 7, MINUTE = 60, HOUR = 3600, DAY = 24 * HOUR };

/* Noon of a day in winter, in Berlin; the 14th of January 2027. */
static const int64_t noon = INT64_C(1799924400);

static ConfigPolicy *policy(Gateway *g) {
        return (ConfigPolicy *) config_policy(g->config, "hotel");
}

static ConfigChannel *channel(Gateway *g, const char *name) {
        return (ConfigChannel *) config_channel(g->config, name);
}

static void set_time(Gateway *g, int64_t now) {
        g->clock.base += now - gateway_now(g);
}

/* Two minutes for the first channel, which knows senders as well as the second. */
static int setup(void **state) {
        int r = world_setup(state);
        Gateway *g = ((World *) *state)->gateway;

        policy(g)->timeouts[0] = 2 * MINUTE;
        channel(g, "echo")->authentic = channel(g, "lamp")->authentic = RULES_AUTHENTIC_STRONG;
        g->config->time_zone = "Europe/Berlin";
        set_time(g, noon);
        return r;
}

static void begin(Gateway *g) {
        assert_int_equal(store_begin(g->store), 0);
}

static void commit(Gateway *g) {
        assert_int_equal(store_commit(g->store), 0);
}

/* A share with these addresses; NULL is none. */
static void make(Gateway *g, int64_t n, const char *first, const char *second, const char *third) {
        const char *const addresses[] = { first, second, third };
        static const char *const channels[] = { "echo", "lamp", "lamp" };
        uint8_t wrapped[VAULT_WRAPPED_SIZE];
        ShareContext c = { .gateway = g, .has_key = true, .now = gateway_now(g) };

        c.share = world_share(n, LIFECYCLE_PENDING);
        c.share.created = c.now;
        c.share.expires = c.now + DAY;
        c.share.key = wrapped;
        vault_key_make(g->vault, n, &c.key, wrapped);
        c.details = json_pack("{s:s, s:[]}", "sender", "Hotel Adler", "steps");
        for (size_t i = 0; i < N_ELEMENTS(addresses); i++)
                if (addresses[i])
                        assert_int_equal(json_array_append_new(json_object_get(c.details, "steps"),
                                                         json_pack("[s,s]",
                                                                         addresses[i],
                                                                         channels[i])),
                                        0);
        begin(g);
        assert_int_equal(share_put_content(&c, NULL), 0);
        assert_int_equal(fallback_begin(&c), 0);
        assert_int_equal(store_share_insert(g->store, &c.share), 0);
        commit(g);
        json_decref(c.details);
        vault_key_done(&c.key);
}

static Share load(Gateway *g, int64_t n) {
        Share share;

        assert_int_equal(store_share_load(g->store, n, &share), 0);
        return share;
}

/* The timeline in short: a letter for each event, and its step. */
static const char *story(Gateway *g, int64_t n) {
        static const char letters[_TIMELINE_MAX] = { [TIMELINE_INVITATION_ACCEPTED] = 'a',
                [TIMELINE_NOT_DELIVERED] = 'f',
                [TIMELINE_FALLBACK] = 's',
                [TIMELINE_STEP_DOWN_PENDING] = 'p',
                [TIMELINE_NO_ANSWER] = 'n',
                [TIMELINE_STEP_SKIPPED] = 'x',
                [TIMELINE_QUIET_HOURS] = 'q',
                [TIMELINE_CODE_LAPSED] = 'c',
                [TIMELINE_RESENT] = 'r',
                [TIMELINE_ENDED] = 'e' };
        static char text[3 * SHARE_TIMELINE_MAX + 1];
        Share share = load(g, n);
        size_t used = 0;

        text[0] = 0;
        for (int i = 0; i < share.n_timeline; i++) {
                char letter = letters[share.timeline[i].event];

                used += (size_t) snprintf(text + used,
                                sizeof(text) - used,
                                "%s%c%d",
                                i ? " " : "",
                                letter ? letter : '?',
                                share.timeline[i].step);
        }
        share_done(&share);
        return text;
}

static int64_t due_of(Gateway *g, int64_t n) {
        Share share = load(g, n);
        int64_t due = share.due;

        share_done(&share);
        return due;
}

static int flags_of(Gateway *g, int64_t n) {
        Share share = load(g, n);
        int flags = share.flags;

        share_done(&share);
        return flags;
}

/* The sweep of one moment, if the share is due then. Returns whether something was done. */
static bool sweep_at(Gateway *g, int64_t n, int64_t now) {
        ShareContext c;
        bool is_due;

        set_time(g, now);
        if (due_of(g, n) > now)
                return false;
        begin(g);
        assert_int_equal(share_context_load(&c, g, n), 0);
        is_due = fallback_is_due(&c);
        if (is_due)
                assert_int_equal(fallback_due(&c), 0);
        share_context_done(&c);
        commit(g);
        return is_due;
}

/* The row of the newest invitation; false: it has none. */
static bool queued(Gateway *g, int64_t n, OutboxRow *ret) {
        int part;

        return store_message_find(g->store, n, OUTBOX_INVITATION, &part) == 0 &&
               store_outbox_get(g->store, n, part, ret) == 0;
}

static bool is_queued(Gateway *g, int64_t n) {
        OutboxRow row;

        return queued(g, n, &row);
}

static void answer(Gateway *g, int64_t n, json_t *frame) {
        ShareContext c;
        uint64_t retry;
        OutboxRow row;

        assert_true(queued(g, n, &row));
        row.attempts = 1;
        begin(g);
        assert_int_equal(share_context_load(&c, g, n), 0);
        assert_int_equal(channel_answered(&c, &row, frame, &retry), OUTBOX_VERDICT_DONE);
        share_context_done(&c);
        commit(g);
        json_decref(frame);
}

static void carrier_takes(Gateway *g, int64_t n) {
        answer(g, n, json_pack("{s:s}", "type", "sent"));
}

static void carrier_refuses(Gateway *g, int64_t n) {
        answer(g, n, json_pack("{s:s, s:b, s:s}", "type", "failed", "permanent", 1, "reason", "x"));
}

static void with(Gateway *g, int64_t n, void (*act)(ShareContext *c)) {
        ShareContext c;

        begin(g);
        assert_int_equal(share_context_load(&c, g, n), 0);
        act(&c);
        assert_int_equal(share_save(&c), 0);
        share_context_done(&c);
        commit(g);
}

/* --- timeouts --- */

static void silence_leads_on_when_its_time_is_over_and_not_before(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        OutboxRow row;

        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        set_time(g, noon + 10);
        carrier_takes(g, SHARE);
        assert_int_equal(due_of(g, SHARE), noon + 10 + 2 * MINUTE);
        assert_false(sweep_at(g, SHARE, noon + 9 + 2 * MINUTE));
        assert_string_equal(story(g, SHARE), "a0");
        assert_true(sweep_at(g, SHARE, noon + 10 + 2 * MINUTE));
        assert_string_equal(story(g, SHARE), "a0 n0 s1");
        assert_true(queued(g, SHARE, &row));
        assert_string_equal(row.lane, "lamp");
        carrier_takes(g, SHARE);
        assert_int_equal(due_of(g, SHARE), noon + DAY + 1); /* the last is waited for */
}

static void a_carrier_that_is_away_is_as_silent_as_a_person(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        OutboxRow row = { 0 };

        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        assert_true(sweep_at(g, SHARE, noon + 2 * MINUTE));
        assert_string_equal(story(g, SHARE), "n0 s1");
        assert_int_equal(store_outbox_get(g->store, SHARE, 0, &row), STORE_E_NOT_FOUND);
        assert_true(queued(g, SHARE, &row));
        assert_int_equal(row.part, 1);
}

static void who_answers_is_not_passed_over(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_takes(g, SHARE);
        with(g, SHARE, fallback_answered);
        assert_int_equal(due_of(g, SHARE), noon + DAY + 1);
        assert_false(sweep_at(g, SHARE, noon + HOUR));
        assert_string_equal(story(g, SHARE), "a0");
}

static void a_policy_that_names_failure_alone_waits_in_silence(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        policy(g)->fallback.on = FALLBACK_FAILED;
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_takes(g, SHARE);
        assert_int_equal(due_of(g, SHARE), noon + DAY + 1);
}

static void a_policy_that_names_silence_alone_ends_with_a_failure(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        policy(g)->fallback.on = FALLBACK_SILENCE;
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_refuses(g, SHARE);
        assert_string_equal(story(g, SHARE), "f0 e0");
}

static void a_policy_that_is_another_by_then_decides(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_takes(g, SHARE);
        policy(g)->rules.minimum_authentic = RULES_AUTHENTIC_STRONG;
        channel(g, "lamp")->authentic = RULES_AUTHENTIC_WEAK;
        assert_true(sweep_at(g, SHARE, noon + 2 * MINUTE));
        assert_string_equal(story(g, SHARE), "a0"); /* nobody is left to ask */
        assert_int_equal(due_of(g, SHARE), noon + DAY + 1);
}

/* --- a weaker channel --- */

static void weaken(Gateway *g) {
        channel(g, "lamp")->authentic = RULES_AUTHENTIC_WEAK;
}

static void a_step_down_is_told_and_taken_later(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        weaken(g);
        make(g, SHARE, "echo:bob", "echo:bob2", "echo:bob3");
        carrier_refuses(g, SHARE);
        assert_string_equal(story(g, SHARE), "f0 p1");
        assert_false(is_queued(g, SHARE));
        assert_false(sweep_at(g, SHARE, noon + FALLBACK_ANNOUNCE_DEFAULT - 1));
        assert_true(sweep_at(g, SHARE, noon + FALLBACK_ANNOUNCE_DEFAULT));
        assert_string_equal(story(g, SHARE), "f0 p1 s1");
        assert_true(is_queued(g, SHARE));
        carrier_refuses(g, SHARE); /* the third is no weaker than the second */
        assert_string_equal(story(g, SHARE), "f0 p1 s1 f1 s2");
}

static void a_step_down_is_not_taken_when_somebody_answers_or_the_sender_cancels(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        ShareContext c;

        weaken(g);
        for (int64_t n = SHARE; n < SHARE + 2; n++) {
                make(g, n, "echo:bob", "echo:bob2", NULL);
                carrier_takes(g, n);
        }
        for (int64_t n = SHARE; n < SHARE + 2; n++) {
                assert_true(sweep_at(g, n, noon + 2 * MINUTE));
                assert_string_equal(story(g, n), "a0 n0 p1");
        }
        with(g, SHARE, fallback_answered);
        assert_false(sweep_at(g, SHARE, noon + HOUR));
        assert_string_equal(story(g, SHARE), "a0 n0 p1");

        set_time(g, noon + 3 * MINUTE);
        begin(g);
        assert_int_equal(share_context_load(&c, g, SHARE + 1), 0);
        assert_int_equal(share_step(&c, LIFECYCLE_EVENT_CANCEL), 0);
        assert_int_equal(share_save(&c), 0);
        share_context_done(&c);
        commit(g);
        assert_false(sweep_at(g, SHARE + 1, noon + HOUR));
        assert_string_equal(story(g, SHARE + 1), "a0 n0 p1 e0");
}

static void a_silent_policy_steps_down_at_once(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        weaken(g);
        policy(g)->fallback.announced = false;
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_refuses(g, SHARE);
        assert_string_equal(story(g, SHARE), "f0 s1");
}

static void what_is_too_weak_is_skipped_from_the_first(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        channel(g, "echo")->authentic = RULES_AUTHENTIC_WEAK;
        policy(g)->rules.minimum_authentic = RULES_AUTHENTIC_STRONG;
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        assert_string_equal(story(g, SHARE), "x0");
        carrier_takes(g, SHARE);
        assert_string_equal(story(g, SHARE), "x0 a1");
}

/* --- the night; quiet from nine to eight --- */

static void sleep_at_night(Gateway *g) {
        policy(g)->fallback.quiet = (QuietHours){ 21 * 60, 8 * 60 };
}

static void an_invitation_waits_for_the_morning(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        sleep_at_night(g);
        set_time(g, noon + 10 * HOUR);
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        assert_false(is_queued(g, SHARE));
        assert_string_equal(story(g, SHARE), "q0");
        assert_int_equal(due_of(g, SHARE), noon + 20 * HOUR);
        assert_false(sweep_at(g, SHARE, noon + 20 * HOUR - 1));
        assert_true(sweep_at(g, SHARE, noon + 20 * HOUR));
        assert_true(is_queued(g, SHARE));
        assert_string_equal(story(g, SHARE), "q0");
        carrier_takes(g, SHARE);
        assert_int_equal(due_of(g, SHARE), noon + 20 * HOUR + 2 * MINUTE);
}

static void a_channel_that_is_gone_in_the_morning_has_failed(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        const char *name = channel(g, "echo")->name;

        sleep_at_night(g);
        set_time(g, noon + 10 * HOUR);
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        channel(g, "echo")->name = "another";
        assert_true(sweep_at(g, SHARE, noon + 20 * HOUR));
        assert_string_equal(story(g, SHARE), "q0 f0 s1");
        assert_true(is_queued(g, SHARE));
        channel(g, "another")->name = name;
}

static void the_night_is_where_the_recipient_is(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        ConfigTenant *tenant = (ConfigTenant *) config_tenant(g->config, "adler");

        sleep_at_night(g);
        tenant->time_zone = "Asia/Tokyo"; /* eight in the evening, and nine an hour later */
        make(g, SHARE, "echo:bob", NULL, NULL);
        assert_true(is_queued(g, SHARE));
        set_time(g, noon + HOUR);
        make(g, SHARE + 1, "echo:bob", NULL, NULL);
        assert_false(is_queued(g, SHARE + 1));
        assert_int_equal(due_of(g, SHARE + 1), noon + 12 * HOUR);
}

static void a_share_may_end_in_the_night(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        ShareContext c;

        sleep_at_night(g);
        set_time(g, noon + 10 * HOUR);
        make(g, SHARE, "echo:bob", NULL, NULL);
        begin(g);
        assert_int_equal(share_context_load(&c, g, SHARE), 0);
        c.share.expires = noon + 11 * HOUR;
        share_set_due(&c);
        assert_int_equal(c.share.due, noon + 11 * HOUR + 1);
        c.now = noon + 21 * HOUR;
        assert_false(fallback_is_due(&c)); /* the sweep ends it */
        share_context_done(&c);
        commit(g);
}

static void a_timeout_stands_still_at_night(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        sleep_at_night(g);
        set_time(g, noon + 9 * HOUR - MINUTE);
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_takes(g, SHARE);
        assert_int_equal(due_of(g, SHARE), noon + 20 * HOUR + MINUTE);
}

static void a_step_of_the_night_is_taken_in_the_morning(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        sleep_at_night(g);
        set_time(g, noon + 9 * HOUR - 10);
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        set_time(g, noon + 9 * HOUR + 10);
        carrier_refuses(g, SHARE);
        assert_string_equal(story(g, SHARE), "f0 q1");
        assert_false(is_queued(g, SHARE));
        assert_true(sweep_at(g, SHARE, noon + 20 * HOUR));
        assert_string_equal(story(g, SHARE), "f0 q1 s1");
        assert_true(is_queued(g, SHARE));
}

static void what_no_carrier_took_before_nine_leaves_at_eight_with_the_same_bytes(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        OutboxRow row, again;
        OutboxItem item = { 0 };
        json_t *frame = NULL;
        ShareContext c;

        sleep_at_night(g);
        set_time(g, noon + 9 * HOUR - 10);
        make(g, SHARE, "echo:bob", NULL, NULL);
        assert_true(queued(g, SHARE, &row));
        set_time(g, noon + 9 * HOUR);
        begin(g);
        assert_int_equal(share_context_load(&c, g, SHARE), 0);
        assert_int_equal(channel_claim(&c, &row, &item, &frame), OUTBOX_VERDICT_DONE);
        share_context_done(&c);
        commit(g);
        assert_null(frame);
        assert_false(is_queued(g, SHARE));
        assert_string_equal(story(g, SHARE), "q0");
        assert_true(sweep_at(g, SHARE, noon + 20 * HOUR));
        assert_true(queued(g, SHARE, &again));
        assert_int_equal(again.part, row.part);
}

static void resend(ShareContext *c) {
        share_note(&c->share, c->now, TIMELINE_RESENT, OUTBOX_INVITATION, c->share.step);
        assert_int_equal(share_step(c, LIFECYCLE_EVENT_RESEND_INVITATION), 0);
        assert_int_equal(fallback_invite(c), 0);
        share_set_due(c);
}

static void a_repetition_waits_as_well_and_is_one(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        sleep_at_night(g);
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_takes(g, SHARE);
        with(g, SHARE, fallback_answered);
        set_time(g, noon + 10 * HOUR);
        with(g, SHARE, resend);
        with(g, SHARE, resend);
        assert_string_equal(story(g, SHARE), "a0 r0 q0 r0");
        assert_false(is_queued(g, SHARE));
        assert_true(sweep_at(g, SHARE, noon + 20 * HOUR));
        assert_true(is_queued(g, SHARE));
        carrier_takes(g, SHARE);
        assert_string_equal(story(g, SHARE), "a0 r0 q0 r0 a0");
        assert_int_equal(due_of(g, SHARE), noon + DAY + 1);
}

/* --- who is blocked --- */

static void block(Gateway *g, const char *tenant, const char *address) {
        begin(g);
        assert_int_equal(block_put(g, tenant, address, BLOCK_STOP, 30 * DAY), 0);
        commit(g);
}

static void assert_alike(Gateway *g, const char *wanted) {
        Share free = load(g, SHARE), blocked = load(g, SHARE + 1);

        assert_string_equal(story(g, SHARE), wanted);
        assert_string_equal(story(g, SHARE + 1), wanted);
        assert_int_equal(free.version, blocked.version);
        assert_int_equal(free.state, blocked.state);
        assert_in_range(llabs(free.step_until - blocked.step_until), 0, 4);
        share_done(&free);
        share_done(&blocked);
}

/* No carrier is there, for the one and for whom it is played. */
static void who_is_blocked_looks_like_who_does_not_answer(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        weaken(g);
        sleep_at_night(g);
        block(g, "adler", "echo:eve");
        block(g, "", "echo:eve2");
        set_time(g, noon + 9 * HOUR - 90);
        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        make(g, SHARE + 1, "echo:eve", "echo:eve2", NULL);
        assert_alike(g, "");
        assert_false(is_queued(g, SHARE + 1));
        with(g, SHARE, resend);
        with(g, SHARE + 1, resend);
        assert_alike(g, "r0");
        /* The time of the first is over in the morning, and then the weaker one is told. */
        for (int64_t n = SHARE; n <= SHARE + 1; n++)
                assert_true(sweep_at(g, n, noon + 20 * HOUR + MINUTE));
        assert_alike(g, "r0 n0 p1");
        for (int64_t n = SHARE; n <= SHARE + 1; n++)
                assert_true(sweep_at(g, n, noon + 20 * HOUR + 6 * MINUTE + 5));
        assert_alike(g, "r0 n0 p1 s1");
        assert_true(is_queued(g, SHARE));
        assert_false(is_queued(g, SHARE + 1));
        assert_int_equal(store_message_find(g->store, SHARE + 1, OUTBOX_INVITATION, &(int){ 0 }),
                        STORE_E_NOT_FOUND);
}

static int count_share(int64_t n, void *userdata) {
        (void) n;
        ++*(int *) userdata;
        return 0;
}

static int shares_of(Gateway *g, const char *address) {
        uint8_t index[VAULT_INDEX_SIZE];
        int n = 0;

        vault_index_address(g->vault, address, index);
        assert_int_equal(store_address_each(g->store, index, false, 10, count_share, &n), 0);
        return n;
}

static void the_addresses_that_are_free_are_written_to(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        block(g, "adler", "echo:bob2");
        block(g, "baer", "echo:bob"); /* another tenant's affair */
        make(g, SHARE, "echo:bob", "echo:bob2", "echo:bob3");
        assert_int_equal(shares_of(g, "echo:bob"), 1);
        carrier_refuses(g, SHARE);
        assert_string_equal(story(g, SHARE), "f0 s1");
        assert_false(is_queued(g, SHARE));
        assert_int_equal(shares_of(g, "echo:bob2"), 0); /* no answer can be about it */
        assert_int_equal(flags_of(g, SHARE) & SHARE_PRETENDS, SHARE_PRETENDS);
        assert_in_range(due_of(g, SHARE) - noon, 1, 3);
}

static void a_block_of_meanwhile_stops_the_next_repetition_and_a_lift_lets_it_go(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make(g, SHARE, "echo:bob", NULL, NULL);
        carrier_takes(g, SHARE);
        block(g, "adler", "echo:bob");
        with(g, SHARE, resend);
        assert_false(is_queued(g, SHARE));
        begin(g);
        assert_int_equal(block_lift(g, "adler", "echo:bob"), 0);
        assert_int_equal(block_lift(g, "adler", "echo:bob"), STORE_E_NOT_FOUND);
        commit(g);
        with(g, SHARE, resend);
        assert_true(is_queued(g, SHARE));
}

static void an_alias_is_the_same_person(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        block(g, "adler", "mailto:Bob+hotel@example.org");
        assert_int_equal(block_has(g, "adler", "mailto:bob@example.org"), STORE_E_EXISTS);
        assert_int_equal(block_has(g, "adler", "mailto:bob+spa@example.org"), STORE_E_EXISTS);
        assert_int_equal(block_has(g, "baer", "mailto:bob@example.org"), 0);
        assert_int_equal(block_has(g, "adler", "mailto:bobby@example.org"), 0);
        assert_int_equal(block_has(g, "adler", "xmpp:bob@example.org"), 0);
}

/* --- codes, earlier steps, clocks --- */

static void have_code(ShareContext *c) {
        c->share.state = LIFECYCLE_INVITED;
        c->share.code_expires = c->now + 600;
        c->share.codes = 1;
        c->share.code = calloc(1, VAULT_VERIFIER_SIZE);
}

static void a_code_of_ours_dies_with_its_step(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        Share share;

        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        with(g, SHARE, have_code);
        carrier_refuses(g, SHARE);
        assert_string_equal(story(g, SHARE), "f0 c0 s1");
        share = load(g, SHARE);
        assert_null(share.code);
        assert_int_equal(share.code_expires, 0);
        share_done(&share);
}

static void earlier_steps_are_open_unless_the_policy_closes_them(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        ShareContext c;

        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_refuses(g, SHARE);
        begin(g);
        assert_int_equal(share_context_load(&c, g, SHARE), 0);
        assert_false(fallback_is_closed(&c, "echo", "echo:bob"));
        policy(g)->fallback.close = true;
        assert_true(fallback_is_closed(&c, "echo", "echo:bob"));
        assert_false(fallback_is_closed(&c, "lamp", "echo:bob2"));
        assert_false(fallback_is_closed(&c, "echo", "echo:eve"));
        share_context_done(&c);
        commit(g);
}

static void a_wall_clock_that_jumps_by_a_day_moves_no_step(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        int64_t before = gateway_now(g);

        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_takes(g, SHARE);
        (void) clock_observe(&g->clock, before + DAY, time_boot());
        assert_false(sweep_at(g, SHARE, gateway_now(g)));
        (void) clock_observe(&g->clock, before - DAY, time_boot());
        assert_in_range(gateway_now(g) - before, 0, 60);
        assert_int_equal(due_of(g, SHARE), before + 2 * MINUTE);
}

static void a_restart_with_a_clock_that_went_back_extends_nothing(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make(g, SHARE, "echo:bob", "echo:bob2", NULL);
        carrier_takes(g, SHARE);
        clock_start(&g->clock, noon - DAY, noon + 2 * MINUTE, time_boot());
        assert_true(sweep_at(g, SHARE, gateway_now(g)));
        assert_string_equal(story(g, SHARE), "a0 n0 s1");
}

#define WITH_CLOCK(test) cmocka_unit_test_setup_teardown(test, setup, world_teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                WITH_CLOCK(silence_leads_on_when_its_time_is_over_and_not_before),
                WITH_CLOCK(a_carrier_that_is_away_is_as_silent_as_a_person),
                WITH_CLOCK(who_answers_is_not_passed_over),
                WITH_CLOCK(a_policy_that_names_failure_alone_waits_in_silence),
                WITH_CLOCK(a_policy_that_names_silence_alone_ends_with_a_failure),
                WITH_CLOCK(a_policy_that_is_another_by_then_decides),
                WITH_CLOCK(a_step_down_is_told_and_taken_later),
                WITH_CLOCK(a_step_down_is_not_taken_when_somebody_answers_or_the_sender_cancels),
                WITH_CLOCK(a_silent_policy_steps_down_at_once),
                WITH_CLOCK(what_is_too_weak_is_skipped_from_the_first),
                WITH_CLOCK(an_invitation_waits_for_the_morning),
                WITH_CLOCK(a_channel_that_is_gone_in_the_morning_has_failed),
                WITH_CLOCK(the_night_is_where_the_recipient_is),
                WITH_CLOCK(a_share_may_end_in_the_night),
                WITH_CLOCK(a_timeout_stands_still_at_night),
                WITH_CLOCK(a_step_of_the_night_is_taken_in_the_morning),
                WITH_CLOCK(what_no_carrier_took_before_nine_leaves_at_eight_with_the_same_bytes),
                WITH_CLOCK(a_repetition_waits_as_well_and_is_one),
                WITH_CLOCK(who_is_blocked_looks_like_who_does_not_answer),
                WITH_CLOCK(the_addresses_that_are_free_are_written_to),
                WITH_CLOCK(a_block_of_meanwhile_stops_the_next_repetition_and_a_lift_lets_it_go),
                WITH_CLOCK(an_alias_is_the_same_person),
                WITH_CLOCK(a_code_of_ours_dies_with_its_step),
                WITH_CLOCK(earlier_steps_are_open_unless_the_policy_closes_them),
                WITH_CLOCK(a_wall_clock_that_jumps_by_a_day_moves_no_step),
                WITH_CLOCK(a_restart_with_a_clock_that_went_back_extends_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
