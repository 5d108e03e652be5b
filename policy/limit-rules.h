/* Limits, as decisions without I/O: how many of something there were lately, whether one more may
 * be, and if not, when. What is counted for whom is the caller's; how much is allowed is a
 * LimitRules, whose bounds are here (security.md B.6 and B.7, design section 8 "Tenants apart").
 *
 * A count over a window is kept in slots: the window's whole slots and the one that is filling. So
 * no stretch of time of the window's length ever holds more than is allowed, wherever it begins,
 * and what is full is empty again one slot after the window at the latest. Everything costs the
 * same however many there were.
 *
 * Time is the seconds that the machine has run, as CLOCK_BOOTTIME says, and not the time of day: a
 * wall clock that jumps refills nothing. A record that is ahead of that time, as from a store that
 * was restored, is moved to the present and ages from there; one that cannot be read is full, and
 * ages likewise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- the numbers -------------------------------------------------------------------------------
 */

/* Each is a key of the configuration's `limits` section. */
typedef enum LimitNumber {
        /* what a tenant may do, and is told */
        LIMIT_SHARES_PER_RECIPIENT_10MIN,
        LIMIT_SHARES_PER_RECIPIENT_HOUR,
        LIMIT_SHARES_PER_RECIPIENT_DAY,
        LIMIT_SHARES_PER_MINUTE,
        LIMIT_SHARES_BURST,
        LIMIT_SHARES_PER_DAY,
        /* wrong answers within a day */
        LIMIT_WRONG_PER_RECIPIENT,
        LIMIT_WRONG_PER_SOURCE,
        LIMIT_WRONG_PER_TENANT,
        LIMIT_WRONG_PER_TENANT_PERCENT,
        LIMIT_WRONG_PER_CHANNEL,
        LIMIT_WRONG_IN_ALL,
        /* messages, of all tenants together */
        LIMIT_MESSAGES_PER_RECIPIENT_10MIN,
        LIMIT_MESSAGES_PER_RECIPIENT_HOUR,
        LIMIT_MESSAGES_PER_RECIPIENT_DAY,
        LIMIT_MESSAGES_PER_PREFIX_HOUR,
        LIMIT_MESSAGES_PER_PREFIX_DAY,
        LIMIT_MESSAGES_PER_COUNTRY,
        LIMIT_MESSAGES_PER_DOMAIN_HOUR,
        LIMIT_SURGE_FACTOR,
        LIMIT_SURGE_FROM,
        /* texts back to who answers */
        LIMIT_RESEND_FIRST,
        LIMIT_RESEND_SECOND,
        LIMIT_ANSWERS_PER_HOUR,
        LIMIT_ANSWERS_PER_DAY,
        /* SMS that nobody answers */
        LIMIT_PREFIX_BREAKER_SENT,
        LIMIT_PREFIX_BREAKER_PERCENT,
        LIMIT_COUNTRY_BREAKER_SENT,
        LIMIT_COUNTRY_BREAKER_PERCENT,
        /* mails that come back */
        LIMIT_DOMAIN_BREAKER_SENT,
        LIMIT_DOMAIN_BREAKER_PERCENT,
        _LIMIT_NUMBER_MAX,
} LimitNumber;

typedef struct LimitRules {
        uint32_t number[_LIMIT_NUMBER_MAX];
} LimitRules;

typedef struct LimitDescription {
        const char *key;
        uint32_t usual, min, max;
        unsigned soft;     /* percent of the number at which somebody is told; 0: nobody */
        const char *words; /* a sentence with one # for the number */
} LimitDescription;

/* The bounds are hard: no configuration leaves them. */
const LimitDescription *limits_describe(LimitNumber number);

void limits_default(LimitRules *ret);

enum {
        LIMITS_PROBLEM_SIZE = 160,

        LIMITS_LOCKED_SECONDS = 15 * 60, /* no new share of the pair after one was locked */
        LIMITS_LOCKED_AGAIN_SECONDS = 24 * 3600,
        LIMITS_LOCKED_MEMORY = 7 * 24 * 3600, /* so long a lock makes the next one the second */

        LIMITS_DELAY_MAX = 15 * 60, /* that one tenant may cause another */
        LIMITS_STOP_SECONDS = 24 * 3600,
};

/* 0, or 1 with what contradicts itself: less is allowed in a day than in an hour. */
int limits_check(const LimitRules *rules, char ret_problem[LIMITS_PROBLEM_SIZE]);

/* --- records -----------------------------------------------------------------------------------
 */

/* What there is a record for. Never renumber: they are part of what is stored. */
typedef enum LimitKind {
        LIMIT_PAIR = 1, /* a tenant and a person */
        LIMIT_TENANT = 2,
        LIMIT_PERSON = 3, /* for all tenants */
        LIMIT_ROUTE = 4,  /* a block of numbers or a country, of one tenant or of all */
        LIMIT_DOMAIN = 5, /* of mail, of one tenant or of all */
        LIMIT_CHANNEL = 6,
        LIMIT_FLEET = 7,
        LIMIT_SOURCE = 8, /* a tenant and an address that answers come from */
        _LIMIT_KIND_MAX,
} LimitKind;

/* The windows of each kind, in their order. */
enum {
        LIMIT_PAIR_SHARES_10MIN = 0,
        LIMIT_PAIR_SHARES_HOUR,
        LIMIT_PAIR_SHARES_DAY,
        LIMIT_PAIR_WRONG,
        LIMIT_PAIR_ANSWERS_HOUR,
        LIMIT_PAIR_ANSWERS_DAY,

        LIMIT_TENANT_SHARES = 0,
        LIMIT_TENANT_WRONG,
        LIMIT_TENANT_SPENT, /* in ten-thousandths of the operator's currency */

        LIMIT_PERSON_10MIN = 0,
        LIMIT_PERSON_HOUR,
        LIMIT_PERSON_DAY,

        LIMIT_ROUTE_HOUR = 0,
        LIMIT_ROUTE_SENT, /* a day; as the next */
        LIMIT_ROUTE_ANSWERED,

        LIMIT_DOMAIN_HOUR = 0,
        LIMIT_DOMAIN_BOUNCED, /* an hour as well */

        LIMIT_CHANNEL_WRONG = 0,
        LIMIT_CHANNEL_SENT, /* a week in hours */

        LIMIT_FLEET_WRONG = 0,

        LIMIT_SOURCE_WRONG = 0,
};

enum {
        LIMITS_WINDOWS_MAX = 6,
        LIMITS_NUMBERS_MAX = 2,
        LIMITS_COUNTS_MAX = 200, /* of all windows of a kind */
        LIMITS_SIZE_MAX = 1 + (LIMITS_NUMBERS_MAX + LIMITS_WINDOWS_MAX) * 8 + LIMITS_COUNTS_MAX * 5,
};

/* As it is in memory. A zeroed one with its kind is fresh. */
typedef struct LimitRecord {
        LimitKind kind;
        int64_t number[LIMITS_NUMBERS_MAX]; /* what is not counted: see below */
        int64_t newest[LIMITS_WINDOWS_MAX]; /* the number of each window's last slot */
        uint32_t counts[LIMITS_COUNTS_MAX];
} LimitRecord;

void limits_init(LimitRecord *ret, LimitKind kind);

/* Of stored bytes; now is the seconds that the machine has run. False: they are not a record of
 * this kind, and *ret is one that is full. */
bool limits_read(LimitRecord *ret, LimitKind kind, const uint8_t *data, size_t size, int64_t now);

/* The bytes to store; gives their number. */
size_t limits_write(const LimitRecord *record, uint8_t ret[LIMITS_SIZE_MAX]);

/* Brings a record to the present. True: it was ahead, and has to be stored as it is now, since
 * otherwise it would never age. */
bool limits_age(LimitRecord *record, int64_t now);

/* How many there were within the window; UINT32_MAX: that, or more. */
uint32_t limits_count(const LimitRecord *record, int window, int64_t now);

/* Those of them that are older than the window's last slots, so many of which are left out. */
uint32_t limits_count_old(const LimitRecord *record, int window, int n_left_out, int64_t now);

void limits_add(LimitRecord *record, int window, uint32_t n, int64_t now);

/* In how many seconds n more would be within the limit; 0: now. Without end (n above the limit
 * itself) it is the window's length. */
int64_t limits_wait(const LimitRecord *record, int window, uint32_t limit, uint32_t n, int64_t now);

/* Whether nothing in it counts any more: it can be thrown away. */
bool limits_is_stale(const LimitRecord *record, int64_t now);

/* --- what is not counted: records with a number ------------------------------------------------
 */

/* LIMIT_TENANT: so many a minute on average, and so many at once. now in microseconds. False: in
 * *ret_wait seconds; the record is changed only if it was ahead. */
bool limits_pace_take(LimitRecord *record,
                uint32_t per_minute,
                uint32_t burst,
                int64_t now_usec,
                int64_t *ret_wait);
/* The same, without taking one. */
int64_t limits_pace_wait(
                const LimitRecord *record, uint32_t per_minute, uint32_t burst, int64_t now_usec);

/* LIMIT_PAIR: a share of the pair was locked; in how many seconds there may be another. */
void limits_lock(LimitRecord *record, int64_t now);
int64_t limits_lock_wait(const LimitRecord *record, int64_t now);

/* LIMIT_ROUTE: nothing is sent for so many seconds more, 0: it is not stopped. */
void limits_stop(LimitRecord *record, int64_t now);
int64_t limits_stop_wait(const LimitRecord *record, int64_t now);

/* LIMIT_ROUTE: whether so few have answered that nobody may be there. What is younger than half an
 * hour is not looked at: nobody has had time to answer a burst. */
bool limits_is_unanswered(const LimitRecord *record, uint32_t sent, uint32_t percent, int64_t now);

/* LIMIT_DOMAIN: whether so many of the last hour's mails came back that its host may take the
 * sender for one that guesses addresses. While nothing is sent this is over within the hour. */
bool limits_is_bouncing(const LimitRecord *record, uint32_t sent, uint32_t percent, int64_t now);

/* LIMIT_CHANNEL: what an hour usually has, over the whole hours of the last week; 0: not known. */
uint32_t limits_usual_hour(const LimitRecord *record, int64_t now);
uint32_t limits_this_hour(const LimitRecord *record, int64_t now);

/* How many digits of an international number (without the plus) are its country code, as ITU-T
 * E.164 gives them out: one to three. */
size_t limits_country_digits(const char *digits);

/* --- wrong answers of a tenant -----------------------------------------------------------------
 */

/* The most that a tenant may have within a day, of so many shares; soft: at which it is told. */
uint32_t limits_wrong_of_tenant(const LimitRules *rules, uint32_t shares, bool soft);

/* The part of a number at which somebody is told, rounded up. */
uint32_t limits_soft(const LimitRules *rules, LimitNumber number);
