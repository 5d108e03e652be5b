/* One TLS connection of the HTTP client, from connecting to its end. libcurl makes it and carries
 * bytes; whether what comes is the answer to what was asked is decided here. */
#include <errno.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "http-internal.h"
#include "public-address.h"
#include "relay-http.h"
#include "time-text.h"

/* Who speaks or ends so soon after the connection was made does so with each. */
#define AT_ONCE_USEC USEC_PER_SEC

void http_connection_close(HttpConnection *connection) {
        HttpHost *host = connection->host;
        HttpClient *c = host->client;

        for (HttpConnection **p = &host->connections; *p; p = &(*p)->next)
                if (*p == connection) {
                        *p = connection->next;
                        break;
                }
        for (HttpConnection **p = &host->idle; *p; p = &(*p)->next_idle)
                if (*p == connection) {
                        *p = connection->next_idle;
                        break;
                }
        host->n_connections--;
        c->n_connections--;
        /* Before libcurl closes the descriptor. */
        sd_event_source_disable_unref(connection->io);
        curl_loop_remove(c->loop, connection->easy);
        curl_easy_cleanup(connection->easy);
        http_reader_done(&connection->reader);
        free(connection);
}

/* The request of a connection that came to nothing. A connection that was kept may have been closed
 * while the request was on its way: what was not read cannot have been answered, and every request
 * of this program may be repeated. */
void http_connection_fail(HttpConnection *connection, const char *failure) {
        HttpTransfer *t = TAKE_PTR(connection->transfer);
        HttpHost *host = connection->host;
        bool again = t && !t->retried && connection->n_answers > 0 && streq(failure, "cut") &&
                     http_reader_is_untouched(&connection->reader);

        http_connection_close(connection);
        if (!t)
                return;
        http_transfer_list_remove(&host->client->running, t);
        if (again) {
                t->retried = true;
                t->sent = 0;
                http_transfer_list_prepend(&host->waiting, t);
        } else
                http_transfer_fail(t, failure);
}

/* Puts a connection at rest, or to work for the next. */
static void connection_rest(HttpConnection *connection) {
        HttpHost *host = connection->host;

        connection->n_answers++;
        connection->idle_since = time_boot();
        connection->next_idle = host->idle;
        host->idle = connection;
}

/* Whoever repeats what was random in the request has read the request. */
static bool is_to_be_kept(const HttpTransfer *t, const HttpAnswer *answer) {
        return !t->echo_name ||
               (t->echo && relay_http_echo(answer, t->echo_name, t->echo, t->echo_size) ==
                                               RELAY_HTTP_ECHO_RIGHT);
}

static void connection_answered(HttpConnection *connection, bool keep) {
        HttpTransfer *t = TAKE_PTR(connection->transfer);
        HttpHost *host = connection->host;
        HttpAnswer answer = http_reader_answer(&connection->reader);

        keep = keep && http_reader_keeps(&connection->reader) && is_to_be_kept(t, &answer);
        http_transfer_list_remove(&host->client->running, t);
        t->done(&answer, t->userdata);
        (void) http_transfer_free(t);
        if (keep) {
                http_reader_reset(&connection->reader);
                connection_rest(connection);
        } else
                http_connection_close(connection);
}

static const char *reader_failure(int error) {
        return error == HTTP_READER_E_TOO_LARGE ? "answer-too-large"
               : error == HTTP_READER_E_BROKEN  ? "answer-not-http"
               : error == -ENOMEM               ? "no-memory"
                                                : "cut";
}

/* Nobody has answered what he has not read. On a kept connection that is a stray's fault, and the
 * request goes on another. */
static void connection_refuse_early(HttpConnection *connection) {
        bool is_kept = connection->n_answers > 0;

        connection->transfer->answered = !is_kept;
        http_connection_fail(connection, is_kept ? "cut" : "no-answer");
}

/* What came, or that no more comes when size is 0. True: there is more to read. */
static bool connection_take(HttpConnection *connection, const char *data, size_t size) {
        HttpTransfer *t = connection->transfer;
        size_t used = 0;
        int r;

        if (size > 0 && t->sent < t->out_size) {
                connection_refuse_early(connection);
                return false;
        }
        r = size == 0 ? http_reader_end(&connection->reader)
                      : http_reader_take(&connection->reader, data, size, &used);
        if (r == HTTP_READER_E_MORE)
                return true;
        if (r == 0)
                connection_answered(connection, size > 0 && used == size);
        else {
                t->answered = r == HTTP_READER_E_TOO_LARGE || r == HTTP_READER_E_BROKEN;
                http_connection_fail(connection, reader_failure(r));
        }
        return false;
}

/* Reads until the answer is whole or no more has come. */
static void connection_read(HttpConnection *connection) {
        HttpClient *c = connection->host->client;
        bool more = true;

        while (more) {
                CURLcode code;
                size_t n = 0;

                code = curl_easy_recv(connection->easy, c->scratch, sizeof(c->scratch), &n);
                if (code == CURLE_AGAIN)
                        return;
                if (code != CURLE_OK) {
                        http_connection_fail(connection, "cut");
                        return;
                }
                more = connection_take(connection, c->scratch, n);
                if (c->wipe_answers)
                        sodium_memzero(c->scratch, n);
        }
}

bool http_connection_write(HttpConnection *connection) {
        HttpTransfer *t = connection->transfer;
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
bool http_connection_is_well(HttpConnection *connection) {
        HttpClient *c = connection->host->client;
        size_t n = 0;
        CURLcode code = curl_easy_recv(connection->easy, c->scratch, sizeof(c->scratch), &n);

        if (code != CURLE_AGAIN && connection->n_answers == 0 &&
                        time_boot() - connection->idle_since < AT_ONCE_USEC)
                connection->useless = code == CURLE_OK && n > 0 ? "no-answer" : "cut";
        return code == CURLE_AGAIN;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        HttpConnection *connection = userdata;
        HttpHost *host = connection->host;

        (void) source;
        (void) fd;
        if (!connection->transfer) {
                if (!http_connection_is_well(connection))
                        http_connection_close(connection);
        } else {
                bool broken = (revents & EPOLLOUT) && !http_connection_write(connection);

                if (broken || (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                        connection_read(connection);
        }
        http_host_serve(host);
        return 0;
}

static const char *connect_failure(CURLcode code, const HttpConnection *connection) {
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
        HttpConnection *connection = userdata;

        (void) purpose;
        if (!public_address_is(&address->addr)) {
                connection->met_private = true;
                return CURL_SOCKET_BAD;
        }
        connection->met_public = true;
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* OpenSSL would read the five octets before each record by themselves: two calls of the kernel for
 * each record, of which an answer has two. Whoever reads here goes on until there is nothing more.
 * And it would keep the last decrypted record until the next one overwrites it. */
static CURLcode on_tls_context(CURL *easy, void *context, void *userdata) {
        const HttpClient *c = userdata;

        (void) easy;
        SSL_CTX_set_read_ahead(context, 1);
        if (c->wipe_answers)
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
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, c);
        return code;
}

int http_connection_easy_new(const HttpClient *c, CURL **ret) {
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

static int connection_set_target(HttpConnection *connection) {
        _cleanup_(freep) char *url = NULL;

        if (asprintf(&url, "https://%s/", connection->host->authority) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        if (curl_easy_setopt(connection->easy, CURLOPT_URL, url) != CURLE_OK ||
                        curl_easy_setopt(connection->easy, CURLOPT_OPENSOCKETDATA, connection) !=
                                        CURLE_OK)
                return -ENOMEM;
        return 0;
}

/* libcurl has done its part. The handle stays in the loop: it is what holds the connection. */
static int connection_attach(HttpConnection *connection) {
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

static void on_connected(CURL *easy, CURLcode code, void *userdata) {
        HttpConnection *connection = userdata;
        HttpHost *host = connection->host;
        const char *failure = NULL;

        (void) easy;
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
                HttpTransfer *t = host->waiting.first;

                http_connection_close(connection);
                if (t) {
                        http_transfer_list_remove(&host->waiting, t);
                        http_transfer_fail(t, failure);
                }
        }
        http_host_serve(host);
}

int http_connection_open(HttpHost *host) {
        HttpConnection *connection = calloc(1, sizeof(*connection));
        HttpClient *c = host->client;
        int r;

        if (!connection)
                return -ENOMEM;
        connection->host = host;
        connection->reader.body_max = c->answer_max;
        r = http_connection_easy_new(c, &connection->easy);
        if (r == 0)
                r = connection_set_target(connection);
        if (r == 0)
                r = curl_loop_add(c->loop, connection->easy, on_connected, connection);
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
