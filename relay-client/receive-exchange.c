#include "receive-exchange.h"

#include <errno.h>

#include "draft-v.h"
#include "http-client.h"
#include "receive-words.h"
#include "time-text.h"

enum {
        TRIES_MAX = 4,        /* at once, then after 1, 2 and 4 seconds */
        RETRY_AFTER_MAX = 10, /* seconds; who is told to wait longer is told so */
};

struct ReceiveExchange {
        sd_event *event;
        HttpClient *http;
        const RelayProtocol *protocol;
        RelayTerms terms;
        bool echoes; /* of terms */

        RelayJob *job; /* under way; not ours */
        bool ended;
        int error;
};

static int exchange_new(
                const ReceiveOptions *options, const ReceiveLink *link, ReceiveExchange **ret) {
        _cleanup_(receive_exchange_freep) ReceiveExchange *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return -ENOMEM;
        e->protocol = relay_protocol_find(link->protocol_name);
        e->terms = (RelayTerms){
                .hosts = options->hosts,
                .mode = options->mode,
                .dialect = options->dialect,
                .echoes = &e->echoes,
        };
        r = sd_event_new(&e->event);
        if (r < 0)
                return r;
        r = http_client_new(&e->http,
                        e->event,
                        &(HttpPolicy){
                                        .ca_file = options->ca_file,
                                        .user_agent = "vestibule",
                                        .answer_max = DRAFT_V_ANSWER_MAX,
                        });
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

int receive_exchange_new(
                const ReceiveOptions *options, const ReceiveLink *link, ReceiveExchange **ret) {
        int r = exchange_new(options, link, ret);

        return r < 0 ? receive_say_errno(r, "The TLS library") : 0;
}

static void on_answer(const HttpAnswer *answer, void *userdata);

/* Goes on with what a job gave: a request, or its end. */
static void proceed(ReceiveExchange *e, int r, HttpRequest *request) {
        if (r == RELAY_SEND) {
                r = http_client_send(e->http, request, on_answer, e);
                if (r == 0)
                        return;
        }
        e->ended = true;
        e->error = r;
}

static void on_answer(const HttpAnswer *answer, void *userdata) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        ReceiveExchange *e = userdata;
        int r;

        r = relay_job_answer(e->job, answer, time_wall(), &request);
        proceed(e, r, &request);
}

static int run_once(ReceiveExchange *e, const RelayJobTask *task, RelayJob **ret) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        int r;

        r = relay_job_begin(e->protocol, &e->terms, task, &job, &request);
        if (r < 0)
                return r;
        e->job = job;
        e->ended = false;
        proceed(e, r, &request);
        for (r = 0; r >= 0 && !e->ended;)
                r = sd_event_run(e->event, UINT64_MAX);
        if (r >= 0)
                r = e->error;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(job);
        return 0;
}

bool receive_exchange_is_untrusted(const RelayResult *result) {
        return result->outcome == RELAY_AGAIN &&
               (streq(result->reason, "tls-certificate") || streq(result->reason, "tls-ca-file"));
}

int receive_exchange_run(ReceiveExchange *e, const RelayJobTask *task, RelayJob **ret) {
        for (unsigned try = 1;; try++) {
                _cleanup_(relay_job_freep) RelayJob *job = NULL;
                const RelayResult *result;
                int r;

                r = run_once(e, task, &job);
                if (r < 0)
                        return r;
                result = relay_job_result(job);
                if (result->outcome != RELAY_AGAIN || receive_exchange_is_untrusted(result) ||
                                result->retry_after > RETRY_AFTER_MAX || try == TRIES_MAX) {
                        *ret = TAKE_PTR(job);
                        return 0;
                }
                r = receive_exchange_pause(e,
                                (result->retry_after > 0 ? result->retry_after : 1u << (try - 1)) *
                                                USEC_PER_SEC);
                if (r < 0)
                        return r;
        }
}

int receive_exchange_pause(ReceiveExchange *e, uint64_t usec) {
        const uint64_t end = time_boot() + usec;

        for (uint64_t now = time_boot(); now < end; now = time_boot()) {
                int r = sd_event_run(e->event, end - now);

                if (r < 0)
                        return r;
        }
        return 0;
}

ReceiveExchange *receive_exchange_free(ReceiveExchange *e) {
        if (!e)
                return NULL;
        (void) http_client_free(e->http);
        sd_event_unref(e->event);
        free(e);
        return NULL;
}
