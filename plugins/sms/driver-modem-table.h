/* What ModemManager 1.20 says, as what the channel wants to know: the errors of its Send, states of
 * messages, of their delivery and of a modem, its form of time. Values in, values out; no I/O, no
 * clock.
 *
 * The names and numbers are of ModemManager's interface: ModemManager-errors.h,
 * ModemManager-enums.h and introspection/ of its release 1.20.4. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sms-driver.h"

enum {
        MODEM_IDENTITY_SIZE = 17, /* an IMEI of 14 to 16 digits, an MEID of 14 hexadecimal ones */
        MODEM_MEMORY_FULL_SECONDS = 60,
        MODEM_BUSY_SECONDS = 30,
        MODEM_PDU_SUBMIT = 2,                           /* PduType of what is to be sent */
        MODEM_VALIDITY_SECONDS_MAX = 30 * 24 * 60 * 60, /* a longer one is not asked for */
};

typedef struct ModemRefusal {
        SmsSendOutcome outcome; /* never SMS_SEND_TAKEN */
        const char *reason;     /* in static memory */
        unsigned retry_after;   /* seconds, or 0 */
} ModemRefusal;

/* What becomes of a message that Create or Send refused with a D-Bus error. text is what it says
 * with it, and may be NULL: the causes that networks give (3GPP TS 24.011 annex E) have no name of
 * their own there, only a number at its end. An error that is not known is a try in vain. */
void modem_refusal(const char *error, const char *text, ModemRefusal *ret);

/* What a modem's State lets us do: true when it sends and receives. Otherwise *ret_reason, in
 * static memory, says why not. */
bool modem_state_is_up(int32_t state, const char **ret_reason);

typedef enum ModemSmsKind {
        MODEM_SMS_OTHER,      /* somebody's draft, a broadcast: left alone */
        MODEM_SMS_INCOMPLETE, /* more parts of it are to come */
        MODEM_SMS_RECEIVED,
        MODEM_SMS_REPORT, /* about one that was sent */
        MODEM_SMS_DRAFT,  /* created to be sent, and not sent yet as far as is known */
        MODEM_SMS_SENT,
} ModemSmsKind;

/* By the properties PduType and State of a message. */
ModemSmsKind modem_sms_kind(uint32_t pdu_type, uint32_t state);

/* By the property DeliveryState: for 3GPP the TP-Status of TS 23.040 section 9.2.3.15. */
SmppOutcome modem_delivery(uint32_t state);

/* Seconds since 1970 of "2026-11-22T17:00:05+01:00". A time without an offset counts as UTC. False:
 * another form, or no such day. */
bool modem_time(const char *text, int64_t *ret);

/* A validity in minutes for so many seconds that are left. ModemManager rounds up to what fits the
 * octet of TS 23.040 section 9.2.3.12.1, so that this is already rounded down to it; 5 is the
 * least. */
uint32_t modem_validity(int64_t seconds);

/* The id by which a report is recognised: of the 8-bit reference of the message and its recipient,
 * in E.164. The reference comes again after 256 messages, and the number must not be kept, so there
 * are 16 bits of its digest. */
void modem_report_id(uint32_t reference, const char *number, char ret[static SMS_CARRIER_ID_SIZE]);

/* True for "any", and for what may be a modem's EquipmentIdentifier. */
bool modem_is_identity(const char *text);
