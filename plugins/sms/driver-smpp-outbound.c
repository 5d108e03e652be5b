/* What leaves over SMPP: a submit_sm for each segment, as many unanswered ones as the window
 * allows, as fast as the centre takes them.
 *
 * A message is taken when all of its segments are. When one is not, because the centre is busy or
 * the connection is lost, the channel remembers the segments that were taken, and when the gateway
 * asks again only the others are sent. But SMPP does not say what became of a segment that was sent
 * and not answered when a connection ends: it is sent again, because the other way it could be
 * lost. Both repeats are the same octets under the same reference, and where there are several
 * parts, phones know those that they have. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistr.h>

#include "driver-smpp.h"
#include "log.h"
#include "sms-text.h"
#include "time-text.h"

enum {
        STATUS_NOT_BOUND = 0x04,
        STATUS_QUEUE_FULL = 0x14,
        STATUS_VALIDITY = 0x62,

        TYPE_INTERNATIONAL = 1, /* SMPP 3.4 section 5.2.5 */
        TYPE_NETWORK = 3,       /* a short code */
        TYPE_NAME = 5,
        PLAN_NONE = 0,
        PLAN_TELEPHONE = 1,

        CODING_DEFAULT = 0x00,
        CODING_ONE = 0x01,
        CODING_UCS2 = 0x08,
        CODING_GSM7 = 0xf1, /* whatever the centre's default is; class 1, the phone's own memory */

        ACCOUNT_SECONDS = 300, /* until somebody may have put our account in order */
};

/* --- How a message is written --- */

/* True when every character is one octet of the centre's default alphabet. */
static bool fits_default(const SmsDriver *d, const SmsOutbound *outbound) {
        ucs4_t limit = d->settings.reading.default_alphabet == SMS_LATIN1 ? 0xff : 0x7f;
        const uint8_t *text = (const uint8_t *) outbound->text;
        ucs4_t character;

        for (size_t i = 0; i < outbound->size;) {
                i += (size_t) u8_mbtouc_unsafe(&character, text + i, outbound->size - i);
                if (character > limit)
                        return false;
        }
        return true;
}

static void choose_coding(const SmsDriver *d, SmppSending *s) {
        const SmppReading *reading = &d->settings.reading;

        s->form = SMS_UNPACKED;
        s->as_septets = true;
        if (s->outbound->plan->alphabet == SMS_UCS2) {
                s->data_coding = CODING_UCS2;
        } else if (reading->default_alphabet == SMS_GSM7) {
                s->data_coding = CODING_DEFAULT;
                s->form = reading->packed ? SMS_PACKED : SMS_UNPACKED;
        } else if (fits_default(d, s->outbound)) {
                s->data_coding = CODING_DEFAULT;
                s->as_septets = false;
        } else {
                s->data_coding = reading->one_is_gsm7 ? CODING_ONE : CODING_GSM7;
        }
}

/* Behind the header that sms_segment_write() made, the segment's text in the centre's alphabet. */
static size_t write_octets(const SmppSending *s, unsigned i, uint8_t ret[SMS_SEGMENT_OCTETS_MAX]) {
        const SmsOutbound *o = s->outbound;
        const SmsSegment *segment = &o->plan->segments[i];
        size_t n = sms_segment_write(o->plan, o->text, i, o->reference, true, s->form, ret);
        ucs4_t character;

        if (s->as_septets)
                return n;
        n = s->n > 1 ? SMS_UDH_CONCAT_SIZE : 0;
        for (size_t at = segment->start; at < segment->end;) {
                at += (size_t) u8_mbtouc_unsafe(
                                &character, (const uint8_t *) o->text + at, segment->end - at);
                ret[n++] = (uint8_t) character;
        }
        return n;
}

SmppSender smpp_outbound_sender(const char *from) {
        bool is_number = from[0] == '+';
        bool is_code = !is_number && strspn(from, "0123456789") == strlen(from);

        return (SmppSender){ .type = is_number ? TYPE_INTERNATIONAL
                                     : is_code ? TYPE_NETWORK
                                               : TYPE_NAME,
                .plan = is_number ? PLAN_TELEPHONE : PLAN_NONE,
                .address = is_number ? from + 1 : from };
}

static void set_validity(const SmsDriver *d, int64_t expires, char ret[SMPP_TIME_SIZE]) {
        int64_t now = time_wall();

        ret[0] = '\0';
        if (expires == 0)
                return;
        if (d->absolute_validity)
                smpp_validity_until(expires > now ? expires : now + 1, ret);
        else
                smpp_validity(expires > now ? (uint64_t) (expires - now) : 1, ret);
}

static int write_segment(const SmsDriver *d,
                const SmppSending *s,
                unsigned i,
                uint32_t sequence,
                SmppOctets *ret) {
        uint8_t octets[SMS_SEGMENT_OCTETS_MAX];
        char validity[SMPP_TIME_SIZE];
        SmppSender sender = smpp_outbound_sender(s->outbound->from);
        SmppSubmit submit = {
                .service_type = "",
                .from = sender.address,
                .from_type = sender.type,
                .from_plan = sender.plan,
                .to = s->outbound->to + (s->outbound->to[0] == '+'),
                .validity = validity,
                .wants_receipt = true,
                .has_header = s->n > 1,
                .data_coding = s->data_coding,
                .octets = octets,
        };
        int r;

        set_validity(d, s->outbound->expires, validity);
        submit.size = write_octets(s, i, octets);
        r = smpp_write_submit(sequence, &submit, ret);
        explicit_bzero(octets, sizeof(octets));
        return r;
}

/* --- Messages on their way --- */

static SmppSending *sending_new(const SmsOutbound *outbound) {
        unsigned n = outbound->plan->n_segments;
        SmppSending *s = calloc(1, sizeof(*s) + n * sizeof(s->segments[0]));

        if (!s)
                return NULL;
        s->outbound = outbound;
        s->n = n;
        for (unsigned i = 0; outbound->taken && i < n; i++) {
                if (!outbound->taken[i].is_taken)
                        continue;
                (void) snprintf(s->segments[i].id,
                                sizeof(s->segments[i].id),
                                "%s",
                                outbound->taken[i].id ? outbound->taken[i].id : "");
                s->segments[i].is_taken = true;
                s->n_taken++;
        }
        return s;
}

static void skip_taken(SmppSending *s) {
        while (s->next < s->n && s->segments[s->next].is_taken)
                s->next++;
}

static bool is_over(const SmppSending *s) {
        return s->n_waiting == 0 && (s->is_stopped || s->n_taken == s->n);
}

static void tell_taken(SmsDriver *d, const SmsOutbound *outbound, const SmppSending *s) {
        const char *ids[SMS_SEGMENTS_MAX];

        for (unsigned i = 0; i < s->n; i++)
                ids[i] = s->segments[i].id;
        sms_channel_sent(d->channel,
                        outbound,
                        &(SmsSendResult){ .outcome = SMS_SEND_TAKEN, .ids = ids, .n_ids = s->n });
}

/* The channel may send the next one from in here. */
static void conclude(SmsDriver *d, SmppSending *s) {
        const SmsOutbound *outbound = s->outbound;
        SmsSendResult result = s->result;

        TAILQ_REMOVE(&d->sendings, s, entry);
        if (s->n_taken == s->n) {
                tell_taken(d, outbound, s);
                free(s);
                return;
        }
        free(s);
        sms_channel_sent(d->channel, outbound, &result);
}

/* The worst of what happened to its segments is what happened to the message. */
static void stop(SmppSending *s, SmsSendOutcome outcome, const char *reason, unsigned retry_after) {
        if (!s->is_stopped || outcome > s->result.outcome)
                s->result = (SmsSendResult){
                        .outcome = outcome, .reason = reason, .retry_after = retry_after
                };
        s->is_stopped = true;
        s->next = s->n;
}

/* --- The window --- */

/* The one that has segments left: another is not begun before. */
static SmppSending *current(const SmsDriver *d) {
        SmppSending *last = TAILQ_LAST(&d->sendings, SmppSendingQueue);

        return last && last->next < last->n ? last : NULL;
}

static void submit_next(SmsDriver *d, SmppSending *s, uint64_t now) {
        SmppUnanswered *u = calloc(1, sizeof(*u));
        uint32_t sequence = smpp_session_sequence(d);
        SmppOctets pdu;
        int r = u ? write_segment(d, s, s->next, sequence, &pdu) : -ENOMEM;

        if (r != 0) {
                free(u);
                stop(s, r < 0 ? SMS_SEND_LATER : SMS_SEND_REFUSED, "unsendable", 0);
                d->has_unsendable = true;
                smpp_session_arm(d, now);
                return;
        }
        smpp_link_write(d->link, &pdu);
        explicit_bzero(pdu.data, pdu.size);
        *u = (SmppUnanswered){ .sending = s,
                .segment = s->next,
                .sequence = sequence,
                .due = now + d->patience.answer * USEC_PER_SEC };
        TAILQ_INSERT_TAIL(&d->unanswered, u, entry);
        d->n_unanswered++;
        s->n_waiting++;
        s->next++;
        skip_taken(s);
        smpp_throttle_sent(&d->throttle, now);
        smpp_session_arm(d, u->due);
}

static bool may_submit(const SmsDriver *d, uint64_t now) {
        return d->state == SMPP_UP && d->n_unanswered + d->n_cancelling < d->settings.window &&
               smpp_throttle_wait(&d->throttle, now) == 0;
}

static void wake_when_due(SmsDriver *d, uint64_t now) {
        if (d->state == SMPP_UP && d->throttle.due > now)
                smpp_session_arm(d, d->throttle.due);
}

static void submit_all(SmsDriver *d, uint64_t now) {
        SmppSending *s;

        while ((s = current(d)) && may_submit(d, now))
                submit_next(d, s, now);
        if (s || d->is_blocked)
                wake_when_due(d, now);
}

/* Results are not told from inside the channel's own call. */
static void conclude_unsendable(SmsDriver *d) {
        SmppSending *s;

        d->has_unsendable = false;
        do {
                TAILQ_FOREACH(s, &d->sendings, entry)
                if (is_over(s))
                        break;
                if (s)
                        conclude(d, s);
        } while (s);
}

void smpp_outbound_pump(SmsDriver *d) {
        uint64_t now = time_boot();

        if (d->has_unsendable)
                conclude_unsendable(d);
        smpp_cancel_pump(d);
        submit_all(d, now);
        if (d->is_blocked && !current(d) && may_submit(d, now)) {
                d->is_blocked = false;
                sms_channel_ready(d->channel);
        }
}

int smpp_outbound_send(SmsDriver *d, const SmsOutbound *outbound) {
        uint64_t now = time_boot();
        SmppSending *s;

        if (current(d) || !may_submit(d, now)) {
                d->is_blocked = true;
                wake_when_due(d, now);
                return -EAGAIN;
        }
        s = sending_new(outbound);
        if (!s)
                return -ENOMEM;
        skip_taken(s);
        choose_coding(d, s);
        TAILQ_INSERT_TAIL(&d->sendings, s, entry);
        submit_all(d, now);
        return 0;
}

/* --- Answers --- */

static void log_status(SmsDriver *d, uint32_t status) {
        if (status != d->logged_status)
                log_warning("the SMS centre refuses a message: %s (0x%x)",
                                smpp_status_text(status),
                                status);
        d->logged_status = status;
}

static void refuse_slower(SmsDriver *d, SmppSending *s, uint32_t status) {
        uint64_t now = time_boot(), wait;

        smpp_throttle_slower(&d->throttle, now);
        wait = smpp_throttle_wait(&d->throttle, now);
        stop(s,
                        SMS_SEND_LATER,
                        status == STATUS_QUEUE_FULL ? "queue-full" : "throttled",
                        (unsigned) ((wait + USEC_PER_SEC - 1) / USEC_PER_SEC));
}

/* Text and validity are ours: what the centre does not like about them it will never like. */
static void refuse_message(SmsDriver *d, SmppSending *s, uint32_t status) {
        if (status == STATUS_VALIDITY && !d->absolute_validity && s->outbound->expires != 0) {
                d->absolute_validity = true;
                stop(s, SMS_SEND_LATER, "validity-form", 1);
        } else {
                stop(s, SMS_SEND_REFUSED, "message-refused", 0);
        }
}

static void refused(SmsDriver *d, SmppSending *s, uint32_t status) {
        log_status(d, status);
        switch (smpp_refusal_kind(status)) {
        case SMPP_REFUSAL_SLOWER:
                refuse_slower(d, s, status);
                break;
        case SMPP_REFUSAL_LATER:
                stop(s, SMS_SEND_FAILED, "centre-error", 0);
                break;
        case SMPP_REFUSAL_MESSAGE:
                refuse_message(d, s, status);
                break;
        case SMPP_REFUSAL_ADDRESS:
                stop(s, SMS_SEND_REFUSED, "address-refused", 0);
                break;
        case SMPP_REFUSAL_ACCOUNT:
                if (status == STATUS_NOT_BOUND) {
                        stop(s, SMS_SEND_LATER, "not-bound", 1);
                        smpp_session_end(d, "not-bound");
                } else {
                        stop(s, SMS_SEND_FAILED, "account-refused", ACCOUNT_SECONDS);
                }
                break;
        }
}

static void unanswered_free(SmsDriver *d, SmppUnanswered *u) {
        TAILQ_REMOVE(&d->unanswered, u, entry);
        d->n_unanswered--;
        u->sending->n_waiting--;
        free(u);
}

void smpp_outbound_answer(
                SmsDriver *d, uint32_t sequence, uint32_t status, const char *message_id) {
        SmppUnanswered *u;
        SmppSending *s;

        TAILQ_FOREACH(u, &d->unanswered, entry)
        if (u->sequence == sequence)
                break;
        if (!u)
                return;
        s = u->sending;
        if (status == 0) {
                struct SmppSegment *segment = &s->segments[u->segment];

                segment->is_taken = true;
                s->n_taken++;
                (void) strncpy(segment->id, message_id, sizeof(segment->id) - 1);
                smpp_throttle_taken(&d->throttle);
                if (s->n_taken < s->n)
                        sms_channel_segment(d->channel, s->outbound, u->segment, segment->id);
        } else {
                refused(d, s, status);
        }
        unanswered_free(d, u);
        if (is_over(s))
                conclude(d, s);
        smpp_outbound_pump(d);
}

/* --- Ends --- */

/* Whether the centre has what it was sent is not known, so that counts as a try: a message that
 * makes the centre hang up is not sent for ever. */
void smpp_outbound_lost(SmsDriver *d) {
        unsigned retry_after = smpp_session_retry_after(d);
        SmppSending *s;

        TAILQ_FOREACH(s, &d->sendings, entry)
        if (s->n_waiting > 0)
                stop(s, SMS_SEND_FAILED, "connection-lost", retry_after);
        else
                stop(s, SMS_SEND_LATER, "connection-lost", retry_after);
        while (!TAILQ_EMPTY(&d->unanswered))
                unanswered_free(d, TAILQ_FIRST(&d->unanswered));
        while ((s = TAILQ_FIRST(&d->sendings)))
                conclude(d, s);
}

bool smpp_outbound_is_overdue(const SmsDriver *d, uint64_t now) {
        const SmppUnanswered *first = TAILQ_FIRST(&d->unanswered);

        return first && first->due <= now;
}

uint64_t smpp_outbound_due(const SmsDriver *d) {
        const SmppUnanswered *first = TAILQ_FIRST(&d->unanswered);
        uint64_t due = first ? first->due : UINT64_MAX;

        if (d->state == SMPP_UP && (d->is_blocked || current(d)) && d->throttle.due > time_boot() &&
                        d->throttle.due < due)
                due = d->throttle.due;
        return due;
}

void smpp_outbound_done(SmsDriver *d) {
        SmppSending *s;

        while (!TAILQ_EMPTY(&d->unanswered))
                unanswered_free(d, TAILQ_FIRST(&d->unanswered));
        while ((s = TAILQ_FIRST(&d->sendings))) {
                TAILQ_REMOVE(&d->sendings, s, entry);
                free(s);
        }
}
