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
        SMS_CHANNEL_TRIED_MAX = 256,
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
        uint64_t serial;   /* of those that the driver was given */
        bool has_copies;   /* a copy may have left before */
        bool is_with_driver;
} Sending;

/* A request to take a message back, which the driver has, or which waits for the message itself. */
typedef struct Withdrawal {
        TAILQ_ENTRY(Withdrawal) entry;
        int64_t request;
        char message[SMS_MESSAGE_SIZE], to[SMS_NUMBER_SIZE];
        bool is_with_driver;
        bool has_copies; /* of the message, that left before: the newest only is taken back */
} Withdrawal;

/* A report that the gateway has not answered. */
typedef struct Reporting {
        TAILQ_ENTRY(Reporting) entry;
        SmsChannel *channel;
        SmsVerdict verdict;
        SmsVerdictOn on;
        uint64_t *tokens; /* the driver's, which are settled with it */
        size_t n_tokens;
        int64_t request; /* 0: none */
} Reporting;

TAILQ_HEAD(SendingQueue, Sending);

struct SmsChannel {
        Plugin *plugin;
        SmsSettings settings;
        SmsDriver *driver;
        SmsReplies *replies;
        SmsReports *reports;
        SmsPaces paces;
        struct SendingQueue waiting; /* in the order of their turns */
        struct SendingQueue sending; /* the driver has them, in the order of their serials */
        uint64_t newest_serial;
        TAILQ_HEAD(, Withdrawal) withdrawals;
        TAILQ_HEAD(, Reporting) reportings;
        sd_event_source *timer;      /* for what waits; off while nothing does */
        sd_event_source *hold_timer; /* for reports that are held; the same */
        uint64_t unsure_until; /* that ids may be reported which are not known yet, CLOCK_BOOTTIME
                                */
        bool is_blocked;       /* the driver said -EAGAIN */
        bool has_status, is_up;
        char reason[SMS_CHANNEL_REASON_SIZE]; /* that was told last */
        /* Messages of which a copy may be on its way that no id is known of. A ring. */
        char tried[SMS_CHANNEL_TRIED_MAX][SMS_MESSAGE_SIZE];
        size_t next_tried;
        /* Of messages that were made until then, seconds since 1970, such copies may be forgotten:
         * a former process knew of them, or there were too many. 0: of none. */
        int64_t tried_known_after;
};

/* --- what leaves --- */

/* Handles the gateway's `send`. */
void sms_send_request(SmsChannel *channel, int64_t id, const json_t *frame);

/* Gives the driver what it can take, answers what has waited too long, and sets the timer. */
void sms_send_pump(SmsChannel *channel);

/* What the driver said about one; see sms-driver.h. */
void sms_send_result(SmsChannel *channel, const SmsOutbound *outbound, const SmsSendResult *result);

/* The carrier has a segment; see sms-driver.h. */
void sms_send_segment(
                SmsChannel *channel, const SmsOutbound *outbound, unsigned segment, const char *id);

/* True while the driver has it. */
bool sms_send_is_under_way(const SmsChannel *channel, const char *message);

/* Drops a message that waits for its turn. False: none does, or a former repetition of it left. */
bool sms_send_drop(SmsChannel *channel, const char *message);

/* The program ends: what no carrier has seen is answered, and all is freed. */
void sms_send_stop(SmsChannel *channel);

/* --- what is taken back --- */

/* Whether a copy may be on its way of a message that was made then; 0: it is not known when. */
bool sms_withdraw_was_tried(const SmsChannel *channel, const char *message, int64_t made);

/* Handles the gateway's `withdraw`. */
void sms_withdraw_request(SmsChannel *channel, int64_t id, const json_t *frame);

/* What the driver said about one; see sms-driver.h. */
void sms_withdraw_result(SmsChannel *channel, const char *message, SmsWithdrawOutcome outcome);

/* A message is not under way any more. may_arrive: it was not taken, and may arrive nevertheless;
 * never_left: that cannot be, as far as is known here. */
void sms_withdraw_after_send(
                SmsChannel *channel, const char *message, bool may_arrive, bool never_left);

/* Frees without a word: the gateway asks again. */
void sms_withdraw_stop(SmsChannel *channel);

/* --- reports: from the carrier to the gateway, whose answer settles them --- */

/* What sd-event says. */
int sms_report_open(SmsChannel *channel);

/* A carrier's report; its token is settled once. */
void sms_report_take(SmsChannel *channel, const SmsReport *report);

/* A message, or a segment, has been taken: reports about it may be held. */
void sms_report_match(SmsChannel *channel);

/* A message is not under way any more: what is held may be about nothing of ours. */
void sms_report_release(SmsChannel *channel);

/* Settles what the gateway has not answered, to be handed in again. The driver is there still. */
void sms_report_stop(SmsChannel *channel);
