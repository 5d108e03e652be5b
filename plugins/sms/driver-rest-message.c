#include "driver-rest-message.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "text.h"

/* --- the form --- */

typedef struct Form {
        char *text;
        size_t size, room;
} Form;

/* The rest stays zero: room was counted before. */
static void form_put(Form *form, const char *bytes, size_t size) {
        if (size > form->room - form->size)
                size = form->room - form->size;
        memcpy(form->text + form->size, bytes, size);
        form->size += size;
}

static void form_add(Form *form, const char *name, const char *value, size_t size) {
        static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789-._*";
        static const char digits[] = "0123456789ABCDEF";

        if (form->size > 0)
                form_put(form, "&", 1);
        form_put(form, name, strlen(name));
        form_put(form, "=", 1);
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char) value[i];
                char escaped[] = { '%', digits[c >> 4], digits[c & 15] };

                if (c != 0 && strchr(safe, c))
                        form_put(form, value + i, 1);
                else
                        form_put(form, escaped, sizeof(escaped));
        }
}

int rest_form_write(const SmsOutbound *outbound,
                const char *status_callback,
                int64_t now,
                char **ret,
                size_t *ret_size) {
        Form form = { .room = 3 * (strlen(outbound->to) + strlen(outbound->from) + outbound->size +
                                                  strlen(status_callback)) +
                              128 };
        int64_t seconds = outbound->expires - now;
        char number[24];

        form.text = malloc(form.room);
        if (!form.text)
                return -ENOMEM;
        form_add(&form, "To", outbound->to, strlen(outbound->to));
        form_add(&form, "From", outbound->from, strlen(outbound->from));
        form_add(&form, "Body", outbound->text, outbound->size);
        form_add(&form, "StatusCallback", status_callback, strlen(status_callback));
        if (outbound->expires != 0) {
                if (seconds > REST_VALIDITY_MAX)
                        seconds = REST_VALIDITY_MAX;
                if (seconds < REST_VALIDITY_MIN)
                        seconds = REST_VALIDITY_MIN;
                (void) snprintf(number, sizeof(number), "%d", (int) seconds);
                form_add(&form, "ValidityPeriod", number, strlen(number));
        }
        *ret = form.text;
        *ret_size = form.size;
        return 0;
}

/* --- the answer --- */

static json_int_t code_of(const json_t *object, const char *name) {
        const json_t *value = json_object_get(object, name);

        return json_is_integer(value) ? json_integer_value(value) : 0;
}

static void set_reason(RestVerdict *verdict, const char *word, json_int_t code) {
        if (code > 0 && code < 1000000)
                (void) snprintf(verdict->reason,
                                sizeof(verdict->reason),
                                "%s-%d",
                                word,
                                (int) code);
        else
                (void) snprintf(verdict->reason, sizeof(verdict->reason), "%s", word);
}

static bool is_any(const char *word, const char *const *words, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (streq(word, words[i]))
                        return true;
        return false;
}

/* 2xx: the message is the carrier's, unless it says at once what became of it. */
static void read_taken(const json_t *answer, RestVerdict *ret) {
        static const char *const ends[] = { "failed", "undelivered", "canceled" };
        const char *id = json_string_value(json_object_get(answer, "sid"));
        const char *status = json_string_value(json_object_get(answer, "status"));

        ret->is_login = true;
        if (!id || !*id || strlen(id) >= sizeof(ret->id)) {
                ret->outcome = SMS_SEND_FAILED;
                set_reason(ret, "bad-answer", 0);
        } else if (status && is_any(status, ends, N_ELEMENTS(ends))) {
                ret->outcome = SMS_SEND_REFUSED;
                set_reason(ret, "refused", code_of(answer, "error_code"));
        } else {
                ret->outcome = SMS_SEND_TAKEN;
                memcpy(ret->id, id, strlen(id) + 1);
        }
}

/* Codes of 400 that are about whoever sends, not about whom it goes to: with them nothing can be
 * sent, and it is for an operator to see. */
static bool is_about_sender(json_int_t code) {
        static const json_int_t codes[] = { 21212, 21603, 21606, 21607, 21659, 21660 };

        for (size_t i = 0; i < N_ELEMENTS(codes); i++)
                if (code == codes[i])
                        return true;
        return false;
}

static void read_refused(int status, json_int_t code, RestVerdict *ret) {
        switch (status) {
        case 401:
        case 403:
                ret->outcome = SMS_SEND_LATER;
                ret->is_down = true;
                set_reason(ret, "login-refused", code);
                break;
        case 404:
                ret->outcome = SMS_SEND_LATER;
                ret->is_down = true;
                set_reason(ret, "account-not-found", code);
                break;
        case 408:
        case 429:
                ret->outcome = SMS_SEND_LATER;
                ret->is_slower = true;
                set_reason(ret, "throttled", code);
                break;
        default:
                ret->is_login = true;
                ret->outcome = is_about_sender(code) ? SMS_SEND_FAILED : SMS_SEND_REFUSED;
                set_reason(ret, is_about_sender(code) ? "sender-refused" : "refused", code);
        }
}

static json_t *answer_load(const char *body) {
        return json_loads(body, JSON_REJECT_DUPLICATES, NULL);
}

void rest_verdict(int status, const char *body, RestVerdict *ret) {
        json_auto_t *answer = answer_load(body);

        *ret = (RestVerdict){ .outcome = SMS_SEND_FAILED };
        if (status >= 200 && status < 300)
                read_taken(answer, ret);
        else if (status == 503) {
                ret->outcome = SMS_SEND_LATER;
                ret->is_slower = true;
                set_reason(ret, "carrier-busy", 0);
        } else if (status >= 400 && status < 500)
                read_refused(status, code_of(answer, "code"), ret);
        else
                set_reason(ret, "carrier-error", status);
}

bool rest_is_canceled(int status, const char *body) {
        json_auto_t *answer = answer_load(body);
        const char *word = json_string_value(json_object_get(answer, "status"));

        return status >= 200 && status < 300 && word && streq(word, "canceled");
}

/* --- the signature --- */

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size) {
        int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

        return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_values(const void *a, const void *b) {
        const HttpValue *x = *(const HttpValue *const *) a, *y = *(const HttpValue *const *) b;
        int order = compare_bytes(x->name, x->name_size, y->name, y->name_size);

        return order != 0 ? order : compare_bytes(x->value, x->size, y->value, y->size);
}

/* The bytes that are signed. NULL: no memory. */
static char *signed_text(const char *url, const HttpValues *form, size_t *ret_size) {
        const HttpValue *sorted[HTTP_VALUES_MAX];
        size_t size = strlen(url);
        char *text, *p;

        for (size_t i = 0; i < form->n; i++) {
                sorted[i] = &form->values[i];
                size += sorted[i]->name_size + sorted[i]->size;
        }
        qsort(sorted, form->n, sizeof(sorted[0]), compare_values);
        text = p = malloc(size > 0 ? size : 1);
        if (!text)
                return NULL;
        p = mempcpy(p, url, strlen(url));
        for (size_t i = 0; i < form->n; i++) {
                p = mempcpy(p, sorted[i]->name, sorted[i]->name_size);
                p = mempcpy(p, sorted[i]->value, sorted[i]->size);
        }
        *ret_size = size;
        return text;
}

void rest_signature(const void *token,
                size_t token_size,
                const char *url,
                const HttpValues *form,
                char ret[REST_SIGNATURE_SIZE]) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned digest_size = 0;
        size_t size;
        char *text = signed_text(url, form, &size);

        ret[0] = '\0';
        if (!text)
                return;
        if (HMAC(EVP_sha1(),
                            token,
                            (int) token_size,
                            (const unsigned char *) text,
                            size,
                            digest,
                            &digest_size) &&
                        digest_size == 20)
                (void) sodium_bin2base64(ret,
                                REST_SIGNATURE_SIZE,
                                digest,
                                digest_size,
                                sodium_base64_VARIANT_ORIGINAL);
        sodium_memzero(text, size);
        free(text);
}

bool rest_signature_is_good(const char *signature,
                const void *token,
                size_t token_size,
                const char *url,
                const HttpValues *form) {
        char good[REST_SIGNATURE_SIZE];

        rest_signature(token, token_size, url, form, good);
        return signature && good[0] && strlen(signature) == REST_SIGNATURE_SIZE - 1 &&
               sodium_memcmp(signature, good, REST_SIGNATURE_SIZE - 1) == 0;
}

/* --- the callback --- */

static SmppOutcome outcome_of(const char *status, const char *error) {
        static const struct {
                const char *status;
                SmppOutcome outcome;
        } words[] = {
                { "accepted", SMPP_OUTCOME_ACCEPTED },
                { "canceled", SMPP_OUTCOME_REJECTED },
                { "delivered", SMPP_OUTCOME_DELIVERED },
                { "failed", SMPP_OUTCOME_FAILED },
                { "queued", SMPP_OUTCOME_ACCEPTED },
                { "read", SMPP_OUTCOME_DELIVERED },
                { "scheduled", SMPP_OUTCOME_ACCEPTED },
                { "sending", SMPP_OUTCOME_ACCEPTED },
                { "sent", SMPP_OUTCOME_ACCEPTED },
                { "undelivered", SMPP_OUTCOME_FAILED },
        };

        for (size_t i = 0; i < N_ELEMENTS(words); i++)
                if (streq(status, words[i].status))
                        /* 30036: the validity period has passed. */
                        return words[i].outcome == SMPP_OUTCOME_FAILED && streq(error, "30036")
                                               ? SMPP_OUTCOME_EXPIRED
                                               : words[i].outcome;
        return SMPP_OUTCOME_UNKNOWN;
}

static const char *text_or_empty(const HttpValues *form, const char *name) {
        const char *text = http_values_text(form, name);

        return text ? text : "";
}

bool rest_callback_read(const HttpValues *form, RestCallback *ret) {
        const char *status = http_values_text(form, "MessageStatus");
        const char *body = http_values_text(form, "Body");

        *ret = (RestCallback){ .id = http_values_text(form, "MessageSid"),
                .account = text_or_empty(form, "AccountSid"),
                .from = text_or_empty(form, "From"),
                .to = text_or_empty(form, "To") };
        if (!ret->id || !*ret->id || strlen(ret->id) >= SMS_CARRIER_ID_SIZE)
                return false;
        if (status) {
                text_word(text_or_empty(form, "ErrorCode"), ret->error, sizeof(ret->error));
                ret->outcome = outcome_of(status, ret->error);
                return true;
        }
        ret->text = body && text_is_utf8(body, strlen(body)) ? body : NULL;
        return ret->text != NULL;
}
