#include "driver-kannel-message.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "cleanup.h"
#include "sms-udh.h"
#include "text.h"

/* Values of `coding`, of Kannel's User's Guide, "Using HTTP push". */
enum {
        CODING_GSM7,
        CODING_OCTETS,
        CODING_UCS2,
};

/* Values of `type`, of the same guide, "Delivery reports". */
enum {
        REPORT_DELIVERED = 1,
        REPORT_FAILED = 2,
        REPORT_QUEUED = 4,
        REPORT_ACCEPTED = 8,
        REPORT_REJECTED = 16,
};

static bool begins(const char *text, const char *prefix) {
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

KannelVerdict kannel_verdict(int status, const char *body) {
        if (status == 200 || status == 202)
                return (KannelVerdict){ .outcome = SMS_SEND_TAKEN, .is_login = true };
        if (status == 403 && begins(body, "Not routable"))
                return (KannelVerdict){ SMS_SEND_REFUSED, "not-routable", .is_login = true };
        if (status == 401 || status == 403)
                return (KannelVerdict){ SMS_SEND_LATER, "login-refused", .is_down = true };
        if (status == 404)
                return (KannelVerdict){ SMS_SEND_LATER, "url-not-found", .is_down = true };
        if (status == 400 && strstr(body, "denied by white"))
                return (KannelVerdict){ SMS_SEND_REFUSED, "number-denied", .is_login = true };
        if (status == 429 || status == 503)
                return (KannelVerdict){ SMS_SEND_LATER, "queue-full", .is_login = true };
        if (status >= 500)
                return (KannelVerdict){ SMS_SEND_FAILED, "carrier-error" };
        if (status == 408)
                return (KannelVerdict){ SMS_SEND_LATER, "timeout" };
        return (KannelVerdict){ SMS_SEND_REFUSED, "refused", .is_login = true };
}

/* Digits only, below the limit; -1 otherwise. */
static int64_t number_read(const char *text, int64_t limit) {
        int64_t number = 0;

        if (!text || !*text)
                return -1;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return -1;
                number = number * 10 + (*text - '0');
                if (number >= limit)
                        return -1;
        }
        return number;
}

/* Most SMS centres hand senders in as international numbers, with a plus or without; what begins
 * with one 0 can only be a national one. */
static bool sender_read(const char *from, const char *country_code, char ret[SMS_NUMBER_SIZE]) {
        bool is_national = country_code && from[0] == '0';

        return sms_number_from_carrier(
                        from, from[0] == '+' ? 1 : 0, country_code, !is_national, ret);
}

/* A part goes to the assembly as octets; UTF-16 holds whatever Kannel has read as UTF-8. */
static int octets_from_text(const HttpValue *text, KannelInbound *ret) {
        size_t n = 0;
        uint16_t *units = u8_to_u16((const uint8_t *) text->value, text->size, NULL, &n);

        if (!units)
                return -ENOMEM;
        ret->converted = (uint8_t *) units;
        ret->converted_size = 2 * n;
        for (size_t i = 0; i < n; i++) {
                uint16_t unit = units[i];

                ret->converted[2 * i] = (uint8_t) (unit >> 8);
                ret->converted[2 * i + 1] = (uint8_t) unit;
        }
        ret->octets = (SmsOctets){
                .alphabet = SMS_UCS2, .data = ret->converted, .size = ret->converted_size
        };
        return 0;
}

/* What is no UTF-8 was set to another character set by the operator: ISO 8859-1 is the one that
 * Kannel has had before. */
static int content_read(const HttpValue *text, int64_t coding, KannelInbound *ret) {
        ret->octets = (SmsOctets){ .alphabet = coding == CODING_UCS2 ? SMS_UCS2 : SMS_LATIN1,
                .data = (const uint8_t *) text->value,
                .size = text->size };
        if (coding != CODING_GSM7 || !text_is_utf8(text->value, text->size))
                return 0;
        if (ret->concat.kind != SMS_CONCAT_NONE || strlen(text->value) != text->size)
                return octets_from_text(text, ret);
        ret->text = text->value;
        return 0;
}

static int header_read(const HttpValues *values, int64_t coding, KannelInbound *ret) {
        const HttpValue *header = http_values_find(values, "udh");
        SmsUdh udh;

        if (!header || header->size == 0)
                return 0;
        if (sms_udh_read((const uint8_t *) header->value, header->size, &udh) != 0)
                return KANNEL_E_FORM;
        if (udh.has_ports && coding == CODING_OCTETS)
                return KANNEL_E_BINARY;
        ret->concat = udh.concat;
        return 0;
}

int kannel_inbound_read(const HttpValues *values, const char *country_code, KannelInbound *ret) {
        const char *from = http_values_text(values, "from");
        const char *to = http_values_text(values, "to"), *id = http_values_text(values, "id");
        const HttpValue *text = http_values_find(values, "text");
        int64_t coding = number_read(http_values_text(values, "coding"), CODING_UCS2 + 1);
        int64_t sent = number_read(http_values_text(values, "ts"), INT64_C(1) << 40);
        int r;

        *ret = (KannelInbound){ .to = to ? to : "", .id = id && *id ? id : NULL };
        if (!from || !text || coding < 0)
                return KANNEL_E_FORM;
        if (strlen(ret->to) >= SMS_PART_NAME_SIZE ||
                        (ret->id && strlen(ret->id) >= SMS_PART_NAME_SIZE))
                return KANNEL_E_FORM;
        if (!sender_read(from, country_code, ret->from))
                return KANNEL_E_SENDER;
        ret->sent = sent < 0 ? 0 : sent;
        r = header_read(values, coding, ret);
        return r != 0 ? r : content_read(text, coding, ret);
}

void kannel_inbound_done(KannelInbound *inbound) {
        if (inbound->converted)
                sodium_memzero(inbound->converted, inbound->converted_size);
        free(inbound->converted);
        inbound->converted = NULL;
}

/* The SMS centre's own words, where Kannel passes them on, know more than "failed". */
static SmppOutcome failure_read(const SmppReceipt *receipt) {
        return receipt->outcome == SMPP_OUTCOME_EXPIRED || receipt->outcome == SMPP_OUTCOME_REJECTED
                               ? receipt->outcome
                               : SMPP_OUTCOME_FAILED;
}

int kannel_report_read(const HttpValues *values, KannelReport *ret) {
        const char *message = http_values_text(values, "message");
        int64_t segment = number_read(http_values_text(values, "segment"), SMS_SEGMENTS_MAX);
        int64_t type = number_read(http_values_text(values, "type"), 256);
        int64_t repeat = number_read(http_values_text(values, "repeat"), INT64_C(1) << 31);
        const HttpValue *text = http_values_find(values, "text");
        SmppReceipt receipt = { 0 };

        *ret = (KannelReport){
                .message = message, .segment = (unsigned) segment, .repeat = repeat < 0 ? 0 : repeat
        };
        if (!message || !*message || segment < 0 || type < 0)
                return KANNEL_E_FORM;
        if (text && text->size <= SMPP_RECEIPT_TEXT_MAX)
                (void) smpp_receipt_read(text->value,
                                text->size,
                                &(SmppReceiptTlvs){ .state = -1 },
                                &receipt);
        memcpy(ret->error, receipt.error, sizeof(ret->error));
        switch (type) {
        case REPORT_DELIVERED:
                ret->outcome = SMPP_OUTCOME_DELIVERED;
                break;
        case REPORT_FAILED:
                ret->outcome = failure_read(&receipt);
                break;
        case REPORT_QUEUED:
        case REPORT_ACCEPTED:
                ret->outcome = SMPP_OUTCOME_ACCEPTED;
                break;
        case REPORT_REJECTED:
                ret->outcome = SMPP_OUTCOME_REJECTED;
                break;
        default:
                ret->outcome = SMPP_OUTCOME_UNKNOWN;
        }
        return 0;
}
