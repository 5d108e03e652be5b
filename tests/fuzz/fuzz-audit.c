/* Lines of an audit log, as anybody may have written them: whatever they are, the verifier ends
 * with a sentence or goes on, and never counts a record whose hash is not its own. */
#include <assert.h>
#include <string.h>

#include "audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        AuditVerifier v = { .has_public = true, .has_key = true, .has_head = true, .head = 2 };
        char problem[AUDIT_PROBLEM_SIZE];
        int r = 0;

        while (r == 0 && size > 0) {
                const uint8_t *end = memchr(data, '\n', size);
                size_t n = end ? (size_t) (end - data) : size;
                int64_t last = v.last;

                r = audit_verifier_line(&v, (const char *) data, n, problem);
                assert(r >= 0);
                assert((r == 0) == (problem[0] == 0));
                assert(r != 0 || v.last == last || v.last == last + 1 || last == 0);
                data += n + (end != NULL);
                size -= n + (end != NULL);
        }
        if (r == 0)
                r = audit_verifier_end(&v, problem);
        assert(r == 0 || strlen(problem) > 0);
        audit_verifier_done(&v);
        return 0;
}
