/* What Kannel 1.4 says, as values: its answers to sendsms, and the arguments of the two requests by
 * which it calls back. Values in, values out; no I/O. The names of the arguments are those that
 * vestibule-sms(8) gives the operator for `get-url`, and that the driver itself writes into the URL
 * of reports. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "http-values.h"
#include "sms-driver.h"
#include "sms-number.h"

typedef struct KannelVerdict {
        SmsSendOutcome outcome;
        const char *reason; /* static; NULL when taken */
        bool is_down;       /* nothing can be sent until an operator, or Kannel, does something */
        bool is_login;      /* whoever asks is let in */
} KannelVerdict;

/* What an answer to sendsms says of the message. Kannel has one status, 403, for a wrong password
 * and for a message that it will not route: its words tell them apart. */
KannelVerdict kannel_verdict(int status, const char *body);

typedef enum KannelError {
        KANNEL_E_FORM = 1, /* an argument is missing, or not of its form */
        KANNEL_E_SENDER,   /* a name, a short code: nobody could be answered */
        KANNEL_E_BINARY,   /* addressed to a program on a phone */
} KannelError;

typedef struct KannelInbound {
        char from[SMS_NUMBER_SIZE];
        const char *to, *id, *text; /* text: of a whole message in UTF-8; else NULL, and: */
        SmsConcat concat;
        SmsOctets octets;
        int64_t sent;
        uint8_t *converted; /* what octets points to, unless it is in the values */
        size_t converted_size;
} KannelInbound;

/* Reads from, to, text, coding, charset, udh, id, ts. What is borrowed is the values'. country_code
 * is the one of senders that begin with a 0, or NULL. -ENOMEM. */
int kannel_inbound_read(const HttpValues *values, const char *country_code, KannelInbound *ret);

/* Wipes and frees. */
void kannel_inbound_done(KannelInbound *inbound);

typedef struct KannelReport {
        const char *message; /* the values' */
        unsigned segment;
        int64_t repeat; /* 0: the first */
        SmppOutcome outcome;
        char error[8]; /* or empty */
} KannelReport;

/* Reads message, segment, repeat, type, text. */
int kannel_report_read(const HttpValues *values, KannelReport *ret);
