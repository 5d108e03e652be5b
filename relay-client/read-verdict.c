#include "read-verdict.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "cleanup.h"

/* Octets that were read; `is_base64` is false for the text itself. */
typedef struct Blob {
        uint8_t *data;
        size_t size;
        bool is_base64;
} Blob;

static void blob_done(Blob *blob) {
        free(blob->data);
}

static int blob_read(const char *data, Blob *ret) {
        int r;

        *ret = (Blob){ .is_base64 = true };
        r = payload_decode(data, &ret->data, &ret->size);
        if (r != PAYLOAD_E_BASE64)
                return r;
        *ret = (Blob){ (uint8_t *) strdup(data), strlen(data), false };
        return ret->data ? 0 : -ENOMEM;
}

int read_verdict_digest(const char *data, uint8_t ret[PAYLOAD_DIGEST_SIZE]) {
        _cleanup_(blob_done) Blob blob = { NULL, 0, false };
        int r;

        r = blob_read(data, &blob);
        if (r == 0)
                payload_digest(blob.data, blob.size, ret);
        return r;
}

static int unreadable(const char *word, ReadVerdict *ret) {
        ret->kind = READ_UNREADABLE;
        ret->word = word;
        return 0;
}

/* A PayloadError makes a verdict; 0 and negative errno pass. */
static int judge(int r, ReadVerdict *ret) {
        return r > 0 ? unreadable(payload_error_name((PayloadError) r), ret) : r;
}

static bool is_our_own(const ReadQuestion *question, const Blob *blob, const Plaintext *plaintext) {
        return relay_private_key_is_own_iv(question->key,
                        question->share,
                        question->generation,
                        question->expect,
                        plaintext->data,
                        plaintext->size,
                        blob->data);
}

static int open_blob(const ReadQuestion *question,
                PayloadAlgorithm algorithm,
                const Blob *blob,
                ReadVerdict *ret) {
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        uint8_t secret[PAYLOAD_KEY_MAX];
        int r;

        relay_private_key_derive(question->key,
                        question->share,
                        question->generation,
                        secret,
                        payload_key_size(algorithm));
        r = payload_decrypt_blob(algorithm, secret, blob->data, blob->size, &plaintext);
        sodium_memzero(secret, sizeof(secret));
        if (r != 0)
                return judge(r, ret);
        if (is_our_own(question, blob, &plaintext)) {
                ret->kind = READ_OURS;
                return 0;
        }
        r = payload_provisioning_read(plaintext.data, plaintext.size, &ret->message);
        if (r != 0)
                return judge(r, ret);
        ret->kind = READ_MESSAGE;
        return 0;
}

/* Nobody here can open it; what has not even the form is not worth a tenant's while. */
static int pass_on(const char *data, const Blob *blob, ReadVerdict *ret) {
        if (blob->size < PAYLOAD_IV_SIZE + PAYLOAD_TAG_SIZE)
                return judge(PAYLOAD_E_TOO_SHORT, ret);
        if (strlen(data) > READ_ENCRYPTED_MAX)
                return unreadable("too-large", ret);
        ret->kind = READ_MESSAGE;
        return 0;
}

int read_verdict_reach(const ReadQuestion *question,
                const char *type,
                const char *data,
                ReadVerdict *ret) {
        _cleanup_(blob_done) Blob blob = { NULL, 0, false };
        PayloadAlgorithm algorithm;
        int r;

        *ret = (ReadVerdict){ .kind = READ_KNOWN };
        r = blob_read(data, &blob);
        if (r < 0)
                return r;
        payload_digest(blob.data, blob.size, ret->digest);
        if (question->known && memcmp(question->known, ret->digest, sizeof(ret->digest)) == 0)
                return 0;
        if (!blob.is_base64)
                return judge(PAYLOAD_E_BASE64, ret);
        r = payload_algorithm_from_name(type, question->legacy, &algorithm);
        if (r != 0)
                return judge(r, ret);
        if (question->encrypted)
                return pass_on(data, &blob, ret);
        return open_blob(question, algorithm, &blob, ret);
}

void read_verdict_done(ReadVerdict *verdict) {
        json_decref(verdict->message);
        *verdict = (ReadVerdict){ .kind = READ_KNOWN };
}
