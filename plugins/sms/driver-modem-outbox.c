/* A message that leaves over the modem: created as an object of ModemManager's, sent, its reference
 * read for the report, the object deleted; only then the channel hears that it was taken. So an
 * object that is "sent" when this program starts is of a message that nobody was told about, and
 * when the same message is asked for again, it is found by recipient and text and not sent twice.
 *
 * The same object is used again when its Send has failed, because ModemManager cuts a text into
 * parts once for an object, and gives them a random reference: a second object would be another
 * message for the phone that has some parts of the first. */
#include "driver-modem.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "log.h"
#include "secret.h"

enum {
        /* When to ask again for a message whose object may be in the middle of its Send. */
        FOUND_RETRY_SECONDS = 5,
        /* How long an object waits for its message to be asked for again. */
        DRAFT_SECONDS = 300,
};

/* --- objects that are not finished --- */

static void set_drafts_timer(SmsDriver *d);

static void draft_free(SmsDriver *d, ModemDraft *draft) {
        TAILQ_REMOVE(&d->drafts, draft, entry);
        d->n_drafts--;
        (void) sd_bus_slot_unref(draft->call);
        free(draft->path);
        free(draft);
}

/* Gives up one that nobody asked for. What another program may have created to send it some time is
 * left to it; what has been sent is nobody's any more. */
static void draft_expire(SmsDriver *d, ModemDraft *draft) {
        if (draft->sent || !draft->found)
                modem_inbox_delete(d, draft->path);
        draft_free(d, draft);
}

static int on_drafts_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        SmsDriver *d = userdata;
        ModemDraft *draft, *next;
        uint64_t now = modem_now(d);

        (void) source;
        (void) usec;

        for (draft = TAILQ_FIRST(&d->drafts); draft; draft = next) {
                next = TAILQ_NEXT(draft, entry);
                if (draft->since + DRAFT_SECONDS * MODEM_SECOND <= now)
                        draft_expire(d, draft);
        }
        set_drafts_timer(d);
        return 0;
}

static void set_drafts_timer(SmsDriver *d) {
        ModemDraft *first = TAILQ_FIRST(&d->drafts);

        modem_timer_set(d,
                        &d->drafts_timer,
                        first ? first->since + DRAFT_SECONDS * MODEM_SECOND : UINT64_MAX,
                        on_drafts_timer);
}

static void draft_add(SmsDriver *d, char *path, const uint8_t *digest, bool found, bool sent) {
        _cleanup_(freep) char *own_path = path;
        ModemDraft *draft = calloc(1, sizeof(*draft));

        if (!draft)
                return;
        while (d->n_drafts >= MODEM_DRAFTS_MAX)
                draft_expire(d, TAILQ_FIRST(&d->drafts));
        *draft = (ModemDraft){
                .path = TAKE_PTR(own_path),
                .since = modem_now(d),
                .found = found,
                .sent = sent,
        };
        memcpy(draft->digest, digest, MODEM_TEXT_DIGEST_SIZE);
        TAILQ_INSERT_TAIL(&d->drafts, draft, entry);
        d->n_drafts++;
        set_drafts_timer(d);
}

static ModemDraft *draft_find(const SmsDriver *d, const uint8_t *digest) {
        ModemDraft *draft;

        TAILQ_FOREACH(draft, &d->drafts, entry)
        if (memcmp(draft->digest, digest, MODEM_TEXT_DIGEST_SIZE) == 0)
                return draft;
        return NULL;
}

static void digest_text(const char *number, const char *text, size_t size, uint8_t *ret) {
        crypto_generichash_state state;

        crypto_generichash_init(&state, NULL, 0, MODEM_TEXT_DIGEST_SIZE);
        crypto_generichash_update(&state, (const uint8_t *) number, strlen(number) + 1);
        crypto_generichash_update(&state, (const uint8_t *) text, size);
        crypto_generichash_final(&state, ret, MODEM_TEXT_DIGEST_SIZE);
        sodium_memzero(&state, sizeof(state));
}

void modem_outbox_found(
                SmsDriver *d, const char *path, const char *number, const char *text, bool sent) {
        uint8_t digest[MODEM_TEXT_DIGEST_SIZE];
        char *own_path = strdup(path);

        if (!own_path)
                return;
        digest_text(number, text, strlen(text), digest);
        draft_add(d, own_path, digest, true, sent);
}

bool modem_outbox_has(const SmsDriver *d, const char *path) {
        const ModemDraft *draft;

        if (d->sending.path && streq(d->sending.path, path))
                return true;
        TAILQ_FOREACH(draft, &d->drafts, entry)
        if (streq(draft->path, path))
                return true;
        return false;
}

/* --- what is being sent --- */

static void sending_reset(ModemSending *s) {
        (void) sd_bus_slot_unref(s->call);
        (void) sd_event_source_disable_unref(s->timer);
        free(s->path);
        *s = (ModemSending){ 0 };
}

static void tell(SmsDriver *d, const SmsSendResult *result) {
        const SmsOutbound *outbound = d->sending.outbound;

        sending_reset(&d->sending);
        sms_channel_sent(d->channel, outbound, result);
        if (!d->sending.outbound && d->wants_ready) {
                d->wants_ready = false;
                sms_channel_ready(d->channel);
        }
}

static void tell_taken(SmsDriver *d) {
        char id[SMS_CARRIER_ID_SIZE];
        const char *const ids[] = { id };
        SmsSendResult result = {
                .outcome = SMS_SEND_TAKEN,
                .ids = d->sending.id[0] ? ids : NULL,
                /* ModemManager tells the reference of the last part only. */
                .n_ids = N_ELEMENTS(ids),
        };

        memcpy(id, d->sending.id, sizeof(id));
        tell(d, &result);
}

static void tell_refusal(SmsDriver *d) {
        const ModemRefusal refusal = d->sending.refusal;
        SmsSendResult result = {
                .outcome = refusal.outcome,
                .reason = refusal.reason,
                .retry_after = refusal.retry_after,
        };

        tell(d, &result);
}

static int on_tell(sd_event_source *source, uint64_t usec, void *userdata) {
        SmsDriver *d = userdata;

        (void) source;
        (void) usec;

        if (d->sending.is_sent)
                tell_taken(d);
        else
                tell_refusal(d);
        return 0;
}

static void set_sending_timer(SmsDriver *d, uint64_t due, sd_event_time_handler_t handler) {
        d->sending.timer = sd_event_source_disable_unref(d->sending.timer);
        modem_timer_set(d, &d->sending.timer, due, handler);
}

/* Tells a result a moment from now: the channel is not called back from inside its own calls. */
static void tell_soon(SmsDriver *d, SmsSendOutcome outcome, const char *reason) {
        d->sending.refusal = (ModemRefusal){ .outcome = outcome, .reason = reason };
        set_sending_timer(d, 0, on_tell);
}

/* Whether a former process may be in the middle of its Send. */
static bool may_be_leaving(const SmsDriver *d, const ModemDraft *draft) {
        return draft->found && !draft->sent &&
               draft->since + d->patience.found * MODEM_SECOND > modem_now(d);
}

/* Only this message waits: others leave meanwhile. */
static void tell_leaving(SmsDriver *d, const ModemDraft *draft) {
        uint64_t left = draft->since + d->patience.found * MODEM_SECOND - modem_now(d);
        uint64_t seconds = left / MODEM_SECOND + 1;

        tell_soon(d, SMS_SEND_LATER, "being-sent");
        d->sending.refusal.retry_after =
                        seconds < FOUND_RETRY_SECONDS ? (unsigned) seconds : FOUND_RETRY_SECONDS;
}

static void keep_draft(SmsDriver *d) {
        if (d->sending.path)
                draft_add(d, TAKE_PTR(d->sending.path), d->sending.digest, false, false);
}

/* Create or Send was refused. */
static void refused(SmsDriver *d, const sd_bus_error *error) {
        modem_refusal(error->name, error->message, &d->sending.refusal);
        /* One that somebody deleted is of no use to the next try. */
        if (d->sending.refusal.outcome != SMS_SEND_REFUSED && !modem_is_gone(error))
                keep_draft(d);
        else if (d->sending.path)
                modem_inbox_delete(d, d->sending.path);
        if (streq(d->sending.refusal.reason, "modem-error"))
                log_info("The modem refused a message: %s.", error->name);
        else if (streq(d->sending.refusal.reason, "not-authorized"))
                log_error("ModemManager does not let this user send messages.");
        tell_refusal(d);
}

static int on_deleted(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        SmsDriver *d = userdata;

        (void) ret_error;

        d->sending.call = sd_bus_slot_unref(d->sending.call);
        if (sd_bus_message_is_method_error(m, NULL) && d->path)
                modem_inbox_delete(d, d->sending.path);
        tell_taken(d);
        return 0;
}

static int on_reference(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        SmsDriver *d = userdata;
        ModemSending *s = &d->sending;
        uint32_t reference;

        (void) ret_error;

        s->call = sd_bus_slot_unref(s->call);
        if (!sd_bus_message_is_method_error(m, NULL) &&
                        sd_bus_message_read(m, "v", "u", &reference) >= 0)
                modem_report_id(reference, s->outbound->to, s->id);
        if (modem_call(d,
                            &s->call,
                            d->path,
                            MODEM_MESSAGING,
                            "Delete",
                            on_deleted,
                            d,
                            "o",
                            s->path) < 0)
                tell_soon(d, SMS_SEND_TAKEN, NULL);
        return 0;
}

/* ModemManager has sent all of it. */
static void was_sent(SmsDriver *d) {
        ModemSending *s = &d->sending;

        s->is_sent = true;
        if (modem_call(d,
                            &s->call,
                            s->path,
                            MODEM_PROPERTIES,
                            "Get",
                            on_reference,
                            d,
                            "ss",
                            MODEM_SMS,
                            "MessageReference") < 0)
                tell_soon(d, SMS_SEND_TAKEN, NULL);
}

static int on_sent(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        SmsDriver *d = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(m);

        (void) ret_error;

        d->sending.call = sd_bus_slot_unref(d->sending.call);
        if (error)
                refused(d, error);
        else
                was_sent(d);
        return 0;
}

static int send_object(SmsDriver *d) {
        return modem_call(
                        d, &d->sending.call, d->sending.path, MODEM_SMS, "Send", on_sent, d, NULL);
}

static int on_created(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        SmsDriver *d = userdata;
        ModemSending *s = &d->sending;
        const sd_bus_error *error = sd_bus_message_get_error(m);
        const char *path;

        (void) ret_error;

        s->call = sd_bus_slot_unref(s->call);
        if (error) {
                refused(d, error);
                return 0;
        }
        if (sd_bus_message_read(m, "o", &path) < 0 || !(s->path = strdup(path)) ||
                        send_object(d) < 0)
                tell_soon(d, SMS_SEND_FAILED, "modem-error");
        return 0;
}

/* The message's memory is wiped when it is freed. */
static int create_object(SmsDriver *d) {
        const SmsOutbound *outbound = d->sending.outbound;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(secret_free_stringp) char *text = strndup(outbound->text, outbound->size);
        int64_t left = outbound->expires == 0 ? MODEM_VALIDITY_SECONDS_MAX
                                              : outbound->expires - (int64_t) time(NULL);
        int r;

        if (!text)
                return -ENOMEM;
        r = sd_bus_message_new_method_call(
                        d->bus, &m, MODEM_SERVICE, d->path, MODEM_MESSAGING, "Create");
        if (r < 0)
                return r;
        r = sd_bus_message_sensitive(m);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m,
                        "a{sv}",
                        4,
                        "number",
                        "s",
                        outbound->to,
                        "text",
                        "s",
                        text,
                        "validity",
                        "(uv)",
                        UINT32_C(1),
                        "u",
                        modem_validity(left),
                        "delivery-report-request",
                        "b",
                        1);
        if (r < 0)
                return r;
        /* 0: as long as any other call. */
        r = sd_bus_call_async(d->bus, &d->sending.call, m, on_created, d, 0);
        return r < 0 ? r : 0;
}

/* Goes on with an object that has the same recipient and text. */
static int send_draft(SmsDriver *d, ModemDraft *draft) {
        bool sent = draft->sent;

        if (may_be_leaving(d, draft)) {
                tell_leaving(d, draft);
                return 0;
        }
        d->sending.path = TAKE_PTR(draft->path);
        draft_free(d, draft);
        if (!sent)
                return send_object(d);
        was_sent(d);
        return 0;
}

static int on_state(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        ModemDraft *draft = userdata;
        uint32_t state;

        (void) ret_error;

        draft->call = sd_bus_slot_unref(draft->call);
        if (!sd_bus_message_is_method_error(m, NULL) &&
                        sd_bus_message_read(m, "v", "u", &state) >= 0)
                draft->sent = modem_sms_kind(MODEM_PDU_SUBMIT, state) == MODEM_SMS_SENT;
        return 0;
}

/* One of a former process may have been sent by now. It stays in the list meanwhile, so that nobody
 * makes a second object of it. */
void modem_outbox_changed(SmsDriver *d, const char *path) {
        ModemDraft *draft;

        TAILQ_FOREACH(draft, &d->drafts, entry)
        if (draft->found && !draft->sent && streq(draft->path, path))
                break;
        if (!draft)
                return;
        draft->call = sd_bus_slot_unref(draft->call);
        (void) modem_call(d,
                        &draft->call,
                        path,
                        MODEM_PROPERTIES,
                        "Get",
                        on_state,
                        draft,
                        "ss",
                        MODEM_SMS,
                        "State");
}

int modem_outbox_send(SmsDriver *d, const SmsOutbound *outbound) {
        ModemSending *s = &d->sending;
        ModemDraft *draft;
        int r;

        assert(d && outbound);

        if (s->outbound) {
                d->wants_ready = true;
                return -EAGAIN;
        }
        s->outbound = outbound;
        if (!d->is_up) {
                tell_soon(d, SMS_SEND_LATER, d->reason ? d->reason : "modem-starting");
                return 0;
        }
        digest_text(outbound->to, outbound->text, outbound->size, s->digest);
        draft = draft_find(d, s->digest);
        r = draft ? send_draft(d, draft) : create_object(d);
        if (r < 0)
                tell_soon(d, SMS_SEND_LATER, "modem-away");
        return 0;
}

void modem_outbox_clear(SmsDriver *d, const char *reason) {
        while (d->n_drafts > 0)
                draft_free(d, TAILQ_FIRST(&d->drafts));
        set_drafts_timer(d);
        if (!d->sending.outbound)
                return;
        d->sending.call = sd_bus_slot_unref(d->sending.call);
        d->sending.path = (free(d->sending.path), NULL);
        tell_soon(d, SMS_SEND_LATER, reason);
}

void modem_outbox_free(SmsDriver *d) {
        sending_reset(&d->sending);
        while (d->n_drafts > 0)
                draft_free(d, TAILQ_FIRST(&d->drafts));
}
