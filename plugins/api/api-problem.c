#include "api-problem.h"

#include <stdarg.h>
#include <stdio.h>

/* clang-format off */
static const ApiProblemInfo problems[_API_PROBLEM_MAX] = {
        [API_PROBLEM_INVALID_JSON]       = { "invalid-json",            400, "The body is not acceptable JSON" },
        [API_PROBLEM_INVALID_QUERY]      = { "invalid-query",           400, "The query is not acceptable" },
        [API_PROBLEM_INVALID_HEADER]     = { "invalid-header",          400, "A header field is not acceptable" },
        [API_PROBLEM_KEY_MISSING]        = { "idempotency-key-missing", 400, "Idempotency-Key is missing" },
        [API_PROBLEM_KEY_INVALID]        = { "idempotency-key-invalid", 400, "Idempotency-Key is not acceptable" },
        [API_PROBLEM_UNAUTHENTICATED]    = { "unauthenticated",         401, "No valid credential" },
        [API_PROBLEM_NOT_FOUND]          = { "not-found",               404, "There is nothing here" },
        [API_PROBLEM_METHOD_NOT_ALLOWED] = { "method-not-allowed",      405, "Method not allowed" },
        [API_PROBLEM_TOO_LARGE]          = { "too-large",               413, "Too large" },
        [API_PROBLEM_MEDIA_TYPE]         = { "unsupported-media-type",  415, "The body must be application/json" },
        [API_PROBLEM_UNKNOWN_MEMBER]     = { "unknown-member",          422, "Unknown member" },
        [API_PROBLEM_MISSING_MEMBER]     = { "missing-member",          422, "Missing member" },
        [API_PROBLEM_INVALID_MEMBER]     = { "invalid-member",          422, "A member is not acceptable" },
        [API_PROBLEM_INVALID_ADDRESS]    = { "invalid-address",         422, "An address is not acceptable" },
        [API_PROBLEM_NOT_AVAILABLE]      = { "not-available",           422, "Not available" },
        [API_PROBLEM_UNKNOWN_POLICY]     = { "unknown-policy",          422, "Unknown policy" },
        [API_PROBLEM_UNKNOWN_KEY]        = { "unknown-key",             422, "Unknown key" },
        [API_PROBLEM_TOO_MANY_STREAMS]   = { "too-many-streams",        429, "Too many streams of events" },
        [API_PROBLEM_TOO_MANY_WAITS]     = { "too-many-waits",          429, "Too many requests wait" },
        [API_PROBLEM_INTERNAL]           = { "internal",                500, "Internal error" },
        [API_PROBLEM_BUSY]               = { "busy",                    503, "Too many requests are under way" },
        [API_PROBLEM_UNAVAILABLE]        = { "gateway-unavailable",     503, "The gateway does not answer" },
};
/* clang-format on */

const ApiProblemInfo *api_problem_info(ApiProblem problem) {
        return &problems[problem];
}

int api_fault(ApiFault *fault, ApiProblem problem, const char *member, const char *format, ...) {
        va_list ap;

        fault->problem = problem;
        (void) snprintf(fault->member, sizeof(fault->member), "%s", member ? member : "");
        va_start(ap, format);
        (void) vsnprintf(fault->detail, sizeof(fault->detail), format, ap);
        va_end(ap);
        return API_E_FAULT;
}

json_t *api_problem_json(const ApiFault *fault) {
        const ApiProblemInfo *info = &problems[fault->problem];
        char type[64];
        json_t *object;

        (void) snprintf(type, sizeof(type), API_PROBLEM_PREFIX "%s", info->name);
        object = json_pack("{s:s, s:s, s:i, s:s}",
                        "type",
                        type,
                        "title",
                        info->title,
                        "status",
                        (int) info->status,
                        "detail",
                        fault->detail);
        if (object && fault->member[0] &&
                        json_object_set_new(object, "member", json_string(fault->member)) < 0) {
                json_decref(object);
                return NULL;
        }
        return object;
}
