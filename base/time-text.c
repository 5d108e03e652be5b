#include "time-text.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static const int64_t last_second = INT64_C(253402300799); /* 9999-12-31T23:59:59Z */

int64_t time_wall(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return ts.tv_sec;
}

uint64_t time_boot(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

void time_text(int64_t seconds, char ret[TIME_TEXT_SIZE]) {
        time_t t = (time_t) (seconds < 0 ? 0 : seconds > last_second ? last_second : seconds);
        struct tm tm;

        memset(&tm, 0, sizeof(tm));
        (void) gmtime_r(&t, &tm);
        (void) strftime(ret, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* Reads exactly n digits; -1 when there are fewer. */
static int digits(const char **p, int n) {
        int value = 0;

        for (int i = 0; i < n; i++, (*p)++) {
                if (**p < '0' || **p > '9')
                        return -1;
                value = value * 10 + (**p - '0');
        }
        return value;
}

static int zone_offset(const char *p, int *ret) {
        int sign, hours, minutes;

        if (strcmp(p, "Z") == 0 || strcmp(p, "z") == 0) {
                *ret = 0;
                return 0;
        }
        if (*p != '+' && *p != '-')
                return -EBADMSG;
        sign = *p++ == '+' ? 1 : -1;
        hours = digits(&p, 2);
        if (*p == ':')
                p++;
        minutes = digits(&p, 2);
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || *p)
                return -EBADMSG;
        *ret = sign * (hours * 3600 + minutes * 60);
        return 0;
}

int time_from_text(const char *text, int64_t *ret) {
        static const char separators[] = "--T::";
        static const int lengths[] = { 4, 2, 2, 2, 2, 2 };
        const char *p = text;
        struct tm tm = { 0 }, check;
        int part[6], offset, r;
        time_t t;

        for (int i = 0; i < 6; i++) {
                part[i] = digits(&p, lengths[i]);
                if (part[i] < 0)
                        return -EBADMSG;
                if (i < 5 && *p != separators[i] && !(i == 2 && *p == 't'))
                        return -EBADMSG;
                if (i < 5)
                        p++;
        }
        if (part[0] < 1970 || part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31 ||
                        part[3] > 23 || part[4] > 59 || part[5] > 60)
                return -EBADMSG;
        if (*p == '.') {
                p++;
                if (digits(&p, 1) < 0)
                        return -EBADMSG;
                while (*p >= '0' && *p <= '9')
                        p++;
        }
        r = zone_offset(p, &offset);
        if (r < 0)
                return r;

        tm.tm_year = part[0] - 1900;
        tm.tm_mon = part[1] - 1;
        tm.tm_mday = part[2];
        tm.tm_hour = part[3];
        tm.tm_min = part[4];
        tm.tm_sec = part[5] == 60 ? 59 : part[5];
        check = tm;
        t = timegm(&check);
        if (check.tm_mday != tm.tm_mday || check.tm_mon != tm.tm_mon) /* 30 February */
                return -EBADMSG;

        if (t < offset || t - offset > last_second)
                return -EBADMSG;

        *ret = (int64_t) t - offset;
        return 0;
}
