#include "draft-v.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-read.h"
#include "relay-http.h"
#include "secret.h"
#include "share-url.h"
#include "text.h"
#include "time-text.h"

typedef struct Operation {
        const char *method;
        bool has_claim;
        DraftVOutcome on_401, on_403, on_404;
} Operation;

static const Operation operations[_DRAFT_V_OPERATION_MAX] = {
        /* clang-format off */
        [DRAFT_V_CREATE]     = { "POST",   true,  DRAFT_V_UNAUTHORISED, DRAFT_V_UNAUTHORISED, DRAFT_V_REFUSED },
        [DRAFT_V_READ]       = { "POST",   true,  DRAFT_V_CLAIMED,      DRAFT_V_REFUSED,      DRAFT_V_GONE },
        [DRAFT_V_UPDATE]     = { "PUT",    true,  DRAFT_V_UNAUTHORISED, DRAFT_V_REFUSED,      DRAFT_V_GONE },
        [DRAFT_V_DELETE]     = { "DELETE", true,  DRAFT_V_UNAUTHORISED, DRAFT_V_REFUSED,      DRAFT_V_GONE },
        [DRAFT_V_RELINQUISH] = { "PATCH",  true,  DRAFT_V_UNAUTHORISED, DRAFT_V_UNAUTHORISED, DRAFT_V_GONE },
        [DRAFT_V_PREVIEW]    = { "GET",    false, DRAFT_V_REFUSED,      DRAFT_V_REFUSED,      DRAFT_V_GONE },
        /* clang-format on */
};

static const char echo_header[] = "Mailbox-Request-ID";

static int
begin(DraftVOperation operation, const char *claim, const char *request_id, HttpRequest *request) {
        int r;

        request->method = operations[operation].method;
        if (!operations[operation].has_claim)
                return 0;
        r = relay_http_add_header(request, "%s: %s", echo_header, request_id);
        if (r < 0)
                return r;
        return relay_http_add_header(request, "Mailbox-Device-Claim: %s", claim);
}

static int set_body(HttpRequest *request, const json_t *body) {
        size_t size = json_quick_write(body, NULL, 0);

        if (size == 0)
                return -EINVAL;
        if (size > DRAFT_V_BODY_MAX)
                return -EMSGSIZE;
        request->body = malloc(size);
        if (!request->body)
                return -ENOMEM;
        request->body_size = json_quick_write(body, request->body, size);
        return relay_http_add_header(request, "Content-Type: application/json");
}

static bool text_fits(const char *text, size_t max_characters) {
        size_t n = 0;

        for (const char *p = text; *p; p++)
                n += (*p & 0xc0) != 0x80;
        return n <= max_characters && text_is_utf8(text, strlen(text));
}

static bool create_is_valid(const DraftVCreate *create) {
        return text_fits(create->title, DRAFT_V_TITLE_MAX) &&
               text_fits(create->description, DRAFT_V_DESCRIPTION_MAX) &&
               text_fits(create->image_url, DRAFT_V_IMAGE_URL_MAX) &&
               strlen(create->image_url) <= DRAFT_V_IMAGE_URL_MAX && create->access_rights[0] &&
               strspn(create->access_rights, "RWD") == strlen(create->access_rights);
}

int draft_v_create(const char *base_url,
                const char *claim,
                const char *request_id,
                const DraftVCreate *create,
                HttpRequest *ret) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        json_auto_t *body = NULL;
        char expiration[TIME_TEXT_SIZE], authority[SHARE_URL_AUTHORITY_SIZE];
        int r;

        if (!create_is_valid(create) || share_url_authority(base_url, authority) != 0)
                return -EINVAL;
        r = begin(DRAFT_V_CREATE, claim, request_id, &request);
        if (r < 0)
                return r;
        if (asprintf(&request.url, "https://%s/v1/m", authority) < 0) {
                request.url = NULL;
                return -ENOMEM;
        }

        time_text(create->expiration, expiration);
        body = json_pack("{s:{s:s, s:s, s:s}, s:{s:s, s:s}, s:{s:s, s:s}}",
                        "displayInformation",
                        "title",
                        create->title,
                        "description",
                        create->description,
                        "imageURL",
                        create->image_url,
                        "payload",
                        "type",
                        create->payload_type,
                        "data",
                        create->payload_data,
                        "mailboxConfiguration",
                        "accessRights",
                        create->access_rights,
                        "expiration",
                        expiration);
        if (!body)
                return -ENOMEM;
        r = set_body(&request, body);
        if (r < 0)
                return r;

        *ret = request;
        request = HTTP_REQUEST_NULL;
        return 0;
}

/* A request to a mailbox itself, with or without body. */
static int to_mailbox(DraftVOperation operation,
                const char *mailbox,
                const char *claim,
                const char *request_id,
                const json_t *body,
                HttpRequest *ret) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        int r;

        r = begin(operation, claim, request_id, &request);
        if (r < 0)
                return r;
        request.url = strdup(mailbox);
        if (!request.url)
                return -ENOMEM;
        if (body) {
                r = set_body(&request, body);
                if (r < 0)
                        return r;
        }

        *ret = request;
        request = HTTP_REQUEST_NULL;
        return 0;
}

int draft_v_update(const char *mailbox,
                const char *claim,
                const char *request_id,
                const char *payload_type,
                const char *payload_data,
                HttpRequest *ret) {
        json_auto_t *body = json_pack(
                        "{s:{s:s, s:s}}", "payload", "type", payload_type, "data", payload_data);

        if (!body)
                return -ENOMEM;
        return to_mailbox(DRAFT_V_UPDATE, mailbox, claim, request_id, body, ret);
}

int draft_v_plain(DraftVOperation operation,
                const char *mailbox,
                const char *claim,
                const char *request_id,
                HttpRequest *ret) {
        return to_mailbox(operation, mailbox, claim, request_id, NULL, ret);
}

typedef enum Echo {
        ECHO_MISSING,
        ECHO_RIGHT,
        ECHO_WRONG,
} Echo;

/* Every echo must be right: an answer with two is somebody's answer to somebody else. UUIDs compare
 * without case. */
static Echo read_echo(const HttpAnswer *answer, const char *request_id) {
        size_t offset = 0, size;
        Echo echo = ECHO_MISSING;
        const char *value;

        while (relay_http_next_header(answer, echo_header, &offset, &value, &size)) {
                if (size != strlen(request_id) || strncasecmp(value, request_id, size) != 0)
                        return ECHO_WRONG;
                echo = ECHO_RIGHT;
        }
        return echo;
}

__attribute__((format(printf, 3, 4))) static void set_outcome(
                DraftVAnswer *answer, DraftVOutcome outcome, const char *format, ...) {
        va_list ap;

        answer->outcome = outcome;
        va_start(ap, format);
        (void) vsnprintf(answer->reason, sizeof(answer->reason), format, ap);
        va_end(ap);
}

/* 0: *ret is an object. 1: the body is not one. */
static int read_body(const HttpAnswer *answer, json_t **ret) {
        json_auto_t *body = NULL;
        JsonProblem problem;
        int r;

        if (answer->body_size == 0 || answer->body_size > DRAFT_V_ANSWER_MAX)
                return 1;
        r = json_read(answer->body, answer->body_size, DRAFT_V_DEPTH_MAX, &body, &problem);
        if (r != 0)
                return r < 0 ? r : 1;
        if (!json_is_object(body))
                return 1;
        *ret = TAKE_PTR(body);
        return 0;
}

/* Absent is false: a relay that does not say so has no push. 1: another type. */
static int read_push(const json_t *body, DraftVAnswer *ret) {
        const json_t *push = json_object_get(body, "isPushNotificationSupported");

        if (push && !json_is_boolean(push))
                return 1;
        ret->push_is_supported = json_is_true(push);
        return 0;
}

/* A duplicate (201) has no body in the draft; some relays repeat the first answer's. */
static int read_create(
                int status, const HttpAnswer *answer, const char *const *hosts, DraftVAnswer *ret) {
        json_auto_t *body = NULL;
        const char *link;
        int r;

        r = read_body(answer, &body);
        if (r < 0)
                return r;
        link = r == 0 ? json_string_value(json_object_get(body, "urlLink")) : NULL;
        if (status == 201 && !link) {
                set_outcome(ret, DRAFT_V_DUPLICATE, "duplicate");
                return 0;
        }
        if (!link || read_push(body, ret) != 0) {
                set_outcome(ret, DRAFT_V_AGAIN, "bad-answer");
                return 0;
        }
        if (!share_url_is_link(link, hosts)) {
                set_outcome(ret, DRAFT_V_REFUSED, "url-link");
                return 0;
        }
        ret->link = strdup(link);
        return ret->link ? 0 : -ENOMEM;
}

/* The drafts' tables call the payload a string and their examples show an object: both are taken.
 */
static int read_payload(json_t *body, DraftVAnswer *ret) {
        json_t *payload = json_object_get(body, "payload");
        JsonProblem problem;
        int r;

        if (json_is_string(payload)) {
                json_t *parsed;

                r = json_read(json_string_value(payload),
                                json_string_length(payload),
                                4,
                                &parsed,
                                &problem);
                if (r != 0)
                        return r < 0 ? r : 1;
                if (json_object_set_new(body, "payload", parsed) < 0)
                        return -ENOMEM;
                payload = parsed;
        }
        ret->payload_type = json_string_value(json_object_get(payload, "type"));
        ret->payload_data = json_string_value(json_object_get(payload, "data"));
        ret->payload = payload;
        return ret->payload_type && ret->payload_data ? 0 : 1;
}

static int read_display(const json_t *body, DraftVAnswer *ret) {
        const JsonMember members[] = {
                { "title", JSON_KIND_STRING, offsetof(DraftVAnswer, title), false, 0, 0 },
                { "description",
                                JSON_KIND_STRING,
                                offsetof(DraftVAnswer, description),
                                false,
                                0,
                                0 },
                { "imageURL", JSON_KIND_STRING, offsetof(DraftVAnswer, image_url), false, 0, 0 },
        };
        const json_t *display = json_object_get(body, "displayInformation");
        const json_t *expiration = json_object_get(body, "expiration");
        JsonProblem problem;

        if (display && json_read_members(display,
                                       members,
                                       N_ELEMENTS(members),
                                       false,
                                       ret,
                                       &problem) != 0)
                return 1;
        if (expiration && (!json_is_string(expiration) ||
                                          time_from_text(json_string_value(expiration),
                                                          &ret->expiration) < 0))
                return 1;
        return 0;
}

/* A payload is needed; the rest may be absent, but must be right when it is there. */
static int read_read(int status, const HttpAnswer *answer, DraftVAnswer *ret) {
        int r;

        r = read_body(answer, &ret->body);
        if (r == 0)
                r = read_payload(ret->body, ret);
        if (r == 0)
                r = read_display(ret->body, ret);
        if (r < 0)
                return r;
        if (r > 0) {
                json_decref(ret->body);
                *ret = (DraftVAnswer){ .reachable = true, .missing_echo = ret->missing_echo };
                if (status == 201)
                        set_outcome(ret, DRAFT_V_REREAD, "repeated-read");
                else
                        set_outcome(ret, DRAFT_V_AGAIN, "bad-answer");
        }
        return 0;
}

static int read_success(DraftVOperation operation,
                const HttpAnswer *answer,
                const char *const *hosts,
                DraftVAnswer *ret) {
        json_auto_t *body = NULL;
        int r;

        ret->outcome = DRAFT_V_DONE;
        switch (operation) {
        case DRAFT_V_CREATE:
                return read_create(answer->status, answer, hosts, ret);
        case DRAFT_V_READ:
                return read_read(answer->status, answer, ret);
        case DRAFT_V_UPDATE:
                /* Stored is stored, whatever else the body says. */
                r = read_body(answer, &body);
                if (r == 0)
                        (void) read_push(body, ret);
                return r < 0 ? r : 0;
        case DRAFT_V_DELETE:
        case DRAFT_V_RELINQUISH:
        case DRAFT_V_PREVIEW:
        case _DRAFT_V_OPERATION_MAX:
                break;
        }
        return 0;
}

/* Statuses other than 200, 201, 400, 401 and 404 are not in the draft. */
static void read_failure(const Operation *operation, int status, DraftVAnswer *ret) {
        DraftVOutcome outcome = DRAFT_V_REFUSED;

        if (status == 401)
                outcome = operation->on_401;
        else if (status == 403)
                outcome = operation->on_403;
        else if (status == 404)
                outcome = operation->on_404;
        else if (relay_http_is_transient(status))
                outcome = DRAFT_V_AGAIN;
        set_outcome(ret,
                        outcome,
                        status >= 300 && status < 400 ? "redirect-%d" : "http-%d",
                        status);
}

int draft_v_read_answer(DraftVOperation operation,
                const char *request_id,
                const HttpAnswer *answer,
                const char *const *hosts,
                int64_t now,
                DraftVAnswer *ret) {
        Echo echo;
        int r;

        *ret = (DraftVAnswer){ .reachable = answer->status != 0 };
        if (answer->status == 0) {
                set_outcome(ret, DRAFT_V_AGAIN, "%s", answer->failure);
                return 0;
        }

        echo = operations[operation].has_claim ? read_echo(answer, request_id) : ECHO_RIGHT;
        if (echo == ECHO_WRONG) {
                set_outcome(ret, DRAFT_V_AGAIN, "wrong-echo");
                return 0;
        }
        ret->missing_echo = echo == ECHO_MISSING;

        if (answer->status >= 200 && answer->status < 300) {
                r = read_success(operation, answer, hosts, ret);
                if (r < 0) {
                        draft_v_answer_done(ret);
                        return r;
                }
        } else
                read_failure(&operations[operation], answer->status, ret);
        if (ret->outcome == DRAFT_V_AGAIN)
                ret->retry_after = relay_http_retry_after(answer, now);
        return 0;
}

void draft_v_answer_done(DraftVAnswer *answer) {
        secret_free_string(answer->link);
        json_decref(answer->body);
        *answer = (DraftVAnswer){ .outcome = DRAFT_V_AGAIN };
}
