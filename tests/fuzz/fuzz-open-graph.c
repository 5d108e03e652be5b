/* Preview pages of strangers: what is read is short, is text, and shows on a terminal as text. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "open-graph.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text) {
        if (!text)
                return;
        assert(strlen(text) <= OPEN_GRAPH_TEXT_MAX && text_is_utf8(text, strlen(text)));
        for (const uint8_t *p = (const uint8_t *) text; *p; p++)
                assert(*p >= ' ' && *p != 0x7f && !(p[0] == 0xc2 && p[1] <= 0x9f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(open_graph_done) OpenGraph graph = OPEN_GRAPH_NULL;
        /* A copy of exactly this size, so that a step too far is seen. */
        _cleanup_(freep) char *page = malloc(size ? size : 1);

        memcpy(page, data, size);
        assert(open_graph_read(page, size, &graph) == 0);
        check(graph.title);
        check(graph.description);
        check(graph.image);
        return 0;
}
