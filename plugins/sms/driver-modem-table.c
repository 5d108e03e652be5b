#include "driver-modem-table.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"

#define ERROR_PREFIX "org.freedesktop.ModemManager1.Error."

typedef struct ErrorRow {
        const char *name; /* after ERROR_PREFIX */
        ModemRefusal refusal;
} ErrorRow;

/* clang-format off */
static const ErrorRow errors[] = {
        /* Without room nothing is lost, but nothing is sent either. */
        { "Message.MemoryFull",           { SMS_SEND_LATER, "memory-full", MODEM_MEMORY_FULL_SECONDS } },
        { "MobileEquipment.MemoryFull",   { SMS_SEND_LATER, "memory-full", MODEM_MEMORY_FULL_SECONDS } },

        { "Message.SimBusy",              { SMS_SEND_LATER, "modem-busy", MODEM_BUSY_SECONDS } },
        { "MobileEquipment.SimBusy",      { SMS_SEND_LATER, "modem-busy", MODEM_BUSY_SECONDS } },
        { "Message.SmsServiceReserved",   { SMS_SEND_LATER, "modem-busy", MODEM_BUSY_SECONDS } },
        { "MobileEquipment.LinkReserved", { SMS_SEND_LATER, "modem-busy", MODEM_BUSY_SECONDS } },
        { "MobileEquipment.TemporarilyOutOfService", { SMS_SEND_LATER, "modem-busy", MODEM_BUSY_SECONDS } },
        { "Core.InProgress",              { SMS_SEND_LATER, "modem-busy", MODEM_BUSY_SECONDS } },
        { "Core.Retry",                   { SMS_SEND_LATER, "modem-busy", MODEM_BUSY_SECONDS } },
        { "MobileEquipment.Congestion",   { SMS_SEND_LATER, "congestion", MODEM_BUSY_SECONDS } },

        { "Core.WrongState",              { SMS_SEND_LATER, "modem-away", 0 } },
        { "Core.Aborted",                 { SMS_SEND_LATER, "modem-away", 0 } },
        { "Core.Cancelled",               { SMS_SEND_LATER, "modem-away", 0 } },
        { "Serial.NotOpen",               { SMS_SEND_LATER, "modem-away", 0 } },
        { "Serial.OpenFailed",            { SMS_SEND_LATER, "modem-away", 0 } },
        { "Serial.OpenFailedNoDevice",    { SMS_SEND_LATER, "modem-away", 0 } },
        { "Message.NoNetwork",            { SMS_SEND_LATER, "no-network", 0 } },
        { "MobileEquipment.NoNetwork",    { SMS_SEND_LATER, "no-network", 0 } },
        { "MobileEquipment.NotAllowedEmergencyOnly", { SMS_SEND_LATER, "no-network", 0 } },
        { "MobileEquipment.NetworkNotAllowed", { SMS_SEND_LATER, "no-network", 0 } },
        { "MobileEquipment.MscTemporarilyNotReachable", { SMS_SEND_LATER, "no-network", 0 } },
        { "MobileEquipment.NoCellsInArea", { SMS_SEND_LATER, "no-network", 0 } },

        { "Message.SimNotInserted",       { SMS_SEND_LATER, "no-sim", 0 } },
        { "MobileEquipment.SimNotInserted", { SMS_SEND_LATER, "no-sim", 0 } },
        { "Message.SimPin",               { SMS_SEND_LATER, "sim-locked", 0 } },
        { "Message.SimPuk",               { SMS_SEND_LATER, "sim-locked", 0 } },
        { "Message.PhSimPin",             { SMS_SEND_LATER, "sim-locked", 0 } },
        { "MobileEquipment.SimPin",       { SMS_SEND_LATER, "sim-locked", 0 } },
        { "MobileEquipment.SimPuk",       { SMS_SEND_LATER, "sim-locked", 0 } },
        { "MobileEquipment.PhSimPin",     { SMS_SEND_LATER, "sim-locked", 0 } },

        { "Message.NetworkTimeout",       { SMS_SEND_FAILED, "network-timeout", 0 } },
        { "MobileEquipment.NetworkTimeout", { SMS_SEND_FAILED, "network-timeout", 0 } },
        { "Serial.ResponseTimeout",       { SMS_SEND_FAILED, "modem-silent", 0 } },
        { "Message.SmscAddressUnknown",   { SMS_SEND_FAILED, "centre-unknown", 0 } },
        { "Message.SimFailure",           { SMS_SEND_FAILED, "sim-failure", 0 } },
        { "MobileEquipment.SimFailure",   { SMS_SEND_FAILED, "sim-failure", 0 } },
        { "Message.MemoryFailure",        { SMS_SEND_FAILED, "memory-failure", 0 } },
        { "MobileEquipment.CallBarred",   { SMS_SEND_FAILED, "barred", 0 } },
        { "MobileEquipment.OperatorDeterminedBarring", { SMS_SEND_FAILED, "barred", 0 } },
        { "Core.Unauthorized",            { SMS_SEND_FAILED, "not-authorized", 0 } },
        { "Core.Unsupported",             { SMS_SEND_FAILED, "not-supported", 0 } },
        { "Message.NotSupported",         { SMS_SEND_FAILED, "not-supported", 0 } },

        { "Message.InvalidPduParameter",  { SMS_SEND_REFUSED, "invalid-parameter", 0 } },
        { "Message.InvalidTextParameter", { SMS_SEND_REFUSED, "invalid-parameter", 0 } },
        { "MobileEquipment.IncorrectParameters", { SMS_SEND_REFUSED, "invalid-parameter", 0 } },
        { "MobileEquipment.InvalidChars", { SMS_SEND_REFUSED, "invalid-parameter", 0 } },
        { "Core.InvalidArgs",             { SMS_SEND_REFUSED, "invalid-parameter", 0 } },
        { "MobileEquipment.DialStringInvalid", { SMS_SEND_REFUSED, "invalid-number", 0 } },
        { "MobileEquipment.DialStringTooLong", { SMS_SEND_REFUSED, "invalid-number", 0 } },
        { "MobileEquipment.TextTooLong",  { SMS_SEND_REFUSED, "too-long", 0 } },
        { "Core.TooMany",                 { SMS_SEND_REFUSED, "too-long", 0 } },
        { "MobileEquipment.FixedDialNumberOnly", { SMS_SEND_REFUSED, "fixed-dialling-only", 0 } },
};

/* Of D-Bus itself. NoReply is what the bus answers for a program that has ended. */
static const ErrorRow bus_errors[] = {
        { "org.freedesktop.DBus.Error.ServiceUnknown", { SMS_SEND_LATER, "modem-manager-away", 0 } },
        { "org.freedesktop.DBus.Error.NameHasNoOwner", { SMS_SEND_LATER, "modem-manager-away", 0 } },
        { "org.freedesktop.DBus.Error.NoReply",        { SMS_SEND_LATER, "modem-manager-away", 0 } },
        { "org.freedesktop.DBus.Error.Disconnected",   { SMS_SEND_LATER, "modem-manager-away", 0 } },
        { "org.freedesktop.DBus.Error.UnknownObject",  { SMS_SEND_LATER, "modem-away", 0 } },
        { "org.freedesktop.DBus.Error.UnknownMethod",  { SMS_SEND_LATER, "modem-away", 0 } },
        { "org.freedesktop.DBus.Error.UnknownInterface", { SMS_SEND_LATER, "modem-away", 0 } },
        { "org.freedesktop.DBus.Error.LimitsExceeded", { SMS_SEND_LATER, "modem-busy", MODEM_BUSY_SECONDS } },
        { "org.freedesktop.DBus.Error.AccessDenied",   { SMS_SEND_FAILED, "not-authorized", 0 } },
        { "org.freedesktop.DBus.Error.Timeout",        { SMS_SEND_FAILED, "modem-silent", 0 } },
};

/* RP-Cause values, which arrive as "Unknown message error: N". */
static const struct {
        unsigned cause;
        ModemRefusal refusal;
} causes[] = {
        {  1, { SMS_SEND_REFUSED, "number-unassigned", 0 } },
        {  8, { SMS_SEND_FAILED, "barred", 0 } },
        { 10, { SMS_SEND_FAILED, "barred", 0 } },
        { 28, { SMS_SEND_REFUSED, "number-unknown", 0 } },
        { 30, { SMS_SEND_REFUSED, "number-unknown", 0 } },
        { 38, { SMS_SEND_LATER, "no-network", 0 } },
        { 41, { SMS_SEND_FAILED, "network-failure", 0 } },
        { 42, { SMS_SEND_LATER, "congestion", MODEM_BUSY_SECONDS } },
        { 47, { SMS_SEND_LATER, "congestion", MODEM_BUSY_SECONDS } },
        { 50, { SMS_SEND_FAILED, "not-subscribed", 0 } },
        { 69, { SMS_SEND_FAILED, "not-supported", 0 } },
};
/* clang-format on */

static const ModemRefusal *find_error(const ErrorRow *rows, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(rows[i].name, name))
                        return &rows[i].refusal;
        return NULL;
}

static const ModemRefusal *find_cause(const char *text) {
        static const char prefix[] = "Unknown message error: ";
        const char *digits;
        size_t n;

        if (!text || strncmp(text, prefix, sizeof(prefix) - 1) != 0)
                return NULL;
        digits = text + sizeof(prefix) - 1;
        n = strspn(digits, "0123456789");
        if (n == 0 || n > 3 || digits[n] != '\0')
                return NULL;
        for (size_t i = 0; i < N_ELEMENTS(causes); i++)
                if (causes[i].cause == strtoul(digits, NULL, 10))
                        return &causes[i].refusal;
        return NULL;
}

void modem_refusal(const char *error, const char *text, ModemRefusal *ret) {
        static const ModemRefusal unknown = { SMS_SEND_FAILED, "modem-error", 0 };
        const ModemRefusal *found = NULL;

        assert(error && ret);

        if (streq(error, ERROR_PREFIX "Message.Unknown"))
                found = find_cause(text);
        else if (strncmp(error, ERROR_PREFIX, sizeof(ERROR_PREFIX) - 1) == 0)
                found = find_error(errors, N_ELEMENTS(errors), error + sizeof(ERROR_PREFIX) - 1);
        else
                found = find_error(bus_errors, N_ELEMENTS(bus_errors), error);
        *ret = found ? *found : unknown;
}

/* MMModemState. */
enum {
        STATE_FAILED = -1,
        STATE_LOCKED = 2,
        STATE_DISABLED = 3,
        STATE_DISABLING = 4,
        STATE_ENABLED = 6,
        STATE_REGISTERED = 8,
};

bool modem_state_is_up(int32_t state, const char **ret_reason) {
        assert(ret_reason);

        *ret_reason = NULL;
        if (state >= STATE_REGISTERED)
                return true;
        if (state <= STATE_FAILED)
                *ret_reason = "modem-failed";
        else if (state == STATE_LOCKED)
                *ret_reason = "sim-locked";
        else if (state == STATE_DISABLED || state == STATE_DISABLING)
                *ret_reason = "modem-disabled";
        else if (state >= STATE_ENABLED)
                *ret_reason = "no-network";
        else
                *ret_reason = "modem-starting";
        return false;
}

/* MMSmsPduType and MMSmsState. */
enum {
        PDU_DELIVER = 1,
        PDU_STATUS_REPORT = 3,
        PDU_CDMA_DELIVER = 32,
        PDU_CDMA_SUBMIT = 33,
        PDU_CDMA_DELIVERY_ACKNOWLEDGEMENT = 35,

        SMS_STATE_UNKNOWN = 0,
        SMS_STATE_RECEIVING = 2,
        SMS_STATE_RECEIVED = 3,
        SMS_STATE_SENDING = 4,
        SMS_STATE_SENT = 5,
};

static ModemSmsKind kind_of_submitted(uint32_t state) {
        if (state == SMS_STATE_SENT)
                return MODEM_SMS_SENT;
        if (state == SMS_STATE_UNKNOWN || state == SMS_STATE_SENDING)
                return MODEM_SMS_DRAFT;
        return MODEM_SMS_OTHER;
}

ModemSmsKind modem_sms_kind(uint32_t pdu_type, uint32_t state) {
        switch (pdu_type) {
        case MODEM_PDU_SUBMIT:
        case PDU_CDMA_SUBMIT:
                return kind_of_submitted(state);
        case PDU_STATUS_REPORT:
        case PDU_CDMA_DELIVERY_ACKNOWLEDGEMENT:
                return state == SMS_STATE_RECEIVED ? MODEM_SMS_REPORT : MODEM_SMS_OTHER;
        default:
                /* Of an incomplete one only the state is sure. */
                if (state == SMS_STATE_RECEIVING)
                        return MODEM_SMS_INCOMPLETE;
                return state == SMS_STATE_RECEIVED && (pdu_type == PDU_DELIVER ||
                                                                      pdu_type == PDU_CDMA_DELIVER)
                                       ? MODEM_SMS_RECEIVED
                                       : MODEM_SMS_OTHER;
        }
}

SmppOutcome modem_delivery(uint32_t state) {
        enum {
                RECEIVED = 0x00,
                FORWARDED = 0x01,
                STILL_TRYING = 0x20,
                PERMANENT = 0x40,
                EXPIRED = 0x46,
                GIVEN_UP = 0x60,
                RESERVED = 0x80,
                CDMA_PERMANENT = 0x200,
                CDMA_TEMPORARY = 0x300,
        };

        if (state == RECEIVED)
                return SMPP_OUTCOME_DELIVERED;
        if (state == FORWARDED)
                return SMPP_OUTCOME_ACCEPTED;
        if (state < STILL_TRYING)
                return SMPP_OUTCOME_UNKNOWN;
        if (state < PERMANENT)
                return SMPP_OUTCOME_ACCEPTED;
        if (state == EXPIRED)
                return SMPP_OUTCOME_EXPIRED;
        /* From GIVEN_UP on a fault was temporary, and the centre does not try any more. */
        if (state < RESERVED)
                return SMPP_OUTCOME_FAILED;
        if (state >= CDMA_TEMPORARY)
                return SMPP_OUTCOME_ACCEPTED;
        return state >= CDMA_PERMANENT ? SMPP_OUTCOME_FAILED : SMPP_OUTCOME_UNKNOWN;
}

static bool read_digits(const char **text, unsigned n, int *ret) {
        int value = 0;

        for (unsigned i = 0; i < n; i++) {
                if (**text < '0' || **text > '9')
                        return false;
                value = value * 10 + (*(*text)++ - '0');
        }
        *ret = value;
        return true;
}

static bool read_mark(const char **text, char mark) {
        if (**text != mark)
                return false;
        (*text)++;
        return true;
}

/* "Z", "+01", "+0100", "+01:00", or nothing. */
static bool read_offset(const char *text, int *ret_minutes) {
        int hours, minutes = 0, sign = *text == '-' ? -1 : 1;

        *ret_minutes = 0;
        if (*text == '\0' || streq(text, "Z"))
                return true;
        if (*text != '+' && *text != '-')
                return false;
        text++;
        if (!read_digits(&text, 2, &hours))
                return false;
        if ((read_mark(&text, ':') || *text) && !read_digits(&text, 2, &minutes))
                return false;
        *ret_minutes = sign * (hours * 60 + minutes);
        return *text == '\0' && minutes < 60;
}

bool modem_time(const char *text, int64_t *ret) {
        struct tm day = { 0 }, again;
        time_t seconds;
        int offset;

        assert(text && ret);

        if (!read_digits(&text, 4, &day.tm_year) || !read_mark(&text, '-') ||
                        !read_digits(&text, 2, &day.tm_mon) || !read_mark(&text, '-') ||
                        !read_digits(&text, 2, &day.tm_mday) || !read_mark(&text, 'T') ||
                        !read_digits(&text, 2, &day.tm_hour) || !read_mark(&text, ':') ||
                        !read_digits(&text, 2, &day.tm_min) || !read_mark(&text, ':') ||
                        !read_digits(&text, 2, &day.tm_sec) || !read_offset(text, &offset))
                return false;
        day.tm_year -= 1900;
        day.tm_mon -= 1;
        again = day;
        seconds = timegm(&again);
        /* A day that timegm() had to correct is none. */
        if (again.tm_mon != day.tm_mon || again.tm_mday != day.tm_mday ||
                        again.tm_hour != day.tm_hour || again.tm_min != day.tm_min ||
                        again.tm_sec != day.tm_sec)
                return false;
        *ret = (int64_t) seconds - (int64_t) offset * 60;
        return true;
}

uint32_t modem_validity(int64_t seconds) {
        enum {
                LEAST = 5,
                HALF_DAY = 12 * 60,
                DAY = 24 * 60,
                MONTH = MODEM_VALIDITY_SECONDS_MAX / 60
        };
        int64_t minutes = seconds / 60;

        if (minutes < LEAST)
                return LEAST;
        if (minutes <= HALF_DAY)
                return (uint32_t) (minutes - minutes % LEAST);
        if (minutes <= DAY)
                return (uint32_t) (minutes - minutes % 30);
        if (minutes <= MONTH)
                return (uint32_t) (minutes - minutes % DAY);
        return MONTH;
}

void modem_report_id(uint32_t reference, const char *number, char ret[static SMS_CARRIER_ID_SIZE]) {
        uint8_t digest[crypto_generichash_BYTES_MIN];

        assert(number);

        crypto_generichash(
                        digest, sizeof(digest), (const uint8_t *) number, strlen(number), NULL, 0);
        (void) snprintf(ret,
                        SMS_CARRIER_ID_SIZE,
                        "r%02x-%02x%02x",
                        (unsigned) (reference & 0xff),
                        digest[0],
                        digest[1]);
}

bool modem_is_identity(const char *text) {
        size_t n = strspn(text, "0123456789ABCDEFabcdef");

        return streq(text, "any") || (text[n] == '\0' && n >= 14 && n < MODEM_IDENTITY_SIZE);
}
