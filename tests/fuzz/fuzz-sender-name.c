/* Names of senders: any bytes are refused with a reason or fit into an SMS, and what is fit has a
 * skeleton of plain letters that neither case nor signs change. */
#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sender-name.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *name = strndup((const char *) data, size), *shouted = NULL;
        char problem[SENDER_NAME_PROBLEM_SIZE];
        int r;

        if (!name)
                return 0;
        r = sender_name_check(name, problem);
        assert(r == 0 || r == SENDER_NAME_E_UNFIT);
        assert((r == 0) == (problem[0] == 0));
        assert(strlen(problem) < sizeof(problem) - 1);
        if (r != 0)
                return 0;
        assert(text_is_utf8(name, strlen(name)) && strlen(name) <= 2 * SENDER_NAME_SEPTETS);
        assert(!strpbrk(name, "@:\\\"<>{}\n\r\x1b") && !strstr(name, "//"));
        for (SenderNameReading reading = 0; reading < SENDER_NAME_READING_MAX; reading++) {
                char skeleton[SENDER_NAME_SKELETON_SIZE];

                sender_name_skeleton(name, reading, skeleton);
                assert(strlen(skeleton) < sizeof(skeleton) && skeleton[0]);
                assert(strspn(skeleton, "abcdefghjklmnopqrstuvwxyz34679") == strlen(skeleton));
        }
        assert(sender_names_are_alike(name, name));
        if (!(shouted = malloc(strlen(name) + 3)))
                return 0;
        (void) stpcpy(stpcpy(shouted, name), ".)");
        for (char *c = shouted; *c; c++)
                *c = (char) toupper((unsigned char) *c);
        assert(sender_names_are_alike(name, shouted) && sender_names_are_alike(shouted, name));
        return 0;
}
