#include "curl-glue.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "http-reader.h"
#include "public-address.h"
#include "time-text.h"

/* Who has waited until less than this is left is not sent at all: the answer would come too late.
 */
#define TIME_LEFT_MIN USEC_PER_SEC

enum {
        READ_SIZE = 16 * 1024, /* a TLS record's most */
};

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

typedef struct Host Host;

typedef struct Transfer Transfer;
struct Transfer {
        Host *host;
        Transfer *next, *previous; /* in its host's waiting or the client's running list */
        char *out;                 /* the whole request */
        size_t out_size, sent;
        bool is_head, retried;
        uint64_t queued, deadline; /* of time_boot() */
        HttpDone done;
        void *userdata;
};

typedef struct TransferList {
        Transfer *first, *last;
        size_t n;
} TransferList;

typedef struct Connection Connection;
struct Connection {
        Host *host;
        Connection *next; /* of its host's, all or those that are idle */
        Connection *next_idle;
        CURL *easy;
        sd_event_source *io; /* NULL while it connects */
        Transfer *transfer;  /* NULL while it connects or is idle */
        HttpReader reader;
        uint64_t n_answers, idle_since;
        bool is_blocked;              /* the request does not fit into the socket */
        bool met_private, met_public; /* addresses, where only public ones are asked */
};

/* One "HOST[:PORT]" as one party asks it; gone when it has neither connections nor requests. */
struct Host {
        HttpClient *client;
        Host *next;
        char *authority, *party;
        TransferList waiting;
        Connection *connections, *idle;
        size_t n_connections, n_connecting;
};

struct HttpClient {
        sd_event *event;
        CURLM *multi;
        sd_event_source *curl_timer, *timer, *serve;
        uint64_t timer_due; /* 0: the timer is off */
        char *ca_file, *pinned_keys, *user_agent;
        size_t answer_max;
        bool public_only, wipe_answers;
        Host *hosts;
        TransferList running; /* oldest deadline first, but for those that were sent twice */
        size_t n_connections;
        char scratch[READ_SIZE];
};

static void list_append(TransferList *list, Transfer *t) {
        t->previous = list->last;
        t->next = NULL;
        if (list->last)
                list->last->next = t;
        else
                list->first = t;
        list->last = t;
        list->n++;
}

static void list_prepend(TransferList *list, Transfer *t) {
        t->previous = NULL;
        t->next = list->first;
        if (list->first)
                list->first->previous = t;
        else
                list->last = t;
        list->first = t;
        list->n++;
}

static void list_remove(TransferList *list, Transfer *t) {
        if (t->previous)
                t->previous->next = t->next;
        else
                list->first = t->next;
        if (t->next)
                t->next->previous = t->previous;
        else
                list->last = t->previous;
        list->n--;
}

static Transfer *transfer_free(Transfer *t) {
        if (!t)
                return NULL;
        if (t->out) {
                sodium_memzero(t->out, t->out_size);
                free(t->out);
        }
        free(t);
        return NULL;
}
DEFINE_CLEANUP(Transfer, transfer_free)

static void transfer_fail(Transfer *t, const char *failure) {
        t->done(&(HttpAnswer){ .failure = failure }, t->userdata);
        (void) transfer_free(t);
}

/* --- the request as text --- */

/* 0: ret and ret_size are the authority, *ret_path what follows, without a fragment. */
static int url_split(const char *url,
                const char **ret,
                size_t *ret_size,
                const char **ret_path,
                size_t *ret_path_size) {
        static const char scheme[] = "https://";
        const char *path;
        size_t n;

        if (strncasecmp(url, scheme, sizeof(scheme) - 1) != 0)
                return -EINVAL;
        url += sizeof(scheme) - 1;
        n = strspn(url, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]");
        path = url + n;
        if (n == 0 || (*path && *path != '/' && *path != '?' && *path != '#'))
                return -EINVAL;
        *ret = url;
        *ret_size = n;
        *ret_path = path;
        *ret_path_size = strcspn(path, "#");
        for (size_t i = 0; i < *ret_path_size; i++)
                if (path[i] <= ' ' || path[i] >= 0x7f)
                        return -EINVAL;
        return 0;
}

static bool wants_length(const HttpRequest *request) {
        return request->body || strcmp(request->method, "POST") == 0 ||
               strcmp(request->method, "PUT") == 0;
}

static char *put(char *p, const char *text, size_t size) {
        return mempcpy(p, text, size);
}

static char *put_text(char *p, const char *text) {
        return put(p, text, strlen(text));
}

static int write_request(const HttpClient *c,
                const HttpRequest *request,
                const char *authority,
                const char *path,
                size_t path_size,
                Transfer *t) {
        bool has_slash = path_size > 0 && path[0] == '/';
        size_t size = strlen(request->method) + strlen(authority) + path_size +
                      strlen(c->user_agent) + request->body_size + 160;
        char *p;

        for (size_t i = 0; i < request->n_headers; i++) {
                if (strpbrk(request->headers[i], "\r\n"))
                        return -EINVAL;
                size += strlen(request->headers[i]) + 2;
        }
        p = t->out = malloc(size);
        if (!p)
                return -ENOMEM;
        p = put_text(p, request->method);
        p = put_text(p, has_slash ? " " : " /");
        p = put(p, path, path_size);
        p = put_text(p, " HTTP/1.1\r\nHost: ");
        p = put_text(p, authority);
        p = put_text(p, "\r\nUser-Agent: ");
        p = put_text(p, c->user_agent);
        p = put_text(p, "\r\nAccept: application/json\r\n");
        for (size_t i = 0; i < request->n_headers; i++)
                p = put_text(put_text(p, request->headers[i]), "\r\n");
        if (wants_length(request))
                p += sprintf(p, "Content-Length: %zu\r\n", request->body_size);
        p = put_text(p, "\r\n");
        if (request->body)
                p = put(p, request->body, request->body_size);
        t->out_size = (size_t) (p - t->out);
        t->is_head = strcmp(request->method, "HEAD") == 0;
        return 0;
}

/* --- hosts and their connections --- */

static void host_release(Host *host) {
        free(host->authority);
        free(host->party);
        free(host);
}

static int host_get(
                HttpClient *c, const char *authority, size_t size, const char *party, Host **ret) {
        Host *host;

        if (!party)
                party = "";
        for (host = c->hosts; host; host = host->next)
                if (strncmp(host->authority, authority, size) == 0 && host->authority[size] == 0 &&
                                streq(host->party, party)) {
                        *ret = host;
                        return 0;
                }
        host = calloc(1, sizeof(*host));
        if (!host)
                return -ENOMEM;
        host->client = c;
        host->authority = strndup(authority, size);
        host->party = strdup(party);
        if (!host->authority || !host->party) {
                host_release(host);
                return -ENOMEM;
        }
        host->next = c->hosts;
        c->hosts = host;
        *ret = host;
        return 0;
}

static void host_free(Host *host) {
        for (Host **p = &host->client->hosts; *p; p = &(*p)->next)
                if (*p == host) {
                        *p = host->next;
                        break;
                }
        host_release(host);
}

static void connection_close(Connection *connection) {
        Host *host = connection->host;
        HttpClient *c = host->client;

        for (Connection **p = &host->connections; *p; p = &(*p)->next)
                if (*p == connection) {
                        *p = connection->next;
                        break;
                }
        for (Connection **p = &host->idle; *p; p = &(*p)->next_idle)
                if (*p == connection) {
                        *p = connection->next_idle;
                        break;
                }
        host->n_connections--;
        c->n_connections--;
        /* Before libcurl closes the descriptor. */
        sd_event_source_disable_unref(connection->io);
        (void) curl_multi_remove_handle(c->multi, connection->easy);
        curl_easy_cleanup(connection->easy);
        http_reader_done(&connection->reader);
        free(connection);
}

/* The request of a connection that came to nothing. A connection that was kept may have been closed
 * while the request was on its way: what was not read cannot have been answered, and every request
 * of this program may be repeated. */
static void connection_fail(Connection *connection, const char *failure) {
        Transfer *t = TAKE_PTR(connection->transfer);
        Host *host = connection->host;
        bool again = t && !t->retried && connection->n_answers > 0 && streq(failure, "cut") &&
                     http_reader_is_untouched(&connection->reader);

        connection_close(connection);
        if (!t)
                return;
        list_remove(&host->client->running, t);
        if (again) {
                t->retried = true;
                t->sent = 0;
                list_prepend(&host->waiting, t);
        } else
                transfer_fail(t, failure);
}

static void host_serve(Host *host);

/* Puts a connection at rest, or to work for the next. */
static void connection_rest(Connection *connection) {
        Host *host = connection->host;

        connection->n_answers++;
        connection->idle_since = time_boot();
        connection->next_idle = host->idle;
        host->idle = connection;
}

static void connection_answered(Connection *connection, bool keep) {
        Transfer *t = TAKE_PTR(connection->transfer);
        Host *host = connection->host;
        HttpAnswer answer = http_reader_answer(&connection->reader);

        keep = keep && http_reader_keeps(&connection->reader);
        list_remove(&host->client->running, t);
        t->done(&answer, t->userdata);
        (void) transfer_free(t);
        if (keep) {
                http_reader_reset(&connection->reader);
                connection_rest(connection);
        } else
                connection_close(connection);
}

static const char *reader_failure(int error) {
        return error == HTTP_READER_E_TOO_LARGE ? "answer-too-large"
               : error == HTTP_READER_E_CUT     ? "cut"
               : error == -ENOMEM               ? "no-memory"
                                                : "no-answer";
}

/* Reads until the answer is whole or no more has come. */
static void connection_read(Connection *connection) {
        HttpClient *c = connection->host->client;

        for (;;) {
                size_t n = 0, used = 0;
                CURLcode code;
                int r;

                code = curl_easy_recv(connection->easy, c->scratch, sizeof(c->scratch), &n);
                if (code == CURLE_AGAIN)
                        return;
                if (code != CURLE_OK) {
                        connection_fail(connection, "cut");
                        return;
                }
                /* Nobody has answered what he has not read. On a kept connection that is a
                 * stray's fault, and the request goes on another. */
                if (n > 0 && connection->transfer->sent < connection->transfer->out_size) {
                        connection_fail(connection,
                                        connection->n_answers > 0 ? "cut" : "no-answer");
                        return;
                }
                r = n == 0 ? http_reader_end(&connection->reader)
                           : http_reader_take(&connection->reader, c->scratch, n, &used);
                if (c->wipe_answers)
                        sodium_memzero(c->scratch, n);
                if (r == HTTP_READER_E_MORE)
                        continue;
                if (r == 0)
                        connection_answered(connection, n > 0 && used == n);
                else
                        connection_fail(connection, reader_failure(r));
                return;
        }
}

static bool connection_write(Connection *connection) {
        Transfer *t = connection->transfer;
        bool blocked = false;

        while (t->sent < t->out_size && !blocked) {
                size_t n = 0;
                CURLcode code = curl_easy_send(
                                connection->easy, t->out + t->sent, t->out_size - t->sent, &n);

                if (code == CURLE_AGAIN)
                        blocked = true;
                else if (code != CURLE_OK)
                        return false;
                t->sent += n;
        }
        if (blocked != connection->is_blocked) {
                connection->is_blocked = blocked;
                (void) sd_event_source_set_io_events(
                                connection->io, EPOLLIN | (blocked ? EPOLLOUT : 0u));
        }
        return true;
}

/* An idle connection has nothing to say but TLS's own; who speaks or ends is left: what it said
 * would be taken for the answer to the next request. */
static bool idle_is_well(Connection *connection) {
        HttpClient *c = connection->host->client;
        size_t n;

        return curl_easy_recv(connection->easy, c->scratch, sizeof(c->scratch), &n) == CURLE_AGAIN;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Connection *connection = userdata;
        Host *host = connection->host;

        (void) source;
        (void) fd;
        if (!connection->transfer) {
                if (!idle_is_well(connection))
                        connection_close(connection);
        } else {
                bool broken = (revents & EPOLLOUT) && !connection_write(connection);

                if (broken || (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                        connection_read(connection);
        }
        host_serve(host);
        return 0;
}

static const char *connect_failure(CURLcode code, const Connection *connection) {
        if (connection->met_private && !connection->met_public)
                return "address-not-public";
        switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
                return "name-not-found";
        case CURLE_COULDNT_CONNECT:
                return "no-connection";
        case CURLE_OPERATION_TIMEDOUT:
                return "timeout";
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
                return "tls-certificate";
        case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
                return "tls-pinned-key";
        case CURLE_SSL_CACERT_BADFILE:
                return "tls-ca-file";
        case CURLE_SSL_CONNECT_ERROR:
                return "tls";
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
                return "cut";
        default:
                return "no-answer";
        }
}

/* --- connecting --- */

/* Asked for each address after its name was resolved, so that a name that means one address now and
 *  another one later gains nothing. */
static curl_socket_t on_open_socket(
                void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        Connection *connection = userdata;

        (void) purpose;
        if (!public_address_is(&address->addr)) {
                connection->met_private = true;
                return CURL_SOCKET_BAD;
        }
        connection->met_public = true;
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* OpenSSL would keep the last decrypted record until the next one overwrites it. */
static CURLcode on_tls_context(CURL *easy, void *context, void *userdata) {
        (void) easy;
        (void) userdata;
        (void) SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
        return CURLE_OK;
}

static CURLcode easy_set_policy(CURL *easy, const HttpClient *c) {
        const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                { CURLOPT_NOSIGNAL, 1 },
                /* TLS is set up, and the rest is ours. */
                { CURLOPT_CONNECT_ONLY, 1 },
                /* No HTTP/2 is offered. */
                { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
                { CURLOPT_NETRC, CURL_NETRC_IGNORED },
                { CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
                { CURLOPT_SSL_VERIFYPEER, 1 },
                { CURLOPT_SSL_VERIFYHOST, 2 },
                { CURLOPT_CONNECTTIMEOUT, HTTP_TIMEOUT_SECONDS / 2 },
                { CURLOPT_TCP_KEEPALIVE, 1 },
        };
        const struct {
                CURLoption option;
                const char *value;
        } texts[] = {
                { CURLOPT_PROTOCOLS_STR, "https" },
                { CURLOPT_PROXY, "" },
                { CURLOPT_SSL_CIPHER_LIST, "ECDHE+AESGCM:ECDHE+CHACHA20" },
                { CURLOPT_CAINFO, c->ca_file },
                /* Debian's libcurl has a default folder of issuers, which would switch off the
                 * cache of those read from the file: 21 ms for each connection instead of 0.7. */
                { CURLOPT_CAPATH, NULL },
                { CURLOPT_PINNEDPUBLICKEY, c->pinned_keys },
        };
        CURLcode code = CURLE_OK;

        for (size_t i = 0; i < N_ELEMENTS(numbers) && code == CURLE_OK; i++)
                code = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
        for (size_t i = 0; i < N_ELEMENTS(texts) && code == CURLE_OK; i++)
                code = curl_easy_setopt(easy, texts[i].option, texts[i].value);
        if (code == CURLE_OK && c->public_only)
                code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        if (code == CURLE_OK && c->wipe_answers)
                code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
        return code;
}

static int easy_new(const HttpClient *c, CURL **ret) {
        CURL *easy = curl_easy_init();

        if (!easy)
                return -ENOMEM;
        if (easy_set_policy(easy, c) != CURLE_OK) {
                curl_easy_cleanup(easy);
                return -EINVAL;
        }
        *ret = easy;
        return 0;
}

static int connection_set_target(Connection *connection) {
        _cleanup_(freep) char *url = NULL;

        if (asprintf(&url, "https://%s/", connection->host->authority) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        if (curl_easy_setopt(connection->easy, CURLOPT_URL, url) != CURLE_OK ||
                        curl_easy_setopt(connection->easy, CURLOPT_OPENSOCKETDATA, connection) !=
                                        CURLE_OK ||
                        curl_easy_setopt(connection->easy, CURLOPT_PRIVATE, connection) != CURLE_OK)
                return -ENOMEM;
        return 0;
}

static int connection_open(Host *host) {
        Connection *connection = calloc(1, sizeof(*connection));
        HttpClient *c = host->client;
        int r;

        if (!connection)
                return -ENOMEM;
        connection->host = host;
        connection->reader.body_max = c->answer_max;
        r = easy_new(c, &connection->easy);
        if (r == 0)
                r = connection_set_target(connection);
        if (r == 0 && curl_multi_add_handle(c->multi, connection->easy) != CURLM_OK)
                r = -ENOMEM;
        if (r < 0) {
                curl_easy_cleanup(connection->easy);
                free(connection);
                return r;
        }
        connection->next = host->connections;
        host->connections = connection;
        host->n_connections++;
        host->n_connecting++;
        c->n_connections++;
        return 0;
}

/* libcurl has done its part. The handle stays in the multi handle: it is what holds the connection.
 */
static int connection_attach(Connection *connection) {
        curl_socket_t fd = CURL_SOCKET_BAD;

        if (curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
                        fd == CURL_SOCKET_BAD)
                return -ENOTCONN;
        return sd_event_add_io(connection->host->client->event,
                        &connection->io,
                        fd,
                        EPOLLIN,
                        on_io,
                        connection);
}

static void connection_is_done(Connection *connection, CURLcode code) {
        Host *host = connection->host;
        const char *failure = NULL;

        host->n_connecting--;
        if (code != CURLE_OK)
                failure = connect_failure(code, connection);
        else if (connection_attach(connection) < 0)
                failure = "cut";
        else {
                connection_rest(connection);
                connection->n_answers = 0;
        }
        if (failure) {
                Transfer *t = host->waiting.first;

                connection_close(connection);
                if (t) {
                        list_remove(&host->waiting, t);
                        transfer_fail(t, failure);
                }
        }
        host_serve(host);
}

/* --- who is served when --- */

static void timer_set(HttpClient *c, uint64_t due) {
        if (c->timer_due != 0 && c->timer_due <= due)
                return;
        c->timer_due = due;
        (void) sd_event_source_set_time(c->timer, due);
        (void) sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static void serve_later(HttpClient *c) {
        (void) sd_event_source_set_enabled(c->serve, SD_EVENT_ONESHOT);
}

/* An idle connection to another host makes room. */
static bool make_room(const Host *host) {
        HttpClient *c = host->client;

        for (Host *other = c->hosts; other && c->n_connections >= HTTP_CONNECTIONS_MAX;
                        other = other->next)
                if (other != host && other->idle) {
                        connection_close(other->idle);
                        serve_later(c);
                }
        return c->n_connections < HTTP_CONNECTIONS_MAX;
}

static uint64_t patience_ends(const Transfer *t) {
        return t->queued + HTTP_PATIENCE_MSEC * USEC_PER_MSEC;
}

/* One more at a time than there should be, lest a host that is slow because of too many gets more.
 */
static bool may_connect(const Host *host, uint64_t now) {
        if (host->n_connecting >= host->waiting.n)
                return false;
        if (host->n_connections >= HTTP_CONNECTIONS_EAGER &&
                        (host->n_connecting > 0 || now < patience_ends(host->waiting.first)))
                return false;
        return make_room(host);
}

static Connection *idle_take(Host *host, uint64_t now) {
        while (host->idle) {
                Connection *connection = host->idle;

                if (now - connection->idle_since < HTTP_IDLE_SECONDS * USEC_PER_SEC &&
                                idle_is_well(connection)) {
                        host->idle = connection->next_idle;
                        connection->next_idle = NULL;
                        return connection;
                }
                connection_close(connection);
        }
        return NULL;
}

/* False: the connection takes nothing, and is for the caller to end. */
static bool exchange_start(Connection *connection, Transfer *t) {
        HttpClient *c = connection->host->client;

        connection->transfer = t;
        connection->reader.is_head = t->is_head;
        list_append(&c->running, t);
        timer_set(c, t->deadline);
        return connection_write(connection);
}

/* Gives free connections to those who wait, oldest first, opens new ones as far as it may, and
 * tells those who waited too long. The host is gone after this when nothing is left of it. */
static void host_serve(Host *host) {
        HttpClient *c = host->client;
        uint64_t now = time_boot();
        Transfer *t;

        while ((t = host->waiting.first)) {
                bool late = t->deadline <= now + TIME_LEFT_MIN;
                Connection *connection = late ? NULL : idle_take(host, now);

                if (!late && !connection) {
                        if (!may_connect(host, now))
                                break;
                        if (connection_open(host) == 0)
                                continue;
                }
                list_remove(&host->waiting, t);
                if (!connection)
                        transfer_fail(t, late ? "timeout" : "no-memory");
                else if (!exchange_start(connection, t))
                        connection_fail(connection, "cut");
        }

        if (t) {
                uint64_t patience = patience_ends(t);

                timer_set(c, patience > now ? patience : t->deadline - TIME_LEFT_MIN);
        } else if (!host->connections)
                host_free(host);
}

static void client_serve(HttpClient *c) {
        for (Host *host = c->hosts, *next; host; host = next) {
                next = host->next;
                host_serve(host);
        }
}

static Connection *connection_of(const Transfer *t) {
        Connection *connection = t->host->connections;

        while (connection && connection->transfer != t)
                connection = connection->next;
        return connection;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpClient *c = userdata;
        uint64_t now = time_boot();

        (void) source;
        (void) usec;
        c->timer_due = 0;
        for (Transfer *t = c->running.first, *next; t; t = next) {
                next = t->next;
                if (t->deadline <= now)
                        connection_fail(connection_of(t), "timeout");
                else
                        timer_set(c, t->deadline);
        }
        client_serve(c);
        return 0;
}

static int on_serve(sd_event_source *source, void *userdata) {
        (void) source;
        client_serve(userdata);
        return 0;
}

/* --- libcurl on the loop, for as long as a connection is made --- */

static void client_drain(HttpClient *c) {
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(c->multi, &left))) {
                CURLcode code = message->data.result;
                char *p = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &p);
                connection_is_done((Connection *) (void *) p, code);
        }
}

static int on_socket_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        HttpClient *c = userdata;
        int action = 0, running;

        (void) source;
        if (revents & EPOLLIN)
                action |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                action |= CURL_CSELECT_OUT;
        if (revents & (EPOLLERR | EPOLLHUP))
                action |= CURL_CSELECT_ERR;
        (void) curl_multi_socket_action(c->multi, fd, action, &running);
        client_drain(c);
        return 0;
}

static uint32_t events_of(int what) {
        switch (what) {
        case CURL_POLL_IN:
                return EPOLLIN;
        case CURL_POLL_OUT:
                return EPOLLOUT;
        case CURL_POLL_INOUT:
                return EPOLLIN | EPOLLOUT;
        default:
                return 0;
        }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data) {
        sd_event_source *source = socket_data;
        HttpClient *c = userdata;

        (void) easy;
        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(source);
                (void) curl_multi_assign(c->multi, fd, NULL);
                return 0;
        }
        if (source)
                return sd_event_source_set_io_events(source, events_of(what)) < 0 ? -1 : 0;
        if (sd_event_add_io(c->event, &source, fd, events_of(what), on_socket_ready, c) < 0)
                return -1;
        (void) curl_multi_assign(c->multi, fd, source);
        return 0;
}

static int on_curl_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpClient *c = userdata;
        int running;

        (void) source;
        (void) usec;
        (void) curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        client_drain(c);
        return 0;
}

static int on_curl_timer_set(CURLM *multi, long milliseconds, void *userdata) {
        HttpClient *c = userdata;

        (void) multi;
        if (milliseconds < 0)
                return sd_event_source_set_enabled(c->curl_timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(
                            c->curl_timer, (uint64_t) milliseconds * USEC_PER_MSEC) < 0 ||
                        sd_event_source_set_enabled(c->curl_timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

/* --- the whole --- */

static int add_timer(sd_event *event,
                clockid_t clock,
                sd_event_time_handler_t handler,
                HttpClient *c,
                sd_event_source **ret) {
        int r;

        r = sd_event_add_time(event, ret, clock, UINT64_MAX, USEC_PER_MSEC, handler, c);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int client_set_event(HttpClient *c, sd_event *event) {
        int r;

        c->event = sd_event_ref(event);
        r = add_timer(event, CLOCK_MONOTONIC, on_curl_timer, c, &c->curl_timer);
        if (r < 0)
                return r;
        r = add_timer(event, CLOCK_BOOTTIME, on_timer, c, &c->timer);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &c->serve, on_serve, c);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(c->serve, SD_EVENT_OFF);
}

static int client_set_multi(HttpClient *c) {
        c->multi = curl_multi_init();
        if (!c->multi)
                return -ENOMEM;
        if (curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
                        curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) != CURLM_OK ||
                        curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer_set) !=
                                        CURLM_OK ||
                        curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) != CURLM_OK ||
                        /* It must never close one by itself, of which we hold the descriptor. */
                        curl_multi_setopt(c->multi,
                                        CURLMOPT_MAXCONNECTS,
                                        (long) HTTP_CONNECTIONS_MAX + 1) != CURLM_OK ||
                        curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) !=
                                        CURLM_OK)
                return -EINVAL;
        return 0;
}

static int copy_text(const char *text, char **ret) {
        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int client_set_policy(HttpClient *c, const HttpPolicy *policy) {
        CURL *easy;
        int r;

        c->answer_max = policy->answer_max;
        c->public_only = policy->public_only;
        c->wipe_answers = policy->wipe_answers;
        r = copy_text(policy->ca_file ? policy->ca_file : system_ca_file, &c->ca_file);
        if (r < 0)
                return r;
        r = copy_text(policy->pinned_keys, &c->pinned_keys);
        if (r < 0)
                return r;
        r = copy_text(policy->user_agent, &c->user_agent);
        if (r < 0)
                return r;

        /* A value that libcurl refuses shows now, not at the first request. */
        r = easy_new(c, &easy);
        if (r == 0)
                curl_easy_cleanup(easy);
        return r;
}

int http_client_new(HttpClient **ret, sd_event *event, const HttpPolicy *policy) {
        _cleanup_(http_client_freep) HttpClient *c = NULL;
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        r = client_set_event(c, event);
        if (r < 0)
                return r;
        r = client_set_multi(c);
        if (r < 0)
                return r;
        r = client_set_policy(c, policy);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

/* At once where a connection is free, so that the other side works while the caller makes the next
 * request; but nobody is called from here. */
static void transfer_begin(Transfer *t) {
        Host *host = t->host;
        Connection *connection = host->waiting.first ? NULL : idle_take(host, t->queued);

        if (connection && exchange_start(connection, t))
                return;
        if (connection) {
                list_remove(&host->client->running, TAKE_PTR(connection->transfer));
                connection_close(connection);
                t->sent = 0;
        }
        list_append(&host->waiting, t);
        serve_later(host->client);
}

int http_client_send(HttpClient *c, HttpRequest *request, HttpDone done, void *userdata) {
        _cleanup_(transfer_freep) Transfer *t = calloc(1, sizeof(*t));
        const char *authority, *path;
        size_t authority_size, path_size;
        uint64_t now = time_boot();
        Host *host;
        int r;

        if (!t)
                return -ENOMEM;
        t->queued = now;
        t->deadline = now + HTTP_TIMEOUT_SECONDS * USEC_PER_SEC;
        t->done = done;
        t->userdata = userdata;
        r = url_split(request->url, &authority, &authority_size, &path, &path_size);
        if (r < 0)
                return r;
        r = host_get(c, authority, authority_size, request->party, &host);
        if (r < 0)
                return r;
        r = write_request(c, request, host->authority, path, path_size, t);
        if (r < 0) {
                serve_later(c); /* lest an empty host stays */
                return r;
        }

        t->host = host;
        http_request_done(request);
        transfer_begin(TAKE_PTR(t));
        return 0;
}

static void list_free(TransferList *list) {
        while (list->first) {
                Transfer *t = list->first;

                list_remove(list, t);
                (void) transfer_free(t);
        }
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;

        list_free(&c->running);
        while (c->hosts) {
                list_free(&c->hosts->waiting);
                while (c->hosts->connections)
                        connection_close(c->hosts->connections);
                host_free(c->hosts);
        }
        /* Calls back to drop its event sources. */
        (void) curl_multi_cleanup(c->multi);
        sd_event_source_disable_unref(c->curl_timer);
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->serve);
        sd_event_unref(c->event);
        free(c->ca_file);
        free(c->pinned_keys);
        free(c->user_agent);
        sodium_memzero(c->scratch, sizeof(c->scratch));
        free(c);
        curl_global_cleanup();
        return NULL;
}
