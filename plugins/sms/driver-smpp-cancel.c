/* Taking messages back over SMPP: a cancel_sm for each segment that the centre has, by its id, with
 * the sender and the recipient of the submit_sm. An id that is empty is never sent: it would cancel
 * all that the recipient is to get from us.
 *
 * A connection that is lost, a centre that is busy and one that does not answer leave it open
 * whether the segment is cancelled: the gateway asks again, for the segments that are left. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver-smpp.h"
#include "log.h"
#include "time-text.h"

/* SMPP 3.4 section 5.1.3. */
enum {
        STATUS_NOT_BOUND = 0x04,
        STATUS_SYSTEM_ERROR = 0x08,
        STATUS_QUEUE_FULL = 0x14,
        STATUS_THROTTLED = 0x58,
        STATUS_TEMPORARY = 0x64,
};

static SmppWithdrawal *withdrawal_free(SmppWithdrawal *w) {
        if (!w)
                return NULL;
        free(w->message);
        free(w->to);
        free(w->from);
        free(w);
        return NULL;
}

DEFINE_CLEANUP(SmppWithdrawal, withdrawal_free)

static void forget_sequence(SmsDriver *d, SmppWithdrawal *w) {
        if (w->sequence != 0)
                d->n_cancelling--;
        w->sequence = 0;
}

/* --- What was begun --- */

static void halfway_remove(SmsDriver *d, SmppWithdrawal *w) {
        TAILQ_REMOVE(&d->halfway, w, entry);
        d->n_halfway--;
}

static void halfway_keep(SmsDriver *d, SmppWithdrawal *w) {
        TAILQ_INSERT_TAIL(&d->halfway, w, entry);
        if (++d->n_halfway > SMPP_WITHDRAWALS_MAX) {
                w = TAILQ_FIRST(&d->halfway);
                halfway_remove(d, w);
                (void) withdrawal_free(w);
        }
}

static bool is_about(const SmppWithdrawal *w, const SmsTaken *taken) {
        if (!streq(w->message, taken->message) || w->n != taken->n_ids)
                return false;
        for (unsigned i = 0; i < w->n; i++)
                if (!streq(w->ids[i], taken->ids[i]))
                        return false;
        return true;
}

static SmppWithdrawal *halfway_take(SmsDriver *d, const SmsTaken *taken) {
        SmppWithdrawal *w;

        TAILQ_FOREACH(w, &d->halfway, entry)
        if (is_about(w, taken)) {
                halfway_remove(d, w);
                return w;
        }
        return NULL;
}

/* --- Ends --- */

static void conclude(SmsDriver *d, SmppWithdrawal *w, SmsWithdrawOutcome outcome) {
        _cleanup_(freep) char *message = TAKE_PTR(w->message);

        TAILQ_REMOVE(&d->withdrawals, w, entry);
        d->n_withdrawals--;
        forget_sequence(d, w);
        if (outcome == SMS_WITHDRAW_LATER && w->next > 0 && (w->message = strdup(message)))
                halfway_keep(d, w);
        else
                (void) withdrawal_free(w);
        sms_channel_withdrawn(d->channel, message, outcome);
}

/* What is busy now will do it later; who does not know the command, or the id any more, never. */
static SmsWithdrawOutcome outcome_of(uint32_t status) {
        switch (status) {
        case STATUS_NOT_BOUND:
        case STATUS_SYSTEM_ERROR:
        case STATUS_QUEUE_FULL:
        case STATUS_THROTTLED:
        case STATUS_TEMPORARY:
                return SMS_WITHDRAW_LATER;
        default:
                return SMS_WITHDRAW_TOO_LATE;
        }
}

static void log_refusal(SmsDriver *d, uint32_t status) {
        if (!d->logged_cancel)
                log_notice("the SMS centre does not take a message back: %s (0x%x)",
                                smpp_status_text(status),
                                status);
        d->logged_cancel = true;
}

void smpp_cancel_answer(SmsDriver *d, uint32_t sequence, uint32_t status) {
        SmppWithdrawal *w;

        TAILQ_FOREACH(w, &d->withdrawals, entry)
        if (w->sequence == sequence)
                break;
        if (!w || sequence == 0)
                return;
        forget_sequence(d, w);
        if (status != 0) {
                log_refusal(d, status);
                conclude(d, w, outcome_of(status));
        } else if (++w->next == w->n) {
                conclude(d, w, SMS_WITHDRAW_DONE);
        }
        smpp_outbound_pump(d);
}

void smpp_cancel_expire(SmsDriver *d, uint64_t now) {
        SmppWithdrawal *w;

        while ((w = TAILQ_FIRST(&d->withdrawals)) && w->due <= now)
                conclude(d, w, SMS_WITHDRAW_LATER);
}

uint64_t smpp_cancel_due(const SmsDriver *d) {
        const SmppWithdrawal *first = TAILQ_FIRST(&d->withdrawals);

        return first ? first->due : UINT64_MAX;
}

void smpp_cancel_lost(SmsDriver *d) {
        while (!TAILQ_EMPTY(&d->withdrawals))
                conclude(d, TAILQ_FIRST(&d->withdrawals), SMS_WITHDRAW_LATER);
}

void smpp_cancel_done(SmsDriver *d) {
        SmppWithdrawal *w;

        while ((w = TAILQ_FIRST(&d->withdrawals))) {
                TAILQ_REMOVE(&d->withdrawals, w, entry);
                (void) withdrawal_free(w);
        }
        while ((w = TAILQ_FIRST(&d->halfway))) {
                halfway_remove(d, w);
                (void) withdrawal_free(w);
        }
}

/* --- Asking --- */

static int write_cancel(const SmppWithdrawal *w, uint32_t sequence, SmppOctets *ret) {
        SmppSender sender = smpp_outbound_sender(w->from);
        SmppCancel cancel = { .message_id = w->ids[w->next],
                .from_type = sender.type,
                .from_plan = sender.plan,
                .from = sender.address,
                .to = w->to + (w->to[0] == '+') };

        return smpp_write_cancel(sequence, &cancel, ret);
}

void smpp_cancel_pump(SmsDriver *d) {
        SmppWithdrawal *w;
        SmppOctets pdu;

        TAILQ_FOREACH(w, &d->withdrawals, entry) {
                if (d->state != SMPP_UP || d->n_unanswered + d->n_cancelling >= d->settings.window)
                        return;
                if (w->sequence != 0)
                        continue;
                w->sequence = smpp_session_sequence(d);
                d->n_cancelling++;
                if (write_cancel(w, w->sequence, &pdu) == 0)
                        smpp_link_write(d->link, &pdu);
                explicit_bzero(&pdu, sizeof(pdu));
        }
}

static int withdrawal_new(const SmsTaken *taken, SmppWithdrawal **ret) {
        _cleanup_(withdrawal_freep) SmppWithdrawal *w = NULL;

        w = calloc(1, sizeof(*w) + taken->n_ids * sizeof(w->ids[0]));
        if (!w)
                return -ENOMEM;
        w->message = strdup(taken->message);
        w->to = strdup(taken->to);
        w->from = strdup(taken->from);
        if (!w->message || !w->to || !w->from)
                return -ENOMEM;
        w->n = (unsigned) taken->n_ids;
        for (unsigned i = 0; i < w->n; i++)
                (void) snprintf(w->ids[i], sizeof(w->ids[i]), "%s", taken->ids[i]);
        *ret = TAKE_PTR(w);
        return 0;
}

/* What could never be written is refused before a turn is waited for. */
static int check(const SmppWithdrawal *w) {
        SmppOctets pdu;

        for (unsigned i = 0; i < w->n; i++)
                if (!w->ids[i][0])
                        return -ENOENT;
        return write_cancel(w, 1, &pdu) == 0 ? 0 : -EINVAL;
}

int smpp_cancel_begin(SmsDriver *d, const SmsTaken *taken) {
        SmppWithdrawal *w;
        int r;

        if (taken->n_ids == 0)
                return -ENOENT;
        if (d->state != SMPP_UP || d->n_withdrawals >= SMPP_WITHDRAWALS_MAX)
                return -EAGAIN;
        w = halfway_take(d, taken);
        r = w ? 0 : withdrawal_new(taken, &w);
        if (r < 0)
                return -EAGAIN;
        r = check(w);
        if (r < 0) {
                (void) withdrawal_free(w);
                return r;
        }
        w->due = time_boot() + d->patience.answer * USEC_PER_SEC;
        TAILQ_INSERT_TAIL(&d->withdrawals, w, entry);
        d->n_withdrawals++;
        smpp_session_arm(d, w->due);
        smpp_cancel_pump(d);
        return 0;
}
