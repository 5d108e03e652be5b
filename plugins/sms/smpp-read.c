/* The half of smpp-pdu.h that reads: every length is checked before the octets are looked at. */
#include <assert.h>
#include <string.h>

#include "smpp-command.h"
#include "smpp-pdu.h"

enum {
        ADDRESS_SIZE = 21, /* of all PDUs but data_sm */
        SERVICE_SIZE = 6,
};

/* Optional parameters that are read, SMPP 3.4 section 5.3.2. */
enum {
        TAG_RECEIPTED_ID = 0x001e,
        TAG_USER_REFERENCE = 0x0204,
        TAG_SAR_REFERENCE = 0x020c,
        TAG_SAR_TOTAL = 0x020e,
        TAG_SAR_PART = 0x020f,
        TAG_VERSION = 0x0210,
        TAG_NETWORK_ERROR = 0x0423,
        TAG_PAYLOAD = 0x0424,
        TAG_STATE = 0x0427,
};

typedef struct Cursor {
        const uint8_t *data;
        size_t size, at;
} Cursor;

typedef struct Parameter {
        const uint8_t *value; /* NULL: not there */
        size_t size;
} Parameter;

/* The parameters in the order of `known`. */
enum {
        P_RECEIPTED_ID,
        P_USER_REFERENCE,
        P_SAR_REFERENCE,
        P_SAR_TOTAL,
        P_SAR_PART,
        P_VERSION,
        P_NETWORK_ERROR,
        P_PAYLOAD,
        P_STATE,
        P_MAX,
};

static const struct {
        uint16_t tag, size_min, size_max;
} known[P_MAX] = {
        [P_RECEIPTED_ID] = { TAG_RECEIPTED_ID, 1, SMPP_ID_SIZE },
        [P_USER_REFERENCE] = { TAG_USER_REFERENCE, 2, 2 },
        [P_SAR_REFERENCE] = { TAG_SAR_REFERENCE, 2, 2 },
        [P_SAR_TOTAL] = { TAG_SAR_TOTAL, 1, 1 },
        [P_SAR_PART] = { TAG_SAR_PART, 1, 1 },
        [P_VERSION] = { TAG_VERSION, 1, 1 },
        [P_NETWORK_ERROR] = { TAG_NETWORK_ERROR, 3, 3 },
        [P_PAYLOAD] = { TAG_PAYLOAD, 0, SMPP_PAYLOAD_MAX },
        [P_STATE] = { TAG_STATE, 1, 1 },
};

static uint32_t number_at(const uint8_t *data, size_t size) {
        uint32_t number = 0;

        for (size_t i = 0; i < size; i++)
                number = number << 8 | data[i];
        return number;
}

static size_t left(const Cursor *cursor) {
        return cursor->size - cursor->at;
}

/* A string with its NUL within room octets, of which ret has as many; NULL: it is not wanted. */
static bool take_string(Cursor *cursor, size_t room, char *ret) {
        const uint8_t *start = cursor->data + cursor->at, *end;
        size_t n = left(cursor) < room ? left(cursor) : room;

        end = n > 0 ? memchr(start, '\0', n) : NULL;
        if (!end)
                return false;
        n = (size_t) (end - start) + 1;
        if (ret)
                memcpy(ret, start, n);
        cursor->at += n;
        return true;
}

static bool take_octet(Cursor *cursor, uint8_t *ret) {
        if (left(cursor) < 1)
                return false;
        *ret = cursor->data[cursor->at++];
        return true;
}

static bool skip_octets(Cursor *cursor, size_t n) {
        if (left(cursor) < n)
                return false;
        cursor->at += n;
        return true;
}

static bool take_address(Cursor *cursor, size_t room, uint8_t *ret_type, char *ret) {
        return take_octet(cursor, ret_type) && skip_octets(cursor, 1) &&
               take_string(cursor, room, ret);
}

static int keep(uint16_t tag, const uint8_t *value, size_t size, Parameter *parameters) {
        for (size_t i = 0; i < P_MAX; i++) {
                if (known[i].tag != tag)
                        continue;
                if (size < known[i].size_min || size > known[i].size_max || parameters[i].value)
                        return SMPP_E_TLV;
                parameters[i] = (Parameter){ value, size };
        }
        return 0; /* of no use to us */
}

/* All that is left, which must be whole parameters. */
static int take_parameters(Cursor *cursor, Parameter parameters[P_MAX]) {
        memset(parameters, 0, P_MAX * sizeof(*parameters));
        while (left(cursor) > 0) {
                const uint8_t *head = cursor->data + cursor->at;
                size_t size;
                int r;

                if (left(cursor) < 4)
                        return SMPP_E_TLV;
                size = number_at(head + 2, 2);
                if (left(cursor) - 4 < size)
                        return SMPP_E_TLV;
                r = keep((uint16_t) number_at(head, 2), head + 4, size, parameters);
                if (r != 0)
                        return r;
                cursor->at += 4 + size;
        }
        return 0;
}

/* A C octet string as a parameter; there are centres that leave out its NUL. */
static int id_of(const Parameter *parameter, char ret[SMPP_ID_SIZE]) {
        size_t n;

        ret[0] = '\0';
        if (!parameter->value)
                return 0;
        n = strnlen((const char *) parameter->value, parameter->size);
        if (n + 1 < parameter->size || n >= SMPP_ID_SIZE)
                return SMPP_E_TLV;
        memcpy(ret, parameter->value, n);
        ret[n] = '\0';
        return 0;
}

static void read_sar(const Parameter *parameters, SmppMessage *message) {
        const Parameter *reference = &parameters[P_SAR_REFERENCE];

        message->sar = (SmsConcat){ .kind = SMS_CONCAT_NONE };
        if (reference->value && parameters[P_SAR_TOTAL].value && parameters[P_SAR_PART].value)
                (void) sms_concat_from_sar(number_at(reference->value, 2),
                                parameters[P_SAR_TOTAL].value[0],
                                parameters[P_SAR_PART].value[0],
                                &message->sar);
}

/* The optional parameters of a message, and which of the two places its text is in. */
static int read_message_parameters(Cursor *cursor, SmppMessage *message) {
        Parameter parameters[P_MAX];
        const Parameter *payload = &parameters[P_PAYLOAD];
        int r = take_parameters(cursor, parameters);

        if (r != 0)
                return r;
        if (payload->value && payload->size > 0) {
                if (message->size > 0)
                        return SMPP_E_TWICE;
                message->octets = payload->value;
                message->size = payload->size;
        }
        read_sar(parameters, message);
        message->has_reference = parameters[P_USER_REFERENCE].value != NULL;
        if (message->has_reference)
                message->reference = (uint16_t) number_at(parameters[P_USER_REFERENCE].value, 2);
        message->state = parameters[P_STATE].value ? parameters[P_STATE].value[0] : -1;
        message->error = parameters[P_NETWORK_ERROR].value;
        return id_of(&parameters[P_RECEIPTED_ID], message->receipted_id);
}

/* SMPP 3.4 section 4.6.1. */
static int read_deliver(Cursor *cursor, SmppMessage *message) {
        uint8_t size;

        if (!take_string(cursor, SERVICE_SIZE, NULL) ||
                        !take_address(cursor, ADDRESS_SIZE, &message->from_type, message->from) ||
                        !take_address(cursor, ADDRESS_SIZE, &message->to_type, message->to) ||
                        !take_octet(cursor, &message->esm_class) ||
                        !skip_octets(cursor, 2) || /* protocol_id, priority_flag */
                        !take_string(cursor, SMPP_TIME_SIZE, NULL) ||
                        !take_string(cursor, SMPP_TIME_SIZE, NULL) ||
                        !skip_octets(cursor, 2) || /* registered_delivery, replace_if_present */
                        !take_octet(cursor, &message->data_coding) ||
                        !skip_octets(cursor, 1) || /* sm_default_msg_id */
                        !take_octet(cursor, &size) || size > SMPP_SHORT_MAX)
                return SMPP_E_FIELD;
        message->octets = cursor->data + cursor->at;
        message->size = size;
        if (!skip_octets(cursor, size))
                return SMPP_E_FIELD;
        return read_message_parameters(cursor, message);
}

/* SMPP 3.4 section 4.7.1. */
static int read_data(Cursor *cursor, SmppMessage *message) {
        message->is_data_sm = true;
        message->octets = cursor->data; /* of size 0, until there is a message_payload */
        if (!take_string(cursor, SERVICE_SIZE, NULL) ||
                        !take_address(cursor,
                                        SMPP_ADDRESS_SIZE,
                                        &message->from_type,
                                        message->from) ||
                        !take_address(cursor, SMPP_ADDRESS_SIZE, &message->to_type, message->to) ||
                        !take_octet(cursor, &message->esm_class) ||
                        !skip_octets(cursor, 1) || /* registered_delivery */
                        !take_octet(cursor, &message->data_coding))
                return SMPP_E_FIELD;
        return read_message_parameters(cursor, message);
}

/* A response's string, which may be left out, with all behind it, when the response refuses. */
static int read_response(Cursor *cursor, size_t room, char *ret, SmppPdu *pdu) {
        Parameter parameters[P_MAX];
        int r;

        if (left(cursor) == 0 && pdu->status != 0)
                return 0;
        if (!take_string(cursor, room, ret))
                return SMPP_E_FIELD;
        r = take_parameters(cursor, parameters);
        if (r == 0 && parameters[P_VERSION].value)
                pdu->version = parameters[P_VERSION].value[0];
        return r;
}

static int read_empty(const Cursor *cursor) {
        return left(cursor) == 0 ? 0 : SMPP_E_LENGTH;
}

static int read_body(uint32_t command, Cursor *cursor, SmppPdu *pdu) {
        switch (command) {
        case SMPP_COMMAND_BIND_RECEIVER_RESP:
        case SMPP_COMMAND_BIND_TRANSMITTER_RESP:
        case SMPP_COMMAND_BIND_TRANSCEIVER_RESP:
                pdu->kind = SMPP_BIND_RESP;
                return read_response(cursor, SMPP_SYSTEM_SIZE, pdu->system_id, pdu);
        case SMPP_COMMAND_SUBMIT_RESP:
                pdu->kind = SMPP_SUBMIT_RESP;
                return read_response(cursor, SMPP_ID_SIZE, pdu->message_id, pdu);
        case SMPP_COMMAND_CANCEL_RESP:
                pdu->kind = SMPP_CANCEL_RESP;
                return read_empty(cursor);
        case SMPP_COMMAND_DATA_RESP:
                pdu->kind = SMPP_DATA_RESP;
                return read_response(cursor, SMPP_ID_SIZE, pdu->message_id, pdu);
        case SMPP_COMMAND_DELIVER:
                pdu->kind = SMPP_DELIVER;
                return read_deliver(cursor, &pdu->message);
        case SMPP_COMMAND_DATA:
                pdu->kind = SMPP_DELIVER;
                return read_data(cursor, &pdu->message);
        case SMPP_COMMAND_ENQUIRE:
                pdu->kind = SMPP_ENQUIRE;
                return read_empty(cursor);
        case SMPP_COMMAND_ENQUIRE_RESP:
                pdu->kind = SMPP_ENQUIRE_RESP;
                return read_empty(cursor);
        case SMPP_COMMAND_UNBIND:
                pdu->kind = SMPP_UNBIND;
                return read_empty(cursor);
        case SMPP_COMMAND_UNBIND_RESP:
                pdu->kind = SMPP_UNBIND_RESP;
                return read_empty(cursor);
        case SMPP_COMMAND_NACK:
                pdu->kind = SMPP_NACK;
                return read_empty(cursor);
        default:
                return SMPP_E_COMMAND;
        }
}

int smpp_length(const uint8_t octets[4], size_t *ret) {
        assert(octets && ret);

        *ret = number_at(octets, 4);
        return *ret >= SMPP_HEADER_SIZE && *ret <= SMPP_PDU_SIZE_MAX ? 0 : SMPP_E_LENGTH;
}

int smpp_read(const uint8_t *octets, size_t size, SmppPdu *ret) {
        Cursor cursor = { octets, size, SMPP_HEADER_SIZE };
        SmppPdu pdu = { .message.state = -1 };
        size_t length;
        int r;

        assert(octets || size == 0);
        assert(ret);

        *ret = (SmppPdu){ 0 };
        if (size < SMPP_HEADER_SIZE)
                return SMPP_E_LENGTH;
        pdu.status = number_at(octets + 8, 4);
        pdu.sequence = number_at(octets + 12, 4);
        ret->sequence = pdu.sequence;
        if (smpp_length(octets, &length) != 0 || length != size)
                return SMPP_E_LENGTH;
        r = read_body(number_at(octets + 4, 4), &cursor, &pdu);
        if (r == 0)
                *ret = pdu;
        return r;
}

int smpp_alphabet(uint8_t data_coding, const SmppReading *reading, SmsAlphabet *ret) {
        assert(reading && ret);

        switch (data_coding) {
        case 0x00:
                *ret = reading->default_alphabet;
                return 0;
        case 0x01:
                *ret = reading->one_is_gsm7 ? SMS_GSM7 : SMS_ASCII;
                return 0;
        case 0x03:
                *ret = SMS_LATIN1;
                return 0;
        case 0x08:
                *ret = SMS_UCS2;
                return 0;
        default:
                break;
        }
        /* A class, 1111 and 0001: bit 2 (in the latter bits 3 and 2) is the alphabet. */
        if ((data_coding & 0xf4) == 0xf0 || (data_coding & 0xfc) == 0x10)
                *ret = SMS_GSM7;
        else if ((data_coding & 0xfc) == 0x18)
                *ret = SMS_UCS2;
        else
                return SMPP_E_CODING;
        return 0;
}

enum {
        ESM_TYPE = 0x3c,
        ESM_RECEIPT = 0x04,
        ESM_INTERMEDIATE = 0x20,
        ESM_HEADER = 0x40,
};

bool smpp_is_receipt(const SmppMessage *message) {
        uint8_t type;

        assert(message);

        type = message->esm_class & ESM_TYPE;
        return type == ESM_RECEIPT || type == ESM_INTERMEDIATE;
}

int smpp_message_receipt(const SmppMessage *message, SmppReceipt *ret) {
        SmppReceiptTlvs tlvs;

        assert(message && ret);

        tlvs = (SmppReceiptTlvs){ message->receipted_id, message->state, message->error };
        return smpp_receipt_read((const char *) message->octets, message->size, &tlvs, ret);
}

/* Seven-bit text as a septet in each octet. Behind a header the first one is on its boundary. */
static void unpack(const SmppMessage *message, size_t header, SmppPart *part) {
        unsigned fill_bits = gsm7_fill_bits(header);
        size_t n = gsm7_unpacked_count(message->size - header, fill_bits);

        gsm7_unpack(message->octets + header, n, fill_bits, part->unpacked);
        /* Where a septet fewer needs as many octets, a last zero is padding, not an at sign. */
        if (n > 0 && part->unpacked[n - 1] == 0 &&
                        gsm7_packed_size(n - 1, fill_bits) == message->size - header)
                n--;
        part->part.octets.data = part->unpacked;
        part->part.octets.size = n;
}

int smpp_message_part(const SmppMessage *message, const SmppReading *reading, SmppPart *ret) {
        SmsUdh udh = { .size = 0 };
        SmsOctets *octets;
        int r;

        assert(message && reading && ret);
        assert(message->size <= SMPP_PAYLOAD_MAX);

        ret->part = (SmsPart){ .from = ret->from, .to = message->to };
        octets = &ret->part.octets;
        r = smpp_alphabet(message->data_coding, reading, &octets->alphabet);
        if (r != 0)
                return r;
        if (!sms_number_from_carrier(message->from,
                            message->from_type,
                            reading->country_code,
                            reading->unknown_is_international,
                            ret->from))
                return SMPP_E_ADDRESS;
        if (message->esm_class & ESM_HEADER &&
                        sms_udh_read(message->octets, message->size, &udh) != 0)
                return SMPP_E_HEADER;

        octets->data = message->octets + udh.size;
        octets->size = message->size - udh.size;
        if (octets->alphabet == SMS_GSM7 && reading->packed)
                unpack(message, udh.size, ret);
        octets->locking = udh.locking;
        octets->single = udh.single;
        ret->part.concat = udh.concat.kind != SMS_CONCAT_NONE ? udh.concat : message->sar;
        return 0;
}
