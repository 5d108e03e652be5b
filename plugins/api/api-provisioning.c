#include "api-provisioning.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "api-member.h"
#include "cleanup.h"
#include "envelope.h"
#include "json-quick.h"
#include "plain-url.h"
#include "share-limits.h"
#include "text.h"

enum {
        BOX_MIN = crypto_box_SEALBYTES + 1,
        BOX_MAX = crypto_box_SEALBYTES + ENVELOPE_CONTENT_MAX,
        BLOB_MIN = 12 + 16, /* IV and tag of AES-GCM (relay-client/payload.h) */
        BLOB_MAX = SHARE_LIMIT_ENCRYPTED / 4 * 3,
};

_Static_assert((int) SHARE_LIMIT_BOX == (BOX_MAX + 2) / 3 * 4, "the largest box is taken");
_Static_assert((int) SHARE_LIMIT_ENCRYPTED + 512 < (int) ENVELOPE_CONTENT_MAX,
                "what is encrypted fits into an envelope with the names around it");

typedef struct Forms {
        const char *format, *mint;
        const json_t *content, *sealed, *encrypted;
} Forms;

/* clang-format off */
static const JsonMember form_members[] = {
        { "format",    JSON_KIND_STRING, offsetof(Forms, format),    false, 1, SHARE_LIMIT_FORMAT },
        { "content",   JSON_KIND_OBJECT, offsetof(Forms, content),   false, 0, 0 },
        { "sealed",    JSON_KIND_OBJECT, offsetof(Forms, sealed),    false, 0, 0 },
        { "encrypted", JSON_KIND_OBJECT, offsetof(Forms, encrypted), false, 0, 0 },
        { "mint",      JSON_KIND_STRING, offsetof(Forms, mint),      false, SHARE_LIMIT_MINT_MIN, SHARE_LIMIT_MINT },
};
/* clang-format on */

/* Bytes of min to max, in base64 of whatever kind the tenant's library writes; *ret is the kind
 * that everybody reads. */
static int base64_read(const char *text,
                size_t min,
                size_t max,
                const char *path,
                json_t **ret,
                ApiFault *fault) {
        _cleanup_(freep) uint8_t *data = NULL;
        _cleanup_(freep) char *canonical = NULL;
        size_t size;
        int r;

        r = text_from_base64(text, true, &data, &size);
        if (r == -EBADMSG)
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                path,
                                "Write `%s` as base64 (RFC 4648), without line breaks.",
                                path);
        if (r < 0)
                return r;
        if (size < min || size > max)
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                path,
                                "`%s` must be base64 of %zu to %zu octets.",
                                path,
                                min,
                                max);
        canonical = text_base64(data, size);
        if (!canonical)
                return -ENOMEM;
        *ret = json_string(canonical);
        return *ret ? 0 : -ENOMEM;
}

static int plain_read(const Forms *forms, ApiProvisioning *ret, ApiFault *fault) {
        const char *missing = !forms->format    ? "provisioning.format"
                              : !forms->content ? "provisioning.content"
                                                : NULL;
        int r;

        if (missing)
                return api_fault(fault,
                                API_PROBLEM_MISSING_MEMBER,
                                missing,
                                "Add `%s`: it is required.",
                                missing);
        r = api_plain_text_check(forms->format, "provisioning.format", fault);
        if (r != 0)
                return r;
        if (json_quick_write(forms->content, NULL, 0) > SHARE_LIMIT_CONTENT)
                return api_fault(fault,
                                API_PROBLEM_TOO_LARGE,
                                "provisioning.content",
                                "Send at most %d bytes of `provisioning.content`.",
                                SHARE_LIMIT_CONTENT);
        ret->value = json_pack("{s:s, s:O}", "format", forms->format, "content", forms->content);
        return ret->value ? 0 : -ENOMEM;
}

typedef struct Sealed {
        const char *kid, *box;
} Sealed;

static int sealed_read(const Forms *forms, ApiProvisioning *ret, ApiFault *fault) {
        /* clang-format off */
        static const JsonMember members[] = {
                { "kid", JSON_KIND_STRING, offsetof(Sealed, kid), true, SHARE_LIMIT_KID, SHARE_LIMIT_KID },
                { "box", JSON_KIND_STRING, offsetof(Sealed, box), true, 1,               SHARE_LIMIT_BOX },
        };
        /* clang-format on */
        json_auto_t *box = NULL;
        Sealed sealed = { 0 };
        int r;

        r = api_members_read(forms->sealed,
                        "provisioning.sealed",
                        members,
                        N_ELEMENTS(members),
                        &sealed,
                        fault);
        if (r != 0)
                return r;
        r = base64_read(sealed.box, BOX_MIN, BOX_MAX, "provisioning.sealed.box", &box, fault);
        if (r != 0)
                return r;
        ret->form = API_PROVISIONING_SEALED;
        ret->value = json_pack("{s:s, s:O}", "kid", sealed.kid, "box", box);
        ret->kid = json_string_value(json_object_get(ret->value, "kid"));
        return ret->value ? 0 : -ENOMEM;
}

typedef struct Encrypted {
        const char *type, *data;
} Encrypted;

static int encrypted_read(const Forms *forms, ApiProvisioning *ret, ApiFault *fault) {
        /* clang-format off */
        static const JsonMember members[] = {
                { "type", JSON_KIND_STRING, offsetof(Encrypted, type), true, 0, 0 },
                { "data", JSON_KIND_STRING, offsetof(Encrypted, data), true, SHARE_LIMIT_ENCRYPTED_MIN, SHARE_LIMIT_ENCRYPTED },
        };
        /* clang-format on */
        json_auto_t *data = NULL;
        Encrypted encrypted = { 0 };
        int r;

        r = api_members_read(forms->encrypted,
                        "provisioning.encrypted",
                        members,
                        N_ELEMENTS(members),
                        &encrypted,
                        fault);
        if (r != 0)
                return r;
        if (!streq(encrypted.type, "AEAD_AES_128_GCM") &&
                        !streq(encrypted.type, "AEAD_AES_256_GCM"))
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.encrypted.type",
                                "`provisioning.encrypted.type` must be AEAD_AES_128_GCM or "
                                "AEAD_AES_256_GCM.");
        r = base64_read(encrypted.data,
                        BLOB_MIN,
                        BLOB_MAX,
                        "provisioning.encrypted.data",
                        &data,
                        fault);
        if (r != 0)
                return r;
        ret->form = API_PROVISIONING_ENCRYPTED;
        ret->value = json_pack("{s:{s:s, s:O}}", "encrypted", "type", encrypted.type, "data", data);
        return ret->value ? 0 : -ENOMEM;
}

static int mint_read(const Forms *forms, ApiProvisioning *ret, ApiFault *fault) {
        if (!plain_url_is_https(forms->mint, SHARE_LIMIT_MINT) || !plain_url_has_name(forms->mint))
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.mint",
                                "Write `provisioning.mint` as a plain URL: https, a host name in "
                                "lower case, no user, no fragment, no dot segments, in ASCII.");
        ret->form = API_PROVISIONING_MINT;
        ret->value = json_pack("{s:s}", "mint", forms->mint);
        ret->url = json_string_value(json_object_get(ret->value, "mint"));
        return ret->value ? 0 : -ENOMEM;
}

/* How many forms are there, and the last of them. */
static size_t forms_given(const Forms *forms, ApiProvisioningForm *ret) {
        const bool there[] = {
                [API_PROVISIONING_PLAIN] = forms->format || forms->content,
                [API_PROVISIONING_SEALED] = forms->sealed,
                [API_PROVISIONING_ENCRYPTED] = forms->encrypted,
                [API_PROVISIONING_MINT] = forms->mint,
        };
        size_t n = 0;

        for (size_t i = 0; i < N_ELEMENTS(there); i++)
                if (there[i]) {
                        *ret = (ApiProvisioningForm) i;
                        n++;
                }
        return n;
}

int api_provisioning_read(
                const json_t *object, bool may_mint, ApiProvisioning *ret, ApiFault *fault) {
        static int (*const readers[])(const Forms *, ApiProvisioning *, ApiFault *) = {
                [API_PROVISIONING_PLAIN] = plain_read,
                [API_PROVISIONING_SEALED] = sealed_read,
                [API_PROVISIONING_ENCRYPTED] = encrypted_read,
                [API_PROVISIONING_MINT] = mint_read,
        };
        ApiProvisioningForm form = API_PROVISIONING_PLAIN;
        Forms forms = { 0 };
        size_t n;
        int r;

        *ret = API_PROVISIONING_NULL;
        r = api_members_read(object,
                        "provisioning",
                        form_members,
                        N_ELEMENTS(form_members) - (may_mint ? 0 : 1),
                        &forms,
                        fault);
        if (r != 0)
                return r;
        n = forms_given(&forms, &form);
        if (n != 1)
                return api_fault(fault,
                                n == 0 ? API_PROBLEM_MISSING_MEMBER : API_PROBLEM_INVALID_MEMBER,
                                "provisioning",
                                "Give `provisioning` in one form: `format` and `content`, "
                                "`sealed`%s `encrypted`%s.",
                                may_mint ? "," : ", or",
                                may_mint ? ", or `mint`" : "");
        return readers[form](&forms, ret, fault);
}

void api_provisioning_done(ApiProvisioning *provisioning) {
        json_decref(provisioning->value);
        *provisioning = API_PROVISIONING_NULL;
}
