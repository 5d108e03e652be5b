/* The SMPP driver: its table of functions, and its life. */
#include "driver-smpp.h"

#include <errno.h>

#include "driver-smpp-tls.h"
#include "log.h"

static SmppPatience patience_of_new = {
        .answer = 40, .settle = 20, .retry = 60, .refused = 30, .refused_max = 900
};

void smpp_driver_set_patience(SmppPatience patience) {
        patience_of_new = patience;
}

static int driver_open(SmsDriver *d, const json_t *settings) {
        const char *ca_file;
        int r = smpp_settings_read(settings, &d->settings, &ca_file);

        if (r < 0)
                return r;
        if (d->settings.tls) {
                r = smpp_tls_context_new(&d->tls, ca_file);
                if (r < 0) {
                        log_error("setting ca_file: holds no certificates that can be read");
                        return r;
                }
        }
        return smpp_session_open(d);
}

static SmsDriver *driver_free(SmsDriver *d) {
        if (!d)
                return NULL;
        smpp_session_close(d);
        smpp_outbound_done(d);
        smpp_cancel_done(d);
        smpp_inbound_forget(d);
        SSL_CTX_free(d->tls);
        secret_done(&d->settings.password);
        sd_event_unref(d->event);
        free(d);
        return NULL;
}

static int driver_new(
                SmsDriver **ret, SmsChannel *channel, sd_event *event, const json_t *settings) {
        SmsDriver *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->channel = channel;
        d->patience = patience_of_new;
        d->event = sd_event_ref(event);
        TAILQ_INIT(&d->sendings);
        TAILQ_INIT(&d->unanswered);
        TAILQ_INIT(&d->withdrawals);
        TAILQ_INIT(&d->halfway);
        TAILQ_INIT(&d->deliveries);
        r = driver_open(d, settings);
        if (r < 0) {
                (void) driver_free(d);
                return r;
        }
        *ret = d;
        return 0;
}

const SmsDriverOps sms_driver_smpp = {
        .name = "smpp",
        .tells_segments = true,
        .new = driver_new,
        .send = smpp_outbound_send,
        .settle = smpp_inbound_settle,
        .withdraw = smpp_cancel_begin,
        .free = driver_free,
};
