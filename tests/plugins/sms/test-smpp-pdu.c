/* PDUs of SMPP 3.4: what a centre sends, also when it means harm, and what we send. libsmpp34 reads
 * what we wrote, as the second opinion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <smpp34.h>
#include <smpp34_structs.h>

#include "cleanup.h"
#include "smpp-pdu.h"
#include "text.h"

/* Of smpp34_params.h, which must follow the others and sorts before them. */
int destroy_tlv(tlv_t *sourceList);

enum { ROOM = 8192 };

/* A PDU under construction. */
typedef struct Octets {
        uint8_t data[ROOM];
        size_t size;
} Octets;

static void put(Octets *o, const void *data, size_t size) {
        memcpy(o->data + o->size, data, size);
        o->size += size;
}

static void put_number(Octets *o, uint32_t number, size_t size) {
        for (size_t i = size; i > 0; i--)
                o->data[o->size++] = (uint8_t) (number >> (8 * (i - 1)));
}

static void put_string(Octets *o, const char *text) {
        put(o, text, strlen(text) + 1);
}

static void begin(Octets *o, uint32_t command, uint32_t status) {
        o->size = 0;
        put_number(o, 0, 4);
        put_number(o, command, 4);
        put_number(o, status, 4);
        put_number(o, 0x01020304, 4);
}

static void put_tlv(Octets *o, uint16_t tag, const void *value, size_t size) {
        put_number(o, tag, 2);
        put_number(o, (uint32_t) size, 2);
        put(o, value, size);
}

static int read_octets(Octets *o, SmppPdu *ret) {
        size_t size = o->size;

        o->size = 0;
        put_number(o, (uint32_t) size, 4);
        o->size = size;
        return smpp_read(o->data, o->size, ret);
}

/* A deliver_sm up to its optional parameters. */
static void begin_deliver(Octets *o,
                const char *from,
                uint8_t coding,
                uint8_t esm_class,
                const void *text,
                uint8_t size) {
        begin(o, 5, 0);
        put_string(o, "");
        put(o, "\1\1", 2);
        put_string(o, from);
        put(o, "\1\1", 2);
        put_string(o, "49301234");
        put_number(o, esm_class, 1);
        put(o, "\0\0\0\0\0\0", 6); /* protocol, priority, two empty times, receipt, replacing */
        put_number(o, coding, 1);
        put_number(o, 0, 1);
        put_number(o, size, 1);
        put(o, text, size);
}

static void responses_are_read(void **state) {
        Octets o;
        SmppPdu pdu;

        (void) state;
        begin(&o, 0x80000009, 0);
        put_string(&o, "smsc");
        put_tlv(&o, 0x0210, "\x34", 1);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(pdu.kind, SMPP_BIND_RESP);
        assert_string_equal(pdu.system_id, "smsc");
        assert_int_equal(pdu.version, 0x34);
        assert_int_equal(pdu.sequence, 0x01020304);

        begin(&o, 0x80000009, 0x0e);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(pdu.status, 0x0e);
        begin(&o, 0x80000009, 0);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_FIELD);

        begin(&o, 0x80000004, 0);
        put_string(&o, "0123abcd");
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(pdu.kind, SMPP_SUBMIT_RESP);
        assert_string_equal(pdu.message_id, "0123abcd");
        begin(&o, 0x80000004, 0x58);
        put_string(&o, "");
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(pdu.status, 0x58);
}

static void headers_alone_are_read(void **state) {
        static const struct {
                uint32_t command;
                SmppKind kind;
        } commands[] = { { 0x15, SMPP_ENQUIRE },
                { 0x80000015, SMPP_ENQUIRE_RESP },
                { 6, SMPP_UNBIND },
                { 0x80000006, SMPP_UNBIND_RESP },
                { 0x80000008, SMPP_CANCEL_RESP },
                { 0x80000000, SMPP_NACK } };
        Octets o;
        SmppPdu pdu;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(commands); i++) {
                begin(&o, commands[i].command, 0);
                assert_int_equal(read_octets(&o, &pdu), 0);
                assert_int_equal(pdu.kind, commands[i].kind);
                put_number(&o, 0, 1);
                assert_int_equal(read_octets(&o, &pdu), SMPP_E_LENGTH);
        }
}

static void what_no_centre_says_is_refused_with_its_number(void **state) {
        static const uint32_t commands[] = {
                0x0b, 1, 2, 3, 4, 9, 0x102, 0x21, 0x80000005, 0xffffffff
        };
        Octets o;
        SmppPdu pdu;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(commands); i++) {
                begin(&o, commands[i], 0);
                assert_int_equal(read_octets(&o, &pdu), SMPP_E_COMMAND);
                assert_int_equal(pdu.sequence, 0x01020304);
        }
        assert_int_equal(smpp_refusal(SMPP_E_COMMAND), ESME_RINVCMDID);
        assert_int_equal(smpp_refusal(SMPP_E_LENGTH), ESME_RINVCMDLEN);
}

static void the_length_is_checked_before_anything_is_waited_for(void **state) {
        static const uint8_t lengths[][4] = {
                { 0, 0, 0, 15 }, { 0, 0, 16, 1 }, { 0xff, 0xff, 0xff, 0xff }, { 0 }
        };
        size_t length;
        Octets o;
        SmppPdu pdu;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(lengths); i++)
                assert_int_equal(smpp_length(lengths[i], &length), SMPP_E_LENGTH);
        assert_int_equal(smpp_length((const uint8_t[]){ 0, 0, 16, 0 }, &length), 0);
        assert_int_equal(length, 4096);
        begin(&o, 0x15, 0);
        o.data[3] = 17;
        assert_int_equal(smpp_read(o.data, 16, &pdu), SMPP_E_LENGTH);
        assert_int_equal(smpp_read(o.data, 15, &pdu), SMPP_E_LENGTH);
        assert_int_equal(smpp_read(NULL, 0, &pdu), SMPP_E_LENGTH);
}

static void
assert_part(const SmppPdu *pdu, const SmppReading *reading, const char *from, const char *text) {
        static SmppPart part;
        _cleanup_(freep) char *got = NULL;

        assert_int_equal(smpp_message_part(&pdu->message, reading, &part), 0);
        assert_string_equal(part.from, from);
        assert_int_equal(sms_text_read(&part.part.octets, 1, &got), 0);
        assert_string_equal(got, text);
}

static const SmppReading plain = { .default_alphabet = SMS_GSM7 };

static void messages_are_read_in_each_alphabet(void **state) {
        static const SmppReading latin = { .default_alphabet = SMS_LATIN1, .one_is_gsm7 = true };
        static const struct {
                uint8_t coding;
                const char *octets;
                uint8_t size;
                const char *text;
        } codings[] = { { 0, "\x01 \x1b\x65", 4, "\xc2\xa3 \xe2\x82\xac" },
                { 1, "YES", 3, "YES" },
                { 3, "gr\xfc\xdf", 4, "gr\xc3\xbc\xc3\x9f" },
                { 8, "\xd8\x3d\xdd\x11", 4, "\xf0\x9f\x94\x91" },
                { 0xf0, "\x01", 1, "\xc2\xa3" },
                { 0xf3, "\x01", 1, "\xc2\xa3" },
                { 0x11, "\x01", 1, "\xc2\xa3" },
                { 0x18, "\0Y", 2, "Y" } };
        static const uint8_t refused[] = {
                2, 4, 5, 6, 7, 9, 10, 13, 14, 0x14, 0xc0, 0xf4, 0xf5, 0xff
        };
        SmsAlphabet alphabet;
        Octets o;
        SmppPdu pdu;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(codings); i++) {
                begin_deliver(&o,
                                "4915112345678",
                                codings[i].coding,
                                0,
                                codings[i].octets,
                                codings[i].size);
                assert_int_equal(read_octets(&o, &pdu), 0);
                assert_false(smpp_is_receipt(&pdu.message));
                assert_part(&pdu, &plain, "+4915112345678", codings[i].text);
        }
        begin_deliver(&o, "4915112345678", 0, 0, "\xfc", 1);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_part(&pdu, &latin, "+4915112345678", "\xc3\xbc");
        begin_deliver(&o, "4915112345678", 1, 0, "\x01", 1);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_part(&pdu, &latin, "+4915112345678", "\xc2\xa3");
        for (size_t i = 0; i < N_ELEMENTS(refused); i++)
                assert_int_equal(smpp_alphabet(refused[i], &plain, &alphabet), SMPP_E_CODING);
}

/* TS 23.038 section 6.2.1.2: what follows an escape, and the alphabet itself, by the header. */
static void national_tables_of_the_header_are_heeded(void **state) {
        static const SmppReading packed = { .default_alphabet = SMS_GSM7, .packed = true };
        static const struct {
                const SmppReading *reading;
                uint8_t coding;
                const char *octets;
                uint8_t size;
                const char *text;
        } messages[] = {
                { &plain, 0, "\3\x24\1\1\x1bgg", 7, "\xc4\x9fg" },            /* ğg, Turkish */
                { &plain, 0, "\3\x24\1\1\x1b\x65\x1bz", 8, "\xe2\x82\xacz" }, /* no such z */
                { &plain, 0, "\3\x25\1\1\x1c\x07", 6, "\xc5\x9e\xc4\xb1" },   /* Şı, locking */
                { &plain,
                                0,
                                "\6\x24\1\3\x25\1\3\x7b\x1b\x61",
                                10,
                                "\xc3\xa3\xc3\x82" }, /* ãÂ, Portuguese */
                { &plain, 0, "\3\x24\1\x63\x1b\x65\x1bg", 8, "\xe2\x82\xacg" }, /* none */
                { &plain, 8, "\3\x24\1\1\0Y", 6, "Y" },
                /* An escape and "g" behind four octets and three fill bits, by hand. */
                { &packed, 0, "\3\x24\1\1\xd8\x9c\x01", 7, "\xc4\x9f" },
        };
        Octets o;
        SmppPdu pdu;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(messages); i++) {
                begin_deliver(&o,
                                "4915112345678",
                                messages[i].coding,
                                0x40,
                                messages[i].octets,
                                messages[i].size);
                assert_int_equal(read_octets(&o, &pdu), 0);
                assert_part(&pdu, messages[i].reading, "+4915112345678", messages[i].text);
        }
}

static void parts_say_which_they_are(void **state) {
        static const SmppReading packed = { .default_alphabet = SMS_GSM7, .packed = true };
        static const uint8_t udh[] = { 5, 0, 3, 0xcc, 2, 1, 'h', 'i' };
        /* "hi" behind a header of 6 octets and one fill bit, by hand: 0xd0, 0x69. */
        static const uint8_t dense[] = { 5, 0, 3, 0xcc, 2, 1, 0xd0, 0x69 };
        static SmppPart part;
        Octets o;
        SmppPdu pdu;

        (void) state;
        begin_deliver(&o, "4915112345678", 0, 0x40, udh, sizeof(udh));
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(smpp_message_part(&pdu.message, &plain, &part), 0);
        assert_int_equal(part.part.concat.kind, SMS_CONCAT_8);
        assert_int_equal(part.part.concat.reference, 0xcc);
        assert_part(&pdu, &plain, "+4915112345678", "hi");
        begin_deliver(&o, "4915112345678", 0, 0x40, dense, sizeof(dense));
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_part(&pdu, &packed, "+4915112345678", "hi");
        /* Seven octets are seven septets and padding, or eight; "1234567" by hand. */
        begin_deliver(&o, "4915112345678", 0, 0, "\x31\xd9\x8c\x56\xb3\xdd\x00", 7);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_part(&pdu, &packed, "+4915112345678", "1234567");

        begin_deliver(&o, "4915112345678", 0, 0, "two", 3);
        put_tlv(&o, 0x020c, "\x12\x34", 2);
        put_tlv(&o, 0x020e, "\2", 1);
        put_tlv(&o, 0x020f, "\2", 1);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(smpp_message_part(&pdu.message, &plain, &part), 0);
        assert_int_equal(part.part.concat.kind, SMS_CONCAT_SAR);
        assert_int_equal(part.part.concat.reference, 0x1234);
        assert_int_equal(part.part.concat.part, 2);

        begin_deliver(&o, "4915112345678", 0, 0x40, "\x09", 1);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(smpp_message_part(&pdu.message, &plain, &part), SMPP_E_HEADER);
        begin_deliver(&o, "Hotel", 0, 0, "x", 1);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(smpp_message_part(&pdu.message, &plain, &part), SMPP_E_ADDRESS);
}

static void a_payload_is_read_and_text_in_two_places_refused(void **state) {
        Octets o;
        SmppPdu pdu;
        uint8_t big[SMPP_PAYLOAD_MAX + 1] = { 'x' };

        (void) state;
        begin_deliver(&o, "4915112345678", 0, 0, "", 0);
        put_tlv(&o, 0x0424, "YES", 3);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_part(&pdu, &plain, "+4915112345678", "YES");
        begin_deliver(&o, "4915112345678", 0, 0, "x", 1);
        put_tlv(&o, 0x0424, "YES", 3);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_TWICE);
        begin_deliver(&o, "4915112345678", 0, 0, "", 0);
        put_tlv(&o, 0x0424, big, sizeof(big));
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_TLV);

        begin(&o, 0x103, 0);
        put_string(&o, "");
        put(&o, "\1\1", 2);
        put_string(&o, "4915112345678");
        put(&o, "\1\1", 2);
        put_string(&o, "49301234");
        put(&o, "\0\0\0", 3);
        put_tlv(&o, 0x0424, "YES", 3);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_true(pdu.message.is_data_sm);
        assert_part(&pdu, &plain, "+4915112345678", "YES");
}

static void receipts_are_told_from_messages(void **state) {
        static const char text[] = "id:7F3a sub:001 dlvrd:000 stat:UNDELIV err:0A1";
        SmppReceipt receipt;
        Octets o;
        SmppPdu pdu;

        (void) state;
        begin_deliver(&o, "4915112345678", 0, 4, text, sizeof(text) - 1);
        put_tlv(&o, 0x001e, "0007f3b", 8);
        put_tlv(&o, 0x0427, "\2", 1);
        put_tlv(&o, 0x0423, "\3\0\1", 3);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_true(smpp_is_receipt(&pdu.message));
        assert_int_equal(smpp_message_receipt(&pdu.message, &receipt), 0);
        assert_string_equal(receipt.id, "0007f3b");
        assert_int_equal(receipt.outcome, SMPP_OUTCOME_DELIVERED);
        assert_string_equal(receipt.error, "3/0001");
        begin_deliver(&o, "4915112345678", 0, 4, text, sizeof(text) - 1);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_int_equal(smpp_message_receipt(&pdu.message, &receipt), 0);
        assert_string_equal(receipt.id, "7F3a");
        assert_int_equal(receipt.outcome, SMPP_OUTCOME_FAILED);
}

static void fields_and_parameters_of_wrong_length_are_refused(void **state) {
        static const uint8_t big[255];
        char address[32];
        Octets o;
        SmppPdu pdu;

        (void) state;
        memset(address, '4', sizeof(address));
        address[20] = '\0';
        begin_deliver(&o, address, 0, 0, "x", 1);
        assert_int_equal(read_octets(&o, &pdu), 0);
        address[20] = '4';
        address[21] = '\0';
        begin_deliver(&o, address, 0, 0, "x", 1);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_FIELD);
        begin_deliver(&o, "49151", 0, 0, "x", 1);
        o.data[o.size - 2] = 2; /* sm_length beyond the end */
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_FIELD);
        begin_deliver(&o, "49151", 0, 0, address, 0);
        put_tlv(&o, 0x0427, "\2\2", 2);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_TLV);
        begin_deliver(&o, "49151", 0, 0, "x", 1);
        put_tlv(&o, 0x0427, "\2", 1);
        put_tlv(&o, 0x0427, "\5", 1);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_TLV);
        begin_deliver(&o, "49151", 0, 0, "x", 1);
        put(&o, "\x14\0\0", 3);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_TLV);
        begin_deliver(&o, "49151", 0, 0, "x", 1);
        put(&o, "\x14\0\0\5abcd", 8);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_TLV);
        begin_deliver(&o, "49151", 0, 4, "x", 1);
        put_tlv(&o, 0x001e, "12\0tail", 7); /* something behind its NUL */
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_TLV);
        begin_deliver(&o, "49151", 0, 0, big, 254);
        assert_int_equal(read_octets(&o, &pdu), 0);
        begin_deliver(&o, "49151", 0, 0, big, 255);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_FIELD);
        begin(&o, 0x80000004, 0);
        put(&o, "no end", 6);
        assert_int_equal(read_octets(&o, &pdu), SMPP_E_FIELD);
}

/* What overruns libsmpp34's log is read here in one pass, and only what is known is kept. */
static void hundreds_of_parameters_are_passed_over(void **state) {
        Octets o;
        SmppPdu pdu;

        (void) state;
        begin_deliver(&o, "4915112345678", 0, 0, "YES", 3);
        for (uint16_t i = 0; i < 500; i++)
                put_tlv(&o, (uint16_t) (0x1400 + i), "abc", 3);
        assert_int_equal(read_octets(&o, &pdu), 0);
        assert_part(&pdu, &plain, "+4915112345678", "YES");
}

static void a_cut_pdu_is_never_read_as_a_whole(void **state) {
        Octets o;
        SmppPdu pdu;
        size_t whole;

        (void) state;
        begin_deliver(&o, "4915112345678", 0, 0, "YES", 3);
        put_tlv(&o, 0x0427, "\2", 1);
        whole = o.size;
        for (size_t size = 0; size < whole; size++) {
                uint8_t *copy = malloc(size + 1);

                assert_non_null(copy);
                memcpy(copy, o.data, size);
                if (size >= 4)
                        memcpy(copy, (const uint8_t[]){ 0, 0, 0, (uint8_t) size }, 4);
                if (size != whole - 5) /* the end of the message, before its parameter */
                        assert_true(smpp_read(copy, size, &pdu) > 0);
                free(copy);
        }
}

static void a_bind_is_what_libsmpp34_reads(void **state) {
        bind_transceiver_t back = { 0 };
        SmppOctets o;

        (void) state;
        assert_int_equal(smpp_write_bind(7, "gateway", "secret12", "", "", &o), 0);
        assert_int_equal(smpp34_unpack(BIND_TRANSCEIVER, &back, o.data, (int) o.size), 0);
        assert_string_equal((char *) back.system_id, "gateway");
        assert_string_equal((char *) back.password, "secret12");
        assert_int_equal(back.interface_version, 0x34);
        assert_int_equal(back.sequence_number, 7);
        assert_int_equal(smpp_write_bind(7, "gateway", "secret123", "", "", &o), SMPP_E_ROOM);
        assert_int_equal(o.size, 0);
        assert_int_equal(smpp_write_bind(7, "sixteen symbols.", "x", "", "", &o), SMPP_E_ROOM);
}

static void the_password_does_not_stay_in_the_librarys_log(void **state) {
        SmppOctets o;

        (void) state;
        assert_int_equal(smpp_write_bind(7, "gateway", "secret12", "", "", &o), 0);
        for (size_t i = 0; i < sizeof(smpp34_strerror); i++)
                assert_int_equal(smpp34_strerror[i], 0);
}

static SmppSubmit longest_submit(const uint8_t *octets, size_t size) {
        return (SmppSubmit){ .service_type = "12345",
                .from_type = 1,
                .from_plan = 1,
                .from = "12345678901234567890",
                .to = "12345678901234567890",
                .validity = "000028000000000R",
                .wants_receipt = true,
                .has_header = true,
                .data_coding = 8,
                .octets = octets,
                .size = size,
                .sar = { SMS_CONCAT_SAR, 0xffff, 255, 254 },
                .has_reference = true,
                .reference = 0xfffe };
}

static void a_submit_is_what_libsmpp34_reads(void **state) {
        uint8_t octets[SMPP_SHORT_MAX];
        uint8_t packed[SMPP_WRITE_SIZE];
        submit_sm_t back = { 0 };
        SmppSubmit submit;
        SmppOctets o;
        unsigned n = 0;
        int size = 0;

        (void) state;
        memset(octets, 'x', sizeof(octets));
        submit = longest_submit(octets, SMPP_SHORT_MAX - 1);
        assert_int_equal(smpp_write_submit(0x7fffffff, &submit, &o), 0);
        assert_int_equal(smpp34_unpack(SUBMIT_SM, &back, o.data, (int) o.size), 0);
        assert_string_equal((char *) back.validity_period, "000028000000000R");
        assert_string_equal((char *) back.destination_addr, submit.to);
        assert_int_equal(back.esm_class, 0x40);
        assert_int_equal(back.registered_delivery, 1);
        assert_int_equal(back.data_coding, 8);
        assert_int_equal(back.sm_length, SMPP_SHORT_MAX - 1);
        assert_memory_equal(back.short_message, octets, SMPP_SHORT_MAX - 1);
        for (tlv_t *tlv = back.tlv; tlv; tlv = tlv->next, n++)
                assert_int_equal(
                                tlv->tag == TLVID_sar_total_segments ? tlv->value.val08 : 255, 255);
        assert_int_equal(n, 4);
        assert_int_equal(smpp34_pack(SUBMIT_SM, packed, sizeof(packed), &size, &back), 0);
        assert_int_equal(o.size, size);
        /* It writes the parameters, 22 octets, in the order in which it read them last. */
        assert_memory_equal(o.data, packed, o.size - 22);
        destroy_tlv(back.tlv);

        submit.size = SMPP_SHORT_MAX;
        assert_int_equal(smpp_write_submit(1, &submit, &o), SMPP_E_ROOM);
        submit = longest_submit(octets, 3);
        submit.to = "123456789012345678901";
        assert_int_equal(smpp_write_submit(1, &submit, &o), SMPP_E_ROOM);
}

static void a_cancel_is_what_libsmpp34_reads(void **state) {
        SmppCancel cancel = { "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                1,
                1,
                "12345678901234567890",
                "09876543210987654321" };
        uint8_t packed[SMPP_WRITE_SIZE];
        cancel_sm_t back = { 0 };
        SmppOctets o;
        int size = 0;

        (void) state;
        assert_int_equal(smpp_write_cancel(0x7fffffff, &cancel, &o), 0);
        assert_int_equal(smpp34_unpack(CANCEL_SM, &back, o.data, (int) o.size), 0);
        assert_string_equal((char *) back.message_id, cancel.message_id);
        assert_string_equal((char *) back.source_addr, cancel.from);
        assert_string_equal((char *) back.destination_addr, cancel.to);
        assert_string_equal((char *) back.service_type, "");
        assert_int_equal(back.source_addr_ton, 1);
        assert_int_equal(back.sequence_number, 0x7fffffff);
        assert_int_equal(smpp34_pack(CANCEL_SM, packed, sizeof(packed), &size, &back), 0);
        assert_int_equal(o.size, size);
        assert_memory_equal(o.data, packed, o.size);

        cancel.message_id = ""; /* a group of messages */
        assert_int_equal(smpp_write_cancel(1, &cancel, &o), SMPP_E_ROOM);
        assert_int_equal(o.size, 0);
        cancel.message_id = "1";
        cancel.to = "123456789012345678901";
        assert_int_equal(smpp_write_cancel(1, &cancel, &o), SMPP_E_ROOM);
}

static void a_payload_is_what_libsmpp34_reads(void **state) {
        submit_sm_t back = { 0 };
        SmppSubmit submit = longest_submit((const uint8_t *) "YES", 3);
        SmppOctets o;

        (void) state;
        submit.as_payload = true;
        submit.has_reference = false;
        submit.sar.kind = SMS_CONCAT_NONE;
        assert_int_equal(smpp_write_submit(1, &submit, &o), 0);
        assert_int_equal(smpp34_unpack(SUBMIT_SM, &back, o.data, (int) o.size), 0);
        assert_int_equal(back.sm_length, 0);
        assert_non_null(back.tlv);
        assert_int_equal(back.tlv->tag, TLVID_message_payload);
        assert_int_equal(back.tlv->length, 3);
        assert_memory_equal(back.tlv->value.octet, "YES", 3);
        destroy_tlv(back.tlv);
}

/* The library writes behind its log's end when that is full; the longest PDU leaves half of it. */
static void the_longest_pdu_stays_within_the_librarys_log(void **state) {
        static uint8_t packed[SMPP_WRITE_SIZE], octets[SMPP_SHORT_MAX];
        submit_sm_t pdu = { 0 };
        SmppSubmit submit;
        SmppOctets o;
        int size;

        (void) state;
        memset(octets, 'x', sizeof(octets));
        submit = longest_submit(octets, SMPP_SHORT_MAX - 1);
        submit.as_payload = true;
        assert_int_equal(smpp_write_submit(0x7fffffff, &submit, &o), 0);
        assert_int_equal(smpp34_unpack(SUBMIT_SM, &pdu, o.data, (int) o.size), 0);
        assert_int_equal(smpp34_pack(SUBMIT_SM, packed, sizeof(packed), &size, &pdu), 0);
        assert_true(strlen(smpp34_strerror) > 500);
        assert_true(strlen(smpp34_strerror) < sizeof(smpp34_strerror) - 512);
        destroy_tlv(pdu.tlv);
}

static void answers_repeat_any_number_that_they_were_asked_with(void **state) {
        static const uint32_t numbers[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff };
        SmppOctets o;
        char hex[2 * SMPP_WRITE_SIZE + 1], want[64];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
                assert_int_equal(smpp_write_deliver_resp(numbers[i], false, 0, &o), 0);
                (void) snprintf(want, sizeof(want), "000000118000000500000000%08x00", numbers[i]);
                text_hex(o.data, o.size, hex);
                assert_string_equal(hex, want);
        }
        assert_int_equal(smpp_write_deliver_resp(1, true, 0x64, &o), 0);
        text_hex(o.data, o.size, hex);
        assert_string_equal(hex, "0000001180000103000000640000000100");
        assert_int_equal(smpp_write_enquire(1, &o), 0);
        text_hex(o.data, o.size, hex);
        assert_string_equal(hex, "00000010000000150000000000000001");
        assert_int_equal(smpp_write_unbind(2, &o), 0);
        text_hex(o.data, o.size, hex);
        assert_string_equal(hex, "00000010000000060000000000000002");
        assert_int_equal(smpp_write_nack(3, 3, &o), 0);
        text_hex(o.data, o.size, hex);
        assert_string_equal(hex, "00000010800000000000000300000003");
        assert_int_equal(smpp_write_enquire_resp(4, &o), 0);
        assert_int_equal(o.data[0x7], 0x15);
        assert_int_equal(smpp_write_unbind_resp(4, &o), 0);
        assert_int_equal(o.data[0x4], 0x80);
}

static void every_refusal_can_be_answered(void **state) {
        SmppOctets o;

        (void) state;
        for (int error = SMPP_E_LENGTH; error <= SMPP_E_ROOM; error++) {
                uint32_t status = smpp_refusal((SmppError) error);

                assert_int_not_equal(status, 0);
                assert_int_equal(smpp_write_deliver_resp(1, false, status, &o), 0);
                assert_int_equal(smpp_write_nack(1, status, &o), 0);
                assert_string_not_equal(smpp_status_text(status), "reserved");
        }
        assert_int_equal(smpp_refusal_kind(ESME_RTHROTTLED), SMPP_REFUSAL_SLOWER);
        assert_int_equal(smpp_refusal_kind(ESME_RMSGQFUL), SMPP_REFUSAL_SLOWER);
        assert_int_equal(smpp_refusal_kind(ESME_RINVDSTADR), SMPP_REFUSAL_ADDRESS);
        assert_int_equal(smpp_refusal_kind(ESME_RINVPASWD), SMPP_REFUSAL_ACCOUNT);
        assert_int_equal(smpp_refusal_kind(0x450), SMPP_REFUSAL_LATER);
        assert_string_equal(smpp_status_text(0x450), "an error of the vendor's own");
}

static void validity_is_written_relative_or_as_a_moment(void **state) {
        char text[SMPP_TIME_SIZE];

        (void) state;
        smpp_validity(90061, text);
        assert_string_equal(text, "000001010101000R");
        smpp_validity(0, text);
        assert_string_equal(text, "000000000001000R");
        smpp_validity(UINT64_MAX, text);
        assert_string_equal(text, "000028000000000R");
        smpp_validity_until(1795521600, text);
        assert_string_equal(text, "261124120000000+");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(responses_are_read),
                cmocka_unit_test(headers_alone_are_read),
                cmocka_unit_test(what_no_centre_says_is_refused_with_its_number),
                cmocka_unit_test(the_length_is_checked_before_anything_is_waited_for),
                cmocka_unit_test(messages_are_read_in_each_alphabet),
                cmocka_unit_test(national_tables_of_the_header_are_heeded),
                cmocka_unit_test(parts_say_which_they_are),
                cmocka_unit_test(a_payload_is_read_and_text_in_two_places_refused),
                cmocka_unit_test(receipts_are_told_from_messages),
                cmocka_unit_test(fields_and_parameters_of_wrong_length_are_refused),
                cmocka_unit_test(hundreds_of_parameters_are_passed_over),
                cmocka_unit_test(a_cut_pdu_is_never_read_as_a_whole),
                cmocka_unit_test(a_bind_is_what_libsmpp34_reads),
                cmocka_unit_test(the_password_does_not_stay_in_the_librarys_log),
                cmocka_unit_test(a_submit_is_what_libsmpp34_reads),
                cmocka_unit_test(a_cancel_is_what_libsmpp34_reads),
                cmocka_unit_test(a_payload_is_what_libsmpp34_reads),
                cmocka_unit_test(the_longest_pdu_stays_within_the_librarys_log),
                cmocka_unit_test(answers_repeat_any_number_that_they_were_asked_with),
                cmocka_unit_test(every_refusal_can_be_answered),
                cmocka_unit_test(validity_is_written_relative_or_as_a_moment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
