/* The half of smpp-pdu.h that writes, by libsmpp34. It logs what it packs into a global buffer,
 * passwords and texts too, so that buffer is wiped each time; test-smpp-pdu checks that the longest
 * PDU stays within it. */
#include <stdint.h>
#include <stdio.h>

#include <smpp34.h>
#include <smpp34_structs.h>

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "smpp-command.h"
#include "smpp-pdu.h"

enum {
        VERSION = 0x34,
        PARAMETERS_MAX = 5,
        DAY = 24 * 60 * 60,
        VALIDITY_DAYS_MAX = 28,
};

/* Each PDU was given the sequence number 1, and gets its own here: the library refuses to pack 0
 * and what has the highest bit set, but an answer repeats what it was asked with. */
static int pack(uint32_t command, uint32_t sequence, void *pdu, SmppOctets *ret) {
        int size = 0, r;

        r = smpp34_pack(command, ret->data, sizeof(ret->data), &size, pdu);
        explicit_bzero(smpp34_strerror, sizeof(smpp34_strerror));
        if (r != 0 || size < SMPP_HEADER_SIZE) {
                explicit_bzero(ret->data, sizeof(ret->data));
                ret->size = 0;
                return SMPP_E_ROOM;
        }
        ret->size = (size_t) size;
        for (unsigned i = 0; i < 4; i++)
                ret->data[12 + i] = (uint8_t) (sequence >> (24 - 8 * i));
        return 0;
}

/* Copies a string into a field of room octets with its NUL. */
static bool put(const char *text, uint8_t *ret, size_t room) {
        size_t n = strlen(text);

        if (n >= room)
                return false;
        memcpy(ret, text, n + 1);
        return true;
}

int smpp_write_bind(uint32_t sequence,
                const char *system_id,
                const char *password,
                const char *system_type,
                const char *address_range,
                SmppOctets *ret) {
        bind_transceiver_t pdu = {
                .command_id = BIND_TRANSCEIVER, .sequence_number = 1, .interface_version = VERSION
        };
        int r = SMPP_E_ROOM;

        assert(system_id && password && system_type && address_range && ret);

        ret->size = 0;
        if (put(system_id, (uint8_t *) pdu.system_id, SMPP_SYSTEM_SIZE) &&
                        put(password, (uint8_t *) pdu.password, SMPP_PASSWORD_SIZE) &&
                        put(system_type, (uint8_t *) pdu.system_type, SMPP_SYSTEM_TYPE_SIZE) &&
                        put(address_range, (uint8_t *) pdu.address_range, 41))
                r = pack(BIND_TRANSCEIVER, sequence, &pdu, ret);
        explicit_bzero(&pdu, sizeof(pdu));
        return r;
}

/* Parameters in a list of our own, so that nothing is allocated. */
typedef struct Parameters {
        tlv_t list[PARAMETERS_MAX];
        size_t n;
} Parameters;

static tlv_t *next_parameter(Parameters *parameters, uint16_t tag, uint16_t size) {
        tlv_t *tlv = &parameters->list[parameters->n];

        assert(parameters->n < PARAMETERS_MAX);
        *tlv = (tlv_t){ .tag = tag, .length = size };
        if (parameters->n > 0)
                parameters->list[parameters->n - 1].next = tlv;
        parameters->n++;
        return tlv;
}

static void add_octet(Parameters *parameters, uint16_t tag, uint8_t value) {
        next_parameter(parameters, tag, 1)->value.val08 = value;
}

static void add_number(Parameters *parameters, uint16_t tag, uint16_t value) {
        next_parameter(parameters, tag, 2)->value.val16 = value;
}

static void add_parameters(const SmppSubmit *submit, Parameters *parameters) {
        if (submit->sar.kind == SMS_CONCAT_SAR) {
                add_number(parameters, TLVID_sar_msg_ref_num, submit->sar.reference);
                add_octet(parameters, TLVID_sar_total_segments, submit->sar.total);
                add_octet(parameters, TLVID_sar_segment_seqnum, submit->sar.part);
        }
        if (submit->has_reference)
                add_number(parameters, TLVID_user_message_reference, submit->reference);
        if (submit->as_payload) {
                tlv_t *tlv = next_parameter(
                                parameters, TLVID_message_payload, (uint16_t) submit->size);

                memcpy(tlv->value.octet, submit->octets, submit->size);
        }
}

int smpp_write_submit(uint32_t sequence, const SmppSubmit *submit, SmppOctets *ret) {
        submit_sm_t pdu = { .command_id = SUBMIT_SM, .sequence_number = 1 };
        Parameters parameters = { .n = 0 };
        int r = SMPP_E_ROOM;

        assert(submit && submit->service_type && submit->from && submit->to && submit->validity);
        assert(submit->octets || submit->size == 0);
        assert(ret);

        ret->size = 0;
        /* libsmpp34 wants one octet less than the specification. */
        if (submit->size >= SMPP_SHORT_MAX ||
                        !put(submit->service_type, (uint8_t *) pdu.service_type, 6) ||
                        !put(submit->from, (uint8_t *) pdu.source_addr, 21) ||
                        !put(submit->to, (uint8_t *) pdu.destination_addr, 21) ||
                        !put(submit->validity, (uint8_t *) pdu.validity_period, SMPP_TIME_SIZE))
                return SMPP_E_ROOM;
        pdu.source_addr_ton = submit->from_type;
        pdu.source_addr_npi = submit->from_plan;
        pdu.dest_addr_ton = TON_International;
        pdu.dest_addr_npi = NPI_ISDN_E163_E164;
        pdu.esm_class = submit->has_header ? SMPP34_UDHI_IND : 0;
        pdu.registered_delivery = submit->wants_receipt ? SMPP34_DELIVERY_RECEIPT_ON : 0;
        pdu.data_coding = submit->data_coding;
        if (!submit->as_payload && submit->size > 0) {
                pdu.sm_length = (uint8_t) submit->size;
                memcpy(pdu.short_message, submit->octets, submit->size);
        }
        add_parameters(submit, &parameters);
        pdu.tlv = parameters.n > 0 ? parameters.list : NULL;
        r = pack(SUBMIT_SM, sequence, &pdu, ret);
        explicit_bzero(&pdu, sizeof(pdu));
        explicit_bzero(&parameters, sizeof(parameters));
        return r;
}

int smpp_write_deliver_resp(uint32_t sequence, bool is_data_sm, uint32_t status, SmppOctets *ret) {
        deliver_sm_resp_t deliver = {
                .command_id = DELIVER_SM_RESP, .command_status = status, .sequence_number = 1
        };
        data_sm_resp_t data = {
                .command_id = DATA_SM_RESP, .command_status = status, .sequence_number = 1
        };

        assert(ret);

        ret->size = 0;
        return is_data_sm ? pack(DATA_SM_RESP, sequence, &data, ret)
                          : pack(DELIVER_SM_RESP, sequence, &deliver, ret);
}

/* The five commands without a body have structures of the same four fields. */
static int pack_header(uint32_t command, uint32_t status, uint32_t sequence, SmppOctets *ret) {
        generic_nack_t pdu = {
                .command_id = command, .command_status = status, .sequence_number = 1
        };

        assert(ret);

        ret->size = 0;
        return pack(command, sequence, &pdu, ret);
}

int smpp_write_enquire(uint32_t sequence, SmppOctets *ret) {
        return pack_header(ENQUIRE_LINK, 0, sequence, ret);
}

int smpp_write_enquire_resp(uint32_t sequence, SmppOctets *ret) {
        return pack_header(ENQUIRE_LINK_RESP, 0, sequence, ret);
}

int smpp_write_unbind(uint32_t sequence, SmppOctets *ret) {
        return pack_header(UNBIND, 0, sequence, ret);
}

int smpp_write_unbind_resp(uint32_t sequence, SmppOctets *ret) {
        return pack_header(UNBIND_RESP, 0, sequence, ret);
}

int smpp_write_nack(uint32_t sequence, uint32_t status, SmppOctets *ret) {
        return pack_header(GENERIC_NACK, status, sequence, ret);
}

void smpp_validity(uint64_t seconds, char ret[SMPP_TIME_SIZE]) {
        unsigned left;

        assert(ret);

        if (seconds < 1)
                seconds = 1;
        left = seconds < VALIDITY_DAYS_MAX * DAY ? (unsigned) seconds : VALIDITY_DAYS_MAX * DAY;
        (void) snprintf(ret,
                        SMPP_TIME_SIZE,
                        "0000%02u%02u%02u%02u000R",
                        left / DAY % 100,
                        left / 3600 % 24,
                        left / 60 % 60,
                        left % 60);
}

void smpp_validity_until(int64_t moment, char ret[SMPP_TIME_SIZE]) {
        time_t seconds = (time_t) moment;
        struct tm tm;

        assert(ret);
        assert(moment >= 0 && moment < INT64_C(4102444800));

        (void) gmtime_r(&seconds, &tm);
        (void) snprintf(ret,
                        SMPP_TIME_SIZE,
                        "%02u%02u%02u%02u%02u%02u000+",
                        (unsigned) tm.tm_year % 100,
                        (unsigned) (tm.tm_mon + 1) % 100,
                        (unsigned) tm.tm_mday % 100,
                        (unsigned) tm.tm_hour % 100,
                        (unsigned) tm.tm_min % 100,
                        (unsigned) tm.tm_sec % 100);
}
