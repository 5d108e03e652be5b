#include "receive-state.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "cleanup.h"
#include "json-read.h"
#include "json-wipe.h"
#include "text.h"

enum {
        VERSION = 1,
        DEPTH_MAX = 3,
        NUMBER_MAX = 2 * RECEIVE_MESSAGES_MAX,
        SEAL_EXTRA = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES,
};

/* 9999-12-31T23:59:59Z */
static const int64_t expiration_max = 253402300799;

static const char *const phases[_RECEIVE_PHASE_MAX] = {
        [RECEIVE_READING] = "reading",
        [RECEIVE_HANDLING] = "handling",
        [RECEIVE_ANSWERING] = "answering",
        [RECEIVE_ENDING] = "ending",
        [RECEIVE_GIVING_UP] = "giving-up",
};

void receive_digest(const void *blob, size_t size, ReceiveDigest *ret) {
        (void) crypto_hash_sha256(ret->bytes, blob, size);
}

bool receive_digests_has(const ReceiveDigests *digests, const ReceiveDigest *digest) {
        for (size_t i = 0; i < digests->n; i++)
                if (memcmp(&digests->items[i], digest, sizeof(*digest)) == 0)
                        return true;
        return false;
}

bool receive_digests_has_last(const ReceiveDigests *digests, const ReceiveDigest *digest) {
        return digests->n > 0 &&
               memcmp(&digests->items[digests->n - 1], digest, sizeof(*digest)) == 0;
}

int receive_digests_add(ReceiveDigests *digests, const ReceiveDigest *digest) {
        ReceiveDigest *grown;

        if (digests->n >= RECEIVE_MESSAGES_MAX)
                return -E2BIG;
        grown = reallocarray(digests->items, digests->n + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        digests->items = grown;
        digests->items[digests->n++] = *digest;
        return 0;
}

void receive_state_begin(const ReceiveLink *link, ReceiveState *ret) {
        *ret = (ReceiveState){ .is_draft_r = link->is_draft_r };
        memcpy(ret->subject, link->subject, sizeof(ret->subject));
        text_uuid4_random(ret->claim);
        randombytes_buf(ret->salt, sizeof(ret->salt));
}

void receive_state_done(ReceiveState *state) {
        free(state->accepted.items);
        free(state->written.items);
        free(state->payload_type);
        free(state->payload_data);
        free(state->run);
        free(state->content);
        sodium_memzero(state, sizeof(*state));
}

static json_t *write_bytes(const void *data, size_t size) {
        _cleanup_(freep) char *text = text_base64(data, size);

        return text ? json_string(text) : NULL;
}

static json_t *write_digests(const ReceiveDigests *digests) {
        json_auto_t *array = json_array();

        for (size_t i = 0; i < digests->n; i++)
                if (json_array_append_new(array,
                                    write_bytes(&digests->items[i], sizeof(ReceiveDigest))) < 0)
                        return NULL;
        return TAKE_PTR(array);
}

static json_t *write_draft_v(const ReceiveState *state) {
        return json_pack("{s:s, s:s, s:o, s:o, s:s*, s:s*, s:b}",
                        "claim",
                        state->claim,
                        "request",
                        state->request_id,
                        "accepted",
                        write_digests(&state->accepted),
                        "written",
                        write_digests(&state->written),
                        "type",
                        state->payload_type,
                        "data",
                        state->payload_data,
                        "sent",
                        (int) state->sent);
}

static json_t *write_draft_r(const ReceiveState *state) {
        return json_pack("{s:o, s:o*, s:o*}",
                        "salt",
                        write_bytes(state->salt, sizeof(state->salt)),
                        "run",
                        state->run ? write_bytes(state->run, state->run_size) : NULL,
                        "content",
                        state->content ? write_bytes(state->content, state->content_size) : NULL);
}

int receive_state_write(const ReceiveState *state, char **ret) {
        _cleanup_(json_wipe_freep) char *text = NULL;
        json_auto_t *object = NULL;

        object = json_pack("{s:i, s:s, s:s, s:I, s:I, s:o}",
                        "version",
                        VERSION,
                        "mailbox",
                        state->subject,
                        "phase",
                        phases[state->phase],
                        "number",
                        (json_int_t) state->number,
                        "expiration",
                        (json_int_t) state->expiration,
                        state->is_draft_r ? "draft-r" : "draft-v",
                        state->is_draft_r ? write_draft_r(state) : write_draft_v(state));
        if (object)
                text = json_dumps(object, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int read_phase(const char *name, ReceivePhase *ret) {
        for (size_t i = 0; i < N_ELEMENTS(phases); i++)
                if (streq(phases[i], name)) {
                        *ret = (ReceivePhase) i;
                        return 0;
                }
        return RECEIVE_STATE_E_FORM;
}

/* Absent is nothing. */
static int read_bytes(const char *text, size_t max, uint8_t **ret, size_t *ret_size) {
        int r;

        if (!text)
                return 0;
        r = text_from_base64(text, false, ret, ret_size);
        if (r < 0)
                return r == -EBADMSG ? RECEIVE_STATE_E_FORM : r;
        return *ret_size > 0 && *ret_size <= max ? 0 : RECEIVE_STATE_E_FORM;
}

static int read_exactly(const char *text, void *ret, size_t size) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        size_t bytes_size = 0;
        int r;

        r = read_bytes(text ? text : "", size, &bytes, &bytes_size);
        if (r != 0)
                return r;
        if (bytes_size != size)
                return RECEIVE_STATE_E_FORM;
        memcpy(ret, bytes, size);
        return 0;
}

static int read_digests(const json_t *array, ReceiveDigests *ret) {
        ReceiveDigest digest;
        int r = 0;

        for (size_t i = 0; i < json_array_size(array) && r == 0; i++) {
                r = read_exactly(json_string_value(json_array_get(array, i)),
                                &digest,
                                sizeof(digest));
                if (r == 0)
                        r = receive_digests_add(ret, &digest);
        }
        return r;
}

static int read_text(const char *text, char **ret) {
        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int read_draft_v(const json_t *object, ReceiveState *ret) {
        struct {
                const char *claim, *request, *type, *data;
                const json_t *accepted, *written;
                bool sent;
        } m = { .sent = true }; /* what does not say it may have been */
        const JsonMember members[] = {
                { "claim", JSON_KIND_STRING, offsetof(__typeof__(m), claim), true, 36, 36 },
                { "request", JSON_KIND_STRING, offsetof(__typeof__(m), request), true, 0, 36 },
                { "accepted",
                                JSON_KIND_ARRAY,
                                offsetof(__typeof__(m), accepted),
                                true,
                                0,
                                RECEIVE_MESSAGES_MAX },
                { "written",
                                JSON_KIND_ARRAY,
                                offsetof(__typeof__(m), written),
                                true,
                                0,
                                RECEIVE_MESSAGES_MAX },
                { "type", JSON_KIND_STRING, offsetof(__typeof__(m), type), false, 1, 64 },
                { "data",
                                JSON_KIND_STRING,
                                offsetof(__typeof__(m), data),
                                false,
                                1,
                                RECEIVE_CONTENT_MAX },
                { "sent", JSON_KIND_BOOLEAN, offsetof(__typeof__(m), sent), false, 0, 0 },
        };
        JsonProblem problem;
        int r;

        if (json_read_members(object, members, N_ELEMENTS(members), true, &m, &problem) != 0 ||
                        !text_is_uuid(m.claim) || (m.request[0] && !text_is_uuid(m.request)))
                return RECEIVE_STATE_E_FORM;
        if (ret->phase == RECEIVE_HANDLING ||
                        (ret->phase == RECEIVE_ANSWERING && (!m.type || !m.data || !m.request[0])))
                return RECEIVE_STATE_E_FORM;
        memcpy(ret->claim, m.claim, UUID_TEXT_SIZE);
        ret->sent = m.sent;
        memcpy(ret->request_id, m.request, strlen(m.request) + 1);
        r = read_digests(m.accepted, &ret->accepted);
        if (r == 0)
                r = read_digests(m.written, &ret->written);
        if (r == 0)
                r = read_text(m.type, &ret->payload_type);
        if (r == 0)
                r = read_text(m.data, &ret->payload_data);
        return r;
}

static int read_draft_r(const json_t *object, ReceiveState *ret) {
        struct {
                const char *salt, *run, *content;
        } m = { 0 };
        const JsonMember members[] = {
                { "salt", JSON_KIND_STRING, offsetof(__typeof__(m), salt), true, 1, 64 },
                { "run",
                                JSON_KIND_STRING,
                                offsetof(__typeof__(m), run),
                                false,
                                1,
                                (int64_t) 2 * DRAFT_R_SEALED_MAX },
                { "content",
                                JSON_KIND_STRING,
                                offsetof(__typeof__(m), content),
                                false,
                                1,
                                (int64_t) 2 * RECEIVE_CONTENT_MAX },
        };
        JsonProblem problem;
        int r;

        if (json_read_members(object, members, N_ELEMENTS(members), true, &m, &problem) != 0)
                return RECEIVE_STATE_E_FORM;
        if (ret->phase == RECEIVE_GIVING_UP || (ret->phase != RECEIVE_READING && !m.run) ||
                        ((ret->phase == RECEIVE_HANDLING || ret->phase == RECEIVE_ANSWERING) &&
                                        !m.content))
                return RECEIVE_STATE_E_FORM;
        r = read_exactly(m.salt, ret->salt, sizeof(ret->salt));
        if (r == 0)
                r = read_bytes(m.run, DRAFT_R_SEALED_MAX, &ret->run, &ret->run_size);
        if (r == 0)
                r = read_bytes(m.content, RECEIVE_CONTENT_MAX, &ret->content, &ret->content_size);
        return r;
}

static int read_state(const json_t *object, ReceiveState *ret) {
        struct {
                int64_t version;
                const char *mailbox, *phase;
                const json_t *draft_v, *draft_r;
        } m = { 0 };
        const JsonMember members[] = {
                { "version", JSON_KIND_INTEGER, offsetof(__typeof__(m), version), true, 1, 1 },
                { "mailbox",
                                JSON_KIND_STRING,
                                offsetof(__typeof__(m), mailbox),
                                true,
                                1,
                                RECEIVE_SUBJECT_SIZE - 1 },
                { "phase", JSON_KIND_STRING, offsetof(__typeof__(m), phase), true, 1, 16 },
                { "draft-v", JSON_KIND_OBJECT, offsetof(__typeof__(m), draft_v), false, 0, 0 },
                { "draft-r", JSON_KIND_OBJECT, offsetof(__typeof__(m), draft_r), false, 0, 0 },
        };
        const JsonMember numbers[] = {
                { "number",
                                JSON_KIND_INTEGER,
                                offsetof(ReceiveState, number),
                                true,
                                0,
                                NUMBER_MAX },
                { "expiration",
                                JSON_KIND_INTEGER,
                                offsetof(ReceiveState, expiration),
                                true,
                                0,
                                expiration_max },
        };
        JsonProblem problem;

        if (json_read_members(object, members, N_ELEMENTS(members), false, &m, &problem) != 0 ||
                        json_read_members(object,
                                        numbers,
                                        N_ELEMENTS(numbers),
                                        false,
                                        ret,
                                        &problem) != 0 ||
                        ret->number % 2 != 0 || !m.draft_v == !m.draft_r ||
                        read_phase(m.phase, &ret->phase) != 0)
                return RECEIVE_STATE_E_FORM;
        memcpy(ret->subject, m.mailbox, strlen(m.mailbox) + 1);
        ret->is_draft_r = m.draft_r != NULL;
        return m.draft_r ? read_draft_r(m.draft_r, ret) : read_draft_v(m.draft_v, ret);
}

int receive_state_read(const void *text, size_t size, ReceiveState *ret) {
        json_auto_t *object = NULL;
        JsonProblem problem;
        int r;

        *ret = (ReceiveState){ .phase = RECEIVE_READING };
        if (size > RECEIVE_STATE_TEXT_MAX)
                return RECEIVE_STATE_E_FORM;
        r = json_read(text, size, DEPTH_MAX, &object, &problem);
        if (r != 0)
                return r < 0 ? r : RECEIVE_STATE_E_FORM;
        r = read_state(object, ret);
        if (r != 0)
                receive_state_done(ret);
        return r;
}

int receive_state_seal(ReceiveState *state,
                const uint8_t root[RECEIVE_ROOT_SIZE],
                const void *content,
                size_t size) {
        uint8_t key[crypto_secretbox_KEYBYTES], *sealed;

        if (size > RECEIVE_CONTENT_MAX - SEAL_EXTRA)
                return -EMSGSIZE;
        sealed = malloc(SEAL_EXTRA + size);
        if (!sealed)
                return -ENOMEM;
        randombytes_buf(sealed, crypto_secretbox_NONCEBYTES);
        (void) crypto_kdf_derive_from_key(key, sizeof(key), 1, "vbrcontn", root);
        (void) crypto_secretbox_easy(
                        sealed + crypto_secretbox_NONCEBYTES, content, size, sealed, key);
        sodium_memzero(key, sizeof(key));
        free(state->content);
        state->content = sealed;
        state->content_size = SEAL_EXTRA + size;
        return 0;
}

int receive_state_open(
                const ReceiveState *state, const uint8_t root[RECEIVE_ROOT_SIZE], Plaintext *ret) {
        uint8_t key[crypto_secretbox_KEYBYTES];
        int r;

        if (state->content_size < SEAL_EXTRA)
                return RECEIVE_STATE_E_FORM;
        r = plaintext_new(ret, state->content_size - SEAL_EXTRA);
        if (r < 0)
                return r;
        (void) crypto_kdf_derive_from_key(key, sizeof(key), 1, "vbrcontn", root);
        r = crypto_secretbox_open_easy(ret->data,
                        state->content + crypto_secretbox_NONCEBYTES,
                        state->content_size - crypto_secretbox_NONCEBYTES,
                        state->content,
                        key);
        sodium_memzero(key, sizeof(key));
        if (r == 0)
                return 0;
        plaintext_done(ret);
        return RECEIVE_STATE_E_FORM;
}

void receive_state_forget_content(ReceiveState *state) {
        free(state->content);
        state->content = NULL;
        state->content_size = 0;
}
