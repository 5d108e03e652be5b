#include "envelope.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-read.h"
#include "text.h"

_Static_assert(ENVELOPE_KEY_SIZE == crypto_box_PUBLICKEYBYTES &&
                                ENVELOPE_KEY_SIZE == crypto_box_SECRETKEYBYTES,
                "an envelope's key is one of crypto_box");

enum {
        TENANT_MAX = 64,
        CLASS_MAX = 32,
};

/* Bytes of the heap that are wiped when they go. Not a Secret: its guard pages cost several system
 * calls, and a box is opened for each share. */
typedef struct Plain {
        uint8_t *data;
        size_t size;
} Plain;

static void plain_done(Plain *plain) {
        if (plain->data)
                sodium_memzero(plain->data, plain->size);
        free(plain->data);
        *plain = (Plain){ NULL, 0 };
}

typedef struct BindingMembers {
        const char *tenant, *nonce, *recipients, *credential_class;
        int64_t version, not_after;
        const json_t *provisioning;
} BindingMembers;

static const JsonMember binding_members[] = {
        { "tenant", JSON_KIND_STRING, offsetof(BindingMembers, tenant), true, 1, TENANT_MAX },
        { "nonce", JSON_KIND_STRING, offsetof(BindingMembers, nonce), true, 1, 32 },
        { "recipients", JSON_KIND_STRING, offsetof(BindingMembers, recipients), true, 1, 64 },
        { "class",
                        JSON_KIND_STRING,
                        offsetof(BindingMembers, credential_class),
                        true,
                        1,
                        CLASS_MAX },
        { "not_after", JSON_KIND_INTEGER, offsetof(BindingMembers, not_after), true, 1, INT64_MAX },
        { "v", JSON_KIND_INTEGER, offsetof(BindingMembers, version), true, 1, 1 },
        { "provisioning", JSON_KIND_OBJECT, offsetof(BindingMembers, provisioning), true, 0, 0 },
};

static const JsonMember foreign_members[] = {
        { "tenant", JSON_KIND_STRING, offsetof(BindingMembers, tenant), true, 1, TENANT_MAX },
        { "recipients", JSON_KIND_STRING, offsetof(BindingMembers, recipients), true, 1, 64 },
        { "class",
                        JSON_KIND_STRING,
                        offsetof(BindingMembers, credential_class),
                        true,
                        1,
                        CLASS_MAX },
};

enum {
        N_BINDING_MEMBERS = 5, /* without those that only the sealed object has */
};

static int read_fixed(const char *text, uint8_t *ret, size_t size) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t n;
        int r;

        r = text_from_base64(text, false, &data, &n);
        if (r == -EBADMSG)
                return ENVELOPE_E_FORM;
        if (r < 0)
                return r;
        if (n != size)
                return ENVELOPE_E_FORM;
        memcpy(ret, data, size);
        return 0;
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
                            foreign_members,
                            N_ELEMENTS(foreign_members),
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

static int write_plain(const EnvelopeBinding *binding, const json_t *provisioning, Plain *ret) {
        json_auto_t *object = json_object(), *members = envelope_binding_write(binding);
        size_t size;

        if (!object || !members || json_object_set_new(object, "v", json_integer(1)) < 0 ||
                        json_object_update(object, members) < 0 ||
                        json_object_set(object, "provisioning", (json_t *) provisioning) < 0)
                return -ENOMEM;

        size = json_quick_write(object, NULL, 0);
        if (size == 0)
                return -EINVAL;
        if (size > ENVELOPE_CONTENT_MAX)
                return -EMSGSIZE;
        *ret = (Plain){ malloc(size), size };
        if (!ret->data)
                return -ENOMEM;
        (void) json_quick_write(object, ret->data, size);
        return 0;
}

int envelope_seal(const EnvelopeBinding *binding,
                const json_t *provisioning,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                char **ret_box) {
        _cleanup_(plain_done) Plain plain = { NULL, 0 };
        _cleanup_(freep) uint8_t *box = NULL;
        char *text;
        int r;

        r = write_plain(binding, provisioning, &plain);
        if (r < 0)
                return r;
        box = malloc(crypto_box_SEALBYTES + plain.size);
        if (!box)
                return -ENOMEM;
        if (crypto_box_seal(box, plain.data, plain.size, public_key) < 0)
                return -EINVAL;

        text = text_base64(box, crypto_box_SEALBYTES + plain.size);
        if (!text)
                return -ENOMEM;
        *ret_box = text;
        return 0;
}

static int open_plain(const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                Plain *ret) {
        _cleanup_(freep) uint8_t *sealed = NULL;
        size_t size;
        int r;

        r = text_from_base64(box, false, &sealed, &size);
        if (r == -EBADMSG)
                return ENVELOPE_E_BOX;
        if (r < 0)
                return r;
        if (size <= crypto_box_SEALBYTES || size > crypto_box_SEALBYTES + ENVELOPE_CONTENT_MAX)
                return ENVELOPE_E_BOX;

        *ret = (Plain){ malloc(size), size - crypto_box_SEALBYTES };
        if (!ret->data)
                return -ENOMEM;
        if (crypto_box_seal_open(ret->data, sealed, size, public_key, secret_key) < 0)
                return ENVELOPE_E_BOX;
        return 0;
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

/* Opens a box and reads what is in it. The strings of *ret are borrowed from *ret_object. */
static int open_and_read(const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                EnvelopeBinding *ret,
                const json_t **ret_provisioning,
                json_t **ret_object) {
        _cleanup_(plain_done) Plain plain = { NULL, 0 };
        json_auto_t *object = NULL;
        BindingMembers members = { 0 };
        JsonProblem problem;
        int r;

        r = open_plain(box, public_key, secret_key, &plain);
        if (r != 0)
                return r;
        r = json_read(plain.data, plain.size, ENVELOPE_DEPTH_MAX, &object, &problem);
        if (r != 0)
                return r < 0 ? r : ENVELOPE_E_FORM;
        /* An unknown member may be a condition that we would break: refuse. */
        if (json_read_members(object,
                            binding_members,
                            N_ELEMENTS(binding_members),
                            true,
                            &members,
                            &problem) != 0)
                return ENVELOPE_E_FORM;
        r = binding_from_members(&members, ret);
        if (r != 0)
                return r;

        *ret_provisioning = members.provisioning;
        *ret_object = TAKE_PTR(object);
        return 0;
}

int envelope_open(const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                const EnvelopeBinding *expected,
                json_t **ret_provisioning) {
        json_auto_t *object = NULL;
        const json_t *provisioning;
        EnvelopeBinding binding;
        int r;

        r = open_and_read(box, public_key, secret_key, &binding, &provisioning, &object);
        if (r != 0)
                return r;
        if (!binding_equal(&binding, expected))
                return ENVELOPE_E_DIFFERS;

        *ret_provisioning = json_incref((json_t *) provisioning);
        return 0;
}

int envelope_open_foreign(const char *box,
                const uint8_t public_key[ENVELOPE_KEY_SIZE],
                const uint8_t secret_key[ENVELOPE_KEY_SIZE],
                const EnvelopeBinding *expected,
                int64_t *ret_not_after,
                json_t **ret_provisioning) {
        json_auto_t *object = NULL;
        const json_t *provisioning;
        EnvelopeBinding binding;
        int r;

        r = open_and_read(box, public_key, secret_key, &binding, &provisioning, &object);
        if (r != 0)
                return r;
        if (!owner_equal(&binding, expected))
                return ENVELOPE_E_DIFFERS;

        *ret_not_after = binding.not_after;
        *ret_provisioning = json_incref((json_t *) provisioning);
        return 0;
}
