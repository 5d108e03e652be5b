#include "xmpp-channel.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "log.h"
#include "plugin.h"
#include "time-text.h"
#include "xmpp-citizen.h"
#include "xmpp-inbound.h"
#include "xmpp-outbound.h"
#include "xmpp-settings.h"
#include "xmpp-stream.h"

enum {
        RECENT_MAX = 16384,   /* messages whose receipts and bounces we still know */
        UNPROVEN_MAX = 16384, /* messages that a dying server may take with it */
        UNPROVEN_SECONDS = 10,
        ARRIVALS_MAX = 1024, /* replies that the gateway has not made durable */
        RETRY_MAX_SECONDS = 60,
};

/* A message that is in doubt: the server has not said that it has it. */
typedef struct Sending {
        TAILQ_ENTRY(Sending) entry; /* in the order of number */
        uint64_t number;            /* of its stanza */
        int64_t id;                 /* of the gateway's request */
        char message[XMPP_INBOUND_ID_SIZE];
} Sending;

/* A reply that waits for the gateway. */
typedef struct Arrival {
        TAILQ_ENTRY(Arrival) entry;
        struct Channel *channel;
        XmppInbound in;
        char *from, *to; /* JIDs, for the receipt */
        int64_t received;
        int64_t request; /* under way, or 0 */
        uint64_t due;    /* when it may be asked, CLOCK_BOOTTIME */
} Arrival;

typedef struct Channel {
        Plugin *plugin;
        XmppSettings settings;
        XmppCitizen citizen;
        char self[ADDRESS_SIZE_MAX]; /* the JID that our stanzas come from, now */
        XmppStream *stream;
        sd_event_source *timer; /* for arrivals that may be asked again */
        TAILQ_HEAD(, Sending) sendings;
        TAILQ_HEAD(, Arrival) arrivals;
        size_t n_arrivals;
        bool overflowed; /* said once */
        bool was_up;
        json_t *recent;   /* message id → canonical address, in the order of sending */
        json_t *unproven; /* message id → when it was `sent`, CLOCK_BOOTTIME, in that order */
} Channel;

static void stanza_release(xmpp_stanza_t **stanza) {
        if (*stanza)
                xmpp_stanza_release(*stanza);
}

/* --- Messages of ours that people may still answer for --- */

static void recent_add(Channel *c, const char *message, const char *to) {
        (void) json_object_del(c->recent, message);
        (void) json_object_set_new(c->recent, message, json_string(to));
        while (json_object_size(c->recent) > RECENT_MAX)
                (void) json_object_del(
                                c->recent, json_object_iter_key(json_object_iter(c->recent)));
}

static const char *recent_find(Channel *c, const char *message) {
        return json_string_value(json_object_get(c->recent, message));
}

/* --- Messages that were `sent`, and of which the recipient has shown no sign ---
 *
 * A server answers for what it has taken before it has passed it on: kill it, and that is gone. */

static const char *unproven_first(Channel *c, uint64_t *ret_since) {
        void *first = json_object_iter(c->unproven);

        if (!first)
                return NULL;
        *ret_since = (uint64_t) json_integer_value(json_object_iter_value(first));
        return json_object_iter_key(first);
}

static void unproven_forget(Channel *c, const char *message) {
        (void) json_object_del(c->unproven, message);
}

static void unproven_forget_old(Channel *c, uint64_t now) {
        const char *message;
        uint64_t since;

        while ((message = unproven_first(c, &since)) &&
                        (json_object_size(c->unproven) > UNPROVEN_MAX ||
                                        now - since > UNPROVEN_SECONDS * USEC_PER_SEC))
                unproven_forget(c, message);
}

static void unproven_add(Channel *c, const char *message) {
        uint64_t now = time_boot();

        unproven_forget(c, message);
        (void) json_object_set_new(c->unproven, message, json_integer((json_int_t) now));
        unproven_forget_old(c, now);
}

static void tell_failed(Channel *c, const char *message, bool permanent, const char *reason) {
        plugin_tell(c->plugin,
                        json_pack("{s:s, s:s, s:b, s:s}",
                                        "type",
                                        "failed",
                                        "message",
                                        message,
                                        "permanent",
                                        permanent,
                                        "reason",
                                        reason));
}

static void unproven_tell(Channel *c) {
        const char *message;
        json_t *since;

        unproven_forget_old(c, time_boot());
        json_object_foreach(c->unproven, message, since)
                        tell_failed(c, message, false, "stream-closed");
        (void) json_object_clear(c->unproven);
}

/* --- The gateway asks --- */

static void answer_failed(Channel *c, int64_t id, bool permanent, const char *reason) {
        plugin_answer(c->plugin,
                        id,
                        json_pack("{s:s, s:b, s:s, s:i}",
                                        "type",
                                        "failed",
                                        "permanent",
                                        permanent,
                                        "reason",
                                        reason,
                                        "retry_after",
                                        (int) xmpp_stream_retry_after(c->stream)));
}

static Sending *sending_free(Channel *c, Sending *sending) {
        TAILQ_REMOVE(&c->sendings, sending, entry);
        free(sending);
        return NULL;
}

static Sending *sending_find(Channel *c, const char *message) {
        Sending *sending;

        TAILQ_FOREACH(sending, &c->sendings, entry)
        if (streq(sending->message, message))
                return sending;
        return NULL;
}

static void sending_settle(Channel *c, Sending *sending) {
        plugin_answer(c->plugin, sending->id, json_pack("{s:s}", "type", "sent"));
        (void) sending_free(c, sending);
}

static int send_message(Channel *c, int64_t id, const XmppOutbound *message) {
        _cleanup_(stanza_release) xmpp_stanza_t *stanza = NULL;
        Sending *sending;
        int r;

        r = xmpp_outbound_message(xmpp_stream_context(c->stream),
                        message,
                        c->self,
                        c->settings.nick,
                        &stanza);
        if (r != 0)
                return r;
        sending = calloc(1, sizeof(*sending));
        if (!sending)
                return -ENOMEM;
        sending->id = id;
        (void) snprintf(sending->message, sizeof(sending->message), "%s", message->message);
        sending->number = xmpp_stream_send(c->stream, stanza, true);
        unproven_forget(c, message->message);
        TAILQ_INSERT_TAIL(&c->sendings, sending, entry);
        recent_add(c, message->message, message->to);
        return 0;
}

static void request_send(Channel *c, int64_t id, const json_t *frame) {
        XmppOutbound message;
        int r = xmpp_outbound_read(frame, &message);

        if (r != 0) {
                answer_failed(c, id, false, "bad-frame");
                return;
        }
        if (message.expires != 0 && message.expires <= time_wall()) {
                answer_failed(c, id, false, "expired");
                return;
        }
        if (!xmpp_stream_is_up(c->stream)) {
                answer_failed(c, id, false, "not-connected");
                return;
        }
        r = send_message(c, id, &message);
        if (r == XMPP_OUTBOUND_E_ADDRESS)
                answer_failed(c, id, true, "jid-malformed");
        else if (r < 0)
                answer_failed(c, id, false, "out-of-memory");
}

/* XMPP has no way to take a message back: the person's client is asked to hide it, and whether it
 * was read before, or does so, nobody says. So the answer is always `too-late`. */
static void request_withdraw(Channel *c, int64_t id, const json_t *frame) {
        _cleanup_(stanza_release) xmpp_stanza_t *stanza = NULL;
        const char *message = json_string_value(json_object_get(frame, "message"));
        const char *to = message ? recent_find(c, message) : NULL;
        char jid[ADDRESS_SIZE_MAX];

        if (to && xmpp_stream_is_up(c->stream) && address_jid(to, jid) == 0 &&
                        xmpp_outbound_retraction(xmpp_stream_context(c->stream),
                                        message,
                                        c->self,
                                        jid,
                                        &stanza) == 0)
                (void) xmpp_stream_send(c->stream, stanza, false);
        if (message)
                unproven_forget(c, message);
        plugin_answer(c->plugin, id, json_pack("{s:s}", "type", "too-late"));
}

static int channel_request(
                Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        Channel *c = state;

        (void) plugin;
        if (streq(type, "send"))
                request_send(c, id, frame);
        else if (streq(type, "withdraw"))
                request_withdraw(c, id, frame);
        else
                return PLUGIN_UNSUPPORTED;
        return 0;
}

/* --- Replies on their way to the gateway --- */

static void arrivals_push(Channel *c);

static void arrival_free(Arrival *a) {
        Channel *c = a->channel;

        TAILQ_REMOVE(&c->arrivals, a, entry);
        c->n_arrivals--;
        if (a->request != 0)
                plugin_forget(c->plugin, a->request);
        xmpp_inbound_done(&a->in);
        free(a->from);
        free(a->to);
        free(a);
}

static void send_receipt(Channel *c, const Arrival *a) {
        _cleanup_(stanza_release) xmpp_stanza_t *stanza = NULL;

        if (a->in.receipt && xmpp_outbound_receipt(xmpp_stream_context(c->stream),
                                             a->in.receipt,
                                             c->self,
                                             a->from,
                                             &stanza) == 0)
                (void) xmpp_stream_send(c->stream, stanza, false);
}

static void on_reply_answer(Plugin *plugin, const json_t *answer, void *userdata) {
        Arrival *a = userdata;
        Channel *c = a->channel;
        const char *type = json_string_value(json_object_get(answer, "type"));
        json_int_t delay = json_integer_value(json_object_get(answer, "retry_after"));

        (void) plugin;
        a->request = 0;
        if (type && streq(type, "ack")) {
                send_receipt(c, a);
                arrival_free(a);
        } else if (type && !streq(type, "again")) {
                log_error("the gateway answered a reply with neither `ack` nor `again`");
                arrival_free(a);
        } else {
                if (delay < 1 || delay > RETRY_MAX_SECONDS)
                        delay = delay < 1 ? 1 : RETRY_MAX_SECONDS;
                a->due = time_boot() + (uint64_t) delay * USEC_PER_SEC;
        }
        arrivals_push(c);
}

static json_t *reply_frame(const Channel *c, const Arrival *a) {
        json_t *frame = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:b}",
                        "type",
                        "reply",
                        "inbound",
                        a->in.inbound,
                        "from",
                        a->in.from,
                        "to",
                        c->settings.address,
                        "text",
                        a->in.text,
                        "received",
                        (json_int_t) a->received,
                        "authentic",
                        "strong",
                        "automatic",
                        false);

        if (frame && ((a->in.thread && json_object_set_new(frame,
                                                       "thread",
                                                       json_string(a->in.thread)) < 0) ||
                                     (a->in.quoted && json_object_set_new(frame,
                                                                      "quoted",
                                                                      json_string(a->in.quoted)) <
                                                                      0))) {
                json_decref(frame);
                return NULL;
        }
        return frame;
}

/* Asks for all that may be asked now, in the order in which they came, and sets the timer for the
 * rest. */
static void arrivals_push(Channel *c) {
        uint64_t now = time_boot(), next = UINT64_MAX;
        Arrival *a;

        TAILQ_FOREACH(a, &c->arrivals, entry) {
                if (a->request != 0)
                        continue;
                if (a->due > now) {
                        next = a->due < next ? a->due : next;
                        continue;
                }
                if (!plugin_may_ask(c->plugin) || plugin_ask(c->plugin,
                                                                  reply_frame(c, a),
                                                                  PLUGIN_DEADLINE_SECONDS,
                                                                  on_reply_answer,
                                                                  a,
                                                                  &a->request) < 0) {
                        a->request = 0;
                        next = now + USEC_PER_SEC < next ? now + USEC_PER_SEC : next;
                        break;
                }
        }
        (void) sd_event_source_set_time(c->timer, next);
        (void) sd_event_source_set_enabled(
                        c->timer, next == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        (void) source;
        (void) due;
        arrivals_push(userdata);
        return 0;
}

static bool already_here(const Channel *c, const XmppInbound *in) {
        const Arrival *a;

        TAILQ_FOREACH(a, &c->arrivals, entry)
        if (streq(a->in.inbound, in->inbound) && streq(a->in.text, in->text))
                return true;
        return false;
}

/* What is quoted has arrived. A reply that quotes nothing may have been on its way before. */
static void note_quotation(Channel *c, const XmppInbound *in) {
        const char *to = in->quoted ? recent_find(c, in->quoted) : NULL;

        if (to && streq(to, in->from))
                unproven_forget(c, in->quoted);
}

/* Takes *in over. A reply that is left out gets no receipt, so its sender repeats it. */
static void arrival_add(Channel *c, XmppInbound *in, xmpp_stanza_t *stanza) {
        Arrival *a;

        note_quotation(c, in);
        if (already_here(c, in) || c->n_arrivals >= ARRIVALS_MAX) {
                if (c->n_arrivals >= ARRIVALS_MAX && !c->overflowed)
                        log_warning("too many replies wait for the gateway; more are not taken");
                c->overflowed = c->n_arrivals >= ARRIVALS_MAX;
                xmpp_inbound_done(in);
                return;
        }
        c->overflowed = false;
        a = calloc(1, sizeof(*a));
        if (!a) {
                xmpp_inbound_done(in);
                return;
        }
        a->channel = c;
        a->in = *in;
        a->received = time_wall();
        TAILQ_INSERT_TAIL(&c->arrivals, a, entry);
        c->n_arrivals++;
        a->from = strdup(xmpp_stanza_get_from(stanza));
        if (!a->from)
                arrival_free(a);
        else
                arrivals_push(c);
}

/* --- What arrives --- */

static void tell_seen(Channel *c, const XmppInbound *in) {
        const char *to = recent_find(c, in->message);
        Sending *sending = sending_find(c, in->message);

        if (!to || !streq(to, in->from))
                return;
        unproven_forget(c, in->message);
        if (sending)
                sending_settle(c, sending);
        plugin_tell(c->plugin,
                        json_pack("{s:s, s:s}",
                                        "type",
                                        in->kind == XMPP_INBOUND_READ ? "read" : "delivered",
                                        "message",
                                        in->message));
}

/* A bounce comes from the address itself, or from its server in its own name. */
static bool may_bounce(const char *from, const char *to) {
        char address[ADDRESS_SIZE_MAX], any[ADDRESS_SIZE_MAX];
        const char *reason;

        if (!from)
                return false;
        if (strchr(from, '@'))
                return address_from_jid(from, address, &reason) == 0 && streq(address, to);
        (void) snprintf(any, sizeof(any), "x@%s", from);
        return address_from_jid(any, address, &reason) == 0 &&
               streq(strchr(address, '@'), strchr(to, '@'));
}

static void tell_bounce(Channel *c, const XmppInbound *in, xmpp_stanza_t *stanza) {
        const char *to = recent_find(c, in->message);
        Sending *sending = sending_find(c, in->message);

        if (!to || !may_bounce(xmpp_stanza_get_from(stanza), to))
                return;
        (void) json_object_del(c->recent, in->message);
        unproven_forget(c, in->message);
        if (sending) {
                answer_failed(c, sending->id, in->permanent, in->reason);
                (void) sending_free(c, sending);
                return;
        }
        tell_failed(c, in->message, in->permanent, in->reason);
}

static void send_error(Channel *c, xmpp_stanza_t *stanza, const char *condition, const char *text) {
        _cleanup_(stanza_release) xmpp_stanza_t *error =
                        xmpp_citizen_error(stanza, text ? "modify" : "cancel", condition, text);

        if (error)
                (void) xmpp_stream_send(c->stream, error, false);
}

static bool is_addressed_to_us(const Channel *c, xmpp_stanza_t *stanza) {
        const char *to = xmpp_stanza_get_to(stanza), *reason;
        char address[ADDRESS_SIZE_MAX];

        if (!to)
                return !c->settings.stream.component;
        if (streq(to, c->settings.domain))
                return c->settings.stream.component;
        return address_from_jid(to, address, &reason) == 0 && streq(address, c->settings.address);
}

static void take_message(Channel *c, xmpp_stanza_t *stanza, XmppInbound *in) {
        bool to_us = is_addressed_to_us(c, stanza);

        switch (in->kind) {
        case XMPP_INBOUND_REPLY:
                if (to_us && !streq(in->from, c->settings.address)) {
                        arrival_add(c, in, stanza);
                        return;
                }
                if (!to_us)
                        send_error(c, stanza, "item-not-found", NULL);
                break;
        case XMPP_INBOUND_ENCRYPTED:
                if (to_us)
                        send_error(c,
                                        stanza,
                                        "not-acceptable",
                                        "This address cannot read encrypted messages. "
                                        "Please send it without encryption.");
                break;
        case XMPP_INBOUND_DELIVERED:
        case XMPP_INBOUND_READ:
                if (to_us)
                        tell_seen(c, in);
                break;
        case XMPP_INBOUND_BOUNCE:
                tell_bounce(c, in, stanza);
                break;
        case XMPP_INBOUND_NOTHING:
                break;
        }
        xmpp_inbound_done(in);
}

static void on_stanza(XmppStream *stream, xmpp_stanza_t *stanza, bool cut, void *userdata) {
        xmpp_stanza_t *answers[XMPP_CITIZEN_ANSWERS_MAX];
        const char *name = xmpp_stanza_get_name(stanza);
        Channel *c = userdata;
        XmppInbound in;
        size_t n = 0;

        if (streq(name, "message")) {
                if (!cut && xmpp_inbound_read(stanza, &in) == 0)
                        take_message(c, stanza, &in);
                return;
        }
        (void) xmpp_citizen_answer(xmpp_stream_context(stream), &c->citizen, stanza, answers, &n);
        for (size_t i = 0; i < n; i++) {
                (void) xmpp_stream_send(stream, answers[i], false);
                xmpp_stanza_release(answers[i]);
        }
}

/* --- The stream's life --- */

static void on_up(XmppStream *stream, void *userdata) {
        _cleanup_(stanza_release) xmpp_stanza_t *presence = NULL;
        Channel *c = userdata;

        (void) snprintf(c->self,
                        sizeof(c->self),
                        "%s",
                        c->settings.stream.component ? c->settings.jid : xmpp_stream_jid(stream));
        if (!c->settings.stream.component) {
                presence = xmpp_citizen_presence(xmpp_stream_context(stream), &c->citizen, NULL);
                if (presence)
                        (void) xmpp_stream_send(stream, presence, false);
        }
        c->was_up = true;
        log_info("connected to the XMPP server");
        plugin_tell_status(c->plugin, true, "");
}

static void on_down(XmppStream *stream, const char *reason, void *userdata) {
        Channel *c = userdata;
        Sending *sending;

        if (c->was_up || streq(reason, "not-authorized") || streq(reason, "certificate"))
                log_warning("not connected to the XMPP server: %s; next attempt in %u s",
                                reason,
                                xmpp_stream_retry_after(stream));
        c->was_up = false;
        while ((sending = TAILQ_FIRST(&c->sendings))) {
                answer_failed(c, sending->id, false, "stream-closed");
                (void) sending_free(c, sending);
        }
        unproven_tell(c);
        plugin_tell_status(c->plugin, false, reason);
}

static void on_taken(XmppStream *stream, uint64_t number, void *userdata) {
        Channel *c = userdata;
        Sending *sending;

        (void) stream;
        while ((sending = TAILQ_FIRST(&c->sendings)) && sending->number <= number) {
                unproven_add(c, sending->message);
                sending_settle(c, sending);
        }
}

static const XmppStreamOps stream_ops = {
        .up = on_up,
        .down = on_down,
        .taken = on_taken,
        .stanza = on_stanza,
};

static int channel_open(Channel *c, const json_t *settings) {
        int r;

        TAILQ_INIT(&c->sendings);
        TAILQ_INIT(&c->arrivals);
        c->recent = json_object();
        c->unproven = json_object();
        if (!c->recent || !c->unproven)
                return -ENOMEM;
        r = xmpp_settings_read(settings, &c->settings);
        if (r < 0)
                return r;
        c->citizen = (XmppCitizen){
                .jid = c->self,
                .domain = c->settings.stream.component ? c->settings.domain : NULL,
                .nick = c->settings.nick,
                .contact = c->settings.contact[0] ? c->settings.contact : NULL,
        };
        r = sd_event_add_time(plugin_event(c->plugin),
                        &c->timer,
                        CLOCK_BOOTTIME,
                        UINT64_MAX,
                        0,
                        on_timer,
                        c);
        if (r < 0)
                return r;
        plugin_tell_status(c->plugin, false, "connecting");
        return xmpp_stream_new(
                        &c->stream, plugin_event(c->plugin), &c->settings.stream, &stream_ops, c);
}

static void channel_stop(Plugin *plugin, void *state) {
        Channel *c = state;

        (void) plugin;
        if (!c)
                return;
        (void) xmpp_stream_free(c->stream);
        while (!TAILQ_EMPTY(&c->sendings))
                (void) sending_free(c, TAILQ_FIRST(&c->sendings));
        while (!TAILQ_EMPTY(&c->arrivals))
                arrival_free(TAILQ_FIRST(&c->arrivals));
        sd_event_source_disable_unref(c->timer);
        json_decref(c->recent);
        json_decref(c->unproven);
        xmpp_settings_done(&c->settings);
        free(c);
}

static int channel_start(Plugin *plugin, const json_t *settings, void **ret_state) {
        Channel *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->plugin = plugin;
        r = channel_open(c, settings);
        if (r < 0) {
                if (r == -ENOTSUP)
                        log_error("the limits on XML are not in force; not starting");
                channel_stop(plugin, c);
                return r;
        }
        *ret_state = c;
        return 0;
}

int xmpp_channel_main(int argc, char **argv) {
        static const char *const capabilities[] = { "reply", "receipt", "withdraw", NULL };
        static const PluginOps ops = {
                .program = "vestibule-xmpp",
                .role = "channel",
                .name = "xmpp",
                .summary = "Carries invitations and answers over XMPP.",
                .capabilities = capabilities,
                .start = channel_start,
                .request = channel_request,
                .stop = channel_stop,
        };

        return plugin_main(argc, argv, &ops);
}
