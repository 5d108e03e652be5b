#include "envelope.h"

#include <errno.h>
#include <sodium.h>

#include "cleanup.h"
#include "json-read.h"
#include "text.h"

enum {
        TENANT_MAX = 64,
        CLASS_MAX = 32,
};

typedef struct BindingMembers {
        const char *tenant, *nonce, *recipients, *credential_class;
        int64_t version, not_after;
        const json_t *provisioning;
} BindingMembers;

/* Those that every reader wants come first. */
static const JsonMember binding_members[] = {
        { "tenant", JSON_KIND_STRING, offsetof(BindingMembers, tenant), true, 1, TENANT_MAX },
        { "recipients", JSON_KIND_STRING, offsetof(BindingMembers, recipients), true, 1, 64 },
        { "class",
                        JSON_KIND_STRING,
                        offsetof(BindingMembers, credential_class),
                        true,
                        1,
                        CLASS_MAX },
        { "nonce", JSON_KIND_STRING, offsetof(BindingMembers, nonce), true, 1, 32 },
        { "not_after", JSON_KIND_INTEGER, offsetof(BindingMembers, not_after), true, 1, INT64_MAX },
        { "v", JSON_KIND_INTEGER, offsetof(BindingMembers, version), true, 1, 1 },
        { "provisioning", JSON_KIND_OBJECT, offsetof(BindingMembers, provisioning), true, 0, 0 },
};

enum {
        N_FOREIGN_MEMBERS = 3, /* what is known of a box that its owner sealed alone */
        N_BINDING_MEMBERS = 5, /* without those that only the sealed object has */
};

static int read_fixed(const char *text, uint8_t *ret, size_t size) {
        int r = text_from_base64_exactly(text, ret, size);

        return r == -EBADMSG ? ENVELOPE_E_FORM : r;
}

static int binding_from_members(const BindingMembers *members, EnvelopeBinding *ret) {
        EnvelopeBinding binding = {
                .tenant = members->tenant,
                .credential_class = members->credential_class,
                .not_after = members->not_after,
        };
        int r;

        r = read_fixed(members->nonce, binding.nonce, sizeof(binding.nonce));
        if (r != 0)
                return r;
        r = read_fixed(members->recipients, binding.recipients, sizeof(binding.recipients));
        if (r != 0)
                return r;

        *ret = binding;
        return 0;
}

int envelope_binding_read(const json_t *object, EnvelopeBinding *ret) {
        BindingMembers members = { 0 };
        JsonProblem problem;

        if (json_read_members(object,
                            binding_members,
                            N_BINDING_MEMBERS,
                            false,
                            &members,
                            &problem) != 0)
                return ENVELOPE_E_FORM;
        return binding_from_members(&members, ret);
}

int envelope_binding_read_foreign(const json_t *object, EnvelopeBinding *ret) {
        BindingMembers members = { 0 };
        EnvelopeBinding binding = { .nonce = { 0 } };
        JsonProblem problem;
        int r;

        if (json_object_get(object, "nonce") || json_object_get(object, "not_after"))
                return ENVELOPE_E_FORM;
        if (json_read_members(object,
                            binding_members,
                            N_FOREIGN_MEMBERS,
                            false,
                            &members,
                            &problem) != 0)
                return ENVELOPE_E_FORM;
        binding.tenant = members.tenant;
        binding.credential_class = members.credential_class;
        r = read_fixed(members.recipients, binding.recipients, sizeof(binding.recipients));
        if (r != 0)
                return r;

        *ret = binding;
        return 0;
}

json_t *envelope_binding_write(const EnvelopeBinding *binding) {
        _cleanup_(freep) char *nonce = text_base64(binding->nonce, sizeof(binding->nonce));
        _cleanup_(freep) char *recipients =
                        text_base64(binding->recipients, sizeof(binding->recipients));

        if (!nonce || !recipients)
                return NULL;
        return json_pack("{s:s, s:s, s:s, s:s, s:I}",
                        "tenant",
                        binding->tenant,
                        "nonce",
                        nonce,
                        "recipients",
                        recipients,
                        "class",
                        binding->credential_class,
                        "not_after",
                        (json_int_t) binding->not_after);
}

int envelope_seal(const EnvelopeBinding *binding,
                const json_t *provisioning,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                char **ret_box) {
        json_auto_t *object = json_object(), *members = envelope_binding_write(binding);

        if (!object || !members || json_object_set_new(object, "v", json_integer(1)) < 0 ||
                        json_object_update(object, members) < 0 ||
                        json_object_set(object, "provisioning", (json_t *) provisioning) < 0)
                return -ENOMEM;
        return sealed_json_seal(object, public_key, ret_box);
}

/* All members are compared before the verdict, so that its time does not say which one differs. */
static bool owner_equal(const EnvelopeBinding *a, const EnvelopeBinding *b) {
        bool equal = sodium_memcmp(a->recipients, b->recipients, sizeof(a->recipients)) == 0;

        equal &= streq(a->tenant, b->tenant);
        equal &= streq(a->credential_class, b->credential_class);
        return equal;
}

static bool binding_equal(const EnvelopeBinding *a, const EnvelopeBinding *b) {
        bool equal = sodium_memcmp(a->nonce, b->nonce, sizeof(a->nonce)) == 0;

        equal &= owner_equal(a, b);
        equal &= a->not_after == b->not_after;
        return equal;
}

/* An unknown member may be a condition that we would break: refuse. The strings of *ret are
 * borrowed. */
static int read_sealed(
                const json_t *object, EnvelopeBinding *ret, const json_t **ret_provisioning) {
        BindingMembers members = { 0 };
        JsonProblem problem;

        if (json_read_members(object,
                            binding_members,
                            N_ELEMENTS(binding_members),
                            true,
                            &members,
                            &problem) != 0)
                return ENVELOPE_E_FORM;
        *ret_provisioning = members.provisioning;
        return binding_from_members(&members, ret);
}

static int open_if(bool (*equal)(const EnvelopeBinding *a, const EnvelopeBinding *b),
                const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                const EnvelopeBinding *expected,
                int64_t *ret_not_after,
                json_t **ret_provisioning,
                json_t **ret_kept) {
        json_auto_t *object = NULL, *kept = NULL;
        const json_t *provisioning;
        EnvelopeBinding binding;
        int r;

        r = sealed_json_open(box,
                        public_key,
                        secret_key,
                        ENVELOPE_DEPTH_MAX,
                        "provisioning",
                        &object,
                        &kept);
        if (r != 0)
                return r;
        r = read_sealed(object, &binding, &provisioning);
        if (r != 0)
                return r;
        if (!equal(&binding, expected))
                return ENVELOPE_E_DIFFERS;

        *ret_not_after = binding.not_after;
        *ret_provisioning = json_incref((json_t *) provisioning);
        if (ret_kept)
                *ret_kept = TAKE_PTR(kept);
        return 0;
}

int envelope_open(const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                const EnvelopeBinding *expected,
                json_t **ret_provisioning,
                json_t **ret_kept) {
        int64_t not_after;

        return open_if(binding_equal,
                        box,
                        public_key,
                        secret_key,
                        expected,
                        &not_after,
                        ret_provisioning,
                        ret_kept);
}

int envelope_open_foreign(const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                const EnvelopeBinding *expected,
                int64_t *ret_not_after,
                json_t **ret_provisioning,
                json_t **ret_kept) {
        return open_if(owner_equal,
                        box,
                        public_key,
                        secret_key,
                        expected,
                        ret_not_after,
                        ret_provisioning,
                        ret_kept);
}
