/* Bytes of strangers as JSON: json_read() and the member table, which must agree with jansson's own
 * writer: what was taken is written and read again to the same value. */
#include <assert.h>
#include <stddef.h>

#include "cleanup.h"
#include "json-read.h"
#include "text.h"

typedef struct Values {
        const char *string;
        int64_t integer;
        bool boolean;
        const json_t *object, *array, *any;
} Values;

static const JsonMember members[] = {
        { "type", JSON_KIND_STRING, offsetof(Values, string), true, 1, 64 },
        { "id", JSON_KIND_INTEGER, offsetof(Values, integer), false, 1, INT64_C(1) << 53 },
        { "up", JSON_KIND_BOOLEAN, offsetof(Values, boolean), false, 0, 0 },
        { "body", JSON_KIND_OBJECT, offsetof(Values, object), false, 0, 0 },
        { "list", JSON_KIND_ARRAY, offsetof(Values, array), false, 0, 4 },
        { "any", JSON_KIND_ANY, offsetof(Values, any), false, 0, 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_auto_t *value = NULL, *again = NULL;
        _cleanup_(freep) char *text = NULL;
        JsonProblem problem = { 0 };
        Values values = { 0 };
        int r;

        r = json_read(data, size, 16, &value, &problem);
        if (r != 0) {
                assert(r < 0 || (problem.error == (JsonError) r && problem.text[0]));
                assert(r == JSON_E_SYNTAX || problem.syntax == JSON_SYNTAX_OTHER);
                assert(problem.syntax != JSON_SYNTAX_UTF8 || !text_is_utf8(data, size));
                return 0;
        }

        r = json_read_members(value, members, N_ELEMENTS(members), size % 2, &values, &problem);
        assert(r != 0 || (values.string && values.string[0]));
        for (const char *p = problem.member; *p; p++)
                assert(*p > ' ' && *p < 0x7f);

        text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17));
        assert(text);
        assert(json_read(text, strlen(text), 16, &again, &problem) == 0);
        assert(json_equal(value, again));
        return 0;
}
