/* A carrier with the messaging API that Twilio has made common: messages are posted as forms, the
 * carrier posts forms back, and signs them over the URL that it knows us by. It takes a text whole,
 * cuts it itself, and has one id for all of it.
 *
 * Reports come to a URL that names our message, because one may overtake the answer that tells the
 * carrier's id. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "credential.h"
#include "driver-http.h"
#include "driver-rest-message.h"
#include "log.h"
#include "plugin.h"
#include "sms-number.h"
#include "time-text.h"

enum {
        WINDOW = 8,
        CALLS_MAX = 64,
        CALL_BODY_MAX = 32 * 1024,
        REQUEST_SECONDS = 10,
        CALL_SECONDS = 14, /* the carrier waits for 15 */
        MESSAGE_SIZE = 65,
        TOKEN_MIN = 16,
};

/* The tokens of reports, which are answered without a body. */
#define REPORT_TOKEN (UINT64_C(1) << 63)

/* Twilio asks a callback's URL once, and what it was answered 503 is lost, unless the URL has this
 * fragment, "connection overrides": five times more, whatever the reason. Others leave it out when
 * they ask, as RFC 3986 section 3.5 has it. */
#define CALLBACK_REPEATS "#rc=5&rp=all"

static const char empty_answer[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>";

typedef struct Job Job;

struct SmsDriver {
        SmsChannel *channel;
        HttpCarrier *carrier;
        HttpListen *listen;
        char *url, *account, *callback_url;
        bool wants_repeats; /* callbacks that were refused come again */
        Secret token;
        CallTokens calls, reports;
        Job *jobs;
        bool has_warned;
};

/* A question to the carrier: about a message that leaves, or one that is taken back. */
struct Job {
        SmsDriver *driver;
        const SmsOutbound *outbound; /* NULL: taking back */
        char message[MESSAGE_SIZE];  /* that is taken back */
        Job *next, *previous;
};

static Job *job_new(SmsDriver *d) {
        Job *job = calloc(1, sizeof(*job));

        if (!job)
                return NULL;
        *job = (Job){ .driver = d, .next = d->jobs };
        if (job->next)
                job->next->previous = job;
        d->jobs = job;
        return job;
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

/* True for what can stand in a path as it is. */
static bool is_plain(const char *text) {
        return text[0] && text[0] != '.' &&
               text[strspn(text,
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789-_.")] == '\0';
}

/* --- out --- */

/* What an answer says about the carrier itself. Returns the seconds to wait before it is asked
 * again; 0: nothing says so. */
static unsigned note_carrier(SmsDriver *d, const HttpCarrierAnswer *answer, RestVerdict *verdict) {
        if (answer->status == 0) {
                *verdict = (RestVerdict){ .outcome = answer->was_sent ? SMS_SEND_FAILED
                                                                      : SMS_SEND_LATER,
                        .is_down = true };
                (void) snprintf(verdict->reason, sizeof(verdict->reason), "%s", answer->failure);
        } else
                rest_verdict(answer->status, answer->body, verdict);
        if (verdict->is_down)
                return http_carrier_down(d->carrier, verdict->reason);
        if (verdict->is_login)
                http_carrier_up(d->carrier);
        if (verdict->is_slower)
                return http_carrier_pause(d->carrier, answer->retry_after);
        return answer->retry_after;
}

static void on_sent(const HttpCarrierAnswer *answer, void *userdata) {
        Job *job = userdata;
        SmsDriver *d = job->driver;
        const SmsOutbound *outbound = job->outbound;
        RestVerdict verdict;
        const char *ids[] = { verdict.id };
        SmsSendResult result;
        unsigned seconds;

        job_free(job);
        seconds = note_carrier(d, answer, &verdict);
        result = (SmsSendResult){
                .outcome = verdict.outcome, .reason = verdict.reason, .retry_after = seconds
        };
        if (verdict.outcome == SMS_SEND_TAKEN) {
                result.reason = NULL;
                result.ids = ids;
                result.n_ids = 1;
        }
        sms_channel_sent(d->channel, outbound, &result);
}

static bool format_url(const SmsDriver *d, const char *rest, const char *id, char **ret) {
        if (asprintf(ret, "%s/2010-04-01/Accounts/%s%s%s.json", d->url, d->account, rest, id) >= 0)
                return true;
        *ret = NULL;
        return false;
}

/* Posts a form, which is taken over. */
static int post(SmsDriver *d,
                const char *url,
                struct curl_slist *headers,
                char *form,
                size_t size,
                bool beside,
                HttpCarrierDone done,
                Job *job) {
        const HttpCarrierRequest request = {
                .url = url, .headers = headers, .body = form, .size = size, .beside = beside
        };

        return http_carrier_ask(d->carrier, &request, done, job);
}

/* For carriers that know a request that is repeated: one whose answer was lost has the same key, a
 * repetition that is wanted another. */
static bool add_key(struct curl_slist **headers, const SmsOutbound *out) {
        char key[128];

        if (out->repeat == 0)
                return http_carrier_header(headers, "Idempotency-Key", out->message);
        (void) snprintf(key, sizeof(key), "%s-%" PRId64, out->message, out->repeat);
        return http_carrier_header(headers, "Idempotency-Key", key);
}

static int job_send(Job *job) {
        const SmsOutbound *out = job->outbound;
        SmsDriver *d = job->driver;
        _cleanup_(freep) char *url = NULL, *callback = NULL;
        struct curl_slist *headers = NULL;
        char *form, repeat[32] = "";
        size_t size;
        int r;

        if (!format_url(d, "/Messages", "", &url))
                return -ENOMEM;
        if (out->repeat > 0)
                (void) snprintf(repeat, sizeof(repeat), "&repeat=%" PRId64, out->repeat);
        if (asprintf(&callback,
                            "%s/status?message=%s%s%s",
                            d->callback_url,
                            out->message,
                            repeat,
                            d->wants_repeats ? CALLBACK_REPEATS : "") < 0) {
                callback = NULL;
                return -ENOMEM;
        }
        r = rest_form_write(out, callback, time_wall(), &form, &size);
        if (r < 0)
                return r;
        if (!add_key(&headers, out)) {
                sodium_memzero(form, size);
                free(form);
                return -ENOMEM;
        }
        return post(d, url, headers, form, size, false, on_sent, job);
}

static int rest_send(SmsDriver *d, const SmsOutbound *outbound) {
        Job *job;
        int r;

        if (http_carrier_puts_off(d->carrier, outbound))
                return 0;
        job = job_new(d);
        if (!job)
                return -ENOMEM;
        job->outbound = outbound;
        r = job_send(job);
        if (r < 0)
                job_free(job);
        return r;
}

static SmsWithdrawOutcome withdraw_outcome(const HttpCarrierAnswer *answer) {
        if (rest_is_canceled(answer->status, answer->body))
                return SMS_WITHDRAW_DONE;
        return answer->status == 0 || answer->status == 429 || answer->status >= 500
                               ? SMS_WITHDRAW_LATER
                               : SMS_WITHDRAW_TOO_LATE;
}

static void on_withdrawn(const HttpCarrierAnswer *answer, void *userdata) {
        Job *job = userdata;
        SmsDriver *d = job->driver;
        char message[MESSAGE_SIZE];

        memcpy(message, job->message, sizeof(message));
        job_free(job);
        sms_channel_withdrawn(d->channel, message, withdraw_outcome(answer));
}

static int rest_withdraw(SmsDriver *d, const SmsTaken *taken) {
        _cleanup_(freep) char *url = NULL, *form = NULL;
        Job *job;
        int r;

        if (taken->n_ids != 1 || !is_plain(taken->ids[0]) || strlen(taken->message) >= MESSAGE_SIZE)
                return -ENOENT;
        form = strdup("Status=canceled");
        if (!form || !format_url(d, "/Messages/", taken->ids[0], &url))
                return -ENOMEM;
        job = job_new(d);
        if (!job)
                return -ENOMEM;
        memcpy(job->message, taken->message, strlen(taken->message) + 1);
        r = post(d, url, NULL, TAKE_PTR(form), strlen("Status=canceled"), true, on_withdrawn, job);
        if (r < 0)
                job_free(job);
        return r;
}

/* --- is it there --- */

static void on_probed(const HttpCarrierAnswer *answer, void *userdata) {
        SmsDriver *d = userdata;
        RestVerdict verdict;

        (void) note_carrier(d, answer, &verdict);
        if (verdict.is_down || verdict.is_login)
                return;
        if (verdict.is_slower)
                http_carrier_up(d->carrier); /* it is there, and has said when to ask */
        else
                (void) http_carrier_down(d->carrier, verdict.reason);
}

/* Asks for the account: that needs the token, and costs nothing. */
static void rest_probe(void *userdata) {
        SmsDriver *d = userdata;
        _cleanup_(freep) char *url = NULL;
        HttpCarrierRequest request = { .beside = true };

        if (format_url(d, "", "", &url)) {
                request.url = url;
                if (http_carrier_ask(d->carrier, &request, on_probed, d) == 0)
                        return;
        }
        (void) http_carrier_down(d->carrier, "no-memory");
}

/* --- in --- */

static void take_message(SmsDriver *d, HttpCall *call, const RestCallback *callback) {
        char from[SMS_NUMBER_SIZE];
        uint64_t token;

        if (!sms_number_from_carrier(callback->from, 1, NULL, false, from)) {
                log_notice("a message came in from a sender that is no telephone number");
                http_call_answer(call, 200, "text/xml", empty_answer);
                return;
        }
        token = call_tokens_add(&d->calls, call);
        if (token == 0) {
                http_call_answer(call, 503, NULL, NULL);
                return;
        }
        /* Settled perhaps from in here. */
        sms_channel_inbound(d->channel,
                        &(SmsInbound){ .from = from,
                                        .to = callback->to,
                                        .id = callback->id,
                                        .text = callback->text,
                                        .token = token });
}

/* Of our own URL; what is no number is as if it were not there. */
static int64_t repeat_read(const HttpValues *query) {
        const char *text = http_values_text(query, "repeat");

        return text && strlen(text) <= 10 && strspn(text, "0123456789") == strlen(text)
                               ? strtoll(text, NULL, 10)
                               : 0;
}

static void take_report(
                SmsDriver *d, HttpCall *call, const char *query, const RestCallback *callback) {
        uint64_t token = call_tokens_add(&d->reports, call);
        const char *message = NULL;
        HttpValues values;

        if (token == 0) {
                http_call_answer(call, 503, NULL, NULL);
                return;
        }
        if (http_values_read(query, strcspn(query, "#"), &values) == 0)
                message = http_values_text(&values, "message");
        sms_channel_report(d->channel,
                        &(SmsReport){ .id = message ? NULL : callback->id,
                                        .message = message,
                                        .repeat = message ? repeat_read(&values) : 0,
                                        .outcome = callback->outcome,
                                        .error = callback->error[0] ? callback->error : NULL,
                                        .token = token | REPORT_TOKEN });
        http_values_done(&values);
}

/* The URL that the carrier has signed over: where a proxy stands in front of us, it is not the one
 * that came here. Whether its fragment is signed too is not said anywhere. */
static bool is_signed(const SmsDriver *d,
                const HttpCall *call,
                const char *name,
                const char *query,
                const HttpValues *form) {
        static const char *const fragments[] = { "", CALLBACK_REPEATS };
        const char *signature = http_call_header(call, "X-Twilio-Signature");
        bool is_good = false;

        for (size_t i = 0; i < N_ELEMENTS(fragments) && !is_good; i++) {
                _cleanup_(freep) char *url = NULL;

                if (asprintf(&url,
                                    "%s/%s%s%.*s%s",
                                    d->callback_url,
                                    name,
                                    *query ? "?" : "",
                                    (int) strcspn(query, "#"),
                                    query,
                                    fragments[i]) < 0) {
                        url = NULL;
                        return false;
                }
                is_good = rest_signature_is_good(
                                signature, d->token.data, d->token.size, url, form);
        }
        return is_good;
}

static void refuse_unsigned(SmsDriver *d, HttpCall *call) {
        if (!d->has_warned)
                log_warning("a callback without a good signature was refused: is `callback_url` "
                            "what the carrier has, and credential rest-token its token?");
        d->has_warned = true;
        http_call_answer(call, 403, NULL, NULL);
}

static void take_form(SmsDriver *d,
                HttpCall *call,
                const char *name,
                const char *query,
                const HttpValues *form) {
        RestCallback callback;

        if (!is_signed(d, call, name, query, form))
                refuse_unsigned(d, call);
        else if (!rest_callback_read(form, &callback) || !streq(callback.account, d->account) ||
                        streq(name, "inbound") != (callback.text != NULL))
                http_call_answer(call, 400, NULL, NULL);
        else if (callback.text)
                take_message(d, call, &callback);
        else
                take_report(d, call, query, &callback);
}

/* What a path ends with. A service that does not know fragments sends ours along. NULL: it is none
 * of ours. */
static const char *callback_name(const char *path) {
        static const char *const names[] = { "inbound", "status" };
        size_t size = strcspn(path, "#");

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                size_t name_size = strlen(names[i]);

                if (size > name_size && path[size - name_size - 1] == '/' &&
                                memcmp(path + size - name_size, names[i], name_size) == 0)
                        return names[i];
        }
        return NULL;
}

static void on_call(HttpCall *call, const HttpCallView *view, void *userdata) {
        SmsDriver *d = userdata;
        const char *name = callback_name(view->path);
        HttpValues form;
        int r;

        if (!name) {
                http_call_answer(call, 404, NULL, NULL);
                return;
        }
        if (!streq(view->method, "POST")) {
                http_call_answer(call, 405, NULL, NULL);
                return;
        }
        r = http_values_read(view->body, view->body_size, &form);
        if (r != 0)
                http_call_answer(call, r < 0 ? 503 : 400, NULL, NULL);
        else
                take_form(d, call, name, view->query, &form);
        http_values_done(&form);
}

static void on_gone(HttpCall *call, void *userdata) {
        SmsDriver *d = userdata;

        call_tokens_forget(&d->calls, call);
        call_tokens_forget(&d->reports, call);
}

static void rest_settle(SmsDriver *d, uint64_t token, SmsSettlement settlement) {
        bool is_report = token & REPORT_TOKEN;
        HttpCall *call = call_tokens_take(
                        is_report ? &d->reports : &d->calls, token & ~REPORT_TOKEN);

        if (!call)
                return;
        if (settlement != SMS_SETTLED_TAKEN)
                http_call_answer(call, 503, NULL, NULL);
        else if (is_report)
                http_call_answer(call, 204, NULL, NULL);
        else
                http_call_answer(call, 200, "text/xml", empty_answer);
}

/* --- life --- */

static SmsDriver *rest_free(SmsDriver *d) {
        if (!d)
                return NULL;

        (void) http_listen_free(d->listen);
        (void) http_carrier_free(d->carrier);
        call_tokens_done(&d->calls);
        call_tokens_done(&d->reports);
        while (d->jobs)
                job_free(d->jobs);
        free(d->url);
        free(d->account);
        free(d->callback_url);
        secret_done(&d->token);
        free(d);
        return NULL;
}
DEFINE_CLEANUP(SmsDriver, rest_free)

static int copy_text(const char *text, char **ret) {
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

/* A base of URLs is kept without a slash at its end. */
static int copy_url(const char *name, const char *text, HttpPlain plain, char **ret) {
        if (!http_carrier_url_is_good(name, text, plain))
                return -EINVAL;
        *ret = strdup(text);
        if (!*ret)
                return -ENOMEM;
        for (size_t n = strlen(*ret); n > 0 && (*ret)[n - 1] == '/'; n--)
                (*ret)[n - 1] = '\0';
        return 0;
}

/* Callbacks are signed with it: whoever guesses it writes answers for everybody. */
static int token_read(Secret *ret) {
        int r = credential_read_line("rest-token", ret);

        if (r < 0) {
                log_error("the credential rest-token cannot be read: %s", strerror(-r));
                return r;
        }
        if (ret->size < TOKEN_MIN) {
                log_error("the credential rest-token must have at least %d characters", TOKEN_MIN);
                return -EINVAL;
        }
        return 0;
}

static int repeats_read(const json_t *settings, bool *ret) {
        const char *text = plugin_setting(settings, "callback_repeats", "yes");

        *ret = streq(text, "yes");
        if (*ret || streq(text, "no"))
                return 0;
        log_error("setting callback_repeats: it is neither yes nor no");
        return -EINVAL;
}

static int settings_read(SmsDriver *d, const json_t *settings) {
        const char *url = plugin_setting(settings, "url", NULL);
        const char *account = plugin_setting(settings, "account", NULL);
        const char *callback_url = plugin_setting(settings, "callback_url", NULL);
        int r;

        if (!url || !account || !callback_url || !is_plain(account)) {
                log_error("the driver rest needs `url`, `account` and `callback_url`");
                return -EINVAL;
        }
        r = copy_url("url", url, HTTP_PLAIN_REFUSED, &d->url);
        if (r == 0)
                r = copy_url("callback_url", callback_url, HTTP_PLAIN_TAKEN, &d->callback_url);
        if (r == 0)
                r = copy_text(account, &d->account);
        if (r == 0)
                r = repeats_read(settings, &d->wants_repeats);
        if (r < 0)
                return r;
        return token_read(&d->token);
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

static int driver_connect(SmsDriver *d, sd_event *event, const json_t *settings) {
        HttpCarrierPolicy policy = { .ca_file = plugin_setting(settings, "ca_file", NULL),
                .username = d->account,
                .password = (const char *) d->token.data,
                .probe = rest_probe,
                .userdata = d };
        int r;

        if (!http_carrier_number(
                            settings, "window", WINDOW, 1, HTTP_CARRIER_WINDOW_MAX, &policy.window))
                return -EINVAL;
        r = http_carrier_new(&d->carrier, d->channel, event, &policy);
        if (r < 0)
                log_error("the carrier's requests cannot be prepared: %s", strerror(-r));
        return r;
}

static int rest_new(SmsDriver **ret, SmsChannel *channel, sd_event *event, const json_t *settings) {
        _cleanup_(rest_freep) SmsDriver *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->channel = channel;
        r = settings_read(d, settings);
        if (r < 0)
                return r;
        r = driver_connect(d, event, settings);
        if (r < 0)
                return r;
        r = driver_listen(d, event, plugin_setting(settings, "listen", "127.0.0.1:13200"));
        if (r < 0)
                return r;

        *ret = TAKE_PTR(d);
        return 0;
}

const SmsDriverOps sms_driver_rest = {
        .name = "rest",
        .new = rest_new,
        .send = rest_send,
        .settle = rest_settle,
        .withdraw = rest_withdraw,
        .free = rest_free,
};
