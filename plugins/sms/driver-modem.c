/* The way over a modem of one's own: ModemManager on the system bus. This file finds the bus, the
 * service and the modem, each of which may come and go, and gives the driver its table. */
#include "driver-modem.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "log.h"
#include "plugin.h"

enum {
        RECONNECT_SECONDS_MAX = 30,
        /* ModemManager itself waits for a modem, for minutes when there are many parts. */
        CALL_SECONDS = 600,
};

static ModemPatience patience_of_new = {
        .found = 60,
        .incomplete = 600, /* as long as the channel waits for parts that other drivers bring */
        .incomplete_next = 30,
};

void modem_driver_set_patience(ModemPatience patience) {
        patience_of_new = patience;
}

int modem_call(SmsDriver *d,
                sd_bus_slot **slot,
                const char *path,
                const char *interface,
                const char *member,
                sd_bus_message_handler_t handler,
                void *userdata,
                const char *types,
                ...) {
        va_list arguments;
        int r;

        assert(d && slot && !*slot);

        if (!d->bus)
                return -ENOTCONN;
        va_start(arguments, types);
        r = sd_bus_call_method_asyncv(d->bus,
                        slot,
                        MODEM_SERVICE,
                        path,
                        interface,
                        member,
                        handler,
                        userdata,
                        types,
                        arguments);
        va_end(arguments);
        return r < 0 ? r : 0;
}

uint64_t modem_now(const SmsDriver *d) {
        uint64_t now = 0;

        (void) sd_event_now(d->event, CLOCK_MONOTONIC, &now);
        return now;
}

void modem_timer_set(SmsDriver *d,
                sd_event_source **timer,
                uint64_t due,
                sd_event_time_handler_t handler) {
        int r = 0;

        if (due == UINT64_MAX) {
                if (*timer)
                        (void) sd_event_source_set_enabled(*timer, SD_EVENT_OFF);
                return;
        }
        if (!*timer)
                r = sd_event_add_time(d->event, timer, CLOCK_MONOTONIC, due, 0, handler, d);
        else if ((r = sd_event_source_set_time(*timer, due)) >= 0)
                r = sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
        /* When the loop has ended, so does the program. */
        if (r < 0 && r != -ESTALE)
                log_error("Cannot set a timer: %s.", strerror(-r));
}

bool modem_is_gone(const sd_bus_error *error) {
        static const char *const names[] = {
                SD_BUS_ERROR_UNKNOWN_OBJECT,
                SD_BUS_ERROR_UNKNOWN_METHOD,
                SD_BUS_ERROR_UNKNOWN_INTERFACE,
                "org.freedesktop.ModemManager1.Error.Core.NotFound",
        };

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (sd_bus_error_has_name(error, names[i]))
                        return true;
        return false;
}

int modem_read_variant(sd_bus_message *m, char type, void *ret) {
        const char types[] = { type, '\0' };
        const char *contents;
        char outer;
        int r;

        r = sd_bus_message_peek_type(m, &outer, &contents);
        if (r < 0)
                return r;
        if (outer != SD_BUS_TYPE_VARIANT || !streq(contents, types))
                return sd_bus_message_skip(m, "v");
        return sd_bus_message_read(m, "v", types, ret);
}

/* --- the modem --- */

static void tell(SmsDriver *d, bool up, const char *reason) {
        if (d->is_up == up && (up || (d->reason && streq(d->reason, reason))))
                return;
        d->is_up = up;
        d->reason = reason;
        sms_channel_carrier(d->channel, up, reason);
}

static void modem_lost(SmsDriver *d, const char *reason) {
        d->path = (free(d->path), NULL);
        d->is_registered = false;
        modem_inbox_clear(d);
        modem_outbox_clear(d, reason);
        tell(d, false, reason);
}

static void modem_state(SmsDriver *d, int32_t state) {
        const char *reason;
        bool was_registered = d->is_registered;

        d->is_registered = modem_state_is_up(state, &reason);
        if (!d->is_registered)
                tell(d, false, reason);
        else if (!was_registered)
                modem_inbox_network(d);
}

void modem_looked_at(SmsDriver *d) {
        if (d->is_registered)
                tell(d, true, NULL);
}

/* One object of GetManagedObjects, as far as it matters here. */
typedef struct Found {
        const char *path;
        bool has_messaging;
        int32_t state;
        const char *identity;
} Found;

static int read_modem(sd_bus_message *m, Found *found) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &name);
                if (r < 0)
                        return r;
                if (streq(name, "State"))
                        r = modem_read_variant(m, 'i', &found->state);
                else if (streq(name, "EquipmentIdentifier"))
                        r = modem_read_variant(m, 's', &found->identity);
                else
                        r = sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_interfaces(sd_bus_message *m, Found *found) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &name);
                if (r < 0)
                        return r;
                if (streq(name, MODEM_MESSAGING))
                        found->has_messaging = true;
                if (streq(name, MODEM_INTERFACE))
                        r = read_modem(m, found);
                else
                        r = sd_bus_message_skip(m, "a{sv}");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static bool is_wanted(const SmsDriver *d, const Found *found) {
        return streq(d->wanted, "any") ||
               (found->identity && strcasecmp(found->identity, d->wanted) == 0);
}

/* Of several that would do, the one that we have, else the first that is registered. */
static bool is_better(const SmsDriver *d, const Found *found, const Found *best) {
        const char *reason;

        if (!best->path)
                return true;
        if (d->path && streq(best->path, d->path))
                return false;
        if (d->path && streq(found->path, d->path))
                return true;
        return modem_state_is_up(found->state, &reason) && !modem_state_is_up(best->state, &reason);
}

static int choose_modem(SmsDriver *d, sd_bus_message *m, Found *ret_best, const char **ret_reason) {
        int r;

        *ret_reason = "no-modem";
        r = sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}")) > 0) {
                Found found = { 0 };
                const char *reason;

                r = sd_bus_message_read_basic(m, 'o', &found.path);
                if (r >= 0)
                        r = read_interfaces(m, &found);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
                if (!is_wanted(d, &found))
                        continue;
                if (found.has_messaging && is_better(d, &found, ret_best))
                        *ret_best = found;
                else if (!found.has_messaging && !modem_state_is_up(found.state, &reason))
                        /* It has no messaging before its SIM is unlocked. */
                        *ret_reason = reason;
        }
        return r;
}

static void start_scan(SmsDriver *d);

static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SmsDriver *d = userdata;
        Found best = { 0 };
        const char *reason;
        int r;

        (void) error;

        d->scan = sd_bus_slot_unref(d->scan);
        if (d->scan_again) {
                start_scan(d);
                return 0;
        }
        if (sd_bus_message_is_method_error(m, NULL)) {
                modem_lost(d, "modem-manager-away");
                return 0;
        }
        r = choose_modem(d, m, &best, &reason);
        if (r < 0) {
                log_warning("ModemManager's objects cannot be read: %s.", strerror(-r));
                reason = "modem-manager-away";
                best.path = NULL;
        }
        if (!best.path) {
                modem_lost(d, reason);
                return 0;
        }
        if (d->path && !streq(d->path, best.path))
                modem_lost(d, "modem-away");
        if (!d->path)
                d->path = strdup(best.path);
        if (d->path)
                modem_state(d, best.state);
        return 0;
}

/* Looks for the modem among all that ModemManager has. */
static void start_scan(SmsDriver *d) {
        int r;

        d->scan_again = d->scan;
        if (d->scan)
                return;
        r = modem_call(d,
                        &d->scan,
                        MODEM_ROOT,
                        "org.freedesktop.DBus.ObjectManager",
                        "GetManagedObjects",
                        on_objects,
                        d,
                        NULL);
        if (r < 0)
                log_warning("Cannot ask ModemManager for its modems: %s.", strerror(-r));
}

/* --- what ModemManager says by itself --- */

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SmsDriver *d = userdata;
        const char *name, *old, *new;
        int r;

        (void) error;

        r = sd_bus_message_read(m, "sss", &name, &old, &new);
        if (r < 0)
                return 0;
        d->scan = sd_bus_slot_unref(d->scan);
        modem_lost(d, "modem-manager-away");
        if (*new)
                start_scan(d);
        return 0;
}

static int on_interfaces(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SmsDriver *d = userdata;
        const char *path;

        (void) error;

        if (sd_bus_message_read(m, "o", &path) < 0)
                return 0;
        /* While there is a modem that works, others do not matter. */
        if (!d->is_registered || streq(path, d->path))
                start_scan(d);
        return 0;
}

static int on_state(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SmsDriver *d = userdata;
        const char *path = sd_bus_message_get_path(m);
        int32_t old, new;

        (void) error;

        if (sd_bus_message_read(m, "ii", &old, &new) < 0)
                return 0;
        if (d->path && streq(path, d->path) && !d->scan)
                modem_state(d, new);
        else if (!d->is_registered || d->scan)
                start_scan(d);
        return 0;
}

static int on_added(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SmsDriver *d = userdata;
        const char *path;
        int received;

        (void) error;

        if (!d->is_registered || !streq(sd_bus_message_get_path(m), d->path))
                return 0;
        if (sd_bus_message_read(m, "ob", &path, &received) >= 0 && received)
                modem_inbox_added(d, path);
        return 0;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SmsDriver *d = userdata;

        (void) error;

        modem_inbox_changed(d, sd_bus_message_get_path(m));
        modem_outbox_changed(d, sd_bus_message_get_path(m));
        return 0;
}

/* --- the bus --- */

static void schedule_reconnect(SmsDriver *d, uint64_t delay);

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        SmsDriver *d = userdata;

        (void) m;
        (void) error;

        modem_lost(d, "no-system-bus");
        schedule_reconnect(d, MODEM_SECOND);
        return 0;
}

static int add_matches(SmsDriver *d) {
        static const struct {
                const char *rule;
                sd_bus_message_handler_t handler;
        } matches[] = {
                { "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                  "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
                  "arg0='" MODEM_SERVICE "'",
                                on_owner },
                { "type='signal',sender='" MODEM_SERVICE "',path='" MODEM_ROOT "',"
                  "interface='org.freedesktop.DBus.ObjectManager'",
                                on_interfaces },
                { "type='signal',sender='" MODEM_SERVICE "',interface='" MODEM_INTERFACE "',"
                  "member='StateChanged'",
                                on_state },
                { "type='signal',sender='" MODEM_SERVICE "',interface='" MODEM_MESSAGING "',"
                  "member='Added'",
                                on_added },
                { "type='signal',sender='" MODEM_SERVICE "',interface='" MODEM_PROPERTIES "',"
                  "member='PropertiesChanged',arg0='" MODEM_SMS "'",
                                on_changed },
        };
        int r;

        for (size_t i = 0; i < N_ELEMENTS(matches); i++) {
                r = sd_bus_add_match_async(
                                d->bus, NULL, matches[i].rule, matches[i].handler, NULL, d);
                if (r < 0)
                        return r;
        }
        r = sd_bus_match_signal(d->bus,
                        NULL,
                        "org.freedesktop.DBus.Local",
                        NULL,
                        "org.freedesktop.DBus.Local",
                        "Disconnected",
                        on_disconnected,
                        d);
        return r < 0 ? r : 0;
}

static void close_bus(SmsDriver *d) {
        d->scan = sd_bus_slot_unref(d->scan);
        d->bus = sd_bus_flush_close_unref(d->bus);
}

static int open_bus(SmsDriver *d) {
        int r;

        r = sd_bus_open_system(&d->bus);
        if (r < 0)
                return r;
        r = sd_bus_set_method_call_timeout(d->bus, CALL_SECONDS * MODEM_SECOND);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(d->bus, d->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        return add_matches(d);
}

static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata) {
        SmsDriver *d = userdata;
        uint64_t delay;
        int r;

        (void) source;
        (void) usec;

        close_bus(d);
        r = open_bus(d);
        if (r >= 0) {
                d->failures = 0;
                start_scan(d);
                return 0;
        }
        close_bus(d);
        if (d->failures == 0)
                log_warning("The system bus cannot be reached: %s.", strerror(-r));
        delay = d->failures < 5 ? UINT64_C(1) << d->failures : RECONNECT_SECONDS_MAX;
        d->failures++;
        tell(d, false, "no-system-bus");
        schedule_reconnect(d, delay * MODEM_SECOND);
        return 0;
}

static void schedule_reconnect(SmsDriver *d, uint64_t delay) {
        modem_timer_set(d, &d->reconnect, modem_now(d) + delay, on_reconnect);
}

/* --- the table --- */

static SmsDriver *driver_free(SmsDriver *d) {
        if (!d)
                return NULL;

        modem_outbox_free(d);
        modem_inbox_clear(d);
        close_bus(d);
        (void) sd_event_source_disable_unref(d->reconnect);
        (void) sd_event_source_disable_unref(d->inbox_timer);
        (void) sd_event_source_disable_unref(d->drafts_timer);
        free(d->path);
        (void) sd_event_unref(d->event);
        free(d);
        return NULL;
}

DEFINE_CLEANUP(SmsDriver, driver_free)

static int driver_new(
                SmsDriver **ret, SmsChannel *channel, sd_event *event, const json_t *settings) {
        _cleanup_(driver_freep) SmsDriver *d = NULL;
        const char *wanted = plugin_setting(settings, "modem", "any");
        const char *country_code = plugin_setting(settings, "country_code", "");

        assert(ret && channel && event);

        if (!modem_is_identity(wanted)) {
                log_error("The setting modem is \"any\" or the IMEI of one, 14 to 16 digits.");
                return -EINVAL;
        }
        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        d->patience = patience_of_new;
        d->list_due = UINT64_MAX;
        TAILQ_INIT(&d->entries);
        TAILQ_INIT(&d->drafts);
        d->channel = channel;
        d->event = sd_event_ref(event);
        (void) snprintf(d->wanted, sizeof(d->wanted), "%s", wanted);
        (void) snprintf(d->country_code, sizeof(d->country_code), "%s", country_code);
        /* The channel is told nothing before it has the driver. */
        schedule_reconnect(d, 0);
        if (!d->reconnect)
                return -ENOMEM;
        *ret = TAKE_PTR(d);
        return 0;
}

const SmsDriverOps sms_driver_modem = {
        .name = "modem",
        .new = driver_new,
        .send = modem_outbox_send,
        .settle = modem_inbox_settle,
        .free = driver_free,
};
