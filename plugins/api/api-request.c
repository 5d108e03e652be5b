#include "api-request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "api-member.h"
#include "cleanup.h"
#include "text.h"
#include "time-text.h"

/* The shape of a BCP 47 tag: subtags of one to eight letters or digits, the first of two to eight
 * letters. */
static bool is_language_tag(const char *text) {
        size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

        if (n < 2 || n > 8)
                return false;
        while (text[n] == '-') {
                size_t subtag;

                text += n + 1;
                subtag = strspn(text,
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
                if (subtag < 1 || subtag > 8)
                        return false;
                n = subtag;
        }
        return text[n] == 0;
}

/* The shape of a tz database name, such as Europe/Berlin; never something that walks a file system.
 */
static bool is_zone_name(const char *text) {
        return text[strspn(text,
                               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-"
                               "/")] == 0 &&
               text[0] != '/' && !strstr(text, "//");
}

static int address_read(
                const json_t *value, size_t i, char ret[ADDRESS_SIZE_MAX], ApiFault *fault) {
        const char *reason = "it must be a string";
        char path[40];
        int r = ADDRESS_E_FORM;

        if (json_is_string(value))
                r = address_canonical(json_string_value(value), ret, &reason);
        if (r <= 0)
                return r;

        (void) snprintf(path, sizeof(path), "recipient.addresses[%zu]", i);
        return api_fault(fault,
                        API_PROBLEM_INVALID_ADDRESS,
                        path,
                        "`%s` is not an address: %s. Write xmpp:name@example.org, "
                        "sms:+4915112345678 or "
                        "mailto:name@example.org.",
                        path,
                        reason);
}

static int addresses_read(const json_t *given, ApiShare *share, json_t **ret, ApiFault *fault) {
        json_auto_t *canonical = json_array();
        const char *texts[SHARE_LIMIT_ADDRESSES];
        json_t *value;
        size_t i;
        int r;

        if (!canonical)
                return -ENOMEM;
        json_array_foreach(given, i, value) {
                char address[ADDRESS_SIZE_MAX];

                r = address_read(value, i, address, fault);
                if (r != 0)
                        return r;
                for (size_t k = 0; k < i; k++) {
                        if (streq(texts[k], address))
                                return api_fault(fault,
                                                API_PROBLEM_INVALID_ADDRESS,
                                                "recipient.addresses",
                                                "An address is repeated. Give each address once.");
                }
                if (json_array_append_new(canonical, json_string(address)) < 0)
                        return -ENOMEM;
                texts[i] = json_string_value(json_array_get(canonical, i));
        }
        address_list_hash(texts, json_array_size(canonical), share->recipients);

        *ret = TAKE_PTR(canonical);
        return 0;
}

typedef struct Recipient {
        const json_t *addresses;
        const char *name, *locale, *time_zone;
} Recipient;

static int recipient_read(json_t *object, ApiShare *share, ApiFault *fault) {
        /* clang-format off */
        static const JsonMember members[] = {
                { "addresses", JSON_KIND_ARRAY,  offsetof(Recipient, addresses), true,  1,                      SHARE_LIMIT_ADDRESSES },
                { "name",      JSON_KIND_STRING, offsetof(Recipient, name),      false, 1,                      SHARE_LIMIT_RECIPIENT_NAME },
                { "locale",    JSON_KIND_STRING, offsetof(Recipient, locale),    false, SHARE_LIMIT_LOCALE_MIN, SHARE_LIMIT_LOCALE },
                { "time_zone", JSON_KIND_STRING, offsetof(Recipient, time_zone), false, 1,                      SHARE_LIMIT_TIME_ZONE },
        };
        /* clang-format on */
        json_auto_t *canonical = NULL;
        Recipient recipient = { 0 };
        int r;

        r = api_members_read(object, "recipient", members, N_ELEMENTS(members), &recipient, fault);
        if (r != 0)
                return r;
        r = api_plain_text_check(recipient.name, "recipient.name", fault);
        if (r != 0)
                return r;
        if (recipient.locale && !is_language_tag(recipient.locale))
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                "recipient.locale",
                                "Write `recipient.locale` as a language tag, such as de or en-GB.");
        if (recipient.time_zone && !is_zone_name(recipient.time_zone))
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                "recipient.time_zone",
                                "Write `recipient.time_zone` as a name such as Europe/Berlin.");
        r = addresses_read(recipient.addresses, share, &canonical, fault);
        if (r != 0)
                return r;
        return json_object_set_new(object, "addresses", TAKE_PTR(canonical)) < 0 ? -ENOMEM : 0;
}

static int sender_read(const json_t *object, ApiFault *fault) {
        /* clang-format off */
        static const JsonMember members[] = {
                { "name", JSON_KIND_STRING, 0, true, 1, SHARE_LIMIT_SENDER_NAME },
        };
        /* clang-format on */
        const char *name = NULL;
        int r;

        r = api_members_read(object, "sender", members, N_ELEMENTS(members), &name, fault);
        return r != 0 ? r : api_plain_text_check(name, "sender.name", fault);
}

typedef struct Display {
        const char *title, *description, *image_url;
} Display;

static int display_read(const json_t *object, ApiFault *fault) {
        /* clang-format off */
        static const JsonMember members[] = {
                { "title",       JSON_KIND_STRING, offsetof(Display, title),       true,  1,                         SHARE_LIMIT_TITLE },
                { "description", JSON_KIND_STRING, offsetof(Display, description), false, 0,                         SHARE_LIMIT_DESCRIPTION },
                { "image_url",   JSON_KIND_STRING, offsetof(Display, image_url),   false, SHARE_LIMIT_IMAGE_URL_MIN, SHARE_LIMIT_IMAGE_URL },
        };
        /* clang-format on */
        Display display = { 0 };
        int r;

        r = api_members_read(object, "credential", members, N_ELEMENTS(members), &display, fault);
        if (r != 0)
                return r;
        r = api_plain_text_check(display.title, "credential.title", fault);
        if (r != 0)
                return r;
        r = api_plain_text_check(display.description, "credential.description", fault);
        if (r != 0)
                return r;
        if (!display.image_url)
                return 0;
        for (const char *p = display.image_url; *p; p++) {
                if (*p <= ' ' || *p >= 0x7f || strchr("\"<>\\^`{|}", *p))
                        return api_fault(fault,
                                        API_PROBLEM_INVALID_MEMBER,
                                        "credential.image_url",
                                        "Percent-encode `credential.image_url`: it must be an "
                                        "ASCII URL.");
        }
        if (strncmp(display.image_url, "https://", 8) != 0)
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                "credential.image_url",
                                "`credential.image_url` must start with https://.");
        return 0;
}

/* A claim is compared by programs of others: one spelling, and none twice. */
static int claims_read(const json_t *given, json_t *body, ApiFault *fault) {
        json_auto_t *claims = json_array();
        json_t *value;
        size_t i;

        if (!claims)
                return -ENOMEM;
        json_array_foreach((json_t *) given, i, value) {
                const char *text = json_string_value(value);
                char claim[UUID_TEXT_SIZE];

                if (!text || !text_is_uuid(text))
                        return api_fault(fault,
                                        API_PROBLEM_INVALID_MEMBER,
                                        "claims",
                                        "`claims[%zu]` must be a UUID.",
                                        i);
                for (size_t k = 0; k < sizeof(claim); k++)
                        claim[k] = (char) (text[k] >= 'A' && text[k] <= 'F' ? text[k] | 32
                                                                            : text[k]);
                for (size_t k = 0; k < i; k++) {
                        if (streq(json_string_value(json_array_get(claims, k)), claim))
                                return api_fault(fault,
                                                API_PROBLEM_INVALID_MEMBER,
                                                "claims",
                                                "A claim is repeated. Give each claim once.");
                }
                if (json_array_append_new(claims, json_string(claim)) < 0)
                        return -ENOMEM;
        }
        return json_object_set(body, "claims", claims) < 0 ? -ENOMEM : 0;
}

typedef struct ShareBody {
        const char *policy, *expires_at, *reference;
        const json_t *claims;
        json_t *sender, *recipient, *credential, *provisioning, *fact;
} ShareBody;

/* A fact's key and verifier: 32 bytes each, whose form is looked at where they are used. */
static int fact_read(json_t *fact, ApiFault *fault) {
        static const JsonMember members[] = {
                { "key", JSON_KIND_STRING, 0, true, SHARE_LIMIT_FACT, SHARE_LIMIT_FACT },
                { "verifier", JSON_KIND_STRING, 0, true, SHARE_LIMIT_FACT, SHARE_LIMIT_FACT },
        };
        const char *unused;

        return fact ? api_members_read(fact, "fact", members, N_ELEMENTS(members), &unused, fault)
                    : 0;
}

static int share_texts_read(const ShareBody *body, ApiShare *share, ApiFault *fault) {
        int r;

        if (body->policy[strspn(body->policy,
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                "policy",
                                "`policy` must be the name of a policy; GET /v1/policies lists "
                                "them.");
        r = api_plain_text_check(body->reference, "reference", fault);
        if (r != 0)
                return r;
        if (body->expires_at && time_from_text(body->expires_at, &share->expires_at) < 0)
                return api_fault(fault,
                                API_PROBLEM_INVALID_MEMBER,
                                "expires_at",
                                "Write `expires_at` as in RFC 3339, such as 2026-11-24T12:00:00Z.");
        share->policy = body->policy;
        return 0;
}

int api_share_read(const void *data, size_t size, ApiShare *ret, ApiFault *ret_fault) {
        /* clang-format off */
        static const JsonMember members[] = {
                { "policy",       JSON_KIND_STRING, offsetof(ShareBody, policy),       true,  1, SHARE_LIMIT_POLICY },
                { "sender",       JSON_KIND_OBJECT, offsetof(ShareBody, sender),       false, 0, 0 },
                { "recipient",    JSON_KIND_OBJECT, offsetof(ShareBody, recipient),    true,  0, 0 },
                { "credential",   JSON_KIND_OBJECT, offsetof(ShareBody, credential),   true,  0, 0 },
                { "provisioning", JSON_KIND_OBJECT, offsetof(ShareBody, provisioning), true,  0, 0 },
                { "expires_at",   JSON_KIND_STRING, offsetof(ShareBody, expires_at),   false, 1, SHARE_LIMIT_EXPIRES_AT },
                { "reference",    JSON_KIND_STRING, offsetof(ShareBody, reference),    false, 1, SHARE_LIMIT_REFERENCE },
                { "claims",       JSON_KIND_ARRAY,  offsetof(ShareBody, claims),       false, 1, SHARE_LIMIT_CLAIMS },
                { "fact",         JSON_KIND_OBJECT, offsetof(ShareBody, fact),         false, 0, 0 },
        };
        /* clang-format on */
        _cleanup_(api_share_done) ApiShare share = API_SHARE_NULL;
        ShareBody body = { 0 };
        int r;

        r = api_body_read(data, size, &share.body, ret_fault);
        if (r != 0)
                return r;
        r = api_members_read(share.body, "", members, N_ELEMENTS(members), &body, ret_fault);
        if (r != 0)
                return r;
        r = share_texts_read(&body, &share, ret_fault);
        if (r != 0)
                return r;
        r = body.sender ? sender_read(body.sender, ret_fault) : 0;
        if (r != 0)
                return r;
        r = recipient_read(body.recipient, &share, ret_fault);
        if (r != 0)
                return r;
        r = display_read(body.credential, ret_fault);
        if (r != 0)
                return r;
        r = fact_read(body.fact, ret_fault);
        if (r != 0)
                return r;
        r = body.claims ? claims_read(body.claims, share.body, ret_fault) : 0;
        if (r != 0)
                return r;
        r = api_provisioning_read(body.provisioning, true, &share.provisioning, ret_fault);
        if (r != 0)
                return r;

        (void) json_object_del(share.body, "provisioning");
        *ret = share;
        share = API_SHARE_NULL;
        return 0;
}

void api_share_done(ApiShare *share) {
        json_decref(share->body);
        api_provisioning_done(&share->provisioning);
        *share = API_SHARE_NULL;
}

int api_message_read(const void *data, size_t size, ApiProvisioning *ret, ApiFault *ret_fault) {
        static const JsonMember members[] = {
                { "provisioning", JSON_KIND_OBJECT, 0, true, 0, 0 },
        };
        json_auto_t *body = NULL;
        const json_t *provisioning = NULL;
        int r;

        r = api_body_read(data, size, &body, ret_fault);
        if (r != 0)
                return r;
        r = api_members_read(body, "", members, N_ELEMENTS(members), &provisioning, ret_fault);
        return r != 0 ? r : api_provisioning_read(provisioning, false, ret, ret_fault);
}

int api_nothing_read(const void *data, size_t size, ApiFault *ret_fault) {
        json_auto_t *body = NULL;
        int r;

        if (size == 0)
                return 0;
        r = api_body_read(data, size, &body, ret_fault);
        if (r != 0)
                return r;
        return api_members_read(body, "", NULL, 0, NULL, ret_fault);
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* Decodes application/x-www-form-urlencoded text of n bytes. False: malformed, or does not fit. */
static bool percent_decode(const char *text, size_t n, char *ret, size_t size) {
        size_t out = 0;

        for (size_t i = 0; i < n; i++) {
                char c = text[i];

                if (c == '+')
                        c = ' ';
                if (c == '%') {
                        int high = i + 2 < n ? hex_value(text[i + 1]) : -1;
                        int low = i + 2 < n ? hex_value(text[i + 2]) : -1;

                        if (high < 0 || low < 0)
                                return false;
                        c = (char) (high << 4 | low);
                        i += 2;
                }
                if (c == 0 || out + 1 >= size)
                        return false;
                ret[out++] = c;
        }
        ret[out] = 0;
        return text_is_utf8(ret, out) && api_text_is_plain(ret);
}

static bool number_read(const char *text, int64_t max, int64_t *ret) {
        int64_t value = 0;

        if (!text[0] || strlen(text) > 16)
                return false;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                value = value * 10 + (*text - '0');
        }
        *ret = value;
        return value <= max;
}

typedef struct Parameter {
        const char *name;
        unsigned flag;
        size_t offset, size; /* size 0: a number up to max */
        int64_t min, max;
        const char *advice;
} Parameter;

/* clang-format off */
static const Parameter parameters[] = {
        { "after",     API_QUERY_AFTER,     offsetof(ApiQuery, after), 0, 0, INT64_C(9007199254740991), "a number that an earlier answer gave" },
        { "after",     API_QUERY_EVENT,     offsetof(ApiQuery, event), API_EVENT_ID_SIZE, 0, 0, "the `id` of an event" },
        { "wait",      API_QUERY_WAIT,      offsetof(ApiQuery, wait),  0, 0, SHARE_LIMIT_WAIT, "0 to 60 seconds" },
        { "limit",     API_QUERY_LIMIT,     offsetof(ApiQuery, limit), 0, 1, SHARE_LIMIT_LIST, "1 to 100" },
        { "state",     API_QUERY_STATE,     offsetof(ApiQuery, state), 33, 0, 0, "a state, such as invited" },
        { "reference", API_QUERY_REFERENCE, offsetof(ApiQuery, reference), SHARE_LIMIT_REFERENCE + 1, 0, 0, "1 to 128 bytes of text" },
        { "cursor",    API_QUERY_CURSOR,    offsetof(ApiQuery, cursor), 513, 0, 0, "the `cursor` of an earlier answer" },
        { "name",      API_QUERY_NAME,      offsetof(ApiQuery, name), SHARE_LIMIT_POLICY + 1, 0, 0, "the name of a policy" },
};
/* clang-format on */

static bool parameter_value_read(const Parameter *p, const char *value, size_t n, ApiQuery *ret) {
        char *field = (char *) ret + p->offset;
        char text[17];
        int64_t number;

        if (p->size > 0)
                return percent_decode(value, n, field, p->size) && field[0] &&
                       (p->flag == API_QUERY_REFERENCE || !strchr(field, ' ')) &&
                       (p->flag != API_QUERY_EVENT || api_event_id_is(field));
        if (!percent_decode(value, n, text, sizeof(text)) || !number_read(text, p->max, &number) ||
                        number < p->min)
                return false;
        memcpy(field, &number, sizeof(number));
        return true;
}

static int parameter_read(
                const char *text, size_t n, unsigned allowed, ApiQuery *ret, ApiFault *fault) {
        const char *equals = memchr(text, '=', n);
        size_t name = equals ? (size_t) (equals - text) : n;

        for (size_t i = 0; i < N_ELEMENTS(parameters); i++) {
                const Parameter *p = &parameters[i];

                if (strlen(p->name) != name || memcmp(p->name, text, name) != 0 ||
                                !(allowed & p->flag))
                        continue;
                if (ret->given & p->flag)
                        return api_fault(fault,
                                        API_PROBLEM_INVALID_QUERY,
                                        p->name,
                                        "Give `%s` once.",
                                        p->name);
                if (!equals || !parameter_value_read(p, equals + 1, n - name - 1, ret))
                        return api_fault(fault,
                                        API_PROBLEM_INVALID_QUERY,
                                        p->name,
                                        "`%s` must be %s.",
                                        p->name,
                                        p->advice);
                ret->given |= p->flag;
                return 0;
        }

        if (name > 32 || memchr(text, 0, name))
                name = 0;
        for (size_t i = 0; i < name; i++) {
                if (text[i] <= ' ' || text[i] >= 0x7f || text[i] == '"' || text[i] == '\\')
                        name = 0;
        }
        return api_fault(fault,
                        API_PROBLEM_INVALID_QUERY,
                        NULL,
                        "Remove the parameter%s%.*s: it is not known here.",
                        name > 0 ? " " : "",
                        (int) name,
                        text);
}

int api_query_read(const char *query, unsigned allowed, ApiQuery *ret, ApiFault *ret_fault) {
        *ret = (ApiQuery){ 0 };
        while (*query) {
                size_t n = strcspn(query, "&");
                int r;

                if (n > 0) {
                        r = parameter_read(query, n, allowed, ret, ret_fault);
                        if (r != 0)
                                return r;
                }
                query += n + (query[n] == '&');
        }
        return 0;
}

/* RFC 8941 section 3.3.3; *ret_n is the length without quotes and escapes. */
static bool quoted_string_read(const char *text, char *ret, size_t size, size_t *ret_n) {
        size_t n = 0;

        for (text++; *text && *text != '"'; text++) {
                if (*text == '\\') {
                        text++;
                        if (*text != '"' && *text != '\\')
                                return false;
                }
                if (*text < ' ' || *text >= 0x7f || n + 1 >= size)
                        return false;
                ret[n++] = *text;
        }
        ret[n] = 0;
        *ret_n = n;
        return text[0] == '"' && text[1] == 0;
}

static bool bare_key_read(const char *text, char *ret, size_t size, size_t *ret_n) {
        size_t n = strlen(text);

        if (n + 1 > size)
                return false;
        for (size_t i = 0; i < n; i++) {
                if (text[i] <= ' ' || text[i] >= 0x7f || strchr("\",;\\", text[i]))
                        return false;
        }
        memcpy(ret, text, n + 1);
        *ret_n = n;
        return true;
}

int api_idempotency_key_read(const char *header, char ret[API_KEY_MAX + 1], ApiFault *ret_fault) {
        size_t n = 0;
        bool good = header[0] == '"' ? quoted_string_read(header, ret, API_KEY_MAX + 1, &n)
                                     : bare_key_read(header, ret, API_KEY_MAX + 1, &n);

        if (good && n >= API_KEY_MIN)
                return 0;
        return api_fault(ret_fault,
                        API_PROBLEM_KEY_INVALID,
                        NULL,
                        "Send a fresh Idempotency-Key of at least 128 random bits for each share: "
                        "%d to %d "
                        "characters, such as a UUID in double quotes.",
                        API_KEY_MIN,
                        API_KEY_MAX);
}

int api_authorization_read(const char *header,
                char ret_id[TOKEN_ID_SIZE],
                uint8_t ret_hash[TOKEN_HASH_SIZE],
                ApiFault *ret_fault) {
        if (strncasecmp(header, "Bearer ", 7) == 0) {
                const char *token = header + 7;

                token += strspn(token, " ");
                if (token_parse(token, ret_id, ret_hash) == 0)
                        return 0;
        }
        return api_fault(ret_fault,
                        API_PROBLEM_UNAUTHENTICATED,
                        NULL,
                        "Send `Authorization: Bearer` with a whole token, as `vestibulectl token` "
                        "printed it.");
}

bool api_content_type_is_json(const char *header) {
        static const char type[] = "application/json";
        const char *p = header + sizeof(type) - 1;

        if (strncasecmp(header, type, sizeof(type) - 1) != 0)
                return false;
        p += strspn(p, " \t");
        if (*p == 0)
                return true;
        if (*p++ != ';')
                return false;
        p += strspn(p, " \t");
        return strcasecmp(p, "charset=utf-8") == 0 || strcasecmp(p, "charset=\"utf-8\"") == 0;
}
