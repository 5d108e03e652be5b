#include "api-seal.h"

#include <errno.h>
#include <sodium.h>

#include "cleanup.h"

static int fault_no_key(ApiFault *fault) {
        return api_fault(fault,
                        API_PROBLEM_UNAVAILABLE,
                        NULL,
                        "There is no valid key to seal to. The operator makes one with "
                        "`vestibule-relay-client --make-key`.");
}

/* What a box is bound to and the gateway can compare, whoever sealed it. */
static json_t *known_members(const EnvelopeBinding *binding) {
        json_auto_t *all = envelope_binding_write(binding);

        return json_pack("{s:O, s:O}",
                        "recipients",
                        json_object_get(all, "recipients"),
                        "class",
                        json_object_get(all, "class"));
}

static int seal_ours(const ApiProvisioning *provisioning,
                const RelayPublicKeys *keys,
                int64_t now,
                EnvelopeBinding *binding,
                json_t *frame,
                ApiFault *fault) {
        const RelayPublicKey *key = relay_public_keys_current(keys, now);
        _cleanup_(freep) char *box = NULL;
        json_auto_t *sealed = NULL;
        int r;

        if (!key)
                return fault_no_key(fault);
        randombytes_buf(binding->nonce, sizeof(binding->nonce));
        r = envelope_seal(binding, provisioning->value, key->key, &box);
        if (r < 0)
                return r;
        sealed = envelope_binding_write(binding);
        if (!sealed || json_object_set_new(sealed, "kid", json_string(key->kid)) < 0 ||
                        json_object_set_new(sealed, "box", json_string(box)) < 0 ||
                        json_object_set(frame, "sealed", sealed) < 0)
                return -ENOMEM;
        if (provisioning->form == API_PROVISIONING_ENCRYPTED)
                return json_object_set_new(frame, "encrypted", json_true()) < 0 ? -ENOMEM : 0;
        return 0;
}

static int pass_sealed(const ApiProvisioning *provisioning,
                const RelayPublicKeys *keys,
                int64_t now,
                const EnvelopeBinding *binding,
                json_t *frame,
                ApiFault *fault) {
        const RelayPublicKey *key = relay_public_keys_find(keys, provisioning->kid);
        json_auto_t *sealed = NULL;

        if (keys->n_keys == 0)
                return fault_no_key(fault);
        if (!key || key->not_after < now)
                return api_fault(fault,
                                API_PROBLEM_UNKNOWN_KEY,
                                "provisioning.sealed.kid",
                                "`provisioning.sealed.kid` is not a key to seal to, or no longer. "
                                "Fetch GET /v1/keys and seal to the first of them.");
        sealed = known_members(binding);
        return !sealed || json_object_update(sealed, provisioning->value) < 0 ||
                                               json_object_set(frame, "sealed", sealed) < 0
                               ? -ENOMEM
                               : 0;
}

static int
pass_mint(const ApiProvisioning *provisioning, const EnvelopeBinding *binding, json_t *frame) {
        json_auto_t *known = known_members(binding);

        return !known || json_object_update(frame, known) < 0 ||
                                               json_object_update(frame, provisioning->value) < 0
                               ? -ENOMEM
                               : 0;
}

int api_seal(const ApiProvisioning *provisioning,
                const RelayPublicKeys *keys,
                int64_t now,
                EnvelopeBinding *binding,
                json_t *frame,
                ApiFault *fault) {
        switch (provisioning->form) {
        case API_PROVISIONING_SEALED:
                return pass_sealed(provisioning, keys, now, binding, frame, fault);
        case API_PROVISIONING_MINT:
                return pass_mint(provisioning, binding, frame);
        case API_PROVISIONING_PLAIN:
        case API_PROVISIONING_ENCRYPTED:
                break;
        }
        return seal_ours(provisioning, keys, now, binding, frame, fault);
}
