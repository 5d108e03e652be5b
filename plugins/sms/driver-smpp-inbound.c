/* What comes over SMPP: receipts for messages of ours, and what people wrote. Each is answered when
 * the channel has settled it, or after a while with a temporary error, upon which centres hand it
 * in again. */
#include <errno.h>

#include "driver-smpp.h"
#include "log.h"
#include "sms-inbound.h"
#include "time-text.h"

_Static_assert(SMPP_DELIVERIES_MAX > SMS_INBOUND_PARTS_MAX + SMS_INBOUND_REPLIES_MAX,
                "parts that wait must leave room for whole messages");

enum {
        STATUS_OK = 0x00,
        STATUS_LATER = 0x64, /* ESME_RX_T_APPN */
};

static void answer(SmsDriver *d, uint32_t sequence, bool is_data_sm, uint32_t status) {
        SmppOctets pdu;

        if (d->link && smpp_write_deliver_resp(sequence, is_data_sm, status, &pdu) == 0)
                smpp_link_write(d->link, &pdu);
}

/* --- What the channel has not settled --- */

static SmppDelivery *delivery_new(SmsDriver *d, uint32_t sequence, bool is_data_sm) {
        SmppDelivery *delivery;

        if (d->n_deliveries >= SMPP_DELIVERIES_MAX)
                return NULL;
        delivery = calloc(1, sizeof(*delivery));
        if (!delivery)
                return NULL;
        *delivery = (SmppDelivery){
                .token = ++d->last_token,
                .due = time_boot() + d->patience.settle * USEC_PER_SEC,
                .sequence = sequence,
                .is_data_sm = is_data_sm,
        };
        TAILQ_INSERT_TAIL(&d->deliveries, delivery, entry);
        d->n_deliveries++;
        smpp_session_arm(d, delivery->due);
        return delivery;
}

static void delivery_free(SmsDriver *d, SmppDelivery *delivery) {
        TAILQ_REMOVE(&d->deliveries, delivery, entry);
        d->n_deliveries--;
        free(delivery);
}

static void delivery_end(SmsDriver *d, SmppDelivery *delivery, uint32_t status) {
        answer(d, delivery->sequence, delivery->is_data_sm, status);
        delivery_free(d, delivery);
}

/* --- Receipts --- */

/* There are centres that send receipts as ordinary messages with a receipt's parameters. */
static bool is_receipt(const SmppMessage *message) {
        return smpp_is_receipt(message) || (message->receipted_id[0] && message->state >= 0);
}

static void take_receipt(SmsDriver *d, const SmppPdu *pdu) {
        const SmppMessage *message = &pdu->message;
        SmppDelivery *delivery;
        SmppReceipt receipt;

        if (smpp_message_receipt(message, &receipt) != 0) {
                answer(d, pdu->sequence, message->is_data_sm, smpp_refusal(SMPP_E_CODING));
                return;
        }
        if (!receipt.id[0]) {
                answer(d, pdu->sequence, message->is_data_sm, STATUS_OK);
                return;
        }
        delivery = delivery_new(d, pdu->sequence, message->is_data_sm);
        if (delivery)
                sms_channel_report(d->channel,
                                &(SmsReport){ .id = receipt.id,
                                                .outcome = receipt.outcome,
                                                .error = receipt.error[0] ? receipt.error : NULL,
                                                .token = delivery->token });
        else
                answer(d, pdu->sequence, message->is_data_sm, STATUS_LATER);
}

/* --- Messages --- */

/* It will be the same whenever it is handed in, so it is refused for good. */
static uint32_t refuse(SmsDriver *d, int error) {
        if (!d->logged_refusal)
                log_notice("a message of the SMS centre is of no use to us: %s",
                                error == SMPP_E_ADDRESS  ? "its sender is no number that can be "
                                                           "answered"
                                : error == SMPP_E_CODING ? "its alphabet is not known"
                                                         : "its header is broken");
        d->logged_refusal = true;
        return smpp_refusal((SmppError) error);
}

static void take_message(SmsDriver *d, const SmppPdu *pdu) {
        const SmppMessage *message = &pdu->message;
        SmppDelivery *delivery;
        SmppPart part;
        int r = smpp_message_part(message, &d->settings.reading, &part);

        if (r != 0) {
                answer(d, pdu->sequence, message->is_data_sm, refuse(d, r));
                return;
        }
        delivery = delivery_new(d, pdu->sequence, message->is_data_sm);
        if (delivery)
                sms_channel_inbound(d->channel,
                                &(SmsInbound){ .from = part.from,
                                                .to = message->to,
                                                .concat = &part.part.concat,
                                                .octets = &part.part.octets,
                                                .token = delivery->token });
        else
                answer(d, pdu->sequence, message->is_data_sm, STATUS_LATER);
        explicit_bzero(&part, sizeof(part));
}

void smpp_inbound_take(SmsDriver *d, const SmppPdu *pdu) {
        if (is_receipt(&pdu->message))
                take_receipt(d, pdu);
        else
                take_message(d, pdu);
}

void smpp_inbound_settle(SmsDriver *d, uint64_t token, SmsSettlement settlement) {
        SmppDelivery *delivery;

        TAILQ_FOREACH(delivery, &d->deliveries, entry)
        if (delivery->token == token)
                break;
        if (delivery)
                delivery_end(d,
                                delivery,
                                settlement == SMS_SETTLED_TAKEN ? STATUS_OK : STATUS_LATER);
}

/* --- Time --- */

void smpp_inbound_expire(SmsDriver *d, uint64_t now) {
        SmppDelivery *delivery;

        while ((delivery = TAILQ_FIRST(&d->deliveries)) && delivery->due <= now)
                delivery_end(d, delivery, STATUS_LATER);
}

uint64_t smpp_inbound_due(const SmsDriver *d) {
        const SmppDelivery *delivery = TAILQ_FIRST(&d->deliveries);

        return delivery ? delivery->due : UINT64_MAX;
}

void smpp_inbound_forget(SmsDriver *d) {
        while (!TAILQ_EMPTY(&d->deliveries))
                delivery_free(d, TAILQ_FIRST(&d->deliveries));
}
