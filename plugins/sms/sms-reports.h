/* Which of our messages a carrier speaks of: a map of the ids that it gave to messages and their
 * segments, so that a report days later finds its message, also after a restart.
 *
 * With a folder the map is kept in a file of lines, to which each message is appended before the
 * gateway hears of it: a killed process forgets nothing. It holds ids only, no address and no text.
 * What the file says that cannot be, such as half a line at its end, is left out. What the disk has
 * no room for is not there until it has: nobody hears meanwhile that it is.
 *
 *   t TIME PARTS MESSAGE [ID ...]    taken by the carrier; ids with %XX for what is no word, and %
 *                                    for an empty one; of a repetition that was wanted
 *                                    MESSAGE/REPEAT
 *   s PART MESSAGE                   that part was delivered
 *   d MESSAGE                        nothing more is expected
 *   c MESSAGE                        a copy of it may have left besides
 *   p TIME WAY PART PARTS MESSAGE [ID]
 *                                    that part of it was taken, and not all are yet
 *   q PART MESSAGE                   that part was delivered before all were taken
 *   x OUTCOME MESSAGE                a part failed before all were taken
 *   b WAY BASE                       in which base that carrier has the ids of its reports
 *
 * Where the carrier took a former repetition for the one that is wanted now, MESSAGE is
 * MESSAGE/REPEAT/TOLD, with the one that it was told.
 *
 * A long message may be taken over several tries, and its first parts be reported about before its
 * last one has left. The map has each part as it is taken, so that such reports are noted, and that
 * the next try goes on with the parts that are left, also that of another process. One that failed
 * is answered to the gateway in place of `sent`.
 *
 * A report that decides about a whole message changes nothing here: the gateway hears of it first,
 * and sms_reports_end() follows when it has it, so that a report that is handed in again after a
 * kill decides again.
 *
 * Time is an argument, in seconds since 1970, of a clock that may be wrong, as it is on a board
 * that has no battery: what is of the future is as of now, and a message is old when it was taken
 * four days before the newest. Where the newest is as long ago itself, all are as of now once the
 * next message is taken. How long a report is held is told by CLOCK_BOOTTIME in microseconds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "sms-driver.h"

enum {
        SMS_MESSAGE_SIZE = 65,            /* of a message's id, with the final NUL */
        SMS_REPORTS_MESSAGES_MAX = 65536, /* of which more is expected */
        SMS_REPORTS_ENDED_MAX = 4096,     /* that the gateway or a carrier may speak of again */
        SMS_REPORTS_HELD_MAX = 1024,
        SMS_REPORTS_HOLD_SECONDS = 2,   /* that a carrier waits for one, before it is handed back */
        SMS_REPORTS_MATCH_SECONDS = 60, /* that its message may come */
        SMS_REPORTS_DAYS = 4,           /* before the newest: what is older is forgotten */
        SMS_REPORTS_DOUBT_SECONDS = 300,
        SMS_REPORTS_REPEAT_MAX = 1000000000,
        SMS_REPORTS_SURE_AFTER = 16, /* reports whose base leaves no doubt, all in the same */
};

typedef enum SmsVerdict {
        SMS_VERDICT_NOTHING,   /* nothing new about a whole message, or of no message of ours */
        SMS_VERDICT_HELD,      /* it may be about a message that is not there yet */
        SMS_VERDICT_LATER,     /* there is no room for it now, on the disk or among those held */
        SMS_VERDICT_DELIVERED, /* all of the message's segments are */
        SMS_VERDICT_FAILED,    /* one of them never will be */
} SmsVerdict;

typedef struct SmsVerdictOn {
        char message[SMS_MESSAGE_SIZE];
        int64_t repeat;      /* the message's */
        SmppOutcome outcome; /* of the report that decided */
        char error[16];      /* the network's code, as one word; or empty */
        uint64_t token; /* of a report that was held: whose; where the same is told again, that of
                           the one before; 0: of none that is waited for */
} SmsVerdictOn;

/* Which messages a report may be about. */
typedef enum SmsExpected {
        SMS_EXPECTED_KNOWN,   /* those that are known: any other is none of ours */
        SMS_EXPECTED_UNKNOWN, /* and such as were taken for a process that was killed before it
                                 wrote them down, and are about to be asked for again */
        SMS_EXPECTED_ANY, /* and such as are being sent now, whose ids may be those of messages that
                             have ended, as carriers begin anew with theirs */
} SmsExpected;

typedef struct SmsReports SmsReports;

/* A message that a carrier has taken. */
typedef struct SmsReportsTaken {
        const char *message;
        int64_t repeat;         /* the newest that it is for */
        int64_t told;           /* the one that the carrier was told; the same or one before */
        const char *const *ids; /* NULL: reports name our message */
        size_t n_parts;         /* 1 to 255 */
        bool has_copies;        /* another copy of it may have left */
} SmsReportsTaken;

/* Keeps the map in memory. -ENOMEM. */
int sms_reports_new(SmsReports **ret);

/* A number for the carrier and the sender of what leaves; before sms_reports_open(). Parts that
 * left another way are no parts of the same message to a phone. */
void sms_reports_set_way(SmsReports *reports, uint32_t way);

/* Reads the file in that folder, tidies it, and appends to it from now on. Waits for some seconds
 * while another process uses it. -EBUSY: it still does. Another errno: the map is in memory only.
 */
int sms_reports_open(SmsReports *reports, const char *directory, int64_t now);

/* What the file says; a part of sms_reports_open(). */
void sms_reports_read(SmsReports *reports, const char *data, size_t size, int64_t now);

/* True for what may be a message's id: 1 to 64 letters, digits and "._-". */
bool sms_reports_is_message(const char *message);

/* A carrier has taken a message. A negative errno says that the file does not have it; the map has
 * it unless that is -ENOMEM. */
int sms_reports_add(SmsReports *reports, const SmsReportsTaken *taken, int64_t now);

/* Tries to write what the file did not take. Negative errno: it does not yet. */
int sms_reports_write(SmsReports *reports, const char *message);

/* True for a message that was taken, in that repetition, and which the gateway may not know: it was
 * a short time ago, or could not be written yet. */
bool sms_reports_in_doubt(
                const SmsReports *reports, const char *message, int64_t repeat, int64_t now);

/* A carrier has taken one part of several, and not yet all; id is NULL where reports name our
 * message. Errors as above. */
int sms_reports_add_part(SmsReports *reports,
                const char *message,
                int64_t repeat,
                size_t n_parts,
                size_t part,
                const char *id,
                int64_t now);

/* Which of them it has, of that repetition, by the way that is set; the ids are borrowed until the
 * next change. False: none; or all, of which no message came. */
bool sms_reports_parts(const SmsReports *reports,
                const char *message,
                int64_t repeat,
                SmsSegmentTaken *ret,
                size_t n_parts);

/* Whether it has some parts of a message, of whichever repetition, which were not sent to an end.
 */
bool sms_reports_has_parts(const SmsReports *reports, const char *message);

/* What became of a part before all were taken; SMPP_OUTCOME_UNKNOWN: none failed then. */
SmppOutcome sms_reports_failure(const SmsReports *reports, const char *message, int64_t repeat);

/* Takes a report. One about a message that is not there is held when there may be one yet: reports
 * overtake the answers to what they are about. Its carrier waits for a while and gets it back then,
 * but it is remembered, and matches for a minute; what was handed back is not waited for again,
 * lest what people write waits behind it. */
SmsVerdict sms_reports_note(SmsReports *reports,
                const SmsReport *report,
                SmsExpected expected,
                uint64_t boot,
                SmsVerdictOn *ret);

/* Looks through what was held for a report about a message that has come since; to be called after
 * sms_reports_add(), until it is false. The verdict is none of HELD. */
bool sms_reports_match(
                SmsReports *reports, uint64_t boot, SmsVerdict *ret_verdict, SmsVerdictOn *ret);

/* Serials of what is being sent, in the order of its beginning: the newest that left, and the
 * oldest that is not answered; UINT64_MAX: all are; 0: more may be reported of what was answered.
 * What is held is about nothing of ours when all is answered that had left when it came. */
void sms_reports_set_under_way(SmsReports *reports, uint64_t newest, uint64_t oldest);

/* The token of a report about nothing of ours that its carrier waits with; false: there is none. */
bool sms_reports_release(SmsReports *reports, uint64_t *ret_token);

/* When a carrier has waited long enough for what is held; UINT64_MAX: none waits. */
uint64_t sms_reports_due(const SmsReports *reports);

/* The token of a report to be handed back to its carrier at that time; false: there is none. */
bool sms_reports_hand_back(SmsReports *reports, uint64_t boot, uint64_t *ret_token);

/* The carrier's ids of a message that nothing was reported of, borrowed until the next change; *ret
 * is NULL where it has none. False: there is no such message. The caller frees *ret, not the ids.
 * *ret_has_copies: another copy of it may have left. */
bool sms_reports_ids(SmsReports *reports,
                const char *message,
                const char ***ret,
                size_t *ret_n,
                bool *ret_has_copies);

/* Nothing more is expected of a message, in this repetition; negative: in whichever. */
void sms_reports_end(SmsReports *reports, const char *message, int64_t repeat, int64_t now);

/* The gateway does not know what was decided about it: it is to be decided once more. */
void sms_reports_undo(SmsReports *reports, const char *message, int64_t repeat);

/* How many messages more is expected of, those counted that are taken in part, how many have ended,
 * and how many reports are kept. */
size_t sms_reports_count(const SmsReports *reports);
size_t sms_reports_ended(const SmsReports *reports);
size_t sms_reports_held(const SmsReports *reports);

/* Whether another process kept this map before. It may have been killed before it wrote down what a
 * carrier had taken. */
bool sms_reports_has_past(const SmsReports *reports);

SmsReports *sms_reports_free(SmsReports *reports);
DEFINE_CLEANUP(SmsReports, sms_reports_free)
