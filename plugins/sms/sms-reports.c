/* The map of carriers' ids: its messages, which of them a report means, and what that decides. Its
 * file and the reports that it holds have files of their own. */
#include "sms-reports-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "text.h"

#define AGE_SECONDS (SMS_REPORTS_DAYS * INT64_C(86400))

/* Of a number in decimal or hexadecimal that may be another message's in the other base. */
enum { SHORT_ID_MAX = 5 };

static size_t bucket_of(const SmsReports *r, const char *text) {
        uint8_t hash[crypto_shorthash_BYTES];
        uint64_t number;

        crypto_shorthash(hash, (const uint8_t *) text, strlen(text), r->hash_key);
        memcpy(&number, hash, sizeof(number));
        return number & (SMS_REPORTS_BUCKETS - 1);
}

static bool is_of_message(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
}

bool sms_reports_is_message(const char *message) {
        size_t n = 0;

        while (is_of_message(message[n]))
                n++;
        return n > 0 && n < SMS_MESSAGE_SIZE && message[n] == '\0';
}

/* --- The table --- */

static Record *find(const SmsReports *r, const char *message, bool is_partial) {
        Record *record;

        LIST_FOREACH(record, &r->messages[bucket_of(r, message)], same_bucket)
        if (record->is_partial == is_partial && streq(record->message, message))
                return record;
        return NULL;
}

Record *reports_find(const SmsReports *r, const char *message) {
        return find(r, message, false);
}

Record *reports_find_partial(const SmsReports *r, const char *message) {
        return find(r, message, true);
}

static void remove_keys(Record *record) {
        for (size_t i = 0; i < record->n_parts; i++)
                for (size_t k = 0; k < SMS_REPORTS_KEYS_MAX; k++)
                        if (record->parts[i].keys[k].record) {
                                LIST_REMOVE(&record->parts[i].keys[k], entry);
                                record->parts[i].keys[k].record = NULL;
                        }
}

static void add_keys(SmsReports *r, Record *record, size_t i) {
        char keys[SMS_REPORTS_KEYS_MAX][SMPP_ID_SIZE];
        Part *part = &record->parts[i];
        unsigned n = part->id ? smpp_id_keys(part->id, keys) : 0;

        for (unsigned k = 0; k < n; k++) {
                part->keys[k].record = record;
                part->keys[k].part = (unsigned) i;
                memcpy(part->keys[k].text, keys[k], SMPP_ID_SIZE);
                LIST_INSERT_HEAD(&r->keys[bucket_of(r, keys[k])], &part->keys[k], entry);
        }
}

Record *reports_record_free(Record *record) {
        if (!record)
                return NULL;
        for (size_t i = 0; i < record->n_parts; i++)
                free(record->parts[i].id);
        free(record);
        return NULL;
}

static void record_drop(SmsReports *r, Record *record) {
        remove_keys(record);
        LIST_REMOVE(record, same_bucket);
        if (record->ended) {
                TAILQ_REMOVE(&r->ended, record, entry);
                r->n_ended--;
        } else {
                TAILQ_REMOVE(&r->waited, record, entry);
                r->n_waited--;
        }
        (void) reports_record_free(record);
}

/* --- Age --- */

/* A clock that was ahead, or is behind: what is of the future is as of now. */
static void clock_is_back(SmsReports *r, int64_t now) {
        struct RecordQueue *queues[] = { &r->waited, &r->ended };
        Record *record;

        if (now >= r->newest)
                return;
        for (size_t i = 0; i < N_ELEMENTS(queues); i++)
                TAILQ_FOREACH(record, queues[i], entry) {
                        if (record->taken > now)
                                record->taken = now;
                        if (record->ended_at > now)
                                record->ended_at = now;
                        if (record->doubt_until > now + SMS_REPORTS_DOUBT_SECONDS)
                                record->doubt_until = now + SMS_REPORTS_DOUBT_SECONDS;
                }
        r->newest = now;
}

/* Either nothing was sent for days, or the clock was behind, or it is ahead. All of them are as of
 * now then: what is old is kept for longer, which costs little. The file is to say so too. */
static void clock_is_ahead(SmsReports *r, int64_t now) {
        Record *record;

        if (r->n_waited == 0 || now - r->newest <= AGE_SECONDS)
                return;
        TAILQ_FOREACH(record, &r->waited, entry)
        record->taken = now;
        r->n_lines_next = 0;
}

/* What has ended is remembered as long as the gateway may ask for it again, or a carrier may say
 * once more what it got no answer to, and a few times as much as is under way. The age of the
 * others is that to the newest: a clock alone makes nothing old. */
void reports_drop_old(SmsReports *r, int64_t now) {
        Record *record;

        clock_is_back(r, now);
        while ((record = TAILQ_FIRST(&r->waited)) &&
                        (r->n_waited > SMS_REPORTS_MESSAGES_MAX ||
                                        r->newest - record->taken > AGE_SECONDS))
                record_drop(r, record);
        while ((record = TAILQ_FIRST(&r->ended)) &&
                        (r->n_ended > SMS_REPORTS_ENDED_MAX ||
                                        now - record->ended_at > SMS_REPORTS_DOUBT_SECONDS))
                record_drop(r, record);
}

void reports_drop_excess(SmsReports *r) {
        if (r->n_waited > SMS_REPORTS_MESSAGES_MAX)
                record_drop(r, TAILQ_FIRST(&r->waited));
        if (r->n_ended > SMS_REPORTS_ENDED_MAX)
                record_drop(r, TAILQ_FIRST(&r->ended));
}

/* --- Records --- */

void reports_record_end(SmsReports *r, Record *record, int64_t now) {
        if (record->ended)
                return;
        record->ended_at = now;
        TAILQ_REMOVE(&r->waited, record, entry);
        r->n_waited--;
        record->ended = true;
        TAILQ_INSERT_TAIL(&r->ended, record, entry);
        r->n_ended++;
}

int reports_record_new(
                const char *message, int64_t repeat, size_t n_parts, int64_t taken, Record **ret) {
        Record *record = calloc(1, sizeof(Record) + n_parts * sizeof(Part));

        if (!record)
                return -ENOMEM;
        (void) strncpy(record->message, message, sizeof(record->message) - 1);
        record->repeat = record->told = repeat;
        record->taken = taken;
        record->n_parts = n_parts;
        *ret = record;
        return 0;
}

int reports_part_set(Record *record, size_t part, const char *id) {
        char *copy = id ? strndup(id, SMPP_ID_SIZE - 1) : NULL;

        if (id && !copy)
                return -ENOMEM;
        free(record->parts[part].id);
        record->parts[part].id = copy;
        return 0;
}

int reports_part_taken(SmsReports *r, Record *record, size_t part, const char *id) {
        if (reports_part_set(record, part, id) < 0)
                return -ENOMEM;
        record->parts[part].is_taken = true;
        add_keys(r, record, part);
        return 0;
}

static bool is_same_id(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

/* What was reported of the parts that were taken first. */
static void inherit(Record *record, const Record *partial) {
        if (partial->repeat != record->told || partial->n_parts != record->n_parts)
                return;
        record->failure = partial->failure;
        for (size_t i = 0; i < record->n_parts; i++)
                if (partial->parts[i].is_taken &&
                                is_same_id(partial->parts[i].id, record->parts[i].id))
                        record->parts[i].delivered = partial->parts[i].delivered;
}

void reports_record_insert(SmsReports *r, Record *record) {
        Record *former = reports_find(r, record->message);
        Record *partial = reports_find_partial(r, record->message);

        if (partial) {
                if (!record->is_partial)
                        inherit(record, partial);
                record_drop(r, partial);
        }
        if (former && !record->is_partial)
                record_drop(r, former);
        TAILQ_INSERT_TAIL(&r->waited, record, entry);
        r->n_waited++;
        if (record->taken > r->newest)
                r->newest = record->taken;
        LIST_INSERT_HEAD(&r->messages[bucket_of(r, record->message)], record, same_bucket);
        for (size_t i = 0; !record->is_partial && i < record->n_parts; i++) {
                record->parts[i].is_taken = true;
                add_keys(r, record, i);
        }
}

/* --- Messages --- */

int sms_reports_new(SmsReports **ret) {
        SmsReports *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        TAILQ_INIT(&r->waited);
        TAILQ_INIT(&r->ended);
        TAILQ_INIT(&r->held);
        randombytes_buf(r->hash_key, sizeof(r->hash_key));
        r->directory = r->file = -1;
        *ret = r;
        return 0;
}

void sms_reports_set_way(SmsReports *r, uint32_t way) {
        assert(r && r->directory < 0);

        r->way = way;
}

static int record_of_taken(const SmsReportsTaken *taken, int64_t now, Record **ret) {
        _cleanup_(reports_record_freep) Record *record = NULL;
        int result = reports_record_new(
                        taken->message, taken->repeat, taken->n_parts, now, &record);

        for (size_t i = 0; result == 0 && taken->ids && i < taken->n_parts; i++)
                result = reports_part_set(record, i, taken->ids[i]);
        if (result < 0)
                return result;
        record->told = taken->told;
        record->has_copies = taken->has_copies;
        record->doubt_until = now + SMS_REPORTS_DOUBT_SECONDS;
        *ret = TAKE_PTR(record);
        return 0;
}

int sms_reports_add(SmsReports *r, const SmsReportsTaken *taken, int64_t now) {
        Record *record;
        int result;

        assert(r && taken && sms_reports_is_message(taken->message));
        assert(taken->n_parts >= 1 && taken->n_parts <= SMS_REPORTS_PARTS_MAX);
        assert(taken->repeat >= 0 && taken->repeat <= SMS_REPORTS_REPEAT_MAX);
        assert(taken->told >= 0 && taken->told <= taken->repeat);

        result = record_of_taken(taken, now, &record);
        if (result < 0)
                return result;
        clock_is_back(r, now);
        clock_is_ahead(r, now);
        result = reports_file_taken(r, record);
        record->is_written = result == 0;
        reports_record_insert(r, record);
        if (record->failure != SMPP_OUTCOME_UNKNOWN) {
                (void) reports_file_ended(r, record);
                reports_record_end(r, record, now);
        }
        reports_drop_old(r, now);
        reports_file_tidy_if_due(r);
        return result;
}

int sms_reports_write(SmsReports *r, const char *message) {
        Record *record = reports_find(r, message);

        return record && !record->ended ? reports_file_record(r, record) : 0;
}

bool sms_reports_in_doubt(const SmsReports *r, const char *message, int64_t repeat, int64_t now) {
        const Record *record = reports_find(r, message);

        return record && record->repeat == repeat &&
               (now < record->doubt_until || (!record->is_written && !record->ended));
}

/* --- Parts of messages --- */

static Record *partial_of_repeat(const SmsReports *r, const char *message, int64_t repeat) {
        Record *record = reports_find_partial(r, message);

        return record && record->repeat == repeat ? record : NULL;
}

bool sms_reports_parts(const SmsReports *r,
                const char *message,
                int64_t repeat,
                SmsSegmentTaken *ret,
                size_t n_parts) {
        const Record *record = partial_of_repeat(r, message, repeat);
        size_t n = 0;

        if (!record || record->way != r->way || record->n_parts != n_parts)
                return false;
        for (size_t i = 0; i < n_parts; i++) {
                n += record->parts[i].is_taken;
                ret[i] = (SmsSegmentTaken){ .is_taken = record->parts[i].is_taken,
                        .id = record->parts[i].id };
        }
        return n < n_parts;
}

static int partial_new(SmsReports *r,
                const char *message,
                int64_t repeat,
                size_t n_parts,
                int64_t now,
                Record **ret) {
        Record *record;
        int result = reports_record_new(message, repeat, n_parts, now, &record);

        if (result < 0)
                return result;
        record->is_partial = true;
        record->is_written = true;
        record->way = r->way;
        clock_is_back(r, now);
        clock_is_ahead(r, now);
        reports_record_insert(r, record);
        *ret = record;
        return 0;
}

int sms_reports_add_part(SmsReports *r,
                const char *message,
                int64_t repeat,
                size_t n_parts,
                size_t part,
                const char *id,
                int64_t now) {
        Record *record = partial_of_repeat(r, message, repeat);
        int result = 0;

        assert(r && sms_reports_is_message(message) && part < n_parts);
        assert(n_parts <= SMS_REPORTS_PARTS_MAX);

        if (!record || record->way != r->way || record->n_parts != n_parts)
                result = partial_new(r, message, repeat, n_parts, now, &record);
        if (result == 0 && !record->parts[part].is_taken)
                result = reports_part_taken(r, record, part, id);
        if (result < 0)
                return result;
        result = record->is_written ? reports_file_part_taken(r, record, part)
                                    : reports_file_record(r, record);
        record->is_written = result == 0;
        reports_drop_old(r, now);
        reports_file_tidy_if_due(r);
        return result;
}

SmppOutcome sms_reports_failure(const SmsReports *r, const char *message, int64_t repeat) {
        const Record *record = partial_of_repeat(r, message, repeat);

        if (!record)
                record = reports_find(r, message);
        return record && record->repeat == repeat ? record->failure : SMPP_OUTCOME_UNKNOWN;
}

/* --- Ends --- */

static bool has_arrived(const Record *record) {
        for (size_t i = 0; i < record->n_parts; i++)
                if (record->parts[i].delivered || record->parts[i].decided)
                        return true;
        return false;
}

bool sms_reports_ids(SmsReports *r,
                const char *message,
                const char ***ret,
                size_t *ret_n,
                bool *ret_has_copies) {
        const Record *record = reports_find(r, message);

        *ret = NULL;
        *ret_n = 0;
        if (!record || record->ended || has_arrived(record))
                return false;
        *ret_has_copies = record->repeat > 0 || record->has_copies ||
                          reports_find_partial(r, message);
        if (!record->parts[0].id)
                return true;
        *ret = calloc(record->n_parts, sizeof(**ret));
        if (!*ret)
                return false;
        for (size_t i = 0; i < record->n_parts; i++)
                (*ret)[(*ret_n)++] = record->parts[i].id;
        return true;
}

bool sms_reports_has_parts(const SmsReports *r, const char *message) {
        return reports_find_partial(r, message) != NULL;
}

static Record *record_of_repeat(const SmsReports *r, const char *message, int64_t repeat) {
        Record *record = reports_find(r, message);

        return record && !record->ended && (repeat < 0 || record->repeat == repeat) ? record : NULL;
}

void sms_reports_undo(SmsReports *r, const char *message, int64_t repeat) {
        Record *record = record_of_repeat(r, message, repeat);

        for (size_t i = 0; record && i < record->n_parts; i++)
                record->parts[i].decided = false;
}

void sms_reports_end(SmsReports *r, const char *message, int64_t repeat, int64_t now) {
        Record *record = record_of_repeat(r, message, repeat);

        if (!record)
                return;
        /* Without this line a report is looked for in vain, which costs nothing. */
        (void) reports_file_ended(r, record);
        reports_record_end(r, record, now);
        reports_drop_old(r, now);
        reports_file_tidy_if_due(r);
}

/* --- Whose a carrier's id is --- */

/* What is known of a part that a carrier speaks of. */
typedef enum Known {
        KNOWN_OPEN,    /* nothing */
        KNOWN_DECIDED, /* a report about it is with the gateway */
        KNOWN_PAST,    /* all that there is to say: it was said before */
        KNOWN_MAX,
} Known;

/* A part that a carrier may mean, and why. */
typedef struct Candidate {
        const Key *key;
        Base base; /* in which it is this part's */
        Known known;
        bool is_short;
        unsigned rank; /* the lowest is meant */
} Candidate;

static Known known_of(const Key *key) {
        const Part *part = &key->record->parts[key->part];

        if (key->record->ended || key->record->failure != SMPP_OUTCOME_UNKNOWN || part->delivered)
                return KNOWN_PAST;
        return part->decided ? KNOWN_DECIDED : KNOWN_OPEN;
}

static bool is_sure(const SmsReports *r) {
        return r->n_agreed >= SMS_REPORTS_SURE_AFTER;
}

/* An id that is no number, or one of one digit, is the same in each base. */
static bool is_of_each_base(const SmsReports *r, const Candidate *c, unsigned n_keys) {
        const Part *part = &c->key->record->parts[c->key->part];

        return is_sure(r) && c->base == BASE_SAME &&
               ((r->base == BASE_DECIMAL && n_keys == 1) ||
                               (r->base == BASE_HEX && !part->keys[1].record));
}

/* The base that the carrier is known to report in comes first, or, before that is sure, the very
 * id, whatever was reported of it: carriers repeat reports. Of numbers below 100,000 no other base
 * counts once it is sure: a carrier that counts may have given the number that it is there to
 * another message, which is not so of longer ones, as no more messages than that are remembered. */
static bool rank(const SmsReports *r, const char *id, unsigned n_keys, Candidate *c) {
        const char *own = c->key->record->parts[c->key->part].id;
        Base first = is_sure(r) ? r->base : BASE_SAME;
        bool is_first = c->base == first || is_of_each_base(r, c, n_keys);

        if (!is_first && is_sure(r) && c->is_short)
                return false;
        c->rank = (is_first ? 0 : 2 * KNOWN_MAX) + 2 * c->known + !streq(own, id);
        return true;
}

static Base base_of(const Key *key, unsigned nth_key) {
        bool is_itself = key == &key->record->parts[key->part].keys[0];

        if (nth_key == 0)
                return is_itself ? BASE_SAME : BASE_HEX;
        return is_itself ? BASE_DECIMAL : BASE_UNKNOWN; /* the first keys are equal too */
}

/* Writes the best one, and returns how many parts it may be in any base. */
static unsigned candidates(const SmsReports *r, const char *id, Candidate *ret) {
        char keys[SMS_REPORTS_KEYS_MAX][SMPP_ID_SIZE];
        unsigned n_keys = smpp_id_keys(id, keys), n = 0;
        const Key *key;

        *ret = (Candidate){ 0 };
        for (unsigned k = 0; k < n_keys; k++)
                LIST_FOREACH(key, &r->keys[bucket_of(r, keys[k])], entry) {
                        Candidate c = {
                                .key = key, .base = base_of(key, k), .known = known_of(key)
                        };
                        const Part *part = &key->record->parts[key->part];

                        if (c.base == BASE_UNKNOWN || !streq(key->text, keys[k]))
                                continue;
                        n++;
                        c.is_short = strlen(keys[0]) <= SHORT_ID_MAX &&
                                     strlen(part->keys[0].text) <= SHORT_ID_MAX;
                        if (rank(r, id, n_keys, &c) && (!ret->key || c.rank < ret->rank))
                                *ret = c;
                }
        return n;
}

/* From what can be one part only, in one way, and of which nothing was said before: one report that
 * is handed in again and again proves no more than once. One digit is the same in each base.
 * Without its line it is learned again. */
static void learn(SmsReports *r, const Candidate *c, unsigned n) {
        Part *part = &c->key->record->parts[c->key->part];
        bool says_something = c->base != BASE_SAME || strlen(c->key->text) > 1;
        bool was_sure = is_sure(r);

        if (n != 1 || c->known != KNOWN_OPEN || !says_something || part->learned)
                return;
        part->learned = true;
        if (r->base == c->base) {
                r->n_agreed += !was_sure;
        } else {
                r->base = c->base;
                r->n_agreed = 1;
        }
        if (is_sure(r) != was_sure)
                (void) reports_file_base(r, is_sure(r) ? r->base : BASE_UNKNOWN);
}

/* The part that a carrier means. What was said before may be meant only where no message is under
 * way that may have got the same id. */
static bool part_find(
                SmsReports *r, const char *id, bool also_past, Record **ret, unsigned *ret_part) {
        Candidate best;
        unsigned n = candidates(r, id, &best);

        if (!best.key || (best.known == KNOWN_PAST && !also_past))
                return false;
        learn(r, &best, n);
        *ret = best.key->record;
        *ret_part = best.key->part;
        return true;
}

/* --- Reports --- */

static bool has_part(const Record *record, const SmsReport *report) {
        return record && report->segment < record->n_parts &&
               record->parts[report->segment].is_taken && report->repeat <= record->repeat;
}

/* What a carrier says by our message's name. */
static Record *record_meant(const SmsReports *r, const SmsReport *report) {
        Record *record = reports_find_partial(r, report->message);

        if (has_part(record, report) && report->repeat == record->repeat)
                return record;
        record = reports_find(r, report->message);
        return has_part(record, report) ? record : NULL;
}

static bool report_find(SmsReports *r,
                const SmsReport *report,
                bool also_past,
                Record **ret,
                unsigned *ret_part) {
        if (report->id)
                return part_find(r, report->id, also_past, ret, ret_part);
        *ret = report->message ? record_meant(r, report) : NULL;
        *ret_part = report->segment;
        return *ret != NULL;
}

/* What became of a former repetition says nothing against the present one. */
static bool is_of_use(const SmsReport *report, const Record *record) {
        return report->id || report->repeat >= record->told ||
               report->outcome == SMPP_OUTCOME_DELIVERED;
}

/* It may be looked for. */
static bool is_well_formed(const SmsReport *report) {
        size_t n = report->id ? strlen(report->id) : 0;

        return report->id ? n > 0 && n < SMPP_ID_SIZE
                          : report->message && sms_reports_is_message(report->message);
}

static bool others_are_delivered(const Record *record, unsigned part) {
        for (size_t i = 0; i < record->n_parts; i++)
                if (i != part && !record->parts[i].delivered)
                        return false;
        return true;
}

/* A line that is not on the disk would be missed after a kill: the carrier keeps the report. */
static SmsVerdict note_delivered(SmsReports *r, Record *record, unsigned part) {
        if (reports_file_record(r, record) < 0 || reports_file_part_delivered(r, record, part) < 0)
                return SMS_VERDICT_LATER;
        record->parts[part].delivered = true;
        reports_file_tidy_if_due(r);
        return SMS_VERDICT_NOTHING;
}

/* The gateway has not heard that the message was sent, and hears this in place of that. */
static SmsVerdict note_failed(SmsReports *r, Record *record, SmppOutcome outcome) {
        record->failure = outcome;
        if (reports_file_record(r, record) < 0 || reports_file_failed(r, record) < 0) {
                record->failure = SMPP_OUTCOME_UNKNOWN;
                return SMS_VERDICT_LATER;
        }
        reports_file_tidy_if_due(r);
        return SMS_VERDICT_NOTHING;
}

static SmsVerdict judge(SmsReports *r, Record *record, unsigned part, SmppOutcome outcome) {
        if (record->ended || record->failure != SMPP_OUTCOME_UNKNOWN ||
                        record->parts[part].delivered)
                return SMS_VERDICT_NOTHING;
        if (record->is_partial && outcome != SMPP_OUTCOME_DELIVERED)
                return note_failed(r, record, outcome);
        if (record->is_partial ||
                        (outcome == SMPP_OUTCOME_DELIVERED && !others_are_delivered(record, part)))
                return note_delivered(r, record, part);
        record->parts[part].decided = true;
        return outcome == SMPP_OUTCOME_DELIVERED ? SMS_VERDICT_DELIVERED : SMS_VERDICT_FAILED;
}

static bool is_final(SmppOutcome outcome) {
        return outcome == SMPP_OUTCOME_DELIVERED || outcome == SMPP_OUTCOME_FAILED ||
               outcome == SMPP_OUTCOME_EXPIRED || outcome == SMPP_OUTCOME_REJECTED;
}

static SmsVerdict note(SmsReports *r,
                const SmsReport *report,
                bool also_past,
                bool hold,
                uint64_t boot,
                SmsVerdictOn *ret) {
        Record *record;
        unsigned part;

        *ret = (SmsVerdictOn){ .outcome = report->outcome };
        text_word(report->error, ret->error, sizeof(ret->error));
        if (!is_final(report->outcome) || !is_well_formed(report))
                return SMS_VERDICT_NOTHING;
        if (!report_find(r, report, also_past, &record, &part))
                return hold ? reports_hold(r, report, boot, ret) : SMS_VERDICT_NOTHING;
        (void) snprintf(ret->message, sizeof(ret->message), "%s", record->message);
        ret->repeat = record->repeat;
        if (!is_of_use(report, record))
                return SMS_VERDICT_NOTHING;
        return judge(r, record, part, report->outcome);
}

SmsVerdict sms_reports_note(SmsReports *r,
                const SmsReport *report,
                SmsExpected expected,
                uint64_t boot,
                SmsVerdictOn *ret) {
        assert(r && report && ret);

        return note(r,
                        report,
                        expected != SMS_EXPECTED_ANY,
                        expected != SMS_EXPECTED_KNOWN,
                        boot,
                        ret);
}

bool sms_reports_match(SmsReports *r, uint64_t boot, SmsVerdict *ret_verdict, SmsVerdictOn *ret) {
        Held *held;

        TAILQ_FOREACH(held, &r->held, entry) {
                SmsReport report = { .id = held->id[0] ? held->id : NULL,
                        .message = held->id[0] ? NULL : held->message,
                        .segment = held->segment,
                        .repeat = held->repeat,
                        .outcome = held->outcome,
                        .error = held->error };

                if (!reports_held_may_match(held, boot))
                        continue;
                *ret_verdict = note(r, &report, false, false, boot, ret);
                if (!ret->message[0])
                        continue;
                ret->token = held->token;
                reports_held_drop(r, held);
                return true;
        }
        return false;
}

size_t sms_reports_count(const SmsReports *r) {
        return r->n_waited;
}

size_t sms_reports_ended(const SmsReports *r) {
        return r->n_ended;
}

bool sms_reports_has_past(const SmsReports *r) {
        return r->has_past;
}

SmsReports *sms_reports_free(SmsReports *r) {
        if (!r)
                return NULL;
        while (!TAILQ_EMPTY(&r->waited))
                record_drop(r, TAILQ_FIRST(&r->waited));
        while (!TAILQ_EMPTY(&r->ended))
                record_drop(r, TAILQ_FIRST(&r->ended));
        while (!TAILQ_EMPTY(&r->held))
                reports_held_drop(r, TAILQ_FIRST(&r->held));
        (void) close_fd(r->file);
        (void) close_fd(r->directory);
        free(r);
        return NULL;
}
