#include "api-http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "api-request.h"
#include "http-loop.h"
#include "json-quick.h"
#include "json-wipe.h"
#include "log.h"

enum {
        HEADER_SECONDS = 10,
        BODY_SECONDS = 30,
        UNSENT_SECONDS = 60,           /* until a peer that acknowledges nothing is given up */
        STREAM_BLOCK = 4096,           /* of a stream to an HTTP/1.0 client */
        STREAM_UNSENT = 64 * 1024,     /* that the kernel keeps for a slow client; it doubles it */
        CONNECTION_MEMORY = 24 * 1024, /* header fields of the request and of the answer */
        HEADERS_MAX = 4,
};

static const char tls_priorities[] =
                "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE";

struct ApiServer {
        HttpLoop loop;
        const ApiServerOps *ops;
        ApiServerLimits limits;
        void *userdata;
};

/* One per TCP or Unix connection. */
typedef struct ApiConnection {
        HttpPlace place;
        ApiServer *server;
        struct ApiRequest *request;
        bool peer_known;
        struct ucred peer;
        gid_t *groups; /* the peer's */
        size_t n_groups;
} ApiConnection;

typedef struct ApiHeader {
        const char *name;
        char *value;
} ApiHeader;

struct ApiRequest {
        ApiConnection *connection;
        struct MHD_Connection *http;
        ApiRequestView view;
        char *uri;
        HttpBody body;
        unsigned n_lengths; /* fields that tell the body's length */
        bool started, handed_over, suspended;
        unsigned status;
        struct MHD_Response *response;
        ApiHeader headers[HEADERS_MAX];
        size_t n_headers;
        sd_event_source *watch;
        void *userdata;

        /* An answer that goes on: the piece that is being written. */
        bool streaming, paused, hungry, ended;
        char *piece;
        size_t piece_size, piece_written;
};

static void request_free(ApiRequest *request) {
        if (request->response)
                MHD_destroy_response(request->response);
        for (size_t i = 0; i < request->n_headers; i++)
                free(request->headers[i].value);
        http_body_done(&request->body);
        free(request->uri);
        free(request->piece);
        (void) sd_event_source_disable_unref(request->watch);
        free(request);
}

static void request_let_go(ApiRequest *request) {
        if (request->handed_over) {
                request->handed_over = false;
                request->connection->server->ops->gone(
                                request, request->connection->server->userdata);
        }
}

/* The kernel's word, from when the peer connected; a list that is too long to pass on is no list.
 */
static void peer_groups(ApiConnection *c) {
        gid_t groups[API_PEER_GROUPS_MAX];
        socklen_t size = sizeof(groups);

        if (getsockopt(c->place.fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0 || size == 0)
                return;
        c->groups = malloc(size);
        if (!c->groups)
                return;
        memcpy(c->groups, groups, size);
        c->n_groups = size / sizeof(gid_t);
}

/* TCP sockets answer with pid 0 and the overflow ids. */
static void peer_read(ApiConnection *c) {
        socklen_t size = sizeof(c->peer);

        c->peer_known = getsockopt(c->place.fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &size) == 0 &&
                        c->peer.pid > 0;
        if (c->peer_known)
                peer_groups(c);
}

static void connection_begin(ApiServer *s, struct MHD_Connection *http, void **context) {
        ApiConnection *c = calloc(1, sizeof(*c));

        if (!c)
                return; /* its requests find no context and are refused */
        c->server = s;
        http_loop_enter(&s->loop, &c->place, http, HEADER_SECONDS);
        peer_read(c);
        *context = c;
}

static void connection_end(ApiConnection *c) {
        /* A request that libmicrohttpd refused by itself, for its arguments perhaps, is never said
         * to be completed. */
        if (c->request) {
                request_let_go(c->request);
                request_free(c->request);
        }
        http_loop_leave(&c->server->loop, &c->place);
        free(c->groups);
        free(c);
}

static void on_connection(void *userdata,
                struct MHD_Connection *http,
                void **context,
                enum MHD_ConnectionNotificationCode code) {
        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                connection_begin(userdata, http, context);
        } else if (*context) {
                connection_end(*context);
                *context = NULL;
        }
}

/* The request line is there: a request begins. What it returns is given to the other callbacks. */
static void *on_uri(void *userdata, const char *uri, struct MHD_Connection *http) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(http, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        ApiConnection *c = info ? info->socket_context : NULL;
        ApiRequest *request;
        char *question;

        (void) userdata;
        if (!c)
                return NULL;
        request = calloc(1, sizeof(*request));
        if (!request)
                return NULL;
        request->uri = strdup(uri);
        if (!request->uri) {
                free(request);
                return NULL;
        }
        request->connection = c;
        request->http = http;
        question = strchr(request->uri, '?');
        if (question)
                *question = 0;
        request->view.path = request->uri;
        request->view.query = question ? question + 1 : "";
        c->request = request;
        http_place_give(&c->place, HEADER_SECONDS);
        return request;
}

static void on_completed(void *userdata,
                struct MHD_Connection *http,
                void **context,
                enum MHD_RequestTerminationCode code) {
        ApiRequest *request = *context;

        (void) userdata;
        (void) http;
        (void) code;
        if (!request)
                return;
        request_let_go(request);
        request->connection->request = NULL;
        http_place_give(&request->connection->place, HTTP_LOOP_IDLE_SECONDS);
        request_free(request);
        *context = NULL;
}

/* Collects the few header fields that matter. Two of one of them, or two ways to tell the body's
 * length, would let a proxy in front of us read another request than we do. */
static enum MHD_Result on_header(
                void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        ApiRequest *request = userdata;
        ApiRequestView *view = &request->view;
        const struct {
                const char *name;
                const char **field;
        } wanted[] = {
                { "Authorization", &view->authorization },
                { "Content-Type", &view->content_type },
                { "Idempotency-Key", &view->idempotency_key },
                { "If-None-Match", &view->if_none_match },
                { "Last-Event-ID", &view->last_event_id },
        };

        (void) kind;
        for (size_t i = 0; i < N_ELEMENTS(wanted); i++) {
                if (strcasecmp(name, wanted[i].name) != 0)
                        continue;
                if (*wanted[i].field)
                        view->repeated = true;
                *wanted[i].field = value ? value : "";
        }
        if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0) {
                if (request->n_lengths++ > 0)
                        view->repeated = true;
                if (name[0] == 'C' || name[0] == 'c')
                        view->too_large = value && strtoull(value, NULL, 10) > API_BODY_MAX;
        }
        return MHD_YES;
}

static void head_read(ApiRequest *request, const char *method) {
        ApiConnection *c = request->connection;

        request->view.method = method;
        (void) MHD_get_connection_values(request->http, MHD_HEADER_KIND, on_header, request);
        request->started = true;
        request->view.peer_known = c->peer_known;
        request->view.uid = c->peer.uid;
        request->view.gid = c->peer.gid;
        request->view.pid = c->peer.pid;
        request->view.groups = c->groups;
        request->view.n_groups = c->n_groups;
        http_place_give(&c->place, BODY_SECONDS);
}

static enum MHD_Result body_append(ApiRequest *request, const char *data, size_t size) {
        size_t max = request->view.too_large ? 0 : API_BODY_MAX;
        bool goes_on = http_body_add(&request->body, data, size, max);

        request->view.too_large = request->view.too_large || request->body.size > API_BODY_MAX;
        return goes_on ? MHD_YES : MHD_NO;
}

static enum MHD_Result response_queue(ApiRequest *request) {
        request->connection->place.deadline =
                        0; /* from here on libmicrohttpd's own timeout watches */
        return MHD_queue_response(request->http, request->status, request->response);
}

static enum MHD_Result on_access(void *userdata,
                struct MHD_Connection *http,
                const char *url,
                const char *method,
                const char *version,
                const char *data,
                size_t *size,
                void **context) {
        ApiRequest *request = *context;
        ApiServer *s;

        (void) userdata;
        (void) url;
        (void) version;
        if (!request || !request->connection)
                return MHD_NO;
        if (request->response)
                return response_queue(request);
        if (request->suspended) /* resumed without an answer: the client is gone */
                return MHD_NO;
        if (!request->started) {
                head_read(request, method);
                return MHD_YES;
        }
        if (*size > 0) {
                enum MHD_Result result = body_append(request, data, *size);

                *size = 0;
                return result;
        }

        s = request->connection->server;
        request->connection->place.deadline = 0;
        request->view.body = request->body.data;
        request->view.body_size = request->view.too_large ? 0 : request->body.size;
        request->handed_over = true;
        s->ops->request(request, &request->view, s->userdata);
        if (request->response)
                return response_queue(request);
        request->suspended = true;
        MHD_suspend_connection(http);
        return MHD_YES;
}

static void connection_resume(ApiRequest *request) {
        (void) sd_event_source_disable_unref(request->watch);
        request->watch = NULL;
        MHD_resume_connection(request->http);
        http_loop_run_soon(&request->connection->server->loop);
}

static void request_resume(ApiRequest *request) {
        if (request->suspended)
                connection_resume(request);
}

static void stream_resume(ApiRequest *request) {
        if (request->paused) {
                request->paused = false;
                connection_resume(request);
        }
}

static int on_watch(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        ApiRequest *request = userdata;

        (void) source;
        (void) fd;
        (void) revents;
        request_let_go(request);
        if (request->streaming) {
                request->ended = true;
                stream_resume(request);
        } else
                request_resume(request);
        return 0;
}

void api_request_watch(ApiRequest *request) {
        ApiConnection *c = request->connection;

        /* libmicrohttpd does not look at a suspended connection. */
        if (sd_event_add_io(c->server->loop.event,
                            &request->watch,
                            c->place.fd,
                            EPOLLRDHUP,
                            on_watch,
                            request) < 0)
                request->watch = NULL;
}

void api_request_set_userdata(ApiRequest *request, void *userdata) {
        request->userdata = userdata;
}

void *api_request_userdata(const ApiRequest *request) {
        return request->userdata;
}

bool api_request_has_version(const ApiRequest *request, int64_t version) {
        char tag[32];

        if (!request->view.if_none_match || streq(request->view.method, "POST"))
                return false;
        (void) snprintf(tag, sizeof(tag), "\"%lld\"", (long long) version);
        return strstr(request->view.if_none_match, tag) != NULL;
}

void api_request_add_header(ApiRequest *request, const char *name, const char *value) {
        char *copy = request->n_headers < HEADERS_MAX ? strdup(value) : NULL;

        if (copy)
                request->headers[request->n_headers++] = (ApiHeader){ name, copy };
}

static void response_prepare(ApiRequest *request,
                unsigned status,
                const char *content_type,
                struct MHD_Response *response) {
        if (content_type)
                (void) MHD_add_response_header(response, "Content-Type", content_type);
        (void) MHD_add_response_header(response, "Cache-Control", "no-store");
        (void) MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        for (size_t i = 0; i < request->n_headers; i++)
                (void) MHD_add_response_header(
                                response, request->headers[i].name, request->headers[i].value);
        request->status = status;
        request->response = response;
}

static void request_answer(
                ApiRequest *request, unsigned status, const char *content_type, char *text) {
        size_t size = text ? strlen(text) : 0;
        struct MHD_Response *response;

        response = text ? MHD_create_response_from_buffer_with_free_callback(
                                          size, text, json_wipe_free)
                        : MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
        if (!response) {
                json_wipe_free(text);
                request_let_go(request);
                request_resume(request);
                return;
        }
        response_prepare(request, status, content_type, response);
        request_let_go(request);
        request_resume(request);
}

/* libmicrohttpd asks for more: its own buffer, and with it what was given before, is with the
 * kernel. With nothing to give, the connection sleeps until there is. */
static ssize_t on_stream(void *userdata, uint64_t position, char *buffer, size_t size) {
        ApiRequest *request = userdata;
        const ApiServer *s = request->connection->server;
        size_t left;

        (void) position;
        if (request->piece_written == request->piece_size && !request->ended && !request->hungry) {
                free(request->piece);
                request->piece = NULL;
                request->piece_size = request->piece_written = 0;
                request->hungry = true;
                s->ops->drained(request, s->userdata);
        }
        left = request->piece_size - request->piece_written;
        if (left > 0) {
                if (left > size)
                        left = size;
                memcpy(buffer, request->piece + request->piece_written, left);
                request->piece_written += left;
                return (ssize_t) left;
        }
        if (request->ended)
                return MHD_CONTENT_READER_END_OF_STREAM;
        request->paused = true;
        MHD_suspend_connection(request->http);
        api_request_watch(request);
        return 0;
}

/* What is on its way to a network that is gone would else hold a stream for a quarter of an hour,
 * and what a slow client does not read would grow to megabytes in the kernel. */
static void limit_unsent(int fd) {
        unsigned milliseconds = UNSENT_SECONDS * 1000;
        int size = STREAM_UNSENT;

        (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        /* A Unix socket has no such option, and needs none. */
        (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds));
}

int api_request_stream(ApiRequest *request, const char *content_type) {
        struct MHD_Response *response = MHD_create_response_from_callback(
                        MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_stream, request, NULL);

        if (!response) {
                request_let_go(request);
                request_resume(request);
                return -ENOMEM;
        }
        limit_unsent(request->connection->place.fd);
        request->streaming = request->hungry = true;
        response_prepare(request, 200, content_type, response);
        request_resume(request);
        return 0;
}

void api_request_stream_write(ApiRequest *request, char *text) {
        request->piece = text;
        request->piece_size = strlen(text);
        request->piece_written = 0;
        request->hungry = false;
        stream_resume(request);
}

void api_request_stream_end(ApiRequest *request) {
        request->ended = true;
        request_let_go(request);
        stream_resume(request);
}

void api_request_answer_json(
                ApiRequest *request, unsigned status, const char *content_type, json_t *body) {
        json_auto_t *owned = body;
        char *text = json_quick_text(owned);

        request_answer(request, text ? status : 500, text ? content_type : NULL, text);
}

void api_request_answer_text(
                ApiRequest *request, unsigned status, const char *content_type, const char *text) {
        char *copy = NULL;

        if (text) {
                json_malloc_t allocate;

                json_get_alloc_funcs(&allocate, NULL);
                copy = allocate(strlen(text) + 1);
                if (copy)
                        memcpy(copy, text, strlen(text) + 1);
        }
        request_answer(request, status, content_type, copy);
}

int api_server_new(ApiServer **ret,
                sd_event *event,
                const ApiServerOps *ops,
                const ApiServerLimits *limits,
                void *userdata) {
        _cleanup_(api_server_freep) ApiServer *s = NULL;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->ops = ops;
        s->limits = *limits;
        s->userdata = userdata;
        r = http_loop_init(&s->loop, event, NULL);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

static struct MHD_Daemon *daemon_start(
                ApiServer *s, int fd, const Secret *certificate, const Secret *key) {
        bool tls = certificate && key;
        struct MHD_OptionItem options[] = {
                { MHD_OPTION_LISTEN_SOCKET, fd, NULL },
                { MHD_OPTION_CONNECTION_LIMIT, (intptr_t) s->limits.connections, NULL },
                { MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                                (intptr_t) s->limits.connections_per_address,
                                NULL },
                { MHD_OPTION_CONNECTION_TIMEOUT, HTTP_LOOP_IDLE_SECONDS, NULL },
                { MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL },
                { MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL },
                { MHD_OPTION_NOTIFY_CONNECTION, (intptr_t) on_connection, s },
                { MHD_OPTION_NOTIFY_COMPLETED, (intptr_t) on_completed, NULL },
                { MHD_OPTION_URI_LOG_CALLBACK, (intptr_t) on_uri, NULL },
                { tls ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END,
                                0,
                                tls ? certificate->data : NULL },
                { MHD_OPTION_HTTPS_MEM_KEY, 0, tls ? key->data : NULL },
                { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) tls_priorities },
                { MHD_OPTION_END, 0, NULL },
        };

        return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (tls ? MHD_USE_TLS : 0),
                        0,
                        NULL,
                        NULL,
                        on_access,
                        NULL,
                        MHD_OPTION_ARRAY,
                        options,
                        MHD_OPTION_END);
}

int api_server_add(ApiServer *s, int fd, const Secret *certificate, const Secret *key) {
        struct MHD_Daemon *daemon;

        if (s->loop.n_daemons == HTTP_LOOP_DAEMONS_MAX)
                return -E2BIG;
        daemon = daemon_start(s, fd, certificate, key);
        return daemon ? http_loop_add(&s->loop, daemon) : -EINVAL;
}

static bool waits(const ApiRequest *request) {
        return request->streaming || (request->suspended && !request->response);
}

ApiServer *api_server_free(ApiServer *s) {
        if (!s)
                return NULL;

        for (HttpPlace *place = s->loop.places; place; place = place->next) {
                ApiRequest *request = ((ApiConnection *) place)->request;

                if (request && waits(request))
                        on_watch(NULL, place->fd, 0, request);
        }
        http_loop_done(&s->loop);
        free(s);
        return NULL;
}
