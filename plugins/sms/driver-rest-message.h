/* What is said to and by a carrier that speaks the messaging API that Twilio has made common, as
 * values: the form that sends a message, the answer to it, the form by which the carrier calls
 * back, and the signature over that. Values in, values out; no I/O.
 *
 * Twilio's documents: "Message resource" (2010-04-01 API), "Messaging webhooks", "Webhooks
 * security", "REST API: error and warning dictionary". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http-values.h"
#include "sms-driver.h"

enum {
        REST_SIGNATURE_SIZE = 29, /* base64 of 20 bytes, and NUL */
        REST_VALIDITY_MIN = 1,    /* seconds */
        REST_VALIDITY_MAX = 36000,
};

/* The form of a new message: To, From, Body, StatusCallback, ValidityPeriod. The caller wipes and
 * frees *ret. -ENOMEM. */
int rest_form_write(const SmsOutbound *outbound,
                const char *status_callback,
                int64_t now,
                char **ret,
                size_t *ret_size);

typedef struct RestVerdict {
        SmsSendOutcome outcome;
        char reason[32]; /* a word; empty when taken */
        bool is_down;    /* nothing can be sent until an operator, or the carrier, does something */
        bool is_login;   /* whoever asks is let in */
        bool is_slower;  /* it asks for patience */
        char id[SMS_CARRIER_ID_SIZE]; /* when taken; or empty */
} RestVerdict;

/* What an answer to the form says of the message. body is terminated. */
void rest_verdict(int status, const char *body, RestVerdict *ret);

/* True when an answer to the wish to take a message back says that it is. */
bool rest_is_canceled(int status, const char *body);

/* base64(HMAC-SHA1(token, url, then each name and value in the order of the names)). */
void rest_signature(const void *token,
                size_t token_size,
                const char *url,
                const HttpValues *form,
                char ret[REST_SIGNATURE_SIZE]);

/* Compares in constant time. signature may be NULL. */
bool rest_signature_is_good(const char *signature,
                const void *token,
                size_t token_size,
                const char *url,
                const HttpValues *form);

typedef struct RestCallback {
        const char *id, *account; /* MessageSid, AccountSid */
        const char *from, *to;    /* E.164, or whatever the carrier has; never NULL */
        const char *text;         /* of a message that came in; NULL: a report */
        SmppOutcome outcome;      /* of a report */
        char error[16];           /* the carrier's code as a word; or empty */
} RestCallback;

/* Reads a form of either kind; what is borrowed is the form's. False: it is neither. */
bool rest_callback_read(const HttpValues *form, RestCallback *ret);
