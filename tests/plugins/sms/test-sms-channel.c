/* The SMS channel between a gateway and a driver, both in our hands. */
#include "../peer.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "plugin-run.h"
#include "sms-channel-internal.h"
#include "sms-zone.h"
#include "time-text.h"

enum {
        LOG_MAX = 64,
        TOKENS_MAX = 4000,
};

#define BERLIN "+4915112345678"
#define BERLIN_URI "sms:" BERLIN

/* What the channel did with the driver. */
struct SmsDriver {
        SmsChannel *channel;
        int result; /* of the next calls of send */
        const SmsOutbound *sends[LOG_MAX];
        size_t n_sends;
        char taken[64]; /* the segments that the last one had, by their ids */
        struct {
                uint64_t token;
                SmsSettlement settlement;
        } settled[LOG_MAX];
        size_t n_settled;
        unsigned settlements[TOKENS_MAX]; /* by token */
        char withdrawn[LOG_MAX];
        size_t n_withdrawn_ids;
        unsigned n_withdrawals;
        bool settles_nothing; /* once it is gone */
};

static SmsDriver the_driver;

static int driver_new(
                SmsDriver **ret, SmsChannel *channel, sd_event *event, const json_t *settings) {
        const char *first = plugin_setting(settings, "system_id", "up");

        (void) event;
        the_driver = (SmsDriver){ .channel = channel };
        if (streq(first, "broken"))
                return -EINVAL;
        if (streq(first, "up"))
                sms_channel_carrier(channel, true, "");
        *ret = &the_driver;
        return 0;
}

static int driver_send(SmsDriver *d, const SmsOutbound *outbound) {
        size_t n = 0;

        if (d->result != 0)
                return d->result;
        d->sends[d->n_sends++] = outbound;
        d->taken[0] = '\0';
        for (unsigned i = 0; outbound->taken && i < outbound->plan->n_segments; i++)
                n += (size_t) snprintf(d->taken + n,
                                sizeof(d->taken) - n,
                                "%s ",
                                outbound->taken[i].is_taken ? outbound->taken[i].id : "-");
        return 0;
}

static void driver_settle(SmsDriver *d, uint64_t token, SmsSettlement settlement) {
        assert_false(d->settles_nothing);
        assert_true(token < TOKENS_MAX);
        d->settlements[token]++;
        if (d->n_settled == LOG_MAX)
                return;
        d->settled[d->n_settled].token = token;
        d->settled[d->n_settled++].settlement = settlement;
}

static int driver_withdraw(SmsDriver *d, const SmsTaken *taken) {
        assert_string_equal(taken->to, BERLIN);
        assert_string_equal(taken->from, "+4930123456");
        assert_true(taken->n_ids == 0 || taken->ids);
        (void) snprintf(d->withdrawn, sizeof(d->withdrawn), "%s", taken->message);
        d->n_withdrawn_ids = taken->n_ids;
        d->n_withdrawals++;
        return d->result;
}

static SmsDriver *driver_free(SmsDriver *d) {
        if (d)
                d->settles_nothing = true;
        return NULL;
}

static const SmsDriverOps driver_ops = {
        .name = "test",
        .new = driver_new,
        .send = driver_send,
        .settle = driver_settle,
        .withdraw = driver_withdraw,
        .free = driver_free,
};

static const SmsDriverOps driver_without_withdraw = {
        .name = "final",
        .new = driver_new,
        .send = driver_send,
        .settle = driver_settle,
        .free = driver_free,
};

static const SmsDriverOps driver_with_segments = {
        .name = "parts",
        .tells_segments = true,
        .new = driver_new,
        .send = driver_send,
        .settle = driver_settle,
        .withdraw = driver_withdraw,
        .free = driver_free,
};

const SmsDriverOps *const sms_drivers[] = {
        &driver_ops, &driver_without_withdraw, &driver_with_segments, NULL
};

/* --- The gateway's end --- */

typedef struct Fixture {
        sd_event *event;
        Plugin *plugin;
        Peer gateway;
        int64_t last_id;
        bool has_folder;
        char folder[40];
} Fixture;

static SmsDriver *const driver = &the_driver;

static json_t *settings_new(void) {
        return json_pack("{s:s, s:s, s:[s, s, s]}",
                        "driver",
                        "test",
                        "sender",
                        "+4930123456",
                        "countries",
                        "DE",
                        "AT",
                        "US");
}

/* Takes settings over. */
static void start(Fixture *f, json_t *settings) {
        int fd;

        assert_true(sd_event_new(&f->event) >= 0);
        peer_pair(&f->gateway, f->event, &fd);
        assert_int_equal(plugin_new(&f->plugin, f->event, fd, &sms_channel_ops, "sms"), 0);
        json_decref(peer_hear_type(&f->gateway, "hello"));
        peer_say(&f->gateway,
                        json_pack("{s:s, s:i, s:o}",
                                        "type",
                                        "welcome",
                                        "protocol",
                                        1,
                                        "settings",
                                        settings));
}

static void stop(Fixture *f) {
        f->plugin = plugin_free(f->plugin);
        peer_done(&f->gateway);
        f->event = sd_event_unref(f->event);
}

static void expect_status(Fixture *f, bool up, const char *reason) {
        json_auto_t *status = peer_hear_type(&f->gateway, "status");

        assert_int_equal(json_is_true(json_object_get(status, "up")), up);
        assert_string_equal(frame_text(status, "reason"), reason);
}

static void start_up(Fixture *f, json_t *settings) {
        start(f, settings);
        expect_status(f, true, "");
}

/* One setting more, or another one. */
static json_t *settings_with(const char *name, const char *value) {
        json_t *settings = settings_new();

        assert_int_equal(json_object_set_new(settings, name, json_string(value)), 0);
        return settings;
}

static uint64_t clock_ahead; /* microseconds; of the test that runs */

uint64_t __real_time_boot(void);
uint64_t __wrap_time_boot(void);

uint64_t __wrap_time_boot(void) {
        return __real_time_boot() + clock_ahead;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        (void) unsetenv("STATE_DIRECTORY");
        clock_ahead = 0;
        *state = f;
        return 0;
}

static void in_folder(const Fixture *f, const char *name, char ret[64]) {
        (void) snprintf(ret, 64, "%s/%s", f->folder, name);
}

static int teardown(void **state) {
        Fixture *f = *state;
        char path[64];

        if (f->event)
                stop(f);
        if (f->has_folder) {
                in_folder(f, "reports", path);
                (void) unlink(path);
                assert_int_equal(rmdir(f->folder), 0);
        }
        free(f);
        return 0;
}

static void make_folder(Fixture *f) {
        (void) snprintf(f->folder, sizeof(f->folder), "/tmp/vestibule-test-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        assert_int_equal(setenv("STATE_DIRECTORY", f->folder, 1), 0);
        f->has_folder = true;
}

typedef struct Ask {
        const char *message, *kind, *to, *text;
        int64_t expires, repeat, made;
        bool unasked;
} Ask;

static int64_t asks(Fixture *f, const Ask *ask) {
        int64_t id = ++f->last_id;

        peer_say(&f->gateway,
                        json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:o*, s:o*, s:o*, s:I}",
                                        "type",
                                        "send",
                                        "id",
                                        (json_int_t) id,
                                        "message",
                                        ask->message ? ask->message : "msg_1",
                                        "kind",
                                        ask->kind ? ask->kind : "notice",
                                        "to",
                                        ask->to ? ask->to : BERLIN_URI,
                                        "lang",
                                        "en",
                                        "text",
                                        ask->text ? ask->text : "Hotel Adler shares a key",
                                        "repeat",
                                        ask->repeat ? json_integer(ask->repeat) : NULL,
                                        "made",
                                        ask->made ? json_integer(ask->made) : NULL,
                                        "unasked",
                                        ask->unasked ? json_true() : NULL,
                                        "expires",
                                        (json_int_t) (ask->expires ? ask->expires
                                                                   : time_wall() + 86400 * 2)));
        peer_settle(&f->gateway);
        return id;
}

static int64_t asks_message(Fixture *f, const char *message) {
        return asks(f, &(Ask){ .message = message });
}

static json_t *hears_answer(Fixture *f, const char *type, int64_t id) {
        json_t *answer = peer_hear_type(&f->gateway, type);

        assert_int_equal(frame_number(answer, "id"), id);
        return answer;
}

static void hears_sent(Fixture *f, int64_t id) {
        json_decref(hears_answer(f, "sent", id));
}

static void hears_failed(Fixture *f, int64_t id, bool permanent, const char *reason) {
        json_auto_t *answer = hears_answer(f, "failed", id);

        assert_string_equal(frame_text(answer, "reason"), reason);
        assert_int_equal(json_is_true(json_object_get(answer, "permanent")), permanent);
}

static int64_t hears_later(Fixture *f, int64_t id, const char *reason) {
        json_auto_t *answer = hears_answer(f, "later", id);
        int64_t retry_after = frame_number(answer, "retry_after");

        assert_string_equal(frame_text(answer, "reason"), reason);
        assert_in_range(retry_after, 1, 86400);
        return retry_after;
}

static void gateway_answers(Fixture *f, const json_t *frame, const char *type) {
        peer_say(&f->gateway,
                        json_pack("{s:s, s:I, s:i}",
                                        "type",
                                        type,
                                        "id",
                                        (json_int_t) frame_number(frame, "id"),
                                        "retry_after",
                                        1));
        peer_settle(&f->gateway);
}

/* Hears a report, and answers it. */
static void hears_report_as(Fixture *f,
                const char *says,
                const char *message,
                int64_t repeat,
                const char *type) {
        json_auto_t *report = peer_hear_type(&f->gateway, "report");

        assert_string_equal(frame_text(report, "says"), says);
        assert_string_equal(frame_text(report, "message"), message);
        assert_int_equal(frame_number(report, "repeat"), repeat);
        assert_int_equal(json_object_size(report), streq(says, "failed") ? 7 : 5);
        gateway_answers(f, report, type);
}

static void hears_delivered(Fixture *f, const char *message) {
        hears_report_as(f, "delivered", message, 0, "ack");
}

static void hears_report_failed(Fixture *f, const char *message, const char *reason) {
        json_auto_t *report = peer_hear_type(&f->gateway, "report");

        assert_string_equal(frame_text(report, "says"), "failed");
        assert_string_equal(frame_text(report, "message"), message);
        assert_string_equal(frame_text(report, "reason"), reason);
        assert_true(json_is_true(json_object_get(report, "permanent")));
        gateway_answers(f, report, "ack");
}

/* --- The driver's end --- */

static void driver_tells(size_t i, const SmsSendResult *result) {
        assert_true(i < driver->n_sends);
        sms_channel_sent(driver->channel, driver->sends[i], result);
}

static void driver_takes(size_t i, const char *id) {
        const char *ids[] = { id };

        driver_tells(i, &(SmsSendResult){ .outcome = SMS_SEND_TAKEN, .ids = ids, .n_ids = 1 });
}

static void carrier_reports_as(const char *id, SmppOutcome outcome, uint64_t token) {
        sms_channel_report(driver->channel,
                        &(SmsReport){ .id = id,
                                        .outcome = outcome,
                                        .error = "034",
                                        .token = token });
}

static void carrier_reports(const char *id, SmppOutcome outcome) {
        carrier_reports_as(id, outcome, 0);
}

static void assert_settled(size_t i, uint64_t token, SmsSettlement settlement) {
        assert_true(i < driver->n_settled);
        assert_int_equal(driver->settled[i].token, token);
        assert_int_equal(driver->settled[i].settlement, settlement);
}

/* Waits for what a timer brings. */
static void wait_for_sends(Fixture *f, size_t n) {
        while (driver->n_sends < n)
                assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

/* --- Out --- */

static void a_message_is_sent_when_the_carrier_has_taken_it(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        id = asks(f, &(Ask){ .text = "Grüße aus München", .expires = time_wall() + 600 });
        assert_int_equal(driver->n_sends, 1);
        assert_string_equal(driver->sends[0]->message, "msg_1");
        assert_string_equal(driver->sends[0]->to, BERLIN);
        assert_string_equal(driver->sends[0]->from, "+4930123456");
        assert_string_equal(driver->sends[0]->text, "Grüße aus München");
        assert_int_equal(driver->sends[0]->size, strlen("Grüße aus München"));
        assert_int_equal(driver->sends[0]->plan->n_segments, 1);
        assert_in_range(driver->sends[0]->expires, time_wall() + 500, time_wall() + 600);
        peer_hears_nothing(&f->gateway);
        driver_takes(0, "a1");
        hears_sent(f, id);
        peer_hears_nothing(&f->gateway);
}

static void a_repeated_message_has_the_same_bytes_and_reference(void **state) {
        Fixture *f = *state;
        uint16_t first, other;

        start_up(f, settings_new());
        asks_message(f, "msg_1");
        first = driver->sends[0]->reference;
        driver_tells(0, &(SmsSendResult){ .outcome = SMS_SEND_FAILED, .reason = "x" });
        asks_message(f, "msg_2");
        other = driver->sends[1]->reference;
        asks_message(f, "msg_1");
        assert_int_equal(driver->sends[2]->reference, first);
        assert_int_not_equal(first, other);
        stop(f);

        start_up(f, settings_new());
        asks_message(f, "msg_1");
        assert_int_equal(driver->sends[0]->reference, first);
}

static int64_t asks_again(Fixture *f, int64_t repeat) {
        return asks(f, &(Ask){ .repeat = repeat });
}

static void what_was_taken_leaves_again_only_when_that_is_wanted(void **state) {
        Fixture *f = *state;
        uint16_t reference;
        int64_t id;

        make_folder(f);
        start_up(f, settings_new());
        id = asks_again(f, 0);
        reference = driver->sends[0]->reference;
        driver_takes(0, "a1");
        hears_sent(f, id);
        for (int i = 0; i < 2; i++) /* the answer was lost, and once more */
                hears_sent(f, asks_again(f, 0));
        assert_int_equal(driver->n_sends, 1);
        id = asks_again(f, 1);
        assert_int_equal(driver->n_sends, 2);
        assert_int_equal(driver->sends[1]->reference, reference);
        driver_takes(1, "a2");
        hears_sent(f, id);
        hears_sent(f, asks_again(f, 1));
        assert_int_equal(driver->n_sends, 2);
        hears_failed(f, asks_again(f, -1), false, "bad-frame");
        stop(f);

        start_up(f, settings_new());
        hears_sent(f, asks_again(f, 1));
        assert_int_equal(driver->n_sends, 0);
        asks_again(f, 2);
        assert_int_equal(driver->n_sends, 1);
}

/* What is wanted again before it has left leaves once, and that is what was wanted. */
static void a_repetition_of_what_is_under_way_is_had_with_it(void **state) {
        Fixture *f = *state;
        int64_t first, second;

        start_up(f, settings_new());
        first = asks_again(f, 0);
        second = asks_again(f, 1);
        driver_takes(0, "a1");
        hears_sent(f, first);
        hears_sent(f, second);
        hears_sent(f, asks_again(f, 1));
        assert_int_equal(driver->n_sends, 1);
}

static void numbers_that_cost_too_much_are_refused_for_good(void **state) {
        static const struct {
                const char *to, *reason;
        } numbers[] = {
                { "sms:+33612345678", "number-country" },
                { "sms:+4990012345678", "number-premium" },
                { "sms:+881612345678", "number-satellite" },
                { "sms:+4918051234567", "number-shared-cost" },
                { "sms:+999123456789", "number-unknown" },
                { "sms:015112345678", "number-form" },
                { "sms:+49151", "number-form" },
                { "mailto:bob@example.org", "number-form" },
        };
        Fixture *f = *state;

        start_up(f, settings_new());
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
                hears_failed(f, asks(f, &(Ask){ .to = numbers[i].to }), true, numbers[i].reason);
        assert_int_equal(driver->n_sends, 0);
}

static void a_message_that_is_too_long_is_refused_for_good(void **state) {
        char text[321] = "";
        Fixture *f = *state;

        memset(text, 'a', 307);
        start_up(f, settings_with("segments", "2"));
        hears_failed(f, asks(f, &(Ask){ .message = "msg_2", .text = text }), true, "too-long");
        text[304] = '\0';
        asks(f, &(Ask){ .text = text });
        assert_int_equal(driver->sends[0]->plan->n_segments, 2);
}

static void a_message_that_has_expired_is_refused_for_good(void **state) {
        json_t *settings = settings_with("burst", "1");
        Fixture *f = *state;

        (void) json_object_set_new(settings, "per_minute", json_string("1"));
        start_up(f, settings);
        hears_failed(f, asks(f, &(Ask){ .expires = time_wall() - 1 }), true, "expired");
        assert_int_equal(driver->n_sends, 0);
        asks_message(f, "msg_2"); /* nor did it take another's turn */
        assert_int_equal(driver->n_sends, 1);
}

static void a_frame_that_lacks_something_is_answered(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        hears_failed(f, asks_message(f, "../etc"), false, "bad-frame");
        peer_say(&f->gateway, json_pack("{s:s, s:i}", "type", "send", "id", 77));
        hears_failed(f, 77, false, "bad-frame");
        peer_say(&f->gateway, json_pack("{s:s, s:i}", "type", "dance", "id", 78));
        json_decref(hears_answer(f, "unsupported", 78));
}

static void a_message_under_way_is_not_sent_twice(void **state) {
        Fixture *f = *state;
        int64_t first, second;

        start_up(f, settings_new());
        first = asks_message(f, "msg_1");
        second = asks_message(f, "msg_1");
        assert_int_equal(driver->n_sends, 1);
        driver_takes(0, "a1");
        hears_sent(f, first);
        hears_sent(f, second);
        peer_hears_nothing(&f->gateway);
}

static void the_carriers_word_is_passed_on(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        id = asks_message(f, "msg_1");
        driver_tells(0, &(SmsSendResult){ SMS_SEND_LATER, "throttled", 7, NULL, 0 });
        assert_int_equal(hears_later(f, id, "throttled"), 7);
        id = asks_message(f, "msg_1");
        driver_tells(1, &(SmsSendResult){ SMS_SEND_LATER, "not connected", 0, NULL, 0 });
        (void) hears_later(f, id, "not-connected");
        id = asks_message(f, "msg_1");
        driver_tells(2, &(SmsSendResult){ SMS_SEND_FAILED, "system-error", 0, NULL, 0 });
        hears_failed(f, id, false, "system-error");
        id = asks_message(f, "msg_1");
        driver_tells(3, &(SmsSendResult){ SMS_SEND_REFUSED, "bad-address", 0, NULL, 0 });
        hears_failed(f, id, true, "bad-address");
        id = asks_message(f, "msg_1");
        driver_tells(4, &(SmsSendResult){ SMS_SEND_LATER, "quota", 1000000, NULL, 0 });
        assert_int_equal(hears_later(f, id, "quota"), 86400);
}

/* --- Turns --- */

static void a_turn_that_is_near_is_waited_for_in_order(void **state) {
        json_t *settings = settings_with("burst", "1");
        Fixture *f = *state;
        uint64_t begin;

        (void) json_object_set_new(settings, "per_minute", json_string("6000"));
        start_up(f, settings);
        begin = time_boot();
        asks_message(f, "msg_1");
        asks_message(f, "msg_2");
        asks_message(f, "msg_3");
        wait_for_sends(f, 3);
        assert_true(time_boot() - begin >= 20 * USEC_PER_MSEC);
        for (size_t i = 0; i < 3; i++) {
                char message[8];

                (void) snprintf(message, sizeof(message), "msg_%zu", i + 1);
                assert_string_equal(driver->sends[i]->message, message);
        }
}

static void a_turn_that_is_far_is_left_to_the_gateway(void **state) {
        json_t *settings = settings_with("burst", "2");
        char text[321] = "";
        Fixture *f = *state;

        (void) json_object_set_new(settings, "per_minute", json_string("1"));
        memset(text, 'a', 300);
        start_up(f, settings);
        asks(f, &(Ask){ .text = text }); /* two segments */
        assert_int_equal(driver->n_sends, 1);
        assert_in_range(hears_later(f, asks_message(f, "msg_2"), "pace"), 30, 60);
        assert_in_range(hears_later(f, asks_message(f, "msg_2"), "pace"), 30, 60);
        assert_int_equal(driver->n_sends, 1);
}

static void a_driver_without_room_gets_it_when_it_is_ready(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        driver->result = -EAGAIN;
        asks_message(f, "msg_1");
        asks_message(f, "msg_2");
        assert_int_equal(driver->n_sends, 0);
        driver->result = 0;
        asks_message(f, "msg_3"); /* not past the others */
        assert_int_equal(driver->n_sends, 0);
        sms_channel_ready(driver->channel);
        assert_int_equal(driver->n_sends, 3);
        assert_string_equal(driver->sends[0]->message, "msg_1");
        assert_string_equal(driver->sends[2]->message, "msg_3");
        peer_hears_nothing(&f->gateway);
}

static void a_driver_that_stays_without_room_keeps_nobody_waiting(void **state) {
        int64_t first, second, expired;
        Fixture *f = *state;

        start_up(f, settings_new());
        driver->result = -EAGAIN;
        first = asks_message(f, "msg_1");
        second = asks_message(f, "msg_2");
        TAILQ_FIRST(&driver->channel->waiting)->patience = time_boot();
        sms_send_pump(driver->channel);
        (void) hears_later(f, first, "carrier-busy");
        peer_hears_nothing(&f->gateway);
        driver->result = 0;
        TAILQ_FIRST(&driver->channel->waiting)->outbound.expires = time_wall();
        expired = second;
        sms_channel_ready(driver->channel);
        hears_failed(f, expired, true, "expired");
        assert_int_equal(driver->n_sends, 0);
}

static void a_driver_that_fails_costs_no_try(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        driver->result = -ENOMEM;
        (void) hears_later(f, asks_message(f, "msg_1"), "driver-error");
}

/* --- Quiet hours --- */

/* Hours around now in a zone, or the others: "HH:MM-HH:MM". */
static json_t *settings_quiet(const char *zone, int from, int to) {
        int64_t now = time_wall();
        int32_t offset;
        char text[16];
        int minute;

        assert_true(sms_zone_offset(NULL, zone, now, &offset));
        minute = (int) ((now + offset) % 86400 / 60);
        from = (minute + from + 1440) % 1440;
        to = (minute + to + 1440) % 1440;
        (void) snprintf(text,
                        sizeof(text),
                        "%02d:%02d-%02d:%02d",
                        from / 60 % 24,
                        from % 60,
                        to / 60 % 24,
                        to % 60);
        return settings_with("quiet_hours", text);
}

static void nobody_is_invited_while_they_sleep(void **state) {
        Ask ask = { .kind = "invitation" };
        Fixture *f = *state;

        start_up(f, settings_quiet("Europe/Berlin", -60, 60));
        assert_in_range(hears_later(f, asks(f, &ask), "quiet-hours"), 3000, 7300);
        assert_int_equal(driver->n_sends, 0);
        /* What they wait for comes at once. */
        asks(f, &(Ask){ .message = "msg_2", .kind = "link" });
        asks(f, &(Ask){ .message = "msg_3" });
        assert_int_equal(driver->n_sends, 2);
        /* What somebody else may have brought about does not. */
        hears_later(f, asks(f, &(Ask){ .message = "msg_4", .unasked = true }), "quiet-hours");
        assert_int_equal(driver->n_sends, 2);
}

static void an_invitation_that_would_not_see_the_morning_goes_elsewhere(void **state) {
        Fixture *f = *state;

        start_up(f, settings_quiet("Europe/Berlin", -60, 60));
        hears_failed(f,
                        asks(f, &(Ask){ .kind = "invitation", .expires = time_wall() + 3000 }),
                        true,
                        "quiet-hours");
}

static void people_may_sleep_unless_the_configuration_says_otherwise(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        assert_true(driver->channel->settings.has_quiet_hours);
        assert_int_equal(driver->channel->settings.quiet_hours.from, 21 * 60);
        assert_int_equal(driver->channel->settings.quiet_hours.to, 8 * 60);
        stop(f);
        start_up(f, settings_with("quiet_hours", ""));
        assert_false(driver->channel->settings.has_quiet_hours);
}

static void people_are_invited_by_day(void **state) {
        Fixture *f = *state;

        start_up(f, settings_quiet("Europe/Berlin", 60, 600));
        asks(f, &(Ask){ .kind = "invitation" });
        assert_int_equal(driver->n_sends, 1);
}

static void where_it_may_be_night_it_counts_as_night(void **state) {
        Fixture *f = *state;

        /* An hour in Los Angeles, which it is not in New York. */
        start_up(f, settings_quiet("America/Los_Angeles", -30, 30));
        assert_in_range(hears_later(f,
                                        asks(f,
                                                        &(Ask){ .kind = "invitation",
                                                                        .to = "sms:+12015550123" }),
                                        "quiet-hours"),
                        1000,
                        86400);
        asks(f, &(Ask){ .kind = "invitation" }); /* Berlin is nine hours away */
        assert_int_equal(driver->n_sends, 1);
}

/* --- Reports --- */

static void takes_message(Fixture *f, const char *message, const char *id) {
        int64_t request = asks_message(f, message);

        driver_takes(driver->n_sends - 1, id);
        hears_sent(f, request);
}

static void takes_two_segments_again(Fixture *f, const char *const *ids, int64_t repeat) {
        char text[201] = "";
        int64_t id;

        memset(text, 'a', 200);
        id = asks(f, &(Ask){ .text = text, .repeat = repeat });
        assert_int_equal(driver->sends[driver->n_sends - 1]->plan->n_segments, 2);
        driver_tells(driver->n_sends - 1,
                        &(SmsSendResult){ .outcome = SMS_SEND_TAKEN,
                                        .ids = ids,
                                        .n_ids = ids ? 2 : 0 });
        hears_sent(f, id);
}

static void takes_two_segments(Fixture *f, const char *const *ids) {
        takes_two_segments_again(f, ids, 0);
}

static void a_message_is_delivered_when_all_its_segments_are(void **state) {
        static const char *const ids[] = { "id one", "id-2" };
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_two_segments(f, ids);
        carrier_reports("id-2", SMPP_OUTCOME_DELIVERED);
        carrier_reports("id-2", SMPP_OUTCOME_DELIVERED);
        carrier_reports("id one", SMPP_OUTCOME_ACCEPTED);
        peer_hears_nothing(&f->gateway);
        carrier_reports("id one", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_1");
        carrier_reports("id one", SMPP_OUTCOME_DELIVERED);
        carrier_reports("id one", SMPP_OUTCOME_FAILED);
        peer_hears_nothing(&f->gateway);
}

static void a_message_fails_when_one_segment_does(void **state) {
        static const struct {
                SmppOutcome outcome;
                const char *reason;
        } outcomes[] = { { SMPP_OUTCOME_FAILED, "report-failed" },
                { SMPP_OUTCOME_EXPIRED, "report-expired" },
                { SMPP_OUTCOME_REJECTED, "report-rejected" } };
        static const char *const ids[] = { "x1", "x2" };
        Fixture *f = *state;

        start_up(f, settings_new());
        for (size_t i = 0; i < N_ELEMENTS(outcomes); i++) {
                takes_two_segments_again(f, ids, (int64_t) i);
                carrier_reports("x1", SMPP_OUTCOME_DELIVERED);
                carrier_reports("x2", outcomes[i].outcome);
                hears_report_failed(f, "msg_1", outcomes[i].reason);
                carrier_reports("x2", SMPP_OUTCOME_DELIVERED);
                peer_hears_nothing(&f->gateway);
        }
}

static void reports_may_name_our_message(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_two_segments(f, NULL);
        for (unsigned segment = 0; segment < 2; segment++) {
                peer_hears_nothing(&f->gateway);
                sms_channel_report(driver->channel,
                                &(SmsReport){ .message = "msg_1",
                                                .segment = segment,
                                                .outcome = SMPP_OUTCOME_DELIVERED });
                /* What has arrived cannot get lost. */
                if (segment == 0)
                        sms_channel_report(driver->channel,
                                        &(SmsReport){ .message = "msg_1",
                                                        .outcome = SMPP_OUTCOME_FAILED });
        }
        hears_delivered(f, "msg_1");
        sms_channel_report(driver->channel,
                        &(SmsReport){ .message = "msg_1",
                                        .segment = 9,
                                        .outcome = SMPP_OUTCOME_FAILED });
        sms_channel_report(driver->channel, &(SmsReport){ .outcome = SMPP_OUTCOME_FAILED });
        peer_hears_nothing(&f->gateway);
}

static void a_carrier_may_report_in_another_base(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "00fe12ab");
        takes_message(f, "msg_2", "123456");
        carrier_reports("16650923", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_1");
        carrier_reports("0001E240", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_2");
}

/* 10 is the very id of one message, what 0a is in decimal, and what 16 is in hexadecimal. Carriers
 * repeat reports, and the repetition says nothing about the others. */
static void the_very_id_comes_first(void **state) {
        static const char *const ids[] = { "10", "77" };
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_2", "0a");
        takes_two_segments(f, ids); /* of msg_1 */
        takes_message(f, "msg_3", "16");
        carrier_reports("10", SMPP_OUTCOME_DELIVERED); /* the first segment of msg_1 */
        peer_hears_nothing(&f->gateway);
        carrier_reports("10", SMPP_OUTCOME_DELIVERED);
        peer_hears_nothing(&f->gateway);
        carrier_reports("77", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_1");
        carrier_reports("10", SMPP_OUTCOME_DELIVERED);
        peer_hears_nothing(&f->gateway);
        carrier_reports("0a", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_2");
        carrier_reports("16", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_3");
}

static void ids_that_nobody_knows_are_ignored(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        carrier_reports("a2", SMPP_OUTCOME_DELIVERED);
        carrier_reports("", SMPP_OUTCOME_FAILED);
        assert_int_equal(sms_reports_held(driver->channel->reports), 0);
        takes_message(f, "msg_2", "a2"); /* the carrier uses it only now */
        peer_hears_nothing(&f->gateway);
}

static void a_report_that_overtakes_the_answer_is_kept(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        id = asks_message(f, "msg_1");
        carrier_reports("a1", SMPP_OUTCOME_DELIVERED);
        carrier_reports("b7", SMPP_OUTCOME_DELIVERED);
        peer_hears_nothing(&f->gateway);
        driver_takes(0, "A1");
        hears_sent(f, id);
        hears_delivered(f, "msg_1");
        peer_hears_nothing(&f->gateway);
}

static void one_report_may_be_for_all_segments(void **state) {
        char text[201] = "";
        Fixture *f = *state;
        int64_t id;

        memset(text, 'a', 200);
        start_up(f, settings_new());
        id = asks(f, &(Ask){ .text = text });
        driver_tells(0, &(SmsSendResult){ .outcome = SMS_SEND_TAKEN, .n_ids = 1 });
        hears_sent(f, id);
        sms_channel_report(driver->channel,
                        &(SmsReport){ .message = "msg_1", .outcome = SMPP_OUTCOME_DELIVERED });
        hears_delivered(f, "msg_1");
}

/* --- Reports and who waits for them --- */

static void a_report_is_taken_once_the_gateway_has_it(void **state) {
        json_auto_t *report = NULL;
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 7);
        report = peer_hear_type(&f->gateway, "report");
        assert_string_equal(frame_text(report, "says"), "delivered");
        assert_int_equal(driver->n_settled, 0);
        gateway_answers(f, report, "ack");
        assert_int_equal(driver->n_settled, 1);
        assert_settled(0, 7, SMS_SETTLED_TAKEN);
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 8); /* it has not heard us */
        assert_settled(1, 8, SMS_SETTLED_TAKEN);
        peer_hears_nothing(&f->gateway);
}

static void a_report_that_the_gateway_cannot_take_stays_with_the_carrier(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        for (uint64_t token = 1; token <= 3; token++) {
                carrier_reports_as("a1", SMPP_OUTCOME_FAILED, token);
                hears_report_as(f, "failed", "msg_1", 0, token < 3 ? "again" : "ack");
                assert_settled(token - 1, token, token < 3 ? SMS_SETTLED_LATER : SMS_SETTLED_TAKEN);
        }
        assert_int_equal(driver->n_settled, 3);
}

static void a_gateway_that_knows_events_only_is_told_by_them(void **state) {
        json_auto_t *event = NULL;
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        carrier_reports_as("a1", SMPP_OUTCOME_EXPIRED, 7);
        hears_report_as(f, "failed", "msg_1", 0, "unsupported");
        event = peer_hear_type(&f->gateway, "failed");
        assert_string_equal(frame_text(event, "message"), "msg_1");
        assert_string_equal(frame_text(event, "reason"), "report-expired");
        assert_true(json_is_true(json_object_get(event, "permanent")));
        assert_null(json_object_get(event, "id"));
        assert_settled(0, 7, SMS_SETTLED_TAKEN);
}

/* Nothing of it was on the disk: the carrier repeats it, and it is decided again. */
static void a_report_that_a_lost_gateway_did_not_answer_is_told_to_the_next(void **state) {
        static const char *const ids[] = { "a1", "a2" };
        Fixture *f = *state;

        make_folder(f);
        start_up(f, settings_new());
        takes_two_segments_again(f, ids, 2);
        carrier_reports_as("a2", SMPP_OUTCOME_DELIVERED, 1);
        assert_settled(0, 1, SMS_SETTLED_TAKEN); /* the map has it */
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 2);
        json_decref(peer_hear_type(&f->gateway, "report"));
        stop(f);
        assert_int_equal(driver->n_settled, 2);
        assert_settled(1, 2, SMS_SETTLED_LATER);

        start_up(f, settings_new());
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 3);
        hears_report_as(f, "delivered", "msg_1", 2, "ack");
        assert_settled(0, 3, SMS_SETTLED_TAKEN);
        stop(f);

        start_up(f, settings_new());
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 4);
        assert_settled(0, 4, SMS_SETTLED_TAKEN);
        peer_hears_nothing(&f->gateway);
}

static void the_same_report_twice_is_asked_once(void **state) {
        json_auto_t *report = NULL;
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        for (uint64_t token = 1; token <= 3; token++)
                carrier_reports_as("a1",
                                token < 3 ? SMPP_OUTCOME_DELIVERED : SMPP_OUTCOME_FAILED,
                                token);
        report = peer_hear_type(&f->gateway, "report");
        assert_string_equal(frame_text(report, "says"), "delivered");
        peer_hears_nothing(&f->gateway);
        gateway_answers(f, report, "ack");
        for (uint64_t token = 1; token <= 3; token++)
                assert_settled(token - 1, token, SMS_SETTLED_TAKEN);
}

/* Of a former repetition, whose record is gone. */
static void an_answer_about_a_former_repetition_ends_nothing(void **state) {
        json_auto_t *report = NULL;
        int64_t id;
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        carrier_reports_as("a1", SMPP_OUTCOME_FAILED, 1);
        report = peer_hear_type(&f->gateway, "report");
        id = asks_again(f, 1);
        driver_takes(1, "b1");
        hears_sent(f, id);
        gateway_answers(f, report, "ack");
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
        carrier_reports_as("b1", SMPP_OUTCOME_DELIVERED, 2);
        hears_report_as(f, "delivered", "msg_1", 1, "ack");
        assert_settled(1, 2, SMS_SETTLED_TAKEN);
}

static void a_full_window_leaves_the_report_with_the_carrier(void **state) {
        char id[16];
        Fixture *f = *state;

        start_up(f, settings_with("per_minute", "1000000"));
        takes_message(f, "msg_1", "a1");
        for (uint64_t i = 0; i < SMS_INBOUND_REPLIES_MAX + 2 && driver->n_settled == 0; i++) {
                (void) snprintf(id, sizeof(id), "%u", (unsigned) i);
                sms_channel_inbound(driver->channel,
                                &(SmsInbound){ .from = BERLIN,
                                                .to = "",
                                                .id = id,
                                                .text = "YES",
                                                .token = i });
        }
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 3999);
        assert_int_equal(driver->n_settled, 2);
        assert_settled(1, 3999, SMS_SETTLED_LATER);
        driver->n_settled = 0;
        for (json_t *frame; (frame = peer_hear(&f->gateway)); json_decref(frame)) {
                assert_string_equal(frame_text(frame, "type"), "reply");
                gateway_answers(f, frame, "ack");
        }
        driver->n_settled = 0;
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 3998);
        hears_delivered(f, "msg_1");
        assert_settled(0, 3998, SMS_SETTLED_TAKEN);
}

static void a_report_of_no_use_is_taken_at_once(void **state) {
        static const char *const ids[] = { "a1", "a2" };
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_two_segments(f, ids);
        carrier_reports_as("a1", SMPP_OUTCOME_ACCEPTED, 1);
        carrier_reports_as("zz", SMPP_OUTCOME_DELIVERED, 2);
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 3);
        carrier_reports_as("a1", SMPP_OUTCOME_FAILED, 4);
        for (uint64_t token = 1; token <= 4; token++)
                assert_settled(token - 1, token, SMS_SETTLED_TAKEN);
        peer_hears_nothing(&f->gateway);
}

static void a_report_that_overtakes_waits_for_its_message(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        id = asks_message(f, "msg_1");
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 1);
        assert_int_equal(driver->n_settled, 0);
        driver_takes(0, "a1");
        hears_sent(f, id);
        assert_int_equal(driver->n_settled, 0);
        hears_delivered(f, "msg_1");
        assert_int_equal(driver->n_settled, 1);
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
}

/* The carrier says whose it is only when it was answered. */
static void a_report_that_overtakes_does_not_wait_for_ever(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        id = asks_message(f, "msg_1");
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 1);
        while (driver->n_settled == 0)
                assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
        assert_settled(0, 1, SMS_SETTLED_LATER);
        driver_takes(0, "a1");
        hears_sent(f, id);
        hears_delivered(f, "msg_1"); /* from memory */
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 2);
        assert_settled(1, 2, SMS_SETTLED_TAKEN);
        peer_hears_nothing(&f->gateway);
}

/* Between two tries of a message a part of it may be with the carrier, whose id is not known yet.
 */
static void a_report_between_two_tries_is_not_lost(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        asks_message(f, "msg_1");
        driver_tells(0, &(SmsSendResult){ .outcome = SMS_SEND_FAILED, .reason = "cut" });
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 1);
        assert_int_equal(driver->n_settled, 0);
        hears_failed(f, f->last_id, false, "cut");
        id = asks_message(f, "msg_1");
        driver_takes(1, "a1");
        hears_sent(f, id);
        hears_delivered(f, "msg_1");
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
}

static void what_is_held_at_the_end_is_the_carriers(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        asks_message(f, "msg_1");
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 1);
        stop(f);
        assert_int_equal(driver->n_settled, 1);
        assert_settled(0, 1, SMS_SETTLED_LATER);
}

/* --- Messages that are taken in parts --- */

static const char *const three_ids[] = { "a1", "a2", "a3" };

static int64_t asks_for_three_segments(Fixture *f, int64_t repeat) {
        char text[401] = "";

        memset(text, 'a', 400);
        return asks(f, &(Ask){ .text = text, .repeat = repeat });
}

static void driver_takes_segment(unsigned segment) {
        sms_channel_segment(driver->channel,
                        driver->sends[driver->n_sends - 1],
                        segment,
                        three_ids[segment]);
}

static void driver_asks_for_patience(Fixture *f, int64_t id) {
        driver_tells(driver->n_sends - 1,
                        &(SmsSendResult){ SMS_SEND_LATER, "throttled", 70, NULL, 0 });
        assert_int_equal(hears_later(f, id, "throttled"), 70);
        clock_ahead += 70 * USEC_PER_SEC; /* longer than reports are held */
}

static void driver_takes_three(size_t i) {
        driver_tells(i,
                        &(SmsSendResult){
                                        .outcome = SMS_SEND_TAKEN, .ids = three_ids, .n_ids = 3 });
}

/* The centre throttles in the middle, for longer than anything is held, the process is killed, and
 * receipts come all the time. */
static void what_is_taken_over_a_long_time_is_delivered_once(void **state) {
        Fixture *f = *state;
        uint16_t reference;
        int64_t id;

        make_folder(f);
        start_up(f, settings_with("driver", "parts"));
        id = asks_for_three_segments(f, 0);
        assert_string_equal(driver->taken, "");
        reference = driver->sends[0]->reference;
        driver_takes_segment(0);
        driver_asks_for_patience(f, id);
        carrier_reports_as("a1", SMPP_OUTCOME_DELIVERED, 1);
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
        id = asks_for_three_segments(f, 0);
        assert_string_equal(driver->taken, "a1 - - ");
        driver_takes_segment(1);
        driver_asks_for_patience(f, id);
        stop(f);

        start_up(f, settings_with("driver", "parts"));
        clock_ahead += 70 * USEC_PER_SEC;
        carrier_reports_as("a2", SMPP_OUTCOME_DELIVERED, 2);
        assert_settled(0, 2, SMS_SETTLED_TAKEN);
        id = asks_for_three_segments(f, 0);
        assert_string_equal(driver->taken, "a1 a2 - ");
        assert_int_equal(driver->sends[0]->reference, reference);
        peer_hears_nothing(&f->gateway);
        driver_takes_three(0);
        hears_sent(f, id);
        carrier_reports_as("a3", SMPP_OUTCOME_DELIVERED, 3);
        hears_delivered(f, "msg_1");
        assert_settled(1, 3, SMS_SETTLED_TAKEN);
        stop(f);

        start_up(f, settings_with("driver", "parts"));
        for (size_t i = 0; i < 3; i++)
                carrier_reports_as(three_ids[i], SMPP_OUTCOME_DELIVERED, i);
        peer_hears_nothing(&f->gateway);
}

/* To send the others would cost for nothing. */
static void a_part_that_fails_early_is_the_answer_to_the_next_try(void **state) {
        int64_t id;
        Fixture *f = *state;

        make_folder(f);
        start_up(f, settings_with("driver", "parts"));
        id = asks_for_three_segments(f, 0);
        driver_takes_segment(0);
        driver_asks_for_patience(f, id);
        carrier_reports_as("a1", SMPP_OUTCOME_EXPIRED, 1);
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
        hears_failed(f, asks_for_three_segments(f, 0), true, "report-expired");
        stop(f);

        start_up(f, settings_with("driver", "parts"));
        hears_failed(f, asks_for_three_segments(f, 0), true, "report-expired");
        assert_int_equal(driver->n_sends, 0);
        id = asks_for_three_segments(f, 1); /* wanted once more, and all of it */
        assert_string_equal(driver->taken, "");
        driver_takes_segment(0);
        carrier_reports_as("a1", SMPP_OUTCOME_REJECTED, 2); /* in the middle of it */
        assert_settled(0, 2, SMS_SETTLED_TAKEN);
        driver_takes_three(0);
        hears_failed(f, id, true, "report-rejected");
        carrier_reports_as("a2", SMPP_OUTCOME_FAILED, 3);
        assert_settled(1, 3, SMS_SETTLED_TAKEN);
        peer_hears_nothing(&f->gateway);
}

static void reports_that_name_our_message_find_its_parts(void **state) {
        SmsReport told = {
                .message = "msg_1", .repeat = 1, .outcome = SMPP_OUTCOME_DELIVERED, .token = 1
        };
        int64_t id;
        Fixture *f = *state;

        start_up(f, settings_with("driver", "parts"));
        id = asks_for_three_segments(f, 1);
        sms_channel_segment(driver->channel, driver->sends[0], 0, NULL);
        driver_asks_for_patience(f, id);
        sms_channel_report(driver->channel, &told);
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
        id = asks_for_three_segments(f, 1);
        sms_channel_segment(driver->channel, driver->sends[1], 1, NULL);
        driver_tells(1, &(SmsSendResult){ .outcome = SMS_SEND_TAKEN });
        hears_sent(f, id);
        for (told.segment = 1; told.segment < 3; told.segment++) {
                peer_hears_nothing(&f->gateway);
                told.token++;
                sms_channel_report(driver->channel, &told);
        }
        hears_report_as(f, "delivered", "msg_1", 1, "ack");
}

/* The carrier names in its reports what it was told, and the gateway knows the newest. */
static void a_repetition_that_joins_is_reported_about_as_what_it_is(void **state) {
        SmsReport told = { .message = "msg_1", .outcome = SMPP_OUTCOME_FAILED, .token = 1 };
        Fixture *f = *state;
        int64_t first, second;

        start_up(f, settings_new());
        first = asks_again(f, 0);
        second = asks_again(f, 2);
        driver_tells(0, &(SmsSendResult){ .outcome = SMS_SEND_TAKEN });
        hears_sent(f, first);
        hears_sent(f, second);
        sms_channel_report(driver->channel, &told);
        hears_report_as(f, "failed", "msg_1", 2, "ack");
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
        driver->result = -EAGAIN;
        asks(f, &(Ask){ .message = "msg_2" });
        asks(f, &(Ask){ .message = "msg_2", .repeat = 3 });
        driver->result = 0;
        sms_channel_ready(driver->channel);
        assert_int_equal(driver->sends[1]->repeat, 3);
}

/* --- Reports that nobody knows, while we send without a pause --- */

static void a_report_of_nobodys_waits_only_for_what_left_before_it(void **state) {
        int64_t id, other;
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_0", "a0");
        carrier_reports_as("a0", SMPP_OUTCOME_DELIVERED, 1);
        hears_delivered(f, "msg_0");
        id = asks_message(f, "msg_1");
        other = asks_message(f, "msg_2");
        carrier_reports_as("zz", SMPP_OUTCOME_DELIVERED, 2);
        carrier_reports_as("a0", SMPP_OUTCOME_DELIVERED, 3); /* again, or of msg_1 by the same id */
        assert_int_equal(driver->n_settled, 1);
        asks_message(f, "msg_3");
        driver_takes(2, "a2");
        hears_sent(f, other);
        assert_int_equal(driver->n_settled, 1);
        driver_takes(1, "a1");
        hears_sent(f, id);
        assert_int_equal(driver->n_settled, 3);
        assert_settled(1, 2, SMS_SETTLED_TAKEN);
        assert_settled(2, 3, SMS_SETTLED_TAKEN);
        peer_hears_nothing(&f->gateway);
}

/* --- What is on the disk --- */

static void what_was_taken_survives_a_kill(void **state) {
        static const char *const ids[] = { "one %\n", "two" };
        char before[4096], path[64];
        Fixture *f = *state;
        FILE *file;
        size_t n;

        make_folder(f);
        start_up(f, settings_new());
        takes_two_segments(f, ids);
        carrier_reports("two", SMPP_OUTCOME_DELIVERED);
        in_folder(f, "reports", path);
        file = fopen(path, "re");
        assert_non_null(file);
        n = fread(before, 1, sizeof(before), file);
        assert_int_equal(fclose(file), 0);
        stop(f);
        /* What a farewell may have written is gone again, and a line was cut short. */
        file = fopen(path, "we");
        assert_non_null(file);
        assert_int_equal(fwrite(before, 1, n, file), n);
        assert_true(fputs("t 17952648", file) >= 0);
        assert_int_equal(fclose(file), 0);

        start_up(f, settings_new());
        hears_sent(f, asks_message(f, "msg_1")); /* the answer may have been lost */
        assert_int_equal(driver->n_sends, 0);
        carrier_reports("one %\n", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_1");
        stop(f);

        start_up(f, settings_new());
        carrier_reports("one %\n", SMPP_OUTCOME_DELIVERED);
        carrier_reports("two", SMPP_OUTCOME_FAILED);
        peer_hears_nothing(&f->gateway);
}

/* No file grows beyond it; -1: as large as they like. */
static void limit_files(int64_t size) {
        struct rlimit limit;

        (void) signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = size < 0 ? limit.rlim_max : (rlim_t) size;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void sent_is_said_once_the_disk_has_it(void **state) {
        Fixture *f = *state;
        int64_t id;

        make_folder(f);
        start_up(f, settings_new());
        id = asks_message(f, "msg_1");
        limit_files(0);
        driver_takes(0, "a1");
        (void) hears_later(f, id, "disk-full");
        (void) hears_later(f, asks_message(f, "msg_1"), "disk-full");
        limit_files(-1);
        hears_sent(f, asks_message(f, "msg_1"));
        assert_int_equal(driver->n_sends, 1);
        stop(f);

        start_up(f, settings_new());
        carrier_reports("a1", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_1");
}

static void a_folder_that_another_process_uses_is_refused(void **state) {
        SmsReports *other = NULL;
        Fixture *f = *state;

        make_folder(f);
        assert_int_equal(sms_reports_new(&other), 0);
        assert_int_equal(sms_reports_open(other, f->folder, time_wall()), 0);
        start(f, settings_new());
        peer_hears_nothing(&f->gateway);
        assert_int_equal(plugin_status(f->plugin), EX_CONFIG);
        (void) sms_reports_free(other);
}

static void without_its_folder_it_works_from_memory(void **state) {
        Fixture *f = *state;

        assert_int_equal(setenv("STATE_DIRECTORY", "/proc/none", 1), 0);
        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        carrier_reports("a1", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_1");
}

/* --- Taking back --- */

static int64_t gateway_withdraws(Fixture *f, const char *message) {
        int64_t id = ++f->last_id;

        peer_say(&f->gateway,
                        json_pack("{s:s, s:I, s:s, s:s}",
                                        "type",
                                        "withdraw",
                                        "id",
                                        (json_int_t) id,
                                        "message",
                                        message,
                                        "to",
                                        BERLIN_URI));
        peer_settle(&f->gateway);
        return id;
}

static void a_message_is_taken_back(void **state) {
        Fixture *f = *state;
        int64_t id, again;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        id = gateway_withdraws(f, "msg_1");
        again = gateway_withdraws(f, "msg_1");
        assert_string_equal(driver->withdrawn, "msg_1");
        assert_int_equal(driver->n_withdrawn_ids, 1);
        peer_hears_nothing(&f->gateway);
        assert_int_equal(driver->n_withdrawals, 1);
        sms_channel_withdrawn(driver->channel, "msg_1", SMS_WITHDRAW_DONE);
        json_decref(hears_answer(f, "withdrawn", id));
        json_decref(hears_answer(f, "withdrawn", again));
        carrier_reports("a1", SMPP_OUTCOME_FAILED); /* as carriers do */
        peer_hears_nothing(&f->gateway);
}

static void a_message_that_the_carrier_keeps_is_too_late(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        id = gateway_withdraws(f, "msg_1");
        sms_channel_withdrawn(driver->channel, "msg_1", SMS_WITHDRAW_TOO_LATE);
        json_decref(hears_answer(f, "too-late", id));
        driver->result = -ENOTCONN;
        json_decref(hears_answer(f, "too-late", gateway_withdraws(f, "msg_1")));
        driver->result = 0;
        carrier_reports("a1", SMPP_OUTCOME_DELIVERED);
        hears_delivered(f, "msg_1");
        json_decref(hears_answer(f, "too-late", gateway_withdraws(f, "msg_1")));
        json_decref(hears_answer(f, "too-late", gateway_withdraws(f, "msg_9")));
        json_decref(hears_answer(f, "too-late", gateway_withdraws(f, "no/message")));
}

static void a_carrier_that_cannot_take_back_is_too_late(void **state) {
        Fixture *f = *state;

        start_up(f, settings_with("driver", "final"));
        takes_message(f, "msg_1", "a1");
        json_decref(hears_answer(f, "too-late", gateway_withdraws(f, "msg_1")));
}

static void a_message_that_waits_here_is_not_sent_any_more(void **state) {
        Fixture *f = *state;
        int64_t sent, withdrawn;

        start_up(f, settings_new());
        driver->result = -EAGAIN;
        sent = asks_message(f, "msg_1");
        withdrawn = gateway_withdraws(f, "msg_1");
        hears_failed(f, sent, false, "withdrawn");
        json_decref(hears_answer(f, "withdrawn", withdrawn));
        driver->result = 0;
        sms_channel_ready(driver->channel);
        assert_int_equal(driver->n_sends, 0);
}

static void a_carrier_that_is_away_is_asked_again(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        driver->result = -EAGAIN;
        (void) hears_later(f, gateway_withdraws(f, "msg_1"), "carrier");
        driver->result = 0;
        id = gateway_withdraws(f, "msg_1");
        sms_channel_withdrawn(driver->channel, "msg_1", SMS_WITHDRAW_LATER);
        (void) hears_later(f, id, "carrier");
        id = gateway_withdraws(f, "msg_1");
        sms_channel_withdrawn(driver->channel, "msg_1", SMS_WITHDRAW_DONE);
        json_decref(hears_answer(f, "withdrawn", id));
}

static void a_message_under_way_is_taken_back_once_the_carrier_has_it(void **state) {
        int64_t sent, withdrawn;
        Fixture *f = *state;

        start_up(f, settings_new());
        sent = asks_message(f, "msg_1");
        withdrawn = gateway_withdraws(f, "msg_1");
        assert_int_equal(driver->n_withdrawals, 0);
        peer_hears_nothing(&f->gateway);
        driver_takes(0, "a1");
        hears_sent(f, sent);
        assert_int_equal(driver->n_withdrawals, 1);
        peer_hears_nothing(&f->gateway);
        sms_channel_withdrawn(driver->channel, "msg_1", SMS_WITHDRAW_DONE);
        json_decref(hears_answer(f, "withdrawn", withdrawn));
}

static void a_message_under_way_that_comes_to_nothing_needs_no_asking(void **state) {
        static const struct {
                SmsSendOutcome outcome;
                const char *answer, *text;
        } cases[] = {
                { SMS_SEND_LATER, "withdrawn", "short" },
                { SMS_SEND_REFUSED, "withdrawn", "short" },
                { SMS_SEND_FAILED, "too-late", "short" }, /* the carrier may have it */
                { SMS_SEND_LATER, "too-late", "long" },   /* or a part of it */
        };
        char message[16], text[400];
        int64_t id;
        Fixture *f = *state;

        start_up(f, settings_new());
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                (void) snprintf(message, sizeof(message), "msg_%zu", i);
                memset(text, 'a', sizeof(text) - 1);
                text[sizeof(text) - 1] = '\0';
                asks(f,
                                &(Ask){ .message = message,
                                                .text = streq(cases[i].text, "short") ? "short"
                                                                                      : text });
                id = gateway_withdraws(f, message);
                driver_tells(i, &(SmsSendResult){ .outcome = cases[i].outcome, .reason = "x" });
                json_decref(peer_hear_type(&f->gateway,
                                cases[i].outcome == SMS_SEND_LATER ? "later" : "failed"));
                json_decref(hears_answer(f, cases[i].answer, id));
        }
        assert_int_equal(driver->n_withdrawals, 0);
}

/* `withdrawn` is said only where no copy at all can arrive. */
static void of_several_copies_the_newest_is_taken_back_and_it_is_too_late(void **state) {
        Fixture *f = *state;
        int64_t id;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        id = asks_again(f, 1);
        driver_takes(1, "a2");
        hears_sent(f, id);
        id = gateway_withdraws(f, "msg_1");
        assert_int_equal(driver->n_withdrawals, 1);
        sms_channel_withdrawn(driver->channel, "msg_1", SMS_WITHDRAW_DONE);
        json_decref(hears_answer(f, "too-late", id));

        asks_message(f, "msg_2");
        driver_tells(2, &(SmsSendResult){ .outcome = SMS_SEND_FAILED, .reason = "cut" });
        hears_failed(f, f->last_id, false, "cut");
        takes_message(f, "msg_2", "b1");
        id = gateway_withdraws(f, "msg_2");
        assert_int_equal(driver->n_withdrawals, 2);
        sms_channel_withdrawn(driver->channel, "msg_2", SMS_WITHDRAW_DONE);
        json_decref(hears_answer(f, "too-late", id));
}

/* Nobody knows any more what the process that was killed had tried. */
static void what_a_former_process_may_have_sent_is_too_late(void **state) {
        int64_t sent, withdrawn, made = time_wall();
        Fixture *f = *state;

        make_folder(f);
        start_up(f, settings_new());
        asks(f, &(Ask){ .message = "msg_1", .made = made });
        asks_message(f, "msg_2");
        driver_tells(1, &(SmsSendResult){ .outcome = SMS_SEND_FAILED, .reason = "cut" });
        hears_failed(f, f->last_id, false, "cut");
        takes_message(f, "msg_2", "b1");
        stop(f);

        start_up(f, settings_new());
        driver->result = -EAGAIN;
        sent = asks(f, &(Ask){ .message = "msg_1", .made = made });
        withdrawn = gateway_withdraws(f, "msg_1");
        hears_failed(f, sent, false, "withdrawn");
        json_decref(hears_answer(f, "too-late", withdrawn));
        sent = asks(f, &(Ask){ .message = "msg_3", .made = time_wall() + 1 });
        withdrawn = gateway_withdraws(f, "msg_3");
        hears_failed(f, sent, false, "withdrawn");
        json_decref(hears_answer(f, "withdrawn", withdrawn));
        driver->result = 0;
        withdrawn = gateway_withdraws(f, "msg_2");
        assert_int_equal(driver->n_withdrawals, 1);
        sms_channel_withdrawn(driver->channel, "msg_2", SMS_WITHDRAW_DONE);
        json_decref(hears_answer(f, "too-late", withdrawn));
}

static void what_was_tried_is_not_forgotten_over_many_others(void **state) {
        json_t *settings = settings_with("per_minute", "1000000");
        int64_t sent, withdrawn, made = time_wall();
        char message[32];
        Fixture *f = *state;

        assert_int_equal(json_object_set_new(settings, "burst", json_string("1000")), 0);
        start_up(f, settings);
        for (unsigned i = 0; i <= SMS_CHANNEL_TRIED_MAX; i++) {
                (void) snprintf(message, sizeof(message), "msg_%u", i);
                driver->n_sends = 0;
                sent = asks(f, &(Ask){ .message = message, .made = made });
                driver_tells(0, &(SmsSendResult){ .outcome = SMS_SEND_FAILED, .reason = "cut" });
                hears_failed(f, sent, false, "cut");
        }
        driver->result = -EAGAIN;
        sent = asks(f, &(Ask){ .message = "msg_0", .made = made });
        withdrawn = gateway_withdraws(f, "msg_0");
        hears_failed(f, sent, false, "withdrawn");
        json_decref(hears_answer(f, "too-late", withdrawn));
}

/* One that the carrier has is asked for, also when its repetition waits here. */
static void a_repetition_that_waits_here_is_not_all_of_it(void **state) {
        int64_t sent, withdrawn;
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_message(f, "msg_1", "a1");
        driver->result = -EAGAIN;
        sent = asks_again(f, 1);
        driver->result = 0;
        withdrawn = gateway_withdraws(f, "msg_1");
        hears_failed(f, sent, false, "withdrawn");
        assert_int_equal(driver->n_withdrawals, 1);
        sms_channel_withdrawn(driver->channel, "msg_1", SMS_WITHDRAW_DONE);
        json_decref(hears_answer(f, "withdrawn", withdrawn));
}

static void what_has_arrived_in_part_is_too_late(void **state) {
        static const char *const ids[] = { "a1", "a2" };
        Fixture *f = *state;

        start_up(f, settings_new());
        takes_two_segments(f, ids);
        carrier_reports("a1", SMPP_OUTCOME_DELIVERED);
        json_decref(hears_answer(f, "too-late", gateway_withdraws(f, "msg_1")));
        assert_int_equal(driver->n_withdrawals, 0);
}

/* --- In --- */

static void comes_in_as(const SmsInbound *inbound) {
        sms_channel_inbound(driver->channel, inbound);
}

static void text_comes_in(const char *id, const char *text, uint64_t token) {
        comes_in_as(&(SmsInbound){ .from = BERLIN,
                        .to = "+4930123456",
                        .id = id,
                        .text = text,
                        .sent = 1795262400,
                        .token = token });
}

static void part_comes_in(const char *id, unsigned part, const char *text, uint64_t token) {
        SmsConcat concat = { SMS_CONCAT_8, 7, 3, (uint8_t) part };
        SmsOctets octets = {
                .alphabet = SMS_ASCII, .data = (const uint8_t *) text, .size = strlen(text)
        };

        comes_in_as(&(SmsInbound){ .from = BERLIN,
                        .to = "+4930123456",
                        .id = id,
                        .concat = &concat,
                        .octets = &octets,
                        .token = token });
}

/* Hears a reply with this text, whose identity goes to ret, and answers it. */
static void replies_to(Fixture *f, const char *text, const char *type, char ret[64]) {
        json_auto_t *reply = peer_hear_type(&f->gateway, "reply");

        assert_string_equal(frame_text(reply, "text"), text);
        if (ret)
                (void) snprintf(ret, 64, "%s", frame_text(reply, "inbound"));
        gateway_answers(f, reply, type);
}

static void a_reply_is_taken_once_the_gateway_has_it(void **state) {
        json_auto_t *reply = NULL;
        Fixture *f = *state;

        start_up(f, settings_new());
        text_comes_in("SM-1", "7KQ4 123-456-789 ä€😀", 11);
        reply = peer_hear_type(&f->gateway, "reply");
        assert_string_equal(frame_text(reply, "inbound"), "SM-1");
        assert_string_equal(frame_text(reply, "from"), BERLIN_URI);
        assert_string_equal(frame_text(reply, "to"), "sms:+4930123456");
        assert_string_equal(frame_text(reply, "text"), "7KQ4 123-456-789 ä€😀");
        assert_string_equal(frame_text(reply, "authentic"), "weak");
        assert_true(json_is_false(json_object_get(reply, "automatic")));
        assert_in_range(frame_number(reply, "received"), time_wall() - 60, time_wall());
        assert_int_equal(driver->n_settled, 0);
        gateway_answers(f, reply, "ack");
        assert_int_equal(driver->n_settled, 1);
        assert_settled(0, 11, SMS_SETTLED_TAKEN);
}

static void what_the_gateway_cannot_take_stays_with_the_carrier(void **state) {
        Fixture *f = *state;
        char first[64], second[64];

        start_up(f, settings_new());
        text_comes_in(NULL, "YES", 1);
        replies_to(f, "YES", "again", first);
        assert_settled(0, 1, SMS_SETTLED_LATER);
        text_comes_in(NULL, "YES", 2);
        replies_to(f, "YES", "ack", second);
        assert_settled(1, 2, SMS_SETTLED_TAKEN);
        assert_string_equal(first, second);
        text_comes_in(NULL, "YES", 3);
        replies_to(f, "YES", "unsupported", NULL); /* it would be so forever */
        assert_settled(2, 3, SMS_SETTLED_TAKEN);
        assert_int_equal(driver->n_settled, 3);
}

static void a_lost_gateway_has_taken_nothing(void **state) {
        SmsConcat concat = { SMS_CONCAT_16, 500, 2, 1 };
        SmsOctets octets = { .alphabet = SMS_ASCII, .data = (const uint8_t *) "a", .size = 1 };
        Fixture *f = *state;

        start_up(f, settings_new());
        text_comes_in("1", "YES", 1);
        comes_in_as(&(SmsInbound){ .from = BERLIN,
                        .to = "",
                        .concat = &concat,
                        .octets = &octets,
                        .token = 2 });
        stop(f);
        assert_int_equal(driver->n_settled, 2);
        assert_settled(0, 1, SMS_SETTLED_LATER);
        assert_settled(1, 2, SMS_SETTLED_LATER);
        assert_true(driver->settles_nothing);
}

static void a_full_window_leaves_it_with_the_carrier(void **state) {
        char id[16];
        Fixture *f = *state;

        start_up(f, settings_new());
        for (uint64_t i = 0; i < SMS_INBOUND_REPLIES_MAX + 2 && driver->n_settled == 0; i++) {
                (void) snprintf(id, sizeof(id), "%u", (unsigned) i);
                text_comes_in(id, "YES", i);
        }
        assert_int_equal(driver->n_settled, 1);
        assert_int_equal(driver->settled[0].settlement, SMS_SETTLED_LATER);
        assert_in_range(driver->settled[0].token, 100, SMS_INBOUND_REPLIES_MAX);
        driver->n_settled = 0;
        for (json_t *frame; (frame = peer_hear(&f->gateway)); json_decref(frame))
                assert_string_equal(frame_text(frame, "type"), "reply");
}

static void identity_tells_people_times_and_words_apart(void **state) {
        const SmsInbound same[] = {
                { .from = BERLIN, .to = "", .text = "YES", .sent = 5 },
                { .from = BERLIN, .to = "", .text = "YES", .sent = 5 },
                { .from = BERLIN, .to = "", .text = "YES", .sent = 6 },
                { .from = BERLIN, .to = "", .text = "yes", .sent = 5 },
                { .from = "+4915112345679", .to = "", .text = "YES", .sent = 5 },
                { .from = BERLIN, .to = "", .text = "YES", .sent = 5, .id = "ein id" },
                { .from = BERLIN, .to = "", .text = "NO", .sent = 9, .id = "ein id" },
        };
        char ids[N_ELEMENTS(same)][64];
        Fixture *f = *state;

        start_up(f, settings_new());
        for (size_t i = 0; i < N_ELEMENTS(same); i++) {
                comes_in_as(&same[i]);
                replies_to(f, same[i].text, "ack", ids[i]);
                for (size_t j = 0; j < i; j++)
                        assert_int_equal(streq(ids[i], ids[j]), i == 1 && j == 0);
        }
}

static void the_same_message_twice_is_asked_once(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        text_comes_in("1", "YES", 1);
        text_comes_in("1", "YES", 2);
        text_comes_in("1", "NO", 3); /* not the same, whatever the carrier says */
        replies_to(f, "YES", "ack", NULL);
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
        assert_settled(1, 2, SMS_SETTLED_TAKEN);
        replies_to(f, "NO", "ack", NULL);
        assert_settled(2, 3, SMS_SETTLED_TAKEN);
        assert_int_equal(driver->n_settled, 3);
}

static void senders_that_are_no_number_are_ignored(void **state) {
        static const char *const senders[] = {
                "Hotel", "80800", "", "+49", "+4930123456", "+49151 1234567", "\xff\xfe"
        };
        Fixture *f = *state;

        start_up(f, settings_new());
        for (size_t i = 0; i < N_ELEMENTS(senders); i++) {
                comes_in_as(&(SmsInbound){
                                .from = senders[i], .to = "x", .text = "YES", .token = i });
                assert_settled(i, i, SMS_SETTLED_TAKEN);
        }
        comes_in_as(&(SmsInbound){ .from = BERLIN, .to = "", .text = "", .token = 99 });
        comes_in_as(&(SmsInbound){ .from = BERLIN, .to = "", .text = "\xff", .token = 99 });
        comes_in_as(&(SmsInbound){ .from = BERLIN, .to = "", .token = 99 });
        assert_int_equal(driver->n_settled, N_ELEMENTS(senders) + 3);
        peer_hears_nothing(&f->gateway);
}

static void a_long_text_is_cut_at_a_character(void **state) {
        json_auto_t *reply = NULL;
        char text[6001];
        Fixture *f = *state;

        for (size_t i = 0; i < 6000; i += 3)
                memcpy(text + i, "€", 4);
        start_up(f, settings_new());
        text_comes_in("1", text, 1);
        reply = peer_hear_type(&f->gateway, "reply");
        assert_int_equal(strlen(frame_text(reply, "text")), 4095);
        assert_int_equal(memcmp(frame_text(reply, "text"), text, 4095), 0);
}

static void a_short_code_of_ours_is_told_as_our_address(void **state) {
        json_auto_t *reply = NULL;
        Fixture *f = *state;

        start_up(f, settings_new());
        comes_in_as(&(SmsInbound){ .from = BERLIN, .to = "80800", .text = "YES" });
        reply = peer_hear_type(&f->gateway, "reply");
        assert_string_equal(frame_text(reply, "to"), "sms:+4930123456");
}

/* --- Parts --- */

static void parts_become_a_text(void **state) {
        Fixture *f = *state;
        char first[64], second[64];

        start_up(f, settings_new());
        for (uint64_t round = 0; round < 2; round++) {
                part_comes_in(NULL, 3, "c", 3);
                part_comes_in(NULL, 1, "a", 1);
                peer_hears_nothing(&f->gateway);
                assert_int_equal(driver->n_settled, round * 3);
                part_comes_in(NULL, 2, "b", 2);
                replies_to(f, "abc", round ? "ack" : "again", round ? second : first);
                for (size_t i = 0; i < 3; i++)
                        assert_settled(round * 3 + i,
                                        i + 1,
                                        round ? SMS_SETTLED_TAKEN : SMS_SETTLED_LATER);
        }
        assert_string_equal(first, second);
        assert_int_equal(sms_replies_parts(driver->channel->replies), 0);
}

static void a_part_over_another_connection_takes_the_place_of_the_former(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        part_comes_in("p1", 1, "a", 1);
        part_comes_in("p1", 1, "a", 11);
        assert_settled(0, 1, SMS_SETTLED_LATER); /* nobody hears it */
        part_comes_in("p2", 2, "b", 2);
        part_comes_in("p3", 3, "c", 3);
        replies_to(f, "abc", "ack", NULL);
        assert_int_equal(driver->n_settled, 4);
        assert_settled(1, 11, SMS_SETTLED_TAKEN);
}

static void a_part_may_come_again_under_another_id(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        part_comes_in("p1", 1, "a", 1);
        part_comes_in("x1", 1, "a", 11);
        assert_settled(0, 1, SMS_SETTLED_LATER);
        assert_int_equal(sms_replies_parts(driver->channel->replies), 1);
        part_comes_in(NULL, 1, "a", 21);
        part_comes_in("p2", 2, "b", 2);
        part_comes_in("p3", 3, "c", 3);
        replies_to(f, "abc", "ack", NULL);
        assert_int_equal(driver->n_settled, 5);
        assert_settled(2, 21, SMS_SETTLED_TAKEN);
        assert_int_equal(sms_replies_parts(driver->channel->replies), 0);
}

static void after(uint64_t seconds) {
        sms_replies_expire(driver->channel->replies, time_boot() + seconds * USEC_PER_SEC);
}

/* There are carriers that bring the next message when the last one was answered. */
static void a_carrier_that_brings_one_at_a_time_is_not_stuck(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        part_comes_in("p1", 1, "a", 1);
        after(SMS_INBOUND_PART_SECONDS - 1);
        assert_int_equal(driver->n_settled, 0);
        after(SMS_INBOUND_PART_SECONDS + 1);
        assert_settled(0, 1, SMS_SETTLED_LATER);
        part_comes_in("p2", 2, "b", 2);
        after(SMS_INBOUND_PART_SECONDS + 1);
        assert_settled(1, 2, SMS_SETTLED_LATER);
        part_comes_in("p3", 3, "c", 3);
        part_comes_in("p1", 1, "a", 11); /* before the gateway has answered */
        assert_int_equal(driver->n_settled, 2);
        replies_to(f, "abc", "ack", NULL);
        assert_settled(2, 3, SMS_SETTLED_TAKEN);
        assert_settled(3, 11, SMS_SETTLED_TAKEN);
        part_comes_in("p2", 2, "b", 12); /* and after it */
        assert_settled(4, 12, SMS_SETTLED_TAKEN);
        assert_int_equal(sms_replies_parts(driver->channel->replies), 0);
        peer_hears_nothing(&f->gateway);
}

static void what_was_handed_back_is_whole_again_when_the_gateway_could_not(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        part_comes_in("p1", 1, "a", 1);
        part_comes_in("p2", 2, "b", 2);
        after(SMS_INBOUND_PART_SECONDS + 1);
        part_comes_in("p3", 3, "c", 3);
        replies_to(f, "abc", "again", NULL);
        assert_settled(2, 3, SMS_SETTLED_LATER);
        part_comes_in("p3", 3, "c", 13);
        part_comes_in("p1", 1, "a", 11);
        part_comes_in("p2", 2, "b", 12);
        replies_to(f, "abc", "ack", NULL);
        assert_int_equal(driver->n_settled, 6);
        assert_settled(5, 13, SMS_SETTLED_TAKEN);
}

static void a_message_whose_parts_stay_away_is_given_up(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        part_comes_in("p1", 1, "a", 1);
        after(SMS_INBOUND_PART_SECONDS + 1);
        part_comes_in("p2", 2, "b", 2);
        after(SMS_INBOUND_WHOLE_SECONDS + 1);
        assert_int_equal(driver->n_settled, 2);
        assert_settled(1, 2, SMS_SETTLED_TAKEN);
        part_comes_in("p1", 1, "a", 11); /* as it was told to */
        assert_settled(2, 11, SMS_SETTLED_TAKEN);
        assert_int_equal(sms_replies_parts(driver->channel->replies), 0);
        peer_hears_nothing(&f->gateway);
}

static void a_part_that_contradicts_gives_the_former_up(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        part_comes_in("p1", 1, "a", 1);
        part_comes_in("q1", 1, "A", 2);
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
        part_comes_in("q2", 2, "B", 3);
        part_comes_in("q3", 3, "C", 4);
        replies_to(f, "ABC", "ack", NULL);
        assert_int_equal(driver->n_settled, 4);
}

static void nobody_fills_the_room_of_all(void **state) {
        SmsOctets octets = { .alphabet = SMS_ASCII, .data = (const uint8_t *) "a", .size = 1 };
        Fixture *f = *state;

        start_up(f, settings_new());
        for (uint16_t i = 0; i < 8; i++) {
                SmsConcat concat = { SMS_CONCAT_16, i, 2, 1 };

                comes_in_as(&(SmsInbound){ .from = BERLIN,
                                .to = "",
                                .concat = &concat,
                                .octets = &octets,
                                .token = i });
        }
        assert_int_equal(driver->n_settled, 4);
        assert_settled(0, 4, SMS_SETTLED_LATER);
        text_comes_in("1", "YES", 99); /* one that is whole needs no room */
        replies_to(f, "YES", "ack", NULL);
}

static void part_of_two_comes_in(
                uint16_t reference, uint8_t part, const char *text, uint64_t token) {
        SmsConcat concat = { SMS_CONCAT_16, reference, 2, part };
        SmsOctets octets = {
                .alphabet = SMS_ASCII, .data = (const uint8_t *) text, .size = strlen(text)
        };

        comes_in_as(&(SmsInbound){ .from = BERLIN,
                        .to = "+4930123456",
                        .concat = &concat,
                        .octets = &octets,
                        .sent = 1795262400,
                        .token = token });
}

/* What had to make room was neither taken nor is it remembered as of no use. */
static void what_made_room_is_as_new_when_it_comes_again(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        for (uint16_t i = 1; i <= 4; i++)
                part_of_two_comes_in(i, 1, "Ja", i);
        clock_ahead = (SMS_INBOUND_PART_SECONDS + 1) * USEC_PER_SEC;
        after(0);
        assert_int_equal(driver->n_settled, 4);
        assert_settled(0, 1, SMS_SETTLED_LATER);
        part_of_two_comes_in(5, 1, "Ja", 5); /* in the place of the first */
        part_of_two_comes_in(1, 1, "Ja", 11);
        assert_int_equal(driver->n_settled, 4);
        part_of_two_comes_in(1, 2, " K7Q2", 12);
        replies_to(f, "Ja K7Q2", "ack", NULL);
        assert_settled(4, 11, SMS_SETTLED_TAKEN);
        assert_settled(5, 12, SMS_SETTLED_TAKEN);
}

static void what_makes_room_before_it_is_handed_back_stays_with_the_carrier(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        for (uint16_t i = 1; i <= 4; i++)
                part_of_two_comes_in(i, 1, "Ja", i);
        clock_ahead = (SMS_INBOUND_PART_SECONDS + 1) * USEC_PER_SEC;
        part_of_two_comes_in(5, 1, "Ja", 5);
        assert_int_equal(driver->n_settled, 1);
        assert_settled(0, 1, SMS_SETTLED_LATER);
}

static void part_of_many_comes_in(unsigned sender, uint8_t part, const char *text, uint64_t token) {
        SmsConcat concat = { SMS_CONCAT_8, 1, SMS_WHOLE_PARTS_MAX, part };
        SmsOctets octets = {
                .alphabet = SMS_ASCII, .data = (const uint8_t *) text, .size = strlen(text)
        };
        char from[SMS_NUMBER_SIZE];

        (void) snprintf(from, sizeof(from), "+49151%08u", sender);
        comes_in_as(&(SmsInbound){ .from = from,
                        .to = "+4930123456",
                        .concat = &concat,
                        .octets = &octets,
                        .token = token });
}

static void parts_that_wait_keep_no_message_of_one_part_out(void **state) {
        static const SmsConcat alone = { SMS_CONCAT_NONE };
        SmsOctets octets = { .alphabet = SMS_ASCII, .data = (const uint8_t *) "STOP", .size = 4 };
        Fixture *f = *state;

        start_up(f, settings_new());
        for (unsigned i = 0; i < SMS_INBOUND_PARTS_MAX; i++)
                part_of_many_comes_in(i / 50, (uint8_t) (1 + i % 50), "a", 1);
        assert_int_equal(sms_replies_parts(driver->channel->replies), SMS_INBOUND_PARTS_MAX);
        part_of_many_comes_in(999, 1, "a", 2);
        assert_settled(0, 2, SMS_SETTLED_LATER);
        comes_in_as(&(SmsInbound){ .from = BERLIN,
                        .to = "",
                        .concat = &alone,
                        .octets = &octets,
                        .token = 3 });
        replies_to(f, "STOP", "ack", NULL);
        assert_settled(1, 3, SMS_SETTLED_TAKEN);
}

static void parts_of_nothing_take_no_room(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        part_of_many_comes_in(1, 1, "", 1);
        assert_settled(0, 1, SMS_SETTLED_TAKEN);
        assert_int_equal(sms_replies_parts(driver->channel->replies), 0);
        assert_true(sms_replies_is_idle(driver->channel->replies));
}

static void one_sender_has_a_limit_of_parts(void **state) {
        Fixture *f = *state;
        SmsOctets octets = { .alphabet = SMS_ASCII, .data = (const uint8_t *) "a", .size = 1 };

        start_up(f, settings_new());
        for (uint8_t i = 0; i < 80; i++) {
                SmsConcat concat = {
                        SMS_CONCAT_8, i / 40, SMS_WHOLE_PARTS_MAX, (uint8_t) (1 + i % 40)
                };

                comes_in_as(&(SmsInbound){ .from = BERLIN,
                                .to = "",
                                .concat = &concat,
                                .octets = &octets,
                                .token = i });
        }
        assert_int_equal(sms_replies_parts(driver->channel->replies), 64);
        assert_int_equal(driver->n_settled, 16);
        assert_settled(0, 64, SMS_SETTLED_LATER);
}

static unsigned dice(uint32_t *seed, unsigned sides) {
        *seed = *seed * 1664525 + 1013904223;
        return (*seed >> 16) % sides;
}

/* Parts of three people in any order, repeated under the same and other ids, while the gateway
 * answers as it likes and time goes by. */
static void every_part_is_settled_once(void **state) {
        static const char *const senders[] = { BERLIN, "+436641234567", "+12015550123" };
        static const char *const ids[] = { NULL, NULL, "p1", "p2" };
        uint32_t seed = 20261122;
        Fixture *f = *state;

        start_up(f, settings_new());
        for (uint64_t token = 0; token < TOKENS_MAX; token++) {
                const char text[] = { (char) ('a' + dice(&seed, 12) / 11), '\0' };
                SmsConcat concat = {
                        SMS_CONCAT_16, (uint16_t) dice(&seed, 2), 2, (uint8_t) (1 + dice(&seed, 2))
                };
                SmsOctets octets = {
                        .alphabet = SMS_ASCII, .data = (const uint8_t *) text, .size = 1
                };
                json_auto_t *frame = NULL;

                comes_in_as(&(SmsInbound){ .from = senders[dice(&seed, 3)],
                                .to = "",
                                .id = ids[dice(&seed, 4)],
                                .concat = &concat,
                                .octets = &octets,
                                .token = token });
                if (dice(&seed, 3) == 0 && (frame = peer_hear(&f->gateway)))
                        gateway_answers(f, frame, dice(&seed, 3) ? "ack" : "again");
                if (dice(&seed, 20) == 0)
                        after(dice(&seed, 3) ? SMS_INBOUND_PART_SECONDS
                                             : SMS_INBOUND_WHOLE_SECONDS);
        }
        after(SMS_INBOUND_WHOLE_SECONDS + 1);
        assert_int_equal(sms_replies_parts(driver->channel->replies), 0);
        stop(f);
        for (size_t i = 0; i < TOKENS_MAX; i++)
                if (driver->settlements[i] != 1)
                        fail_msg("part %zu was settled %u times", i, driver->settlements[i]);
}

static void a_part_that_waits_costs_no_timer_afterwards(void **state) {
        Fixture *f = *state;

        start_up(f, settings_new());
        assert_int_equal(sms_replies_is_idle(driver->channel->replies), true);
        part_comes_in("p1", 1, "a", 1);
        assert_int_equal(sms_replies_is_idle(driver->channel->replies), false);
        part_comes_in("p2", 2, "b", 2);
        part_comes_in("p3", 3, "c", 3);
        replies_to(f, "abc", "ack", NULL);
        assert_int_equal(sms_replies_is_idle(driver->channel->replies), true);
}

/* --- Life --- */

static void the_carriers_state_is_told_at_each_change(void **state) {
        Fixture *f = *state;

        start(f, settings_with("system_id", "silent"));
        expect_status(f, false, "connecting");
        sms_channel_carrier(driver->channel, false, "refused");
        expect_status(f, false, "refused");
        sms_channel_carrier(driver->channel, false, "refused");
        sms_channel_carrier(driver->channel, true, "");
        expect_status(f, true, "");
        sms_channel_carrier(driver->channel, true, "");
        sms_channel_carrier(driver->channel, false, "timeout");
        expect_status(f, false, "timeout");
        peer_hears_nothing(&f->gateway);
}

static void what_waits_at_the_end_was_not_tried(void **state) {
        int64_t waiting;
        Fixture *f = *state;

        start_up(f, settings_new());
        asks_message(f, "msg_1"); /* the carrier may have this one */
        driver->result = -EAGAIN;
        waiting = asks_message(f, "msg_2");
        f->plugin = plugin_free(f->plugin);
        (void) hears_later(f, waiting, "stopping");
        assert_true(peer_is_closed(&f->gateway));
}

static void settings_that_cannot_work_end_the_program(void **state) {
        static const struct {
                const char *name, *value;
        } bad[] = {
                { "driver", "pigeon" },
                { "sender", "" },
                { "sender", "Hotel zum Goldenen Adler" },
                { "sender", "12" },
                { "sender", "+0301234567" },
                { "sender", "Höf" },
                { "countries", "" },
                { "countries", "DE XX" },
                { "countries", "de" },
                { "countries", "Germany" },
                { "per_minute", "0" },
                { "per_minute", "many" },
                { "burst", "-1" },
                { "segments", "256" },
                { "quiet_hours", "late" },
                { "country_code", "049" },
                { "country_code", "+49" },
                { "system_id", "broken" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                start(f, settings_with(bad[i].name, bad[i].value));
                peer_hears_nothing(&f->gateway);
                if (plugin_status(f->plugin) != EX_CONFIG)
                        fail_msg("%s = \"%s\" is taken", bad[i].name, bad[i].value);
                stop(f);
        }
}

static void settings_that_work_are_taken(void **state) {
        static const struct {
                const char *name, *value;
        } good[] = {
                { "sender", "Hotel Adler" },
                { "sender", "80800" },
                { "countries", "DE,AT" },
                { "per_minute", "1000000" },
                { "burst", "1000000" },
                { "quiet_hours", "21:00-08:00" },
                { "quiet_hours", "" },
                { "country_code", "49" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < N_ELEMENTS(good); i++) {
                start_up(f, settings_with(good[i].name, good[i].value));
                assert_int_equal(plugin_status(f->plugin), -1);
                stop(f);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(a_message_is_sent_when_the_carrier_has_taken_it),
                TEST(a_repeated_message_has_the_same_bytes_and_reference),
                TEST(what_was_taken_leaves_again_only_when_that_is_wanted),
                TEST(a_repetition_of_what_is_under_way_is_had_with_it),
                TEST(numbers_that_cost_too_much_are_refused_for_good),
                TEST(a_message_that_is_too_long_is_refused_for_good),
                TEST(a_message_that_has_expired_is_refused_for_good),
                TEST(a_frame_that_lacks_something_is_answered),
                TEST(a_message_under_way_is_not_sent_twice),
                TEST(the_carriers_word_is_passed_on),
                TEST(a_turn_that_is_near_is_waited_for_in_order),
                TEST(a_turn_that_is_far_is_left_to_the_gateway),
                TEST(a_driver_without_room_gets_it_when_it_is_ready),
                TEST(a_driver_that_stays_without_room_keeps_nobody_waiting),
                TEST(a_driver_that_fails_costs_no_try),
                TEST(nobody_is_invited_while_they_sleep),
                TEST(an_invitation_that_would_not_see_the_morning_goes_elsewhere),
                TEST(people_may_sleep_unless_the_configuration_says_otherwise),
                TEST(people_are_invited_by_day),
                TEST(where_it_may_be_night_it_counts_as_night),
                TEST(a_message_is_delivered_when_all_its_segments_are),
                TEST(a_message_fails_when_one_segment_does),
                TEST(reports_may_name_our_message),
                TEST(a_carrier_may_report_in_another_base),
                TEST(the_very_id_comes_first),
                TEST(ids_that_nobody_knows_are_ignored),
                TEST(a_report_that_overtakes_the_answer_is_kept),
                TEST(one_report_may_be_for_all_segments),
                TEST(a_report_is_taken_once_the_gateway_has_it),
                TEST(a_report_that_the_gateway_cannot_take_stays_with_the_carrier),
                TEST(a_gateway_that_knows_events_only_is_told_by_them),
                TEST(a_report_that_a_lost_gateway_did_not_answer_is_told_to_the_next),
                TEST(the_same_report_twice_is_asked_once),
                TEST(an_answer_about_a_former_repetition_ends_nothing),
                TEST(a_full_window_leaves_the_report_with_the_carrier),
                TEST(a_report_of_no_use_is_taken_at_once),
                TEST(a_report_that_overtakes_waits_for_its_message),
                TEST(a_report_that_overtakes_does_not_wait_for_ever),
                TEST(a_report_between_two_tries_is_not_lost),
                TEST(what_is_held_at_the_end_is_the_carriers),
                TEST(what_is_taken_over_a_long_time_is_delivered_once),
                TEST(a_part_that_fails_early_is_the_answer_to_the_next_try),
                TEST(reports_that_name_our_message_find_its_parts),
                TEST(a_repetition_that_joins_is_reported_about_as_what_it_is),
                TEST(a_report_of_nobodys_waits_only_for_what_left_before_it),
                TEST(what_was_taken_survives_a_kill),
                TEST(sent_is_said_once_the_disk_has_it),
                TEST(a_folder_that_another_process_uses_is_refused),
                TEST(without_its_folder_it_works_from_memory),
                TEST(a_message_is_taken_back),
                TEST(a_message_that_the_carrier_keeps_is_too_late),
                TEST(a_carrier_that_cannot_take_back_is_too_late),
                TEST(a_message_that_waits_here_is_not_sent_any_more),
                TEST(a_carrier_that_is_away_is_asked_again),
                TEST(a_message_under_way_is_taken_back_once_the_carrier_has_it),
                TEST(a_message_under_way_that_comes_to_nothing_needs_no_asking),
                TEST(of_several_copies_the_newest_is_taken_back_and_it_is_too_late),
                TEST(what_a_former_process_may_have_sent_is_too_late),
                TEST(what_was_tried_is_not_forgotten_over_many_others),
                TEST(a_repetition_that_waits_here_is_not_all_of_it),
                TEST(what_has_arrived_in_part_is_too_late),
                TEST(a_reply_is_taken_once_the_gateway_has_it),
                TEST(what_the_gateway_cannot_take_stays_with_the_carrier),
                TEST(a_lost_gateway_has_taken_nothing),
                TEST(a_full_window_leaves_it_with_the_carrier),
                TEST(identity_tells_people_times_and_words_apart),
                TEST(the_same_message_twice_is_asked_once),
                TEST(senders_that_are_no_number_are_ignored),
                TEST(a_long_text_is_cut_at_a_character),
                TEST(a_short_code_of_ours_is_told_as_our_address),
                TEST(parts_become_a_text),
                TEST(a_part_over_another_connection_takes_the_place_of_the_former),
                TEST(a_part_may_come_again_under_another_id),
                TEST(a_carrier_that_brings_one_at_a_time_is_not_stuck),
                TEST(what_was_handed_back_is_whole_again_when_the_gateway_could_not),
                TEST(a_message_whose_parts_stay_away_is_given_up),
                TEST(a_part_that_contradicts_gives_the_former_up),
                TEST(nobody_fills_the_room_of_all),
                TEST(what_made_room_is_as_new_when_it_comes_again),
                TEST(what_makes_room_before_it_is_handed_back_stays_with_the_carrier),
                TEST(parts_that_wait_keep_no_message_of_one_part_out),
                TEST(parts_of_nothing_take_no_room),
                TEST(one_sender_has_a_limit_of_parts),
                TEST(every_part_is_settled_once),
                TEST(a_part_that_waits_costs_no_timer_afterwards),
                TEST(the_carriers_state_is_told_at_each_change),
                TEST(what_waits_at_the_end_was_not_tried),
                TEST(settings_that_cannot_work_end_the_program),
                TEST(settings_that_work_are_taken),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
