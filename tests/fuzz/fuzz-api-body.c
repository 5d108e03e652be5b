/* Bodies of POST /v1/shares and of further messages. What is accepted must come back in canonical
 * form. */
#include <stdlib.h>

#include "address.h"
#include "api-request.h"
#include "api-verb.h"
#include "cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read again, it must be the same. */
static void check_provisioning(const ApiProvisioning *provisioning) {
        ApiProvisioning again = API_PROVISIONING_NULL;
        json_auto_t *value = provisioning->form == API_PROVISIONING_SEALED
                                             ? json_pack("{s:O}", "sealed", provisioning->value)
                                             : json_incref(provisioning->value);
        ApiFault fault;

        if (api_provisioning_read(value, true, &again, &fault) != 0 ||
                        again.form != provisioning->form ||
                        !json_equal(again.value, provisioning->value))
                abort();
        api_provisioning_done(&again);
}

static void check_verbs(const uint8_t *data, size_t size) {
        static const char *const asks[] = { "share.expiry", "block.lift_address", "share.cancel" };

        for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
                json_auto_t *body = NULL;
                ApiFault fault = { 0 };
                int r = api_verb_read(asks[i], data, size, &body, &fault);

                if ((r == 0 && i < 2) != (body != NULL) || (r > 0) != (fault.detail[0] != 0))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ApiProvisioning message = API_PROVISIONING_NULL;
        ApiShare share = API_SHARE_NULL;
        ApiFault fault = { 0 };
        json_t *address;
        size_t i;
        int r;

        r = api_share_read(data, size, &share, &fault);
        if (r > 0) {
                json_auto_t *problem = api_problem_json(&fault);

                if (!problem || !fault.detail[0])
                        abort();
        }
        if (r == 0) {
                check_provisioning(&share.provisioning);
                json_array_foreach(json_object_get(json_object_get(share.body, "recipient"),
                                                   "addresses"),
                                i,
                                address) {
                        char again[ADDRESS_SIZE_MAX];
                        const char *reason;

                        if (address_canonical(json_string_value(address), again, &reason) != 0 ||
                                        !streq(again, json_string_value(address)))
                                abort();
                }
        }
        api_share_done(&share);
        if (api_message_read(data, size, &message, &fault) == 0)
                check_provisioning(&message);
        api_provisioning_done(&message);
        (void) api_nothing_read(data, size, &fault);
        check_verbs(data, size);
        return 0;
}
