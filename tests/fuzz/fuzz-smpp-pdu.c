/* Any octets as a PDU of an SMS centre: refused by name, or a value within its bounds, whose
 * message is a receipt, a part of a text, or refused by name. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "smpp-pdu.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(const SmppMessage *message, const SmppReading *reading) {
        static SmppPart part;
        _cleanup_(freep) char *text = NULL;
        SmsNumber told;

        if (smpp_message_part(message, reading, &part) != 0)
                return;
        assert(sms_number_check(part.from, NULL, &told) != SMS_NUMBER_E_FORM);
        assert(part.part.concat.kind == SMS_CONCAT_NONE ||
                        (part.part.concat.part >= 1 &&
                                        part.part.concat.part <= part.part.concat.total));
        assert(sms_text_read(&part.part.octets, 1, &text) == 0);
        assert(text_is_utf8(text, strlen(text)));
}

static void check_message(const SmppMessage *message, const uint8_t *data, size_t size) {
        static const SmppReading readings[] = {
                { .default_alphabet = SMS_GSM7 },
                { .default_alphabet = SMS_GSM7,
                                .packed = true,
                                .one_is_gsm7 = true,
                                .country_code = "49" },
                { .default_alphabet = SMS_LATIN1, .unknown_is_international = true },
        };
        SmppReceipt receipt;

        assert(message->size <= SMPP_PAYLOAD_MAX);
        assert(message->size == 0 || (message->octets >= data && message->octets + message->size <=
                                                                                 data + size));
        assert(!message->error || (message->error > data && message->error + 3 <= data + size));
        assert(strlen(message->from) < SMPP_ADDRESS_SIZE &&
                        strlen(message->to) < SMPP_ADDRESS_SIZE);
        if (smpp_is_receipt(message))
                (void) smpp_message_receipt(message, &receipt);
        for (size_t i = 0; i < N_ELEMENTS(readings); i++)
                check_part(message, &readings[i]);
}

/* Whatever a centre calls a message, it is asked for that one, or not at all. */
static void check_cancel(const SmppPdu *pdu) {
        const SmppCancel cancel = {
                .message_id = pdu->message_id, .from = "Adler", .to = "4915112345678"
        };
        SmppOctets octets;
        int r = smpp_write_cancel(pdu->sequence, &cancel, &octets);

        assert((r == 0) == (pdu->message_id[0] != '\0'));
        assert(r != 0 || streq((const char *) octets.data + SMPP_HEADER_SIZE + 1, pdu->message_id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        SmppOctets answer;
        SmppPdu pdu;
        int r = smpp_read(data, size, &pdu);

        assert(r >= 0);
        if (r > 0) {
                assert(smpp_write_nack(pdu.sequence, smpp_refusal((SmppError) r), &answer) == 0);
                return 0;
        }
        assert(size >= SMPP_HEADER_SIZE && size <= SMPP_PDU_SIZE_MAX);
        assert(smpp_status_text(pdu.status));
        assert(strlen(pdu.message_id) < SMPP_ID_SIZE && strlen(pdu.system_id) < SMPP_SYSTEM_SIZE);
        check_cancel(&pdu);
        if (pdu.kind != SMPP_DELIVER)
                return 0;
        check_message(&pdu.message, data, size);
        assert(smpp_write_deliver_resp(pdu.sequence, pdu.message.is_data_sm, 0, &answer) == 0);
        assert(answer.size == SMPP_HEADER_SIZE + 1);
        return 0;
}
