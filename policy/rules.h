/* The numbers of a policy, and the floors that no configuration gets below: per class, and the hard
 * bounds over all of them.
 * Levels and modes are in factor.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "code.h"
#include "factor.h"

typedef enum RulesClass {
        RULES_HOTEL,
        RULES_HOME_LIMITED, /* a dog-walker's schedule */
        RULES_HOME,
        RULES_CAR_UNLOCK,
        RULES_CAR,
        RULES_ACCESS, /* office doors */
        RULES_FLEET,
        RULES_CLASS_MAX,
} RulesClass;

/* What a channel says that a sender's address is worth. */
typedef enum RulesAuthentic {
        RULES_AUTHENTIC_NONE,
        RULES_AUTHENTIC_WEAK,
        RULES_AUTHENTIC_STRONG,
        RULES_AUTHENTIC_MAX,
} RulesAuthentic;

typedef struct Rules {
        RulesClass class;
        uint32_t factors; /* Factor bits */
        CodeFormat code;
        unsigned attempts;       /* for one code */
        unsigned attempts_total; /* over the share's whole life */
        int64_t challenge_ttl;   /* seconds from creation to the last moment to confirm */
        int64_t mailbox_ttl;     /* seconds from release */
        RulesAuthentic minimum_authentic;
        unsigned reissues;      /* codes after the first that the sender may ask for */
        int64_t code_ttl;       /* seconds, of a code that we send */
        int64_t approval_ttl;   /* seconds, for the sender to type the number */
        unsigned fact_bits;     /* what a tenant's fact holds against guessing; 0: nothing known */
        unsigned interim_floor; /* the level that is accepted in place of the class's floor for as
                                   long as no factor of this version reaches that; 0: none */
} Rules;

typedef enum RulesError {
        RULES_E_BELOW_FLOOR = 1, /* *ret_problem says which number, and which floor it misses */
        RULES_E_TIGHTENED = 2,   /* *ret_problem says what is asked for now and was not then */
        RULES_E_LIFETIME = 3,    /* *ret_problem says which bound */
} RulesError;

enum {
        RULES_PROBLEM_SIZE = 200,
        RULES_ATTEMPTS_MAX = 5,
        RULES_ATTEMPTS_TOTAL_MAX = 9,
        RULES_GUESS_BITS_MIN = 20,
        RULES_REISSUES_MAX = 2,
        RULES_INTERIM_FLOOR = 2, /* the only level that stands in for a higher one */
        RULES_FACT_BITS_MAX = 128,
        RULES_CODE_TTL_MIN = 60,
        RULES_CODE_TTL_MAX = 600,
        RULES_APPROVAL_TTL_MAX = 600,
        RULES_CHALLENGE_TTL_MIN = 60,
        RULES_MAILBOX_TTL_MIN = 300,
        RULES_MAILBOX_TTL_MAX = 24 * 3600,
        RULES_LIFETIME_MAX = 66 * 3600, /* challenge and mailbox together */
};

/* "hotel", "home-limited", "car-unlock" and so on; "none", "weak", "strong". NULL for a value
 * outside the enumeration; the reverse gives the _MAX value. */
const char *rules_class_name(RulesClass class);
RulesClass rules_class_from_name(const char *name);
const char *rules_authentic_name(RulesAuthentic authentic);
RulesAuthentic rules_authentic_from_name(const char *name);

/* The share URL's `v`, and the relay's vertical: 'c' for cars, 'h' for homes, else 'a'. */
char rules_vertical(RulesClass class);

/* Whether a credential of this class usually takes several messages, in both directions: the owner
 * of a car signs the key that the recipient's device has made. */
bool rules_takes_several_messages(RulesClass class);

/* The level that a policy's factors reach, the floor of a class, and the level that the policy has
 * to reach: the floor, or where it is accepted the interim one. 0 to FACTOR_ASSURANCE_MAX. */
unsigned rules_assurance(const Rules *rules);
unsigned rules_floor(RulesClass class);
unsigned rules_required(const Rules *rules);

/* Whether a code is typed that could be guessed: FACTOR_REPLY_CODE or _CROSS_CODE. */
bool rules_has_code(const Rules *rules);

/* What a policy of this class has where the configuration says nothing. */
void rules_default(RulesClass class, Rules *ret);

/* Checks a policy against its class's floor and the hard bounds. RULES_E_BELOW_FLOOR, the first
 * problem found as a sentence without a full stop; fields that are no values of their type count as
 * problems. */
int rules_check(const Rules *rules, char ret_problem[RULES_PROBLEM_SIZE]);

/* -log2 of the probability that so many attempts guess all that the recipient has to know; and that
 * all attempts of the share's life together do. */
double rules_guess_bits(const Rules *rules, unsigned attempts);
double rules_guess_bits_total(const Rules *rules);

/* What a share that was created under `then` goes on with while its policy is `now`: the shorter of
 * the times, and the smaller of the numbers, of both. No share has to end for these. */
Rules rules_stricter(const Rules *then, const Rules *now);

/* Whether a share that was created under `then` still meets its policy as it is `now`: the stricter
 * of both holds. RULES_E_TIGHTENED. */
int rules_tightened(const Rules *then, const Rules *now, char ret_problem[RULES_PROBLEM_SIZE]);

/* Checks a share's own last moment to confirm: at least RULES_CHALLENGE_TTL_MIN after its creation,
 * and with the policy's mailbox_ttl at most RULES_LIFETIME_MAX. Times in seconds. RULES_E_LIFETIME.
 */
int rules_check_expiry(const Rules *rules,
                int64_t created,
                int64_t expires_at,
                char ret_problem[RULES_PROBLEM_SIZE]);
