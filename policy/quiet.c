/* Clocks on walls jump twice a year: a moment that is found by the offset of another is looked at
 * again with its own. */
#include "quiet.h"

#include <string.h>

enum {
        DAY = 24 * 3600,
        LOOKS_MAX = 4,
        NIGHTS_MAX = 400,
};

/* Two digits that are below max; -1 for anything else. */
static int two_digits(const char *text, int max) {
        int n;

        if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
                return -1;
        n = 10 * (text[0] - '0') + (text[1] - '0');
        return n < max ? n : -1;
}

static int clock_read(const char *text) {
        int hour = two_digits(text, 24), minute;

        if (hour < 0 || text[2] != ':')
                return -1;
        minute = two_digits(text + 3, 60);
        return minute < 0 ? -1 : 60 * hour + minute;
}

int quiet_read(const char *text, QuietHours *ret) {
        int from, until;

        if (strlen(text) != strlen("21:00-08:00") || text[5] != '-')
                return QUIET_E_FORM;
        from = clock_read(text);
        until = clock_read(text + 6);
        if (from < 0 || until < 0 || from == until)
                return QUIET_E_FORM;
        *ret = (QuietHours){ from, until };
        return 0;
}

/* The second of the day on the wall. */
static int64_t second_of_day(int64_t moment, const QuietZone *zone) {
        int64_t second = (moment + zone->offset(moment, zone->userdata)) % DAY;

        return second < 0 ? second + DAY : second;
}

bool quiet_is(const QuietHours *hours, int64_t moment, const QuietZone *zone) {
        int64_t second, from = 60 * (int64_t) hours->from, until = 60 * (int64_t) hours->until;

        if (from == until)
                return false;
        second = second_of_day(moment, zone);
        return from < until ? second >= from && second < until : second >= from || second < until;
}

/* The next moment at which the clock shows this minute; never the moment itself. */
static int64_t next_at(int minute, int64_t moment, const QuietZone *zone) {
        int64_t wait = (60 * (int64_t) minute - second_of_day(moment, zone) + DAY) % DAY;
        int64_t found = moment + (wait > 0 ? wait : DAY);
        int64_t corrected = found + zone->offset(moment, zone->userdata) -
                            zone->offset(found, zone->userdata);

        return corrected > moment ? corrected : found;
}

int64_t quiet_end(const QuietHours *hours, int64_t moment, const QuietZone *zone) {
        for (int i = 0; i < LOOKS_MAX && quiet_is(hours, moment, zone); i++)
                moment = next_at(hours->until, moment, zone);
        return moment;
}

int64_t quiet_after(
                const QuietHours *hours, int64_t moment, int64_t seconds, const QuietZone *zone) {
        if (hours->from == hours->until)
                return moment + seconds;
        for (int i = 0; i < NIGHTS_MAX; i++) {
                int64_t evening;

                moment = quiet_end(hours, moment, zone);
                evening = next_at(hours->from, moment, zone);
                if (seconds <= evening - moment)
                        break;
                seconds -= evening - moment;
                moment = evening;
        }
        return moment + seconds;
}
