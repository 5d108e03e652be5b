#include "api-verb.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "api-member.h"
#include "api-request.h"
#include "cleanup.h"
#include "time-text.h"

typedef struct VerbBody {
        const char *expires_at, *address, *tenant, *number;
} VerbBody;

enum {
        TENANT_MAX = 64,
        NUMBER_MAX = 32,
};

/* clang-format off */
static const JsonMember expiry_members[] = {
        { "expires_at", JSON_KIND_STRING, offsetof(VerbBody, expires_at), true, 1, SHARE_LIMIT_EXPIRES_AT },
};
static const JsonMember lift_members[] = {
        { "address", JSON_KIND_STRING, offsetof(VerbBody, address), true,  1, ADDRESS_SIZE_MAX - 1 },
        { "tenant",  JSON_KIND_STRING, offsetof(VerbBody, tenant),  false, 1, TENANT_MAX },
};
static const JsonMember approve_members[] = {
        { "number", JSON_KIND_STRING, offsetof(VerbBody, number), true, 1, NUMBER_MAX },
};

static const struct {
        const char *ask;
        const JsonMember *members;
        size_t n_members;
} verbs[] = {
        { "share.approve",      approve_members, N_ELEMENTS(approve_members) },
        { "share.expiry",       expiry_members, N_ELEMENTS(expiry_members) },
        { "block.lift_address", lift_members,   N_ELEMENTS(lift_members) },
        { "limit.show_address", lift_members,   N_ELEMENTS(lift_members) },
        { "limit.clear_address", lift_members,  N_ELEMENTS(lift_members) },
};
/* clang-format on */

static int check_values(json_t *body, const VerbBody *values, ApiFault *fault) {
        char canonical[ADDRESS_SIZE_MAX];
        const char *reason;
        int64_t time;
        int r;

        if (values->expires_at && time_from_text(values->expires_at, &time) < 0)
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                "expires_at",
                                "Write `expires_at` as in RFC 3339, such as 2026-11-24T12:00:00Z.");
        if (!values->address)
                return 0;
        r = address_canonical(values->address, canonical, &reason);
        if (r < 0)
                return r;
        if (r > 0)
                return api_fault(fault,
                                API_PROBLEM_INVALID_ADDRESS,
                                "address",
                                "The address cannot be one of a share: %s.",
                                reason);
        return json_object_set_new(body, "address", json_string(canonical)) < 0 ? -ENOMEM : 0;
}

int api_verb_read(const char *ask, const void *data, size_t size, json_t **ret, ApiFault *fault) {
        json_auto_t *body = NULL;
        VerbBody values = { 0 };
        size_t i = 0;
        int r;

        *ret = NULL;
        while (i < N_ELEMENTS(verbs) && !(ask && streq(verbs[i].ask, ask)))
                i++;
        if (i == N_ELEMENTS(verbs))
                return api_nothing_read(data, size, fault);

        r = api_body_read(size > 0 ? data : "{}", size > 0 ? size : 2, &body, fault);
        if (r == 0)
                r = api_members_read(
                                body, "", verbs[i].members, verbs[i].n_members, &values, fault);
        if (r == 0)
                r = check_values(body, &values, fault);
        if (r == 0)
                *ret = TAKE_PTR(body);
        return r;
}
