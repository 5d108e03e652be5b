/* Everything that is read from a request's head: query, path, and header fields. */
#include <stdlib.h>
#include <string.h>

#include "api-request.h"
#include "api-route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = strndup((const char *) data, size);
        char key[API_KEY_MAX + 1], id[TOKEN_ID_SIZE], share[ID_TEXT_SIZE], allow[API_ALLOW_SIZE];
        uint8_t hash[TOKEN_HASH_SIZE];
        char event[API_EVENT_ID_SIZE];
        const ApiRoute *route;
        ApiFault fault;
        ApiQuery query;

        if (!text)
                return 0;
        if (api_query_read(text, ~0u, &query, &fault) == 0 && (query.given & API_QUERY_WAIT) &&
                        (query.wait < 0 || query.wait > SHARE_LIMIT_WAIT))
                abort();
        if (api_idempotency_key_read(text, key, &fault) == 0 && strlen(key) < API_KEY_MIN)
                abort();
        (void) api_authorization_read(text, id, hash, &fault);
        if (api_query_read(text, API_QUERY_EVENT, &query, &fault) == 0 &&
                        (query.given & API_QUERY_EVENT) && !api_event_id_is(query.event))
                abort();
        if (api_event_id_read(text, event, &fault) == 0 && strcmp(event, text) != 0)
                abort();
        (void) api_content_type_is_json(text);
        (void) api_route_find("GET", text, &route, share, allow);
        (void) api_route_find("POST", text, &route, share, allow);
        free(text);
        return 0;
}
