/* The values of draft-rescorla-tigress-http-00 ("Draft R"), pure: where a message lies, under which
 * key, and what its bytes are. What runs over them is draft-r-transcript.h and relay.h.
 *
 * The draft leaves much open; these are the readings used here. Lengths are 32 octets ("256" is
 * bits). Context is the hash of the transcript, always, because HkdfLabel holds 255 octets and no
 * more; the literal context exists beside it and fails beyond that. The derived 256-bit key goes
 * through the response schedule of Oblivious HTTP (RFC 9458 section 4.4), so that one length serves
 * suites with keys of 16 and of 32 octets. Suites are those of RFC 8446 section B.4. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload.h"
#include "share-url.h"

enum {
        DRAFT_R_SECRET_MIN = 32, /* octets of R */
        DRAFT_R_SECRET_MAX = 64,
        DRAFT_R_LOCATION_SIZE = 32,
        DRAFT_R_KEY_SIZE = 32,
        DRAFT_R_HASH_MAX = 48,
        DRAFT_R_CONTEXT_MAX = 255,
        DRAFT_R_INFO_MAX = 2 + 1 + 255 + 1 + DRAFT_R_CONTEXT_MAX, /* of an HkdfLabel */
        DRAFT_R_AEAD_KEY_MAX = 32,
        DRAFT_R_AEAD_NONCE_SIZE = 12,
        DRAFT_R_TAG_SIZE = 16,
        DRAFT_R_NONCE_MAX = 32,  /* of response_nonce */
        DRAFT_R_RANDOM_MIN = 16, /* of `random` in the first message of each direction */
        DRAFT_R_RANDOM_MAX = 255,
        DRAFT_R_MESSAGES_MAX = 65536,
        DRAFT_R_MESSAGE_MAX = 64 * 1024, /* octets of a message that we send */
        DRAFT_R_BODY_MAX = 256 * 1024,   /* octets of a body that we read */
        DRAFT_R_TEMPLATE_MAX = 512,
};

typedef enum DraftRSuite {
        DRAFT_R_AES_128_GCM_SHA256,
        DRAFT_R_AES_256_GCM_SHA384,
        DRAFT_R_CHACHA20_POLY1305_SHA256,
        _DRAFT_R_SUITE_MAX,
} DraftRSuite;

typedef enum DraftRContextMode {
        DRAFT_R_CONTEXT_HASH,
        DRAFT_R_CONTEXT_RAW, /* the transcript itself: at most 255 octets of it */
        _DRAFT_R_CONTEXT_MODE_MAX,
} DraftRContextMode;

typedef enum DraftRError {
        DRAFT_R_E_SUITE = 1,       /* not one of the three suites */
        DRAFT_R_E_SCHEME = 2,      /* the template is not https */
        DRAFT_R_E_TEMPLATE = 3,    /* not exactly one {tigress_location}, or no URL around it */
        DRAFT_R_E_SECRET = 4,      /* R has fewer than 256 bits, or is no R */
        DRAFT_R_E_CONTEXT = 5,     /* more transcript than an HkdfLabel holds */
        DRAFT_R_E_TOO_SHORT = 6,   /* no room for response_nonce and tag */
        DRAFT_R_E_TOO_LARGE = 7,   /* more than DRAFT_R_BODY_MAX or DRAFT_R_MESSAGE_MAX */
        DRAFT_R_E_AUTH = 8,        /* changed, or from another place, key or run */
        DRAFT_R_E_FORM = 9,        /* decrypted, but no TigressPlaintext */
        DRAFT_R_E_MESSAGE_ID = 10, /* not the message that has this turn */
        DRAFT_R_E_RANDOM = 11,     /* too little `random` in message 0 or 1 */
        DRAFT_R_E_LINK = 12,       /* not an initiating message */
        DRAFT_R_E_STATE = 13,      /* not a transcript that was written here */
} DraftRError;

/* Borrowed bytes of a TigressPlaintext. */
typedef struct DraftRMessage {
        const uint8_t *random;
        size_t random_size;
        uint32_t id; /* 0 to 65535 */
        const uint8_t *message;
        size_t message_size;
} DraftRMessage;

/* What the key of a message and a response_nonce come to; secret. */
typedef struct DraftRMessageKey {
        uint8_t prk[DRAFT_R_HASH_MAX];
        uint8_t key[DRAFT_R_AEAD_KEY_MAX];
        uint8_t nonce[DRAFT_R_AEAD_NONCE_SIZE];
} DraftRMessageKey;

/* "auth", "message-id" …: what the enumeration says, as a word. */
const char *draft_r_error_name(DraftRError error);

/* By the code of RFC 8446 section B.4 (0x1301 …). DRAFT_R_E_SUITE. */
int draft_r_suite_from_code(uint16_t code, DraftRSuite *ret);
uint16_t draft_r_suite_code(DraftRSuite suite);
size_t draft_r_suite_hash_size(DraftRSuite suite);
size_t draft_r_suite_nonce_size(DraftRSuite suite);  /* of response_nonce */
size_t draft_r_suite_secret_size(DraftRSuite suite); /* of an R that we make: 32 or 48 */

/* A template is https, names a plain host, has {tigress_location} exactly once, after the host, and
 * no other variable and no fragment. DRAFT_R_E_SCHEME, DRAFT_R_E_TEMPLATE. */
int draft_r_template_check(const char *template);

/* "HOST[:PORT]" of a template that was checked. */
void draft_r_template_authority(const char *template, char ret[SHARE_URL_AUTHORITY_SIZE]);

/* The URL of a location, by a template that was checked. The caller frees. */
int draft_r_template_expand(
                const char *template, const uint8_t location[DRAFT_R_LOCATION_SIZE], char **ret);

/* HkdfLabel of RFC 8446 section 7.1 for 32 octets. label has at most 249 characters.
 * DRAFT_R_E_CONTEXT. */
int draft_r_label(const char *label,
                const void *context,
                size_t context_size,
                uint8_t ret[DRAFT_R_INFO_MAX],
                size_t *ret_size);

/* HKDF-Expand-Label(R, label, context, 32). DRAFT_R_E_CONTEXT, DRAFT_R_E_SECRET; -EIO from OpenSSL.
 */
int draft_r_expand_label(DraftRSuite suite,
                const uint8_t *secret,
                size_t secret_size,
                const char *label,
                const void *context,
                size_t context_size,
                uint8_t ret[DRAFT_R_KEY_SIZE]);

/* key and nonce of the AEAD; response_nonce has draft_r_suite_nonce_size() octets. The caller wipes
 * *ret. */
int draft_r_message_key(DraftRSuite suite,
                const uint8_t key[DRAFT_R_KEY_SIZE],
                const uint8_t *response_nonce,
                DraftRMessageKey *ret);

/* u8 length, random, u16 id, u32 length, message. DRAFT_R_E_TOO_LARGE. */
int draft_r_plaintext_write(const DraftRMessage *message, Plaintext *ret);

/* Reads exactly that, and insists on the id and on enough `random`. *ret borrows from data.
 * DRAFT_R_E_FORM, DRAFT_R_E_MESSAGE_ID, DRAFT_R_E_RANDOM. */
int draft_r_plaintext_read(const void *data, size_t size, uint32_t id, DraftRMessage *ret);

/* response_nonce, ciphertext, tag. A response_nonce must never meet the same key with another
 * plaintext. The caller frees *ret. */
int draft_r_body_seal(DraftRSuite suite,
                const uint8_t key[DRAFT_R_KEY_SIZE],
                const uint8_t *response_nonce,
                const void *plaintext,
                size_t size,
                uint8_t **ret,
                size_t *ret_size);

/* Nothing is returned unless the tag is right. DRAFT_R_E_TOO_SHORT, DRAFT_R_E_TOO_LARGE,
 * DRAFT_R_E_AUTH. */
int draft_r_body_open(DraftRSuite suite,
                const uint8_t key[DRAFT_R_KEY_SIZE],
                const void *body,
                size_t size,
                Plaintext *ret);
