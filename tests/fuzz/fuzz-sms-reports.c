/* A file of carriers' ids with anything in it: what cannot be is left out, what is taken is within
 * its bounds and can be reported about once. */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "sms-reports.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        NOW = 1795262400,
        PARTS = 3,
};

/* Each word of the bytes as an id and as a message. */
static void report_all(SmsReports *reports, const uint8_t *data, size_t size) {
        size_t count = sms_reports_count(reports);
        char word[SMPP_ID_SIZE];
        SmsVerdictOn on;

        for (size_t i = 0, n = 0; i <= size; i++) {
                if (i < size && data[i] > ' ' && n < sizeof(word) - 1) {
                        word[n++] = (char) data[i];
                        continue;
                }
                word[n] = '\0';
                n = 0;
                for (int which = 0; which < 2; which++) {
                        SmsReport report = { .id = which ? NULL : word,
                                .message = which ? word : NULL,
                                .token = 1,
                                .outcome = which ? SMPP_OUTCOME_FAILED : SMPP_OUTCOME_DELIVERED };
                        SmsVerdict verdict = sms_reports_note(
                                        reports, &report, SMS_EXPECTED_ANY, 0, &on);

                        assert(verdict != SMS_VERDICT_LATER);
                        if (verdict == SMS_VERDICT_DELIVERED || verdict == SMS_VERDICT_FAILED) {
                                assert(sms_reports_is_message(on.message));
                                assert(sms_reports_count(reports) == count);
                                sms_reports_end(reports, on.message, on.repeat, NOW);
                                /* Older ones that stood behind it go with it. */
                                assert(sms_reports_count(reports) < count);
                                count = sms_reports_count(reports);
                        }
                        assert(sms_reports_held(reports) <= SMS_REPORTS_HELD_MAX);
                }
        }
}

/* A message of which the file may have some parts: what it has is part of what is asked for, and a
 * part that is added is there. */
static void go_on_with_parts(SmsReports *reports, const char *message) {
        SmsSegmentTaken taken[PARTS];
        unsigned n = 0;

        if (sms_reports_parts(reports, message, 0, taken, PARTS)) {
                assert(sms_reports_has_parts(reports, message));
                for (unsigned i = 0; i < PARTS; i++)
                        n += taken[i].is_taken;
                assert(n >= 1 && n < PARTS);
        }
        assert(sms_reports_add_part(reports, message, 0, PARTS, 0, "1f", NOW) == 0);
        assert(sms_reports_has_parts(reports, message));
        if (sms_reports_parts(reports, message, 0, taken, PARTS))
                assert(taken[0].is_taken);
}

/* Once nothing is under way nobody waits for a report. */
static void release_all(SmsReports *reports) {
        uint64_t token;

        sms_reports_set_under_way(reports, 1, UINT64_MAX);
        while (sms_reports_release(reports, &token))
                assert(token == 1);
        assert(sms_reports_due(reports) == UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        SmsReports *reports = NULL;
        SmsVerdict verdict;
        SmsVerdictOn on;

        assert(sodium_init() >= 0);
        assert(sms_reports_new(&reports) == 0);
        sms_reports_read(reports, (const char *) data, size, NOW);
        assert(sms_reports_count(reports) <= size / 8); /* the shortest line is "t 0 1 m\n" */
        report_all(reports, data, size);
        while (sms_reports_match(reports, 0, &verdict, &on))
                ;
        release_all(reports);
        go_on_with_parts(reports, "m");
        (void) sms_reports_free(reports);
        return 0;
}
