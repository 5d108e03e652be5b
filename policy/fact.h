/* Facts: something that the tenant knows of the recipient, such as a booking number. The tenant
 * gives a key of its own making and a verifier under it, so that the fact itself never comes here
 * (security.md B.3, M5). It is friction and not a factor, unless the fact has the bits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        FACT_SIZE = 129, /* room for a normalised fact and the final NUL */
        FACT_KEY_SIZE = 32,
        FACT_VERIFIER_SIZE = 32,
};

typedef enum FactError {
        FACT_E_EMPTY = 1, /* no letter from A to Z and no digit is left */
        FACT_E_LONG = 2,
        FACT_E_FORM = 3, /* not UTF-8 */
} FactError;

/* Brings size bytes of anything to the one form that tenants and we compute with: compatibility
 * decomposition (NFKD), marks left out, upper case, and then A to Z and 0 to 9 alone: "Müller" is
 * MULLER, " 47-11 ab" is 4711AB. ret is the caller's to wipe, and empty unless this returns 0.
 * -ENOMEM. */
int fact_normalise(const char *text, size_t size, char ret[FACT_SIZE]);

/* BLAKE2b-256(key, "vestibule fact v1" || normalised). */
void fact_verifier(const uint8_t key[FACT_KEY_SIZE],
                const char *normalised,
                uint8_t ret[FACT_VERIFIER_SIZE]);

/* The text without its first word, where that is this tag, as a person puts it before an answer;
 * else the text itself. tag is canonical, or empty. Borrows. */
const char *fact_after_tag(const char *text, const char *tag);
