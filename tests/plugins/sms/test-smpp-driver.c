/* The SMPP driver between a channel that is this test and an SMS centre that is this test too: what
 * real centres do not do, or not when one wants it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "../../base/scratch.h"
#include "../../base/test.h"
#include "driver-smpp.h"
#include "smpp-command.h"
#include "time-text.h"

enum { PATIENCE_SECONDS = 30, DELIVERIES = SMPP_DELIVERIES_MAX + 1 };

/* What the driver told the channel. */
struct SmsChannel {
        bool is_up, is_ready;
        char reason[48];
        unsigned n_sent, n_reports, n_inbound, n_withdrawn;
        const SmsOutbound *outbound;
        SmsSendOutcome outcome;
        char sent_reason[48], id[SMPP_ID_SIZE], report[SMPP_ID_SIZE], text[64];
        uint64_t tokens[DELIVERIES], report_tokens[4];
        SmsWithdrawOutcome withdrawn;
        char withdrawn_message[16];
};

void sms_channel_carrier(SmsChannel *c, bool up, const char *reason) {
        c->is_up = up;
        (void) snprintf(c->reason, sizeof(c->reason), "%s", reason);
}

void sms_channel_ready(SmsChannel *c) {
        c->is_ready = true;
}

void sms_channel_segment(
                SmsChannel *c, const SmsOutbound *outbound, unsigned segment, const char *id) {
        (void) outbound;
        (void) segment;
        (void) id;
        (void) c;
}

void sms_channel_sent(SmsChannel *c, const SmsOutbound *outbound, const SmsSendResult *result) {
        c->n_sent++;
        c->outbound = outbound;
        c->outcome = result->outcome;
        (void) snprintf(c->sent_reason,
                        sizeof(c->sent_reason),
                        "%s",
                        result->reason ? result->reason : "");
        (void) snprintf(c->id, sizeof(c->id), "%s", result->n_ids > 0 ? result->ids[0] : "-");
}

void sms_channel_report(SmsChannel *c, const SmsReport *report) {
        assert_true(c->n_reports < N_ELEMENTS(c->report_tokens));
        c->report_tokens[c->n_reports++] = report->token;
        (void) snprintf(c->report, sizeof(c->report), "%s", report->id);
}

void sms_channel_inbound(SmsChannel *c, const SmsInbound *inbound) {
        assert_true(c->n_inbound < DELIVERIES);
        c->tokens[c->n_inbound++] = inbound->token;
        (void) snprintf(c->text,
                        sizeof(c->text),
                        "%.*s",
                        (int) inbound->octets->size,
                        (const char *) inbound->octets->data);
}

void sms_channel_withdrawn(SmsChannel *c, const char *message, SmsWithdrawOutcome outcome) {
        c->n_withdrawn++;
        c->withdrawn = outcome;
        (void) snprintf(c->withdrawn_message, sizeof(c->withdrawn_message), "%s", message);
}

typedef struct Fixture {
        char folder[SCRATCH_SIZE];
        sd_event *event;
        SmsDriver *driver;
        json_t *settings;
        SmsChannel channel;
        SmsPlan plan;
        SmsOutbound outbound;
        int listener, centre;
        uint8_t in[65536];
        size_t n_in;
        uint32_t sequence;  /* of the PDU that was heard last */
        uint8_t heard[256]; /* its body, or the beginning of it */
} Fixture;

/* --- The loop, and the centre on it --- */

static void turn(Fixture *f) {
        assert_true(sd_event_run(f->event, 1000) >= 0);
}

#define UNTIL(f, condition)                                                      \
        do {                                                                     \
                uint64_t _limit = time_boot() + PATIENCE_SECONDS * USEC_PER_SEC; \
                while (!(condition)) {                                           \
                        assert_true(time_boot() < _limit);                       \
                        turn(f);                                                 \
                }                                                                \
        } while (0)

static bool accepts(Fixture *f) {
        f->centre = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        f->n_in = 0;
        return f->centre >= 0;
}

static size_t length_of(const Fixture *f) {
        return (size_t) f->in[0] << 24 | (size_t) f->in[1] << 16 | (size_t) f->in[2] << 8 |
               f->in[3];
}

static uint32_t number_at(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static bool has_pdu(Fixture *f) {
        ssize_t n = recv(f->centre, f->in + f->n_in, sizeof(f->in) - f->n_in, MSG_DONTWAIT);

        if (n > 0)
                f->n_in += (size_t) n;
        return f->n_in >= SMPP_HEADER_SIZE && f->n_in >= length_of(f);
}

/* Waits for the next PDU, which must be this command; returns its status. */
static uint32_t hears(Fixture *f, uint32_t command) {
        uint32_t status;
        size_t size;

        UNTIL(f, has_pdu(f));
        assert_int_equal(number_at(f->in + 4), command);
        status = number_at(f->in + 8);
        f->sequence = number_at(f->in + 12);
        size = length_of(f);
        memset(f->heard, 0, sizeof(f->heard));
        memcpy(f->heard,
                        f->in + SMPP_HEADER_SIZE,
                        size - SMPP_HEADER_SIZE < sizeof(f->heard) ? size - SMPP_HEADER_SIZE
                                                                   : sizeof(f->heard));
        f->n_in -= size;
        memmove(f->in, f->in + size, f->n_in);
        return status;
}

static bool is_closed(Fixture *f) {
        uint8_t octet;
        ssize_t n = recv(f->centre, &octet, 1, MSG_DONTWAIT);

        return n == 0 || (n < 0 && errno != EAGAIN);
}

static void put_number(uint8_t *ret, uint32_t number) {
        for (unsigned i = 0; i < 4; i++)
                ret[i] = (uint8_t) (number >> (24 - 8 * i));
}

static void says_of_length(Fixture *f,
                uint32_t length,
                uint32_t command,
                uint32_t status,
                uint32_t sequence,
                const void *body,
                size_t size) {
        uint8_t pdu[SMPP_PDU_SIZE_MAX];

        put_number(pdu, length);
        put_number(pdu + 4, command);
        put_number(pdu + 8, status);
        put_number(pdu + 12, sequence);
        if (size > 0)
                memcpy(pdu + SMPP_HEADER_SIZE, body, size);
        assert_int_equal(send(f->centre, pdu, SMPP_HEADER_SIZE + size, MSG_NOSIGNAL),
                        SMPP_HEADER_SIZE + size);
}

static void says(Fixture *f,
                uint32_t command,
                uint32_t status,
                uint32_t sequence,
                const void *body,
                size_t size) {
        says_of_length(f,
                        (uint32_t) (SMPP_HEADER_SIZE + size),
                        command,
                        status,
                        sequence,
                        body,
                        size);
}

/* A deliver_sm from +4915112345678 with a text. */
static void delivers_as(Fixture *f, uint32_t sequence, uint8_t esm_class, const char *text) {
        uint8_t body[256] = { 0, 1, 1 };
        size_t n = 3;

        n += (size_t) snprintf((char *) body + n, 32, "4915112345678") + 1;
        body[n++] = 1;
        body[n++] = 1;
        n += (size_t) snprintf((char *) body + n, 32, "4930901820") + 1;
        body[n] = esm_class;
        n += 9; /* esm_class to sm_default_msg_id */
        body[n++] = (uint8_t) strlen(text);
        memcpy(body + n, text, strlen(text));
        says(f, SMPP_COMMAND_DELIVER, 0, sequence, body, n + strlen(text));
}

static void delivers(Fixture *f, uint32_t sequence, const char *text) {
        delivers_as(f, sequence, 0, text);
}

/* --- A driver on it --- */

static void open_driver(Fixture *f, const char *host) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        char port[8];

        f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->listener, (struct sockaddr *) &address, size), 0);
        assert_int_equal(listen(f->listener, 4), 0);
        assert_int_equal(getsockname(f->listener, (struct sockaddr *) &address, &size), 0);
        (void) snprintf(port, sizeof(port), "%u", ntohs(address.sin_port));
        f->settings = json_pack("{s:s, s:s, s:s, s:s}",
                        "host",
                        host,
                        "port",
                        port,
                        "system_id",
                        "hotel",
                        "window",
                        "2");
        assert_int_equal(sms_driver_smpp.new(&f->driver, &f->channel, f->event, f->settings), 0);
}

static void comes_up(Fixture *f) {
        UNTIL(f, accepts(f));
        assert_int_equal(hears(f, SMPP_COMMAND_BIND_TRANSCEIVER), 0);
        says(f, SMPP_COMMAND_BIND_TRANSCEIVER_RESP, 0, f->sequence, "centre", 7);
        UNTIL(f, f->channel.is_up);
}

static void sends(Fixture *f) {
        unsigned before = f->channel.n_sent;

        assert_int_equal(sms_driver_smpp.send(f->driver, &f->outbound), 0);
        assert_int_equal(f->channel.n_sent, before); /* never from in there */
        assert_int_equal(hears(f, SMPP_COMMAND_SUBMIT), 0);
}

static int setup(void **state) {
        static const char text[] = "Your key is ready.";
        Fixture *f = calloc(1, sizeof(*f));

        scratch_make("smpp", f->folder);
        scratch_write(f->folder, "smpp-password", "s3cr3t\n", 7);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder, 1), 0);
        smpp_driver_set_patience((SmppPatience){
                        .answer = 2, .settle = 2, .retry = 1, .refused = 1, .refused_max = 1 });
        assert_true(sd_event_new(&f->event) >= 0);
        f->listener = f->centre = -1;
        assert_int_equal(sms_plan(text, strlen(text), 6, &f->plan), 0);
        f->outbound = (SmsOutbound){ .message = "msg_1",
                .to = "+4915112345678",
                .from = "+4930901820",
                .text = text,
                .size = strlen(text),
                .plan = &f->plan,
                .reference = 7,
                .expires = time_wall() + 600 };
        open_driver(f, "127.0.0.1");
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) sms_driver_smpp.free(f->driver);
        (void) close_fd(f->listener);
        (void) close_fd(f->centre);
        sd_event_unref(f->event);
        json_decref(f->settings);
        scratch_remove(f->folder);
        free(f);
        return 0;
}

/* --- Answers --- */

static void an_answer_without_an_id_is_an_answer(void **state) {
        Fixture *f = *state;

        comes_up(f);
        sends(f);
        says(f, SMPP_COMMAND_SUBMIT_RESP, 0, f->sequence, NULL, 0);
        UNTIL(f, f->channel.n_sent == 1);
        assert_int_equal(f->channel.outcome, SMS_SEND_TAKEN);
        assert_string_equal(f->channel.id, "");
}

static void an_answer_whose_id_is_too_long_is_not_sent_again(void **state) {
        char id[200];
        Fixture *f = *state;

        memset(id, 'x', sizeof(id));
        comes_up(f);
        sends(f);
        says(f, SMPP_COMMAND_SUBMIT_RESP, 0, f->sequence, id, sizeof(id));
        UNTIL(f, f->channel.n_sent == 1);
        assert_int_equal(f->channel.outcome, SMS_SEND_TAKEN);
}

static void a_nack_is_no_acceptance_whatever_its_status(void **state) {
        Fixture *f = *state;

        comes_up(f);
        sends(f);
        says(f, SMPP_COMMAND_NACK, 0, f->sequence, NULL, 0);
        UNTIL(f, f->channel.n_sent == 1);
        assert_int_equal(f->channel.outcome, SMS_SEND_FAILED);
        sends(f);
        says(f, SMPP_COMMAND_NACK, 0, f->sequence, "too long for one", 17);
        UNTIL(f, f->channel.n_sent == 2);
        assert_int_equal(f->channel.outcome, SMS_SEND_FAILED);
}

static void a_nack_of_the_bind_is_no_session(void **state) {
        Fixture *f = *state;

        UNTIL(f, accepts(f));
        (void) hears(f, SMPP_COMMAND_BIND_TRANSCEIVER);
        says(f, SMPP_COMMAND_NACK, 0, f->sequence, NULL, 0);
        UNTIL(f, is_closed(f));
        assert_false(f->channel.is_up);
}

static void answers_to_nothing_change_nothing(void **state) {
        Fixture *f = *state;
        uint32_t first;

        comes_up(f);
        says(f, SMPP_COMMAND_SUBMIT_RESP, 0, 4711, "1", 2);
        sends(f);
        first = f->sequence;
        says(f, SMPP_COMMAND_SUBMIT_RESP, 0, first, "2", 2);
        says(f, SMPP_COMMAND_SUBMIT_RESP, 0x45, first, NULL, 0);
        says(f, SMPP_COMMAND_BIND_TRANSCEIVER_RESP, 0x0e, 1, NULL, 0);
        says(f, SMPP_COMMAND_ENQUIRE, 0, 99, NULL, 0);
        (void) hears(f, SMPP_COMMAND_ENQUIRE_RESP);
        assert_int_equal(f->sequence, 99);
        assert_int_equal(f->channel.n_sent, 1);
        assert_string_equal(f->channel.id, "2");
        assert_true(f->channel.is_up);
}

static void what_was_not_answered_comes_back_as_tried(void **state) {
        Fixture *f = *state;

        comes_up(f);
        sends(f);
        f->centre = close_fd(f->centre);
        UNTIL(f, f->channel.n_sent == 1);
        assert_int_equal(f->channel.outcome, SMS_SEND_FAILED);
        assert_string_equal(f->channel.sent_reason, "connection-lost");
        assert_false(f->channel.is_up);
        assert_int_equal(sms_driver_smpp.send(f->driver, &f->outbound), -EAGAIN);
        comes_up(f);
        UNTIL(f, f->channel.is_ready);
        sends(f);
}

static void a_throttled_session_has_no_room_until_it_says_so(void **state) {
        Fixture *f = *state;
        uint64_t begin;

        comes_up(f);
        sends(f);
        says(f, SMPP_COMMAND_SUBMIT_RESP, 0x58, f->sequence, NULL, 0);
        UNTIL(f, f->channel.n_sent == 1);
        begin = time_boot();
        assert_int_equal(f->channel.outcome, SMS_SEND_LATER);
        assert_int_equal(sms_driver_smpp.send(f->driver, &f->outbound), -EAGAIN);
        f->channel.is_ready = false;
        UNTIL(f, f->channel.is_ready);
        assert_true(time_boot() - begin >= USEC_PER_SEC / 2);
        sends(f);
}

static void the_window_is_full_when_it_is(void **state) {
        SmsOutbound others[2];
        Fixture *f = *state;

        others[0] = others[1] = f->outbound;
        others[0].message = "msg_2";
        others[1].message = "msg_3";
        comes_up(f);
        sends(f);
        assert_int_equal(sms_driver_smpp.send(f->driver, &others[0]), 0);
        (void) hears(f, SMPP_COMMAND_SUBMIT);
        assert_int_equal(sms_driver_smpp.send(f->driver, &others[1]), -EAGAIN);
        says(f, SMPP_COMMAND_SUBMIT_RESP, 0, f->sequence, "9", 2);
        UNTIL(f, f->channel.is_ready);
        assert_ptr_equal(f->channel.outbound, &others[0]);
        assert_int_equal(sms_driver_smpp.send(f->driver, &others[1]), 0);
}

/* --- What comes --- */

static void a_message_is_answered_when_it_is_settled(void **state) {
        Fixture *f = *state;

        comes_up(f);
        delivers(f, 70, "one");
        delivers(f, 71, "two");
        UNTIL(f, f->channel.n_inbound == 2);
        assert_string_equal(f->channel.text, "two");
        sms_driver_smpp.settle(f->driver, f->channel.tokens[1], SMS_SETTLED_TAKEN);
        assert_int_equal(hears(f, SMPP_COMMAND_DELIVER_RESP), 0);
        assert_int_equal(f->sequence, 71);
        sms_driver_smpp.settle(f->driver, f->channel.tokens[0], SMS_SETTLED_LATER);
        assert_int_equal(hears(f, SMPP_COMMAND_DELIVER_RESP), 0x64);
        assert_int_equal(f->sequence, 70);
        sms_driver_smpp.settle(f->driver, f->channel.tokens[0], SMS_SETTLED_TAKEN);
        says(f, SMPP_COMMAND_ENQUIRE, 0, 72, NULL, 0);
        (void) hears(f, SMPP_COMMAND_ENQUIRE_RESP);
}

static void what_a_lost_connection_brought_is_not_answered_on_the_next(void **state) {
        Fixture *f = *state;

        comes_up(f);
        delivers(f, 2, "one");
        UNTIL(f, f->channel.n_inbound == 1);
        f->centre = close_fd(f->centre);
        UNTIL(f, !f->channel.is_up);
        comes_up(f);
        sms_driver_smpp.settle(f->driver, f->channel.tokens[0], SMS_SETTLED_TAKEN);
        says(f, SMPP_COMMAND_ENQUIRE, 0, 72, NULL, 0);
        (void) hears(f, SMPP_COMMAND_ENQUIRE_RESP);
}

static void more_than_can_be_held_is_refused_for_now(void **state) {
        Fixture *f = *state;

        comes_up(f);
        for (unsigned i = 0; i < SMPP_DELIVERIES_MAX; i++) {
                delivers(f, i + 1, "many");
                turn(f);
        }
        UNTIL(f, f->channel.n_inbound == SMPP_DELIVERIES_MAX);
        delivers(f, SMPP_DELIVERIES_MAX + 1, "one too many");
        assert_int_equal(hears(f, SMPP_COMMAND_DELIVER_RESP), 0x64);
        assert_int_equal(f->sequence, SMPP_DELIVERIES_MAX + 1);
        assert_int_equal(f->channel.n_inbound, SMPP_DELIVERIES_MAX);
}

static void data_sm_is_answered_as_such(void **state) {
        static const char body[] = "\0\1\1"
                                   "4915112345678\0\1\1"
                                   "4930901820\0\0\0\0\x04\x24\0\5hello";
        Fixture *f = *state;

        comes_up(f);
        says(f, SMPP_COMMAND_DATA, 0, 8, body, sizeof(body) - 1);
        UNTIL(f, f->channel.n_inbound == 1);
        assert_string_equal(f->channel.text, "hello");
        sms_driver_smpp.settle(f->driver, f->channel.tokens[0], SMS_SETTLED_TAKEN);
        assert_int_equal(hears(f, SMPP_COMMAND_DATA_RESP), 0);
        assert_int_equal(f->sequence, 8);
}

static void nothing_is_taken_before_the_session_is_bound(void **state) {
        Fixture *f = *state;

        UNTIL(f, accepts(f));
        (void) hears(f, SMPP_COMMAND_BIND_TRANSCEIVER);
        delivers(f, 3, "early");
        assert_int_equal(hears(f, SMPP_COMMAND_DELIVER_RESP), 0x04);
        assert_int_equal(f->channel.n_inbound, 0);
}

static void a_receipt_is_answered_when_it_is_settled(void **state) {
        static const char receipt[] = "id:4711 stat:DELIVRD err:000";
        Fixture *f = *state;

        comes_up(f);
        delivers_as(f, 80, 4, receipt);
        delivers_as(f, 81, 4, receipt);
        delivers_as(f, 82, 4, "stat:DELIVRD err:000"); /* of nobody */
        assert_int_equal(hears(f, SMPP_COMMAND_DELIVER_RESP), 0);
        assert_int_equal(f->sequence, 82);
        assert_int_equal(f->channel.n_reports, 2);
        assert_string_equal(f->channel.report, "4711");
        sms_driver_smpp.settle(f->driver, f->channel.report_tokens[1], SMS_SETTLED_TAKEN);
        assert_int_equal(hears(f, SMPP_COMMAND_DELIVER_RESP), 0);
        assert_int_equal(f->sequence, 81);
        sms_driver_smpp.settle(f->driver, f->channel.report_tokens[0], SMS_SETTLED_LATER);
        assert_int_equal(hears(f, SMPP_COMMAND_DELIVER_RESP), 0x64);
        assert_int_equal(f->sequence, 80);
        delivers_as(f, 83, 4, receipt); /* which nobody settles */
        assert_int_equal(hears(f, SMPP_COMMAND_DELIVER_RESP), 0x64);
        assert_int_equal(f->sequence, 83);
}

/* --- Taking back --- */

static const char *const three_ids[] = { "00fa", "17", "18" };

static int withdraws(Fixture *f, const char *from, const char *const *ids, size_t n_ids) {
        return sms_driver_smpp.withdraw(f->driver,
                        &(SmsTaken){ .message = "msg_1",
                                        .to = "+4915112345678",
                                        .from = from,
                                        .ids = ids,
                                        .n_ids = n_ids });
}

/* cancel_sm, SMPP 3.4 section 4.9.1. */
static void hears_cancel(Fixture *f, const char *id, uint8_t type, uint8_t plan, const char *from) {
        uint8_t body[128] = { 0 };
        size_t n = 1;

        assert_int_equal(hears(f, SMPP_COMMAND_CANCEL), 0);
        n += (size_t) snprintf((char *) body + n, 65, "%s", id) + 1;
        body[n++] = type;
        body[n++] = plan;
        n += (size_t) snprintf((char *) body + n, 21, "%s", from) + 1;
        body[n++] = 1;
        body[n++] = 1;
        n += (size_t) snprintf((char *) body + n, 21, "4915112345678") + 1;
        assert_memory_equal(f->heard, body, n);
}

static void hears_cancel_of(Fixture *f, const char *id) {
        hears_cancel(f, id, 1, 1, "4930901820");
}

static void answers_cancel(Fixture *f, uint32_t status) {
        says(f, SMPP_COMMAND_CANCEL_RESP, status, f->sequence, NULL, 0);
}

static void expect_withdrawn(Fixture *f, unsigned n, SmsWithdrawOutcome outcome) {
        UNTIL(f, f->channel.n_withdrawn == n);
        assert_int_equal(f->channel.withdrawn, outcome);
        assert_string_equal(f->channel.withdrawn_message, "msg_1");
}

static void a_message_is_taken_back_when_all_its_segments_are(void **state) {
        Fixture *f = *state;

        comes_up(f);
        assert_int_equal(withdraws(f, "+4930901820", three_ids, 3), 0);
        for (size_t i = 0; i < 3; i++) {
                hears_cancel_of(f, three_ids[i]);
                assert_int_equal(f->channel.n_withdrawn, 0);
                answers_cancel(f, 0);
        }
        expect_withdrawn(f, 1, SMS_WITHDRAW_DONE);
}

static void senders_are_written_as_they_were(void **state) {
        Fixture *f = *state;

        comes_up(f);
        assert_int_equal(withdraws(f, "Adler", three_ids, 1), 0);
        hears_cancel(f, "00fa", 5, 0, "Adler");
        answers_cancel(f, 0);
        expect_withdrawn(f, 1, SMS_WITHDRAW_DONE);
        assert_int_equal(withdraws(f, "80800", three_ids, 1), 0);
        hears_cancel(f, "00fa", 3, 0, "80800");
}

/* Whoever has the first segment shall have the others. */
static void what_one_segment_is_too_late_for_goes_on(void **state) {
        static const uint32_t statuses[] = { 0x11, 0x0c, 0x03, 0x45 };
        Fixture *f = *state;

        comes_up(f);
        for (unsigned i = 0; i < N_ELEMENTS(statuses); i++) {
                assert_int_equal(withdraws(f, "+4930901820", three_ids, 3), 0);
                hears_cancel_of(f, "00fa");
                answers_cancel(f, statuses[i]);
                expect_withdrawn(f, i + 1, SMS_WITHDRAW_TOO_LATE);
        }
        assert_int_equal(withdraws(f, "+4930901820", three_ids, 3), 0);
        hears_cancel_of(f, "00fa");
        says(f, SMPP_COMMAND_NACK, 0x03, f->sequence, NULL, 0);
        expect_withdrawn(f, 5, SMS_WITHDRAW_TOO_LATE);
        says(f, SMPP_COMMAND_ENQUIRE, 0, 72, NULL, 0);
        assert_int_equal(hears(f, SMPP_COMMAND_ENQUIRE_RESP), 0); /* and no more of them */
}

/* An empty id would cancel all that the recipient is to get from us. */
static void an_id_that_is_empty_is_never_sent(void **state) {
        static const char *const ids[] = { "1", "", "3" };
        Fixture *f = *state;

        comes_up(f);
        assert_int_equal(withdraws(f, "+4930901820", ids, 3), -ENOENT);
        assert_int_equal(withdraws(f, "+4930901820", NULL, 0), -ENOENT);
        says(f, SMPP_COMMAND_ENQUIRE, 0, 72, NULL, 0);
        assert_int_equal(hears(f, SMPP_COMMAND_ENQUIRE_RESP), 0);
        assert_int_equal(f->channel.n_withdrawn, 0);
}

static void what_was_cancelled_before_the_connection_was_lost_is_not_asked_again(void **state) {
        Fixture *f = *state;

        assert_int_equal(withdraws(f, "+4930901820", three_ids, 3), -EAGAIN); /* not bound */
        comes_up(f);
        assert_int_equal(withdraws(f, "+4930901820", three_ids, 3), 0);
        hears_cancel_of(f, "00fa");
        answers_cancel(f, 0);
        hears_cancel_of(f, "17");
        f->centre = close_fd(f->centre);
        expect_withdrawn(f, 1, SMS_WITHDRAW_LATER);
        comes_up(f);
        assert_int_equal(withdraws(f, "+4930901820", three_ids, 3), 0);
        hears_cancel_of(f, "17");
        answers_cancel(f, 0x58); /* slower */
        expect_withdrawn(f, 2, SMS_WITHDRAW_LATER);
        assert_int_equal(withdraws(f, "+4930901820", three_ids, 3), 0);
        hears_cancel_of(f, "17");
        answers_cancel(f, 0);
        hears_cancel_of(f, "18");
        answers_cancel(f, 0);
        expect_withdrawn(f, 3, SMS_WITHDRAW_DONE);
}

static void a_centre_that_does_not_answer_a_cancel_keeps_its_session(void **state) {
        Fixture *f = *state;

        comes_up(f);
        assert_int_equal(withdraws(f, "+4930901820", three_ids, 1), 0);
        hears_cancel_of(f, "00fa");
        expect_withdrawn(f, 1, SMS_WITHDRAW_LATER);
        answers_cancel(f, 0); /* after all */
        sends(f);
        assert_true(f->channel.is_up);
        assert_int_equal(f->channel.n_withdrawn, 1);
}

/* It is 2 here. */
static void what_is_taken_back_counts_in_the_window(void **state) {
        SmsOutbound other;
        uint32_t submit;
        Fixture *f = *state;

        other = f->outbound;
        other.message = "msg_2";
        comes_up(f);
        sends(f);
        assert_int_equal(withdraws(f, "+4930901820", three_ids, 1), 0);
        hears_cancel_of(f, "00fa");
        assert_int_equal(sms_driver_smpp.send(f->driver, &other), -EAGAIN);
        answers_cancel(f, 0);
        UNTIL(f, f->channel.is_ready);
        assert_int_equal(sms_driver_smpp.send(f->driver, &other), 0);
        (void) hears(f, SMPP_COMMAND_SUBMIT);
        submit = f->sequence;
        assert_int_equal(withdraws(f, "+4930901820", three_ids, 1), 0); /* waits */
        says(f, SMPP_COMMAND_ENQUIRE, 0, 72, NULL, 0);
        assert_int_equal(hears(f, SMPP_COMMAND_ENQUIRE_RESP), 0);
        says(f, SMPP_COMMAND_SUBMIT_RESP, 0, submit, "9", 2);
        hears_cancel_of(f, "00fa");
}

/* --- Centres that are no centres --- */

static void an_impossible_length_ends_the_connection(void **state) {
        static const uint32_t lengths[] = { 0, 15, SMPP_PDU_SIZE_MAX + 1, UINT32_MAX };
        Fixture *f = *state;

        for (size_t i = 0; i < N_ELEMENTS(lengths); i++) {
                comes_up(f);
                says_of_length(f, lengths[i], SMPP_COMMAND_ENQUIRE, 0, 1, NULL, 0);
                UNTIL(f, is_closed(f));
                UNTIL(f, !f->channel.is_up);
                assert_string_equal(f->channel.reason, "bad-length");
                f->centre = close_fd(f->centre);
        }
}

static void who_is_never_understood_is_left(void **state) {
        Fixture *f = *state;

        comes_up(f);
        for (unsigned i = 1; i < SMPP_MALFORMED_MAX; i++) {
                says(f, SMPP_COMMAND_DELIVER, 0, i, "\xff", 1);
                assert_int_not_equal(hears(f, SMPP_COMMAND_NACK), 0);
                assert_int_equal(f->sequence, i);
        }
        says(f, SMPP_COMMAND_ENQUIRE, 0, 1, NULL, 0); /* one word of sense */
        (void) hears(f, SMPP_COMMAND_ENQUIRE_RESP);
        for (unsigned i = 1; i <= SMPP_MALFORMED_MAX; i++)
                says(f, 0x7777, 0, i, NULL, 0);
        UNTIL(f, !f->channel.is_up);
        assert_string_equal(f->channel.reason, "malformed");
}

/* Says enquire_link and reads no answer, until the driver does not read any more. */
static void who_does_not_read_is_not_read_from(void **state) {
        uint8_t enquiries[4096];
        size_t sent = 0, heard = 0, quiet = 0;
        Fixture *f = *state;

        comes_up(f);
        for (size_t i = 0; i < sizeof(enquiries); i += SMPP_HEADER_SIZE) {
                memset(enquiries + i, 0, SMPP_HEADER_SIZE);
                enquiries[i + 3] = SMPP_HEADER_SIZE;
                enquiries[i + 7] = SMPP_COMMAND_ENQUIRE;
                enquiries[i + 15] = 1;
        }
        while (quiet < 1000) {
                size_t at = sent % sizeof(enquiries);
                ssize_t n = send(f->centre,
                                enquiries + at,
                                sizeof(enquiries) - at,
                                MSG_DONTWAIT | MSG_NOSIGNAL);

                quiet = n > 0 ? 0 : quiet + 1;
                sent += n > 0 ? (size_t) n : 0;
                assert_true(sent < 64 << 20);
                assert_true(sd_event_run(f->event, 0) >= 0);
        }
        sent -= sent % SMPP_HEADER_SIZE;
        while (heard < sent) {
                ssize_t n = recv(f->centre, f->in, sizeof(f->in), MSG_DONTWAIT);

                heard += n > 0 ? (size_t) n : 0;
                assert_true(n > 0 || errno == EAGAIN);
                turn(f);
        }
        assert_int_equal(heard, sent);
}

static void it_takes_leave(void **state) {
        Fixture *f = *state;

        comes_up(f);
        f->driver = sms_driver_smpp.free(f->driver);
        (void) hears(f, SMPP_COMMAND_UNBIND);
        UNTIL(f, is_closed(f));
}

static void a_lookup_that_nobody_waits_for_is_no_trouble(void **state) {
        Fixture *f = *state;

        (void) sms_driver_smpp.free(f->driver);
        (void) close_fd(f->listener);
        json_decref(f->settings);
        open_driver(f, "localhost");
        turn(f);
        f->driver = sms_driver_smpp.free(f->driver);
}

static void a_name_leads_to_the_centre(void **state) {
        Fixture *f = *state;

        (void) sms_driver_smpp.free(f->driver);
        (void) close_fd(f->listener);
        json_decref(f->settings);
        open_driver(f, "localhost");
        comes_up(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(an_answer_without_an_id_is_an_answer),
                TEST(an_answer_whose_id_is_too_long_is_not_sent_again),
                TEST(a_nack_is_no_acceptance_whatever_its_status),
                TEST(a_nack_of_the_bind_is_no_session),
                TEST(answers_to_nothing_change_nothing),
                TEST(what_was_not_answered_comes_back_as_tried),
                TEST(a_throttled_session_has_no_room_until_it_says_so),
                TEST(the_window_is_full_when_it_is),
                TEST(a_message_is_answered_when_it_is_settled),
                TEST(what_a_lost_connection_brought_is_not_answered_on_the_next),
                TEST(more_than_can_be_held_is_refused_for_now),
                TEST(data_sm_is_answered_as_such),
                TEST(nothing_is_taken_before_the_session_is_bound),
                TEST(a_receipt_is_answered_when_it_is_settled),
                TEST(a_message_is_taken_back_when_all_its_segments_are),
                TEST(senders_are_written_as_they_were),
                TEST(what_one_segment_is_too_late_for_goes_on),
                TEST(an_id_that_is_empty_is_never_sent),
                TEST(what_was_cancelled_before_the_connection_was_lost_is_not_asked_again),
                TEST(a_centre_that_does_not_answer_a_cancel_keeps_its_session),
                TEST(what_is_taken_back_counts_in_the_window),
                TEST(an_impossible_length_ends_the_connection),
                TEST(who_is_never_understood_is_left),
                TEST(who_does_not_read_is_not_read_from),
                TEST(it_takes_leave),
                TEST(a_lookup_that_nobody_waits_for_is_no_trouble),
                TEST(a_name_leads_to_the_centre),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
