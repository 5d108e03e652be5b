/* The HTTP client as its callers see it: its policy, and libcurl and its own timers on their loop.
 */
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/epoll.h>

#include "http-internal.h"
#include "time-text.h"

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

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
                http_connection_connected((HttpConnection *) (void *) p, code);
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
        r = add_timer(event, CLOCK_BOOTTIME, http_pool_on_timer, c, &c->timer);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &c->serve, http_pool_on_serve, c);
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
        r = http_connection_easy_new(c, &easy);
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

int http_client_send(HttpClient *c, HttpRequest *request, HttpDone done, void *userdata) {
        _cleanup_(http_transfer_freep) HttpTransfer *t = calloc(1, sizeof(*t));
        const char *authority, *path;
        size_t authority_size, path_size;
        uint64_t now = time_boot();
        HttpHost *host;
        int r;

        if (!t)
                return -ENOMEM;
        t->queued = now;
        t->deadline = now + HTTP_TIMEOUT_SECONDS * USEC_PER_SEC;
        t->done = done;
        t->userdata = userdata;
        r = http_transfer_split_url(request->url, &authority, &authority_size, &path, &path_size);
        if (r < 0)
                return r;
        r = http_host_get(c, authority, authority_size, request->party, &host);
        if (r < 0)
                return r;
        r = http_transfer_write(c, request, host->authority, path, path_size, t);
        if (r < 0) {
                http_pool_serve_later(c); /* lest an empty host stays */
                return r;
        }

        t->host = host;
        http_request_done(request);
        http_pool_begin(TAKE_PTR(t));
        return 0;
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;

        http_transfer_list_free(&c->running);
        while (c->hosts) {
                http_transfer_list_free(&c->hosts->waiting);
                while (c->hosts->connections)
                        http_connection_close(c->hosts->connections);
                http_host_free(c->hosts);
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
