#include "draft-r.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"

typedef struct Suite {
        uint16_t code;
        const EVP_CIPHER *(*cipher)(void);
        const char *hash; /* as OpenSSL calls it */
        size_t hash_size, key_size, nonce_size, secret_size;
} Suite;

static const Suite suites[_DRAFT_R_SUITE_MAX] = {
        /* clang-format off */
        [DRAFT_R_AES_128_GCM_SHA256]       = { 0x1301, EVP_aes_128_gcm,       "SHA256", 32, 16, 16, 32 },
        [DRAFT_R_AES_256_GCM_SHA384]       = { 0x1302, EVP_aes_256_gcm,       "SHA384", 48, 32, 32, 48 },
        [DRAFT_R_CHACHA20_POLY1305_SHA256] = { 0x1303, EVP_chacha20_poly1305, "SHA256", 32, 32, 32, 32 },
        /* clang-format on */
};

static const char scheme[] = "https://", variable[] = "{tigress_location}";

static void cipher_freep(EVP_CIPHER_CTX **context) {
        EVP_CIPHER_CTX_free(*context);
}

static void kdf_freep(EVP_KDF **kdf) {
        EVP_KDF_free(*kdf);
}

static void kdf_context_freep(EVP_KDF_CTX **context) {
        EVP_KDF_CTX_free(*context);
}

const char *draft_r_error_name(DraftRError error) {
        switch (error) {
        case DRAFT_R_E_SUITE:
                return "suite";
        case DRAFT_R_E_SCHEME:
                return "scheme-not-https";
        case DRAFT_R_E_TEMPLATE:
                return "template";
        case DRAFT_R_E_SECRET:
                return "secret";
        case DRAFT_R_E_CONTEXT:
                return "context-too-long";
        case DRAFT_R_E_TOO_SHORT:
                return "too-short";
        case DRAFT_R_E_TOO_LARGE:
                return "too-large";
        case DRAFT_R_E_AUTH:
                return "auth";
        case DRAFT_R_E_FORM:
                return "form";
        case DRAFT_R_E_MESSAGE_ID:
                return "message-id";
        case DRAFT_R_E_RANDOM:
                return "random";
        case DRAFT_R_E_LINK:
                return "link";
        case DRAFT_R_E_STATE:
                return "state";
        }
        return "unknown";
}

int draft_r_suite_from_code(uint16_t code, DraftRSuite *ret) {
        for (size_t i = 0; i < N_ELEMENTS(suites); i++)
                if (suites[i].code == code) {
                        *ret = (DraftRSuite) i;
                        return 0;
                }
        return DRAFT_R_E_SUITE;
}

uint16_t draft_r_suite_code(DraftRSuite suite) {
        return suites[suite].code;
}

size_t draft_r_suite_hash_size(DraftRSuite suite) {
        return suites[suite].hash_size;
}

size_t draft_r_suite_nonce_size(DraftRSuite suite) {
        return suites[suite].nonce_size;
}

size_t draft_r_suite_secret_size(DraftRSuite suite) {
        return suites[suite].secret_size;
}

/* Only what may stand in a URL's path and query (RFC 3986), so that no second variable, operator or
 * fragment hides in a template. */
static bool is_literal(const char *text, size_t size) {
        static const char others[] = "-._~!$&'()*+,;=:@/?";

        for (size_t i = 0; i < size; i++) {
                char c = text[i];

                if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                (c && strchr(others, c)))
                        continue;
                if (c != '%' || size - i < 3 || strspn(text + i + 1, "0123456789abcdefABCDEF") < 2)
                        return false;
                i += 2;
        }
        return true;
}

static int read_authority(const char *template, char ret[SHARE_URL_AUTHORITY_SIZE]) {
        char base[sizeof(scheme) + SHARE_URL_AUTHORITY_SIZE];
        size_t size = sizeof(scheme) - 1;

        size += strcspn(template + size, "/?#");
        if (template[size] != '/' || size >= sizeof(base))
                return DRAFT_R_E_TEMPLATE;
        memcpy(base, template, size);
        base[size] = 0;
        return share_url_authority(base, ret) == 0 ? 0 : DRAFT_R_E_TEMPLATE;
}

int draft_r_template_check(const char *template) {
        char authority[SHARE_URL_AUTHORITY_SIZE];
        const char *path, *place, *rest;
        int r;

        if (strlen(template) > DRAFT_R_TEMPLATE_MAX)
                return DRAFT_R_E_TEMPLATE;
        if (strncmp(template, scheme, sizeof(scheme) - 1) != 0)
                return DRAFT_R_E_SCHEME;
        r = read_authority(template, authority);
        if (r != 0)
                return r;

        path = strchr(template + sizeof(scheme) - 1, '/');
        place = strstr(path, variable);
        if (!place)
                return DRAFT_R_E_TEMPLATE;
        rest = place + sizeof(variable) - 1;
        if (!is_literal(path, (size_t) (place - path)) || !is_literal(rest, strlen(rest)))
                return DRAFT_R_E_TEMPLATE;
        return 0;
}

void draft_r_template_authority(const char *template, char ret[SHARE_URL_AUTHORITY_SIZE]) {
        int r;

        r = read_authority(template, ret);
        assert(r == 0);
}

int draft_r_template_expand(
                const char *template, const uint8_t location[DRAFT_R_LOCATION_SIZE], char **ret) {
        const char *place = strstr(template, variable);
        char text[sodium_base64_ENCODED_LEN(
                        DRAFT_R_LOCATION_SIZE, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
        char *url;

        assert(place);
        (void) sodium_bin2base64(text,
                        sizeof(text),
                        location,
                        DRAFT_R_LOCATION_SIZE,
                        sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        if (asprintf(&url,
                            "%.*s%s%s",
                            (int) (place - template),
                            template,
                            text,
                            place + sizeof(variable) - 1) < 0)
                return -ENOMEM;
        *ret = url;
        return 0;
}

int draft_r_label(const char *label,
                const void *context,
                size_t context_size,
                uint8_t ret[DRAFT_R_INFO_MAX],
                size_t *ret_size) {
        static const char prefix[] = "tls13 ";
        const size_t label_size = strlen(label), full_size = sizeof(prefix) - 1 + label_size;
        uint8_t *p = ret;

        assert(full_size <= UINT8_MAX);
        if (context_size > DRAFT_R_CONTEXT_MAX)
                return DRAFT_R_E_CONTEXT;
        *p++ = 0;
        *p++ = DRAFT_R_KEY_SIZE;
        *p++ = (uint8_t) full_size;
        memcpy(p, prefix, sizeof(prefix) - 1);
        p += sizeof(prefix) - 1;
        memcpy(p, label, label_size);
        p += label_size;
        *p++ = (uint8_t) context_size;
        if (context_size > 0)
                memcpy(p, context, context_size);
        *ret_size = (size_t) (p - ret) + context_size;
        return 0;
}

/* HKDF of RFC 5869: Extract with a salt, or Expand with an info. */
static int hkdf(const Suite *suite,
                int mode,
                const void *key,
                size_t key_size,
                const void *input,
                size_t input_size,
                uint8_t *ret,
                size_t ret_size) {
        _cleanup_(kdf_freep) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
        _cleanup_(kdf_context_freep) EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
        const char *input_name = mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ? OSSL_KDF_PARAM_SALT
                                                                        : OSSL_KDF_PARAM_INFO;
        /* OpenSSL takes what it only reads without const. */
        const OSSL_PARAM parameters[] = {
                OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
                OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *) suite->hash, 0),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *) key, key_size),
                OSSL_PARAM_construct_octet_string(input_name, (void *) input, input_size),
                OSSL_PARAM_construct_end(),
        };

        if (!context)
                return -ENOMEM;
        return EVP_KDF_derive(context, ret, ret_size, parameters) == 1 ? 0 : -EIO;
}

int draft_r_expand_label(DraftRSuite suite,
                const uint8_t *secret,
                size_t secret_size,
                const char *label,
                const void *context,
                size_t context_size,
                uint8_t ret[DRAFT_R_KEY_SIZE]) {
        uint8_t info[DRAFT_R_INFO_MAX];
        size_t size;
        int r;

        if (secret_size < DRAFT_R_SECRET_MIN || secret_size > DRAFT_R_SECRET_MAX)
                return DRAFT_R_E_SECRET;
        r = draft_r_label(label, context, context_size, info, &size);
        if (r == 0)
                r = hkdf(&suites[suite],
                                EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                                secret,
                                secret_size,
                                info,
                                size,
                                ret,
                                DRAFT_R_KEY_SIZE);
        sodium_memzero(info, sizeof(info)); /* a literal context is plaintext */
        return r;
}

int draft_r_message_key(DraftRSuite suite,
                const uint8_t key[DRAFT_R_KEY_SIZE],
                const uint8_t *response_nonce,
                DraftRMessageKey *ret) {
        const Suite *s = &suites[suite];
        const int expand = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
        int r;

        r = hkdf(s,
                        EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
                        key,
                        DRAFT_R_KEY_SIZE,
                        response_nonce,
                        s->nonce_size,
                        ret->prk,
                        s->hash_size);
        if (r == 0)
                r = hkdf(s, expand, ret->prk, s->hash_size, "key", 3, ret->key, s->key_size);
        if (r == 0)
                r = hkdf(s,
                                expand,
                                ret->prk,
                                s->hash_size,
                                "nonce",
                                5,
                                ret->nonce,
                                sizeof(ret->nonce));
        return r;
}

int draft_r_plaintext_write(const DraftRMessage *message, Plaintext *ret) {
        uint8_t *p;
        int r;

        assert(message->random_size <= DRAFT_R_RANDOM_MAX && message->id < DRAFT_R_MESSAGES_MAX);
        if (message->message_size > DRAFT_R_MESSAGE_MAX)
                return DRAFT_R_E_TOO_LARGE;
        r = plaintext_new(ret, 1 + message->random_size + 2 + 4 + message->message_size);
        if (r < 0)
                return r;

        p = ret->data;
        *p++ = (uint8_t) message->random_size;
        if (message->random_size > 0)
                memcpy(p, message->random, message->random_size);
        p += message->random_size;
        *p++ = (uint8_t) (message->id >> 8);
        *p++ = (uint8_t) message->id;
        for (int shift = 24; shift >= 0; shift -= 8)
                *p++ = (uint8_t) (message->message_size >> shift);
        if (message->message_size > 0)
                memcpy(p, message->message, message->message_size);
        return 0;
}

int draft_r_plaintext_read(const void *data, size_t size, uint32_t id, DraftRMessage *ret) {
        const uint8_t *p = data;
        DraftRMessage message;
        uint32_t message_size;

        if (size < 1 || size - 1 < (size_t) p[0] + 2 + 4)
                return DRAFT_R_E_FORM;
        message.random_size = p[0];
        message.random = p + 1;
        p += 1 + message.random_size;
        message.id = (uint32_t) p[0] << 8 | p[1];
        message_size = (uint32_t) p[2] << 24 | (uint32_t) p[3] << 16 | (uint32_t) p[4] << 8 | p[5];
        message.message = p + 6;
        message.message_size = size - 1 - message.random_size - 6;
        if (message_size != message.message_size)
                return DRAFT_R_E_FORM;

        if (message.id != id)
                return DRAFT_R_E_MESSAGE_ID;
        if (id < 2 && message.random_size < DRAFT_R_RANDOM_MIN)
                return DRAFT_R_E_RANDOM;
        *ret = message;
        return 0;
}

int draft_r_body_seal(DraftRSuite suite,
                const uint8_t key[DRAFT_R_KEY_SIZE],
                const uint8_t *response_nonce,
                const void *plaintext,
                size_t size,
                uint8_t **ret,
                size_t *ret_size) {
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        const Suite *s = &suites[suite];
        const size_t body_size = s->nonce_size + size + DRAFT_R_TAG_SIZE;
        _cleanup_(freep) uint8_t *body = NULL;
        DraftRMessageKey derived;
        uint8_t *ciphertext;
        int n, r;

        if (size > DRAFT_R_BODY_MAX)
                return DRAFT_R_E_TOO_LARGE;
        body = malloc(body_size);
        if (!context || !body)
                return -ENOMEM;
        memcpy(body, response_nonce, s->nonce_size);
        ciphertext = body + s->nonce_size;

        r = draft_r_message_key(suite, key, response_nonce, &derived);
        if (r == 0 && (EVP_EncryptInit_ex(context, s->cipher(), NULL, derived.key, derived.nonce) !=
                                                      1 ||
                                      EVP_EncryptUpdate(context,
                                                      ciphertext,
                                                      &n,
                                                      plaintext,
                                                      (int) size) != 1 ||
                                      EVP_EncryptFinal_ex(context, ciphertext + n, &n) != 1 ||
                                      EVP_CIPHER_CTX_ctrl(context,
                                                      EVP_CTRL_AEAD_GET_TAG,
                                                      DRAFT_R_TAG_SIZE,
                                                      ciphertext + size) != 1))
                r = -EIO;
        sodium_memzero(&derived, sizeof(derived));
        if (r < 0)
                return r;

        *ret = TAKE_PTR(body);
        *ret_size = body_size;
        return 0;
}

static int open_ciphertext(const Suite *suite,
                const DraftRMessageKey *derived,
                const uint8_t *ciphertext,
                size_t size,
                Plaintext *ret) {
        _cleanup_(cipher_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        uint8_t tag[DRAFT_R_TAG_SIZE];
        int n, r;

        if (!context)
                return -ENOMEM;
        r = plaintext_new(&plaintext, size);
        if (r < 0)
                return r;
        memcpy(tag, ciphertext + size, sizeof(tag));
        if (EVP_DecryptInit_ex(context, suite->cipher(), NULL, derived->key, derived->nonce) != 1 ||
                        EVP_DecryptUpdate(context, plaintext.data, &n, ciphertext, (int) size) !=
                                        1 ||
                        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) != 1)
                return -EIO;
        if (EVP_DecryptFinal_ex(context, plaintext.data + n, &n) != 1)
                return DRAFT_R_E_AUTH;

        *ret = plaintext;
        plaintext = PLAINTEXT_NULL;
        return 0;
}

int draft_r_body_open(DraftRSuite suite,
                const uint8_t key[DRAFT_R_KEY_SIZE],
                const void *body,
                size_t size,
                Plaintext *ret) {
        const Suite *s = &suites[suite];
        const uint8_t *nonce = body;
        DraftRMessageKey derived;
        int r;

        if (size > DRAFT_R_BODY_MAX)
                return DRAFT_R_E_TOO_LARGE;
        if (size < s->nonce_size + DRAFT_R_TAG_SIZE)
                return DRAFT_R_E_TOO_SHORT;
        r = draft_r_message_key(suite, key, nonce, &derived);
        if (r == 0)
                r = open_ciphertext(s,
                                &derived,
                                nonce + s->nonce_size,
                                size - s->nonce_size - DRAFT_R_TAG_SIZE,
                                ret);
        sodium_memzero(&derived, sizeof(derived));
        return r;
}
