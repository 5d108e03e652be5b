/* Fuzzes the relay's reading of requests for messages of Draft R: a first line with method and
 * target, then a line with If-None-Match. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "drop-request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(drop_request_done) DropRequest request = DROP_REQUEST_NULL;
        _cleanup_(freep) char *text = malloc(size + 1);
        const char *why = NULL;
        char *p = text, *method, *target;
        RelayHead head = { 0 };
        size_t length;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = 0;
        target = strsep(&p, "\n");
        method = strsep(&target, " ");
        head.method = method;
        head.target = target ? target : "";
        head.if_none_match = p;

        /* What the server does not ask first must be harmless all the same. */
        if (drop_request_parse_head(&head, &request, &why) != 0) {
                if (!why)
                        abort();
                return 0;
        }
        length = strlen(head.target);
        if (!drop_request_is_meant(head.target) || length < 3 + DROP_LOCATION_TEXT_MIN ||
                        length > 3 + DROP_LOCATION_TEXT_MAX)
                abort();
        if (request.operation == DROP_PUT && !head.if_none_match)
                abort();
        return 0;
}
