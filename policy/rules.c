/* Floors of policies. Each class has a level that its factors must reach and a least number of bits
 * against guessing over all attempts together; the numbers are chosen so that D9 suffices for a
 * hotel room (nine attempts: 23.4 bits) and everything else wants X8. */
#include "rules.h"

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
        CodeFormat code;
        unsigned attempts_total;
        int64_t challenge_ttl;
        int64_t mailbox_ttl;
} RulesFloor;

/* clang-format off */
static const RulesFloor floors[RULES_CLASS_MAX] = {
        /*                        name            v   RAL bits  code     total  challenge  mailbox */
        [RULES_HOTEL]        = { "hotel",        'a', 1,  23,   CODE_D9, 9,     24 * HOUR, 12 * HOUR },
        [RULES_HOME_LIMITED] = { "home-limited", 'h', 1,  31,   CODE_X8, 9,     24 * HOUR, 12 * HOUR },
        [RULES_HOME]         = { "home",         'h', 3,  33,   CODE_X8, 3,     24 * HOUR, 12 * HOUR },
        [RULES_CAR_UNLOCK]   = { "car-unlock",   'c', 2,  33,   CODE_X8, 3,     24 * HOUR, 24 * HOUR },
        [RULES_CAR]          = { "car",          'c', 3,  33,   CODE_X8, 3,     24 * HOUR, 24 * HOUR },
        [RULES_ACCESS]       = { "access",       'a', 2,  32,   CODE_X8, 6,     24 * HOUR,  6 * HOUR },
        [RULES_FLEET]        = { "fleet",        'a', 2,  32,   CODE_X8, 6,     24 * HOUR,  6 * HOUR },
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

RulesFactor rules_factor_from_name(const char *name) {
        return name && strcmp(name, "reply-code") == 0 ? RULES_FACTOR_REPLY_CODE : 0;
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

unsigned rules_assurance(uint32_t factors) {
        return factors & RULES_FACTOR_REPLY_CODE ? 1 : 0;
}

unsigned rules_floor(RulesClass class) {
        return (unsigned) class < RULES_CLASS_MAX ? floors[class].assurance : 4;
}

void rules_default(RulesClass class, Rules *ret) {
        const RulesFloor *floor = &floors[(unsigned) class < RULES_CLASS_MAX ? class : RULES_HOTEL];

        *ret = (Rules){
                .class = class,
                .factors = RULES_FACTOR_REPLY_CODE,
                .code = floor->code,
                .attempts = 3,
                .attempts_total = floor->attempts_total,
                .challenge_ttl = floor->challenge_ttl,
                .mailbox_ttl = floor->mailbox_ttl,
                .minimum_authentic = RULES_AUTHENTIC_WEAK,
        };
}

double rules_guess_bits(const Rules *rules) {
        return code_guess_bits(rules->code, rules->attempts_total);
}

__attribute__((format(printf, 3, 4))) static int problem(
                int error, char ret_problem[RULES_PROBLEM_SIZE], const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(ret_problem, RULES_PROBLEM_SIZE, format, arguments);
        va_end(arguments);
        return error;
}

static int check_factors(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
        const RulesFloor *floor;

        if ((unsigned) rules->class >= RULES_CLASS_MAX)
                return problem(RULES_E_BELOW_FLOOR, ret_problem, "it has no class");
        floor = &floors[rules->class];

        if (rules->factors == 0 || rules->factors & ~(uint32_t) RULES_FACTOR_REPLY_CODE)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "factors: it must name reply-code");
        if (rules_assurance(rules->factors) < floor->assurance)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "factors: reply-code reaches assurance level RAL-%u, class %s asks "
                                "for at least RAL-%u",
                                rules_assurance(rules->factors),
                                floor->name,
                                floor->assurance);
        if (rules->minimum_authentic != RULES_AUTHENTIC_WEAK &&
                        rules->minimum_authentic != RULES_AUTHENTIC_STRONG)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "minimum_authentic: must be weak or strong");
        return 0;
}

static int check_guesses(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
        const RulesFloor *floor = &floors[rules->class];
        unsigned bits = floor->guess_bits > RULES_GUESS_BITS_MIN ? floor->guess_bits
                                                                 : RULES_GUESS_BITS_MIN;

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
        if (rules_guess_bits(rules) < bits)
                return problem(RULES_E_BELOW_FLOOR,
                                ret_problem,
                                "code: %u attempts at %s are guessed with a probability of "
                                "2^-%.1f, "
                                "class %s asks for at most 2^-%u",
                                rules->attempts_total,
                                code_format_name(rules->code),
                                rules_guess_bits(rules),
                                floor->name,
                                bits);
        return 0;
}

static int check_times(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]) {
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
        return 0;
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

int rules_tightened(const Rules *then, const Rules *now, char ret_problem[RULES_PROBLEM_SIZE]) {
        ret_problem[0] = 0;
        if (now->factors & ~then->factors)
                return problem(RULES_E_TIGHTENED, ret_problem, "factors: more are asked for now");
        if (rules_assurance(then->factors) < rules_floor(now->class))
                return problem(RULES_E_TIGHTENED,
                                ret_problem,
                                "class: %s asks for RAL-%u",
                                rules_class_name(now->class) ? rules_class_name(now->class) : "it",
                                rules_floor(now->class));
        if (code_space(now->code) > code_space(then->code))
                return problem(RULES_E_TIGHTENED,
                                ret_problem,
                                "code: a longer one is asked for now");
        if (now->attempts_total < then->attempts_total &&
                        rules_guess_bits(now) > rules_guess_bits(then))
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
