/* Provisioning information that a tenant makes only when a share is confirmed: the request that
 * asks for it, signed, and the reading and sealing of the answer. plugins/api/MINT.md tells tenants
 * the same. Pure: no connection, and the clock is an argument.
 *
 * The request is a POST whose body names the share. It is signed by HTTP Message Signatures (RFC
 * 9421, ed25519) over method, URL, Content-Type, Content-Digest (RFC 9530) and Idempotency-Key,
 * with the key that also signs relay-key.pub (`signer` of GET /v1/keys). Idempotency-Key is the
 * share's id, so that whoever is asked twice gives the same answer twice. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "envelope.h"
#include "http.h"
#include "key-file.h"
#include "share-limits.h"
#include "text.h"

enum {
        MINT_E_REFUSED = 1, /* with a reason */

        MINT_ANSWER_MAX = SHARE_LIMIT_CONTENT,   /* bytes of the answer's body */
        MINT_DEPTH_MAX = ENVELOPE_DEPTH_MAX - 1, /* it is one level down in the envelope */
        MINT_REASON_SIZE = 32,
};

/* What the gateway asks for. */
typedef struct Mint {
        char share[ID_TEXT_SIZE];
        char *url;
        EnvelopeBinding binding; /* its strings are borrowed from: */
        json_t *envelope;
} Mint;

typedef enum MintOutcome {
        MINT_DONE,
        MINT_AGAIN,   /* the same again, later */
        MINT_REFUSED, /* for good: nothing was issued, or what came is no answer */
} MintOutcome;

typedef struct MintAnswer {
        MintOutcome outcome;
        char reason[MINT_REASON_SIZE]; /* a word for operators; empty when done */
        unsigned retry_after;          /* seconds; 0: as the caller likes */
        json_t *provisioning;          /* {format, content}, when done */
} MintAnswer;

/* True for what the relay client asks: https, a name in lower case and no address, perhaps a port,
 * a path; no user, no fragment (plain-url.h). */
bool mint_url_is_valid(const char *url);

/* Reads {share, url, envelope, expiration}. MINT_E_REFUSED with *ret_reason, a static word:
 * "bad-frame", "bad-url", "bad-expiration", "envelope-expired". The caller calls mint_done(). */
int mint_read(const json_t *frame, int64_t now, Mint *ret, const char **ret_reason);
void mint_done(Mint *mint);

/* The request, signed with this Ed25519 seed as of now; the caller's to end. -ENOMEM. */
int mint_request(const Mint *mint, const uint8_t seed[32], int64_t now, HttpRequest *ret);

/* Reads the answer. -ENOMEM. The caller calls mint_answer_done(); what is freed is wiped if
 * json_wipe_install() was called. */
int mint_answer_read(const HttpAnswer *http, int64_t now, MintAnswer *ret);
void mint_answer_done(MintAnswer *answer);

/* Seals it to the newest of our keys, bound as the gateway said. *ret_kid is borrowed from the
 * keys, *ret_box the caller's. -ENOKEY: no key may be sealed to any more. -ENOMEM. */
int mint_seal(const Mint *mint,
                const json_t *provisioning,
                const RelayPrivateKeys *keys,
                int64_t now,
                const char **ret_kid,
                char **ret_box);
