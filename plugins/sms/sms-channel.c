#include "sms-channel.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "sms-channel-internal.h"
#include "sms-lint.h"
#include "time-text.h"

/* --- What drivers tell --- */

void sms_channel_carrier(SmsChannel *c, bool up, const char *reason) {
        char told[SMS_CHANNEL_REASON_SIZE];

        (void) snprintf(told, sizeof(told), "%s", up ? "" : reason);
        if (c->has_status && c->is_up == up && streq(c->reason, told))
                return;
        if (up)
                log_info("the carrier is reachable");
        else if (c->is_up)
                log_warning("the carrier is not reachable: %s", told);
        c->has_status = true;
        c->is_up = up;
        memcpy(c->reason, told, sizeof(told));
        plugin_tell_status(c->plugin, up, told);
}

void sms_channel_ready(SmsChannel *c) {
        c->is_blocked = false;
        sms_send_pump(c);
}

void sms_channel_sent(SmsChannel *c, const SmsOutbound *outbound, const SmsSendResult *result) {
        sms_send_result(c, outbound, result);
}

void sms_channel_segment(
                SmsChannel *c, const SmsOutbound *outbound, unsigned segment, const char *id) {
        sms_send_segment(c, outbound, segment, id);
}

void sms_channel_report(SmsChannel *c, const SmsReport *report) {
        if (c->replies)
                sms_report_take(c, report);
        else if (report->token != 0) /* the channel ends */
                c->settings.driver->settle(c->driver, report->token, SMS_SETTLED_LATER);
}

void sms_channel_inbound(SmsChannel *c, const SmsInbound *inbound) {
        if (c->replies)
                sms_replies_take(c->replies, inbound);
        else /* the channel ends, and its driver has not heard of it */
                c->settings.driver->settle(c->driver, inbound->token, SMS_SETTLED_LATER);
}

void sms_channel_withdrawn(SmsChannel *c, const char *message, SmsWithdrawOutcome outcome) {
        sms_withdraw_result(c, message, outcome);
}

/* --- Life --- */

static void settle(void *userdata, uint64_t token, SmsSettlement settlement) {
        SmsChannel *c = userdata;

        c->settings.driver->settle(c->driver, token, settlement);
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        (void) source;
        (void) due;
        sms_send_pump(userdata);
        return 0;
}

/* The same for as long as the same carrier takes what comes from the same sender. */
static uint32_t way_of(const SmsSettings *settings, const json_t *frame) {
        static const char *const names[] = { "host", "port", "system_id", "url", "username" };
        static const uint8_t key[crypto_shorthash_KEYBYTES]; /* the same for ever */
        uint8_t hash[crypto_shorthash_BYTES];
        char text[1024];
        int n = snprintf(text, sizeof(text), "%s %s", settings->driver->name, settings->sender);

        for (size_t i = 0; i < N_ELEMENTS(names) && (size_t) n < sizeof(text); i++)
                n += snprintf(text + n,
                                sizeof(text) - (size_t) n,
                                " %s",
                                plugin_setting(frame, names[i], ""));
        (void) crypto_shorthash(hash, (const uint8_t *) text, strlen(text), key);
        return (uint32_t) hash[0] << 24 | (uint32_t) hash[1] << 16 | (uint32_t) hash[2] << 8 |
               hash[3];
}

/* The map of the carrier's ids is kept where systemd says, the first of these folders. */
static int open_reports(SmsChannel *c, const json_t *settings) {
        const char *folders = getenv("STATE_DIRECTORY");
        _cleanup_(freep) char *folder = NULL;
        int r = sms_reports_new(&c->reports);

        if (r < 0 || !folders || !folders[0])
                return r;
        folder = strndup(folders, strcspn(folders, ":"));
        if (!folder)
                return -ENOMEM;
        sms_reports_set_way(c->reports, way_of(&c->settings, settings));
        r = sms_reports_open(c->reports, folder, time_wall());
        if (r == -EBUSY) {
                log_error("another process uses the state folder %s", folder);
                return r;
        }
        if (r < 0)
                log_warning("the carrier's ids are kept in memory only, as the state folder cannot "
                            "be used: %s",
                                strerror(-r));
        /* The gateway is about to ask again for what a killed process did not write down. */
        if (sms_reports_has_past(c->reports)) {
                c->unsure_until = time_boot() + SMS_REPORTS_MATCH_SECONDS * USEC_PER_SEC;
                c->tried_known_after = time_wall();
        }
        return 0;
}

static int channel_open(SmsChannel *c, const json_t *settings) {
        int r;

        r = sms_settings_read(settings, sms_drivers, &c->settings);
        if (r < 0)
                return r;
        sms_paces_init(&c->paces, c->settings.per_minute, c->settings.burst);
        r = open_reports(c, settings);
        if (r < 0)
                return r;
        r = sms_replies_new(&c->replies, c->plugin, c->settings.sender, settle, c);
        if (r < 0)
                return r;
        r = sd_event_add_time(plugin_event(c->plugin),
                        &c->timer,
                        CLOCK_BOOTTIME,
                        UINT64_MAX,
                        0,
                        on_timer,
                        c);
        if (r < 0)
                return r;
        (void) sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        r = sms_report_open(c);
        if (r < 0)
                return r;
        r = c->settings.driver->new (&c->driver, c, plugin_event(c->plugin), settings);
        if (r == 0 && !c->has_status)
                sms_channel_carrier(c, false, "connecting");
        return r;
}

static void channel_stop(Plugin *plugin, void *state) {
        SmsChannel *c = state;

        (void) plugin;
        if (!c)
                return;
        if (c->driver) {
                (void) sms_replies_free(TAKE_PTR(c->replies));
                sms_report_stop(c);
                (void) c->settings.driver->free(c->driver);
        }
        sms_send_stop(c);
        sms_withdraw_stop(c);
        (void) sms_replies_free(c->replies);
        (void) sms_reports_free(c->reports);
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->hold_timer);
        free(c);
}

static int channel_start(Plugin *plugin, const json_t *settings, void **ret_state) {
        SmsChannel *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->plugin = plugin;
        TAILQ_INIT(&c->waiting);
        TAILQ_INIT(&c->sending);
        TAILQ_INIT(&c->withdrawals);
        TAILQ_INIT(&c->reportings);
        r = channel_open(c, settings);
        if (r < 0) {
                channel_stop(plugin, c);
                return r;
        }
        *ret_state = c;
        return 0;
}

static int channel_request(
                Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        (void) plugin;
        if (streq(type, "send"))
                sms_send_request(state, id, frame);
        else if (streq(type, "withdraw"))
                sms_withdraw_request(state, id, frame);
        else
                return PLUGIN_UNSUPPORTED;
        return 0;
}

/* Capabilities are told before the settings come that name the driver: one that cannot take
 * messages back answers `too-late`. */
static const char *const capabilities[] = { "reply", "receipt", "withdraw", NULL };

const PluginOps sms_channel_ops = {
        .program = "vestibule-sms",
        .role = "channel",
        .name = "sms",
        .summary = "Carries invitations and answers over SMS.",
        .capabilities = capabilities,
        .start = channel_start,
        .request = channel_request,
        .stop = channel_stop,
        .option = sms_lint_option,
        .option_help = "  --lint [--segments N] [FILE...]\n"
                       "                            says what each text costs, and why\n",
};

int sms_channel_main(int argc, char **argv) {
        return plugin_main(argc, argv, &sms_channel_ops);
}
