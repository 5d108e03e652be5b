/* A stranger's parts in any order: what is held stays within its bounds, every token comes back
 * once or was replaced, and after the timeout nothing is left. Each step is six octets: sender and
 * time, kind and reference, total, part, alphabet, size. */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "sms-assembly.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const SmsAssemblyLimits limits = {
        .wholes = 8,
        .per_sender = 3,
        .parts = 100,
        .parts_of_sender = 64,
        .bytes = 2000,
        .timeout = 100,
        .patience = 30,
};

static size_t drain(SmsAssembly *assembly, uint64_t now) {
        SmsWhole whole;
        size_t n = 0;

        while (sms_assembly_give_up(assembly, now, &whole)) {
                assert(!whole.text && whole.n_tokens >= 1 && whole.n_tokens < whole.total);
                n += whole.n_tokens;
                sms_whole_done(&whole);
        }
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const senders[] = { "+491", "+492", "+493", "Hotel" };
        SmsAssembly *assembly = NULL;
        size_t taken = 0, given = 0;
        uint64_t now = 0;

        assert(sodium_init() >= 0);
        assert(sms_assembly_new(&limits, &assembly) == 0);
        for (size_t i = 0; i + 6 <= size; i += 6) {
                const uint8_t *step = data + i;
                SmsPart part = { .from = senders[step[0] & 3],
                        .to = "+4930",
                        .id = step[0] & 4 ? "id" : NULL,
                        .concat = { step[1] & 3, step[1] >> 2, step[2], step[3] },
                        .octets = { step[4] & 3,
                                        step[4] >> 4 & 7,
                                        step[4] >> 5,
                                        data,
                                        (size_t) step[5] * 5 < size ? (size_t) step[5] * 5 : size },
                        .token = i };
                SmsWhole whole;
                int r;

                now += step[0] >> 3;
                r = sms_assembly_add(assembly, &part, now, &whole);
                taken += r == 0 || r == SMS_ASSEMBLY_E_WAITING;
                if (r == 0) {
                        assert(whole.n_tokens == whole.total && strlen(whole.id) == 32);
                        assert(text_is_utf8(whole.text, strlen(whole.text)));
                        given += whole.n_tokens;
                        sms_whole_done(&whole);
                }
                assert(!whole.text);
                assert(sms_assembly_bytes(assembly) <= limits.bytes);
                /* What made room is there until it is taken away. */
                assert(sms_assembly_count(assembly) <= limits.wholes + 1);
                given += drain(assembly, now);
                assert(sms_assembly_count(assembly) <= limits.wholes);
        }
        given += drain(assembly, now + limits.timeout);
        assert(given == taken && sms_assembly_count(assembly) == 0);
        assert(sms_assembly_bytes(assembly) == 0 && sms_assembly_due(assembly) == UINT64_MAX);
        (void) sms_assembly_free(assembly);
        return 0;
}
