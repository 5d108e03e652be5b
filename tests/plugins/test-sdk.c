/* What the SDK promises to plugins and what it refuses from gateways, with the gateway's end of the
 * socket in our hands. */
#include "peer.h"

#include <stdio.h>
#include <sysexits.h>

#include "pending.h"
#include "plugin-run.h"
#include "time-text.h"

typedef struct Fixture {
        sd_event *event;
        Plugin *plugin;
        Peer gateway;
        int start_returns;
        unsigned n_starts, n_stops, n_requests, n_answers, n_nulls;
        char setting[32], last_answer[32];
        int64_t last_id;
        bool tell_at_stop;
} Fixture;

static Fixture *fixture; /* what callbacks without a state write to */

static int start(Plugin *plugin, const json_t *settings, void **ret_state) {
        fixture->n_starts++;
        (void) snprintf(fixture->setting,
                        sizeof(fixture->setting),
                        "%s",
                        plugin_setting(settings, "host", "nowhere"));
        *ret_state = fixture;
        return fixture->start_returns;
}

/* `hold` stays open, `send` is answered at once. */
static int request(Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        Fixture *f = state;

        f->n_requests++;
        f->last_id = id;
        if (streq(type, "hold"))
                return 0;
        if (!streq(type, "send"))
                return PLUGIN_UNSUPPORTED;
        plugin_answer(plugin, id, json_pack("{s:s}", "type", "sent"));
        return 0;
}

static void stop(Plugin *plugin, void *state) {
        Fixture *f = state;

        f->n_stops++;
        if (f->tell_at_stop)
                plugin_tell_status(plugin, false, "stopping");
}

static const PluginOps ops = {
        .program = "vestibule-test",
        .role = "channel",
        .name = "test",
        .summary = "A plugin of the tests.",
        .capabilities = (const char *const[]){ "reply", "receipt", NULL },
        .start = start,
        .request = request,
        .stop = stop,
};

static void on_answer(Plugin *plugin, const json_t *answer, void *userdata) {
        Fixture *f = userdata;

        f->n_answers++;
        if (!answer)
                f->n_nulls++;
        else
                (void) snprintf(f->last_answer,
                                sizeof(f->last_answer),
                                "%s",
                                frame_text(answer, "type"));
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        int fd;

        fixture = f;
        assert_true(sd_event_new(&f->event) >= 0);
        peer_pair(&f->gateway, f->event, &fd);
        assert_int_equal(plugin_new(&f->plugin, f->event, fd, &ops, "test"), 0);
        *state = f;
        return 0;
}

static void welcome(Fixture *f) {
        json_decref(peer_hear_type(&f->gateway, "hello"));
        peer_say(&f->gateway,
                        json_pack("{s:s, s:i, s:{s:s}}",
                                        "type",
                                        "welcome",
                                        "protocol",
                                        1,
                                        "settings",
                                        "host",
                                        "localhost"));
        peer_settle(&f->gateway);
}

static int setup_welcomed(void **state) {
        (void) setup(state);
        welcome(*state);
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        plugin_free(f->plugin);
        peer_done(&f->gateway);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static void ends_with(Fixture *f, int status) {
        peer_settle(&f->gateway);
        assert_int_equal(plugin_status(f->plugin), status);
        assert_int_equal(sd_event_get_state(f->event), SD_EVENT_FINISHED);
}

static void goes_on(Fixture *f) {
        peer_settle(&f->gateway);
        assert_int_equal(plugin_status(f->plugin), -1);
}

static void say(Fixture *f, const char *type, int64_t id) {
        peer_say(&f->gateway, json_pack("{s:s, s:I}", "type", type, "id", (json_int_t) id));
}

static int64_t ask(Fixture *f, unsigned deadline) {
        int64_t id;

        assert_int_equal(plugin_ask(f->plugin,
                                         json_pack("{s:s}", "type", "reply"),
                                         deadline,
                                         on_answer,
                                         f,
                                         &id),
                        0);
        return id;
}

/* --- Handshake --- */

static void hello_comes_first(void **state) {
        Fixture *f = *state;
        json_auto_t *hello = peer_hear_type(&f->gateway, "hello");
        json_auto_t *expected = json_pack("{s:s, s:[i, i], s:s, s:s, s:s, s:[s, s]}",
                        "type",
                        "hello",
                        "protocol",
                        1,
                        1,
                        "role",
                        "channel",
                        "name",
                        "test",
                        "version",
                        VESTIBULE_VERSION,
                        "capabilities",
                        "reply",
                        "receipt");

        assert_true(json_equal(hello, expected));
        peer_hears_nothing(&f->gateway);
        assert_int_equal(f->n_starts, 0);
}

static void welcome_starts_the_plugin_with_its_settings(void **state) {
        Fixture *f = *state;

        welcome(f);
        goes_on(f);
        assert_int_equal(f->n_starts, 1);
        assert_string_equal(f->setting, "localhost");
        /* A second one is an unknown event. */
        peer_say(&f->gateway, json_pack("{s:s, s:i}", "type", "welcome", "protocol", 1));
        goes_on(f);
        assert_int_equal(f->n_starts, 1);
}

static void settings_may_be_absent(void **state) {
        Fixture *f = *state;

        peer_say(&f->gateway, json_pack("{s:s, s:i}", "type", "welcome", "protocol", 1));
        goes_on(f);
        assert_string_equal(f->setting, "nowhere");
}

static void a_refused_plugin_leaves_and_asks_to_wait(void **state) {
        Fixture *f = *state;

        peer_say(&f->gateway,
                        json_pack("{s:s, s:s}", "type", "refuse", "reason", "not you\n<0>fake"));
        ends_with(f, EX_TEMPFAIL);
        assert_int_equal(f->n_starts, 0);
}

static void a_plugin_that_cannot_work_asks_for_a_human(void **state) {
        Fixture *f = *state;

        f->start_returns = -EINVAL;
        welcome(f);
        ends_with(f, EX_CONFIG);
        f->plugin = plugin_free(f->plugin);
        assert_int_equal(f->n_stops, 0);
}

static void a_welcome_in_another_protocol_is_broken(void **state) {
        Fixture *f = *state;

        peer_say(&f->gateway, json_pack("{s:s, s:i}", "type", "welcome", "protocol", 2));
        ends_with(f, EX_PROTOCOL);
        assert_int_equal(f->n_starts, 0);
}

static void settings_that_are_no_object_are_broken(void **state) {
        Fixture *f = *state;

        peer_say(&f->gateway,
                        json_pack("{s:s, s:i, s:[]}",
                                        "type",
                                        "welcome",
                                        "protocol",
                                        1,
                                        "settings"));
        ends_with(f, EX_PROTOCOL);
}

static void nothing_may_come_before_welcome(void **state) {
        Fixture *f = *state;

        say(f, "send", 1);
        ends_with(f, EX_PROTOCOL);
        assert_int_equal(f->n_requests, 0);
}

static void a_silent_gateway_is_given_up(void **state) {
        Fixture *f = *state;

        plugin_expire(f->plugin, time_boot() + (PLUGIN_WELCOME_SECONDS - 1) * USEC_PER_SEC);
        goes_on(f);
        plugin_expire(f->plugin, time_boot() + PLUGIN_WELCOME_SECONDS * USEC_PER_SEC);
        ends_with(f, EX_TEMPFAIL);
}

static void a_gateway_that_goes_away_is_no_failure(void **state) {
        Fixture *f = *state;

        peer_done(&f->gateway);
        ends_with(f, EX_OK);
}

/* --- The gateway's requests --- */

static void a_request_gets_its_answer(void **state) {
        Fixture *f = *state;
        json_auto_t *answer = NULL;

        say(f, "send", INT64_C(1) << 53);
        answer = peer_hear_type(&f->gateway, "sent");
        assert_int_equal(frame_number(answer, "id"), INT64_C(1) << 53);
        peer_hears_nothing(&f->gateway);
}

static void an_unknown_request_is_unsupported_and_an_unknown_event_ignored(void **state) {
        Fixture *f = *state;
        json_auto_t *answer = NULL;

        peer_say(&f->gateway, json_pack("{s:s, s:{}}", "type", "later.event", "x"));
        say(f, "later.request", 9);
        answer = peer_hear_type(&f->gateway, "unsupported");
        assert_int_equal(frame_number(answer, "id"), 9);
        peer_hears_nothing(&f->gateway);
        goes_on(f);
}

static void an_id_outside_of_its_range_is_broken(void **state) {
        static const char *const ids[] = {
                "0", "-1", "9007199254740993", "1.0", "\"1\"", "null", "[1]"
        };

        for (size_t i = 0; i < N_ELEMENTS(ids); i++) {
                char content[64];
                void *one = NULL;

                (void) setup_welcomed(&one);
                (void) snprintf(content, sizeof(content), "{\"type\":\"send\",\"id\":%s}", ids[i]);
                peer_say_content(&((Fixture *) one)->gateway, content, strlen(content));
                ends_with(one, EX_PROTOCOL);
                (void) teardown(&one);
        }
}

static void an_id_may_be_used_again_only_after_its_answer(void **state) {
        Fixture *f = *state;

        say(f, "send", 5);
        json_decref(peer_hear_type(&f->gateway, "sent"));
        say(f, "hold", 5);
        goes_on(f);
        say(f, "hold", 5);
        ends_with(f, EX_PROTOCOL);
        assert_int_equal(f->n_requests, 2);
}

static void a_full_window_is_served(void **state) {
        Fixture *f = *state;

        for (int64_t i = 1; i <= PENDING_MAX; i++)
                say(f, "hold", i);
        goes_on(f);
        assert_int_equal(f->n_requests, PENDING_MAX);

        for (int64_t i = PENDING_MAX; i >= 1; i--)
                plugin_answer(f->plugin, i, json_pack("{s:s}", "type", "sent"));
        for (int64_t i = PENDING_MAX; i >= 1; i--) {
                json_auto_t *answer = peer_hear_type(&f->gateway, "sent");

                assert_int_equal(frame_number(answer, "id"), i);
        }
        say(f, "send", PENDING_MAX + 1);
        json_decref(peer_hear_type(&f->gateway, "sent"));
}

static void one_request_past_the_window_ends_the_connection(void **state) {
        Fixture *f = *state;

        for (int64_t i = 1; i <= PENDING_MAX + 1; i++)
                say(f, "hold", i);
        ends_with(f, EX_PROTOCOL);
        assert_int_equal(f->n_requests, PENDING_MAX);
}

/* {"type":"hold","id":N,"s":"…"} of exactly size bytes. */
static void hold_bytes(Fixture *f, int64_t id, size_t size) {
        char *content = malloc(size + 1);
        int n = snprintf(content, size, "{\"type\":\"hold\",\"id\":%d,\"s\":\"", (int) id);

        memset(content + n, 'a', size - (size_t) n - 2);
        memcpy(content + size - 2, "\"}", 2);
        peer_say_content(&f->gateway, content, size);
        free(content);
}

static void one_mebibyte_fits_the_window_and_no_more(void **state) {
        Fixture *f = *state;

        for (int64_t i = 1; i <= 16; i++)
                hold_bytes(f, i, 65536);
        goes_on(f);
        assert_int_equal(f->n_requests, 16);
        plugin_answer(f->plugin, 7, json_pack("{s:s}", "type", "sent"));
        hold_bytes(f, 17, 65536);
        goes_on(f);
        say(f, "hold", 18);
        ends_with(f, EX_PROTOCOL);
}

static void a_flood_of_answered_requests_is_no_offence(void **state) {
        Fixture *f = *state;

        for (int64_t i = 1; i <= 20000; i++) {
                say(f, "send", i);
                if (i % 500 == 0)
                        for (int64_t k = 0; k < 500; k++)
                                json_decref(peer_hear_type(&f->gateway, "sent"));
        }
        goes_on(f);
        assert_int_equal(f->n_requests, 20000);
}

/* --- Broken frames --- */

static void a_broken_frame_ends_the_connection(void **state) {
        static const struct {
                const char *content;
                size_t size;
        } broken[] = {
                { "", 0 },
                { "{\"type\":\"x\",\"t\":\"\xff\"}", 20 },
                { "{\"type\":\"x\",\"type\":\"x\"}", 23 },
                { "[{\"type\":\"x\"}]", 14 },
                { "{\"id\":1}", 8 },
                { "{\"type\":7}", 10 },
                { "{\"type\":\"x\",\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", 49 },
        };

        for (size_t i = 0; i < N_ELEMENTS(broken); i++) {
                void *one = NULL;

                (void) setup_welcomed(&one);
                peer_say_content(&((Fixture *) one)->gateway, broken[i].content, broken[i].size);
                ends_with(one, EX_PROTOCOL);
                (void) teardown(&one);
        }
}

static void a_length_past_the_limit_ends_the_connection(void **state) {
        Fixture *f = *state;

        peer_say_bytes(&f->gateway, "\0\1\0\1", 4);
        ends_with(f, EX_PROTOCOL);
}

static void a_frame_cut_by_the_end_is_broken(void **state) {
        Fixture *f = *state;

        peer_say_bytes(&f->gateway, "\0\0\0\40{\"type\"", 11);
        goes_on(f);
        peer_done(&f->gateway);
        ends_with(f, EX_PROTOCOL);
}

/* --- Our questions --- */

static void a_question_gets_its_answer_once(void **state) {
        Fixture *f = *state;
        json_auto_t *question = NULL;
        int64_t id = ask(f, 30);

        question = peer_hear_type(&f->gateway, "reply");
        assert_int_equal(frame_number(question, "id"), id);
        say(f, "ack", id);
        goes_on(f);
        assert_int_equal(f->n_answers, 1);
        assert_string_equal(f->last_answer, "ack");

        say(f, "ack", id);
        goes_on(f);
        assert_int_equal(f->n_answers, 1);
}

static void a_request_of_the_gateway_may_have_the_id_of_a_question(void **state) {
        Fixture *f = *state;
        int64_t id = ask(f, 30);

        say(f, "send", id);
        json_decref(peer_hear_type(&f->gateway, "reply"));
        json_decref(peer_hear_type(&f->gateway, "sent"));
        assert_int_equal(f->n_answers, 0);
        say(f, "again", id);
        goes_on(f);
        assert_string_equal(f->last_answer, "again");
}

static void an_answer_to_an_id_never_issued_ends_the_connection(void **state) {
        Fixture *f = *state;
        int64_t id = ask(f, 30);

        say(f, "ack", id + 1);
        ends_with(f, EX_PROTOCOL);
        assert_int_equal(f->n_answers, 0);
}

static void a_deadline_gives_up_once_and_the_late_answer_is_ignored(void **state) {
        Fixture *f = *state;
        uint64_t now = time_boot();
        int64_t early = ask(f, 5), late = ask(f, 30);

        (void) ask(f, 0);
        plugin_expire(f->plugin, now + 4 * USEC_PER_SEC);
        assert_int_equal(f->n_answers, 0);
        plugin_expire(f->plugin, now + 6 * USEC_PER_SEC);
        assert_int_equal(f->n_nulls, 1);
        plugin_expire(f->plugin, now + 7 * USEC_PER_SEC);
        assert_int_equal(f->n_nulls, 1);

        say(f, "ack", early);
        goes_on(f);
        assert_int_equal(f->n_answers, 1);
        say(f, "ack", late);
        goes_on(f);
        assert_int_equal(f->n_answers, 2);
        plugin_expire(f->plugin, now + 1000 * USEC_PER_SEC);
        assert_int_equal(f->n_nulls, 1);
}

static void the_timer_finds_a_deadline_by_itself(void **state) {
        Fixture *f = *state;

        (void) ask(f, 30);
        (void) ask(f, 1);
        while (f->n_nulls == 0)
                assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
        assert_int_equal(f->n_answers, 1);
}

static void a_forgotten_question_is_never_answered(void **state) {
        Fixture *f = *state;
        int64_t id = ask(f, 30);

        plugin_forget(f->plugin, id);
        plugin_forget(f->plugin, id);
        plugin_expire(f->plugin, time_boot() + 31 * USEC_PER_SEC);
        say(f, "ack", id);
        goes_on(f);
        plugin_forget(f->plugin, id);
        f->plugin = plugin_free(f->plugin);
        assert_int_equal(f->n_answers, 0);
}

static void our_own_window_holds_1024_questions(void **state) {
        Fixture *f = *state;
        int64_t id = 0;

        for (size_t i = 0; i < PENDING_MAX; i++) {
                assert_true(plugin_may_ask(f->plugin));
                id = ask(f, 30);
        }
        assert_false(plugin_may_ask(f->plugin));
        assert_int_equal(plugin_ask(f->plugin,
                                         json_pack("{s:s}", "type", "reply"),
                                         30,
                                         on_answer,
                                         f,
                                         NULL),
                        -ENOBUFS);

        plugin_forget(f->plugin, id);
        assert_false(plugin_may_ask(f->plugin));
        say(f, "ack", id);
        goes_on(f);
        assert_true(plugin_may_ask(f->plugin));
        assert_int_equal(ask(f, 30), id + 1);
}

static void our_own_window_holds_one_mebibyte(void **state) {
        Fixture *f = *state;
        char *text = calloc(1, 60001);
        size_t n = 0;
        int r;

        memset(text, 'a', 60000);
        do {
                bool may = plugin_may_ask(f->plugin);

                r = plugin_ask(f->plugin,
                                json_pack("{s:s, s:s}", "type", "reply", "text", text),
                                30,
                                on_answer,
                                f,
                                NULL);
                /* Where it says yes, it holds its word. */
                assert_true(!may || r == 0);
                n++;
        } while (r == 0);
        assert_int_equal(r, -ENOBUFS);
        assert_int_equal(n - 1, 1024 * 1024 / 60050);
        (void) ask(f, 30);
        free(text);
}

static void a_question_that_is_too_large_was_never_asked(void **state) {
        Fixture *f = *state;
        char *text = calloc(1, 70001);

        memset(text, 'a', 70000);
        assert_int_equal(plugin_ask(f->plugin,
                                         json_pack("{s:s, s:s}", "type", "reply", "text", text),
                                         30,
                                         on_answer,
                                         f,
                                         NULL),
                        -EMSGSIZE);
        free(text);
        assert_int_equal(ask(f, 30), 1);
}

static void a_gateway_that_answers_nothing_is_left(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < PENDING_MAX; i++)
                (void) ask(f, 30);
        plugin_expire(f->plugin, time_boot() + 31 * USEC_PER_SEC);
        assert_int_equal(f->n_nulls, PENDING_MAX);
        ends_with(f, EX_TEMPFAIL);
}

static void every_question_hears_of_the_end(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < 100; i++)
                (void) ask(f, i % 2 ? 30 : 0);
        peer_done(&f->gateway);
        ends_with(f, EX_OK);
        f->plugin = plugin_free(f->plugin);
        assert_int_equal(f->n_nulls, 100);
        assert_int_equal(f->n_answers, 100);
        assert_int_equal(f->n_stops, 1);
}

/* --- The end --- */

static void an_orderly_end_says_its_last_words(void **state) {
        Fixture *f = *state;
        json_auto_t *status = NULL;

        say(f, "hold", 3);
        goes_on(f);
        f->tell_at_stop = true;
        plugin_exit(f->plugin, EX_OK);
        plugin_exit(f->plugin, EX_SOFTWARE);
        ends_with(f, EX_OK);
        assert_int_equal(plugin_ask(f->plugin,
                                         json_pack("{s:s}", "type", "reply"),
                                         0,
                                         on_answer,
                                         f,
                                         NULL),
                        -EPIPE);
        plugin_answer(f->plugin, 3, json_pack("{s:s}", "type", "sent"));
        f->plugin = plugin_free(f->plugin);

        json_decref(peer_hear_type(&f->gateway, "sent"));
        status = peer_hear_type(&f->gateway, "status");
        assert_string_equal(frame_text(status, "reason"), "stopping");
        assert_true(peer_is_closed(&f->gateway));
        assert_int_equal(f->n_stops, 1);
}

static void words_after_the_end_of_the_connection_are_dropped(void **state) {
        Fixture *f = *state;

        say(f, "hold", 3);
        goes_on(f);
        peer_done(&f->gateway);
        ends_with(f, EX_OK);
        plugin_answer(f->plugin, 3, json_pack("{s:s}", "type", "sent"));
        plugin_tell(f->plugin, json_pack("{s:s}", "type", "delivered"));
        assert_int_equal(plugin_status(f->plugin), EX_OK);
}

int main(void) {
#define before_welcome(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define after_welcome(f) cmocka_unit_test_setup_teardown(f, setup_welcomed, teardown)
        const struct CMUnitTest tests[] = {
                before_welcome(hello_comes_first),
                before_welcome(welcome_starts_the_plugin_with_its_settings),
                before_welcome(settings_may_be_absent),
                before_welcome(a_refused_plugin_leaves_and_asks_to_wait),
                before_welcome(a_plugin_that_cannot_work_asks_for_a_human),
                before_welcome(a_welcome_in_another_protocol_is_broken),
                before_welcome(settings_that_are_no_object_are_broken),
                before_welcome(nothing_may_come_before_welcome),
                before_welcome(a_silent_gateway_is_given_up),
                after_welcome(a_gateway_that_goes_away_is_no_failure),
                after_welcome(a_request_gets_its_answer),
                after_welcome(an_unknown_request_is_unsupported_and_an_unknown_event_ignored),
                cmocka_unit_test(an_id_outside_of_its_range_is_broken),
                after_welcome(an_id_may_be_used_again_only_after_its_answer),
                after_welcome(a_full_window_is_served),
                after_welcome(one_request_past_the_window_ends_the_connection),
                after_welcome(one_mebibyte_fits_the_window_and_no_more),
                after_welcome(a_flood_of_answered_requests_is_no_offence),
                cmocka_unit_test(a_broken_frame_ends_the_connection),
                after_welcome(a_length_past_the_limit_ends_the_connection),
                after_welcome(a_frame_cut_by_the_end_is_broken),
                after_welcome(a_question_gets_its_answer_once),
                after_welcome(a_request_of_the_gateway_may_have_the_id_of_a_question),
                after_welcome(an_answer_to_an_id_never_issued_ends_the_connection),
                after_welcome(a_deadline_gives_up_once_and_the_late_answer_is_ignored),
                after_welcome(the_timer_finds_a_deadline_by_itself),
                after_welcome(a_forgotten_question_is_never_answered),
                after_welcome(our_own_window_holds_1024_questions),
                after_welcome(our_own_window_holds_one_mebibyte),
                after_welcome(a_question_that_is_too_large_was_never_asked),
                after_welcome(a_gateway_that_answers_nothing_is_left),
                after_welcome(every_question_hears_of_the_end),
                after_welcome(an_orderly_end_says_its_last_words),
                after_welcome(words_after_the_end_of_the_connection_are_dropped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
