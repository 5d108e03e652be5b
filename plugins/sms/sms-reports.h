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

/* When a carrier has waited long enough for what is held; UINT64_MAX: none waits. */
uint64_t sms_reports_due(const SmsReports *reports);

/* The token of a report to be handed back to its carrier at that time; false: there is none. */
bool sms_reports_hand_back(SmsReports *reports, uint64_t boot, uint64_t *ret_token);

/* The carrier's ids of a message that nothing was reported of, borrowed until the next change; *ret
 * is NULL where it has none. False: there is no such message. The caller frees *ret, not the ids.
 */
bool sms_reports_ids(SmsReports *reports,
                const char *message,
                const char ***ret,
                size_t *ret_n,
                int64_t *ret_repeat);

/* Nothing more is expected of a message, in this repetition; negative: in whichever. */
void sms_reports_end(SmsReports *reports, const char *message, int64_t repeat, int64_t now);

/* The gateway does not know what was decided about it: it is to be decided once more. */
void sms_reports_undo(SmsReports *reports, const char *message, int64_t repeat);

/* How many messages more is expected of, how many have ended, and how many reports are kept. */
size_t sms_reports_count(const SmsReports *reports);
size_t sms_reports_ended(const SmsReports *reports);
size_t sms_reports_held(const SmsReports *reports);

/* Whether another process kept this map before. It may have been killed before it wrote down what a
 * carrier had taken. */
bool sms_reports_has_past(const SmsReports *reports);

SmsReports *sms_reports_free(SmsReports *reports);
DEFINE_CLEANUP(SmsReports, sms_reports_free)
