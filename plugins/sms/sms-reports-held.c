/* Reports that came before their message: what carriers say may overtake what they answer. A
 * carrier waits for a while and gets its report back then, but it is remembered, until its message
 * has come or it is sure that there is none. */
#include "sms-reports-internal.h"

#include <assert.h>
#include <stdio.h>

#include "text.h"

void reports_held_drop(SmsReports *r, Held *held) {
        TAILQ_REMOVE(&r->held, held, entry);
        r->n_held--;
        free(held);
}

static bool is_same_report(const Held *held, const SmsReport *report) {
        return report->id ? streq(held->id, report->id)
                          : !held->id[0] && held->segment == report->segment &&
                                               held->repeat == report->repeat &&
                                               streq(held->message, report->message);
}

static bool is_within_match(uint64_t since, uint64_t boot) {
        return boot - since <= SMS_REPORTS_MATCH_SECONDS * UINT64_C(1000000);
}

bool reports_held_may_match(const Held *held, uint64_t boot) {
        return is_within_match(held->since, boot);
}

/* What left when it was first told has been answered since, and it is about none of that: a carrier
 * reports of nothing that it was not sent before. */
static bool is_about_nothing(const SmsReports *r, const Held *held) {
        return held->until < r->oldest_sending;
}

/* The last one comes to the end, so that those whose carriers wait are in the order of due. */
static void held_wait(SmsReports *r, Held *held, uint64_t token, uint64_t boot) {
        TAILQ_REMOVE(&r->held, held, entry);
        held->token = token;
        held->due = boot + SMS_REPORTS_HOLD_SECONDS * UINT64_C(1000000);
        TAILQ_INSERT_TAIL(&r->held, held, entry);
}

static Held *held_new(SmsReports *r, const SmsReport *report, uint64_t boot) {
        Held *held = TAILQ_FIRST(&r->held);

        if (r->n_held == SMS_REPORTS_HELD_MAX) {
                if (held->token != 0)
                        return NULL;
                reports_held_drop(r, held);
        }
        held = calloc(1, sizeof(*held));
        if (!held)
                return NULL;
        held->segment = report->segment;
        held->repeat = report->repeat;
        held->since = boot;
        held->until = r->newest_sending;
        if (report->id)
                (void) snprintf(held->id, sizeof(held->id), "%s", report->id);
        else
                (void) snprintf(held->message, sizeof(held->message), "%s", report->message);
        TAILQ_INSERT_TAIL(&r->held, held, entry);
        r->n_held++;
        return held;
}

static Held *held_find(SmsReports *r, const SmsReport *report) {
        Held *held;

        TAILQ_FOREACH(held, &r->held, entry)
        if (is_same_report(held, report))
                return held;
        return NULL;
}

/* What was held for its time and comes again is about no message of ours. What was not told for as
 * long is another report, of another message that got the same id. */
SmsVerdict reports_hold(SmsReports *r, const SmsReport *report, uint64_t boot, SmsVerdictOn *ret) {
        Held *held = held_find(r, report);

        if (held && !is_within_match(held->seen, boot)) {
                reports_held_drop(r, held);
                held = NULL;
        }
        if (held && (is_about_nothing(r, held) || !reports_held_may_match(held, boot))) {
                ret->token = held->token;
                reports_held_drop(r, held);
                return SMS_VERDICT_NOTHING;
        }
        if (!held)
                held = held_new(r, report, boot);
        if (!held)
                return SMS_VERDICT_LATER;
        held->seen = boot;
        if (held->was_handed_back)
                return SMS_VERDICT_LATER;
        ret->token = held->token;
        held->outcome = report->outcome;
        text_word(report->error, held->error, sizeof(held->error));
        held_wait(r, held, report->token, boot);
        return SMS_VERDICT_HELD;
}

void sms_reports_set_under_way(SmsReports *r, uint64_t newest, uint64_t oldest) {
        assert(r);

        r->newest_sending = newest;
        r->oldest_sending = oldest;
}

bool sms_reports_release(SmsReports *r, uint64_t *ret_token) {
        Held *held;

        TAILQ_FOREACH(held, &r->held, entry)
        if (held->token != 0 && is_about_nothing(r, held)) {
                *ret_token = held->token;
                reports_held_drop(r, held);
                return true;
        }
        return false;
}

static Held *held_first_due(const SmsReports *r) {
        Held *held;

        TAILQ_FOREACH(held, &r->held, entry)
        if (held->token != 0)
                return held;
        return NULL;
}

uint64_t sms_reports_due(const SmsReports *r) {
        const Held *held = held_first_due(r);

        return held ? held->due : UINT64_MAX;
}

bool sms_reports_hand_back(SmsReports *r, uint64_t boot, uint64_t *ret_token) {
        Held *held = held_first_due(r);

        if (!held || held->due > boot)
                return false;
        *ret_token = held->token;
        held->token = 0;
        held->was_handed_back = true;
        return true;
}

size_t sms_reports_held(const SmsReports *r) {
        return r->n_held;
}
