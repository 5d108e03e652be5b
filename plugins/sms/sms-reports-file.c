/* The file of carriers' ids: lines that are appended as things happen, read at the start, and
 * written anew when most of them are of no use any more. What they say: sms-reports.h. */
#include "sms-reports-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

enum {
        FILE_BYTES_MAX = 32 * 1024 * 1024, /* what is before is old */
        LINES_SPARE = 4096,
        WORD_LINE_MAX = 2 * SMS_MESSAGE_SIZE + 64,
        LOCK_TRIES = 50, /* a tenth of a second apart */
};

static const char file_name[] = "reports", new_name[] = "reports.new";

/* --- Lines --- */

/* Two of these are no id, whatever stands before them. */
#define EMPTY_ID "%"
#define SPOILER "%%"

static size_t put_id(const char *id, char *ret) {
        size_t n = 0;

        if (!*id) /* some centres answer without one */
                ret[n++] = EMPTY_ID[0];
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

/* MESSAGE, MESSAGE/REPEAT, or MESSAGE/REPEAT/TOLD. */
static size_t put_message(const Record *record, char *ret) {
        size_t n = (size_t) (stpcpy(ret, record->message) - ret);

        if (record->repeat > 0) {
                ret[n++] = '/';
                n += put_number(record->repeat, ret + n);
        }
        if (record->told != record->repeat) {
                ret[n++] = '/';
                n += put_number(record->told, ret + n);
        }
        return n;
}

/* Of each message, and so without printf(). */
static size_t put_taken(const Record *record, char ret[SMS_REPORTS_LINE_MAX]) {
        size_t n = 0;

        ret[n++] = 't';
        ret[n++] = ' ';
        n += put_number(record->taken, ret + n);
        ret[n++] = ' ';
        n += put_number((int64_t) record->n_parts, ret + n);
        ret[n++] = ' ';
        n += put_message(record, ret + n);
        for (size_t i = 0; i < record->n_parts && record->parts[i].id; i++) {
                ret[n++] = ' ';
                n += put_id(record->parts[i].id, ret + n);
        }
        ret[n++] = '\n';
        if (record->has_copies)
                n += (size_t) sprintf(ret + n, "c %s\n", record->message);
        return n;
}

static size_t put_part_taken(const Record *record, size_t part, char ret[SMS_REPORTS_LINE_MAX]) {
        size_t n = (size_t) sprintf(ret,
                        "p %" PRId64 " %" PRIu32 " %zu %zu ",
                        record->taken,
                        record->way,
                        part,
                        record->n_parts);

        n += put_message(record, ret + n);
        if (record->parts[part].id) {
                ret[n++] = ' ';
                n += put_id(record->parts[part].id, ret + n);
        }
        ret[n++] = '\n';
        return n;
}

/* A word, a number where it is not negative, and which record it is about. */
static size_t put_word(char word, int64_t number, const Record *record, char ret[WORD_LINE_MAX]) {
        size_t n = 0;

        ret[n++] = word;
        ret[n++] = ' ';
        if (number >= 0) {
                n += put_number(number, ret + n);
                ret[n++] = ' ';
        }
        n += put_message(record, ret + n);
        ret[n++] = '\n';
        return n;
}

static size_t put_base(const SmsReports *r, Base base, char ret[WORD_LINE_MAX]) {
        return (size_t) sprintf(ret, "b %" PRIu32 " %d\n", r->way, (int) base);
}

/* --- Appending --- */

/* What there is goes on where no new one could be written. What a killed process or a full disk
 * left half written at its end is made one that says nothing. */
static int open_old(SmsReports *r) {
        r->file = openat(r->directory,
                        file_name,
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                        0600);
        if (r->file < 0)
                return -errno;
        r->is_spoiled = true;
        return 0;
}

/* All of it, or none. */
static int append_whole(SmsReports *r, const char *line, size_t size) {
        ssize_t n = write(r->file, line, size);
        off_t end;

        if (n == (ssize_t) size)
                return 0;
        if (n < 0)
                return -errno;
        end = lseek(r->file, 0, SEEK_CUR);
        r->is_spoiled = end < n || ftruncate(r->file, end - n) < 0;
        return -ENOSPC;
}

static int append(SmsReports *r, const char *line, size_t size) {
        static const char spoiler[] = SPOILER "\n";
        int result = 0;

        if (r->directory < 0)
                return 0;
        if (r->file < 0)
                result = open_old(r);
        if (result == 0 && r->is_spoiled) {
                result = append_whole(r, spoiler, strlen(spoiler));
                r->is_spoiled = result < 0;
        }
        if (result == 0)
                result = append_whole(r, line, size);
        if (result == 0)
                r->n_lines++;
        return result;
}

static int append_word(SmsReports *r, char word, int64_t number, const Record *record) {
        char line[WORD_LINE_MAX];

        return append(r, line, put_word(word, number, record, line));
}

int reports_file_taken(SmsReports *r, const Record *record) {
        return append(r, r->line, put_taken(record, r->line));
}

int reports_file_part_taken(SmsReports *r, const Record *record, size_t part) {
        return append(r, r->line, put_part_taken(record, part, r->line));
}

int reports_file_part_delivered(SmsReports *r, const Record *record, size_t part) {
        return append_word(r, record->is_partial ? 'q' : 's', (int64_t) part, record);
}

int reports_file_failed(SmsReports *r, const Record *record) {
        return append_word(r, 'x', record->failure, record);
}

int reports_file_ended(SmsReports *r, const Record *record) {
        return append_word(r, 'd', -1, record);
}

int reports_file_base(SmsReports *r, Base base) {
        char line[WORD_LINE_MAX];

        return append(r, line, put_base(r, base, line));
}

int reports_file_record(SmsReports *r, Record *record) {
        int result = 0;

        if (record->is_written)
                return 0;
        if (!record->is_partial)
                result = reports_file_taken(r, record);
        for (size_t i = 0; record->is_partial && result == 0 && i < record->n_parts; i++)
                if (record->parts[i].is_taken)
                        result = reports_file_part_taken(r, record, i);
        record->is_written = result == 0;
        return result;
}

/* --- Tidying --- */

static void write_line(SmsReports *r, FILE *file, const char *line, size_t size) {
        (void) fwrite(line, 1, size, file);
        r->n_lines++;
}

static void write_record(SmsReports *r, FILE *file, const Record *record) {
        char line[WORD_LINE_MAX];

        if (!record->is_partial)
                write_line(r, file, r->line, put_taken(record, r->line));
        for (size_t i = 0; i < record->n_parts; i++) {
                const Part *part = &record->parts[i];

                if (record->is_partial && part->is_taken)
                        write_line(r, file, r->line, put_part_taken(record, i, r->line));
                if (part->delivered)
                        write_line(r,
                                        file,
                                        line,
                                        put_word(record->is_partial ? 'q' : 's',
                                                        (int64_t) i,
                                                        record,
                                                        line));
        }
        if (record->failure != SMPP_OUTCOME_UNKNOWN)
                write_line(r, file, line, put_word('x', record->failure, record, line));
        if (record->ended)
                write_line(r, file, line, put_word('d', -1, record, line));
}

/* What is partial comes behind: a line about a message is about the newest line's. */
static void write_records(SmsReports *r, FILE *file) {
        char line[WORD_LINE_MAX];
        const Record *record;

        if (r->n_agreed >= SMS_REPORTS_SURE_AFTER)
                write_line(r, file, line, put_base(r, r->base, line));
        TAILQ_FOREACH(record, &r->waited, entry)
        if (!record->is_partial)
                write_record(r, file, record);
        TAILQ_FOREACH(record, &r->ended, entry)
        write_record(r, file, record);
        TAILQ_FOREACH(record, &r->waited, entry)
        if (record->is_partial)
                write_record(r, file, record);
}

static int write_all(SmsReports *r, int fd) {
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
        write_records(r, file);
        errno = 0;
        if (fflush(file) != 0 || ferror(file) || fdatasync(fd) < 0)
                result = errno > 0 ? -errno : -EIO;
        return fclose(file) == 0 ? result : -EIO;
}

/* Writes what is still of use into a new file, which takes the old one's place. */
static int tidy(SmsReports *r) {
        _cleanup_(closep) int file = -1;
        size_t n_lines = r->n_lines;
        Record *record;
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
        r->is_spoiled = false;
        r->n_lines_next = 2 * r->n_lines + LINES_SPARE;
        TAILQ_FOREACH(record, &r->waited, entry)
        record->is_written = true;
        return 0;
}

void reports_file_tidy_if_due(SmsReports *r) {
        if (r->directory >= 0 && r->n_lines > r->n_lines_next)
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

        if (streq(word, EMPTY_ID))
                *word = '\0';
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

/* Cuts the numbers off in place. */
static bool message_read(char *word, int64_t *ret_repeat, int64_t *ret_told) {
        char *slash = word ? strchr(word, '/') : NULL,
             *second = slash ? strchr(slash + 1, '/') : NULL;

        *ret_repeat = *ret_told = 0;
        if (second) {
                *second = '\0';
                if (!number_read(second + 1, SMS_REPORTS_REPEAT_MAX, ret_told))
                        return false;
        }
        if (slash) {
                *slash = '\0';
                if (!number_read(slash + 1, SMS_REPORTS_REPEAT_MAX, ret_repeat))
                        return false;
        }
        if (!second)
                *ret_told = *ret_repeat;
        return word && sms_reports_is_message(word);
}

static int read_ids(char *line, Record *record) {
        size_t n = 0;
        char *word;

        while ((word = word_next(&line))) {
                if (n == record->n_parts || !id_read(word) || strlen(word) >= SMPP_ID_SIZE)
                        return -EBADMSG;
                if (reports_part_set(record, n++, word) < 0)
                        return -ENOMEM;
        }
        return n == 0 || n == record->n_parts ? 0 : -EBADMSG;
}

static void read_taken(SmsReports *r, char *line, int64_t now) {
        _cleanup_(reports_record_freep) Record *record = NULL;
        int64_t taken, n_parts, repeat, told;
        char *message;

        if (!number_read(word_next(&line), INT64_MAX, &taken) ||
                        !number_read(word_next(&line), SMS_REPORTS_PARTS_MAX, &n_parts) ||
                        n_parts < 1)
                return;
        message = word_next(&line);
        if (!message_read(message, &repeat, &told) ||
                        reports_record_new(message, repeat, (size_t) n_parts, taken, &record) < 0 ||
                        read_ids(line, record) < 0)
                return;
        record->told = told;
        record->is_written = true;
        if (now - taken <= SMS_REPORTS_DOUBT_SECONDS)
                record->doubt_until = now + SMS_REPORTS_DOUBT_SECONDS;
        reports_record_insert(r, TAKE_PTR(record));
        reports_drop_excess(r);
}

/* The partial record of that form, which may have to be made. */
static Record *partial_of(SmsReports *r,
                const char *message,
                int64_t repeat,
                uint32_t way,
                size_t n_parts,
                int64_t taken) {
        Record *record = reports_find_partial(r, message);

        if (record && record->repeat == repeat && record->way == way && record->n_parts == n_parts)
                return record;
        if (reports_record_new(message, repeat, n_parts, taken, &record) < 0)
                return NULL;
        record->is_partial = true;
        record->way = way;
        reports_record_insert(r, record);
        return record;
}

static size_t parts_left(const Record *record) {
        size_t n = 0;

        for (size_t i = 0; i < record->n_parts; i++)
                n += !record->parts[i].is_taken;
        return n;
}

/* One that would be the last says nothing: the message's own line has not come. */
static void read_part_taken(SmsReports *r, char *line) {
        int64_t taken, way, part, n_parts, repeat, told;
        char *message, *id;
        Record *record;

        if (!number_read(word_next(&line), INT64_MAX, &taken) ||
                        !number_read(word_next(&line), UINT32_MAX, &way) ||
                        !number_read(word_next(&line), SMS_REPORTS_PARTS_MAX - 1, &part) ||
                        !number_read(word_next(&line), SMS_REPORTS_PARTS_MAX, &n_parts) ||
                        n_parts < 2 || part >= n_parts)
                return;
        message = word_next(&line);
        id = word_next(&line);
        if (!message_read(message, &repeat, &told) ||
                        (id && (!id_read(id) || strlen(id) >= SMPP_ID_SIZE)))
                return;
        record = partial_of(r, message, repeat, (uint32_t) way, (size_t) n_parts, taken);
        if (record && !record->parts[part].is_taken && parts_left(record) > 1)
                (void) reports_part_taken(r, record, (size_t) part, id);
        if (record)
                record->is_written = true;
        reports_drop_excess(r);
}

/* What is said of parts before all of them were taken, by the repetition too. */
static Record *record_of_line(SmsReports *r, char *word) {
        int64_t repeat, told;
        Record *record;

        if (!message_read(word, &repeat, &told))
                return NULL;
        record = reports_find_partial(r, word);
        if (record && record->repeat == repeat)
                return record;
        record = reports_find(r, word);
        return record && record->repeat == repeat ? record : NULL;
}

static void read_failed(SmsReports *r, char *line) {
        int64_t outcome;
        Record *record;

        if (!number_read(word_next(&line), SMPP_OUTCOME_REJECTED, &outcome) ||
                        outcome < SMPP_OUTCOME_FAILED)
                return;
        record = record_of_line(r, line);
        if (record)
                record->failure = (SmppOutcome) outcome;
}

/* Of a whole message; until there were partial ones, without its repetition. */
static void read_delivered(SmsReports *r, char kind, char *line) {
        int64_t part, repeat, told;
        Record *record;

        if (!number_read(word_next(&line), SMS_REPORTS_PARTS_MAX, &part))
                return;
        if (kind == 'q')
                record = record_of_line(r, line);
        else
                record = message_read(line, &repeat, &told) ? reports_find(r, line) : NULL;
        if (record && (size_t) part < record->n_parts && record->parts[part].is_taken)
                record->parts[part].delivered = true;
}

static void read_base(SmsReports *r, char *line) {
        int64_t way, base;

        if (!number_read(word_next(&line), UINT32_MAX, &way) || (uint32_t) way != r->way ||
                        !number_read(word_next(&line), BASE_MAX - 1, &base))
                return;
        r->base = (Base) base;
        r->n_agreed = base == BASE_UNKNOWN ? 0 : SMS_REPORTS_SURE_AFTER;
}

static void read_whole(SmsReports *r, char kind, char *line, int64_t now) {
        int64_t repeat, told;
        Record *record = message_read(line, &repeat, &told) ? reports_find(r, line) : NULL;

        if (record && kind == 'c')
                record->has_copies = true;
        else if (record)
                reports_record_end(r, record, now);
        reports_drop_excess(r);
}

static void read_line(SmsReports *r, char *line, int64_t now) {
        const char *kind = word_next(&line);

        if (!kind || kind[1] != '\0')
                return;
        switch (kind[0]) {
        case 't':
                read_taken(r, line, now);
                return;
        case 'p':
                read_part_taken(r, line);
                return;
        case 's':
        case 'q':
                read_delivered(r, kind[0], line);
                return;
        case 'x':
                read_failed(r, line);
                return;
        case 'b':
                read_base(r, line);
                return;
        case 'c':
        case 'd':
                read_whole(r, kind[0], line, now);
                return;
        default:
                return;
        }
}

void sms_reports_read(SmsReports *r, const char *data, size_t size, int64_t now) {
        char line[SMS_REPORTS_LINE_MAX];
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
        reports_drop_old(r, now);
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
                        const char *first = start > 0 ? memchr(data, '\n', size) : data;

                        if (first) /* what is cut there is no line */
                                sms_reports_read(r, first, size - (size_t) (first - data), now);
                        return 0;
                }
        }
}

/* Two processes would each tidy away what the other appends. A former one that is about to end is
 * waited for; the kernel takes the lock from whoever dies. */
static int lock(int directory) {
        static const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };

        for (unsigned i = 0; flock(directory, LOCK_EX | LOCK_NB) < 0; i++) {
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (i == LOCK_TRIES)
                        return -EBUSY;
                (void) nanosleep(&pause, NULL);
        }
        return 0;
}

static bool is_full(int error) {
        return error == -ENOSPC || error == -EDQUOT || error == -EFBIG || error == -EIO;
}

int sms_reports_open(SmsReports *r, const char *directory, int64_t now) {
        int result;

        assert(r && directory && r->directory < 0);

        r->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (r->directory < 0)
                return -errno;
        result = lock(r->directory);
        if (result == 0)
                result = read_file(r, now);
        if (result == 0)
                result = tidy(r);
        if (is_full(result)) /* there may be room later, and until then nothing is `sent` */
                result = 0;
        if (result < 0)
                r->directory = close_fd(r->directory);
        return result;
}
