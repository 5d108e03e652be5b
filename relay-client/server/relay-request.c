#include "relay-request.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "json-read.h"
#include "text.h"
#include "time-text.h"

const char *relay_operation_name(RelayOperation operation) {
        static const char *const names[_RELAY_OPERATION_MAX] = {
                [RELAY_CREATE] = "CreateMailbox",
                [RELAY_UPDATE] = "UpdateMailbox",
                [RELAY_DELETE] = "DeleteMailbox",
                [RELAY_PREVIEW] = "ReadDisplayInformationFromMailbox",
                [RELAY_READ] = "ReadSecureContentFromMailbox",
                [RELAY_RELINQUISH] = "RelinquishMailbox",
        };

        return names[operation];
}

bool relay_operation_has_body(RelayOperation operation) {
        return operation == RELAY_CREATE || operation == RELAY_UPDATE;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

static int id_parse(const char *text, size_t length, uint8_t ret[RELAY_ID_SIZE]) {
        size_t n = 0;

        if (length != UUID_TEXT_SIZE - 1)
                return -EBADMSG;
        for (size_t i = 0; i < length;) {
                int high, low;

                if (i == 8 || i == 13 || i == 18 || i == 23) {
                        if (text[i++] != '-')
                                return -EBADMSG;
                        continue;
                }
                high = hex_digit(text[i]);
                low = hex_digit(text[i + 1]);
                if (high < 0 || low < 0)
                        return -EBADMSG;
                ret[n++] = (uint8_t) (high << 4 | low);
                i += 2;
        }
        return 0;
}

int relay_id_parse(const char *text, uint8_t ret[RELAY_ID_SIZE]) {
        return id_parse(text, strlen(text), ret);
}

void relay_id_text(const uint8_t id[RELAY_ID_SIZE], char ret[37]) {
        static const char digits[] = "0123456789abcdef";
        char *p = ret;

        for (size_t i = 0; i < RELAY_ID_SIZE; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *p++ = '-';
                *p++ = digits[id[i] >> 4];
                *p++ = digits[id[i] & 15];
        }
        *p = 0;
}

/* Whatever follows '?' is ignored: share URLs carry the vertical there. */
static int parse_path(const char *target, bool *ret_mailbox, uint8_t ret_id[RELAY_ID_SIZE]) {
        static const char collection[] = "/v1/m";
        size_t length = strcspn(target, "?"), prefix = sizeof(collection) - 1;

        if (length < prefix || memcmp(target, collection, prefix) != 0)
                return RELAY_REQUEST_E_PATH;
        *ret_mailbox = length > prefix;
        if (!*ret_mailbox)
                return 0;
        if (target[prefix] != '/' || id_parse(target + prefix + 1, length - prefix - 1, ret_id) < 0)
                return RELAY_REQUEST_E_PATH;
        return 0;
}

static int parse_method(const char *method, bool mailbox, RelayOperation *ret) {
        static const struct {
                const char *method;
                bool mailbox;
                RelayOperation operation;
        } table[] = {
                { "POST", false, RELAY_CREATE },
                { "POST", true, RELAY_READ },
                { "GET", true, RELAY_PREVIEW },
                { "HEAD", true, RELAY_PREVIEW },
                { "PUT", true, RELAY_UPDATE },
                { "DELETE", true, RELAY_DELETE },
                { "PATCH", true, RELAY_RELINQUISH },
        };

        for (size_t i = 0; i < N_ELEMENTS(table); i++)
                if (table[i].mailbox == mailbox && streq(table[i].method, method)) {
                        *ret = table[i].operation;
                        return 0;
                }
        return RELAY_REQUEST_E_METHOD;
}

static int refuse(int error, const char *reason, const char **ret_reason) {
        *ret_reason = reason;
        return error;
}

static int parse_identity(const RelayHead *head, RelayRequest *request, const char **ret_reason) {
        uint8_t claim[RELAY_ID_SIZE];

        if (head->request_id) {
                if (relay_id_parse(head->request_id, request->request_id) < 0)
                        return refuse(RELAY_REQUEST_E_HEADER,
                                        "Mailbox-Request-ID must be a UUID",
                                        ret_reason);
                request->has_request_id = true;
        } else if (request->operation != RELAY_READ && request->operation != RELAY_PREVIEW)
                return refuse(RELAY_REQUEST_E_HEADER, "Mailbox-Request-ID is required", ret_reason);

        if (request->operation == RELAY_PREVIEW)
                return 0;
        if (!head->claim)
                return refuse(RELAY_REQUEST_E_CLAIM,
                                "Mailbox-Device-Claim is required",
                                ret_reason);
        if (relay_id_parse(head->claim, claim) < 0)
                return refuse(RELAY_REQUEST_E_HEADER,
                                "Mailbox-Device-Claim must be a UUID",
                                ret_reason);
        (void) crypto_generichash(
                        request->claim, sizeof(request->claim), claim, sizeof(claim), NULL, 0);
        sodium_memzero(claim, sizeof(claim));
        return 0;
}

static bool is_json(const char *content_type) {
        static const char json[] = "application/json";
        size_t length = sizeof(json) - 1;

        return strncasecmp(content_type, json, length) == 0 &&
               (!content_type[length] || content_type[length] == ';' ||
                               content_type[length] == ' ');
}

int relay_request_check_leaks(const RelayHead *head, const char **ret_reason) {
        if (strchr(head->target, '#') || strstr(head->target, "%23"))
                return refuse(RELAY_REQUEST_E_FRAGMENT,
                                "a fragment must never be sent",
                                ret_reason);
        if (head->has_referer)
                return refuse(RELAY_REQUEST_E_REFERER, "a Referer must never be sent", ret_reason);
        return 0;
}

int relay_request_parse_head(const RelayHead *head, RelayRequest *ret, const char **ret_reason) {
        bool mailbox;
        int r;

        r = relay_request_check_leaks(head, ret_reason);
        if (r != 0)
                return r;
        r = parse_path(head->target, &mailbox, ret->mailbox);
        if (r != 0)
                return refuse(r, "there is nothing here", ret_reason);
        r = parse_method(head->method, mailbox, &ret->operation);
        if (r != 0)
                return refuse(r, "this method is not known here", ret_reason);

        if (head->repeats)
                return refuse(RELAY_REQUEST_E_HEADER, "a header is repeated", ret_reason);
        if (relay_operation_has_body(ret->operation) && head->content_type &&
                        !is_json(head->content_type))
                return refuse(RELAY_REQUEST_E_HEADER,
                                "Content-Type must be application/json",
                                ret_reason);
        return parse_identity(head, ret, ret_reason);
}

typedef struct BodyMembers {
        const json_t *payload, *display, *token, *configuration;
} BodyMembers;

typedef struct PayloadMembers {
        const char *type, *data;
} PayloadMembers;

typedef struct DisplayMembers {
        const char *title, *description, *image_url;
} DisplayMembers;

typedef struct ConfigurationMembers {
        const char *rights, *expiration;
} ConfigurationMembers;

static int say(char ret_reason[160], const char *text) {
        (void) snprintf(ret_reason, 160, "%s", text);
        return RELAY_REQUEST_E_BODY;
}

static int read_members(const json_t *object,
                const JsonMember *members,
                size_t n_members,
                void *ret,
                char ret_reason[160]) {
        JsonProblem problem;

        if (json_read_members(object, members, n_members, false, ret, &problem) != 0)
                return say(ret_reason, problem.text);
        return 0;
}

typedef struct TextMember {
        const char *name, *value;
} TextMember;

static size_t escaped_length(const char *text) {
        size_t n = 0;

        for (const uint8_t *p = (const uint8_t *) text; *p; p++)
                n += *p < 0x20 ? 6 : *p == '"' || *p == '\\' ? 2 : 1;
        return n;
}

static char *put_escaped(char *p, const char *text) {
        static const char digits[] = "0123456789abcdef";

        for (; *text; text++) {
                uint8_t c = (uint8_t) *text;

                if (c < 0x20) {
                        p = mempcpy(p, "\\u00", 4);
                        *p++ = digits[c >> 4];
                        *p++ = digits[c & 15];
                        continue;
                }
                if (c == '"' || c == '\\')
                        *p++ = '\\';
                *p++ = *text;
        }
        return p;
}

/* Writes an object of strings, which are UTF-8 already. A payload is most of what the relay moves,
 * and jansson took a third of the time of a Create to copy it into objects and out again. */
static int write_object(const TextMember *members, size_t n_members, char **ret) {
        size_t size = 3;
        char *text, *p;

        for (size_t i = 0; i < n_members; i++)
                size += strlen(members[i].name) + escaped_length(members[i].value) + 6;
        text = p = malloc(size);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < n_members; i++) {
                *p++ = i == 0 ? '{' : ',';
                *p++ = '"';
                p = stpcpy(p, members[i].name);
                p = stpcpy(p, "\":\"");
                p = put_escaped(p, members[i].value);
                *p++ = '"';
        }
        *p++ = '}';
        *p = 0;
        *ret = text;
        return 0;
}

static int read_payload(const json_t *object, RelayRequest *request, char ret_reason[160]) {
        static const JsonMember members[] = {
                { "type", JSON_KIND_STRING, offsetof(PayloadMembers, type), true },
                { "data", JSON_KIND_STRING, offsetof(PayloadMembers, data), true },
        };
        PayloadMembers m = { 0 };
        int r;

        r = read_members(object, members, N_ELEMENTS(members), &m, ret_reason);
        if (r != 0)
                return r;
        if (!streq(m.type, "AEAD_AES_128_GCM") && !streq(m.type, "AEAD_AES_256_GCM"))
                return say(ret_reason,
                                "`payload.type` must be AEAD_AES_128_GCM or AEAD_AES_256_GCM");
        return write_object((TextMember[]){ { "type", m.type }, { "data", m.data } },
                        2,
                        &request->payload);
}

static int read_display(const json_t *object, RelayRequest *request, char ret_reason[160]) {
        static const JsonMember members[] = {
                { "title",
                                JSON_KIND_STRING,
                                offsetof(DisplayMembers, title),
                                true,
                                0,
                                RELAY_TITLE_MAX },
                { "description",
                                JSON_KIND_STRING,
                                offsetof(DisplayMembers, description),
                                true,
                                0,
                                RELAY_DESCRIPTION_MAX },
                { "imageURL",
                                JSON_KIND_STRING,
                                offsetof(DisplayMembers, image_url),
                                true,
                                0,
                                RELAY_IMAGE_URL_MAX },
        };
        DisplayMembers m = { 0 };
        int r;

        r = read_members(object, members, N_ELEMENTS(members), &m, ret_reason);
        if (r != 0)
                return r;
        return write_object(
                        (TextMember[]){
                                        { "title", m.title },
                                        { "description", m.description },
                                        { "imageURL", m.image_url },
                        },
                        3,
                        &request->display);
}

/* A token that we cannot serve would be personal data without a use: of every token only the hash
 * is kept, which is enough to show who would have been told, and of our own type the address. */
static int read_token(const json_t *object,
                RelayRequest *request,
                const RelayLimits *limits,
                char ret_reason[160]) {
        static const JsonMember members[] = {
                { "type",
                                JSON_KIND_STRING,
                                offsetof(PayloadMembers, type),
                                true,
                                1,
                                RELAY_TOKEN_TYPE_MAX },
                { "tokenData",
                                JSON_KIND_STRING,
                                offsetof(PayloadMembers, data),
                                true,
                                1,
                                RELAY_TOKEN_DATA_MAX },
        };
        PayloadMembers m = { 0 };
        uint8_t hash[32];
        int r;

        r = read_members(object, members, N_ELEMENTS(members), &m, ret_reason);
        if (r != 0)
                return r;
        (void) crypto_generichash(
                        hash, sizeof(hash), (const uint8_t *) m.data, strlen(m.data), NULL, 0);
        request->token = 0;
        for (size_t i = 0; i < 8; i++)
                request->token = request->token << 8 | hash[i];
        if (request->token == 0)
                request->token = 1;

        if (!streq(m.type, WEBHOOK_TOKEN_TYPE) || !limits->webhooks ||
                        !webhook_url_is_allowed(limits->webhooks, m.data))
                return 0;
        free(request->webhook);
        request->webhook = strdup(m.data);
        return request->webhook ? 0 : -ENOMEM;
}

static int read_rights(const char *text, unsigned *ret, char ret_reason[160]) {
        unsigned rights = 0;

        for (const char *p = text; *p; p++)
                switch (*p) {
                case 'R':
                        rights |= RELAY_RIGHT_READ;
                        break;
                case 'W':
                        rights |= RELAY_RIGHT_WRITE;
                        break;
                case 'D':
                        rights |= RELAY_RIGHT_DELETE;
                        break;
                default:
                        return say(ret_reason, "`accessRights` must be made of R, W and D");
                }
        if (rights == 0)
                return say(ret_reason, "`accessRights` must be made of R, W and D");
        *ret = rights;
        return 0;
}

static int read_configuration(const json_t *object,
                RelayRequest *request,
                const RelayLimits *limits,
                char ret_reason[160]) {
        static const JsonMember members[] = {
                { "accessRights", JSON_KIND_STRING, offsetof(ConfigurationMembers, rights), false },
                { "expiration",
                                JSON_KIND_STRING,
                                offsetof(ConfigurationMembers, expiration),
                                true },
        };
        ConfigurationMembers m = { 0 };
        int r;

        request->rights = RELAY_RIGHT_READ | RELAY_RIGHT_DELETE;
        request->expiration = limits->now + limits->ttl_default;
        if (!object)
                return 0;

        r = read_members(object, members, N_ELEMENTS(members), &m, ret_reason);
        if (r != 0)
                return r;
        if (m.rights) {
                r = read_rights(m.rights, &request->rights, ret_reason);
                if (r != 0)
                        return r;
        }
        if (time_from_text(m.expiration, &request->expiration) < 0)
                return say(ret_reason, "`expiration` must be RFC 3339 in UTC");
        if (request->expiration <= limits->now)
                return say(ret_reason, "`expiration` has passed");
        if (request->expiration - limits->now > limits->ttl_max)
                return say(ret_reason, "`expiration` is later than this relay allows");
        return 0;
}

static int read_body(const json_t *body,
                RelayRequest *request,
                const RelayLimits *limits,
                char ret_reason[160]) {
        const JsonMember members[] = {
                { "payload", JSON_KIND_OBJECT, offsetof(BodyMembers, payload), true },
                { "notificationToken", JSON_KIND_OBJECT, offsetof(BodyMembers, token), false },
                { "displayInformation", JSON_KIND_OBJECT, offsetof(BodyMembers, display), true },
                { "mailboxConfiguration",
                                JSON_KIND_OBJECT,
                                offsetof(BodyMembers, configuration),
                                false },
        };
        bool create = request->operation == RELAY_CREATE;
        BodyMembers m = { 0 };
        int r;

        r = read_members(body, members, create ? 4 : 2, &m, ret_reason);
        if (r != 0)
                return r;
        r = read_payload(m.payload, request, ret_reason);
        if (r != 0)
                return r;
        if (m.token) {
                r = read_token(m.token, request, limits, ret_reason);
                if (r != 0)
                        return r;
        }
        if (!create)
                return 0;
        r = read_display(m.display, request, ret_reason);
        if (r != 0)
                return r;
        return read_configuration(m.configuration, request, limits, ret_reason);
}

int relay_request_parse_body(RelayRequest *request,
                const void *data,
                size_t size,
                const RelayLimits *limits,
                char ret_reason[160]) {
        json_auto_t *body = NULL;
        JsonProblem problem;
        int r;

        r = json_read(data, size, RELAY_JSON_DEPTH_MAX, &body, &problem);
        if (r < 0)
                return r;
        if (r > 0)
                return say(ret_reason, problem.text);
        r = read_body(body, request, limits, ret_reason);
        if (r != 0)
                return r;
        request->body_is_valid = true;
        return 0;
}

void relay_request_done(RelayRequest *request) {
        free(request->display);
        free(request->payload);
        free(request->webhook);
        *request = RELAY_REQUEST_NULL;
}
