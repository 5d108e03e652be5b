#include "api-route.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const ApiRoute routes[] = {
        { "POST", "/v1/shares",                   API_ROUTE_CREATE, "share.create",  0, true, true },
        { "GET",  "/v1/shares",                   API_ROUTE_ASK,    "share.list",
          API_QUERY_STATE | API_QUERY_REFERENCE | API_QUERY_LIMIT | API_QUERY_CURSOR, false, false },
        { "GET",  "/v1/shares/{share}",           API_ROUTE_ASK,    "share.get",
          API_QUERY_AFTER | API_QUERY_WAIT, false, true },
        { "POST", "/v1/shares/{share}/cancel",    API_ROUTE_ASK,    "share.cancel",  0, false, true },
        { "POST", "/v1/shares/{share}/resend",    API_ROUTE_ASK,    "share.resend",  0, false, true },
        { "POST", "/v1/shares/{share}/reissue",   API_ROUTE_ASK,    "share.reissue", 0, false, true },
        { "POST", "/v1/shares/{share}/approve",   API_ROUTE_ASK,    "share.approve", 0, false, true },
        { "POST", "/v1/shares/{share}/deny",      API_ROUTE_ASK,    "share.deny",    0, false, true },
        { "POST", "/v1/shares/{share}/expiry",    API_ROUTE_ASK,    "share.expiry",  0, false, true },
        { "POST", "/v1/shares/{share}/messages",  API_ROUTE_SEND,   "message.add",   0, true, false },
        { "GET",  "/v1/shares/{share}/messages",  API_ROUTE_MESSAGES, "message.list",
          API_QUERY_AFTER | API_QUERY_LIMIT, false, false },
        { "GET",  "/v1/events",                   API_ROUTE_EVENTS, "event.follow",
          API_QUERY_EVENT, false, false },
        { "GET",  "/v1/channels",                 API_ROUTE_ASK,    "channel.list",  0, false, false },
        { "GET",  "/v1/policies",                 API_ROUTE_ASK,    "policy.list",   API_QUERY_NAME, false, false },
        { "GET",  "/v1/keys",                     API_ROUTE_KEYS,   NULL,            0, false, false },
        { "GET",  "/v1/letters",                  API_ROUTE_ASK,    "letter.list",   0, false, false },
        { "POST", "/v1/letters/{message}/replay", API_ROUTE_ASK,    "letter.replay", 0, false, false },
        { "POST", "/v1/letters/{message}/drop",   API_ROUTE_ASK,    "letter.drop",   0, false, false },
        { "GET",  "/v1/blocks",                   API_ROUTE_ASK,    "block.list",
          API_QUERY_LIMIT | API_QUERY_CURSOR, false, false },
        { "POST", "/v1/blocks/lift",              API_ROUTE_ASK,    "block.lift_address", 0, false, false },
        { "POST", "/v1/blocks/{block}/lift",      API_ROUTE_ASK,    "block.lift",    0, false, false },
        { "GET",  "/v1/limits",                   API_ROUTE_ASK,    "limit.list",
          API_QUERY_LIMIT | API_QUERY_CURSOR, false, false },
        { "POST", "/v1/limits/show",              API_ROUTE_ASK,    "limit.show_address", 0, false, false },
        { "POST", "/v1/limits/clear",             API_ROUTE_ASK,    "limit.clear_address", 0, false, false },
        { "POST", "/v1/limits/{counter}/clear",   API_ROUTE_ASK,    "limit.clear",   0, false, false },
        { "GET",  "/v1/audit",                    API_ROUTE_ASK,    "audit.export",
          API_QUERY_AFTER, false, false },
        { "GET",  "/v1/audit/key",                API_ROUTE_ASK,    "audit.key",     0, false, false },
        { "POST", "/v1/audit/seed",               API_ROUTE_ASK,    "audit.seed",    0, false, false },
        { "POST", "/v1/clock/accept",             API_ROUTE_ASK,    "clock.accept",  0, false, false },
        { "GET",  "/healthz",                     API_ROUTE_ALIVE,  NULL,            0, false, false },
        { "GET",  "/readyz",                      API_ROUTE_READY,  "health",        0, false, false },
        { "GET",  "/metrics",                     API_ROUTE_METRICS, "health",       0, false, false },
        { "GET",  "/openapi.yaml",                API_ROUTE_OPENAPI, NULL,           0, false, false },
};
/* clang-format on */

static const char *prefix_of(char first) {
        return first == 's' ? "shr_" : first == 'm' ? "msg_" : first == 'c' ? "cnt_" : "blk_";
}

/* Compares a path with a pattern; what stands for {…} must be an id with that word's prefix. */
static bool path_matches(const char *pattern, const char *path, char ret_id[ID_TEXT_SIZE]) {
        const char *brace = strchr(pattern, '{'), *rest;
        uint8_t bytes[16];
        size_t n;

        ret_id[0] = 0;
        if (!brace)
                return strcmp(pattern, path) == 0;

        n = (size_t) (brace - pattern);
        rest = strchr(brace, '}') + 1;
        if (strncmp(pattern, path, n) != 0 || strlen(path + n) < ID_TEXT_SIZE - 1 ||
                        strcmp(path + n + ID_TEXT_SIZE - 1, rest) != 0)
                return false;
        memcpy(ret_id, path + n, ID_TEXT_SIZE - 1);
        ret_id[ID_TEXT_SIZE - 1] = 0;
        return text_from_id(prefix_of(brace[1]), ret_id, bytes) == 0;
}

int api_route_find(const char *method,
                const char *path,
                const ApiRoute **ret,
                char ret_id[ID_TEXT_SIZE],
                char ret_allow[API_ALLOW_SIZE]) {
        const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
        bool get = false, post = false;

        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
                if (!path_matches(routes[i].path, path, ret_id))
                        continue;
                if (strcmp(routes[i].method, wanted) == 0) {
                        *ret = &routes[i];
                        return 0;
                }
                get = get || routes[i].method[0] == 'G';
                post = post || routes[i].method[0] == 'P';
        }
        if (!get && !post)
                return API_ROUTE_E_NOT_FOUND;
        (void) snprintf(ret_allow,
                        API_ALLOW_SIZE,
                        "%s%s%s",
                        get ? "GET, HEAD" : "",
                        get && post ? ", " : "",
                        post ? "POST" : "");
        return API_ROUTE_E_METHOD;
}
