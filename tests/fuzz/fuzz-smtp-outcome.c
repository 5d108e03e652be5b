/* What a mail server says, line by line: "sent" is never concluded but from a session that libcurl
 * ended well or a 2xx after the content, a mail that needs UTF-8 goes nowhere else, and a reason is
 * one plain word. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "smtp-outcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const CURLcode codes[] = {
        CURLE_OK,
        CURLE_COULDNT_CONNECT,
        CURLE_LOGIN_DENIED,
        CURLE_OPERATION_TIMEDOUT,
        CURLE_PEER_FAILED_VERIFICATION,
        CURLE_RECV_ERROR,
        CURLE_SEND_ERROR,
        CURLE_WEIRD_SERVER_REPLY,
        CURLE_ABORTED_BY_CALLBACK,
};

static void follow(SmtpTrace *trace, bool needs_utf8, const char *text, size_t size) {
        const char *end = text + size, *line = text, *next;

        smtp_trace_begin(trace, needs_utf8);
        for (; line < end; line = next) {
                next = memchr(line, '\n', (size_t) (end - line));
                next = next ? next + 1 : end;
                if (next - line == 1)
                        assert(smtp_trace_connected(trace) == (!needs_utf8 || trace->offers_utf8));
                else
                        smtp_trace_reply(trace, line, (size_t) (next - line));
                assert(trace->stage <= SMTP_STAGE_CONTENT);
                assert(trace->code >= 0 && trace->code <= 999);
                assert(strlen(trace->status) < sizeof(trace->status));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        SmtpTrace trace = { 0 };
        SmtpOutcome outcome;
        CURLcode code;

        if (size == 0)
                return 0;
        code = codes[data[0] % (sizeof(codes) / sizeof(codes[0]))];
        follow(&trace, data[0] & 0x40, (const char *) data + 1, size - 1);
        smtp_outcome(&trace, code, data[0] & 0x80, &outcome);
        assert(!trace.lacks_utf8 || outcome.verdict == SMTP_VERDICT_REFUSED);
        if (outcome.verdict == SMTP_VERDICT_SENT)
                assert(code == CURLE_OK ||
                                (trace.stage == SMTP_STAGE_CONTENT && trace.code / 100 == 2));
        assert((outcome.verdict == SMTP_VERDICT_SENT) == (outcome.reason[0] == '\0'));
        assert(strspn(outcome.reason, "abcdefghijklmnopqrstuvwxyz0123456789-") ==
                        strlen(outcome.reason));
        assert(!outcome.down || outcome.verdict == SMTP_VERDICT_LATER);
        return 0;
}
