#include "release.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "address.h"
#include "cleanup.h"
#include "envelope.h"
#include "json-quick.h"
#include "text.h"

static int refuse(const char *reason, const char **ret_reason) {
        *ret_reason = reason;
        return RELEASE_E_REFUSED;
}

static int refuse_envelope(int error, const char **ret_reason) {
        switch ((EnvelopeError) error) {
        case ENVELOPE_E_BOX:
                return refuse("envelope-box", ret_reason);
        case ENVELOPE_E_FORM:
                return refuse("envelope-form", ret_reason);
        case ENVELOPE_E_DIFFERS:
                break;
        }
        return refuse("envelope-differs", ret_reason);
}

/* A box for a mailbox that exists is bound to the share itself, and one for a new mailbox to whom
 * it is for: neither passes for the other. */
static bool is_bound_to(const RelayFrame *frame, const EnvelopeBinding *binding) {
        const bool is_message = streq(binding->credential_class, RELEASE_MESSAGE_CLASS);
        uint8_t hash[ENVELOPE_RECIPIENTS_SIZE];

        if (frame->kind == RELAY_FRAME_CREATE)
                return !is_message;
        address_list_hash(&frame->share, 1, hash);
        return is_message && sodium_memcmp(hash, binding->recipients, sizeof(hash)) == 0;
}

/* The tenant chose the time, and the content must be good for as long as it may lie there. */
static int open_foreign(const RelayFrame *frame,
                const RelayPrivateKey *key,
                int64_t now,
                json_t **ret_provisioning,
                json_t **ret_kept,
                const char **ret_reason) {
        json_auto_t *provisioning = NULL, *kept = NULL;
        EnvelopeBinding binding;
        int64_t not_after;
        int r;

        r = envelope_binding_read_foreign(frame->envelope, &binding);
        if (r != 0)
                return r < 0 ? r : refuse("bad-frame", ret_reason);
        if (!is_bound_to(frame, &binding))
                return refuse("envelope-differs", ret_reason);
        r = envelope_open_foreign(frame->box,
                        key->public,
                        key->secret,
                        &binding,
                        &not_after,
                        &provisioning,
                        &kept);
        if (r != 0)
                return r < 0 ? r : refuse_envelope(r, ret_reason);
        if (not_after < (frame->kind == RELAY_FRAME_CREATE ? frame->expiration : now))
                return refuse("envelope-expired", ret_reason);
        if (not_after > now + RELEASE_FOREIGN_SECONDS)
                return refuse("envelope-too-long", ret_reason);

        *ret_provisioning = TAKE_PTR(provisioning);
        *ret_kept = TAKE_PTR(kept);
        return 0;
}

static int open_own(const RelayFrame *frame,
                const RelayPrivateKey *key,
                int64_t now,
                json_t **ret_provisioning,
                json_t **ret_kept,
                const char **ret_reason) {
        EnvelopeBinding binding;
        int r;

        r = envelope_binding_read(frame->envelope, &binding);
        if (r != 0)
                return r < 0 ? r : refuse("bad-frame", ret_reason);
        if (!is_bound_to(frame, &binding))
                return refuse("envelope-differs", ret_reason);
        if (binding.not_after < now - RELEASE_SKEW_SECONDS)
                return refuse("envelope-expired", ret_reason);
        r = envelope_open(
                        frame->box, key->public, key->secret, &binding, ret_provisioning, ret_kept);
        return r > 0 ? refuse_envelope(r, ret_reason) : r;
}

static int open_envelope(const RelayFrame *frame,
                const RelayPrivateKeys *keys,
                int64_t now,
                json_t **ret_provisioning,
                json_t **ret_kept,
                const char **ret_reason) {
        const RelayPrivateKey *key = relay_private_keys_find(keys, frame->box_kid);

        if (!key)
                return refuse("unknown-key", ret_reason);
        if (!json_object_get(frame->envelope, "nonce") &&
                        !json_object_get(frame->envelope, "not_after"))
                return open_foreign(frame, key, now, ret_provisioning, ret_kept, ret_reason);
        return open_own(frame, key, now, ret_provisioning, ret_kept, ret_reason);
}

/* What the recipient gets are the bytes that lay in the box: only who wrote them knows what they
 * mean. */
static int copy_content(const json_t *kept, Plaintext *ret) {
        const char *text;
        size_t size;
        int r;

        text = json_quick_verbatim_text(kept, &size);
        if (!text)
                return -ENOMEM;
        r = plaintext_new(ret, size);
        if (r == 0)
                memcpy(ret->data, text, size);
        return r;
}

static int
encrypt(const RelayFrame *frame, const ReleaseTerms *terms, const json_t *kept, Release *release) {
        uint8_t secret[PAYLOAD_KEY_MAX], iv[PAYLOAD_IV_SIZE];
        const char *plaintext;
        size_t size;
        int r;

        plaintext = json_quick_verbatim_text(kept, &size);
        if (!plaintext)
                return -ENOMEM;
        relay_private_key_derive_iv(release->key,
                        frame->share,
                        frame->generation,
                        frame->number,
                        plaintext,
                        size,
                        iv);
        release_secret(frame, terms, release, secret);
        r = payload_encrypt_with_iv(terms->algorithm,
                        secret,
                        iv,
                        plaintext,
                        size,
                        release->digest,
                        &release->payload_data);
        sodium_memzero(secret, sizeof(secret));
        release->payload_type = payload_algorithm_name(terms->algorithm);
        return r;
}

/* What the tenant encrypted is passed on; only its form can be seen from here. */
static int pass_on(const json_t *encrypted, Release *release, const char **ret_reason) {
        const char *type = json_string_value(json_object_get(encrypted, "type"));
        const char *data = json_string_value(json_object_get(encrypted, "data"));
        _cleanup_(freep) uint8_t *blob = NULL;
        PayloadAlgorithm algorithm;
        size_t size;
        int r;

        if (!type || !data || payload_algorithm_from_name(type, false, &algorithm) != 0)
                return refuse("bad-provisioning", ret_reason);
        r = payload_decode(data, &blob, &size);
        if (r < 0)
                return r;
        if (r > 0 || size < PAYLOAD_IV_SIZE + PAYLOAD_TAG_SIZE)
                return refuse("bad-provisioning", ret_reason);
        release->payload_type = payload_algorithm_name(algorithm);
        release->payload_data = text_base64(blob, size);
        if (!release->payload_data)
                return -ENOMEM;
        payload_digest(blob, size, release->digest);
        return 0;
}

static int prepare(const RelayFrame *frame,
                const ReleaseTerms *terms,
                const json_t *provisioning,
                const json_t *kept,
                Release *release,
                const char **ret_reason) {
        const json_t *encrypted = json_object_get(provisioning, "encrypted");

        if (frame->encrypted != (encrypted != NULL) ||
                        (encrypted && json_object_size(provisioning) != 1))
                return refuse("envelope-form", ret_reason);
        if (encrypted)
                return pass_on(encrypted, release, ret_reason);
        if (!payload_provisioning_is_valid(provisioning))
                return refuse("bad-provisioning", ret_reason);
        return terms->has_own_encryption ? copy_content(kept, &release->content)
                                         : encrypt(frame, terms, kept, release);
}

/* Where the recipient may answer, somebody must be able to read the answer. */
static bool answers_can_be_read(const RelayFrame *frame, const ReleaseTerms *terms, int64_t now) {
        if (frame->kind != RELAY_FRAME_CREATE || frame->encrypted || !strchr(frame->rights, 'W'))
                return true;
        return terms->front_keys && relay_public_keys_current(terms->front_keys, now);
}

int release_read(const RelayFrame *frame,
                const ReleaseTerms *terms,
                int64_t now,
                Release *ret,
                const char **ret_reason) {
        json_auto_t *provisioning = NULL, *kept = NULL;
        Release release = { .key = relay_private_keys_find(terms->keys, frame->kid) };
        int r;

        if (!release.key)
                return refuse("unknown-key", ret_reason);
        if (frame->encrypted && terms->has_own_encryption) /* and its own Secret in the link */
                return refuse("not-in-draft-r", ret_reason);
        if (!answers_can_be_read(frame, terms, now))
                return refuse("no-front-key", ret_reason);
        r = open_envelope(frame, terms->keys, now, &provisioning, &kept, ret_reason);
        if (r != 0)
                return r;
        r = prepare(frame, terms, provisioning, kept, &release, ret_reason);
        if (r != 0) {
                release_done(&release);
                return r;
        }

        *ret = release;
        return 0;
}

void release_secret(const RelayFrame *frame,
                const ReleaseTerms *terms,
                const Release *release,
                uint8_t ret[PAYLOAD_KEY_MAX]) {
        relay_private_key_derive(release->key,
                        frame->share,
                        frame->generation,
                        ret,
                        payload_key_size(terms->algorithm));
}

void release_done(Release *release) {
        free(release->payload_data);
        plaintext_done(&release->content);
        *release = (Release){ .key = NULL };
}
