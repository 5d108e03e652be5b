#include "sms-reports.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

#define AGE_SECONDS (SMS_REPORTS_DAYS * INT64_C(86400))

enum {
        BUCKETS = 16384, /* a power of two */
        PARTS_MAX = 255,
        FILE_BYTES_MAX = 32 * 1024 * 1024, /* what is before is old */
        LINES_SPARE = 4096,
        LINE_SIZE_MAX = 64 + SMS_MESSAGE_SIZE + PARTS_MAX * 3 * SMPP_ID_SIZE,
        KEYS_MAX = 2,
};

static const char file_name[] = "reports", new_name[] = "reports.new";

typedef struct Record Record;

/* A part under one of the forms that its id may be reported in. */
typedef struct Key {
        LIST_ENTRY(Key) entry;
        Record *record; /* NULL: not in the table */
        unsigned part;
        char text[SMPP_ID_SIZE];
} Key;

typedef struct Part {
        char *id; /* NULL: the carrier has none */
        bool delivered;
        bool decided; /* a report about it is with the gateway */
        Key keys[KEYS_MAX];
} Part;

struct Record {
        TAILQ_ENTRY(Record) entry; /* of those that are waited for, or of those that ended */
        LIST_ENTRY(Record) same_bucket;
        char message[SMS_MESSAGE_SIZE];
        int64_t repeat, taken, doubt_until, ended_at;
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
} Held;

LIST_HEAD(KeyList, Key);
LIST_HEAD(RecordList, Record);
TAILQ_HEAD(RecordQueue, Record);

struct SmsReports {
        struct RecordQueue waited, ended; /* each in the order in which they came there */
        TAILQ_HEAD(, Held) held;
        size_t n_waited, n_ended, n_held;
        int64_t newest; /* when the last message was taken */
        struct KeyList keys[BUCKETS];
        struct RecordList messages[BUCKETS];
        uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* carriers choose their ids */
        int directory, file;                         /* -1: in memory only */
        bool has_past;                               /* there was a file */
        size_t n_lines;                              /* of the file */
        size_t n_lines_next;                         /* when to tidy it */
        char line[LINE_SIZE_MAX]; /* to be written; too large to be cleared for each message */
};

static size_t bucket_of(const SmsReports *r, const char *text) {
        uint8_t hash[crypto_shorthash_BYTES];
        uint64_t number;

        crypto_shorthash(hash, (const uint8_t *) text, strlen(text), r->hash_key);
        memcpy(&number, hash, sizeof(number));
        return number & (BUCKETS - 1);
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

static Record *record_find(const SmsReports *r, const char *message) {
        Record *record;

        LIST_FOREACH(record, &r->messages[bucket_of(r, message)], same_bucket)
        if (streq(record->message, message))
                return record;
        return NULL;
}

static void record_remove_keys(Record *record) {
        for (size_t i = 0; i < record->n_parts; i++)
                for (size_t k = 0; k < KEYS_MAX; k++)
                        if (record->parts[i].keys[k].record) {
                                LIST_REMOVE(&record->parts[i].keys[k], entry);
                                record->parts[i].keys[k].record = NULL;
                        }
}

static void record_add_keys(SmsReports *r, Record *record) {
        for (unsigned i = 0; i < record->n_parts; i++) {
                Part *part = &record->parts[i];
                char keys[KEYS_MAX][SMPP_ID_SIZE];
                unsigned n = part->id ? smpp_id_keys(part->id, keys) : 0;

                for (unsigned k = 0; k < n; k++) {
                        part->keys[k].record = record;
                        part->keys[k].part = i;
                        memcpy(part->keys[k].text, keys[k], SMPP_ID_SIZE);
                        LIST_INSERT_HEAD(&r->keys[bucket_of(r, keys[k])], &part->keys[k], entry);
                }
        }
}

static Record *record_free(Record *record) {
        if (!record)
                return NULL;
        for (size_t i = 0; i < record->n_parts; i++)
                free(record->parts[i].id);
        free(record);
        return NULL;
}

DEFINE_CLEANUP(Record, record_free)

static void record_drop(SmsReports *r, Record *record) {
        record_remove_keys(record);
        LIST_REMOVE(record, same_bucket);
        if (record->ended) {
                TAILQ_REMOVE(&r->ended, record, entry);
                r->n_ended--;
        } else {
                TAILQ_REMOVE(&r->waited, record, entry);
                r->n_waited--;
        }
        (void) record_free(record);
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
static void drop_old(SmsReports *r, int64_t now) {
        Record *record;

        while ((record = TAILQ_FIRST(&r->waited)) &&
                        (r->n_waited > SMS_REPORTS_MESSAGES_MAX ||
                                        r->newest - record->taken > AGE_SECONDS))
                record_drop(r, record);
        while ((record = TAILQ_FIRST(&r->ended)) &&
                        (r->n_ended > SMS_REPORTS_ENDED_MAX ||
                                        now - record->ended_at > SMS_REPORTS_DOUBT_SECONDS))
                record_drop(r, record);
}

/* No more than the file may have; their age is for its end. */
static void drop_excess(SmsReports *r) {
        if (r->n_waited > SMS_REPORTS_MESSAGES_MAX)
                record_drop(r, TAILQ_FIRST(&r->waited));
        if (r->n_ended > SMS_REPORTS_ENDED_MAX)
                record_drop(r, TAILQ_FIRST(&r->ended));
}

/* --- Records --- */

static void record_end(SmsReports *r, Record *record, int64_t now) {
        if (record->ended)
                return;
        record->ended_at = now;
        TAILQ_REMOVE(&r->waited, record, entry);
        r->n_waited--;
        record->ended = true;
        TAILQ_INSERT_TAIL(&r->ended, record, entry);
        r->n_ended++;
}

static int record_new(const char *message,
                int64_t repeat,
                const char *const *ids,
                size_t n_parts,
                int64_t taken,
                Record **ret) {
        _cleanup_(record_freep) Record *record = calloc(1, sizeof(Record) + n_parts * sizeof(Part));

        if (!record)
                return -ENOMEM;
        (void) strncpy(record->message, message, sizeof(record->message) - 1);
        record->repeat = repeat;
        record->taken = taken;
        record->n_parts = n_parts;
        for (size_t i = 0; ids && i < n_parts; i++) {
                record->parts[i].id = strndup(ids[i], SMPP_ID_SIZE - 1);
                if (!record->parts[i].id)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(record);
        return 0;
}

/* In the place of one of the same message. */
static void record_insert(SmsReports *r, Record *record) {
        Record *former = record_find(r, record->message);

        if (former)
                record_drop(r, former);
        TAILQ_INSERT_TAIL(&r->waited, record, entry);
        r->n_waited++;
        if (record->taken > r->newest)
                r->newest = record->taken;
        LIST_INSERT_HEAD(&r->messages[bucket_of(r, record->message)], record, same_bucket);
        record_add_keys(r, record);
}

/* --- Lines --- */

static size_t put_id(const char *id, char *ret) {
        size_t n = 0;

        for (const unsigned char *p = (const unsigned char *) id; *p; p++) {
                if (*p > ' ' && *p < 0x7f && *p != '%')
                        ret[n++] = (char) *p;
                else
                        n += (size_t) sprintf(ret + n, "%%%02x", *p);
        }
        return n;
}

static size_t put_number(int64_t number, char *ret) {
        char digits[20];
        size_t n = 0;

        do
                digits[n++] = (char) ('0' + number % 10);
        while ((number /= 10) > 0);
        for (size_t i = 0; i < n; i++)
                ret[i] = digits[n - 1 - i];
        return n;
}

/* Of each message, and so without printf(). */
static size_t put_taken(const Record *record, char ret[LINE_SIZE_MAX]) {
        size_t n = 0;

        ret[n++] = 't';
        ret[n++] = ' ';
        n += put_number(record->taken, ret + n);
        ret[n++] = ' ';
        n += put_number((int64_t) record->n_parts, ret + n);
        ret[n++] = ' ';
        n = (size_t) (stpcpy(ret + n, record->message) - ret);
        if (record->repeat > 0) {
                ret[n++] = '/';
                n += put_number(record->repeat, ret + n);
        }
        for (size_t i = 0; i < record->n_parts && record->parts[i].id; i++) {
                ret[n++] = ' ';
                n += put_id(record->parts[i].id, ret + n);
        }
        ret[n++] = '\n';
        return n;
}

static int append(SmsReports *r, const char *line, size_t size) {
        off_t end;
        ssize_t n;

        if (r->file < 0)
                return 0;
        n = write(r->file, line, size);
        if (n == (ssize_t) size) {
                r->n_lines++;
                return 0;
        }
        if (n < 0)
                return -errno;
        /* Half a line would spoil the next one. */
        end = lseek(r->file, 0, SEEK_CUR);
        return end < n || ftruncate(r->file, end - n) < 0 ? -EIO : -ENOSPC;
}

static int append_word(SmsReports *r, const char *word, const char *message) {
        char line[SMS_MESSAGE_SIZE + 32];
        int n = snprintf(line, sizeof(line), "%s %s\n", word, message);

        return append(r, line, (size_t) n);
}

static void write_record(SmsReports *r, FILE *file, const Record *record) {
        (void) fwrite(r->line, 1, put_taken(record, r->line), file);
        r->n_lines++;
        for (size_t i = 0; i < record->n_parts; i++)
                if (record->parts[i].delivered) {
                        (void) fprintf(file, "s %zu %s\n", i, record->message);
                        r->n_lines++;
                }
        if (record->ended) {
                (void) fprintf(file, "d %s\n", record->message);
                r->n_lines++;
        }
}

static int write_all(SmsReports *r, int fd) {
        const Record *record;
        FILE *file;
        int copy, result = 0;

        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return -errno;
        file = fdopen(copy, "w");
        if (!file) {
                (void) close(copy);
                return -ENOMEM;
        }
        TAILQ_FOREACH(record, &r->waited, entry)
        write_record(r, file, record);
        TAILQ_FOREACH(record, &r->ended, entry)
        write_record(r, file, record);
        if (fflush(file) != 0 || ferror(file) || fdatasync(fd) < 0)
                result = -EIO;
        return fclose(file) == 0 ? result : -EIO;
}

/* Writes what is still of use into a new file, which takes the old one's place. */
static int tidy(SmsReports *r) {
        _cleanup_(closep) int file = -1;
        size_t n_lines = r->n_lines;
        int result;

        r->n_lines_next = n_lines + LINES_SPARE; /* unless it works */
        file = openat(r->directory,
                        new_name,
                        O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                        0600);
        if (file < 0)
                return -errno;
        r->n_lines = 0;
        result = write_all(r, file);
        if (result == 0 && renameat(r->directory, new_name, r->directory, file_name) < 0)
                result = -errno;
        if (result < 0) {
                r->n_lines = n_lines;
                (void) unlinkat(r->directory, new_name, 0);
                return result;
        }
        (void) close_fd(r->file);
        r->file = TAKE_FD(file);
        r->n_lines_next = 2 * r->n_lines + LINES_SPARE;
        return 0;
}

static void tidy_if_due(SmsReports *r) {
        if (r->file >= 0 && r->n_lines > r->n_lines_next)
                (void) tidy(r);
}

/* --- Reading --- */

/* The next word of a line, cut off in place; NULL at its end. */
static char *word_next(char **line) {
        char *word = *line;
        size_t n = strcspn(word, " ");

        if (n == 0)
                return NULL;
        *line = word + n;
        if (word[n]) {
                word[n] = '\0';
                *line += 1;
        }
        return word;
}

static bool number_read(const char *word, int64_t max, int64_t *ret) {
        size_t n = word ? strspn(word, "0123456789") : 0;

        if (n == 0 || n > 12 || word[n])
                return false;
        *ret = strtoll(word, NULL, 10);
        return *ret <= max;
}

static bool id_read(char *word) {
        char *out = word;
        uint8_t byte;

        for (; *word; word++) {
                if (*word != '%') {
                        *out++ = *word;
                        continue;
                }
                if (!word[1] || !word[2])
                        return false;
                char hex[] = { word[1], word[2], '\0' };

                if (text_from_hex(hex, &byte, 1) < 0 || byte == 0)
                        return false;
                *out++ = (char) byte;
                word += 2;
        }
        *out = '\0';
        return true;
}

static void read_taken(SmsReports *r, char *line, int64_t now) {
        const char *ids[PARTS_MAX];
        int64_t taken, n_parts, repeat = 0;
        size_t n_ids = 0;
        Record *record;
        char *word, *message, *slash;

        if (!number_read(word_next(&line), INT64_MAX, &taken) ||
                        !number_read(word_next(&line), PARTS_MAX, &n_parts) || n_parts < 1)
                return;
        message = word_next(&line);
        slash = message ? strchr(message, '/') : NULL;
        if (slash) {
                *slash = '\0';
                if (!number_read(slash + 1, SMS_REPORTS_REPEAT_MAX, &repeat))
                        return;
        }
        if (!message || !sms_reports_is_message(message))
                return;
        while ((word = word_next(&line))) {
                if (n_ids == (size_t) n_parts || !id_read(word) || strlen(word) >= SMPP_ID_SIZE)
                        return;
                ids[n_ids++] = word;
        }
        if ((n_ids != 0 && n_ids != (size_t) n_parts) || record_new(message,
                                                                         repeat,
                                                                         n_ids ? ids : NULL,
                                                                         (size_t) n_parts,
                                                                         taken,
                                                                         &record) < 0)
                return;
        if (now - taken <= SMS_REPORTS_DOUBT_SECONDS)
                record->doubt_until = now + SMS_REPORTS_DOUBT_SECONDS;
        record_insert(r, record);
        drop_excess(r);
}

static void read_line(SmsReports *r, char *line, int64_t now) {
        const char *kind = word_next(&line);
        Record *record;
        int64_t part;

        if (!kind || kind[1] != '\0')
                return;
        if (kind[0] == 't') {
                read_taken(r, line, now);
        } else if (kind[0] == 's') {
                if (!number_read(word_next(&line), PARTS_MAX, &part))
                        return;
                record = record_find(r, line);
                if (record && (size_t) part < record->n_parts)
                        record->parts[part].delivered = true;
        } else if (kind[0] == 'd') {
                record = record_find(r, line);
                if (record)
                        record_end(r, record, now);
                drop_excess(r);
        }
}

void sms_reports_read(SmsReports *r, const char *data, size_t size, int64_t now) {
        char line[LINE_SIZE_MAX];
        const char *end = data + size, *stop;

        assert(r && (data || size == 0));

        /* What no newline ends was not written whole. */
        for (const char *p = data; p < end; p = stop + 1) {
                size_t n;

                stop = memchr(p, '\n', (size_t) (end - p));
                if (!stop)
                        break;
                n = (size_t) (stop - p);
                if (n >= sizeof(line) || memchr(p, '\0', n))
                        continue;
                memcpy(line, p, n);
                line[n] = '\0';
                read_line(r, line, now);
        }
        clock_is_back(r, now);
        drop_old(r, now);
}

static int read_file(SmsReports *r, int64_t now) {
        _cleanup_(closep) int file = -1;
        _cleanup_(freep) char *data = NULL;
        struct stat st;
        off_t start;
        ssize_t n;

        file = openat(r->directory, file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (file < 0)
                return errno == ENOENT ? 0 : -errno;
        r->has_past = true;
        if (fstat(file, &st) < 0)
                return -errno;
        start = st.st_size > FILE_BYTES_MAX ? st.st_size - FILE_BYTES_MAX : 0;
        data = malloc(FILE_BYTES_MAX);
        if (!data)
                return -ENOMEM;
        for (size_t size = 0;; size += (size_t) n) {
                n = pread(file, data + size, FILE_BYTES_MAX - size, start + (off_t) size);
                if (n < 0)
                        return -errno;
                if (n == 0) {
                        sms_reports_read(r, data, size, now);
                        return 0;
                }
        }
}

int sms_reports_open(SmsReports *r, const char *directory, int64_t now) {
        int result;

        assert(r && directory && r->directory < 0);

        r->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (r->directory < 0)
                return -errno;
        result = read_file(r, now);
        if (result == 0)
                result = tidy(r);
        if (result < 0)
                r->directory = close_fd(r->directory);
        return result;
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

int sms_reports_add(SmsReports *r,
                const char *message,
                int64_t repeat,
                const char *const *ids,
                size_t n_parts,
                int64_t now) {
        Record *record;
        int result;

        assert(r && message && sms_reports_is_message(message));
        assert(n_parts >= 1 && n_parts <= PARTS_MAX);
        assert(repeat >= 0 && repeat <= SMS_REPORTS_REPEAT_MAX);

        result = record_new(message, repeat, ids, n_parts, now, &record);
        if (result < 0)
                return result;
        record->doubt_until = now + SMS_REPORTS_DOUBT_SECONDS;
        clock_is_back(r, now);
        clock_is_ahead(r, now);
        result = append(r, r->line, put_taken(record, r->line));
        record_insert(r, record);
        drop_old(r, now);
        tidy_if_due(r);
        return result;
}

bool sms_reports_in_doubt(const SmsReports *r, const char *message, int64_t repeat, int64_t now) {
        const Record *record = record_find(r, message);

        return record && record->repeat == repeat && now < record->doubt_until;
}

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
                int64_t *ret_repeat) {
        const Record *record = record_find(r, message);

        *ret = NULL;
        *ret_n = 0;
        if (!record || record->ended || has_arrived(record))
                return false;
        *ret_repeat = record->repeat;
        if (!record->parts[0].id)
                return true;
        *ret = calloc(record->n_parts, sizeof(**ret));
        if (!*ret)
                return false;
        for (size_t i = 0; i < record->n_parts; i++)
                (*ret)[(*ret_n)++] = record->parts[i].id;
        return true;
}

static Record *record_of_repeat(const SmsReports *r, const char *message, int64_t repeat) {
        Record *record = record_find(r, message);

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
        (void) append_word(r, "d", message);
        record_end(r, record, now);
        clock_is_back(r, now);
        drop_old(r, now);
        tidy_if_due(r);
}

/* --- Reports --- */

/* What is known of a part that a carrier speaks of. */
typedef enum Known {
        KNOWN_OPEN,    /* nothing */
        KNOWN_DECIDED, /* a report about it is with the gateway */
        KNOWN_PAST,    /* all that there is to say: it was said before */
} Known;

static Known known_of(const Key *key) {
        const Part *part = &key->record->parts[key->part];

        if (key->record->ended || part->delivered)
                return KNOWN_PAST;
        return part->decided ? KNOWN_DECIDED : KNOWN_OPEN;
}

/* The very id comes before one that is the same number in another base. */
static const Key *key_find(const SmsReports *r, const char *id, Known known) {
        char keys[KEYS_MAX][SMPP_ID_SIZE];
        unsigned n = smpp_id_keys(id, keys);
        const Key *key, *equal = NULL;

        for (unsigned k = 0; k < n; k++)
                LIST_FOREACH(key, &r->keys[bucket_of(r, keys[k])], entry) {
                        const char *found = key->record->parts[key->part].id;

                        if (!streq(key->text, keys[k]) || known_of(key) != known)
                                continue;
                        if (streq(found, id))
                                return key;
                        if (!equal && smpp_id_equal(found, id))
                                equal = key;
                }
        return equal;
}

/* The part that a carrier means: one of which nothing was reported yet, if there is one of that id.
 */
static bool part_find(
                SmsReports *r, const char *id, bool also_past, Record **ret, unsigned *ret_part) {
        const Key *key = key_find(r, id, KNOWN_OPEN);

        if (!key)
                key = key_find(r, id, KNOWN_DECIDED);
        if (!key && also_past)
                key = key_find(r, id, KNOWN_PAST);
        if (!key)
                return false;
        *ret = key->record;
        *ret_part = key->part;
        return true;
}

static bool report_find(SmsReports *r,
                const SmsReport *report,
                bool also_past,
                Record **ret,
                unsigned *ret_part) {
        if (report->id)
                return part_find(r, report->id, also_past, ret, ret_part);
        *ret = report->message ? record_find(r, report->message) : NULL;
        *ret_part = report->segment;
        return *ret && *ret_part < (*ret)->n_parts && report->repeat <= (*ret)->repeat;
}

/* What became of a former repetition says nothing against the present one. */
static bool is_of_use(const SmsReport *report, const Record *record) {
        return report->id || report->repeat == record->repeat ||
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
static SmsVerdict note_part(SmsReports *r, Record *record, unsigned part) {
        char word[32];

        (void) snprintf(word, sizeof(word), "s %u", part);
        if (append_word(r, word, record->message) < 0)
                return SMS_VERDICT_LATER;
        record->parts[part].delivered = true;
        tidy_if_due(r);
        return SMS_VERDICT_NOTHING;
}

static SmsVerdict judge(SmsReports *r, Record *record, unsigned part, SmppOutcome outcome) {
        if (record->ended || record->parts[part].delivered)
                return SMS_VERDICT_NOTHING;
        if (outcome == SMPP_OUTCOME_DELIVERED && !others_are_delivered(record, part))
                return note_part(r, record, part);
        record->parts[part].decided = true;
        return outcome == SMPP_OUTCOME_DELIVERED ? SMS_VERDICT_DELIVERED : SMS_VERDICT_FAILED;
}

static void held_drop(SmsReports *r, Held *held) {
        TAILQ_REMOVE(&r->held, held, entry);
        r->n_held--;
        free(held);
}

static bool is_same_report(const Held *held, const SmsReport *report) {
        return report->id ? streq(held->id, report->id)
                          : !held->id[0] && held->segment == report->segment &&
                                               held->repeat == report->repeat &&
                                               streq(held->message, report->message);
}

static bool is_within_match(uint64_t since, uint64_t boot) {
        return boot - since <= SMS_REPORTS_MATCH_SECONDS * UINT64_C(1000000);
}

static bool may_match(const Held *held, uint64_t boot) {
        return is_within_match(held->since, boot);
}

/* The last one comes to the end, so that those whose carriers wait are in the order of due. */
static void held_wait(SmsReports *r, Held *held, uint64_t token, uint64_t boot) {
        TAILQ_REMOVE(&r->held, held, entry);
        held->token = token;
        held->due = boot + SMS_REPORTS_HOLD_SECONDS * UINT64_C(1000000);
        TAILQ_INSERT_TAIL(&r->held, held, entry);
}

static Held *held_new(SmsReports *r, const SmsReport *report, uint64_t boot) {
        Held *held = TAILQ_FIRST(&r->held);

        if (r->n_held == SMS_REPORTS_HELD_MAX) {
                if (held->token != 0)
                        return NULL;
                held_drop(r, held);
        }
        held = calloc(1, sizeof(*held));
        if (!held)
                return NULL;
        held->segment = report->segment;
        held->repeat = report->repeat;
        held->since = boot;
        if (report->id)
                (void) snprintf(held->id, sizeof(held->id), "%s", report->id);
        else
                (void) snprintf(held->message, sizeof(held->message), "%s", report->message);
        TAILQ_INSERT_TAIL(&r->held, held, entry);
        r->n_held++;
        return held;
}

/* What was held for its time and comes again is about no message of ours. What was not told for as
 * long is another report, of another message that got the same id. */
static SmsVerdict hold_report(
                SmsReports *r, const SmsReport *report, uint64_t boot, SmsVerdictOn *ret) {
        Held *held;

        TAILQ_FOREACH(held, &r->held, entry)
        if (is_same_report(held, report))
                break;
        if (held && !is_within_match(held->seen, boot)) {
                held_drop(r, held);
                held = NULL;
        }
        if (held && !may_match(held, boot)) {
                ret->token = held->token;
                held_drop(r, held);
                return SMS_VERDICT_NOTHING;
        }
        if (!held)
                held = held_new(r, report, boot);
        if (!held)
                return SMS_VERDICT_LATER;
        held->seen = boot;
        if (held->was_handed_back)
                return SMS_VERDICT_LATER;
        ret->token = held->token;
        held->outcome = report->outcome;
        text_word(report->error, held->error, sizeof(held->error));
        held_wait(r, held, report->token, boot);
        return SMS_VERDICT_HELD;
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
                return hold ? hold_report(r, report, boot, ret) : SMS_VERDICT_NOTHING;
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

                if (!may_match(held, boot))
                        continue;
                *ret_verdict = note(r, &report, false, false, boot, ret);
                if (!ret->message[0])
                        continue;
                ret->token = held->token;
                held_drop(r, held);
                return true;
        }
        return false;
}

static Held *held_first_due(const SmsReports *r) {
        Held *held;

        TAILQ_FOREACH(held, &r->held, entry)
        if (held->token != 0)
                return held;
        return NULL;
}

uint64_t sms_reports_due(const SmsReports *r) {
        const Held *held = held_first_due(r);

        return held ? held->due : UINT64_MAX;
}

bool sms_reports_hand_back(SmsReports *r, uint64_t boot, uint64_t *ret_token) {
        Held *held = held_first_due(r);

        if (!held || held->due > boot)
                return false;
        *ret_token = held->token;
        held->token = 0;
        held->was_handed_back = true;
        return true;
}

size_t sms_reports_count(const SmsReports *r) {
        return r->n_waited;
}

size_t sms_reports_ended(const SmsReports *r) {
        return r->n_ended;
}

size_t sms_reports_held(const SmsReports *r) {
        return r->n_held;
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
                held_drop(r, TAILQ_FIRST(&r->held));
        (void) close_fd(r->file);
        (void) close_fd(r->directory);
        free(r);
        return NULL;
}
