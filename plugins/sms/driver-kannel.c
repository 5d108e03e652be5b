/* Kannel as the way to a carrier: sendsms of its smsbox out, its get-url and dlr-url in.
 *
 * A long message is sent as its segments, each a request of its own with our header and reference,
 * and not left to Kannel's concatenation: that counts its own eight-bit references up, so a
 * message that is sent again would be another one to the phone, which would show two halves twice;
 * and it asks for a report of the first segment only.
 *
 * Texts, numbers and the password travel in the request's body and header fields, which Kannel does
 * not log as it does URLs. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "credential.h"
#include "driver-http.h"
#include "driver-kannel-message.h"
#include "log.h"
#include "plugin.h"
#include "text.h"
#include "time-text.h"

enum {
        WINDOW = 8,
        CALLS_MAX = 256,      /* connections; smsbox opens one for each message that waits */
        CALL_BODY_MAX = 1024, /* nothing is posted */
        REQUEST_SECONDS = 20,
        CALL_SECONDS = 60, /* Kannel waits for 240 */
        SECRET_MIN = 22,   /* 128 bits in base64 */
        SECRET_MAX = 128,
        REPORT_MASK = 1 | 2 | 4 | 8 | 16,
};

struct SmsDriver {
        SmsChannel *channel;
        HttpCarrier *carrier;
        HttpListen *listen;
        char *url, *username, *callback_url, *country_code;
        Secret password, secret;
        CallTokens calls;
        struct Job *jobs;
        bool has_warned;
};

typedef struct Job Job;
struct Job {
        SmsDriver *driver;
        const SmsOutbound *outbound;
        unsigned segment; /* the one that is asked about */
        Job *next, *previous;
};

/* --- out --- */

static bool add_header(struct curl_slist **list, const char *name, const char *value) {
        return http_carrier_header(list, name, value);
}

static bool add_number(struct curl_slist **list, const char *name, long value) {
        char text[24];

        (void) snprintf(text, sizeof(text), "%ld", value);
        return add_header(list, name, text);
}

static bool add_login(const SmsDriver *d, struct curl_slist **list) {
        return add_header(list, "X-Kannel-Username", d->username) &&
               add_header(list, "X-Kannel-Password", (const char *) d->password.data);
}

static bool add_udh(const SmsOutbound *out, unsigned segment, struct curl_slist **list) {
        uint8_t header[SMS_UDH_CONCAT_SIZE];
        char hex[2 * sizeof(header) + 1];

        if (out->plan->n_segments == 1)
                return true;
        sms_udh_write_concat(
                        out->reference, out->plan->n_segments, (uint8_t) (segment + 1), header);
        text_hex(header, sizeof(header), hex);
        return add_header(list, "X-Kannel-UDH", hex);
}

/* In whole minutes. One is the least: Kannel drops what has none before it is sent. */
static bool add_validity(const SmsOutbound *out, struct curl_slist **list) {
        int64_t minutes = (out->expires - time_wall()) / 60;

        if (out->expires == 0)
                return true;
        return add_number(list, "X-Kannel-Validity", minutes < 1 ? 1 : (long) minutes);
}

static bool add_report_url(const SmsDriver *d,
                const SmsOutbound *out,
                unsigned segment,
                struct curl_slist **list) {
        _cleanup_(secret_free_stringp) char *url = NULL;
        char repeat[32] = "";

        if (out->repeat > 0)
                (void) snprintf(repeat, sizeof(repeat), "&repeat=%" PRId64, out->repeat);
        if (asprintf(&url,
                            "%s/%s/dlr?message=%s&segment=%u%s&type=%%d&text=%%A",
                            d->callback_url,
                            (const char *) d->secret.data,
                            out->message,
                            segment,
                            repeat) < 0) {
                url = NULL;
                return false;
        }
        return add_number(list, "X-Kannel-DLR-Mask", REPORT_MASK) &&
               add_header(list, "X-Kannel-DLR-URL", url);
}

/* GSM-7 as UTF-8, which is what Kannel reads into that alphabet; UCS-2 as its octets. */
static bool add_content(const SmsOutbound *out,
                unsigned i,
                struct curl_slist **list,
                char **ret_body,
                size_t *ret_size) {
        const SmsSegment *segment = &out->plan->segments[i];
        bool is_gsm7 = out->plan->alphabet == SMS_GSM7;
        uint8_t octets[SMS_SEGMENT_OCTETS_MAX];
        size_t size = segment->end - segment->start;
        const void *data = out->text + segment->start;

        if (!is_gsm7) {
                size = sms_segment_write(out->plan,
                                out->text,
                                i,
                                out->reference,
                                false,
                                SMS_UNPACKED,
                                octets);
                data = octets;
        }
        *ret_body = malloc(size > 0 ? size : 1);
        if (!*ret_body)
                return false;
        memcpy(*ret_body, data, size);
        *ret_size = size;
        sodium_memzero(octets, sizeof(octets));
        return add_header(list,
                               "Content-Type",
                               is_gsm7 ? "text/plain; charset=UTF-8"
                                       : "application/octet-stream") &&
               add_number(list, "X-Kannel-Coding", is_gsm7 ? 0 : 2);
}

/* 0: the request is whole, and to be handed over. */
static int segment_request(
                const SmsDriver *d, const SmsOutbound *out, unsigned i, HttpCarrierRequest *ret) {
        *ret = (HttpCarrierRequest){ .url = d->url };
        if (add_login(d, &ret->headers) && add_header(&ret->headers, "X-Kannel-From", out->from) &&
                        add_header(&ret->headers, "X-Kannel-To", out->to) &&
                        add_udh(out, i, &ret->headers) && add_validity(out, &ret->headers) &&
                        add_report_url(d, out, i, &ret->headers) &&
                        add_content(out, i, &ret->headers, &ret->body, &ret->size))
                return 0;
        http_carrier_headers_free(ret->headers);
        if (ret->body)
                sodium_memzero(ret->body, ret->size);
        free(ret->body);
        return -ENOMEM;
}

static void on_segment(const HttpCarrierAnswer *answer, void *userdata);

static int job_ask(Job *job) {
        HttpCarrierRequest request;
        int r;

        r = segment_request(job->driver, job->outbound, job->segment, &request);
        if (r < 0)
                return r;
        return http_carrier_ask(job->driver->carrier, &request, on_segment, job);
}

static void job_free(Job *job) {
        if (job->previous)
                job->previous->next = job->next;
        else
                job->driver->jobs = job->next;
        if (job->next)
                job->next->previous = job->previous;
        free(job);
}

static void job_end(Job *job, const SmsSendResult *result) {
        SmsDriver *d = job->driver;
        const SmsOutbound *outbound = job->outbound;

        job_free(job);
        sms_channel_sent(d->channel, outbound, result);
}

/* What an answer says about Kannel itself. Returns the seconds to wait before it is asked again; 0:
 * nothing says so. */
static unsigned note_carrier(
                SmsDriver *d, const HttpCarrierAnswer *answer, KannelVerdict *verdict) {
        if (answer->status == 0)
                *verdict = (KannelVerdict){ .outcome = answer->was_sent ? SMS_SEND_FAILED
                                                                        : SMS_SEND_LATER,
                        .reason = answer->failure,
                        .is_down = true };
        else
                *verdict = kannel_verdict(answer->status, answer->body);
        if (verdict->is_down)
                return http_carrier_down(d->carrier, verdict->reason);
        if (verdict->is_login)
                http_carrier_up(d->carrier);
        if (verdict->outcome == SMS_SEND_LATER)
                return http_carrier_pause(d->carrier, answer->retry_after);
        return answer->retry_after;
}

static void on_segment(const HttpCarrierAnswer *answer, void *userdata) {
        Job *job = userdata;
        SmsDriver *d = job->driver;
        KannelVerdict verdict;
        SmsSendResult result;
        unsigned seconds = note_carrier(d, answer, &verdict);

        if (verdict.outcome == SMS_SEND_TAKEN && ++job->segment < job->outbound->plan->n_segments) {
                sms_channel_segment(d->channel, job->outbound, job->segment - 1, NULL);
                if (job_ask(job) == 0)
                        return;
        }
        result = (SmsSendResult){
                .outcome = verdict.outcome, .reason = verdict.reason, .retry_after = seconds
        };
        if (verdict.outcome == SMS_SEND_TAKEN && job->segment < job->outbound->plan->n_segments)
                result = (SmsSendResult){ .outcome = SMS_SEND_LATER, .reason = "no-memory" };
        /* What has cost something was tried. */
        if (result.outcome == SMS_SEND_LATER && job->segment > 0)
                result.outcome = SMS_SEND_FAILED;
        job_end(job, &result);
}

static int kannel_send(SmsDriver *d, const SmsOutbound *outbound) {
        Job *job;
        int r;

        if (http_carrier_puts_off(d->carrier, outbound))
                return 0;
        job = calloc(1, sizeof(*job));
        if (!job)
                return -ENOMEM;
        *job = (Job){ .driver = d, .outbound = outbound, .next = d->jobs };
        if (job->next)
                job->next->previous = job;
        d->jobs = job;
        while (outbound->taken && outbound->taken[job->segment].is_taken)
                job->segment++;
        r = job_ask(job);
        if (r < 0)
                job_free(job);
        return r;
}

/* --- is it there --- */

static void on_probed(const HttpCarrierAnswer *answer, void *userdata) {
        SmsDriver *d = userdata;
        KannelVerdict verdict;

        (void) note_carrier(d, answer, &verdict);
        if (!verdict.is_down && !verdict.is_login)
                (void) http_carrier_down(d->carrier, verdict.reason);
}

/* A message to nobody: Kannel looks at the password first, and refuses it with 400 then. */
static void kannel_probe(void *userdata) {
        SmsDriver *d = userdata;
        HttpCarrierRequest request = { .url = d->url, .size = 1, .beside = true };

        request.body = strdup("?");
        if (!request.body || !add_login(d, &request.headers) ||
                        !add_header(&request.headers, "Content-Type", "text/plain")) {
                free(request.body);
                (void) http_carrier_down(d->carrier, "no-memory");
                return;
        }
        if (http_carrier_ask(d->carrier, &request, on_probed, d) < 0)
                (void) http_carrier_down(d->carrier, "no-memory");
}

/* --- in --- */

static const char *const reader_errors[] = {
        [KANNEL_E_FORM] = "without the arguments that the manual page asks for",
        [KANNEL_E_SENDER] = "from a sender that is no telephone number",
        [KANNEL_E_BINARY] = "for a program on a phone",
};

/* 400 lets Kannel keep what its configuration, once mended, will hand in as it should; who cannot
 * be answered is of no use to anybody. */
static void answer_unread(SmsDriver *d, HttpCall *call, int error) {
        if (error < 0) {
                http_call_answer(call, 503, NULL, NULL);
                return;
        }
        if (!d->has_warned || error != KANNEL_E_FORM)
                log_notice("a message came in %s", reader_errors[error]);
        d->has_warned = d->has_warned || error == KANNEL_E_FORM;
        http_call_answer(call, error == KANNEL_E_FORM ? 400 : 200, "text/plain", NULL);
}

static void take_message(SmsDriver *d, HttpCall *call, const HttpValues *values) {
        KannelInbound inbound;
        uint64_t token;
        int r;

        r = kannel_inbound_read(values, d->country_code, &inbound);
        token = r == 0 ? call_tokens_add(&d->calls, call) : 0;
        if (token == 0) {
                answer_unread(d, call, r == 0 ? -ENOMEM : r);
        } else {
                /* Settled perhaps from in here. */
                sms_channel_inbound(d->channel,
                                &(SmsInbound){ .from = inbound.from,
                                                .to = inbound.to,
                                                .id = inbound.id,
                                                .text = inbound.text,
                                                .concat = &inbound.concat,
                                                .octets = &inbound.octets,
                                                .sent = inbound.sent,
                                                .token = token });
        }
        kannel_inbound_done(&inbound);
}

static void take_report(SmsDriver *d, HttpCall *call, const HttpValues *values) {
        KannelReport report;
        uint64_t token;

        if (kannel_report_read(values, &report) != 0) {
                http_call_answer(call, 400, "text/plain", NULL);
                return;
        }
        token = call_tokens_add(&d->calls, call);
        if (token == 0) {
                http_call_answer(call, 503, NULL, NULL);
                return;
        }
        /* Settled perhaps from in here. */
        sms_channel_report(d->channel,
                        &(SmsReport){ .message = report.message,
                                        .segment = report.segment,
                                        .repeat = report.repeat,
                                        .outcome = report.outcome,
                                        .error = report.error[0] ? report.error : NULL,
                                        .token = token });
}

/* What follows "/SECRET" in the path; NULL: another path. */
static const char *path_behind_secret(const SmsDriver *d, const char *path) {
        size_t n = d->secret.size;

        if (path[0] != '/' || strlen(path + 1) < n ||
                        sodium_memcmp(path + 1, d->secret.data, n) != 0)
                return NULL;
        return path + 1 + n;
}

static void on_call(HttpCall *call, const HttpCallView *view, void *userdata) {
        SmsDriver *d = userdata;
        const char *rest = path_behind_secret(d, view->path);
        HttpValues values;
        int r;

        if (!rest || (!streq(rest, "/mo") && !streq(rest, "/dlr"))) {
                http_call_answer(call, 404, NULL, NULL);
                return;
        }
        if (!streq(view->method, "GET")) {
                http_call_answer(call, 405, NULL, NULL);
                return;
        }
        r = http_values_read(view->query, strlen(view->query), &values);
        if (r != 0)
                answer_unread(d, call, r < 0 ? r : KANNEL_E_FORM);
        else if (streq(rest, "/mo"))
                take_message(d, call, &values);
        else
                take_report(d, call, &values);
        http_values_done(&values);
}

static void on_gone(HttpCall *call, void *userdata) {
        SmsDriver *d = userdata;

        call_tokens_forget(&d->calls, call);
}

/* An empty body, lest Kannel sends it to the person. */
static void kannel_settle(SmsDriver *d, uint64_t token, SmsSettlement settlement) {
        HttpCall *call = call_tokens_take(&d->calls, token);

        if (call)
                http_call_answer(call,
                                settlement == SMS_SETTLED_TAKEN ? 200 : 503,
                                "text/plain",
                                NULL);
}

/* --- life --- */

static SmsDriver *kannel_free(SmsDriver *d) {
        if (!d)
                return NULL;

        (void) http_listen_free(d->listen);
        (void) http_carrier_free(d->carrier);
        call_tokens_done(&d->calls);
        while (d->jobs)
                job_free(d->jobs);
        free(d->url);
        free(d->username);
        free(d->callback_url);
        free(d->country_code);
        secret_done(&d->password);
        secret_done(&d->secret);
        free(d);
        return NULL;
}
DEFINE_CLEANUP(SmsDriver, kannel_free)

static int copy_setting(
                const json_t *settings, const char *name, const char *fallback, char **ret) {
        const char *text = plugin_setting(settings, name, fallback);

        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

/* A base of URLs is written without a slash at its end. */
static int copy_callback_url(const json_t *settings, const char *listen, char **ret) {
        const char *text = plugin_setting(settings, "callback_url", NULL);
        size_t n;

        if (text)
                *ret = strdup(text);
        else if (asprintf(ret, "http://%s", listen) < 0)
                *ret = NULL;
        if (!*ret)
                return -ENOMEM;
        for (n = strlen(*ret); n > 0 && (*ret)[n - 1] == '/'; n--)
                (*ret)[n - 1] = '\0';
        return http_carrier_url_is_good("callback_url", *ret, HTTP_PLAIN_TAKEN) ? 0 : -EINVAL;
}

static int read_secret(const char *name, Secret *ret) {
        int r = credential_read_line(name, ret);

        if (r < 0)
                log_error("the credential %s cannot be read: %s", name, strerror(-r));
        return r;
}

static int secrets_read(SmsDriver *d) {
        static const char symbols[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_";
        int r;

        r = read_secret("kannel-password", &d->password);
        if (r < 0)
                return r;
        r = read_secret("callback-path", &d->secret);
        if (r < 0)
                return r;
        if (d->secret.size < SECRET_MIN || d->secret.size > SECRET_MAX ||
                        strspn((const char *) d->secret.data, symbols) != d->secret.size) {
                log_error("the credential callback-path must have %d to %d letters, digits, - and "
                          "_",
                                SECRET_MIN,
                                SECRET_MAX);
                return -EINVAL;
        }
        return 0;
}

static int settings_read(SmsDriver *d, const json_t *settings, const char *listen) {
        int r;

        r = copy_setting(settings, "url", NULL, &d->url);
        if (r == 0)
                r = copy_setting(settings, "username", NULL, &d->username);
        if (r == 0)
                r = copy_setting(settings, "country_code", NULL, &d->country_code);
        if (r < 0)
                return r;
        if (!d->url || !d->username) {
                log_error("the driver kannel needs `url` and `username`");
                return -EINVAL;
        }
        if (!http_carrier_url_is_good("url", d->url, HTTP_PLAIN_WARNED))
                return -EINVAL;
        r = copy_callback_url(settings, listen, &d->callback_url);
        return r < 0 ? r : secrets_read(d);
}

static int driver_listen(SmsDriver *d, sd_event *event, const char *address) {
        static const HttpListenOps ops = { .call = on_call, .gone = on_gone };
        static const HttpListenLimits limits = { .connections = CALLS_MAX,
                .body_max = CALL_BODY_MAX,
                .request_seconds = REQUEST_SECONDS,
                .answer_seconds = CALL_SECONDS };
        int r;

        r = http_listen_new(&d->listen, event, address, &ops, &limits, d);
        if (r < 0)
                log_error("cannot listen on %s: %s", address, strerror(-r));
        return r;
}

static int kannel_new(
                SmsDriver **ret, SmsChannel *channel, sd_event *event, const json_t *settings) {
        const char *listen = plugin_setting(settings, "listen", "127.0.0.1:13200");
        _cleanup_(kannel_freep) SmsDriver *d = calloc(1, sizeof(*d));
        HttpCarrierPolicy policy = { .probe = kannel_probe };
        int r;

        if (!d)
                return -ENOMEM;
        d->channel = channel;
        r = settings_read(d, settings, listen);
        if (r < 0)
                return r;
        policy.userdata = d;
        if (!http_carrier_number(
                            settings, "window", WINDOW, 1, HTTP_CARRIER_WINDOW_MAX, &policy.window))
                return -EINVAL;
        r = http_carrier_new(&d->carrier, channel, event, &policy);
        if (r < 0)
                return r;
        r = driver_listen(d, event, listen);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(d);
        return 0;
}

const SmsDriverOps sms_driver_kannel = {
        .name = "kannel",
        .tells_segments = true,
        .new = kannel_new,
        .send = kannel_send,
        .settle = kannel_settle,
        .free = kannel_free,
};
