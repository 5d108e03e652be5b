/* Limits. A window is a ring of its whole slots and one more; a slot's place is its number modulo
 * the ring's length, so that ageing is clearing what was passed over. */
#include "limit-rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        HOUR = 3600,
        DAY = 24 * HOUR,
        WEEK = 7 * DAY,
        FORMAT = 1,          /* of the stored bytes */
        YOUNG_SLOTS = 2,     /* of LIMIT_ROUTE_SENT: the one that is filling, and half an hour */
        COUNT_BYTES = 5,     /* of one count, at most */
        BUSY_HOURS_MIN = 24, /* so many must be known before an hour is usual */
};

/* --- the numbers -------------------------------------------------------------------------------
 */

enum {
        MANY = 100 * 1000 * 1000, /* as good as no limit, for who must do without */
};

/* clang-format off */
static const LimitDescription descriptions[_LIMIT_NUMBER_MAX] = {
        [LIMIT_SHARES_PER_RECIPIENT_10MIN]   = { "shares_per_recipient_10min", 3, 1, MANY, 0,
                "a tenant may start # shares for one recipient within ten minutes" },
        [LIMIT_SHARES_PER_RECIPIENT_HOUR]    = { "shares_per_recipient_hour", 5, 1, MANY, 0,
                "a tenant may start # shares for one recipient within an hour" },
        [LIMIT_SHARES_PER_RECIPIENT_DAY]     = { "shares_per_recipient_day", 10, 1, MANY, 0,
                "a tenant may start # shares for one recipient within a day" },
        [LIMIT_SHARES_PER_MINUTE]            = { "shares_per_minute", 60, 1, 1000 * 1000, 0,
                "a tenant may start # shares a minute on average" },
        [LIMIT_SHARES_BURST]                 = { "shares_burst", 120, 1, 1000 * 1000, 0,
                "a tenant may start # shares at once" },
        [LIMIT_SHARES_PER_DAY]               = { "shares_per_day", 2000, 1, MANY, 0,
                "a tenant may start # shares within a day" },
        [LIMIT_WRONG_PER_RECIPIENT]          = { "wrong_per_recipient", 9, 1, 100, 66,
                "after # wrong answers within a day a recipient gets no new share of the tenant" },
        [LIMIT_WRONG_PER_SOURCE]             = { "wrong_per_source", 20, 1, 200, 50,
                "after # wrong answers of one address within a day its answers to the tenant are dropped" },
        [LIMIT_WRONG_PER_TENANT]             = { "wrong_per_tenant", 100, 1, 1000, 20,
                "after # wrong answers within a day, or the next number, a tenant is in safe mode" },
        [LIMIT_WRONG_PER_TENANT_PERCENT]     = { "wrong_per_tenant_percent", 20, 1, 50, 25,
                "after wrong answers to # % of its shares of a day, or the number before, a tenant is in safe mode" },
        [LIMIT_WRONG_PER_CHANNEL]            = { "wrong_per_channel", 2000, 1, 2500, 25,
                "after # wrong answers over a channel within a day its new codes are X8" },
        /* D9 has 10^8 codes, and 0.01 wrongful confirmations a year allow 2,739 a day. */
        [LIMIT_WRONG_IN_ALL]                 = { "wrong_in_all", 2500, 1, 2700, 40,
                "after # wrong answers in all within a day new codes are X8" },
        [LIMIT_MESSAGES_PER_RECIPIENT_10MIN] = { "messages_per_recipient_10min", 3, 1, MANY, 0,
                "a recipient gets # invitations of all tenants within ten minutes before more of them wait" },
        [LIMIT_MESSAGES_PER_RECIPIENT_HOUR]  = { "messages_per_recipient_hour", 5, 1, MANY, 0,
                "a recipient gets # invitations of all tenants within an hour before more of them wait" },
        [LIMIT_MESSAGES_PER_RECIPIENT_DAY]   = { "messages_per_recipient_day", 10, 1, MANY, 0,
                "a recipient gets # invitations of all tenants within a day before more of them wait" },
        [LIMIT_MESSAGES_PER_PREFIX_HOUR]     = { "messages_per_prefix_hour", 20, 1, MANY, 0,
                "ten thousand neighbouring numbers get # SMS within an hour before more of them wait" },
        [LIMIT_MESSAGES_PER_PREFIX_DAY]      = { "messages_per_prefix_day", 100, 1, MANY, 0,
                "ten thousand neighbouring numbers get # SMS within a day before more of them wait" },
        [LIMIT_MESSAGES_PER_COUNTRY]         = { "messages_per_country", 500, 1, MANY, 0,
                "a tenant sends # SMS to one country within a day; more of them wait" },
        [LIMIT_MESSAGES_PER_DOMAIN_HOUR]     = { "messages_per_domain_hour", 200, 1, MANY, 0,
                "a domain gets # mails within an hour before more of them wait" },
        [LIMIT_SURGE_FACTOR]                 = { "surge_factor", 5, 2, 1000, 0,
                "more than # times the messages of a usual hour is an alarm, and makes a channel wait" },
        [LIMIT_SURGE_FROM]                   = { "surge_from", 200, 1, MANY, 0,
                "fewer than # messages in an hour are never too many for a channel" },
        [LIMIT_RESEND_FIRST]                 = { "resend_first", 60, 0, 3600, 0,
                "a message may be sent again after # seconds" },
        [LIMIT_RESEND_SECOND]                = { "resend_second", 300, 0, 3600, 0,
                "and once more # seconds after that, and then no more" },
        [LIMIT_ANSWERS_PER_HOUR]             = { "answers_per_hour", 5, 1, 1000, 0,
                "who answers is written back to # times within an hour for each tenant" },
        [LIMIT_ANSWERS_PER_DAY]              = { "answers_per_day", 10, 1, 1000, 0,
                "who answers is written back to # times within a day for each tenant" },
        [LIMIT_PREFIX_BREAKER_SENT]          = { "prefix_breaker_sent", 30, 1, MANY, 0,
                "# SMS to ten thousand neighbouring numbers within a day are enough to judge by" },
        [LIMIT_PREFIX_BREAKER_PERCENT]       = { "prefix_breaker_percent", 10, 1, 100, 0,
                "if fewer than # % of them are answered, the tenant's next ones wait for a day" },
        [LIMIT_COUNTRY_BREAKER_SENT]         = { "country_breaker_sent", 200, 1, MANY, 0,
                "# SMS to one country within a day are enough to judge by" },
        [LIMIT_COUNTRY_BREAKER_PERCENT]      = { "country_breaker_percent", 20, 1, 100, 0,
                "if fewer than # % of them are answered, the tenant's next ones wait for a day" },
        [LIMIT_DOMAIN_BREAKER_SENT]          = { "domain_breaker_sent", 20, 1, MANY, 0,
                "# mails of a tenant to one domain within an hour are enough to judge by" },
        [LIMIT_DOMAIN_BREAKER_PERCENT]       = { "domain_breaker_percent", 5, 1, 100, 0,
                "while more than # % of them have come back, the tenant's next ones wait" },
};
/* clang-format on */

const LimitDescription *limits_describe(LimitNumber number) {
        return number < _LIMIT_NUMBER_MAX ? &descriptions[number] : NULL;
}

void limits_default(LimitRules *ret) {
        for (int i = 0; i < _LIMIT_NUMBER_MAX; i++)
                ret->number[i] = descriptions[i].usual;
}

int limits_check(const LimitRules *rules, char ret_problem[LIMITS_PROBLEM_SIZE]) {
        static const LimitNumber pairs[][2] = {
                { LIMIT_SHARES_PER_RECIPIENT_10MIN, LIMIT_SHARES_PER_RECIPIENT_HOUR },
                { LIMIT_SHARES_PER_RECIPIENT_HOUR, LIMIT_SHARES_PER_RECIPIENT_DAY },
                { LIMIT_MESSAGES_PER_RECIPIENT_10MIN, LIMIT_MESSAGES_PER_RECIPIENT_HOUR },
                { LIMIT_MESSAGES_PER_RECIPIENT_HOUR, LIMIT_MESSAGES_PER_RECIPIENT_DAY },
                { LIMIT_MESSAGES_PER_PREFIX_HOUR, LIMIT_MESSAGES_PER_PREFIX_DAY },
                { LIMIT_ANSWERS_PER_HOUR, LIMIT_ANSWERS_PER_DAY },
                { LIMIT_WRONG_PER_CHANNEL, LIMIT_WRONG_IN_ALL },
                { LIMIT_SHARES_PER_RECIPIENT_DAY, LIMIT_SHARES_PER_DAY },
        };

        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                const LimitNumber *p = pairs[i];

                if (rules->number[p[0]] <= rules->number[p[1]])
                        continue;
                (void) snprintf(ret_problem,
                                LIMITS_PROBLEM_SIZE,
                                "%s = %u is never reached, as %s is %u",
                                descriptions[p[0]].key,
                                rules->number[p[0]],
                                descriptions[p[1]].key,
                                rules->number[p[1]]);
                return 1;
        }
        return 0;
}

uint32_t limits_soft(const LimitRules *rules, LimitNumber number) {
        return (uint32_t) (((uint64_t) rules->number[number] * descriptions[number].soft + 99) /
                           100);
}

uint32_t limits_wrong_of_tenant(const LimitRules *rules, uint32_t shares, bool soft) {
        uint32_t percent = soft ? limits_soft(rules, LIMIT_WRONG_PER_TENANT_PERCENT)
                                : rules->number[LIMIT_WRONG_PER_TENANT_PERCENT];
        uint32_t least = soft ? limits_soft(rules, LIMIT_WRONG_PER_TENANT)
                              : rules->number[LIMIT_WRONG_PER_TENANT];
        uint64_t part = (uint64_t) shares * percent / 100;

        return part > UINT32_MAX ? UINT32_MAX : part > least ? (uint32_t) part : least;
}

/* --- records -----------------------------------------------------------------------------------
 */

typedef struct Window {
        int seconds, slots; /* whole ones; the ring has one more */
} Window;

static const struct {
        int n_numbers;
        Window windows[LIMITS_WINDOWS_MAX];
} shapes[_LIMIT_KIND_MAX] = {
        [LIMIT_PAIR] = { 2,
                        { { 600, 12 },
                                        { HOUR, 12 },
                                        { DAY, 24 },
                                        { DAY, 24 },
                                        { HOUR, 12 },
                                        { DAY, 24 } } },
        [LIMIT_TENANT] = { 1, { { DAY, 24 }, { DAY, 24 }, { DAY, 24 } } },
        [LIMIT_PERSON] = { 0, { { 600, 12 }, { HOUR, 12 }, { DAY, 24 } } },
        [LIMIT_ROUTE] = { 1, { { HOUR, 12 }, { DAY, 48 }, { DAY, 48 } } },
        [LIMIT_DOMAIN] = { 0, { { HOUR, 12 }, { HOUR, 12 } } },
        [LIMIT_CHANNEL] = { 0, { { DAY, 24 }, { WEEK, 168 } } },
        [LIMIT_FLEET] = { 0, { { DAY, 24 } } },
        [LIMIT_SOURCE] = { 0, { { DAY, 24 } } },
};

enum { LOCKS, LOCKED_AT }; /* the numbers of LIMIT_PAIR */
enum { PACE };             /* of LIMIT_TENANT: when the burst is whole again, microseconds */
enum { STOPPED_UNTIL };    /* of LIMIT_ROUTE */

static const Window *window_of(const LimitRecord *record, int window) {
        return &shapes[record->kind].windows[window];
}

static bool has_window(LimitKind kind, int window) {
        return window < LIMITS_WINDOWS_MAX && shapes[kind].windows[window].slots > 0;
}

static int ring_size(const Window *w) {
        return w->slots + 1;
}

static uint32_t *ring_of(LimitRecord *record, int window) {
        uint32_t *ring = record->counts;

        for (int i = 0; i < window; i++)
                ring += ring_size(window_of(record, i));
        return ring;
}

static int64_t slot_at(const Window *w, int64_t now) {
        return now / (w->seconds / w->slots);
}

static size_t place(const Window *w, int64_t slot) {
        return (size_t) (slot % ring_size(w));
}

void limits_init(LimitRecord *ret, LimitKind kind) {
        *ret = (LimitRecord){ .kind = kind };
}

/* Clears what was passed over; a ring that is ahead is turned back as a whole, its newest slot to
 * the present. */
static bool age_window(LimitRecord *record, int window, int64_t now) {
        const Window *w = window_of(record, window);
        uint32_t *ring = ring_of(record, window), moved[LIMITS_COUNTS_MAX];
        int64_t slot = slot_at(w, now), newest = record->newest[window];
        int size = ring_size(w);

        record->newest[window] = slot;
        if (newest > slot) {
                for (int i = 0; i < size; i++)
                        moved[place(w, slot + size - i)] = ring[place(w, newest + size - i)];
                memcpy(ring, moved, (size_t) size * sizeof(*ring));
                return true;
        }
        if (slot - newest >= size)
                memset(ring, 0, (size_t) size * sizeof(*ring));
        else
                for (int64_t i = newest + 1; i <= slot; i++)
                        ring[place(w, i)] = 0;
        return false;
}

bool limits_age(LimitRecord *record, int64_t now) {
        bool moved = false;

        for (int i = 0; has_window(record->kind, i); i++)
                moved |= age_window(record, i, now);
        if (record->kind == LIMIT_PAIR && record->number[LOCKED_AT] > now) {
                record->number[LOCKED_AT] = now;
                moved = true;
        }
        if (record->kind == LIMIT_ROUTE &&
                        record->number[STOPPED_UNTIL] > now + LIMITS_STOP_SECONDS) {
                record->number[STOPPED_UNTIL] = now + LIMITS_STOP_SECONDS;
                moved = true;
        }
        return moved;
}

/* How many slots old a slot's count is that still counts, from the one that is filling. A record
 * that is ahead counts whole. */
static uint64_t sum(const LimitRecord *record, int window, int n_left_out, int64_t now) {
        const Window *w = window_of(record, window);
        const uint32_t *ring = ring_of((LimitRecord *) record, window);
        int64_t newest = record->newest[window], slot = slot_at(w, now), age;
        uint64_t total = 0;

        age = slot > newest ? slot - newest : 0;
        for (int64_t i = n_left_out > age ? n_left_out - age : 0; i + age <= w->slots; i++)
                total += ring[place(w, newest + ring_size(w) - i)];
        return total;
}

static uint32_t at_most(uint64_t n) {
        return n > UINT32_MAX ? UINT32_MAX : (uint32_t) n;
}

uint32_t limits_count(const LimitRecord *record, int window, int64_t now) {
        return at_most(sum(record, window, 0, now));
}

uint32_t limits_count_old(const LimitRecord *record, int window, int n_left_out, int64_t now) {
        return at_most(sum(record, window, n_left_out, now));
}

void limits_add(LimitRecord *record, int window, uint32_t n, int64_t now) {
        const Window *w = window_of(record, window);
        uint32_t *count;

        (void) age_window(record, window, now);
        count = &ring_of(record, window)[place(w, record->newest[window])];
        *count = at_most((uint64_t) *count + n);
}

int64_t limits_wait(
                const LimitRecord *record, int window, uint32_t limit, uint32_t n, int64_t now) {
        const Window *w = window_of(record, window);
        const uint32_t *ring = ring_of((LimitRecord *) record, window);
        int64_t width = w->seconds / w->slots, newest = record->newest[window],
                slot = slot_at(w, now);
        uint64_t total = sum(record, window, 0, now) + n;

        if (total <= limit)
                return 0;
        if (slot < newest) /* it is ahead: nothing leaves before it is moved */
                return w->seconds;
        for (int64_t i = slot - w->slots; i <= newest; i++) {
                if (i < newest - w->slots)
                        continue;
                total -= ring[place(w, i + ring_size(w))];
                if (total <= limit)
                        return (i + w->slots + 1) * width - now;
        }
        return w->seconds;
}

bool limits_is_stale(const LimitRecord *record, int64_t now) {
        for (int i = 0; has_window(record->kind, i); i++)
                if (sum(record, i, 0, now) > 0)
                        return false;
        if (record->kind == LIMIT_PAIR && record->number[LOCKS] > 0)
                return now - record->number[LOCKED_AT] >= LIMITS_LOCKED_MEMORY;
        return record->kind != LIMIT_ROUTE || record->number[STOPPED_UNTIL] <= now;
}

/* --- as bytes: the format, the numbers and each window's newest slot in eight bytes, then its
 * counts from the newest on, in groups of seven bits ---------------------------------------------
 */

typedef struct Bytes {
        const uint8_t *at, *end;
        bool bad;
} Bytes;

static uint8_t *put_number(uint8_t *p, int64_t value) {
        for (int i = 7; i >= 0; i--)
                *p++ = (uint8_t) ((uint64_t) value >> (8 * i));
        return p;
}

static int64_t take_number(Bytes *b) {
        uint64_t value = 0;

        if (b->end - b->at < 8) {
                b->bad = true;
                return 0;
        }
        for (int i = 0; i < 8; i++)
                value = value << 8 | *b->at++;
        if (value > INT64_MAX)
                b->bad = true;
        return b->bad ? 0 : (int64_t) value;
}

static uint8_t *put_count(uint8_t *p, uint32_t value) {
        for (; value > 0x7f; value >>= 7)
                *p++ = (uint8_t) (value | 0x80);
        *p++ = (uint8_t) value;
        return p;
}

/* One spelling for each count. */
static uint32_t take_count(Bytes *b) {
        uint64_t value = 0;

        for (int i = 0; i < COUNT_BYTES; i++) {
                uint8_t byte;

                if (b->at == b->end)
                        break;
                byte = *b->at++;
                value |= (uint64_t) (byte & 0x7f) << (7 * i);
                if (byte & 0x80)
                        continue;
                if (value > UINT32_MAX || (i > 0 && byte == 0))
                        break;
                return (uint32_t) value;
        }
        b->bad = true;
        return 0;
}

size_t limits_write(const LimitRecord *record, uint8_t ret[LIMITS_SIZE_MAX]) {
        uint8_t *p = ret;

        *p++ = FORMAT;
        for (int i = 0; i < shapes[record->kind].n_numbers; i++)
                p = put_number(p, record->number[i]);
        for (int i = 0; has_window(record->kind, i); i++) {
                const Window *w = window_of(record, i);
                const uint32_t *ring = ring_of((LimitRecord *) record, i);

                p = put_number(p, record->newest[i]);
                for (int k = 0; k < ring_size(w); k++)
                        p = put_count(p, ring[place(w, record->newest[i] + ring_size(w) - k)]);
        }
        return (size_t) (p - ret);
}

static bool read_record(LimitRecord *record, Bytes *b) {
        if (b->at == b->end || *b->at++ != FORMAT)
                return false;
        for (int i = 0; i < shapes[record->kind].n_numbers; i++)
                record->number[i] = take_number(b);
        for (int i = 0; !b->bad && has_window(record->kind, i); i++) {
                const Window *w = window_of(record, i);
                uint32_t *ring = ring_of(record, i);

                record->newest[i] = take_number(b);
                if (record->newest[i] > INT64_MAX - ring_size(w))
                        return false;
                for (int k = 0; k < ring_size(w); k++)
                        ring[place(w, record->newest[i] + ring_size(w) - k)] = take_count(b);
        }
        return !b->bad && b->at == b->end;
}

/* Nobody knows how much was used up, so all of it: from now on it ages as any other. */
static void fill(LimitRecord *record, int64_t now) {
        limits_init(record, record->kind);
        (void) limits_age(record, now);
        for (int i = 0; has_window(record->kind, i); i++)
                limits_add(record, i, UINT32_MAX, now);
}

bool limits_read(LimitRecord *ret, LimitKind kind, const uint8_t *data, size_t size, int64_t now) {
        Bytes b = { data, data + size, false };

        limits_init(ret, kind);
        if (read_record(ret, &b))
                return true;
        fill(ret, now);
        return false;
}

/* --- what is not counted -----------------------------------------------------------------------
 */

/* The time at which the burst would be whole again grows by the pace with each that is taken; no
 * stored value puts it further off than a burst. */
static int64_t pace_end(
                const LimitRecord *record, int64_t interval, uint32_t burst, int64_t now_usec) {
        int64_t end = record->number[PACE], last = now_usec + interval * burst;

        return end < now_usec ? now_usec : end > last ? last : end;
}

int64_t limits_pace_wait(
                const LimitRecord *record, uint32_t per_minute, uint32_t burst, int64_t now_usec) {
        int64_t interval = 60 * (int64_t) 1000000 / per_minute;
        int64_t over = pace_end(record, interval, burst, now_usec) + interval - now_usec -
                       interval * burst;

        return over > 0 ? (over + 999999) / 1000000 : 0;
}

bool limits_pace_take(LimitRecord *record,
                uint32_t per_minute,
                uint32_t burst,
                int64_t now_usec,
                int64_t *ret_wait) {
        int64_t interval = 60 * (int64_t) 1000000 / per_minute;
        int64_t end = pace_end(record, interval, burst, now_usec);

        *ret_wait = limits_pace_wait(record, per_minute, burst, now_usec);
        if (*ret_wait == 0)
                record->number[PACE] = end + interval;
        else if (record->number[PACE] > end) /* it was ahead, and would not age */
                record->number[PACE] = end;
        return *ret_wait == 0;
}

void limits_lock(LimitRecord *record, int64_t now) {
        if (now - record->number[LOCKED_AT] >= LIMITS_LOCKED_MEMORY)
                record->number[LOCKS] = 0;
        if (record->number[LOCKS] < 2)
                record->number[LOCKS]++;
        record->number[LOCKED_AT] = now;
}

int64_t limits_lock_wait(const LimitRecord *record, int64_t now) {
        int64_t length = record->number[LOCKS] > 1 ? LIMITS_LOCKED_AGAIN_SECONDS
                                                   : LIMITS_LOCKED_SECONDS;
        int64_t since = now - record->number[LOCKED_AT];

        if (record->number[LOCKS] == 0 || since >= length)
                return 0;
        return since < 0 ? length : length - since;
}

void limits_stop(LimitRecord *record, int64_t now) {
        record->number[STOPPED_UNTIL] = now + LIMITS_STOP_SECONDS;
}

int64_t limits_stop_wait(const LimitRecord *record, int64_t now) {
        int64_t left = record->number[STOPPED_UNTIL] - now;

        return left <= 0 ? 0 : left > LIMITS_STOP_SECONDS ? LIMITS_STOP_SECONDS : left;
}

bool limits_is_unanswered(const LimitRecord *record, uint32_t sent, uint32_t percent, int64_t now) {
        uint64_t n = sum(record, LIMIT_ROUTE_SENT, YOUNG_SLOTS, now);

        return n >= sent && sum(record, LIMIT_ROUTE_ANSWERED, 0, now) * 100 < n * percent;
}

bool limits_is_bouncing(const LimitRecord *record, uint32_t sent, uint32_t percent, int64_t now) {
        uint64_t n = sum(record, LIMIT_DOMAIN_HOUR, 0, now);

        return n >= sent && sum(record, LIMIT_DOMAIN_BOUNCED, 0, now) * 100 > n * percent;
}

size_t limits_country_digits(const char *digits) {
        /* Zones whose codes have two digits, by the first, unless they are named in the second. */
        static const char *const two[] = {
                [2] = "07",
                [3] = "0123469",
                [4] = "013456789",
                [5] = "12345678",
                [6] = "0123456",
                [8] = "1246",
                [9] = "0123458",
        };
        size_t first = digits[0] >= '2' && digits[0] <= '9' ? (size_t) (digits[0] - '0') : 0;

        if (digits[0] == '1' || digits[0] == '7')
                return 1;
        if (first > 0 && two[first] && digits[1] && strchr(two[first], digits[1]))
                return 2;
        return digits[0] && digits[1] && digits[2] ? 3 : strlen(digits);
}

static int by_size(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return x < y ? -1 : x > y;
}

/* Hours in which nothing was sent are no hours of work, and say nothing about one. */
uint32_t limits_usual_hour(const LimitRecord *record, int64_t now) {
        const Window *w = window_of(record, LIMIT_CHANNEL_SENT);
        const uint32_t *ring = ring_of((LimitRecord *) record, LIMIT_CHANNEL_SENT);
        int64_t newest = record->newest[LIMIT_CHANNEL_SENT], slot = slot_at(w, now);
        uint32_t hours[LIMITS_COUNTS_MAX];
        size_t n = 0;

        for (int64_t i = slot - w->slots; i < slot; i++)
                if (i >= newest - w->slots && i <= newest && ring[place(w, i + ring_size(w))] > 0)
                        hours[n++] = ring[place(w, i + ring_size(w))];
        if (n < BUSY_HOURS_MIN)
                return 0;
        qsort(hours, n, sizeof(hours[0]), by_size);
        return hours[n / 2];
}

uint32_t limits_this_hour(const LimitRecord *record, int64_t now) {
        const Window *w = window_of(record, LIMIT_CHANNEL_SENT);

        return record->newest[LIMIT_CHANNEL_SENT] < slot_at(w, now)
                               ? 0
                               : ring_of((LimitRecord *) record, LIMIT_CHANNEL_SENT)[place(
                                                 w, record->newest[LIMIT_CHANNEL_SENT])];
}
