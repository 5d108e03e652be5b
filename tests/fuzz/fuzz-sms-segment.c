/* Any bytes as a text to send: it is refused, or comes back from its segments as it was, in both
 * forms, each segment within what a message holds. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sms-segment.h"
#include "sms-udh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const SmsPlan *plan, const char *text, size_t size, SmsForm form) {
        static uint8_t octets[SMS_SEGMENTS_MAX][SMS_SEGMENT_OCTETS_MAX],
                        septets[SMS_SEGMENTS_MAX][SMS_SEGMENT_OCTETS_MAX];
        SmsOctets parts[SMS_SEGMENTS_MAX];
        _cleanup_(freep) char *back = NULL;

        for (unsigned i = 0; i < plan->n_segments; i++) {
                size_t n = sms_segment_write(plan, text, i, 0x0102, true, form, octets[i]);
                size_t header = plan->n_segments > 1 ? SMS_UDH_CONCAT_SIZE : 0;

                assert(n <= (form == SMS_UNPACKED && plan->alphabet == SMS_GSM7 ? 160u : 140u));
                parts[i] = (SmsOctets){
                        .alphabet = plan->alphabet, .data = octets[i] + header, .size = n - header
                };
                if (form == SMS_PACKED && plan->alphabet == SMS_GSM7) {
                        gsm7_unpack(octets[i] + header,
                                        plan->segments[i].units,
                                        gsm7_fill_bits(header),
                                        septets[i]);
                        parts[i].data = septets[i];
                        parts[i].size = plan->segments[i].units;
                }
        }
        assert(sms_text_read(parts, plan->n_segments, &back) == 0);
        /* A byte order mark is no character of a message, and is left out when it is read. */
        if (!memmem(text, size, "\xef\xbb\xbf", 3))
                assert(strlen(back) == size && memcmp(text, back, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char name[SMS_ODD_TEXT_SIZE];
        SmsPlan plan;

        if (size > 40000 || sms_plan((const char *) data, size, SMS_SEGMENTS_MAX, &plan) != 0)
                return 0;
        assert(plan.n_segments >= 1 && plan.segments[plan.n_segments - 1].end == size);
        check(&plan, (const char *) data, size, SMS_UNPACKED);
        check(&plan, (const char *) data, size, SMS_PACKED);
        sms_odd_text(&plan.odd, name);
        assert((plan.odd.n > 0) == (name[0] != '\0'));
        return 0;
}
