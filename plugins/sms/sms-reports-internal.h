/* The parts of the map of carriers' ids among each other: its records, the file that they are kept
 * in, and the reports that are held. */
#pragma once

#include <sodium.h>
#include <sys/queue.h>

#include "sms-reports.h"

enum {
        SMS_REPORTS_BUCKETS = 16384, /* a power of two */
        SMS_REPORTS_PARTS_MAX = 255,
        SMS_REPORTS_LINE_MAX =
                        160 + 2 * SMS_MESSAGE_SIZE + SMS_REPORTS_PARTS_MAX * 3 * SMPP_ID_SIZE,
        SMS_REPORTS_KEYS_MAX = 2,
};

/* How a carrier writes the ids in its reports, as against those in its answers. */
typedef enum Base {
        BASE_UNKNOWN, /* not learned yet */
        BASE_SAME,
        BASE_DECIMAL, /* reports in decimal what it answered in hexadecimal */
        BASE_HEX,     /* the other way about */
        BASE_MAX,
} Base;

typedef struct Record Record;

/* A part under one of the forms that its id may be reported in. */
typedef struct Key {
        LIST_ENTRY(Key) entry;
        Record *record; /* NULL: not in the table */
        unsigned part;
        char text[SMPP_ID_SIZE];
} Key;

typedef struct Part {
        char *id;      /* NULL: the carrier has none */
        bool is_taken; /* the carrier has it; of a partial record, else all are */
        bool delivered;
        bool decided; /* a report about it is with the gateway */
        bool learned; /* in which base it was reported has been counted */
        Key keys[SMS_REPORTS_KEYS_MAX];
} Part;

/* A message that a carrier has, or of which it has some parts: there may be one of each kind of the
 * same message, when a repetition of it is half sent. */
struct Record {
        TAILQ_ENTRY(Record) entry; /* of those that are waited for, or of those that ended */
        LIST_ENTRY(Record) same_bucket;
        char message[SMS_MESSAGE_SIZE];
        int64_t repeat; /* the newest that it stands for, which the gateway knows it by */
        int64_t told;   /* the one that the carrier was told, and names in its reports */
        int64_t taken, doubt_until, ended_at;
        uint32_t way;        /* of a partial one: by which its parts left */
        bool is_partial;     /* not all of it is taken */
        bool is_written;     /* the file has it, or there is none */
        bool has_copies;     /* another copy of it may have left */
        SmppOutcome failure; /* of a part, before all were taken; UNKNOWN: none failed then */
        bool ended;
        size_t n_parts;
        Part parts[];
};

/* A report that came before its message. */
typedef struct Held {
        TAILQ_ENTRY(Held) entry;
        char id[SMPP_ID_SIZE], message[SMS_MESSAGE_SIZE], error[16];
        unsigned segment;
        SmppOutcome outcome;
        int64_t repeat;
        uint64_t token; /* 0: its carrier does not wait for it */
        bool was_handed_back;
        uint64_t since, seen, due; /* when it was first told, last told, and is to be handed back */
        uint64_t until;            /* the newest sending that it may be about */
} Held;

LIST_HEAD(KeyList, Key);
LIST_HEAD(RecordList, Record);
TAILQ_HEAD(RecordQueue, Record);

struct SmsReports {
        struct RecordQueue waited, ended; /* each in the order in which they came there */
        TAILQ_HEAD(HeldQueue, Held) held;
        size_t n_waited, n_ended, n_held;
        int64_t newest; /* when the last message was taken */
        struct KeyList keys[SMS_REPORTS_BUCKETS];
        struct RecordList messages[SMS_REPORTS_BUCKETS];
        uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* carriers choose their ids */
        uint32_t way;
        Base base;         /* of that way, as the last report has it */
        unsigned n_agreed; /* reports in a row that have it; SMS_REPORTS_SURE_AFTER: enough */
        uint64_t newest_sending, oldest_sending; /* serials; UINT64_MAX: all are answered */
        int directory, file;                     /* -1: in memory only */
        bool has_past;                           /* there was a file */
        bool is_spoiled;                         /* its last line may be half a one */
        size_t n_lines;                          /* of the file */
        size_t n_lines_next;                     /* when to tidy it */
        char line[SMS_REPORTS_LINE_MAX]; /* to be written; too large to be cleared for each message
                                          */
};

/* --- the records (sms-reports.c) --- */

/* The message that the carrier has all of, or the one that it has some parts of. */
Record *reports_find(const SmsReports *reports, const char *message);
Record *reports_find_partial(const SmsReports *reports, const char *message);

/* Without parts' ids, and in no table. -ENOMEM. */
int reports_record_new(
                const char *message, int64_t repeat, size_t n_parts, int64_t taken, Record **ret);
int reports_part_set(Record *record, size_t part, const char *id);
Record *reports_record_free(Record *record);

/* In the place of one of the same message and kind; a whole one goes on with what was reported of
 * its parts. */
void reports_record_insert(SmsReports *reports, Record *record);

/* Part of a partial record, which is in the table. -ENOMEM. */
int reports_part_taken(SmsReports *reports, Record *record, size_t part, const char *id);

void reports_record_end(SmsReports *reports, Record *record, int64_t now);

/* No more than the file may have. */
void reports_drop_excess(SmsReports *reports);

/* What is of the future is as of now, and what is old goes. */
void reports_drop_old(SmsReports *reports, int64_t now);

DEFINE_CLEANUP(Record, reports_record_free)

/* --- the file (sms-reports-file.c) --- */

/* Each appends its lines; negative: the file has none of them. 0 where there is no file. */
int reports_file_taken(SmsReports *reports, const Record *record);
int reports_file_part_taken(SmsReports *reports, const Record *record, size_t part);
int reports_file_part_delivered(SmsReports *reports, const Record *record, size_t part);
int reports_file_failed(SmsReports *reports, const Record *record);
int reports_file_ended(SmsReports *reports, const Record *record);
int reports_file_base(SmsReports *reports, Base base);

/* A partial record, or a whole one, that the file could not take when it came. */
int reports_file_record(SmsReports *reports, Record *record);

void reports_file_tidy_if_due(SmsReports *reports);

/* --- what is held (sms-reports-held.c) --- */

SmsVerdict reports_hold(
                SmsReports *reports, const SmsReport *report, uint64_t boot, SmsVerdictOn *ret);

void reports_held_drop(SmsReports *reports, Held *held);

/* Whether it may still be about a message that comes. */
bool reports_held_may_match(const Held *held, uint64_t boot);
