#include "http-server.h"

#include <errno.h>

#include "http-exchange.h"
#include "time-text.h"

enum {
        CONNECTION_MEMORY = 32 * 1024, /* bounds the head of a request */
};

/* TLS 1.3, and 1.2 with AEAD and forward secrecy; nothing older has a reason to be spoken. */
static const char tls_priorities[] =
                "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"
                "+CHACHA20-POLY1305:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-MAC-ALL:+AEAD:%SERVER_"
                "PRECEDENCE";

struct HttpServer {
        sd_event *event;
        struct MHD_Daemon *daemon;
        sd_event_source *io, *timer, *again;
        uint64_t timer_usec; /* what the timer is set to, 0 = off */
        RelayBatch *batch;
        WebhookQueue *webhooks; /* borrowed, NULL = none */
        HttpExchangeRules rules;
        uint64_t n_requests;
        bool is_stopping;
        HttpExchange *delayed; /* answers that a fault holds back */
};

static void server_run(HttpServer *server);

static void *on_uri(void *userdata, const char *uri, struct MHD_Connection *connection) {
        HttpServer *server = userdata;
        HttpExchange *x = http_exchange_new(&server->rules, connection, uri);

        server->n_requests++;
        if (x)
                x->owner = server;
        return x;
}

static void on_completed(void *userdata,
                struct MHD_Connection *connection,
                void **closure,
                enum MHD_RequestTerminationCode code) {
        (void) userdata;
        (void) connection;
        (void) code;
        *closure = http_exchange_free(*closure);
}

static enum MHD_Result on_accept(
                void *userdata, const struct sockaddr *address, socklen_t address_size) {
        (void) userdata;
        (void) address;
        (void) address_size;
        return faults_break_connection() ? MHD_NO : MHD_YES;
}

static void on_connection(void *userdata,
                struct MHD_Connection *connection,
                void **closure,
                enum MHD_ConnectionNotificationCode code) {
        HttpServer *server = userdata;

        (void) connection;
        (void) closure;
        if (code == MHD_CONNECTION_NOTIFY_STARTED)
                request_log_add(server->rules.log,
                                &(RequestLogEntry){ .arrived_usec = time_boot(),
                                                .operation = "connection" });
}

/* A path that needs decoding is not one of ours. */
static size_t on_unescape(void *userdata, struct MHD_Connection *connection, char *text) {
        (void) userdata;
        (void) connection;
        return strlen(text);
}

static enum MHD_Result submit(HttpServer *server, HttpExchange *x) {
        int r;

        if (server->is_stopping) {
                x->retry_after = 1;
                http_exchange_refuse(x, 503, "this relay is stopping");
                return http_exchange_respond_refusal(x);
        }
        r = http_exchange_prepare(x);
        if (r != 0)
                return r < 0 ? MHD_NO : http_exchange_respond_refusal(x);

        x->is_waiting = true;
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
        HttpExchange *x = *closure;

        (void) connection;
        (void) url;
        (void) version;
        if (!x)
                return MHD_NO;
        if (!x->head_is_read) {
                http_exchange_read_head(x, method);
                /* Answering before the body was read makes libmicrohttpd close the connection. */
                if (http_exchange_declares_too_much(x)) {
                        if (x->status == 0)
                                http_exchange_refuse(x,
                                                x->task.is_drop ? 413 : 400,
                                                "the body is larger than this relay allows");
                        return http_exchange_respond_refusal(x);
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
                return http_exchange_respond(x);
        return x->status != 0 ? http_exchange_respond_refusal(x) : submit(userdata, x);
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
        server_run(server);
        if (error == -EIO) /* what the file holds is unknown: recover it by starting again */
                (void) sd_event_exit(server->event, error);
}

static void server_arm(HttpServer *server) {
        MHD_UNSIGNED_LONG_LONG msec;
        uint64_t usec;
        bool wants_timer = MHD_get_timeout(server->daemon, &msec) == MHD_YES;

        (void) sd_event_source_set_enabled(
                        server->again, wants_timer && msec == 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (!wants_timer || msec == 0)
                return;
        /* An earlier call than needed does no harm, so that a busy server rarely touches its timer.
         */
        (void) sd_event_now(server->event, CLOCK_MONOTONIC, &usec);
        usec += msec * USEC_PER_MSEC;
        if (server->timer_usec != 0 && server->timer_usec <= usec)
                return;
        server->timer_usec = usec;
        (void) sd_event_source_set_time(server->timer, usec);
        (void) sd_event_source_set_enabled(server->timer, SD_EVENT_ONESHOT);
}

static void server_run(HttpServer *server) {
        (void) MHD_run(server->daemon);
        request_log_flush(server->rules.log);
        relay_batch_dispatched(server->batch);
        server_arm(server);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) source;
        (void) fd;
        (void) events;
        server_run(userdata);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpServer *server = userdata;

        (void) source;
        (void) usec;
        server->timer_usec = 0;
        server_run(server);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata) {
        (void) source;
        server_run(userdata);
        return 0;
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
                        o->idle_timeout,
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

static int attach(HttpServer *server) {
        const union MHD_DaemonInfo *info;
        int r;

        info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info || info->epoll_fd < 0)
                return -EIO;
        r = sd_event_add_io(server->event, &server->io, info->epoll_fd, EPOLLIN, on_io, server);
        if (r < 0)
                return r;
        r = sd_event_add_time(server->event,
                        &server->timer,
                        CLOCK_MONOTONIC,
                        0,
                        250000,
                        on_timer,
                        server);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(server->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_defer(server->event, &server->again, on_again, server);
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
        (void) sd_event_source_disable_unref(server->timer);
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
