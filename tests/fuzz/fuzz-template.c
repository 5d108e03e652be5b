/* A template of any bytes is refused with a problem or fit to be sent. The first byte chooses the
 * message. */
#include <assert.h>

#include "template.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(template_freep) Template *template = NULL;
        _cleanup_(freep) char *problem = NULL, *text = NULL;
        unsigned stranger;
        int r;

        if (size == 0)
                return 0;
        r = template_parse((const char *) data + 1,
                        size - 1,
                        (TemplateMessage) (data[0] % _TEMPLATE_MESSAGE_MAX),
                        &template,
                        &problem);
        assert(r == 0 || r == TEMPLATE_E_INVALID);
        assert((r == 0) == (template != NULL));
        assert((r == 0) == (problem == NULL));
        text = strndup((const char *) data,
                        size); /* not UTF-8 perhaps, and yet within its bounds */
        if (text)
                (void) template_sms_parts(text, &stranger);
        return 0;
}
