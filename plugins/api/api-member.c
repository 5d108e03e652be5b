#include "api-member.h"

#include <errno.h>
#include <stdio.h>

#include "api-request.h"
#include "cleanup.h"
#include "json-raw.h"

/* Turns what base's JSON reader found into a fault. where is the path of the object, or "". */
static int fault_from_json(const JsonProblem *problem, const char *where, ApiFault *fault) {
        const char *dot = where[0] && problem->member[0] ? "." : "";
        char path[128];

        (void) snprintf(path, sizeof(path), "%s%s%s", where, dot, problem->member);
        switch (problem->error) {
        case JSON_E_UNKNOWN:
                return api_fault(fault,
                                API_PROBLEM_UNKNOWN_MEMBER,
                                path,
                                "`%s` is not a known member. Remove it, or correct its name.",
                                path);
        case JSON_E_MISSING:
                return api_fault(fault,
                                API_PROBLEM_MISSING_MEMBER,
                                path,
                                "Add `%s`: it is required.",
                                path);
        case JSON_E_TYPE:
        case JSON_E_RANGE:
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                path,
                                "%s%s%s.",
                                where,
                                where[0] ? ": " : "",
                                problem->text);
        case JSON_E_SYNTAX:
        case JSON_E_DEPTH:
                break;
        }
        return api_fault(fault,
                        API_PROBLEM_INVALID_JSON,
                        NULL,
                        "The body must be one JSON object in UTF-8 without repeated members, at "
                        "most %d "
                        "levels deep: %s.",
                        API_DEPTH_MAX,
                        problem->text);
}

int api_members_read(const json_t *object,
                const char *where,
                const JsonMember *members,
                size_t n_members,
                void *ret,
                ApiFault *fault) {
        JsonProblem problem;
        int r;

        r = json_read_members(object, members, n_members, true, ret, &problem);
        return r > 0 ? fault_from_json(&problem, where, fault) : r;
}

/* Objects with very many members cost hashing in every program they pass. */
static bool too_many_members(const json_t *value) {
        const char *name;
        json_t *child;
        size_t i;

        if (json_is_object(value)) {
                if (json_object_size(value) > API_MEMBERS_MAX)
                        return true;
                json_object_foreach((json_t *) value, name, child) {
                        if (too_many_members(child))
                                return true;
                }
        } else if (json_is_array(value)) {
                json_array_foreach(value, i, child) {
                        if (too_many_members(child))
                                return true;
                }
        }
        return false;
}

static const char content_path[] = "provisioning/content";

int api_body_read(const void *data, size_t size, json_t **ret, ApiFault *fault) {
        json_auto_t *body = NULL;
        JsonProblem problem;
        JsonRaw raw;
        int r;

        if (size > API_BODY_MAX)
                return api_fault(fault,
                                API_PROBLEM_TOO_LARGE,
                                NULL,
                                "Send a body of at most %d bytes.",
                                API_BODY_MAX);
        r = json_raw_read(data, size, API_DEPTH_MAX, content_path, &body, &raw, &problem);
        if (r > 0)
                return fault_from_json(&problem, "", fault);
        if (r < 0)
                return r;
        if (!json_is_object(body))
                return api_fault(fault,
                                API_PROBLEM_INVALID_JSON,
                                NULL,
                                "The body must be a JSON object.");
        if (too_many_members(body))
                return api_fault(fault,
                                API_PROBLEM_INVALID_JSON,
                                NULL,
                                "An object has more than %d members. Send fewer.",
                                API_MEMBERS_MAX);
        if (raw.data) {
                r = json_raw_keep(&body, content_path, &raw);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(body);
        return 0;
}

/* Decodes one code point of text that is known to be UTF-8. */
static uint32_t code_point_next(const uint8_t **p) {
        uint32_t c = *(*p)++;
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

        if (more > 0)
                c &= 0x3fu >> more;
        while (more-- > 0)
                c = c << 6 | (*(*p)++ & 0x3fu);
        return c;
}

/* Controls move cursors, bidirectional marks turn text around, and both make one name look like
 * another. */
bool api_text_is_plain(const char *text) {
        const uint8_t *p = (const uint8_t *) text;

        while (*p) {
                uint32_t c = code_point_next(&p);

                if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x061c || c == 0x200e ||
                                c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
                                (c >= 0x2066 && c <= 0x206f) || c == 0xfeff ||
                                (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe)
                        return false;
        }
        return true;
}

int api_plain_text_check(const char *text, const char *path, ApiFault *fault) {
        if (!text || api_text_is_plain(text))
                return 0;
        return api_fault(fault,
                        API_PROBLEM_INVALID_MEMBER,
                        path,
                        "Remove control characters, line breaks and marks of writing direction "
                        "from `%s`.",
                        path);
}
