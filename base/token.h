/* Tenants' bearer tokens: `vb_live_<id, 8>_<secret, 32>_<check, 8>`, where id is Crockford base32,
 * secret is base62 (190 bits) and check is the first 4 bytes of BLAKE2b over all before it, so that
 * a cut or mistyped token is told apart from a wrong one and a leaked one is found by a scanner.
 *
 * The front passes on the id and BLAKE2b-256 of the secret; the configuration holds `id:verifier`,
 * where the verifier is base64 of BLAKE2b-256 over that hash under a fixed key. With 190 random
 * bits a slow hash would add nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
        TOKEN_ID_SIZE = 9, /* with the final NUL */
        TOKEN_HASH_SIZE = 32,
        TOKEN_TEXT_SIZE = 8 + 8 + 1 + 32 + 1 + 8 + 1,
        TOKEN_ENTRY_SIZE = 8 + 1 + 44 + 1, /* "id:verifier" and the final NUL */
};

/* Makes a fresh token. */
void token_make(char ret[TOKEN_TEXT_SIZE]);

/* Reads a token's id and the hash of its secret. -EBADMSG: not a token. */
int token_parse(const char *text, char ret_id[TOKEN_ID_SIZE], uint8_t ret_hash[TOKEN_HASH_SIZE]);

/* Writes the configuration's entry for an id, which must have 8 symbols, and a secret's hash. */
void token_entry(const char *id, const uint8_t hash[TOKEN_HASH_SIZE], char ret[TOKEN_ENTRY_SIZE]);

/* True when the text has the form of an entry. */
bool token_entry_is_valid(const char *entry);

/* Compares in constant time. The entry must be valid; the id may be anything a front passed on. */
bool token_entry_matches(const char *entry, const char *id, const uint8_t hash[TOKEN_HASH_SIZE]);
