/* What it means that something lies in a mailbox of Draft V, which has one slot that both sides
 * write, and a relay that may show anything that ever lay in it: nothing new, a message of our own,
 * the recipient's next message, or nothing that can be read. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "key-file.h"
#include "payload.h"

enum {
        READ_ENCRYPTED_MAX = 60000, /* characters of `data` that are passed on; they fit a frame */
};

typedef enum ReadVerdictKind {
        READ_KNOWN,      /* what the caller knows to lie there: nothing new */
        READ_OURS,       /* a message of ours that lay there before: the relay reflects */
        READ_UNREADABLE, /* `word` says why */
        READ_MESSAGE,
} ReadVerdictKind;

/* What the caller knows of the mailbox; borrowed. */
typedef struct ReadQuestion {
        const uint8_t *known; /* a digest, or NULL */
        bool encrypted;       /* the tenant keeps the Secret; what follows is then not needed */
        bool legacy;          /* older names of algorithms are taken */
        const RelayPrivateKey *key;
        const char *share;
        uint64_t generation;
        uint64_t expect; /* the number of the message that may come */
} ReadQuestion;

typedef struct ReadVerdict {
        ReadVerdictKind kind;
        uint8_t digest[PAYLOAD_DIGEST_SIZE];
        const char *word; /* of payload_error_name(), or "too-large"; static */
        json_t *message;  /* with `format` and `content`; NULL when encrypted */
} ReadVerdict;

/* The digest of what lies there: of the decoded octets, or of the text itself where that is no
 * base64. -ENOMEM. */
int read_verdict_digest(const char *data, uint8_t ret[PAYLOAD_DIGEST_SIZE]);

/* -ENOMEM, -EIO from OpenSSL; else 0 and the caller calls read_verdict_done(). */
int read_verdict_reach(
                const ReadQuestion *question, const char *type, const char *data, ReadVerdict *ret);

/* Wipes, as far as json_wipe_install() makes it so, and frees. */
void read_verdict_done(ReadVerdict *verdict);
