/* What people wrote on its way to the gateway: parts become whole texts, texts become `reply`
 * frames, and what the gateway says settles every part with the driver.
 *
 * Nothing is taken from a carrier before the gateway has it. A part whose others are late is handed
 * back after a while, since there are carriers that deliver one message at a time and would wait
 * for it forever; it is remembered, so that its message is whole once the others have come, unless
 * it had to make room for others (sms-assembly.h). A message in one part needs no such room, so
 * that no number of parts keeps it out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"
#include "plugin.h"
#include "sms-driver.h"

enum {
        SMS_INBOUND_TEXT_MAX = 4096, /* bytes; what is beyond is cut off at a character's end */
        SMS_INBOUND_REPLIES_MAX = 1024,
        SMS_INBOUND_PARTS_MAX = 4096,  /* that wait for their others */
        SMS_INBOUND_PART_SECONDS = 10, /* until such a part is handed back */
        SMS_INBOUND_WHOLE_SECONDS =
                        600, /* since the last part of a message, until it is given up */
};

typedef struct SmsReplies SmsReplies;

/* Tells the driver, as SmsDriverOps.settle does. */
typedef void (*SmsSettle)(void *userdata, uint64_t token, SmsSettlement settlement);

/* sender is our own number or name, borrowed. -ENOMEM and what sd-event says. */
int sms_replies_new(SmsReplies **ret,
                Plugin *plugin,
                const char *sender,
                SmsSettle settle,
                void *userdata);

/* A message or a part, which is borrowed. Its token is settled once, perhaps in here. */
void sms_replies_take(SmsReplies *replies, const SmsInbound *inbound);

/* Does what is due at a time of CLOCK_BOOTTIME, in microseconds. */
void sms_replies_expire(SmsReplies *replies, uint64_t now);

/* How many messages wait for the gateway, and how many parts for their others. */
size_t sms_replies_count(const SmsReplies *replies);
size_t sms_replies_parts(const SmsReplies *replies);

/* True when no timer runs. */
bool sms_replies_is_idle(const SmsReplies *replies);

/* Settles what is left, to be handed in again, and frees. */
SmsReplies *sms_replies_free(SmsReplies *replies);
DEFINE_CLEANUP(SmsReplies, sms_replies_free)
