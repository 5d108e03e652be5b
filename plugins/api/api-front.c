#include "api-front.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "api-event.h"
#include "api-message.h"
#include "api-metrics.h"
#include "api-openapi.h"
#include "api-request.h"
#include "api-route.h"
#include "api-seal.h"
#include "api-verb.h"
#include "api-wait.h"
#include "json-quick.h"
#include "json-wipe.h"
#include "log.h"
#include "text.h"
#include "time-text.h"

enum {
        DESCRIPTIONS_MAX = 256,
        DESCRIPTION_SECONDS = 60,
        ENVELOPE_MARGIN_SECONDS =
                        3600, /* the release may come late, the mailbox must still be makeable */
        SHARE_SECONDS_MAX =
                        66 * 3600, /* no share lives longer, from its start to its mailbox's end */
        CREATE_SECONDS = 60,
        RETRY_SECONDS = 5,
        STREAMS_MAX = 256,
        STREAMS_PER_TENANT = 8,
        STREAM_CREDIT = 100,      /* events that the gateway hands over at a time */
        STREAM_WAIT_SECONDS = 15, /* without an event, until a sign of life */
        STREAM_PAGE_MSEC = 50,    /* between whole pages, lest who reads far back has all of us */
        STREAM_PAUSE_SECONDS = 1, /* from one question that did not wait to the next */
};

static const char type_json[] = "application/json";
static const char type_problem[] = "application/problem+json";

/* What the gateway said of a credential: tenant, policies. Found by a hash of the credential; a
 * slot is simply overwritten by another credential that falls into it. */
typedef struct Description {
        uint8_t hash[16];
        uint64_t until; /* CLOCK_BOOTTIME */
        json_t *body;
} Description;

struct ApiFront {
        Plugin *plugin;
        RelayPublicKeys keys;
        RelayPrivateKeys *message_keys; /* or NULL */
        Description descriptions[DESCRIPTIONS_MAX];
        ApiWaits waits;
        struct Call *streams;
        size_t n_streams;
};

/* One request on its way through the front. Lives from the request to its answer, a stream of
 * events to its end. */
typedef struct Call {
        ApiFront *front;
        ApiRequest *request;
        const ApiRoute *route;
        char id[ID_TEXT_SIZE];
        ApiQuery query;
        json_t *credential;
        uint8_t credential_hash[16];
        json_t *idempotency;
        json_t *body;   /* what is passed on as it is, or NULL */
        ApiShare share; /* of a further message only the provisioning */
        int64_t ask;    /* id of the question under way, or 0 */
        ApiWait *wait;  /* or this one, which may take long, or NULL */
        bool asked_again;
        char *stream_tenant; /* whose stream this is, or NULL */
        struct Call *stream_previous, *stream_next;
        json_t *cursor; /* of the stream */
        bool caught_up; /* all that was there when it began has been passed on */
        uint64_t asked; /* boot time of the last question */
        bool idle;      /* its answer came at once, and had nothing */
        bool more;      /* its answer was a whole page */
        sd_event_source *pause;
} Call;

static void stream_unlink(Call *call) {
        if (!call->stream_tenant)
                return;
        if (call->stream_previous)
                call->stream_previous->stream_next = call->stream_next;
        else
                call->front->streams = call->stream_next;
        if (call->stream_next)
                call->stream_next->stream_previous = call->stream_previous;
        call->front->n_streams--;
        free(call->stream_tenant);
}

static Call *call_free(Call *call) {
        if (!call)
                return NULL;
        stream_unlink(call);
        (void) sd_event_source_disable_unref(call->pause);
        json_decref(call->cursor);
        json_decref(call->credential);
        json_decref(call->idempotency);
        json_decref(call->body);
        api_share_done(&call->share);
        free(call);
        return NULL;
}

static void call_fail(Call *call, const ApiFault *fault) {
        const ApiProblemInfo *info = api_problem_info(fault->problem);
        char seconds[8];

        if (info->status == 503 || info->status == 429) {
                (void) snprintf(seconds,
                                sizeof(seconds),
                                "%d",
                                fault->problem == API_PROBLEM_BUSY ? 1 : RETRY_SECONDS);
                api_request_add_header(call->request, "Retry-After", seconds);
        }
        if (info->status == 401)
                api_request_add_header(
                                call->request, "WWW-Authenticate", "Bearer realm=\"vestibule\"");
        api_request_answer_json(call->request, info->status, type_problem, api_problem_json(fault));
}

/* For what is not the client's fault. */
static void call_fail_errno(Call *call, int error) {
        ApiFault fault;

        if (error == -ENOBUFS)
                (void) api_fault(&fault,
                                API_PROBLEM_BUSY,
                                NULL,
                                "Wait as Retry-After says, then send the same request with the "
                                "same "
                                "Idempotency-Key.");
        else if (error == -EMSGSIZE)
                (void) api_fault(&fault, API_PROBLEM_TOO_LARGE, NULL, "Send a smaller body.");
        else if (error == -ENOTCONN || error == -EPIPE)
                (void) api_fault(&fault,
                                API_PROBLEM_UNAVAILABLE,
                                NULL,
                                "The gateway is away or slow. Wait as Retry-After says, then send "
                                "the same "
                                "request with the same Idempotency-Key.");
        else
                (void) api_fault(&fault,
                                API_PROBLEM_INTERNAL,
                                NULL,
                                "Send the same request again; if it fails again, tell the "
                                "operator.");
        call_fail(call, &fault);
}

static void on_gone(ApiRequest *request, void *userdata) {
        ApiFront *front = userdata;
        Call *call = api_request_userdata(request);

        if (!call)
                return;
        if (call->ask != 0)
                plugin_forget(front->plugin, call->ask);
        if (call->wait)
                api_wait_forget(call->wait);
        api_request_set_userdata(request, NULL);
        (void) call_free(call);
}

/* Asks the gateway; takes the frame over. Answers the request itself when that cannot be done. */
static void call_ask(Call *call, json_t *frame, unsigned deadline, PluginAnswer on_answer) {
        int r;

        if (!frame) {
                call_fail_errno(call, -ENOMEM);
                return;
        }
        r = plugin_ask(call->front->plugin, frame, deadline, on_answer, call, &call->ask);
        if (r < 0) {
                call->ask = 0;
                call_fail_errno(call, r);
        }
}

/* The same for a question that the gateway may keep for wait seconds. */
static void call_wait(Call *call, json_t *frame, unsigned wait, PluginAnswer on_answer) {
        ApiFault fault;
        int r = -ENOMEM;

        api_request_watch(call->request);
        if (frame)
                r = api_wait_ask(&call->front->waits,
                                frame,
                                PLUGIN_DEADLINE_SECONDS + wait,
                                call->credential_hash,
                                on_answer,
                                call,
                                &call->wait);
        if (r == API_WAIT_E_MANY) {
                (void) api_fault(&fault,
                                API_PROBLEM_TOO_MANY_WAITS,
                                NULL,
                                "%d requests with this token wait already, as many as may. Follow "
                                "/v1/events instead, or wait as Retry-After says.",
                                API_WAITS_PER_CREDENTIAL);
                call_fail(call, &fault);
        } else if (r < 0)
                call_fail_errno(call, r);
}

/* The gateway may name a problem by its last word alone. */
static void problem_pass(Call *call, unsigned status, const json_t *answer) {
        json_auto_t *problem = json_copy(json_object_get(answer, "problem"));
        const char *type = json_string_value(json_object_get(problem, "type"));
        json_int_t retry_after = json_integer_value(json_object_get(answer, "retry_after"));

        if (!problem)
                problem = json_pack("{s:s, s:s}", "type", "about:blank", "title", "Refused");
        if (type && !strchr(type, ':'))
                (void) json_object_set_new(
                                problem, "type", json_sprintf(API_PROBLEM_PREFIX "%s", type));
        (void) json_object_set_new(problem, "status", json_integer(status));

        if (retry_after == 0 && (status == 429 || status == 503))
                retry_after = RETRY_SECONDS;
        if (retry_after > 0) {
                char seconds[24];

                (void) snprintf(seconds, sizeof(seconds), "%lld", (long long) retry_after);
                api_request_add_header(call->request, "Retry-After", seconds);
        }
        if (status == 401)
                api_request_add_header(
                                call->request, "WWW-Authenticate", "Bearer realm=\"vestibule\"");
        api_request_answer_json(call->request, status, type_problem, TAKE_PTR(problem));
}

/* Link: rel="next" repeats the query with the new cursor (RFC 8288). */
static void add_next_link(Call *call, const char *cursor) {
        const struct {
                unsigned flag;
                const char *name, *value;
        } parts[] = {
                { API_QUERY_STATE, "&state=", call->query.state },
                { API_QUERY_REFERENCE, "&reference=", call->query.reference },
                { API_QUERY_CURSOR, "?cursor=", cursor },
        };
        char link[4096];
        size_t n;

        n = (size_t) snprintf(link, sizeof(link), "<%s", call->route->path);
        for (size_t i = N_ELEMENTS(parts); i-- > 0;) {
                if (parts[i].flag != API_QUERY_CURSOR && !(call->query.given & parts[i].flag))
                        continue;
                n += (size_t) snprintf(link + n, sizeof(link) - n, "%s", parts[i].name);
                for (const char *p = parts[i].value; *p && n + 64 < sizeof(link); p++)
                        n += (size_t) snprintf(link + n,
                                        sizeof(link) - n,
                                        strchr("-._~", *p) || (*p >= '0' && *p <= '9') ||
                                                                        ((*p | 32) >= 'a' &&
                                                                                        (*p | 32) <= 'z')
                                                        ? "%c"
                                                        : "%%%02X",
                                        (unsigned char) *p);
        }
        if (call->query.given & API_QUERY_LIMIT)
                n += (size_t) snprintf(
                                link + n, sizeof(link) - n, "&limit=%d", (int) call->query.limit);
        (void) snprintf(link + n, sizeof(link) - n, ">; rel=\"next\"");
        api_request_add_header(call->request, "Link", link);
}

static void body_pass(Call *call, unsigned status, const json_t *answer) {
        json_t *body = json_object_get(answer, "body");
        const char *cursor = json_string_value(json_object_get(body, "cursor"));
        const json_t *version = json_object_get(body, "version");
        char text[64];

        if (json_is_true(json_object_get(answer, "replayed")))
                api_request_add_header(call->request, "Idempotency-Replayed", "true");
        if (call->route->shows_a_share && json_is_integer(version)) {
                (void) snprintf(text,
                                sizeof(text),
                                "\"%lld\"",
                                (long long) json_integer_value(version));
                api_request_add_header(call->request, "ETag", text);
                if (status == 200 && api_request_has_version(
                                                     call->request, json_integer_value(version))) {
                        api_request_answer_text(call->request, 304, NULL, NULL);
                        return;
                }
        }
        if (status == 201 && json_is_string(json_object_get(body, "id"))) {
                (void) snprintf(text,
                                sizeof(text),
                                "/v1/shares/%s",
                                json_string_value(json_object_get(body, "id")));
                api_request_add_header(call->request, "Location", text);
        }
        if (cursor && cursor[0] && (call->route->query & API_QUERY_CURSOR))
                add_next_link(call, cursor);
        api_request_answer_json(
                        call->request, status, type_json, body ? json_incref(body) : json_object());
}

/* Reads an answer's status; answers the request itself and returns 0 when there is no usable one.
 */
static unsigned answer_status(Call *call, const json_t *answer) {
        json_int_t status = json_integer_value(json_object_get(answer, "status"));
        const char *type = json_string_value(json_object_get(answer, "type"));
        ApiFault fault;

        call->ask = 0;
        if (!answer)
                call_fail_errno(call, -ENOTCONN);
        else if (type && streq(type, "unsupported")) {
                (void) api_fault(&fault,
                                API_PROBLEM_NOT_AVAILABLE,
                                NULL,
                                "The gateway does not know this call; it may be older than this "
                                "front.");
                call_fail(call, &fault);
        } else if (status < 200 || status > 599)
                call_fail_errno(call, -EPROTO);
        else
                return (unsigned) status;
        return 0;
}

static void on_passed(Plugin *plugin, const json_t *answer, void *userdata) {
        Call *call = userdata;
        unsigned status = answer_status(call, answer);

        (void) plugin;
        if (status >= 400 || (status != 0 && json_object_get(answer, "problem")))
                problem_pass(call, status, answer);
        else if (status != 0)
                body_pass(call, status, answer);
}

static json_t *frame_new(const Call *call, const char *type) {
        return json_pack("{s:s, s:O}", "type", type, "credential", call->credential);
}

/* Puts into the frame what path, query and header said. */
static json_t *frame_complete(const Call *call, json_t *frame) {
        const ApiQuery *query = &call->query;
        const struct {
                unsigned flag;
                const char *name;
                json_t *value;
        } parameters[] = {
                { API_QUERY_AFTER, "after", json_integer(query->after) },
                { API_QUERY_EVENT, "after", api_event_id_json(query->event) },
                { API_QUERY_WAIT, "wait", json_integer(query->wait) },
                { API_QUERY_LIMIT, "limit", json_integer(query->limit) },
                { API_QUERY_STATE, "state", json_string(query->state) },
                { API_QUERY_REFERENCE, "reference", json_string(query->reference) },
                { API_QUERY_CURSOR, "cursor", json_string(query->cursor) },
                { API_QUERY_NAME, "name", json_string(query->name) },
        };
        bool failed = !frame;

        for (size_t i = 0; i < N_ELEMENTS(parameters); i++) {
                if (query->given & parameters[i].flag)
                        failed = json_object_set(frame, parameters[i].name, parameters[i].value) <
                                                 0 ||
                                 failed;
                json_decref(parameters[i].value);
        }
        if (call->id[0])
                failed = json_object_set_new(frame,
                                         call->id[0] == 's'   ? "share"
                                         : call->id[0] == 'm' ? "message"
                                         : call->id[0] == 'c' ? "counter"
                                                              : "block",
                                         json_string(call->id)) < 0 ||
                         failed;
        if (call->idempotency)
                failed = json_object_set(frame, "idempotency", call->idempotency) < 0 || failed;
        if (call->body)
                failed = json_object_set(frame, "body", call->body) < 0 || failed;
        if (failed) {
                json_decref(frame);
                return NULL;
        }
        return frame;
}

static void route_ask(Call *call) {
        json_t *frame = frame_complete(call, frame_new(call, call->route->ask));

        if (call->query.wait > 0)
                call_wait(call, frame, (unsigned) call->query.wait, on_passed);
        else
                call_ask(call, frame, PLUGIN_DEADLINE_SECONDS, on_passed);
}

/* tenant.describe, remembered for a minute */

static Description *description_slot(Call *call) {
        unsigned i = call->credential_hash[0];

        return &call->front->descriptions[i % DESCRIPTIONS_MAX];
}

static const json_t *description_find(Call *call) {
        Description *slot = description_slot(call);

        if (!slot->body || slot->until < time_boot() ||
                        memcmp(slot->hash, call->credential_hash, sizeof(slot->hash)) != 0)
                return NULL;
        return slot->body;
}

static void description_store(Call *call, json_t *body) {
        Description *slot = description_slot(call);

        json_decref(slot->body);
        slot->body = json_incref(body);
        slot->until = time_boot() + DESCRIPTION_SECONDS * USEC_PER_SEC;
        memcpy(slot->hash, call->credential_hash, sizeof(slot->hash));
}

static void provisioning_ask(Call *call, const json_t *description);
static void keys_answer(Call *call, const json_t *description);

static void on_described(Plugin *plugin, const json_t *answer, void *userdata) {
        Call *call = userdata;
        unsigned status = answer_status(call, answer);
        json_t *body = json_object_get(answer, "body");

        (void) plugin;
        if (status == 0)
                return;
        if (status != 200 || !json_is_object(body)) {
                problem_pass(call, status >= 400 ? status : 500, answer);
                return;
        }
        description_store(call, body);
        if (call->route->kind == API_ROUTE_KEYS)
                keys_answer(call, body);
        else
                provisioning_ask(call, body);
}

static void describe(Call *call) {
        call_ask(call, frame_new(call, "tenant.describe"), PLUGIN_DEADLINE_SECONDS, on_described);
}

/* POST /v1/shares and /v1/shares/{share}/messages */

static const json_t *policy_find(const json_t *description, const char *name) {
        json_t *policy;
        size_t i;

        json_array_foreach(json_object_get(description, "policies"), i, policy) {
                const char *title = json_string_value(json_object_get(policy, "name"));

                if (title && streq(title, name))
                        return policy;
        }
        return NULL;
}

static bool is_stale_envelope(const json_t *answer) {
        static const char word[] = "stale-envelope";
        const char *type = json_string_value(
                        json_object_get(json_object_get(answer, "problem"), "type"));
        size_t n = type ? strlen(type) : 0;

        return n >= sizeof(word) - 1 && streq(type + n - (sizeof(word) - 1), word);
}

/* Our view of the tenant was old: look again and seal again, once. */
static void on_created(Plugin *plugin, const json_t *answer, void *userdata) {
        Call *call = userdata;

        if (is_stale_envelope(answer) && !call->asked_again) {
                call->ask = 0;
                call->asked_again = true;
                describe(call);
                return;
        }
        on_passed(plugin, answer, userdata);
}

/* What the envelope of a new share is bound to. */
static int
share_binding(const Call *call, const json_t *description, EnvelopeBinding *ret, ApiFault *fault) {
        const json_t *policy = policy_find(description, call->share.policy);
        json_int_t lifetime = json_integer_value(json_object_get(policy, "lifetime"));
        json_int_t mailbox_ttl = json_integer_value(json_object_get(policy, "mailbox_ttl"));

        if (!policy)
                return api_fault(fault,
                                API_PROBLEM_UNKNOWN_POLICY,
                                "policy",
                                "Name one of your policies; GET /v1/policies lists them.");
        ret->credential_class = json_string_value(json_object_get(policy, "class"));
        memcpy(ret->recipients, call->share.recipients, sizeof(ret->recipients));
        ret->not_after = (call->share.expires_at != 0 ? call->share.expires_at
                                                      : time_wall() + lifetime) +
                         mailbox_ttl + ENVELOPE_MARGIN_SECONDS;
        return 0;
}

/* A further message is bound to its share instead: who the recipients are, the gateway knows. */
static void message_binding(const Call *call, EnvelopeBinding *ret) {
        const char *share = call->id;

        ret->credential_class = "message";
        address_list_hash(&share, 1, ret->recipients);
        ret->not_after = time_wall() + SHARE_SECONDS_MAX + ENVELOPE_MARGIN_SECONDS;
}

/* What the gateway tells a repeated message by: whoever reads the mailbox sees these octets. */
static int add_digest(const Call *call, json_t *frame) {
        const json_t *encrypted = json_object_get(call->share.provisioning.value, "encrypted");
        const char *data = json_string_value(json_object_get(encrypted, "data"));
        uint8_t digest[crypto_hash_sha256_BYTES];
        _cleanup_(freep) uint8_t *blob = NULL;
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        if (!data)
                return 0;
        r = text_from_base64(data, false, &blob, &size);
        if (r < 0)
                return r;
        crypto_hash_sha256(digest, blob, size);
        text = text_base64(digest, sizeof(digest));
        return text && json_object_set_new(frame, "digest", json_string(text)) == 0 ? 0 : -ENOMEM;
}

static void provisioning_ask(Call *call, const json_t *description) {
        EnvelopeBinding binding = {
                .tenant = json_string_value(json_object_get(description, "tenant")),
        };
        json_auto_t *frame = frame_new(call, call->route->ask);
        ApiFault fault;
        int r = frame ? 0 : -ENOMEM;

        if (call->route->kind == API_ROUTE_SEND)
                message_binding(call, &binding);
        else if (r == 0)
                r = share_binding(call, description, &binding, &fault);
        if (r == 0 && (!binding.tenant || !binding.credential_class))
                r = -EPROTO;
        if (r == 0)
                r = api_seal(&call->share.provisioning,
                                &call->front->keys,
                                time_wall(),
                                &binding,
                                frame,
                                &fault);
        if (r == 0 && call->route->kind == API_ROUTE_SEND)
                r = add_digest(call, frame);
        if (r == 0 && call->share.body && json_object_set(frame, "body", call->share.body) < 0)
                r = -ENOMEM;
        if (r > 0)
                call_fail(call, &fault);
        else if (r < 0)
                call_fail_errno(call, r);
        else
                call_ask(call, frame_complete(call, TAKE_PTR(frame)), CREATE_SECONDS, on_created);
}

static void route_provisioning(Call *call) {
        const json_t *description = description_find(call);

        if (description)
                provisioning_ask(call, description);
        else
                describe(call);
}

/* GET /v1/shares/{share}/messages */

static void add_more_link(Call *call, json_int_t after) {
        char limit[32] = "", link[160];

        if (call->query.given & API_QUERY_LIMIT)
                (void) snprintf(limit, sizeof(limit), "&limit=%d", (int) call->query.limit);
        (void) snprintf(link,
                        sizeof(link),
                        "</v1/shares/%s/messages?after=%lld%s>; rel=\"next\"",
                        call->id,
                        (long long) after,
                        limit);
        api_request_add_header(call->request, "Link", link);
}

static void on_messages(Plugin *plugin, const json_t *answer, void *userdata) {
        Call *call = userdata;
        unsigned status = answer_status(call, answer);
        const json_t *cursor;
        json_t *body = NULL;
        int r;

        (void) plugin;
        if (status == 0)
                return;
        if (status >= 400 || json_object_get(answer, "problem")) {
                problem_pass(call, status, answer);
                return;
        }
        r = api_messages_show(json_object_get(answer, "body"),
                        call->id,
                        call->front->message_keys,
                        &body);
        if (r < 0) {
                call_fail_errno(call, r);
                return;
        }
        if (r > 0)
                log_error("the gateway handed out a message of another share or number");
        cursor = json_object_get(body, "cursor");
        if (cursor)
                add_more_link(call, json_integer_value(cursor));
        api_request_answer_json(call->request, status, type_json, body);
}

static void route_messages(Call *call) {
        call_ask(call,
                        frame_complete(call, frame_new(call, call->route->ask)),
                        PLUGIN_DEADLINE_SECONDS,
                        on_messages);
}

/* GET /v1/events */

static void call_fail_streams(Call *call, const char *whose, int max) {
        ApiFault fault;

        (void) api_fault(&fault,
                        API_PROBLEM_TOO_MANY_STREAMS,
                        NULL,
                        "%s has %d streams of events, as many as there may be. End one, or wait as "
                        "Retry-After says.",
                        whose,
                        max);
        call_fail(call, &fault);
}

static void on_followed(Plugin *plugin, const json_t *answer, void *userdata);

/* Whatever goes wrong ends the stream: the client comes back, and is told then. Where too many
 * questions wait, this one does not. */
static void stream_ask(Call *call) {
        ApiFront *front = call->front;
        bool wait = call->caught_up && api_wait_may(&front->waits, call->credential_hash) == 0;
        json_t *frame = json_pack("{s:s, s:O, s:O, s:i, s:i}",
                        "type",
                        call->route->ask,
                        "credential",
                        call->credential,
                        "after",
                        call->cursor,
                        "credit",
                        STREAM_CREDIT,
                        "wait",
                        wait ? STREAM_WAIT_SECONDS : 0);
        int r = -ENOMEM;

        call->asked = time_boot();
        if (frame && wait)
                r = api_wait_ask(&front->waits,
                                frame,
                                PLUGIN_DEADLINE_SECONDS + STREAM_WAIT_SECONDS,
                                call->credential_hash,
                                on_followed,
                                call,
                                &call->wait);
        else if (frame)
                r = plugin_ask(front->plugin,
                                frame,
                                PLUGIN_DEADLINE_SECONDS,
                                on_followed,
                                call,
                                &call->ask);
        if (r < 0) {
                call->ask = 0;
                api_request_stream_end(call->request);
        }
}

static int on_paused(sd_event_source *source, uint64_t usec, void *userdata) {
        Call *call = userdata;

        (void) source;
        (void) usec;
        call->pause = sd_event_source_disable_unref(call->pause);
        stream_ask(call);
        return 0;
}

/* A gateway that would not let the question wait must not be asked without a pause, nor may a
 * tenant take the gateway for itself that reads all that is kept, again and again. */
static void stream_go_on(Call *call) {
        uint64_t pause = call->idle   ? STREAM_PAUSE_SECONDS * USEC_PER_SEC
                         : call->more ? STREAM_PAGE_MSEC * UINT64_C(1000)
                                      : 0;

        if (pause == 0)
                stream_ask(call);
        else if (sd_event_add_time_relative(plugin_event(call->front->plugin),
                                 &call->pause,
                                 CLOCK_BOOTTIME,
                                 pause,
                                 1000,
                                 on_paused,
                                 call) < 0)
                api_request_stream_end(call->request);
}

static void stream_pass(Call *call, const json_t *body, bool opening) {
        size_t n = json_array_size(json_object_get(body, "events"));
        char *text;
        int r;

        r = api_event_text(body, opening, &text);
        if (r < 0) {
                log_error("a stream of events ends: %s", strerror(-r));
                api_request_stream_end(call->request);
                return;
        }
        json_decref(call->cursor);
        call->cursor = json_incref(json_object_get(body, "cursor"));
        /* Without an event there is an id or a comment: the client knows that this was all. */
        call->idle = call->caught_up && n == 0 &&
                     time_boot() < call->asked + STREAM_PAUSE_SECONDS * USEC_PER_SEC;
        call->caught_up |= n == 0;
        call->more = n >= STREAM_CREDIT;
        api_request_stream_write(call->request, text);
}

static void on_followed(Plugin *plugin, const json_t *answer, void *userdata) {
        Call *call = userdata;

        (void) plugin;
        call->ask = 0;
        if (json_integer_value(json_object_get(answer, "status")) == 200)
                stream_pass(call, json_object_get(answer, "body"), false);
        else
                api_request_stream_end(call->request);
}

static void on_drained(ApiRequest *request, void *userdata) {
        (void) userdata;
        stream_go_on(api_request_userdata(request));
}

/* Begins the stream, unless there are enough. */
static void stream_open(Call *call, const json_t *body, const char *tenant) {
        ApiFront *front = call->front;
        int n = 0;

        for (const Call *other = front->streams; other; other = other->stream_next)
                n += streq(other->stream_tenant, tenant);
        if (n >= STREAMS_PER_TENANT) {
                call_fail_streams(call, "This tenant", STREAMS_PER_TENANT);
                return;
        }
        if (front->n_streams >= STREAMS_MAX) {
                call_fail_streams(call, "This server", STREAMS_MAX);
                return;
        }
        call->stream_tenant = strdup(tenant);
        if (!call->stream_tenant) {
                call_fail_errno(call, -ENOMEM);
                return;
        }
        call->stream_next = front->streams;
        if (call->stream_next)
                call->stream_next->stream_previous = call;
        front->streams = call;
        front->n_streams++;
        api_request_add_header(call->request, "X-Accel-Buffering", "no");
        if (api_request_stream(call->request, API_EVENT_TYPE) == 0)
                stream_pass(call, body, true);
}

static void on_opened(Plugin *plugin, const json_t *answer, void *userdata) {
        Call *call = userdata;
        unsigned status = answer_status(call, answer);
        const json_t *body = json_object_get(answer, "body");
        const char *tenant = json_string_value(json_object_get(body, "tenant"));

        (void) plugin;
        if (status == 0)
                return;
        if (status >= 400)
                problem_pass(call, status, answer);
        else if (!tenant)
                call_fail_errno(call, -EPROTO);
        else
                stream_open(call, body, tenant);
}

/* The first question does not wait: its answer says who asks, and the client that its stream has
 * begun. */
static void route_events(Call *call) {
        call_ask(call,
                        frame_complete(call, frame_new(call, call->route->ask)),
                        PLUGIN_DEADLINE_SECONDS,
                        on_opened);
}

/* GET /v1/keys */

static void keys_answer(Call *call, const json_t *description) {
        json_auto_t *body = relay_public_keys_write(&call->front->keys);
        json_t *tenant = json_object_get(description, "tenant");
        json_t *key;
        size_t i;

        json_array_foreach(json_object_get(body, "keys"), i, key) {
                char text[TIME_TEXT_SIZE];

                time_text(json_integer_value(json_object_get(key, "not_after")), text);
                (void) json_object_set_new(key, "not_after", json_string(text));
        }
        if (tenant) /* who seals binds the envelope to it */
                (void) json_object_set(body, "tenant", tenant);
        api_request_answer_json(call->request, 200, type_json, TAKE_PTR(body));
}

static void route_keys(Call *call) {
        const json_t *description = description_find(call);
        ApiFault fault;

        if (call->front->keys.n_keys == 0) {
                (void) api_fault(&fault,
                                API_PROBLEM_UNAVAILABLE,
                                NULL,
                                "This listener has no sealing keys. Ask the tenants' listener.");
                call_fail(call, &fault);
        } else if (description)
                keys_answer(call, description);
        else
                describe(call);
}

/* Health */

static void on_health(Plugin *plugin, const json_t *answer, void *userdata) {
        Call *call = userdata;
        unsigned status = answer_status(call, answer);
        json_t *body = json_object_get(answer, "body"), *part;
        size_t i;

        (void) plugin;
        if (status == 0)
                return;
        if (!json_is_object(body)) {
                problem_pass(call, status >= 400 ? status : 500, answer);
                return;
        }
        if (call->route->kind == API_ROUTE_METRICS) {
                _cleanup_(freep) char *text = api_metrics_text(body);

                if (text)
                        api_request_answer_text(call->request, 200, API_METRICS_TYPE, text);
                else
                        call_fail_errno(call, -ENOMEM);
                return;
        }
        json_array_foreach(json_object_get(body, "parts"), i, part) {
                if (!json_is_true(json_object_get(part, "up")))
                        status = 503;
        }
        api_request_answer_json(
                        call->request, status >= 400 ? 503 : 200, type_json, json_incref(body));
}

static void route_call(Call *call) {
        switch (call->route->kind) {
        case API_ROUTE_ASK:
                route_ask(call);
                break;
        case API_ROUTE_CREATE:
        case API_ROUTE_SEND:
                route_provisioning(call);
                break;
        case API_ROUTE_MESSAGES:
                route_messages(call);
                break;
        case API_ROUTE_EVENTS:
                route_events(call);
                break;
        case API_ROUTE_KEYS:
                route_keys(call);
                break;
        case API_ROUTE_ALIVE: /* this process ends with the gateway's connection */
                api_request_answer_json(call->request,
                                200,
                                type_json,
                                json_pack("{s:s}", "status", "alive"));
                break;
        case API_ROUTE_READY:
        case API_ROUTE_METRICS:
                call_ask(call,
                                frame_new(call, call->route->ask),
                                PLUGIN_DEADLINE_SECONDS,
                                on_health);
                break;
        case API_ROUTE_OPENAPI:
                api_request_answer_text(call->request, 200, "application/yaml", api_openapi_text);
                break;
        }
}

/* From bytes to a call */

static json_t *peer_credential(const ApiRequestView *view) {
        json_t *groups = json_array();

        for (size_t i = 0; i < view->n_groups; i++)
                (void) json_array_append_new(groups, json_integer((json_int_t) view->groups[i]));
        return json_pack("{s:I, s:I, s:I, s:o}",
                        "uid",
                        (json_int_t) view->uid,
                        "gid",
                        (json_int_t) view->gid,
                        "pid",
                        (json_int_t) view->pid,
                        "groups",
                        groups);
}

static int call_read_credential(Call *call, const ApiRequestView *view, ApiFault *fault) {
        _cleanup_(json_wipe_freep) char *text = NULL;
        int r;

        if (view->authorization) {
                _cleanup_(freep) char *base64 = NULL;
                char id[TOKEN_ID_SIZE];
                uint8_t hash[TOKEN_HASH_SIZE];

                r = api_authorization_read(view->authorization, id, hash, fault);
                if (r != 0)
                        return r;
                base64 = text_base64(hash, sizeof(hash));
                call->credential =
                                json_pack("{s:s, s:s}", "token", id, "hash", base64 ? base64 : "");
        } else if (view->peer_known)
                call->credential = peer_credential(view);
        else
                call->credential = json_object();

        text = json_quick_text(call->credential);
        if (!text)
                return -ENOMEM;
        (void) crypto_generichash(call->credential_hash,
                        sizeof(call->credential_hash),
                        (const uint8_t *) text,
                        strlen(text),
                        NULL,
                        0);
        return 0;
}

static int call_read_idempotency(Call *call, const ApiRequestView *view, ApiFault *fault) {
        char key[API_KEY_MAX + 1];
        crypto_generichash_state state;
        uint8_t digest[32];
        _cleanup_(freep) char *base64 = NULL;
        int r;

        if (!view->idempotency_key)
                return !call->route->key_required
                                       ? 0
                                       : api_fault(fault,
                                                         API_PROBLEM_KEY_MISSING,
                                                         NULL,
                                                         "Send an Idempotency-Key with at least "
                                                         "128 "
                                                         "random bits, such as a UUID in double "
                                                         "quotes, and the same one when you repeat "
                                                         "this request.");
        r = api_idempotency_key_read(view->idempotency_key, key, fault);
        if (r != 0)
                return r;

        (void) crypto_generichash_init(&state, NULL, 0, sizeof(digest));
        (void) crypto_generichash_update(
                        &state, (const uint8_t *) view->method, strlen(view->method) + 1);
        (void) crypto_generichash_update(
                        &state, (const uint8_t *) view->path, strlen(view->path) + 1);
        (void) crypto_generichash_update(&state, view->body, view->body_size);
        (void) crypto_generichash_update(&state, (const uint8_t *) "", 1);
        (void) crypto_generichash_final(&state, digest, sizeof(digest));

        base64 = text_base64(digest, sizeof(digest));
        call->idempotency = base64 ? json_pack("{s:s, s:s}", "key", key, "digest", base64) : NULL;
        return call->idempotency ? 0 : -ENOMEM;
}

static int call_read_body(Call *call, const ApiRequestView *view, ApiFault *fault) {
        bool is_create = call->route->kind == API_ROUTE_CREATE,
             is_message = call->route->kind == API_ROUTE_SEND;
        int r;

        if (view->too_large)
                return api_fault(fault,
                                API_PROBLEM_TOO_LARGE,
                                NULL,
                                "Send a body of at most %d bytes.",
                                API_BODY_MAX);
        if (call->route->method[0] != 'P')
                return 0;
        if ((view->body_size > 0 || is_create || is_message) &&
                        (!view->content_type || !api_content_type_is_json(view->content_type)))
                return api_fault(fault,
                                API_PROBLEM_MEDIA_TYPE,
                                NULL,
                                "Send the body with Content-Type: application/json, in UTF-8.");
        r = call_read_idempotency(call, view, fault);
        if (r != 0)
                return r;
        if (is_create)
                return api_share_read(view->body, view->body_size, &call->share, fault);
        if (is_message)
                return api_message_read(
                                view->body, view->body_size, &call->share.provisioning, fault);
        return api_verb_read(call->route->ask, view->body, view->body_size, &call->body, fault);
}

static int call_read(Call *call, const ApiRequestView *view, ApiFault *fault) {
        char allow[API_ALLOW_SIZE];
        int r;

        if (view->repeated)
                return api_fault(fault,
                                API_PROBLEM_INVALID_HEADER,
                                NULL,
                                "Send Authorization, Content-Type, Idempotency-Key, Last-Event-ID "
                                "and the body's length once each.");
        r = api_route_find(view->method, view->path, &call->route, call->id, allow);
        if (r == API_ROUTE_E_METHOD) {
                api_request_add_header(call->request, "Allow", allow);
                return api_fault(fault,
                                API_PROBLEM_METHOD_NOT_ALLOWED,
                                NULL,
                                "Use one of the methods that Allow names.");
        }
        if (r != 0)
                return api_fault(fault,
                                API_PROBLEM_NOT_FOUND,
                                NULL,
                                "Check path and id; GET /openapi.yaml lists what there is.");
        r = api_query_read(view->query, call->route->query, &call->query, fault);
        if (r != 0)
                return r;
        /* A browser that comes back repeats the query as it was, and says here how far it got. */
        if (call->route->kind == API_ROUTE_EVENTS && view->last_event_id) {
                r = api_event_id_read(view->last_event_id, call->query.event, fault);
                if (r != 0)
                        return r;
                call->query.given |= API_QUERY_EVENT;
        }
        r = call_read_credential(call, view, fault);
        if (r != 0)
                return r;
        return call_read_body(call, view, fault);
}

static void on_request(ApiRequest *request, const ApiRequestView *view, void *userdata) {
        Call *call = calloc(1, sizeof(*call));
        ApiFault fault;
        int r;

        if (!call) {
                api_request_answer_text(request, 500, NULL, NULL);
                return;
        }
        call->front = userdata;
        call->request = request;
        api_request_set_userdata(request, call);

        r = call_read(call, view, &fault);
        if (r > 0)
                call_fail(call, &fault);
        else if (r < 0)
                call_fail_errno(call, r);
        else
                route_call(call);
}

const ApiServerOps api_front_ops = {
        .request = on_request,
        .gone = on_gone,
        .drained = on_drained,
};

int api_front_new(ApiFront **ret,
                Plugin *plugin,
                const RelayPublicKeys *keys,
                RelayPrivateKeys *message_keys) {
        ApiFront *front = calloc(1, sizeof(*front));

        if (!front)
                return -ENOMEM;
        front->plugin = front->waits.plugin = plugin;
        if (keys)
                front->keys = *keys;
        front->message_keys = message_keys;
        *ret = front;
        return 0;
}

ApiFront *api_front_free(ApiFront *front) {
        if (!front)
                return NULL;
        for (size_t i = 0; i < DESCRIPTIONS_MAX; i++)
                json_decref(front->descriptions[i].body);
        (void) relay_private_keys_free(front->message_keys);
        free(front);
        return NULL;
}
