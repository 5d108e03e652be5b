/* What Kannel calls back with, up to the text that the channel reads of it; and its answers. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver-kannel-message.h"
#include "sms-text.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inbound(const HttpValues *values) {
        KannelInbound inbound;
        char *text = NULL;

        if (kannel_inbound_read(values, "49", &inbound) == 0) {
                if (inbound.from[0] != '+' || strlen(inbound.to) >= SMS_PART_NAME_SIZE)
                        abort();
                if (inbound.text && !text_is_utf8(inbound.text, strlen(inbound.text)))
                        abort();
                if (inbound.concat.kind != SMS_CONCAT_NONE &&
                                (inbound.text || inbound.concat.part == 0 ||
                                                inbound.concat.part > inbound.concat.total))
                        abort();
                if (!inbound.text && sms_text_read(&inbound.octets, 1, &text) == 0 &&
                                !text_is_utf8(text, strlen(text)))
                        abort();
                free(text);
        }
        kannel_inbound_done(&inbound);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *body = strndup((const char *) data, size);
        KannelVerdict verdict;
        HttpValues values;
        KannelReport report;

        if (!body)
                return 0;
        for (int status = 200; status < 600; status++) {
                verdict = kannel_verdict(status, body);
                if ((verdict.outcome == SMS_SEND_TAKEN) != (verdict.reason == NULL))
                        abort();
        }
        free(body);
        if (http_values_read((const char *) data, size, &values) != 0)
                return 0;
        check_inbound(&values);
        if (kannel_report_read(&values, &report) == 0 &&
                        (!report.message[0] || report.segment >= SMS_SEGMENTS_MAX))
                abort();
        http_values_done(&values);
        return 0;
}
