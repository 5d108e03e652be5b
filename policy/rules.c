/* Floors of policies. Each class has a level that its factors must reach and a least number of bits
 * against guessing over all attempts together; the numbers are chosen so that D9 suffices for a
 * hotel room (nine attempts: 23.4 bits) and everything else wants X8. */
#include "rules.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HOUR = 3600 };

typedef struct RulesFloor {
        const char *name;
        char vertical;
        unsigned assurance;
        unsigned guess_bits;
        /* defaults */
        uint32_t factors;
        CodeFormat code;
        unsigned attempts_total;
        int64_t challenge_ttl;
        int64_t mailbox_ttl;
} RulesFloor;

/* clang-format off */
#define SPLIT_AND_APPROVE (FACTOR_SPLIT | FACTOR_APPROVE)

static const RulesFloor floors[RULES_CLASS_MAX] = {
        /*                        name            v   RAL bits  factors            code     total  challenge  mailbox */
        [RULES_HOTEL]        = { "hotel",        'a', 1,  23,   FACTOR_REPLY_CODE, CODE_D9, 9,     24 * HOUR, 12 * HOUR },
        [RULES_HOME_LIMITED] = { "home-limited", 'h', 1,  31,   FACTOR_REPLY_CODE, CODE_X8, 9,     24 * HOUR, 12 * HOUR },
        [RULES_HOME]         = { "home",         'h', 3,  33,   SPLIT_AND_APPROVE, CODE_X8, 3,     24 * HOUR, 12 * HOUR },
        [RULES_CAR_UNLOCK]   = { "car-unlock",   'c', 2,  33,   FACTOR_SPLIT,      CODE_X8, 3,     24 * HOUR, 24 * HOUR },
        [RULES_CAR]          = { "car",          'c', 3,  33,   SPLIT_AND_APPROVE, CODE_X8, 3,     24 * HOUR, 24 * HOUR },
        [RULES_ACCESS]       = { "access",       'a', 2,  32,   FACTOR_CROSS_CODE, CODE_X8, 6,     24 * HOUR,  6 * HOUR },
        [RULES_FLEET]        = { "fleet",        'a', 2,  32,   FACTOR_CROSS_CODE, CODE_X8, 6,     24 * HOUR,  6 * HOUR },
};
/* clang-format on */

static const char *const authentic_names[RULES_AUTHENTIC_MAX] = { "none", "weak", "strong" };

const char *rules_class_name(RulesClass class) {
        return (unsigned) class < RULES_CLASS_MAX ? floors[class].name : NULL;
}

RulesClass rules_class_from_name(const char *name) {
        for (RulesClass class = 0; name && class < RULES_CLASS_MAX; class ++)
                if (strcmp(floors[class].name, name) == 0)
                        return class;
        return RULES_CLASS_MAX;
}

const char *rules_authentic_name(RulesAuthentic authentic) {
        return (unsigned) authentic < RULES_AUTHENTIC_MAX ? authentic_names[authentic] : NULL;
}

RulesAuthentic rules_authentic_from_name(const char *name) {
        for (unsigned i = 0; name && i < RULES_AUTHENTIC_MAX; i++)
                if (strcmp(authentic_names[i], name) == 0)
                        return (RulesAuthentic) i;
        return RULES_AUTHENTIC_MAX;
}

bool rules_takes_several_messages(RulesClass class) {
        return class == RULES_CAR || class == RULES_CAR_UNLOCK || class == RULES_FLEET ||
               class == RULES_HOME;
}

char rules_vertical(RulesClass class) {
        return (char) ((unsigned) class < RULES_CLASS_MAX ? floors[class].vertical : 'a');
}

unsigned rules_assurance(const Rules *rules) {
        return factor_assurance(rules->factors, rules->fact_bits);
}

unsigned rules_floor(RulesClass class) {
        return (unsigned) class < RULES_CLASS_MAX ? floors[class].assurance : FACTOR_ASSURANCE_MAX;
}

/* What all factors of this version together reach. */
static unsigned best_assurance(void) {
        uint32_t available = 0;

        for (unsigned i = 0; i < FACTOR_N; i++)
                if (factor_is_available((Factor) (1U << i)))
                        available |= 1U << i;
        return factor_assurance(available, 0);
}

unsigned rules_required(const Rules *rules) {
        unsigned floor = rules_floor(rules->class);

        return rules->interim_floor > 0 && floor > best_assurance() ? rules->interim_floor : floor;
}

bool rules_has_code(const Rules *rules) {
        return rules->factors & (FACTOR_REPLY_CODE | FACTOR_CROSS_CODE);
}

void rules_default(RulesClass class, Rules *ret) {
        const RulesFloor *floor = &floors[(unsigned) class < RULES_CLASS_MAX ? class : RULES_HOTEL];

        *ret = (Rules){
                .class = class,
                .factors = floor->factors,
                .code = floor->code,
                .attempts = 3,
                .attempts_total = floor->attempts_total,
                .challenge_ttl = floor->challenge_ttl,
                .mailbox_ttl = floor->mailbox_ttl,
                .minimum_authentic = RULES_AUTHENTIC_WEAK,
                .reissues = floor->attempts_total / 3 - 1,
                .code_ttl = RULES_CODE_TTL_MAX,
                .approval_ttl = RULES_APPROVAL_TTL_MAX,
                .interim_floor = floor->assurance > RULES_INTERIM_FLOOR ? RULES_INTERIM_FLOOR : 0,
        };
}

double rules_guess_bits(const Rules *rules, unsigned attempts) {
        double bits = 0, fact = (double) rules->fact_bits - log2(attempts > 0 ? attempts : 1);

        if (rules->factors & FACTOR_SPLIT)
                bits = FACTOR_SPLIT_BITS;
        if (rules_has_code(rules) && code_guess_bits(rules->code, attempts) > bits)
                bits = code_guess_bits(rules->code, attempts);
        if (rules->factors & FACTOR_FACT && fact > bits)
                bits = fact;
        return bits;
}

double rules_guess_bits_total(const Rules *rules) {
        return rules_guess_bits(rules, rules->attempts_total);
}

__attribute__((format(printf, 3, 4))) static int problem(
                int error, char ret_problem[RULES_PROBLEM_SIZE], const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(ret_problem, RULES_PROBLEM_SIZE, format, arguments);
        va_end(arguments);
        return error;
}

/* "reply-code and approve". */
static const char *factors_text(uint32_t factors, char *ret, size_t size) {
        size_t n = 0;

        ret[0] = 0;
        for (unsigned i = 0; i < FACTOR_N && n < size; i++)
                if (factors & 1U << i)
                        n += (size_t) snprintf(ret + n,
                                        size - n,
                                        "%s%s",
                                        n > 0 ? " and " : "",
                                        factor_name((Factor) (1U << i)));
        return ret;
}

/* A floor that no factor reaches yet has a stand-in, which is said in so many words. */
static int check_interim(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
        unsigned floor = rules_floor(rules->class);

        if (rules->interim_floor == 0)
                return 0;
        if (floor <= best_assurance())
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "interim_floor: class %s asks for RAL-%u, which this version "
                                "reaches: there is nothing to stand in for",
                                rules_class_name(rules->class),
                                floor);
        if (rules->interim_floor != RULES_INTERIM_FLOOR)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "interim_floor: RAL-%u, must be RAL-%d",
                                rules->interim_floor,
                                RULES_INTERIM_FLOOR);
        if (!(rules->factors & FACTOR_APPROVE))
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "factors: class %s asks for RAL-%u, and below it for approve as "
                                "well",
                                rules_class_name(rules->class),
                                floor);
        return 0;
}

static int check_factors(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
        char names[64];
        int r;

        if ((unsigned) rules->class >= RULES_CLASS_MAX)
                return problem(RULES_E_BELOW_FLOOR, ret_problem, "it has no class");
        if (rules->factors == 0 || rules->factors & ~(uint32_t) FACTOR_ALL)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "factors: it must name at least one, such as reply-code");
        for (unsigned i = 0; i < FACTOR_N; i++)
                if (rules->factors & 1U << i && !factor_is_available((Factor) (1U << i)))
                        return problem(RULES_E_BELOW_FLOOR,
                                        ret_problem,
                                        "factors: %s is not in this version",
                                        factor_name((Factor) (1U << i)));
        if (rules->fact_bits > RULES_FACT_BITS_MAX)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "fact_bits: %u, must be at most %d",
                                rules->fact_bits,
                                RULES_FACT_BITS_MAX);
        if (rules_assurance(rules) < rules_required(rules))
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "factors: %s %s assurance level RAL-%u, class %s asks for at "
                                "least RAL-%u",
                                factors_text(rules->factors, names, sizeof(names)),
                                rules->factors & (rules->factors - 1) ? "reach" : "reaches",
                                rules_assurance(rules),
                                rules_class_name(rules->class),
                                rules_required(rules));
        r = check_interim(rules, ret_problem);
        if (r != 0)
                return r;
        if (rules->minimum_authentic != RULES_AUTHENTIC_WEAK &&
                        rules->minimum_authentic != RULES_AUTHENTIC_STRONG)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "minimum_authentic: must be weak or strong");
        return 0;
}

static int check_attempts(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
        if ((unsigned) rules->code >= CODE_FORMAT_MAX)
                return problem(RULES_E_BELOW_FLOOR, ret_problem, "code: must be D9 or X8");
        if (rules->attempts < 1 || rules->attempts > RULES_ATTEMPTS_MAX)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "attempts: %u, must be 1 to %d",
                                rules->attempts,
                                RULES_ATTEMPTS_MAX);
        if (rules->attempts_total < rules->attempts ||
                        rules->attempts_total > RULES_ATTEMPTS_TOTAL_MAX)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "attempts_total: %u, must be %u (attempts) to %d",
                                rules->attempts_total,
                                rules->attempts,
                                RULES_ATTEMPTS_TOTAL_MAX);
        if (rules->reissues > RULES_REISSUES_MAX)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "reissues: %u, must be at most %d",
                                rules->reissues,
                                RULES_REISSUES_MAX);
        return 0;
}

static int check_guesses(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
        const RulesFloor *floor = &floors[rules->class];
        unsigned bits = floor->guess_bits > RULES_GUESS_BITS_MIN ? floor->guess_bits
                                                                 : RULES_GUESS_BITS_MIN;
        int r;

        r = check_attempts(rules, ret_problem);
        if (r != 0 || rules_guess_bits_total(rules) >= bits)
                return r;
        return problem(RULES_E_BELOW_FLOOR,
                        ret_problem,
                        "%s: %u attempts at %s are guessed with a probability of 2^-%.1f, "
                        "class %s asks for at most 2^-%u",
                        rules_has_code(rules) ? "code" : "fact_bits",
                        rules->attempts_total,
                        rules_has_code(rules) ? code_format_name(rules->code) : "the fact",
                        rules_guess_bits_total(rules),
                        floor->name,
                        bits);
}

/* A time that our own codes and questions live. */
static int check_short_time(const char *key,
                int64_t seconds,
                int64_t most,
                char ret_problem[RULES_PROBLEM_SIZE]) {
        if (seconds >= RULES_CODE_TTL_MIN && seconds <= most)
                return 0;
        return problem(RULES_E_BELOW_FLOOR,
                        ret_problem,
                        "%s: %lld s, must be %d s to %lld min",
                        key,
                        (long long) seconds,
                        RULES_CODE_TTL_MIN,
                        (long long) most / 60);
}

static int check_times(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
        int r;

        if (rules->mailbox_ttl < RULES_MAILBOX_TTL_MIN ||
                        rules->mailbox_ttl > RULES_MAILBOX_TTL_MAX)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "mailbox_ttl: %lld s, must be %d s to %d h",
                                (long long) rules->mailbox_ttl,
                                RULES_MAILBOX_TTL_MIN,
                                RULES_MAILBOX_TTL_MAX / HOUR);
        if (rules->challenge_ttl < RULES_CHALLENGE_TTL_MIN)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "lifetime: %lld s, must be at least %d s",
                                (long long) rules->challenge_ttl,
                                RULES_CHALLENGE_TTL_MIN);
        if (rules->challenge_ttl > RULES_LIFETIME_MAX - rules->mailbox_ttl)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "lifetime: %lld h and mailbox_ttl: %lld h, together more than %d h",
                                (long long) rules->challenge_ttl / HOUR,
                                (long long) rules->mailbox_ttl / HOUR,
                                RULES_LIFETIME_MAX / HOUR);
        r = check_short_time("code_ttl", rules->code_ttl, RULES_CODE_TTL_MAX, ret_problem);
        if (r == 0)
                r = check_short_time("approval_ttl",
                                rules->approval_ttl,
                                RULES_APPROVAL_TTL_MAX,
                                ret_problem);
        return r;
}

int rules_check(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
        int r;

        ret_problem[0] = 0;
        r = check_factors(rules, ret_problem);
        if (r == 0)
                r = check_guesses(rules, ret_problem);
        if (r == 0)
                r = check_times(rules, ret_problem);
        return r;
}

#define STRICTER(rules, now, member) \
        ((rules).member = (now)->member < (rules).member ? (now)->member : (rules).member)

Rules rules_stricter(const Rules *then, const Rules *now) {
        Rules rules = *then;

        if (rules_has_code(now)) { /* without a code these are no numbers */
                STRICTER(rules, now, attempts);
                STRICTER(rules, now, reissues);
        }
        STRICTER(rules, now, mailbox_ttl);
        STRICTER(rules, now, code_ttl);
        STRICTER(rules, now, approval_ttl);
        return rules;
}

int rules_tightened(const Rules *then, const Rules *now, char ret_problem[RULES_PROBLEM_SIZE]) {
        ret_problem[0] = 0;
        if (now->factors & ~then->factors)
                return problem(RULES_E_TIGHTENED, ret_problem, "factors: more are asked for now");
        if (rules_assurance(then) < rules_required(now))
                return problem(RULES_E_TIGHTENED,
                                ret_problem,
                                "class: %s asks for RAL-%u",
                                rules_class_name(now->class) ? rules_class_name(now->class) : "it",
                                rules_required(now));
        if (rules_has_code(now) && code_space(now->code) > code_space(then->code))
                return problem(RULES_E_TIGHTENED,
                                ret_problem,
                                "code: a longer one is asked for now");
        if (now->attempts_total < then->attempts_total &&
                        rules_guess_bits_total(now) > rules_guess_bits_total(then))
                return problem(RULES_E_TIGHTENED,
                                ret_problem,
                                "attempts_total: fewer are allowed now");
        if (now->minimum_authentic > then->minimum_authentic)
                return problem(RULES_E_TIGHTENED,
                                ret_problem,
                                "minimum_authentic: %s is asked for now",
                                rules_authentic_name(now->minimum_authentic)
                                                ? rules_authentic_name(now->minimum_authentic)
                                                : "more");
        return 0;
}

int rules_check_expiry(const Rules *rules,
                int64_t created,
                int64_t expires_at,
                char ret_problem[RULES_PROBLEM_SIZE]) {
        int64_t latest = RULES_LIFETIME_MAX - rules->mailbox_ttl, lifetime;

        ret_problem[0] = 0;
        if (__builtin_sub_overflow(expires_at, created, &lifetime) ||
                        lifetime < RULES_CHALLENGE_TTL_MIN || lifetime > latest)
                return problem(RULES_E_LIFETIME,
                                ret_problem,
                                "expires_at must be %d s to %lld h %lld min from now",
                                RULES_CHALLENGE_TTL_MIN,
                                (long long) (latest / HOUR),
                                (long long) (latest % HOUR / 60));
        return 0;
}
