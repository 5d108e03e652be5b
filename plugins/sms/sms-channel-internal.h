/* The channel's own parts among each other. */
#pragma once

#include <sys/queue.h>

#include "plugin.h"
#include "sms-channel.h"
#include "sms-inbound.h"
#include "sms-pace.h"
#include "sms-reports.h"
#include "sms-settings.h"

enum {
        SMS_CHANNEL_REQUESTS_MAX = 4,  /* of one message at a time */
        SMS_CHANNEL_WAIT_SECONDS = 20, /* that a message waits here, before the gateway keeps it */
        SMS_CHANNEL_RETRY_SECONDS = 5, /* where the carrier names no time */
        SMS_CHANNEL_RETRY_MAX_SECONDS = 86400,
        SMS_CHANNEL_REASON_SIZE = 48,
};

/* A message of the gateway's that is not answered. */
typedef struct Sending {
        TAILQ_ENTRY(Sending) entry; /* of those that wait, or of those that the driver has */
        int64_t requests[SMS_CHANNEL_REQUESTS_MAX];
        size_t n_requests;
        char message[SMS_MESSAGE_SIZE], to[SMS_NUMBER_SIZE];
        char *text;
        SmsPlan plan;
        SmsOutbound outbound;
        uint64_t start;    /* when its turn is, CLOCK_BOOTTIME */
        uint64_t patience; /* until when it waits here */
        int64_t repeat;    /* of the newest request */
        bool is_with_driver;
} Sending;

/* A request to take a message back, which the driver has. */
typedef struct Withdrawal {
        TAILQ_ENTRY(Withdrawal) entry;
        int64_t request;
        char message[SMS_MESSAGE_SIZE];
} Withdrawal;

TAILQ_HEAD(SendingQueue, Sending);

struct SmsChannel {
        Plugin *plugin;
        SmsSettings settings;
        SmsDriver *driver;
        SmsReplies *replies;
        SmsReports *reports;
        SmsPaces paces;
        struct SendingQueue waiting; /* in the order of their turns */
        struct SendingQueue sending; /* the driver has them */
        TAILQ_HEAD(, Withdrawal) withdrawals;
        sd_event_source *timer; /* for what waits; off while nothing does */
        bool is_blocked;        /* the driver said -EAGAIN */
        bool has_status, is_up;
        char reason[SMS_CHANNEL_REASON_SIZE]; /* that was told last */
};

/* Handles the gateway's `send` and `withdraw`. */
void sms_send_request(SmsChannel *channel, int64_t id, const json_t *frame);
void sms_withdraw_request(SmsChannel *channel, int64_t id, const json_t *frame);

/* Gives the driver what it can take, answers what has waited too long, and sets the timer. */
void sms_send_pump(SmsChannel *channel);

/* What the driver said about one; see sms-driver.h. */
void sms_send_result(SmsChannel *channel, const SmsOutbound *outbound, const SmsSendResult *result);
void sms_withdraw_result(SmsChannel *channel, const char *message, bool withdrawn);

/* Tells the gateway what became of a message. */
void sms_send_tell(SmsChannel *channel, SmsVerdict verdict, const SmsVerdictOn *on);

/* The program ends: what no carrier has seen is answered, and all is freed. */
void sms_send_stop(SmsChannel *channel);
