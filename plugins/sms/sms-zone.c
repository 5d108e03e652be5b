#include "sms-zone.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ZONE_SIZE = 64 };

static const char utc[] = "TZ=UTC0";

/* Lives in the environment, where its name never changes: a resolver's thread may be looking for
 * another variable at the same time, which setenv() would not allow. */
static char variable[ZONE_SIZE];

static bool is_known(const char *zone) {
        char path[ZONE_SIZE + 32];

        (void) snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", zone);
        return access(path, R_OK) == 0;
}

bool sms_zone_offset(void *context, const char *zone, int64_t seconds, int32_t *ret) {
        time_t moment = (time_t) seconds;
        bool good = false;
        struct tm local;

        (void) context;
        assert(zone && ret);

        if (strlen(zone) + 5 > sizeof(variable) || !is_known(zone))
                return false;
        if (!variable[0]) {
                memcpy(variable, utc, sizeof(utc));
                if (putenv(variable) != 0)
                        return false;
        }
        (void) snprintf(variable + 3, sizeof(variable) - 3, ":%s", zone);
        tzset();
        if (localtime_r(&moment, &local)) {
                *ret = (int32_t) local.tm_gmtoff;
                good = true;
        }
        memcpy(variable, utc, sizeof(utc));
        tzset();
        return good;
}
