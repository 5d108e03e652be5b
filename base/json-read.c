#include "json-read.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "json-quick.h"

__attribute__((format(printf, 4, 5))) static int
problem_set(JsonProblem *problem, JsonError error, const char *member, const char *format, ...) {
        va_list ap;
        size_t n = 0;

        problem->error = error;
        problem->syntax = JSON_SYNTAX_OTHER;
        for (const char *p = member; *p && n < sizeof(problem->member) - 1; p++)
                problem->member[n++] =
                                (char) (*p > ' ' && *p < 0x7f && *p != '"' && *p != '\\' ? *p
                                                                                         : '?');
        problem->member[n] = 0;

        va_start(ap, format);
        (void) vsnprintf(problem->text, sizeof(problem->text), format, ap);
        va_end(ap);
        return (int) error;
}

/* Counts brackets outside of strings: jansson would recurse before it could be told to stop. */
static bool too_deep(const char *p, size_t size, unsigned max_depth) {
        unsigned depth = 0;
        bool in_string = false;

        for (size_t i = 0; i < size; i++) {
                if (in_string) {
                        if (p[i] == '\\')
                                i++;
                        else if (p[i] == '"')
                                in_string = false;
                } else if (p[i] == '"')
                        in_string = true;
                else if (p[i] == '{' || p[i] == '[') {
                        if (++depth > max_depth)
                                return true;
                } else if ((p[i] == '}' || p[i] == ']') && depth > 0)
                        depth--;
        }
        return false;
}

static JsonSyntax syntax_of(enum json_error_code code) {
        switch (code) {
        case json_error_duplicate_key:
                return JSON_SYNTAX_REPEATED;
        case json_error_invalid_utf8:
                return JSON_SYNTAX_UTF8;
        default:
                return JSON_SYNTAX_OTHER;
        }
}

int json_read(const void *data,
                size_t size,
                unsigned max_depth,
                json_t **ret,
                JsonProblem *ret_problem) {
        json_error_t error;
        const char *nul;
        json_t *value;

        value = json_quick_read(data, size, max_depth);
        if (value) {
                *ret = value;
                return 0;
        }

        if (too_deep(data, size, max_depth))
                return problem_set(ret_problem,
                                JSON_E_DEPTH,
                                "",
                                "nested deeper than %u levels",
                                max_depth);

        /* jansson passes over one behind a number. */
        nul = size > 0 ? memchr(data, 0, size) : NULL;
        if (nul) {
                ret_problem->syntax = JSON_SYNTAX_OTHER;
                return problem_set(ret_problem,
                                JSON_E_SYNTAX,
                                "",
                                "not JSON at byte %zu",
                                (size_t) (nul - (const char *) data) + 1);
        }

        value = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
        if (!value) {
                if (json_error_code(&error) == json_error_out_of_memory)
                        return -ENOMEM;
                /* jansson's own text may quote the input, which may be a secret: say where, not
                 * what. */
                (void) problem_set(ret_problem,
                                JSON_E_SYNTAX,
                                "",
                                json_error_code(&error) == json_error_duplicate_key
                                                ? "a member is repeated before byte %d"
                                                : "not JSON at byte %d",
                                error.position);
                ret_problem->syntax = syntax_of(json_error_code(&error));
                return JSON_E_SYNTAX;
        }

        *ret = value;
        return 0;
}

static const char *kind_name(JsonKind kind) {
        switch (kind) {
        case JSON_KIND_STRING:
                return "a string";
        case JSON_KIND_INTEGER:
                return "an integer";
        case JSON_KIND_BOOLEAN:
                return "true or false";
        case JSON_KIND_OBJECT:
                return "an object";
        case JSON_KIND_ARRAY:
                return "an array";
        case JSON_KIND_ANY:
                break;
        }
        return "a value";
}

static int read_member(const JsonMember *m, const json_t *value, void *ret, JsonProblem *problem) {
        uint8_t *field = (uint8_t *) ret + m->offset;
        int64_t measure = 0;
        bool fits = true;

        switch (m->kind) {
        case JSON_KIND_STRING:
                fits = json_is_string(value);
                measure = (int64_t) json_string_length(value);
                break;
        case JSON_KIND_INTEGER:
                fits = json_is_integer(value);
                measure = json_integer_value(value);
                break;
        case JSON_KIND_BOOLEAN:
                fits = json_is_boolean(value);
                break;
        case JSON_KIND_OBJECT:
                fits = json_is_object(value);
                measure = (int64_t) json_object_size(value);
                break;
        case JSON_KIND_ARRAY:
                fits = json_is_array(value);
                measure = (int64_t) json_array_size(value);
                break;
        case JSON_KIND_ANY:
                break;
        }
        if (!fits)
                return problem_set(problem,
                                JSON_E_TYPE,
                                m->name,
                                "`%s` must be %s",
                                m->name,
                                kind_name(m->kind));
        if ((m->min != 0 || m->max != 0) && (measure < m->min || measure > m->max))
                return problem_set(problem,
                                JSON_E_RANGE,
                                m->name,
                                m->kind == JSON_KIND_INTEGER
                                                ? "`%s` must be %lld to %lld"
                                                : "the size of `%s` must be %lld to %lld",
                                m->name,
                                (long long) m->min,
                                (long long) m->max);

        switch (m->kind) {
        case JSON_KIND_STRING:
                *(const char **) field = json_string_value(value);
                break;
        case JSON_KIND_INTEGER:
                *(int64_t *) field = json_integer_value(value);
                break;
        case JSON_KIND_BOOLEAN:
                *(bool *) field = json_is_true(value);
                break;
        case JSON_KIND_OBJECT:
        case JSON_KIND_ARRAY:
        case JSON_KIND_ANY:
                *(const json_t **) field = value;
                break;
        }
        return 0;
}

int json_read_members(const json_t *object,
                const JsonMember *members,
                size_t n_members,
                bool refuse_unknown,
                void *ret,
                JsonProblem *ret_problem) {
        size_t n_known = 0;
        int r;

        if (!json_is_object(object))
                return problem_set(ret_problem, JSON_E_TYPE, "", "an object is needed here");

        for (size_t i = 0; i < n_members; i++) {
                const json_t *value = json_object_get(object, members[i].name);

                if (value)
                        n_known++;
                if (!value || json_is_null(value)) {
                        if (members[i].required)
                                return problem_set(ret_problem,
                                                JSON_E_MISSING,
                                                members[i].name,
                                                "`%s` is required",
                                                members[i].name);
                        continue;
                }
                r = read_member(&members[i], value, ret, ret_problem);
                if (r != 0)
                        return r;
        }

        if (refuse_unknown && json_object_size(object) > n_known) {
                const char *key;
                json_t *value;

                json_object_foreach((json_t *) object, key, value) {
                        bool known = false;

                        for (size_t i = 0; i < n_members && !known; i++)
                                known = streq(members[i].name, key);
                        if (known)
                                continue;
                        r = problem_set(ret_problem, JSON_E_UNKNOWN, key, "unknown member");
                        (void) snprintf(ret_problem->text,
                                        sizeof(ret_problem->text),
                                        "`%s` is not a known member",
                                        ret_problem->member);
                        return r;
                }
        }
        return 0;
}
