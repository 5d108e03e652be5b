/* The session of the SMPP driver: it connects, binds, asks whether the centre is still there, hands
 * each PDU to whom it concerns, and begins again when the connection is gone. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "driver-smpp.h"
#include "log.h"
#include "smpp-command.h"
#include "time-text.h"

/* Answers of the centre have this bit (SMPP 3.4 section 5.1.2.1). */
#define IS_ANSWER UINT8_C(0x80)

enum {
        STATUS_NOT_BOUND = 0x04,
        STATUS_ALREADY_BOUND = 0x05,
        STATUS_UNKNOWN = 0xff,
};

uint32_t smpp_session_sequence(SmsDriver *d) {
        d->sequence = d->sequence < INT32_MAX ? d->sequence + 1 : 1;
        return d->sequence;
}

void smpp_session_arm(SmsDriver *d, uint64_t at) {
        if (at >= d->armed)
                return;
        d->armed = at;
        (void) sd_event_source_set_time(d->timer, at);
        (void) sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
}

unsigned smpp_session_retry_after(const SmsDriver *d) {
        uint64_t now = time_boot();

        if (d->state != SMPP_DOWN || d->retry_at <= now)
                return 1;
        return (unsigned) ((d->retry_at - now) / USEC_PER_SEC) + 1;
}

void smpp_session_end(SmsDriver *d, const char *reason) {
        if (d->state == SMPP_DOWN || d->state == SMPP_ENDING)
                return;
        if (d->state == SMPP_UP && time_boot() - d->since >= SMPP_STABLE_SECONDS * USEC_PER_SEC)
                d->attempts = 0;
        d->state = SMPP_ENDING;
        smpp_link_end(d->link, reason);
}

/* --- When --- */

static unsigned enquire_patience(const SmsDriver *d) {
        unsigned twice = 2 * d->settings.enquire_seconds;

        return twice < SMPP_ENQUIRE_SECONDS ? twice : SMPP_ENQUIRE_SECONDS;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static uint64_t session_due(const SmsDriver *d) {
        switch (d->state) {
        case SMPP_DOWN:
                return d->retry_at;
        case SMPP_CONNECTING:
        case SMPP_BINDING:
                return d->since + SMPP_BIND_SECONDS * USEC_PER_SEC;
        case SMPP_UP:
                if (d->asked != 0)
                        return d->asked + enquire_patience(d) * USEC_PER_SEC;
                return d->heard + d->settings.enquire_seconds * USEC_PER_SEC;
        case SMPP_ENDING:
                break;
        }
        return UINT64_MAX;
}

/* Half of it is chance, so that not everybody comes back at once after an outage. */
static uint64_t with_jitter(uint64_t seconds) {
        uint64_t half = seconds * USEC_PER_SEC / 2;

        return half + randombytes_uniform((uint32_t) half);
}

/* A centre that refuses our account will do so again, and may lock it if asked too often. */
static void schedule_retry(SmsDriver *d) {
        uint64_t delay = 1, limit = d->patience.retry;
        unsigned doublings = d->attempts;

        if (d->refusals > 0) {
                delay = d->patience.refused;
                limit = d->patience.refused_max;
                doublings = d->refusals - 1;
        }
        for (unsigned i = 0; i < doublings && delay < limit; i++)
                delay *= 2;
        d->attempts++;
        d->retry_at = time_boot() + with_jitter(delay < limit ? delay : limit);
        smpp_session_arm(d, d->retry_at);
}

/* --- Questions and answers of the session itself --- */

static void write_enquire(SmsDriver *d) {
        SmppOctets pdu;

        if (smpp_write_enquire(smpp_session_sequence(d), &pdu) == 0)
                smpp_link_write(d->link, &pdu);
        d->asked = time_boot();
}

static void write_nack(SmsDriver *d, uint32_t sequence, uint32_t status) {
        SmppOctets pdu;

        if (smpp_write_nack(sequence, status, &pdu) == 0)
                smpp_link_write(d->link, &pdu);
}

static void write_bind(SmsDriver *d) {
        SmppOctets pdu;

        d->bind_sequence = smpp_session_sequence(d);
        if (smpp_write_bind(d->bind_sequence,
                            d->settings.system_id,
                            (const char *) d->settings.password.data,
                            d->settings.system_type,
                            "",
                            &pdu) == 0)
                smpp_link_write(d->link, &pdu);
        sodium_memzero(&pdu, sizeof(pdu));
}

static const char *bind_reason(uint32_t status) {
        if (status == STATUS_ALREADY_BOUND)
                return "already-bound";
        return smpp_refusal_kind(status) == SMPP_REFUSAL_ACCOUNT ? "bind-refused" : "centre-error";
}

/* A centre that has not noticed yet that our last connection is gone says that we are bound
 * already: that passes by itself. */
static void on_bind_answer(SmsDriver *d, uint32_t sequence, uint32_t status) {
        if (d->state != SMPP_BINDING || sequence != d->bind_sequence)
                return;
        if (status != 0) {
                if (status != d->refused_status)
                        log_error("the SMS centre refuses to bind us: %s (0x%x)",
                                        smpp_status_text(status),
                                        status);
                d->refused_status = status;
                if (streq(bind_reason(status), "bind-refused"))
                        d->refusals++;
                smpp_session_end(d, bind_reason(status));
                return;
        }
        d->state = SMPP_UP;
        d->since = d->heard;
        d->refused_status = 0;
        d->refusals = 0;
        d->reason = NULL;
        d->logged_status = 0;
        smpp_session_arm(d, session_due(d));
        sms_channel_carrier(d->channel, true, "");
        smpp_outbound_pump(d);
}

static void on_unbind(SmsDriver *d, uint32_t sequence) {
        SmppOctets pdu;

        if (smpp_write_unbind_resp(sequence, &pdu) == 0)
                smpp_link_write(d->link, &pdu);
        smpp_session_end(d, "unbound");
}

static void on_enquire(SmsDriver *d, uint32_t sequence) {
        SmppOctets pdu;

        if (smpp_write_enquire_resp(sequence, &pdu) == 0)
                smpp_link_write(d->link, &pdu);
}

static void on_message(SmsDriver *d, const SmppPdu *pdu) {
        SmppOctets answer;

        if (d->state == SMPP_UP)
                smpp_inbound_take(d, pdu);
        else if (smpp_write_deliver_resp(pdu->sequence,
                                 pdu->message.is_data_sm,
                                 STATUS_NOT_BOUND,
                                 &answer) == 0)
                smpp_link_write(d->link, &answer);
}

/* --- PDUs --- */

static uint32_t number_at(const uint8_t *octets) {
        return (uint32_t) octets[0] << 24 | (uint32_t) octets[1] << 16 | (uint32_t) octets[2] << 8 |
               octets[3];
}

/* It refuses whatever it says. */
static void on_nack(SmsDriver *d, uint32_t sequence, uint32_t status) {
        if (status == 0)
                status = STATUS_UNKNOWN;
        on_bind_answer(d, sequence, status);
        smpp_cancel_answer(d, sequence, status);
        smpp_outbound_answer(d, sequence, status, "");
}

/* A request is refused; of an answer the header is as good as all of it: it says whether the centre
 * has taken what we sent, which must not be sent twice. */
static void on_unreadable(SmsDriver *d, const uint8_t *octets, uint32_t sequence, int error) {
        uint32_t command = number_at(octets + 4), status = number_at(octets + 8);

        if (command == SMPP_COMMAND_SUBMIT_RESP)
                smpp_outbound_answer(d, sequence, status, "");
        else if (command == SMPP_COMMAND_CANCEL_RESP)
                smpp_cancel_answer(d, sequence, status);
        else if (command == SMPP_COMMAND_BIND_TRANSCEIVER_RESP)
                on_bind_answer(d, sequence, status);
        else if (command == SMPP_COMMAND_NACK)
                on_nack(d, sequence, status);
        else if (!(octets[4] & IS_ANSWER))
                write_nack(d, sequence, smpp_refusal((SmppError) error));
        if (++d->malformed >= SMPP_MALFORMED_MAX)
                smpp_session_end(d, "malformed");
}

static void on_pdu(const uint8_t *octets, size_t size, void *userdata) {
        SmsDriver *d = userdata;
        SmppPdu pdu;
        int r;

        if (d->state != SMPP_UP && d->state != SMPP_BINDING)
                return;
        d->heard = time_boot();
        d->asked = 0;
        r = smpp_read(octets, size, &pdu);
        if (r != 0) {
                on_unreadable(d, octets, pdu.sequence, r);
                return;
        }
        d->malformed = 0;
        switch (pdu.kind) {
        case SMPP_BIND_RESP:
                on_bind_answer(d, pdu.sequence, pdu.status);
                break;
        case SMPP_SUBMIT_RESP:
                smpp_outbound_answer(d, pdu.sequence, pdu.status, pdu.message_id);
                break;
        case SMPP_CANCEL_RESP:
                smpp_cancel_answer(d, pdu.sequence, pdu.status);
                break;
        case SMPP_NACK:
                on_nack(d, pdu.sequence, pdu.status);
                break;
        case SMPP_DELIVER:
                on_message(d, &pdu);
                sodium_memzero(&pdu, sizeof(pdu));
                break;
        case SMPP_ENQUIRE:
                on_enquire(d, pdu.sequence);
                break;
        case SMPP_UNBIND:
                on_unbind(d, pdu.sequence);
                break;
        case SMPP_ENQUIRE_RESP: /* was heard, which is all */
        case SMPP_UNBIND_RESP:
        case SMPP_DATA_RESP:
                break;
        }
}

/* --- The connection --- */

static void on_open(void *userdata) {
        SmsDriver *d = userdata;

        if (d->state != SMPP_CONNECTING)
                return;
        d->state = SMPP_BINDING;
        write_bind(d);
}

/* The channel hears of it before it gets its messages back, so that it does not try again now. */
static void on_end(const char *reason, void *userdata) {
        SmsDriver *d = userdata;

        smpp_session_end(d, reason); /* for its books, when the link ended by itself */
        d->link = smpp_link_free(d->link);
        d->state = SMPP_DOWN;
        d->asked = 0;
        d->malformed = 0;
        if (!d->reason || !streq(d->reason, reason))
                log_warning("no session with the SMS centre: %s", reason);
        d->reason = reason;
        schedule_retry(d);
        smpp_inbound_forget(d);
        sms_channel_carrier(d->channel, false, reason);
        smpp_cancel_lost(d);
        smpp_outbound_lost(d);
}

static void connect_now(SmsDriver *d) {
        static const SmppLinkOps ops = { .open = on_open, .pdu = on_pdu, .end = on_end };
        const SmppLinkConfig config = {
                .host = d->settings.host, .port = d->settings.port, .tls = d->tls
        };
        int r = smpp_link_new(&d->link, d->event, &config, &ops, d);

        if (r < 0) {
                log_error("cannot connect to the SMS centre: %s", strerror(-r));
                schedule_retry(d);
                return;
        }
        d->state = SMPP_CONNECTING;
        d->since = time_boot();
}

static void watch_time(SmsDriver *d, uint64_t now) {
        if (now >= session_due(d)) {
                if (d->state == SMPP_DOWN)
                        connect_now(d);
                else if (d->state == SMPP_UP && d->asked == 0)
                        write_enquire(d);
                else
                        smpp_session_end(d, "no-answer");
        }
        if (smpp_outbound_is_overdue(d, now))
                smpp_session_end(d, "no-answer");
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        SmsDriver *d = userdata;
        uint64_t now = time_boot();

        (void) source;
        (void) due;
        d->armed = UINT64_MAX;
        watch_time(d, now);
        smpp_inbound_expire(d, now);
        smpp_cancel_expire(d, now);
        smpp_outbound_pump(d);
        smpp_session_arm(d, earlier(session_due(d), smpp_outbound_due(d)));
        smpp_session_arm(d, earlier(smpp_inbound_due(d), smpp_cancel_due(d)));
        return 0;
}

int smpp_session_open(SmsDriver *d) {
        d->armed = d->retry_at = time_boot();
        return sd_event_add_time(d->event,
                        &d->timer,
                        CLOCK_BOOTTIME,
                        d->retry_at,
                        USEC_PER_MSEC,
                        on_timer,
                        d);
}

void smpp_session_close(SmsDriver *d) {
        SmppOctets pdu;

        if (d->state == SMPP_UP && smpp_write_unbind(smpp_session_sequence(d), &pdu) == 0)
                smpp_link_write(d->link, &pdu);
        d->link = smpp_link_free(d->link);
        d->state = SMPP_DOWN;
        sd_event_source_disable_unref(d->timer);
        d->timer = NULL;
}
