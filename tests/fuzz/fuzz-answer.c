/* Answers: any bytes have a meaning, codes come only with the kind for codes and are of their
 * format, and what is not text is not understood. */
#include <assert.h>
#include <string.h>

#include "answer.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const locales[] = { "en", "de-AT", "fr", "es-419", NULL };

        for (size_t i = 0; i < sizeof(locales) / sizeof(locales[0]); i++) {
                char tag[TAG_SIZE];
                bool found = false;
                Answer answer;

                assert(answer_read(data, size, locales[i], &answer) == 0);
                assert((unsigned) answer.kind < ANSWER_KIND_MAX);
                for (CodeFormat format = 0; format < CODE_FORMAT_MAX; format++) {
                        char code[CODE_SIZE];
                        int r = answer_code(&answer, format, code);

                        found |= r != ANSWER_E_NO_CODE;
                        assert((code[0] == 0) == (r == ANSWER_E_NO_CODE));
                        assert(code_check(format, code) == (r == 0));
                }
                assert(found == (answer.kind == ANSWER_CODE));
                assert(answer.tag[0] == 0 || tag_canonical(answer.tag, strlen(answer.tag), tag));
                assert(answer.kind <= ANSWER_OTHER ||
                                (size <= ANSWER_TEXT_MAX && text_is_utf8(data, size)));
                answer_done(&answer);
        }
        return 0;
}
