/* The half of smpp-pdu.h that writes, by libsmpp34 but for submit_sm and cancel_sm. That library
 * logs what it packs into a global buffer, passwords and texts too, so that buffer is wiped each
 * time; test-smpp-pdu checks that the longest PDU stays within it. */
#include <stdint.h>

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

/* --- submit_sm ---
 *
 * Of each message, and so not by libsmpp34: its log of a submit_sm costs more than all else that is
 * done for a message, and holds the text. test-smpp-pdu compares with what it packs. */

static void put_octet(SmppOctets *out, uint8_t octet) {
        assert(out->size < sizeof(out->data));
        out->data[out->size++] = octet;
}

static void put_octets(SmppOctets *out, const void *octets, size_t size) {
        assert(size <= sizeof(out->data) - out->size);
        if (size > 0)
                memcpy(out->data + out->size, octets, size);
        out->size += size;
}

static void put_16(SmppOctets *out, unsigned number) {
        put_octet(out, (uint8_t) (number >> 8));
        put_octet(out, (uint8_t) number);
}

static void set_32(uint8_t *ret, size_t number) {
        for (unsigned i = 0; i < 4; i++)
                ret[i] = (uint8_t) (number >> (24 - 8 * i));
}

static void set_header(SmppOctets *out, uint32_t command, uint32_t sequence) {
        set_32(out->data, out->size);
        set_32(out->data + 4, command);
        set_32(out->data + 8, 0);
        set_32(out->data + 12, sequence);
}

/* A string with its NUL, where the specification has room octets for it. */
static bool put_text(SmppOctets *out, const char *text, size_t room) {
        size_t size = strlen(text) + 1;

        if (size > room)
                return false;
        put_octets(out, text, size);
        return true;
}

static bool put_address(SmppOctets *out, uint8_t type, uint8_t plan, const char *address) {
        put_octet(out, type);
        put_octet(out, plan);
        return put_text(out, address, 21);
}

static void put_parameter(SmppOctets *out, unsigned tag, unsigned size, unsigned number) {
        put_16(out, tag);
        put_16(out, size);
        if (size == 1)
                put_octet(out, (uint8_t) number);
        else
                put_16(out, number);
}

static void put_parameters(SmppOctets *out, const SmppSubmit *submit) {
        if (submit->sar.kind == SMS_CONCAT_SAR) {
                put_parameter(out, TLVID_sar_msg_ref_num, 2, submit->sar.reference);
                put_parameter(out, TLVID_sar_total_segments, 1, submit->sar.total);
                put_parameter(out, TLVID_sar_segment_seqnum, 1, submit->sar.part);
        }
        if (submit->has_reference)
                put_parameter(out, TLVID_user_message_reference, 2, submit->reference);
        if (submit->as_payload) {
                put_16(out, TLVID_message_payload);
                put_16(out, (unsigned) submit->size);
                put_octets(out, submit->octets, submit->size);
        }
}

/* SMPP 3.4 section 4.4.1, from service_type to short_message. */
static bool put_fields(SmppOctets *out, const SmppSubmit *submit) {
        static const uint8_t none[3];
        size_t size = submit->as_payload ? 0 : submit->size;

        if (!put_text(out, submit->service_type, 6) ||
                        !put_address(out, submit->from_type, submit->from_plan, submit->from) ||
                        !put_address(out, TON_International, NPI_ISDN_E163_E164, submit->to))
                return false;
        put_octet(out, submit->has_header ? SMPP34_UDHI_IND : 0);
        put_octets(out, none, 3); /* protocol_id, priority_flag, an empty schedule_delivery_time */
        if (!put_text(out, submit->validity, SMPP_TIME_SIZE))
                return false;
        put_octet(out, submit->wants_receipt ? SMPP34_DELIVERY_RECEIPT_ON : 0);
        put_octet(out, 0); /* replace_if_present_flag */
        put_octet(out, submit->data_coding);
        put_octet(out, 0); /* sm_default_msg_id */
        put_octet(out, (uint8_t) size);
        put_octets(out, submit->octets, size);
        return true;
}

int smpp_write_submit(uint32_t sequence, const SmppSubmit *submit, SmppOctets *ret) {
        assert(submit && submit->service_type && submit->from && submit->to && submit->validity);
        assert(submit->octets || submit->size == 0);
        assert(ret);

        ret->size = 0;
        if (submit->size >= SMPP_SHORT_MAX)
                return SMPP_E_ROOM;
        ret->size = SMPP_HEADER_SIZE;
        if (!put_fields(ret, submit)) {
                ret->size = 0;
                return SMPP_E_ROOM;
        }
        put_parameters(ret, submit);
        set_header(ret, SMPP_COMMAND_SUBMIT, sequence);
        return 0;
}

/* --- cancel_sm --- */

/* SMPP 3.4 section 4.9.1. */
static bool put_cancel(SmppOctets *out, const SmppCancel *cancel) {
        return cancel->message_id[0] && put_text(out, "", 6) &&
               put_text(out, cancel->message_id, SMPP_ID_SIZE) &&
               put_address(out, cancel->from_type, cancel->from_plan, cancel->from) &&
               put_address(out, TON_International, NPI_ISDN_E163_E164, cancel->to);
}

int smpp_write_cancel(uint32_t sequence, const SmppCancel *cancel, SmppOctets *ret) {
        assert(cancel && cancel->message_id && cancel->from && cancel->to && ret);

        ret->size = SMPP_HEADER_SIZE;
        if (!put_cancel(ret, cancel)) {
                ret->size = 0;
                return SMPP_E_ROOM;
        }
        set_header(ret, SMPP_COMMAND_CANCEL, sequence);
        return 0;
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

static char *put_two(char *p, unsigned number) {
        p[0] = (char) ('0' + number / 10 % 10);
        p[1] = (char) ('0' + number % 10);
        return p + 2;
}

void smpp_validity(uint64_t seconds, char ret[SMPP_TIME_SIZE]) {
        unsigned left;
        char *p = ret;

        assert(ret);

        if (seconds < 1)
                seconds = 1;
        left = seconds < VALIDITY_DAYS_MAX * DAY ? (unsigned) seconds : VALIDITY_DAYS_MAX * DAY;
        p = put_two(p, 0);
        p = put_two(p, 0);
        p = put_two(p, left / DAY);
        p = put_two(p, left / 3600 % 24);
        p = put_two(p, left / 60 % 60);
        p = put_two(p, left % 60);
        memcpy(p, "000R", sizeof("000R"));
}

void smpp_validity_until(int64_t moment, char ret[SMPP_TIME_SIZE]) {
        time_t seconds = (time_t) moment;
        struct tm tm;
        char *p = ret;

        assert(ret);
        assert(moment >= 0 && moment < INT64_C(4102444800));

        (void) gmtime_r(&seconds, &tm);
        p = put_two(p, (unsigned) tm.tm_year);
        p = put_two(p, (unsigned) tm.tm_mon + 1);
        p = put_two(p, (unsigned) tm.tm_mday);
        p = put_two(p, (unsigned) tm.tm_hour);
        p = put_two(p, (unsigned) tm.tm_min);
        p = put_two(p, (unsigned) tm.tm_sec);
        memcpy(p, "000+", sizeof("000+"));
}
