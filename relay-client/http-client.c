/* The HTTP client as its callers see it: its policy, and libcurl and its own timer on their loop.
 */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "http-internal.h"
#include "time-text.h"

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

static int client_set_event(HttpClient *c, sd_event *event) {
        int r;

        c->event = sd_event_ref(event);
        r = sd_event_add_time(event,
                        &c->timer,
                        CLOCK_BOOTTIME,
                        UINT64_MAX,
                        USEC_PER_MSEC,
                        http_pool_on_timer,
                        c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &c->serve, http_pool_on_serve, c);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(c->serve, SD_EVENT_OFF);
}

/* libcurl is for as long as a connection is made. */
static int client_set_loop(HttpClient *c) {
        CURLM *multi;
        int r;

        r = curl_loop_new(&c->loop, c->event);
        if (r < 0)
                return r;
        multi = curl_loop_multi(c->loop);
        /* It must never close one by itself, of which we hold the descriptor. */
        if (curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) HTTP_CONNECTIONS_MAX + 1) !=
                                        CURLM_OK ||
                        curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK)
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

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        r = client_set_event(c, event);
        if (r < 0)
                return r;
        r = client_set_loop(c);
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
        (void) curl_loop_free(c->loop);
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->serve);
        sd_event_unref(c->event);
        free(c->ca_file);
        free(c->pinned_keys);
        free(c->user_agent);
        sodium_memzero(c->scratch, sizeof(c->scratch));
        free(c);
        return NULL;
}
