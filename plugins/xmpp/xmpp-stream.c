#include "xmpp-stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "log.h"
#include "text.h"
#include "time-text.h"
#include "xmpp-component.h"
#include "xmpp-guard.h"
#include "xmpp-memory.h"
#include "xmpp-names.h"

enum {
        IDLE_SECONDS = 60,        /* without a byte from the server, then it is asked */
        ENABLE_SECONDS = 5,       /* for the answer to <enable/> */
        STABLE_SECONDS = 10,      /* a stream that lasted this long was a success */
        CONFLICT_SECONDS = 30,    /* somebody else holds our address: do not fight */
        ROUNDS_PER_DISPATCH = 64, /* of xmpp_run_once(), of at most 4 KiB each */
};

typedef enum StreamState {
        STREAM_DOWN,       /* waiting for the next attempt */
        STREAM_CONNECTING, /* until libstrophe says CONNECT */
        STREAM_ENABLING,   /* logged in as a client; waiting for <enabled/> */
        STREAM_UP,
} StreamState;

struct XmppStream {
        XmppStreamConfig config;
        XmppStreamPatience patience;
        const XmppStreamOps *ops;
        void *userdata;
        sd_event *event;
        xmpp_ctx_t *context;
        xmpp_conn_t *connection;
        StreamState state;
        sd_event_source *io;    /* owns a duplicate of the socket */
        sd_event_source *turn;  /* runs libstrophe before the loop waits */
        sd_event_source *timer; /* one second while connected, or the next attempt */
        bool running;           /* inside xmpp_run_once(), which must not be entered twice */
        bool established;       /* the socket has connected */
        bool ended;         /* the connection object is to be released outside of its callbacks */
        const char *reason; /* why it ended */
        unsigned attempts;  /* without success */
        uint64_t retry_at, since, heard, asked; /* CLOCK_BOOTTIME; 0: not asked */
        uint64_t sent, to_prove, taken;         /* numbers of stanzas */
        uint64_t ping;                          /* the number of the ping under way, or 0 */
        char ping_id[33];
        bool managed;          /* stream management is on */
        uint64_t managed_base; /* stanzas sent before it was */
};

static XmppStreamPatience patience_of_new = { .connect = 15, .answer = 15, .retry = 60 };

/* For callbacks without user data. */
static XmppStream *the_stream;

/* The socket during a TLS handshake, which libstrophe does in a loop of its own without a limit. */
static volatile sig_atomic_t handshake_fd = -1;

static void on_alarm(int signal) {
        (void) signal;
        if (handshake_fd >= 0)
                (void) shutdown(handshake_fd, SHUT_RDWR);
}

static void handshake_guard_end(void) {
        handshake_fd = -1;
        (void) alarm(0);
}

static void handshake_guard(const XmppStream *s, int fd) {
        handshake_fd = fd;
        (void) alarm(s->patience.connect);
}

void xmpp_stream_set_patience(XmppStreamPatience patience) {
        patience_of_new = patience;
}

bool xmpp_stream_is_up(const XmppStream *stream) {
        return stream->state == STREAM_UP && !stream->ended;
}

xmpp_ctx_t *xmpp_stream_context(const XmppStream *stream) {
        return stream->context;
}

const char *xmpp_stream_jid(const XmppStream *s) {
        const char *bound = s->connection ? xmpp_conn_get_bound_jid(s->connection) : NULL;

        return !s->config.component && bound ? bound : s->config.jid;
}

unsigned xmpp_stream_retry_after(const XmppStream *stream) {
        uint64_t now = time_boot();

        if (stream->state != STREAM_DOWN || stream->retry_at <= now)
                return 1;
        return (unsigned) ((stream->retry_at - now) / USEC_PER_SEC) + 1;
}

static void wake(XmppStream *s) {
        (void) sd_event_source_set_enabled(s->turn, SD_EVENT_ONESHOT);
}

static void set_timer(XmppStream *s, uint64_t at) {
        (void) sd_event_source_set_time(s->timer, at);
        (void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* Ends the connection from wherever we are; the rest happens in on_turn(). */
static void stream_end(XmppStream *s, const char *reason) {
        if (s->ended)
                return;
        s->ended = true;
        s->reason = reason;
        wake(s);
}

/* --- Proof of what the server has --- */

static void took(XmppStream *s, uint64_t number) {
        if (number <= s->taken)
                return;
        s->taken = number;
        s->ops->taken(s, number, s->userdata);
}

static bool proof_missing(const XmppStream *s) {
        return s->to_prove > s->taken;
}

static uint64_t send_counted(XmppStream *s, xmpp_stanza_t *stanza) {
        xmpp_send(s->connection, stanza);
        wake(s);
        return ++s->sent;
}

static void send_ping(XmppStream *s) {
        xmpp_stanza_t *iq, *ping = xmpp_stanza_new(s->context);
        uint8_t id[16];

        randombytes_buf(id, sizeof(id));
        text_hex(id, sizeof(id), s->ping_id);
        iq = xmpp_iq_new(s->context, "get", s->ping_id);
        if (iq && ping && xmpp_stanza_set_name(ping, "ping") == XMPP_EOK &&
                        xmpp_stanza_set_ns(ping, NS_PING) == XMPP_EOK &&
                        xmpp_stanza_add_child(iq, ping) == XMPP_EOK &&
                        (!s->config.component ||
                                        (xmpp_stanza_set_from(iq, s->config.jid) == XMPP_EOK &&
                                                        xmpp_stanza_set_to(iq, s->config.jid) ==
                                                                        XMPP_EOK))) {
                s->ping = send_counted(s, iq);
                s->asked = time_boot();
        } else {
                stream_end(s, "out-of-memory");
        }
        if (ping)
                xmpp_stanza_release(ping);
        if (iq)
                xmpp_stanza_release(iq);
}

static void ask_for_proof(XmppStream *s) {
        if (!xmpp_stream_is_up(s) || s->managed || s->ping != 0 || !proof_missing(s))
                return;
        send_ping(s);
}

/* An answer, also one that says that pings are not understood; or our own question, come round. */
static bool is_our_ping(const XmppStream *s, xmpp_stanza_t *stanza) {
        const char *name = xmpp_stanza_get_name(stanza), *id = xmpp_stanza_get_id(stanza);
        const char *from = xmpp_stanza_get_from(stanza);

        if (s->ping == 0 || !name || !id || !streq(name, "iq") || !streq(id, s->ping_id))
                return false;
        return !s->config.component || (from && streq(from, s->config.jid));
}

static void read_managed(XmppStream *s, xmpp_stanza_t *stanza) {
        const char *h = xmpp_stanza_get_attribute(stanza, "h");
        uint64_t reached;

        if (!h || strspn(h, "0123456789") != strlen(h) || strlen(h) == 0 || strlen(h) > 10)
                return;
        /* The server counts modulo 2^32 (XEP-0198 section 4). */
        reached = s->taken + (uint32_t) ((uint32_t) strtoull(h, NULL, 10) -
                                             (uint32_t) (s->taken - s->managed_base));
        if (reached > s->sent)
                return;
        s->asked = 0;
        took(s, reached);
        if (proof_missing(s))
                s->asked = time_boot();
}

uint64_t xmpp_stream_send(XmppStream *s, xmpp_stanza_t *stanza, bool prove) {
        uint64_t number;

        if (!xmpp_stream_is_up(s))
                return 0;
        number = send_counted(s, stanza);
        if (prove) {
                s->to_prove = number;
                if (s->managed && s->asked == 0)
                        s->asked = time_boot();
        }
        return number;
}

/* --- What libstrophe says --- */

static void stream_up(XmppStream *s) {
        s->state = STREAM_UP;
        s->since = s->heard = time_boot();
        s->managed_base = s->taken = s->to_prove = s->sent;
        handshake_guard_end();
        s->ops->up(s, s->userdata);
}

static void on_management(XmppStream *s, xmpp_stanza_t *stanza, const char *name) {
        if (s->state == STREAM_ENABLING && (streq(name, "enabled") || streq(name, "failed"))) {
                s->managed = streq(name, "enabled");
                stream_up(s);
        } else if (s->managed && streq(name, "a")) {
                read_managed(s, stanza);
        }
}

static int on_stanza(xmpp_conn_t *connection, xmpp_stanza_t *stanza, void *userdata) {
        const char *name = xmpp_stanza_get_name(stanza), *ns = xmpp_stanza_get_ns(stanza);
        XmppStream *s = userdata;

        (void) connection;
        s->heard = time_boot();
        if (s->ended || !name)
                return 1;
        if (ns && streq(ns, NS_STREAM_MANAGEMENT)) {
                on_management(s, stanza, name);
        } else if (is_our_ping(s, stanza)) {
                uint64_t number = s->ping;

                s->ping = 0;
                s->asked = 0;
                if (!s->managed)
                        took(s, number);
        } else if (s->state == STREAM_UP) {
                s->ops->stanza(s, stanza, xmpp_guard_stanza_was_cut(), s->userdata);
        }
        wake(s);
        return 1;
}

static const char *reason_of(const XmppStream *s, const xmpp_stream_error_t *error) {
        static const char *const names[] = {
                [XMPP_SE_CONFLICT] = "conflict",
                [XMPP_SE_CONN_TIMEOUT] = "connection-timeout",
                [XMPP_SE_HOST_GONE] = "host-gone",
                [XMPP_SE_HOST_UNKNOWN] = "host-unknown",
                [XMPP_SE_IMPROPER_ADDR] = "improper-addressing",
                [XMPP_SE_INTERNAL_SERVER_ERROR] = "internal-server-error",
                [XMPP_SE_INVALID_FROM] = "invalid-from",
                [XMPP_SE_INVALID_XML] = "invalid-xml",
                [XMPP_SE_NOT_AUTHORIZED] = "not-authorized",
                [XMPP_SE_POLICY_VIOLATION] = "policy-violation",
                [XMPP_SE_RESOURCE_CONSTRAINT] = "resource-constraint",
                [XMPP_SE_SEE_OTHER_HOST] = "see-other-host",
                [XMPP_SE_SYSTEM_SHUTDOWN] = "system-shutdown",
                [XMPP_SE_XML_NOT_WELL_FORMED] = "not-well-formed",
        };

        if (error && (size_t) error->type < N_ELEMENTS(names) && names[error->type])
                return names[error->type];
        if (error)
                return "stream-error";
        if (s->state == STREAM_CONNECTING)
                return s->heard ? "login-failed" : "unreachable";
        return "stream-closed";
}

static void on_connection(xmpp_conn_t *connection,
                xmpp_conn_event_t event,
                int error,
                xmpp_stream_error_t *stream_error,
                void *userdata) {
        XmppStream *s = userdata;

        (void) error;
        if (event != XMPP_CONN_CONNECT) {
                stream_end(s, reason_of(s, stream_error));
                return;
        }
        if (s->ended || s->state != STREAM_CONNECTING)
                return;
        if (s->config.component) {
                stream_up(s);
                return;
        }
        if (!xmpp_conn_is_secured(connection)) {
                stream_end(s, "no-tls");
                return;
        }
        /* What is sent between <enable/> and <enabled/> is counted by the server and not by
         * libstrophe, so nothing is. */
        s->state = STREAM_ENABLING;
        s->since = time_boot();
}

static int on_bad_certificate(const xmpp_tlscert_t *certificate, const char *const why) {
        (void) certificate;
        log_error("the server's certificate is not trusted: %s", why ? why : "unknown reason");
        stream_end(the_stream, "certificate");
        return 0;
}

/* --- The socket, and turns of libstrophe --- */

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        XmppStream *s = userdata;

        (void) source;
        (void) fd;
        s->established = true;
        if (s->state == STREAM_CONNECTING && (events & EPOLLIN))
                s->heard = time_boot();
        wake(s);
        return 0;
}

/* libstrophe has no getter for its socket but calls this before it connects. The loop watches a
 * duplicate, because libstrophe closes its own before it tells us. */
static int on_socket(xmpp_conn_t *connection, void *socket) {
        XmppStream *s = the_stream;
        int fd = *(int *) socket, copy, on = 1;

        (void) connection;
        if (fd >= FD_SETSIZE) /* libstrophe calls select() */
                return -1;
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return -1;
        s->io = sd_event_source_disable_unref(s->io);
        if (sd_event_add_io(s->event, &s->io, copy, EPOLLIN | EPOLLOUT, on_io, s) < 0) {
                (void) close(copy);
                return -1;
        }
        (void) sd_event_source_set_io_fd_own(s->io, 1);
        /* Many small writes each way: without it every other one waits 40 ms for an
         * acknowledgement. */
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (!s->config.component)
                handshake_guard(s, copy);
        return 0;
}

static bool bytes_waiting(const XmppStream *s) {
        int n = 0;

        return s->io && ioctl(sd_event_source_get_io_fd(s->io), FIONREAD, &n) == 0 && n > 0;
}

/* A round reads at most 4 KiB, and what its handlers send leaves in the next. TLS holds whole
 * records of 16 KiB that the socket no longer shows. */
static void run_rounds(XmppStream *s) {
        unsigned quiet = 0, enough = s->config.component ? 2 : 6;

        s->running = true;
        for (unsigned i = 0; i < ROUNDS_PER_DISPATCH && quiet < enough && !s->ended; i++) {
                ask_for_proof(s);
                xmpp_run_once(s->context, 0);
                if (xmpp_guard_take_failure()) {
                        xmpp_run_once(s->context, 0); /* writes the stream error */
                        stream_end(s, "invalid-xml");
                }
                quiet = bytes_waiting(s) ? 0 : quiet + 1;
        }
        s->running = false;
        if (quiet < enough)
                wake(s);
}

static void watch_socket(XmppStream *s) {
        bool writing = !s->established || xmpp_conn_send_queue_len(s->connection) > 0;

        if (s->io)
                (void) sd_event_source_set_io_events(s->io, EPOLLIN | (writing ? EPOLLOUT : 0u));
}

static void schedule_retry(XmppStream *s) {
        uint64_t limit = s->patience.retry, delay;

        delay = s->attempts < 6 ? UINT64_C(1) << s->attempts : limit;
        if (delay > limit)
                delay = limit;
        if (streq(s->reason, "conflict") && delay < CONFLICT_SECONDS && s->attempts > 1)
                delay = CONFLICT_SECONDS;
        s->attempts++;
        delay = delay * USEC_PER_SEC / 2;
        delay += randombytes_uniform((uint32_t) delay);
        s->retry_at = time_boot() + delay;
        set_timer(s, s->retry_at);
}

static void connection_drop(XmppStream *s) {
        s->ended = true;
        handshake_guard_end();
        if (s->connection)
                xmpp_conn_release(s->connection);
        s->connection = NULL;
        s->io = sd_event_source_disable_unref(s->io);
}

static void stream_down(XmppStream *s) {
        const char *reason = s->reason;

        if (s->state == STREAM_UP && time_boot() - s->since >= STABLE_SECONDS * USEC_PER_SEC)
                s->attempts = 0;
        connection_drop(s);
        s->state = STREAM_DOWN;
        s->ended = false;
        s->ping = 0;
        s->asked = 0;
        s->heard = 0;
        s->managed = false;
        schedule_retry(s);
        s->ops->down(s, reason, s->userdata);
}

static int on_turn(sd_event_source *source, void *userdata) {
        XmppStream *s = userdata;

        (void) source;
        if (s->connection && !s->ended)
                run_rounds(s);
        if (s->ended)
                stream_down(s);
        else if (s->connection)
                watch_socket(s);
        return 0;
}

/* --- Connecting, and time --- */

static int connection_new(XmppStream *s) {
        const XmppStreamConfig *c = &s->config;
        char jid[3100];

        s->connection = xmpp_conn_new(s->context);
        if (!s->connection)
                return -ENOMEM;
        if (!xmpp_guard_is_in_force())
                return -ENOTSUP;
        (void) snprintf(jid, sizeof(jid), c->component ? "%s" : "%s/%s", c->jid, c->resource);
        xmpp_conn_set_jid(s->connection, jid);
        xmpp_conn_set_pass(s->connection, (const char *) c->password->data);
        xmpp_conn_set_sockopt_callback(s->connection, on_socket);
        xmpp_handler_add(s->connection, on_stanza, NULL, NULL, NULL, s);
        if (c->component)
                return xmpp_component_prepare(s->context, s->connection);

        if (xmpp_conn_set_flags(s->connection, XMPP_CONN_FLAG_MANDATORY_TLS) != XMPP_EOK)
                return -EINVAL;
        xmpp_conn_set_certfail_handler(s->connection, on_bad_certificate);
        if (c->ca_file)
                xmpp_conn_set_cafile(s->connection, c->ca_file);
        return 0;
}

static void stream_connect(XmppStream *s) {
        const XmppStreamConfig *c = &s->config;
        int r = connection_new(s);

        s->state = STREAM_CONNECTING;
        s->since = time_boot();
        s->heard = 0;
        s->established = false;
        s->sent = s->taken = s->to_prove = 0;
        set_timer(s, s->since + USEC_PER_SEC);
        if (r < 0) {
                stream_end(s, "out-of-memory");
                return;
        }
        r = c->component ? xmpp_connect_component(s->connection, c->host, c->port, on_connection, s)
                         : xmpp_connect_client(s->connection, c->host, c->port, on_connection, s);
        if (r != XMPP_EOK)
                stream_end(s, "unreachable");
        wake(s);
}

static bool has_passed(uint64_t since, unsigned seconds) {
        return since != 0 && time_boot() - since > seconds * USEC_PER_SEC;
}

static void watch_time(XmppStream *s) {
        if (s->state == STREAM_CONNECTING && has_passed(s->since, s->patience.connect))
                stream_end(s, s->heard ? "login-failed" : "unreachable");
        else if (s->state == STREAM_ENABLING && has_passed(s->since, ENABLE_SECONDS))
                stream_up(s); /* no stream management here: pings will do */
        else if (s->state == STREAM_UP && has_passed(s->asked, s->patience.answer))
                stream_end(s, "no-answer");
        else if (s->state == STREAM_UP && s->ping == 0 && has_passed(s->heard, IDLE_SECONDS))
                send_ping(s);
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        XmppStream *s = userdata;

        (void) source;
        (void) due;
        if (s->state == STREAM_DOWN) {
                stream_connect(s);
                return 0;
        }
        set_timer(s, time_boot() + USEC_PER_SEC);
        watch_time(s);
        wake(s); /* libstrophe has timers of its own */
        return 0;
}

static int stream_sources(XmppStream *s) {
        int r;

        r = sd_event_add_defer(s->event, &s->turn, on_turn, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->turn, SD_EVENT_OFF);
        if (r < 0)
                return r;
        return sd_event_add_time(s->event,
                        &s->timer,
                        CLOCK_BOOTTIME,
                        UINT64_MAX,
                        10 * USEC_PER_MSEC,
                        on_timer,
                        s);
}

int xmpp_stream_new(XmppStream **ret,
                sd_event *event,
                const XmppStreamConfig *config,
                const XmppStreamOps *ops,
                void *userdata) {
        struct sigaction alarm_action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
        struct sigaction ignore = { .sa_handler = SIG_IGN };
        _cleanup_(xmpp_stream_freep) XmppStream *s = NULL;
        int r;

        assert(!the_stream);

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        the_stream = s;
        s->config = *config;
        s->patience = patience_of_new;
        s->ops = ops;
        s->userdata = userdata;
        s->event = sd_event_ref(event);
        xmpp_initialize();
        /* Without a log: what libstrophe would write there are passwords and texts. */
        s->context = xmpp_ctx_new(xmpp_memory(), NULL);
        if (!s->context)
                return -ENOMEM;
        r = stream_sources(s);
        if (r < 0)
                return r;
        /* libstrophe writes without MSG_NOSIGNAL. */
        if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigaction(SIGALRM, &alarm_action, NULL) < 0)
                return -errno;

        stream_connect(s);
        if (!xmpp_guard_is_in_force())
                return -ENOTSUP;
        *ret = TAKE_PTR(s);
        return 0;
}

XmppStream *xmpp_stream_free(XmppStream *s) {
        if (!s)
                return NULL;
        if (s->connection && !s->ended && !s->running) {
                /* What is queued, such as the last receipts, and the stream's end. */
                xmpp_disconnect(s->connection);
                xmpp_run_once(s->context, 0);
        }
        connection_drop(s);
        sd_event_source_disable_unref(s->turn);
        sd_event_source_disable_unref(s->timer);
        sd_event_unref(s->event);
        if (s->context)
                xmpp_ctx_free(s->context);
        xmpp_shutdown();
        the_stream = NULL;
        free(s);
        return NULL;
}
