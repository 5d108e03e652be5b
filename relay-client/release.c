#include "release.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "draft-v.h"
#include "envelope.h"
#include "json-quick.h"
#include "json-read.h"
#include "share-url.h"

typedef struct Frame {
        const char *share, *claim, *request, *rights, *vertical, *kid, *box;
        const json_t *display, *envelope;
        int64_t generation, expiration;
        const char *title, *description, *image_url;
} Frame;

static const JsonMember frame_members[] = {
        { "share", JSON_KIND_STRING, offsetof(Frame, share), true, 1, RELEASE_SHARE_MAX },
        { "generation", JSON_KIND_INTEGER, offsetof(Frame, generation), true, 0, INT64_MAX },
        { "claim", JSON_KIND_STRING, offsetof(Frame, claim), true, 36, 36 },
        { "request", JSON_KIND_STRING, offsetof(Frame, request), true, 36, 36 },
        { "expiration", JSON_KIND_INTEGER, offsetof(Frame, expiration), true, 1, INT64_MAX },
        { "rights", JSON_KIND_STRING, offsetof(Frame, rights), true, 1, 3 },
        { "vertical", JSON_KIND_STRING, offsetof(Frame, vertical), true, 1, 1 },
        { "display", JSON_KIND_OBJECT, offsetof(Frame, display), true, 0, 0 },
        { "envelope", JSON_KIND_OBJECT, offsetof(Frame, envelope), true, 0, 0 },
        { "kid", JSON_KIND_STRING, offsetof(Frame, kid), true, 1, 64 },
        { "box", JSON_KIND_STRING, offsetof(Frame, box), true, 1, 65536 },
};

static const JsonMember display_members[] = {
        { "title", JSON_KIND_STRING, offsetof(Frame, title), true, 1, 4 * DRAFT_V_TITLE_MAX },
        { "description",
                        JSON_KIND_STRING,
                        offsetof(Frame, description),
                        false,
                        0,
                        4 * DRAFT_V_DESCRIPTION_MAX },
        { "imageURL",
                        JSON_KIND_STRING,
                        offsetof(Frame, image_url),
                        false,
                        0,
                        DRAFT_V_IMAGE_URL_MAX },
};

static int refuse(const char *reason, const char **ret_reason) {
        *ret_reason = reason;
        return RELEASE_E_REFUSED;
}

static int read_frame(const json_t *object, int64_t now, Frame *ret, const char **ret_reason) {
        /* The drafts require all three texts to be there; empty is allowed. */
        Frame frame = { .description = "", .image_url = "" };
        JsonProblem problem;

        if (json_read_members(object,
                            frame_members,
                            N_ELEMENTS(frame_members),
                            false,
                            &frame,
                            &problem) != 0 ||
                        !text_is_uuid(frame.claim) || !text_is_uuid(frame.request) ||
                        !strchr("ahc", frame.vertical[0]))
                return refuse("bad-frame", ret_reason);
        if (json_read_members(frame.display,
                            display_members,
                            N_ELEMENTS(display_members),
                            false,
                            &frame,
                            &problem) != 0)
                return refuse("bad-display", ret_reason);
        if (frame.expiration <= now || frame.expiration > now + RELEASE_EXPIRATION_MAX)
                return refuse("bad-expiration", ret_reason);

        *ret = frame;
        return 0;
}

static int open_envelope(const Frame *frame,
                const RelayPrivateKey *key,
                int64_t now,
                json_t **ret_provisioning,
                const char **ret_reason) {
        json_auto_t *provisioning = NULL;
        EnvelopeBinding binding;
        int r;

        r = envelope_binding_read(frame->envelope, &binding);
        if (r != 0)
                return r < 0 ? r : refuse("bad-frame", ret_reason);
        r = envelope_open(frame->box, key->public, key->secret, &binding, &provisioning);
        if (r < 0)
                return r;
        switch ((EnvelopeError) r) {
        case ENVELOPE_E_BOX:
                return refuse("envelope-box", ret_reason);
        case ENVELOPE_E_FORM:
                return refuse("envelope-form", ret_reason);
        case ENVELOPE_E_DIFFERS:
                return refuse("envelope-differs", ret_reason);
        }
        if (binding.not_after < now - RELEASE_SKEW_SECONDS)
                return refuse("envelope-expired", ret_reason);
        if (!payload_provisioning_is_valid(provisioning))
                return refuse("bad-provisioning", ret_reason);

        *ret_provisioning = TAKE_PTR(provisioning);
        return 0;
}

static int encrypt(const Release *release, const json_t *provisioning, char **ret) {
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        uint8_t secret[PAYLOAD_KEY_MAX];
        size_t size;
        int r;

        size = json_quick_write(provisioning, NULL, 0);
        if (size == 0)
                return -ENOMEM;
        r = plaintext_new(&plaintext, size);
        if (r < 0)
                return r;
        (void) json_quick_write(provisioning, plaintext.data, plaintext.size);

        relay_private_key_derive(release->key,
                        release->share,
                        release->generation,
                        secret,
                        payload_key_size(release->algorithm));
        r = payload_encrypt(release->algorithm, secret, plaintext.data, plaintext.size, ret);
        sodium_memzero(secret, sizeof(secret));
        return r;
}

static void set_identity(Release *release, const Frame *frame, PayloadAlgorithm algorithm) {
        memcpy(release->claim, frame->claim, UUID_TEXT_SIZE);
        memcpy(release->request_id, frame->request, UUID_TEXT_SIZE);
        memcpy(release->share, frame->share, strlen(frame->share) + 1);
        release->generation = (uint64_t) frame->generation;
        release->vertical = frame->vertical[0];
        release->algorithm = algorithm;
}

int release_read(const json_t *object,
                const RelayPrivateKeys *keys,
                const char *base_url,
                PayloadAlgorithm algorithm,
                int64_t now,
                Release *ret,
                const char **ret_reason) {
        json_auto_t *provisioning = NULL;
        _cleanup_(freep) char *data = NULL;
        Release release = { 0 };
        Frame frame;
        int r;

        r = read_frame(object, now, &frame, ret_reason);
        if (r != 0)
                return r;
        set_identity(&release, &frame, algorithm);
        release.key = relay_private_keys_find(keys, frame.kid);
        if (!release.key)
                return refuse("unknown-key", ret_reason);
        r = open_envelope(&frame, release.key, now, &provisioning, ret_reason);
        if (r != 0)
                return r;
        r = encrypt(&release, provisioning, &data);
        if (r < 0)
                return r;

        r = draft_v_create(base_url,
                        &(DraftVCaller){
                                        .claim = release.claim,
                                        .request_id = release.request_id,
                        },
                        &(DraftVCreate){
                                        .title = frame.title,
                                        .description = frame.description,
                                        .image_url = frame.image_url,
                                        .payload_type = payload_algorithm_name(algorithm),
                                        .payload_data = data,
                                        .access_rights = frame.rights,
                                        .expiration = frame.expiration,
                        },
                        &release.request);
        if (r == -EINVAL)
                return refuse("bad-display", ret_reason);
        if (r == -EMSGSIZE)
                return refuse("too-large", ret_reason);
        if (r < 0)
                return r;

        *ret = release;
        return 0;
}

int release_link(const Release *release, const char *mailbox, char **ret) {
        const size_t size = payload_key_size(release->algorithm);
        uint8_t secret[PAYLOAD_KEY_MAX];
        int r;

        relay_private_key_derive(release->key, release->share, release->generation, secret, size);
        r = share_url_build(mailbox, release->vertical, secret, size, ret);
        sodium_memzero(secret, sizeof(secret));
        return r;
}

void release_done(Release *release) {
        http_request_done(&release->request);
        sodium_memzero(release, sizeof(*release));
}
