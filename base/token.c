#include "token.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "text.h"

static const char prefix[] = "vb_live_";
static const char id_symbols[] = "0123456789abcdefghjkmnpqrstvwxyz";
static const char secret_symbols[] =
                "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void check_text(const char *text, size_t size, char ret[9]) {
        uint8_t hash[crypto_generichash_BYTES];

        (void) crypto_generichash(hash, sizeof(hash), (const uint8_t *) text, size, NULL, 0);
        text_hex(hash, 4, ret);
}

void token_make(char ret[TOKEN_TEXT_SIZE]) {
        size_t n = strlen(prefix);

        memcpy(ret, prefix, n);
        for (int i = 0; i < 8; i++)
                ret[n++] = id_symbols[randombytes_uniform(32)];
        ret[n++] = '_';
        for (int i = 0; i < 32; i++)
                ret[n++] = secret_symbols[randombytes_uniform(62)];
        check_text(ret, n, ret + n + 1);
        ret[n] = '_';
}

int token_parse(const char *text, char ret_id[TOKEN_ID_SIZE], uint8_t ret_hash[TOKEN_HASH_SIZE]) {
        const char *id = text + 8, *secret = id + 9;
        char check[9];

        if (strlen(text) != TOKEN_TEXT_SIZE - 1 || strncmp(text, prefix, 8) != 0 || id[8] != '_' ||
                        secret[32] != '_' || strspn(id, id_symbols) != 8 ||
                        strspn(secret, secret_symbols) != 32)
                return -EBADMSG;
        check_text(text, TOKEN_TEXT_SIZE - 1 - 9, check);
        if (strcmp(check, secret + 33) != 0)
                return -EBADMSG;

        memcpy(ret_id, id, 8);
        ret_id[8] = 0;
        (void) crypto_generichash(ret_hash, TOKEN_HASH_SIZE, (const uint8_t *) secret, 32, NULL, 0);
        return 0;
}

void token_entry(const char *id, const uint8_t hash[TOKEN_HASH_SIZE], char ret[TOKEN_ENTRY_SIZE]) {
        static const char key[] = "vestibule token verifier v1";
        uint8_t verifier[TOKEN_HASH_SIZE];

        (void) crypto_generichash(verifier,
                        sizeof(verifier),
                        hash,
                        TOKEN_HASH_SIZE,
                        (const uint8_t *) key,
                        sizeof(key) - 1);
        (void) snprintf(ret, 10, "%.8s:", id);
        (void) sodium_bin2base64(ret + 9,
                        TOKEN_ENTRY_SIZE - 9,
                        verifier,
                        sizeof(verifier),
                        sodium_base64_VARIANT_ORIGINAL);
}

bool token_entry_is_valid(const char *entry) {
        uint8_t verifier[TOKEN_HASH_SIZE];

        return strlen(entry) == TOKEN_ENTRY_SIZE - 1 && strspn(entry, id_symbols) == 8 &&
               entry[8] == ':' &&
               text_from_base64_exactly(entry + 9, verifier, sizeof(verifier)) == 0;
}

bool token_entry_matches(const char *entry, const char *id, const uint8_t hash[TOKEN_HASH_SIZE]) {
        char expected[TOKEN_ENTRY_SIZE];

        if (strlen(id) != TOKEN_ID_SIZE - 1)
                return false;

        token_entry(id, hash, expected);
        return sodium_memcmp(entry, expected, TOKEN_ENTRY_SIZE) == 0;
}
