/* What a carrier with a messaging API answers, and posts. The first byte tells which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver-rest-message.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(int status, const char *body) {
        RestVerdict verdict;

        rest_verdict(status, body, &verdict);
        if ((verdict.outcome == SMS_SEND_TAKEN) != (verdict.id[0] != 0))
                abort();
        if ((verdict.outcome == SMS_SEND_TAKEN) != (verdict.reason[0] == 0))
                abort();
        for (const char *p = verdict.reason; *p; p++)
                if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", *p))
                        abort();
        if (rest_is_canceled(status, body) && status / 100 != 2)
                abort();
}

static void check_form(const char *text, size_t size) {
        char signature[REST_SIGNATURE_SIZE];
        RestCallback callback;
        HttpValues form;

        if (http_values_read(text, size, &form) != 0)
                return;
        if (rest_callback_read(&form, &callback)) {
                if (!callback.id[0] || strlen(callback.id) >= SMS_CARRIER_ID_SIZE)
                        abort();
                if (callback.text && !text_is_utf8(callback.text, strlen(callback.text)))
                        abort();
        }
        rest_signature("key", 3, "https://host/inbound", &form, signature);
        if (!rest_signature_is_good(signature, "key", 3, "https://host/inbound", &form))
                abort();
        http_values_done(&form);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const int statuses[] = { 200, 201, 400, 401, 404, 429, 500, 503, 302, 0 };
        char *body;

        if (size == 0)
                return 0;
        if (data[0] & 0x80) {
                check_form((const char *) data + 1, size - 1);
                return 0;
        }
        body = strndup((const char *) data + 1, size - 1);
        if (body)
                check_answer(statuses[data[0] % (sizeof(statuses) / sizeof(statuses[0]))], body);
        free(body);
        return 0;
}
