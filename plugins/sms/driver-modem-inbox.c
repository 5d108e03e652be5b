/* The messages that are on the modem: each one is read, handed to the channel, and deleted as soon
 * as the channel has settled it, so that the storage, which holds a few dozen, does not fill up.
 *
 * ModemManager puts the parts of a message together by itself, shows nothing of them before all are
 * there, and tells of none that comes. Parts that nothing comes to any more would fill the storage,
 * and then nobody else's messages would come either: they are deleted after a while, one message
 * after another, since the parts of the next may have wanted the room of the first. */
#include "driver-modem.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

enum {
        RETRY_SECONDS_MAX = 60,
        LIST_SECONDS = 30,
};

typedef enum EntryState {
        ENTRY_READING,    /* its properties are asked for */
        ENTRY_INCOMPLETE, /* until `due` */
        ENTRY_HANDED,     /* the channel has it */
        ENTRY_LATER,      /* to be read again at `due` */
        ENTRY_DELETING,
        ENTRY_DELETE_LATER, /* to be deleted at `due` */
} EntryState;

struct ModemEntry {
        TAILQ_ENTRY(ModemEntry) entry;
        SmsDriver *driver;
        EntryState state;
        bool is_listed; /* it counts in n_listed */
        char *path;
        uint64_t token;
        uint64_t due;
        unsigned attempts;
        sd_bus_slot *call;
};

static ModemEntry *entry_find(const SmsDriver *d, const char *path) {
        ModemEntry *e;

        TAILQ_FOREACH(e, &d->entries, entry)
        if (streq(e->path, path))
                return e;
        return NULL;
}

static void count_read(ModemEntry *e) {
        SmsDriver *d = e->driver;

        if (!e->is_listed)
                return;
        e->is_listed = false;
        if (--d->n_listed == 0 && !d->list)
                modem_looked_at(d);
}

static void entry_free(ModemEntry *e) {
        TAILQ_REMOVE(&e->driver->entries, e, entry);
        e->driver->n_entries--;
        (void) sd_bus_slot_unref(e->call);
        free(e->path);
        free(e);
}

static void set_timer(SmsDriver *d);

/* Forgets one that is gone from the modem, or is nothing of ours. */
static void entry_done(ModemEntry *e) {
        SmsDriver *d = e->driver;

        entry_free(e);
        if (d->has_more && d->n_entries < MODEM_INBOX_MAX / 2)
                modem_inbox_start(d);
}

static void entry_wait(ModemEntry *e, EntryState state, uint64_t seconds) {
        e->state = state;
        e->due = modem_now(e->driver) + seconds * MODEM_SECOND;
        set_timer(e->driver);
}

static void entry_retry(ModemEntry *e, EntryState state) {
        unsigned seconds = e->attempts < 6 ? 1U << e->attempts : RETRY_SECONDS_MAX;

        e->attempts++;
        entry_wait(e, state, seconds);
}

static int on_deleted(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        ModemEntry *e = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(m);

        (void) ret_error;

        e->call = sd_bus_slot_unref(e->call);
        if (!error || modem_is_gone(error)) {
                entry_done(e);
                return 0;
        }
        if (e->attempts == 0)
                log_warning("A message cannot be deleted from the modem: %s.", error->name);
        entry_retry(e, ENTRY_DELETE_LATER);
        return 0;
}

static void entry_delete(ModemEntry *e) {
        SmsDriver *d = e->driver;
        int r;

        e->state = ENTRY_DELETING;
        r = modem_call(d,
                        &e->call,
                        d->path,
                        MODEM_MESSAGING,
                        "Delete",
                        on_deleted,
                        e,
                        "o",
                        e->path);
        if (r < 0)
                entry_retry(e, ENTRY_DELETE_LATER);
}

/* What a message says. Strings are the D-Bus message's. */
typedef struct Sms {
        uint32_t state, pdu_type, reference, delivery;
        const char *number, *text, *time;
} Sms;

static int read_sms(sd_bus_message *m, Sms *sms) {
        const struct {
                const char *name;
                char type;
                void *value;
        } wanted[] = {
                { "State", 'u', &sms->state },
                { "PduType", 'u', &sms->pdu_type },
                { "MessageReference", 'u', &sms->reference },
                { "DeliveryState", 'u', &sms->delivery },
                { "Number", 's', &sms->number },
                { "Text", 's', &sms->text },
                { "Timestamp", 's', &sms->time },
        };
        const char *name;
        int r;

        *sms = (Sms){ .delivery = UINT32_MAX, .number = "", .text = "", .time = "" };
        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                size_t i = 0;

                r = sd_bus_message_read_basic(m, 's', &name);
                if (r < 0)
                        return r;
                while (i < N_ELEMENTS(wanted) && !streq(wanted[i].name, name))
                        i++;
                r = i < N_ELEMENTS(wanted) ? modem_read_variant(m, wanted[i].type, wanted[i].value)
                                           : sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

static bool read_number(const SmsDriver *d, const char *number, char ret[SMS_NUMBER_SIZE]) {
        /* ModemManager writes a plus before an international number, and says of no other what
         * type it is. */
        return sms_number_from_carrier(
                        number, 0, d->country_code[0] ? d->country_code : NULL, false, ret);
}

static void take_received(ModemEntry *e, const Sms *sms) {
        SmsDriver *d = e->driver;
        char from[SMS_NUMBER_SIZE];
        SmsInbound inbound = {
                .from = from,
                .to = "",
                .text = sms->text,
                .token = e->token,
        };

        if (!read_number(d, sms->number, from) || !*sms->text) {
                log_info("A message was deleted from the modem: %s.",
                                *sms->text ? "its sender has no number that can be answered"
                                           : "it is no text");
                entry_delete(e);
                return;
        }
        if (!modem_time(sms->time, &inbound.sent))
                inbound.sent = 0;
        e->state = ENTRY_HANDED;
        sms_channel_inbound(d->channel, &inbound);
}

static void take_report(ModemEntry *e, const Sms *sms) {
        SmsDriver *d = e->driver;
        char number[SMS_NUMBER_SIZE], id[SMS_CARRIER_ID_SIZE];
        SmsReport report = {
                .id = id,
                .outcome = modem_delivery(sms->delivery),
                .token = e->token,
        };

        if (!read_number(d, sms->number, number)) {
                entry_delete(e);
                return;
        }
        modem_report_id(sms->reference, number, id);
        e->state = ENTRY_HANDED;
        sms_channel_report(d->channel, &report);
}

/* Before the channel may send again. */
static void note_draft(ModemEntry *e, const Sms *sms) {
        ModemSmsKind kind = modem_sms_kind(sms->pdu_type, sms->state);

        if ((kind == MODEM_SMS_DRAFT || kind == MODEM_SMS_SENT) &&
                        !modem_outbox_has(e->driver, e->path))
                modem_outbox_found(
                                e->driver, e->path, sms->number, sms->text, kind == MODEM_SMS_SENT);
}

static void take_sms(ModemEntry *e, const Sms *sms) {
        switch (modem_sms_kind(sms->pdu_type, sms->state)) {
        case MODEM_SMS_INCOMPLETE:
                entry_wait(e, ENTRY_INCOMPLETE, e->driver->patience.incomplete);
                return;
        case MODEM_SMS_RECEIVED:
                take_received(e, sms);
                return;
        case MODEM_SMS_REPORT:
                take_report(e, sms);
                return;
        case MODEM_SMS_DRAFT:
        case MODEM_SMS_SENT:
        case MODEM_SMS_OTHER:
                entry_done(e);
                return;
        }
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        ModemEntry *e = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(m);
        Sms sms;
        int r;

        (void) ret_error;

        e->call = sd_bus_slot_unref(e->call);
        (void) sd_bus_message_sensitive(m);
        r = error ? -EIO : read_sms(m, &sms);
        if (r >= 0)
                note_draft(e, &sms);
        count_read(e);
        if (error && modem_is_gone(error))
                entry_done(e);
        else if (r < 0)
                entry_retry(e, ENTRY_LATER);
        else
                take_sms(e, &sms);
        return 0;
}

static void entry_read(ModemEntry *e) {
        int r;

        e->state = ENTRY_READING;
        e->call = sd_bus_slot_unref(e->call);
        r = modem_call(e->driver,
                        &e->call,
                        e->path,
                        MODEM_PROPERTIES,
                        "GetAll",
                        on_properties,
                        e,
                        "s",
                        MODEM_SMS);
        if (r < 0)
                entry_retry(e, ENTRY_LATER);
}

/* Without a network no part can come. Whose parts had no room before get some time more, nobody
 * less: how long a message is waited for is no matter of what others send. */
static void give_incomplete_up(ModemEntry *e) {
        SmsDriver *d = e->driver;
        ModemEntry *other;
        uint64_t due = modem_now(d) + d->patience.incomplete_next * MODEM_SECOND;

        if (!d->is_registered) {
                entry_wait(e, ENTRY_INCOMPLETE, d->patience.incomplete);
                return;
        }
        log_notice("A message whose parts did not all come was deleted from the modem.");
        entry_delete(e);
        TAILQ_FOREACH(other, &d->entries, entry)
        if (other->state == ENTRY_INCOMPLETE && other->due < due)
                other->due = due;
}

/* An incomplete one that was given up, or one to be tried again. */
static void entry_due(ModemEntry *e) {
        e->due = UINT64_MAX;
        switch (e->state) {
        case ENTRY_LATER:
                entry_read(e);
                return;
        case ENTRY_INCOMPLETE:
                give_incomplete_up(e);
                return;
        case ENTRY_DELETE_LATER:
                entry_delete(e);
                return;
        case ENTRY_READING:
        case ENTRY_HANDED:
        case ENTRY_DELETING:
                return;
        }
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        SmsDriver *d = userdata;
        ModemEntry *e, *next;
        uint64_t now = modem_now(d);

        (void) source;
        (void) usec;

        /* entry_due() only calls the bus, which answers later: no entry goes away meanwhile. */
        for (e = TAILQ_FIRST(&d->entries); e; e = next) {
                next = TAILQ_NEXT(e, entry);
                if (e->due <= now)
                        entry_due(e);
        }
        if (d->list_due <= now)
                modem_inbox_start(d);
        set_timer(d);
        return 0;
}

static void set_timer(SmsDriver *d) {
        uint64_t due = d->list_due;
        ModemEntry *e;

        TAILQ_FOREACH(e, &d->entries, entry)
        if (e->due < due)
                due = e->due;
        modem_timer_set(d, &d->inbox_timer, due, on_timer);
}

static ModemEntry *entry_new(SmsDriver *d, const char *path) {
        _cleanup_(freep) ModemEntry *e = calloc(1, sizeof(*e));

        if (!e)
                return NULL;
        e->path = strdup(path);
        if (!e->path)
                return NULL;
        e->driver = d;
        e->due = UINT64_MAX;
        e->token = ++d->last_token;
        TAILQ_INSERT_TAIL(&d->entries, e, entry);
        d->n_entries++;
        return TAKE_PTR(e);
}

void modem_inbox_added(SmsDriver *d, const char *path) {
        ModemEntry *e;

        if (entry_find(d, path) || modem_outbox_has(d, path))
                return;
        if (d->n_entries >= MODEM_INBOX_MAX) {
                d->has_more = true;
                return;
        }
        e = entry_new(d, path);
        if (e)
                entry_read(e);
        else
                d->has_more = true;
}

void modem_inbox_changed(SmsDriver *d, const char *path) {
        ModemEntry *e = entry_find(d, path);

        if (e && e->state == ENTRY_INCOMPLETE) {
                e->due = UINT64_MAX;
                entry_read(e);
        }
}

void modem_inbox_delete(SmsDriver *d, const char *path) {
        ModemEntry *e = entry_find(d, path);

        if (e)
                return;
        e = entry_new(d, path);
        if (e)
                entry_delete(e);
}

void modem_inbox_settle(SmsDriver *d, uint64_t token, SmsSettlement settlement) {
        ModemEntry *e;

        TAILQ_FOREACH(e, &d->entries, entry)
        if (e->token == token)
                break;
        /* The modem may have gone with it; then it comes in again, and is known. */
        if (!e || e->state != ENTRY_HANDED)
                return;
        if (settlement == SMS_SETTLED_TAKEN) {
                e->attempts = 0;
                entry_delete(e);
        } else
                entry_retry(e, ENTRY_LATER);
}

static int on_list(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        SmsDriver *d = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(m);
        const char *path;
        ModemEntry *e;
        int r;

        (void) ret_error;

        d->list = sd_bus_slot_unref(d->list);
        if (error) {
                log_warning("The modem's messages cannot be listed: %s.", error->name);
                d->list_due = modem_now(d) + LIST_SECONDS * MODEM_SECOND;
                set_timer(d);
                modem_looked_at(d);
                return 0;
        }
        r = sd_bus_message_enter_container(m, 'a', "o");
        while (r >= 0 && (r = sd_bus_message_read_basic(m, 'o', &path)) > 0)
                modem_inbox_added(d, path);
        TAILQ_FOREACH(e, &d->entries, entry)
        if (e->state == ENTRY_READING && !e->is_listed) {
                e->is_listed = true;
                d->n_listed++;
        }
        if (d->n_listed == 0)
                modem_looked_at(d);
        return 0;
}

void modem_inbox_start(SmsDriver *d) {
        int r;

        d->has_more = false;
        d->list_due = UINT64_MAX;
        d->list = sd_bus_slot_unref(d->list);
        r = modem_call(d, &d->list, d->path, MODEM_MESSAGING, "List", on_list, d, NULL);
        if (r < 0)
                log_warning("Cannot ask for the modem's messages: %s.", strerror(-r));
}

void modem_inbox_network(SmsDriver *d) {
        ModemEntry *e;

        TAILQ_FOREACH(e, &d->entries, entry)
        if (e->state == ENTRY_INCOMPLETE)
                entry_wait(e, ENTRY_INCOMPLETE, d->patience.incomplete);
        modem_inbox_start(d);
}

void modem_inbox_clear(SmsDriver *d) {
        ModemEntry *e;

        d->has_more = false;
        d->list_due = UINT64_MAX;
        d->list = sd_bus_slot_unref(d->list);
        d->n_listed = 0;
        while ((e = TAILQ_FIRST(&d->entries)))
                entry_free(e);
        modem_timer_set(d, &d->inbox_timer, UINT64_MAX, on_timer);
}
