/* The modes of the second factor as one table: what each asks for, the level that it reaches, and
 * the attackers that it withstands and does not withstand. What `vestibuled --check` prints and
 * what tests/e2e/test_modes.py plays through, attacker by attacker, comes from this table (design
 * section 8; security.md B.1, B.3).
 *
 * Recipient assurance levels: RAL-1, the holder of the address also knows something that the sender
 * told them; RAL-2, two independent channels; RAL-3, neither channel, relay nor stored data yield
 * the key; RAL-4, the sender has witnessed it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Bits: a policy combines them. Stored, so never renumber. */
typedef enum Factor {
        FACTOR_REPLY_CODE = 1 << 0, /* the sender tells a code, the recipient replies with it */
        FACTOR_CROSS_CODE = 1 << 1, /* we send a code over another channel, once READY is said */
        FACTOR_SPLIT = 1 << 2,      /* the link in two halves, over two channels */
        FACTOR_APPROVE = 1 << 3,    /* the sender types a number that the recipient reads out */
        FACTOR_FACT = 1 << 4,       /* something that the tenant knows of the recipient */
        FACTOR_PAGE_CODE = 1 << 5,  /* CPace on the confirmation page; not in this version */

        FACTOR_ALL = (1 << 6) - 1,
} Factor;

enum {
        FACTOR_N = 6,
        FACTOR_ASSURANCE_MAX = 4,
        FACTOR_FACT_BITS = 26,            /* from here on a fact is a factor: it reaches RAL-1 */
        FACTOR_SPLIT_BITS = 128,          /* of each half */
        FACTOR_APPROVE_NUMBERS = 1000000, /* six digits, of which one is read out */
};

/* Who tries to get the key, and what is in their hands. */
typedef enum FactorAttacker {
        FACTOR_ATTACKER_WRONG_PERSON,   /* got the invitation in the recipient's place */
        FACTOR_ATTACKER_SPOOFER,        /* writes in the recipient's name and reads nothing */
        FACTOR_ATTACKER_SCANNER,        /* opens every link that arrives */
        FACTOR_ATTACKER_LATER_READER,   /* all messages of one channel, afterwards */
        FACTOR_ATTACKER_CODE_LISTENER,  /* heard what the sender told, and reads no channel */
        FACTOR_ATTACKER_FIRST_CHANNEL,  /* reads the invitation's channel at every moment, while
                                           the recipient uses it */
        FACTOR_ATTACKER_SECOND_CHANNEL, /* the same, of the other channel */
        FACTOR_ATTACKER_RELAY,          /* all that the relay stores and is asked */
        FACTOR_ATTACKER_FIRST_CHANNEL_AND_RELAY,
        FACTOR_ATTACKER_STORE,         /* a copy of our database */
        FACTOR_ATTACKER_PHONE,         /* the unlocked phone, with every channel on it */
        FACTOR_ATTACKER_BOTH_CHANNELS, /* reads both at every moment, and heard nothing */
        FACTOR_ATTACKER_MAX,
} FactorAttacker;

/* "reply-code", "cross-code", "split", "approve", "fact", "page-code"; NULL for anything but one
 * bit of them. The reverse gives 0 for a text that is no name. */
const char *factor_name(Factor factor);
Factor factor_from_name(const char *name);

/* Whether this version has it. */
bool factor_is_available(Factor factor);

/* The level that a set reaches, 0 to FACTOR_ASSURANCE_MAX. fact_bits is what the tenant's facts
 * hold against guessing; 0 where nothing is said. */
unsigned factor_assurance(uint32_t factors, unsigned fact_bits);

/* Whether a set needs two channels of different operators. */
bool factor_needs_two_channels(uint32_t factors);

/* What the recipient is asked for next, of the factors that a policy wants and some of which are
 * met: FACTOR_FACT, _REPLY_CODE, _CROSS_CODE, and _SPLIT where nothing else was asked for. 0: the
 * recipient has done all; _APPROVE is the sender's. */
Factor factor_next(uint32_t wanted, uint32_t met);

/* What is met once this factor is, too. A bound answer of any kind says YES to the two halves of
 * FACTOR_SPLIT, so the last other factor meets it as well. */
uint32_t factor_meet(uint32_t wanted, uint32_t met, Factor factor);

/* Whether a share with these factors withstands the attacker, but for a guess within the budget of
 * attempts. */
bool factor_stops(uint32_t factors, FactorAttacker attacker);

/* "both-channels" and "who reads both channels at every moment"; NULL outside the enumeration. */
const char *factor_attacker_name(FactorAttacker attacker);
const char *factor_attacker_text(FactorAttacker attacker);
