#include "draft-v.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-read.h"
#include "open-graph.h"
#include "relay-http.h"
#include "secret.h"
#include "share-url.h"
#include "text.h"
#include "time-text.h"

enum {
        BODY_PIECES_MAX = 16,
        PAYLOAD_DEPTH_MAX = 4, /* of one that is a string */
};

typedef struct Operation {
        const char *method;
        bool has_claim, has_attestation;
        DraftVOutcome on_401, on_403, on_404;
} Operation;

static const Operation operations[_DRAFT_V_OPERATION_MAX] = {
        /* clang-format off */
        [DRAFT_V_CREATE]     = { "POST",   true,  true,  DRAFT_V_UNAUTHORISED, DRAFT_V_UNAUTHORISED, DRAFT_V_REFUSED },
        [DRAFT_V_READ]       = { "POST",   true,  false, DRAFT_V_CLAIMED,      DRAFT_V_REFUSED,      DRAFT_V_GONE },
        [DRAFT_V_UPDATE]     = { "PUT",    true,  true,  DRAFT_V_UNAUTHORISED, DRAFT_V_REFUSED,      DRAFT_V_GONE },
        [DRAFT_V_DELETE]     = { "DELETE", true,  false, DRAFT_V_UNAUTHORISED, DRAFT_V_REFUSED,      DRAFT_V_GONE },
        [DRAFT_V_RELINQUISH] = { "PATCH",  true,  false, DRAFT_V_UNAUTHORISED, DRAFT_V_UNAUTHORISED, DRAFT_V_GONE },
        [DRAFT_V_PREVIEW]    = { "GET",    false, false, DRAFT_V_REFUSED,      DRAFT_V_REFUSED,      DRAFT_V_GONE },
        /* clang-format on */
};

/* The same in all versions that are spoken, so that an answer is read without knowing which. */
static const char request_id_header[] = "Mailbox-Request-ID";

/* What the versions of the draft call things. */
typedef struct Dialect {
        const char *legacy_name, *path, *media_type;
        const char *claim, *attestation;
} Dialect;

static const Dialect dialects[_DRAFT_V_DIALECT_MAX] = {
        [DRAFT_V_CURRENT] = { NULL,
                        "/" SHARE_URL_VERSION "/m",
                        "application/json",
                        "Mailbox-Device-Claim",
                        "Mailbox-Device-Attestation" },
        [DRAFT_V_SCT04] = { "sct04",
                        "/" SHARE_URL_VERSION "/m",
                        "application/json",
                        "Device-Claim",
                        "Device-Attestation" },
};

bool draft_v_dialect_from_legacy(const char *name, DraftVDialect *ret) {
        for (size_t i = 0; i < N_ELEMENTS(dialects); i++)
                if (dialects[i].legacy_name && streq(name, dialects[i].legacy_name)) {
                        *ret = (DraftVDialect) i;
                        return true;
                }
        return false;
}

static bool is_header_value(const char *text) {
        for (const char *p = text; *p; p++)
                if (*p <= ' ' || *p > '~')
                        return false;
        return text[0] != 0;
}

static int begin(DraftVOperation operation, const DraftVCaller *caller, HttpRequest *request) {
        const Dialect *dialect = &dialects[caller->dialect];
        int r;

        request->method = operations[operation].method;
        request->echoed = request_id_header;
        if (!text_is_uuid(caller->request_id))
                return -EINVAL;
        r = relay_http_add_header(request, "%s: %s", request_id_header, caller->request_id);
        if (r < 0)
                return r;
        if (!operations[operation].has_claim)
                return relay_http_add_header(request, "Accept: text/html");
        if (!text_is_uuid(caller->claim))
                return -EINVAL;
        r = relay_http_add_header(request, "%s: %s", dialect->claim, caller->claim);
        if (r < 0 || !operations[operation].has_attestation || !caller->attestation)
                return r;
        if (!is_header_value(caller->attestation))
                return -EINVAL;
        return relay_http_add_header(request, "%s: %s", dialect->attestation, caller->attestation);
}

/* A body member by member, because values of jansson copy and check every text once more. */
typedef struct Piece {
        const char *json; /* written as it is */
        const char *text; /* then written as a string, or NULL */
} Piece;

typedef struct Body {
        Piece pieces[BODY_PIECES_MAX];
        size_t n_pieces;
} Body;

static void add_piece(Body *body, const char *json, const char *text) {
        assert(body->n_pieces < BODY_PIECES_MAX);
        body->pieces[body->n_pieces++] = (Piece){ json, text };
}

/* The size of the whole, which is the room there must be, or none. */
static size_t write_body(const Body *body, char *buffer, size_t room) {
        size_t size = 0;

        for (size_t i = 0; i < body->n_pieces; i++) {
                const Piece *piece = &body->pieces[i];
                size_t n = strlen(piece->json);

                if (room > 0)
                        memcpy(buffer + size, piece->json, n);
                size += n;
                if (piece->text)
                        size += json_quick_write_text(piece->text,
                                        room > 0 ? buffer + size : NULL,
                                        room > 0 ? room - size : 0);
        }
        return size;
}

static int set_body(DraftVDialect dialect, const Body *body, HttpRequest *request) {
        size_t size = write_body(body, NULL, 0);

        if (size > DRAFT_V_BODY_MAX)
                return -EMSGSIZE;
        request->body = malloc(size);
        if (!request->body)
                return -ENOMEM;
        request->body_size = write_body(body, request->body, size);
        return relay_http_add_header(request, "Content-Type: %s", dialects[dialect].media_type);
}

static bool is_text(const char *text) {
        return text_is_utf8(text, strlen(text));
}

static bool text_fits(const char *text, size_t max_characters) {
        size_t n = 0;

        for (const char *p = text; *p; p++)
                n += (*p & 0xc0) != 0x80;
        return n <= max_characters && is_text(text);
}

/* A token of one member would make the relay refuse the whole request. */
static bool token_is_valid(const DraftVToken *token) {
        if (!token->type && !token->data)
                return true;
        return token->type && token->data && token->type[0] && token->data[0] &&
               is_text(token->type) && is_text(token->data);
}

static bool create_is_valid(const DraftVCreate *create) {
        return text_fits(create->title, DRAFT_V_TITLE_MAX) &&
               text_fits(create->description, DRAFT_V_DESCRIPTION_MAX) &&
               text_fits(create->image_url, DRAFT_V_IMAGE_URL_MAX) &&
               strlen(create->image_url) <= DRAFT_V_IMAGE_URL_MAX && create->access_rights[0] &&
               strspn(create->access_rights, "RWD") == strlen(create->access_rights) &&
               is_text(create->payload_type) && is_text(create->payload_data) &&
               token_is_valid(&create->token);
}

static void add_payload(Body *body, const char *before, const char *type, const char *data) {
        add_piece(body, before, NULL);
        add_piece(body, "\"payload\":{\"type\":", type);
        add_piece(body, ",\"data\":", data);
        add_piece(body, "}", NULL);
}

static void add_end(Body *body, const DraftVToken *token) {
        if (token->type) {
                add_piece(body, ",\"notificationToken\":{\"type\":", token->type);
                add_piece(body, ",\"tokenData\":", token->data);
                add_piece(body, "}", NULL);
        }
        add_piece(body, "}", NULL);
}

/* Builds everything but the URL, which goes to request and is freed with it. */
static int finish(DraftVOperation operation,
                const DraftVCaller *caller,
                const Body *body,
                HttpRequest *request,
                HttpRequest *ret) {
        int r;

        r = begin(operation, caller, request);
        if (r == 0 && body)
                r = set_body(caller->dialect, body, request);
        if (r < 0)
                return r;

        *ret = *request;
        *request = HTTP_REQUEST_NULL;
        return 0;
}

int draft_v_create(const char *base_url,
                const DraftVCaller *caller,
                const DraftVCreate *create,
                HttpRequest *ret) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        char authority[SHARE_URL_AUTHORITY_SIZE];
        char expiration[TIME_TEXT_SIZE];
        Body body = { .n_pieces = 0 };

        if (!create_is_valid(create) || share_url_authority(base_url, authority) != 0)
                return -EINVAL;
        time_text(create->expiration, expiration);
        add_piece(&body, "{\"displayInformation\":{\"title\":", create->title);
        add_piece(&body, ",\"description\":", create->description);
        add_piece(&body, ",\"imageURL\":", create->image_url);
        add_payload(&body, "},", create->payload_type, create->payload_data);
        add_piece(&body, ",\"mailboxConfiguration\":{\"accessRights\":", create->access_rights);
        add_piece(&body, ",\"expiration\":", expiration);
        add_piece(&body, "}", NULL);
        add_end(&body, &create->token);
        if (asprintf(&request.url, "https://%s%s", authority, dialects[caller->dialect].path) < 0) {
                request.url = NULL;
                return -ENOMEM;
        }
        return finish(DRAFT_V_CREATE, caller, &body, &request, ret);
}

/* A request to a mailbox itself, with or without body. */
static int to_mailbox(DraftVOperation operation,
                const char *mailbox,
                const DraftVCaller *caller,
                const Body *body,
                HttpRequest *ret) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;

        if (!share_url_is_https(mailbox))
                return -EINVAL;
        /* The fragment is the Secret, and the query is for people's devices. */
        request.url = strndup(mailbox, strcspn(mailbox, "?#"));
        if (!request.url)
                return -ENOMEM;
        return finish(operation, caller, body, &request, ret);
}

int draft_v_update(const char *mailbox,
                const DraftVCaller *caller,
                const DraftVUpdate *update,
                HttpRequest *ret) {
        Body body = { .n_pieces = 0 };

        if (!is_text(update->payload_type) || !is_text(update->payload_data) ||
                        !token_is_valid(&update->token))
                return -EINVAL;
        add_payload(&body, "{", update->payload_type, update->payload_data);
        add_end(&body, &update->token);
        return to_mailbox(DRAFT_V_UPDATE, mailbox, caller, &body, ret);
}

int draft_v_plain(DraftVOperation operation,
                const char *mailbox,
                const DraftVCaller *caller,
                HttpRequest *ret) {
        return to_mailbox(operation, mailbox, caller, NULL, ret);
}

__attribute__((format(printf, 3, 4))) static void set_outcome(
                DraftVAnswer *answer, DraftVOutcome outcome, const char *format, ...) {
        va_list ap;

        answer->outcome = outcome;
        va_start(ap, format);
        (void) vsnprintf(answer->reason, sizeof(answer->reason), format, ap);
        va_end(ap);
}

/* 0: a value. 1: none, and *ret_reason says why. */
static int read_json(const char *text,
                size_t size,
                unsigned depth_max,
                json_t **ret,
                const char **ret_reason) {
        JsonProblem problem;
        int r;

        r = json_read(text, size, depth_max, ret, &problem);
        if (r <= 0)
                return r;
        *ret_reason = relay_http_json_reason(&problem);
        return 1;
}

/* 0: *ret is an object. 1: the body is not one, and *ret_reason says why. */
static int read_body(const HttpAnswer *answer, json_t **ret, const char **ret_reason) {
        json_auto_t *body = NULL;
        int r;

        *ret_reason = "answer-too-large";
        if (answer->body_size > DRAFT_V_ANSWER_MAX)
                return 1;
        r = read_json(answer->body, answer->body_size, DRAFT_V_DEPTH_MAX, &body, ret_reason);
        if (r != 0)
                return r;
        *ret_reason = "answer-form";
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

static const char *link_reason(const char *link, const char *const *hosts) {
        _cleanup_(share_url_done) ShareUrl url;

        switch (share_url_parse(link, &url)) {
        case 0:
                return share_url_is_allowed(&url, hosts) ? "link-form" : "link-other-host";
        case SHARE_URL_E_SCHEME:
                return "link-not-https";
        default:
                return "link-form";
        }
}

/* A duplicate (201) has no body in the draft; some relays repeat the first answer's. */
static int read_create(
                int status, const HttpAnswer *answer, const char *const *hosts, DraftVAnswer *ret) {
        json_auto_t *body = NULL;
        const char *link, *reason;
        int r;

        r = read_body(answer, &body, &reason);
        if (r < 0)
                return r;
        link = r == 0 ? json_string_value(json_object_get(body, "urlLink")) : NULL;
        if (status == 201 && !link) {
                bool is_usual = answer->body_size == 0 || r == 0;

                set_outcome(ret, DRAFT_V_DUPLICATE, "%s", is_usual ? "duplicate" : reason);
                return 0;
        }
        if (!link || read_push(body, ret) != 0) {
                set_outcome(ret, DRAFT_V_AGAIN, "%s", reason);
                return 0;
        }
        if (!share_url_is_link(link, hosts)) {
                set_outcome(ret, DRAFT_V_REFUSED, "%s", link_reason(link, hosts));
                return 0;
        }
        ret->link = strdup(link);
        return ret->link ? 0 : -ENOMEM;
}

/* The drafts' tables call the payload a string and their examples show an object: both are taken.
 */
static int read_payload(json_t *body, DraftVAnswer *ret, const char **ret_reason) {
        json_t *payload = json_object_get(body, "payload");
        int r;

        if (json_is_string(payload)) {
                json_t *parsed;

                r = read_json(json_string_value(payload),
                                json_string_length(payload),
                                PAYLOAD_DEPTH_MAX,
                                &parsed,
                                ret_reason);
                if (r != 0)
                        return r;
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
        const char *reason;
        int r;

        r = read_body(answer, &ret->body, &reason);
        if (r == 0)
                r = read_payload(ret->body, ret, &reason);
        if (r == 0)
                r = read_display(ret->body, ret);
        if (r < 0)
                return r;
        if (r > 0) {
                json_decref(ret->body);
                *ret = (DraftVAnswer){ .missing_echo = ret->missing_echo };
                if (status == 201 && answer->body_size == 0)
                        reason = "repeated-read";
                set_outcome(ret, status == 201 ? DRAFT_V_REREAD : DRAFT_V_AGAIN, "%s", reason);
        }
        return 0;
}

/* The page's texts as a read would give them. A page that says nothing is a mailbox all the same.
 */
static int read_preview(const HttpAnswer *answer, DraftVAnswer *ret) {
        _cleanup_(open_graph_done) OpenGraph page = OPEN_GRAPH_NULL;
        int r;

        r = open_graph_read(answer->body, answer->body_size, &page);
        if (r < 0)
                return r;
        ret->body = json_pack("{s:{s:s*, s:s*, s:s*}}",
                        "displayInformation",
                        "title",
                        page.title,
                        "description",
                        page.description,
                        "imageURL",
                        page.image);
        if (!ret->body)
                return -ENOMEM;
        (void) read_display(ret->body, ret);
        return 0;
}

static int read_success(DraftVOperation operation,
                const HttpAnswer *answer,
                const char *const *hosts,
                DraftVAnswer *ret) {
        json_auto_t *body = NULL;
        const char *reason;
        int r;

        ret->outcome = DRAFT_V_DONE;
        switch (operation) {
        case DRAFT_V_CREATE:
                return read_create(answer->status, answer, hosts, ret);
        case DRAFT_V_READ:
                return read_read(answer->status, answer, ret);
        case DRAFT_V_UPDATE:
                /* Stored is stored, whatever else the body says. */
                r = read_body(answer, &body, &reason);
                if (r == 0)
                        (void) read_push(body, ret);
                return r < 0 ? r : 0;
        case DRAFT_V_PREVIEW:
                return read_preview(answer, ret);
        case DRAFT_V_DELETE:
        case DRAFT_V_RELINQUISH:
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
        RelayHttpEcho echo;
        int r;

        *ret = (DraftVAnswer){ .outcome = DRAFT_V_DONE };
        if (answer->status == 0) {
                set_outcome(ret, DRAFT_V_AGAIN, "%s", answer->failure);
                return 0;
        }

        echo = relay_http_echo(answer, request_id_header, request_id, strlen(request_id));
        if (echo == RELAY_HTTP_ECHO_WRONG) {
                set_outcome(ret, DRAFT_V_AGAIN, "wrong-echo");
                return 0;
        }
        ret->missing_echo = echo == RELAY_HTTP_ECHO_MISSING;

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
