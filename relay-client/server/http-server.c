#include "http-server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <strings.h>

#include "faults.h"
#include "preview.h"
#include "relay-batch.h"
#include "time-text.h"

enum {
        CONNECTION_MEMORY = 32 * 1024, /* bounds the head of a request */
        ECHO_SIZE = 65,
        BODY_FIRST = 4096,
        BODY_SWALLOWED = 4, /* times the limit, so that the client hears why */
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
        RequestLog *log;
        RateLimit *rate_limit;
        size_t body_max;
        int64_t ttl_default, ttl_max;
        uint64_t n_requests, n_violations;
        bool is_stopping;
        struct Exchange *delayed; /* answers that a fault holds back */
};

/* One request on its way. */
typedef struct Exchange {
        RelayTask task; /* first: a task is cast back */
        HttpServer *server;
        struct MHD_Connection *connection;
        char *target;
        uint64_t arrived_usec;

        bool head_is_read, is_waiting, is_logged, has_operation;
        char echo[ECHO_SIZE]; /* of Mailbox-Request-ID, as it came */

        char *body;
        size_t body_size, body_allocated;
        bool body_is_too_large;

        unsigned status; /* 0 = not decided yet */
        unsigned retry_after;
        char reason[160];
        const char *note;
        char note_text[64];

        Fault fault;
        struct Exchange *next_delayed;
        sd_event_source *delay;
} Exchange;

static void server_run(HttpServer *server);

static void *on_uri(void *userdata, const char *uri, struct MHD_Connection *connection) {
        HttpServer *server = userdata;
        Exchange *x = calloc(1, sizeof(*x));

        if (!x)
                return NULL;
        x->server = server;
        x->connection = connection;
        x->arrived_usec = time_boot();
        x->task.request = RELAY_REQUEST_NULL;
        x->target = strdup(uri);
        server->n_requests++;
        if (!x->target) {
                free(x);
                return NULL;
        }
        return x;
}

static void exchange_log(Exchange *x) {
        const RelayRequest *request = &x->task.request;
        bool has_mailbox = false;

        for (size_t i = 0; i < RELAY_ID_SIZE && !has_mailbox; i++)
                has_mailbox = x->task.answer.mailbox[i] != 0;
        x->is_logged = true;
        request_log_add(x->server->log,
                        &(RequestLogEntry){
                                        .arrived_usec = x->arrived_usec,
                                        .operation = x->has_operation
                                                                     ? relay_operation_name(
                                                                                       request->operation)
                                                                     : "unknown",
                                        .status = x->status,
                                        .request_id = request->has_request_id ? request->request_id
                                                                              : NULL,
                                        .mailbox = has_mailbox ? x->task.answer.mailbox : NULL,
                                        .note = x->note,
                                        .has_duration = true,
                        });
}

static void exchange_free(Exchange *x) {
        (void) sd_event_source_disable_unref(x->delay);
        relay_request_done(&x->task.request);
        relay_answer_done(&x->task.answer);
        free(x->target);
        free(x->body);
        free(x);
}

static void on_completed(void *userdata,
                struct MHD_Connection *connection,
                void **closure,
                enum MHD_RequestTerminationCode code) {
        HttpServer *server = userdata;
        Exchange *x = *closure;

        (void) connection;
        (void) code;
        if (!x)
                return;
        if (!x->is_logged) /* libmicrohttpd refused it, or the client went away in the middle */
                request_log_add(server->log,
                                &(RequestLogEntry){ .arrived_usec = x->arrived_usec,
                                                .operation = "malformed",
                                                .has_duration = true });
        exchange_free(x);
        *closure = NULL;
}

static void on_connection(void *userdata,
                struct MHD_Connection *connection,
                void **closure,
                enum MHD_ConnectionNotificationCode code) {
        HttpServer *server = userdata;

        (void) connection;
        (void) closure;
        if (code == MHD_CONNECTION_NOTIFY_STARTED)
                request_log_add(server->log,
                                &(RequestLogEntry){ .arrived_usec = time_boot(),
                                                .operation = "connection" });
}

/* A path that needs decoding is not one of ours. */
static size_t on_unescape(void *userdata, struct MHD_Connection *connection, char *text) {
        (void) userdata;
        (void) connection;
        return strlen(text);
}

static enum MHD_Result on_header(
                void *userdata, enum MHD_ValueKind kind, const char *key, const char *value) {
        RelayHead *head = userdata;
        const char **field;

        (void) kind;
        if (strcasecmp(key, "Mailbox-Request-ID") == 0)
                field = &head->request_id;
        else if (strcasecmp(key, "Mailbox-Device-Claim") == 0)
                field = &head->claim;
        else if (strcasecmp(key, "Content-Type") == 0)
                field = &head->content_type;
        else {
                if (strcasecmp(key, "Referer") == 0)
                        head->has_referer = true;
                return MHD_YES;
        }
        if (*field)
                head->repeats = true;
        else
                *field = value ? value : "";
        return MHD_YES;
}

/* Whatever the request is, its id goes back unchanged, unless it could not stand in a header. */
static void keep_echo(Exchange *x, const char *request_id) {
        size_t length = strlen(request_id);

        if (length >= sizeof(x->echo))
                return;
        for (size_t i = 0; i < length; i++)
                if (request_id[i] <= ' ' || request_id[i] > '~')
                        return;
        (void) memcpy(x->echo, request_id, length + 1);
}

static unsigned head_status(int error) {
        switch ((RelayRequestError) error) {
        case RELAY_REQUEST_E_PATH:
                return 404;
        case RELAY_REQUEST_E_METHOD:
                return 405;
        case RELAY_REQUEST_E_CLAIM:
                return 401;
        case RELAY_REQUEST_E_HEADER:
        case RELAY_REQUEST_E_FRAGMENT:
        case RELAY_REQUEST_E_REFERER:
        case RELAY_REQUEST_E_BODY:
                break;
        }
        return 400;
}

static void refuse(Exchange *x, unsigned status, const char *reason) {
        x->status = status;
        (void) snprintf(x->reason, sizeof(x->reason), "%s", reason);
}

static void read_head(Exchange *x, const char *method) {
        RelayHead head = { .method = method, .target = x->target };
        const char *reason = NULL;
        int r;

        x->head_is_read = true;
        (void) MHD_get_connection_values(x->connection, MHD_HEADER_KIND, on_header, &head);
        if (head.request_id)
                keep_echo(x, head.request_id);

        r = relay_request_parse_head(&head, &x->task.request, &reason);
        x->has_operation = r == 0 || r == RELAY_REQUEST_E_HEADER || r == RELAY_REQUEST_E_CLAIM;
        (void) memcpy(x->task.answer.mailbox, x->task.request.mailbox, RELAY_ID_SIZE);
        if (r == RELAY_REQUEST_E_FRAGMENT || r == RELAY_REQUEST_E_REFERER) {
                x->server->n_violations++;
                x->note = r == RELAY_REQUEST_E_FRAGMENT ? "violation=fragment"
                                                        : "violation=referer";
        }
        if (r != 0)
                refuse(x, head_status(r), reason);
}

static void check_rate(Exchange *x) {
        const union MHD_ConnectionInfo *info;

        if (!x->server->rate_limit)
                return;
        info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        if (!info)
                return;
        x->retry_after = rate_limit_take(x->server->rate_limit, info->client_addr, x->arrived_usec);
        if (x->retry_after > 0)
                refuse(x, 429, "too many requests from this address");
}

static enum MHD_Result respond(Exchange *x, char *body, size_t size, const char *type) {
        struct MHD_Response *response;
        enum MHD_Result r = MHD_YES;

        response = MHD_create_response_from_buffer(size,
                        body ? body : (void *) "",
                        body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
        if (!response) {
                free(body);
                return MHD_NO;
        }
        if (type)
                r = MHD_add_response_header(response, "Content-Type", type);
        if (r == MHD_YES && x->echo[0])
                r = MHD_add_response_header(response, "Mailbox-Request-ID", x->echo);
        if (r == MHD_YES)
                r = MHD_add_response_header(response, "Cache-Control", "no-store");
        if (r == MHD_YES && x->task.answer.is_html) {
                r = MHD_add_response_header(
                                response, "Content-Security-Policy", preview_security_policy());
                if (r == MHD_YES)
                        r = MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
                if (r == MHD_YES)
                        r = MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        }
        if (r == MHD_YES && x->retry_after > 0) {
                char seconds[16];

                (void) snprintf(seconds, sizeof(seconds), "%u", x->retry_after);
                r = MHD_add_response_header(response, "Retry-After", seconds);
        }
        if (r == MHD_YES && x->status == 405)
                r = MHD_add_response_header(
                                response, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE");
        if (r == MHD_YES)
                r = MHD_queue_response(x->connection, x->status, response);
        MHD_destroy_response(response);
        return r;
}

/* Reasons are our own sentences, so nothing in them needs escaping. */
static enum MHD_Result respond_refusal(Exchange *x) {
        char *body = NULL;
        int n;

        n = asprintf(&body, "{\"status\":%u,\"title\":\"%s\"}\n", x->status, x->reason);
        if (n < 0)
                return MHD_NO;
        return respond(x, body, (size_t) n, "application/problem+json");
}

/* Without a batch: nothing was looked up, nothing changed. */
static enum MHD_Result respond_now(Exchange *x) {
        exchange_log(x);
        request_log_flush(x->server->log);
        return respond_refusal(x);
}

static enum MHD_Result respond_answer(Exchange *x) {
        RelayAnswer *answer = &x->task.answer;

        if (x->fault.action == FAULT_DROP)
                return MHD_NO;
        if (x->fault.action == FAULT_MISSING_ECHO)
                x->echo[0] = 0;
        if (x->fault.action == FAULT_WRONG_ECHO)
                (void) strcpy(x->echo, "ffffffff-ffff-4fff-8fff-ffffffffffff");
        if (x->status >= 400)
                return respond_refusal(x);
        return respond(x,
                        TAKE_PTR(answer->body),
                        answer->body_size,
                        !answer->body_size ? NULL
                        : answer->is_html  ? "text/html; charset=utf-8"
                                           : "application/json");
}

static bool declares_too_much(Exchange *x) {
        const char *text = MHD_lookup_connection_value(
                        x->connection, MHD_HEADER_KIND, "Content-Length");

        return text && strtoull(text, NULL, 10) > BODY_SWALLOWED * x->server->body_max;
}

static int keep_body(Exchange *x, const char *data, size_t size) {
        size_t needed = x->body_size + size;

        if (!relay_operation_has_body(x->task.request.operation) || x->status != 0)
                return 0;
        if (needed > x->server->body_max) {
                x->body_is_too_large = true;
                x->body_size = needed;
                return needed > BODY_SWALLOWED * x->server->body_max ? -EMSGSIZE : 0;
        }
        if (needed > x->body_allocated) {
                size_t allocated = x->body_allocated ? x->body_allocated * 2 : BODY_FIRST;
                char *body;

                while (allocated < needed)
                        allocated *= 2;
                body = realloc(x->body, allocated);
                if (!body)
                        return -ENOMEM;
                x->body = body;
                x->body_allocated = allocated;
        }
        (void) memcpy(x->body + x->body_size, data, size);
        x->body_size = needed;
        return 0;
}

/* A bad body is not refused here: whether it counts is decided with the mailbox at hand. */
static int read_body(Exchange *x) {
        const RelayLimits limits = {
                .now = relay_batch_now(),
                .ttl_default = x->server->ttl_default,
                .ttl_max = x->server->ttl_max,
        };
        int r;

        if (x->body_is_too_large) {
                (void) strcpy(x->reason, "the body is larger than this relay allows");
                return 0;
        }
        r = relay_request_parse_body(&x->task.request, x->body, x->body_size, &limits, x->reason);
        return r < 0 ? r : 0;
}

static enum MHD_Result submit(Exchange *x) {
        if (x->server->is_stopping) {
                x->retry_after = 1;
                refuse(x, 503, "this relay is stopping");
                return respond_now(x);
        }
        x->fault = faults_next(x->task.request.operation);
        if (x->fault.action == FAULT_REFUSE) {
                x->retry_after = 1;
                refuse(x, 503, "refused on purpose");
                return respond_now(x);
        }
        if (relay_operation_has_body(x->task.request.operation) && read_body(x) < 0)
                return MHD_NO;
        free(TAKE_PTR(x->body));

        x->is_waiting = true;
        MHD_suspend_connection(x->connection);
        relay_batch_add(x->server->batch, &x->task);
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
        Exchange *x = *closure;

        (void) userdata;
        (void) connection;
        (void) url;
        (void) version;
        if (!x)
                return MHD_NO;
        if (!x->head_is_read) {
                read_head(x, method);
                if (x->status == 0)
                        check_rate(x);
                /* Answering before the body was read makes libmicrohttpd close the connection. */
                if (declares_too_much(x)) {
                        if (x->status == 0)
                                refuse(x, 400, "the body is larger than this relay allows");
                        return respond_now(x);
                }
                return MHD_YES;
        }
        if (*size > 0) {
                if (keep_body(x, data, *size) < 0)
                        return MHD_NO;
                *size = 0;
                return MHD_YES;
        }
        if (x->is_waiting)
                return respond_answer(x);
        return x->status != 0 ? respond_now(x) : submit(x);
}

static const char *refusal_text(unsigned status) {
        switch (status) {
        case 401:
                return "this claim may not do this";
        case 403:
                return "the mailbox was made without this right";
        case 404:
                return "no such mailbox";
        case 503:
                return "nothing was stored, please try again";
        default:
                return "refused";
        }
}

static void finish(Exchange *x, int error) {
        RelayAnswer *answer = &x->task.answer;

        x->status = error ? 503 : answer->status;
        if (error) {
                x->retry_after = 1;
                (void) memcpy(answer->mailbox, x->task.request.mailbox, RELAY_ID_SIZE);
        }
        if (x->status >= 400 && x->status != 400)
                refuse(x, x->status, refusal_text(x->status));
        if (answer->push != RELAY_PUSH_NONE) {
                (void) snprintf(x->note_text,
                                sizeof(x->note_text),
                                "push=%s token=%016llx",
                                answer->push == RELAY_PUSH_INITIATOR ? "initiator" : "recipient",
                                (unsigned long long) answer->push_token);
                x->note = x->note_text;
        } else if (x->fault.action == FAULT_DROP)
                x->note = "fault=dropped";
        exchange_log(x);
}

static void release_delayed(Exchange *x) {
        for (Exchange **p = &x->server->delayed; *p; p = &(*p)->next_delayed)
                if (*p == x) {
                        *p = x->next_delayed;
                        break;
                }
        MHD_resume_connection(x->connection);
}

static int on_delay(sd_event_source *source, uint64_t usec, void *userdata) {
        Exchange *x = userdata;
        HttpServer *server = x->server;

        (void) source;
        (void) usec;
        release_delayed(x);
        server_run(server);
        return 0;
}

static bool hold_back(Exchange *x) {
        HttpServer *server = x->server;

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

static void on_batch_done(RelayTask *tasks, int error, void *userdata) {
        HttpServer *server = userdata;

        for (RelayTask *t = tasks; t; t = t->next)
                finish((Exchange *) t, error);
        request_log_flush(server->log);

        for (RelayTask *t = tasks, *next; t; t = next) {
                Exchange *x = (Exchange *) t;

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
        request_log_flush(server->log);
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
                        NULL,
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
                MailboxStore *store,
                RequestLog *log) {
        _cleanup_(http_server_freep) HttpServer *server = calloc(1, sizeof(*server));
        int r;

        if (!server) {
                (void) close(options->listen_fd);
                return -ENOMEM;
        }
        server->event = sd_event_ref(event);
        server->log = log;
        server->rate_limit = options->rate_limit;
        server->body_max = options->body_max;
        server->ttl_default = options->ttl_default;
        server->ttl_max = options->ttl_max;

        r = relay_batch_new(&server->batch, event, store, options->policy, on_batch_done, server);
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
        return server->n_violations;
}
