/* Which of our messages a carrier speaks of: a map of the ids that it gave to messages and their
 * segments, so that a report days later finds its message, also after a restart.
 *
 * With a folder the map is kept in a file of lines, to which each message is appended before the
 * gateway hears of it: a killed process forgets nothing. It holds ids only, no address and no text.
 * What the file says that cannot be, such as half a line at its end, is left out.
 *
 *   t TIME PARTS MESSAGE [ID ...]    taken by the carrier; ids with %XX for what is no word; of a
 *                                    repetition that was wanted MESSAGE/REPEAT
 *   s PART MESSAGE                   that part was delivered
 *   d MESSAGE                        nothing more is expected
 *
 * Time is an argument, in seconds since 1970, of a clock that may be wrong, as it is on a board
 * that has no battery: what is of the future is as of now, and a message is old when it was taken
 * four days before the newest. Where the newest is as long ago itself, all are as of now once the
 * next message is taken. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "sms-driver.h"

enum {
        SMS_MESSAGE_SIZE = 65,            /* of a message's id, with the final NUL */
        SMS_REPORTS_MESSAGES_MAX = 65536, /* of which more is expected */
        SMS_REPORTS_ENDED_MAX = 4096,     /* of which only the gateway may not know */
        SMS_REPORTS_HELD_MAX = 1024,
        SMS_REPORTS_DAYS = 4, /* before the newest: what is older is forgotten */
        SMS_REPORTS_DOUBT_SECONDS = 300,
        SMS_REPORTS_REPEAT_MAX = 1000000000,
};

typedef enum SmsVerdict {
        SMS_VERDICT_NOTHING,   /* nothing new about a whole message, or of no message of ours */
        SMS_VERDICT_DELIVERED, /* all of its segments are */
        SMS_VERDICT_FAILED,    /* one of them never will be */
} SmsVerdict;

typedef struct SmsVerdictOn {
        char message[SMS_MESSAGE_SIZE];
        SmppOutcome outcome; /* of the report that decided */
        char error[16];      /* the network's code, as one word; or empty */
} SmsVerdictOn;

typedef struct SmsReports SmsReports;

/* Keeps the map in memory. -ENOMEM. */
int sms_reports_new(SmsReports **ret);

/* Reads the file in that folder, tidies it, and appends to it from now on. Negative errno: the map
 * is in memory only. */
int sms_reports_open(SmsReports *reports, const char *directory, int64_t now);

/* What the file says; a part of sms_reports_open(). */
void sms_reports_read(SmsReports *reports, const char *data, size_t size, int64_t now);

/* True for what may be a message's id: 1 to 64 letters, digits and "._-". */
bool sms_reports_is_message(const char *message);

/* A carrier has taken a message in n_parts parts (1 to 255), for each of which ids, unless it is
 * NULL, has the carrier's id; repeat is the frame's. A negative errno says that the file does not
 * have it; the map has it unless that is -ENOMEM. */
int sms_reports_add(SmsReports *reports,
                const char *message,
                int64_t repeat,
                const char *const *ids,
                size_t n_parts,
                int64_t now);

/* True for a message that was taken, in that repetition, so short a time ago that the gateway may
 * not know it. */
bool sms_reports_in_doubt(
                const SmsReports *reports, const char *message, int64_t repeat, int64_t now);

/* Takes a report. One about a message that is not there is kept for a minute when hold says that
 * there may be one yet: reports overtake the answers to what they are about. */
SmsVerdict sms_reports_note(SmsReports *reports,
                const SmsReport *report,
                bool hold,
                int64_t now,
                SmsVerdictOn *ret);

/* Looks through what was kept for reports about messages that have come since; to be called after
 * sms_reports_add(), until it is SMS_VERDICT_NOTHING. */
SmsVerdict sms_reports_match(SmsReports *reports, int64_t now, SmsVerdictOn *ret);

/* The carrier's ids of a message of which more is expected, borrowed until the next change; *ret is
 * NULL where it has none. False: there is no such message. The caller frees *ret, not the ids. */
bool sms_reports_ids(SmsReports *reports, const char *message, const char ***ret, size_t *ret_n);

/* Nothing more is expected of a message. */
void sms_reports_end(SmsReports *reports, const char *message, int64_t now);

/* How many messages more is expected of, how many have ended, and how many reports are kept. */
size_t sms_reports_count(const SmsReports *reports);
size_t sms_reports_ended(const SmsReports *reports);
size_t sms_reports_held(const SmsReports *reports);

SmsReports *sms_reports_free(SmsReports *reports);
DEFINE_CLEANUP(SmsReports, sms_reports_free)
