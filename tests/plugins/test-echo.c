/* The echo channel between a gateway and phones, all in our hands. */
#include "peer.h"

#include <stdio.h>
#include <sys/stat.h>

#include "echo.h"
#include "plugin-run.h"
#include "time-text.h"

typedef struct Fixture {
        sd_event *event;
        Plugin *plugin;
        Peer gateway;
        char directory[32], path[64];
        int64_t last_id;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        json_t *status;
        int fd;

        (void) snprintf(f->directory, sizeof(f->directory), "/tmp/vestibule-test-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        (void) snprintf(f->path, sizeof(f->path), "%s/echo", f->directory);
        assert_true(sd_event_new(&f->event) >= 0);
        peer_pair(&f->gateway, f->event, &fd);
        assert_int_equal(plugin_new(&f->plugin, f->event, fd, &echo_ops, "echo"), 0);
        json_decref(peer_hear_type(&f->gateway, "hello"));
        peer_say(&f->gateway,
                        json_pack("{s:s, s:i, s:{s:s}}",
                                        "type",
                                        "welcome",
                                        "protocol",
                                        1,
                                        "settings",
                                        "listen",
                                        f->path));
        status = peer_hear_type(&f->gateway, "status");
        assert_true(json_is_true(json_object_get(status, "up")));
        json_decref(status);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        plugin_free(f->plugin);
        peer_done(&f->gateway);
        sd_event_unref(f->event);
        assert_int_equal(access(f->path, F_OK), -1); /* it cleans up after itself */
        assert_int_equal(rmdir(f->directory), 0);
        free(f);
        return 0;
}

static void subscribe(Peer *phone, const char *address) {
        peer_say(phone, json_pack("{s:s, s:s}", "type", "subscribe", "address", address));
        peer_settle(phone);
}

static Peer phone_new(Fixture *f, const char *address) {
        Peer phone;

        peer_connect(&phone, f->event, f->path);
        if (address)
                subscribe(&phone, address);
        return phone;
}

static int64_t gateway_sends(Fixture *f, const char *message, const char *to) {
        int64_t id = ++f->last_id;

        peer_say(&f->gateway,
                        json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s}], "
                                  "s:I}",
                                        "type",
                                        "send",
                                        "id",
                                        (json_int_t) id,
                                        "message",
                                        message,
                                        "kind",
                                        "invitation",
                                        "to",
                                        to,
                                        "lang",
                                        "en",
                                        "text",
                                        "Hotel Adler shares …",
                                        "thread",
                                        "thr_1",
                                        "tag",
                                        "7KQ4",
                                        "buttons",
                                        "value",
                                        "NO",
                                        "label",
                                        "No",
                                        "expires",
                                        (json_int_t) time_wall() + 600));
        return id;
}

static void phone_says(Peer *phone, const char *type, const char *message) {
        peer_say(phone, json_pack("{s:s, s:s}", "type", type, "message", message));
        peer_settle(phone);
}

static void phone_bounces(Peer *phone, const char *message, bool permanent) {
        peer_say(phone,
                        json_pack("{s:s, s:s, s:b, s:s}",
                                        "type",
                                        "bounce",
                                        "message",
                                        message,
                                        "permanent",
                                        permanent,
                                        "reason",
                                        "switched-off"));
        peer_settle(phone);
}

static void phone_replies(Peer *phone, const char *inbound) {
        peer_say(phone,
                        json_pack("{s:s, s:s, s:s, s:s}",
                                        "type",
                                        "reply",
                                        "inbound",
                                        inbound,
                                        "from",
                                        "echo:bob",
                                        "text",
                                        "123-456-789"));
        peer_settle(phone);
}

/* In one write, which a socket takes also when nobody reads. */
static void phone_replies_at_once(Peer *phone, unsigned n) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;

        for (unsigned i = 0; i < n; i++) {
                json_auto_t *reply = json_pack("{s:s, s:o, s:s, s:s}",
                                "type",
                                "reply",
                                "inbound",
                                json_sprintf("%u", i),
                                "from",
                                "echo:bob",
                                "text",
                                "YES");

                assert_int_equal(frame_buffer_append(&buffer, reply), 0);
        }
        peer_say_bytes(phone, buffer.data + buffer.start, frame_buffer_size(&buffer));
        peer_settle(phone);
}

static void gateway_hears_answer(Fixture *f, const char *type, int64_t id) {
        json_auto_t *answer = peer_hear_type(&f->gateway, type);

        assert_int_equal(frame_number(answer, "id"), id);
}

static void gateway_hears_failure(Fixture *f, int64_t id, const char *reason, bool permanent) {
        json_auto_t *answer = peer_hear_type(&f->gateway, "failed");

        assert_int_equal(frame_number(answer, "id"), id);
        assert_string_equal(frame_text(answer, "reason"), reason);
        assert_true(json_is_boolean(json_object_get(answer, "permanent")));
        assert_int_equal(json_is_true(json_object_get(answer, "permanent")), permanent);
        if (!permanent)
                assert_int_equal(frame_number(answer, "retry_after"), 1);
}

static void phone_hears_message(Peer *phone, const char *message) {
        json_auto_t *heard = peer_hear_type(phone, "message");

        assert_string_equal(frame_text(heard, "message"), message);
}

static int64_t gateway_hears_reply(Fixture *f, const char *inbound) {
        json_auto_t *reply = peer_hear_type(&f->gateway, "reply");

        assert_string_equal(frame_text(reply, "inbound"), inbound);
        return frame_number(reply, "id");
}

static void gateway_answers(Fixture *f, const char *type, int64_t id) {
        peer_say(&f->gateway, json_pack("{s:s, s:I}", "type", type, "id", (json_int_t) id));
        peer_settle(&f->gateway);
}

static void phone_hears(Peer *phone, const char *type, const char *inbound) {
        json_auto_t *heard = peer_hear_type(phone, type);

        assert_string_equal(frame_text(heard, "inbound"), inbound);
}

static void the_gateway_is_still_served(Fixture *f) {
        _cleanup_(peer_done) Peer phone = phone_new(f, "echo:alive");
        int64_t id = gateway_sends(f, "msg_alive", "echo:alive");

        phone_hears_message(&phone, "msg_alive");
        phone_says(&phone, "taken", "msg_alive");
        gateway_hears_answer(f, "sent", id);
}

/* --- Messages --- */

static void a_message_reaches_its_phone_and_is_sent_when_taken(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, "echo:bob"), eve = phone_new(f, "echo:eve");
        json_auto_t *heard = NULL, *delivered = NULL;
        int64_t id = gateway_sends(f, "msg_1", "echo:bob");

        heard = peer_hear_type(&bob, "message");
        assert_string_equal(frame_text(heard, "text"), "Hotel Adler shares …");
        assert_string_equal(frame_text(heard, "kind"), "invitation");
        assert_string_equal(frame_text(heard, "thread"), "thr_1");
        assert_string_equal(frame_text(heard, "tag"), "7KQ4");
        assert_int_equal(json_array_size(json_object_get(heard, "buttons")), 1);
        assert_null(json_object_get(heard, "id"));
        assert_null(json_object_get(heard, "link"));
        peer_hears_nothing(&eve);
        peer_hears_nothing(&f->gateway);

        phone_says(&bob, "taken", "msg_1");
        gateway_hears_answer(f, "sent", id);
        phone_says(&bob, "taken", "msg_1");
        peer_hears_nothing(&f->gateway);
        phone_says(&bob, "delivered", "msg_1");
        delivered = peer_hear_type(&f->gateway, "delivered");
        assert_string_equal(frame_text(delivered, "message"), "msg_1");
        assert_null(json_object_get(delivered, "id"));
}

static void without_a_phone_it_fails_for_now(void **state) {
        Fixture *f = *state;
        int64_t id = gateway_sends(f, "msg_1", "echo:bob");

        gateway_hears_failure(f, id, "no-phone", false);
}

static void another_scheme_fails_for_good(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer all = phone_new(f, "*");
        int64_t id = gateway_sends(f, "msg_1", "xmpp:bob@example.org");

        gateway_hears_failure(f, id, "no-such-address", true);
        peer_hears_nothing(&all);
}

static void an_expired_message_is_not_sent(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, "echo:bob");

        peer_say(&f->gateway,
                        json_pack("{s:s, s:i, s:s, s:s, s:s, s:I}",
                                        "type",
                                        "send",
                                        "id",
                                        1,
                                        "message",
                                        "msg_1",
                                        "to",
                                        "echo:bob",
                                        "text",
                                        "late",
                                        "expires",
                                        (json_int_t) time_wall()));
        gateway_hears_failure(f, 1, "expired", false);
        peer_hears_nothing(&bob);
}

static void a_star_hears_all_and_the_first_word_counts(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer all = phone_new(f, "*"), bob = phone_new(f, "echo:bob");
        int64_t id = gateway_sends(f, "msg_1", "echo:bob");

        subscribe(&bob, "echo:bob");
        phone_hears_message(&all, "msg_1");
        phone_hears_message(&bob, "msg_1");
        peer_hears_nothing(&bob);
        phone_says(&all, "taken", "msg_1");
        gateway_hears_answer(f, "sent", id);
        phone_says(&bob, "taken", "msg_1");
        peer_hears_nothing(&f->gateway);
}

static void a_bounce_is_the_answer_before_sent_and_an_event_after(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, "echo:bob");
        json_auto_t *event = NULL;
        int64_t id = gateway_sends(f, "msg_1", "echo:bob");

        phone_bounces(&bob, "msg_1", true);
        gateway_hears_failure(f, id, "switched-off", true);

        id = gateway_sends(f, "msg_2", "echo:bob");
        peer_settle(&bob);
        phone_says(&bob, "taken", "msg_2");
        gateway_hears_answer(f, "sent", id);
        phone_bounces(&bob, "msg_2", true);
        event = peer_hear_type(&f->gateway, "failed");
        assert_null(json_object_get(event, "id"));
        assert_string_equal(frame_text(event, "message"), "msg_2");
}

static void nobody_speaks_for_another_s_phone(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, "echo:bob"), eve = phone_new(f, "echo:eve");
        int64_t id = gateway_sends(f, "msg_1", "echo:bob");

        peer_settle(&eve);
        phone_says(&eve, "taken", "msg_1");
        peer_hears_nothing(&f->gateway);
        phone_says(&bob, "taken", "msg_1");
        gateway_hears_answer(f, "sent", id);
}

static void messages_fail_when_their_last_phone_goes(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer one = phone_new(f, "echo:bob"), two = phone_new(f, "echo:bob");
        _cleanup_(peer_done) Peer all = phone_new(f, "*");
        int64_t first = gateway_sends(f, "msg_1", "echo:bob");
        int64_t second = gateway_sends(f, "msg_2", "echo:carol");

        peer_settle(&f->gateway);
        peer_done(&one);
        peer_hears_nothing(&f->gateway);
        peer_done(&all);
        gateway_hears_failure(f, second, "no-phone", false);
        peer_hears_nothing(&f->gateway);
        peer_done(&two);
        gateway_hears_failure(f, first, "no-phone", false);
}

static void a_repeated_message_takes_the_place_of_the_first(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, "echo:bob");
        int64_t first = gateway_sends(f, "msg_1", "echo:bob");
        int64_t second = gateway_sends(f, "msg_1", "echo:bob");

        phone_hears_message(&bob, "msg_1");
        phone_hears_message(&bob, "msg_1");
        gateway_hears_failure(f, first, "repeated", false);
        phone_says(&bob, "taken", "msg_1");
        gateway_hears_answer(f, "sent", second);
}

static void withdrawing_is_not_offered(void **state) {
        Fixture *f = *state;

        peer_say(&f->gateway,
                        json_pack("{s:s, s:i, s:s}", "type", "withdraw", "id", 1, "message", "m"));
        gateway_hears_answer(f, "unsupported", 1);
}

/* --- Replies --- */

static void a_reply_is_acknowledged_only_by_the_gateway(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, NULL);
        json_auto_t *reply = NULL;

        phone_replies(&bob, "in-1");
        reply = peer_hear_type(&f->gateway, "reply");
        assert_string_equal(frame_text(reply, "inbound"), "in-1");
        assert_string_equal(frame_text(reply, "from"), "echo:bob");
        assert_string_equal(frame_text(reply, "to"), "echo:gateway");
        assert_string_equal(frame_text(reply, "text"), "123-456-789");
        assert_string_equal(frame_text(reply, "authentic"), "strong");
        assert_true(json_is_false(json_object_get(reply, "automatic")));
        assert_true(frame_number(reply, "received") <= time_wall());
        peer_hears_nothing(&bob);

        gateway_answers(f, "ack", frame_number(reply, "id"));
        phone_hears(&bob, "ack", "in-1");
}

static void a_reply_carries_what_the_phone_says_about_it(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, NULL);
        json_auto_t *reply = NULL;

        peer_say(&bob,
                        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s}",
                                        "type",
                                        "reply",
                                        "inbound",
                                        "in-1",
                                        "from",
                                        "echo:bob",
                                        "button",
                                        "NO",
                                        "thread",
                                        "thr_1",
                                        "quoted",
                                        "msg_1",
                                        "authentic",
                                        "weak",
                                        "automatic",
                                        1,
                                        "id",
                                        "not passed on"));
        reply = peer_hear_type(&f->gateway, "reply");
        assert_string_equal(frame_text(reply, "button"), "NO");
        assert_string_equal(frame_text(reply, "thread"), "thr_1");
        assert_string_equal(frame_text(reply, "quoted"), "msg_1");
        assert_string_equal(frame_text(reply, "authentic"), "weak");
        assert_true(json_is_true(json_object_get(reply, "automatic")));
        assert_null(json_object_get(reply, "text"));
        assert_int_equal(frame_number(reply, "id"), 1);
}

static void again_comes_back_with_its_delay(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, NULL);
        json_auto_t *again = NULL;

        phone_replies(&bob, "in-1");
        peer_say(&f->gateway,
                        json_pack("{s:s, s:I, s:i}",
                                        "type",
                                        "again",
                                        "id",
                                        (json_int_t) gateway_hears_reply(f, "in-1"),
                                        "retry_after",
                                        7));
        again = peer_hear_type(&bob, "again");
        assert_int_equal(frame_number(again, "retry_after"), 7);

        phone_replies(&bob, "in-1");
        gateway_answers(f, "unsupported", gateway_hears_reply(f, "in-1"));
        phone_hears(&bob, "again", "in-1");
}

static void a_lost_gateway_means_again(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, NULL);

        phone_replies(&bob, "in-1");
        (void) gateway_hears_reply(f, "in-1");
        peer_done(&f->gateway);
        peer_settle(&bob);
        f->plugin = plugin_free(f->plugin);
        phone_hears(&bob, "again", "in-1");
        assert_true(peer_is_closed(&bob));
}

static void an_answer_to_a_phone_that_has_gone_harms_nobody(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, "echo:bob");
        int64_t id;

        phone_replies(&bob, "in-1");
        id = gateway_hears_reply(f, "in-1");
        peer_done(&bob);
        peer_settle(&f->gateway);
        gateway_answers(f, "ack", id);
        the_gateway_is_still_served(f);
}

static void replies_past_the_window_wait_and_none_is_lost(void **state) {
        enum { N = 3000, PHONES = 3 };
        Fixture *f = *state;
        Peer phones[PHONES], leaver;
        unsigned asked = 0, acknowledged = 0;
        int64_t ids[N + 10];

        for (size_t i = 0; i < PHONES; i++) {
                phones[i] = phone_new(f, NULL);
                phone_replies_at_once(&phones[i], N / PHONES);
        }
        leaver = phone_new(f, NULL);
        phone_replies(&leaver, "leaver");
        peer_done(&leaver);

        while (acknowledged < N) {
                unsigned before = asked;
                json_t *frame;

                while ((frame = peer_hear(&f->gateway))) {
                        assert_string_equal(frame_text(frame, "type"), "reply");
                        ids[asked++] = frame_number(frame, "id");
                        json_decref(frame);
                }
                assert_in_range(asked - before, 1, 1024);
                for (unsigned i = before; i < asked; i++)
                        gateway_answers(f, "ack", ids[i]);
                for (size_t i = 0; i < PHONES; i++)
                        for (; (frame = peer_hear(&phones[i])); acknowledged++) {
                                assert_string_equal(frame_text(frame, "type"), "ack");
                                json_decref(frame);
                        }
        }
        assert_int_equal(acknowledged, N);
        for (size_t i = 0; i < PHONES; i++)
                peer_done(&phones[i]);
        the_gateway_is_still_served(f);
}

/* --- Phones that misbehave --- */

static void garbage_costs_a_phone_its_connection_and_nobody_else(void **state) {
        static const char *const garbage[] = { "",
                "{}",
                "GET / HTTP/1.1",
                "{\"type\":\"nonsense\"}",
                "{\"type\":\"nonsense\",\"message\":\"m\"}",
                "{\"type\":\"taken\"}",
                "{\"type\":\"taken\",\"message\":\"\"}",
                "{\"type\":\"taken\",\"message\":7}",
                "{\"type\":\"subscribe\"}",
                "{\"type\":\"subscribe\",\"address\":\"\"}",
                "{\"type\":\"bounce\",\"message\":\"m\"}",
                "{\"type\":\"bounce\",\"message\":\"m\",\"reason\":\"Not A Word\"}",
                "{\"type\":\"reply\",\"inbound\":\"1\",\"text\":\"x\"}",
                "{\"type\":\"reply\",\"from\":\"echo:bob\",\"text\":\"x\"}",
                "{\"type\":\"reply\",\"from\":\"echo:bob\",\"inbound\":\"1\"}",
                "{\"type\":\"reply\",\"from\":\"echo:bob\",\"inbound\":\"\",\"text\":\"x\"}",
                "{\"type\":\"reply\",\"from\":\"echo:bob\",\"inbound\":\"1\",\"text\":7}",
                "{\"type\":\"reply\",\"from\":\"echo:bob\",\"inbound\":\"1\",\"text\":\"x\","
                "\"authentic\":\"very\"}",
                "{\"type\":\"reply\",\"from\":\"echo:bob\",\"inbound\":\"1\",\"text\":\"x\","
                "\"automatic\":\"no\"}" };
        Fixture *f = *state;

        for (size_t i = 0; i < N_ELEMENTS(garbage); i++) {
                _cleanup_(peer_done) Peer phone = phone_new(f, "echo:bob");

                peer_say_content(&phone, garbage[i], strlen(garbage[i]));
                peer_settle(&phone);
                if (!peer_is_closed(&phone))
                        fail_msg("survived: %s", garbage[i]);
                peer_hears_nothing(&f->gateway);
        }
        the_gateway_is_still_served(f);
}

static void a_reply_may_have_4096_bytes_and_no_more(void **state) {
        Fixture *f = *state;

        for (int size = 4096; size <= 4097; size++) {
                _cleanup_(peer_done) Peer phone = phone_new(f, NULL);
                char *text = calloc(1, (size_t) size + 1);

                memset(text, 'a', (size_t) size);
                peer_say(&phone,
                                json_pack("{s:s, s:s, s:s, s:s}",
                                                "type",
                                                "reply",
                                                "inbound",
                                                "1",
                                                "from",
                                                "echo:bob",
                                                "text",
                                                text));
                free(text);
                assert_int_equal(peer_is_closed(&phone), size == 4097);
                if (size == 4096)
                        (void) gateway_hears_reply(f, "1");
        }
        peer_hears_nothing(&f->gateway);
}

static void a_phone_that_does_not_read_misses_messages_and_delays_nobody(void **state) {
        Fixture *f = *state;
        enum { N = 20000 };
        _cleanup_(peer_done) Peer deaf = phone_new(f, "echo:bob"), bob = phone_new(f, "echo:bob");
        unsigned n_heard = 0;

        for (unsigned i = 0; i < N; i++) {
                char message[32];
                int64_t id;

                (void) snprintf(message, sizeof(message), "msg_%u", i);
                id = gateway_sends(f, message, "echo:bob");
                phone_hears_message(&bob, message);
                phone_says(&bob, "taken", message);
                gateway_hears_answer(f, "sent", id);
        }

        for (json_t *frame; (frame = peer_hear(&deaf)); n_heard++)
                json_decref(frame);
        assert_in_range(n_heard, 1000, N - 1);
        (void) gateway_sends(f, "msg_last", "echo:bob");
        phone_hears_message(&deaf, "msg_last");
}

static void many_phones_share_one_channel(void **state) {
        enum { PHONES = 400 };
        Fixture *f = *state;
        static Peer phones[PHONES];
        char name[32];

        for (unsigned i = 0; i < PHONES; i++) {
                (void) snprintf(name, sizeof(name), "echo:guest-%u", i);
                phones[i] = phone_new(f, name);
        }
        for (unsigned i = 0; i < PHONES; i++) {
                (void) snprintf(name, sizeof(name), "echo:guest-%u", i);
                (void) gateway_sends(f, name, name);
        }
        for (unsigned i = 0; i < PHONES; i += 2) {
                (void) snprintf(name, sizeof(name), "echo:guest-%u", i);
                phone_hears_message(&phones[i], name);
                phone_says(&phones[i], "taken", name);
                gateway_hears_answer(f, "sent", (int64_t) i + 1);
        }
        for (unsigned i = 0; i < PHONES; i++)
                peer_done(&phones[i]);
        for (unsigned i = 1; i < PHONES; i += 2)
                json_decref(peer_hear_type(&f->gateway, "failed"));
        peer_hears_nothing(&f->gateway);
        the_gateway_is_still_served(f);
}

/* --- Start and stop --- */

static void only_the_owner_may_connect(void **state) {
        Fixture *f = *state;
        struct stat st;

        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void what_waits_at_the_end_is_answered(void **state) {
        Fixture *f = *state;
        _cleanup_(peer_done) Peer bob = phone_new(f, "echo:bob");
        int64_t id = gateway_sends(f, "msg_1", "echo:bob");

        phone_replies(&bob, "in-1");
        (void) gateway_hears_reply(f, "in-1");
        phone_hears_message(&bob, "msg_1");
        f->plugin = plugin_free(f->plugin);
        gateway_hears_failure(f, id, "no-phone", false);
        phone_hears(&bob, "again", "in-1");
}

static int status_with(const char *path) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(plugin_freep) Plugin *plugin = NULL;
        _cleanup_(peer_done) Peer gateway = { .fd = -1 };
        int fd;

        assert_true(sd_event_new(&event) >= 0);
        peer_pair(&gateway, event, &fd);
        assert_int_equal(plugin_new(&plugin, event, fd, &echo_ops, "echo"), 0);
        peer_say(&gateway,
                        json_pack("{s:s, s:i, s:{s:s?}}",
                                        "type",
                                        "welcome",
                                        "protocol",
                                        1,
                                        "settings",
                                        "listen",
                                        path));
        peer_settle(&gateway);
        return plugin_status(plugin);
}

static void a_path_that_cannot_be_listened_on_is_a_matter_for_a_human(void **state) {
        char longest[200], file[] = "/tmp/vestibule-test-XXXXXX";
        int fd;

        memset(longest, 'a', sizeof(longest) - 1);
        longest[0] = '/';
        longest[sizeof(longest) - 1] = 0;
        assert_int_equal(status_with(NULL), 78);
        assert_int_equal(status_with(longest), 78);
        assert_int_equal(status_with("/nonexistent/echo"), 78);

        /* A file that is no socket stays. */
        fd = mkstemp(file);
        assert_true(fd >= 0);
        assert_int_equal(status_with(file), 78);
        assert_int_equal(unlink(file), 0);
        (void) close(fd);
}

int main(void) {
#define echo_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                echo_test(a_message_reaches_its_phone_and_is_sent_when_taken),
                echo_test(without_a_phone_it_fails_for_now),
                echo_test(another_scheme_fails_for_good),
                echo_test(an_expired_message_is_not_sent),
                echo_test(a_star_hears_all_and_the_first_word_counts),
                echo_test(a_bounce_is_the_answer_before_sent_and_an_event_after),
                echo_test(nobody_speaks_for_another_s_phone),
                echo_test(messages_fail_when_their_last_phone_goes),
                echo_test(a_repeated_message_takes_the_place_of_the_first),
                echo_test(withdrawing_is_not_offered),
                echo_test(a_reply_is_acknowledged_only_by_the_gateway),
                echo_test(a_reply_carries_what_the_phone_says_about_it),
                echo_test(again_comes_back_with_its_delay),
                echo_test(a_lost_gateway_means_again),
                echo_test(an_answer_to_a_phone_that_has_gone_harms_nobody),
                echo_test(replies_past_the_window_wait_and_none_is_lost),
                echo_test(garbage_costs_a_phone_its_connection_and_nobody_else),
                echo_test(a_reply_may_have_4096_bytes_and_no_more),
                echo_test(a_phone_that_does_not_read_misses_messages_and_delays_nobody),
                echo_test(many_phones_share_one_channel),
                echo_test(only_the_owner_may_connect),
                echo_test(what_waits_at_the_end_is_answered),
                cmocka_unit_test(a_path_that_cannot_be_listened_on_is_a_matter_for_a_human),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
