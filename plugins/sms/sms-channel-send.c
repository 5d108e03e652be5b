/* What leaves: from the gateway's request over checks, turns and the driver to its answer. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>

#include "address.h"
#include "json-read.h"
#include "log.h"
#include "secret.h"
#include "sms-channel-internal.h"
#include "sms-zone.h"
#include "text.h"
#include "time-text.h"

/* A `send` frame; the strings are borrowed from it. */
typedef struct SendFrame {
        const char *message, *kind, *to, *text;
        int64_t expires; /* 0: never */
        int64_t made;    /* 0: it is not said */
        int64_t repeat;
        bool unasked; /* though it is no invitation */
} SendFrame;

/* What the gateway is told in the place of `sent`. */
typedef struct Refusal {
        bool later, permanent;
        const char *reason;
        int64_t retry_after; /* 0: none */
} Refusal;

/* --- Answers --- */

static json_t *refusal_frame(const Refusal *refusal) {
        char reason[SMS_CHANNEL_REASON_SIZE];
        int64_t retry_after = refusal->retry_after;
        json_t *frame;

        text_word(refusal->reason, reason, sizeof(reason));
        if (refusal->later && retry_after < 1)
                retry_after = SMS_CHANNEL_RETRY_SECONDS;
        if (retry_after > SMS_CHANNEL_RETRY_MAX_SECONDS)
                retry_after = SMS_CHANNEL_RETRY_MAX_SECONDS;
        frame = refusal->later ? json_pack("{s:s, s:s}", "type", "later", "reason", reason)
                               : json_pack("{s:s, s:b, s:s}",
                                                 "type",
                                                 "failed",
                                                 "permanent",
                                                 refusal->permanent,
                                                 "reason",
                                                 reason);
        if (frame && retry_after > 0)
                (void) json_object_set_new(frame, "retry_after", json_integer(retry_after));
        return frame;
}

static void answer_refusal(SmsChannel *c, int64_t id, const Refusal *refusal) {
        plugin_answer(c->plugin, id, refusal_frame(refusal));
}

static void answer_sent(SmsChannel *c, int64_t id) {
        plugin_answer(c->plugin, id, json_pack("{s:s}", "type", "sent"));
}

static Sending *sending_free(Sending *sending) {
        if (!sending)
                return NULL;
        secret_free_string(sending->text);
        free(sending);
        return NULL;
}

DEFINE_CLEANUP(Sending, sending_free)

static void sending_remove(SmsChannel *c, Sending *sending) {
        TAILQ_REMOVE(sending->is_with_driver ? &c->sending : &c->waiting, sending, entry);
}

/* Answers every request about it, NULL being `sent`, and frees. */
static void sending_settle(SmsChannel *c, Sending *sending, const Refusal *refusal) {
        sending_remove(c, sending);
        for (size_t i = 0; i < sending->n_requests; i++)
                if (refusal)
                        answer_refusal(c, sending->requests[i], refusal);
                else
                        answer_sent(c, sending->requests[i]);
        (void) sending_free(sending);
}

/* The same for each repetition, so that a phone knows parts that it has, and as good as another for
 * every other message. */
static uint16_t reference_of(const char *message) {
        static const uint8_t key[crypto_shorthash_KEYBYTES]; /* the same for ever */
        uint8_t hash[crypto_shorthash_BYTES];

        (void) crypto_shorthash(hash, (const uint8_t *) message, strlen(message), key);
        return (uint16_t) (hash[0] << 8 | hash[1]);
}

static Sending *find_in(const struct SendingQueue *queue, const char *message) {
        uint16_t reference = reference_of(message);
        Sending *sending;

        TAILQ_FOREACH(sending, queue, entry)
        if (sending->outbound.reference == reference && streq(sending->message, message))
                return sending;
        return NULL;
}

static Sending *sending_find(const SmsChannel *c, const char *message) {
        Sending *sending = find_in(&c->sending, message);

        return sending ? sending : find_in(&c->waiting, message);
}

/* --- May it be sent, and how --- */

static const char *number_reason(int error, SmsRange range) {
        static const char *const ranges[] = { [SMS_RANGE_PERSON] = "number-range",
                [SMS_RANGE_PREMIUM] = "number-premium",
                [SMS_RANGE_SHARED] = "number-shared-cost",
                [SMS_RANGE_PERSONAL] = "number-personal",
                [SMS_RANGE_PAGER] = "number-pager",
                [SMS_RANGE_SATELLITE] = "number-satellite",
                [SMS_RANGE_UIFN] = "number-freephone",
                [SMS_RANGE_NETWORK] = "number-network" };

        switch (error) {
        case SMS_NUMBER_E_FORM:
                return "number-form";
        case SMS_NUMBER_E_UNKNOWN:
                return "number-unknown";
        case SMS_NUMBER_E_COUNTRY:
                return "number-country";
        default:
                assert((size_t) range < N_ELEMENTS(ranges));
                return ranges[range];
        }
}

/* Nobody is woken by what they did not ask for, and where it may be night it counts as night. A
 * message that expires before the morning is refused for good: waiting would let it die without a
 * word, while another channel, to which the gateway goes on, does not wake anybody. */
static bool is_quiet(const SmsChannel *c, const char *country, int64_t expires, Refusal *ret) {
        int64_t now = time_wall(), until;

        if (!c->settings.has_quiet_hours || sms_quiet(country,
                                                            &c->settings.quiet_hours,
                                                            now,
                                                            sms_zone_offset,
                                                            NULL,
                                                            &until) == SMS_QUIET_NO)
                return false;
        if (until == INT64_MAX || (expires != 0 && until >= expires))
                *ret = (Refusal){ .permanent = true, .reason = "quiet-hours" };
        else
                *ret = (Refusal){
                        .later = true, .reason = "quiet-hours", .retry_after = until - now
                };
        return true;
}

static bool is_refused(const SmsChannel *c, const SendFrame *frame, Refusal *ret) {
        SmsNumber number;
        int r;

        *ret = (Refusal){ .permanent = true };
        if (frame->expires != 0 && frame->expires <= time_wall())
                ret->reason = "expired";
        else if (strncmp(frame->to, "sms:", 4) != 0)
                ret->reason = "number-form";
        else if ((r = sms_number_check(frame->to + 4, &c->settings.countries, &number)) != 0)
                ret->reason = number_reason(r, number.range);
        else
                return (frame->unasked || streq(frame->kind, "invitation")) &&
                       is_quiet(c, number.country, frame->expires, ret);
        return true;
}

/* Positive SmsSegmentError. */
static int sending_new(const SmsChannel *c, const SendFrame *frame, Sending **ret) {
        _cleanup_(sending_freep) Sending *sending = calloc(1, sizeof(*sending));
        int r;

        if (!sending)
                return -ENOMEM;
        sending->text = strdup(frame->text);
        if (!sending->text)
                return -ENOMEM;
        r = sms_plan(sending->text, strlen(sending->text), c->settings.segments, &sending->plan);
        if (r != 0)
                return r;
        (void) strncpy(sending->message, frame->message, sizeof(sending->message) - 1);
        (void) strncpy(sending->to, frame->to + 4, sizeof(sending->to) - 1);
        sending->outbound = (SmsOutbound){ .message = sending->message,
                .to = sending->to,
                .from = c->settings.sender,
                .text = sending->text,
                .size = strlen(sending->text),
                .plan = &sending->plan,
                .reference = reference_of(sending->message),
                .expires = frame->expires,
                .repeat = frame->repeat };
        *ret = TAKE_PTR(sending);
        return 0;
}

/* --- Turns --- */

/* Gives it a turn, and the tokens of that turn. Each later message's turn is behind it: what is
 * taken ahead of time counts for all that come afterwards. False: the turn is too far away. */
static bool take_turn(SmsChannel *c, Sending *sending, uint64_t now, Refusal *ret) {
        SmsPace *pace = sms_paces_of(&c->paces, c->settings.sender);
        uint64_t wait;

        assert(pace); /* one sender, and it fits */
        wait = sms_pace_take(pace, sending->plan.n_segments, now);
        if (wait > SMS_CHANNEL_WAIT_SECONDS * USEC_PER_SEC) {
                *ret = (Refusal){ .later = true,
                        .reason = "pace",
                        .retry_after = (int64_t) ((wait + USEC_PER_SEC - 1) / USEC_PER_SEC) };
                return false;
        }
        if (wait > 0)
                (void) sms_pace_take(pace, sending->plan.n_segments, now + wait);
        sending->start = now + wait;
        sending->patience = sending->start + SMS_CHANNEL_WAIT_SECONDS * USEC_PER_SEC;
        return true;
}

/* With the segments that the carrier has, where its driver can leave them out. */
static int give_driver(SmsChannel *c, Sending *sending) {
        SmsSegmentTaken taken[SMS_SEGMENTS_MAX];
        int r;

        if (c->settings.driver->tells_segments && sending->plan.n_segments > 1 &&
                        sms_reports_parts(c->reports,
                                        sending->message,
                                        sending->outbound.repeat,
                                        taken,
                                        sending->plan.n_segments))
                sending->outbound.taken = taken;
        r = c->settings.driver->send(c->driver, &sending->outbound);
        sending->outbound.taken = NULL;
        return r;
}

/* False: it is answered and gone, or the driver has no room. */
static bool hand_over(SmsChannel *c, Sending *sending) {
        int r;

        if (sending->outbound.expires != 0 && sending->outbound.expires <= time_wall()) {
                sending_settle(c, sending, &(Refusal){ .permanent = true, .reason = "expired" });
                return true;
        }
        r = give_driver(c, sending);
        if (r == -EAGAIN) {
                c->is_blocked = true;
                return false;
        }
        if (r < 0) {
                log_warning("the driver cannot take a message: %s", strerror(-r));
                sending_settle(c, sending, &(Refusal){ .later = true, .reason = "driver-error" });
                return true;
        }
        TAILQ_REMOVE(&c->waiting, sending, entry);
        sending->is_with_driver = true;
        sending->serial = ++c->newest_serial;
        TAILQ_INSERT_TAIL(&c->sending, sending, entry);
        return true;
}

static void timer_set(SmsChannel *c) {
        const Sending *first = TAILQ_FIRST(&c->waiting);
        uint64_t due = !first ? UINT64_MAX : c->is_blocked ? first->patience : first->start;

        (void) sd_event_source_set_time(c->timer, due);
        (void) sd_event_source_set_enabled(
                        c->timer, due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

void sms_send_pump(SmsChannel *c) {
        uint64_t now = time_boot();
        Sending *first;

        while ((first = TAILQ_FIRST(&c->waiting))) {
                if (first->patience <= now)
                        sending_settle(c,
                                        first,
                                        &(Refusal){ .later = true, .reason = "carrier-busy" });
                else if (c->is_blocked || first->start > now || !hand_over(c, first))
                        break;
        }
        timer_set(c);
}

/* --- The gateway asks --- */

static int frame_read(const json_t *frame, SendFrame *ret) {
        static const JsonMember members[] = {
                { "message", JSON_KIND_STRING, offsetof(SendFrame, message), true, 1, 64 },
                { "kind", JSON_KIND_STRING, offsetof(SendFrame, kind), true },
                { "to", JSON_KIND_STRING, offsetof(SendFrame, to), true },
                { "text", JSON_KIND_STRING, offsetof(SendFrame, text), true },
                { "expires", JSON_KIND_INTEGER, offsetof(SendFrame, expires) },
                { "made", JSON_KIND_INTEGER, offsetof(SendFrame, made) },
                { "repeat", JSON_KIND_INTEGER, offsetof(SendFrame, repeat) },
                { "unasked", JSON_KIND_BOOLEAN, offsetof(SendFrame, unasked) },
        };
        JsonProblem problem;
        int r;

        *ret = (SendFrame){ 0 };
        r = json_read_members(frame, members, N_ELEMENTS(members), false, ret, &problem);
        if (r == 0 && (!sms_reports_is_message(ret->message) || ret->repeat < 0 ||
                                      ret->repeat > SMS_REPORTS_REPEAT_MAX))
                return -EBADMSG;
        return r;
}

/* The gateway asks again when an answer is late. It is given to each of its requests, because it
 * has forgotten some of them; of very many the newest are the ones that it knows. Whoever wants a
 * repetition while it is under way has it with this. */
static void join(SmsChannel *c, Sending *sending, int64_t id, int64_t repeat) {
        static const Refusal busy = { .later = true, .reason = "under-way" };

        if (repeat > sending->repeat)
                sending->repeat = repeat;
        if (!sending->is_with_driver)
                sending->outbound.repeat = sending->repeat;
        if (sending->n_requests < SMS_CHANNEL_REQUESTS_MAX) {
                sending->requests[sending->n_requests++] = id;
                return;
        }
        answer_refusal(c, sending->requests[0], &busy);
        memmove(sending->requests,
                        sending->requests + 1,
                        (SMS_CHANNEL_REQUESTS_MAX - 1) * sizeof(sending->requests[0]));
        sending->requests[SMS_CHANNEL_REQUESTS_MAX - 1] = id;
}

static void begin(SmsChannel *c, int64_t id, const SendFrame *frame) {
        _cleanup_(sending_freep) Sending *sending = NULL;
        Refusal refusal;
        int r;

        if (is_refused(c, frame, &refusal)) {
                answer_refusal(c, id, &refusal);
                return;
        }
        r = sending_new(c, frame, &sending);
        if (r != 0) {
                refusal = (Refusal){ .permanent = r > 0,
                        .reason = r == SMS_SEGMENT_E_LONG   ? "too-long"
                                  : r == SMS_SEGMENT_E_TEXT ? "bad-text"
                                                            : "out-of-memory" };
                answer_refusal(c, id, &refusal);
                return;
        }
        sending->repeat = frame->repeat;
        sending->has_copies = sms_withdraw_was_tried(c, frame->message, frame->made);
        if (!take_turn(c, sending, time_boot(), &refusal)) {
                answer_refusal(c, id, &refusal);
                return;
        }
        sending->requests[sending->n_requests++] = id;
        TAILQ_INSERT_TAIL(&c->waiting, sending, entry);
        sending = NULL;
        sms_send_pump(c);
}

/* `sent` means that a report will be understood, also after a kill: it waits for the disk, which
 * costs time only. Were it said before, a kill would lose the report of a failure, and nobody would
 * go on to another address. */
static const Refusal disk_full = { .later = true, .reason = "disk-full" };

/* The carrier has it, and the gateway may not know. */
static void answer_in_doubt(SmsChannel *c, int64_t id, const char *message) {
        const LogFields fields = { .channel = plugin_name(c->plugin), .message = message };

        if (sms_reports_write(c->reports, message) < 0) {
                answer_refusal(c, id, &disk_full);
                return;
        }
        log_record(LOG_INFO, &fields, "a message that the carrier has is not sent again");
        answer_sent(c, id);
}

/* A part of it was reported as failed before all were taken: it will not be whole, and to send the
 * others would cost for nothing. */
static bool has_failed(const SmsChannel *c, const char *message, int64_t repeat, Refusal *ret) {
        switch (sms_reports_failure(c->reports, message, repeat)) {
        case SMPP_OUTCOME_UNKNOWN:
                return false;
        case SMPP_OUTCOME_EXPIRED:
                *ret = (Refusal){ .permanent = true, .reason = "report-expired" };
                return true;
        case SMPP_OUTCOME_REJECTED:
                *ret = (Refusal){ .permanent = true, .reason = "report-rejected" };
                return true;
        default:
                *ret = (Refusal){ .permanent = true, .reason = "report-failed" };
                return true;
        }
}

void sms_send_request(SmsChannel *c, int64_t id, const json_t *frame) {
        Sending *sending;
        SendFrame read;
        Refusal refusal;

        if (frame_read(frame, &read) != 0) {
                answer_refusal(c, id, &(Refusal){ .reason = "bad-frame" });
                return;
        }
        sending = sending_find(c, read.message);
        if (sending)
                join(c, sending, id, read.repeat);
        else if (has_failed(c, read.message, read.repeat, &refusal))
                answer_refusal(c, id, &refusal);
        else if (sms_reports_in_doubt(c->reports, read.message, read.repeat, time_wall()))
                answer_in_doubt(c, id, read.message);
        else
                begin(c, id, &read);
}

/* --- The driver answers --- */

/* Negative: the disk does not have it. */
static int record_taken(SmsChannel *c, const Sending *sending, const SmsSendResult *result) {
        size_t n = result->n_ids;
        int r;

        if (n == 0 || n > SMS_SEGMENTS_MAX)
                n = sending->plan.n_segments;
        r = sms_reports_add(c->reports,
                        &(SmsReportsTaken){ .message = sending->message,
                                        .repeat = sending->repeat,
                                        .told = sending->outbound.repeat,
                                        .ids = result->n_ids == n ? result->ids : NULL,
                                        .n_parts = n,
                                        .has_copies = sending->has_copies },
                        time_wall());
        if (r < 0)
                log_warning("which ids the carrier gave is not on disk: %s", strerror(-r));
        /* What was forgotten would be sent again, for as long as there is no memory. */
        return r == -ENOMEM ? 0 : r;
}

static void settle_taken(SmsChannel *c, Sending *sending, const SmsSendResult *result) {
        int r = record_taken(c, sending, result);
        Refusal refusal;

        if (has_failed(c, sending->message, sending->repeat, &refusal))
                sending_settle(c, sending, &refusal);
        else
                sending_settle(c, sending, r < 0 ? &disk_full : NULL);
}

/* What came of a try in vain, or may have: a copy, or a part of one, may be on its way. */
static bool may_have_left(const Sending *sending, SmsSendOutcome outcome) {
        return outcome == SMS_SEND_FAILED ||
               (outcome != SMS_SEND_TAKEN && sending->plan.n_segments > 1);
}

/* A carrier may report by an id that is known only when the message is sent once more. */
static bool has_hidden_ids(const SmsChannel *c, const Sending *sending, SmsSendOutcome outcome) {
        return outcome == SMS_SEND_FAILED ||
               (may_have_left(sending, outcome) && !c->settings.driver->tells_segments);
}

static void settle_untaken(SmsChannel *c, Sending *sending, const SmsSendResult *result) {
        if (has_hidden_ids(c, sending, result->outcome))
                c->unsure_until = time_boot() + SMS_REPORTS_MATCH_SECONDS * USEC_PER_SEC;
        sending_settle(c,
                        sending,
                        &(Refusal){ .later = result->outcome == SMS_SEND_LATER,
                                        .permanent = result->outcome == SMS_SEND_REFUSED,
                                        .reason = result->reason ? result->reason : "carrier",
                                        .retry_after = result->retry_after });
}

/* The one that the driver has; a driver tells each result once. */
static Sending *sending_of(const SmsChannel *c, const SmsOutbound *outbound) {
        Sending *sending;

        TAILQ_FOREACH(sending, &c->sending, entry)
        if (&sending->outbound == outbound)
                break;
        assert(sending);
        return sending;
}

void sms_send_segment(
                SmsChannel *c, const SmsOutbound *outbound, unsigned segment, const char *id) {
        const Sending *sending = sending_of(c, outbound);
        int r = sms_reports_add_part(c->reports,
                        sending->message,
                        outbound->repeat,
                        sending->plan.n_segments,
                        segment,
                        id,
                        time_wall());

        if (r < 0)
                log_warning("which segments the carrier has is not on disk: %s", strerror(-r));
        sms_report_match(c);
}

void sms_send_result(SmsChannel *c, const SmsOutbound *outbound, const SmsSendResult *result) {
        char message[SMS_MESSAGE_SIZE];
        bool may_arrive, never_left;
        Sending *sending = sending_of(c, outbound);

        assert(result->outcome < SMS_SEND_OUTCOME_MAX);

        memcpy(message, sending->message, sizeof(message));
        may_arrive = may_have_left(sending, result->outcome);
        never_left = result->outcome != SMS_SEND_TAKEN && !may_arrive && sending->repeat == 0 &&
                     !sending->has_copies;
        if (result->outcome == SMS_SEND_TAKEN) {
                settle_taken(c, sending, result);
                sms_report_match(c);
        } else {
                settle_untaken(c, sending, result);
        }
        sms_report_release(c);
        sms_withdraw_after_send(c, message, may_arrive, never_left);
}

bool sms_send_is_under_way(const SmsChannel *c, const char *message) {
        return find_in(&c->sending, message) != NULL;
}

bool sms_send_drop(SmsChannel *c, const char *message) {
        Sending *sending = find_in(&c->waiting, message);
        bool never_left = sending && sending->repeat == 0 && !sending->has_copies;

        if (!sending)
                return false;
        sending_settle(c, sending, &(Refusal){ .reason = "withdrawn" });
        sms_send_pump(c);
        return never_left;
}

void sms_send_stop(SmsChannel *c) {
        Sending *sending;

        while ((sending = TAILQ_FIRST(&c->waiting)))
                sending_settle(c,
                                sending,
                                &(Refusal){ .later = true,
                                                .reason = "stopping",
                                                .retry_after = 1 });
        /* Whether the carrier took these is not known: the gateway asks again. */
        while ((sending = TAILQ_FIRST(&c->sending))) {
                sending_remove(c, sending);
                (void) sending_free(sending);
        }
}
