/* SMPP 3.4 as values: the octets of a centre's PDUs to what they say, and what we say to octets. No
 * I/O, no clock, one thread: libsmpp34, which packs, has globals.
 *
 * Reading does not use libsmpp34. Its unpacker logs each field into a global buffer of 2048 octets
 * and goes on behind the buffer's end when that is full, for which some thirty optional parameters
 * are enough; it looks for a string's end beyond the PDU, and keeps the parameters of what it
 * refuses. So every length is checked here against the specification's, each field is read once,
 * and an octet of a stranger never reaches that library. What it packs is ours, and bounded; of
 * texts it packs none, because it would log them too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smpp-receipt.h"
#include "sms-assembly.h"
#include "sms-number.h"

enum {
        SMPP_HEADER_SIZE = 16,
        SMPP_PDU_SIZE_MAX = 4096,
        SMPP_WRITE_SIZE = 1024, /* of the longest PDU that we write */
        SMPP_ADDRESS_SIZE = 65, /* of data_sm; deliver_sm's is at most 21 */
        SMPP_SYSTEM_SIZE = 16,
        SMPP_PASSWORD_SIZE = 9,
        SMPP_SYSTEM_TYPE_SIZE = 13,
        SMPP_TIME_SIZE = 17,
        SMPP_SHORT_MAX = 254,    /* octets of short_message */
        SMPP_PAYLOAD_MAX = 1024, /* octets of message_payload that are read */
};

typedef enum SmppKind {
        SMPP_BIND_RESP, /* of bind_transceiver, bind_receiver and bind_transmitter */
        SMPP_SUBMIT_RESP,
        SMPP_CANCEL_RESP,
        SMPP_DATA_RESP,
        SMPP_DELIVER, /* deliver_sm or data_sm: a message, or a receipt */
        SMPP_ENQUIRE,
        SMPP_ENQUIRE_RESP,
        SMPP_UNBIND,
        SMPP_UNBIND_RESP,
        SMPP_NACK,
} SmppKind;

/* A message that the centre hands to us. Pointers are into the octets that were read. */
typedef struct SmppMessage {
        bool is_data_sm;            /* answered by data_sm_resp */
        uint8_t from_type, to_type; /* type of number */
        char from[SMPP_ADDRESS_SIZE], to[SMPP_ADDRESS_SIZE];
        uint8_t esm_class, data_coding;
        const uint8_t *octets; /* short_message or message_payload, with the header if there is one
                                */
        size_t size;
        SmsConcat sar; /* of kind none when it carries no such parameters, or impossible ones */
        bool has_reference;
        uint16_t reference; /* user_message_reference */
        char receipted_id[SMPP_ID_SIZE];
        int state;            /* message_state, or -1 */
        const uint8_t *error; /* three octets of network_error_code, or NULL */
} SmppMessage;

typedef struct SmppPdu {
        SmppKind kind;
        uint32_t status, sequence;
        char system_id[SMPP_SYSTEM_SIZE]; /* of SMPP_BIND_RESP */
        uint8_t version;                  /* of SMPP_BIND_RESP: sc_interface_version, or 0 */
        char message_id[SMPP_ID_SIZE];    /* of responses; may be empty when they refuse */
        SmppMessage message;              /* of SMPP_DELIVER */
} SmppPdu;

typedef enum SmppError {
        SMPP_E_LENGTH = 1, /* the header's length is not that of the octets, or out of bounds */
        SMPP_E_COMMAND,    /* nothing that a centre says to a transceiver, outbind among it */
        SMPP_E_FIELD,      /* a field longer than it may be, or without its end */
        SMPP_E_TLV,        /* an optional parameter of a wrong length, cut off or repeated */
        SMPP_E_TWICE,      /* text both in short_message and in message_payload */
        SMPP_E_CODING,     /* binary, or an alphabet that is not read here */
        SMPP_E_HEADER,     /* a user data header longer than the message */
        SMPP_E_ADDRESS,    /* not a number that can be answered */
        SMPP_E_ROOM,       /* to be written: a value longer than its field */
} SmppError;

/* Reads the length of a PDU from its first four octets, so that no more is waited for than may
 * come. SMPP_E_LENGTH: the connection is lost. */
int smpp_length(const uint8_t octets[4], size_t *ret);

/* Reads one whole PDU. On a positive SmppError only ret->sequence is set (0 if there is no header),
 * and smpp_refusal() is the status to answer with. */
int smpp_read(const uint8_t *octets, size_t size, SmppPdu *ret);

/* The command_status that answers what could not be read or used. */
uint32_t smpp_refusal(SmppError error);

/* A status in few plain words, for an operator. */
const char *smpp_status_text(uint32_t status);

/* What the centre does with a submit_sm that it refuses with a status. */
typedef enum SmppRefusal {
        SMPP_REFUSAL_SLOWER,  /* throttled, or its queue is full: the same again, later */
        SMPP_REFUSAL_LATER,   /* a fault of its own */
        SMPP_REFUSAL_MESSAGE, /* this message will never do */
        SMPP_REFUSAL_ADDRESS, /* this recipient will never do */
        SMPP_REFUSAL_ACCOUNT, /* our account or the session is not in order */
} SmppRefusal;
SmppRefusal smpp_refusal_kind(uint32_t status);

bool smpp_is_receipt(const SmppMessage *message);

/* The receipt that such a message is. SMPP_RECEIPT_E_FORM. */
int smpp_message_receipt(const SmppMessage *message, SmppReceipt *ret);

typedef struct SmppReading {
        SmsAlphabet default_alphabet; /* what data_coding 0 is: SMS_GSM7, SMS_LATIN1 or SMS_ASCII */
        bool one_is_gsm7; /* data_coding 1 is GSM-7 too, as some centres and libraries have it */
        bool packed;      /* GSM-7 comes with eight septets in seven octets */
        const char *country_code; /* for sms_number_from_carrier() */
        bool unknown_is_international;
} SmppReading;

typedef struct SmppPart {
        char from[SMS_NUMBER_SIZE]; /* E.164 */
        SmsPart part;               /* its octets are the message's, or `unpacked` here */
        uint8_t unpacked[SMPP_PAYLOAD_MAX * 8 / 7 + 1];
} SmppPart;

/* A part of a text, for sms_assembly_add(): the sender as E.164, the header taken off, SAR or the
 * header's concatenation, the alphabet. part.token is 0 and part.id NULL. SMPP_E_CODING,
 * SMPP_E_HEADER, SMPP_E_ADDRESS. ret must stay where it is as long as its part is used. */
int smpp_message_part(const SmppMessage *message, const SmppReading *reading, SmppPart *ret);

/* The alphabet of a data_coding, by SMPP 3.4 section 5.2.19 and, for classes, TS 23.038 section 4.
 * SMPP_E_CODING. */
int smpp_alphabet(uint8_t data_coding, const SmppReading *reading, SmsAlphabet *ret);

typedef struct SmppOctets {
        uint8_t data[SMPP_WRITE_SIZE];
        size_t size;
} SmppOctets;

/* Writes bind_transceiver for version 3.4. The caller wipes *ret, which has the password in it.
 * SMPP_E_ROOM. */
int smpp_write_bind(uint32_t sequence,
                const char *system_id,
                const char *password,
                const char *system_type,
                const char *address_range,
                SmppOctets *ret);

typedef struct SmppSubmit {
        const char *service_type;     /* at most 5 */
        uint8_t from_type, from_plan; /* 1, 1: international; 5, 0: a name */
        const char *from;             /* at most 20; a number without its plus */
        const char *to;               /* a number without its plus */
        const char *validity;         /* smpp_validity(), or "" */
        bool wants_receipt;
        bool has_header; /* the octets begin with a user data header */
        uint8_t data_coding;
        const uint8_t *octets;
        size_t size;     /* at most SMPP_SHORT_MAX - 1 */
        bool as_payload; /* in message_payload, and short_message empty */
        SmsConcat sar;   /* SMS_CONCAT_SAR adds the three parameters */
        bool has_reference;
        uint16_t reference; /* user_message_reference */
} SmppSubmit;

/* SMPP_E_ROOM. */
int smpp_write_submit(uint32_t sequence, const SmppSubmit *submit, SmppOctets *ret);

typedef struct SmppCancel {
        const char *message_id;       /* the centre's; not empty, which would be a group of them */
        uint8_t from_type, from_plan; /* as in the submit_sm, from and to as well */
        const char *from, *to;
} SmppCancel;

/* SMPP_E_ROOM, also for an empty id. */
int smpp_write_cancel(uint32_t sequence, const SmppCancel *cancel, SmppOctets *ret);

/* Answers a deliver_sm or data_sm. */
int smpp_write_deliver_resp(uint32_t sequence, bool is_data_sm, uint32_t status, SmppOctets *ret);

/* The PDUs that are a header only. */
int smpp_write_enquire(uint32_t sequence, SmppOctets *ret);
int smpp_write_enquire_resp(uint32_t sequence, SmppOctets *ret);
int smpp_write_unbind(uint32_t sequence, SmppOctets *ret);
int smpp_write_unbind_resp(uint32_t sequence, SmppOctets *ret);
int smpp_write_nack(uint32_t sequence, uint32_t status, SmppOctets *ret);

/* A validity period relative to when the centre takes the message (section 7.1.1.2), at least one
 * second, at most 28 days. */
void smpp_validity(uint64_t seconds, char ret[SMPP_TIME_SIZE]);

/* The same as a moment in UTC, for centres that do not know the relative form. moment is between
 * the years 1970 and 2099. */
void smpp_validity_until(int64_t moment, char ret[SMPP_TIME_SIZE]);
