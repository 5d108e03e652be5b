/* Bodies of POST /v1/shares. What is accepted must come back in canonical form. */
#include <stdlib.h>

#include "address.h"
#include "api-request.h"
#include "cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
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
        (void) api_nothing_read(data, size, &fault);
        return 0;
}
