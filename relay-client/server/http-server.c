#include "http-server.h"

#include <errno.h>
#include <sys/socket.h>

#include "http-exchange.h"
#include "time-text.h"

enum {
        CONNECTION_MEMORY = 32 * 1024, /* bounds the head of a request */

        /* How long a client may take, however it spreads its bytes. */
        HEAD_SECONDS = 10,           /* also for the TLS handshake */
        BODY_SECONDS = 30,           /* as well as for reading the answer */
        BODY_PER_SECOND = 64 * 1024, /* for large bodies a second more for each of these */

        TLS_RECORD_SIZE = 16 * 1024, /* GnuTLS sends one at a time */
        TURNS_MIN = 4,
        PAUSE_USEC = 10 * 1000,
        PAUSE_FACTOR = 30, /* a turn that does nothing may take this part of the processor */
        PRIORITY_AGAIN = SD_EVENT_PRIORITY_NORMAL + 10,
};

/* TLS 1.3, and 1.2 with AEAD and forward secrecy; nothing older has a reason to be spoken. */
static const char tls_priorities[] =
                "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"
                "+CHACHA20-POLY1305:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-MAC-ALL:+AEAD:%SERVER_"
                "PRECEDENCE";

/* One per TCP connection. libmicrohttpd's own timeout sees silence only, and does not free what it
 * ends before the TLS handshake is done; so it is given none, and the deadline here is absolute. */
typedef struct HttpConnection {
        HttpServer *server;
        struct HttpConnection *previous, *next;
        int fd;
        uint64_t deadline; /* of time_boot(), or 0: it is our turn */
} HttpConnection;

struct HttpServer {
        sd_event *event;
        struct MHD_Daemon *daemon;
        sd_event_source *io, *again;
        sd_event_source *pause; /* in place of again when nothing comes of it */
        sd_event_source *tick;  /* while there are connections */
        HttpConnection *connections;
        unsigned idle_timeout;
        bool has_closed; /* a place is free since the last turn */
        uint64_t turns;  /* that may still follow each other at once */
        RelayBatch *batch;
        WebhookQueue *webhooks; /* borrowed, NULL = none */
        HttpExchangeRules rules;
        uint64_t n_requests;
        bool is_stopping;
        HttpExchange *delayed; /* answers that a fault holds back */
};

static void server_run(HttpServer *server);

/* Something happened, so that libmicrohttpd may have more to do at once. */
static void allow_turns(HttpServer *server) {
        if (server->turns < TURNS_MIN)
                server->turns = TURNS_MIN;
}

static HttpConnection *connection_of(struct MHD_Connection *http) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(http, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

        return info ? info->socket_context : NULL;
}

static void set_deadline(struct MHD_Connection *http, uint64_t seconds) {
        HttpConnection *c = connection_of(http);

        if (c)
                c->deadline = seconds > 0 ? time_boot() + seconds * USEC_PER_SEC : 0;
}

static uint64_t body_seconds(size_t size) {
        return BODY_SECONDS + size / BODY_PER_SECOND;
}

static void *on_uri(void *userdata, const char *uri, struct MHD_Connection *connection) {
        HttpServer *server = userdata;
        HttpExchange *x;

        if (!connection_of(connection)) /* out of memory; without an exchange it is closed */
                return NULL;
        allow_turns(server);
        set_deadline(connection, HEAD_SECONDS);
        server->n_requests++;
        x = http_exchange_new(&server->rules, connection, uri);
        if (x)
                x->owner = server;
        return x;
}

static void on_completed(void *userdata,
                struct MHD_Connection *connection,
                void **closure,
                enum MHD_RequestTerminationCode code) {
        HttpServer *server = userdata;

        (void) code;
        allow_turns(server);
        set_deadline(connection, server->idle_timeout);
        *closure = http_exchange_free(*closure);
}

static enum MHD_Result on_accept(
                void *userdata, const struct sockaddr *address, socklen_t address_size) {
        (void) userdata;
        (void) address;
        (void) address_size;
        return faults_break_connection() ? MHD_NO : MHD_YES;
}

static HttpConnection *connection_new(HttpServer *server, struct MHD_Connection *http) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(http, MHD_CONNECTION_INFO_CONNECTION_FD);
        HttpConnection *c = info ? calloc(1, sizeof(*c)) : NULL;

        if (!c)
                return NULL;
        c->server = server;
        c->fd = info->connect_fd;
        c->deadline = time_boot() + HEAD_SECONDS * USEC_PER_SEC;
        c->next = server->connections;
        if (c->next)
                c->next->previous = c;
        else {
                (void) sd_event_source_set_time_relative(server->tick, USEC_PER_SEC);
                (void) sd_event_source_set_enabled(server->tick, SD_EVENT_ONESHOT);
        }
        server->connections = c;
        return c;
}

static HttpConnection *connection_free(HttpConnection *c) {
        if (!c)
                return NULL;
        if (c->previous)
                c->previous->next = c->next;
        else
                c->server->connections = c->next;
        if (c->next)
                c->next->previous = c->previous;
        free(c);
        return NULL;
}

static void on_connection(void *userdata,
                struct MHD_Connection *connection,
                void **closure,
                enum MHD_ConnectionNotificationCode code) {
        HttpServer *server = userdata;

        if (code != MHD_CONNECTION_NOTIFY_STARTED) {
                *closure = connection_free(*closure);
                server->has_closed = true;
                return;
        }
        *closure = connection_new(server, connection);
        request_log_add(server->rules.log,
                        &(RequestLogEntry){
                                        .arrived_usec = time_boot(), .operation = "connection" });
}

/* A path that needs decoding is not one of ours. */
static size_t on_unescape(void *userdata, struct MHD_Connection *connection, char *text) {
        (void) userdata;
        (void) connection;
        return strlen(text);
}

static enum MHD_Result refuse(HttpExchange *x) {
        set_deadline(x->connection, body_seconds(0));
        return http_exchange_respond_refusal(x);
}

/* The answer is written in turns of which libmicrohttpd tells nobody. */
static enum MHD_Result respond(HttpServer *server, HttpExchange *x) {
        size_t size = x->task.answer.body_size;

        server->turns += size / TLS_RECORD_SIZE;
        set_deadline(x->connection, body_seconds(size));
        return http_exchange_respond(x);
}

static enum MHD_Result submit(HttpServer *server, HttpExchange *x) {
        int r;

        if (server->is_stopping) {
                x->retry_after = 1;
                http_exchange_refuse(x, 503, "this relay is stopping");
                return refuse(x);
        }
        r = http_exchange_prepare(x);
        if (r != 0)
                return r < 0 ? MHD_NO : refuse(x);

        x->is_waiting = true;
        set_deadline(x->connection, 0);
        MHD_suspend_connection(x->connection);
        relay_batch_add(server->batch, &x->task);
        return MHD_YES;
}

/* Called when the head is there, for each piece of the body, at its end, and after a resume. */
static enum MHD_Result on_request(void *userdata,
                struct MHD_Connection *connection,
                const char *url,
                const char *method,
                const char *version,
                const char *data,
                size_t *size,
                void **closure) {
        HttpServer *server = userdata;
        HttpExchange *x = *closure;

        (void) url;
        (void) version;
        if (!x)
                return MHD_NO;
        allow_turns(server);
        if (!x->head_is_read) {
                set_deadline(connection, body_seconds(server->rules.body_max));
                http_exchange_read_head(x, method);
                /* Answering before the body was read makes libmicrohttpd close the connection. */
                if (http_exchange_declares_too_much(x)) {
                        if (x->status == 0)
                                http_exchange_refuse(x,
                                                x->task.is_drop ? 413 : 400,
                                                "the body is larger than this relay allows");
                        return refuse(x);
                }
                return MHD_YES;
        }
        if (*size > 0) {
                if (http_exchange_keep_body(x, data, *size) < 0)
                        return MHD_NO;
                *size = 0;
                return MHD_YES;
        }
        if (x->is_waiting)
                return respond(server, x);
        return x->status != 0 ? refuse(x) : submit(server, x);
}

static void release_delayed(HttpExchange *x) {
        HttpServer *server = x->owner;

        for (HttpExchange **p = &server->delayed; *p; p = &(*p)->next_delayed)
                if (*p == x) {
                        *p = x->next_delayed;
                        break;
                }
        MHD_resume_connection(x->connection);
}

static int on_delay(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpExchange *x = userdata;
        HttpServer *server = x->owner;

        (void) source;
        (void) usec;
        release_delayed(x);
        allow_turns(server);
        server_run(server);
        return 0;
}

static bool hold_back(HttpExchange *x) {
        HttpServer *server = x->owner;

        if (x->fault.delay_usec == 0 || sd_event_add_time_relative(server->event,
                                                        &x->delay,
                                                        CLOCK_MONOTONIC,
                                                        x->fault.delay_usec,
                                                        1000,
                                                        on_delay,
                                                        x) < 0)
                return false;
        x->next_delayed = server->delayed;
        server->delayed = x;
        return true;
}

/* The operator may have allowed less since the address was stored. */
static void notify(HttpServer *server, const RelayAnswer *answer) {
        if (server->webhooks && answer->webhook &&
                        webhook_url_is_allowed(server->rules.webhooks, answer->webhook))
                webhook_queue_add(server->webhooks, answer->webhook, answer->mailbox);
}

static void on_batch_done(RelayTask *tasks, int error, void *userdata) {
        HttpServer *server = userdata;

        for (RelayTask *t = tasks; t; t = t->next) {
                http_exchange_finish((HttpExchange *) t, error);
                if (!error)
                        notify(server, &t->answer);
        }
        request_log_flush(server->rules.log);

        for (RelayTask *t = tasks, *next; t; t = next) {
                HttpExchange *x = (HttpExchange *) t;

                next = t->next;
                if (!hold_back(x))
                        MHD_resume_connection(x->connection);
        }
        allow_turns(server);
        server_run(server);
        if (error == -EIO) /* what the file holds is unknown: recover it by starting again */
                (void) sd_event_exit(server->event, error);
}

/* While a TLS handshake waits for its peer, libmicrohttpd 0.9.75 says that it has something to do
 * at once. Turns that follow each other without anything that happens end in a pause, the longer
 * the more such connections there are; what arrives meanwhile ends it. */
static void server_arm(HttpServer *server, uint64_t took_usec) {
        MHD_UNSIGNED_LONG_LONG msec;
        uint64_t usec = took_usec * PAUSE_FACTOR;
        /* A full daemon listens again at the beginning of a turn, for which it does not ask. */
        bool has_more = server->has_closed ||
                        (MHD_get_timeout(server->daemon, &msec) == MHD_YES && msec == 0);
        bool may_go_on = has_more && server->turns > 0;

        (void) sd_event_source_set_enabled(
                        server->again, may_go_on ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (may_go_on)
                server->turns--;
        if (has_more && !may_go_on)
                (void) sd_event_source_set_time_relative(
                                server->pause, usec > PAUSE_USEC ? usec : PAUSE_USEC);
        (void) sd_event_source_set_enabled(
                        server->pause, has_more && !may_go_on ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static void server_run(HttpServer *server) {
        uint64_t begin_usec = time_boot();

        server->has_closed = false;
        (void) MHD_run(server->daemon);
        server_arm(server, time_boot() - begin_usec);
        request_log_flush(server->rules.log);
        relay_batch_dispatched(server->batch);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) source;
        (void) fd;
        (void) events;
        allow_turns(userdata);
        server_run(userdata);
        return 0;
}

static int on_pause(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        server_run(userdata);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata) {
        (void) source;
        server_run(userdata);
        return 0;
}

/* libmicrohttpd has no call to close a connection, but notices when its socket is shut down. */
static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpServer *server = userdata;
        uint64_t now = time_boot();

        (void) usec;
        for (HttpConnection *c = server->connections; c; c = c->next)
                if (c->deadline != 0 && c->deadline <= now) {
                        (void) shutdown(c->fd, SHUT_RDWR);
                        c->deadline = 0;
                }
        if (!server->connections)
                return 0;
        (void) sd_event_source_set_time_relative(source, USEC_PER_SEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int start_daemon(HttpServer *server, const HttpServerOptions *o) {
        server->daemon = MHD_start_daemon(
                        MHD_USE_EPOLL | MHD_USE_TLS | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO,
                        0,
                        on_accept,
                        NULL,
                        on_request,
                        server,
                        MHD_OPTION_LISTEN_SOCKET,
                        o->listen_fd,
                        MHD_OPTION_HTTPS_MEM_CERT,
                        o->certificate,
                        MHD_OPTION_HTTPS_MEM_KEY,
                        o->key,
                        MHD_OPTION_HTTPS_PRIORITIES,
                        tls_priorities,
                        MHD_OPTION_CONNECTION_LIMIT,
                        o->connections_max,
                        MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                        o->connections_per_address,
                        MHD_OPTION_CONNECTION_TIMEOUT,
                        0U,
                        MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                        (size_t) CONNECTION_MEMORY,
                        MHD_OPTION_STRICT_FOR_CLIENT,
                        1,
                        MHD_OPTION_URI_LOG_CALLBACK,
                        on_uri,
                        server,
                        MHD_OPTION_UNESCAPE_CALLBACK,
                        on_unescape,
                        NULL,
                        MHD_OPTION_NOTIFY_COMPLETED,
                        on_completed,
                        server,
                        MHD_OPTION_NOTIFY_CONNECTION,
                        on_connection,
                        server,
                        MHD_OPTION_END);
        if (!server->daemon) {
                (void) close(o->listen_fd);
                return -EIO;
        }
        return 0;
}

static int add_timer(HttpServer *server, sd_event_source **ret, sd_event_time_handler_t callback) {
        int r;

        r = sd_event_add_time(
                        server->event, ret, CLOCK_MONOTONIC, 0, PAUSE_USEC / 2, callback, server);
        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int attach(HttpServer *server) {
        const union MHD_DaemonInfo *info;
        int r;

        info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info || info->epoll_fd < 0)
                return -EIO;
        r = sd_event_add_io(server->event, &server->io, info->epoll_fd, EPOLLIN, on_io, server);
        if (r < 0)
                return r;
        r = add_timer(server, &server->pause, on_pause);
        if (r < 0)
                return r;
        r = add_timer(server, &server->tick, on_tick);
        if (r < 0)
                return r;
        r = sd_event_add_defer(server->event, &server->again, on_again, server);
        if (r < 0)
                return r;
        /* Timers come first: the sweep's and the watchdog's, too. */
        r = sd_event_source_set_priority(server->again, PRIORITY_AGAIN);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(server->again, SD_EVENT_OFF);
}

int http_server_new(HttpServer **ret,
                sd_event *event,
                const HttpServerOptions *options,
                const RelayStores *stores,
                RequestLog *log) {
        _cleanup_(http_server_freep) HttpServer *server = calloc(1, sizeof(*server));
        int r;

        if (!server) {
                (void) close(options->listen_fd);
                return -ENOMEM;
        }
        server->event = sd_event_ref(event);
        server->webhooks = options->webhook_queue;
        server->idle_timeout = options->idle_timeout;
        server->rules = (HttpExchangeRules){
                .log = log,
                .rate_limit = options->rate_limit,
                .body_max = options->body_max,
                .ttl_default = options->ttl_default,
                .ttl_max = options->ttl_max,
                .legacy_headers = options->legacy_headers,
                .webhooks = options->webhook_prefixes,
        };

        r = relay_batch_new(&server->batch, event, stores, options->policy, on_batch_done, server);
        if (r < 0) {
                (void) close(options->listen_fd);
                return r;
        }
        r = start_daemon(server, options);
        if (r < 0)
                return r;
        r = attach(server);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(server);
        return 0;
}

static void drain(HttpServer *server) {
        MHD_socket listen_fd = MHD_quiesce_daemon(server->daemon);

        if (listen_fd != MHD_INVALID_SOCKET)
                (void) close(listen_fd);
        server->is_stopping = true; /* from now on, open connections hear 503 */
        while (relay_batch_run(server->batch))
                ;
        while (server->delayed)
                release_delayed(server->delayed);
        (void) MHD_run(server->daemon);
}

HttpServer *http_server_free(HttpServer *server) {
        if (!server)
                return NULL;
        if (server->daemon && server->again) {
                drain(server);
                MHD_stop_daemon(server->daemon);
        } else if (server->daemon)
                MHD_stop_daemon(server->daemon);
        (void) sd_event_source_disable_unref(server->io);
        (void) sd_event_source_disable_unref(server->pause);
        (void) sd_event_source_disable_unref(server->tick);
        (void) sd_event_source_disable_unref(server->again);
        (void) relay_batch_free(server->batch);
        (void) sd_event_unref(server->event);
        free(server);
        return NULL;
}

uint64_t http_server_n_requests(const HttpServer *server) {
        return server->n_requests;
}

uint64_t http_server_n_violations(const HttpServer *server) {
        return server->rules.n_violations;
}
