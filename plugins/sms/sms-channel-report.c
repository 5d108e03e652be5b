/* What carriers report: from the driver over the map of their ids to the gateway, whose answer
 * settles it. A carrier that waits for an answer gets it when the gateway has the report durable,
 * or, of one segment of several, when the map has it on the disk; until then a kill of any of the
 * processes in between leaves the report with the carrier, which hands it in again. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "log.h"
#include "sms-channel-internal.h"
#include "text.h"
#include "time-text.h"

static void settle(SmsChannel *c, uint64_t token, SmsSettlement settlement) {
        if (token != 0)
                c->settings.driver->settle(c->driver, token, settlement);
}

/* --- What the gateway hears --- */

static void log_failed(const SmsChannel *c, const SmsVerdictOn *on) {
        const LogFields fields = { .channel = plugin_name(c->plugin), .message = on->message };

        log_record(LOG_NOTICE,
                        &fields,
                        "the carrier reports a message as %s%s%s",
                        smpp_outcome_name(on->outcome),
                        on->error[0] ? ", code " : "",
                        on->error);
}

/* What a carrier gives up does not work over it: the gateway goes on to another channel. */
static json_t *news_frame(const Reporting *reporting, const char *type) {
        const SmsVerdictOn *on = &reporting->on;
        char reason[SMS_CHANNEL_REASON_SIZE];

        if (reporting->verdict == SMS_VERDICT_DELIVERED)
                return json_pack("{s:s, s:s}", "type", type, "message", on->message);
        (void) snprintf(reason, sizeof(reason), "report-%s", smpp_outcome_name(on->outcome));
        return json_pack("{s:s, s:s, s:b, s:s}",
                        "type",
                        type,
                        "message",
                        on->message,
                        "permanent",
                        true,
                        "reason",
                        reason);
}

static const char *says(const Reporting *reporting) {
        return reporting->verdict == SMS_VERDICT_DELIVERED ? "delivered" : "failed";
}

static json_t *report_frame(const Reporting *reporting) {
        json_t *frame = news_frame(reporting, "report");

        if (frame && (json_object_set_new(frame, "says", json_string(says(reporting))) < 0 ||
                                     json_object_set_new(frame,
                                                     "repeat",
                                                     json_integer(reporting->on.repeat)) < 0)) {
                json_decref(frame);
                return NULL;
        }
        return frame;
}

/* --- Reports under way --- */

static void reporting_free(Reporting *reporting) {
        TAILQ_REMOVE(&reporting->channel->reportings, reporting, entry);
        if (reporting->request != 0)
                plugin_forget(reporting->channel->plugin, reporting->request);
        free(reporting->tokens);
        free(reporting);
}

static void reporting_settle(Reporting *reporting, SmsSettlement settlement) {
        const SmsVerdictOn *on = &reporting->on;
        SmsChannel *c = reporting->channel;

        if (settlement == SMS_SETTLED_TAKEN) {
                if (reporting->verdict == SMS_VERDICT_FAILED)
                        log_failed(c, on);
                sms_reports_end(c->reports, on->message, on->repeat, time_wall());
        } else {
                sms_reports_undo(c->reports, on->message, on->repeat);
        }
        for (size_t i = 0; i < reporting->n_tokens; i++)
                settle(c, reporting->tokens[i], settlement);
        reporting_free(reporting);
}

static void on_answer(Plugin *plugin, const json_t *answer, void *userdata) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        Reporting *reporting = userdata;

        reporting->request = 0;
        if (!type || streq(type, "again")) {
                reporting_settle(reporting, SMS_SETTLED_LATER);
                return;
        }
        if (streq(type, "unsupported")) /* a gateway that knows the events only */
                plugin_tell(plugin, news_frame(reporting, says(reporting)));
        else if (!streq(type, "ack"))
                log_error("the gateway answered a report with neither `ack` nor `again`");
        reporting_settle(reporting, SMS_SETTLED_TAKEN);
}

static bool reporting_add(Reporting *reporting, uint64_t token) {
        uint64_t *tokens;

        if (token == 0)
                return true;
        tokens = reallocarray(reporting->tokens, reporting->n_tokens + 1, sizeof(*tokens));
        if (!tokens)
                return false;
        tokens[reporting->n_tokens++] = token;
        reporting->tokens = tokens;
        return true;
}

/* The carrier says it once more while the gateway thinks about it. */
static Reporting *reporting_find(const SmsChannel *c, const SmsVerdictOn *on) {
        Reporting *reporting;

        TAILQ_FOREACH(reporting, &c->reportings, entry)
        if (reporting->on.repeat == on->repeat && streq(reporting->on.message, on->message))
                return reporting;
        return NULL;
}

static Reporting *reporting_new(SmsChannel *c, SmsVerdict verdict, const SmsVerdictOn *on) {
        Reporting *reporting = calloc(1, sizeof(*reporting));

        if (!reporting)
                return NULL;
        reporting->channel = c;
        reporting->verdict = verdict;
        reporting->on = *on;
        TAILQ_INSERT_TAIL(&c->reportings, reporting, entry);
        if (plugin_ask(c->plugin,
                            report_frame(reporting),
                            PLUGIN_DEADLINE_SECONDS,
                            on_answer,
                            reporting,
                            &reporting->request) == 0)
                return reporting;
        reporting->request = 0;
        sms_reports_undo(c->reports, on->message, on->repeat);
        reporting_free(reporting);
        return NULL;
}

static void offer(SmsChannel *c, SmsVerdict verdict, const SmsVerdictOn *on, uint64_t token) {
        Reporting *reporting = reporting_find(c, on);

        if (!reporting)
                reporting = reporting_new(c, verdict, on);
        if (!reporting || !reporting_add(reporting, token))
                settle(c, token, SMS_SETTLED_LATER);
}

/* --- Reports that come --- */

static void timer_set(SmsChannel *c) {
        uint64_t due = sms_reports_due(c->reports);

        (void) sd_event_source_set_time(c->hold_timer, due);
        (void) sd_event_source_set_enabled(
                        c->hold_timer, due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void take(SmsChannel *c, SmsVerdict verdict, const SmsVerdictOn *on, uint64_t token) {
        switch (verdict) {
        case SMS_VERDICT_NOTHING:
                settle(c, token, SMS_SETTLED_TAKEN);
                return;
        case SMS_VERDICT_HELD:
                return;
        case SMS_VERDICT_LATER:
                settle(c, token, SMS_SETTLED_LATER);
                return;
        case SMS_VERDICT_DELIVERED:
        case SMS_VERDICT_FAILED:
                offer(c, verdict, on, token);
                return;
        }
}

static SmsExpected expected(const SmsChannel *c, uint64_t now) {
        if (!TAILQ_EMPTY(&c->sending))
                return SMS_EXPECTED_ANY;
        return now < c->unsure_until ? SMS_EXPECTED_UNKNOWN : SMS_EXPECTED_KNOWN;
}

/* While ids may come that are not known yet, nothing is sure of what is held. */
static void tell_under_way(SmsChannel *c, uint64_t now) {
        const Sending *oldest = TAILQ_FIRST(&c->sending);

        sms_reports_set_under_way(c->reports,
                        c->newest_serial,
                        now < c->unsure_until ? 0
                        : oldest              ? oldest->serial
                                              : UINT64_MAX);
}

void sms_report_take(SmsChannel *c, const SmsReport *report) {
        uint64_t now = time_boot();
        SmsVerdictOn on;
        SmsVerdict verdict;

        tell_under_way(c, now);
        verdict = sms_reports_note(c->reports, report, expected(c, now), now, &on);

        settle(c, on.token, SMS_SETTLED_LATER); /* nobody waits for the former any more */
        take(c, verdict, &on, report->token);
        if (verdict == SMS_VERDICT_HELD)
                timer_set(c);
}

void sms_report_match(SmsChannel *c) {
        SmsVerdict verdict;
        SmsVerdictOn on;

        if (sms_reports_held(c->reports) == 0)
                return;
        while (sms_reports_match(c->reports, time_boot(), &verdict, &on))
                take(c, verdict, &on, on.token);
        timer_set(c);
}

void sms_report_release(SmsChannel *c) {
        uint64_t token;

        if (sms_reports_held(c->reports) == 0)
                return;
        tell_under_way(c, time_boot());
        while (sms_reports_release(c->reports, &token))
                settle(c, token, SMS_SETTLED_TAKEN);
        timer_set(c);
}

/* There are carriers that hand in one at a time, and say what id a message has only then. */
static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        SmsChannel *c = userdata;
        uint64_t token;

        (void) source;
        (void) due;
        while (sms_reports_hand_back(c->reports, time_boot(), &token))
                settle(c, token, SMS_SETTLED_LATER);
        timer_set(c);
        return 0;
}

/* --- Life --- */

int sms_report_open(SmsChannel *c) {
        int r = sd_event_add_time(plugin_event(c->plugin),
                        &c->hold_timer,
                        CLOCK_BOOTTIME,
                        UINT64_MAX,
                        0,
                        on_timer,
                        c);

        return r < 0 ? r : sd_event_source_set_enabled(c->hold_timer, SD_EVENT_OFF);
}

void sms_report_stop(SmsChannel *c) {
        uint64_t token;

        while (!TAILQ_EMPTY(&c->reportings))
                reporting_settle(TAILQ_FIRST(&c->reportings), SMS_SETTLED_LATER);
        while (c->reports && sms_reports_hand_back(c->reports, UINT64_MAX, &token))
                settle(c, token, SMS_SETTLED_LATER);
        c->hold_timer = sd_event_source_disable_unref(c->hold_timer);
}
