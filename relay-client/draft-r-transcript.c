#include "draft-r-transcript.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"

enum {
        STATE_VERSION = 1,
        FLAG_ABORTED = 1,
        FLAG_SENT = 2,
        FLAG_RECEIVED = 4,
        FLAGS_ALL = FLAG_ABORTED | FLAG_SENT | FLAG_RECEIVED,

        NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
        TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES,
        SHARE_MAX = 255,
};

/* More than any run of 65536 messages comes to; keeps the count of bits far from its end. */
static const uint64_t transcript_size_max = (uint64_t) 1 << 40;

/* FIPS 180-4 section 5.3.4. */
static const uint64_t sha384_initial[8] = {
        0xcbbb9d5dc1059ed8,
        0x629a292a367cd507,
        0x9159015a3070dd17,
        0x152fecd8f70e5939,
        0x67332667ffc00b31,
        0x8eb44a8768581511,
        0xdb0c2e0d64f98fa7,
        0x47b5481dbefa4fa4,
};

static bool is_sha384(const DraftRTranscript *t) {
        return draft_r_suite_hash_size(t->suite) == 48;
}

int draft_r_transcript_begin(DraftRRole role,
                const char *template,
                DraftRSuite suite,
                DraftRContextMode mode,
                const uint8_t *secret,
                size_t secret_size,
                DraftRTranscript *ret) {
        int r;

        r = draft_r_template_check(template);
        if (r != 0)
                return r;
        if (secret_size < DRAFT_R_SECRET_MIN || secret_size > DRAFT_R_SECRET_MAX)
                return DRAFT_R_E_SECRET;

        /* Every octet, padding included: equal runs are equal memory. */
        memset(ret, 0, sizeof(*ret));
        ret->role = role;
        ret->suite = suite;
        ret->mode = mode;
        memcpy(ret->template, template, strlen(template) + 1);
        memcpy(ret->secret, secret, secret_size);
        ret->secret_size = secret_size;
        if (mode == DRAFT_R_CONTEXT_RAW)
                return 0;
        if (is_sha384(ret)) {
                (void) crypto_hash_sha512_init(&ret->so_far.sha384);
                memcpy(ret->so_far.sha384.state, sha384_initial, sizeof(sha384_initial));
        } else
                (void) crypto_hash_sha256_init(&ret->so_far.sha256);
        return 0;
}

void draft_r_transcript_done(DraftRTranscript *t) {
        sodium_memzero(t, sizeof(*t));
}

static bool has_turn(const DraftRTranscript *t, DraftRRole role) {
        return !t->aborted && t->next < DRAFT_R_MESSAGES_MAX && t->next % 2 == (uint32_t) role;
}

bool draft_r_transcript_is_ours(const DraftRTranscript *t) {
        return has_turn(t, t->role);
}

bool draft_r_transcript_is_theirs(const DraftRTranscript *t) {
        return has_turn(t, t->role == DRAFT_R_SENDER ? DRAFT_R_RECEIVER : DRAFT_R_SENDER);
}

/* Ends a copy: the hash itself goes on. */
static size_t context_of(const DraftRTranscript *t, uint8_t ret[crypto_hash_sha512_BYTES]) {
        if (is_sha384(t)) {
                crypto_hash_sha512_state copy = t->so_far.sha384;

                (void) crypto_hash_sha512_final(&copy, ret);
                sodium_memzero(&copy, sizeof(copy));
        } else {
                crypto_hash_sha256_state copy = t->so_far.sha256;

                (void) crypto_hash_sha256_final(&copy, ret);
                sodium_memzero(&copy, sizeof(copy));
        }
        return draft_r_suite_hash_size(t->suite);
}

int draft_r_transcript_slot(const DraftRTranscript *t, DraftRSlot *ret) {
        uint8_t hash[crypto_hash_sha512_BYTES];
        const uint8_t *context = t->so_far.raw;
        size_t size;
        int r;

        assert(!t->aborted);
        if (t->mode == DRAFT_R_CONTEXT_HASH) {
                size = context_of(t, hash);
                context = hash;
        } else if (t->size > DRAFT_R_CONTEXT_MAX)
                return DRAFT_R_E_CONTEXT;
        else
                size = (size_t) t->size;

        r = draft_r_expand_label(t->suite,
                        t->secret,
                        t->secret_size,
                        "Location",
                        context,
                        size,
                        ret->location);
        if (r == 0)
                r = draft_r_expand_label(t->suite,
                                t->secret,
                                t->secret_size,
                                "Key",
                                context,
                                size,
                                ret->key);
        return r;
}

void draft_r_transcript_add(DraftRTranscript *t, const void *plaintext, size_t size) {
        assert(!t->aborted && t->next < DRAFT_R_MESSAGES_MAX);
        if (t->mode == DRAFT_R_CONTEXT_RAW) {
                if (t->size + size <= DRAFT_R_CONTEXT_MAX)
                        memcpy(t->so_far.raw + t->size, plaintext, size);
                else
                        sodium_memzero(t->so_far.raw, sizeof(t->so_far.raw)); /* never read again */
        } else if (is_sha384(t))
                (void) crypto_hash_sha512_update(&t->so_far.sha384, plaintext, size);
        else
                (void) crypto_hash_sha256_update(&t->so_far.sha256, plaintext, size);
        t->size += size;
        t->next++;
}

void draft_r_transcript_abort(DraftRTranscript *t) {
        t->aborted = true;
        sodium_memzero(t->secret, sizeof(t->secret));
        t->secret_size = 0;
        sodium_memzero(&t->so_far, sizeof(t->so_far));
        t->size = 0;
}

/* Octets of the transcript that are kept as they are: those of the hash's unfinished block, or in
 * raw mode all. */
static size_t tail_size(const DraftRTranscript *t) {
        if (t->aborted)
                return 0;
        if (t->mode == DRAFT_R_CONTEXT_RAW)
                return t->size <= DRAFT_R_CONTEXT_MAX ? (size_t) t->size : 0;
        return (size_t) (t->size % (is_sha384(t) ? 128 : 64));
}

static size_t words_size(const DraftRTranscript *t) {
        if (t->aborted || t->mode == DRAFT_R_CONTEXT_RAW)
                return 0;
        return is_sha384(t) ? sizeof(t->so_far.sha384.state) : sizeof(t->so_far.sha256.state);
}

static uint8_t *tail_of(DraftRTranscript *t) {
        if (t->mode == DRAFT_R_CONTEXT_RAW)
                return t->so_far.raw;
        return is_sha384(t) ? t->so_far.sha384.buf : t->so_far.sha256.buf;
}

static uint8_t *put_number(uint8_t *p, uint64_t value, size_t size) {
        for (size_t i = 0; i < size; i++)
                p[i] = (uint8_t) (value >> 8 * (size - 1 - i));
        return p + size;
}

static uint8_t *put_bytes(uint8_t *p, const void *data, size_t size) {
        if (size > 0)
                memcpy(p, data, size);
        return p + size;
}

static uint8_t *put_words(uint8_t *p, const DraftRTranscript *t) {
        if (words_size(t) == 0)
                return p;
        for (size_t i = 0; i < 8; i++)
                p = is_sha384(t) ? put_number(p, t->so_far.sha384.state[i], 8)
                                 : put_number(p, t->so_far.sha256.state[i], 4);
        return p;
}

int draft_r_transcript_write(const DraftRTranscript *t, Secret *ret) {
        uint8_t bytes[DRAFT_R_STATE_MAX], *p = bytes;
        const size_t template_size = strlen(t->template);
        int r;

        p = put_number(p, STATE_VERSION, 1);
        p = put_number(p, t->role, 1);
        p = put_number(p, draft_r_suite_code(t->suite), 2);
        p = put_number(p, t->mode, 1);
        p = put_number(p,
                        (t->aborted ? FLAG_ABORTED : 0) | (t->has_sent ? FLAG_SENT : 0) |
                                        (t->has_received ? FLAG_RECEIVED : 0),
                        1);
        p = put_number(p, template_size, 2);
        p = put_bytes(p, t->template, template_size);
        p = put_number(p, t->next, 4);
        p = put_bytes(p, t->sent, t->has_sent ? sizeof(t->sent) : 0);
        p = put_bytes(p, t->received, t->has_received ? sizeof(t->received) : 0);
        p = put_number(p, t->secret_size, 1);
        p = put_bytes(p, t->secret, t->secret_size);
        p = put_number(p, t->size, 8);
        p = put_words(p, t);
        p = put_bytes(p, tail_of((DraftRTranscript *) t), tail_size(t));
        assert((size_t) (p - bytes) <= sizeof(bytes));

        r = secret_copy(ret, bytes, (size_t) (p - bytes));
        sodium_memzero(bytes, sizeof(bytes));
        return r;
}

/* What is left to read; short once anything was missing. */
typedef struct Reader {
        const uint8_t *data;
        size_t size;
        bool is_short;
} Reader;

static void get_bytes(Reader *reader, void *ret, size_t size) {
        if (reader->is_short || reader->size < size) {
                reader->is_short = true;
                return;
        }
        if (size > 0)
                memcpy(ret, reader->data, size);
        reader->data += size;
        reader->size -= size;
}

static uint64_t get_number(Reader *reader, size_t size) {
        uint8_t bytes[8] = { 0 };
        uint64_t value = 0;

        get_bytes(reader, bytes, size);
        for (size_t i = 0; i < size; i++)
                value = value << 8 | bytes[i];
        return value;
}

static bool get_template(Reader *reader, char ret[DRAFT_R_TEMPLATE_MAX + 1]) {
        const size_t size = (size_t) get_number(reader, 2);

        if (size > DRAFT_R_TEMPLATE_MAX)
                return false;
        get_bytes(reader, ret, size);
        ret[size] = 0;
        return !reader->is_short && strlen(ret) == size && draft_r_template_check(ret) == 0;
}

static bool get_head(Reader *reader, DraftRTranscript *t) {
        uint64_t version = get_number(reader, 1), role = get_number(reader, 1);
        uint64_t code = get_number(reader, 2), mode = get_number(reader, 1);
        uint64_t flags = get_number(reader, 1);

        if (version != STATE_VERSION || role >= _DRAFT_R_ROLE_MAX ||
                        mode >= _DRAFT_R_CONTEXT_MODE_MAX || (flags & ~(uint64_t) FLAGS_ALL) ||
                        draft_r_suite_from_code((uint16_t) code, &t->suite) != 0)
                return false;
        t->role = (DraftRRole) role;
        t->mode = (DraftRContextMode) mode;
        t->aborted = flags & FLAG_ABORTED;
        t->has_sent = flags & FLAG_SENT;
        t->has_received = flags & FLAG_RECEIVED;
        return get_template(reader, t->template);
}

static void get_words(Reader *reader, DraftRTranscript *t) {
        if (is_sha384(t)) {
                for (size_t i = 0; i < 8; i++)
                        t->so_far.sha384.state[i] = get_number(reader, 8);
                t->so_far.sha384.count[1] = t->size * 8;
        } else {
                for (size_t i = 0; i < 8; i++)
                        t->so_far.sha256.state[i] = (uint32_t) get_number(reader, 4);
                t->so_far.sha256.count = t->size * 8;
        }
}

static bool read_state(Reader *reader, DraftRTranscript *t) {
        if (!get_head(reader, t))
                return false;
        t->next = (uint32_t) get_number(reader, 4);
        get_bytes(reader, t->sent, t->has_sent ? sizeof(t->sent) : 0);
        get_bytes(reader, t->received, t->has_received ? sizeof(t->received) : 0);
        t->secret_size = (size_t) get_number(reader, 1);
        if (t->next > DRAFT_R_MESSAGES_MAX || t->secret_size > DRAFT_R_SECRET_MAX ||
                        (t->aborted ? t->secret_size > 0 : t->secret_size < DRAFT_R_SECRET_MIN))
                return false;
        get_bytes(reader, t->secret, t->secret_size);
        t->size = get_number(reader, 8);
        if (t->size > transcript_size_max || (t->aborted && t->size > 0))
                return false;
        if (words_size(t) > 0)
                get_words(reader, t);
        get_bytes(reader, tail_of(t), tail_size(t));
        return !reader->is_short && reader->size == 0;
}

int draft_r_transcript_read(const void *data, size_t size, DraftRTranscript *ret) {
        Reader reader = { data, size, size > DRAFT_R_STATE_MAX };

        memset(ret, 0, sizeof(*ret));
        if (read_state(&reader, ret))
                return 0;
        draft_r_transcript_done(ret);
        return DRAFT_R_E_STATE;
}

/* A key for each purpose, so that nothing ever hashes under the root itself. */
static void derive_key(const DraftRIdentity *identity, const char *purpose, uint8_t ret[32]) {
        (void) crypto_kdf_derive_from_key(ret, 32, 1, purpose, identity->root);
}

/* Version and kid, which say how to open the rest, then what is not said but bound. */
static size_t write_binding(const DraftRIdentity *identity,
                uint8_t ret[DRAFT_R_SEALED_HEAD + SHARE_MAX + 1 + 8]) {
        const size_t share_size = strlen(identity->share);
        uint8_t *p = ret;

        assert(share_size <= SHARE_MAX && strlen(identity->kid) <= DRAFT_R_KID_SIZE);
        p = put_number(p, STATE_VERSION, 1);
        memset(p, 0, DRAFT_R_KID_SIZE);
        memcpy(p, identity->kid, strlen(identity->kid));
        p += DRAFT_R_KID_SIZE;
        p = put_bytes(p, identity->share, share_size + 1);
        p = put_number(p, identity->generation, 8);
        return (size_t) (p - ret);
}

int draft_r_transcript_seal(const DraftRTranscript *t,
                const DraftRIdentity *identity,
                uint8_t **ret,
                size_t *ret_size) {
        uint8_t binding[DRAFT_R_SEALED_HEAD + SHARE_MAX + 1 + 8], key[32], *sealed, *nonce;
        const size_t binding_size = write_binding(identity, binding);
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        int r;

        r = draft_r_transcript_write(t, &content);
        if (r < 0)
                return r;
        *ret_size = DRAFT_R_SEALED_HEAD + NONCE_SIZE + content.size + TAG_SIZE;
        sealed = malloc(*ret_size);
        if (!sealed)
                return -ENOMEM;
        memcpy(sealed, binding, DRAFT_R_SEALED_HEAD);
        nonce = sealed + DRAFT_R_SEALED_HEAD;
        randombytes_buf(nonce, NONCE_SIZE);

        derive_key(identity, "vbrstate", key);
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + NONCE_SIZE,
                        NULL,
                        content.data,
                        content.size,
                        binding,
                        binding_size,
                        NULL,
                        nonce,
                        key);
        sodium_memzero(key, sizeof(key));
        *ret = sealed;
        return 0;
}

int draft_r_transcript_open(const void *sealed,
                size_t size,
                const DraftRIdentity *identity,
                DraftRTranscript *ret) {
        uint8_t binding[DRAFT_R_SEALED_HEAD + SHARE_MAX + 1 + 8], key[32];
        uint8_t content[DRAFT_R_STATE_MAX];
        const size_t binding_size = write_binding(identity, binding);
        const size_t around = DRAFT_R_SEALED_HEAD + NONCE_SIZE + TAG_SIZE;
        const uint8_t *nonce = (const uint8_t *) sealed + DRAFT_R_SEALED_HEAD;
        int r;

        if (size < around || size > DRAFT_R_SEALED_MAX ||
                        memcmp(sealed, binding, DRAFT_R_SEALED_HEAD) != 0)
                return DRAFT_R_E_STATE;
        derive_key(identity, "vbrstate", key);
        r = crypto_aead_xchacha20poly1305_ietf_decrypt(content,
                        NULL,
                        NULL,
                        nonce + NONCE_SIZE,
                        size - DRAFT_R_SEALED_HEAD - NONCE_SIZE,
                        binding,
                        binding_size,
                        nonce,
                        key);
        sodium_memzero(key, sizeof(key));
        if (r != 0)
                return DRAFT_R_E_STATE;
        r = draft_r_transcript_read(content, size - around, ret);
        sodium_memzero(content, sizeof(content));
        return r;
}

/* The purposes differ in their first octets, and what follows a share's NUL has fixed sizes up to
 * the content, so that no two inputs run together. */
static void derive(const DraftRIdentity *identity,
                char purpose,
                uint32_t id,
                const void *content,
                size_t content_size,
                uint8_t *ret,
                size_t size) {
        crypto_generichash_state state;
        uint8_t key[32], numbers[8 + 4];

        derive_key(identity, "vbdraftr", key);
        (void) put_number(put_number(numbers, identity->generation, 8), id, 4);
        (void) crypto_generichash_init(&state, key, sizeof(key), size);
        (void) crypto_generichash_update(&state, (const uint8_t *) &purpose, 1);
        (void) crypto_generichash_update(
                        &state, (const uint8_t *) identity->share, strlen(identity->share) + 1);
        (void) crypto_generichash_update(&state, numbers, sizeof(numbers));
        (void) crypto_generichash_update(&state, content, content_size);
        (void) crypto_generichash_final(&state, ret, size);
        sodium_memzero(key, sizeof(key));
        sodium_memzero(&state, sizeof(state));
}

void draft_r_derive_secret(const DraftRIdentity *identity, DraftRSuite suite, uint8_t *ret) {
        derive(identity, 'R', 0, NULL, 0, ret, draft_r_suite_secret_size(suite));
}

void draft_r_derive_random(const DraftRIdentity *identity,
                uint32_t id,
                const void *message,
                size_t size,
                uint8_t ret[DRAFT_R_RANDOM_MIN]) {
        derive(identity, 'm', id, message, size, ret, DRAFT_R_RANDOM_MIN);
}

void draft_r_derive_nonce(const DraftRIdentity *identity,
                DraftRSuite suite,
                uint32_t id,
                const void *plaintext,
                size_t size,
                uint8_t *ret) {
        derive(identity, 'n', id, plaintext, size, ret, draft_r_suite_nonce_size(suite));
}
