/* The table of modes. Its cells are claims that tests/e2e/test_modes.py checks in both directions:
 * the attacker who is stopped has to fail, and the one who is not has to succeed. */
#include "factor.h"

#include <stddef.h>
#include <string.h>

#include "cleanup.h"

#define STOPS(name) (1U << FACTOR_ATTACKER_##name)

/* No mailbox exists before the confirmation, and no message is worth anything after it: these fail
 * whatever the policy asks for. The relay has no key, and the store holds no plaintext. */
#define ALWAYS                                                                          \
        (STOPS(SPOOFER) | STOPS(SCANNER) | STOPS(LATER_READER) | STOPS(CODE_LISTENER) | \
                        STOPS(SECOND_CHANNEL) | STOPS(RELAY) | STOPS(STORE))

/* clang-format off */
static const struct {
        Factor factor;
        const char *name;
        unsigned assurance; /* alone */
        bool available, two_channels;
        uint32_t stops; /* beyond ALWAYS */
} modes[FACTOR_N] = {
        { FACTOR_REPLY_CODE, "reply-code", 1, true,  false, STOPS(WRONG_PERSON) | STOPS(PHONE) },
        { FACTOR_CROSS_CODE, "cross-code", 2, true,  true,  STOPS(WRONG_PERSON) },
        { FACTOR_SPLIT,      "split",      2, true,  true,  STOPS(WRONG_PERSON) | STOPS(FIRST_CHANNEL) |
                                                            STOPS(FIRST_CHANNEL_AND_RELAY) },
        { FACTOR_APPROVE,    "approve",    0, true,  false, 0 },
        { FACTOR_FACT,       "fact",       0, true,  false, 0 },
        { FACTOR_PAGE_CODE,  "page-code",  3, false, false, STOPS(WRONG_PERSON) | STOPS(PHONE) |
                                                            STOPS(FIRST_CHANNEL) | STOPS(FIRST_CHANNEL_AND_RELAY) |
                                                            STOPS(BOTH_CHANNELS) },
};
/* clang-format on */

static const char *const attacker_names[FACTOR_ATTACKER_MAX] = {
        [FACTOR_ATTACKER_WRONG_PERSON] = "wrong-person",
        [FACTOR_ATTACKER_SPOOFER] = "spoofer",
        [FACTOR_ATTACKER_SCANNER] = "scanner",
        [FACTOR_ATTACKER_LATER_READER] = "later-reader",
        [FACTOR_ATTACKER_CODE_LISTENER] = "code-listener",
        [FACTOR_ATTACKER_FIRST_CHANNEL] = "first-channel",
        [FACTOR_ATTACKER_SECOND_CHANNEL] = "second-channel",
        [FACTOR_ATTACKER_RELAY] = "relay",
        [FACTOR_ATTACKER_FIRST_CHANNEL_AND_RELAY] = "first-channel-and-relay",
        [FACTOR_ATTACKER_STORE] = "store",
        [FACTOR_ATTACKER_PHONE] = "phone",
        [FACTOR_ATTACKER_BOTH_CHANNELS] = "both-channels",
};

static const char *const attacker_texts[FACTOR_ATTACKER_MAX] = {
        [FACTOR_ATTACKER_WRONG_PERSON] = "who got the invitation in the recipient's place (a wrong "
                                         "or recycled number, a forwarded message)",
        [FACTOR_ATTACKER_SPOOFER] = "who writes in the recipient's name and cannot read their "
                                    "messages",
        [FACTOR_ATTACKER_SCANNER] = "link previews and scanners",
        [FACTOR_ATTACKER_LATER_READER] = "who reads the messages of one channel later",
        [FACTOR_ATTACKER_CODE_LISTENER] = "who heard what the sender told the recipient, and reads "
                                          "no channel",
        [FACTOR_ATTACKER_FIRST_CHANNEL] = "who reads the recipient's channel at every moment (its "
                                          "operator, a second device)",
        [FACTOR_ATTACKER_SECOND_CHANNEL] = "who reads the second channel at every moment",
        [FACTOR_ATTACKER_RELAY] = "the relay's operator",
        [FACTOR_ATTACKER_FIRST_CHANNEL_AND_RELAY] = "the operators of the recipient's channel and "
                                                    "of the relay together",
        [FACTOR_ATTACKER_STORE] = "a stolen database",
        [FACTOR_ATTACKER_PHONE] = "who holds the recipient's unlocked phone",
        [FACTOR_ATTACKER_BOTH_CHANNELS] = "who reads both channels at every moment",
};

const char *factor_name(Factor factor) {
        for (size_t i = 0; i < N_ELEMENTS(modes); i++)
                if (modes[i].factor == factor)
                        return modes[i].name;
        return NULL;
}

Factor factor_from_name(const char *name) {
        for (size_t i = 0; name && i < N_ELEMENTS(modes); i++)
                if (strcmp(modes[i].name, name) == 0)
                        return modes[i].factor;
        return 0;
}

bool factor_is_available(Factor factor) {
        for (size_t i = 0; i < N_ELEMENTS(modes); i++)
                if (modes[i].factor == factor)
                        return modes[i].available;
        return false;
}

unsigned factor_assurance(uint32_t factors, unsigned fact_bits) {
        unsigned level = 0;

        for (size_t i = 0; i < N_ELEMENTS(modes); i++)
                if (factors & modes[i].factor && modes[i].assurance > level)
                        level = modes[i].assurance;
        if (level == 0 && factors & FACTOR_FACT && fact_bits >= FACTOR_FACT_BITS)
                level = 1;
        if (factors & FACTOR_PAGE_CODE && factors & FACTOR_APPROVE)
                level = FACTOR_ASSURANCE_MAX;
        return level;
}

bool factor_needs_two_channels(uint32_t factors) {
        for (size_t i = 0; i < N_ELEMENTS(modes); i++)
                if (factors & modes[i].factor && modes[i].two_channels)
                        return true;
        return false;
}

Factor factor_next(uint32_t wanted, uint32_t met) {
        static const Factor order[] = {
                FACTOR_FACT, FACTOR_REPLY_CODE, FACTOR_CROSS_CODE, FACTOR_SPLIT
        };

        for (size_t i = 0; i < N_ELEMENTS(order); i++)
                if (wanted & ~met & order[i])
                        return order[i];
        return 0;
}

uint32_t factor_meet(uint32_t wanted, uint32_t met, Factor factor) {
        met |= factor & wanted;
        if (met != 0 && factor_next(wanted, met) == FACTOR_SPLIT)
                met |= FACTOR_SPLIT;
        return met;
}

bool factor_stops(uint32_t factors, FactorAttacker attacker) {
        uint32_t stops = ALWAYS;

        if ((unsigned) attacker >= FACTOR_ATTACKER_MAX)
                return false;
        for (size_t i = 0; i < N_ELEMENTS(modes); i++)
                if (factors & modes[i].factor)
                        stops |= modes[i].stops;
        return stops & 1U << attacker;
}

const char *factor_attacker_name(FactorAttacker attacker) {
        return (unsigned) attacker < FACTOR_ATTACKER_MAX ? attacker_names[attacker] : NULL;
}

const char *factor_attacker_text(FactorAttacker attacker) {
        return (unsigned) attacker < FACTOR_ATTACKER_MAX ? attacker_texts[attacker] : NULL;
}
