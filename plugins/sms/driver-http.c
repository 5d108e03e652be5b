#include "driver-http.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "curl-loop.h"
#include "log.h"
#include "plugin.h"
#include "time-text.h"

enum {
        BESIDE = 4, /* slots beside the window */
        CONNECT_SECONDS = 10,
        BACKOFF_SECONDS = 1,
        BACKOFF_SECONDS_MAX = 60,
        RETRY_SECONDS_MAX = 3600,
};

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

/* One request at a time, over whichever connection is free. */
typedef struct Slot {
        HttpCarrier *carrier;
        CURL *easy;
        struct curl_slist *headers;
        char *body;
        size_t body_size;
        HttpCarrierDone done;
        void *userdata;
        bool is_busy;
        char answer[HTTP_CARRIER_BODY_MAX + 1];
        size_t answer_size;
} Slot;

/* A message whose result is told from the loop. */
typedef struct PutOff {
        const SmsOutbound *outbound;
        struct PutOff *next;
} PutOff;

struct HttpCarrier {
        SmsChannel *channel;
        CurlLoop *loop;
        Slot *slots; /* the window, and BESIDE more */
        size_t n_slots;
        unsigned window, n_busy;
        bool was_full;
        HttpCarrierProbe probe;
        void *userdata;

        sd_event_source *timer; /* the next probe */
        bool is_up, leaves_unanswered;
        char reason[48];
        unsigned backoff;                  /* seconds */
        uint64_t next_probe, paused_until; /* of time_boot() */

        sd_event_source *soon;
        PutOff *put_off, **put_off_end;
};

/* --- requests --- */

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Slot *slot = userdata;
        size_t room = HTTP_CARRIER_BODY_MAX - slot->answer_size, taken = size * n;

        if (taken > room)
                taken = room;
        memcpy(slot->answer + slot->answer_size, data, taken);
        slot->answer_size += taken;
        return size * n;
}

static const char *failure_word(CURLcode code) {
        switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
                return "no-address";
        case CURLE_COULDNT_CONNECT:
                return "no-connection";
        case CURLE_OPERATION_TIMEDOUT:
                return "timeout";
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
                return "certificate";
        case CURLE_SSL_CONNECT_ERROR:
                return "tls";
        case CURLE_OUT_OF_MEMORY:
                return "no-memory";
        default:
                return "cut";
        }
}

static void request_clear(struct curl_slist *headers, char *body, size_t size) {
        http_carrier_headers_free(headers);
        if (body)
                sodium_memzero(body, size);
        free(body);
}

static void slot_clear(Slot *slot) {
        request_clear(TAKE_PTR(slot->headers), TAKE_PTR(slot->body), slot->body_size);
}

static bool was_sent(CURL *easy) {
        curl_off_t uploaded = 0;
        long size = 0;

        (void) curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &size);
        (void) curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
        return size > 0 || uploaded > 0;
}

/* libcurl would repeat a request when a kept connection ends before its answer. */
static int
on_connected(void *userdata, char *local_address, char *address, int local_port, int remote_port) {
        const Slot *slot = userdata;

        (void) local_address;
        (void) address;
        (void) local_port;
        (void) remote_port;
        return was_sent(slot->easy) ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void answer_read(Slot *slot, CURLcode code, HttpCarrierAnswer *ret) {
        curl_off_t retry_after = 0;
        long status = 0;

        slot->answer[slot->answer_size] = 0;
        *ret = (HttpCarrierAnswer){ .body = slot->answer, .was_sent = was_sent(slot->easy) };
        if (code != CURLE_OK) {
                ret->failure = failure_word(code);
                return;
        }
        (void) curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
        (void) curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &retry_after);
        ret->status = (int) status;
        if (status == 0)
                ret->failure = "cut";
        if (retry_after > RETRY_SECONDS_MAX)
                retry_after = RETRY_SECONDS_MAX;
        if (retry_after > 0)
                ret->retry_after = (unsigned) retry_after;
}

static void note_message(HttpCarrier *c, const HttpCarrierAnswer *answer) {
        if (answer->status != 0 && c->leaves_unanswered) {
                c->leaves_unanswered = false;
                if (c->is_up)
                        c->backoff = 0;
        } else if (answer->status == 0 && answer->was_sent)
                c->leaves_unanswered = true;
}

static void on_done(CURL *easy, CURLcode code, void *userdata) {
        Slot *slot = userdata;
        HttpCarrier *c = slot->carrier;
        HttpCarrierAnswer answer;

        answer_read(slot, code, &answer);
        curl_loop_remove(c->loop, easy);
        slot_clear(slot);
        slot->is_busy = false;
        if (slot < c->slots + c->window) {
                c->n_busy--;
                note_message(c, &answer);
        }
        slot->done(&answer, slot->userdata);

        if (c->was_full && c->n_busy < c->window) {
                c->was_full = false;
                sms_channel_ready(c->channel);
        }
}

static Slot *slot_find(HttpCarrier *c, bool beside) {
        for (size_t i = beside ? c->window : 0; i < (beside ? c->n_slots : c->window); i++)
                if (!c->slots[i].is_busy)
                        return &c->slots[i];
        return NULL;
}

static int slot_set(Slot *slot, const char *url) {
        CURL *easy = slot->easy;
        CURLcode code = curl_easy_setopt(easy, CURLOPT_URL, url);

        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, slot->headers);
        if (code == CURLE_OK && slot->body) {
                code = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, slot->body);
                if (code == CURLE_OK)
                        code = curl_easy_setopt(
                                        easy, CURLOPT_POSTFIELDSIZE, (long) slot->body_size);
        } else if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        return code == CURLE_OK ? 0 : -ENOMEM;
}

int http_carrier_ask(HttpCarrier *c,
                const HttpCarrierRequest *request,
                HttpCarrierDone done,
                void *userdata) {
        Slot *slot = slot_find(c, request->beside);
        int r;

        if (!slot) {
                request_clear(request->headers, request->body, request->size);
                c->was_full = c->was_full || !request->beside;
                return -EAGAIN;
        }
        slot->headers = request->headers;
        slot->body = request->body;
        slot->body_size = request->size;
        slot->answer_size = 0;
        slot->done = done;
        slot->userdata = userdata;
        r = slot_set(slot, request->url);
        if (r == 0)
                r = curl_loop_add(c->loop, slot->easy, on_done, slot);
        if (r < 0) {
                slot_clear(slot);
                return r;
        }
        slot->is_busy = true;
        if (!request->beside)
                c->n_busy++;
        return 0;
}

bool http_carrier_header(struct curl_slist **list, const char *name, const char *value) {
        size_t size = strlen(name) + strlen(value) + 3;
        char *line = strpbrk(value, "\r\n") ? NULL : malloc(size);
        struct curl_slist *longer = NULL;

        if (line) {
                (void) stpcpy(stpcpy(stpcpy(line, name), ": "), value);
                longer = curl_slist_append(*list, line);
                sodium_memzero(line, size);
                free(line);
        }
        if (!longer)
                http_carrier_headers_free(*list);
        *list = longer;
        return longer != NULL;
}

void http_carrier_headers_free(struct curl_slist *list) {
        for (struct curl_slist *line = list; line; line = line->next)
                sodium_memzero(line->data, strlen(line->data));
        curl_slist_free_all(list);
}

/* --- is it there --- */

static void probe_in(HttpCarrier *c, unsigned seconds) {
        (void) sd_event_source_set_time_relative(c->timer, seconds * USEC_PER_SEC);
        (void) sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpCarrier *c = userdata;

        (void) source;
        (void) usec;
        c->probe(c->userdata);
        return 0;
}

void http_carrier_up(HttpCarrier *c) {
        if (c->is_up)
                return;
        c->is_up = true;
        if (!c->leaves_unanswered)
                c->backoff = 0;
        (void) sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        sms_channel_carrier(c->channel, true, NULL);
}

unsigned http_carrier_down(HttpCarrier *c, const char *reason) {
        int pending = SD_EVENT_OFF;

        /* The channel says when it goes; here is said why it does not come. */
        if (!c->is_up && !streq(c->reason, reason))
                log_warning("the carrier cannot be used: %s", reason);
        c->is_up = false;
        (void) snprintf(c->reason, sizeof(c->reason), "%s", reason);
        sms_channel_carrier(c->channel, false, c->reason);
        (void) sd_event_source_get_enabled(c->timer, &pending);
        if (pending != SD_EVENT_OFF)
                return c->backoff; /* many requests fail at once */
        c->backoff = c->backoff == 0 ? BACKOFF_SECONDS : 2 * c->backoff;
        if (c->backoff > BACKOFF_SECONDS_MAX)
                c->backoff = BACKOFF_SECONDS_MAX;
        c->next_probe = time_boot() + c->backoff * USEC_PER_SEC;
        probe_in(c, c->backoff);
        return c->backoff;
}

unsigned http_carrier_pause(HttpCarrier *c, unsigned seconds) {
        uint64_t until;

        if (seconds == 0)
                seconds = HTTP_CARRIER_PAUSE_SECONDS;
        until = time_boot() + seconds * USEC_PER_SEC;
        if (until > c->paused_until)
                c->paused_until = until;
        return seconds;
}

static void
tell_later(HttpCarrier *c, const SmsOutbound *outbound, const char *reason, unsigned retry_after) {
        const SmsSendResult result = {
                .outcome = SMS_SEND_LATER, .reason = reason, .retry_after = retry_after
        };

        sms_channel_sent(c->channel, outbound, &result);
}

static unsigned seconds_closed(const HttpCarrier *c) {
        uint64_t now = time_boot(), until = c->is_up ? 0 : c->next_probe;

        if (c->paused_until > until)
                until = c->paused_until;
        return until > now ? (unsigned) ((until - now) / USEC_PER_SEC) + 1 : 0;
}

static int on_soon(sd_event_source *source, void *userdata) {
        HttpCarrier *c = userdata;

        (void) source;
        while (c->put_off) {
                PutOff *first = c->put_off;
                const SmsOutbound *outbound = first->outbound;
                unsigned seconds = seconds_closed(c);

                c->put_off = first->next;
                if (!c->put_off)
                        c->put_off_end = &c->put_off;
                free(first);
                tell_later(c,
                                outbound,
                                c->is_up ? "carrier-busy" : c->reason,
                                seconds > 0 ? seconds : 1);
        }
        return 0;
}

bool http_carrier_puts_off(HttpCarrier *c, const SmsOutbound *outbound) {
        PutOff *put_off;

        if (c->is_up && c->paused_until <= time_boot())
                return false;
        put_off = calloc(1, sizeof(*put_off));
        if (!put_off)
                return false; /* it will be asked, in vain */
        put_off->outbound = outbound;
        *c->put_off_end = put_off;
        c->put_off_end = &put_off->next;
        (void) sd_event_source_set_enabled(c->soon, SD_EVENT_ONESHOT);
        return true;
}

/* --- life --- */

static int easy_new(const HttpCarrierPolicy *policy, Slot *slot, CURL **ret) {
        const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                { CURLOPT_NOSIGNAL, 1 },
                { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
                { CURLOPT_TIMEOUT, HTTP_CARRIER_SECONDS },
                { CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS },
                { CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC },
        };
        const struct {
                CURLoption option;
                const char *value;
        } texts[] = {
                { CURLOPT_PROTOCOLS_STR, "http,https" },
                { CURLOPT_PROXY, "" },
                { CURLOPT_USERAGENT, "Vestibule/" VESTIBULE_VERSION },
                { CURLOPT_CAINFO, policy->ca_file ? policy->ca_file : system_ca_file },
                /* Its default would switch off libcurl's cache of the issuers in the file. */
                { CURLOPT_CAPATH, NULL },
                { CURLOPT_USERNAME, policy->username },
                { CURLOPT_PASSWORD, policy->password },
        };
        CURL *easy = curl_easy_init();
        CURLcode code = easy ? CURLE_OK : CURLE_OUT_OF_MEMORY;

        for (size_t i = 0; i < N_ELEMENTS(numbers) && code == CURLE_OK; i++)
                code = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
        for (size_t i = 0; i < N_ELEMENTS(texts) && code == CURLE_OK; i++)
                code = curl_easy_setopt(easy, texts[i].option, texts[i].value);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot);
        *ret = easy;
        return code == CURLE_OK ? 0 : code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

static int carrier_set_slots(HttpCarrier *c, const HttpCarrierPolicy *policy) {
        CURLM *multi = curl_loop_multi(c->loop);

        c->window = policy->window;
        c->slots = calloc(c->window + BESIDE, sizeof(*c->slots));
        if (!c->slots)
                return -ENOMEM;
        c->n_slots = c->window + BESIDE;
        for (size_t i = 0; i < c->n_slots; i++) {
                int r;

                c->slots[i].carrier = c;
                r = easy_new(policy, &c->slots[i], &c->slots[i].easy);
                if (r < 0)
                        return r;
        }
        if (curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) c->n_slots) != CURLM_OK ||
                        curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK)
                return -EINVAL;
        return 0;
}

static int carrier_set_sources(HttpCarrier *c, sd_event *event) {
        int r;

        r = sd_event_add_defer(event, &c->soon, on_soon, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->soon, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* The first probe; not from here, as the driver is not whole yet. */
        return sd_event_add_time_relative(
                        event, &c->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, c);
}

int http_carrier_new(HttpCarrier **ret,
                SmsChannel *channel,
                sd_event *event,
                const HttpCarrierPolicy *policy) {
        _cleanup_(http_carrier_freep) HttpCarrier *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->channel = channel;
        c->probe = policy->probe;
        c->userdata = policy->userdata;
        memcpy(c->reason, "connecting", sizeof("connecting"));
        c->put_off_end = &c->put_off;
        r = curl_loop_new(&c->loop, event);
        if (r < 0)
                return r;
        r = carrier_set_slots(c, policy);
        if (r < 0)
                return r;
        r = carrier_set_sources(c, event);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

HttpCarrier *http_carrier_free(HttpCarrier *c) {
        if (!c)
                return NULL;

        (void) curl_loop_free(c->loop);
        for (size_t i = 0; i < c->n_slots; i++) {
                curl_easy_cleanup(c->slots[i].easy);
                slot_clear(&c->slots[i]);
        }
        free(c->slots);
        while (c->put_off) {
                PutOff *first = c->put_off;

                c->put_off = first->next;
                free(first);
        }
        (void) sd_event_source_disable_unref(c->soon);
        (void) sd_event_source_disable_unref(c->timer);
        free(c);
        return NULL;
}

/* --- callbacks that are answered later --- */

typedef struct CallToken CallToken;
struct CallToken {
        uint64_t token;
        HttpCall *call;
        CallToken *next;
};

uint64_t call_tokens_add(CallTokens *tokens, HttpCall *call) {
        CallToken *token = calloc(1, sizeof(*token));

        if (!token)
                return 0;
        *token = (CallToken){ .token = ++tokens->last, .call = call, .next = tokens->first };
        tokens->first = token;
        return token->token;
}

static HttpCall *token_remove(CallToken **place) {
        CallToken *token = *place;
        HttpCall *call = token->call;

        *place = token->next;
        free(token);
        return call;
}

HttpCall *call_tokens_take(CallTokens *tokens, uint64_t token) {
        for (CallToken **place = &tokens->first; *place; place = &(*place)->next)
                if ((*place)->token == token)
                        return token_remove(place);
        return NULL;
}

void call_tokens_forget(CallTokens *tokens, const HttpCall *call) {
        for (CallToken **place = &tokens->first; *place; place = &(*place)->next)
                if ((*place)->call == call) {
                        (void) token_remove(place);
                        return;
                }
}

void call_tokens_done(CallTokens *tokens) {
        while (tokens->first)
                (void) token_remove(&tokens->first);
}

/* --- settings --- */

bool http_carrier_number(const json_t *settings,
                const char *name,
                unsigned fallback,
                unsigned min,
                unsigned max,
                unsigned *ret) {
        const char *text = plugin_setting(settings, name, NULL);
        unsigned long number;
        char *end;

        *ret = fallback;
        if (!text)
                return true;
        number = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || number < min || number > max) {
                log_error("`%s` must be a number from %u to %u", name, min, max);
                return false;
        }
        *ret = (unsigned) number;
        return true;
}

static bool is_loopback_host(const char *host) {
        static const char *const hosts[] = { "127.0.0.1", "localhost", "[::1]" };

        for (size_t i = 0; i < N_ELEMENTS(hosts); i++) {
                size_t n = strlen(hosts[i]);

                if (strncasecmp(host, hosts[i], n) == 0 && strchr(":/", host[n]))
                        return true;
        }
        return false;
}

bool http_carrier_url_is_good(const char *name, const char *url, HttpPlain plain) {
        bool is_plain = strncmp(url, "http://", 7) == 0;
        const char *host = url + (is_plain ? 7 : 8), *p = url;

        while (*p > ' ' && *p < 0x7f && !strchr("\"<>\\^`{|}#@", *p))
                p++;
        if ((!is_plain && strncmp(url, "https://", 8) != 0) || *p || strchr("/:?", *host)) {
                log_error("`%s` must be http://HOST[:PORT]/… or https://HOST[:PORT]/…", name);
                return false;
        }
        if (!is_plain || plain == HTTP_PLAIN_TAKEN || is_loopback_host(host))
                return true;
        if (plain == HTTP_PLAIN_REFUSED)
                log_error("`%s` must be https://, unless it is on this machine", name);
        else
                log_warning("`%s` is plain HTTP to another machine: the password and all texts can "
                            "be read on the way",
                                name);
        return plain != HTTP_PLAIN_REFUSED;
}
