/* Facts as people type them. Whatever this does to a text, tenants have to do as well before they
 * compute a verifier: SEALING.md's neighbour in the manual, POST /v1/shares, says it in words. */
#include "fact.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include "tag.h"

static int failed(void) {
        return errno == ENOMEM ? -ENOMEM : FACT_E_FORM;
}

/* What size bytes decompose to, in upper case; the caller wipes and frees. In this order: a sign
 * such as that of "No" has no upper case, and the letters that it is made of have. */
static int decompose(const char *text, size_t size, uint8_t **ret, size_t *ret_size) {
        size_t n_plain;
        uint8_t *plain;
        int r;

        errno = 0;
        plain = u8_normalize(UNINORM_NFKD, (const uint8_t *) text, size, NULL, &n_plain);
        if (!plain)
                return failed();
        *ret = u8_toupper(plain, n_plain, NULL, NULL, NULL, ret_size);
        r = *ret ? 0 : failed();
        sodium_memzero(plain, n_plain);
        free(plain);
        return r;
}

int fact_normalise(const char *text, size_t size, char ret[FACT_SIZE]) {
        uint8_t *upper;
        size_t n_upper, n = 0;
        int r;

        memset(ret, 0, FACT_SIZE);
        if (size > 8 * FACT_SIZE)
                return FACT_E_LONG;
        if (u8_check((const uint8_t *) text, size))
                return FACT_E_FORM;
        r = decompose(text, size, &upper, &n_upper);
        if (r != 0)
                return r;
        for (size_t i = 0; r == 0 && i < n_upper; i++) {
                if (!((upper[i] >= 'A' && upper[i] <= 'Z') || (upper[i] >= '0' && upper[i] <= '9')))
                        continue;
                if (n == FACT_SIZE - 1)
                        r = FACT_E_LONG;
                else
                        ret[n++] = (char) upper[i];
        }
        sodium_memzero(upper, n_upper);
        free(upper);
        if (r == 0 && n == 0)
                r = FACT_E_EMPTY;
        if (r != 0)
                sodium_memzero(ret, FACT_SIZE);
        return r;
}

void fact_verifier(const uint8_t key[FACT_KEY_SIZE],
                const char *normalised,
                uint8_t ret[FACT_VERIFIER_SIZE]) {
        static const char label[] = "vestibule fact v1";
        crypto_generichash_state state;

        (void) crypto_generichash_init(&state, key, FACT_KEY_SIZE, FACT_VERIFIER_SIZE);
        (void) crypto_generichash_update(&state, (const uint8_t *) label, sizeof(label) - 1);
        (void) crypto_generichash_update(&state, (const uint8_t *) normalised, strlen(normalised));
        (void) crypto_generichash_final(&state, ret, FACT_VERIFIER_SIZE);
        sodium_memzero(&state, sizeof(state));
}

const char *fact_after_tag(const char *text, const char *tag) {
        static const char gaps[] = " \t\r\n#:,.-";
        const char *word = text + strspn(text, gaps), *rest;
        char found[TAG_SIZE];

        if (!tag[0] || !tag_canonical(word, strcspn(word, gaps), found) || strcmp(found, tag) != 0)
                return text;
        rest = word + strcspn(word, gaps);
        rest += strspn(rest, gaps);
        return rest[0] ? rest : text;
}
