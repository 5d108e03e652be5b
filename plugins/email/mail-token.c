#include "mail-token.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static const char symbols[] = "abcdefghijklmnopqrstuvwxyz234567";

static const struct {
        char letter, prefix[4 + 1];
} kinds[MAIL_TOKEN_KIND_MAX] = {
        [MAIL_TOKEN_REPLY] = { 'r', "thr_" },
        [MAIL_TOKEN_BOUNCE] = { 'b', "msg_" },
        [MAIL_TOKEN_NAME] = { 'm', "msg_" },
};

int mail_token_check_place(const MailTokenPlace *place) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789._-";
        size_t size = strlen(place->mailbox);

        if (size == 0)
                return 0;
        if (size > MAIL_TOKEN_MAILBOX_MAX || strspn(place->mailbox, allowed) != size ||
                        strchr(".-", place->mailbox[0]) || place->mailbox[size - 1] == '.' ||
                        strstr(place->mailbox, ".."))
                return MAIL_TOKEN_E_MAILBOX;
        return place->separator != '\0' && strchr("+-=_", place->separator) ? 0
                                                                            : MAIL_TOKEN_E_MAILBOX;
}

/* The MAC is over the kind and the id's 16 bytes, under a name that no other use of a key has. */
static void make_mac(const uint8_t *key,
                MailTokenKind kind,
                const uint8_t id[16],
                char ret[MAIL_TOKEN_MAC_SYMBOLS]) {
        static const char name[] = "vestibule mail token 1";
        crypto_auth_hmacsha256_state state;
        uint8_t mac[crypto_auth_hmacsha256_BYTES];

        crypto_auth_hmacsha256_init(&state, key, MAIL_TOKEN_KEY_SIZE);
        crypto_auth_hmacsha256_update(&state, (const uint8_t *) name, sizeof(name));
        crypto_auth_hmacsha256_update(&state, (const uint8_t *) &kinds[kind].letter, 1);
        crypto_auth_hmacsha256_update(&state, id, 16);
        crypto_auth_hmacsha256_final(&state, mac);

        for (size_t i = 0; i < MAIL_TOKEN_MAC_SYMBOLS; i++) {
                unsigned bit = (unsigned) i * 5;
                unsigned two = (unsigned) mac[bit / 8] << 8 | mac[bit / 8 + 1];

                ret[i] = symbols[two >> (11 - bit % 8) & 31];
        }
        sodium_memzero(mac, sizeof(mac));
        sodium_memzero(&state, sizeof(state));
}

int mail_token_make(const MailTokenPlace *place,
                MailTokenKind kind,
                const char *id,
                char ret[MAIL_TOKEN_LOCAL_MAX + 1]) {
        size_t n = strlen(place->mailbox);
        uint8_t bytes[16];
        char text[ID_TEXT_SIZE];

        assert(kind < MAIL_TOKEN_KIND_MAX);
        ret[0] = '\0';
        if (mail_token_check_place(place) != 0)
                return MAIL_TOKEN_E_MAILBOX;
        if (text_from_id(kinds[kind].prefix, id, bytes) < 0)
                return MAIL_TOKEN_E_ID;

        memcpy(ret, place->mailbox, n);
        if (n > 0)
                ret[n++] = place->separator;
        ret[n++] = kinds[kind].letter;
        text_id(kinds[kind].prefix, bytes, text);
        memcpy(ret + n, text + 4, 26);
        make_mac(place->key, kind, bytes, ret + n + 26);
        ret[n + 26 + MAIL_TOKEN_MAC_SYMBOLS] = '\0';
        return 0;
}

/* Compares a token's text with the only right one for the id that it names. */
static int read_token(const MailTokenPlace *place,
                MailTokenKind kind,
                const char *token,
                char ret_id[ID_TEXT_SIZE]) {
        char id[ID_TEXT_SIZE], mac[MAIL_TOKEN_MAC_SYMBOLS];
        uint8_t bytes[16];

        memcpy(id, kinds[kind].prefix, 4);
        memcpy(id + 4, token + 1, 26);
        id[sizeof(id) - 1] = '\0';
        if (text_from_id(kinds[kind].prefix, id, bytes) < 0)
                return MAIL_TOKEN_E_NONE;
        make_mac(place->key, kind, bytes, mac);
        if (sodium_memcmp(mac, token + 1 + 26, sizeof(mac)) != 0)
                return MAIL_TOKEN_E_WRONG;
        memcpy(ret_id, id, sizeof(id));
        return 0;
}

int mail_token_read(const MailTokenPlace *place,
                const char *local,
                size_t size,
                MailTokenKind *ret_kind,
                char ret_id[ID_TEXT_SIZE]) {
        size_t n = strlen(place->mailbox);
        size_t front = n > 0 ? n + 1 : 0;

        ret_id[0] = '\0';
        if (mail_token_check_place(place) != 0)
                return MAIL_TOKEN_E_MAILBOX;
        if (size != front + MAIL_TOKEN_SIZE || memcmp(local, place->mailbox, n) != 0 ||
                        (n > 0 && local[n] != place->separator) || memchr(local, '\0', size))
                return MAIL_TOKEN_E_NONE;
        for (unsigned kind = 0; kind < MAIL_TOKEN_KIND_MAX; kind++)
                if (local[front] == kinds[kind].letter) {
                        *ret_kind = (MailTokenKind) kind;
                        return read_token(place, *ret_kind, local + front, ret_id);
                }
        return MAIL_TOKEN_E_NONE;
}
