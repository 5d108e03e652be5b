/* Fuzzes the relay's reading of requests: a first line with method and target, two lines with
 * request id and claim, then a body. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json-read.h"
#include "relay-request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *next_line(char **p) {
        return *p ? strsep(p, "\n") : NULL;
}

/* What was accepted must be JSON again, or answers made of it would not be. */
static void check_json(const char *text, size_t max) {
        JsonProblem problem;
        json_t *value = NULL;

        if (!text)
                return;
        if (json_read(text, strlen(text), RELAY_JSON_DEPTH_MAX, &value, &problem) != 0)
                abort();
        if (!json_is_object(value) || json_object_size(value) > max)
                abort();
        json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const WebhookPrefixes webhooks = { .texts = { "https://a/" }, .n = 1 };
        static const RelayLimits limits = {
                .now = 1800000000, .ttl_default = 3600, .ttl_max = 604800, .webhooks = &webhooks
        };
        _cleanup_(relay_request_done) RelayRequest request = RELAY_REQUEST_NULL;
        _cleanup_(freep) char *text = malloc(size + 1);
        const char *why = NULL;
        char reason[160], *p = text, *method, *target;
        RelayHead head = { 0 };

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = 0;

        target = next_line(&p);
        method = strsep(&target, " ");
        head.method = method;
        head.target = target ? target : "";
        head.request_id = next_line(&p);
        head.claim = next_line(&p);

        if (relay_request_parse_head(&head, &request, &why) != 0) {
                if (!why)
                        abort();
                return 0;
        }
        if (!p || !relay_operation_has_body(request.operation))
                return 0;
        if (relay_request_parse_body(&request, p, size - (size_t) (p - text), &limits, reason) != 0)
                return 0;
        check_json(request.payload, 2);
        check_json(request.display, 3);
        if (request.webhook &&
                        (request.token == 0 || !webhook_url_is_allowed(&webhooks, request.webhook)))
                abort();
        if (request.operation == RELAY_CREATE &&
                        (request.expiration <= limits.now ||
                                        request.expiration > limits.now + limits.ttl_max))
                abort();
        return 0;
}
