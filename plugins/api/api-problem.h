/* Every refusal that the front itself makes, as RFC 9457 objects: one table, so that openapi.yaml
 * can be tested against it. The gateway's own refusals pass through with the same form of `type`.
 */
#pragma once

#include <jansson.h>

#define API_PROBLEM_PREFIX "urn:vestibule:problem:"

typedef enum ApiProblem {
        API_PROBLEM_INVALID_JSON,
        API_PROBLEM_INVALID_QUERY,
        API_PROBLEM_INVALID_HEADER,
        API_PROBLEM_KEY_MISSING,
        API_PROBLEM_KEY_INVALID,
        API_PROBLEM_UNAUTHENTICATED,
        API_PROBLEM_NOT_FOUND,
        API_PROBLEM_METHOD_NOT_ALLOWED,
        API_PROBLEM_TOO_LARGE,
        API_PROBLEM_MEDIA_TYPE,
        API_PROBLEM_UNKNOWN_MEMBER,
        API_PROBLEM_MISSING_MEMBER,
        API_PROBLEM_INVALID_MEMBER,
        API_PROBLEM_INVALID_ADDRESS,
        API_PROBLEM_NOT_AVAILABLE,
        API_PROBLEM_UNKNOWN_POLICY,
        API_PROBLEM_UNKNOWN_KEY,
        API_PROBLEM_TOO_MANY_STREAMS,
        API_PROBLEM_TOO_MANY_WAITS,
        API_PROBLEM_INTERNAL,
        API_PROBLEM_BUSY,
        API_PROBLEM_UNAVAILABLE,
        _API_PROBLEM_MAX,
} ApiProblem;

typedef struct ApiProblemInfo {
        const char *name; /* what follows API_PROBLEM_PREFIX in `type` */
        unsigned status;
        const char *title;
} ApiProblemInfo;

/* What a parser found wrong. Filled on API_E_FAULT only. */
typedef struct ApiFault {
        ApiProblem problem;
        char member[128]; /* path of the member concerned, such as recipient.addresses, or empty */
        char detail[384]; /* a sentence that says what to do */
} ApiFault;

enum {
        API_E_FAULT = 1, /* the client's bytes are wrong; the fault says how */
};

const ApiProblemInfo *api_problem_info(ApiProblem problem);

/* Fills a fault and returns API_E_FAULT. member may be NULL. */
__attribute__((format(printf, 4, 5))) int api_fault(
                ApiFault *fault, ApiProblem problem, const char *member, const char *format, ...);

/* The problem object of a fault; the caller owns it. NULL: out of memory. */
json_t *api_problem_json(const ApiFault *fault);
