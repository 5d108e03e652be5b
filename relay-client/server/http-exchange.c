#include "http-exchange.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "preview.h"
#include "time-text.h"

enum {
        BODY_FIRST = 4096,
        BODY_SWALLOWED = 4, /* times the limit, so that the client hears why */
        FULL_SECONDS = 60,  /* what expires makes room, but not soon */
};

static const char request_id_name[] = "Mailbox-Request-ID";

HttpExchange *http_exchange_new(
                HttpExchangeRules *rules, struct MHD_Connection *connection, const char *target) {
        HttpExchange *x = calloc(1, sizeof(*x));

        if (!x)
                return NULL;
        x->rules = rules;
        x->connection = connection;
        x->arrived_usec = time_boot();
        x->task.request = RELAY_REQUEST_NULL;
        x->task.drop = DROP_REQUEST_NULL;
        x->echo_name = request_id_name;
        x->target = strdup(target);
        if (!x->target) {
                free(x);
                return NULL;
        }
        return x;
}

static void exchange_log(HttpExchange *x) {
        const RelayRequest *request = &x->task.request;
        bool has_mailbox = false;

        for (size_t i = 0; i < RELAY_ID_SIZE && !has_mailbox; i++)
                has_mailbox = x->task.answer.mailbox[i] != 0;
        x->is_logged = true;
        request_log_add(x->rules->log,
                        &(RequestLogEntry){
                                        .arrived_usec = x->arrived_usec,
                                        .operation = x->operation ? x->operation : "unknown",
                                        .status = x->status,
                                        .request_id = request->has_request_id ? request->request_id
                                                                              : NULL,
                                        .mailbox = has_mailbox ? x->task.answer.mailbox : NULL,
                                        .note = x->note,
                                        .has_duration = true,
                        });
}

HttpExchange *http_exchange_free(HttpExchange *x) {
        if (!x)
                return NULL;
        if (!x->is_logged) /* libmicrohttpd refused it, or the client went away in the middle */
                request_log_add(x->rules->log,
                                &(RequestLogEntry){ .arrived_usec = x->arrived_usec,
                                                .operation = "malformed",
                                                .has_duration = true });
        (void) sd_event_source_disable_unref(x->delay);
        relay_request_done(&x->task.request);
        drop_request_done(&x->task.drop);
        relay_answer_done(&x->task.answer);
        free(x->target);
        free(x->body);
        free(x);
        return NULL;
}

/* --- the head -----------------------------------------------------------------------------------
 */

typedef struct HeaderReader {
        RelayHead head;
        const char *request_id_name; /* under which it came */
        bool legacy;
} HeaderReader;

static const char **find_field(HeaderReader *reader, const char *name) {
        static const struct {
                const char *name;
                size_t field;
                bool legacy;
        } fields[] = {
                { request_id_name, offsetof(RelayHead, request_id), false },
                { "Mailbox-Device-Claim", offsetof(RelayHead, claim), false },
                { "Content-Type", offsetof(RelayHead, content_type), false },
                { "If-None-Match", offsetof(RelayHead, if_none_match), false },
                { "Mailbox-Correlation-ID", offsetof(RelayHead, request_id), true },
                { "Device-Claim", offsetof(RelayHead, claim), true },
                { "deviceClaim", offsetof(RelayHead, claim), true },
        };

        for (size_t i = 0; i < N_ELEMENTS(fields); i++) {
                if (fields[i].legacy > reader->legacy || strcasecmp(name, fields[i].name) != 0)
                        continue;
                if (fields[i].field == offsetof(RelayHead, request_id))
                        reader->request_id_name = fields[i].name;
                return (const char **) (void *) ((char *) &reader->head + fields[i].field);
        }
        return NULL;
}

static enum MHD_Result on_header(
                void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        HeaderReader *reader = userdata;
        const char **field = find_field(reader, name);

        (void) kind;
        faults_record(name, strlen(name));
        faults_record(": ", 2);
        faults_record(value ? value : "", value ? strlen(value) : 0);
        faults_record("\n", 1);
        if (strcasecmp(name, "Referer") == 0)
                reader->head.has_referer = true;
        if (!field)
                return MHD_YES;
        if (*field)
                reader->head.repeats = true;
        else
                *field = value ? value : "";
        return MHD_YES;
}

/* Whatever the request is, its id goes back unchanged, unless it could not stand in a header. */
static void keep_echo(HttpExchange *x, const char *request_id) {
        size_t length = strlen(request_id);

        if (length >= sizeof(x->echo))
                return;
        for (size_t i = 0; i < length; i++)
                if (request_id[i] <= ' ' || request_id[i] > '~')
                        return;
        (void) memcpy(x->echo, request_id, length + 1);
}

static unsigned head_status(int error) {
        switch (error) {
        case RELAY_REQUEST_E_PATH:
                return 404;
        case RELAY_REQUEST_E_METHOD:
                return 405;
        case RELAY_REQUEST_E_CLAIM:
                return 401;
        case DROP_REQUEST_E_CONDITION:
                return 428;
        default:
                return 400;
        }
}

void http_exchange_refuse(HttpExchange *x, unsigned status, const char *reason) {
        x->status = status;
        (void) snprintf(x->reason, sizeof(x->reason), "%s", reason);
}

static int parse_head(HttpExchange *x, const RelayHead *head, const char **ret_reason) {
        RelayTask *task = &x->task;
        int r;

        if (task->is_drop) {
                r = drop_request_parse_head(head, &task->drop, ret_reason);
                if (r == 0)
                        x->operation = drop_operation_name(task->drop.operation);
                (void) memcpy(task->answer.mailbox, task->drop.location, RELAY_ID_SIZE);
                return r;
        }
        r = relay_request_parse_head(head, &task->request, ret_reason);
        if (r == 0 || r == RELAY_REQUEST_E_HEADER || r == RELAY_REQUEST_E_CLAIM)
                x->operation = relay_operation_name(task->request.operation);
        (void) memcpy(task->answer.mailbox, task->request.mailbox, RELAY_ID_SIZE);
        return r;
}

static bool rate_is_exceeded(HttpExchange *x) {
        const union MHD_ConnectionInfo *info;

        if (!x->rules->rate_limit)
                return false;
        info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        if (!info)
                return false;
        x->retry_after = rate_limit_take(x->rules->rate_limit, info->client_addr, x->arrived_usec);
        return x->retry_after > 0;
}

void http_exchange_read_head(HttpExchange *x, const char *method) {
        HeaderReader reader = {
                .head = { .method = method, .target = x->target },
                .request_id_name = request_id_name,
                .legacy = x->rules->legacy_headers,
        };
        const char *reason = NULL;
        int r;

        x->head_is_read = true;
        faults_record(x->target, strlen(x->target));
        faults_record("\n", 1);
        (void) MHD_get_connection_values(x->connection, MHD_HEADER_KIND, on_header, &reader);
        x->echo_name = reader.request_id_name;
        if (reader.head.request_id)
                keep_echo(x, reader.head.request_id);

        x->task.is_drop = drop_request_is_meant(x->target);
        r = parse_head(x, &reader.head, &reason);
        if (r == RELAY_REQUEST_E_FRAGMENT || r == RELAY_REQUEST_E_REFERER) {
                x->rules->n_violations++;
                x->note = r == RELAY_REQUEST_E_FRAGMENT ? "violation=fragment"
                                                        : "violation=referer";
        }
        if (rate_is_exceeded(x)) /* also for what is refused: it costs work and a line of the log */
                http_exchange_refuse(x, 429, "too many requests from this address");
        else if (r != 0)
                http_exchange_refuse(x, head_status(r), reason);
        else if (!x->task.is_drop)
                x->task.request.language = preview_language(MHD_lookup_connection_value(
                                x->connection, MHD_HEADER_KIND, "Accept-Language"));
}

/* --- the body -----------------------------------------------------------------------------------
 */

static bool has_body(const HttpExchange *x) {
        return x->task.is_drop ? x->task.drop.operation == DROP_PUT
                               : relay_operation_has_body(x->task.request.operation);
}

bool http_exchange_declares_too_much(HttpExchange *x) {
        const char *text = MHD_lookup_connection_value(
                        x->connection, MHD_HEADER_KIND, "Content-Length");

        return text && strtoull(text, NULL, 10) > BODY_SWALLOWED * x->rules->body_max;
}

int http_exchange_keep_body(HttpExchange *x, const char *data, size_t size) {
        size_t needed = x->body_size + size;

        faults_record(data, size);
        if (!has_body(x) || x->status != 0)
                return 0;
        if (needed > x->rules->body_max) {
                x->body_is_too_large = true;
                x->body_size = needed;
                return needed > BODY_SWALLOWED * x->rules->body_max ? -EMSGSIZE : 0;
        }
        if (needed > x->body_allocated) {
                size_t allocated = x->body_allocated ? x->body_allocated * 2 : BODY_FIRST;
                char *body;

                while (allocated < needed)
                        allocated *= 2;
                body = realloc(x->body, allocated);
                if (!body)
                        return -ENOMEM;
                x->body = body;
                x->body_allocated = allocated;
        }
        (void) memcpy(x->body + x->body_size, data, size);
        x->body_size = needed;
        return 0;
}

/* A bad body of Draft V is not refused here: whether it counts is decided with the mailbox at hand.
 */
static int read_mailbox_body(HttpExchange *x) {
        const RelayLimits limits = {
                .now = relay_batch_now(),
                .ttl_default = x->rules->ttl_default,
                .ttl_max = x->rules->ttl_max,
                .webhooks = x->rules->webhooks,
        };
        int r;

        if (x->body_is_too_large) {
                (void) snprintf(x->reason,
                                sizeof(x->reason),
                                "the body is larger than this relay allows");
                return 0;
        }
        r = relay_request_parse_body(&x->task.request, x->body, x->body_size, &limits, x->reason);
        return r < 0 ? r : 0;
}

static int read_drop_body(HttpExchange *x) {
        DropRequest *request = &x->task.drop;

        if (x->body_is_too_large) {
                http_exchange_refuse(x, 413, "the body is larger than this relay allows");
                return HTTP_EXCHANGE_E_REFUSED;
        }
        request->body = TAKE_PTR(x->body);
        request->body_size = x->body_size;
        request->expiration = relay_batch_now() + x->rules->ttl_default;
        return 0;
}

static bool is_refused_by_fault(HttpExchange *x) {
        switch (x->fault.action) {
        case FAULT_REFUSE:
                http_exchange_refuse(x, 503, "refused on purpose");
                break;
        case FAULT_LIMIT:
                http_exchange_refuse(x, 429, "refused on purpose");
                break;
        case FAULT_REDIRECT:
                http_exchange_refuse(x, 307, "redirected on purpose");
                return true;
        default:
                return false;
        }
        x->retry_after = x->fault.retry_after;
        return true;
}

int http_exchange_prepare(HttpExchange *x) {
        int r = 0;

        x->fault = faults_next(x->operation, x->task.answer.mailbox);
        if (is_refused_by_fault(x))
                return HTTP_EXCHANGE_E_REFUSED;
        x->task.is_twice = x->fault.action == FAULT_TWICE;
        x->task.clock_offset = x->fault.clock_offset;
        if (has_body(x))
                r = x->task.is_drop ? read_drop_body(x) : read_mailbox_body(x);
        free(TAKE_PTR(x->body));
        return r;
}

/* --- the answer ---------------------------------------------------------------------------------
 */

static const char *refusal_text(unsigned status) {
        switch (status) {
        case 401:
                return "this claim may not do this";
        case 403:
                return "the mailbox was made without this right";
        case 404:
                return "there is nothing here";
        case 412:
                return "there is something here already";
        case 503:
                return "nothing was stored, please try again";
        case 507:
                return "this relay is full, please try again later";
        default:
                return "refused";
        }
}

void http_exchange_finish(HttpExchange *x, int error) {
        RelayAnswer *answer = &x->task.answer;

        if (error) {
                x->retry_after = 1;
                (void) memcpy(answer->mailbox,
                                x->task.is_drop ? x->task.drop.location : x->task.request.mailbox,
                                RELAY_ID_SIZE);
        } else if (!x->task.is_drop)
                faults_answer(&x->fault, &x->task.request, answer);
        else
                (void) memcpy(answer->mailbox, x->task.drop.location, RELAY_ID_SIZE);
        x->status = error ? 503 : answer->status;
        if (x->status == 507)
                x->retry_after = FULL_SECONDS;
        if (x->status >= 400 && x->status != 400)
                http_exchange_refuse(x, x->status, refusal_text(x->status));
        if (answer->push != RELAY_PUSH_NONE) {
                (void) snprintf(x->note_text,
                                sizeof(x->note_text),
                                "push=%s token=%016llx",
                                answer->push == RELAY_PUSH_INITIATOR ? "initiator" : "recipient",
                                (unsigned long long) answer->push_token);
                x->note = x->note_text;
        } else if (x->fault.action == FAULT_DROP)
                x->note = "fault=dropped";
        exchange_log(x);
}

typedef struct Field {
        const char *name, *value;
} Field;

static enum MHD_Result add_fields(
                struct MHD_Response *response, const Field *fields, size_t n_fields) {
        for (size_t i = 0; i < n_fields; i++)
                if (fields[i].value && MHD_add_response_header(response,
                                                       fields[i].name,
                                                       fields[i].value) != MHD_YES)
                        return MHD_NO;
        return MHD_YES;
}

static const char *allowed_methods(const HttpExchange *x) {
        if (x->status != 405)
                return NULL;
        return x->task.is_drop ? "GET, HEAD, PUT, DELETE" : "GET, HEAD, POST, PUT, PATCH, DELETE";
}

/* The response is destroyed. */
static enum MHD_Result queue(HttpExchange *x, struct MHD_Response *response, const char *type) {
        bool is_html = x->task.answer.kind == RELAY_ANSWER_HTML && x->status < 400;
        char seconds[16];
        const Field fields[] = {
                { "Content-Type", type },
                { x->echo_name, x->echo[0] ? x->echo : NULL },
                { "Cache-Control", "no-store" },
                { "X-Content-Type-Options", "nosniff" },
                { "Content-Security-Policy", is_html ? preview_security_policy() : NULL },
                { "Referrer-Policy", is_html ? "no-referrer" : NULL },
                { "Vary", is_html ? "Accept-Language" : NULL },
                { "Retry-After", x->retry_after > 0 ? seconds : NULL },
                { "Allow", allowed_methods(x) },
                { "Location", x->status == 307 ? "/followed" : NULL },
        };
        enum MHD_Result r;

        (void) snprintf(seconds, sizeof(seconds), "%u", x->retry_after);
        r = add_fields(response, fields, N_ELEMENTS(fields));
        if (r == MHD_YES)
                r = MHD_queue_response(x->connection, x->status, response);
        MHD_destroy_response(response);
        return r;
}

/* The body is freed with the response. */
static enum MHD_Result respond(HttpExchange *x, char *body, size_t size, const char *type) {
        struct MHD_Response *response;

        response = MHD_create_response_from_buffer(size,
                        body ? body : (void *) "",
                        body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
        if (!response) {
                free(body);
                return MHD_NO;
        }
        return queue(x, response, type);
}

/* Reasons are our own sentences, so nothing in them needs escaping. */
static enum MHD_Result respond_problem(HttpExchange *x) {
        char *body = NULL;
        int n;

        n = asprintf(&body, "{\"status\":%u,\"title\":\"%s\"}\n", x->status, x->reason);
        if (n < 0)
                return MHD_NO;
        return respond(x, body, (size_t) n, "application/problem+json");
}

enum MHD_Result http_exchange_respond_refusal(HttpExchange *x) {
        exchange_log(x);
        request_log_flush(x->rules->log);
        return respond_problem(x);
}

static ssize_t read_half(void *userdata, uint64_t position, char *buffer, size_t size) {
        const RelayAnswer *answer = userdata;
        size_t half = answer->body_size / 2;

        if (position >= half)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        if (size > half - position)
                size = half - position;
        (void) memcpy(buffer, answer->body + position, size);
        return (ssize_t) size;
}

static enum MHD_Result respond_truncated(HttpExchange *x, const char *type) {
        struct MHD_Response *response;

        response = MHD_create_response_from_callback(
                        x->task.answer.body_size, 4096, read_half, &x->task.answer, NULL);
        return response ? queue(x, response, type) : MHD_NO;
}

enum MHD_Result http_exchange_respond(HttpExchange *x) {
        static const char *const types[] = {
                [RELAY_ANSWER_JSON] = "application/json",
                [RELAY_ANSWER_HTML] = "text/html; charset=utf-8",
                [RELAY_ANSWER_OCTETS] = "application/octet-stream",
        };
        RelayAnswer *answer = &x->task.answer;
        const char *type;

        if (x->fault.action == FAULT_DROP)
                return MHD_NO;
        if (x->fault.action == FAULT_MISSING_ECHO)
                x->echo[0] = 0;
        if (x->fault.action == FAULT_WRONG_ECHO)
                (void) snprintf(x->echo, sizeof(x->echo), "ffffffff-ffff-4fff-8fff-ffffffffffff");
        if (x->status >= 400)
                return respond_problem(x);

        type = answer->body_size > 0 || answer->kind == RELAY_ANSWER_OCTETS ? types[answer->kind]
                                                                            : NULL;
        if (x->fault.action == FAULT_TRUNCATE && answer->body_size > 0)
                return respond_truncated(x, type);
        return respond(x, TAKE_PTR(answer->body), answer->body_size, type);
}
