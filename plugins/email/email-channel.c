#include "email-channel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/queue.h>

#include "email-settings.h"
#include "log.h"
#include "mail-outbound.h"
#include "mail-read.h"
#include "mail-route.h"
#include "plugin.h"
#include "time-text.h"

enum {
        ARRIVALS_MAX = 256, /* mails that the gateway has not made durable */
        TAKEN_MAX = 4096,   /* messages of which the gateway may not know that they were sent */
        TAKEN_SECONDS = 900,
        TAKEN_KEY_SIZE = ID_TEXT_SIZE + 24,
        LATER_MAX_SECONDS = 86400,
        REASON_SIZE = SMTP_REASON_SIZE + sizeof("receive-99-"),
};

static const MailRouteOps *const kinds[] = {
        &mail_route_lmtp,
        &mail_route_maildir,
        &mail_route_imap,
};

/* A mail on its way to the server. */
typedef struct Sending {
        TAILQ_ENTRY(Sending) entry;
        int64_t id, repeat; /* of the gateway's newest question */
        char message[ID_TEXT_SIZE];
        char envelope_id[MAIL_READ_ENVELOPE_ID_SIZE];
        MailDraft draft;
} Sending;

/* A mail of which the gateway was asked to take what it says: a reply, or a report. */
typedef struct Arrival {
        TAILQ_ENTRY(Arrival) entry;
        EmailChannel *channel;
        const MailRouteOps *ops;
        MailRoute *route;
        uint64_t token;
        int64_t request;
} Arrival;

typedef struct Route {
        const MailRouteOps *ops;
        MailRoute *route;
        bool up;
        char reason[SMTP_REASON_SIZE]; /* why it is not */
} Route;

struct EmailChannel {
        Plugin *plugin;
        EmailSettings settings;
        MailSubmit *submit;
        TAILQ_HEAD(, Sending) sendings;
        TAILQ_HEAD(, Arrival) arrivals;
        size_t n_arrivals;
        bool routes_wait; /* some were told that we are busy */
        bool stopping;
        json_t *taken; /* message id and repeat → when, CLOCK_BOOTTIME, in that order */

        Route routes[EMAIL_SETTINGS_ROUTES_MAX];
        size_t n_routes;
        bool submit_up, told, told_up;
        char submit_reason[SMTP_REASON_SIZE];
        char told_reason[REASON_SIZE];
};

/* --- Whether mail comes and goes --- */

/* Where there are several ways in, the reason says which one it is of: counted from 1, in the order
 * of `receive =`. */
static void route_reason(const EmailChannel *c, const Route *route, char ret[REASON_SIZE]) {
        if (c->settings.n_routes == 1)
                (void) snprintf(ret, REASON_SIZE, "%s", route->reason);
        else
                (void) snprintf(ret,
                                REASON_SIZE,
                                "receive-%zu-%s",
                                (size_t) (route - c->routes) + 1,
                                route->reason);
}

static void tell_status(EmailChannel *c) {
        char reason[REASON_SIZE] = "";
        bool up = c->submit_up;

        if (!up)
                (void) snprintf(reason, sizeof(reason), "%s", c->submit_reason);
        for (size_t i = 0; i < c->n_routes && up; i++)
                if (!c->routes[i].up) {
                        up = false;
                        route_reason(c, &c->routes[i], reason);
                }
        if (c->told && up == c->told_up && streq(reason, c->told_reason))
                return;
        c->told = true;
        c->told_up = up;
        (void) snprintf(c->told_reason, sizeof(c->told_reason), "%s", reason);
        plugin_tell_status(c->plugin, up, reason);
}

static void on_submit_status(bool up, const char *reason, void *userdata) {
        EmailChannel *c = userdata;

        if (up)
                log_info("the mail server takes mail");
        else
                log_warning("the mail server takes no mail: %s; it is asked again in %u s",
                                reason,
                                mail_submit_wait(c->submit, NULL));
        c->submit_up = up;
        (void) snprintf(c->submit_reason, sizeof(c->submit_reason), "%s", reason);
        tell_status(c);
}

void email_channel_route(EmailChannel *c, size_t number, bool up, const char *reason) {
        Route *route = &c->routes[number];
        char which[REASON_SIZE];

        route->up = up;
        (void) snprintf(route->reason, sizeof(route->reason), "%s", reason);
        if (!c->told) /* once all of them are there */
                return;
        if (!up && c->settings.n_routes > 1) {
                route_reason(c, route, which);
                log_warning("one of several ways in is closed: %s", which);
        }
        tell_status(c);
}

/* --- The gateway asks --- */

static void answer_sent(EmailChannel *c, int64_t id) {
        plugin_answer(c->plugin, id, json_pack("{s:s}", "type", "sent"));
}

static void answer_failed(EmailChannel *c, int64_t id, bool permanent, const char *reason) {
        plugin_answer(c->plugin,
                        id,
                        json_pack("{s:s, s:b, s:s}",
                                        "type",
                                        "failed",
                                        "permanent",
                                        permanent,
                                        "reason",
                                        reason));
}

static void answer_later(EmailChannel *c, int64_t id, const char *reason) {
        unsigned seconds = mail_submit_wait(c->submit, NULL);

        seconds = seconds < 1 ? 1 : seconds > LATER_MAX_SECONDS ? LATER_MAX_SECONDS : seconds;
        plugin_answer(c->plugin,
                        id,
                        json_pack("{s:s, s:s, s:i}",
                                        "type",
                                        "later",
                                        "reason",
                                        reason,
                                        "retry_after",
                                        (int) seconds));
}

static void taken_forget_old(EmailChannel *c, uint64_t now) {
        void *first;

        while ((first = json_object_iter(c->taken)) &&
                        (json_object_size(c->taken) > TAKEN_MAX ||
                                        now - (uint64_t) json_integer_value(
                                                              json_object_iter_value(first)) >
                                                        TAKEN_SECONDS * USEC_PER_SEC))
                (void) json_object_del(c->taken, json_object_iter_key(first));
}

static void taken_key(const char *message, int64_t repeat, char ret[TAKEN_KEY_SIZE]) {
        (void) snprintf(ret, TAKEN_KEY_SIZE, "%s/%" PRId64, message, repeat);
}

static void taken_add(EmailChannel *c, const char *message, int64_t repeat) {
        uint64_t now = time_boot();
        char key[TAKEN_KEY_SIZE];

        taken_key(message, repeat, key);
        (void) json_object_set_new(c->taken, key, json_integer((json_int_t) now));
        taken_forget_old(c, now);
}

/* The answer may have been lost: the same is not sent twice, but a repetition that is wanted is. */
static bool was_taken(EmailChannel *c, const char *message, int64_t repeat) {
        char key[TAKEN_KEY_SIZE];

        taken_key(message, repeat, key);
        taken_forget_old(c, time_boot());
        return json_object_get(c->taken, key) != NULL;
}

static void sending_free(EmailChannel *c, Sending *sending) {
        TAILQ_REMOVE(&c->sendings, sending, entry);
        mail_draft_done(&sending->draft);
        free(sending);
}

static Sending *sending_find(EmailChannel *c, const char *message) {
        Sending *sending;

        TAILQ_FOREACH(sending, &c->sendings, entry)
        if (streq(sending->message, message))
                return sending;
        return NULL;
}

static void on_submit_done(void *mail, const SmtpOutcome *outcome, void *userdata) {
        EmailChannel *c = userdata;
        Sending *sending = mail;

        switch (outcome->verdict) {
        case SMTP_VERDICT_SENT:
                taken_add(c, sending->message, sending->repeat);
                answer_sent(c, sending->id);
                break;
        case SMTP_VERDICT_REFUSED:
        case SMTP_VERDICT_FAILED:
                log_record(LOG_NOTICE,
                                &(LogFields){ .message = sending->message },
                                "the mail server did not take a mail: %s",
                                outcome->reason);
                answer_failed(c,
                                sending->id,
                                outcome->verdict == SMTP_VERDICT_REFUSED,
                                outcome->reason);
                break;
        case SMTP_VERDICT_LATER:
                answer_later(c, sending->id, outcome->reason);
                break;
        }
        sending_free(c, sending);
}

static int write_draft(EmailChannel *c, const MailOutbound *message, MailDraft *ret) {
        MailWrite mail = {
                .token = c->settings.token,
                .domain = c->settings.domain,
                .sender = c->settings.sender,
                .sender_domain = c->settings.sender_domain,
                .name = c->settings.name,
        };

        mail_outbound_fill(message, time_wall(), &mail);
        return mail_write(&mail, ret);
}

/* Takes *draft over. */
static int send_draft(EmailChannel *c, int64_t id, const MailOutbound *message, MailDraft *draft) {
        Sending *sending = calloc(1, sizeof(*sending));
        MailSubmitMail mail;
        int r;

        if (!sending) {
                mail_draft_done(draft);
                return -ENOMEM;
        }
        *sending = (Sending){ .id = id, .repeat = message->repeat, .draft = *draft };
        *draft = (MailDraft){ 0 };
        (void) snprintf(sending->message, sizeof(sending->message), "%s", message->message);
        mail_read_envelope_id(sending->draft.return_path, message->repeat, sending->envelope_id);
        TAILQ_INSERT_TAIL(&c->sendings, sending, entry);
        mail = (MailSubmitMail){
                .return_path = sending->draft.return_path,
                .recipient = sending->draft.recipient,
                .envelope_id = sending->envelope_id,
                .data = sending->draft.data,
                .size = sending->draft.size,
        };
        r = mail_submit_send(c->submit, &mail, sending);
        if (r < 0)
                sending_free(c, sending);
        return r;
}

/* The gateway stopped waiting for the older question. Whoever wants a repetition while the message
 * is under way has it with this. */
static bool is_under_way(EmailChannel *c, int64_t id, const MailOutbound *message) {
        Sending *sending = sending_find(c, message->message);

        if (!sending)
                return false;
        answer_failed(c, sending->id, false, "repeated");
        sending->id = id;
        sending->repeat = message->repeat;
        return true;
}

static void request_send(EmailChannel *c, int64_t id, const json_t *frame) {
        MailDraft draft = { 0 };
        MailOutbound message;
        const char *reason;
        int r = mail_outbound_read(frame, &message);

        if (r != 0)
                answer_failed(c, id, false, r < 0 ? "out-of-memory" : "bad-frame");
        else if (is_under_way(c, id, &message))
                return;
        else if (was_taken(c, message.message, message.repeat))
                answer_sent(c, id);
        else if (message.expires != 0 && message.expires <= time_wall())
                answer_failed(c, id, false, "expired");
        else if (mail_submit_wait(c->submit, &reason) > 0)
                answer_later(c, id, reason);
        else {
                r = write_draft(c, &message, &draft);
                if (r > 0)
                        answer_failed(c, id, true, mail_write_error_name(r));
                else if (r < 0 || send_draft(c, id, &message, &draft) < 0)
                        answer_later(c, id, "out-of-memory");
        }
}

static int channel_request(
                Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        (void) plugin;
        if (!streq(type, "send"))
                return PLUGIN_UNSUPPORTED;
        request_send(state, id, frame);
        return 0;
}

/* --- What arrives --- */

static void tell_room(EmailChannel *c) {
        if (!c->routes_wait || email_channel_is_busy(c) || c->stopping)
                return;
        c->routes_wait = false;
        for (size_t i = 0; i < c->n_routes; i++)
                if (c->routes[i].ops->ready)
                        c->routes[i].ops->ready(c->routes[i].route);
}

static void arrival_settle(Arrival *a, MailSettlement settlement) {
        EmailChannel *c = a->channel;

        TAILQ_REMOVE(&c->arrivals, a, entry);
        c->n_arrivals--;
        a->ops->settle(a->route, a->token, settlement);
        free(a);
}

static void on_gateway_answer(Plugin *plugin, const json_t *answer, void *userdata) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        Arrival *a = userdata;
        EmailChannel *c = a->channel;

        (void) plugin;
        if (type && !streq(type, "ack") && !streq(type, "again"))
                log_error("the gateway answered a mail with neither `ack` nor `again`");
        arrival_settle(a, !type || streq(type, "again") ? MAIL_SETTLED_LATER : MAIL_SETTLED_TAKEN);
        tell_room(c);
}

static json_t *reply_frame(const EmailChannel *c, const MailRead *mail) {
        return json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s*, s:s, s:I, s:s, s:b}",
                        "type",
                        "reply",
                        "inbound",
                        mail->inbound,
                        "from",
                        mail->from,
                        "to",
                        c->settings.address,
                        "thread",
                        mail->thread[0] ? mail->thread : NULL,
                        "quoted",
                        mail->quoted[0] ? mail->quoted : NULL,
                        "text",
                        mail->text,
                        "received",
                        (json_int_t) time_wall(),
                        "authentic",
                        mail_authentic_name(mail->authentic),
                        "automatic",
                        mail->automatic != MAIL_AUTOMATIC_NO);
}

/* True: it is settled when the gateway has answered. Takes the frame over. */
static bool
ask_gateway(EmailChannel *c, const MailRouteOps *ops, const MailArrival *arrival, json_t *frame) {
        Arrival *a = calloc(1, sizeof(*a));

        if (!a || !frame) {
                free(a);
                json_decref(frame);
                return false;
        }
        *a = (Arrival){
                .channel = c, .ops = ops, .route = arrival->route, .token = arrival->token
        };
        if (plugin_ask(c->plugin,
                            frame,
                            PLUGIN_DEADLINE_SECONDS,
                            on_gateway_answer,
                            a,
                            &a->request) < 0) {
                free(a);
                return false;
        }
        TAILQ_INSERT_TAIL(&c->arrivals, a, entry);
        c->n_arrivals++;
        return true;
}

/* Whether a mail about a mail of ours says that it came to an end, one way or the other. */
static bool is_news(const MailRead *mail) {
        return mail->message[0] &&
               (mail->action == DSN_ACTION_FAILED ||
                               (mail->action == DSN_ACTION_DELIVERED &&
                                               mail->class == DSN_CLASS_SUCCESS));
}

/* A class is all that is told: what servers write beside it is full of addresses. */
static json_t *report_frame(const MailRead *mail) {
        char reason[SMTP_REASON_SIZE] = "bounced";
        bool failed = mail->action == DSN_ACTION_FAILED;

        if (mail->status[0])
                (void) snprintf(reason, sizeof(reason), "smtp-%s", mail->status);
        for (char *p = reason; *p; p++)
                if (*p == '.')
                        *p = '-';
        return json_pack("{s:s, s:s, s:s, s:o*, s:s*, s:o*}",
                        "type",
                        "report",
                        "message",
                        mail->message,
                        "says",
                        failed ? "failed" : "delivered",
                        "permanent",
                        failed ? json_boolean(mail->class != DSN_CLASS_TEMPORARY) : NULL,
                        "reason",
                        failed ? reason : NULL,
                        "repeat",
                        mail->repeat >= 0 ? json_integer(mail->repeat) : NULL);
}

/* Whether there is anything to hand on, else how the mail is settled. */
static bool is_for_gateway(const EmailChannel *c, const MailRead *mail, MailSettlement *ret) {
        *ret = MAIL_SETTLED_TAKEN;
        if (mail->kind == MAIL_READ_REPORT)
                return is_news(mail);
        if (!mail->from[0]) {
                log_notice("a mail has no one sender");
                if (mail->automatic == MAIL_AUTOMATIC_NO)
                        *ret = MAIL_SETTLED_REFUSED;
                return false;
        }
        if (streq(mail->from, c->settings.address)) {
                log_notice("a mail came from ourselves");
                return false;
        }
        return true;
}

void email_channel_arrival(EmailChannel *c, const MailRouteOps *ops, const MailArrival *arrival) {
        const MailReadPlace place = {
                .token = c->settings.token,
                .domain = c->settings.domain,
                .authserv_id = c->settings.authserv_id,
        };
        const MailReadEnvelope envelope = { arrival->path, arrival->recipient };
        MailSettlement settlement = MAIL_SETTLED_LATER;
        bool waits = false;
        MailRead mail;
        int r;

        if (email_channel_is_busy(c)) {
                ops->settle(arrival->route, arrival->token, settlement);
                return;
        }
        r = mail_read(&place, &envelope, arrival->data, arrival->size, &mail);
        if (r > 0) {
                log_notice("a mail cannot be read: %s", mail_read_error_name(r));
                settlement = MAIL_SETTLED_REFUSED;
        } else if (r == 0 && is_for_gateway(c, &mail, &settlement)) {
                settlement = MAIL_SETTLED_LATER;
                waits = ask_gateway(c,
                                ops,
                                arrival,
                                mail.kind == MAIL_READ_REPORT ? report_frame(&mail)
                                                              : reply_frame(c, &mail));
        }
        mail_read_done(&mail);
        if (!waits)
                ops->settle(arrival->route, arrival->token, settlement);
}

bool email_channel_is_busy(EmailChannel *c) {
        bool busy = c->n_arrivals >= ARRIVALS_MAX || !plugin_may_ask(c->plugin);

        c->routes_wait = c->routes_wait || busy;
        return busy;
}

/* Without a mailbox before them, tokens are whole local parts. */
bool email_channel_is_ours(EmailChannel *c, const char *recipient) {
        const char *at = strrchr(recipient, '@');
        char id[ID_TEXT_SIZE];
        MailTokenKind kind;
        size_t size;

        if (!at)
                return false;
        size = (size_t) (at - recipient);
        if (strcasecmp(at + 1, c->settings.sender_domain) == 0 &&
                        size == strlen(c->settings.sender) &&
                        strncasecmp(recipient, c->settings.sender, size) == 0)
                return true;
        if (strcasecmp(at + 1, c->settings.domain) != 0)
                return false;
        if (size > 0 && size == strlen(c->settings.token.mailbox) &&
                        strncasecmp(recipient, c->settings.token.mailbox, size) == 0)
                return true;
        return mail_token_read(&c->settings.token, recipient, size, &kind, id) == 0 &&
               kind != MAIL_TOKEN_NAME;
}

/* --- Start and stop --- */

static const MailRouteOps *route_ops(const char *place) {
        size_t n = strcspn(place, ":");

        for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
                if (strlen(kinds[i]->scheme) == n && strncmp(place, kinds[i]->scheme, n) == 0)
                        return kinds[i];
        return NULL;
}

static int open_routes(EmailChannel *c, const json_t *settings) {
        int r;

        for (size_t i = 0; i < c->settings.n_routes; i++) {
                const char *place = c->settings.routes[i];
                Route *route = &c->routes[i];

                route->ops = route_ops(place);
                (void) snprintf(route->reason, sizeof(route->reason), "opening");
                if (!route->ops) {
                        log_error("setting receive: it begins with none of lmtp:, maildir:, "
                                  "imaps://");
                        return -EINVAL;
                }
                r = route->ops->new (&route->route,
                                &(MailRouteStart){ .channel = c,
                                                .number = i,
                                                .event = plugin_event(c->plugin),
                                                .place = place,
                                                .settings = settings });
                if (r < 0)
                        return r;
                c->n_routes++;
        }
        return 0;
}

static int channel_open(EmailChannel *c, const json_t *settings, MailSubmitPatience patience) {
        static const MailSubmitOps ops = { .done = on_submit_done, .status = on_submit_status };
        int r;

        TAILQ_INIT(&c->sendings);
        TAILQ_INIT(&c->arrivals);
        (void) snprintf(c->submit_reason, sizeof(c->submit_reason), "connecting");
        c->taken = json_object();
        if (!c->taken)
                return -ENOMEM;
        r = email_settings_read(settings, &c->settings);
        if (r < 0)
                return r;
        c->settings.submit.patience = patience;
        mail_read_init();
        r = mail_submit_new(&c->submit, plugin_event(c->plugin), &c->settings.submit, &ops, c);
        if (r < 0)
                return r;
        r = open_routes(c, settings);
        if (r < 0)
                return r;
        tell_status(c);
        return 0;
}

/* The gateway has given up all questions before. */
static void channel_stop(Plugin *plugin, void *state) {
        EmailChannel *c = state;

        (void) plugin;
        if (!c)
                return;
        c->stopping = true;
        while (c->n_routes > 0) {
                Route *route = &c->routes[--c->n_routes];

                (void) route->ops->free(route->route);
        }
        (void) mail_submit_free(c->submit);
        while (!TAILQ_EMPTY(&c->sendings))
                sending_free(c, TAILQ_FIRST(&c->sendings));
        json_decref(c->taken);
        email_settings_done(&c->settings);
        free(c);
}

static MailSubmitPatience program_patience;

static int channel_start(Plugin *plugin, const json_t *settings, void **ret_state) {
        EmailChannel *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->plugin = plugin;
        r = channel_open(c, settings, program_patience);
        if (r < 0) {
                channel_stop(plugin, c);
                return r;
        }
        *ret_state = c;
        return 0;
}

int email_channel_main(int argc, char **argv, const MailSubmitPatience *patience) {
        static const char *const capabilities[] = { "reply", "receipt", NULL };
        static const PluginOps ops = {
                .program = "vestibule-email",
                .role = "channel",
                .name = "email",
                .summary = "Carries invitations and answers by mail.",
                .capabilities = capabilities,
                .start = channel_start,
                .request = channel_request,
                .stop = channel_stop,
        };

        program_patience = *patience;
        return plugin_main(argc, argv, &ops);
}
