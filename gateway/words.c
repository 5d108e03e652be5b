/* Numbers and moments as people say them. The zone is read from the machine's zone files without
 * touching the process's own TZ, which other threads may be reading. */
#include "words.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "cleanup.h"

enum {
        ZONE_FILE_MAX = 65536,
        ZONE_NAME_MAX = 64,
};

/* Replaces {name} in a form; what does not fit is cut at a character's start. */
typedef struct Hole {
        const char *name, *value;
} Hole;

static void fill(const char *form, const Hole *holes, size_t n_holes, char ret[WORDS_SIZE]) {
        size_t n = 0;

        while (*form && n < WORDS_SIZE - 1) {
                const Hole *hole = NULL;

                for (size_t i = 0; *form == '{' && i < n_holes; i++) {
                        size_t size = strlen(holes[i].name);

                        if (strncmp(form + 1, holes[i].name, size) == 0 && form[1 + size] == '}')
                                hole = &holes[i];
                }
                if (hole) {
                        for (const char *v = hole->value; *v && n < WORDS_SIZE - 1;)
                                ret[n++] = *v++;
                        form += strlen(hole->name) + 2;
                } else {
                        ret[n++] = *form++;
                }
        }
        if (n == WORDS_SIZE - 1)
                while (n > 0 && ((unsigned char) ret[n] & 0xc0) == 0x80)
                        n--;
        ret[n] = 0;
}

static void count(const TemplateSet *set,
                const char *locale,
                const char *key,
                uint64_t n,
                char ret[WORDS_SIZE]) {
        char number[24];

        (void) snprintf(number, sizeof(number), "%llu", (unsigned long long) n);
        fill(template_word(set, locale, key, n != 1), &(Hole){ "n", number }, 1, ret);
}

void words_duration(
                const TemplateSet *set, const char *locale, int64_t seconds, char ret[WORDS_SIZE]) {
        if (seconds >= 72 * 3600)
                count(set, locale, "days", (uint64_t) seconds / 86400, ret);
        else if (seconds >= 2 * 3600)
                count(set, locale, "hours", (uint64_t) seconds / 3600, ret);
        else
                count(set, locale, "minutes", seconds < 60 ? 1 : (uint64_t) seconds / 60, ret);
}

void words_tries(const TemplateSet *set, const char *locale, unsigned n, char ret[WORDS_SIZE]) {
        count(set, locale, "tries", n, ret);
}

const char *words_kind(const TemplateSet *set, const char *locale, const char *class_name) {
        char key[32];
        const char *word;

        (void) snprintf(key, sizeof(key), "kind-%s", class_name);
        word = template_word(set, locale, key, false);
        assert(word);
        return word;
}

const char *words_code(const TemplateSet *set, const char *locale, const char *format) {
        char key[32];
        const char *word;

        (void) snprintf(key, sizeof(key), "code-%s", format);
        word = template_word(set, locale, key, false);
        assert(word);
        return word;
}

const char *words_fact(const TemplateSet *set, const char *locale, const char *name) {
        char key[32];
        const char *word;

        (void) snprintf(key, sizeof(key), "fact-%s", name);
        word = template_word(set, locale, key, false);
        if (!word)
                word = template_word(set, locale, "fact-other", false);
        assert(word);
        return word;
}

static bool zone_name_is_valid(const char *zone) {
        size_t size = strlen(zone);

        if (size == 0 || size > ZONE_NAME_MAX || !isalpha((unsigned char) zone[0]) ||
                        strstr(zone, "//"))
                return false;
        for (size_t i = 0; i < size; i++)
                if (!isalnum((unsigned char) zone[i]) && !strchr("/_+-", zone[i]))
                        return false;
        return true;
}

/* The zone that was read last: most shares have the one before's. Kept while its file is the same.
 */
static struct {
        char name[ZONE_NAME_MAX + 1];
        dev_t device;
        ino_t inode;
        struct timespec changed;
        uint8_t data[ZONE_FILE_MAX];
        size_t size; /* 0: none */
} last_zone;

/* The zone's file, whole; borrowed until the next call. */
static int zone_read(const char *zone, const uint8_t **ret, size_t *ret_size) {
        _cleanup_(closep) int fd = -1;
        struct stat st;
        char path[128];
        ssize_t size;

        if (!zone_name_is_valid(zone))
                return -EINVAL;
        (void) snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", zone);
        if (stat(path, &st) < 0)
                return -errno;
        if (last_zone.size == 0 || !streq(last_zone.name, zone) || last_zone.device != st.st_dev ||
                        last_zone.inode != st.st_ino ||
                        memcmp(&last_zone.changed, &st.st_ctim, sizeof(st.st_ctim)) != 0) {
                last_zone.size = 0;
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
                if (fd < 0 || fstat(fd, &st) < 0)
                        return -errno;
                size = read(fd, last_zone.data, sizeof(last_zone.data));
                if (size < 0)
                        return -errno;
                (void) snprintf(last_zone.name, sizeof(last_zone.name), "%s", zone);
                last_zone.device = st.st_dev;
                last_zone.inode = st.st_ino;
                last_zone.changed = st.st_ctim;
                last_zone.size = (size_t) size;
        }
        *ret = last_zone.data;
        *ret_size = last_zone.size;
        return 0;
}

static uint32_t be32(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static int64_t be64(const uint8_t *p) {
        return (int64_t) ((uint64_t) be32(p) << 32 | be32(p + 4));
}

/* The parts of one data block of a TZif file, RFC 8536 section 3.2. */
typedef struct ZoneBlock {
        size_t n_times, n_types, n_chars, time_size;
        const uint8_t *times, *indexes, *types, *chars, *end;
} ZoneBlock;

enum { ZONE_HEADER_SIZE = 44 };

static int zone_block(const uint8_t *data, size_t size, size_t time_size, ZoneBlock *ret) {
        size_t n_isut, n_isstd, n_leap, total;

        if (size < ZONE_HEADER_SIZE || memcmp(data, "TZif", 4) != 0)
                return -EBADMSG;
        n_isut = be32(data + 20);
        n_isstd = be32(data + 24);
        n_leap = be32(data + 28);
        ret->n_times = be32(data + 32);
        ret->n_types = be32(data + 36);
        ret->n_chars = be32(data + 40);
        if (n_isut > size || n_isstd > size || n_leap > size || ret->n_times > size ||
                        ret->n_types > size || ret->n_chars > size || ret->n_types == 0)
                return -EBADMSG;
        total = ret->n_times * (time_size + 1) + ret->n_types * 6 + ret->n_chars +
                n_leap * (time_size + 4) + n_isstd + n_isut;
        if (total > size - ZONE_HEADER_SIZE)
                return -EBADMSG;
        ret->time_size = time_size;
        ret->times = data + ZONE_HEADER_SIZE;
        ret->indexes = ret->times + ret->n_times * time_size;
        ret->types = ret->indexes + ret->n_times;
        ret->chars = ret->types + ret->n_types * 6;
        ret->end = data + ZONE_HEADER_SIZE + total;
        return 0;
}

static int64_t zone_time(const ZoneBlock *block, size_t i) {
        return block->time_size == 8 ? be64(block->times + i * 8)
                                     : (int32_t) be32(block->times + i * 4);
}

int words_zone_offset(const uint8_t *data,
                size_t size,
                int64_t seconds,
                int32_t *ret_offset,
                char ret_abbreviation[8]) {
        size_t type = 0, low = 0, high, name, n;
        ZoneBlock block;
        int r;

        r = zone_block(data, size, 4, &block);
        if (r < 0)
                return r;
        if (data[4] >= '2') {
                r = zone_block(block.end, size - (size_t) (block.end - data), 8, &block);
                if (r < 0)
                        return r;
        }

        for (high = block.n_times; low < high;) { /* the number of transitions up to this moment */
                size_t middle = low + (high - low) / 2;

                if (zone_time(&block, middle) <= seconds)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low > 0)
                type = block.indexes[low - 1];
        if (type >= block.n_types)
                return -EBADMSG;
        *ret_offset = (int32_t) be32(block.types + type * 6);
        name = block.types[type * 6 + 5];
        if (*ret_offset < -26 * 3600 || *ret_offset > 26 * 3600 || name >= block.n_chars)
                return -EBADMSG;
        for (n = 0; n < 7 && name + n < block.n_chars && block.chars[name + n]; n++) {
                if (!isalnum(block.chars[name + n]) && !strchr("+-", block.chars[name + n]))
                        return -EBADMSG;
                ret_abbreviation[n] = (char) block.chars[name + n];
        }
        ret_abbreviation[n] = 0;
        return 0;
}

int32_t words_offset(const char *zone, int64_t seconds) {
        const uint8_t *data;
        char abbreviation[8];
        int32_t offset;
        size_t size;

        if (!zone || zone_read(zone, &data, &size) < 0 ||
                        words_zone_offset(data, size, seconds, &offset, abbreviation) < 0)
                return 0;
        return offset;
}

bool words_zone_is_known(const char *zone) {
        const uint8_t *data;
        char abbreviation[8];
        int32_t offset;
        size_t size;

        return zone_read(zone, &data, &size) == 0 &&
               words_zone_offset(data, size, 0, &offset, abbreviation) == 0;
}

/* The n-th word of a list of words. */
static void nth_word(const char *list, int n, char ret[32]) {
        for (; n > 0 && *list; n--) {
                list += strcspn(list, " ");
                list += strspn(list, " ");
        }
        (void) snprintf(ret, 32, "%.*s", (int) strcspn(list, " "), list);
}

void words_moment(const TemplateSet *set,
                const char *locale,
                int64_t seconds,
                const char *zone,
                char ret[WORDS_SIZE]) {
        char weekday[32], month[32], day[16], clock[32], abbreviation[8] = "UTC", shown[16];
        const uint8_t *data;
        struct tm tm = { 0 };
        int32_t offset = 0;
        time_t local;
        size_t size;

        if (!zone || zone_read(zone, &data, &size) < 0 ||
                        words_zone_offset(data, size, seconds, &offset, abbreviation) < 0) {
                offset = 0;
                (void) snprintf(abbreviation, sizeof(abbreviation), "UTC");
        }
        local = (time_t) (seconds + offset);
        (void) gmtime_r(&local, &tm);
        nth_word(template_word(set, locale, "weekdays", false), tm.tm_wday, weekday);
        nth_word(template_word(set, locale, "months", false), tm.tm_mon, month);
        (void) snprintf(day, sizeof(day), "%d", tm.tm_mday);
        (void) snprintf(clock, sizeof(clock), "%02d:%02d", tm.tm_hour, tm.tm_min);
        /* Zones without a name of their own are abbreviated +03. */
        (void) snprintf(shown,
                        sizeof(shown),
                        "%s%s",
                        strchr("+-", abbreviation[0]) ? "UTC" : "",
                        abbreviation);
        fill(template_word(set, locale, "moment", false),
                        (const Hole[]){ { "weekday", weekday },
                                        { "day", day },
                                        { "month", month },
                                        { "time", clock },
                                        { "zone", shown } },
                        5,
                        ret);
}

void words_left(const TemplateSet *set,
                const char *locale,
                int64_t now,
                int64_t deadline,
                const char *zone,
                char ret[WORDS_SIZE]) {
        char inner[WORDS_SIZE];

        if (zone && words_zone_is_known(zone)) {
                words_moment(set, locale, deadline, zone, inner);
                fill(template_word(set, locale, "left-moment", false),
                                &(Hole){ "moment", inner },
                                1,
                                ret);
        } else {
                words_duration(set, locale, deadline > now ? deadline - now : 0, inner);
                fill(template_word(set, locale, "left-duration", false),
                                &(Hole){ "left", inner },
                                1,
                                ret);
        }
}
