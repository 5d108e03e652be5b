/* vestibule-sms with a carrier that is a mirror: what is sent is taken and delivered at once, and
 * comes back as an answer, except from numbers that end in 0, of which one of two parts comes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sms-channel.h"

struct SmsDriver {
        SmsChannel *channel;
        sd_event_source *source; /* on while there is something to tell */
        const SmsOutbound *outbound;
        unsigned n;
};

static void tell_answer(SmsDriver *d, const SmsOutbound *outbound, const char *id) {
        SmsConcat concat = { SMS_CONCAT_8, 1, 2, 1 };
        SmsOctets octets = { .alphabet = SMS_ASCII, .data = (const uint8_t *) "one", .size = 3 };
        SmsInbound inbound = { .from = outbound->to, .to = "", .id = id, .token = d->n };

        if (outbound->to[strlen(outbound->to) - 1] == '0') {
                inbound.concat = &concat;
                inbound.octets = &octets;
        } else {
                inbound.text = outbound->text;
        }
        sms_channel_inbound(d->channel, &inbound);
}

static int on_defer(sd_event_source *source, void *userdata) {
        SmsDriver *d = userdata;
        const SmsOutbound *outbound = d->outbound;
        char text[16];
        const char *ids[] = { text };

        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        (void) snprintf(text, sizeof(text), "id%u", ++d->n);
        tell_answer(d, outbound, text);
        d->outbound = NULL;
        sms_channel_sent(d->channel,
                        outbound,
                        &(SmsSendResult){ .outcome = SMS_SEND_TAKEN, .ids = ids, .n_ids = 1 });
        sms_channel_report(
                        d->channel, &(SmsReport){ .id = text, .outcome = SMPP_OUTCOME_DELIVERED });
        sms_channel_ready(d->channel);
        return 0;
}

static int loop_new(SmsDriver **ret, SmsChannel *channel, sd_event *event, const json_t *settings) {
        SmsDriver *d = calloc(1, sizeof(*d));
        int r;

        (void) settings;
        if (!d)
                return -ENOMEM;
        d->channel = channel;
        r = sd_event_add_defer(event, &d->source, on_defer, d);
        if (r < 0) {
                free(d);
                return r;
        }
        (void) sd_event_source_set_enabled(d->source, SD_EVENT_OFF);
        sms_channel_carrier(channel, true, "");
        *ret = d;
        return 0;
}

static int loop_send(SmsDriver *d, const SmsOutbound *outbound) {
        if (d->outbound)
                return -EAGAIN;
        d->outbound = outbound;
        (void) sd_event_source_set_enabled(d->source, SD_EVENT_ONESHOT);
        return 0;
}

static void loop_settle(SmsDriver *d, uint64_t token, SmsSettlement settlement) {
        (void) d;
        (void) token;
        (void) settlement;
}

static SmsDriver *loop_free(SmsDriver *d) {
        if (!d)
                return NULL;
        sd_event_source_disable_unref(d->source);
        free(d);
        return NULL;
}

static const SmsDriverOps loop_ops = {
        .name = "loop",
        .new = loop_new,
        .send = loop_send,
        .settle = loop_settle,
        .free = loop_free,
};

const SmsDriverOps *const sms_drivers[] = { &loop_ops, NULL };

int main(int argc, char **argv) {
        return sms_channel_main(argc, argv);
}
