#include "http-listen.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "http-loop.h"
#include "listen-socket.h"
#include "log.h"

typedef struct Connection Connection;

struct HttpListen {
        HttpLoop loop;
        const HttpListenOps *ops;
        HttpListenLimits limits;
        void *userdata;
        struct MHD_Daemon *daemon; /* the loop's */
        bool ending;
};

struct Connection {
        HttpPlace place;
        HttpListen *listen;
        HttpCall *call;
};

struct HttpCall {
        Connection *connection;
        struct MHD_Connection *http;
        HttpCallView view;
        char *uri;
        HttpBody body;
        unsigned n_lengths; /* fields that tell the body's length */
        bool is_ambiguous;  /* a proxy in front of us may have read another request */
        bool too_large, started, handed_over, answered, suspended;
        unsigned status;
        struct MHD_Response *response;
        void *userdata;
};

static void call_give_up(HttpCall *call) {
        HttpListen *l = call->connection->listen;

        l->ops->gone(call, l->userdata);
        http_call_answer(call, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, NULL);
}

static bool call_waits(const HttpCall *call) {
        return call && call->handed_over && !call->answered;
}

static bool on_late(HttpPlace *place) {
        const Connection *c = (const Connection *) place;

        if (!call_waits(c->call))
                return false;
        call_give_up(c->call);
        return true;
}

static void connection_begin(HttpListen *l, struct MHD_Connection *http, void **context) {
        Connection *c = calloc(1, sizeof(*c));

        if (!c)
                return; /* its requests find no context and are refused */
        c->listen = l;
        http_loop_enter(&l->loop, &c->place, http, l->limits.request_seconds);
        *context = c;
}

static void call_free(HttpCall *call) {
        if (call->response)
                MHD_destroy_response(call->response);
        http_body_done(&call->body);
        /* Nothing is cut off with a NUL but the query. */
        sodium_memzero(call->uri, strlen(call->uri));
        if (*call->view.query)
                sodium_memzero((char *) call->view.query, strlen(call->view.query));
        free(call->uri);
        free(call);
}

static void connection_end(Connection *c) {
        /* A request that it refused before we were asked about it is never said to be completed. */
        if (c->call)
                call_free(c->call);
        http_loop_leave(&c->listen->loop, &c->place);
        free(c);
}

static void on_connection(void *userdata,
                struct MHD_Connection *http,
                void **context,
                enum MHD_ConnectionNotificationCode code) {
        if (code == MHD_CONNECTION_NOTIFY_STARTED)
                connection_begin(userdata, http, context);
        else if (*context) {
                connection_end(*context);
                *context = NULL;
        }
}

/* The request line is there. What it returns is given to the other callbacks. */
static void *on_uri(void *userdata, const char *uri, struct MHD_Connection *http) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(http, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        Connection *c = info ? info->socket_context : NULL;
        HttpCall *call;
        char *question;

        (void) userdata;
        call = c ? calloc(1, sizeof(*call)) : NULL;
        if (!call)
                return NULL;
        call->uri = strdup(uri);
        if (!call->uri) {
                free(call);
                return NULL;
        }
        question = strchr(call->uri, '?');
        if (question)
                *question = 0;
        call->view.path = call->uri;
        call->view.query = question ? question + 1 : "";
        call->connection = c;
        call->http = http;
        c->call = call;
        http_place_give(&c->place, c->listen->limits.request_seconds);
        return call;
}

static void on_completed(void *userdata,
                struct MHD_Connection *http,
                void **context,
                enum MHD_RequestTerminationCode code) {
        HttpCall *call = *context;

        (void) userdata;
        (void) http;
        (void) code;
        if (!call)
                return;
        call->connection->call = NULL;
        http_place_give(&call->connection->place, HTTP_LOOP_IDLE_SECONDS);
        call_free(call);
        *context = NULL;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(const char *text, size_t size) {
        static const char symbols[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789!#$%&'*+-.^_`|~";

        return size > 0 && strspn(text, symbols) == size;
}

static bool is_value(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if ((unsigned char) text[i] < ' ' && text[i] != '\t')
                        return false;
        return true;
}

static bool is_number(const char *text) {
        return text[0] && text[strspn(text, "0123456789")] == '\0';
}

/* RFC 9112 section 6.3: what would let a proxy in front of us see another end of this request than
 * we do, and so another request behind it. */
static enum MHD_Result on_header(void *userdata,
                enum MHD_ValueKind kind,
                const char *name,
                size_t name_size,
                const char *value,
                size_t value_size) {
        HttpCall *call = userdata;
        const HttpListen *l = call->connection->listen;

        (void) kind;
        if (!value)
                value = "";
        if (!is_token(name, name_size) || !is_value(value, value_size))
                call->is_ambiguous = true;
        if (strcasecmp(name, "Content-Length") == 0) {
                call->n_lengths++;
                if (!is_number(value))
                        call->is_ambiguous = true;
                call->too_large = strtoull(value, NULL, 10) > l->limits.body_max;
        } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
                call->n_lengths++;
                if (strcasecmp(value, "chunked") != 0)
                        call->is_ambiguous = true;
        }
        return MHD_YES;
}

static void head_read(HttpCall *call, const char *method) {
        call->view.method = method;
        (void) MHD_get_connection_values_n(call->http, MHD_HEADER_KIND, on_header, call);
        call->is_ambiguous = call->is_ambiguous || call->n_lengths > 1;
        call->started = true;
}

static enum MHD_Result body_append(HttpCall *call, const char *data, size_t size) {
        size_t max = call->connection->listen->limits.body_max;
        bool goes_on = http_body_add(&call->body, data, size, call->too_large ? 0 : max);

        call->too_large = call->too_large || call->body.size > max;
        return goes_on ? MHD_YES : MHD_NO;
}

static enum MHD_Result response_queue(HttpCall *call) {
        if (!call->response)
                return MHD_NO;
        call->connection->place.deadline = 0; /* from here on libmicrohttpd's own timeout watches */
        return MHD_queue_response(call->http, call->status, call->response);
}

/* The whole request is there. */
static void call_hand_over(HttpCall *call) {
        HttpListen *l = call->connection->listen;

        if (l->ending) {
                http_call_answer(call, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, NULL);
                return;
        }
        if (call->too_large) {
                http_call_answer(call, MHD_HTTP_CONTENT_TOO_LARGE, NULL, NULL);
                return;
        }
        http_place_give(&call->connection->place, l->limits.answer_seconds);
        call->view.body = call->body.data ? (const char *) call->body.data : "";
        call->view.body_size = call->body.size;
        call->handed_over = true;
        l->ops->call(call, &call->view, l->userdata);
}

static enum MHD_Result on_access(void *userdata,
                struct MHD_Connection *http,
                const char *url,
                const char *method,
                const char *version,
                const char *data,
                size_t *size,
                void **context) {
        HttpCall *call = *context;

        (void) userdata;
        (void) url;
        (void) version;
        if (!call)
                return MHD_NO;
        if (call->answered)
                return response_queue(call);
        if (!call->started) {
                head_read(call, method);
                if (!call->is_ambiguous)
                        return MHD_YES;
                http_call_answer(call, MHD_HTTP_BAD_REQUEST, NULL, NULL);
                return response_queue(call);
        }
        if (*size > 0) {
                enum MHD_Result result = body_append(call, data, *size);

                *size = 0;
                return result;
        }

        call_hand_over(call);
        if (call->answered)
                return response_queue(call);
        call->suspended = true;
        MHD_suspend_connection(http);
        return MHD_YES;
}

void http_call_set_userdata(HttpCall *call, void *userdata) {
        call->userdata = userdata;
}

void *http_call_userdata(const HttpCall *call) {
        return call->userdata;
}

typedef struct HeaderSearch {
        const char *name, *value;
        unsigned n;
} HeaderSearch;

static enum MHD_Result on_header_searched(
                void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        HeaderSearch *search = userdata;

        (void) kind;
        if (strcasecmp(name, search->name) == 0) {
                search->value = value ? value : "";
                search->n++;
        }
        return MHD_YES;
}

const char *http_call_header(const HttpCall *call, const char *name) {
        HeaderSearch search = { .name = name };

        (void) MHD_get_connection_values(call->http, MHD_HEADER_KIND, on_header_searched, &search);
        return search.n == 1 ? search.value : NULL;
}

void http_call_answer(HttpCall *call, unsigned status, const char *content_type, const char *text) {
        /* Without memory for a response the connection is closed, which is an answer too. */
        call->response = MHD_create_response_from_buffer(
                        text ? strlen(text) : 0, (void *) text, MHD_RESPMEM_MUST_COPY);
        if (call->response) {
                if (content_type)
                        (void) MHD_add_response_header(
                                        call->response, "Content-Type", content_type);
                (void) MHD_add_response_header(call->response, "Cache-Control", "no-store");
                if (call->is_ambiguous)
                        (void) MHD_add_response_header(call->response, "Connection", "close");
        }
        call->status = status;
        call->answered = true;
        if (call->suspended) {
                call->suspended = false;
                MHD_resume_connection(call->http);
                http_loop_run_soon(&call->connection->listen->loop);
        }
}

static struct MHD_Daemon *daemon_start(HttpListen *l, int fd) {
        return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME,
                        0,
                        NULL,
                        NULL,
                        on_access,
                        l,
                        MHD_OPTION_LISTEN_SOCKET,
                        fd,
                        MHD_OPTION_CONNECTION_LIMIT,
                        l->limits.connections,
                        MHD_OPTION_CONNECTION_TIMEOUT,
                        (unsigned) HTTP_LOOP_IDLE_SECONDS,
                        MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                        (size_t) HTTP_LISTEN_HEADER_MAX,
                        MHD_OPTION_STRICT_FOR_CLIENT,
                        1,
                        MHD_OPTION_NOTIFY_CONNECTION,
                        on_connection,
                        l,
                        MHD_OPTION_NOTIFY_COMPLETED,
                        on_completed,
                        NULL,
                        MHD_OPTION_URI_LOG_CALLBACK,
                        on_uri,
                        NULL,
                        MHD_OPTION_END);
}

static int listen_start(HttpListen *l, const char *address) {
        _cleanup_(closep) int fd = -1;
        int r;

        r = listen_socket_open(address, &fd);
        if (r < 0)
                return r;
        if (!listen_socket_is_local(fd))
                log_warning("%s can be reached from other machines, and nothing is encrypted there",
                                address);
        l->daemon = daemon_start(l, fd);
        if (!l->daemon)
                return -ENOMEM;
        fd = -1; /* the daemon's */
        return http_loop_add(&l->loop, l->daemon);
}

int http_listen_new(HttpListen **ret,
                sd_event *event,
                const char *address,
                const HttpListenOps *ops,
                const HttpListenLimits *limits,
                void *userdata) {
        _cleanup_(http_listen_freep) HttpListen *l = calloc(1, sizeof(*l));
        int r;

        assert(limits->connections > 0 && limits->request_seconds > 0 &&
                        limits->answer_seconds > 0);
        if (!l)
                return -ENOMEM;
        l->ops = ops;
        l->limits = *limits;
        l->userdata = userdata;
        r = http_loop_init(&l->loop, event, on_late);
        if (r < 0)
                return r;
        r = listen_start(l, address);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

/* What comes in meanwhile is answered in call_hand_over(). */
static void give_all_up(HttpListen *l) {
        _cleanup_(closep) int fd = MHD_quiesce_daemon(l->daemon);

        (void) fd;
        for (HttpPlace *place = l->loop.places; place; place = place->next)
                (void) on_late(place);
}

HttpListen *http_listen_free(HttpListen *l) {
        if (!l)
                return NULL;

        l->ending = true;
        if (l->daemon)
                give_all_up(l);
        http_loop_done(&l->loop);
        free(l);
        return NULL;
}
