/* What a way to a carrier has to do for the SMS channel: one table of functions for each driver
 * (SMPP, Kannel, a modem, a REST service), and what they tell the channel. A driver moves messages
 * and never decides about them: policy of numbers, pace, quiet hours, reassembly, deduplication and
 * frames are the channel's (sms-channel.h).
 *
 * Everything happens on one sd-event loop. A driver never calls back from inside a call of the
 * channel's, unless it says so. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "smpp-receipt.h"
#include "sms-assembly.h"
#include "sms-segment.h"

enum {
        SMS_CARRIER_ID_SIZE = SMPP_ID_SIZE, /* with the final NUL */
        SMS_SENDER_SIZE = 22,
};

typedef struct SmsDriver SmsDriver;   /* each driver has its own */
typedef struct SmsChannel SmsChannel; /* who owns the driver */

/* A segment that the carrier has from a former try of its message. */
typedef struct SmsSegmentTaken {
        bool is_taken;
        const char *id; /* as in SmsSendResult; NULL where reports name our message */
} SmsSegmentTaken;

/* A message that leaves. All of it is borrowed and stays until the driver has told its result, or
 * is freed. The same message, asked again, has the same bytes and the same reference. */
typedef struct SmsOutbound {
        const char *message; /* "msg_…", for carriers that take an identity of ours */
        const char *to;      /* E.164, with its plus */
        const char *from;    /* a number with its plus, a short code, or a name of up to 11 */
        const char *text;    /* UTF-8 */
        size_t size;
        const SmsPlan *plan;
        uint16_t reference; /* of the concatenation */
        int64_t expires;    /* seconds since 1970 UTC; the carrier shall not deliver it later */
        int64_t repeat;     /* which of the repetitions that were wanted; 0: the first */
        const SmsSegmentTaken *taken; /* for each segment; until send() returns. NULL: it has none,
                                         or the driver tells no segments */
} SmsOutbound;

typedef enum SmsSendOutcome {
        SMS_SEND_TAKEN,   /* the carrier has all of it */
        SMS_SEND_LATER,   /* the carrier asks for patience, or is away: no try of the message's */
        SMS_SEND_FAILED,  /* it was tried in vain, and may work another time */
        SMS_SEND_REFUSED, /* it will never do to this address */
        SMS_SEND_OUTCOME_MAX,
} SmsSendOutcome;

typedef struct SmsSendResult {
        SmsSendOutcome outcome;
        const char *reason; /* for an operator: lower-case letters, digits and "-"; NULL when taken
                             */
        unsigned retry_after;   /* seconds, of LATER and FAILED; 0: as the gateway likes */
        const char *const *ids; /* the carrier's, by which its reports name segments, or one for all
                                 * of them; borrowed. NULL where reports name our message */
        size_t n_ids; /* how many reports will come, also without ids; 0: one for each segment */
} SmsSendResult;

/* What a carrier reports about a message of ours. One of id and message is set. */
typedef struct SmsReport {
        const char *id;      /* as the carrier writes it */
        const char *message; /* ours */
        unsigned segment;    /* of message: which of its segments, from 0 */
        int64_t repeat;      /* of message: which repetition of it; 0: the first */
        SmppOutcome outcome;
        const char *error; /* the network's code, for logs; may be NULL */
        uint64_t token;    /* of the driver's, to settle it by; 0: the carrier waits for nothing */
} SmsReport;

/* A message, or a part of one, that came in. All borrowed. */
typedef struct SmsInbound {
        const char *from; /* E.164 */
        const char *to;   /* as the carrier has it; may be empty */
        const char *id;   /* the carrier's, the same whenever it hands it in again; or NULL */
        const char *text; /* the whole text in UTF-8; or NULL, and then: */
        const SmsConcat *concat; /* which part this is */
        const SmsOctets *octets; /* and what it says */
        int64_t sent;            /* the centre's time in seconds; 0: it tells none */
        uint64_t token;          /* of the driver's, to settle it by */
} SmsInbound;

/* A message that the carrier has. All borrowed. */
typedef struct SmsTaken {
        const char *message, *to, *from; /* as they were sent */
        const char *const *ids;          /* of the result of send; NULL where it had none */
        size_t n_ids;
} SmsTaken;

typedef enum SmsSettlement {
        SMS_SETTLED_TAKEN, /* durable at the gateway, or of no use to anybody: never again */
        SMS_SETTLED_LATER, /* hand it in again later */
} SmsSettlement;

typedef enum SmsWithdrawOutcome {
        SMS_WITHDRAW_DONE,     /* nobody has got it, nor will */
        SMS_WITHDRAW_TOO_LATE, /* somebody has it, or nobody knows */
        SMS_WITHDRAW_LATER,    /* the carrier could not be asked, or has not answered */
} SmsWithdrawOutcome;

typedef struct SmsDriverOps {
        const char *name; /* "smpp": the value of `driver =` */

        /* It tells segments with sms_channel_segment(), and leaves out those that the outbound says
         * were taken. At least one is not. */
        bool tells_segments;

        /* Reads its settings and credentials and begins. A negative errno, after saying why in the
         * log, ends the program with EX_CONFIG. */
        int (*new)(SmsDriver **ret, SmsChannel *channel, sd_event *event, const json_t *settings);

        /* Begins to send; the result is told once with sms_channel_sent(), never from in here.
         * -EAGAIN: not now; sms_channel_ready() says when. */
        int (*send)(SmsDriver *driver, const SmsOutbound *outbound);

        /* What came in or was reported under that token is settled; once for each. The driver
         * answers its carrier, or, if that is gone, nobody. */
        void (*settle)(SmsDriver *driver, uint64_t token, SmsSettlement settlement);

        /* Takes a message back that was taken and not delivered. NULL: this carrier cannot. The
         * result is told once with sms_channel_withdrawn(), never from in here; another message of
         * the same name is not taken back before that. -EAGAIN: the carrier cannot be asked now;
         * another errno: it is too late. */
        int (*withdraw)(SmsDriver *driver, const SmsTaken *taken);

        /* Takes leave of the carrier as far as that needs no waiting, and frees. Takes NULL. */
        SmsDriver *(*free)(SmsDriver *driver);
} SmsDriverOps;

extern const SmsDriverOps sms_driver_smpp, sms_driver_kannel, sms_driver_modem, sms_driver_rest;

/* --- what drivers tell --- */

/* Whether the carrier is reachable; at the start, and at each change. */
void sms_channel_carrier(SmsChannel *channel, bool up, const char *reason);

/* There is room again after -EAGAIN. */
void sms_channel_ready(SmsChannel *channel);

/* The result of a send. The outbound is gone when this returns. */
void sms_channel_sent(
                SmsChannel *channel, const SmsOutbound *outbound, const SmsSendResult *result);

/* The carrier has taken a segment of a message, and not yet all; id as in SmsSegmentTaken. What it
 * reports about that segment is understood from now on, and the next try gets to know. */
void sms_channel_segment(
                SmsChannel *channel, const SmsOutbound *outbound, unsigned segment, const char *id);

/* A carrier's report. It is settled later, by token, and perhaps from inside this call: only then
 * the gateway has it, or the map of the carrier's ids, or it is of no use. */
void sms_channel_report(SmsChannel *channel, const SmsReport *report);

/* A message or a part. It is settled later, by token, and perhaps from inside this call. */
void sms_channel_inbound(SmsChannel *channel, const SmsInbound *inbound);

/* The result of a withdrawal. */
void sms_channel_withdrawn(SmsChannel *channel, const char *message, SmsWithdrawOutcome outcome);
