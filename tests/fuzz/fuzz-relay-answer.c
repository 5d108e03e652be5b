/* Answers of a relay that is hostile: the input is one byte for operation and status, then header
 * lines, an empty line, and the body. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "draft-v.h"
#include "open-graph.h"
#include "share-url.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const hosts[] = { "relay.example", NULL };

static void check_text(const char *text) {
        assert(!text || (strlen(text) <= OPEN_GRAPH_TEXT_MAX && text_is_utf8(text, strlen(text))));
}

/* Words of ours, whatever the relay said. */
static bool is_reason(const char *reason) {
        static const char *const reasons[] = { "timeout",
                "wrong-echo",
                "duplicate",
                "repeated-read",
                "answer-form",
                "answer-not-json",
                "answer-not-utf8",
                "answer-repeated-member",
                "answer-too-deep",
                "answer-too-large",
                "link-form",
                "link-not-https",
                "link-other-host" };
        int status, n = 0;

        for (size_t i = 0; i < N_ELEMENTS(reasons); i++)
                if (streq(reason, reasons[i]))
                        return true;
        return sscanf(reason, "http-%3d%n", &status, &n) == 1
                               ? !reason[n]
                               : sscanf(reason, "redirect-%3d%n", &status, &n) == 1 && !reason[n];
}

static void check(DraftVOperation operation, const DraftVAnswer *answer) {
        assert(answer->outcome == DRAFT_V_DONE || is_reason(answer->reason));
        assert(answer->outcome != DRAFT_V_CLAIMED || operation == DRAFT_V_READ);
        assert(answer->outcome != DRAFT_V_REREAD || operation == DRAFT_V_READ);
        assert(answer->outcome != DRAFT_V_DUPLICATE || operation == DRAFT_V_CREATE);
        if (operation == DRAFT_V_PREVIEW) {
                check_text(answer->title);
                check_text(answer->description);
                check_text(answer->image_url);
        } else if (operation != DRAFT_V_READ || answer->outcome != DRAFT_V_DONE)
                assert(!answer->title && !answer->payload_data);
        if (operation == DRAFT_V_CREATE)
                assert((answer->outcome == DRAFT_V_DONE) == (answer->link != NULL));
        if (answer->link)
                assert(share_url_is_link(answer->link, hosts));
        if (operation == DRAFT_V_READ && answer->outcome == DRAFT_V_DONE)
                assert(answer->payload_type && answer->payload_data);
        assert(answer->retry_after <= DRAFT_V_RETRY_AFTER_MAX);
        assert((answer->outcome == DRAFT_V_DONE) == !answer->reason[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const int statuses[] = { 200, 201, 202, 302, 400, 401, 403, 404, 429, 503, 0 };
        DraftVOperation operation;
        HttpAnswer http = { .failure = "timeout" };
        DraftVAnswer answer;
        const char *text, *end;

        if (size < 1)
                return 0;
        operation = (DraftVOperation) (data[0] % _DRAFT_V_OPERATION_MAX);
        http.status = statuses[data[0] / _DRAFT_V_OPERATION_MAX % N_ELEMENTS(statuses)];
        text = (const char *) data + 1;
        size--;
        end = memmem(text, size, "\r\n\r\n", 4);
        http.headers = text;
        http.headers_size = end ? (size_t) (end - text) + 2 : size;
        if (end) {
                http.body = end + 4;
                http.body_size = size - (size_t) (end + 4 - text);
        }

        assert(draft_v_read_answer(operation,
                               "00000000-0000-4000-8000-00000000000a",
                               &http,
                               hosts,
                               1795262400,
                               &answer) == 0);
        check(operation, &answer);
        draft_v_answer_done(&answer);
        return 0;
}
