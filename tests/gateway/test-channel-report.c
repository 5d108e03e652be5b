/* Reports: what a carrier says became of a message is acknowledged when it is durable, counts once
 * however often it is handed in, and is heard from nobody but the channel that sent the message. On
 * a whole gateway whose plugins never connect; their answers are caught where they would leave. */
#include "test.h"

#include <stdio.h>

#include "log.h"
#include "world.h"

enum { SHARE = 7, PART = 0, ASKED_MAX = 8 };

/* --- the answers --- */

static struct {
        size_t n;
        int64_t ids[ASKED_MAX];
        char types[ASKED_MAX][16];
        int64_t retry_after;
} answers;

int __wrap_plugin_link_answer(PluginRequest request, json_t *frame);

int __wrap_plugin_link_answer(PluginRequest request, json_t *frame) {
        assert_in_range(answers.n, 0, ASKED_MAX - 1);
        answers.ids[answers.n] = request.id;
        (void) snprintf(answers.types[answers.n++],
                        sizeof(answers.types[0]),
                        "%s",
                        json_string_value(json_object_get(frame, "type")));
        answers.retry_after = json_integer_value(json_object_get(frame, "retry_after"));
        json_decref(frame);
        return 0;
}

/* --- a share with two or three addresses, whose first invitation was taken by the channel echo ---
 */

static void begin(Gateway *g) {
        assert_int_equal(store_begin(g->store), 0);
}

static void commit(Gateway *g) {
        assert_int_equal(store_commit(g->store), 0);
}

static void make_share_of(Gateway *g, LifecycleState state, const char *second, const char *third) {
        uint8_t wrapped[VAULT_WRAPPED_SIZE];
        ShareContext c = { .gateway = g, .has_key = true, .now = gateway_now(g) };

        c.share = world_share(SHARE, state);
        c.share.expires = c.share.due = c.now + 1000;
        c.share.mailbox_expires = c.now + 2000;
        c.share.key = wrapped;
        vault_key_make(g->vault, SHARE, &c.key, wrapped);
        c.details = json_pack("{s:s, s:[[s,s],[s,s]]}",
                        "sender",
                        "Hotel Adler",
                        "steps",
                        "echo:bob",
                        "echo",
                        "echo:bob2",
                        second);
        if (third)
                assert_int_equal(json_array_append_new(json_object_get(c.details, "steps"),
                                                 json_pack("[s,s]", "echo:bob3", third)),
                                0);
        begin(g);
        if (state == LIFECYCLE_RELEASED)
                assert_int_equal(message_link(&c, "https://relay.example.org/m/1", false), 0);
        else
                assert_int_equal(message_invite(&c, false), 0);
        assert_int_equal(share_put_content(&c, NULL), 0);
        assert_int_equal(store_share_insert(g->store, &c.share), 0);
        assert_int_equal(store_outbox_remove(g->store, SHARE, PART), 0);
        commit(g);
        json_decref(c.details);
        vault_key_done(&c.key);
}

static void make_share(Gateway *g, LifecycleState state, const char *second) {
        make_share_of(g, state, second, NULL);
}

typedef struct Seen {
        int64_t version;
        LifecycleState state;
        int step, repeats, messages, n_timeline;
        int lines[_TIMELINE_MAX];
} Seen;

static Seen look(Gateway *g) {
        Seen seen = { 0 };
        Share share;

        assert_int_equal(store_share_load(g->store, SHARE, &share), 0);
        seen.version = share.version;
        seen.state = share.state;
        seen.step = share.step;
        seen.repeats = share.repeats;
        seen.messages = share.messages;
        seen.n_timeline = share.n_timeline;
        for (int i = 0; i < share.n_timeline; i++)
                seen.lines[share.timeline[i].event]++;
        share_done(&share);
        return seen;
}

/* What the row of the first message counts; -1: it has none, so that its channel took it. */
static int attempts(Gateway *g) {
        OutboxRow row;
        int r = store_outbox_get(g->store, SHARE, PART, &row);

        assert_true(r >= 0);
        return r == 0 ? row.attempts : -1;
}

/* Its channel was asked for it and has not answered, or has taken it. */
static void set_row(Gateway *g, bool asked) {
        OutboxRow row = { .share = SHARE, .part = PART, .kind = OUTBOX_INVITATION, .attempts = 1 };

        (void) snprintf(row.lane, sizeof(row.lane), "echo");
        begin(g);
        if (asked)
                assert_int_equal(store_outbox_put(g->store, &row), 0);
        else
                assert_int_equal(store_outbox_remove(g->store, SHARE, PART), 0);
        commit(g);
}

/* --- reports --- */

/* Takes members over; without `message` it is the share's first. */
static int ask(Gateway *g, const char *channel, int64_t id, json_t *members) {
        PluginRequest request = { .link = plugin_set_find(g->plugins, CONFIG_ROLE_CHANNEL, channel),
                .connection = 1,
                .id = id };
        char message[ID_TEXT_SIZE];
        int r;

        assert_non_null(request.link);
        assert_non_null(members);
        vault_id(g->vault, VAULT_ID_MESSAGE, SHARE, PART, message);
        if (!json_object_get(members, "message"))
                assert_int_equal(json_object_set_new(members, "message", json_string(message)), 0);
        r = channel_report(g, request, members);
        json_decref(members);
        return r;
}

/* As above, to its end; "" while there is no answer. */
static const char *report(Gateway *g, const char *channel, json_t *members) {
        answers.n = 0;
        assert_int_equal(ask(g, channel, 3, members), 0);
        engine_run(g->engine);
        return answers.n ? answers.types[0] : "";
}

static json_t *says(const char *what) {
        return json_pack("{s:s}", "says", what);
}

static json_t *failed(bool permanent, int repeat) {
        json_t *members = json_pack("{s:s, s:b, s:s}",
                        "says",
                        "failed",
                        "permanent",
                        permanent,
                        "reason",
                        "absent-subscriber");

        if (repeat >= 0)
                assert_int_equal(json_object_set_new(members, "repeat", json_integer(repeat)), 0);
        return members;
}

/* --- tests --- */

static void a_report_is_acknowledged_when_it_is_durable_and_not_before(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make_share(g, LIFECYCLE_PENDING, "echo");
        answers.n = 0;
        assert_int_equal(ask(g, "echo", 41, says("delivered")), 0);
        assert_int_equal(answers.n, 0);
        assert_int_equal(look(g).lines[TIMELINE_DELIVERED], 0);
        engine_run(g->engine);
        assert_int_equal(answers.n, 1);
        assert_int_equal(answers.ids[0], 41);
        assert_string_equal(answers.types[0], "ack");
        assert_int_equal(look(g).lines[TIMELINE_DELIVERED], 1);
        assert_int_equal(look(g).state, LIFECYCLE_INVITED);
}

static void what_could_not_be_stored_is_to_be_handed_in_again(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make_share(g, LIFECYCLE_INVITED, "echo");
        begin(g); /* so that no batch can begin; the one that tries takes it back */
        assert_string_equal(report(g, "echo", failed(true, 0)), "again");
        assert_in_range(answers.retry_after, 1, 60);
        assert_int_equal(look(g).lines[TIMELINE_NOT_DELIVERED], 0);
        assert_string_equal(report(g, "echo", failed(true, 0)), "ack");
        assert_int_equal(look(g).lines[TIMELINE_FALLBACK], 1);
}

/* Each report, twice and once more after a restart: the second and third time nothing moves. */
static void twice(World *w, json_t *members) {
        Seen first, second;
        int row;

        assert_string_equal(report(w->gateway, "echo", json_copy(members)), "ack");
        first = look(w->gateway);
        row = attempts(w->gateway);
        assert_string_equal(report(w->gateway, "echo", json_copy(members)), "ack");
        second = look(w->gateway);
        assert_memory_equal(&first, &second, sizeof(first));

        w->gateway = gateway_free(w->gateway);
        world_open(w);
        assert_string_equal(report(w->gateway, "echo", members), "ack");
        second = look(w->gateway);
        assert_memory_equal(&first, &second, sizeof(first));
        assert_int_equal(attempts(w->gateway), row);
}

static void a_delivery_told_again_is_told_once(void **state) {
        World *w = *state;

        make_share(w->gateway, LIFECYCLE_PENDING, "echo");
        twice(w, says("delivered"));
        twice(w, says("read"));
        assert_int_equal(look(w->gateway).lines[TIMELINE_DELIVERED], 1);
        assert_int_equal(look(w->gateway).lines[TIMELINE_READ], 1);
}

static void a_failure_told_again_falls_back_once(void **state) {
        World *w = *state;

        make_share(w->gateway, LIFECYCLE_INVITED, "echo");
        twice(w, failed(true, 0));
        assert_int_equal(look(w->gateway).step, 1);
        assert_int_equal(look(w->gateway).messages, 2);
        assert_int_equal(look(w->gateway).lines[TIMELINE_FALLBACK], 1);
        assert_int_equal(look(w->gateway).lines[TIMELINE_NOT_DELIVERED], 1);
}

/* A mail that its reader lets go on to a dead address comes back to whom it came from. */
static void what_has_arrived_does_not_fail_afterwards(void **state) {
        World *w = *state;

        make_share(w->gateway, LIFECYCLE_INVITED, "echo");
        assert_string_equal(report(w->gateway, "echo", says("delivered")), "ack");
        twice(w, failed(true, 0));
        twice(w, failed(false, 0));
        assert_int_equal(look(w->gateway).step, 0);
        assert_int_equal(look(w->gateway).lines[TIMELINE_NOT_DELIVERED], 0);
}

/* The share was made when the other channel was still there. */
static void a_step_whose_channel_is_gone_is_passed_over(void **state) {
        World *w = *state;

        make_share(w->gateway, LIFECYCLE_INVITED, "gone");
        twice(w, failed(true, 0));
        assert_int_equal(look(w->gateway).state, LIFECYCLE_FAILED);
        assert_int_equal(look(w->gateway).lines[TIMELINE_FALLBACK], 0);
        assert_int_equal(look(w->gateway).lines[TIMELINE_NOT_DELIVERED], 1);
}

static void the_step_after_one_whose_channel_is_gone_is_taken(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make_share_of(g, LIFECYCLE_INVITED, "gone", "lamp");
        assert_string_equal(report(g, "echo", failed(true, 0)), "ack");
        assert_int_equal(look(g).state, LIFECYCLE_INVITED);
        assert_int_equal(look(g).step, 2);
        assert_int_equal(look(g).lines[TIMELINE_FALLBACK], 1);
        assert_int_equal(look(g).messages, 2);
}

static void a_link_that_failed_and_failed_again_ends_its_share_once(void **state) {
        World *w = *state;

        make_share(w->gateway, LIFECYCLE_RELEASED, "echo");
        twice(w, failed(true, 0));
        assert_int_equal(look(w->gateway).lines[TIMELINE_NOT_DELIVERED], 1);
        assert_int_not_equal(look(w->gateway).state, LIFECYCLE_RELEASED);
}

static void a_loss_told_again_is_mended_once(void **state) {
        World *w = *state;

        make_share(w->gateway, LIFECYCLE_INVITED, "echo");
        twice(w, failed(false, 0));
        assert_int_equal(look(w->gateway).repeats, 1);
        assert_int_equal(attempts(w->gateway), 0); /* it goes out once more */
}

static void a_loss_that_was_mended_meanwhile_is_old_news(void **state) {
        World *w = *state;
        Gateway *g = w->gateway;

        make_share(g, LIFECYCLE_INVITED, "echo");
        assert_string_equal(report(g, "echo", failed(false, 0)), "ack");
        set_row(g, false); /* the repetition was taken */
        assert_string_equal(report(g, "echo", failed(false, 0)), "ack");
        assert_int_equal(look(g).repeats, 1);
        assert_int_equal(attempts(g), -1);
        assert_string_equal(report(g, "echo", failed(false, 1)), "ack");
        assert_int_equal(look(g).repeats, 2);
        assert_int_equal(attempts(g), 0);
}

/* Of whom nobody knows which repetition they mean, the one under way is enough. */
static void a_loss_of_an_unknown_repetition_adds_none_to_one_under_way(void **state) {
        World *w = *state;

        make_share(w->gateway, LIFECYCLE_INVITED, "echo");
        twice(w, failed(false, -1));
        assert_int_equal(look(w->gateway).repeats, 1);
}

/* The channel may remember that its carrier took it and say `sent`: the loss must not be forgotten
 * until that is known. */
static void a_loss_of_what_is_being_asked_for_waits_for_its_answer(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make_share(g, LIFECYCLE_INVITED, "echo");
        set_row(g, true);
        assert_string_equal(report(g, "echo", failed(false, 0)), "again");
        assert_int_equal(look(g).repeats, 0);
        set_row(g, false);
        assert_string_equal(report(g, "echo", failed(false, 0)), "ack");
        assert_int_equal(look(g).repeats, 1);
}

/* It holds nothing up, and counts as one that names none. */
static void a_loss_of_a_repetition_that_never_was_is_of_an_unknown_one(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make_share(g, LIFECYCLE_INVITED, "echo");
        set_row(g, true);
        assert_string_equal(report(g, "echo", failed(false, 7)), "ack");
        assert_int_equal(look(g).repeats, 0);
        set_row(g, false);
        assert_string_equal(report(g, "echo", failed(false, 7)), "ack");
        assert_int_equal(look(g).repeats, 1);
}

static void a_carrier_that_loses_a_message_each_time_does_not_deliver(void **state) {
        Gateway *g = ((World *) *state)->gateway;

        make_share(g, LIFECYCLE_INVITED, "echo");
        for (int i = 0; i < GATEWAY_REPEATS_MAX; i++) {
                assert_string_equal(report(g, "echo", failed(false, i)), "ack");
                set_row(g, false);
        }
        assert_int_equal(look(g).lines[TIMELINE_FALLBACK], 0);
        assert_string_equal(report(g, "echo", failed(false, GATEWAY_REPEATS_MAX)), "ack");
        assert_int_equal(look(g).lines[TIMELINE_FALLBACK], 1);
        assert_string_equal(report(g, "echo", failed(false, GATEWAY_REPEATS_MAX)), "ack");
        assert_int_equal(look(g).lines[TIMELINE_FALLBACK], 1);
}

static void a_channel_cannot_speak_of_what_another_sent(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        Seen before, after;

        make_share(g, LIFECYCLE_INVITED, "lamp");
        before = look(g);
        assert_string_equal(report(g, "lamp", failed(true, 0)), "ack");
        assert_string_equal(report(g, "lamp", failed(false, 0)), "ack");
        assert_string_equal(report(g, "lamp", says("delivered")), "ack");
        after = look(g);
        assert_memory_equal(&before, &after, sizeof(before));
}

static void what_is_about_no_message_of_ours_is_acknowledged(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        char id[ID_TEXT_SIZE];
        Seen before, after;

        make_share(g, LIFECYCLE_INVITED, "echo");
        before = look(g);
        assert_string_equal(report(g,
                                            "echo",
                                            json_pack("{s:s, s:s}",
                                                            "says",
                                                            "failed",
                                                            "message",
                                                            "<4711@carrier.example>")),
                        "ack");
        vault_id(g->vault, VAULT_ID_MESSAGE, SHARE + 1, PART, id);
        assert_string_equal(report(g,
                                            "echo",
                                            json_pack("{s:s, s:s}",
                                                            "says",
                                                            "delivered",
                                                            "message",
                                                            id)),
                        "ack");
        after = look(g);
        assert_memory_equal(&before, &after, sizeof(before));
}

static void what_is_about_a_share_that_has_ended_is_acknowledged(void **state) {
        Gateway *g = ((World *) *state)->gateway;
        Seen before, after;
        Share share;

        make_share(g, LIFECYCLE_INVITED, "echo");
        begin(g);
        assert_int_equal(store_share_load(g->store, SHARE, &share), 0);
        share.state = LIFECYCLE_CANCELLED;
        assert_int_equal(store_share_update(g->store, &share), 0);
        share_done(&share);
        commit(g);
        before = look(g);
        assert_string_equal(report(g, "echo", failed(true, 0)), "ack");
        assert_string_equal(report(g, "echo", failed(false, 0)), "ack");
        assert_string_equal(report(g, "echo", says("read")), "ack");
        after = look(g);
        assert_memory_equal(&before, &after, sizeof(before));
}

static void a_report_that_is_none_ends_the_connection(void **state) {
        static const char *const broken[] = {
                "{}",
                "{\"says\": \"lost\"}",
                "{\"says\": \"\"}",
                "{\"says\": 1}",
                "{\"says\": \"delivered\", \"message\": 7}",
                "{\"says\": \"delivered\", \"message\": \"\"}",
                "{\"says\": \"failed\", \"permanent\": \"yes\"}",
                "{\"says\": \"failed\", \"reason\": 5}",
                "{\"says\": \"failed\", \"repeat\": -1}",
                "{\"says\": \"failed\", \"repeat\": \"1\"}",
        };
        Gateway *g = ((World *) *state)->gateway;

        make_share(g, LIFECYCLE_INVITED, "echo");
        answers.n = 0;
        for (size_t i = 0; i < N_ELEMENTS(broken); i++) {
                print_message("# %s\n", broken[i]);
                assert_int_equal(ask(g, "echo", 3, json_loads(broken[i], 0, NULL)), -EPROTO);
        }
        engine_run(g->engine);
        assert_int_equal(answers.n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(a_report_is_acknowledged_when_it_is_durable_and_not_before),
                TEST(what_could_not_be_stored_is_to_be_handed_in_again),
                TEST(a_delivery_told_again_is_told_once),
                TEST(a_failure_told_again_falls_back_once),
                TEST(what_has_arrived_does_not_fail_afterwards),
                TEST(a_step_whose_channel_is_gone_is_passed_over),
                TEST(the_step_after_one_whose_channel_is_gone_is_taken),
                TEST(a_link_that_failed_and_failed_again_ends_its_share_once),
                TEST(a_loss_told_again_is_mended_once),
                TEST(a_loss_that_was_mended_meanwhile_is_old_news),
                TEST(a_loss_of_an_unknown_repetition_adds_none_to_one_under_way),
                TEST(a_loss_of_what_is_being_asked_for_waits_for_its_answer),
                TEST(a_loss_of_a_repetition_that_never_was_is_of_an_unknown_one),
                TEST(a_carrier_that_loses_a_message_each_time_does_not_deliver),
                TEST(a_channel_cannot_speak_of_what_another_sent),
                TEST(what_is_about_no_message_of_ours_is_acknowledged),
                TEST(what_is_about_a_share_that_has_ended_is_acknowledged),
                TEST(a_report_that_is_none_ends_the_connection),
        };

        log_set_max_priority(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
