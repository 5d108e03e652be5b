#include "curl-glue.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

#include "public-address.h"
#include "time-text.h"

/* Who has waited until less than this is left is not sent at all: the answer would come too late.
 */
#define TIME_LEFT_MIN USEC_PER_SEC

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

typedef struct Buffer {
        char *data;
        size_t size, allocated;
} Buffer;

typedef struct Transfer Transfer;
struct Transfer {
        HttpClient *client;
        Transfer *next, *previous; /* in the client's waiting or running list */
        CURL *easy;                /* NULL while waiting */
        struct curl_slist *header_list;
        HttpRequest request;
        Buffer headers, body;
        bool too_large;
        bool met_private, met_public; /* addresses, where only public ones are asked */
        uint64_t deadline;            /* of time_boot() */
        HttpDone done;
        void *userdata;
};

typedef struct TransferList {
        Transfer *first, *last;
        size_t n;
} TransferList;

struct HttpClient {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer, *waiting_timer;
        char *ca_file, *pinned_keys, *user_agent;
        size_t answer_max;
        bool public_only, wipe_answers;
        TransferList waiting, running;
        CURL *idle[HTTP_CONNECTIONS_MAX]; /* set up once, used many times */
        size_t n_idle;
};

/* What libcurl gives back is overwritten: its buffers held requests, links and answers. */
static void wiping_free(void *block) {
        if (!block)
                return;
        sodium_memzero(block, malloc_usable_size(block));
        free(block);
}

static void *wiping_realloc(void *block, size_t size) {
        size_t old = block ? malloc_usable_size(block) : 0;
        void *grown = malloc(size);

        if (!grown)
                return NULL;
        if (block)
                memcpy(grown, block, old < size ? old : size);
        wiping_free(block);
        return grown;
}

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

static bool buffer_append(Buffer *buffer, const char *data, size_t size, size_t max) {
        if (size > max - buffer->size)
                return false;
        if (buffer->allocated - buffer->size < size) {
                size_t allocated = buffer->allocated ? buffer->allocated : 512;
                char *grown;

                while (allocated < buffer->size + size)
                        allocated *= 2;
                grown = realloc(buffer->data, allocated);
                if (!grown)
                        return false;
                buffer->data = grown;
                buffer->allocated = allocated;
        }
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
        return true;
}

/* All that may ever come, so that growing leaves no copy behind. */
static bool buffer_reserve(Buffer *buffer, size_t size) {
        buffer->data = malloc(size);
        if (!buffer->data)
                return false;
        buffer->allocated = size;
        return true;
}

static void buffer_wipe(Buffer *buffer) {
        if (buffer->data)
                sodium_memzero(buffer->data, buffer->size);
}

static Transfer *transfer_free(Transfer *t) {
        if (!t)
                return NULL;
        curl_slist_free_all(t->header_list);
        http_request_done(&t->request);
        if (t->client->wipe_answers)
                buffer_wipe(&t->body);
        free(t->headers.data);
        free(t->body.data);
        free(t);
        return NULL;
}
DEFINE_CLEANUP(Transfer, transfer_free)

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;
        const HttpClient *c = t->client;

        if (c->wipe_answers && !t->body.data && !buffer_reserve(&t->body, c->answer_max))
                return 0;
        if (buffer_append(&t->body, data, size * n, c->answer_max))
                return size * n;
        t->too_large = true;
        return 0;
}

/* Keeps the lines of the last answer only: an interim one (1xx) has its own. */
static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;

        if (size * n >= 5 && memcmp(data, "HTTP/", 5) == 0) {
                t->headers.size = 0;
                return size * n;
        }
        if (buffer_append(&t->headers, data, size * n, HTTP_HEADERS_SIZE_MAX))
                return size * n;
        t->too_large = true;
        return 0;
}

/* Asked for each address after its name was resolved, so that a name that means one address now and
 * another one later gains nothing. */
static curl_socket_t on_open_socket(
                void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        Transfer *t = userdata;

        (void) purpose;
        if (!public_address_is(&address->addr)) {
                t->met_private = true;
                return CURL_SOCKET_BAD;
        }
        t->met_public = true;
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static const char *failure_name(CURLcode code, const Transfer *t) {
        if (t->too_large)
                return "answer-too-large";
        if (t->met_private && !t->met_public)
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

/* OpenSSL would keep the last decrypted record until the next one overwrites it. */
static CURLcode on_tls_context(CURL *easy, void *context, void *userdata) {
        (void) easy;
        (void) userdata;
        (void) SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
        return CURLE_OK;
}

/* What never changes between two requests of a client. */
static CURLcode easy_set_policy(CURL *easy, const HttpClient *c) {
        const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                { CURLOPT_NOSIGNAL, 1 },
                { CURLOPT_FOLLOWLOCATION, 0 },
                { CURLOPT_UNRESTRICTED_AUTH, 0 },
                { CURLOPT_NETRC, CURL_NETRC_IGNORED },
                { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
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
                { CURLOPT_REDIR_PROTOCOLS_STR,
                                "https" }, /* redirects are off; libcurl takes no empty list */
                { CURLOPT_PROXY, "" },
                { CURLOPT_SSL_CIPHER_LIST, "ECDHE+AESGCM:ECDHE+CHACHA20" },
                { CURLOPT_CAINFO, c->ca_file },
                /* Debian's libcurl has a default folder of issuers, which would switch off the
                 * cache of those read from the file: 21 ms for each connection instead of 0.7. */
                { CURLOPT_CAPATH, NULL },
                { CURLOPT_PINNEDPUBLICKEY, c->pinned_keys },
                { CURLOPT_USERAGENT, c->user_agent },
        };
        CURLcode code;

        for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
                code = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
                if (code != CURLE_OK)
                        return code;
        }
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                code = curl_easy_setopt(easy, texts[i].option, texts[i].value);
                if (code != CURLE_OK)
                        return code;
        }
        code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        if (code == CURLE_OK && c->public_only)
                code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        if (code == CURLE_OK && c->wipe_answers)
                code = curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
        if (code != CURLE_OK)
                return code;
        return curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
}

static int easy_acquire(HttpClient *c, CURL **ret) {
        CURL *easy;

        if (c->n_idle > 0) {
                *ret = c->idle[--c->n_idle];
                return 0;
        }
        easy = curl_easy_init();
        if (!easy)
                return -ENOMEM;
        if (easy_set_policy(easy, c) != CURLE_OK) {
                curl_easy_cleanup(easy);
                return -EINVAL;
        }
        *ret = easy;
        return 0;
}

static void easy_release(HttpClient *c, CURL *easy) {
        if (c->n_idle < N_ELEMENTS(c->idle))
                c->idle[c->n_idle++] = easy;
        else
                curl_easy_cleanup(easy);
}

static CURLcode easy_set_method(CURL *easy, const HttpRequest *request) {
        bool post = strcmp(request->method, "POST") == 0 || request->body;
        CURLcode code;

        /* Resets what the handle's last request left behind. */
        code = curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        if (code == CURLE_OK && post) {
                code = curl_easy_setopt(easy, CURLOPT_POST, 1L);
                if (code == CURLE_OK)
                        code = curl_easy_setopt(
                                        easy, CURLOPT_POSTFIELDSIZE, (long) request->body_size);
                if (code == CURLE_OK)
                        code = curl_easy_setopt(easy,
                                        CURLOPT_POSTFIELDS,
                                        request->body ? request->body : "");
        }
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
        return code;
}

static int easy_set_request(CURL *easy, Transfer *t, uint64_t now) {
        long left = t->deadline > now ? (long) ((t->deadline - now) / USEC_PER_MSEC) : 0;
        CURLcode code;

        code = easy_set_method(easy, &t->request);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_URL, t->request.url);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->header_list);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, left > 0 ? left : 1);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
        return code == CURLE_OK ? 0 : -EINVAL;
}

static void transfer_end(Transfer *t, const HttpAnswer *answer) {
        t->done(answer, t->userdata);
        (void) transfer_free(t);
}

static void transfer_fail(Transfer *t, const char *failure) {
        transfer_end(t, &(HttpAnswer){ .failure = failure });
}

static int transfer_start(HttpClient *c, Transfer *t) {
        int r;

        r = easy_acquire(c, &t->easy);
        if (r < 0)
                return r;
        r = easy_set_request(t->easy, t, time_boot());
        if (r == 0 && curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)
                r = -ENOMEM;
        if (r < 0) {
                curl_easy_cleanup(t->easy);
                t->easy = NULL;
        }
        return r;
}

/* Gives free connections to those who wait, oldest first, and tells those who waited too long. */
static void client_serve_waiting(HttpClient *c) {
        while (c->waiting.first) {
                Transfer *t = c->waiting.first;
                bool late = t->deadline <= time_boot() + TIME_LEFT_MIN;

                if (!late && c->running.n >= HTTP_CONNECTIONS_MAX)
                        break;
                list_remove(&c->waiting, t);
                if (late) {
                        transfer_fail(t, "timeout");
                        continue;
                }
                list_append(&c->running, t);
                if (transfer_start(c, t) < 0) {
                        list_remove(&c->running, t);
                        transfer_fail(t, "no-memory");
                }
        }

        if (c->waiting.first) {
                (void) sd_event_source_set_time(
                                c->waiting_timer, c->waiting.first->deadline - TIME_LEFT_MIN);
                (void) sd_event_source_set_enabled(c->waiting_timer, SD_EVENT_ONESHOT);
        } else
                (void) sd_event_source_set_enabled(c->waiting_timer, SD_EVENT_OFF);
}

static void transfer_finish(HttpClient *c, Transfer *t, CURLcode code) {
        HttpAnswer answer = { .status = 0 };
        long status = 0;

        if (code == CURLE_OK)
                (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 100 && status <= 599)
                answer = (HttpAnswer){
                        .status = (int) status,
                        .headers = t->headers.data,
                        .headers_size = t->headers.size,
                        .body = t->body.data,
                        .body_size = t->body.size,
                };
        else
                answer.failure = code == CURLE_OK ? "no-answer" : failure_name(code, t);

        (void) curl_multi_remove_handle(c->multi, t->easy);
        easy_release(c, TAKE_PTR(t->easy));
        list_remove(&c->running, t);
        transfer_end(t, &answer);
}

/* One wake-up may finish many. */
static void client_drain(HttpClient *c) {
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(c->multi, &left))) {
                char *t = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
                transfer_finish(c, (Transfer *) (void *) t, message->data.result);
        }
        client_serve_waiting(c);
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

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpClient *c = userdata;
        int running;

        (void) source;
        (void) usec;
        (void) curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        client_drain(c);
        return 0;
}

static int on_timer_set(CURLM *multi, long milliseconds, void *userdata) {
        HttpClient *c = userdata;

        (void) multi;
        if (milliseconds < 0)
                return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(c->timer, (uint64_t) milliseconds * USEC_PER_MSEC) <
                                        0 ||
                        sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

static int on_waiting_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        client_serve_waiting(userdata);
        return 0;
}

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

static int client_set_multi(HttpClient *c) {
        c->multi = curl_multi_init();
        if (!c->multi)
                return -ENOMEM;
        if (curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
                        curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) != CURLM_OK ||
                        curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_set) !=
                                        CURLM_OK ||
                        curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) != CURLM_OK ||
                        curl_multi_setopt(c->multi,
                                        CURLMOPT_MAXCONNECTS,
                                        (long) HTTP_CONNECTIONS_MAX) != CURLM_OK ||
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
        r = easy_acquire(c, &easy);
        if (r < 0)
                return r;
        easy_release(c, easy);
        return 0;
}

int http_client_new(HttpClient **ret, sd_event *event, const HttpPolicy *policy) {
        _cleanup_(http_client_freep) HttpClient *c = NULL;
        int r;

        if (curl_global_init_mem(CURL_GLOBAL_DEFAULT,
                            malloc,
                            wiping_free,
                            wiping_realloc,
                            strdup,
                            calloc) != CURLE_OK)
                return -ENOMEM;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->event = sd_event_ref(event);
        r = client_set_multi(c);
        if (r < 0)
                return r;
        r = client_set_policy(c, policy);
        if (r < 0)
                return r;
        r = add_timer(event, CLOCK_MONOTONIC, on_timer, c, &c->timer);
        if (r < 0)
                return r;
        r = add_timer(event, CLOCK_BOOTTIME, on_waiting_timer, c, &c->waiting_timer);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

/* libcurl's own headers that would tell more than needed are taken away by an empty value. */
static int transfer_set_headers(Transfer *t) {
        static const char *const fixed[] = { "Accept: application/json", "Expect:" };
        bool has_type = false;

        for (size_t i = 0; i < t->request.n_headers + N_ELEMENTS(fixed) + 1; i++) {
                const char *line;
                struct curl_slist *list;

                if (i < t->request.n_headers) {
                        line = t->request.headers[i];
                        has_type |= strncmp(line, "Content-Type:", 13) == 0;
                } else if (i < t->request.n_headers + N_ELEMENTS(fixed))
                        line = fixed[i - t->request.n_headers];
                else if (!has_type)
                        line = "Content-Type:";
                else
                        break;
                list = curl_slist_append(t->header_list, line);
                if (!list)
                        return -ENOMEM;
                t->header_list = list;
        }
        return 0;
}

int http_client_send(HttpClient *c, HttpRequest *request, HttpDone done, void *userdata) {
        _cleanup_(transfer_freep) Transfer *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        *t = (Transfer){
                .client = c,
                .deadline = time_boot() + HTTP_TIMEOUT_SECONDS * USEC_PER_SEC,
                .done = done,
                .userdata = userdata,
                .request = *request,
        };
        r = transfer_set_headers(t);
        if (r == 0 && c->waiting.n == 0 && c->running.n < HTTP_CONNECTIONS_MAX) {
                r = transfer_start(c, t);
                if (r == 0)
                        list_append(&c->running, TAKE_PTR(t));
        } else if (r == 0) {
                if (c->waiting.n == 0) {
                        (void) sd_event_source_set_time(
                                        c->waiting_timer, t->deadline - TIME_LEFT_MIN);
                        (void) sd_event_source_set_enabled(c->waiting_timer, SD_EVENT_ONESHOT);
                }
                list_append(&c->waiting, TAKE_PTR(t));
        }

        if (r < 0) {
                t->request = HTTP_REQUEST_NULL;
                return r;
        }
        *request = HTTP_REQUEST_NULL;
        return 0;
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;

        while (c->running.first) {
                Transfer *t = c->running.first;

                list_remove(&c->running, t);
                (void) curl_multi_remove_handle(c->multi, t->easy);
                curl_easy_cleanup(t->easy);
                (void) transfer_free(t);
        }
        while (c->waiting.first) {
                Transfer *t = c->waiting.first;

                list_remove(&c->waiting, t);
                (void) transfer_free(t);
        }
        while (c->n_idle > 0)
                curl_easy_cleanup(c->idle[--c->n_idle]);
        /* Closes the kept connections, and calls back to drop their event sources. */
        (void) curl_multi_cleanup(c->multi);
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->waiting_timer);
        sd_event_unref(c->event);
        free(c->ca_file);
        free(c->pinned_keys);
        free(c->user_agent);
        free(c);
        curl_global_cleanup();
        return NULL;
}
