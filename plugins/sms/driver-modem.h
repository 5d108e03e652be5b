/* The parts of the modem driver to each other: the bus and the modem (driver-modem.c), messages
 * that leave (driver-modem-outbox.c) and messages on the modem (driver-modem-inbox.c). Nobody else
 * includes this; sms-driver.h is what the channel sees.
 *
 * ModemManager holds the messages of the SIM and those that are created to be sent as D-Bus
 * objects. Their paths are new ones whenever it starts, so a path is never an identity, only a
 * handle until the modem goes away. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "driver-modem-table.h"
#include "sms-driver.h"
#include "sms-number.h"

#define MODEM_SERVICE "org.freedesktop.ModemManager1"
#define MODEM_ROOT "/org/freedesktop/ModemManager1"
#define MODEM_INTERFACE "org.freedesktop.ModemManager1.Modem"
#define MODEM_MESSAGING "org.freedesktop.ModemManager1.Modem.Messaging"
#define MODEM_SMS "org.freedesktop.ModemManager1.Sms"
#define MODEM_PROPERTIES "org.freedesktop.DBus.Properties"

enum {
        MODEM_INBOX_MAX = 1024,
        MODEM_DRAFTS_MAX = 16,
        MODEM_TEXT_DIGEST_SIZE = 16,
};

#define MODEM_SECOND UINT64_C(1000000)

/* How long it waits, in seconds. */
typedef struct ModemPatience {
        unsigned found;           /* for the end of a Send that a former process began */
        unsigned incomplete;      /* for the missing parts of a message */
        unsigned incomplete_next; /* for them at the least since another was given up, whose room
                                   * they may have wanted; it never ends before `incomplete` */
} ModemPatience;

/* Another patience for the drivers that are made from now on; for tests. */
void modem_driver_set_patience(ModemPatience patience);

/* A message that is on the modem. */
typedef struct ModemEntry ModemEntry;
TAILQ_HEAD(ModemEntries, ModemEntry);

/* A message of ours that ModemManager has and that is not finished. */
typedef struct ModemDraft {
        TAILQ_ENTRY(ModemDraft) entry;
        sd_bus_slot *call; /* asks for its state */
        char *path;
        uint8_t digest[MODEM_TEXT_DIGEST_SIZE]; /* of recipient and text */
        uint64_t since;                         /* when it was found or its Send ended */
        bool found; /* of a former process, or another program: it may be being sent just now */
        bool sent;
} ModemDraft;
TAILQ_HEAD(ModemDrafts, ModemDraft);

/* What is being sent: one at a time, as a modem does it. */
typedef struct ModemSending {
        const SmsOutbound *outbound; /* NULL: nothing is */
        char *path;                  /* of its object, once there is one */
        uint8_t digest[MODEM_TEXT_DIGEST_SIZE];
        sd_bus_slot *call;
        sd_event_source *timer;
        bool is_sent; /* whatever becomes of the modem now */
        ModemRefusal refusal;
        char id[SMS_CARRIER_ID_SIZE];
} ModemSending;

struct SmsDriver {
        SmsChannel *channel;
        sd_event *event;
        char wanted[MODEM_IDENTITY_SIZE]; /* "any", or its identity */
        char country_code[4];             /* may be empty */
        ModemPatience patience;

        sd_bus *bus;
        sd_event_source *reconnect;
        unsigned failures;

        sd_bus_slot *scan;
        bool scan_again;
        char *path; /* of the modem, or NULL */
        bool is_registered;
        bool is_up;         /* registered, and what was on it has been looked at */
        const char *reason; /* why not, as the channel was told; NULL: it was told nothing yet */

        /* the inbox */
        sd_bus_slot *list;
        uint64_t list_due; /* when to ask again for all of them, or UINT64_MAX */
        struct ModemEntries entries;
        size_t n_entries;
        size_t n_listed; /* of these, that were there at the start and are not read yet */
        bool has_more;   /* than fitted */
        uint64_t last_token;
        sd_event_source *inbox_timer;

        /* the outbox */
        ModemSending sending;
        struct ModemDrafts drafts;
        size_t n_drafts;
        sd_event_source *drafts_timer;
        bool wants_ready; /* -EAGAIN was returned */
};

/* Calls a method of ModemManager; the answer comes to handler with the driver. *slot is dropped
 * with what it waited for. Negative errno. */
int modem_call(SmsDriver *driver,
                sd_bus_slot **slot,
                const char *path,
                const char *interface,
                const char *member,
                sd_bus_message_handler_t handler,
                void *userdata,
                const char *types,
                ...);

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t modem_now(const SmsDriver *driver);

/* Whether that error says that there is no such object. */
bool modem_is_gone(const sd_bus_error *error);

/* Has a timer run at that time, making it if need be; UINT64_MAX: not at all. */
void modem_timer_set(SmsDriver *driver,
                sd_event_source **timer,
                uint64_t due,
                sd_event_time_handler_t handler);

/* Enters what a{sv} has for one name, as a D-Bus type of one letter. Of another type: 0, and *ret
 * is left alone. */
int modem_read_variant(sd_bus_message *message, char type, void *ret);

/* All that was on the modem at the start has been read: the outbox knows what a former process may
 * have sent. */
void modem_looked_at(SmsDriver *driver);

/* --- the inbox --- */

/* Asks for all messages of the modem; modem_looked_at() is called when they are read. */
void modem_inbox_start(SmsDriver *driver);

/* The same, when there is a network again: the time without one does not count for parts. */
void modem_inbox_network(SmsDriver *driver);

/* The modem has one more, or has changed one. */
void modem_inbox_added(SmsDriver *driver, const char *path);
void modem_inbox_changed(SmsDriver *driver, const char *path);

void modem_inbox_settle(SmsDriver *driver, uint64_t token, SmsSettlement settlement);

/* Deletes a message of the modem, again and again until it is gone. */
void modem_inbox_delete(SmsDriver *driver, const char *path);

/* The modem has gone, and what is on it will be found again. */
void modem_inbox_clear(SmsDriver *driver);

/* --- the outbox --- */

int modem_outbox_send(SmsDriver *driver, const SmsOutbound *outbound);

/* There is a message of ours on the modem that this process has not created. */
void modem_outbox_found(SmsDriver *driver,
                const char *path,
                const char *number,
                const char *text,
                bool sent);

/* True for an object that the outbox looks after. */
bool modem_outbox_has(const SmsDriver *driver, const char *path);

void modem_outbox_changed(SmsDriver *driver, const char *path);

/* The modem has gone: what was being sent comes back, for this reason. */
void modem_outbox_clear(SmsDriver *driver, const char *reason);
void modem_outbox_free(SmsDriver *driver);
