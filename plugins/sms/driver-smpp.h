/* The SMPP driver's own parts among each other: a session with an SMS centre as a transceiver of
 * SMPP 3.4, what leaves over it, and what comes.
 *
 * Nothing here blocks, and nothing waits for ever: a connection has SMPP_BIND_SECONDS to be bound,
 * a silent centre enquire_seconds and then SMPP_ENQUIRE_SECONDS at most, all else what SmppPatience
 * says. Whoever breaks the protocol loses the connection. */
#pragma once

#include <openssl/ssl.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "driver-smpp-link.h"
#include "driver-smpp-throttle.h"
#include "secret.h"
#include "smpp-pdu.h"
#include "sms-driver.h"

enum {
        SMPP_BIND_SECONDS = 20, /* from the first step to a bound session */
        SMPP_ENQUIRE_SECONDS = 10,
        SMPP_STABLE_SECONDS = 10, /* a session that lasted this long was a success */
        SMPP_MALFORMED_MAX = 16,  /* PDUs in a row that cannot be read */
        /* That the channel has not settled. More than it holds: it says what has no room. */
        SMPP_DELIVERIES_MAX = 8192,
        SMPP_WITHDRAWALS_MAX = 256,
};

/* Seconds. */
typedef struct SmppPatience {
        unsigned answer; /* of the centre to a submit_sm; the gateway gives up after 60 */
        unsigned settle; /* of the channel, until the centre is asked to hand it in again */
        unsigned retry;  /* the longest pause between two attempts to connect; the first is 1 */
        unsigned refused, refused_max; /* the same where the centre has refused our account */
} SmppPatience;

/* Another patience for the drivers that are made from now on; for tests. */
void smpp_driver_set_patience(SmppPatience patience);

typedef struct SmppSettings {
        const char *host, *system_id, *system_type; /* borrowed from the settings */
        uint16_t port;
        unsigned window, enquire_seconds;
        bool tls;
        SmppReading reading;
        Secret password;
} SmppSettings;

typedef enum SmppState {
        SMPP_DOWN, /* until the next attempt */
        SMPP_CONNECTING,
        SMPP_BINDING,
        SMPP_UP,
        SMPP_ENDING, /* the link was told to end, and has not said that it has */
} SmppState;

/* A message on its way. */
typedef struct SmppSending {
        TAILQ_ENTRY(SmppSending) entry;
        const SmsOutbound *outbound;
        unsigned n, n_taken, n_waiting;
        unsigned next; /* the segment to look at next; n: none is left */
        bool is_stopped;
        uint8_t data_coding;
        bool as_septets;
        SmsForm form;
        SmsSendResult result; /* as it stands; its ids are not set */
        struct SmppSegment {
                bool is_taken;
                char id[SMPP_ID_SIZE];
        } segments[];
} SmppSending;

typedef struct SmppUnanswered {
        TAILQ_ENTRY(SmppUnanswered) entry; /* in the order of sending */
        SmppSending *sending;
        unsigned segment;
        uint32_t sequence;
        uint64_t due;
} SmppUnanswered;

/* A message that is taken back, one segment after the other, from the first one: whoever has got
 * that shall have the others as well. */
typedef struct SmppWithdrawal {
        TAILQ_ENTRY(SmppWithdrawal) entry; /* in the order of due */
        char *message, *to, *from;
        unsigned n, next;  /* segments, and the one that it is about */
        uint32_t sequence; /* of the cancel_sm; 0: it was not sent */
        uint64_t due;
        char ids[][SMPP_ID_SIZE];
} SmppWithdrawal;

/* A deliver_sm or data_sm that the centre waits for an answer to. */
typedef struct SmppDelivery {
        TAILQ_ENTRY(SmppDelivery) entry; /* in the order of coming */
        uint64_t token, due;
        uint32_t sequence;
        bool is_data_sm;
} SmppDelivery;

TAILQ_HEAD(SmppSendingQueue, SmppSending);
TAILQ_HEAD(SmppUnansweredQueue, SmppUnanswered);
TAILQ_HEAD(SmppDeliveryQueue, SmppDelivery);
TAILQ_HEAD(SmppWithdrawalQueue, SmppWithdrawal);

struct SmsDriver {
        SmsChannel *channel;
        sd_event *event;
        SmppSettings settings;
        SmppPatience patience;
        SSL_CTX *tls;

        /* the session */
        SmppLink *link;
        SmppState state;
        sd_event_source *timer;
        uint64_t armed; /* what the timer is set to */
        uint32_t sequence, bind_sequence;
        uint32_t refused_status; /* of the bind; 0: it was not refused */
        unsigned attempts, refusals, malformed;
        uint64_t since, retry_at, heard, asked; /* CLOCK_BOOTTIME; 0: not asked */
        const char *reason;                     /* of the last end, which was logged */

        /* what leaves */
        struct SmppSendingQueue
                        sendings; /* all of their segments are sent, but for the last one's */
        struct SmppUnansweredQueue unanswered;
        unsigned n_unanswered;
        SmppThrottle throttle;
        bool has_unsendable;    /* among the sendings */
        bool is_blocked;        /* the channel was told -EAGAIN */
        bool absolute_validity; /* the centre does not know the relative form */
        uint32_t logged_status;

        /* what is taken back */
        struct SmppWithdrawalQueue withdrawals;
        struct SmppWithdrawalQueue halfway; /* begun, and to be asked for again; the oldest first */
        unsigned n_withdrawals, n_halfway, n_cancelling;
        bool logged_cancel;

        /* what comes */
        struct SmppDeliveryQueue deliveries;
        unsigned n_deliveries;
        uint64_t last_token;
        bool logged_refusal;
};

/* Reads `host`, `port`, `system_id`, `system_type`, `window`, `tls`, `ca_file`, `alphabet`,
 * `one_is_gsm7`, `packed`, `enquire_seconds`, `country_code`, and the credential `smpp-password`.
 * Logs what is wrong: -EINVAL. *ret_ca_file is borrowed; NULL: the system's. */
int smpp_settings_read(const json_t *settings, SmppSettings *ret, const char **ret_ca_file);

/* --- the session --- */

/* Connects in the next turn, and again whenever the connection is lost. Negative errno. */
int smpp_session_open(SmsDriver *driver);

/* Takes leave of the centre, as far as that needs no waiting. */
void smpp_session_close(SmsDriver *driver);

/* Ends the connection; what follows happens in a later turn. */
void smpp_session_end(SmsDriver *driver, const char *reason);

/* The number of our next request. */
uint32_t smpp_session_sequence(SmsDriver *driver);

/* Wakes the driver at a time of CLOCK_BOOTTIME, or earlier. */
void smpp_session_arm(SmsDriver *driver, uint64_t at);

/* Seconds until the next attempt to connect, at least 1. */
unsigned smpp_session_retry_after(const SmsDriver *driver);

/* --- what leaves --- */

typedef struct SmppSender {
        uint8_t type, plan;
        const char *address; /* a part of what it was made from */
} SmppSender;

/* How what messages come from is written. */
SmppSender smpp_outbound_sender(const char *from);

int smpp_outbound_send(SmsDriver *driver, const SmsOutbound *outbound);

/* An answer of the centre's; of SMPP_SUBMIT_RESP or SMPP_NACK, or one that could not be read. */
void smpp_outbound_answer(
                SmsDriver *driver, uint32_t sequence, uint32_t status, const char *message_id);

/* Sends what may be sent by now, and tells the channel when there is room again. */
void smpp_outbound_pump(SmsDriver *driver);

/* The connection has ended: nobody will answer for what was sent. */
void smpp_outbound_lost(SmsDriver *driver);

/* When something of it is due; UINT64_MAX: never. */
uint64_t smpp_outbound_due(const SmsDriver *driver);

/* True when an answer is overdue. */
bool smpp_outbound_is_overdue(const SmsDriver *driver, uint64_t now);

/* Frees without a word. */
void smpp_outbound_done(SmsDriver *driver);

/* --- what is taken back --- */

int smpp_cancel_begin(SmsDriver *driver, const SmsTaken *taken);

/* An answer of the centre's, or the refusal of what it did not understand. */
void smpp_cancel_answer(SmsDriver *driver, uint32_t sequence, uint32_t status);

/* Asks for what the window has room for. */
void smpp_cancel_pump(SmsDriver *driver);

/* Gives up what has waited for too long. */
void smpp_cancel_expire(SmsDriver *driver, uint64_t now);
uint64_t smpp_cancel_due(const SmsDriver *driver);

/* The connection has ended: nobody will answer. */
void smpp_cancel_lost(SmsDriver *driver);

/* Frees without a word. */
void smpp_cancel_done(SmsDriver *driver);

/* --- what comes --- */

void smpp_inbound_take(SmsDriver *driver, const SmppPdu *pdu);
void smpp_inbound_settle(SmsDriver *driver, uint64_t token, SmsSettlement settlement);

/* Hands back what has waited for too long. */
void smpp_inbound_expire(SmsDriver *driver, uint64_t now);
uint64_t smpp_inbound_due(const SmsDriver *driver);

/* Forgets all: their connection has ended, and the centre hands them in again. */
void smpp_inbound_forget(SmsDriver *driver);
