/* One run of Draft R as a value: who we are in it, R, how far it has come, and the transcript from
 * which the next location and key follow. It is secret: whoever holds it can read and write the
 * rest of the run. It leaves the process only sealed, for somebody else to keep.
 *
 * In the hash mode the transcript is kept as a hash that has not ended, so that a run of any length
 * fits into DRAFT_R_STATE_MAX octets and payloads of the past are not in it. In the raw mode it is
 * kept whole, up to the 255 octets that an HkdfLabel can hold.
 *
 * Nothing that we draw is random here. R, `random` and response_nonce of our own messages are keyed
 * BLAKE2b of (share, generation, message id, content), under a key derived from the private key, so
 * that a PUT repeated after a crash carries identical octets and no log of what was sent is needed.
 * This is sound: to everybody without the private key the values look random; a response_nonce
 * depends on the whole plaintext, so that it repeats only with the same plaintext, and two
 * plaintexts at one place of the run never meet under one nonce; another place, generation or share
 * has another key. What it reveals is that a repeated message is a repeated message, which its
 * location says already. */
#pragma once

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "draft-r.h"
#include "secret.h"

enum {
        DRAFT_R_STATE_MAX = 2048, /* octets of a transcript that is written */
        DRAFT_R_KID_SIZE = 16,
        DRAFT_R_SEALED_HEAD = 1 + DRAFT_R_KID_SIZE,
        DRAFT_R_SEALED_MAX = DRAFT_R_SEALED_HEAD + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES +
                             DRAFT_R_STATE_MAX + crypto_aead_xchacha20poly1305_ietf_ABYTES,
};

typedef enum DraftRRole {
        DRAFT_R_SENDER,   /* of the credential: speaks first, and with even ids */
        DRAFT_R_RECEIVER, /* odd ids */
        _DRAFT_R_ROLE_MAX,
} DraftRRole;

/* Whose run it is; borrowed. */
typedef struct DraftRIdentity {
        const uint8_t *root; /* 32 octets: a private key, under which nothing is hashed directly */
        const char *kid;     /* its name, at most DRAFT_R_KID_SIZE characters; not secret */
        const char *share;   /* its id, at most 255 characters */
        uint64_t generation;
} DraftRIdentity;

typedef struct DraftRSlot {
        uint8_t location[DRAFT_R_LOCATION_SIZE];
        uint8_t key[DRAFT_R_KEY_SIZE];
} DraftRSlot;

/* Embedded by its users; ended with draft_r_transcript_done(). */
typedef struct DraftRTranscript {
        DraftRRole role;
        DraftRSuite suite;
        DraftRContextMode mode;
        bool aborted; /* for good: R and the transcript are gone */
        char template[DRAFT_R_TEMPLATE_MAX + 1];
        uint8_t secret[DRAFT_R_SECRET_MAX];
        size_t secret_size;
        uint32_t next; /* the id of the next message; DRAFT_R_MESSAGES_MAX: there is none */
        uint64_t size; /* octets of the transcript */
        union {
                crypto_hash_sha256_state sha256;
                crypto_hash_sha512_state sha384; /* SHA-512 with other initial values */
                uint8_t raw[DRAFT_R_CONTEXT_MAX];
        } so_far;

        bool has_sent;     /* our last message lies at sent, or was taken */
        bool has_received; /* the peer's last message was read and is still to be deleted */
        uint8_t sent[DRAFT_R_LOCATION_SIZE], received[DRAFT_R_LOCATION_SIZE];
} DraftRTranscript;

/* A run before its first message. DRAFT_R_E_SCHEME, DRAFT_R_E_TEMPLATE, DRAFT_R_E_SECRET. */
int draft_r_transcript_begin(DraftRRole role,
                const char *template,
                DraftRSuite suite,
                DraftRContextMode mode,
                const uint8_t *secret,
                size_t secret_size,
                DraftRTranscript *ret);

/* Wipes. */
void draft_r_transcript_done(DraftRTranscript *transcript);

/* Lock-step: whose message comes next. Neither side's after an abort and after the last id. */
bool draft_r_transcript_is_ours(const DraftRTranscript *transcript);
bool draft_r_transcript_is_theirs(const DraftRTranscript *transcript);

/* Where the next message lies, and under which key. The caller wipes *ret. DRAFT_R_E_CONTEXT: the
 * raw mode ends here. */
int draft_r_transcript_slot(const DraftRTranscript *transcript, DraftRSlot *ret);

/* Takes the next message, as a whole TigressPlaintext, into the transcript. */
void draft_r_transcript_add(DraftRTranscript *transcript, const void *plaintext, size_t size);

/* Ends the run for good. Locations stay, so that what lies there can be deleted. */
void draft_r_transcript_abort(DraftRTranscript *transcript);

/* To octets and back: equal transcripts give equal octets, and what is read writes the same again.
 * -ENOMEM; draft_r_transcript_read(): DRAFT_R_E_STATE. */
int draft_r_transcript_write(const DraftRTranscript *transcript, Secret *ret);
int draft_r_transcript_read(const void *data, size_t size, DraftRTranscript *ret);

/* The octets in an AEAD, under a key that is derived from the identity's root, and bound to its
 * kid, share and generation. The caller frees *ret, of at most DRAFT_R_SEALED_MAX octets.
 * draft_r_transcript_open(): DRAFT_R_E_STATE. */
int draft_r_transcript_seal(const DraftRTranscript *transcript,
                const DraftRIdentity *identity,
                uint8_t **ret,
                size_t *ret_size);
int draft_r_transcript_open(const void *sealed,
                size_t size,
                const DraftRIdentity *identity,
                DraftRTranscript *ret);

/* What a run draws; see above. R has draft_r_suite_secret_size() octets, response_nonce
 * draft_r_suite_nonce_size(). */
void draft_r_derive_secret(const DraftRIdentity *identity, DraftRSuite suite, uint8_t *ret);
void draft_r_derive_random(const DraftRIdentity *identity,
                uint32_t id,
                const void *message,
                size_t size,
                uint8_t ret[DRAFT_R_RANDOM_MIN]);
void draft_r_derive_nonce(const DraftRIdentity *identity,
                DraftRSuite suite,
                uint32_t id,
                const void *plaintext,
                size_t size,
                uint8_t *ret);
